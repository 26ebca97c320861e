/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* Clients that misbehave are dropped alone; what they were to know waits. */
#include <netinet/in.h>
#include <pthread.h>

#include "tests/unit/daemon_client.h"

TEST(garbage, "garbage is answered once, and costs its sender the connection and nobody else")
{
	struct bl_msg s = { 0 };
	unsigned int before;
	int fd, good, i;
	char junk[300];

	start();
	good = hello();
	before = open_fds();
	for (i = 0; i < 50; i++) {
		fd = i % 2 ? hello() : dial();
		memset(junk, i, sizeof(junk));
		CHECK_SYS(send(fd, junk, (size_t)i * 5 + 1, 0));
		CHECK_SYS(send(fd, junk, sizeof(junk), MSG_NOSIGNAL));
		pump();
		CHECK_EQ(get(fd, NULL), BL_ERROR);
		CHECK_EQ(in.error.error, EPROTO);
		CHECK_EQ(get(fd, NULL), -1);
		close(fd);
	}
	CHECK_EQ(open_fds(), before);
	CHECK_EQ(ASK(good, s, BL_STATUS), BL_STATUS);
	CHECK_EQ(in.status.clients, 1);
	stop();
}

TEST(too_long, "a packet that is too long is refused")
{
	static char big[BL_MSG_MAX + 1];
	int fd;

	start();
	fd = hello();
	CHECK_SYS(send(fd, big, sizeof(big), 0));
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK(strstr(in.error.text, "more than 16384 bytes"));
	CHECK_EQ(get(fd, NULL), -1);
	stop();
}

/* A message with so many descriptors, which are all the same. */
static void send_files(int fd, void *msg, size_t size, int file, int n)
{
	union {
		char buf[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { msg, size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
			     .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int)) };
	int i;

	CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
	for (i = 0; i < n; i++)
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)) + (size_t)i * sizeof(int), &file, sizeof(int));
	CHECK_EQ(CHECK_SYS(sendmsg(fd, &mh, 0)), size);
}

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* As on a kernel that cannot forbid it (before 6.16). */
static void start_open(void)
{
	start();
	setsockopt(m->server.listeners[0].fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){ 1 }, sizeof(int));
}

static void expect_no_files(int fd)
{
	CHECK_EQ(get_soon(fd), BL_ERROR);
	CHECK_EQ(in.error.error, EPROTO);
	CHECK(strstr(in.error.text, "file descriptors"));
	CHECK_EQ(get(fd, NULL), -1);
}

TEST(files_forbidden, "where the kernel can forbid file descriptors, they cannot even be sent")
{
	socklen_t len = sizeof(int);
	int fd, on = 0, pair[2];

	start();
	fd = hello();
	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	if (!getsockopt(pair[0], SOL_SOCKET, SO_PASSRIGHTS, &on, &len) && on) {
		union {
			char buf[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control = { .align = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
		struct msghdr mh = { .msg_control = control.buf,
				     .msg_controllen = sizeof(control.buf) };

		CHECK_EQ(sendmsg(fd, &mh, MSG_NOSIGNAL), -1);
		CHECK_EQ(errno, EPERM);
	} else {
		CHECK_NE(on, 1);	/* an older kernel: the other tests are about it */
	}
	stop();
}

TEST(fd_flood, "file descriptors are never taken, however many, and cost the connection")
{
	static const int numbers[] = { 1, 2, 3, 52, 253 };
	struct bl_open o = { 0 };
	int fd, null = open("/dev/null", O_RDONLY);
	unsigned int before, i;

	start_open();
	before = open_fds();
	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		fd = hello();
		bl_msg_init(&o.msg, sizeof(o), BL_OPEN, 1);
		send_files(fd, &o, sizeof(o), null, numbers[i]);
		expect_no_files(fd);
		close(fd);
		CHECK_EQ(open_fds(), before);
	}
	fd = hello();
	send_files(fd, &o, 0, null, 1);		/* no bytes at all */
	expect_no_files(fd);
	CHECK_SOON((pump(), m->server.n_lingering == 0), 10);
	stop();
}

/* A socket whose closing takes as long as its sender says. */
static int lingering(int sink)
{
	struct linger l = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in sa = { .sin_family = AF_INET };
	int fd = CHECK_SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	static char bytes[1 << 20];
	socklen_t len = sizeof(sa);

	CHECK_SYS(getsockname(sink, (struct sockaddr *)&sa, &len));
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, len));
	CHECK_SYS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	CHECK_EQ(errno, EAGAIN);
	return fd;
}

/* Nobody reads from it. */
static int sink_of_bytes(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = CHECK_SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	CHECK_SYS(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
	CHECK_SYS(listen(fd, 128));
	return fd;
}

static void *close_it(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

/* Every kind of message, and what is none. */
static const struct {
	uint16_t type;
	size_t size;
} kinds[] = {
	{ BL_HELLO, sizeof(struct bl_hello) }, { BL_OPEN, sizeof(struct bl_open) },
	{ BL_RESUME, sizeof(struct bl_resume) }, { BL_ACK, sizeof(struct bl_ack) },
	{ BL_STATUS, sizeof(struct bl_msg) }, { BL_LIST, sizeof(struct bl_list) },
	{ BL_LIMIT, sizeof(struct bl_limit) }, { BL_RECALL, sizeof(struct bl_recall) },
	{ BL_RELOAD, sizeof(struct bl_reload) }, { 99, sizeof(struct bl_msg) },
	{ BL_OPEN, 1 }, { BL_OPEN, BL_MSG_MAX + 64 }, { BL_OPEN, 0 },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

TEST_TIMEOUT(slow_to_close, "files whose closing takes a minute hold up nobody, with whatever message they come", 100)
{
	enum { BEFORE_HELLO, AFTER_HELLO, UNREAD, WHENS };
	static char bytes[BL_MSG_MAX + 64];
	struct bl_open o = { 0 };
	int sink = sink_of_bytes(), slow, fd;
	unsigned int before, i, when;
	pthread_t control;
	double begin;

	start_open();
	before = open_fds();
	/* That it does take long: a thread of this process that closes one. */
	slow = lingering(sink);
	CHECK_EQ(pthread_create(&control, NULL, close_it, (void *)(intptr_t)slow), 0);
	CHECK_SOON(open_fds() == before, 10);
	for (i = 0; i < KINDS * WHENS; i++) {
		when = i % WHENS;
		fd = when == BEFORE_HELLO ? dial() : hello();
		slow = lingering(sink);
		begin = tap_now();
		memset(bytes, 0, sizeof(bytes));
		bl_msg_init((struct bl_msg *)bytes, kinds[i / WHENS].size, kinds[i / WHENS].type, 1);
		if (when == UNREAD)	/* what is in front costs it the connection */
			CHECK_SYS(send(fd, &o, 1, 0));
		send_files(fd, bytes, kinds[i / WHENS].size, slow, 1);
		close(slow);
		if (when != UNREAD) {
			expect_no_files(fd);
		} else {
			CHECK_EQ(get_soon(fd), BL_ERROR);
			CHECK_EQ(get(fd, NULL), -1);
		}
		close(fd);
		CHECK_LT(tap_now() - begin, 10);	/* not a minute */
		CHECK_EQ(open_fds(), before);
	}
	CHECK_GT(m->server.n_lingering, 0);
	begin = tap_now();
	for (i = 0; i < 300; i++)
		close(hello());
	pump();
	CHECK_LT(tap_now() - begin, 10);
	CHECK(pthread_tryjoin_np(control, NULL) == EBUSY);
	stop();
}

TEST(lingering, "a connection with files in it counts as its user's until they are closed, and no longer")
{
	int sink = sink_of_bytes(), peer, fds[40], n = 0, slow, i;
	struct bl_open o = { 0 };
	uid_t uid = getuid();

	start_open();
	/* More than the undertakers that may hang. */
	for (i = 0; i < 40; i++) {
		fds[i] = hello();
		slow = lingering(sink);
		bl_msg_init(&o.msg, sizeof(o), BL_OPEN, 1);
		send_files(fds[i], &o, sizeof(o), slow, 1);
		close(slow);
		expect_no_files(fds[i]);
		close(fds[i]);
	}
	for (i = 0; i < 50; i++, usleep(10000))
		pump();
	CHECK_EQ(m->server.n_lingering, 40);
	CHECK_EQ((uintptr_t)bl_map_get(&m->server.uids, uid, 0), 40);
	/* The bytes that the sockets linger for are not wanted any more. */
	while (n < 40 && (peer = accept4(sink, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		setsockopt(peer, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
		close(peer);
		n++;
	}
	CHECK_EQ(n, 40);
	CHECK_SOON((pump(), m->server.n_lingering == 0), 30);
	CHECK_EQ((uintptr_t)bl_map_get(&m->server.uids, uid, 0), 0);
	stop();
}

TEST(keeper, "when the process that keeps connections is gone, the daemon ends, and the next one serves")
{
	struct bl_msg s = { 0 };
	int fd;

	start();
	hello();
	CHECK(!m->loop.failed);
	shutdown(m->server.keeper.socket, SHUT_RDWR);
	CHECK_SOON((pump(), m->loop.failed), 10);
	stop();
	start();
	fd = hello();
	CHECK_EQ(ASK(fd, s, BL_STATUS), BL_STATUS);
	stop();
}

TEST(many_leave, "connections without files that end are closed by no process made for it")
{
	enum { MANY = 400 };
	int fds[MANY], i, k;
	unsigned int before;

	start();
	before = open_fds();
	for (k = 0; k < 3; k++) {
		for (i = 0; i < MANY; i++)
			fds[i] = hello();
		for (i = 0; i < MANY; i++)
			close(fds[i]);
		CHECK_SOON((pump(), m->server.n_conns == 0), 30);
		CHECK_EQ(m->server.n_lingering, 0);
		CHECK_EQ(open_fds(), before);
	}
	stop();
}

TEST(too_fast, "a client that sends too fast is dropped, alone")
{
	struct bl_msg s = { 0 };
	struct bl_ack a = { .request = 1 };
	int fd, good, i, last = 0, type;

	start();
	good = hello();
	fd = hello();
	for (i = 0; i < 5000 && last != -1; i++) {
		bl_msg_init(&a.msg, sizeof(a), BL_ACK, 1);
		if (send(fd, &a, sizeof(a), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			pump();
		while ((type = get(fd, NULL)) > 0)
			last = type == BL_ERROR ? in.error.error : 0;
		if (type == -1)
			break;
	}
	CHECK_EQ(last, EPROTO);
	CHECK(strstr(in.error.text, "messages a second"));
	CHECK_EQ(ASK(good, s, BL_STATUS), BL_STATUS);
	CHECK_EQ(in.status.clients, 1);
	stop();
}

TEST(not_reading, "answers that a client does not read are bounded; its requests go unread")
{
	struct bl_list l = { .what = BL_LIST_REGIONS };
	struct bl_msg s = { 0 };
	uint64_t session;
	int fd, good, i;

	start();
	good = hello();
	fd = client(1000, &session, NULL);
	for (i = 0; i < 200; i++)
		fake_register(&fake, session, BELAY_PINNED, 4096);
	for (i = 0; i < 400; i++) {
		bl_msg_init(&l.msg, sizeof(l), BL_LIST, 1);
		if (send(fd, &l, sizeof(l), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		event_base_loop(m->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
	pump();
	CHECK_GT(newest()->out_bytes, 0);
	CHECK_LE(newest()->out_bytes, 65536 + BL_MSG_MAX);
	CHECK_EQ(ASK(good, s, BL_STATUS), BL_STATUS);
	for (i = 0; get(fd, NULL) == BL_LIST; i++)
		pump();
	CHECK_GT(i, 20);
	stop();
}

TEST_TIMEOUT(stalled, "a client that has not read for 10 s is dropped; what it was to know waits for it", 30)
{
	struct bl_resume res = { 0 };
	uint64_t session;
	int fd, i, n = 0;
	double end;

	start();
	fd = client(1000, &session, NULL);
	i = 4096;
	setsockopt(newest()->fd, SOL_SOCKET, SO_SNDBUF, &i, sizeof(i));
	for (i = 0; i < 300; i++)
		fake_lose(&fake, session, fake_register(&fake, session, BELAY_PINNED, 4096));
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK(newest()->out_bytes > 0);
	for (end = tap_now() + 12; tap_now() < end && m->server.n_conns; usleep(50000))
		pump();
	CHECK_EQ(m->server.n_conns, 0);
	close(fd);
	fd = hello();
	res.session = session;
	PUT(fd, res, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);
	for (n = 0; get(fd, NULL) == BL_REVOKE; n++)
		pump();
	CHECK_EQ(n, 300);
	stop();
}

TEST(storm, "500 losses at once reach a client that reads late, each at least once, in bounded memory")
{
	static bool told[2048];
	uint64_t session, first = 0;
	int fd, i, n = 0;
	uint32_t max = 0;

	start();
	fd = client(1000, &session, NULL);
	i = 4096;
	setsockopt(newest()->fd, SOL_SOCKET, SO_SNDBUF, &i, sizeof(i));
	for (i = 0; i < 500; i++) {
		uint64_t r = fake_register(&fake, session, BELAY_PINNED, 4096);

		first = first ? first : r;
		fake_lose(&fake, session, r);
		if (i % 50 == 0)
			pump();
		if (newest()->out_bytes > max)
			max = newest()->out_bytes;
	}
	pump();
	CHECK_LE(max, 65536 + 200);
	CHECK_EQ(fake_pending(&fake), 0);
	for (i = 0; i < 5000; i++) {
		pump();
		if (get(fd, NULL) != BL_REVOKE)
			break;
		n += !told[in.revoke.region - first];
		told[in.revoke.region - first] = true;
	}
	CHECK_EQ(n, 500);
	CHECK(!bl_client_of(newest())->behind);
	stop();
}

TEST(caps, "connections are capped, and who is refused learns why")
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	int fd, i;

	start();
	m->policy->max_clients = 0;
	for (i = 0; i < 16; i++)	/* kept for root, who runs this perhaps */
		dial();
	CHECK_EQ(m->server.n_conns, getuid() ? 0 : 16);
	/* It has said something that nobody will read, and still learns why. */
	fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	strcpy(sa.sun_path, path);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	PUT(fd, h, BL_HELLO);
	CHECK_EQ(get_soon(fd), BL_ERROR);
	CHECK_EQ(in.error.error, EUSERS);
	CHECK_EQ(get(fd, NULL), -1);
	stop();
}

TEST(no_files, "when file descriptors run out, nobody is dropped, and who waits is served later")
{
	struct rlimit rl, few;
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	struct bl_msg s = { 0 };
	int fd, good, i;

	start();
	good = hello();
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &rl));
	few = rl;
	few.rlim_cur = (rlim_t)CHECK_SYS(dup(0)) + 1;	/* one for the new client's end, none for the daemon's */
	close((int)few.rlim_cur - 1);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
	fd = dial();
	PUT(fd, h, BL_HELLO);
	pump();
	CHECK_EQ(get(fd, NULL), 0);
	CHECK_EQ(ASK(good, s, BL_STATUS), BL_STATUS);
	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &rl));
	for (i = 0; i < 2000 && m->server.n_conns < 2; i++, usleep(10000))
		pump();
	pump();
	CHECK_EQ(get(fd, NULL), BL_HELLO);
	stop();
}

TEST(few_files, "a client for whom belayd has one file descriptor only is not told that it cannot be seen")
{
	struct rlimit rl, few;
	struct bl_msg s = { 0 };
	int fd, good, n, told = 0;

	start();
	good = hello();
	CHECK_SYS(getrlimit(RLIMIT_NOFILE, &rl));
	for (n = 1; n <= 4; n++) {	/* n for the daemon: the connection, and n - 1 to look */
		few = rl;
		few.rlim_cur = (rlim_t)CHECK_SYS(dup(0)) + 1 + (rlim_t)n;
		close((int)few.rlim_cur - 1 - n);
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &few));
		fd = dial();
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &rl));
		if (get(fd, NULL) == BL_ERROR) {
			CHECK_EQ(in.error.error, EAGAIN);
			CHECK(strstr(in.error.text, "Too many open files"));
			CHECK_EQ(get(fd, NULL), -1);
			told++;
		}
		close(fd);
	}
	CHECK_GT(told, 0);
	CHECK_EQ(ASK(good, s, BL_STATUS), BL_STATUS);
	stop();
}

static void on_pause(int fd, short what, void *arg)
{
	usleep(6000000);
}

TEST_TIMEOUT(long_turn, "a client that said hello in time is heard, however long belayd was busy meanwhile", 30)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	struct event pause;
	int fd;

	start();
	fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	strcpy(sa.sun_path, path);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	PUT(fd, h, BL_HELLO);
	/* The connection is accepted, and something else takes 6 s in the same turn. */
	evtimer_assign(&pause, m->loop.base, on_pause, NULL);
	evtimer_add(&pause, &(struct timeval){ 0 });
	CHECK_EQ(get_soon(fd), BL_HELLO);
	event_del(&pause);
	stop();
}

TEST(silent, "a client that connects and says nothing is dropped after 5 s, an idle one is not")
{
	struct bl_msg s = { 0 };
	int fd, idle;
	double end;

	start();
	fd = dial();
	idle = hello();
	CHECK_EQ(m->server.n_conns, 2);
	for (end = tap_now() + 6; tap_now() < end; usleep(20000))
		pump();
	CHECK_EQ(m->server.n_conns, 1);
	CHECK_EQ(get(fd, NULL), -1);
	CHECK_EQ(ASK(idle, s, BL_STATUS), BL_STATUS);
	stop();
}

TAP_MAIN()
