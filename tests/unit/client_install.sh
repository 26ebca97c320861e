#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# A program that uses libbelay gets symbols, headers, a pkg-config file.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/unit/library.sh belay

stays() { readelf -d "$so" | grep -q 'FLAGS_1.*NODELETE'; }

stage libclient/libbelay.pc.in
check "the library exports what the header declares, and nothing else" same_names
check "every symbol has a version" all_have 'BELAY_0\.1'
check "the library has its name" soname
check "the library needs nothing but libc" needs_only_libc
check "the library is not unloaded: a thread may run in it" stays
check "the library keeps nothing in variables of its own" no_state
check "an example compiles with what pkg-config says" example hello
check "another one, too" example stale
check "without a daemon it says so" no_daemon hello
check "the header is C99 on its own, and with the others" compiles c gcc -std=gnu99
check "the header is C++" compiles c++ g++ -std=gnu++11
check "a C++ program compiles, links and runs with all that it has" cxx_program \
	'the_belay_refusal.size = sizeof(the_belay_refusal);
	belay *b = NULL;
	int err = belay_open(&b, NULL, &the_belay_refusal);
	puts(the_belay_refusal.text);
	return err == -2 ? 0 : 1;'
tap_done
