// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Limits hold, to the page, at every level, whoever asks at the same time; and the
 * refusal says whose limit it was.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define MANY	BELAY_UNLIMITED

static struct belay_register_entry entry(void *addr, size_t len, uint32_t kind)
{
	struct belay_register_entry e = {
		.addr = (uintptr_t)addr,
		.len = len,
		.kind = kind,
		.flags = W,
	};

	return e;
}

/* A tree of three: system, class, and the grant of this process. */
struct tree {
	struct bk b;
	uint64_t class;
	char *memory;
};

static void tree_begin(struct tree *t, uint64_t root, uint64_t class, uint64_t grant,
		       bool regions)
{
	struct belay_ctl_grant g;

	bk_begin(&t->b);
	bk_leave(&t->b);
	CHECK_OK(bk_set_limit(t->b.ctl, t->b.account, 0, regions ? MANY : root,
			      regions ? root : MANY));
	t->class = bk_account(t->b.ctl, t->b.account, regions ? MANY : class,
			      regions ? class : MANY);
	t->b.fd = bk_grant(t->b.ctl, t->class, getpid(), regions ? MANY : grant,
			   regions ? grant : MANY, &g);
	t->b.grant = g.grant;
	t->b.session = g.session;
	t->b.words = bk_words(t->b.fd);
	t->memory = bk_anon(PAGES(64), 1);
}

static void tree_end(struct tree *t)
{
	bk_leave(&t->b);
	bk_remove_account(t->b.ctl, t->class);
	bk_end(&t->b);
}

static void expect_refusal(int fd, struct belay_register_entry e, uint64_t account,
			   uint32_t resource, uint64_t usage, uint64_t limit,
			   uint64_t needed)
{
	uint64_t refused = bk_seen("refused"), before = bk_usage_bytes(fd);
	int64_t pin = bk_vm_pin();

	CHECK_EQ(bk_register_entry(fd, &e), -EDQUOT);
	CHECK_EQ(e.refused_account, account);
	CHECK_EQ(e.refused_resource, resource);
	CHECK_EQ(e.refused_usage, usage);
	CHECK_EQ(e.refused_limit, limit);
	CHECK_EQ(e.refused_needed, needed);
	CHECK_GT(bk_seen("refused"), refused);
	CHECK_EQ(bk_usage_bytes(fd), before);
	CHECK_EQ(bk_vm_pin(), pin);
}

/* The level's limit is 8 pages and a bit: 7, refused 2, 1, refused 1. */
static void exact_bytes(int level, uint32_t kind)
{
	uint64_t limit = PAGES(8) + 100, big = PAGES(1000), account;
	struct bk_region a, c;
	struct tree t;
	char *p;

	tree_begin(&t, level == 0 ? limit : big, level == 1 ? limit : big,
		   level == 2 ? limit : big, false);
	account = level == 0 ? t.b.account : level == 1 ? t.class : 0;
	p = t.memory;
	a = bk_hold(&t.b, p, PAGES(7), kind, W);
	expect_refusal(t.b.fd, entry(p + PAGES(7), PAGES(2), kind), account,
		       BELAY_RESOURCE_BYTES, PAGES(7), PAGES(8), PAGES(2));
	/* What is covered already needs nothing. */
	expect_refusal(t.b.fd, entry(p + PAGES(3), PAGES(6), kind), account,
		       BELAY_RESOURCE_BYTES, PAGES(7), PAGES(8), PAGES(2));
	c = bk_hold(&t.b, p + PAGES(7), PAGES(1), kind, W);
	expect_refusal(t.b.fd, entry(p + PAGES(8), PAGES(1), kind), account,
		       BELAY_RESOURCE_BYTES, PAGES(8), PAGES(8), PAGES(1));
	bk_hold(&t.b, p, PAGES(8), kind, W);
	CHECK_OK(bk_unregister(t.b.fd, a.id));
	CHECK_OK(bk_unregister(t.b.fd, c.id));
	/* The third covers all eight. */
	expect_refusal(t.b.fd, entry(p + PAGES(8), PAGES(1), kind), account,
		       BELAY_RESOURCE_BYTES, PAGES(8), PAGES(8), PAGES(1));
	tree_end(&t);
}

TEST(root_bytes, "the system's limit refuses at exactly the page, and is named")
{
	exact_bytes(0, BELAY_PINNED);
	exact_bytes(0, BELAY_TRACKED);
}

TEST(class_bytes, "an account's limit below it refuses at exactly the page, and is named")
{
	exact_bytes(1, BELAY_PINNED);
	exact_bytes(1, BELAY_TRACKED);
}

TEST(grant_bytes, "the grant's own limit refuses at exactly the page, and is named as 0")
{
	exact_bytes(2, BELAY_PINNED);
	exact_bytes(2, BELAY_TRACKED);
}

static void exact_regions(int level)
{
	uint64_t account;
	struct bk_region a;
	struct tree t;

	tree_begin(&t, level == 0 ? 3 : 100, level == 1 ? 3 : 100, level == 2 ? 3 : 100,
		   true);
	account = level == 0 ? t.b.account : level == 1 ? t.class : 0;
	a = bk_hold(&t.b, t.memory, PAGES(1), BELAY_PINNED, W);
	bk_hold(&t.b, t.memory, PAGES(1), BELAY_TRACKED, W);
	bk_hold(&t.b, t.memory, PAGES(2), BELAY_PINNED, W);
	expect_refusal(t.b.fd, entry(t.memory, PAGES(1), BELAY_PINNED), account,
		       BELAY_RESOURCE_REGIONS, 3, 3, 1);
	CHECK_OK(bk_unregister(t.b.fd, a.id));
	bk_hold(&t.b, t.memory, PAGES(1), BELAY_PINNED, W);
	expect_refusal(t.b.fd, entry(t.memory, PAGES(1), BELAY_PINNED), account,
		       BELAY_RESOURCE_REGIONS, 3, 3, 1);
	tree_end(&t);
}

TEST(regions, "a limit on the number of regions refuses exactly, at every level")
{
	exact_regions(0);
	exact_regions(1);
	exact_regions(2);
}

TEST(lowered, "a limit lowered below the usage takes nothing away and lets nothing in until it fits")
{
	struct bk_region a, c;
	struct tree t;

	tree_begin(&t, MANY, PAGES(16), MANY, false);
	a = bk_hold(&t.b, t.memory, PAGES(10), BELAY_PINNED, W);
	c = bk_hold(&t.b, t.memory + PAGES(10), PAGES(2), BELAY_PINNED, W);
	CHECK_OK(bk_set_limit(t.b.ctl, t.class, 0, PAGES(4), MANY));
	CHECK(bk_valid(&t.b, &a) && bk_valid(&t.b, &c));
	CHECK_EQ(bk_usage_bytes(t.b.fd), PAGES(12));
	expect_refusal(t.b.fd, entry(t.memory + PAGES(20), PAGES(1), BELAY_PINNED),
		       t.class, BELAY_RESOURCE_BYTES, PAGES(12), PAGES(4), PAGES(1));
	CHECK_OK(bk_unregister(t.b.fd, a.id));
	bk_hold(&t.b, t.memory + PAGES(20), PAGES(2), BELAY_PINNED, W);
	expect_refusal(t.b.fd, entry(t.memory + PAGES(22), PAGES(1), BELAY_PINNED),
		       t.class, BELAY_RESOURCE_BYTES, PAGES(4), PAGES(4), PAGES(1));
	CHECK_OK(bk_set_limit(t.b.ctl, t.b.grant, BELAY_LIMIT_GRANT, PAGES(3), MANY));
	CHECK_OK(bk_set_limit(t.b.ctl, t.class, 0, PAGES(100), MANY));
	expect_refusal(t.b.fd, entry(t.memory + PAGES(22), PAGES(1), BELAY_PINNED),
		       0, BELAY_RESOURCE_BYTES, PAGES(4), PAGES(3), PAGES(1));
	tree_end(&t);
}

TEST(lowered_trim, "a limit lowered below the usage does not keep a client from letting the middle of a region go")
{
	struct bk_region a, c, parts[2];
	struct tree t;

	tree_begin(&t, MANY, PAGES(16), MANY, false);
	a = bk_hold(&t.b, t.memory, PAGES(10), BELAY_PINNED, W);
	CHECK_OK(bk_set_limit(t.b.ctl, t.class, 0, PAGES(4), MANY));
	expect_refusal(t.b.fd, entry(t.memory + PAGES(20), PAGES(1), BELAY_PINNED),
		       t.class, BELAY_RESOURCE_BYTES, PAGES(10), PAGES(4), PAGES(1));
	CHECK_OK(bk_trim(t.b.fd, &a, PAGES(3), PAGES(4), parts));
	CHECK(bk_valid(&t.b, &parts[0]) && bk_valid(&t.b, &parts[1]));
	CHECK_EQ(bk_usage_bytes(t.b.fd), PAGES(6));
	/* What is charged already adds nothing. */
	c = bk_hold(&t.b, t.memory + PAGES(1), PAGES(2), BELAY_PINNED, W);
	CHECK_EQ(bk_usage_bytes(t.b.fd), PAGES(6));
	CHECK_OK(bk_unregister(t.b.fd, c.id));
	expect_refusal(t.b.fd, entry(t.memory + PAGES(20), PAGES(1), BELAY_PINNED),
		       t.class, BELAY_RESOURCE_BYTES, PAGES(6), PAGES(4), PAGES(1));
	tree_end(&t);
}

static uint64_t limit_of(int ctl, uint64_t account)
{
	struct belay_account_row rows[16];
	unsigned int i, n = bk_list(ctl, BELAY_LIST_ACCOUNTS, rows, sizeof(rows[0]), 16,
				    0, 0);

	for (i = 0; i < n; i++)
		if (rows[i].account == account)
			return rows[i].limit_bytes;
	FAIL("account %llu is not listed", (unsigned long long)account);
}

TEST(all_or_none, "BELAY_CTL_LIMITS sets all the limits or none, and says which entry was wrong")
{
	struct belay_limit_entry e[3];
	struct belay_ctl_limits l = {
		.size = sizeof(l),
		.entries = (uintptr_t)e,
		.count = 3,
		.entry_size = sizeof(e[0]),
	};
	struct tree t;

	tree_begin(&t, PAGES(10), PAGES(10), PAGES(10), false);
	memset(e, 0, sizeof(e));
	e[0].id = t.b.account;
	e[1].id = t.class;
	e[2].id = t.b.grant;
	e[0].limit_bytes = e[1].limit_bytes = e[2].limit_bytes = PAGES(20);
	e[0].limit_regions = e[1].limit_regions = e[2].limit_regions = 5;
	/* A grant's id without the flag that says so (ids may coincide: far away). */
	e[2].id += 1ULL << 40;
	e[2].flags = BELAY_LIMIT_GRANT;
	CHECK_EQ(bk_ioctl(t.b.ctl, BELAY_CTL_LIMITS, &l), -ENOENT);
	CHECK_EQ(l.failed, 2);
	CHECK_EQ(limit_of(t.b.ctl, t.b.account), PAGES(10));
	CHECK_EQ(limit_of(t.b.ctl, t.class), PAGES(10));

	e[2].id = t.b.grant;
	e[1].reserved = 1;
	CHECK_EQ(bk_ioctl(t.b.ctl, BELAY_CTL_LIMITS, &l), -EOPNOTSUPP);
	CHECK_EQ(l.failed, 1);
	CHECK_EQ(limit_of(t.b.ctl, t.b.account), PAGES(10));

	e[1].reserved = 0;
	CHECK_OK(bk_ioctl(t.b.ctl, BELAY_CTL_LIMITS, &l));
	CHECK_EQ(limit_of(t.b.ctl, t.b.account), PAGES(20));
	CHECK_EQ(limit_of(t.b.ctl, t.class), PAGES(20));
	bk_hold(&t.b, t.memory, PAGES(20), BELAY_PINNED, W);
	tree_end(&t);
}

/* ---- races ----------------------------------------------------------------- */

#define RACERS		8
#define RACE_LIMIT	PAGES(64)

struct race {
	struct bk b;
	char *memory;
	uint64_t held;		/* at least this is charged */
	uint64_t most_held, most_seen;
	unsigned int successes, refusals;
	bool stop;
	uint32_t seed;
};

struct racer {
	struct race *race;
	unsigned int number;
};

static void raise_to(uint64_t *most, uint64_t value)
{
	uint64_t old = __atomic_load_n(most, __ATOMIC_RELAXED);

	while (old < value && !__atomic_compare_exchange_n(most, &old, value, true,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Each thread has memory of its own; held counts what is known to be charged. */
static void *racer_run(void *arg)
{
	struct racer *me = arg;
	struct race *r = me->race;
	char *p = r->memory + me->number * PAGES(64);
	uint32_t seed = r->seed + me->number * 7919 + 1;
	struct bk_region held[8];
	unsigned int i, n = 0, pages;
	int err;

	for (i = 0; i < 3000; i++) {
		if (n == 8 || (n && bk_random(&seed) % 3 == 0)) {
			n--;
			__atomic_sub_fetch(&r->held, held[n].len, __ATOMIC_SEQ_CST);
			CHECK_OK(bk_unregister(r->b.fd, held[n].id));
			continue;
		}
		pages = 1 + bk_random(&seed) % 5;
		err = bk_register(r->b.fd, p + n * PAGES(8), PAGES(pages),
				  i % 2 ? BELAY_PINNED : BELAY_TRACKED, W, &held[n]);
		if (err == -EDQUOT) {
			__atomic_add_fetch(&r->refusals, 1, __ATOMIC_RELAXED);
			continue;
		}
		CHECK_EQ(err, 0);
		raise_to(&r->most_held, __atomic_add_fetch(&r->held, PAGES(pages),
							   __ATOMIC_SEQ_CST));
		__atomic_add_fetch(&r->successes, 1, __ATOMIC_RELAXED);
		n++;
	}
	while (n--) {
		__atomic_sub_fetch(&r->held, held[n].len, __ATOMIC_SEQ_CST);
		CHECK_OK(bk_unregister(r->b.fd, held[n].id));
	}
	return NULL;
}

static void *sampler_run(void *arg)
{
	struct race *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		raise_to(&r->most_seen, bk_usage_bytes(r->b.fd));
		sched_yield();
	}
	return NULL;
}

TEST_TIMEOUT(threads, "8 threads that register at once never exceed the limit by one page, and reach it", 60)
{
	static struct race r;
	pthread_t threads[RACERS], sampler;
	struct racer racers[RACERS];
	unsigned int i;

	r.seed = bk_seed();
	bk_begin_limited(&r.b, RACE_LIMIT, MANY);
	r.memory = bk_anon(RACERS * PAGES(64), 1);
	CHECK_EQ(pthread_create(&sampler, NULL, sampler_run, &r), 0);
	for (i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){ &r, i };
		CHECK_EQ(pthread_create(&threads[i], NULL, racer_run, &racers[i]), 0);
	}
	for (i = 0; i < RACERS; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(sampler, NULL);
	tap_diag("%u registered, %u refused, %llu pages at most (sampled: %llu)", r.successes,
		 r.refusals, (unsigned long long)(r.most_held / BK_PAGE),
		 (unsigned long long)(r.most_seen / BK_PAGE));
	CHECK_GE(r.successes, 1000);
	CHECK_GE(r.refusals, 100);
	CHECK_LE(r.most_held, RACE_LIMIT);
	CHECK_LE(r.most_seen, RACE_LIMIT);
	CHECK_GE(r.most_seen, RACE_LIMIT - PAGES(8));
	CHECK_EQ(bk_usage_bytes(r.b.fd), 0);
	bk_end(&r.b);
}

#define CHILDREN 64

static void forked_child(const struct bk *b, struct bk_steps *s)
{
	struct bk_region r;
	unsigned int i;
	struct bk me;
	char *p;
	int err;

	bk_join(&me, b);
	p = bk_anon(PAGES(16), 1);
	for (i = 0; i < 16; i++) {
		err = bk_register(me.fd, p + PAGES(i), PAGES(1), BELAY_PINNED, W, &r);
		CHECK(err == 0 || err == -EDQUOT);
		__atomic_add_fetch(&s->value[err ? 1 : 0], 1, __ATOMIC_SEQ_CST);
	}
	__atomic_add_fetch(&s->value[2], bk_vm_pin(), __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->now, 1, __ATOMIC_SEQ_CST);
	pause();
}

TEST_TIMEOUT(forks, "64 forked children with grants of their own share the account's limit: it is not multiplied", 60)
{
	struct bk_steps *s = bk_steps();
	struct belay_level l[2];
	pid_t pids[CHILDREN];
	unsigned int i;
	int64_t pins;
	struct bk b;

	bk_begin(&b);
	CHECK_OK(bk_set_limit(b.ctl, b.account, 0, PAGES(100), MANY));
	pins = bk_pins();
	for (i = 0; i < CHILDREN; i++) {
		pids[i] = CHECK_SYS(fork());
		if (!pids[i]) {
			forked_child(&b, s);
			_exit(0);
		}
	}
	bk_await(s, CHILDREN);
	bk_levels(b.fd, l, 2);
	CHECK_EQ(s->value[0], 100);
	CHECK_EQ(s->value[1], CHILDREN * 16 - 100);
	CHECK_EQ(l[1].usage_bytes, PAGES(100));
	CHECK_EQ(l[1].limit_bytes, PAGES(100));
	/* Really pinned: each process's own figure, and the kernel's. */
	CHECK_EQ(s->value[2], PAGES(100));
	CHECK_EQ(bk_pins() - pins, 100);
	for (i = 0; i < CHILDREN; i++)
		kill(pids[i], SIGKILL);
	for (i = 0; i < CHILDREN; i++)
		waitpid(pids[i], NULL, 0);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_end(&b);
}

/* ---- caps ------------------------------------------------------------------- */

static void cap_child(const struct bk *b, struct bk_memory *m, struct bk_steps *s)
{
	struct iovec v = { m->addr, BK_PAGE };
	struct bk_region r;
	struct bk me;
	int p[2];

	bk_join(&me, b);
	r = bk_hold(&me, m->addr, PAGES(1), BELAY_PINNED, W);
	CHECK_OK(bk_unregister(me.fd, r.id));
	/* And the kernel's own users of the page's reference count. */
	CHECK_SYS(pipe(p));
	CHECK_EQ(vmsplice(p[1], &v, 1, 0), BK_PAGE);
	bk_step(s, 1);
	pause();
}

TEST(overlap_cap, "a page can be in BELAY_MAX_OVERLAP regions, then EMLINK; another process's pins of it go on working")
{
	struct bk_region r[BELAY_MAX_OVERLAP];
	struct bk_steps *s = bk_steps();
	struct bk_memory m;
	unsigned int i;
	struct bk b;
	pid_t pid;

	bk_begin(&b);
	bk_map(&m, BK_MEMFD, PAGES(4));
	for (i = 0; i < BELAY_MAX_OVERLAP; i++)
		r[i] = bk_hold(&b, m.addr + PAGES(i % 2), PAGES(2), i % 3 ? BELAY_PINNED :
			       BELAY_TRACKED, W);
	CHECK_EQ(bk_register(b.fd, m.addr + PAGES(1), PAGES(1), BELAY_PINNED, W, NULL), -EMLINK);
	CHECK_EQ(bk_register(b.fd, m.addr, PAGES(4), BELAY_TRACKED, W, NULL), -EMLINK);
	bk_hold(&b, m.addr, PAGES(1), BELAY_PINNED, W);
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(3));
	pid = fork();
	if (!pid)
		cap_child(&b, &m, s);
	bk_await(s, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_OK(bk_unregister(b.fd, r[5].id));
	bk_hold(&b, m.addr + PAGES(1), PAGES(1), BELAY_PINNED, W);
	CHECK_EQ(bk_register(b.fd, m.addr + PAGES(1), PAGES(1), BELAY_PINNED, W, NULL), -EMLINK);
	bk_end(&b);
}

TEST(depth, "a tree of accounts has at most BELAY_MAX_DEPTH levels, and all of them are charged")
{
	uint64_t accounts[BELAY_MAX_DEPTH];
	struct belay_ctl_account a = { .size = sizeof(a) };
	struct belay_level l[BELAY_MAX_DEPTH + 1];
	struct belay_ctl_grant g;
	unsigned int i;
	struct bk b;
	int fd;

	bk_begin(&b);
	accounts[0] = b.account;
	for (i = 1; i < BELAY_MAX_DEPTH; i++)
		accounts[i] = bk_account(b.ctl, accounts[i - 1], PAGES(100), MANY);
	a.parent = accounts[i - 1];
	a.limit_bytes = a.limit_regions = MANY;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_ACCOUNT, &a), -EINVAL);

	fd = bk_grant(b.ctl, accounts[i - 1], getpid(), PAGES(50), MANY, &g);
	CHECK_EQ(g.existed, 0);
	CHECK_OK(bk_register(fd, bk_anon(PAGES(5), 1), PAGES(5), BELAY_PINNED, W, NULL));
	CHECK_EQ(bk_levels(fd, l, BELAY_MAX_DEPTH + 1), BELAY_MAX_DEPTH + 1);
	CHECK_EQ(l[0].limit_bytes, PAGES(50));
	for (i = 0; i <= BELAY_MAX_DEPTH; i++) {
		CHECK_EQ(l[i].usage_bytes, PAGES(5));
		CHECK_EQ(l[i].usage_regions, 1);
		CHECK_EQ(l[i].account, i ? accounts[BELAY_MAX_DEPTH - i] : 0);
	}
	close(fd);
	for (i = BELAY_MAX_DEPTH - 1; i; i--)
		bk_remove_account(b.ctl, accounts[i]);
	bk_end(&b);
}

TAP_MAIN()
