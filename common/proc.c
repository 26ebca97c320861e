/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/proc.h"

#define STAT_PARENT	4	/* counted from 1, as in proc(5) */
#define STAT_START_TIME	22

/* Reads /proc/PID/NAME as text; the length, or -errno. */
static ssize_t read_file(pid_t pid, const char *name, char *buf, size_t len)
{
	char path[64];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, buf, len - 1);
	err = errno;
	close(fd);
	if (n < 0)
		return -err;
	buf[n] = '\0';
	return n;
}

/* A number from /proc/PID/stat, of a field behind the name. */
static int stat_field(pid_t pid, int wanted, uint64_t *ret)
{
	char buf[2048], *p;
	ssize_t n;
	int field;

	if (pid <= 0)
		return -ESRCH;
	n = read_file(pid, "stat", buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	/* Field 2 is the name in parentheses, which may hold anything. */
	p = strrchr(buf, ')');
	if (!p)
		return -ESRCH;
	for (field = 2; field < wanted; field++) {
		p = strchr(p + 1, ' ');
		if (!p)
			return -EIO;
	}
	return sscanf(p, "%" SCNu64, ret) == 1 ? 0 : -EIO;
}

int bl_proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
	return stat_field(pid, STAT_START_TIME, ret_ticks);
}

int bl_proc_parent(pid_t pid, pid_t *ret_parent)
{
	uint64_t n;
	int err = stat_field(pid, STAT_PARENT, &n);

	if (!err)
		*ret_parent = (pid_t)n;
	return err;
}

int bl_proc_command(pid_t pid, char *buf, size_t len)
{
	ssize_t n = read_file(pid, "comm", buf, len);

	if (n < 0) {
		buf[0] = '\0';
		return (int)n;
	}
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = '\0';
	bl_text_clean(buf);
	return 0;
}

int bl_proc_uids(pid_t pid, uid_t ret_uids[4])
{
	char buf[4096], *p;
	ssize_t n;

	n = read_file(pid, "status", buf, sizeof(buf));
	if (n < 0)
		return (int)n;
	/* The name is on the first line, escaped: no line of its own can be forged. */
	p = strstr(buf, "\nUid:");
	if (!p || sscanf(p + 5, "%u %u %u %u", &ret_uids[0], &ret_uids[1],
			 &ret_uids[2], &ret_uids[3]) != 4)
		return -EIO;
	return 0;
}

void bl_text_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}
