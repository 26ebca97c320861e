#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# A real DMA application, over soft-RoCE, under tracked regions: rdma-sink and
# rdma-source of examples/.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
. tests/lib/tap.sh

dir=$(mktemp -d)
sock=/tmp/rdma-test.$$
trap 'rm -rf "$dir" "$sock"' EXIT

as=(setpriv --reuid alice --regid alice --init-groups --inh-caps=-all
	prlimit --memlock=65536:65536)

# start NAME COMMAND...: as alice, in the background.
start()
{
	local name=$1
	shift
	"${as[@]}" "$@" > "$dir/$name" 2>&1 &
	last=$!
}

says() { grep -qF -e "$2" "$dir/$1" || { cat "$dir/$1"; return 1; }; }
kib() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/$2/status"; }
is() { [ "$1" = "$2" ] || { echo "$1 is not $2"; return 1; }; }
pins()
{
	echo 1 > /proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { n += $2 } /^nr_foll_pin_released/ { n -= $2 }
		END { print n + 0 }' /proc/vmstat
}
pins_are() { is "$(pins)" "$1"; }
charged() { belayctl --json | grep -o '"charged_bytes": *[0-9]*' | grep -o '[0-9]*$'; }
charged_is() { is "$(charged)" "$1"; }
memlock_of() { awk '/Max locked memory/ { print $4 }' "/proc/$1/limits"; }
memlock_is() { is "$(memlock_of "$1")" "$2"; }
refused_plainly()
{
	"${as[@]}" rdma-sink -w plain -n -1 > "$dir/plain" 2>&1 && return 1
	says plain 'Cannot allocate memory'
}
# reap PID: waits for a job and keeps its exit status; not in a subshell, as check is.
reap()
{
	reaped=0
	{ wait "$1" || reaped=$?; } 2> /dev/null
}

modprobe -a rdma_rxe dummy
ip link add dummy0 type dummy 2> /dev/null
ip addr replace 10.9.0.1/24 dev dummy0
ip link set dummy0 up
rdma link show rxe0/1 > /dev/null 2>&1 || rdma link add rxe0 type rxe netdev dummy0
wait_until 10 grep -q ffff:0a09:0001 /sys/class/infiniband/rxe0/ports/1/gids/1
belayctl limit set user/alice 200M > /dev/null

check "without a grant, a memlock limit of 64 KiB refuses an MR of 64 MiB" \
	refused_plainly

before=$(pins)
start sink rdma-sink -s "$sock"
sink=$last
wait_until 20 says sink 'waiting for a source'
check "under a grant, an MR of 64 MiB is registered" says sink '(tracked)'
check "the driver's pins are 64 MiB, counted once" is "$(kib VmPin "$sink")" 65536
check "the grant is charged 64 MiB" charged_is $((64 << 20))
check "the process's RLIMIT_MEMLOCK is what the grant allows" memlock_is "$sink" $((200 << 20))
check "a second process writes into it by RDMA" "${as[@]}" rdma-source -s "$sock"
wait_until 10 says sink arrived
check "the data that arrived is the data that was sent" says sink ', as sent'
check_output "belayctl list names the holder" 'alice .*rdma-sink' belayctl list
check_output "belayctl list regions says tracked" 'tracked' belayctl list regions
check_status "a recall that would release a driver's memory is refused" 6 \
	belayctl recall --pid "$sink" --deadline 200ms --escalate release
check "and the memory stays where it is" is "$(kib VmPin "$sink")" 65536
check "an administrator's recall is obeyed in time" \
	belayctl recall --pid "$sink" --deadline 20s --escalate keep
reap "$sink"
check "the program ends in good order" is "$reaped" 0
check "it was told who asked" says sink 'recalled by an administrator'
check "the driver's pins are gone" wait_until 10 pins_are "$before"
check "nothing is charged" wait_until 10 charged_is 0

start deaf rdma-sink -n -i
deaf=$last
wait_until 20 says deaf registered
check "a recall with kill ends a process that ignores it" \
	belayctl recall --pid "$deaf" --deadline 500ms --escalate kill
reap "$deaf"
check "it was killed" is "$reaped" 137
check "the killed process's MR is gone" wait_until 10 pins_are "$before"

start pinned rdma-sink -w pin -i
pinned=$last
wait_until 20 says pinned registered
check "64 MiB are pinned by belay" is "$(kib VmPin "$pinned")" 65536
check "a recall with release takes them from a living process" \
	belayctl recall --pid "$pinned" --deadline 500ms --escalate release
check "nothing is pinned any more" wait_until 10 pins_are "$before"
check "the process lives" kill -0 "$pinned"
kill -9 "$pinned"
reap "$pinned"

start deaf rdma-sink -n -i
deaf=$last
wait_until 20 says deaf registered
kill -9 "$deaf"
reap "$deaf"
check "kill -9 of a process with an MR leaves no pin" wait_until 10 pins_are "$before"
check "and no charge" wait_until 10 charged_is 0

# Drivers count each registration: five of one buffer of 64 MiB under 256 MiB.
conf=/etc/belay/belayd.conf.d/rdma-test.conf
rails() { "${as[@]}" rdma_rails "$@" > "$dir/rails" 2>&1; }
refused_by_sum()
{
	rails 5 && return 1
	says rails '320 MiB in all with these 64 MiB, and RLIMIT_MEMLOCK is 256 MiB' &&
		says rails 'memlock in belayd.conf'
}
mkdir -p "${conf%/*}"
belayctl limit set user/alice 256M > /dev/null
check "the fifth registration of a buffer is refused by the driver's sum, and that is explained" \
	refused_by_sum
printf '[user alice]\nmemlock = 400%%\n' > "$conf"
systemctl reload belayd.service
start rails rdma_rails 5 hold
held=$last
# Five times 64 MiB: as long as five of the others.
check "with memlock = 400% it is not" wait_until 60 says rails '5 rails'
check "the grant is charged once" charged_is $((64 << 20))
check_output "both sums are listed, with the limit" ' 64 MiB +unlimited +0 B +320 MiB +1 GiB ' \
	belayctl list --pid "$held"
kill -9 "$held"
reap "$held"
check "and nothing of them is left" wait_until 10 pins_are "$before"
rm -f "$conf"
rmdir "${conf%/*}" 2> /dev/null

# The limit that was set lasts until the daemon ends; the socket starts another.
systemctl stop --quiet belayd.service 2> /dev/null
tap_done
