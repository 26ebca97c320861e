#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# A field is added to each struct of the socket's protocol that may grow, as a later
# release would: the messages of the first release are still taken, and what is shorter
# still refused.
set -euo pipefail
. tests/lib/tap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

grow()
{
	mkdir "$work/common"
	cp common/*.[ch] "$work/common/"
	sed -i -e '/^struct bl_\(msg\|refusal\|level\|list_rows\) {/,/^};/b' \
		-e '/^struct bl_/,/^};/s/^};/\tuint64_t grown;\n};/' "$work/common/protocol.h"
	# 14 messages and 3 rows.
	[ "$(grep -c grown "$work/common/protocol.h")" -ge 17 ]
}

build()
{
	gcc -std=gnu11 -Wall -Wextra -Werror -D_GNU_SOURCE -iquote "$work" -iquote . \
		-Iinclude -Iinclude/uapi -o "$work/test" \
		tests/unit/common_message.c "$work/common/message.c"
}

check "a field is added to each struct" grow
check "common/message.c and its test build with these" build
check "it takes what the first release has sent, and refuses what is shorter" "$work/test"
tap_done
