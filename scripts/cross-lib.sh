# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# What belay calls an architecture that it is built for but not run on, and what the
# kernel and the compiler call it.

# cross_words ARCH: the words for kbuild.
cross_words()
{
	case $1 in
	arm64) echo ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- ;;
	s390x) echo ARCH=s390 CROSS_COMPILE=s390x-linux-gnu- ;;
	esac
}

# cross_cc ARCH: the compiler.
cross_cc()
{
	local words
	words=$(cross_words "$1")
	echo "${words##*=}gcc"
}

# cross_config ARCH: what its kernel is configured with, on top of the defconfig.
cross_config()
{
	cat tests/cross/config
	# The largest pages that it has.
	[ "$1" != arm64 ] || echo CONFIG_ARM64_64K_PAGES=y
}
