// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * connection.c - one question, one answer
 *
 * The daemon may be absent, hang, restart in the middle or be of another
 * version; each has a sentence of its own. Answers are checked before anybody
 * looks into them. Messages that are not the answer (serial 0) are skipped.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/message.h"
#include "ctl/belayctl.h"

#define TICK_MSEC	100	/* of the progress line */

static uint64_t msec_now(void)
{
	return bl_boottime() / 1000000;
}

void ctl_disconnect(struct ctl *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

/*
 * Without the module belayd cannot start, and systemd, which has the socket, tries again
 * and again: most often a new kernel for which the module has not been built.
 */
static const char *what_to_do(const struct ctl *c, const char *otherwise)
{
	return ctl_module_is_loaded(c) ? otherwise :
		"The kernel module is not loaded; load it, or see why not, with: modprobe belay";
}

static int no_answer(struct ctl *c)
{
	return ctl_fail(c, CTL_FAILED,
			"belayd does not answer: nothing came for %d s at %s. %s",
			c->timeout_msec / 1000, c->socket,
			what_to_do(c, "Look at it with: systemctl status belayd.service; "
				      "and at its configuration with: belayd --check-config"));
}

static int hung_up(struct ctl *c)
{
	return ctl_fail(c, CTL_FAILED,
			"belayd closed the connection at %s before it had answered. %s",
			c->socket,
			what_to_do(c, "Is it being restarted? Try again, or look at: "
				      "journalctl -u belayd.service"));
}

static int malformed(struct ctl *c)
{
	return ctl_fail(c, CTL_FAILED,
			"the answer at %s is not one that this belayctl (%s) understands. "
			"Are belayctl and belayd of the same release?",
			c->socket, BELAY_VERSION);
}

static int cannot_connect(struct ctl *c, int err)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		return ctl_fail(c, CTL_NOT_RUNNING,
				"belayd is not running: nothing answers at %s. %s", c->socket,
				strcmp(c->socket, BL_SOCKET_PATH) ?
				"Is that its socket? Check --socket, or BELAY_SOCKET" :
				"Start it with: systemctl start belayd.socket");
	case EACCES:
	case EPERM:
		return ctl_fail(c, CTL_DENIED,
				"not allowed to use belayd's socket %s: %s", c->socket,
				strerror(err));
	default:
		return ctl_fail(c, CTL_FAILED, "cannot connect to belayd at %s: %s", c->socket,
				strerror(err));
	}
}

/* What the daemon says with BL_ERROR, as it says it, with a status for scripts. */
static int refused(struct ctl *c)
{
	const struct bl_error *e = &c->answer.error;
	const char *text = e->text[0] ? e->text : strerror(e->error);

	switch (e->error) {
	case EPERM:
	case EACCES:
		return ctl_fail(c, CTL_DENIED, "%s", text);
	case ENOENT:
	case ESRCH:
		return ctl_fail(c, CTL_NOT_FOUND, "%s", text);
	default:
		return ctl_fail(c, CTL_FAILED, "%s", text);
	}
}

/* Waits for the socket; CTL_OK when something is there. */
static int wait_readable(struct ctl *c, struct ctl_progress *progress, uint64_t end)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int n;

	for (;;) {
		n = poll(&p, 1, TICK_MSEC);
		if (n > 0)
			return CTL_OK;
		if (n < 0 && errno != EINTR)
			return ctl_fail(c, CTL_FAILED, "cannot wait for belayd: %m");
		if (c->timeout_msec >= 0 && msec_now() >= end) {
			ctl_progress_fini(progress);
			return no_answer(c);
		}
		ctl_progress_tick(progress);
	}
}

/* Receives one message into c->answer, whatever it is. */
static int receive(struct ctl *c, struct ctl_progress *progress, uint64_t end)
{
	ssize_t n;
	int status;

	for (;;) {
		status = wait_readable(c, progress, end);
		if (status)
			return status;
		memset(&c->answer, 0, sizeof(c->answer));
		n = recv(c->fd, &c->answer, sizeof(c->answer), MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		ctl_progress_fini(progress);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return hung_up(c);
		if (n < 0)
			return ctl_fail(c, CTL_FAILED, "cannot read from belayd: %m");
		if ((size_t)n > sizeof(c->answer) || bl_msg_check(&c->answer, (size_t)n, BL_FROM_DAEMON, NULL))
			return malformed(c);
		return CTL_OK;
	}
}

static int send_message(struct ctl *c, const void *msg, size_t size)
{
	ssize_t n;

	do
		n = send(c->fd, msg, size, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)size)
		return CTL_OK;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return no_answer(c);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return hung_up(c);
	return ctl_fail(c, CTL_FAILED, "cannot send to belayd at %s: %m", c->socket);
}

/*
 * Sends @msg, whose header this fills in but for its flags, and waits for the answer to it,
 * which is of type @want, and is in c->answer.
 */
int ctl_request(struct ctl *c, void *msg, size_t size, enum bl_msg_type type,
		enum bl_msg_type want)
{
	struct ctl_progress progress;
	struct bl_msg *m = msg;
	uint16_t flags = m->flags;
	uint64_t end;
	int status;

	bl_msg_init(m, size, (uint16_t)type, ++c->serial);
	m->flags = flags;
	status = send_message(c, msg, size);
	if (status)
		return status;
	end = msec_now() + (c->timeout_msec >= 0 ? (uint64_t)c->timeout_msec : 0);
	ctl_progress_init(&progress, c->err, c->waiting_for, c->progress_msec,
			  c->waiting_until);
	do {
		status = receive(c, &progress, end);
		if (status)
			return status;
	} while (c->answer.msg.serial == 0 && c->answer.msg.type != BL_ERROR);
	if (c->answer.msg.type == BL_ERROR)
		return refused(c);
	if (c->answer.msg.type != want || c->answer.msg.serial != c->serial)
		return malformed(c);
	return CTL_OK;
}

static int say_hello(struct ctl *c)
{
	struct bl_hello hello = {
		.oldest = BL_PROTOCOL_OLDEST,
		.newest = BL_PROTOCOL_NEWEST,
		.label = "belayctl",
	};

	return ctl_request(c, &hello, sizeof(hello), BL_HELLO, BL_HELLO);
}

/* Connects and greets. A full backlog counts as no answer. */
int ctl_connect(struct ctl *c)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval tv = { 0 };

	if (strlen(c->socket) >= sizeof(sun.sun_path))
		return ctl_fail(c, CTL_USAGE, "the socket's path is too long (at most %zu bytes): %s",
				sizeof(sun.sun_path) - 1, c->socket);
	strcpy(sun.sun_path, c->socket);
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return ctl_fail(c, CTL_FAILED, "cannot make a socket: %m");
	tv.tv_sec = c->timeout_msec / 1000;
	tv.tv_usec = c->timeout_msec % 1000 * 1000;
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return errno == EAGAIN ? no_answer(c) : cannot_connect(c, errno);
	return say_hello(c);
}
