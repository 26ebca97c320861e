/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The module's coverage.c: what a grant is charged. All small cases there are,
 * beside a model that counts page by page (coverage_model.h).
 */
#include "tests/unit/coverage_model.h"

#define FEW	5	/* pages, for what is tried with all ranges */

/* All ranges of FEW pages, after each other. */
static bool next_range(unsigned int *first, unsigned int *last)
{
	if (++*last < FEW)
		return true;
	*last = ++*first;
	return *first < FEW;
}

#define for_each_range(first, last) \
	for (unsigned int first = 0, last = 0; first < FEW; next_range(&first, &last))

static struct covered *must_add(unsigned int kind, unsigned int first, unsigned int last)
{
	struct covered *c;
	int err;

	c = add(kind, first, last, &err);
	CHECK_OK(err);
	audit();
	return c;
}

static void must_take_back(struct covered *c)
{
	take_back(c);
	audit();
}

static void all_gone(void)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++)
		if (regions[i].used)
			must_take_back(&regions[i]);
	CHECK_EQ(grant.node.pages.n, 0);
	CHECK_EQ(grant.node.regions.n, 0);
	CHECK(!grant.regions.first);
}

TEST(once, "a page that several regions cover is charged once, until the last has gone")
{
	struct covered *a, *b, *c;

	begin(1000);
	a = must_add(BELAY_PINNED, 10, 19);
	CHECK_EQ(grant.node.pages.n, 10);
	b = must_add(BELAY_TRACKED, 15, 24);
	CHECK_EQ(grant.node.pages.n, 15);
	c = must_add(BELAY_PINNED, 10, 24);
	CHECK_EQ(grant.node.pages.n, 15);
	must_take_back(a);
	CHECK_EQ(grant.node.pages.n, 15);
	must_take_back(c);
	CHECK_EQ(grant.node.pages.n, 10);
	must_take_back(b);
	CHECK_EQ(grant.node.pages.n, 0);
}

static void in_order(const unsigned int (*ranges)[2], const unsigned int *order)
{
	struct covered *c[3];
	unsigned int i;

	int err;

	for (i = 0; i < 3; i++)
		c[i] = add(BELAY_PINNED, ranges[i][0], ranges[i][1], &err);
	audit();
	for (i = 0; i < 3; i++) {
		take_back(c[order[i]]);
		CHECK_EQ(grant.node.pages.n, charged);
	}
	audit();
	CHECK_EQ(grant.node.pages.n, 0);
}

static void all_threes(unsigned long base_page)
{
	static const unsigned int orders[][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};
	unsigned int i, done = 0;

	begin(base_page);
	for_each_range(f, l)
		for_each_range(g, m)
			for_each_range(h, n) {
				const unsigned int ranges[][2] = { { f, l }, { g, m }, { h, n } };

				for (i = 0; i < 6; i++)
					in_order(ranges, orders[i]);
				done++;
			}
	CHECK_EQ(done, 15 * 15 * 15);
	CHECK_EQ(grant.layer, 0);
}

TEST(threes, "any three regions of five pages, gone in any order, cost their union")
{
	all_threes(1UL << 30);
}

TEST(edges, "so do those that begin at page 0, and those that end at the last one there is")
{
	all_threes(0);
	/* The first FEW of the last PAGES pages; then the very last. */
	all_threes(ULONG_MAX - PAGES + 1);
	must_add(BELAY_PINNED, PAGES - 3, PAGES - 1);
	must_add(BELAY_PINNED, PAGES - 1, PAGES - 1);
	must_add(BELAY_PINNED, PAGES - 5, PAGES - 2);
	CHECK_EQ(grant.node.pages.n, 5);
	all_gone();
}

TEST(watched, "a watched region is charged as a region, and shares nothing")
{
	struct covered *a;

	begin(1000);
	a = must_add(BELAY_WATCHED, 0, 9);
	CHECK_EQ(grant.node.pages.n, 0);
	CHECK_EQ(grant.node.regions.n, 1);
	must_add(BELAY_PINNED, 5, 14);
	CHECK_EQ(grant.node.pages.n, 10);
	trim(a, 3, 6);
	audit();
	CHECK_EQ(grant.node.pages.n, 10);
	CHECK_EQ(grant.node.regions.n, 3);
	all_gone();
}

TEST(dying, "what is being let go is not charged any more")
{
	struct belay_refusal why = {};
	struct covered *c;

	begin(1000);
	c = new_region(BELAY_PINNED, 0, 9);
	c->r.state = BELAY_DEAD;
	CHECK_EQ(belay_coverage_charge(&c->r, true, &why), -ECANCELED);
	CHECK_EQ(grant.node.regions.n, 0);
	CHECK_OK(belay_coverage_recharge(&c->r, true, &why));
	audit();
}

TEST(overlap, "a page is in BELAY_MAX_OVERLAP regions and in no more, whichever page it is")
{
	unsigned int i;
	int err;

	begin(1000);
	for (i = 0; i < BELAY_MAX_OVERLAP; i++)
		must_add(i % 2 ? BELAY_PINNED : BELAY_TRACKED, 10, 10 + i % 3);
	CHECK(!add(BELAY_PINNED, 10, 10, &err));
	CHECK_EQ(err, -EMLINK);
	CHECK(!add(BELAY_PINNED, 0, 10, &err));
	CHECK_EQ(err, -EMLINK);
	/* That holds no page. */
	must_add(BELAY_WATCHED, 10, 50);
	must_add(BELAY_PINNED, 0, 9);
	must_add(BELAY_PINNED, 11, 50);
	must_take_back(&regions[0]);
	must_add(BELAY_PINNED, 10, 10);
	CHECK(!add(BELAY_PINNED, 10, 10, &err));
	all_gone();
}

TEST(staggered, "so do those of which one ends before each page")
{
	unsigned int i;
	int err;

	begin(1000);
	for (i = 0; i < BELAY_MAX_OVERLAP - 2; i++)
		must_add(BELAY_PINNED, 0, 40 + i % 50);
	for (i = 0; i < 40; i++)
		must_add(BELAY_PINNED, i, i);
	must_add(BELAY_PINNED, 0, PAGES - 1);
	for (i = 0; i < 40; i++)
		CHECK(!add(BELAY_PINNED, i, PAGES - 1, &err) && err == -EMLINK);
	must_add(BELAY_PINNED, 40, PAGES - 1);
	CHECK(!add(BELAY_PINNED, 40, PAGES - 1, &err) && err == -EMLINK);
	must_add(BELAY_PINNED, 41, PAGES - 1);
	all_gone();
}

TEST(recharged, "if what it shares with turns unhealthy, the difference is charged, and a refusal leaves it where it was")
{
	struct covered *a, *b;
	int err;

	begin(1000);
	a = must_add(BELAY_TRACKED, 0, 9);
	map_anew(3, 3);
	b = must_add(BELAY_PINNED, 20, 29);
	CHECK(!move_layer(b, &err));
	take_back(b);
	a->r.bits = 0;		/* healthy for a moment: as if announced later */
	b = must_add(BELAY_PINNED, 5, 14);
	CHECK_EQ(b->r.layer, a->r.layer);
	CHECK_EQ(grant.node.pages.n, 15);
	a->r.bits = BELAY_WORD_SUSPECT;
	grant.node.limit_pages = 19;
	CHECK(!move_layer(b, &err));
	CHECK_EQ(err, -EDQUOT);
	audit();
	grant.node.limit_pages = 20;
	CHECK(move_layer(b, &err));
	CHECK_NE(b->r.layer, a->r.layer);
	CHECK_EQ(grant.node.pages.n, 20);
	audit();
	CHECK(!move_layer(b, &err));
	all_gone();
}

TEST(side_by_side, "regions that end before a page do not count for it")
{
	unsigned int i;
	int err;

	begin(1000);
	for (i = 0; i < 2 * (BELAY_MAX_OVERLAP - 1); i++)
		must_add(BELAY_PINNED, i % 2 ? 10 : 0, i % 2 ? 19 : 9);
	must_add(BELAY_PINNED, 0, 19);
	CHECK(!add(BELAY_PINNED, 0, 19, &err));
	CHECK_EQ(err, -EMLINK);
	all_gone();
}

TEST(refusal, "a charge that is refused, the n-th of a sequence for any n, changes nothing")
{
	static const unsigned int kinds[] = { BELAY_PINNED, BELAY_WATCHED, BELAY_TRACKED };
	unsigned int n, i, refusals = 0;

	for (n = 1; n <= 15; n++) {
		begin(1000);
		i = 0;
		charge_countdown = n;
		for_each_range(f, l) {
			unsigned long pages = charged, nr = counted;
			int err;

			if (!add(kinds[i++ % 3], f, l, &err)) {
				CHECK_EQ(err, -EDQUOT);
				CHECK_EQ(grant.node.pages.n, pages);
				CHECK_EQ(grant.node.regions.n, nr);
				CHECK_EQ(i, n);
				refusals++;
			}
			audit();
		}
		all_gone();
	}
	CHECK_EQ(refusals, 15);
}

TEST(to_the_page, "a region fits a limit if the pages that it adds do, to the page")
{
	int err;

	begin(1000);
	grant.node.limit_pages = 12;
	must_add(BELAY_PINNED, 0, 9);
	CHECK(!add(BELAY_PINNED, 5, 12, &err));
	CHECK_EQ(err, -EDQUOT);
	audit();
	must_add(BELAY_PINNED, 5, 11);
	must_add(BELAY_PINNED, 0, 11);
	CHECK(!add(BELAY_PINNED, 90, 90, &err));
	CHECK_EQ(grant.node.pages.n, 12);
	all_gone();
}

TEST(layers, "over a region that may hold other pages, a new one is charged in full")
{
	struct covered *a, *b, *c;

	begin(1000);
	a = must_add(BELAY_TRACKED, 0, 9);
	map_anew(3, 3);
	b = must_add(BELAY_TRACKED, 0, 9);	/* over a suspect one */
	CHECK_EQ(grant.node.pages.n, 20);
	settle(a);
	CHECK(a->r.bits & BELAY_WORD_LOST);
	c = must_add(BELAY_PINNED, 5, 14);	/* shares with the newer */
	CHECK_EQ(c->r.layer, b->r.layer);
	CHECK_EQ(grant.node.pages.n, 25);
	must_add(BELAY_PINNED, 90, 95);		/* overlaps nothing */
	CHECK_EQ(grant.node.pages.n, 31);
	c = must_add(BELAY_PINNED, 12, 90);	/* two healthy ones, in two layers */
	CHECK_EQ(c->r.layer, b->r.layer);
	CHECK_EQ(grant.node.pages.n, 31 + 76);
	must_take_back(c);
	must_take_back(a);
	CHECK_EQ(grant.node.pages.n, 21);
	must_take_back(b);
	CHECK_EQ(grant.node.pages.n, 16);
	all_gone();
}

TEST(parts_layer, "what is left of a region is in the layer that it was in")
{
	struct covered *b;

	begin(1000);
	must_add(BELAY_TRACKED, 0, 9);
	map_anew(0, 9);
	b = must_add(BELAY_TRACKED, 0, 9);
	CHECK_EQ(b->r.layer, 1);
	trim(b, 4, 5);
	audit();
	CHECK_EQ(grant.node.pages.n, 18);
	all_gone();
}

TEST(mixed, "of a layer with a healthy and an unhealthy one, both in the way, none is shared")
{
	struct covered *ill, *c;

	begin(1000);
	must_add(BELAY_PINNED, 0, 9);
	ill = must_add(BELAY_TRACKED, 8, 19);
	map_anew(19, 19);
	settle(ill);
	CHECK_EQ(grant.node.pages.n, 20);
	c = must_add(BELAY_PINNED, 5, 12);	/* over both */
	CHECK_EQ(c->r.layer, 1);
	CHECK_EQ(grant.node.pages.n, 28);
	c = must_add(BELAY_PINNED, 0, 3);	/* only over the healthy one */
	CHECK_EQ(c->r.layer, 0);
	CHECK_EQ(grant.node.pages.n, 28);
	all_gone();
}

TEST(healed, "one that was only suspect shares its charge again")
{
	struct covered *a;

	begin(1000);
	a = must_add(BELAY_PINNED, 0, 9);
	a->r.bits = BELAY_WORD_SUSPECT;
	must_add(BELAY_PINNED, 20, 29);
	settle(a);
	CHECK_EQ(a->r.bits, 0);
	must_add(BELAY_PINNED, 0, 9);
	CHECK_EQ(grant.node.pages.n, 20);
	all_gone();
}

/* A region of all pages between two neighbours, which the test loses and trims. */
static struct covered *between(unsigned long base_page)
{
	begin(base_page);
	must_add(BELAY_TRACKED, 1, 1);
	must_add(BELAY_WATCHED, 0, 4);
	must_add(BELAY_TRACKED, 3, 6);
	return must_add(BELAY_PINNED, 0, FEW - 1);
}

/*
 * Two losses, one after the other; what is lost is the smallest range around both.
 * The neighbours lose it as well, but the charge is only that of their layer.
 */
static void lose_twice(unsigned long base_page, unsigned int f, unsigned int l,
		       unsigned int g, unsigned int m)
{
	struct covered *c = between(base_page);

	map_anew(f, l);
	settle(c);
	audit();
	CHECK_EQ(c->used, l - f + 1 < FEW);
	if (c->used) {
		map_anew(g, m);
		settle(c);
		audit();
	}
	all_gone();
}

TEST(losses, "what is lost of a region's beginning or end is charged no more, a hole is")
{
	struct covered *c;
	unsigned int done = 0;

	for_each_range(f, l)
		for_each_range(g, m) {
			lose_twice(0, f, l, g, m);
			lose_twice(ULONG_MAX - PAGES + 1, f, l, g, m);
			done++;
		}
	CHECK_EQ(done, 15 * 15);

	begin(1000);
	c = must_add(BELAY_PINNED, 10, 19);
	map_anew(14, 15);
	settle(c);
	CHECK_EQ(grant.node.pages.n, 10);
	map_anew(10, 10);
	settle(c);
	CHECK_EQ(grant.node.pages.n, 4);
	map_anew(19, 19);
	settle(c);
	CHECK_EQ(grant.node.pages.n, 0);
}

TEST(trims, "trimming takes back what the parts and the others do not cover")
{
	struct covered *c;
	unsigned int done = 0;

	for_each_range(f, l) {
		if (l - f + 1 == FEW)
			continue;
		trim(between(1000), f, l);
		audit();
		all_gone();
		done++;
	}
	CHECK_EQ(done, 14);

	/* A hole is lost, and charged until the region is trimmed around it. */
	begin(1000);
	c = must_add(BELAY_PINNED, 10, 19);
	map_anew(14, 15);
	settle(c);
	CHECK(!may_trim(c, 10, 14));
	CHECK(may_trim(c, 13, 15));
	trim(c, 13, 15);
	audit();
	CHECK_EQ(grant.node.pages.n, 7);
	CHECK_EQ(grant.node.regions.n, 2);
	must_add(BELAY_PINNED, 16, 19);		/* shares with the part that is left */
	CHECK_EQ(grant.node.pages.n, 7);
	all_gone();
}

TAP_MAIN()
