// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * connection.c - one question, one answer
 *
 * The daemon may be absent, hang, restart in the middle or be of another version; each
 * has a sentence of its own. Answers are checked before anybody looks into them. Messages
 * that are no answer (serial 0) are skipped, but for BL_ERROR: that is the last thing that
 * belayd says to whom it throws out.
 *
 * After an answer that did not come, or was none, nobody could tell the next answer from a
 * late one: the connection is over, and the handle says so from then on.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "libadmin/internal.h"

#define TICK_MSEC	100	/* how often on_wait is called */
#define NSEC_PER_MSEC	1000000ULL
#define NO_ANSWER_YET	1

void bl_admin_disconnect(struct belay_admin *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	a->recall = 0;
}

/* ------------------------------------------------------------------------ */
/* How a connection ends                                                     */

static int no_answer(struct belay_admin *a, int timeout_msec)
{
	bl_admin_disconnect(a);
	return bl_admin_fail(a, -ETIMEDOUT, "belayd does not answer: nothing came for %g s at %s",
			     timeout_msec / 1000.0, a->socket);
}

static int hung_up(struct belay_admin *a)
{
	bl_admin_disconnect(a);
	return bl_admin_fail(a, -ECONNRESET,
			     "belayd closed the connection at %s before it had answered",
			     a->socket);
}

int bl_admin_malformed(struct belay_admin *a)
{
	bl_admin_disconnect(a);
	return bl_admin_fail(a, -EPROTO,
			     "the answer at %s is not one that libbelay-admin %s understands",
			     a->socket, BELAY_VERSION);
}

static int broken(struct belay_admin *a, int err, const char *what)
{
	bl_admin_disconnect(a);
	return bl_admin_fail(a, -err, "cannot %s belayd at %s: %s", what, a->socket,
			     strerror(err));
}

static int cannot_connect(struct belay_admin *a, int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		bl_admin_disconnect(a);
		return bl_admin_fail(a, -err, "belayd is not running: nothing answers at %s",
				     a->socket);
	case EACCES:
	case EPERM:
		bl_admin_disconnect(a);
		return bl_admin_fail(a, -EACCES, "not allowed to use belayd's socket %s: %s",
				     a->socket, strerror(err));
	default:
		return broken(a, err, "connect to");
	}
}

/* ------------------------------------------------------------------------ */
/* Waiting                                                                   */

static struct bl_admin_wait begin_wait(int timeout_msec, uint64_t deadline)
{
	return (struct bl_admin_wait){ bl_monotonic(), timeout_msec, deadline };
}

/* A while has gone by: is that enough? */
static int tick(struct belay_admin *a, const struct bl_admin_wait *w)
{
	uint64_t waited = bl_monotonic() - w->started;

	if (w->timeout_msec >= 0 && waited >= (uint64_t)w->timeout_msec * NSEC_PER_MSEC)
		return no_answer(a, w->timeout_msec);
	if (a->on_wait && a->on_wait(waited, w->deadline, a->arg)) {
		bl_admin_disconnect(a);
		return bl_admin_fail(a, -ECANCELED, "the program did not want to wait any longer");
	}
	return 0;
}

static int wait_for(struct belay_admin *a, short events, const struct bl_admin_wait *w)
{
	struct pollfd p = { .fd = a->fd, .events = events };
	int n, err;

	for (;;) {
		n = poll(&p, 1, TICK_MSEC);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return broken(a, errno, "wait for");
		err = tick(a, w);
		if (err)
			return err;
	}
}

/* ------------------------------------------------------------------------ */
/* Messages                                                                  */

/* Sends @msg, whose header this fills in but for its flags. */
int bl_admin_send(struct belay_admin *a, void *msg, size_t size, enum bl_msg_type type)
{
	struct bl_admin_wait w = begin_wait(a->timeout_msec, 0);
	struct bl_msg *m = msg;
	uint16_t flags = m->flags;
	int err;

	bl_msg_init(m, size, (uint16_t)type, ++a->serial);
	m->flags = flags;
	while (send(a->fd, msg, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		switch (errno) {
		case EINTR:
			break;
		case EAGAIN:
			err = wait_for(a, POLLOUT, &w);
			if (err)
				return err;
			break;
		case EPIPE:
		case ECONNRESET:
			/* It may have said why. */
			err = bl_admin_receive(a, a->serial, BL_ERROR);
			return err == NO_ANSWER_YET ? hung_up(a) : err;
		default:
			return broken(a, errno, "send to");
		}
	}
	return 0;
}

/* The daemon's BL_ERROR, in its own words. */
static int refused(struct belay_admin *a, uint64_t serial)
{
	const struct bl_error *e = &a->answer.error;

	if ((e->msg.serial && e->msg.serial != serial) || e->error <= 0 || e->error > 4095)
		return bl_admin_malformed(a);
	/* Both are the last that belayd says. */
	if (!e->msg.serial || e->error == EPROTO)
		bl_admin_disconnect(a);
	return bl_admin_fail(a, -e->error, "%s", e->text[0] ? e->text : strerror(e->error));
}

/*
 * The answer to the request @serial, without waiting: 0, and it is of the type @want and
 * in a->answer; NO_ANSWER_YET; or a negative errno, which may be belayd's refusal.
 */
int bl_admin_receive(struct belay_admin *a, uint64_t serial, enum bl_msg_type want)
{
	const struct bl_msg *m = &a->answer.msg;
	ssize_t n;

	do {
		memset(&a->answer, 0, sizeof(a->answer));
		n = recv(a->fd, &a->answer, sizeof(a->answer), MSG_DONTWAIT | MSG_TRUNC);
		/* That is said once, before what still lies there. */
		if (n < 0 && errno == ECONNRESET)
			n = recv(a->fd, &a->answer, sizeof(a->answer), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return NO_ANSWER_YET;
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return hung_up(a);
		if (n < 0)
			return broken(a, errno, "read from");
		if ((size_t)n > sizeof(a->answer) ||
		    bl_msg_check(&a->answer, (size_t)n, BL_FROM_DAEMON, NULL))
			return bl_admin_malformed(a);
	} while (!m->serial && m->type != BL_ERROR);
	if (m->type == BL_ERROR)
		return refused(a, serial);
	if (m->type != want || m->serial != serial)
		return bl_admin_malformed(a);
	return 0;
}

/* Waits for the answer to what was sent last. */
int bl_admin_await(struct belay_admin *a, enum bl_msg_type want, int timeout_msec,
		   uint64_t deadline)
{
	struct bl_admin_wait w = begin_wait(timeout_msec, deadline);
	int err;

	do {
		err = wait_for(a, POLLIN, &w);
		if (!err)
			err = bl_admin_receive(a, a->serial, want);
	} while (err == NO_ANSWER_YET);
	return err;
}

int bl_admin_request(struct belay_admin *a, void *msg, size_t size, enum bl_msg_type type,
		     enum bl_msg_type want)
{
	int err = bl_admin_send(a, msg, size, type);

	return err ? err : bl_admin_await(a, want, a->timeout_msec, 0);
}

/* ------------------------------------------------------------------------ */
/* Connecting                                                                */

/* A descriptor below 3 would be read and written by whoever closed that one. */
static int new_socket(struct belay_admin *a)
{
	struct timeval tick_time = { .tv_usec = TICK_MSEC * 1000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), low = fd;

	if (fd >= 0 && fd < 3) {
		fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
		close(low);
	}
	if (fd < 0)
		return bl_admin_fail(a, -errno, "cannot make a socket: %s", strerror(errno));
	/* So that connect() waits no longer than that while the backlog is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tick_time, sizeof(tick_time));
	a->fd = fd;
	return 0;
}

static int say_hello(struct belay_admin *a)
{
	struct bl_hello hello = {
		.oldest = BL_PROTOCOL_OLDEST,
		.newest = BL_PROTOCOL_NEWEST,
	};
	int err;

	memcpy(hello.label, a->label, sizeof(hello.label));
	err = bl_admin_request(a, &hello, sizeof(hello), BL_HELLO, BL_HELLO);
	/* Refused: there is nothing else to be said to each other. */
	if (err)
		bl_admin_disconnect(a);
	return err;
}

/* Connects and greets. A full backlog counts as no answer. */
int bl_admin_connect(struct belay_admin *a)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct bl_admin_wait w = begin_wait(a->timeout_msec, 0);
	int err = new_socket(a);

	if (err)
		return err;
	strcpy(sun.sun_path, a->socket);
	while (connect(a->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return cannot_connect(a, errno);
		err = tick(a, &w);
		if (err)
			return err;
	}
	return say_hello(a);
}
