// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * region.c - a region's place, what it holds, and its end; how it begins: register.c
 *
 * Letting go:	dead, with the word -> unpin -> refund, under the settle mutex
 *		-> unwatch -> unpublish -> put, once.
 * Letting go cannot fail. It waits only for a thread that looks at the region's pages.
 * A callback does nothing to a dead region. An order from the policy owner does not wait
 * at all: it makes the region dead, unpins if the region is small and the settle mutex is
 * free, and refunds if grant->lock is free; the grant's worker does the rest. While the
 * registering thread has not finished, that thread takes the region off the list. The last
 * reference frees the structure; until then a worker, a listing or an undealt event may
 * hold one.
 */
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "belay.h"
#include "trace.h"

/* Pages that an order lets go of itself: some milliseconds. More are for the worker. */
#define RELEASE_AT_ONCE	(1UL << 15)

static struct kmem_cache *region_cache;
static atomic64_t last_number = ATOMIC64_INIT(0);

int belay_region_cache_init(void)
{
	region_cache = KMEM_CACHE(belay_region, SLAB_ACCOUNT);
	return region_cache ? 0 : -ENOMEM;
}

void belay_region_cache_exit(void)
{
	kmem_cache_destroy(region_cache);
}

void belay_region_free(struct kref *ref)
{
	struct belay_region *r = container_of(ref, struct belay_region, ref);

	belay_extents_free(&r->extents);
	belay_session_put(r->session);
	kmem_cache_free(region_cache, r);
}

static struct belay_region *region_of(struct belay_event_source *src)
{
	return container_of(src, struct belay_region, event);
}

static void event_get(struct belay_event_source *src)
{
	kref_get(&region_of(src)->ref);
}

static void event_put(struct belay_event_source *src)
{
	belay_region_put(region_of(src));
}

static void event_fill(struct belay_event_source *src, struct belay_event *e)
{
	struct belay_region *r = region_of(src);

	e->session = r->session->id;
	e->region = r->id;
	e->grant = r->session->grant->id;
	e->kind = r->kind;
	e->cookie = r->cookie;
	belay_range_bytes(r->start, r->last, &e->addr, &e->len);
	spin_lock(&r->lock);
	e->request = r->request;
	e->reason = r->lost_reason;
	belay_range_bytes(r->lost_start, r->lost_last, &e->lost_addr, &e->lost_len);
	spin_unlock(&r->lock);
}

static const struct belay_event_ops event_ops = {
	.get = event_get,
	.put = event_put,
	.fill = event_fill,
};

static struct belay_region *region_alloc(struct belay_session *s, unsigned long start,
					 unsigned long last)
{
	struct belay_region *r = kmem_cache_zalloc(region_cache, GFP_KERNEL_ACCOUNT);

	if (!r)
		return NULL;
	kref_init(&r->ref);
	kref_get(&s->ref);
	r->session = s;
	r->state = BELAY_BUILDING;
	r->start = start;
	r->last = last;
	r->it.start = start;
	r->it.last = last;
	r->watch.start = start;
	r->watch.last = last;
	RB_CLEAR_NODE(&r->watch.rb);
	r->made_at = ktime_get_boottime_ns();
	r->dirty_start = ULONG_MAX;
	r->lost_start = ULONG_MAX;
	r->dropped_start = ULONG_MAX;
	spin_lock_init(&r->lock);
	mutex_init(&r->settle);
	INIT_LIST_HEAD(&r->dirty_link);
	belay_extents_init(&r->extents);
	belay_event_init(&r->event, &event_ops);
	return r;
}

/* A place in the session and a validity word, neither visible yet. */
static int reserve(struct belay_region *r)
{
	struct belay_session *s = r->session;
	int ret;

	if (atomic_inc_return(&s->grant->nr_regions) > BELAY_MAX_REGIONS) {
		ret = -EMFILE;
		goto err_count;
	}
	ret = xa_alloc(&s->regions, &r->slot, NULL,
		       XA_LIMIT(0, BELAY_WORDS_MAX - 1), GFP_KERNEL_ACCOUNT);
	if (ret) {
		ret = ret == -EBUSY ? -EMFILE : ret;
		goto err_count;
	}
	ret = belay_word_get(s, r->slot, &r->word);
	if (ret)
		goto err_slot;
	r->generation = (u32)(READ_ONCE(*r->word) >> 32) + 1 ?: 1;
	r->id = belay_region_id(atomic64_inc_return(&last_number), r->slot);
	return 0;
err_slot:
	xa_erase(&s->regions, r->slot);
err_count:
	atomic_dec(&s->grant->nr_regions);
	return ret;
}

/* With a place and a word, and nothing else. */
struct belay_region *belay_region_new(struct belay_session *s, unsigned long start,
				      unsigned long last)
{
	struct belay_region *r = region_alloc(s, start, last);
	int ret;

	if (!r)
		return ERR_PTR(-ENOMEM);
	ret = reserve(r);
	if (!ret)
		return r;
	belay_region_put(r);
	return ERR_PTR(ret);
}

static void unreserve(struct belay_region *r)
{
	xa_erase(&r->session->regions, r->slot);
	atomic_dec(&r->session->grant->nr_regions);
}

static void count_pages(struct belay_region *r, long pages)
{
	struct belay_grant *g = r->session->grant;

	if (r->kind == BELAY_PINNED) {
		atomic64_add(pages, &g->mm->pinned_vm);
		atomic_long_add(pages, &g->pinned_pages);
		belay_stat_add(pinned_bytes, pages * (s64)PAGE_SIZE);
	} else if (r->kind == BELAY_TRACKED) {
		atomic_long_add(pages, &g->tracked_pages);
		belay_stat_add(tracked_bytes, pages * (s64)PAGE_SIZE);
	}
}

/* The number of its lost pages that the module has let go of. */
static unsigned long dropped_pages(const struct belay_region *r)
{
	return r->kind == BELAY_PINNED ?
		belay_range_pages(r->dropped_start, r->dropped_last) : 0;
}

/* Counts @r in the gauges and in the process's VmPin, or no more. Under the settle mutex. */
void belay_region_count(struct belay_region *r, bool up)
{
	long pages = belay_region_pages(r) - dropped_pages(r);

	if (r->counted == up)
		return;
	r->counted = up;
	count_pages(r, up ? pages : -pages);
}

/* A prepared region's pages were never given to a device by us, nor an aborted one's. */
static bool may_be_dirty(const struct belay_region *r)
{
	return r->kind == BELAY_PINNED && r->flags & BELAY_REGION_WRITE && !r->aborted;
}

/*
 * The pages @start to @last are lost, among them all that were before: let go
 * of what is the module's, with its charge.
 */
void belay_region_drop_part(struct belay_region *r, unsigned long start,
			    unsigned long last)
{
	unsigned long before = dropped_pages(r);

	/* Only a pinned region keeps the rest of its pages after a loss. */
	if (r->kind != BELAY_PINNED)
		belay_unpin(r, false);
	belay_unpin_part(r, start, last, may_be_dirty(r));
	/* After, as held.c reads them without a lock. */
	smp_wmb();
	WRITE_ONCE(r->dropped_start, start);
	WRITE_ONCE(r->dropped_last, last);
	belay_wait_wake(r);
	if (r->kind != BELAY_PINNED)
		return;
	if (r->counted)
		count_pages(r, before - dropped_pages(r));
	belay_coverage_shrink(r, start, last);
}

/* Let the module's own pins go; what another driver holds is not touched. */
void belay_region_drop_pins(struct belay_region *r)
{
	belay_unpin(r, may_be_dirty(r));
	belay_wait_wake(r);
	if (r->kind == BELAY_PINNED)
		belay_region_count(r, false);
}

/* All of it is lost, and held by nobody: only its place stays, until it is let go. */
void belay_region_uncharge(struct belay_region *r)
{
	belay_region_count(r, false);
	belay_coverage_drop(r);
	belay_wait_wake(r);
}

/*
 * From here on everybody sees it. It may have been lost already, and the
 * worker be at it; that is as if it had happened an instant later.
 */
void belay_region_publish(struct belay_region *r)
{
	struct belay_session *s = r->session;

	atomic_inc(&s->nr_regions);
	belay_stat_inc(regions);
	if (READ_ONCE(r->state) == BELAY_LIVE)
		belay_stat_inc(registered);
	/* The place is reserved: this allocates nothing. */
	xa_store(&s->regions, r->slot, r, GFP_KERNEL_ACCOUNT);
}

/* An order cannot let go of it: it is watched, or tracked and its driver may have pinned it. */
static bool is_held_by_others(const struct belay_region *r)
{
	return r->kind == BELAY_WATCHED ||
		(r->kind == BELAY_TRACKED && r->state == BELAY_LIVE);
}

/*
 * The word says so before anything is let go; also that of a region that was never
 * live, so that its id is not used again. -ENOENT: it was dead already; -EBUSY. What the
 * worker is to finish is listed here and nowhere later: whoever closes the session
 * comes after this, and takes it off the list again before the grant can end.
 */
static int make_dead(struct belay_region *r, bool by_order)
{
	int ret = 0;

	spin_lock(&r->lock);
	if (r->state == BELAY_DEAD) {
		ret = -ENOENT;
	} else if (by_order && is_held_by_others(r)) {
		ret = -EBUSY;
	} else {
		WRITE_ONCE(r->aborted, r->state == BELAY_BUILDING);
		/* After, as held.c reads both without a lock. */
		smp_store_release(&r->state, BELAY_DEAD);
		belay_word_set(r, r->bits | BELAY_WORD_RELEASED);
		if (by_order)
			belay_settle_queue(r);
	}
	spin_unlock(&r->lock);
	return ret;
}

/*
 * A region of its own for the pages @start to @last of @r: with a place and a
 * word, and what @r was registered with; not yet watched, charged or live.
 */
struct belay_region *belay_region_new_part(struct belay_region *r,
					   unsigned long start, unsigned long last)
{
	struct belay_region *p = belay_region_new(r->session, start, last);
	int ret;

	if (IS_ERR(p))
		return p;
	p->kind = r->kind;
	p->flags = r->flags;
	p->cookie = r->cookie;
	p->unshares = r->unshares;
	p->made_at = r->made_at;
	p->prepared = READ_ONCE(r->prepared);	/* until it is live */
	ret = belay_pin_note_file(p);
	if (!ret)
		return p;
	unreserve(p);
	belay_region_put(p);
	return ERR_PTR(ret);
}

/* @r never was live. */
void belay_region_undo(struct belay_region *r)
{
	belay_notify_remove(r);
	unreserve(r);
	belay_region_put(r);
}

/* @part's pages are pinned, by @r: from now on by @part. Under both settle mutexes. */
void belay_region_take_pins(struct belay_region *part, struct belay_region *r)
{
	WRITE_ONCE(part->held, r->held);
	belay_region_count(part, true);
}

/* Others have taken all of @r's pins but those of @start to @last, which go. */
void belay_region_give_pins(struct belay_region *r, unsigned long start,
			    unsigned long last)
{
	belay_unpin_part(r, start, last, may_be_dirty(r));
	/* After, as held.c reads it without a lock. */
	smp_store_release(&r->held, false);
	/* The charge has gone to the parts (belay_coverage_hand_over()). */
	smp_store_release(&r->charged, false);
	belay_wait_wake(r);
	belay_region_count(r, false);
}

/* Nothing lists it again: it is dead, and no callback runs any more. */
static void unlist(struct belay_region *r)
{
	struct belay_grant *g = r->session->grant;
	bool listed;

	spin_lock(&g->dirty_lock);
	listed = !list_empty(&r->dirty_link);
	list_del_init(&r->dirty_link);
	spin_unlock(&g->dirty_lock);
	if (listed)
		belay_region_put(r);
}

/*
 * The batch that its own thread may be pinning just now stays charged; what comes
 * before is let go, and what comes after will not be pinned. Where that thread is not
 * pinning, it will not begin to.
 */
static void shrink_to_batch(struct belay_region *r)
{
	unsigned long batch = r->start + r->nr_held;

	/* Its last batch is remembered before it says so. */
	if (!smp_load_acquire(&r->pinning)) {
		belay_coverage_drop(r);
		return;
	}
	if (batch > r->start)
		belay_coverage_shrink(r, r->start, batch - 1);
	if (batch <= r->last && r->last - batch >= BELAY_PIN_BATCH)
		belay_coverage_shrink(r, batch + BELAY_PIN_BATCH, r->last);
}

/*
 * @r is dead. Under the settle mutex; a second call does nothing. By order the charge
 * may be left to the worker.
 */
static void let_go_of_pages(struct belay_region *r, bool by_order)
{
	if (r->empty)
		return;
	belay_region_drop_pins(r);
	if (r->aborted && r->registering) {
		if (!by_order)
			shrink_to_batch(r);
		return;
	}
	belay_region_count(r, false);
	if (!by_order)
		belay_coverage_refund(r);
	else if (!belay_coverage_try_refund(r))
		return;
	belay_wait_wake(r);
	r->empty = true;
	/* A dead region is not recalled any more: its request stays as it is. */
	belay_event_gone(&r->event, r->request);
	atomic_dec(&r->session->nr_regions);
	belay_stat_add(regions, -1);
	if (r->aborted)
		return;
	trace_belay_unregister(r);
	belay_stat_inc(unregistered);
}

/*
 * Let go of @r, on which the caller has a reference. When this returns nothing
 * is held or charged, whoever did it; but for what its own thread is registering.
 */
void belay_region_let_go(struct belay_region *r)
{
	bool mine;

	make_dead(r, false);
	mutex_lock(&r->settle);
	let_go_of_pages(r, false);
	mine = !r->finished && !r->registering;
	r->finished |= mine;
	mutex_unlock(&r->settle);
	if (!mine)
		return;
	belay_notify_remove(r);
	unlist(r);
	unreserve(r);
	belay_region_put(r);
}

/*
 * By order: -EBUSY for what another driver holds, or nobody. Returns at once,
 * whatever the region's process does; if somebody is looking at the region, or has the
 * grant's lock, the worker does what is left.
 */
int belay_region_order_release(struct belay_region *r)
{
	int ret = make_dead(r, true);

	if (ret)
		return ret;
	trace_belay_release(r);
	if (belay_region_pages(r) <= RELEASE_AT_ONCE && mutex_trylock(&r->settle)) {
		let_go_of_pages(r, true);
		mutex_unlock(&r->settle);
	}
	belay_stat_inc(released);
	return 0;
}

/* With a reference; also one that is being registered. */
struct belay_region *belay_region_find(struct belay_session *s, u64 id)
{
	struct belay_region *r;

	/* Its last reference goes after it has left, which takes this lock. */
	xa_lock(&s->regions);
	r = xa_load(&s->regions, belay_region_slot(id));
	if (r && r->id == id)
		kref_get(&r->ref);
	else
		r = NULL;
	xa_unlock(&s->regions);
	return r;
}

/* The next region from *@slot on, with a reference. */
struct belay_region *belay_region_next(struct belay_session *s, unsigned long *slot)
{
	struct belay_region *r;

	xa_lock(&s->regions);
	r = xa_find(&s->regions, slot, BELAY_WORDS_MAX, XA_PRESENT);
	if (r)
		kref_get(&r->ref);
	xa_unlock(&s->regions);
	return r;
}
