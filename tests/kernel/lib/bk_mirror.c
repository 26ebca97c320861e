// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <sys/ioctl.h>

#include "tests/kernel/lib/bk_mirror.h"
#include "tests/lib/tap.h"

/* The interface of lib/test_hmm.c, as lib/test_hmm_uapi.h has it, which is not installed. */
struct mirror_call {
	uint64_t addr;
	uint64_t data;
	uint64_t pages;
	uint64_t done;
	uint64_t faults;
};

#define MIRROR_WRITE	_IOWR('H', 0x01, struct mirror_call)
#define MIRROR_TO_DEV	_IOWR('H', 0x02, struct mirror_call)
#define MIRROR_SNAPSHOT	_IOWR('H', 0x04, struct mirror_call)
#define MIRROR_BORROW	_IOWR('H', 0x05, struct mirror_call)
#define MIRROR_BORROWS	_IOWR('H', 0x06, struct mirror_call)
#define MIRROR_GIVE_UP	_IOWR('H', 0x07, struct mirror_call)

/* What the snapshot says of a page: the place, and how it is mapped. */
#define PAGE_PLACE	0xf0
#define PLACE_SYSTEM	0x00
#define PLACE_DEVICE	0x20
#define PAGE_ACCESS	0x03

#define DEVICE		"/dev/hmm_dmirror0"
#define TRIES		5

void bk_mirror_open(struct bk_mirror *d)
{
	if (access(DEVICE, F_OK) && system("modprobe test_hmm"))
		FAIL("no test_hmm");
	CHECK_SOON(!access(DEVICE, F_OK), 5);
	d->fd = CHECK_SYS(open(DEVICE, O_RDWR | O_CLOEXEC));
}

void bk_mirror_close(struct bk_mirror *d)
{
	close(d->fd);
	d->fd = -1;
}

static int call(const struct bk_mirror *d, unsigned long cmd, const void *addr,
		size_t pages, void *data, struct mirror_call *ret)
{
	struct mirror_call c = {
		.addr = (uintptr_t)addr,
		.data = (uintptr_t)data,
		.pages = pages,
	};
	int err = bk_ioctl(d->fd, cmd, &c);

	if (ret)
		*ret = c;
	return err;
}

void bk_mirror_give_up(const struct bk_mirror *d)
{
	char page[BK_PAGE] __attribute__((aligned(BK_PAGE)));

	/* It wants some address. */
	CHECK_OK(call(d, MIRROR_GIVE_UP, page, 1, NULL, NULL));
}

static size_t count(const struct bk_mirror *d, const void *addr, size_t pages,
		    unsigned char place)
{
	unsigned char *how = calloc(pages, 1);
	size_t i, n = 0;

	CHECK(how);
	CHECK_OK(call(d, MIRROR_SNAPSHOT, addr, pages, how, NULL));
	for (i = 0; i < pages; i++)
		n += (how[i] & PAGE_PLACE) == place && how[i] & PAGE_ACCESS;
	free(how);
	return n;
}

size_t bk_mirror_has(const struct bk_mirror *d, const void *addr, size_t pages)
{
	return count(d, addr, pages, PLACE_DEVICE);
}

size_t bk_mirror_mapped(const struct bk_mirror *d, const void *addr, size_t pages)
{
	return count(d, addr, pages, PLACE_SYSTEM);
}

/* It says ENOENT when some did not move: what the snapshot says is what counts. */
size_t bk_mirror_try_take(const struct bk_mirror *d, const void *addr, size_t pages)
{
	char *data = malloc(pages * BK_PAGE);
	size_t n = 0;
	int i, err;

	CHECK(data);
	for (i = 0; i < TRIES && n < pages; i++) {
		err = call(d, MIRROR_TO_DEV, addr, pages, data, NULL);
		CHECK(!err || err == -ENOENT);
		n = bk_mirror_has(d, addr, pages);
	}
	free(data);
	return n;
}

void bk_mirror_take(const struct bk_mirror *d, const void *addr, size_t pages)
{
	CHECK_EQ(bk_mirror_try_take(d, addr, pages), pages);
	/* As seen by the processor, nothing is there. */
	CHECK_EQ(bk_mirror_mapped(d, addr, pages), 0);
	CHECK_EQ(bk_pfn(addr), 0);
}

void bk_mirror_write(const struct bk_mirror *d, const void *addr, size_t pages, void *data)
{
	struct mirror_call c;

	CHECK_OK(call(d, MIRROR_WRITE, addr, pages, data, &c));
	CHECK_EQ(c.done, pages);
	CHECK_EQ(c.faults, 0);
	CHECK_EQ(bk_mirror_has(d, addr, pages), pages);
}

void bk_mirror_borrow(const struct bk_mirror *d, const void *addr, size_t pages)
{
	char *data = malloc(pages * BK_PAGE);

	CHECK(data);
	CHECK_OK(call(d, MIRROR_BORROW, addr, pages, data, NULL));
	free(data);
	CHECK(bk_mirror_borrows(d, addr, pages));
}

bool bk_mirror_borrows(const struct bk_mirror *d, const void *addr, size_t pages)
{
	int err = call(d, MIRROR_BORROWS, addr, pages, NULL, NULL);

	CHECK(!err || err == -EPERM);
	return err;
}
