#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belayd's command line: what it says, and its exit status. No daemon is started.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

belayd=build/bin/belayd
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
conf=$dir/belayd.conf

# says PATTERN STATUS COMMAND...: what it prints has a line like that.
says()
{
	local pattern=$1 status=$2 out got=0
	shift 2
	out=$("$@" 2>&1) || got=$?
	[ "$got" = "$status" ] || { echo "status $got"; echo "$out"; return 1; }
	grep -qE -- "$pattern" <<< "$out" || { echo "$out"; return 1; }
}

printf '[system]\nmax = 1G\n' > "$conf"
check "a good configuration: no error, status 0" \
	says "^$conf and drop-ins: 0 errors, 0 warnings$" 0 "$belayd" --check-config="$conf"
check "with --debug, each key is shown with the value that it has" \
	says '\[system\] max = 1 GiB$' 0 "$belayd" --debug --check-config="$conf"
check "also one that no file sets" \
	says '\[revoke\] deadline = 10s$' 0 "$belayd" --debug --check-config="$conf"
mkdir "$conf.d"
printf '[system]\nmaximum = 1G\n' > "$conf.d/a.conf"
check "a warning is counted, and is no error" \
	says "^$conf and drop-ins: 0 errors, 1 warning$" 0 "$belayd" --check-config="$conf"
check "it says that the key is ignored" \
	says "a.conf:2: warning: unknown key maximum in \[system\] is ignored" 0 \
	"$belayd" --check-config="$conf"
printf 'hello\nmax = 1Q\n' >> "$conf"
check "errors are counted, status 78" \
	says "^$conf and drop-ins: 2 errors, 1 warning$" 78 "$belayd" --check-config="$conf"
check "an error says so, with its line" says "belayd.conf:3: error: neither a " 78 \
	"$belayd" --check-config="$conf"
check "a file that is named and does not exist is an error" \
	says "$dir/none: there is no such file" 78 "$belayd" --check-config="$dir/none"
check "an unknown option: the way to the help" says "^Try: belayd --help$" 2 "$belayd" --bogus
check "an argument too many: the way to the help" says "^Try: belayd --help$" 2 "$belayd" now
# at_socket COMMAND...: as systemd starts it for a connection.
at_socket()
{
	# shellcheck disable=SC2016 # for that shell
	LISTEN_FDS=1 bash -c 'LISTEN_PID=$$ exec "$@" 3< /dev/null' at_socket "$@"
}

# takes FROM TO COMMAND...: so many seconds.
takes()
{
	local start=$SECONDS
	"${@:3}"
	[ $((SECONDS - start)) -ge "$1" ] && [ $((SECONDS - start)) -le "$2" ]
}

check "it does not start with errors, and says how to see them" \
	says "not started: .*; see: belayd --check-config=$conf" 78 "$belayd" --config "$conf"
check "started by hand, it ends at once" takes 0 3 says "" 78 "$belayd" --config "$conf"
check "started by a socket, it takes its time, for systemd would start it again at once" \
	takes 4 30 says "" 78 at_socket "$belayd" --config "$conf"
rm -r "$conf.d"
printf '[system]\nmax = 1G\n' > "$conf"
check "a device that is another one is no device of belay's" \
	says "/dev/null is not belay's device, which is /dev/belay" 1 \
	"$belayd" --config "$conf" --device /dev/null
tap_done
