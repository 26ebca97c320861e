/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * manager.h - the daemon's one state, and who does what with it
 *
 * There is one struct bl_manager; every part of the daemon gets it by pointer.
 * Everything runs in one thread, in the loop. Prototypes are grouped by the
 * file that has the functions.
 */
#ifndef BL_MANAGER_H
#define BL_MANAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/message.h"
#include "common/protocol.h"
#include "daemon/wire/conn.h"
#include "daemon/core/ledger.h"
#include "daemon/core/map.h"
#include "daemon/core/policy.h"
#include "daemon/core/revoke.h"
#include "daemon/sys/device.h"
#include "daemon/sys/keeper.h"

#define BL_LISTENERS_MAX	4
#define BL_STATUS_BURST		20	/* new answers to BL_STATUS, for all who ask */
#define BL_STATUS_PER_SEC	20
#define BL_SWEEP_PROCESSES	1024	/* looked at in one sweep, with two reads each */

/* The id of the request for a loss: the region's, and this bit. */
#define BL_LOSS_ID(region)	((region) | 1ULL << 63)

struct bl_listener {
	struct event ev;
	int fd;
};

/*
 * Something longer than one turn of the loop may take: step() does a part of
 * it, and returns true when it is finished. fini() frees what it points to.
 */
struct bl_task {
	TAILQ_ENTRY(bl_task) link;
	bool (*step)(struct bl_manager *m, struct bl_task *task);
	void (*fini)(struct bl_manager *m, struct bl_task *task);
};
TAILQ_HEAD(bl_tasks, bl_task);

struct bl_manager {
	struct event_base *base;
	struct bl_device *dev;
	struct bl_policy *policy;
	const char *config_path;
	uint64_t (*clock)(void);	/* CLOCK_BOOTTIME, ns */
	uint64_t started_at;
	uint64_t last_request;	/* highest id of a recall that was given */
	gid_t admin_gid;	/* (gid_t)-1: there is no such group */

	struct bl_ledger ledger;
	struct bl_revocation revoke;

	struct bl_listener listeners[BL_LISTENERS_MAX];
	int n_listeners;
	struct event ev_accept;	/* accepting again after a pause */
	struct bl_conns conns;
	struct bl_conns dead;	/* to be freed at the end of this turn */
	struct event ev_dead;
	unsigned int n_conns;
	uint64_t last_conn;
	struct bl_map conn_ids;	/* (id, 0): connection */
	struct bl_map sessions;	/* (session, 0): its connection */
	struct bl_map uids;	/* (uid, 0): number of its connections, lingering ones too */

	struct bl_status status;	/* the last new one, as far as it is the module's */
	struct bl_bucket status_bucket;

	struct bl_keeper keeper;	/* has every connection as well */
	struct event ev_keeper;
	unsigned int n_lingering;	/* connections that have ended, and are not gone */
	bool failed;		/* the loop has ended for that */

	struct bl_tasks tasks;
	struct event ev_tasks;

	struct event ev_device;
	struct event ev_device_retry;	/* events that there was no memory for */
	struct event ev_timer;
	struct event ev_sweep;
	int timer_fd;		/* of CLOCK_BOOTTIME: it goes on while asleep */

	union {			/* the packet that is being handled */
		uint64_t align;
		struct bl_msg msg;
		char bytes[BL_MSG_MAX];
	} packet;
};

/* ---- manager.c: puts the parts together ---- */

/* Takes @policy. NULL: out of memory or file descriptors, errno is set. */
struct bl_manager *bl_manager_new(struct bl_device *dev, struct bl_policy *policy,
				  const char *config_path);
/* Closes connections and listeners; grants and accounts live on. NULL is nothing. */
struct bl_manager *bl_manager_free(struct bl_manager *m);
/* Adopts what the module has, applies limits, begins to look at events; says why not. */
int bl_manager_start(struct bl_manager *m);
/*
 * Reads the configuration again. 0; or -EINVAL, and the old one stays. @text,
 * of BL_TEXT_MAX bytes: what was wrong, or what was warned about, or "".
 */
int bl_manager_reload(struct bl_manager *m, char *text);
uint64_t bl_manager_now(struct bl_manager *m);
/* It cannot go on: the loop ends, and with it the daemon, to be started again. */
__attribute__((format(printf, 2, 3)))
void bl_manager_fail(struct bl_manager *m, const char *fmt, ...);
void bl_manager_add_task(struct bl_manager *m, struct bl_task *task);
void bl_manager_status_text(struct bl_manager *m, char *buf, size_t len);

/* ---- server.c: sockets that clients connect to ---- */

int bl_server_bind(const char *path);
int bl_server_listen(struct bl_manager *m, int fd);	/* takes fd */
void bl_server_stop(struct bl_manager *m);
/* A connected socket becomes a connection, or is told why not; takes fd. */
struct bl_conn *bl_server_admit(struct bl_manager *m, int fd);

/* ---- client.c: what programs ask for ---- */

void bl_client_hello(struct bl_conn *c, const struct bl_msg *msg);
void bl_client_open(struct bl_conn *c, const struct bl_msg *msg);
void bl_client_open_cancel(struct bl_conn *c);
void bl_client_resume(struct bl_conn *c, const struct bl_msg *msg);
void bl_client_ack(struct bl_conn *c, const struct bl_msg *msg);

/* ---- notice.c: telling clients what is revoked ---- */

/* Tell the session's client, now or when it can be reached. */
void bl_notice_region(struct bl_manager *m, const struct belay_region_row *row);
/* Tell it everything that is open, from the beginning. */
void bl_notice_all(struct bl_conn *c);
/* There is room in its queue again. */
void bl_notice_pump(struct bl_conn *c);

/* ---- admin.c: status, limits, reloading ---- */

bool bl_admin_allowed(struct bl_conn *c);
void bl_admin_status(struct bl_conn *c, const struct bl_msg *msg);
void bl_admin_limit(struct bl_conn *c, const struct bl_msg *msg);
void bl_admin_reload(struct bl_conn *c, const struct bl_msg *msg);

/* ---- admin-list.c, admin-recall.c ---- */

void bl_admin_list(struct bl_conn *c, const struct bl_msg *msg);
void bl_admin_recall(struct bl_conn *c, const struct bl_msg *msg);

/* ---- accounts.c: the tree of limits in the module ---- */

/* The account of the whole system; 0 or -errno */
int bl_accounts_root(struct bl_manager *m);
/* That somebody's grants are charged to, made at first need with all above it; NULL: *ret_err */
struct bl_account *bl_accounts_get(struct bl_manager *m, const struct bl_identity *who,
				   uint64_t memlock_bytes, int *ret_err);
/* "system", "user/alice", and back: 0, or -ENOENT: nothing is called so */
void bl_accounts_name(const struct bl_account_key *key, char name[BL_NAME_MAX]);
int bl_accounts_parse(const char *name, struct bl_account_key *ret);
/* "system", "user/NAME", "user/UID"; NULL: there is none */
struct bl_account *bl_accounts_named(struct bl_manager *m, const char *name);
/* Everything that has another limit than it should, in one call; 0 or -errno */
int bl_accounts_apply(struct bl_manager *m);
/* Accounts that nobody uses go. */
void bl_accounts_sweep(struct bl_manager *m);

/* ---- memlock.c: the broker of RLIMIT_MEMLOCK ---- */

/* What the peer came with; it has @has now. True: it has inherited that */
bool bl_memlock_original(struct bl_manager *m, const struct bl_peer *peer,
			 const struct bl_memlock *has, struct bl_memlock *ret);
/* It began with what belay had made of its ancestor's. */
void bl_memlock_inherited(struct bl_process *p, const struct bl_memlock *has);
/* How high it may be: what the grant allows, times `memlock` */
uint64_t bl_memlock_allowed(struct bl_manager *m, const struct bl_grant_record *g);
/* So high; what it was is in the process's record. */
void bl_memlock_raise(struct bl_manager *m, struct bl_grant_record *g);
/* As it was. 0, or -errno: it may work another time. */
int bl_memlock_restore(struct bl_process *p);
/* Its process runs as that user now: what it has in another's name is put back. */
void bl_memlock_user_now(struct bl_manager *m, struct bl_grant_record *g, uid_t uid);
/* Processes that are gone are forgotten. */
void bl_memlock_sweep(struct bl_manager *m);

/* ---- holders.c: all processes that use a grant ---- */

/*
 * Lists the processes that use the grant now, and notices a change of user. None: the
 * grant is over.
 */
void bl_holders_look(struct bl_manager *m, struct bl_grant_record *g,
		     struct bl_holders *ret);
bool bl_holders_have_pid(const struct bl_holders *h, pid_t pid);
bool bl_holders_have_user(const struct bl_holders *h, uid_t uid);
/*
 * Kills all that have not been killed, and says in the log whom and why. How many;
 * or -errno: there are some, and none can be killed.
 */
int bl_holders_kill(struct bl_manager *m, struct bl_grant_record *g, const char *why);
/* Looks at all grants: who has changed its user is noticed within a minute. */
void bl_holders_sweep(struct bl_manager *m);

/* ---- events.c: what the module has to say ---- */

void bl_events_read(struct bl_manager *m);

/* ---- enforce.c: deadlines and what follows them ---- */

void bl_enforce_run(struct bl_manager *m);
/* The next deadline may have changed. */
void bl_enforce_arm(struct bl_manager *m);
/* To release a region by order; the request may be freed by it. */
void bl_enforce_release(struct bl_manager *m, struct bl_request *r);

/* ---- adopt.c: what an earlier daemon left in the module ---- */

int bl_adopt(struct bl_manager *m);
/* The request that a row in the state of lost or recalled stands for. */
int bl_adopt_region(struct bl_manager *m, const struct belay_region_row *row);

#endif
