/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* accounts.h - the tree of limits in the module */
#ifndef BL_ACCOUNTS_H
#define BL_ACCOUNTS_H

#include <stdint.h>

#include "common/protocol.h"
#include "daemon/core/policy.h"

struct bl_account;
struct bl_state;

/* The account of the whole system; 0 or -errno */
int bl_accounts_root(struct bl_state *st);
/* That somebody's grants are charged to, made at first need with all above it; NULL: *ret_err */
struct bl_account *bl_accounts_get(struct bl_state *st, const struct bl_identity *who,
				   uint64_t memlock_bytes, int *ret_err);
/* "system", "user/alice", and back: 0, or -ENOENT: nothing is called so */
void bl_accounts_name(const struct bl_account_key *key, char name[BL_NAME_MAX]);
int bl_accounts_parse(const char *name, struct bl_account_key *ret);
/* "system", "user/NAME", "user/UID"; NULL: there is none */
struct bl_account *bl_accounts_named(struct bl_state *st, const char *name);
/* Everything that has another limit than it should, in one call; 0 or -errno */
int bl_accounts_apply(struct bl_state *st);
/* Accounts that nobody uses go. */
void bl_accounts_sweep(struct bl_state *st);

#endif
