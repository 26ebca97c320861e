/* SPDX-License-Identifier: MIT */
/*
 * A helper process closes what clients have had in hand.
 *
 * A descriptor is sent to it (SCM_RIGHTS), then closed here, and only then is the
 * helper told to close it: so the last reference is always put there. The same
 * with connections: a client may have put descriptors into packets that were
 * never read, and these go with the socket.
 *
 * The helper is a process and not a thread, because a close that hangs in the
 * kernel may not even end when its process is killed, and a daemon that cannot
 * end keeps the policy owner's device. It has a few threads; when all of them
 * hang, its socket fills up, and another helper is started in its place. Closing
 * our end of the socket ends a helper.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "daemon/closer.h"
#include "daemon/log.h"

#define THREADS		16
#define IN_HAND		64	/* descriptors that a helper takes before it has closed any */
#define STACK		65536
#define RETRY_USEC	100000
#define PATIENCE	10	/* retries until a helper is given up */
#define DRAIN_PACKETS	256

union control {
	struct cmsghdr align;
	char room[CMSG_SPACE(sizeof(int))];
};

/* ------------------------------------------------------------------------ */
/* The helper                                                                */

static struct helper {
	int socket;
	int to_close[2];	/* a pipe with the numbers of descriptors */
	sem_t room;
} helper;

/* A descriptor; -1: those before may be closed; -2: there is nothing any more. */
static int receive(void)
{
	union control control;
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;
	int fd = -1;

	do {
		mh.msg_control = control.room;
		mh.msg_controllen = sizeof(control.room);
		n = recvmsg(helper.socket, &mh, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -2;
	if (CMSG_FIRSTHDR(&mh))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
	return fd;
}

static void *receive_all(void *arg)
{
	int held[IN_HAND], n = 0, fd;

	while ((fd = receive()) > -2) {
		if (fd >= 0) {
			while (sem_wait(&helper.room))
				;
			held[n++] = fd;
			continue;
		}
		/* There is always room: for more than there may be in hand. */
		while (n)
			if (write(helper.to_close[1], &held[--n], sizeof(fd)) < 0)
				_exit(1);
	}
	return NULL;
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

static void *close_all(void *arg)
{
	int fd;

	while (read(helper.to_close[0], &fd, sizeof(fd)) == sizeof(fd)) {
		drain(fd);
		close(fd);
		sem_post(&helper.room);
	}
	return NULL;
}

/* Of all that the daemon has, nothing but the socket. */
static void give_up_everything(int *socket)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2] = { 0 };
	sigset_t all;
	int i;

	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	if (dup2(*socket, 0) < 0)
		_exit(1);
	*socket = 0;
	syscall(SYS_close_range, 1U, ~0U, 0U);
	syscall(SYS_capset, &head, none);
	prctl(PR_SET_NAME, "belayd-close");
}

__attribute__((noreturn)) static void be_helper(int socket)
{
	struct pollfd daemon_gone = { .fd = 0 };
	pthread_attr_t attr;
	pthread_t thread;
	int i, err;

	give_up_everything(&socket);
	helper.socket = socket;
	if (pipe2(helper.to_close, O_CLOEXEC) || sem_init(&helper.room, 0, IN_HAND))
		_exit(1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	err = pthread_create(&thread, &attr, receive_all, NULL);
	for (i = 0; i < THREADS && !err; i++)
		err = pthread_create(&thread, &attr, close_all, NULL);
	if (err)
		_exit(1);
	do {
		poll(&daemon_gone, 1, -1);
	} while (!(daemon_gone.revents & (POLLHUP | POLLERR)));
	_exit(0);
}

/* ------------------------------------------------------------------------ */
/* The daemon                                                                */

/* Nobody's child: there is nothing to wait for when it ends. */
static int start(struct bl_closer *c)
{
	int pair[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (!pid) {
		pid = fork();
		if (!pid)
			be_helper(pair[1]);
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
	c->socket = pair[0];
	c->helpers++;
	return 0;
}

static void end(struct bl_closer *c)
{
	if (c->socket >= 0)
		close(c->socket);
	c->socket = -1;
}

/* A descriptor, or -1: what was sent before is closed here. */
static int send_fd(struct bl_closer *c, int fd)
{
	union control control = { .align = { 0 } };
	struct iovec iov = { "", 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (fd >= 0) {
		mh.msg_control = control.room;
		mh.msg_controllen = sizeof(control.room);
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	while (sendmsg(c->socket, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* After a helper that somebody has killed comes another. */
static int try_send(struct bl_closer *c, int fd)
{
	int err = c->socket < 0 ? -EPIPE : send_fd(c, fd);

	if (err != -EPIPE && err != -ECONNRESET)
		return err;
	end(c);
	err = start(c);
	return err ? err : send_fd(c, fd);
}

/* true: the helper has it, or will. */
static bool hand_over(struct bl_closer *c, int fd)
{
	if (try_send(c, fd))
		return false;
	close(fd);
	c->closed_here = send_fd(c, -1) != 0;
	c->tries = 0;
	return true;
}

static void flush(struct bl_closer *c)
{
	if (c->closed_here)
		c->closed_here = send_fd(c, -1) != 0;
	while (c->n_waiting && hand_over(c, c->waiting[c->n_waiting - 1]))
		c->n_waiting--;
}

static void next_helper(struct bl_closer *c)
{
	bl_log_client(LOG_WARNING, "%d files that clients sent have not been closed for %d ms: another process tries the next",
		      THREADS, PATIENCE * RETRY_USEC / 1000);
	end(c);
	c->tries = 0;
	c->closed_here = false;
	flush(c);
}

static void retry_later(struct bl_closer *c)
{
	const struct timeval tv = { .tv_usec = RETRY_USEC };

	evtimer_add(&c->ev, &tv);
}

static void on_retry(int fd, short what, void *arg)
{
	struct bl_closer *c = arg;

	flush(c);
	if (!c->n_waiting && !c->closed_here)
		return;
	if (++c->tries >= PATIENCE)
		next_helper(c);
	if (c->n_waiting || c->closed_here)
		retry_later(c);
}

void bl_close_later(struct bl_closer *c, int fd)
{
	if (fd < 0)
		return;
	if (c->n_waiting == BL_CLOSING_MAX)
		next_helper(c);
	if (!c->n_waiting && hand_over(c, fd))
		fd = -1;
	else if (c->n_waiting < BL_CLOSING_MAX)
		c->waiting[c->n_waiting++] = fd;
	else			/* not even a process can be had */
		close(fd);
	if ((c->n_waiting || c->closed_here) && !evtimer_pending(&c->ev, NULL))
		retry_later(c);
}

void bl_closer_init(struct bl_closer *c, struct event_base *base)
{
	c->socket = -1;
	evtimer_assign(&c->ev, base, on_retry, c);
}

int bl_closer_start(struct bl_closer *c)
{
	return start(c);
}

void bl_closer_fini(struct bl_closer *c)
{
	evtimer_del(&c->ev);
	flush(c);
	while (c->n_waiting)
		close(c->waiting[--c->n_waiting]);
	end(c);
}
