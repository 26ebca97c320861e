/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The tree of limits: "system", and below it one account per user. What an
 * account should have comes from the policy, or from an administrator; what it
 * has is in the module. Changes are made in one call, so that no program ever
 * sees half of a new configuration.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager.h"
#include "daemon/users.h"

int bl_accounts_system(struct bl_manager *m)
{
	const struct bl_account_tag tag = { .kind = BL_ACCOUNT_SYSTEM };
	uint8_t bytes[BELAY_TAG_BYTES];
	uint64_t id;
	int err;

	if (m->ledger.system)
		return 0;
	bl_tag_put_account(bytes, &tag);
	err = bl_device_account(m->dev, 0, &m->policy->system, bytes, &id);
	if (err)
		return err;
	if (bl_ledger_add_account(&m->ledger, id, &tag, "system",
				  &m->policy->system))
		return 0;
	bl_device_account_remove(m->dev, id);
	return -ENOMEM;
}

struct bl_account *bl_accounts_user(struct bl_manager *m, uid_t uid,
				    uint64_t memlock_bytes, int *ret_err)
{
	const struct bl_account_tag tag = { .kind = BL_ACCOUNT_USER, .uid = uid };
	struct bl_account *a = bl_ledger_user(&m->ledger, uid);
	uint8_t bytes[BELAY_TAG_BYTES];
	char name[BL_NAME_MAX - 8];
	struct bl_limits limits;
	uint64_t id, before;

	if (a) {
		before = a->memlock_bytes;
		if (before < memlock_bytes) {
			a->memlock_bytes = memlock_bytes;
			if (bl_accounts_apply(m))	/* the next one tries again */
				a->memlock_bytes = before;
		}
		return a;
	}
	limits = bl_policy_user_limits(m->policy, uid, memlock_bytes);
	bl_user_name(uid, name, sizeof(name));
	bl_tag_put_account(bytes, &tag);
	*ret_err = bl_device_account(m->dev, m->ledger.system->id, &limits, bytes, &id);
	if (*ret_err)
		return NULL;
	a = bl_ledger_add_account(&m->ledger, id, &tag, name, &limits);
	if (!a) {
		bl_device_account_remove(m->dev, id);
		*ret_err = -ENOMEM;
		return NULL;
	}
	a->memlock_bytes = memlock_bytes;
	return a;
}

struct bl_account *bl_accounts_named(struct bl_manager *m, const char *name)
{
	struct bl_account *a = bl_ledger_account_named(&m->ledger, name);
	uid_t uid;

	if (a || strncmp(name, "user/", 5) || bl_user_id(name + 5, &uid))
		return a;
	return bl_ledger_user(&m->ledger, uid);
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

/* What is over 16,384 at once (users and processes) goes in several calls. */
static int set_all(struct bl_manager *m, struct changes *all)
{
	uint32_t i, n, failed, done;
	int err = 0;

	for (done = 0; done < all->count && !err; done += n) {
		n = all->count - done;
		if (n > BELAY_MAX_BATCH)
			n = BELAY_MAX_BATCH;
		err = bl_device_limits(m->dev, all->entries + done, n, &failed);
		if (!err)
			continue;
		for (i = done; i < all->count; i++)
			*all->changes[i].limits = all->changes[i].old;
		bl_error("the kernel module refuses limits: %s", strerror(-err));
	}
	return err;
}

int bl_accounts_apply(struct bl_manager *m)
{
	size_t max = m->ledger.n_accounts + m->ledger.n_grants + 1;
	struct changes all = {
		.entries = calloc(max, sizeof(*all.entries)),
		.changes = calloc(max, sizeof(*all.changes)),
	};
	struct bl_grant_record *g;
	struct bl_account *a;
	int err = -ENOMEM;

	if (!all.entries || !all.changes)
		goto out;
	TAILQ_FOREACH(a, &m->ledger.accounts, link)
		want(&all, a->id, 0, &a->limits,
		     bl_ledger_account_limits(&m->ledger, m->policy, a));
	TAILQ_FOREACH(g, &m->ledger.grants, link)
		if (!g->over)
			want(&all, g->id, BELAY_LIMIT_GRANT, &g->limits,
			     bl_ledger_grant_limits(m->policy, g));
	err = set_all(m, &all);
	/* Not only where a limit has changed: `memlock` may have. */
	if (!err)
		TAILQ_FOREACH(g, &m->ledger.grants, link)
			if (!g->over)
				bl_memlock_raise(m, g);
out:
	free(all.entries);
	free(all.changes);
	return err;
}

void bl_accounts_sweep(struct bl_manager *m)
{
	struct bl_account *a, *next;

	for (a = TAILQ_FIRST(&m->ledger.accounts); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (a->grants || a->set_mask || a->kind != BL_ACCOUNT_USER)
			continue;
		/* EBUSY: of a process that is gone, but whose file is not. */
		if (!bl_device_account_remove(m->dev, a->id))
			bl_ledger_remove_account(&m->ledger, a);
	}
}
