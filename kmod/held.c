// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * held.c - how much of a region is held, and where its pages are
 *
 * The pages of a region that is being registered are not known yet: it fits every
 * place, as long as it may hold any.
 *
 * A page frame's number tells its place. A run may be long and cross nodes,
 * but no pageblock lies on two without showing it at its ends, so it is looked
 * at in pageblocks, and page by page where the ends differ. Nothing is locked:
 * the answer is as of some moment during the walk. What another driver holds
 * is remembered as numbers; those are only followed through
 * pfn_to_online_page().
 */
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "select.h"

/* Pageblocks looked at before others get a turn. */
#define STEPS		1024

static int node_of(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page ? page_to_nid(page) : NUMA_NO_NODE;
}

static u64 node_bit(int node)
{
	return node == NUMA_NO_NODE ? 0 : BIT_ULL(min(node, 63));
}

static unsigned long in_place(const struct belay_selection *sel, unsigned long pfn,
			      unsigned long pages, int node)
{
	if (sel->node != NUMA_NO_NODE && sel->node != node)
		return 0;
	return belay_range_pages(max(pfn, sel->first_pfn),
				 min(pfn + pages - 1, sel->last_pfn));
}

/* Adds @pages frames from @pfn on. Returns how many steps it took. */
static unsigned int add_frames(struct belay_held *held, const struct belay_selection *sel,
			       unsigned long pfn, unsigned long pages)
{
	unsigned int steps = 0;
	unsigned long n;
	int node;

	for (; pages; pfn += n, pages -= n) {
		n = min(pages, pageblock_nr_pages - (pfn & (pageblock_nr_pages - 1)));
		node = node_of(pfn);
		if (n > 1 && node_of(pfn + n - 1) != node)
			n = 1;
		if (!held->pages)
			held->node = node;
		held->pages += n;
		held->nodes |= node_bit(node);
		held->selected_pages += in_place(sel, pfn, n, node);
		if (++steps % STEPS == 0)
			cond_resched();
	}
	return steps;
}

/*
 * The only place that knows what of a region is held: false: nothing; else all
 * but the pages from *@gone_start to *@gone_last. Without a lock, as these only
 * ever go, and say so after it is done.
 */
static bool holds_but(const struct belay_region *r, unsigned long *gone_start,
		      unsigned long *gone_last)
{
	*gone_start = ULONG_MAX;
	*gone_last = 0;
	switch (r->kind) {
	case BELAY_PINNED:
		/* Each is right with the other's value of before, too. */
		*gone_start = READ_ONCE(r->dropped_start);
		/* Stored after the pages have gone: belay_region_drop_part(). */
		*gone_last = smp_load_acquire(&r->dropped_last);
		/* So is this: belay_unpin(). */
		return smp_load_acquire(&r->held);
	case BELAY_TRACKED:
		/*
		 * Its lost pages are held, too, until it is unregistered. Stored
		 * after the pages have gone: uncharge() in coverage.c.
		 */
		return smp_load_acquire(&r->charged);
	default:
		return false;
	}
}

/*
 * It is being registered, or that was ended by order: its runs are not to be looked at.
 * How many pages it has is known, not where.
 */
bool belay_held_is_incomplete(const struct belay_region *r)
{
	/* Complete means that the runs can be seen, too. */
	enum belay_state state = smp_load_acquire(&r->state);

	return state == BELAY_BUILDING || (state == BELAY_DEAD && READ_ONCE(r->aborted));
}

static void look_at_incomplete(const struct belay_region *r, struct belay_held *held)
{
	/* In this order: a batch is remembered before it is no longer in hand. */
	held->pinning = smp_load_acquire(&r->pinning);
	/* Stored after the pages have gone. */
	held->pages = smp_load_acquire(&r->held) ? READ_ONCE(r->nr_held) : 0;
	held->selected_pages = held->pages;
}

unsigned long belay_held_pages(const struct belay_region *r)
{
	unsigned long gone_start, gone_last;

	if (!holds_but(r, &gone_start, &gone_last))
		return 0;
	return belay_region_pages(r) - belay_range_pages(gone_start, gone_last);
}

/*
 * How much of @r is held, by whomever, and how much of that lies in the place
 * selected. With @any it ends with the first page that does. Cut short by a
 * fatal signal.
 */
static void look_at_held(struct belay_region *r, const struct belay_selection *sel,
			 struct belay_held *held, bool any)
{
	unsigned long page = r->start, next, gone_start, gone_last, before, after;
	struct belay_extent_iter i;
	unsigned int steps = 0;
	u64 run;

	*held = (struct belay_held) { .node = NUMA_NO_NODE };
	if (belay_held_is_incomplete(r)) {
		look_at_incomplete(r, held);
		return;
	}
	if (!holds_but(r, &gone_start, &gone_last))
		return;
	belay_extent_start(&i, &r->extents);
	for (; belay_extent_next(&i, &run); page = next) {
		next = page + belay_run_pages(run);
		belay_range_without(page, next - 1, gone_start, gone_last, &before, &after);
		steps += add_frames(held, sel, belay_run_pfn(run), before);
		steps += add_frames(held, sel,
				    belay_run_pfn(run) + (next - page) - after, after);
		if (any && held->selected_pages)
			return;
		if (steps < STEPS)
			continue;
		if (fatal_signal_pending(current))
			return;
		cond_resched();
		steps = 0;
	}
}

void belay_held_look(struct belay_region *r, const struct belay_selection *sel,
		     struct belay_held *held)
{
	look_at_held(r, sel, held, false);
}

/* Is anything of @r held in the place selected, if one is? */
bool belay_held_any(struct belay_region *r, const struct belay_selection *sel)
{
	struct belay_held held;

	look_at_held(r, sel, &held, true);
	return held.selected_pages || held.pinning;
}
