/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What can be done to one region, its session, grant and account, by its own process
 * and by the policy owner; and what must be so after several did at once.
 *
 * A world has one region, of a kind that changes from round to round, over eight
 * pages of private or shared memory. What the acts have in common is said by flags,
 * so that the rules about them need not know every pair:
 *
 *  - an act may fail only in the ways that the ABI names, and with some errnos only
 *    where another act is the reason for them;
 *  - of the acts that take the region away for good (release by order, trim) at most
 *    one succeeds; and if one says that it came too late, somebody else was there;
 *  - a word that was to turn has turned when the call returns; one that had no reason
 *    to is valid again, for parts as for the region;
 *  - a wait ends when nothing is held, and not before;
 *  - a recall that succeeded is heard of again when the region has gone;
 *  - in the end nothing is held or charged.
 */
#ifndef TESTS_STRESS_ACTS_H
#define TESTS_STRESS_ACTS_H

#include "tests/kernel/lib/bk.h"
#include "tests/stress/meet.h"

#define ENDS	(1U << 0)	/* lets the region go if it succeeds */
#define TAKES	(1U << 1)	/* ... and then nobody else did */
#define SURELY	(1U << 2)	/* afterwards the region has gone, whoever did it */
#define LOSES	(1U << 3)	/* all of its memory */
#define REPLACES (1U << 4)	/* one page */
#define STIRS	(1U << 5)	/* announces what is no loss */
#define FORKS	(1U << 6)	/* slow, and pages that nobody has pinned are replaced */
#define RECALLS	(1U << 7)
#define CLOSES	(1U << 8)	/* the session, and the grant with its last */
#define OWNS	(1U << 9)	/* another policy owner comes */
#define LIMITS	(1U << 10)
#define REMOVES	(1U << 11)	/* the account */
#define HEARS	(1U << 12)	/* deals with events */
#define WAITS	(1U << 13)
#define ORDERS	(1U << 14)	/* that pinned regions go */
#define ALWAYS	(~0U)

struct world;

struct act {
	const char *name;
	int (*run)(struct world *w, unsigned int who);
	uint32_t flags;
	/* What it may be told, and which other act can be the reason. */
	struct {
		int err;
		uint32_t because;
	} may[6];
};

struct world {
	struct bk b;		/* the control file; a session that stays, with words */
	uint64_t below;		/* the account of what they meet over */
	int fd;			/* the session, as it was before anybody closed it */
	uint64_t session;
	uint64_t grant;
	const uint64_t *words;	/* NULL where it is closed: a mapping would keep it open */
	int keeper;		/* another session of the grant, or -1 */
	int reader;
	int zeroes;		/* /dev/zero */
	char *p, *moved;
	int file;		/* behind p, -1: private */
	uint32_t kind;
	bool prepared;
	struct bk_region r;
	int64_t pins;		/* that the system held before */

	unsigned int n;
	const struct act *acts[MEET_MAX];
	int results[MEET_MAX];
	uint32_t flags;		/* of all acts */
	struct bk_region parts[MEET_MAX][2], extra[MEET_MAX];
	bool is_sure;		/* in the end the region holds nothing, whoever is first */
	bool waits_for_all;	/* of the grant */
	unsigned int round;
	unsigned int tally[MEET_MAX];	/* how often each succeeded */
};

extern const struct act acts[];
extern const unsigned int nr_acts;

void world_begin(struct world *w);
void world_end(struct world *w);
/* From now on these meet. */
void world_of(struct world *w, unsigned int n, const struct act *const *list);
/* One round. */
void world_meet(struct world *w, struct meet *m);
/* Nothing is held any more by what met last. */
void world_expect_nothing(struct world *w);
const struct act *act_named(const char *name);

#endif
