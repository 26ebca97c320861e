/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Out of memory, everywhere: a sequence of everything that the daemon does for
 * clients and administrators is repeated, and each time another allocation
 * fails. The daemon must live, and afterwards its books must be right.
 */
#include "tests/unit/daemon_client.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int until_failure;	/* 0: none is to come */
static bool failed;

static bool fails(void)
{
	if (!until_failure || --until_failure)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* An answer of that type, an error, or none because the daemon gave up on us. */
static bool heard(int fd, int want)
{
	int type, i;

	for (i = 0; i < 4; i++) {
		type = get(fd, NULL);
		if (type == want)
			return true;
		if (type <= 0 || type == BL_ERROR)
			return false;
	}
	return false;
}

static void tell(int fd, void *msg, size_t size, uint16_t type)
{
	uint16_t flags = ((struct bl_msg *)msg)->flags;

	bl_msg_init(msg, size, type, ++serial);
	((struct bl_msg *)msg)->flags = flags;
	send(fd, msg, size, MSG_NOSIGNAL);	/* it may have been dropped */
	pump();
}

#define TELL(fd, m, type) tell(fd, &(m), sizeof(m), type)

/* Everything once; what fails is passed over. */
static void live(void)
{
	struct bl_hello h = { .oldest = 1, .newest = 1 };
	struct bl_open o = { 0 };
	struct bl_list l = { .what = BL_LIST_REGIONS };
	struct bl_limit lim = { .account = "user/1000", .set = 1, .limit_bytes = 1 << 30 };
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = 1000 };
	struct bl_reload rel = { 0 };
	struct bl_ack ack = { 0 };
	uint64_t session = 0, lost;
	int fd = dial(), session_fd = -1, i;

	TELL(fd, h, BL_HELLO);
	heard(fd, BL_HELLO);
	TELL(fd, lim, BL_LIMIT);
	heard(fd, BL_OK);
	if (newest())
		newest()->peer.uid = 1000;
	TELL(fd, o, BL_OPEN);
	if (get(fd, &session_fd) == BL_GRANT)
		session = in.grant.session;
	if (session) {
		lost = fake_register(&fake, session, BELAY_TRACKED, 4096);
		for (i = 0; i < 3; i++)
			fake_register(&fake, session, BELAY_PINNED, 4096);
		fake_lose(&fake, session, lost);
		pump();
		heard(fd, BL_REVOKE);
	}
	r.msg.flags = BL_RECALL_WAIT;
	TELL(fd, r, BL_RECALL);
	if (heard(fd, BL_REVOKE)) {
		ack.request = in.revoke.request;
		TELL(fd, ack, BL_ACK);
	}
	pass(11 * SEC);
	TELL(fd, l, BL_LIST);
	TELL(fd, rel, BL_RELOAD);
	if (session)
		fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	close(fd);
	if (session_fd >= 0)
		close(session_fd);
	pump();
}

/* With memory again, all is as if nothing had happened. */
static void audit(void)
{
	struct bl_msg s = { 0 };
	unsigned int i, grants = 0;
	int fd;

	/* A session that was given and did not arrive: its file is closed. */
	for (i = 0; i < FAKE_MAX; i++)
		if (fake.grants[i].used && !fake.grants[i].row.flags)
			fake_end_grant(&fake, fake.grants[i].row.grant);
	event_add(&m->ev_device, NULL);	/* without waiting for the retry */
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	for (i = 0; i < FAKE_MAX; i++)
		grants += fake.grants[i].used;
	CHECK_EQ(grants, 0);
	CHECK_EQ(m->ledger.n_grants, 0);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(m->server.n_conns, 0);
	fd = hello();
	CHECK_EQ(ASK(fd, s, BL_STATUS), BL_STATUS);
	close(fd);
	pump();
}

TEST_TIMEOUT(sweep, "whichever allocation fails, the daemon lives and its books are right", 60)
{
	unsigned int before;
	int n = 0, misses = 0;

	start();
	before = open_fds();
	live();
	audit();
	/* Tables that grow once and for all have grown: start small again. */
	while (misses < 3) {
		stop();
		start();
		failed = false;
		until_failure = ++n;
		live();
		until_failure = 0;
		misses = failed ? 0 : misses + 1;
		audit();
		CHECK_EQ(open_fds(), before);
	}
	tap_diag("%d allocations failed, one after the other", n - 3);
	CHECK_GT(n, 20);
	stop();
}

TAP_MAIN()
