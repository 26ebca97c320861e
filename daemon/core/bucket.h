/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * bucket.h - a token bucket: how often is too often?
 *
 * Time is the caller's, in nanoseconds, and never goes back.
 */
#ifndef BL_BUCKET_H
#define BL_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/units.h"

struct bl_bucket {
	uint64_t filled_at;	/* when it last was looked at */
	uint64_t level;		/* in nanoseconds' worth of tokens */
};

/* A full bucket of @burst tokens, at @per_sec a second. */
static inline void bl_bucket_init(struct bl_bucket *b, uint32_t burst,
				  uint32_t per_sec, uint64_t now)
{
	b->filled_at = now;
	b->level = (uint64_t)burst * (BL_NSEC_PER_SEC / per_sec);
}

/* Takes a token; false if there is none. */
static inline bool bl_bucket_take(struct bl_bucket *b, uint32_t burst,
				  uint32_t per_sec, uint64_t now)
{
	uint64_t token = BL_NSEC_PER_SEC / per_sec, full = burst * token;

	b->level += now - b->filled_at;
	if (b->level > full)
		b->level = full;
	b->filled_at = now;
	if (b->level < token)
		return false;
	b->level -= token;
	return true;
}

#endif
