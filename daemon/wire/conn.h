/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * conn.h - one connection: a client, or an administrator's command
 *
 * A connection dies in one place: bl_conn_drop() marks it and takes it out of
 * everything, and it is freed when the loop comes round, so that whoever still
 * has it in hand may look at ->dead. Functions do nothing to a dead one.
 */
#ifndef BL_CONN_H
#define BL_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event_struct.h>

#include "common/protocol.h"
#include "daemon/core/bucket.h"
#include "daemon/sys/process.h"

struct bl_server;

struct bl_out {
	STAILQ_ENTRY(bl_out) link;
	int fd;			/* goes with it; -1: none */
	uint32_t len;
	char bytes[];
};
STAILQ_HEAD(bl_outs, bl_out);

struct bl_conn {
	TAILQ_ENTRY(bl_conn) link;
	struct bl_server *server;
	struct event ev_read;
	struct event ev_write;
	int fd;
	uint64_t id;		/* never used again, for those who come back later */
	struct bl_peer peer;
	uid_t counted_uid;	/* whose connection it is in server.uids */
	char label[BL_NAME_MAX];
	uint32_t version;	/* 0: no BL_HELLO yet */

	struct bl_bucket bucket;	/* messages that it may send */
	uint32_t acks_due;	/* and that it was asked for */
	struct bl_outs out;
	uint32_t out_bytes;

	bool dead;
	bool busy;		/* a request is being worked on; nothing is read */
	uint64_t own[];		/* what the owner of the server keeps with it */
};
TAILQ_HEAD(bl_conns, bl_conn);

/* NULL: out of memory; takes fd, which is kept (keeper.h), in any case. */
struct bl_conn *bl_conn_new(struct bl_server *s, int fd, const struct bl_peer *peer);

/* Ends a socket that is kept and no connection (any more); takes fd. */
void bl_conn_end(struct bl_server *s, int fd, uid_t uid);
/* One connection less of that user's. */
void bl_conn_uncount(struct bl_server *s, uid_t uid);

/* The connection with that id, if it lives. */
struct bl_conn *bl_conn_find(struct bl_server *s, uint64_t id);

/* @why is for the log, NULL: nothing is to be said. */
__attribute__((format(printf, 2, 3)))
void bl_conn_drop(struct bl_conn *c, const char *why, ...);

/* Sends or queues; takes fd, a session (-1: none). */
void bl_conn_send(struct bl_conn *c, const struct bl_msg *msg, int fd);

/* Is there room to send something that nobody waits for? */
bool bl_conn_has_room(const struct bl_conn *c);

/* A slow request is over: read on. */
void bl_conn_not_busy(struct bl_conn *c);

/* Answers. @error is a positive errno. */
__attribute__((format(printf, 4, 5)))
void bl_conn_error(struct bl_conn *c, uint64_t serial, int error, const char *fmt, ...);
/* A limit refuses. */
void bl_conn_refuse(struct bl_conn *c, uint64_t serial, const struct bl_refusal *refusal,
		    const char *text);
__attribute__((format(printf, 3, 4)))
void bl_conn_ok(struct bl_conn *c, uint64_t serial, const char *fmt, ...);

/* It broke a rule: told once, and dropped. */
__attribute__((format(printf, 3, 4)))
void bl_conn_protocol_error(struct bl_conn *c, uint64_t serial, const char *fmt, ...);

#endif
