/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * stuck_file.h - files that whoever closes them waits for, for ever
 *
 * Two servers of the FUSE protocol (tests/lib/fuse.h). A FUSE file, mounted by an
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

#include "tests/lib/fuse.h"
#include "tests/lib/tap.h"

#define CUSE_NAME	"belay-stuck"

struct stuck_server {
	int dev;
	uint32_t deaf;		/* to this request */
	int told;		/* a pipe: a byte for each of these */
};

static bool stuck_serve_own(void *arg, const struct fuse_in_header *ask)
{
	struct {
		struct cuse_init_out init;
		char name[64];
	} cuse = { { .major = 7, .minor = 31, .max_read = 4096, .max_write = 4096 },
		   "DEVNAME=" CUSE_NAME };
	const struct stuck_server *s = arg;

	if (ask->opcode == s->deaf) {
		if (write(s->told, "", 1) < 0)
			_exit(1);
		return true;
	}
	if (ask->opcode != CUSE_INIT)
		return false;
	fuse_reply(s->dev, ask->unique, 0, &cuse, sizeof(cuse.init) + strlen(cuse.name) + 1);
	return true;
}

static TAP_UNUSED void stuck_serve(void *arg)
{
	struct stuck_server *s = arg;

	fuse_serve(s->dev, 0, stuck_serve_own, s);
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
