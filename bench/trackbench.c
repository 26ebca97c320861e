// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * trackbench: what it costs to keep account of memory that another driver pins, and what
 * is right and wrong about each way to do so (docs/tracked.md). The other driver is the
 * bare pin loop. Prints rows like pinbench.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "bench/barepin/barepin.h"
#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W		BELAY_REGION_WRITE
#define SIZE		(256UL << 20)
#define ROUNDS		7
#define WARM_UP		1
/* Regions in each scenario, and their pages where they are small. */
#define REGIONS		8
#define PAGES		16

struct bench {
	struct bk b;
	int driver;
};

static void driver_pin(struct bench *x, char *p, size_t len)
{
	struct barepin_range r = { (uintptr_t)p, len };

	CHECK_OK(bk_ioctl(x->driver, BAREPIN_PIN, &r));
}

static void driver_unpin(struct bench *x)
{
	CHECK_OK(bk_ioctl(x->driver, BAREPIN_UNPIN, NULL));
}

/* ---- what it costs --------------------------------------------------------------------- */

enum way { DRIVER_ALONE, COARSE, REMEMBER, HOLD, WAYS };

static const char *const ways[WAYS] = {
	"driver alone", "mapping watched", "frames remembered", "pages held",
};

static double time_way(struct bench *x, char *p, enum way way)
{
	static const uint32_t kinds[WAYS] = { 0, BELAY_WATCHED, BELAY_TRACKED, BELAY_PINNED };
	double start = tap_now();
	struct bk_region r;

	if (kinds[way])
		CHECK_OK(bk_register(x->b.fd, p, SIZE, kinds[way], W, &r));
	driver_pin(x, p, SIZE);
	if (way == REMEMBER)
		CHECK_OK(bk_commit(x->b.fd, r.id));
	if (kinds[way])
		CHECK_OK(bk_unregister(x->b.fd, r.id));
	driver_unpin(x);
	return tap_now() - start;
}

static void ways_of(struct bench *x, const char *name, char *p)
{
	double t[WAYS][ROUNDS], median[WAYS];
	enum way way;
	int i;

	for (i = -WARM_UP; i < ROUNDS; i++)
		for (way = 0; way < WAYS; way++) {
			double took = time_way(x, p, way);

			if (i >= 0)
				t[way][i] = took;
		}
	for (way = 0; way < WAYS; way++)
		median[way] = bk_median(t[way], ROUNDS);
	for (way = COARSE; way < WAYS; way++)
		printf("pin of 256 MiB, %s, %s|%.3f|ms|driver alone|%.3f||median of %d, turn about; driver alone %.3f ms\n",
		       name, ways[way], median[way] * 1e3, median[way] / median[DRIVER_ALONE],
		       ROUNDS, median[DRIVER_ALONE] * 1e3);
}

/* MADV_FREE announces, and leaves the pages where they are. Has the time to settle. */
static double time_verify(struct bench *x, const struct bk_region *r, size_t len)
{
	uint64_t same = bk_seen("verified_same");
	double start;

	/* Some part in the middle, or all. */
	CHECK_SYS(madvise(r->addr + (r->len - len) / 2 / BK_HUGE * BK_HUGE, len, MADV_FREE));
	start = tap_now();
	CHECK_EQ(bk_settle(&x->b, r), 0);
	start = tap_now() - start;
	CHECK_GT(bk_seen("verified_same"), same);
	return start;
}

static void verify(struct bench *x, const char *name, char *p, size_t part)
{
	double whole[ROUNDS], one[ROUNDS], a, c;
	struct bk_region r;
	int i;

	CHECK_OK(bk_register(x->b.fd, p, SIZE, BELAY_TRACKED, W, &r));
	driver_pin(x, p, SIZE);
	CHECK_OK(bk_commit(x->b.fd, r.id));
	for (i = 0; i < ROUNDS; i++) {
		whole[i] = time_verify(x, &r, SIZE);
		one[i] = time_verify(x, &r, part);
	}
	a = bk_median(whole, ROUNDS);
	c = bk_median(one, ROUNDS);
	printf("verifying 256 MiB, %s, each 4 KiB page|%.1f|ns||||median of %d; all of it %.3f ms\n",
	       name, a / (SIZE / BK_PAGE) * 1e9, ROUNDS, a * 1e3);
	printf("verifying the %zu KiB announced of 256 MiB, %s|%.1f|us|the whole region|%.5f||median of %d\n",
	       part >> 10, name, c * 1e6, c / a, ROUNDS);
	CHECK_OK(bk_unregister(x->b.fd, r.id));
	driver_unpin(x);
}

/* ---- what it gets right and wrong ------------------------------------------------------- */

static void attempt_to_move(struct bk_memory *m)
{
	int nodes[PAGES], status[PAGES], i;
	void *pages[PAGES];

	for (i = 0; i < PAGES; i++)
		pages[i] = m->addr + i * BK_PAGE;
	CHECK_SYS(syscall(SYS_move_pages, 0, PAGES, pages, NULL, status, 0));
	for (i = 0; i < PAGES; i++)
		nodes[i] = status[i] == 0;
	syscall(SYS_move_pages, 0, PAGES, pages, nodes, status, 2);
}

static void ksm(struct bk_memory *m)
{
	uint64_t clears = bk_seen("seen_clear");
	double end = tap_now() + 5;

	CHECK_SYS(madvise(m->addr, m->len, MADV_MERGEABLE));
	bk_write("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	bk_write("/sys/kernel/mm/ksm/sleep_millisecs", "5");
	bk_write("/sys/kernel/mm/ksm/run", "1");
	while (bk_seen("seen_clear") == clears && tap_now() < end)
		usleep(5000);
	usleep(100000);
	bk_write("/sys/kernel/mm/ksm/run", "0");
}

static void split(struct bk_memory *m)
{
	CHECK_SYS(mprotect(m->addr + 64 * BK_PAGE, BK_PAGE, PROT_READ));
	CHECK_SYS(mprotect(m->addr + 64 * BK_PAGE, BK_PAGE, PROT_READ | PROT_WRITE));
}

static void soft_offline(struct bk_memory *m)
{
	madvise(m->addr, BK_PAGE, 101 /* MADV_SOFT_OFFLINE */);
}

static void lazy_free(struct bk_memory *m)
{
	CHECK_SYS(madvise(m->addr, m->len, MADV_FREE));
}

static void reclaim(struct bk_memory *m)
{
	CHECK_SYS(madvise(m->addr, m->len, MADV_PAGEOUT));
}

static void zap(struct bk_memory *m)
{
	CHECK_SYS(madvise(m->addr, m->len, MADV_DONTNEED));
}

static void do_fork(struct bk_memory *m)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

/* These do replace pages: the eighth, all but the first, and all. */
static void replace_one(struct bk_memory *m)
{
	CHECK_SYS(madvise(m->addr + 7 * BK_PAGE, BK_PAGE, MADV_DONTNEED));
}

static void punch(struct bk_memory *m)
{
	CHECK_SYS(fallocate(m->fd, 3 /* PUNCH_HOLE | KEEP_SIZE */, BK_PAGE, m->len - BK_PAGE));
}

static void map_over(struct bk_memory *m)
{
	CHECK_SYS(mmap(m->addr, m->len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
}

static const struct scenario {
	const char *name;
	enum bk_kind kind;
	void (*happen)(struct bk_memory *m);
	bool replaces;
} scenarios[] = {
	{ "KSM scans", BK_ANON, ksm, false },
	{ "an attempt to move", BK_ANON, attempt_to_move, false },
	{ "an attempt to move", BK_MEMFD, attempt_to_move, false },
	{ "soft offlining", BK_ANON, soft_offline, false },
	{ "MADV_FREE", BK_ANON, lazy_free, false },
	{ "a huge page is split", BK_THP, split, false },
	{ "reclaim", BK_MEMFD, reclaim, false },
	{ "MADV_DONTNEED", BK_MEMFD, zap, false },
	{ "fork", BK_ANON, do_fork, false },
	{ "fork", BK_HUGE_ANON, do_fork, false },
	{ "MADV_DONTNEED of one page", BK_ANON, replace_one, true },
	{ "a hole is punched", BK_MEMFD, punch, true },
	{ "mapped over", BK_ANON, map_over, true },
};

/* Of how many regions each way would say "lost". */
struct verdicts {
	unsigned int belay, clear, unmap, first_page, changed;
	uint64_t clears, looks;
};

static uint64_t nr_looks(void)
{
	return bk_seen("verified_same") + bk_seen("verified_lost") + bk_seen("verify_again");
}

static bool is_changed(struct bk_memory *m, const uint64_t *before, unsigned int pages)
{
	uint64_t now[BK_HUGE / BK_PAGE];
	size_t i;

	/* What is not mapped just now would be: the next touch shows what. */
	for (i = 0; i < m->len; i += BK_PAGE)
		(void)((volatile char *)m->addr)[i];
	bk_pfns(m->addr, pages, now);
	for (i = 0; i < pages; i++)
		if (now[i] != before[i])
			return true;
	return false;
}

static void one_region(struct bench *x, const struct scenario *s, struct verdicts *v)
{
	uint64_t clears, unmaps, looks, before[BK_HUGE / BK_PAGE];
	unsigned int pages;
	struct bk_memory m;
	struct bk_region r;

	bk_map(&m, s->kind, PAGES * BK_PAGE);
	pages = m.len / BK_PAGE;
	CHECK_OK(bk_register(x->b.fd, m.addr, m.len, BELAY_TRACKED, W, &r));
	driver_pin(x, m.addr, m.len);
	CHECK_OK(bk_commit(x->b.fd, r.id));
	bk_pfns(m.addr, pages, before);
	clears = bk_seen("seen_clear");
	unmaps = bk_seen("seen_unmap");
	looks = nr_looks();
	s->happen(&m);
	clears = bk_seen("seen_clear") - clears;
	v->clears += clears;
	v->clear += clears || bk_seen("seen_unmap") != unmaps;
	v->unmap += bk_seen("seen_unmap") != unmaps;
	v->belay += !!(bk_settle(&x->b, &r) & BELAY_WORD_LOST);
	v->looks += nr_looks() - looks;
	v->changed += is_changed(&m, before, pages);
	v->first_page += bk_pfn(m.addr) != before[0];
	CHECK_OK(bk_unregister(x->b.fd, r.id));
	driver_unpin(x);
	bk_unmap(&m);
}

/* The ratio is that of wrong answers of belay's; none are allowed. */
static void scenario(struct bench *x, const struct scenario *s)
{
	struct verdicts v = {};
	int i;

	for (i = 0; i < REGIONS; i++)
		one_region(x, s, &v);
	CHECK_EQ(v.changed, s->replaces ? REGIONS : 0);
	printf("lost of %d tracked: %s, %s|%u|regions|pages replaced|%.2f|0.00|replaced: %u; \"every CLEAR is a loss\" says %u; \"only UNMAP is\" %u; \"the first page is compared\" %u; %llu CLEARs, %llu looks\n",
	       REGIONS, s->name, bk_kind_name(s->kind), v.belay,
	       (double)abs((int)v.belay - (int)v.changed) / REGIONS, v.changed, v.clear, v.unmap,
	       v.first_page, (unsigned long long)v.clears, (unsigned long long)v.looks);
}

int main(void)
{
	struct barepin_range room = { 0, SIZE };
	struct bench x;
	unsigned int i;
	char *p;

	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_run_on_cpu(0);
	bk_begin(&x.b);
	x.driver = CHECK_SYS(open("/dev/barepin", O_RDWR | O_CLOEXEC));
	CHECK_OK(bk_ioctl(x.driver, BAREPIN_ROOM, &room));
	p = bk_thp(SIZE);
	ways_of(&x, "THP", p);
	verify(&x, "THP", p, BK_HUGE);
	munmap(p, SIZE);
	p = bk_anon(SIZE, 1);
	ways_of(&x, "4 KiB pages", p);
	verify(&x, "4 KiB pages", p, BK_PAGE);
	munmap(p, SIZE);
	for (i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		scenario(&x, &scenarios[i]);
	close(x.driver);
	bk_end(&x.b);
	return 0;
}
