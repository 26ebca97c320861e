/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * daemon_raw.h - the wire without the library, for tests of the daemon itself
 */
#ifndef DAEMON_RAW_H
#define DAEMON_RAW_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/message.h"
#include "common/packet.h"
#include "common/protocol.h"
#include "tests/lib/tap.h"

static union bl_packet in;
static uint64_t raw_serial;

/* A connected socket; waits while the daemon is being started. */
static TAP_UNUSED int raw_connect(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	strcpy(sa.sun_path, BL_SOCKET_PATH);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	return fd;
}

/* With that descriptor, unless it is -1: 0 or a negative errno. */
static TAP_UNUSED int raw_try_send(int fd, void *msg, size_t size, uint16_t type, int pass)
{
	uint16_t flags = ((struct bl_msg *)msg)->flags;

	bl_msg_init(msg, size, type, ++raw_serial);
	((struct bl_msg *)msg)->flags = flags;
	return bl_packet_send(fd, msg, size, pass, 0);
}

static TAP_UNUSED void raw_send(int fd, void *msg, size_t size, uint16_t type)
{
	CHECK_OK(raw_try_send(fd, msg, size, type, -1));
}

/* The next message's type; 0 after the time, -1: closed. */
static TAP_UNUSED int raw_get(int fd, int ms, int *ret_fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char why[BL_TEXT_MAX];
	struct bl_received got;

	if (!poll(&p, 1, ms))
		return 0;
	if (bl_packet_receive(fd, in.bytes, sizeof(in.bytes), 0, &got) || !got.len)
		return -1;
	if (bl_msg_check(in.bytes, got.len, BL_FROM_DAEMON, why))
		FAIL("from the daemon: %s", why);
	if (ret_fd)
		*ret_fd = got.fd;
	else if (got.fd >= 0)
		close(got.fd);
	return in.msg.type;
}

#define RAW_WAIT_MS 15000	/* a slow machine that starts a daemon */
#define RAW_ASK(fd, msg, type)							\
	(raw_send(fd, &(msg), sizeof(msg), type), raw_get(fd, RAW_WAIT_MS, NULL))

static TAP_UNUSED int raw_hello(void)
{
	struct bl_hello h = { .oldest = 1, .newest = 1, .label = "raw" };
	int fd = raw_connect(), type = RAW_ASK(fd, h, BL_HELLO);

	CHECK_EQ(type, BL_HELLO);
	return fd;
}

/* A connection with a session; in.grant says which. */
static TAP_UNUSED int raw_open(int *ret_session)
{
	struct bl_open o = { 0 };
	int fd = raw_hello();

	raw_send(fd, &o, sizeof(o), BL_OPEN);
	if (raw_get(fd, RAW_WAIT_MS, ret_session) == BL_ERROR)
		FAIL("%s", in.error.text);
	CHECK_EQ(in.msg.type, BL_GRANT);
	CHECK_GE(*ret_session, 0);
	return fd;
}

#endif
