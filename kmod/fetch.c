// SPDX-License-Identifier: GPL-2.0-only
/*
 * SPDX-FileCopyrightText: the belay authors
 *
 * fetch.c - back into the page table, what only the page table has lost
 *
 * MADV_DONTNEED, MADV_PAGEOUT and reclaim take the pages of a shared mapping out of the
 * page table and leave them in the file. The next touch has the same page again; or it
 * has not, as in between anybody may have replaced a page that nothing maps, without the
 * kernel announcing it. So such a page says nothing until it is back. There are two ways:
 *
 * The worker's (belay_fetch_now()) waits for nobody. It has the inode's lock, tried, under
 * which no page leaves the cache: holes are punched and files cut off with that lock held,
 * and ordinary file systems write directly with it held, or count what runs on without it.
 * A page that is not in the cache is lost; one that is there needs no I/O and no memory but
 * perhaps for a page table, which comes from the reserves, so that nobody is waited for in
 * reclaim. With the mmap lock, tried, the page is faulted in. What that would have to wait
 * for (a userfaultfd monitor, a page's lock) ends it: cannot be told now.
 *
 * A client's own (belay_fetch()) is a touch: it waits for whatever a touch waits for, with
 * nothing held, until it is killed. It does not say what was found; a look does.
 *
 * A page is lost if a touch of it would end with a signal: the end of the file, poison. But where
 * a userfaultfd is registered a fault may fail here that would not fail in the process: a
 * monitor may serve user mode only, or ask for a signal and mend it.
 */
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/userfaultfd_k.h>

#include "look.h"

/* At a time, so that others run and a signal is seen. */
#define FETCH_PAGES	512UL
/* Times to ask for a page that was waited for, and is not there. */
#define FETCH_TRIES	3

static bool in_page_cache(const struct belay_place *place, unsigned long pfn)
{
	unsigned int order = place->cache_order;
	struct page *page;
	unsigned long found;

	page = pagecache_get_page(place->file->f_mapping, place->index >> order, 0, 0);
	if (!page)
		return false;
	found = PageHWPoison(page) ? 0 : page_to_pfn(page);
	/* Where the cache counts huge pages, it gives the first small one. */
	if (order)
		found += place->index & ((1UL << order) - 1);
	put_page(page);
	return found == pfn;
}

/* The same mapping as before? Its lock was let go meanwhile. */
static struct vm_area_struct *same_mapping(struct mm_struct *mm, unsigned long page,
					   const struct belay_place *place)
{
	unsigned long addr = page << PAGE_SHIFT;
	struct vm_area_struct *vma = vma_lookup(mm, addr);

	if (!vma || vma->vm_file != place->file ||
	    !(vma->vm_flags & VM_MAYSHARE) ||
	    vma->vm_pgoff + page - (vma->vm_start >> PAGE_SHIFT) != place->index)
		return NULL;
	return vma;
}

/* 1: the registered page, 0: another, or none can come; else it cannot be told. */
static int fault_in(struct mm_struct *mm, unsigned long page, unsigned long pfn,
		    const struct belay_place *place)
{
	struct vm_area_struct *vma = same_mapping(mm, page, place);
	unsigned int reserves;
	struct page *found;
	bool same;
	long nr;

	if (!vma)
		return -EAGAIN;
	reserves = memalloc_noreclaim_save();
	nr = belay_get_page(mm, page << PAGE_SHIFT, FOLL_NOWAIT | FOLL_HWPOISON, &found);
	memalloc_noreclaim_restore(reserves);
	if (nr == 1) {
		same = page_to_pfn(found) == pfn;
		put_page(found);
		return same;
	}
	if (nr == -EHWPOISON || (nr == -EFAULT && !userfaultfd_armed(vma)))
		return 0;
	return -EBUSY;
}

static int fetch_locked(struct belay_look *l, unsigned long page, unsigned long pfn,
			const struct belay_place *place)
{
	int ret;

	if (!in_page_cache(place, pfn))
		return 0;
	if (!mmap_read_trylock(l->mm))
		return -EBUSY;
	ret = fault_in(l->mm, page, pfn, place);
	mmap_read_unlock(l->mm);
	return ret;
}

static int fetch_from_disk_file(struct belay_look *l, unsigned long page, unsigned long pfn,
				const struct belay_place *place)
{
	struct inode *inode = place->file->f_mapping->host;
	int ret = -EBUSY;

	if (!inode_trylock(inode))
		return -EBUSY;
	if (!atomic_read(&inode->i_dio_count))
		ret = fetch_locked(l, page, pfn, place);
	inode_unlock(inode);
	return ret;
}

/* 1: @page maps the page that was registered, 0: lost, -EBUSY, -EAGAIN: cannot be told. */
int belay_fetch_now(struct belay_look *l, unsigned long page, unsigned long pfn,
		    const struct belay_place *place)
{
	struct address_space *mapping = place->file->f_mapping;
	int ret;

	if (!place->is_hugetlb && !shmem_mapping(mapping))
		return fetch_from_disk_file(l, page, pfn, place);
	if (!inode_trylock_shared(mapping->host))
		return -EBUSY;
	ret = fetch_locked(l, page, pfn, place);
	inode_unlock_shared(mapping->host);
	return ret;
}

/* The next pages of shared mappings of files, from *@page to @last. 0: none. */
static int next_shared(struct mm_struct *mm, unsigned long *page, unsigned long last,
		       unsigned long *ret_end)
{
	struct vm_area_struct *vma;
	unsigned long first;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while (!ret && *page <= last) {
		vma = find_vma(mm, *page << PAGE_SHIFT);
		first = vma ? vma->vm_start >> PAGE_SHIFT : ULONG_MAX;
		if (first > last)
			break;
		*page = max(*page, first);
		*ret_end = (vma->vm_end >> PAGE_SHIFT) - 1;
		if (vma->vm_file && vma->vm_flags & VM_MAYSHARE &&
		    !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
			ret = 1;
		else
			*page = *ret_end + 1;
	}
	mmap_read_unlock(mm);
	return ret;
}

static int fetch_run(unsigned long page, unsigned long last)
{
	unsigned int tries = 0;
	long nr;

	while (page <= last) {
		if (fatal_signal_pending(current))
			return -EINTR;
		nr = get_user_pages_unlocked(page << PAGE_SHIFT,
					     min(last - page + 1, FETCH_PAGES), NULL,
					     FOLL_FORCE);
		/* A page that cannot be had is left out: a look will say that it is lost. */
		if (!nr && ++tries < FETCH_TRIES)
			continue;
		page += nr > 0 ? nr : 1;
		tries = 0;
		cond_resched();
	}
	return 0;
}

/*
 * By the region's own process, with nothing held: what is suspect of @r, and in a shared
 * mapping, is touched. Waits for the mmap lock, too, which a look only tries.
 */
int belay_fetch(struct belay_region *r)
{
	struct mm_struct *mm = r->session->grant->mm;
	unsigned long page, last, end;
	int ret;

	spin_lock(&r->lock);
	page = r->dirty_start;
	last = r->dirty_last;
	spin_unlock(&r->lock);
	do {
		ret = next_shared(mm, &page, last, &end);
		if (ret <= 0)
			return ret;
		end = min(end, last);
		ret = fetch_run(page, end);
		page = end + 1;
	} while (!ret);
	return ret;
}
