#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The small examples say what they should, as an unprivileged user.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

as=(setpriv --reuid bob --regid bob --init-groups --inh-caps=-all
	prlimit --memlock=8388608:8388608)

check_output "hello registers memory" '^region [0-9]+ is valid$' "${as[@]}" hello
check_output "stale is valid after mprotect" 'two mprotect\(\): +valid' "${as[@]}" stale
check_output "and not after munmap" 'after munmap\(\): +not valid' "${as[@]}" stale
check_output "nor when other memory lies there" 'that place: +not valid' "${as[@]}" stale
check_output "it is lost" 'says: +lost' "${as[@]}" stale
holding=$(mktemp)
is_holding() { grep -q holding "$holding"; }
let_go() { kill "$holder" 2> /dev/null; rm -f "$holding"; }
trap let_go EXIT
"${as[@]}" ctl_hold 1024 > "$holding" 2>&1 &
holder=$!
disown "$holder"	# else bash says that it was killed
check "somebody holds a MiB" wait_until 30 is_holding
check_output "exporter says what each account holds" \
	'^belay_account_usage_bytes\{account="user/bob"\} 1048576$' exporter
check_output "and the system" '^belay_account_usage_bytes\{account="system"\} 1048576$' exporter
check_output "also how many regions" '^belay_account_usage_regions\{account="user/bob"\} 1$' exporter
check_output "the system also to everybody" 'system"\} 1048576$' \
	setpriv --reuid alice --regid alice --init-groups exporter
check_status "but not what others hold" 1 \
	eval 'setpriv --reuid alice --regid alice --init-groups exporter | grep user/bob'
check_status "without belayd it fails" 1 env BELAY_SOCKET=/nonexistent exporter
check_output "a refusal is a sentence" 'this process: .*4 KiB in use, 1 MiB more needed' \
	eval '! setpriv --reuid 3010 --regid 3010 --clear-groups prlimit --memlock=4096:4096 hello 2>&1'
tap_done
