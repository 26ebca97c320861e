// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * account.c - the tree of accounts, and their limits
 *
 * charge.c charges against them.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "belay.h"
#include "compat/compat.h"
#include "ioctl.h"
#include "trace.h"

static unsigned int depth(const struct belay_account *a)
{
	unsigned int n;

	for (n = 0; a; a = a->parent)
		n++;
	return n;
}

static int account_publish(struct belay_account *a, u64 parent_id)
{
	static u32 next;
	u32 id;
	int ret;

	lockdep_assert_held(&belay_tree_lock);

	if (parent_id) {
		if (parent_id > U32_MAX)
			return -ENOENT;
		a->parent = xa_load(&belay_accounts, parent_id);
		if (!a->parent)
			return -ENOENT;
		if (depth(a->parent) >= BELAY_MAX_DEPTH)
			return -EINVAL;
		a->node.parent = &a->parent->node;
	}
	/* Cyclic: a grant that has ended may still name its account. */
	ret = xa_alloc_cyclic(&belay_accounts, &id, a, xa_limit_31b, &next,
			      GFP_KERNEL_ACCOUNT);
	if (ret < 0)
		return ret;
	a->node.id = id;
	if (a->parent)
		a->parent->children++;
	belay_stat_inc(accounts);
	return 0;
}

int belay_account_create(struct belay_ctl_account *arg)
{
	struct belay_account *a;
	int ret;

	if (arg->flags)
		return -EOPNOTSUPP;
	a = kzalloc_obj(*a, GFP_KERNEL_ACCOUNT);
	if (!a)
		return -ENOMEM;
	a->node.limit_pages = belay_bytes_to_pages(arg->limit_bytes);
	a->node.limit_regions = belay_count_limit(arg->limit_regions);
	memcpy(a->tag, arg->tag, sizeof(a->tag));

	mutex_lock(&belay_tree_lock);
	ret = account_publish(a, arg->parent);
	if (!ret) {
		arg->account = a->node.id;
		trace_belay_account_made(a);
	}
	mutex_unlock(&belay_tree_lock);
	if (ret)
		kfree(a);
	return ret;
}

int belay_account_remove(u64 id)
{
	struct belay_account *a;
	int ret = -ENOENT;

	mutex_lock(&belay_tree_lock);
	a = id > U32_MAX ? NULL : xa_load(&belay_accounts, id);
	if (!a)
		goto out;
	ret = -EBUSY;
	if (a->children || a->grants)
		goto out;
	xa_erase(&belay_accounts, id);
	if (a->parent)
		a->parent->children--;
	belay_stat_add(accounts, -1);
	trace_belay_account_removed(id);
	kfree(a);
	ret = 0;
out:
	mutex_unlock(&belay_tree_lock);
	return ret;
}

static struct belay_node *limit_node(const struct belay_limit_entry *e)
{
	struct belay_account *a;
	struct belay_grant *g;

	if (e->id > U32_MAX)
		return NULL;
	if (e->flags & BELAY_LIMIT_GRANT) {
		g = xa_load(&belay_grants, e->id);
		return g ? &g->node : NULL;
	}
	a = xa_load(&belay_accounts, e->id);
	return a ? &a->node : NULL;
}

static int limit_entry_read(struct belay_ctl_limits *arg, u32 i,
			    struct belay_limit_entry *e)
{
	int ret = belay_entry_read(e, sizeof(*e), arg->entries, arg->entry_size, i);

	if (ret)
		return ret;
	return e->reserved || e->flags & ~BELAY_LIMIT_GRANT ? -EOPNOTSUPP : 0;
}

/* All or none: every entry is read and looked at before the first is set. */
int belay_account_set_limits(struct belay_ctl_limits *arg)
{
	struct belay_limit_entry *all;
	u32 i;
	int ret;

	if (arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, BELAY_LIMIT_ENTRY_SIZE_VER0);
	if (ret)
		return ret;
	all = kvcalloc(arg->count, sizeof(*all), GFP_KERNEL_ACCOUNT);
	if (!all)
		return -ENOMEM;

	for (i = 0; i < arg->count; i++) {
		arg->failed = i;
		ret = limit_entry_read(arg, i, &all[i]);
		if (ret)
			goto out_free;
	}

	mutex_lock(&belay_tree_lock);
	for (i = 0; i < arg->count; i++) {
		arg->failed = i;
		ret = -ENOENT;
		if (!limit_node(&all[i]))
			goto out;
	}
	for (i = 0; i < arg->count; i++) {
		struct belay_node *node = limit_node(&all[i]);

		WRITE_ONCE(node->limit_pages, belay_bytes_to_pages(all[i].limit_bytes));
		WRITE_ONCE(node->limit_regions, belay_count_limit(all[i].limit_regions));
		trace_belay_limit(&all[i]);
	}
	arg->failed = 0;
	ret = 0;
out:
	mutex_unlock(&belay_tree_lock);
out_free:
	kvfree(all);
	return ret;
}
