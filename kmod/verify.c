// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * verify.c - is it still the same page? What becomes of the word
 *
 * Called after the fact (settle.c), with the region's settle mutex held; and by the
 * thread that registers a region, before that is live. The suspect pages are taken off the
 * region and looked at (look.c), and what is announced meanwhile is added by the
 * callback and looked at next. The word becomes valid under the region's lock when
 * nothing is left to look at: that is when every page of it was seen mapped at its
 * address, and was the page that was registered, and no change of that was announced.
 *
 * Pages of which it cannot be told stay suspect. settle.c does what follows from the answer.
 */
#include <linux/mm.h>

#include "look.h"
#include "trace.h"

/* Rounds over what was announced during the round before. */
#define ROUNDS		32

/* Nothing is left to look at: the word says that it is so. */
static void nothing_suspect(struct belay_region *r)
{
	lockdep_assert_held(&r->lock);
	if (r->state == BELAY_BUILDING) {
		/* A reader who sees that reads the runs without a lock. */
		smp_store_release(&r->state, BELAY_LIVE);
		/* It may have been recalled while it was registered. */
		belay_word_set(r, r->request ? BELAY_WORD_RECALLED : 0);
		return;
	}
	if (r->state == BELAY_LIVE && r->bits & BELAY_WORD_SUSPECT)
		belay_word_set(r, r->bits & ~BELAY_WORD_SUSPECT);
}

/*
 * Take the suspect range off the region; false if there is nothing to look at.
 * One that lost a part before it was complete is not looked at: it begins anew.
 */
static bool take_suspects(struct belay_look *l, unsigned long *start, unsigned long *last)
{
	struct belay_region *r = l->r;
	bool some = false;

	spin_lock(&r->lock);
	if (r->state == BELAY_DEAD || belay_region_is_all_lost(r) ||
	    (r->state == BELAY_BUILDING && r->bits & BELAY_WORD_LOST))
		goto out;
	some = r->dirty_start <= r->dirty_last;
	if (some) {
		*start = r->dirty_start;
		*last = r->dirty_last;
		r->dirty_start = ULONG_MAX;
		r->dirty_last = 0;
		l->known_start = r->lost_start;
		l->known_last = r->lost_last;
	} else {
		nothing_suspect(r);
	}
out:
	spin_unlock(&r->lock);
	return some;
}

static void give_back(struct belay_region *r, unsigned long start, unsigned long last)
{
	spin_lock(&r->lock);
	belay_range_extend(&r->dirty_start, &r->dirty_last, start, last);
	spin_unlock(&r->lock);
}

/* A part was found lost; the rest of the region goes on. */
static void set_lost(struct belay_look *l)
{
	struct belay_region *r = l->r;

	belay_stat_inc(verified_lost);
	spin_lock(&r->lock);
	if (r->state == BELAY_LIVE) {
		if (!(r->bits & BELAY_WORD_LOST)) {
			r->lost_reason = l->unmapped ? BELAY_REASON_UNMAPPED :
						       BELAY_REASON_REPLACED;
			belay_stat_inc(lost);
		}
		belay_word_set(r, r->bits | BELAY_WORD_LOST);
		belay_range_extend(&r->lost_start, &r->lost_last,
				   l->lost_start, l->lost_last);
		trace_belay_lost(r);
	}
	spin_unlock(&r->lock);
	l->lost_start = ULONG_MAX;
	l->lost_last = 0;
	l->unmapped = false;
}

static int look_at_suspects(struct belay_look *l)
{
	unsigned long start, last;
	int ret, rounds = 0;
	bool same = false;

	while (take_suspects(l, &start, &last)) {
		ret = rounds++ < ROUNDS ? belay_look_at(l, start, last) : -EAGAIN;
		if (ret) {
			give_back(l->r, start, last);
			belay_stat_inc(verify_again);
			trace_belay_verify(l->r, start, last, BELAY_FOUND_NOTHING);
			return -EAGAIN;
		}
		same = l->lost_start > l->lost_last;
		trace_belay_verify(l->r, start, last,
				   same ? BELAY_FOUND_SAME : BELAY_FOUND_LOST);
		if (!same)
			set_lost(l);
	}
	if (same)
		belay_stat_inc(verified_same);
	return 0;
}

/*
 * Look at all that is suspect of @r: 0 if its word says what is so, -EAGAIN if that
 * cannot be told yet. Under the settle mutex.
 */
int belay_verify(struct belay_region *r)
{
	struct belay_look l;
	int ret;

	lockdep_assert_held(&r->settle);
	ret = belay_look_begin(&l, r);
	if (ret)
		return ret;
	ret = look_at_suspects(&l);
	belay_look_end(&l);
	return ret;
}

/* All of @r is lost, so nothing of it is suspect any more. */
void belay_verify_all_lost(struct belay_region *r)
{
	spin_lock(&r->lock);
	nothing_suspect(r);
	spin_unlock(&r->lock);
}

/* It has no pages yet that could have been replaced. */
static int watched_become_live(struct belay_region *r)
{
	int ret = -ESTALE;

	spin_lock(&r->lock);
	r->dirty_start = ULONG_MAX;
	r->dirty_last = 0;
	if (!(r->bits & BELAY_WORD_LOST)) {
		nothing_suspect(r);
		ret = 0;
	}
	spin_unlock(&r->lock);
	return ret;
}

/*
 * A region that is being built has its pages. 0: nothing was announced since
 * it began; it is live now. 1: something was, and all pages are the same; ask
 * again. -ESTALE: some page is another one already, or another mapping came,
 * whose kind nobody has looked at. -EAGAIN: cannot be told.
 */
int belay_verify_new(struct belay_region *r)
{
	struct belay_look l = { .r = r };
	unsigned long start, last;
	int ret;

	if (r->kind == BELAY_WATCHED)
		return watched_become_live(r);
	if (!take_suspects(&l, &start, &last))
		return READ_ONCE(r->state) == BELAY_LIVE ? 0 : -ESTALE;
	ret = belay_look_begin(&l, r);
	if (!ret) {
		ret = belay_look_at(&l, start, last);
		belay_look_end(&l);
	}
	if (ret) {
		give_back(r, start, last);
		return -EAGAIN;
	}
	return l.lost_start <= l.lost_last ? -ESTALE : 1;
}
