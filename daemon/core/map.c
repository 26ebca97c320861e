/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Open addressing with linear probing. Removal moves later entries of the run
 * back into the hole, so that there are no tombstones and lookups stay short.
 */
#include <errno.h>
#include <stdlib.h>

#include "daemon/core/map.h"

#define SIZE_MIN	16

static size_t hash(const struct bl_map *map, uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b * 0x9e3779b97f4a7c15ULL)) * 0xbf58476d1ce4e5b9ULL;

	h ^= h >> 31;
	return (size_t)(h * 0x94d049bb133111ebULL >> 20) & (map->size - 1);
}

void bl_map_fini(struct bl_map *map)
{
	free(map->slots);
	*map = (struct bl_map){ 0 };
}

/* Its slot, or the free one where it belongs. The map has free slots. */
static struct bl_map_slot *find(const struct bl_map *map, uint64_t a, uint64_t b)
{
	size_t i = hash(map, a, b);

	while (map->slots[i].value &&
	       (map->slots[i].a != a || map->slots[i].b != b))
		i = (i + 1) & (map->size - 1);
	return &map->slots[i];
}

void *bl_map_get(const struct bl_map *map, uint64_t a, uint64_t b)
{
	return map->size ? find(map, a, b)->value : NULL;
}

static int grow(struct bl_map *map)
{
	struct bl_map bigger = {
		.size = map->size ? map->size * 2 : SIZE_MIN,
		.used = map->used,
	};
	size_t i;

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (i = 0; i < map->size; i++)
		if (map->slots[i].value)
			*find(&bigger, map->slots[i].a, map->slots[i].b) =
				map->slots[i];
	free(map->slots);
	*map = bigger;
	return 0;
}

int bl_map_put(struct bl_map *map, uint64_t a, uint64_t b, void *value)
{
	struct bl_map_slot *slot;
	int err;

	/* Replacing needs no memory: callers rely on that. */
	if (bl_map_get(map, a, b)) {
		find(map, a, b)->value = value;
		return 0;
	}
	if ((map->used + 1) * 4 > map->size * 3) {
		err = grow(map);
		if (err)
			return err;
	}
	slot = find(map, a, b);
	map->used++;
	*slot = (struct bl_map_slot){ a, b, value };
	return 0;
}

void *bl_map_remove(struct bl_map *map, uint64_t a, uint64_t b)
{
	size_t mask = map->size - 1, hole, i, home;
	struct bl_map_slot *slot;
	void *value;

	if (!map->size)
		return NULL;
	slot = find(map, a, b);
	value = slot->value;
	if (!value)
		return NULL;
	hole = (size_t)(slot - map->slots);
	for (i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
		home = hash(map, map->slots[i].a, map->slots[i].b);
		/* May it move to the hole: is the hole between its home and it? */
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].value = NULL;
	map->used--;
	return value;
}
