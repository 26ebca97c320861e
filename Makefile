# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belay: build, test and install. ("make help" prints what stands here.)
#
# Two commands do everything by themselves, on Debian 12 or 13 with git and make:
#   make demo                the demonstration, in a virtual machine
#   make check               all tests, on this machine and on each kernel
#
# Building. None of these asks for root or installs anything:
#   make                     what can be built here, into build/; says what is missing
#   make build               programs and libraries, all of them
#   make modules             the module for each kernel; KERNEL=6.12 for one
#   make tests               the tests' programs
#   make compile_commands.json  build/compile_commands.json, for clangd
#   make dist                build/belay-VERSION.tar.xz, a release, which needs no git
#   make clean               removes what was built, keeps the images of the machine
#   make distclean           removes build/ with all that is in it
#
# Installing:
#   make setup               the packages that all of this needs (apt-get, as root)
#   make install             what was built: DESTDIR= PREFIX=/usr/local
#   make install-dkms        the module's sources, for dkms
#   make uninstall           removes what these two have put, and nothing else
#
# Testing. These call "make setup" first:
#   make check SUITE=kernel  one suite (lint unit harness cross kernel system);
#                            KERNEL=6.12 one kernel, TEST=name one program
#   make lint                suite lint: shellcheck, sparse and W=1, mandoc, licences
#   make check-debug         suites debug, kernel and stress on a kernel with KASAN, lockdep,
#                            kmemleak; MINUTES=10 is how long the stress goes on;
#                            PART=ci a part of it, which the commit chooses
#   make check-fresh         make demo and make check in a Debian made anew; RELEASE=13
#   make check-races         the races, on a kernel with KCSAN
#   make check-mutants       breaks one promise of the module at a time: a test must notice
#   make fuzz                each fuzzer for MINUTES minutes (1); TEST=fuzz_wire one
#   make check-long          check-debug, check-races, check-mutants and fuzz, then the
#                            stress on each kernel, MINUTES=60 each
#   make bench               what belay costs, beside the least that it could cost
#   make vm                  a shell in the machine, with belay installed; KERNEL=6.12
#   make images              the images of the machine
#   make debug-kernel        the kernel of check-debug
#   make patch               the module as a patch series for the newest kernel's tree,
#                            in build/patch/; SIGNOFF=1 signs it off in your name
#   make check-patch         applies and builds it there, asks checkpatch.pl, boots it
#
# V=1 shows commands, WERROR=1 makes warnings errors, CFLAGS is yours, -jN is parallel.
#
# How a folder's build.mk says what is built of it: docs/build.md.

VERSION := 0.1.0
# The kernels that belay is built for and tested on; and the one on which everything is
# tested, on the others what depends on the kernel. Scripts ask scripts/kernel-version.
KERNELS := 6.1 6.12 newest
MAIN_KERNEL := 6.12

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
BINDIR     ?= $(PREFIX)/bin
SBINDIR    ?= $(PREFIX)/sbin
LIBDIR     ?= $(PREFIX)/lib
LIBEXECDIR ?= $(PREFIX)/libexec/belay
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
UDEVDIR    ?= $(PREFIX)/lib/udev/rules.d
MODLOADDIR ?= $(PREFIX)/lib/modules-load.d

include scripts/rules.mk

COMPONENTS := common kmod libclient libadmin daemon ctl systemd man tracing examples bench \
	tests/lint tests/unit tests/harness tests/cross tests/debug tests/kernel tests/stress tests/system
include $(addsuffix /build.mk,$(COMPONENTS))
ifeq ($(EXAMPLE),1)
include tests/lib/example.mk
endif

include scripts/targets.mk
