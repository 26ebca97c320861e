#!/bin/bash
# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# What can be called, typed or written has its place in the manual. The names are
# taken from the headers, the sources and the commands themselves, so something new
# that nobody described fails here.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/tap.sh

ctl=build/bin/belayctl
daemon=build/bin/belayd

# text PAGE: as a person reads it.
text()
{
	mandoc -T ascii "$1" | col -b
}

# missing PAGE: those of the words on standard input that the page has not.
missing()
{
	local page=$1 word
	local words
	words=$(text "$page" | tr -s '[:space:]' ' ')
	while read -r word; do
		grep -qF -- "$word" <<< "$words" || echo "$word"
	done
}

# none_missing CLAIM PAGE NAMES: NAMES must be some, or the extraction has failed.
none_missing()
{
	local claim=$1 page=$2 names=$3 left
	if [ -z "$names" ]; then
		not_ok "$claim" "found nothing to look for: has its source changed its form?"
		return
	fi
	left=$(missing "$page" <<< "$names")
	if [ -z "$left" ]; then
		ok "$claim"
	else
		not_ok "$claim" "$page has nothing about:"$'\n'"$left"
	fi
}

# Of both libraries.
library_functions()
{
	sed 's|//.*||; s|/\*.*\*/||' include/belay.h include/belay-admin.h |
		grep -oE '^[a-z].*[ *](belay_[a-z_]+)\(' |
		grep -v typedef | grep -oE 'belay_[a-z_]+\(' | tr -d '(' | sort -u
}

function_pages()
{
	local name left='' names
	names=$(library_functions)
	[ "$(wc -w <<< "$names")" -ge 31 ] || left="only these functions were found: $names"
	for name in $names; do
		[ -e "man/$name.3" ] || grep -lqE "^\.Nm $name( ,)?$" man/*.3 2> /dev/null ||
			left+="$name"$'\n'
	done
	[ -z "$left" ] || { echo "no page in section 3 for: $left"; return 1; }
}

# Every function that a page of section 3 names in .Nm can be opened by that name.
page_names()
{
	local page name left=''
	for page in man/*.3; do
		while read -r name; do
			[ -e "man/$name.3" ] || left+="$page names $name, but there is no man/$name.3"$'\n'
		done < <(sed -n 's/^\.Nm \(belay_[a-z_]*\).*/\1/p' "$page")
	done
	[ -z "$left" ] || { echo "$left"; return 1; }
}

function_errors()
{
	local page left=''
	for page in man/*.3; do
		[ -e "$page" ] || { echo "there is no page in section 3"; return 1; }
		head -n 3 "$page" | grep -q '^\.so ' && continue
		for section in 'ERRORS' 'EXAMPLES'; do
			grep -qE "^\.Sh $section" "$page" || left+="$page has no section $section"$'\n'
		done
	done
	[ -z "$left" ] || { echo "$left"; return 1; }
}

# References to pages of our own lead somewhere.
references()
{
	local page name section left=''
	for page in man/*.[345678]; do
		while read -r name section; do
			[ -e "man/$name.$section" ] || left+="$page: $name($section)"$'\n'
		done < <(sed -nE 's/^\.Xr ((lib)?belay[a-z_.-]*) ([0-9]).*/\1 \3/p' "$page")
	done
	[ -z "$left" ] || { echo "no such page: $left"; return 1; }
}

exit_statuses()
{
	local n numbers
	numbers=$(sed -n '/^enum ctl_exit/,/^}/p' ctl/belayctl.h | grep -oE '= [0-9]+' | tr -d '= ')
	[ "$(wc -w <<< "$numbers")" -ge 7 ] || { echo "found only: $numbers"; return 1; }
	for n in $numbers; do
		sed -n '/^\.Sh EXIT STATUS/,/^\.Sh EXAMPLES/p' man/belayctl.8 |
			grep -qx "\.It $n" || { echo "not described: $n"; return 1; }
	done
}

examples_compile()
{
	local page program std
	for page in man/*.[37]; do
		program=$(awk -f man/example.awk "$page")
		[ -n "$program" ] || continue
		! grep -q 'infiniband/' <<< "$program" || [ -e /usr/include/infiniband/verbs.h ] ||
			continue
		for std in gnu17 c11; do
			gcc -std="$std" -Wall -Wextra -Werror -Iinclude -Iinclude/uapi \
				-fsyntax-only -x c - <<< "$program" ||
				{ echo "in $page, as $std"; return 1; }
		done
	done
	awk -f man/example.awk man/belay.7 | grep -q belay_get_request
}

none_missing "every subcommand of belayctl is in belayctl(8)" man/belayctl.8 \
	"$("$ctl" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p')"
none_missing "every option of belayctl is in belayctl(8)" man/belayctl.8 \
	"$(for c in '' status list limit recall reload; do "$ctl" $c --help; done |
		grep -oE -- '--[a-z-]+' | sort -u)"
none_missing "every JSON field of belayctl is in belayctl(8)" man/belayctl.8 \
	"$(grep -ohE '"[a-z_]+", *(ctl_json_|json_|[a-z]->)' ctl/*.c |
		sed 's/^"\([a-z_]*\)".*/\1/' | sort -u)"
none_missing "every column of belayctl list is in belayctl(8)" man/belayctl.8 \
	"$(sed -nE 's/^\t\{ "([A-Z%-]+)", .*/\1/p' ctl/list.c ctl/limit.c | sort -u)"
check "every exit status of belayctl is in belayctl(8)" exit_statuses
none_missing "every option of belayd is in belayd(8)" man/belayd.8 \
	"$("$daemon" --help 2>&1 | grep -oE -- '--[a-z-]+' | sort -u)"
none_missing "every command of the kernel ABI is in belay(4)" man/belay.4 \
	"$(sed -nE 's/^#define (BELAY_[A-Z_]+)\s+_IO\(.*/\1/p' include/uapi/linux/belay.h)"
none_missing "every errno of the kernel ABI is in belay(4)" man/belay.4 \
	"$(sed -nE 's/^ \*  (E[A-Z0-9]+) .*/\1/p' include/uapi/linux/belay.h | sort -u)"
none_missing "every bit of the validity word is in belay(4)" man/belay.4 \
	"$(sed -nE 's/^#define (BELAY_WORD_[A-Z]+)\s.*/\1/p' include/uapi/linux/belay.h)"
none_missing "every counter under /sys is in belay(4)" man/belay.4 \
	"$(sed -n '/define BELAY_GAUGES/,/^$/p' kmod/stats.h | grep -oE 'X\([a-z_]+\)' |
		sed 's/X(\(.*\))/\1/' | sort -u)"
none_missing "every line of fdinfo is in belay(4)" man/belay.4 \
	"$(grep -ohE '"belay-[a-zA-Z-]+:' kmod/*.c | tr -d '":')"
none_missing "every trace event is in belay(4)" man/belay.4 \
	"$(sed -nE 's/^(TRACE_EVENT\(|DEFINE_EVENT\([a-z_]+, )(belay_[a-z_]+),.*/\2/p' kmod/trace.h)"
none_missing "every script for bpftrace is in belay(4)" man/belay.4 \
	"$(basename -a tracing/*.bt)"
none_missing "all that regions are selected by is in belay_admin_list_new(3)" man/belay_admin_list_new.3 \
	"$(sed -nE 's/^#define (BELAY_ADMIN_BY_[A-Z_]+)\s.*/\1/p' include/belay-admin.h)"
none_missing "every escalation is in belay_admin_recall(3)" man/belay_admin_recall.3 \
	"$(sed -nE 's/^#define (BELAY_ADMIN_(AS_CONFIGURED|KEEP|RELEASE|KILL))\s.*/\1/p' include/belay-admin.h)"
none_missing "every error of all calls of libbelay-admin is in belay_admin_open(3)" man/belay_admin_open.3 \
	"$(sed -nE 's/^ \*\t(-E[A-Z]+)\t.*/\1/p' include/belay-admin.h)"
check "every function of the libraries has a page in section 3" function_pages
check "every name that a page of section 3 gives can be looked up" page_names
check "every page of section 3 has its errors and an example" function_errors
check "references between belay's own pages lead somewhere" references
check "the programs in the manual compile" examples_compile
tap_done
