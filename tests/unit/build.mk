# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# Each folder that has unit tests appends its own lines.

# common
$(call unit_test,common_units,tests/unit/common_units.c,static:belay-common)
$(call unit_test,common_message,tests/unit/common_message.c,static:belay-common)
$(call host_script,unit,tests/unit/common_grown.sh)

# libclient
CLIENT_FAKE := tests/unit/client_fake.c
CLIENT_LIBS := static:belay static:belay-common -pthread
$(call unit_test,client_session,tests/unit/client_session.c $(CLIENT_FAKE),$(CLIENT_LIBS))
$(call unit_test,client_dead,tests/unit/client_dead.c $(CLIENT_FAKE),$(CLIENT_LIBS))
$(call unit_test,client_revoke,tests/unit/client_revoke.c $(CLIENT_FAKE),$(CLIENT_LIBS))

# libadmin
ADMIN_LIBS := static:belay-admin static:belay-common
$(call unit_test,admin_calls,tests/unit/admin_calls.c,$(ADMIN_LIBS))
$(call unit_test,admin_daemon,tests/unit/admin_daemon.c,$(ADMIN_LIBS))
$(call unit_test,admin_nomem,tests/unit/admin_nomem.c,$(ADMIN_LIBS) $(addprefix -Xlinker --wrap=,malloc calloc realloc socket))
$(call host_script,unit,tests/unit/admin_install.sh)

# ctl
CTL_TEST_LIBS := static:belay-ctl static:belay-admin static:belay-common pkg:smartcols pkg:jansson
$(call unit_test,ctl_arguments,tests/unit/ctl_arguments.c,$(CTL_TEST_LIBS))
$(call unit_test,ctl_daemon,tests/unit/ctl_daemon.c,$(CTL_TEST_LIBS))
$(call unit_test,ctl_output,tests/unit/ctl_output.c,$(CTL_TEST_LIBS))
CLIENT_WRAPS := $(addprefix -Xlinker --wrap=,malloc calloc realloc reallocarray mmap \
	madvise epoll_create1 epoll_ctl timerfd_create socket pthread_create)
$(call unit_test,client_nomem,tests/unit/client_nomem.c $(CLIENT_FAKE),$(CLIENT_LIBS) $(CLIENT_WRAPS))
$(call unit_test,client_fuzz,tests/unit/client_fuzz.c $(CLIENT_FAKE),$(CLIENT_LIBS) $(addprefix -Xlinker --wrap=,bl_now timerfd_settime))
$(call host_script,unit,tests/unit/client_install.sh)

# man
$(call host_script,unit,tests/unit/manual_complete.sh)

# daemon
$(call unit_test,daemon_core,tests/unit/daemon_core.c,static:belayd-core static:belay-common)
$(call unit_test,daemon_revoke,tests/unit/daemon_revoke.c,static:belayd-core static:belay-common)
$(call unit_test,daemon_config,tests/unit/daemon_config.c,static:belayd static:belayd-core static:belay-common pkg:inih)
DAEMON_LIBS := static:belayd static:belayd-core static:belay-common pkg:libevent_core pkg:inih -pthread
$(call unit_test,daemon_clients,tests/unit/daemon_clients.c tests/unit/fake_module.c,$(DAEMON_LIBS))
$(call unit_test,daemon_memlock,tests/unit/daemon_memlock.c tests/unit/fake_module.c,$(DAEMON_LIBS))
$(call unit_test,daemon_hostile,tests/unit/daemon_hostile.c tests/unit/fake_module.c,$(DAEMON_LIBS))
$(call unit_test,daemon_admin,tests/unit/daemon_admin.c tests/unit/fake_module.c,$(DAEMON_LIBS))
$(call host_script,unit,tests/unit/daemon_command.sh)
$(call unit_test,daemon_log,tests/unit/daemon_log.c,static:belayd static:belayd-core static:belay-common -pthread)
DAEMON_WRAPS := $(addprefix -Xlinker --wrap=,malloc calloc realloc)
$(call unit_test,daemon_nomem,tests/unit/daemon_nomem.c tests/unit/fake_module.c,$(DAEMON_LIBS) $(DAEMON_WRAPS))
$(call unit_test,fuzz_config,tests/fuzz/fuzz_config.c,static:belayd static:belayd-core static:belay-common pkg:inih)
$(call unit_test,fuzz_wire,tests/fuzz/fuzz_wire.c tests/unit/fake_module.c,static:belayd static:belayd-core static:belay-common pkg:libevent_core pkg:inih)

# kmod: what of the module needs no kernel. These include the module's .c files as they
# are, and get tests/unit/kernel.h for whatever header of the kernel's those ask for.
KERNEL_HEADERS := $(addprefix $(B)/tests/unit/include/linux/,atomic.h bug.h gfp.h interval_tree.h \
	kref.h list.h log2.h mm.h mm_types.h mmu_notifier.h mutex.h percpu.h rbtree.h sched.h \
	sched/user.h slab.h spinlock.h uidgid.h wait.h workqueue.h xarray.h)
$(KERNEL_HEADERS):
	$(Q)mkdir -p $(@D); echo '#include "tests/unit/kernel.h"' > $@
define bl_kmod_test
CFLAGS_$(2) := -I$(B)/tests/unit/include -Wno-sign-compare
$(call objs_of,$(2),$(B)) $(call objs_of,$(2),$(B)/san): | $(KERNEL_HEADERS)
$(call unit_test,$(1),$(2),$(3))
endef
kmod_test = $(eval $(call bl_kmod_test,$(strip $(1)),$(strip $(2)),$(strip $(3))))
$(call kmod_test,kmod_charge,tests/unit/kmod_charge.c,-pthread)
$(call kmod_test,kmod_coverage,tests/unit/kmod_coverage.c)
$(call kmod_test,kmod_range,tests/unit/kmod_range.c)
$(call kmod_test,kmod_range_64k,tests/unit/kmod_range_64k.c)
$(call kmod_test,kmod_extent,tests/unit/kmod_extent.c)
$(call kmod_test,kmod_extent_64k,tests/unit/kmod_extent_64k.c)
$(call kmod_test,fuzz_coverage,tests/fuzz/fuzz_coverage.c)
$(call kmod_test,fuzz_range,tests/fuzz/fuzz_range.c)
$(call kmod_test,fuzz_extent,tests/fuzz/fuzz_extent.c)
$(call host_script,unit,tests/unit/kmod_mutants.sh,timeout=300)
