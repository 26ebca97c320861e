# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Where the parts of the machine lie, and whether an image can be trusted; shared
# by build and run.
#
#   build/vm/root/     root.sqfs
#   build/vm/SERIES/   vmlinuz, initramfs, modules.sqfs, config
#   build/vm/log/      what the guests' kernels said
#
# Each image folder has a stamp: the hash of the recipe it was made from, and the
# hash of every file in it. An image without a stamp that fits is no image.

VM_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The harness's own tests build their images somewhere else.
VM_DIR=${BELAY_VM_DIR:-$VM_SRC/build/vm}

vm_say() { echo "vm: $*" >&2; }

# Packages of the root image.
VM_PACKAGES=(systemd systemd-sysv udev dbus libpam-systemd kmod iproute2 procps
	util-linux e2fsprogs xfsprogs ndctl numactl strace make attr libcap2-bin
	rdma-core ibverbs-utils ibverbs-providers perftest libibverbs1
	libevent-2.1-7 libevent-core-2.1-7 libsystemd0 libsmartcols1 libjansson4
	libinih1 libcap2 liburing2 libnuma1 iputils-ping pciutils jq less gdb-minimal
	man-db python3-minimal)

# Modules that the initramfs loads.
VM_BOOT_MODULES=(virtio_pci virtio_blk virtio_console 9pnet_virtio 9p overlay
	squashfs crc32c_generic)

# Kernel folders that the machine has no use for; left out, since depmod in the
# guest reads every module there is.
VM_NO_MODULES=(sound drivers/gpu drivers/media drivers/staging drivers/hid
	drivers/iio drivers/input drivers/usb drivers/bluetooth drivers/hwmon
	drivers/mmc drivers/net/wireless drivers/net/ethernet drivers/net/usb
	drivers/net/can drivers/net/phy drivers/net/wwan drivers/net/hamradio
	drivers/isdn drivers/atm drivers/mtd drivers/scsi drivers/ata
	drivers/video drivers/platform drivers/power drivers/leds drivers/mfd
	drivers/rtc drivers/watchdog drivers/w1 drivers/i2c drivers/spi
	drivers/gpio drivers/comedi drivers/firewire drivers/infiniband/hw
	drivers/target drivers/regulator drivers/rapidio drivers/parport
	drivers/pcmcia drivers/ssb drivers/bcma drivers/thunderbolt drivers/edac
	drivers/md drivers/misc drivers/accel drivers/soundwire drivers/memstick
	drivers/pinctrl drivers/extcon drivers/hsi drivers/nfc drivers/gnss
	net/bluetooth net/mac80211 net/wireless net/netfilter net/sched
	net/bridge net/can net/sctp net/rds net/tipc net/batman-adv net/dccp
	net/ipv4/netfilter net/ipv6/netfilter net/openvswitch net/ceph
	net/sunrpc net/nfc net/mac802154 net/ieee802154 net/rxrpc net/l2tp
	net/atm net/ax25 net/appletalk net/lapb net/smc fs/ocfs2 fs/gfs2 fs/dlm
	fs/ceph fs/nfs fs/nfsd fs/smb fs/cifs fs/ksmbd fs/afs fs/coda fs/jfs
	fs/reiserfs fs/ubifs fs/jffs2 fs/orangefs fs/udf fs/ntfs fs/ntfs3)

# The hash of what goes into an image, so that a change of the recipe rebuilds it.
vm_recipe()
{
	local what=$1
	{
		echo "format 1"
		case $what in
		root)
			echo "${VM_PACKAGES[@]}"
			cat "$VM_SRC/tests/vm/customize"
			;;
		*)
			"$VM_SRC/scripts/kernel-version" -p "$what"
			echo "${VM_BOOT_MODULES[@]}" "${VM_NO_MODULES[@]}"
			cat "$VM_SRC/tests/vm/guest/initramfs"
			;;
		esac
		cat "$VM_SRC/tests/vm/build"
	} | sha256sum | cut -d ' ' -f 1
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
