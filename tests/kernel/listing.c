// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Listing: in steps as in one go, filtered, in order, and complete while others come
 * and go; events oldest first.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define MANY	300

/* Lists regions with room for "step" rows in each call. */
static unsigned int list_regions(int ctl, struct belay_region_row *rows, unsigned int room,
				 unsigned int step, uint64_t grant, uint64_t session)
{
	struct belay_ctl_list l = {
		.size = sizeof(l),
		.what = BELAY_LIST_REGIONS,
		.entry_size = sizeof(*rows),
		.select = {
			.by = (grant ? BELAY_SELECT_GRANT : 0) |
			      (session ? BELAY_SELECT_SESSION : 0),
			.grant = grant,
			.session = session,
		},
	};
	unsigned int n = 0;

	do {
		CHECK_LE(n + step, room);
		l.rows = (uintptr_t)(rows + n);
		l.count = step;
		CHECK_OK(bk_ioctl(ctl, BELAY_CTL_LIST, &l));
		CHECK_LE(l.count, step);
		n += l.count;
	} while (l.count);
	return n;
}

/* Two sessions of this process on one account, one on another. */
struct bed {
	struct bk b, second, other;
	uint64_t account;
	char *p;
};

static void add_session(struct bed *d, struct bk *s, uint64_t account)
{
	struct belay_ctl_grant g;

	*s = d->b;
	s->fd = bk_grant(d->b.ctl, account, getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	s->grant = g.grant;
	s->session = g.session;
	s->words = bk_words(s->fd);
}

static void bed_make(struct bed *d)
{
	unsigned int i;

	bk_begin(&d->b);
	d->account = bk_account(d->b.ctl, d->b.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	add_session(d, &d->second, d->b.account);
	add_session(d, &d->other, d->account);
	d->p = bk_anon(PAGES(MANY), 1);
	for (i = 0; i < MANY; i++)
		CHECK_OK(bk_register(i % 3 == 0 ? d->b.fd : i % 3 == 1 ? d->second.fd :
				     d->other.fd, d->p + PAGES(i), PAGES(1),
				     i % 2 ? BELAY_PINNED : BELAY_TRACKED, W, NULL));
}

static void bed_end(struct bed *d)
{
	bk_leave(&d->second);
	bk_leave(&d->other);
	bk_remove_account(d->b.ctl, d->account);
	bk_end(&d->b);
}

TEST(steps, "listing in steps of any size gives what one call gives, in the order of their places")
{
	static struct belay_region_row all[2 * MANY], some[2 * MANY];
	static const unsigned int steps[] = { 1, 7, 99, 100 };
	struct bed d;
	unsigned int i;

	bed_make(&d);
	CHECK_EQ(list_regions(d.b.ctl, all, 2 * MANY, MANY, 0, 0), MANY);
	for (i = 1; i < MANY; i++)
		CHECK(all[i].session > all[i - 1].session ||
		      (all[i].session == all[i - 1].session &&
		       all[i].region % BELAY_WORDS_MAX > all[i - 1].region % BELAY_WORDS_MAX));
	for (i = 0; i < 4; i++) {
		memset(some, 0, sizeof(some));
		CHECK_EQ(list_regions(d.b.ctl, some, 2 * MANY, steps[i], 0, 0), MANY);
		CHECK_MEM(some, all, MANY * sizeof(all[0]));
	}
	bed_end(&d);
}

TEST(filters, "sessions and regions can be listed of one grant or one session only")
{
	static struct belay_region_row rows[2 * MANY];
	struct belay_session_row sessions[8];
	struct bed d;
	unsigned int i;

	bed_make(&d);
	CHECK_EQ(list_regions(d.b.ctl, rows, 2 * MANY, 50, d.b.grant, 0), MANY / 3 * 2);
	for (i = 0; i < MANY / 3 * 2; i++)
		CHECK_EQ(rows[i].grant, d.b.grant);
	CHECK_EQ(list_regions(d.b.ctl, rows, 2 * MANY, 50, 0, d.second.session), MANY / 3);
	for (i = 0; i < MANY / 3; i++)
		CHECK_EQ(rows[i].session, d.second.session);
	CHECK_EQ(list_regions(d.b.ctl, rows, 2 * MANY, 50, d.other.grant, d.b.session), 0);
	CHECK_EQ(bk_list(d.b.ctl, BELAY_LIST_SESSIONS, sessions, sizeof(sessions[0]), 8, 0, 0), 3);
	CHECK_EQ(bk_list(d.b.ctl, BELAY_LIST_SESSIONS, sessions, sizeof(sessions[0]), 8,
			 d.other.grant, 0), 1);
	CHECK_EQ(sessions[0].session, d.other.session);
	CHECK_EQ(sessions[0].grant, d.other.grant);
	CHECK_EQ(sessions[0].regions, MANY / 3);
	bed_end(&d);
}

TEST(file, "a region is listed with the device and inode of the file behind it, and its node")
{
	struct belay_region_row row;
	struct bk_memory m;
	struct bk_region r;
	struct bk b;
	struct stat st;

	bk_begin(&b);
	bk_map(&m, BK_TMPFS, PAGES(4));
	CHECK_SYS(fstat(m.fd, &st));
	r = bk_hold(&b, m.addr, PAGES(4), BELAY_PINNED, W);
	CHECK(bk_find_region(b.ctl, b.session, r.id, &row));
	CHECK_EQ(row.inode, st.st_ino);
	CHECK_EQ(row.device, st.st_dev);
	CHECK(row.node >= 0 && row.node < (int)bk_nodes());
	r = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	CHECK(bk_find_region(b.ctl, b.session, r.id, &row));
	CHECK_EQ(row.inode, 0);
	CHECK_EQ(row.device, 0);
	bk_unmap(&m);
	bk_end(&b);
}

/* ---- while regions come and go ---------------------------------------------------- */

struct churn {
	struct bk b;
	char *p;
	bool stop;
	unsigned int rounds;
};

static void *churn_run(void *arg)
{
	struct churn *c = arg;
	struct bk_region r[16];
	unsigned int i;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		for (i = 0; i < 16; i++)
			CHECK_OK(bk_register(c->b.fd, c->p + PAGES(i), PAGES(1),
					     BELAY_PINNED, W, &r[i]));
		for (i = 0; i < 16; i++)
			CHECK_OK(bk_unregister(c->b.fd, r[i].id));
		__atomic_add_fetch(&c->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

TEST(complete, "what is there throughout is listed once, however much comes and goes meanwhile")
{
	static struct belay_region_row rows[4096];
	struct churn c = { .stop = false };
	unsigned int i, j, n, found;
	uint64_t stay[50];
	pthread_t thread;

	bk_begin(&c.b);
	c.p = bk_anon(PAGES(128), 1);
	CHECK_EQ(pthread_create(&thread, NULL, churn_run, &c), 0);
	for (i = 0; i < 50; i++)
		stay[i] = bk_hold(&c.b, c.p + PAGES(64 + i), PAGES(1), BELAY_PINNED, W).id;
	for (j = 0; j < 100 || __atomic_load_n(&c.rounds, __ATOMIC_RELAXED) < 10; j++) {
		n = list_regions(c.b.ctl, rows, 4096, 1 + j % 9, 0, 0);
		for (found = i = 0; i < n; i++) {
			if (rows[i].cookie != 0xc00c1e)
				FAIL("row %u is garbage", i);
			found += rows[i].addr >= (uintptr_t)c.p + PAGES(64);
		}
		CHECK_EQ(found, 50);
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CHECK_GE(c.rounds, 10);
	for (i = 0; i < 50; i++)
		CHECK_OK(bk_unregister(c.b.fd, stay[i]));
	bk_end(&c.b);
}

/* ---- events --------------------------------------------------------------------------- */

TEST(oldest_first, "events come oldest first, as many as there is room for, and 2,000 of them are all kept")
{
	static struct bk_region r[2000];
	static struct belay_event e[2000], two[2];
	struct bk b;
	unsigned int i;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(2000), 1);
	for (i = 0; i < 2000; i++)
		r[i] = bk_hold(&b, p + PAGES(i), PAGES(1), BELAY_TRACKED, W);
	/* All lost by one call: nobody reads meanwhile. */
	CHECK_SYS(munmap(p, PAGES(2000)));
	CHECK_SOON(bk_events(b.ctl, e, 2000) == 2000, 10);
	for (i = 1; i < 2000; i++)
		CHECK_GT(e[i].seq, e[i - 1].seq);
	CHECK_EQ(bk_events(b.ctl, two, 2), 2);
	CHECK_MEM(two, e, sizeof(two));
	CHECK_EQ(bk_event_done(b.ctl, &two[0]), 1);
	CHECK_EQ(bk_events(b.ctl, two, 2), 2);
	CHECK_EQ(two[0].seq, e[1].seq);
	for (i = 0; i < 2000; i++)
		CHECK_OK(bk_unregister(b.fd, r[i].id));
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TAP_MAIN()
