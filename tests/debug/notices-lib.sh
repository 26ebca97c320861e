# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
# shellcheck shell=bash
#
# What the tests of the kernels that look at themselves share: a module that causes
# trouble, and what the runner says of a suite in which it is loaded.
. tests/lib/tap.sh

# notices_begin KERNEL MODULE
notices_begin()
{
	kernel=$1 module=$2 dir=$PWD/build/trouble/$1
	said=$dir/said
	check "the module for this test builds" build_trouble
	check "a suite in which it is loaded fails" runner_says
}

build_trouble()
{
	mkdir -p "$dir"
	cp "tests/debug/trouble/$module.c" "$dir/"
	echo "obj-m := $module.o" > "$dir/Kbuild"
	make -s -C "$(scripts/kernel-version -d "$kernel")" "M=$dir" modules
}

# The runner's own words; the test itself finds nothing wrong.
runner_says()
{
	cat > "$dir/load" << EOF
#!/bin/bash
insmod ${dir#"$PWD/"}/$module.ko && echo "ok 1 - loaded" && echo "1..1"
EOF
	chmod +x "$dir/load"
	echo "kernel|trouble|${dir#"$PWD/"}/load|races;timeout=120" > "$dir/list"
	BELAY_TEST_LIST=$dir/list BELAY_CHECK_DIR=$dir/out tests/run --kernel "$kernel" kernel > "$said" && {
		echo "a kernel in trouble passed"
		return 1
	}
	return 0
}

says() { check_output "$1" "$2" cat "$said"; }
