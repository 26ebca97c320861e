// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Who holds what, and until when: the control file and its owners, events that wait
 * until they have been dealt with, recall, release by order, and all the ends that
 * a session can come to at the same time.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* ---- the control file ------------------------------------------------------------ */

TEST(one_owner, "there is one policy owner at a time: EBUSY for the next, until it has closed")
{
	struct bk b;

	bk_begin(&b);
	CHECK_ERRNO(open("/dev/belay", O_RDWR), EBUSY);
	bk_end(&b);
	close(bk_open_control());
}

TEST(reader, "opened read-only the control file answers INFO and LIST, beside an owner, and refuses the rest")
{
	struct belay_info info = { .size = sizeof(info) };
	struct belay_ctl_account a = { .size = sizeof(a), .limit_bytes = BELAY_UNLIMITED };
	struct belay_ctl_grant g = { .size = sizeof(g), .pid = getpid() };
	struct belay_event e;
	struct belay_ctl_events events = { .size = sizeof(events), .entries = (uintptr_t)&e,
					   .count = 1, .entry_size = sizeof(e) };
	struct belay_ctl_id id = { .size = sizeof(id) };
	struct belay_grant_row row;
	struct bk b;
	int fd;

	bk_begin(&b);
	fd = CHECK_SYS(open("/dev/belay", O_RDONLY));
	CHECK_OK(bk_ioctl(fd, BELAY_INFO, &info));
	CHECK_EQ(info.abi_version, BELAY_ABI_VERSION);
	CHECK_EQ(bk_list(fd, BELAY_LIST_GRANTS, &row, sizeof(row), 1, 0, 0), 1);
	CHECK_EQ(row.grant, b.grant);
	CHECK_EQ(row.pid, getpid());
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_ACCOUNT, &a), -EPERM);
	g.account = id.id = b.account;
	g.start_time = bk_start_time(getpid());
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_GRANT, &g), -EPERM);
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_ACCOUNT_REMOVE, &id), -EPERM);
	CHECK_EQ(bk_set_limit(fd, b.account, 0, 0, 0), -EPERM);
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_EVENTS, &events), -EPERM);
	CHECK_EQ(bk_ioctl(fd, BELAY_CTL_EVENTS_DONE, &events), -EPERM);
	CHECK_EQ(bk_recall(fd, BELAY_CTL_RECALL, b.session, 1, 1), -EPERM);
	CHECK_EQ(bk_recall(fd, BELAY_CTL_RELEASE, b.session, 1, 0), -EPERM);
	close(fd);
	bk_end(&b);
}

static void unprivileged_run(void *arg)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];

	CHECK_SYS(syscall(SYS_capget, &header, data));
	data[0].effective &= ~(1U << CAP_IPC_LOCK);
	CHECK_SYS(syscall(SYS_capset, &header, data));
	CHECK_ERRNO(open("/dev/belay", O_RDONLY), EPERM);
	CHECK_ERRNO(open("/dev/belay", O_RDWR), EPERM);
}

TEST(unprivileged, "opening the control file without CAP_IPC_LOCK is EPERM")
{
	tap_join(tap_spawn(unprivileged_run, NULL));
	/* That was the capability, not the file's mode. */
	close(bk_open_control());
}

struct snapshot {
	struct belay_account_row accounts[8];
	struct belay_grant_row grants[8];
	struct belay_session_row sessions[8];
	struct belay_region_row regions[64];
	unsigned int n[4];
};

static void snapshot_take(struct snapshot *s, int ctl)
{
	memset(s, 0, sizeof(*s));
	s->n[0] = bk_list(ctl, BELAY_LIST_ACCOUNTS, s->accounts, sizeof(s->accounts[0]), 8, 0, 0);
	s->n[1] = bk_list(ctl, BELAY_LIST_GRANTS, s->grants, sizeof(s->grants[0]), 8, 0, 0);
	s->n[2] = bk_list(ctl, BELAY_LIST_SESSIONS, s->sessions, sizeof(s->sessions[0]), 8, 0, 0);
	s->n[3] = bk_list(ctl, BELAY_LIST_REGIONS, s->regions, sizeof(s->regions[0]), 64, 0, 0);
}

static void next_owner_run(void *arg)
{
	struct snapshot *before = arg, now;
	int ctl = bk_open_control();

	snapshot_take(&now, ctl);
	CHECK_EQ(now.n[0], before->n[0]);
	CHECK_EQ(now.n[1], before->n[1]);
	CHECK_EQ(now.n[2], before->n[2]);
	CHECK_EQ(now.n[3], before->n[3]);
	/* One refusal more, while there was no owner. */
	CHECK_EQ(now.accounts[0].refusals, before->accounts[0].refusals + 1);
	now.accounts[0].refusals--;
	CHECK_MEM(now.accounts, before->accounts, sizeof(now.accounts));
	CHECK_MEM(now.grants, before->grants, sizeof(now.grants));
	CHECK_MEM(now.sessions, before->sessions, sizeof(now.sessions));
	CHECK_MEM(now.regions, before->regions, sizeof(now.regions));
}

TEST(owner_changes, "while there is no policy owner limits are enforced; the next one, another process, lists the same")
{
	static struct snapshot s;
	unsigned int i;
	struct bk b;
	int second;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(20), 1);
	CHECK_OK(bk_set_limit(b.ctl, b.account, 0, PAGES(10), BELAY_UNLIMITED));
	second = bk_grant(b.ctl, b.account, getpid(), 1, 1, NULL);
	for (i = 0; i < 10; i++)
		bk_hold(&b, p + PAGES(i), PAGES(1), i % 2 ? BELAY_PINNED : BELAY_TRACKED, W);
	snapshot_take(&s, b.ctl);
	CHECK_EQ(s.n[0], 1);
	CHECK_EQ(s.n[1], 1);
	CHECK_EQ(s.n[2], 2);
	CHECK_EQ(s.n[3], 10);
	CHECK_EQ(s.grants[0].usage_bytes, PAGES(10));
	CHECK_EQ(s.grants[0].pinned_bytes, PAGES(5));
	CHECK_EQ(s.grants[0].tracked_bytes, PAGES(5));
	CHECK_EQ(s.grants[0].sessions, 2);
	CHECK_EQ(s.accounts[0].grants, 1);
	for (i = 0; i < 10; i++) {
		CHECK_EQ(s.regions[i].addr, (uintptr_t)p + PAGES(i));
		CHECK_EQ(s.regions[i].kind, i % 2 ? BELAY_PINNED : BELAY_TRACKED);
		CHECK_EQ(s.regions[i].flags, W);
		CHECK_EQ(s.regions[i].cookie, 0xc00c1e);
		CHECK_EQ(s.regions[i].prepared, 0);
		CHECK_GE(s.regions[i].node, 0);
	}
	close(b.ctl);
	CHECK_EQ(bk_register(b.fd, p + PAGES(10), PAGES(1), BELAY_PINNED, W, NULL), -EDQUOT);
	CHECK_EQ(bk_sysfs("regions"), 10);
	tap_join(tap_spawn(next_owner_run, &s));
	b.ctl = bk_open_control();
	CHECK_OK(bk_set_limit(b.ctl, b.account, 0, PAGES(11), BELAY_UNLIMITED));
	CHECK_OK(bk_register(b.fd, p + PAGES(10), PAGES(1), BELAY_PINNED, W, NULL));
	close(second);
	bk_end(&b);
}

TEST(tags, "what the policy owner keeps with accounts and grants comes back, byte for byte")
{
	struct belay_ctl_account a = { .size = sizeof(a), .limit_bytes = 1 << 20 };
	struct belay_ctl_grant g = { .size = sizeof(g), .pid = getpid() };
	struct belay_account_row accounts[4];
	struct belay_grant_row grants[2];
	unsigned int i;
	struct bk b;

	bk_begin(&b);
	for (i = 0; i < BELAY_TAG_BYTES; i++) {
		a.tag[i] = 255 - i;
		g.tag[i] = i * 3;
	}
	a.parent = b.account;
	CHECK_OK(bk_ioctl(b.ctl, BELAY_CTL_ACCOUNT, &a));
	g.account = a.account;
	g.start_time = bk_start_time(getpid());
	CHECK_OK(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g));
	close(b.ctl);
	b.ctl = bk_open_control();
	CHECK_EQ(bk_list(b.ctl, BELAY_LIST_ACCOUNTS, accounts, sizeof(accounts[0]), 4, 0, 0), 2);
	CHECK_EQ(accounts[1].account, a.account);
	CHECK_EQ(accounts[1].parent, b.account);
	CHECK_EQ(accounts[0].children, 1);
	CHECK_MEM(accounts[1].tag, a.tag, BELAY_TAG_BYTES);
	CHECK_EQ(bk_list(b.ctl, BELAY_LIST_GRANTS, grants, sizeof(grants[0]), 2, 0, 0), 2);
	CHECK_EQ(grants[1].grant, g.grant);
	CHECK_EQ(grants[1].start_time, g.start_time);
	CHECK_MEM(grants[1].tag, g.tag, BELAY_TAG_BYTES);
	close(g.fd);
	bk_remove_account(b.ctl, a.account);
	bk_end(&b);
}

TEST(busy, "an account with children or grants cannot be removed, and the module not be unloaded under a grant")
{
	struct belay_ctl_id id = { .size = sizeof(id) };
	struct bk b;
	uint64_t child;

	bk_begin(&b);
	id.id = b.account;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_ACCOUNT_REMOVE, &id), -EBUSY);
	child = bk_account(b.ctl, b.account, 0, 0);
	id.id = child + 1000;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_ACCOUNT_REMOVE, &id), -ENOENT);
	close(b.ctl);
	CHECK_EQ(syscall(SYS_delete_module, "belay", O_NONBLOCK), -1);
	CHECK(errno == EWOULDBLOCK || errno == EBUSY);
	CHECK_EQ(bk_sysfs("grants"), 1);
	b.ctl = bk_open_control();
	bk_leave(&b);
	bk_drain_events(b.ctl);
	id.id = b.account;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_ACCOUNT_REMOVE, &id), -EBUSY);
	bk_remove_account(b.ctl, child);
	bk_end(&b);
}

/* ---- events ------------------------------------------------------------------------ */

static bool readable(int ctl)
{
	struct pollfd p = { ctl, POLLIN, 0 };

	CHECK_GE(poll(&p, 1, 0), 0);
	return p.revents & POLLIN;
}

/* The same event, again and again, until it is dealt with under its latest seq. */
static void level_triggered(struct bk *b, const struct belay_event *e)
{
	struct belay_event again, wrong = *e;

	CHECK(readable(b->ctl));
	CHECK(bk_find_event(b->ctl, e->session, e->region, e->events, &again));
	CHECK_MEM(&again, e, sizeof(again));
	close(b->ctl);
	b->ctl = bk_open_control();
	CHECK(readable(b->ctl));
	CHECK(bk_find_event(b->ctl, e->session, e->region, e->events, &again));
	CHECK_MEM(&again, e, sizeof(again));

	wrong.seq++;
	CHECK_EQ(bk_event_done(b->ctl, &wrong), 0);
	CHECK(bk_find_event(b->ctl, e->session, e->region, e->events, NULL));
	CHECK_EQ(bk_event_done(b->ctl, e), 1);
	CHECK(!bk_find_event(b->ctl, e->session, e->region, ~0U, NULL));
	CHECK(!readable(b->ctl));
	CHECK_EQ(bk_event_done(b->ctl, e), 0);
}

TEST(event_lost, "LOST comes again until it is dealt with, also for the next owner; poll says so")
{
	struct belay_event e;
	struct bk_region r;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(4), 1);
	r = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	CHECK(!readable(b.ctl));
	munmap(p, PAGES(4));
	CHECK_SOON(readable(b.ctl), 5);
	CHECK(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, &e));
	level_triggered(&b, &e);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TEST(event_gone, "GONE follows when a recalled region has been unregistered, with its request, until it is dealt with")
{
	struct belay_region_row row;
	struct belay_event e;
	struct bk_region r;
	struct bk b;

	bk_begin(&b);
	r = bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_TRACKED, W);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 4711), 0);
	CHECK_EQ(bk_state(&b, &r), BELAY_WORD_RECALLED);
	CHECK_EQ(bk_check(b.fd, r.id), BELAY_WORD_RECALLED);
	CHECK(bk_find_region(b.ctl, b.session, r.id, &row));
	CHECK_EQ(row.request, 4711);
	CHECK_EQ(row.deadline, 12345);
	CHECK_EQ(row.policy, 7);
	CHECK_EQ(row.recall_reason, BELAY_REASON_ADMIN);
	CHECK_EQ(row.state, BELAY_WORD_RECALLED);
	/* A second recall replaces the first. */
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 4712), 0);
	CHECK(!bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, NULL));
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, &e), 5);
	CHECK_EQ(e.request, 4712);
	CHECK_EQ(e.grant, b.grant);
	level_triggered(&b, &e);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 1), -ENOENT);
	bk_end(&b);
}

TEST(event_ended, "ENDED comes when a grant's last session is closed, and the grant is listed until it is dealt with")
{
	struct belay_grant_row row;
	struct belay_event e;
	struct bk b;
	int second;

	bk_begin(&b);
	second = bk_grant(b.ctl, b.account, getpid(), 0, 0, NULL);
	bk_leave(&b);
	CHECK(!readable(b.ctl));
	close(second);
	CHECK_SOON(bk_find_ended(b.ctl, b.grant, &e), 5);
	CHECK_EQ(bk_list(b.ctl, BELAY_LIST_GRANTS, &row, sizeof(row), 1, 0, 0), 1);
	CHECK(row.flags & BELAY_GRANT_ENDED);
	CHECK_EQ(row.sessions, 0);
	level_triggered(&b, &e);
	CHECK_SOON(bk_list(b.ctl, BELAY_LIST_GRANTS, &row, sizeof(row), 1, 0, 0) == 0, 5);
	bk_end(&b);
}

TEST(event_seq, "an event that has changed since it was read is not cleared by that reading")
{
	struct belay_event before, after;
	struct bk_region r;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(4), 1);
	r = bk_hold(&b, p, PAGES(4), BELAY_TRACKED, W);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 5), 0);
	munmap(p, PAGES(4));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, &before), 5);
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, &after), 5);
	CHECK_NE(before.seq, after.seq);
	CHECK_EQ(bk_event_done(b.ctl, &before), 0);
	CHECK(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, NULL));
	CHECK_EQ(bk_event_done(b.ctl, &after), 1);
	CHECK(!readable(b.ctl));
	bk_end(&b);
}

/* ---- release by order ---------------------------------------------------------------- */

TEST(release, "release by order turns the word, drops pins and charge; the client's unregister comes too late and does no harm")
{
	struct bk_region r;
	int64_t pins;
	struct bk b;
	int err;

	bk_begin(&b);
	pins = bk_pins();
	r = bk_hold(&b, bk_anon(PAGES(16), 1), PAGES(16), BELAY_PINNED, W);
	CHECK_EQ(bk_pins() - pins, 16);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 9), 0);
	CHECK_EQ(bk_pins() - pins, 16);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0), 0);
	CHECK_FINAL(!bk_valid(&b, &r));
	CHECK(bk_state(&b, &r) & BELAY_WORD_RELEASED);
	/* The order does not wait for the region: a worker lets go. */
	CHECK_SOON(bk_usage_bytes(b.fd) == 0, 5);
	CHECK_SOON(bk_pins() == pins, 5);
	CHECK_EQ(bk_vm_pin(), 0);
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, NULL), 5);
	/* 0 until the worker has taken it off the list. */
	err = bk_unregister(b.fd, r.id);
	CHECK(err == 0 || err == -ENOENT);
	CHECK_SOON(bk_unregister(b.fd, r.id) == -ENOENT, 5);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id + 1000, 0), -ENOENT);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session + 1000, r.id, 0), -ENOENT);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TEST(release_tracked, "release by order of what another driver holds is EBUSY, and changes nothing")
{
	struct bk_region r;
	struct bk b;

	bk_begin(&b);
	r = bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_TRACKED, W);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0), -EBUSY);
	CHECK(bk_valid(&b, &r));
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(4));
	bk_end(&b);
}

/* Everything that the owner of a descriptor can do with @r's id. */
static void expect_unknown(int fd, const struct bk_region *r)
{
	struct bk_region parts[2];

	CHECK_EQ(bk_check(fd, r->id), -ENOENT);
	CHECK_EQ(bk_commit(fd, r->id), -ENOENT);
	CHECK_EQ(bk_trim(fd, r, 0, PAGES(1), parts), -ENOENT);
	CHECK_EQ(bk_unregister(fd, r->id), -ENOENT);
}

TEST(unique, "a region's id is no other's in any session: with the wrong descriptor it finds nothing")
{
	struct bk_region one, two;
	struct belay_ctl_grant g;
	struct bk b;
	int i, fd;

	bk_begin(&b);
	fd = bk_grant(b.ctl, b.account, getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	for (i = 0; i < 3; i++) {
		CHECK_OK(bk_register(b.fd, bk_anon(PAGES(4), 1), PAGES(4), BELAY_PINNED, W, &one));
		CHECK_OK(bk_register(fd, bk_anon(PAGES(4), 1), PAGES(4), BELAY_PINNED, W, &two));
		CHECK_EQ(one.word, two.word);
		CHECK_NE(one.id, two.id);
		expect_unknown(fd, &one);
		expect_unknown(b.fd, &two);
		CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, two.id, 0), -ENOENT);
		CHECK_EQ(bk_usage_bytes(b.fd), PAGES(8));
		CHECK_OK(bk_unregister(b.fd, one.id));
		CHECK_OK(bk_unregister(fd, two.id));
	}
	close(fd);
	bk_end(&b);
}

TEST(generations, "an id and a word of a region that is gone never mean the next one in its place")
{
	struct bk_region old, next;
	struct bk b;
	char *p;
	int i;

	bk_begin(&b);
	p = bk_anon(PAGES(1), 1);
	for (i = 0; i < 5; i++) {
		old = bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
		CHECK_OK(bk_unregister(b.fd, old.id));
		CHECK_FINAL(!bk_valid(&b, &old));
		next = bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
		CHECK_EQ(next.word, old.word);
		CHECK_FINAL(!bk_valid(&b, &old));
		CHECK_EQ(bk_check(b.fd, old.id), -ENOENT);
		CHECK_EQ(bk_unregister(b.fd, old.id), -ENOENT);
		CHECK(bk_valid(&b, &next));
		CHECK_OK(bk_unregister(b.fd, next.id));
	}
	bk_end(&b);
}

TAP_MAIN()
