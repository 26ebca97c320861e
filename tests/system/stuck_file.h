/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * stuck_file.h - files that whoever closes them waits for, for ever
 *
 * Two servers of the FUSE protocol, without a library. A FUSE file, mounted by an
 * unprivileged user in his own namespaces: FLUSH is never answered, which each
 * close() waits for. A CUSE file: RELEASE is never answered, which whoever drops the
 * last reference waits for, without calling close(). Both waits end with the server,
 * so the server is a process of its own that has no such file open.
 */
#ifndef STUCK_FILE_H
#define STUCK_FILE_H

#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "tests/lib/tap.h"

#define CUSE_NAME	"belay-stuck"

struct stuck_server {
	int dev;
	uint32_t deaf;		/* to this request */
	int told;		/* a pipe: a byte for each of these */
};

static void stuck_answer(int dev, uint64_t unique, int error, const void *data, size_t len)
{
	struct {
		struct fuse_out_header head;
		char data[512];
	} out = { .head = { .len = (uint32_t)(sizeof(out.head) + len), .error = error,
			    .unique = unique } };

	memcpy(out.data, data, len);
	if (write(dev, &out, out.head.len) < 0 && errno != ENOENT)
		_exit(1);
}

static void stuck_serve_one(const struct stuck_server *s, const struct fuse_in_header *ask)
{
	struct {
		struct cuse_init_out init;
		char name[64];
	} cuse = { { .major = 7, .minor = 31, .max_read = 4096, .max_write = 4096 },
		   "DEVNAME=" CUSE_NAME };
	struct fuse_init_out init = { .major = 7, .minor = 31, .max_readahead = 4096,
				      .max_write = 65536, .max_background = 16 };
	struct fuse_attr_out attr = { .attr = { .ino = 1, .mode = S_IFREG | 0666, .nlink = 1 },
				      .attr_valid = 1000 };
	struct fuse_open_out open = { .fh = 1 };

	if (ask->opcode == s->deaf) {
		if (write(s->told, "", 1) < 0)
			_exit(1);
		return;
	}
	switch (ask->opcode) {
	case FUSE_INIT:
		stuck_answer(s->dev, ask->unique, 0, &init, sizeof(init));
		break;
	case CUSE_INIT:
		stuck_answer(s->dev, ask->unique, 0, &cuse,
			     sizeof(cuse.init) + strlen(cuse.name) + 1);
		break;
	case FUSE_GETATTR:
		stuck_answer(s->dev, ask->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		stuck_answer(s->dev, ask->unique, 0, &open, sizeof(open));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		stuck_answer(s->dev, ask->unique, ask->opcode == FUSE_RELEASE ? 0 : -ENOSYS, "", 0);
	}
}

static TAP_UNUSED void stuck_serve(void *arg)
{
	static char buf[1 << 17] __attribute__((aligned(8)));
	const struct stuck_server *s = arg;

	for (;;) {
		ssize_t n = read(s->dev, buf, sizeof(buf));

		if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			_exit(0);
		if (n > 0)
			stuck_serve_one(s, (struct fuse_in_header *)buf);
	}
}

static void stuck_write(const char *path, const char *text)
{
	int fd = CHECK_SYS(open(path, O_WRONLY));

	CHECK_SYS(write(fd, text, strlen(text)));
	close(fd);
}

/*
 * Called by an ordinary user: a descriptor of a FUSE file of his own. *told: becomes
 * readable when somebody waits. Do not close it before the server has been killed.
 */
static TAP_UNUSED int stuck_fuse(pid_t *server, int *told)
{
	static struct stuck_server s;
	unsigned int uid = getuid(), gid = getgid();
	char text[128], path[64];
	int fd, pair[2];

	/* Whoever has given up root's ids cannot write its own maps else. */
	CHECK_SYS(prctl(PR_SET_DUMPABLE, 1));
	CHECK_SYS(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	stuck_write("/proc/self/setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	stuck_write("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	stuck_write("/proc/self/gid_map", text);
	snprintf(path, sizeof(path), "/tmp/stuck.%d", getpid());
	close(CHECK_SYS(open(path, O_CREAT | O_RDWR, 0666)));
	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	s = (struct stuck_server){ CHECK_SYS(open("/dev/fuse", O_RDWR | O_CLOEXEC)),
				   FUSE_FLUSH, pair[1] };
	snprintf(text, sizeof(text), "fd=%d,rootmode=100666,user_id=%u,group_id=%u",
		 s.dev, uid, gid);
	CHECK_SYS(mount("stuck", path, "fuse", 0, text));
	*server = tap_spawn(stuck_serve, &s);
	close(s.dev);
	close(pair[1]);
	*told = pair[0];
	fd = CHECK_SYS(open(path, O_RDONLY | O_CLOEXEC));
	return fd;
}

/* Called by root: /dev/belay-stuck, which anybody may open. */
static TAP_UNUSED pid_t stuck_cuse(int *told)
{
	static struct stuck_server s;
	int pair[2];
	pid_t pid;

	CHECK_SYS(pipe2(pair, O_CLOEXEC));
	s = (struct stuck_server){ CHECK_SYS(open("/dev/cuse", O_RDWR | O_CLOEXEC)),
				   FUSE_RELEASE, pair[1] };
	pid = tap_spawn(stuck_serve, &s);
	close(s.dev);
	close(pair[1]);
	*told = pair[0];
	CHECK_SOON(!access("/dev/" CUSE_NAME, F_OK), 10);
	CHECK_SYS(chmod("/dev/" CUSE_NAME, 0666));
	return pid;
}

#endif
