/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * clock.h - the clock of all deadlines and ages: it goes on while the machine sleeps
 */
#ifndef BL_CLOCK_H
#define BL_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "common/units.h"

/* CLOCK_BOOTTIME, ns */
static inline uint64_t bl_boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * BL_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

#endif
