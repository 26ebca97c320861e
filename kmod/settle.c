// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * settle.c - what follows when a region was announced: who looks, and what goes
 *
 * A region that was announced is on one of its grant's lists, with a reference: on
 * @losses, if it is lost or dead; else on @suspects; or on @later, if a look could not
 * tell. One of these looks at it (verify.c), under its settle mutex:
 *
 *   the worker		one for each grant. It takes the losses first, since others may
 *			wait for the room, then the suspects. It starts a moment
 *			after the event: an event seldom comes alone, and arming a timer
 *			is all that munmap() pays, where waking a thread would cost it
 *			more than the rest of the callback. It waits for nobody (look.c,
 *			fetch.c): one user's regions never keep those of another from
 *			being looked at. It looks at @later again and again, more and
 *			more seldom.
 *   a registration	that would be refused for room that is about to become free
 *   a client		that met a suspect word. Its call first does what a look must
 *			not (belay_fetch(), belay_notify_await_rest()), with nothing held.
 *
 * The module's pins of lost pages go, with their charge, and the owner is told. A
 * region that is dead is let go (region.c).
 */
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "belay.h"
#include "trace.h"

/* The time from the event to the look. */
#define LOOK_DELAY	msecs_to_jiffies(2)
/* The time until a region that could not be told is looked at again is doubled up to this. */
#define BACKOFF_MAX	HZ
/* Times that a client's call looks before it says that it cannot tell. */
#define SETTLE_TRIES	4

/* All pages of @r are lost, and no other driver holds them. */
static bool is_over(const struct belay_region *r)
{
	return belay_region_is_all_lost(r) && (r->kind != BELAY_TRACKED || READ_ONCE(r->exited));
}

/*
 * A lost part is useless: the module's pins of it go, with their charge.
 * Pages that another driver holds stay charged until the region is unregistered,
 * or its address space is gone. The owner is told when more is lost than before.
 */
static void drop_lost(struct belay_region *r)
{
	unsigned long start, last;
	bool over, more;

	spin_lock(&r->lock);
	start = r->lost_start;
	last = r->lost_last;
	over = is_over(r);
	spin_unlock(&r->lock);
	more = start < r->dropped_start || last > r->dropped_last;
	if (more)
		belay_region_drop_part(r, start, last);
	if (over)
		belay_region_uncharge(r);
	if (!more)
		return;
	trace_belay_drop_lost(r, start, last);
	belay_event_raise(&r->event, BELAY_EVENT_LOST);
}

/* 0 if the word of @r says what is so, -EAGAIN if that cannot be told yet. */
static int settle_locked(struct belay_region *r)
{
	int ret = 0;

	lockdep_assert_held(&r->settle);
	if (READ_ONCE(r->bits) & BELAY_WORD_SUSPECT && !belay_region_is_all_lost(r))
		ret = belay_verify(r);
	if (READ_ONCE(r->bits) & BELAY_WORD_LOST && READ_ONCE(r->state) == BELAY_LIVE)
		drop_lost(r);
	if (!belay_region_is_all_lost(r))
		return ret;
	belay_verify_all_lost(r);
	return 0;
}

/*
 * The worker's way, in which it waits for no more than the settle mutex. A region that is
 * over has nothing to be told any more. It leaves the notifier's tree here, where the
 * caller's reference keeps it; whoever lets it go later does that once more, for nothing.
 */
int belay_settle_now(struct belay_region *r)
{
	int ret;

	mutex_lock(&r->settle);
	ret = settle_locked(r);
	mutex_unlock(&r->settle);
	if (is_over(r))
		belay_notify_remove(r);
	return ret;
}

/* A client met a suspect word, in its own address space. */
int belay_settle(struct belay_region *r)
{
	int tries, ret, err;

	ret = belay_settle_now(r);
	for (tries = 1; ret == -EAGAIN && tries < SETTLE_TRIES; tries++) {
		err = belay_fetch(r) ?: belay_notify_await_rest(r);
		if (err)
			return err;
		ret = belay_settle_now(r);
	}
	return ret;
}

/* ---- the lists of a grant ------------------------------------------------------ */

/*
 * Under r->lock. A region that is lost or dead goes to the losses, from whatever list it
 * is on; else it goes to the suspects if it is on no list. The timer is not put off if it
 * is running, or a storm would do so for ever; only if it was waiting for what could not
 * be told it is moved up, once.
 */
void belay_settle_queue(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;
	bool is_loss = r->state == BELAY_DEAD || r->bits & BELAY_WORD_LOST;
	struct list_head *list = is_loss ? &g->losses : &g->suspects;
	bool hurry = false;

	lockdep_assert_held(&r->lock);

	spin_lock(&g->dirty_lock);
	if (list_empty(&r->dirty_link)) {
		kref_get(&r->ref);
		list_add_tail(&r->dirty_link, list);
		hurry = g->waiting;
	} else if (is_loss) {
		list_move_tail(&r->dirty_link, list);
		hurry = g->waiting;
	}
	if (hurry)
		g->waiting = false;
	spin_unlock(&g->dirty_lock);
	if (hurry)
		mod_delayed_work(belay_wq, &g->work, LOOK_DELAY);
	else
		queue_delayed_work(belay_wq, &g->work, LOOK_DELAY);
}

/* Off the list before it is looked at: a new event lists it again. */
static struct belay_region *take(struct belay_grant *g, struct list_head *list)
{
	struct belay_region *r;

	spin_lock(&g->dirty_lock);
	r = list_first_entry_or_null(list, struct belay_region, dirty_link);
	if (r) {
		list_del_init(&r->dirty_link);
		g->in_hand++;
	}
	spin_unlock(&g->dirty_lock);
	return r;
}

static void seen_to(struct belay_grant *g)
{
	spin_lock(&g->dirty_lock);
	g->in_hand--;
	g->seen_to++;
	spin_unlock(&g->dirty_lock);
	if (wq_has_sleeper(&g->room))
		wake_up_all(&g->room);
}

/* Does somebody have regions in hand, which may be about to be let go? */
bool belay_settle_has_in_hand(struct belay_grant *g, unsigned long *ret_seen)
{
	bool in_hand;

	spin_lock(&g->dirty_lock);
	*ret_seen = g->seen_to;
	in_hand = g->in_hand;
	spin_unlock(&g->dirty_lock);
	return in_hand;
}

/*
 * Waits until @g->seen_to is no longer @seen: false if that takes longer than *@left
 * (jiffies), from which the time is taken off, or after a fatal signal.
 */
bool belay_settle_wait_for_room(struct belay_grant *g, unsigned long seen, long *left)
{
	*left = wait_event_killable_timeout(g->room, READ_ONCE(g->seen_to) != seen, *left);
	return *left > 0;
}

/* In a storm an event has listed @r again meanwhile, which must not make the look sooner. */
static void look_later(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&r->lock);
	spin_lock(&g->dirty_lock);
	if (r->state == BELAY_LIVE && list_empty(&r->dirty_link)) {
		kref_get(&r->ref);
		list_add_tail(&r->dirty_link, &g->later);
	} else if (r->state == BELAY_LIVE && !(r->bits & BELAY_WORD_LOST)) {
		list_move_tail(&r->dirty_link, &g->later);
	}
	spin_unlock(&g->dirty_lock);
	spin_unlock(&r->lock);
}

/* The caller is being killed: the worker does what is left of @list, taken off @from. */
static void give_back(struct belay_grant *g, struct list_head *list, struct list_head *from)
{
	spin_lock(&g->dirty_lock);
	list_splice_init(list, from);
	spin_unlock(&g->dirty_lock);
	queue_delayed_work(belay_wq, &g->work, 0);
}

/*
 * Returns whether some region could be told. @list is the caller's own, taken off @from:
 * what an event lists meanwhile is for the next time, or a storm of them would never end.
 */
static bool settle_list(struct belay_grant *g, struct list_head *list, struct list_head *from)
{
	struct belay_region *r;
	bool told = false;

	while ((r = take(g, list))) {
		if (READ_ONCE(r->state) == BELAY_DEAD)
			belay_region_let_go(r);
		else if (belay_settle_now(r) != -EAGAIN)
			told = true;
		else
			look_later(r);
		seen_to(g);
		belay_region_put(r);
		cond_resched();
		if (fatal_signal_pending(current)) {
			give_back(g, list, from);
			break;
		}
	}
	return told;
}

/* @was_due: those that had waited were looked at; else their time stays as it is. */
static void wait_for_later(struct belay_grant *g, bool told, bool was_due)
{
	unsigned long delay = 0;

	spin_lock(&g->dirty_lock);
	if (!list_empty(&g->later)) {
		if (told || !g->backoff)
			g->backoff = LOOK_DELAY;
		else if (was_due)
			g->backoff = min_t(unsigned long, g->backoff * 2, BACKOFF_MAX);
		if (told || was_due)
			g->later_at = jiffies + g->backoff;
		delay = max_t(long, g->later_at - jiffies, 1);
		g->waiting = true;
	}
	spin_unlock(&g->dirty_lock);
	if (delay)
		queue_delayed_work(belay_wq, &g->work, delay);
}

/*
 * Look at all that is listed now. Called by the worker, and by a registration that
 * would otherwise be refused for room that is about to become free, which a fatal signal
 * ends.
 */
void belay_settle_grant(struct belay_grant *g)
{
	LIST_HEAD(lost);
	LIST_HEAD(now);
	bool told, is_due;

	spin_lock(&g->dirty_lock);
	list_splice_init(&g->losses, &lost);
	spin_unlock(&g->dirty_lock);
	settle_list(g, &lost, &g->losses);
	spin_lock(&g->dirty_lock);
	list_splice_init(&g->suspects, &now);
	is_due = time_after_eq(jiffies, g->later_at);
	if (is_due)
		list_splice_tail_init(&g->later, &now);
	spin_unlock(&g->dirty_lock);
	told = settle_list(g, &now, &g->suspects);
	wait_for_later(g, told, is_due);
}

void belay_settle_worker(struct work_struct *work)
{
	struct belay_grant *g = container_of(to_delayed_work(work),
					     struct belay_grant, work);

	belay_settle_grant(g);
	if (READ_ONCE(g->dead) && !g->end_raised) {
		g->end_raised = true;
		belay_event_raise(&g->event, BELAY_EVENT_ENDED);
	}
}
