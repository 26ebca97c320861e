/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * internal.h - what the files of libbelay-admin share
 *
 * A handle is one connection to belayd, on which one request at a time is under way:
 * send, wait, look at the answer. Only a recall that was started (recall.c) leaves its
 * answer for later, and then the handle refuses other requests. There are no locks,
 * because a handle is for one thread at a time, and no variables besides handles and
 * lists.
 *
 * Functions return 0 or a negative errno, and have put the sentence into the handle
 * then. Nothing but what belay-admin.h declares leaves the library: all files are
 * compiled with hidden visibility, and the version script names the rest.
 */
#ifndef BL_ADMIN_INTERNAL_H
#define BL_ADMIN_INTERNAL_H

#include <errno.h>
#include <stddef.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#pragma GCC visibility push(default)
#include <belay-admin.h>
#pragma GCC visibility pop

#include "common/message.h"
#include "common/packet.h"

/* The library's own sentences hold the path of a socket. */
#define BL_ADMIN_ERROR_MAX	(BL_TEXT_MAX + sizeof(((struct sockaddr_un *)0)->sun_path))

struct belay_admin {
	int fd;			/* -1: never connected, or the connection is over */
	pid_t owner;		/* the process that opened it */
	int timeout_msec;	/* for one answer; -1: none */
	belay_admin_wait_fn on_wait;	/* NULL: nobody wants to know */
	void *arg;
	uint64_t serial;	/* of the last request */
	uint64_t recall;	/* serial of a recall that was started; 0: none */
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char label[BL_NAME_MAX];
	char error[BL_ADMIN_ERROR_MAX];
	union bl_packet answer;	/* what was received last, checked; zero behind its end */
};

/* A wait for belayd, which may take timeout_msec; the deadline is a recall's, 0: unknown. */
struct bl_admin_wait {
	uint64_t started;	/* CLOCK_MONOTONIC, ns */
	int timeout_msec;
	uint64_t deadline;
};

/* handle.c */
int bl_admin_fail(struct belay_admin *a, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int bl_admin_begin(struct belay_admin *a);
bool bl_admin_is_inherited(const struct belay_admin *a);

/* connection.c */
void bl_admin_disconnect(struct belay_admin *a);
int bl_admin_connect(struct belay_admin *a);
int bl_admin_send(struct belay_admin *a, void *msg, size_t size, enum bl_msg_type type);
int bl_admin_receive(struct belay_admin *a, uint64_t serial, enum bl_msg_type want);
int bl_admin_await(struct belay_admin *a, enum bl_msg_type want, int timeout_msec,
		   uint64_t deadline);
int bl_admin_request(struct belay_admin *a, void *msg, size_t size, enum bl_msg_type type,
		     enum bl_msg_type want);
int bl_admin_malformed(struct belay_admin *a);

/* structs.c */
#define UP_TO(type, last)	(offsetof(struct type, last) + sizeof(((struct type *)0)->last))
/* The first release's sizes: never change one. */
#define OPTIONS_SIZE_VER0	UP_TO(belay_admin_options, arg)
#define STATUS_SIZE_VER0	UP_TO(belay_admin_status, refusals)
#define SELECTION_SIZE_VER0	UP_TO(belay_admin_selection, account)
#define ACCOUNT_SIZE_VER0	UP_TO(belay_admin_account, name)
#define GRANT_SIZE_VER0		UP_TO(belay_admin_grant, label)
#define REGION_SIZE_VER0	UP_TO(belay_admin_region, command)
#define LIMIT_SIZE_VER0		UP_TO(belay_admin_limit, limit_regions)
#define ORDER_SIZE_VER0		UP_TO(belay_admin_order, flags)
#define RECALLED_SIZE_VER0	UP_TO(belay_admin_recalled, text)

int bl_admin_take(struct belay_admin *a, const char *name, const void *given, void *ret,
		  size_t known, size_t least);
int bl_admin_check_size(struct belay_admin *a, const void *given, size_t least);
void bl_admin_give(void *ret, const void *from, size_t known);
int bl_admin_selection(struct belay_admin *a, const struct belay_admin_selection *given,
		       struct bl_selection *ret);

#endif
