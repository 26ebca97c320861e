// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* ioctl.c - see ioctl.h */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "belay.h"
#include "ioctl.h"

int belay_ioctl_reply(struct belay_call *call)
{
	call->replied = true;
	*(u32 *)call->arg = call->user_size;
	return copy_to_user(call->user, call->arg,
			    min(call->user_size, call->size)) ? -EFAULT : 0;
}

static int handle_batch(struct belay_call *call, const struct belay_entries *entries)
{
	u64 entry[BELAY_ENTRY_MAX / sizeof(u64)];
	struct belay_batch *arg = call->arg;
	int ret;

	if (arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	ret = belay_array_check(arg->count, arg->entry_size, entries->min_size);
	if (ret)
		return ret;

	for (arg->done = 0; arg->done < arg->count; arg->done++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = belay_entry_read(entry, entries->size, arg->entries,
				       arg->entry_size, arg->done);
		if (ret == -EFAULT)
			return ret;
		if (!ret)
			ret = entries->one(call, entry);
		*(s32 *)((char *)entry + entries->status) = ret;
		if (belay_entry_write(entry, entries->size, arg->entries,
				      arg->entry_size, arg->done)) {
			if (!ret && entries->undo)
				entries->undo(call, entry);
			return -EFAULT;
		}
		cond_resched();
	}
	return 0;
}

long belay_ioctl(struct file *file, const struct belay_command *table, size_t n,
		 int (*permit)(struct file *file), unsigned int cmd, unsigned long arg)
{
	u64 buf[BELAY_ARG_MAX / sizeof(u64)] = {};
	struct belay_call call = {
		.file = file, .user = (void __user *)arg, .arg = buf,
	};
	const struct belay_command *c;
	u32 user_size;
	int ret, err;

	for (c = table; c < table + n && c->cmd != cmd; c++)
		;
	if (c == table + n)
		return -ENOTTY;
	ret = c->restricted ? permit(file) : 0;
	if (ret)
		return ret;
	if (get_user(user_size, (u32 __user *)arg))
		return -EFAULT;
	if (user_size < c->min_size)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	call.user_size = user_size;
	call.size = c->size;
	ret = copy_struct_from_user(buf, c->size, call.user, user_size);
	if (ret)
		return ret;

	ret = c->handler ? c->handler(&call) : handle_batch(&call, &c->entries);
	if (call.replied)
		return ret;
	err = belay_ioctl_reply(&call);
	return ret ? ret : err;
}

int belay_ioctl_info(struct belay_call *call)
{
	struct belay_info *info = call->arg;

	if (info->flags)
		return -EOPNOTSUPP;
	info->abi_version = BELAY_ABI_VERSION;
	info->abi_oldest = BELAY_ABI_OLDEST;
	info->page_size = PAGE_SIZE;
	info->features = BELAY_FEATURE_PINNED | BELAY_FEATURE_TRACKED |
		BELAY_FEATURE_WATCHED | BELAY_FEATURE_TRIM |
		BELAY_FEATURE_SELECT;
	info->max_batch = BELAY_MAX_BATCH;
	info->max_overlap = BELAY_MAX_OVERLAP;
	info->max_regions = BELAY_MAX_REGIONS;
	info->session = 0;
	return 0;
}

int belay_array_check(u32 count, u32 entry_size, size_t min_size)
{
	if (!count || entry_size < min_size)
		return -EINVAL;
	/* An entry larger than a page is a mistake, not a later release. */
	if (count > BELAY_MAX_BATCH || entry_size > PAGE_SIZE)
		return -E2BIG;
	return 0;
}

static void __user *entry_at(u64 array, u32 entry_size, u32 i)
{
	return u64_to_user_ptr(array + (u64)i * entry_size);
}

int belay_entry_read(void *entry, size_t known, u64 array, u32 entry_size, u32 i)
{
	void __user *from = entry_at(array, entry_size, i);
	int ret;

	if (copy_from_user(entry, from, min_t(size_t, entry_size, known)))
		return -EFAULT;
	if (entry_size < known)
		memset(entry + entry_size, 0, known - entry_size);
	if (entry_size <= known)
		return 0;
	ret = check_zeroed_user(from + known, entry_size - known);
	return ret < 0 ? ret : ret ? 0 : -E2BIG;
}

int belay_entry_write(const void *entry, size_t known, u64 array,
		      u32 entry_size, u32 i)
{
	return copy_to_user(entry_at(array, entry_size, i), entry,
			    min_t(size_t, entry_size, known)) ? -EFAULT : 0;
}

int belay_row_write(const void *row, size_t known, u64 array, u32 row_size, u32 i)
{
	void __user *to = entry_at(array, row_size, i);

	if (copy_to_user(to, row, min_t(size_t, row_size, known)) ||
	    (row_size > known && clear_user(to + known, row_size - known)))
		return -EFAULT;
	return 0;
}
