# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# belay: build, test and install.
#
#   make                     build everything into build/
#   make check               all tests, on the host and on each kernel
#   make check SUITE=kernel  one suite (lint unit harness cross kernel system);
#                            KERNEL=6.12 one kernel, TEST=name one program
#   make demo                the demonstration, in a virtual machine
#   make vm KERNEL=6.12      a shell in the machine, with belay installed
#   make check-debug         suites debug, kernel and stress on a kernel with KASAN, lockdep,
#                            kmemleak; MINUTES=10 is how long the stress goes on;
#                            PART=ci a part of it, which the commit chooses
#   make check-fresh         make demo and make check in a Debian made anew
#   make check-races         the races, on a kernel with KCSAN
#   make check-mutants       breaks one promise of the module at a time: a test must notice
#   make fuzz                each fuzzer for MINUTES minutes (1); TEST=fuzz_wire one
#   make check-long          the four above and the stress, MINUTES=60 each
#   make lint                shellcheck, sparse and W=1 for the module, mandoc
#   make install             DESTDIR= PREFIX=/usr/local; undone by uninstall
#   make install-dkms        the module's sources, for dkms; undone by uninstall
#   make clean / distclean   keeps / also removes the images of the machine
#
#   V=1 shows commands, WERROR=1 makes warnings errors, CFLAGS is yours.
#
# HOW A COMPONENT JOINS
#
# One make for the whole tree. Each folder has a build.mk which is included
# below; it names sources from the top of the tree and calls these macros, each
# on a line of its own, no eval needed. SOURCES are .c files, separated by spaces.
#
#   $(call program,NAME,SOURCES,LIBS,WHERE)       build/bin/NAME, installed in
#                                     WHERE: bin, sbin, libexec, or not at all
#   $(call static_library,NAME,SOURCES,LIBS)      build/lib/libNAME.a, internal
#   $(call library,NAME,SOURCES,LIBS,SOVERSION,MAP)  build/lib/libNAME.so.SOVERSION
#                                     with version script MAP, installed; and
#                                     libNAME.a, not installed, for unit tests
#   $(call preload,NAME,SOURCES,LIBS)  build/lib/NAME.so, installed in lib/belay
#   $(call unit_test,NAME,SOURCES,LIBS)           suite unit: a host program that
#                                     prints TAP; built plain and with ASan+UBSan
#   $(call host_script,SUITE,PATH,OPTIONS)        a script of suite lint, unit, harness, cross,
#                                     debug
#   $(call vm_test,SUITE,NAME,SOURCES,LIBS,OPTIONS)  a C program for the machine;
#                                     SUITE is kernel, stress, system or harness
#   $(call vm_script,SUITE,PATH,OPTIONS)          the same for a script
#   $(call vm_helper,SUITE,NAME,SOURCES,LIBS)     a program that tests call; found
#                                     through PATH, not run as a test
#   $(call install_file,FILE,DESTINATION,MODE)    MODE is 0644 unless given
#   $(call install_template,FILE,DESTINATION,MODE)  @PREFIX@ @BINDIR@ @SBINDIR@
#                                     @LIBDIR@ @LIBEXECDIR@ @INCLUDEDIR@
#                                     @SYSCONFDIR@ @VERSION@ are filled in
#   $(call install_config,FILE,DESTINATION)       an edited one is never touched
#   $(call install_man,FILES)                     man/belayctl.1 goes to man1
#
# LIBS are words: pkg:NAME asks pkg-config for cflags and libs, static:NAME and
# shared:NAME are libraries of this tree, anything else (-lm) goes to the linker.
# A static library does not carry its needs with it: list them where you link.
#
# OPTIONS are words. For VM tests: nvdimm, movable, cma, bpftrace, stress-ng (a machine with
# such memory, or such a tool, in a boot of their own); own (needs a freshly booted machine); kernel=6.12 (only
# there); timeout=SECONDS (default 60; the program is killed and has failed);
# measures (what it measures means nothing on the debug kernel: left out there);
# long (takes a quarter of an hour on the debug kernel: left out there);
# races (also on the KCSAN kernel, where all others are left out);
# minutes (goes on for $MINUTES, which is added twice to its time limit);
# once (says nothing about the kernel: on MAIN_KERNEL only, unless KERNEL= asks);
# fewer=N (an Nth of its rounds on the other kernels, unless KERNEL= asks);
# ci (on the debug kernel in every run of .ci/run, where of the others a third is);
# leaky (holds pins or regions on purpose at its end: the leak check is left out).
#
# Every object lies in build/obj (sanitized: build/san/obj) under the name of its
# source and is compiled once, position independent. Included headers are tracked.
# Flags for one source file: CFLAGS_daemon/main.c := -DX.
# Include paths: #include "common/wire.h" (top of the tree), <belay.h> (include/),
# <linux/belay.h> (include/uapi/). Generated files go to build/.
#
# A test program prints TAP: "ok N - claim" or "not ok N - claim", and "1..N" once.
# tests/lib/tap.h and tests/lib/tap.sh do that. SKIP counts as a failure.
# tests/lib/example.mk has a working example of each macro (make EXAMPLE=1).

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

COMPONENTS := common kmod libclient daemon ctl systemd man tracing examples bench \
	tests/lint tests/unit tests/harness tests/cross tests/debug tests/kernel tests/stress tests/system
include $(addsuffix /build.mk,$(COMPONENTS))
ifeq ($(EXAMPLE),1)
include tests/lib/example.mk
endif

include scripts/targets.mk
