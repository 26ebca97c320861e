#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayd under systemd: how it is started, as whom, with what, and how it takes a
# configuration with errors.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

conf=/etc/belay/belayd.conf.d/daemon-test.conf
mkdir -p /etc/belay/belayd.conf.d
holder=''
cleanup()
{
	[ -z "$holder" ] || kill "$holder" 2> /dev/null
	rm -f "$conf"
	rmdir "${conf%/*}" 2> /dev/null
	systemctl reset-failed belayd 2> /dev/null
	systemctl start belayd
}
trap cleanup EXIT

show() { systemctl show -p "$1" --value belayd.service; }
is() { [ "$(show "$1")" = "$2" ]; }
pid() { show MainPID; }
status_field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(pid)/status"; }
journal_says() { journalctl -q -b -u belayd --no-pager -o cat | grep -qF -- "$1"; }
system_limit() { belayctl limit show system --bytes --no-headings | awk '{ print $3 }'; }
limit_is() { [ "$(system_limit)" = "$1" ]; }

systemctl stop belayd.service belayd.socket
systemctl start belayd.socket
check "the daemon does not run before somebody connects" is ActiveState inactive
check "the first connection starts it, and is answered" belayctl status
check "it says itself when it is ready" is Type notify
check "it is active after that" is ActiveState active
check "it runs as its own user" test "$(stat -c %U "/proc/$(pid)")" = belayd
# CAP_KILL 5, CAP_IPC_LOCK 14, CAP_SYS_RESOURCE 24
check "with three capabilities and no other" test "$(status_field CapEff)" = 0000000001004020
check "and can get no other" test "$(status_field CapBnd)" = 0000000001004020
check "its memory is locked" test "$(status_field VmLck | tr -dc 0-9)" -gt 0
check "the OOM killer looks elsewhere first" test "$(cat "/proc/$(pid)/oom_score_adj")" = -900
check "its status is a sentence" wait_until 5 sh -c 'systemctl show -p StatusText --value belayd | grep -q "clients, .* held in"'
check "the socket is open to everybody" test "$(stat -c %a /run/belay/belay.sock)" = 666
check "the device is for the daemon's group only" test "$(stat -c %U:%G:%a /dev/belay)" = root:belayd:660
check "the administrators' group exists" getent group belay-admin
check_output "the sandbox is tight by systemd's own measure" 'OK|MEDIUM' \
	systemd-analyze security --no-pager --threshold=60 belayd.service

printf '[system]\nmax = 3G\nsurprise = 1\n' > "$conf"
check "a reload succeeds" systemctl reload belayd
check "and has an effect" limit_is 3221225472
check "an unknown key is warned about, with its place" \
	journal_says "$conf:3: warning: unknown key surprise in [system] is ignored"
before=$(pid)
printf '[system]\nmax = 2Q\n' > "$conf"
check_status "a reload with errors fails" 1 systemctl reload belayd
check "and is not put into force" limit_is 3221225472
check "the error is said with its place" \
	wait_until 5 journal_says "$conf:2: error: [system] max = 2Q: not a size"
check "and that the one before stays" journal_says "the one before stays in force"
check "the daemon has not even restarted" test "$(pid)" = "$before"
check_status "belayctl reload fails" 1 belayctl reload
check_status "--check-config says so before" 78 belayd --check-config
systemctl stop belayd.service
systemctl start belayd.service 2> /dev/null
check "the daemon does not start with it" wait_until 10 is ActiveState failed
check "and does not try for ever" is ExecMainStatus 78
printf '[system]\nmax = 4G\n' > "$conf"
systemctl reset-failed belayd
check "it starts when the error is gone" systemctl start belayd
check_output "--check-config finds nothing" '0 errors, 0 warnings' belayd --check-config

printf '[system]\nmax = 5G\n' > "$conf"
kill -HUP "$(pid)"
check "SIGHUP reloads as well" wait_until 5 limit_is 5368709120

check "it stops cleanly" systemctl stop belayd.service
check "with status 0" is ExecMainStatus 0
check "a second daemon is told whose the device is" sh -c '
	systemctl start belayd && ! belayd --socket /tmp/second.sock 2> /tmp/second &&
	grep -q "belongs to another daemon" /tmp/second'

# Somebody holds memory: nothing may be stopped that could ask for it.
setpriv --reuid alice --regid alice --init-groups ctl_hold 1024 > /tmp/uninstall.hold 2>&1 &
holder=$!
disown "$holder"
check "a program holds memory" wait_until 30 grep -q holding /tmp/uninstall.hold
uninstall() { make -s -C /src uninstall PREFIX=/usr DESTDIR= > /tmp/uninstall.log 2>&1; }
check_status "make uninstall fails while memory is held" 2 uninstall
check_output "and says how to find out by whom" 'belayctl list grants' cat /tmp/uninstall.log
check "belayd still runs" is ActiveState active
check "the holder can still be asked" belayctl recall --user alice
tap_done
