/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* holders.h - all processes that use a grant */
#ifndef BL_HOLDERS_H
#define BL_HOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/sys/device.h"

struct bl_grant_record;
struct bl_state;

/*
 * Lists the processes that use the grant now, and notices a change of user. None: the
 * grant is over.
 */
void bl_holders_look(struct bl_state *st, struct bl_grant_record *g,
		     struct bl_holders *ret);
bool bl_holders_have_pid(const struct bl_holders *h, pid_t pid);
bool bl_holders_have_user(const struct bl_holders *h, uid_t uid);
/*
 * Kills all that have not been killed, and says in the log whom and why. How many;
 * or -errno: there are some, and none can be killed.
 */
int bl_holders_kill(struct bl_state *st, struct bl_grant_record *g, const char *why);
/* Looks at all grants: who has changed its user is noticed within a minute. */
void bl_holders_sweep(struct bl_state *st);

#endif
