// SPDX-License-Identifier: GPL-2.0-only
/* Writers of the mmap lock count themselves for readers that look without it. */
#include <linux/mm.h>

void probe(struct mm_struct *mm);
void probe(struct mm_struct *mm)
{
	mm_lock_seqcount_begin(mm);
}
