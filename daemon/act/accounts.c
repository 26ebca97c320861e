/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The tree of limits. The policy says which path of accounts somebody's grants are
 * charged to; an account is made at first need, and goes when nobody uses it. What an
 * account should have comes from the policy, or from an administrator; what it
 * has is in the module. Changes are made in one call, so that no program ever
 * sees half of a new configuration.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act/accounts.h"
#include "daemon/act/memlock.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"
#include "daemon/sys/users.h"

/* Kinds of accounts as people write them: "system", "user/NAME" */
static const struct kind {
	const char *word;
	/* NULL: there is one only */
	int (*parse)(const char *text, uint32_t *ret_id);
	void (*format)(uint32_t id, char *buf, size_t len);
} kinds[BL_ACCOUNT_KINDS] = {
	[BL_ACCOUNT_SYSTEM] = { "system", NULL, NULL },
	[BL_ACCOUNT_USER] = { "user", bl_user_id, bl_user_name },
};

void bl_accounts_name(const struct bl_account_key *key, char name[BL_NAME_MAX])
{
	const struct kind *kind = &kinds[key->kind];
	int n = snprintf(name, BL_NAME_MAX, "%s%s", kind->word, kind->format ? "/" : "");

	if (kind->format)
		kind->format(key->id, name + n, (size_t)(BL_NAME_MAX - n));
}

int bl_accounts_parse(const char *name, struct bl_account_key *ret)
{
	size_t len = strcspn(name, "/");
	unsigned int i;

	for (i = 1; i < BL_ACCOUNT_KINDS; i++) {
		if (strncmp(kinds[i].word, name, len) || kinds[i].word[len] ||
		    !kinds[i].parse != !name[len])
			continue;
		*ret = (struct bl_account_key){ .kind = i };
		return kinds[i].parse ? kinds[i].parse(name + len + 1, &ret->id) : 0;
	}
	return -ENOENT;
}

/* One account more, in the module and the ledger. NULL: *ret_err */
static struct bl_account *make(struct bl_state *st, struct bl_account *parent,
			       const struct bl_account_key *key, uint64_t memlock_bytes,
			       int *ret_err)
{
	struct bl_limits limits = bl_policy_account_limits(st->policy, key, memlock_bytes);
	uint8_t tag[BELAY_TAG_BYTES];
	char name[BL_NAME_MAX];
	struct bl_account *a;
	uint64_t id;

	bl_accounts_name(key, name);
	bl_tag_put_account(tag, key);
	*ret_err = bl_device_account(st->dev, parent ? parent->id : 0, &limits, tag, &id);
	if (*ret_err)
		return NULL;
	a = bl_ledger_add_account(&st->ledger, id, parent, key, name, &limits);
	if (!a) {
		bl_device_account_remove(st->dev, id);
		*ret_err = -ENOMEM;
		return NULL;
	}
	a->memlock_bytes = memlock_bytes;
	return a;
}

int bl_accounts_root(struct bl_state *st)
{
	const struct bl_account_key key = { .kind = BL_ACCOUNT_SYSTEM };
	int err = 0;

	if (!st->ledger.root)
		make(st, NULL, &key, 0, &err);
	return err;
}

/* More than its processes came with until now may be more than its limit. */
static void note_memlock(struct bl_state *st, struct bl_account *a, uint64_t memlock_bytes)
{
	uint64_t before = a->memlock_bytes;

	if (before >= memlock_bytes)
		return;
	a->memlock_bytes = memlock_bytes;
	if (bl_accounts_apply(st))	/* the next one tries again */
		a->memlock_bytes = before;
}

struct bl_account *bl_accounts_get(struct bl_state *st, const struct bl_identity *who,
				   uint64_t memlock_bytes, int *ret_err)
{
	struct bl_account *a = NULL, *parent;
	struct bl_account_path path;
	unsigned int i;

	bl_policy_path(st->policy, who, &path);
	for (i = 0; i < path.count; i++) {
		parent = a;
		a = bl_ledger_child(&st->ledger, parent, &path.keys[i]);
		if (!a)
			a = make(st, parent, &path.keys[i], memlock_bytes, ret_err);
		if (!a)
			return NULL;
	}
	note_memlock(st, a, memlock_bytes);
	return a;
}

struct bl_account *bl_accounts_named(struct bl_state *st, const char *name)
{
	struct bl_account *a = bl_ledger_account_named(&st->ledger, name);
	struct bl_account_key key;

	if (a || bl_accounts_parse(name, &key))
		return a;
	TAILQ_FOREACH(a, &st->ledger.accounts, link)
		if (a->key.kind == key.kind && a->key.id == key.id)
			return a;
	return NULL;
}

/* ------------------------------------------------------------------------ */
/* Making the module's limits what they should be                            */

struct change {
	struct bl_limits *limits;	/* in the ledger */
	struct bl_limits old;
};

struct changes {
	struct belay_limit_entry *entries;
	struct change *changes;
	uint32_t count;
};

static void want(struct changes *all, uint64_t id, uint32_t flags,
		 struct bl_limits *has, struct bl_limits should)
{
	if (has->bytes == should.bytes && has->regions == should.regions)
		return;
	all->entries[all->count] = (struct belay_limit_entry){
		.id = id,
		.flags = flags,
		.limit_bytes = should.bytes,
		.limit_regions = should.regions,
	};
	all->changes[all->count] = (struct change){ has, *has };
	all->count++;
	*has = should;
}

/* More than 16,384 changes at once (users and processes) go in several calls. */
static int set_all(struct bl_state *st, struct changes *all)
{
	uint32_t i, n, failed, done;
	int err = 0;

	for (done = 0; done < all->count && !err; done += n) {
		n = all->count - done;
		if (n > BELAY_MAX_BATCH)
			n = BELAY_MAX_BATCH;
		err = bl_device_limits(st->dev, all->entries + done, n, &failed);
		if (!err)
			continue;
		for (i = done; i < all->count; i++)
			*all->changes[i].limits = all->changes[i].old;
		bl_error("the kernel module refuses limits: %s", strerror(-err));
	}
	return err;
}

int bl_accounts_apply(struct bl_state *st)
{
	size_t max = st->ledger.n_accounts + st->ledger.n_grants + 1;
	struct changes all = {
		.entries = calloc(max, sizeof(*all.entries)),
		.changes = calloc(max, sizeof(*all.changes)),
	};
	struct bl_grant_record *g;
	struct bl_account *a;
	int err = -ENOMEM;

	if (!all.entries || !all.changes)
		goto out;
	TAILQ_FOREACH(a, &st->ledger.accounts, link)
		want(&all, a->id, 0, &a->limits,
		     bl_ledger_account_limits(st->policy, a));
	TAILQ_FOREACH(g, &st->ledger.grants, link)
		if (!g->over)
			want(&all, g->id, BELAY_LIMIT_GRANT, &g->limits,
			     bl_ledger_grant_limits(st->policy, g));
	err = set_all(st, &all);
	/* Not only where a limit has changed: `memlock` may have. */
	if (!err)
		TAILQ_FOREACH(g, &st->ledger.grants, link)
			if (!g->over)
				bl_memlock_raise(st, g);
out:
	free(all.entries);
	free(all.changes);
	return err;
}

void bl_accounts_sweep(struct bl_state *st)
{
	struct bl_account *a, *before;

	/* From the last to the first: children come after their parents. */
	for (a = TAILQ_LAST(&st->ledger.accounts, bl_accounts); a; a = before) {
		before = TAILQ_PREV(a, bl_accounts, link);
		if (a->grants || a->children || a->set_mask || !a->parent)
			continue;
		/* EBUSY: of a process that is gone, but whose file is not. */
		if (!bl_device_account_remove(st->dev, a->id))
			bl_ledger_remove_account(&st->ledger, a);
	}
}
