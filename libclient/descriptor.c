// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Is a descriptor still what the library made it?
 *
 * A descriptor is a number in a table that the whole program shares. Programs
 * close all that they do not know (daemons do, close_range(2) and closefrom(3) do
 * it in one call) and put files of their own in the same places (dup2(2), or just
 * the next open(2)). So a number alone says nothing: before a descriptor of a
 * handle is used, and before it is closed, it is asked what it is. What is not the
 * library's is neither used nor closed, and the handle is dead from then on: every
 * call on it says -EBADF, and belay_close() gives back the rest.
 *
 *	each		device and inode as when it was made. That tells a socket from
 *			everything else, but all anonymous inodes are one: hence
 *	session		BELAY_INFO says which session it is, also to a forked child,
 *			and after the address space has ended
 *	timer		its interval, which never comes to pass, is the handle's mark
 *	epoll set	it has that timer, or the socket, of that number in it
 *
 * Between the question and the use another thread may still close the descriptor:
 * the kernel has no call that does both. A wrong session then finds no region, as
 * ids are unique in the module.
 *
 * None of them is 0, 1 or 2, whatever the program has closed: what it prints would
 * go to the daemon, and daemon(3) would put /dev/null in its place.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "internal.h"
#include "kernel.h"

#define FIRST_FREE	3	/* above standard input, output and error */

/* The handle's from now on, or closed: 0, or a negative errno. */
int bl_fd_take(struct bl_fd *f, int fd)
{
	struct stat st;
	int err, moved;

	if (fd < FIRST_FREE) {
		moved = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE);
		err = moved < 0 ? -errno : 0;
		close(fd);
		if (err)
			return err;
		fd = moved;
	}
	if (fstat(fd, &st) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*f = (struct bl_fd){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino };
	return 0;
}

static bool is_same_inode(const struct bl_fd *f)
{
	struct stat st;

	return f->fd >= 0 && !fstat(f->fd, &st) && st.st_dev == f->dev &&
	       st.st_ino == f->ino;
}

static bool socket_is_here(const struct belay *b)
{
	return is_same_inode(&b->conn.fd);
}

static bool session_is_here(const struct belay *b)
{
	struct belay_info info;

	return is_same_inode(&b->session_fd) &&
	       !bl_kernel_info(b->session_fd.fd, &info) && info.session == b->session;
}

/*
 * An interval that no other handle's timer has, of this process or of one that it
 * was forked from: where and when the handle was made. More than 70 years, so that
 * the timer goes off once.
 */
#define MARK_MIN	(UINT64_C(1) << 61)	/* ns; the kernel's times end at 2^63 */
void bl_timer_mark(struct belay *b)
{
	uint64_t mark = bl_now() ^ (uint64_t)(uintptr_t)b << 16;

	mark = MARK_MIN + mark % MARK_MIN;
	b->timer_mark.tv_sec = (time_t)(mark / 1000000000);
	b->timer_mark.tv_nsec = (long)(mark % 1000000000);
}

static bool timer_is_here(const struct belay *b)
{
	struct itimerspec t;

	return is_same_inode(&b->timer_fd) && !timerfd_gettime(b->timer_fd.fd, &t) &&
	       t.it_interval.tv_sec == b->timer_mark.tv_sec &&
	       t.it_interval.tv_nsec == b->timer_mark.tv_nsec;
}

/* The set is asked by telling it what it knows about that descriptor. */
static bool set_has(const struct belay *b, const struct bl_fd *f, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	return !epoll_ctl(b->poll_fd.fd, EPOLL_CTL_MOD, f->fd, &ev);
}

static bool poll_is_here(const struct belay *b)
{
	uint32_t events = EPOLLIN | (b->conn.want_write ? EPOLLOUT : 0);

	if (!is_same_inode(&b->poll_fd))
		return false;
	return timer_is_here(b) ? set_has(b, &b->timer_fd, EPOLLIN) :
				  socket_is_here(b) && set_has(b, &b->conn.fd, events);
}

int bl_set_dead(struct belay *b)
{
	__atomic_store_n(&b->dead, true, __ATOMIC_RELAXED);
	return -EBADF;
}

static bool is_dead(const struct belay *b)
{
	return __atomic_load_n(&b->dead, __ATOMIC_RELAXED);
}

/* For what goes on also if only the conversation with the daemon is lost. */
int bl_session_check(struct belay *b)
{
	return session_is_here(b) ? 0 : bl_set_dead(b);
}

/* For what nobody should begin on a handle that hears no request any more. */
int bl_session_use(struct belay *b)
{
	return is_dead(b) ? -EBADF : bl_session_check(b);
}

/* Under the lock: all that the conversation needs. */
int bl_descriptors_check(struct belay *b)
{
	if (is_dead(b))
		return -EBADF;
	if (!poll_is_here(b) || !timer_is_here(b) ||
	    (b->conn.state != BL_DOWN && !socket_is_here(b)) ||
	    (b->opened && !session_is_here(b)))
		return bl_set_dead(b);
	return 0;
}

/*
 * Ends the conversation, not only this end of it: a forked child may have a
 * copy of the socket, which would keep it open.
 */
void bl_socket_shutdown(struct belay *b)
{
	if (socket_is_here(b))
		shutdown(b->conn.fd.fd, SHUT_RDWR);
}

/* That copy would keep it in the epoll set, too. */
void bl_socket_end(struct belay *b)
{
	int fd = b->conn.fd.fd;

	if (socket_is_here(b)) {
		if (poll_is_here(b))
			epoll_ctl(b->poll_fd.fd, EPOLL_CTL_DEL, fd, NULL);
		shutdown(fd, SHUT_RDWR);
		close(fd);
	}
	b->conn.fd = BL_NO_FD;
}

/* The set first, which is known by the others. */
void bl_descriptors_close(struct belay *b)
{
	if (poll_is_here(b))
		close(b->poll_fd.fd);
	if (session_is_here(b))
		close(b->session_fd.fd);
	if (socket_is_here(b))
		close(b->conn.fd.fd);
	if (timer_is_here(b))
		close(b->timer_fd.fd);
}
