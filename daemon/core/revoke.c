/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The life of a revoke request.
 *
 * There is one per region at most, for a recall, or for a loss of which
 * something is still held: by the driver of a tracked region, or what is left
 * of a pinned one. When more of it is lost the request stays the same one, with
 * its deadline, and its client is told again. A pinned region that is lost as a
 * whole holds nothing, and a watched one never does: nobody waits for these,
 * their clients are told, and that is all.
 *
 *                  ack of a tracked region
 *        ASKED ----------------------------> ACKED
 *          |                                   |
 *          +------------- deadline ------------+
 *                            |  look: still held?
 *                            v
 *                           DUE --- keep ------------> OVERDUE (KEPT)
 *                            |----- release: ok -----> over    (RELEASED)
 *                            |        EBUSY ---------> OVERDUE (KEPT)
 *                            `----- kill: n >= 0 ----> KILLING
 *                                     not allowed ---> no help
 *        KILLING: gone ---> over (KILLED if n > 0, else LET_GO);
 *                 still held after a while ---> no help
 *        no help: pinned ---> DUE, release; else ---> OVERDUE (KEPT)
 *        ack of a pinned region: release it at once ---> over (LET_GO)
 *        gone, in any state ---> over (LET_GO, or KILLED as above)
 *        refused by the module when it was new ---> over (KEPT)
 *        recalled again, in any state ---> ASKED
 *
 * Before anything is done to anybody, the module is asked whether the region
 * is still held (LOOK): the news that it is gone may not have been read yet.
 *
 * Timers, all of them; a request has one at a time (wake):
 *
 *   the deadline       as asked for, CLOCK_BOOTTIME
 *   LOOK_AGAIN_NSEC    after a kill, until the memory is free
 *   GIVE_UP_NSEC       after a kill, until it is called overdue, or released if
 *                      it is pinned: then no signal helps. Somebody else holds the
 *                      driver's file, or a process cannot end
 *   RETRY_NSEC         after a look or a kill that failed for want of memory
 *
 * After a restart the daemon asks again for everything that the module lists
 * as recalled or lost; a deadline that has passed meanwhile is due at once.
 */
#include <errno.h>
#include <stdlib.h>

#include <linux/belay.h>

#include "common/protocol.h"
#include "common/units.h"
#include "daemon/core/revoke.h"

#define LOOK_AGAIN_NSEC	(BL_NSEC_PER_SEC / 4)
#define GIVE_UP_NSEC	(10 * BL_NSEC_PER_SEC)
#define RETRY_NSEC	BL_NSEC_PER_SEC

/* ------------------------------------------------------------------------ */
/* Timers, and kills                                                         */

/* There is room: as much as there are requests. */
static void wake_at(struct bl_revocation *rv, struct bl_request *r, uint64_t when)
{
	bl_heap_set(&rv->timers, &r->timer, when);
}

static struct bl_request *first_due(const struct bl_revocation *rv)
{
	return (struct bl_request *)bl_heap_first(&rv->timers);
}

uint64_t bl_revoke_wake(const struct bl_revocation *rv)
{
	const struct bl_request *r = first_due(rv);

	return r ? r->timer.wake : 0;
}

/* How many processes of a grant were killed; -1: that was not tried. */
static int killed_of(const struct bl_revocation *rv, uint64_t grant)
{
	return (int)(uintptr_t)bl_map_get(&rv->killed, grant, 0) - 1;
}

static void count_kills(const struct bl_revocation *rv, const struct bl_request *r)
{
	int n = killed_of(rv, r->grant);

	if (n >= 0)
		bl_job_count_kills(r->waits, r->grant, (unsigned int)n);
}

void bl_revoke_killed(struct bl_revocation *rv, uint64_t grant, unsigned int n)
{
	int before = killed_of(rv, grant);

	/* Without memory there is a second signal: it does no harm. */
	bl_map_put(&rv->killed, grant, 0,
		   (void *)((uintptr_t)(before < 0 ? 0 : before) + n + 1));
}

/* ------------------------------------------------------------------------ */
/* Requests                                                                  */

struct bl_request *bl_revoke_find(const struct bl_revocation *rv, uint64_t session,
				  uint64_t region)
{
	return bl_map_get(&rv->regions, session, region);
}

struct bl_request *bl_revoke_find_id(const struct bl_revocation *rv, uint64_t session,
				     uint64_t id)
{
	return bl_map_get(&rv->ids, session, id);
}

struct bl_request *bl_revoke_first(const struct bl_revocation *rv, uint64_t grant)
{
	return bl_map_get(&rv->grants, grant, 0);
}

/* Enters a new request in all indices, or in none. */
static int enter(struct bl_revocation *rv, struct bl_request *r)
{
	struct bl_request *first = bl_revoke_first(rv, r->grant);

	if (bl_heap_reserve(&rv->timers, rv->open + 1) || bl_map_put(&rv->regions, r->session, r->region, r))
		return -ENOMEM;
	if (bl_map_put(&rv->ids, r->session, r->id, r))
		goto err_regions;
	if (bl_map_put(&rv->grants, r->grant, 0, r))
		goto err_ids;
	r->next = first;
	if (first)
		first->prev = r;
	rv->open++;
	return 0;

err_ids:
	bl_map_remove(&rv->ids, r->session, r->id);
err_regions:
	bl_map_remove(&rv->regions, r->session, r->region);
	return -ENOMEM;
}

static void set_state(struct bl_revocation *rv, struct bl_request *r,
		      enum bl_request_state state)
{
	rv->overdue += (state == BL_OVERDUE) - (r->state == BL_OVERDUE);
	r->state = state;
}

/* Out of all indices, its waiters told. */
static void finish(struct bl_revocation *rv, struct bl_request *r,
		   enum bl_outcome outcome)
{
	wake_at(rv, r, 0);
	bl_map_remove(&rv->regions, r->session, r->region);
	bl_map_remove(&rv->ids, r->session, r->id);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else if (r->next)	/* replacing a value needs no memory */
		bl_map_put(&rv->grants, r->grant, 0, r->next);
	else
		bl_map_remove(&rv->grants, r->grant, 0);
	if (r->state == BL_KILLING)
		count_kills(rv, r);
	set_state(rv, r, BL_ASKED);
	rv->open--;
	bl_job_decide(&r->waits, outcome);
	free(r);
}

static void overdue(struct bl_revocation *rv, struct bl_request *r)
{
	wake_at(rv, r, 0);
	if (r->state == BL_KILLING)
		count_kills(rv, r);
	set_state(rv, r, BL_OVERDUE);
	bl_job_decide(&r->waits, BL_KEPT);
}

/* The id of a request that there is becomes another. */
static int change_id(struct bl_revocation *rv, struct bl_request *r, uint64_t id)
{
	if (id == r->id)
		return 0;
	if (bl_map_put(&rv->ids, r->session, id, r))
		return -ENOMEM;
	bl_map_remove(&rv->ids, r->session, r->id);
	r->id = id;
	return 0;
}

/* A new request, or the one that there is with a new id. */
static int get(struct bl_revocation *rv, const struct bl_ask *ask,
	       struct bl_request **ret)
{
	struct bl_request *r = bl_revoke_find(rv, ask->session, ask->region);

	if (r) {
		*ret = r;
		return change_id(rv, r, ask->id);
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->session = ask->session;
	r->region = ask->region;
	r->grant = ask->grant;
	r->id = ask->id;
	r->bytes = ask->bytes;
	r->kind = (uint8_t)ask->kind;
	if (enter(rv, r)) {
		free(r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

static void ask_again(struct bl_revocation *rv, struct bl_request *r,
		      const struct bl_ask *ask)
{
	r->deadline = ask->deadline;
	r->escalation = (uint8_t)ask->escalation;
	r->reason = ask->reason;
	r->lost = ask->lost;
	r->lost_len = ask->lost_len;
	r->bytes = ask->bytes;
	set_state(rv, r, BL_ASKED);
	wake_at(rv, r, ask->deadline);
}

int bl_revoke_ask(struct bl_revocation *rv, const struct bl_ask *ask,
		  struct bl_job *job, struct bl_request **ret)
{
	struct bl_wait *w = NULL;
	struct bl_request *r;

	if (job && bl_job_wait(job, &w))
		return -ENOMEM;
	if (get(rv, ask, &r)) {
		bl_job_unwait(w);
		return -ENOMEM;
	}
	ask_again(rv, r, ask);
	if (w) {
		w->next = r->waits;
		r->waits = w;
	}
	if (ret)
		*ret = r;
	return 0;
}

int bl_revoke_lost(struct bl_revocation *rv, const struct bl_ask *ask,
		   struct bl_request **ret)
{
	struct bl_request *r = bl_revoke_find(rv, ask->session, ask->region);
	bool known = r;

	if (get(rv, ask, &r))
		return -ENOMEM;
	if (!known) {
		ask_again(rv, r, ask);
	} else if (!r->lost || ask->lost_len > r->lost_len) {
		r->lost = true;
		r->lost_len = ask->lost_len;
		r->bytes = ask->bytes;
		r->reason = ask->reason;
		if (r->state == BL_ACKED)	/* of what it knew; this is news */
			set_state(rv, r, BL_ASKED);
	}
	if (ret)
		*ret = r;
	return 0;
}

/* ------------------------------------------------------------------------ */
/* What happens to them                                                      */

enum bl_action bl_revoke_ack(struct bl_revocation *rv, struct bl_request *r)
{
	if (r->kind == BELAY_PINNED)
		return BL_DO_RELEASE;
	if (r->state == BL_ASKED)
		set_state(rv, r, BL_ACKED);
	return BL_DO_NOTHING;
}

void bl_revoke_gone(struct bl_revocation *rv, struct bl_request *r)
{
	bool killed = r->state == BL_KILLING && killed_of(rv, r->grant) > 0;

	finish(rv, r, killed ? BL_KILLED : BL_LET_GO);
}

void bl_revoke_cancel(struct bl_revocation *rv, struct bl_request *r)
{
	finish(rv, r, BL_KEPT);
}

void bl_revoke_grant_ended(struct bl_revocation *rv, uint64_t grant)
{
	struct bl_request *r;

	while ((r = bl_revoke_first(rv, grant)))
		bl_revoke_gone(rv, r);
	bl_map_remove(&rv->killed, grant, 0);
}

static void killing(struct bl_revocation *rv, struct bl_request *r, uint64_t now)
{
	set_state(rv, r, BL_KILLING);
	r->give_up = now + GIVE_UP_NSEC;
	wake_at(rv, r, now + LOOK_AGAIN_NSEC);
}

/*
 * No signal helps, or none could be sent: what the module holds is released, for what
 * others hold there is nothing more to do.
 */
static void kill_is_no_help(struct bl_revocation *rv, struct bl_request *r, uint64_t now)
{
	if (r->kind != BELAY_PINNED) {
		overdue(rv, r);
		return;
	}
	if (r->state == BL_KILLING)
		count_kills(rv, r);
	r->escalation = BL_RELEASE;
	set_state(rv, r, BL_DUE);
	wake_at(rv, r, now);
}

/* Due, and known to be held: what its escalation says. */
static enum bl_action escalate(struct bl_revocation *rv, struct bl_request *r,
			       uint64_t now)
{
	switch (r->escalation) {
	case BL_RELEASE:
		return BL_DO_RELEASE;
	case BL_KILL:
		/* One signal is enough for a process; others are looked for in between. */
		if (!bl_map_get(&rv->killed, r->grant, 0))
			return BL_DO_KILL;
		killing(rv, r, now);
		return BL_DO_NOTHING;
	default:
		overdue(rv, r);
		return BL_DO_NOTHING;
	}
}

struct bl_request *bl_revoke_due(struct bl_revocation *rv, uint64_t now,
				 enum bl_action *ret_action)
{
	struct bl_request *r;

	while ((r = first_due(rv)) && r->timer.wake <= now) {
		*ret_action = r->state == BL_DUE ? escalate(rv, r, now) :
						   BL_DO_LOOK;
		if (*ret_action != BL_DO_NOTHING)
			return r;
	}
	return NULL;
}

static bool looked(struct bl_revocation *rv, struct bl_request *r, int result,
		   uint64_t now)
{
	if (result == -ENOENT) {
		bl_revoke_gone(rv, r);
		return true;
	}
	if (r->state == BL_OVERDUE)
		return false;
	if (result)
		wake_at(rv, r, now + RETRY_NSEC);
	else if (r->state != BL_KILLING)
		set_state(rv, r, BL_DUE);
	else if (now < r->give_up)
		wake_at(rv, r, now + LOOK_AGAIN_NSEC);
	else
		kill_is_no_help(rv, r, now);
	return false;
}

static bool released(struct bl_revocation *rv, struct bl_request *r, int result)
{
	bool ordered = r->state == BL_DUE;

	if (!result || result == -ENOENT || result == -ESTALE) {
		finish(rv, r, ordered && !result ? BL_RELEASED : BL_LET_GO);
		return true;
	}
	if (ordered)
		overdue(rv, r);
	return false;
}

bool bl_revoke_result(struct bl_revocation *rv, struct bl_request *r,
		      enum bl_action action, int result, uint64_t now)
{
	switch (action) {
	case BL_DO_LOOK:
		return looked(rv, r, result, now);
	case BL_DO_RELEASE:
		return released(rv, r, result);
	case BL_DO_KILL:
		if (result == -EMFILE || result == -ENFILE || result == -ENOMEM) {
			wake_at(rv, r, now + RETRY_NSEC);
			return false;
		}
		if (result < 0) {
			kill_is_no_help(rv, r, now);
			return false;
		}
		bl_revoke_killed(rv, r->grant, (unsigned int)result);
		killing(rv, r, now);
		return false;
	default:
		return false;
	}
}

void bl_revoke_fini(struct bl_revocation *rv)
{
	size_t i;

	for (i = 0; i < rv->regions.size; i++) {
		struct bl_request *r = rv->regions.slots[i].value;

		if (!r)
			continue;
		bl_job_drop(&r->waits);
		free(r);
	}
	bl_map_fini(&rv->regions);
	bl_map_fini(&rv->ids);
	bl_map_fini(&rv->grants);
	bl_map_fini(&rv->killed);
	bl_heap_fini(&rv->timers);
	*rv = (struct bl_revocation){ 0 };
}
