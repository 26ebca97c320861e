/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * map.h - from a pair of numbers to a thing
 *
 * The map does not own what it points to. {0} is an empty map; a map that
 * never held anything owns no memory.
 */
#ifndef BL_MAP_H
#define BL_MAP_H

#include <stddef.h>
#include <stdint.h>

struct bl_map_slot {
	uint64_t a, b;
	void *value;		/* NULL: free */
};

struct bl_map {
	struct bl_map_slot *slots;
	size_t size;		/* a power of two, or 0 */
	size_t used;
};

void bl_map_fini(struct bl_map *map);

/* The thing, or NULL */
void *bl_map_get(const struct bl_map *map, uint64_t a, uint64_t b);

/* Adds or replaces; @value is not NULL. 0 or -ENOMEM */
int bl_map_put(struct bl_map *map, uint64_t a, uint64_t b, void *value);

/* Takes out what there is; returns it, or NULL. Never fails. */
void *bl_map_remove(struct bl_map *map, uint64_t a, uint64_t b);

#endif
