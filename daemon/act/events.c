/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What the module has to say. An event stays until it is dealt with, so each
 * is first entered wherever it belongs, and only then reported as done; what
 * there is no memory for is left, and comes again.
 */
#include <errno.h>
#include <string.h>

#include "daemon/act/adopt.h"
#include "daemon/act/enforce.h"
#include "daemon/act/events.h"
#include "daemon/act/memlock.h"
#include "daemon/act/notice.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

#define TURN_EVENTS	128	/* in one turn of the loop */

static int on_lost(struct bl_state *st, const struct belay_event *e)
{
	struct belay_region_row row;
	struct bl_request *r;
	int err;

	err = bl_device_region_row(st->dev, e->session, e->region, &row);
	if (err)
		return err == -ENOENT ? 0 : err;
	/* Told that it was lost and mended since: not lost. */
	if (!(row.state & BELAY_WORD_LOST))
		return 0;
	/* All of a pinned region is lost: it holds nothing, a request for it is over. */
	r = bl_revoke_find(&st->revoke, e->session, e->region);
	if (r && !bl_region_is_held(&row))
		bl_revoke_gone(&st->revoke, r);
	err = bl_adopt_region(st, &row);
	if (!err)
		bl_notice_region(st, &row);
	return err;
}

static void on_gone(struct bl_state *st, const struct belay_event *e)
{
	struct bl_request *r = bl_revoke_find(&st->revoke, e->session, e->region);

	if (!r)
		return;
	if (r->state == BL_KILLING)
		bl_notice("region %llu is free: the processes that used it have ended",
			  (unsigned long long)r->region);
	bl_revoke_gone(&st->revoke, r);
}

/* A grant that this daemon has no record of: what its tag says. */
static int restore_by_tag(struct bl_state *st, uint64_t grant)
{
	struct bl_process p = { 0 };
	struct belay_grant_row row;
	struct bl_grant_tag tag;

	if (bl_device_grant_row(st->dev, grant, &row) || !row.pid ||
	    bl_tag_get_grant(row.tag, &tag))
		return 0;
	/* It has another grant, whose business this is now. */
	if (bl_ledger_process(&st->ledger, row.pid, row.start_time))
		return 0;
	p.pid = row.pid;
	p.start_time = row.start_time;
	p.memlock_soft = tag.memlock_soft;
	p.memlock_hard = tag.memlock_hard;
	p.memlock_raised = 1;
	return bl_memlock_restore(&p);
}

static int on_ended(struct bl_state *st, const struct belay_event *e)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, e->grant);
	int err;

	bl_revoke_grant_ended(&st->revoke, e->grant);
	if (!g)
		return restore_by_tag(st, e->grant);
	/*
	 * A process can have two for a while: it has closed its last handle and opened
	 * one, or executed another image, before this was read.
	 */
	err = g->process->grants == 1 ? bl_memlock_restore(g->process) : 0;
	if (err)
		return err;
	bl_debug("grant %llu of process %ld has ended",
		 (unsigned long long)g->id, (long)g->pid);
	bl_ledger_remove_grant(&st->ledger, g);
	return 0;
}

static int on_event(struct bl_state *st, const struct belay_event *e)
{
	int err = 0;

	if (e->events & BELAY_EVENT_GONE)
		on_gone(st, e);
	else if (e->events & BELAY_EVENT_LOST)
		err = on_lost(st, e);
	if (e->events & BELAY_EVENT_ENDED && !err)
		err = on_ended(st, e);
	return err;
}

void bl_events_read(struct bl_state *st)
{
	const struct timeval later = { .tv_sec = 1 };
	struct belay_event events[TURN_EVENTS];
	uint32_t n = TURN_EVENTS, i, done = 0;
	int err;

	err = bl_device_events(st->dev, events, &n);
	for (i = 0; !err && i < n; i++) {
		err = on_event(st, &events[i]);
		if (!err)
			done++;
	}
	if (done) {
		i = (uint32_t)bl_device_events_done(st->dev, events, done);
		if (i)
			bl_error("events cannot be reported as done: %s",
				 strerror(-(int)i));
	}
	if (err) {
		/* Readable as before: look away for a moment. */
		bl_error("events cannot be dealt with: %s; trying again in 1 s",
			 strerror(-err));
		event_del(&st->ev_device);
		event_add(&st->ev_device_retry, &later);
	}
	bl_enforce_arm(st);
}

static void on_device(int fd, short what, void *arg)
{
	bl_events_read(arg);
}

static void on_device_retry(int fd, short what, void *arg)
{
	struct bl_state *st = arg;

	event_add(&st->ev_device, NULL);
}

int bl_events_start(struct bl_state *st)
{
	evtimer_assign(&st->ev_device_retry, st->loop.base, on_device_retry, st);
	event_assign(&st->ev_device, st->loop.base, st->dev->fd, EV_READ | EV_PERSIST,
		     on_device, st);
	return event_add(&st->ev_device, NULL) ? -ENOMEM : 0;
}
