/* SPDX-License-Identifier: MIT */
/*
 * The broker of RLIMIT_MEMLOCK.
 *
 * Verbs, VFIO and io_uring keep their own pins and hold a process to its own
 * RLIMIT_MEMLOCK. A process with a grant gets it raised to what the grant
 * allows, and has it put back when the grant ends while the process lives.
 *
 * What it was before is in the grant's tag, in the module, before anything is
 * changed: a daemon that is killed in between leaves it to the next to put it
 * back. It is never made lower than it was, and never touched if the process
 * has made it something else meanwhile, but to lower it to what is allowed; putting
 * back never raises it.
 */
#include <errno.h>
#include <string.h>

#include "daemon/log.h"
#include "daemon/manager.h"

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void bl_memlock_raise(struct bl_manager *m, struct bl_grant_record *g)
{
	uint64_t allowed = bl_ledger_allowed_bytes(&m->ledger, g->account,
						   &g->limits, NULL);
	struct bl_memlock has, want = {
		.soft = higher(g->memlock_soft, allowed),
		.hard = higher(g->memlock_hard, allowed),
	};
	uint64_t expected = g->memlock_raised ? g->memlock_raised : g->memlock_soft;
	int err;

	if (want.soft == expected)
		return;
	/* Root's drivers do not look at it; its children must not inherit it. */
	if (!g->uid && allowed == BL_UNLIMITED)
		return;
	err = bl_process_get_memlock(g->pid, g->start_time, &has);
	if (!err && has.soft != expected && has.soft != want.soft) {
		/* Its own doing; but it is not to keep more than is allowed now. */
		want.soft = lower(has.soft, want.soft);
		want.hard = lower(has.hard, want.hard);
		if (want.soft == has.soft && want.hard == has.hard)
			return;
	}
	if (!err)
		err = bl_process_set_memlock(g->pid, g->start_time, &want);
	if (!err)
		g->memlock_raised = want.soft;
	else if (err != -ESRCH)
		bl_log_client(LOG_WARNING, "RLIMIT_MEMLOCK of process %ld cannot be raised: %s; what other drivers pin for it stays limited",
			      (long)g->pid, strerror(-err));
}

/*
 * A process can have two grants for a while: it has closed its last handle and
 * opened one, or has executed another image, and the end of the first one has not
 * been read yet. That must not take away what the second allows.
 */
void bl_memlock_hand_over(struct bl_grant_record *from, struct bl_grant_record *to)
{
	if (from->memlock_raised)
		to->memlock_raised = from->memlock_raised;
	from->memlock_raised = 0;
}

int bl_memlock_restore(struct bl_manager *m, struct bl_grant_record *g)
{
	struct bl_memlock has, want;
	int err;

	if (!g->memlock_raised)
		return 0;
	err = bl_process_get_memlock(g->pid, g->start_time, &has);
	if (!err) {
		want.soft = lower(has.soft, g->memlock_soft);
		want.hard = lower(has.hard, g->memlock_hard);
		if (want.soft != has.soft || want.hard != has.hard)
			err = bl_process_set_memlock(g->pid, g->start_time, &want);
	}
	if (err && err != -ESRCH)
		bl_warn("RLIMIT_MEMLOCK of process %ld cannot be put back: %s",
			(long)g->pid, strerror(-err));
	if (err && err != -ESRCH && err != -EPERM)
		return err;
	g->memlock_raised = 0;
	return 0;
}
