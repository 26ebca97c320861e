// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What a query costs others: how long registering and unregistering one page takes
 * while somebody else lists 100,000 regions of a third process by place, again and
 * again, beside how long it takes while that process computes something instead:
 * in one run, turn about. The machine is emulated and shared: a run that is over
 * the bar is repeated, and every run's figures are shown.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define HELD		100000
#define BATCH		10000
#define TURNS		20
#define PAIRS		1000	/* in one turn */
#define RUNS		6
#define BAR_P99		2.0

/* By each node, by a physical range of one page, and by one of all memory. */
enum query { NODE0, NODE1, PAGE, ALL, QUERIES };

/* Of the steps' values. */
enum { FRAME, LISTED, BUSY };

struct bed {
	struct bk b;
	struct bk_steps *s;	/* the step: even while the lister is to list */
};

static void register_batch(int fd, char *p, unsigned int n)
{
	struct belay_register_entry *e = calloc(n, sizeof(*e));
	struct belay_register r = { .size = sizeof(r), .entries = (uintptr_t)e, .count = n,
				    .entry_size = sizeof(*e) };
	unsigned int i;

	for (i = 0; i < n; i++) {
		e[i].addr = (uintptr_t)p + PAGES(i);
		e[i].len = PAGES(1);
		e[i].kind = BELAY_PINNED;
		e[i].flags = W;
	}
	CHECK_OK(bk_ioctl(fd, BELAY_REGISTER, &r));
	for (i = 0; i < n; i++)
		CHECK_EQ(e[i].status, 0);
	free(e);
}

static void holder_run(void *arg)
{
	struct bed *d = arg;
	unsigned int i;
	struct bk me;
	char *p;

	bk_join(&me, &d->b);
	p = bk_anon(PAGES(HELD), 1);
	for (i = 0; i < HELD; i += BATCH)
		register_batch(me.fd, p + PAGES(i), BATCH);
	d->s->value[FRAME] = bk_pfn(p + PAGES(HELD / 2));
	bk_step(d->s, 1);
	pause();
}

/* One whole listing; has how many rows. */
static unsigned int list(int fd, const struct belay_select *sel)
{
	static struct belay_region_row rows[BELAY_MAX_BATCH];
	struct belay_ctl_list l = {
		.size = sizeof(l), .what = BELAY_LIST_REGIONS, .rows = (uintptr_t)rows,
		.entry_size = sizeof(rows[0]), .select = *sel,
	};
	unsigned int n = 0;

	do {
		l.count = BELAY_MAX_BATCH;
		CHECK_OK(bk_ioctl(fd, BELAY_CTL_LIST, &l));
		n += l.count;
	} while (l.count);
	return n;
}

/* As much of a processor as a listing needs, and nothing of the module. */
static void compute(void)
{
	volatile unsigned int n = 100000;

	while (n)
		n--;
}

/* Lists while it is told to, and checks what it gets. */
static void lister_run(void *arg)
{
	struct belay_select sel[QUERIES] = {
		[NODE0] = { .by = BELAY_SELECT_NODE, .node = 0 },
		[NODE1] = { .by = BELAY_SELECT_NODE, .node = 1 },
		[PAGE] = { .by = BELAY_SELECT_PHYS, .phys_len = PAGES(1) },
		[ALL] = { .by = BELAY_SELECT_PHYS, .phys_len = 1ULL << 52 },
	};
	struct bed *d = arg;
	unsigned int n[QUERIES];
	enum query q;
	int fd;

	bk_run_on_cpu(1);
	sel[PAGE].phys_addr = PAGES(d->s->value[FRAME]);
	fd = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	for (;;) {
		while (__atomic_load_n(&d->s->now, __ATOMIC_ACQUIRE) % 2) {
			__atomic_store_n(&d->s->value[BUSY], 0, __ATOMIC_RELEASE);
			compute();
		}
		__atomic_store_n(&d->s->value[BUSY], 1, __ATOMIC_RELEASE);
		for (q = 0; q < QUERIES; q++)
			n[q] = list(fd, &sel[q]);
		d->s->value[LISTED]++;
		/* What is measured comes and goes; there may be one more. */
		CHECK_GE(n[ALL], HELD);
		CHECK_LE(n[ALL], HELD + 1);
		CHECK_EQ(n[PAGE], 1);
		CHECK_GE(n[NODE0] + n[NODE1], HELD);
	}
}

static void measure(const struct bk *b, char *p, double *times)
{
	struct bk_region r;
	unsigned int i;
	double start;

	for (i = 0; i < PAIRS; i++) {
		start = tap_now();
		CHECK_OK(bk_register(b->fd, p, PAGES(1), BELAY_PINNED, W, &r));
		CHECK_OK(bk_unregister(b->fd, r.id));
		times[i] = tap_now() - start;
	}
}

static bool is_busy(const struct bed *d)
{
	return __atomic_load_n(&d->s->value[BUSY], __ATOMIC_ACQUIRE);
}

static bool run(struct bed *d, char *p)
{
	static double with[TURNS * PAIRS], without[TURNS * PAIRS];
	uint64_t before = d->s->value[LISTED];
	unsigned int i, n = TURNS * PAIRS;
	double ratio;

	for (i = 0; i < TURNS; i++) {
		measure(&d->b, p, without + i * PAIRS);
		d->s->now++;
		CHECK_SOON(is_busy(d), 20);
		measure(&d->b, p, with + i * PAIRS);
		CHECK(is_busy(d));
		d->s->now++;
		/* It ends what it has begun. */
		CHECK_SOON(!is_busy(d), 20);
	}
	ratio = bk_percentile99(with, n) / bk_percentile99(without, n);
	tap_diag("p99 %.0f us, without a query %.0f us (%.2f); median %.0f us, %.0f us; %llu rounds of listings",
		 1e6 * bk_percentile99(with, n), 1e6 * bk_percentile99(without, n), ratio,
		 1e6 * bk_median(with, n), 1e6 * bk_median(without, n),
		 (unsigned long long)(d->s->value[LISTED] - before));
	CHECK_GE(d->s->value[LISTED] - before, TURNS);
	return ratio <= BAR_P99;
}

TEST_TIMEOUT(p99, "while 100,000 regions are listed by node and by physical range, the 99th percentile of registering elsewhere is at most twice what it is otherwise", 240)
{
	pid_t holder, lister;
	struct bed d;
	double start;
	char *p;
	int i;

	bk_begin(&d.b);
	d.s = bk_steps();
	holder = tap_spawn(holder_run, &d);
	for (i = 0; i < 60 && !d.s->now; i++)
		sleep(1);
	CHECK_EQ(d.s->now, 1);
	start = tap_now();
	CHECK_EQ(list(d.b.ctl, &(struct belay_select) { .by = 0 }), HELD);
	tap_diag("one listing of %u regions: %.0f ms", HELD, 1e3 * (tap_now() - start));
	start = tap_now();
	CHECK_EQ(list(d.b.ctl, &(struct belay_select) { .by = BELAY_SELECT_PHYS,
			.phys_addr = PAGES(d.s->value[FRAME]), .phys_len = PAGES(1) }), 1);
	tap_diag("one that finds one of them by a physical range: %.0f ms",
		 1e3 * (tap_now() - start));
	lister = tap_spawn(lister_run, &d);
	bk_run_on_cpu(0);
	p = bk_anon(PAGES(1), 1);
	for (i = 0; i < RUNS; i++)
		if (run(&d, p))
			break;
	kill(lister, SIGKILL);
	waitpid(lister, NULL, 0);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	if (i == RUNS)
		FAIL("over the bar %d times", RUNS);
	bk_end(&d.b);
}

TAP_MAIN()
