/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SPDX-FileCopyrightText: the belay authors
 *
 * look.h - one look at a region's pages: what look.c, fetch.c and verify.c share
 */
#ifndef BELAY_LOOK_H
#define BELAY_LOOK_H

#include "belay.h"

/* The state of a look, and its findings. */
struct belay_look {
	struct belay_region *r;
	struct mm_struct *mm;
	unsigned long *pfns;		/* scratch, a page */
	struct belay_extent_iter iter;
	unsigned long lost_start, lost_last;
	unsigned long known_start, known_last;	/* lost before */
	bool unmapped;			/* some page has no mapping any more */
};

/* The properties of the mapping at a page that decide how to look at it. */
struct belay_place {
	bool is_unreadable;
	bool is_hugetlb;
	bool is_behind_end;	/* of the file */
	struct file *file;	/* of a shared mapping, with a reference */
	pgoff_t index;
	unsigned int cache_order;
};

/* look.c */
int belay_look_begin(struct belay_look *l, struct belay_region *r);
int belay_look_at(struct belay_look *l, unsigned long start, unsigned long last);
void belay_look_end(struct belay_look *l);
long belay_get_page(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		    struct page **ret_page);

/* fetch.c */
int belay_fetch_now(struct belay_look *l, unsigned long page, unsigned long pfn,
		    const struct belay_place *place);

#endif
