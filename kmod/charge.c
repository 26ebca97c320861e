// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * charge.c - charging against the tree of limits
 *
 * A charge goes up from a grant to the root, level by level, each with a
 * compare-and-exchange that never lets the usage past the limit; a refusal
 * takes back what was charged below. So no limit is ever exceeded, by not one
 * page, without a lock that all registrations of a machine would share. (What
 * is taken back may make a concurrent charge fail that would have fitted an
 * instant later, as in the kernel's own page counters.)
 *
 * A limit may be set below the usage: then nothing is charged until it fits.
 */
#include <linux/atomic.h>
#include <linux/bug.h>

#include "belay.h"

static bool counter_try_add(atomic_long_t *counter, unsigned long n,
			    const unsigned long *limit, unsigned long *ret_usage)
{
	unsigned long old = atomic_long_read(counter);

	/* Nothing more: not refused either where the limit is below the usage. */
	if (!n)
		return true;
	do {
		unsigned long max = READ_ONCE(*limit);

		if (n > max || old > max - n) {
			*ret_usage = old;
			return false;
		}
	} while (!atomic_long_try_cmpxchg(counter, (long *)&old, old + n));
	return true;
}

static bool charge_one(struct belay_node *node, unsigned long pages,
		       unsigned long regions, struct belay_refusal *why)
{
	unsigned long usage;

	if (!counter_try_add(&node->regions, regions, &node->limit_regions, &usage)) {
		why->resource = BELAY_RESOURCE_REGIONS;
		why->usage = usage;
		why->limit = READ_ONCE(node->limit_regions);
		why->needed = regions;
		goto refused;
	}
	if (!counter_try_add(&node->pages, pages, &node->limit_pages, &usage)) {
		atomic_long_sub(regions, &node->regions);
		why->resource = BELAY_RESOURCE_BYTES;
		why->usage = belay_pages_to_bytes(usage);
		why->limit = belay_pages_to_bytes(READ_ONCE(node->limit_pages));
		why->needed = (u64)pages << PAGE_SHIFT;
		goto refused;
	}
	return true;
refused:
	why->account = node->id;
	return false;
}

int belay_charge(struct belay_node *node, unsigned long pages,
		 unsigned long regions, struct belay_refusal *why)
{
	struct belay_node *n, *undo;

	for (n = node; n; n = n->parent) {
		if (charge_one(n, pages, regions, why))
			continue;
		why->node = n;
		for (undo = node; undo != n; undo = undo->parent) {
			atomic_long_sub(pages, &undo->pages);
			atomic_long_sub(regions, &undo->regions);
		}
		return -EDQUOT;
	}
	return 0;
}

void belay_charge_refund(struct belay_node *node, unsigned long pages,
			 unsigned long regions)
{
	for (; node; node = node->parent) {
		WARN_ON_ONCE(atomic_long_sub_return(pages, &node->pages) < 0);
		WARN_ON_ONCE(atomic_long_sub_return(regions, &node->regions) < 0);
	}
}
