#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayctl as an administrator uses it, with the real daemon and module: who holds
# what, limits, recalls with every escalation, who may do that, and what it says
# when the daemon is not there, hangs or dies.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

work=$(mktemp -d)
chmod 755 "$work"
drop_in=/etc/belay/belayd.conf.d/ctl-test.conf
holders=()

# hold USER ARGS...: in $pid, once it holds what it should.
hold()
{
	local user=$1 log
	shift
	log=$work/hold.$RANDOM
	setpriv --reuid "$user" --regid "$user" --init-groups ctl_hold "$@" > "$log" 2>&1 &
	pid=$!
	disown "$pid"	# else bash says that it was killed
	holders+=("$pid")
	wait_until 30 grep -q . "$log"
	grep -q holding "$log" || { echo "# $(cat "$log")"; return 1; }
}

as() { setpriv --reuid "$1" --regid "$1" --init-groups "${@:2}"; }
as_admin_bob() { setpriv --reuid bob --regid bob --groups belay-admin "$@"; }
is_recalled() { belayctl list regions | grep -q recalled; }
is_gone() { ! kill -0 "$1"; }
is_alive() { kill -0 "$1"; }
ends() { wait_until 10 is_gone "$1"; }

# The names of the regions of a process, one per line.
regions_of()
{
	belayctl list regions --no-headings --pid "$1" | awk '{ print $1 }'
}

grant_of()
{
	belayctl list grants --no-headings --pid "$1" | awk '{ print $1 }'
}

usage_of()
{
	belayctl limit show "$1" --bytes --no-headings | awk '{ print $2 }'
}

usage_is() { [ "$(usage_of "$1")" = "$2" ]; }

let_all_go()
{
	local p
	for p in "${holders[@]}"; do
		kill -9 "$p" 2> /dev/null
	done
	holders=()
	wait_until 10 nobody_holds
}
nobody_holds() { [ -z "$(belayctl list grants --no-headings)" ]; }

restore()
{
	let_all_go
	rm -rf "$work" "$drop_in"
	rmdir /etc/belay/belayd.conf.d 2> /dev/null
	systemctl restart belayd.socket belayd.service
}
trap restore EXIT

use_good_configuration()
{
	mkdir -p "${drop_in%/*}"
	printf '%s\n' '[default]' 'max = 64M' '[revoke]' 'deadline = 500ms' > "$drop_in"
}

use_good_configuration
check "reload reads a drop-in" belayctl reload

# --- who holds what --------------------------------------------------------
hold alice -l storage -n 3 1024
alice=$pid
check_output "status names version, module and how much is held" \
	"^belayd [0-9.]+, pid $(systemctl show -P MainPID belayd.service), " belayctl
check_output "status says how much is pinned" "3 MiB pinned by belay" belayctl
check_output "list names the holder: user, process, command, label, size" \
	"^ *[0-9]+ alice +$alice ctl_hold +storage +3 MiB +unlimited +3 MiB +0 B +[^ ]+ [KMG]iB +3 user/alice +1/1 " \
	belayctl list
check_output "list accounts has the user below the system" \
	"^user/alice +3 MiB +64 MiB +4% +3 +unlimited +1 +0$" belayctl list accounts
check_output "list regions has a line for each region" \
	"^ *[0-9]+ +[0-9]+ alice +$alice ctl_hold +pinned +write +1 MiB +1 MiB +0x[0-9a-f]+ +[0-9,-]+ - +valid " \
	belayctl list regions
check "list regions has all of them" [ "$(regions_of "$alice" | wc -l)" = 3 ]
check_output "--json has the same" "\"usage_bytes\": $((3 << 20))," belayctl list --json --user alice
check_output "--user of somebody who holds nothing is an empty list" '"grants": \[\]' \
	belayctl list --json --user bob

# --- recalls that are heard ------------------------------------------------
region=$(regions_of "$alice" | sed -n 2p)
check_output "recall --region: one region is let go" "1 let go by its holder in time" \
	belayctl recall --region "$region"
check "and only that one" [ "$(regions_of "$alice" | wc -l)" = 2 ]
check_status "the same region again: there is no such thing" 5 belayctl recall --region "$region"
check_output "recall --grant: the rest is let go" "2 let go by their holders in time" \
	belayctl recall --grant "$(grant_of "$alice")"
check "a program that has let go of everything ends" ends "$alice"
hold alice 1024
check_output "recall --user" "1 let go by its holder in time" belayctl recall --user alice
hold alice 1024
check_output "recall --pid, without waiting" "^1 region \(1 MiB\) recalled$" \
	belayctl recall --pid "$pid" --no-wait
check "is heard as well" ends "$pid"
check_output "nothing to recall is no failure" "Nothing to recall" belayctl recall --user alice
check_status "a process without a grant is not found" 5 belayctl recall --pid 1
check_status "nor is a grant that there is not" 5 belayctl recall --grant 999999
check_status "nor has such a grant a list" 5 belayctl list --grant 999999
check_status "nor such a process" 5 belayctl list regions --pid 4194304
check_status "a process that holds nothing has an empty one" 0 belayctl list --pid 1

# --- recalls that are not heard --------------------------------------------
hold alice -i 1024
check_status "keep: what is still held has a status of its own" 6 \
	belayctl recall --pid "$pid" --escalate keep
check_output "and is listed as overdue" "recalled .*admin, overdue for" belayctl list regions
check_output "and counted" "1 open, 1 overdue" belayctl status
check_output "release: the module lets go, the process lives" "1 released by order" \
	belayctl recall --pid "$pid" --escalate release --deadline 300ms
check "the process is still there" is_alive "$pid"
check "and nothing is charged to it" usage_is user/alice 0
kill "$pid"
hold alice -i -t 1024
check_status "release of a tracked region is refused" 6 \
	belayctl recall --pid "$pid" --escalate release
check_output "and the region is not recalled" " valid " belayctl list regions --pid "$pid"
check_output "kill: the process is ended" "1 process killed" \
	belayctl recall --pid "$pid" --escalate kill --deadline 300ms
check "really" ends "$pid"
let_all_go

# --- limits ----------------------------------------------------------------
check_output "limit set says for how long" "^user/alice: at most 2 MiB, until belayd ends" \
	belayctl limit set user/alice 2M
check_output "limit show shows it" "^user/alice +0 B +2 MiB +0% " belayctl limit show user/alice
check_status "more than that is refused" 1 as alice ctl_hold 2052
check_output "and counted" "^user/alice .* [1-9][0-9]*$" belayctl list accounts
hold alice 2048
check "that much is not" is_alive "$pid"
check "a grant's limit can be set" belayctl limit set "grant/$(grant_of "$pid")" 1M --regions 5
check_output "also below what is used" " 2 MiB +1 MiB +2 MiB " belayctl list --pid "$pid"
check "unlimited is a limit" belayctl limit set user/alice unlimited
check_output "and shown as such" "^user/alice +2 MiB +unlimited +- " belayctl limit show user/alice
check_status "an account that there is not is not found" 5 belayctl limit set user/nobody.at.all 1M
check_status "nor shown" 5 belayctl limit show user/mallory
let_all_go

# --- who may ---------------------------------------------------------------
hold alice 1024
alice=$pid
hold bob 1024
bob=$pid
check_output "everybody may see the status" "2 grants" as alice belayctl status
check_output "and what is their own" " alice " as alice belayctl list
check_status "but not what others hold" 1 grep -q bob <(as alice belayctl list)
check_status "nor ask for it" 4 as alice belayctl list --user bob
check_status "nor set limits" 4 as alice belayctl limit set user/alice 1G
check_status "nor recall" 4 as alice belayctl recall --user bob
check_status "nor reload" 4 as alice belayctl reload
check "nothing has come of that" is_alive "$bob"
check_output "a member of belay-admin may" "1 let go" as_admin_bob belayctl recall --pid "$alice"
let_all_go

# --- configurations -----------------------------------------------------
# Not all of them: belayd drops accounts without grants now and then.
limits() { belayctl limit show system && belayctl limit show user/alice; }
before=$(limits)
echo '[default]
max = lots' > "$drop_in"
check_status "reload of a bad configuration fails" 1 belayctl reload
check "and says file and line" grep -q "ctl-test.conf:2: .*lots" <(belayctl reload 2>&1)
check "and changes nothing" [ "$(limits)" = "$before" ]
use_good_configuration
check "a good one is read again" belayctl reload

# --- daemons that are not well ---------------------------------------------
hold alice -i 1024
belayctl recall --pid "$pid" --deadline 60s > "$work/recall" 2>&1 &
waiting=$!
wait_until 10 is_recalled
sleep 0.5
systemctl kill --signal=KILL belayd.service
wait "$waiting"
status=$?
check "a recall that waits when the daemon dies fails" [ "$status" = 1 ]
check "and says so" grep -q "closed the connection" "$work/recall"
check_output "the next daemon knows of it" "recalled .*admin, keep in" belayctl list regions
systemctl kill --signal=STOP belayd.service
start=$SECONDS
check_status "a daemon that hangs is not waited for for ever" 1 belayctl status
check "but for a while" [ $((SECONDS - start)) -ge 5 ]
systemctl kill --signal=CONT belayd.service
check "and is well again afterwards" belayctl status
let_all_go
systemctl stop belayd.socket belayd.service
rmmod belay
mkdir -p /run/modprobe.d
echo "install belay /bin/false" > /run/modprobe.d/no-belay.conf
systemctl start belayd.socket
check_status "without the module it is waited for, too" 1 belayctl status
check "and the module is named" grep -q "The kernel module is not loaded.*modprobe belay" \
	<(belayctl 2>&1)
rm /run/modprobe.d/no-belay.conf
systemctl start belayd.service
check "with it, all is well" belayctl
systemctl stop belayd.socket belayd.service
check_status "without a daemon: a status of its own" 3 belayctl
check "and a plain sentence" grep -q "^belayctl: belayd is not running: nothing answers at /run/belay/belay.sock. Start it with: systemctl start belayd.socket$" \
	<(belayctl 2>&1)
check "which is right" systemctl start belayd.socket
check "as can be seen" belayctl
tap_done
