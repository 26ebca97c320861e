// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The helper thread of BELAY_OPEN_THREAD: waits on the poll descriptor and
 * dispatches. All signals are blocked in it, so that the program's handlers run
 * where they always ran. Its stack is touched when it starts: a revoke request
 * may well come because memory is short, and should find it there.
 */
#include <alloca.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "internal.h"

#define STACK_TOUCHED	(64 * 1024)

/*
 * A program that closes the library's descriptors wakes nobody who waits for them,
 * and leaves nothing to wake the thread with. So it looks for itself whether they
 * are there. This is how long belay_close() may have to wait for it then.
 */
#define LOOK_EVERY	1000	/* ms */

static __attribute__((noinline)) void touch_stack(void)
{
	volatile char *p = alloca(STACK_TOUCHED);
	size_t i;

	for (i = 0; i < STACK_TOUCHED; i += 4096)
		p[i] = 0;
}

/* false: the handle is being closed, or is dead. */
static bool goes_on(struct belay *b)
{
	bool stop;

	pthread_mutex_lock(&b->lock);
	stop = b->stop || bl_descriptors_check(b);
	pthread_mutex_unlock(&b->lock);
	return !stop;
}

static void *run(void *arg)
{
	struct belay *b = arg;
	struct epoll_event ev;

	prctl(PR_SET_NAME, "belay");
	touch_stack();
	while (goes_on(b)) {
		if (epoll_wait(b->poll_fd.fd, &ev, 1, LOOK_EVERY) && goes_on(b))
			bl_dispatch(b);
	}
	return NULL;
}

int bl_thread_start(struct belay *b)
{
	sigset_t all, old;
	int err;

	b->threaded = true;	/* before it runs, as it looks at this, too */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&b->thread, NULL, run, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		b->threaded = false;
	return -err;
}

void bl_thread_stop(struct belay *b)
{
	if (!b->threaded)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	bl_connection_wake(b);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	b->threaded = false;
}
