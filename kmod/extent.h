/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * extent.h - which pages a region has, as physically contiguous runs
 *
 * A run takes 8 bytes: the page frame number above, the number of pages below.
 * While a region is being pinned, runs are collected into whole pages, linked
 * through struct page itself, so that a full page costs nothing beside its
 * runs. belay_extents_pack() then moves the last, partly filled page into
 * kmalloc'ed pieces, each exactly a power of two bytes, or into the two runs
 * that have room in the structure. No allocation is larger than a page.
 *
 * The functions take no lock: the owner has one.
 */
#ifndef BELAY_EXTENT_H
#define BELAY_EXTENT_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/types.h>

#define BELAY_EXTENT_COUNT_BITS	24
#define BELAY_EXTENT_MAX_PAGES	((1UL << BELAY_EXTENT_COUNT_BITS) - 1)
#define BELAY_EXTENTS_INLINE	2

struct belay_extent_piece {
	struct belay_extent_piece *next;
	u64 nr;
	u64 run[];
};

struct belay_extents {
	struct list_head full;		/* of struct page, by ->lru; ->private: pages in its runs */
	struct belay_extent_piece *pieces;
	struct page *filling;		/* while building */
	u32 nr_filling;
	u32 nr_inline;
	u64 inline_runs[BELAY_EXTENTS_INLINE];
};

/* A place in the runs. */
struct belay_extent_iter {
	struct belay_extents *x;
	struct page *page;
	struct belay_extent_piece *piece;
	/* For the two below that count pages: the run in hand, and all up to its end. */
	u64 run;
	unsigned long passed;
	unsigned int at;
	enum { BELAY_AT_FULL, BELAY_AT_FILLING, BELAY_AT_PIECE,
	       BELAY_AT_INLINE, BELAY_AT_END } where;
};

static inline u64 belay_run(unsigned long pfn, unsigned long pages)
{
	return (u64)pfn << BELAY_EXTENT_COUNT_BITS | pages;
}

static inline unsigned long belay_run_pfn(u64 run)
{
	return run >> BELAY_EXTENT_COUNT_BITS;
}

static inline unsigned long belay_run_pages(u64 run)
{
	return run & BELAY_EXTENT_MAX_PAGES;
}

void belay_extents_init(struct belay_extents *x);
int belay_extents_add(struct belay_extents *x, unsigned long pfn,
		      unsigned long pages);
int belay_extents_pack(struct belay_extents *x);
int belay_extents_copy(struct belay_extents *to, struct belay_extents *from,
		       unsigned long first, unsigned long pages);
void belay_extents_move(struct belay_extents *to, struct belay_extents *from);
void belay_extents_free(struct belay_extents *x);
void belay_extent_start(struct belay_extent_iter *i, struct belay_extents *x);
bool belay_extent_next(struct belay_extent_iter *i, u64 *ret_run);
bool belay_extent_next_in(struct belay_extent_iter *i, unsigned long first,
			  unsigned long last, u64 *ret_run);
unsigned long belay_extent_pfn(struct belay_extent_iter *i, unsigned long page);

#endif
