#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayctl list and recall: what lies on a node, in a memory block, over a file; whose
# it is, what it is charged to, how old, how lasting. Each selection has exactly what it
# should have.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

work=$(mktemp -d)
chmod 755 "$work"
drop_in=/etc/belay/belayd.conf.d/places-test.conf
disk=/var/tmp/belay-places.$$
holders=()

# hold USER ARGS...: in $pid, once it holds what it should.
hold()
{
	local user=$1 log
	shift
	log=$work/hold.$RANDOM
	setpriv --reuid "$user" --regid "$user" --init-groups ctl_hold "$@" > "$log" 2>&1 &
	pid=$!
	disown "$pid"
	holders+=("$pid")
	wait_until 30 grep -q . "$log"
	grep -q holding "$log"
}

# Not check: that runs what it is given in a shell of its own.
holds()
{
	local claim=$1
	shift
	if hold "$@"; then
		ok "$claim"
	else
		not_ok "$claim" "$(cat "$work"/hold.*)"
		exit 1
	fi
}

nobody_holds() { [ -z "$(belayctl list grants --no-headings)" ]; }
restore()
{
	local p
	for p in "${holders[@]}"; do
		kill -9 "$p" 2> /dev/null
	done
	wait_until 10 nobody_holds
	umount "$work/tmp" 2> /dev/null
	rm -rf "$work" "$drop_in" "$disk"
	rmdir /etc/belay/belayd.conf.d 2> /dev/null
	belayctl reload > /dev/null
}
trap restore EXIT

# pids OPTIONS...: of the regions chosen, in order, once each.
pids() { belayctl list regions --no-headings "$@" | awk '{ print $4 }' | sort -nu | xargs; }
# They are these.
are()
{
	local want got
	want=$(tr ' ' '\n' <<< "$1" | sort -nu | xargs)
	got=$(pids "${@:2}") || return
	[ "$got" = "$want" ] || { echo "$got, not $want"; return 1; }
}
held() { belayctl list regions --bytes --no-headings "$@" | awk '{ n += $9 } END { print n + 0 }'; }

mkdir -p "${drop_in%/*}"
printf '%s\n' '[default]' 'max = 64M' > "$drop_in"
belayctl reload > /dev/null || exit 1
mkdir "$work/tmp"
mount -t tmpfs -o size=8M,mode=755 none "$work/tmp"
head -c 1M /dev/zero > "$work/tmp/file"
head -c 1M /dev/zero > "$disk"
chmod 644 "$work/tmp/file" "$disk"

holds "alice holds 4 MiB of node 0" alice -N 0 4096
on0=$pid
holds "bob holds 4 MiB of node 1" bob -N 1 4096
on1=$pid
holds "bob holds pages of a tmpfs file, for a short while" bob -s -f "$work/tmp/file" 1024
shmem=$pid
holds "alice tracks memory" alice -t 1024
tracked=$pid
all="$on0 $on1 $shmem $tracked"

check "all regions" are "$all"
check "of alice" are "$on0 $tracked" --user alice
check "charged to alice's account" are "$on0 $tracked" --account user/alice
check "charged to the account of all" are "$all" --account system
check "of one process" are "$on1" --pid "$on1"
check "bob's on node 1, among them" are "$on1" --node 1 --pid "$on1"
check "none of his first ones on node 0" are "" --node 0 --pid "$on1"
check "and none of alice's on node 1" are "" --node 1 --pid "$on0"
check "over the tmpfs file" are "$shmem" --file "$work/tmp/file"
check "over a file that nobody maps" are "" --file "$disk"
check "transient" are "$shmem" --transient
check "lasting" are "$on0 $on1 $tracked" --lasting
check "two selections, of which both must fit" are "" --transient --file "$disk"
check "older than an hour" are "" --older 1h
check "older than nothing" are "$all" --older 1ms
check_status "of a user without any" 0 are "" --user mallory

# /var/tmp is overlayfs or ext4: what the module calls the file is what stat says, or not.
if [ "$(stat -f -c %T "$disk")" = ext2/ext3 ]; then
	holds "alice maps a file on disk" alice -f "$disk" 1024
	check "which is found" are "$pid" --file "$disk"
	kill -9 "$pid"
fi

check_output "a place asked for shows how much lies there" \
	"^ *[^ ]+ +[0-9]+ bob +$on1 ctl_hold +pinned +write +4 MiB 4 MiB 0x[0-9a-f]+ +1 " \
	belayctl list --node 1 --pid "$on1"

sum=0 blocks=0
for path in /sys/devices/system/memory/memory*; do
	n=$(held --block "${path##*memory}" --pid "$on0")
	sum=$((sum + n))
	[ "$n" = 0 ] || blocks=$((blocks + 1))
	[ "$n" = 0 ] || block=${path##*memory}
done
check "what lies in one memory block or another is all of it, 4 MiB ($blocks blocks)" \
	[ "$sum" = $((4 << 20)) ]
check "the last of those blocks names the holder" \
	grep -qw "$on0" <<< "$(pids --block "$block")"

# --- each selection, to recall by --------------------------------------------

region_of() { belayctl list regions --no-headings "$@" | awk '{ print $1 }' | head -1; }
# The processes whose regions have a request.
asked() { belayctl list regions --no-headings | awk '$NF != "-" { print $4 }' | sort -nu | xargs; }
# recalls CLAIM OPTIONS...: asks the one in $pid to let go, and nobody else; it does so.
recalls()
{
	local claim=$1
	shift
	belayctl recall --deadline 20s "$@" > "$work/recall" 2>&1 ||
		{ not_ok "$claim" "$(cat "$work/recall")"; return; }
	check "$claim" grep -qx '1 region (4 MiB) recalled' "$work/recall"
}

# Another user and another node than all who hold memory so far, as far as it matters.
fresh() { holds "mallory holds 4 MiB of node 1" mallory "$@" -N 1 4096; }
fresh; recalls "recalled by user" --user mallory
fresh; recalls "recalled by process" --pid "$pid"
fresh; recalls "recalled by account" --account user/mallory
fresh; recalls "recalled by grant" \
	--grant "$(belayctl list --no-headings --pid "$pid" | awk '{ print $1 }')"
fresh; recalls "recalled by region" --region "$(region_of --pid "$pid")"
fresh; recalls "recalled by node, of one user" --node 1 --user mallory
fresh -s; recalls "recalled by user and duration" --transient --user mallory
fresh; recalls "recalled by user and age" --older 1ms --user mallory --lasting
head -c 4M /dev/zero > "$work/tmp/file4"
chmod 644 "$work/tmp/file4"
holds "mallory holds pages of a file" mallory -f "$work/tmp/file4" 4096
recalls "recalled by file" --file "$work/tmp/file4"
fresh
for path in /sys/devices/system/memory/memory*; do
	fresh_block=${path##*memory}
	[ "$(held --block "$fresh_block" --pid "$pid")" = 0 ] || break
done
recalls "recalled by memory block, of one process" --block "$fresh_block" --pid "$pid"
check_output "what fits one selection and not the other is not recalled" \
	"Nothing to recall: nothing that fits \\(user mallory, node 1\\) holds memory" \
	belayctl recall --user mallory --node 1
check_status "nothing is recalled from an account that there is not" 5 \
	belayctl recall --account user/nobodyhere
check_status "nor from everybody at once" 2 belayctl recall
check "those who were never asked still hold what they had, and nobody else" are "$all"
check "and nobody is asked any more" [ -z "$(asked)" ]

check_status "there is no node 99" 5 belayctl list --node 99
check_status "there is no block 99999999" 5 belayctl list --block 99999999
as_alice() { setpriv --reuid alice --regid alice --init-groups "$@"; }
check_status "who is no administrator may not ask by block" 4 \
	as_alice belayctl list --block "$block"
check "but by node, and sees what is her own" \
	[ "$(as_alice belayctl list --node 0 --no-headings | awk '{ print $3 }' | sort -u)" = alice ]
check "no physical address is shown: those of the process are below its limit" \
	[ -z "$(belayctl list regions --json | grep -i phys)" ]

status_field() { belayctl status --json | sed -n "s/^  \"$1\": \([0-9]*\),*/\1/p"; }
# Each processor keeps the last few changes of its counters to itself.
echo 1 > /proc/sys/vm/stat_refresh
check "the status knows what is pinned: the kernel's count is at least belay's" \
	[ "$(status_field kernel_pinned_bytes)" -ge "$(status_field pinned_bytes)" ]
check_output "and what the kernel has announced" "^Changes +[0-9]+ announced" belayctl status
tap_done
