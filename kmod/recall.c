// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * recall.c - the policy wants memory back: recall, and release by order
 *
 * A recall turns the validity word and keeps with the region what the policy
 * owner must know after a crash. A release lets go, unless another driver
 * holds the pages: unpinning would then free nothing, and pretending that it
 * did would let a device write into somebody else's memory.
 */
#include "belay.h"
#include "trace.h"

static int recall_one(struct belay_region *r, const struct belay_recall_entry *e)
{
	int ret = -ENOENT;

	spin_lock(&r->lock);
	if (r->state != BELAY_DEAD) {
		r->request = e->request;
		r->deadline = e->deadline;
		r->recall_reason = e->reason;
		r->policy = e->policy;
		/* The word of a region that is being registered says so when that becomes live. */
		if (r->state == BELAY_LIVE)
			belay_word_set(r, r->bits | BELAY_WORD_RECALLED);
		trace_belay_recall(r);
		ret = 0;
	}
	spin_unlock(&r->lock);
	if (!ret)
		belay_stat_inc(recalled);
	return ret;
}

static int release_one(struct belay_region *r, const struct belay_recall_entry *e)
{
	return belay_region_order_release(r);
}

static int on_region(const struct belay_recall_entry *e,
		     int (*one)(struct belay_region *, const struct belay_recall_entry *))
{
	struct belay_session *s = belay_session_find(e->session);
	struct belay_region *r = NULL;
	int ret = -ENOENT;

	if (s)
		r = belay_region_find(s, e->region);
	if (r) {
		ret = one(r, e);
		belay_region_put(r);
	}
	if (s)
		belay_session_put(s);
	return ret;
}

int belay_recall(const struct belay_recall_entry *e)
{
	if (e->reserved)
		return -EOPNOTSUPP;
	if (e->reason < BELAY_REASON_ADMIN || !e->request)
		return -EINVAL;
	return on_region(e, recall_one);
}

int belay_release(const struct belay_recall_entry *e)
{
	return e->reserved ? -EOPNOTSUPP : on_region(e, release_one);
}
