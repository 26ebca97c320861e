// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A program that closes or replaces the library's descriptors. Whatever it puts in
 * their places is its own: nothing is read, written or closed there.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "tests/lib/tap.h"
#include "tests/unit/client_fake.h"

#define MAX_FDS	256

static char buffer[4 * 4096] __attribute__((aligned(4096)));

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* A handle, and its descriptors: what is open now, was not before, and is not the daemon's. */
struct handle {
	struct belay *b;
	struct belay_region *r;
	int fds[8];
	int n;
};

static void open_handle(struct handle *h, struct fake_daemon *d,
			const struct belay_options *opt)
{
	static unsigned int opened;
	bool before[MAX_FDS];
	int fd;

	/* The daemon has noticed that the ones before are gone. */
	CHECK_SOON(fake_count(&d->closes) == opened, 5);
	opened++;
	for (fd = 0; fd < MAX_FDS; fd++)
		before[fd] = is_open(fd);
	CHECK_OK(belay_open(&h->b, opt, NULL));
	CHECK_OK(belay_register(h->b, buffer, 4096, BELAY_TRACK, NULL, &h->r, NULL));
	h->n = 0;
	pthread_mutex_lock(&d->lock);
	for (fd = 0; fd < MAX_FDS; fd++)
		if (is_open(fd) && !before[fd] && fd != d->newest) {
			CHECK_LT(h->n, 8);
			h->fds[h->n++] = fd;
		}
	pthread_mutex_unlock(&d->lock);
	CHECK_EQ(h->n, 4);
}

static void lose_all(const struct handle *h)
{
	int i;

	for (i = 0; i < h->n; i++)
		close(h->fds[i]);
}

/* Every call says the one thing. What the program has it may still give back. */
static void expect_dead(struct handle *h)
{
	struct belay_range range = { .size = sizeof(range), .addr = buffer, .len = 4096, .flags = BELAY_PIN };
	struct belay_region *before, *after, *r = NULL;
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_request *req;
	struct belay_limit l = { .size = sizeof(l) };

	CHECK_EQ(belay_register(h->b, buffer, 4096, BELAY_PIN, NULL, &r, &why), -EBADF);
	CHECK_EQ(why.error, -EBADF);
	CHECK(strstr(why.text, "belay_close()") && !r);
	CHECK_EQ(belay_register_many(h->b, &range, 1, NULL), -EBADF);
	CHECK_EQ(range.error, -EBADF);
	CHECK_EQ(belay_commit(h->r, NULL), -EBADF);
	CHECK_EQ(belay_trim(h->r, buffer, 4096, &before, &after, &why), -EBADF);
	CHECK_EQ(why.error, -EBADF);
	CHECK_EQ(belay_get_limits(h->b, &l, 1), -EBADF);
	CHECK_EQ(belay_dispatch(h->b), -EBADF);
	CHECK_EQ(belay_get_fd(h->b), -EBADF);
	CHECK_EQ(belay_get_request(h->b, &req), -EBADF);
}

/* The same, and the module cannot be reached: nothing is said to be let go. */
static void expect_lost_session(struct handle *h)
{
	struct belay_range range = { .size = sizeof(range), .region = h->r };
	unsigned int live = fake_kernel.live, unregisters = fake_kernel.unregisters;

	CHECK_EQ(belay_unregister(h->r), -EBADF);
	CHECK_EQ(belay_unregister_many(h->b, &range, 1), 0);
	CHECK_EQ(range.error, -EBADF);
	CHECK(range.region == h->r);
	CHECK_EQ(fake_kernel.live, live);
	CHECK_EQ(fake_kernel.unregisters, unregisters);
	expect_dead(h);
}

TEST(closed, "of a handle whose descriptors are closed, every call says EBADF and no region is said to be let go")
{
	struct fake_daemon *d = fake_start();
	struct handle h;

	open_handle(&h, d, NULL);
	lose_all(&h);
	expect_lost_session(&h);
	belay_close(h.b);
	fake_stop(d);
}

/* A file of the program's own, of any kind, in that place. */
static void put_own(int kind, int place)
{
	int fd = -1, two[2];

	switch (kind) {
	case 0:
		fd = CHECK_SYS(open("/dev/null", O_RDWR));
		break;
	case 1:
		fd = CHECK_SYS(eventfd(0, EFD_NONBLOCK));
		break;
	case 2:
		fd = CHECK_SYS(epoll_create1(0));
		break;
	case 3:
		fd = CHECK_SYS(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
		break;
	default:
		CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, two));
		fd = two[0];
	}
	if (fd != place) {
		CHECK_SYS(dup2(fd, place));
		close(fd);
	}
}

TEST(replaced, "what the program has put in their place stays open, and as it was")
{
	struct fake_daemon *d = fake_start();
	struct stat was[8], is;
	struct itimerspec t;
	struct handle h;
	int kind, i;

	for (kind = 0; kind < 5; kind++) {
		open_handle(&h, d, NULL);
		for (i = 0; i < h.n; i++) {
			put_own(kind, h.fds[i]);
			CHECK_SYS(fstat(h.fds[i], &was[i]));
		}
		expect_lost_session(&h);
		belay_close(h.b);
		for (i = 0; i < h.n; i++) {
			CHECK_SYS(fstat(h.fds[i], &is));
			CHECK_EQ(is.st_ino, was[i].st_ino);
			if (kind == 3) {
				CHECK_SYS(timerfd_gettime(h.fds[i], &t));
				CHECK(!t.it_interval.tv_sec && !t.it_value.tv_nsec);
			}
			close(h.fds[i]);
		}
	}
	fake_stop(d);
}

TEST(another, "another handle in the same places is neither used nor harmed")
{
	struct fake_daemon *d = fake_start();
	struct handle old, new;
	struct belay_request *req;
	int i;

	open_handle(&old, d, NULL);
	lose_all(&old);
	open_handle(&new, d, NULL);
	for (i = 0; i < 4; i++)
		tap_diag("%d, and then %d", old.fds[i], new.fds[i]);
	expect_lost_session(&old);
	belay_close(old.b);
	for (i = 0; i < 4; i++)
		CHECK(is_open(new.fds[i]));
	fake_revoke(d, 5, new.r);
	CHECK_SOON(belay_dispatch(new.b) == 1, 5);
	CHECK_OK(belay_get_request(new.b, &req));
	CHECK_OK(belay_ack(req));
	CHECK_SOON(belay_dispatch(new.b) == 0 && fake_count(&d->acks) == 1, 5);
	CHECK_OK(belay_unregister(new.r));
	belay_close(new.b);
	for (i = 0; i < 4; i++)
		CHECK(!is_open(new.fds[i]));
	fake_stop(d);
}

TEST(one, "if any one of them is lost the handle is dead, and what can still be let go is")
{
	struct fake_daemon *d = fake_start();
	int lost = 0, i, j, err;
	struct handle h;

	for (i = 0; i < 4; i++) {
		open_handle(&h, d, NULL);
		close(h.fds[i]);
		CHECK_EQ(belay_dispatch(h.b), -EBADF);
		expect_dead(&h);
		err = belay_unregister(h.r);
		if (err) {
			CHECK_EQ(err, -EBADF);
			lost++;
		} else {
			CHECK_EQ(fake_kernel.live, lost);
		}
		belay_close(h.b);
		for (j = 0; j < 4; j++) {
			CHECK(!is_open(h.fds[j]));
		}
	}
	CHECK_EQ(lost, 1);
	fake_stop(d);
}

static void ignore(struct belay *b, struct belay_request *req, void *arg)
{
	belay_ack(req);
}

static double cpu_time(void)
{
	struct timespec ts;

	CHECK_SYS(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts));
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

TEST(thread, "the helper thread ends, without a turn of the processor, and close waits for it")
{
	const struct belay_options opt = { .size = sizeof(opt), .flags = BELAY_OPEN_THREAD,
					   .on_revoke = ignore };
	struct fake_daemon *d = fake_start();
	struct handle h;
	double used;
	int kind, i;

	for (kind = -1; kind < 5; kind++) {
		open_handle(&h, d, &opt);
		lose_all(&h);
		for (i = 0; i < h.n && kind >= 0; i++)
			put_own(kind, h.fds[i]);
		used = cpu_time();
		usleep(1500000);
		used = cpu_time() - used;
		tap_diag("%.3f s of 1.5 s", used);
		CHECK(used < 0.3);
		CHECK_EQ(belay_get_fd(h.b), -EBUSY);
		CHECK_EQ(belay_unregister(h.r), -EBADF);
		belay_close(h.b);
		for (i = 0; i < h.n && kind >= 0; i++) {
			CHECK(is_open(h.fds[i]));
			close(h.fds[i]);
		}
	}
	fake_stop(d);
}

TEST(requests, "a request that the program has is freed by its ack, which says that nobody hears it")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *req;
	struct handle h;

	open_handle(&h, d, NULL);
	fake_revoke(d, 5, h.r);
	CHECK_SOON(belay_dispatch(h.b) == 1, 5);
	CHECK_OK(belay_get_request(h.b, &req));
	lose_all(&h);
	CHECK_EQ(belay_ack(req), -EBADF);
	CHECK_OK(belay_ack(NULL));
	belay_close(h.b);
	CHECK_EQ(fake_count(&d->acks), 0);
	fake_stop(d);
}

TEST(child, "a forked child that has closed everything keeps its own files when it closes the handle")
{
	struct fake_daemon *d = fake_start();
	struct handle h;
	int kind, i;
	pid_t pid;

	open_handle(&h, d, NULL);
	for (kind = 0; kind < 5; kind++) {
		pid = CHECK_SYS(fork());
		if (!pid) {
			for (i = 0; i < h.n; i++)
				put_own(kind, h.fds[i]);
			CHECK_EQ(belay_unregister(h.r), -EXDEV);
			belay_close(h.b);
			for (i = 0; i < h.n; i++)
				CHECK(is_open(h.fds[i]));
			_exit(0);
		}
		tap_join(pid);
	}
	/* And one that has not gives them all back. */
	pid = CHECK_SYS(fork());
	if (!pid) {
		belay_close(h.b);
		for (i = 0; i < h.n; i++)
			CHECK(!is_open(h.fds[i]));
		_exit(0);
	}
	tap_join(pid);
	CHECK_EQ(belay_dispatch(h.b), 0);
	CHECK_OK(belay_unregister(h.r));
	belay_close(h.b);
	CHECK_EQ(fake_kernel.live, 0);
	fake_stop(d);
}

TEST(standard, "no descriptor of a handle takes the place of a standard one that is closed")
{
	struct fake_daemon *d = fake_start();
	struct handle h;
	pid_t pid = CHECK_SYS(fork());

	if (!pid) {
		/* The daemon is the parent's. */
		close(STDIN_FILENO);
		close(STDERR_FILENO);
		CHECK_OK(belay_open(&h.b, NULL, NULL));
		CHECK(!is_open(STDIN_FILENO) && !is_open(STDERR_FILENO));
		CHECK_OK(belay_register(h.b, buffer, 4096, BELAY_PIN, NULL, &h.r, NULL));
		CHECK_OK(belay_unregister(h.r));
		belay_close(h.b);
		_exit(0);
	}
	tap_join(pid);
	fake_stop(d);
}

TAP_MAIN()
