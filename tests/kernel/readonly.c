// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A read-only region over private memory holds the pages that the process keeps:
 * its first write goes to them, and not to a copy.
 */
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define PAGES(n)	((n) * BK_PAGE)

struct bed {
	struct bk b;
	struct bk_region r;
	uint64_t pfns[8];
	uint64_t lost;
	char *p;
};

static void bed_make(struct bed *d, char *p)
{
	unsigned int i;

	d->p = p;
	d->r = bk_hold(&d->b, p, PAGES(8), BELAY_PINNED, 0);
	d->lost = bk_seen("lost");
	for (i = 0; i < 8; i++) {
		d->pfns[i] = bk_pfn(p + PAGES(i));
		CHECK_NE(d->pfns[i], 0);
		if (i)
			CHECK_NE(d->pfns[i], d->pfns[i - 1]);
	}
}

/* The owner writes: the same frames, the same region. */
static void write_and_check(struct bed *d)
{
	unsigned int i;

	memset(d->p, 0x42, PAGES(8));
	for (i = 0; i < 8; i++)
		if (bk_pfn(d->p + PAGES(i)) != d->pfns[i])
			FAIL("page %u was replaced by the owner's write", i);
	CHECK_EQ(bk_settle(&d->b, &d->r), 0);
	CHECK_EQ(bk_check(d->b.fd, d->r.id), 0);
	CHECK(bk_valid(&d->b, &d->r));
	CHECK_EQ(bk_seen("lost"), d->lost);
	CHECK(!bk_any_lost(d->b.ctl, d->b.session));
	CHECK_OK(bk_unregister(d->b.fd, d->r.id));
}

static char *untouched(int prot)
{
	char *p = CHECK_SYS(mmap(NULL, PAGES(8), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	CHECK_SYS(madvise(p, PAGES(8), MADV_NOHUGEPAGE));
	return p;
}

TEST(never_touched, "over anonymous memory that was never touched")
{
	struct bed d;

	bk_begin(&d.b);
	bed_make(&d, untouched(PROT_READ | PROT_WRITE));
	write_and_check(&d);
	bk_end(&d.b);
}

TEST(zero_page, "over anonymous memory that was only read, so that the zero page is mapped")
{
	volatile char *p;
	struct bed d;
	unsigned int i;

	bk_begin(&d.b);
	p = untouched(PROT_READ | PROT_WRITE);
	for (i = 0; i < 8; i++)
		CHECK_EQ(p[PAGES(i)], 0);
	/* It is the zero page: the same frame everywhere. */
	CHECK_EQ(bk_pfn((char *)p), bk_pfn((char *)p + PAGES(7)));
	bed_make(&d, (char *)p);
	write_and_check(&d);
	bk_end(&d.b);
}

TEST(private_file, "over a private mapping of a file of which nothing was written")
{
	struct bed d;
	char *p;
	int fd;

	bk_begin(&d.b);
	fd = bk_file(BK_PRIVATE_FILE, PAGES(8));
	p = bk_map_file(BK_PRIVATE_FILE, fd, NULL, PAGES(8), 0);
	CHECK_EQ((unsigned char)p[0], 0xa5);
	bed_make(&d, p);
	CHECK_EQ((unsigned char)p[PAGES(7)], 0xa5);
	write_and_check(&d);
	close(fd);
	bk_end(&d.b);
}

TEST(private_memfd, "over a private mapping of a memfd of which nothing was written")
{
	struct bed d;
	char *p;
	int fd;

	bk_begin(&d.b);
	fd = bk_file(BK_MEMFD, PAGES(8));
	p = CHECK_SYS(mmap(NULL, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	bed_make(&d, p);
	CHECK_EQ((unsigned char)p[0], 0xa5);
	write_and_check(&d);
	close(fd);
	bk_end(&d.b);
}

TEST(protected, "over private memory that is mapped PROT_READ now and made writable later")
{
	struct bed d;
	char *p;
	int fd;

	bk_begin(&d.b);
	bed_make(&d, untouched(PROT_READ));
	CHECK_SYS(mprotect(d.p, PAGES(8), PROT_READ | PROT_WRITE));
	write_and_check(&d);

	fd = bk_file(BK_PRIVATE_FILE, PAGES(8));
	p = CHECK_SYS(mmap(NULL, PAGES(8), PROT_READ, MAP_PRIVATE, fd, 0));
	bed_make(&d, p);
	CHECK_EQ((unsigned char)p[0], 0xa5);
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ | PROT_WRITE));
	write_and_check(&d);
	close(fd);
	bk_end(&d.b);
}

TEST(after_fork, "over private memory that is shared with a forked child")
{
	struct bed d;
	pid_t pid;
	char *p;

	bk_begin(&d.b);
	p = bk_anon(PAGES(8), 7);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	bed_make(&d, p);
	write_and_check(&d);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bk_end(&d.b);
}

TEST(shared_file, "a read-only region over a read-only shared file mapping shows what is written to the file")
{
	struct bk_memory m;
	struct bk_region r;
	struct bk b;

	bk_begin(&b);
	bk_map(&m, BK_EXT4, PAGES(8));
	r = bk_hold(&b, m.addr, PAGES(8), BELAY_PINNED, 0);
	CHECK_EQ(pwrite(m.fd, "fresh", 6, 0), 6);
	CHECK_STR(m.addr, "fresh");
	CHECK_EQ(bk_settle(&b, &r), 0);
	CHECK(bk_valid(&b, &r));
	bk_unmap(&m);
	CHECK(!bk_valid(&b, &r));
	bk_end(&b);
}

TAP_MAIN()
