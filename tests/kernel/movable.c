// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Movable memory. What lies in ZONE_MOVABLE moves out when it is registered, so that the
 * memory can still be taken offline; what lies elsewhere stays, keeps its block online,
 * and can be asked after by the block's place. And: a registration may end up on another
 * node than the one that the memory was bound to, which its row tells.
 *
 * The machine has most of node 1 in ZONE_MOVABLE. Node 2 has nothing but hot-added
 * blocks, which are offline: a test puts one online, movable or not, and it is the only
 * memory of that node, with nothing else in it.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "tests/kernel/lib/bk_driver.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define N	512
#define LEN	(N * BK_PAGE)
#define MEMORY	"/sys/devices/system/memory/"

/* ---- memory blocks ------------------------------------------------------------------- */

static void read_line(const char *path, char *text, int room)
{
	FILE *f = fopen(path, "r");

	if (!f || !fgets(text, room, f))
		FAIL("%s cannot be read", path);
	fclose(f);
}

static uint64_t block_bytes(void)
{
	char text[32];

	read_line(MEMORY "block_size_bytes", text, sizeof(text));
	return strtoull(text, NULL, 16);
}

static bool block_says(unsigned int block, const char *file, const char *what)
{
	char path[128], text[64];

	snprintf(path, sizeof(path), MEMORY "memory%u/%s", block, file);
	read_line(path, text, sizeof(text));
	return !strncmp(text, what, strlen(what));
}

static int block_order(unsigned int block, const char *state)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), MEMORY "memory%u/state", block);
	fd = CHECK_SYS(open(path, O_WRONLY | O_CLOEXEC));
	ret = write(fd, state, strlen(state)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* The nth block of node 2. */
static unsigned int block_of_node2(unsigned int nth)
{
	unsigned int block;
	char path[128];

	for (block = 0; block < 1024; block++) {
		snprintf(path, sizeof(path), MEMORY "memory%u/node2", block);
		if (!access(path, F_OK) && !nth--)
			return block;
	}
	FAIL("node 2 has too few blocks");
}

static void order_offline(void *arg)
{
	unsigned int block = *(unsigned int *)arg;

	_exit(-block_order(block, "offline"));
}

/*
 * 0 when it is offline. The kernel tries without end, or says EBUSY: EINTR stands for
 * the former.
 */
static int try_offline(unsigned int block, unsigned int seconds)
{
	pid_t pid = tap_spawn(order_offline, &block);
	int status;

	if (!tap_wait(pid, seconds, &status)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		return -EINTR;
	}
	CHECK(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void put_online(unsigned int block, const char *how)
{
	CHECK(block_says(block, "state", "offline"));
	CHECK_OK(block_order(block, how));
	CHECK(block_says(block, "state", "online"));
	CHECK(block_says(block, "valid_zones", strcmp(how, "online_movable") ? "Normal" : "Movable"));
}

/*
 * Block 1 of node 2 as ordinary memory, and nothing of the kernel's own in it. With a
 * node's first memory come the kernel's threads for that node, whose structures lie on
 * it if they can, and that block never goes offline again. So block 0 comes first,
 * where they cannot lie, and leaves again. Returns the block.
 */
static unsigned int open_clean_block(void)
{
	unsigned int first = block_of_node2(0), block = block_of_node2(1);

	put_online(first, "online_movable");
	put_online(block, "online_kernel");
	/* If nothing holds it, it goes: else what follows would show nothing. */
	CHECK_OK(try_offline(block, tap_limit(10)));
	put_online(block, "online_kernel");
	CHECK_OK(try_offline(first, tap_limit(10)));
	return block;
}

/* ---- where pages are ------------------------------------------------------------------ */

static void bind_to(char *p, size_t len, unsigned int node)
{
	unsigned long mask = 1UL << node;

	CHECK_SYS(syscall(SYS_mbind, p, len, MPOL_BIND, &mask, 8 * sizeof(mask),
			  MPOL_MF_MOVE | MPOL_MF_STRICT));
}

struct where {
	unsigned int movable;	/* pages in ZONE_MOVABLE */
	unsigned int in_block;	/* pages in the block asked about */
	uint64_t nodes;
	int first_node;
	uint64_t pfns[N];
};

static void look_where(const char *p, unsigned int block, struct where *w)
{
	uint64_t per_block = block_bytes() / BK_PAGE;
	unsigned long last = ULONG_MAX;
	bool movable = false;
	void *pages[N];
	int status[N], i;

	memset(w, 0, sizeof(*w));
	bk_pfns(p, N, w->pfns);
	for (i = 0; i < N; i++)
		pages[i] = (void *)(p + i * BK_PAGE);
	CHECK_SYS(syscall(SYS_move_pages, 0, N, pages, NULL, status, 0));
	for (i = 0; i < N; i++) {
		CHECK(w->pfns[i]);
		CHECK_OK(status[i]);
		if (w->pfns[i] / per_block != last) {
			last = w->pfns[i] / per_block;
			movable = block_says(last, "valid_zones", "Movable");
		}
		w->movable += movable;
		w->in_block += w->pfns[i] / per_block == block;
		w->nodes |= 1ULL << status[i];
	}
	w->first_node = status[0];
}

static unsigned int differing(const struct where *a, const struct where *b)
{
	unsigned int i, n = 0;

	for (i = 0; i < N; i++)
		n += a->pfns[i] != b->pfns[i];
	return n;
}

static void make(struct bk_memory *m, enum bk_kind kind, unsigned int node)
{
	bk_map(m, kind, LEN);
	bind_to(m->addr, LEN, node);
}

/* ---- moving out ------------------------------------------------------------------------ */

static const enum bk_kind kinds[] = { BK_ANON, BK_THP, BK_MEMFD, BK_HUGE_MEMFD };

/* 6.1 does not move a hugetlb page out: ENOMEM, and a warning in its log. */
static unsigned int nr_kinds(void)
{
	struct utsname u;

	CHECK_SYS(uname(&u));
	return strncmp(u.release, "6.1.", 4) ? 4 : 3;
}

TEST_TIMEOUT(moves_out, "what lies in ZONE_MOVABLE is moved out of it by registering, and the region is valid", 60)
{
	struct where before, after;
	struct bk_memory m;
	struct bk_region r;
	unsigned int i;
	double start;
	struct bk b;

	bk_begin(&b);
	bk_hugepages(16);
	for (i = 0; i < nr_kinds(); i++) {
		make(&m, kinds[i], 1);
		look_where(m.addr, 0, &before);
		start = tap_now();
		CHECK_OK(bk_register(b.fd, m.addr, LEN, BELAY_PINNED, m.flags, &r));
		start = tap_now() - start;
		look_where(m.addr, 0, &after);
		tap_diag("%s: %u of %d pages movable before, %u after; %.1f ms",
			 bk_kind_name(kinds[i]), before.movable, N, after.movable, start * 1e3);
		CHECK_EQ(before.movable, N);
		CHECK_EQ(after.movable, 0);
		CHECK_EQ(differing(&before, &after), N);
		CHECK_EQ(bk_settle(&b, &r), 0);
		CHECK(bk_valid(&b, &r));
		CHECK_OK(bk_unregister(b.fd, r.id));
		bk_unmap(&m);
	}
	bk_end(&b);
}

static void tracked_moves(struct bk *b, struct bk_driver *d, enum bk_kind kind)
{
	struct where before, prepared, after;
	struct bk_memory m;
	struct bk_region r;
	size_t i;

	/* Of itself, without belay, the driver moves them. */
	make(&m, kind, 1);
	look_where(m.addr, 0, &before);
	CHECK_EQ(before.movable, N);
	CHECK_OK(bk_driver_pin(d, m.addr, LEN));
	look_where(m.addr, 0, &after);
	CHECK_EQ(differing(&before, &after), N);
	bk_driver_unpin(d);
	bk_unmap(&m);

	make(&m, kind, 1);
	look_where(m.addr, 0, &before);
	CHECK_EQ(before.movable, N);
	CHECK_OK(bk_register(b->fd, m.addr, LEN, BELAY_TRACKED, W, &r));
	look_where(m.addr, 0, &prepared);
	CHECK_EQ(prepared.movable, 0);
	CHECK_OK(bk_driver_pin(d, m.addr, LEN));
	look_where(m.addr, 0, &after);
	CHECK_EQ(differing(&prepared, &after), 0);
	CHECK_OK(bk_commit(b->fd, r.id));
	CHECK_EQ(bk_settle(b, &r), 0);
	CHECK(bk_valid(b, &r));
	if (d->kind == BK_IO_URING) {
		bk_driver_fill(d, 0x3c);
		for (i = 0; i < LEN; i++)
			CHECK_EQ(m.addr[i], 0x3c);
	}
	CHECK_OK(bk_unregister(b->fd, r.id));
	bk_driver_unpin(d);
	bk_unmap(&m);
}

TEST_TIMEOUT(tracked, "where the driver's pin moves the pages out, preparing has done so before: the driver moves none, commit succeeds at the first attempt", 60)
{
	enum bk_driver_kind kind;
	struct bk_driver d;
	struct bk b;

	bk_begin(&b);
	for (kind = 0; kind < BK_DRIVERS; kind++) {
		bk_driver_open(&d, kind);
		tracked_moves(&b, &d, BK_ANON);
		tracked_moves(&b, &d, BK_THP);
		tracked_moves(&b, &d, BK_MEMFD);
		bk_driver_close(&d);
	}
	bk_end(&b);
}

/* ---- the node that it ends up on -------------------------------------------------------- */

static void expect_row(struct bk *b, const struct bk_region *r, struct belay_region_row *row)
{
	struct where w;

	CHECK(bk_find_region(b->ctl, b->session, r->id, row));
	look_where(r->addr, 0, &w);
	CHECK_EQ(row->nodes, w.nodes);
	CHECK_EQ(row->node, w.first_node);
	CHECK_EQ(row->held_bytes, LEN);
}

TEST_TIMEOUT(node, "memory bound to a node that is all movable ends up on another one, and the region's row tells which, as move_pages does", 60)
{
	unsigned int block = block_of_node2(0), i;
	struct belay_region_row row;
	struct bk_region r;
	struct bk_memory m;
	struct where w;
	struct bk b;

	bk_begin(&b);
	put_online(block, "online_movable");
	for (i = 0; i < 3; i++) {
		make(&m, kinds[i], 2);
		look_where(m.addr, block, &w);
		CHECK_EQ(w.nodes, 1 << 2);
		CHECK_EQ(w.in_block, N);
		CHECK_OK(bk_register(b.fd, m.addr, LEN, BELAY_PINNED, W, &r));
		expect_row(&b, &r, &row);
		tap_diag("%s: bound to node 2, registered on nodes %#llx", bk_kind_name(kinds[i]),
			 (unsigned long long)row.nodes);
		CHECK(!(row.nodes & 1 << 2));
		CHECK_NE(row.nodes, 0);
		/* Its pages have left: with the region there, the block goes offline. */
		CHECK_OK(try_offline(block, tap_limit(10)));
		CHECK(block_says(block, "state", "offline"));
		CHECK_EQ(bk_settle(&b, &r), 0);
		CHECK(bk_valid(&b, &r));
		CHECK_OK(bk_unregister(b.fd, r.id));
		bk_unmap(&m);
		put_online(block, "online_movable");
	}
	CHECK_OK(try_offline(block, tap_limit(10)));
	bk_end(&b);
}

/* ---- a block that holds a region --------------------------------------------------------- */

static unsigned int in_block(int ctl, unsigned int block, struct belay_region_row *row)
{
	struct belay_ctl_list l = {
		.size = sizeof(l),
		.what = BELAY_LIST_REGIONS,
		.entry_size = sizeof(*row),
		.rows = (uintptr_t)row,
		.count = 1,
		.select = {
			.by = BELAY_SELECT_PHYS,
			.phys_addr = block * block_bytes(),
			.phys_len = block_bytes(),
		},
	};

	CHECK_OK(bk_ioctl(ctl, BELAY_CTL_LIST, &l));
	return l.count;
}

enum letting_go { UNREGISTER, RELEASE, UNMAP, WAYS };

static void hold_block(struct bk *b, enum bk_kind kind, uint32_t how, enum letting_go way)
{
	unsigned int block = open_clean_block();
	struct belay_region_row row;
	struct bk_driver d;
	struct bk_memory m;
	struct bk_region r;
	struct where w;
	double start;
	int ret;

	/* Not io_uring: 6.1's has something of its own on every node. */
	bk_driver_open(&d, BK_VERBS);
	make(&m, kind, 2);
	look_where(m.addr, block, &w);
	CHECK_EQ(w.in_block, N);
	CHECK_EQ(in_block(b->ctl, block, &row), 0);
	CHECK_OK(bk_register(b->fd, m.addr, LEN, how, W, &r));
	if (how == BELAY_TRACKED) {
		CHECK_OK(bk_driver_pin(&d, m.addr, LEN));
		CHECK_OK(bk_commit(b->fd, r.id));
	}
	/* It need not move, and so it stays. */
	look_where(m.addr, block, &w);
	CHECK_EQ(w.in_block, N);
	expect_row(b, &r, &row);
	CHECK_EQ(row.nodes, 1 << 2);

	ret = try_offline(block, 2);
	CHECK(ret == -EBUSY || ret == -EINTR);
	CHECK(block_says(block, "state", "online"));
	/* Who is it? */
	CHECK_EQ(in_block(b->ctl, block, &row), 1);
	CHECK_EQ(row.session, b->session);
	CHECK_EQ(row.region, r.id);
	CHECK_EQ(row.selected_bytes, LEN);
	CHECK_EQ(in_block(b->ctl, block + 1, &row), 0);
	CHECK_EQ(bk_settle(b, &r), 0);
	CHECK(bk_valid(b, &r));

	if (way == RELEASE)
		CHECK_OK(bk_recall(b->ctl, BELAY_CTL_RELEASE, b->session, r.id, 0));
	else if (way == UNMAP)
		CHECK_SYS(munmap(m.addr, LEN));
	if (way != RELEASE)
		CHECK_OK(bk_unregister(b->fd, r.id));
	if (how == BELAY_TRACKED)
		bk_driver_unpin(&d);
	CHECK_EQ(in_block(b->ctl, block, &row), 0);
	start = tap_now();
	CHECK_OK(try_offline(block, tap_limit(15)));
	CHECK(block_says(block, "state", "offline"));
	tap_diag("%s, %s: with the region, offline gave %s; without, it took %.0f ms",
		 bk_kind_name(kind), how == BELAY_TRACKED ? "tracked" : "pinned",
		 ret == -EBUSY ? "EBUSY" : "nothing until it was killed", (tap_now() - start) * 1e3);
	bk_driver_close(&d);
	bk_unmap(&m);
}

TEST_TIMEOUT(block, "a memory block that holds a region cannot be taken offline, the query by place names the holder; once the region is let go, it can", 150)
{
	struct bk b;

	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_begin(&b);
	hold_block(&b, BK_ANON, BELAY_PINNED, UNREGISTER);
	hold_block(&b, BK_ANON, BELAY_PINNED, UNMAP);
	hold_block(&b, BK_THP, BELAY_PINNED, RELEASE);
	hold_block(&b, BK_MEMFD, BELAY_PINNED, RELEASE);
	hold_block(&b, BK_ANON, BELAY_TRACKED, UNREGISTER);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TAP_MAIN()
