// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * commit.c - from now on the pages count
 *
 * A driver that holds memory itself pins it between registering and committing,
 * and its pinning may replace pages: it breaks copy-on-write, and moves pages
 * out of ZONE_MOVABLE.
 *
 * A tracked region was pinned by the module when it was prepared, which did all
 * that already; no page can have been replaced and come back in between, which
 * page numbers alone would not show. Committing lets go of those pins, and only
 * remembers the pages.
 *
 * A watched region holds nothing, ever. It remembers the pages that are mapped
 * at the commit, and that these are the driver's it can only know if nothing
 * was announced since it was registered: else -EAGAIN, and the next time the
 * driver's pin has nothing left to replace. They are faulted in as a touch of the
 * process would do it, also where a userfaultfd monitor or a FUSE server has yet to
 * give them, with nothing held: before the settle mutex is taken.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "belay.h"

/* Times to look again because something was announced meanwhile. */
#define COMMIT_TRIES	10
/* At a time: pointers to them fit into the smallest page. */
#define STEP_PAGES	512UL

/* Under the settle mutex. */
static int commit_tracked(struct belay_region *r)
{
	if (READ_ONCE(r->bits) & (BELAY_WORD_SUSPECT | BELAY_WORD_LOST))
		return -EAGAIN;
	spin_lock(&r->lock);
	r->prepared = false;
	spin_unlock(&r->lock);
	belay_region_drop_pins(r);
	return 0;
}

/* Up to @room pages at @page into @x: has how many. */
static long read_step(struct belay_region *r, struct belay_extents *x,
		      struct page **pages, unsigned long page, unsigned long room)
{
	unsigned int gup = r->flags & BELAY_REGION_WRITE ? FOLL_WRITE : 0;
	int ret = 0;
	long nr, i;

	nr = get_user_pages_fast(page << PAGE_SHIFT, room, gup, pages);
	if (nr <= 0)
		return nr == -ENOMEM || nr == -EINTR ? nr : nr ? -EFAULT : -EAGAIN;
	for (i = 0; i < nr; i++) {
		if (!ret)
			ret = belay_extents_add(x, page_to_pfn(pages[i]), 1);
		put_page(pages[i]);
	}
	return ret ? ret : nr;
}

/* The pages mapped at @r, faulted in, into @x. */
static int read_pages(struct belay_region *r, struct belay_extents *x)
{
	struct page **pages = (struct page **)__get_free_page(GFP_KERNEL_ACCOUNT);
	unsigned long page;
	long nr = 0;

	if (!pages)
		return -ENOMEM;
	for (page = r->start; nr >= 0 && page <= r->last; page += nr) {
		nr = fatal_signal_pending(current) ? -EINTR :
			read_step(r, x, pages, page, min(r->last - page + 1, STEP_PAGES));
		if (nr < 0)
			break;
		cond_resched();
	}
	free_page((unsigned long)pages);
	return nr < 0 ? nr : belay_extents_pack(x);
}

/* Has anything been announced since @r was registered? */
static bool is_untouched(struct belay_region *r)
{
	lockdep_assert_held(&r->lock);
	return r->dirty_start > r->dirty_last && !(r->bits & BELAY_WORD_LOST);
}

/* The pages in @x become those of @r if nothing was announced. */
static int adopt_pages(struct belay_region *r, struct belay_extents *x)
{
	int ret = -EAGAIN;

	if (mutex_lock_killable(&r->settle))
		return -EINTR;
	spin_lock(&r->lock);
	if (r->state == BELAY_DEAD) {
		ret = -ENOENT;
	} else if (!r->prepared) {
		ret = -EINVAL;
	} else if (is_untouched(r)) {
		belay_extents_move(&r->extents, x);
		r->prepared = false;
		ret = 0;
	}
	spin_unlock(&r->lock);
	mutex_unlock(&r->settle);
	return ret;
}

static int commit_watched(struct belay_region *r)
{
	struct belay_extents x;
	bool untouched;
	int ret;

	/* adopt_pages() finds whatever is announced from here on. */
	ret = belay_notify_await_rest(r);
	if (ret)
		return ret;
	spin_lock(&r->lock);
	untouched = is_untouched(r);
	spin_unlock(&r->lock);
	if (!READ_ONCE(r->prepared))
		return -EINVAL;
	if (!untouched)
		return -EAGAIN;
	ret = belay_pin_check(r);
	if (ret)
		return ret;
	belay_extents_init(&x);
	ret = read_pages(r, &x);
	if (!ret)
		ret = adopt_pages(r, &x);
	belay_extents_free(&x);
	return ret;
}

static int commit_prepared(struct belay_region *r)
{
	int ret;

	if (mutex_lock_killable(&r->settle))
		return -EINTR;
	if (!r->prepared)
		ret = -EINVAL;
	else if (READ_ONCE(r->state) == BELAY_DEAD)
		ret = -ENOENT;
	else
		ret = commit_tracked(r);
	mutex_unlock(&r->settle);
	return ret;
}

/* By the region's own process. */
int belay_commit(struct belay_region *r)
{
	int ret, tries;

	if (r->kind == BELAY_WATCHED)
		return commit_watched(r);
	for (tries = 0; tries < COMMIT_TRIES; tries++) {
		/* Whatever was announced is looked at with the pages still held. */
		ret = belay_settle(r);
		if (!ret)
			ret = commit_prepared(r);
		if (ret != -EAGAIN || READ_ONCE(r->bits) & BELAY_WORD_LOST)
			break;
	}
	return ret;
}
