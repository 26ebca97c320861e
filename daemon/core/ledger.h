/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * ledger.h - the accounts and grants that there are, as the daemon knows them
 *
 * The module has the truth (limits, usage); this adds whose they are, and
 * finds them. Everything in it can be read back from the module, except what
 * an administrator set at run time, which lasts as long as the daemon.
 */
#ifndef BL_LEDGER_H
#define BL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/protocol.h"
#include "daemon/core/map.h"
#include "daemon/core/policy.h"
#include "daemon/core/tag.h"

struct bl_account {
	TAILQ_ENTRY(bl_account) link;
	uint64_t id;
	struct bl_account *parent;	/* NULL: the root */
	struct bl_account_key key;
	char name[BL_NAME_MAX];	/* "system", "user/alice" */
	struct bl_limits limits;	/* as the module has them */
	struct bl_limits set;	/* by an administrator at run time ... */
	uint32_t set_mask;	/* ... these: BL_LIMIT_SET_* */
	uint64_t memlock_bytes;	/* the highest RLIMIT_MEMLOCK that its processes came with */
	unsigned int grants;	/* charged to it directly */
	unsigned int children;
};

/*
 * A process that has a grant, or had one: what its RLIMIT_MEMLOCK was before belay
 * touched it, and from when to when it was more. Its children begin with what it is
 * at the moment of their fork, so this is kept for as long as the process lives.
 */
struct bl_process {
	TAILQ_ENTRY(bl_process) link;
	pid_t pid;
	uint64_t start_time;
	uint64_t memlock_soft;	/* RLIMIT_MEMLOCK as it was before belay */
	uint64_t memlock_hard;
	uint64_t memlock_raised;	/* what belay made of it; 0: it did not, or has put it back */
	uint64_t highest_soft;	/* of all that belay made of it */
	uint64_t highest_hard;
	uint64_t raised_from;	/* clock ticks after boot, like start times; 0: never */
	uint64_t raised_until;	/* UINT64_MAX: it still is */
	unsigned int grants;
};

struct bl_grant_record {
	TAILQ_ENTRY(bl_grant_record) link;
	uint64_t id;
	struct bl_account *account;
	struct bl_process *process;
	pid_t pid;		/* the process's */
	uint64_t start_time;
	uid_t uid;		/* in whose name it was made */
	uid_t uid_now;		/* that its process runs as, when it was looked at last */
	struct bl_limits limits;
	struct bl_limits set;
	uint32_t set_mask;
	struct bl_map killed;	/* (pid, start time): holders that got their signal */
	uint64_t killed_at;	/* when its holders were looked for last, to kill them */
	unsigned int connected;	/* sessions with a connection */
	bool over;		/* it had ended before this daemon began */
	char label[BL_NAME_MAX];	/* of the client that connected last */
};

TAILQ_HEAD(bl_accounts, bl_account);
TAILQ_HEAD(bl_grants, bl_grant_record);
TAILQ_HEAD(bl_processes, bl_process);

struct bl_ledger {
	struct bl_accounts accounts;
	struct bl_grants grants;
	struct bl_processes process_list;	/* looked at longest ago first */
	struct bl_map account_ids;
	struct bl_map grant_ids;
	struct bl_map keys;	/* (parent's id or 0, key): the account */
	struct bl_map processes;	/* (pid, start time): its record */
	struct bl_account *root;
	unsigned int n_accounts;
	unsigned int n_grants;
	unsigned int n_processes;
};

void bl_ledger_init(struct bl_ledger *l);
void bl_ledger_fini(struct bl_ledger *l);

/* NULL: out of memory */
struct bl_account *bl_ledger_add_account(struct bl_ledger *l, uint64_t id,
					 struct bl_account *parent,
					 const struct bl_account_key *key,
					 const char *name,
					 const struct bl_limits *limits);
/* It has no children. */
void bl_ledger_remove_account(struct bl_ledger *l, struct bl_account *a);
struct bl_account *bl_ledger_account(const struct bl_ledger *l, uint64_t id);
/* @parent: NULL: the root is wanted */
struct bl_account *bl_ledger_child(const struct bl_ledger *l,
				   const struct bl_account *parent,
				   const struct bl_account_key *key);
/* The account at the end of a path */
struct bl_account *bl_ledger_at(const struct bl_ledger *l,
				const struct bl_account_path *path);
struct bl_account *bl_ledger_account_named(const struct bl_ledger *l,
					   const char *name);
/* The account of a user that it is, or is below; NULL: it is above all users */
const struct bl_account *bl_account_user(const struct bl_account *a);
/* Of its name, what tells it from others of its kind: "alice" */
const char *bl_account_short_name(const struct bl_account *a);

/* NULL: out of memory */
struct bl_grant_record *bl_ledger_add_grant(struct bl_ledger *l, uint64_t id,
					    struct bl_account *account,
					    pid_t pid, uint64_t start_time,
					    const struct bl_grant_tag *tag,
					    const struct bl_limits *limits);
void bl_ledger_remove_grant(struct bl_ledger *l, struct bl_grant_record *g);
struct bl_grant_record *bl_ledger_grant(const struct bl_ledger *l, uint64_t id);

/* A process that has, or had, a grant */
struct bl_process *bl_ledger_process(const struct bl_ledger *l, pid_t pid,
				     uint64_t start_time);
/* It is gone; it has no grant. */
void bl_ledger_forget_process(struct bl_ledger *l, struct bl_process *p);

/*
 * What an account, a process to come, or a grant should have: the policy's, or
 * the administrator's.
 */
struct bl_limits bl_ledger_account_limits(const struct bl_policy *p,
					  const struct bl_account *a);
struct bl_limits bl_ledger_process_limits(const struct bl_policy *p,
					  const struct bl_account *a, uid_t uid,
					  uint64_t memlock_bytes);
struct bl_limits bl_ledger_grant_limits(const struct bl_policy *p,
					const struct bl_grant_record *g);

#endif
