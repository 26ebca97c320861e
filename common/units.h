/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * units.h - amounts of memory and spans of time, as people write them
 */
#ifndef BL_UNITS_H
#define BL_UNITS_H

#include <stddef.h>
#include <stdint.h>

#define BL_NSEC_PER_SEC	1000000000ULL
#define BL_UNLIMITED	UINT64_MAX	/* BELAY_UNLIMITED */
#define BL_SIZE_TEXT	24		/* room for bl_size_format(), with its NUL */
#define BL_TIME_TEXT	24		/* room for bl_time_format(), with its NUL */

/*
 * bl_size_parse - "4096", "64K", "64k", "8GiB", "1.5M", "unlimited"
 *
 * Units are powers of 1024: K, M, G, T, P, E, each with an optional "iB" or
 * "B"; blanks around and before the unit are allowed. "unlimited" and
 * "infinity" are BL_UNLIMITED. Returns 0, -EINVAL (not such a text) or
 * -ERANGE (does not fit, or is no whole number of bytes).
 */
int bl_size_parse(const char *text, uint64_t *ret_bytes);

/*
 * bl_size_format - "64 MiB", "1.5 GiB", "4097 B", "unlimited"
 *
 * Exact: a unit is used when at most two decimals say the amount exactly, else
 * the next smaller. Returns @buf.
 */
const char *bl_size_format(char *buf, size_t len, uint64_t bytes);

/*
 * bl_count_parse - a whole number, or "unlimited"
 *
 * Returns 0, -EINVAL or -ERANGE.
 */
int bl_count_parse(const char *text, uint64_t *ret);

/*
 * bl_time_parse - "10s", "500ms", "2min", "1h", "10" (seconds); nanoseconds
 *
 * Returns 0, -EINVAL or -ERANGE.
 */
int bl_time_parse(const char *text, uint64_t *ret_nsec);

/* bl_time_format - "10 s", "500 ms", "2 min"; rounded; returns @buf */
const char *bl_time_format(char *buf, size_t len, uint64_t nsec);

#endif
