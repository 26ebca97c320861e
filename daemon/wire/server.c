/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/message.h"
#include "daemon/sys/log.h"
#include "daemon/sys/loop.h"
#include "daemon/sys/process.h"
#include "daemon/wire/server.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD	76	/* since Linux 6.5 */
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83	/* since Linux 6.16 */
#endif

#define BACKLOG		1024
#define TURN_ACCEPTS	32	/* in one turn of the loop */
#define PAUSE_SEC	1	/* when there are no file descriptors left */
#define ADMIN_RESERVE	16	/* for an administrator who wants to see why it is full */

static void pause_accepting(struct bl_server *s, int err)
{
	const struct timeval pause = { .tv_sec = PAUSE_SEC };
	int i;

	bl_log_client(LOG_ERR, "cannot accept clients: %s; trying again in %d s",
		      strerror(err), PAUSE_SEC);
	for (i = 0; i < s->n_listeners; i++)
		event_del(&s->listeners[i].ev);
	event_add(&s->ev_accept, &pause);
}

static void on_connection(int fd, short what, void *arg)
{
	struct bl_server *s = arg;
	int i, client;

	/* The time that a client has begins now, and not when this turn began. */
	event_base_update_cache_time(s->loop->base);
	for (i = 0; i < TURN_ACCEPTS; i++) {
		client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (client >= 0) {
			bl_server_admit(s, client);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS)
			pause_accepting(s, errno);
		else if (errno == ECONNABORTED || errno == EINTR)
			continue;
		return;
	}
}

/* Tells a socket that is no connection yet why it will not be one; takes fd. */
__attribute__((format(printf, 5, 6)))
static void refuse(struct bl_server *s, int fd, uid_t uid, int error,
		   const char *fmt, ...)
{
	struct bl_error e = { .error = error };
	va_list ap;

	bl_msg_init(&e.msg, sizeof(e), BL_ERROR, 0);
	va_start(ap, fmt);
	vsnprintf(e.text, sizeof(e.text), fmt, ap);
	va_end(ap);
	if (send(fd, &e, sizeof(e), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		bl_debug("a refused client is gone: %s", strerror(errno));
	bl_log_client(LOG_NOTICE, "client refused: %s", e.text);
	bl_conn_end(s, fd, uid);
}

struct bl_conn *bl_server_admit(struct bl_server *s, int fd)
{
	struct bl_server_limits limits;
	struct bl_peer peer = { .uid = (uid_t)-1 };
	uint64_t n;
	int err;

	err = bl_keeper_keep(&s->keeper, fd);
	if (err) {
		event_del(&s->ev_keeper);
		bl_loop_fail(s->loop, "the process that keeps connections takes none: %s",
				strerror(-err));
		close(fd);
		return NULL;
	}
	err = bl_process_peer(fd, &peer);
	if (err && err != -ESRCH) {	/* not its fault: the library asks again */
		refuse(s, fd, peer.uid, EAGAIN, "belayd cannot look who you are: %s; try again",
		       strerror(-err));
		return NULL;
	}
	if (err) {
		refuse(s, fd, peer.uid, EACCES, "your process cannot be seen from belayd, or has another user id than when it connected");
		return NULL;
	}
	s->ops->limits(s->arg, &limits);
	if (s->n_conns >= limits.max_clients &&
	    (!peer.uid || bl_process_in_group(fd, &peer, limits.admin_gid)))
		limits.max_clients += ADMIN_RESERVE;
	if (s->n_conns >= limits.max_clients) {
		refuse(s, fd, peer.uid, EUSERS, "belayd has %u clients, its max_clients", s->n_conns);
		return NULL;
	}
	n = (uintptr_t)bl_map_get(&s->uids, peer.uid, 0);
	if (n >= limits.max_clients_per_user && peer.uid) {
		refuse(s, fd, peer.uid, EUSERS, "uid %u has %lu connections, max_clients_per_user",
		       peer.uid, (unsigned long)n);
		return NULL;
	}
	return bl_conn_new(s, fd, &peer);
}

/*
 * Nothing but bytes, as far as the kernel lets a receiver say so. A look at a packet
 * tells of credentials in the same way as of descriptors, so those must be off.
 */
static void pass_nothing(int fd)
{
	static const int options[] = { SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD, SO_PASSRIGHTS };
	const int off = 0;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(*options); i++)
		setsockopt(fd, SOL_SOCKET, options[i], &off, sizeof(off));
}

int bl_server_listen(struct bl_server *s, int fd)
{
	struct bl_listener *l = &s->listeners[s->n_listeners];
	int err;

	if (s->n_listeners == BL_LISTENERS_MAX) {
		close(fd);
		return -E2BIG;
	}
	err = bl_keeper_keep(&s->keeper, fd);
	if (err) {
		close(fd);
		return err;
	}
	evutil_make_socket_nonblocking(fd);
	pass_nothing(fd);
	l->fd = fd;
	event_assign(&l->ev, s->loop->base, fd, EV_READ | EV_PERSIST, on_connection, s);
	if (event_add(&l->ev, NULL)) {
		close(fd);
		return -ENOMEM;
	}
	s->n_listeners++;
	return 0;
}

/* Removes a socket that nobody listens on; one that answers is another daemon's. */
static int remove_stale(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)sa, sizeof(*sa)))
		err = -EADDRINUSE;
	else if (errno == ECONNREFUSED)
		err = unlink(sa->sun_path) ? -errno : 0;
	close(fd);
	return err;
}

int bl_server_bind(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	strcpy(sa.sun_path, path);
	err = remove_stale(&sa);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* Open to everybody: who may do what is decided by who it is. */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
	    chmod(path, 0666) || listen(fd, BACKLOG)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* ------------------------------------------------------------------------ */
/* Beginning and end                                                         */

static void on_dead(int fd, short what, void *arg)
{
	struct bl_server *s = arg;
	struct bl_conn *c;

	while ((c = TAILQ_FIRST(&s->dead))) {
		TAILQ_REMOVE(&s->dead, c, link);
		free(c);
	}
}

static void on_accept_again(int fd, short what, void *arg)
{
	struct bl_server *s = arg;
	int i;

	for (i = 0; i < s->n_listeners; i++)
		event_add(&s->listeners[i].ev, NULL);
}

/* Descriptors that a connection had in it have been closed at last. */
static void on_keeper(int fd, short what, void *arg)
{
	struct bl_server *s = arg;
	uid_t uid;
	int got;

	while ((got = bl_keeper_gone(&s->keeper, &uid)) > 0) {
		s->n_lingering--;
		bl_conn_uncount(s, uid);
	}
	if (got >= 0)
		return;
	event_del(&s->ev_keeper);
	bl_loop_fail(s->loop, "the process that keeps connections has ended");
}

void bl_server_init(struct bl_server *s, struct bl_loop *loop,
		    const struct bl_server_ops *ops, void *arg)
{
	s->loop = loop;
	s->ops = ops;
	s->arg = arg;
	s->keeper.socket = -1;
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->dead);
	evtimer_assign(&s->ev_dead, loop->base, on_dead, s);
	evtimer_assign(&s->ev_accept, loop->base, on_accept_again, s);
}

int bl_server_start(struct bl_server *s)
{
	int err = bl_keeper_start(&s->keeper);

	if (err)
		return err;
	event_assign(&s->ev_keeper, s->loop->base, s->keeper.socket, EV_READ | EV_PERSIST,
		     on_keeper, s);
	return event_add(&s->ev_keeper, NULL) ? -ENOMEM : 0;
}

/*
 * A listening socket holds connections that were not accepted yet. The keeper has the same
 * socket, so that closing it here frees none of them.
 */
static void stop_listening(struct bl_server *s)
{
	while (s->n_listeners) {
		s->n_listeners--;
		event_del(&s->listeners[s->n_listeners].ev);
		close(s->listeners[s->n_listeners].fd);
	}
}

void bl_server_fini(struct bl_server *s)
{
	struct bl_conn *c;

	if (!s->loop)		/* it was not begun */
		return;
	stop_listening(s);
	while ((c = TAILQ_FIRST(&s->conns)))
		bl_conn_drop(c, NULL);
	if (s->keeper.socket >= 0)
		event_del(&s->ev_keeper);
	bl_keeper_stop(&s->keeper);
	on_dead(-1, 0, s);
	bl_map_fini(&s->conn_ids);
	bl_map_fini(&s->uids);
}
