// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * event.c - what the policy owner has yet to deal with
 *
 * An event is not a record in a queue but a state of the thing it is about,
 * which is in a tree as long as it has something to tell. So raising one needs
 * no memory and cannot overflow; reading clears nothing; and an owner that
 * dies between reading and acting leaves everything for the next.
 *
 * Each raise gives the source a new sequence number. "Done" names the number
 * that was read: if something was raised in between, the source stays.
 *
 * The tree is by sequence number, and so are the places of readers: neither reading
 * nor "done", in whatever order, searches what is pending.
 *
 * In the tree a source holds a reference on its region or grant: one that goes
 * while it has something to tell stays as a shell that holds no memory, no
 * charge and no place, until it has been heard. How many shells there can be
 * is bounded by what the owner itself has recalled or been told of.
 */
#include <linux/poll.h>
#include <linux/rbtree.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "belay.h"
#include "ioctl.h"
#include "trace.h"

DECLARE_WAIT_QUEUE_HEAD(belay_event_wait);
static DEFINE_SPINLOCK(belay_event_lock);
static struct rb_root pending = RB_ROOT;
static unsigned long nr_pending;
static u64 last_seq;

void belay_event_init(struct belay_event_source *src, const struct belay_event_ops *ops)
{
	RB_CLEAR_NODE(&src->node);
	src->ops = ops;
}

static struct belay_event_source *source_at(struct rb_node *node)
{
	return rb_entry_safe(node, struct belay_event_source, node);
}

/* The first with this number or a later one. */
static struct belay_event_source *first_from(u64 seq)
{
	struct rb_node *node = pending.rb_node, *found = NULL;

	lockdep_assert_held(&belay_event_lock);
	while (node) {
		if (source_at(node)->seq < seq) {
			node = node->rb_right;
		} else {
			found = node;
			node = node->rb_left;
		}
	}
	return source_at(found);
}

static bool is_before(struct rb_node *a, const struct rb_node *b)
{
	return source_at(a)->seq < rb_entry(b, struct belay_event_source, node)->seq;
}

static bool is_pending(const struct belay_event_source *src)
{
	return !RB_EMPTY_NODE(&src->node);
}

static void take_out(struct belay_event_source *src)
{
	lockdep_assert_held(&belay_event_lock);
	rb_erase(&src->node, &pending);
	RB_CLEAR_NODE(&src->node);
	nr_pending--;
}

static void raise_locked(struct belay_event_source *src, u32 bit)
{
	lockdep_assert_held(&belay_event_lock);
	if (is_pending(src))
		take_out(src);
	else
		src->ops->get(src);
	src->bits |= bit;
	src->seq = ++last_seq;
	rb_add(&src->node, &pending, is_before);
	nr_pending++;
}

void belay_event_raise(struct belay_event_source *src, u32 bit)
{
	spin_lock(&belay_event_lock);
	raise_locked(src, bit);
	spin_unlock(&belay_event_lock);
	wake_up_interruptible(&belay_event_wait);
}

/*
 * The region of @src was let go; @src is never a grant's. The owner hears of it if it has
 * @awaited that (it has recalled the region), or has dealt with its loss. A loss that it
 * has not heard of yet is withdrawn.
 */
void belay_event_gone(struct belay_event_source *src, bool awaited)
{
	bool put = false, wake = false;

	spin_lock(&belay_event_lock);
	if (awaited || src->done & BELAY_EVENT_LOST) {
		raise_locked(src, BELAY_EVENT_GONE);
		wake = true;
	} else if (is_pending(src)) {
		take_out(src);
		put = true;
	}
	spin_unlock(&belay_event_lock);
	if (wake)
		wake_up_interruptible(&belay_event_wait);
	if (put)
		src->ops->put(src);
}

unsigned long belay_events_pending(void)
{
	return READ_ONCE(nr_pending);
}

/* The first source after *@after, with a reference, and what it says. */
static struct belay_event_source *next_source(u64 *after, struct belay_event *e)
{
	struct belay_event_source *src;

	spin_lock(&belay_event_lock);
	src = first_from(*after + 1);
	if (src) {
		src->ops->get(src);
		*after = src->seq;
		*e = (struct belay_event) { .seq = src->seq, .events = src->bits };
	}
	spin_unlock(&belay_event_lock);
	return src;
}

static int events_check(const struct belay_ctl_events *arg)
{
	if (arg->flags)
		return -EOPNOTSUPP;
	return belay_array_check(arg->count, arg->entry_size, BELAY_EVENT_SIZE_VER0);
}

int belay_events_read(struct belay_ctl_events *arg)
{
	struct belay_event_source *src;
	struct belay_event e;
	u32 room = arg->count;
	int ret = events_check(arg);
	u64 after = 0;

	if (ret)
		return ret;
	arg->count = 0;
	while (!ret && arg->count < room && (src = next_source(&after, &e))) {
		src->ops->fill(src, &e);
		src->ops->put(src);
		ret = belay_row_write(&e, sizeof(e), arg->entries,
				      arg->entry_size, arg->count);
		arg->count += !ret;
		cond_resched();
	}
	trace_belay_events_read(arg->count, READ_ONCE(nr_pending));
	return ret;
}

static struct belay_event_source *take_done(u64 seq)
{
	struct belay_event_source *src;

	spin_lock(&belay_event_lock);
	src = first_from(seq);
	if (src && src->seq != seq)
		src = NULL;
	if (src) {
		take_out(src);
		src->done |= src->bits;
		src->bits = 0;
	}
	spin_unlock(&belay_event_lock);
	return src;
}

int belay_events_done(struct belay_ctl_events *arg)
{
	struct belay_event_source *src;
	struct belay_event e;
	u32 i, cleared = 0;
	int ret = events_check(arg);

	if (ret)
		return ret;
	for (i = 0; !ret && i < arg->count; i++) {
		ret = fatal_signal_pending(current) ? -EINTR :
			belay_entry_read(&e, sizeof(e), arg->entries,
					 arg->entry_size, i);
		src = ret ? NULL : take_done(e.seq);
		cond_resched();
		if (!src)
			continue;
		cleared++;
		if (src->ops->done)
			src->ops->done(src);
		src->ops->put(src);
	}
	arg->count = cleared;
	trace_belay_events_done(cleared, READ_ONCE(nr_pending));
	return ret;
}

/* At unload: there is nobody left to be told. */
void belay_events_forget(void)
{
	struct belay_event_source *src;

	spin_lock(&belay_event_lock);
	while ((src = source_at(rb_first(&pending)))) {
		take_out(src);
		spin_unlock(&belay_event_lock);
		src->ops->put(src);
		spin_lock(&belay_event_lock);
	}
	spin_unlock(&belay_event_lock);
}
