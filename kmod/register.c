// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * register.c - a region comes into being
 *
 * Registering:	reserve (memory, a place among the session's, a validity word)
 *		-> watch -> publish -> charge -> pin -> live; or let go.
 * Pinning may take as long as the client likes, who answers its own page faults
 * (userfaultfd, FUSE). So the region is published before: it is listed, waited for
 * and recalled like any other, only that where its pages lie is not yet known, and
 * an order to release ends it. The caller who gives that order lets go of what is pinned
 * so far, under the settle mutex, which the pinning thread takes for each batch of
 * pages, not while it faults. That thread finds the region dead after its batch,
 * gives up (-ECANCELED) and does the rest. What it may have in hand until then,
 * one batch, is waited for and stays charged.
 * Watching comes first, so that nothing that happens after is missed. What is
 * announced while the region is being built (pinning itself announces: it
 * breaks copy-on-write, and moves pages out of ZONE_MOVABLE) does not turn a
 * word that nobody has: the pages are compared with what is mapped, and only
 * if one has been replaced already does pinning start again.
 *
 * A tracked region is held, too, from being prepared until it is committed
 * (commit.c). A watched one never is.
 */
#include <linux/sched/signal.h>

#include "belay.h"
#include "trace.h"

/* Times to pin again because a page was replaced meanwhile. */
#define BUILD_TRIES	10
/* How long a charge waits for what others are about to let go. */
#define ROOM_WAIT	HZ

static int check_entry(const struct belay_register_entry *e, unsigned long *ret_start,
		       unsigned long *ret_last)
{
	if (e->reserved || e->flags & ~(BELAY_REGION_WRITE | BELAY_REGION_TRANSIENT))
		return -EOPNOTSUPP;
	if (e->kind != BELAY_PINNED && e->kind != BELAY_TRACKED &&
	    e->kind != BELAY_WATCHED)
		return -EOPNOTSUPP;
	return belay_range_read(e->addr, e->len, 0, (TASK_SIZE >> PAGE_SHIFT) - 1,
				ret_start, ret_last);
}

/*
 * Neighbours that may be lost are settled first: either they turn out healthy
 * and share, or they go and make room. So is, if there is no room, all else
 * that is about to be let go; and what others, the worker most of all, have in
 * hand is waited for, since it would fit an instant later.
 */
static int charge_by(int (*try)(struct belay_region *r, bool settled,
				struct belay_refusal *why),
		     struct belay_region *r, struct belay_refusal *why)
{
	struct belay_grant *g = r->session->grant;
	long left = ROOM_WAIT;
	unsigned long seen;
	bool in_hand;
	int ret;

	ret = try(r, false, why);
	if (ret != -EAGAIN && ret != -EDQUOT)
		return ret;
	belay_settle_grant(g);
	do {
		in_hand = belay_settle_has_in_hand(g, &seen);
		ret = try(r, true, why);
	} while (ret == -EDQUOT && in_hand && belay_settle_wait_for_room(g, seen, &left));
	return ret;
}

/* The charge was shared with what turned out unhealthy: charge anew. */
static int recharge(struct belay_region *r, struct belay_refusal *why)
{
	return charge_by(belay_coverage_recharge, r, why);
}

/* All pinned: 0 once @r is live. -ESTALE: pin again; else it fails. */
static int become_live(struct belay_region *r, struct belay_refusal *why)
{
	int ret, err, tries = 0;

	for (;;) {
		ret = belay_verify_new(r);
		if ((ret != 1 && ret != -EAGAIN) || tries++ == BUILD_TRIES)
			return ret == 1 ? -EAGAIN : ret;
		if (ret == 1)
			err = recharge(r, why);
		else
			err = belay_fetch(r) ?: belay_notify_await_rest(r);
		if (err)
			return err;
	}
}

/* From here on others see how much @r holds: pinning may take long. */
static int begin_pinning(struct belay_region *r)
{
	int ret = -ECANCELED;

	mutex_lock(&r->settle);
	if (READ_ONCE(r->state) == BELAY_BUILDING) {
		belay_region_count(r, true);
		WRITE_ONCE(r->nr_held, 0);
		WRITE_ONCE(r->held, r->kind != BELAY_WATCHED);
		WRITE_ONCE(r->pinning, r->held);
		ret = 0;
	}
	mutex_unlock(&r->settle);
	return ret;
}

/* Pages that were pinned in vain go, unless somebody has let them go already. */
static void give_up(struct belay_region *r)
{
	mutex_lock(&r->settle);
	belay_unpin(r, false);
	belay_region_count(r, false);
	belay_coverage_refund(r);
	mutex_unlock(&r->settle);
	belay_wait_wake(r);
}

static int pin(struct belay_region *r)
{
	int ret;

	ret = begin_pinning(r);
	if (ret)
		return ret;
	if (r->kind == BELAY_WATCHED)
		return belay_pin_check(r);
	ret = belay_pin(r);
	/* After the last batch is remembered, which others read without a lock. */
	smp_store_release(&r->pinning, false);
	if (ret)
		belay_wait_wake(r);
	return ret;
}

static int build_once(struct belay_region *r, struct belay_refusal *why)
{
	int ret;

	spin_lock(&r->lock);
	r->dirty_start = ULONG_MAX;
	r->dirty_last = 0;
	r->lost_start = ULONG_MAX;
	r->lost_last = 0;
	if (r->state == BELAY_BUILDING)
		WRITE_ONCE(r->bits, 0);
	spin_unlock(&r->lock);
	/* Afterwards an older invalidation, not told or just forgotten, is over. */
	ret = belay_notify_await_rest(r);
	if (!ret)
		ret = charge_by(belay_coverage_charge, r, why);
	if (ret)
		return ret;
	ret = pin(r);
	if (!ret)
		ret = become_live(r, why);
	if (ret)
		give_up(r);
	return ret;
}

static int build(struct belay_region *r, struct belay_refusal *why)
{
	int ret, tries;

	for (tries = 0; tries < BUILD_TRIES; tries++) {
		ret = build_once(r, why);
		if (READ_ONCE(r->aborted))
			return -ECANCELED;
		if (ret != -ESTALE && ret != -EAGAIN)
			break;
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		cond_resched();
	}
	return ret == -ESTALE ? -EAGAIN : ret;
}

/* Here, not where it was tried: a charge may be tried several times. */
void belay_register_refused(const struct belay_refusal *why)
{
	atomic64_inc(&why->node->refusals);
	belay_stat_inc(refused);
}

static void tell_refusal(struct belay_register_entry *e, const struct belay_refusal *why)
{
	e->refused_account = why->account;
	e->refused_resource = why->resource;
	e->refused_usage = why->usage;
	e->refused_limit = why->limit;
	e->refused_needed = why->needed;
	belay_register_refused(why);
}

static void tell_registered(struct belay_region *r, struct belay_register_entry *e)
{
	e->word = r->slot;
	e->expected = belay_region_expected(r);
	e->region = r->id;
	belay_stat_inc(registered);
	trace_belay_register(r);
	/* The places of the pages are known now: whoever waits for another place need not. */
	belay_wait_wake(r);
	belay_wait_spoil_walks(r);
}

/* The registering thread is done. Somebody may have let go of @r meanwhile. */
static void end_registering(struct belay_region *r, bool failed)
{
	bool dead;

	mutex_lock(&r->settle);
	r->registering = false;
	dead = READ_ONCE(r->state) == BELAY_DEAD;
	mutex_unlock(&r->settle);
	if (dead || failed)
		belay_region_let_go(r);
}

static int begin_registering(struct belay_session *s, const struct belay_register_entry *e,
			     struct belay_region **ret_region)
{
	unsigned long start, last;
	struct belay_region *r;
	int ret;

	ret = check_entry(e, &start, &last);
	if (ret)
		return ret;
	r = belay_region_new(s, start, last);
	if (IS_ERR(r))
		return PTR_ERR(r);
	r->kind = e->kind;
	r->flags = e->flags;
	r->cookie = e->cookie;
	r->prepared = e->kind != BELAY_PINNED;
	r->registering = true;
	/* The other reference goes with the region. */
	kref_get(&r->ref);
	belay_notify_add(r);
	belay_region_publish(r);
	*ret_region = r;
	return 0;
}

int belay_register(struct belay_session *s, struct belay_register_entry *e)
{
	struct belay_refusal why = {};
	struct belay_region *r;
	int ret;

	ret = begin_registering(s, e, &r);
	if (ret)
		goto refuse;
	ret = build(r, &why);
	if (!ret)
		tell_registered(r, e);
	end_registering(r, ret);
	belay_region_put(r);
	if (ret == -EDQUOT)
		tell_refusal(e, &why);
refuse:
	if (ret)
		trace_belay_refuse(s, e->addr, e->len, e->kind, ret, &why);
	return ret;
}
