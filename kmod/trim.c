// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * trim.c - let a part of a region go, keep the rest
 *
 * A region is one range with one word, and never changes its shape: a thread
 * that tests the word means the range that it knows. So trimming ends the region
 * and makes one or two new ones of what is left, the parts, which take over its
 * pins and its charge. No page that is kept is unpinned or uncharged for an
 * instant, and nothing is faulted in.
 *
 * In this order:
 *  1. the parts are allocated, get their places and words, and are watched. From
 *     then on whatever is announced is announced to the region and to them;
 *  2. the region is settled, then, under its settle mutex, the runs are divided,
 *     and the second part is charged as a region. All that can fail is done;
 *  3. under the locks of region and parts it is decided: if the region is live
 *     and what is kept of it is neither suspect nor lost, it is dead now and the
 *     parts are live. What the parts were told that the region was not (the
 *     notifiers are called one after the other) makes them suspect or lost at
 *     once, as if it had happened an instant later;
 *  4. the parts are published, charge and pins change hands, the trimmed part is
 *     unpinned. The parts' settle mutexes are held until then, so that nobody
 *     looks at their pages, or lets them go, too early;
 *  5. the region is let go, of which nothing is left.
 */
#include <linux/mm.h>

#include "belay.h"
#include "trace.h"

/* Times to look again because something was announced meanwhile. */
#define TRIM_TRIES	10

/* The region, the pages to let go, and what is left (NULL: nothing there). */
struct trim {
	struct belay_region *r;
	unsigned long start, last;
	struct belay_region *part[2];
};

/* The first part from *@i on that is there; NULL: no more. */
static struct belay_region *next_part(const struct trim *t, unsigned int *i)
{
	while (*i < ARRAY_SIZE(t->part)) {
		struct belay_region *p = t->part[(*i)++];

		if (p)
			return p;
	}
	return NULL;
}

#define for_each_part(p, t) \
	for (unsigned int i_ = 0; ((p) = next_part(t, &i_));)

static int check_range(struct trim *t, const struct belay_trim_entry *e)
{
	struct belay_region *r = t->r;

	if (e->reserved)
		return -EOPNOTSUPP;
	if (belay_range_read(e->addr, e->len, r->start, r->last, &t->start, &t->last))
		return -EINVAL;
	return t->start == r->start && t->last == r->last ? -EINVAL : 0;
}

static int make_part(struct trim *t, unsigned int n, unsigned long start,
		     unsigned long last)
{
	struct belay_region *p = belay_region_new_part(t->r, start, last);

	if (IS_ERR(p))
		return PTR_ERR(p);
	belay_notify_add(p);
	t->part[n] = p;
	/* What is going on was announced to the region alone. */
	return belay_notify_await_rest(p);
}

static int make_parts(struct trim *t)
{
	int ret = 0;

	if (t->start > t->r->start)
		ret = make_part(t, 0, t->r->start, t->start - 1);
	if (!ret && t->last < t->r->last)
		ret = make_part(t, 1, t->last + 1, t->r->last);
	return ret;
}

static void undo_parts(struct trim *t)
{
	struct belay_region *p;

	for_each_part(p, t)
		belay_region_undo(p);
}

/* The parts get their shares of the region's runs, which the region still pins. */
static int divide_runs(struct trim *t)
{
	struct belay_region *p;
	int ret = 0;

	for_each_part(p, t) {
		belay_extents_free(&p->extents);
		ret = belay_extents_copy(&p->extents, &t->r->extents,
					 p->start - t->r->start, belay_region_pages(p));
		if (ret)
			return ret;
	}
	return 0;
}

/* Nothing that is kept may be lost, and all must be known. Under r->lock. */
static int may_trim(const struct trim *t)
{
	const struct belay_region *r = t->r;

	lockdep_assert_held(&r->lock);
	if (r->state != BELAY_LIVE)
		return -ENOENT;
	if (r->bits & BELAY_WORD_RECALLED)
		return -EBUSY;
	if (r->prepared && r->kind == BELAY_TRACKED)
		return -EINVAL;
	if (r->bits & BELAY_WORD_LOST &&
	    (r->lost_start < t->start || r->lost_last > t->last))
		return -ESTALE;
	return r->bits & BELAY_WORD_SUSPECT ? -EAGAIN : 0;
}

static void make_part_live(struct belay_region *p, const struct belay_region *r)
{
	u32 bits = p->bits;

	lockdep_assert_held(&p->lock);
	WRITE_ONCE(p->state, BELAY_LIVE);
	/* Another thread may have committed it since the part was made. */
	p->prepared = r->prepared;
	/* A watched region not yet committed keeps these pages for its commit. */
	if (r->dirty_start <= p->last && r->dirty_last >= p->start)
		belay_range_extend(&p->dirty_start, &p->dirty_last,
				   max(r->dirty_start, p->start),
				   min(r->dirty_last, p->last));
	if (p->dirty_start <= p->dirty_last && !(p->kind == BELAY_WATCHED && p->prepared))
		bits |= BELAY_WORD_SUSPECT;
	belay_word_set(p, bits);
	if (bits & BELAY_WORD_LOST) {
		belay_stat_inc(lost);
		trace_belay_lost(p);
	}
	if (bits)
		belay_settle_queue(p);
}

/* The point of no return. */
static int change_over(struct trim *t)
{
	struct belay_region *p;
	int ret;

	spin_lock(&t->r->lock);
	ret = may_trim(t);
	if (!ret) {
		WRITE_ONCE(t->r->state, BELAY_DEAD);
		belay_word_set(t->r, t->r->bits | BELAY_WORD_RELEASED);
		for_each_part(p, t) {
			spin_lock_nested(&p->lock, SINGLE_DEPTH_NESTING);
			make_part_live(p, t->r);
			spin_unlock(&p->lock);
		}
	}
	spin_unlock(&t->r->lock);
	return ret;
}

static void hand_over(struct trim *t)
{
	struct belay_region *p;

	for_each_part(p, t) {
		/* Another thread may let it go as soon as it can. */
		kref_get(&p->ref);
		belay_region_publish(p);
	}
	belay_coverage_hand_over(t->r, t->part[0], t->part[1]);
	for_each_part(p, t)
		belay_region_take_pins(p, t->r);
	belay_wait_spoil_walks(t->r);
	belay_region_give_pins(t->r, t->start, t->last);
}

/* Within the region's own. Tried only for lockdep: nobody else knows them yet. */
static void lock_parts(struct trim *t)
{
	struct belay_region *p;

	for_each_part(p, t)
		WARN_ON_ONCE(!mutex_trylock(&p->settle));
}

static void unlock_parts(struct trim *t)
{
	struct belay_region *p;

	for_each_part(p, t)
		mutex_unlock(&p->settle);
}

static int trim_settled(struct trim *t, struct belay_refusal *why)
{
	struct belay_node *node = &t->r->session->grant->node;
	bool is_two = t->part[0] && t->part[1];
	int ret;

	ret = divide_runs(t);
	if (ret)
		return ret;
	ret = is_two ? belay_charge(node, 0, 1, why) : 0;
	if (ret)
		return ret;
	lock_parts(t);
	ret = change_over(t);
	if (!ret)
		hand_over(t);
	else if (is_two)
		belay_charge_refund(node, 0, 1);
	unlock_parts(t);
	return ret;
}

static int try_trim(struct trim *t, struct belay_refusal *why)
{
	int ret;

	ret = belay_settle(t->r);
	if (ret)
		return ret;
	if (mutex_lock_killable(&t->r->settle))
		return -EINTR;
	spin_lock(&t->r->lock);
	ret = may_trim(t);
	spin_unlock(&t->r->lock);
	if (!ret)
		ret = trim_settled(t, why);
	mutex_unlock(&t->r->settle);
	return ret;
}

static void fill_part(struct belay_part *to, const struct belay_region *p)
{
	*to = (struct belay_part) {};
	if (!p)
		return;
	to->region = p->id;
	to->expected = belay_region_expected(p);
	to->word = p->slot;
	belay_range_bytes(p->start, p->last, &to->addr, &to->len);
}

/* By the region's own process. On success @r is gone and @e names the parts. */
int belay_trim(struct belay_region *r, struct belay_trim_entry *e)
{
	struct belay_refusal why = {};
	struct trim t = { .r = r };
	struct belay_region *p;
	int ret, tries;

	ret = check_range(&t, e);
	if (ret)
		return ret;
	ret = make_parts(&t);
	for (tries = 0; !ret && tries < TRIM_TRIES; tries++) {
		ret = try_trim(&t, &why);
		if (ret != -EAGAIN)
			break;
		ret = tries + 1 < TRIM_TRIES ? 0 : -EAGAIN;
		cond_resched();
	}
	if (ret) {
		if (ret == -EDQUOT)
			belay_register_refused(&why);
		trace_belay_refuse(r->session, e->addr, e->len, r->kind, ret, &why);
		undo_parts(&t);
		return ret;
	}
	fill_part(&e->before, t.part[0]);
	fill_part(&e->after, t.part[1]);
	for_each_part(p, &t)
		belay_region_put(p);
	belay_stat_inc(trimmed);
	trace_belay_trim(r, e);
	belay_region_let_go(r);
	return 0;
}
