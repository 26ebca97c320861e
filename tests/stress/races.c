// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Everything that can be done to a region, its session, its grant and its account,
 * against everything else, at the same time and in both orders. The acts and the
 * rules are in acts.h, how they are made to meet is in meet.h; what ends a process,
 * or the module, is in races_ends.c.
 *
 * WITH=close in the environment: against that alone. BELAY_PART=1/3: against
 * itself and every third of the others.
 */
#include "tests/lib/tap.h"
#include "tests/stress/acts.h"

#define ROUNDS	400
/* Until both orders were seen. */
#define PATIENCE 20

/* How many of what takes longest. */
static unsigned int rounds_of(const struct world *w)
{
	return bk_rounds(w->flags & FORKS ? ROUNDS / 8 : ROUNDS);
}

static void race(struct world *w, struct meet *m, unsigned int n, const struct act *const *list)
{
	unsigned int rounds, most;

	world_of(w, n, list);
	meet_anew(m);
	rounds = rounds_of(w);
	most = rounds * PATIENCE;
	while (m->rounds < rounds || (!meet_happened(m) && m->rounds < most))
		world_meet(w, m);
	world_expect_nothing(w);
}

static void race_two(struct world *w, struct meet *m, const struct act *a, const struct act *b)
{
	race(w, m, 2, (const struct act *[]){ a, b });
	tap_diag("%s and %s: %u rounds, done first %u and %u, overlapping %u; success %u and %u",
		 a->name, b->name, m->rounds, m->before[0][1], m->before[1][0], m->overlapped,
		 w->tally[0], w->tally[1]);
	CHECK(meet_happened(m));
}

/* Against itself and all that come after it in the table. */
static void race_with_all(const char *name)
{
	const struct act *a = act_named(name), *b;
	const char *with = getenv("WITH");
	struct world w;
	struct meet m;

	world_begin(&w);
	meet_begin(&m, 2, bk_seed());
	for (b = a; b < acts + nr_acts; b++)
		if (with ? !strcmp(with, b->name) : a == b || bk_in_part(a - acts + (b - acts)))
			race_two(&w, &m, a, b);
	meet_end(&m);
	world_end(&w);
}

#define RACES(name)								\
	TEST_TIMEOUT(race_##name, #name ", against itself and everything further down: each comes first, and nothing is left", 300) \
	{									\
		race_with_all(#name);						\
	}

RACES(unregister)
RACES(release)
RACES(trim)
RACES(recall)
RACES(close)
RACES(check)
RACES(commit)
RACES(register)
RACES(munmap)
RACES(mremap)
RACES(replace)
RACES(stir)
RACES(fork)
RACES(wait)
RACES(list)
RACES(events)
RACES(end)
RACES(limits)
RACES(grant)
RACES(remove)
RACES(owner)
RACES(unload)

/* ---- three at once --------------------------------------------------------------- */

static void race_three(struct world *w, struct meet *m, const char *const names[3])
{
	const struct act *list[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		list[i] = act_named(names[i]);
	race(w, m, 3, list);
	tap_diag("%s, %s and %s: %u rounds, first before second %u, %u, first before third %u, %u, first overlapping both %u; success %u, %u and %u",
		 names[0], names[1], names[2], m->rounds, m->before[0][1], m->before[1][0],
		 m->before[0][2], m->before[2][0], m->overlapped, w->tally[0], w->tally[1],
		 w->tally[2]);
	CHECK(meet_happened(m));
}

/*
 * The windows that two cannot open: one is in the middle of something, a second ends
 * it, a third makes use of the end.
 */
static const char *const threes[][3] = {
	/* The order comes to its end after the grant has, and the grant after it was told. */
	{ "release", "close", "events" },
	{ "recall", "close", "events" },
	{ "release", "unregister", "check" },
	{ "munmap", "close", "events" },
	{ "munmap", "check", "close" },
	{ "close", "grant", "remove" },
	{ "close", "owner", "events" },
	/* Pages change hands. */
	{ "trim", "munmap", "recall" },
	{ "trim", "wait", "unregister" },
	{ "trim", "release", "list" },
	{ "trim", "replace", "check" },
	{ "trim", "register", "munmap" },
	{ "trim", "fork", "release" },
	/* Pages go while others are looking at them. */
	{ "register", "munmap", "close" },
	{ "register", "replace", "unregister" },
	{ "commit", "replace", "release" },
	{ "commit", "stir", "trim" },
	{ "stir", "check", "release" },
	{ "munmap", "wait", "events" },
	{ "limits", "register", "remove" },
};

TEST_TIMEOUT(three, "three at once, where two open a window for a third: every order of two is seen, and nothing is left", 300)
{
	struct world w;
	struct meet m;
	unsigned int i;

	world_begin(&w);
	meet_begin(&m, 3, bk_seed());
	for (i = 0; i < sizeof(threes) / sizeof(threes[0]); i++)
		if (bk_in_part(i))
			race_three(&w, &m, threes[i]);
	meet_end(&m);
	world_end(&w);
}

TAP_MAIN()
