#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# What a program that uses the library gets: symbols, headers, pkg-config file.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
so=build/lib/libbelay.so.0

declared() { grep -oE '\bbelay_[a-z_]+\(' include/belay.h | tr -d '(' | sort -u | grep -vx belay_valid; }
# Comments name functions, too; those are declared as well.
exported() { nm -D --defined-only "$so" | awk '$2 == "T" { sub(/@@.*/, "", $3); print $3 }' | sort; }
same_names() { diff <(declared) <(exported); }
versioned() { ! nm -D --defined-only "$so" | awk '$2 == "T"' | grep -v '@@BELAY_0\.1$'; }
stays() { readelf -d "$so" | grep -q 'FLAGS_1.*NODELETE'; }
soname() { readelf -d "$so" | grep -q 'SONAME.*\[libbelay.so.0\]'; }
needs() { readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^libc\.so\|^ld-linux'; }
needs_only_libc() { ! needs; }
# No writable variables of its own: what is left is the linker's.
no_state()
{
	! nm "build/lib/libbelay.a" | grep -E ' [bBC] | [dD] [a-z]' | grep -v ' [dD] reasons$'
}

stage()
{
	mkdir -p "$dir/usr/include/linux" "$dir/usr/lib/pkgconfig"
	cp include/belay.h "$dir/usr/include/"
	cp include/uapi/linux/belay.h "$dir/usr/include/linux/"
	cp "$so" "$dir/usr/lib/"
	ln -s libbelay.so.0 "$dir/usr/lib/libbelay.so"
	sed "s|@PREFIX@|/usr|; s|@LIBDIR@|/usr/lib|; s|@INCLUDEDIR@|/usr/include|; s|@VERSION@|0.1.0|" \
		libclient/libbelay.pc.in > "$dir/usr/lib/pkgconfig/belay.pc"
}

example()
{
	local flags
	# Debian's pkg-config leaves out /usr/include; with a sysroot it must not.
	flags=$(PKG_CONFIG_LIBDIR=$dir/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		pkg-config --cflags --libs belay) || return
	# shellcheck disable=SC2086 # words
	gcc -Wall -Wextra -Werror "examples/$1.c" -o "$dir/$1" $flags
}

no_daemon()
{
	! BELAY_SOCKET=$dir/none LD_LIBRARY_PATH=$dir/usr/lib "$dir/hello" 2> "$dir/said" &&
		grep -q 'belayd is not running' "$dir/said"
}

# header LANGUAGE COMPILER FLAGS: alone, and with the kernel's header in both orders.
header()
{
	local includes
	for includes in '<belay.h>' '<belay.h> <linux/belay.h>' '<linux/belay.h> <belay.h>'; do
		# shellcheck disable=SC2086 # one header a line
		printf '#include %s\n' $includes |
			"$2" -x "$1" "${@:3}" -Wall -Wextra -Werror -pedantic -fsyntax-only \
				-Iinclude -Iinclude/uapi - || return
	done
}

# A program in C++ that uses every struct and, by address, every function.
cxx_program()
{
	{
		printf '#include <belay.h>\n#include <linux/belay.h>\n#include <stdio.h>\n'
		printf 'int main()\n{\n'
		grep -oE '^struct belay_[a-z_]+ \{' include/belay.h | sed 's/struct \(.*\) {/\t\1 the_\1 = \1();/'
		printf '\tthe_belay_refusal.size = sizeof(the_belay_refusal);\n'
		declared | sed 's/.*/\tif (!(const void *)&)\n\t\treturn 2;/'
		grep -oE '^struct belay_[a-z_]+ \{' include/belay.h | sed 's/struct \(.*\) {/\t(void)the_\1;/'
		printf '\tbelay *b = NULL;\n'
		printf '\tint err = belay_open(&b, NULL, &the_belay_refusal);\n'
		printf '\tputs(the_belay_refusal.text);\n\treturn err == -2 ? 0 : 1;\n}\n'
	} > "$dir/program.cc"
	g++ -std=gnu++11 -Wall -Wextra -Werror -Wno-address "$dir/program.cc" -o "$dir/program" \
		-I"$dir/usr/include" -L"$dir/usr/lib" -lbelay &&
		BELAY_SOCKET=$dir/none LD_LIBRARY_PATH=$dir/usr/lib "$dir/program"
}

stage
check "the library exports what the header declares, and nothing else" same_names
check "every symbol has a version" versioned
check "the library has its name" soname
check "the library needs nothing but libc" needs_only_libc
check "the library is not unloaded: a thread may run in it" stays
check "the library keeps nothing in variables of its own" no_state
check "an example compiles with what pkg-config says" example hello
check "another one, too" example stale
check "without a daemon it says so" no_daemon
check "the header is C99 on its own, and with the kernel's" header c gcc -std=gnu99
check "the header is C++" header c++ g++ -std=gnu++11
check "a C++ program compiles, links and runs with all that it has" cxx_program
tap_done
