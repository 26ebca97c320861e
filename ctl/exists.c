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

static int grant_exists(struct ctl *c, uint64_t number)
{
	struct belay_admin_selection select = {
		.size = sizeof(select), .by = BELAY_ADMIN_BY_GRANT, .grant = number,
	};
	struct belay_admin_grant grant = { .size = sizeof(grant) };
	struct belay_admin_list *list = NULL;
	int n = belay_admin_list_new(c->admin, BELAY_ADMIN_GRANTS, &select, &list);

	if (!n)
		n = belay_admin_next_grant(list, &grant);
	belay_admin_list_free(list);
	if (!n)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no grant %" PRIu64, number);
	return ctl_done(c, n);
}

/* The status of a list that found nothing: CTL_OK if all that it names exists. */
int ctl_exists(struct ctl *c, const struct belay_admin_selection *asked)
{
	if (asked->by & BELAY_ADMIN_BY_PROCESS && kill(asked->pid, 0) && errno == ESRCH)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no process %d", asked->pid);
	if (asked->by == BELAY_ADMIN_BY_REGION)
		return ctl_fail(c, CTL_NOT_FOUND, "there is no region %" PRIu64, asked->region);
	if (!(asked->by & BELAY_ADMIN_BY_GRANT))
		return CTL_OK;
	return grant_exists(c, asked->grant);
}
