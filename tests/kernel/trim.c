// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Trimming: a part of a region goes, also in the middle of a huge page, and the rest
 * goes on as regions of their own, pinned and charged all the time.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define FOR_BOTH(how)	for (uint32_t how = BELAY_PINNED; how <= BELAY_TRACKED; how++)

/* Every page that the module has ever pinned. */
static uint64_t pins_made(void)
{
	bk_write("/proc/sys/vm/stat_refresh", "1");
	return bk_field("/proc/vmstat", "nr_foll_pin_acquired");
}

static void expect_held(struct bk *b, uint32_t how, size_t len)
{
	CHECK_SOON(bk_usage_bytes(b->fd) == len, 5);
	CHECK_SOON(bk_vm_pin() == (how == BELAY_PINNED ? len : 0), 5);
	CHECK_EQ(bk_sysfs("pinned_bytes"), how == BELAY_PINNED ? len : 0);
	CHECK_EQ(bk_sysfs("tracked_bytes"), how == BELAY_TRACKED ? len : 0);
	CHECK_EQ(bk_sysfs("charged_bytes"), len);
}

/* What is over is over. */
static void expect_over(struct bk *b, const struct bk_region *r)
{
	struct belay_region_row row;
	struct bk_region parts[2];

	CHECK_FINAL(!bk_valid(b, r));
	CHECK_EQ(bk_check(b->fd, r->id), -ENOENT);
	CHECK_EQ(bk_unregister(b->fd, r->id), -ENOENT);
	CHECK_EQ(bk_trim(b->fd, r, 0, BK_PAGE, parts), -ENOENT);
	CHECK(!bk_find_region(b->ctl, b->session, r->id, &row));
}

static void expect_part(struct bk *b, const struct bk_region *part, const void *addr,
			size_t len, uint32_t how)
{
	struct belay_region_row row;

	CHECK_EQ(part->id != 0, len != 0);
	if (!len)
		return;
	CHECK(part->addr == addr);
	CHECK_EQ(part->len, len);
	CHECK_EQ(bk_settle(b, part), 0);
	CHECK(bk_valid(b, part));
	CHECK(bk_find_region(b->ctl, b->session, part->id, &row));
	CHECK_EQ(row.addr, (uintptr_t)addr);
	CHECK_EQ(row.len, len);
	CHECK_EQ(row.kind, how);
	CHECK_EQ(row.cookie, 0xc00c1e);
	CHECK_EQ(row.prepared, 0);
}

/*
 * Trims [offset, +len) of a region of that kind of memory; lose says how that part was
 * lost before, if it was.
 */
static void trim(enum bk_kind kind, uint32_t how, size_t all, size_t offset, size_t len,
		 void (*lose)(char *p, size_t len))
{
	struct bk_region r, parts[2];
	struct bk_memory m;
	uint64_t made, first, last;
	struct bk b;

	bk_begin(&b);
	bk_map(&m, kind, all);
	r = bk_hold(&b, m.addr, all, how, m.flags);
	first = bk_pfn(m.addr);
	last = bk_pfn(m.addr + all - BK_PAGE);
	made = pins_made();
	if (lose) {
		lose(m.addr + offset, len);
		CHECK(bk_settle(&b, &r) & BELAY_WORD_LOST);
	}
	CHECK_OK(bk_trim(b.fd, &r, offset, len, parts));
	expect_over(&b, &r);
	expect_part(&b, &parts[0], m.addr, offset, how);
	expect_part(&b, &parts[1], m.addr + offset + len, all - offset - len, how);
	expect_held(&b, how, all - len);
	CHECK_EQ(bk_usage_regions(b.fd), !!parts[0].id + !!parts[1].id);
	if (offset)
		CHECK_EQ(bk_pfn(m.addr), first);
	if (offset + len < all)
		CHECK_EQ(bk_pfn(m.addr + all - BK_PAGE), last);
	if (kind != BK_PRIVATE_FILE && kind != BK_EXT4)
		CHECK_EQ(pins_made(), made);
	CHECK(!bk_any_lost(b.ctl, b.session));

	if (parts[0].id) {
		CHECK_OK(bk_unregister(b.fd, parts[0].id));
		expect_held(&b, how, all - len - offset);
	}
	if (parts[1].id)
		CHECK_OK(bk_unregister(b.fd, parts[1].id));
	expect_held(&b, how, 0);
	bk_unmap(&m);
	bk_end(&b);
}

static const enum bk_kind small[] = { BK_ANON, BK_MEMFD, BK_SHARED_ANON, BK_TMPFS,
				      BK_PRIVATE_FILE, BK_EXT4 };
static const enum bk_kind huge[] = { BK_THP, BK_HUGE_ANON, BK_HUGE_MEMFD };
#define N(array) (sizeof(array) / sizeof((array)[0]))

TEST(healthy, "the beginning, the middle and the end of a healthy region go: the rest is valid, never unpinned, and charged to the page")
{
	unsigned int i;

	for (i = 0; i < N(small); i++)
		FOR_BOTH(how) {
			trim(small[i], how, PAGES(8), 0, PAGES(3), NULL);
			trim(small[i], how, PAGES(8), PAGES(2), PAGES(1), NULL);
			trim(small[i], how, PAGES(8), PAGES(7), PAGES(1), NULL);
		}
}

TEST(middle_of_huge, "a part goes in the middle of a huge page: the small pages that are left are what is pinned and charged")
{
	unsigned int i;

	for (i = 0; i < N(huge); i++)
		FOR_BOTH(how) {
			trim(huge[i], how, 2 * BK_HUGE, PAGES(100), PAGES(7), NULL);
			trim(huge[i], how, 2 * BK_HUGE, PAGES(1), 2 * BK_HUGE - PAGES(2), NULL);
			trim(huge[i], how, 2 * BK_HUGE, 0, BK_HUGE + PAGES(1), NULL);
		}
}

static void by_munmap(char *p, size_t len) { CHECK_SYS(munmap(p, len)); }
static void by_dontneed(char *p, size_t len) { CHECK_SYS(madvise(p, len, MADV_DONTNEED)); }
static void by_remove(char *p, size_t len) { CHECK_SYS(madvise(p, len, MADV_REMOVE)); }

TEST(lost, "after a partial munmap, MADV_DONTNEED or hole the lost part is trimmed away, and the rest is valid")
{
	FOR_BOTH(how) {
		trim(BK_ANON, how, PAGES(8), 0, PAGES(3), by_munmap);
		trim(BK_ANON, how, PAGES(8), PAGES(3), PAGES(2), by_munmap);
		trim(BK_ANON, how, PAGES(8), PAGES(5), PAGES(3), by_dontneed);
		trim(BK_MEMFD, how, PAGES(8), PAGES(2), PAGES(2), by_remove);
		trim(BK_THP, how, BK_HUGE, PAGES(100), PAGES(7), by_munmap);
		trim(BK_THP, how, BK_HUGE, PAGES(100), PAGES(7), by_dontneed);
	}
}

TEST(part_lost, "a part of a trimmed region is watched and verified like any other, and can be trimmed again")
{
	struct bk_region r, parts[2], rest[2];
	struct belay_event e;
	struct bk_memory m;
	struct bk b;

	bk_begin(&b);
	bk_map(&m, BK_MEMFD, PAGES(8));
	r = bk_hold(&b, m.addr, PAGES(8), BELAY_PINNED, W);
	CHECK_OK(bk_trim(b.fd, &r, 0, PAGES(2), parts));
	CHECK_EQ(parts[0].id, 0);
	/* The page table entries go, the pages stay. */
	CHECK_SYS(madvise(parts[1].addr, PAGES(6), MADV_DONTNEED));
	CHECK_FINAL(!bk_valid(&b, &parts[1]));
	CHECK_EQ(bk_settle(&b, &parts[1]), 0);
	by_remove(parts[1].addr + PAGES(5), PAGES(1));
	CHECK(bk_settle(&b, &parts[1]) & BELAY_WORD_LOST);
	CHECK_SOON(bk_find_event(b.ctl, b.session, parts[1].id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.lost_addr, (uintptr_t)parts[1].addr + PAGES(5));
	CHECK_EQ(e.lost_len, PAGES(1));
	CHECK_OK(bk_trim(b.fd, &parts[1], PAGES(5), PAGES(1), rest));
	expect_part(&b, &rest[0], m.addr + PAGES(2), PAGES(5), BELAY_PINNED);
	expect_held(&b, BELAY_PINNED, PAGES(5));
	/* The loss was never dealt with: with the region it is nobody's business. */
	CHECK(!bk_any_lost(b.ctl, b.session));
	CHECK_OK(bk_unregister(b.fd, rest[0].id));
	bk_unmap(&m);
	bk_end(&b);
}

TEST(told, "the owner that dealt with a loss hears that the trimmed region is gone; parts can be recalled and released")
{
	struct bk_region r, parts[2];
	struct belay_event e;
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin(&b);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	by_munmap(p + PAGES(3), PAGES(1));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.kind, BELAY_PINNED);
	CHECK_EQ(bk_event_done(b.ctl, &e), 1);
	CHECK_OK(bk_trim(b.fd, &r, PAGES(3), PAGES(1), parts));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_GONE, &e), 5);
	CHECK_EQ(bk_event_done(b.ctl, &e), 1);
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, parts[0].id, 5));
	CHECK_EQ(bk_state(&b, &parts[0]), BELAY_WORD_RECALLED);
	CHECK(bk_valid(&b, &parts[1]));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, parts[0].id, 0));
	expect_held(&b, BELAY_PINNED, PAGES(4));
	CHECK_OK(bk_unregister(b.fd, parts[1].id));
	bk_end(&b);
}

TEST(more_lost, "a second loss extends the lost part, and is told again after the first was dealt with")
{
	struct bk_region r, parts[2];
	struct belay_event e;
	struct bk b;
	char *p = bk_anon(PAGES(16), 1);

	bk_begin(&b);
	r = bk_hold(&b, p, PAGES(16), BELAY_PINNED, W);
	by_munmap(p + PAGES(4), PAGES(1));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.lost_len, PAGES(1));
	CHECK_EQ(bk_event_done(b.ctl, &e), 1);
	CHECK_SOON(bk_vm_pin() == PAGES(15), 5);
	/* Verified, not certain, this time; and what is lost already is not told twice. */
	by_dontneed(p + PAGES(6), PAGES(1));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.lost_addr, (uintptr_t)p + PAGES(4));
	CHECK_EQ(e.lost_len, PAGES(3));
	CHECK_EQ(bk_event_done(b.ctl, &e), 1);
	CHECK_SOON(bk_vm_pin() == PAGES(13), 5);
	by_dontneed(p + PAGES(5), PAGES(1));
	usleep(100000);
	CHECK(!bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, NULL));
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(4), PAGES(2), parts), -ESTALE);
	CHECK_OK(bk_trim(b.fd, &r, PAGES(4), PAGES(3), parts));
	expect_held(&b, BELAY_PINNED, PAGES(13));
	CHECK_OK(bk_unregister(b.fd, parts[0].id));
	CHECK_OK(bk_unregister(b.fd, parts[1].id));
	bk_end(&b);
}

TEST(errors, "what cannot be trimmed is refused with its errno, and nothing has changed")
{
	struct bk_region r, tracked, parts[2];
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin_limited(&b, BELAY_UNLIMITED, 2);
	r = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	CHECK_EQ(bk_trim(b.fd, &r, 0, PAGES(4), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, 0, PAGES(5), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(3), PAGES(2), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(4), PAGES(1), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, -PAGES(1), PAGES(2), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(1), -PAGES(1), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, 0, 0, parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, 1, PAGES(1), parts), -EINVAL);
	CHECK_EQ(bk_trim(b.fd, &r, 0, 100, parts), -EINVAL);
	CHECK_OK(bk_register(b.fd, p + PAGES(4), PAGES(4), BELAY_TRACKED, W, &tracked));
	CHECK_EQ(bk_trim(b.fd, &tracked, 0, PAGES(1), parts), -EINVAL);
	/* Room for two regions, which there are: an edge may go, the middle may not. */
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(1), PAGES(1), parts), -EDQUOT);
	CHECK(bk_valid(&b, &r));
	CHECK_EQ(bk_usage_regions(b.fd), 2);
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(8));
	CHECK_OK(bk_unregister(b.fd, tracked.id));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 5));
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(1), PAGES(1), parts), -EBUSY);
	CHECK_EQ(bk_state(&b, &r), BELAY_WORD_RECALLED);
	CHECK_EQ(bk_vm_pin(), PAGES(4));
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_EQ(bk_trim(b.fd, &r, PAGES(1), PAGES(1), parts), -ENOENT);
	bk_end(&b);
}

TEST(child, "a forked child cannot trim its parent's region")
{
	struct belay_trim_entry e = {};
	struct belay_trim t = {
		.size = sizeof(t), .entries = (uintptr_t)&e, .count = 1,
		.entry_size = sizeof(e),
	};
	struct bk_region r;
	struct bk b;
	char *p = bk_anon(PAGES(4), 1);
	int status;
	pid_t pid;

	bk_begin(&b);
	r = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	e.region = r.id;
	e.addr = (uintptr_t)p;
	e.len = PAGES(1);
	pid = fork();
	if (!pid)
		_exit(bk_ioctl(b.fd, BELAY_TRIM, &t) == -EXDEV ? 0 : 1);
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK_EQ(status, 0);
	CHECK(bk_valid(&b, &r));
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_end(&b);
}

/* ---- against a naive oracle ------------------------------------------------------ */

#define ORACLE_PAGES	256
#define ORACLE_REGIONS	120	/* below the cap on overlap */

struct oracle {
	struct bk_region live[ORACLE_REGIONS];
	unsigned int n;
	unsigned int over[ORACLE_PAGES];
	char *base;
};

static void oracle_add(struct oracle *o, const struct bk_region *r)
{
	size_t i, first = (r->addr - o->base) / BK_PAGE;

	if (!r->id)
		return;
	CHECK_LT(o->n, ORACLE_REGIONS);
	o->live[o->n++] = *r;
	for (i = 0; i < r->len / BK_PAGE; i++)
		o->over[first + i]++;
}

static struct bk_region oracle_take(struct oracle *o, unsigned int at)
{
	struct bk_region r = o->live[at];
	size_t i, first = (r.addr - o->base) / BK_PAGE;

	o->live[at] = o->live[--o->n];
	for (i = 0; i < r.len / BK_PAGE; i++)
		o->over[first + i]--;
	return r;
}

static void oracle_compare(const struct oracle *o, const struct bk *b)
{
	size_t covered = 0, pinned = 0, i;

	for (i = 0; i < ORACLE_PAGES; i++) {
		covered += o->over[i] != 0;
		pinned += o->over[i];
	}
	CHECK_EQ(bk_usage_bytes(b->fd), covered * BK_PAGE);
	CHECK_EQ(bk_usage_regions(b->fd), o->n);
	CHECK_EQ(bk_vm_pin(), pinned * BK_PAGE);
}

static void oracle_trim(struct oracle *o, const struct bk *b, uint32_t *seed)
{
	struct bk_region r = oracle_take(o, bk_random(seed) % o->n), parts[2];
	size_t pages = r.len / BK_PAGE, from = bk_random(seed) % pages;
	size_t n = 1 + bk_random(seed) % (pages - from);

	if (n == pages) {
		CHECK_OK(bk_unregister(b->fd, r.id));
		return;
	}
	CHECK_OK(bk_trim(b->fd, &r, PAGES(from), PAGES(n), parts));
	oracle_add(o, &parts[0]);
	oracle_add(o, &parts[1]);
}

TEST_TIMEOUT(oracle, "2,000 random registrations and trims of overlapping regions: charge, regions and VmPin as a naive oracle counts them", 60)
{
	uint32_t seed = bk_seed();
	struct oracle o = {};
	unsigned int i, trims = 0, turns = bk_rounds(2000);
	struct bk b;

	o.base = bk_anon(PAGES(ORACLE_PAGES), 1);
	bk_begin(&b);
	for (i = 0; i < turns; i++) {
		if (o.n < 2 || (o.n < ORACLE_REGIONS - 1 && bk_random(&seed) % 2)) {
			size_t first = bk_random(&seed) % ORACLE_PAGES;
			size_t n = 1 + bk_random(&seed) % (ORACLE_PAGES - first);
			struct bk_region r;

			CHECK_OK(bk_register(b.fd, o.base + PAGES(first), PAGES(n),
					     BELAY_PINNED, W, &r));
			oracle_add(&o, &r);
		} else if (o.n == ORACLE_REGIONS - 1) {
			struct bk_region r = oracle_take(&o, bk_random(&seed) % o.n);

			CHECK_OK(bk_unregister(b.fd, r.id));
		} else {
			oracle_trim(&o, &b, &seed);
			trims++;
		}
		if (i % 8 == 0)
			oracle_compare(&o, &b);
	}
	CHECK_GE(trims, turns / 4);
	for (i = 0; i < o.n; i++)
		CHECK(bk_valid(&b, &o.live[i]));
	while (o.n) {
		struct bk_region r = oracle_take(&o, o.n - 1);

		CHECK_OK(bk_unregister(b.fd, r.id));
	}
	oracle_compare(&o, &b);
	bk_end(&b);
}

/* ---- at the same time ---------------------------------------------------------------- */

#define ROUNDS 3000

struct race {
	struct bk b;
	char *p;
	struct bk_region r, parts[2];
	pthread_barrier_t start, end;
	int err[2];
	unsigned int rounds;
};

static void *replace_a_page(void *arg)
{
	struct race *x = arg;
	unsigned int i;

	for (i = 0; i < x->rounds; i++) {
		pthread_barrier_wait(&x->start);
		/* In the part that is kept. */
		madvise(x->p + PAGES(5), PAGES(1), MADV_DONTNEED);
		pthread_barrier_wait(&x->end);
	}
	return NULL;
}

TEST_TIMEOUT(race_replace, "a page that is replaced while its region is trimmed is never missed, 3,000 rounds", 120)
{
	unsigned int i, trimmed = 0;
	struct bk_region *left;
	struct race x = { .rounds = bk_rounds(ROUNDS) };
	pthread_t t;

	x.p = bk_anon(PAGES(8), 1);
	bk_begin(&x.b);
	pthread_barrier_init(&x.start, NULL, 2);
	pthread_barrier_init(&x.end, NULL, 2);
	CHECK_EQ(pthread_create(&t, NULL, replace_a_page, &x), 0);
	for (i = 0; i < x.rounds; i++) {
		memset(x.p, i, PAGES(8));
		CHECK_OK(bk_register(x.b.fd, x.p, PAGES(8), BELAY_PINNED, W, &x.r));
		pthread_barrier_wait(&x.start);
		x.err[0] = bk_trim(x.b.fd, &x.r, 0, PAGES(2), x.parts);
		pthread_barrier_wait(&x.end);
		if (x.err[0] && x.err[0] != -ESTALE && x.err[0] != -EAGAIN)
			FAIL("round %u: %d", i, x.err[0]);
		trimmed += !x.err[0];
		left = x.err[0] ? &x.r : &x.parts[1];
		CHECK_FINAL(!bk_valid(&x.b, left));
		if (!(bk_settle(&x.b, left) & BELAY_WORD_LOST))
			FAIL("round %u: settled as %#x", i, bk_state(&x.b, left));
		CHECK_OK(bk_unregister(x.b.fd, left->id));
	}
	pthread_join(t, NULL);
	tap_diag("%u of %u were trimmed before the page went", trimmed, x.rounds);
	CHECK_GE(trimmed, x.rounds / 100);
	CHECK_LE(trimmed, x.rounds - x.rounds / 100);
	CHECK_EQ(bk_usage_bytes(x.b.fd), 0);
	bk_end(&x.b);
}

static void *trim_too(void *arg)
{
	struct bk_region parts[2];
	struct race *x = arg;
	unsigned int i;

	for (i = 0; i < x->rounds; i++) {
		pthread_barrier_wait(&x->start);
		x->err[1] = i % 2 ? bk_unregister(x->b.fd, x->r.id) :
			bk_trim(x->b.fd, &x->r, PAGES(4), PAGES(4), parts);
		if (!x->err[1] && i % 2 == 0)
			CHECK_OK(bk_unregister(x->b.fd, parts[0].id));
		pthread_barrier_wait(&x->end);
	}
	return NULL;
}

TEST_TIMEOUT(race_trim, "of two threads that trim or unregister the same region one wins, and nothing stays held", 120)
{
	struct race x = { .rounds = bk_rounds(ROUNDS) };
	unsigned int i, wins[2] = {};
	pthread_t t;

	x.p = bk_anon(PAGES(8), 1);
	bk_begin(&x.b);
	pthread_barrier_init(&x.start, NULL, 2);
	pthread_barrier_init(&x.end, NULL, 2);
	CHECK_EQ(pthread_create(&t, NULL, trim_too, &x), 0);
	for (i = 0; i < x.rounds; i++) {
		CHECK_OK(bk_register(x.b.fd, x.p, PAGES(8), BELAY_PINNED, W, &x.r));
		pthread_barrier_wait(&x.start);
		x.err[0] = bk_trim(x.b.fd, &x.r, PAGES(2), PAGES(2), x.parts);
		pthread_barrier_wait(&x.end);
		/* Unregistering what has just been trimmed may say either. */
		if (x.err[0] && x.err[0] != -ENOENT)
			FAIL("round %u: %d", i, x.err[0]);
		if (i % 2 == 0)
			CHECK_NE(!x.err[0], !x.err[1]);
		wins[0] += !x.err[0];
		wins[1] += !x.err[1];
		if (!x.err[0]) {
			CHECK_OK(bk_unregister(x.b.fd, x.parts[0].id));
			CHECK_OK(bk_unregister(x.b.fd, x.parts[1].id));
		}
		if (i % 64 == 0)
			CHECK_EQ(bk_usage_bytes(x.b.fd), 0);
	}
	pthread_join(t, NULL);
	CHECK_GE(wins[0], x.rounds / 100);
	CHECK_GE(wins[1], x.rounds / 100);
	CHECK_EQ(bk_vm_pin(), 0);
	CHECK_EQ(bk_usage_bytes(x.b.fd), 0);
	bk_end(&x.b);
}

TAP_MAIN()
