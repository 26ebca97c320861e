// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What a region costs in kernel memory: at most 512 bytes, and 8 for each physically
 * contiguous run of its pages. Measured as all memory that is gone from the system,
 * and as what the slab and vmalloc figures have grown.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

struct figures {
	int64_t gone;		/* from the free memory */
	int64_t slab;		/* slab, vmalloc and per-CPU memory */
};

/* Free memory counts what waits per CPU only now and then: look until it rests. */
static int64_t free_memory(void)
{
	int64_t now, before = 0;
	int i;

	for (i = 0; i < 20; i++) {
		usleep(50000);
		now = bk_field("/proc/meminfo", "MemFree");
		if (llabs(now - before) < 256 << 10)
			break;
		before = now;
	}
	return now;
}

static struct figures figures(void)
{
	struct figures f;

	bk_write("/proc/sys/vm/drop_caches", "3");
	bk_write("/proc/sys/vm/stat_refresh", "1");
	f.gone = -free_memory();
	f.slab = bk_field("/proc/meminfo", "Slab") + bk_field("/proc/meminfo", "VmallocUsed") +
		 bk_field("/proc/meminfo", "Percpu");
	return f;
}

static void register_batches(int fd, struct belay_register_entry *e, unsigned int n)
{
	struct belay_register r = { .size = sizeof(r), .entry_size = sizeof(*e) };
	unsigned int i;

	for (i = 0; i < n; i += r.count) {
		r.entries = (uintptr_t)(e + i);
		r.count = n - i < BELAY_MAX_BATCH ? n - i : BELAY_MAX_BATCH;
		CHECK_OK(bk_ioctl(fd, BELAY_REGISTER, &r));
		CHECK_EQ(r.done, r.count);
	}
	for (i = 0; i < n; i++)
		CHECK_EQ(e[i].status, 0);
}

/*
 * Nobody shall move pages while they are counted. And one processor: freed memory
 * waits on a processor's own list, which MemFree does not count, and which the
 * large allocations before the first look at the figures have emptied.
 */
static void begin(struct bk *b)
{
	bk_run_on_cpu(0);
	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_begin(b);
}

#define REGIONS	100000

TEST_TIMEOUT(regions, "100,000 one-page regions, none beside another, cost at most 520 bytes each", 90)
{
	struct belay_register_entry *e = calloc(REGIONS, sizeof(*e));
	struct figures before, after;
	volatile uint64_t word;
	double start;
	unsigned int i;
	struct bk b;
	char *p;

	begin(&b);
	p = CHECK_SYS(mmap(NULL, 2 * PAGES(REGIONS), PROT_READ | PROT_WRITE, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	CHECK_SYS(madvise(p, 2 * PAGES(REGIONS), MADV_NOHUGEPAGE));
	for (i = 0; i < REGIONS; i++) {
		e[i].addr = (uintptr_t)p + 2 * PAGES(i);
		e[i].len = PAGES(1);
		e[i].kind = BELAY_PINNED;
		e[i].flags = W;
		p[2 * PAGES(i)] = 1;
	}
	before = figures();
	start = tap_now();
	register_batches(b.fd, e, REGIONS);
	start = tap_now() - start;
	for (i = 0; i < REGIONS; i++)
		word = b.words[e[i].word];
	(void)word;
	after = figures();
	tap_diag("%u regions in %.2f s: %lld bytes each are gone, %lld in slab, vmalloc and per-CPU memory",
		 REGIONS, start, (long long)(after.gone - before.gone) / REGIONS,
		 (long long)(after.slab - before.slab) / REGIONS);
	/* It was measured at all. */
	CHECK_GE((after.gone - before.gone) / REGIONS, 100);
	CHECK_GE((after.slab - before.slab) / REGIONS, 100);
	/* 512, and 8 for the run; the words are not in there. */
	CHECK_LE((after.slab - before.slab) / REGIONS, 520);
	/* All there is; the rest of the system is not silent: a tenth. */
	CHECK_LE((after.gone - before.gone) / REGIONS, 520 + 52);
	bk_end(&b);
	free(e);
}

#define SIZE	(256UL << 20)
#define SAME	40

/*
 * Two ranges whose pages were touched in turn: neighbours are no neighbours. The
 * second one stays mapped, so that nothing is freed.
 */
static char *scattered(void)
{
	char *p = CHECK_SYS(mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	size_t i;

	CHECK_SYS(madvise(p, 2 * SIZE, MADV_NOHUGEPAGE));
	for (i = 0; i < SIZE; i += BK_PAGE)
		p[i] = p[SIZE + i] = 1;
	return p;
}

static unsigned int count_runs(const char *p)
{
	const size_t n = SIZE / BK_PAGE;
	uint64_t *pfns = calloc(n, sizeof(*pfns));
	unsigned int runs = 1;
	size_t i;

	bk_pfns(p, n, pfns);
	CHECK_NE(pfns[0], 0);
	for (i = 1; i < n; i++) {
		CHECK_NE(pfns[i], 0);
		runs += pfns[i] != pfns[i - 1] + 1;
	}
	free(pfns);
	return runs;
}

TEST_TIMEOUT(runs, "regions over 256 MiB of scattered small pages cost at most 8 bytes a run and 512 bytes each", 90)
{
	struct figures before, after;
	unsigned int i, runs;
	int64_t bound;
	struct bk b;
	char *p;

	begin(&b);
	p = scattered();
	runs = count_runs(p);
	CHECK_GE(runs, 20000);
	/* More than one, to tell them from the noise. */
	bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
	before = figures();
	for (i = 0; i < SAME; i++)
		bk_hold(&b, p, SIZE, BELAY_PINNED, W);
	after = figures();
	bound = SAME * (8LL * runs + 512);
	tap_diag("%u regions of %u runs: %lld bytes are gone, %lld in slab, vmalloc and per-CPU memory; at most %lld",
		 SAME, runs, (long long)(after.gone - before.gone),
		 (long long)(after.slab - before.slab), (long long)bound);
	CHECK_GE(after.gone - before.gone, bound / 2);
	/* The rest of the system is not silent: a tenth of it. */
	CHECK_LE(after.gone - before.gone, bound + bound / 10);
	bk_end(&b);
}

TEST(one_run, "a region over 64 MiB of huge pages costs next to nothing beside the 512 bytes")
{
	struct figures before, after;
	unsigned int i;
	struct bk b;
	char *p;

	begin(&b);
	p = bk_thp(64UL << 20);
	bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
	before = figures();
	for (i = 0; i < 100; i++)
		bk_hold(&b, p, 64UL << 20, BELAY_PINNED, W);
	after = figures();
	tap_diag("100 regions of 32 huge pages: %lld bytes each in slab, vmalloc and per-CPU memory",
		 (long long)(after.slab - before.slab) / 100);
	/* At most 32 runs each. */
	CHECK_LE(after.slab - before.slab, 100 * (32 * 8 + 512) + (256 << 10));
	bk_end(&b);
}

#define CGROUPS	"/sys/fs/cgroup"
#define GROUP	CGROUPS "/belay-footprint"

/* The client, in a memory cgroup of its own. */
static void charged_run(void *arg)
{
	static struct belay_register_entry e[20000];
	const struct bk *b = arg;
	struct bk me;
	uint64_t before, after;
	unsigned int i;
	char *p;

	bk_write(GROUP "/cgroup.procs", "0");
	bk_join(&me, b);
	p = bk_anon(PAGES(20000), 1);
	for (i = 0; i < 20000; i++) {
		e[i].addr = (uintptr_t)p + PAGES(i);
		e[i].len = PAGES(1);
		e[i].kind = BELAY_PINNED;
	}
	before = bk_field(GROUP "/memory.stat", "kernel");
	register_batches(me.fd, e, 20000);
	/* Statistics are flushed every two seconds. */
	CHECK_SOON((after = bk_field(GROUP "/memory.stat", "kernel")) >
		   before + 20000 * 200, 5);
	tap_diag("20,000 regions: %llu bytes each are charged to the client's cgroup",
		 (unsigned long long)(after - before) / 20000);
}

TEST(charged, "the memory of regions is charged to the client's memory cgroup")
{
	struct bk b;

	bk_write(CGROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		FAIL("mkdir: %s", strerror(errno));
	begin(&b);
	tap_join(tap_spawn(charged_run, &b));
	bk_end(&b);
	CHECK_SOON(!rmdir(GROUP), 5);
}

TAP_MAIN()
