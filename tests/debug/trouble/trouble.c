// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * Does, when it is loaded, what the debug kernel is there to notice. The order
 * matters: lockdep ends with its first finding, and with one of KASAN's.
 */
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(spin);
static DEFINE_MUTEX(a);
static DEFINE_MUTEX(b);
static void *only_pointer;

static void sleep_under_spinlock(void)
{
	spin_lock(&spin);
	might_sleep();
	spin_unlock(&spin);
}

static void lock_both_ways(void)
{
	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
	mutex_unlock(&b);
}

static void use_after_free(void)
{
	volatile char *p = kmalloc(64, GFP_KERNEL);

	kfree((void *)p);
	(void)*p;
}

/* One of them may be found by chance, in a register or on a stack. */
static void leak(void)
{
	int i;

	for (i = 0; i < 8; i++)
		WRITE_ONCE(only_pointer, kmalloc(96, GFP_KERNEL));
	WRITE_ONCE(only_pointer, NULL);
}

/* Its name is to be known afterwards, which a part of trouble_init() would not be. */
static noinline void leak_page(void)
{
	WRITE_ONCE(only_pointer, alloc_page(GFP_KERNEL));
	WRITE_ONCE(only_pointer, NULL);
}

static int __init trouble_init(void)
{
	sleep_under_spinlock();
	lock_both_ways();
	use_after_free();
	leak();
	leak_page();
	return 0;
}

static void __exit trouble_exit(void)
{
}

module_init(trouble_init);
module_exit(trouble_exit);
MODULE_DESCRIPTION("What a debug kernel must notice");
MODULE_LICENSE("GPL");
