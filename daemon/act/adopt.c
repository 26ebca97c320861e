/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What an earlier daemon left: accounts and grants are in the module, with
 * tags that say whose they are; open revoke requests are the regions that are
 * recalled, or lost and still held: by a driver, or what is left of a pinned
 * one. Nothing else is needed to go on where it was killed.
 *
 * A recall's deadline, reason and escalation are kept by the module. A loss has
 * no deadline there: for a region that is lost and held the time begins anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act/accounts.h"
#include "daemon/act/adopt.h"
#include "daemon/act/holders.h"
#include "daemon/act/memlock.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

#define ROWS	256

/* Calls one() for every row there is; stops at the first error. */
static int for_each(struct bl_state *st, uint32_t what, size_t size,
		    int (*one)(struct bl_state *st, const void *row))
{
	struct bl_walk walk = { .what = what };
	char *rows = calloc(ROWS, size);
	uint32_t n, i;
	int err;

	if (!rows)
		return -ENOMEM;
	do {
		err = bl_device_list(st->dev, &walk, rows, ROWS, &n);
		for (i = 0; !err && i < n; i++)
			err = one(st, rows + i * size);
	} while (!err && n);
	free(rows);
	return err;
}

static int adopt_account(struct bl_state *st, const void *arg)
{
	const struct belay_account_row *row = arg;
	const struct bl_limits limits = { row->limit_bytes, row->limit_regions };
	struct bl_account *parent = bl_ledger_account(&st->ledger, row->parent);
	struct bl_account_key key;
	char name[BL_NAME_MAX];

	/* A parent is older than its children, so it comes first. */
	if (bl_tag_get_account(row->tag, &key) || !parent != !row->parent ||
	    !parent != (key.kind == BL_ACCOUNT_SYSTEM)) {
		bl_warn("account %llu was not made by belayd: it is left alone",
			(unsigned long long)row->account);
		return 0;
	}
	if (bl_ledger_child(&st->ledger, parent, &key))
		return 0;
	bl_accounts_name(&key, name);
	return bl_ledger_add_account(&st->ledger, row->account, parent, &key, name,
				     &limits) ? 0 : -ENOMEM;
}

static int adopt_grant(struct bl_state *st, const void *arg)
{
	const struct belay_grant_row *row = arg;
	const struct bl_limits limits = { row->limit_bytes, row->limit_regions };
	struct bl_account *a = bl_ledger_account(&st->ledger, row->account);
	struct bl_grant_record *g;
	struct bl_grant_tag tag;
	struct bl_process *p;
	uint64_t allowed;
	bool over = row->flags & (BELAY_GRANT_ENDED | BELAY_GRANT_DEAD);

	/*
	 * One that has ended is an event, with its tag, and only that; unless its
	 * process lives on, which may ask for another before that event is read.
	 */
	if (over && (!row->pid || bl_ledger_process(&st->ledger, row->pid, row->start_time)))
		return 0;
	if (!a || bl_tag_get_grant(row->tag, &tag)) {
		if (!over)
			bl_warn("grant %llu was not made by belayd: it is left alone",
				(unsigned long long)row->grant);
		return 0;
	}
	g = bl_ledger_add_grant(&st->ledger, row->grant, a, row->pid,
				row->start_time, &tag, &limits);
	if (!g)
		return -ENOMEM;
	g->over = over;
	/* What the limits of then have made of it, if they did. */
	p = g->process;
	allowed = bl_memlock_allowed(st, g);
	if (allowed > p->memlock_soft)
		p->memlock_raised = allowed;
	return 0;
}

int bl_adopt_region(struct bl_state *st, const struct belay_region_row *row)
{
	struct bl_ask ask = {
		.session = row->session,
		.region = row->region,
		.grant = row->grant,
		.id = row->request,
		.bytes = bl_region_held(row),
		.deadline = row->deadline,
		.reason = row->recall_reason,
		.kind = row->kind,
		.escalation = row->policy,
		.lost = row->state & BELAY_WORD_LOST,
		.lost_len = row->lost_len,
	};

	if (!bl_region_is_held(row) ||
	    !(row->state & (BELAY_WORD_LOST | BELAY_WORD_RECALLED)))
		return 0;
	if (ask.id > st->last_request)
		st->last_request = ask.id;
	if (!ask.lost)
		return bl_revoke_ask(&st->revoke, &ask, NULL, NULL);
	ask.id = BL_LOSS_ID(row->region);
	ask.reason = row->lost_reason;
	if (!row->request) {
		ask.deadline = bl_loop_now(&st->loop) + st->policy->deadline_nsec;
		ask.escalation = bl_policy_escalation(st->policy, BL_ESCALATE_DEFAULT,
						      row->kind);
	}
	return bl_revoke_lost(&st->revoke, &ask, NULL);
}

static int adopt_region(struct bl_state *st, const void *row)
{
	return bl_adopt_region(st, row);
}

/*
 * The daemon before may have been killed between changing a limit and changing
 * what that allows. What is more than it should be, and more than the process can
 * have given itself, was belay's doing; what is less may be the process's own.
 */
static void compare(struct bl_process *p, const struct bl_memlock *has)
{
	uint64_t should = p->memlock_raised ? p->memlock_raised : p->memlock_soft;

	if (has->soft == p->memlock_soft)
		p->memlock_raised = 0;
	else if (has->soft > should &&
		 (p->memlock_raised || has->hard > p->memlock_hard))
		p->memlock_raised = has->soft;
}

/* Children of that process that began since its grant was made may have inherited it. */
static void remember(struct bl_process *p, const struct bl_memlock *has, uint64_t made_at)
{
	if (!p->memlock_raised)
		return;
	p->raised_from = made_at;
	p->raised_until = UINT64_MAX;
	p->highest_soft = has->soft > p->memlock_raised ? has->soft : p->memlock_raised;
	p->highest_hard = has->hard > p->highest_soft ? has->hard : p->highest_soft;
}

/* A process whose limit was not raised yet, or not put where it belongs. */
static void raise_all(struct bl_state *st)
{
	struct bl_grant_record *g;
	struct belay_grant_row row;
	struct bl_holders holders;
	struct bl_memlock has;

	TAILQ_FOREACH(g, &st->ledger.grants, link) {
		if (!bl_process_get_memlock(g->pid, g->start_time, &has) &&
		    !bl_device_grant_row(st->dev, g->id, &row)) {
			compare(g->process, &has);
			remember(g->process, &has, bl_process_clock_at(row.made_at));
		}
		if (g->over)
			continue;
		bl_holders_look(st, g, &holders);
		bl_memlock_raise(st, g);
	}
}

int bl_adopt(struct bl_state *st)
{
	int err;

	err = for_each(st, BELAY_LIST_ACCOUNTS, sizeof(struct belay_account_row),
		       adopt_account);
	if (!err)
		err = bl_accounts_root(st);
	if (!err)
		err = for_each(st, BELAY_LIST_GRANTS,
			       sizeof(struct belay_grant_row), adopt_grant);
	if (!err)
		err = for_each(st, BELAY_LIST_REGIONS,
			       sizeof(struct belay_region_row), adopt_region);
	if (err)
		return err;
	raise_all(st);
	if (st->ledger.n_grants)
		bl_info("adopted %u grants in %u accounts, %llu open revoke requests",
			st->ledger.n_grants, st->ledger.n_accounts,
			(unsigned long long)st->revoke.open);
	return bl_accounts_apply(st);
}
