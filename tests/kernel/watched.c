// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Watched regions: neither pinned nor charged. Until the commit it is the mapping
 * that counts, from then on the pages, too.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

static struct bk_region watch(const struct bk *b, void *addr, size_t len)
{
	struct bk_region r;

	CHECK_OK(bk_register(b->fd, addr, len, BELAY_WATCHED, W, &r));
	CHECK(bk_valid(b, &r));
	return r;
}

/* As a cache of registrations does whose driver holds the pages. */
static struct bk_region watch_pages(const struct bk *b, void *addr, size_t len)
{
	struct bk_region r = watch(b, addr, len);

	CHECK_OK(bk_commit(b->fd, r.id));
	CHECK_EQ(bk_commit(b->fd, r.id), -EINVAL);
	return r;
}

static void expect_lost(struct bk *b, const struct bk_region *r, size_t offset, size_t len,
			uint32_t reason)
{
	struct belay_event e;

	CHECK_FINAL(!bk_valid(b, r));
	CHECK(bk_settle(b, r) & BELAY_WORD_LOST);
	CHECK_SOON(bk_find_event(b->ctl, b->session, r->id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.kind, BELAY_WATCHED);
	CHECK_EQ(e.reason, reason);
	CHECK_EQ(e.lost_addr, (uintptr_t)r->addr + offset);
	CHECK_EQ(e.lost_len, len);
}

TEST(free, "a watched region costs a region and no byte, pins nothing, and fits when the account is full")
{
	int64_t pins = bk_pins();
	struct belay_region_row row;
	struct bk_region full, r;
	struct bk b;
	char *p = bk_anon(PAGES(16), 1);

	bk_begin_limited(&b, PAGES(4), 3);
	full = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	CHECK_EQ(bk_register(b.fd, p + PAGES(4), PAGES(1), BELAY_PINNED, W, &r), -EDQUOT);
	r = watch_pages(&b, p, PAGES(16));
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(4));
	CHECK_EQ(bk_usage_regions(b.fd), 2);
	CHECK_EQ(bk_vm_pin(), PAGES(4));
	CHECK_EQ(bk_pins() - pins, 4);
	CHECK_EQ(bk_sysfs("tracked_bytes"), 0);
	CHECK_EQ(bk_sysfs("pinned_bytes"), PAGES(4));
	CHECK(bk_find_region(b.ctl, b.session, r.id, &row));
	CHECK_EQ(row.kind, BELAY_WATCHED);
	CHECK_EQ(row.held_bytes, 0);
	/* The number of regions is what bounds them. */
	watch(&b, p, PAGES(1));
	CHECK_EQ(bk_register(b.fd, p, PAGES(1), BELAY_WATCHED, W, &r), -EDQUOT);
	CHECK_OK(bk_unregister(b.fd, full.id));
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_EQ(bk_usage_regions(b.fd), 2);
	bk_end(&b);
}

TEST(mapping, "before the commit munmap, mremap and mmap over it are losses, with the part; whatever else happens to the pages is none")
{
	struct bk_region r, moved;
	struct bk b;
	char *p = bk_anon(PAGES(16), 1), *q;
	uint64_t clears = bk_seen("seen_clear");
	int node = 1, status = -1, home;
	void *page = p;
	pid_t pid;

	bk_begin(&b);
	r = watch(&b, p, PAGES(8));
	CHECK_SYS(madvise(p, PAGES(4), MADV_DONTNEED));
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ));
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ | PROT_WRITE));
	p[0] = 1;
	CHECK_SYS(syscall(SYS_get_mempolicy, &home, NULL, 0, p, 3));
	node = !home;
	CHECK_EQ(syscall(SYS_move_pages, 0, 1, &page, &node, &status, 2), 0);
	CHECK_EQ(status, node);
	pid = fork();
	if (!pid)
		_exit(0);
	p[PAGES(5)] = 2;
	CHECK_SYS(waitpid(pid, NULL, 0));
	CHECK_GE(bk_seen("seen_clear") - clears, 2);
	usleep(20000);
	CHECK(bk_valid(&b, &r));
	CHECK(!bk_any_lost(b.ctl, b.session));

	CHECK_SYS(munmap(p + PAGES(3), PAGES(2)));
	expect_lost(&b, &r, PAGES(3), PAGES(2), BELAY_REASON_UNMAPPED);
	CHECK_OK(bk_unregister(b.fd, r.id));

	moved = watch(&b, p + PAGES(8), PAGES(4));
	q = CHECK_SYS(mremap(p + PAGES(8), PAGES(4), PAGES(64), MREMAP_MAYMOVE));
	CHECK(q != p + PAGES(8));
	expect_lost(&b, &moved, 0, PAGES(4), BELAY_REASON_UNMAPPED);
	/* Nothing is left of it to watch, but it is a region still. */
	CHECK_EQ(bk_usage_regions(b.fd), 1);
	CHECK_OK(bk_unregister(b.fd, moved.id));
	CHECK_EQ(bk_usage_regions(b.fd), 0);
	r = watch(&b, p + PAGES(12), PAGES(4));
	CHECK_SYS(mmap(p + PAGES(15), PAGES(1), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS |
		       MAP_FIXED, -1, 0));
	expect_lost(&b, &r, PAGES(3), PAGES(1), BELAY_REASON_UNMAPPED);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_end(&b);
}

TEST(pages, "after the commit a replaced page is a loss, and a page that is still the same is none")
{
	struct bk_region r, pin;
	struct bk_memory m;
	uint64_t before, pfn;
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin(&b);
	r = watch_pages(&b, p, PAGES(8));
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ));
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ | PROT_WRITE));
	CHECK_EQ(bk_settle(&b, &r), 0);
	CHECK_SYS(madvise(p + PAGES(2), PAGES(1), MADV_DONTNEED));
	expect_lost(&b, &r, PAGES(2), PAGES(1), BELAY_REASON_REPLACED);
	CHECK_OK(bk_unregister(b.fd, r.id));

	bk_map(&m, BK_MEMFD, PAGES(8));
	/* For somebody who has pinned them. */
	pin = bk_hold(&b, m.addr, PAGES(8), BELAY_PINNED, W);
	r = watch_pages(&b, m.addr, PAGES(8));
	pfn = bk_pfn(m.addr);
	before = bk_seen("verified_same");
	/* Only the page table entries go. */
	CHECK_SYS(madvise(m.addr, PAGES(8), MADV_DONTNEED));
	CHECK_FINAL(!bk_valid(&b, &r));
	CHECK_EQ(bk_settle(&b, &r), 0);
	CHECK_GT(bk_seen("verified_same"), before);
	CHECK(*(volatile char *)m.addr);
	CHECK_EQ(bk_pfn(m.addr), pfn);
	CHECK_SYS(madvise(m.addr + PAGES(7), PAGES(1), MADV_REMOVE));
	expect_lost(&b, &r, PAGES(7), PAGES(1), BELAY_REASON_REPLACED);
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_OK(bk_unregister(b.fd, pin.id));
	bk_unmap(&m);
	bk_end(&b);
}

TEST(unmapped_unpinned, "a page that is out of the page table and pinned by nobody comes back and is valid, unless it was replaced meanwhile")
{
	static const enum bk_kind kinds[] = { BK_MEMFD, BK_SHARED_ANON, BK_TMPFS };
	struct bk_memory m;
	struct bk_region r;
	unsigned int i;
	uint64_t pfn;
	struct bk b;

	bk_begin(&b);
	for (i = 0; i < 3; i++) {
		bk_map(&m, kinds[i], PAGES(4));
		r = watch_pages(&b, m.addr, m.len);
		pfn = bk_pfn(m.addr);
		CHECK_SYS(madvise(m.addr, m.unit, MADV_DONTNEED));
		CHECK_FINAL(!bk_valid(&b, &r));
		CHECK_SOON(bk_valid(&b, &r), 5);
		CHECK_EQ(bk_pfn(m.addr), pfn);
		CHECK_SYS(madvise(m.addr, m.unit, MADV_DONTNEED));
		CHECK_SYS(madvise(m.addr, m.unit, MADV_REMOVE));
		expect_lost(&b, &r, 0, m.unit, BELAY_REASON_REPLACED);
		CHECK_OK(bk_unregister(b.fd, r.id));
		bk_unmap(&m);
	}
	bk_end(&b);
}

TEST(faulted_in, "a commit faults in what is not there yet, and knows huge pages")
{
	static const enum bk_kind kinds[] = { BK_THP, BK_HUGE_ANON, BK_HUGE_MEMFD, BK_EXT4 };
	struct bk_region r;
	struct bk_memory m;
	unsigned int i;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = CHECK_SYS(mmap(NULL, PAGES(600), PROT_READ | PROT_WRITE, MAP_PRIVATE |
			   MAP_ANONYMOUS, -1, 0));
	r = watch(&b, p, PAGES(600));
	CHECK_EQ(bk_pfn(p + PAGES(599)), 0);
	CHECK_OK(bk_commit(b.fd, r.id));
	CHECK_NE(bk_pfn(p + PAGES(599)), 0);
	CHECK_SYS(madvise(p + PAGES(599), PAGES(1), MADV_DONTNEED));
	expect_lost(&b, &r, PAGES(599), PAGES(1), BELAY_REASON_REPLACED);
	CHECK_OK(bk_unregister(b.fd, r.id));
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		bk_map(&m, kinds[i], BK_HUGE);
		CHECK_OK(bk_register(b.fd, m.addr, BK_HUGE, BELAY_WATCHED, m.flags, &r));
		CHECK_OK(bk_commit(b.fd, r.id));
		CHECK_SYS(mprotect(m.addr, BK_HUGE, PROT_READ));
		CHECK_EQ(bk_settle(&b, &r), 0);
		CHECK_SYS(munmap(m.addr, BK_HUGE));
		expect_lost(&b, &r, 0, BK_HUGE, BELAY_REASON_UNMAPPED);
		CHECK_OK(bk_unregister(b.fd, r.id));
	}
	bk_end(&b);
}

TEST(between, "what changes between registering and the commit is EAGAIN; the second attempt succeeds")
{
	struct bk_region r;
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin(&b);
	r = watch(&b, p, PAGES(8));
	CHECK_SYS(madvise(p + PAGES(2), PAGES(1), MADV_DONTNEED));
	CHECK_EQ(bk_commit(b.fd, r.id), -EAGAIN);
	CHECK_EQ(bk_commit(b.fd, r.id), -EAGAIN);
	CHECK_OK(bk_unregister(b.fd, r.id));
	r = watch_pages(&b, p, PAGES(8));
	CHECK(bk_valid(&b, &r));
	CHECK_OK(bk_unregister(b.fd, r.id));
	r = watch(&b, p, PAGES(8));
	CHECK_SYS(munmap(p, PAGES(1)));
	CHECK_EQ(bk_commit(b.fd, r.id), -EAGAIN);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_end(&b);
}

TEST(refused, "what is not mapped is EFAULT; memory whose pages cannot be told is refused at the commit only; overlap is capped")
{
	struct bk_region r;
	struct bk b;
	char *p = bk_anon(PAGES(8), 1), *file;
	unsigned int i;
	int fd;

	bk_begin(&b);
	CHECK_SYS(munmap(p + PAGES(4), PAGES(1)));
	CHECK_EQ(bk_register(b.fd, p, PAGES(8), BELAY_WATCHED, W, &r), -EFAULT);
	CHECK_SYS(mprotect(p + PAGES(5), PAGES(1), PROT_READ));
	CHECK_EQ(bk_register(b.fd, p + PAGES(5), PAGES(1), BELAY_WATCHED, W, &r), -EFAULT);
	CHECK_OK(bk_register(b.fd, p + PAGES(5), PAGES(1), BELAY_WATCHED, 0, &r));
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0), -EBUSY);
	CHECK_OK(bk_unregister(b.fd, r.id));

	fd = bk_file(BK_EXT4, PAGES(4));
	file = CHECK_SYS(mmap(NULL, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHECK_EQ(bk_register(b.fd, file, PAGES(4), BELAY_PINNED, W, &r), -EMEDIUMTYPE);
	CHECK_OK(bk_register(b.fd, file, PAGES(4), BELAY_WATCHED, W, &r));
	CHECK_EQ(bk_commit(b.fd, r.id), -EMEDIUMTYPE);
	CHECK(bk_valid(&b, &r));
	CHECK_OK(bk_unregister(b.fd, r.id));
	munmap(file, PAGES(4));
	close(fd);

	/* They take no reference: only what is held is counted against the cap on overlap. */
	for (i = 0; i < 2 * BELAY_MAX_OVERLAP; i++)
		watch(&b, p, PAGES(1));
	for (i = 0; i < BELAY_MAX_OVERLAP; i++)
		CHECK_OK(bk_register(b.fd, p, PAGES(1), BELAY_PINNED, W, &r));
	CHECK_EQ(bk_register(b.fd, p, PAGES(1), BELAY_PINNED, W, &r), -EMLINK);
	watch(&b, p, PAGES(1));
	bk_end(&b);
}

TEST(shared_charge, "watched regions share no charge: what is pinned above and below them is charged once, in full")
{
	struct bk_region r, pinned, again;
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin(&b);
	r = watch_pages(&b, p, PAGES(8));
	pinned = bk_hold(&b, p, PAGES(6), BELAY_PINNED, W);
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(6));
	again = bk_hold(&b, p + PAGES(2), PAGES(6), BELAY_TRACKED, W);
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(8));
	/* Lost with a suspect, watched one below: charged as if it were not there. */
	CHECK_OK(bk_unregister(b.fd, pinned.id));
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(6));
	CHECK_OK(bk_unregister(b.fd, again.id));
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_end(&b);
}

TEST(trimmed, "a watched region is trimmed like any other, before the commit and after")
{
	struct bk_region r, parts[2];
	struct bk b;
	char *p = bk_anon(PAGES(8), 1);

	bk_begin(&b);
	r = watch(&b, p, PAGES(8));
	/* Seen by one part, not by the other. */
	CHECK_SYS(madvise(p + PAGES(7), PAGES(1), MADV_DONTNEED));
	CHECK_OK(bk_trim(b.fd, &r, PAGES(3), PAGES(1), parts));
	CHECK(bk_valid(&b, &parts[0]) && bk_valid(&b, &parts[1]));
	CHECK_OK(bk_commit(b.fd, parts[0].id));
	CHECK_EQ(bk_commit(b.fd, parts[1].id), -EAGAIN);
	CHECK_OK(bk_unregister(b.fd, parts[1].id));
	r = parts[0];
	CHECK_OK(bk_trim(b.fd, &r, 0, PAGES(1), parts));
	CHECK_EQ(bk_commit(b.fd, parts[1].id), -EINVAL);
	CHECK_SYS(madvise(p + PAGES(2), PAGES(1), MADV_DONTNEED));
	expect_lost(&b, &parts[1], PAGES(1), PAGES(1), BELAY_REASON_REPLACED);
	CHECK_EQ(bk_usage_bytes(b.fd), 0);
	CHECK_OK(bk_unregister(b.fd, parts[1].id));
	bk_end(&b);
}

TAP_MAIN()
