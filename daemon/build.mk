# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayd. What is pure (core/) and what surrounds it are libraries, so that unit
# tests link the very objects that the daemon consists of.

DAEMON_CORE := $(addprefix daemon/core/,decide.c heap.c job.c key.c ledger.c map.c policy.c revoke.c tag.c)
DAEMON_IO := $(addprefix daemon/,accounts.c admin.c admin-list.c admin-recall.c \
	act/recall.c act/select.c \
	adopt.c client.c config.c conn.c device.c enforce.c events.c holders.c keeper.c log.c \
	manager.c memlock.c notice.c process.c server.c users.c)

$(call static_library,belayd-core,$(DAEMON_CORE))
$(call static_library,belayd,$(DAEMON_IO),pkg:libevent_core pkg:inih)
$(call program,belayd,daemon/main.c,static:belayd static:belayd-core static:belay-common pkg:libevent_core pkg:libsystemd pkg:inih,sbin)
$(call install_config,daemon/belayd.conf,$(SYSCONFDIR)/belay/belayd.conf)
