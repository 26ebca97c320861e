// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * There is no such helper: its name is free. Writers of the mmap lock count
 * themselves for readers that look without it, and that is all that they do
 * beside taking the semaphore.
 */
#include <linux/mm.h>

bool mmap_write_trylock(struct mm_struct *mm);
bool mmap_write_trylock(struct mm_struct *mm)
{
	if (!down_write_trylock(&mm->mmap_lock))
		return false;
	mm_lock_seqcount_begin(mm);
	return true;
}
