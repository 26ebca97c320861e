/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The daemon under clients that say anything, with a module in memory that
 * does what processes do meanwhile: register, unmap, end, run out of memory.
 *
 * After every round: a client that behaves is served, no file descriptor is
 * left over, and the books agree with the module.
 */
#include <fcntl.h>
#include <sys/socket.h>

#include "common/message.h"
#include "common/packet.h"
#include "daemon/act/accounts.h"
#include "daemon/act/adopt.h"
#include "daemon/act/enforce.h"
#include "daemon/act/events.h"
#include "daemon/act/reload.h"
#include "daemon/manager.h"
#include "daemon/sys/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_module.h"

#define CLIENTS		6
#define ROUND		200

static struct fake_module fake;
static struct bl_state *m;
static uint64_t now = 1000000000000ULL;

static struct client {
	int fd;			/* -1: not connected */
	int session_fd;
} clients[CLIENTS];

/* A little longer than any message may be. */
static union {
	union bl_packet p;
	char bytes[BL_MSG_MAX + 256];
} packet;

static uint64_t clock_of_test(void)
{
	return now;
}

static void pump(int times)
{
	while (times--)
		event_base_loop(m->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int connect_client(void)
{
	int pair[2];

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair));
	if (bl_server_admit(&m->server, pair[0]) && fuzz_below(3))
		TAILQ_LAST(&m->server.conns, bl_conns)->peer.uid = 1000 + fuzz_below(3);
	return pair[1];
}

static void hang_up(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->session_fd >= 0)
		close(c->session_fd);
	c->fd = c->session_fd = -1;
}

/* A session that exists, mostly. */
static uint64_t some_session(void)
{
	uint32_t i, start = fuzz_below(FAKE_MAX);

	for (i = 0; i < FAKE_MAX; i++)
		if (fake.sessions[(start + i) % FAKE_MAX].used)
			return fake.sessions[(start + i) % FAKE_MAX].id;
	return 0;
}

static struct fake_region *some_region(void)
{
	uint32_t i, start = fuzz_below(FAKE_MAX);

	for (i = 0; i < FAKE_MAX; i++)
		if (fake.regions[(start + i) % FAKE_MAX].used &&
		    !fake.regions[(start + i) % FAKE_MAX].gone)
			return &fake.regions[(start + i) % FAKE_MAX];
	return NULL;
}

static unsigned int used_regions(void)
{
	unsigned int n = 0, i;

	for (i = 0; i < FAKE_MAX; i++)
		n += fake.regions[i].used;
	return n;
}

/* ------------------------------------------------------------------------ */

static void fill_limit(void)
{
	static const char *const names[] = { "system", "user/1000", "user/root",
					     "grant/7", "user/", "x", "" };

	strcpy(packet.p.limit.account, names[fuzz_below(7)]);
	packet.p.limit.set = fuzz_below(5);
	packet.p.limit.limit_bytes = fuzz_number();
	packet.p.limit.limit_regions = fuzz_number();
}

static void fill_selection(struct bl_selection *s)
{
	static const char *const names[] = { "system", "user/1000", "user/1001", "x" };
	struct fake_region *r = some_region();

	/* Mostly by one thing, sometimes by several, by what there is not, or by nothing. */
	s->by = 1U << fuzz_below(12);
	if (!fuzz_below(3))
		s->by |= 1U << fuzz_below(11);
	if (!fuzz_below(10))
		s->by = 0;
	s->region = r && fuzz_below(4) ? r->row.region : fuzz_number();
	s->grant = r && fuzz_below(4) ? r->row.grant : fuzz_number();
	s->uid = 1000 + fuzz_below(4);
	s->pid = fuzz_below(2) ? getpid() : (int)fuzz_number();
	s->node = fuzz_below(5) ? fuzz_below(3) : (uint32_t)fuzz_number();
	s->block = fuzz_below(2) ? fuzz_below(64) : fuzz_number();
	s->device = fuzz_below(3);
	s->inode = fuzz_below(3);
	s->made_before = fuzz_number();
	strcpy(s->account, names[fuzz_below(4)]);
}

static void fill_recall(void)
{
	fill_selection(&packet.p.recall.select);
	packet.p.recall.escalation = fuzz_below(5);
	packet.p.recall.timeout_usec = fuzz_below(3) ? fuzz_below(3000000) : fuzz_number();
	packet.p.msg.flags = fuzz_below(2);
}

static void fill_list(void)
{
	packet.p.list.what = fuzz_below(5);
	fill_selection(&packet.p.list.select);
	packet.p.list.after = fuzz_below(2) ? 0 : fuzz_number();
	packet.p.list.after_region = fuzz_below(2) ? 0 : fuzz_number();
}

/* A message that is right, or nearly; its size. */
static size_t compose(void)
{
	static const struct {
		uint16_t type;
		size_t size;
	} kinds[] = {
		{ BL_HELLO, sizeof(struct bl_hello) }, { BL_OPEN, sizeof(struct bl_open) },
		{ BL_RESUME, sizeof(struct bl_resume) }, { BL_ACK, sizeof(struct bl_ack) },
		{ BL_STATUS, sizeof(struct bl_msg) }, { BL_LIST, sizeof(struct bl_list) },
		{ BL_LIMIT, sizeof(struct bl_limit) }, { BL_RECALL, sizeof(struct bl_recall) },
		{ BL_RELOAD, sizeof(struct bl_reload) }, { BL_RECALL, sizeof(struct bl_recall) },
		{ BL_ACK, sizeof(struct bl_ack) },
	};
	uint32_t k = fuzz_below(sizeof(kinds) / sizeof(*kinds));
	struct fake_region *r = some_region();
	size_t size = kinds[k].size;

	memset(&packet, 0, sizeof(packet));
	packet.p.hello.oldest = 0;
	switch (kinds[k].type) {
	case BL_HELLO:
		packet.p.hello.oldest = 1;
		packet.p.hello.newest = 1 + fuzz_below(3);
		break;
	case BL_RESUME:
		packet.p.resume.session = fuzz_below(5) ? some_session() : fuzz_number();
		break;
	case BL_OPEN:
		packet.p.open.want_bytes = fuzz_below(2) ? 0 : fuzz_number();
		break;
	case BL_ACK:
		packet.p.ack.request = r && fuzz_below(3) ?
			(r->row.request ? r->row.request : BL_LOSS_ID(r->row.region)) :
			fuzz_number();
		break;
	case BL_LIST:
		fill_list();
		break;
	case BL_LIMIT:
		fill_limit();
		break;
	case BL_RECALL:
		fill_recall();
		break;
	}
	k = kinds[k].type;
	{
		uint16_t flags = packet.p.msg.flags;

		bl_msg_init(&packet.p.msg, size, (uint16_t)k, 1 + fuzz_below(100));
		packet.p.msg.flags = flags;
	}
	if (!fuzz_below(12)) {
		size = fuzz_mutate(packet.bytes, size, sizeof(packet.bytes));
		if (fuzz_below(3))
			packet.p.msg.size = (uint32_t)size;
	}
	return size;
}

static void send_packet(struct client *c, size_t size)
{
	union {
		char buf[CMSG_SPACE(3 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { packet.bytes, size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[3] = { 0, 0, 0 }, n = 0;

	if (!fuzz_below(40))
		n = 1 + (fuzz_below(10) ? 0 : 2);
	if (c->session_fd >= 0)
		fds[0] = c->session_fd;
	if (n) {
		mh.msg_control = control.buf;
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, (size_t)n * sizeof(int));
	}
	if (sendmsg(c->fd, &mh, MSG_NOSIGNAL) < 0 && errno == EPIPE)
		hang_up(c);
}

/* Reads what there is; whatever the daemon says must be well-formed. */
static void read_all(struct client *c)
{
	struct bl_received got;
	char why[BL_TEXT_MAX];
	int err;

	while (c->fd >= 0) {
		err = bl_packet_receive(c->fd, packet.bytes, sizeof(packet.bytes), 0, &got);
		if (err == -EAGAIN)
			return;
		if (err || !got.len) {
			hang_up(c);
			return;
		}
		if (bl_msg_check(packet.bytes, got.len, BL_FROM_DAEMON, why))
			FAIL("from the daemon: %s", why);
		if (got.fd >= 0) {
			CHECK_EQ(packet.p.msg.type, BL_GRANT);
			CHECK_EQ(c->session_fd, -1);
			c->session_fd = got.fd;
		}
	}
}

/* What processes do, and the passing of time. */
static void live(void)
{
	uint64_t session = some_session();
	struct fake_region *r = some_region();

	switch (fuzz_below(9)) {
	case 0:
	case 1:
		if (session && used_regions() < FAKE_MAX - 10)
			fake_register(&fake, session, 1 + fuzz_below(2),
				      4096 * (1 + fuzz_below(100)));
		break;
	case 2:
		if (r)
			fake_unregister(&fake, r->row.session, r->row.region);
		break;
	case 3:
		if (r && !(r->row.state & BELAY_WORD_LOST))
			fake_lose(&fake, r->row.session, r->row.region);
		break;
	case 4:
		if (session && !fuzz_below(10))
			fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
		break;
	case 5:
		if (!fuzz_below(10))
			fake.fail_next = fuzz_below(2) ? ENOMEM : EINVAL;
		break;
	case 6:
		now += fuzz_below(2) ? fuzz_below(1000000000) : 11000000000ULL;
		bl_enforce_run(m);
		break;
	case 7:
		fake.busy_grants = fuzz_below(8) ? 0 : 2;
		break;
	default:
		if (!fuzz_below(30))
			bl_accounts_sweep(m);
	}
}

static void start(void)
{
	fake.fail_next = 0;
	m = bl_manager_new(&fake.dev, bl_policy_new(), "/nonexistent");
	CHECK(m);
	m->loop.clock = clock_of_test;
	m->admin_gid = getegid();
	CHECK_OK(bl_manager_start(m));
}

/* All is quiet: do the daemon and the module say the same? */
static void audit(void)
{
	struct client c = { -1, -1 };
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	struct bl_msg s = { 0 };
	unsigned int grants = 0, requests = 0, i;

	fake.fail_next = 0;
	fake.busy_grants = 0;
	bl_events_read(m);
	for (i = 0; i < 20; i++) {
		bl_events_read(m);
		pump(2);
	}
	CHECK_EQ(fake_pending(&fake), 0);
	for (i = 0; i < FAKE_MAX; i++) {
		const struct belay_region_row *r = &fake.regions[i].row;

		grants += fake.grants[i].used;
		if (fake.regions[i].used && bl_region_is_held(r) &&
		    r->state & (BELAY_WORD_RECALLED | BELAY_WORD_LOST))
			requests++;
	}
	CHECK_EQ(m->ledger.n_grants, grants);
	CHECK_EQ(m->revoke.open, requests);
	c.fd = connect_client();
	bl_msg_init(&h.msg, sizeof(h), BL_HELLO, 1);
	CHECK_SYS(send(c.fd, &h, sizeof(h), 0));
	bl_msg_init(&s, sizeof(s), BL_STATUS, 2);
	CHECK_SYS(send(c.fd, &s, sizeof(s), 0));
	pump(5);
	read_all(&c);
	CHECK_GE(c.fd, 0);
	CHECK_EQ(packet.p.msg.type, BL_STATUS);
	CHECK_EQ(packet.p.status.open_requests, requests);
	hang_up(&c);
}

TEST_TIMEOUT(wire, "whatever clients say and processes do, the daemon lives, leaks nothing and its books are right", 100)
{
	unsigned int rounds = 0, before, i;
	uint64_t sent = 0;
	double end;

	fuzz_seed();
	bl_log_set_level(-1);
	fake_init(&fake);
	for (i = 0; i < CLIENTS; i++)
		clients[i].fd = clients[i].session_fd = -1;
	before = open_fds();
	start();
	for (end = fuzz_end(); tap_now() < end; rounds++) {
		for (i = 0; i < ROUND; i++) {
			struct client *c = &clients[fuzz_below(CLIENTS)];

			if (c->fd < 0) {
				c->fd = connect_client();
				memset(&packet, 0, sizeof(packet));
				packet.p.hello.oldest = packet.p.hello.newest = 1;
				bl_msg_init(&packet.p.msg, sizeof(packet.p.hello), BL_HELLO, 1);
				if (fuzz_below(20))
					send_packet(c, sizeof(packet.p.hello));
			} else if (!fuzz_below(100)) {
				hang_up(c);
			} else {
				send_packet(c, compose());
				sent++;
			}
			live();
			if (fuzz_below(2))
				pump(1);
			if (fuzz_below(3))
				read_all(c);
			now += 1000000;
		}
		pump(5);
		for (i = 0; i < CLIENTS; i++)
			if (fuzz_below(2))
				hang_up(&clients[i]);
		pump(5);
		audit();
		if (!fuzz_below(4)) {	/* killed, and started again */
			bl_manager_free(m);
			start();
		}
	}
	for (i = 0; i < CLIENTS; i++)
		hang_up(&clients[i]);
	/* One that waits for its grant notices last. */
	CHECK_SOON((pump(1), m->server.n_conns == 0), 10);
	bl_manager_free(m);
	CHECK_EQ(open_fds(), before);
	tap_diag("%u rounds, %llu messages", rounds, (unsigned long long)sent);
	fake_fini(&fake);
}

TEST_TIMEOUT(check, "whatever a packet holds, judging it reads nothing outside of it", 60)
{
	double end = tap_now() + 1;
	unsigned int good = 0, runs;
	char *exact;
	size_t len;

	fuzz_seed();
	for (runs = 0; tap_now() < end; runs++) {
		len = compose();
		if (fuzz_below(2)) {
			len = fuzz_mutate(packet.bytes, len, sizeof(packet.bytes));
			packet.p.msg.size = (uint32_t)len;
		}
		exact = malloc(len ? len : 1);	/* ASan guards its end */
		memcpy(exact, packet.bytes, len);
		good += !bl_msg_check(exact, len, fuzz_below(2), NULL);
		free(exact);
	}
	CHECK(good > 0 && good < runs);
}

TAP_MAIN()
