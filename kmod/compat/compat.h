/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * compat.h - what differs between the kernels that belay builds for
 *
 * The module is written for the newest of them. Here are the functions that another
 * kernel lacks, under their own names, or has in another form; and last what is left
 * over: two things which only an old kernel makes necessary (kmod/intree/adapt.patch
 * takes them out for a kernel's own tree).
 *
 * Which form of each is this kernel's is found out by compiling (probe.mk).
 */
#ifndef BELAY_COMPAT_H
#define BELAY_COMPAT_H

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/slab.h>

#ifdef BELAY_VM_FLAGS_FIELD
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#ifdef BELAY_REMOTE_PAGES_VMAS
#define get_user_pages_remote(mm, start, nr, flags, pages, locked) \
	get_user_pages_remote(mm, start, nr, flags, pages, NULL, locked)
#endif

#ifdef BELAY_ALLOC_OBJ_NONE
#define kzalloc_obj(obj, gfp)	kzalloc(sizeof(obj), gfp)
#endif

/*
 * Newer kernels have no such helper. What mmap_write_lock() does there beside
 * taking the semaphore, and mmap_write_unlock() undoes, is to begin a sequence.
 */
#ifdef BELAY_MMAP_TRYLOCK_SEQCOUNT
static inline bool mmap_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	mm_lock_seqcount_begin(mm);
	return true;
}
#endif

/*
 * No kernel has this one: keeps page faults out of @vma until the mmap lock, which the
 * caller has for writing, is let go, as vma_start_write() does. That waits for a fault
 * which is under way with the mapping's own lock; here it is false instead.
 */
#if defined(BELAY_VMA_LOCK_SEMAPHORE)
static inline bool vma_try_start_write(struct vm_area_struct *vma)
{
	if (!down_write_trylock(&vma->vm_lock->lock))
		return false;
	WRITE_ONCE(vma->vm_lock_seq, vma->vm_mm->mm_lock_seq.sequence);
	up_write(&vma->vm_lock->lock);
	return true;
}
#elif defined(BELAY_VMA_LOCK_COUNT)
static inline bool vma_try_start_write(struct vm_area_struct *vma)
{
	int others;

	/* The flag keeps readers out; one reference is that of the tree. */
	if (!__refcount_add_not_zero(VM_REFCNT_EXCLUDE_READERS_FLAG, &vma->vm_refcnt, &others))
		return false;
	if (others == 1)
		WRITE_ONCE(vma->vm_lock_seq, vma->vm_mm->mm_lock_seq.sequence);
	WARN_ON_ONCE(refcount_sub_and_test(VM_REFCNT_EXCLUDE_READERS_FLAG, &vma->vm_refcnt));
	return others == 1;
}
#else
static inline bool vma_try_start_write(struct vm_area_struct *vma)
{
	return true;
}
#endif

/* How many small pages, as a power of two, the page cache counts as one. */
static inline unsigned int belay_cache_order(struct vm_area_struct *vma)
{
#ifdef BELAY_HUGETLB_INDEX_HUGE
	if (is_vm_hugetlb_page(vma))
		return huge_page_order(hstate_vma(vma));
#endif
	return 0;
}

/* How to pin private memory for reading so that the owner's writes reach it. */
#ifdef BELAY_READ_PIN_UNRELIABLE
#define BELAY_GUP_PRIVATE_READ_ONLY	(FOLL_WRITE | FOLL_FORCE)
#else
#define BELAY_GUP_PRIVATE_READ_ONLY	0
#endif

#endif
