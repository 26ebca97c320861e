/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * range.h - arithmetic on ranges of pages
 *
 * A range is its first and its last page, both in it, by number: so one may end
 * where the numbers do. No page at all is ULONG_MAX and 0, which becomes, when
 * it is extended, what it is extended by. A reader without a lock may see only
 * one of them changed: so any range that ends before it starts is
 * none.
 */
#ifndef BELAY_RANGE_H
#define BELAY_RANGE_H

#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/types.h>

/*
 * The pages of @len bytes at @addr: at least one, all of it whole pages, within
 * the pages @first to @last, which have addresses; else -EINVAL.
 */
static inline int belay_range_read(u64 addr, u64 len, unsigned long first,
				   unsigned long last, unsigned long *ret_start,
				   unsigned long *ret_last)
{
	u64 start = addr >> PAGE_SHIFT, pages = len >> PAGE_SHIFT;

	if (!len || !PAGE_ALIGNED(addr) || !PAGE_ALIGNED(len))
		return -EINVAL;
	if (start < first || start > last || pages - 1 > last - start)
		return -EINVAL;
	*ret_start = start;
	*ret_last = start + (pages - 1);
	return 0;
}

/* The smallest range around both. */
static inline void belay_range_extend(unsigned long *start, unsigned long *last,
				      unsigned long add_start,
				      unsigned long add_last)
{
	*start = min(*start, add_start);
	*last = max(*last, add_last);
}

static inline unsigned long belay_range_pages(unsigned long start, unsigned long last)
{
	return start > last ? 0 : last - start + 1;
}

/* Its address and its length in bytes; both are 0 if it has no page. */
static inline void belay_range_bytes(unsigned long start, unsigned long last,
				     u64 *ret_addr, u64 *ret_len)
{
	unsigned long pages = belay_range_pages(start, last);

	*ret_addr = pages ? (u64)start << PAGE_SHIFT : 0;
	*ret_len = (u64)pages << PAGE_SHIFT;
}

/*
 * How many pages of @start to @last come before those from @gone_start to
 * @gone_last, and how many after; all come before if none is gone.
 */
static inline void belay_range_without(unsigned long start, unsigned long last,
				       unsigned long gone_start,
				       unsigned long gone_last,
				       unsigned long *ret_before,
				       unsigned long *ret_after)
{
	*ret_before = belay_range_pages(start, last);
	*ret_after = 0;
	if (gone_start > gone_last || gone_start > last)
		return;
	*ret_before = gone_start > start ? gone_start - start : 0;
	if (gone_last < last)
		*ret_after = belay_range_pages(max(start, gone_last + 1), last);
}

#endif
