/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The table of questions, and who may ask them. Everybody may ask for the status and for
 * lists (of what is one's own); changes are for administrators.
 */
#include <errno.h>

#include "daemon/act/notice.h"
#include "daemon/act/session.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"
#include "daemon/sys/process.h"

static const struct question {
	uint16_t type;
	bool admins_only;
	void (*answer)(struct bl_conn *c, const struct bl_msg *msg);
} questions[] = {
	{ BL_HELLO, false, bl_ask_hello },
	{ BL_OPEN, false, bl_ask_open },
	{ BL_RESUME, false, bl_ask_resume },
	{ BL_ACK, false, bl_ask_ack },
	{ BL_STATUS, false, bl_ask_status },
	{ BL_LIST, false, bl_ask_list },
	{ BL_LIMIT, true, bl_ask_limit },
	{ BL_RECALL, true, bl_ask_recall },
	{ BL_RELOAD, true, bl_ask_reload },
};
#define N_QUESTIONS (sizeof(questions) / sizeof(*questions))

bool bl_ask_is_admin(struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);
	gid_t gid = bl_state_of(c)->admin_gid;

	if (!k->admin_known) {
		k->admin_known = true;
		k->is_admin = !c->peer.uid ||
			(gid != (gid_t)-1 && bl_process_in_group(c->fd, &c->peer, gid));
	}
	return k->is_admin;
}

/* The server has checked that it is a message that clients send. */
static void on_message(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct question *q;

	for (q = questions; q < questions + N_QUESTIONS && q->type != msg->type; q++)
		;
	if (q == questions + N_QUESTIONS) {
		bl_conn_protocol_error(c, msg->serial, "a message that belayd has no answer to");
		return;
	}
	if (q->admins_only && !bl_ask_is_admin(c))
		bl_conn_error(c, msg->serial, EACCES,
			      "this is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
	else
		q->answer(c, msg);
}

static void on_room(struct bl_conn *c)
{
	if (bl_client_of(c)->behind)
		bl_notice_pump(c);
}

static void on_dropped(struct bl_conn *c)
{
	bl_session_detach(c);
	bl_ask_open_cancel(c);
}

static void limits(void *arg, struct bl_server_limits *ret)
{
	const struct bl_state *st = arg;

	*ret = (struct bl_server_limits){
		.max_clients = st->policy->max_clients,
		.max_clients_per_user = st->policy->max_clients_per_user,
		.admin_gid = st->admin_gid,
	};
}

const struct bl_server_ops bl_ask_ops = {
	.own_size = sizeof(struct bl_client),
	.limits = limits,
	.message = on_message,
	.room = on_room,
	.dropped = on_dropped,
};
