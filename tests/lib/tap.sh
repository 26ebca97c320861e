# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# Tests in bash, reported as TAP.
#
#	. "$(dirname "$0")/../lib/tap.sh"
#	check "true is true" true
#	check_output "echo prints its argument" "hello" echo hello
#	check_status "false gives 1" 1 false
#	tap_done
#
# A claim is one line; what the command printed is shown when it fails. Commands
# run in this shell's subshell, so functions can be used as well.

tap_n=0
tap_failed=0

ok()
{
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1"
}

# not_ok CLAIM [DIAGNOSTICS], which stand before it, as in tap.h.
not_ok()
{
	tap_n=$((tap_n + 1))
	tap_failed=$((tap_failed + 1))
	if [ -n "${2:-}" ]; then
		echo "# ${2//$'\n'/$'\n'# }"
	fi
	echo "not ok $tap_n - $1"
}

# check CLAIM COMMAND...
check()
{
	check_status "$1" 0 "${@:2}"
}

# check_status CLAIM STATUS COMMAND...
check_status()
{
	local claim=$1 want=$2 got=0 out
	shift 2
	out=$("$@" 2>&1) || got=$?
	if [ "$got" = "$want" ]; then
		ok "$claim"
	else
		not_ok "$claim" "status $got, not $want: $*"$'\n'"$out"
	fi
}

# check_output CLAIM EXTENDED-REGEX COMMAND...: status 0, and a line that matches.
check_output()
{
	local claim=$1 want=$2 got=0 out
	shift 2
	out=$("$@" 2>&1) || got=$?
	if [ "$got" != 0 ]; then
		not_ok "$claim" "status $got: $*"$'\n'"$out"
	elif ! grep -Eq -e "$want" <<< "$out"; then
		not_ok "$claim" "no line matches \"$want\": $*"$'\n'"$out"
	else
		ok "$claim"
	fi
}

# wait_until SECONDS COMMAND...: until it succeeds, which should be within SECONDS on an
# idle machine; fails when it has not after three times as many.
wait_until()
{
	local end=$((SECONDS + 3 * $1))
	shift
	until "$@" > /dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# The plan, and the program's exit status. Call it last.
tap_done()
{
	echo "1..$tap_n"
	[ "$tap_failed" = 0 ] && [ "$tap_n" -gt 0 ]
	exit
}
