// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* vmstat.c - what the kernel counts: memory pinned by anybody, and belay's own numbers */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "ctl/belayctl.h"

/*
 * The kernel counts pages pinned and pages unpinned since boot, per CPU and
 * folded now and then: the difference is about right, and may be below 0.
 * Returns 0 or -errno.
 */
int ctl_pinned_by_kernel(const struct ctl *c, uint64_t *ret_bytes)
{
	uint64_t value, acquired = 0, released = 0;
	FILE *f = fopen(c->vmstat ? c->vmstat : "/proc/vmstat", "re");
	char name[64];
	int found = 0;

	if (!f)
		return -errno;
	while (fscanf(f, "%63s %" SCNu64, name, &value) == 2) {
		if (!strcmp(name, "nr_foll_pin_acquired")) {
			acquired = value;
			found |= 1;
		} else if (!strcmp(name, "nr_foll_pin_released")) {
			released = value;
			found |= 2;
		}
	}
	fclose(f);
	if (found != 3)
		return -ENOENT;
	*ret_bytes = acquired > released ?
		(acquired - released) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return 0;
}

static const char *sysfs(const struct ctl *c)
{
	return c->sysfs ? c->sysfs : "/sys/class/misc/belay";
}

bool ctl_module_is_loaded(const struct ctl *c)
{
	return !access(sysfs(c), F_OK) || errno != ENOENT;
}

/* A number of the module, as "held_bytes" or "events/lost": 0 or -errno. */
int ctl_module_number(const struct ctl *c, const char *name, uint64_t *ret)
{
	char path[256];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/%s", sysfs(c), name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%" SCNu64, ret);
	fclose(f);
	return n == 1 ? 0 : -EIO;
}

/* What the kernel announced about regions, and what came of it: 0 or -errno. */
int ctl_module_events(const struct ctl *c, struct ctl_events *ret)
{
	static const char *const seen[] = {
		"unmap", "clear", "protection", "soft_dirty", "release", "migrate",
		"exclusive", "other",
	};
	char name[64];
	uint64_t n;
	size_t i;
	int err;

	*ret = (struct ctl_events){ 0 };
	for (i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
		snprintf(name, sizeof(name), "events/seen_%s", seen[i]);
		err = ctl_module_number(c, name, &n);
		if (err)
			return err;
		ret->seen += n;
	}
	err = ctl_module_number(c, "events/filtered", &ret->filtered);
	if (!err)
		err = ctl_module_number(c, "events/verified_same", &ret->same);
	if (!err)
		err = ctl_module_number(c, "events/lost", &ret->lost);
	return err;
}
