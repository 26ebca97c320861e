/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * recall.h - asking holders to let go
 *
 * An administrator's order is one reason for it; a drain, a lease's end, memory
 * pressure, a lowered limit or somebody's guarantee are others. Whoever has a reason
 * gives an order, and is told what came of it.
 */
#ifndef BL_RECALL_H
#define BL_RECALL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/protocol.h"

struct bl_state;

struct bl_recall_outcome {
	int err;		/* 0; or -errno, and the text says what was not done */
	bool decided;		/* it was waited for: the fates below are known */
	uint64_t regions;	/* asked for */
	uint64_t bytes;
	uint64_t refused;	/* tracked regions, which cannot be released by order */
	uint64_t let_go;	/* released by their holder in time */
	uint64_t released;	/* by order at the deadline */
	uint64_t killed;	/* processes */
	uint64_t kept;		/* overdue, still held */
	char text[BL_TEXT_MAX];	/* for a person, or "" */
};

struct bl_recall_order {
	struct bl_selection what;
	uint32_t reason;	/* enum belay_reason */
	uint32_t escalation;	/* enum bl_escalation; default: as configured */
	uint64_t deadline;	/* CLOCK_BOOTTIME, ns */
	bool wait;		/* done() when all is decided, else when all have been asked */
	/* Called once, later, if bl_recall() has returned 0; also at the daemon's end. */
	void (*done)(struct bl_state *st, const struct bl_recall_outcome *o, void *arg);
	void *arg;
};

/*
 * bl_recall - all regions that are selected are asked for
 *
 * @why: room for a sentence of BL_TEXT_MAX bytes
 *
 * Returns 0; or -errno with the sentence, and nothing is done: -EINVAL: the selection
 * makes no sense; -ENOENT: it names a thing that there is not; -ESHUTDOWN: belayd ends.
 */
int bl_recall(struct bl_state *st, const struct bl_recall_order *order, char *why);

#endif
