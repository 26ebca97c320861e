/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <stdlib.h>
#include <string.h>

#include <linux/belay.h>

#include "common/protocol.h"
#include "daemon/core/key.h"
#include "daemon/core/policy.h"

_Static_assert(BL_PATH_MAX == BELAY_MAX_DEPTH, "a path is as long as the module allows");

static bool is_of_rules(const struct bl_key *k)
{
	return !strcmp(k->section, BL_KEY_RULE);
}

struct bl_policy *bl_policy_new(void)
{
	struct bl_policy *p = calloc(1, sizeof(*p));
	const struct bl_key *k;

	for (k = bl_keys; p && k < bl_keys + bl_n_keys; k++)
		if (k->fallback)
			bl_key_parse(k, k->fallback, bl_key_value(k, is_of_rules(k) ?
				     (void *)&p->fallback : (void *)p));
	return p;
}

void bl_rule_set(struct bl_rule *r, const struct bl_key *k, uint64_t value)
{
	*bl_key_value(k, r) = value;
	r->said |= k->said;
}

struct bl_policy *bl_policy_free(struct bl_policy *p)
{
	if (p)
		free(p->users);
	free(p);
	return NULL;
}

static struct bl_rule *find(const struct bl_policy *p, uid_t uid)
{
	unsigned int i;

	for (i = 0; i < p->n_users; i++)
		if (p->users[i].uid == uid)
			return &p->users[i].rule;
	return NULL;
}

struct bl_rule *bl_policy_user(struct bl_policy *p, uid_t uid)
{
	struct bl_rule *r = find(p, uid);
	struct bl_user_rule *users;

	if (r)
		return r;
	users = realloc(p->users, (p->n_users + 1) * sizeof(*users));
	if (!users)
		return NULL;
	p->users = users;
	users[p->n_users] = (struct bl_user_rule){ .uid = uid };
	return &users[p->n_users++].rule;
}

/* The user's rule with what it leaves out taken from [default]. */
static struct bl_rule merged(const struct bl_policy *p, uid_t uid)
{
	struct bl_rule *own = find(p, uid);
	struct bl_rule r = p->fallback;
	const struct bl_key *k;

	for (k = bl_keys; own && k < bl_keys + bl_n_keys; k++)
		if (is_of_rules(k) && own->said & k->said)
			bl_rule_set(&r, k, *bl_key_value(k, own));
	return r;
}

static uint64_t like_mlock(uid_t uid, uint64_t memlock_bytes)
{
	return uid ? memlock_bytes : BL_UNLIMITED;
}

void bl_policy_path(const struct bl_policy *p, const struct bl_identity *who,
		    struct bl_account_path *ret)
{
	*ret = (struct bl_account_path){
		.count = 2,
		.keys = {
			{ .kind = BL_ACCOUNT_SYSTEM },
			{ .kind = BL_ACCOUNT_USER, .id = who->uid },
		},
	};
}

static struct bl_limits user_limits(const struct bl_policy *p, uid_t uid,
				    uint64_t memlock_bytes)
{
	struct bl_rule r = merged(p, uid);

	if (!(r.said & BL_SAYS_BYTES))
		r.user.bytes = like_mlock(uid, memlock_bytes);
	return r.user;
}

struct bl_limits bl_policy_account_limits(const struct bl_policy *p,
					  const struct bl_account_key *key,
					  uint64_t memlock_bytes)
{
	switch (key->kind) {
	case BL_ACCOUNT_USER:
		return user_limits(p, key->id, memlock_bytes);
	default:
		return p->system;
	}
}

struct bl_limits bl_policy_process_limits(const struct bl_policy *p, uid_t uid,
					  uint64_t memlock_bytes)
{
	struct bl_rule r = merged(p, uid);

	if (!(r.said & BL_SAYS_PROCESS_BYTES))
		r.process.bytes = r.said & BL_SAYS_BYTES ? BL_UNLIMITED :
							   like_mlock(uid, memlock_bytes);
	return r.process;
}

bool bl_policy_limits_bytes(const struct bl_policy *p, uid_t uid)
{
	return merged(p, uid).said & (BL_SAYS_BYTES | BL_SAYS_PROCESS_BYTES);
}

uint64_t bl_policy_memlock_bytes(const struct bl_policy *p, uid_t uid, uint64_t allowed)
{
	uint64_t percent = merged(p, uid).memlock_percent;
	unsigned __int128 bytes = allowed;

	if (allowed == BL_UNLIMITED)
		return BL_UNLIMITED;
	bytes = bytes * percent / 100;
	return bytes < BL_UNLIMITED ? (uint64_t)bytes : BL_UNLIMITED;
}

uint32_t bl_policy_escalation(const struct bl_policy *p, uint32_t asked,
			      uint32_t kind)
{
	if (kind == BELAY_WATCHED)	/* nothing is held that force could free */
		return BL_KEEP;
	if (asked == BL_RELEASE && kind != BELAY_PINNED)
		return 0;
	if (asked != BL_ESCALATE_DEFAULT)
		return asked;
	if (p->escalation == BL_RELEASE && kind != BELAY_PINNED)
		return BL_KEEP;
	return (uint32_t)p->escalation;
}
