// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* extent.c - see extent.h */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "extent.h"

#define RUNS_PER_PAGE	(PAGE_SIZE / sizeof(u64))
/* Below this a piece's own header would cost more than it saves. */
#define PIECE_MIN_BYTES	64

void belay_extents_init(struct belay_extents *x)
{
	memset(x, 0, sizeof(*x));
	INIT_LIST_HEAD(&x->full);
}

static u64 *last_run(struct belay_extents *x)
{
	u64 *runs;

	if (!x->filling)
		return x->nr_inline ? &x->inline_runs[x->nr_inline - 1] : NULL;
	runs = page_address(x->filling);
	return &runs[x->nr_filling - 1];
}

/* No run of it changes any more: how many pages they are is remembered, to skip them. */
static void page_is_full(struct belay_extents *x)
{
	const u64 *runs = page_address(x->filling);
	unsigned long pages = 0;
	unsigned int i;

	for (i = 0; i < RUNS_PER_PAGE; i++)
		pages += belay_run_pages(runs[i]);
	set_page_private(x->filling, pages);
	list_add_tail(&x->filling->lru, &x->full);
}

/* One more run, into the inline ones first, then into pages. */
static int append(struct belay_extents *x, u64 run)
{
	u64 *runs;

	if (!x->filling && x->nr_inline < BELAY_EXTENTS_INLINE) {
		x->inline_runs[x->nr_inline++] = run;
		return 0;
	}
	if (!x->filling || x->nr_filling == RUNS_PER_PAGE) {
		struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

		if (!page)
			return -ENOMEM;
		if (x->filling)
			page_is_full(x);
		x->filling = page;
		x->nr_filling = 0;
	}
	runs = page_address(x->filling);
	runs[x->nr_filling++] = run;
	return 0;
}

/*
 * Add @pages pages from @pfn, the next ones of the region. On -ENOMEM what was
 * added before stays.
 */
int belay_extents_add(struct belay_extents *x, unsigned long pfn,
		      unsigned long pages)
{
	u64 *last = last_run(x);

	if (last && belay_run_pfn(*last) + belay_run_pages(*last) == pfn &&
	    belay_run_pages(*last) + pages <= BELAY_EXTENT_MAX_PAGES) {
		*last += pages;
		return 0;
	}
	return append(x, belay_run(pfn, pages));
}

/* The largest piece of a power of two bytes that @nr runs fill. */
static size_t piece_bytes(unsigned int nr)
{
	size_t need = sizeof(struct belay_extent_piece) + nr * sizeof(u64);

	if (need <= PIECE_MIN_BYTES)
		return need;
	return min_t(size_t, rounddown_pow_of_two(need), PAGE_SIZE / 2);
}

/*
 * The region is complete: move the last page's runs into pieces that fit. On
 * -ENOMEM everything is as before, only larger.
 */
int belay_extents_pack(struct belay_extents *x)
{
	struct belay_extent_piece **tail = &x->pieces;
	unsigned int done = 0, fit;
	u64 *runs;

	if (!x->filling || x->nr_filling == RUNS_PER_PAGE)
		return 0;
	runs = page_address(x->filling);
	while (done < x->nr_filling) {
		size_t bytes = piece_bytes(x->nr_filling - done);
		struct belay_extent_piece *p = kmalloc(bytes, GFP_KERNEL_ACCOUNT);

		if (!p)
			goto undo;
		fit = (bytes - sizeof(*p)) / sizeof(u64);
		p->nr = fit;
		p->next = NULL;
		memcpy(p->run, runs + done, fit * sizeof(u64));
		done += fit;
		*tail = p;
		tail = &p->next;
	}
	__free_page(x->filling);
	x->filling = NULL;
	x->nr_filling = 0;
	return 0;
undo:
	while (x->pieces) {
		struct belay_extent_piece *p = x->pieces;

		x->pieces = p->next;
		kfree(p);
	}
	return -ENOMEM;
}

/*
 * The runs of @pages pages of @from, from the @first one on, into @to, which has
 * none. On -ENOMEM it may have some.
 */
int belay_extents_copy(struct belay_extents *to, struct belay_extents *from,
		       unsigned long first, unsigned long pages)
{
	struct belay_extent_iter i;
	int ret = 0;
	u64 run;

	belay_extent_start(&i, from);
	while (!ret && belay_extent_next_in(&i, first, first + pages - 1, &run))
		ret = belay_extents_add(to, belay_run_pfn(run), belay_run_pages(run));
	return ret ? ret : belay_extents_pack(to);
}

/* All of @from's runs to @to, which has none. Allocates nothing. */
void belay_extents_move(struct belay_extents *to, struct belay_extents *from)
{
	*to = *from;
	INIT_LIST_HEAD(&to->full);
	list_splice_init(&from->full, &to->full);
	belay_extents_init(from);
}

void belay_extents_free(struct belay_extents *x)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &x->full, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
	if (x->filling)
		__free_page(x->filling);
	while (x->pieces) {
		struct belay_extent_piece *p = x->pieces;

		x->pieces = p->next;
		kfree(p);
	}
	belay_extents_init(x);
}

void belay_extent_start(struct belay_extent_iter *i, struct belay_extents *x)
{
	i->x = x;
	i->at = 0;
	i->page = NULL;
	i->piece = x->pieces;
	i->run = 0;
	i->passed = 0;
	i->where = BELAY_AT_INLINE;
}

static void leave_inline(struct belay_extent_iter *i)
{
	i->where = BELAY_AT_FULL;
	i->page = list_first_entry(&i->x->full, struct page, lru);
	i->at = 0;
}

/* The order is that of the pages: inline, full pages, then the last one's. */
bool belay_extent_next(struct belay_extent_iter *i, u64 *ret_run)
{
	struct belay_extents *x = i->x;

	if (i->where == BELAY_AT_INLINE) {
		if (i->at < x->nr_inline) {
			*ret_run = x->inline_runs[i->at++];
			return true;
		}
		leave_inline(i);
	}
	while (i->where == BELAY_AT_FULL) {
		if (&i->page->lru == &x->full) {
			i->where = x->filling ? BELAY_AT_FILLING : BELAY_AT_PIECE;
			i->at = 0;
			break;
		}
		if (i->at < RUNS_PER_PAGE) {
			*ret_run = ((u64 *)page_address(i->page))[i->at++];
			return true;
		}
		i->page = list_next_entry(i->page, lru);
		i->at = 0;
	}
	if (i->where == BELAY_AT_FILLING) {
		if (i->at < x->nr_filling) {
			*ret_run = ((u64 *)page_address(x->filling))[i->at++];
			return true;
		}
		i->where = BELAY_AT_END;
	}
	while (i->where == BELAY_AT_PIECE && i->piece) {
		if (i->at < i->piece->nr) {
			*ret_run = i->piece->run[i->at++];
			return true;
		}
		i->piece = i->piece->next;
		i->at = 0;
	}
	return false;
}

/* The next run with its pages counted. */
static bool next_counted(struct belay_extent_iter *i)
{
	if (!belay_extent_next(i, &i->run))
		return false;
	i->passed += belay_run_pages(i->run);
	return true;
}

/* Passes over what ends in front of @page, as far as whole pages of runs do. */
static void skip_full(struct belay_extent_iter *i, unsigned long page)
{
	if (i->where == BELAY_AT_INLINE && i->at == i->x->nr_inline)
		leave_inline(i);
	if (i->where != BELAY_AT_FULL || (i->at && i->at != RUNS_PER_PAGE))
		return;
	if (i->at) {
		i->page = list_next_entry(i->page, lru);
		i->at = 0;
	}
	while (&i->page->lru != &i->x->full && i->passed + page_private(i->page) <= page) {
		i->passed += page_private(i->page);
		i->run = 0;
		i->page = list_next_entry(i->page, lru);
	}
}

/*
 * The next run, or the part of it, that lies in the pages @first to @last; the
 * region's first one is 0. Ask with the same two each time.
 */
bool belay_extent_next_in(struct belay_extent_iter *i, unsigned long first,
			  unsigned long last, u64 *ret_run)
{
	unsigned long at, start, end;

	for (;;) {
		skip_full(i, first);
		if (i->passed > last || !next_counted(i))
			return false;
		at = i->passed - belay_run_pages(i->run);
		start = max(first, at);
		end = min(last, i->passed - 1);
		if (start <= end) {
			*ret_run = belay_run(belay_run_pfn(i->run) + (start - at),
					     end - start + 1);
			return true;
		}
	}
}

/*
 * The page frame of page @page; the region's first one is 0. Quick if pages are
 * asked for in order. 0, and a warning, if there are not that many.
 */
unsigned long belay_extent_pfn(struct belay_extent_iter *i, unsigned long page)
{
	if (page < i->passed - belay_run_pages(i->run))
		belay_extent_start(i, i->x);
	while (page >= i->passed) {
		skip_full(i, page);
		if (WARN_ON_ONCE(!next_counted(i)))
			return 0;
	}
	return belay_run_pfn(i->run) + belay_run_pages(i->run) - (i->passed - page);
}
