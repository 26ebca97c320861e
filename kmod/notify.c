// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPDX-FileCopyrightText: the belay authors
 *
 * notify.c - what is invalidated in an address space, and which regions are told
 *
 * A grant has one notifier for its address space, and a tree of the regions that
 * are watched. The callback runs inside munmap, truncate, reclaim, migration, fork,
 * exit: under the mmap lock, i_mmap locks, folio locks, in any task, within any
 * allocation. It takes three spinlocks, allocates nothing, waits for nobody and
 * lets nothing go. A region that is in the tree is alive, as it leaves it under the
 * same lock before it can go.
 *
 * The invalidations that have begun and not ended are kept as ranges, so that
 * whoever looks at pages can ask whether something is just about to change them
 * (belay_notify_is_changing()), without waiting. There is room for a few; while there are
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
 */
#include <linux/interval_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "trace.h"

/* Regions told of one event before others have the lock: some tens of microseconds. */
#define TELL_AT_ONCE	64
/* Two tries at once, others after 1, 2, 4, 8 and 16 ticks: a tenth of a second or so. */
#define REST_TRIES	7

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
 * is passed over. A region that came knows of this invalidation, which is listed.
 */
static struct belay_region *give_way(struct belay_grant *g, struct belay_region *r,
				     unsigned long start, unsigned long last,
				     bool may_sleep)
	__releases(&g->watch_lock) __acquires(&g->watch_lock)
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
		belay_watch_tell(r, range);
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

/* Where several have the same range, it does not matter which one goes. */
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
	if (belay_watch_event_counts(range))
		change_begins(g, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT);
	tell_all(g, range);
	spin_unlock(&g->watch_lock);
	return 0;
}

static void invalidation_ends(struct mmu_notifier *mn,
			      const struct mmu_notifier_range *range)
{
	struct belay_grant *g = container_of(mn, struct belay_grant, mn);

	if (!belay_watch_event_counts(range))
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
 * From now on @r is told, but not of an invalidation that has begun before: so the caller
 * looks for those afterwards (belay_notify_is_changing()).
 */
void belay_notify_add(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&g->watch_lock);
	r->order = g->next_order++;
	interval_tree_insert(&r->watch, &g->watched);
	spin_unlock(&g->watch_lock);
}

/* Afterwards no callback sees @r. A second call does nothing. */
void belay_notify_remove(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	spin_lock(&g->watch_lock);
	if (!RB_EMPTY_NODE(&r->watch.rb))
		interval_tree_remove(&r->watch, &g->watched);
	RB_CLEAR_NODE(&r->watch.rb);
	spin_unlock(&g->watch_lock);
}

/* Is an invalidation going on that may change pages of @start to @last? */
bool belay_notify_is_changing(struct belay_grant *g, unsigned long start, unsigned long last)
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
int belay_notify_await_rest(const struct belay_region *r)
{
	unsigned int tries;

	for (tries = 0; belay_notify_is_changing(r->session->grant, r->start, r->last); tries++) {
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
