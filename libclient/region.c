// SPDX-License-Identifier: MIT
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

#define SLOTS_AT_FIRST		64
#define UNREGISTER_AT_ONCE	256	/* 16 bytes of stack each */
#define FLAGS_KNOWN	(BELAY_PIN | BELAY_TRACK | BELAY_WRITE)
#define FLAGS_HOW	(BELAY_PIN | BELAY_TRACK)

static struct bl_region *to_region(struct belay_region *r)
{
	return (struct bl_region *)r;
}

static uint64_t cookie_of(const struct belay *b, uint32_t slot)
{
	return (uint64_t)b->slots[slot].generation << 32 | slot;
}

struct bl_region *bl_region_find(struct belay *b, uint64_t cookie)
{
	uint32_t slot = (uint32_t)cookie;

	if (slot >= b->slot_count || b->slots[slot].generation != cookie >> 32)
		return NULL;
	return b->slots[slot].region;
}

/* Makes room for n more regions. */
static int reserve_slots(struct belay *b, size_t n)
{
	uint32_t old = b->slot_count, i;
	struct bl_slot *slots;
	size_t want;

	if (n <= b->free_slots)
		return 0;
	if (n > BL_NO_SLOT / 4 - old)
		return -ENOMEM;
	want = old + n - b->free_slots;
	if (want < 2 * (size_t)old)
		want = 2 * (size_t)old;
	if (want < SLOTS_AT_FIRST)
		want = SLOTS_AT_FIRST;
	slots = reallocarray(b->slots, want, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (i = old; i < want; i++)
		slots[i] = (struct bl_slot){
			.generation = 1,
			.next_free = i + 1 < want ? i + 1 : b->free_slot,
		};
	b->slots = slots;
	b->slot_count = (uint32_t)want;
	b->free_slot = old;
	b->free_slots += (uint32_t)want - old;
	return 0;
}

static void take_slot(struct belay *b, struct bl_region *region)
{
	uint32_t slot = b->free_slot;

	b->free_slot = b->slots[slot].next_free;
	b->free_slots--;
	b->slots[slot].region = region;
	region->slot = slot;
}

/* Under the lock: the region leaves the handle, and its requests are answered. */
static void detach(struct belay *b, struct bl_region *region)
{
	struct bl_slot *slot = &b->slots[region->slot];

	bl_requests_forget(region);
	slot->region = NULL;
	if (++slot->generation == 0)
		slot->generation = 1;
	slot->next_free = b->free_slot;
	b->free_slot = region->slot;
	b->free_slots++;
}

/*
 * Closing the session's descriptor is not enough to end it: a forked child may
 * have a copy. So the regions go one by one, some at a time.
 */
void bl_regions_unregister_all(struct belay *b)
{
	struct belay_region_entry entries[UNREGISTER_AT_ONCE];
	uint32_t i, n = 0;

	for (i = 0; i < b->slot_count; i++) {
		if (b->slots[i].region)
			entries[n++] = (struct belay_region_entry){
				.region = b->slots[i].region->pub.id,
			};
		if (n == UNREGISTER_AT_ONCE || (n && i + 1 == b->slot_count)) {
			bl_kernel_unregister(b->session_fd, entries, n);
			n = 0;
		}
	}
}

void bl_regions_fini(struct belay *b)
{
	uint32_t i;

	for (i = 0; i < b->slot_count; i++)
		free(b->slots[i].region);
	free(b->slots);
}

static bool flags_are_valid(uint32_t flags)
{
	uint32_t how = flags & FLAGS_HOW;

	return !(flags & ~FLAGS_KNOWN) && (how == BELAY_PIN || how == BELAY_TRACK);
}

static struct bl_region *new_region(struct belay *b, const struct belay_range *range)
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
		free(to_region(ranges[i].region));
		ranges[i].region = NULL;
		ranges[i].error = -ENOMEM;
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
		ranges[i].region = NULL;
		ranges[i].error = -EINVAL;
	}
	for (i = 0; i < n; i++) {
		struct bl_region *region;

		if (!flags_are_valid(ranges[i].flags))
			continue;
		region = new_region(b, &ranges[i]);
		if (!region)
			return give_back(ranges, n);
		ranges[i].region = &region->pub;
		ranges[i].error = 0;
		valid++;
	}
	room = valid < BELAY_MAX_BATCH ? (uint32_t)valid : BELAY_MAX_BATCH;
	if (reserve_slots(b, valid))
		return give_back(ranges, n);
	if (room > 1) {
		*entries = reallocarray(NULL, room, sizeof(**entries));
		if (!*entries)
			return give_back(ranges, n);
	}
	for (i = 0; i < n; i++)
		if (ranges[i].region)
			take_slot(b, to_region(ranges[i].region));
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
		.kind = r->flags & BELAY_PIN ? BELAY_PINNED : BELAY_TRACKED,
		.flags = r->flags & BELAY_WRITE ? BELAY_REGION_WRITE : 0,
	};
}

/* What the kernel says of one region; the word must lie in the mapping. */
static int accept_entry(struct belay *b, struct belay_region *r,
			const struct belay_register_entry *e)
{
	if (e->status)
		return e->status < 0 && e->status >= -4095 ? e->status : -EPROTO;
	if (e->word >= b->words_len / sizeof(uint64_t) || !e->expected)
		return -EPROTO;
	r->word = b->words + e->word;
	r->expected = e->expected;
	r->id = e->region;
	return 0;
}

static void explain(struct belay *b, struct belay_refusal *why, int err,
		    const struct belay_range *range,
		    const struct belay_register_entry *e)
{
	if (err == -EDQUOT && e)
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
		if (ranges[i].region) {
			struct belay_region *r = ranges[i].region;

			fill_entry(b, r, cookie_of(b, to_region(r)->slot),
				   &entries[count++]);
		}
	pthread_mutex_unlock(&b->lock);
	*pos = i;
	if (count)
		err = bl_kernel_register(b->session_fd, entries, count, &done);
	pthread_mutex_lock(&b->lock);
	for (i = first; i < *pos; i++) {
		struct belay_region *r = ranges[i].region;
		struct belay_register_entry *e = NULL;

		if (r) {
			e = k < done ? &entries[k] : NULL;
			k++;
			ranges[i].error = e ? accept_entry(b, r, e) :
					      (err ? err : -EPROTO);
		}
		if (!ranges[i].error) {
			wake |= bl_requests_publish(to_region(r));
			good++;
			continue;
		}
		if (r) {
			detach(b, to_region(r));
			free(to_region(r));
			ranges[i].region = NULL;
		}
		if (*why) {
			explain(b, *why, ranges[i].error, &ranges[i], e);
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

long belay_register_many(struct belay *b, struct belay_range *ranges, size_t n,
			 struct belay_refusal *why)
{
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return bl_refuse(why, -EXDEV,
				 "this handle belongs to the parent of this process: open one here");
	return register_ranges(b, ranges, n, why);
}

int belay_register(struct belay *b, void *addr, size_t len, uint32_t flags,
		   void *user, struct belay_region **ret,
		   struct belay_refusal *why)
{
	struct belay_range range = {
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

int belay_commit(struct belay_region *r)
{
	struct belay_region_entry e = { .region = r->id };
	BL_KEEP_ERRNO;

	if (!bl_is_mine(r->belay))
		return -EXDEV;
	return bl_kernel_commit(r->belay->session_fd, &e);
}

int belay_unregister(struct belay_region *r)
{
	struct belay_region_entry e;
	struct belay *b;
	BL_KEEP_ERRNO;

	if (!r)
		return 0;
	b = r->belay;
	if (!bl_is_mine(b))
		return -EXDEV;
	e = (struct belay_region_entry){ .region = r->id };
	/*
	 * Of a region of this session it cannot fail; if the address space has
	 * ended, nothing is held either.
	 */
	bl_kernel_unregister(b->session_fd, &e, 1);
	pthread_mutex_lock(&b->lock);
	detach(b, to_region(r));
	bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
	free(to_region(r));
	return 0;
}
