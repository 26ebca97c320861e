// SPDX-License-Identifier: MIT
/* vmstat.c - how much memory is pinned in this kernel, by anybody */
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
