/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * policy.h - what the administrator decided: limits, deadlines, caps
 *
 * A policy is what one reading of the configuration gives; it does not change
 * after that. Pure: no file, no module, no time.
 */
#ifndef BL_POLICY_H
#define BL_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/units.h"

/*
 * Accounts are a tree. Each has a key: what it is for (its level), and which of that
 * level it is. A grant is charged to the account at the end of a path, and so to all
 * on it. Tags hold kinds: never renumber them.
 */
enum bl_account_kind {
	BL_ACCOUNT_SYSTEM = 1,	/* the root: everybody together */
	BL_ACCOUNT_USER = 2,	/* id: the uid */
	BL_ACCOUNT_KINDS,
};

struct bl_account_key {
	enum bl_account_kind kind;
	uint32_t id;		/* 0 where there is one only */
};

#define BL_PATH_MAX	8	/* BELAY_MAX_DEPTH */

struct bl_account_path {
	unsigned int count;
	struct bl_account_key keys[BL_PATH_MAX];	/* from the root */
};

/* Who asks for a grant. Groups, cgroup and class will choose among longer paths. */
struct bl_identity {
	uid_t uid;
};

struct bl_limits {
	uint64_t bytes;		/* BL_UNLIMITED: none */
	uint64_t regions;
};

/* What a [default] or [user] section says; each key may be missing. */
struct bl_rule {
	struct bl_limits user;		/* max, regions: all processes together */
	struct bl_limits process;	/* process_max, process_regions */
	bool has_bytes;
	bool has_regions;
	bool has_process_bytes;
	bool has_process_regions;
	uint32_t memlock_percent;	/* memlock; 0: not said */
};

struct bl_user_rule {
	uid_t uid;
	struct bl_rule rule;
};

struct bl_policy {
	struct bl_limits system;
	struct bl_rule fallback;	/* [default] */
	struct bl_user_rule *users;
	unsigned int n_users;
	uint64_t deadline_nsec;		/* from a request to its escalation */
	uint32_t escalation;		/* enum bl_escalation, not the default */
	uint32_t max_clients;
	uint32_t max_clients_per_user;
};

/*
 * RLIMIT_MEMLOCK of a process with a grant, in percent of what the grant allows. 100:
 * what drivers pin is then bounded as if they counted as belay does. 10000: a hundred
 * rails over the same memory, which no machine has.
 */
#define BL_MEMLOCK_PERCENT	100
#define BL_MEMLOCK_PERCENT_MAX	10000

/* Built in, for what no file says. */
#define BL_DEADLINE_NSEC	10000000000ULL	/* 10 s: stop a transfer, tell peers */
#define BL_MAX_CLIENTS		8192		/* well under LimitNOFILE= */
#define BL_MAX_CLIENTS_PER_USER	4096

/* bl_policy_new - the built-in one; NULL: out of memory */
struct bl_policy *bl_policy_new(void);

/* bl_policy_free - NULL is nothing; returns NULL */
struct bl_policy *bl_policy_free(struct bl_policy *p);

/* bl_policy_user - the rule of a user; added if there is none; NULL: no memory */
struct bl_rule *bl_policy_user(struct bl_policy *p, uid_t uid);

/* bl_policy_path - the accounts that somebody's grants are charged to */
void bl_policy_path(const struct bl_policy *p, const struct bl_identity *who,
		    struct bl_account_path *ret);

/*
 * bl_policy_account_limits - what all that is charged to an account may be
 *
 * A user's: its own entry, else [default], key by key. If neither says how many
 * bytes: what mlock() would have given a process, @memlock_bytes, its
 * RLIMIT_MEMLOCK (root is not held to that, so neither here).
 */
struct bl_limits bl_policy_account_limits(const struct bl_policy *p,
					  const struct bl_account_key *key,
					  uint64_t memlock_bytes);

/*
 * bl_policy_process_limits - what one process of a user may hold
 *
 * As above; if nothing is said, nothing but its user's limit; where the user's
 * limit is what mlock() would have given, the process's own RLIMIT_MEMLOCK.
 */
struct bl_limits bl_policy_process_limits(const struct bl_policy *p, uid_t uid,
					  uint64_t memlock_bytes);

/* bl_policy_limits_bytes - has somebody said how many bytes that user may hold? */
bool bl_policy_limits_bytes(const struct bl_policy *p, uid_t uid);

/*
 * bl_policy_memlock_bytes - how high a user's process may have its RLIMIT_MEMLOCK
 *
 * @allowed: what its grant allows. Drivers count memory once for each
 * registration, so the key memlock makes it a multiple of that.
 */
uint64_t bl_policy_memlock_bytes(const struct bl_policy *p, uid_t uid, uint64_t allowed);

/*
 * bl_policy_escalation - what happens to such a region at the deadline
 *
 * @asked: enum bl_escalation of the request
 * Returns one that is not the default, or 0: refused, because memory that
 * another driver holds cannot be released by order. A *configured* `release`
 * means `keep` for tracked regions.
 */
uint32_t bl_policy_escalation(const struct bl_policy *p, uint32_t asked,
			      uint32_t kind);

#endif
