/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The module's arithmetic on ranges, beside loops over pages (range_model.h): on
 * small numbers, on the largest there are, and around every power of two.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/range_model.h"

static const unsigned long *around;	/* the numbers of this turn are near one of these */

static unsigned long some_page(void)
{
	unsigned long page = around[fuzz_below(2)] + fuzz_below(9);

	return fuzz_below(40) ? page : fuzz_number();
}

/* What has as many pages as a loop can count. */
static bool some_range(unsigned long *start, unsigned long *last)
{
	*start = some_page();
	*last = *start + fuzz_below(300);
	return *last >= *start;
}

static u64 some_bytes(unsigned long pages)
{
	u64 bytes = (u64)pages << PAGE_SHIFT;

	return fuzz_below(8) ? bytes : bytes + fuzz_number() % (2 * PAGE_SIZE);
}

TEST_TIMEOUT(range, "any arithmetic on ranges is what counting pages says", 60)
{
	unsigned long start, last, other_start, other_last, near[2];
	unsigned int rounds = 0, ranges = 0, with_none = 0;
	double end;

	fuzz_seed();
	around = near;
	for (end = fuzz_end(); rounds % 256 || tap_now() < end; rounds++) {
		near[0] = fuzz_number();
		near[1] = fuzz_below(2) ? near[0] : fuzz_number();
		other_start = some_page();
		other_last = fuzz_below(2) ? some_page() : other_start + fuzz_below(20);
		with_none += other_start > other_last;
		if (!some_range(&start, &last))
			continue;
		check_without(start, last, other_start, other_last);
		if (other_start > other_last) {
			other_start = ULONG_MAX;
			other_last = 0;
		}
		check_extend(start, last, other_start, other_last);
		/* Bounds are pages that have an address. */
		start &= ARENA_TOP;
		ranges += check_read(some_bytes(start), some_bytes(fuzz_below(300)),
				     start - fuzz_below(3),
				     min(start + fuzz_below(300), ARENA_TOP));
	}
	tap_diag("%u rounds, %u ranges read, %u times none", rounds, ranges, with_none);
	CHECK(ranges > rounds / 100 && ranges < rounds && with_none);
}

TAP_MAIN()
