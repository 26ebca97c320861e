// SPDX-License-Identifier: GPL-2.0-only
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
 * driver's pin has nothing left to replace. They are faulted in with the mmap
 * lock held, before the settle mutex is taken, under which nobody may wait for
 * that lock.
 */
#include <linux/hmm.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "belay.h"

/* Times to look again because something was announced meanwhile. */
#define COMMIT_TRIES	10
/* At a time: their frames fit into the smallest page. */
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

static int read_step(struct belay_region *r, struct belay_extents *x,
		     unsigned long *pfns, unsigned long page, unsigned long nr,
		     unsigned long seq)
{
	struct mm_struct *mm = r->session->grant->mm;
	struct hmm_range range = {
		.notifier = &r->mni,
		.notifier_seq = seq,
		.start = page << PAGE_SHIFT,
		.end = (page + nr) << PAGE_SHIFT,
		.hmm_pfns = pfns,
		.default_flags = HMM_PFN_REQ_FAULT |
			(r->flags & BELAY_REGION_WRITE ? HMM_PFN_REQ_WRITE : 0),
	};
	unsigned long i;
	int ret;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	ret = hmm_range_fault(&range);
	mmap_read_unlock(mm);
	if (ret)
		return ret == -EBUSY ? -EAGAIN : ret;
	for (i = 0; !ret && i < nr; i++)
		ret = belay_extents_add(x, pfns[i] & ~HMM_PFN_FLAGS, 1);
	return ret;
}

/* The pages mapped at @r, faulted in, into @x. */
static int read_pages(struct belay_region *r, struct belay_extents *x, unsigned long seq)
{
	unsigned long *pfns = (unsigned long *)__get_free_page(GFP_KERNEL_ACCOUNT);
	unsigned long page, nr;
	int ret = 0;

	if (!pfns)
		return -ENOMEM;
	for (page = r->start; !ret && page <= r->last; page += nr) {
		nr = min(r->last - page + 1, STEP_PAGES);
		memset(pfns, 0, nr * sizeof(*pfns));
		ret = fatal_signal_pending(current) ? -EINTR :
			read_step(r, x, pfns, page, nr, seq);
		cond_resched();
	}
	free_page((unsigned long)pfns);
	return ret ? ret : belay_extents_pack(x);
}

/* Has anything been announced since @r was registered? */
static bool is_untouched(struct belay_region *r)
{
	lockdep_assert_held(&r->lock);
	return r->dirty_start > r->dirty_last && !(r->bits & BELAY_WORD_LOST);
}

/* The pages in @x become those of @r if nothing was announced. */
static int adopt_pages(struct belay_region *r, struct belay_extents *x, unsigned long seq)
{
	int ret = -EAGAIN;

	if (mutex_lock_killable(&r->settle))
		return -EINTR;
	spin_lock(&r->lock);
	if (r->state == BELAY_DEAD) {
		ret = -ENOENT;
	} else if (!r->prepared) {
		ret = -EINVAL;
	} else if (is_untouched(r) && !mmu_interval_read_retry(&r->mni, seq)) {
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
	unsigned long seq = mmu_interval_read_begin(&r->mni);
	struct belay_extents x;
	bool untouched;
	int ret;

	spin_lock(&r->lock);
	untouched = is_untouched(r);
	spin_unlock(&r->lock);
	if (!READ_ONCE(r->prepared))
		return -EINVAL;
	if (!untouched)
		return -EAGAIN;
	ret = belay_check_mappings(r);
	if (ret)
		return ret;
	belay_extents_init(&x);
	ret = read_pages(r, &x, seq);
	if (!ret)
		ret = adopt_pages(r, &x, seq);
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
int belay_region_commit(struct belay_region *r)
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
