# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What tests/vm/run and the suite runner in the machine promise, tried on one
# kernel: machine_tests SERIES.
. tests/lib/tap.sh

# trouble.ko for this kernel, in build/trouble/SERIES.
build_trouble()
{
	local dir=$PWD/build/trouble/$1
	mkdir -p "$dir"
	cp tests/harness/trouble/trouble.c "$dir/"
	echo "obj-m := trouble.o" > "$dir/Kbuild"
	make -s -C "$(scripts/kernel-version -d "$1")" "M=$dir" modules
}

passes_on()
{
	local out
	# shellcheck disable=SC2016 # the machine expands it
	out=$(tests/vm/run --kernel "$1" --name "harness-$1-passes" -- bash -c '
		echo "as user $(id -u) in $PWD on $(uname -r)"
		echo changed > Makefile && echo "the tree can be written to"
		modprobe dummy && modprobe null_blk && modprobe zram && echo "modules load"
		su alice -c "id -un; echo result > /out/alice" && echo "users write to /out"
		echo 8 > /proc/sys/vm/nr_hugepages
		grep HugePages_Total /proc/meminfo
		seq 20000
		exit 3')
	[ $? = 3 ] || return 1
	[ "$(grep -cE '^[0-9]+$' <<< "$out")" = 20000 ] || { echo "lines were lost"; return 1; }
	! grep -q $'\r' <<< "$out" || { echo "there are carriage returns"; return 1; }
	grep -vE '^[0-9]+$' <<< "$out"
}

fails_as_asked()
{
	tests/vm/run --kernel "$1" --name "harness-$1-$2" -- \
		insmod "build/trouble/$1/trouble.ko" "make=$2"
}

out_of_time_on()
{
	tests/vm/run --kernel "$1" --name "harness-$1-time" --timeout 3 -- sleep 1000
}

# QEMU does not know this option.
without_qemu_on()
{
	tests/vm/run --kernel "$1" --name "harness-$1-qemu" --qemu-arg -nonsense -- true
}

# A run that is told to stop takes its own machine with it and no other.
stops_alone()
{
	local first second status=0
	tests/vm/run --kernel "$1" --name "harness-$1-first" -- sleep 2 &
	first=$!
	tests/vm/run --kernel "$1" --name "harness-$1-second" -- sleep 1000 &
	second=$!
	wait_until 20 pgrep -f -- "-name belay-harness-$1-second" || return
	kill -TERM "$second"
	wait "$second" || status=$?
	[ "$status" = 143 ] || { echo "status $status"; return 1; }
	if pgrep -f -- "-name belay-harness-$1-second"; then
		echo "its machine is still there"
		return 1
	fi
	wait "$first"
}

systemd_on()
{
	tests/vm/run --kernel "$1" --mode systemd --name "harness-$1-systemd" -- \
		sh -c 'systemctl is-system-running --wait'
}

special_memory_on()
{
	# shellcheck disable=SC2016 # the machine expands it
	tests/vm/run --kernel "$1" --with nvdimm --with movable --name "harness-$1-memory" -- \
		bash -c 'set -e; fsdax /mnt ext4; grep " /mnt " /proc/mounts
			awk "/^Node/ { node = \$2 } /zone *Movable/ { movable = 1 }
				/present/ && movable { print \"movable\", node, \$2; movable = 0 }" /proc/zoneinfo'
}

# A suite of samples, each wrong in its own way; what the runner said of each.
samples_on()
{
	local list=$PWD/build/trouble/samples-$1 sample options
	for sample in tests/harness/samples/*; do
		options=$(sed -n 's/^# options: //p' "$sample")
		echo "kernel|$(basename "$sample")|$sample|$options"
	done > "$list"
	BELAY_TEST_LIST=$list BELAY_CHECK_DIR=$list.out tests/run --kernel "$1" kernel > "$list.said" && {
		echo "a suite of failures passed"
		return 1
	}
	return 0
}

says()
{
	check_output "$1" "$2" cat "$said"
}

machine_tests()
{
	local kernel=$1
	check "$kernel: the module for this test builds" build_trouble "$kernel"
	check_output "$kernel: a command runs as root in the tree, loads modules, keeps its status and loses no output" \
		"users write to /out" passes_on "$kernel"
	check_status "$kernel: a kernel that warns makes the run fail" 99 fails_as_asked "$kernel" warn
	check_status "$kernel: a kernel that oopses makes the run fail" 99 fails_as_asked "$kernel" oops
	check_status "$kernel: a kernel that panics makes the run fail" 98 fails_as_asked "$kernel" panic
	check_status "$kernel: a command that takes too long has a status of its own" 124 out_of_time_on "$kernel"
	check_status "$kernel: a QEMU that does not start has one too" 97 without_qemu_on "$kernel"
	check "$kernel: a run that is stopped stops its own machine only" stops_alone "$kernel"
	check_output "$kernel: systemd comes up with no unit failed" '^running' systemd_on "$kernel"
	check_output "$kernel: there is memory for DAX and movable memory" \
		'^movable 1, [1-9]' special_memory_on "$kernel"

	said=build/trouble/samples-$kernel.said
	check "$kernel: a suite with failing tests fails" samples_on "$kernel"
	says "$kernel: a good test passes" '^kernel/.* good +2 passed +0 failed'
	says "$kernel: a skip is a failure" 'skipped: ok 1 - it would'
	says "$kernel: a crash is a failure" 'not ok - crashes died by signal 11'
	says "$kernel: too few tests are a failure" 'not ok - breaks-plan planned 3 tests and ran 1'
	says "$kernel: a silent test is a failure" 'not ok - silent gave no test line'
	says "$kernel: a hanging test is a failure" 'not ok - hangs did not end in time'
	says "$kernel: pages left pinned are a failure" 'not ok - leaks-pin leaves 1 pages pinned'
	says "$kernel: a process left running is a failure" 'not ok - leaks-process leaves processes: .*sleep 1000'
	says "$kernel: a warning is the failure of the test that caused it" 'not ok - warns leaves complaints'
	says "$kernel: a kernel that warned fails the whole boot" 'the machine \(common\) ended with status 99'
	tap_done
}
