/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What programs ask for: a grant, their session back, and to be heard when
 * they have stopped using a region.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/message.h"
#include "common/proc.h"
#include "daemon/act/accounts.h"
#include "daemon/act/enforce.h"
#include "daemon/act/memlock.h"
#include "daemon/act/notice.h"
#include "daemon/act/session.h"
#include "daemon/ask/ask.h"
#include "daemon/core/decide.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

/* An address space may be busy (EAGAIN): how often and how long to try. */
#define RETRY_USEC	10000
#define RETRY_USEC_MAX	250000
#define RETRY_NSEC	(5 * BL_NSEC_PER_SEC)

/* A BL_OPEN that is being worked on. */
struct bl_opening {
	struct event ev;
	uint64_t serial;
	uint64_t want_bytes;
	uint64_t give_up;
	suseconds_t pause_usec;
};

static void copy_name(char *to, const char *from)
{
	snprintf(to, BL_NAME_MAX, "%s", from);
}

void bl_ask_hello(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_hello *h = (const struct bl_hello *)msg;
	struct bl_hello answer = { 0 };

	if (h->oldest > h->newest || !h->oldest) {
		bl_conn_protocol_error(c, msg->serial, "BL_HELLO: versions %u to %u",
				       h->oldest, h->newest);
		return;
	}
	if (h->oldest > BL_PROTOCOL_NEWEST || h->newest < BL_PROTOCOL_OLDEST) {
		bl_conn_error(c, msg->serial, EPROTONOSUPPORT,
			      "belayd %s speaks protocol versions %d to %d, the client %u to %u",
			      BELAY_VERSION, BL_PROTOCOL_OLDEST, BL_PROTOCOL_NEWEST,
			      h->oldest, h->newest);
		bl_conn_drop(c, "no common version");
		return;
	}
	c->version = h->newest < BL_PROTOCOL_NEWEST ? h->newest : BL_PROTOCOL_NEWEST;
	memcpy(c->label, h->label, sizeof(c->label));
	bl_text_clean(c->label);
	bl_msg_init(&answer.msg, sizeof(answer), BL_HELLO, msg->serial);
	answer.oldest = c->version;
	answer.newest = c->version;
	copy_name(answer.label, BELAY_VERSION);
	bl_conn_send(c, &answer.msg, -1);
}

/* ------------------------------------------------------------------------ */
/* BL_OPEN                                                                   */

/* The session is the connection's: say so, with its levels; takes fd. */
static void answer_grant(struct bl_conn *c, uint64_t serial, uint64_t session,
			 const struct bl_grant_record *g, int fd)
{
	struct bl_grant answer = {
		.session = session,
		.grant = g->id,
	};
	const struct bl_account *a;
	struct bl_level *level = answer.levels;

	bl_msg_init(&answer.msg, sizeof(answer), BL_GRANT, serial);
	copy_name(level->name, "grant");
	for (a = g->account; a; a = a->parent) {
		level++;
		level->account = a->id;
		copy_name(level->name, a->name);
	}
	answer.count = (uint32_t)(level - answer.levels) + 1;
	bl_conn_send(c, &answer.msg, fd);
}

/* bl_wish.usage: the module knows. */
static uint64_t usage_of(void *arg, const struct bl_account *a)
{
	struct bl_state *st = arg;
	struct bl_walk w = { .what = BELAY_LIST_ACCOUNTS, .after = a->id - 1 };
	struct belay_account_row row;
	uint32_t n;

	if (bl_device_list(st->dev, &w, &row, 1, &n) || !n || row.account != a->id)
		return 0;
	return row.usage_bytes;
}

static void refused(struct bl_conn *c, uint64_t serial, const struct bl_verdict *v)
{
	const struct bl_refusal r = bl_verdict_refusal(v);
	char text[BL_TEXT_MAX];

	bl_conn_refuse(c, serial, &r, bl_verdict_text(v, text, sizeof(text)));
}

static void open_failed(struct bl_conn *c, const struct bl_opening *o, int err,
			const char *what)
{
	switch (err) {
	case -EAGAIN:
		bl_conn_error(c, o->serial, EAGAIN,
			      "the address space has been busy for %llu s; try again",
			      RETRY_NSEC / BL_NSEC_PER_SEC);
		break;
	case -ESRCH:
		bl_conn_error(c, o->serial, ESRCH,
			      "process %ld, which connected, is gone",
			      (long)c->peer.pid);
		break;
	case -EACCES:
		bl_conn_error(c, o->serial, EACCES,
			      "process %ld does not run as uid %u any more, as which it connected; "
			      "close this connection and make another",
			      (long)c->peer.pid, c->peer.uid);
		bl_log_client(LOG_NOTICE, "no grant for process %ld, which has changed its user since it connected as uid %u",
			      (long)c->peer.pid, c->peer.uid);
		break;
	default:
		bl_conn_error(c, o->serial, -err, "%s: %s", what,
			      strerror(-err));
		bl_log_client(LOG_WARNING, "no grant for process %ld of uid %u: %s: %s",
			      (long)c->peer.pid, c->peer.uid, what, strerror(-err));
	}
}

/* The record of a grant that the module has just given; NULL: *ret_err. */
static struct bl_grant_record *record_of(struct bl_conn *c,
					 struct bl_account *a,
					 const struct belay_ctl_grant *arg,
					 const struct bl_grant_tag *tag,
					 int *ret_err)
{
	struct bl_grant_record *g = bl_ledger_grant(&bl_state_of(c)->ledger, arg->grant);
	const struct bl_limits limits = { arg->limit_bytes, arg->limit_regions };

	if (g)
		return g;
	g = bl_ledger_add_grant(&bl_state_of(c)->ledger, arg->grant, a, c->peer.pid,
				c->peer.start_time, tag, &limits);
	if (!g)
		*ret_err = -ENOMEM;
	return g;
}

/* Who it is still, and what it came with; *ret_inherited: has that from an ancestor. */
static int look_at_peer(struct bl_conn *c, struct bl_grant_tag *tag,
			struct bl_memlock *ret_has, bool *ret_inherited)
{
	struct bl_memlock original;
	int err;

	err = bl_process_is_same_user(&c->peer);
	if (!err)
		err = bl_process_get_memlock(c->peer.pid, c->peer.start_time, ret_has);
	if (err)
		return err;
	*ret_inherited = bl_memlock_original(bl_state_of(c), &c->peer, ret_has, &original);
	tag->memlock_soft = original.soft;
	tag->memlock_hard = original.hard;
	return 0;
}

/* From the peer's identity to its answer; -EAGAIN: the address space is busy. */
static int try_open(struct bl_conn *c, const struct bl_opening *o,
		    const char **ret_what)
{
	struct bl_state *st = bl_state_of(c);
	struct bl_grant_record *g = NULL;
	struct belay_ctl_grant arg = {
		.pid = c->peer.pid,
		.start_time = c->peer.start_time,
		.uid = c->peer.uid,
	};
	const struct bl_identity who = { .uid = c->peer.uid };
	struct bl_grant_tag tag = { .uid = c->peer.uid };
	struct bl_wish wish = {
		.uid = who.uid,
		.want_bytes = o->want_bytes,
		.usage = usage_of,
		.arg = st,
	};
	struct bl_verdict verdict;
	struct bl_memlock memlock;
	struct bl_account *a;
	bool inherited;
	int err;

	*ret_what = "RLIMIT_MEMLOCK cannot be read";
	err = look_at_peer(c, &tag, &memlock, &inherited);
	if (err)
		return err;

	*ret_what = "no account";
	a = bl_accounts_get(st, &who, tag.memlock_soft, &err);
	if (!a)
		return err;
	wish.account = a;
	wish.memlock_bytes = tag.memlock_soft;
	bl_decide_open(st->policy, &wish, &verdict);
	if (verdict.refused) {
		refused(c, o->serial, &verdict);
		return 0;
	}

	*ret_what = "the kernel module gives no grant";
	arg.account = a->id;
	arg.limit_bytes = verdict.grant.bytes;
	arg.limit_regions = verdict.grant.regions;
	bl_tag_put_grant(arg.tag, &tag);
	err = bl_device_grant(st->dev, &arg);
	if (err)
		return err;
	err = bl_process_check(c->peer.pid, c->peer.start_time);
	if (!err)
		g = record_of(c, a, &arg, &tag, &err);
	if (!err)
		err = bl_session_attach(c, arg.session, arg.grant);
	if (err) {
		close(arg.fd);
		return err;
	}
	if (inherited && !g->process->memlock_raised)
		bl_memlock_inherited(g->process, &memlock);
	bl_memlock_raise(st, g);
	bl_debug("grant %llu, session %llu: process %ld (%s) of %s",
		 (unsigned long long)g->id, (unsigned long long)arg.session,
		 (long)c->peer.pid, c->label, a->name);
	answer_grant(c, o->serial, arg.session, g, arg.fd);
	return 0;
}

void bl_ask_open_cancel(struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);

	if (!k->opening)
		return;
	evtimer_del(&k->opening->ev);
	free(k->opening);
	k->opening = NULL;
}

static void on_open(int fd, short what, void *arg)
{
	struct bl_conn *c = arg;
	struct bl_opening *o = bl_client_of(c)->opening;
	struct timeval pause = { 0 };
	const char *step;
	int err;

	err = try_open(c, o, &step);
	if (c->dead)
		return;
	if (err == -EAGAIN && bl_loop_now(&bl_state_of(c)->loop) < o->give_up) {
		pause.tv_usec = o->pause_usec;
		o->pause_usec *= 2;
		if (o->pause_usec > RETRY_USEC_MAX)
			o->pause_usec = RETRY_USEC_MAX;
		evtimer_add(&o->ev, &pause);
		return;
	}
	if (err)
		open_failed(c, o, err, step);
	if (c->dead)
		return;
	bl_ask_open_cancel(c);
	bl_conn_not_busy(c);
}

void bl_ask_open(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_open *ask = (const struct bl_open *)msg;
	struct bl_opening *o;

	if (bl_client_of(c)->session) {
		bl_conn_error(c, msg->serial, EBUSY,
			      "this connection has session %llu; open another for another",
			      (unsigned long long)bl_client_of(c)->session);
		return;
	}
	if (ask->class_name[0]) {
		bl_conn_error(c, msg->serial, EOPNOTSUPP,
			      "belayd %s has no classes", BELAY_VERSION);
		return;
	}
	o = calloc(1, sizeof(*o));
	if (!o) {
		bl_conn_error(c, msg->serial, ENOMEM, "belayd is out of memory");
		return;
	}
	o->serial = msg->serial;
	o->want_bytes = ask->want_bytes;
	o->give_up = bl_loop_now(&bl_state_of(c)->loop) + RETRY_NSEC;
	o->pause_usec = RETRY_USEC;
	evtimer_assign(&o->ev, bl_state_of(c)->loop.base, on_open, c);
	bl_client_of(c)->opening = o;
	c->busy = true;
	on_open(-1, 0, c);
}

/* ------------------------------------------------------------------------ */
/* BL_RESUME, BL_ACK                                                         */

/* A process that shares the address space may speak for it, too. */
static bool is_holder(struct bl_conn *c, uint64_t grant)
{
	struct bl_holders h;
	uint32_t i;

	bl_device_holders(bl_state_of(c)->dev, grant, &h);
	for (i = 0; i < h.count; i++)
		if (h.rows[i].pid == c->peer.pid && h.rows[i].start_time == c->peer.start_time)
			return true;
	return false;
}

/*
 * Is that the peer's session? A client names it; the module says which process
 * and which address space it belongs to. 0, or -errno.
 */
static int identify(struct bl_conn *c, uint64_t session, struct bl_grant_record **ret)
{
	struct belay_session_row s;
	struct belay_grant_row row;
	int err;

	err = bl_device_session_row(bl_state_of(c)->dev, session, &s);
	if (!err)
		err = bl_device_grant_row(bl_state_of(c)->dev, s.grant, &row);
	if (err)
		return err;
	if ((row.pid != c->peer.pid || row.start_time != c->peer.start_time) &&
	    !is_holder(c, s.grant))
		return -EXDEV;
	*ret = bl_ledger_grant(&bl_state_of(c)->ledger, s.grant);
	return *ret && !(row.flags & BELAY_GRANT_DEAD) ? 0 : -ESHUTDOWN;
}

static void resume_failed(struct bl_conn *c, uint64_t serial, uint64_t session, int err)
{
	switch (err) {
	case -ENOENT:
	case -EINVAL:	/* 0, which no session has */
		bl_conn_error(c, serial, ENOENT,
			      "the kernel module has no session %llu",
			      (unsigned long long)session);
		break;
	case -EXDEV:
		bl_conn_error(c, serial, EXDEV,
			      "session %llu is of another process than %ld",
			      (unsigned long long)session, (long)c->peer.pid);
		break;
	case -ENOMEM:
		bl_conn_error(c, serial, ENOMEM, "belayd is out of memory");
		break;
	case -ESHUTDOWN:
		bl_conn_error(c, serial, ESHUTDOWN,
			      "the address space of session %llu has ended",
			      (unsigned long long)session);
		break;
	default:
		bl_conn_error(c, serial, -err,
			      "the kernel module does not say whose session %llu is: %s",
			      (unsigned long long)session, strerror(-err));
	}
}

void bl_ask_resume(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_resume *ask = (const struct bl_resume *)msg;
	struct bl_grant_record *g;
	int err;

	if (bl_client_of(c)->session) {
		bl_conn_error(c, msg->serial, EBUSY,
			      "this connection has session %llu",
			      (unsigned long long)bl_client_of(c)->session);
		return;
	}
	err = identify(c, ask->session, &g);
	if (!err)
		err = bl_session_attach(c, ask->session, g->id);
	if (err) {
		resume_failed(c, msg->serial, ask->session, err);
		return;
	}
	answer_grant(c, msg->serial, ask->session, g, -1);
	bl_notice_all(c);
}

void bl_ask_ack(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_ack *ack = (const struct bl_ack *)msg;
	struct bl_revocation *rv = &bl_state_of(c)->revoke;
	struct bl_request *r;

	if (!bl_client_of(c)->session) {
		bl_conn_error(c, msg->serial, ENOTCONN,
			      "BL_ACK without a session");
		return;
	}
	/* None: the request is over, or it only told of a loss. Nothing is to be done. */
	r = bl_revoke_find_id(rv, bl_client_of(c)->session, ack->request);
	if (r && bl_revoke_ack(rv, r) == BL_DO_RELEASE)
		bl_enforce_release(bl_state_of(c), r);
	bl_conn_ok(c, msg->serial, "%s", "");
}
