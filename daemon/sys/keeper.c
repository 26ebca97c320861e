/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What strangers' descriptors can do, and where
 *
 * Clients may attach descriptors to packets (SCM_RIGHTS). The daemon wants none of
 * them. A packet with descriptors is never received: conn.c looks at each packet
 * first, without room for descriptors (MSG_PEEK, no control buffer), and the kernel
 * sets MSG_CTRUNC if there are some. It installs none, and the references that it
 * takes for the look are not the last: the packet has its own, and only this process
 * takes packets off that queue. Where the kernel has SO_PASSRIGHTS (6.16), such
 * packets cannot even be sent.
 *
 * What is left is the queue. The last reference to a socket frees it, and that puts
 * the files in it (unix_release_sock -> scm_destroy -> fput -> __fput, as task work
 * of whoever closes or exits). ->flush is not called by that (FUSE may answer it
 * never), but ->release is: of a CUSE file it waits for the server, of a userfaultfd
 * for the mmap lock of somebody, of a socket for its linger time. No signal ends it.
 * In the daemon that would stop everybody, and when the daemon is killed, keep it
 * from ending.
 *
 *	daemon                       keeper                  undertaker
 *	accept, KEEP + fd  ------->  has it as well
 *	...
 *	clean: close, FORGET ----->  close
 *	not:   close, BURY  ------>  fork  ----------------> close, may hang
 *	                             <- exit
 *	           <--- gone, uid ---
 *
 * The daemon says BURY when the queue has descriptors (the kernel counts them:
 * scm_fds in /proc/self/fdinfo; after shutdown() none can be added). The keeper has
 * one thread and never drops a last reference that is not clean, so it answers as
 * long as it is not stopped, and the daemon may wait for room in the socket to it.
 * An undertaker closes what it was forked for, and nothing else is left open in it.
 * When a FEW of them hang, or none can be forked, what is to be buried waits in the
 * keeper; MANY that wait get another, so that the keeper's descriptors do not run
 * out before the senders' do (the kernel limits what one user has in flight). Each
 * counts against its user's connections until it is gone.
 *
 * Killed daemon: its references were never the last, it ends at once. The keeper
 * sees the end of the socket and exits, and may hang in that; its own files have been
 * closed by then (task work of a file that another file has put runs after those that
 * exit has put), so clients see the end of their connections, and no child of it
 * holds any. Killed keeper: the daemon ends and is started again.
 *
 * What remains: the daemon's reference is the last if both are killed at once, or the
 * daemon between accept4() and the next system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/packet.h"
#include "daemon/sys/keeper.h"

#define UNDERTAKERS	512	/* at a time; each that hangs holds one process */
#define FEW		16	/* of them, for a single connection */
#define MANY		1024	/* connections, for one of the others */
#define RETRY_MS	500	/* when none can be forked */
#define DRAIN_PACKETS	1024	/* more than fit into a socket */
#define ANSWER_SEC	10	/* the keeper has been stopped by somebody */

enum op { KEEP, FORGET, BURY, GONE };

struct order {
	uint32_t op;
	uint32_t slot;		/* the descriptor's number in the daemon */
	uint32_t uid;
};

static int send_order(int socket, const struct order *o, int fd, int flags)
{
	return bl_packet_send(socket, o, sizeof(*o), fd, flags);
}

/* The length, 0: the end, or -errno. *ret_fd is -1 if none came. */
static ssize_t receive_order(int socket, struct order *o, int *ret_fd, int flags)
{
	struct bl_received got;
	int err = bl_packet_receive(socket, o, sizeof(*o), flags, &got);

	*ret_fd = got.fd;
	return err ? err : (ssize_t)got.len;
}

/*
 * A peer that is closed on with unread packets gets ECONNRESET before it can
 * read what it was told: take them out first.
 */
static void drain(int fd)
{
	char byte;
	int i;

	for (i = 0; i < DRAIN_PACKETS; i++)
		if (recv(fd, &byte, 1, MSG_DONTWAIT) <= 0)
			break;
}

/* ------------------------------------------------------------------------ */
/* The keeper                                                                */

struct grave {
	int fd;
	uint32_t uid;
};

struct undertaker {
	pid_t pid;		/* 0: none */
	struct grave *graves;	/* of which the users are still of interest */
	size_t n_graves;
};

static struct {
	int daemon;		/* the socket */
	int children;		/* a signalfd */
	int *kept;		/* by slot; -1: nothing */
	uint32_t n_kept;
	struct grave *graves;	/* that are to be dug */
	size_t n_graves, room;
	struct undertaker undertakers[UNDERTAKERS];
	unsigned int n_undertakers;
	uint32_t *gone;		/* the users of those that are, to be reported */
	size_t n_gone, gone_room;
} me;

/* Memory for one more; the keeper cannot go on without. */
static void *room_for(void *array, size_t n, size_t *room, size_t size)
{
	if (n < *room)
		return array;
	*room = *room ? *room * 2 : 64;
	array = reallocarray(array, *room, size);
	if (!array)
		_exit(1);
	return array;
}

static void keep(uint32_t slot, int fd)
{
	uint32_t n = me.n_kept;

	while (n <= slot)
		n = n ? n * 2 : 256;
	if (n != me.n_kept) {
		me.kept = reallocarray(me.kept, n, sizeof(*me.kept));
		if (!me.kept)
			_exit(1);
		memset(me.kept + me.n_kept, 0xff, (n - me.n_kept) * sizeof(*me.kept));
		me.n_kept = n;
	}
	me.kept[slot] = fd;
}

static int take(uint32_t slot)
{
	int fd = slot < me.n_kept ? me.kept[slot] : -1;

	if (fd >= 0)
		me.kept[slot] = -1;
	return fd;
}

static void is_gone(uint32_t uid)
{
	me.gone = room_for(me.gone, me.n_gone, &me.gone_room, sizeof(*me.gone));
	me.gone[me.n_gone++] = uid;
}

/* Without waiting: the daemon may be waiting for room in the other direction. */
static void report(void)
{
	struct order o = { .op = GONE };

	for (; me.n_gone; me.n_gone--) {
		o.uid = me.gone[me.n_gone - 1];
		if (send_order(me.daemon, &o, -1, MSG_DONTWAIT))
			break;
	}
}

static void bury_later(int fd, uint32_t uid)
{
	if (fd < 0) {
		is_gone(uid);
		return;
	}
	me.graves = room_for(me.graves, me.n_graves, &me.room, sizeof(*me.graves));
	me.graves[me.n_graves++] = (struct grave){ fd, uid };
}

/*
 * Closes what the keeper holds beside, which is never the last reference, as the
 * keeper waits; then, when the keeper has closed its own, what it is there for.
 */
__attribute__((noreturn)) static void be_undertaker(int keeper)
{
	char byte = 0;
	size_t i;

	prctl(PR_SET_NAME, "belayd-bury");
	close(me.daemon);
	close(me.children);
	for (i = 0; i < me.n_kept; i++)
		if (me.kept[i] >= 0)
			close(me.kept[i]);
	if (write(keeper, &byte, 1) != 1 || read(keeper, &byte, 1) < 0)
		_exit(1);
	for (i = 0; i < me.n_graves; i++) {
		drain(me.graves[i].fd);
		close(me.graves[i].fd);
	}
	_exit(0);
}

/* All that waits, in one process. false: there is none to be had. */
static bool bury_all(struct undertaker *u)
{
	int pair[2];
	char byte;
	size_t i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return false;
	u->pid = fork();
	if (!u->pid) {
		close(pair[0]);
		be_undertaker(pair[1]);
	}
	close(pair[1]);
	if (u->pid < 0) {
		u->pid = 0;
		close(pair[0]);
		return false;
	}
	/* It has closed all else; or has been killed, and then it has nothing. */
	while (read(pair[0], &byte, 1) < 0 && errno == EINTR)
		;
	for (i = 0; i < me.n_graves; i++)
		close(me.graves[i].fd);
	close(pair[0]);		/* its turn */
	u->graves = me.graves;
	u->n_graves = me.n_graves;
	me.graves = NULL;
	me.n_graves = me.room = 0;
	me.n_undertakers++;
	return true;
}

/* false: later again, as no process was to be had. */
static bool bury(void)
{
	struct undertaker *u = me.undertakers;

	if (!me.n_graves || (me.n_undertakers >= FEW && me.n_graves < MANY) ||
	    me.n_undertakers == UNDERTAKERS)
		return true;
	while (u->pid)
		u++;
	return bury_all(u);
}

/* What a child has closed is gone, also if it was killed in the middle of it. */
static void reap(void)
{
	struct signalfd_siginfo info;
	struct undertaker *u;
	pid_t pid;

	while (read(me.children, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (u = me.undertakers; u->pid != pid; u++)
			;
		while (u->n_graves)
			is_gone(u->graves[--u->n_graves].uid);
		free(u->graves);
		u->pid = 0;
		me.n_undertakers--;
	}
}

static void obey(void)
{
	struct order o;
	ssize_t n;
	int fd;

	while ((n = receive_order(me.daemon, &o, &fd, MSG_DONTWAIT)) > 0) {
		switch (o.op) {
		case KEEP:
			keep(o.slot, fd);
			break;
		case FORGET:
			fd = take(o.slot);
			if (fd >= 0)
				close(fd);
			break;
		case BURY:
			bury_later(take(o.slot), o.uid);
			break;
		}
	}
	if (n != -EAGAIN && n != -EINTR)
		_exit(0);
}

/* Of all that the daemon has, nothing but the socket. */
static void give_up_everything(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	struct rlimit rl;
	sigset_t all, child;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	/* Only the end of the socket ends it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (dup2(me.daemon, 0) < 0)
		_exit(1);
	me.daemon = 0;
	syscall(SYS_close_range, 1U, ~0U, 0U);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	me.children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (me.children < 0)
		_exit(1);
	/* It holds what the daemon holds, and what is to be buried. */
	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	syscall(SYS_capset, &head, none);
	prctl(PR_SET_NAME, "belayd-keep");
}

__attribute__((noreturn)) static void be_keeper(int socket)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	bool again = false;

	me.daemon = socket;
	give_up_everything();
	p[0].fd = me.daemon;
	p[1].fd = me.children;
	for (;;) {
		p[0].events = me.n_gone ? POLLIN | POLLOUT : POLLIN;
		poll(p, 2, again ? RETRY_MS : -1);
		obey();
		reap();
		again = !bury();
		report();
	}
}

/* ------------------------------------------------------------------------ */
/* The daemon                                                                */

/* Nobody's child: there is nothing to wait for when it ends. */
int bl_keeper_start(struct bl_keeper *k)
{
	const struct timeval patience = { .tv_sec = ANSWER_SEC };
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (!pid) {
		pid = fork();
		if (!pid)
			be_keeper(pair[1]);
		_exit(pid < 0);
	}
	err = -errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err;
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	k->socket = pair[0];
	return 0;
}

void bl_keeper_stop(struct bl_keeper *k)
{
	struct pollfd p = { .fd = k->socket, .events = POLLIN };
	uid_t uid;

	if (k->socket < 0)
		return;
	/* It has no reason to take longer, but who knows who has stopped it. */
	shutdown(k->socket, SHUT_WR);
	while (poll(&p, 1, 1000) > 0 && bl_keeper_gone(k, &uid) >= 0)
		;
	close(k->socket);
	k->socket = -1;
}

int bl_keeper_keep(struct bl_keeper *k, int fd)
{
	const struct order o = { .op = KEEP, .slot = (uint32_t)fd };

	return send_order(k->socket, &o, fd, 0);
}

/* Are there descriptors in its queue? The kernel counts them. */
static bool has_descriptors(int fd)
{
	char path[64], text[1024], *p;
	ssize_t n = -1;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info >= 0) {
		n = read(info, text, sizeof(text) - 1);
		close(info);
	}
	if (n < 0)
		return true;	/* unknown: the keeper's to close */
	text[n] = '\0';
	p = strstr(text, "scm_fds:");
	return !p || strtoul(p + strlen("scm_fds:"), NULL, 10);
}

bool bl_keeper_end(struct bl_keeper *k, int fd, uid_t uid)
{
	struct order o = { .op = FORGET, .slot = (uint32_t)fd, .uid = uid };

	shutdown(fd, SHUT_RDWR);	/* what it was told it can still read */
	if (has_descriptors(fd))
		o.op = BURY;
	else
		drain(fd);
	close(fd);
	/* If that fails, the keeper has ended, and so will the daemon. */
	return !send_order(k->socket, &o, -1, 0) && o.op == BURY;
}

int bl_keeper_gone(struct bl_keeper *k, uid_t *ret_uid)
{
	struct order o;
	int fd;
	ssize_t n = receive_order(k->socket, &o, &fd, MSG_DONTWAIT);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return -EPIPE;
	*ret_uid = o.uid;
	return 1;
}
