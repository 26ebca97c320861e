# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# make bench: what belay costs, beside the least that it could cost. Figures come
# from one run in the machine, for each kernel; they are good for ratios only.
# Results: build/bench/results.json, and a table.

BENCH_LIB := $(addprefix tests/kernel/lib/,bk.c bk_memory.c bk_proc.c)
BENCHES := pinbench batchbench trackbench

$(call vm_helper,bench,pinbench,bench/pinbench.c $(BENCH_LIB))
$(call vm_helper,bench,batchbench,bench/batchbench.c tests/kernel/lib/bk_batch.c $(BENCH_LIB))
$(call vm_helper,bench,trackbench,bench/trackbench.c $(BENCH_LIB))

.PHONY: bench
bench:
	@scripts/setup
	@+$(SUB) build modules $(addprefix $(B)/tests/bench/helpers/,$(BENCHES)) \
		$(B)/tests/kernel/footprint $(B)/tests/system/daemon_wire
	@$(alone) bench/build-barepin $(if $(KERNEL),$(KERNEL),$(KERNELS))
	@$(alone) bench/run $(if $(KERNEL),$(KERNEL),$(KERNELS))
