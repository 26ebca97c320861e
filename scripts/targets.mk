# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The targets people type ("make help" prints them: the Makefile's head). Those that test
# install what they need (scripts/setup) before a second make reads the tree, so that
# nothing here depends on a tool being there when make starts.

SUB := $(MAKE) --no-print-directory
# Before scripts that call make with jobs of their own, which therefore get no jobserver.
alone = MAKEFLAGS="$$(sed -E 's/ *(-j[0-9]*|--jobserver-[a-z]+=[^ ]*)//g' <<< "$$MAKEFLAGS")"

.PHONY: all help build tests modules dist compile_commands.json check check-debug debug-kernel \
	check-fresh check-races check-mutants check-long patch check-patch \
	fuzz lint demo vm images \
	install install-dkms uninstall clean distclean setup lists FORCE

all:
	@MAKE='$(MAKE)' CC='$(CC)' KERNELS='$(or $(KERNEL),$(KERNELS))' \
		scripts/build-all $(foreach n,$(sort $(NEEDS)),'$(n)')

help:
	@sed -n -e '1,3d; /^#/!q; s/^# \{0,1\}//p' Makefile

setup:
	@scripts/setup

dist:
	@scripts/dist '$(VERSION)'

# One entry for each source file, by the rules; clangd looks for it in build/, too.
compile_commands.json: $(B)/flags
	$(file > $(B)/sources.list,$(foreach s,$(sort $(C_SOURCES)),$(s)|$(strip \
		$(CC) $(BL_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(call flags_of,$(s))) -c $(s)$(newline)))
	@sed '/./!d; s/^ //' $(B)/sources.list | scripts/compile-commands > $(B)/$@; echo '  GEN    $(B)/$@'

# "build" is also the name of the folder, hence the FORCE.
build: $(ALL) FORCE
	@:

tests: $(ALL) $(TESTS) lists
	@:

# The kernels' modules; each in a folder of its own under build/kmod/.
modules:
	@+scripts/build-module $(if $(KERNEL),$(KERNEL),$(KERNELS))

# What tests/run reads, one test per line. Written anew each time, since a test that
# has left the tree must leave the list; renamed, since another run may be reading it.
lists:
	@mkdir -p $(B)/tests; list=$$(mktemp $(B)/tests/list.XXXXXX); \
		printf '%s\n' $(foreach l,$(SUITE_LINES),'$(l)') > $$list; mv $$list $(B)/tests/list

check:
	@scripts/setup
	@$(alone) tests/run $(if $(KERNEL),--kernel $(KERNEL)) $(if $(TEST),--test $(TEST)) $(SUITE)

# On the debug kernel, which takes its time for everything. PART=ci is what fits in .ci/run.
check-debug:
	@scripts/setup
	@$(alone) MINUTES=$(or $(MINUTES),$(if $(PART),3,10)) SLOW=$${SLOW:-10} tests/run --kernel debug $(if $(PART),--part $(PART)) $(if $(TEST),--test $(TEST)) $(or $(SUITE),debug kernel stress)

# What README promises of a machine that has git and make, in a root made anew.
check-fresh:
	@scripts/setup
	@tests/harness/fresh $(RELEASE) sh -c 'make demo && make check'

# Beside other things: it takes what they leave of the processors.
debug-kernel:
	@scripts/setup
	@$(alone) nice -n 19 tests/debug/build debug

# On the KCSAN kernel, which finds data races.
check-races:
	@scripts/setup
	@$(alone) SLOW=$${SLOW:-10} tests/run --kernel kcsan $(if $(TEST),--test $(TEST)) $(or $(SUITE),debug kernel stress)

# Needs the tests green; each mutant must make one of them red. MUTANT="name name".
check-mutants:
	@scripts/setup
	@$(alone) tests/mutants/run $(if $(KERNEL),--kernel $(KERNEL)) $(MUTANT)

# What suite unit does for a few seconds each.
fuzz:
	@scripts/setup
	@+$(SUB) tests
	@MINUTES=$(or $(MINUTES),1) tests/fuzz/run $(TEST)

# What takes longer than anybody waits for: each part goes on after another has failed.
check-long: MINUTES ?= 60
check-long:
	@export $(alone); failed=; for part in check-debug check-races check-mutants fuzz; do \
		echo "== $$part"; $(SUB) $$part MINUTES=$(MINUTES) || failed+=" $$part"; done; \
	echo "== stress, for $(MINUTES) minutes on each kernel"; \
	MINUTES=$(MINUTES) SLOW=$${SLOW:-10} tests/run stress || failed+=" stress"; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# For the kernel KERNEL, of which there is one that can have it.
patch:
	@scripts/setup build vm test
	@SIGNOFF='$(SIGNOFF)' scripts/make-patch $(or $(KERNEL),newest)

check-patch:
	@tests/patch/check $(or $(KERNEL),newest)

lint:
	@scripts/setup
	@$(alone) tests/run lint

demo:
	@scripts/setup
	@+$(SUB) build modules
	@$(alone) tests/vm/run --mode systemd --install --timeout 1200 $(if $(KERNEL),--kernel $(KERNEL)) -- demo/run

vm:
	@scripts/setup
	@+$(SUB) build modules
	@$(alone) tests/vm/run --mode systemd --install --shell $(if $(KERNEL),--kernel $(KERNEL))

images:
	@scripts/setup
	@$(alone) tests/vm/build $(if $(KERNEL),$(KERNEL),$(KERNELS))

# None of these builds anything: a machine without a compiler can install a built tree.
# install-dkms leaves the module to dkms, which builds it for each kernel.
INSTALL_VARS := PREFIX BINDIR SBINDIR LIBDIR LIBEXECDIR INCLUDEDIR SYSCONFDIR VERSION
install uninstall: INSTALL_LINES = $(INSTALL)
install-dkms: INSTALL_LINES = $(INSTALL_DKMS)
install: INSTALLER = scripts/install
install-dkms: INSTALLER = scripts/install --dkms
uninstall: INSTALLER = scripts/uninstall
install uninstall install-dkms:
	@printf '%s\n' $(foreach i,$(INSTALL_LINES),'$(i)') | \
		$(foreach v,$(INSTALL_VARS),$(v)='$($(v))') \
		DESTDIR='$(DESTDIR)' KVER='$(KVER)' $(INSTALLER)

# Images, headers and kernels stay, since they are not made from this tree.
clean:
	@find $(B) -mindepth 1 -maxdepth 1 ! -name vm ! -name headers ! -name source ! -name cross ! -name debug ! -name debian12 ! -name debian13 ! -name fresh ! -name '*.lock' -exec rm -rf {} + 2>/dev/null || true

distclean:
	@rm -rf $(B)

FORCE:

-include $(sort $(DEPFILES))
