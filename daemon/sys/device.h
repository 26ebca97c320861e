/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * device.h - the kernel module, as the daemon sees it
 *
 * device.c is the only file that does ioctls. Everything passes through one
 * function pointer, so that a module in memory can stand in for unit tests.
 * All functions return 0 or a negative errno.
 */
#ifndef BL_DEVICE_H
#define BL_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/belay.h>

#include "daemon/core/policy.h"

#define BL_DEVICE_PATH	"/dev/belay"

struct bl_device {
	int fd;			/* readable while there are events */
	int (*call)(struct bl_device *dev, unsigned long cmd, void *arg);
	struct belay_info info;
};

/* Opens and looks whether this daemon and that module understand each other. */
int bl_device_open(struct bl_device *dev, const char *path);
void bl_device_close(struct bl_device *dev);

/* Fills dev->info; -EPROTO: another ABI version */
int bl_device_info(struct bl_device *dev);

int bl_device_account(struct bl_device *dev, uint64_t parent,
		      const struct bl_limits *limits,
		      const uint8_t tag[BELAY_TAG_BYTES], uint64_t *ret_account);
int bl_device_account_remove(struct bl_device *dev, uint64_t account);

/* All or nothing; *ret_failed: which entry, on failure */
int bl_device_limits(struct bl_device *dev, struct belay_limit_entry *entries,
		     uint32_t count, uint32_t *ret_failed);

/* The caller fills in account, pid, start_time, uid, limits and tag. */
int bl_device_grant(struct bl_device *dev, struct belay_ctl_grant *grant);

/* Each entry has a status of its own after 0. */
int bl_device_recall(struct bl_device *dev, struct belay_recall_entry *entries,
		     uint32_t count);
/* One region; its own status */
int bl_device_release(struct bl_device *dev, uint64_t session, uint64_t region);

/* *count: in room, out events */
int bl_device_events(struct bl_device *dev, struct belay_event *events,
		     uint32_t *count);
int bl_device_events_done(struct bl_device *dev, struct belay_event *events,
			  uint32_t count);

/*
 * A walk over what exists. Set what, and select to choose; the rest to 0. Each
 * bl_device_list() gives up to @room rows and moves on.
 */
struct bl_walk {
	uint32_t what;		/* enum belay_list_what */
	struct belay_select select;
	uint64_t after;
	uint64_t after_region;
};
int bl_device_list(struct bl_device *dev, struct bl_walk *walk, void *rows,
		   uint32_t room, uint32_t *ret_count);

/* One of them; -ENOENT: there is no such */
int bl_device_grant_row(struct bl_device *dev, uint64_t grant,
			struct belay_grant_row *ret);
int bl_device_session_row(struct bl_device *dev, uint64_t session,
			  struct belay_session_row *ret);
int bl_device_region_row(struct bl_device *dev, uint64_t session,
			 uint64_t region, struct belay_region_row *ret);

/* Processes that use a grant's address space. More are counted, and come next time. */
#define BL_HOLDERS_MAX	64

struct bl_holders {
	uint32_t total;
	uint32_t count;		/* in rows */
	struct belay_holder_row rows[BL_HOLDERS_MAX];
};

/* -ENOENT: there is no such grant. After an error there are none. */
int bl_device_holders(struct bl_device *dev, uint64_t grant, struct bl_holders *ret);

/*
 * Memory that is held for that region, by the module or by a driver. Of a
 * pinned region the module lets go what is lost, and keeps the rest; nobody
 * need hold what is only watched.
 */
static inline uint64_t bl_region_held(const struct belay_region_row *row)
{
	if (row->state & BELAY_WORD_RELEASED || row->kind == BELAY_WATCHED)
		return 0;
	return row->kind == BELAY_PINNED && row->lost_len <= row->len ?
		row->len - row->lost_len : row->len;
}

static inline bool bl_region_is_held(const struct belay_region_row *row)
{
	return bl_region_held(row) != 0;
}

#endif
