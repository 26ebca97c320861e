/* SPDX-License-Identifier: MIT */
/*
 * The whole daemon with its loop, over real sockets, with a module in memory.
 *
 * The test is the client as well: it connects, says something, lets the loop
 * run until there is nothing to do, and reads. Time is the test's where
 * deadlines matter.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/log.h"
#include "daemon/manager.h"
#include "tests/lib/tap.h"
#include "tests/unit/fake_module.h"

#define SEC 1000000000ULL

static struct fake_module fake;
static struct bl_manager *m;
static char path[64];
static uint64_t fake_now;
static uint64_t serial = 100;

static uint64_t clock_of_test(void)
{
	return fake_now;
}

static void start(void)
{
	int fd;

	bl_log_set_level(-1);
	fake_now = 1000 * SEC;
	if (!fake.dev.call)
		fake_init(&fake);
	m = bl_manager_new(&fake.dev, bl_policy_new(), "/nonexistent");
	CHECK(m);
	m->clock = clock_of_test;
	m->admin_gid = getegid();
	CHECK_OK(bl_manager_start(m));
	snprintf(path, sizeof(path), "/tmp/belayd-loop.%d", getpid());
	unlink(path);
	fd = CHECK_OK(bl_server_bind(path));
	CHECK_OK(bl_server_listen(m, fd));
}

static void stop(void)
{
	bl_manager_free(m);
	unlink(path);
}

/* Until nothing more happens by itself. */
static void pump(void)
{
	int i;

	for (i = 0; i < 40; i++)
		event_base_loop(m->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static int dial(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	strcpy(sa.sun_path, path);
	CHECK_SYS(connect(fd, (struct sockaddr *)&sa, sizeof(sa)));
	pump();
	return fd;
}

static struct bl_conn *newest(void)
{
	return TAILQ_LAST(&m->conns, bl_conns);
}

static union {
	uint64_t align;
	char bytes[BL_MSG_MAX + 64];
	struct bl_msg msg;
	struct bl_hello hello;
	struct bl_error error;
	struct bl_ok ok;
	struct bl_grant grant;
	struct bl_revoke revoke;
	struct bl_status status;
	struct bl_list_rows rows;
	struct bl_recalled recalled;
} in;

/* One packet, checked; its type; 0: nothing, -1: the connection is closed. */
static int get(int fd, int *ret_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { in.bytes, sizeof(in.bytes) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	char why[BL_TEXT_MAX];
	ssize_t n;

	if (ret_fd)
		*ret_fd = -1;
	n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (!n)
		return -1;
	if (bl_msg_check(in.bytes, (size_t)n, BL_FROM_DAEMON, why))
		FAIL("from the daemon: %s", why);
	if (ret_fd && CMSG_FIRSTHDR(&mh))
		memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(int));
	return in.msg.type;
}

static void put_fd(int fd, void *msg, size_t size, uint16_t type, int send_fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { msg, size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct bl_msg *head = msg;
	uint16_t flags = head->flags;

	bl_msg_init(head, size, type, ++serial);
	head->flags = flags;
	if (send_fd >= 0) {
		mh.msg_control = control.buf;
		mh.msg_controllen = sizeof(control.buf);
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), &send_fd, sizeof(int));
	}
	CHECK_EQ(CHECK_SYS(sendmsg(fd, &mh, MSG_NOSIGNAL)), size);
}

/* Sends, lets the daemon work, and takes the answer. */
static int ask_size(int fd, void *msg, size_t size, uint16_t type)
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

static int hello(void)
{
	struct bl_hello h = { .oldest = 1, .newest = 9, .label = "test" };
	int fd = dial();

	CHECK_EQ(ASK(fd, h, BL_HELLO), BL_HELLO);
	CHECK_EQ(in.hello.newest, BL_PROTOCOL_NEWEST);
	CHECK_STR(in.hello.label, BELAY_VERSION);
	return fd;
}

/* A client with a session, as if of that user. */
static int client(uid_t uid, uint64_t *ret_session, int *ret_fd)
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

static int recall_region(int admin, uint64_t session, uint64_t region,
			 uint32_t escalation, bool wait)
{
	struct bl_recall r = { .what = BL_RECALL_REGION, .session = session,
			       .region = region, .escalation = escalation };

	if (wait)
		r.msg.flags = BL_RECALL_WAIT;
	return ASK(admin, r, BL_RECALL);
}

static void pass(uint64_t nsec)
{
	fake_now += nsec;
	bl_enforce_run(m);
	pump();
}

static unsigned int open_fds(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ------------------------------------------------------------------------ */

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
	CHECK_EQ(m->n_conns, 0);
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
	bl_policy_user(m->policy, 1000)->has_bytes = true;
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
	o.want_bytes = 64 << 20;
	CHECK_EQ(ASK(fd, o, BL_OPEN), BL_GRANT);
	stop();
}

TEST(open_busy, "an address space that is busy is tried again, without holding up anybody")
{
	struct bl_open o = { 0 };
	struct bl_msg s = { 0 };
	int fd, other, i;

	start();
	m->clock = clock_of_test;
	fake.busy_grants = 3;
	fd = hello();
	other = hello();
	PUT(fd, o, BL_OPEN);
	pump();
	CHECK_EQ(get(fd, NULL), 0);
	CHECK_EQ(ASK(other, s, BL_STATUS), BL_STATUS);
	for (i = 0; i < 200 && fake.busy_grants; i++, usleep(2000))
		pump();
	usleep(50000);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);

	fd = hello();
	fake.busy_grants = 1000;
	PUT(fd, o, BL_OPEN);
	pump();
	fake_now += 6 * SEC;
	usleep(20000);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
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
	CHECK_EQ(in.revoke.deadline, fake_now + BL_DEADLINE_NSEC);
	CHECK_EQ(in.revoke.escalation, BL_KEEP);
	CHECK_EQ(m->revoke.open, 1);
	pass(11 * SEC);
	CHECK_EQ(m->revoke.overdue, 1);
	fake_unregister(&fake, session, region);
	pump();
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(recall_acked, "a recall reaches the client, its ack releases the pinned region, the waiter is told")
{
	uint64_t session, region;
	struct bl_ack ack = { 0 };
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, session, region, BL_KEEP, true), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(in.revoke.lost_len, 0);
	CHECK_EQ(in.revoke.deadline, fake_now + BL_DEADLINE_NSEC);
	CHECK(fake_region(&fake, session, region)->state & BELAY_WORD_RECALLED);
	CHECK_EQ(fake_region(&fake, session, region)->request, in.revoke.request);
	ack.request = in.revoke.request;
	CHECK_EQ(ASK(fd, ack, BL_ACK), BL_OK);
	CHECK(!fake_region(&fake, session, region));
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_EQ(in.recalled.bytes, 65536);
	CHECK_EQ(in.recalled.let_go, 1);
	CHECK_EQ(in.recalled.released + in.recalled.kept + in.recalled.killed, 0);
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(recall_lost, "a recalled pinned region that is lost holds nothing: the waiter is told at once")
{
	uint64_t session, region, request;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, session, region, BL_KILL, true), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	request = in.revoke.request;
	fake_lose(&fake, session, region);
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.let_go, 1);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_NE(in.revoke.request, request);
	CHECK_EQ(in.revoke.lost_len, 65536);
	CHECK_EQ(in.revoke.deadline, 0);
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(recall_fails, "a recall that the module does not take is undone, and that is said")
{
	uint64_t session, region;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake.fail_recall = ENOMEM;
	CHECK_EQ(recall_region(admin, session, region, BL_KEEP, true), BL_ERROR);
	CHECK_EQ(in.error.error, ENOMEM);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(get(fd, NULL), 0);
	stop();
}

TEST(recall_release, "a recall that is ignored is released by order at the deadline")
{
	uint64_t session, region;
	int admin;

	start();
	client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, session, region, BL_RELEASE, true), 0);
	pass(9 * SEC);
	CHECK(fake_region(&fake, session, region));
	pass(2 * SEC);
	CHECK(!fake_region(&fake, session, region));
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.released, 1);
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(recall_refused, "release is refused for tracked regions, and it is said why")
{
	uint64_t session, region;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_TRACKED, 65536);
	CHECK_EQ(recall_region(admin, session, region, BL_RELEASE, false), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	CHECK_EQ(in.recalled.refused, 1);
	CHECK(strstr(in.recalled.text, "another driver holds their memory"));
	CHECK_EQ(get(fd, NULL), 0);
	CHECK(!(fake_region(&fake, session, region)->state & BELAY_WORD_RECALLED));
	stop();
}

TEST(recall_many, "a user's regions are recalled together: by user, grant and process")
{
	struct bl_recall r = { .what = BL_RECALL_USER, .uid = 1000 };
	uint64_t session, grant;
	int fd, admin, i, n;

	start();
	fd = client(1000, &session, NULL);
	grant = in.grant.grant;
	admin = hello();
	for (i = 0; i < 300; i++)
		fake_register(&fake, session, BELAY_PINNED, 4096);
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 300);
	CHECK_EQ(in.recalled.bytes, 300 * 4096);
	for (n = 0; get(fd, NULL) == BL_REVOKE; n++)
		pump();
	CHECK_EQ(n, 300);
	r.what = BL_RECALL_GRANT;
	r.grant = grant;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 300);
	CHECK_EQ(m->revoke.open, 300);
	r.what = BL_RECALL_PROCESS;
	r.pid = getpid();
	r.timeout_usec = 1000000;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	pass(2 * SEC);
	for (i = 0; i < 10; i++)
		pass(0);
	CHECK_EQ(m->revoke.overdue, 300);
	r.pid = 1;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	r.what = BL_RECALL_GRANT;
	r.grant = 9999;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	r.what = BL_RECALL_USER;
	r.uid = 4711;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	r.what = 99;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	stop();
}

static void sleeper(void *arg)
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

TEST(recall_kill, "a process that ignores its deadline is killed, itself and nobody else")
{
	uint64_t session, region;
	pid_t pid, bystander;
	int admin, status, i;

	start();
	pid = tap_spawn(sleeper, NULL);
	bystander = tap_spawn(sleeper, NULL);
	for (i = 0; i < 1000 && m->ledger.n_grants < 2; i++, usleep(1000))
		pump();
	session = bl_ledger_process(&m->ledger, pid, 0) ? 0 : fake.sessions[0].id;
	if (fake_grant_of(&fake, session)->pid != pid)
		session = fake.sessions[1].id;
	CHECK_EQ(fake_grant_of(&fake, session)->pid, pid);
	admin = hello();
	region = fake_register(&fake, session, BELAY_TRACKED, 65536);
	CHECK_EQ(recall_region(admin, session, region, BL_KILL, true), 0);
	pass(9 * SEC);
	CHECK(!tap_wait(pid, 0, &status));
	pass(2 * SEC);
	CHECK(tap_wait(pid, 5, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(get(admin, NULL), 0);
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.killed, 1);
	CHECK(!tap_wait(bystander, 0, &status));
	kill(bystander, SIGKILL);
	stop();
}

TEST(memlock, "RLIMIT_MEMLOCK is raised to what the grant allows, and put back at its end")
{
	struct rlimit rl, mine = { 65536, 1 << 20 };
	uint64_t session;
	pid_t pid;
	int i;

	start();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.has_bytes = true;
	m->policy->fallback.user.bytes = 512 << 10;
	pid = tap_spawn(sleeper, NULL);
	for (i = 0; i < 1000 && m->ledger.n_grants < 1; i++, usleep(1000))
		pump();
	session = fake.sessions[0].id;
	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 512 << 10);
	CHECK_EQ(rl.rlim_max, 1 << 20);
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 65536);
	CHECK_EQ(rl.rlim_max, 1 << 20);
	CHECK_EQ(m->ledger.n_grants, 0);
	kill(pid, SIGKILL);
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
	m->policy->fallback.has_bytes = true;
	m->policy->fallback.user.bytes = 512 << 10;
	fd = client(1000, &session, &session_fd);
	admin = hello();
	recalled = fake_register(&fake, session, BELAY_PINNED, 4096);
	lost = fake_register(&fake, session, BELAY_TRACKED, 4096);
	CHECK_EQ(recall_region(admin, session, recalled, BL_RELEASE, false), BL_RECALL);
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
	p->fallback.has_bytes = true;
	p->fallback.user.bytes = 512 << 10;
	CHECK_OK(bl_accounts_apply(m));
	fd = hello();
	put_fd(fd, &res, sizeof(res), BL_RESUME, session_fd);
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
	m->policy->fallback.has_bytes = true;
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

TEST(resume_strangers, "a session cannot be resumed with another file, or by another process")
{
	struct bl_resume res = { 0 };
	uint64_t session;
	int fd, session_fd, null = open("/dev/null", O_RDONLY);

	start();
	client(1000, &session, &session_fd);
	fd = hello();
	put_fd(fd, &res, sizeof(res), BL_RESUME, null);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	newest()->peer.start_time++;
	put_fd(fd, &res, sizeof(res), BL_RESUME, session_fd);
	pump();
	CHECK_EQ(get(fd, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EXDEV);
	newest()->peer.start_time--;
	put_fd(fd, &res, sizeof(res), BL_RESUME, session_fd);
	pump();
	CHECK_EQ(get(fd, NULL), BL_GRANT);
	CHECK_EQ(m->n_conns, 1);	/* the first one has lost its session */
	stop();
}

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

TEST(fd_flood, "file descriptors that nobody asked for are closed, and cost the connection")
{
	union {
		char buf[CMSG_SPACE(200 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct bl_open o = { 0 };
	struct iovec iov = { &o, sizeof(o) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf };
	unsigned int before;
	int fd, i, n, null = open("/dev/null", O_RDONLY);

	start();
	before = open_fds();
	for (n = 1; n <= 200; n += n < 4 ? 1 : 49) {
		fd = hello();
		mh.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		for (i = 0; i < n; i++)
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)) + (size_t)i * sizeof(int), &null, sizeof(int));
		bl_msg_init(&o.msg, sizeof(o), BL_OPEN, 1);
		CHECK_SYS(sendmsg(fd, &mh, 0));
		pump();
		CHECK_EQ(get(fd, NULL), BL_ERROR);
		CHECK_EQ(in.error.error, EPROTO);
		CHECK_EQ(get(fd, NULL), -1);
		close(fd);
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
		event_base_loop(m->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
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
	int fd, session_fd, i, n = 0;
	double end;

	start();
	fd = client(1000, &session, &session_fd);
	i = 4096;
	setsockopt(newest()->fd, SOL_SOCKET, SO_SNDBUF, &i, sizeof(i));
	for (i = 0; i < 300; i++)
		fake_lose(&fake, session, fake_register(&fake, session, BELAY_PINNED, 4096));
	pump();
	CHECK_EQ(fake_pending(&fake), 0);
	CHECK(newest()->out_bytes > 0);
	for (end = tap_now() + 12; tap_now() < end && m->n_conns; usleep(50000))
		pump();
	CHECK_EQ(m->n_conns, 0);
	close(fd);
	fd = hello();
	put_fd(fd, &res, sizeof(res), BL_RESUME, session_fd);
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
	CHECK(!newest()->behind);
	stop();
}

TEST(admin_only, "who is no administrator changes nothing, and sees its own rows and the system's")
{
	struct bl_recall r = { .what = BL_RECALL_USER };
	struct bl_limit l = { .account = "system", .set = 1 };
	struct bl_list ls = { .what = BL_LIST_GRANTS };
	struct bl_reload rl = { 0 };
	struct bl_msg s = { 0 };
	int fd;

	start();
	m->admin_gid = (gid_t)-1;
	client(1000, NULL, NULL);
	client(1001, NULL, NULL);
	fd = hello();
	newest()->peer.uid = 1000;
	CHECK_EQ(ASK(fd, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK(strstr(in.error.text, "belay-admin"));
	CHECK_EQ(ASK(fd, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK_EQ(ASK(fd, rl, BL_RELOAD), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK_EQ(ASK(fd, s, BL_STATUS), BL_STATUS);
	CHECK_EQ(in.status.grants, 2);
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 1);
	ls.what = BL_LIST_ACCOUNTS;
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 2);
	ls.has_uid = 1;
	ls.uid = 1001;
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	stop();
}

TEST(paging, "a list comes in pages, each row once, and ends with an empty one")
{
	struct bl_list l = { .what = BL_LIST_REGIONS };
	uint64_t session, other, last = 0;
	const struct bl_region_row *rows;
	int admin, i, n = 0, pages = 0;

	start();
	client(1000, &session, NULL);
	client(1001, &other, NULL);
	admin = hello();
	for (i = 0; i < 400; i++)
		fake_register(&fake, i % 4 ? session : other, BELAY_PINNED, 4096);
	for (;;) {
		CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
		pages++;
		if (!in.rows.count)
			break;
		rows = (const struct bl_region_row *)(&in.rows + 1);
		for (i = 0; i < (int)in.rows.count; i++) {
			CHECK(rows[i].session != session || rows[i].region > last);
			if (rows[i].session == session)
				last = rows[i].region;
			CHECK_EQ(rows[i].pid, getpid());
			CHECK(rows[i].command[0]);
			n++;
		}
		l.after = in.rows.after;
		l.after_region = in.rows.after_region;
	}
	CHECK_EQ(n, 400);
	CHECK_GE(pages, 5);
	l.after = l.after_region = 0;
	l.has_uid = 1;
	l.uid = 1001;
	for (n = 0; ASK(admin, l, BL_LIST) == BL_LIST && in.rows.count;) {
		n += (int)in.rows.count;
		l.after = in.rows.after;
		l.after_region = in.rows.after_region;
	}
	CHECK_EQ(n, 100);
	stop();
}

TEST(limits, "a limit is set at run time, also before the user comes, and survives a reload")
{
	struct bl_limit l = { .account = "user/1000", .set = BL_LIMIT_SET_BYTES,
			      .limit_bytes = 1 << 20 };
	char text[BL_TEXT_MAX];
	struct bl_account *a;
	int admin;

	start();
	admin = hello();
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	a = bl_ledger_user(&m->ledger, 1000);
	CHECK(a);
	CHECK_EQ(fake_account(&fake, a->id)->limit_bytes, 1 << 20);
	bl_accounts_sweep(m);
	CHECK(bl_ledger_user(&m->ledger, 1000));
	CHECK_OK(bl_manager_reload(m, text));
	CHECK_EQ(fake_account(&fake, a->id)->limit_bytes, 1 << 20);
	client(1000, NULL, NULL);
	CHECK_EQ(TAILQ_FIRST(&m->ledger.grants)->limits.bytes, BL_UNLIMITED);
	memset(l.account, 0, sizeof(l.account));
	snprintf(l.account, sizeof(l.account), "grant/%llu",
		 (unsigned long long)TAILQ_FIRST(&m->ledger.grants)->id);
	l.limit_bytes = 4096;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	CHECK_EQ(TAILQ_FIRST(&m->ledger.grants)->limits.bytes, 4096);
	strcpy(l.account, "user/no-such-user");
	memset(l.account + strlen(l.account), 0, 8);
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	memset(l.account, 0, sizeof(l.account));
	strcpy(l.account, "system");
	l.set = 0;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	l.set = BL_LIMIT_SET_REGIONS;
	l.limit_regions = 17;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	CHECK_EQ(fake_account(&fake, m->ledger.system->id)->limit_regions, 17);
	stop();
}

TEST(reload, "a reload changes all limits in one call; one with errors changes nothing and says so")
{
	struct bl_reload rl = { 0 };
	char file[80];
	unsigned int calls;
	int admin;
	FILE *f;

	start();
	snprintf(file, sizeof(file), "/tmp/belayd-loop.%d.conf", getpid());
	m->config_path = file;
	client(1000, NULL, NULL);
	client(1001, NULL, NULL);
	admin = hello();
	f = fopen(file, "w");
	fputs("[system]\nmax = 1G\n[default]\nmax = 64M\nprocess_max = 32M\n", f);
	fclose(f);
	calls = fake.limit_calls;
	CHECK_EQ(ASK(admin, rl, BL_RELOAD), BL_OK);
	CHECK_EQ(fake.limit_calls, calls + 1);
	CHECK_EQ(fake.limit_entries, 5);
	CHECK_EQ(fake_account(&fake, m->ledger.system->id)->limit_bytes, 1 << 30);
	CHECK_EQ(fake_account(&fake, bl_ledger_user(&m->ledger, 1001)->id)->limit_bytes, 64 << 20);
	f = fopen(file, "w");
	fputs("[system]\nmax = 2Q\n", f);
	fclose(f);
	CHECK_EQ(ASK(admin, rl, BL_RELOAD), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	CHECK(strstr(in.error.text, ":2: [system] max = 2Q"));
	CHECK_EQ(fake.limit_calls, calls + 1);
	CHECK_EQ(m->policy->system.bytes, 1 << 30);
	unlink(file);
	stop();
}

TEST(caps, "connections are capped for a user and for all")
{
	int fd;

	start();
	m->policy->max_clients = 2;
	dial();
	dial();
	newest()->peer.uid = 1000;
	if (getuid()) {
		fd = dial();
		CHECK_EQ(get(fd, NULL), BL_ERROR);
		CHECK_EQ(in.error.error, EUSERS);
		CHECK_EQ(get(fd, NULL), -1);
	}
	CHECK_LE(m->n_conns, 3);
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
	CHECK_EQ(m->n_conns, 2);
	for (end = tap_now() + 6; tap_now() < end; usleep(20000))
		pump();
	CHECK_EQ(m->n_conns, 1);
	CHECK_EQ(get(fd, NULL), -1);
	CHECK_EQ(ASK(idle, s, BL_STATUS), BL_STATUS);
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
