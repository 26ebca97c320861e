# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# What install and uninstall have in common.

DESTDIR=${DESTDIR:-}
# shellcheck disable=SC2034 # the scripts' own
kver=${KVER:-$(uname -r)}
# shellcheck disable=SC2034
installed=$DESTDIR$LIBEXECDIR/manifest

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# dkms_versions MANIFEST: those whose sources were put where dkms finds them.
dkms_versions()
{
	sed -n 's|^file /usr/src/belay-\(.*\)/dkms.conf$|\1|p' "$1"
}

# Lets the running system see new, or no longer see removed, files.
refresh_system()
{
	ldconfig
	if command -v systemd-sysusers > /dev/null; then
		systemd-sysusers
	fi
	if [ -d /run/systemd/system ]; then
		systemd-tmpfiles --create > /dev/null 2>&1 || true
		systemctl daemon-reload
		udevadm control --reload 2> /dev/null || true
	fi
}
