/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What one connection can cost the daemon is bounded everywhere: a packet by
 * BL_MSG_MAX, packets in one turn of the loop by TURN_PACKETS, packets in a
 * second by a token bucket, answers that it does not read by OUT_MAX (then
 * nothing more is read from it, either) and the time that it does not read
 * them by STALL_SEC. Whoever crosses a line is dropped alone.
 *
 * No descriptor of a client's is ever taken: each packet is looked at before it is
 * received, and one with descriptors stays where it is. A connection may have such
 * packets in it, so the last reference to it is not the daemon's: see sys/keeper.c.
 *
 * Messages that the daemon sends of its own are not queued beyond OUT_MAX: see act/notice.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/message.h"
#include "common/packet.h"
#include "daemon/sys/log.h"
#include "daemon/sys/loop.h"
#include "daemon/wire/conn.h"
#include "daemon/wire/server.h"

#define HELLO_SEC	5	/* for the first message to come */
#define STALL_SEC	10	/* for a full socket to be read from */
#define BURST		2000	/* messages at once: a program that starts with many threads */
#define PER_SEC		1000	/* messages a second, for ever */
#define TURN_PACKETS	16
#define OUT_MAX		65536	/* four of the longest messages */
#define OUT_LOW		16384	/* so little left: more can be sent */

static void on_readable(int fd, short what, void *arg);
static void on_writable(int fd, short what, void *arg);

/* ------------------------------------------------------------------------ */
/* Life and death                                                            */

/* The one place that decides what is waited for. */
static void rearm(struct bl_conn *c)
{
	const struct timeval hello = { .tv_sec = HELLO_SEC };
	const struct timeval stall = { .tv_sec = STALL_SEC };
	bool deaf = false;

	if (c->dead)
		return;
	if (c->busy || c->out_bytes >= OUT_MAX)
		event_del(&c->ev_read);
	else if (event_add(&c->ev_read, c->version ? NULL : &hello))
		deaf = true;
	/* Adding without a time keeps the one that was set before. */
	if (c->version)
		event_remove_timer(&c->ev_read);
	if (STAILQ_EMPTY(&c->out))
		event_del(&c->ev_write);
	else if (!event_pending(&c->ev_write, EV_WRITE, NULL) &&
		 event_add(&c->ev_write, &stall))
		deaf = true;
	if (deaf)
		bl_conn_drop(c, "it cannot be listened to: %s", strerror(ENOMEM));
}

static int count(struct bl_server *s, uid_t uid)
{
	uintptr_t n = (uintptr_t)bl_map_get(&s->uids, uid, 0);

	return bl_map_put(&s->uids, uid, 0, (void *)(n + 1));
}

void bl_conn_uncount(struct bl_server *s, uid_t uid)
{
	uintptr_t n = (uintptr_t)bl_map_get(&s->uids, uid, 0);

	if (n > 1)
		bl_map_put(&s->uids, uid, 0, (void *)(n - 1));
	else
		bl_map_remove(&s->uids, uid, 0);
}

void bl_conn_end(struct bl_server *s, int fd, uid_t uid)
{
	if (!bl_keeper_end(&s->keeper, fd, uid))
		return;
	s->n_lingering++;
	if (count(s, uid))
		bl_debug("a connection that lingers is not counted: out of memory");
}

struct bl_conn *bl_conn_new(struct bl_server *s, int fd, const struct bl_peer *peer)
{
	struct bl_conn *c = calloc(1, sizeof(*c) + s->ops->own_size);

	if (!c)
		goto err;
	c->server = s;
	c->fd = fd;
	c->id = ++s->last_conn;
	c->peer = *peer;
	c->counted_uid = peer->uid;
	STAILQ_INIT(&c->out);
	bl_bucket_init(&c->bucket, BURST, PER_SEC, bl_loop_now(s->loop));
	if (bl_map_put(&s->conn_ids, c->id, 0, c))
		goto err;
	if (count(s, peer->uid))
		goto err_id;
	event_assign(&c->ev_read, s->loop->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->ev_write, s->loop->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	s->n_conns++;
	rearm(c);
	return c;

err_id:
	bl_map_remove(&s->conn_ids, c->id, 0);
err:
	free(c);
	bl_conn_end(s, fd, peer->uid);
	return NULL;
}

struct bl_conn *bl_conn_find(struct bl_server *s, uint64_t id)
{
	return bl_map_get(&s->conn_ids, id, 0);
}

/*
 * A session that has been sent, or could not be: the module's own file. The module
 * lets go of what was registered through it if that was the last reference, which is
 * when the client has closed its own already; that waits for nobody.
 */
static void close_session(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void free_out(struct bl_conn *c)
{
	struct bl_out *o = STAILQ_FIRST(&c->out);

	STAILQ_REMOVE_HEAD(&c->out, link);
	c->out_bytes -= o->len;
	close_session(o->fd);
	free(o);
}

void bl_conn_drop(struct bl_conn *c, const char *why, ...)
{
	struct bl_server *s = c->server;
	char text[256];
	va_list ap;

	if (c->dead)
		return;
	if (why) {
		va_start(ap, why);
		vsnprintf(text, sizeof(text), why, ap);
		va_end(ap);
		bl_log_client(LOG_NOTICE, "client %ld of uid %u dropped: %s",
			      (long)c->peer.pid, c->peer.uid, text);
	}
	c->dead = true;
	s->ops->dropped(c);
	event_del(&c->ev_read);
	event_del(&c->ev_write);
	while (!STAILQ_EMPTY(&c->out))
		free_out(c);
	bl_conn_end(s, c->fd, c->counted_uid);
	bl_conn_uncount(s, c->counted_uid);
	bl_map_remove(&s->conn_ids, c->id, 0);
	TAILQ_REMOVE(&s->conns, c, link);
	s->n_conns--;
	TAILQ_INSERT_TAIL(&s->dead, c, link);
	event_active(&s->ev_dead, EV_TIMEOUT, 0);
}

/* ------------------------------------------------------------------------ */
/* Sending                                                                   */

/* 0, -EAGAIN, or why it cannot be sent. */
static int send_one(struct bl_conn *c, const void *bytes, size_t len, int fd)
{
	return bl_packet_send(c->fd, bytes, len, fd, MSG_DONTWAIT);
}

static void enqueue(struct bl_conn *c, const struct bl_msg *msg, int fd)
{
	struct bl_out *o = malloc(sizeof(*o) + msg->size);

	if (!o) {
		close_session(fd);
		bl_conn_drop(c, "out of memory");
		return;
	}
	o->fd = fd;
	o->len = msg->size;
	memcpy(o->bytes, msg, msg->size);
	STAILQ_INSERT_TAIL(&c->out, o, link);
	c->out_bytes += o->len;
	rearm(c);
}

void bl_conn_send(struct bl_conn *c, const struct bl_msg *msg, int fd)
{
	int err = -EAGAIN;

	if (!c->dead && STAILQ_EMPTY(&c->out))
		err = send_one(c, msg, msg->size, fd);
	if (!c->dead && err == -EAGAIN) {
		enqueue(c, msg, fd);
		return;
	}
	close_session(fd);
	if (err && !c->dead)
		bl_conn_drop(c, err == -EPIPE || err == -ECONNRESET ? NULL :
			     "cannot send: %s", strerror(-err));
}

bool bl_conn_has_room(const struct bl_conn *c)
{
	return !c->dead && c->out_bytes < OUT_MAX;
}

/*
 * The client's time may have run out only because this turn of the loop was long. So it is
 * tried first to send; libevent says only that the time is over.
 */
static void on_writable(int fd, short what, void *arg)
{
	struct bl_conn *c = arg;
	struct bl_out *o;
	bool moves = false;
	int err = 0;

	while (!err && (o = STAILQ_FIRST(&c->out))) {
		err = send_one(c, o->bytes, o->len, o->fd);
		if (!err)
			free_out(c);
		moves |= !err;
	}
	if (err && err != -EAGAIN) {
		bl_conn_drop(c, NULL);
		return;
	}
	if (err && !moves && what & EV_TIMEOUT) {
		bl_conn_drop(c, "it has not read for %d s", STALL_SEC);
		return;
	}
	rearm(c);
	if (!c->dead && c->out_bytes <= OUT_LOW)
		c->server->ops->room(c);
}

static void send_error(struct bl_conn *c, uint64_t serial, struct bl_error *e)
{
	bl_msg_init(&e->msg, sizeof(*e), BL_ERROR, serial);
	bl_conn_send(c, &e->msg, -1);
}

void bl_conn_error(struct bl_conn *c, uint64_t serial, int error, const char *fmt, ...)
{
	struct bl_error e = { .error = error };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	send_error(c, serial, &e);
}

void bl_conn_refuse(struct bl_conn *c, uint64_t serial, const struct bl_refusal *refusal,
		    const char *text)
{
	struct bl_error e = { .error = EDQUOT, .refusal = *refusal };

	snprintf(e.text, sizeof(e.text), "%s", text);
	send_error(c, serial, &e);
}

void bl_conn_ok(struct bl_conn *c, uint64_t serial, const char *fmt, ...)
{
	struct bl_ok ok = { 0 };
	va_list ap;

	bl_msg_init(&ok.msg, sizeof(ok), BL_OK, serial);
	va_start(ap, fmt);
	vsnprintf(ok.text, sizeof(ok.text), fmt, ap);
	va_end(ap);
	bl_conn_send(c, &ok.msg, -1);
}

void bl_conn_protocol_error(struct bl_conn *c, uint64_t serial, const char *fmt, ...)
{
	char text[BL_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bl_conn_error(c, serial, EPROTO, "%s", text);
	bl_conn_drop(c, "%s", text);
}

/* ------------------------------------------------------------------------ */
/* Receiving                                                                 */

static bool too_fast(struct bl_conn *c, uint16_t type)
{
	if (type == BL_ACK && c->acks_due) {
		c->acks_due--;
		return false;
	}
	return !bl_bucket_take(&c->bucket, BURST, PER_SEC, bl_loop_now(c->server->loop));
}

/* A packet is there. */
static void dispatch(struct bl_conn *c, size_t len)
{
	const struct bl_msg *msg = &c->server->packet.msg;
	char why[BL_TEXT_MAX];

	if (bl_msg_check(msg, len, BL_FROM_CLIENT, why)) {
		bl_conn_protocol_error(c, 0, "%s", why);
		return;
	}
	if (too_fast(c, msg->type)) {
		bl_conn_protocol_error(c, msg->serial, "more than %d messages a second",
				       PER_SEC);
		return;
	}
	if (!c->version != (msg->type == BL_HELLO)) {
		bl_conn_protocol_error(c, msg->serial, c->version ?
				       "a second BL_HELLO" :
				       "%s before BL_HELLO", bl_msg_name(msg->type));
		return;
	}
	c->server->ops->message(c, msg);
}

/*
 * The next packet, if it is one without descriptors. It is looked at first, without
 * room for descriptors, which installs none; then the same packet is taken, as
 * nobody else takes packets from here. The length, or -errno; -EBADMSG: descriptors.
 */
static ssize_t take_packet(struct bl_conn *c, bool *ret_long)
{
	struct iovec iov = {
		.iov_base = c->server->packet.bytes,
		.iov_len = sizeof(c->server->packet.bytes),
	};
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	char byte;

	n = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_PEEK);
	if (n < 0)
		return -errno;
	if (mh.msg_flags & MSG_CTRUNC)
		return -EBADMSG;
	*ret_long = mh.msg_flags & MSG_TRUNC;
	if (n && recv(c->fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0)
		return -errno;
	/* A shorter message, of an older client, is completed with zeroes. */
	memset(c->server->packet.bytes + n, 0,
	       sizeof(c->server->packet.bytes) - (size_t)n);
	return n;
}

/* Reads one packet; false: there is none, or the connection is gone. */
static bool receive(struct bl_conn *c)
{
	bool too_long = false;
	ssize_t n = take_packet(c, &too_long);

	if (n == -EAGAIN || n == -EINTR)
		return false;
	if (n == -EBADMSG)
		bl_conn_protocol_error(c, 0, "a message with file descriptors, which belayd does not take");
	else if (n <= 0)
		bl_conn_drop(c, NULL);
	else if (too_long)
		bl_conn_protocol_error(c, 0, "a packet of more than %d bytes",
				       BL_MSG_MAX);
	else
		dispatch(c, (size_t)n);
	return !c->dead;
}

static void on_readable(int fd, short what, void *arg)
{
	struct bl_conn *c = arg;
	int i;

	for (i = 0; i < TURN_PACKETS && receive(c); i++)
		if (c->busy || c->out_bytes >= OUT_MAX)
			break;
	if (what & EV_TIMEOUT && !c->version)
		bl_conn_drop(c, "nothing came for %d s", HELLO_SEC);
	rearm(c);
}

void bl_conn_not_busy(struct bl_conn *c)
{
	c->busy = false;
	rearm(c);
}
