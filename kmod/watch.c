// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * watch.c - what an announced event means to a region
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
 * the list once, with one range for all. settle.c works the list off.
 */
#include <linux/mmu_notifier.h>

#include "belay.h"
#include "trace.h"

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
	belay_settle_queue(r);
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
	belay_settle_queue(r);
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
	/* The end is not ignored: with it goes what another driver holds. */
	else if (belay_region_is_known_lost(r, start, last))
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
bool belay_watch_event_counts(const struct mmu_notifier_range *range)
{
	return meaning_of(range->event) != MEANS_NOTHING ||
	       range->event == MMU_NOTIFY_PROTECTION_VMA;
}

/* In the notifier's callback, for a region that has pages of @range. */
void belay_watch_tell(struct belay_region *r, const struct mmu_notifier_range *range)
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
