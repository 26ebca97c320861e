/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/* event.h - what the policy owner has yet to deal with, see event.c */
#ifndef BELAY_EVENT_H
#define BELAY_EVENT_H

#include <linux/rbtree.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <uapi/linux/belay.h>

/*
 * Something that the policy owner has to be told. Under belay_event_lock; in
 * the tree it holds a reference on what it lies in.
 */
struct belay_event_source {
	struct rb_node node;	/* empty: nothing pending */
	u64 seq;
	u32 bits;		/* BELAY_EVENT_*: not dealt with */
	u32 done;		/* ... dealt with, ever */
	const struct belay_event_ops *ops;	/* immutable */
};

/* The functions of the region or grant that a source lies in. */
struct belay_event_ops {
	void (*get)(struct belay_event_source *src);	/* under belay_event_lock */
	void (*put)(struct belay_event_source *src);	/* without it; may free */
	void (*fill)(struct belay_event_source *src, struct belay_event *e);
	void (*done)(struct belay_event_source *src);	/* dealt with; NULL: nothing to do */
};

void belay_event_init(struct belay_event_source *src, const struct belay_event_ops *ops);
void belay_event_raise(struct belay_event_source *src, u32 bit);
void belay_event_gone(struct belay_event_source *src, bool awaited);
unsigned long belay_events_pending(void);
void belay_events_forget(void);
extern struct wait_queue_head belay_event_wait;
int belay_events_read(struct belay_ctl_events *arg);
int belay_events_done(struct belay_ctl_events *arg);

#endif
