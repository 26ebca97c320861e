#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The walk-through of belay(7), with the program that it prints: built from the page
# (build.mk), run by an ordinary user, recalled by root.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

log=$(mktemp)
drop_in=/etc/belay/belayd.conf.d/walkthrough.conf
restore()
{
	rm -f "$log" "$drop_in"
	rmdir /etc/belay/belayd.conf.d 2> /dev/null
	belayctl reload > /dev/null
}
trap restore EXIT

mkdir -p "${drop_in%/*}"
awk '/^\[system\]/ { on = 1 } /^\.Ed/ { if (on) exit } on' man/belay.7 > "$drop_in"
check "the configuration that the page prints is one" belayctl reload
check_output "and in force" "^system +0 B +8 GiB " belayctl limit show
setpriv --reuid alice --regid alice --init-groups stdbuf -oL walkthrough > "$log" 2>&1 &
pid=$!
wait_until 30 grep -q . "$log"
check_output "she holds 64 MiB" holding cat "$log"
check_output "belayctl list names alice and her 64 MiB" " alice +$pid walkthrough .* 64 MiB" \
	belayctl list
check_output "belayctl list regions has the region" " $pid walkthrough +pinned +write +64 MiB" \
	belayctl list regions
check_output "she is asked, and lets go" "1 let go by its holder in time" \
	belayctl recall --user alice
wait "$pid"
status=$?
check "and the program ends well" [ "$status" = 0 ]
check "having said so" grep -q "asked to let go" "$log"
tap_done
