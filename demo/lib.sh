# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# How the demonstration looks: numbered steps, real output between them, and claims
# that are checked. A claim that is not true ends the demonstration at once.

if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
	bold='' dim='' green='' red='' plain=''
fi
step_n=0
claim_n=0

# step SENTENCE...
step()
{
	step_n=$((step_n + 1))
	printf '\n%s%d. %s%s\n' "$bold" "$step_n" "$*" "$plain"
}

indent()
{
	sed "s/^/     /"
}

# show COMMAND...: the command and what it prints; its status.
show()
{
	printf '   %s$ %s%s\n' "$dim" "$*" "$plain"
	"$@" 2>&1 | indent
	return "${PIPESTATUS[0]}"
}

# claim SENTENCE COMMAND...: that the command succeeds is what makes it true.
claim()
{
	local sentence=$1
	shift
	# shellcheck disable=SC2154 # the includer's
	if ! "$@" > "$dir/claim" 2>&1; then
		printf '   %snot true: %s%s\n' "$red" "$sentence" "$plain"
		{ echo "$*:"; cat "$dir/claim"; } | indent
		exit 1
	fi
	claim_n=$((claim_n + 1))
	printf '   %s=> %s%s\n' "$green" "$sentence" "$plain"
}

# soon COMMAND...: within a minute, as the machine that shows this may be a busy one.
soon()
{
	local end=$((SECONDS + 60))
	until "$@" > /dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			"$@"
			return
		fi
		sleep 0.05
	done
}

# says FILE TEXT: the file has the text now.
says()
{
	grep -qF -e "$2" "$1" || { cat "$1"; return 1; }
}

differs()
{
	[ "$1" != "$2" ]
}

same()
{
	[ "$1" = "$2" ] || { echo "$1 is not $2"; return 1; }
}
