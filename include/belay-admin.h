/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belay-admin.h - see who holds memory for DMA, limit it, and ask for it back
 *
 * For the tools of administrators: belayctl is made of it, and exporters, plugins of
 * a batch system and scripts can be. Programs that hold memory use belay.h instead.
 *
 *	struct belay_admin_account account = { .size = sizeof(account) };
 *	struct belay_admin_list *list;
 *	struct belay_admin *admin;
 *	int n;
 *
 *	if (belay_admin_open(&admin, NULL) ||
 *	    belay_admin_list_new(admin, BELAY_ADMIN_ACCOUNTS, NULL, &list))
 *		errx(1, "%s", belay_admin_error(admin));
 *	while ((n = belay_admin_next_account(list, &account)) > 0)
 *		printf("%s: %llu\n", account.name,
 *		       (unsigned long long)account.usage_bytes);
 *	if (n < 0)
 *		errx(1, "%s", belay_admin_error(admin));
 *	belay_admin_list_free(list);
 *	belay_admin_close(admin);
 *
 * Rights: everybody may ask for the status, and list what is their own and the account
 * "system". The rest is for root and the members of the group belay-admin; to others it
 * is -EACCES.
 *
 * Units: amounts in bytes, times and points in time in nanoseconds, points in time of
 * CLOCK_BOOTTIME. UINT64_MAX as a limit: there is none.
 *
 * Errors: a negative errno, and a sentence for a person that belay_admin_error()
 * gives: what the daemon said if it is the daemon who refused. errno itself is not
 * preserved. The library prints nothing, logs nothing and never exits. These can come
 * of every function that takes a handle or a list:
 *
 *	-ECONNRESET	belayd has closed the connection: it ends, or is restarted
 *	-ETIMEDOUT	belayd has not answered in time
 *	-ECANCELED	on_wait has said that it is enough
 *	-EPROTO		what came is no answer: another release, or no belayd; or belayd says
 *			that a rule of the protocol is broken, such as by more messages a
 *			second than it takes
 *	-ENOTCONN	one of these four has come before, or belay_admin_open() failed
 *	-EBUSY		a recall that was started has no result yet
 *	-EXDEV		a forked child uses the handle of its parent
 *	-ENOMEM		belayd or the program is out of memory
 *	-EINVAL		an argument
 *
 * After the first four the connection is over: close the handle, and open another.
 * After all others it is as good as before.
 *
 * Structs: each begins with its size, which the program sets to sizeof before it gives
 * the struct to a call for the first time, as in belay.h. So a struct can grow at its end
 * without breaking a program or a library that is older: the library writes no more than
 * the program has room for; of a struct to be filled in, what this library or this belayd
 * does not know is zero; of one that is given, it must be. A size smaller than the first
 * release's is -EINVAL. (Handing out pointers to structs of the library's own would let
 * them grow, too, but a program built later would read behind the end of an older
 * library's.) The program owns all structs, and the library keeps no pointer to one after
 * the call. In C++: "struct belay_admin_account account = {}; account.size =
 * sizeof(account);".
 *
 * Descriptors: a handle has one, close-on-exec and never 0, 1 or 2. It is not the
 * program's to close.
 *
 * Threads: a handle, with its lists, is for one thread at a time. Different handles
 * have nothing in common. No call is safe in a signal handler; a signal does not end a
 * call.
 *
 * Fork: a handle belongs to the process that opened it. In a forked child each call
 * returns -EXDEV; belay_admin_list_free() and belay_admin_close() free the child's copy,
 * and the parent does not notice.
 */
#ifndef BELAY_ADMIN_H
#define BELAY_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_ADMIN_NAME	64	/* of an account, a user, a command, with its NUL */
#define BELAY_ADMIN_TEXT	512	/* a sentence, with its NUL */

struct belay_admin;		/* a connection to belayd */
struct belay_admin_list;	/* a place in a list */

/*
 * Called about ten times a second while a call waits for belayd: to show that one
 * waits, or to end it. @waited: for so long; @deadline: of the recall that is waited
 * for, 0 if there is none or it is belayd's configured one. Returns 0 to go on; anything
 * else ends the call with -ECANCELED. Must not use the handle.
 */
typedef int (*belay_admin_wait_fn)(uint64_t waited, uint64_t deadline, void *arg);

struct belay_admin_options {
	size_t size;
	const char *socket;	/* NULL: $BELAY_SOCKET if set (and not setuid), else /run/belay/belay.sock */
	const char *label;	/* NULL: the program's name */
	int32_t timeout_msec;	/* for one answer; 0: 10 s; -1: none */
	uint32_t reserved;
	belay_admin_wait_fn on_wait;	/* NULL: not interested */
	void *arg;
};

/*
 * belay_admin_open - connect to belayd
 *
 * @opt may be NULL. *ret belongs to the caller, who gives it to belay_admin_close(),
 * also after an error: then it has the sentence, and is good for nothing else. It is NULL
 * only after -ENOMEM.
 *
 * Errors: -ENOENT, -ECONNREFUSED (belayd is not running: nothing answers at the
 * socket), -EACCES (the socket may not be used), -ENAMETOOLONG (the socket's path),
 * -EPROTONOSUPPORT (no common version), -EUSERS (belayd has as many clients as it may
 * have, or as many of this user), -EMFILE, -ENFILE (descriptors), -EINVAL (options),
 * -ETIMEDOUT, -ECONNRESET, -ECANCELED, -EPROTO, -ENOMEM, and what else connect(2) says.
 */
int belay_admin_open(struct belay_admin **ret, const struct belay_admin_options *opt);

/*
 * belay_admin_close - disconnect and free the handle
 *
 * Its lists must have been freed. A recall that is under way goes on. NULL does nothing.
 */
void belay_admin_close(struct belay_admin *admin);

/*
 * belay_admin_error - a sentence about the last call on this handle that failed
 *
 * Without a full stop or a newline at its end; "" if none failed. Belongs to the handle
 * and is good until the next call on it. NULL, the handle that could not be made, gives a
 * sentence, too.
 */
const char *belay_admin_error(const struct belay_admin *admin);

struct belay_admin_status {
	size_t size;
	char version[BELAY_ADMIN_NAME];	/* belayd's */
	uint32_t abi_version;	/* of the kernel module */
	uint32_t pid;		/* belayd's */
	uint64_t started_at;
	uint64_t clients;	/* connected, this one included */
	uint64_t accounts;
	uint64_t grants;
	uint64_t sessions;
	uint64_t regions;
	uint64_t charged_bytes;
	uint64_t pinned_bytes;	/* held by the module */
	uint64_t tracked_bytes;	/* held by other drivers */
	uint64_t limit_bytes;	/* the system account's */
	uint64_t open_requests;	/* revoke requests not yet answered */
	uint64_t overdue_requests;
	uint64_t refusals;	/* to accounts and grants that there still are; belayctl prints the module's count */
};

/* belay_admin_get_status - how belay is doing; only the errors above */
int belay_admin_get_status(struct belay_admin *admin, struct belay_admin_status *ret);

/*
 * Which grants or regions are meant: those that fit all that `by` names. The other
 * fields are not looked at. Lists and recalls select in the same way.
 */
struct belay_admin_selection {
	size_t size;
	uint32_t by;		/* BELAY_ADMIN_BY_* bits; 0: all there are */
	int32_t pid;		/* a process that uses the grant */
	uint32_t uid;		/* who asked for the grant, or whose a process is that uses it */
	uint32_t node;		/* NUMA node that some page lies on */
	uint64_t region;
	uint64_t grant;
	uint64_t block;		/* memory block, as in /sys/devices/system/memory, that some page lies in */
	uint64_t device;	/* of the file that is mapped, as stat(2) has it */
	uint64_t inode;
	uint64_t made_before;
	const char *account;	/* "system", "user/alice": it, or one below it */
};
#define BELAY_ADMIN_BY_PROCESS		(1U << 0)
#define BELAY_ADMIN_BY_USER		(1U << 1)
#define BELAY_ADMIN_BY_ACCOUNT		(1U << 2)
#define BELAY_ADMIN_BY_GRANT		(1U << 3)
#define BELAY_ADMIN_BY_REGION		(1U << 4)
#define BELAY_ADMIN_BY_NODE		(1U << 5)
#define BELAY_ADMIN_BY_BLOCK		(1U << 6)	/* administrators only */
#define BELAY_ADMIN_BY_FILE		(1U << 7)	/* device and inode */
#define BELAY_ADMIN_BY_AGE		(1U << 8)	/* made_before */
#define BELAY_ADMIN_BY_LASTING		(1U << 9)	/* its owner has not declared it transient */
#define BELAY_ADMIN_BY_TRANSIENT	(1U << 10)	/* or has */

/* The selections for accounts, and those for grants; regions know all of them. */
#define BELAY_ADMIN_BY_OF_ACCOUNT	(BELAY_ADMIN_BY_USER | BELAY_ADMIN_BY_ACCOUNT)
#define BELAY_ADMIN_BY_OF_GRANT		(BELAY_ADMIN_BY_OF_ACCOUNT | BELAY_ADMIN_BY_PROCESS | \
					 BELAY_ADMIN_BY_GRANT)

/* The kinds of lists. */
#define BELAY_ADMIN_ACCOUNTS	1
#define BELAY_ADMIN_GRANTS	2	/* with their processes and sessions */
#define BELAY_ADMIN_REGIONS	3	/* with their open revoke requests */

struct belay_admin_account {
	size_t size;
	uint64_t account;
	uint64_t parent;	/* 0: none */
	uint64_t limit_bytes;
	uint64_t usage_bytes;
	uint64_t limit_regions;
	uint64_t usage_regions;
	uint64_t refusals;
	uint32_t grants;
	uint32_t reserved;
	char name[BELAY_ADMIN_NAME];	/* "system", "user/alice" */
};

#define BELAY_ADMIN_PIDS	8

struct belay_admin_grant {
	size_t size;
	uint64_t grant;
	uint64_t account;
	uint32_t uid;		/* in whose name it was asked for */
	uint32_t uid_now;	/* that its process runs as */
	uint64_t made_at;
	uint64_t limit_bytes;
	uint64_t usage_bytes;
	uint64_t pinned_bytes;
	uint64_t tracked_bytes;	/* once for each registration, as drivers count them */
	uint64_t usage_regions;
	uint64_t user_locked_bytes;	/* of its user, as io_uring counts them */
	uint64_t memlock_bytes;	/* how high its RLIMIT_MEMLOCK may be */
	uint32_t sessions;
	uint32_t connected;	/* of the sessions, those with a connection now */
	uint32_t processes;	/* that use its address space; 0: all have ended */
	int32_t pids[BELAY_ADMIN_PIDS];	/* of those, as many as there is room for, then 0; the first asked for the grant if it is there still */
	uint32_t reserved;
	char account_name[BELAY_ADMIN_NAME];
	char user[BELAY_ADMIN_NAME];	/* "": uid has no name */
	char user_now[BELAY_ADMIN_NAME];	/* "": the same user */
	char command[BELAY_ADMIN_NAME];	/* of the first process */
	char label[BELAY_ADMIN_NAME];	/* as the program calls itself: any bytes */
};

/* A region: kind, flags, state and reason are numbers of <linux/belay.h>. */
struct belay_admin_region {
	size_t size;
	uint64_t region;
	uint64_t session;
	uint64_t grant;
	uint64_t addr;
	uint64_t len;
	int32_t pid;		/* 0: has ended */
	uint32_t uid;
	uint32_t kind;		/* enum belay_kind */
	uint32_t flags;		/* BELAY_REGION_* */
	uint32_t state;		/* BELAY_WORD_* bits, BELAY_STATE_BUILDING; 0: valid */
	int32_t node;		/* that its first page lies on; -1: unknown */
	uint64_t nodes;		/* bit n: pages on NUMA node n; bit 63: on that or a higher one */
	uint64_t made_at;
	uint64_t held_bytes;	/* by the module or another driver */
	uint64_t selected_bytes;	/* of those, in the place selected; without one: all */
	uint64_t lost_addr;	/* 0, 0: nothing is lost */
	uint64_t lost_len;
	uint64_t device;	/* of the file that is mapped; 0, 0: none */
	uint64_t inode;
	uint64_t request;	/* the open revoke request; 0: none, and the next three are 0 */
	uint64_t deadline;	/* 0: none, nothing is held */
	uint32_t reason;	/* enum belay_reason */
	uint32_t escalation;	/* BELAY_ADMIN_KEEP, ... */
	char user[BELAY_ADMIN_NAME];	/* "": uid has no name */
	char command[BELAY_ADMIN_NAME];
};

/*
 * belay_admin_list_new - begin a list: of BELAY_ADMIN_ACCOUNTS, _GRANTS or _REGIONS
 *
 * @select may be NULL: all there are. To others than administrators, all that is their
 * own. The list comes in pieces, and what changes meanwhile is in it or is not; nothing
 * is in it twice. Several lists, and other calls, may go on at the same time.
 *
 * *ret is set on success only and belongs to the caller, who gives it to
 * belay_admin_list_free().
 *
 * Errors: also -EACCES (what others hold), -ENOENT (no such account or memory
 * block), -EINVAL (@what, or what cannot be selected by there).
 */
int belay_admin_list_new(struct belay_admin *admin, uint32_t what,
			 const struct belay_admin_selection *select,
			 struct belay_admin_list **ret);

/*
 * belay_admin_next_account, _grant, _region - the next of a list
 *
 * Each is for the list of that kind; of another it is -EINVAL. Returns 1 and fills *ret;
 * or 0, and does not, at the end; or a negative errno.
 */
int belay_admin_next_account(struct belay_admin_list *list, struct belay_admin_account *ret);
int belay_admin_next_grant(struct belay_admin_list *list, struct belay_admin_grant *ret);
int belay_admin_next_region(struct belay_admin_list *list, struct belay_admin_region *ret);

/* belay_admin_list_free - done with a list, at its end or before; NULL does nothing */
void belay_admin_list_free(struct belay_admin_list *list);

struct belay_admin_limit {
	size_t size;
	const char *account;	/* "system", "user/NAME", "grant/ID" */
	uint32_t set;		/* BELAY_ADMIN_LIMIT_*: which of the two below */
	uint32_t reserved;
	uint64_t limit_bytes;
	uint64_t limit_regions;
};
#define BELAY_ADMIN_LIMIT_BYTES		(1U << 0)
#define BELAY_ADMIN_LIMIT_REGIONS	(1U << 1)

/*
 * belay_admin_set_limit - set a limit until belayd ends; belayd.conf has those that last
 *
 * A limit may be lower than the usage. Errors: also -EACCES, -ENOENT (no such account or
 * grant).
 */
int belay_admin_set_limit(struct belay_admin *admin, const struct belay_admin_limit *limit);

/* The fate of a region that is not let go by the deadline. */
#define BELAY_ADMIN_AS_CONFIGURED	0
#define BELAY_ADMIN_KEEP		1	/* nothing; it stays listed as overdue */
#define BELAY_ADMIN_RELEASE		2	/* the module lets go; not of tracked regions */
#define BELAY_ADMIN_KILL		3	/* the process is killed */

struct belay_admin_order {
	size_t size;
	const struct belay_admin_selection *select;	/* by something */
	uint64_t timeout;	/* from now to the deadline, to the microsecond; 0: as configured; at most 30 days */
	uint32_t escalation;	/* BELAY_ADMIN_KEEP, ... */
	uint32_t flags;
};
#define BELAY_ADMIN_NO_WAIT	(1U << 0)	/* the result is there when all holders have been asked */

/* The outcome of a recall. With BELAY_ADMIN_NO_WAIT the last four numbers are 0. */
struct belay_admin_recalled {
	size_t size;
	uint64_t regions;	/* asked for */
	uint64_t bytes;
	uint64_t refused;	/* tracked regions, which cannot be released by order: not asked for */
	uint64_t let_go;	/* by their holders, in time */
	uint64_t released;	/* by order at the deadline */
	uint64_t killed;	/* processes */
	uint64_t kept;		/* overdue, still held */
	char text[BELAY_ADMIN_TEXT];	/* what there is to say about it; may be "" */
};

/*
 * belay_admin_recall - ask the holders of what is selected to let go
 *
 * Returns when all is decided: all is let go, or the deadline has passed and what was to
 * happen then has happened. For that there is no time-out; on_wait is called meanwhile,
 * and may end the call, but not the recall. With BELAY_ADMIN_NO_WAIT it returns when all
 * holders have been asked; then the time-out of the handle (timeout_msec) holds.
 *
 * Errors: also -EACCES, -ENOENT (no such account, grant, region or memory block), -EINVAL
 * (nothing is selected, or a timeout of more than 30 days).
 */
int belay_admin_recall(struct belay_admin *admin, const struct belay_admin_order *order,
		       struct belay_admin_recalled *ret);

/*
 * belay_admin_recall_start - the same, without waiting: for programs with an event loop
 *
 * belay_admin_recall_result() says what became of it. Until it has returned the result or an
 * error, all other calls on the handle but belay_admin_get_fd(), belay_admin_error() and
 * belay_admin_close() return -EBUSY. belay_admin_next_account(), _grant() and _region() still
 * give the rows of the page that has come already, and -EBUSY after those. Another handle can
 * list meanwhile what is still held. Errors: those of the arguments; what belayd says of the
 * order comes later.
 */
int belay_admin_recall_start(struct belay_admin *admin, const struct belay_admin_order *order);

/*
 * belay_admin_recall_result - what became of the recall that was started
 *
 * Does not wait. Returns 1 and fills *ret; or 0: not yet; or a negative errno, as of
 * belay_admin_recall(), and -EINVAL if none was started. After 1 or an error (but for the
 * size of *ret) that recall has had its answer, and the handle is free for other calls.
 */
int belay_admin_recall_result(struct belay_admin *admin, struct belay_admin_recalled *ret);

/*
 * belay_admin_get_fd - a descriptor to poll for reading, for the result of a recall that
 * was started
 *
 * It stays the same for the life of the handle and is the library's: do not read, close
 * or pass it on. Errors: -ENOTCONN, -EXDEV.
 */
int belay_admin_get_fd(struct belay_admin *admin);

/*
 * belay_admin_reload - make belayd read its configuration again
 *
 * *ret_text, if it is not NULL, is what belayd has to say about it; may be "". It belongs
 * to the handle and is good until the next call on it. Errors: also -EACCES, and -EINVAL
 * for a configuration that is wrong: the sentence has file and line, and nothing changes.
 */
int belay_admin_reload(struct belay_admin *admin, const char **ret_text);

/* belay_admin_version - "0.1.0", of the library in use; static */
const char *belay_admin_version(void);

#ifdef __cplusplus
}
#endif

#endif
