/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * BL_RECALL: a region, a grant, a user or a process is asked to let go.
 *
 * Selected regions are recalled in steps, one in a turn of the loop: entered
 * as requests, recalled in the module (which turns the validity word and keeps
 * the deadline for a daemon to come), and their clients told. The answer comes
 * after the last step, or, with BL_RECALL_WAIT, when all is decided.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"
#include "common/reason.h"
#include "common/units.h"
#include "daemon/log.h"
#include "daemon/manager.h"
#include "daemon/users.h"

#define STEP_ROWS	128

struct recalling {
	struct bl_task task;
	uint64_t conn;
	struct bl_recall ask;
	uint64_t deadline;
	struct bl_job *job;
	struct bl_walk walk;	/* over the regions of grants[at] */
	uint64_t *grants;
	uint32_t n_grants;
	uint32_t at;
	bool chosen;		/* grants[at] is meant; to be asked once for each */
	bool found;		/* one of them was */
	bool watched;		/* a region that is not held, because it is only watched */
	int err;
};

/* What an answer on behalf of a job that goes on needs to know. */
struct waiter {
	struct bl_manager *m;
	uint64_t conn;
	struct bl_recall ask;
	bool watched;
};

static uint64_t new_request_id(struct bl_manager *m)
{
	uint64_t now = bl_manager_now(m);

	/* Higher than any that was given, also before a restart. */
	m->last_request = now > m->last_request ? now : m->last_request + 1;
	return m->last_request;
}

/* "region 5 is only watched, and holds no memory" */
static void say_nothing_held(char *text, size_t len, const struct bl_recall *ask, bool watched)
{
	char user[BL_NAME_MAX];

	switch (ask->what) {
	case BL_RECALL_REGION:
		snprintf(text, len, "region %llu %s", (unsigned long long)ask->region,
			 watched ? "is only watched, and holds no memory" :
				   "holds no memory any more");
		break;
	case BL_RECALL_GRANT:
		snprintf(text, len, "grant %llu holds no memory", (unsigned long long)ask->grant);
		break;
	case BL_RECALL_USER:
		bl_user_name(ask->uid, user, sizeof(user));
		snprintf(text, len, "user %s holds no memory", user);
		break;
	default:
		snprintf(text, len, "process %d holds no memory", ask->pid);
	}
}

static void answer(struct bl_conn *c, const struct bl_recall *ask, bool watched,
		   const struct bl_job *job, bool decided)
{
	struct bl_recalled a = {
		.regions = job->regions,
		.bytes = job->bytes,
		.refused = job->refused,
	};

	bl_msg_init(&a.msg, sizeof(a), BL_RECALL, ask->msg.serial);
	if (decided) {
		a.let_go = job->let_go;
		a.released = job->released;
		a.killed = job->killed;
		a.kept = job->kept;
	}
	if (job->refused)
		snprintf(a.text, sizeof(a.text), "%llu tracked regions were not recalled: another driver holds their memory, so nothing can be released by order; ask with keep or kill",
			 (unsigned long long)job->refused);
	else if (!job->regions)
		say_nothing_held(a.text, sizeof(a.text), ask, watched);
	bl_conn_send(c, &a.msg, -1);
}

static void on_decided(struct bl_job *job, void *arg)
{
	struct waiter *w = arg;
	struct bl_conn *c = bl_conn_find(w->m, w->conn);

	if (c)
		answer(c, &w->ask, w->watched, job, true);
	free(w);
}

/* ------------------------------------------------------------------------ */
/* Recalling                                                                 */

/* The client is told with what the module says now. */
static void tell(struct bl_manager *m, struct belay_region_row *row,
		 const struct belay_recall_entry *e)
{
	row->state |= BELAY_WORD_RECALLED;
	row->request = e->request;
	row->recall_reason = e->reason;
	bl_notice_region(m, row);
}

/* The module did not take it: back to what it says, an older recall perhaps. */
static void undo(struct bl_manager *m, const struct belay_recall_entry *e)
{
	struct bl_request *r = bl_revoke_find(&m->revoke, e->session, e->region);
	struct belay_region_row row;

	if (r)
		bl_revoke_cancel(&m->revoke, r);
	if (!bl_device_region_row(m->dev, e->session, e->region, &row))
		bl_adopt_region(m, &row);
}

static void recalled(struct bl_manager *m, struct recalling *rc,
		     struct belay_region_row *row, const struct belay_recall_entry *e)
{
	struct bl_request *r = bl_revoke_find(&m->revoke, e->session, e->region);

	if (!e->status) {
		tell(m, row, e);
	} else if (e->status == -ENOENT) {
		if (r)
			bl_revoke_gone(&m->revoke, r);
	} else {
		rc->err = e->status;
		undo(m, e);
	}
}

/* Enters a region as a request; false: it is not to be recalled. */
static bool enter(struct bl_manager *m, struct recalling *rc,
		  const struct belay_region_row *row, struct belay_recall_entry *e)
{
	struct bl_ask ask = {
		.session = row->session,
		.region = row->region,
		.grant = row->grant,
		.bytes = bl_region_held(row),
		.deadline = rc->deadline,
		.reason = BELAY_REASON_ADMIN,
		.kind = row->kind,
	};

	/* What is only watched has nothing that anybody could get back. */
	if (!bl_region_is_held(row)) {
		rc->watched = row->kind == BELAY_WATCHED;
		return false;
	}
	ask.escalation = bl_policy_escalation(m->policy, rc->ask.escalation, row->kind);
	if (!ask.escalation) {
		rc->job->refused++;
		return false;
	}
	ask.id = new_request_id(m);
	rc->err = bl_revoke_ask(&m->revoke, &ask, rc->job, NULL);
	if (rc->err)
		return false;
	rc->job->regions++;
	rc->job->bytes += ask.bytes;
	*e = (struct belay_recall_entry){
		.session = row->session,
		.region = row->region,
		.request = ask.id,
		.deadline = ask.deadline,
		.reason = ask.reason,
		.policy = ask.escalation,
	};
	return true;
}

static void recall_rows(struct bl_manager *m, struct recalling *rc,
			struct belay_region_row *rows, uint32_t n)
{
	struct belay_recall_entry entries[STEP_ROWS];
	uint32_t of_row[STEP_ROWS], i, count = 0;
	int err;

	for (i = 0; i < n && !rc->err; i++) {
		of_row[count] = i;
		count += enter(m, rc, &rows[i], &entries[count]);
	}
	if (!count)
		return;
	err = bl_device_recall(m->dev, entries, count);
	for (i = 0; i < count; i++) {
		if (err)
			entries[i].status = err;
		recalled(m, rc, &rows[of_row[i]], &entries[i]);
	}
}

/* ------------------------------------------------------------------------ */
/* The task                                                                  */

static void not_found(struct bl_conn *c, const struct bl_recall *ask)
{
	uint64_t serial = ask->msg.serial;

	switch (ask->what) {
	case BL_RECALL_REGION:
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no region %llu; see: belayctl list regions",
			      (unsigned long long)ask->region);
		break;
	case BL_RECALL_GRANT:
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no grant %llu; see: belayctl list",
			      (unsigned long long)ask->grant);
		break;
	default:
		if (ask->pid <= 0 || (kill(ask->pid, 0) && errno == ESRCH))
			bl_conn_error(c, serial, ENOENT, NULL, "there is no process %d",
				      ask->pid);
		else
			bl_conn_error(c, serial, ENOENT, NULL,
				      "process %d has no grant, and so holds no memory; see: belayctl list",
				      ask->pid);
	}
}

static void finish(struct bl_manager *m, struct recalling *rc)
{
	struct bl_conn *c = bl_conn_find(m, rc->conn);
	bool wait = rc->ask.msg.flags & BL_RECALL_WAIT;
	struct waiter *w = c && wait && !rc->err ? malloc(sizeof(*w)) : NULL;
	struct bl_job *job = rc->job;

	bl_enforce_arm(m);
	if (rc->ask.what == BL_RECALL_PROCESS && !rc->found) {
		if (c)
			not_found(c, &rc->ask);
		free(w);
		return;		/* fini() abandons the job */
	}
	if (c && wait && !w)
		rc->err = rc->err ? rc->err : -ENOMEM;
	if (c && rc->err)
		bl_conn_error(c, rc->ask.msg.serial, -rc->err, NULL,
			      "not all of %llu regions could be recalled: %s",
			      (unsigned long long)job->regions, strerror(-rc->err));
	else if (c && !w)
		answer(c, &rc->ask, rc->watched, job, false);
	bl_notice("recall: %llu regions asked for, %llu refused",
		  (unsigned long long)job->regions,
		  (unsigned long long)job->refused);
	rc->job = NULL;
	if (w) {
		*w = (struct waiter){ m, rc->conn, rc->ask, rc->watched };
		bl_job_start(job, on_decided, w);
	} else {
		bl_job_abandon(job);
	}
}

/* Also by another process of its address space, or by the user that its process is now. */
static bool selects(struct bl_manager *m, const struct bl_recall *ask,
		    struct bl_grant_record *g)
{
	struct bl_holders holders;

	if (ask->what == BL_RECALL_GRANT)
		return g->id == ask->grant;
	if (ask->what == BL_RECALL_USER ? g->uid == ask->uid : g->pid == ask->pid)
		return true;
	bl_holders_look(m, g, &holders);
	return ask->what == BL_RECALL_USER ? bl_holders_have_user(&holders, ask->uid) :
					     bl_holders_have_pid(&holders, ask->pid);
}

static void next_grant(struct recalling *rc)
{
	rc->at++;
	rc->chosen = false;
	rc->walk = (struct bl_walk){ .what = BELAY_LIST_REGIONS };
}

static bool step(struct bl_manager *m, struct bl_task *task)
{
	struct recalling *rc = (struct recalling *)task;
	struct belay_region_row rows[STEP_ROWS];
	struct bl_grant_record *g;
	uint32_t n = 0;

	if (rc->at < rc->n_grants && !rc->err) {
		g = bl_ledger_grant(&m->ledger, rc->grants[rc->at]);
		/* It has ended meanwhile, or is another's. */
		if (!g || (!rc->chosen && !selects(m, &rc->ask, g))) {
			next_grant(rc);
			return false;
		}
		rc->chosen = true;
		rc->found = true;
		rc->walk.select.by = BELAY_SELECT_GRANT;
		rc->walk.select.grant = rc->grants[rc->at];
		rc->err = bl_device_list(m->dev, &rc->walk, rows, STEP_ROWS, &n);
		recall_rows(m, rc, rows, n);
		if (!n)
			next_grant(rc);
		return false;
	}
	finish(m, rc);
	return true;
}

static void fini(struct bl_manager *m, struct bl_task *task)
{
	struct recalling *rc = (struct recalling *)task;

	if (rc->job)
		bl_job_abandon(rc->job);
	free(rc->grants);
	free(rc);
}

/* ------------------------------------------------------------------------ */
/* The request                                                               */

/* Which of them are meant is asked in the steps: the module has to say whose they are. */
static int select_grants(struct bl_manager *m, struct recalling *rc)
{
	struct bl_grant_record *g;

	rc->grants = calloc(m->ledger.n_grants + 1, sizeof(*rc->grants));
	if (!rc->grants)
		return -ENOMEM;
	TAILQ_FOREACH(g, &m->ledger.grants, link)
		if (rc->ask.what != BL_RECALL_GRANT || g->id == rc->ask.grant)
			rc->grants[rc->n_grants++] = g->id;
	return rc->n_grants || rc->ask.what == BL_RECALL_USER ? 0 : -ENOENT;
}

static int recall_region(struct bl_manager *m, struct recalling *rc)
{
	struct belay_region_row row;
	int err;

	err = bl_device_region_row(m->dev, 0, rc->ask.region, &row);
	if (!err)
		recall_rows(m, rc, &row, 1);
	return err;
}

static const char *check(const struct bl_recall *ask)
{
	if (ask->what < BL_RECALL_REGION || ask->what > BL_RECALL_PROCESS)
		return "unknown kind of thing to recall";
	if (ask->escalation > BL_KILL)
		return "unknown escalation";
	if (ask->timeout_usec > BL_RECALL_MAX_USEC)
		return "the deadline is more than 30 days away";
	return NULL;
}

/* Who wants what back, until when: whoever loses memory asks the log why. */
static void log_recall(struct bl_conn *c, const struct bl_recall *ask)
{
	const struct bl_policy *policy = c->m->policy;
	char what[64], time[BL_TIME_TEXT];

	switch (ask->what) {
	case BL_RECALL_REGION:
		snprintf(what, sizeof(what), "region %llu", (unsigned long long)ask->region);
		break;
	case BL_RECALL_GRANT:
		snprintf(what, sizeof(what), "grant %llu", (unsigned long long)ask->grant);
		break;
	case BL_RECALL_USER:
		snprintf(what, sizeof(what), "all of uid %u", ask->uid);
		break;
	default:
		snprintf(what, sizeof(what), "all of process %d", ask->pid);
	}
	bl_time_format(time, sizeof(time), ask->timeout_usec ?
		       ask->timeout_usec * 1000 : policy->deadline_nsec);
	bl_notice("uid %u recalls %s within %s, then %s", c->peer.uid, what, time,
		  bl_escalation_name(ask->escalation ? ask->escalation :
				     policy->escalation));
}

void bl_admin_recall(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_recall *ask = (const struct bl_recall *)msg;
	const char *wrong = check(ask);
	struct bl_manager *m = c->m;
	struct recalling *rc;
	int err;

	if (!bl_admin_allowed(c)) {
		bl_conn_error(c, msg->serial, EACCES, NULL,
			      "recalling is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
		return;
	}
	if (wrong) {
		bl_conn_error(c, msg->serial, EINVAL, NULL, "BL_RECALL: %s", wrong);
		return;
	}
	rc = calloc(1, sizeof(*rc));
	if (rc)
		rc->job = bl_job_new();
	if (!rc || !rc->job) {
		free(rc);
		bl_conn_error(c, msg->serial, ENOMEM, NULL, "belayd is out of memory");
		return;
	}
	rc->task.step = step;
	rc->task.fini = fini;
	rc->conn = c->id;
	memcpy(&rc->ask, ask, sizeof(rc->ask));
	rc->walk.what = BELAY_LIST_REGIONS;
	rc->deadline = bl_manager_now(m) + (ask->timeout_usec ?
		ask->timeout_usec * 1000 : m->policy->deadline_nsec);
	log_recall(c, ask);
	err = ask->what == BL_RECALL_REGION ? recall_region(m, rc) :
					      select_grants(m, rc);
	if (err) {
		fini(m, &rc->task);
		if (err == -ENOENT)
			not_found(c, (const struct bl_recall *)msg);
		else
			bl_conn_error(c, msg->serial, -err, NULL, "%s", strerror(-err));
		return;
	}
	bl_manager_add_task(m, &rc->task);
}
