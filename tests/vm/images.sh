# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# Where the parts of the machine lie, and whether an image can be trusted; shared
# by build and run.
#
#   build/vm/root12/   root.sqfs, Debian 12; build/vm/root13/ the same of Debian 13
#   build/vm/SERIES/   (6.1, 6.12, newest, debug, kcsan) vmlinuz, initramfs, modules.sqfs, config
#   build/vm/bpftrace13/, build/vm/stress-ng12/ and so on: a tool of that Debian, only
#                      where it is asked for
#   build/vm/log/      what the guests' kernels said
#
# Each image folder has a stamp: the hash of the recipe it was made from, and the
# hash of every file in it. An image without a stamp that fits is no image.

VM_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The harness's own tests build their images somewhere else.
VM_DIR=${BELAY_VM_DIR:-$VM_SRC/build/vm}

# The Debian of this machine.
VM_RELEASE=$(. "$VM_SRC/scripts/debian-lib.sh"; debian_here)

vm_say() { echo "vm: $*" >&2; }
vm_die() { vm_say "$*"; exit 1; }

# The hash of what goes into an image, so that a change of the recipe rebuilds it.
vm_recipe()
{
	local what=$1
	{
		echo "format 1"
		case $what in
		root1?) cat "$VM_SRC/tests/vm/make-root" "$VM_SRC/tests/vm/customize" ;;
		bpftrace1? | stress-ng1?) cat "$VM_SRC/tests/vm/make-tool"; vm_recipe "root${what: -2}" ;;
		*)
			"$VM_SRC/scripts/kernel-version" -p "$what"
			cat "$VM_SRC/tests/vm/make-kernel" "$VM_SRC/tests/vm/guest/initramfs"
			;;
		esac
	} | sha256sum | cut -d ' ' -f 1
}

# vm_release_of SERIES: the Debian that a kernel's machine has. The oldest kernel has the
# oldest one, unless this machine is newer: what is built here needs its C library.
vm_release_of()
{
	if [ "$1" = 6.1 ] && [ "$VM_RELEASE" != 13 ]; then
		echo 12
	else
		echo 13
	fi
}

# vm_stamp DIR RECIPE: what the stamp of this folder must say.
vm_stamp()
{
	echo "recipe $2"
	(cd "$1" && find . -type f ! -name stamp -print0 | sort -z |
		xargs -0 sha256sum)
}

# True when the image can be used as it is.
vm_trusted()
{
	local dir=$VM_DIR/$1
	[ -f "$dir/stamp" ] && [ "$(head -n 1 "$dir/stamp")" = "recipe $(vm_recipe "$1")" ] &&
		cmp -s "$dir/stamp" <(vm_stamp "$dir" "$(vm_recipe "$1")")
}
