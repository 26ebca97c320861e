// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* ioctl_fuzz_taken.c - the answer of a call that has succeeded; see ioctl_fuzz.h */
#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

#define U(n)	((unsigned long long)(n))

static void remember_region(struct fuzz_thread *t, uint64_t session, uint64_t region,
			    uint64_t addr, uint64_t len)
{
	struct fuzz_region *all = fuzz_of(t)->processes[t->p->index].regions;
	unsigned int i, at = fuzz_choose(t, FUZZ_REGIONS);

	for (i = 0; i < FUZZ_REGIONS && all[at].taken; i++)
		at = (at + 1) % FUZZ_REGIONS;
	all[at] = (struct fuzz_region){ session, region, addr, len, true };
}

static void forget_region(struct fuzz_thread *t, uint64_t session, uint64_t region)
{
	struct fuzz_region *all = fuzz_of(t)->processes[t->p->index].regions;
	unsigned int i;

	for (i = 0; i < FUZZ_REGIONS; i++)
		if (all[i].region == region && all[i].session == session)
			all[i].taken = false;
}

/* Nobody changes its limits, so it is never above them. */
static void look_at_level(struct fuzz_thread *t, struct fuzz_op *op, const struct belay_level *l)
{
	const struct belay_level *firm;
	unsigned int i;

	for (i = 0; i < FUZZ_FIRM; i++) {
		firm = &fuzz_of(t)->firm[i];
		if (l->account != firm->account)
			continue;
		fuzz_add(&fuzz_of(t)->firm_seen);
		if (l->limit_bytes != firm->limit_bytes || l->limit_regions != firm->limit_regions ||
		    l->usage_bytes > firm->limit_bytes || l->usage_regions > firm->limit_regions)
			fuzz_fail(t, op, "account %llu has %llu of %llu bytes, %llu of %llu regions; "
				  "limits are %llu and %llu", U(l->account), U(l->usage_bytes),
				  U(l->limit_bytes), U(l->usage_regions), U(l->limit_regions),
				  U(firm->limit_bytes), U(firm->limit_regions));
	}
}

static void took_info(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	const struct belay_info *i = (void *)op->arg;

	if (i->abi_version != BELAY_ABI_VERSION || i->page_size != BK_PAGE ||
	    i->max_batch != BELAY_MAX_BATCH || i->max_overlap != BELAY_MAX_OVERLAP ||
	    i->max_regions != BELAY_MAX_REGIONS || !i->features)
		fuzz_fail(t, op, "something else is said");
}

static void took_register(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	struct belay_register_entry *e;
	unsigned int i, j;

	for (i = 0; i < n; i++) {
		e = fuzz_entry(op, i);
		for (j = 0; e->status == -EDQUOT && j < FUZZ_FIRM; j++)
			if (e->refused_account == fuzz_of(t)->firm[j].account)
				fuzz_add(&fuzz_of(t)->firm_refused);
		if (e->status)
			continue;
		if (e->word >= BELAY_WORDS_MAX || (uint32_t)e->expected || !e->expected ||
		    e->region < BELAY_WORDS_MAX || e->region % BELAY_WORDS_MAX != e->word)
			fuzz_fail(t, op, "region %#llx, word %u, expected %#llx", U(e->region),
				  e->word, U(e->expected));
		remember_region(t, op->slot->session, e->region, e->addr, e->len);
	}
}

static void took_trim(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	const struct belay_part *part;
	struct belay_trim_entry *e;
	unsigned int i, side;

	for (i = 0; i < n; i++) {
		e = fuzz_entry(op, i);
		if (e->status)
			continue;
		forget_region(t, op->slot->session, e->region);
		if (!e->before.region && !e->after.region)
			fuzz_fail(t, op, "a trim leaves nothing of %#llx", U(e->region));
		for (side = 0; side < 2; side++) {
			part = side ? &e->after : &e->before;
			if (part->region)
				remember_region(t, op->slot->session, part->region, part->addr,
						part->len);
		}
	}
}

static void took_unregister(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	struct belay_region_entry *e;
	unsigned int i;

	/* Some stay, so that there are ids of what is gone. */
	for (i = 0; i < n; i++) {
		e = fuzz_entry(op, i);
		if ((!e->status || e->status == -ENOENT) && fuzz_choose(t, 8))
			forget_region(t, op->slot->session, e->region);
	}
}

static void took_check(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	struct belay_region_entry *e;
	unsigned int i;

	for (i = 0; i < n; i++) {
		e = fuzz_entry(op, i);
		if (e->status)
			continue;
		if (e->state & ~(BELAY_WORD_SUSPECT | BELAY_WORD_LOST | BELAY_WORD_RECALLED |
				 BELAY_WORD_RELEASED) ||
		    !(e->state & BELAY_WORD_LOST) != !e->lost_len)
			fuzz_fail(t, op, "region %#llx: state %#x, %llu bytes lost", U(e->region),
				  e->state, U(e->lost_len));
	}
}

static void took_usage(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	const struct belay_usage *u = (void *)op->arg;
	unsigned int i, room = op->count;

	if (!u->session || !u->grant || u->count < 2 || u->count > BELAY_MAX_DEPTH + 1)
		fuzz_fail(t, op, "session %llu, grant %llu, %u levels", U(u->session), U(u->grant),
			  u->count);
	for (i = 0; op->sees_entries && i < room && i < u->count; i++)
		look_at_level(t, op, fuzz_entry(op, i));
}

/* If there is no room for it, the test removes what nobody knows. */
static void took_account(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	uint64_t id = ((struct belay_ctl_account *)op->arg)->account, none = 0;
	unsigned int i, at = fuzz_choose(t, FUZZ_LOOSE);

	if (!id)
		fuzz_fail(t, op, "an account without an id");
	for (i = 0; i < FUZZ_LOOSE; i++, none = 0)
		if (__atomic_compare_exchange_n(&fuzz_of(t)->loose[(at + i) % FUZZ_LOOSE], &none, id,
						false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return;
}

static void took_remove(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	uint64_t id = ((struct belay_ctl_id *)op->arg)->id;
	unsigned int i;

	for (i = 0; i < FUZZ_FIRM; i++)
		if (id == fuzz_of(t)->firm[i].account)
			fuzz_fail(t, op, "an account with a grant was removed");
	for (i = 0; i < FUZZ_LOOSE; i++)
		if (fuzz_of(t)->loose[i] == id)
			fuzz_of(t)->loose[i] = 0;
}

/* Ours to use, or another's, to whom it is handed over, and of whom we may keep it. */
static void took_grant(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	const struct belay_ctl_grant *g = (void *)op->arg;
	struct fuzz_shared *s = fuzz_of(t);
	unsigned int to;
	uint32_t life;

	if (g->fd < 3 || !g->grant || !g->session || g->existed > 1)
		fuzz_fail(t, op, "fd %d, grant %llu, session %llu", g->fd, U(g->grant),
			  U(g->session));
	if (g->pid == getpid()) {
		fuzz_install(t, g->fd, g->session, g->grant);
		return;
	}
	for (to = 0; to < FUZZ_PROCESSES; to++) {
		/* First the life: the pid is taken away before the next one begins. */
		life = __atomic_load_n(&s->processes[to].life, __ATOMIC_ACQUIRE);
		if (__atomic_load_n(&s->processes[to].pid, __ATOMIC_ACQUIRE) == g->pid)
			fuzz_hand_over(t, to, life, g->fd, g->session, g->grant);
	}
	fuzz_keep_foreign(t, g->fd);
}

static void took_events(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	unsigned int i, count = ((struct belay_ctl_events *)op->arg)->count;
	const struct belay_event *e;

	t->nr_events = 0;
	for (i = 0; op->sees_entries && i < count && i < 32; i++) {
		e = fuzz_entry(op, i);
		if (!e->events || !e->grant || !e->seq ||
		    (e->events == BELAY_EVENT_ENDED) != !e->session)
			fuzz_fail(t, op, "event %llu of session %llu, region %#llx, grant %llu: %#x",
				  U(e->seq), U(e->session), U(e->region), U(e->grant), e->events);
		t->events[t->nr_events++] = *e;
	}
}

static void look_at_region_row(struct fuzz_thread *t, struct fuzz_op *op,
			       const struct belay_region_row *r)
{
	if (!r->session || !r->grant || !r->len || r->kind < BELAY_PINNED ||
	    r->kind > BELAY_WATCHED || r->held_bytes > r->len || r->lost_len > r->len ||
	    r->selected_bytes > r->held_bytes)
		fuzz_fail(t, op, "region %#llx of session %llu, kind %u: %llu bytes, %llu held, "
			  "%llu selected, %llu lost", U(r->region), U(r->session), r->kind,
			  U(r->len), U(r->held_bytes), U(r->selected_bytes), U(r->lost_len));
}

static void took_list(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n)
{
	const struct belay_ctl_list *l = (void *)op->arg;
	const struct belay_account_row *row;
	struct belay_level level;
	unsigned int i;

	t->after = l->after;
	t->after_region = l->after_region;
	for (i = 0; op->sees_entries && i < l->count && i < op->count; i++) {
		row = fuzz_entry(op, i);
		if (l->what == BELAY_LIST_REGIONS)
			look_at_region_row(t, op, fuzz_entry(op, i));
		if (l->what != BELAY_LIST_ACCOUNTS)
			continue;
		level = (struct belay_level){ row->account, row->limit_bytes, row->usage_bytes,
					      row->limit_regions, row->usage_regions };
		look_at_level(t, op, &level);
	}
}

static void (*const took[FUZZ_COMMANDS])(struct fuzz_thread *t, struct fuzz_op *op, unsigned int n) = {
	[F_INFO] = took_info, [F_REGISTER] = took_register, [F_TRIM] = took_trim,
	[F_UNREGISTER] = took_unregister, [F_CHECK] = took_check, [F_USAGE] = took_usage,
	[F_ACCOUNT] = took_account, [F_REMOVE] = took_remove, [F_GRANT] = took_grant,
	[F_EVENTS] = took_events, [F_LIST] = took_list,
};

void fuzz_taken(struct fuzz_thread *t, struct fuzz_op *op)
{
	enum fuzz_cmd cmd = op->c - fuzz_commands;
	unsigned int n = op->c->done < 0 ? 0 : FUZZ_GET(op, op->c->done, uint32_t);

	if (took[cmd] && (op->c->done < 0 || op->sees_entries))
		took[cmd](t, op, n);
}
