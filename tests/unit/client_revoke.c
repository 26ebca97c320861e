// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Revoke requests, reconnecting, and a daemon that misbehaves.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/lib/tap.h"
#include "tests/unit/client_fake.h"

static char buffer[4 * 4096] __attribute__((aligned(4096)));

static struct belay_region *register_one(struct belay *b)
{
	struct belay_region *r = NULL;

	CHECK_OK(belay_register(b, buffer, sizeof(buffer), BELAY_PIN | BELAY_WRITE,
				&buffer, &r, NULL));
	return r;
}

/* Dispatches until so many requests have come. */
static void dispatch(struct belay *b, int requests)
{
	double end = tap_now() + 5;
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };

	CHECK(p.fd >= 0);
	while (requests > 0) {
		CHECK(tap_now() < end);
		CHECK_SYS(poll(&p, 1, 100));
		requests -= CHECK_OK(belay_dispatch(b));
	}
	CHECK_EQ(requests, 0);
}

static void dispatch_until(struct belay *b, const unsigned int *counter,
			   unsigned int count)
{
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };
	double end = tap_now() + 8;

	while (fake_count(counter) < count) {
		CHECK(tap_now() < end);
		CHECK_SYS(poll(&p, 1, 100));
		CHECK_OK(belay_dispatch(b));
	}
}

/* Nothing more comes; the daemon's side has dealt with everything. */
static void dispatch_nothing(struct belay *b)
{
	int i;

	for (i = 0; i < 20; i++) {
		CHECK_EQ(belay_dispatch(b), 0);
		usleep(2000);
	}
}

TEST(get_ack, "a request is polled for, read, and acknowledged once")
{
	struct fake_daemon *d = fake_start();
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	fake_revoke(d, 41, r);
	errno = 4711;
	dispatch(b, 1);
	CHECK_EQ(errno, 4711);
	CHECK_OK(belay_get_request(b, &req));
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(info.region == r && info.user == &buffer);
	CHECK_EQ(info.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(info.escalation, BL_KILL);
	CHECK_EQ(info.deadline, 12345);
	CHECK(!info.lost_addr && !info.lost_len);
	CHECK_STR(info.reason_text, "recalled by an administrator");
	info.size = 8;
	CHECK_EQ(belay_get_request_info(req, &info), -EINVAL);
	CHECK_OK(belay_ack(req));
	CHECK_SOON(fake_count(&d->acks) == 1, 5);
	CHECK_EQ(d->acked[0], 41);
	dispatch_nothing(b);
	CHECK_OK(belay_unregister(r));
	dispatch_nothing(b);
	CHECK_EQ(fake_count(&d->acks), 1);
	belay_close(b);
	fake_stop(d);
}

struct callback {
	pthread_t thread;
	sigset_t blocked;
	unsigned int calls;
	bool unregister;
};

static void on_revoke(struct belay *b, struct belay_request *req, void *arg)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct callback *c = arg;

	c->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &c->blocked);
	CHECK_OK(belay_get_request_info(req, &info));
	if (c->unregister)
		CHECK_OK(belay_unregister(info.region));
	CHECK_OK(belay_ack(req));
	__atomic_add_fetch(&c->calls, 1, __ATOMIC_RELEASE);
}

TEST(callback, "dispatch calls the callback, which may unregister and acknowledge")
{
	struct fake_daemon *d = fake_start();
	struct callback c = { .unregister = true };
	struct belay_options opt = {
		.size = sizeof(opt), .on_revoke = on_revoke, .arg = &c,
	};
	struct belay_request *req;
	struct belay *b;

	CHECK_OK(belay_open(&b, &opt, NULL));
	fake_revoke(d, 1, register_one(b));
	dispatch(b, 1);
	CHECK_EQ(c.calls, 1);
	CHECK(pthread_equal(c.thread, pthread_self()));
	CHECK_EQ(belay_get_request(b, &req), -EINVAL);
	CHECK_SOON(fake_count(&d->acks) == 1, 5);
	CHECK_EQ(fake_kernel.live, 0);
	belay_close(b);
	fake_stop(d);
}

TEST(helper_thread, "the helper thread calls the callback, with all signals blocked")
{
	struct fake_daemon *d = fake_start();
	struct callback c = { .unregister = true };
	struct belay_options opt = {
		.size = sizeof(opt), .on_revoke = on_revoke, .arg = &c,
		.flags = BELAY_OPEN_THREAD,
	};
	struct belay *b;
	sigset_t mask;

	CHECK_OK(belay_open(&b, &opt, NULL));
	CHECK_EQ(belay_dispatch(b), -EBUSY);
	CHECK_EQ(belay_get_fd(b), -EBUSY);
	fake_revoke(d, 1, register_one(b));
	CHECK_SOON(__atomic_load_n(&c.calls, __ATOMIC_ACQUIRE) == 1, 5);
	CHECK(!pthread_equal(c.thread, pthread_self()));
	CHECK(sigismember(&c.blocked, SIGTERM) && sigismember(&c.blocked, SIGUSR1));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CHECK(!sigismember(&mask, SIGTERM));
	/* The thread reconnects without anybody's help. */
	fake_crash(d);
	fake_restart(d);
	CHECK_SOON(fake_count(&d->resumes) == 1, 5);
	fake_revoke(d, 2, register_one(b));
	CHECK_SOON(__atomic_load_n(&c.calls, __ATOMIC_ACQUIRE) == 2, 5);
	belay_close(b);
	fake_stop(d);
}

TEST(unregister_acks, "unregistering answers what was asked of the region, seen or not")
{
	struct fake_daemon *d = fake_start();
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	fake_revoke(d, 7, r);
	fake_revoke(d, 8, r);
	dispatch(b, 2);
	CHECK_OK(belay_get_request(b, &req));
	CHECK_OK(belay_unregister(r));
	CHECK_EQ(fake_kernel.unregisters, 1);
	CHECK_SOON(fake_count(&d->acks) == 2, 5);
	/* The one that was not seen is not shown any more; the other is empty. */
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(!info.region && !info.user);
	dispatch_nothing(b);
	CHECK_OK(belay_ack(req));
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	dispatch_nothing(b);
	CHECK_EQ(fake_count(&d->acks), 2);
	belay_close(b);
	fake_stop(d);
}

TEST(unknown_region, "a request for a region that is gone is answered by the library")
{
	struct fake_daemon *d = fake_start();
	struct belay *b;
	uint64_t cookie;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_unregister(register_one(b)));
	cookie = fake_kernel.last_cookie;
	/* The slot has another user now. */
	register_one(b);
	CHECK_NE(cookie, fake_kernel.last_cookie);
	fake_revoke_cookie(d, 5, 1, cookie);
	fake_revoke_cookie(d, 6, 1, UINT64_MAX);
	fake_revoke_cookie(d, 7, 999999, fake_kernel.last_cookie);
	dispatch_until(b, &d->acks, 3);
	dispatch_nothing(b);
	belay_close(b);
	fake_stop(d);
}

static struct fake_daemon *early_daemon;
static struct belay *early_handle;

static void revoke_early(const struct belay_register_entry *e)
{
	fake_revoke_cookie(early_daemon, 9, e->region, e->cookie);
	CHECK_SOON(belay_dispatch(early_handle) == 0, 5);
	usleep(5000);
	CHECK_EQ(belay_dispatch(early_handle), 0);
}

TEST(early_request, "a request that overtakes the registration waits for it")
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct fake_daemon *d = early_daemon = fake_start();
	struct belay_request *req;
	struct belay_region *r;
	struct pollfd p = { .events = POLLIN };

	CHECK_OK(belay_open(&early_handle, NULL, NULL));
	fake_kernel.before_return = revoke_early;
	r = register_one(early_handle);
	p.fd = belay_get_fd(early_handle);
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK_OK(belay_dispatch(early_handle));
	CHECK_OK(belay_get_request(early_handle, &req));
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(info.region == r);
	CHECK_EQ(poll(&p, 1, 0), 0);
	belay_close(early_handle);
	fake_stop(d);
}

/* The next request: this part is lost. */
static struct belay_request *expect_lost(struct belay *b, struct belay_region *r,
					 const void *addr, size_t len)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req = NULL;

	CHECK_OK(belay_get_request(b, &req));
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(info.region == r);
	CHECK_EQ(info.reason, BELAY_REASON_UNMAPPED);
	CHECK(info.lost_addr == addr);
	CHECK_EQ(info.lost_len, len);
	return req;
}

TEST(more_lost, "when more is lost the program is told, once, of what it did not know")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *first, *second, *none;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	/* Not fetched yet: it is one request, brought up to date. */
	fake_lose(d, 5, r->id, buffer, 4096);
	dispatch(b, 1);
	fake_lose(d, 5, r->id, buffer, 8192);
	dispatch_nothing(b);
	first = expect_lost(b, r, buffer, 8192);
	CHECK_EQ(belay_get_request(b, &none), -EAGAIN);
	/* The program has it: another one, and the first says what it said. */
	fake_lose(d, 5, r->id, buffer, 8192);
	dispatch_nothing(b);
	fake_lose(d, 5, r->id, buffer, 12288);
	dispatch(b, 1);
	second = expect_lost(b, r, buffer, 12288);
	CHECK_EQ(belay_get_request(b, &none), -EAGAIN);
	/* Each is acknowledged; what was acknowledged is not shown again. */
	CHECK_OK(belay_ack(first));
	CHECK_OK(belay_ack(second));
	CHECK_SOON(fake_count(&d->acks) == 2, 5);
	dispatch_nothing(b);
	fake_lose(d, 5, r->id, buffer, 12288);
	dispatch_until(b, &d->acks, 3);
	CHECK_EQ(belay_get_request(b, &none), -EAGAIN);
	fake_lose(d, 5, r->id, buffer, 16384);
	dispatch(b, 1);
	CHECK_OK(belay_ack(expect_lost(b, r, buffer, 16384)));
	belay_close(b);
	fake_stop(d);
}

TEST(acked_both, "the ack of a recall and that of a loss are remembered apart")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *recall, *loss;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	fake_revoke(d, 3, r);
	fake_lose(d, 5, r->id, buffer, 4096);
	dispatch(b, 2);
	CHECK_OK(belay_get_request(b, &recall));
	CHECK_OK(belay_get_request(b, &loss));
	CHECK_OK(belay_ack(loss));
	CHECK_OK(belay_ack(recall));
	dispatch_until(b, &d->acks, 2);
	dispatch_nothing(b);
	fake_lose(d, 5, r->id, buffer, 4096);
	fake_revoke(d, 3, r);
	dispatch_until(b, &d->acks, 4);
	CHECK_EQ(belay_get_request(b, &recall), -EAGAIN);
	belay_close(b);
	fake_stop(d);
}

TEST(trim_acks, "trimming answers what was asked of the region, seen or not, and nothing twice")
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_region *r, *before, *after;
	struct fake_daemon *d = fake_start();
	struct belay_request *seen, *req;
	struct belay *b;
	uint64_t id;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	fake_lose(d, 5, r->id, buffer + 4096, 4096);
	dispatch(b, 1);
	seen = expect_lost(b, r, buffer + 4096, 4096);
	fake_lose(d, 5, r->id, buffer + 4096, 8192);
	dispatch(b, 1);
	CHECK_OK(belay_trim(r, buffer + 4096, 8192, &before, &after, NULL));
	dispatch_until(b, &d->acks, 2);
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	CHECK_OK(belay_get_request_info(seen, &info));
	CHECK(!info.region && info.lost_len == 4096);
	CHECK_OK(belay_ack(seen));
	dispatch_nothing(b);
	CHECK_EQ(fake_count(&d->acks), 2);
	/* One that was on its way when the region ended: it is over. */
	fake_lose(d, 5, r->id, buffer + 4096, 12288);
	dispatch_until(b, &d->acks, 3);
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	/* The parts are asked for as regions of their own. */
	fake_lose(d, 6, after->id, buffer + 12288, 4096);
	dispatch(b, 1);
	req = expect_lost(b, after, buffer + 12288, 4096);
	CHECK_OK(belay_unregister(after));
	CHECK_OK(belay_ack(req));
	CHECK_OK(belay_unregister(r));
	fake_lose(d, 7, before->id, buffer, 4096);
	dispatch(b, 1);
	CHECK_OK(belay_ack(expect_lost(b, before, buffer, 4096)));
	/* The last of the family goes; its cookie means nothing any more. */
	id = before->id;
	CHECK_OK(belay_unregister(before));
	dispatch_until(b, &d->acks, 5);
	fake_lose(d, 8, id, buffer, 4096);
	dispatch_until(b, &d->acks, 6);
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	belay_close(b);
	fake_stop(d);
}

/* While BELAY_TRIM runs: requests for both parts, for a stranger, and repeated. */
static void lose_early(const struct belay_trim_entry *e)
{
	uint64_t parts[2] = { e->before.region, e->after.region };
	int i;

	for (i = 0; i < 4; i++)
		fake_lose(early_daemon, 20 + i % 2, parts[i % 2], buffer, 4096);
	fake_lose(early_daemon, 30, 999999, buffer, 4096);
	for (i = 0; i < 10; i++) {
		CHECK_EQ(belay_dispatch(early_handle), 0);
		usleep(2000);
	}
}

TEST(early_part, "a request for a part that overtakes the trim waits for it, one for nobody is answered")
{
	struct fake_daemon *d = early_daemon = fake_start();
	struct belay_region *r, *before, *after;
	struct pollfd p = { .events = POLLIN };
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req;
	struct belay *b;
	int i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	early_handle = b;
	r = register_one(b);
	fake_kernel.trimmed = lose_early;
	CHECK_OK(belay_trim(r, buffer + 4096, 8192, &before, &after, NULL));
	p.fd = belay_get_fd(b);
	CHECK_EQ(poll(&p, 1, 1000), 1);
	dispatch_until(b, &d->acks, 1);
	CHECK_EQ(d->acked[0], 30);
	for (i = 0; i < 2; i++) {
		CHECK_OK(belay_get_request(b, &req));
		CHECK_OK(belay_get_request_info(req, &info));
		CHECK(info.region == before || info.region == after);
		CHECK_OK(belay_unregister(info.region));
		CHECK_OK(belay_ack(req));
	}
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	dispatch_until(b, &d->acks, 3);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
	fake_stop(d);
}

static void *test_word(void *arg)
{
	struct belay_region *r = arg;

	while (belay_valid(r))
		;
	CHECK_EQ(belay_check(r), BELAY_RELEASED);
	return NULL;
}

static struct belay_region *trimmed_by[4];

static void *trim_it(void *arg)
{
	struct belay_region *r = arg, *before = NULL, *after = NULL;
	int err = belay_trim(r, buffer + 4096, 4096, &before, &after, NULL);

	if (err)
		CHECK_EQ(err, -ENOENT);
	else
		CHECK(before && after && belay_valid(before) && belay_valid(after));
	return err ? NULL : before;
}

TEST(trim_threads, "of threads that trim one region one succeeds, and who still tests it sees that it is over")
{
	struct fake_daemon *d = fake_start();
	pthread_t testers[2], trimmers[4];
	struct belay_region *r;
	struct belay *b;
	void *part;
	int round, i, winners;

	CHECK_OK(belay_open(&b, NULL, NULL));
	for (round = 0; round < 50; round++) {
		r = register_one(b);
		winners = 0;
		for (i = 0; i < 2; i++)
			CHECK_EQ(pthread_create(&testers[i], NULL, test_word, r), 0);
		for (i = 0; i < 4; i++)
			CHECK_EQ(pthread_create(&trimmers[i], NULL, trim_it, r), 0);
		for (i = 0; i < 4; i++) {
			CHECK_EQ(pthread_join(trimmers[i], &part), 0);
			trimmed_by[i] = part;
			winners += part != NULL;
		}
		for (i = 0; i < 2; i++)
			CHECK_EQ(pthread_join(testers[i], NULL), 0);
		CHECK_EQ(winners, 1);
		CHECK_OK(belay_unregister(r));
	}
	CHECK_EQ(fake_kernel.live, 100);
	belay_close(b);
	CHECK_EQ(fake_kernel.live, 0);
	fake_stop(d);
}

TEST(many_parts, "a region trimmed into a thousand parts: each is found by its own request")
{
	struct fake_daemon *d = fake_start();
	struct belay_region *r, *before, *parts[500];
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay_request *req;
	struct belay *b;
	char *big = aligned_alloc(4096, 1002 * 4096);
	int i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, big, 1002 * 4096, BELAY_PIN, NULL, &r, NULL));
	for (i = 0; i < 500; i++) {
		struct belay_region *whole = r;

		CHECK_OK(belay_trim(whole, big + (2 * i + 1) * 4096, 4096, &before,
				    &r, NULL));
		CHECK_OK(belay_unregister(whole));
		parts[i] = before;
	}
	for (i = 499; i >= 0; i -= 7) {
		fake_lose(d, 100 + i, parts[i]->id, parts[i]->addr, 4096);
		dispatch(b, 1);
		CHECK_OK(belay_get_request(b, &req));
		CHECK_OK(belay_get_request_info(req, &info));
		CHECK(info.region == parts[i]);
		CHECK_OK(belay_ack(req));
	}
	CHECK_EQ(fake_kernel.live, 501);
	belay_close(b);
	CHECK_EQ(fake_kernel.live, 0);
	free(big);
	fake_stop(d);
}

TEST(reconnect, "a daemon that dies is found again, and an acknowledgement is not lost")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	fake_revoke(d, 3, r);
	dispatch(b, 1);
	CHECK_OK(belay_get_request(b, &req));
	fake_crash(d);
	CHECK_EQ(belay_dispatch(b), 0);
	/* Nothing of this needs the daemon. */
	CHECK(belay_valid(r));
	CHECK_OK(belay_unregister(register_one(b)));
	CHECK_OK(belay_ack(req));
	CHECK_EQ(fake_count(&d->acks), 0);
	fake_restart(d);
	dispatch_until(b, &d->acks, 1);
	CHECK_EQ(d->resumes, 1);
	CHECK_EQ(d->acked[0], 3);
	belay_close(b);
	fake_stop(d);
}

TEST(reconnect_beside_child, "a child that has the old socket does not keep the poll descriptor readable")
{
	struct fake_daemon *d = fake_start();
	struct pollfd p = { .events = POLLIN };
	struct belay *b;
	pid_t pid;

	CHECK_OK(belay_open(&b, NULL, NULL));
	p.fd = belay_get_fd(b);
	pid = CHECK_SYS(fork());
	if (!pid) {
		close(d->newest); /* these are the daemon's */
		close(d->listener);
		for (;;)
			pause();
	}
	fake_crash(d);
	fake_restart(d);
	dispatch_until(b, &d->resumes, 1);
	dispatch_nothing(b);
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SYS(waitpid(pid, NULL, 0));
	belay_close(b);
	fake_stop(d);
}

static bool no_answer_to_ack(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type != BL_ACK)
		return false;
	__atomic_add_fetch(&d->acks, 1, __ATOMIC_RELEASE);
	return true;
}

TEST(repeated, "what the daemon sends again is not shown again, and what it did not confirm is repeated")
{
	struct fake_daemon *d = fake_start();
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	d->on_message = no_answer_to_ack;
	fake_revoke(d, 3, r);
	dispatch(b, 1);
	fake_revoke(d, 3, r);
	dispatch_nothing(b);
	CHECK_OK(belay_get_request(b, &req));
	CHECK_OK(belay_ack(req));
	CHECK_SOON(fake_count(&d->acks) == 1, 5);
	fake_crash(d);
	fake_restart(d);
	dispatch_until(b, &d->acks, 2);
	d->on_message = NULL;
	fake_crash(d);
	fake_restart(d);
	dispatch_until(b, &d->acks, 3);
	dispatch_nothing(b);
	/* Confirmed now; a daemon that has forgotten is told again, silently. */
	fake_revoke(d, 3, r);
	dispatch_until(b, &d->acks, 4);
	CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
	belay_close(b);
	fake_stop(d);
}

TEST(many_requests, "a flood of requests and acknowledgements goes through a full socket")
{
	struct fake_daemon *d = fake_start();
	struct belay_range ranges[400];
	struct belay_request *req;
	unsigned int got = 0, i;
	struct belay *b;

	CHECK_OK(belay_open(&b, NULL, NULL));
	for (i = 0; i < 400; i++) {
		ranges[i] = (struct belay_range){
			.size = sizeof(struct belay_range),
			.addr = buffer, .len = 4096, .flags = BELAY_PIN,
		};
		CHECK_EQ(belay_register_many(b, &ranges[i], 1, NULL), 1);
		fake_revoke(d, 1000 + i, ranges[i].region);
		CHECK_OK(belay_dispatch(b));
	}
	pthread_mutex_lock(&d->lock); /* the daemon reads nothing now */
	while (got < 400) {
		CHECK_OK(belay_dispatch(b));
		while (!belay_get_request(b, &req)) {
			CHECK_OK(belay_ack(req));
			got++;
		}
	}
	pthread_mutex_unlock(&d->lock);
	dispatch_until(b, &d->acks, 400);
	CHECK_EQ(d->resumes, 0);
	belay_close(b);
	fake_stop(d);
}

/* What a daemon must not send. len 0: the struct's. */
static void send_garbage(int fd, int n)
{
	struct bl_revoke revoke = {
		.msg.type = BL_REVOKE, .request = 1, .session = FAKE_SESSION,
	};
	struct bl_ok ok = { .msg = { .type = BL_OK, .serial = 5 } };
	struct bl_hello hello = { .msg = { .type = BL_HELLO, .serial = 1 } };
	struct bl_error error = { .msg = { .type = BL_ERROR, .serial = 1 } };
	struct bl_grant grant = { .msg = { .type = BL_GRANT, .serial = 1 }, .count = 1 };
	struct bl_msg unknown = { .type = 999, .serial = 1 };
	char big[BL_MSG_MAX + 100];

	memset(big, 0, sizeof(big));
	switch (n) {
	case 0: /* shorter than a header */
		fake_send(fd, "x", 1, -1);
		break;
	case 1: /* longer than any message */
		memcpy(big, &revoke, sizeof(revoke));
		fake_send(fd, big, sizeof(big), -1);
		break;
	case 2: /* too short for its type */
		fake_send(fd, &revoke, sizeof(revoke) - 8, -1);
		break;
	case 3: /* something in the unknown tail */
		memcpy(big, &revoke, sizeof(revoke));
		big[sizeof(revoke) + 7] = 1;
		fake_send(fd, big, sizeof(revoke) + 8, -1);
		break;
	case 4: /* a size that is not the packet's */
		revoke.msg.size = 48;
		fake_send(fd, &revoke, sizeof(revoke), -1);
		break;
	case 5: /* request 0 */
		revoke.request = 0;
		fake_send(fd, &revoke, sizeof(revoke), -1);
		break;
	case 6: /* another's session */
		revoke.session++;
		fake_send(fd, &revoke, sizeof(revoke), -1);
		break;
	case 7: /* text without an end */
		memset(ok.text, 'x', sizeof(ok.text));
		fake_send(fd, &ok, sizeof(ok), -1);
		break;
	case 8: /* out of place */
		fake_send(fd, &hello, sizeof(hello), -1);
		break;
	case 9:
		fake_send(fd, &grant, sizeof(grant), 2);
		break;
	case 10:
		fake_send(fd, &unknown, sizeof(unknown), 2);
		break;
	case 11: /* an error that is none */
		fake_send(fd, &error, sizeof(error), -1);
		break;
	case 12:
		memset(big, 0xff, sizeof(big));
		fake_send(fd, big, 4096, -1);
		break;
	}
}
#define GARBAGE	13

TEST_TIMEOUT(garbage, "a daemon that sends garbage is dropped and found again", 60)
{
	struct fake_daemon *d = fake_start();
	struct belay_region *r;
	struct belay *b;
	int i, fds;

	CHECK_OK(belay_open(&b, NULL, NULL));
	r = register_one(b);
	dispatch_nothing(b);
	fds = fake_fd_count();
	for (i = 0; i < GARBAGE; i++) {
		pthread_mutex_lock(&d->lock);
		send_garbage(d->newest, i);
		pthread_mutex_unlock(&d->lock);
		dispatch_until(b, &d->resumes, (unsigned int)i + 1);
		CHECK_SOON(fake_count(&d->closes) == (unsigned int)i + 1, 5);
		CHECK_SOON(fake_fd_count() == fds, 5);
		if (i % 4 == 3) { /* otherwise it waits longer and longer */
			fake_revoke(d, (uint64_t)i + 100, r);
			dispatch(b, 1);
		}
	}
	CHECK(belay_valid(r));
	belay_close(b);
	fake_stop(d);
}

static int garbage_number;

static bool garbage_first(struct fake_daemon *d, int fd, const struct bl_msg *m)
{
	if (m->type != (garbage_number & 1 ? BL_HELLO : BL_OPEN))
		return false;
	send_garbage(fd, garbage_number / 2);
	return true;
}

TEST(garbage_at_open, "open refuses something that is no daemon, with a sentence")
{
	struct fake_daemon *d = fake_start();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;

	d->on_message = garbage_first;
	for (garbage_number = 0; garbage_number < 2 * GARBAGE; garbage_number++) {
		if (garbage_number == 2 * 9) /* which is in place there */
			continue;
		why = (struct belay_refusal){ .size = sizeof(why) };
		CHECK_EQ(belay_open(&b, NULL, &why), -EPROTO);
		CHECK(strstr(why.text, "not belayd"));
	}
	fake_stop(d);
}

static void *hammer(void *arg)
{
	bool *stop = ((void **)arg)[1];
	struct belay *b = ((void **)arg)[0];
	struct belay_region *r;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		CHECK_OK(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, NULL));
		CHECK(belay_valid(r));
		CHECK_OK(belay_unregister(r));
	}
	return NULL;
}

TEST_TIMEOUT(restarts_under_load, "eight threads register while the daemon is killed again and again", 60)
{
	struct fake_daemon *d = fake_start();
	struct callback c = { .unregister = false };
	struct belay_options opt = {
		.size = sizeof(opt), .on_revoke = on_revoke, .arg = &c,
		.flags = BELAY_OPEN_THREAD,
	};
	bool stop = false;
	void *arg[2] = { NULL, &stop };
	struct belay_region *r;
	struct belay *b;
	pthread_t t[8];
	uint64_t cookie;
	int i;

	CHECK_OK(belay_open(&b, &opt, NULL));
	r = register_one(b);
	cookie = fake_kernel.last_cookie;
	arg[0] = b;
	for (i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, hammer, arg), 0);
	for (i = 0; i < 6; i++) {
		fake_crash(d);
		usleep(20000);
		fake_restart(d);
		CHECK_SOON(fake_count(&d->resumes) == (unsigned int)i + 1, 10);
		pthread_mutex_lock(&d->lock);
		fake_revoke_cookie(d, 50 + (uint64_t)i, r->id, cookie);
		pthread_mutex_unlock(&d->lock);
		CHECK_SOON(__atomic_load_n(&c.calls, __ATOMIC_ACQUIRE) == (unsigned int)i + 1, 5);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(fake_kernel.live, 1);
	belay_close(b);
	fake_stop(d);
}

TAP_MAIN()
