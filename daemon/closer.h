/* SPDX-License-Identifier: MIT */
/*
 * closer.h - closing what clients have had in hand, without waiting for it
 *
 * Closing the last reference to a file can take as long as somebody likes: a
 * socket that lingers, a file system whose server is the client itself, a session
 * with a terabyte to unpin. See closer.c.
 */
#ifndef BL_CLOSER_H
#define BL_CLOSER_H

#include <stdbool.h>

#include <event2/event_struct.h>

#define BL_CLOSING_MAX	1024	/* descriptors that wait for a helper */

struct bl_closer {
	int socket;		/* to the helper; -1: there is none */
	unsigned int helpers;	/* that were ever started */
	bool closed_here;	/* the helper is still to be told so */
	int waiting[BL_CLOSING_MAX];
	unsigned int n_waiting;
	unsigned int tries;	/* in vain, since the last that was taken */
	struct event ev;
};

void bl_closer_init(struct bl_closer *c, struct event_base *base);
/* The first helper: 0 or -errno. Later ones start when they are needed. */
int bl_closer_start(struct bl_closer *c);
/* The helper ends, and whatever it has not closed yet is closed with it. */
void bl_closer_fini(struct bl_closer *c);

/* Takes fd; -1 is nothing. What is in it unread goes with it. */
void bl_close_later(struct bl_closer *c, int fd);

#endif
