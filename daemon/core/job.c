/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdlib.h>

#include "daemon/core/job.h"

struct bl_job *bl_job_new(void)
{
	return calloc(1, sizeof(struct bl_job));
}

static void finish(struct bl_job *job)
{
	if (!job->started || job->pending)
		return;
	if (job->done)
		job->done(job, job->arg);
	bl_map_fini(&job->killed_grants);
	free(job);
}

void bl_job_start(struct bl_job *job, void (*done)(struct bl_job *, void *),
		  void *arg)
{
	job->started = true;
	job->done = done;
	job->arg = arg;
	finish(job);
}

void bl_job_abandon(struct bl_job *job)
{
	bl_job_start(job, NULL, NULL);
}

int bl_job_wait(struct bl_job *job, struct bl_wait **waits)
{
	struct bl_wait *w = malloc(sizeof(*w));

	if (!w)
		return -ENOMEM;
	*w = (struct bl_wait){ .next = *waits, .job = job };
	*waits = w;
	job->pending++;
	return 0;
}

void bl_job_unwait(struct bl_wait *w)
{
	if (w)
		w->job->pending--;
	free(w);
}

static void count(struct bl_job *job, enum bl_outcome outcome)
{
	switch (outcome) {
	case BL_LET_GO:
		job->let_go++;
		break;
	case BL_RELEASED:
		job->released++;
		break;
	case BL_KILLED:
		break;	/* counted by process, at the kill */
	case BL_KEPT:
		job->kept++;
		break;
	}
	job->pending--;
	finish(job);
}

void bl_job_decide(struct bl_wait **waits, enum bl_outcome outcome)
{
	struct bl_wait *w;

	while ((w = *waits)) {
		*waits = w->next;
		count(w->job, outcome);
		free(w);
	}
}

void bl_job_drop(struct bl_wait **waits)
{
	struct bl_wait *w;

	while ((w = *waits)) {
		*waits = w->next;
		w->job->dropped = true;
		w->job->pending--;
		finish(w->job);
		free(w);
	}
}

void bl_job_count_kills(struct bl_wait *waits, uint64_t grant, unsigned int killed)
{
	uintptr_t n = (uintptr_t)killed + 1, counted;
	struct bl_wait *w;

	for (w = waits; w; w = w->next) {
		counted = (uintptr_t)bl_map_get(&w->job->killed_grants, grant, 0);
		/* Without memory a process may be counted twice: so be it. */
		bl_map_put(&w->job->killed_grants, grant, 0, (void *)n);
		w->job->killed += n - (counted ? counted : 1);
	}
}
