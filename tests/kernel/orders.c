// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * An order of the policy owner waits for no client, nor does one user's registration for
 * another's: what they take while a client's threads do the dearest that they can. The
 * machine is emulated and shared, so middles are compared, of calls made turn about.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

static struct bk b, me;

/* ---- a client that holds its grant's lock -------------------------------------------- */

#define THREADS	7
/* So many regions on each page, and one for each thread over all. */
#define DEEP	(BELAY_MAX_OVERLAP - THREADS - 1)
#define WIDE	400
#define SMALL	16

static char *crowd, *small;

static void *crowd_run(void *arg)
{
	struct bk_region r;

	for (;;)
		if (!bk_register(me.fd, crowd, PAGES(WIDE), BELAY_PINNED, W, &r))
			bk_unregister(me.fd, r.id);
	return NULL;
}

static void *trim_run(void *arg)
{
	struct bk_region r, parts[2];
	char *p = bk_anon(PAGES(3), 1);

	for (;;) {
		if (bk_register(me.fd, p, PAGES(3), BELAY_PINNED, W, &r))
			continue;
		if (bk_trim(me.fd, &r, PAGES(1), PAGES(1), parts)) {
			bk_unregister(me.fd, r.id);
			continue;
		}
		bk_unregister(me.fd, parts[0].id);
		bk_unregister(me.fd, parts[1].id);
	}
	return NULL;
}

static void fill_crowd(void)
{
	static struct belay_register_entry e[WIDE];
	struct belay_register r = {
		.size = sizeof(r),
		.entries = (uintptr_t)e,
		.count = WIDE,
		.entry_size = sizeof(e[0]),
	};
	unsigned int i, n;

	for (n = 0; n < DEEP; n++) {
		for (i = 0; i < WIDE; i++)
			e[i] = (struct belay_register_entry) {
				.addr = (uintptr_t)crowd + PAGES(i),
				.len = PAGES(1),
				.kind = BELAY_PINNED,
				.flags = W,
			};
		CHECK_OK(bk_ioctl(me.fd, BELAY_REGISTER, &r));
		CHECK_EQ(e[WIDE - 1].status, 0);
	}
}

static void crowd_client(void *arg)
{
	struct bk_steps *s = arg;
	struct bk_region r;
	pthread_t thread;
	unsigned int i;

	bk_join(&me, &b);
	crowd = bk_anon(PAGES(WIDE), 1);
	small = bk_anon(PAGES(SMALL), 1);
	fill_crowd();
	for (i = 0; i < SMALL; i++) {
		CHECK_OK(bk_register(me.fd, small + PAGES(i), PAGES(1), BELAY_PINNED, W, &r));
		s->value[i] = r.id;
	}
	s->now = (uint32_t)me.session;
	for (i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&thread, NULL, i % 3 == 2 ? trim_run : crowd_run, NULL), 0);
	pause();
}

static pid_t start_crowd(struct bk_steps *s)
{
	pid_t pid = tap_spawn(crowd_client, s);

	CHECK_SOON(__atomic_load_n(&s->now, __ATOMIC_ACQUIRE), 100);
	CHECK_SYS(setpriority(PRIO_PROCESS, 0, -20));
	usleep(500000);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST_TIMEOUT(release, "a release by order does not wait for threads of the client that register over 48,000 regions", 200)
{
	struct bk_steps *s = bk_steps();
	double times[SMALL], start, middle;
	unsigned int i;
	pid_t pid;

	bk_begin(&b);
	pid = start_crowd(s);
	for (i = 0; i < SMALL; i++) {
		start = tap_now();
		CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, s->now, s->value[i], 0));
		times[i] = tap_now() - start;
		usleep(20000);
	}
	middle = bk_median(times, SMALL);
	tap_diag("release: middle %.1f ms, longest %.1f ms", 1e3 * middle, 1e3 * times[SMALL - 1]);
	end(pid);
	CHECK(middle <= 0.020);
	bk_end(&b);
}

/* ---- somebody waits ------------------------------------------------------------------- */

static void wait_run(void *arg)
{
	struct belay_ctl_wait w = { .size = sizeof(w), .timeout = 2000000 };

	CHECK_SYS(setpriority(PRIO_PROCESS, 0, -20));
	for (;;)
		bk_ioctl(b.ctl, BELAY_CTL_WAIT, &w);
}

TEST_TIMEOUT(registering, "while somebody waits, that client's trims hold up no other user's registration", 200)
{
	struct bk_steps *s = bk_steps();
	char *p = bk_anon(PAGES(1), 1);
	double times[100], start, middle;
	struct bk_region r;
	pid_t client, waiter;
	unsigned int i;

	bk_begin(&b);
	client = start_crowd(s);
	waiter = tap_spawn(wait_run, NULL);
	for (i = 0; i < 100; i++) {
		usleep(10000);
		start = tap_now();
		CHECK_OK(bk_register(b.fd, p, PAGES(1), BELAY_PINNED, W, &r));
		times[i] = tap_now() - start;
		CHECK_OK(bk_unregister(b.fd, r.id));
	}
	middle = bk_median(times, 100);
	tap_diag("register: middle %.2f ms, 9 of 10 up to %.1f ms, longest %.1f ms", 1e3 * middle,
		 1e3 * times[90], 1e3 * times[99]);
	end(waiter);
	end(client);
	CHECK(times[90] <= 0.030);
	bk_end(&b);
}

/* ---- a grant for an address space with very many mappings ------------------------------- */

#define MAPPINGS	15000

static void mappings_client(void *arg)
{
	char *p = CHECK_SYS(mmap(NULL, PAGES(2UL * MAPPINGS), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned int i;

	for (i = 0; i < MAPPINGS; i++) {
		CHECK_SYS(mprotect(p + PAGES(2UL * i), PAGES(1), PROT_READ));
		p[PAGES(2UL * i + 1)] = 1;
	}
	bk_step(arg, 1);
	pause();
}

static struct {
	pid_t pid;
	double times[1000];
	unsigned int n;
	uint32_t stop;
} grants;

static void *grants_run(void *arg)
{
	struct belay_ctl_grant g;
	double start;
	int fd;

	while (!__atomic_load_n(&grants.stop, __ATOMIC_RELAXED) && grants.n < 1000) {
		start = tap_now();
		fd = bk_try_grant(b.ctl, b.account, grants.pid, BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
		CHECK_GE(fd, 0);
		grants.times[grants.n++] = tap_now() - start;
		close(fd);
	}
	return NULL;
}

TEST_TIMEOUT(binding, "while a grant is made for a process with 30,000 mappings, other commands do not wait for it", 200)
{
	struct bk_steps *s = bk_steps();
	struct belay_account_row rows[4];
	double times[100], start, grant, list;
	pthread_t thread;
	unsigned int i;

	bk_begin(&b);
	grants.pid = tap_spawn(mappings_client, s);
	bk_await(s, 1);
	CHECK_EQ(pthread_create(&thread, NULL, grants_run, NULL), 0);
	usleep(100000);
	for (i = 0; i < 100; i++) {
		usleep(5000);
		start = tap_now();
		CHECK_GE(bk_list(b.ctl, BELAY_LIST_ACCOUNTS, rows, sizeof(rows[0]), 4, 0, 0), 1);
		times[i] = tap_now() - start;
	}
	__atomic_store_n(&grants.stop, 1, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	list = bk_median(times, 100);
	grant = bk_median(grants.times, grants.n);
	tap_diag("a grant %.1f ms (%u made), a list meanwhile %.2f ms, 9 of 10 up to %.1f ms",
		 1e3 * grant, grants.n, 1e3 * list, 1e3 * times[90]);
	end(grants.pid);
	CHECK(list <= grant / 5);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

/* ---- what others pay for watched regions ---------------------------------------------------- */

#define MANY	65536		/* a quarter of BELAY_MAX_REGIONS */
#define FILE_PAGES	16

struct watcher {
	struct bk_steps *s;
	int fd;
};

static void watcher_client(void *arg)
{
	static struct belay_register_entry e[BELAY_MAX_BATCH];
	struct belay_register r = {
		.size = sizeof(r),
		.entries = (uintptr_t)e,
		.count = BELAY_MAX_BATCH,
		.entry_size = sizeof(e[0]),
	};
	struct watcher *w = arg;
	unsigned int done, i;
	char *p;

	bk_join(&me, &b);
	for (done = 0; done < MANY; done += BELAY_MAX_BATCH) {
		/* At as many addresses as batches: no cap on overlap is in the way of that. */
		p = bk_map_file(BK_MEMFD, w->fd, NULL, PAGES(FILE_PAGES), 0);
		memset(p, 1, PAGES(FILE_PAGES));
		for (i = 0; i < BELAY_MAX_BATCH; i++)
			e[i] = (struct belay_register_entry) {
				.addr = (uintptr_t)p + PAGES(i % FILE_PAGES),
				.len = PAGES(1),
				.kind = BELAY_WATCHED,
			};
		CHECK_OK(bk_ioctl(me.fd, BELAY_REGISTER, &r));
		CHECK_EQ(e[BELAY_MAX_BATCH - 1].status, 0);
	}
	CHECK_EQ(bk_usage_bytes(me.fd), 0);
	bk_step(w->s, 1);
	pause();
}

static double time_punch(int fd)
{
	double start = tap_now();

	CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGES(FILE_PAGES)));
	return tap_now() - start;
}

TEST_TIMEOUT(others, "65,536 watched regions over a file make another's hole punch slower by no more than a second", 250)
{
	struct watcher w = { bk_steps(), bk_file(BK_MEMFD, PAGES(FILE_PAGES)) };
	double with, without;
	pid_t pid;

	bk_begin(&b);
	without = time_punch(w.fd);
	pid = tap_spawn(watcher_client, &w);
	bk_await(w.s, 1);
	with = time_punch(w.fd);
	tap_diag("punch: %.2f ms, with %u watched regions over it %.2f ms", 1e3 * without, MANY,
		 1e3 * with);
	CHECK(with - without <= 1);
	end(pid);
	close(w.fd);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

/* ---- events, dealt with in any order ------------------------------------------------------ */

#define EVENTS	8000

static struct belay_event events[BELAY_MAX_BATCH];

static double time_done(bool backwards)
{
	struct belay_ctl_events d = {
		.size = sizeof(d),
		.entries = (uintptr_t)events,
		.entry_size = sizeof(events[0]),
		.count = EVENTS,
	};
	char *p = bk_anon(PAGES(EVENTS), 1);
	static struct bk_region r[EVENTS];
	struct belay_event swap;
	double start;
	unsigned int i;

	for (i = 0; i < EVENTS; i++)
		CHECK_OK(bk_register(b.fd, p + PAGES(i), PAGES(1), BELAY_PINNED, W, &r[i]));
	munmap(p, PAGES(EVENTS));
	CHECK_SOON(bk_events(b.ctl, events, BELAY_MAX_BATCH) == EVENTS, 60);
	for (i = 0; backwards && i < EVENTS / 2; i++) {
		swap = events[i];
		events[i] = events[EVENTS - 1 - i];
		events[EVENTS - 1 - i] = swap;
	}
	start = tap_now();
	CHECK_OK(bk_ioctl(b.ctl, BELAY_CTL_EVENTS_DONE, &d));
	start = tap_now() - start;
	CHECK_EQ(d.count, EVENTS);
	CHECK_EQ(bk_events(b.ctl, events, BELAY_MAX_BATCH), 0);
	for (i = 0; i < EVENTS; i++)
		CHECK_OK(bk_unregister(b.fd, r[i].id));
	bk_drain_events(b.ctl);
	return start;
}

TEST_TIMEOUT(done, "8,000 events are dealt with backwards as fast as in their order", 200)
{
	double in_order, backwards;

	bk_begin(&b);
	in_order = time_done(false);
	backwards = time_done(true);
	tap_diag("in order %.1f ms, backwards %.1f ms", 1e3 * in_order, 1e3 * backwards);
	CHECK(backwards <= 4 * in_order + 0.010);
	bk_end(&b);
}

TAP_MAIN()
