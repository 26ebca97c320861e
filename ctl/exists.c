// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * exists.c - an empty list: nothing there, or no such thing?
 *
 * A process or grant that was named and does not exist is a mistake of the caller's,
 * who may be a script, and has the status of one; a process without a grant is not.
 * It is asked after the list, so that what is listed needs no second question, and
 * what ended meanwhile is said to have ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>

#include "ctl/belayctl.h"

static int count(struct ctl *c, const void *row, void *arg)
{
	++*(unsigned int *)arg;
	return CTL_OK;
}

/* The status of a list that found nothing: CTL_OK if all that it names exists. */
int ctl_exists(struct ctl *c, const struct bl_list *asked)
{
	struct bl_list request = {
		.what = BL_LIST_GRANTS,
		.select = { .by = BL_BY_GRANT, .grant = asked->select.grant },
	};
	uint32_t by = asked->select.by;
	unsigned int n = 0;
	int status;

	if (by & BL_BY_PROCESS && kill(asked->select.pid, 0) && errno == ESRCH)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no process %d", asked->select.pid);
	if (by == BL_BY_REGION)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no region %" PRIu64,
				asked->select.region);
	if (!(by & BL_BY_GRANT))
		return CTL_OK;
	status = ctl_rows_each(c, &request, count, &n);
	if (!status && !n)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no grant %" PRIu64,
				asked->select.grant);
	return status;
}
