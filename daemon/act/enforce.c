/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Carries out what core/revoke.c decides, and says in the log what was done to
 * whom.
 */
#include <errno.h>
#include <string.h>

#include "common/reason.h"
#include "daemon/act/enforce.h"
#include "daemon/act/holders.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

#define TURN_ACTIONS	64	/* in one turn of the loop */
#define KILL_AGAIN_NSEC	(BL_NSEC_PER_SEC / 5)	/* more often than revoke.c looks, once for all regions */

/* "region 262145 (64 MiB, tracked, recalled by an administrator)" */
struct region_text {
	char text[160];
};

static struct region_text describe(const struct bl_request *r)
{
	struct region_text t;
	char size[BL_SIZE_TEXT];

	snprintf(t.text, sizeof(t.text), "region %llu (%s, %s, %s)",
		 (unsigned long long)r->region,
		 bl_size_format(size, sizeof(size), r->bytes),
		 bl_kind_name(r->kind), bl_reason_text(r->reason));
	return t;
}

/* All that use it: how many; 0: there is none. */
static int kill_holders(struct bl_state *st, const struct bl_request *r)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, r->grant);

	if (!g)
		return 0;
	g->killed_at = bl_loop_now(&st->loop);
	return bl_holders_kill(st, g, describe(r).text);
}

/* One that shares the address space may have come, or been passed over, since. */
static void kill_rest(struct bl_state *st, const struct bl_request *r)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, r->grant);
	int n;

	if (!g || bl_loop_now(&st->loop) < g->killed_at + KILL_AGAIN_NSEC)
		return;
	n = kill_holders(st, r);
	if (n > 0)
		bl_revoke_killed(&st->revoke, r->grant, (unsigned int)n);
}

static int look(struct bl_state *st, const struct bl_request *r)
{
	struct belay_region_row row;
	int err = bl_device_region_row(st->dev, r->session, r->region, &row);

	if (err)
		return err;
	if (!bl_region_is_held(&row))
		return -ENOENT;
	if (r->state == BL_KILLING)
		kill_rest(st, r);
	return 0;
}

static int release(struct bl_state *st, const struct bl_request *r)
{
	int err = bl_device_release(st->dev, r->session, r->region);

	if (!err)
		bl_log_client(LOG_NOTICE, "%s released by order: its deadline has passed",
			      describe(r).text);
	else if (err != -ENOENT)
		bl_warn("%s cannot be released by order: %s", describe(r).text,
			strerror(-err));
	return err;
}

/* The outcome of an action, where the action itself did not say so. */
static void log_state(struct bl_state *st, const struct bl_request *r,
		      enum bl_request_state before)
{
	struct bl_holders holders;

	if (r->state == before || r->state != BL_OVERDUE)
		return;
	if (before == BL_KILLING && !bl_device_holders(st->dev, r->grant, &holders) &&
	    holders.count)
		bl_warn("%s is still held: process %ld, which uses it, has been killed and has not ended",
			describe(r).text, (long)holders.rows[0].pid);
	else if (before == BL_KILLING)
		bl_warn("%s is still held although no process uses it any more: somebody else has its driver's file open",
			describe(r).text);
	else
		bl_log_client(LOG_NOTICE, "%s is overdue, and kept", describe(r).text);
}

static int act(struct bl_state *st, struct bl_request *r, enum bl_action action)
{
	switch (action) {
	case BL_DO_LOOK:
		return look(st, r);
	case BL_DO_RELEASE:
		return release(st, r);
	case BL_DO_KILL:
		return kill_holders(st, r);
	default:
		return 0;
	}
}

void bl_enforce_run(struct bl_state *st)
{
	enum bl_request_state before;
	enum bl_action action;
	struct bl_request *r;
	int i, result;

	for (i = 0; i < TURN_ACTIONS; i++) {
		r = bl_revoke_due(&st->revoke, bl_loop_now(&st->loop), &action);
		if (!r)
			break;
		before = r->state;
		result = act(st, r, action);
		if (bl_revoke_result(&st->revoke, r, action, result,
				     bl_loop_now(&st->loop)))
			continue;
		log_state(st, r, before);
	}
	bl_enforce_arm(st);
}

void bl_enforce_arm(struct bl_state *st)
{
	bl_alarm_set(&st->deadline, bl_revoke_wake(&st->revoke));
}

void bl_enforce_release(struct bl_state *st, struct bl_request *r)
{
	int err = bl_device_release(st->dev, r->session, r->region);

	bl_revoke_result(&st->revoke, r, BL_DO_RELEASE, err, bl_loop_now(&st->loop));
	bl_enforce_arm(st);
}
