// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What cannot be registered is refused with the errno that the header documents,
 * whole or in part, pinned or tracked, and leaves nothing charged and nothing pinned.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

static struct bk b;
static int64_t base_pins;

static void begin(void)
{
	bk_begin(&b);
	base_pins = bk_pins();
}

/* One entry, as both kinds; nothing remains of it. */
static void refuse_at(int line, uint64_t addr, uint64_t len, uint32_t flags, int err)
{
	struct belay_register_entry e;
	uint32_t kind;
	int got;

	for (kind = BELAY_PINNED; kind <= BELAY_TRACKED; kind++) {
		memset(&e, 0, sizeof(e));
		e.addr = addr;
		e.len = len;
		e.kind = kind;
		e.flags = flags;
		e.region = e.expected = 0x1234;
		got = bk_register_entry(b.fd, &e);
		if (got != -err)
			FAIL("line %d, kind %u: %s, not %s", line, kind,
			     got < 0 ? strerrorname_np(-got) : "success", strerrorname_np(err));
		/* Nothing is set on failure. */
		CHECK_EQ(e.region, 0x1234);
		CHECK_EQ(e.expected, 0x1234);
		CHECK_EQ(bk_usage_bytes(b.fd), 0);
		CHECK_EQ(bk_usage_regions(b.fd), 0);
		CHECK_EQ(bk_vm_pin(), 0);
		CHECK_EQ(bk_sysfs("regions"), 0);
		CHECK_EQ(bk_sysfs("charged_bytes"), 0);
		CHECK_EQ(bk_sysfs("pinned_bytes"), 0);
		CHECK_EQ(bk_sysfs("tracked_bytes"), 0);
	}
}

#define REFUSE(addr, len, flags, err) \
	refuse_at(__LINE__, (uint64_t)(uintptr_t)(addr), len, flags, err)

static void end(void)
{
	if (bk_pins() != base_pins)
		FAIL("%lld pins are left", (long long)(bk_pins() - base_pins));
	bk_end(&b);
}

TEST(malformed, "unaligned, empty and wrapping ranges, and those beyond user space, are EINVAL")
{
	char *p = bk_anon(PAGES(8), 1);

	begin();
	REFUSE(p + 1, PAGES(1), W, EINVAL);
	REFUSE(p + 2048, PAGES(1), W, EINVAL);
	REFUSE(p, PAGES(1) - 1, W, EINVAL);
	REFUSE(p, PAGES(1) + 512, W, EINVAL);
	REFUSE(p, 0, W, EINVAL);
	REFUSE(p, -PAGES(1), W, EINVAL);
	REFUSE(p, -(uint64_t)(uintptr_t)p, W, EINVAL);
	REFUSE(-PAGES(1), PAGES(1), W, EINVAL);
	REFUSE(-PAGES(1), PAGES(2), W, EINVAL);
	REFUSE(0xffff888000000000, PAGES(1), W, EINVAL);
	REFUSE(0xffffffff81000000, PAGES(1), 0, EINVAL);
	REFUSE(0xffffffffff600000, PAGES(1), 0, EINVAL);
	REFUSE(0x8000000000000000, PAGES(1), W, EINVAL);
	/* Above the user's half also where addresses have 57 bits. */
	REFUSE(0x0100000000000000, PAGES(1), W, EINVAL);
	REFUSE(0x00fffffffffff000, PAGES(1), W, EINVAL);
	end();
}

TEST(unknown, "unknown kinds and flags are EOPNOTSUPP")
{
	struct belay_register_entry e = { .addr = (uintptr_t)bk_anon(PAGES(1), 1),
					  .len = PAGES(1) };
	static const uint32_t kinds[] = { 0, 4, 5, ~0U };
	unsigned int i;

	begin();
	for (i = 0; i < 4; i++) {
		e.kind = kinds[i];
		CHECK_EQ(bk_register_entry(b.fd, &e), -EOPNOTSUPP);
	}
	for (i = 2; i < 32; i++) {
		e.kind = BELAY_PINNED;
		e.flags = 1U << i;
		CHECK_EQ(bk_register_entry(b.fd, &e), -EOPNOTSUPP);
	}
	CHECK_EQ(bk_sysfs("regions"), 0);
	end();
}

TEST(holes, "ranges with holes, at the start, in the middle and at the end, are EFAULT")
{
	char *p = bk_anon(PAGES(16), 1), *q;

	begin();
	CHECK_SYS(munmap(p + PAGES(5), PAGES(1)));
	CHECK_SYS(munmap(p + PAGES(12), PAGES(4)));
	REFUSE(p + PAGES(5), PAGES(1), W, EFAULT);
	REFUSE(p, PAGES(8), W, EFAULT);
	REFUSE(p + PAGES(5), PAGES(3), W, EFAULT);
	REFUSE(p + PAGES(8), PAGES(6), W, EFAULT);
	REFUSE(p, PAGES(6), 0, EFAULT);
	REFUSE(0, PAGES(1), W, EFAULT);
	/* Nothing this large is allocated for before it is known to be there. */
	q = CHECK_SYS(mmap((void *)(1UL << 40), PAGES(1), PROT_READ | PROT_WRITE, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	REFUSE(q, 1ULL << 45, W, EFAULT);
	REFUSE(PAGES(16), 0x00007ffffffff000 - PAGES(16), 0, EFAULT);
	end();
}

TEST(huge_hole, "a good range of more than one batch of pages with a hole at its end is EFAULT, and all is unpinned again")
{
	char *p = bk_anon(PAGES(2000), 1);

	begin();
	CHECK_SYS(munmap(p + PAGES(1999), PAGES(1)));
	REFUSE(p, PAGES(2000), W, EFAULT);
	p = bk_thp(2 * BK_HUGE);
	CHECK_SYS(munmap(p + 2 * BK_HUGE - PAGES(1), PAGES(1)));
	REFUSE(p, 2 * BK_HUGE, W, EFAULT);
	end();
}

TEST(access, "PROT_NONE, and read-only memory for writing, whole or in part, are EFAULT")
{
	struct bk_memory m;
	char *p = bk_anon(PAGES(8), 1);

	begin();
	CHECK_SYS(mprotect(p + PAGES(4), PAGES(1), PROT_NONE));
	REFUSE(p + PAGES(4), PAGES(1), W, EFAULT);
	REFUSE(p + PAGES(4), PAGES(1), 0, EFAULT);
	REFUSE(p, PAGES(8), W, EFAULT);
	REFUSE(p, PAGES(8), 0, EFAULT);
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ));
	REFUSE(p, PAGES(1), W, EFAULT);
	CHECK_SYS(mprotect(p, PAGES(6), PROT_READ | PROT_WRITE));
	REFUSE(p, PAGES(8), W, EFAULT);
	REFUSE(p + PAGES(5), PAGES(2), W, EFAULT);
	bk_map(&m, BK_MEMFD, PAGES(4));
	CHECK_SYS(mprotect(m.addr + PAGES(2), PAGES(2), PROT_READ));
	REFUSE(m.addr, PAGES(4), W, EFAULT);
	bk_unmap(&m);
	end();
}

TEST(beyond_eof, "pages beyond the end of a file are EFAULT")
{
	char *p;
	int fd;

	begin();
	fd = bk_file(BK_MEMFD, PAGES(4));
	p = bk_map_file(BK_MEMFD, fd, NULL, PAGES(8), 0);
	REFUSE(p, PAGES(8), W, EFAULT);
	REFUSE(p + PAGES(4), PAGES(1), W, EFAULT);
	REFUSE(p + PAGES(3), PAGES(2), 0, EFAULT);
	close(fd);
	fd = bk_file(BK_EXT4, PAGES(4));
	p = bk_map_file(BK_EXT4, fd, NULL, PAGES(8), 0);
	REFUSE(p, PAGES(8), 0, EFAULT);
	close(fd);
	end();
}

TEST(ext4_writable, "a writable shared mapping of an ext4 file is EMEDIUMTYPE, also where anonymous memory comes first")
{
	char *p = bk_anon(PAGES(8), 1);
	int fd;

	begin();
	fd = bk_file(BK_EXT4, PAGES(4));
	CHECK_SYS(mmap(p + PAGES(4), PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       fd, 0));
	p[PAGES(4)] = 1;
	REFUSE(p + PAGES(4), PAGES(4), W, EMEDIUMTYPE);
	REFUSE(p + PAGES(7), PAGES(1), W, EMEDIUMTYPE);
	REFUSE(p, PAGES(8), W, EMEDIUMTYPE);
	close(fd);
	end();
}

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

TEST(secretmem, "secret memory is EMEDIUMTYPE")
{
	char *p;
	int fd;

	begin();
	fd = CHECK_SYS(syscall(SYS_memfd_secret, 0));
	CHECK_SYS(ftruncate(fd, PAGES(4)));
	p = CHECK_SYS(mmap(NULL, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	p[0] = p[PAGES(1)] = 1;
	REFUSE(p, PAGES(4), W, EMEDIUMTYPE);
	REFUSE(p + PAGES(1), PAGES(1), 0, EMEDIUMTYPE);
	close(fd);
	end();
}

/* The first memory resource of any PCI device that can be mapped. */
static char *map_pci_resource(void)
{
	const char *dir = "/sys/bus/pci/devices";
	char path[512], *p = MAP_FAILED;
	struct dirent *e;
	int fd, i;
	DIR *d;

	d = opendir(dir);
	CHECK(d);
	while (p == MAP_FAILED && (e = readdir(d)))
		for (i = 0; i < 6 && p == MAP_FAILED && e->d_name[0] != '.'; i++) {
			snprintf(path, sizeof(path), "%s/%s/resource%d", dir, e->d_name, i);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd < 0)
				continue;
			p = mmap(NULL, PAGES(1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			close(fd);
		}
	closedir(d);
	return p;
}

static char *find_mapping(const char *name)
{
	unsigned long long start;
	char line[512];
	FILE *f;

	f = fopen("/proc/self/maps", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, name) && sscanf(line, "%llx-", &start) == 1) {
			fclose(f);
			return (char *)(uintptr_t)start;
		}
	FAIL("no %s", name);
}

TEST(device_memory, "mappings of device memory are EMEDIUMTYPE, also beside ordinary memory")
{
	char *p, *q = bk_anon(PAGES(4), 1);
	int fd;

	begin();
	p = map_pci_resource();
	if (p == MAP_FAILED)
		FAIL("no PCI resource to map");
	REFUSE(p, PAGES(1), W, EMEDIUMTYPE);
	REFUSE(p, PAGES(1), 0, EMEDIUMTYPE);
	CHECK_SYS(mremap(p, PAGES(1), PAGES(1), MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGES(3)));
	REFUSE(q, PAGES(4), W, EMEDIUMTYPE);

	fd = CHECK_SYS(open("/dev/mem", O_RDONLY | O_CLOEXEC));
	p = CHECK_SYS(mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, fd, 0xf0000));
	REFUSE(p, PAGES(1), 0, EMEDIUMTYPE);
	close(fd);
	REFUSE(find_mapping("[vvar]"), PAGES(1), 0, EMEDIUMTYPE);
	end();
}

TEST(limited, "a range that is both too much and not there is EDQUOT: the charge comes before any page is faulted in")
{
	struct belay_register_entry e = { .kind = BELAY_PINNED, .flags = W };
	char *p = CHECK_SYS(mmap(NULL, PAGES(64), PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	uint64_t refused;

	bk_begin_limited(&b, PAGES(8), BELAY_UNLIMITED);
	base_pins = bk_pins();
	CHECK_SYS(madvise(p, PAGES(64), MADV_NOHUGEPAGE));
	CHECK_SYS(munmap(p + PAGES(32), PAGES(1)));
	e.addr = (uintptr_t)p;
	e.len = PAGES(64);
	refused = bk_seen("refused");
	CHECK_EQ(bk_register_entry(b.fd, &e), -EDQUOT);
	CHECK_EQ(bk_seen("refused"), refused + 1);
	/* Not one page of it is there. */
	CHECK_EQ(bk_pfn(p), 0);
	CHECK_EQ(bk_pfn(p + PAGES(31)), 0);
	end();
}

TAP_MAIN()
