# SPDX-License-Identifier: GPL-2.0-only
# SPDX-FileCopyrightText: the belay authors
# What differs between kernels has a name, and two or more forms: probe/NAME.FORM.c is
# one. Exactly one form of each must compile against this kernel; it defines
# BELAY_NAME_FORM. So neither a name that has vanished, nor one whose meaning is another,
# is taken for the form that remains: such a kernel is refused, until its form is added.
#
# ALWAYS.c compiles always: if it does not, the others' failing says nothing.
belay-try = $(shell $(CC) $(NOSTDINC_FLAGS) $(LINUXINCLUDE) \
	-include $(srctree)/include/linux/compiler_types.h \
	$(KBUILD_CPPFLAGS) $(KBUILD_CFLAGS) $(KBUILD_CFLAGS_MODULE) -DMODULE \
	-DKBUILD_MODNAME=\"probe\" -DKBUILD_BASENAME=\"probe\" \
	-fsyntax-only $(src)/compat/probe/$(1).c >/dev/null 2>&1 && echo y)
belay-names = $(sort $(foreach f,$(notdir $(wildcard $(src)/compat/probe/*.*.c)), \
	$(firstword $(subst ., ,$(f)))))
belay-forms = $(patsubst $(1).%.c,%,$(notdir $(wildcard $(src)/compat/probe/$(1).*.c)))
belay-fitting = $(foreach f,$(call belay-forms,$(1)),$(if $(call belay-try,$(1).$(f)),$(f)))

# $(call belay-define,NAME,FORMS THAT FIT)
belay-define = $(if $(filter 1,$(words $(2))),-DBELAY_$(1)_$(strip $(2)),$(error belay \
does not know this kernel: of compat/probe/$(1).*.c ($(call belay-forms,$(1))) there compiles \
$(if $(strip $(2)),more than one ($(strip $(2))),none), so add its form of $(1) there and in \
compat/compat.h))

ifeq ($(KBUILD_MODPOST)$(MAKECMDGOALS),clean)
else
ifneq ($(call belay-try,ALWAYS),y)
$(error $(src)/compat/probe/ALWAYS.c does not compile against this kernel: nothing can be probed)
endif
ccflags-y += $(foreach n,$(belay-names),$(call belay-define,$(n),$(call belay-fitting,$(n))))
endif
