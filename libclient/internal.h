/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * internal.h - the objects behind the public handles
 *
 * One handle is one session: the session's file descriptor, on which memory is
 * registered without any help from the daemon, and a connection to the daemon,
 * on which revoke requests arrive. The connection comes and goes with the
 * daemon; the session stays.
 *
 * Locking: one mutex for each handle, belay.lock. Nothing that can block is
 * done under it but memory allocation: the system calls that register and
 * unregister, and the program's callback, run without it; the socket is
 * non-blocking. Fields that no comment mentions are written before the handle
 * or object is published and never after.
 *
 * Fork: the page behind belay.mine is wiped in a child (MADV_WIPEONFORK), so
 * every call can tell by one load whether the handle is its process's own. In
 * a child nothing waits for the lock, which may have been held at the fork.
 */
#ifndef BL_INTERNAL_H
#define BL_INTERNAL_H

/* The library is compiled with hidden visibility; what <belay.h> declares is not. */
#pragma GCC visibility push(default)
#include <belay.h>
#pragma GCC visibility pop

#include <errno.h>
#include <linux/belay.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <time.h>

#include "common/protocol.h"

/* Above every public function: errno is as it was when the function returns. */
struct bl_errno {
	int saved;
};
static inline void bl_errno_restore(struct bl_errno *e)
{
	errno = e->saved;
}
#define BL_KEEP_ERRNO								\
	__attribute__((cleanup(bl_errno_restore), unused))			\
	struct bl_errno bl_errno_kept = { errno }

/* A descriptor of a handle, and what it was when it was made; see descriptor.c. */
struct bl_fd {
	int fd;		/* -1: none */
	dev_t dev;
	ino_t ino;
};
#define BL_NO_FD	((struct bl_fd){ .fd = -1 })

TAILQ_HEAD(bl_requests, belay_request);
LIST_HEAD(bl_region_requests, belay_request);

/* Where a revoke request is. */
enum bl_where {
	BL_PARKED,	/* in a slot: its region may be on its way, see table.c */
	BL_QUEUED,	/* in belay.queued, for the program to get */
	BL_HELD,	/* the program has it, and will call belay_ack() */
	BL_DONE,	/* the program is done with it, or never needed to see it */
};

/* What the daemon knows of the answer. */
enum bl_answer {
	BL_UNANSWERED,
	BL_DUE,		/* in belay.due */
	BL_SENT,	/* in belay.sent: on this connection, no answer yet */
	BL_CONFIRMED,	/* the daemon has it */
};

/*
 * A revoke request. The object carries the acknowledgement too, so that
 * acknowledging allocates nothing and cannot fail. It is freed when it is both
 * done and confirmed. Everything below @belay is protected by belay.lock.
 */
struct belay_request {
	struct belay *belay;
	struct bl_region *region;	/* NULL: unregistered meanwhile */
	enum bl_where where;
	enum bl_answer answer;
	uint64_t serial;		/* of the BL_ACK, while BL_SENT */
	struct bl_revoke message;	/* immutable once the program has it */
	struct belay_request *next_parked;	/* while BL_PARKED */
	TAILQ_ENTRY(belay_request) in_queue;	/* belay.queued while BL_QUEUED */
	TAILQ_ENTRY(belay_request) in_acks;	/* belay.due or belay.sent */
	LIST_ENTRY(belay_request) in_region;	/* region.requests, or belay.orphans */
};

enum bl_life {
	BL_COMING,	/* the system call that makes it has not returned */
	BL_LIVE,
	BL_OVER,	/* trimmed: nothing but the program's handle is left */
};

/* What was acknowledged of a region: the last recall, and the last loss. */
struct bl_acked {
	uint64_t request;	/* 0: nothing */
	uint64_t lost_addr;
	uint64_t lost_len;
};

struct bl_region {
	struct belay_region pub;	/* first: the two are cast into each other */
	uint32_t slot;
	/* Protected by belay.lock: */
	enum bl_life life;
	bool going;			/* in a belay_unregister_many() that runs */
	struct bl_acked acked_recall, acked_loss;
	struct bl_region_requests requests;
	LIST_ENTRY(bl_region) in_handle;
	struct bl_region *next_in_bucket;	/* while BL_LIVE */
};

static inline struct bl_region *bl_region(struct belay_region *r)
{
	return (struct bl_region *)r;
}

/* The regions that have, or will have, one cookie; see table.c. */
struct bl_slot {
	uint32_t generation;	/* counts the uses of this slot, from 1 */
	uint32_t members;	/* 0: free */
	uint32_t coming;	/* of these, BL_COMING */
	uint32_t next_free;
	struct belay_request *parked;
};
#define BL_NO_SLOT	UINT32_MAX

/* The conversation with the daemon, see connection.c. */
enum bl_state {
	BL_DOWN,	/* no socket; tries again at .due */
	BL_GREETING,	/* BL_HELLO sent; gives up at .due */
	BL_ASKING,	/* BL_OPEN or BL_RESUME sent; gives up at .due */
	BL_UP,
};
struct bl_connection {
	enum bl_state state;
	struct bl_fd fd;	/* none while BL_DOWN */
	bool want_write;	/* epoll waits for room in the socket */
	bool woken;		/* the timer is to fire at once: there is something to dispatch */
	uint64_t due;		/* CLOCK_MONOTONIC, ns */
	uint64_t up_since;	/* the same */
	uint64_t backoff;	/* ns to the try after the next */
	uint64_t serial;	/* of the last request sent */
};

struct belay {
	const uint32_t *mine;		/* 0 in a forked child */
	char socket[108];
	char label[BL_NAME_MAX];
	uint64_t want_bytes;
	uint32_t flags;			/* BELAY_OPEN_* */
	belay_revoke_fn on_revoke;
	void *arg;

	struct bl_fd poll_fd;		/* epoll: the socket and timer_fd */
	struct bl_fd timer_fd;		/* next thing due, or a wake-up */
	struct timespec timer_mark;	/* its interval */
	bool dead;			/* atomic; a descriptor is not ours any more; for ever */

	/* Set when the first BL_GRANT arrives, under the lock, then immutable. */
	struct bl_fd session_fd;
	uint64_t session;
	uint64_t grant;
	const uint64_t *words;
	size_t words_len;
	uint32_t level_count;
	struct bl_level levels[BL_LEVELS_MAX];

	/* The helper thread, if any. */
	pthread_t thread;
	bool threaded;

	pthread_mutex_t lock;		/* protects all that follows */
	bool stop;			/* the helper thread is to end */
	bool opened;			/* belay_open() has succeeded */
	int open_error;			/* why it cannot; 0: not known yet */
	int open_timeout;		/* what it says when it gives up */
	struct belay_refusal *open_why;
	struct bl_connection conn;
	struct bl_requests queued;
	struct bl_region_requests orphans;	/* requests without a region */
	struct bl_requests due;
	struct bl_requests sent;	/* in the order sent */
	struct bl_slot *slots;
	uint32_t slot_count;
	uint32_t free_slot;		/* BL_NO_SLOT: none */
	uint32_t free_slots;		/* how many */
	LIST_HEAD(, bl_region) regions;	/* all that the program or a call has */
	uint32_t region_count;
	struct bl_region **buckets;	/* the live ones, by id */
	uint32_t bucket_count;
};

/* session.c */
static inline bool bl_is_mine(const struct belay *b)
{
	return __atomic_load_n(b->mine, __ATOMIC_RELAXED) != 0;
}
uint64_t bl_now(void);

/* descriptor.c */
int bl_fd_take(struct bl_fd *f, int fd);
void bl_timer_mark(struct belay *b);
/* 0, or -EBADF and the handle is dead. */
int bl_session_check(struct belay *b);
int bl_session_use(struct belay *b);
int bl_descriptors_check(struct belay *b);
int bl_set_dead(struct belay *b);
/* These act only on descriptors that are still the handle's. */
void bl_socket_shutdown(struct belay *b);
void bl_socket_end(struct belay *b);
void bl_descriptors_close(struct belay *b);

/* connection.c: all under the lock. */
int bl_connection_start(struct belay *b);
int bl_connection_service(struct belay *b, uint32_t *requests);
void bl_connection_flush(struct belay *b);
void bl_connection_arm(struct belay *b);
void bl_connection_wake(struct belay *b);

/* revoke.c */
int bl_dispatch(struct belay *b);
/* Under the lock: */
int bl_requests_receive(struct belay *b, const struct bl_revoke *m);
void bl_requests_confirm(struct belay *b, uint64_t serial);
void bl_requests_unsend(struct belay *b);
void bl_request_adopt(struct bl_region *region, struct belay_request *req);
void bl_request_orphan(struct belay_request *req);
void bl_requests_forget(struct bl_region *region);
void bl_requests_fini(struct belay *b);

/* table.c; under the lock: */
/* Room for so many more regions, and of these so many with a slot of their own. */
int bl_table_reserve(struct belay *b, size_t regions, size_t slots);
/* A region is on its way: a new one, or a part of a whole. */
void bl_table_expect(struct belay *b, struct bl_region *region,
		     const struct bl_region *whole);
/* Its id is known, the program may use it; true: there are requests for it. */
bool bl_table_arrived(struct belay *b, struct bl_region *region);
/* It is over, its requests are answered; the object stays the program's. */
void bl_table_leave(struct belay *b, struct bl_region *region);
/* The same, and nobody knows the object any more. */
void bl_table_remove(struct belay *b, struct bl_region *region);
uint64_t bl_table_cookie(const struct belay *b, const struct bl_region *region);
/* NULL: no region has that cookie any more. */
struct bl_slot *bl_table_slot(struct belay *b, uint64_t cookie);
struct bl_region *bl_table_find(struct belay *b, uint64_t id, uint64_t cookie);

/* region.c */
struct bl_region *bl_region_new(struct belay *b, const struct belay_range *range);
/* What the kernel said of a new region; the word must lie in the mapping. */
int bl_region_accept(struct belay *b, struct belay_region *r, uint32_t word,
		     uint64_t expected, uint64_t id);
/* Under the lock: */
void bl_regions_unregister_all(struct belay *b);
void bl_regions_fini(struct belay *b);

/* thread.c */
int bl_thread_start(struct belay *b);
void bl_thread_stop(struct belay *b);

/*
 * The size that a struct of the program's begins with. More than a page is a
 * mistake, not a later release.
 */
static inline bool bl_size_is_valid(size_t size, size_t known)
{
	return size >= known && size <= 4096;
}

/* The array's elements are as large as the program says. */
static inline struct belay_range *bl_range(struct belay_range *ranges, size_t i)
{
	return (struct belay_range *)((char *)ranges + i * ranges->size);
}

/* refusal.c: each fills *why, if there is one, and returns error. */
int bl_refusal_check(const struct belay_refusal *why);
int bl_refuse_as(struct belay_refusal *why, const struct belay_refusal *said);
int bl_refuse(struct belay_refusal *why, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int bl_refuse_commit(struct belay_refusal *why, int error,
		     const struct belay_region *r);
int bl_refuse_handle(struct belay_refusal *why, int error);
int bl_refuse_descriptors(struct belay_refusal *why, int error);
int bl_refuse_range(struct belay_refusal *why, int error, const void *addr,
		    size_t len, uint32_t flags);
int bl_refuse_trim(struct belay_refusal *why, int error, const void *addr,
		   size_t len);
int bl_refuse_limit(const struct belay *b, struct belay_refusal *why,
		    const struct belay_register_entry *e);
int bl_refuse_by_daemon(struct belay_refusal *why, const struct bl_error *m);
void bl_account_name(const struct belay *b, uint64_t account, char *ret,
		     size_t room);

#endif
