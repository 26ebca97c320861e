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
 *   UNMAP, RELEASE		certain: lost
 *   PROTECTION_*, SOFT_DIRTY	nothing: the page stays
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

/* From the event to the look. */
#define LOOK_DELAY	msecs_to_jiffies(2)
/*
 * When a look could not tell: doubled each time, up to this. It bounds also how
 * long a loss waits that happens while the worker is waiting for that.
 */
#define RETRY_DELAY_MAX	msecs_to_jiffies(16)

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
	default:
		belay_stat_inc(seen_other);
		return true;
	}
}

/* Under r->lock. On its way to the losses a region leaves the suspects. */
static void queue(struct belay_region *r, struct list_head *list,
		  unsigned long delay)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&g->dirty_lock);
	if (list_empty(&r->dirty_link)) {
		kref_get(&r->ref);
		list_add_tail(&r->dirty_link, list);
	} else if (list == &g->losses) {
		list_move_tail(&r->dirty_link, list);
	}
	spin_unlock(&g->dirty_lock);
	/* Not put off if it is queued already, or a storm would do so for ever. */
	queue_delayed_work(belay_wq, &g->work, delay);
}

static void mark(struct belay_region *r, const struct mmu_notifier_range *range,
		 bool certain)
{
	unsigned long start = max(range->start >> PAGE_SHIFT, r->it.start);
	unsigned long last = min((range->end - 1) >> PAGE_SHIFT, r->it.last);

	if (r->state == BELAY_BUILDING)
		belay_range_extend(&r->dirty_start, &r->dirty_last, start, last);
	if (r->state != BELAY_LIVE)
		return;
	if (range->event == MMU_NOTIFY_RELEASE)
		r->exited = true;
	if (certain) {
		if (!(r->bits & BELAY_WORD_LOST)) {
			r->lost_reason = range->event == MMU_NOTIFY_RELEASE ?
				BELAY_REASON_EXITED : BELAY_REASON_UNMAPPED;
			belay_stat_inc(lost);
		}
		belay_word_set(r, r->bits | BELAY_WORD_LOST);
		belay_range_extend(&r->lost_start, &r->lost_last, start, last);
		queue(r, &r->session->grant->losses, LOOK_DELAY);
		return;
	}
	if (r->bits & BELAY_WORD_LOST)
		return;
	if (!(r->bits & BELAY_WORD_SUSPECT))
		belay_stat_inc(suspect);
	belay_word_set(r, r->bits | BELAY_WORD_SUSPECT);
	belay_range_extend(&r->dirty_start, &r->dirty_last, start, last);
	queue(r, &r->session->grant->suspects, LOOK_DELAY);
}

/* Never false: a call that must not block is served like any other. */
static bool invalidate(struct mmu_interval_notifier *mni,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct belay_region *r = container_of(mni, struct belay_region, mni);
	bool certain;

	if (!count_event(range->event, &certain)) {
		belay_stat_inc(filtered);
		return true;
	}
	spin_lock(&r->lock);
	mmu_interval_set_seq(mni, cur_seq);
	mark(r, range, certain);
	spin_unlock(&r->lock);
	return true;
}

static const struct mmu_interval_notifier_ops region_ops = {
	.invalidate = invalidate,
};

/* The first one of an address space takes its mmap lock for writing. */
int belay_watch(struct belay_region *r)
{
	int ret = mmu_interval_notifier_insert(&r->mni, r->session->grant->mm,
					       r->it.start << PAGE_SHIFT,
					       belay_region_pages(r) << PAGE_SHIFT,
					       &region_ops);

	r->watched = !ret;
	return ret;
}

/* Afterwards no callback runs or will. Twice does nothing. */
void belay_unwatch(struct belay_region *r)
{
	if (r->watched)
		mmu_interval_notifier_remove(&r->mni);
	r->watched = false;
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

/* What cannot be told yet is listed again, for later. */
static void settle_one(struct belay_region *r)
{
	unsigned long delay = 0;

	mutex_lock(&r->settle);
	if (belay_verify(r) == -EAGAIN) {
		delay = min(LOOK_DELAY << r->tries, RETRY_DELAY_MAX);
		r->tries = min(r->tries + 1, 8);
	} else {
		r->tries = 0;
	}
	mutex_unlock(&r->settle);
	if (!delay)
		return;
	spin_lock(&r->lock);
	if (r->state == BELAY_LIVE)
		queue(r, &r->session->grant->suspects, delay);
	spin_unlock(&r->lock);
}

static void settle_list(struct belay_grant *g, struct list_head *list)
{
	struct belay_region *r;

	while ((r = take(g, list))) {
		settle_one(r);
		belay_region_put(r);
		cond_resched();
	}
}

/*
 * Look at all that is listed now. Called by the worker, and by a registration
 * that would otherwise be refused for room that is about to become free.
 */
void belay_settle_grant(struct belay_grant *g)
{
	LIST_HEAD(now);

	settle_list(g, &g->losses);
	spin_lock(&g->dirty_lock);
	list_splice_init(&g->suspects, &now);
	spin_unlock(&g->dirty_lock);
	settle_list(g, &now);
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
