/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * coverage_model.h - what kmod/coverage.c should do, counted page by page
 *
 * The model keeps, for each layer and each page, how many regions cover it. The
 * charge is the number of those counts that are not zero. Every operation is
 * done to both and compared in full by audit().
 *
 * Beside that it knows what coverage.c cannot: which frame each region holds for
 * each page. The purpose of it all is that never more frames are held than are
 * charged, whatever is mapped, lost, trimmed and registered in which order.
 */
#ifndef COVERAGE_MODEL_H
#define COVERAGE_MODEL_H

#include "tests/unit/kernel.h"
#include "kmod/coverage.c"

#define PAGES	96
#define REGIONS	300
#define LAYERS	600

struct covered {
	struct belay_region r;
	bool used;
	unsigned int first, last;	/* charged; r.start and r.last are all of it */
	unsigned int lost_first, lost_last;
	u32 frame[PAGES];		/* 0: none held */
};

static struct belay_grant grant;
static struct belay_session session = { .grant = &grant };
static struct covered regions[REGIONS];
static unsigned int in_use;		/* none further on is */

static unsigned long base;		/* the page number of page 0 */
static unsigned int refs[LAYERS][PAGES];
static unsigned int depth[PAGES];	/* without watched regions */
static unsigned long charged, counted;
static u32 mapped[PAGES];		/* the frame that is mapped there now */
static u32 newest_frame;
static unsigned int charge_countdown;	/* the n-th charge is refused; 0: none */

/* ---- what coverage.c needs of the rest of the module ------------------------ */

struct belay_stats belay_stats;

int belay_charge(struct belay_node *node, unsigned long pages,
		      unsigned long nr, struct belay_refusal *why)
{
	CHECK_LE(pages, PAGES);
	if ((charge_countdown && !--charge_countdown) ||
	    node->pages.n + pages > node->limit_pages) {
		why->needed = pages;
		return -EDQUOT;
	}
	node->pages.n += (long)pages;
	node->regions.n += (long)nr;
	return 0;
}

void belay_charge_refund(struct belay_node *node, unsigned long pages, unsigned long nr)
{
	CHECK_LE(pages, node->pages.n);
	CHECK_LE(nr, node->regions.n);
	node->pages.n -= (long)pages;
	node->regions.n -= (long)nr;
}

/* Never reached: nothing here counts references. */
void belay_region_free(struct kref *ref)
{
	FAIL("a region is freed");
}

/* ---- the model ---------------------------------------------------------------- */

static TAP_UNUSED void begin(unsigned long base_page)
{
	unsigned int i;

	memset(&grant, 0, sizeof(grant));
	memset(&belay_stats, 0, sizeof(belay_stats));
	memset(regions, 0, sizeof(regions));
	memset(refs, 0, sizeof(refs));
	memset(depth, 0, sizeof(depth));
	grant.node.limit_pages = ULONG_MAX / 2;
	charged = counted = in_use = charge_countdown = 0;
	base = base_page;
	for (i = 0; i < PAGES; i++)
		mapped[i] = ++newest_frame;
}

static bool is_watched(const struct covered *c)
{
	return c->r.kind == BELAY_WATCHED;
}

static bool is_well(const struct covered *c)
{
	return !(c->r.bits & (BELAY_WORD_SUSPECT | BELAY_WORD_LOST));
}

static bool covers(const struct covered *c, unsigned int page)
{
	return c->used && c->r.charged && c->first <= page && page <= c->last;
}

static bool share_a_page(const struct covered *a, unsigned int first, unsigned int last)
{
	for (; first <= last; first++)
		if (covers(a, first))
			return true;
	return false;
}

static void page_up(const struct covered *c, unsigned int page)
{
	if (is_watched(c))
		return;
	depth[page]++;
	if (!refs[c->r.layer][page]++)
		charged++;
}

static void page_down(const struct covered *c, unsigned int page)
{
	if (is_watched(c))
		return;
	CHECK(depth[page]--);
	CHECK(refs[c->r.layer][page]);
	if (!--refs[c->r.layer][page])
		charged--;
}

static bool fits_depth(unsigned int first, unsigned int last)
{
	for (; first <= last; first++)
		if (depth[first] >= BELAY_MAX_OVERLAP)
			return false;
	return true;
}

/* The rule of coverage.c's first comment. */
static u64 layer_for(unsigned int first, unsigned int last, bool watched)
{
	bool some = false, is_healthy_there = false, is_ill_there = false;
	u64 newest = 0;
	unsigned int i;

	if (watched)
		return U64_MAX;
	for (i = 0; i < in_use; i++) {
		if (is_watched(&regions[i]) || !share_a_page(&regions[i], first, last))
			continue;
		some = true;
		if (!is_well(&regions[i]))
			continue;
		newest = is_healthy_there ? max(newest, regions[i].r.layer) : regions[i].r.layer;
		is_healthy_there = true;
	}
	for (i = 0; i < in_use; i++)
		is_ill_there |= !is_watched(&regions[i]) && !is_well(&regions[i]) &&
			regions[i].r.layer == newest &&
			share_a_page(&regions[i], first, last);
	if (!some)
		return 0;
	return is_healthy_there && !is_ill_there ? newest : grant.layer + 1;
}

/* Is one of those unhealthy that share a page with these? */
static bool meets_ill(unsigned int first, unsigned int last)
{
	unsigned int i;

	for (i = 0; i < in_use; i++)
		if (!is_watched(&regions[i]) && !is_well(&regions[i]) &&
		    share_a_page(&regions[i], first, last))
			return true;
	return false;
}

static unsigned long adds(u64 layer, unsigned int first, unsigned int last)
{
	unsigned long n = 0;

	for (; layer != U64_MAX && first <= last; first++)
		n += !refs[layer][first];
	return n;
}

/* ---- what happens to regions, done to both ------------------------------------ */

static struct covered *unused_region(void)
{
	unsigned int i;

	for (i = 0; i < REGIONS; i++) {
		if (regions[i].used)
			continue;
		in_use = max(in_use, i + 1);
		return &regions[i];
	}
	FAIL("no region is left");
}

static struct covered *new_region(unsigned int kind, unsigned int first, unsigned int last)
{
	struct covered *c = unused_region();

	memset(c, 0, sizeof(*c));
	c->r.session = &session;
	c->r.kind = (u16)kind;
	c->r.start = c->r.it.start = base + first;
	c->r.last = c->r.it.last = base + last;
	c->first = first;
	c->last = last;
	c->lost_first = UINT_MAX;
	return c;
}

/* NULL and *ret_err: refused. */
static TAP_UNUSED struct covered *add(unsigned int kind, unsigned int first,
				      unsigned int last, int *ret_err)
{
	struct covered *c = new_region(kind, first, last);
	u64 layer = layer_for(first, last, is_watched(c));
	unsigned long pages = layer == grant.layer + 1 ? last - first + 1 :
							 adds(layer, first, last);
	bool fits = is_watched(c) || fits_depth(first, last);
	struct belay_refusal why = {};
	unsigned int i;

	/* Whoever charges settles what is unhealthy there first. */
	if (!is_watched(c) && fits && meets_ill(first, last))
		CHECK_EQ(belay_coverage_charge(&c->r, false, &why), -EAGAIN);
	*ret_err = belay_coverage_charge(&c->r, true, &why);
	CHECK_EQ(*ret_err == -EMLINK, !fits);
	if (*ret_err == -EDQUOT)
		CHECK_EQ(why.needed, pages);
	if (*ret_err) {
		CHECK(!c->r.charged);
		return NULL;
	}
	CHECK_EQ(c->r.charged, !is_watched(c));
	CHECK(c->r.placed);
	CHECK(is_watched(c) || c->r.layer == layer);
	CHECK(is_watched(c) || layer < LAYERS);
	c->used = true;
	counted++;
	for (i = first; i <= last; i++) {
		page_up(c, i);
		c->frame[i] = is_watched(c) ? 0 : mapped[i];
	}
	return c;
}

static TAP_UNUSED void take_back(struct covered *c)
{
	unsigned int i;

	grant.lock.held = true;		/* somebody has it: then nothing is done */
	CHECK(!belay_coverage_try_refund(&c->r));
	grant.lock.held = false;
	CHECK(c->r.placed);
	CHECK(belay_coverage_try_refund(&c->r));
	CHECK(!c->r.charged);
	belay_coverage_refund(&c->r);	/* twice does nothing */
	for (i = c->first; i <= c->last; i++)
		page_down(c, i);
	counted--;
	c->used = false;
}

/* Other memory is mapped there; all that hold what was there may have lost it. */
static TAP_UNUSED void map_anew(unsigned int first, unsigned int last)
{
	unsigned int i, page;

	for (i = 0; i < in_use; i++)
		if (share_a_page(&regions[i], first, last) && !is_watched(&regions[i]))
			regions[i].r.bits |= BELAY_WORD_SUSPECT;
	for (page = first; page <= last; page++)
		mapped[page] = ++newest_frame;
}

/* A part of it goes, with its beginning or end of the charge. */
static void drop_part(struct covered *c, unsigned int first, unsigned int last)
{
	unsigned int page;

	for (page = first; page <= last; page++)
		c->frame[page] = 0;
	belay_coverage_shrink(&c->r, base + first, base + last);
	if (base + first <= c->r.start && base + last >= c->r.last) {
		/* Nothing of it is charged, but it is a region until it is let go. */
		belay_coverage_drop(&c->r);
		CHECK(!c->r.charged);
		CHECK_EQ(grant.node.regions.n, counted);
		take_back(c);
		return;
	}
	while (c->first >= first && c->first <= last)
		page_down(c, c->first++);
	while (c->last >= first && c->last <= last)
		page_down(c, c->last--);
}

/* As the worker does: the same, or lost, that part; what is pinned of it goes. */
static TAP_UNUSED void settle(struct covered *c)
{
	unsigned int page;

	c->r.bits &= ~(u32)BELAY_WORD_SUSPECT;
	for (page = c->first; page <= c->last; page++) {
		if (!c->frame[page] || c->frame[page] == mapped[page])
			continue;
		c->r.bits |= BELAY_WORD_LOST;
		c->lost_first = min(c->lost_first, page);
		c->lost_last = max(c->lost_last, page);
	}
	if (c->r.bits & BELAY_WORD_LOST && c->r.kind == BELAY_PINNED)
		drop_part(c, c->lost_first, c->lost_last);
}

/*
 * What shares with @c, which has just been pinned, has turned unhealthy: it may go into
 * another layer. Returns whether it did.
 */
static TAP_UNUSED bool move_layer(struct covered *c, int *ret_err)
{
	u64 before = c->r.layer, layer = before;
	struct belay_refusal why = {};
	unsigned int i, page;
	bool ill = false;

	c->used = false;
	for (i = 0; i < in_use; i++)
		ill |= !is_watched(&regions[i]) && !is_well(&regions[i]) &&
			regions[i].r.layer == before &&
			share_a_page(&regions[i], c->first, c->last);
	if (ill)
		layer = layer_for(c->first, c->last, false);
	if (ill)
		CHECK_EQ(belay_coverage_recharge(&c->r, false, &why), -EAGAIN);
	c->used = true;
	*ret_err = belay_coverage_recharge(&c->r, true, &why);
	if (*ret_err) {
		CHECK(ill);
		CHECK_EQ(*ret_err, -EDQUOT);
		CHECK_EQ(c->r.layer, before);
		return false;
	}
	CHECK_EQ(c->r.layer, layer);
	for (page = c->first; page <= c->last; page++) {
		c->r.layer = before;
		page_down(c, page);
		c->r.layer = layer;
		page_up(c, page);
	}
	return layer != before;
}

static struct covered *new_part(struct covered *c, unsigned int first, unsigned int last)
{
	struct covered *part = new_region(c->r.kind, first, last);

	part->used = true;
	memcpy(part->frame + first, c->frame + first, (last - first + 1) * sizeof(u32));
	return part;
}

/* Is what trim.c asks for so: all that is left is known, and not lost? */
static TAP_UNUSED bool may_trim(const struct covered *c, unsigned int first, unsigned int last)
{
	if (c->r.bits & BELAY_WORD_SUSPECT)
		return false;
	if (c->r.bits & BELAY_WORD_LOST && (c->lost_first < first || c->lost_last > last))
		return false;
	return base + first > c->r.start || base + last < c->r.last;
}

/* @first to @last go, one or two regions are what is left. */
static TAP_UNUSED void trim(struct covered *c, unsigned int first, unsigned int last)
{
	struct covered *parts[2] = { NULL, NULL };
	struct belay_refusal why = {};
	unsigned int i, page;
	int n = 0;

	if (base + first > c->r.start)
		parts[n++] = new_part(c, (unsigned int)(c->r.start - base), first - 1);
	if (base + last < c->r.last)
		parts[n++] = new_part(c, last + 1, (unsigned int)(c->r.last - base));
	CHECK_GE(n, 1);
	if (n == 2)
		CHECK_OK(belay_charge(&grant.node, 0, 1, &why));
	/* Either place may be the one that is empty. */
	if (n == 2 || base + first > c->r.start)
		belay_coverage_hand_over(&c->r, &parts[0]->r, parts[1] ? &parts[1]->r : NULL);
	else
		belay_coverage_hand_over(&c->r, NULL, &parts[0]->r);
	CHECK(!c->r.placed);
	counted += (unsigned int)n - 1;
	for (page = c->first; page <= c->last; page++)
		page_down(c, page);
	c->used = false;
	for (i = 0; i < (unsigned int)n; i++) {
		CHECK_EQ(parts[i]->r.charged, !is_watched(c));
		CHECK(parts[i]->r.placed);
		CHECK(is_watched(c) || parts[i]->r.layer == c->r.layer);
		for (page = parts[i]->first; page <= parts[i]->last; page++)
			page_up(parts[i], page);
	}
}

/* ---- do they agree? ------------------------------------------------------------- */

/* Frames held by whomever, each once. */
static unsigned long frames_held(void)
{
	u32 seen[REGIONS];
	unsigned int page, i, k, n;
	unsigned long all = 0;

	for (page = 0; page < PAGES; page++) {
		for (i = n = 0; i < in_use; i++) {
			if (!regions[i].used || !regions[i].frame[page])
				continue;
			for (k = 0; k < n && seen[k] != regions[i].frame[page]; k++)
				;
			if (k == n)
				seen[n++] = regions[i].frame[page];
		}
		all += n;
	}
	return all;
}

static TAP_UNUSED void audit(void)
{
	unsigned int i, in_tree = 0, charged_regions = 0;
	struct interval_tree_node *n;

	CHECK_EQ(grant.node.pages.n, charged);
	CHECK_EQ(grant.node.regions.n, counted);
	CHECK_EQ(belay_stats.charged_bytes, (s64)charged << PAGE_SHIFT);
	CHECK_EQ(mutexes_held, 0);
	for (n = grant.regions.first; n; n = n->next)
		in_tree++;
	for (i = 0; i < in_use; i++) {
		if (!regions[i].used || is_watched(&regions[i]))
			continue;
		charged_regions++;
		CHECK(regions[i].r.it.in == &grant.regions);
		CHECK_EQ(regions[i].r.it.start, base + regions[i].first);
		CHECK_EQ(regions[i].r.it.last, base + regions[i].last);
	}
	CHECK_EQ(in_tree, charged_regions);
	CHECK_GE(charged, frames_held());
}

#endif
