# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayd. What is pure (core/) and what surrounds it are libraries, so that unit
# tests link the very objects that the daemon consists of.

# The floors: see docs/architecture.md.
DAEMON_CORE := $(addprefix daemon/core/,decide.c heap.c job.c key.c ledger.c map.c policy.c \
	revoke.c tag.c)
DAEMON_SYS := $(addprefix daemon/sys/,config.c device.c keeper.c log.c loop.c process.c users.c)
DAEMON_WIRE := $(addprefix daemon/wire/,conn.c server.c)
DAEMON_ACT := $(addprefix daemon/act/,accounts.c adopt.c enforce.c events.c holders.c \
	memlock.c notice.c recall.c reload.c select.c session.c)
DAEMON_ASK := $(addprefix daemon/ask/,ask.c client.c limit.c list.c recall.c reload.c \
	status.c)

$(call static_library,belayd-core,$(DAEMON_CORE))
$(call static_library,belayd,$(DAEMON_SYS) $(DAEMON_WIRE) $(DAEMON_ACT) $(DAEMON_ASK) daemon/manager.c,pkg:libevent_core pkg:inih)
$(call program,belayd,daemon/main.c,static:belayd static:belayd-core static:belay-common pkg:libevent_core pkg:libsystemd pkg:inih,sbin)
$(call install_config,daemon/belayd.conf,$(SYSCONFDIR)/belay/belayd.conf)
