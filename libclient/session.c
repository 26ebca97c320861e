// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Handles: opening gets a session of the process's grant, closing ends it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "kernel.h"

#define OPEN_TIME	UINT64_C(10000000000)	/* ns; a daemon that starts on demand needs less */
#define BACKOFF_FIRST	UINT64_C(50000000)
#define OPEN_FLAGS	BELAY_OPEN_THREAD

uint64_t bl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/*
 * A page that the kernel wipes in a forked child. A comparison of process ids
 * would be fooled when they are used again.
 */
static int make_fork_mark(struct belay *b)
{
	long page = sysconf(_SC_PAGESIZE);
	uint32_t *p = mmap(NULL, (size_t)page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err;

	if (p == MAP_FAILED)
		return -errno;
	if (madvise(p, (size_t)page, MADV_WIPEONFORK) < 0) {
		err = -errno;
		munmap(p, (size_t)page);
		return err;
	}
	*p = 1;
	b->mine = p;
	return 0;
}

static int make_poll_fd(struct belay *b)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd, err;

	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = fd < 0 ? -errno : bl_fd_take(&b->timer_fd, fd);
	if (err)
		return err;
	bl_timer_mark(b);
	bl_connection_arm(b);
	fd = epoll_create1(EPOLL_CLOEXEC);
	err = fd < 0 ? -errno : bl_fd_take(&b->poll_fd, fd);
	if (err)
		return err;
	if (!epoll_ctl(b->poll_fd.fd, EPOLL_CTL_ADD, b->timer_fd.fd, &ev))
		return 0;
	err = -errno;
	/* Without the timer in it, it is not known for the handle's. */
	close(b->poll_fd.fd);
	b->poll_fd = BL_NO_FD;
	return err;
}

/* Closes and unmaps: only what is this process's, nothing shared with a parent. */
static void free_system(struct belay *b)
{
	bl_descriptors_close(b);
	bl_kernel_unmap_words(b->words, b->words_len);
	if (b->mine)
		munmap((void *)b->mine, (size_t)sysconf(_SC_PAGESIZE));
}

static void free_lists(struct belay *b)
{
	bl_requests_fini(b);
	bl_regions_fini(b);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* A handle that is half made, or whole: ends it and gives back what there is. */
static void free_handle(struct belay *b)
{
	if (!bl_session_check(b))
		bl_regions_unregister_all(b);
	bl_socket_shutdown(b);
	free_system(b);
	free_lists(b);
}

static int new_handle(struct belay **ret)
{
	struct belay *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->poll_fd = b->timer_fd = b->session_fd = b->conn.fd = BL_NO_FD;
	b->conn.backoff = BACKOFF_FIRST;
	b->free_slot = BL_NO_SLOT;
	b->open_timeout = -ETIMEDOUT;
	TAILQ_INIT(&b->queued);
	LIST_INIT(&b->orphans);
	LIST_INIT(&b->regions);
	TAILQ_INIT(&b->due);
	TAILQ_INIT(&b->sent);
	pthread_mutex_init(&b->lock, NULL);
	err = make_fork_mark(b);
	if (!err)
		err = make_poll_fd(b);
	if (err) {
		free_handle(b);
		return err;
	}
	*ret = b;
	return 0;
}

static const char *socket_path(const struct belay_options *opt)
{
	const char *path = opt->socket;

	if (!path)
		path = secure_getenv("BELAY_SOCKET");
	return path && *path ? path : BL_SOCKET_PATH;
}

/* A newer program may know more options; this library obeys those it knows. */
static int read_options(const struct belay_options *given,
			struct belay_options *ret, struct belay_refusal *why)
{
	const char *p = (const char *)given;
	size_t i;

	*ret = (struct belay_options){ .size = sizeof(*ret) };
	if (!given)
		return 0;
	if (given->size < sizeof(*ret))
		return bl_refuse(why, -EINVAL,
				 "options: size must be sizeof(struct belay_options)");
	for (i = sizeof(*ret); i < given->size; i++)
		if (p[i])
			return bl_refuse(why, -EINVAL,
					 "options: this release of libbelay (%s) does not know one that is set",
					 BELAY_VERSION);
	*ret = *given;
	if (ret->flags & ~OPEN_FLAGS || ret->reserved)
		return bl_refuse(why, -EINVAL,
				 "options: unknown flags, or reserved is not 0");
	if (ret->flags & BELAY_OPEN_THREAD && !ret->on_revoke)
		return bl_refuse(why, -EINVAL,
				 "options: BELAY_OPEN_THREAD needs on_revoke");
	if (strlen(socket_path(ret)) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return bl_refuse(why, -EINVAL, "%s: too long for the name of a socket",
				 socket_path(ret));
	return 0;
}

static void apply_options(struct belay *b, const struct belay_options *opt)
{
	const char *label = opt->label ? opt->label : program_invocation_short_name;
	const char *path = socket_path(opt);

	memcpy(b->socket, path, strlen(path) + 1);
	memcpy(b->label, label, strnlen(label, sizeof(b->label) - 1));
	b->want_bytes = opt->want_bytes;
	b->flags = opt->flags;
	b->on_revoke = opt->on_revoke;
	b->arg = opt->arg;
}

static int no_daemon(struct belay *b, int err, struct belay_refusal *why)
{
	switch (-err) {
	case ENOENT:
	case ECONNREFUSED:
		return bl_refuse(why, err,
				 "%s: belayd is not running (%s); is belayd.socket started?",
				 b->socket, strerror(-err));
	case EMFILE:
	case ENFILE:
		return bl_refuse_descriptors(why, err);
	default:
		return bl_refuse(why, err, "%s: cannot connect to belayd: %s",
				 b->socket, strerror(-err));
	}
}

/* Until the first BL_GRANT has come, or something final, or the time is over. */
static int await_session(struct belay *b, struct belay_refusal *why)
{
	struct pollfd pfd = { .fd = b->poll_fd.fd, .events = POLLIN };
	uint64_t end = bl_now() + OPEN_TIME, now;
	struct belay_refusal said = { .size = sizeof(said) };
	uint32_t requests = 0;
	int err;

	b->open_why = &said;
	while (!b->opened && !b->open_error) {
		now = bl_now();
		if (now >= end)
			break;
		poll(&pfd, 1, (int)((end - now) / 1000000 + 1));
		b->open_error = bl_connection_service(b, &requests) ?: b->open_error;
	}
	b->open_why = NULL;
	if (b->opened)
		return 0;
	err = b->open_error ? b->open_error : b->open_timeout;
	if (said.error == err)
		return bl_refuse_as(why, &said);
	if (b->open_error)
		return no_daemon(b, err, why);
	return bl_refuse(why, err,
			 "%s: belayd did not answer within 10 s; ask the administrator to look at: systemctl status belayd",
			 b->socket);
}

static int open_session(struct belay *b, struct belay_refusal *why)
{
	int err;

	pthread_mutex_lock(&b->lock); /* nobody else is there yet; for form's sake */
	err = bl_connection_start(b);
	if (err == -EAGAIN)
		err = 0;
	if (err)
		no_daemon(b, err, why);
	else
		err = await_session(b, why);
	pthread_mutex_unlock(&b->lock);
	return err;
}

int belay_open(struct belay **ret, const struct belay_options *opt,
	       struct belay_refusal *why)
{
	struct belay_options o;
	struct belay *b = NULL;
	int err;
	BL_KEEP_ERRNO;

	err = bl_refusal_check(why);
	if (!err)
		err = read_options(opt, &o, why);
	if (err)
		return err;
	err = new_handle(&b);
	if (err == -EMFILE || err == -ENFILE)
		return bl_refuse_descriptors(why, err);
	if (err)
		return bl_refuse(why, err, "cannot make a handle: %s", strerror(-err));
	apply_options(b, &o);
	err = open_session(b, why);
	if (!err && o.flags & BELAY_OPEN_THREAD) {
		err = bl_thread_start(b);
		if (err)
			bl_refuse(why, err, "cannot start the helper thread: %s",
				  strerror(-err));
	}
	if (err) {
		free_handle(b);
		return err;
	}
	*ret = b;
	return 0;
}

/*
 * A forked child's copy. If another thread was inside the library at the fork,
 * the lists may be half changed and the lock is held for ever: then what they
 * hold is left, and only what the system knows of is given back.
 */
static void free_copy(struct belay *b)
{
	free_system(b);
	if (pthread_mutex_trylock(&b->lock))
		return;
	pthread_mutex_unlock(&b->lock);
	free_lists(b);
}

void belay_close(struct belay *b)
{
	BL_KEEP_ERRNO;

	if (!b)
		return;
	if (!bl_is_mine(b)) {
		free_copy(b);
		return;
	}
	bl_thread_stop(b);
	free_handle(b);
}

int belay_get_fd(struct belay *b)
{
	int err;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (b->threaded)
		return -EBUSY;
	pthread_mutex_lock(&b->lock);
	err = bl_descriptors_check(b);
	pthread_mutex_unlock(&b->lock);
	return err ? err : b->poll_fd.fd;
}
