// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * wait.c - until nothing selected holds anything
 *
 * The waiter walks over the regions selected. At the first one that holds
 * something there it stops, until that one does not; then it goes on. Once it
 * has waited for anything it begins again, until a whole walk finds nothing.
 * While it sleeps it has a reference on that region and its session, which
 * keeps their structures, and no lock: nobody is kept from registering, from
 * letting go, or from closing anything.
 *
 * There is one wait queue for all regions. A region that lets pages go passes
 * itself as the key, which wakes only who waits for it; with no waiter at all it
 * costs a look at the queue. The pages held are read without a lock
 * (held.c); it is stored after the pages have gone, before the queue is looked
 * at.
 *
 * A walk could miss pages that change hands meanwhile, from a region that it has
 * yet to see to one where it has been already: a part of it (trim.c), or one that
 * its owner has registered before it lets the other go. So both tell the waiters
 * that mean such pages that their walk does not count: after the new region holds
 * them and can be found, before the old one does not. A walk that misses the new one
 * has begun before, so it is told; if it finds the old one empty, it was told before.
 *
 * Telling takes no lock: it looks at pages for each waiter, and neither a waiter nor
 * another user's registration may have to wait for that. A waiter is kept (SRCU)
 * until nobody is looking at it any more.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait.h>

#include "belay.h"
#include "compat/compat.h"
#include "select.h"
#include "trace.h"

/*
 * @link: on the list from the first walk on; changed under waiters_lock
 * @sel: immutable
 */
struct waiter {
	struct list_head link;
	struct belay_selection sel;
	bool again;		/* something selected was handed over */
	struct belay_region *region;
	struct wait_queue_entry entry;
	struct rcu_head rcu;
};

/* When the time is over: to find a region to name that has changed places. */
#define LATE_WALKS	8

DEFINE_STATIC_SRCU(waiters_srcu);
static DEFINE_SPINLOCK(waiters_lock);
static LIST_HEAD(waiters);
static DECLARE_WAIT_QUEUE_HEAD(let_go);

/* @r holds less than before, and says so. */
void belay_wait_wake(struct belay_region *r)
{
	if (wq_has_sleeper(&let_go))
		__wake_up(&let_go, TASK_NORMAL, 0, r);
}

/*
 * @r holds its pages and can be found: it has been registered; or its parts hold them as
 * well, and can be found, while @r holds them still.
 */
void belay_wait_spoil_walks(struct belay_region *r)
{
	struct waiter *w;
	int idx;

	/* Holds and can be found before this looks: with the barrier in walk_begins(). */
	smp_mb();
	if (list_empty(&waiters))
		return;
	idx = srcu_read_lock(&waiters_srcu);
	/* A fatal signal of this task cuts the look short: then it may hold something. */
	list_for_each_entry_srcu(w, &waiters, link, srcu_read_lock_held(&waiters_srcu))
		if (belay_select_fits_region(&w->sel, r) &&
		    (belay_held_any(r, &w->sel) || fatal_signal_pending(current)))
			WRITE_ONCE(w->again, true);
	srcu_read_unlock(&waiters_srcu, idx);
}

static int wake_if_region(struct wait_queue_entry *entry, unsigned int mode, int sync,
			  void *key)
{
	struct waiter *w = container_of(entry, struct waiter, entry);

	return key == w->region ? woken_wake_function(entry, mode, sync, key) : 0;
}

/*
 * The time left in jiffies, never too few. @end is by the clock, because jiffies lag behind when a
 * tick is late, and "now" in jiffies is then in the past.
 */
static long time_left(ktime_t end)
{
	s64 ns = ktime_to_ns(ktime_sub(end, ktime_get()));

	return ns > 0 ? nsecs_to_jiffies(ns) + 1 : 0;
}

/* Until w->region holds nothing: 0, -ETIMEDOUT or -EINTR. */
static int wait_for_region(struct waiter *w, ktime_t end)
{
	bool holds;
	long left;

	init_waitqueue_func_entry(&w->entry, wake_if_region);
	w->entry.private = current;
	w->entry.flags = 0;
	add_wait_queue(&let_go, &w->entry);
	/* Queued before looking: with the barrier in wq_has_sleeper(). */
	smp_mb();
	for (;;) {
		holds = belay_held_any(w->region, &w->sel);
		left = time_left(end);
		if (!holds || !left || fatal_signal_pending(current))
			break;
		wait_woken(&w->entry, TASK_KILLABLE | TASK_FREEZABLE, left);
	}
	remove_wait_queue(&let_go, &w->entry);
	if (fatal_signal_pending(current))
		return -EINTR;
	return holds ? -ETIMEDOUT : 0;
}

static void walk_begins(struct waiter *w)
{
	WRITE_ONCE(w->again, false);
	if (list_empty(&w->link)) {
		spin_lock(&waiters_lock);
		list_add_rcu(&w->link, &waiters);
		spin_unlock(&waiters_lock);
	}
	/* On the list before it looks. */
	smp_mb();
}

/* One walk: 0, -EAGAIN (there was something), -ETIMEDOUT or -EINTR. */
static int walk(struct waiter *w, ktime_t end, struct belay_ctl_wait *arg)
{
	struct belay_cursor c = {};
	bool waited = false;
	int ret = 0;

	walk_begins(w);
	arg->session = 0;
	arg->region = 0;
	while (!ret && (w->region = belay_select_next_region(&w->sel, &c))) {
		if (belay_held_any(w->region, &w->sel)) {
			waited = true;
			trace_belay_wait_begin(w->region, 0);
			ret = wait_for_region(w, end);
			trace_belay_wait_end(w->region, ret);
			arg->session = w->region->session->id;
			arg->region = w->region->id;
		}
		belay_region_put(w->region);
	}
	belay_select_end(&c);
	if (!ret && fatal_signal_pending(current))
		ret = -EINTR;
	if (!ret && (waited || READ_ONCE(w->again)))
		ret = -EAGAIN;
	return ret;
}

static void waiter_free(struct rcu_head *rcu)
{
	kfree(container_of(rcu, struct waiter, rcu));
}

static void waiter_leave(struct waiter *w)
{
	spin_lock(&waiters_lock);
	list_del_rcu(&w->link);
	spin_unlock(&waiters_lock);
	call_srcu(&waiters_srcu, &w->rcu, waiter_free);
}

static int wait(struct waiter *w, struct belay_ctl_wait *arg)
{
	ktime_t end = ktime_add_ns(ktime_get(), arg->timeout);
	unsigned int late_walks = 0;
	int ret;

	do
		ret = walk(w, end, arg);
	while (ret == -EAGAIN && (time_left(end) || late_walks++ < LATE_WALKS));
	return ret == -EAGAIN ? -ETIMEDOUT : ret;
}

int belay_wait(struct belay_ctl_wait *arg)
{
	struct waiter *w;
	int ret;

	if (arg->flags)
		return -EOPNOTSUPP;
	if (arg->timeout > BELAY_WAIT_MAX_NS)
		return -EINVAL;
	w = kzalloc_obj(*w, GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	INIT_LIST_HEAD(&w->link);
	ret = belay_select_read(&w->sel, &arg->select, BELAY_LIST_REGIONS);
	if (ret) {
		kfree(w);
		return ret;
	}
	ret = wait(w, arg);
	waiter_leave(w);
	if (!ret) {
		arg->session = 0;
		arg->region = 0;
	}
	return ret;
}

/* At unload: those that have left may be still to be freed. */
void belay_wait_exit(void)
{
	srcu_barrier(&waiters_srcu);
}
