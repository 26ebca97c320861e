# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# . tests/unit/library.sh NAME: what a library is for whoever uses it, for client_install.sh
# and admin_install.sh. NAME is "belay" as in libbelay.so.0; $so is the library, $header its
# header, $dir a folder for what is made.

name=$1
so=build/lib/lib$name.so.0
header=include/$name.h
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Comments name functions, too; those are declared as well.
declared() { grep -oE '\bbelay_[a-z_]+\(' "$header" | tr -d '(' | sort -u | grep -vx belay_valid; }
exported() { nm -D --defined-only "$so" | awk '$2 == "T" { sub(/@@.*/, "", $3); print $3 }' | sort; }
same_names() { diff <(declared) <(exported); }
# all_have VERSION
all_have() { ! nm -D --defined-only "$so" | awk '$2 == "T"' | grep -v "@@$1\$"; }
soname() { readelf -d "$so" | grep -q "SONAME.*\[lib$name.so.0\]"; }
needs() { readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^libc\.so\|^ld-linux'; }
needs_only_libc() { ! needs; }
# No writable variables of its own: what is left is the linker's.
no_state()
{
	! nm "build/lib/lib$name.a" | grep -E ' [bBC] | [dD] [a-z]' | grep -v ' [dD] reasons$'
}

# stage TEMPLATE: as make install would put it.
stage()
{
	mkdir -p "$dir/usr/include/linux" "$dir/usr/lib/pkgconfig"
	cp "$header" "$dir/usr/include/"
	cp include/uapi/linux/belay.h "$dir/usr/include/linux/"
	cp "$so" "$dir/usr/lib/"
	ln -s "lib$name.so.0" "$dir/usr/lib/lib$name.so"
	sed "s|@PREFIX@|/usr|; s|@LIBDIR@|/usr/lib|; s|@INCLUDEDIR@|/usr/include|; s|@VERSION@|0.1.0|" \
		"$1" > "$dir/usr/lib/pkgconfig/$name.pc"
}

example()
{
	local flags
	# Debian's pkg-config leaves out /usr/include; with a sysroot it must not.
	flags=$(PKG_CONFIG_LIBDIR=$dir/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
		pkg-config --cflags --libs "$name") || return
	# shellcheck disable=SC2086 # words
	gcc -Wall -Wextra -Werror "examples/$1.c" -o "$dir/$1" $flags
}

# no_daemon EXAMPLE: it ends, and says why.
no_daemon()
{
	! BELAY_SOCKET=$dir/none LD_LIBRARY_PATH=$dir/usr/lib "$dir/$1" 2> "$dir/said" &&
		grep -q 'belayd is not running' "$dir/said"
}

# compiles LANGUAGE COMPILER FLAGS: the header alone, and with the others in both orders.
compiles()
{
	local includes me=${header#include/} others="<linux/belay.h> <belay.h> <belay-admin.h>"
	for includes in "<$me>" "<$me> $others" "$others <$me>"; do
		# shellcheck disable=SC2086 # one header a line
		printf '#include %s\n' $includes |
			"$2" -x "$1" "${@:3}" -Wall -Wextra -Werror -pedantic -fsyntax-only \
				-Iinclude -Iinclude/uapi - || return
	done
}

# cxx_program STATEMENTS: a program in C++ that uses every struct and, by address, every
# function of the header.
cxx_program()
{
	local structs struct
	structs=$(grep -oE '^struct belay_[a-z_]+ \{' "$header" | sed 's/struct \(.*\) {/\1/')
	{
		printf '#include <%s>\n#include <linux/belay.h>\n#include <stdio.h>\n' "${header#include/}"
		printf 'int main()\n{\n'
		for struct in $structs; do
			printf '\t%s the_%s = %s();\n' "$struct" "$struct" "$struct"
		done
		declared | sed 's/.*/\tif (!(const void *)&)\n\t\treturn 2;/'
		for struct in $structs; do
			printf '\t(void)the_%s;\n' "$struct"
		done
		printf '\t%s\n}\n' "$1"
	} > "$dir/program.cc"
	g++ -std=gnu++11 -Wall -Wextra -Werror -Wno-address "$dir/program.cc" -o "$dir/program" \
		-I"$dir/usr/include" -L"$dir/usr/lib" -l"$name" &&
		BELAY_SOCKET=$dir/none LD_LIBRARY_PATH=$dir/usr/lib "$dir/program"
}
