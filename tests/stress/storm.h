/* SPDX-License-Identifier: MIT */
/*
 * What the storm and its clients share: counters, in memory that all processes see.
 */
#ifndef TESTS_STRESS_STORM_H
#define TESTS_STRESS_STORM_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/kernel/lib/bk.h"

#define STORM_FILES	4	/* memory of all clients, which the storm truncates */
#define STORM_FILE_PAGES 64

enum storm_count {
	CLIENTS,		/* that were started */
	PINNED, TRACKED, WATCHED,	/* registered */
	COMMITTED, COMMIT_AGAIN,
	OVER_LIMIT,		/* refused */
	NOT_THERE,		/* refused: what is to be registered has been truncated */
	COMPARED,		/* valid, and the page was looked at */
	LOST,			/* found lost */
	LOST_AT_ONCE,		/* by what the client itself has just done */
	TRIMMED,
	REQUESTS,		/* answered */
	RELEASED,		/* by order, because it was not */
	FORKED,
	COUNTS
};

struct storm {
	uint64_t count[COUNTS];
	uint64_t of_kind[BK_KINDS];	/* registered */
	int files[STORM_FILES];
};

static inline void storm_count(struct storm *s, enum storm_count what)
{
	__atomic_add_fetch(&s->count[what], 1, __ATOMIC_RELAXED);
}

static inline uint64_t storm_counted(const struct storm *s, enum storm_count what)
{
	return __atomic_load_n(&s->count[what], __ATOMIC_RELAXED);
}

/* Until it is killed, or there is no daemon for a while. */
void storm_client(struct storm *s, uint32_t seed);

#endif
