/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * proc.h - what /proc says of a process
 *
 * A pid alone names nobody for long: pid and start time do. Read the start
 * time before and after an act upon a process, and compare.
 */
#ifndef BL_PROC_H
#define BL_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * bl_proc_start_time - field 22 of /proc/PID/stat, clock ticks after boot
 *
 * Returns 0, -ESRCH (no such process, or a zombie's last moment), or another
 * negative errno.
 */
int bl_proc_start_time(pid_t pid, uint64_t *ret_ticks);

/* bl_proc_parent - the process that it is a child of now; 0: none. 0 or -errno */
int bl_proc_parent(pid_t pid, pid_t *ret_parent);

/* bl_proc_command - its name ("comm"), printable; 0 or a negative errno, then "" */
int bl_proc_command(pid_t pid, char *buf, size_t len);

/* bl_proc_uids - real, effective, saved and file system uid; 0 or -errno */
int bl_proc_uids(pid_t pid, uid_t ret_uids[4]);

/* bl_text_clean - replace what would upset a terminal or a log: all but printable ASCII */
void bl_text_clean(char *text);

#endif
