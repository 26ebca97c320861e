/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * daemon_client.h - the whole daemon with its loop, over real sockets, with a
 * module in memory, and a client
 *
 * The test is the client as well: it connects, says something, lets the loop
 * run until there is nothing to do, and reads. Time is the test's where
 * deadlines matter.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/message.h"
#include "common/packet.h"
#include "daemon/act/accounts.h"
#include "daemon/act/adopt.h"
#include "daemon/act/enforce.h"
#include "daemon/act/holders.h"
#include "daemon/act/reload.h"
#include "daemon/manager.h"
#include "daemon/sys/log.h"
#include "tests/lib/tap.h"
#include "tests/unit/fake_module.h"

#define SEC 1000000000ULL

static struct fake_module fake;
static struct bl_state *m;
static char path[64];
static uint64_t fake_now;
static uint64_t serial = 100;

static TAP_UNUSED uint64_t clock_of_test(void)
{
	return fake_now;
}

static TAP_UNUSED void start(void)
{
	int fd;

	bl_log_set_level(-1);
	fake_now = 1000 * SEC;
	if (!fake.dev.call)
		fake_init(&fake);
	m = bl_manager_new(&fake.dev, bl_policy_new(), "/nonexistent");
	CHECK(m);
	m->loop.clock = clock_of_test;
	m->admin_gid = getegid();
	CHECK_OK(bl_manager_start(m));
	snprintf(path, sizeof(path), "/tmp/belayd-loop.%d", getpid());
	unlink(path);
	fd = CHECK_OK(bl_server_bind(path));
	CHECK_OK(bl_server_listen(&m->server, fd));
}

static TAP_UNUSED void stop(void)
{
	bl_manager_free(m);
	unlink(path);
}

/* Until nothing more happens by itself. */
static TAP_UNUSED void pump(void)
{
	int i;

	for (i = 0; i < 40; i++)
		event_base_loop(m->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static TAP_UNUSED int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	strcpy(sa.sun_path, path);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	pump();
	return fd;
}

static TAP_UNUSED struct bl_conn *newest(void)
{
	return TAILQ_LAST(&m->server.conns, bl_conns);
}

static union bl_packet in;

/* One packet, checked; its type; 0: nothing, -1: the connection is closed. */
static TAP_UNUSED int get(int fd, int *ret_fd)
{
	char why[BL_TEXT_MAX];
	struct bl_received got;
	int err = bl_packet_receive(fd, in.bytes, sizeof(in.bytes), MSG_DONTWAIT, &got);

	if (ret_fd)
		*ret_fd = got.fd;
	else if (got.fd >= 0)
		close(got.fd);
	if (err)
		return err == -EAGAIN ? 0 : -1;
	if (!got.len)
		return -1;
	if (bl_msg_check(in.bytes, got.len, BL_FROM_DAEMON, why))
		FAIL("from the daemon: %s", why);
	return in.msg.type;
}

/* The same, but lets the daemon work, by the clock, until there is something. */
static TAP_UNUSED int get_soon(int fd)
{
	int type, i;

	for (i = 0; i < 5000; i++, usleep(2000)) {
		pump();
		type = get(fd, NULL);
		if (type)
			return type;
	}
	return 0;
}

static TAP_UNUSED void put_fd(int fd, void *msg, size_t size, uint16_t type, int send_fd)
{
	struct bl_msg *head = msg;
	uint16_t flags = head->flags;

	bl_msg_init(head, size, type, ++serial);
	head->flags = flags;
	CHECK_OK(bl_packet_send(fd, msg, size, send_fd, 0));
}

/* Sends, lets the daemon work, and takes the answer. */
static TAP_UNUSED int ask_size(int fd, void *msg, size_t size, uint16_t type)
{
	int got;

	put_fd(fd, msg, size, type, -1);
	pump();
	got = get(fd, NULL);
	if (got > 0)
		CHECK_EQ(in.msg.serial, serial);
	return got;
}

#define PUT(fd, msg, type) put_fd(fd, &(msg), sizeof(msg), type, -1)
#define ASK(fd, msg, type) ask_size(fd, &(msg), sizeof(msg), type)

static TAP_UNUSED int hello(void)
{
	struct bl_hello h = { .oldest = 1, .newest = 9, .label = "test" };
	int fd = dial();

	CHECK_EQ(ASK(fd, h, BL_HELLO), BL_HELLO);
	CHECK_EQ(in.hello.newest, BL_PROTOCOL_NEWEST);
	CHECK_STR(in.hello.label, BELAY_VERSION);
	return fd;
}

/* A client with a session, as if of that user. */
static TAP_UNUSED int client(uid_t uid, uint64_t *ret_session, int *ret_fd)
{
	struct bl_open o = { 0 };
	int fd = hello(), session_fd;

	newest()->peer.uid = uid;
	PUT(fd, o, BL_OPEN);
	pump();
	CHECK_EQ(get(fd, &session_fd), BL_GRANT);
	CHECK_GE(session_fd, 0);
	if (ret_session)
		*ret_session = in.grant.session;
	if (ret_fd)
		*ret_fd = session_fd;
	else
		close(session_fd);
	return fd;
}

static TAP_UNUSED int recall_region(int admin, uint64_t region,
			 uint32_t escalation, bool wait)
{
	struct bl_recall r = { .select.by = BL_BY_REGION,
			       .select.region = region, .escalation = escalation };

	if (wait)
		r.msg.flags = BL_RECALL_WAIT;
	return ASK(admin, r, BL_RECALL);
}

static TAP_UNUSED void pass(uint64_t nsec)
{
	fake_now += nsec;
	bl_enforce_run(m);
	pump();
}

/* The account of a user; NULL: there is none */
static TAP_UNUSED struct bl_account *user_account(uid_t uid)
{
	const struct bl_identity who = { .uid = uid };
	struct bl_account_path levels;

	bl_policy_path(m->policy, &who, &levels);
	return bl_ledger_at(&m->ledger, &levels);
}

static TAP_UNUSED unsigned int open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A process that gets a grant and then does nothing. */
static TAP_UNUSED void sleeper(void *arg)
{
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	struct bl_open o = { 0 };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	strcpy(sa.sun_path, path);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	bl_msg_init(&h.msg, sizeof(h), BL_HELLO, 1);
	CHECK_SYS(send(fd, &h, sizeof(h), 0));
	bl_msg_init(&o.msg, sizeof(o), BL_OPEN, 2);
	CHECK_SYS(send(fd, &o, sizeof(o), 0));
	for (;;)
		pause();
}

#endif
