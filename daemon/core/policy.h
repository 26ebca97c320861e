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

/*
 * bl_policy_user_limits - what all processes of a user may hold together
 *
 * The user's own entry, else [default], key by key. If neither says how many
 * bytes: what mlock() would have given a process, @memlock_bytes, its
 * RLIMIT_MEMLOCK (root is not held to that, so neither here).
 */
struct bl_limits bl_policy_user_limits(const struct bl_policy *p, uid_t uid,
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
