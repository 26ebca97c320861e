// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define TMPFS_DIR	"/tmp/belay-tmpfs"
#define HUGETLBFS_DIR	"/tmp/belay-hugetlbfs"
#define EXT4_DIR	"/tmp/belay-ext4"

#define MAGIC_TMPFS	0x01021994
#define MAGIC_HUGETLBFS	0x958458f6
#define MAGIC_EXT4	0xef53

static const struct {
	const char *name;
	size_t unit;
	bool shared;
	bool file;
} kinds[BK_KINDS] = {
	[BK_ANON] = { "anonymous", BK_PAGE, false, false },
	[BK_THP] = { "THP", BK_PAGE, false, false },
	[BK_SHARED_ANON] = { "shared anonymous", BK_PAGE, true, false },
	[BK_MEMFD] = { "memfd", BK_PAGE, true, true },
	[BK_TMPFS] = { "tmpfs", BK_PAGE, true, true },
	[BK_HUGE_ANON] = { "hugetlb anonymous", BK_HUGE, false, false },
	[BK_HUGE_MEMFD] = { "hugetlb memfd", BK_HUGE, true, true },
	[BK_HUGETLBFS] = { "hugetlbfs", BK_HUGE, true, true },
	[BK_PRIVATE_FILE] = { "private file", BK_PAGE, false, true },
	[BK_EXT4] = { "ext4, read-only", BK_PAGE, true, true },
};

const char *bk_kind_name(enum bk_kind kind)
{
	return kinds[kind].name;
}

size_t bk_kind_unit(enum bk_kind kind)
{
	return kinds[kind].unit;
}

bool bk_kind_shared(enum bk_kind kind)
{
	return kinds[kind].shared;
}

static bool is_mounted(const char *dir, long magic)
{
	struct statfs s;

	return !statfs(dir, &s) && s.f_type == magic;
}

static const char *tmpfs_dir(void)
{
	struct stat dir, above;

	mkdir(TMPFS_DIR, 0700);
	/* /tmp itself may be a tmpfs: what tells is another device. */
	CHECK_SYS(stat(TMPFS_DIR, &dir));
	CHECK_SYS(stat("/tmp", &above));
	if (dir.st_dev == above.st_dev)
		CHECK_SYS(mount("belay", TMPFS_DIR, "tmpfs", 0, "size=256m,huge=never"));
	CHECK(is_mounted(TMPFS_DIR, MAGIC_TMPFS));
	return TMPFS_DIR;
}

static const char *hugetlbfs_dir(void)
{
	mkdir(HUGETLBFS_DIR, 0700);
	if (!is_mounted(HUGETLBFS_DIR, MAGIC_HUGETLBFS))
		CHECK_SYS(mount("belay", HUGETLBFS_DIR, "hugetlbfs", 0, "pagesize=2M"));
	return HUGETLBFS_DIR;
}

const char *bk_ext4(void)
{
	mkdir(EXT4_DIR, 0700);
	if (is_mounted(EXT4_DIR, MAGIC_EXT4))
		return EXT4_DIR;
	/* In KiB; where the driver is built in, it is the default, too. */
	if (system("modprobe -q brd rd_nr=1 rd_size=65536;"
		   " mkfs.ext4 -q -b 4096 -O ^has_journal /dev/ram0"
		   " && mount -t ext4 /dev/ram0 " EXT4_DIR))
		FAIL("no ext4 on a RAM disk");
	CHECK(is_mounted(EXT4_DIR, MAGIC_EXT4));
	return EXT4_DIR;
}

void bk_hugepages(unsigned int n)
{
	char text[16];

	if (bk_read("/proc/sys/vm/nr_hugepages") < n) {
		bk_write("/proc/sys/vm/compact_memory", "1");
		snprintf(text, sizeof(text), "%u", n);
		bk_write("/proc/sys/vm/nr_hugepages", text);
	}
	CHECK_GE(bk_read("/proc/sys/vm/nr_hugepages"), n);
}

static int temporary_file(const char *dir)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/XXXXXX", dir);
	fd = CHECK_SYS(mkostemp(path, O_CLOEXEC));
	CHECK_SYS(unlink(path));
	return fd;
}

static void fill_file(int fd, size_t len)
{
	char block[64 << 10];
	size_t done;

	memset(block, 0xa5, sizeof(block));
	for (done = 0; done < len; done += sizeof(block)) {
		size_t n = len - done < sizeof(block) ? len - done : sizeof(block);

		CHECK_EQ(pwrite(fd, block, n, done), n);
	}
}

/* hugetlb files cannot be written with write(2). */
static void fill_mapped(int fd, size_t len)
{
	char *p = CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	size_t i;

	for (i = 0; i < len; i += BK_PAGE)
		p[i] = 0x5a;
	munmap(p, len);
}

int bk_empty_file(enum bk_kind kind)
{
	switch (kind) {
	case BK_MEMFD:
		return CHECK_SYS(memfd_create("belay", MFD_CLOEXEC));
	case BK_HUGE_MEMFD:
		return CHECK_SYS(memfd_create("belay", MFD_CLOEXEC | MFD_HUGETLB));
	case BK_TMPFS:
		return temporary_file(tmpfs_dir());
	case BK_HUGETLBFS:
		return temporary_file(hugetlbfs_dir());
	case BK_EXT4:
	case BK_PRIVATE_FILE:
		return temporary_file(bk_ext4());
	default:
		FAIL("%s has no file", bk_kind_name(kind));
	}
}

int bk_file(enum bk_kind kind, size_t len)
{
	int fd = bk_empty_file(kind);

	if (kinds[kind].unit == BK_HUGE) {
		CHECK_SYS(ftruncate(fd, len));
		fill_mapped(fd, len);
	} else {
		fill_file(fd, len);
	}
	return fd;
}

void *bk_map_file(enum bk_kind kind, int fd, void *addr, size_t len, off_t offset)
{
	int prot = kind == BK_EXT4 ? PROT_READ : PROT_READ | PROT_WRITE;
	int flags = kinds[kind].shared ? MAP_SHARED : MAP_PRIVATE;

	return CHECK_SYS(mmap(addr, len, prot, flags | (addr ? MAP_FIXED : 0), fd, offset));
}

/* Touches every page: for reading where it cannot be written. */
static void populate(char *p, size_t len, bool write, int fill)
{
	size_t i;

	for (i = 0; i < len; i += BK_PAGE) {
		if (write)
			((volatile char *)p)[i] = (char)fill;
		else
			(void)((volatile char *)p)[i];
	}
}

char *bk_anon(size_t len, int fill)
{
	char *p = CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	CHECK_SYS(madvise(p, len, MADV_NOHUGEPAGE));
	populate(p, len, true, fill);
	return p;
}

char *bk_thp(size_t len)
{
	char *p = CHECK_SYS(mmap(NULL, len + BK_HUGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *start = (char *)(((uintptr_t)p + BK_HUGE - 1) & ~(BK_HUGE - 1));

	/* No neighbour may grow into it. */
	if (start > p)
		CHECK_SYS(munmap(p, start - p));
	if (p + BK_HUGE > start)
		CHECK_SYS(munmap(start + len, p + BK_HUGE - start));
	CHECK_SYS(madvise(start, len, MADV_HUGEPAGE));
	populate(start, len, true, 0x77);
	if (bk_smaps(start, "AnonHugePages:") < len) {
		/* Memory was fragmented: once more, when it is not. */
		CHECK_SYS(madvise(start, len, MADV_DONTNEED));
		bk_write("/proc/sys/vm/compact_memory", "1");
		populate(start, len, true, 0x77);
	}
	CHECK_GE(bk_smaps(start, "AnonHugePages:"), len & ~(BK_HUGE - 1));
	return start;
}

void bk_map(struct bk_memory *m, enum bk_kind kind, size_t len)
{
	int anon = MAP_ANONYMOUS | (kinds[kind].shared ? MAP_SHARED : MAP_PRIVATE);

	memset(m, 0, sizeof(*m));
	m->kind = kind;
	m->unit = kinds[kind].unit;
	m->len = (len + m->unit - 1) & ~(m->unit - 1);
	m->fd = -1;
	m->flags = kind == BK_EXT4 ? 0 : BELAY_REGION_WRITE;
	switch (kind) {
	case BK_ANON:
		m->addr = bk_anon(m->len, 0x33);
		return;
	case BK_THP:
		m->len = (m->len + BK_HUGE - 1) & ~(BK_HUGE - 1);
		m->addr = bk_thp(m->len);
		return;
	case BK_HUGE_ANON:
		anon |= MAP_HUGETLB;
		bk_hugepages(16);
		/* fallthrough */
	case BK_SHARED_ANON:
		m->addr = CHECK_SYS(mmap(NULL, m->len, PROT_READ | PROT_WRITE, anon,
					 -1, 0));
		break;
	case BK_HUGE_MEMFD:
	case BK_HUGETLBFS:
		bk_hugepages(16);
		/* fallthrough */
	default:
		m->fd = bk_file(kind, m->len);
		m->addr = bk_map_file(kind, m->fd, NULL, m->len, 0);
	}
	populate(m->addr, m->len, kind != BK_EXT4, 0x44);
}

void bk_unmap(struct bk_memory *m)
{
	munmap(m->addr, m->len);
	if (m->fd >= 0)
		close(m->fd);
}

void bk_pfns(const void *addr, size_t pages, uint64_t *ret_pfns)
{
	ssize_t bytes = pages * sizeof(*ret_pfns);
	size_t i;
	int fd;

	fd = CHECK_SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
	CHECK_EQ(pread(fd, ret_pfns, bytes, (uintptr_t)addr / BK_PAGE * sizeof(*ret_pfns)),
		 bytes);
	close(fd);
	/* Bit 63: present; below 55: where. */
	for (i = 0; i < pages; i++)
		ret_pfns[i] = ret_pfns[i] >> 63 ? ret_pfns[i] & ((1ULL << 55) - 1) : 0;
}

uint64_t bk_pfn(const void *addr)
{
	uint64_t pfn;

	bk_pfns(addr, 1, &pfn);
	return pfn;
}

int bk_userfault(char *p, size_t len, uint64_t features, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { (uintptr_t)p, len }, .mode = mode };
	int u = CHECK_SYS(syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));

	if (ioctl(u, UFFDIO_API, &api)) {
		close(u);
		return -1;
	}
	CHECK_SYS(ioctl(u, UFFDIO_REGISTER, &reg));
	return u;
}

bool bk_is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLIN;
}

uint64_t bk_smaps(const void *addr, const char *field)
{
	unsigned long long start, end, value;
	char line[512];
	bool here = false;
	FILE *f;

	f = fopen("/proc/self/smaps", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			here = start <= (uintptr_t)addr && (uintptr_t)addr < end;
		else if (here && !strncmp(line, field, strlen(field)) &&
			 sscanf(line + strlen(field), " %llu kB", &value) == 1) {
			fclose(f);
			return value << 10;
		}
	}
	FAIL("no %s of %p in smaps", field, addr);
}
