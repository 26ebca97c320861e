#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# A program that uses libbelay-admin gets symbols, headers, a pkg-config file.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh
. tests/unit/library.sh belay-admin

uses_it() { readelf -d build/bin/belayctl | grep -q 'NEEDED.*\[libbelay-admin.so.0\]'; }
has_no_copy() { ! nm build/bin/belayctl | grep ' [tT] belay_admin_'; }
# The kernel ABI's header is not needed to compile with this one.
alone()
{
	echo '#include <belay-admin.h>' > "$dir/alone.c"
	cp include/belay-admin.h "$dir/"
	gcc -std=c99 -Wall -Wextra -Werror -pedantic -fsyntax-only -I"$dir" "$dir/alone.c"
}

stage libadmin/libbelay-admin.pc.in
check "the library exports what the header declares, and nothing else" same_names
check "every symbol has a version" all_have 'BELAY_ADMIN_0\.1'
check "the library has its name" soname
check "the library needs nothing but libc" needs_only_libc
check "the library keeps nothing in variables of its own" no_state
check "belayctl uses the library" uses_it
check "and has no copy of it" has_no_copy
check "the example compiles with what pkg-config says" example exporter
check "without a daemon it says so" no_daemon exporter
check "the header needs no other of belay's" alone
check "the header is C99, also with the others" compiles c gcc -std=gnu99
check "the header is C++" compiles c++ g++ -std=gnu++11
check "a C++ program compiles, links and runs with all that it has" cxx_program \
	'belay_admin *a = NULL;
	the_belay_admin_options.size = sizeof(the_belay_admin_options);
	int err = belay_admin_open(&a, &the_belay_admin_options);
	puts(belay_admin_error(a));
	belay_admin_close(a);
	return err == -2 ? 0 : 1;'
tap_done
