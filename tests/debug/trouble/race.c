// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * Does, when it is loaded, what KCSAN is there to notice: two processors add to one
 * variable, and nothing orders them. The second variable is marked: it must not be named.
 */
#include <linux/module.h>
#include <linux/smp.h>

static unsigned long plain;
static unsigned long marked;

static void add_to_plain(void *info)
{
	int i;

	for (i = 0; i < 100000; i++) {
		plain++;
		barrier();
	}
}

static void add_to_marked(void *info)
{
	int i;

	for (i = 0; i < 100000; i++)
		WRITE_ONCE(marked, READ_ONCE(marked) + 1);
}

static int __init race_init(void)
{
	on_each_cpu(add_to_marked, NULL, 1);
	on_each_cpu(add_to_plain, NULL, 1);
	return 0;
}

static void __exit race_exit(void)
{
}

module_init(race_init);
module_exit(race_exit);
MODULE_DESCRIPTION("What KCSAN must notice");
MODULE_LICENSE("GPL");
