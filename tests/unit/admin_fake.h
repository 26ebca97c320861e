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

#endif
