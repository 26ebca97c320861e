/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The module's charge.c: charging against a tree of limits. Beside sums that cannot
 * wrap, and with threads.
 */
#include <pthread.h>

#include "tests/unit/kernel.h"
#include "kmod/charge.c"

typedef unsigned __int128 wide;

/* A grant, its account, the root. */
static struct belay_node node[3] = {
	{ .parent = &node[1] }, { .parent = &node[2], .id = 7 }, { .id = 1 },
};

/* Never reached: nothing here counts references. */
void belay_region_free(struct kref *ref)
{
	FAIL("a region is freed");
}

static void set(unsigned int i, unsigned long usage_pages, unsigned long limit_pages,
		unsigned long usage_regions, unsigned long limit_regions)
{
	node[i].pages.n = (long)usage_pages;
	node[i].limit_pages = limit_pages;
	node[i].regions.n = (long)usage_regions;
	node[i].limit_regions = limit_regions;
}

static bool fits(unsigned long usage, unsigned long more, unsigned long limit)
{
	return !more || (wide)(unsigned long)usage + more <= limit;
}

/* The first level that has no room; regions are looked at before pages. 3: none. */
static unsigned int refuses(unsigned long pages, unsigned long regions, u32 *ret_what)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		*ret_what = BELAY_RESOURCE_REGIONS;
		if (!fits((unsigned long)node[i].regions.n, regions, node[i].limit_regions))
			break;
		*ret_what = BELAY_RESOURCE_BYTES;
		if (!fits((unsigned long)node[i].pages.n, pages, node[i].limit_pages))
			break;
	}
	return i;
}

static void check_why(const struct belay_refusal *why, unsigned int i, u32 what,
		      unsigned long pages, unsigned long regions)
{
	CHECK(why->node == &node[i]);
	CHECK_EQ(why->account, node[i].id);
	CHECK_EQ(why->resource, what);
	if (what == BELAY_RESOURCE_REGIONS) {
		CHECK_EQ(why->usage, node[i].regions.n);
		CHECK_EQ(why->limit, node[i].limit_regions);
		CHECK_EQ(why->needed, regions);
	} else {
		CHECK_EQ(why->usage, belay_pages_to_bytes((unsigned long)node[i].pages.n));
		CHECK_EQ(why->limit, belay_pages_to_bytes(node[i].limit_pages));
		CHECK_EQ(why->needed, (u64)pages << PAGE_SHIFT);
	}
}

/* Charges, and takes it back; all three levels as they should be each time. */
static bool check_charge(unsigned long pages, unsigned long regions)
{
	struct belay_node before[3];
	struct belay_refusal why = {};
	u32 what;
	unsigned int by = refuses(pages, regions, &what), i;
	int ret;

	memcpy(before, node, sizeof(node));
	ret = belay_charge(node, pages, regions, &why);
	CHECK_EQ(ret, by < 3 ? -EDQUOT : 0);
	if (by < 3) {
		CHECK_MEM(before, node, sizeof(node));
		check_why(&why, by, what, pages, regions);
		return false;
	}
	for (i = 0; i < 3; i++) {
		CHECK_EQ(node[i].pages.n, (unsigned long)before[i].pages.n + pages);
		CHECK_EQ(node[i].regions.n, (unsigned long)before[i].regions.n + regions);
	}
	belay_charge_refund(node, pages, regions);
	CHECK_MEM(before, node, sizeof(node));
	return true;
}

TEST(levels, "a charge is had if every level has room for it, to the page, or nothing is charged")
{
	unsigned long limit, usage, pages;
	unsigned int good = 0, bad = 0;

	/* Limits and usages of 0 to 3 in each of three levels, as digits. */
	for (limit = 0; limit < 64; limit++)
		for (usage = 0; usage < 64; usage++)
			for (pages = 0; pages < 5; pages++) {
				unsigned int i;

				for (i = 0; i < 3; i++)
					set(i, usage >> 2 * i & 3, limit >> 2 * i & 3, 0, ULONG_MAX);
				check_charge(pages, 1) ? good++ : bad++;
				for (i = 0; i < 3; i++)
					set(i, 0, ULONG_MAX, usage >> 2 * i & 3, limit >> 2 * i & 3);
				check_charge(1, pages) ? good++ : bad++;
			}
	CHECK_EQ(warnings, 0);
	CHECK_EQ(good + bad, 2 * 64 * 64 * 5);
	/* For 0, 1, 2, 3 more, 16, 6, 3, 1 pairs of usage and limit fit, in each level. */
	CHECK_EQ(good, 2 * (4096 + 216 + 27 + 1));
}

TEST(edges, "so it is next to the largest numbers; no charge and no limit wraps")
{
	static const unsigned long numbers[] = {
		0, 1, 2, LONG_MAX - 1UL, LONG_MAX, LONG_MAX + 1UL, ULONG_MAX - 1, ULONG_MAX,
	};
	unsigned int n = ARRAY_SIZE(numbers), i, k, m, refused = 0;

	for (i = 0; i < n; i++)
		for (k = 0; k < n; k++)
			for (m = 0; m < n; m++) {
				wide sum = (wide)numbers[i] + numbers[m];

				/* No usage is half of all numbers: a refund would complain. */
				if (numbers[i] > LONG_MAX && !numbers[m])
					continue;
				set(0, numbers[i], sum > LONG_MAX && numbers[k] >= sum ?
				    (unsigned long)sum - 1 : numbers[k], 0, 9);
				set(1, 0, ULONG_MAX, 0, 9);
				set(2, 0, ULONG_MAX, 0, 9);
				refused += !check_charge(numbers[m], 1);
			}
	CHECK_GE(refused, n * n);
	CHECK_EQ(warnings, 0);
}

TEST(below, "under a limit below the usage nothing more is charged, until it fits again")
{
	set(0, 0, ULONG_MAX, 0, ULONG_MAX);
	set(1, 10, ULONG_MAX, 0, ULONG_MAX);
	set(2, 10, 5, 0, ULONG_MAX);
	CHECK(!check_charge(1, 1));
	CHECK(check_charge(0, 1));
	CHECK(check_charge(0, 0));
	node[0].pages.n = 10;
	belay_charge_refund(node, 5, 0);
	CHECK(check_charge(0, 1));
	CHECK(!check_charge(1, 1));
	belay_charge_refund(node, 1, 0);
	CHECK(check_charge(1, 1));
	CHECK(!check_charge(2, 1));
	CHECK_EQ(warnings, 0);
}

TEST(negative, "taking back more than was charged is complained of")
{
	set(0, 1, 9, 1, 9);
	set(1, 1, 9, 1, 9);
	set(2, 1, 9, 1, 9);
	belay_charge_refund(node, 2, 0);
	CHECK_EQ(warnings, 3);
	set(0, 1, 9, 0, 9);
	set(1, 1, 9, 0, 9);
	set(2, 1, 9, 1, 9);
	belay_charge_refund(node, 1, 1);
	CHECK_EQ(warnings, 3 + 2);
}

#define THREADS		4
#define ROOM		50
static struct belay_node grants[THREADS];
static bool over;
static unsigned long had, refusals;

static void *charge_much(void *arg)
{
	struct belay_node *grant = arg;
	unsigned int i, pages, got = 0, not = 0;
	struct belay_refusal why;

	for (i = 0; i < 100000; i++) {
		pages = 1 + (i * 7 + (unsigned int)(grant - grants)) % 30;
		if (belay_charge(grant, pages, 1, &why)) {
			not++;
		} else {
			got++;
			if (atomic_long_read(&node[2].pages) > ROOM ||
			    atomic_long_read(&node[2].regions) > THREADS - 1)
				__atomic_store_n(&over, true, __ATOMIC_RELAXED);
			if (i % 64 == 0)
				sched_yield();
			belay_charge_refund(grant, pages, 1);
		}
	}
	__atomic_fetch_add(&had, got, __ATOMIC_RELAXED);
	__atomic_fetch_add(&refusals, not, __ATOMIC_RELAXED);
	return NULL;
}

TEST(threads, "threads that charge at once never have more than the limit, and all of it goes back")
{
	pthread_t threads[THREADS];
	unsigned int i;

	set(1, 0, ULONG_MAX, 0, ULONG_MAX);
	set(2, 0, ROOM, 0, THREADS - 1);
	for (i = 0; i < THREADS; i++) {
		grants[i] = (struct belay_node) {
			.parent = &node[1], .limit_pages = 29, .limit_regions = 1,
		};
		CHECK_EQ(pthread_create(&threads[i], NULL, charge_much, &grants[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	tap_diag("%lu charges, %lu refused", had, refusals);
	CHECK(!over);
	CHECK_EQ(warnings, 0);
	CHECK_EQ(had + refusals, THREADS * 100000);
	/* One in thirty asks for more than its grant may have. */
	CHECK(had > 0 && refusals >= THREADS * 100000 / 30);
	for (i = 0; i < THREADS; i++)
		CHECK_EQ(grants[i].pages.n + grants[i].regions.n, 0);
	for (i = 1; i < 3; i++)
		CHECK_EQ(node[i].pages.n + node[i].regions.n, 0);
}

TAP_MAIN()
