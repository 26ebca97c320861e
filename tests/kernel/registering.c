// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A registration under way, in a page fault that nobody answers (a FUSE server does not):
 * what it holds is listed and waited for, it can be recalled, and an order ends it.
 *
 * While such a fault is open on 6.1, nobody may map memory in the process: the server is a
 * process of its own, and what the test calls meanwhile has its memory already.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk_fuse.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define LEN	(16UL << 20)
/* What is of the file: a mapping, and so a batch, of its own. Its last page is not read. */
#define BATCH	(2 * BK_PAGE)
#define BY(...)	((struct belay_select) { __VA_ARGS__ })

static struct bk b;

/* A registration of LEN bytes, of which the last page is missing. */
struct stalled {
	pthread_t thread;
	char *addr;
	struct bk_fuse file;
	uint32_t kind;
	struct bk_region r;
	int status;
	struct belay_region_row row;
};

/* The file, mapped at the end of the memory, its first page read. */
static void map_slow_file(struct stalled *s)
{
	char *at = s->addr + LEN - BATCH;
	int fd = bk_fuse_open(&s->file, FUSE_READ, BATCH);

	CHECK(mmap(at, BATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == at);
	close(fd);
	CHECK_SYS(madvise(at, BATCH, MADV_RANDOM));
	*at = 1;
}

static void unmap_slow_file(struct stalled *s)
{
	munmap(s->addr, LEN);
	bk_fuse_end(&s->file);
}

static void *register_run(void *arg)
{
	struct stalled *s = arg;

	s->status = bk_register(b.fd, s->addr, LEN, s->kind, W, &s->r);
	return NULL;
}

static unsigned int rows_by(struct belay_region_row *rows, struct belay_select sel)
{
	return bk_list_by(b.ctl, BELAY_LIST_REGIONS, rows, sizeof(*rows), 4, &sel);
}

/* The only region there is, if there is one. */
static bool find_row(struct belay_region_row *row)
{
	struct belay_region_row rows[4] = {};
	bool found = rows_by(rows, BY(0)) == 1;

	*row = rows[0];
	return found;
}

static int wait_by(struct belay_select sel, struct belay_ctl_wait *ret)
{
	*ret = (struct belay_ctl_wait) { .size = sizeof(*ret), .timeout = 1000000, .select = sel };
	return bk_ioctl(b.ctl, BELAY_CTL_WAIT, ret);
}

static void map_memory(struct stalled *s, uint32_t kind)
{
	*s = (struct stalled) { .kind = kind, .status = 1 };
	s->addr = CHECK_SYS(mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0));
	CHECK_SYS(madvise(s->addr, LEN, MADV_NOHUGEPAGE));
	memset(s->addr, 1, LEN - BATCH);
	map_slow_file(s);
}

/* Until all but the last batch is pinned. */
static void begin_registering(struct stalled *s)
{
	CHECK_EQ(bk_sysfs("held_bytes"), 0);
	CHECK_EQ(pthread_create(&s->thread, NULL, register_run, s), 0);
	bk_await(s->file.s, 1);
	CHECK(find_row(&s->row));
	CHECK_EQ(s->row.held_bytes, LEN - BATCH);
}

static void stall(struct stalled *s, uint32_t kind)
{
	map_memory(s, kind);
	begin_registering(s);
}

static void answer(struct stalled *s)
{
	CHECK_EQ(s->status, 1);
	bk_step(s->file.s, 2);
	CHECK_EQ(pthread_join(s->thread, NULL), 0);
}

static void seen(uint32_t kind)
{
	struct belay_region_row row, rows[4];
	struct belay_ctl_wait w;
	struct stalled s;

	bk_begin(&b);
	stall(&s, kind);
	CHECK_EQ(s.row.state, BELAY_STATE_BUILDING);
	CHECK_EQ(s.row.addr, (uintptr_t)s.addr);
	CHECK_EQ(s.row.len, LEN);
	CHECK_EQ(s.row.kind, kind);
	CHECK_EQ(s.row.session, b.session);
	CHECK_EQ(bk_usage_bytes(b.fd), LEN);
	CHECK_EQ(wait_by(BY(0), &w), -ETIMEDOUT);
	CHECK_EQ(w.region, s.row.region);
	/* Nowhere yet, so everywhere. */
	CHECK_EQ(wait_by(BY(.by = BELAY_SELECT_PHYS, .phys_len = BK_PAGE), &w), -ETIMEDOUT);
	CHECK_EQ(rows_by(rows, BY(.by = BELAY_SELECT_NODE, .node = 1)), 1);
	CHECK_EQ(rows_by(rows, BY(.by = BELAY_SELECT_PID, .pid = getpid())), 1);
	/* Who guesses its id can do nothing with it. */
	CHECK_EQ(bk_unregister(b.fd, s.row.region), -ENOENT);
	CHECK_EQ(bk_commit(b.fd, s.row.region), -ENOENT);
	CHECK_EQ(bk_check(b.fd, s.row.region), -ENOENT);

	answer(&s);
	CHECK_EQ(s.status, 0);
	CHECK_EQ(s.r.id, s.row.region);
	CHECK(bk_valid(&b, &s.r));
	CHECK(bk_find_region(b.ctl, b.session, s.r.id, &row));
	CHECK_EQ(row.state, 0);
	CHECK_EQ(row.held_bytes, LEN);
	CHECK_EQ(wait_by(BY(.by = BELAY_SELECT_PHYS, .phys_len = BK_PAGE), &w), 0);
	CHECK_OK(bk_unregister(b.fd, s.r.id));
	unmap_slow_file(&s);
	bk_end(&b);
}

TEST_TIMEOUT(listed, "a registration under way is listed with what it holds so far, and waited for wherever its pages may lie", 60)
{
	seen(BELAY_PINNED);
	seen(BELAY_TRACKED);
}

TEST_TIMEOUT(recalled, "recalled while it is registered, a region is recalled when it is complete", 60)
{
	struct stalled s;

	bk_begin(&b);
	stall(&s, BELAY_PINNED);
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, s.row.region, 77));
	CHECK(find_row(&s.row));
	CHECK_EQ(s.row.state, BELAY_STATE_BUILDING | BELAY_WORD_RECALLED);
	CHECK_EQ(s.row.request, 77);
	answer(&s);
	CHECK_EQ(s.status, 0);
	CHECK_EQ(bk_state(&b, &s.r), BELAY_WORD_RECALLED);
	CHECK_OK(bk_unregister(b.fd, s.r.id));
	CHECK(bk_find_event(b.ctl, b.session, s.r.id, BELAY_EVENT_GONE, NULL));
	unmap_slow_file(&s);
	bk_end(&b);
}

static void released(uint32_t kind)
{
	struct belay_region_row row;
	struct belay_ctl_wait w;
	struct bk_region again;
	struct stalled s;

	bk_begin(&b);
	stall(&s, kind);
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, s.row.region, 78));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, s.row.region, 0));
	CHECK_SOON(bk_sysfs("held_bytes") == 0, 5);
	/* One batch may be in hand: charged, and waited for. */
	CHECK_SOON(bk_usage_bytes(b.fd) == BATCH, 5);
	CHECK(find_row(&s.row));
	CHECK_EQ(s.row.held_bytes, 0);
	CHECK_EQ(s.row.state,
		 BELAY_STATE_BUILDING | BELAY_WORD_RECALLED | BELAY_WORD_RELEASED);
	CHECK_EQ(wait_by(BY(0), &w), -ETIMEDOUT);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, s.row.region, 0), -ENOENT);
	CHECK(!bk_find_event(b.ctl, b.session, s.row.region, BELAY_EVENT_GONE, NULL));

	answer(&s);
	CHECK_EQ(s.status, -ECANCELED);
	CHECK_EQ(wait_by(BY(0), &w), 0);
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_EQ(bk_usage_regions(b.fd), 0);
	CHECK(!find_row(&row));
	CHECK(bk_find_event(b.ctl, b.session, s.row.region, BELAY_EVENT_GONE, NULL));
	/* Its id is used up. */
	CHECK_OK(bk_register(b.fd, s.addr, LEN, BELAY_PINNED, W, &again));
	CHECK_NE(again.id, s.row.region);
	CHECK_OK(bk_unregister(b.fd, again.id));
	unmap_slow_file(&s);
	bk_end(&b);
}

TEST_TIMEOUT(ended, "released by order, what is pinned so far goes at once; the call fails with ECANCELED when its fault ends, and the rest goes", 60)
{
	released(BELAY_PINNED);
	released(BELAY_TRACKED);
}

/*
 * All pages are pinned, and one of a shared mapping has left the page table: the call
 * waits in its own fault for a monitor that does not come.
 */
TEST_TIMEOUT(waits, "released by order while it waits for a page that is pinned already, a registration holds and is charged nothing", 60)
{
	char *first;
	struct stalled s;
	int fd, u;

	bk_begin(&b);
	map_memory(&s, BELAY_PINNED);
	first = s.addr;
	fd = bk_file(BK_MEMFD, BK_PAGE);
	CHECK(mmap(first, BK_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == first);
	*first = 1;
	u = bk_userfault(first, BK_PAGE, UFFD_FEATURE_MINOR_SHMEM, UFFDIO_REGISTER_MODE_MINOR);
	CHECK(u >= 0);
	begin_registering(&s);
	CHECK_SYS(madvise(first, BK_PAGE, MADV_DONTNEED));
	bk_step(s.file.s, 2);
	/* The monitor is asked. */
	CHECK_SOON(bk_is_readable(u), 10);
	CHECK_EQ(s.status, 1);
	CHECK_EQ(bk_usage_bytes(b.fd), LEN);
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, s.row.region, 0));
	CHECK_SOON(bk_sysfs("held_bytes") == 0, 5);
	CHECK_SOON(bk_usage_bytes(b.fd) == 0, 5);
	close(u);
	CHECK_EQ(pthread_join(s.thread, NULL), 0);
	CHECK_EQ(s.status, -ECANCELED);
	close(fd);
	unmap_slow_file(&s);
	bk_end(&b);
}

static void killed_run(void *arg)
{
	struct stalled s;

	bk_join(&b, arg);
	stall(&s, BELAY_PINNED);
	kill(getpid(), SIGKILL);
	pause();
}

TEST_TIMEOUT(killed, "a process that is killed in its registration leaves nothing, whether or not that was released", 60)
{
	struct bk parent;
	int status;
	pid_t pid;

	bk_begin(&parent);
	pid = tap_spawn(killed_run, &parent);
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	bk_end(&parent);
}

/* ---- both at once ------------------------------------------------------------------ */

static uint32_t stop;

static void *release_all_run(void *arg)
{
	struct belay_region_row rows[4];
	unsigned int i, n;
	uint64_t *released = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		n = rows_by(rows, BY(0));
		for (i = 0; i < n; i++)
			*released += !bk_recall(b.ctl, BELAY_CTL_RELEASE, rows[i].session,
						rows[i].region, 0);
	}
	return NULL;
}

TEST_TIMEOUT(races, "registrations that are released at any moment end complete and gone, or ended; nothing stays", 120)
{
	unsigned int i, done = 0, ended = 0, rounds = bk_rounds(1500);
	size_t len = 4UL << 20;
	uint64_t released = 0;
	pthread_t thread;
	struct bk_region r;
	char *p;
	int err;

	bk_begin(&b);
	p = bk_anon(len, 1);
	CHECK_EQ(pthread_create(&thread, NULL, release_all_run, &released), 0);
	for (i = 0; i < rounds; i++) {
		err = bk_register(b.fd, p, i % 4 ? len : BK_PAGE, i % 3 ? BELAY_PINNED : BELAY_TRACKED,
				  W, &r);
		CHECK(err == 0 || err == -ECANCELED);
		done += !err;
		ended += !!err;
		if (!err)
			bk_unregister(b.fd, r.id);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	tap_diag("%u complete, %u ended, %" PRIu64 " released", done, ended, released);
	CHECK_GE(ended, 1);
	CHECK_EQ(bk_sysfs("held_bytes"), 0);
	bk_end(&b);
}

TAP_MAIN()
