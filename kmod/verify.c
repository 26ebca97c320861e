// SPDX-License-Identifier: GPL-2.0-only
/*
 * verify.c - is it still the same page?
 *
 * Called after the fact, by the worker or by a client that met a suspect word,
 * with the region's settle mutex held. The suspect pages are taken off the
 * region, 512 at a time compared with what is mapped now, and what is
 * announced meanwhile is added by the callback and looked at next. The word
 * becomes valid under the region's lock when nothing is left to look at.
 *
 * A page is
 *   the same	if the page table maps the page frame that was registered. A
 *		later removal must take it out of the page table and announce
 *		that; so this is final.
 *   lost	if the page table maps another one, or no mapping is there.
 *
 * If the page table has no page, it depends on the mapping:
 *   shared	(shmem, hugetlb, files) only the page table entry may have been
 *		dropped. The page is the same if it is in the page cache at its
 *		index. A hole punch announces itself only *before* it takes the
 *		page out of the cache; it holds the inode's lock all the time,
 *		so the cache is looked at under that lock, shared (for
 *		ordinary file systems look_in_disk_file() asks for more).
 *		Nothing announces that reclaim takes a page out of the cache
 *		which no page table maps. It does not take one that is pinned:
 *		by the region, or else by whoever the region is for. If
 *		nobody has pinned it, it is as good as lost.
 *   private	an anonymous page is lost, unless a migration is being tried:
 *		then the entry is only away for a moment, and the folio is
 *		locked for all of it. So: no entry, folio not locked, still no
 *		entry (looked for with care, maps_now()), and nothing
 *		announced since before the first look. (A
 *		migration that began before the first look and has not put
 *		the entry back at the second one was holding the lock between.)
 *		Or unless a device has borrowed the page: there is an entry that is
 *		no page's then, until somebody wants the page back (is_borrowed()).
 *
 * The mmap lock and the inode's lock can be held for as long as a user likes (by
 * a write() from memory that a FUSE server or a userfaultfd never fills). Who
 * unregisters, closes or releases waits for the settle mutex; so under it those
 * locks are only tried, and the region stays suspect where they are not had.
 *
 * The frames of a tracked region are only remembered, not held: they may have
 * been freed and used again. They are compared as numbers; struct page is
 * touched only through pfn_to_online_page() and only for the lock bit, and for
 * whether it is pinned.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/hugetlb.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/page-flags.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>

#include "belay.h"
#include "compat/compat.h"
#include "trace.h"

/* At a time: their frames fit into the smallest page, and an event spoils as many. */
#define STEP_PAGES	512UL
/* Looks at one step before saying "later": each is spoilt by a new event. */
#define STEP_TRIES	8
/* Times that a client's call looks before it says that it cannot tell. */
#define SETTLE_TRIES	4
/* Rounds over what was announced during the round before. */
#define ROUNDS		32

/* One look: what it is at, and what it found. */
struct look {
	struct belay_region *r;
	struct mm_struct *mm;
	unsigned long *pfns;		/* scratch, STEP_PAGES */
	struct belay_extent_iter iter;
	unsigned long lost_start, lost_last;
	unsigned long known_start, known_last;	/* lost before */
	bool unmapped;			/* some page has no mapping any more */
};

static unsigned long registered_pfn(struct look *l, unsigned long page)
{
	return belay_extent_pfn(&l->iter, page - l->r->start);
}

static bool is_mapped_same(unsigned long entry, unsigned long pfn)
{
	return entry & HMM_PFN_VALID && (entry & ~HMM_PFN_FLAGS) == pfn;
}

/*
 * hmm_range_fault() asks a notifier for its address space, and whether its number is
 * still the same. Nobody has registered this one, whose number never changes: whether
 * anything was announced look_once() asks the region.
 */
static int snapshot(struct look *l, unsigned long page, unsigned long nr)
{
	struct mmu_interval_notifier unregistered = { .mm = l->mm };
	struct hmm_range range = {
		.notifier = &unregistered,
		.start = page << PAGE_SHIFT,
		.end = (page + nr) << PAGE_SHIFT,
		.hmm_pfns = l->pfns,
	};
	int ret;

	memset(l->pfns, 0, nr * sizeof(*l->pfns));
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	ret = hmm_range_fault(&range);
	mmap_read_unlock(l->mm);
	return ret == -EBUSY ? -EAGAIN : ret;
}

/* What the mapping at a page says about how to look at it. */
struct place {
	bool is_unreadable;
	bool is_hugetlb;
	bool needs_pin;		/* somebody else's, as the region has none */
	struct file *file;	/* of a shared mapping, with a reference */
	pgoff_t index;
	unsigned int cache_order;
};

static int find_place(struct look *l, unsigned long page, struct place *place)
{
	unsigned long addr = page << PAGE_SHIFT;
	struct vm_area_struct *vma;

	*place = (struct place) {};
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	vma = find_vma(l->mm, addr);
	if (vma && vma->vm_start <= addr) {
		place->is_unreadable = !(vma->vm_flags & VM_READ);
		place->is_hugetlb = is_vm_hugetlb_page(vma);
		place->needs_pin = !l->r->held;
		place->index = vma->vm_pgoff + page - (vma->vm_start >> PAGE_SHIFT);
		place->cache_order = belay_cache_order(vma);
		if (vma->vm_file && vma->vm_flags & VM_MAYSHARE)
			place->file = get_file(vma->vm_file);
	} else {
		/* munmap() has begun, and has yet to announce it. */
		l->unmapped = true;
	}
	mmap_read_unlock(l->mm);
	return 0;
}

/*
 * The careful way: under the page table's lock, and also what may not be
 * accessed, which hmm_range_fault() takes for nothing: PROT_NONE mappings, and
 * entries that NUMA balancing has made so. Faults nothing in. 1: the same, 0:
 * not, or nothing mapped, -EBUSY: cannot be told now.
 */
static int maps_now(struct look *l, unsigned long page, unsigned long pfn)
{
	struct page *found;
	bool same;
	long nr;

	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	nr = belay_get_page_remote(l->mm, page << PAGE_SHIFT, FOLL_NOFAULT, &found);
	mmap_read_unlock(l->mm);
	if (nr != 1)
		return 0;
	same = page_to_pfn(found) == pfn;
	put_page(found);
	return same;
}

static bool is_pinned(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && folio_maybe_dma_pinned(page_folio(page));
}

/* Where there is no entry at all, FOLL_DUMP lets it fail; a file would be read. */
static long bring_back(struct look *l, unsigned long addr, struct page **ret_page)
{
	struct vm_area_struct *vma = find_vma(l->mm, addr);

	if (!vma || vma->vm_start > addr || !vma_is_anonymous(vma))
		return -EFAULT;
	return belay_get_page_remote(l->mm, addr, FOLL_DUMP | FOLL_NOWAIT, ret_page);
}

/*
 * Of an entry that is no page's, nothing says which page it stands for but a fault,
 * which is tried without waiting. A pinned page is neither swapped out nor taken by a
 * device; so, unless it has been replaced already, what comes back is one that a device
 * has borrowed. 1: it was that, 0: not, -EBUSY: cannot be told now.
 */
static int is_borrowed(struct look *l, unsigned long page, unsigned long pfn)
{
	struct page *found;
	bool same;
	long nr;

	if (!IS_ENABLED(CONFIG_DEVICE_PRIVATE) || !is_pinned(pfn))
		return 0;
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	nr = bring_back(l, page << PAGE_SHIFT, &found);
	mmap_read_unlock(l->mm);
	if (nr != 1)
		return nr ? 0 : -EBUSY;
	same = page_to_pfn(found) == pfn;
	put_page(found);
	return same;
}

static bool in_page_cache(const struct place *place, unsigned long pfn)
{
	unsigned int order = place->cache_order;
	struct page *page;
	unsigned long found;
	bool same;

	page = pagecache_get_page(place->file->f_mapping, place->index >> order, 0, 0);
	if (!page)
		return false;
	found = PageHWPoison(page) ? 0 : page_to_pfn(page);
	/* Where the cache counts huge pages, it gives the first small one. */
	if (order)
		found += place->index & ((1UL << order) - 1);
	same = found == pfn &&
	       (!place->needs_pin || folio_maybe_dma_pinned(page_folio(page)));
	put_page(page);
	return same;
}

/*
 * Ordinary file systems also drop pages from the cache for direct I/O, with
 * the lock held shared, or by counted requests that run on without it.
 */
static int look_in_disk_file(const struct place *place, unsigned long pfn)
{
	struct inode *inode = place->file->f_mapping->host;
	int ret = -EBUSY;

	if (!inode_trylock(inode))
		return -EBUSY;
	if (!atomic_read(&inode->i_dio_count))
		ret = in_page_cache(place, pfn);
	inode_unlock(inode);
	return ret;
}

/* 1: the same, 0: lost, -EBUSY: cannot be told now. */
static int look_in_file(const struct place *place, unsigned long pfn)
{
	struct address_space *mapping = place->file->f_mapping;
	int ret;

	if (!place->is_hugetlb && !shmem_mapping(mapping))
		return look_in_disk_file(place, pfn);
	if (!inode_trylock_shared(mapping->host))
		return -EBUSY;
	ret = in_page_cache(place, pfn);
	inode_unlock_shared(mapping->host);
	return ret;
}

static bool is_locked(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && folio_test_locked(page_folio(page));
}

/* A shared mapping's page, that the page table seemed not to have. */
static int look_at_shared(struct look *l, unsigned long page, unsigned long pfn,
			  const struct place *place)
{
	int ret = 0;

	if (place->is_unreadable)
		ret = maps_now(l, page, pfn);
	return ret ? ret : look_in_file(place, pfn);
}

/* A private one's. Sound only if nothing was announced, which the caller asks about. */
static int look_at_private(struct look *l, unsigned long page, unsigned long pfn,
			   const struct place *place)
{
	int ret;

	if (is_locked(pfn))
		return -EAGAIN;
	/* 6.1 would fault a readable huge page in. */
	if (!place->is_hugetlb || place->is_unreadable) {
		ret = maps_now(l, page, pfn);
		return ret ? ret : is_borrowed(l, page, pfn);
	}
	ret = snapshot(l, page, 1);
	return ret ? ret : is_mapped_same(l->pfns[0], pfn);
}

/* The page table seemed to have no page at @page: 1, 0, -EAGAIN or -EBUSY. */
static int look_closer(struct look *l, unsigned long page, unsigned long pfn)
{
	struct place place;
	int ret = find_place(l, page, &place);

	if (ret)
		return ret;
	if (!place.file)
		return look_at_private(l, page, pfn, &place);
	ret = look_at_shared(l, page, pfn, &place);
	fput(place.file);
	return ret;
}

static bool is_known_lost(const struct look *l, unsigned long page)
{
	return page >= l->known_start && page <= l->known_last;
}

static unsigned long announced_to(struct belay_region *r)
{
	unsigned long n;

	spin_lock(&r->lock);
	n = r->announced;
	spin_unlock(&r->lock);
	return n;
}

/*
 * Compare @nr pages from @page. The first entry of the snapshot's array is used
 * again by look_closer(), so the pages to look at closer are found first, as one
 * range; those in it that are mapped as they were are not asked any more.
 */
static int look_once(struct look *l, unsigned long page, unsigned long nr)
{
	unsigned long announced = announced_to(l->r);
	unsigned long i, first = ULONG_MAX, last = 0;
	unsigned long lost_start = ULONG_MAX, lost_last = 0;
	int ret;

	/* What begins after this is announced; what began before is going on, or over. */
	if (belay_is_changing(l->r->session->grant, page, page + nr - 1))
		return -EAGAIN;
	ret = snapshot(l, page, nr);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		if (is_known_lost(l, page + i))
			continue;
		if (is_mapped_same(l->pfns[i], registered_pfn(l, page + i)))
			continue;
		if (l->pfns[i] & HMM_PFN_VALID)
			belay_range_extend(&lost_start, &lost_last, page + i, page + i);
		else
			belay_range_extend(&first, &last, page + i, page + i);
	}
	for (i = first; i <= last; i++) {
		if (is_known_lost(l, i) ||
		    is_mapped_same(l->pfns[i - page], registered_pfn(l, i)))
			continue;
		ret = look_closer(l, i, registered_pfn(l, i));
		if (ret < 0)
			return ret;
		if (!ret)
			belay_range_extend(&lost_start, &lost_last, i, i);
		cond_resched();
	}
	if (announced_to(l->r) != announced)
		return -EAGAIN;
	belay_range_extend(&l->lost_start, &l->lost_last, lost_start, lost_last);
	return 0;
}

static bool is_all_lost(const struct belay_region *r)
{
	return READ_ONCE(r->lost_start) <= r->start && READ_ONCE(r->lost_last) >= r->last;
}

static int look_at(struct look *l, unsigned long start, unsigned long last)
{
	unsigned long nr;
	int ret, tries;

	for (; start <= last; start += nr) {
		nr = min(last - start + 1, STEP_PAGES);
		for (tries = 0; tries < STEP_TRIES; tries++) {
			ret = look_once(l, start, nr);
			if (ret != -EAGAIN)
				break;
			cond_resched();
		}
		if (ret)
			return ret;
		cond_resched();
		/* Let go, or lost, meanwhile: what is left matters to nobody. */
		if (READ_ONCE(l->r->state) == BELAY_DEAD || is_all_lost(l->r))
			return -EAGAIN;
	}
	return 0;
}

/* Nothing is left to look at: the word says that it is so. */
static void nothing_suspect(struct belay_region *r)
{
	lockdep_assert_held(&r->lock);
	if (r->state == BELAY_BUILDING) {
		WRITE_ONCE(r->state, BELAY_LIVE);
		belay_word_set(r, 0);
		return;
	}
	if (r->state == BELAY_LIVE && r->bits & BELAY_WORD_SUSPECT)
		belay_word_set(r, r->bits & ~BELAY_WORD_SUSPECT);
}

/*
 * Take the suspect range off the region; false if there is nothing to look at.
 * One that lost a part before it was complete is not looked at: it begins anew.
 */
static bool take_suspects(struct look *l, unsigned long *start, unsigned long *last)
{
	struct belay_region *r = l->r;
	bool some = false;

	spin_lock(&r->lock);
	if (r->state == BELAY_DEAD || is_all_lost(r) ||
	    (r->state == BELAY_BUILDING && r->bits & BELAY_WORD_LOST))
		goto out;
	some = r->dirty_start <= r->dirty_last;
	if (some) {
		*start = r->dirty_start;
		*last = r->dirty_last;
		r->dirty_start = ULONG_MAX;
		r->dirty_last = 0;
		l->known_start = r->lost_start;
		l->known_last = r->lost_last;
	} else {
		nothing_suspect(r);
	}
out:
	spin_unlock(&r->lock);
	return some;
}

static void give_back(struct belay_region *r, unsigned long start, unsigned long last)
{
	spin_lock(&r->lock);
	belay_range_extend(&r->dirty_start, &r->dirty_last, start, last);
	spin_unlock(&r->lock);
}

/* What was found lost; the rest of the region goes on. */
static void set_lost(struct look *l)
{
	struct belay_region *r = l->r;

	belay_stat_inc(verified_lost);
	spin_lock(&r->lock);
	if (r->state == BELAY_LIVE) {
		if (!(r->bits & BELAY_WORD_LOST)) {
			r->lost_reason = l->unmapped ? BELAY_REASON_UNMAPPED :
						       BELAY_REASON_REPLACED;
			belay_stat_inc(lost);
		}
		belay_word_set(r, r->bits | BELAY_WORD_LOST);
		belay_range_extend(&r->lost_start, &r->lost_last,
				   l->lost_start, l->lost_last);
		trace_belay_lost(r);
	}
	spin_unlock(&r->lock);
	l->lost_start = ULONG_MAX;
	l->lost_last = 0;
	l->unmapped = false;
}

static int look_at_suspects(struct look *l)
{
	unsigned long start, last;
	int ret, rounds = 0;
	bool same = false;

	while (take_suspects(l, &start, &last)) {
		ret = rounds++ < ROUNDS ? look_at(l, start, last) : -EAGAIN;
		if (ret) {
			give_back(l->r, start, last);
			belay_stat_inc(verify_again);
			trace_belay_verify(l->r, start, last, BELAY_FOUND_NOTHING);
			return -EAGAIN;
		}
		same = l->lost_start > l->lost_last;
		trace_belay_verify(l->r, start, last,
				   same ? BELAY_FOUND_SAME : BELAY_FOUND_LOST);
		if (!same)
			set_lost(l);
	}
	if (same)
		belay_stat_inc(verified_same);
	return 0;
}

static int look_begin(struct look *l, struct belay_region *r)
{
	l->r = r;
	l->mm = r->session->grant->mm;
	l->lost_start = l->known_start = ULONG_MAX;
	l->lost_last = l->known_last = 0;
	l->unmapped = false;
	belay_extent_start(&l->iter, &r->extents);
	/* Not to wait: what else the worker has may be what the OOM killer needs. */
	l->pfns = (unsigned long *)__get_free_page(GFP_NOWAIT | __GFP_NOWARN);
	if (!l->pfns)
		return -EAGAIN;
	/* No users: the end of the address space is, or will be, announced. */
	if (mmget_not_zero(l->mm))
		return 0;
	free_page((unsigned long)l->pfns);
	return -EAGAIN;
}

static void look_end(struct look *l)
{
	mmput_async(l->mm);
	free_page((unsigned long)l->pfns);
}

static int look_through(struct belay_region *r)
{
	struct look l;
	int ret = look_begin(&l, r);

	if (ret)
		return ret;
	ret = look_at_suspects(&l);
	look_end(&l);
	return ret;
}

/* It has no pages yet that could have been replaced. */
static int watched_become_live(struct belay_region *r)
{
	int ret = -ESTALE;

	spin_lock(&r->lock);
	r->dirty_start = ULONG_MAX;
	r->dirty_last = 0;
	if (!(r->bits & BELAY_WORD_LOST)) {
		nothing_suspect(r);
		ret = 0;
	}
	spin_unlock(&r->lock);
	return ret;
}

/*
 * A region that is being built has its pages. 0: nothing was announced since
 * it began; it is live now. 1: something was, and all pages are the same; ask
 * again. -ESTALE: some page is another one already, or another mapping came,
 * whose kind nobody has looked at. -EAGAIN: cannot be told.
 */
int belay_become_live(struct belay_region *r)
{
	struct look l = { .r = r };
	unsigned long start, last;
	int ret;

	if (r->kind == BELAY_WATCHED)
		return watched_become_live(r);
	if (!take_suspects(&l, &start, &last))
		return READ_ONCE(r->state) == BELAY_LIVE ? 0 : -ESTALE;
	ret = look_begin(&l, r);
	if (!ret) {
		ret = look_at(&l, start, last);
		look_end(&l);
	}
	if (ret) {
		give_back(r, start, last);
		return -EAGAIN;
	}
	return l.lost_start <= l.lost_last ? -ESTALE : 1;
}

/* Of which nothing is left that could be lost. */
static bool is_over(const struct belay_region *r)
{
	return is_all_lost(r) && (r->kind != BELAY_TRACKED || READ_ONCE(r->exited));
}

/*
 * What is lost is useless: the module's pins of that part go, with their
 * charge. What another driver holds stays charged until it is unregistered, or
 * its address space is gone. The owner is told when more is lost than before.
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
		belay_region_refund(r);
	if (!more)
		return;
	trace_belay_drop_lost(r, start, last);
	belay_event_raise(&r->event, BELAY_EVENT_LOST);
}

/*
 * Settle @r: 0 if its word says what is so, -EAGAIN if that cannot be told
 * yet. Called with r->settle held.
 */
static int verify(struct belay_region *r)
{
	int ret = 0;

	lockdep_assert_held(&r->settle);
	if (READ_ONCE(r->bits) & BELAY_WORD_SUSPECT && !is_all_lost(r))
		ret = look_through(r);
	if (READ_ONCE(r->bits) & BELAY_WORD_LOST && READ_ONCE(r->state) == BELAY_LIVE)
		drop_lost(r);
	if (!is_all_lost(r))
		return ret;
	/* What was suspect of it is known now. */
	spin_lock(&r->lock);
	nothing_suspect(r);
	spin_unlock(&r->lock);
	return 0;
}

/* The worker's way. */
int belay_settle_now(struct belay_region *r)
{
	int ret;

	mutex_lock(&r->settle);
	ret = verify(r);
	mutex_unlock(&r->settle);
	if (is_over(r))
		belay_unwatch(r);
	return ret;
}

/*
 * A client met a suspect word, in its own address space, whose lock it may
 * wait for, but not with the settle mutex held.
 */
int belay_settle(struct belay_region *r)
{
	struct mm_struct *mm = r->session->grant->mm;
	int tries, ret, err;

	ret = belay_settle_now(r);
	for (tries = 1; ret == -EAGAIN && tries < SETTLE_TRIES; tries++) {
		if (mmap_read_lock_killable(mm))
			return -EINTR;
		mmap_read_unlock(mm);
		err = belay_await_rest(r);
		if (err)
			return err;
		ret = belay_settle_now(r);
	}
	return ret;
}
