# SPDX-License-Identifier: GPL-2.0-only
# Each probe/NAME.c that compiles against this kernel defines BELAY_NAME. The
# first one compiles always: if it does not, the others' failing says nothing.
belay-try = $(shell $(CC) $(NOSTDINC_FLAGS) $(LINUXINCLUDE) \
	-include $(srctree)/include/linux/compiler_types.h \
	$(KBUILD_CPPFLAGS) $(KBUILD_CFLAGS) $(KBUILD_CFLAGS_MODULE) -DMODULE \
	-DKBUILD_MODNAME=\"probe\" -DKBUILD_BASENAME=\"probe\" \
	-c $(src)/compat/probe/$(1).c -o /dev/null >/dev/null 2>&1 && echo y)

belay-dir := $(src)
ifeq ($(KBUILD_MODPOST)$(MAKECMDGOALS),clean)
else
ifneq ($(call belay-try,ALWAYS),y)
$(error $(src)/compat/probe/ALWAYS.c does not compile against this kernel: nothing can be probed)
endif
BELAY_PROBES := HAS_VM_FLAGS_SET HAS_REMOTE_VMAS HAS_PRECISE_HUGETLB_INDEX \
	HAS_UNRELIABLE_READ_PIN HAS_MMAP_WRITE_TRYLOCK \
	HAS_MM_LOCK_SEQCOUNT
ccflags-y += $(foreach p,$(BELAY_PROBES),$(if $(call belay-try,$(p)),-DBELAY_$(p)))
endif
