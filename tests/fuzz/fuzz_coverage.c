/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What a grant is charged, whatever happens to its regions: the module's
 * coverage.c beside a model that counts page by page (coverage_model.h).
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/coverage_model.h"

#define ROUND	600		/* operations, then all regions go */
#define MANY	260		/* regions at a time */

static bool crowded;		/* this round: hardly anything goes, all at one place */
static unsigned int added, refused, too_deep, shrunk, trimmed, shared, apart, moved;

static struct covered *some_region(void)
{
	unsigned int i, start = fuzz_below(MANY);

	for (i = 0; i < in_use; i++)
		if (regions[(start + i) % in_use].used)
			return &regions[(start + i) % in_use];
	return NULL;
}

/* Mostly small and in a crowd; some are long, some end at an end. */
static void some_range(unsigned int *first, unsigned int *last)
{
	unsigned int crowd = crowded ? 4 : fuzz_below(4) ? 12 : PAGES;

	*first = fuzz_below(crowd);
	*last = *first + fuzz_below(fuzz_below(3) ? 6 : PAGES);
	*last = min(*last, PAGES - 1U);
	if (!fuzz_below(20))
		*last = PAGES - 1;
}

static void try_add(void)
{
	unsigned int kind = BELAY_PINNED + fuzz_below(3), first, last;
	unsigned long before = charged;
	struct covered *c;
	int err;

	some_range(&first, &last);
	if (!fuzz_below(10))
		charge_countdown = 1;
	if (!fuzz_below(20))	/* room for some of it */
		grant.node.limit_pages = charged + fuzz_below(8);
	c = add(kind, first, last, &err);
	charge_countdown = 0;
	grant.node.limit_pages = ULONG_MAX / 2;
	if (!c) {
		CHECK_EQ(charged, before);
		refused += err == -EDQUOT;
		too_deep += err == -EMLINK;
		return;
	}
	added++;
	shared += !is_watched(c) && charged - before < last - first + 1;
	apart += !is_watched(c) && c->r.layer;
}

/* From within a region, and all that is lost of it. */
static void try_trim(struct covered *c)
{
	unsigned int start = (unsigned int)(c->r.start - base);
	unsigned int pages = (unsigned int)belay_region_pages(&c->r);
	unsigned int first = start + fuzz_below(pages);
	unsigned int last = first + fuzz_below(start + pages - first);

	if (c->r.bits & BELAY_WORD_LOST) {
		first = min(first, c->lost_first);
		last = max(last, c->lost_last);
	}
	if (!may_trim(c, first, last))
		return;
	trim(c, first, last);
	trimmed++;
}

static void step(void)
{
	struct covered *c = some_region();
	unsigned int first, last;
	int err;

	if (!c || (crowded && counted < MANY && fuzz_below(10))) {
		try_add();
		return;
	}
	switch (counted < MANY ? fuzz_below(12) : 11) {
	case 6:
		some_range(&first, &last);
		if (fuzz_below(3))
			last = first;
		map_anew(first, last);
		break;
	case 7:		/* announced, but nothing came of it */
		c->r.bits |= is_watched(c) ? 0 : BELAY_WORD_SUSPECT;
		break;
	case 8:
	case 9:
		first = c->first;
		last = c->last;
		settle(c);
		shrunk += c->used && (c->first > first || c->last < last);
		break;
	case 10:
		try_trim(c);
		break;
	case 11:
		take_back(c);
		break;
	case 0:
		if (!is_watched(c) && is_well(c))
			moved += move_layer(c, &err);
		break;
	default:
		try_add();
	}
}

static unsigned long some_base(void)
{
	switch (fuzz_below(3)) {
	case 0:
		return 0;
	case 1:
		return ULONG_MAX - PAGES + 1;
	default:
		return fuzz_next() >> 16;
	}
}

TEST_TIMEOUT(coverage, "the charge is what counting page by page says, and never less than is held", 60)
{
	unsigned int rounds = 0, i;
	double end;

	fuzz_seed();
	for (end = fuzz_end(); tap_now() < end; rounds++) {
		begin(some_base());
		crowded = !fuzz_below(4);
		for (i = 0; i < ROUND && grant.layer < LAYERS - 1; i++) {
			step();
			audit();
		}
		for (i = 0; i < REGIONS; i++)
			if (regions[i].used)
				take_back(&regions[i]);
		audit();
		CHECK_EQ(charged, 0);
		CHECK_EQ(grant.node.pages.n, 0);
		CHECK_EQ(grant.node.regions.n, 0);
		CHECK(!grant.regions.first);
	}
	tap_diag("%u rounds: %u added, %u of them shared a charge, %u in a layer of their own",
		 rounds, added, shared, apart);
	tap_diag("%u refused, %u too deep, %u shrunk, %u trimmed, %u moved", refused, too_deep,
		 shrunk, trimmed, moved);
	CHECK(rounds && shared && apart && refused && too_deep && shrunk && trimmed && moved);
}

TAP_MAIN()
