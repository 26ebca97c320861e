/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Batches of the largest size, for tests: BELAY_MAX_BATCH regions of a page each. The
 * argument lies in memory that outlives the caller: the module writes `done` back even
 * to a process that is being killed, which proves where it was.
 *
 *	struct bk_batches d;
 *
 *	bk_batches_begin(&d);
 *	bk_batch_register(&d, BELAY_PINNED);
 *	bk_batch_fill(&d, BELAY_CHECK);
 *	...				(spoil some of d.x->list)
 *	bk_batch_call_all(&d, BELAY_CHECK);
 *	bk_batch_expect(&d, BELAY_CHECK, 17, -ENOENT);
 *	bk_batches_end(&d);
 */
#ifndef TESTS_KERNEL_LIB_BK_BATCH_H
#define TESTS_KERNEL_LIB_BK_BATCH_H

#include "tests/kernel/lib/bk.h"

/* What no status is. */
#define BK_UNTOUCHED	1

struct bk_batch {
	unsigned long cmd;	/* the last one called */
	/* All commands on arrays have an argument of this shape. */
	struct belay_regions arg;
	union {
		struct belay_register_entry reg[BELAY_MAX_BATCH];
		struct belay_region_entry list[BELAY_MAX_BATCH];
		struct belay_recall_entry recall[BELAY_MAX_BATCH];
	};
};

struct bk_batches {
	struct bk b;
	struct bk_batch *x;
	char *p;		/* a page for each */
	uint64_t *ids;		/* the regions over them */
};

/* Zeroed, populated, and the same for children. */
void *bk_shared(size_t len);

void bk_batches_begin(struct bk_batches *d);
void bk_batches_end(struct bk_batches *d);

/* Entries for that command, all good: on page i, or region ids[i]. */
void bk_batch_fill(struct bk_batches *d, unsigned long cmd);
void bk_batch_fill_register(struct bk_batches *d, uint32_t kind);

/* The first n entries in one call. */
int bk_batch_call(struct bk_batches *d, unsigned long cmd, unsigned int n);
void bk_batch_call_all(struct bk_batches *d, unsigned long cmd);
int bk_batch_status(const struct bk_batches *d, unsigned long cmd, unsigned int i);
void bk_batch_expect(const struct bk_batches *d, unsigned long cmd, unsigned int i,
		     int expected);

/* All of them, in one call; sets ids. */
void bk_batch_register(struct bk_batches *d, uint32_t kind);
void bk_batch_unregister(struct bk_batches *d);

#endif
