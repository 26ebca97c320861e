/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * range_model.h - what kmod/range.h should say, found page by page
 *
 * Loops go over the pages that are in question, never over all there are: they
 * count from where a range begins to where it ends, which may be the last number.
 */
#ifndef RANGE_MODEL_H
#define RANGE_MODEL_H

#include "tests/unit/kernel.h"
#include "kmod/belay.h"

/* The last page of an address space of 64 bits, by number and by address. */
#define ARENA_TOP	((unsigned long)(U64_MAX >> PAGE_SHIFT))
#define LAST_PAGE	((u64)ARENA_TOP << PAGE_SHIFT)

/* Never reached: nothing here counts references. */
void belay_region_free(struct kref *ref)
{
	FAIL("a region is freed");
}

static bool is_in(unsigned long page, unsigned long start, unsigned long last)
{
	return page >= start && page <= last;
}

/* Few pages, or it takes long. Returns whether it is a range. */
static TAP_UNUSED bool check_read(u64 addr, u64 len, unsigned long first, unsigned long last)
{
	unsigned long start = 77, end = 78;
	u64 at, left = len;
	bool good = len > 0 && !(addr & (PAGE_SIZE - 1));
	int ret;

	for (at = addr; good && left; at += PAGE_SIZE, left -= PAGE_SIZE)
		good = left >= PAGE_SIZE && is_in(at / PAGE_SIZE, first, last) && at >= addr;
	ret = belay_range_read(addr, len, first, last, &start, &end);
	CHECK_EQ(ret, good ? 0 : -EINVAL);
	if (good) {
		CHECK_EQ(start, addr / PAGE_SIZE);
		CHECK_EQ(end, (at - PAGE_SIZE) / PAGE_SIZE);
	} else {
		CHECK_EQ(start, 77);
		CHECK_EQ(end, 78);
	}
	return good;
}

static TAP_UNUSED void check_extend(unsigned long start, unsigned long last,
				    unsigned long add_start, unsigned long add_last)
{
	unsigned long s = start, l = last;

	belay_range_extend(&s, &l, add_start, add_last);
	if (start > last) {
		CHECK_EQ(s, add_start);
		CHECK_EQ(l, add_last);
		return;
	}
	if (add_start > add_last) {
		CHECK_EQ(s, start);
		CHECK_EQ(l, last);
		return;
	}
	/* All of both is in it, and its ends are ends of one of them. */
	CHECK(is_in(start, s, l) && is_in(last, s, l));
	CHECK(is_in(add_start, s, l) && is_in(add_last, s, l));
	CHECK(s == start || s == add_start);
	CHECK(l == last || l == add_last);
}

static TAP_UNUSED void check_without(unsigned long start, unsigned long last,
				     unsigned long gone_start, unsigned long gone_last)
{
	unsigned long page = start, pages = 0, before = 0, after = 0, b, a;
	bool seen = false;

	for (;; page++) {
		pages++;
		if (is_in(page, gone_start, gone_last))
			seen = true;
		else if (seen || (gone_start <= gone_last && page > gone_last))
			after++;
		else
			before++;
		if (page == last)
			break;
	}
	CHECK_EQ(belay_range_pages(start, last), pages);
	if (gone_start > gone_last)
		CHECK_EQ(belay_range_pages(gone_start, gone_last), 0);
	belay_range_without(start, last, gone_start, gone_last, &b, &a);
	CHECK_EQ(b, before);
	CHECK_EQ(a, after);
}

#endif
