// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The memory of one history. It is always mapped at the same place, a range of
 * addresses that nothing else is near to, so that a step that maps or unmaps
 * disturbs no neighbour; the region is in the middle of it, so that steps can go
 * before, behind and beside it. In each small page there is a stamp that no other
 * page of any history has.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

#define HUGE_TMPFS_DIR	"/tmp/belay-tmpfs-huge"
#define XFS_DIR		"/tmp/belay-xfs"
#define OVERLAY_DIR	"/tmp/belay-overlay"
#define OVERLAY_TMPFS	"/tmp/belay-overlay-tmpfs"
#define SMALL_TMPFS_DIR	"/tmp/belay-tmpfs-small"

/* As many pages as the largest folio that XFS and ext4 make of a file's readahead. */
#define SMALL_UNITS	64
/* The file ends with some small pages behind the huge one. */
#define WIDE_UNITS	(BK_HUGE / BK_PAGE + 4)
/* One of them is registered. */
#define HUGE_UNITS	3
#define MAP_ROOM	(2 * BK_HUGE + HUGE_UNITS * BK_HUGE)
/* Of which a history takes three, and three for those that replace them. */
#define POOL		16

#define SHARED_RW	(IS_SHARED | IS_WRITABLE)

static const struct {
	const char *name;
	unsigned int is;
	const char *dir;
} memories[MEMORIES] = {
	[M_ANON] = { "anonymous", IS_PRIVATE | IS_WRITABLE | IS_ANON | IS_SMALL, NULL },
	[M_THP] = { "THP", IS_PRIVATE | IS_WRITABLE | IS_ANON | IS_SMALL | IS_WIDE, NULL },
	[M_SHARED_ANON] = { "shared anonymous", SHARED_RW | IS_SHMEM | IS_SMALL, NULL },
	[M_MEMFD] = { "memfd", SHARED_RW | IS_SHMEM | IS_SMALL | IS_FILE, NULL },
	[M_TMPFS] = { "tmpfs", SHARED_RW | IS_SHMEM | IS_SMALL | IS_FILE, SMALL_TMPFS_DIR },
	[M_TMPFS_HUGE] = { "tmpfs huge", SHARED_RW | IS_SHMEM | IS_SMALL | IS_FILE | IS_WIDE,
			   HUGE_TMPFS_DIR },
	[M_SHM] = { "/dev/shm", SHARED_RW | IS_SHMEM | IS_SMALL | IS_FILE, "/dev/shm" },
	[M_HUGE_ANON] = { "hugetlb anonymous", IS_PRIVATE | IS_WRITABLE | IS_HUGETLB, NULL },
	[M_HUGE_SHARED] = { "hugetlb shared", SHARED_RW | IS_HUGETLB, NULL },
	[M_HUGE_MEMFD] = { "hugetlb memfd", SHARED_RW | IS_HUGETLB | IS_FILE, NULL },
	[M_EXT4] = { "ext4 read-only", IS_SHARED | IS_FILE | IS_DISK | IS_SMALL | IS_EXTENTS |
		     IS_DIRECT, "/tmp/belay-ext4" },
	[M_XFS] = { "XFS read-only", IS_SHARED | IS_FILE | IS_DISK | IS_SMALL | IS_EXTENTS |
		    IS_REFLINK | IS_DIRECT, XFS_DIR },
	[M_OVERLAY] = { "overlayfs read-only", IS_SHARED | IS_FILE | IS_DISK | IS_SMALL |
			IS_DIRECT, OVERLAY_DIR "/merged" },
	[M_OVERLAY_TMPFS] = { "overlayfs over tmpfs", SHARED_RW | IS_SHMEM | IS_SMALL | IS_FILE,
			      OVERLAY_TMPFS "/merged" },
	[M_EXT4_PRIVATE] = { "ext4 private", IS_PRIVATE | IS_WRITABLE | IS_FILE | IS_DISK |
			     IS_SMALL | IS_EXTENTS | IS_DIRECT, "/tmp/belay-ext4" },
	[M_XFS_PRIVATE] = { "XFS private", IS_PRIVATE | IS_WRITABLE | IS_FILE | IS_DISK |
			    IS_SMALL | IS_EXTENTS | IS_REFLINK | IS_DIRECT, XFS_DIR },
	[M_UNWRITTEN_PRIVATE] = { "ext4 private, unwritten", IS_PRIVATE | IS_WRITABLE | IS_FILE |
				  IS_DISK | IS_SMALL | IS_EXTENTS | IS_DIRECT, "/tmp/belay-ext4" },
};

static char *map_room, *scratch_room;

const char *memory_name(enum memory m)
{
	return memories[m].name;
}

unsigned int memory_is(enum memory m)
{
	return memories[m].is;
}

/* ---- file systems --------------------------------------------------------------- */

static bool is_mounted(const char *dir)
{
	struct stat dir_stat, above;
	char path[128];

	snprintf(path, sizeof(path), "%s/..", dir);
	return !stat(dir, &dir_stat) && !stat(path, &above) && dir_stat.st_dev != above.st_dev;
}

static void mount_tmpfs(const char *dir, const char *options)
{
	mkdir(dir, 0700);
	if (!is_mounted(dir))
		CHECK_SYS(mount("belay", dir, "tmpfs", 0, options));
}

/*
 * On a zram device of its own, which takes memory for what is written only: XFS wants
 * 300 MB, and what the RAM disks have in all kernels is less.
 */
static void mount_xfs(void)
{
	mkdir(XFS_DIR, 0700);
	if (is_mounted(XFS_DIR))
		return;
	if (system("modprobe -q zram; set -e; n=$(cat /sys/class/zram-control/hot_add);"
		   " echo 400M > /sys/block/zram$n/disksize;"
		   " mkfs.xfs -q /dev/zram$n; mount -t xfs /dev/zram$n " XFS_DIR))
		FAIL("no XFS on zram");
	CHECK(is_mounted(XFS_DIR));
}

static void mount_overlay(const char *dir, const char *below)
{
	char command[512];

	mkdir(dir, 0700);
	snprintf(command, sizeof(command),
		 "set -e; mkdir -p %s/merged %s/lower %s/upper %s/work; mountpoint -q %s/merged ||"
		 " mount -t overlay -o lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work"
		 " belay %s/merged", dir, dir, below, below, dir, dir, below, below, dir);
	if (system(command))
		FAIL("no overlayfs over %s", below);
}

/* Pages of shmem leave memory only where there is swap. */
static void swap_on(void)
{
	if (system("modprobe -q zram && grep -q zram0 /proc/swaps ||"
		   " { echo 64M > /sys/block/zram0/disksize &&"
		   " mkswap -q /dev/zram0 && swapon /dev/zram0; }"))
		FAIL("no swap");
}

void world_end(void)
{
	if (system("swapoff /dev/zram0 && echo 1 > /sys/block/zram0/reset"))
		FAIL("swapoff failed");
}

static char *reserve(size_t len)
{
	char *p = CHECK_SYS(mmap(NULL, len + BK_HUGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	return (char *)(((uintptr_t)p + BK_HUGE - 1) & ~(BK_HUGE - 1));
}

void world_prepare(void)
{
	bk_ext4();
	mount_tmpfs(SMALL_TMPFS_DIR, "size=256m,huge=never");
	mount_tmpfs(HUGE_TMPFS_DIR, "size=256m,huge=always");
	mount_xfs();
	mount_overlay(OVERLAY_DIR, "/tmp/belay-ext4/overlay");
	mount_tmpfs(OVERLAY_TMPFS, "size=64m");
	mount_overlay(OVERLAY_TMPFS, OVERLAY_TMPFS);
	swap_on();
	bk_hugepages(POOL);
	map_room = reserve(MAP_ROOM);
	scratch_room = reserve(MAP_ROOM);
}

/* ---- one memory ------------------------------------------------------------------- */

static void put_stamp(char *page, uint64_t stamp, unsigned int i)
{
	*(uint64_t *)page = stamp << 16 | (i + 1);
}

/* Large folios come of reading ahead in a file that has been written back. */
static int read_again(int fd, size_t len)
{
	static char block[SMALL_UNITS * BK_PAGE];
	char path[64];
	int again;

	CHECK_SYS(fsync(fd));
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = CHECK_SYS(open(path, O_RDWR | O_CLOEXEC));
	close(fd);
	CHECK_EQ(pread(again, block, len, 0), len);
	return again;
}

static int make_file(struct world *w, uint64_t stamp)
{
	static char block[SMALL_UNITS * BK_PAGE];
	const struct place *p = &w->p;
	unsigned int i;
	char path[128];
	int fd;

	if (w->memory == M_MEMFD)
		fd = CHECK_SYS(memfd_create("history", MFD_CLOEXEC));
	else if (w->memory == M_HUGE_MEMFD)
		fd = CHECK_SYS(memfd_create("history", MFD_CLOEXEC | MFD_HUGETLB));
	else {
		snprintf(path, sizeof(path), "%s/XXXXXX", p->dir);
		fd = CHECK_SYS(mkostemp(path, O_CLOEXEC));
		CHECK_SYS(unlink(path));
	}
	if (p->is & (IS_HUGETLB | IS_WIDE)) {
		CHECK_SYS(ftruncate(fd, file_size(p)));
		return fd;
	}
	for (i = 0; i < p->units; i++)
		put_stamp(block + i * BK_PAGE, stamp, i);
	CHECK_EQ(pwrite(fd, block, file_size(p), 0), file_size(p));
	return p->is & IS_DISK && !w->dirty ? read_again(fd, file_size(p)) : fd;
}

static void place_make(struct place *p, enum memory m)
{
	memset(p, 0, sizeof(*p));
	p->is = memories[m].is;
	p->dir = memories[m].dir;
	p->pid = getpid();
	p->fd = -1;
	p->map = map_room;
	p->scratch = scratch_room;
	p->unit = p->is & IS_HUGETLB ? BK_HUGE : BK_PAGE;
	p->units = p->is & IS_HUGETLB ? HUGE_UNITS : p->is & IS_WIDE ? WIDE_UNITS : SMALL_UNITS;
	p->n = p->is & IS_HUGETLB ? 1 : MAX_UNITS;
	p->first = (p->units - p->n) / 2;
	p->prot = p->is & IS_WRITABLE ? PROT_READ | PROT_WRITE : PROT_READ;
	p->flags = p->is & IS_SHARED ? MAP_SHARED : MAP_PRIVATE;
	if (!(p->is & IS_FILE))
		p->flags |= MAP_ANONYMOUS | (p->is & IS_HUGETLB ? MAP_HUGETLB : 0);
}

/* What is to be there before anything is registered. */
static void fill(const struct world *w, uint64_t stamp)
{
	const struct place *p = &w->p;
	unsigned int i, from = 0, to = p->units;

	/* Enough of it: each page of a huge one is there with the first. */
	if (p->is & IS_WIDE) {
		from = p->first - 2;
		to = p->first + p->n + 2;
	}
	if (w->memory == M_EXT4_PRIVATE || w->memory == M_XFS_PRIVATE || !(p->is & IS_FILE) ||
	    p->is & (IS_HUGETLB | IS_WIDE))
		for (i = from; i < to; i++)
			put_stamp(unit_at(p, i), stamp, i);
	else if (touch_units(p, from, to - from, false))
		FAIL("%s: a signal came where nothing has been done yet", memory_name(w->memory));
}

static void hold(struct world *w, uint32_t kind)
{
	uint32_t flags = w->write ? BELAY_REGION_WRITE : 0;
	const struct place *p = &w->p;
	struct bk_region *r = &w->region[w->regions];
	int err, tries = 0;

	/* Migration, for one, may be at it at any time. */
	do {
		CHECK_OK(bk_register(w->b->fd, unit_at(p, p->first), p->n * p->unit, kind, flags, r));
		err = kind == BELAY_PINNED ? 0 : bk_commit(w->b->fd, r->id);
		if (err)
			CHECK_OK(bk_unregister(w->b->fd, r->id));
	} while (err == -EAGAIN && ++tries < 50);
	if (err)
		FAIL("%s: commit of kind %u: %s", memory_name(w->memory), kind, strerror(-err));
	w->kind[w->regions++] = kind;
}

void world_make(struct world *w, struct bk *b, enum memory m, enum holding h,
		uint32_t *random, uint64_t stamp)
{
	struct place *p = &w->p;

	memset(w, 0, sizeof(*w));
	w->memory = m;
	w->holding = h;
	w->b = b;
	place_make(p, m);
	w->dirty = bk_random(random) & 1;
	w->write = p->is & IS_WRITABLE && bk_random(random) % 4;
	if (p->is & IS_FILE)
		p->fd = make_file(w, stamp);
	CHECK(mmap(p->map, p->units * p->unit, p->prot, p->flags | MAP_FIXED, p->fd, 0) == p->map);
	if (p->is & IS_SMALL && !(p->is & IS_DISK))
		CHECK_SYS(madvise(p->map, p->units * p->unit,
				  p->is & IS_WIDE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	fill(w, stamp);
	if (h == HELD)
		hold(w, BELAY_PINNED);
	if (h != ALONE_WATCHED)
		hold(w, BELAY_TRACKED);
	if (h != ALONE_TRACKED)
		hold(w, BELAY_WATCHED);
	settle(w);
	truth_begin(w);
}

void world_unmake(struct world *w)
{
	const struct place *p = &w->p;

	while (w->regions--)
		CHECK_OK(bk_unregister(w->b->fd, w->region[w->regions].id));
	bk_drain_events(w->b->ctl);
	other_forgets();
	truth_end(w);
	CHECK_SYS(mmap(p->map, MAP_ROOM, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
	if (p->fd >= 0)
		close(p->fd);
}
