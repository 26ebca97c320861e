// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Tracked regions under a driver that really pins: memory regions of libibverbs
 * over soft-RoCE. Prepare, let the driver pin, commit.
 */
#include <infiniband/verbs.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define LEN	PAGES(64)
#define N	64

struct bed {
	struct bk b;
	struct ibv_context *context;
	struct ibv_pd *pd;
	int64_t pins;
};

static struct ibv_context *open_device(void)
{
	struct ibv_device **list;
	struct ibv_context *context;
	int i, n;

	list = ibv_get_device_list(&n);
	CHECK(list && n);
	for (i = 0; i < n && strcmp(ibv_get_device_name(list[i]), "rxe_kt"); i++)
		;
	CHECK_LT(i, n);
	context = ibv_open_device(list[i]);
	CHECK(context);
	ibv_free_device_list(list);
	return context;
}

static void make_device(void)
{
	if (!access("/sys/class/infiniband/rxe_kt", F_OK))
		return;
	if (system("modprobe rdma_rxe && modprobe dummy && "
		   "ip link add kt0 type dummy && ip addr add 10.9.9.1/24 dev kt0 && "
		   "ip link set kt0 up && rdma link add rxe_kt type rxe netdev kt0"))
		FAIL("no soft-RoCE");
	CHECK_SOON(!access("/sys/class/infiniband/rxe_kt", F_OK), 5);
}

static void bed_make(struct bed *d)
{
	make_device();
	d->context = open_device();
	d->pd = ibv_alloc_pd(d->context);
	CHECK(d->pd);
	bk_begin(&d->b);
	d->pins = bk_pins();
}

static void bed_end(struct bed *d)
{
	CHECK_SOON(bk_pins() == d->pins, 5);
	CHECK_EQ(ibv_dealloc_pd(d->pd), 0);
	CHECK_EQ(ibv_close_device(d->context), 0);
	bk_end(&d->b);
}

static struct ibv_mr *reg_mr(struct bed *d, void *p, size_t len)
{
	struct ibv_mr *mr = ibv_reg_mr(d->pd, p, len, IBV_ACCESS_LOCAL_WRITE |
				       IBV_ACCESS_REMOTE_WRITE);

	if (!mr)
		FAIL("ibv_reg_mr: %s", strerror(errno));
	return mr;
}

/* Prepared, pinned by the driver, committed: at the first attempt. */
static struct ibv_mr *track(struct bed *d, void *p, size_t len, struct bk_region *ret)
{
	struct ibv_mr *mr;

	CHECK_OK(bk_register(d->b.fd, p, len, BELAY_TRACKED, W, ret));
	mr = reg_mr(d, p, len);
	CHECK_OK(bk_commit(d->b.fd, ret->id));
	CHECK(bk_valid(&d->b, ret));
	return mr;
}

static void untrack(struct bed *d, struct ibv_mr *mr, const struct bk_region *r)
{
	CHECK_OK(bk_unregister(d->b.fd, r->id));
	CHECK_EQ(ibv_dereg_mr(mr), 0);
}

TEST(bill, "what the driver pins is charged and listed by belay, and shows in VmPin once, by the driver")
{
	struct belay_region_row row;
	struct bk_region r;
	struct ibv_mr *mr;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_TRACKED, W, &r));
	CHECK(bk_find_region(d.b.ctl, d.b.session, r.id, &row));
	CHECK_EQ(row.prepared, 1);
	CHECK_EQ(bk_usage_bytes(d.b.fd), LEN);
	mr = reg_mr(&d, p, LEN);
	CHECK_OK(bk_commit(d.b.fd, r.id));
	CHECK(bk_find_region(d.b.ctl, d.b.session, r.id, &row));
	CHECK_EQ(row.prepared, 0);
	CHECK_EQ(row.kind, BELAY_TRACKED);
	CHECK(bk_valid(&d.b, &r));
	CHECK_EQ(bk_usage_bytes(d.b.fd), LEN);
	CHECK_EQ(bk_sysfs("tracked_bytes"), LEN);
	CHECK_EQ(bk_sysfs("pinned_bytes"), 0);
	CHECK_EQ(bk_vm_pin(), LEN);
	CHECK_EQ(bk_pins() - d.pins, N);
	untrack(&d, mr, &r);
	CHECK_EQ(bk_vm_pin(), 0);
	CHECK_EQ(bk_usage_bytes(d.b.fd), 0);
	/* A pinned one shows too: under it an MR would count twice. */
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_PINNED, W, &r));
	CHECK_EQ(bk_vm_pin(), LEN);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bed_end(&d);
}

TEST(no_pins_of_its_own, "a committed tracked region holds no page by itself")
{
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	r = bk_hold(&d.b, p, LEN, BELAY_TRACKED, W);
	CHECK_EQ(bk_pins() - d.pins, 0);
	CHECK_EQ(bk_vm_pin(), 0);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bed_end(&d);
}

/* What changes the mapping between prepare and commit. */
static void change_dontneed(char *p)
{
	CHECK_SYS(madvise(p + PAGES(7), PAGES(1), MADV_DONTNEED));
	p[PAGES(7)] = 3;
}

static void change_remap(char *p)
{
	CHECK_SYS(mmap(p + PAGES(63), PAGES(1), PROT_READ | PROT_WRITE, MAP_PRIVATE |
		       MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
}

static void change_punch(char *p)
{
	CHECK_SYS(madvise(p, PAGES(2), MADV_REMOVE));
	p[0] = 4;
}

static void between(struct bed *d, char *p, void (*change)(char *p), bool before_driver)
{
	struct bk_region r;
	struct ibv_mr *mr;

	CHECK_OK(bk_register(d->b.fd, p, LEN, BELAY_TRACKED, W, &r));
	if (before_driver)
		change(p);
	mr = reg_mr(d, p, LEN);
	if (!before_driver)
		change(p);
	CHECK_EQ(bk_commit(d->b.fd, r.id), -EAGAIN);
	CHECK_FINAL(!bk_valid(&d->b, &r));
	untrack(d, mr, &r);
	/* As the library does it: again, and then it holds. */
	mr = track(d, p, LEN, &r);
	untrack(d, mr, &r);
	CHECK_EQ(bk_usage_bytes(d->b.fd), 0);
}

TEST(changed, "commit is EAGAIN when the mapping has changed since prepare, before or after the driver pinned; the next attempt succeeds")
{
	struct bk_memory m;
	struct bed d;
	int before;

	bed_make(&d);
	for (before = 0; before < 2; before++) {
		between(&d, bk_anon(LEN, 1), change_dontneed, before);
		between(&d, bk_anon(LEN, 1), change_remap, before);
		bk_map(&m, BK_MEMFD, LEN);
		between(&d, m.addr, change_punch, before);
		bk_unmap(&m);
	}
	bed_end(&d);
}

TEST(commit_once, "commit twice, of a pinned region, or of none: EINVAL, EINVAL, ENOENT")
{
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	r = bk_hold(&d.b, p, LEN, BELAY_TRACKED, W);
	CHECK_EQ(bk_commit(d.b.fd, r.id), -EINVAL);
	CHECK(bk_valid(&d.b, &r));
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	CHECK_EQ(bk_commit(d.b.fd, r.id), -ENOENT);
	r = bk_hold(&d.b, p, LEN, BELAY_PINNED, W);
	CHECK_EQ(bk_commit(d.b.fd, r.id), -EINVAL);
	CHECK(bk_valid(&d.b, &r));
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bed_end(&d);
}

TEST(cow, "over pages shared with a forked child, prepare breaks copy-on-write, so that the driver's pin and commit agree at once")
{
	struct bk_region r;
	struct ibv_mr *mr;
	struct bed d;
	uint64_t pfn;
	pid_t pid;
	char *p = bk_anon(LEN, 5);

	bed_make(&d);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	pfn = bk_pfn(p);
	mr = track(&d, p, LEN, &r);
	CHECK_NE(bk_pfn(p), pfn);
	pfn = bk_pfn(p);
	memset(p, 6, LEN);
	CHECK_EQ(bk_pfn(p), pfn);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	untrack(&d, mr, &r);
	bed_end(&d);
}

TEST(untouched, "over memory that was never touched: prepare faults it in, the driver pins the same pages")
{
	struct bk_region r;
	struct ibv_mr *mr;
	struct bed d;
	char *p = CHECK_SYS(mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS, -1, 0));

	bed_make(&d);
	CHECK_EQ(bk_pfn(p), 0);
	mr = track(&d, p, LEN, &r);
	CHECK_NE(bk_pfn(p), 0);
	untrack(&d, mr, &r);
	bed_end(&d);
}

TEST(held, "what the driver holds stays valid through fork, writes and attempts to move it")
{
	int nodes[N], status[N], i;
	void *pages[N];
	struct bk_region r;
	struct ibv_mr *mr;
	uint64_t pfn, seen;
	struct bed d;
	pid_t pid;
	char *p = bk_anon(LEN, 5);

	bed_make(&d);
	mr = track(&d, p, LEN, &r);
	pfn = bk_pfn(p);
	seen = bk_seen("seen_clear");
	for (i = 0; i < N; i++) {
		pages[i] = p + PAGES(i);
		nodes[i] = 1;
	}
	syscall(SYS_move_pages, 0, N, pages, nodes, status, 2);
	for (i = 0; i < N; i++)
		nodes[i] = 0;
	syscall(SYS_move_pages, 0, N, pages, nodes, status, 2);
	CHECK_GT(bk_seen("seen_clear"), seen);
	pid = fork();
	if (!pid) {
		memset(p, 9, LEN);
		_exit(0);
	}
	memset(p, 8, LEN);
	waitpid(pid, NULL, 0);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	CHECK_EQ(bk_pfn(p), pfn);
	CHECK(!bk_any_lost(d.b.ctl, d.b.session));
	untrack(&d, mr, &r);
	bed_end(&d);
}

TEST(unmapped, "munmap under a driver's pin: lost at once, pins and charge stay until driver and client let go")
{
	struct belay_event e;
	struct bk_region r;
	struct ibv_mr *mr;
	struct bed d;
	char *p = bk_anon(LEN, 5);

	bed_make(&d);
	mr = track(&d, p, LEN, &r);
	CHECK_SYS(munmap(p, LEN));
	CHECK(bk_state(&d.b, &r) & BELAY_WORD_LOST);
	CHECK_SOON(bk_find_event(d.b.ctl, d.b.session, r.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.lost_len, LEN);
	usleep(20000);
	CHECK_EQ(bk_pins() - d.pins, N);
	CHECK_EQ(bk_usage_bytes(d.b.fd), LEN);
	CHECK_EQ(bk_recall(d.b.ctl, BELAY_CTL_RELEASE, d.b.session, r.id, 0), -EBUSY);
	untrack(&d, mr, &r);
	CHECK_EQ(bk_usage_bytes(d.b.fd), 0);
	bed_end(&d);
}

/* ---- what belay cannot do ----------------------------------------------------------- */

#define CHILDREN	64

static void inheriting_run(void *arg)
{
	struct bk_steps *s = arg;
	struct ibv_context *context;
	struct ibv_pd *pd;
	char *p = bk_anon(LEN + PAGES(1), 1);

	CHECK_SYS(setresuid(65534, 65534, 65534));
	context = open_device();
	pd = ibv_alloc_pd(context);
	CHECK(pd);
	/* One page more is too much for the rlimit, which every child has anew. */
	CHECK(!ibv_reg_mr(pd, p, LEN + PAGES(1), IBV_ACCESS_LOCAL_WRITE));
	CHECK_EQ(errno, ENOMEM);
	CHECK(ibv_reg_mr(pd, p, LEN, IBV_ACCESS_LOCAL_WRITE));
	__atomic_add_fetch(&s->now, 1, __ATOMIC_SEQ_CST);
	pause();
}

TEST(inherited_rlimit, "as documented: 64 children that inherit a raised RLIMIT_MEMLOCK pin that much each through a driver, and belay is not asked")
{
	const struct rlimit limit = { LEN, LEN };
	struct bk_steps *s = bk_steps();
	pid_t pids[CHILDREN];
	struct bed d;
	int i;

	bed_make(&d);
	CHECK_OK(bk_set_limit(d.b.ctl, d.b.account, 0, LEN, BELAY_UNLIMITED));
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &limit));
	for (i = 0; i < CHILDREN; i++)
		pids[i] = tap_spawn(inheriting_run, s);
	bk_await(s, CHILDREN);
	CHECK_EQ(bk_pins() - d.pins, CHILDREN * N);
	CHECK_EQ(bk_sysfs("charged_bytes"), 0);
	for (i = 0; i < CHILDREN; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < CHILDREN; i++)
		waitpid(pids[i], NULL, 0);
	bed_end(&d);
}

TAP_MAIN()
