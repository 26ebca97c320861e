/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What the module has to say. An event stays until it is dealt with, so each
 * is first entered wherever it belongs, and only then reported as done; what
 * there is no memory for is left, and comes again.
 */
#include <errno.h>
#include <string.h>

#include "daemon/sys/log.h"
#include "daemon/manager.h"

#define TURN_EVENTS	128	/* in one turn of the loop */

static int on_lost(struct bl_manager *m, const struct belay_event *e)
{
	struct belay_region_row row;
	struct bl_request *r;
	int err;

	err = bl_device_region_row(m->dev, e->session, e->region, &row);
	if (err)
		return err == -ENOENT ? 0 : err;
	/* Told that it was lost and mended since: not lost. */
	if (!(row.state & BELAY_WORD_LOST))
		return 0;
	/* All of a pinned region is lost: it holds nothing, a request for it is over. */
	r = bl_revoke_find(&m->revoke, e->session, e->region);
	if (r && !bl_region_is_held(&row))
		bl_revoke_gone(&m->revoke, r);
	err = bl_adopt_region(m, &row);
	if (!err)
		bl_notice_region(m, &row);
	return err;
}

static void on_gone(struct bl_manager *m, const struct belay_event *e)
{
	struct bl_request *r = bl_revoke_find(&m->revoke, e->session, e->region);

	if (!r)
		return;
	if (r->state == BL_KILLING)
		bl_notice("region %llu is free: the processes that used it have ended",
			  (unsigned long long)r->region);
	bl_revoke_gone(&m->revoke, r);
}

/* A grant that this daemon has no record of: what its tag says. */
static int restore_by_tag(struct bl_manager *m, uint64_t grant)
{
	struct bl_process p = { 0 };
	struct belay_grant_row row;
	struct bl_grant_tag tag;

	if (bl_device_grant_row(m->dev, grant, &row) || !row.pid ||
	    bl_tag_get_grant(row.tag, &tag))
		return 0;
	/* It has another grant, whose business this is now. */
	if (bl_ledger_process(&m->ledger, row.pid, row.start_time))
		return 0;
	p.pid = row.pid;
	p.start_time = row.start_time;
	p.memlock_soft = tag.memlock_soft;
	p.memlock_hard = tag.memlock_hard;
	p.memlock_raised = 1;
	return bl_memlock_restore(&p);
}

static int on_ended(struct bl_manager *m, const struct belay_event *e)
{
	struct bl_grant_record *g = bl_ledger_grant(&m->ledger, e->grant);
	int err;

	bl_revoke_grant_ended(&m->revoke, e->grant);
	if (!g)
		return restore_by_tag(m, e->grant);
	/*
	 * A process can have two for a while: it has closed its last handle and opened
	 * one, or executed another image, before this was read.
	 */
	err = g->process->grants == 1 ? bl_memlock_restore(g->process) : 0;
	if (err)
		return err;
	bl_debug("grant %llu of process %ld has ended",
		 (unsigned long long)g->id, (long)g->pid);
	bl_ledger_remove_grant(&m->ledger, g);
	return 0;
}

static int on_event(struct bl_manager *m, const struct belay_event *e)
{
	int err = 0;

	if (e->events & BELAY_EVENT_GONE)
		on_gone(m, e);
	else if (e->events & BELAY_EVENT_LOST)
		err = on_lost(m, e);
	if (e->events & BELAY_EVENT_ENDED && !err)
		err = on_ended(m, e);
	return err;
}

void bl_events_read(struct bl_manager *m)
{
	const struct timeval later = { .tv_sec = 1 };
	struct belay_event events[TURN_EVENTS];
	uint32_t n = TURN_EVENTS, i, done = 0;
	int err;

	err = bl_device_events(m->dev, events, &n);
	for (i = 0; !err && i < n; i++) {
		err = on_event(m, &events[i]);
		if (!err)
			done++;
	}
	if (done) {
		i = (uint32_t)bl_device_events_done(m->dev, events, done);
		if (i)
			bl_error("events cannot be reported as done: %s",
				 strerror(-(int)i));
	}
	if (err) {
		/* Readable as before: look away for a moment. */
		bl_error("events cannot be dealt with: %s; trying again in 1 s",
			 strerror(-err));
		event_del(&m->ev_device);
		event_add(&m->ev_device_retry, &later);
	}
	bl_enforce_arm(m);
}
