/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * trace.h - every transition as a trace event (/sys/kernel/tracing/events/belay)
 *
 * Numbers only. Addresses are those of the process; no event has a physical
 * address or a pointer into the kernel. @pid is the process that the grant is
 * for, in the first pid namespace; who did it (the worker, another task) is
 * what the kernel adds to each event.
 *
 * Some are called in the notifier's callback: assigning reads what is at hand,
 * and takes no lock. While an event is off it costs a jump.
 *
 * Scripts read these: names and fields stay, new ones are added.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM belay

#if !defined(BELAY_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define BELAY_TRACE_H

#include <linux/ktime.h>
#include <linux/pid.h>
#include <linux/tracepoint.h>

#include "belay.h"

#ifndef BELAY_TRACE_ONCE
#define BELAY_TRACE_ONCE

/* The fate of an announcement. */
enum belay_fate {
	BELAY_FATE_FILTERED,	/* it can change no page */
	BELAY_FATE_IGNORED,	/* the region is let go, or that part of it lost */
	BELAY_FATE_SUSPECT,
	BELAY_FATE_LOST,
};

/* The findings of a look. */
enum belay_found {
	BELAY_FOUND_SAME,
	BELAY_FOUND_LOST,
	BELAY_FOUND_NOTHING,	/* it could not be told */
};

static inline u64 belay_trace_pages(const atomic_long_t *pages)
{
	return (u64)atomic_long_read(pages) << PAGE_SHIFT;
}

#endif

TRACE_DEFINE_ENUM(BELAY_PINNED);
TRACE_DEFINE_ENUM(BELAY_TRACKED);
TRACE_DEFINE_ENUM(BELAY_WATCHED);
#define belay_show_kind(kind)						\
	__print_symbolic(kind,						\
			 { BELAY_PINNED, "pinned" },			\
			 { BELAY_TRACKED, "tracked" },			\
			 { BELAY_WATCHED, "watched" })

TRACE_DEFINE_ENUM(BELAY_RESOURCE_NONE);
TRACE_DEFINE_ENUM(BELAY_RESOURCE_BYTES);
TRACE_DEFINE_ENUM(BELAY_RESOURCE_REGIONS);
#define belay_show_resource(resource)					\
	__print_symbolic(resource,					\
			 { BELAY_RESOURCE_NONE, "none" },		\
			 { BELAY_RESOURCE_BYTES, "bytes" },		\
			 { BELAY_RESOURCE_REGIONS, "regions" })

TRACE_DEFINE_ENUM(BELAY_REASON_NONE);
TRACE_DEFINE_ENUM(BELAY_REASON_UNMAPPED);
TRACE_DEFINE_ENUM(BELAY_REASON_REPLACED);
TRACE_DEFINE_ENUM(BELAY_REASON_EXITED);
TRACE_DEFINE_ENUM(BELAY_REASON_ADMIN);
TRACE_DEFINE_ENUM(BELAY_REASON_LIMIT);
TRACE_DEFINE_ENUM(BELAY_REASON_DRAIN);
TRACE_DEFINE_ENUM(BELAY_REASON_PRESSURE);
TRACE_DEFINE_ENUM(BELAY_REASON_LEASE);
TRACE_DEFINE_ENUM(BELAY_REASON_GUARANTEE);
#define belay_show_reason(reason)					\
	__print_symbolic(reason,					\
			 { BELAY_REASON_NONE, "none" },			\
			 { BELAY_REASON_UNMAPPED, "unmapped" },		\
			 { BELAY_REASON_REPLACED, "replaced" },		\
			 { BELAY_REASON_EXITED, "exited" },		\
			 { BELAY_REASON_ADMIN, "admin" },		\
			 { BELAY_REASON_LIMIT, "limit" },		\
			 { BELAY_REASON_DRAIN, "drain" },		\
			 { BELAY_REASON_PRESSURE, "pressure" },		\
			 { BELAY_REASON_LEASE, "lease" },		\
			 { BELAY_REASON_GUARANTEE, "guarantee" })

TRACE_DEFINE_ENUM(MMU_NOTIFY_UNMAP);
TRACE_DEFINE_ENUM(MMU_NOTIFY_CLEAR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_VMA);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_PAGE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_SOFT_DIRTY);
TRACE_DEFINE_ENUM(MMU_NOTIFY_RELEASE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_MIGRATE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_EXCLUSIVE);
#define belay_show_event(event)						\
	__print_symbolic(event,						\
			 { MMU_NOTIFY_UNMAP, "unmap" },			\
			 { MMU_NOTIFY_CLEAR, "clear" },			\
			 { MMU_NOTIFY_PROTECTION_VMA, "protection" },	\
			 { MMU_NOTIFY_PROTECTION_PAGE, "protection_page" }, \
			 { MMU_NOTIFY_SOFT_DIRTY, "soft_dirty" },	\
			 { MMU_NOTIFY_RELEASE, "release" },		\
			 { MMU_NOTIFY_MIGRATE, "migrate" },		\
			 { MMU_NOTIFY_EXCLUSIVE, "exclusive" })

TRACE_DEFINE_ENUM(BELAY_FATE_FILTERED);
TRACE_DEFINE_ENUM(BELAY_FATE_IGNORED);
TRACE_DEFINE_ENUM(BELAY_FATE_SUSPECT);
TRACE_DEFINE_ENUM(BELAY_FATE_LOST);
#define belay_show_fate(fate)						\
	__print_symbolic(fate,						\
			 { BELAY_FATE_FILTERED, "filtered" },		\
			 { BELAY_FATE_IGNORED, "ignored" },		\
			 { BELAY_FATE_SUSPECT, "suspect" },		\
			 { BELAY_FATE_LOST, "lost" })

TRACE_DEFINE_ENUM(BELAY_FOUND_SAME);
TRACE_DEFINE_ENUM(BELAY_FOUND_LOST);
TRACE_DEFINE_ENUM(BELAY_FOUND_NOTHING);
#define belay_show_found(found)						\
	__print_symbolic(found,						\
			 { BELAY_FOUND_SAME, "same" },			\
			 { BELAY_FOUND_LOST, "lost" },			\
			 { BELAY_FOUND_NOTHING, "nothing" })

#define belay_show_word(bits)						\
	__print_flags(bits, "|",					\
		      { BELAY_WORD_SUSPECT, "suspect" },		\
		      { BELAY_WORD_LOST, "lost" },			\
		      { BELAY_WORD_RECALLED, "recalled" },		\
		      { BELAY_WORD_RELEASED, "released" })

#define belay_show_flags(flags)						\
	__print_flags(flags, "|",					\
		      { BELAY_REGION_WRITE, "write" },			\
		      { BELAY_REGION_TRANSIENT, "transient" })

/* ---- accounts ---- */

TRACE_EVENT(belay_account_made,
	TP_PROTO(const struct belay_account *a),
	TP_ARGS(a),
	TP_STRUCT__entry(
		__field(u64, account)
		__field(u64, parent)
		__field(u64, limit_bytes)
		__field(u64, limit_regions)
	),
	TP_fast_assign(
		__entry->account = a->node.id;
		__entry->parent = a->parent ? a->parent->node.id : 0;
		__entry->limit_bytes = belay_pages_to_bytes(a->node.limit_pages);
		__entry->limit_regions = a->node.limit_regions;
	),
	TP_printk("account=%llu parent=%llu limit_bytes=%llu limit_regions=%llu",
		  __entry->account, __entry->parent, __entry->limit_bytes,
		  __entry->limit_regions)
);

TRACE_EVENT(belay_account_removed,
	TP_PROTO(u64 account),
	TP_ARGS(account),
	TP_STRUCT__entry(
		__field(u64, account)
	),
	TP_fast_assign(
		__entry->account = account;
	),
	TP_printk("account=%llu", __entry->account)
);

/* The limit of an account; or of a grant, where the entry's flags say so. */
TRACE_EVENT(belay_limit,
	TP_PROTO(const struct belay_limit_entry *e),
	TP_ARGS(e),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u64, limit_bytes)
		__field(u64, limit_regions)
		__field(u32, is_grant)
	),
	TP_fast_assign(
		__entry->id = e->id;
		__entry->limit_bytes = e->limit_bytes;
		__entry->limit_regions = e->limit_regions;
		__entry->is_grant = !!(e->flags & BELAY_LIMIT_GRANT);
	),
	TP_printk("%s=%llu limit_bytes=%llu limit_regions=%llu",
		  __entry->is_grant ? "grant" : "account", __entry->id,
		  __entry->limit_bytes, __entry->limit_regions)
);

/* ---- grants and sessions ---- */

DECLARE_EVENT_CLASS(belay_grant,
	TP_PROTO(const struct belay_grant *g),
	TP_ARGS(g),
	TP_STRUCT__entry(
		__field(u64, account)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, uid)
	),
	TP_fast_assign(
		__entry->account = g->account_id;
		__entry->grant = g->id;
		__entry->pid = pid_nr(g->pid);
		__entry->uid = __kuid_val(g->user->uid);
	),
	TP_printk("grant=%u account=%llu pid=%d uid=%u",
		  __entry->grant, __entry->account, __entry->pid, __entry->uid)
);

DEFINE_EVENT(belay_grant, belay_grant_made,
	TP_PROTO(const struct belay_grant *g), TP_ARGS(g));
/* The address space is gone: exit or exec. */
DEFINE_EVENT(belay_grant, belay_grant_dead,
	TP_PROTO(const struct belay_grant *g), TP_ARGS(g));
/* The last session is closed. */
DEFINE_EVENT(belay_grant, belay_grant_ended,
	TP_PROTO(const struct belay_grant *g), TP_ARGS(g));

DECLARE_EVENT_CLASS(belay_session,
	TP_PROTO(const struct belay_session *s),
	TP_ARGS(s),
	TP_STRUCT__entry(
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, regions)
	),
	TP_fast_assign(
		__entry->session = s->id;
		__entry->grant = s->grant->id;
		__entry->pid = pid_nr(s->grant->pid);
		__entry->regions = atomic_read(&s->nr_regions);
	),
	TP_printk("session=%u grant=%u pid=%d regions=%u",
		  __entry->session, __entry->grant, __entry->pid, __entry->regions)
);

DEFINE_EVENT(belay_session, belay_session_opened,
	TP_PROTO(const struct belay_session *s), TP_ARGS(s));
/* Begins: its regions go next. */
DEFINE_EVENT(belay_session, belay_session_closed,
	TP_PROTO(const struct belay_session *s), TP_ARGS(s));

/* ---- regions ---- */

/*
 * @lasted: nanoseconds since the registration began: how long registering
 * took, or how old the region became. @pinned, @tracked, @usage: bytes of the
 * grant afterwards.
 */
DECLARE_EVENT_CLASS(belay_region_count,
	TP_PROTO(const struct belay_region *r),
	TP_ARGS(r),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u64, lasted)
		__field(u64, pinned)
		__field(u64, tracked)
		__field(u64, usage)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
		__field(u32, flags)
		__field(u32, bits)
	),
	TP_fast_assign(
		const struct belay_grant *g = r->session->grant;

		__entry->region = r->id;
		belay_range_bytes(r->start, r->last, &__entry->addr, &__entry->len);
		__entry->lasted = ktime_get_boottime_ns() - r->made_at;
		__entry->pinned = belay_trace_pages(&g->pinned_pages);
		__entry->tracked = belay_trace_pages(&g->tracked_pages);
		__entry->usage = belay_trace_pages(&g->node.pages);
		__entry->session = r->session->id;
		__entry->grant = g->id;
		__entry->pid = pid_nr(g->pid);
		__entry->kind = r->kind;
		__entry->flags = r->flags;
		__entry->bits = READ_ONCE(r->bits);
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d addr=%llx len=%llu kind=%s flags=%s word=%s lasted=%llu pinned=%llu tracked=%llu usage=%llu",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  __entry->addr, __entry->len, belay_show_kind(__entry->kind),
		  belay_show_flags(__entry->flags), belay_show_word(__entry->bits),
		  __entry->lasted, __entry->pinned, __entry->tracked, __entry->usage)
);

DEFINE_EVENT(belay_region_count, belay_register,
	TP_PROTO(const struct belay_region *r), TP_ARGS(r));
/* Nothing is held or charged any more, whoever let go. */
DEFINE_EVENT(belay_region_count, belay_unregister,
	TP_PROTO(const struct belay_region *r), TP_ARGS(r));

/*
 * A well-formed registration or trim that failed. @resource, @account (0: the grant's own
 * limit), @usage, @limit and @needed are those of -EDQUOT, else 0.
 */
TRACE_EVENT(belay_refuse,
	TP_PROTO(const struct belay_session *s, u64 addr, u64 len, u32 kind, int err,
		 const struct belay_refusal *why),
	TP_ARGS(s, addr, len, kind, err, why),
	TP_STRUCT__entry(
		__field(u64, addr)
		__field(u64, len)
		__field(u64, account)
		__field(u64, usage)
		__field(u64, limit)
		__field(u64, needed)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
		__field(u32, resource)
		__field(int, err)
	),
	TP_fast_assign(
		bool known = err == -EDQUOT;

		__entry->addr = addr;
		__entry->len = len;
		__entry->account = known ? why->account : 0;
		__entry->usage = known ? why->usage : 0;
		__entry->limit = known ? why->limit : 0;
		__entry->needed = known ? why->needed : 0;
		__entry->session = s->id;
		__entry->grant = s->grant->id;
		__entry->pid = pid_nr(s->grant->pid);
		__entry->kind = kind;
		__entry->resource = known ? why->resource : BELAY_RESOURCE_NONE;
		__entry->err = err;
	),
	TP_printk("session=%u grant=%u pid=%d addr=%llx len=%llu kind=%s err=%d account=%llu resource=%s usage=%llu limit=%llu needed=%llu",
		  __entry->session, __entry->grant, __entry->pid, __entry->addr,
		  __entry->len, belay_show_kind(__entry->kind), __entry->err,
		  __entry->account, belay_show_resource(__entry->resource),
		  __entry->usage, __entry->limit, __entry->needed)
);

DECLARE_EVENT_CLASS(belay_region_done,
	TP_PROTO(const struct belay_region *r, int err),
	TP_ARGS(r, err),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->region = r->id;
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->kind = r->kind;
		__entry->err = err;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d kind=%s err=%d",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_kind(__entry->kind), __entry->err)
);

DEFINE_EVENT(belay_region_done, belay_commit,
	TP_PROTO(const struct belay_region *r, int err), TP_ARGS(r, err));
/* Somebody waits for this region to hold nothing; and no longer. */
DEFINE_EVENT(belay_region_done, belay_wait_begin,
	TP_PROTO(const struct belay_region *r, int err), TP_ARGS(r, err));
DEFINE_EVENT(belay_region_done, belay_wait_end,
	TP_PROTO(const struct belay_region *r, int err), TP_ARGS(r, err));

/* @region, of which @addr and @len go, goes on as @before and @after (0: none). */
TRACE_EVENT(belay_trim,
	TP_PROTO(const struct belay_region *r, const struct belay_trim_entry *e),
	TP_ARGS(r, e),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u64, before)
		__field(u64, after)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
	),
	TP_fast_assign(
		__entry->region = r->id;
		__entry->addr = e->addr;
		__entry->len = e->len;
		__entry->before = e->before.region;
		__entry->after = e->after.region;
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->kind = r->kind;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d kind=%s addr=%llx len=%llu before=%llu after=%llu",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_kind(__entry->kind), __entry->addr, __entry->len,
		  __entry->before, __entry->after)
);

/* ---- what the kernel announces, and what was found ---- */

/* @addr and @len: what was announced, which may be more than the region. */
TRACE_EVENT(belay_invalidate,
	TP_PROTO(const struct belay_region *r, const struct mmu_notifier_range *range,
		 enum belay_fate fate),
	TP_ARGS(r, range, fate),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, event)
		__field(u32, fate)
	),
	TP_fast_assign(
		__entry->region = r->id;
		__entry->addr = range->start;
		__entry->len = range->end - range->start;
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->event = range->event;
		__entry->fate = fate;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d event=%s addr=%llx len=%llu fate=%s",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_event(__entry->event), __entry->addr, __entry->len,
		  belay_show_fate(__entry->fate))
);

/* @addr and @len: the suspect pages that were looked at. */
TRACE_EVENT(belay_verify,
	TP_PROTO(const struct belay_region *r, unsigned long start, unsigned long last,
		 enum belay_found found),
	TP_ARGS(r, start, last, found),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, found)
	),
	TP_fast_assign(
		__entry->region = r->id;
		belay_range_bytes(start, last, &__entry->addr, &__entry->len);
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->found = found;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d addr=%llx len=%llu found=%s",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  __entry->addr, __entry->len, belay_show_found(__entry->found))
);

/* Called with r->lock held. @addr and @len: all of it that is lost by now. */
TRACE_EVENT(belay_lost,
	TP_PROTO(const struct belay_region *r),
	TP_ARGS(r),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
		__field(u32, reason)
	),
	TP_fast_assign(
		__entry->region = r->id;
		belay_range_bytes(r->lost_start, r->lost_last,
				  &__entry->addr, &__entry->len);
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->kind = r->kind;
		__entry->reason = r->lost_reason;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d kind=%s addr=%llx len=%llu reason=%s",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_kind(__entry->kind), __entry->addr, __entry->len,
		  belay_show_reason(__entry->reason))
);

/* The module has let go of what is lost. @pinned: bytes of the grant afterwards. */
TRACE_EVENT(belay_drop_lost,
	TP_PROTO(const struct belay_region *r, unsigned long start, unsigned long last),
	TP_ARGS(r, start, last),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, addr)
		__field(u64, len)
		__field(u64, pinned)
		__field(u64, usage)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
	),
	TP_fast_assign(
		const struct belay_grant *g = r->session->grant;

		__entry->region = r->id;
		belay_range_bytes(start, last, &__entry->addr, &__entry->len);
		__entry->pinned = belay_trace_pages(&g->pinned_pages);
		__entry->usage = belay_trace_pages(&g->node.pages);
		__entry->session = r->session->id;
		__entry->grant = g->id;
		__entry->pid = pid_nr(g->pid);
		__entry->kind = r->kind;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d kind=%s addr=%llx len=%llu pinned=%llu usage=%llu",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_kind(__entry->kind), __entry->addr, __entry->len,
		  __entry->pinned, __entry->usage)
);

/* ---- the policy owner ---- */

/* @deadline: nanoseconds of CLOCK_BOOTTIME, 0: none. */
TRACE_EVENT(belay_recall,
	TP_PROTO(const struct belay_region *r),
	TP_ARGS(r),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, request)
		__field(u64, deadline)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
		__field(u32, kind)
		__field(u32, reason)
		__field(u32, policy)
	),
	TP_fast_assign(
		__entry->region = r->id;
		__entry->request = r->request;
		__entry->deadline = r->deadline;
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
		__entry->kind = r->kind;
		__entry->reason = r->recall_reason;
		__entry->policy = r->policy;
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d kind=%s request=%llu reason=%s deadline=%llu policy=%u",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  belay_show_kind(__entry->kind), __entry->request,
		  belay_show_reason(__entry->reason), __entry->deadline,
		  __entry->policy)
);

/* By order; the pages may go a moment later. */
TRACE_EVENT(belay_release,
	TP_PROTO(const struct belay_region *r),
	TP_ARGS(r),
	TP_STRUCT__entry(
		__field(u64, region)
		__field(u64, request)
		__field(u32, session)
		__field(u32, grant)
		__field(pid_t, pid)
	),
	TP_fast_assign(
		__entry->region = r->id;
		__entry->request = r->request;
		__entry->session = r->session->id;
		__entry->grant = r->session->grant->id;
		__entry->pid = pid_nr(r->session->grant->pid);
	),
	TP_printk("session=%u region=%llu grant=%u pid=%d request=%llu",
		  __entry->session, __entry->region, __entry->grant, __entry->pid,
		  __entry->request)
);

/* How many were read, or cleared; @pending: are left. */
DECLARE_EVENT_CLASS(belay_events,
	TP_PROTO(u32 count, u64 pending),
	TP_ARGS(count, pending),
	TP_STRUCT__entry(
		__field(u64, pending)
		__field(u32, count)
	),
	TP_fast_assign(
		__entry->pending = pending;
		__entry->count = count;
	),
	TP_printk("count=%u pending=%llu", __entry->count, __entry->pending)
);

DEFINE_EVENT(belay_events, belay_events_read,
	TP_PROTO(u32 count, u64 pending), TP_ARGS(count, pending));
DEFINE_EVENT(belay_events, belay_events_done,
	TP_PROTO(u32 count, u64 pending), TP_ARGS(count, pending));

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
