// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A daemon that sends thousands of messages that are nearly right. The library
 * may drop it or do as it is told, and must be as good as before after it.
 *
 * The library's clock is the test's (the linker puts the __wrap_ functions in the
 * place of the real ones), so that it need not wait until the library tries again.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "tests/lib/tap.h"
#include "tests/unit/client_fake.h"

#define ROUNDS	3000

static char buffer[4096] __attribute__((aligned(4096)));
static uint64_t now = 1000000000;
static uint64_t seed = 20260101;

uint64_t __wrap_bl_now(void);
uint64_t __wrap_bl_now(void)
{
	return now;
}

/* Every timer goes off at once; what is due then is for bl_now() to say. */
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *t,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *t,
			   struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *t,
			   struct itimerspec *old)
{
	struct itimerspec soon = { .it_interval = t->it_interval, .it_value.tv_nsec = 1 };

	if (t->it_value.tv_sec || t->it_value.tv_nsec)
		t = &soon;
	return __real_timerfd_settime(fd, flags, t, old);
}

static uint32_t dice(uint32_t sides)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(seed >> 33) % sides;
}

union message {
	struct bl_msg msg;
	struct bl_hello hello;
	struct bl_error error;
	struct bl_ok ok;
	struct bl_grant grant;
	struct bl_revoke revoke;
	uint8_t bytes[BL_MSG_MAX + 64];
};

static size_t good_message(union message *m)
{
	memset(m, 0, sizeof(*m));
	switch (dice(5)) {
	case 0:
		m->hello = (struct bl_hello){
			.msg = { .type = BL_HELLO, .serial = 1 },
			.oldest = 1, .newest = 1, .label = "fuzz",
		};
		return sizeof(m->hello);
	case 1:
		m->error = (struct bl_error){
			.msg = { .type = BL_ERROR, .serial = dice(4) },
			.error = EPERM, .text = "no",
		};
		return sizeof(m->error);
	case 2:
		m->ok.msg = (struct bl_msg){ .type = BL_OK, .serial = dice(9) };
		return sizeof(m->ok);
	case 3:
		m->grant = (struct bl_grant){
			.msg = { .type = BL_GRANT, .serial = 1 },
			.session = FAKE_SESSION, .count = 1, .levels = { { 0, "grant" } },
		};
		return sizeof(m->grant);
	default:
		m->revoke = (struct bl_revoke){
			.msg.type = BL_REVOKE, .request = 1 + dice(50),
			.session = FAKE_SESSION, .region = fake_kernel.last_region,
			.cookie = fake_kernel.last_cookie, .reason = dice(80),
		};
		return sizeof(m->revoke);
	}
}

/* Nothing, something or much of it changed; and its length. */
static size_t spoil(union message *m, size_t len)
{
	uint32_t n = dice(4);

	m->msg.size = (uint32_t)len;
	while (n--)
		m->bytes[dice((uint32_t)len)] = (uint8_t)dice(256);
	switch (dice(6)) {
	case 0:
		return dice((uint32_t)len) + 1;
	case 1:
		return len + dice(sizeof(*m) - (uint32_t)len);
	case 2:
		len += 8 * dice(20);
		m->msg.size = (uint32_t)len;
		return len;
	default:
		return len;
	}
}

/*
 * Dispatches and answers until the library is connected and has nothing to read:
 * its poll descriptor is readable otherwise, for all its timers go off at once.
 */
static void settle(struct belay *b)
{
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };
	double end = tap_now() + 60;
	struct belay_request *req;

	while (CHECK_SYS(poll(&p, 1, 0))) {
		CHECK(tap_now() < end);
		CHECK_OK(belay_dispatch(b));
		while (!belay_get_request(b, &req))
			CHECK_OK(belay_ack(req));
		now += 20000000;
		usleep(50);
	}
	/* It was a good connection: the next comes soon. */
	now += UINT64_C(3000000000);
}

TEST_TIMEOUT(nearly_right, "thousands of messages that are nearly right harm nothing", 120)
{
	struct fake_daemon *d = fake_start();
	struct belay_region *r;
	struct belay_request *req;
	union message m;
	struct belay *b;
	size_t len;
	int i;

	CHECK_OK(belay_open(&b, NULL, NULL));
	CHECK_OK(belay_register(b, buffer, 4096, BELAY_PIN, NULL, &r, NULL));
	for (i = 0; i < ROUNDS; i++) {
		len = spoil(&m, good_message(&m));
		pthread_mutex_lock(&d->lock);
		if (d->newest >= 0)
			fake_send(d->newest, &m, len, dice(20) ? -1 : 2);
		pthread_mutex_unlock(&d->lock);
		settle(b);
	}
	tap_diag("%u connections", fake_count(&d->resumes));
	CHECK_GT(fake_count(&d->resumes), ROUNDS / 4);
	CHECK(belay_valid(r));
	fake_revoke(d, 1000, r);
	CHECK_SOON(belay_dispatch(b) == 1, 5);
	CHECK_OK(belay_get_request(b, &req));
	CHECK_OK(belay_ack(req));
	belay_close(b);
	fake_stop(d);
}

TAP_MAIN()
