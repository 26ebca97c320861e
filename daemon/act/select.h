/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * select.h - which grants and regions are meant
 *
 * One selection (struct bl_selection) serves a list, a recall and who waits. The
 * module chooses by what it knows of a grant or region. By process and user the
 * daemon chooses: a grant belongs to whoever asked for it and to whoever its
 * processes are now, and is found under all of them, and by each of them.
 */
#ifndef BL_SELECT_H
#define BL_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/protocol.h"
#include "daemon/sys/device.h"

struct bl_account;
struct bl_grant_record;
struct bl_state;

struct bl_choice {
	struct bl_selection by;
	struct belay_select module;	/* the part of it that the module chooses by */
	uint64_t account;	/* the module's id of by.account; 0: any */
	struct bl_holders holders;	/* of the grant below, in this turn of the loop */
	uint64_t holders_of;
};

/*
 * bl_choice_init - what a selection means now
 *
 * @what: enum bl_list_what: what is chosen among
 * @why: room for a sentence of BL_TEXT_MAX bytes
 *
 * Returns 0, or -errno with the sentence: -EINVAL: it makes no sense; -ENOENT: it
 * names a memory block or an account that there is not.
 */
int bl_choice_init(struct bl_state *st, struct bl_choice *c,
		   const struct bl_selection *by, uint32_t what, char *why);

/* In another turn of the loop other processes may use a grant. */
void bl_choice_turn(struct bl_choice *c);

/* The processes that use that grant */
const struct bl_holders *bl_choice_holders(struct bl_state *st, struct bl_choice *c,
					   struct bl_grant_record *g);

/* Must the daemon be asked which grants are meant? */
bool bl_choice_asks_grants(const struct bl_choice *c);
/* Is that grant meant, as far as the daemon chooses? @g: NULL: nobody knows whose it is. */
bool bl_choice_has_grant(struct bl_state *st, struct bl_choice *c,
			 struct bl_grant_record *g);
/* The same of an account. @a: NULL: another has made it. */
bool bl_choice_has_account(const struct bl_choice *c, const struct bl_account *a);

/* "user alice, node 1": what it names, for a person; returns @buf */
const char *bl_selection_text(const struct bl_selection *by, uint64_t now, char *buf,
			      size_t len);

#endif
