# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# One working example of each macro; read by make EXAMPLE=1 only.

E := tests/lib/example

$(call static_library,example-core,$(E)/core.c)
$(call library,example,$(E)/core.c,-lm,0,$(E)/example.map)
$(call preload,example-preload,$(E)/core.c)
$(call program,example,$(E)/main.c,static:example-core pkg:libcap,bin)
$(call program,example-linked,$(E)/main.c,shared:example)
$(call unit_test,example-core,$(E)/core-test.c,static:example-core)
$(call host_script,unit,$(E)/script.sh)
$(call vm_test,kernel,example,$(E)/core-test.c,static:example-core,timeout=20)
$(call vm_helper,kernel,example-helper,$(E)/main.c,static:example-core)
$(call vm_script,kernel,$(E)/script.sh,own)
$(call install_file,$(E)/script.sh,$(LIBEXECDIR)/example.sh,0755)
$(call install_template,$(E)/example.pc.in,$(LIBDIR)/pkgconfig/example.pc)
$(call install_config,$(E)/example.conf,$(SYSCONFDIR)/belay/example.conf)
$(call install_man,$(E)/example.1)
