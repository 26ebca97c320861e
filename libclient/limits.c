// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <string.h>
#include <sys/resource.h>

#include "common/reason.h"
#include "common/units.h"
#include "internal.h"
#include "kernel.h"

/* What a later release has more is zero. */
static void fill_limit(const struct belay *b, const struct belay_level *level,
		       struct belay_limit *ret, size_t size)
{
	memset(ret, 0, size);
	*ret = (struct belay_limit){
		.size = size,
		.limit_bytes = level->limit_bytes,
		.usage_bytes = level->usage_bytes,
		.limit_regions = level->limit_regions,
		.usage_regions = level->usage_regions,
	};
	bl_account_name(b, level->account, ret->account, sizeof(ret->account));
}

int belay_get_limits(struct belay *b, struct belay_limit *limits, int n)
{
	struct belay_level levels[BL_LEVELS_MAX];
	uint32_t count = BL_LEVELS_MAX, i;
	size_t size;
	int err;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (n < 0 || (n && !bl_size_is_valid(limits->size, sizeof(*limits))))
		return -EINVAL;
	size = n ? limits->size : 0;
	memset(levels, 0, sizeof(levels));
	err = bl_session_use(b);
	if (!err)
		err = bl_kernel_usage(b->session_fd.fd, levels, &count);
	if (err)
		return err;
	for (i = 0; i < count && i < (uint32_t)n && i < BL_LEVELS_MAX; i++)
		fill_limit(b, &levels[i], (struct belay_limit *)((char *)limits + i * size), size);
	return (int)count;
}

int belay_explain_memlock(const struct belay_region *r, struct belay_refusal *why)
{
	char sum[BL_SIZE_TEXT], limit[BL_SIZE_TEXT], len[BL_SIZE_TEXT];
	struct belay *b = r->belay;
	struct rlimit rl;
	uint64_t tracked;
	int err;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (!(r->flags & BELAY_TRACK) || bl_refusal_check(why))
		return -EINVAL;
	err = bl_session_use(b);
	if (!err)
		err = bl_kernel_tracked(b->session_fd.fd, &tracked);
	if (!err && getrlimit(RLIMIT_MEMLOCK, &rl))
		err = -errno;
	if (err)
		return err;
	if (rl.rlim_cur == RLIM_INFINITY || tracked <= rl.rlim_cur)
		return -ENOENT;
	bl_refuse(why, -ENOMEM, "drivers count memory once for each registration: %s in all with these %s, and RLIMIT_MEMLOCK is %s; register it once for all devices, let go of other regions, or ask the administrator to raise memlock in belayd.conf",
		  bl_size_format(sum, sizeof(sum), tracked),
		  bl_size_format(len, sizeof(len), r->len),
		  bl_size_format(limit, sizeof(limit), rl.rlim_cur));
	if (why) {
		why->resource = BELAY_RESOURCE_BYTES;
		why->usage = tracked - r->len;
		why->limit = rl.rlim_cur;
		why->needed = r->len;
	}
	return 0;
}

const char *belay_reason_name(uint32_t reason)
{
	return bl_reason_name(reason);
}

const char *belay_version(void)
{
	return BELAY_VERSION;
}
