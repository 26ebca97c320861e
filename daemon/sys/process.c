/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/proc.h"
#include "common/units.h"
#include "daemon/sys/process.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD	77	/* since Linux 6.5 */
#endif


/* In the order of process.h: an identity, then its acts. */

static int open_pidfd(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

	return pidfd < 0 ? -errno : pidfd;
}

static int signal_pidfd(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) ? -errno : 0;
}

/*
 * Holds the peer itself where the kernel can say (SO_PEERPIDFD); before 6.5
 * only whoever has its pid now, which the uid check narrows down.
 */
static int peer_pidfd(int fd, pid_t pid)
{
	socklen_t len = sizeof(int);
	int pidfd;

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len))
		return pidfd;
	if (errno != ENOPROTOOPT)
		return -errno;
	return open_pidfd(pid);
}

/* Also notes which ones it has. */
static int check_uid(struct bl_peer *peer)
{
	uid_t uids[4];
	int err = bl_proc_uids(peer->pid, uids);
	int i;

	if (err)
		return err;
	for (i = 0; i < 3; i++)
		peer->uids[i] = uids[i];
	return uids[0] == peer->uid || uids[1] == peer->uid || uids[2] == peer->uid ?
		       0 : -ESRCH;
}

/* What belayd has run out of says nothing about the peer; all else does. */
static int peer_error(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM ? err : -ESRCH;
}

int bl_process_peer(int fd, struct bl_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int pidfd, err;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	if (cred.pid <= 0)
		return -ESRCH;
	pidfd = peer_pidfd(fd, cred.pid);
	if (pidfd < 0)
		return peer_error(pidfd);
	ret->pid = cred.pid;
	ret->uid = cred.uid;
	ret->gid = cred.gid;
	/* Alive after the start time was read: it was its own. */
	err = bl_proc_start_time(cred.pid, &ret->start_time);
	if (!err)
		err = check_uid(ret);
	if (!err && signal_pidfd(pidfd, 0) == -ESRCH)
		err = -ESRCH;
	close(pidfd);
	return err ? peer_error(err) : 0;
}

bool bl_process_in_group(int fd, const struct bl_peer *peer, gid_t gid)
{
	gid_t *groups = NULL;
	socklen_t len = 0, i;
	bool found = peer->gid == gid;

	if (found || !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) ||
	    errno != ERANGE)
		return found;
	groups = malloc(len);
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		for (i = 0; i < len / sizeof(*groups); i++)
			found |= groups[i] == gid;
	free(groups);
	return found;
}

int bl_process_check(pid_t pid, uint64_t start_time)
{
	uint64_t now;
	int err = bl_proc_start_time(pid, &now);

	if (err)
		return err;
	return now == start_time ? 0 : -ESRCH;
}

/*
 * A set-uid program that inherits a connection, and a process that has given up
 * its rights, are not who connected. (That the process is granted nothing in
 * another's name is seen to by the module, with all threads and at that instant;
 * this sees a program that hides its rights in its saved uid, too.)
 */
int bl_process_is_same_user(const struct bl_peer *peer)
{
	uid_t uids[4];
	int err = bl_proc_uids(peer->pid, uids);

	if (!err)
		err = bl_process_check(peer->pid, peer->start_time);
	if (err)
		return err;
	return memcmp(uids, peer->uids, sizeof(peer->uids)) ? -EACCES : 0;
}

uint64_t bl_process_clock(void)
{
	return bl_process_clock_at(bl_boottime());
}

uint64_t bl_process_clock_at(uint64_t boottime_ns)
{
	return boottime_ns / (BL_NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t from_rlim(rlim_t v)
{
	return v == RLIM_INFINITY ? BL_UNLIMITED : v;
}

static rlim_t to_rlim(uint64_t v)
{
	return v == BL_UNLIMITED ? RLIM_INFINITY : v;
}

int bl_process_get_memlock(pid_t pid, uint64_t start_time, struct bl_memlock *ret)
{
	struct rlimit rl;
	int err;

	if (prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl))
		return -errno;
	err = bl_process_check(pid, start_time);
	if (err)
		return err;
	ret->soft = from_rlim(rl.rlim_cur);
	ret->hard = from_rlim(rl.rlim_max);
	return 0;
}

int bl_process_set_memlock(pid_t pid, uint64_t start_time,
			   const struct bl_memlock *want)
{
	struct rlimit rl = { to_rlim(want->soft), to_rlim(want->hard) }, old;
	int err;

	err = bl_process_check(pid, start_time);
	if (err)
		return err;
	if (prlimit(pid, RLIMIT_MEMLOCK, &rl, &old))
		return -errno;
	err = bl_process_check(pid, start_time);
	if (!err)
		return 0;
	/* Somebody else has the pid now, or may have: give back what was taken. */
	prlimit(pid, RLIMIT_MEMLOCK, &old, NULL);
	return err;
}

int bl_process_kill(pid_t pid, uint64_t start_time)
{
	int pidfd = open_pidfd(pid), err;

	if (pidfd < 0)
		return pidfd;
	err = bl_process_check(pid, start_time);
	if (!err)
		err = signal_pidfd(pidfd, SIGKILL);
	close(pidfd);
	return err;
}
