// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* File systems in persistent memory: their pages cannot be held. */
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#define MAP_SHARED_VALIDATE 3
#endif

static void refuse(const struct bk *b, char *p, uint32_t flags)
{
	uint32_t kind;

	for (kind = BELAY_PINNED; kind <= BELAY_TRACKED; kind++) {
		CHECK_EQ(bk_register(b->fd, p, 4 * BK_PAGE, kind, flags, NULL), -EMEDIUMTYPE);
		CHECK_EQ(bk_usage_bytes(b->fd), 0);
		CHECK_EQ(bk_sysfs("regions"), 0);
		CHECK_EQ(bk_vm_pin(), 0);
	}
}

static void with_file_system(const char *type)
{
	const int prot = PROT_READ | PROT_WRITE;
	char command[128];
	int64_t pins;
	struct bk b;
	char *p;
	int fd;

	snprintf(command, sizeof(command), "fsdax /mnt %s", type);
	if (system(command))
		FAIL("no DAX file system");
	fd = CHECK_SYS(open("/mnt/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	CHECK_SYS(posix_fallocate(fd, 0, 4 * BK_PAGE) ? -1 : 0);
	bk_begin(&b);
	pins = bk_pins();
	/* Works with DAX only. */
	p = CHECK_SYS(mmap(NULL, 4 * BK_PAGE, prot, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	memset(p, 1, 4 * BK_PAGE);
	refuse(&b, p, BELAY_REGION_WRITE);
	refuse(&b, p, 0);
	munmap(p, 4 * BK_PAGE);
	p = CHECK_SYS(mmap(NULL, 4 * BK_PAGE, prot, MAP_SHARED, fd, 0));
	refuse(&b, p, BELAY_REGION_WRITE);
	munmap(p, 4 * BK_PAGE);
	p = CHECK_SYS(mmap(NULL, 4 * BK_PAGE, PROT_READ, MAP_SHARED, fd, 0));
	refuse(&b, p, 0);
	munmap(p, 4 * BK_PAGE);
	CHECK_EQ(bk_pins(), pins);
	bk_end(&b);
	close(fd);
	if (system("umount /mnt"))
		FAIL("umount failed");
}

TEST_TIMEOUT(ext4, "files of an ext4 with DAX are EMEDIUMTYPE, for reading and for writing", 60)
{
	with_file_system("ext4");
}

TAP_MAIN()
