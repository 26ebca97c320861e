// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Steps that are done to a file, by whoever has it open.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

/* A part of a page that has no stamp in it. */
#define PART_AT		1024
#define PART_LEN	1024

static int said(long ret)
{
	return ret < 0 ? -errno : 0;
}

static int allocate(const struct act *a, int mode, off_t offset, off_t len)
{
	return said(fallocate(a->p.fd, mode, offset, len));
}

static off_t beside(const struct place *p)
{
	return (off_t)((p->first + p->n) * p->unit);
}

#define PUNCH	(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

static int punch(const struct act *a)
{
	return allocate(a, PUNCH, act_offset(a), act_len(a));
}

static int punch_part(const struct act *a)
{
	return allocate(a, PUNCH, act_offset(a) + PART_AT, PART_LEN);
}

static int punch_beside(const struct act *a)
{
	return allocate(a, PUNCH, beside(&a->p), a->p.unit);
}

static int zero(const struct act *a)
{
	return allocate(a, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, act_offset(a), act_len(a));
}

static int collapse(const struct act *a)
{
	return allocate(a, FALLOC_FL_COLLAPSE_RANGE, act_offset(a), act_len(a));
}

static int insert(const struct act *a)
{
	return allocate(a, FALLOC_FL_INSERT_RANGE, act_offset(a), act_len(a));
}

/* ---- its size ---------------------------------------------------------------------- */

static int cut(const struct act *a, off_t size)
{
	return said(ftruncate(a->p.fd, size));
}

static int cut_and_back(const struct act *a, off_t size)
{
	int ret = cut(a, size);

	return ret ? ret : cut(a, file_size(&a->p));
}

static int truncate_page(const struct act *a)
{
	return cut(a, act_offset(a));
}

static int truncate_inside(const struct act *a)
{
	return cut(a, act_offset(a) + PART_AT);
}

static int truncate_behind(const struct act *a)
{
	return cut(a, beside(&a->p));
}

static int truncate_page_and_back(const struct act *a)
{
	return cut_and_back(a, act_offset(a));
}

static int truncate_inside_and_back(const struct act *a)
{
	return cut_and_back(a, act_offset(a) + PART_AT);
}

static int truncate_behind_and_back(const struct act *a)
{
	return cut_and_back(a, beside(&a->p));
}

static int truncate_all_and_back(const struct act *a)
{
	return cut_and_back(a, 0);
}

static int grow(const struct act *a)
{
	return cut(a, file_size(&a->p));
}

/* ---- reading and writing -------------------------------------------------------------- */

/* The same file by its own open file, which is as @flags say. */
static int open_again(const struct act *a, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", a->p.fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static char *aligned_block(void)
{
	static char block[MAX_UNITS * BK_PAGE] __attribute__((aligned(4096)));

	return block;
}

static int direct(const struct act *a, bool write, off_t offset, size_t len)
{
	int fd = open_again(a, O_RDWR | O_DIRECT);
	char *block = aligned_block();
	ssize_t n;

	if (fd < 0)
		return fd;
	if (write)
		memset(block, 0xd1, len);
	n = write ? pwrite(fd, block, len, offset) : pread(fd, block, len, offset);
	/* Behind its end there is nothing to read. */
	n = n < 0 ? -errno : 0;
	close(fd);
	return n;
}

static int direct_write(const struct act *a)
{
	return direct(a, true, act_offset(a), act_len(a));
}

static int direct_write_beside(const struct act *a)
{
	return direct(a, true, beside(&a->p), BK_PAGE);
}

static int direct_read(const struct act *a)
{
	return direct(a, false, act_offset(a), act_len(a));
}

static int write_part(const struct act *a)
{
	char part[PART_LEN];
	unsigned int i;

	memset(part, 0xb1, sizeof(part));
	for (i = 0; i < a->n; i++)
		if (pwrite(a->p.fd, part, sizeof(part),
			   act_offset(a) + i * a->p.unit + PART_AT) < 0)
			return -errno;
	return 0;
}

static int read_all(const struct act *a)
{
	char *block = aligned_block();
	off_t at;

	for (at = 0; at < beside(&a->p) && a->p.is & IS_SMALL; at += MAX_UNITS * BK_PAGE)
		if (pread(a->p.fd, block, MAX_UNITS * BK_PAGE, at) < 0)
			return -errno;
	return 0;
}

static int write_back(const struct act *a)
{
	return said(fsync(a->p.fd));
}

static int forget_pages(const struct act *a)
{
	return -posix_fadvise(a->p.fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* ---- shared extents --------------------------------------------------------------------- */

/* Another file with what this one has in it now. */
static int make_twin(const struct act *a)
{
	char path[128], *block = aligned_block();
	off_t at, end = file_size(&a->p);
	ssize_t n;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/XXXXXX", a->p.dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	for (at = 0; at < end && !err; at += n) {
		n = pread(a->p.fd, block, MAX_UNITS * BK_PAGE, at);
		if (!n)
			break;
		if (n < 0 || pwrite(fd, block, n, at) != n)
			err = errno ? -errno : -EIO;
	}
	if (!err && !fsync(fd))
		return fd;
	err = err ? err : -errno;
	close(fd);
	return err;
}

static int clone_range(const struct act *a)
{
	struct file_clone_range r = {
		.src_offset = act_offset(a),
		.src_length = act_len(a),
		.dest_offset = act_offset(a),
	};
	int fd = make_twin(a), ret;

	if (fd < 0)
		return fd;
	r.src_fd = fd;
	ret = said(ioctl(a->p.fd, FICLONERANGE, &r));
	close(fd);
	return ret;
}

static int clone_all(const struct act *a)
{
	int fd = make_twin(a), ret;

	if (fd < 0)
		return fd;
	ret = said(ioctl(a->p.fd, FICLONE, fd));
	close(fd);
	return ret;
}

static int dedupe(const struct act *a)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} d = {
		.range = { .src_offset = act_offset(a), .src_length = act_len(a), .dest_count = 1 },
		.info = { .dest_fd = a->p.fd, .dest_offset = act_offset(a) },
	};
	int fd = make_twin(a), ret;

	if (fd < 0)
		return fd;
	ret = said(ioctl(fd, FIDEDUPERANGE, &d));
	close(fd);
	return ret ? ret : d.info.status < 0 ? d.info.status : 0;
}

/* ---- hugetlb: a hole beside a fault -------------------------------------------------------- */

struct faulter {
	const struct act *a;
	bool stop;
};

/* In a fault on another page nearly all the time. */
static void *fault_beside(void *arg)
{
	struct faulter *f = arg;
	const struct place *p = &f->a->p;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		if (fallocate(p->fd, PUNCH, beside(p), p->unit))
			break;
		touch_one(unit_at(p, p->first + p->n), true);
	}
	return NULL;
}

static int punch_beside_fault(const struct act *a)
{
	struct faulter f = { .a = a };
	pthread_t thread;
	int ret;

	if (pthread_create(&thread, NULL, fault_beside, &f))
		return -EAGAIN;
	usleep(1000 + rand() % 3000);
	ret = punch(a);
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	return ret;
}

const struct step file_steps[] = {
	{ "punch hole", REPLACES, BY_FD, IS_FILE, 0, 0, punch },
	{ "punch hole inside a page", REPLACES, BY_FD, IS_FILE | IS_SMALL, 0, 0, punch_part },
	{ "punch hole beside it", REPLACES, BY_FD, IS_FILE, 0, 0, punch_beside },
	{ "zero range", REPLACES, BY_FD, IS_EXTENTS, 0, 0, zero },
	{ "collapse range", REPLACES, BY_FD, IS_EXTENTS, 0, CUTS, collapse },
	{ "insert range", REPLACES, BY_FD, IS_EXTENTS, 0, 0, insert },
	{ "truncate", REPLACES, BY_FD, IS_FILE, 0, CUTS, truncate_page },
	{ "truncate inside a page", REPLACES, BY_FD, IS_FILE | IS_SMALL, 0, CUTS, truncate_inside },
	{ "truncate behind it", REPLACES, BY_FD, IS_FILE, 0, 0, truncate_behind },
	{ "truncate and back", REPLACES, BY_FD, IS_FILE, 0, CUTS, truncate_page_and_back },
	{ "truncate inside a page and back", REPLACES, BY_FD, IS_FILE | IS_SMALL, 0, CUTS,
	  truncate_inside_and_back },
	{ "truncate behind it and back", REPLACES, BY_FD, IS_FILE, 0, 0, truncate_behind_and_back },
	{ "truncate to 0 and back", REPLACES, BY_FD, IS_FILE, 0, CUTS, truncate_all_and_back },
	{ "truncate to the first size", BRINGS, BY_FD, IS_FILE, 0, 0, grow },
	{ "O_DIRECT write", REPLACES, BY_FD, IS_DIRECT, 0, 0, direct_write },
	{ "O_DIRECT write beside it", REPLACES, BY_FD, IS_DIRECT, 0, 0, direct_write_beside },
	{ "O_DIRECT read", TAKES, BY_FD, IS_DIRECT, 0, 0, direct_read },
	{ "write", REPLACES, BY_FD, IS_FILE | IS_SMALL, 0, 0, write_part },
	{ "read", BRINGS, BY_FD, IS_FILE | IS_SMALL, 0, 0, read_all },
	{ "fsync", TAKES, BY_FD, IS_DISK, 0, 0, write_back },
	{ "POSIX_FADV_DONTNEED", TAKES, BY_FD, IS_DISK, 0, 0, forget_pages },
	{ "clone range", REPLACES, BY_FD, IS_REFLINK, 0, 0, clone_range },
	{ "clone", REPLACES, BY_FD, IS_REFLINK, 0, 0, clone_all },
	{ "dedupe", REPLACES, BY_FD, IS_REFLINK, 0, 0, dedupe },
	{ "punch hole beside a fault", REPLACES, BY_SELF, IS_FILE | IS_HUGETLB, 0, 0,
	  punch_beside_fault },
};
const unsigned int file_step_count = sizeof(file_steps) / sizeof(file_steps[0]);
