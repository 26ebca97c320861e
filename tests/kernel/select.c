// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Selecting what is listed: each selector with something that fits and something
 * that does not, alone and together; where pages are, against what the kernel says
 * of them elsewhere; how much is held; and who may not ask.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define ROWS	2048
#define BY(...)	(&(struct belay_select) { __VA_ARGS__ })

static struct belay_region_row rows[ROWS];
static struct belay_grant_row grants[64];
static struct belay_session_row sessions[ROWS];

static unsigned int regions_by(int ctl, const struct belay_select *sel)
{
	return bk_list_by(ctl, BELAY_LIST_REGIONS, rows, sizeof(rows[0]), ROWS, sel);
}

static unsigned int sessions_by(int ctl, const struct belay_select *sel)
{
	return bk_list_by(ctl, BELAY_LIST_SESSIONS, sessions, sizeof(sessions[0]), ROWS, sel);
}

static unsigned int grants_by(int ctl, const struct belay_select *sel)
{
	return bk_list_by(ctl, BELAY_LIST_GRANTS, grants, sizeof(grants[0]), 64, sel);
}

/* The row of a region among those selected, or NULL. */
static const struct belay_region_row *find(int ctl, const struct bk_region *r,
					   const struct belay_select *sel)
{
	unsigned int i, n = regions_by(ctl, sel);

	for (i = 0; i < n; i++)
		if (rows[i].region == r->id && rows[i].addr == (uintptr_t)r->addr)
			return &rows[i];
	return NULL;
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Another session of this process, on an account. */
static void add_session(const struct bk *b, struct bk *s, uint64_t account)
{
	struct belay_ctl_grant g;

	*s = *b;
	s->fd = bk_grant(b->ctl, account, getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	s->grant = g.grant;
	s->session = g.session;
	s->words = bk_words(s->fd);
}

/* ---- whose ------------------------------------------------------------------------ */

struct child {
	struct bk b;
	struct bk_steps *s;
	uid_t uid;
};

/* Holds three pages, as some user. */
static void child_run(void *arg)
{
	struct child *c = arg;
	struct bk me;

	if (c->uid)
		CHECK_SYS(setresuid(c->uid, c->uid, c->uid));
	bk_join(&me, &c->b);
	c->s->value[2] = bk_hold(&me, bk_anon(PAGES(3), 1), PAGES(3), BELAY_PINNED, W).id;
	c->s->value[0] = me.grant;
	c->s->value[1] = me.session;
	bk_step(c->s, 1);
	pause();
}

static pid_t child_start(struct child *c, uid_t uid)
{
	pid_t pid;

	bk_begin(&c->b);
	bk_hold(&c->b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	c->s = bk_steps();
	c->uid = uid;
	pid = tap_spawn(child_run, c);
	bk_await(c->s, 1);
	return pid;
}

static void child_end(struct child *c, pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bk_end(&c->b);
}

/* Exactly what the child has fits. */
static void expect_child(struct child *c, const struct belay_select *sel)
{
	CHECK_EQ(grants_by(c->b.ctl, sel), 1);
	CHECK_EQ(grants[0].grant, c->s->value[0]);
	CHECK_EQ(sessions_by(c->b.ctl, sel), 1);
	CHECK_EQ(sessions[0].session, c->s->value[1]);
	CHECK_EQ(regions_by(c->b.ctl, sel), 1);
	CHECK_EQ(rows[0].session, c->s->value[1]);
	CHECK_EQ(rows[0].region, c->s->value[2]);
}

static void expect_nothing(int ctl, const struct belay_select *sel)
{
	CHECK_EQ(grants_by(ctl, sel), 0);
	CHECK_EQ(sessions_by(ctl, sel), 0);
	CHECK_EQ(regions_by(ctl, sel), 0);
}

TEST(pid, "by pid: what that process has, and nothing of a process that has none or is gone")
{
	struct child c;
	pid_t pid = child_start(&c, 0);

	CHECK_EQ(regions_by(c.b.ctl, BY(0)), 2);
	expect_child(&c, BY(.by = BELAY_SELECT_PID, .pid = pid));
	CHECK_EQ(regions_by(c.b.ctl, BY(.by = BELAY_SELECT_PID, .pid = getpid())), 1);
	CHECK_EQ(rows[0].session, c.b.session);
	expect_nothing(c.b.ctl, BY(.by = BELAY_SELECT_PID, .pid = 1));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	expect_nothing(c.b.ctl, BY(.by = BELAY_SELECT_PID, .pid = pid));
	bk_end(&c.b);
}

struct inside {
	struct bk b;
	struct bk_steps *s;
	pid_t parent;
};

/* Number 1 in its namespace, where the process outside has no number. */
static void pid_inside(struct inside *i)
{
	unsigned int n;

	bk_await(i->s, 2);
	CHECK_EQ(getpid(), 1);
	n = grants_by(i->b.ctl, BY(0));
	CHECK_EQ(n, 2);
	CHECK_EQ(grants[0].grant, i->b.grant);
	CHECK_EQ(grants[0].pid, 0);
	CHECK_EQ(grants[1].pid, 1);
	CHECK_EQ(grants_by(i->b.ctl, BY(.by = BELAY_SELECT_PID, .pid = 1)), 1);
	CHECK_EQ(grants[0].grant, i->s->value[1]);
	expect_nothing(i->b.ctl, BY(.by = BELAY_SELECT_PID, .pid = i->parent));
	fflush(stdout);
	_exit(0);
}

static void pid_namespace_run(void *arg)
{
	struct inside *i = arg;
	int status;
	pid_t pid;

	CHECK_SYS(unshare(CLONE_NEWPID));
	pid = CHECK_SYS(fork());
	if (!pid)
		pid_inside(i);
	i->s->value[0] = pid;
	bk_step(i->s, 1);
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK_EQ(status, 0);
}

TEST(pid_namespace, "pids are those of the asker's namespace, in rows and in selections")
{
	struct belay_ctl_grant g;
	struct inside i;
	pid_t pid;
	int fd;

	bk_begin(&i.b);
	i.s = bk_steps();
	i.parent = getpid();
	pid = tap_spawn(pid_namespace_run, &i);
	bk_await(i.s, 1);
	fd = bk_grant(i.b.ctl, i.b.account, i.s->value[0], BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	i.s->value[1] = g.grant;
	CHECK_EQ(grants_by(i.b.ctl, BY(.by = BELAY_SELECT_PID, .pid = i.s->value[0])), 1);
	CHECK_EQ(grants_by(i.b.ctl, BY(.by = BELAY_SELECT_PID, .pid = getpid())), 1);
	CHECK_EQ(grants[0].grant, i.b.grant);
	bk_step(i.s, 2);
	tap_join(pid);
	close(fd);
	bk_end(&i.b);
}

TEST(uid, "by uid: what processes of that user have, by the real uid of when the grant was made")
{
	struct child c;
	pid_t pid = child_start(&c, 1234);

	expect_child(&c, BY(.by = BELAY_SELECT_UID, .uid = 1234));
	CHECK_EQ(grants[0].uid, 1234);
	CHECK_EQ(regions_by(c.b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 0)), 1);
	CHECK_EQ(rows[0].session, c.b.session);
	expect_nothing(c.b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 1235));
	expect_nothing(c.b.ctl, BY(.by = BELAY_SELECT_UID, .uid = ~0U));
	child_end(&c, pid);
}

static void user_namespace_run(void *arg)
{
	struct inside *i = arg;

	CHECK_SYS(unshare(CLONE_NEWUSER));
	bk_step(i->s, 1);
	bk_await(i->s, 2);
	CHECK_EQ(grants_by(i->b.ctl, BY(0)), 2);
	CHECK_EQ(grants[0].uid, 65534);
	CHECK_EQ(grants[1].uid, 7);
	CHECK_EQ(grants_by(i->b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 7)), 1);
	CHECK_EQ(grants[0].uid, 7);
	expect_nothing(i->b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 1234));
	expect_nothing(i->b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 0));
}

TEST(user_namespace, "uids are those of the asker's namespace, in rows and in selections")
{
	struct child c;
	pid_t pid = child_start(&c, 1234), asker;
	struct inside i = { .b = c.b, .s = bk_steps() };
	char path[64];

	asker = tap_spawn(user_namespace_run, &i);
	bk_await(i.s, 1);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", asker);
	bk_write(path, "7 1234 1\n");
	bk_step(i.s, 2);
	tap_join(asker);
	child_end(&c, pid);
}

/* ---- what the user has locked elsewhere ---------------------------------------------- */

static void ring_run(void *arg)
{
	struct io_uring_params params = {};
	struct child *c = arg;
	struct iovec v = { .iov_len = PAGES(256) };
	struct bk me;
	int ring;

	CHECK_SYS(setresuid(1234, 1234, 1234));
	bk_join(&me, &c->b);
	ring = CHECK_SYS(syscall(SYS_io_uring_setup, 4, &params));
	v.iov_base = bk_anon(v.iov_len, 1);
	bk_step(c->s, 1);
	bk_await(c->s, 2);
	CHECK_SYS(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1));
	bk_step(c->s, 3);
	bk_await(c->s, 4);
	CHECK_SYS(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	bk_step(c->s, 5);
	pause();
}

static uint64_t locked(struct child *c)
{
	CHECK_EQ(grants_by(c->b.ctl, BY(.by = BELAY_SELECT_UID, .uid = 1234)), 1);
	return grants[0].user_locked_bytes;
}

TEST(user_locked, "a grant is listed with what its user has locked through io_uring, which /proc does not show")
{
	struct child c = { .s = bk_steps() };
	uint64_t before;
	pid_t pid;

	bk_begin(&c.b);
	pid = tap_spawn(ring_run, &c);
	bk_await(c.s, 1);
	before = locked(&c);
	bk_step(c.s, 2);
	bk_await(c.s, 3);
	CHECK_EQ(locked(&c) - before, PAGES(256));
	CHECK_EQ(grants_by(c.b.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = c.b.grant)), 1);
	CHECK_LT(grants[0].user_locked_bytes, PAGES(256));
	bk_step(c.s, 4);
	bk_await(c.s, 5);
	CHECK_EQ(locked(&c), before);
	child_end(&c, pid);
}

/* ---- accounts, grants, sessions, regions ---------------------------------------------- */

TEST(account, "by account: what is charged to it or to one below it, at every level of the tree")
{
	struct bk top, leaf, side, mid;
	uint64_t middle, low, other;

	bk_begin(&top);
	middle = bk_account(top.ctl, top.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	low = bk_account(top.ctl, middle, BELAY_UNLIMITED, BELAY_UNLIMITED);
	other = bk_account(top.ctl, top.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	add_session(&top, &mid, middle);
	add_session(&top, &leaf, low);
	add_session(&top, &side, other);
	bk_hold(&top, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	bk_hold(&leaf, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	bk_hold(&side, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);

	CHECK_EQ(grants_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = top.account)), 4);
	CHECK_EQ(sessions_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = top.account)), 4);
	CHECK_EQ(regions_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = top.account)), 3);
	CHECK_EQ(grants_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = middle)), 2);
	CHECK_EQ(regions_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = middle)), 1);
	CHECK_EQ(rows[0].session, leaf.session);
	CHECK_EQ(sessions_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = low)), 1);
	CHECK_EQ(sessions[0].session, leaf.session);
	CHECK_EQ(regions_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = other)), 1);
	CHECK_EQ(rows[0].session, side.session);
	expect_nothing(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = 4000000));
	expect_nothing(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = 0));

	/* A grant that has ended, and of which nobody has heard, still belongs there. */
	bk_leave(&leaf);
	CHECK_EQ(grants_by(top.ctl, BY(.by = BELAY_SELECT_ACCOUNT, .account = middle)), 2);
	CHECK(grants[1].flags & BELAY_GRANT_ENDED);
	bk_leave(&mid);
	bk_leave(&side);
	bk_remove_account(top.ctl, low);
	bk_remove_account(top.ctl, middle);
	bk_remove_account(top.ctl, other);
	bk_end(&top);
}

TEST(ids, "by grant, session and region: that one, together or alone, and nothing if they do not belong together")
{
	struct bk a, b, c;
	struct bk_region r[3];
	uint64_t account;
	int i;

	bk_begin(&a);
	account = bk_account(a.ctl, a.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	add_session(&a, &b, a.account);
	add_session(&a, &c, account);
	r[0] = bk_hold(&a, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	r[1] = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	r[2] = bk_hold(&c, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	CHECK_NE(a.grant, c.grant);

	CHECK_EQ(grants_by(a.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = c.grant)), 1);
	CHECK_EQ(grants[0].grant, c.grant);
	CHECK_EQ(sessions_by(a.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = a.grant)), 2);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = c.grant)), 1);
	CHECK_EQ(rows[0].session, c.session);
	CHECK_EQ(sessions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION, .session = b.session)), 1);
	CHECK_EQ(sessions[0].session, b.session);
	/* Three words at the same place: their ids are three all the same. */
	CHECK_EQ(r[0].word, r[1].word);
	CHECK_EQ(r[0].word, r[2].word);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_REGION, .region = r[i].id)), 1);
		CHECK_EQ(rows[0].addr, (uintptr_t)r[i].addr);
	}
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_REGION, .region = 0)), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
				      .session = b.session, .region = r[2].id)), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
				      .session = b.session, .region = r[1].id)), 1);
	CHECK_EQ(rows[0].addr, (uintptr_t)r[1].addr);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
				      .session = b.session, .region = r[1].id + (1ULL << 32))), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
				      .session = b.session, .region = r[1].id + 1)), 0);
	expect_nothing(a.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = 1ULL << 40));
	expect_nothing(a.ctl, BY(.by = BELAY_SELECT_GRANT, .grant = 0));
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION, .session = 1ULL << 40)), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION, .session = 0)), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_GRANT,
				      .session = b.session, .grant = c.grant)), 0);
	CHECK_EQ(regions_by(a.ctl, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_GRANT |
				      BELAY_SELECT_PID | BELAY_SELECT_UID | BELAY_SELECT_ACCOUNT,
				      .session = b.session, .grant = b.grant, .pid = getpid(),
				      .account = a.account)), 1);
	/* A field whose bit is not set is not looked at. */
	CHECK_EQ(regions_by(a.ctl, BY(.pid = 77, .uid = 77, .node = 77, .session = 77,
				      .device = 77, .phys_addr = 77)), 3);
	bk_leave(&b);
	bk_leave(&c);
	bk_remove_account(a.ctl, account);
	bk_end(&a);
}

TEST(few_of_many, "of 1,500 sessions, the regions of two are found, in as many calls as there are rows")
{
	struct belay_ctl_list l = { .size = sizeof(l), .what = BELAY_LIST_REGIONS,
				    .rows = (uintptr_t)rows, .entry_size = sizeof(rows[0]) };
	const struct rlimit files = { 4096, 4096 };
	struct bk_region r[3];
	struct bk b, last;
	uint64_t account;
	int fds[1500], i;

	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &files));
	bk_begin(&b);
	account = bk_account(b.ctl, b.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	for (i = 0; i < 1500; i++)
		fds[i] = bk_grant(b.ctl, b.account, getpid(), BELAY_UNLIMITED,
				  BELAY_UNLIMITED, NULL);
	add_session(&b, &last, account);
	for (i = 0; i < 3; i++)
		r[i] = bk_hold(&last, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	l.select.by = BELAY_SELECT_ACCOUNT;
	l.select.account = account;
	for (i = 0; i < 3; i++) {
		l.count = 1;
		CHECK_OK(bk_ioctl(b.ctl, BELAY_CTL_LIST, &l));
		CHECK_EQ(l.count, 1);
		CHECK_EQ(rows[0].region, r[i].id);
	}
	CHECK_OK(bk_ioctl(b.ctl, BELAY_CTL_LIST, &l));
	CHECK_EQ(l.count, 0);
	CHECK_EQ(sessions_by(b.ctl, BY(0)), 1502);
	for (i = 0; i < 1500; i++)
		close(fds[i]);
	bk_leave(&last);
	bk_remove_account(b.ctl, account);
	bk_end(&b);
}

/* ---- file, age, duration ---------------------------------------------------------------- */

TEST(file, "by file: regions over that device and inode; both 0: over no file")
{
	struct bk_memory m, other;
	struct stat st;
	struct bk b;

	bk_begin(&b);
	bk_map(&m, BK_TMPFS, PAGES(4));
	bk_map(&other, BK_TMPFS, PAGES(4));
	CHECK_SYS(fstat(m.fd, &st));
	bk_hold(&b, m.addr, PAGES(4), BELAY_PINNED, W);
	bk_hold(&b, m.addr, PAGES(2), BELAY_TRACKED, W);
	bk_hold(&b, other.addr, PAGES(4), BELAY_PINNED, W);
	bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_FILE, .device = st.st_dev,
				      .inode = st.st_ino)), 2);
	CHECK_EQ(rows[0].addr, (uintptr_t)m.addr);
	CHECK_EQ(rows[1].addr, (uintptr_t)m.addr);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_FILE, .device = st.st_dev + 1,
				      .inode = st.st_ino)), 0);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_FILE, .device = st.st_dev,
				      .inode = st.st_ino + 1000)), 0);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_FILE)), 1);
	CHECK_EQ(rows[0].device, 0);
	bk_unmap(&m);
	bk_unmap(&other);
	bk_end(&b);
}

TEST(made_before, "by age: grants, sessions and regions that were made before that time, each by its own")
{
	uint64_t before, t[3];
	struct bk_region old;
	struct bk b, late;

	before = now();
	bk_begin(&b);
	t[0] = now();
	old = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	t[1] = now();
	add_session(&b, &late, b.account);
	t[2] = now();
	bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);

	expect_nothing(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = before));
	CHECK_EQ(grants_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[0])), 1);
	CHECK_EQ(sessions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[0])), 1);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[0])), 0);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[1])), 1);
	CHECK_EQ(rows[0].region, old.id);
	CHECK_EQ(sessions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[1])), 1);
	CHECK_EQ(sessions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = t[2])), 2);
	/* Before, not at. */
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE,
				      .made_before = rows[0].made_at)), 0);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_MADE_BEFORE, .made_before = now())), 2);
	bk_leave(&late);
	bk_end(&b);
}

TEST(duration, "by duration: lasting or transient, as was said at registration")
{
	struct bk_region r[2];
	struct bk b;

	bk_begin(&b);
	r[0] = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	r[1] = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED,
		       W | BELAY_REGION_TRANSIENT);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_LASTING)), 1);
	CHECK_EQ(rows[0].region, r[0].id);
	CHECK_EQ(rows[0].flags, W);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_TRANSIENT)), 1);
	CHECK_EQ(rows[0].region, r[1].id);
	CHECK_EQ(rows[0].flags, W | BELAY_REGION_TRANSIENT);
	bk_end(&b);
}

/* ---- places -------------------------------------------------------------------------------- */

/* Memory of small pages whose first pages lie on one node, the others on another. */
static char *spread(size_t pages, size_t first, unsigned int node, unsigned int other)
{
	char *p = CHECK_SYS(mmap(NULL, PAGES(pages), PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned long mask = 1UL << node;

	CHECK_SYS(madvise(p, PAGES(pages), MADV_NOHUGEPAGE));
	CHECK_SYS(syscall(SYS_mbind, p, PAGES(first), MPOL_BIND, &mask, 64, 0));
	mask = 1UL << other;
	if (first < pages)
		CHECK_SYS(syscall(SYS_mbind, p + PAGES(first), PAGES(pages - first),
				  MPOL_BIND, &mask, 64, 0));
	memset(p, 1, PAGES(pages));
	return p;
}

static unsigned int pages_on(char *p, unsigned int pages, int node)
{
	int status[64], n = 0;
	void *addr[64];
	unsigned int i;

	CHECK_LE(pages, 64);
	for (i = 0; i < pages; i++)
		addr[i] = p + PAGES(i);
	CHECK_SYS(syscall(SYS_move_pages, 0, pages, addr, NULL, status, 0));
	for (i = 0; i < pages; i++)
		n += status[i] == node;
	return n;
}

static int node_at(const void *p)
{
	int node;

	CHECK_SYS(syscall(SYS_get_mempolicy, &node, NULL, 0, p, MPOL_F_NODE | MPOL_F_ADDR));
	return node;
}

TEST(node, "by node: regions with pages there, and how many bytes, as move_pages and get_mempolicy say")
{
	const struct belay_region_row *row;
	struct bk_region mixed, one;
	struct bk b;
	char *p, *q;
	int node;

	CHECK_EQ(bk_nodes(), 2);
	bk_begin(&b);
	p = spread(64, 23, 1, 0);
	q = spread(16, 16, 1, 1);
	mixed = bk_hold(&b, p, PAGES(64), BELAY_PINNED, W);
	one = bk_hold(&b, q, PAGES(16), BELAY_PINNED, W);
	CHECK_EQ(pages_on(p, 64, 1), 23);
	CHECK_EQ(pages_on(q, 16, 1), 16);
	for (node = 0; node < 2; node++) {
		row = find(b.ctl, &mixed, BY(.by = BELAY_SELECT_NODE, .node = node));
		CHECK(row);
		CHECK_EQ(row->selected_bytes, PAGES(pages_on(p, 64, node)));
		CHECK_EQ(row->held_bytes, PAGES(64));
		CHECK_EQ(row->nodes, 3);
		CHECK_EQ(row->node, node_at(p));
	}
	CHECK(!find(b.ctl, &one, BY(.by = BELAY_SELECT_NODE, .node = 0)));
	row = find(b.ctl, &one, BY(.by = BELAY_SELECT_NODE, .node = 1));
	CHECK(row);
	CHECK_EQ(row->nodes, 2);
	CHECK_EQ(row->selected_bytes, PAGES(16));
	CHECK_EQ(row->node, node_at(q));
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_NODE, .node = 2)), 0);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_NODE, .node = INT32_MAX)), 0);
	/* Without a place, all that is held is selected. */
	row = find(b.ctl, &mixed, BY(0));
	CHECK(row);
	CHECK_EQ(row->selected_bytes, PAGES(64));
	bk_end(&b);
}

/* What a region is made of, by itself. */
struct place {
	struct bk_memory m;
	struct bk_region r;
	uint64_t pfn[1024];
	unsigned int pages;
};

static unsigned int count_in(const struct place *p, uint64_t first, uint64_t pages)
{
	unsigned int i, n = 0;

	for (i = 0; i < p->pages; i++)
		n += p->pfn[i] >= first && p->pfn[i] - first < pages;
	return n;
}

static void check_range(int ctl, const struct place *p, unsigned int n, uint64_t first,
			uint64_t pages)
{
	const struct belay_select *sel = BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(first),
					    .phys_len = PAGES(pages));
	const struct belay_region_row *row;
	unsigned int i, want;

	for (i = 0; i < n; i++) {
		want = count_in(&p[i], first, pages);
		row = find(ctl, &p[i].r, sel);
		if (!row != !want || (row && row->selected_bytes != PAGES(want)))
			FAIL("%s: %u pages in %#llx+%#llx, listed %lld", bk_kind_name(p[i].m.kind),
			     want, (unsigned long long)first, (unsigned long long)pages,
			     row ? (long long)(row->selected_bytes / BK_PAGE) : -1);
	}
}

TEST(physical, "by physical range: regions with pages there, and how many bytes, as /proc/self/pagemap says, for 300 ranges")
{
	static const enum bk_kind kinds[] = { BK_ANON, BK_MEMFD, BK_THP, BK_HUGE_ANON, BK_EXT4 };
	static struct place p[5];
	uint32_t seed = bk_seed();
	unsigned int i, j, hits = 0;
	uint64_t first, pages;
	struct bk b;

	bk_begin(&b);
	for (i = 0; i < 5; i++) {
		bk_map(&p[i].m, kinds[i], i < 2 ? PAGES(200) : 2 * BK_HUGE);
		p[i].pages = p[i].m.len / BK_PAGE;
		p[i].r = bk_hold(&b, p[i].m.addr, p[i].m.len, BELAY_PINNED, p[i].m.flags);
		bk_pfns(p[i].m.addr, p[i].pages, p[i].pfn);
		for (j = 0; j < p[i].pages; j++)
			CHECK_NE(p[i].pfn[j], 0);
		/* Exactly one page, and what is beside it. */
		check_range(b.ctl, p, i + 1, p[i].pfn[0], 1);
		check_range(b.ctl, p, i + 1, p[i].pfn[0] - 1, 1);
		check_range(b.ctl, p, i + 1, p[i].pfn[p[i].pages - 1] + 1, 1);
		check_range(b.ctl, p, i + 1, p[i].pfn[p[i].pages - 1], 1);
	}
	for (i = 0; i < 300; i++) {
		struct place *at = &p[bk_random(&seed) % 5];

		first = at->pfn[bk_random(&seed) % at->pages] - bk_random(&seed) % 600;
		pages = 1 + bk_random(&seed) % (i % 2 ? 1200 : 100000);
		for (j = 0; j < 5; j++)
			hits += !!count_in(&p[j], first, pages);
		check_range(b.ctl, p, 5, first, pages);
	}
	CHECK_GE(hits, 200);
	check_range(b.ctl, p, 5, 0, 1);
	/* All memory there can be: the longest range. */
	check_range(b.ctl, p, 5, 0, (1ULL << 52) - 1);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(1),
				      .phys_len = -PAGES(1))), 5);
	for (i = 0; i < 5; i++)
		bk_unmap(&p[i].m);
	bk_end(&b);
}

TEST(together, "a region fits a node and a physical range if some page lies in both")
{
	const struct belay_region_row *row;
	struct bk_region r;
	uint64_t pfn[8];
	struct bk b;
	char *p;

	bk_begin(&b);
	p = spread(8, 3, 1, 0);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	bk_pfns(p, 8, pfn);
	row = find(b.ctl, &r, BY(.by = BELAY_SELECT_NODE | BELAY_SELECT_PHYS, .node = 1,
				 .phys_addr = PAGES(pfn[2]), .phys_len = PAGES(1)));
	CHECK(row);
	CHECK_EQ(row->selected_bytes, PAGES(1));
	CHECK_EQ(row->held_bytes, PAGES(8));
	/* It has pages there, and on that node, but none of them both. */
	CHECK(!find(b.ctl, &r, BY(.by = BELAY_SELECT_NODE | BELAY_SELECT_PHYS, .node = 0,
				  .phys_addr = PAGES(pfn[2]), .phys_len = PAGES(1))));
	CHECK(find(b.ctl, &r, BY(.by = BELAY_SELECT_NODE | BELAY_SELECT_PHYS | BELAY_SELECT_PID |
				 BELAY_SELECT_LASTING | BELAY_SELECT_FILE, .pid = getpid(),
				 .node = 0, .phys_addr = PAGES(pfn[3]), .phys_len = PAGES(1))));
	CHECK(!find(b.ctl, &r, BY(.by = BELAY_SELECT_NODE | BELAY_SELECT_TRANSIENT, .node = 0)));
	bk_end(&b);
}

/* ---- what is held --------------------------------------------------------------------------- */

static uint64_t held(const struct bk *b, const struct bk_region *r)
{
	struct belay_region_row row;

	CHECK(bk_find_region(b->ctl, b->session, r->id, &row));
	CHECK_EQ(row.selected_bytes, row.held_bytes);
	if (!row.held_bytes) {
		CHECK_EQ(row.node, -1);
		CHECK_EQ(row.nodes, 0);
	}
	return row.held_bytes;
}

/* Exactly the module's own pins, as the kernel counts them. */
static bool gauge_is(int64_t pins, size_t pages)
{
	return bk_sysfs("held_bytes") == PAGES(pages) && bk_pins() - pins == (int64_t)pages;
}

TEST(lost_part, "of a pinned region that lost a part, the rest is held, and lies where it does")
{
	struct bk_region r;
	uint64_t pfn[8];
	struct bk b;
	char *p;
	int i;

	bk_begin(&b);
	p = bk_anon(PAGES(8), 1);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	bk_pfns(p, 8, pfn);
	CHECK_EQ(held(&b, &r), PAGES(8));
	CHECK_SYS(munmap(p + PAGES(3), PAGES(2)));
	CHECK_SOON(held(&b, &r) == PAGES(6), 5);
	for (i = 0; i < 8; i++)
		CHECK_EQ(!find(b.ctl, &r, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[i]),
					     .phys_len = PAGES(1))), i == 3 || i == 4);
	CHECK_SYS(munmap(p, PAGES(3)));
	CHECK_SOON(held(&b, &r) == PAGES(3), 5);
	CHECK_SYS(munmap(p + PAGES(5), PAGES(3)));
	CHECK_SOON(held(&b, &r) == 0, 5);
	CHECK_EQ(regions_by(b.ctl, BY(.by = BELAY_SELECT_PHYS, .phys_len = 1ULL << 52)), 0);
	bk_end(&b);
}

TEST(tracked, "a tracked region is held from being prepared until it is unregistered, also where it is lost")
{
	struct bk_memory m;
	struct bk_region r;
	uint64_t pfn[4];
	struct bk b;

	bk_begin(&b);
	bk_map(&m, BK_MEMFD, PAGES(4));
	CHECK_OK(bk_register(b.fd, m.addr, PAGES(4), BELAY_TRACKED, W, &r));
	CHECK_EQ(held(&b, &r), PAGES(4));
	CHECK_OK(bk_commit(b.fd, r.id));
	CHECK_EQ(held(&b, &r), PAGES(4));
	bk_pfns(m.addr, 4, pfn);
	CHECK(find(b.ctl, &r, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[1]),
				 .phys_len = PAGES(1))));
	CHECK_SYS(munmap(m.addr, PAGES(2)));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, NULL), 5);
	CHECK_EQ(held(&b, &r), PAGES(4));
	CHECK(find(b.ctl, &r, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[1]),
				 .phys_len = PAGES(1))));
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK(!find(b.ctl, &r, BY(0)));
	bk_unmap(&m);
	bk_end(&b);
}

TEST(gauge, "held_bytes is what the module has pinned, a page for each pin: the same as the kernel's own count, through failures and losses")
{
	struct bk_region r, twice, tracked;
	char *p, *q, *huge;
	int64_t pins;
	struct bk b;

	bk_begin_limited(&b, PAGES(2000), BELAY_UNLIMITED);
	pins = bk_pins();
	p = bk_anon(PAGES(64), 1);
	huge = bk_thp(2 * BK_HUGE);
	r = bk_hold(&b, p, PAGES(64), BELAY_PINNED, W);
	CHECK(gauge_is(pins, 64));
	twice = bk_hold(&b, p + PAGES(32), PAGES(32), BELAY_PINNED, W);
	CHECK(gauge_is(pins, 96));
	CHECK_OK(bk_register(b.fd, huge, BK_HUGE, BELAY_TRACKED, W, &tracked));
	CHECK(gauge_is(pins, 96 + 512));
	CHECK_OK(bk_commit(b.fd, tracked.id));
	CHECK(gauge_is(pins, 96));
	/* The second half is not there; and more than the limit. */
	q = bk_anon(PAGES(40), 1);
	CHECK_SYS(munmap(q + PAGES(20), PAGES(20)));
	CHECK_EQ(bk_register(b.fd, q, PAGES(40), BELAY_PINNED, W, NULL), -EFAULT);
	CHECK(gauge_is(pins, 96));
	CHECK_EQ(bk_register(b.fd, bk_anon(PAGES(2001), 1), PAGES(2001), BELAY_PINNED, W, NULL),
		 -EDQUOT);
	CHECK(gauge_is(pins, 96));
	CHECK_SYS(munmap(p + PAGES(8), PAGES(4)));
	CHECK_SOON(gauge_is(pins, 92), 5);
	CHECK_SYS(munmap(p, PAGES(8)));
	CHECK_SOON(gauge_is(pins, 84), 5);
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK(gauge_is(pins, 32));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, twice.id, 0));
	CHECK_SOON(gauge_is(pins, 0), 5);
	CHECK_OK(bk_unregister(b.fd, tracked.id));
	CHECK(gauge_is(pins, 0));
	bk_end(&b);
}

/* ---- refused ------------------------------------------------------------------------------- */

static int try_list(int ctl, uint32_t what, const struct belay_select *sel)
{
	static const size_t sizes[] = {
		[BELAY_LIST_ACCOUNTS] = sizeof(struct belay_account_row),
		[BELAY_LIST_GRANTS] = sizeof(struct belay_grant_row),
		[BELAY_LIST_SESSIONS] = sizeof(struct belay_session_row),
		[BELAY_LIST_REGIONS] = sizeof(struct belay_region_row),
	};
	struct belay_ctl_list l = {
		.size = sizeof(l),
		.what = what,
		.rows = (uintptr_t)rows,
		.entry_size = sizes[what],
		.count = 4,
		.select = *sel,
	};

	return bk_ioctl(ctl, BELAY_CTL_LIST, &l);
}

TEST(refused, "selections that nothing can fit are EINVAL, unknown ones EOPNOTSUPP, for everything that is listed")
{
	/* Good ones, but for the combination. */
	const struct belay_select good = { .pid = 1, .session = 1, .region = 1ULL << 32,
					   .phys_len = BK_PAGE, .made_before = 1 };
	/* Which bits make sense: accounts, grants, sessions, regions. */
	static const uint32_t sense[] = { 0, 0x21b, 0x23b, 0xfff };
	struct belay_select s;
	uint32_t what, bit;
	struct bk b;

	bk_begin(&b);
	for (what = BELAY_LIST_ACCOUNTS; what <= BELAY_LIST_REGIONS; what++) {
		for (bit = 0; bit < 32; bit++) {
			s = good;
			s.by = 1U << bit;
			CHECK_EQ(try_list(b.ctl, what, &s), bit > 11 ? -EOPNOTSUPP :
				 s.by & ~sense[what - 1] ? -EINVAL : 0);
		}
	}
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS, BY(.by = BELAY_SELECT_LASTING |
							BELAY_SELECT_TRANSIENT)), -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS, BY(.by = BELAY_SELECT_PID)), -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_GRANTS, BY(.by = BELAY_SELECT_PID, .pid = -1)),
		 -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS, BY(.by = BELAY_SELECT_NODE, .node = -1)),
		 -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS, BY(.by = BELAY_SELECT_PHYS)), -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS,
			  BY(.by = BELAY_SELECT_PHYS, .phys_addr = 8, .phys_len = BK_PAGE)), -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS,
			  BY(.by = BELAY_SELECT_PHYS, .phys_len = BK_PAGE + 8)), -EINVAL);
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS,
			  BY(.by = BELAY_SELECT_PHYS, .phys_addr = -PAGES(1),
			     .phys_len = PAGES(2))), -EINVAL);
	bk_end(&b);
}

/* ---- who may not ask ------------------------------------------------------------------------- */

static void unprivileged_run(void *arg)
{
	struct bk_steps *s = arg;

	CHECK_SYS(setresuid(65534, 65534, 65534));
	/* The file's mode, and without that (it was opened up) the capability. */
	CHECK_ERRNO(open("/dev/belay", O_RDONLY), s->now ? EPERM : EACCES);
	CHECK_EQ(try_list(s->value[0], BELAY_LIST_REGIONS, BY(0)), -ENOTTY);
}

TEST(unprivileged, "listing takes the control file: another user cannot open it, and a session lists nothing")
{
	struct bk_steps *s = bk_steps();
	struct bk b;

	bk_begin(&b);
	s->value[0] = b.fd;
	tap_join(tap_spawn(unprivileged_run, s));
	CHECK_SYS(chmod("/dev/belay", 0666));
	s->now = 1;
	tap_join(tap_spawn(unprivileged_run, s));
	CHECK_SYS(chmod("/dev/belay", 0600));
	CHECK_EQ(try_list(b.ctl, BELAY_LIST_REGIONS, BY(0)), 0);
	bk_end(&b);
}

/* Is a page frame, or its address, in these bytes, at any place? */
static bool tells(const void *bytes, size_t len, uint64_t pfn)
{
	uint64_t as[2] = { pfn, PAGES(pfn) };
	char text[32];
	int i;

	for (i = 0; i < 2; i++) {
		if (memmem(bytes, len, &as[i], sizeof(as[i])))
			return true;
		snprintf(text, sizeof(text), "%llu", (unsigned long long)as[i]);
		if (memmem(bytes, len, text, strlen(text)))
			return true;
		snprintf(text, sizeof(text), "%llx", (unsigned long long)as[i]);
		if (memmem(bytes, len, text, strlen(text)))
			return true;
	}
	return false;
}

static bool file_tells(const char *path, uint64_t pfn)
{
	static char text[1 << 16];
	ssize_t n;
	int fd;

	fd = CHECK_SYS(open(path, O_RDONLY | O_CLOEXEC));
	n = CHECK_SYS(read(fd, text, sizeof(text)));
	close(fd);
	CHECK_GT(n, 0);
	return tells(text, n, pfn);
}

/* With CAP_IPC_LOCK alone, what a monitor may be given to list. */
static void reader_run(void *arg)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {};
	struct belay_select any = { .by = BELAY_SELECT_PHYS, .phys_len = 1ULL << 40 };
	struct belay_ctl_wait w = { .size = sizeof(w), .select = any };
	int early = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC)), fd;

	data[0].effective = data[0].permitted = 1U << CAP_IPC_LOCK;
	CHECK_SYS(syscall(SYS_capset, &header, data));
	fd = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	CHECK_OK(try_list(fd, BELAY_LIST_REGIONS, BY(0)));
	CHECK_OK(try_list(fd, BELAY_LIST_REGIONS, BY(.by = BELAY_SELECT_NODE)));
	CHECK_EQ(try_list(fd, BELAY_LIST_REGIONS, &any), -EPERM);
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_WAIT, &w), -EPERM);
	/* Who opened the file is asked, as for pagemap. */
	CHECK_OK(try_list(early, BELAY_LIST_REGIONS, &any));
}

TEST(no_oracle, "a reader of the control file without CAP_SYS_ADMIN cannot ask for physical addresses (EPERM); the policy owner, and a reader with it, can")
{
	struct bk b;

	bk_begin(&b);
	bk_hold(&b, bk_anon(BK_PAGE, 1), BK_PAGE, BELAY_PINNED, W);
	CHECK_OK(try_list(b.ctl, BELAY_LIST_REGIONS,
			  BY(.by = BELAY_SELECT_PHYS, .phys_len = 1ULL << 40)));
	tap_join(tap_spawn(reader_run, NULL));
	bk_end(&b);
}

TEST(no_addresses, "nothing that a session answers, and nothing in sysfs and fdinfo, tells where in memory a page is")
{
	static const char *const files[] = { "accounts", "grants", "sessions", "regions",
		"charged_bytes", "pinned_bytes", "tracked_bytes", "held_bytes" };
	struct belay_region_entry e = {};
	struct belay_regions c = { .size = sizeof(c), .entries = (uintptr_t)&e, .count = 1,
				   .entry_size = sizeof(e) };
	struct belay_register_entry reg = { .len = PAGES(3), .kind = BELAY_PINNED, .flags = W };
	struct belay_level levels[8];
	char path[128], line[64], *p;
	unsigned int i;
	uint64_t pfn;
	struct bk b;

	bk_begin(&b);
	p = bk_anon(PAGES(3), 1);
	reg.addr = (uintptr_t)p;
	CHECK_OK(bk_register_entry(b.fd, &reg));
	pfn = bk_pfn(p);
	/* The search finds what is there. */
	snprintf(line, sizeof(line), "at %#llx", (unsigned long long)PAGES(pfn));
	CHECK(tells(line, sizeof(line), pfn));
	CHECK(tells((uint64_t[]) { 1, pfn }, 16, pfn));
	CHECK(!tells(&reg, sizeof(reg), pfn));
	e.region = reg.region;
	CHECK_OK(bk_ioctl(b.fd, BELAY_CHECK, &c));
	CHECK(!tells(&e, sizeof(e), pfn));
	i = bk_levels(b.fd, levels, 8);
	CHECK(!tells(levels, i * sizeof(levels[0]), pfn));
	CHECK(!tells((const void *)b.words, PAGES(1), pfn));
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "/sys/class/misc/belay/%s", files[i]);
		CHECK(!file_tells(path, pfn));
	}
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", b.fd);
	CHECK(!file_tells(path, pfn));
	CHECK_OK(bk_unregister(b.fd, reg.region));
	bk_end(&b);
}

TAP_MAIN()
