// SPDX-License-Identifier: GPL-2.0-only
/*
 * watch.c - what the kernel announces about a region, and who looks into it
 *
 * A grant has one notifier for its address space, and a tree of the regions that
 * are watched. The callback runs inside munmap, truncate, reclaim, migration, fork,
 * exit: under the mmap lock, i_mmap locks, folio locks, in any task, within any
 * allocation. It takes three spinlocks, allocates nothing, waits for nobody and
 * lets nothing go. It filters by the kind of event, turns the validity words
 * before the page table changes, and puts the regions on their grant's list:
 *
 *   UNMAP, RELEASE		certain: lost, that part
 *   PROTECTION_*, SOFT_DIRTY, EXCLUSIVE	nothing: the page stays
 *   all others (CLEAR, ...)	suspect: perhaps replaced, perhaps not. Nothing
 *				in the event tells; verify.c looks afterwards
 *
 * Storms are normal (KSM, migration: hundreds of events a page): a region is on
 * the list once, with one range for all.
 *
 * The invalidations that have begun and not ended are kept as ranges, so that
 * whoever looks at pages can ask whether something is just about to change them
 * (belay_is_changing()), without waiting. There is room for a few; while there are
 * more, the smallest range around all that found no place counts. An interval
 * notifier for each region would do all this, too, but reading and removing those
 * waits until nothing is being invalidated in the whole address space, which its
 * threads can put off for ever.
 *
 * Beginnings and ends balance. The kernel adds a notifier under mm_take_all_locks(),
 * that is with every lock held under which anything is invalidated, so none is added
 * in between. Where another notifier of the address space fails a call that must not
 * block, the kernel calls the end of each that has one. After the address space's
 * end, and after unregistering, nothing is called: then no region is left to ask for.
 *
 * The worker, one for each grant, takes the list: lost regions first, since
 * others may wait for the room, then the suspect ones. It starts a moment
 * later: what raised one event is likely to raise more, and arming a timer is
 * all that munmap() pays, where waking a thread would cost it more than the rest
 * of the callback.
 */
#include <linux/interval_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "trace.h"

/* From the event to the look. */
#define LOOK_DELAY	msecs_to_jiffies(2)
/* Until what could not be told is looked at again: doubled up to this. */
#define BACKOFF_MAX	HZ
/* Regions told of one event before others have the lock: some tens of microseconds. */
#define TELL_AT_ONCE	64
/* Twice at once, then after 1, 2, 4, 8 and 16 ticks: a tenth of a second or so. */
#define REST_TRIES	7

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
	r->announced++;
	if (meaning == MEANS_LOSS)
		mark_lost(r, start, last);
	else
		mark_suspect(r, start, last);
	return meaning == MEANS_LOSS ? BELAY_FATE_LOST : BELAY_FATE_SUSPECT;
}

static void tell(struct belay_region *r, const struct mmu_notifier_range *range)
{
	enum meaning meaning = meaning_of(range->event);
	enum belay_fate fate = BELAY_FATE_FILTERED;

	count_event(range->event);
	if (meaning != MEANS_NOTHING) {
		spin_lock(&r->lock);
		fate = mark(r, range, meaning);
		spin_unlock(&r->lock);
	}
	count_fate(fate);
	trace_belay_invalidate(r, range, fate);
}

static struct belay_region *watched_region(struct interval_tree_node *n)
{
	return n ? container_of(n, struct belay_region, watch) : NULL;
}

/* The first region in the tree's order that comes after @start and @order. */
static struct belay_region *first_after(struct belay_grant *g, unsigned long start,
					u64 order)
{
	struct rb_node *n = g->watched.rb_root.rb_node;
	struct belay_region *r, *found = NULL;

	while (n) {
		r = rb_entry(n, struct belay_region, watch.rb);
		if (r->start > start || (r->start == start && r->order > order)) {
			found = r;
			n = n->rb_left;
		} else {
			n = n->rb_right;
		}
	}
	return found;
}

/*
 * Let others have the lock, and find the next region that has pages of @start to
 * @last. The tree is in the order of the regions' starts and, where these are the
 * same, of their coming; so whatever went and came meanwhile, nothing that was there
 * is passed over. What came knows of this invalidation, which is listed.
 */
static struct belay_region *give_way(struct belay_grant *g, struct belay_region *r,
				     unsigned long start, unsigned long last,
				     bool may_sleep)
{
	unsigned long at = r->start;
	u64 order = r->order;

	spin_unlock(&g->watch_lock);
	if (may_sleep)
		cond_resched();
	spin_lock(&g->watch_lock);
	r = first_after(g, at, order);
	if (!r || r->start > last)
		return NULL;
	if (r->last >= start)
		return r;
	return watched_region(interval_tree_iter_next(&r->watch, start, last));
}

static void tell_all(struct belay_grant *g, const struct mmu_notifier_range *range)
{
	unsigned long start = range->start >> PAGE_SHIFT;
	unsigned long last = (range->end - 1) >> PAGE_SHIFT;
	struct belay_region *r;
	unsigned int n = 0;

	lockdep_assert_held(&g->watch_lock);
	r = watched_region(interval_tree_iter_first(&g->watched, start, last));
	while (r) {
		tell(r, range);
		if (++n % TELL_AT_ONCE)
			r = watched_region(interval_tree_iter_next(&r->watch, start, last));
		else
			r = give_way(g, r, start, last,
				     mmu_notifier_range_blockable(range));
	}
}

static void change_begins(struct belay_grant *g, unsigned long start, unsigned long last)
{
	lockdep_assert_held(&g->watch_lock);
	if (g->nr_changes < BELAY_CHANGES_MAX) {
		g->changes[g->nr_changes++] = (struct belay_change) { start, last };
		return;
	}
	g->unlisted++;
	belay_range_extend(&g->unlisted_start, &g->unlisted_last, start, last);
}

/* Of several with the same range any one will do. */
static void change_ends(struct belay_grant *g, unsigned long start, unsigned long last)
{
	unsigned int i;

	lockdep_assert_held(&g->watch_lock);
	for (i = 0; i < g->nr_changes; i++) {
		if (g->changes[i].start != start || g->changes[i].last != last)
			continue;
		g->changes[i] = g->changes[--g->nr_changes];
		return;
	}
	if (WARN_ON_ONCE(!g->unlisted) || --g->unlisted)
		return;
	g->unlisted_start = ULONG_MAX;
	g->unlisted_last = 0;
}

static int invalidation_begins(struct mmu_notifier *mn,
			       const struct mmu_notifier_range *range)
{
	struct belay_grant *g = container_of(mn, struct belay_grant, mn);

	spin_lock(&g->watch_lock);
	if (meaning_of(range->event) != MEANS_NOTHING)
		change_begins(g, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
	tell_all(g, range);
	spin_unlock(&g->watch_lock);
	return 0;
}

static void invalidation_ends(struct mmu_notifier *mn,
			      const struct mmu_notifier_range *range)
{
	struct belay_grant *g = container_of(mn, struct belay_grant, mn);

	if (meaning_of(range->event) == MEANS_NOTHING)
		return;
	spin_lock(&g->watch_lock);
	change_ends(g, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
	spin_unlock(&g->watch_lock);
}

/* The address space ends: nobody uses it any more, so that no region comes. */
static void address_space_ends(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct belay_grant *g = container_of(mn, struct belay_grant, mn);
	const struct mmu_notifier_range all = {
		.mm = mm,
		.end = ULONG_MAX,
		.event = MMU_NOTIFY_RELEASE,
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
	};

	/* mmu_notifier_unregister() calls this too; then nothing has ended. */
	if (READ_ONCE(g->closing))
		return;
	spin_lock(&g->watch_lock);
	tell_all(g, &all);
	spin_unlock(&g->watch_lock);
	WRITE_ONCE(g->dead, true);
	trace_belay_grant_dead(g);
	mod_delayed_work(belay_wq, &g->work, 0);
}

const struct mmu_notifier_ops belay_notifier_ops = {
	.release = address_space_ends,
	.invalidate_range_start = invalidation_begins,
	.invalidate_range_end = invalidation_ends,
};

/*
 * From now on @r is told. What has begun before, it is not told of: so the caller
 * looks for that afterwards (belay_is_changing()).
 */
void belay_watch(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&g->watch_lock);
	r->order = g->next_order++;
	interval_tree_insert(&r->watch, &g->watched);
	r->watched = true;
	spin_unlock(&g->watch_lock);
}

/* Afterwards no callback sees @r. Twice does nothing. */
void belay_unwatch(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&g->watch_lock);
	if (r->watched)
		interval_tree_remove(&r->watch, &g->watched);
	r->watched = false;
	spin_unlock(&g->watch_lock);
}

/* Is an invalidation going on that may change pages of @start to @last? */
bool belay_is_changing(struct belay_grant *g, unsigned long start, unsigned long last)
{
	bool is;
	unsigned int i;

	spin_lock(&g->watch_lock);
	is = g->unlisted_start <= last && g->unlisted_last >= start;
	for (i = 0; !is && i < g->nr_changes; i++)
		is = g->changes[i].start <= last && g->changes[i].last >= start;
	spin_unlock(&g->watch_lock);
	return is;
}

/*
 * By the region's own process, with nothing held: until nothing is going on over it.
 * A process that keeps that up keeps only itself waiting, and is told -EAGAIN.
 */
int belay_await_rest(const struct belay_region *r)
{
	unsigned int tries;

	for (tries = 0; belay_is_changing(r->session->grant, r->start, r->last); tries++) {
		if (tries == REST_TRIES)
			return -EAGAIN;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (tries < 2)
			cond_resched();
		else
			schedule_timeout_killable(1 << (tries - 2));
	}
	return 0;
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
