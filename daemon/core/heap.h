/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * heap.h - which of many is to be woken first
 *
 * A node lies in what is to be woken. Room for all nodes is reserved beforehand, so that
 * setting a time never fails.
 */
#ifndef BL_HEAP_H
#define BL_HEAP_H

#include <stdint.h>

struct bl_heap_node {
	uint64_t wake;		/* 0: never, it is not in the heap */
	uint32_t index;
};

/* {0} is an empty heap, and owns no memory. */
struct bl_heap {
	struct bl_heap_node **nodes;
	uint32_t size;
	uint32_t room;
};

void bl_heap_fini(struct bl_heap *h);

/* Room for @count nodes; 0 or -ENOMEM */
int bl_heap_reserve(struct bl_heap *h, uint64_t count);

/* At another time, or with 0 never. A node that is new is {0}; there is room for it. */
void bl_heap_set(struct bl_heap *h, struct bl_heap_node *n, uint64_t wake);

/* The one that is first; NULL: none */
struct bl_heap_node *bl_heap_first(const struct bl_heap *h);

#endif
