// SPDX-License-Identifier: GPL-2.0-only
/*
 * list.c - what exists, row by row
 *
 * Each row is filled under the locks that guard it and copied out after they
 * are dropped; the place in the list is an id, not a pointer, so that a
 * listing holds nobody up and nothing alive.
 */
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "ioctl.h"

union row {
	struct belay_account_row account;
	struct belay_grant_row grant;
	struct belay_session_row session;
	struct belay_region_row region;
};

static void *next_of(struct xarray *xa, struct belay_ctl_list *arg)
{
	unsigned long id = arg->after + 1;
	void *found;

	lockdep_assert_held(&belay_tree_lock);
	if (arg->after >= U32_MAX)
		return NULL;
	found = xa_find(xa, &id, ULONG_MAX, XA_PRESENT);
	if (found)
		arg->after = id;
	return found;
}

static bool next_account(struct belay_ctl_list *arg, union row *row)
{
	struct belay_account *a;

	mutex_lock(&belay_tree_lock);
	a = next_of(&belay_accounts, arg);
	if (a) {
		row->account = (struct belay_account_row) {
			.account = a->node.id,
			.parent = a->parent ? a->parent->node.id : 0,
			.limit_bytes = belay_pages_to_bytes(a->node.limit_pages),
			.usage_bytes = belay_pages_to_bytes(atomic_long_read(&a->node.pages)),
			.limit_regions = a->node.limit_regions,
			.usage_regions = atomic_long_read(&a->node.regions),
			.refusals = atomic64_read(&a->node.refusals),
			.children = a->children,
			.grants = a->grants,
		};
		memcpy(row->account.tag, a->tag, sizeof(a->tag));
	}
	mutex_unlock(&belay_tree_lock);
	return a;
}

static pid_t live_pid(struct pid *pid)
{
	pid_t nr = 0;

	rcu_read_lock();
	if (pid_task(pid, PIDTYPE_TGID))
		nr = pid_vnr(pid);
	rcu_read_unlock();
	return nr;
}

static bool next_grant(struct belay_ctl_list *arg, union row *row)
{
	struct belay_grant *g;

	mutex_lock(&belay_tree_lock);
	do
		g = next_of(&belay_grants, arg);
	while (g && arg->select.by & BELAY_SELECT_GRANT && g->id != arg->select.grant);
	if (g) {
		row->grant = (struct belay_grant_row) {
			.grant = g->id,
			.account = g->account_id,
			.start_time = g->start_time,
			.pid = live_pid(g->pid),
			.flags = (g->ended ? BELAY_GRANT_ENDED : 0) |
				 (READ_ONCE(g->dead) ? BELAY_GRANT_DEAD : 0),
			.made_at = g->made_at,
			.limit_bytes = belay_pages_to_bytes(g->node.limit_pages),
			.usage_bytes = belay_pages_to_bytes(atomic_long_read(&g->node.pages)),
			.limit_regions = g->node.limit_regions,
			.usage_regions = atomic_long_read(&g->node.regions),
			.refusals = atomic64_read(&g->node.refusals),
			.pinned_bytes = belay_pages_to_bytes(atomic_long_read(&g->pinned_pages)),
			.tracked_bytes = belay_pages_to_bytes(atomic_long_read(&g->tracked_pages)),
			.sessions = g->sessions,
		};
		memcpy(row->grant.tag, g->tag, sizeof(g->tag));
	}
	mutex_unlock(&belay_tree_lock);
	return g;
}

static bool is_asked_for(const struct belay_session *s, const struct belay_ctl_list *arg)
{
	const struct belay_select *sel = &arg->select;

	return (!(sel->by & BELAY_SELECT_GRANT) || s->grant->id == sel->grant) &&
	       (!(sel->by & BELAY_SELECT_SESSION) || s->id == sel->session);
}

/* The next session after arg->after that is asked for, with a reference. */
static struct belay_session *session_after(struct belay_ctl_list *arg)
{
	struct belay_session *s;

	mutex_lock(&belay_tree_lock);
	do
		s = next_of(&belay_sessions, arg);
	while (s && !is_asked_for(s, arg));
	if (s)
		kref_get(&s->ref);
	mutex_unlock(&belay_tree_lock);
	return s;
}

static bool next_session(struct belay_ctl_list *arg, union row *row)
{
	struct belay_session *s = session_after(arg);

	if (!s)
		return false;
	row->session = (struct belay_session_row) {
		.session = s->id,
		.grant = s->grant->id,
		.made_at = s->made_at,
		.regions = atomic_read(&s->nr_regions),
	};
	belay_session_put(s);
	return true;
}

static int node_of_first_page(const struct belay_region *r)
{
	struct page *page = NULL;

	if (r->extents.nr_inline)
		page = pfn_to_online_page(belay_run_pfn(r->extents.inline_runs[0]));
	return page ? page_to_nid(page) : -1;
}

static void fill_region(struct belay_region *r, struct belay_region_row *row)
{
	*row = (struct belay_region_row) {
		.session = r->session->id,
		.region = r->id,
		.grant = r->session->grant->id,
		.addr = (u64)r->start << PAGE_SHIFT,
		.len = (u64)belay_region_pages(r) << PAGE_SHIFT,
		.cookie = r->cookie,
		.kind = r->kind,
		.flags = r->flags,
		.prepared = READ_ONCE(r->prepared),
		.made_at = r->made_at,
		.node = node_of_first_page(r),
		.device = r->device,
		.inode = r->inode,
	};
	spin_lock(&r->lock);
	row->state = r->bits;
	row->lost_reason = r->lost_reason;
	row->recall_reason = r->recall_reason;
	row->request = r->request;
	row->deadline = r->deadline;
	row->policy = r->policy;
	if (r->lost_start <= r->lost_last) {
		row->lost_addr = (u64)r->lost_start << PAGE_SHIFT;
		row->lost_len = (u64)(r->lost_last - r->lost_start + 1) << PAGE_SHIFT;
	}
	spin_unlock(&r->lock);
}

/*
 * Regions come by session, and in it by the lower half of their id, which is
 * the place; after_region 0 (which no region's id is) begins a session.
 */
static bool next_region(struct belay_ctl_list *arg, union row *row)
{
	struct belay_session *s = NULL;
	struct belay_region *r = NULL;
	unsigned long slot;

	if (arg->after && arg->after_region)
		s = belay_session_find(arg->after);
	if (s && !is_asked_for(s, arg)) {
		belay_session_put(s);
		s = NULL;
	}
	for (;;) {
		slot = arg->after_region ? (u32)arg->after_region + 1UL : 0;
		if (s)
			r = belay_region_next(s, &slot);
		if (r)
			break;
		if (s)
			belay_session_put(s);
		arg->after_region = 0;
		s = session_after(arg);
		if (!s)
			return false;
		cond_resched();
	}
	fill_region(r, &row->region);
	arg->after = s->id;
	arg->after_region = r->id;
	belay_region_put(r);
	belay_session_put(s);
	return true;
}

static const struct {
	bool (*next)(struct belay_ctl_list *arg, union row *row);
	size_t size;
} lists[] = {
	[BELAY_LIST_ACCOUNTS] = { next_account, sizeof(struct belay_account_row) },
	[BELAY_LIST_GRANTS] = { next_grant, sizeof(struct belay_grant_row) },
	[BELAY_LIST_SESSIONS] = { next_session, sizeof(struct belay_session_row) },
	[BELAY_LIST_REGIONS] = { next_region, sizeof(struct belay_region_row) },
};

int belay_list(struct belay_ctl_list *arg)
{
	u32 room = arg->count;
	union row row;
	int ret;

	if (arg->flags || arg->reserved || arg->what >= ARRAY_SIZE(lists) ||
	    !lists[arg->what].next ||
	    arg->select.by & ~(BELAY_SELECT_GRANT | BELAY_SELECT_SESSION))
		return -EOPNOTSUPP;
	ret = belay_array_check(room, arg->entry_size, lists[arg->what].size);
	if (ret)
		return ret;
	arg->count = 0;
	while (arg->count < room && lists[arg->what].next(arg, &row)) {
		if (belay_row_write(&row, lists[arg->what].size, arg->rows,
				      arg->entry_size, arg->count))
			return -EFAULT;
		arg->count++;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}
