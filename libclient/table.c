// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Which region a revoke request is about.
 *
 * A region is found by its id, in a hash table. But a request can arrive before
 * the call that makes the region has returned and said what its id is. What the
 * library does know by then is the cookie that it registers the region with: the
 * number of a slot, and the slot's generation, so that it never means another's.
 *
 * What a trim leaves of a region has the cookie of the whole, so a slot belongs to
 * a family: the region that was registered, and what became of it. While members
 * are on their way, a request for an id that nobody has yet is parked in the slot;
 * each member that arrives takes its own, and when none is on its way any more,
 * the rest are about something that is gone.
 *
 * Everything here is called under belay.lock.
 */
#include <stdlib.h>

#include "internal.h"

#define SLOTS_AT_FIRST		64
#define BUCKETS_AT_FIRST	64	/* a power of 2, as it stays */

/* The lowest bits of an id are the region's place in its session. */
static struct bl_region **bucket_of(const struct belay *b, uint64_t id)
{
	return &b->buckets[(uint32_t)id & (b->bucket_count - 1)];
}

static void hash(struct belay *b, struct bl_region *region)
{
	struct bl_region **bucket = bucket_of(b, region->pub.id);

	region->next_in_bucket = *bucket;
	*bucket = region;
}

static void unhash(struct belay *b, struct bl_region *region)
{
	struct bl_region **p = bucket_of(b, region->pub.id);

	while (*p != region)
		p = &(*p)->next_in_bucket;
	*p = region->next_in_bucket;
}

static int reserve_buckets(struct belay *b, size_t n)
{
	size_t count = b->bucket_count ? b->bucket_count : BUCKETS_AT_FIRST;
	struct bl_region **buckets, *region;

	if (n > UINT32_MAX / 4 - b->region_count)
		return -ENOMEM;
	while (count < b->region_count + n)
		count *= 2;
	if (count == b->bucket_count)
		return 0;
	buckets = calloc(count, sizeof(struct bl_region *));
	if (!buckets)
		return -ENOMEM;
	free(b->buckets);
	b->buckets = buckets;
	b->bucket_count = (uint32_t)count;
	LIST_FOREACH(region, &b->regions, in_handle)
		if (region->life == BL_LIVE)
			hash(b, region);
	return 0;
}

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

int bl_table_reserve(struct belay *b, size_t regions, size_t slots)
{
	int err = reserve_buckets(b, regions);

	return err ? err : reserve_slots(b, slots);
}

uint64_t bl_table_cookie(const struct belay *b, const struct bl_region *region)
{
	return (uint64_t)b->slots[region->slot].generation << 32 | region->slot;
}

struct bl_slot *bl_table_slot(struct belay *b, uint64_t cookie)
{
	uint32_t slot = (uint32_t)cookie;

	if (slot >= b->slot_count || b->slots[slot].generation != cookie >> 32)
		return NULL;
	return &b->slots[slot];
}

struct bl_region *bl_table_find(struct belay *b, uint64_t id, uint64_t cookie)
{
	struct bl_region *region = b->bucket_count ? *bucket_of(b, id) : NULL;

	while (region && region->pub.id != id)
		region = region->next_in_bucket;
	return region && bl_table_cookie(b, region) == cookie ? region : NULL;
}

void bl_table_expect(struct belay *b, struct bl_region *region,
		     const struct bl_region *whole)
{
	if (whole) {
		region->slot = whole->slot;
	} else {
		region->slot = b->free_slot;
		b->free_slot = b->slots[region->slot].next_free;
		b->free_slots--;
	}
	b->slots[region->slot].members++;
	b->slots[region->slot].coming++;
	b->region_count++;
	region->life = BL_COMING;
	LIST_INSERT_HEAD(&b->regions, region, in_handle);
}

/* One that was on its way has arrived, or never will. */
static void one_less_coming(struct belay *b, struct bl_slot *slot)
{
	struct belay_request *req, *next;

	if (--slot->coming)
		return;
	req = slot->parked;
	slot->parked = NULL;
	for (; req; req = next) {
		next = req->next_parked;
		bl_request_orphan(req);
	}
}

bool bl_table_arrived(struct belay *b, struct bl_region *region)
{
	struct bl_slot *slot = &b->slots[region->slot];
	struct belay_request **p = &slot->parked, *req;
	bool any = false;

	region->life = BL_LIVE;
	hash(b, region);
	while ((req = *p)) {
		if (req->message.region != region->pub.id) {
			p = &req->next_parked;
			continue;
		}
		*p = req->next_parked;
		bl_request_adopt(region, req);
		any = true;
	}
	one_less_coming(b, slot);
	return any;
}

void bl_table_leave(struct belay *b, struct bl_region *region)
{
	struct bl_slot *slot = &b->slots[region->slot];

	if (region->life == BL_OVER)
		return;
	bl_requests_forget(region);
	if (region->life == BL_LIVE)
		unhash(b, region);
	else
		one_less_coming(b, slot);
	region->life = BL_OVER;
	if (--slot->members)
		return;
	if (++slot->generation == 0)
		slot->generation = 1;
	slot->next_free = b->free_slot;
	b->free_slot = region->slot;
	b->free_slots++;
}

void bl_table_remove(struct belay *b, struct bl_region *region)
{
	bl_table_leave(b, region);
	LIST_REMOVE(region, in_handle);
	b->region_count--;
}
