/* SPDX-License-Identifier: MIT */
#define PAGE_SHIFT	16
#include "tests/unit/kmod_extent.c"
