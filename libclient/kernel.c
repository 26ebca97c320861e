// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "kernel.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static int call(int fd, unsigned long command, void *arg)
{
	return ioctl(fd, command, arg) < 0 ? -errno : 0;
}

int bl_kernel_info(int fd, struct belay_info *ret)
{
	*ret = (struct belay_info){ .size = sizeof(*ret) };
	return call(fd, BELAY_INFO, ret);
}

/* All the words that a session can ever have; the kernel makes pages as it needs. */
int bl_kernel_map_words(int fd, const uint64_t **ret, size_t *ret_len)
{
	size_t len = (size_t)BELAY_WORDS_MAX * sizeof(uint64_t);
	void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_len = len;
	return 0;
}

void bl_kernel_unmap_words(const uint64_t *words, size_t len)
{
	if (words)
		munmap((void *)words, len);
}

int bl_kernel_register(int fd, struct belay_register_entry *entries,
		       uint32_t count, uint32_t *ret_done)
{
	struct belay_register arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};
	int err = call(fd, BELAY_REGISTER, &arg);

	*ret_done = arg.done < count ? arg.done : count;
	return err;
}

static int act_on_all(int fd, unsigned long command, struct belay_regions *arg,
		      struct belay_region_entry *entries, uint32_t count)
{
	int err;

	*arg = (struct belay_regions){
		.size = sizeof(*arg),
		.entries = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};
	do {
		err = call(fd, command, arg);
	} while (err == -EINTR && !arg->done);
	return err;
}

/* One region; its status is the result. */
static int act_on(int fd, unsigned long command, struct belay_region_entry *entry)
{
	struct belay_regions arg;
	int err = act_on_all(fd, command, &arg, entry, 1);

	return arg.done ? entry->status : err;
}

int bl_kernel_commit(int fd, struct belay_region_entry *entry)
{
	return act_on(fd, BELAY_COMMIT, entry);
}

int bl_kernel_unregister(int fd, struct belay_region_entry *entries, uint32_t count)
{
	struct belay_regions arg;

	return act_on_all(fd, BELAY_UNREGISTER, &arg, entries, count);
}

int bl_kernel_check(int fd, struct belay_region_entry *entry)
{
	return act_on(fd, BELAY_CHECK, entry);
}

int bl_kernel_trim(int fd, struct belay_trim_entry *entry)
{
	struct belay_trim arg;
	int err;

	do {
		arg = (struct belay_trim){
			.size = sizeof(arg),
			.entries = (uintptr_t)entry,
			.count = 1,
			.entry_size = sizeof(*entry),
		};
		err = call(fd, BELAY_TRIM, &arg);
	} while (err == -EINTR && !arg.done);
	return arg.done ? entry->status : err;
}

int bl_kernel_usage(int fd, struct belay_level *levels, uint32_t *count)
{
	struct belay_usage arg = {
		.size = sizeof(arg),
		.levels = (uintptr_t)levels,
		.count = *count,
		.entry_size = sizeof(*levels),
	};
	int err = call(fd, BELAY_USAGE, &arg);

	if (!err)
		*count = arg.count;
	return err;
}

int bl_kernel_tracked(int fd, uint64_t *ret_bytes)
{
	struct belay_usage arg = { .size = sizeof(arg) };
	int err = call(fd, BELAY_USAGE, &arg);

	if (!err)
		*ret_bytes = arg.tracked_bytes;
	return err;
}
