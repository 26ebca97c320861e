/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belay.h - hold memory for DMA under a grant, and let it go on request
 *
 * A program opens a handle, which gets it a grant from belayd; registers the
 * memory that a device is to read or write; tests, with one load, whether a
 * registration is still good; and answers the revoke requests that it
 * receives.
 *
 *	struct belay *b;
 *	struct belay_region *r;
 *	struct belay_refusal why = { .size = sizeof(why) };
 *	int err;
 *
 *	err = belay_open(&b, NULL, &why);
 *	if (!err)
 *		err = belay_register(b, buf, len, BELAY_PIN | BELAY_WRITE, NULL, &r, &why);
 *	if (err)
 *		errx(1, "%s", why.text);
 *	...
 *	if (belay_valid(r))
 *		post(buf);
 *
 * In C++, where the initializer above needs C++20 and names no other field:
 *
 *	struct belay_refusal why = {};
 *	why.size = sizeof(why);
 *
 * Units: lengths in bytes, times in nanoseconds of CLOCK_BOOTTIME.
 *
 * Errors: 0 or a negative errno; errno itself is not touched. Functions that
 * can be refused take a struct belay_refusal (NULL: not interested) and put
 * into it a sentence for a person and, for a limit, the numbers. The library
 * prints nothing, logs nothing and never exits.
 *
 * Structs begin with their size, which the program sets to sizeof, also in each
 * element of an array; a smaller one than the first release's is -EINVAL. What
 * a later release adds is zero for a program built earlier, and a program built
 * later must have zeroes there that this library is to read.
 *
 * Descriptors: a handle has four, close-on-exec and never 0, 1 or 2. They are
 * not the program's to close. If it has closed or replaced one all the same
 * (daemons close all that they do not know), the handle is dead: every call that
 * needs a descriptor returns -EBADF, but for what can still be let go, and
 * belay_close() lets go of the rest. belay_valid() and belay_check() still read the
 * validity word; belay_check() returns -EBADF only if the word is suspect, and
 * belay_lost() only if the region is not valid and there is something left of it. No
 * file that the program has put in the place of a descriptor is touched. What was
 * registered stays held, charged and valid until belay_close(). No revoke request
 * arrives for it. A program that closes descriptors which it has not opened must do
 * so before belay_open().
 *
 * Threads: every call may be made from any thread at any time, except that
 * nothing may be running on a handle or a region that is being closed or
 * unregistered (trimming is no exception: who uses the old region sees that it
 * is over). Callbacks run without any lock of the library and may make
 * every call but belay_close(). No call is safe in a signal handler, and a
 * thread inside a call must not be cancelled. Only belay_open() waits for belayd;
 * registering, committing, checking and trimming may wait for a page fault, and so
 * for whoever answers it (a disk, a userfaultfd monitor).
 *
 * Fork: the grant stays with the process (the address space) that opened it.
 * In a forked child every call on an inherited handle returns -EXDEV,
 * belay_valid() is false, and belay_close() frees the child's copy without
 * touching the parent. exec closes everything; vfork children must not use
 * the library.
 *
 * When belayd is restarted, handles reconnect by themselves: registering goes
 * on without the daemon, and open revoke requests are delivered again.
 */
#ifndef BELAY_H
#define BELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct belay;		/* a handle: one session of this process's grant */
struct belay_request;	/* a revoke request */

/*
 * Why something was refused. Filled on failure only, by the call that it was
 * given to (belay_explain_memlock() fills it on success: it explains the failure of
 * another call); the program owns it.
 */
#define BELAY_REFUSAL_TEXT	512
struct belay_refusal {
	size_t size;		/* in: sizeof(struct belay_refusal) */
	int error;		/* the same negative errno that was returned */
	uint32_t resource;	/* BELAY_RESOURCE_* of <linux/belay.h>; 0: no limit was the cause */
	uint64_t usage;		/* of the account below: bytes or regions */
	uint64_t limit;
	uint64_t needed;	/* what this call would have added */
	char account[64];	/* "system", "user/alice", "grant"; "" if no limit was the cause */
	char text[BELAY_REFUSAL_TEXT];	/* a sentence: what, where, what to do */
};

/* Called by belay_dispatch(), or by the helper thread, for each request. */
typedef void (*belay_revoke_fn)(struct belay *b, struct belay_request *req,
				void *arg);

/*
 * Options of belay_open(). Set size to sizeof(struct belay_options) and zero
 * the rest: what a later release adds is zero for a program built earlier.
 */
struct belay_options {
	size_t size;
	const char *socket;	/* NULL: $BELAY_SOCKET if set (and not setuid), else /run/belay/belay.sock */
	const char *label;	/* NULL: the program's name; shown by belayctl list */
	uint64_t want_bytes;	/* refuse at once if this much can never be had; 0: no hint */
	uint32_t flags;		/* BELAY_OPEN_* */
	uint32_t reserved;
	belay_revoke_fn on_revoke;	/* NULL: requests are fetched with belay_get_request() */
	void *arg;
};
#define BELAY_OPEN_THREAD	(1U << 0)	/* a helper thread dispatches; needs on_revoke */

/*
 * belay_open - get a grant
 *
 * Waits for belayd, at most 10 s, also if it is being restarted. The process
 * has one grant for each account, however many handles it opens, and each
 * handle is a session of its own on it.
 *
 * *ret belongs to the caller, who gives it to belay_close(). What @opt points
 * to is not needed any more after the call.
 *
 * Errors: -ENOENT, -ECONNREFUSED (no daemon at the socket), -EACCES (not
 * allowed), -EDQUOT (want_bytes is more than a limit), -EPROTONOSUPPORT (no
 * common version, with belayd or with the kernel module), -EPROTO (something
 * else answers at the socket), -ETIMEDOUT (10 s without an answer), -EINVAL
 * (options), -EUSERS (belayd has as many clients as it may have, or as many of
 * this user), -EAGAIN (the address space was busy for 10 s), -EMFILE, -ENFILE
 * (descriptors; a handle needs four), -EBADF (another thread has closed them),
 * -ESRCH (this process cannot be seen by
 * belayd), -ENOMEM.
 */
int belay_open(struct belay **ret, const struct belay_options *opt,
	       struct belay_refusal *why);

/*
 * belay_close - unregister everything of this handle and free it
 *
 * Regions and requests of the handle must not be used any more. The grant goes
 * with the last handle on it. For tracked regions: stop the device first, and
 * let the other driver let go after this. Waits for a callback that is running
 * in the helper thread; must not be called from a callback. NULL does nothing.
 * In a forked child: frees the copy only. Of a dead handle: lets go of everything,
 * if no forked child has a copy of it (then, when that one has gone); waits up to
 * a second for a helper thread.
 */
void belay_close(struct belay *b);

/* How a region is held (one of the three), and what more there is to know. */
#define BELAY_PIN	(1U << 0)	/* the kernel module holds the pages */
#define BELAY_TRACK	(1U << 1)	/* another driver will hold them: see belay_commit() */
#define BELAY_WRITE	(1U << 2)	/* the device may write; without it, only read */
#define BELAY_WATCH	(1U << 3)	/* nobody need hold them: not charged, only watched */
#define BELAY_TRANSIENT	(1U << 4)	/* will be let go soon by itself, not for others to recall */

/*
 * A registered region. The library owns it; all fields are read-only to the
 * program and, but for the words behind @word, do not change.
 */
struct belay_region {
	const uint64_t *word;	/* the validity word, written by the kernel */
	uint64_t expected;	/* its value while the region is valid */
	void *addr;
	size_t len;
	void *user;		/* as given to belay_register() */
	struct belay *belay;
	uint64_t id;		/* as belayctl shows it */
	uint32_t flags;		/* as given to belay_register() */
};

/*
 * belay_register - register @len bytes at @addr, both multiples of the page
 * size, and charge them to the grant
 *
 * One system call; belayd takes no part in it. *ret is set on success only and
 * belongs to the library until belay_unregister() or belay_close().
 *
 * With BELAY_TRACK this prepares: charges, watches, faults in. Then let the
 * other driver pin the memory (ibv_reg_mr(), VFIO_IOMMU_MAP_DMA, ...), and
 * call belay_commit().
 *
 * With BELAY_WATCH nothing is held, and no byte is charged; the region counts as
 * one. It is lost when its range is unmapped or moved: what a device needs to
 * know that faults pages in by itself. After a belay_commit() it is lost, too,
 * when a page is replaced: what a cache of registrations needs to know. Unregister
 * it, as a tracked one, before the other driver lets go: a page that nobody holds can
 * be freed, and another one come in its place that has the same page frame.
 *
 * Errors: -EINVAL (flags, alignment, empty), -EFAULT (not wholly mapped with
 * that access), -EMEDIUMTYPE (a kind of memory that cannot be held),
 * -EDQUOT (a limit: see @why), -EMFILE (too many regions), -EMLINK (too many
 * over one page), -EXDEV (forked child), -ESHUTDOWN (the address space ended),
 * -EAGAIN (the mapping kept changing), -ECANCELED (ended by order of the
 * administrator's policy while it was under way; nothing is registered), -ENOMEM,
 * -EINTR (a signal that ends the process), -EBADF (the program has closed a
 * descriptor of the handle), -EPROTO (the kernel module's answer makes no sense:
 * library and module are not of one release, or belay is at fault).
 */
int belay_register(struct belay *b, void *addr, size_t len, uint32_t flags,
		   void *user, struct belay_region **ret,
		   struct belay_refusal *why);

/* One of many regions, see belay_register_many() and belay_unregister_many(). */
struct belay_range {
	size_t size;		/* in: sizeof(struct belay_range); the same in all */
	void *addr;
	size_t len;
	uint32_t flags;
	int error;		/* out: 0 or a negative errno */
	void *user;
	struct belay_region *region;	/* out: NULL on error; in, to unregister */
};

/*
 * belay_register_many - register @n regions in one system call (or few)
 *
 * Each is independent of the others. Returns the number of regions
 * registered, or a negative errno if none could be tried (-ENOMEM, -EXDEV,
 * -EBADF: every range has its error then, too; -EINVAL: the size of the first, or
 * of @why); @why tells of the first that failed. The errors of a range are those
 * of belay_register(); -EINVAL also for another size than the first one's.
 */
long belay_register_many(struct belay *b, struct belay_range *ranges, size_t n,
			 struct belay_refusal *why);

/*
 * belay_commit - the other driver has pinned a tracked region: remember its
 * pages; or: the pages of a watched region are to count from now on
 *
 * -EAGAIN: the mapping changed since belay_register(). Let the driver let go,
 * belay_unregister(), and start again (a few times at most). Errors: also
 * -EINVAL (pinned, or committed before), -ESTALE (lost), -ENOENT (released
 * meanwhile), -EFAULT and -EMEDIUMTYPE (watched: as of belay_register()),
 * -ENOMEM, -EINTR, -EXDEV, -EBADF.
 */
int belay_commit(struct belay_region *r, struct belay_refusal *why);

/*
 * belay_unregister - let go of a region and free it
 *
 * For a tracked region: first stop the device, then call this, then let the
 * driver let go (ibv_dereg_mr()). NULL does nothing.
 *
 * Revoke requests for the region are acknowledged by this. Those that the
 * program has not seen it will not see; one that it has it still gives to
 * belay_ack(), which then only frees it.
 *
 * Errors: -EXDEV (forked child) and -EBADF (the session's descriptor is not there
 * any more): nothing is let go and nothing freed.
 */
int belay_unregister(struct belay_region *r);

/*
 * belay_unregister_many - let go of the region of each of @n ranges, in one
 * system call (or few)
 *
 * Looks at the field region only, and sets it to NULL, and error to 0; ranges
 * without a region are passed over. Errors of a range: -EINVAL (a region of
 * another handle, one that is there twice (the second time), or another size than
 * the first range's), -EBADF (as of belay_unregister(); the region stays). Returns
 * the number of regions that were freed, or -EXDEV (forked child; nothing is
 * freed), or -EINVAL (size of the first). Needs no memory.
 */
long belay_unregister_many(struct belay *b, struct belay_range *ranges, size_t n);

/*
 * belay_trim - let a part of a region go, and keep the rest
 *
 * The part is @len bytes at @addr, whole pages inside the region, not all of
 * it. What is left goes on as one or two new regions, in front of and behind
 * it: *before and *after, NULL where nothing is left. They are held, charged
 * and watched as the whole was, without a gap, and have its user and flags. Of
 * a tracked region the driver is to let the part go afterwards; where it cannot,
 * unregister the region instead.
 *
 * So a region of which a part was lost becomes valid regions again.
 *
 * After success @r is over: belay_valid(r) is false, and belay_check(r) has
 * BELAY_RELEASED, for every thread that still looks. Nothing is held by it; give
 * it to belay_unregister() when nobody uses it any more, which frees it. Revoke
 * requests for it are acknowledged, as by belay_unregister().
 *
 * After an error nothing has changed. Of several threads that trim one region
 * one succeeds.
 *
 * Errors: -EINVAL (not whole pages inside the region, all of it, or a tracked
 * region before belay_commit()), -ESTALE (more is lost than the part), -EBUSY
 * (it is recalled: unregister it), -EAGAIN (the kernel cannot tell what is lost
 * just now), -ENOENT (released by order, or trimmed before), -EDQUOT, -EMFILE
 * (no room for a second region), -ENOMEM, -EOPNOTSUPP (the module is older),
 * -ESHUTDOWN (the address space ended), -EINTR (a signal that ends the
 * process), -EXDEV (forked child), -EBADF.
 */
int belay_trim(struct belay_region *r, void *addr, size_t len,
	       struct belay_region **before, struct belay_region **after,
	       struct belay_refusal *why);

/*
 * What belay_check() says: 0, or some of these, or a negative errno. Test for a negative
 * value first: a negative errno has some of these bits set, too.
 */
#define BELAY_LOST	(1 << 1)	/* the address maps other memory now, or none */
#define BELAY_RECALLED	(1 << 2)	/* still the same memory, but wanted back */
#define BELAY_RELEASED	(1 << 3)	/* nothing is held any more */

/*
 * belay_check - settle whether a region is still valid
 *
 * The slow path of belay_valid(): asks the kernel to look if a change was
 * announced that may or may not have touched the region. Returns 0 (valid), a
 * set of the bits above, or a negative errno (-EXDEV in a forked child, -EBADF,
 * -EAGAIN if the kernel cannot tell yet: treat as not valid now).
 */
int belay_check(const struct belay_region *r);

/*
 * belay_lost - which part of a region is lost
 *
 * As belay_check(), and sets *addr and *len to the smallest range around all
 * that is lost; NULL and 0: nothing. What lies between two lost parts counts as
 * lost, too: to keep it, trim each part when you are told of it, or register it
 * anew. Of a pinned region the kernel has let the range go, and holds and charges
 * the rest until it is trimmed, unregistered or released; until then a hole in
 * its middle is charged, too.
 */
int belay_lost(const struct belay_region *r, void **addr, size_t *len);

/*
 * belay_valid - is the memory at the region's address still what was
 * registered, and not wanted back?
 *
 * One acquire load when it is. True at the instant of the load: a program
 * that tests and then posts work orders the two itself.
 */
static inline bool belay_valid(const struct belay_region *r)
{
	if (__builtin_expect(__atomic_load_n(r->word, __ATOMIC_ACQUIRE) ==
			     r->expected, 1))
		return true;
	return belay_check(r) == 0;
}

/*
 * belay_get_fd - a descriptor to poll for reading, for programs with an event
 * loop
 *
 * Readable when there is something for belay_dispatch() to do. It stays the
 * same for the life of the handle and is the library's: do not read, close or
 * pass it on. Errors: -EXDEV, -EBUSY (a helper thread waits on it), -EBADF.
 */
int belay_get_fd(struct belay *b);

/*
 * belay_dispatch - do what there is to do, without blocking: read messages,
 * reconnect, call on_revoke
 *
 * Returns the number of requests received, or a negative errno (-EXDEV; -EBADF;
 * -EBUSY if a helper thread does it). A lost connection is no error: it is
 * made again, and belay_get_fd() becomes readable when it is time to try.
 *
 * A program that never dispatches, and has no helper thread, receives no
 * requests; what it holds then meets every deadline unanswered.
 */
int belay_dispatch(struct belay *b);

/*
 * belay_get_request - the next revoke request, if any
 *
 * Gives what belay_dispatch() has received; does not wait. Only for handles
 * without on_revoke. Returns 0 and sets *ret; -EAGAIN if there is none;
 * -EINVAL if there is an on_revoke; -EXDEV; -EBADF if there is none, and none will
 * come. Every request is acknowledged once
 * with belay_ack(), which frees it.
 */
int belay_get_request(struct belay *b, struct belay_request **ret);

/* What a revoke request asks for. */
struct belay_request_info {
	size_t size;		/* in: sizeof(struct belay_request_info) */
	struct belay_region *region;	/* valid until it is unregistered; NULL: it has been, or was trimmed */
	void *user;		/* of the region */
	uint32_t reason;	/* enum belay_reason of <linux/belay.h> */
	uint32_t escalation;	/* at the deadline: 1 keep, 2 release, 3 kill */
	uint64_t deadline;	/* ns of CLOCK_BOOTTIME, 0: none */
	void *lost_addr;	/* the part known to be lost; NULL, 0: nothing, a recall */
	size_t lost_len;
	const char *reason_text;	/* "unmapped", "recalled by an administrator", ... */
};

/*
 * belay_get_request_info - what a request asks for
 *
 * Of a loss it is the part that was lost when the request came. When more of
 * the region is lost later, another request says so, with the larger part and
 * the first one's deadline. The loss of a watched region has no deadline and no
 * escalation: nothing is held.
 *
 * Set info->size. Returns 0, or -EINVAL (size), -EXDEV.
 */
int belay_get_request_info(const struct belay_request *req,
			   struct belay_request_info *info);

/*
 * belay_ack - I have stopped using the region
 *
 * Of a pinned region the kernel lets go now if the program has not, also of
 * what is not lost: to keep that, belay_trim() before. A tracked one must be
 * unregistered, or trimmed, and let go by its driver before the deadline; a
 * watched one holds nothing, and counts until it is unregistered.
 * Frees the request. May be called from the callback or later, from any
 * thread. Returns 0, also when there is no daemon just now (the ack is
 * repeated after reconnecting); -EXDEV in a forked child; -EBADF: the request is
 * freed, and belayd does not hear of it. NULL does nothing.
 */
int belay_ack(struct belay_request *req);

/* One level of limits. */
struct belay_limit {
	size_t size;		/* in, in the first: sizeof(struct belay_limit) */
	char account[64];	/* "grant", "user/alice", "system" */
	uint64_t limit_bytes;	/* UINT64_MAX: none */
	uint64_t usage_bytes;
	uint64_t limit_regions;
	uint64_t usage_regions;
};

/*
 * belay_get_limits - limits and usage, from the grant upwards
 *
 * Fills at most @n of @limits, the grant's own first and the system's last. Set
 * limits[0].size. Returns how many levels there are (9 at most), or a negative
 * errno (-EXDEV, -EBADF, -ESHUTDOWN, -EINVAL: size, or n below 0).
 */
int belay_get_limits(struct belay *b, struct belay_limit *limits, int n);

/*
 * belay_explain_memlock - was it RLIMIT_MEMLOCK that a driver has refused for?
 *
 * After -ENOMEM from ibv_reg_mr() and its like, with @r, the tracked region that the
 * driver was to pin, still registered. Drivers count memory once for each
 * registration, the grant counts each page once: the same buffer on five rails is
 * five times its size there. Returns 0, with that sum, the limit and what would help
 * in *why; -ENOENT: all that is tracked fits, so it was something else. Other errors:
 * -EINVAL (no tracked region; size of @why), -EXDEV, -ESHUTDOWN, -EBADF. On an error
 * *why is left as it is.
 */
int belay_explain_memlock(const struct belay_region *r, struct belay_refusal *why);

/* belay_reason_name - a word for an enum belay_reason, "?" if unknown; static */
const char *belay_reason_name(uint32_t reason);

/* belay_version - "0.1.0", of the library in use; static */
const char *belay_version(void);

#ifdef __cplusplus
}
#endif

#endif
