// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * All the ends that a region, a session and a process can come to, at the same time
 * and in every order: unregister, munmap, close, exit, exec and kill on the one
 * side; recall, release by order and dealing with events on the other. What remains
 * is checked after every round: nothing.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define REGIONS		12
#define ROUNDS		300

enum ending { CLOSE, EXIT, EXEC, KILLED, ENDINGS };

struct round {
	struct bk b;		/* its ctl and account */
	struct bk_steps *s;	/* value[0] session, value[1..]: regions' ids */
	uint32_t seed;
	enum ending ending;
	unsigned int pages[REGIONS];
	uint32_t kind[REGIONS];
};

struct client {
	struct round *round;
	struct bk me;
	struct bk_region r[REGIONS];
	int order[REGIONS];
};

/* Nothing that it may be told by then is an error; anything else is. */
static void unregister_racing(int fd, uint64_t region)
{
	int err = bk_unregister(fd, region);

	if (err && err != -ENOENT && err != -EBADF)
		FAIL("unregister: %s", strerror(-err));
}

static void *unregister_run(void *arg)
{
	struct client *c = arg;
	unsigned int i;

	for (i = 0; i < REGIONS; i += 2)
		unregister_racing(c->me.fd, c->r[c->order[i]].id);
	return NULL;
}

static void *unmap_run(void *arg)
{
	struct client *c = arg;
	unsigned int i;

	for (i = REGIONS; i--;) {
		munmap(c->r[c->order[i]].addr, c->r[c->order[i]].len);
		if (i % 3 == 0)
			unregister_racing(c->me.fd, c->r[c->order[i]].id);
	}
	return NULL;
}

static void client_run(void *arg)
{
	struct client c = { .round = arg };
	struct round *x = arg;
	pthread_t a, b;
	unsigned int i, j;
	int swap;

	bk_join(&c.me, &x->b);
	for (i = 0; i < REGIONS; i++) {
		c.r[i] = bk_hold(&c.me, bk_anon(PAGES(x->pages[i]), 1), PAGES(x->pages[i]),
				 x->kind[i], W);
		x->s->value[1 + i] = c.r[i].id;
		c.order[i] = i;
	}
	for (i = REGIONS - 1; i; i--) {
		j = bk_random(&x->seed) % (i + 1);
		swap = c.order[i];
		c.order[i] = c.order[j];
		c.order[j] = swap;
	}
	x->s->value[0] = c.me.session;
	bk_step(x->s, 1);
	while (__atomic_load_n(&x->s->now, __ATOMIC_ACQUIRE) < 2)
		sched_yield();

	CHECK_EQ(pthread_create(&a, NULL, unregister_run, &c), 0);
	CHECK_EQ(pthread_create(&b, NULL, unmap_run, &c), 0);
	for (i = bk_random(&x->seed) % 2000; i; i--)
		__asm__ volatile("" ::: "memory");
	if (x->ending == CLOSE)
		close(c.me.fd);
	if (x->ending == EXIT)
		_exit(0);
	if (x->ending == EXEC)
		execl("/bin/true", "true", NULL);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	_exit(0);
}

/* The policy's side: orders that may come too late. */
static void order_around(struct round *x)
{
	unsigned int i, n = bk_random(&x->seed) % 16;
	int err;

	for (i = 0; i < n; i++) {
		uint64_t region = x->s->value[1 + bk_random(&x->seed) % REGIONS];

		switch (bk_random(&x->seed) % 4) {
		case 0:
		case 1:
			err = bk_recall(x->b.ctl, BELAY_CTL_RECALL, x->s->value[0], region,
					i + 1);
			break;
		case 2:
			err = bk_recall(x->b.ctl, BELAY_CTL_RELEASE, x->s->value[0], region, 0);
			break;
		default:
			bk_drain_events(x->b.ctl);
			err = 0;
		}
		if (err && err != -ENOENT && err != -EBUSY && err != -ESTALE)
			FAIL("an order was answered: %s", strerror(-err));
	}
}

static void expect_nothing_left(struct round *x, unsigned int number)
{
	double end = tap_now() + 10;
	struct belay_level l[2];

	for (;;) {
		bk_drain_events(x->b.ctl);
		bk_levels(x->b.fd, l, 2);
		if (!bk_sysfs("regions") && bk_sysfs("grants") == 1 &&
		    !bk_sysfs("pinned_bytes") && !bk_sysfs("tracked_bytes") &&
		    !l[1].usage_bytes && !l[1].usage_regions)
			return;
		if (tap_now() > end)
			FAIL("round %u (ending %d): %llu regions, %llu grants, %llu pinned, %llu charged",
			     number, x->ending, (unsigned long long)bk_sysfs("regions"),
			     (unsigned long long)bk_sysfs("grants"),
			     (unsigned long long)bk_sysfs("pinned_bytes"),
			     (unsigned long long)l[1].usage_bytes);
		usleep(500);
	}
}

static void one_round(struct round *x, unsigned int number)
{
	unsigned int i;
	int status;
	pid_t pid;

	x->ending = bk_random(&x->seed) % ENDINGS;
	for (i = 0; i < REGIONS; i++) {
		x->pages[i] = 1 + bk_random(&x->seed) % 24;
		x->kind[i] = bk_random(&x->seed) % 3 ? BELAY_PINNED : BELAY_TRACKED;
	}
	bk_step(x->s, 0);
	pid = tap_spawn(client_run, x);
	bk_await(x->s, 1);
	if (bk_random(&x->seed) % 3 == 0)
		order_around(x);
	bk_step(x->s, 2);
	order_around(x);
	if (x->ending == KILLED) {
		usleep(bk_random(&x->seed) % 500);
		kill(pid, SIGKILL);
	}
	order_around(x);
	waitpid(pid, &status, 0);
	if (x->ending != KILLED)
		CHECK_EQ(status, 0);
	expect_nothing_left(x, number);
}

TEST_TIMEOUT(ends, "unregister, munmap, close, exit, exec, kill -9, recall and release by order in every order, 300 rounds: nothing is left", 120)
{
	struct round x = { .seed = bk_seed(), .s = bk_steps() };
	uint64_t registered = bk_seen("registered");
	unsigned int i, rounds = bk_rounds(ROUNDS);
	int64_t pins;

	bk_begin(&x.b);
	pins = bk_pins();
	for (i = 0; i < rounds; i++)
		one_round(&x, i);
	CHECK_GE(bk_seen("registered") - registered, rounds * REGIONS);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_end(&x.b);
}

/* ---- sessions of one grant, from threads of one process --------------------------------- */

struct churn {
	struct bk b;
	char *p;
	uint32_t seed;
	unsigned int rounds;
};

/* Makes a session, registers over the others' pages, closes it or unregisters. */
static void *churn_run(void *arg)
{
	struct churn *c = arg;
	uint32_t seed = c->seed + (uint32_t)(uintptr_t)&seed;
	struct bk_region r[4];
	unsigned int i, j;
	int fd;

	for (i = 0; i < c->rounds; i++) {
		fd = bk_grant(c->b.ctl, c->b.account, getpid(), 0, 0, NULL);
		for (j = 0; j < 4; j++)
			CHECK_OK(bk_register(fd, c->p + PAGES(bk_random(&seed) % 24),
					     PAGES(1 + bk_random(&seed) % 8),
					     j % 2 ? BELAY_PINNED : BELAY_TRACKED, W, &r[j]));
		if (bk_random(&seed) % 2)
			for (j = 0; j < 4; j++)
				CHECK_OK(bk_unregister(fd, r[j].id));
		close(fd);
	}
	return NULL;
}

TEST_TIMEOUT(sessions, "sessions of one grant made, used and closed by 4 threads at once: the grant stays, and the charge ends at 0", 60)
{
	struct churn c = { .seed = bk_seed(), .rounds = 400 };
	pthread_t threads[4];
	unsigned int i;

	bk_begin(&c.b);
	c.p = bk_anon(PAGES(32), 1);
	for (i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, churn_run, &c), 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_SOON(bk_sysfs("regions") == 0, 5);
	CHECK_EQ(bk_usage_bytes(c.b.fd), 0);
	CHECK_EQ(bk_sysfs("grants"), 1);
	CHECK_EQ(bk_sysfs("sessions"), 1);
	CHECK_EQ(bk_vm_pin(), 0);
	bk_end(&c.b);
}

TAP_MAIN()
