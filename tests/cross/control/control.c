// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * Compiles where pages have PAGES bytes and, with BIG, where the most significant
 * byte comes first; nowhere else. The module that comes of it needs a function that
 * the kernel does not export.
 */
#include <linux/mm.h>
#include <linux/module.h>

static_assert(PAGE_SIZE == PAGES);
#ifdef BIG
static_assert(IS_ENABLED(CONFIG_CPU_BIG_ENDIAN));
#else
static_assert(!IS_ENABLED(CONFIG_CPU_BIG_ENDIAN));
#endif

static int __init control_init(void)
{
	return do_madvise(current->mm, 0, 0, 0);
}
module_init(control_init);

MODULE_DESCRIPTION("positive control of the cross builds");
MODULE_LICENSE("GPL");
