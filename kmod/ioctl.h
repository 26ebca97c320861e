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
 *
 * A command on an array of entries has, instead of a handler, functions for one entry.
 * Entries are handled in their order, each with a status of its own.
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

/* The largest argument and the largest entry: they are copied to the stack. */
#define BELAY_ARG_MAX		256
#define BELAY_ENTRY_MAX		128

/* How the arguments of all commands on an array of entries begin. */
struct belay_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 done;
	__u32 reserved;
};

/*
 * @size: today's; @min_size: the first release's
 * @status: offset of the entry's __s32 status
 * @one: the status of one entry
 * @undo: the entry, whose status is 0, could not be written back. NULL: that is no loss
 */
struct belay_entries {
	size_t size;
	size_t min_size;
	size_t status;
	int (*one)(struct belay_call *call, void *entry);
	void (*undo)(struct belay_call *call, void *entry);
};

/*
 * @restricted: only for those whom the file's permit() lets
 * @size, @min_size: of the argument, as of an entry
 */
struct belay_command {
	unsigned int cmd;
	bool restricted;
	size_t size;
	size_t min_size;
	int (*handler)(struct belay_call *call);
	struct belay_entries entries;
};

#define BELAY_SIZES(type, min, max)						\
	.size = sizeof(struct type) + BUILD_BUG_ON_ZERO(sizeof(struct type) < (min)) + \
		BUILD_BUG_ON_ZERO(sizeof(struct type) > (max)),			\
	.min_size = min

#define BELAY_COMMAND(nr, type, min, fn, ...)					\
	{ .cmd = nr, BELAY_SIZES(type, min, BELAY_ARG_MAX), .handler = fn, __VA_ARGS__ }

#define BELAY_BATCH(nr, type, min, entry, entry_min, fn, ...)			\
	{ .cmd = nr, .restricted = true, BELAY_SIZES(type, min, BELAY_ARG_MAX),	\
	  .entries = {								\
		BELAY_SIZES(entry, entry_min, BELAY_ENTRY_MAX),			\
		.status = offsetof(struct entry, status) +			\
			  BUILD_BUG_ON_ZERO(offsetof(struct type, reserved) !=	\
					    offsetof(struct belay_batch, reserved)), \
		.one = fn, __VA_ARGS__ } }

long belay_ioctl(struct file *file, const struct belay_command *table, size_t n,
		 int (*permit)(struct file *file), unsigned int cmd, unsigned long arg);
int belay_ioctl_reply(struct belay_call *call);
int belay_ioctl_info(struct belay_call *call);

/*
 * Arrays. The count and the size of an entry are checked once: 0, or an errno.
 * Entries are read, with zeroes for what the user does not know, and written back
 * with their results; after -E2BIG the entry is as the user has it, so that writing
 * it back tells the status and nothing else. Rows are only written, with zeroes in
 * what is not known here.
 */
int belay_array_check(u32 count, u32 entry_size, size_t min_size);
int belay_entry_read(void *entry, size_t known, u64 array, u32 entry_size, u32 i);
int belay_entry_write(const void *entry, size_t known, u64 array,
		      u32 entry_size, u32 i);
int belay_row_write(const void *row, size_t known, u64 array, u32 row_size, u32 i);

#endif
