/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * protocol.h - what belayd and its clients say to each other
 *
 * One message is one SOCK_SEQPACKET packet on the daemon's AF_UNIX socket: a
 * struct below that begins with struct bl_msg, in host byte order. At most
 * BL_MSG_MAX bytes. The daemon sends one file descriptor where it says so, and
 * takes none: a packet with a descriptor breaks a rule.
 *
 * The rules are those of the kernel ABI: size is the length of the packet; structs
 * grow at their end; a packet shorter than the first release's struct
 * (..._SIZE_VER0) is refused; what a shorter one than the reader's lacks counts as
 * zero, and a longer one must have zeroes in the part that the reader does not know;
 * reserved fields and unknown flags must be zero; text is NUL terminated and the rest of
 * its array zero. What lies within another struct (bl_msg, bl_refusal, bl_level), or
 * in front of rows (bl_list_rows), never grows. A client that breaks a rule is told
 * once (BL_ERROR, with EPROTO and a sentence) and disconnected; nobody else notices.
 *
 * A conversation begins with BL_HELLO from the client, which names the oldest
 * and the newest version that it speaks; the daemon answers BL_HELLO with the
 * newest version that both speak, or BL_ERROR (EPROTONOSUPPORT). Every
 * request has a serial, chosen by the client, not 0, which the answer to it
 * repeats; messages that the daemon sends of its own have serial 0.
 *
 * Who waits for what: the daemon answers every request once, in any order.
 * BL_REVOKE is not a request in this sense; it is delivered at least once. The
 * daemon sends it again after BL_RESUME, and when it had to hold messages
 * back, also if its BL_ACK was lost on the way or already done with: whoever
 * receives one drops what it has had (session, region, request and the lost
 * range are the same), and repeats its BL_ACK. The same request with a larger
 * lost range is news. A connection has at most one session.
 *
 * Numbers: 1-31 both, 32-63 clients, 64-95 administrators. A number is never
 * used again for something else. Bump BL_PROTOCOL_NEWEST with every change: neither
 * side sends, to one who speaks an older version only, what that does not know.
 */
#ifndef BL_PROTOCOL_H
#define BL_PROTOCOL_H

#include <stdint.h>

#define BL_SOCKET_PATH		"/run/belay/belay.sock"
#define BL_PROTOCOL_OLDEST	1
#define BL_PROTOCOL_NEWEST	1
#define BL_MSG_MAX		16384	/* fits every default socket buffer a dozen times */
#define BL_ADMIN_GROUP		"belay-admin"	/* root's helpers: see all, change all */
#define BL_NAME_MAX		64	/* an account's or label's name, with its NUL */
#define BL_TEXT_MAX		512	/* a sentence for a person, with its NUL */
#define BL_LEVELS_MAX		9	/* BELAY_MAX_DEPTH accounts and the grant */

enum bl_msg_type {
	BL_HELLO = 1,
	BL_ERROR = 2,		/* the answer to a request that failed */
	BL_OK = 3,		/* the answer to a request that needs no other */

	BL_OPEN = 32,		/* client: a grant, please -> BL_GRANT */
	BL_RESUME = 33,		/* client: I have this session -> BL_GRANT without fd */
	BL_GRANT = 34,		/* daemon: here is the session, fd attached */
	BL_REVOKE = 35,		/* daemon: let go of this region, please */
	BL_ACK = 36,		/* client: I have stopped using it -> BL_OK */

	BL_STATUS = 64,		/* anybody -> BL_STATUS */
	BL_LIST = 65,		/* anybody -> BL_LIST, a page of it */
	BL_LIMIT = 66,		/* administrator: set a limit -> BL_OK */
	BL_RECALL = 67,		/* administrator -> BL_RECALL, at once or when all is done */
	BL_RELOAD = 68,		/* administrator: read the configuration again -> BL_OK */
};

struct bl_msg {
	uint32_t size;		/* of the packet */
	uint16_t type;		/* enum bl_msg_type */
	uint16_t flags;		/* of that type, else 0 */
	uint64_t serial;
};
#define BL_MSG_SIZE_VER0	16

struct bl_hello {
	struct bl_msg msg;
	uint32_t oldest;	/* from the daemon: the version agreed on, twice */
	uint32_t newest;
	char label[BL_NAME_MAX];	/* what the program calls itself, for listings; from the daemon: its version */
};
#define BL_HELLO_SIZE_VER0	88

/* Which limit refused; account "" if none did. */
struct bl_refusal {
	char account[BL_NAME_MAX];	/* "system", "user/alice", "grant", ... */
	uint32_t resource;	/* enum belay_resource */
	uint32_t reserved;
	uint64_t usage;		/* bytes or regions */
	uint64_t limit;
	uint64_t needed;
};

struct bl_error {
	struct bl_msg msg;
	int32_t error;		/* positive errno */
	uint32_t reserved;
	struct bl_refusal refusal;
	char text[BL_TEXT_MAX];	/* what was wrong, where, what to do */
};
#define BL_ERROR_SIZE_VER0	632

struct bl_ok {
	struct bl_msg msg;
	char text[BL_TEXT_MAX];	/* may be "" */
};
#define BL_OK_SIZE_VER0	528

struct bl_open {
	struct bl_msg msg;
	char class_name[BL_NAME_MAX];	/* reserved for classes: "" */
	uint64_t want_bytes;	/* a hint: refuse now if more can never be had; 0: none */
};
#define BL_OPEN_SIZE_VER0	88

struct bl_resume {
	struct bl_msg msg;
	uint64_t session;	/* as BL_GRANT named it */
};
#define BL_RESUME_SIZE_VER0	24

/* The accounts that a grant is charged to, from the grant upwards. */
struct bl_level {
	uint64_t account;	/* the module's id; 0: the grant */
	char name[BL_NAME_MAX];
};

struct bl_grant {
	struct bl_msg msg;
	uint64_t session;
	uint64_t grant;
	uint32_t count;		/* of levels */
	uint32_t reserved;
	struct bl_level levels[BL_LEVELS_MAX];
};
#define BL_GRANT_SIZE_VER0	688

struct bl_revoke {
	struct bl_msg msg;
	uint64_t request;	/* not 0; the same when it is sent again, another when the region is recalled again or is lost after a recall */
	uint64_t session;
	uint64_t region;
	uint64_t cookie;
	uint64_t addr;		/* of the region */
	uint64_t len;
	uint64_t lost_addr;	/* the range around all that is known to be lost; 0, 0: nothing */
	uint64_t lost_len;
	uint64_t deadline;	/* ns of CLOCK_BOOTTIME; 0: none, nothing is held */
	uint32_t reason;	/* enum belay_reason */
	uint32_t escalation;	/* enum bl_escalation */
};
#define BL_REVOKE_SIZE_VER0	96

/* The fate of a region that is not let go by the deadline. */
enum bl_escalation {
	BL_ESCALATE_DEFAULT = 0,	/* in requests: as configured */
	BL_KEEP = 1,		/* nothing; it stays listed as overdue */
	BL_RELEASE = 2,		/* the module releases it; refused for tracked regions */
	BL_KILL = 3,		/* the process is killed */
};

struct bl_ack {
	struct bl_msg msg;
	uint64_t request;
};
#define BL_ACK_SIZE_VER0	24

/* Request: only msg. */
struct bl_status {
	struct bl_msg msg;
	char version[BL_NAME_MAX];
	uint32_t abi_version;	/* of the module */
	uint32_t pid;		/* the daemon's */
	uint64_t started_at;	/* CLOCK_BOOTTIME, ns */
	uint64_t clients;	/* connected */
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
	uint64_t refusals;	/* since the module was loaded */
};
#define BL_STATUS_SIZE_VER0	192

enum bl_list_what {
	BL_LIST_ACCOUNTS = 1,
	BL_LIST_GRANTS = 2,
	BL_LIST_REGIONS = 3,
};

/*
 * Which grants or regions are meant: those that fit all that `by` names. What it does
 * not name is not looked at. A list, a recall and who waits select in the same way.
 */
struct bl_selection {
	uint32_t by;		/* BL_BY_* bits; 0: all there are */
	int32_t pid;		/* a process that uses the grant */
	uint32_t uid;		/* who asked for the grant, or whose a process is that uses it */
	uint32_t node;		/* NUMA node that some page lies on */
	uint64_t region;
	uint64_t grant;
	uint64_t block;		/* memory block, as in /sys/devices/system/memory, that some page lies in */
	uint64_t device;	/* of the file, as stat(2) has it */
	uint64_t inode;
	uint64_t made_before;	/* CLOCK_BOOTTIME, ns */
	char account[BL_NAME_MAX];	/* "system", "user/alice": it, or one below it */
};
#define BL_BY_PROCESS		(1U << 0)
#define BL_BY_USER		(1U << 1)
#define BL_BY_ACCOUNT		(1U << 2)
#define BL_BY_GRANT		(1U << 3)
#define BL_BY_REGION		(1U << 4)
#define BL_BY_NODE		(1U << 5)
#define BL_BY_BLOCK		(1U << 6)	/* administrators only */
#define BL_BY_FILE		(1U << 7)
#define BL_BY_AGE		(1U << 8)	/* made_before */
#define BL_BY_LASTING		(1U << 9)	/* its owner has not declared it transient */
#define BL_BY_TRANSIENT		(1U << 10)	/* or has */

/* The selections for a list of accounts or grants. */
#define BL_BY_OF_ACCOUNT	(BL_BY_USER | BL_BY_ACCOUNT)
#define BL_BY_OF_GRANT		(BL_BY_OF_ACCOUNT | BL_BY_PROCESS | BL_BY_GRANT)

/*
 * Request. Each has one answer, a page: ask again with what it says in `after`
 * until one comes with count 0. Everybody may ask; who is no administrator sees
 * what is its own, and "system".
 */
struct bl_list {
	struct bl_msg msg;
	uint32_t what;		/* enum bl_list_what */
	uint32_t reserved;
	uint64_t after;		/* as the last row of the previous answer; 0 to begin */
	uint64_t after_region;
	struct bl_selection select;	/* last: it may grow */
};
#define BL_LIST_SIZE_VER0	168

struct bl_account_row {
	uint64_t account;
	uint64_t parent;
	uint64_t limit_bytes;
	uint64_t usage_bytes;
	uint64_t limit_regions;
	uint64_t usage_regions;
	uint64_t refusals;
	uint32_t grants;
	uint32_t reserved;
	char name[BL_NAME_MAX];
};
#define BL_ACCOUNT_ROW_SIZE_VER0	128

#define BL_OTHERS_MAX	7

struct bl_grant_row {
	uint64_t grant;
	uint64_t account;
	int32_t pid;		/* that it was made for, or another that uses it */
	uint32_t uid;
	uint64_t made_at;	/* CLOCK_BOOTTIME, ns */
	uint64_t limit_bytes;
	uint64_t usage_bytes;
	uint64_t pinned_bytes;
	uint64_t tracked_bytes;	/* once for each registration, as drivers count them */
	uint64_t usage_regions;
	uint32_t sessions;
	uint32_t connected;	/* of the sessions, those with a connection now */
	char account_name[BL_NAME_MAX];
	char user[BL_NAME_MAX];
	char command[BL_NAME_MAX];	/* of the process */
	char label[BL_NAME_MAX];	/* as the program calls itself */
	uint64_t user_locked_bytes;	/* of its user, as io_uring counts them */
	uint64_t memlock_bytes;	/* how high its RLIMIT_MEMLOCK may be: what drivers hold is summed up against that */
	uint32_t uid_now;	/* that the process runs as; uid: in whose name it asked */
	uint32_t holders;	/* processes that use its address space; 0: all have ended */
	int32_t others[BL_OTHERS_MAX];	/* those beside pid, as many as there is room for */
	uint32_t reserved;
	char user_now[BL_NAME_MAX];	/* "" if it is the same */
};
#define BL_GRANT_ROW_SIZE_VER0	456

struct bl_region_row {
	uint64_t session;
	uint64_t region;
	uint64_t grant;
	uint64_t addr;
	uint64_t len;
	int32_t pid;
	uint32_t uid;
	uint32_t kind;		/* enum belay_kind */
	uint32_t flags;		/* BELAY_REGION_* */
	uint32_t state;		/* as in struct belay_region_row */
	int32_t node;
	uint64_t made_at;
	uint64_t request;	/* the open revoke request, 0: none */
	uint64_t deadline;
	uint32_t reason;	/* of the request */
	uint32_t escalation;
	uint64_t device;
	uint64_t inode;
	char command[BL_NAME_MAX];
	char user[BL_NAME_MAX];
	uint64_t lost_addr;	/* 0, 0: nothing is lost */
	uint64_t lost_len;
	uint64_t nodes;		/* bit n: pages on NUMA node n; bit 63: on that or a higher one */
	uint64_t held_bytes;	/* by the module or another driver */
	uint64_t selected_bytes;	/* of those, in the place selected; without one: all */
};
#define BL_REGION_ROW_SIZE_VER0	280

/* Answer; rows of the kind asked for follow. */
struct bl_list_rows {
	struct bl_msg msg;
	uint32_t what;
	uint32_t count;		/* 0: the end */
	uint32_t row_size;
	uint32_t reserved;
	uint64_t after;		/* to continue */
	uint64_t after_region;
	/* count rows of row_size bytes */
};
#define BL_LIST_ROWS_SIZE_VER0	48

/* Request. Lasts until the daemon ends; the configuration is for ever. */
struct bl_limit {
	struct bl_msg msg;
	char account[BL_NAME_MAX];	/* "system", "user/NAME", "grant/ID" */
	uint32_t set;		/* BL_LIMIT_* bits: which of the two below */
	uint32_t reserved;
	uint64_t limit_bytes;	/* BELAY_UNLIMITED: none */
	uint64_t limit_regions;
};
#define BL_LIMIT_SIZE_VER0	104
#define BL_LIMIT_SET_BYTES	(1U << 0)
#define BL_LIMIT_SET_REGIONS	(1U << 1)

#define BL_RECALL_WAIT		(1U << 0)	/* msg.flags: answer when all is decided */

/* The longest timeout_usec: 30 days. */
#define BL_RECALL_MAX_USEC (30ULL * 24 * 3600 * 1000000)

struct bl_recall {
	struct bl_msg msg;
	uint32_t escalation;	/* enum bl_escalation */
	uint32_t reserved;
	uint64_t timeout_usec;	/* from now to the deadline; 0: as configured */
	struct bl_selection select;	/* by something; last: it may grow */
};
#define BL_RECALL_SIZE_VER0	160

/* Answer to BL_RECALL. Without WAIT only regions, bytes and refused are set. */
struct bl_recalled {
	struct bl_msg msg;
	uint64_t regions;	/* asked for */
	uint64_t bytes;
	uint64_t refused;	/* of regions: `release` was asked for, which a tracked region cannot have */
	uint64_t let_go;	/* released by their holder in time */
	uint64_t released;	/* by order at the deadline */
	uint64_t killed;	/* processes */
	uint64_t kept;		/* overdue, still held */
	char text[BL_TEXT_MAX];
};
#define BL_RECALLED_SIZE_VER0	584

struct bl_reload {
	struct bl_msg msg;
};
#define BL_RELOAD_SIZE_VER0	16

#endif
