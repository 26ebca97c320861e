/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/sys/device.h"

static int call_ioctl(struct bl_device *dev, unsigned long cmd, void *arg)
{
	return ioctl(dev->fd, cmd, arg) < 0 ? -errno : 0;
}

int bl_device_open(struct bl_device *dev, const char *path)
{
	int err;

	dev->call = call_ioctl;
	dev->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (dev->fd < 0)
		return -errno;
	err = bl_device_info(dev);
	if (err)
		bl_device_close(dev);
	return err;
}

void bl_device_close(struct bl_device *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

int bl_device_info(struct bl_device *dev)
{
	int err;

	dev->info = (struct belay_info){ .size = sizeof(dev->info) };
	err = dev->call(dev, BELAY_INFO, &dev->info);
	if (!err && !BELAY_ABI_IN_COMMON(dev->info.abi_oldest, dev->info.abi_version))
		err = -EPROTO;
	return err;
}

int bl_device_account(struct bl_device *dev, uint64_t parent,
		      const struct bl_limits *limits,
		      const uint8_t tag[BELAY_TAG_BYTES], uint64_t *ret_account)
{
	struct belay_ctl_account arg = {
		.size = sizeof(arg),
		.parent = parent,
		.limit_bytes = limits->bytes,
		.limit_regions = limits->regions,
	};
	int err;

	memcpy(arg.tag, tag, sizeof(arg.tag));
	err = dev->call(dev, BELAY_CTL_ACCOUNT, &arg);
	if (!err)
		*ret_account = arg.account;
	return err;
}

int bl_device_account_remove(struct bl_device *dev, uint64_t account)
{
	struct belay_ctl_id arg = { .size = sizeof(arg), .id = account };

	return dev->call(dev, BELAY_CTL_ACCOUNT_REMOVE, &arg);
}

int bl_device_limits(struct bl_device *dev, struct belay_limit_entry *entries,
		     uint32_t count, uint32_t *ret_failed)
{
	struct belay_ctl_limits arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};
	int err = dev->call(dev, BELAY_CTL_LIMITS, &arg);

	if (err)
		*ret_failed = arg.failed;
	return err;
}

int bl_device_grant(struct bl_device *dev, struct belay_ctl_grant *grant)
{
	grant->size = sizeof(*grant);
	grant->flags = 0;
	return dev->call(dev, BELAY_CTL_GRANT, grant);
}

static int on_regions(struct bl_device *dev, unsigned long cmd,
		      struct belay_recall_entry *entries, uint32_t count)
{
	struct belay_ctl_recall arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)entries,
		.count = count,
		.entry_size = sizeof(*entries),
	};

	return dev->call(dev, cmd, &arg);
}

int bl_device_recall(struct bl_device *dev, struct belay_recall_entry *entries,
		     uint32_t count)
{
	return on_regions(dev, BELAY_CTL_RECALL, entries, count);
}

int bl_device_release(struct bl_device *dev, uint64_t session, uint64_t region)
{
	struct belay_recall_entry e = { .session = session, .region = region };
	int err = on_regions(dev, BELAY_CTL_RELEASE, &e, 1);

	return err ? err : e.status;
}

int bl_device_events(struct bl_device *dev, struct belay_event *events,
		     uint32_t *count)
{
	struct belay_ctl_events arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)events,
		.count = *count,
		.entry_size = sizeof(*events),
	};
	int err = dev->call(dev, BELAY_CTL_EVENTS, &arg);

	*count = err ? 0 : arg.count;
	return err;
}

int bl_device_events_done(struct bl_device *dev, struct belay_event *events,
			  uint32_t count)
{
	struct belay_ctl_events arg = {
		.size = sizeof(arg),
		.entries = (uintptr_t)events,
		.count = count,
		.entry_size = sizeof(*events),
	};

	return dev->call(dev, BELAY_CTL_EVENTS_DONE, &arg);
}

static uint32_t row_size(uint32_t what)
{
	switch (what) {
	case BELAY_LIST_ACCOUNTS:
		return sizeof(struct belay_account_row);
	case BELAY_LIST_GRANTS:
		return sizeof(struct belay_grant_row);
	case BELAY_LIST_SESSIONS:
		return sizeof(struct belay_session_row);
	default:
		return sizeof(struct belay_region_row);
	}
}

int bl_device_list(struct bl_device *dev, struct bl_walk *walk, void *rows,
		   uint32_t room, uint32_t *ret_count)
{
	struct belay_ctl_list arg = {
		.size = sizeof(arg),
		.what = walk->what,
		.entry_size = row_size(walk->what),
		.rows = (uintptr_t)rows,
		.count = room,
		.after = walk->after,
		.after_region = walk->after_region,
		.select = walk->select,
	};
	int err = dev->call(dev, BELAY_CTL_LIST, &arg);

	*ret_count = 0;
	if (err)
		return err;
	walk->after = arg.after;
	walk->after_region = arg.after_region;
	*ret_count = arg.count;
	return 0;
}

int bl_device_grant_row(struct bl_device *dev, uint64_t grant,
			struct belay_grant_row *ret)
{
	struct bl_walk walk = {
		.what = BELAY_LIST_GRANTS,
		.select = { .by = BELAY_SELECT_GRANT, .grant = grant },
	};
	uint32_t n;
	int err = bl_device_list(dev, &walk, ret, 1, &n);

	return err || n ? err : -ENOENT;
}

int bl_device_session_row(struct bl_device *dev, uint64_t session,
			  struct belay_session_row *ret)
{
	struct bl_walk walk = {
		.what = BELAY_LIST_SESSIONS,
		.select = { .by = BELAY_SELECT_SESSION, .session = session },
	};
	uint32_t n;
	int err = bl_device_list(dev, &walk, ret, 1, &n);

	return err || n ? err : -ENOENT;
}

int bl_device_region_row(struct bl_device *dev, uint64_t session,
			 uint64_t region, struct belay_region_row *ret)
{
	struct bl_walk walk = {
		.what = BELAY_LIST_REGIONS,
		.select = {
			.by = BELAY_SELECT_REGION | (session ? BELAY_SELECT_SESSION : 0),
			.session = session,
			.region = region,
		},
	};
	uint32_t n;
	int err = bl_device_list(dev, &walk, ret, 1, &n);

	return err || n ? err : -ENOENT;
}

int bl_device_holders(struct bl_device *dev, uint64_t grant, struct bl_holders *ret)
{
	struct belay_ctl_holders arg = {
		.size = sizeof(arg),
		.grant = grant,
		.rows = (uintptr_t)ret->rows,
		.count = BL_HOLDERS_MAX,
		.entry_size = sizeof(ret->rows[0]),
	};
	int err = dev->call(dev, BELAY_CTL_HOLDERS, &arg);

	ret->total = err ? 0 : arg.count;
	ret->count = ret->total < BL_HOLDERS_MAX ? ret->total : BL_HOLDERS_MAX;
	return err;
}
