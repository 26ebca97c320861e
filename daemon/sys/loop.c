/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/sys/log.h"
#include "daemon/sys/loop.h"


static const struct timeval at_once;

/* Each task takes one step; new ones that come meanwhile wait their turn. */
static void on_tasks(int fd, short what, void *arg)
{
	struct bl_tasks turn = TAILQ_HEAD_INITIALIZER(turn);
	struct bl_loop *l = arg;
	struct bl_task *task;

	TAILQ_CONCAT(&turn, &l->tasks, link);
	while ((task = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, task, link);
		if (task->step(task))
			task->fini(task);
		else
			TAILQ_INSERT_TAIL(&l->tasks, task, link);
	}
	if (!TAILQ_EMPTY(&l->tasks))
		evtimer_add(&l->ev_tasks, &at_once);
}

int bl_loop_init(struct bl_loop *l)
{
	*l = (struct bl_loop){ .clock = bl_boottime };
	TAILQ_INIT(&l->tasks);
	l->base = event_base_new();
	if (!l->base)
		return errno ? -errno : -ENOMEM;
	evtimer_assign(&l->ev_tasks, l->base, on_tasks, l);
	return 0;
}

void bl_loop_fini(struct bl_loop *l)
{
	bl_loop_drop_tasks(l);
	if (l->base)
		event_base_free(l->base);
	l->base = NULL;
}

uint64_t bl_loop_now(const struct bl_loop *l)
{
	return l->clock();
}

void bl_loop_fail(struct bl_loop *l, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (l->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bl_error("ending, to be started again: %s", text);
	l->failed = true;
	event_base_loopbreak(l->base);
}

void bl_loop_add(struct bl_loop *l, struct bl_task *task)
{
	TAILQ_INSERT_TAIL(&l->tasks, task, link);
	evtimer_add(&l->ev_tasks, &at_once);
}

void bl_loop_drop_tasks(struct bl_loop *l)
{
	struct bl_task *task;

	while ((task = TAILQ_FIRST(&l->tasks))) {
		TAILQ_REMOVE(&l->tasks, task, link);
		task->fini(task);
	}
}

/* ------------------------------------------------------------------------ */
/* The alarm                                                                 */

static void on_alarm(int fd, short what, void *arg)
{
	struct bl_alarm *a = arg;
	uint64_t expired;

	if (read(fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		bl_error("timer: %s", strerror(errno));
	a->ring(a->arg);
}

int bl_alarm_init(struct bl_alarm *a, struct bl_loop *l, void (*ring)(void *), void *arg)
{
	a->ring = ring;
	a->arg = arg;
	a->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (a->fd < 0)
		return -errno;
	event_assign(&a->ev, l->base, a->fd, EV_READ | EV_PERSIST, on_alarm, a);
	return event_add(&a->ev, NULL) ? -ENOMEM : 0;
}

void bl_alarm_fini(struct bl_alarm *a)
{
	if (a->fd < 0)
		return;
	event_del(&a->ev);
	close(a->fd);
	a->fd = -1;
}

void bl_alarm_set(struct bl_alarm *a, uint64_t when)
{
	struct itimerspec t = {
		.it_value.tv_sec = (time_t)(when / BL_NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(when % BL_NSEC_PER_SEC),
	};

	/* All zero disarms; a time in the past fires at once. */
	timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &t, NULL);
}
