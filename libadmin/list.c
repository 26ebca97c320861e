// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * list.c - lists, row by row
 *
 * belayd answers with a page of rows; the list keeps that page, and asks for the next one
 * when it is used up. So other requests may go between two rows. Rows of another release
 * may be longer or shorter than this library's: what both know comes first, and the rest
 * is zero.
 */
#include <stdlib.h>
#include <string.h>

#include "libadmin/internal.h"

struct belay_admin_list {
	struct belay_admin *admin;
	struct bl_list request;	/* for the next page */
	uint32_t row_size;	/* of the page */
	uint32_t count;		/* of its rows; 0: the list is at its end */
	uint32_t at;		/* rows that were given away */
	char rows[BL_MSG_MAX];
};

_Static_assert(BELAY_ADMIN_ACCOUNTS == BL_LIST_ACCOUNTS && BELAY_ADMIN_GRANTS == BL_LIST_GRANTS &&
	       BELAY_ADMIN_REGIONS == BL_LIST_REGIONS, "lists as in the protocol");
_Static_assert(BELAY_ADMIN_NAME == BL_NAME_MAX && BELAY_ADMIN_TEXT == BL_TEXT_MAX,
	       "text as in the protocol");
_Static_assert(BELAY_ADMIN_PIDS == BL_OTHERS_MAX + 1, "as many processes as in the protocol");

/* A list that stays where it is would never end. */
static bool goes_on(const struct bl_list *request, const struct bl_list_rows *rows)
{
	return rows->after != request->after || rows->after_region != request->after_region;
}

static int next_page(struct belay_admin_list *l)
{
	struct belay_admin *a = l->admin;
	const struct bl_list_rows *rows = &a->answer.rows;
	int err = bl_admin_request(a, &l->request, sizeof(l->request), BL_LIST, BL_LIST);

	if (err)
		return err;
	l->at = 0;
	l->count = rows->count;
	if (!rows->count)
		return 0;
	if (rows->what != l->request.what || !goes_on(&l->request, rows)) {
		l->count = 0;
		bl_admin_malformed(a);
		return bl_admin_fail(a, -EPROTO,
				     "belayd's list does not come to an end, or is another");
	}
	l->row_size = rows->row_size;
	l->request.after = rows->after;
	l->request.after_region = rows->after_region;
	memcpy(l->rows, a->answer.bytes + sizeof(*rows), (size_t)l->count * l->row_size);
	return 0;
}

int belay_admin_list_new(struct belay_admin *a, uint32_t what,
		     const struct belay_admin_selection *select, struct belay_admin_list **ret)
{
	struct belay_admin_list *l;
	int err = bl_admin_begin(a);

	if (err)
		return err;
	if (!bl_row_size(what))
		return bl_admin_fail(a, -EINVAL, "there is no list number %u", what);
	l = calloc(1, sizeof(*l));
	if (!l)
		return bl_admin_fail(a, -ENOMEM, "out of memory");
	l->admin = a;
	l->request.what = what;
	if (select)
		err = bl_admin_selection(a, select, &l->request.select);
	if (!err)
		err = next_page(l);
	if (err) {
		free(l);
		return err;
	}
	*ret = l;
	return 0;
}

void belay_admin_list_free(struct belay_admin_list *l)
{
	free(l);
}

/* The next row, which is of at most @size bytes here: 1, 0 at the end, or a negative errno. */
static int next_row(struct belay_admin_list *l, uint32_t what, void *row, size_t size)
{
	int err;

	if (l->request.what != what)
		return bl_admin_fail(l->admin, -EINVAL, "this list has other rows");
	if (bl_admin_is_inherited(l->admin))
		return bl_admin_begin(l->admin);
	if (l->count && l->at == l->count) {
		err = bl_admin_begin(l->admin);
		if (!err)
			err = next_page(l);
		if (err)
			return err;
	}
	if (!l->count)
		return 0;
	memset(row, 0, size);
	memcpy(row, l->rows + (size_t)l->at++ * l->row_size,
	       l->row_size < size ? l->row_size : size);
	return 1;
}

/* A row's text need not be terminated. */
static void copy_text(char to[BELAY_ADMIN_NAME], const char from[BL_NAME_MAX])
{
	memcpy(to, from, strnlen(from, BL_NAME_MAX - 1));
}

int belay_admin_next_account(struct belay_admin_list *l, struct belay_admin_account *ret)
{
	struct belay_admin_account a;
	struct bl_account_row row;
	int n = bl_admin_check_size(l->admin, ret, ACCOUNT_SIZE_VER0);

	if (!n)
		n = next_row(l, BL_LIST_ACCOUNTS, &row, sizeof(row));
	if (n <= 0)
		return n;
	a = (struct belay_admin_account){
		.account = row.account,
		.parent = row.parent,
		.limit_bytes = row.limit_bytes,
		.usage_bytes = row.usage_bytes,
		.limit_regions = row.limit_regions,
		.usage_regions = row.usage_regions,
		.refusals = row.refusals,
		.grants = row.grants,
	};
	copy_text(a.name, row.name);
	bl_admin_give(ret, &a, sizeof(a));
	return 1;
}

int belay_admin_next_grant(struct belay_admin_list *l, struct belay_admin_grant *ret)
{
	struct belay_admin_grant g;
	struct bl_grant_row row;
	int n = bl_admin_check_size(l->admin, ret, GRANT_SIZE_VER0);

	if (!n)
		n = next_row(l, BL_LIST_GRANTS, &row, sizeof(row));
	if (n <= 0)
		return n;
	g = (struct belay_admin_grant){
		.grant = row.grant,
		.account = row.account,
		.uid = row.uid,
		.uid_now = row.uid_now,
		.made_at = row.made_at,
		.limit_bytes = row.limit_bytes,
		.usage_bytes = row.usage_bytes,
		.pinned_bytes = row.pinned_bytes,
		.tracked_bytes = row.tracked_bytes,
		.usage_regions = row.usage_regions,
		.user_locked_bytes = row.user_locked_bytes,
		.memlock_bytes = row.memlock_bytes,
		.sessions = row.sessions,
		.connected = row.connected,
		.processes = row.holders,
		.pids[0] = row.pid,
	};
	if (row.pid)
		memcpy(g.pids + 1, row.others, sizeof(row.others));
	copy_text(g.account_name, row.account_name);
	copy_text(g.user, row.user);
	copy_text(g.user_now, row.user_now);
	copy_text(g.command, row.command);
	copy_text(g.label, row.label);
	bl_admin_give(ret, &g, sizeof(g));
	return 1;
}

int belay_admin_next_region(struct belay_admin_list *l, struct belay_admin_region *ret)
{
	struct belay_admin_region r;
	struct bl_region_row row;
	int n = bl_admin_check_size(l->admin, ret, REGION_SIZE_VER0);

	if (!n)
		n = next_row(l, BL_LIST_REGIONS, &row, sizeof(row));
	if (n <= 0)
		return n;
	r = (struct belay_admin_region){
		.region = row.region,
		.session = row.session,
		.grant = row.grant,
		.addr = row.addr,
		.len = row.len,
		.pid = row.pid,
		.uid = row.uid,
		.kind = row.kind,
		.flags = row.flags,
		.state = row.state,
		.node = row.node,
		.nodes = row.nodes,
		.made_at = row.made_at,
		.held_bytes = row.held_bytes,
		.selected_bytes = row.selected_bytes,
		.lost_addr = row.lost_addr,
		.lost_len = row.lost_len,
		.device = row.device,
		.inode = row.inode,
		.request = row.request,
		.deadline = row.deadline,
		.reason = row.reason,
		.escalation = row.escalation,
	};
	copy_text(r.user, row.user);
	copy_text(r.command, row.command);
	bl_admin_give(ret, &r, sizeof(r));
	return 1;
}
