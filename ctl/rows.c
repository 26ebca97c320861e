// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* rows.c - a list comes in several answers; each row of it goes to a function */
#include <string.h>

#include "common/message.h"
#include "ctl/belayctl.h"

/* A list that stays where it is would never end. */
static bool goes_on(const struct bl_list *request, const struct bl_list_rows *rows)
{
	return rows->after != request->after || rows->after_region != request->after_region;
}

static int each_row(struct ctl *c, uint32_t what,
		    int (*each)(struct ctl *c, const void *row, void *arg), void *arg)
{
	const struct bl_list_rows *rows = &c->answer.rows;
	union {
		struct bl_account_row account;
		struct bl_grant_row grant;
		struct bl_region_row region;
	} row;
	const char *p = c->answer.bytes + sizeof(*rows);
	int status = CTL_OK;
	uint32_t i;

	for (i = 0; i < rows->count && !status; i++, p += rows->row_size) {
		/* A newer daemon's rows are longer, an older one's shorter. */
		memset(&row, 0, sizeof(row));
		memcpy(&row, p, rows->row_size < bl_row_size(what) ? rows->row_size :
								     bl_row_size(what));
		switch (what) {
		case BL_LIST_ACCOUNTS:
			row.account.name[BL_NAME_MAX - 1] = '\0';
			break;
		case BL_LIST_GRANTS:
			row.grant.account_name[BL_NAME_MAX - 1] = '\0';
			row.grant.user[BL_NAME_MAX - 1] = '\0';
			row.grant.command[BL_NAME_MAX - 1] = '\0';
			row.grant.label[BL_NAME_MAX - 1] = '\0';
			break;
		case BL_LIST_REGIONS:
			row.region.command[BL_NAME_MAX - 1] = '\0';
			row.region.user[BL_NAME_MAX - 1] = '\0';
			break;
		}
		status = each(c, &row, arg);
	}
	return status;
}

/*
 * Asks for the list and calls @each with every row (of the type that
 * request->what says) until it returns another status than CTL_OK.
 */
int ctl_rows_each(struct ctl *c, struct bl_list *request,
		  int (*each)(struct ctl *c, const void *row, void *arg), void *arg)
{
	const struct bl_list_rows *rows = &c->answer.rows;
	int status;

	for (;;) {
		status = ctl_request(c, request, sizeof(*request), BL_LIST, BL_LIST);
		if (status || !rows->count)
			return status;
		if (rows->what != request->what || !goes_on(request, rows))
			return ctl_fail(c, CTL_FAILED,
					"belayd's list does not come to an end, or is another: "
					"are belayctl and belayd of the same release?");
		request->after = rows->after;
		request->after_region = rows->after_region;
		status = each_row(c, request->what, each, arg);
		if (status)
			return status;
	}
}
