// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * stats.c - the numbers under /sys/class/misc/belay
 *
 * Gauges lie in the folder itself, counters of events under events/. Totals of
 * the machine, readable by all; nothing in them names a process.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "belay.h"

DEFINE_PER_CPU(struct belay_stats, belay_stats);

#define SHOW(name)							\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	s64 sum = 0;							\
	int cpu;							\
									\
	for_each_possible_cpu(cpu)					\
		sum += per_cpu(belay_stats, cpu).name;			\
	return sysfs_emit(buf, "%lld\n", sum);				\
}									\
static DEVICE_ATTR_RO(name);
BELAY_GAUGES(SHOW)
BELAY_EVENTS(SHOW)

#define ATTR(name)	&dev_attr_##name.attr,
static struct attribute *gauge_attrs[] = { BELAY_GAUGES(ATTR) NULL };
static struct attribute *event_attrs[] = { BELAY_EVENTS(ATTR) NULL };

static const struct attribute_group gauge_group = { .attrs = gauge_attrs };
static const struct attribute_group event_group = {
	.name = "events",
	.attrs = event_attrs,
};

const struct attribute_group *belay_stat_groups[] = {
	&gauge_group,
	&event_group,
	NULL,
};
