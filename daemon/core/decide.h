/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * decide.h - who may have how much
 *
 * A verdict says whether a wish can be granted; if not, which level refuses, what it
 * allows and has in use, what was needed, and what would cure it. It is an object, so
 * that who opens, who explains and who writes down say the same. Pure: what is in use
 * is asked of the caller, and only where it matters.
 */
#ifndef BL_DECIDE_H
#define BL_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/protocol.h"
#include "daemon/core/ledger.h"
#include "daemon/core/policy.h"

enum bl_cure {
	BL_CURE_NOTHING,	/* nothing is wrong */
	BL_CURE_PROCESS_MAX,	/* ask for less, or raise what one process may hold */
	BL_CURE_ACCOUNT_MAX,	/* ask for less, or raise the account's limit */
};

/* Somebody opens: a grant that is charged to @account, for a process of @uid. */
struct bl_wish {
	const struct bl_account *account;
	uid_t uid;
	uint64_t memlock_bytes;	/* RLIMIT_MEMLOCK that the process came with */
	uint64_t want_bytes;	/* refuse if so much can never be had; 0: no matter */
	/* How much is charged to an account now */
	uint64_t (*usage)(void *arg, const struct bl_account *a);
	void *arg;
};

struct bl_verdict {
	bool refused;
	const struct bl_account *level;	/* whose limit is the least; NULL: the grant's own */
	uint32_t resource;	/* enum belay_resource */
	uint64_t limit;		/* of that level */
	uint64_t needed;
	uint64_t used;		/* of that level, if it refuses */
	enum bl_cure cure;
	struct bl_limits grant;	/* what the grant is to have of its own */
};

void bl_decide_open(const struct bl_policy *p, const struct bl_wish *wish,
		    struct bl_verdict *ret);

/* The least of all levels from a grant upwards; *ret_level: whose; NULL: the grant's */
uint64_t bl_decide_bytes(const struct bl_account *a, const struct bl_limits *grant,
			 const struct bl_account **ret_level);

/* A refusal in words, for a person, with its cure; returns @buf */
const char *bl_verdict_text(const struct bl_verdict *v, char *buf, size_t len);
/* The same for a program */
struct bl_refusal bl_verdict_refusal(const struct bl_verdict *v);

#endif
