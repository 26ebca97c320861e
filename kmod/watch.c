// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * watch.c - what an announced event means to a region, and who looks into it
 *
 * Called by the notifier's callback (notify.c), inside munmap, truncate, reclaim,
 * migration, fork, exit. It filters by the kind of event, turns the validity word
 * before the page table changes, and puts the region on its grant's list:
 *
 *   UNMAP, RELEASE		certain: lost, that part (but see may_come_back())
 *   PROTECTION_*, SOFT_DIRTY, EXCLUSIVE	nothing: the page stays (but PROTECTION_VMA
 *				where page tables are shared, see pin.c: suspect)
 *   all others (CLEAR, ...)	suspect: perhaps replaced, perhaps not. Nothing
 *				in the event tells; verify.c looks afterwards
 *
 * Storms are normal (KSM, migration: hundreds of events a page): a region is on
 * the list once, with one range for all.
 *
 * The worker, one for each grant, takes the list: lost regions first, since
 * others may wait for the room, then the suspect ones. It starts a moment
 * later: what raised one event is likely to raise more, and arming a timer is
 * all that munmap() pays, where waking a thread would cost it more than the rest
 * of the callback. It waits for nobody (look.c, fetch.c): one user's regions never
 * keep those of another from being looked at.
 */
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "trace.h"

/* From the event to the look. */
#define LOOK_DELAY	msecs_to_jiffies(2)
/* Until what could not be told is looked at again: doubled up to this. */
#define BACKOFF_MAX	HZ

enum meaning { MEANS_NOTHING, MEANS_PERHAPS, MEANS_LOSS };

static enum meaning meaning_of(enum mmu_notifier_event event)
{
	switch (event) {
	case MMU_NOTIFY_UNMAP:
	case MMU_NOTIFY_RELEASE:
		return MEANS_LOSS;
	case MMU_NOTIFY_PROTECTION_VMA:
	case MMU_NOTIFY_PROTECTION_PAGE:
	case MMU_NOTIFY_SOFT_DIRTY:
	case MMU_NOTIFY_EXCLUSIVE:
		/* The last: a device borrows the page; the next touch has it back. */
		return MEANS_NOTHING;
	default:
		return MEANS_PERHAPS;
	}
}

static void count_event(enum mmu_notifier_event event)
{
	switch (event) {
	case MMU_NOTIFY_UNMAP:
		belay_stat_inc(seen_unmap);
		break;
	case MMU_NOTIFY_RELEASE:
		belay_stat_inc(seen_release);
		break;
	case MMU_NOTIFY_CLEAR:
		belay_stat_inc(seen_clear);
		break;
	case MMU_NOTIFY_PROTECTION_VMA:
	case MMU_NOTIFY_PROTECTION_PAGE:
		belay_stat_inc(seen_protection);
		break;
	case MMU_NOTIFY_SOFT_DIRTY:
		belay_stat_inc(seen_soft_dirty);
		break;
	case MMU_NOTIFY_EXCLUSIVE:
		belay_stat_inc(seen_exclusive);
		break;
	case MMU_NOTIFY_MIGRATE:
		belay_stat_inc(seen_migrate);
		break;
	default:
		belay_stat_inc(seen_other);
	}
}

static void count_fate(enum belay_fate fate)
{
	switch (fate) {
	case BELAY_FATE_FILTERED:
		belay_stat_inc(filtered);
		break;
	case BELAY_FATE_IGNORED:
		belay_stat_inc(ignored);
		break;
	case BELAY_FATE_SUSPECT:
		belay_stat_inc(made_suspect);
		break;
	case BELAY_FATE_LOST:
		belay_stat_inc(made_lost);
		break;
	}
}

/*
 * Under r->lock. A region that is lost or dead goes to the losses, from whatever list it
 * is on; else it goes to the suspects if it is on no list. The timer is not put off if it
 * is running, or a storm would do so for ever; only if it was waiting for what could not
 * be told it is moved up, once.
 */
void belay_queue(struct belay_region *r)
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

/*
 * While a region is being built nobody has its word; its bits say so, however,
 * as nobody may share its charge.
 */
static void mark_lost(struct belay_region *r, unsigned long start, unsigned long last)
{
	if (r->exited)
		r->lost_reason = BELAY_REASON_EXITED;
	else if (!(r->bits & BELAY_WORD_LOST))
		r->lost_reason = BELAY_REASON_UNMAPPED;
	belay_range_extend(&r->lost_start, &r->lost_last, start, last);
	if (r->state == BELAY_BUILDING) {
		WRITE_ONCE(r->bits, r->bits | BELAY_WORD_LOST);
		return;
	}
	if (!(r->bits & BELAY_WORD_LOST))
		belay_stat_inc(lost);
	belay_word_set(r, r->bits | BELAY_WORD_LOST);
	trace_belay_lost(r);
	belay_queue(r);
}

static void mark_suspect(struct belay_region *r, unsigned long start, unsigned long last)
{
	belay_range_extend(&r->dirty_start, &r->dirty_last, start, last);
	/* Until it is committed, a replaced page is no loss: commit.c asks. */
	if (r->kind == BELAY_WATCHED && r->prepared)
		return;
	if (r->state == BELAY_BUILDING) {
		WRITE_ONCE(r->bits, r->bits | BELAY_WORD_SUSPECT);
		return;
	}
	if (!(r->bits & BELAY_WORD_SUSPECT))
		belay_stat_inc(suspect);
	belay_word_set(r, r->bits | BELAY_WORD_SUSPECT);
	belay_queue(r);
}

/*
 * What mremap(MREMAP_DONTUNMAP) says is unmapped, and 6.1 says so of whatever happens to
 * hugetlb, may still be mapped, and shared memory comes back with the next touch. Whether
 * a mapping is there is looked at soon. But while a region is being built another mapping
 * may be another kind of memory; and a watched one not committed is told of nothing else.
 */
static bool may_come_back(const struct belay_region *r, const struct mmu_notifier_range *range)
{
	return range->event == MMU_NOTIFY_UNMAP && r->shared && r->state == BELAY_LIVE &&
	       !(r->kind == BELAY_WATCHED && r->prepared);
}

static enum belay_fate mark(struct belay_region *r,
			    const struct mmu_notifier_range *range, enum meaning meaning)
{
	unsigned long start = max(range->start >> PAGE_SHIFT, r->start);
	unsigned long last = min((range->end - 1) >> PAGE_SHIFT, r->last);

	if (r->state == BELAY_DEAD)
		return BELAY_FATE_IGNORED;
	if (range->event == MMU_NOTIFY_RELEASE)
		r->exited = true;
	/* But for the end, with which goes what another driver holds. */
	else if (belay_is_known_lost(r, start, last))
		return BELAY_FATE_IGNORED;
	if (may_come_back(r, range))
		meaning = MEANS_PERHAPS;
	r->announced++;
	if (meaning == MEANS_LOSS)
		mark_lost(r, start, last);
	else
		mark_suspect(r, start, last);
	return meaning == MEANS_LOSS ? BELAY_FATE_LOST : BELAY_FATE_SUSPECT;
}

/* Can it change which pages are mapped, if only of some region? */
bool belay_event_counts(const struct mmu_notifier_range *range)
{
	return meaning_of(range->event) != MEANS_NOTHING ||
	       range->event == MMU_NOTIFY_PROTECTION_VMA;
}

/* In the notifier's callback, for a region that has pages of @range. */
void belay_tell(struct belay_region *r, const struct mmu_notifier_range *range)
{
	enum meaning meaning = meaning_of(range->event);
	enum belay_fate fate = BELAY_FATE_FILTERED;

	count_event(range->event);
	if (range->event == MMU_NOTIFY_PROTECTION_VMA && READ_ONCE(r->unshares))
		meaning = MEANS_PERHAPS;
	if (meaning != MEANS_NOTHING) {
		spin_lock(&r->lock);
		fate = mark(r, range, meaning);
		spin_unlock(&r->lock);
	}
	count_fate(fate);
	trace_belay_invalidate(r, range, fate);
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
bool belay_has_in_hand(struct belay_grant *g, unsigned long *ret_seen)
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
bool belay_wait_for_room(struct belay_grant *g, unsigned long seen, long *left)
{
	*left = wait_event_killable_timeout(g->room, READ_ONCE(g->seen_to) != seen, *left);
	return *left > 0;
}

/* In a storm an event has listed it again meanwhile: that must not make it sooner. */
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

void belay_worker(struct work_struct *work)
{
	struct belay_grant *g = container_of(to_delayed_work(work),
					     struct belay_grant, work);

	belay_settle_grant(g);
	if (READ_ONCE(g->dead) && !g->end_raised) {
		g->end_raised = true;
		belay_event_raise(&g->event, BELAY_EVENT_ENDED);
	}
}
