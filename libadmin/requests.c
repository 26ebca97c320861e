// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* requests.c - the status, limits, reloading: what is one message each */
#include <string.h>

#include "libadmin/internal.h"

_Static_assert(BELAY_ADMIN_LIMIT_BYTES == BL_LIMIT_SET_BYTES &&
	       BELAY_ADMIN_LIMIT_REGIONS == BL_LIMIT_SET_REGIONS, "limits as in the protocol");
#define LIMIT_ALL	(BL_LIMIT_SET_BYTES | BL_LIMIT_SET_REGIONS)

int belay_admin_get_status(struct belay_admin *a, struct belay_admin_status *ret)
{
	const struct bl_status *s = &a->answer.status;
	struct bl_msg request = { 0 };
	struct belay_admin_status status;
	int err = bl_admin_begin(a);

	if (!err)
		err = bl_admin_check_size(a, ret, STATUS_SIZE_VER0);
	if (!err)
		err = bl_admin_request(a, &request, sizeof(request), BL_STATUS, BL_STATUS);
	if (err)
		return err;
	status = (struct belay_admin_status){
		.abi_version = s->abi_version,
		.pid = s->pid,
		.started_at = s->started_at,
		.clients = s->clients,
		.accounts = s->accounts,
		.grants = s->grants,
		.sessions = s->sessions,
		.regions = s->regions,
		.charged_bytes = s->charged_bytes,
		.pinned_bytes = s->pinned_bytes,
		.tracked_bytes = s->tracked_bytes,
		.limit_bytes = s->limit_bytes,
		.open_requests = s->open_requests,
		.overdue_requests = s->overdue_requests,
		.refusals = s->refusals,
	};
	memcpy(status.version, s->version, sizeof(status.version));
	bl_admin_give(ret, &status, sizeof(status));
	return 0;
}

int belay_admin_set_limit(struct belay_admin *a, const struct belay_admin_limit *limit)
{
	struct belay_admin_limit l;
	struct bl_limit request = { 0 };
	int err = bl_admin_begin(a);

	if (!err)
		err = bl_admin_take(a, "limit", limit, &l, sizeof(l), LIMIT_SIZE_VER0);
	if (err)
		return err;
	if (!l.account || strlen(l.account) >= sizeof(request.account))
		return bl_admin_fail(a, -EINVAL, "limit: no account, or a name that is too long");
	if (!l.set || l.set & ~LIMIT_ALL || l.reserved)
		return bl_admin_fail(a, -EINVAL, "limit: nothing to set, or something unknown");
	memcpy(request.account, l.account, strlen(l.account));
	request.set = l.set;
	request.limit_bytes = l.limit_bytes;
	request.limit_regions = l.limit_regions;
	return bl_admin_request(a, &request, sizeof(request), BL_LIMIT, BL_OK);
}

int belay_admin_reload(struct belay_admin *a, const char **ret_text)
{
	struct bl_reload request = { 0 };
	int err = bl_admin_begin(a);

	if (!err)
		err = bl_admin_request(a, &request, sizeof(request), BL_RELOAD, BL_OK);
	if (!err && ret_text)
		*ret_text = a->answer.ok.text;
	return err;
}
