// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The conversation with the daemon.
 *
 *	DOWN -> GREETING -> ASKING -> UP
 *	  ^________|___________|______|	 anything wrong: drop, try again later
 *
 * One non-blocking socket, driven by bl_connection_service(). belay_open()
 * runs it until the first BL_GRANT; from then on belay_dispatch() or the helper
 * thread does. Whatever goes wrong after belay_open() ends in drop(): nothing
 * is lost by that, because memory is registered without the daemon, because the
 * daemon sends every open request again, and because acknowledgements are kept
 * until it has confirmed them.
 *
 * Timers, all in one timerfd (CLOCK_MONOTONIC):
 *   DOWN              when to try again: 50 ms, doubled up to 2 s
 *   GREETING, ASKING  when to stop waiting for an answer: 10 s
 *   woken             at once: something else is to be dispatched
 */
#include "internal.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/message.h"
#include "common/packet.h"
#include "kernel.h"

#define MSEC			UINT64_C(1000000)
#define BACKOFF_MIN		(50 * MSEC)
#define BACKOFF_MAX		(2000 * MSEC)	/* also: a connection that lasted this long was a good one */
#define ANSWER_TIME		(10000 * MSEC)
#define MESSAGES_AT_ONCE	256		/* between two looks at anything else */

/* A received packet, and the descriptor that came with it. */
struct packet {
	size_t len;
	int fd;		/* -1: none; who keeps it sets -1 */
	union bl_packet m;
};

void bl_connection_arm(struct belay *b)
{
	struct bl_connection *c = &b->conn;
	struct itimerspec t = { .it_interval = b->timer_mark };

	if (c->woken) {
		t.it_value.tv_nsec = 1;
	} else if (c->state != BL_UP) {
		t.it_value.tv_sec = (time_t)(c->due / (1000 * MSEC));
		t.it_value.tv_nsec = (long)(c->due % (1000 * MSEC));
	}
	if (timerfd_settime(b->timer_fd.fd, TFD_TIMER_ABSTIME, &t, NULL) < 0)
		bl_set_dead(b);
}

/* Makes the poll descriptor readable although nothing has arrived. */
void bl_connection_wake(struct belay *b)
{
	b->conn.woken = true;
	if (!bl_descriptors_check(b))
		bl_connection_arm(b);
}

/* Not connected: try again after a while, a longer one each time. */
static void retry_later(struct belay *b)
{
	struct bl_connection *c = &b->conn;

	c->state = BL_DOWN;
	c->due = bl_now() + c->backoff;
	c->backoff = c->backoff < BACKOFF_MAX / 2 ? c->backoff * 2 : BACKOFF_MAX;
	bl_connection_arm(b);
}

static void stop(struct belay *b)
{
	struct bl_connection *c = &b->conn;

	if (c->fd.fd < 0)
		return;
	bl_socket_end(b);
	c->want_write = false;
}

static void drop(struct belay *b)
{
	struct bl_connection *c = &b->conn;

	if (c->state == BL_UP && bl_now() - c->up_since >= BACKOFF_MAX)
		c->backoff = BACKOFF_MIN;
	stop(b);
	bl_requests_unsend(b);
	retry_later(b);
}

/* 0, or a negative errno; -EAGAIN when the socket is full. */
static int send_message(struct belay *b, struct bl_msg *m, size_t len)
{
	bl_msg_init(m, len, m->type, ++b->conn.serial);
	if (send(b->conn.fd.fd, m, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

static int send_hello(struct belay *b)
{
	struct bl_hello m = {
		.msg.type = BL_HELLO,
		.oldest = BL_PROTOCOL_OLDEST,
		.newest = BL_PROTOCOL_NEWEST,
	};

	memcpy(m.label, b->label, sizeof(m.label));
	return send_message(b, &m.msg, sizeof(m));
}

static int send_question(struct belay *b)
{
	struct bl_open open = {
		.msg.type = BL_OPEN,
		.want_bytes = b->want_bytes,
	};
	struct bl_resume resume = {
		.msg.type = BL_RESUME,
		.session = b->session,
	};

	if (b->opened)
		return send_message(b, &resume.msg, sizeof(resume));
	return send_message(b, &open.msg, sizeof(open));
}

/* Tells epoll whether to wait for room in the socket. */
static void set_want_write(struct belay *b, bool want)
{
	struct epoll_event ev = { .events = EPOLLIN | (want ? EPOLLOUT : 0) };

	if (want == b->conn.want_write)
		return;
	if (epoll_ctl(b->poll_fd.fd, EPOLL_CTL_MOD, b->conn.fd.fd, &ev) < 0)
		bl_set_dead(b);
	b->conn.want_write = want;
}

/* Sends the acknowledgements that are due, as far as the socket takes them. */
static void flush(struct belay *b)
{
	struct belay_request *req;
	int err = 0;

	if (b->conn.state != BL_UP)
		return;
	while ((req = TAILQ_FIRST(&b->due))) {
		struct bl_ack m = {
			.msg.type = BL_ACK,
			.request = req->message.request,
		};

		err = send_message(b, &m.msg, sizeof(m));
		if (err)
			break;
		req->serial = m.msg.serial;
		req->answer = BL_SENT;
		TAILQ_REMOVE(&b->due, req, in_acks);
		TAILQ_INSERT_TAIL(&b->sent, req, in_acks);
	}
	if (err && err != -EAGAIN)
		drop(b);
	else
		set_want_write(b, err == -EAGAIN);
}

void bl_connection_flush(struct belay *b)
{
	if (!TAILQ_EMPTY(&b->due) && !bl_descriptors_check(b))
		flush(b);
}

static int connect_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* belay_open() has checked that it fits. */
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* -EAGAIN (the daemon is busy) and other errors: a later try is arranged. */
int bl_connection_start(struct belay *b)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct bl_connection *c = &b->conn;
	int err, fd = connect_socket(b->socket);

	err = fd < 0 ? fd : bl_fd_take(&c->fd, fd);
	if (!err && epoll_ctl(b->poll_fd.fd, EPOLL_CTL_ADD, c->fd.fd, &ev) < 0) {
		err = -errno;
		close(c->fd.fd);
		c->fd = BL_NO_FD;
	}
	if (err) {
		retry_later(b);
		return err;
	}
	c->state = BL_GREETING;
	c->due = bl_now() + ANSWER_TIME;
	bl_connection_arm(b);
	if (send_hello(b) < 0)
		drop(b);
	return 0;
}

/* 0; -EAGAIN: nothing there; other errors: the connection is of no more use. */
static int receive(int fd, struct packet *p)
{
	struct bl_received got;
	int err = bl_packet_receive(fd, p->m.bytes, sizeof(p->m.bytes), MSG_DONTWAIT, &got);

	if (err)
		return err;
	p->len = got.len;
	p->fd = got.fd;
	/* A shorter message, of an older daemon, is completed with zeroes. */
	memset(p->m.bytes + p->len, 0, sizeof(p->m.bytes) - p->len);
	if (!p->len)
		return -ECONNRESET;
	/* A descriptor for which there was no room. */
	if (got.flags & MSG_CTRUNC && p->fd < 0)
		return -EMFILE;
	return got.flags & (MSG_TRUNC | MSG_CTRUNC) ? -EPROTO : 0;
}

static int on_hello(struct belay *b, const struct packet *p)
{
	const struct bl_hello *m = &p->m.hello;

	if (b->conn.state != BL_GREETING || m->oldest != m->newest ||
	    m->newest < BL_PROTOCOL_OLDEST || m->newest > BL_PROTOCOL_NEWEST)
		return -EPROTO;
	b->conn.state = BL_ASKING;
	return send_question(b) ? -ECONNABORTED : 0;
}

/* The session of a new handle: the descriptor must be what it should be. */
static int adopt_session(struct belay *b, struct packet *p)
{
	struct belay_info info;
	int err;

	err = bl_kernel_info(p->fd, &info);
	if (err)
		return bl_refuse(b->open_why, err,
				 "belayd sent something that is no session of the kernel module");
	if (!BELAY_ABI_IN_COMMON(info.abi_oldest, info.abi_version))
		return bl_refuse(b->open_why, -EPROTONOSUPPORT,
				 "the kernel module speaks versions %u to %u of its interface, this library %u to %u: install both from one release",
				 info.abi_oldest, info.abi_version, BELAY_ABI_OLDEST,
				 BELAY_ABI_VERSION);
	if (info.session != p->m.grant.session)
		return bl_refuse(b->open_why, -EPROTO,
				 "belayd sent another session of the kernel module than it said");
	err = bl_kernel_map_words(p->fd, &b->words, &b->words_len);
	if (err)
		return bl_refuse(b->open_why, err,
				 "the validity words cannot be mapped: %s", strerror(-err));
	err = bl_fd_take(&b->session_fd, p->fd);
	p->fd = -1;
	if (err)
		return bl_refuse(b->open_why, err, "the session's descriptor: %s", strerror(-err));
	b->session = p->m.grant.session;
	b->grant = p->m.grant.grant;
	b->level_count = p->m.grant.count;
	memcpy(b->levels, p->m.grant.levels, sizeof(b->levels));
	return 0;
}

static int on_grant(struct belay *b, struct packet *p)
{
	const struct bl_grant *m = &p->m.grant;

	if (b->conn.state != BL_ASKING || m->count < 1)
		return -EPROTO;
	if (b->opened && (p->fd >= 0 || m->session != b->session))
		return -EPROTO;
	if (!b->opened) {
		if (p->fd < 0)
			return -EPROTO;
		b->open_error = adopt_session(b, p);
		if (b->open_error)
			return -ECONNABORTED;
		b->opened = true;
	}
	b->conn.state = BL_UP;
	b->conn.up_since = bl_now();
	return 0;
}

static int on_error(struct belay *b, const struct packet *p)
{
	const struct bl_error *m = &p->m.error;

	if (m->error <= 0 || m->error > 4095)
		return -EPROTO;
	if (b->conn.state == BL_UP) {
		/* An acknowledgement of something that is gone already. */
		bl_requests_confirm(b, m->msg.serial);
		return m->msg.serial ? 0 : -EPROTO;
	}
	if (!b->opened) {
		b->open_error = bl_refuse_by_daemon(b->open_why, m);
		if (m->error == EAGAIN) { /* not a refusal: ask again */
			b->open_error = 0;
			b->open_timeout = -EAGAIN;
		}
	}
	return -ECONNABORTED;
}

static int on_ok(struct belay *b, const struct packet *p)
{
	if (b->conn.state != BL_UP)
		return -EPROTO;
	bl_requests_confirm(b, p->m.msg.serial);
	return 0;
}

static int on_revoke(struct belay *b, const struct packet *p)
{
	const struct bl_revoke *m = &p->m.revoke;

	if (b->conn.state != BL_UP || m->msg.serial || !m->request ||
	    m->session != b->session)
		return -EPROTO;
	return bl_requests_receive(b, m);
}

/* A negative errno drops the connection. *requests: new ones. */
static int handle(struct belay *b, struct packet *p, uint32_t *requests)
{
	int n;

	if (bl_msg_check(p->m.bytes, p->len, BL_FROM_DAEMON, NULL))
		return -EPROTO;
	switch (p->m.msg.type) {
	case BL_HELLO:
		return on_hello(b, p);
	case BL_GRANT:
		return on_grant(b, p);
	case BL_ERROR:
		return on_error(b, p);
	case BL_OK:
		return on_ok(b, p);
	case BL_REVOKE:
		n = on_revoke(b, p);
		*requests += n > 0;
		return n;
	default:
		return -EPROTO;
	}
}

static void input(struct belay *b, uint32_t *requests)
{
	struct packet p;
	int i, err = 0;

	for (i = 0; i < MESSAGES_AT_ONCE && err >= 0; i++) {
		p.fd = -1;
		err = receive(b->conn.fd.fd, &p);
		if (!err)
			err = handle(b, &p, requests);
		if (p.fd >= 0)
			close(p.fd);
	}
	if (err == -EPROTO && !b->opened)
		b->open_error = bl_refuse(b->open_why, err,
					  "%s: what answers is not belayd, or of another release",
					  b->socket);
	if (err == -EMFILE && !b->opened)
		b->open_error = bl_refuse_descriptors(b->open_why, err);
	if (err < 0 && err != -EAGAIN)
		drop(b);
}

/*
 * Does what there is to do; *requests is increased by those that arrived. 0, or
 * -EBADF: the handle is dead.
 */
int bl_connection_service(struct belay *b, uint32_t *requests)
{
	struct bl_connection *c = &b->conn;
	int err = bl_descriptors_check(b);

	if (err)
		return err;
	c->woken = false;
	if (c->state != BL_DOWN) {
		input(b, requests);
		if ((c->state == BL_GREETING || c->state == BL_ASKING) &&
		    bl_now() >= c->due)
			drop(b);
	} else if (bl_now() >= c->due) {
		err = bl_connection_start(b);
		/* Only a daemon that is there, but busy, is worth waiting for. */
		if (err && err != -EAGAIN && !b->opened)
			b->open_error = err;
	}
	flush(b);
	bl_connection_arm(b);
	return 0;
}
