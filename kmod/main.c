// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * main.c - loading and unloading
 *
 * Unloading is refused while any file is open, so there is no session, no
 * grant with one, and no region then; what is left are accounts, and shells of
 * things whose end nobody has heard of.
 */
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "belay.h"

/* The trees of accounts, and the lists of grants and sessions. */
DEFINE_MUTEX(belay_tree_lock);
struct workqueue_struct *belay_wq;
DEFINE_XARRAY_FLAGS(belay_accounts, XA_FLAGS_ALLOC1);
DEFINE_XARRAY_FLAGS(belay_grants, XA_FLAGS_ALLOC1);
DEFINE_XARRAY_FLAGS(belay_sessions, XA_FLAGS_ALLOC1);

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "belay",
	.fops = &belay_control_fops,
	.groups = belay_stat_groups,
	.mode = 0600,	/* udev gives it to the daemon's group */
};

static void forget_accounts(void)
{
	struct belay_account *a;
	unsigned long id;

	xa_for_each(&belay_accounts, id, a) {
		xa_erase(&belay_accounts, id);
		kfree(a);
	}
}

/* A run has a page frame's number and a count in 64 bits; words are single stores. */
static_assert(BITS_PER_LONG == 64);

static int __init belay_init(void)
{
	int ret;

	ret = belay_region_cache_init();
	if (ret)
		return ret;
	ret = belay_words_init();
	if (ret)
		goto err_cache;
	/*
	 * Unbound: one grant's long list holds up no other. With a rescuer:
	 * what it lets go may be what reclaim is waiting for.
	 */
	ret = -ENOMEM;
	belay_wq = alloc_workqueue("belay", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!belay_wq)
		goto err_words;
	ret = misc_register(&device);
	if (ret)
		goto err_wq;
	return 0;
err_wq:
	destroy_workqueue(belay_wq);
err_words:
	belay_words_exit();
err_cache:
	belay_region_cache_exit();
	return ret;
}

static void __exit belay_exit(void)
{
	misc_deregister(&device);
	belay_wait_exit();
	belay_events_forget();
	belay_grants_forget();
	destroy_workqueue(belay_wq);
	forget_accounts();
	belay_words_exit();
	belay_region_cache_exit();
}

module_init(belay_init);
module_exit(belay_exit);
MODULE_DESCRIPTION("Accounts and revokes memory held for DMA");
MODULE_LICENSE("GPL");
MODULE_VERSION(BELAY_VERSION);
