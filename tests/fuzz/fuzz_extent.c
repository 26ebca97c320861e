/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Frames in any order, and memory that runs out: the module's extent.c beside an
 * array (extent_model.h).
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/extent_model.h"

static unsigned long next_frame;
static unsigned int added, merged, failures, copies, packed;

static void try_add(void)
{
	unsigned long pages = fuzz_below(6) ? 1 : 1 + fuzz_below(40);
	unsigned long runs = runs_needed(frames, nr_frames);

	/* In a row, or next to it, or elsewhere: up to the highest. */
	if (!fuzz_below(3))
		next_frame = fuzz_below(2) ? next_frame + fuzz_below(4) - 2 : fuzz_next();
	next_frame &= (1UL << 40) - 1;
	next_frame = min(next_frame, (1UL << 40) - pages);
	if (nr_frames + pages > MODEL_PAGES)
		return;
	memory.countdown = fuzz_below(30) ? 0 : 1;
	if (add(next_frame, pages)) {
		failures++;
		CHECK_OK(add(next_frame, pages));
	}
	memory.countdown = 0;
	added++;
	merged += runs_needed(frames, nr_frames) == runs;
	next_frame += pages;
}

static void look_at_parts(void)
{
	struct belay_extent_iter at;
	unsigned long page;
	unsigned int i;

	belay_extent_start(&at, &extents);
	for (i = 0, page = 0; i < 20; i++) {
		page = fuzz_below(3) ? page + fuzz_below(9) : fuzz_below(nr_frames + 2);
		audit_page(&at, page);
	}
	for (i = 0; i < 4; i++) {
		unsigned long first = fuzz_below(nr_frames + 2);
		unsigned long pages = 1 + fuzz_below(nr_frames + 2);

		audit_part(&extents, first, first + pages - 1);
		if (first >= nr_frames)
			continue;
		pages = min(pages, nr_frames - first);
		memory.countdown = fuzz_below(3) ? 0 : 1 + fuzz_below(5);
		if (copy_part(first, pages))
			failures++;
		else
			copies++;
		memory.countdown = 0;
	}
}

static void pack(void)
{
	memory.countdown = fuzz_below(2) ? 0 : 1 + fuzz_below(6);
	if (belay_extents_pack(&extents)) {
		failures++;
		memory.countdown = 0;
		audit();
		CHECK_OK(belay_extents_pack(&extents));
	}
	memory.countdown = 0;
	packed++;
	audit();
	audit_packed(&extents);
}

TEST_TIMEOUT(extent, "whatever frames a region has, they are remembered, and nothing leaks", 60)
{
	unsigned int rounds = 0, n;
	double end;

	fuzz_seed();
	for (end = fuzz_end(); tap_now() < end; rounds++) {
		belay_extents_init(&extents);
		for (n = fuzz_below(fuzz_below(4) ? 60 : 3 * PER_PAGE); n; n--)
			try_add();
		audit();
		look_at_parts();
		pack();
		look_at_parts();
		if (fuzz_below(2)) {
			struct belay_extents from = extents;

			INIT_LIST_HEAD(&from.full);
			list_splice_init(&extents.full, &from.full);
			belay_extents_move(&extents, &from);
			audit();
		}
		forget();
	}
	tap_diag("%u rounds: %u added, %u of them to a run, %u packed, %u parts, %u times no memory",
		 rounds, added, merged, packed, copies, failures);
	CHECK(added && merged && merged < added && packed && copies && failures);
}

TAP_MAIN()
