# SPDX-License-Identifier: MIT
# SPDX-FileCopyrightText: the belay authors
#
# The module's sources, where dkms looks for them. (What "make modules" does is
# scripts/build-module.)

DKMS_DIR := /usr/src/belay-$(VERSION)
DKMS_FILES := $(wildcard kmod/*.[ch] kmod/compat/* kmod/compat/probe/*.c) \
	kmod/Kbuild kmod/Makefile include/uapi/linux/belay.h
INSTALL_DKMS := template|kmod/dkms.conf.in|$(DKMS_DIR)/dkms.conf|0644 \
	$(foreach f,$(filter-out kmod/compat/probe,$(DKMS_FILES)),file|$(f)|$(DKMS_DIR)/$(f)|0644)
