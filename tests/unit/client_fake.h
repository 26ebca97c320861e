/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * client_fake.h - a daemon and a kernel module for tests of the library
 *
 * The daemon is a thread behind a socket in a directory of its own, named in
 * $BELAY_SOCKET. It gives a session to whoever asks, adopts whoever resumes,
 * and confirms acknowledgements, unless on_message says otherwise. A session's
 * descriptor is a memfd that holds the validity words; the module is the set of
 * bl_kernel_ functions in client_fake.c, linked in place of libclient/kernel.c.
 */
#ifndef CLIENT_FAKE_H
#define CLIENT_FAKE_H

#include <belay.h>
#include <linux/belay.h>
#include <pthread.h>
#include <stdbool.h>

#include "common/protocol.h"

#define FAKE_CONNECTIONS	16
#define FAKE_SESSION		77

struct fake_daemon {
	char dir[64];
	char path[96];
	int listener;
	int stop_fd;
	pthread_t thread;
	pthread_mutex_t lock;		/* protects what follows */
	int connections[FAKE_CONNECTIONS];
	int newest;			/* the last accepted */
	unsigned int opens, resumes, acks, closes;
	uint64_t acked[64];		/* request ids, the last ones */
	char label[BL_NAME_MAX];
	uint64_t want_bytes;
	/* true: has dealt with it. Called with the lock. */
	bool (*on_message)(struct fake_daemon *d, int fd, const struct bl_msg *m);
};

struct fake_daemon *fake_start(void);
void fake_crash(struct fake_daemon *d);		/* connections and listener are gone */
void fake_restart(struct fake_daemon *d);
void fake_stop(struct fake_daemon *d);

/* Sends a message; msg.size is filled in if it is 0. */
void fake_send(int fd, const void *m, size_t len, int attached);
void fake_answer(int fd, const struct bl_msg *to, int error);
void fake_grant(int fd, const struct bl_msg *to, int session_fd);
/* A new session's descriptor. */
int fake_session_fd(void);
/* A revoke request for the region registered last, to the newest connection. */
void fake_revoke(struct fake_daemon *d, uint64_t request, const struct belay_region *r);
/* The same for a loss, also of a part of what was registered last. */
void fake_lose(struct fake_daemon *d, uint64_t request, uint64_t region,
	       const void *addr, size_t len);
void fake_revoke_cookie(struct fake_daemon *d, uint64_t request, uint64_t region,
			uint64_t cookie);
unsigned int fake_count(const unsigned int *counter);

/* The module. */
struct fake_kernel {
	int fail_call;			/* next bl_kernel_register() fails as a whole */
	int fail_at;			/* that entry from now, counted from 1, ... */
	int fail_status;		/* ... is refused with this */
	bool fail_grant;		/* ... by the grant's own limit of regions */
	uint32_t stop_after;		/* entries handled in one call; 0: all */
	uint32_t abi_oldest, abi_version;
	int commit_status;
	uint32_t check_state;		/* answer of BELAY_CHECK */
	uint64_t tracked;		/* bytes, once for each registration */
	int check_status;
	unsigned int checks, registers, unregisters, largest;
	unsigned int live;		/* regions registered now */
	uint64_t last_cookie, last_region;
	uint32_t last_kind, last_flags;
	uint64_t lost_addr, lost_len;	/* answer of BELAY_CHECK */
	int trim_status;
	unsigned int trims;
	/* Called before BELAY_REGISTER returns. */
	void (*before_return)(const struct belay_register_entry *e);
	/* Called before BELAY_TRIM returns. */
	void (*trimmed)(const struct belay_trim_entry *e);
};
extern struct fake_kernel fake_kernel;

/* Sets bits in a region's word. */
void fake_word(const struct belay_region *r, uint64_t word);

/* How many descriptors this process has. */
int fake_fd_count(void);

#endif
