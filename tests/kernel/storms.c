// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Threads that invalidate without a pause (MADV_DONTNEED in loops) keep nobody waiting:
 * not another user, not whoever has the session, not their own process for long.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define LEN	(64UL << 20)
/* More than the module's workers for unbound work. */
#define CLIENTS	100
/* Ten milliseconds are usual; fifteen seconds were seen where the worker waited. */
#define SOON	1.0

struct storm {
	char *area;
	size_t len;
	volatile bool stop;
	pthread_t threads[24];
	unsigned int n;
};

/* With the lowest priority: it is a storm because it is never over, not by its speed. */
static void *invalidate(void *arg)
{
	struct storm *s = arg;
	struct sched_param none = {};

	sched_setscheduler(0, SCHED_IDLE, &none);
	while (!s->stop)
		madvise(s->area, s->len, MADV_DONTNEED);
	return NULL;
}

static void storm_begin(struct storm *s, char *area, size_t len, unsigned int threads)
{
	*s = (struct storm) { .area = area, .len = len };
	for (; s->n < threads; s->n++)
		CHECK_EQ(pthread_create(&s->threads[s->n], NULL, invalidate, s), 0);
}

static void storm_end(struct storm *s)
{
	s->stop = true;
	while (s->n)
		pthread_join(s->threads[--s->n], NULL);
}

/* A memfd with a page in every 2 MiB, so that there is something to walk over. */
static char *area_make(size_t len)
{
	int fd = bk_empty_file(BK_MEMFD);
	char *p;
	size_t at;

	CHECK_SYS(ftruncate(fd, len));
	p = CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	close(fd);
	for (at = 0; at < len; at += BK_HUGE)
		p[at] = 1;
	return p;
}

static void client(void *arg)
{
	struct bk *parents = arg, b = *parents;
	struct bk_region r;
	struct storm s;
	char *p;

	close(b.fd);
	bk_join(&b, parents);
	p = area_make(LEN);
	CHECK_OK(bk_register(b.fd, p, BK_PAGE, BELAY_PINNED, W, &r));
	storm_begin(&s, p, LEN, 3);
	pause();
}

/* A lost region is let go by the worker: how long that takes. */
static double lose(const struct bk *b)
{
	struct bk_region r;
	double t;
	char *p = bk_anon(1 << 20, 1);

	CHECK_OK(bk_register(b->fd, p, 1 << 20, BELAY_PINNED, W, &r));
	munmap(p, 1 << 20);
	t = tap_now();
	while (bk_usage_bytes(b->fd) && tap_now() - t < 20)
		usleep(500);
	t = tap_now() - t;
	CHECK_OK(bk_unregister(b->fd, r.id));
	return t;
}

/* How many of the kernel's threads sleep within the module's worker, unkillably. */
static unsigned int stuck_workers(void)
{
	char path[300], text[4096];
	struct dirent *e;
	unsigned int n = 0;
	ssize_t len;
	DIR *d = opendir("/proc");
	int fd;

	CHECK(d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/stack", e->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (len <= 0)
			continue;
		text[len] = 0;
		if (strstr(text, "belay_settle_worker") && strstr(text, "mmu_"))
			n++;
	}
	closedir(d);
	return n;
}

TEST_TIMEOUT(others, "a storm in a hundred processes does not keep another user's lost region from being let go, and no worker waits", 240)
{
	pid_t pids[CLIENTS];
	unsigned int i, clients = bk_rounds(CLIENTS);
	double worst = 0, t;
	struct bk b;

	bk_begin(&b);
	for (i = 0; i < clients; i++)
		pids[i] = tap_spawn(client, &b);
	sleep(5);
	for (i = 0; i < 5; i++) {
		t = lose(&b);
		worst = t > worst ? t : worst;
		CHECK_EQ(stuck_workers(), 0);
	}
	tap_diag("%u clients: a lost region was let go after %.0f ms at most", clients,
		 1e3 * worst);
	for (i = 0; i < clients; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < clients; i++)
		waitpid(pids[i], NULL, 0);
	CHECK(worst < SOON * TAP_PATIENCE);
	bk_end(&b);
}

static double took(double since, const char *what)
{
	double t = tap_now() - since;

	tap_diag("%s: %.0f ms", what, 1e3 * t);
	return t;
}

TEST(own, "under a storm over the region itself a check, a trim, a release by order, unregister and close return")
{
	struct bk_region r[3], parts[2];
	struct storm s;
	struct bk b;
	unsigned int i;
	double t;
	char *p;

	bk_begin(&b);
	p = area_make(LEN);
	for (i = 0; i < 3; i++)
		CHECK_OK(bk_register(b.fd, p + i * BK_HUGE, 4 * BK_PAGE, BELAY_PINNED, W, &r[i]));
	storm_begin(&s, p, LEN, 8);
	t = tap_now();
	for (i = 0; i < 5; i++)
		bk_check(b.fd, r[0].id);
	CHECK(took(t, "5 checks") < 5 * TAP_PATIENCE);
	t = tap_now();
	if (!bk_trim(b.fd, &r[0], 0, BK_PAGE, parts))
		r[0] = parts[1];
	CHECK(took(t, "trim") < 5 * TAP_PATIENCE);
	t = tap_now();
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r[1].id, 0));
	CHECK(took(t, "release by order") < SOON * TAP_PATIENCE);
	t = tap_now();
	CHECK_OK(bk_unregister(b.fd, r[0].id));
	CHECK(took(t, "unregister") < SOON * TAP_PATIENCE);
	CHECK_SOON(bk_usage_bytes(b.fd) == 4 * BK_PAGE, 5);
	t = tap_now();
	bk_leave(&b);
	CHECK(took(t, "close") < SOON * TAP_PATIENCE);
	storm_end(&s);
	munmap(p, LEN);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TEST_TIMEOUT(unrelated, "a storm elsewhere in the address space disturbs no look and no registration", 120)
{
	static const unsigned int threads[] = { 3, 24 };
	unsigned int i, n, rounds = bk_rounds(100);
	struct bk_memory m;
	struct bk_region r;
	struct storm s;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = area_make(LEN);
	bk_map(&m, BK_MEMFD, 8 * BK_PAGE);
	for (n = 0; n < 2; n++) {
		storm_begin(&s, p, LEN, threads[n]);
		for (i = 0; i < rounds; i++) {
			CHECK_OK(bk_register(b.fd, m.addr, m.len, BELAY_PINNED, W, &r));
			CHECK_SYS(madvise(m.addr, m.len, MADV_DONTNEED));
			CHECK_EQ(bk_check(b.fd, r.id), 0);
			CHECK_OK(bk_unregister(b.fd, r.id));
		}
		storm_end(&s);
	}
	bk_unmap(&m);
	munmap(p, LEN);
	bk_end(&b);
}

TAP_MAIN()
