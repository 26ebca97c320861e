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

struct bl_key;

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

/* The identity that asks for a grant. Groups, cgroup and class will choose among longer paths. */
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
	uint64_t memlock_percent;	/* memlock */
	uint32_t said;			/* BL_SAYS_* bits: what is not missing */
};
#define BL_SAYS_BYTES		(1U << 0)
#define BL_SAYS_REGIONS		(1U << 1)
#define BL_SAYS_PROCESS_BYTES	(1U << 2)
#define BL_SAYS_PROCESS_REGIONS	(1U << 3)
#define BL_SAYS_MEMLOCK		(1U << 4)

struct bl_user_rule {
	uid_t uid;
	struct bl_rule rule;
};

struct bl_policy {
	struct bl_limits system;
	struct bl_rule fallback;	/* [default]; all values but max and process_max */
	struct bl_user_rule *users;
	unsigned int n_users;
	uint64_t deadline_nsec;		/* from a request to its escalation */
	uint64_t escalation;		/* enum bl_escalation, not the default */
	uint64_t max_clients;
	uint64_t max_clients_per_user;
};

/* bl_policy_new - what holds when no file says anything; NULL: out of memory */
struct bl_policy *bl_policy_new(void);

/* bl_policy_free - NULL is nothing; returns NULL */
struct bl_policy *bl_policy_free(struct bl_policy *p);

/* bl_rule_set - a key of the table (key.h) is said, and has that value */
void bl_rule_set(struct bl_rule *r, const struct bl_key *k, uint64_t value);

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
