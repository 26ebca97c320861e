/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* What programs ask for: grants, sessions, to be told, to be heard. */
#include "tests/unit/daemon_client.h"

TEST(open_grant, "a client gets a grant with its levels, and the daemon keeps no copy of the file")
{
	unsigned int before;
	uint64_t session;
	int fd, session_fd;

	start();
	before = open_fds();
	fd = client(1000, &session, &session_fd);
	CHECK_EQ(in.grant.count, 3);
	CHECK_STR(in.grant.levels[0].name, "grant");
	CHECK(!strncmp(in.grant.levels[1].name, "user/", 5));
	CHECK_STR(in.grant.levels[2].name, "system");
	CHECK_EQ(open_fds(), before + 3);	/* two ends of the socket, and the client's copy */
	CHECK_EQ(fcntl(session_fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	pump();
	CHECK_EQ(m->server.n_conns, 0);
	close(session_fd);
	stop();
}

TEST(open_twice, "a connection has one session, a process one grant")
{
	struct bl_open o = { 0 };
	uint64_t a, b, grant;
	int fd;

	start();
	fd = client(1000, &a, NULL);
	grant = in.grant.grant;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_ERROR);
	CHECK_EQ(in.error.error, EBUSY);
	client(1000, &b, NULL);
	CHECK_EQ(in.grant.grant, grant);
	CHECK_NE(a, b);
	CHECK_EQ(m->ledger.n_grants, 1);
	stop();
}

TEST(open_refused, "a wish that can never be granted is refused with account, usage, limit and cure")
{
	struct bl_open o = { .want_bytes = 1ULL << 40 };
	int fd;

	start();
	bl_policy_user(m->policy, 1000)->said |= BL_SAYS_BYTES;
	bl_policy_user(m->policy, 1000)->user.bytes = 64 << 20;
	fd = hello();
	newest()->peer.uid = 1000;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_ERROR);
	CHECK_EQ(in.error.error, EDQUOT);
	CHECK(!strncmp(in.error.refusal.account, "user/", 5));
	CHECK_EQ(in.error.refusal.resource, BELAY_RESOURCE_BYTES);
	CHECK_EQ(in.error.refusal.limit, 64 << 20);
	CHECK_EQ(in.error.refusal.needed, 1ULL << 40);
	CHECK(strstr(in.error.text, "may hold 64 MiB (0 B in use), and 1 TiB were asked for"));
	CHECK(strstr(in.error.text, "(max in [user "));
	CHECK(strstr(in.error.text, "belayctl limit set user/"));
	/* What no account refuses is the process's own limit; its grant is not there yet. */
	bl_policy_user(m->policy, 1000)->said |= BL_SAYS_PROCESS_BYTES;
	bl_policy_user(m->policy, 1000)->process.bytes = 8 << 20;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_ERROR);
	CHECK_STR(in.error.refusal.account, "grant");
	CHECK(strstr(in.error.text, "this process may hold 8 MiB, and 1 TiB were asked for"));
	CHECK(strstr(in.error.text, "process_max"));
	CHECK(!strstr(in.error.text, "in use") && !strstr(in.error.text, "limit set"));
	o.want_bytes = 8 << 20;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_GRANT);
	stop();
}

TEST(open_busy, "an address space that is busy is tried again, without holding up anybody")
{
	struct bl_open o = { 0 };
	struct bl_msg s = { 0 };
	int fd, other;

	start();
	m->loop.clock = clock_of_test;
	fake.busy_grants = 3;
	fd = hello();
	other = hello();
	PUT(fd, o, BL_OPEN);
	pump();
	CHECK_EQ(get(fd, NULL), 0);
	CHECK_EQ(ASK(other, s, BL_STATUS), BL_STATUS);
	CHECK_EQ(get_soon(fd), BL_GRANT);
	CHECK_EQ(fake.busy_grants, 0);

	fd = hello();
	fake.busy_grants = 1000;
	PUT(fd, o, BL_OPEN);
	pump();
	fake_now += 6 * SEC;
	CHECK_EQ(get_soon(fd), BL_ERROR);
	CHECK_EQ(in.error.error, EAGAIN);
	stop();
}

TEST(open_fails, "when the module refuses, the client is told and the daemon goes on")
{
	struct bl_open o = { 0 };
	int fd;

	start();
	client(1000, NULL, NULL);
	fd = hello();
	newest()->peer.uid = 1000;
	fake.fail_next = ENOMEM;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_ERROR);
	CHECK_EQ(in.error.error, ENOMEM);
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_GRANT);
	stop();
}

TEST(versions, "versions that do not meet are told apart, and no version comes second")
{
	struct bl_hello h = { .oldest = 5, .newest = 9 };
	struct bl_open o = { 0 };
	int fd;

	start();
	fd = dial();
	CHECK_EQ(ASK(fd, h, BL_HELLO), BL_ERROR);
	CHECK_EQ(in.error.error, EPROTONOSUPPORT);
	CHECK_EQ(get(fd, NULL), -1);
	fd = dial();
	PUT(fd, o, BL_OPEN);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EPROTO);
	CHECK_EQ(get(fd, NULL), -1);
	fd = hello();
	PUT(fd, h, BL_HELLO);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EPROTO);
	stop();
}

TEST(loss, "the loss of a pinned region is told at once, and an ack needs nothing more")
{
	uint64_t session, region;
	struct bl_ack ack = { 0 };
	int fd;

	start();
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake_lose(&fake, session, region);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.session, session);
	CHECK_EQ(in.revoke.region, region);
	CHECK_EQ(in.revoke.cookie, ~region);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_UNMAPPED);
	CHECK_EQ(in.revoke.lost_len, 65536);
	CHECK_EQ(in.revoke.deadline, 0);
	CHECK_NE(in.revoke.request, 0);
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK_EQ(m->revoke.open, 0);
	ack.request = in.revoke.request;
	CHECK_EQ(ASK(fd, ack, BL_ACK), BL_OK);
	CHECK_EQ(get(fd, NULL), 0);
	fake_unregister(&fake, session, region);
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(loss_tracked, "the loss of a tracked region has a deadline, and is over when it is unregistered")
{
	uint64_t session, region;
	int fd;

	start();
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_TRACKED, 65536);
	fake_lose(&fake, session, region);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.deadline, fake_now + m->policy->deadline_nsec);
	CHECK_EQ(in.revoke.escalation, BL_KEEP);
	CHECK_EQ(m->revoke.open, 1);
	pass(11 * SEC);
	CHECK_EQ(m->revoke.overdue, 1);
	fake_unregister(&fake, session, region);
	pump();
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

/* The next packet is this loss. */
static void expect_loss(int fd, uint64_t request, uint64_t addr, uint64_t len,
			uint64_t deadline)
{
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	if (request)
		CHECK_EQ(in.revoke.request, request);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_UNMAPPED);
	CHECK_EQ(in.revoke.lost_addr, addr);
	CHECK_EQ(in.revoke.lost_len, len);
	CHECK_EQ(in.revoke.deadline, deadline);
}

TEST(loss_partial, "a pinned region lost in part has a deadline; more of it is the same request, the rest its end")
{
	uint64_t session, region, addr, deadline, request;
	int fd;

	start();
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	addr = fake_region(&fake, session, region)->addr;
	deadline = fake_now + m->policy->deadline_nsec;
	fake_lose_part(&fake, session, region, 8192, 4096);
	pump();
	expect_loss(fd, 0, addr + 8192, 4096, deadline);
	request = in.revoke.request;
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK_EQ(bl_revoke_find(&m->revoke, session, region)->bytes, 65536 - 4096);
	pass(5 * SEC);
	fake_lose_part(&fake, session, region, 16384, 4096);
	pump();
	expect_loss(fd, request, addr + 8192, 12288, deadline);
	CHECK_EQ(m->revoke.open, 1);
	CHECK_EQ(bl_revoke_find(&m->revoke, session, region)->bytes, 65536 - 12288);
	pass(5 * SEC);
	CHECK_EQ(m->revoke.overdue, 1);		/* of the first loss */
	fake_lose(&fake, session, region);
	pump();
	expect_loss(fd, request, addr, 65536, 0);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(get(fd, NULL), 0);
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(loss_partial_acked, "the ack of a loss in part lets the rest go")
{
	uint64_t session, region;
	struct bl_ack ack = { 0 };
	int fd;

	start();
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake_lose_part(&fake, session, region, 0, 4096);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(m->revoke.open, 1);
	ack.request = in.revoke.request;
	CHECK_EQ(ASK(fd, ack, BL_ACK), BL_OK);
	CHECK(!fake_region(&fake, session, region));
	CHECK_EQ(m->revoke.open, 0);
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(loss_partial_release, "release: what is left of a region lost in part goes at the deadline")
{
	uint64_t session, region;
	int fd;

	start();
	m->policy->escalation = BL_RELEASE;
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake_lose_part(&fake, session, region, 0, 4096);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.escalation, BL_RELEASE);
	pass(m->policy->deadline_nsec - 1);
	CHECK(fake_region(&fake, session, region) != NULL);
	pass(1);
	CHECK(!fake_region(&fake, session, region));
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(loss_trimmed, "a trimmed region's request is over, and its parts meet no deadline")
{
	uint64_t session, region, parts[2];
	int fd;

	start();
	m->policy->escalation = BL_RELEASE;
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake_lose_part(&fake, session, region, 8192, 4096);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(m->revoke.open, 1);
	fake_trim(&fake, session, region, 8192, 4096, parts);
	pump();
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(bl_revoke_wake(&m->revoke), 0);
	CHECK_EQ(fake_pending(&fake), 0);
	pass(2 * m->policy->deadline_nsec);
	CHECK(fake_region(&fake, session, parts[0]) != NULL);
	CHECK(fake_region(&fake, session, parts[1]) != NULL);
	CHECK_EQ(get(fd, NULL), 0);
	stop();
}

TEST(loss_partial_restart, "a new daemon finds what is left of a region lost in part, and tells again")
{
	uint64_t session, region, addr, request;
	struct bl_resume resume = { 0 };
	int fd, session_fd;

	start();
	fd = client(1000, &session, &session_fd);
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	addr = fake_region(&fake, session, region)->addr;
	fake_lose_part(&fake, session, region, 4096, 4096);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	request = in.revoke.request;
	stop();
	close(fd);
	start();
	CHECK_EQ(m->revoke.open, 1);
	fd = hello();
	newest()->peer.uid = 1000;
	resume.session = session;
	PUT(fd, resume, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);
	expect_loss(fd, request, addr + 4096, 4096, fake_now + m->policy->deadline_nsec);
	stop();
}

TEST(loss_watched, "the loss of a watched region is told without a deadline, and nobody is killed for it")
{
	uint64_t session, region, addr;
	int fd;

	start();
	m->policy->escalation = BL_KILL;	/* of this process, were it done */
	fd = client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_WATCHED, 65536);
	addr = fake_region(&fake, session, region)->addr;
	fake_lose_part(&fake, session, region, 4096, 4096);
	pump();
	expect_loss(fd, 0, addr + 4096, 4096, 0);
	CHECK_EQ(in.revoke.escalation, BL_KEEP);
	fake_lose(&fake, session, region);
	pump();
	expect_loss(fd, BL_LOSS_ID(region), addr, 65536, 0);
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(bl_revoke_wake(&m->revoke), 0);
	pass(100 * SEC);
	stop();
	start();
	CHECK_EQ(m->revoke.open, 0);
	pass(100 * SEC);
	fake_unregister(&fake, session, region);
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(restart, "a new daemon finds accounts, grants, limits and open requests, and their deadlines")
{
	struct rlimit rl, mine = { 65536, 1 << 20 };
	uint64_t session, recalled, lost, request, deadline;
	struct bl_policy *p;
	struct bl_resume res = { 0 };
	struct bl_ack ack = { 0 };
	int fd, session_fd, admin, i;

	start();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.said |= BL_SAYS_BYTES;
	m->policy->fallback.user.bytes = 512 << 10;
	fd = client(1000, &session, &session_fd);
	admin = hello();
	recalled = fake_register(&fake, session, BELAY_PINNED, 4096);
	lost = fake_register(&fake, session, BELAY_TRACKED, 4096);
	CHECK_EQ(recall_region(admin, recalled, BL_RELEASE, false), BL_RECALL);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	request = in.revoke.request;
	deadline = in.revoke.deadline;
	stop();
	close(fd);
	fake_lose(&fake, session, lost);	/* while there is no daemon */

	start();
	fake_now += 5 * SEC;
	CHECK_EQ(m->ledger.n_grants, 1);
	CHECK_EQ(m->ledger.n_accounts, 2);
	CHECK_EQ(m->revoke.open, 2);
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	p = m->policy;
	p->fallback.said |= BL_SAYS_BYTES;
	p->fallback.user.bytes = 512 << 10;
	CHECK_OK(bl_accounts_apply(m));
	fd = hello();
	res.session = session;
	PUT(fd, res, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);
	CHECK_EQ(in.grant.session, session);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(get(fd, NULL), BL_REVOKE);
		if (in.revoke.region == recalled) {
			CHECK_EQ(in.revoke.request, request);
			CHECK_EQ(in.revoke.deadline, deadline);
			CHECK_EQ(in.revoke.escalation, BL_RELEASE);
		} else {
			CHECK_EQ(in.revoke.region, lost);
			CHECK_EQ(in.revoke.reason, BELAY_REASON_UNMAPPED);
			CHECK_NE(in.revoke.deadline, 0);
		}
	}
	ack.request = request;
	CHECK_EQ(ASK(fd, ack, BL_ACK), BL_OK);
	CHECK(!fake_region(&fake, session, recalled));
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_EQ(rl.rlim_cur, 65536);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(ended_unseen, "a grant that ended while there was no daemon has its process's limit put back")
{
	struct rlimit rl, mine = { 65536, 1 << 20 };
	uint64_t session;

	start();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.said |= BL_SAYS_BYTES;
	m->policy->fallback.user.bytes = 512 << 10;
	client(1000, &session, NULL);
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_EQ(rl.rlim_cur, 512 << 10);
	stop();
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	start();
	pump();
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_EQ(rl.rlim_cur, 65536);
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK_EQ(m->ledger.n_grants, 0);
	stop();
}

TEST(resume_strangers, "a session that there is not, or of another process, cannot be resumed")
{
	struct bl_resume res = { 0 };
	uint64_t session;
	int fd;

	start();
	client(1000, &session, NULL);
	fd = hello();
	res.session = session + 1;
	PUT(fd, res, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	CHECK(strstr(in.error.text, "has no session"));
	newest()->peer.start_time++;
	res.session = session;
	PUT(fd, res, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EXDEV);
	newest()->peer.start_time--;
	res.session = session;
	PUT(fd, res, BL_RESUME);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);
	CHECK_EQ(m->server.n_conns, 1);	/* the first one has lost its session */
	stop();
}

TEST(sweep, "accounts that nobody uses go, and come back when needed")
{
	uint64_t session;

	start();
	client(1000, &session, NULL);
	CHECK_EQ(m->ledger.n_accounts, 2);
	bl_accounts_sweep(m);
	CHECK_EQ(m->ledger.n_accounts, 2);
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	bl_accounts_sweep(m);
	CHECK_EQ(m->ledger.n_accounts, 1);
	client(1000, &session, NULL);
	CHECK_EQ(m->ledger.n_accounts, 2);
	stop();
}

TEST(no_memory, "an event that there is no memory for stays, and is dealt with later")
{
	uint64_t session, region;
	int i;

	start();
	client(1000, &session, NULL);
	region = fake_register(&fake, session, BELAY_TRACKED, 4096);
	fake_lose(&fake, session, region);
	fake.fail_next = ENOMEM;
	pump();
	CHECK_EQ(fake_pending(&fake), 1);
	CHECK_EQ(m->revoke.open, 0);
	for (i = 0; i < 300 && fake_pending(&fake); i++, usleep(10000))
		pump();
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK_EQ(m->revoke.open, 1);
	stop();
}

TAP_MAIN()
