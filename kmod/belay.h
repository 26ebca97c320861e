/* SPDX-License-Identifier: GPL-2.0-only */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belay.h - the module's own types, locks and prototypes
 *
 * Objects, from the top: accounts form a tree; a grant hangs below one account
 * and is bound to one address space (mm); a session is an open file on a
 * grant; a region is a range that a session registered.
 *
 * References:
 *   region -> session -> grant -> mm (the structure, mmgrab, never its users)
 *   grant -> account, by account->grants, until the grant's last put
 * and the other way round only by lists and xarrays that hold a reference of
 * their own or are left before the last reference goes.
 *
 * Lock order, outer to inner. Nothing else may be nested.
 *
 *   belay_tree_lock (mutex)	accounts, the list of grants, of sessions
 *     grant->lock (mutex)	the charged regions of a grant. Its process may hold it
 *				for as long as walking over very many regions takes; so
 *				an order from the policy owner only tries it
 *       region->lock
 *   the mm's lock, write	only tried, and so are the locks of its mappings; in them
 *				all that mm_take_all_locks() takes (grant.c, binding).
 *				Nothing else is held
 *   region->settle (mutex)	looking at a region's pages, or letting go
 *     settle of its parts	(trim.c) known to nobody else
 *     grant->lock
 *     inode lock		(fetch.c) only tried
 *       mmap lock, read	(look.c, fetch.c) only tried; a fault in it that does
 *				not wait
 *   grant->watch_lock (spinlock) what is watched, what is being invalidated. Taken
 *     region->lock (spinlock)	state, validity word. in the notifier's callback,
 *       lock of its parts	that is under mmap, i_mmap, folio and reclaim:
 *       grant->dirty_lock	nothing below it may sleep or allocate. Never in
 *				an interrupt
 *   mmap lock -> session->words_lock -> allocation	(a fault on the words)
 *   belay_event_lock (spinlock) the events; a leaf, never in the callback
 *
 *   mmap lock, read		(pin.c, commit.c, fetch.c: a client's own BELAY_CHECK)
 *				with nothing else held
 *
 * The worker, the policy owner's calls and closing never wait for what a client or the
 * daemon does. A client's own call may.
 */
#ifndef BELAY_KMOD_H
#define BELAY_KMOD_H

#include <linux/atomic.h>
#include <linux/interval_tree.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/sched/user.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <uapi/linux/belay.h>

#include "event.h"
#include "extent.h"
#include "range.h"
#include "stats.h"

struct file;
struct mmu_notifier_range;
struct seq_file;

/*
 * A limit and what is charged against it. Accounts and grants have one each;
 * charging walks from a grant to the root.
 *
 * @parent: immutable while anything can be charged through this node
 * @id: of the account, 0 for a grant; immutable
 * @limit_pages, @limit_regions: written under belay_tree_lock, read anywhere;
 *	ULONG_MAX is no limit
 * the rest: atomic
 */
struct belay_node {
	struct belay_node *parent;
	u64 id;
	unsigned long limit_pages;
	unsigned long limit_regions;
	atomic_long_t pages;
	atomic_long_t regions;
	atomic64_t refusals;
};

/* Everything but @node: under belay_tree_lock; @id, @parent, @tag immutable. */
struct belay_account {
	struct belay_node node;
	struct belay_account *parent;
	unsigned int children;
	unsigned int grants;
	u8 tag[BELAY_TAG_BYTES];
};

/* An invalidation that is going on: the pages from the first to the last. */
struct belay_change {
	unsigned long start, last;
};

/*
 * As many threads of one process that are just unmapping something get a place of
 * their own; more are the exception even in a storm on many processors.
 */
#define BELAY_CHANGES_MAX	16

/*
 * @node.parent, @mm, @pid, @user, @start_time, @made_at, @tag, @account_id,
 *	@accounts: immutable
 * @mn: tells what is invalidated in the address space, and its end (notify.c)
 * @watch_lock: @watched, the regions that are told, in the order of their starts and
 *	then of @next_order; @changes, the invalidations going on, of which
 *	@unlisted found no place, all within @unlisted_start to @unlisted_last
 * @lock: @regions, @layer, and the charge of every region in the tree
 * @regions: the charged regions of all sessions, by page number
 * @dirty_lock: @losses, @suspects, @later: regions that the worker has to look
 *	at, each on one of them, with a reference; @later_at, @backoff, @waiting,
 *	@in_hand, @seen_to
 * @account (NULL once ended), @sessions, @ended, @told: belay_tree_lock
 * @dead: set once, by the notifier; the address space has ended
 */
struct belay_grant {
	struct kref ref;
	u32 id;
	struct belay_node node;
	struct belay_account *account;
	u64 account_id;
	u32 accounts[BELAY_MAX_DEPTH];	/* its own and those above; 0: no more */
	struct mm_struct *mm;
	struct mmu_notifier mn;
	struct pid *pid;
	struct user_struct *user;	/* the real one, when it was made */
	u64 start_time;
	u64 made_at;
	bool dead;
	bool closing;		/* set once, by the last close */
	bool end_raised;	/* the worker's */
	bool ended;
	bool told;

	struct mutex lock;
	struct rb_root_cached regions;
	u64 layer;

	spinlock_t watch_lock;
	struct rb_root_cached watched;
	u64 next_order;
	struct belay_change changes[BELAY_CHANGES_MAX];
	unsigned int nr_changes;
	unsigned int unlisted;
	unsigned long unlisted_start, unlisted_last;

	spinlock_t dirty_lock;
	struct list_head losses;
	struct list_head suspects;
	struct list_head later;
	unsigned long later_at;	/* jiffies */
	unsigned long backoff;	/* jiffies */
	bool waiting;		/* the worker's timer is for @later */
	unsigned int in_hand;	/* regions off the lists, being looked at now */
	unsigned long seen_to;	/* counts the regions whose look has ended */
	struct wait_queue_head room;	/* registrations that wait for that to change */
	struct delayed_work work;

	unsigned int sessions;
	atomic_t nr_regions;	/* those in the sessions' xarrays */
	atomic_long_t pinned_pages;
	atomic_long_t tracked_pages;
	struct belay_event_source event;
	u8 tag[BELAY_TAG_BYTES];
};

/*
 * @grant, @id, @made_at: immutable
 * @regions: by index of the validity word; its own lock. A region is in it
 *	from before its first page is pinned until it is being let go.
 * @words: pages of validity words; a page is set once, under @words_lock, and
 *	stays until the session is closed
 */
struct belay_session {
	struct kref ref;
	u32 id;
	u64 made_at;
	struct belay_grant *grant;
	struct xarray regions;
	atomic_t nr_regions;
	struct mutex words_lock;
	struct page **words;
};

enum belay_state {
	BELAY_BUILDING,		/* not yet valid: events only make it start again */
	BELAY_LIVE,
	BELAY_DEAD,		/* being let go: nothing changes any more */
};

/*
 * @session, @id, @slot, @generation, @word, @start, @last, @kind, @flags, @cookie, @made_at,
 * @device, @inode, @shared: immutable once LIVE
 * @unshares: only ever becomes true, before any page of such a mapping counts
 * @lock: @state, @bits (and with it the validity word), @dirty_*, @lost_*,
 *	@exited, @announced, @request to @policy
 * @aborted: stored before @state becomes DEAD
 * @settle: @extents (fixed once LIVE, or for a watched region once committed),
 *	@held, @nr_held, @counted, @dropped_*, @empty, @finished, @registering
 * @pinning: the registering thread's
 * @prepared: cleared under both, @lock and @settle
 * @watch (empty: not in the tree of those that are told), @order: grant->watch_lock
 * @it, @charged, @placed, @layer: grant->lock. @it is what is charged: all of the
 *	region but a lost beginning or end that is no longer held
 * @dirty_link: grant->dirty_lock
 */
struct belay_region {
	struct kref ref;
	enum belay_state state;
	struct belay_session *session;
	struct interval_tree_node watch;
	u64 order;
	struct interval_tree_node it;
	unsigned long start, last;	/* pages */
	u64 id;
	u64 *word;
	u32 slot;
	u32 generation;		/* of the word */
	u32 bits;
	u16 kind;
	u16 flags;
	bool shared;		/* begins in a shared mapping of a file */
	bool unshares;		/* mprotect() may take pages out of the page table (pin.c) */
	bool charged;		/* in the grant's tree */
	bool placed;		/* counts as a region */
	bool registering;	/* its own thread has not finished, and ends the region */
	bool pinning;		/* that thread may hold a batch that is not in @extents yet */
	bool aborted;		/* dead before it was ever live */
	bool held;		/* the module holds the pages */
	bool counted;		/* in the gauges and VmPin */
	bool prepared;		/* tracked or watched, not yet committed */
	bool exited;		/* the address space has ended */
	bool empty;		/* dead, and nothing is held or charged any more */
	bool finished;		/* one thread has begun to take it out of all lists */
	u64 layer;
	unsigned long nr_held;	/* while it is pinned: pages remembered so far */

	spinlock_t lock;
	u32 lost_reason;
	unsigned long announced;	/* counts what may have changed a page */
	/* Suspect and lost pages. None: ULONG_MAX and 0. */
	unsigned long dirty_start, dirty_last;
	unsigned long lost_start, lost_last;
	/* The lost pages that were let go and told. */
	unsigned long dropped_start, dropped_last;
	struct list_head dirty_link;	/* in ->losses, ->suspects, ->later, or settle_list()'s */

	struct mutex settle;
	struct belay_extents extents;

	u64 cookie;
	u64 made_at;
	u64 device;
	u64 inode;
	u64 request;
	u64 deadline;
	u32 recall_reason;
	u32 policy;
	struct belay_event_source event;
};

/* Which limit refused a charge, and by how much. */
struct belay_refusal {
	struct belay_node *node;
	u64 account;
	u32 resource;
	u64 usage, limit, needed;
};

static inline unsigned long belay_region_pages(const struct belay_region *r)
{
	return r->last - r->start + 1;
}

/*
 * A region's id: a number that no other region of any session ever has, and below
 * it the region's place in its session, which is that of its word. So it is found
 * by its place, and then compared as a whole.
 */
static inline u64 belay_region_id(u64 number, u32 slot)
{
	return number * BELAY_WORDS_MAX + slot;
}

static inline u32 belay_region_slot(u64 id)
{
	return id % BELAY_WORDS_MAX;
}

/* The validity word while it is valid. */
static inline u64 belay_region_expected(const struct belay_region *r)
{
	return (u64)r->generation << 32;
}

/* main.c */
extern struct mutex belay_tree_lock;
extern struct workqueue_struct *belay_wq;
extern struct xarray belay_accounts, belay_grants, belay_sessions;

/* control.c, session.c: the two kinds of file */
extern const struct file_operations belay_control_fops;
extern const struct file_operations belay_session_fops;

/* fdinfo.c */
void belay_fdinfo_session(struct seq_file *m, struct file *file);
void belay_fdinfo_control(struct seq_file *m, struct file *file);

/* account.c */
int belay_account_create(struct belay_ctl_account *arg);
int belay_account_remove(u64 id);
int belay_account_set_limits(struct belay_ctl_limits *arg);
static inline unsigned long belay_bytes_to_pages(u64 bytes)
{
	return bytes == BELAY_UNLIMITED ? ULONG_MAX : bytes >> PAGE_SHIFT;
}

static inline u64 belay_pages_to_bytes(unsigned long pages)
{
	return pages == ULONG_MAX ? BELAY_UNLIMITED : (u64)pages << PAGE_SHIFT;
}

static inline unsigned long belay_count_limit(u64 n)
{
	return n > ULONG_MAX ? ULONG_MAX : n;
}

/* charge.c */
int belay_charge(struct belay_node *node, unsigned long pages,
		 unsigned long regions, struct belay_refusal *why);
void belay_charge_refund(struct belay_node *node, unsigned long pages,
			 unsigned long regions);

/* grant.c */
struct belay_session *belay_grant_open(struct belay_ctl_grant *arg);
struct belay_grant *belay_grant_get(u64 id);
void belay_grant_put(struct belay_grant *g);
pid_t belay_grant_pid(const struct belay_grant *g);
void belay_grant_end(struct belay_grant *g);
void belay_grants_forget(void);

/* session.c */
struct belay_session *belay_session_create(struct belay_grant *g);
struct belay_session *belay_session_find(u64 id);
struct belay_session *belay_session_next(u64 after);
void belay_session_close(struct belay_session *s);
void belay_session_put(struct belay_session *s);
static inline bool belay_session_is_bound_here(const struct belay_session *s)
{
	return current->mm == s->grant->mm;
}

/* process.c */
struct belay_process {		/* each with a reference, @mm's as a user */
	struct mm_struct *mm;
	struct pid *pid;
	struct user_struct *user;
};

int belay_process_find(struct belay_process *p, const struct belay_ctl_grant *arg);
void belay_process_put(struct belay_process *p);
int belay_process_holders(struct belay_ctl_holders *arg);

/* coverage.c */
int belay_coverage_charge(struct belay_region *r, bool settled, struct belay_refusal *why);
int belay_coverage_recharge(struct belay_region *r, bool settled, struct belay_refusal *why);
void belay_coverage_drop(struct belay_region *r);
void belay_coverage_refund(struct belay_region *r);
bool belay_coverage_try_refund(struct belay_region *r);
void belay_coverage_hand_over(struct belay_region *r, struct belay_region *part,
			      struct belay_region *other);
void belay_coverage_shrink(struct belay_region *r, unsigned long start,
			   unsigned long last);

/* pin.c */
/* Pages pinned at a time: their pointers fill a page. */
#define BELAY_PIN_BATCH	(PAGE_SIZE / sizeof(struct page *))
int belay_pin_check(struct belay_region *r);
int belay_pin_note_file(struct belay_region *r);
int belay_pin(struct belay_region *r);
void belay_unpin(struct belay_region *r, bool dirty);
void belay_unpin_part(struct belay_region *r, unsigned long start,
		      unsigned long last, bool dirty);

/* Is all of @start to @last known to be lost? Under r->lock. */
static inline bool belay_region_is_known_lost(const struct belay_region *r,
					      unsigned long start, unsigned long last)
{
	return start >= r->lost_start && last <= r->lost_last;
}

static inline bool belay_region_is_all_lost(const struct belay_region *r)
{
	return READ_ONCE(r->lost_start) <= r->start && READ_ONCE(r->lost_last) >= r->last;
}

/* notify.c */
extern const struct mmu_notifier_ops belay_notifier_ops;
void belay_notify_add(struct belay_region *r);
void belay_notify_remove(struct belay_region *r);
bool belay_notify_is_changing(struct belay_grant *g, unsigned long start, unsigned long last);
int belay_notify_await_rest(const struct belay_region *r);

/* watch.c */
bool belay_watch_event_counts(const struct mmu_notifier_range *range);
void belay_watch_tell(struct belay_region *r, const struct mmu_notifier_range *range);

/* fetch.c */
int belay_fetch(struct belay_region *r);

/* verify.c */
int belay_verify(struct belay_region *r);
void belay_verify_all_lost(struct belay_region *r);
int belay_verify_new(struct belay_region *r);

/* settle.c */
int belay_settle(struct belay_region *r);
int belay_settle_now(struct belay_region *r);
void belay_settle_queue(struct belay_region *r);
void belay_settle_grant(struct belay_grant *g);
bool belay_settle_has_in_hand(struct belay_grant *g, unsigned long *ret_seen);
bool belay_settle_wait_for_room(struct belay_grant *g, unsigned long seen, long *left);
void belay_settle_worker(struct work_struct *work);

/* register.c */
int belay_register(struct belay_session *s,
		   struct belay_register_entry *e);
void belay_register_refused(const struct belay_refusal *why);

/* region.c */
struct belay_region *belay_region_new(struct belay_session *s, unsigned long start,
				      unsigned long last);
void belay_region_count(struct belay_region *r, bool up);
void belay_region_let_go(struct belay_region *r);
int belay_region_order_release(struct belay_region *r);
struct belay_region *belay_region_find(struct belay_session *s, u64 id);
struct belay_region *belay_region_next(struct belay_session *s,
				       unsigned long *slot);
void belay_region_drop_pins(struct belay_region *r);
void belay_region_drop_part(struct belay_region *r, unsigned long start,
			    unsigned long last);
void belay_region_uncharge(struct belay_region *r);
void belay_region_free(struct kref *ref);
int belay_region_cache_init(void);
void belay_region_cache_exit(void);
static inline void belay_region_put(struct belay_region *r)
{
	kref_put(&r->ref, belay_region_free);
}

struct belay_region *belay_region_new_part(struct belay_region *r,
					   unsigned long start, unsigned long last);
void belay_region_undo(struct belay_region *r);
void belay_region_publish(struct belay_region *r);
void belay_region_take_pins(struct belay_region *part, struct belay_region *r);
void belay_region_give_pins(struct belay_region *r, unsigned long start,
			    unsigned long last);

/* trim.c */
int belay_trim(struct belay_region *r, struct belay_trim_entry *e);

/* commit.c */
int belay_commit(struct belay_region *r);

/* words.c */
int belay_words_init(void);
void belay_words_exit(void);
int belay_word_get(struct belay_session *s, u32 slot, u64 **ret_word);
void belay_words_free(struct belay_session *s);
int belay_words_mmap(struct belay_session *s, struct vm_area_struct *vma);
void belay_word_set(struct belay_region *r, u32 bits);

/* recall.c */
int belay_recall(const struct belay_recall_entry *e);
int belay_release(const struct belay_recall_entry *e);

/* list.c */
int belay_list(struct belay_ctl_list *arg);

/* wait.c */
int belay_wait(struct belay_ctl_wait *arg);
void belay_wait_wake(struct belay_region *r);
void belay_wait_spoil_walks(struct belay_region *r);
void belay_wait_exit(void);

#endif
