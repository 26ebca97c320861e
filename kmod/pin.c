// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * pin.c - pin a region's pages, or none; and let them go
 *
 * Mapping by mapping: what kind of memory it is decides whether and how it is
 * pinned. The kinds are looked at under the mmap lock, which is dropped before
 * pinning; if a mapping is replaced in between, the region's notifier tells
 * and the caller starts again.
 *
 * While it is pinned the region can be found, and an order may end it (register.c):
 * every batch is remembered under the settle mutex, which is not held while pages are
 * faulted in. Only the batch in hand is the pinning thread's alone.
 *
 * The scratch is one page of struct page pointers, or a few on the stack for
 * small regions. The runs are remembered (extent.h).
 */
#include <linux/dax.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>

#include "belay.h"
#include "compat/compat.h"

#define SMALL_PAGES	16
/*
 * A small page's references overflow at 2^31, and a pin takes 1024: half is
 * left to others, however many mappings of the page somebody pins.
 */
#define REFERENCES_MAX	(1 << 30)
/* unpin_user_page_range_dirty_lock() does not yield: 64 MiB of 4 KiB pages. */
#define UNPIN_PAGES	16384UL

static bool is_shared(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_MAYSHARE;
}

static bool is_shmem_or_hugetlb(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) ||
	       (vma->vm_file && shmem_mapping(vma->vm_file->f_mapping));
}

/*
 * Others (NFS, FUSE, drivers) replace the pages of a file under no lock that
 * verify.c could look at.
 */
static bool is_on_local_disk(const struct vm_area_struct *vma)
{
	int flags = file_inode(vma->vm_file)->i_sb->s_type->fs_flags;

	return flags & FS_REQUIRES_DEV && !(flags & FS_HAS_SUBTYPE);
}

static bool is_secretmem(const struct vm_area_struct *vma)
{
	return vma->vm_file &&
	       file_inode(vma->vm_file)->i_sb->s_magic == SECRETMEM_MAGIC;
}

/*
 * Decides whether this mapping may be pinned for @r, and with which flags. The answer is the
 * same on every kernel, which refuse different things of themselves.
 */
static int classify(struct vm_area_struct *vma, const struct belay_region *r,
		    unsigned int *ret_gup_flags)
{
	bool write = r->flags & BELAY_REGION_WRITE;
	unsigned int gup = FOLL_LONGTERM;

	if (!(vma->vm_flags & VM_READ) || (write && !(vma->vm_flags & VM_WRITE)))
		return -EFAULT;
	/* Whatever its pages are: they matter from the commit on. */
	if (r->kind == BELAY_WATCHED && READ_ONCE(r->state) == BELAY_BUILDING)
		return 0;
	if (vma->vm_flags & (VM_IO | VM_PFNMAP | VM_MIXEDMAP))
		return -EMEDIUMTYPE;
	if (vma_is_dax(vma) || is_secretmem(vma))
		return -EMEDIUMTYPE;
	if (is_shared(vma) && !is_shmem_or_hugetlb(vma) &&
	    (write || !is_on_local_disk(vma)))
		return -EMEDIUMTYPE;
	/* 6.1 cannot break copy-on-write there; and so it is nowhere done. */
	if (is_vm_hugetlb_page(vma) && !is_shared(vma) && !(vma->vm_flags & VM_WRITE))
		return -EMEDIUMTYPE;
	if (write)
		gup |= FOLL_WRITE;
	else if (!is_shared(vma))
		gup |= BELAY_GUP_PRIVATE_READ_ONLY;
	*ret_gup_flags = gup;
	return 0;
}

/*
 * Processes that map the same gigabyte of a hugetlb file share the page table for it.
 * mprotect() takes that table away from its own process, and announces a change of
 * protection only. Of all other memory, a change of protection takes no page away.
 */
static bool may_share_page_table(struct vm_area_struct *vma)
{
	return is_vm_hugetlb_page(vma) && is_shared(vma) &&
	       ALIGN(vma->vm_start, PUD_SIZE) + PUD_SIZE <= vma->vm_end;
}

/* Notes the file behind the first page, once. */
static void note_file(struct belay_region *r, const struct vm_area_struct *vma)
{
	if (!vma->vm_file || READ_ONCE(r->state) != BELAY_BUILDING)
		return;
	r->device = new_encode_dev(file_inode(vma->vm_file)->i_sb->s_dev);
	r->inode = file_inode(vma->vm_file)->i_ino;
	r->shared = is_shared(vma);
}

/* Does so for a region that is made of another one. */
int belay_pin_note_file(struct belay_region *r)
{
	struct mm_struct *mm = r->session->grant->mm;
	unsigned long addr = r->start << PAGE_SHIFT;
	struct vm_area_struct *vma;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma)
		note_file(r, vma);
	mmap_read_unlock(mm);
	return 0;
}

/* The mapping at @addr: its end (exclusive) and how to pin it. */
static int look_up(struct belay_region *r, unsigned long addr,
		   unsigned long *ret_end, unsigned int *ret_gup_flags)
{
	struct mm_struct *mm = r->session->grant->mm;
	struct vm_area_struct *vma;
	int ret = -EFAULT;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, addr);
	if (vma) {
		ret = classify(vma, r, ret_gup_flags);
		if (may_share_page_table(vma))
			WRITE_ONCE(r->unshares, true);
		*ret_end = vma->vm_end;
		if (addr >> PAGE_SHIFT == r->start)
			note_file(r, vma);
	}
	mmap_read_unlock(mm);
	return ret;
}

/* Is all of it mapped, with the access and to the kinds of memory that may be? */
int belay_pin_check(struct belay_region *r)
{
	unsigned long addr = r->start << PAGE_SHIFT;
	unsigned long end = (r->last + 1) << PAGE_SHIFT;
	unsigned int gup;
	int ret = 0;

	while (!ret && addr < end) {
		ret = fatal_signal_pending(current) ? -EINTR :
			look_up(r, addr, &addr, &gup);
		cond_resched();
	}
	return ret;
}

static bool is_overused(struct page *page)
{
	return folio_ref_count(page_folio(page)) > REFERENCES_MAX;
}

/* Whether a page has been pinned too often is asked once for each run. */
static int remember(struct belay_region *r, struct page **pages, int nr,
		    int *ret_remembered)
{
	unsigned long pfn = page_to_pfn(pages[0]), run = 1;
	int i, ret;

	*ret_remembered = 0;
	for (i = 1; i <= nr; i++) {
		if (i < nr && page_to_pfn(pages[i]) == pfn + run) {
			run++;
			continue;
		}
		ret = is_overused(pages[i - 1]) ? -EMLINK :
			belay_extents_add(&r->extents, pfn, run);
		if (ret)
			return ret;
		*ret_remembered = i;
		if (i < nr) {
			pfn = page_to_pfn(pages[i]);
			run = 1;
		}
	}
	return 0;
}

/*
 * As the process would. 6.1 pins for long without ever letting the mmap lock go, so that
 * it cannot wait for a userfaultfd monitor, which a touch does.
 */
static bool touch(unsigned long addr, unsigned int gup)
{
	struct page *page;

	if (get_user_pages_fast(addr, 1, gup & ~FOLL_LONGTERM, &page) != 1)
		return false;
	put_page(page);
	return true;
}

/*
 * Into @r, unless somebody has ended the registration meanwhile: with the settle
 * mutex, under which that somebody lets go of what is remembered.
 */
static int remember_batch(struct belay_region *r, struct page **pages, int nr)
{
	int done = 0, ret = -ECANCELED;

	mutex_lock(&r->settle);
	if (READ_ONCE(r->state) == BELAY_BUILDING) {
		ret = remember(r, pages, nr, &done);
		WRITE_ONCE(r->nr_held, r->nr_held + done);
		belay_stat_add(held_bytes, done * (s64)PAGE_SIZE);
	}
	mutex_unlock(&r->settle);
	if (ret)
		unpin_user_pages(pages + done, nr - done);
	return ret;
}

static int pack(struct belay_region *r)
{
	int ret = -ECANCELED;

	mutex_lock(&r->settle);
	if (READ_ONCE(r->state) == BELAY_BUILDING)
		ret = belay_extents_pack(&r->extents);
	mutex_unlock(&r->settle);
	return ret;
}

static int pin_range(struct belay_region *r, unsigned long start,
		     unsigned long end, unsigned int gup, struct page **scratch,
		     unsigned int room)
{
	int nr, want, ret;

	while (start < end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		want = min_t(unsigned long, (end - start) >> PAGE_SHIFT, room);
		nr = pin_user_pages_fast(start, want, gup, scratch);
		if (nr == -EFAULT && touch(start, gup))
			nr = pin_user_pages_fast(start, want, gup, scratch);
		if (nr <= 0)
			return nr == -ENOMEM || nr == -EINTR || nr == -EAGAIN ? nr : -EFAULT;
		ret = remember_batch(r, scratch, nr);
		if (ret)
			return ret;
		start += (unsigned long)nr << PAGE_SHIFT;
		cond_resched();
	}
	return 0;
}

static int pin_all(struct belay_region *r, struct page **scratch, unsigned int room)
{
	unsigned long addr = r->start << PAGE_SHIFT;
	unsigned long end = addr + (belay_region_pages(r) << PAGE_SHIFT);
	unsigned long vma_end;
	unsigned int gup;
	int ret;

	while (addr != end) {
		ret = look_up(r, addr, &vma_end, &gup);
		if (ret)
			return ret;
		vma_end = min(vma_end, end);
		ret = pin_range(r, addr, vma_end, gup, scratch, room);
		if (ret)
			return ret;
		addr = vma_end;
	}
	return pack(r);
}

/*
 * Pin all of @r, batch by batch. -ECANCELED: somebody has ended it. After a failure
 * the caller lets go of what is remembered.
 */
int belay_pin(struct belay_region *r)
{
	struct page *small[SMALL_PAGES], **scratch = small;
	unsigned int room = SMALL_PAGES;
	int ret;

	if (belay_region_pages(r) > SMALL_PAGES) {
		scratch = (struct page **)__get_free_page(GFP_KERNEL_ACCOUNT);
		if (!scratch)
			return -ENOMEM;
		room = BELAY_PIN_BATCH;
	}
	ret = pin_all(r, scratch, room);
	if (scratch != small)
		free_page((unsigned long)scratch);
	return ret;
}

static void unpin_run(unsigned long pfn, unsigned long pages, bool dirty)
{
	while (pages) {
		unsigned long n = min(pages, UNPIN_PAGES);

		unpin_user_page_range_dirty_lock(pfn_to_page(pfn), n, dirty);
		belay_stat_add(held_bytes, -(s64)n * (s64)PAGE_SIZE);
		pfn += n;
		pages -= n;
		cond_resched();
	}
}

/* Unpins each run of the pages @start to @last. */
static void unpin_pages(struct belay_region *r, unsigned long start,
			unsigned long last, bool dirty)
{
	struct belay_extent_iter i;
	u64 run;

	belay_extent_start(&i, &r->extents);
	while (belay_extent_next_in(&i, start - r->start, last - r->start, &run))
		unpin_run(belay_run_pfn(run), belay_run_pages(run), dirty);
}

/*
 * Let the pages @start to @last go, among them all that were let go before
 * (nothing is unpinned twice). With @dirty they are marked, which takes the folio lock:
 * never called where a caller further up could hold one (the notifier's
 * callback), only from ioctls, close and the worker. Under the settle mutex. The runs are
 * forgotten only where nothing else looks at them: while BUILDING; afterwards they
 * stay, as page numbers that nobody follows, until the region is freed.
 */
void belay_unpin_part(struct belay_region *r, unsigned long start,
		      unsigned long last, bool dirty)
{
	unsigned long before, after;

	if (!r->held)
		return;
	belay_range_without(start, last, r->dropped_start, r->dropped_last, &before, &after);
	if (before)
		unpin_pages(r, start, start + before - 1, dirty);
	if (after)
		unpin_pages(r, last - after + 1, last, dirty);
}

void belay_unpin(struct belay_region *r, bool dirty)
{
	/* A registration that failed half-way has runs for a part only. */
	belay_unpin_part(r, r->start, r->last, dirty);
	/* After, as held.c reads it without a lock. */
	smp_store_release(&r->held, false);
	if (READ_ONCE(r->state) == BELAY_BUILDING)
		belay_extents_free(&r->extents);
}
