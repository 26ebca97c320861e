#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The scripts in tracing/ print what was done, with its numbers, and nothing when
# nothing is done.
set -euo pipefail
. tests/lib/tap.sh

printed=$(mktemp)
trap 'rm -f "$printed"' EXIT

# watch SCRIPT[ ARGUMENT] DO...: what the script says about what trace_act does; ids in $ids.
watch()
{
	local script
	read -ra script <<< "$1"
	shift
	bpftrace "tracing/${script[0]}" "${script[@]:1}" -c "$(type -P trace_act) $*" > "$printed" 2>&1 || {
		cat "$printed"
		return 1
	}
	ids=$(grep -o 'pid [0-9]* grant [0-9]* account [0-9]*' "$printed") || { cat "$printed"; return 1; }
	read -r _ pid _ grant _ account <<< "$ids"
}

# says REGEX [TIMES]: so many lines of the output, at least one unless said.
says()
{
	local n
	n=$(grep -cE -- "$1" "$printed" || true)
	[ "$n" -ge 1 ] && [ "$n" = "${2:-$n}" ] || {
		echo "$n lines, not ${2:-some}: $1"
		cat "$printed"
		return 1
	}
}

silent()
{
	! grep -E -- "$1" "$printed"
}

# The values of one key, which is printed each second, and perhaps in the middle.
adds_up_to()
{
	awk -F ': ' -v key="$1" -v want="$2" '$1 == key { n += $2 } END { exit n != want }' "$printed" || {
		cat "$printed"
		return 1
	}
}

# The counts of a histogram's lines, added up.
sum()
{
	awk -v name="$1" '$0 ~ "^@" name ":" { on = 1; next } on && !/^\[|^\(/ { on = 0 }
		on { sub(/^[^)\]]*[)\]]/, ""); n += $1 } END { print n + 0 }' "$printed"
}

sums_to()
{
	[ "$(sum "$1")" = "$2" ] || { echo "$1: $(sum "$1"), not $2"; cat "$printed"; return 1; }
}

# The lower bounds of a histogram's lines that are not empty are at least so many us.
at_least()
{
	awk -v name="$1" -v least="$2" '$0 ~ "^@" name ":" { on = 1; next } on && !/^\[/ { on = 0 }
		on { low = $1; gsub(/[\[,]/, "", low); unit = low ~ /K/ ? 1024 : low ~ /M/ ? 1048576 : 1
			count = $0; sub(/^[^)]*\)/, "", count); split(count, c, " ")
			if (c[1] > 0) { seen = 1; if (low * unit * 2 <= least) bad = 1 } }
		END { exit bad || !seen }' "$printed" || { cat "$printed"; return 1; }
}

watch "who-pins.bt 1" nothing 2
check "who-pins shows nobody while nobody registers" silent '^@(pinned|registered)'
check "although it looked" says '^[0-9]{2}:[0-9]{2}:[0-9]{2}$'
watch "who-pins.bt 1" hold 7 13 4
who="$pid, trace_act, alice, $grant"
check "while alice holds 7 regions of 13 pages it says that she holds 364 KiB, with her command and grant" says "^@pinned_KiB\\[$who\\]: 364$"
check "it says that she registered 7 regions" adds_up_to "@registered[$who]" 7
check "of 364 KiB" adds_up_to "@registered_KiB[$who]" 364
check "it says that she let go of 7" adds_up_to "@unregistered[$who]" 7
check "and that she holds nothing then" says "^@pinned_KiB\\[$who\\]: 0$"

watch refusals.bt hold 1 1 1
check "refusals says nothing when nobody is refused" silent 'EDQUOT|EFAULT|^@refused'
watch refusals.bt refuse
check "refusals shows each of three refusals: who, the grant's limit, held, may hold, needed" \
	says "^[0-9:]{8} $pid +alice +trace_act +80 EDQUOT +grant/$grant +0 KiB +64 KiB +80 KiB" 3
check "and counts them, with that of the account" says '^@refused\[alice, trace_act, EDQUOT\]: 4$' 1
check "it shows an account's limit as that" \
	says "^[0-9:]{8} $pid +alice +trace_act +36 EDQUOT +account/$account +0 KiB +32 KiB +36 KiB" 1
check "it shows other errors by name" says "^[0-9:]{8} $pid +alice +trace_act +4 EFAULT" 1

watch revoke-latency.bt hold 3 1 1
check "revoke-latency shows no histogram when nothing is recalled or lost" silent '_us:'
check "and counts none" says '^@(recalled|lost|gone): 0$' 3
watch revoke-latency.bt recall 9 300
check "revoke-latency counts 9 recalled regions that are gone" says '^@(recalled|gone): 9$' 2
check "its histogram has 9" sums_to recall_to_gone_us 9
check "each took the 300 ms that alice took" at_least recall_to_gone_us 300000
check "none was lost" silent '^@loss'
watch revoke-latency.bt lose 5
check "revoke-latency counts 5 lost regions that are gone" says '^@(lost|gone): 5$' 2
check "its histogram from loss to gone has 5" sums_to loss_to_gone_us 5
check "its histogram from loss to unpinned has 5" sums_to loss_to_unpinned_us 5
check "none was recalled" silent '^@recall_to'
tap_done
