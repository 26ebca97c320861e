/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Selected regions are recalled in steps, one in a turn of the loop: entered as
 * requests, recalled in the module (which turns the validity word and keeps the
 * deadline for a daemon to come), and their clients told.
 *
 * If only the module has to choose, it is one walk over the regions that it selects.
 * If grants are selected by process or user, it is a walk for each of those; which
 * they are is asked in the steps, as the module has to say whose they are.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act/adopt.h"
#include "daemon/act/enforce.h"
#include "daemon/act/notice.h"
#include "daemon/act/recall.h"
#include "daemon/act/select.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

#define STEP_ROWS	128

/* Whom to tell; lives until that is done. */
struct telling {
	struct bl_state *st;
	struct bl_recall_order order;
	bool watched;		/* a region is not held, because it is only watched */
};

struct recalling {
	struct bl_task task;
	struct telling *telling;
	struct bl_job *job;
	struct bl_choice choice;
	struct bl_walk walk;	/* over regions; of grants[at], if there are such */
	uint64_t *grants;	/* NULL: the module chooses alone */
	uint32_t n_grants;
	uint32_t at;
	bool walking;		/* grants[at] is meant; to be asked once for each */
	bool found;		/* one of them was */
	int err;
};

static uint64_t new_request_id(struct bl_state *st)
{
	uint64_t now = bl_loop_now(&st->loop);

	/* Higher than any that was given, also before a restart. */
	st->last_request = now > st->last_request ? now : st->last_request + 1;
	return st->last_request;
}

/* ------------------------------------------------------------------------ */
/* Telling                                                                   */

/* "region 5 is only watched, and holds no memory" */
static void say_nothing_held(const struct telling *t, char *text)
{
	const struct bl_selection *by = &t->order.what;
	char what[256];

	bl_selection_text(by, bl_loop_now(&t->st->loop), what, sizeof(what));
	if (by->by == BL_BY_REGION)
		snprintf(text, BL_TEXT_MAX, "%s %s", what, t->watched ?
			 "is only watched, and holds no memory" : "holds no memory any more");
	else if (by->by & (by->by - 1) || by->by & ~BL_BY_OF_GRANT)
		snprintf(text, BL_TEXT_MAX, "nothing that fits (%s) holds memory", what);
	else
		snprintf(text, BL_TEXT_MAX, "%s holds no memory", what);
}

/* Tells, once; takes @t. */
static void tell(struct telling *t, const struct bl_job *job, bool decided, int err,
		 const char *text)
{
	struct bl_recall_outcome o = { .err = err, .decided = decided };

	if (job) {
		o.regions = job->regions;
		o.bytes = job->bytes;
		o.refused = job->refused;
	}
	if (decided) {
		o.let_go = job->let_go;
		o.released = job->released;
		o.killed = job->killed;
		o.kept = job->kept;
	}
	if (err)
		snprintf(o.text, sizeof(o.text), "%s", text);
	else if (o.refused)
		snprintf(o.text, sizeof(o.text), "%llu tracked regions were not recalled: another driver holds their memory, so nothing can be released by order; ask with keep or kill",
			 (unsigned long long)o.refused);
	else if (!o.regions)
		say_nothing_held(t, o.text);
	t->order.done(t->st, &o, t->order.arg);
	free(t);
}

static void on_decided(struct bl_job *job, void *arg)
{
	if (job->dropped)
		tell(arg, job, false, -ESHUTDOWN, "belayd ends");
	else
		tell(arg, job, true, 0, "");
}

/* ------------------------------------------------------------------------ */
/* Regions                                                                   */

/* The client is told with what the module says now. */
static void notify(struct bl_state *st, struct belay_region_row *row,
		   const struct belay_recall_entry *e)
{
	row->state |= BELAY_WORD_RECALLED;
	row->request = e->request;
	row->recall_reason = e->reason;
	bl_notice_region(st, row);
}

/* The module did not take it: back to what it says, an older recall perhaps. */
static void undo(struct bl_state *st, const struct belay_recall_entry *e)
{
	struct bl_request *r = bl_revoke_find(&st->revoke, e->session, e->region);
	struct belay_region_row row;

	if (r)
		bl_revoke_cancel(&st->revoke, r);
	if (!bl_device_region_row(st->dev, e->session, e->region, &row))
		bl_adopt_region(st, &row);
}

static void recalled(struct bl_state *st, struct recalling *rc,
		     struct belay_region_row *row, const struct belay_recall_entry *e)
{
	struct bl_request *r = bl_revoke_find(&st->revoke, e->session, e->region);

	if (!e->status) {
		notify(st, row, e);
	} else if (e->status == -ENOENT) {
		if (r)
			bl_revoke_gone(&st->revoke, r);
	} else {
		rc->err = e->status;
		undo(st, e);
	}
}

/* Enters a region as a request; false: it is not to be recalled. */
static bool enter(struct bl_state *st, struct recalling *rc,
		  const struct belay_region_row *row, struct belay_recall_entry *e)
{
	const struct bl_recall_order *order = &rc->telling->order;
	struct bl_ask ask = {
		.session = row->session,
		.region = row->region,
		.grant = row->grant,
		.bytes = bl_region_held(row),
		.deadline = order->deadline,
		.reason = order->reason,
		.kind = row->kind,
	};

	/* A region that is only watched holds no memory to get back. */
	if (!bl_region_is_held(row)) {
		rc->telling->watched = row->kind == BELAY_WATCHED;
		return false;
	}
	ask.escalation = bl_policy_escalation(st->policy, order->escalation, row->kind);
	if (!ask.escalation) {
		rc->job->refused++;
		return false;
	}
	ask.id = new_request_id(st);
	rc->err = bl_revoke_ask(&st->revoke, &ask, rc->job, NULL);
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

static void recall_rows(struct bl_state *st, struct recalling *rc,
			struct belay_region_row *rows, uint32_t n)
{
	struct belay_recall_entry entries[STEP_ROWS];
	uint32_t of_row[STEP_ROWS], i, count = 0;
	int err;

	for (i = 0; i < n && !rc->err; i++) {
		of_row[count] = i;
		count += enter(st, rc, &rows[i], &entries[count]);
	}
	if (!count)
		return;
	err = bl_device_recall(st->dev, entries, count);
	for (i = 0; i < count; i++) {
		if (err)
			entries[i].status = err;
		recalled(st, rc, &rows[of_row[i]], &entries[i]);
	}
}

/* ------------------------------------------------------------------------ */
/* The task                                                                  */

/* No grant was found: is there no such process, or has it none? True, and why. */
static bool no_process(const struct bl_selection *by, char *text)
{
	if (by->pid <= 0 || (kill(by->pid, 0) && errno == ESRCH))
		snprintf(text, BL_TEXT_MAX, "there is no process %d", by->pid);
	else if (by->by == BL_BY_PROCESS)
		snprintf(text, BL_TEXT_MAX, "process %d has no grant, and so holds no memory; see: belayctl list",
			 by->pid);
	else	/* it may have one that does not fit what else is asked for */
		return false;
	return true;
}

static void finish(struct bl_state *st, struct recalling *rc)
{
	struct telling *t = rc->telling;
	struct bl_job *job = rc->job;
	char text[BL_TEXT_MAX] = "";

	bl_enforce_arm(st);
	bl_notice("recall: %llu regions asked for, %llu refused",
		  (unsigned long long)job->regions, (unsigned long long)job->refused);
	if (rc->err) {
		snprintf(text, sizeof(text), "not all of %llu regions could be recalled: %s",
			 (unsigned long long)job->regions, strerror(-rc->err));
	} else if (t->order.what.by & BL_BY_PROCESS && !rc->found &&
		   no_process(&t->order.what, text)) {
		rc->err = -ENOENT;
	}
	rc->telling = NULL;
	rc->job = NULL;
	if (t->order.wait && !rc->err) {
		bl_job_start(job, on_decided, t);
		return;
	}
	tell(t, job, false, rc->err, text);
	bl_job_abandon(job);
}

/* The grant in hand is done with; false: it was the last. */
static bool next_grant(struct recalling *rc)
{
	rc->at++;
	rc->walking = false;
	return rc->at < rc->n_grants;
}

/* Is grants[at] meant? It may have ended meanwhile, or be another's. */
static bool enter_grant(struct bl_state *st, struct recalling *rc)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, rc->grants[rc->at]);

	if (!g || !bl_choice_has_grant(st, &rc->choice, g))
		return false;
	rc->walking = true;
	rc->found = true;
	rc->walk = (struct bl_walk){ .what = BELAY_LIST_REGIONS, .select = rc->choice.module };
	rc->walk.select.by |= BELAY_SELECT_GRANT;
	rc->walk.select.grant = g->id;
	return true;
}

/* Some regions more; false: there are no more. */
static bool recall_some(struct bl_state *st, struct recalling *rc)
{
	struct belay_region_row rows[STEP_ROWS];
	uint32_t n = 0;

	if (rc->grants && rc->at >= rc->n_grants)
		return false;
	if (rc->grants && !rc->walking && !enter_grant(st, rc))
		return next_grant(rc);
	rc->err = bl_device_list(st->dev, &rc->walk, rows, STEP_ROWS, &n);
	recall_rows(st, rc, rows, n);
	if (rc->err)
		return false;
	return n || (rc->grants && next_grant(rc));
}

static bool step(struct bl_task *task)
{
	struct bl_state *st = task->arg;
	struct recalling *rc = (struct recalling *)task;

	bl_choice_turn(&rc->choice);
	if (recall_some(st, rc))
		return false;
	finish(st, rc);
	return true;
}

static void fini(struct bl_task *task)
{
	struct recalling *rc = (struct recalling *)task;

	if (rc->telling)
		tell(rc->telling, rc->job, false, -ESHUTDOWN, "belayd ends");
	if (rc->job)
		bl_job_abandon(rc->job);
	free(rc->grants);
	free(rc);
}

/* ------------------------------------------------------------------------ */
/* The order                                                                 */

static int refuse(char *why, int err)
{
	snprintf(why, BL_TEXT_MAX, "%s", err == -ENOMEM ? "belayd is out of memory" :
							   strerror(-err));
	return err;
}

/* A grant or region that is named by its number has to exist. */
static int check_named(struct bl_state *st, const struct bl_selection *by, char *why)
{
	struct belay_region_row row;
	int err;

	if (by->by & BL_BY_GRANT && !bl_ledger_grant(&st->ledger, by->grant)) {
		snprintf(why, BL_TEXT_MAX, "there is no grant %llu; see: belayctl list",
			 (unsigned long long)by->grant);
		return -ENOENT;
	}
	if (!(by->by & BL_BY_REGION))
		return 0;
	err = bl_device_region_row(st->dev, 0, by->region, &row);
	if (err == -ENOENT)
		snprintf(why, BL_TEXT_MAX, "there is no region %llu; see: belayctl list regions",
			 (unsigned long long)by->region);
	else if (err)
		refuse(why, err);
	return err;
}

/* The grants that may be meant, as of now */
static int list_grants(struct bl_state *st, struct recalling *rc)
{
	const struct bl_selection *by = &rc->choice.by;
	struct bl_grant_record *g;

	rc->grants = calloc(st->ledger.n_grants + 1, sizeof(*rc->grants));
	if (!rc->grants)
		return -ENOMEM;
	TAILQ_FOREACH(g, &st->ledger.grants, link)
		if (!(by->by & BL_BY_GRANT) || g->id == by->grant)
			rc->grants[rc->n_grants++] = g->id;
	return 0;
}

static struct recalling *new_recalling(struct bl_state *st,
				       const struct bl_recall_order *order)
{
	struct recalling *rc = calloc(1, sizeof(*rc));

	if (!rc)
		return NULL;
	rc->task.step = step;
	rc->task.fini = fini;
	rc->task.arg = st;
	rc->job = bl_job_new();
	rc->telling = malloc(sizeof(*rc->telling));
	if (rc->job && rc->telling) {
		*rc->telling = (struct telling){ .st = st, .order = *order };
		return rc;
	}
	free(rc->job);
	free(rc->telling);
	free(rc);
	return NULL;
}

/* It was not begun, and nobody is told. */
static void drop(struct recalling *rc)
{
	free(rc->telling);
	rc->telling = NULL;
	fini(&rc->task);
}

int bl_recall(struct bl_state *st, const struct bl_recall_order *order, char *why)
{
	struct recalling *rc;
	int err;

	if (st->ending)
		return refuse(why, -ESHUTDOWN);
	/* A selection of everything is more likely a mistake. */
	if (!order->what.by) {
		snprintf(why, BL_TEXT_MAX, "nothing is selected");
		return -EINVAL;
	}
	rc = new_recalling(st, order);
	if (!rc)
		return refuse(why, -ENOMEM);
	err = bl_choice_init(st, &rc->choice, &order->what, BL_LIST_REGIONS, why);
	if (!err)
		err = check_named(st, &order->what, why);
	if (!err && bl_choice_asks_grants(&rc->choice)) {
		err = list_grants(st, rc);
		if (err)
			refuse(why, err);
	}
	if (err) {
		drop(rc);
		return err;
	}
	rc->walk = (struct bl_walk){ .what = BELAY_LIST_REGIONS, .select = rc->choice.module };
	bl_loop_add(&st->loop, &rc->task);
	return 0;
}
