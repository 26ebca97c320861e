/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <stdio.h>
#include <string.h>

#include <linux/belay.h>

#include "common/units.h"
#include "daemon/core/decide.h"

uint64_t bl_decide_bytes(const struct bl_account *a, const struct bl_limits *grant,
			 const struct bl_account **ret_level)
{
	uint64_t least = grant->bytes;

	*ret_level = NULL;
	for (; a; a = a->parent) {
		if (a->limits.bytes < least) {
			least = a->limits.bytes;
			*ret_level = a;
		}
	}
	return least;
}

void bl_decide_open(const struct bl_policy *p, const struct bl_wish *wish,
		    struct bl_verdict *ret)
{
	*ret = (struct bl_verdict){
		.resource = BELAY_RESOURCE_BYTES,
		.needed = wish->want_bytes,
		.grant = bl_ledger_process_limits(p, wish->account, wish->uid,
						  wish->memlock_bytes),
	};
	ret->limit = bl_decide_bytes(wish->account, &ret->grant, &ret->level);
	ret->refused = ret->needed > ret->limit;
	if (!ret->refused)
		return;
	ret->cure = ret->level ? BL_CURE_ACCOUNT_MAX : BL_CURE_PROCESS_MAX;
	/* The grant is not there yet, and so has nothing in use. */
	if (ret->level)
		ret->used = wish->usage(wish->arg, ret->level);
}

/* ------------------------------------------------------------------------ */
/* For people and programs                                                   */

/* "/etc/belay/belayd.conf" is where a site looks first, whatever was read. */
#define CONFIG	"/etc/belay/belayd.conf"

static void cure_account(const struct bl_account *a, char *buf, size_t len)
{
	const char *slash = strchr(a->name, '/');

	snprintf(buf, len, "ask the administrator to raise the limit of %s (max in [%.*s%s%s] of "
		 CONFIG "; until belayd ends: belayctl limit set %s SIZE)", a->name,
		 slash ? (int)(slash - a->name) : BL_NAME_MAX, a->name,
		 slash ? " " : "", slash ? slash + 1 : "", a->name);
}

static void cure_text(const struct bl_verdict *v, char *buf, size_t len)
{
	switch (v->cure) {
	case BL_CURE_PROCESS_MAX:
		snprintf(buf, len, "ask the administrator to raise process_max (where that is not set, max; "
			 "where neither is set, the process's RLIMIT_MEMLOCK) in " CONFIG);
		break;
	case BL_CURE_ACCOUNT_MAX:
		cure_account(v->level, buf, len);
		break;
	default:
		buf[0] = '\0';
	}
}

const char *bl_verdict_text(const struct bl_verdict *v, char *buf, size_t len)
{
	char want[BL_SIZE_TEXT], limit[BL_SIZE_TEXT], used[BL_SIZE_TEXT];
	char in_use[BL_SIZE_TEXT + 16] = "", cure[BL_TEXT_MAX];

	if (v->level)
		snprintf(in_use, sizeof(in_use), " (%s in use)",
			 bl_size_format(used, sizeof(used), v->used));
	cure_text(v, cure, sizeof(cure));
	snprintf(buf, len, "%s may hold %s%s, and %s were asked for; ask for less, or %s",
		 v->level ? v->level->name : "this process",
		 bl_size_format(limit, sizeof(limit), v->limit), in_use,
		 bl_size_format(want, sizeof(want), v->needed), cure);
	return buf;
}

struct bl_refusal bl_verdict_refusal(const struct bl_verdict *v)
{
	struct bl_refusal r = {
		.resource = v->resource,
		.usage = v->used,
		.limit = v->limit,
		.needed = v->needed,
	};

	snprintf(r.account, sizeof(r.account), "%s", v->level ? v->level->name : "grant");
	return r;
}
