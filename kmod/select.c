// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * select.c - which grants, sessions and regions are meant
 *
 * A selection is read once for each call: what depends on the caller (a user in
 * its namespace) and the place, in page frames, are worked out then. The fields
 * that it is compared with never change in a grant, a session or a published region,
 * so no lock is taken to compare; only whether a pid is alive is asked each time.
 *
 * Regions are walked session by session. A cursor says where to go on by ids,
 * so that a walk holds nobody up; while it lasts it has a reference on the
 * session it is in, and the caller one on the region in hand. Of a region that
 * is let go meanwhile, the structure and the runs of its pages stay for that
 * long, not the pages.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "select.h"

#define OF_GRANT	(BELAY_SELECT_PID | BELAY_SELECT_UID | BELAY_SELECT_ACCOUNT | \
			 BELAY_SELECT_GRANT | BELAY_SELECT_MADE_BEFORE)
#define OF_SESSION	(OF_GRANT | BELAY_SELECT_SESSION)
#define OF_REGION	(OF_SESSION | BELAY_SELECT_REGION | BELAY_SELECT_NODE | \
			 BELAY_SELECT_PHYS | BELAY_SELECT_FILE | \
			 BELAY_SELECT_LASTING | BELAY_SELECT_TRANSIENT)

/* The last frame that an address reaches. */
#define PFN_MAX		((unsigned long)(U64_MAX >> PAGE_SHIFT))

static const u32 makes_sense[] = {
	[BELAY_LIST_GRANTS] = OF_GRANT,
	[BELAY_LIST_SESSIONS] = OF_SESSION,
	[BELAY_LIST_REGIONS] = OF_REGION,
};

static int check(const struct belay_select *arg, u32 what)
{
	u32 by = arg->by, lifetimes = BELAY_SELECT_LASTING | BELAY_SELECT_TRANSIENT;

	if (by & ~OF_REGION)
		return -EOPNOTSUPP;
	if (by & ~(what < ARRAY_SIZE(makes_sense) ? makes_sense[what] : 0))
		return -EINVAL;
	if ((by & lifetimes) == lifetimes ||
	    (by & BELAY_SELECT_PID && arg->pid <= 0) ||
	    (by & BELAY_SELECT_NODE && arg->node < 0))
		return -EINVAL;
	return 0;
}

/* @what: enum belay_list_what */
int belay_select_read(struct belay_selection *sel, const struct belay_select *arg,
		      u32 what)
{
	int ret = check(arg, what);

	if (ret)
		return ret;
	*sel = (struct belay_selection) {
		.arg = *arg,
		.node = NUMA_NO_NODE,
		.last_pfn = ULONG_MAX,
	};
	if (arg->by & BELAY_SELECT_UID)
		sel->uid = make_kuid(current_user_ns(), arg->uid);
	if (arg->by & BELAY_SELECT_NODE)
		sel->node = arg->node;
	if (arg->by & BELAY_SELECT_PHYS)
		return belay_range_read(arg->phys_addr, arg->phys_len, 0, PFN_MAX,
					&sel->first_pfn, &sel->last_pfn);
	return 0;
}

static bool is_below(const struct belay_grant *g, u64 account)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(g->accounts); i++)
		if (g->accounts[i] && g->accounts[i] == account)
			return true;
	return false;
}

static bool fits_grant(const struct belay_selection *sel, const struct belay_grant *g)
{
	const struct belay_select *arg = &sel->arg;

	return (!(arg->by & BELAY_SELECT_GRANT) || g->id == arg->grant) &&
	       (!(arg->by & BELAY_SELECT_ACCOUNT) || is_below(g, arg->account)) &&
	       (!(arg->by & BELAY_SELECT_UID) || uid_eq(g->user->uid, sel->uid)) &&
	       (!(arg->by & BELAY_SELECT_PID) || belay_grant_pid(g) == arg->pid);
}

static bool fits_age(const struct belay_selection *sel, u64 made_at)
{
	return !(sel->arg.by & BELAY_SELECT_MADE_BEFORE) ||
	       made_at < sel->arg.made_before;
}

static bool fits_session(const struct belay_selection *sel, const struct belay_session *s)
{
	return (!(sel->arg.by & BELAY_SELECT_SESSION) || s->id == sel->arg.session) &&
	       fits_grant(sel, s->grant);
}

/* The place is not looked at. */
static bool fits_region(const struct belay_selection *sel, const struct belay_region *r)
{
	const struct belay_select *arg = &sel->arg;
	bool transient = r->flags & BELAY_REGION_TRANSIENT;

	return (!(arg->by & BELAY_SELECT_REGION) || r->id == arg->region) &&
	       (!(arg->by & BELAY_SELECT_LASTING) || !transient) &&
	       (!(arg->by & BELAY_SELECT_TRANSIENT) || transient) &&
	       (!(arg->by & BELAY_SELECT_FILE) ||
		(r->device == arg->device && r->inode == arg->inode)) &&
	       fits_age(sel, r->made_at);
}

/* The place is not looked at. */
bool belay_select_fits_region(const struct belay_selection *sel, const struct belay_region *r)
{
	return fits_session(sel, r->session) && fits_region(sel, r);
}

bool belay_select_fits_grant(const struct belay_selection *sel, const struct belay_grant *g)
{
	return fits_grant(sel, g) && fits_age(sel, g->made_at);
}

static bool selects_session(const struct belay_selection *sel, const struct belay_session *s)
{
	return fits_session(sel, s) && fits_age(sel, s->made_at);
}

/*
 * The next session after *@after that @fits, with a reference; NULL at the end,
 * or after a fatal signal.
 */
static struct belay_session *session_after(const struct belay_selection *sel, u64 *after,
					   bool (*fits)(const struct belay_selection *,
							const struct belay_session *))
{
	struct belay_session *s;

	/* The one that is named is not searched for. */
	if (sel->arg.by & BELAY_SELECT_SESSION && *after < sel->arg.session)
		*after = sel->arg.session - 1;
	while ((s = belay_session_next(*after))) {
		*after = s->id;
		if (fits(sel, s))
			return s;
		belay_session_put(s);
		if (sel->arg.by & BELAY_SELECT_SESSION || fatal_signal_pending(current))
			return NULL;
		cond_resched();
	}
	return NULL;
}

struct belay_session *belay_select_next_session(const struct belay_selection *sel, u64 *after)
{
	return session_after(sel, after, selects_session);
}

static void enter_next_session(const struct belay_selection *sel, struct belay_cursor *c)
{
	if (c->in)
		belay_session_put(c->in);
	c->in = NULL;
	/* Going on in the middle of one, in a call of its own. */
	if (c->region && !c->begun) {
		c->in = belay_session_find(c->session);
		if (c->in && !fits_session(sel, c->in)) {
			belay_session_put(c->in);
			c->in = NULL;
		}
	}
	c->begun = true;
	if (c->in)
		return;
	c->region = 0;
	c->in = session_after(sel, &c->session, fits_session);
}

/*
 * Regions come by session, and in it by their place; a cursor's region of 0, which
 * no region's id is, begins a session.
 */
static struct belay_region *next_in_session(const struct belay_selection *sel,
					    struct belay_cursor *c)
{
	unsigned long slot = c->region ? belay_region_slot(c->region) + 1UL : 0;
	struct belay_region *r;

	if (sel->arg.by & BELAY_SELECT_REGION)
		slot = max_t(unsigned long, slot, belay_region_slot(sel->arg.region));
	r = belay_region_next(c->in, &slot);
	if (r && sel->arg.by & BELAY_SELECT_REGION && r->id != sel->arg.region) {
		belay_region_put(r);
		return NULL;
	}
	if (r)
		c->region = r->id;
	return r;
}

/*
 * The next region that fits, but for the place, with a reference; NULL at the
 * end, or after a fatal signal. To be ended with belay_select_end().
 */
struct belay_region *belay_select_next_region(const struct belay_selection *sel,
					      struct belay_cursor *c)
{
	struct belay_region *r;

	if (!c->in)
		enter_next_session(sel, c);
	while (c->in && !fatal_signal_pending(current)) {
		r = next_in_session(sel, c);
		if (!r) {
			enter_next_session(sel, c);
		} else {
			if (fits_region(sel, r))
				return r;
			belay_region_put(r);
		}
		cond_resched();
	}
	return NULL;
}

void belay_select_end(struct belay_cursor *c)
{
	if (c->in)
		belay_session_put(c->in);
	c->in = NULL;
}
