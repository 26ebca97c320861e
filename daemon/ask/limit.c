/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Status, limits and reloading.
 *
 * Administrators are root and the members of the group belay-admin, by any of
 * their groups when they connected. Everybody may ask for the status and for
 * lists (of what is one's own); changes are for administrators.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/message.h"
#include "daemon/sys/log.h"
#include "daemon/manager.h"
#include "daemon/sys/users.h"

#define ROWS	64

bool bl_admin_allowed(struct bl_conn *c)
{
	if (!c->admin_known) {
		c->admin_known = true;
		c->is_admin = !c->peer.uid ||
			(c->m->admin_gid != (gid_t)-1 &&
			 bl_process_in_group(c->fd, &c->peer, c->m->admin_gid));
	}
	return c->is_admin;
}

static bool refuse(struct bl_conn *c, uint64_t serial)
{
	if (bl_admin_allowed(c))
		return false;
	bl_conn_error(c, serial, EACCES, NULL,
		      "this is for root and the members of the group %s",
		      BL_ADMIN_GROUP);
	return true;
}

/* ------------------------------------------------------------------------ */
/* BL_STATUS                                                                 */

static int add_accounts(struct bl_manager *m, struct bl_status *s)
{
	struct bl_walk walk = { .what = BELAY_LIST_ACCOUNTS };
	struct belay_account_row rows[ROWS];
	uint32_t n, i;
	int err;

	do {
		err = bl_device_list(m->dev, &walk, rows, ROWS, &n);
		for (i = 0; !err && i < n; i++) {
			s->accounts++;
			s->refusals += rows[i].refusals;
			if (!m->ledger.root || rows[i].account != m->ledger.root->id)
				continue;
			s->charged_bytes = rows[i].usage_bytes;
			s->regions = rows[i].usage_regions;
			s->limit_bytes = rows[i].limit_bytes;
		}
	} while (!err && n);
	return err;
}

static int add_grants(struct bl_manager *m, struct bl_status *s)
{
	struct bl_walk walk = { .what = BELAY_LIST_GRANTS };
	struct belay_grant_row rows[ROWS];
	uint32_t n, i;
	int err;

	do {
		err = bl_device_list(m->dev, &walk, rows, ROWS, &n);
		for (i = 0; !err && i < n; i++) {
			if (rows[i].flags & BELAY_GRANT_ENDED)
				continue;
			s->grants++;
			s->sessions += rows[i].sessions;
			s->refusals += rows[i].refusals;
			s->pinned_bytes += rows[i].pinned_bytes;
			s->tracked_bytes += rows[i].tracked_bytes;
		}
	} while (!err && n);
	return err;
}

/*
 * Everybody may ask, as often as the buckets of connections allow, and it takes a
 * walk over all grants. So only some answers a second are new, whoever gets them.
 */
static int current_status(struct bl_manager *m, struct bl_status *s)
{
	struct bl_status now = { 0 };
	int err;

	if (bl_bucket_take(&m->status_bucket, BL_STATUS_BURST, BL_STATUS_PER_SEC,
			   bl_manager_now(m))) {
		err = add_accounts(m, &now);
		if (!err)
			err = add_grants(m, &now);
		if (err)
			return err;
		m->status = now;
	}
	*s = m->status;
	return 0;
}

static int fill_status(struct bl_manager *m, struct bl_status *s)
{
	int err = current_status(m, s);

	snprintf(s->version, sizeof(s->version), "%s", BELAY_VERSION);
	s->abi_version = m->dev->info.abi_version;
	s->pid = (uint32_t)getpid();
	s->started_at = m->started_at;
	s->clients = m->n_conns;
	s->open_requests = m->revoke.open;
	s->overdue_requests = m->revoke.overdue;
	return err;
}

void bl_admin_status(struct bl_conn *c, const struct bl_msg *msg)
{
	struct bl_status s = { 0 };
	int err;

	err = fill_status(c->m, &s);
	bl_msg_init(&s.msg, sizeof(s), BL_STATUS, msg->serial);
	if (err)
		bl_conn_error(c, msg->serial, -err, NULL,
			      "the kernel module cannot be asked: %s", strerror(-err));
	else
		bl_conn_send(c, &s.msg, -1);
}

void bl_manager_status_text(struct bl_manager *m, char *buf, size_t len)
{
	char held[BL_SIZE_TEXT], limit[BL_SIZE_TEXT];
	struct bl_status s = { 0 };

	if (fill_status(m, &s)) {
		snprintf(buf, len, "The kernel module does not answer");
		return;
	}
	snprintf(buf, len, "%llu clients, %llu grants, %s of %s held in %llu regions, %llu revoke requests open, %llu of them overdue",
		 (unsigned long long)s.clients, (unsigned long long)s.grants,
		 bl_size_format(held, sizeof(held), s.charged_bytes),
		 bl_size_format(limit, sizeof(limit), s.limit_bytes),
		 (unsigned long long)s.regions,
		 (unsigned long long)s.open_requests,
		 (unsigned long long)s.overdue_requests);
}

/* ------------------------------------------------------------------------ */
/* BL_LIMIT                                                                  */

/* What a limit is set on: one of the two. */
struct target {
	struct bl_account *account;
	struct bl_grant_record *grant;
};

/* A user's account is made if it is not there, so that its limit can be set first. */
static struct bl_account *find_account(struct bl_manager *m, const char *name, int *ret_err)
{
	struct bl_account *a = bl_accounts_named(m, name);
	struct bl_account_key key;
	struct bl_identity who;

	*ret_err = -ENOENT;
	if (a || bl_accounts_parse(name, &key) || key.kind != BL_ACCOUNT_USER)
		return a;
	who.uid = key.id;
	return bl_accounts_get(m, &who, 0, ret_err);
}

static int find_target(struct bl_manager *m, const char *name, struct target *ret)
{
	uint64_t id;
	int err = -ENOENT;

	*ret = (struct target){ 0 };
	if (strncmp(name, "grant/", 6))
		ret->account = find_account(m, name, &err);
	else if (!bl_count_parse(name + 6, &id))
		ret->grant = bl_ledger_grant(&m->ledger, id);
	return ret->account || ret->grant ? 0 : err;
}

/* The target is not there: says which one was meant, perhaps, or where to look. */
static void no_target(struct bl_conn *c, uint64_t serial, const char *name)
{
	uid_t uid;
	uint64_t id;

	if (!strncmp(name, "user/", 5))
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no user %s; a user is a name or a number, as in user/alice or user/1000",
			      name + 5);
	else if (!strncmp(name, "grant/", 6) && bl_count_parse(name + 6, &id))
		bl_conn_error(c, serial, ENOENT, NULL,
			      "\"%s\" is not the number of a grant; see: belayctl list", name + 6);
	else if (!strncmp(name, "grant/", 6))
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no grant %s; see: belayctl list", name + 6);
	else if (!bl_user_id(name, &uid))
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no account \"%s\"; did you mean user/%s?", name, name);
	else
		bl_conn_error(c, serial, ENOENT, NULL,
			      "there is no account \"%s\"; there are system, user/NAME, user/UID and grant/ID",
			      name);
}

static void set(struct bl_limits *limits, uint32_t *mask, const struct bl_limit *l)
{
	*mask |= l->set;
	if (l->set & BL_LIMIT_SET_BYTES)
		limits->bytes = l->limit_bytes;
	if (l->set & BL_LIMIT_SET_REGIONS)
		limits->regions = l->limit_regions;
}

static int set_limit(struct bl_manager *m, const struct target *t,
		     const struct bl_limit *l)
{
	struct bl_limits *limits = t->account ? &t->account->set : &t->grant->set;
	uint32_t *mask = t->account ? &t->account->set_mask : &t->grant->set_mask;
	struct bl_limits old = *limits;
	uint32_t old_mask = *mask;
	int err;

	set(limits, mask, l);
	err = bl_accounts_apply(m);
	if (err) {
		*limits = old;
		*mask = old_mask;
	}
	return err;
}

void bl_admin_limit(struct bl_conn *c, const struct bl_msg *msg)
{
	char regions[32];
	const struct bl_limit *l = (const struct bl_limit *)msg;
	char name[BL_NAME_MAX], bytes[BL_SIZE_TEXT];
	const struct bl_limits *now;
	struct target t;
	int err;

	if (refuse(c, msg->serial))
		return;
	if (!l->set || l->set & ~(BL_LIMIT_SET_BYTES | BL_LIMIT_SET_REGIONS)) {
		bl_conn_error(c, msg->serial, EINVAL, NULL,
			      "BL_LIMIT: nothing to set, or something unknown");
		return;
	}
	snprintf(name, sizeof(name), "%s", l->account);
	err = find_target(c->m, name, &t);
	if (!err)
		err = set_limit(c->m, &t, l);
	if (err == -ENOENT) {
		no_target(c, msg->serial, name);
		return;
	}
	if (err) {
		bl_conn_error(c, msg->serial, -err, NULL,
			      "the limit of %s cannot be set: %s", name, strerror(-err));
		return;
	}
	now = t.account ? &t.account->limits : &t.grant->limits;
	if (now->regions == BL_UNLIMITED)
		snprintf(regions, sizeof(regions), "any number of");
	else
		snprintf(regions, sizeof(regions), "%llu",
			 (unsigned long long)now->regions);
	bl_notice("uid %u set the limit of %s: %s, %s regions", c->peer.uid, name,
		  bl_size_format(bytes, sizeof(bytes), now->bytes), regions);
	bl_conn_ok(c, msg->serial, "%s may hold %s until belayd ends; to keep that, write it into belayd.conf",
		   name, bl_size_format(bytes, sizeof(bytes), now->bytes));
}

/* ------------------------------------------------------------------------ */
/* BL_RELOAD                                                                 */

void bl_admin_reload(struct bl_conn *c, const struct bl_msg *msg)
{
	uint64_t serial = msg->serial;
	char text[BL_TEXT_MAX];
	int err;

	if (refuse(c, serial))
		return;
	err = bl_manager_reload(c->m, text);
	if (err)
		bl_conn_error(c, serial, -err, NULL, "%s", text);
	else
		bl_conn_ok(c, serial, "%s", text);
}
