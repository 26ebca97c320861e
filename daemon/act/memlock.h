/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* memlock.h - the broker of RLIMIT_MEMLOCK */
#ifndef BL_MEMLOCK_H
#define BL_MEMLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/ledger.h"
#include "daemon/sys/process.h"

#define BL_SWEEP_PROCESSES	1024	/* looked at in one sweep, with two reads each */

struct bl_state;

/* The memlock that the peer came with; it has @has now. True: it has inherited that */
bool bl_memlock_original(struct bl_state *st, const struct bl_peer *peer,
			 const struct bl_memlock *has, struct bl_memlock *ret);
/* It began with what belay had made of its ancestor's. */
void bl_memlock_inherited(struct bl_process *p, const struct bl_memlock *has);
/* How high it may be: what the grant allows, times `memlock` */
uint64_t bl_memlock_allowed(struct bl_state *st, const struct bl_grant_record *g);
/* So high; what it was is in the process's record. */
void bl_memlock_raise(struct bl_state *st, struct bl_grant_record *g);
/* As it was. 0, or -errno: it may work another time. */
int bl_memlock_restore(struct bl_process *p);
/* Its process runs as that user now: what it has in another's name is put back. */
void bl_memlock_user_now(struct bl_state *st, struct bl_grant_record *g, uid_t uid);
/* Processes that are gone are forgotten. */
void bl_memlock_sweep(struct bl_state *st);

#endif
