// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* ioctl_fuzz_make.c - a call that is in order, from what there is; see ioctl_fuzz.h */
#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

#define MiB	(1ULL << 20)

static bool one_in(struct fuzz_thread *t, uint32_t n)
{
	return !fuzz_choose(t, n);
}

/* ---- what there is ------------------------------------------------------------------- */

bool fuzz_take_slot(struct fuzz_op *op, struct fuzz_slot *slot)
{
	uint32_t turn = __atomic_load_n(&slot->turn, __ATOMIC_ACQUIRE);
	int fd = __atomic_load_n(&slot->fd, __ATOMIC_ACQUIRE);

	if (fd < 0 || turn % 2)
		return false;
	op->slot = slot;
	op->turn = turn;
	op->fd = fd;
	return true;
}

static bool choose_slot(struct fuzz_thread *t, struct fuzz_op *op)
{
	unsigned int i, first = fuzz_choose(t, FUZZ_SLOTS);

	for (i = 0; i < FUZZ_SLOTS; i++)
		if (fuzz_take_slot(op, &t->p->slots[(first + i) % FUZZ_SLOTS]))
			return true;
	op->slot = NULL;
	return false;
}

/* One that this process has registered with the op's session. */
static struct fuzz_region *own_region(struct fuzz_thread *t, const struct fuzz_op *op)
{
	struct fuzz_region *all = fuzz_of(t)->processes[t->p->index].regions, *r;
	unsigned int i, first = fuzz_choose(t, FUZZ_REGIONS);

	for (i = 0; i < FUZZ_REGIONS; i++) {
		r = &all[(first + i) % FUZZ_REGIONS];
		if (r->taken && r->session == op->slot->session)
			return r;
	}
	return NULL;
}

/* If there is one. */
static bool choose_session_with_region(struct fuzz_thread *t, struct fuzz_op *op)
{
	unsigned int i;

	for (i = 0; i < FUZZ_SLOTS && !own_region(t, op); i++)
		fuzz_take_slot(op, &t->p->slots[i]);
	return own_region(t, op);
}

/* Anybody's, also one that is gone. */
static struct fuzz_region *any_region(struct fuzz_thread *t)
{
	struct fuzz_region *r;
	unsigned int i;

	for (i = 0; i < 32; i++) {
		r = &fuzz_of(t)->processes[fuzz_choose(t, FUZZ_PROCESSES)]
			 .regions[fuzz_choose(t, FUZZ_REGIONS)];
		if (r->taken)
			return r;
	}
	return r;
}

static unsigned int nr_regions(struct fuzz_thread *t)
{
	const struct fuzz_region *all = fuzz_of(t)->processes[t->p->index].regions;
	unsigned int i, n = 0;

	for (i = 0; i < FUZZ_REGIONS; i++)
		n += all[i].taken;
	return n;
}

static uint64_t loose_account(struct fuzz_thread *t)
{
	unsigned int i;
	uint64_t id;

	for (i = 0; i < 8; i++) {
		id = fuzz_of(t)->loose[fuzz_choose(t, FUZZ_LOOSE)];
		if (id)
			return id;
	}
	return 0;
}

static uint64_t any_account(struct fuzz_thread *t)
{
	uint64_t id = one_in(t, 3) ? loose_account(t) : 0;

	return id ? id : fuzz_of(t)->firm[fuzz_choose(t, FUZZ_FIRM)].account;
}

static uint64_t some_limit(struct fuzz_thread *t, uint64_t unit)
{
	return one_in(t, 2) ? BELAY_UNLIMITED : (1 + fuzz_choose(t, 64)) * unit;
}

/* ---- the calls ------------------------------------------------------------------------- */

static unsigned int choose_count(struct fuzz_thread *t, const struct fuzz_op *op)
{
	unsigned int n = 1 + fuzz_choose(t, one_in(t, 16) ? 64 : 4);

	return n * op->stride < SCRATCH_ENTRIES ? n : 1;
}

static void make_register(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_register_entry *e;
	uint64_t pages;
	unsigned int i;

	for (i = 0; i < op->count; i++) {
		e = fuzz_entry(op, i);
		pages = one_in(t, 16) ? 1 + fuzz_choose(t, BK_HUGE / BK_PAGE) : 1 + fuzz_choose(t, 8);
		/* Mostly where it will do. */
		e->addr = one_in(t, 2) ? (uintptr_t)t->p->arena : fuzz_in_arena(t);
		e->addr += fuzz_choose(t, BK_HUGE / BK_PAGE) * BK_PAGE;
		e->len = pages * BK_PAGE;
		e->cookie = fuzz_random64(t);
		e->kind = 1 + fuzz_choose(t, 3);
		e->flags = fuzz_choose(t, 4);
		e->status = 1;
	}
}

static void make_regions(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_region_entry *e;
	struct fuzz_region *r;
	unsigned int i;

	for (i = 0; i < op->count; i++) {
		r = own_region(t, op);
		e = fuzz_entry(op, i);
		e->region = r ? r->region : 0;
		e->status = 1;
	}
}

static void make_trim(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_trim_entry *e;
	struct fuzz_region *r, copy;
	unsigned int i, tries;
	uint64_t pages, first;

	for (i = 0; i < op->count; i++) {
		for (tries = 0; tries < 4; tries++) {
			r = own_region(t, op);
			copy = r ? *r : (struct fuzz_region){};
			/* Of a page no part can go. */
			if (copy.len > BK_PAGE)
				break;
		}
		pages = copy.len / BK_PAGE;
		first = pages > 1 ? fuzz_choose(t, pages) : 0;
		e = fuzz_entry(op, i);
		e->region = copy.region;
		e->addr = copy.addr + first * BK_PAGE;
		e->len = (pages > first + 1 ? 1 + fuzz_choose(t, pages - first - 1) : 1) * BK_PAGE;
		e->status = 1;
	}
}

static void make_account(struct fuzz_thread *t, struct fuzz_op *op)
{
	FUZZ_SET(op, offsetof(struct belay_ctl_account, parent), uint64_t,
		 one_in(t, 8) ? 0 : any_account(t));
	FUZZ_SET(op, offsetof(struct belay_ctl_account, limit_bytes), uint64_t,
		 some_limit(t, MiB / 8));
	FUZZ_SET(op, offsetof(struct belay_ctl_account, limit_regions), uint64_t,
		 some_limit(t, 1));
	memset(op->arg + offsetof(struct belay_ctl_account, tag), 0xab, BELAY_TAG_BYTES);
}

static void make_limits(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_limit_entry *e;
	uint64_t grant;
	unsigned int i;

	/* One of those that are gone is enough to refuse all. */
	op->count = one_in(t, 2) ? 1 : op->count;
	for (i = 0; i < op->count; i++) {
		e = fuzz_entry(op, i);
		grant = t->p->slots[fuzz_choose(t, FUZZ_SLOTS)].grant;
		e->id = one_in(t, 2) || !grant ? loose_account(t) : grant;
		e->flags = e->id == grant ? BELAY_LIMIT_GRANT : 0;
		e->limit_bytes = some_limit(t, MiB / 8);
		e->limit_regions = some_limit(t, 1);
	}
}

static void make_remove(struct fuzz_thread *t, struct fuzz_op *op)
{
	FUZZ_SET(op, offsetof(struct belay_ctl_id, id), uint64_t,
		 one_in(t, 16) ? any_account(t) : loose_account(t));
}

static void make_grant(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_ctl_grant *g = (void *)op->arg;
	unsigned int to = one_in(t, 2) ? t->p->index : fuzz_choose(t, FUZZ_PROCESSES);

	g->account = any_account(t);
	g->pid = __atomic_load_n(&fuzz_of(t)->processes[to].pid, __ATOMIC_RELAXED);
	g->start_time = __atomic_load_n(&fuzz_of(t)->processes[to].start_time, __ATOMIC_RELAXED);
	g->limit_bytes = some_limit(t, MiB);
	g->limit_regions = some_limit(t, 8);
}

static void make_recall(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_recall_entry *e;
	struct fuzz_region *r;
	unsigned int i;

	for (i = 0; i < op->count; i++) {
		r = any_region(t);
		e = fuzz_entry(op, i);
		e->session = r->session;
		e->region = r->region;
		e->request = 1 + fuzz_choose(t, 1000);
		e->deadline = fuzz_random64(t);
		e->reason = BELAY_REASON_ADMIN + fuzz_choose(t, 6);
		e->policy = fuzz_choose(t, 10);
		e->status = 1;
	}
}

static void make_events_done(struct fuzz_thread *t, struct fuzz_op *op)
{
	unsigned int i;

	for (i = 0; i < op->count; i++)
		memcpy(fuzz_entry(op, i), &t->events[i % 32], sizeof(t->events[0]));
}

static void make_select(struct fuzz_thread *t, struct belay_select *sel, uint32_t what)
{
	static const uint32_t may[] = {
		[BELAY_LIST_ACCOUNTS] = 0,
		[BELAY_LIST_GRANTS] = BELAY_SELECT_PID | BELAY_SELECT_UID | BELAY_SELECT_ACCOUNT |
			BELAY_SELECT_GRANT | BELAY_SELECT_MADE_BEFORE,
		[BELAY_LIST_SESSIONS] = BELAY_SELECT_PID | BELAY_SELECT_UID | BELAY_SELECT_ACCOUNT |
			BELAY_SELECT_GRANT | BELAY_SELECT_MADE_BEFORE | BELAY_SELECT_SESSION,
		[BELAY_LIST_REGIONS] = 2 * BELAY_SELECT_TRANSIENT - 1,
	};
	struct fuzz_region *r = any_region(t);

	sel->by = one_in(t, 4) ? 0 : 1U << fuzz_choose(t, 12);
	sel->by |= one_in(t, 4) ? 1U << fuzz_choose(t, 12) : 0;
	sel->by &= may[what];
	if (sel->by & BELAY_SELECT_LASTING)
		sel->by &= ~BELAY_SELECT_TRANSIENT;
	sel->pid = fuzz_of(t)->processes[fuzz_choose(t, FUZZ_PROCESSES)].pid;
	sel->pid = sel->pid > 0 ? sel->pid : 1;
	sel->uid = fuzz_choose(t, 2);
	sel->node = fuzz_choose(t, 2);
	sel->account = any_account(t);
	sel->grant = t->p->slots[fuzz_choose(t, FUZZ_SLOTS)].grant;
	sel->session = r->session;
	sel->region = r->region;
	sel->phys_addr = fuzz_choose(t, 1 << 18) * BK_PAGE;
	sel->phys_len = (1 + fuzz_choose(t, 1 << 18)) * BK_PAGE;
	sel->made_before = one_in(t, 2) ? ~0ULL : fuzz_random64(t);
}

static unsigned int row_size(uint32_t what)
{
	static const unsigned int sizes[] = {
		[BELAY_LIST_ACCOUNTS] = sizeof(struct belay_account_row),
		[BELAY_LIST_GRANTS] = sizeof(struct belay_grant_row),
		[BELAY_LIST_SESSIONS] = sizeof(struct belay_session_row),
		[BELAY_LIST_REGIONS] = sizeof(struct belay_region_row),
	};

	return sizes[what];
}

static void make_list(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_ctl_list *l = (void *)op->arg;

	l->what = 1 + fuzz_choose(t, 4);
	op->stride = op->entry_size = row_size(l->what);
	op->stride += one_in(t, 8) ? 64 : 0;
	op->count = 1 + fuzz_choose(t, 100);
	l->after = one_in(t, 2) ? 0 : t->after;
	l->after_region = one_in(t, 2) ? 0 : t->after_region;
	make_select(t, &l->select, l->what);
}

static void make_wait(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct belay_ctl_wait *w = (void *)op->arg;

	w->timeout = one_in(t, 2) ? 0 : fuzz_choose(t, 5000000);
	make_select(t, &w->select, BELAY_LIST_REGIONS);
}

static void make_holders(struct fuzz_thread *t, struct fuzz_op *op)
{
	FUZZ_SET(op, offsetof(struct belay_ctl_holders, grant), uint64_t,
		 t->p->slots[fuzz_choose(t, FUZZ_SLOTS)].grant);
}

static void (*const makes[FUZZ_COMMANDS])(struct fuzz_thread *t, struct fuzz_op *op) = {
	[F_REGISTER] = make_register, [F_COMMIT] = make_regions, [F_UNREGISTER] = make_regions,
	[F_CHECK] = make_regions, [F_TRIM] = make_trim, [F_ACCOUNT] = make_account,
	[F_LIMITS] = make_limits, [F_REMOVE] = make_remove, [F_GRANT] = make_grant,
	[F_RECALL] = make_recall, [F_RELEASE] = make_recall,
	[F_EVENTS_DONE] = make_events_done, [F_LIST] = make_list, [F_WAIT] = make_wait,
	[F_HOLDERS] = make_holders,
};

/* What can be done now, instead of what cannot. */
static enum fuzz_cmd possible(struct fuzz_thread *t, struct fuzz_op *op, enum fuzz_cmd cmd)
{
	bool on_session = fuzz_commands[cmd].files & ON_SESSION &&
		(cmd != F_INFO || one_in(t, 2));

	op->fd = fuzz_commands[cmd].files & ON_READER && one_in(t, 2) ? fuzz_of(t)->reader :
		fuzz_of(t)->ctl;
	if (on_session && !choose_slot(t, op)) {
		op->fd = fuzz_of(t)->ctl;
		return F_GRANT;
	}
	if (cmd == F_REGISTER && nr_regions(t) > FUZZ_REGIONS / 2)
		cmd = F_UNREGISTER;
	if (cmd >= F_COMMIT && cmd <= F_TRIM && !choose_session_with_region(t, op))
		cmd = F_REGISTER;
	if (cmd == F_EVENTS_DONE && !t->nr_events)
		cmd = F_EVENTS;
	if ((cmd == F_LIMITS || cmd == F_REMOVE) && !loose_account(t))
		cmd = F_ACCOUNT;
	return cmd;
}

void fuzz_make(struct fuzz_thread *t, struct fuzz_op *op, enum fuzz_cmd cmd)
{
	const struct fuzz_command *c;

	*op = (struct fuzz_op){ .bad_entry = -1, .arg = t->scratch,
				.entries = t->scratch + SCRATCH_ARG };
	cmd = possible(t, op, cmd);
	c = op->c = &fuzz_commands[cmd];
	op->nr = c->nr;
	op->size = c->size;
	op->entry_size = op->stride = c->entry_size;
	/* Those of a later release, which has set nothing of what is new in it. */
	if (one_in(t, 4))
		op->size += fuzz_choose(t, BK_PAGE - c->size + 1);
	if (c->entry_size && one_in(t, 4))
		op->stride += 8 * fuzz_choose(t, (BK_PAGE - c->entry_size) / 8 + 1);
	op->count = choose_count(t, op);
	if (cmd == F_EVENTS_DONE)
		op->count = 1 + fuzz_choose(t, t->nr_events) < op->count ? 1 : op->count;
	memset(op->arg, 0, SCRATCH_ARG);
	memset(op->entries, 0, t->dirty);
	if (makes[cmd])
		makes[cmd](t, op);
	t->dirty = (size_t)op->count * op->stride;
	FUZZ_SET(op, 0, uint32_t, op->size);
	op->arg_at = (uintptr_t)op->arg;
	op->sees_arg = op->sees_entries = true;
	if (c->pointer < 0)
		return;
	FUZZ_SET(op, c->pointer, uint64_t, (uintptr_t)op->entries);
	FUZZ_SET(op, c->count, uint32_t, op->count);
	FUZZ_SET(op, c->entry_len, uint32_t, op->stride);
}
