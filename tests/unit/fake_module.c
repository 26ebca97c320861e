/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/fake_module.h"

#define FIND(array, cond)						\
	({								\
		__typeof__(&(array)[0]) found = NULL, x;		\
									\
		for (x = (array); !found && x < (array) + FAKE_MAX; x++)\
			if (x->used && (cond))				\
				found = x;				\
		found;							\
	})

#define NEW(array)							\
	({								\
		__typeof__(&(array)[0]) fresh = NULL, x;		\
									\
		for (x = (array); !fresh && x < (array) + FAKE_MAX; x++)\
			if (!x->used)					\
				fresh = x;				\
		if (!fresh)						\
			abort();					\
		memset(fresh, 0, sizeof(*fresh));			\
		fresh->used = true;					\
		fresh;							\
	})

/* ------------------------------------------------------------------------ */
/* Events                                                                    */

unsigned int fake_pending(struct fake_module *f)
{
	unsigned int n = 0, i;

	for (i = 0; i < FAKE_MAX; i++) {
		n += f->regions[i].used && f->regions[i].events;
		n += f->grants[i].used && f->grants[i].ended_pending;
	}
	return n;
}

/* The control file is readable while there is something to say. */
static void poll_state(struct fake_module *f)
{
	uint64_t v = 1;
	ssize_t n;

	n = read(f->dev.fd, &v, sizeof(v));
	v = 1;
	if (fake_pending(f))
		n = write(f->dev.fd, &v, sizeof(v));
	(void)n;
}

static void raise_event(struct fake_module *f, struct fake_region *r, uint32_t bit)
{
	r->events |= bit;
	r->seq = ++f->last_seq;
	poll_state(f);
}

static int events_read(struct fake_module *f, struct belay_ctl_events *arg)
{
	struct belay_event *out = (struct belay_event *)(uintptr_t)arg->entries;
	uint32_t n = 0, i;

	for (i = 0; i < FAKE_MAX && n < arg->count; i++) {
		struct fake_region *r = &f->regions[i];
		struct fake_grant *g = &f->grants[i];

		if (r->used && r->events)
			out[n++] = (struct belay_event){
				.session = r->row.session,
				.region = r->row.region,
				.grant = r->row.grant,
				.seq = r->seq,
				.events = r->events,
				.reason = r->row.lost_reason,
				.request = r->row.request,
			};
		if (g->used && g->ended_pending && n < arg->count)
			out[n++] = (struct belay_event){
				.grant = g->row.grant,
				.seq = g->seq,
				.events = BELAY_EVENT_ENDED,
			};
	}
	arg->count = n;
	return 0;
}

static int events_done(struct fake_module *f, struct belay_ctl_events *arg)
{
	struct belay_event *e = (struct belay_event *)(uintptr_t)arg->entries;
	uint32_t i;

	for (i = 0; i < arg->count; i++) {
		struct fake_region *r = FIND(f->regions, x->events && x->seq == e[i].seq);
		struct fake_grant *g = FIND(f->grants,
					    x->ended_pending && x->seq == e[i].seq);

		if (r) {
			r->told |= r->events & BELAY_EVENT_LOST;
			r->events = 0;
			r->used = !r->gone;
		}
		if (g)
			g->used = false;
	}
	poll_state(f);
	return 0;
}

/* ------------------------------------------------------------------------ */
/* Processes                                                                 */

struct belay_region_row *fake_region(struct fake_module *f, uint64_t session,
				     uint64_t region)
{
	struct fake_region *r = FIND(f->regions, !x->gone &&
				     x->row.session == session &&
				     x->row.region == region);

	return r ? &r->row : NULL;
}

struct belay_account_row *fake_account(struct fake_module *f, uint64_t account)
{
	struct fake_account *a = FIND(f->accounts, x->row.account == account);

	return a ? &a->row : NULL;
}

struct belay_grant_row *fake_grant_of(struct fake_module *f, uint64_t session)
{
	struct fake_session *s = FIND(f->sessions, x->id == session);
	struct fake_grant *g = s ? FIND(f->grants, x->row.grant == s->grant) : NULL;

	return g ? &g->row : NULL;
}

static void charge(struct fake_module *f, uint64_t grant, int64_t bytes, int regions)
{
	struct fake_grant *g = FIND(f->grants, x->row.grant == grant);
	struct fake_account *a;

	g->row.usage_bytes += (uint64_t)bytes;
	g->row.pinned_bytes += (uint64_t)bytes;
	g->row.usage_regions += (uint64_t)regions;
	for (a = FIND(f->accounts, x->row.account == g->row.account); a;
	     a = FIND(f->accounts, x->row.account == a->row.parent)) {
		a->row.usage_bytes += (uint64_t)bytes;
		a->row.usage_regions += (uint64_t)regions;
	}
}

uint64_t fake_register(struct fake_module *f, uint64_t session, uint32_t kind,
		       uint64_t len)
{
	struct fake_region *r = NEW(f->regions);
	uint64_t id = ++f->last_id;

	r->row = (struct belay_region_row){
		.session = session,
		.region = id,
		.grant = fake_grant_of(f, session)->grant,
		.addr = id << 32,
		.len = len,
		.cookie = ~id,
		.kind = kind,
		.node = -1,
	};
	charge(f, r->row.grant, (int64_t)len, 1);
	return id;
}

static void let_go(struct fake_module *f, struct fake_region *r)
{
	charge(f, r->row.grant, -(int64_t)r->row.len, -1);
	r->gone = true;
	if (r->row.request || r->told) {
		raise_event(f, r, BELAY_EVENT_GONE);
	} else {
		r->used = false;
		poll_state(f);
	}
}

void fake_unregister(struct fake_module *f, uint64_t session, uint64_t region)
{
	struct fake_region *r = FIND(f->regions, !x->gone &&
				     x->row.session == session &&
				     x->row.region == region);

	let_go(f, r);
}

void fake_lose_part(struct fake_module *f, uint64_t session, uint64_t region,
		    uint64_t offset, uint64_t len)
{
	struct fake_region *r = FIND(f->regions, !x->gone &&
				     x->row.session == session &&
				     x->row.region == region);
	uint64_t start = r->row.addr + offset, end = start + len;

	if (r->row.lost_len && r->row.lost_addr < start)
		start = r->row.lost_addr;
	if (r->row.lost_len && r->row.lost_addr + r->row.lost_len > end)
		end = r->row.lost_addr + r->row.lost_len;
	r->row.state |= BELAY_WORD_LOST;
	r->row.lost_reason = BELAY_REASON_UNMAPPED;
	r->row.lost_addr = start;
	r->row.lost_len = end - start;
	raise_event(f, r, BELAY_EVENT_LOST);
}

void fake_lose(struct fake_module *f, uint64_t session, uint64_t region)
{
	fake_lose_part(f, session, region, 0, fake_region(f, session, region)->len);
}

void fake_trim(struct fake_module *f, uint64_t session, uint64_t region,
	       uint64_t offset, uint64_t len, uint64_t ret_parts[2])
{
	struct belay_region_row old = *fake_region(f, session, region), *part;
	uint64_t lens[2] = { offset, old.len - offset - len };
	int i;

	for (i = 0; i < 2; i++) {
		ret_parts[i] = 0;
		if (!lens[i])
			continue;
		ret_parts[i] = fake_register(f, session, old.kind, lens[i]);
		part = fake_region(f, session, ret_parts[i]);
		part->addr = old.addr + (i ? offset + len : 0);
		part->cookie = old.cookie;
	}
	fake_unregister(f, session, region);
}

void fake_end_grant(struct fake_module *f, uint64_t grant)
{
	struct fake_grant *g = FIND(f->grants, x->row.grant == grant);
	struct fake_session *s;
	struct fake_region *r;

	while ((r = FIND(f->regions, !x->gone && x->row.grant == grant)))
		let_go(f, r);
	while ((s = FIND(f->sessions, x->grant == grant)))
		s->used = false;
	FIND(f->accounts, x->row.account == g->row.account)->row.grants--;
	g->row.flags |= BELAY_GRANT_ENDED | BELAY_GRANT_DEAD;
	g->row.sessions = 0;
	g->ended_pending = true;
	g->seq = ++f->last_seq;
	poll_state(f);
}

/* ------------------------------------------------------------------------ */
/* Commands                                                                  */

static int account_new(struct fake_module *f, struct belay_ctl_account *arg)
{
	struct fake_account *a;

	if (arg->parent && !fake_account(f, arg->parent))
		return -ENOENT;
	a = NEW(f->accounts);
	a->row = (struct belay_account_row){
		.account = ++f->last_id,
		.parent = arg->parent,
		.limit_bytes = arg->limit_bytes,
		.limit_regions = arg->limit_regions,
	};
	memcpy(a->row.tag, arg->tag, sizeof(arg->tag));
	arg->account = a->row.account;
	return 0;
}

static int account_remove(struct fake_module *f, struct belay_ctl_id *arg)
{
	struct fake_account *a = FIND(f->accounts, x->row.account == arg->id);

	if (!a)
		return -ENOENT;
	if (a->row.grants || FIND(f->accounts, x->row.parent == arg->id))
		return -EBUSY;
	a->used = false;
	return 0;
}

static int limits_set(struct fake_module *f, struct belay_ctl_limits *arg)
{
	struct belay_limit_entry *e = (void *)(uintptr_t)arg->entries;
	uint32_t i;

	f->limit_calls++;
	f->limit_entries = arg->count;
	for (i = 0; i < arg->count; i++) {
		struct fake_account *a = FIND(f->accounts, x->row.account == e[i].id);
		struct fake_grant *g = FIND(f->grants, x->row.grant == e[i].id);

		if (e[i].flags & BELAY_LIMIT_GRANT && g) {
			g->row.limit_bytes = e[i].limit_bytes;
			g->row.limit_regions = e[i].limit_regions;
		} else if (!(e[i].flags & BELAY_LIMIT_GRANT) && a) {
			a->row.limit_bytes = e[i].limit_bytes;
			a->row.limit_regions = e[i].limit_regions;
		} else {
			arg->failed = i;
			return -ENOENT;
		}
	}
	return 0;
}

static int grant_new(struct fake_module *f, struct belay_ctl_grant *arg)
{
	struct fake_grant *g = FIND(f->grants, x->row.pid == arg->pid &&
				    x->row.account == arg->account &&
				    x->row.start_time == arg->start_time &&
				    !x->row.flags);
	struct fake_session *s;

	if (f->busy_grants && f->busy_grants--)
		return -EAGAIN;
	if (!fake_account(f, arg->account))
		return -ENOENT;
	arg->existed = g != NULL;
	if (!g) {
		g = NEW(f->grants);
		g->row = (struct belay_grant_row){
			.grant = ++f->last_id,
			.account = arg->account,
			.start_time = arg->start_time,
			.pid = arg->pid,
			.uid = arg->uid,
			.made_at = bl_boottime(),
			.limit_bytes = arg->limit_bytes,
			.limit_regions = arg->limit_regions,
		};
		memcpy(g->row.tag, arg->tag, sizeof(arg->tag));
		fake_account(f, arg->account)->grants++;
	}
	g->row.sessions++;
	s = NEW(f->sessions);
	arg->fd = memfd_create("session", MFD_CLOEXEC);
	s->id = ++f->last_id;
	s->grant = g->row.grant;
	arg->grant = g->row.grant;
	arg->session = s->id;
	return 0;
}

/* The process that it was made for, as the user that was named, and those that f says. */
static int holders(struct fake_module *f, struct belay_ctl_holders *arg)
{
	struct belay_holder_row *rows = (void *)(uintptr_t)arg->rows;
	struct fake_grant *g = FIND(f->grants, x->row.grant == arg->grant);
	uint32_t n = 0, i;

	if (!g)
		return -ENOENT;
	if (!f->first_gone && !(g->row.flags & BELAY_GRANT_DEAD))
		rows[n++] = (struct belay_holder_row){
			.pid = g->row.pid,
			.start_time = g->row.start_time,
			.uid = f->run_as ? f->run_as : g->row.uid,
			.euid = f->run_as ? f->run_as : g->row.uid,
		};
	for (i = 0; i < FAKE_SHARERS && f->sharers[i].pid; i++)
		rows[n++] = f->sharers[i];
	arg->count = n;
	return 0;
}

static int recall(struct fake_module *f, struct belay_ctl_recall *arg, bool release)
{
	struct belay_recall_entry *e = (void *)(uintptr_t)arg->entries;
	uint32_t i;
	int err = f->fail_recall;

	f->fail_recall = 0;
	if (err)
		return -err;
	for (i = 0; i < arg->count; i++) {
		struct fake_region *r = FIND(f->regions, !x->gone &&
					     x->row.session == e[i].session &&
					     x->row.region == e[i].region);

		e[i].status = 0;
		if (!r) {
			e[i].status = -ENOENT;
		} else if (!release) {
			r->row.state |= BELAY_WORD_RECALLED;
			r->row.request = e[i].request;
			r->row.deadline = e[i].deadline;
			r->row.recall_reason = e[i].reason;
			r->row.policy = e[i].policy;
		} else if (r->row.kind != BELAY_PINNED) {
			e[i].status = -EBUSY;
		} else {
			let_go(f, r);
		}
	}
	arg->done = arg->count;
	return 0;
}

/* Is the grant charged to that account, or to one below it? */
static bool is_charged(struct fake_module *f, uint64_t grant, uint64_t account)
{
	struct fake_grant *g = FIND(f->grants, x->row.grant == grant);
	struct belay_account_row *a = g ? fake_account(f, g->row.account) : NULL;

	while (a && a->account != account)
		a = fake_account(f, a->parent);
	return a;
}

/* By place and so on; a physical range is everywhere. */
static bool is_selected(struct fake_module *f, const struct belay_region_row *r,
			const struct belay_select *s)
{
	bool transient = r->flags & BELAY_REGION_TRANSIENT;

	return (!(s->by & BELAY_SELECT_ACCOUNT) || is_charged(f, r->grant, s->account)) &&
	       (!(s->by & BELAY_SELECT_NODE) || (s->node < 64 && r->nodes >> s->node & 1)) &&
	       (!(s->by & BELAY_SELECT_FILE) ||
		(r->device == s->device && r->inode == s->inode)) &&
	       (!(s->by & BELAY_SELECT_MADE_BEFORE) || r->made_at < s->made_before) &&
	       (!(s->by & BELAY_SELECT_LASTING) || !transient) &&
	       (!(s->by & BELAY_SELECT_TRANSIENT) || transient);
}

/* By id only: all that the daemon asks of sessions. */
static int list_session(struct fake_module *f, struct belay_ctl_list *arg)
{
	struct belay_session_row *row = (void *)(uintptr_t)arg->rows;
	struct fake_session *s;

	if (arg->select.by != BELAY_SELECT_SESSION || !arg->count)
		return -EINVAL;
	s = FIND(f->sessions, x->id == arg->select.session);
	arg->count = s ? 1 : 0;
	if (s)
		*row = (struct belay_session_row){ .session = s->id, .grant = s->grant };
	return 0;
}

/* Rows in the order of their ids; ids are given in the order of the arrays only roughly. */
static int list(struct fake_module *f, struct belay_ctl_list *arg)
{
	char *out = (char *)(uintptr_t)arg->rows;
	uint32_t n = 0;

	if (arg->what == BELAY_LIST_SESSIONS)
		return list_session(f, arg);
	while (n < arg->count) {
		struct fake_account *a = NULL, *xa;
		struct fake_grant *g = NULL, *xg;
		struct fake_region *r = NULL, *xr;
		int i;

		for (i = 0; i < FAKE_MAX; i++) {
			xa = &f->accounts[i];
			xg = &f->grants[i];
			xr = &f->regions[i];
			if (xa->used && xa->row.account > arg->after &&
			    (!a || xa->row.account < a->row.account))
				a = xa;
			if (xg->used && xg->row.grant > arg->after &&
			    (!(arg->select.by & BELAY_SELECT_GRANT) ||
			     xg->row.grant == arg->select.grant) &&
			    (!(arg->select.by & BELAY_SELECT_ACCOUNT) ||
			     is_charged(f, xg->row.grant, arg->select.account)) &&
			    (!g || xg->row.grant < g->row.grant))
				g = xg;
			if (!xr->used || xr->gone ||
			    (arg->select.by & BELAY_SELECT_SESSION &&
			     xr->row.session != arg->select.session) ||
			    !is_selected(f, &xr->row, &arg->select) ||
			    (arg->select.by & BELAY_SELECT_REGION &&
			     xr->row.region != arg->select.region) ||
			    (arg->select.by & BELAY_SELECT_GRANT &&
			     xr->row.grant != arg->select.grant))
				continue;
			if (xr->row.session < arg->after ||
			    (xr->row.session == arg->after &&
			     (!arg->after_region || xr->row.region <= arg->after_region)))
				continue;
			if (!r || xr->row.session < r->row.session ||
			    (xr->row.session == r->row.session &&
			     xr->row.region < r->row.region))
				r = xr;
		}
		if (arg->what == BELAY_LIST_ACCOUNTS && a) {
			memcpy(out + n++ * sizeof(a->row), &a->row, sizeof(a->row));
			arg->after = a->row.account;
		} else if (arg->what == BELAY_LIST_GRANTS && g) {
			memcpy(out + n++ * sizeof(g->row), &g->row, sizeof(g->row));
			arg->after = g->row.grant;
		} else if (arg->what == BELAY_LIST_REGIONS && r) {
			memcpy(out + n++ * sizeof(r->row), &r->row, sizeof(r->row));
			arg->after = r->row.session;
			arg->after_region = r->row.region;
		} else {
			break;
		}
	}
	arg->count = n;
	return 0;
}

static int call(struct bl_device *dev, unsigned long cmd, void *arg)
{
	struct fake_module *f = (struct fake_module *)dev;
	int err = f->fail_next;

	f->calls++;
	f->fail_next = 0;
	if (err)
		return -err;
	switch (cmd) {
	case BELAY_INFO:
		((struct belay_info *)arg)->abi_oldest = BELAY_ABI_OLDEST;
		((struct belay_info *)arg)->abi_version = BELAY_ABI_VERSION;
		return 0;
	case BELAY_CTL_ACCOUNT:
		return account_new(f, arg);
	case BELAY_CTL_ACCOUNT_REMOVE:
		return account_remove(f, arg);
	case BELAY_CTL_LIMITS:
		return limits_set(f, arg);
	case BELAY_CTL_HOLDERS:
		return holders(f, arg);
	case BELAY_CTL_GRANT:
		return grant_new(f, arg);
	case BELAY_CTL_RECALL:
		return recall(f, arg, false);
	case BELAY_CTL_RELEASE:
		return recall(f, arg, true);
	case BELAY_CTL_EVENTS:
		return events_read(f, arg);
	case BELAY_CTL_EVENTS_DONE:
		return events_done(f, arg);
	case BELAY_CTL_LIST:
		return list(f, arg);
	default:
		return -ENOTTY;
	}
}

void fake_init(struct fake_module *f)
{
	memset(f, 0, sizeof(*f));
	f->dev.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->dev.call = call;
}

void fake_fini(struct fake_module *f)
{
	close(f->dev.fd);
}
