// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What is charged: the union of a grant's healthy regions, page by page, each page
 * once and until the last of them is gone.
 */
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* The grant, its account and the whole module agree. */
static void expect_charge(const struct bk *b, uint64_t pages)
{
	struct belay_level l[BELAY_MAX_DEPTH + 1];
	unsigned int i, n = bk_levels(b->fd, l, BELAY_MAX_DEPTH + 1);

	for (i = 0; i < n; i++)
		CHECK_EQ(l[i].usage_bytes / BK_PAGE, pages);
	CHECK_EQ(bk_sysfs("charged_bytes") / BK_PAGE, pages);
}

static void overlap(uint32_t kind_a, uint32_t kind_b)
{
	struct bk_region a, c;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(16), 1);
	expect_charge(&b, 0);
	a = bk_hold(&b, p, PAGES(8), kind_a, W);
	expect_charge(&b, 8);
	c = bk_hold(&b, p + PAGES(4), PAGES(8), kind_b, W);
	expect_charge(&b, 12);
	CHECK_OK(bk_unregister(b.fd, a.id));
	expect_charge(&b, 8);
	a = bk_hold(&b, p + PAGES(4), PAGES(8), kind_a, W);
	expect_charge(&b, 8);
	CHECK_OK(bk_unregister(b.fd, a.id));
	expect_charge(&b, 8);
	CHECK_OK(bk_unregister(b.fd, c.id));
	expect_charge(&b, 0);
	CHECK_EQ(bk_sysfs("pinned_bytes"), 0);
	CHECK_EQ(bk_sysfs("tracked_bytes"), 0);
	bk_end(&b);
}

TEST(overlap_pinned, "of two pinned regions over the same pages, dropping one keeps the charge and dropping both leaves 0")
{
	overlap(BELAY_PINNED, BELAY_PINNED);
}

TEST(overlap_tracked, "the same with two tracked regions")
{
	overlap(BELAY_TRACKED, BELAY_TRACKED);
}

TEST(overlap_mixed, "the same with a pinned and a tracked region, either of them first")
{
	overlap(BELAY_PINNED, BELAY_TRACKED);
	overlap(BELAY_TRACKED, BELAY_PINNED);
}

TEST(two_sessions, "two sessions of one process share one grant, and charge a page once")
{
	struct belay_ctl_grant g;
	struct bk_region a, c;
	struct bk b, second;
	char *p;

	bk_begin(&b);
	second = b;
	second.fd = bk_grant(b.ctl, b.account, getpid(), PAGES(1), 1, &g);
	second.words = bk_words(second.fd);
	CHECK_EQ(g.existed, 1);
	CHECK_EQ(g.grant, b.grant);
	CHECK_NE(g.session, b.session);
	CHECK_EQ(bk_sysfs("grants"), 1);
	CHECK_EQ(bk_sysfs("sessions"), 2);

	/* The limits of the second request changed nothing. */
	p = bk_anon(PAGES(8), 1);
	a = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	c = bk_hold(&second, p, PAGES(8), BELAY_PINNED, W);
	expect_charge(&b, 8);
	CHECK_OK(bk_unregister(b.fd, a.id));
	expect_charge(&b, 8);
	CHECK_OK(bk_unregister(second.fd, c.id));
	expect_charge(&b, 0);

	/* A region goes with the session that registered it. */
	a = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	bk_hold(&second, p + PAGES(4), PAGES(4), BELAY_PINNED, W);
	bk_hold(&second, p + PAGES(4), PAGES(2), BELAY_TRACKED, W);
	CHECK_EQ(bk_unregister(second.fd, 0x7777777777), -ENOENT);
	bk_leave(&second);
	CHECK_SOON(bk_usage_regions(b.fd) == 1, 5);
	expect_charge(&b, 8);
	CHECK(bk_valid(&b, &a));
	bk_end(&b);
}

TEST(second_process, "memory shared by two processes is charged to each of them")
{
	struct bk_steps *s = bk_steps();
	struct belay_level l[4];
	struct bk_memory m;
	struct bk b, child;
	pid_t pid;

	bk_begin(&b);
	bk_map(&m, BK_SHARED_ANON, PAGES(8));
	bk_hold(&b, m.addr, PAGES(8), BELAY_PINNED, W);
	pid = fork();
	if (!pid) {
		bk_join(&child, &b);
		bk_hold(&child, m.addr, PAGES(8), BELAY_PINNED, W);
		bk_step(s, 1);
		pause();
	}
	bk_await(s, 1);
	bk_levels(b.fd, l, 4);
	CHECK_EQ(l[0].usage_bytes, PAGES(8));
	CHECK_EQ(l[1].usage_bytes, PAGES(16));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_SOON((bk_levels(b.fd, l, 4), l[1].usage_bytes == PAGES(8)), 5);
	bk_end(&b);
}

/* ---- what is about to be let go ----------------------------------------------------- */

TEST_TIMEOUT(room, "what fits is not refused because the worker has yet to drop what is lost", 60)
{
	size_t len = PAGES(4096), small = PAGES(512);
	unsigned int i, refused = 0, rounds = bk_rounds(40);
	struct bk_region r, q;
	struct bk b;
	char *p, *p2;
	int err;

	bk_begin_limited(&b, len, BELAY_UNLIMITED);
	p2 = bk_anon(small, 2);
	for (i = 0; i < rounds; i++) {
		p = bk_anon(len, 1);
		CHECK_OK(bk_register(b.fd, p, len, BELAY_PINNED, W, &r));
		munmap(p, len);
		if (i % 2)
			usleep(i * 137 % 9000);
		err = bk_register(b.fd, p2, small, BELAY_PINNED, W, &q);
		refused += err == -EDQUOT;
		if (!err)
			CHECK_OK(bk_unregister(b.fd, q.id));
		CHECK_OK(bk_unregister(b.fd, r.id));
	}
	CHECK_EQ(refused, 0);
	bk_end(&b);
}

TEST(place, "a lost region gives its bytes back, but counts as a region until it is unregistered")
{
	struct bk_region r, q;
	struct bk b;
	char *p = bk_anon(PAGES(1), 1), *p2 = bk_anon(PAGES(1), 1);

	bk_begin_limited(&b, PAGES(1), 1);
	r = bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
	munmap(p, PAGES(1));
	CHECK_SOON(bk_usage_bytes(b.fd) == 0, 5);
	CHECK_EQ(bk_usage_regions(b.fd), 1);
	CHECK_EQ(bk_register(b.fd, p2, PAGES(1), BELAY_PINNED, W, &q), -EDQUOT);
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_EQ(bk_usage_regions(b.fd), 0);
	CHECK_OK(bk_register(b.fd, p2, PAGES(1), BELAY_PINNED, W, &q));
	bk_end(&b);
}

/* ---- random regions against an oracle ------------------------------------ */

#define ARENA	1024
#define LIVE	1000

struct oracle {
	unsigned int cover[ARENA];
	unsigned int pages, live, pinned, tracked;
	struct live {
		uint64_t id;
		unsigned int first, count;
		uint32_t kind;
	} regions[LIVE];
};

static bool oracle_room(const struct oracle *o, unsigned int first, unsigned int count)
{
	unsigned int i;

	for (i = first; i < first + count; i++)
		if (o->cover[i] >= BELAY_MAX_OVERLAP)
			return false;
	return true;
}

static void oracle_count(struct oracle *o, const struct live *r, int by)
{
	unsigned int i;

	for (i = r->first; i < r->first + r->count; i++) {
		o->pages -= o->cover[i] > 0;
		o->cover[i] += by;
		o->pages += o->cover[i] > 0;
	}
	*(r->kind == BELAY_PINNED ? &o->pinned : &o->tracked) += by * (int)r->count;
}

static void oracle_check(const struct oracle *o, const struct bk *b)
{
	CHECK_EQ(bk_usage_bytes(b->fd) / BK_PAGE, o->pages);
	CHECK_EQ(bk_usage_regions(b->fd), o->live);
}

static void add_random(struct oracle *o, const struct bk *b, char *p, uint32_t *seed)
{
	struct live *r = &o->regions[o->live];
	struct bk_region region;
	int err;

	/* Half of them in one corner, so that the cap is met. */
	r->count = 1 + bk_random(seed) % (bk_random(seed) % 4 ? 16 : 200);
	r->first = bk_random(seed) % (bk_random(seed) % 2 ? 32 : ARENA - r->count + 1);
	r->kind = bk_random(seed) % 2 ? BELAY_PINNED : BELAY_TRACKED;
	err = bk_register(b->fd, p + PAGES(r->first), PAGES(r->count), r->kind, W, &region);
	if (!oracle_room(o, r->first, r->count)) {
		CHECK_EQ(err, -EMLINK);
		return;
	}
	CHECK_EQ(err, 0);
	if (r->kind == BELAY_TRACKED && bk_random(seed) % 4)
		CHECK_OK(bk_commit(b->fd, region.id));
	r->id = region.id;
	oracle_count(o, r, 1);
	o->live++;
}

static void drop_random(struct oracle *o, const struct bk *b, uint32_t *seed)
{
	struct live *r = &o->regions[bk_random(seed) % o->live];

	CHECK_OK(bk_unregister(b->fd, r->id));
	oracle_count(o, r, -1);
	*r = o->regions[--o->live];
}

TEST_TIMEOUT(oracle, "1,000 random overlapping regions are charged as a table of pages says, and 0 at the end", 60)
{
	static struct oracle o;
	unsigned int added = 0, most = 0, deepest = 0, i;
	uint32_t seed = bk_seed();
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(ARENA), 1);
	while (added < 2 * LIVE) {
		if (o.live && (o.live == LIVE || bk_random(&seed) % 5 == 0)) {
			drop_random(&o, &b, &seed);
		} else {
			add_random(&o, &b, p, &seed);
			added++;
		}
		oracle_check(&o, &b);
		most = o.live > most ? o.live : most;
		for (i = 0; i < 64; i++)
			deepest = o.cover[i] > deepest ? o.cover[i] : deepest;
	}
	expect_charge(&b, o.pages);
	CHECK_EQ(bk_sysfs("pinned_bytes") / BK_PAGE, o.pinned);
	CHECK_EQ(bk_sysfs("tracked_bytes") / BK_PAGE, o.tracked);
	CHECK_EQ(bk_vm_pin() / BK_PAGE, o.pinned);
	tap_diag("%u live at most, %u over one page", most, deepest);
	CHECK_GE(most, 500);
	CHECK_EQ(deepest, BELAY_MAX_OVERLAP);
	while (o.live) {
		drop_random(&o, &b, &seed);
		oracle_check(&o, &b);
	}
	expect_charge(&b, 0);
	CHECK_EQ(bk_vm_pin(), 0);
	bk_end(&b);
}

/* ---- mmap, register, munmap, mmap again: no way around the limit ----------- */

static char *map_at(char *at)
{
	char *p = CHECK_SYS(mmap(at, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_POPULATE | (at ? MAP_FIXED_NOREPLACE : 0),
				 -1, 0));

	CHECK(!at || p == at);
	return p;
}

static void expect_within(const struct bk *b, uint64_t limit)
{
	CHECK_LE(bk_vm_pin(), limit);
	CHECK_LE(bk_sysfs("pinned_bytes"), limit);
	CHECK_LE(bk_sysfs("charged_bytes"), limit);
	CHECK_LE(bk_usage_bytes(b->fd), limit);
}

/* Each round loses its region; with the loss acknowledged at once, or not. */
static void pinned_loop(bool unregister)
{
	const uint64_t limit = PAGES(16);
	unsigned int i, held = 0, refused = 0, rounds = bk_rounds(2000);
	uint64_t unmaps = bk_seen("seen_unmap");
	struct bk_region r;
	struct bk b;
	char *p = map_at(NULL);
	int err;

	bk_begin_limited(&b, limit, BELAY_UNLIMITED);
	for (i = 0; i < rounds; i++) {
		err = bk_register(b.fd, p, PAGES(4), BELAY_PINNED, W, &r);
		CHECK(err == 0 || err == -EDQUOT);
		held += !err;
		refused += err == -EDQUOT;
		if (i % 16 == 0)
			expect_within(&b, limit);
		CHECK_SYS(munmap(p, PAGES(4)));
		map_at(p);
		if (!err && unregister)
			CHECK_OK(bk_unregister(b.fd, r.id));
	}
	tap_diag("%u registered, %u refused while the worker was behind", held, refused);
	CHECK_GE(held, rounds / 20);
	CHECK_GE(bk_seen("seen_unmap") - unmaps, held);
	/* What is lost costs nothing in the end, acknowledged or not. */
	CHECK_SOON(!bk_usage_bytes(b.fd) && !bk_vm_pin(), 5);
	bk_end(&b);
}

TEST(pinned_loop_unregister, "mmap, register, munmap, mmap at the same address, unregister: never holds more than the limit")
{
	pinned_loop(true);
}

TEST(pinned_loop, "the same without ever unregistering: lost pins are dropped, and never more is held than the limit")
{
	pinned_loop(false);
}

TEST(tracked_loop, "a lost tracked region keeps its charge until it is unregistered, whatever is registered at its address")
{
	struct belay_register_entry e;
	struct bk_region r[4];
	unsigned int i;
	struct bk b;
	char *p = map_at(NULL);

	bk_begin_limited(&b, PAGES(16), BELAY_UNLIMITED);
	for (i = 0; i < 4; i++) {
		r[i] = bk_hold(&b, p, PAGES(4), BELAY_TRACKED, W);
		expect_charge(&b, 4 * (i + 1));
		CHECK_SYS(munmap(p, PAGES(4)));
		CHECK(bk_state(&b, &r[i]) & BELAY_WORD_LOST);
		map_at(p);
	}
	memset(&e, 0, sizeof(e));
	e.addr = (uintptr_t)p;
	e.len = PAGES(4);
	e.kind = BELAY_TRACKED;
	e.flags = W;
	CHECK_EQ(bk_register_entry(b.fd, &e), -EDQUOT);
	CHECK_EQ(e.refused_needed, PAGES(4));
	e.kind = BELAY_PINNED;
	CHECK_EQ(bk_register_entry(b.fd, &e), -EDQUOT);
	usleep(100000);
	expect_charge(&b, 16);

	CHECK_OK(bk_unregister(b.fd, r[2].id));
	expect_charge(&b, 12);
	r[2] = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	expect_charge(&b, 16);
	for (i = 0; i < 4; i++) {
		CHECK_OK(bk_unregister(b.fd, r[i].id));
		expect_charge(&b, 12 - 4 * i);
	}
	bk_end(&b);
}

TEST(tracked_loop_unregister, "mmap, track, munmap, mmap, unregister, 2,000 times: never holds more than the limit, and 0 at the end")
{
	struct bk_region r, lost = { 0 };
	unsigned int i, rounds = bk_rounds(2000);
	struct bk b;
	char *p = map_at(NULL);

	bk_begin_limited(&b, PAGES(8), BELAY_UNLIMITED);
	for (i = 0; i < rounds; i++) {
		r = bk_hold(&b, p, PAGES(4), BELAY_TRACKED, W);
		if (lost.id) {
			if (i % 16 == 0)
				CHECK_EQ(bk_usage_bytes(b.fd), PAGES(8));
			CHECK_OK(bk_unregister(b.fd, lost.id));
		}
		if (i % 16 == 0)
			CHECK_EQ(bk_usage_bytes(b.fd), PAGES(4));
		CHECK_SYS(munmap(p, PAGES(4)));
		map_at(p);
		CHECK(bk_state(&b, &r) & BELAY_WORD_LOST);
		lost = r;
	}
	CHECK_OK(bk_unregister(b.fd, lost.id));
	expect_charge(&b, 0);
	bk_end(&b);
}

TEST(partly_lost, "a region over a partly lost one is charged in full, and losing the first releases only its own")
{
	struct bk_region a, c;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(8), 1);
	a = bk_hold(&b, p, PAGES(8), BELAY_TRACKED, W);
	CHECK_SYS(munmap(p, PAGES(4)));
	map_at(p);
	/* The upper half is still the same memory, but a is not healthy any more. */
	c = bk_hold(&b, p, PAGES(8), BELAY_TRACKED, W);
	expect_charge(&b, 16);
	CHECK_OK(bk_unregister(b.fd, a.id));
	expect_charge(&b, 8);
	CHECK_OK(bk_unregister(b.fd, c.id));
	expect_charge(&b, 0);
	bk_end(&b);
}

TAP_MAIN()
