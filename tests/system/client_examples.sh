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
check_output "a refusal is a sentence" 'this process: .*4 KiB in use, 1 MiB more needed' \
	eval '! setpriv --reuid 3010 --regid 3010 --clear-groups prlimit --memlock=4096:4096 hello 2>&1'
tap_done
