// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A client in the storm: registers random ranges of all kinds of memory through
 * libbelay, does to them whatever can be done, and compares.
 *
 * What it compares is the promise of the validity test. While a region is valid its
 * pages are those that were registered: of one page of each region the frame is
 * remembered, and read again from /proc/self/pagemap between two looks at the word.
 * If both are good, so was the mapping when it was read.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay.h>

#include "tests/lib/tap.h"
#include "tests/stress/storm.h"

static const uint32_t hows[] = { BELAY_PIN, BELAY_TRACK, BELAY_WATCH };
static const char *const names[] = { "pinned", "tracked", "watched" };

#define PIECES		10
#define PAGES(n)	((n) * BK_PAGE)

/* Mapped memory, and a region over a part of it. */
struct piece {
	struct bk_memory m;
	bool common;		/* a file of all clients */
	bool may_be_gone;	/* truncated by others, or with a hole */
	uint32_t how;		/* it is registered: an index of hows */
	struct belay_region *r;
	bool committed;
	char *sample;		/* a page of it, and its frame */
	uint64_t pfn;		/* 0: not known */
};

struct client {
	struct storm *s;
	struct belay *b;
	uint32_t seed;
	struct piece pieces[PIECES];
};

static sigjmp_buf fault;
static volatile sig_atomic_t may_fault;

/* Only where memory is touched that others may have taken away. */
static void on_fault(int sig)
{
	if (may_fault)
		siglongjmp(fault, sig);
	signal(sig, SIG_DFL);
}

/* Touches a byte of @p; false: there is nothing. */
static bool touch(char *p, bool write)
{
	volatile bool there = false;

	if (!sigsetjmp(fault, 1)) {
		may_fault = 1;
		if (write)
			__atomic_store_n(p, 7, __ATOMIC_RELEASE);
		else
			(void)__atomic_load_n(p, __ATOMIC_ACQUIRE);
		there = true;
	}
	may_fault = 0;
	return there;
}

static uint32_t choose(struct client *c, uint32_t n)
{
	return bk_random(&c->seed) % n;
}

/*
 * The frame at @p, mapped if it can be; 0: it cannot. Between the touch and the look at
 * the page table there may be no entry: whoever tries to migrate a page takes it out
 * before the pin is noticed, and puts it back.
 */
static uint64_t frame_at(char *p)
{
	uint64_t pfn = 0;
	unsigned int i;

	for (i = 0; i < 1000 && !pfn; i++) {
		if (!touch(p, false))
			return 0;
		pfn = bk_pfn(p);
	}
	return pfn;
}

static void map_shared(struct client *c, struct piece *x)
{
	x->common = x->may_be_gone = true;
	x->m.kind = BK_MEMFD;
	x->m.fd = -1;
	x->m.unit = BK_PAGE;
	x->m.len = PAGES(STORM_FILE_PAGES);
	x->m.flags = BELAY_REGION_WRITE;
	x->m.addr = CHECK_SYS(mmap(NULL, x->m.len, PROT_READ | PROT_WRITE, MAP_SHARED,
				   c->s->files[choose(c, STORM_FILES)], 0));
}

/* Not bk_map(), which insists: others may have taken all huge pages. */
static void map_huge(struct piece *x, enum bk_kind kind)
{
	int fd = kind == BK_HUGE_ANON ? -1 : bk_empty_file(kind);
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB : MAP_SHARED;
	char *p = mmap(NULL, BK_HUGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED) {
		CHECK_EQ(errno, ENOMEM);
		if (fd >= 0)
			close(fd);
		return;
	}
	memset(p, 0x44, BK_HUGE);
	x->m = (struct bk_memory) { .kind = kind, .addr = p, .len = BK_HUGE, .fd = fd,
				    .unit = BK_HUGE, .flags = BELAY_REGION_WRITE };
}

static void map(struct client *c, struct piece *x)
{
	enum bk_kind kind = choose(c, BK_KINDS);

	*x = (struct piece) {};
	if (!choose(c, 3)) {
		map_shared(c, x);
	} else if (kind == BK_THP) {
		/* Not bk_thp(), which insists: a free one may not be found here. */
		x->m = (struct bk_memory) { .kind = kind, .len = BK_HUGE, .fd = -1,
					    .unit = BK_PAGE, .flags = BELAY_REGION_WRITE };
		x->m.addr = CHECK_SYS(mmap(NULL, BK_HUGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		madvise(x->m.addr, BK_HUGE, MADV_HUGEPAGE);
		memset(x->m.addr, 1 + choose(c, 2), BK_HUGE);
	} else if (bk_kind_unit(kind) == BK_HUGE) {
		map_huge(x, kind);
	} else {
		bk_map(&x->m, kind, PAGES(1 + choose(c, 64)));
	}
}

static void unmap(struct piece *x)
{
	CHECK_OK(belay_unregister(x->r));
	bk_unmap(&x->m);
	*x = (struct piece) {};
}

/*
 * A tracked or watched region has no driver here that would pin its pages. In memory of
 * this client's own nobody pins them, which is as good as lost. But of a common file
 * others pin them, and those pins count, and end unannounced.
 */
static bool is_promised(const struct piece *x)
{
	return hows[x->how] == BELAY_PIN || !x->common;
}

/* A sample of a region that is valid now. */
static void sample(struct client *c, struct piece *x)
{
	x->sample = (char *)x->r->addr + PAGES(choose(c, x->r->len / BK_PAGE));
	x->pfn = belay_valid(x->r) && is_promised(x) ? frame_at(x->sample) : 0;
	if (!belay_valid(x->r))
		x->pfn = 0;
}

static void commit(struct client *c, struct piece *x)
{
	int err = belay_commit(x->r, NULL);

	x->pfn = 0;
	if (!err) {
		x->committed = true;
		storm_count(c->s, COMMITTED);
		sample(c, x);
		return;
	}
	if (err == -EAGAIN)
		storm_count(c->s, COMMIT_AGAIN);
	else if (err != -ESTALE && err != -ENOENT && err != -EFAULT &&
		 err != -EMEDIUMTYPE && err != -ENOMEM && err != -EINVAL)
		FAIL("belay_commit: %s", strerror(-err));
}

static void hold(struct client *c, struct piece *x)
{
	size_t units = x->m.len / x->m.unit, first = choose(c, units);
	size_t n = 1 + choose(c, units - first);
	struct belay_refusal why = { .size = sizeof(why) };
	int err;

	x->how = choose(c, 3);
	err = belay_register(c->b, x->m.addr + first * x->m.unit, n * x->m.unit,
			     hows[x->how] | (x->m.flags ? BELAY_WRITE : 0), x, &x->r, &why);
	switch (-err) {
	case 0:
		x->committed = x->how == 0;
		storm_count(c->s, PINNED + x->how);
		__atomic_add_fetch(&c->s->of_kind[x->m.kind], 1, __ATOMIC_RELAXED);
		sample(c, x);
		return;
	case EDQUOT:
		storm_count(c->s, OVER_LIMIT);
		return;
	case EFAULT:
		storm_count(c->s, NOT_THERE);
		CHECK(x->may_be_gone || bk_kind_unit(x->m.kind) == BK_HUGE);
		return;
	case ENOMEM:
	case EAGAIN:
		return;
	default:
		FAIL("belay_register of %s: %s", bk_kind_name(x->m.kind), why.text);
	}
}

/* The promise. */
static void compare(struct client *c, struct piece *x)
{
	uint64_t pfn;
	int state;

	if (!belay_valid(x->r)) {
		state = belay_check(x->r);
		CHECK(state >= 0 || state == -EAGAIN);
		if (state > 0 && state & BELAY_LOST)
			storm_count(c->s, LOST);
		if (state > 0 && state & BELAY_RELEASED)
			storm_count(c->s, RELEASED);
		if (state > 0 && state & (BELAY_LOST | BELAY_RELEASED))
			unmap(x);
		return;
	}
	/* Others than pinned ones are held to it from the commit on. */
	if (!x->committed) {
		commit(c, x);
		return;
	}
	pfn = frame_at(x->sample);
	if (!x->pfn || !belay_valid(x->r))
		return;
	if (pfn != x->pfn)
		FAIL_FINAL("a valid %s region of %s%s: frame %llx became %llx", names[x->how],
			   x->common ? "common " : "", bk_kind_name(x->m.kind),
			   (unsigned long long)x->pfn, (unsigned long long)pfn);
	storm_count(c->s, COMPARED);
}

static void trim(struct client *c, struct piece *x)
{
	struct belay_region *before, *after, *old = x->r;
	size_t pages = old->len / BK_PAGE, first, n;
	struct belay_refusal why = { .size = sizeof(why) };
	int err;

	if (pages < 2 || x->m.unit != BK_PAGE)
		return;
	first = choose(c, pages);
	n = 1 + choose(c, pages - first);
	if (n == pages)
		return;
	err = belay_trim(old, (char *)old->addr + PAGES(first), PAGES(n), &before, &after, &why);
	if (err) {
		if (err != -EINVAL && err != -ESTALE && err != -EBUSY && err != -EAGAIN &&
		    err != -ENOENT && err != -EDQUOT && err != -ENOMEM)
			FAIL("belay_trim: %s", strerror(-err));
		return;
	}
	storm_count(c->s, TRIMMED);
	CHECK_OK(belay_unregister(old));
	x->r = before ? before : after;
	if (before && after)
		CHECK_OK(belay_unregister(after));
	sample(c, x);
}

static void replace_pages(struct client *c, struct piece *x)
{
	static const int advices[] = { MADV_DONTNEED, MADV_PAGEOUT, MADV_COLD, MADV_FREE,
				       MADV_MERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				       25 /* MADV_COLLAPSE */, MADV_REMOVE };

	/* What it may do is up to the kind of memory. */
	madvise(x->m.addr, x->m.len, advices[choose(c, 9)]);
}

static void lose_by_unmapping(struct client *c, struct piece *x)
{
	bool whole = choose(c, 2) || x->m.unit != BK_PAGE;

	/* The place is kept, so that nothing else comes to lie there. */
	CHECK_SYS(mmap(whole ? x->m.addr : x->sample, whole ? x->m.len : BK_PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
	CHECK_FINAL(!belay_valid(x->r));
	storm_count(c->s, LOST_AT_ONCE);
	x->may_be_gone = true;
	if (whole || choose(c, 2))
		unmap(x);
}

static void fork_and_write(struct client *c, struct piece *x)
{
	pid_t pid = fork();

	if (!pid) {
		touch(x->m.addr, x->m.flags);
		_exit(0);
	}
	if (pid < 0)
		return;
	storm_count(c->s, FORKED);
	touch(x->m.addr + x->m.len - 1, x->m.flags);
	waitpid(pid, NULL, 0);
}

static void forbid_and_allow(struct piece *x)
{
	int all = PROT_READ | (x->m.flags ? PROT_WRITE : 0);

	mprotect(x->m.addr, x->m.len, PROT_READ);
	mprotect(x->m.addr, x->m.len, all);
}

static void move(struct client *c, struct piece *x)
{
	char *to;

	if (x->m.unit != BK_PAGE)
		return;
	to = mremap(x->m.addr, x->m.len, x->m.len + PAGES(1), MREMAP_MAYMOVE);
	if (to == MAP_FAILED)
		return;
	if (to != x->m.addr)
		CHECK_FINAL(!belay_valid(x->r));
	x->m.addr = to;
	x->m.len += PAGES(1);
	unmap(x);
}

/* One is answered in three of four cases; the others find out what comes then. */
static void answer(struct client *c)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req;
	struct piece *x;

	belay_dispatch(c->b);
	while (!belay_get_request(c->b, &req)) {
		CHECK_OK(belay_get_request_info(req, &info));
		x = info.user;
		if (info.region && info.region == x->r && choose(c, 4))
			unmap(x);
		CHECK_OK(belay_ack(req));
		storm_count(c->s, REQUESTS);
	}
}

static void act(struct client *c)
{
	struct piece *x = &c->pieces[choose(c, PIECES)];

	if (!x->m.addr) {
		map(c, x);
	} else if (!x->r) {
		if (choose(c, 8))
			hold(c, x);
		else
			unmap(x);
	} else {
		switch (choose(c, 40)) {
		case 0: unmap(x); break;
		case 1: trim(c, x); break;
		case 2: replace_pages(c, x); break;
		case 3: lose_by_unmapping(c, x); break;
		case 4: forbid_and_allow(x); break;
		case 5: move(c, x); break;
		case 6: fork_and_write(c, x); break;
		default: compare(c, x);
		}
	}
}

void storm_client(struct storm *s, uint32_t seed)
{
	struct sigaction sa = { .sa_handler = on_fault };
	struct belay_options opt = { .size = sizeof(opt), .label = "storm" };
	struct client c = { .s = s, .seed = seed ? seed : 1 };
	unsigned int i;

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	/* ETIMEDOUT: the daemon is being killed once more; the next one tries again. */
	if (belay_open(&c.b, &opt, NULL))
		return;
	storm_count(s, CLIENTS);
	for (i = 1;; i++) {
		act(&c);
		if (!(i % 32))
			answer(&c);
	}
}
