// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* The helper to try the mmap lock for writing exists (not in 6.12). */
#include <linux/mm.h>

bool probe(struct mm_struct *mm);
bool probe(struct mm_struct *mm)
{
	return mmap_write_trylock(mm);
}
