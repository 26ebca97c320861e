/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What the storm and its clients share: counters, in memory that all processes see.
 */
#ifndef TESTS_STRESS_STORM_H
#define TESTS_STRESS_STORM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

/*
 * Starts a program in a process group of its own, without a shell, which would take its
 * time; what it says goes to the file @to. -1: it could not be started.
 */
pid_t storm_start(const char *const *words, const char *to);

#define STRESSORS	26
#define STRESS_AT_ONCE	2

/* All 0 at first. */
struct stress {
	pid_t pid;
	double since;
	unsigned int at_work[STRESS_AT_ONCE];
	unsigned int deck[STRESSORS], left;	/* of it, before all come again */
	bool ended, cut;			/* those at work */
	bool worked[STRESSORS];
	unsigned int turns, turns_cut, turns_bad;
};

/* Others have their turn if those at work have ended. */
void stress_turn(struct stress *s, uint32_t *seed);
void stress_end(struct stress *s);
/* There were as many turns, and few failed. */
void stress_judge(const struct stress *s, unsigned int at_least);

/* Until it is killed, or there is no daemon for a while. */
void storm_client(struct storm *s, uint32_t seed);

#endif
