/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * loop.h - the one loop that everything runs in, its clock, long tasks and the alarm
 */
#ifndef BL_LOOP_H
#define BL_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

/*
 * Something longer than one turn of the loop may take: step() does a part of
 * it, and returns true when it is finished. fini() frees what it points to.
 */
struct bl_task {
	TAILQ_ENTRY(bl_task) link;
	bool (*step)(struct bl_task *task);
	void (*fini)(struct bl_task *task);
	void *arg;		/* for these two */
};
TAILQ_HEAD(bl_tasks, bl_task);

struct bl_loop {
	struct event_base *base;
	uint64_t (*clock)(void);	/* CLOCK_BOOTTIME, ns */
	struct bl_tasks tasks;
	struct event ev_tasks;
	bool failed;		/* it has ended for that */
};

/* 0 or -errno; after either, bl_loop_fini(). */
int bl_loop_init(struct bl_loop *l);
void bl_loop_fini(struct bl_loop *l);

uint64_t bl_loop_now(const struct bl_loop *l);
/* It cannot go on: the loop ends, and with it the daemon, to be started again. */
__attribute__((format(printf, 2, 3)))
void bl_loop_fail(struct bl_loop *l, const char *fmt, ...);

void bl_loop_add(struct bl_loop *l, struct bl_task *task);
/* None of them takes another step. */
void bl_loop_drop_tasks(struct bl_loop *l);

/* A timer of CLOCK_BOOTTIME: what passes while the machine sleeps has passed when it wakes. */
struct bl_alarm {
	int fd;			/* -1: none */
	struct event ev;
	void (*ring)(void *arg);
	void *arg;
};

int bl_alarm_init(struct bl_alarm *a, struct bl_loop *l, void (*ring)(void *), void *arg);
void bl_alarm_fini(struct bl_alarm *a);
/* When it rings next; 0: never; a time that has passed: at once */
void bl_alarm_set(struct bl_alarm *a, uint64_t when);

#endif
