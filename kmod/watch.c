// SPDX-License-Identifier: GPL-2.0-only
/*
 * watch.c - what the kernel announces about a region, and who looks into it
 *
 * The callback runs inside munmap, truncate, reclaim, migration, fork, exit:
 * under the mmap lock, i_mmap locks, folio locks, in any task, within any
 * allocation. It takes two spinlocks, allocates nothing, waits for nobody and
 * lets nothing go. It filters by the kind of event, turns the validity word
 * before the page table changes, and puts the region on its grant's list:
 *
 *   UNMAP, RELEASE		certain: lost, that part
 *   PROTECTION_*, SOFT_DIRTY, EXCLUSIVE	nothing: the page stays
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
 * of the callback.
 */
#include <linux/mmu_notifier.h>
#include <linux/sched.h>

#include "belay.h"
#include "trace.h"

/* From the event to the look. */
#define LOOK_DELAY	msecs_to_jiffies(2)
/* Until what could not be told is looked at again: doubled up to this. */
#define BACKOFF_MAX	HZ

/* Returns whether the event can change pages, counting what was seen. */
static bool count_event(enum mmu_notifier_event event, bool *ret_certain)
{
	*ret_certain = false;
	switch (event) {
	case MMU_NOTIFY_UNMAP:
		belay_stat_inc(seen_unmap);
		*ret_certain = true;
		return true;
	case MMU_NOTIFY_RELEASE:
		belay_stat_inc(seen_release);
		*ret_certain = true;
		return true;
	case MMU_NOTIFY_CLEAR:
		belay_stat_inc(seen_clear);
		return true;
	case MMU_NOTIFY_PROTECTION_VMA:
	case MMU_NOTIFY_PROTECTION_PAGE:
		belay_stat_inc(seen_protection);
		return false;
	case MMU_NOTIFY_SOFT_DIRTY:
		belay_stat_inc(seen_soft_dirty);
		return false;
	case MMU_NOTIFY_EXCLUSIVE:
		/* A device borrows the page; the next touch has it back. */
		belay_stat_inc(seen_exclusive);
		return false;
	case MMU_NOTIFY_MIGRATE:
		belay_stat_inc(seen_migrate);
		return true;
	default:
		belay_stat_inc(seen_other);
		return true;
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
 * Under r->lock, by what its bits say. On its way to the losses a region leaves the other lists. The
 * timer is not put off if it is running, or a storm would do so for ever; only
 * if it was waiting for what could not be told it is moved up, once.
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

static enum belay_fate mark(struct belay_region *r,
			    const struct mmu_notifier_range *range, bool certain)
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
	if (certain)
		mark_lost(r, start, last);
	else
		mark_suspect(r, start, last);
	return certain ? BELAY_FATE_LOST : BELAY_FATE_SUSPECT;
}

/* Never false: a call that must not block is served like any other. */
static bool invalidate(struct mmu_interval_notifier *mni,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct belay_region *r = container_of(mni, struct belay_region, mni);
	enum belay_fate fate = BELAY_FATE_FILTERED;
	bool certain;

	if (count_event(range->event, &certain)) {
		spin_lock(&r->lock);
		mmu_interval_set_seq(mni, cur_seq);
		fate = mark(r, range, certain);
		spin_unlock(&r->lock);
	}
	count_fate(fate);
	trace_belay_invalidate(r, range, fate);
	return true;
}

static const struct mmu_interval_notifier_ops region_ops = {
	.invalidate = invalidate,
};

/* The first one of an address space takes its mmap lock for writing. */
int belay_watch(struct belay_region *r)
{
	int ret = mmu_interval_notifier_insert(&r->mni, r->session->grant->mm,
					       r->start << PAGE_SHIFT,
					       belay_region_pages(r) << PAGE_SHIFT,
					       &region_ops);

	r->watched = !ret;
	return ret;
}

/*
 * Afterwards no callback runs or will. Waits until no invalidation of the
 * address space is going on, which its threads can keep up for long: called
 * with nothing held. Whoever comes second does nothing, and does not wait.
 */
void belay_unwatch(struct belay_region *r)
{
	if (xchg(&r->watched, false))
		mmu_interval_notifier_remove(&r->mni);
}

/* Off the list before it is looked at: a new event lists it again. */
static struct belay_region *take(struct belay_grant *g, struct list_head *list)
{
	struct belay_region *r;

	spin_lock(&g->dirty_lock);
	r = list_first_entry_or_null(list, struct belay_region, dirty_link);
	if (r)
		list_del_init(&r->dirty_link);
	spin_unlock(&g->dirty_lock);
	return r;
}

static void look_later(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&r->lock);
	spin_lock(&g->dirty_lock);
	if (r->state == BELAY_LIVE && list_empty(&r->dirty_link)) {
		kref_get(&r->ref);
		list_add_tail(&r->dirty_link, &g->later);
	}
	spin_unlock(&g->dirty_lock);
	spin_unlock(&r->lock);
}

/* Returns whether some region could be told. */
static bool settle_list(struct belay_grant *g, struct list_head *list)
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
		belay_region_put(r);
		cond_resched();
	}
	return told;
}

static void wait_for_later(struct belay_grant *g, bool told)
{
	unsigned long backoff = 0;

	spin_lock(&g->dirty_lock);
	if (!list_empty(&g->later)) {
		if (told || !g->backoff)
			g->backoff = LOOK_DELAY;
		else
			g->backoff = min_t(unsigned long, g->backoff * 2, BACKOFF_MAX);
		backoff = g->backoff;
		g->later_at = jiffies + backoff;
		g->waiting = true;
	}
	spin_unlock(&g->dirty_lock);
	if (backoff)
		queue_delayed_work(belay_wq, &g->work, backoff);
}

/*
 * Look at all that is listed now. Called by the worker, and by a registration that
 * would otherwise be refused for room that is about to become free.
 */
void belay_settle_grant(struct belay_grant *g)
{
	LIST_HEAD(now);
	bool told;

	settle_list(g, &g->losses);
	spin_lock(&g->dirty_lock);
	list_splice_init(&g->suspects, &now);
	if (time_after_eq(jiffies, g->later_at))
		list_splice_tail_init(&g->later, &now);
	spin_unlock(&g->dirty_lock);
	told = settle_list(g, &now);
	wait_for_later(g, told);
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
