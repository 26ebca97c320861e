/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * clock.h - the two clocks: of deadlines and ages, and of waiting
 */
#ifndef BL_CLOCK_H
#define BL_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "common/units.h"

/* CLOCK_BOOTTIME, ns: for deadlines and ages, which go on while the machine sleeps */
static inline uint64_t bl_boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * BL_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* CLOCK_MONOTONIC, ns: for waiting, which a machine that sleeps does not do */
static inline uint64_t bl_monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * BL_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
