# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Each folder that has system tests appends its own lines.

# ctl, and the program that belay(7) prints
build/generated/walkthrough.c: man/belay.7 man/example.awk
	$(call say,GEN,$@)mkdir -p $(@D); awk -f man/example.awk $< > $@
$(call vm_helper,system,walkthrough,build/generated/walkthrough.c,shared:belay)
$(call vm_helper,system,ctl_hold,tests/system/ctl_hold.c,shared:belay)
$(call vm_script,system,tests/system/ctl_walkthrough.sh,once)
$(call vm_script,system,tests/system/ctl_admin.sh,once timeout=300)
$(call vm_script,system,tests/system/ctl_places.sh,timeout=400)

# libclient and the examples
$(call vm_test,system,client_api,tests/system/client_api.c,shared:belay -pthread,once timeout=300)
$(call vm_test,system,client_dead,tests/system/client_dead.c,shared:belay)
$(call vm_test,system,client_trim,tests/system/client_trim.c,shared:belay static:belay-common -pthread,once timeout=400)
$(call vm_helper,system,rdma_rails,tests/system/rdma_rails.c,shared:belay pkg:libibverbs)
$(call vm_script,system,tests/system/rdma_lifecycle.sh,timeout=180)
$(call vm_script,system,tests/system/client_examples.sh,once)

# daemon
$(call vm_test,system,daemon_procs,tests/system/daemon_procs.c,static:belay-common -pthread,timeout=300)
$(call vm_test,system,daemon_wire,tests/system/daemon_wire.c,static:belay-common,timeout=400)
$(call vm_script,system,tests/system/daemon_service.sh,timeout=180)
$(call vm_test,system,daemon_files,tests/system/daemon_files.c,static:belay-common,timeout=500)
