/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * BL_LIST: accounts, grants and regions, a page for each request.
 *
 * Rows are looked for in small steps, one in a turn of the loop, so that a
 * listing of 100,000 regions, of which one is wanted, holds nobody up. Whoever
 * is no administrator sees its own uid's rows, and the account "system".
 *
 * A grant belongs to whoever asked for it, and to whoever its processes are now: it
 * is found under all of them, and by each process that uses it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/message.h"
#include "common/proc.h"
#include "daemon/log.h"
#include "daemon/manager.h"
#include "daemon/users.h"

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
	struct bl_holders holders;	/* of this grant, in this turn */
	uint64_t holders_of;
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

/* Who uses that grant; regions of a grant mostly follow each other. */
static const struct bl_holders *holders_of(struct bl_manager *m, struct listing *l,
					   struct bl_grant_record *g)
{
	if (l->holders_of != g->id)
		bl_holders_look(m, g, &l->holders);
	l->holders_of = g->id;
	return &l->holders;
}

/* Is that grant asked for? @g: NULL: it is not known whose it is. */
static bool is_wanted(struct bl_manager *m, struct listing *l,
		      struct bl_grant_record *g, uint64_t grant, uid_t uid)
{
	const struct bl_list *ask = &l->ask;

	if (ask->grant && ask->grant != grant)
		return false;
	if (ask->pid && !(g && (g->pid == ask->pid ||
				bl_holders_have_pid(holders_of(m, l, g), ask->pid))))
		return false;
	return !ask->has_uid || ask->uid == uid ||
	       (g && bl_holders_have_user(holders_of(m, l, g), ask->uid));
}

/* The process to show: the one that asked, or if it has ended another that uses it. */
static pid_t pid_of(struct bl_manager *m, struct listing *l, struct bl_grant_record *g)
{
	const struct bl_holders *h = holders_of(m, l, g);

	return h->count ? h->rows[0].pid : 0;
}

static void put_holders(struct bl_manager *m, struct listing *l, struct bl_grant_record *g,
			struct bl_grant_row *out)
{
	const struct bl_holders *h = holders_of(m, l, g);
	uint32_t i;

	out->pid = pid_of(m, l, g);
	out->holders = h->total;
	for (i = 1; i < h->count && i <= BL_OTHERS_MAX; i++)
		out->others[i - 1] = h->rows[i].pid;
	out->uid_now = g->uid_now;
	if (g->uid_now != g->uid)
		bl_user_name(g->uid_now, out->user_now, sizeof(out->user_now));
	out->memlock_bytes = bl_memlock_allowed(m, g);
	memcpy(out->label, g->label, sizeof(g->label));
}

static bool put_account(struct bl_manager *m, struct listing *l,
			const struct belay_account_row *in)
{
	struct bl_account *a = bl_ledger_account(&m->ledger, in->account);
	struct bl_account_row *out = next_row(l);

	if (l->ask.has_uid && (!a || (a->kind == BL_ACCOUNT_USER &&
				      a->uid != l->ask.uid)))
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

static bool put_grant(struct bl_manager *m, struct listing *l,
		      const struct belay_grant_row *in)
{
	struct bl_grant_record *g = bl_ledger_grant(&m->ledger, in->grant);
	struct bl_account *a = bl_ledger_account(&m->ledger, in->account);
	struct bl_grant_row *out = next_row(l);
	uid_t uid = g ? g->uid : a ? a->uid : (uid_t)-1;

	if (in->flags & BELAY_GRANT_ENDED || !is_wanted(m, l, g, in->grant, uid))
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
	if (a) {
		memcpy(out->account_name, a->name, sizeof(a->name));
		if (a->kind == BL_ACCOUNT_USER)
			strcpy(out->user, a->name + strlen("user/"));
	}
	if (g)
		put_holders(m, l, g, out);
	if (out->pid)
		strcpy(out->command, command_of(l, out->pid));
	return true;
}

static bool put_region(struct bl_manager *m, struct listing *l,
		       const struct belay_region_row *in)
{
	struct bl_grant_record *g = bl_ledger_grant(&m->ledger, in->grant);
	struct bl_request *r = bl_revoke_find(&m->revoke, in->session, in->region);
	struct bl_region_row *out = next_row(l);
	uid_t uid = g ? g->uid : (uid_t)-1;

	if (!is_wanted(m, l, g, in->grant, uid))
		return false;
	*out = (struct bl_region_row){
		.session = in->session,
		.region = in->region,
		.grant = in->grant,
		.addr = in->addr,
		.len = in->len,
		.pid = g ? pid_of(m, l, g) : 0,
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
	if (g->account->kind == BL_ACCOUNT_USER)
		strcpy(out->user, g->account->name + strlen("user/"));
	return true;
}

/* One row of the module, in the page if it is wanted. */
static void put(struct bl_manager *m, struct listing *l, const union module_row *row)
{
	bool wanted;

	switch (l->ask.what) {
	case BL_LIST_ACCOUNTS:
		l->page.head.after = row->account.account;
		wanted = put_account(m, l, &row->account);
		break;
	case BL_LIST_GRANTS:
		l->page.head.after = row->grant.grant;
		wanted = put_grant(m, l, &row->grant);
		break;
	default:
		l->page.head.after = row->region.session;
		l->page.head.after_region = row->region.region;
		wanted = put_region(m, l, &row->region);
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
		bl_conn_error(c, l->ask.msg.serial, -err, NULL,
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

static bool step(struct bl_manager *m, struct bl_task *task)
{
	struct listing *l = (struct listing *)task;
	struct bl_conn *c = bl_conn_find(m, l->conn);
	size_t size = module_row_size(l->ask.what);
	char rows[STEP_ROWS * sizeof(union module_row)];
	union module_row row;
	uint32_t n, i;
	int err;

	if (!c)
		return true;
	l->holders_of = 0;
	err = bl_device_list(m->dev, &l->walk, rows, STEP_ROWS, &n);
	for (i = 0; !err && i < n && !is_full(l); i++) {
		memcpy(&row, rows + i * size, size);
		put(m, l, &row);
	}
	if (!err && n && !is_full(l))
		return false;
	finish(c, l, err);
	return true;
}

static void fini(struct bl_manager *m, struct bl_task *task)
{
	free(task);
}

#define MEMORY_BLOCKS	"/sys/devices/system/memory/"

/* Where a memory block lies: 0, or -errno. */
static int block_range(uint64_t block, uint64_t *ret_addr, uint64_t *ret_len)
{
	char path[sizeof(MEMORY_BLOCKS) + 32];
	FILE *f = fopen(MEMORY_BLOCKS "block_size_bytes", "re");
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "%" SCNx64, ret_len);
	fclose(f);
	snprintf(path, sizeof(path), MEMORY_BLOCKS "memory%" PRIu64, block);
	if (access(path, F_OK))
		return -errno;
	if (n != 1 || __builtin_mul_overflow(block, *ret_len, ret_addr))
		return -ERANGE;
	return 0;
}

/* What the module is to choose; false: refused, the client has been told. */
static bool fill_select(struct bl_conn *c, const struct bl_list *ask,
			struct belay_select *s)
{
	static const struct {
		uint32_t wire, module;
	} bits[] = {
		{ BL_SELECT_NODE, BELAY_SELECT_NODE },
		{ BL_SELECT_BLOCK, BELAY_SELECT_PHYS },
		{ BL_SELECT_FILE, BELAY_SELECT_FILE },
		{ BL_SELECT_MADE_BEFORE, BELAY_SELECT_MADE_BEFORE },
		{ BL_SELECT_LASTING, BELAY_SELECT_LASTING },
		{ BL_SELECT_TRANSIENT, BELAY_SELECT_TRANSIENT },
	};
	uint32_t unknown = ask->select;
	uint64_t addr = 0, len = 0;
	size_t i;
	int err;

	*s = (struct belay_select){
		.by = ask->grant ? BELAY_SELECT_GRANT : 0,
		.grant = ask->grant,
		.node = (int32_t)ask->node,
		.device = ask->device,
		.inode = ask->inode,
		.made_before = ask->made_before,
	};
	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		if (ask->select & bits[i].wire)
			s->by |= bits[i].module;
		unknown &= ~bits[i].wire;
	}
	if (unknown || ask->node > INT32_MAX ||
	    (ask->select & BL_SELECT_LASTING && ask->select & BL_SELECT_TRANSIENT)) {
		bl_conn_error(c, ask->msg.serial, EINVAL, NULL,
			      "BL_LIST: unknown or impossible selection 0x%x", ask->select);
		return false;
	}
	if (!(ask->select & BL_SELECT_BLOCK))
		return true;
	if (!bl_admin_allowed(c)) {
		bl_conn_error(c, ask->msg.serial, EACCES, NULL,
			      "what lies in a memory block is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
		return false;
	}
	err = block_range(ask->block, &addr, &len);
	s->phys_addr = addr;
	s->phys_len = len;
	if (err)
		bl_conn_error(c, ask->msg.serial, ENOENT, NULL,
			      "there is no memory block %" PRIu64 ": see " MEMORY_BLOCKS " (%s)",
			      ask->block, strerror(-err));
	return !err;
}

void bl_admin_list(struct bl_conn *c, const struct bl_msg *msg)
{
	const struct bl_list *ask = (const struct bl_list *)msg;
	struct belay_select select;
	struct listing *l;

	if (!bl_row_size(ask->what) || ask->has_uid > 1) {
		bl_conn_error(c, msg->serial, EINVAL, NULL,
			      "BL_LIST: unknown kind %u of things to list", ask->what);
		return;
	}
	if (!bl_admin_allowed(c) && ask->has_uid && ask->uid != c->peer.uid) {
		bl_conn_error(c, msg->serial, EACCES, NULL,
			      "what others hold is for root and the members of the group %s",
			      BL_ADMIN_GROUP);
		return;
	}
	if (ask->select && ask->what != BL_LIST_REGIONS) {
		bl_conn_error(c, msg->serial, EINVAL, NULL,
			      "BL_LIST: only regions have a place, a file and a duration");
		return;
	}
	if (!fill_select(c, ask, &select))
		return;
	l = calloc(1, sizeof(*l));
	if (!l) {
		bl_conn_error(c, msg->serial, ENOMEM, NULL, "belayd is out of memory");
		return;
	}
	l->task.step = step;
	l->task.fini = fini;
	l->conn = c->id;
	memcpy(&l->ask, ask, sizeof(l->ask));
	if (!bl_admin_allowed(c)) {
		l->ask.has_uid = 1;
		l->ask.uid = c->peer.uid;
	}
	l->walk = (struct bl_walk){
		.what = ask->what == BL_LIST_ACCOUNTS ? BELAY_LIST_ACCOUNTS :
			ask->what == BL_LIST_GRANTS ? BELAY_LIST_GRANTS :
						      BELAY_LIST_REGIONS,
		.after = ask->after,
		.after_region = ask->after_region,
	};
	if (ask->what == BL_LIST_REGIONS)
		l->walk.select = select;
	l->page.head.what = ask->what;
	l->page.head.row_size = (uint32_t)bl_row_size(ask->what);
	l->page.head.after = ask->after;
	l->page.head.after_region = ask->after_region;
	c->busy = true;
	bl_manager_add_task(c->m, &l->task);
}
