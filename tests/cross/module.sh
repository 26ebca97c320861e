# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# The module and the programs, compiled for the architecture $arch, which is not at hand
# to run them. What a kernel that was not built cannot tell, which symbols there are,
# is taken from its source: what it exports.
. tests/lib/tap.sh
. scripts/cross-lib.sh

# shellcheck disable=SC2154 # who sources this says it
case $arch in
arm64) pages=65536 other_pages=4096 big='' machine='Machine: +AArch64' ;;
s390x) pages=4096 other_pages=65536 big=-DBIG machine='Machine: +IBM S/390' ;;
esac
read -ra words < <(cross_words "$arch")
cc=$(cross_cc "$arch")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# control PAGES [FLAG]: a module that compiles only where its claims hold.
control()
{
	cp tests/cross/control/* "$work/"
	make -s -C "build/cross/$arch" "M=$work" "${words[@]}" KBUILD_MODPOST_WARN=1 \
		"KCFLAGS=-DPAGES=$1 ${2:-}" modules
}

# The kernel's symbols for modules. Tracepoints, what BPF runs at them and, on s390, the
# expoline thunks are exported by macros of their own.
exported()
{
	local tree
	tree=$(scripts/fetch-source)
	(cd "$tree" && grep -rhoE 'EXPORT_(TRACEPOINT_)?SYMBOL(_GPL|_NS|_NS_GPL)?\(\w+' \
		"arch/${words[0]#ARCH=}" init kernel mm lib fs drivers/base drivers/char block \
		security net/core) |
		sed -E 's/^EXPORT_TRACEPOINT.*\(/__tracepoint_/; s/.*\(//'
	printf 'bpf_trace_run%d\n' {1..12}
	grep -q '^CONFIG_EXPOLINE_EXTERN=y' "build/cross/$arch/.config" &&
		printf '__s390_indirect_jump_r%d\n' {1..15}
}

# needs_unexported MODULE: the symbols that it will not find.
needs_unexported()
{
	"${cc%gcc}nm" -u "$1" | awk '{ print $2 }' | grep -vxF -f <(exported) || true
}

finds_all_symbols()
{
	local lacking
	lacking=$(needs_unexported "build/kmod/$arch/belay.ko")
	[ -z "$lacking" ] || { echo "not exported: $lacking"; return 1; }
}

not() { ! "$@"; }

# The headers of the libraries that there are for this machine's own architecture only
# come last, and do for compiling.
user_space()
{
	local file good=0 flags
	read -ra flags < <(pkg-config --cflags smartcols)
	for file in common/*.c libclient/*.c libadmin/*.c daemon/*.c daemon/*/*.c ctl/*.c examples/*.c; do
		"$cc" -std=gnu11 -O2 -fPIC -Wall -Wextra -Wno-unused-parameter -Wshadow -Wvla \
			-Werror -D_GNU_SOURCE -DBELAY_VERSION='"0"' -Iinclude -Iinclude/uapi -iquote . \
			-idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu "${flags[@]}" \
			-c -o /dev/null "$file" || good=1
	done
	return "$good"
}

check "belay.ko builds for $arch under W=1 without a warning" scripts/cross-build "$arch"
check_output "it is a module for that machine" "$machine" "${cc%gcc}readelf" -h "build/kmod/$arch/belay.ko"
check "every symbol that it needs is exported to modules" finds_all_symbols
check "pages have $pages bytes there${big:+, and bytes are in the other order}" control "$pages" "$big"
check_output "a function that is not exported is noticed" '^do_madvise$' \
	needs_unexported "$work/control.ko"
check_output "a claim of other pages does not compile" \
	'static assertion failed: "PAGE_SIZE == PAGES"' not control "$other_pages" "$big"
check "the libraries, the daemon, belayctl and the examples compile for $arch" user_space
tap_done
