# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# What tests/vm/run and the suite runner in the machine promise: machine_tests SERIES is
# what depends on the kernel, runner_tests SERIES is the rest, which is tried on one.
. tests/lib/tap.sh

# trouble.ko for this kernel, in build/trouble/SERIES.
build_trouble()
{
	local dir=$PWD/build/trouble/$1 lock inside=()
	[ "$1" != newest ] || inside=(scripts/debian13)
	mkdir -p "$dir"
	# Both programs want it.
	exec {lock}> "$dir/lock"
	flock "$lock"
	cp tests/harness/trouble/trouble.c "$dir/"
	echo "obj-m := trouble.o" > "$dir/Kbuild"
	"${inside[@]}" make -s -C "$(scripts/kernel-version -d "$1")" "M=$dir" modules
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

# A QEMU in PATH that dies, in its first life, of a segmentation fault: as soon as it is
# started, or (MIDWAY=FILE) when FILE is there.
dying_qemu()
{
	local dir=$1
	rm -rf "$dir"
	mkdir -p "$dir"
	cat > "$dir/qemu-system-x86_64" << EOF
#!/bin/bash
real=$(command -v qemu-system-x86_64)
[ ! -e "$dir/died" ] || exec "\$real" "\$@"
: > "$dir/died"
[ -n "\${MIDWAY:-}" ] || kill -SEGV \$\$
"\$real" "\$@" &
qemu=\$!
until [ -e "\$MIDWAY" ]; do
	kill -0 "\$qemu" || exit
	sleep 0.2
done
kill -KILL "\$qemu"
kill -SEGV \$\$
EOF
	chmod +x "$dir/qemu-system-x86_64"
}

dies_at_once_on()
{
	local bin=$PWD/build/trouble/qemu-$1
	dying_qemu "$bin"
	PATH=$bin:$PATH tests/vm/run --kernel "$1" --name "harness-$1-dies" -- \
		echo "a second life" > "$said" 2>&1
}

# After the first of two programs; the second is longer at it than QEMU lives.
dies_midway_on()
{
	local bin=$PWD/build/trouble/qemu-$1 dir=$PWD/build/trouble/midway-$1
	dying_qemu "$bin"
	rm -rf "$dir.out"
	cat > "$dir" << EOF
kernel|good|tests/harness/samples/good|
kernel|slowly|tests/harness/again/slowly|
EOF
	MIDWAY=$dir.out/kernel-$1-common/good.status PATH=$bin:$PATH \
		BELAY_TEST_LIST=$dir BELAY_CHECK_DIR=$dir.out tests/run --kernel "$1" kernel
}

# One that fails by chance, and one that leaves a page pinned, as in .ci/run.
runs_again_on()
{
	local list=$PWD/build/trouble/again-$1
	cat > "$list" << EOF
kernel|seeded|tests/harness/again/seeded|
kernel|leaks-pin|tests/harness/samples/leaks-pin|own
EOF
	! env -u BELAY_SEED BELAY_REPEAT=1 BELAY_TEST_LIST="$list" BELAY_CHECK_DIR="$list.out" \
		tests/run --kernel "$1" kernel > "$list.said" || { echo "a pin left behind has passed"; return 1; }
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
	check_output "$kernel: systemd comes up with no unit failed" '^running' systemd_on "$kernel"
	check_output "$kernel: there is memory for DAX and movable memory" \
		'^movable 1, [1-9]' special_memory_on "$kernel"
	tap_done
}

runner_tests()
{
	local kernel=$1
	check "the module for this test builds" build_trouble "$kernel"
	check_status "a command that takes too long has a status of its own" 124 out_of_time_on "$kernel"
	check_status "a QEMU that does not start has one too" 97 without_qemu_on "$kernel"
	said=build/trouble/dies-$kernel.said
	check "a QEMU that dies is no result: the machine is started again" dies_at_once_on "$kernel"
	says "which is said" 'QEMU died of signal 11, which is no result .* boot 2 of 3'
	says "and the command is run in it" '^a second life$'
	check_output "what had passed when QEMU died is not run again" '^5 passed, 0 failed' dies_midway_on "$kernel"
	check "a run that is stopped stops its own machine only" stops_alone "$kernel"

	said=build/trouble/samples-$kernel.said
	check "a suite with failing tests fails" samples_on "$kernel"
	says "a good test passes" '^kernel/.* good +2 passed +0 failed'
	says "a skip is a failure" 'skipped: ok 1 - it would'
	says "a crash is a failure" 'not ok - crashes died by signal 11'
	says "too few tests are a failure" 'not ok - breaks-plan planned 3 tests and ran 1'
	says "a silent test is a failure" 'not ok - silent gave no test line'
	says "a hanging test is a failure" 'not ok - hangs did not end in time'
	says "pages left pinned are a failure" 'not ok - leaks-pin leaves 1 pages pinned'
	says "a process left running is a failure" 'not ok - leaks-process leaves processes: .*sleep 1000'
	says "a warning is the failure of the test that caused it" 'not ok - warns leaves complaints'
	says "a kernel that warned fails the whole boot" 'the machine \(common\) ended with status 99'

	said=build/trouble/again-$kernel.said
	check "where programs are run again, a pin left behind stays a failure" runs_again_on "$kernel"
	says "of which it is said why" 'leaks-pin +is not run again: it left something behind'
	says "what failed by chance is run again in a machine of its own" 'seeded +is run again, alone'
	says "and is unsteady" "^unsteady: kernel/$kernel seeded"
	tap_done
}
