/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * BL_LIST: accounts, grants and regions, a page for each request.
 *
 * Rows are looked for in small steps, one in a turn of the loop, so that a
 * listing of 100,000 regions, of which one is wanted, holds nobody up. Whoever
 * is no administrator sees its own uid's rows, and the account "system".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/message.h"
#include "common/proc.h"
#include "daemon/act/accounts.h"
#include "daemon/act/memlock.h"
#include "daemon/act/select.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"
#include "daemon/sys/users.h"

#define STEP_ROWS	128

union module_row {
	struct belay_account_row account;
	struct belay_grant_row grant;
	struct belay_region_row region;
};

struct listing {
	struct bl_task task;
	uint64_t conn;
	struct bl_list ask;
	struct bl_walk walk;
	pid_t command_pid;	/* whose command was looked up last */
	char command[BL_NAME_MAX];
	struct bl_choice choice;
	union {
		struct bl_list_rows head;
		char bytes[BL_MSG_MAX];
	} page;
};

static void *next_row(struct listing *l)
{
	return l->page.bytes + sizeof(l->page.head) +
	       (size_t)l->page.head.count * l->page.head.row_size;
}

static bool is_full(const struct listing *l)
{
	return sizeof(l->page.head) +
	       ((size_t)l->page.head.count + 1) * l->page.head.row_size > BL_MSG_MAX;
}

static const char *command_of(struct listing *l, pid_t pid)
{
	if (pid != l->command_pid) {
		l->command_pid = pid;
		bl_proc_command(pid, l->command, sizeof(l->command));
	}
	return l->command;
}

/* The process to show: the one that asked, or if it has ended another that uses it. */
static pid_t pid_of(struct bl_state *st, struct listing *l, struct bl_grant_record *g)
{
	const struct bl_holders *h = bl_choice_holders(st, &l->choice, g);

	return h->count ? h->rows[0].pid : 0;
}

static void put_holders(struct bl_state *st, struct listing *l, struct bl_grant_record *g,
			struct bl_grant_row *out)
{
	const struct bl_holders *h = bl_choice_holders(st, &l->choice, g);
	uint32_t i;

	out->pid = pid_of(st, l, g);
	out->holders = h->total;
	for (i = 1; i < h->count && i <= BL_OTHERS_MAX; i++)
		out->others[i - 1] = h->rows[i].pid;
	out->uid_now = g->uid_now;
	if (g->uid_now != g->uid)
		bl_user_name(g->uid_now, out->user_now, sizeof(out->user_now));
	out->memlock_bytes = bl_memlock_allowed(st, g);
	memcpy(out->label, g->label, sizeof(g->label));
}

static bool put_account(struct bl_state *st, struct listing *l,
			const struct belay_account_row *in)
{
	struct bl_account *a = bl_ledger_account(&st->ledger, in->account);
	struct bl_account_row *out = next_row(l);

	if (!bl_choice_has_account(&l->choice, a))
		return false;
	*out = (struct bl_account_row){
		.account = in->account,
		.parent = in->parent,
		.limit_bytes = in->limit_bytes,
		.usage_bytes = in->usage_bytes,
		.limit_regions = in->limit_regions,
		.usage_regions = in->usage_regions,
		.refusals = in->refusals,
		.grants = in->grants,
	};
	memcpy(out->name, a ? a->name : "?", a ? sizeof(a->name) : 2);
	return true;
}

static bool put_grant(struct bl_state *st, struct listing *l,
		      const struct belay_grant_row *in)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, in->grant);
	struct bl_account *a = bl_ledger_account(&st->ledger, in->account);
	struct bl_grant_row *out = next_row(l);
	const struct bl_account *user = bl_account_user(a);
	uid_t uid = g ? g->uid : user ? user->key.id : (uid_t)-1;

	if (in->flags & BELAY_GRANT_ENDED || !bl_choice_has_grant(st, &l->choice, g))
		return false;
	*out = (struct bl_grant_row){
		.grant = in->grant,
		.account = in->account,
		.pid = in->pid,
		.uid = uid,
		.uid_now = uid,
		.made_at = in->made_at,
		.limit_bytes = in->limit_bytes,
		.usage_bytes = in->usage_bytes,
		.pinned_bytes = in->pinned_bytes,
		.tracked_bytes = in->tracked_bytes,
		.usage_regions = in->usage_regions,
		.sessions = in->sessions,
		.connected = g ? g->connected : 0,
		.user_locked_bytes = in->user_locked_bytes,
	};
	if (a)
		memcpy(out->account_name, a->name, sizeof(a->name));
	if (user)
		strcpy(out->user, bl_account_short_name(user));
	if (g)
		put_holders(st, l, g, out);
	if (out->pid)
		strcpy(out->command, command_of(l, out->pid));
	return true;
}

static bool put_region(struct bl_state *st, struct listing *l,
		       const struct belay_region_row *in)
{
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, in->grant);
	struct bl_request *r = bl_revoke_find(&st->revoke, in->session, in->region);
	struct bl_region_row *out = next_row(l);
	const struct bl_account *user;
	uid_t uid = g ? g->uid : (uid_t)-1;

	if (!bl_choice_has_grant(st, &l->choice, g))
		return false;
	*out = (struct bl_region_row){
		.session = in->session,
		.region = in->region,
		.grant = in->grant,
		.addr = in->addr,
		.len = in->len,
		.pid = g ? pid_of(st, l, g) : 0,
		.uid = uid,
		.kind = in->kind,
		.flags = in->flags,
		.state = in->state,
		.node = in->node,
		.made_at = in->made_at,
		.device = in->device,
		.inode = in->inode,
		.lost_addr = in->lost_addr,
		.lost_len = in->lost_len,
		.nodes = in->nodes,
		.held_bytes = in->held_bytes,
		.selected_bytes = in->selected_bytes,
	};
	if (r) {
		out->request = r->id;
		out->deadline = r->deadline;
		out->reason = r->reason;
		out->escalation = r->escalation;
	}
	if (!g)
		return true;
	if (out->pid)
		strcpy(out->command, command_of(l, out->pid));
	user = bl_account_user(g->account);
	if (user)
		strcpy(out->user, bl_account_short_name(user));
	return true;
}

/* One row of the module, in the page if it is wanted. */
static void put(struct bl_state *st, struct listing *l, const union module_row *row)
{
	bool wanted;

	switch (l->ask.what) {
	case BL_LIST_ACCOUNTS:
		l->page.head.after = row->account.account;
		wanted = put_account(st, l, &row->account);
		break;
	case BL_LIST_GRANTS:
		l->page.head.after = row->grant.grant;
		wanted = put_grant(st, l, &row->grant);
		break;
	default:
		l->page.head.after = row->region.session;
		l->page.head.after_region = row->region.region;
		wanted = put_region(st, l, &row->region);
	}
	l->page.head.count += wanted;
}

static size_t module_row_size(uint32_t what)
{
	switch (what) {
	case BL_LIST_ACCOUNTS:
		return sizeof(struct belay_account_row);
	case BL_LIST_GRANTS:
		return sizeof(struct belay_grant_row);
	default:
		return sizeof(struct belay_region_row);
	}
}

static void finish(struct bl_conn *c, struct listing *l, int err)
{
	if (err) {
		bl_conn_error(c, l->ask.msg.serial, -err,
			      "the kernel module cannot be asked: %s", strerror(-err));
	} else {
		bl_msg_init(&l->page.head.msg,
			    (size_t)((char *)next_row(l) - l->page.bytes),
			    BL_LIST, l->ask.msg.serial);
		bl_conn_send(c, &l->page.head.msg, -1);
	}
	if (!c->dead)
		bl_conn_not_busy(c);
}

static bool step(struct bl_task *task)
{
	struct bl_state *st = task->arg;
	struct listing *l = (struct listing *)task;
	struct bl_conn *c = bl_conn_find(&st->server, l->conn);
	size_t size = module_row_size(l->ask.what);
	char rows[STEP_ROWS * sizeof(union module_row)];
	union module_row row;
	uint32_t n, i;
	int err;

	if (!c)
		return true;
	bl_choice_turn(&l->choice);
	err = bl_device_list(st->dev, &l->walk, rows, STEP_ROWS, &n);
	for (i = 0; !err && i < n && !is_full(l); i++) {
		memcpy(&row, rows + i * size, size);
		put(st, l, &row);
	}
	if (!err && n && !is_full(l))
		return false;
	finish(c, l, err);
	return true;
}

static void fini(struct bl_task *task)
{
	free(task);
}

/*
 * Is the account of that name the peer's own, or above it? 0, -EACCES, or -ENOENT: the peer
 * has none. By what the names are here: whoever asks must not make the loop wait for a
 * directory of users.
 */
static int check_own(struct bl_conn *c, const char *name)
{
	const struct bl_identity who = { .uid = c->peer.uid };
	const struct bl_account *a, *own = NULL;
	struct bl_state *st = bl_state_of(c);
	struct bl_account_path path;
	char number[BL_NAME_MAX];

	snprintf(number, sizeof(number), "user/%u", c->peer.uid);
	bl_policy_path(st->policy, &who, &path);
	own = bl_ledger_at(&st->ledger, &path);
	if (own && !strcmp(name, number))
		return 0;
	for (; path.count; path.count--) {
		a = bl_ledger_at(&st->ledger, &path);
		if (a && !strcmp(name, a->name))
			return 0;
	}
	return own ? -EACCES : -ENOENT;
}

/* A user who is no administrator selects among its own, or is told why not. */
static bool may_select(struct bl_conn *c, const struct bl_list *ask)
{
	const struct bl_selection *by = &ask->select;
	int err = 0;

	if (bl_ask_is_admin(c))
		return true;
	if (by->by & BL_BY_ACCOUNT)
		err = check_own(c, by->account);
	if (err == -ENOENT)
		bl_conn_error(c, ask->msg.serial, ENOENT,
			      "there is no account of user %u, who asks: it has no grant", c->peer.uid);
	else if (err || (by->by & BL_BY_USER && by->uid != c->peer.uid))
		bl_conn_error(c, ask->msg.serial, EACCES,
			      "what others hold is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
	else if (by->by & BL_BY_BLOCK)
		bl_conn_error(c, ask->msg.serial, EACCES,
			      "what lies in a memory block is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
	else
		return true;
	return false;
}

static int begin(struct bl_conn *c, struct listing *l, char *why)
{
	const struct bl_list *ask = &l->ask;
	struct bl_selection by = ask->select;
	int err;

	if (!bl_ask_is_admin(c)) {
		by.by |= BL_BY_USER;
		by.uid = c->peer.uid;
	}
	err = bl_choice_init(bl_state_of(c), &l->choice, &by, ask->what, why);
	if (err)
		return err;
	l->walk = (struct bl_walk){
		.what = ask->what == BL_LIST_ACCOUNTS ? BELAY_LIST_ACCOUNTS :
			ask->what == BL_LIST_GRANTS ? BELAY_LIST_GRANTS :
						      BELAY_LIST_REGIONS,
		.after = ask->after,
		.after_region = ask->after_region,
	};
	/* The module does not choose among accounts. */
	if (ask->what != BL_LIST_ACCOUNTS)
		l->walk.select = l->choice.module;
	l->page.head.what = ask->what;
	l->page.head.row_size = (uint32_t)bl_row_size(ask->what);
	l->page.head.after = ask->after;
	l->page.head.after_region = ask->after_region;
	c->busy = true;
	bl_loop_add(&bl_state_of(c)->loop, &l->task);
	return 0;
}

void bl_ask_list(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_list *ask = (const struct bl_list *)msg;
	uint64_t serial = msg->serial;
	char why[BL_TEXT_MAX];
	struct listing *l;
	int err;

	if (!bl_row_size(ask->what)) {
		bl_conn_error(c, serial, EINVAL,
			      "BL_LIST: unknown kind %u of things to list", ask->what);
		return;
	}
	if (!may_select(c, ask))
		return;
	l = calloc(1, sizeof(*l));
	if (!l) {
		bl_conn_error(c, serial, ENOMEM, "belayd is out of memory");
		return;
	}
	l->task.step = step;
	l->task.fini = fini;
	l->task.arg = bl_state_of(c);
	l->conn = c->id;
	memcpy(&l->ask, ask, sizeof(l->ask));
	err = begin(c, l, why);
	if (!err)
		return;
	free(l);
	bl_conn_error(c, serial, -err, "%s%s", err == -EINVAL ? "BL_LIST: " : "", why);
}
