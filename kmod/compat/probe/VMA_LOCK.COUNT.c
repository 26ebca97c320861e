// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * A mapping's lock is a count of its readers, with a flag that keeps new ones out, and a
 * writer of it stays one until the mmap lock is let go, as the mapping then has the mmap
 * lock's sequence.
 */
#include <linux/mm.h>

#ifndef CONFIG_PER_VMA_LOCK
#error a mapping has no lock
#endif
bool probe(struct vm_area_struct *vma);
bool probe(struct vm_area_struct *vma)
{
	vma->vm_lock_seq = vma->vm_mm->mm_lock_seq.sequence;
	return refcount_add_not_zero(VM_REFCNT_EXCLUDE_READERS_FLAG, &vma->vm_refcnt);
}
