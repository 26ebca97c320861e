# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Suite stress: the module under everything at once. It is run on the debug kernel
# ("make check-debug"), whose reports are what it is after, and by hand on the others.
# The programs speak the module's ABI as those of suite kernel do, with the same lib/.
# MINUTES is how long those with the option "minutes" go on.

S := tests/stress
S_RACES := $(addprefix $(S)/,world.c acts.c meet.c) $(K_LIB)

$(call vm_test,stress,races,$(S)/races.c $(S_RACES),,races timeout=600)
$(call vm_test,stress,races_ends,$(S)/races_ends.c $(S)/meet.c $(K_LIB),,races timeout=600)
$(call vm_test,stress,no_memory,$(S)/no_memory.c $(K_LIB),,kernel=debug timeout=600)
$(call vm_test,stress,storm,$(addprefix $(S)/,storm.c storm_client.c storm_stress.c) $(K_LIB),static:belay static:belay-common -pthread,stress-ng minutes timeout=300)
$(call vm_test,stress,ioctl_fuzz,$(addprefix $(S)/ioctl_fuzz,.c _run.c _table.c _make.c _break.c _taken.c _act.c) $(K_LIB),-pthread,minutes timeout=300)
