/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Telling clients what is revoked.
 *
 * What is to be told is not queued: it is in the module, as the state of the
 * regions, and can be looked up when there is room. So:
 *
 *  - a connection that has room is told at once;
 *  - one that has none falls *behind*: when it has read, a walk over its
 *    session's regions tells it everything that is open, as far as there is
 *    room, and goes on from there the next time;
 *  - a loss or recall that comes during a walk starts it once more, as its
 *    region may have been passed;
 *  - a session that resumes is behind from the start.
 *
 * Thus a program that unmaps 100,000 regions at once costs no more memory than
 * one that unmaps four, and nothing is lost when the daemon is killed. The
 * price: a client may be told twice, which the protocol allows for.
 */
#include <stdlib.h>

#include "common/message.h"
#include "daemon/act/adopt.h"
#include "daemon/act/notice.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

#define ROWS		64	/* in one turn of the loop, for one client */
#define ACKS_DUE_MAX	(1U << 20)

struct pump {
	struct bl_task task;
	uint64_t conn;
};

/* Is this something that its client should know? */
static bool is_news(const struct belay_region_row *row)
{
	if (row->state & BELAY_WORD_RELEASED)
		return false;
	return row->state & (BELAY_WORD_LOST | BELAY_WORD_RECALLED);
}

static void tell(struct bl_conn *c, const struct belay_region_row *row)
{
	struct bl_request *r = bl_revoke_find(&bl_state_of(c)->revoke, row->session,
					      row->region);
	struct bl_revoke rev = {
		.session = row->session,
		.region = row->region,
		.cookie = row->cookie,
		.addr = row->addr,
		.len = row->len,
		.escalation = BL_KEEP,
	};

	bl_msg_init(&rev.msg, sizeof(rev), BL_REVOKE, 0);
	if (row->state & BELAY_WORD_LOST) {
		rev.request = BL_LOSS_ID(row->region);
		rev.reason = row->lost_reason;
		rev.lost_addr = row->lost_addr;
		rev.lost_len = row->lost_len;
	} else {
		rev.request = row->request;
		rev.reason = row->recall_reason;
	}
	if (r) {	/* a recall, perhaps, of a region that is lost in part */
		rev.request = r->id;
		rev.reason = r->reason;
		rev.deadline = r->deadline;
		rev.escalation = r->escalation;
	}
	if (c->acks_due < ACKS_DUE_MAX)
		c->acks_due++;
	bl_conn_send(c, &rev.msg, -1);
}

/* One part of the walk; true when it is over, or must wait. */
static bool walk(struct bl_state *st, struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);
	struct bl_walk w = {
		.what = BELAY_LIST_REGIONS,
		.select = { .by = BELAY_SELECT_SESSION, .session = k->session },
		.after = k->told_region ? k->session : k->session - 1,
		.after_region = k->told_region,
	};
	struct belay_region_row rows[ROWS];
	uint32_t n, i;

	if (!bl_conn_has_room(c))
		return true;
	if (bl_device_list(st->dev, &w, rows, ROWS, &n)) {
		bl_conn_drop(c, "its regions cannot be listed");	/* it will come back and ask */
		return true;
	}
	for (i = 0; i < n && bl_conn_has_room(c); i++) {
		if (is_news(&rows[i]))
			tell(c, &rows[i]);
		k->told_region = rows[i].region;
	}
	if (n || c->dead)
		return c->dead;
	k->told_region = 0;
	k->behind = k->behind_again;
	k->behind_again = false;
	return !k->behind;
}

static bool pump_step(struct bl_task *task)
{
	struct bl_state *st = task->arg;
	struct pump *p = (struct pump *)task;
	struct bl_conn *c = bl_conn_find(&st->server, p->conn);

	if (!c)
		return true;
	if (!walk(st, c))
		return false;
	bl_client_of(c)->pumping = false;
	return true;
}

static void pump_fini(struct bl_task *task)
{
	free(task);
}

void bl_notice_pump(struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);
	struct pump *p;

	if (c->dead || k->pumping || !k->session)
		return;
	p = calloc(1, sizeof(*p));
	if (!p) {
		bl_conn_drop(c, "out of memory");	/* it will come back and ask */
		return;
	}
	p->task.step = pump_step;
	p->task.fini = pump_fini;
	p->task.arg = bl_state_of(c);
	p->conn = c->id;
	k->pumping = true;
	bl_loop_add(&bl_state_of(c)->loop, &p->task);
}

void bl_notice_all(struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);

	if (k->behind && k->told_region)
		k->behind_again = true;
	k->behind = true;
	bl_notice_pump(c);
}

void bl_notice_region(struct bl_state *st, const struct belay_region_row *row)
{
	struct bl_conn *c = bl_map_get(&st->sessions, row->session, 0);

	if (!c || !is_news(row))
		return;
	if (bl_client_of(c)->behind || !bl_conn_has_room(c))
		bl_notice_all(c);
	else
		tell(c, row);
}
