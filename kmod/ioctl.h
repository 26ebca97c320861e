/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * ioctl.h - the argument rules of the ABI, once for all commands
 *
 * A file has a table of commands; belay_ioctl() finds the command, copies the
 * argument in by the size that it begins with, calls the handler and copies
 * the argument back, also after an error (some fields tell of it). A handler
 * that makes something which must be undone if the answer cannot be delivered
 * calls belay_ioctl_reply() itself, at the point where it still can.
 */
#ifndef BELAY_IOCTL_H
#define BELAY_IOCTL_H

#include <linux/fs.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <uapi/linux/belay.h>

struct belay_call {
	struct file *file;
	void __user *user;
	size_t user_size;
	size_t size;
	bool replied;
	void *arg;
};

struct belay_command {
	unsigned int cmd;
	size_t size;
	int (*handler)(struct belay_call *call);
};

long belay_ioctl(struct file *file, const struct belay_command *table, size_t n,
		 unsigned int cmd, unsigned long arg);
int belay_ioctl_reply(struct belay_call *call);
int belay_ioctl_info(struct belay_call *call);

/*
 * Arrays. The count and the size of an entry are checked once: 0, or an errno.
 * Entries are read and written back with their results; after -E2BIG the entry
 * is as the user has it, so that writing it back tells the status and nothing
 * else. Rows are only written, with zeroes in what is not known here.
 */
int belay_array_check(u32 count, u32 entry_size, size_t known);
int belay_entry_read(void *entry, size_t known, u64 array, u32 entry_size, u32 i);
int belay_entry_write(const void *entry, size_t known, u64 array,
		      u32 entry_size, u32 i);
int belay_row_write(const void *row, size_t known, u64 array, u32 row_size, u32 i);

#endif
