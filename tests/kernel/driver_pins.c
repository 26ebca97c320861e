// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Tracked regions over memory whose pages another driver's pin replaces: it breaks
 * copy-on-write. Preparing does so first, thus the driver finds the pages that will be
 * remembered, at the first attempt.
 *
 * That the pages mapped, remembered and pinned by the driver are the same is shown so:
 * a check that something was announced for makes the module compare what it remembers
 * with what is mapped; a page that only the driver holds cannot be moved; and what
 * io_uring writes through its pins is seen through the mapping.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk_driver.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define N	64
#define LEN	(N * BK_PAGE)

/* ---- memory whose pages the pin replaces -------------------------------------------- */

enum source { FORKED, ZERO_PAGE, PRIVATE_FILE, MERGED, SOURCES };

static const char *const source_names[SOURCES] = {
	"shared with a forked child", "the zero page", "a private file's cache", "merged by KSM",
};

struct memory {
	char *p;
	pid_t child;
	int fd;
};

static void read_all(volatile char *p)
{
	size_t i;

	for (i = 0; i < LEN; i += BK_PAGE)
		(void)p[i];
}

static void sleeper(void *arg)
{
	pause();
}

/* Every page with the same bytes is merged into one, which is read-only. */
static char *merged(void)
{
	char *p = bk_anon(LEN, 0);
	uint64_t pfns[N];

	memset(p, 0x5e, LEN);
	CHECK_SYS(madvise(p, LEN, MADV_MERGEABLE));
	bk_write("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	bk_write("/sys/kernel/mm/ksm/sleep_millisecs", "10");
	bk_write("/sys/kernel/mm/ksm/run", "1");
	CHECK_SOON((bk_pfns(p, N, pfns), pfns[1] == pfns[0] && pfns[N - 1] == pfns[0]), 15);
	bk_write("/sys/kernel/mm/ksm/run", "0");
	return p;
}

static void memory_make(struct memory *m, enum source source)
{
	*m = (struct memory) { .fd = -1 };
	switch (source) {
	case FORKED:
		m->p = bk_anon(LEN, 7);
		m->child = tap_spawn(sleeper, NULL);
		break;
	case ZERO_PAGE:
		m->p = CHECK_SYS(mmap(NULL, LEN, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		CHECK_SYS(madvise(m->p, LEN, MADV_NOHUGEPAGE));
		read_all(m->p);
		break;
	case PRIVATE_FILE:
		m->fd = bk_file(BK_PRIVATE_FILE, LEN);
		m->p = bk_map_file(BK_PRIVATE_FILE, m->fd, NULL, LEN, 0);
		read_all(m->p);
		break;
	default:
		m->p = merged();
	}
}

static void memory_end(struct memory *m)
{
	if (m->child) {
		kill(m->child, SIGKILL);
		waitpid(m->child, NULL, 0);
	}
	if (m->fd >= 0)
		close(m->fd);
	munmap(m->p, LEN);
}

/* 6.1's io_uring refuses mappings of files; both refuse nothing else here. */
static bool takes(struct bk_driver *d, enum source source)
{
	struct memory m;
	int ret;

	if (d->kind != BK_IO_URING || source != PRIVATE_FILE)
		return true;
	memory_make(&m, source);
	ret = bk_driver_pin(d, m.p, LEN);
	if (ret)
		CHECK_EQ(ret, -EOPNOTSUPP);
	else
		bk_driver_unpin(d);
	memory_end(&m);
	return !ret;
}

/* ---- are they the same pages? -------------------------------------------------------- */

static unsigned int differing(const uint64_t *a, const uint64_t *b)
{
	unsigned int i, n = 0;

	for (i = 0; i < N; i++)
		n += a[i] != b[i];
	return n;
}

/* Tries to move all pages to the other node; has how many moved. */
static unsigned int move_away(char *p)
{
	uint64_t before[N], after[N];
	int nodes[N], status[N], i;
	void *pages[N];

	bk_pfns(p, N, before);
	for (i = 0; i < N; i++)
		pages[i] = p + i * BK_PAGE;
	CHECK_OK((int)syscall(SYS_move_pages, 0, N, pages, NULL, status, 0));
	for (i = 0; i < N; i++)
		nodes[i] = status[i] == 0;
	syscall(SYS_move_pages, 0, N, pages, nodes, status, 2);
	bk_pfns(p, N, after);
	return differing(before, after);
}

/* Committed: mapped, remembered and pinned are the same. */
static void expect_same(struct bk *b, struct bk_driver *d, const struct bk_region *r)
{
	uint64_t seen = bk_seen("seen_clear"), same = bk_seen("verified_same");
	size_t i;

	CHECK_EQ(move_away(r->addr), 0);
	CHECK_GT(bk_seen("seen_clear"), seen);
	CHECK_EQ(bk_settle(b, r), 0);
	CHECK(bk_valid(b, r));
	CHECK_GT(bk_seen("verified_same"), same);
	if (d->kind != BK_IO_URING)
		return;
	bk_driver_fill(d, 0x3c);
	for (i = 0; i < LEN; i++)
		CHECK_EQ(r->addr[i], 0x3c);
}

/* As the library does it. Has how often it had to begin anew. */
static unsigned int track(struct bk *b, struct bk_driver *d, char *p, struct bk_region *r)
{
	unsigned int again = 0;
	int ret;

	for (;;) {
		CHECK_OK(bk_register(b->fd, p, LEN, BELAY_TRACKED, W, r));
		CHECK_OK(bk_driver_pin(d, p, LEN));
		ret = bk_commit(b->fd, r->id);
		if (!ret)
			return again;
		CHECK_EQ(ret, -EAGAIN);
		CHECK_LT(again++, 10);
		CHECK_OK(bk_unregister(b->fd, r->id));
		bk_driver_unpin(d);
	}
}

static void untrack(struct bk *b, struct bk_driver *d, const struct bk_region *r)
{
	CHECK_OK(bk_unregister(b->fd, r->id));
	bk_driver_unpin(d);
}

/* Of itself, without belay: the driver's pin replaces every page. */
static void expect_replaced_by(struct bk_driver *d, enum source source)
{
	uint64_t before[N], after[N];
	struct memory m;

	memory_make(&m, source);
	bk_pfns(m.p, N, before);
	CHECK_OK(bk_driver_pin(d, m.p, LEN));
	bk_pfns(m.p, N, after);
	CHECK_EQ(differing(before, after), N);
	bk_driver_unpin(d);
	memory_end(&m);
}

static void prepared_first(struct bk *b, struct bk_driver *d, enum source source)
{
	uint64_t before[N], prepared[N], after[N];
	struct bk_region r;
	struct memory m;

	memory_make(&m, source);
	bk_pfns(m.p, N, before);
	CHECK_OK(bk_register(b->fd, m.p, LEN, BELAY_TRACKED, W, &r));
	bk_pfns(m.p, N, prepared);
	CHECK_EQ(differing(before, prepared), N);
	CHECK_OK(bk_driver_pin(d, m.p, LEN));
	bk_pfns(m.p, N, after);
	CHECK_EQ(differing(prepared, after), 0);
	/* The first attempt. */
	CHECK_OK(bk_commit(b->fd, r.id));
	expect_same(b, d, &r);
	untrack(b, d, &r);
	/* Nobody holds them any more: now they move. */
	CHECK_GT(move_away(m.p), N / 2);
	memory_end(&m);
}

static void over_all_sources(enum bk_driver_kind kind)
{
	enum source source;
	struct bk_driver d;
	struct bk b;

	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_begin(&b);
	bk_driver_open(&d, kind);
	for (source = 0; source < SOURCES; source++) {
		if (!takes(&d, source)) {
			tap_diag("%s refuses %s", bk_driver_name(kind), source_names[source]);
			continue;
		}
		expect_replaced_by(&d, source);
		prepared_first(&b, &d, source);
		tap_diag("%s, %s: all %d pages replaced by preparing, none after", bk_driver_name(kind),
			 source_names[source], N);
	}
	bk_driver_close(&d);
	bk_end(&b);
}

TEST_TIMEOUT(verbs, "a verbs registration that breaks copy-on-write (fork, zero page, private file, KSM): prepare has done so before, commit succeeds at the first attempt", 60)
{
	over_all_sources(BK_VERBS);
}

TEST_TIMEOUT(io_uring, "an io_uring buffer the same; and what io_uring writes arrives in the pages that are remembered", 60)
{
	over_all_sources(BK_IO_URING);
}

/* ---- what disturbs ------------------------------------------------------------------- */

struct disturber {
	char *p;
	int stop;
	uint64_t rounds;
	void (*once)(struct disturber *x);
};

static void *disturb(void *arg)
{
	struct disturber *x = arg;

	while (!__atomic_load_n(&x->stop, __ATOMIC_RELAXED)) {
		x->once(x);
		__atomic_add_fetch(&x->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void do_fork(struct disturber *x)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void do_move(struct disturber *x)
{
	move_away(x->p);
}

static void do_ksm(struct disturber *x)
{
	usleep(20000);
}

static void do_protect(struct disturber *x)
{
	mprotect(x->p + BK_PAGE, BK_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	mprotect(x->p + BK_PAGE, BK_PAGE, PROT_READ | PROT_WRITE);
	usleep(500);
}

#define CYCLES	50

static void under(const char *name, void (*once)(struct disturber *x), enum bk_driver_kind kind)
{
	unsigned int i, again, total = 0, worst = 0;
	struct disturber x = { .once = once };
	struct bk_region r;
	struct bk_driver d;
	pthread_t thread;
	uint64_t seen;
	struct bk b;

	bk_begin(&b);
	bk_driver_open(&d, kind);
	x.p = bk_anon(LEN, 0x11);
	CHECK_SYS(madvise(x.p, LEN, MADV_MERGEABLE));
	seen = bk_seen("seen_clear") + bk_seen("seen_protection");
	CHECK_EQ(pthread_create(&thread, NULL, disturb, &x), 0);
	for (i = 0; i < CYCLES || __atomic_load_n(&x.rounds, __ATOMIC_RELAXED) < 10; i++) {
		again = track(&b, &d, x.p, &r);
		total += again;
		worst = again > worst ? again : worst;
		CHECK_EQ(bk_settle(&b, &r), 0);
		untrack(&b, &d, &r);
	}
	__atomic_store_n(&x.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	seen = bk_seen("seen_clear") + bk_seen("seen_protection") - seen;
	tap_diag("%s, beside %s: %u registrations, begun anew %u times (at most %u for one); %llu rounds, %llu announcements",
		 bk_driver_name(kind), name, i, total, worst, (unsigned long long)x.rounds,
		 (unsigned long long)seen);
	CHECK_GT(seen, 0);
	/* Nothing here replaces a page that prepare holds. */
	CHECK_EQ(total, 0);
	munmap(x.p, LEN);
	bk_driver_close(&d);
	bk_end(&b);
}

TEST_TIMEOUT(disturbed, "beside fork, mprotect, KSM and attempts to move the pages, prepare, pin and commit succeed at the first attempt", 180)
{
	bk_write("/proc/sys/kernel/numa_balancing", "0");
	under("fork", do_fork, BK_IO_URING);
	under("mprotect", do_protect, BK_IO_URING);
	under("attempts to move", do_move, BK_IO_URING);
	under("attempts to move", do_move, BK_VERBS);
	bk_write("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	bk_write("/sys/kernel/mm/ksm/sleep_millisecs", "1");
	bk_write("/sys/kernel/mm/ksm/run", "1");
	under("KSM", do_ksm, BK_IO_URING);
	bk_write("/sys/kernel/mm/ksm/run", "0");
}

/* ---- what remembering rests on -------------------------------------------------------- */

#define TIMES	100

/* Replaces a page and looks whether it is told. Has how often it was not. */
static unsigned int replaced_unnoticed(struct bk *b, struct bk_driver *d, uint32_t kind,
				       bool driver_first)
{
	unsigned int i, missed = 0;
	struct bk_region r;
	uint64_t pfn;
	char *p;

	for (i = 0; i < TIMES; i++) {
		p = bk_anon(LEN, 1);
		if (kind == BELAY_TRACKED) {
			track(b, d, p, &r);
		} else {
			CHECK_OK(bk_register(b->fd, p, LEN, kind, W, &r));
			CHECK_OK(bk_driver_pin(d, p, LEN));
		}
		pfn = bk_pfn(p);
		if (driver_first)
			bk_driver_unpin(d);
		CHECK_SYS(madvise(p, BK_PAGE, MADV_DONTNEED));
		p[0] = 2;
		bk_settle(b, &r);
		if (bk_valid(b, &r)) {
			CHECK_EQ(bk_pfn(p), pfn);
			missed++;
		}
		CHECK_OK(bk_unregister(b->fd, r.id));
		if (!driver_first)
			bk_driver_unpin(d);
		munmap(p, LEN);
	}
	return missed;
}

TEST_TIMEOUT(order, "as documented: what is remembered means something while the driver holds it; a pinned region needs no such order", 90)
{
	unsigned int late, early, held;
	struct bk_driver d;
	struct bk b;

	bk_run_on_cpu(0);
	bk_begin(&b);
	bk_driver_open(&d, BK_IO_URING);
	late = replaced_unnoticed(&b, &d, BELAY_TRACKED, false);
	early = replaced_unnoticed(&b, &d, BELAY_TRACKED, true);
	held = replaced_unnoticed(&b, &d, BELAY_PINNED, true);
	tap_diag("replaced unnoticed, of %d: %u remembered, the driver holding; %u remembered, after the driver let go; %u held",
		 TIMES, late, early, held);
	CHECK_EQ(late, 0);
	CHECK_EQ(held, 0);
	bk_driver_close(&d);
	bk_end(&b);
}

static void limited_run(void *arg)
{
	const struct rlimit limit = { LEN, LEN };
	const struct bk *b = arg;
	struct bk_region r;
	struct bk_driver d;
	struct bk self;
	char *p = bk_anon(LEN, 1);

	bk_join(&self, b);
	bk_driver_open(&d, BK_VERBS);
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &limit));
	CHECK_SYS(setresuid(65534, 65534, 65534));
	CHECK_OK(bk_register(self.fd, p, LEN, BELAY_PINNED, W, &r));
	CHECK(!ibv_reg_mr(d.pd, p, LEN, IBV_ACCESS_LOCAL_WRITE));
	CHECK_EQ(errno, ENOMEM);
	CHECK_OK(bk_unregister(self.fd, r.id));
	CHECK_OK(bk_register(self.fd, p, LEN, BELAY_TRACKED, W, &r));
	d.mr = ibv_reg_mr(d.pd, p, LEN, IBV_ACCESS_LOCAL_WRITE);
	CHECK(d.mr);
	CHECK_OK(bk_commit(self.fd, r.id));
	CHECK_OK(bk_unregister(self.fd, r.id));
	CHECK_EQ(ibv_dereg_mr(d.mr), 0);
	bk_driver_close(&d);
	bk_leave(&self);
}

TEST(held_twice, "memory that belay holds counts twice against the driver's RLIMIT_MEMLOCK, memory that it tracks once")
{
	struct bk b;

	bk_begin(&b);
	tap_join(tap_spawn(limited_run, &b));
	bk_end(&b);
}

TAP_MAIN()
