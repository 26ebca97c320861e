// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* meet.c - see meet.h */
#include <sched.h>
#include <string.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"
#include "tests/stress/meet.h"

/* From the arrival of the last one to the start: they must have seen it by then. */
#define LEAD		20000
#define TOOK_MIN	2000
#define TOOK_MAX	2000000000

int64_t meet_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void spin(const struct meet *m, int64_t until)
{
	while (meet_now() < until)
		/* The second and the third share a processor. */
		if (m->n > 2)
			sched_yield();
}

/* The last to arrive says when it starts. */
static int64_t rendezvous(struct meet *m)
{
	unsigned int turns = 0;
	int64_t start;

	if (__atomic_add_fetch(&m->arrived, 1, __ATOMIC_ACQ_REL) == m->n)
		__atomic_store_n(&m->start, meet_now() + LEAD, __ATOMIC_RELEASE);
	while (!(start = __atomic_load_n(&m->start, __ATOMIC_ACQUIRE)))
		if (++turns % 64 == 0)
			sched_yield();
	return start;
}

static void take_part(struct meet *m, unsigned int who)
{
	struct meet_place *at = &m->at[who];

	spin(m, rendezvous(m) + at->delay);
	at->began = meet_now();
	at->result = at->act.run(at->act.arg, who);
	at->ended = meet_now();
}

struct seat {
	struct meet *m;
	unsigned int who;
};

static void *thread_run(void *arg)
{
	struct seat seat = *(struct seat *)arg;
	struct meet *m = seat.m;

	pthread_barrier_wait(&m->begin);
	bk_run_on_cpu(1);
	for (;;) {
		pthread_barrier_wait(&m->begin);
		if (m->over)
			return NULL;
		take_part(m, seat.who);
		pthread_barrier_wait(&m->end);
	}
}

void meet_begin(struct meet *m, unsigned int n, uint32_t seed)
{
	struct seat seats[MEET_MAX];
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->n = n;
	m->seed = seed;
	pthread_barrier_init(&m->begin, NULL, n);
	pthread_barrier_init(&m->end, NULL, n);
	for (i = 1; i < n; i++) {
		seats[i] = (struct seat){ m, i };
		CHECK_EQ(pthread_create(&m->threads[i], NULL, thread_run, &seats[i]), 0);
	}
	/* They have read their seats. */
	pthread_barrier_wait(&m->begin);
	bk_run_on_cpu(0);
	meet_anew(m);
}

void meet_end(struct meet *m)
{
	unsigned int i;

	m->over = true;
	pthread_barrier_wait(&m->begin);
	for (i = 1; i < m->n; i++)
		pthread_join(m->threads[i], NULL);
}

void meet_anew(struct meet *m)
{
	unsigned int i;

	for (i = 0; i < MEET_MAX; i++)
		m->at[i] = (struct meet_place){ .took = 10 * TOOK_MIN };
	m->rounds = m->overlapped = 0;
	memset(m->before, 0, sizeof(m->before));
}

/* From -@width to @width. */
static int64_t around(struct meet *m, int64_t width)
{
	return (int64_t)(bk_random(&m->seed) % (2 * width + 1)) - width;
}

/* What one that blocks takes is not its own. */
static int64_t took(const struct meet *m, unsigned int who)
{
	return m->at[who].act.blocks ? TOOK_MIN : m->at[who].took;
}

static void choose_delays(struct meet *m)
{
	int64_t least = 0, first = took(m, 0), own, shorter;
	unsigned int i;

	m->at[0].delay = 0;
	m->aim = bk_random(&m->seed) % 3;
	for (i = 1; i < m->n; i++) {
		own = took(m, i);
		shorter = own < first ? own : first;
		switch (m->aim) {
		case MEET_ANYWHERE:
			m->at[i].delay = around(m, (first + own) / 2) + (first - own) / 2;
			break;
		case MEET_BEGINNING:
			m->at[i].delay = around(m, 2 * shorter);
			break;
		case MEET_ENDING:
			m->at[i].delay = m->at[i].centre + around(m, 2 * shorter);
			break;
		}
		if (m->at[i].delay < least)
			least = m->at[i].delay;
	}
	for (i = 0; i < m->n; i++)
		m->at[i].delay -= least;
}

static bool is_before(const struct meet_place *a, const struct meet_place *b)
{
	return (a->act.blocks && !b->act.blocks ? a->began : a->ended) <
		(b->act.blocks && !a->act.blocks ? b->began : b->ended);
}

static void count(struct meet *m)
{
	const struct meet_place *at = m->at;
	bool overlap = true;
	unsigned int i, j;

	for (i = 0; i < m->n; i++) {
		overlap &= at[i].began < at[0].ended && at[0].began < at[i].ended;
		for (j = 0; j < m->n; j++)
			m->before[i][j] += i != j && is_before(&at[i], &at[j]);
	}
	m->overlapped += overlap;
	m->rounds++;
}

/* The centres go to where either order of the ends is as likely. */
static void adapt(struct meet *m)
{
	struct meet_place *at;
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		at = &m->at[i];
		at->took += (at->ended - at->began - at->took) / (m->rounds == 1 ? 1 : 8);
		at->took = at->took < TOOK_MIN ? TOOK_MIN : at->took;
		at->took = at->took > TOOK_MAX ? TOOK_MAX : at->took;
	}
	for (i = 1; m->rounds == 1 && i < m->n; i++)
		m->at[i].centre = took(m, 0) - took(m, i);
	for (i = 1; m->aim == MEET_ENDING && i < m->n; i++)
		m->at[i].centre += (is_before(&m->at[0], &m->at[i]) ? -1 : 1) *
			(took(m, 0) + took(m, i)) / 16;
}

void meet(struct meet *m, const struct meet_act *acts)
{
	unsigned int i;

	for (i = 0; i < m->n; i++)
		m->at[i].act = acts[i];
	m->arrived = 0;
	m->start = 0;
	choose_delays(m);
	pthread_barrier_wait(&m->begin);
	take_part(m, 0);
	pthread_barrier_wait(&m->end);
	count(m);
	adapt(m);
}

bool meet_happened(const struct meet *m)
{
	unsigned int i, j;

	for (i = 0; i < m->n; i++)
		for (j = 0; j < m->n; j++)
			if (i != j && !m->before[i][j])
				return false;
	return m->overlapped;
}
