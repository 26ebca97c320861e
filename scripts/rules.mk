# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The macros that build.mk files call (what they mean: docs/build.md), and
# the pattern rules behind them. The macros only collect names in variables and
# add prerequisites; nothing here runs a tool while make reads its files, because
# on a fresh machine the tools are not there yet.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

B := build
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CFLAGS ?= -O2 -g
# What the code relies on, whatever CFLAGS says.
BL_CFLAGS := -std=gnu11 -fPIC -Wall -Wextra -Wno-unused-parameter \
	-Wmissing-prototypes -Wstrict-prototypes -Wshadow -Wvla \
	-D_GNU_SOURCE -DBELAY_VERSION='"$(VERSION)"' \
	-Iinclude -Iinclude/uapi -iquote . -MMD -MP
ifeq ($(WERROR),1)
BL_CFLAGS += -Werror
endif
SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2);)

ALL :=            # what "make" builds
TESTS :=          # what "make tests" builds
DEPFILES :=
C_SOURCES :=
NEEDS :=          # pkg|program|where: for scripts/build-all
LACKING ?=        # of these packages; programs that need one are left out of ALL
INSTALL :=        # kind|source|destination|mode
SUITE_LINES :=    # suite|name|path|options, options joined by ;

pkgs_of   = $(patsubst pkg:%,%,$(filter pkg:%,$(1)))
libs_of   = $(if $(call pkgs_of,$(1)),$(shell pkg-config --libs $(call pkgs_of,$(1)))) \
	$(filter-out pkg:% static:% shared:%,$(1))
objs_of   = $(patsubst %.c,$(2)/obj/%.o,$(1))
# Libraries of this tree as files: $(1) LIBS, $(2) build/ or build/san/.
archives_of = $(patsubst static:%,$(2)/lib/lib%.a,$(filter static:%,$(1))) \
	$(patsubst shared:%,$(2)/lib/lib%.so,$(filter shared:%,$(1)))
# The compiler's flags for a source file, besides $(BL_CFLAGS) and what the user says.
flags_of  = $(if $(PKGS_$(1)),$(shell pkg-config --cflags $(sort $(PKGS_$(1))))) $(CFLAGS_$(1))
empty :=
define newline


endef
joined = $(subst $(empty) $(empty),;,$(strip $(1)))

# Objects and their needs: $(call bl_objects,SOURCES,LIBS,ROOT). pkg-config is asked when a
# recipe runs.
define bl_objects
DEPFILES += $(patsubst %.o,%.d,$(call objs_of,$(1),$(3)))
C_SOURCES += $(1)
$(foreach s,$(1),PKGS_$(s) += $(call pkgs_of,$(2))$(newline))
endef

# $(call bl_wanted,TARGETS,NAME,LIBS,WHERE): what "make" builds, unless a package is lacking.
define bl_wanted
$(if $(filter $(LACKING),$(call pkgs_of,$(3))),,ALL += $(1))
NEEDS += $(foreach p,$(call pkgs_of,$(3)),$(p)|$(2)|$(4))
endef

# $(call bl_link,TARGET,SOURCES,LIBS,ROOT,EXTRA FLAGS)
define bl_link
$(call bl_objects,$(2),$(3),$(4))
$(1): BL_LIBS = $$(call libs_of,$(3))
$(1): $(call objs_of,$(2),$(4)) $(call archives_of,$(3),$(4))
	$$(call say,LINK,$$@)mkdir -p $$(@D); \
	$$(CC) $$(CFLAGS) $(5) $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) \
		$$(filter %.a %.so,$$^) $$(BL_LIBS)
endef

define bl_archive
$(call bl_objects,$(2),$(3),$(4))
$(1): $(call objs_of,$(2),$(4))
	$$(call say,AR,$$@)mkdir -p $$(@D); rm -f $$@; ar rcsD $$@ $$^
endef

define bl_program
$(call bl_wanted,$(B)/bin/$(1),$(1),$(3),$(4))
$(call bl_link,$(B)/bin/$(1),$(2),$(3),$(B))
$(if $(4),INSTALL += file|$(B)/bin/$(1)|$(if $(filter sbin,$(4)),$(SBINDIR),$(if \
	$(filter libexec,$(4)),$(LIBEXECDIR),$(BINDIR)))/$(1)|0755)
endef
program = $(eval $(call bl_program,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip $(4))))

define bl_static
$(call bl_archive,$(B)/lib/lib$(1).a,$(2),$(3),$(B))
$(call bl_archive,$(B)/san/lib/lib$(1).a,$(2),$(3),$(B)/san)
endef
static_library = $(eval $(call bl_static,$(strip $(1)),$(strip $(2)),$(strip $(3))))

define bl_library
$(call bl_wanted,$(B)/lib/lib$(1).so $(B)/lib/lib$(1).so.$(4),lib$(1),$(3),lib)
$(call bl_static,$(1),$(2),$(3))
$(call bl_link,$(B)/lib/lib$(1).so.$(4),$(2),$(3),$(B),-shared \
	-Wl$(comma)-soname$(comma)lib$(1).so.$(4) -Wl$(comma)-z$(comma)defs $(if \
	$(5),-Wl$(comma)--version-script=$(5)))
$(if $(5),$(B)/lib/lib$(1).so.$(4): $(5))
$(B)/lib/lib$(1).so: $(B)/lib/lib$(1).so.$(4)
	$$(Q)ln -sf $$(<F) $$@
INSTALL += file|$(B)/lib/lib$(1).so.$(4)|$(LIBDIR)/lib$(1).so.$(4)|0644
INSTALL += link|lib$(1).so.$(4)|$(LIBDIR)/lib$(1).so|
endef
comma := ,
library = $(eval $(call bl_library,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip \
	$(4)),$(strip $(5))))

define bl_preload
$(call bl_wanted,$(B)/lib/$(1).so,$(1).so,$(3),lib)
$(call bl_link,$(B)/lib/$(1).so,$(2),$(3),$(B),-shared)
INSTALL += file|$(B)/lib/$(1).so|$(LIBDIR)/belay/$(1).so|0644
endef
preload = $(eval $(call bl_preload,$(strip $(1)),$(strip $(2)),$(strip $(3))))

# Unit tests link static: libraries only, so the sanitized build sees all the code.
define bl_unit_test
TESTS += $(B)/tests/unit/$(1) $(B)/san/tests/unit/$(1)
$(call bl_link,$(B)/tests/unit/$(1),$(2),$(3),$(B))
$(call bl_link,$(B)/san/tests/unit/$(1),$(2),$(3),$(B)/san,$$(SAN_FLAGS))
SUITE_LINES += unit|$(1)|$(B)/tests/unit/$(1)|
SUITE_LINES += unit|$(1).san|$(B)/san/tests/unit/$(1)|
endef
unit_test = $(eval $(call bl_unit_test,$(strip $(1)),$(strip $(2)),$(strip $(3))))

define bl_host_script
SUITE_LINES += $(1)|$(notdir $(2:.sh=))|$(2)|$(call joined,$(3))
endef
host_script = $(eval $(call bl_host_script,$(strip $(1)),$(strip $(2)),$(3)))

define bl_vm_test
TESTS += $(B)/tests/$(1)/$(2)
$(call bl_link,$(B)/tests/$(1)/$(2),$(3),$(4),$(B))
SUITE_LINES += $(1)|$(2)|$(B)/tests/$(1)/$(2)|$(call joined,$(5))
endef
vm_test = $(eval $(call bl_vm_test,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip \
	$(4)),$(5)))

define bl_vm_helper
TESTS += $(B)/tests/$(1)/helpers/$(2)
$(call bl_link,$(B)/tests/$(1)/helpers/$(2),$(3),$(4),$(B))
endef
vm_helper = $(eval $(call bl_vm_helper,$(strip $(1)),$(strip $(2)),$(strip $(3)),$(strip \
	$(4))))

define bl_vm_script
SUITE_LINES += $(1)|$(notdir $(2:.sh=))|$(2)|$(call joined,$(3))
endef
vm_script = $(eval $(call bl_vm_script,$(strip $(1)),$(strip $(2)),$(3)))

install_file     = $(eval INSTALL += file|$(strip $(1))|$(strip $(2))|$(or $(strip $(3)),0644))
install_template = $(eval INSTALL += template|$(strip $(1))|$(strip $(2))|$(or $(strip $(3)),0644))
install_config   = $(eval INSTALL += config|$(strip $(1))|$(strip $(2))|0644)
install_man      = $(foreach f,$(1),$(call install_file,$(f),$(MANDIR)/man$(subst \
	.,,$(suffix $(f)))/$(notdir $(f))))

# Other flags, other objects: this file changes when they do.
$(B)/flags: FORCE
	@mkdir -p $(B); echo '$(CC) $(subst ','\'',$(BL_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SAN_FLAGS))' | \
		cmp -s - $@ || echo '$(CC) $(subst ','\'',$(BL_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SAN_FLAGS))' > $@

$(B)/obj/%.o: %.c $(B)/flags
	$(call say,CC,$<)mkdir -p $(@D); \
	$(CC) $(BL_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(call flags_of,$<) -c -o $@ $<

$(B)/san/obj/%.o: %.c $(B)/flags
	$(call say,CC-SAN,$<)mkdir -p $(@D); \
	$(CC) $(BL_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SAN_FLAGS) $(call flags_of,$<) -c -o $@ $<
