/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Carries out what core/revoke.c decides, and says in the log what was done to
 * whom. One timer, of CLOCK_BOOTTIME: a deadline that passes while the machine
 * sleeps has passed when it wakes.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/reason.h"
#include "daemon/sys/log.h"
#include "daemon/manager.h"

#define TURN_ACTIONS	64	/* in one turn of the loop */
#define NSEC_PER_SEC	1000000000ULL
#define KILL_AGAIN_NSEC	(NSEC_PER_SEC / 5)	/* more often than revoke.c looks, once for all regions */

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
static int kill_holders(struct bl_manager *m, const struct bl_request *r)
{
	struct bl_grant_record *g = bl_ledger_grant(&m->ledger, r->grant);

	if (!g)
		return 0;
	g->killed_at = bl_manager_now(m);
	return bl_holders_kill(m, g, describe(r).text);
}

/* One that shares the address space may have come, or been passed over, since. */
static void kill_rest(struct bl_manager *m, const struct bl_request *r)
{
	struct bl_grant_record *g = bl_ledger_grant(&m->ledger, r->grant);
	int n;

	if (!g || bl_manager_now(m) < g->killed_at + KILL_AGAIN_NSEC)
		return;
	n = kill_holders(m, r);
	if (n > 0)
		bl_revoke_killed(&m->revoke, r->grant, (unsigned int)n);
}

static int look(struct bl_manager *m, const struct bl_request *r)
{
	struct belay_region_row row;
	int err = bl_device_region_row(m->dev, r->session, r->region, &row);

	if (err)
		return err;
	if (!bl_region_is_held(&row))
		return -ENOENT;
	if (r->state == BL_KILLING)
		kill_rest(m, r);
	return 0;
}

static int release(struct bl_manager *m, const struct bl_request *r)
{
	int err = bl_device_release(m->dev, r->session, r->region);

	if (!err)
		bl_log_client(LOG_NOTICE, "%s released by order: its deadline has passed",
			      describe(r).text);
	else if (err != -ENOENT)
		bl_warn("%s cannot be released by order: %s", describe(r).text,
			strerror(-err));
	return err;
}

/* What has become of it, where the action itself did not say so. */
static void log_state(struct bl_manager *m, const struct bl_request *r,
		      enum bl_request_state before)
{
	struct bl_holders holders;

	if (r->state == before || r->state != BL_OVERDUE)
		return;
	if (before == BL_KILLING && !bl_device_holders(m->dev, r->grant, &holders) &&
	    holders.count)
		bl_warn("%s is still held: process %ld, which uses it, has been killed and has not ended",
			describe(r).text, (long)holders.rows[0].pid);
	else if (before == BL_KILLING)
		bl_warn("%s is still held although no process uses it any more: somebody else has its driver's file open",
			describe(r).text);
	else
		bl_log_client(LOG_NOTICE, "%s is overdue, and kept", describe(r).text);
}

static int act(struct bl_manager *m, struct bl_request *r, enum bl_action action)
{
	switch (action) {
	case BL_DO_LOOK:
		return look(m, r);
	case BL_DO_RELEASE:
		return release(m, r);
	case BL_DO_KILL:
		return kill_holders(m, r);
	default:
		return 0;
	}
}

void bl_enforce_run(struct bl_manager *m)
{
	enum bl_request_state before;
	enum bl_action action;
	struct bl_request *r;
	int i, result;

	for (i = 0; i < TURN_ACTIONS; i++) {
		r = bl_revoke_due(&m->revoke, bl_manager_now(m), &action);
		if (!r)
			break;
		before = r->state;
		result = act(m, r, action);
		if (bl_revoke_result(&m->revoke, r, action, result,
				     bl_manager_now(m)))
			continue;
		log_state(m, r, before);
	}
	bl_enforce_arm(m);
}

void bl_enforce_arm(struct bl_manager *m)
{
	uint64_t wake = bl_revoke_wake(&m->revoke);
	struct itimerspec t = {
		.it_value.tv_sec = (time_t)(wake / NSEC_PER_SEC),
		.it_value.tv_nsec = (long)(wake % NSEC_PER_SEC),
	};

	/* All zero disarms; a time in the past fires at once. */
	timerfd_settime(m->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

void bl_enforce_release(struct bl_manager *m, struct bl_request *r)
{
	int err = bl_device_release(m->dev, r->session, r->region);

	bl_revoke_result(&m->revoke, r, BL_DO_RELEASE, err, bl_manager_now(m));
	bl_enforce_arm(m);
}
