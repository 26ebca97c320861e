// SPDX-License-Identifier: GPL-2.0-only
/*
 * coverage.c - what a grant is charged: the union of its regions
 *
 * A page that several regions of a grant cover is charged once, and stays
 * charged until the last of them is gone. There is no counter for each page:
 * the grant's charged regions lie in an interval tree, and what a region adds
 * when it comes, or takes away when it goes, is the part of it that no other
 * region covers. That needs no memory, so that letting go cannot fail.
 *
 * Only regions that hold the same pages may share a charge. A suspect or lost
 * region may hold other pages than the address maps now, so that
 *
 *	mmap, register, munmap, mmap at the same address, register, ...
 *
 * would hold a multiple of what is charged. Therefore each region lies in a
 * layer, and shares only within it. A new region joins the newest layer in
 * which a healthy region overlaps it, if no unhealthy one of that layer does;
 * else it opens a new layer and is charged in full. That happens over a lost
 * region that another driver still holds (what the module holds is let go, and
 * leaves the tree, when it is lost), over what is left of a region that lost a
 * part, until that is trimmed, and over a suspect one that cannot be settled
 * just now; the new region's charge is then in full for as long as it lives.
 *
 * Watched regions hold nothing and are charged no page. They are in the tree,
 * in no layer, so that the limit on overlap counts them.
 *
 * Whether a region is healthy is read without its lock. That is enough: the
 * registering thread has seen, with its own region watched, that no invalidation of
 * its range is going on; one that ended before has set the other region's bits,
 * and one that comes later makes this registration look again (region.c). A
 * region that is being built is suspect, too, from the first event on.
 */
#include <linux/interval_tree.h>
#include <linux/sched.h>

#include "belay.h"

#define NO_LAYER	U64_MAX

static bool is_healthy(const struct belay_region *r)
{
	return !(READ_ONCE(r->bits) & (BELAY_WORD_SUSPECT | BELAY_WORD_LOST));
}

static struct belay_region *first_overlap(struct belay_region *r)
{
	struct interval_tree_node *n;

	n = interval_tree_iter_first(&r->session->grant->regions, r->it.start,
				     r->it.last);
	return n ? container_of(n, struct belay_region, it) : NULL;
}

static struct belay_region *next_overlap(struct belay_region *r,
					 struct belay_region *at)
{
	struct interval_tree_node *n;

	n = interval_tree_iter_next(&at->it, r->it.start, r->it.last);
	return n ? container_of(n, struct belay_region, it) : NULL;
}

/* All regions that overlap @r, by where they start; @r itself too, if charged. */
#define for_each_overlap(at, r) \
	for (at = first_overlap(r); at; at = next_overlap(r, at))

/*
 * Would some page of @r be in more than BELAY_MAX_OVERLAP regions? Walks the
 * overlapping regions by where they start, with the ends of those that are
 * open at that page.
 */
static bool is_too_deep(struct belay_region *r)
{
	unsigned long open[BELAY_MAX_OVERLAP];
	unsigned int nr = 0, i, kept;
	struct belay_region *at;

	for_each_overlap(at, r) {
		unsigned long page = max(at->it.start, r->it.start);

		for (i = 0, kept = 0; i < nr; i++)
			if (open[i] >= page)
				open[kept++] = open[i];
		nr = kept;
		if (nr == BELAY_MAX_OVERLAP - 1)
			return true;
		open[nr++] = at->it.last;
	}
	return false;
}

/* Pages of @r that no other region of @layer covers. */
static unsigned long uncovered(struct belay_region *r, u64 layer)
{
	unsigned long next = r->it.start, pages = 0;
	struct belay_region *at;

	for_each_overlap(at, r) {
		if (at == r || at->layer != layer)
			continue;
		if (at->it.start > next)
			pages += at->it.start - next;
		if (at->it.last >= r->it.last)
			return pages;
		next = max(next, at->it.last + 1);
	}
	return pages + (r->it.last - next + 1);
}

/* What @r adds to the charge, or takes with it. */
static unsigned long covered_alone(struct belay_region *r)
{
	return r->layer == NO_LAYER ? 0 : uncovered(r, r->layer);
}

static bool has_unhealthy(struct belay_region *r, u64 layer)
{
	struct belay_region *at;

	for_each_overlap(at, r)
		if (at != r && at->layer == layer && !is_healthy(at))
			return true;
	return false;
}

static u64 choose_layer(struct belay_region *r)
{
	struct belay_region *at;
	bool overlaps = false;
	u64 best = NO_LAYER;

	for_each_overlap(at, r) {
		if (at->layer == NO_LAYER)
			continue;
		overlaps = true;
		if (is_healthy(at) && (best == NO_LAYER || at->layer > best))
			best = at->layer;
	}
	if (!overlaps)
		return 0;
	if (best != NO_LAYER && !has_unhealthy(r, best))
		return best;
	return ++r->session->grant->layer;
}

/*
 * Charge @r to its grant and all accounts above, or nothing: -EDQUOT with
 * @why, -EMLINK.
 */
int belay_coverage_charge(struct belay_region *r, struct belay_refusal *why)
{
	struct belay_grant *g = r->session->grant;
	unsigned long pages;
	int ret = -EMLINK;

	mutex_lock(&g->lock);
	if (is_too_deep(r))
		goto out;
	r->layer = r->kind == BELAY_WATCHED ? NO_LAYER : choose_layer(r);
	pages = covered_alone(r);
	ret = belay_node_charge(&g->node, pages, 1, why);
	if (ret)
		goto out;
	interval_tree_insert(&r->it, &g->regions);
	WRITE_ONCE(r->charged, true);
	belay_stat_add(charged_bytes, (s64)pages << PAGE_SHIFT);
out:
	mutex_unlock(&g->lock);
	return ret;
}

/* Take @r's part of the charge back; twice does nothing. */
void belay_coverage_refund(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;
	unsigned long pages;

	mutex_lock(&g->lock);
	if (r->charged) {
		pages = covered_alone(r);
		interval_tree_remove(&r->it, &g->regions);
		WRITE_ONCE(r->charged, false);
		belay_node_refund(&g->node, pages, 1);
		belay_stat_add(charged_bytes, -((s64)pages << PAGE_SHIFT));
	}
	mutex_unlock(&g->lock);
}

/*
 * The charge of @r goes to one or two regions that are parts of it, what they do
 * not cover is taken back. The second one has been charged as a region before.
 */
void belay_coverage_hand_over(struct belay_region *r, struct belay_region *part,
			      struct belay_region *other)
{
	struct belay_region *parts[] = { part, other };
	struct belay_grant *g = r->session->grant;
	unsigned long pages;
	unsigned int i;

	mutex_lock(&g->lock);
	pages = covered_alone(r);
	interval_tree_remove(&r->it, &g->regions);
	WRITE_ONCE(r->charged, false);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!parts[i])
			continue;
		parts[i]->layer = r->layer;
		interval_tree_insert(&parts[i]->it, &g->regions);
		WRITE_ONCE(parts[i]->charged, true);
		pages -= covered_alone(parts[i]);
	}
	belay_node_refund(&g->node, pages, 0);
	belay_stat_add(charged_bytes, -((s64)pages << PAGE_SHIFT));
	mutex_unlock(&g->lock);
}

/*
 * The pages @start to @last of @r are no longer held. If they are its beginning
 * or its end, their part of the charge is taken back; a hole in the middle
 * stays charged until the region is trimmed, so that one interval is enough.
 * (If nothing is left of it, the caller takes back the whole charge.)
 */
void belay_coverage_shrink(struct belay_region *r, unsigned long start,
			   unsigned long last)
{
	struct belay_grant *g = r->session->grant;
	unsigned long pages;

	mutex_lock(&g->lock);
	if (!r->charged || (start > r->it.start && last < r->it.last) ||
	    (start <= r->it.start && last >= r->it.last))
		goto out;
	pages = uncovered(r, r->layer);
	interval_tree_remove(&r->it, &g->regions);
	if (start <= r->it.start)
		r->it.start = max(r->it.start, last + 1);
	else
		r->it.last = min(r->it.last, start - 1);
	pages -= uncovered(r, r->layer);
	interval_tree_insert(&r->it, &g->regions);
	belay_node_refund(&g->node, pages, 0);
	belay_stat_add(charged_bytes, -((s64)pages << PAGE_SHIFT));
out:
	mutex_unlock(&g->lock);
}

/* Has a region that @r shares its charge with become suspect or lost? */
bool belay_coverage_shares_unhealthy(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;
	bool ret;

	mutex_lock(&g->lock);
	ret = has_unhealthy(r, r->layer);
	mutex_unlock(&g->lock);
	return ret;
}

/* Does @r overlap a region that should be settled before it is charged? */
bool belay_coverage_meets_suspect(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;
	struct belay_region *at;
	bool ret = false;

	mutex_lock(&g->lock);
	for_each_overlap(at, r)
		ret |= at->layer != NO_LAYER && !is_healthy(at);
	mutex_unlock(&g->lock);
	return ret;
}
