// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A grant is bound to an address space under all of its locks. A client sees to it that
 * one of them is held for ever: a page fault that writes to a page of its own FUSE server,
 * which is being written back and never will be. The policy owner must not wait for that.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk_fuse.h"
#include "tests/lib/tap.h"

/* A few tries of the locks take some ten milliseconds. */
#define SOON	1.0

static struct bk b;

/* The kernel may write it back sooner, so that it is this write which waits. */
static void *write_back(void *arg)
{
	*(volatile char *)arg = 1;
	msync(arg, BK_PAGE, MS_SYNC);
	return NULL;
}

static void *write_again(void *arg)
{
	*(volatile char *)arg = 2;
	return NULL;
}

struct client {
	struct bk_steps *s;
	struct bk_fuse file;
};

/* Ends with its server, of which it has the faults. */
static void client_run(void *arg)
{
	pthread_t threads[2];
	struct client *c = arg;
	int fd = bk_fuse_open(&c->file, FUSE_WRITE, BK_PAGE);
	char *p = CHECK_SYS(mmap(NULL, BK_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));

	CHECK_EQ(pthread_create(&threads[0], NULL, write_back, p), 0);
	bk_await(c->file.s, 1);
	CHECK_EQ(pthread_create(&threads[1], NULL, write_again, p), 0);
	usleep(300000);
	bk_step(c->s, 1);
	bk_await(c->s, 2);
	/* Until then both wait. */
	CHECK_NE(pthread_tryjoin_np(threads[1], NULL), 0);
	bk_step(c->file.s, 2);
	pthread_join(threads[1], NULL);
	pthread_join(threads[0], NULL);
	bk_step(c->s, 3);
	bk_await(c->s, 4);
	munmap(p, BK_PAGE);
	close(fd);
	bk_fuse_end(&c->file);
}

static struct asking {
	pid_t pid;
	int ret;
	double took;
	bool done;
} asking;

static void *ask_run(void *arg)
{
	struct belay_ctl_grant g;
	double start = tap_now();

	(void)arg;
	asking.ret = bk_ask_grant(b.ctl, b.account, asking.pid, BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	asking.took = tap_now() - start;
	__atomic_store_n(&asking.done, true, __ATOMIC_RELEASE);
	return NULL;
}

TEST(stuck_fault, "a grant for a process with a page fault that never ends is refused soon, others are made, and it is made when the fault ends")
{
	struct client *c = CHECK_SYS(mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	struct bk other;
	pthread_t thread;
	bool in_time;

	bk_begin(&b);
	c->s = bk_steps();
	asking = (struct asking) { .pid = tap_spawn(client_run, c) };
	bk_await(c->s, 1);
	CHECK_EQ(pthread_create(&thread, NULL, ask_run, NULL), 0);
	usleep((useconds_t)(1e6 * SOON * TAP_PATIENCE));
	in_time = __atomic_load_n(&asking.done, __ATOMIC_ACQUIRE);
	/* Before anything is judged: whoever waits for that fault cannot be killed. */
	if (!in_time)
		bk_step(c->s, 2);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK(in_time);
	CHECK_EQ(asking.ret, -EAGAIN);
	tap_diag("refused after %.0f ms", 1e3 * asking.took);

	bk_join(&other, &b);
	bk_leave(&other);

	bk_step(c->s, 2);
	bk_await(c->s, 3);
	ask_run(NULL);
	CHECK_GE(asking.ret, 0);
	close(asking.ret);
	bk_step(c->s, 4);
	tap_join(asking.pid);
	bk_end(&b);
}

TAP_MAIN()
