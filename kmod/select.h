/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/* select.h - which regions are meant, and what is held of them there */
#ifndef BELAY_SELECT_H
#define BELAY_SELECT_H

#include "belay.h"

struct belay_selection {
	struct belay_select arg;
	kuid_t uid;
	int node;		/* NUMA_NO_NODE: any */
	unsigned long first_pfn, last_pfn;
};

/* Where a walk over regions is. To begin, all but the ids is zero. */
struct belay_cursor {
	u64 session, region;	/* go on after this one */
	struct belay_session *in;
	bool begun;
};

struct belay_held {
	unsigned long pages;
	unsigned long selected_pages;
	bool pinning;		/* and more that cannot be counted yet */
	u64 nodes;		/* as in struct belay_region_row */
	int node;		/* of the first page */
};

/* select.c */
int belay_select_read(struct belay_selection *sel, const struct belay_select *arg,
		      u32 what);
bool belay_select_fits_region(const struct belay_selection *sel, const struct belay_region *r);
bool belay_select_fits_grant(const struct belay_selection *sel, const struct belay_grant *g);
struct belay_session *belay_select_next_session(const struct belay_selection *sel, u64 *after);
struct belay_region *belay_select_next_region(const struct belay_selection *sel,
					      struct belay_cursor *c);
void belay_select_end(struct belay_cursor *c);

/* held.c */
void belay_held_look(struct belay_region *r, const struct belay_selection *sel,
		     struct belay_held *held);
unsigned long belay_held_pages(const struct belay_region *r);
bool belay_held_is_incomplete(const struct belay_region *r);
bool belay_held_any(struct belay_region *r, const struct belay_selection *sel);

#endif
