/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * process.h - who is at the other end, and acts upon processes
 *
 * A process is its pid and start time. Every act compares the start time
 * before and after; what hit a stranger that got the pid in between is undone
 * where it can be (a limit), or cannot hit one (a signal, through a pidfd).
 */
#ifndef BL_PROCESS_H
#define BL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	uint64_t start_time;
	uid_t uids[3];		/* real, effective and saved, when it connected */
};

struct bl_memlock {
	uint64_t soft;		/* BL_UNLIMITED: RLIM_INFINITY */
	uint64_t hard;
};

/*
 * bl_process_peer - who connected this socket
 *
 * Returns 0, or -ESRCH: it is gone, or has another uid, or cannot be seen from
 * here (another pid namespace). -EMFILE, -ENFILE, -ENOMEM: belayd cannot look.
 */
int bl_process_peer(int fd, struct bl_peer *ret);

/* bl_process_in_group - is the peer of this socket a member, by any of its groups? */
bool bl_process_in_group(int fd, const struct bl_peer *peer, gid_t gid);

/* bl_process_check - 0 if that process is still that process, or -ESRCH */
int bl_process_check(pid_t pid, uint64_t start_time);

/* bl_process_is_same_user - has it changed its user since it connected? 0, -EACCES, -ESRCH */
int bl_process_is_same_user(const struct bl_peer *peer);

/* bl_process_clock - now, in the unit and from the beginning of start times */
uint64_t bl_process_clock(void);
/* The same of a time in ns of CLOCK_BOOTTIME */
uint64_t bl_process_clock_at(uint64_t boottime_ns);

/* bl_process_get_memlock, bl_process_set_memlock - its RLIMIT_MEMLOCK; 0 or -errno */
int bl_process_get_memlock(pid_t pid, uint64_t start_time, struct bl_memlock *ret);
int bl_process_set_memlock(pid_t pid, uint64_t start_time,
			   const struct bl_memlock *want);

/* bl_process_kill - SIGKILL; 0, -ESRCH or another negative errno */
int bl_process_kill(pid_t pid, uint64_t start_time);

#endif
