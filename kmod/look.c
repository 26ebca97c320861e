// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPDX-FileCopyrightText: the belay authors
 *
 * look.c - one look: which pages are mapped, and are they the registered ones?
 *
 * 512 pages at a time. A page is
 *   the same	if the page table maps the page frame that was registered, and
 *		the file, if it is one's, goes that far. A later removal must take
 *		it out of the page table and announce that; so this is final.
 *   lost	if the page table maps another one, or no mapping is there, or it
 *		lies behind the end of the file.
 *
 * If the page table has no page, it depends on the mapping:
 *   shared	(shmem, hugetlb, files) only the page table entry may have been
 *		dropped: the page is fetched back, or cannot be told (fetch.c). That
 *		it is in the page cache settles nothing: what no page table maps is
 *		replaced there without a word (direct I/O does so although the page
 *		is pinned; a hole punch that passes a mapping over; poison).
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
 * A look counts only if no invalidation of these pages is going on when it begins, and
 * none was announced to the region until it ended: whatever begins later turns the
 * word before it changes the page table (notify.c). It never waits for one to end.
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
#include <linux/page-flags.h>
#include <linux/sched/mm.h>

#include "compat/compat.h"
#include "look.h"

/* At a time: their frames fit into the smallest page, and an event spoils as many. */
#define STEP_PAGES	512UL
/* Looks at one step before saying "later": each is spoilt by a new event. */
#define STEP_TRIES	8

static unsigned long registered_pfn(struct belay_look *l, unsigned long page)
{
	return belay_extent_pfn(&l->iter, page - l->r->start);
}

static bool is_mapped_same(unsigned long entry, unsigned long pfn)
{
	return entry & HMM_PFN_VALID && (entry & ~HMM_PFN_FLAGS) == pfn;
}

/* The first page of @vma behind the end of the file that it shares. */
static unsigned long first_behind_end(const struct vm_area_struct *vma)
{
	unsigned long pages;

	if (!vma->vm_file || !(vma->vm_flags & VM_MAYSHARE))
		return ULONG_MAX;
	pages = DIV_ROUND_UP(i_size_read(vma->vm_file->f_mapping->host), PAGE_SIZE);
	return (vma->vm_start >> PAGE_SHIFT) + pages - min(pages, vma->vm_pgoff);
}

/*
 * An entry for many pages may reach behind the end of a file that has been cut off.
 * The file's new length is stored before the cut is announced.
 */
static void forget_behind_end(struct belay_look *l, unsigned long page, unsigned long nr,
			      unsigned long *pfns)
{
	struct vm_area_struct *vma;
	unsigned long at = page, i, end;

	while (at < page + nr) {
		vma = find_vma(l->mm, at << PAGE_SHIFT);
		if (!vma)
			return;
		end = min(vma->vm_end >> PAGE_SHIFT, page + nr);
		for (i = max(at, first_behind_end(vma)); i < end; i++)
			pfns[i - page] = 0;
		at = end;
	}
}

/*
 * hmm_range_fault() asks a notifier for its address space, and whether its number is
 * still the same. Nobody has registered this one, whose number never changes: whether
 * anything was announced look_once() asks the region.
 */
static int snapshot(struct belay_look *l, unsigned long page, unsigned long nr,
		    unsigned long *pfns)
{
	struct mmu_interval_notifier unregistered = { .mm = l->mm };
	struct hmm_range range = {
		.notifier = &unregistered,
		.start = page << PAGE_SHIFT,
		.end = (page + nr) << PAGE_SHIFT,
		.hmm_pfns = pfns,
	};
	int ret;

	memset(pfns, 0, nr * sizeof(*pfns));
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	ret = hmm_range_fault(&range);
	forget_behind_end(l, page, nr, pfns);
	mmap_read_unlock(l->mm);
	return ret == -EBUSY ? -EAGAIN : ret;
}

static int find_place(struct belay_look *l, unsigned long page, struct belay_place *place)
{
	unsigned long addr = page << PAGE_SHIFT;
	struct vm_area_struct *vma;

	*place = (struct belay_place) {};
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	vma = vma_lookup(l->mm, addr);
	if (vma) {
		place->is_unreadable = !(vma->vm_flags & VM_READ);
		place->is_hugetlb = is_vm_hugetlb_page(vma);
		place->index = vma->vm_pgoff + page - (vma->vm_start >> PAGE_SHIFT);
		place->is_behind_end = page >= first_behind_end(vma);
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

/* The page mapped at @addr, whatever its protection; @flags say whether to fault it in. */
long belay_get_page(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		    struct page **ret_page)
{
	return get_user_pages_remote(mm, addr, 1, flags | FOLL_FORCE, ret_page, NULL);
}

/*
 * The careful way: under the page table's lock, and also what may not be
 * accessed, which hmm_range_fault() takes for nothing: PROT_NONE mappings, and
 * entries that NUMA balancing has made so. Faults nothing in. 1: the same, 0:
 * not, or nothing mapped, -EBUSY: cannot be told now.
 */
static int maps_now(struct belay_look *l, unsigned long page, unsigned long pfn)
{
	struct page *found;
	bool same;
	long nr;

	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	nr = belay_get_page(l->mm, page << PAGE_SHIFT, FOLL_NOFAULT, &found);
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
static long bring_back(struct belay_look *l, unsigned long addr, struct page **ret_page)
{
	struct vm_area_struct *vma = vma_lookup(l->mm, addr);

	if (!vma || !vma_is_anonymous(vma))
		return -EFAULT;
	return belay_get_page(l->mm, addr, FOLL_DUMP | FOLL_NOWAIT, ret_page);
}

/*
 * An entry that is no page's does not say which page it stands for. Only a fault does,
 * which is tried without waiting. A pinned page is neither swapped out nor taken by a
 * device; so, unless it has been replaced already, what comes back is one that a device
 * has borrowed. 1: it was that, 0: not, -EBUSY: cannot be told now.
 */
static int is_borrowed(struct belay_look *l, unsigned long page, unsigned long pfn)
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

static bool is_locked(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);

	return page && folio_test_locked(page_folio(page));
}

/* A private mapping's. Sound only if nothing was announced: the caller asks. */
static int look_at_private(struct belay_look *l, unsigned long page, unsigned long pfn,
			   const struct belay_place *place)
{
	unsigned long entry;
	int ret;

	if (is_locked(pfn))
		return -EAGAIN;
	/* 6.1 would fault a readable huge page in. */
	if (!place->is_hugetlb || place->is_unreadable) {
		ret = maps_now(l, page, pfn);
		return ret ? ret : is_borrowed(l, page, pfn);
	}
	ret = snapshot(l, page, 1, &entry);
	return ret ? ret : is_mapped_same(entry, pfn);
}

/* A shared mapping's: careful first, as an entry without access is one, too. */
static int look_at_shared(struct belay_look *l, unsigned long page, unsigned long pfn,
			  const struct belay_place *place)
{
	int ret = 0;

	if (!place->is_hugetlb || place->is_unreadable)
		ret = maps_now(l, page, pfn);
	return ret ? ret : belay_fetch_now(l, page, pfn, place);
}

/*
 * The page table seemed to have no page at @page. 1: it has, 0: lost, -EAGAIN or
 * -EBUSY: cannot be told. *@ret_fetched: others beside it may have come back, too.
 */
static int look_closer(struct belay_look *l, unsigned long page, unsigned long pfn,
		       bool *ret_fetched)
{
	struct belay_place place;
	int ret = find_place(l, page, &place);

	*ret_fetched = false;
	if (ret)
		return ret;
	if (!place.file)
		return look_at_private(l, page, pfn, &place);
	if (!place.is_behind_end)
		ret = look_at_shared(l, page, pfn, &place);
	*ret_fetched = ret == 1 && !place.is_unreadable;
	fput(place.file);
	return ret;
}

static bool is_known_lost(const struct belay_look *l, unsigned long page)
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

/* Which of @nr pages from @page are lost? The snapshot is anew where some came back. */
static int compare(struct belay_look *l, unsigned long page, unsigned long nr,
		   unsigned long *ret_start, unsigned long *ret_last)
{
	unsigned long i, pfn;
	bool fetched;
	int ret;

	for (i = 0; i < nr; i++) {
		pfn = registered_pfn(l, page + i);
		if (is_known_lost(l, page + i) || is_mapped_same(l->pfns[i], pfn))
			continue;
		ret = 0;
		fetched = false;
		if (!(l->pfns[i] & HMM_PFN_VALID))
			ret = look_closer(l, page + i, pfn, &fetched);
		if (ret < 0)
			return ret;
		if (!ret)
			belay_range_extend(ret_start, ret_last, page + i, page + i);
		if (fetched)
			ret = snapshot(l, page + i, nr - i, l->pfns + i);
		if (ret < 0)
			return ret;
		cond_resched();
	}
	return 0;
}

static int look_once(struct belay_look *l, unsigned long page, unsigned long nr)
{
	unsigned long announced = announced_to(l->r);
	unsigned long lost_start = ULONG_MAX, lost_last = 0;
	int ret;

	/* An invalidation that begins after this is announced; another is going on, or over. */
	if (belay_notify_is_changing(l->r->session->grant, page, page + nr - 1))
		return -EAGAIN;
	ret = snapshot(l, page, nr, l->pfns);
	if (!ret)
		ret = compare(l, page, nr, &lost_start, &lost_last);
	if (ret)
		return ret;
	if (announced_to(l->r) != announced)
		return -EAGAIN;
	belay_range_extend(&l->lost_start, &l->lost_last, lost_start, lost_last);
	return 0;
}

/* Adds to what @l has found lost. -EAGAIN or -EBUSY: cannot be told. */
int belay_look_at(struct belay_look *l, unsigned long start, unsigned long last)
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
		/* It was let go, or lost, meanwhile: the rest need not be looked at. */
		if (READ_ONCE(l->r->state) == BELAY_DEAD || belay_region_is_all_lost(l->r))
			return -EAGAIN;
	}
	return 0;
}

/* -EAGAIN: not now. */
int belay_look_begin(struct belay_look *l, struct belay_region *r)
{
	l->r = r;
	l->mm = r->session->grant->mm;
	l->lost_start = ULONG_MAX;
	l->lost_last = 0;
	l->known_start = ULONG_MAX;
	l->known_last = 0;
	l->unmapped = false;
	belay_extent_start(&l->iter, &r->extents);
	/* It must not wait: the worker's other regions may be those that the OOM killer needs. */
	l->pfns = (unsigned long *)__get_free_page(GFP_NOWAIT | __GFP_NOWARN);
	if (!l->pfns)
		return -EAGAIN;
	/* No users: the end of the address space is, or will be, announced. */
	if (mmget_not_zero(l->mm))
		return 0;
	free_page((unsigned long)l->pfns);
	return -EAGAIN;
}

void belay_look_end(struct belay_look *l)
{
	mmput_async(l->mm);
	free_page((unsigned long)l->pfns);
}
