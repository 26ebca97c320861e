/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * admin_fake.h - libbelay-admin against a daemon that does as the test says
 *
 * The fake listens on a socket in a folder of its own and gives the conversation to the
 * test's function, in a child. Define FAKE_LABEL, as whom the other side is to greet, and
 * include after tap.h, in one .c file per program.
 */
#ifndef ADMIN_FAKE_H
#define ADMIN_FAKE_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <belay-admin.h>

#include "common/message.h"
#include "common/packet.h"

struct fake {
	char dir[32];
	char path[64];
	int listener;
	pid_t pid;
};

typedef void (*fake_fn)(int fd);

static TAP_UNUSED struct fake fake;

/* Receives a request, which must be well-formed. */
static TAP_UNUSED void fake_recv(int fd, union bl_packet *m, uint16_t type)
{
	char why[BL_TEXT_MAX];
	ssize_t n;

	n = CHECK_SYS(recv(fd, m, sizeof(*m), 0));
	if (bl_msg_check(m, (size_t)n, BL_FROM_CLIENT, why))
		FAIL("the request is malformed: %s", why);
	CHECK_EQ(m->msg.type, type);
}

static TAP_UNUSED void fake_send(int fd, void *msg, size_t size, uint16_t type, uint64_t serial)
{
	ssize_t n;

	bl_msg_init(msg, size, type, serial);
	n = send(fd, msg, size, MSG_NOSIGNAL);
	/* The other side may have given up already; what it says of that is checked. */
	CHECK(n == (ssize_t)size || (n < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static TAP_UNUSED void fake_error(int fd, uint64_t serial, int error, const char *text)
{
	struct bl_error e = { .error = error };

	snprintf(e.text, sizeof(e.text), "%s", text);
	fake_send(fd, &e, sizeof(e), BL_ERROR, serial);
}

static TAP_UNUSED void fake_hello(int fd)
{
	struct bl_hello h = { .oldest = BL_PROTOCOL_NEWEST, .newest = BL_PROTOCOL_NEWEST,
			      .label = "0.1.0" };
	union bl_packet m;

	fake_recv(fd, &m, BL_HELLO);
	CHECK_STR(m.hello.label, FAKE_LABEL);
	fake_send(fd, &h, sizeof(h), BL_HELLO, m.msg.serial);
}

static TAP_UNUSED void fake_remove(void)
{
	unlink(fake.path);
	rmdir(fake.dir);
}

/* Makes the socket; the test runs in a process of its own, which removes it. */
static TAP_UNUSED void fake_listen(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	strcpy(fake.dir, "/tmp/belay-fake.XXXXXX");
	CHECK(mkdtemp(fake.dir));
	snprintf(fake.path, sizeof(fake.path), "%s/sock", fake.dir);
	atexit(fake_remove);
	fake.listener = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	strcpy(sun.sun_path, fake.path);
	CHECK_SYS(bind(fake.listener, (struct sockaddr *)&sun, sizeof(sun)));
	CHECK_SYS(listen(fake.listener, 4));
}

static TAP_UNUSED void fake_accept(void *arg)
{
	fake_fn fn = *(fake_fn *)arg;
	int fd = CHECK_SYS(accept(fake.listener, NULL, NULL));

	close(fake.listener);
	fn(fd);
	close(fd);
}

/* A daemon that accepts one connection and does fn. */
static TAP_UNUSED void fake_start(fake_fn fn)
{
	fake_listen();
	fake.pid = tap_spawn(fake_accept, &fn);
	close(fake.listener);
}

/* ------------------------------------------------------------------------ */
/* Answers at random                                                         */

static TAP_UNUSED unsigned int fake_seed;

/* Well-formed on the outside, anything within; lists have rows of that kind. */
static TAP_UNUSED void fake_random(char *buf, size_t *ret_len, uint64_t serial,
				   uint32_t list, size_t row_size)
{
	static const uint16_t types[] = { BL_ERROR, BL_OK, BL_STATUS, BL_LIST, BL_RECALL };
	const size_t sizes[] = { sizeof(struct bl_error), sizeof(struct bl_ok),
		sizeof(struct bl_status), sizeof(struct bl_list_rows) + 3 * row_size,
		sizeof(struct bl_recalled) };
	struct bl_list_rows *rows = (struct bl_list_rows *)buf;
	int i = rand_r(&fake_seed) % 5;
	size_t n;

	*ret_len = sizes[i];
	for (n = 0; n < sizes[i]; n++)
		buf[n] = rand_r(&fake_seed) % 3 ? (char)rand_r(&fake_seed) : 0;
	bl_msg_init((struct bl_msg *)buf, sizes[i], types[i], serial);
	/* Text that is not terminated is refused before anybody looks. */
	if (types[i] == BL_STATUS)
		memset(((struct bl_status *)buf)->version, 0, BL_NAME_MAX);
	if (types[i] == BL_RECALL)
		memset(((struct bl_recalled *)buf)->text, 0, BL_TEXT_MAX);
	if (types[i] == BL_OK)
		memset(((struct bl_ok *)buf)->text, 0, BL_TEXT_MAX);
	if (types[i] != BL_LIST)
		return;
	rows->what = list;
	rows->count = 3;
	rows->row_size = (uint32_t)row_size;
	rows->reserved = 0;
}

/* Until the other side has had enough. */
static TAP_UNUSED void fake_babble(int fd, uint32_t list, size_t row_size)
{
	static char buf[BL_MSG_MAX];
	union bl_packet m;
	size_t len;
	int i;

	fake_hello(fd);
	for (i = 0; i < 5 && recv(fd, &m, sizeof(m), 0) > 0; i++) {
		fake_random(buf, &len, m.msg.serial, list, row_size);
		send(fd, buf, len, MSG_NOSIGNAL);
	}
}

#endif
