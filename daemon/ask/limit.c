/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* BL_LIMIT: an administrator sets a limit, until belayd ends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/act/accounts.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"
#include "daemon/sys/users.h"

/* The target of a limit: one of the two. */
struct target {
	struct bl_account *account;
	struct bl_grant_record *grant;
};

/* A user's account is made if it is not there, so that its limit can be set first. */
static struct bl_account *find_account(struct bl_state *st, const char *name, int *ret_err)
{
	struct bl_account *a = bl_accounts_named(st, name);
	struct bl_account_key key;
	struct bl_identity who;

	*ret_err = -ENOENT;
	if (a || bl_accounts_parse(name, &key) || key.kind != BL_ACCOUNT_USER)
		return a;
	who.uid = key.id;
	return bl_accounts_get(st, &who, 0, ret_err);
}

static int find_target(struct bl_state *st, const char *name, struct target *ret)
{
	uint64_t id;
	int err = -ENOENT;

	*ret = (struct target){ 0 };
	if (strncmp(name, "grant/", 6))
		ret->account = find_account(st, name, &err);
	else if (!bl_count_parse(name + 6, &id))
		ret->grant = bl_ledger_grant(&st->ledger, id);
	return ret->account || ret->grant ? 0 : err;
}

/* The target is not there: says which one was meant, perhaps, or where to look. */
static void no_target(struct bl_conn *c, uint64_t serial, const char *name)
{
	uid_t uid;
	uint64_t id;

	if (!strncmp(name, "user/", 5))
		bl_conn_error(c, serial, ENOENT,
			      "there is no user %s; a user is a name or a number, as in user/alice or user/1000",
			      name + 5);
	else if (!strncmp(name, "grant/", 6) && bl_count_parse(name + 6, &id))
		bl_conn_error(c, serial, ENOENT,
			      "\"%s\" is not the number of a grant; see: belayctl list", name + 6);
	else if (!strncmp(name, "grant/", 6))
		bl_conn_error(c, serial, ENOENT,
			      "there is no grant %s; see: belayctl list", name + 6);
	else if (!bl_user_id(name, &uid))
		bl_conn_error(c, serial, ENOENT,
			      "there is no account \"%s\"; did you mean user/%s?", name, name);
	else
		bl_conn_error(c, serial, ENOENT,
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

static int set_limit(struct bl_state *st, const struct target *t,
		     const struct bl_limit *l)
{
	struct bl_limits *limits = t->account ? &t->account->set : &t->grant->set;
	uint32_t *mask = t->account ? &t->account->set_mask : &t->grant->set_mask;
	struct bl_limits old = *limits;
	uint32_t old_mask = *mask;
	int err;

	set(limits, mask, l);
	err = bl_accounts_apply(st);
	if (err) {
		*limits = old;
		*mask = old_mask;
	}
	return err;
}

void bl_ask_limit(struct bl_conn *c, const struct bl_msg *msg)
{
	char regions[32];
	const struct bl_limit *l = (const struct bl_limit *)msg;
	char name[BL_NAME_MAX], bytes[BL_SIZE_TEXT];
	const struct bl_limits *now;
	struct target t;
	int err;

	if (!l->set || l->set & ~(BL_LIMIT_SET_BYTES | BL_LIMIT_SET_REGIONS)) {
		bl_conn_error(c, msg->serial, EINVAL,
			      "BL_LIMIT: nothing to set, or something unknown");
		return;
	}
	snprintf(name, sizeof(name), "%s", l->account);
	err = find_target(bl_state_of(c), name, &t);
	if (!err)
		err = set_limit(bl_state_of(c), &t, l);
	if (err == -ENOENT) {
		no_target(c, msg->serial, name);
		return;
	}
	if (err) {
		bl_conn_error(c, msg->serial, -err,
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
