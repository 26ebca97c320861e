// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * recall.c - asking holders to let go, and what became of it
 *
 * belayd answers when the deadline has passed and what was to happen then has happened,
 * so that answer has no time-out. A program with an event loop sends the request, polls
 * the descriptor, and looks for the answer now and then.
 */
#include <string.h>

#include "common/clock.h"
#include "libadmin/internal.h"

#define NSEC_PER_USEC	1000ULL

_Static_assert(BELAY_ADMIN_AS_CONFIGURED == (int)BL_ESCALATE_DEFAULT &&
	       BELAY_ADMIN_KEEP == (int)BL_KEEP && BELAY_ADMIN_RELEASE == (int)BL_RELEASE &&
	       BELAY_ADMIN_KILL == (int)BL_KILL, "escalations as in the protocol");

/* Checks what the program gives, and makes the message of it. */
static int make_request(struct belay_admin *a, const struct belay_admin_order *given,
			struct bl_recall *ret)
{
	struct belay_admin_order o;
	int err = bl_admin_take(a, "order", given, &o, sizeof(o), ORDER_SIZE_VER0);

	*ret = (struct bl_recall){ 0 };
	if (!err)
		err = bl_admin_selection(a, o.select, &ret->select);
	if (err)
		return err;
	if (o.flags & ~BELAY_ADMIN_NO_WAIT || o.escalation > BELAY_ADMIN_KILL)
		return bl_admin_fail(a, -EINVAL, "order: unknown flags, or escalation");
	/* belayd takes 0 for its own deadline: the shortest is longer. */
	ret->timeout_usec = o.timeout / NSEC_PER_USEC + !!(o.timeout % NSEC_PER_USEC);
	if (ret->timeout_usec > BL_RECALL_MAX_USEC)
		return bl_admin_fail(a, -EINVAL, "order: the deadline is more than 30 days away");
	ret->escalation = o.escalation;
	ret->msg.flags = o.flags & BELAY_ADMIN_NO_WAIT ? 0 : BL_RECALL_WAIT;
	return 0;
}

static void give_result(const struct belay_admin *a, struct belay_admin_recalled *ret)
{
	const struct bl_recalled *answer = &a->answer.recalled;
	struct belay_admin_recalled r = {
		.regions = answer->regions,
		.bytes = answer->bytes,
		.refused = answer->refused,
		.let_go = answer->let_go,
		.released = answer->released,
		.killed = answer->killed,
		.kept = answer->kept,
	};

	memcpy(r.text, answer->text, sizeof(r.text));
	bl_admin_give(ret, &r, sizeof(r));
}

static uint64_t deadline_of(const struct bl_recall *r)
{
	return r->timeout_usec ? bl_boottime() + r->timeout_usec * NSEC_PER_USEC : 0;
}

int belay_admin_recall(struct belay_admin *a, const struct belay_admin_order *order,
		       struct belay_admin_recalled *ret)
{
	struct bl_recall request;
	int err = bl_admin_begin(a);

	if (!err)
		err = bl_admin_check_size(a, ret, RECALLED_SIZE_VER0);
	if (!err)
		err = make_request(a, order, &request);
	if (!err)
		err = bl_admin_send(a, &request, sizeof(request), BL_RECALL);
	if (!err)
		err = bl_admin_await(a, BL_RECALL,
				     request.msg.flags & BL_RECALL_WAIT ? -1 : a->timeout_msec,
				     deadline_of(&request));
	if (!err)
		give_result(a, ret);
	return err;
}

int belay_admin_recall_start(struct belay_admin *a, const struct belay_admin_order *order)
{
	struct bl_recall request;
	int err = bl_admin_begin(a);

	if (!err)
		err = make_request(a, order, &request);
	if (!err)
		err = bl_admin_send(a, &request, sizeof(request), BL_RECALL);
	if (!err)
		a->recall = a->serial;
	return err;
}

int belay_admin_recall_result(struct belay_admin *a, struct belay_admin_recalled *ret)
{
	uint64_t serial = a->recall;
	int err;

	/* Not busy, if that is the only recall. */
	a->recall = 0;
	err = bl_admin_begin(a);
	a->recall = serial;
	if (!err && !serial)
		err = bl_admin_fail(a, -EINVAL, "no recall was started");
	if (!err)
		err = bl_admin_check_size(a, ret, RECALLED_SIZE_VER0);
	if (err)
		return err;
	err = bl_admin_receive(a, serial, BL_RECALL);
	if (err > 0)
		return 0;
	a->recall = 0;
	if (err)
		return err;
	give_result(a, ret);
	return 1;
}

int belay_admin_get_fd(struct belay_admin *a)
{
	uint64_t serial = a->recall;
	int err;

	a->recall = 0;
	err = bl_admin_begin(a);
	a->recall = serial;
	return err ? err : a->fd;
}
