/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * All processes that use a grant. A grant is bound to an address space, and
 * clone(CLONE_VM) makes processes that share one: each can register, and the memory is
 * held until the last has ended. The module says which these are, and who they are
 * now; nothing is kept here, as both can change at any moment.
 *
 * To act upon one, its pid and start time are compared through a pidfd (process.c), so
 * that a stranger who gets the pid is never hit.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/proc.h"
#include "daemon/act/holders.h"
#include "daemon/act/memlock.h"
#include "daemon/state.h"
#include "daemon/sys/log.h"

void bl_holders_look(struct bl_state *st, struct bl_grant_record *g,
		     struct bl_holders *ret)
{
	uint32_t i;
	int err;

	err = bl_device_holders(st->dev, g->id, ret);
	if (err && err != -ENOENT)
		bl_warn("the processes that use grant %llu cannot be listed: %s",
			(unsigned long long)g->id, strerror(-err));
	for (i = 0; i < ret->count; i++)
		if (ret->rows[i].pid == g->pid && ret->rows[i].start_time == g->start_time)
			bl_memlock_user_now(st, g, ret->rows[i].euid);
}

bool bl_holders_have_pid(const struct bl_holders *h, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < h->count; i++)
		if (h->rows[i].pid == pid)
			return true;
	return false;
}

bool bl_holders_have_user(const struct bl_holders *h, uid_t uid)
{
	uint32_t i;

	for (i = 0; i < h->count; i++)
		if (h->rows[i].uid == uid || h->rows[i].euid == uid)
			return true;
	return false;
}

/* 0, or -errno, which is in the log. */
static int kill_one(struct bl_grant_record *g, const struct belay_holder_row *h,
		    const char *why)
{
	char command[BL_NAME_MAX];
	int err = -EPERM;

	bl_proc_command(h->pid, command, sizeof(command));
	/* Never process 1: the machine would stop. */
	if (h->pid > 1 && h->pid != getpid())
		err = bl_process_kill(h->pid, h->start_time);
	if (!err)
		bl_notice("process %ld (%s) of %s killed: it has not let go of %s before the deadline",
			  (long)h->pid, command, g->account->name, why);
	else if (err != -ESRCH)
		bl_warn("process %ld (%s) of %s, which has not let go of %s, cannot be killed: %s",
			(long)h->pid, command, g->account->name, why, strerror(-err));
	return err;
}

int bl_holders_kill(struct bl_state *st, struct bl_grant_record *g, const char *why)
{
	struct bl_holders holders;
	int killed = 0, known = 0, err, first_err = 0;
	uint32_t i;

	bl_holders_look(st, g, &holders);
	for (i = 0; i < holders.count; i++) {
		const struct belay_holder_row *h = &holders.rows[i];

		if (bl_map_get(&g->killed, (uint64_t)h->pid, h->start_time)) {
			known++;	/* it has not ended yet */
			continue;
		}
		err = kill_one(g, h, why);
		if (!err) {
			killed++;
			/* Without memory it gets, and counts, another: so be it. */
			bl_map_put(&g->killed, (uint64_t)h->pid, h->start_time, g);
		} else if (err != -ESRCH && !first_err) {
			first_err = err;
		}
	}
	return killed || known ? killed : first_err;
}

void bl_holders_sweep(struct bl_state *st)
{
	struct bl_grant_record *g;
	struct bl_holders holders;

	TAILQ_FOREACH(g, &st->ledger.grants, link)
		if (!g->over)
			bl_holders_look(st, g, &holders);
}
