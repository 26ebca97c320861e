// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Regions: registered with one system call, without the daemon.
 *
 * All memory that a registration needs is allocated before the system call, so
 * that nothing is registered when it runs out. A region has its slot before
 * the call, too: a revoke request can arrive before the call returns.
 */
#include <stdlib.h>

#include "internal.h"
#include "kernel.h"

#define UNREGISTER_AT_ONCE	256	/* 32 bytes of stack each */
#define FLAGS_HOW	(BELAY_PIN | BELAY_TRACK | BELAY_WATCH)
#define FLAGS_KNOWN	(FLAGS_HOW | BELAY_WRITE | BELAY_TRANSIENT)

/*
 * Closing the session's descriptor is not enough to end it: a forked child may
 * have a copy. So the regions go one by one, some at a time.
 */
void bl_regions_unregister_all(struct belay *b)
{
	struct belay_region_entry entries[UNREGISTER_AT_ONCE];
	struct bl_region *region;
	uint32_t n = 0;

	LIST_FOREACH(region, &b->regions, in_handle) {
		if (region->life == BL_LIVE)
			entries[n++] = (struct belay_region_entry){
				.region = region->pub.id,
			};
		if (n == UNREGISTER_AT_ONCE || (n && !LIST_NEXT(region, in_handle))) {
			/* What this leaves goes with the session's last reference. */
			if (bl_session_check(b) ||
			    bl_kernel_unregister(b->session_fd.fd, entries, n))
				return;
			n = 0;
		}
	}
}

void bl_regions_fini(struct belay *b)
{
	struct bl_region *region;

	while ((region = LIST_FIRST(&b->regions))) {
		LIST_REMOVE(region, in_handle);
		free(region);
	}
	free(b->buckets);
	free(b->slots);
}

static bool flags_are_valid(uint32_t flags)
{
	uint32_t how = flags & FLAGS_HOW;

	return !(flags & ~FLAGS_KNOWN) &&
	       (how == BELAY_PIN || how == BELAY_TRACK || how == BELAY_WATCH);
}

/* A newer program may know more fields; this library obeys those it knows. */
static bool range_is_known(const struct belay_range *range, size_t size)
{
	const char *p = (const char *)range;
	size_t i;

	for (i = sizeof(*range); i < size; i++)
		if (p[i])
			return false;
	return range->size == size;
}

struct bl_region *bl_region_new(struct belay *b, const struct belay_range *range)
{
	struct bl_region *region = calloc(1, sizeof(*region));

	if (!region)
		return NULL;
	region->pub.belay = b;
	region->pub.addr = range->addr;
	region->pub.len = range->len;
	region->pub.flags = range->flags;
	region->pub.user = range->user;
	LIST_INIT(&region->requests);
	return region;
}

/* Frees what allocate() made before it ran out of memory. */
static int give_back(struct belay_range *ranges, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(bl_region(bl_range(ranges, i)->region));
		bl_range(ranges, i)->region = NULL;
		bl_range(ranges, i)->error = -ENOMEM;
	}
	return -ENOMEM;
}

/*
 * Under the lock: an object and a slot for each range with valid flags, and
 * *ret_room entries for the system call (*entries has one already); or nothing, and -ENOMEM.
 */
static int allocate(struct belay *b, struct belay_range *ranges, size_t n,
		    struct belay_register_entry **entries, uint32_t *ret_room)
{
	size_t i, valid = 0;
	uint32_t room;

	for (i = 0; i < n; i++) {
		bl_range(ranges, i)->region = NULL;
		bl_range(ranges, i)->error = -EINVAL;
	}
	for (i = 0; i < n; i++) {
		struct belay_range *range = bl_range(ranges, i);
		struct bl_region *region;

		if (!flags_are_valid(range->flags) || !range_is_known(range, ranges->size))
			continue;
		region = bl_region_new(b, range);
		if (!region)
			return give_back(ranges, n);
		range->region = &region->pub;
		range->error = 0;
		valid++;
	}
	room = valid < BELAY_MAX_BATCH ? (uint32_t)valid : BELAY_MAX_BATCH;
	if (bl_table_reserve(b, valid, valid))
		return give_back(ranges, n);
	if (room > 1) {
		*entries = reallocarray(NULL, room, sizeof(**entries));
		if (!*entries)
			return give_back(ranges, n);
	}
	for (i = 0; i < n; i++)
		if (bl_range(ranges, i)->region)
			bl_table_expect(b, bl_region(bl_range(ranges, i)->region), NULL);
	if (room)
		*ret_room = room;
	return 0;
}

static void fill_entry(const struct belay *b, const struct belay_region *r,
		       uint64_t cookie, struct belay_register_entry *e)
{
	*e = (struct belay_register_entry){
		.addr = (uintptr_t)r->addr,
		.len = r->len,
		.cookie = cookie,
		.kind = r->flags & BELAY_PIN ? BELAY_PINNED :
			r->flags & BELAY_TRACK ? BELAY_TRACKED : BELAY_WATCHED,
		.flags = (r->flags & BELAY_WRITE ? BELAY_REGION_WRITE : 0) |
			 (r->flags & BELAY_TRANSIENT ? BELAY_REGION_TRANSIENT : 0),
	};
}

int bl_region_accept(struct belay *b, struct belay_region *r, uint32_t word,
		     uint64_t expected, uint64_t id)
{
	if (word >= b->words_len / sizeof(uint64_t) || !expected)
		return -EPROTO;
	r->word = b->words + word;
	r->expected = expected;
	r->id = id;
	return 0;
}

static int accept_entry(struct belay *b, struct belay_region *r,
			const struct belay_register_entry *e)
{
	if (e->status)
		return e->status < 0 && e->status >= -4095 ? e->status : -EPROTO;
	return bl_region_accept(b, r, e->word, e->expected, e->region);
}

static void explain(struct belay *b, struct belay_refusal *why, int err,
		    const struct belay_range *range, size_t size,
		    const struct belay_register_entry *e)
{
	if (!range_is_known(range, size))
		bl_refuse(why, err, "ranges: each must have the size of the first, and nothing in it that this release of libbelay (%s) does not know",
			  BELAY_VERSION);
	else if (err == -EDQUOT && e)
		bl_refuse_limit(b, why, e);
	else
		bl_refuse_range(why, err, range->addr, range->len, range->flags);
}

/*
 * Registers the next chunk of ranges, at most room of those that have an
 * object; *pos moves on. The entries are the caller's. Returns how many were
 * registered, or what the system call said if it handled none.
 */
static long register_chunk(struct belay *b, struct belay_range *ranges, size_t n,
			   size_t *pos, struct belay_register_entry *entries,
			   uint32_t room, struct belay_refusal **why)
{
	size_t first = *pos, i;
	uint32_t count = 0, done = 0, k = 0;
	bool wake = false;
	long good = 0;
	int err = 0;

	pthread_mutex_lock(&b->lock);
	for (i = first; i < n && count < room; i++)
		if (bl_range(ranges, i)->region) {
			struct belay_region *r = bl_range(ranges, i)->region;

			fill_entry(b, r, bl_table_cookie(b, bl_region(r)),
				   &entries[count++]);
		}
	pthread_mutex_unlock(&b->lock);
	*pos = i;
	if (count)
		err = bl_kernel_register(b->session_fd.fd, entries, count, &done);
	pthread_mutex_lock(&b->lock);
	for (i = first; i < *pos; i++) {
		struct belay_region *r = bl_range(ranges, i)->region;
		struct belay_register_entry *e = NULL;

		if (r) {
			e = k < done ? &entries[k] : NULL;
			k++;
			bl_range(ranges, i)->error = e ? accept_entry(b, r, e) :
					      (err ? err : -EPROTO);
		}
		if (!bl_range(ranges, i)->error) {
			wake |= bl_table_arrived(b, bl_region(r));
			good++;
			continue;
		}
		if (r) {
			bl_table_remove(b, bl_region(r));
			free(bl_region(r));
			bl_range(ranges, i)->region = NULL;
		}
		if (*why) {
			explain(b, *why, bl_range(ranges, i)->error, bl_range(ranges, i),
				ranges->size, e);
			*why = NULL;
		}
	}
	if (wake)
		bl_connection_wake(b);
	bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
	return err && !done ? err : good;
}

static long register_ranges(struct belay *b, struct belay_range *ranges, size_t n,
			    struct belay_refusal *why)
{
	struct belay_register_entry one, *entries = &one;
	long got, good = 0;
	size_t pos = 0;
	uint32_t room = 1;
	int err;

	pthread_mutex_lock(&b->lock);
	err = allocate(b, ranges, n, &entries, &room);
	pthread_mutex_unlock(&b->lock);
	if (err)
		return bl_refuse(why, err, "out of memory");
	while (pos < n) {
		got = register_chunk(b, ranges, n, &pos, entries, room, &why);
		if (got >= 0)
			good += got;
		else if (!err)
			err = (int)got;
	}
	if (entries != &one)
		free(entries);
	return good || !err ? good : err;
}

/* None could be tried. */
static long refuse_all(struct belay_range *ranges, size_t n, int err,
		       struct belay_refusal *why)
{
	size_t i;

	for (i = 0; i < n; i++) {
		bl_range(ranges, i)->region = NULL;
		bl_range(ranges, i)->error = err;
	}
	return bl_refuse_handle(why, err);
}

long belay_register_many(struct belay *b, struct belay_range *ranges, size_t n,
			 struct belay_refusal *why)
{
	int err = bl_refusal_check(why);
	BL_KEEP_ERRNO;

	if (err)
		return err;
	if (n && !bl_size_is_valid(ranges->size, sizeof(*ranges)))
		return bl_refuse(why, -EINVAL,
				 "ranges: size must be sizeof(struct belay_range)");
	err = bl_is_mine(b) ? bl_session_use(b) : -EXDEV;
	if (err)
		return refuse_all(ranges, n, err, why);
	return register_ranges(b, ranges, n, why);
}

int belay_register(struct belay *b, void *addr, size_t len, uint32_t flags,
		   void *user, struct belay_region **ret,
		   struct belay_refusal *why)
{
	struct belay_range range = {
		.size = sizeof(range),
		.addr = addr, .len = len, .flags = flags, .user = user,
	};
	long n = belay_register_many(b, &range, 1, why);

	if (n < 0)
		return (int)n;
	if (range.error)
		return range.error;
	*ret = range.region;
	return 0;
}

int belay_commit(struct belay_region *r, struct belay_refusal *why)
{
	struct belay_region_entry e = { .region = r->id };
	int err = bl_refusal_check(why);
	BL_KEEP_ERRNO;

	if (err)
		return err;
	err = bl_is_mine(r->belay) ? bl_session_use(r->belay) : -EXDEV;
	if (!err)
		err = bl_kernel_commit(r->belay->session_fd.fd, &e);
	return err ? bl_refuse_commit(why, err, r) : 0;
}

/* Of a region of this handle, not twice in one call. Under the lock. */
static int claim(struct belay *b, const struct belay_range *range, size_t size)
{
	struct belay_region *r = range->region;

	if (range->size != size)
		return -EINVAL;
	if (!r)
		return 0;
	if (r->belay != b || bl_region(r)->going)
		return -EINVAL;
	bl_region(r)->going = true;
	return 0;
}

/*
 * What the kernel says of a whole call. If the address space has ended, nothing is
 * held any more, as after success.
 */
static int unregister_entries(struct belay *b, struct belay_region_entry *entries,
			      uint32_t count)
{
	int err = bl_session_check(b);

	if (!err)
		err = bl_kernel_unregister(b->session_fd.fd, entries, count);
	return err == -ESHUTDOWN ? 0 : err;
}

/*
 * Unregisters the next regions, as many as fit; *pos moves on. Those that are
 * over already have nothing left in the kernel. Of a region of this session it
 * cannot fail, but the session may have become unreachable; then the regions stay.
 * Returns how many are gone.
 */
static long unregister_chunk(struct belay *b, struct belay_range *ranges, size_t n,
			     size_t *pos)
{
	struct belay_region_entry entries[UNREGISTER_AT_ONCE];
	size_t first = *pos, i;
	struct bl_region *region;
	uint32_t count = 0;
	long good = 0;
	int err = 0;

	pthread_mutex_lock(&b->lock);
	for (i = first; i < n && count < UNREGISTER_AT_ONCE; i++) {
		region = bl_region(bl_range(ranges, i)->region);
		if (region && !bl_range(ranges, i)->error && region->life == BL_LIVE)
			entries[count++] = (struct belay_region_entry){
				.region = region->pub.id,
			};
	}
	pthread_mutex_unlock(&b->lock);
	*pos = i;
	if (count)
		err = unregister_entries(b, entries, count);
	pthread_mutex_lock(&b->lock);
	for (i = first; i < *pos; i++) {
		region = bl_region(bl_range(ranges, i)->region);
		if (!region || bl_range(ranges, i)->error)
			continue;
		if (err && region->life == BL_LIVE) {
			bl_range(ranges, i)->error = err;
			region->going = false;
			continue;
		}
		bl_table_remove(b, region);
		free(region);
		bl_range(ranges, i)->region = NULL;
		good++;
	}
	bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
	return good;
}

long belay_unregister_many(struct belay *b, struct belay_range *ranges, size_t n)
{
	size_t i, pos = 0;
	long good = 0;
	BL_KEEP_ERRNO;

	if (n && !bl_size_is_valid(ranges->size, sizeof(*ranges)))
		return -EINVAL;
	if (!bl_is_mine(b)) {
		for (i = 0; i < n; i++)
			bl_range(ranges, i)->error = -EXDEV;
		return -EXDEV;
	}
	pthread_mutex_lock(&b->lock);
	for (i = 0; i < n; i++)
		bl_range(ranges, i)->error = claim(b, bl_range(ranges, i), ranges->size);
	pthread_mutex_unlock(&b->lock);
	while (pos < n)
		good += unregister_chunk(b, ranges, n, &pos);
	return good;
}

int belay_unregister(struct belay_region *r)
{
	struct belay_range range = { .size = sizeof(range), .region = r };
	long n;

	if (!r)
		return 0;
	n = belay_unregister_many(r->belay, &range, 1);
	return n < 0 ? (int)n : range.error;
}
