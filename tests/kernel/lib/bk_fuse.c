// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/kernel/lib/bk_fuse.h"
#include "tests/lib/fuse.h"
#include "tests/lib/tap.h"

static void wait_to_answer(const struct bk_fuse *f)
{
	if (__atomic_load_n(&f->s->now, __ATOMIC_ACQUIRE) == 2)
		return;
	bk_step(f->s, 1);
	while (__atomic_load_n(&f->s->now, __ATOMIC_ACQUIRE) != 2)
		usleep(1000);
}

static void serve_read(const struct bk_fuse *f, const struct fuse_in_header *ask)
{
	static const char page[BK_PAGE] = { 1 };
	const struct fuse_read_in *in = (const void *)(ask + 1);

	if (f->slow == FUSE_READ && in->offset)
		wait_to_answer(f);
	fuse_reply(f->dev, ask->unique, 0, page, BK_PAGE);
}

static void serve_write(const struct bk_fuse *f, const struct fuse_in_header *ask)
{
	const struct fuse_write_in *in = (const void *)(ask + 1);
	struct fuse_write_out out = { .size = in->size };

	if (f->slow == FUSE_WRITE)
		wait_to_answer(f);
	fuse_reply(f->dev, ask->unique, 0, &out, sizeof(out));
}

static bool serve_pages(void *arg, const struct fuse_in_header *ask)
{
	const struct bk_fuse *f = arg;

	if (ask->opcode == FUSE_READ)
		serve_read(f, ask);
	else if (ask->opcode == FUSE_WRITE)
		serve_write(f, ask);
	else
		return false;
	return true;
}

static void serve(void *arg)
{
	struct bk_fuse *f = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fuse_serve(f->dev, f->size, serve_pages, f);
}

int bk_fuse_open(struct bk_fuse *f, uint32_t slow, size_t size)
{
	char options[128];
	struct stat st;
	int fd;

	CHECK_EQ(system("modprobe -q fuse || grep -qw fuse /proc/filesystems"), 0);
	*f = (struct bk_fuse) {
		.dev = CHECK_SYS(open("/dev/fuse", O_RDWR | O_CLOEXEC)),
		.slow = slow,
		.size = size,
		.s = bk_steps(),
	};
	snprintf(f->path, sizeof(f->path), "/tmp/slow.%d", getpid());
	close(CHECK_SYS(open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0666)));
	snprintf(options, sizeof(options), "fd=%d,rootmode=100666,user_id=0,group_id=0", f->dev);
	CHECK_SYS(mount("slow", f->path, "fuse", 0, options));
	f->pid = tap_spawn(serve, f);
	close(f->dev);
	fd = CHECK_SYS(open(f->path, O_RDWR | O_CLOEXEC));
	/* Before, it has no length. */
	CHECK_SYS(fstat(fd, &st));
	CHECK_EQ((size_t)st.st_size, size);
	return fd;
}

void bk_fuse_end(struct bk_fuse *f)
{
	umount2(f->path, MNT_DETACH);
	unlink(f->path);
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
}
