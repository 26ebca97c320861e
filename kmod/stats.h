/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * stats.h - what /sys/class/misc/belay shows. Gauges go up and down, events
 * only up; both are per CPU, and exact when nothing is going on.
 */
#ifndef BELAY_STATS_H
#define BELAY_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>

#define BELAY_GAUGES(X)							\
	X(accounts) X(grants) X(sessions) X(regions)			\
	X(charged_bytes) X(pinned_bytes) X(tracked_bytes) X(held_bytes)
#define BELAY_EVENTS(X)							\
	X(seen_unmap) X(seen_clear) X(seen_protection)			\
	X(seen_soft_dirty) X(seen_release) X(seen_migrate)		\
	X(seen_exclusive) X(seen_other)					\
	X(filtered) X(ignored) X(made_suspect) X(made_lost)		\
	X(suspect) X(lost)						\
	X(verified_same) X(verified_lost) X(verify_again)		\
	X(registered) X(unregistered) X(trimmed) X(released) X(recalled)	\
	X(refused)

struct belay_stats {
#define X(name) s64 name;
	BELAY_GAUGES(X)
	BELAY_EVENTS(X)
#undef X
};
DECLARE_PER_CPU(struct belay_stats, belay_stats);
#define belay_stat_add(name, n)	this_cpu_add(belay_stats.name, (n))
#define belay_stat_inc(name)	this_cpu_inc(belay_stats.name)
extern const struct attribute_group *belay_stat_groups[];

#endif
