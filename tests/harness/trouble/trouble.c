// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * Does what the harness must notice: insmod trouble.ko make=warn|oops|panic|pin.
 * The pin is one page of the stack of the process that loads the module, until the
 * module goes.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

static char *make = "";
module_param(make, charp, 0444);

static struct page *page;

static int __init trouble_init(void)
{
	WARN(!strcmp(make, "warn"), "trouble was asked for\n");
	if (!strcmp(make, "oops"))
		*(volatile int *)8 = 0;
	if (!strcmp(make, "panic"))
		panic("trouble was asked for");
	if (!strcmp(make, "pin"))
		return min(0, pin_user_pages_fast(current->mm->start_stack & PAGE_MASK, 1,
						  FOLL_WRITE | FOLL_LONGTERM, &page));
	return 0;
}

static void __exit trouble_exit(void)
{
	if (page)
		unpin_user_page(page);
}

module_init(trouble_init);
module_exit(trouble_exit);
MODULE_DESCRIPTION("Faults on request, for the tests of the test harness");
MODULE_LICENSE("GPL");
