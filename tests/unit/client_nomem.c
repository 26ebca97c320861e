// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Everything that can fail, fails: the n-th allocation, descriptor or mapping,
 * for every n until a whole sequence succeeds. Run under ASan, a leak fails it.
 *
 * The linker puts the __wrap_ functions in the place of the C library's. They
 * count only what the tested thread does, between arm() and disarm().
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "tests/lib/tap.h"
#include "tests/unit/client_fake.h"
#include "tests/unit/nomem.h"

static char buffer[4 * 4096] __attribute__((aligned(4096)));

WRAP(void *, reallocarray, ENOMEM, NULL, (void *p, size_t n, size_t m), (p, n, m))
WRAP(void *, mmap, ENOMEM, MAP_FAILED,
     (void *p, size_t n, int prot, int flags, int fd, off_t off),
     (p, n, prot, flags, fd, off))
WRAP(int, madvise, ENOMEM, -1, (void *p, size_t n, int advice), (p, n, advice))
WRAP(int, epoll_create1, ENOMEM, -1, (int flags), (flags))
/* Only adding needs memory. */
int __real_epoll_ctl(int e, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int e, int op, int fd, struct epoll_event *ev);
int __wrap_epoll_ctl(int e, int op, int fd, struct epoll_event *ev)
{
	if (op != EPOLL_CTL_ADD || !fails())
		return __real_epoll_ctl(e, op, fd, ev);
	errno = ENOMEM;
	return -1;
}
WRAP(int, timerfd_create, ENOMEM, -1, (int clock, int flags), (clock, flags))
WRAP(int, socket, ENOMEM, -1, (int f, int t, int p), (f, t, p))
WRAP(int, pthread_create, ENOMEM, ENOMEM,
     (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
     (t, a, fn, arg))

static void ignore(struct belay *b, struct belay_request *req, void *arg)
{
	belay_ack(req);
}

TEST(open_nomem, "open that runs out of anything says ENOMEM and leaves nothing")
{
	struct fake_daemon *d = fake_start();
	struct belay_options opt = {
		.size = sizeof(opt), .flags = BELAY_OPEN_THREAD, .on_revoke = ignore,
	};
	int fds = fake_fd_count(), err, n;
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;

	for (n = 1; ; n++) {
		why = (struct belay_refusal){ .size = sizeof(why) };
		b = NULL;
		arm(n);
		err = belay_open(&b, &opt, &why);
		if (!disarm())
			break;
		CHECK_EQ(err, -ENOMEM);
		CHECK_EQ(why.error, -ENOMEM);
		CHECK(why.text[0] && !b);
		CHECK_SOON(fake_fd_count() == fds, 5);
	}
	CHECK_OK(err);
	tap_diag("%d failures", n - 1);
	CHECK_GE(n, 8);
	belay_close(b);
	CHECK_SOON(fake_fd_count() == fds, 5);
	fake_stop(d);
}

TEST(register_nomem, "registering that runs out of memory registers nothing")
{
	struct fake_daemon *d = fake_start();
	struct belay_range ranges[100];
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;
	struct belay *b;
	long got;
	int n, i;

	for (i = 0; i < 100; i++)
		ranges[i] = (struct belay_range){
			.size = sizeof(struct belay_range),
			.addr = buffer, .len = 4096, .flags = BELAY_PIN,
		};
	for (n = 1; ; n++) {
		CHECK_OK(belay_open(&b, NULL, NULL));
		why = (struct belay_refusal){ .size = sizeof(why) };
		arm(n);
		got = belay_register_many(b, ranges, 100, &why);
		if (!disarm())
			break;
		CHECK_EQ(got, -ENOMEM);
		CHECK_EQ(why.error, -ENOMEM);
		CHECK_EQ(fake_kernel.registers, 0);
		for (i = 0; i < 100; i++)
			CHECK(ranges[i].error == -ENOMEM && !ranges[i].region);
		/* The handle is as good as before. */
		CHECK_OK(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, NULL));
		CHECK_OK(belay_unregister(r));
		fake_kernel.registers = 0;
		belay_close(b);
	}
	CHECK_EQ(got, 100);
	CHECK_EQ(n, 104); /* a hundred objects, table and slots, the entries */
	belay_close(b);
	fake_stop(d);
}

TEST(trim_nomem, "a trim that runs out of memory changes nothing")
{
	struct belay_region *r, *before = NULL, *after = NULL, *more[62];
	struct fake_daemon *d = fake_start();
	struct belay *b;
	int i, n, err = -ENOMEM;

	CHECK_OK(belay_open(&b, NULL, NULL));
	/* The table is full: it has to grow. */
	for (i = 0; i < 62; i++)
		CHECK_OK(belay_register(b, buffer, sizeof(buffer), BELAY_PIN, NULL,
					&more[i], NULL));
	CHECK_OK(belay_register(b, buffer, sizeof(buffer), BELAY_PIN, NULL, &r, NULL));
	for (n = 1; err; n++) {
		CHECK_LE(n, 10);
		arm(n);
		err = belay_trim(r, buffer + 4096, 4096, &before, &after, NULL);
		if (disarm()) {
			CHECK_EQ(err, -ENOMEM);
			CHECK(!before && !after && belay_valid(r));
			CHECK_EQ(fake_kernel.trims, 0);
			CHECK_EQ(fake_kernel.live, 63);
		} else {
			CHECK_OK(err);
			break;
		}
	}
	CHECK_EQ(n, 4);		/* two objects and the table */
	CHECK(belay_valid(before) && belay_valid(after) && !belay_valid(r));
	arm(1);			/* letting go needs nothing */
	CHECK_OK(belay_unregister(r));
	CHECK_OK(belay_unregister(before));
	CHECK(!disarm());
	CHECK_EQ(fake_kernel.live, 63);
	belay_close(b);
	CHECK_EQ(fake_kernel.live, 0);
	fake_stop(d);
}

TEST(revoke_nomem, "a request that finds no memory comes again")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, NULL));
	fake_revoke(d, 1, r);
	arm(1);
	CHECK_EQ(belay_dispatch(b), 0);
	CHECK(disarm());
	CHECK_SOON(belay_dispatch(b) == 0 && fake_count(&d->resumes) == 1, 5);
	fake_revoke(d, 1, r);
	CHECK_SOON(belay_dispatch(b) == 1, 5);
	CHECK_OK(belay_get_request(b, &req));
	/* Giving back and answering need nothing. */
	arm(1);
	CHECK_OK(belay_ack(req));
	CHECK_OK(belay_unregister(r));
	CHECK(!disarm());
	belay_close(b);
	fake_stop(d);
}

TEST(reconnect_nomem, "reconnecting that runs out of anything is tried again")
{
	struct fake_daemon *d = fake_start();
	double end = tap_now() + 15;
	unsigned int n;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	for (n = 1; n <= 2; n++) {
		fake_crash(d);
		fake_restart(d);
		CHECK_EQ(belay_dispatch(b), 0);
		hit = false;
		while (fake_count(&d->resumes) < n) {
			CHECK(tap_now() < end);
			if (!hit)
				arm((int)n);
			CHECK_EQ(belay_dispatch(b), 0);
			countdown = 0;
			usleep(1000);
		}
		CHECK(hit);
	}
	belay_close(b);
	fake_stop(d);
}

TAP_MAIN()
