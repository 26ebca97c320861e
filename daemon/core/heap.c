/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdlib.h>

#include "daemon/core/heap.h"

#define ROOM_MIN	64

void bl_heap_fini(struct bl_heap *h)
{
	free(h->nodes);
	*h = (struct bl_heap){ 0 };
}

int bl_heap_reserve(struct bl_heap *h, uint64_t count)
{
	uint32_t room = h->room ? h->room * 2 : ROOM_MIN;
	struct bl_heap_node **nodes;

	if (count <= h->room)
		return 0;
	nodes = realloc(h->nodes, room * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	h->nodes = nodes;
	h->room = room;
	return 0;
}

static void place(struct bl_heap *h, uint32_t i, struct bl_heap_node *n)
{
	h->nodes[i] = n;
	n->index = i;
}

static void up(struct bl_heap *h, uint32_t i, struct bl_heap_node *n)
{
	for (; i && h->nodes[(i - 1) / 2]->wake > n->wake; i = (i - 1) / 2)
		place(h, i, h->nodes[(i - 1) / 2]);
	place(h, i, n);
}

static void down(struct bl_heap *h, uint32_t i, struct bl_heap_node *n)
{
	uint32_t child;

	while ((child = 2 * i + 1) < h->size) {
		if (child + 1 < h->size && h->nodes[child + 1]->wake < h->nodes[child]->wake)
			child++;
		if (h->nodes[child]->wake >= n->wake)
			break;
		place(h, i, h->nodes[child]);
		i = child;
	}
	place(h, i, n);
}

static void take_out(struct bl_heap *h, struct bl_heap_node *n)
{
	uint32_t i = n->index;
	struct bl_heap_node *last = h->nodes[--h->size];

	if (last == n)
		return;
	if (i && h->nodes[(i - 1) / 2]->wake > last->wake)
		up(h, i, last);
	else
		down(h, i, last);
}

void bl_heap_set(struct bl_heap *h, struct bl_heap_node *n, uint64_t wake)
{
	if (n->wake)
		take_out(h, n);
	n->wake = wake;
	if (wake)
		up(h, h->size++, n);
}

struct bl_heap_node *bl_heap_first(const struct bl_heap *h)
{
	return h->size ? h->nodes[0] : NULL;
}
