/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * BL_RECALL: an administrator wants memory back. The answer comes when all holders
 * have been asked or, with BL_RECALL_WAIT, when all is decided.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/message.h"
#include "common/reason.h"
#include "common/units.h"
#include "daemon/act/recall.h"
#include "daemon/act/select.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

/* The connection that gets the answer, if it is still there */
struct asker {
	uint64_t conn;
	uint64_t serial;
};

static void on_done(struct bl_state *st, const struct bl_recall_outcome *o, void *arg)
{
	struct asker *who = arg;
	struct bl_conn *c = bl_conn_find(&st->server, who->conn);
	struct bl_recalled a = {
		.regions = o->regions,
		.bytes = o->bytes,
		.refused = o->refused,
		.let_go = o->let_go,
		.released = o->released,
		.killed = o->killed,
		.kept = o->kept,
	};

	bl_msg_init(&a.msg, sizeof(a), BL_RECALL, who->serial);
	snprintf(a.text, sizeof(a.text), "%s", o->text);
	if (c && o->err)
		bl_conn_error(c, who->serial, -o->err, "%s", o->text);
	else if (c)
		bl_conn_send(c, &a.msg, -1);
	free(who);
}

/* The log names who asked for which memory and until when, for holders that lose it. */
static void log_recall(struct bl_conn *c, const struct bl_recall *ask)
{
	const struct bl_policy *policy = bl_state_of(c)->policy;
	char what[256], time[BL_TIME_TEXT];

	bl_selection_text(&ask->select, bl_loop_now(&bl_state_of(c)->loop), what, sizeof(what));
	bl_time_format(time, sizeof(time), ask->timeout_usec ?
		       ask->timeout_usec * 1000 : policy->deadline_nsec);
	bl_notice("uid %u recalls memory (%s) within %s, then %s", c->peer.uid, what, time,
		  bl_escalation_name(ask->escalation ? ask->escalation :
				     policy->escalation));
}

static const char *check(const struct bl_recall *ask)
{
	if (ask->escalation > BL_KILL)
		return "unknown escalation";
	if (ask->timeout_usec > BL_RECALL_MAX_USEC)
		return "the deadline is more than 30 days away";
	return NULL;
}

void bl_ask_recall(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_recall *ask = (const struct bl_recall *)msg;
	const char *wrong = check(ask);
	struct bl_state *st = bl_state_of(c);
	struct bl_recall_order order = {
		.what = ask->select,
		.reason = BELAY_REASON_ADMIN,
		.escalation = ask->escalation,
		.deadline = bl_loop_now(&st->loop) + (ask->timeout_usec ?
			ask->timeout_usec * 1000 : st->policy->deadline_nsec),
		.wait = msg->flags & BL_RECALL_WAIT,
		.done = on_done,
	};
	char why[BL_TEXT_MAX];
	struct asker *who;
	int err;

	if (wrong) {
		bl_conn_error(c, msg->serial, EINVAL, "BL_RECALL: %s", wrong);
		return;
	}
	who = malloc(sizeof(*who));
	if (!who) {
		bl_conn_error(c, msg->serial, ENOMEM, "belayd is out of memory");
		return;
	}
	*who = (struct asker){ c->id, msg->serial };
	order.arg = who;
	err = bl_recall(st, &order, why);
	if (err) {
		free(who);
		bl_conn_error(c, msg->serial, -err, "%s%s",
			      err == -EINVAL ? "BL_RECALL: " : "", why);
		return;
	}
	log_recall(c, ask);
}
