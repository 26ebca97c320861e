# SPDX-License-Identifier: MIT
#
# make bench: what belay costs, beside the least that it could cost. Figures come
# from one run in the machine, for each kernel; they are good for ratios only.
# Results: build/bench/results.json, and a table.

$(call vm_helper,bench,pinbench,bench/pinbench.c \
	$(addprefix tests/kernel/lib/,bk.c bk_memory.c bk_proc.c))

.PHONY: bench
bench:
	@scripts/setup
	@$(SUB) build modules $(B)/tests/bench/helpers/pinbench \
		$(B)/tests/kernel/footprint $(B)/tests/system/daemon_wire
	@bench/build-barepin $(if $(KERNEL),$(KERNEL),$(KERNELS))
	@bench/run $(if $(KERNEL),$(KERNEL),$(KERNELS))
