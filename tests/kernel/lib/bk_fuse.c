// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/kernel/lib/bk_fuse.h"
#include "tests/lib/tap.h"

static void reply(int dev, uint64_t unique, int error, const void *data, size_t len)
{
	static char buf[sizeof(struct fuse_out_header) + BK_PAGE];
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof(head) + len),
		.error = error,
		.unique = unique,
	};

	memcpy(buf, &head, sizeof(head));
	memcpy(buf + sizeof(head), data, len);
	if (write(dev, buf, head.len) < 0 && errno != ENOENT)
		_exit(1);
}

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
	reply(f->dev, ask->unique, 0, page, BK_PAGE);
}

static void serve_write(const struct bk_fuse *f, const struct fuse_in_header *ask)
{
	const struct fuse_write_in *in = (const void *)(ask + 1);
	struct fuse_write_out out = { .size = in->size };

	if (f->slow == FUSE_WRITE)
		wait_to_answer(f);
	reply(f->dev, ask->unique, 0, &out, sizeof(out));
}

static void serve(void *arg)
{
	static char buf[1 << 17] __attribute__((aligned(8)));
	const struct bk_fuse *f = arg;
	struct fuse_init_out init = { .major = 7, .minor = 31, .max_write = 4096,
				      .max_background = 16 };
	struct fuse_attr_out attr = { .attr = { .ino = 1, .mode = S_IFREG | 0666, .nlink = 1,
						.size = f->size }, .attr_valid = 1000 };
	const struct fuse_in_header *ask = (const void *)buf;
	struct fuse_open_out open = { .fh = 1 };
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((n = read(f->dev, buf, sizeof(buf))) > 0 || errno == EINTR || errno == ENOENT) {
		if (n <= 0)
			continue;
		switch (ask->opcode) {
		case FUSE_INIT:
			reply(f->dev, ask->unique, 0, &init, sizeof(init));
			break;
		case FUSE_GETATTR:
			reply(f->dev, ask->unique, 0, &attr, sizeof(attr));
			break;
		case FUSE_OPEN:
			reply(f->dev, ask->unique, 0, &open, sizeof(open));
			break;
		case FUSE_READ:
			serve_read(f, ask);
			break;
		case FUSE_WRITE:
			serve_write(f, ask);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			break;
		default:
			reply(f->dev, ask->unique,
			      ask->opcode == FUSE_RELEASE || ask->opcode == FUSE_FLUSH ? 0 : -ENOSYS,
			      "", 0);
		}
	}
	_exit(0);
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
