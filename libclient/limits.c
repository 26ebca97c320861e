// SPDX-License-Identifier: MIT
#include <string.h>

#include "common/reason.h"
#include "internal.h"
#include "kernel.h"

int belay_get_limits(struct belay *b, struct belay_limit *limits, int n)
{
	struct belay_level levels[BL_LEVELS_MAX];
	uint32_t count = BL_LEVELS_MAX, i;
	int err;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (n < 0)
		return -EINVAL;
	memset(levels, 0, sizeof(levels));
	err = bl_session_use(b);
	if (!err)
		err = bl_kernel_usage(b->session_fd.fd, levels, &count);
	if (err)
		return err;
	for (i = 0; i < count && i < (uint32_t)n && i < BL_LEVELS_MAX; i++) {
		limits[i] = (struct belay_limit){
			.limit_bytes = levels[i].limit_bytes,
			.usage_bytes = levels[i].usage_bytes,
			.limit_regions = levels[i].limit_regions,
			.usage_regions = levels[i].usage_regions,
		};
		bl_account_name(b, levels[i].account, limits[i].account,
				sizeof(limits[i].account));
	}
	return (int)count;
}

const char *belay_reason_name(uint32_t reason)
{
	return bl_reason_name(reason);
}

const char *belay_version(void)
{
	return BELAY_VERSION;
}
