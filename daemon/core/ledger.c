/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/ledger.h"

void bl_ledger_init(struct bl_ledger *l)
{
	*l = (struct bl_ledger){ 0 };
	TAILQ_INIT(&l->accounts);
	TAILQ_INIT(&l->grants);
	TAILQ_INIT(&l->process_list);
}

void bl_ledger_fini(struct bl_ledger *l)
{
	struct bl_grant_record *g;
	struct bl_process *p;
	struct bl_account *a;

	while ((g = TAILQ_FIRST(&l->grants)))
		bl_ledger_remove_grant(l, g);
	while ((p = TAILQ_FIRST(&l->process_list)))
		bl_ledger_forget_process(l, p);
	while ((a = TAILQ_LAST(&l->accounts, bl_accounts)))	/* children first */
		bl_ledger_remove_account(l, a);
	bl_map_fini(&l->account_ids);
	bl_map_fini(&l->grant_ids);
	bl_map_fini(&l->keys);
	bl_map_fini(&l->processes);
}

/* A key as a number */
static uint64_t packed(const struct bl_account_key *key)
{
	return (uint64_t)key->kind << 32 | key->id;
}

struct bl_account *bl_ledger_add_account(struct bl_ledger *l, uint64_t id,
					 struct bl_account *parent,
					 const struct bl_account_key *key,
					 const char *name,
					 const struct bl_limits *limits)
{
	struct bl_account *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->id = id;
	a->parent = parent;
	a->key = *key;
	a->limits = *limits;
	snprintf(a->name, sizeof(a->name), "%s", name);
	if (bl_map_put(&l->account_ids, id, 0, a))
		goto err;
	if (bl_map_put(&l->keys, parent ? parent->id : 0, packed(key), a))
		goto err_ids;
	if (parent)
		parent->children++;
	else
		l->root = a;
	TAILQ_INSERT_TAIL(&l->accounts, a, link);
	l->n_accounts++;
	return a;

err_ids:
	bl_map_remove(&l->account_ids, id, 0);
err:
	free(a);
	return NULL;
}

void bl_ledger_remove_account(struct bl_ledger *l, struct bl_account *a)
{
	TAILQ_REMOVE(&l->accounts, a, link);
	l->n_accounts--;
	bl_map_remove(&l->account_ids, a->id, 0);
	bl_map_remove(&l->keys, a->parent ? a->parent->id : 0, packed(&a->key));
	if (a->parent)
		a->parent->children--;
	else
		l->root = NULL;
	free(a);
}

struct bl_account *bl_ledger_account(const struct bl_ledger *l, uint64_t id)
{
	return bl_map_get(&l->account_ids, id, 0);
}

struct bl_account *bl_ledger_child(const struct bl_ledger *l,
				   const struct bl_account *parent,
				   const struct bl_account_key *key)
{
	return bl_map_get(&l->keys, parent ? parent->id : 0, packed(key));
}

struct bl_account *bl_ledger_at(const struct bl_ledger *l,
				const struct bl_account_path *path)
{
	struct bl_account *a = NULL;
	unsigned int i;

	for (i = 0; i < path->count; i++) {
		a = bl_ledger_child(l, a, &path->keys[i]);
		if (!a)
			return NULL;
	}
	return a;
}

const struct bl_account *bl_account_user(const struct bl_account *a)
{
	while (a && a->key.kind != BL_ACCOUNT_USER)
		a = a->parent;
	return a;
}

const char *bl_account_short_name(const struct bl_account *a)
{
	const char *slash = strchr(a->name, '/');

	return slash ? slash + 1 : a->name;
}

struct bl_account *bl_ledger_account_named(const struct bl_ledger *l,
					   const char *name)
{
	struct bl_account *a;

	TAILQ_FOREACH(a, &l->accounts, link)
		if (!strcmp(a->name, name))
			return a;
	return NULL;
}

/* Its record, or a new one. What it came with is what the tag says. */
static struct bl_process *get_process(struct bl_ledger *l, pid_t pid, uint64_t start_time,
				      const struct bl_grant_tag *tag)
{
	struct bl_process *p = bl_ledger_process(l, pid, start_time);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p || bl_map_put(&l->processes, (uint64_t)pid, start_time, p)) {
			free(p);
			return NULL;
		}
		p->pid = pid;
		p->start_time = start_time;
		TAILQ_INSERT_TAIL(&l->process_list, p, link);
		l->n_processes++;
	}
	if (!p->grants) {
		p->memlock_soft = tag->memlock_soft;
		p->memlock_hard = tag->memlock_hard;
	}
	return p;
}

void bl_ledger_forget_process(struct bl_ledger *l, struct bl_process *p)
{
	bl_map_remove(&l->processes, (uint64_t)p->pid, p->start_time);
	TAILQ_REMOVE(&l->process_list, p, link);
	l->n_processes--;
	free(p);
}

struct bl_grant_record *bl_ledger_add_grant(struct bl_ledger *l, uint64_t id,
					    struct bl_account *account,
					    pid_t pid, uint64_t start_time,
					    const struct bl_grant_tag *tag,
					    const struct bl_limits *limits)
{
	struct bl_grant_record *g = calloc(1, sizeof(*g));
	struct bl_process *p;

	if (!g)
		return NULL;
	p = get_process(l, pid, start_time, tag);
	if (!p)
		goto err;
	g->id = id;
	g->account = account;
	g->process = p;
	g->pid = pid;
	g->start_time = start_time;
	g->uid = tag->uid;
	g->uid_now = tag->uid;
	g->limits = *limits;
	if (bl_map_put(&l->grant_ids, id, 0, g))
		goto err_process;
	if (account->memlock_bytes < p->memlock_soft)
		account->memlock_bytes = p->memlock_soft;
	account->grants++;
	p->grants++;
	TAILQ_INSERT_TAIL(&l->grants, g, link);
	l->n_grants++;
	return g;

err_process:
	if (!p->grants)
		bl_ledger_forget_process(l, p);
err:
	free(g);
	return NULL;
}

/* Its process is remembered, if its limit was ever raised. */
void bl_ledger_remove_grant(struct bl_ledger *l, struct bl_grant_record *g)
{
	struct bl_process *p = g->process;

	TAILQ_REMOVE(&l->grants, g, link);
	l->n_grants--;
	g->account->grants--;
	bl_map_remove(&l->grant_ids, g->id, 0);
	if (!--p->grants && !p->raised_from)
		bl_ledger_forget_process(l, p);
	bl_map_fini(&g->killed);
	free(g);
}

struct bl_grant_record *bl_ledger_grant(const struct bl_ledger *l, uint64_t id)
{
	return bl_map_get(&l->grant_ids, id, 0);
}

struct bl_process *bl_ledger_process(const struct bl_ledger *l, pid_t pid,
				     uint64_t start_time)
{
	return bl_map_get(&l->processes, (uint64_t)pid, start_time);
}

static void apply_set(struct bl_limits *l, const struct bl_limits *set,
		      uint32_t mask)
{
	if (mask & BL_LIMIT_SET_BYTES)
		l->bytes = set->bytes;
	if (mask & BL_LIMIT_SET_REGIONS)
		l->regions = set->regions;
}

struct bl_limits bl_ledger_account_limits(const struct bl_policy *p,
					  const struct bl_account *a)
{
	struct bl_limits limits = bl_policy_account_limits(p, &a->key, a->memlock_bytes);

	apply_set(&limits, &a->set, a->set_mask);
	return limits;
}

struct bl_limits bl_ledger_process_limits(const struct bl_policy *p,
					  const struct bl_account *a, uid_t uid,
					  uint64_t memlock_bytes)
{
	/* What an administrator gave the user is for its processes too. */
	if (a->set_mask & BL_LIMIT_SET_BYTES)
		memlock_bytes = BL_UNLIMITED;
	return bl_policy_process_limits(p, uid, memlock_bytes);
}

struct bl_limits bl_ledger_grant_limits(const struct bl_policy *p,
					const struct bl_grant_record *g)
{
	struct bl_limits limits = bl_ledger_process_limits(p, g->account, g->uid,
							   g->process->memlock_soft);

	apply_set(&limits, &g->set, g->set_mask);
	return limits;
}
