/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belay: who may hold memory for DMA, how much, and who has to let go.
 *
 * This is the ABI of the kernel module. Two kinds of file speak it:
 *
 *   control   /dev/belay. Opening needs CAP_IPC_LOCK. Opened for reading and
 *             writing it is the policy owner, of which there is one at a time
 *             (EBUSY); opened read-only it may only ask (INFO, LIST, HOLDERS,
 *             WAIT).
 *             Closing it drops nothing: accounts and grants belong to the
 *             module, and the next owner lists and adopts them.
 *   session   the fd that BELAY_CTL_GRANT returns: one asker's share of a
 *             grant. It registers memory for the one address space that the
 *             grant was bound to when it was made, and for no other. Regions
 *             go with the session that registered them, the grant with its
 *             last session.
 *
 * General rules
 *
 *  - Every argument is a struct that begins with its own size in bytes. Structs
 *    grow at their end. One that is smaller than the kernel's is completed with
 *    zeroes, and only its own fields are written back; in a larger one, all that
 *    this kernel does not know must be zero (E2BIG). One that is smaller than the
 *    first release's (..._SIZE_VER0 beside each struct) is EINVAL.
 *  - All integers are fixed-width; addresses are __aligned_u64; lengths and
 *    amounts are in bytes unless the name ends in _pages. Times are
 *    nanoseconds of CLOCK_BOOTTIME.
 *  - Fields named reserved and unknown flags must be zero (EOPNOTSUPP).
 *  - Ranges at this interface are address and length; both must be multiples
 *    of the page size.
 *  - Arrays are pointed to, with the number of entries and the size of one.
 *    An entry_size that is not the kernel's is handled like a struct of another
 *    size, entry by entry (on output a longer tail is zeroed). What lies within
 *    another struct (belay_part, belay_select) never grows.
 *
 * Versions
 *
 *  A version is a set of commands and what they do. The module and a program
 *  understand each other if they have a version in common: each knows all from
 *  an oldest one to a newest one (abi_oldest, abi_version of struct belay_info;
 *  BELAY_ABI_OLDEST, BELAY_ABI_VERSION). A new command, flag, kind, or field at
 *  the end of a struct makes no new version: ENOTTY, EOPNOTSUPP, features and
 *  zeroes tell a program what an older module does not know. A command that is
 *  to do something else than before gets another number, and makes a new version;
 *  the old command stays until the oldest version that has it is given up.
 *
 * errno, the same everywhere
 *
 *  EINVAL        malformed: too short, unaligned, empty, wrapping, beyond user
 *                space, impossible combination
 *  E2BIG         a longer struct with something in the unknown part, or more
 *                entries than BELAY_MAX_BATCH
 *  EOPNOTSUPP    unknown flag or kind, or reserved field not zero
 *  ENOTTY        no such command on this kind of file
 *  EFAULT        a pointer into the argument is bad; for a registration: the
 *                range is not wholly mapped with the access asked for
 *  EACCES        BELAY_CTL_GRANT: a thread of the process runs as another user
 *                than was named
 *  EMEDIUMTYPE   this kind of memory cannot be registered (shared writable
 *                file other than shmem or hugetlb, DAX, secretmem, device
 *                memory)
 *  EDQUOT        an account's limit refuses; the entry names the account
 *  EMFILE        the grant has BELAY_MAX_REGIONS regions; or, BELAY_CTL_GRANT:
 *                the caller has no room for another descriptor
 *  EMLINK        a page would be in more than BELAY_MAX_OVERLAP of the grant's
 *                pinned and tracked regions
 *  ECANCELED     a registration was ended by order (BELAY_CTL_RELEASE) while it
 *                was under way
 *  ETIMEDOUT     BELAY_CTL_WAIT: something is still held
 *  EXDEV         the caller is not in the address space that the grant is
 *                bound to (a forked child, an exec'd image, another process)
 *  ESHUTDOWN     the grant's address space has ended
 *  EAGAIN        the mapping changed during the call; BELAY_CTL_GRANT: the
 *                address space is busy; BELAY_CHECK, BELAY_TRIM: it cannot be
 *                told yet what is lost; try again
 *  ESTALE        the region is lost, or more of it than is to be trimmed
 *  ENOENT        no such account, grant, session or region
 *  ESRCH         no such process, or pid and start time do not belong together
 *  EBUSY         in use (account with children or grants, control file with
 *                an owner); or: the memory is held by another driver, or may be
 *                (a tracked region, also before its commit; a watched one), and
 *                cannot be released by order; or: a recalled region, which
 *                cannot be trimmed
 *  EPERM         no CAP_IPC_LOCK, or not the policy owner; or: a read-only
 *                control file selects by physical address (BELAY_SELECT_PHYS),
 *                and whoever opened it had no CAP_SYS_ADMIN
 *  EINTR         a fatal signal; `done` says how many entries were handled
 *  ENOMEM        out of memory
 */
#ifndef _UAPI_LINUX_BELAY_H
#define _UAPI_LINUX_BELAY_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BELAY_ABI_VERSION	0	/* the newest; 0: may still change; 1 will not */
#define BELAY_ABI_OLDEST	0
/* Is a version in common with one who knows all from @oldest to @newest? */
#define BELAY_ABI_IN_COMMON(oldest, newest) \
	((oldest) <= BELAY_ABI_VERSION && (newest) + 1ULL > BELAY_ABI_OLDEST)
#define BELAY_IOC_TYPE		0xBE

/* One batch; bounds the time between two returns to user space. */
#define BELAY_MAX_BATCH		16384
/*
 * Pinned and tracked regions of one grant that may share a page. A pin costs a small page 1024
 * references of the 2^31 that it has, shared by all processes: 128 a grant
 * leaves room for 16,384 processes over one page.
 */
#define BELAY_MAX_OVERLAP	128
/*
 * Regions of one grant, of any kind and also where they are lost: the memory that they
 * take, and what watching them costs others who work on the same file.
 */
#define BELAY_MAX_REGIONS	(1U << 18)
/* Levels of the tree of accounts, the grant not counted. */
#define BELAY_MAX_DEPTH		8
/* Opaque bytes that the policy owner may keep with an account or a grant. */
#define BELAY_TAG_BYTES		64
/* No limit. */
#define BELAY_UNLIMITED		(~0ULL)

/* ------------------------------------------------------------------------ */
/* The validity word                                                         */

/*
 * A session's words are mapped from its fd at offset 0, MAP_SHARED and
 * PROT_READ only, by the process that the grant is bound to; word n is the
 * __u64 at index n. Registration returns the index and the value that the
 * word has while the region is valid: the test is one acquire load, compared
 * with that value. In a forked child the mapping reads as zeroes, which no
 * valid word is.
 *
 * Upper 32 bits: the generation, never 0, another for each use of the index.
 * Lower 32 bits: 0 while valid, else:
 */
#define BELAY_WORD_SUSPECT	(1ULL << 0)	/* may have changed: BELAY_CHECK settles it */
#define BELAY_WORD_LOST		(1ULL << 1)	/* the address maps other memory, or none */
#define BELAY_WORD_RECALLED	(1ULL << 2)	/* the policy wants it back; still mapped */
#define BELAY_WORD_RELEASED	(1ULL << 3)	/* unregistered or released: nothing is held */

#define BELAY_WORDS_MAX		BELAY_MAX_REGIONS	/* of one session */

/*
 * Only in listings (belay_region_row.state), beside the bits above: the call that
 * registers the region is still under way, perhaps in a page fault that somebody has
 * yet to answer. What is pinned so far is held_bytes; where it lies is not known, so
 * it fits every place. Released by order, it has this bit until the call gives up,
 * which may have one batch of pages in hand (as many as their pointers fill a page).
 */
#define BELAY_STATE_BUILDING	(1U << 31)

/* ------------------------------------------------------------------------ */
/* Any file                                                                  */

/**
 * struct belay_info - BELAY_INFO: what this module is and can do
 * @size: sizeof(struct belay_info)
 * @flags: must be 0
 * @abi_version: out: the newest version that the module knows (BELAY_ABI_VERSION)
 * @page_size: bytes
 * @features: BELAY_FEATURE_* bits
 * @max_batch: entries in one array
 * @max_overlap: see BELAY_MAX_OVERLAP
 * @max_regions: see BELAY_MAX_REGIONS
 * @abi_oldest: out: the oldest version that it knows (BELAY_ABI_OLDEST)
 * @session: out: which session this file is, 0: the control file; told to any
 *	process, so that it can find out what a descriptor of its own is
 */
struct belay_info {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 page_size;
	__aligned_u64 features;
	__u32 max_batch;
	__u32 max_overlap;
	__u32 max_regions;
	__u32 abi_oldest;
	__aligned_u64 session;
};

#define BELAY_INFO_SIZE_VER0	48
#define BELAY_FEATURE_PINNED	(1ULL << 0)
#define BELAY_FEATURE_TRACKED	(1ULL << 1)
#define BELAY_FEATURE_WATCHED	(1ULL << 2)
#define BELAY_FEATURE_TRIM	(1ULL << 3)	/* BELAY_TRIM, and partial loss */
#define BELAY_FEATURE_SELECT	(1ULL << 4)	/* struct belay_select, BELAY_CTL_WAIT */
#define BELAY_INFO		_IO(BELAY_IOC_TYPE, 0x00)

/* ------------------------------------------------------------------------ */
/* Session: what clients do                                                  */

/* How a region's pages are held. */
enum belay_kind {
	BELAY_PINNED = 1,	/* the module holds the pages */
	BELAY_TRACKED = 2,	/* another driver holds them; the module charges and watches */
	BELAY_WATCHED = 3,	/* nobody need hold them; not charged, only watched */
};

/* Which resource an EDQUOT is about. */
enum belay_resource {
	BELAY_RESOURCE_NONE = 0,
	BELAY_RESOURCE_BYTES = 1,
	BELAY_RESOURCE_REGIONS = 2,
};

/**
 * struct belay_register_entry - one region to register
 * @addr: page aligned address
 * @len: bytes, a multiple of the page size, not 0
 * @cookie: the client's own; returned in events and listings
 * @kind: enum belay_kind
 * @flags: BELAY_REGION_* bits
 * @status: out: 0, or a negative errno; nothing below is set on failure but
 *	the refused_* fields after -EDQUOT
 * @word: out: index of the validity word
 * @expected: out: the word's value while the region is valid
 * @region: out: the region's id, which no other region of any session ever has
 * @refused_account: out: after -EDQUOT, the account; 0: the grant's own limit
 * @refused_resource: out: enum belay_resource
 * @reserved: must be 0
 * @refused_usage: out: what the account held at the refusal
 * @refused_limit: out: its limit
 * @refused_needed: out: what this entry would have added
 *
 * A tracked region is *prepared* by this: charged, watched, faulted in, and
 * held by the module until BELAY_COMMIT, so that no page can be replaced
 * unnoticed before the other driver has its own pins.
 *
 * A region counts against the limits on regions until it is unregistered or released,
 * also when it is lost.
 *
 * A watched region counts as a region, but none of its bytes is charged. At
 * first it is only the mapping that is watched: the region is lost when the
 * range is unmapped or moved. That is what a device needs that faults pages in
 * on demand. After BELAY_COMMIT, which a cache of registrations calls once its
 * driver holds the pages, a page that was replaced is a loss, too.
 */
struct belay_register_entry {
	__aligned_u64 addr;
	__aligned_u64 len;
	__aligned_u64 cookie;
	__u32 kind;
	__u32 flags;
	__s32 status;
	__u32 word;
	__aligned_u64 expected;
	__aligned_u64 region;
	__aligned_u64 refused_account;
	__u32 refused_resource;
	__u32 reserved;
	__aligned_u64 refused_usage;
	__aligned_u64 refused_limit;
	__aligned_u64 refused_needed;
};

#define BELAY_REGISTER_ENTRY_SIZE_VER0	96
#define BELAY_REGION_WRITE	(1U << 0)	/* the device may write */
#define BELAY_REGION_TRANSIENT	(1U << 1)	/* its owner lets go soon: wait, do not recall */

/**
 * struct belay_register - BELAY_REGISTER: register regions
 * @size: sizeof(struct belay_register)
 * @flags: must be 0
 * @entries: address of an array of struct belay_register_entry
 * @count: how many, 1 to BELAY_MAX_BATCH
 * @entry_size: sizeof(struct belay_register_entry)
 * @done: out: entries whose status was written
 * @reserved: must be 0
 *
 * Each entry is all or nothing, and independent of the others. The call
 * returns 0 when all entries have a status.
 */
struct belay_register {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 done;
	__u32 reserved;
};

#define BELAY_REGISTER_SIZE_VER0	32
#define BELAY_REGISTER		_IO(BELAY_IOC_TYPE, 0x10)

/**
 * struct belay_region_entry - one region to act upon
 * @region: its id
 * @status: out: 0 or a negative errno
 * @state: out, BELAY_CHECK only: the flag bits of the settled word
 * @lost_addr: out, BELAY_CHECK only: the part that is lost; the smallest range
 *	around all that is
 * @lost_len: out, BELAY_CHECK only: 0: nothing
 */
struct belay_region_entry {
	__aligned_u64 region;
	__s32 status;
	__u32 state;
	__aligned_u64 lost_addr;
	__aligned_u64 lost_len;
};

#define BELAY_REGION_ENTRY_SIZE_VER0	32

/**
 * struct belay_regions - argument of the commands on a list of regions
 * @size: sizeof(struct belay_regions)
 * @flags: must be 0
 * @entries: address of an array of struct belay_region_entry
 * @count: how many, 1 to BELAY_MAX_BATCH
 * @entry_size: sizeof(struct belay_region_entry)
 * @done: out: entries whose status was written
 * @reserved: must be 0
 *
 * BELAY_COMMIT: remember the pages of prepared tracked, and of watched regions;
 *   -EAGAIN: the mapping changed meanwhile, unregister and start again.
 *   -EINVAL: it is pinned or committed already. -EFAULT, -EMEDIUMTYPE: of a
 *   watched region, what registering such memory as pinned says.
 * BELAY_UNREGISTER: let go. For a tracked or a committed watched region call
 *   it before the other driver lets go. 0, or -ENOENT if it was released by
 *   order before: nothing is held either way.
 * BELAY_CHECK: settle a suspect word now; @state has the result. A page of a shared
 *   mapping that is out of the page table is touched for that, which waits for what a
 *   touch waits for (a userfaultfd monitor, a disk), until the process is killed.
 *   -EAGAIN: it cannot be told just now (somebody holds a lock that it takes to look,
 *   or the pages are being invalidated all the time).
 */
struct belay_regions {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 done;
	__u32 reserved;
};

#define BELAY_REGIONS_SIZE_VER0	32
#define BELAY_COMMIT		_IO(BELAY_IOC_TYPE, 0x11)
#define BELAY_UNREGISTER	_IO(BELAY_IOC_TYPE, 0x12)
#define BELAY_CHECK		_IO(BELAY_IOC_TYPE, 0x13)

/**
 * struct belay_part - what a trim leaves of a region
 * @region: the new region's id, 0: nothing is left on this side
 * @expected: as in struct belay_register_entry
 * @addr: the part
 * @len: the part
 * @word: as in struct belay_register_entry
 * @reserved: 0
 */
struct belay_part {
	__aligned_u64 region;
	__aligned_u64 expected;
	__aligned_u64 addr;
	__aligned_u64 len;
	__u32 word;
	__u32 reserved;
};

/**
 * struct belay_trim_entry - one region of which to let a part go
 * @region: its id
 * @addr: the part to let go, page aligned and inside the region
 * @len: its length; not the whole region (EINVAL), which is to be unregistered
 * @status: out: 0 or a negative errno; after an error nothing has changed
 * @reserved: must be 0
 * @before: out: what is left in front of the part
 * @after: out: what is left behind it
 *
 * The region is over: its word turns (BELAY_WORD_RELEASED), and its id means
 * nothing any more. What is left of it goes on as one or two new regions,
 * with words of their own, and with the old one's cookie, kind, flags and
 * pages, which were held and charged all the time. Of a huge page, too, a part
 * may go: the small pages that are left keep it whole and are what is charged.
 *
 * A lost part lies in what is trimmed, or that is ESTALE. EAGAIN: the region
 * is suspect, and it cannot be told just now. EBUSY: it is recalled, so it is
 * wanted back as a whole. EINVAL: also for a tracked region before
 * BELAY_COMMIT. EDQUOT, EMFILE: there is no room for a second region.
 */
struct belay_trim_entry {
	__aligned_u64 region;
	__aligned_u64 addr;
	__aligned_u64 len;
	__s32 status;
	__u32 reserved;
	struct belay_part before;
	struct belay_part after;
};

#define BELAY_TRIM_ENTRY_SIZE_VER0	112

/**
 * struct belay_trim - BELAY_TRIM: let parts of regions go
 * @size: sizeof(struct belay_trim)
 * @flags: must be 0
 * @entries: address of an array of struct belay_trim_entry
 * @count: how many, 1 to BELAY_MAX_BATCH
 * @entry_size: sizeof(struct belay_trim_entry)
 * @done: out: entries whose status was written
 * @reserved: must be 0
 */
struct belay_trim {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 done;
	__u32 reserved;
};

#define BELAY_TRIM_SIZE_VER0	32
#define BELAY_TRIM		_IO(BELAY_IOC_TYPE, 0x14)

/**
 * struct belay_level - one level of limits, see BELAY_USAGE
 * @account: id; 0 for the grant's own level
 * @limit_bytes: BELAY_UNLIMITED: none
 * @usage_bytes: charged now
 * @limit_regions: as above
 * @usage_regions: as above
 */
struct belay_level {
	__aligned_u64 account;
	__aligned_u64 limit_bytes;
	__aligned_u64 usage_bytes;
	__aligned_u64 limit_regions;
	__aligned_u64 usage_regions;
};

#define BELAY_LEVEL_SIZE_VER0	40

/**
 * struct belay_usage - BELAY_USAGE: limits and usage, from the grant upwards
 * @size: sizeof(struct belay_usage)
 * @flags: must be 0
 * @session: out: this session's id
 * @grant: out: the grant's id
 * @levels: address of an array of struct belay_level, filled from the grant
 *	to the root of its tree
 * @count: in: entries in the array; out: levels that there are
 * @entry_size: sizeof(struct belay_level)
 * @tracked_bytes: out: of all tracked regions, each for itself: drivers count
 *	memory once for each registration and compare that with RLIMIT_MEMLOCK
 */
struct belay_usage {
	__u32 size;
	__u32 flags;
	__aligned_u64 session;
	__aligned_u64 grant;
	__aligned_u64 levels;
	__u32 count;
	__u32 entry_size;
	__aligned_u64 tracked_bytes;
};

#define BELAY_USAGE_SIZE_VER0	48
#define BELAY_USAGE		_IO(BELAY_IOC_TYPE, 0x15)

/* ------------------------------------------------------------------------ */
/* Control: what the policy owner does                                       */

/**
 * struct belay_ctl_account - BELAY_CTL_ACCOUNT: make an account
 * @size: sizeof(struct belay_ctl_account)
 * @flags: must be 0
 * @parent: id of the account above, 0 for a root; EINVAL: BELAY_MAX_DEPTH
 *	levels are there already
 * @account: out: the new id, never 0
 * @limit_bytes: BELAY_UNLIMITED for none; rounded down to pages
 * @limit_regions: BELAY_UNLIMITED for none
 * @tag: kept for the policy owner
 */
struct belay_ctl_account {
	__u32 size;
	__u32 flags;
	__aligned_u64 parent;
	__aligned_u64 account;
	__aligned_u64 limit_bytes;
	__aligned_u64 limit_regions;
	__u8 tag[BELAY_TAG_BYTES];
};

#define BELAY_CTL_ACCOUNT_SIZE_VER0	104
#define BELAY_CTL_ACCOUNT	_IO(BELAY_IOC_TYPE, 0x20)

/**
 * struct belay_limit_entry - one limit to set
 * @id: an account's id, or a grant's with BELAY_LIMIT_GRANT
 * @flags: BELAY_LIMIT_GRANT or 0
 * @reserved: must be 0
 * @limit_bytes: the new limit; below the usage is allowed: nothing new until
 *	it fits
 * @limit_regions: the new limit
 */
struct belay_limit_entry {
	__aligned_u64 id;
	__u32 flags;
	__u32 reserved;
	__aligned_u64 limit_bytes;
	__aligned_u64 limit_regions;
};

#define BELAY_LIMIT_ENTRY_SIZE_VER0	32
#define BELAY_LIMIT_GRANT	(1U << 0)

/**
 * struct belay_ctl_limits - BELAY_CTL_LIMITS: set many limits, all or none
 * @size: sizeof(struct belay_ctl_limits)
 * @flags: must be 0
 * @entries: address of an array of struct belay_limit_entry
 * @count: how many, 1 to BELAY_MAX_BATCH
 * @entry_size: sizeof(struct belay_limit_entry)
 * @failed: out: index of the entry that was refused (then nothing was set)
 * @reserved: must be 0
 */
struct belay_ctl_limits {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 failed;
	__u32 reserved;
};

#define BELAY_CTL_LIMITS_SIZE_VER0	32
#define BELAY_CTL_LIMITS	_IO(BELAY_IOC_TYPE, 0x21)

/**
 * struct belay_ctl_id - argument of the commands on one thing
 * @size: sizeof(struct belay_ctl_id)
 * @flags: must be 0
 * @id: the thing
 *
 * BELAY_CTL_ACCOUNT_REMOVE: EBUSY while it has children or grants.
 */
struct belay_ctl_id {
	__u32 size;
	__u32 flags;
	__aligned_u64 id;
};

#define BELAY_CTL_ID_SIZE_VER0	16
#define BELAY_CTL_ACCOUNT_REMOVE _IO(BELAY_IOC_TYPE, 0x22)

/**
 * struct belay_ctl_grant - BELAY_CTL_GRANT: let a process register memory
 * @size: sizeof(struct belay_ctl_grant)
 * @flags: must be 0
 * @account: that its memory is charged to
 * @start_time: of the process, field 22 of /proc/PID/stat
 * @pid: of the process, in the caller's pid namespace
 * @fd: out: a new session of the grant, close-on-exec
 * @grant: out: the grant's id
 * @session: out: the session's id
 * @existed: out: 1: the process had a grant on this account; its limits and
 *	tag are unchanged
 * @uid: that the process runs as (effective, all its threads), in the caller's
 *	user namespace
 * @limit_bytes: the grant's own limit
 * @limit_regions: the grant's own limit
 * @tag: kept for the policy owner
 *
 * The grant is bound to the process's address space now. EAGAIN: the address
 * space is busy, or the process is executing another program; try again in a
 * while (the call waits for nobody). EACCES is judged of the same address space
 * that is bound: no exec can come in between.
 */
struct belay_ctl_grant {
	__u32 size;
	__u32 flags;
	__aligned_u64 account;
	__aligned_u64 start_time;
	__s32 pid;
	__s32 fd;
	__aligned_u64 grant;
	__aligned_u64 session;
	__u32 existed;
	__u32 uid;
	__aligned_u64 limit_bytes;
	__aligned_u64 limit_regions;
	__u8 tag[BELAY_TAG_BYTES];
};

#define BELAY_CTL_GRANT_SIZE_VER0	136
#define BELAY_CTL_GRANT		_IO(BELAY_IOC_TYPE, 0x23)

/* Why a region is wanted back, or is gone. Values 64 and up are the policy's. */
enum belay_reason {
	BELAY_REASON_NONE = 0,
	BELAY_REASON_UNMAPPED = 1,	/* munmap, mremap, mmap over it */
	BELAY_REASON_REPLACED = 2,	/* truncate, hole punch, MADV_DONTNEED: other memory now */
	BELAY_REASON_EXITED = 3,	/* exit, exec: the address space ended */
	BELAY_REASON_ADMIN = 64,	/* an administrator asked */
	BELAY_REASON_LIMIT = 65,	/* a limit was lowered */
	BELAY_REASON_DRAIN = 66,	/* the place must become free */
	BELAY_REASON_PRESSURE = 67,	/* memory is short */
	BELAY_REASON_LEASE = 68,	/* the lease ran out */
	BELAY_REASON_GUARANTEE = 69,	/* somebody with a guarantee needs room */
};

/**
 * struct belay_recall_entry - one region to recall or release
 * @session: that registered it
 * @region: its id
 * @request: the policy's own number for it; returned in events and listings
 * @deadline: nanoseconds of CLOCK_BOOTTIME, 0: none; kept and returned only
 * @reason: enum belay_reason, BELAY_REASON_ADMIN or above
 * @policy: the policy's own (what is to happen at the deadline); returned in
 *	events and listings
 * @status: out: 0 or a negative errno; ENOENT: it is gone already
 * @reserved: must be 0
 *
 * BELAY_CTL_RECALL turns the validity word (BELAY_WORD_RECALLED) and keeps
 *   request, deadline and reason with the region; nothing is let go. A second
 *   recall replaces them.
 * BELAY_CTL_RELEASE lets go by order: the word first (BELAY_WORD_RELEASED),
 *   then the pins and the charge. EBUSY for a tracked region, whose pages another
 *   driver holds, or may hold already before BELAY_COMMIT: only the end of the
 *   process ends it; and for a watched one, of which nothing is held. Only @session
 *   and @region are looked at. The charge may follow a moment later: this waits for
 *   nobody.
 *
 * Both are for regions that are being registered, too (BELAY_STATE_BUILDING, also
 * tracked ones then). Recalled, the word has the bit when registering returns;
 * released, registering fails (ECANCELED).
 */
struct belay_recall_entry {
	__aligned_u64 session;
	__aligned_u64 region;
	__aligned_u64 request;
	__aligned_u64 deadline;
	__u32 reason;
	__u32 policy;
	__s32 status;
	__u32 reserved;
};

#define BELAY_RECALL_ENTRY_SIZE_VER0	48

/**
 * struct belay_ctl_recall - BELAY_CTL_RECALL, BELAY_CTL_RELEASE
 * @size: sizeof(struct belay_ctl_recall)
 * @flags: must be 0
 * @entries: address of an array of struct belay_recall_entry
 * @count: how many, 1 to BELAY_MAX_BATCH
 * @entry_size: sizeof(struct belay_recall_entry)
 * @done: out: entries whose status was written
 * @reserved: must be 0
 */
struct belay_ctl_recall {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
	__u32 done;
	__u32 reserved;
};

#define BELAY_CTL_RECALL_SIZE_VER0	32
#define BELAY_CTL_RECALL	_IO(BELAY_IOC_TYPE, 0x25)
#define BELAY_CTL_RELEASE	_IO(BELAY_IOC_TYPE, 0x26)

/* What an event says; several bits may be set in one. */
#define BELAY_EVENT_LOST	(1U << 0)	/* a region was verified or certain to be lost */
#define BELAY_EVENT_GONE	(1U << 1)	/* a recalled or lost region holds nothing */
#define BELAY_EVENT_ENDED	(1U << 2)	/* a grant: no session, or no address space */

/**
 * struct belay_event - one thing that the policy owner has not dealt with
 * @session: 0 for BELAY_EVENT_ENDED
 * @region: 0 for BELAY_EVENT_ENDED
 * @grant: the grant
 * @seq: changes with each new bit; give it back in BELAY_CTL_EVENTS_DONE
 * @events: BELAY_EVENT_* bits
 * @reason: of a loss, enum belay_reason
 * @kind: enum belay_kind
 * @reserved: 0
 * @cookie: as registered
 * @addr: the region
 * @len: the region
 * @lost_addr: the part known to be lost: nothing of it is held any more, unless
 *	by another driver; the rest is, until the region is trimmed or let go
 * @lost_len: the part known to be lost
 * @request: as recalled, 0: never recalled
 *
 * A loss is raised again (with another seq) when more is lost of the region.
 */
struct belay_event {
	__aligned_u64 session;
	__aligned_u64 region;
	__aligned_u64 grant;
	__aligned_u64 seq;
	__u32 events;
	__u32 reason;
	__u32 kind;
	__u32 reserved;
	__aligned_u64 cookie;
	__aligned_u64 addr;
	__aligned_u64 len;
	__aligned_u64 lost_addr;
	__aligned_u64 lost_len;
	__aligned_u64 request;
};

#define BELAY_EVENT_SIZE_VER0	96

/**
 * struct belay_ctl_events - BELAY_CTL_EVENTS: read what is pending
 * @size: sizeof(struct belay_ctl_events)
 * @flags: must be 0
 * @entries: address of an array of struct belay_event
 * @count: in: room, 1 to BELAY_MAX_BATCH; out: events written
 * @entry_size: sizeof(struct belay_event)
 *
 * Reading clears nothing: the same events come again, oldest first, until
 * BELAY_CTL_EVENTS_DONE. The control file polls readable (EPOLLIN) while
 * there are any.
 */
struct belay_ctl_events {
	__u32 size;
	__u32 flags;
	__aligned_u64 entries;
	__u32 count;
	__u32 entry_size;
};

#define BELAY_CTL_EVENTS_SIZE_VER0	24
#define BELAY_CTL_EVENTS	_IO(BELAY_IOC_TYPE, 0x27)
/*
 * BELAY_CTL_EVENTS_DONE: the same struct, with the events that have been
 * dealt with (only seq is looked at). One whose seq is
 * no longer the latest stays pending; that and a thing that is gone are no
 * errors. @count: out: events that were cleared.
 */
#define BELAY_CTL_EVENTS_DONE	_IO(BELAY_IOC_TYPE, 0x28)

/* What BELAY_CTL_LIST lists. */
enum belay_list_what {
	BELAY_LIST_ACCOUNTS = 1,	/* struct belay_account_row */
	BELAY_LIST_GRANTS = 2,		/* struct belay_grant_row */
	BELAY_LIST_SESSIONS = 3,	/* struct belay_session_row */
	BELAY_LIST_REGIONS = 4,		/* struct belay_region_row */
};

/**
 * struct belay_select - which grants, sessions or regions are meant
 * @by: BELAY_SELECT_* bits: those that fit all of them. 0: all there are
 * @pid: of the grant's process, in the caller's pid namespace, above 0
 * @uid: of the grant's process (struct belay_grant_row), in the caller's user
 *	namespace
 * @node: NUMA node that some page of the region lies on
 * @account: the grant's account, or one above it
 * @grant: the grant
 * @session: the session
 * @region: the region's id
 * @phys_addr: physical range that some page of the region lies in
 * @phys_len: its length, not 0
 * @device: file that the region maps (its first page), as in belay_region_row
 * @inode: of that file; both 0: no file
 * @made_before: CLOCK_BOOTTIME, ns: made before that time
 *
 * A field whose bit is not set is not looked at. @made_before is about what is
 * listed: of sessions, when the session was made.
 *
 * EINVAL: a selection that nothing can fit. Only regions have an id, a place, a
 * file and a duration, only they and sessions a session, and accounts are
 * listed all or none (@by 0). Nothing is lasting and transient.
 *
 * The place is that of pages which are held: by the module, or by another driver
 * (tracked, also where it is lost). What is lost of a pinned region has none,
 * and what is watched neither. A region fits a node and a physical range if
 * some page lies in both.
 */
struct belay_select {
	__u32 by;
	__s32 pid;
	__u32 uid;
	__s32 node;
	__aligned_u64 account;
	__aligned_u64 grant;
	__aligned_u64 session;
	__aligned_u64 region;
	__aligned_u64 phys_addr;
	__aligned_u64 phys_len;
	__aligned_u64 device;
	__aligned_u64 inode;
	__aligned_u64 made_before;
};

#define BELAY_SELECT_PID	(1U << 0)
#define BELAY_SELECT_UID	(1U << 1)
#define BELAY_SELECT_NODE	(1U << 2)
#define BELAY_SELECT_ACCOUNT	(1U << 3)
#define BELAY_SELECT_GRANT	(1U << 4)
#define BELAY_SELECT_SESSION	(1U << 5)
#define BELAY_SELECT_REGION	(1U << 6)
#define BELAY_SELECT_PHYS	(1U << 7)
#define BELAY_SELECT_FILE	(1U << 8)
#define BELAY_SELECT_MADE_BEFORE (1U << 9)
#define BELAY_SELECT_LASTING	(1U << 10)	/* without BELAY_REGION_TRANSIENT */
#define BELAY_SELECT_TRANSIENT	(1U << 11)	/* with it */

/**
 * struct belay_ctl_list - BELAY_CTL_LIST: what exists
 * @size: sizeof(struct belay_ctl_list)
 * @flags: must be 0
 * @what: enum belay_list_what
 * @entry_size: size of one row
 * @rows: address of an array of rows
 * @count: in: room, 1 to BELAY_MAX_BATCH; out: rows written, 0: the end
 * @reserved: must be 0
 * @after: in and out: continue after this id (the session's, for regions);
 *	0 to begin
 * @after_region: in and out: for regions, continue after this one of that
 *	session
 * @select: which ones
 *
 * Rows come in the order of their ids; regions by session, and within it in the
 * order of the place of their word (its index). What is made or goes meanwhile may
 * or may not be listed; everything that was there throughout is, once.
 */
struct belay_ctl_list {
	__u32 size;
	__u32 flags;
	__u32 what;
	__u32 entry_size;
	__aligned_u64 rows;
	__u32 count;
	__u32 reserved;
	__aligned_u64 after;
	__aligned_u64 after_region;
	struct belay_select select;
};

#define BELAY_CTL_LIST_SIZE_VER0	136
#define BELAY_CTL_LIST		_IO(BELAY_IOC_TYPE, 0x29)

/* The longest BELAY_CTL_WAIT: ten minutes; who wants more asks again. */
#define BELAY_WAIT_MAX_NS	600000000000ULL

/**
 * struct belay_ctl_wait - BELAY_CTL_WAIT: until nothing selected holds anything
 * @size: sizeof(struct belay_ctl_wait)
 * @flags: must be 0
 * @timeout: nanoseconds, at most BELAY_WAIT_MAX_NS; 0 only looks
 * @session: out, after -ETIMEDOUT and -EINTR: of a region that still holds
 *	something
 * @region: out: that region; 0: it has changed hands just then
 * @select: which regions
 *
 * A region holds something as long as the module or, for a tracked one,
 * another driver has pages of it (for selections by place: pages there, or pages
 * whose place is not known yet); a watched one never does. The wait ends early
 * only for a fatal signal (EINTR).
 * It asks nobody to let go: recall first. Regions registered meanwhile are
 * waited for, too, so whoever wants a place to stay free must see to that.
 */
struct belay_ctl_wait {
	__u32 size;
	__u32 flags;
	__aligned_u64 timeout;
	__aligned_u64 session;
	__aligned_u64 region;
	struct belay_select select;
};

#define BELAY_CTL_WAIT_SIZE_VER0	120
#define BELAY_CTL_WAIT		_IO(BELAY_IOC_TYPE, 0x2A)

/**
 * struct belay_holder_row - a process that uses a grant's address space
 * @pid: of the process, in the caller's pid namespace; 0: it is not visible there
 * @uid: its real user now, in the caller's user namespace
 * @euid: its effective user now
 * @reserved: 0
 * @start_time: field 22 of /proc/PID/stat
 */
struct belay_holder_row {
	__s32 pid;
	__u32 uid;
	__u32 euid;
	__u32 reserved;
	__aligned_u64 start_time;
};

#define BELAY_HOLDER_ROW_SIZE_VER0	24

/**
 * struct belay_ctl_holders - BELAY_CTL_HOLDERS: who uses a grant's address space
 * @size: sizeof(struct belay_ctl_holders)
 * @flags: must be 0
 * @grant: the grant
 * @rows: address of an array of struct belay_holder_row
 * @count: in: room, 1 to BELAY_MAX_BATCH; out: processes that there are, which
 *	can be more than there is room for, and none when the address space has
 *	ended
 * @entry_size: sizeof(struct belay_holder_row)
 *
 * All of them can use the grant, and its memory is held until the last one has
 * ended or executed another program: the process that the grant was made for,
 * which comes first if it is still there, and processes that clone() made with
 * CLONE_VM and without CLONE_THREAD. A process is there as long as one of its
 * threads is. ENOENT: there is no such grant.
 */
struct belay_ctl_holders {
	__u32 size;
	__u32 flags;
	__aligned_u64 grant;
	__aligned_u64 rows;
	__u32 count;
	__u32 entry_size;
};

#define BELAY_CTL_HOLDERS_SIZE_VER0	32
#define BELAY_CTL_HOLDERS	_IO(BELAY_IOC_TYPE, 0x2B)

struct belay_account_row {
	__aligned_u64 account;
	__aligned_u64 parent;
	__aligned_u64 limit_bytes;
	__aligned_u64 usage_bytes;
	__aligned_u64 limit_regions;
	__aligned_u64 usage_regions;
	__aligned_u64 refusals;		/* by this account's limit */
	__u32 children;
	__u32 grants;
	__u8 tag[BELAY_TAG_BYTES];
};

#define BELAY_ACCOUNT_ROW_SIZE_VER0	128

struct belay_grant_row {
	__aligned_u64 grant;
	__aligned_u64 account;
	__aligned_u64 start_time;	/* as given */
	__s32 pid;			/* in the reader's pid namespace; 0: gone */
	__u32 flags;			/* BELAY_GRANT_* */
	__aligned_u64 made_at;		/* CLOCK_BOOTTIME, ns */
	__aligned_u64 limit_bytes;
	__aligned_u64 usage_bytes;
	__aligned_u64 limit_regions;
	__aligned_u64 usage_regions;
	__aligned_u64 refusals;		/* by the grant's own limit */
	__aligned_u64 pinned_bytes;	/* of usage, a page counted for each region */
	__aligned_u64 tracked_bytes;	/* as above */
	__u32 sessions;
	/* Real, when the grant was made; in the reader's user namespace. */
	__u32 uid;
	/* Of that user, as io_uring and others count; /proc does not show it. */
	__aligned_u64 user_locked_bytes;
	__u8 tag[BELAY_TAG_BYTES];
};

#define BELAY_GRANT_ROW_SIZE_VER0	176
#define BELAY_GRANT_ENDED	(1U << 0)	/* waits only for BELAY_CTL_EVENTS_DONE */
#define BELAY_GRANT_DEAD	(1U << 1)	/* its address space is gone */

struct belay_session_row {
	__aligned_u64 session;
	__aligned_u64 grant;
	__aligned_u64 made_at;
	__u32 regions;
	__u32 reserved;
};

#define BELAY_SESSION_ROW_SIZE_VER0	32

struct belay_region_row {
	__aligned_u64 session;
	__aligned_u64 region;
	__aligned_u64 grant;
	__aligned_u64 addr;
	__aligned_u64 len;
	__aligned_u64 cookie;
	__u32 kind;			/* enum belay_kind */
	__u32 flags;			/* BELAY_REGION_* */
	__u32 state;			/* BELAY_WORD_* bits, BELAY_STATE_BUILDING */
	__u32 prepared;			/* 1: tracked or watched, and not yet committed */
	__aligned_u64 made_at;
	__aligned_u64 lost_addr;
	__aligned_u64 lost_len;
	__u32 lost_reason;		/* enum belay_reason */
	__u32 recall_reason;		/* enum belay_reason */
	__aligned_u64 request;		/* of the recall */
	__aligned_u64 deadline;		/* of the recall */
	__u32 policy;			/* of the recall */
	__s32 node;			/* NUMA node of the first page held, -1: none */
	__aligned_u64 nodes;		/* bit n: pages on node n; 63: or above */
	__aligned_u64 held_bytes;	/* by the module or, tracked, by another driver */
	__aligned_u64 selected_bytes;	/* of those, in the place selected; without one: all */
	/* Of the file behind the first page, as stat(2)'s st_dev of its inode; 0: none. */
	__aligned_u64 device;
	__aligned_u64 inode;
};

#define BELAY_REGION_ROW_SIZE_VER0	160

#endif
