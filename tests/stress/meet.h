/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Two or three threads that do one thing each at the same time, round after round.
 *
 *	struct meet m;
 *
 *	meet_begin(&m, 2, seed);
 *	for (...) {
 *		(make what they meet over)
 *		meet(&m, (struct meet_act[]){ { run_a, x }, { run_b, x } });
 *		(m.at[0].result, m.at[1].result)
 *	}
 *	meet_end(&m);
 *
 * It does not do to start them together: one takes ten times as long as the other. So
 * each starts after a delay, by chance: anywhere that the calls can touch each other,
 * near to where they begin together, and near to where they end together, which is
 * found by moving it until either is as often done first. What came of it is counted,
 * and meet_happened() says whether every order was seen, and calls that overlapped: a
 * race that did not meet has shown nothing.
 */
#ifndef TESTS_STRESS_MEET_H
#define TESTS_STRESS_MEET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define MEET_MAX	3

struct meet_act {
	int (*run)(void *arg, unsigned int who);
	void *arg;
	/* It returns only when another is done: what counts is when it began. */
	bool blocks;
};

struct meet_place {
	struct meet_act act;
	int result;
	int64_t delay;		/* all times: ns of CLOCK_MONOTONIC */
	int64_t began, ended;
	int64_t took;		/* about */
	int64_t centre;		/* a delay with which it ends when the first one does */
};

enum meet_aim { MEET_ANYWHERE, MEET_BEGINNING, MEET_ENDING };

struct meet {
	unsigned int n;
	uint32_t seed;
	enum meet_aim aim;	/* of this round */
	bool over;
	unsigned int arrived;
	int64_t start;
	struct meet_place at[MEET_MAX];
	pthread_t threads[MEET_MAX];
	pthread_barrier_t begin, end;
	/* What was seen. */
	unsigned int rounds;
	unsigned int before[MEET_MAX][MEET_MAX];	/* the first index's was done first */
	unsigned int overlapped;			/* rounds in which the others did with the first */
};

int64_t meet_now(void);

void meet_begin(struct meet *m, unsigned int n, uint32_t seed);
/* Place 0 is the calling thread. */
void meet(struct meet *m, const struct meet_act *acts);
void meet_end(struct meet *m);
/* Forget what was seen, and how they were to be delayed: others meet now. */
void meet_anew(struct meet *m);
/* Every order of two was seen, and calls that overlapped. */
bool meet_happened(const struct meet *m);

#endif
