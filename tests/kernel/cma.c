// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Memory that is kept for contiguous allocations (CMA). Movable pages may lie there until
 * such an allocation comes, so nothing may be pinned there: what is registered moves out
 * first. What is only watched stays, and an allocation that moves it away is a loss.
 *
 * The machine has a CMA area on node 1 of which debugfs tells where it is; pages are
 * taken from there first as long as most of what is free on the node lies in it.
 */
#include <fcntl.h>
#include <glob.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/kernel/lib/bk_driver.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define N	512
#define LEN	(N * BK_PAGE)
#define TRIES	5

/* ---- the area --------------------------------------------------------------------------- */

struct area {
	char dir[128];
	uint64_t base, count;	/* page frames */
};

static const char *area_file(const struct area *a, const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%s", a->dir, name);
	return path;
}

static void find_area(struct area *a)
{
	glob_t g;

	/* It would move pages, too. */
	bk_write("/proc/sys/kernel/numa_balancing", "0");
	CHECK_EQ(glob("/sys/kernel/debug/cma/*", 0, NULL, &g), 0);
	CHECK_EQ(g.gl_pathc, 1);
	memset(a, 0, sizeof(*a));
	snprintf(a->dir, sizeof(a->dir), "%s", g.gl_pathv[0]);
	globfree(&g);
	a->base = bk_read(area_file(a, "base_pfn"));
	a->count = bk_read(area_file(a, "count"));
	CHECK_GT(a->count, 0);
	CHECK_EQ(bk_read(area_file(a, "used")), 0);
}

static bool is_inside(const struct area *a, uint64_t pfn)
{
	return pfn >= a->base && pfn - a->base < a->count;
}

static unsigned int inside(const struct area *a, const uint64_t *pfns)
{
	unsigned int i, n = 0;

	for (i = 0; i < N; i++) {
		CHECK_NE(pfns[i], 0);
		n += is_inside(a, pfns[i]);
	}
	return n;
}

/* All of the area, as one; back at once. 0 or a negative errno. */
static int try_allocate(const struct area *a)
{
	const char *alloc = area_file(a, "alloc");
	double start = tap_now();
	char text[24];
	int fd, ret;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)a->count);
	fd = CHECK_SYS(open(alloc, O_WRONLY | O_CLOEXEC));
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	tap_diag("allocating %s pages took %.1f s: %s", text, tap_now() - start, strerror(-ret));
	CHECK_EQ(bk_read(area_file(a, "used")), ret ? 0 : a->count);
	if (!ret)
		bk_write(area_file(a, "free"), text);
	CHECK_EQ(bk_read(area_file(a, "used")), 0);
	return ret;
}

/* Others have a page in use for a moment now and then. */
static void allocate(const struct area *a)
{
	int tries = 0, ret;

	do
		ret = try_allocate(a);
	while (ret && ++tries < TRIES);
	CHECK_EQ(ret, 0);
}

/* ---- memory in it --------------------------------------------------------------------------- */

/* Each page has bytes of its own. */
static void fill(char *p)
{
	size_t i;

	for (i = 0; i < N; i++)
		memset(p + i * BK_PAGE, (int)(i % 251) + 1, BK_PAGE);
}

static void expect_filled(const char *p)
{
	char page[BK_PAGE];
	size_t i;

	for (i = 0; i < N; i++) {
		memset(page, (int)(i % 251) + 1, BK_PAGE);
		CHECK_MEM(p + i * BK_PAGE, page, BK_PAGE);
	}
}

static void map_on_node1(struct bk_memory *m, enum bk_kind kind)
{
	unsigned long mask = 1UL << 1;

	bk_map(m, kind, LEN);
	CHECK_SYS(syscall(SYS_mbind, m->addr, LEN, MPOL_BIND, &mask, 8 * sizeof(mask),
			  MPOL_MF_MOVE | MPOL_MF_STRICT));
	/* Where it goes from there is free. */
	CHECK_SYS(syscall(SYS_mbind, m->addr, LEN, MPOL_DEFAULT, NULL, 0, 0));
}

/*
 * All of it in the area; pfns has where. A processor may have some other pages at hand,
 * which are used up first.
 */
static void make(const struct area *a, struct bk_memory *m, enum bk_kind kind, uint64_t *pfns)
{
	struct bk_memory others[TRIES];
	int i, n = 0;

	for (;;) {
		map_on_node1(m, kind);
		bk_pfns(m->addr, N, pfns);
		if (inside(a, pfns) == N)
			break;
		CHECK_LT(n, TRIES);
		others[n++] = *m;
	}
	for (i = 0; i < n; i++)
		bk_unmap(&others[i]);
	fill(m->addr);
}

static void expect_row(struct bk *b, const struct bk_region *r, uint64_t held)
{
	struct belay_region_row row;
	uint64_t nodes = 0;
	void *pages[N];
	int status[N], i;

	for (i = 0; i < N; i++)
		pages[i] = r->addr + i * BK_PAGE;
	CHECK_SYS(syscall(SYS_move_pages, 0, N, pages, NULL, status, 0));
	for (i = 0; i < N; i++)
		nodes |= 1ULL << CHECK_OK(status[i]);
	CHECK(bk_find_region(b->ctl, b->session, r->id, &row));
	CHECK_EQ(row.held_bytes, held);
	CHECK_EQ(row.nodes, held ? nodes : 0);
	CHECK_EQ(row.node, held ? status[0] : -1);
}

/* How much of the regions lies in the area, as the listing has it. */
static uint64_t listed_inside(int ctl, const struct area *a)
{
	struct belay_select select = {
		.by = BELAY_SELECT_PHYS,
		.phys_addr = a->base * BK_PAGE,
		.phys_len = a->count * BK_PAGE,
	};
	struct belay_region_row rows[16];
	unsigned int i, n = bk_list_by(ctl, BELAY_LIST_REGIONS, rows, sizeof(rows[0]), 16, &select);
	uint64_t bytes = 0;

	for (i = 0; i < n; i++)
		bytes += rows[i].selected_bytes;
	return bytes;
}

/* ---- moving out ------------------------------------------------------------------------------ */

static const enum bk_kind kinds[] = { BK_ANON, BK_THP, BK_MEMFD, BK_HUGE_MEMFD };

TEST_TIMEOUT(pinned, "what lies in a CMA area is moved out of it by registering: valid, the same data, charged once, and the row tells the nodes", 120)
{
	uint64_t before[N], after[N];
	struct bk_memory m;
	struct bk_region r;
	struct area a;
	unsigned int i;
	int64_t pins;
	struct bk b;

	bk_begin(&b);
	find_area(&a);
	bk_hugepages(16);
	pins = bk_pins();
	for (i = 0; i < 4; i++) {
		make(&a, &m, kinds[i], before);
		CHECK_OK(bk_register(b.fd, m.addr, LEN, BELAY_PINNED, m.flags, &r));
		bk_pfns(m.addr, N, after);
		tap_diag("%s: %u of %d pages in the area before, %u after", bk_kind_name(kinds[i]),
			 inside(&a, before), N, inside(&a, after));
		CHECK_EQ(inside(&a, after), 0);
		CHECK_EQ(bk_settle(&b, &r), 0);
		CHECK(bk_valid(&b, &r));
		expect_filled(m.addr);
		CHECK_EQ(bk_usage_bytes(b.fd), LEN);
		CHECK_EQ(bk_pins() - pins, N);
		expect_row(&b, &r, LEN);
		CHECK_EQ(listed_inside(b.ctl, &a), 0);
		CHECK_OK(bk_unregister(b.fd, r.id));
		CHECK_EQ(bk_pins(), pins);
		bk_unmap(&m);
	}
	bk_end(&b);
}

static void tracked_moves(struct bk *b, const struct area *a, struct bk_driver *d,
			  enum bk_kind kind)
{
	uint64_t before[N], prepared[N], after[N];
	struct bk_memory m;
	struct bk_region r;

	/* Of itself, without belay, the driver moves them. */
	make(a, &m, kind, before);
	CHECK_OK(bk_driver_pin(d, m.addr, LEN));
	bk_pfns(m.addr, N, after);
	CHECK_EQ(inside(a, after), 0);
	bk_driver_unpin(d);
	bk_unmap(&m);

	make(a, &m, kind, before);
	CHECK_OK(bk_register(b->fd, m.addr, LEN, BELAY_TRACKED, W, &r));
	bk_pfns(m.addr, N, prepared);
	CHECK_EQ(inside(a, prepared), 0);
	CHECK_OK(bk_driver_pin(d, m.addr, LEN));
	bk_pfns(m.addr, N, after);
	CHECK_MEM(after, prepared, sizeof(after));
	CHECK_OK(bk_commit(b->fd, r.id));
	CHECK_EQ(bk_settle(b, &r), 0);
	CHECK(bk_valid(b, &r));
	expect_filled(m.addr);
	CHECK_EQ(bk_usage_bytes(b->fd), LEN);
	expect_row(b, &r, LEN);
	CHECK_OK(bk_unregister(b->fd, r.id));
	bk_driver_unpin(d);
	bk_unmap(&m);
}

TEST_TIMEOUT(tracked, "preparing moves it out before the driver pins: the driver moves nothing, commit succeeds at the first attempt", 120)
{
	enum bk_driver_kind kind;
	struct bk_driver d;
	struct area a;
	struct bk b;

	bk_begin(&b);
	find_area(&a);
	for (kind = 0; kind < BK_DRIVERS; kind++) {
		bk_driver_open(&d, kind);
		tracked_moves(&b, &a, &d, BK_ANON);
		tracked_moves(&b, &a, &d, BK_THP);
		tracked_moves(&b, &a, &d, BK_MEMFD);
		bk_driver_close(&d);
	}
	bk_end(&b);
}

/* ---- contiguous allocations ------------------------------------------------------------------- */

/* What a pipe refers to cannot move. */
static void hold_by_pipe(const char *p, int ends[2])
{
	const struct iovec iov = { (void *)p, BK_PAGE };

	CHECK_SYS(pipe(ends));
	CHECK_EQ(vmsplice(ends[1], &iov, 1, 0), BK_PAGE);
}

TEST_TIMEOUT(allocated, "the area can be allocated as a whole, with regions there whose memory lay in it; not so while a single page is held by other means", 180)
{
	uint64_t at[N], now[N], tracked_now[N], later[N];
	struct bk_memory pinned, tracked, held;
	struct bk_region rp, rt;
	int64_t pins = bk_pins();
	struct bk_driver d;
	struct area a;
	struct bk b;
	int ends[2];

	bk_begin(&b);
	find_area(&a);
	bk_driver_open(&d, BK_IO_URING);
	make(&a, &held, BK_ANON, at);
	hold_by_pipe(held.addr, ends);
	CHECK_LT(try_allocate(&a), 0);
	close(ends[0]);
	close(ends[1]);
	bk_unmap(&held);

	make(&a, &pinned, BK_ANON, at);
	make(&a, &tracked, BK_THP, at);
	CHECK_OK(bk_register(b.fd, pinned.addr, LEN, BELAY_PINNED, W, &rp));
	CHECK_OK(bk_register(b.fd, tracked.addr, LEN, BELAY_TRACKED, W, &rt));
	CHECK_OK(bk_driver_pin(&d, tracked.addr, LEN));
	CHECK_OK(bk_commit(b.fd, rt.id));
	bk_pfns(pinned.addr, N, now);
	bk_pfns(tracked.addr, N, tracked_now);
	allocate(&a);
	bk_pfns(pinned.addr, N, later);
	CHECK_MEM(later, now, sizeof(now));
	bk_pfns(tracked.addr, N, later);
	CHECK_MEM(later, tracked_now, sizeof(now));
	CHECK_EQ(bk_settle(&b, &rp), 0);
	CHECK_EQ(bk_settle(&b, &rt), 0);
	CHECK(bk_valid(&b, &rp));
	CHECK(bk_valid(&b, &rt));
	expect_filled(pinned.addr);
	expect_filled(tracked.addr);

	CHECK_OK(bk_unregister(b.fd, rt.id));
	bk_driver_unpin(&d);
	bk_driver_close(&d);
	/* The other one goes with its session. */
	CHECK_EQ(bk_pins() - pins, N);
	bk_end(&b);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_unmap(&pinned);
	bk_unmap(&tracked);
}

TEST_TIMEOUT(watched, "what is watched stays in the area; an allocation that moves it away is a loss if it was committed, and none if not", 180)
{
	uint64_t mapping_at[N], pages_at[N], now[N];
	struct bk_memory mapping, pages;
	struct bk_region rm, rp;
	struct belay_event e;
	int64_t pins = bk_pins();
	struct area a;
	struct bk b;

	bk_begin(&b);
	find_area(&a);
	make(&a, &mapping, BK_ANON, mapping_at);
	make(&a, &pages, BK_ANON, pages_at);
	CHECK_OK(bk_register(b.fd, mapping.addr, LEN, BELAY_WATCHED, W, &rm));
	CHECK_OK(bk_register(b.fd, pages.addr, LEN, BELAY_WATCHED, W, &rp));
	CHECK_OK(bk_commit(b.fd, rp.id));
	bk_pfns(mapping.addr, N, now);
	CHECK_MEM(now, mapping_at, sizeof(now));
	bk_pfns(pages.addr, N, now);
	CHECK_MEM(now, pages_at, sizeof(now));
	CHECK(bk_valid(&b, &rm));
	CHECK(bk_valid(&b, &rp));
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_EQ(bk_pins(), pins);
	expect_row(&b, &rp, 0);

	allocate(&a);
	bk_pfns(pages.addr, N, now);
	CHECK_EQ(inside(&a, now), 0);
	bk_pfns(mapping.addr, N, now);
	CHECK_EQ(inside(&a, now), 0);
	CHECK_EQ(bk_settle(&b, &rp), BELAY_WORD_LOST);
	CHECK_SOON(bk_find_event(b.ctl, b.session, rp.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.reason, BELAY_REASON_REPLACED);
	CHECK_EQ(e.lost_addr, (uintptr_t)pages.addr);
	CHECK_EQ(e.lost_len, LEN);
	CHECK(bk_valid(&b, &rm));
	expect_filled(mapping.addr);
	expect_filled(pages.addr);
	bk_drain_events(b.ctl);
	bk_end(&b);
	bk_unmap(&mapping);
	bk_unmap(&pages);
}

TAP_MAIN()
