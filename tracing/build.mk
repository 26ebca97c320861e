# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Scripts for bpftrace that read the module's trace events (kmod/trace.h). Tested by
# tests/kernel/tracing.sh.

$(foreach f,$(wildcard tracing/*.bt),$(call install_file,$(f),$(PREFIX)/share/belay/$(f),0755))
