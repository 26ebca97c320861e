/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#define PAGE_SHIFT	16
#include "tests/unit/kmod_range.c"
