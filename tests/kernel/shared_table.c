// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Two processes that map the same gigabyte of a hugetlb file share the page table for it.
 * mprotect() takes it away from its process and says that the protection changes, so the
 * word must not stay valid for what no page table of the process has.
 */
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define GIB	(1UL << 30)

static struct sharing {
	struct bk_steps *s;
	char *p;		/* a gigabyte, of which two pages are there */
	pid_t pid;
} sharing;

/* It has the mapping from its parent, and no page table yet: it takes that of its parent. */
static void share(void *arg)
{
	struct sharing *x = arg;

	(void)*(volatile char *)x->p;
	bk_step(x->s, 1);
	pause();
}

static void sharing_begin(void)
{
	int fd = bk_empty_file(BK_HUGE_MEMFD);
	char *room;

	CHECK_SYS(ftruncate(fd, GIB));
	room = CHECK_SYS(mmap(NULL, 2 * GIB, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	sharing.p = (char *)(((uintptr_t)room + GIB - 1) & ~(GIB - 1));
	CHECK(mmap(sharing.p, GIB, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == sharing.p);
	close(fd);
	sharing.p[0] = 1;
	sharing.p[BK_HUGE] = 2;
	sharing.s = bk_steps();
	sharing.pid = tap_spawn(share, &sharing);
	bk_await(sharing.s, 1);
}

static void sharing_end(void)
{
	kill(sharing.pid, SIGKILL);
	waitpid(sharing.pid, NULL, 0);
	munmap(sharing.p, GIB);
}

static struct bk_region hold(const struct bk *b, uint32_t how)
{
	struct bk_region r;

	if (how != BELAY_WATCHED)
		return bk_hold(b, sharing.p, BK_HUGE, how, W);
	CHECK_OK(bk_register(b->fd, sharing.p, BK_HUGE, how, W, &r));
	CHECK_OK(bk_commit(b->fd, r.id));
	return r;
}

static void expect_true(const struct bk *b, const struct bk_region *r, uint64_t frame)
{
	CHECK_FINAL(!bk_valid(b, r) || bk_pfn(sharing.p) == frame);
	CHECK_EQ(bk_settle(b, r), 0);
	CHECK(bk_valid(b, r));
	CHECK_EQ(bk_pfn(sharing.p), frame);
}

static void unshare_by(int prot)
{
	static const uint32_t hows[] = { BELAY_PINNED, BELAY_TRACKED, BELAY_WATCHED };
	struct bk_region r;
	unsigned int i;
	uint64_t frame;
	struct bk b;

	bk_hugepages(4);
	bk_begin(&b);
	for (i = 0; i < 3; i++) {
		sharing_begin();
		r = hold(&b, hows[i]);
		frame = bk_pfn(sharing.p);
		CHECK(frame);
		CHECK(bk_pfn(sharing.p + BK_HUGE));
		CHECK_SYS(mprotect(sharing.p, GIB, prot));
		/* The page beside it, which nobody registered: the table was shared, and is gone. */
		CHECK_EQ(bk_pfn(sharing.p + BK_HUGE), 0);
		expect_true(&b, &r, frame);
		CHECK_SYS(mprotect(sharing.p, GIB, PROT_READ | PROT_WRITE));
		expect_true(&b, &r, frame);
		CHECK_OK(bk_unregister(b.fd, r.id));
		sharing_end();
	}
	bk_end(&b);
}

TEST(read_only, "mprotect to read-only of a shared page table: valid only when the page is mapped again, which it is soon")
{
	unshare_by(PROT_READ);
}

TEST(no_access, "the same, to no access")
{
	unshare_by(PROT_NONE);
}

TAP_MAIN()
