/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * keeper.h - a second process that holds every connection as well
 *
 * A connection may have packets in it that nobody has read, with descriptors of
 * strangers in them. They go with the last reference to the socket, in the
 * context of whoever drops that, and for as long as the strangers like. So the
 * keeper has a reference of its own: the daemon's is never the last. See keeper.c.
 */
#ifndef BL_KEEPER_H
#define BL_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_keeper {
	int socket;		/* to the process; -1: there is none */
};

/*
 * Starts the process; 0 or -errno. The caller has no connection yet, and no second
 * thread. All that the process does can be read from k->socket.
 */
int bl_keeper_start(struct bl_keeper *k);
/* Ends it. Whatever it still holds goes with it. */
void bl_keeper_stop(struct bl_keeper *k);

/* From now on the keeper has @fd as well; 0 or -errno. */
int bl_keeper_keep(struct bl_keeper *k, int fd);

/*
 * Ends a connection for both sides and closes @fd, which is kept. True: there are
 * descriptors in it, and it goes on to count as one of @uid's until the keeper says
 * that it is gone.
 */
bool bl_keeper_end(struct bl_keeper *k, int fd, uid_t uid);

/*
 * The next connection that is gone: 1 and whose it was. 0: none for now; -EPIPE: the
 * process has ended.
 */
int bl_keeper_gone(struct bl_keeper *k, uid_t *ret_uid);

#endif
