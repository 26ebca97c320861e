/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * job.h - who waits for the outcome of many requests
 *
 * Each request counts once, also one that is KEPT, which stays open. A process that was
 * killed counts once, however many regions it had. A job belongs to who made it until
 * bl_job_start().
 */
#ifndef BL_JOB_H
#define BL_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/map.h"

enum bl_outcome {
	BL_LET_GO,	/* by its holder */
	BL_RELEASED,	/* by order, at the deadline */
	BL_KILLED,	/* with its processes */
	BL_KEPT,	/* the deadline has passed, it is still held */
};

struct bl_job {
	uint64_t regions;
	uint64_t bytes;
	uint64_t refused;
	uint64_t let_go;
	uint64_t released;
	uint64_t killed;	/* processes */
	uint64_t kept;
	uint64_t pending;
	struct bl_map killed_grants;	/* (grant, 0): how many of it are counted, and 1 */
	bool started;
	bool dropped;		/* belayd ends: what was pending is not known */
	void (*done)(struct bl_job *job, void *arg);	/* NULL: nobody waits any more */
	void *arg;
};

struct bl_job *bl_job_new(void);

/* Nothing will be added: done() is called when all is decided, perhaps now. */
void bl_job_start(struct bl_job *job, void (*done)(struct bl_job *, void *),
		  void *arg);

/* The waiter has left; done() is not called. */
void bl_job_abandon(struct bl_job *job);

/* The waiters of one request: a list that owns its links. */
struct bl_wait {
	struct bl_wait *next;
	struct bl_job *job;
};

/* One request more is waited for; 0 or -ENOMEM. */
int bl_job_wait(struct bl_job *job, struct bl_wait **waits);
/* A single link that was made for nothing goes; NULL is nothing. */
void bl_job_unwait(struct bl_wait *w);
/* The outcome of their request is known. Jobs that wait for no other request are over. */
void bl_job_decide(struct bl_wait **waits, enum bl_outcome outcome);
/* The same, but the outcome will not be known. */
void bl_job_drop(struct bl_wait **waits);
/* So many of a grant's processes were killed until now. */
void bl_job_count_kills(struct bl_wait *waits, uint64_t grant, unsigned int killed);

#endif
