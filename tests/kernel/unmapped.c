// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A word is valid only for what is mapped. What has only left the page table comes
 * back by itself; what is replaced while nothing maps it, which the kernel does not
 * announce, is never valid. The truth is the page frame that a touch finds.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define TMPFS	"/tmp/belay-huge-tmpfs"

/* Linux 6.6, which the headers of the tests may not know. */
struct poison {
	struct uffdio_range range;
	uint64_t mode;
	int64_t updated;
};
#define POISON	_IOWR(UFFDIO, 0x08, struct poison)

static const uint32_t hows[] = { BELAY_PINNED, BELAY_TRACKED, BELAY_WATCHED };

/* A region of that kind; a watched one is beside one that holds the pages for it. */
static struct bk_region hold(const struct bk *b, char *p, size_t len, uint32_t how,
			     uint32_t flags, struct bk_region *pin)
{
	struct bk_region r;

	pin->id = 0;
	if (how != BELAY_PINNED)
		*pin = bk_hold(b, p, len, BELAY_PINNED, flags);
	if (how != BELAY_WATCHED)
		return bk_hold(b, p, len, how, flags);
	CHECK_OK(bk_register(b->fd, p, len, how, flags, &r));
	CHECK_OK(bk_commit(b->fd, r.id));
	return r;
}

static void let_go(const struct bk *b, const struct bk_region *r, const struct bk_region *pin)
{
	CHECK_OK(bk_unregister(b->fd, r->id));
	if (pin->id)
		CHECK_OK(bk_unregister(b->fd, pin->id));
}

static void touch(const char *p, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		(void)*(const volatile char *)(p + i * BK_PAGE);
}

/* ---- replaced while nothing maps it ------------------------------------------------ */

static void write_directly(void *arg)
{
	static char buffer[PAGES(4)] __attribute__((aligned(4096)));
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", *(int *)arg);
	memset(buffer, 'b', sizeof(buffer));
	fd = CHECK_SYS(open(path, O_RDWR | O_DIRECT));
	CHECK_EQ(pwrite(fd, buffer, sizeof(buffer), 0), (ssize_t)sizeof(buffer));
	close(fd);
}

/* With @settled, the word is asked about between the two steps. */
static void write_round(const struct bk *b, int fd, char *p, uint32_t how, bool settled)
{
	struct bk_region r, pin;
	uint64_t before;
	bool at_once;

	touch(p, 4);
	r = hold(b, p, PAGES(4), how, 0, &pin);
	touch(p, 4);
	before = bk_pfn(p);
	CHECK_SYS(madvise(p, PAGES(4), MADV_DONTNEED));
	if (settled)
		CHECK_EQ(bk_settle(b, &r), 0);
	tap_join(tap_spawn(write_directly, &fd));
	at_once = bk_valid(b, &r);
	CHECK_EQ(*(volatile char *)p, 'b');
	/* It may be written in place where it was not in the cache any more. */
	if (bk_pfn(p) == before)
		return let_go(b, &r, &pin);
	CHECK(!at_once);
	CHECK(bk_settle(b, &r) & BELAY_WORD_LOST);
	let_go(b, &r, &pin);
}

TEST(direct_write, "a page that has left the page table and is replaced by direct I/O is never valid again")
{
	unsigned int i, how;
	struct bk b;
	char *p;
	int fd;

	bk_begin(&b);
	for (how = 0; how < 3; how++)
		for (i = 0; i < 6; i++) {
			fd = bk_file(BK_EXT4, PAGES(4));
			CHECK_SYS(fsync(fd));
			p = bk_map_file(BK_EXT4, fd, NULL, PAGES(4), 0);
			write_round(&b, fd, p, hows[how], i & 1);
			munmap(p, PAGES(4));
			close(fd);
		}
	bk_end(&b);
}

struct faulter {
	int fd;
	volatile char *p;	/* two huge pages */
	volatile bool stop, go;
};

/* Holds the mapping's lock in faults on the second page, most of the time. */
static void *fault(void *arg)
{
	struct faulter *f = arg;

	while (!f->stop) {
		if (!f->go) {
			usleep(200);
			continue;
		}
		fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BK_HUGE, BK_HUGE);
		f->p[BK_HUGE] = 1;
	}
	return NULL;
}

static void punch_round(const struct bk *b, struct faulter *f, unsigned int i)
{
	struct bk_region r;
	uint64_t before;
	bool at_once;

	f->p[0] = 'a';
	r = bk_hold(b, (char *)f->p, BK_HUGE, BELAY_PINNED, W);
	before = bk_pfn((char *)f->p);
	CHECK_SYS(madvise((char *)f->p, BK_HUGE, MADV_DONTNEED));
	bk_settle(b, &r);
	f->go = true;
	usleep(3000 + i % 7 * 500);
	CHECK_SYS(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BK_HUGE));
	at_once = bk_valid(b, &r);
	f->go = false;
	(void)f->p[0];
	if (bk_pfn((char *)f->p) != before) {
		CHECK(!at_once);
		CHECK(bk_settle(b, &r) & BELAY_WORD_LOST);
	}
	CHECK_OK(bk_unregister(b->fd, r.id));
}

TEST(huge_punch, "a huge page that is punched out beside a fault in the same mapping is never valid again")
{
	struct faulter f = {};
	unsigned int i;
	pthread_t t;
	struct bk b;

	bk_hugepages(8);
	bk_begin(&b);
	f.fd = bk_empty_file(BK_HUGE_MEMFD);
	CHECK_SYS(ftruncate(f.fd, 2 * BK_HUGE));
	f.p = bk_map_file(BK_HUGE_MEMFD, f.fd, NULL, 2 * BK_HUGE, 0);
	CHECK_EQ(pthread_create(&t, NULL, fault, &f), 0);
	for (i = 0; i < 40; i++)
		punch_round(&b, &f, i);
	f.stop = true;
	pthread_join(t, NULL);
	munmap((char *)f.p, 2 * BK_HUGE);
	close(f.fd);
	bk_end(&b);
}

static void poison(enum bk_kind kind)
{
	struct poison arg = {};
	struct bk_memory m;
	struct bk_region r;
	struct bk b;
	int u, tries;

	bk_begin(&b);
	bk_map(&m, kind, bk_kind_unit(kind));
	r = bk_hold(&b, m.addr, m.len, BELAY_PINNED, W);
	u = bk_userfault(m.addr, m.len, 1 << 14, UFFDIO_REGISTER_MODE_MISSING);
	if (u < 0) {
		tap_diag("this kernel has no UFFDIO_POISON");
	} else {
		/* There must be no entry: the worker may have been faster. */
		arg.range = (struct uffdio_range) { (uintptr_t)m.addr, m.len };
		for (tries = 0; tries < 1000; tries++) {
			CHECK_SYS(madvise(m.addr, m.len, MADV_DONTNEED));
			if (!ioctl(u, POISON, &arg))
				break;
		}
		CHECK(tries < 1000);
		CHECK_FINAL(!bk_valid(&b, &r));
		CHECK(bk_settle(&b, &r) & BELAY_WORD_LOST);
		close(u);
	}
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_unmap(&m);
	bk_end(&b);
}

TEST(poisoned, "poison in place of an entry that was dropped is a loss")
{
	bk_hugepages(4);
	poison(BK_MEMFD);
	poison(BK_HUGE_MEMFD);
}

/* ---- while it is being taken away -------------------------------------------------- */

struct asking {
	const struct bk *b;
	uint64_t region;
	volatile bool stop;
};

static void *ask(void *arg)
{
	struct asking *a = arg;

	while (!a->stop) {
		bk_check(a->b->fd, a->region);
		usleep(500);
	}
	return NULL;
}

/* The last pages of many go last, long after that was announced, and are asked about meanwhile. */
TEST(during, "a page that is about to be taken away is not valid because it is still there")
{
	static const size_t len = 96UL << 20;
	struct asking a = {};
	struct bk_region r;
	unsigned int i;
	pthread_t t;
	struct bk b;
	char *p;

	bk_begin(&b);
	for (i = 0; i < 4; i++) {
		p = bk_anon(len, 1);
		r = bk_hold(&b, p + len - PAGES(4), PAGES(4), BELAY_PINNED, W);
		a = (struct asking) { .b = &b, .region = r.id };
		CHECK_EQ(pthread_create(&t, NULL, ask, &a), 0);
		CHECK_SYS(madvise(p, len, MADV_DONTNEED));
		CHECK_FINAL(!bk_valid(&b, &r));
		a.stop = true;
		pthread_join(t, NULL);
		CHECK(bk_settle(&b, &r) & BELAY_WORD_LOST);
		CHECK_OK(bk_unregister(b.fd, r.id));
		munmap(p, len);
	}
	bk_end(&b);
}

/* ---- behind the end ---------------------------------------------------------------- */

static void truncate_to(int fd, off_t len)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(ftruncate(fd, len) ? 1 : 0);
	CHECK_SYS(waitpid(pid, &status, 0));
	CHECK_EQ(status, 0);
}

TEST(behind_end, "what lies behind the end of the file is lost, also where an entry for a huge page still reaches there; what lies before it is not")
{
	struct bk_region before, behind;
	struct bk b;
	char *p;
	int fd;

	mkdir(TMPFS, 0700);
	CHECK_SYS(mount("tmpfs", TMPFS, "tmpfs", 0, "huge=always,size=64m"));
	fd = CHECK_SYS(open(TMPFS "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK_SYS(ftruncate(fd, BK_HUGE));
	bk_begin(&b);
	p = CHECK_SYS(mmap(NULL, 2 * BK_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	p = (char *)(((uintptr_t)p + BK_HUGE - 1) & ~(BK_HUGE - 1));
	CHECK_SYS(mmap(p, BK_HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0));
	memset(p, 1, BK_HUGE);
	before = bk_hold(&b, p + PAGES(8), PAGES(8), BELAY_PINNED, W);
	behind = bk_hold(&b, p + PAGES(300), PAGES(8), BELAY_PINNED, W);
	truncate_to(fd, PAGES(256) + 512);
	/* Before the end: with it come all pages of a huge one that was not divided. */
	touch(p, 200);
	CHECK_FINAL(!bk_valid(&b, &behind));
	CHECK(bk_settle(&b, &behind) & BELAY_WORD_LOST);
	CHECK_EQ(bk_settle(&b, &before), 0);
	/* Longer again: no resurrection. */
	truncate_to(fd, BK_HUGE);
	CHECK(bk_settle(&b, &behind) & BELAY_WORD_LOST);
	CHECK_OK(bk_unregister(b.fd, before.id));
	CHECK_OK(bk_unregister(b.fd, behind.id));
	munmap(p, BK_HUGE);
	close(fd);
	CHECK_SYS(umount(TMPFS));
	bk_end(&b);
}

/* ---- only the entry is gone -------------------------------------------------------- */

static void comes_back(enum bk_kind kind, uint32_t how, int protection)
{
	struct bk_region r, pin;
	struct bk_memory m;
	uint64_t before, suspected;
	struct bk b;

	bk_begin(&b);
	bk_map(&m, kind, 4 * bk_kind_unit(kind));
	r = hold(&b, m.addr, m.len, how, m.flags, &pin);
	before = bk_pfn(m.addr);
	suspected = bk_seen("made_suspect");
	if (protection != PROT_READ)
		CHECK_SYS(mprotect(m.addr, m.len, protection));
	CHECK_SYS(madvise(m.addr, m.len, MADV_DONTNEED));
	CHECK_GT(bk_seen("made_suspect"), suspected);
	/* By the worker, perhaps already: nobody asks, and nobody touches. */
	CHECK_FINAL(!bk_valid(&b, &r) || bk_pfn(m.addr) == before);
	CHECK_SOON(bk_valid(&b, &r), 5);
	CHECK_EQ(bk_pfn(m.addr), before);
	let_go(&b, &r, &pin);
	if (protection != PROT_READ)
		CHECK_SYS(mprotect(m.addr, m.len, PROT_READ));
	bk_unmap(&m);
	bk_end(&b);
}

TEST(back, "a page of a shared mapping that has only left the page table is back, and its word valid, without a touch; also without access")
{
	static const enum bk_kind kinds[] = { BK_MEMFD, BK_SHARED_ANON, BK_TMPFS, BK_EXT4 };
	unsigned int i, how;

	for (i = 0; i < 4; i++)
		for (how = 0; how < 3; how++) {
			comes_back(kinds[i], hows[how], PROT_READ);
			comes_back(kinds[i], hows[how], PROT_NONE);
		}
}

TEST(minor, "a page that a userfaultfd monitor has yet to map stays suspect, and nobody waits; once it is mapped the word is valid")
{
	struct uffdio_continue go = {};
	struct bk_memory m;
	struct bk_region r;
	struct bk b;
	int u;

	bk_begin(&b);
	bk_map(&m, BK_MEMFD, PAGES(1));
	r = bk_hold(&b, m.addr, m.len, BELAY_PINNED, W);
	u = bk_userfault(m.addr, m.len, UFFD_FEATURE_MINOR_SHMEM, UFFDIO_REGISTER_MODE_MINOR);
	CHECK(u >= 0);
	CHECK_SYS(madvise(m.addr, m.len, MADV_DONTNEED));
	usleep(300000);
	CHECK_EQ(bk_state(&b, &r), BELAY_WORD_SUSPECT);
	CHECK_EQ(bk_pfn(m.addr), 0);
	go.range = (struct uffdio_range) { (uintptr_t)m.addr, m.len };
	CHECK_SYS(ioctl(u, UFFDIO_CONTINUE, &go));
	CHECK_EQ(bk_settle(&b, &r), 0);
	close(u);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_unmap(&m);
	bk_end(&b);
}

/* ---- what a monitor has yet to fill ------------------------------------------------ */

struct monitor {
	int u;
	char page[PAGES(1)];
};

static void *fill(void *arg)
{
	struct monitor *m = arg;
	struct uffdio_copy copy;
	struct uffd_msg msg;

	memset(m->page, 'm', sizeof(m->page));
	while (read(m->u, &msg, sizeof(msg)) == sizeof(msg)) {
		usleep(20000);
		copy = (struct uffdio_copy) {
			.dst = msg.arg.pagefault.address & ~(BK_PAGE - 1),
			.src = (uintptr_t)m->page,
			.len = BK_PAGE,
		};
		ioctl(m->u, UFFDIO_COPY, &copy);
	}
	return NULL;
}

TEST(monitored, "memory that a userfaultfd monitor has yet to fill is filled by registering, pinned or tracked, and by the commit of a watched region")
{
	static struct monitor m;
	struct bk_region r;
	unsigned int how;
	pthread_t t;
	struct bk b;
	char *p;

	bk_begin(&b);
	for (how = 0; how < 3; how++) {
		p = CHECK_SYS(mmap(NULL, PAGES(8), PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		m.u = bk_userfault(p, PAGES(8), 0, UFFDIO_REGISTER_MODE_MISSING);
		CHECK_SYS(fcntl(m.u, F_SETFL, 0));
		CHECK_EQ(pthread_create(&t, NULL, fill, &m), 0);
		CHECK_OK(bk_register(b.fd, p, PAGES(8), hows[how], W, &r));
		if (hows[how] != BELAY_PINNED)
			CHECK_OK(bk_commit(b.fd, r.id));
		CHECK(bk_valid(&b, &r));
		CHECK_EQ(p[PAGES(7)], 'm');
		CHECK_OK(bk_unregister(b.fd, r.id));
		pthread_cancel(t);
		pthread_join(t, NULL);
		close(m.u);
		munmap(p, PAGES(8));
	}
	bk_end(&b);
}

TAP_MAIN()
