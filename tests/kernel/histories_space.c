// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Steps that are done to a mapping: entries of the page table are taken away, pages
 * replaced, entries brought back. Each has what the kernel said, 0 or -errno; whether
 * that is a fault is the runner's to know.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif
/* glibc has no name for it; the page is taken out of use. */
#define MADV_SOFT_OFFLINE_	101
#define MOVE_ALL		4
/* Since Linux 6.6; not in the headers of Debian 12. */
#define POISON_FEATURE		(1U << 14)

struct poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON_		_IOWR(UFFDIO, 0x08, struct poison)

static int said(long ret)
{
	return ret < 0 ? -errno : 0;
}

static int advise(const struct act *a, int advice)
{
	return said(madvise(act_start(a), act_len(a), advice));
}

static int nothing(const struct act *a)
{
	(void)a;
	return 0;
}

/* ---- entries go -------------------------------------------------------------------- */

static int dontneed(const struct act *a)
{
	return advise(a, MADV_DONTNEED);
}

static int dontneed_all(const struct act *a)
{
	return said(madvise(a->p.map, a->p.units * a->p.unit, MADV_DONTNEED));
}

/* By the other process, too, which names the first by a pidfd. */
static int pageout(const struct act *a)
{
	struct iovec range = { act_start(a), act_len(a) };
	int fd, ret;

	if (a->p.pid == getpid())
		return advise(a, MADV_PAGEOUT);
	fd = syscall(SYS_pidfd_open, a->p.pid, 0);
	if (fd < 0)
		return -errno;
	ret = said(syscall(SYS_process_madvise, fd, &range, 1, MADV_PAGEOUT, 0));
	close(fd);
	return ret;
}

static int lazy_free(const struct act *a)
{
	return advise(a, MADV_FREE);
}

static int cold(const struct act *a)
{
	return advise(a, MADV_COLD);
}

static int protect(const struct act *a, int prot)
{
	return said(mprotect(act_start(a), act_len(a), prot));
}

static int protect_and_back(const struct act *a)
{
	int ret = protect(a, PROT_NONE);

	return ret ? ret : protect(a, a->p.prot);
}

static int protect_none(const struct act *a)
{
	return protect(a, PROT_NONE);
}

static int protect_read(const struct act *a)
{
	return protect(a, PROT_READ);
}

static int move_and_back(const struct act *a)
{
	char *from = act_start(a);
	size_t len = act_len(a);

	if (mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, a->p.scratch) == MAP_FAILED)
		return -errno;
	if (mremap(a->p.scratch, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, from) == MAP_FAILED)
		return -errno;
	return 0;
}

static int move_leave_mapping(const struct act *a)
{
	size_t len = act_len(a);

	if (mremap(act_start(a), len, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		   a->p.scratch) == MAP_FAILED)
		return -errno;
	return said(munmap(a->p.scratch, len));
}

static int reclaim(const struct act *a)
{
	static char path[256];
	char line[200] = "";
	FILE *f;
	int fd;

	(void)a;
	if (!path[0]) {
		f = fopen("/proc/self/cgroup", "r");
		if (!f || !fgets(line, sizeof(line), f) || strncmp(line, "0::", 3))
			line[0] = 0;
		if (f)
			fclose(f);
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.reclaim",
			 line[0] ? line + 3 : "");
	}
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* EAGAIN: less than that could be had. */
	if (write(fd, "256K", 4) < 0 && errno != EAGAIN) {
		close(fd);
		return -errno;
	}
	close(fd);
	return 0;
}

static int drop_caches(const struct act *a)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	int ret;

	(void)a;
	if (fd < 0)
		return -errno;
	ret = said(write(fd, "1", 1));
	close(fd);
	return ret;
}

/* ---- fork --------------------------------------------------------------------------- */

static int fork_and(const struct act *a, bool child_writes, bool parent_writes)
{
	bool write = a->p.prot & PROT_WRITE;
	int down[2], ret = 0;
	pid_t pid;
	char c = 0;

	if (pipe(down))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		close(down[1]);
		touch_units(&a->p, a->first, a->n, child_writes && write);
		/* Lives until the parent has done its part. */
		_exit(read(down[0], &c, 1) < 0);
	}
	close(down[0]);
	if (parent_writes)
		touch_units(&a->p, a->first, a->n, write);
	close(down[1]);
	if (waitpid(pid, NULL, 0) < 0)
		ret = -errno;
	return ret;
}

static int fork_child_writes(const struct act *a)
{
	return fork_and(a, true, false);
}

static int fork_parent_writes(const struct act *a)
{
	return fork_and(a, false, true);
}

/* ---- pages go ------------------------------------------------------------------------- */

static int map_again(const struct act *a)
{
	char *at = act_start(a);
	size_t len = act_len(a);

	if (munmap(at, len))
		return -errno;
	return mmap(at, len, a->p.prot, a->p.flags | MAP_FIXED, a->p.fd,
		    a->p.fd < 0 ? 0 : act_offset(a)) == MAP_FAILED ? -errno : 0;
}

static int map_over(const struct act *a)
{
	int huge = a->p.is & IS_HUGETLB ? MAP_HUGETLB : 0;

	return mmap(act_start(a), act_len(a), PROT_READ | PROT_WRITE, MAP_PRIVATE |
		    MAP_ANONYMOUS | MAP_FIXED | huge, -1, 0) == MAP_FAILED ? -errno : 0;
}

/* Of this mapping, or of one of its own in the other process. */
static int remove_pages(const struct act *a)
{
	char *own;
	int ret;

	if (a->p.fd < 0 || a->p.pid == getpid())
		return advise(a, MADV_REMOVE);
	own = mmap(NULL, act_len(a), PROT_READ | PROT_WRITE, MAP_SHARED, a->p.fd, act_offset(a));
	if (own == MAP_FAILED)
		return -errno;
	ret = said(madvise(own, act_len(a), MADV_REMOVE));
	munmap(own, act_len(a));
	return ret;
}

static int to_other_node(const struct act *a)
{
	int nodes[MAX_UNITS], status[MAX_UNITS];
	void *pages[MAX_UNITS];
	unsigned int i, n = a->n < MAX_UNITS ? a->n : MAX_UNITS;

	for (i = 0; i < n; i++) {
		pages[i] = act_start(a) + i * a->p.unit;
		nodes[i] = -1;
	}
	/* Where are they? */
	if (syscall(SYS_move_pages, a->p.pid, n, pages, NULL, status, 0) < 0)
		return -errno;
	for (i = 0; i < n; i++)
		nodes[i] = status[i] == 0;
	return syscall(SYS_move_pages, a->p.pid, n, pages, nodes, status, MOVE_ALL) < 0 ?
	       -errno : 0;
}

static int collapse(const struct act *a)
{
	return said(madvise(a->p.map, BK_HUGE, MADV_COLLAPSE));
}

static int soft_offline(const struct act *a)
{
	int ret = said(madvise(act_start(a), a->p.unit, MADV_SOFT_OFFLINE_));

	/* A page that is pinned stays. */
	return ret == -EBUSY ? 0 : ret;
}

static int poison_page(const struct act *a)
{
	return said(madvise(act_start(a), a->p.unit, MADV_HWPOISON));
}

/* As if the memory had failed: whoever asks for it is sent the signal, too. */
static int hwpoison(const struct act *a)
{
	int ret = guarded(poison_page, a);

	return ret == -EFAULT ? 0 : ret;
}

/* ---- userfaultfd ------------------------------------------------------------------------ */

static int uffd_open(const struct act *a, uint64_t features, uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register r = {
		.range = { (uintptr_t)act_start(a), act_len(a) },
		.mode = mode,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &r))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* A marker in each entry that is empty; the descriptor goes, the markers stay. */
static int poison_markers(const struct act *a)
{
	struct poison z = {};
	unsigned int i;
	int fd, ret = -EEXIST;

	fd = uffd_open(a, POISON_FEATURE, UFFDIO_REGISTER_MODE_MISSING);
	if (fd < 0)
		return fd;
	for (i = 0; i < a->n; i++) {
		z.range.start = (uintptr_t)act_start(a) + i * a->p.unit;
		z.range.len = a->p.unit;
		if (!ioctl(fd, UFFDIO_POISON_, &z))
			ret = 0;
		else if (errno != EEXIST)
			ret = -errno;
	}
	close(fd);
	/* All were there: it has been tried. */
	return ret == -EEXIST ? 0 : ret;
}

static int poison_after_dontneed(const struct act *a)
{
	int ret = dontneed(a);

	return ret ? ret : poison_markers(a);
}

/* Write protection and its markers, which go with the descriptor. */
static int write_protect_markers(const struct act *a)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)act_start(a), act_len(a) },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = uffd_open(a, 0, UFFDIO_REGISTER_MODE_WP), ret;

	if (fd < 0)
		return fd;
	ret = said(ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	close(fd);
	return ret;
}

/* ---- entries come back -------------------------------------------------------------------- */

static int touch_read(const struct act *a)
{
	touch_units(&a->p, a->first, a->n, false);
	return 0;
}

static int touch_write(const struct act *a)
{
	touch_units(&a->p, a->first, a->n, true);
	return 0;
}

static int touch_all(const struct act *a)
{
	touch_units(&a->p, a->p.first - 1, a->p.n + 2, false);
	return 0;
}

/* Behind where the file may end now, in the same folio. */
static int touch_last(const struct act *a)
{
	touch_one(unit_at(&a->p, a->p.units - 1), false);
	touch_one(unit_at(&a->p, a->p.first + a->p.n - 1), false);
	return 0;
}

static int touch_first(const struct act *a)
{
	touch_one(unit_at(&a->p, 0), false);
	touch_one(unit_at(&a->p, a->p.first - 1), false);
	return 0;
}

/* Of what cannot be had, the call says so; that is an answer, too. */
static int populate_read(const struct act *a)
{
	(void)!advise(a, MADV_POPULATE_READ);
	return 0;
}

static int populate_write(const struct act *a)
{
	(void)!advise(a, MADV_POPULATE_WRITE);
	return 0;
}

static int will_need(const struct act *a)
{
	return advise(a, MADV_WILLNEED);
}

/* The module's worker looks by itself. */
static int wait_for_worker(const struct act *a)
{
	(void)a;
	usleep(15000);
	return 0;
}

const struct step space_steps[] = {
	{ "nothing", TAKES, BY_SELF, 0, 0, 0, nothing },
	{ "MADV_DONTNEED", TAKES, BY_MM, 0, 0, DROPS, dontneed },
	{ "MADV_DONTNEED of all", TAKES, BY_MM, 0, 0, DROPS, dontneed_all },
	{ "MADV_PAGEOUT", TAKES, BY_MM | BY_OTHER, IS_SMALL, 0, SWAPS, pageout },
	{ "MADV_FREE", TAKES, BY_MM, IS_ANON, 0, 0, lazy_free },
	{ "MADV_COLD", TAKES, BY_MM, IS_SMALL, 0, 0, cold },
	{ "mprotect(NONE) and back", TAKES, BY_MM, 0, 0, 0, protect_and_back },
	{ "mprotect(NONE)", TAKES, BY_MM, 0, 0, HIDES, protect_none },
	{ "mprotect(READ)", TAKES, BY_MM, IS_WRITABLE, 0, HIDES, protect_read },
	{ "mremap away and back", TAKES, BY_MM, 0, 0, UNMAPS, move_and_back },
	{ "mremap(DONTUNMAP)", TAKES, BY_MM, IS_SMALL, 0, UNMAPS, move_leave_mapping },
	{ "memory.reclaim", TAKES, BY_SELF | BY_OTHER, 0, 0, SWAPS, reclaim },
	{ "drop_caches", TAKES, BY_OTHER, IS_DISK, 0, 0, drop_caches },
	{ "fork, the child writes", TAKES, BY_SELF | BY_THREAD, 0, 0, 0, fork_child_writes },
	{ "fork, the parent writes", REPLACES, BY_SELF | BY_THREAD, 0, 0, 0, fork_parent_writes },
	{ "munmap, mmap the same", REPLACES, BY_MM, 0, 0, UNMAPS, map_again },
	{ "mmap(FIXED) over it", REPLACES, BY_MM, 0, 0, UNMAPS, map_over },
	{ "MADV_REMOVE", REPLACES, BY_MM, IS_SHARED | IS_WRITABLE, IS_FILE, 0, remove_pages },
	{ "MADV_REMOVE", REPLACES, BY_MM | BY_OTHER, IS_SHARED | IS_WRITABLE | IS_FILE, 0, 0,
	  remove_pages },
	{ "move_pages to the other node", REPLACES, BY_SELF | BY_OTHER, 0, 0, 0, to_other_node },
	{ "MADV_COLLAPSE", REPLACES, BY_MM, IS_WIDE, 0, 0, collapse },
	{ "MADV_SOFT_OFFLINE", REPLACES, BY_SELF, IS_SMALL, IS_WIDE, 0, soft_offline },
	{ "MADV_HWPOISON", REPLACES, BY_SELF, IS_SMALL, IS_WIDE, SPOILS, hwpoison },
	{ "UFFDIO_POISON", REPLACES, BY_SELF | BY_THREAD, 0, IS_DISK, NEWER | POISONS,
	  poison_markers },
	{ "DONTNEED and UFFDIO_POISON", REPLACES, BY_SELF | BY_THREAD, 0, IS_DISK,
	  NEWER | DROPS | POISONS, poison_after_dontneed },
	{ "UFFDIO_WRITEPROTECT for a while", TAKES, BY_SELF | BY_THREAD, 0, IS_DISK, 0,
	  write_protect_markers },
	{ "read access", BRINGS, BY_MM, 0, 0, 0, touch_read },
	{ "write access", BRINGS, BY_MM, IS_WRITABLE, 0, 0, touch_write },
	{ "access around it", BRINGS, BY_MM, 0, 0, 0, touch_all },
	{ "access to the last page", BRINGS, BY_MM, 0, 0, 0, touch_last },
	{ "access to the first page", BRINGS, BY_MM, 0, 0, 0, touch_first },
	{ "MADV_POPULATE_READ", BRINGS, BY_MM, 0, 0, 0, populate_read },
	{ "MADV_POPULATE_WRITE", BRINGS, BY_MM, IS_WRITABLE, 0, 0, populate_write },
	{ "MADV_WILLNEED", BRINGS, BY_MM, IS_FILE | IS_SMALL, 0, 0, will_need },
	{ "another process maps it", BRINGS, BY_OTHER, IS_FILE, 0, 0, other_maps },
	{ "a wait", BRINGS, BY_SELF, 0, 0, 0, wait_for_worker },
	{ "BELAY_CHECK", BRINGS, BY_SELF, 0, 0, 0, NULL },
};
const unsigned int space_step_count = sizeof(space_steps) / sizeof(space_steps[0]);
