// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * pinbench: registering and unregistering with belay, beside the bare pin loop.
 *
 * Both do the same to the same memory, turn about, in one run; the medians are
 * compared. Prints one line for each row of the results:
 *
 *	name|value|unit|against|ratio|bar|note
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "bench/barepin/barepin.h"
#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define SIZE		(256UL << 20)
/* What takes longer is repeated less often. */
#define ROUNDS		15
#define ROUNDS_HUGE	61
#define WARM_UP		2
#define BAR		1.10
#define SMALL_ROUNDS	9
#define SMALL_PAIRS	2000

struct bench {
	struct bk b;
	int bare;
};

struct pair {
	double in, out;
};

static struct pair time_belay(struct bench *x, char *p, size_t len)
{
	struct bk_region r;
	double start = tap_now(), middle;

	CHECK_OK(bk_register(x->b.fd, p, len, BELAY_PINNED, BELAY_REGION_WRITE, &r));
	middle = tap_now();
	CHECK_OK(bk_unregister(x->b.fd, r.id));
	return (struct pair){ middle - start, tap_now() - middle };
}

static struct pair time_bare(struct bench *x, char *p, size_t len)
{
	struct barepin_range r = { (uintptr_t)p, len };
	double start = tap_now(), middle;

	CHECK_OK(bk_ioctl(x->bare, BAREPIN_PIN, &r));
	middle = tap_now();
	CHECK_OK(bk_ioctl(x->bare, BAREPIN_UNPIN, NULL));
	return (struct pair){ middle - start, tap_now() - middle };
}

struct samples {
	double in[ROUNDS_HUGE], out[ROUNDS_HUGE], sum[ROUNDS_HUGE];
};

static void keep(struct samples *s, int round, struct pair p)
{
	if (round < 0)
		return;
	s->in[round] = p.in;
	s->out[round] = p.out;
	s->sum[round] = p.in + p.out;
}

static void big(struct bench *x, const char *name, char *p, int rounds)
{
	struct samples belay, bare;
	double a, c;
	int i;

	for (i = -WARM_UP; i < rounds; i++) {
		if (i % 2)
			keep(&bare, i, time_bare(x, p, SIZE));
		keep(&belay, i, time_belay(x, p, SIZE));
		if (!(i % 2))
			keep(&bare, i, time_bare(x, p, SIZE));
	}
	a = bk_median(belay.sum, rounds);
	c = bk_median(bare.sum, rounds);
	/* bk_median() has sorted them. */
	printf("register+unregister 256 MiB, %s|%.3f|ms|bare pin loop|%.3f|%.2f|median of %d, turn about; register %.3f ms and unregister %.3f ms, bare %.3f and %.3f; ratio of the smallest %.3f\n",
	       name, a * 1e3, a / c, BAR, rounds, bk_median(belay.in, rounds) * 1e3,
	       bk_median(belay.out, rounds) * 1e3, bk_median(bare.in, rounds) * 1e3,
	       bk_median(bare.out, rounds) * 1e3, belay.sum[0] / bare.sum[0]);
}

/* Pairs per second of one page. */
static void small(struct bench *x, char *p)
{
	double belay[SMALL_ROUNDS], bare[SMALL_ROUNDS], start, a, c;
	int i, j;

	for (i = 0; i < SMALL_ROUNDS; i++) {
		start = tap_now();
		for (j = 0; j < SMALL_PAIRS; j++)
			time_belay(x, p, BK_PAGE);
		belay[i] = SMALL_PAIRS / (tap_now() - start);
		start = tap_now();
		for (j = 0; j < SMALL_PAIRS; j++)
			time_bare(x, p, BK_PAGE);
		bare[i] = SMALL_PAIRS / (tap_now() - start);
	}
	a = bk_median(belay, SMALL_ROUNDS);
	c = bk_median(bare, SMALL_ROUNDS);
	printf("register+unregister one page|%.0f|pairs/s|bare pin loop|%.3f||median of %d x %d; bare %.0f pairs/s; the ratio is of the times\n",
	       a, c / a, SMALL_ROUNDS, SMALL_PAIRS, c);
}

/* One call for many: what a batch saves. */
static void batch(struct bench *x, char *p)
{
	static struct belay_register_entry e[BELAY_MAX_BATCH];
	static struct belay_region_entry u[BELAY_MAX_BATCH];
	struct belay_register r = { .size = sizeof(r), .entries = (uintptr_t)e,
				    .count = BELAY_MAX_BATCH, .entry_size = sizeof(e[0]) };
	struct belay_regions un = { .size = sizeof(un), .entries = (uintptr_t)u,
				    .count = BELAY_MAX_BATCH, .entry_size = sizeof(u[0]) };
	double rate[SMALL_ROUNDS], start;
	int i, j;

	for (i = 0; i < SMALL_ROUNDS; i++) {
		for (j = 0; j < BELAY_MAX_BATCH; j++) {
			memset(&e[j], 0, sizeof(e[j]));
			e[j].addr = (uintptr_t)p + j * BK_PAGE;
			e[j].len = BK_PAGE;
			e[j].kind = BELAY_PINNED;
			e[j].flags = BELAY_REGION_WRITE;
		}
		start = tap_now();
		CHECK_OK(bk_ioctl(x->b.fd, BELAY_REGISTER, &r));
		rate[i] = tap_now() - start;
		for (j = 0; j < BELAY_MAX_BATCH; j++) {
			CHECK_EQ(e[j].status, 0);
			u[j].region = e[j].region;
		}
		start = tap_now();
		CHECK_OK(bk_ioctl(x->b.fd, BELAY_UNREGISTER, &un));
		rate[i] = BELAY_MAX_BATCH / (rate[i] + tap_now() - start);
	}
	printf("register+unregister one page, in batches of %d|%.0f|pairs/s||||median of %d\n",
	       BELAY_MAX_BATCH, bk_median(rate, SMALL_ROUNDS), SMALL_ROUNDS);
}

int main(void)
{
	struct barepin_range room = { 0, SIZE };
	struct bk_memory huge;
	struct bench x;
	char *p;

	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_run_on_cpu(0);
	bk_begin(&x.b);
	x.bare = CHECK_SYS(open("/dev/barepin", O_RDWR | O_CLOEXEC));
	CHECK_OK(bk_ioctl(x.bare, BAREPIN_ROOM, &room));

	bk_hugepages(SIZE / BK_HUGE);
	bk_map(&huge, BK_HUGE_ANON, SIZE);
	p = bk_thp(SIZE);
	big(&x, "THP", p, ROUNDS_HUGE);
	munmap(p, SIZE);
	big(&x, "2 MiB hugetlb", huge.addr, ROUNDS_HUGE);
	bk_unmap(&huge);
	bk_write("/proc/sys/vm/nr_hugepages", "0");
	p = bk_anon(SIZE, 1);
	big(&x, "4 KiB pages", p, ROUNDS);
	small(&x, p);
	batch(&x, p);
	close(x.bare);
	bk_end(&x.b);
	return 0;
}
