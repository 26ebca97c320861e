# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# The two releases of Debian that belay is built and tested on, and an apt for the one
# that this machine does not have. That apt has a configuration, lists and a cache of its
# own in build/debianRELEASE/; nothing of the other release is installed.

debian_release=${debian_release:-}
debian_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { echo "debian$debian_release: $*" >&2; }
die() { say "$*"; exit 1; }

# debian_codename RELEASE
debian_codename()
{
	case $1 in
	12) echo bookworm ;;
	13) echo trixie ;;
	esac
}

# debian_here: the release of this machine, or nothing.
debian_here()
{
	local file=${OS_RELEASE:-/etc/os-release}
	[ -r "$file" ] || return 0
	# shellcheck source=/dev/null
	(. "$file"; [ "${ID:-}" != debian ] || case ${VERSION_ID:-} in 12 | 13) echo "$VERSION_ID" ;; esac)
}

# The archives of this machine's own apt, for release $1: one "deb" line each. Third-party
# sources do not belong there; Origin tells them apart.
debian_other_sources()
{
	local uris security uri name
	name=$(debian_codename "$1")
	# shellcheck disable=SC2016 # apt-get expands these
	uris=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(COMPONENT)' \
		'Created-By: Packages' |
		sed -nE 's/^Debian (bookworm|trixie)(-security)? ([^ ]*) main$/\2 \3/p' | sort -u)
	[ -n "$uris" ] || return 1
	while read -r security uri; do
		# Without -security there is but one field.
		if [ -n "$uri" ]; then
			echo "deb $uri $name-security main"
		else
			printf 'deb %s %s main\n' "$security" "$name"
			[ "$1" = 12 ] || printf 'deb %s %s main\n' "$security" "$name-backports"
		fi
	done <<< "$uris"
}

# debian_apt_refresh DIR CONF
debian_apt_refresh()
{
	say "asking the archive what Debian $debian_release has"
	APT_CONFIG=$2 apt-get -q update > "$1/log" 2>&1 || { tail -n 20 "$1/log" >&2; die "apt-get update failed"; }
}

# debian_make_apt RELEASE DIR: DIR/apt.conf and what belongs to it, unless it is there.
# Root's apt drops its rights to a user who must be able to write there.
debian_make_apt()
{
	local dir=$2 new=$2/new.$$
	[ ! -e "$dir/apt.conf" ] || return 0
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	chmod 0755 "$dir"
	debian_other_sources "$1" > "$dir/sources.list" || {
		"$debian_top/scripts/setup" --refresh
		debian_other_sources "$1" > "$dir/sources.list" ||
			die "apt on this machine has no lists of Debian's archive (apt-get update?)"
	}
	sed "s|@|$dir|" > "$new" <<- 'END'
		Dir::Etc::SourceList "@/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "@/lists";
		Dir::State::Status "/dev/null";
		Dir::Cache "@/cache";
	END
	debian_apt_refresh "$dir" "$new"
	mv "$new" "$dir/apt.conf"
}

# mmdebstrap, without the files that are open here: it hands one of its own to a shell,
# dash, which knows no file descriptor above 9.
mmdebstrap_alone()
{
	local fd
	for fd in "/proc/$BASHPID/fd/"*; do
		fd=${fd##*/}
		if [ "$fd" -gt 2 ] && [ "$fd" -lt 255 ]; then
			exec {fd}>&-
		fi
	done
	exec mmdebstrap --quiet --variant=minbase "$@"
}

# debian_bootstrap REPORT WORD...: mmdebstrap, with its sources on standard input; once more
# if it fails, as an archive may not answer for a moment.
debian_bootstrap()
{
	local report=$1 sources
	shift
	sources=$(cat)
	(mmdebstrap_alone "$@" - <<< "$sources") > "$report" 2>&1 || {
		sed -n 's/^E: /debian: /p' "$report" >&2
		say "mmdebstrap failed; trying again"
		(mmdebstrap_alone "$@" - <<< "$sources") > "$report" 2>&1
	} || { cat "$report" >&2; die "mmdebstrap failed"; }
}
