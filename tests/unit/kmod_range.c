/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The module's range.h, and the small arithmetic of its belay.h, beside loops over
 * single pages. Built with pages of 4 KiB, and of 64 KiB (kmod_range_64k.c).
 */
#include "tests/unit/range_model.h"

#define FEW	6

/* All ranges of FEW pages, and what is no range: starts after its end. */
#define for_each_pair(first, last)						\
	for (unsigned long first = 0; first < FEW; first++)			\
		for (unsigned long last = 0; last < FEW; last++)

TEST(read_all, "a range is read if it is whole pages, one at least, within the bounds")
{
	static const unsigned long bases[] = { 0, 1, ARENA_TOP / 2, ARENA_TOP - FEW + 1 };
	unsigned int good = 0, i;

	for (i = 0; i < ARRAY_SIZE(bases); i++)
		for_each_pair(first, last)
			for_each_pair(start, pages)
				good += check_read((u64)(bases[i] + start) << PAGE_SHIFT,
						   (u64)(pages + 1) << PAGE_SHIFT,
						   bases[i] + first, bases[i] + last);
	/* As many as there are ranges within ranges. */
	CHECK_EQ(good, 126 * ARRAY_SIZE(bases));
}

TEST(read_odd, "one that is not whole pages, empty, or wraps is refused, wherever it is")
{
	static const u64 offsets[] = { 1, 2, 511, 512, PAGE_SIZE / 2, PAGE_SIZE - 1 };
	unsigned long start, last;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(offsets); i++) {
		CHECK_EQ(belay_range_read(offsets[i], PAGE_SIZE, 0, ULONG_MAX, &start, &last), -EINVAL);
		CHECK_EQ(belay_range_read(PAGE_SIZE, offsets[i], 0, ULONG_MAX, &start, &last), -EINVAL);
		CHECK_EQ(belay_range_read(PAGE_SIZE, PAGE_SIZE + offsets[i], 0, ULONG_MAX,
					  &start, &last), -EINVAL);
	}
	CHECK_EQ(belay_range_read(0, 0, 0, ULONG_MAX, &start, &last), -EINVAL);
	CHECK_EQ(belay_range_read(LAST_PAGE, 2 * PAGE_SIZE, 0, ARENA_TOP, &start, &last), -EINVAL);
	CHECK_EQ(belay_range_read(PAGE_SIZE, LAST_PAGE, 0, ARENA_TOP, &start, &last), 0);
	CHECK_EQ(belay_range_read(2 * PAGE_SIZE, LAST_PAGE, 0, ARENA_TOP, &start, &last), -EINVAL);
	CHECK_EQ(belay_range_read(0, LAST_PAGE, 0, ARENA_TOP, &start, &last), 0);
	CHECK_EQ(start, 0);
	CHECK_EQ(last, ARENA_TOP - 1);
	CHECK_EQ(belay_range_read(LAST_PAGE, PAGE_SIZE, 0, ARENA_TOP, &start, &last), 0);
	CHECK_EQ(start, ARENA_TOP);
	CHECK_EQ(last, ARENA_TOP);
}

TEST(extend, "a range is extended to the smallest one around both, none to the other")
{
	unsigned int done = 0;

	for_each_pair(start, last)
		for_each_pair(add_start, add_last) {
			if (start > last || add_start > add_last)
				continue;
			check_extend(start, last, add_start, add_last);
			check_extend(ULONG_MAX - last, ULONG_MAX - start,
				     ULONG_MAX - add_last, ULONG_MAX - add_start);
			check_extend(start, last, ULONG_MAX, 0);
			check_extend(ULONG_MAX, 0, start, last);
			done++;
		}
	CHECK_EQ(done, 21 * 21);
	check_extend(0, 0, ULONG_MAX, ULONG_MAX);
	check_extend(ULONG_MAX, 0, ULONG_MAX, 0);
}

TEST(without, "what is left before and after what is gone, wherever that is")
{
	unsigned int done = 0;

	for_each_pair(start, last)
		for_each_pair(gone_start, gone_last) {
			if (start > last)
				continue;
			check_without(start, last, gone_start, gone_last);
			check_without(ULONG_MAX - last, ULONG_MAX - start,
				      ULONG_MAX - gone_last, ULONG_MAX - gone_start);
			done++;
		}
	CHECK_EQ(done, 21 * 36);
	check_without(0, 3, 2, ULONG_MAX);
	check_without(0, 3, 0, ULONG_MAX);
	check_without(5, 9, ULONG_MAX, 0);
}

/*
 * The lost pages of a region are read without its lock (select.c). Whoever saw
 * only the first of two stores must not take the rest of the region for gone.
 */
TEST(half_stored, "a range of which only the start has been stored yet is none")
{
	unsigned long before, after;

	belay_range_without(100, 199, 100, 0, &before, &after);
	CHECK_EQ(before + after, 100);
	belay_range_without(100, 199, 150, 0, &before, &after);
	CHECK_EQ(before + after, 100);
	belay_range_without(100, 199, ULONG_MAX, 150, &before, &after);
	CHECK_EQ(before + after, 100);
}

TEST(range_bytes, "a range's address and length in bytes; those of none are 0")
{
	u64 addr, len;

	for_each_pair(start, last) {
		addr = len = 1;
		belay_range_bytes(start, last, &addr, &len);
		CHECK_EQ(addr, start > last ? 0 : start * PAGE_SIZE);
		CHECK_EQ(len, start > last ? 0 : (last - start + 1) * PAGE_SIZE);
	}
	belay_range_bytes(ULONG_MAX, 0, &addr, &len);
	CHECK(!addr && !len);
	belay_range_bytes(ARENA_TOP, ARENA_TOP, &addr, &len);
	CHECK_EQ(addr, (u64)ARENA_TOP << PAGE_SHIFT);
	CHECK_EQ(len, PAGE_SIZE);
}

TEST(known_lost, "what is known to be lost is what lies within the lost range")
{
	struct belay_region r;
	unsigned int yes = 0;

	for_each_pair(lost_start, lost_last)
		for_each_pair(start, last) {
			unsigned long page;
			bool all = true;

			if (start > last)
				continue;
			r.lost_start = lost_start;
			r.lost_last = lost_last;
			for (page = start; page <= last; page++)
				all &= page >= lost_start && page <= lost_last;
			CHECK_EQ(belay_region_is_known_lost(&r, start, last), all);
			yes += all;
		}
	CHECK_EQ(yes, 126);
	r.lost_start = ULONG_MAX;
	r.lost_last = 0;
	CHECK(!belay_region_is_known_lost(&r, 0, 0));
	CHECK(!belay_region_is_known_lost(&r, ULONG_MAX, ULONG_MAX));
}

TEST(bytes, "bytes are pages and back; no limit is none, whatever a page is")
{
	CHECK_EQ(belay_bytes_to_pages(0), 0);
	CHECK_EQ(belay_bytes_to_pages(PAGE_SIZE - 1), 0);
	CHECK_EQ(belay_bytes_to_pages(PAGE_SIZE), 1);
	CHECK_EQ(belay_bytes_to_pages(3 * PAGE_SIZE + 1), 3);
	CHECK(belay_bytes_to_pages(BELAY_UNLIMITED) == ULONG_MAX);
	CHECK(belay_bytes_to_pages(BELAY_UNLIMITED - 1) == U64_MAX >> PAGE_SHIFT);
	CHECK_EQ(belay_pages_to_bytes(0), 0);
	CHECK_EQ(belay_pages_to_bytes(3), 3 * PAGE_SIZE);
	CHECK(belay_pages_to_bytes(ULONG_MAX) == BELAY_UNLIMITED);
	CHECK(belay_count_limit(BELAY_UNLIMITED) == ULONG_MAX);
	CHECK_EQ(belay_count_limit(0), 0);
	CHECK_EQ(belay_count_limit(7), 7);
}

TAP_MAIN()
