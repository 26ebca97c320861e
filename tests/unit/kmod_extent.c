/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The module's extent.c: which pages a region has. Beside an array of frames
 * (extent_model.h), with pages of 4 KiB, and of 64 KiB (kmod_extent_64k.c).
 */
#include "tests/unit/extent_model.h"

/* The highest that there is room for. */
#define LAST_FRAME	((1UL << (64 - BELAY_EXTENT_COUNT_BITS)) - 1)

/* @runs runs, no two of which can be one; of one to three pages in turn. */
static void add_apart(unsigned long runs)
{
	unsigned long i;

	for (i = 0; i < runs; i++)
		CHECK_OK(add(1000 + 5 * i, runs < PER_PAGE ? 1 + i % 3 : 1));
}

static void round_trip(unsigned long runs)
{
	unsigned long third;

	belay_extents_init(&extents);
	add_apart(runs);
	audit();
	CHECK_OK(belay_extents_pack(&extents));
	audit();
	audit_packed(&extents);
	third = nr_frames / 3;
	if (third) {
		CHECK_OK(copy_part(0, third));
		CHECK_OK(copy_part(third, third));
		CHECK_OK(copy_part(third, nr_frames - third));
		CHECK_OK(copy_part(nr_frames - 1, 1));
	}
	forget();
}

TEST(round_trips, "any number of runs is remembered, packed and copied")
{
	unsigned long pages, runs, done = 0;

	for (runs = 0; runs <= 150; runs++, done++)
		round_trip(runs);
	for (pages = 1; pages <= 4; pages++)
		for (runs = pages * PER_PAGE - 3; runs <= pages * PER_PAGE + 12; runs++, done++)
			round_trip(runs);
	for (runs = 151; runs < PER_PAGE; runs += runs / 8, done++)
		round_trip(runs);
	CHECK_GE(done, 151 + 4 * 16);
}

TEST(size, "runs take 8 bytes each: two in the structure, whole pages, and a few pieces")
{
	struct belay_extent_piece *p;
	unsigned long runs, pages;
	unsigned int pieces;
	size_t bytes;

	for (runs = 0; runs <= 3 * PER_PAGE; runs += 1 + runs / 16) {
		belay_extents_init(&extents);
		add_apart(runs);
		CHECK_OK(belay_extents_pack(&extents));
		bytes = min(runs, 2) * sizeof(u64);
		pages = runs > 2 ? (runs - 2) / PER_PAGE : 0;
		bytes += pages * PAGE_SIZE;
		for (p = extents.pieces, pieces = 0; p; p = p->next, pieces++)
			bytes += p->nr * sizeof(u64);
		CHECK_LE(pieces, PAGE_SHIFT);
		CHECK_EQ(memory.live, pages + pieces);
		CHECK_EQ(bytes, runs * sizeof(u64));
		forget();
	}
}

TEST(merge, "pages are one run if each follows the one before, in whatever calls they come")
{
	unsigned int cuts, i;

	/* Eight pages in a row, every way of cutting them into calls. */
	for (cuts = 0; cuts < 128; cuts++) {
		unsigned long from = 0;

		belay_extents_init(&extents);
		for (i = 0; i < 8; i++) {
			if (i < 7 && !(cuts & (1U << i)))
				continue;
			CHECK_OK(add(500 + from, i + 1 - from));
			from = i + 1;
		}
		audit();
		CHECK_EQ(nr_frames, 8);
		CHECK_EQ(extents.nr_inline, 1);
		forget();
	}
}

TEST(no_merge, "what does not follow the page before is a run of its own")
{
	static const unsigned long pfns[] = { 7, 7, 6, 5, 8, 10, 9, 10, 0, 1, 0 };
	unsigned int i;

	belay_extents_init(&extents);
	for (i = 0; i < ARRAY_SIZE(pfns); i++) {
		CHECK_OK(add(pfns[i], 1));
		audit();
	}
	CHECK_OK(belay_extents_pack(&extents));
	audit();
	CHECK_EQ(runs_needed(frames, nr_frames), 9);
	forget();
}

TEST(merge_anywhere, "also the last run of those in the structure, and of a full page, grows")
{
	static const unsigned long places[] = { 1, 2, 3, PER_PAGE + 1, PER_PAGE + 2,
						PER_PAGE + 3 };
	unsigned int i, live;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		belay_extents_init(&extents);
		add_apart(places[i]);
		live = memory.live;
		CHECK_OK(add(frames[nr_frames - 1] + 1, 2));
		CHECK_EQ(memory.live, live);
		audit();
		CHECK_OK(add(3, 1));
		audit();
		forget();
	}
}

/* More pages than the array has: the runs themselves. */
static void must_be_runs(const u64 *runs, unsigned int nr)
{
	struct belay_extent_iter i;
	unsigned int at = 0;
	u64 run;

	belay_extent_start(&i, &extents);
	while (belay_extent_next(&i, &run)) {
		CHECK_LT(at, nr);
		CHECK_EQ(run, runs[at++]);
	}
	CHECK_EQ(at, nr);
}

TEST(longest, "a run is as long as can be, to the page, and the next page begins another")
{
	const unsigned long most = BELAY_EXTENT_MAX_PAGES;
	const u64 full[] = { belay_run(5, most) };
	const u64 split[] = { belay_run(5, most), belay_run(5 + most, 1) };
	const u64 grown[] = { belay_run(5, most), belay_run(5 + most, 3) };
	const u64 whole[] = { belay_run(5, most - 1), belay_run(4 + most, 2) };

	CHECK_EQ(belay_run_pages(full[0]), (1 << 24) - 1);
	CHECK_EQ(belay_run_pfn(full[0]), 5);
	belay_extents_init(&extents);
	CHECK_OK(belay_extents_add(&extents, 5, most - 1));
	CHECK_OK(belay_extents_add(&extents, 4 + most, 1));
	must_be_runs(full, 1);
	CHECK_OK(belay_extents_add(&extents, 5 + most, 1));
	must_be_runs(split, 2);
	CHECK_OK(belay_extents_add(&extents, 6 + most, 2));
	must_be_runs(grown, 2);
	belay_extents_free(&extents);
	CHECK_OK(belay_extents_add(&extents, 5, most - 1));
	CHECK_OK(belay_extents_add(&extents, 4 + most, 2));
	must_be_runs(whole, 2);
	belay_extents_free(&extents);
}

TEST(highest, "the highest frame there is room for is remembered, and so is frame 0")
{
	belay_extents_init(&extents);
	CHECK_OK(add(LAST_FRAME, 1));
	CHECK_OK(add(0, 2));
	CHECK_OK(add(LAST_FRAME - 3, 4));
	CHECK_OK(add(0, 1));
	audit();
	CHECK_OK(belay_extents_pack(&extents));
	audit();
	audit_part(&extents, 2, 5);
	CHECK_OK(copy_part(1, 5));
	forget();
}

TEST(skipped, "runs of different lengths are passed over by whole pages of them, and no page is taken for another")
{
	unsigned long i;

	belay_extents_init(&extents);
	for (i = 0; i < 2 * PER_PAGE + 50; i++)
		CHECK_OK(add(10 * i, 1 + i % 3));
	audit();
	CHECK_OK(belay_extents_pack(&extents));
	audit();
	for (i = 0; i < nr_frames; i += 37)
		audit_part(&extents, i, min(i + 3, nr_frames - 1));
	forget();
}

TEST(parts, "a part of the pages is given as the parts of the runs that lie in it")
{
	unsigned long first, last;

	belay_extents_init(&extents);
	add_apart(12);		/* in the structure, and a page or pieces */
	for (first = 0; first <= nr_frames + 1; first++) {
		for (last = first; last <= nr_frames + 1; last++) {
			audit_part(&extents, first, last);
			if (last < nr_frames)
				CHECK_OK(copy_part(first, last - first + 1));
		}
		audit_part(&extents, first, ULONG_MAX);
	}
	audit_part(&extents, ULONG_MAX, ULONG_MAX);
	CHECK_OK(belay_extents_pack(&extents));
	for (first = 0; first < nr_frames; first++)
		for (last = first; last < nr_frames; last++)
			audit_part(&extents, first, last);
	forget();
}

TEST(pages, "each page's frame is found, from whichever page one comes")
{
	struct belay_extent_iter i;
	unsigned long from, to;

	belay_extents_init(&extents);
	add_apart(12);
	CHECK_OK(belay_extents_pack(&extents));
	for (from = 0; from <= nr_frames; from++) {
		for (to = 0; to <= nr_frames + 1; to++) {
			belay_extent_start(&i, &extents);
			audit_page(&i, from);
			audit_page(&i, to);
			audit_page(&i, from);
		}
	}
	belay_extent_start(&i, &extents);
	audit_page(&i, ULONG_MAX);
	audit_page(&i, 0);
	for (to = 0; to < nr_frames; to++)
		audit_page(&i, to);
	forget();
}

TEST(move, "moving takes all runs and allocates nothing")
{
	static const unsigned long counts[] = { 0, 2, 9, PER_PAGE + 2, 3 * PER_PAGE + 40 };
	struct belay_extents to;
	unsigned int i, live;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		belay_extents_init(&extents);
		add_apart(counts[i]);
		CHECK_OK(belay_extents_pack(&extents));
		live = memory.live;
		belay_extents_init(&to);
		belay_extents_move(&to, &extents);
		CHECK_EQ(memory.live, live);
		must_hold(&to, frames, nr_frames);
		must_hold(&extents, frames, 0);
		belay_extents_free(&to);
		forget();
	}
}

/* All that allocates, one after the other; @n-th fails. False: it was not that many. */
static bool fails_at(unsigned int n)
{
	const unsigned long runs = 2 * PER_PAGE + 2 + PER_PAGE - 9;
	unsigned long i;
	bool failed;

	memory.failed = 0;
	memory.countdown = n;
	belay_extents_init(&extents);
	for (i = 0; i < runs; i++) {
		if (!add(1000 + 5 * i, 1))
			continue;
		audit();		/* what was added before is there */
		CHECK_OK(add(1000 + 5 * i, 1));
	}
	if (belay_extents_pack(&extents)) {
		audit();		/* as before, only larger */
		CHECK(extents.filling && !extents.pieces);
		CHECK_OK(belay_extents_pack(&extents));
	}
	audit();
	audit_packed(&extents);
	if (copy_part(3, nr_frames - 9))
		CHECK_OK(copy_part(3, nr_frames - 9));
	failed = memory.failed;
	memory.countdown = 0;
	forget();
	return failed;
}

TEST(no_memory, "if the n-th allocation fails, for any n, nothing is forgotten and nothing leaks")
{
	unsigned int n = 1;

	while (fails_at(n))
		n++;
	tap_diag("%u allocations", n - 1);
	/* Each time three pages, and the pieces of the last one. */
	CHECK_GE(n - 1, 2 * (3 + 3));
}

TAP_MAIN()
