// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Nothing spurious: what the kernel announces about memory that stays the same
 * loses no region. Every test names the counter that must have grown, so that one
 * in which nothing was announced fails.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#define MADV_SOFT_OFFLINE_	101

struct bed {
	struct bk b;
	struct bk_memory m;
	struct bk_region r;
	uint64_t first_pfn, last_pfn;
	uint64_t lost;
};

static void bed_make(struct bed *d, enum bk_kind kind, uint32_t how)
{
	bk_begin(&d->b);
	bk_map(&d->m, kind, kind == BK_THP || bk_kind_unit(kind) == BK_HUGE ?
	       2 * BK_HUGE : 16 * BK_PAGE);
	d->r = bk_hold(&d->b, d->m.addr, d->m.len, how, d->m.flags);
	/* The driver that a tracked region is for. */
	if (how == BELAY_TRACKED)
		bk_hold(&d->b, d->m.addr, d->m.len, BELAY_PINNED, d->m.flags);
	d->first_pfn = bk_pfn(d->m.addr);
	d->last_pfn = bk_pfn(d->m.addr + d->m.len - BK_PAGE);
	CHECK(d->first_pfn && d->last_pfn);
	d->lost = bk_seen("lost");
}

static void touch(const struct bed *d)
{
	volatile char *p = d->m.addr;
	size_t i;

	for (i = 0; i < d->m.len; i += BK_PAGE) {
		if (d->m.flags)
			p[i] = p[i] + 1;
		else
			(void)p[i];
	}
}

/* Settled without touching, and after: valid, the same pages, nobody told. */
static void bed_expect_valid(const struct bed *d)
{
	const char *kind = bk_kind_name(d->m.kind);

	if (bk_settle(&d->b, &d->r))
		FAIL("%s: the word is not valid again: %#x", kind, bk_state(&d->b, &d->r));
	touch(d);
	if (bk_pfn(d->m.addr) != d->first_pfn ||
	    bk_pfn(d->m.addr + d->m.len - BK_PAGE) != d->last_pfn)
		FAIL("%s: the test itself is wrong, the page was replaced", kind);
	CHECK_EQ(bk_settle(&d->b, &d->r), 0);
	CHECK_EQ(bk_check(d->b.fd, d->r.id), 0);
	CHECK(bk_valid(&d->b, &d->r));
	CHECK_EQ(bk_seen("lost"), d->lost);
	CHECK(!bk_any_lost(d->b.ctl, d->b.session));
}

static void bed_end(struct bed *d)
{
	CHECK_OK(bk_unregister(d->b.fd, d->r.id));
	bk_unmap(&d->m);
	bk_end(&d->b);
}

/* Does it to memory of each kind; event is the counter that must grow. */
static void survive_how(const enum bk_kind *kinds, uint32_t how, const char *event,
			void (*operation)(struct bed *d))
{
	uint64_t before;
	struct bed d;

	for (; *kinds != BK_KINDS; kinds++) {
		bed_make(&d, *kinds, how);
		before = event ? bk_seen(event) : 0;
		operation(&d);
		if (event && bk_seen(event) == before)
			FAIL("%s: %s has not grown", bk_kind_name(*kinds), event);
		bed_expect_valid(&d);
		bed_end(&d);
	}
}

static void survive(const enum bk_kind *kinds, const char *event,
		    void (*operation)(struct bed *d))
{
	survive_how(kinds, BELAY_PINNED, event, operation);
}

#define KINDS(...) ((const enum bk_kind[]){ __VA_ARGS__, BK_KINDS })
#define ALL_KINDS KINDS(BK_ANON, BK_THP, BK_SHARED_ANON, BK_MEMFD, BK_TMPFS,	\
			BK_HUGE_ANON, BK_HUGE_MEMFD, BK_HUGETLBFS, BK_PRIVATE_FILE, \
			BK_EXT4)

static int protection(const struct bed *d)
{
	return d->m.flags ? PROT_READ | PROT_WRITE : PROT_READ;
}

static void do_mprotect(struct bed *d)
{
	CHECK_SYS(mprotect(d->m.addr, d->m.len, PROT_READ));
	CHECK_SYS(mprotect(d->m.addr, d->m.len, PROT_NONE));
	CHECK_EQ(bk_settle(&d->b, &d->r), 0);
	CHECK_SYS(mprotect(d->m.addr, d->m.len, protection(d)));
}

TEST(mprotect, "mprotect to read-only, to nothing and back: stays valid")
{
	survive(ALL_KINDS, "seen_protection", do_mprotect);
	survive_how(KINDS(BK_ANON, BK_THP, BK_MEMFD, BK_HUGE_MEMFD), BELAY_TRACKED,
		    "seen_protection", do_mprotect);
}

static void do_split(struct bed *d)
{
	CHECK_SYS(mprotect(d->m.addr + 64 * BK_PAGE, 16 * BK_PAGE, PROT_READ));
	CHECK_EQ(bk_settle(&d->b, &d->r), 0);
	/* A part that cannot be read cannot be looked at: not lost for that. */
	CHECK_SYS(mprotect(d->m.addr + BK_HUGE + 64 * BK_PAGE, 16 * BK_PAGE, PROT_NONE));
	bk_check(d->b.fd, d->r.id);
	CHECK(!(bk_state(&d->b, &d->r) & BELAY_WORD_LOST));
	CHECK_LT(bk_smaps(d->m.addr, "AnonHugePages:"), d->m.len);
	CHECK_SYS(mprotect(d->m.addr, d->m.len, PROT_READ | PROT_WRITE));
}

TEST(thp_split, "a huge page split by a partial mprotect: stays valid")
{
	survive(KINDS(BK_THP), "seen_clear", do_split);
	survive_how(KINDS(BK_THP), BELAY_TRACKED, "seen_clear", do_split);
}

static void do_fork(struct bed *d)
{
	volatile char *p = d->m.addr, *q = d->m.addr + d->m.len - BK_PAGE;
	bool shared = bk_kind_shared(d->m.kind);
	char mine = *p;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (d->m.flags)
			*p = *q = 0x66;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	if (d->m.flags)
		CHECK_EQ(*p, shared ? 0x66 : mine);
	/* And the other way round: the parent writes while the child lives. */
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	if (d->m.flags)
		*p = *q = 0x67;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(fork_private, "fork, and a write in the child or in the parent, to private memory: stays valid")
{
	survive(KINDS(BK_ANON, BK_THP, BK_PRIVATE_FILE), "seen_protection", do_fork);
	survive(KINDS(BK_HUGE_ANON), "seen_clear", do_fork);
}

TEST(fork_shared, "the same with shared memory")
{
	survive(KINDS(BK_SHARED_ANON, BK_MEMFD, BK_TMPFS, BK_HUGE_MEMFD, BK_EXT4), NULL,
		do_fork);
}

/* ---- attempts to move pages --------------------------------------------------- */

static int node_of(const void *p)
{
	int node = -1;

	CHECK_SYS(syscall(SYS_get_mempolicy, &node, NULL, 0, p,
			  MPOL_F_NODE | MPOL_F_ADDR));
	return node;
}

static void do_move_pages(struct bed *d)
{
	int nodes[16], status[16], home = node_of(d->m.addr), i;
	void *pages[16];

	CHECK_GE(bk_nodes(), 2);
	for (i = 0; i < 16; i++) {
		pages[i] = d->m.addr + i * (d->m.len / 16);
		nodes[i] = !home;
		status[i] = -1;
	}
	/* "Not all were moved", or success with a status each: both are seen. */
	syscall(SYS_move_pages, 0, 16, pages, nodes, status, MPOL_MF_MOVE_ALL);
	CHECK_EQ(node_of(d->m.addr), home);
}

TEST(move_pages, "move_pages to another node is tried and fails: stays valid")
{
	survive(KINDS(BK_ANON, BK_SHARED_ANON, BK_MEMFD, BK_TMPFS, BK_PRIVATE_FILE, BK_EXT4,
		      BK_THP), "seen_clear", do_move_pages);
}

static void do_mbind(struct bed *d)
{
	int home = node_of(d->m.addr);
	unsigned long mask = 1UL << !home;

	CHECK_ERRNO(syscall(SYS_mbind, d->m.addr, d->m.len, MPOL_BIND, &mask, 8,
			    MPOL_MF_MOVE | MPOL_MF_STRICT), EIO);
	CHECK_EQ(node_of(d->m.addr), home);
}

TEST(mbind, "mbind with MPOL_MF_MOVE is tried and fails: stays valid")
{
	survive(KINDS(BK_ANON, BK_MEMFD, BK_THP), "seen_clear", do_mbind);
}

static void do_soft_offline(struct bed *d)
{
	CHECK_ERRNO(madvise(d->m.addr, BK_PAGE, MADV_SOFT_OFFLINE_), EBUSY);
}

TEST(soft_offline, "soft offlining is tried and fails: stays valid")
{
	survive(KINDS(BK_ANON, BK_MEMFD), "seen_clear", do_soft_offline);
}

static void do_compaction(struct bed *d)
{
	uint64_t scanned = bk_field("/proc/vmstat", "compact_migrate_scanned");

	bk_write("/proc/sys/vm/compact_memory", "1");
	bk_write("/proc/sys/vm/compact_memory", "1");
	CHECK_GT(bk_field("/proc/vmstat", "compact_migrate_scanned"), scanned);
}

/* Waits for every page that is being written, on a disk that others use, too. */
TEST_TIMEOUT(compaction, "compaction of all memory: stays valid", 120)
{
	survive(KINDS(BK_ANON, BK_THP, BK_MEMFD, BK_EXT4), NULL, do_compaction);
}

static void do_collapse(struct bed *d)
{
	CHECK_SYS(madvise(d->m.addr, d->m.len, MADV_HUGEPAGE));
	CHECK_EQ(madvise(d->m.addr, d->m.len, MADV_COLLAPSE), -1);
	CHECK_NE(errno, EINVAL);
	CHECK_EQ(bk_smaps(d->m.addr, "AnonHugePages:"), 0);
}

TEST(collapse, "MADV_COLLAPSE into a huge page is refused for what is pinned: stays valid")
{
	struct bed d;
	char *p;
	int i;

	bk_begin(&d.b);
	p = bk_thp(2 * BK_HUGE);
	for (i = 0; i < 2; i++) {
		/* Away with the huge pages, and small ones in their place. */
		CHECK_SYS(madvise(p + i * BK_HUGE, BK_HUGE, MADV_DONTNEED));
		CHECK_SYS(madvise(p + i * BK_HUGE, BK_HUGE, MADV_NOHUGEPAGE));
		memset(p + i * BK_HUGE, 0x21, BK_HUGE);
	}
	CHECK_EQ(bk_smaps(p, "AnonHugePages:"), 0);
	/* That it can be done, unless pinned: the second half. */
	CHECK_SYS(madvise(p + BK_HUGE, BK_HUGE, MADV_HUGEPAGE));
	CHECK_SYS(madvise(p + BK_HUGE, BK_HUGE, MADV_COLLAPSE));
	CHECK_EQ(bk_smaps(p + BK_HUGE, "AnonHugePages:"), BK_HUGE);
	munmap(p + BK_HUGE, BK_HUGE);

	d.m = (struct bk_memory){ BK_ANON, p, BK_HUGE, -1, BELAY_REGION_WRITE, BK_PAGE };
	d.r = bk_hold(&d.b, p, BK_HUGE, BELAY_PINNED, BELAY_REGION_WRITE);
	d.first_pfn = bk_pfn(p);
	d.last_pfn = bk_pfn(p + BK_HUGE - BK_PAGE);
	d.lost = bk_seen("lost");
	do_collapse(&d);
	bed_expect_valid(&d);
	bed_end(&d);
}

/* ---- KSM, NUMA balancing ---------------------------------------------------------- */

#define KSM "/sys/kernel/mm/ksm/"

static void do_ksm(struct bed *d)
{
	uint64_t scans = bk_read(KSM "full_scans"), seen = bk_seen("seen_clear");
	/* It merges these two, which shows that it works. */
	char *other = bk_anon(16 * BK_PAGE, 0x33);

	memset(d->m.addr, 0x12, d->m.len);
	memset(other, 0x12, 16 * BK_PAGE);
	CHECK_SYS(madvise(d->m.addr, d->m.len, MADV_MERGEABLE));
	CHECK_SYS(madvise(other, 16 * BK_PAGE, MADV_MERGEABLE));
	bk_write(KSM "sleep_millisecs", "5");
	bk_write(KSM "pages_to_scan", "2000");
	bk_write(KSM "run", "1");
	CHECK_SOON(bk_read(KSM "full_scans") >= scans + 4, 10);
	CHECK_SOON(bk_seen("seen_clear") > seen + 4, 10);
	CHECK_GT(bk_read(KSM "pages_sharing"), 0);
	bk_write(KSM "run", "2");
	munmap(other, 16 * BK_PAGE);
}

TEST_TIMEOUT(ksm, "KSM scans and merges beside it: stays valid", 40)
{
	survive(KINDS(BK_ANON), "seen_clear", do_ksm);
}

static void run_on_node(unsigned int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
	bk_run_on_cpu(bk_read(path));
}

#define NUMA_DEBUG "/sys/kernel/debug/sched/numa_balancing/"

static void do_numa_balancing(struct bed *d)
{
	uint64_t updates = bk_field("/proc/vmstat", "numa_pte_updates");
	uint64_t faults = bk_field("/proc/vmstat", "numa_hint_faults");
	uint64_t seen = bk_seen("seen_protection");
	double end = tap_now() + 15;

	run_on_node(!node_of(d->m.addr));
	do
		touch(d);
	while (tap_now() < end &&
	       (bk_field("/proc/vmstat", "numa_pte_updates") == updates ||
		bk_field("/proc/vmstat", "numa_hint_faults") == faults ||
		bk_seen("seen_protection") == seen));
	CHECK_GT(bk_field("/proc/vmstat", "numa_hint_faults"), faults);
}

TEST_TIMEOUT(numa_balancing, "NUMA balancing takes access away and tries to move the pages: stays valid", 60)
{
	system("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug");
	bk_write("/proc/sys/kernel/numa_balancing", "1");
	bk_write(NUMA_DEBUG "scan_delay_ms", "10");
	bk_write(NUMA_DEBUG "scan_period_min_ms", "10");
	bk_write(NUMA_DEBUG "scan_period_max_ms", "50");
	survive(KINDS(BK_ANON, BK_THP), "seen_protection", do_numa_balancing);
	bk_write("/proc/sys/kernel/numa_balancing", "0");
}

/* ---- the page-table entry goes, the page stays -------------------------------------- */

static void do_free(struct bed *d)
{
	CHECK_SYS(madvise(d->m.addr, d->m.len, MADV_FREE));
}

TEST(madv_free, "MADV_FREE of anonymous memory: stays valid")
{
	survive(KINDS(BK_ANON, BK_THP), "seen_clear", do_free);
}

static void do_dontneed(struct bed *d)
{
	/* The worker may bring the page back at any moment from here on. */
	CHECK_SYS(madvise(d->m.addr, d->m.len, MADV_DONTNEED));
}

TEST(dontneed_shared, "MADV_DONTNEED of shared memory, whose page comes back: valid again once verified")
{
	const enum bk_kind *shared = KINDS(BK_SHARED_ANON, BK_MEMFD, BK_TMPFS, BK_EXT4);

	survive(shared, "seen_clear", do_dontneed);
	survive_how(shared, BELAY_TRACKED, "seen_clear", do_dontneed);
}

TEST(dontneed_hugetlb, "MADV_DONTNEED of shared hugetlb, which 6.1 announces as unmapping: valid again once verified")
{
	struct utsname u;

	uname(&u);
	survive(KINDS(BK_HUGE_MEMFD, BK_HUGETLBFS),
		strncmp(u.release, "6.1.", 4) ? "seen_clear" : "seen_unmap", do_dontneed);
}

/* The pages move to another address; the old one maps the same part of the file. */
static void do_move_and_keep(struct bed *d)
{
	void *p = mremap(d->m.addr, d->m.len, d->m.len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	CHECK(p != MAP_FAILED);
	CHECK_SYS(munmap(p, d->m.len));
}

TEST(dontunmap, "mremap of shared memory that keeps the old mapping: valid again once verified")
{
	survive(KINDS(BK_SHARED_ANON, BK_MEMFD, BK_TMPFS, BK_EXT4), "seen_unmap",
		do_move_and_keep);
}

static void do_pageout(struct bed *d)
{
	CHECK_SYS(madvise(d->m.addr, d->m.len, MADV_PAGEOUT));
}

TEST_TIMEOUT(pageout_shared, "MADV_PAGEOUT of shared memory, whose page is kept: valid again once verified", 40)
{
	/* Nothing is paged out of shmem where there is no swap. */
	if (system("modprobe -q zram && echo 64M > /sys/block/zram0/disksize &&"
		   "mkswap -q /dev/zram0 && swapon /dev/zram0"))
		FAIL("no swap");
	survive(KINDS(BK_SHARED_ANON, BK_MEMFD, BK_TMPFS, BK_EXT4), "seen_clear", do_pageout);
	if (system("swapoff /dev/zram0 && echo 1 > /sys/block/zram0/reset"))
		FAIL("swapoff failed");
}

static void do_clear_refs(struct bed *d)
{
	bk_write("/proc/self/clear_refs", "4");
}

TEST(clear_refs, "soft-dirty bits cleared: stays valid")
{
	survive(KINDS(BK_ANON, BK_THP, BK_MEMFD), "seen_soft_dirty", do_clear_refs);
}

static void do_write_elsewhere(struct bed *d)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (pwrite(d->m.fd, "written elsewhere", 18, 0) != 18 || fsync(d->m.fd))
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	CHECK_STR(d->m.addr, "written elsewhere");
}

TEST(write_elsewhere, "another process writes to the file and syncs it: stays valid")
{
	survive(KINDS(BK_MEMFD, BK_TMPFS, BK_EXT4), NULL, do_write_elsewhere);
}

TAP_MAIN()
