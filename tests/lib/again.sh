# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# A program that failed is run again, once, alone: for tests/run where BELAY_REPEAT is
# set, as .ci/run does, because a landing should not wait a day for a busy machine. All
# of that happens at the end, when nothing else is running. What passes then is counted
# and named as unsteady, and the files of its first run are kept in $out/first/.
#
# Some failures stand, however the second run would end: why_final() has the list. They
# are findings that no slow machine can cause.
#
# Of tests/run this uses $out, $repeat, boot(), host_program() and account().
# shellcheck disable=SC2154,SC2034 # those

# put_off WHERE FILES PASSED FAILED: a failure whose last word is not spoken.
put_off()
{
	echo "$*" >> "$out/again"
}

# why_final FILES: why the failure of this program stands, in words; or fails.
why_final()
{
	local files=$1
	if [ -e "$(dirname "$files")/final" ]; then
		echo "the kernel of its machine complained or died"
	elif grep -qsE '^not ok - .* leaves (complaints|.* pages pinned|.* in the module)' "$files.extra"; then
		echo "it left something behind"
	elif grep -qs '^# final: ' "$files.tap"; then
		echo "it says that this is final"
	elif grep -qsE 'ERROR: [A-Za-z]+Sanitizer|: runtime error: ' "$files.tap"; then
		echo "a sanitizer found something"
	elif ! grep -qsF "|$(basename "$files")|" "$out/list"; then
		echo "it is a step of the suite, not a program"
	else
		return 1
	fi
}

# The seed that it printed, so that it chooses the same again, as words for env.
seed_of()
{
	grep -oshE 'BELAY_(FUZZ_)?SEED=[0-9a-fx]+' "$1.tap" | tail -n 1
}

# again_in_machine SUITE KERNEL NAME SEED
again_in_machine()
{
	local suite=$1 kernel=$2 name=$3 dir=$out/again-$1-$2-$3 machine line
	line=$(awk -F '\t' -v name="$name" \
		'{ split($2, words, "|") } words[2] == name' "$out/$suite-$kernel.plan")
	machine=${line%%$'\t'*}
	mkdir -p "$dir"
	echo "${line#*$'\t'}" > "$dir/list"
	BELAY_SEED=${4:-${BELAY_SEED:-}} boot "$suite" "$kernel" "$machine" "$dir" "again-$suite-$kernel-$name"
}

# again_here SUITE NAME SEED
again_here()
{
	local name path options
	IFS='|' read -r _ name path options < <(awk -F '|' -v suite="$1" -v name="$2" \
		'$1 == suite && $2 == name' "$out/list")
	(
		[ -z "$3" ] || export "${3?}"
		host_program "$1" "$name" "$path" "$options" "$out/$1/$name"
	)
	account "$1" "$out/$1/$name"
}

# again_one WHERE FILES: its result counts in place of the first one's.
again_one()
{
	local where=$1 files=$2 name before seed
	name=$(basename "$files")
	mkdir -p "$out/first"
	seed=$(seed_of "$files") || true
	for file in "$files".*; do
		[ ! -e "$file" ] || mv "$file" "$out/first/${where//\//-}-${file##*/}"
	done
	printf '%-14s %-28s is run again, alone%s\n' "$where" "$name" "${seed:+ ($seed)}"
	before=$(wc -l < "$out/counts")
	case $where in
	*/*) again_in_machine "${where%/*}" "${where#*/}" "$name" "${seed#*=}" ;;
	*) again_here "$where" "$name" "$seed" ;;
	esac
	if tail -n "+$((before + 1))" "$out/counts" | awk '$2 { bad = 1 } END { exit bad }'; then
		echo "unsteady: $where $name failed, and passed when it was run again; the first run: $out/first/${where//\//-}-$name.tap" \
			>> "$out/unsteady"
	fi
}

run_again()
{
	local where files passed failed why
	[ -e "$out/again" ] || return 0
	# From now on, what fails has failed.
	repeat=''
	while read -r where files passed failed <&5; do
		if why=$(why_final "$files"); then
			printf '%-14s %-28s is not run again: %s\n' "$where" "$(basename "$files")" "$why"
			echo "$passed $failed" >> "$out/counts"
		else
			again_one "$where" "$files"
		fi
	done 5< "$out/again"
}
