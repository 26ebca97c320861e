/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The broker of RLIMIT_MEMLOCK.
 *
 * Verbs, VFIO and io_uring keep their own pins and hold a process to its own
 * RLIMIT_MEMLOCK. A process with a grant gets it raised to what the grant allows,
 * times what `memlock` in belayd.conf says, and has it put back when its last grant
 * ends while it lives.
 *
 * What it was before is kept for each process, and in the tag of its grants, in the
 * module, before anything is changed: a daemon that is killed in between leaves it to
 * the next to put it back. It is never made lower than it was, and never touched if
 * the process has made it something else meanwhile, but to lower it to what is allowed;
 * putting back never raises it.
 *
 * A child begins with what its parent has. If that was raised at the time of the fork,
 * the child is taken for a process that came with what its parent came with. The parent
 * is found by descent (the parent of the parent, ... with start times); that another
 * process has the same limit says nothing. A child whose parent has ended is a child
 * of init, and nothing is known of it: it keeps what it has. That is never more than
 * belayd would have given its parent, and gets it no larger grant: `memlock` multiplies
 * only limits that somebody has set.
 *
 * A process that runs as another user than the one in whose name its grant was made has
 * its limit put back, and it is not raised again.
 */
#include <errno.h>
#include <string.h>

#include "common/proc.h"
#include "daemon/act/memlock.h"
#include "daemon/core/decide.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

/* Generations between a child and a process with a grant: a launcher has a few. */
#define ANCESTORS_MAX	64

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ------------------------------------------------------------------------ */
/* What a process came with                                                  */

/*
 * Was it begun while the limit of that one was raised, and has it what it was then,
 * or a part? Start times are in ticks: the one in which it was put back counts.
 */
static bool inherited(const struct bl_process *p, uint64_t start_time,
		      const struct bl_memlock *has)
{
	return p->raised_from && start_time >= p->raised_from &&
	       start_time <= p->raised_until && has->soft > p->memlock_soft &&
	       has->soft <= p->highest_soft && has->hard <= p->highest_hard;
}

static const struct bl_process *raised_ancestor(struct bl_state *st,
						const struct bl_peer *peer,
						const struct bl_memlock *has)
{
	uint64_t start_time = peer->start_time, above;
	pid_t pid = peer->pid, parent;
	const struct bl_process *p;
	int i;

	for (i = 0; i < ANCESTORS_MAX; i++) {
		if (bl_proc_parent(pid, &parent) || parent <= 1 ||
		    bl_proc_start_time(parent, &above) ||
		    bl_process_check(pid, start_time) || above > start_time)
			return NULL;
		p = bl_ledger_process(&st->ledger, parent, above);
		if (p && inherited(p, start_time, has))
			return p;
		pid = parent;
		start_time = above;
	}
	return NULL;
}

bool bl_memlock_original(struct bl_state *st, const struct bl_peer *peer,
			 const struct bl_memlock *has, struct bl_memlock *ret)
{
	const struct bl_process *p = bl_ledger_process(&st->ledger, peer->pid,
						       peer->start_time);

	*ret = *has;
	if (p && p->grants) {
		*ret = (struct bl_memlock){ p->memlock_soft, p->memlock_hard };
		return false;
	}
	p = raised_ancestor(st, peer, has);
	if (!p)
		return false;
	ret->soft = lower(has->soft, p->memlock_soft);
	ret->hard = lower(has->hard, p->memlock_hard);
	return true;
}

/* ------------------------------------------------------------------------ */
/* Raising and putting back                                                  */

/* Or is it what mlock() would have given? */
static bool is_limited(struct bl_state *st, const struct bl_grant_record *g)
{
	return (g->set_mask | g->account->set_mask) & BL_LIMIT_SET_BYTES ||
	       bl_policy_limits_bytes(st->policy, g->uid);
}

uint64_t bl_memlock_allowed(struct bl_state *st, const struct bl_grant_record *g)
{
	const struct bl_account *level;
	uint64_t allowed = bl_decide_bytes(g->account, &g->limits, &level);

	if (!is_limited(st, g))
		return allowed;
	return bl_policy_memlock_bytes(st->policy, g->uid, allowed);
}

/* Before it happens: a child that is forked meanwhile was forked after it. */
static void note_raised(struct bl_process *p, const struct bl_memlock *want)
{
	if (!p->raised_from)
		p->raised_from = bl_process_clock();
	p->raised_until = UINT64_MAX;
	p->highest_soft = higher(p->highest_soft, want->soft);
	p->highest_hard = higher(p->highest_hard, want->hard);
}

void bl_memlock_inherited(struct bl_process *p, const struct bl_memlock *has)
{
	note_raised(p, has);
	p->memlock_raised = has->soft;
}

void bl_memlock_raise(struct bl_state *st, struct bl_grant_record *g)
{
	uint64_t allowed = bl_memlock_allowed(st, g);
	struct bl_process *p = g->process;
	struct bl_memlock has, want = {
		.soft = higher(p->memlock_soft, allowed),
		.hard = higher(p->memlock_hard, allowed),
	};
	uint64_t expected = p->memlock_raised ? p->memlock_raised : p->memlock_soft;
	int err;

	if (want.soft == expected || g->uid_now != g->uid)
		return;
	/* Root's drivers do not look at it; its children must not inherit it. */
	if (!g->uid && allowed == BL_UNLIMITED)
		return;
	err = bl_process_get_memlock(p->pid, p->start_time, &has);
	if (!err && has.soft != expected && has.soft != want.soft) {
		/* Its own doing; but it is not to keep more than is allowed now. */
		want.soft = lower(has.soft, want.soft);
		want.hard = lower(has.hard, want.hard);
		if (want.soft == has.soft && want.hard == has.hard)
			return;
	}
	if (!err) {
		note_raised(p, &want);
		err = bl_process_set_memlock(p->pid, p->start_time, &want);
	}
	if (!err)
		p->memlock_raised = want.soft;
	else if (err != -ESRCH)
		bl_log_client(LOG_WARNING, "RLIMIT_MEMLOCK of process %ld cannot be raised: %s; what other drivers pin for it stays limited",
			      (long)p->pid, strerror(-err));
}

int bl_memlock_restore(struct bl_process *p)
{
	struct bl_memlock has, want;
	int err;

	if (!p->memlock_raised)
		return 0;
	err = bl_process_get_memlock(p->pid, p->start_time, &has);
	if (!err) {
		want.soft = lower(has.soft, p->memlock_soft);
		want.hard = lower(has.hard, p->memlock_hard);
		if (want.soft != has.soft || want.hard != has.hard)
			err = bl_process_set_memlock(p->pid, p->start_time, &want);
	}
	if (err && err != -ESRCH)
		bl_warn("RLIMIT_MEMLOCK of process %ld cannot be put back: %s",
			(long)p->pid, strerror(-err));
	if (err && err != -ESRCH && err != -EPERM)
		return err;
	p->memlock_raised = 0;
	p->raised_until = bl_process_clock();
	return 0;
}

/* ------------------------------------------------------------------------ */
/* Looking again                                                             */

void bl_memlock_user_now(struct bl_state *st, struct bl_grant_record *g, uid_t uid)
{
	char command[BL_NAME_MAX];

	if (uid == g->uid_now)
		return;
	g->uid_now = uid;
	if (uid == g->uid) {
		bl_memlock_raise(st, g);
		return;
	}
	bl_proc_command(g->pid, command, sizeof(command));
	bl_log_client(LOG_NOTICE, "process %ld (%s), which has a grant of %s, runs as uid %u now: it is found under both, and its RLIMIT_MEMLOCK is put back",
		      (long)g->pid, command, g->account->name, uid);
	bl_memlock_restore(g->process);
}

void bl_memlock_sweep(struct bl_state *st)
{
	struct bl_process *p;
	unsigned int i, n = st->ledger.n_processes;

	for (i = 0; i < n && i < BL_SWEEP_PROCESSES; i++) {
		p = TAILQ_FIRST(&st->ledger.process_list);
		TAILQ_REMOVE(&st->ledger.process_list, p, link);
		TAILQ_INSERT_TAIL(&st->ledger.process_list, p, link);
		if (!p->grants && bl_process_check(p->pid, p->start_time))
			bl_ledger_forget_process(&st->ledger, p);
	}
}
