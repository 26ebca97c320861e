// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
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
 * Watched regions hold nothing, take no reference of a page and are charged no
 * page: they only count as regions, and are not in the tree.
 *
 * A region counts against the limits on regions until it is let go, also one that
 * is lost as a whole: its structure, its word and its place are there still.
 *
 * Registering over n regions costs one walk over them (a second one where layers
 * differ), under grant->lock, which only the grant's own process holds for that
 * long; an order from the policy owner only tries it (region.c).
 *
 * Whether a region is healthy is read without its lock. That is enough: the
 * registering thread has seen, with its own region watched, that no invalidation of
 * its range is going on; one that ended before has set the other region's bits,
 * and one that comes later makes this registration look again (register.c). A
 * region that is being built is suspect, too, from the first event on.
 */
#include <linux/interval_tree.h>

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

/* Pages of a region that others, given by where they start, do not cover. */
struct gaps {
	unsigned long next;	/* all before this one are counted */
	unsigned long pages;
	bool closed;		/* nothing is left to count */
};

static void gaps_step(struct gaps *g, const struct belay_region *r,
		      const struct belay_region *at)
{
	if (g->closed)
		return;
	if (at->it.start > g->next)
		g->pages += at->it.start - g->next;
	if (at->it.last >= r->it.last)
		g->closed = true;
	else
		g->next = max(g->next, at->it.last + 1);
}

static unsigned long gaps_end(const struct gaps *g, const struct belay_region *r)
{
	return g->closed ? g->pages : g->pages + (r->it.last - g->next + 1);
}

/* Pages of @r that no other region of its layer covers: what goes with it. */
static unsigned long covered_alone(struct belay_region *r)
{
	struct gaps gaps = { .next = r->it.start };
	struct belay_region *at;

	for_each_overlap(at, r)
		if (at != r && at->layer == r->layer)
			gaps_step(&gaps, r, at);
	return gaps_end(&gaps, r);
}

/*
 * Would some page be in more than BELAY_MAX_OVERLAP regions? The ends of those,
 * by where they start, that may reach the page in hand; the ones that do not are
 * dropped when there is no room.
 */
struct depth {
	unsigned long open[BELAY_MAX_OVERLAP - 1];
	unsigned int nr;
	bool is_too_deep;
};

static void depth_step(struct depth *d, const struct belay_region *r,
		       const struct belay_region *at)
{
	unsigned long page = max(at->it.start, r->it.start);
	unsigned int i, kept = 0;

	if (d->nr == BELAY_MAX_OVERLAP - 1) {
		for (i = 0; i < d->nr; i++)
			if (d->open[i] >= page)
				d->open[kept++] = d->open[i];
		d->nr = kept;
	}
	if (d->nr == BELAY_MAX_OVERLAP - 1)
		d->is_too_deep = true;
	else
		d->open[d->nr++] = at->it.last;
}

/* The findings of a walk over the regions that overlap another one. */
struct around {
	bool any;		/* there are some, */
	bool any_ill;		/* unhealthy ones, */
	bool is_too_deep;	/* too many on one page */
	u64 best;		/* the newest layer with a healthy one; or NO_LAYER */
	u64 layer;		/* asked for: */
	bool layer_ill;		/* has unhealthy ones */
	unsigned long uncovered;	/* pages that it does not cover */
};

static void look_around(struct belay_region *r, u64 layer, struct around *a)
{
	struct gaps gaps = { .next = r->it.start };
	struct depth depth = { .nr = 0 };
	struct belay_region *at;
	bool healthy;

	*a = (struct around) { .best = NO_LAYER, .layer = layer };
	for_each_overlap(at, r) {
		if (at == r)
			continue;
		a->any = true;
		depth_step(&depth, r, at);
		if (depth.is_too_deep)
			break;
		healthy = is_healthy(at);
		a->any_ill |= !healthy;
		if (healthy && (a->best == NO_LAYER || at->layer > a->best))
			a->best = at->layer;
		if (at->layer != layer)
			continue;
		a->layer_ill |= !healthy;
		gaps_step(&gaps, r, at);
	}
	a->is_too_deep = depth.is_too_deep;
	a->uncovered = gaps_end(&gaps, r);
}

/*
 * The layer for @r, and what it adds there. -EAGAIN: with @settled false, some
 * region that it overlaps is to be settled first; -EMLINK.
 */
static int choose_layer(struct belay_region *r, bool settled, u64 *ret_layer,
			unsigned long *ret_pages)
{
	u64 newest = r->session->grant->layer;
	struct around a;

	/* Most likely it is that one. */
	look_around(r, newest, &a);
	if (a.is_too_deep)
		return -EMLINK;
	if (a.any_ill && !settled)
		return -EAGAIN;
	if (a.best != NO_LAYER && a.best != newest)
		look_around(r, a.best, &a);
	if (a.best == a.layer && !a.layer_ill) {
		*ret_layer = a.layer;
		*ret_pages = a.uncovered;
		return 0;
	}
	*ret_layer = a.any ? newest + 1 : 0;
	*ret_pages = r->it.last - r->it.start + 1;
	return 0;
}

static void join_layer(struct belay_region *r, u64 layer)
{
	struct belay_grant *g = r->session->grant;

	r->layer = layer;
	g->layer = max(g->layer, layer);
}

/*
 * Charge @r to its grant and all accounts above, or nothing: -EDQUOT with @why,
 * and what choose_layer() says. -ECANCELED: it is being let go; whoever does that
 * comes for its charge after this, or has been here before.
 */
int belay_coverage_charge(struct belay_region *r, bool settled, struct belay_refusal *why)
{
	struct belay_grant *g = r->session->grant;
	bool watched = r->kind == BELAY_WATCHED;
	unsigned long pages = 0;
	u64 layer = NO_LAYER;
	int ret = -ECANCELED;

	mutex_lock(&g->lock);
	if (READ_ONCE(r->state) == BELAY_DEAD)
		goto out;
	ret = watched ? 0 : choose_layer(r, settled, &layer, &pages);
	if (!ret)
		ret = belay_charge(&g->node, pages, !r->placed, why);
	if (ret)
		goto out;
	r->placed = true;
	if (watched)
		goto out;
	join_layer(r, layer);
	interval_tree_insert(&r->it, &g->regions);
	WRITE_ONCE(r->charged, true);
	belay_stat_add(charged_bytes, (s64)pages << PAGE_SHIFT);
out:
	mutex_unlock(&g->lock);
	return ret;
}

/*
 * If a region that @r, which holds its pages, shares its charge with has turned
 * unhealthy, @r goes into another layer. The difference is charged: at no time is
 * less charged than is held, nor more than is needed. Fails as charging does, and
 * then @r is where it was.
 */
int belay_coverage_recharge(struct belay_region *r, bool settled, struct belay_refusal *why)
{
	struct belay_grant *g = r->session->grant;
	unsigned long pages;
	struct around a;
	int ret = 0;
	s64 more;
	u64 layer;

	mutex_lock(&g->lock);
	if (!r->charged)
		goto out;
	look_around(r, r->layer, &a);
	if (!a.layer_ill)
		goto out;
	ret = choose_layer(r, settled, &layer, &pages);
	if (ret)
		goto out;
	more = (s64)pages - (s64)a.uncovered;
	if (more > 0)
		ret = belay_charge(&g->node, more, 0, why);
	else
		belay_charge_refund(&g->node, -more, 0);
	if (ret)
		goto out;
	join_layer(r, layer);
	belay_stat_add(charged_bytes, more * (s64)PAGE_SIZE);
out:
	mutex_unlock(&g->lock);
	return ret;
}

static void uncharge(struct belay_region *r, bool place)
{
	struct belay_grant *g = r->session->grant;
	unsigned long pages = 0, regions = 0;

	lockdep_assert_held(&g->lock);
	if (r->charged) {
		pages = covered_alone(r);
		interval_tree_remove(&r->it, &g->regions);
		/* After the pages have gone, as held.c reads it without a lock. */
		smp_store_release(&r->charged, false);
	}
	if (place && r->placed) {
		r->placed = false;
		regions = 1;
	}
	belay_charge_refund(&g->node, pages, regions);
	belay_stat_add(charged_bytes, -((s64)pages << PAGE_SHIFT));
}

/* Nothing of @r is held any more: take its pages back; it stays a region. */
void belay_coverage_drop(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	mutex_lock(&g->lock);
	uncharge(r, false);
	mutex_unlock(&g->lock);
}

/* @r goes: take back all that it was charged; twice does nothing. */
void belay_coverage_refund(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	mutex_lock(&g->lock);
	uncharge(r, true);
	mutex_unlock(&g->lock);
}

/* As belay_coverage_refund(), but does nothing and is false if grant->lock is taken. */
bool belay_coverage_try_refund(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;

	if (!mutex_trylock(&g->lock))
		return false;
	uncharge(r, true);
	mutex_unlock(&g->lock);
	return true;
}

/*
 * The charge of @r goes to one or two regions that are parts of it, what they do
 * not cover is taken back. The second one has been charged as a region before.
 * Under the settle mutexes, so nobody else asks for @r's charge any more. @r->charged
 * stays true until belay_region_give_pins(), so that a waiter sees @r or its parts.
 */
void belay_coverage_hand_over(struct belay_region *r, struct belay_region *part,
			      struct belay_region *other)
{
	struct belay_region *parts[] = { part, other };
	struct belay_grant *g = r->session->grant;
	unsigned long pages = 0;
	unsigned int i;

	mutex_lock(&g->lock);
	if (r->charged) {
		pages = covered_alone(r);
		interval_tree_remove(&r->it, &g->regions);
	}
	r->placed = false;
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!parts[i])
			continue;
		parts[i]->placed = true;
		if (!r->charged)
			continue;
		parts[i]->layer = r->layer;
		interval_tree_insert(&parts[i]->it, &g->regions);
		WRITE_ONCE(parts[i]->charged, true);
		pages -= covered_alone(parts[i]);
	}
	belay_charge_refund(&g->node, pages, 0);
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
	pages = covered_alone(r);
	interval_tree_remove(&r->it, &g->regions);
	if (start <= r->it.start)
		r->it.start = max(r->it.start, last + 1);
	else
		r->it.last = min(r->it.last, start - 1);
	pages -= covered_alone(r);
	interval_tree_insert(&r->it, &g->regions);
	belay_charge_refund(&g->node, pages, 0);
	belay_stat_add(charged_bytes, -((s64)pages << PAGE_SHIFT));
out:
	mutex_unlock(&g->lock);
}
