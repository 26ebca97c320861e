// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * list.c - what exists, row by row
 *
 * Each row is filled under the locks that guard it and copied out after they
 * are dropped; the place in the list is an id, not a pointer, so that a
 * listing holds nobody up. select.c says what is selected, held.c how much of a
 * region is held where.
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/uidgid.h>

#include "belay.h"
#include "ioctl.h"
#include "select.h"

/* Grants looked at before others get the lock. */
#define LOCKED_TRIES	64

union row {
	struct belay_account_row account;
	struct belay_grant_row grant;
	struct belay_session_row session;
	struct belay_region_row region;
};

/* Where a listing is, and what it is of. */
struct listing {
	struct belay_selection sel;
	u64 after;			/* accounts, grants, sessions */
	struct belay_cursor cursor;	/* regions */
};

static bool next_account(struct listing *l, union row *row)
{
	unsigned long id = l->after + 1;
	struct belay_account *a = NULL;

	mutex_lock(&belay_tree_lock);
	if (l->after < U32_MAX)
		a = xa_find(&belay_accounts, &id, U32_MAX, XA_PRESENT);
	if (a) {
		l->after = id;
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

static void fill_grant(const struct belay_grant *g, struct belay_grant_row *row)
{
	*row = (struct belay_grant_row) {
		.grant = g->id,
		.account = g->account_id,
		.start_time = g->start_time,
		.pid = belay_grant_pid(g),
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
		.uid = from_kuid_munged(current_user_ns(), g->user->uid),
		.user_locked_bytes = belay_pages_to_bytes(atomic_long_read(&g->user->locked_vm)),
	};
	memcpy(row->tag, g->tag, sizeof(g->tag));
}

/* 1: a row; 0: the end; -EAGAIN: not yet found, and others may want the lock. */
static int try_next_grant(struct listing *l, union row *row)
{
	unsigned long id = l->after + 1;
	struct belay_grant *g;
	int tries, ret = -EAGAIN;

	/* The one that is named is not searched for. */
	if (l->sel.arg.by & BELAY_SELECT_GRANT && l->after < l->sel.arg.grant)
		id = min_t(u64, l->sel.arg.grant, U32_MAX);
	mutex_lock(&belay_tree_lock);
	for (tries = 0; ret == -EAGAIN && tries < LOCKED_TRIES; tries++) {
		g = l->after < U32_MAX ?
			xa_find(&belay_grants, &id, U32_MAX, XA_PRESENT) : NULL;
		ret = g ? -EAGAIN : 0;
		if (!g)
			break;
		l->after = id++;
		if (belay_select_fits_grant(&l->sel, g)) {
			fill_grant(g, &row->grant);
			ret = 1;
		} else if (l->sel.arg.by & BELAY_SELECT_GRANT) {
			ret = 0;
		}
	}
	mutex_unlock(&belay_tree_lock);
	return ret;
}

static bool next_grant(struct listing *l, union row *row)
{
	int ret;

	while ((ret = try_next_grant(l, row)) == -EAGAIN) {
		if (fatal_signal_pending(current))
			return false;
		cond_resched();
	}
	return ret;
}

static bool next_session(struct listing *l, union row *row)
{
	struct belay_session *s = belay_select_next_session(&l->sel, &l->after);

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

static void fill_region(struct belay_region *r, const struct belay_held *held,
			struct belay_region_row *row)
{
	bool incomplete;

	*row = (struct belay_region_row) {
		.session = r->session->id,
		.region = r->id,
		.grant = r->session->grant->id,
		.cookie = r->cookie,
		.kind = r->kind,
		.flags = r->flags,
		.prepared = READ_ONCE(r->prepared),
		.made_at = r->made_at,
		.node = held->node,
		.nodes = held->nodes,
		.held_bytes = (u64)held->pages << PAGE_SHIFT,
		.selected_bytes = (u64)held->selected_pages << PAGE_SHIFT,
		.device = r->device,
		.inode = r->inode,
	};
	belay_range_bytes(r->start, r->last, &row->addr, &row->len);
	incomplete = belay_held_is_incomplete(r);
	spin_lock(&r->lock);
	row->state = r->bits;
	/* Pinning itself announces changes, which the reader need not know. */
	if (incomplete)
		row->state = BELAY_STATE_BUILDING | (r->bits & BELAY_WORD_RELEASED) |
			(r->request ? BELAY_WORD_RECALLED : 0);
	row->lost_reason = r->lost_reason;
	row->recall_reason = r->recall_reason;
	row->request = r->request;
	row->deadline = r->deadline;
	row->policy = r->policy;
	belay_range_bytes(r->lost_start, r->lost_last, &row->lost_addr, &row->lost_len);
	spin_unlock(&r->lock);
}

static bool next_region(struct listing *l, union row *row)
{
	bool by_place = l->sel.arg.by & (BELAY_SELECT_NODE | BELAY_SELECT_PHYS);
	struct belay_region *r;
	struct belay_held held;
	bool fits = false;

	while (!fits && (r = belay_select_next_region(&l->sel, &l->cursor))) {
		belay_held_look(r, &l->sel, &held);
		fits = !by_place || held.selected_pages || held.pinning;
		if (fits)
			fill_region(r, &held, &row->region);
		belay_region_put(r);
	}
	return fits;
}

#define LIST(next, row, min)	{ next, sizeof(struct row), min }

static const struct {
	bool (*next)(struct listing *l, union row *row);
	size_t size, min_size;
} lists[] = {
	[BELAY_LIST_ACCOUNTS] = LIST(next_account, belay_account_row, BELAY_ACCOUNT_ROW_SIZE_VER0),
	[BELAY_LIST_GRANTS] = LIST(next_grant, belay_grant_row, BELAY_GRANT_ROW_SIZE_VER0),
	[BELAY_LIST_SESSIONS] = LIST(next_session, belay_session_row, BELAY_SESSION_ROW_SIZE_VER0),
	[BELAY_LIST_REGIONS] = LIST(next_region, belay_region_row, BELAY_REGION_ROW_SIZE_VER0),
};

static int write_rows(struct listing *l, struct belay_ctl_list *arg)
{
	size_t size = lists[arg->what].size;
	u32 room = arg->count;
	union row row;

	arg->count = 0;
	while (arg->count < room && lists[arg->what].next(l, &row)) {
		if (belay_row_write(&row, size, arg->rows, arg->entry_size, arg->count))
			return -EFAULT;
		arg->count++;
		cond_resched();
	}
	return fatal_signal_pending(current) ? -EINTR : 0;
}

int belay_list(struct belay_ctl_list *arg)
{
	struct listing l = {
		.after = arg->after,
		.cursor = { .session = arg->after, .region = arg->after_region },
	};
	int ret;

	if (arg->flags || arg->reserved || arg->what >= ARRAY_SIZE(lists) ||
	    !lists[arg->what].next)
		return -EOPNOTSUPP;
	ret = belay_select_read(&l.sel, &arg->select, arg->what);
	if (ret)
		return ret;
	ret = belay_array_check(arg->count, arg->entry_size, lists[arg->what].min_size);
	if (ret)
		return ret;
	ret = write_rows(&l, arg);
	belay_select_end(&l.cursor);
	if (arg->what == BELAY_LIST_REGIONS) {
		arg->after = l.cursor.session;
		arg->after_region = l.cursor.region;
	} else {
		arg->after = l.after;
	}
	return ret;
}
