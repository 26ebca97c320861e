/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * extent_model.h - what kmod/extent.c should remember: each page's frame, in order
 *
 * The model is one array with a frame for each page, and the number of runs that
 * an array read from the left has, if each goes on for as long as it can.
 */
#ifndef EXTENT_MODEL_H
#define EXTENT_MODEL_H

#include "tests/unit/kernel.h"
#include "kmod/extent.c"

#define PER_PAGE	(PAGE_SIZE / 8)	/* runs */
#define MODEL_PAGES	(5 * PER_PAGE)

static struct belay_extents extents;
static unsigned long frames[MODEL_PAGES];
static unsigned long nr_frames;

/* Of what is added by calls for single pages; a run in one call may end sooner. */
static unsigned long runs_needed(const unsigned long *pfns, unsigned long nr)
{
	unsigned long i, runs = 0;

	for (i = 0; i < nr; i++)
		runs += !i || pfns[i] != pfns[i - 1] + 1;
	return runs;
}

/* -ENOMEM: as before. */
static TAP_UNUSED int add(unsigned long pfn, unsigned long pages)
{
	int ret = belay_extents_add(&extents, pfn, pages);
	unsigned long i;

	CHECK(!ret || ret == -ENOMEM);
	CHECK_LE(nr_frames + pages, MODEL_PAGES);
	for (i = 0; !ret && i < pages; i++)
		frames[nr_frames++] = pfn + i;
	return ret;
}

/* Reads it all; it must be @nr frames from @pfns. */
static void must_hold(struct belay_extents *x, const unsigned long *pfns, unsigned long nr)
{
	struct belay_extent_iter i;
	unsigned long at = 0, runs = 0, k;
	u64 run;

	belay_extent_start(&i, x);
	while (belay_extent_next(&i, &run)) {
		CHECK(belay_run_pages(run) > 0);
		CHECK_LE(at + belay_run_pages(run), nr);
		for (k = 0; k < belay_run_pages(run); k++)
			CHECK_EQ(pfns[at++], belay_run_pfn(run) + k);
		runs++;
	}
	CHECK_EQ(at, nr);
	CHECK_EQ(runs, runs_needed(pfns, nr));
	CHECK(!belay_extent_next(&i, &run));	/* and again, at the end */
}

static TAP_UNUSED void audit(void)
{
	must_hold(&extents, frames, nr_frames);
	CHECK_LE(memory.biggest, PAGE_SIZE);
}

/* No page is left half full, and each piece is exactly an allocation of its own. */
static TAP_UNUSED void audit_packed(struct belay_extents *x)
{
	struct belay_extent_piece *p;
	size_t bytes;

	CHECK(!x->filling || x->nr_filling == PER_PAGE);
	for (p = x->pieces; p; p = p->next) {
		bytes = sizeof(*p) + p->nr * sizeof(u64);
		CHECK(p->nr);
		CHECK(bytes < 64 || !(bytes & (bytes - 1)));
		CHECK_LE(bytes, PAGE_SIZE / 2);
		/* Only the last one may be as small as the rest is. */
		CHECK(bytes >= 64 || !p->next);
	}
}

/* The pages @first to @last of @x, run by run, beside the array. */
static TAP_UNUSED void audit_part(struct belay_extents *x, unsigned long first,
				  unsigned long last)
{
	struct belay_extent_iter i;
	unsigned long at = first, k;
	u64 run;

	belay_extent_start(&i, x);
	while (belay_extent_next_in(&i, first, last, &run)) {
		CHECK(belay_run_pages(run) > 0);
		for (k = 0; k < belay_run_pages(run); k++)
			CHECK_EQ(frames[at++], belay_run_pfn(run) + k);
	}
	CHECK_EQ(at, first < nr_frames ? min(last, nr_frames - 1) + 1 : first);
}

/* The frame of one page after the other, as the caller's iterator comes by. */
static TAP_UNUSED void audit_page(struct belay_extent_iter *i, unsigned long page)
{
	unsigned int before = warnings;

	CHECK_EQ(belay_extent_pfn(i, page), page < nr_frames ? frames[page] : 0);
	CHECK_EQ(warnings - before, page >= nr_frames);
}

/* -ENOMEM: and all that it took is given back. */
static TAP_UNUSED int copy_part(unsigned long first, unsigned long pages)
{
	unsigned int live = memory.live;
	struct belay_extents part;
	int ret;

	belay_extents_init(&part);
	ret = belay_extents_copy(&part, &extents, first, pages);
	CHECK(!ret || ret == -ENOMEM);
	if (!ret) {
		must_hold(&part, frames + first, pages);
		audit_packed(&part);
	}
	belay_extents_free(&part);
	CHECK_EQ(memory.live, live);
	return ret;
}

static TAP_UNUSED void forget(void)
{
	belay_extents_free(&extents);
	CHECK_EQ(memory.live, 0);
	nr_frames = 0;
	audit();
}

#endif
