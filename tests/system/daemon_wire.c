/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belayd as a service with the real module: killed while clients hold grants,
 * with hostile clients, and with a thousand idle ones. Runs as root.
 */
#include <fcntl.h>
#include <linux/belay.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/system/daemon_raw.h"

#define UID_A	21001	/* nobody's: no names are needed */
#define UID_B	21002
#define MIB	(1UL << 20)

static char *map_pages(size_t len)
{
	return CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int32_t pin_kind(int session, void *addr, size_t len, uint32_t kind,
			uint64_t *ret_region)
{
	struct belay_register_entry e = {
		.addr = (uintptr_t)addr, .len = len, .kind = kind,
		.flags = BELAY_REGION_WRITE,
	};
	struct belay_register arg = {
		.size = sizeof(arg), .entries = (uintptr_t)&e, .count = 1,
		.entry_size = sizeof(e),
	};

	CHECK_SYS(ioctl(session, BELAY_REGISTER, &arg));
	if (ret_region)
		*ret_region = e.region;
	return e.status;
}

static int32_t pin(int session, void *addr, size_t len)
{
	return pin_kind(session, addr, len, BELAY_PINNED, NULL);
}

static void unregister(int session, uint64_t region)
{
	struct belay_region_entry e = { .region = region };
	struct belay_regions arg = {
		.size = sizeof(arg), .entries = (uintptr_t)&e, .count = 1,
		.entry_size = sizeof(e),
	};

	CHECK_SYS(ioctl(session, BELAY_UNREGISTER, &arg));
	CHECK_EQ(e.status, 0);
}

static void run(const char *command)
{
	int status = system(command);

	if (status)
		FAIL("%s: status %d", command, status);
}

static pid_t daemon_pid(void)
{
	FILE *f = popen("systemctl show -p MainPID --value belayd.service", "r");
	int pid = 0;

	CHECK_EQ(fscanf(f, "%d", &pid), 1);
	pclose(f);
	return pid;
}

static void set_limit(const char *account, uint64_t bytes)
{
	struct bl_limit l = { .set = BL_LIMIT_SET_BYTES, .limit_bytes = bytes };
	int fd = raw_hello(), type;

	strncpy(l.account, account, sizeof(l.account) - 1);
	type = RAW_ASK(fd, l, BL_LIMIT);
	if (type == BL_ERROR)
		FAIL("%s", in.error.text);
	CHECK_EQ(type, BL_OK);
	close(fd);
}

/* The same in the configuration, which holds for the next daemon as well. */
static void configure(const char *text)
{
	FILE *f;

	run("mkdir -p /etc/belay/belayd.conf.d");
	f = fopen("/etc/belay/belayd.conf.d/daemon-wire.conf", "w");
	CHECK(f);
	fputs(text, f);
	fclose(f);
	run("systemctl start belayd.service && systemctl reload belayd.service");
}

static void get_status(struct bl_status *ret)
{
	struct bl_msg ask = { 0 };
	int fd = raw_hello(), type = RAW_ASK(fd, ask, BL_STATUS);

	CHECK_EQ(type, BL_STATUS);
	*ret = in.status;
	close(fd);
}

/* Kills the daemon; systemd starts it again, or the next connection does. */
static void kill_daemon(void)
{
	pid_t pid = daemon_pid();

	CHECK_GT(pid, 1);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SOON(kill(pid, 0) < 0, 10);
}

static void become(uid_t uid)
{
	CHECK_SYS(setresgid(uid, uid, uid));
	CHECK_SYS(setresuid(uid, uid, uid));
}

static uint64_t soft_memlock(pid_t pid)
{
	struct rlimit rl;

	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	return rl.rlim_cur;
}

/* A client in a process of its own, which goes on when the test says so. */
struct actor {
	int go[2], done[2];
	pid_t pid;
	uid_t uid;
	void (*play)(struct actor *a);
};

/* The client has come to the end of a step, and waits for the next. */
static void rest(struct actor *a)
{
	char c = 1;

	CHECK_EQ(write(a->done[1], &c, 1), 1);
	if (read(a->go[0], &c, 1) != 1)
		_exit(0);	/* the end: actor_end() */
}

static void actor_main(void *arg)
{
	struct actor *a = arg;
	char c;

	close(a->go[1]);
	CHECK_EQ(read(a->go[0], &c, 1), 1);
	become(a->uid);
	a->play(a);
	rest(a);
}

static void actor_start(struct actor *a, uid_t uid, void (*play)(struct actor *a))
{
	a->uid = uid;
	a->play = play;
	CHECK_SYS(pipe2(a->go, O_CLOEXEC));
	CHECK_SYS(pipe2(a->done, O_CLOEXEC));
	a->pid = tap_spawn(actor_main, a);
	close(a->go[0]);
	close(a->done[1]);
}

/* Lets the client do its next step, and waits until it has. */
static void step(struct actor *a)
{
	char c = 1;

	CHECK_EQ(write(a->go[1], &c, 1), 1);
	if (read(a->done[0], &c, 1) != 1) {
		tap_join(a->pid);
		FAIL("the client ended early");
	}
}

static void actor_end(struct actor *a)
{
	close(a->go[1]);
	tap_join(a->pid);
}

/* ------------------------------------------------------------------------ */

static void play_killed(struct actor *a)
{
	struct bl_resume resume = { 0 };
	char *mem = map_pages(4 * MIB);
	uint64_t session_id;
	int fd, session;

	fd = raw_open(&session);
	session_id = in.grant.session;
	CHECK_EQ(pin(session, mem, MIB), 0);
	rest(a);
	/* There is no daemon now. */
	CHECK_EQ(pin(session, mem + MIB, 2 * MIB), -EDQUOT);
	CHECK_EQ(pin(session, mem + MIB, MIB), 0);
	CHECK_EQ(pin(session, mem + 2 * MIB, 4096), -EDQUOT);
	close(fd);
	rest(a);
	fd = raw_hello();
	resume.session = session_id;
	raw_send(fd, &resume, sizeof(resume), BL_RESUME);
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_GRANT);
	CHECK_EQ(in.grant.session, session_id);
	rest(a);
	/* Its session closed, the process goes on: as if it had never had one. */
	close(session);
	close(fd);
}

TEST_TIMEOUT(killed, "kill -9 of the daemon: limits hold meanwhile, grants and sessions are found again, RLIMIT_MEMLOCK is put back after", 60)
{
	struct bl_status status;
	struct actor a;
	uint64_t before;

	run("systemctl start belayd.socket");
	configure("[user 21001]\nmax = 2M\n");
	actor_start(&a, UID_A, play_killed);
	CHECK_SYS(prlimit(a.pid, RLIMIT_MEMLOCK, &(struct rlimit){ 65536, 65536 }, NULL));
	before = soft_memlock(a.pid);
	step(&a);
	CHECK_EQ(soft_memlock(a.pid), 2 * MIB);
	get_status(&status);
	CHECK_EQ(status.grants, 1);
	CHECK_EQ(status.pinned_bytes, MIB);

	CHECK_SYS(kill(daemon_pid(), SIGSTOP));
	step(&a);
	kill_daemon();
	get_status(&status);
	CHECK_EQ(status.grants, 1);
	CHECK_EQ(status.sessions, 1);
	CHECK_EQ(status.regions, 2);
	CHECK_EQ(status.pinned_bytes, 2 * MIB);
	CHECK_GE(status.refusals, 2);
	step(&a);
	CHECK_EQ(soft_memlock(a.pid), 2 * MIB);
	step(&a);
	CHECK_SOON(soft_memlock(a.pid) == before, 10);
	actor_end(&a);
	run("rm /etc/belay/belayd.conf.d/daemon-wire.conf; rmdir /etc/belay/belayd.conf.d");
}

static void play_recalled(struct actor *a)
{
	struct bl_resume resume = { 0 };
	struct bl_ack ack = { 0 };
	char *mem = map_pages(2 * MIB);
	uint64_t session_id, region, tracked, request = 0;
	int fd, session, i;

	fd = raw_open(&session);
	session_id = in.grant.session;
	CHECK_EQ(pin_kind(session, mem, MIB, BELAY_PINNED, &region), 0);
	CHECK_EQ(pin_kind(session, mem + MIB, MIB, BELAY_TRACKED, &tracked), 0);
	rest(a);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_REVOKE);
		CHECK_EQ(in.revoke.reason, BELAY_REASON_ADMIN);
		if (in.revoke.region == region)
			request = in.revoke.request;
	}
	close(fd);
	rest(a);
	/* The daemon has been killed and is another. */
	fd = raw_hello();
	resume.session = session_id;
	raw_send(fd, &resume, sizeof(resume), BL_RESUME);
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_GRANT);
	for (i = 0; i < 2; i++) {
		CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_REVOKE);
		CHECK_NE(in.revoke.deadline, 0);
		if (in.revoke.region == region)
			CHECK_EQ(in.revoke.request, request);
	}
	ack.request = request;
	raw_send(fd, &ack, sizeof(ack), BL_ACK);
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_OK);
	rest(a);
	unregister(session, tracked);
}

TEST_TIMEOUT(recalled, "requests that were open when the daemon was killed are delivered again, with the same identity", 60)
{
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = UID_A,
			       .escalation = BL_KEEP, .timeout_usec = 600000000 };
	struct bl_status status;
	struct actor a;
	int fd, type;

	set_limit("user/21001", 2 * MIB);
	actor_start(&a, UID_A, play_recalled);
	step(&a);
	fd = raw_hello();
	type = RAW_ASK(fd, r, BL_RECALL);
	CHECK_EQ(type, BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	CHECK_EQ(in.recalled.bytes, 2 * MIB);
	step(&a);
	kill_daemon();
	step(&a);
	get_status(&status);
	CHECK_EQ(status.open_requests, 1);	/* the tracked one: acked or not, it is held */
	CHECK_EQ(status.pinned_bytes, 0);
	step(&a);
	CHECK_SOON((get_status(&status), status.open_requests == 0), 10);
	actor_end(&a);
}

static void play_overdue(struct actor *a)
{
	char *mem = map_pages(MIB);
	int session;

	raw_open(&session);
	CHECK_EQ(pin_kind(session, mem, MIB, BELAY_TRACKED, NULL), 0);
	rest(a);
	pause();
}

TEST_TIMEOUT(deadline, "a deadline that passes while there is no daemon is met by the next: the process is killed", 60)
{
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = UID_A,
			       .escalation = BL_KILL, .timeout_usec = 3000000 };
	struct actor a;
	int fd, type, status;

	actor_start(&a, UID_A, play_overdue);
	step(&a);
	fd = raw_hello();
	type = RAW_ASK(fd, r, BL_RECALL);
	CHECK_EQ(type, BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_SYS(kill(daemon_pid(), SIGSTOP));
	sleep(4);
	CHECK_EQ(kill(a.pid, 0), 0);
	CHECK(!tap_wait(a.pid, 0, &status));
	kill_daemon();
	CHECK(tap_wait(a.pid, 20, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void play_hostile(struct actor *a)
{
	static char junk[BL_MSG_MAX];
	struct bl_msg ask = { 0 };
	struct bl_list list = { .what = BL_LIST_ACCOUNTS };
	int fd, i, type;

	rest(a);
	for (i = 0; i < 20; i++) {	/* garbage */
		fd = raw_hello();
		memset(junk, i, sizeof(junk));
		CHECK_SYS(send(fd, junk, (size_t)i * 800 + 1, MSG_NOSIGNAL));
		CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_ERROR);
		CHECK_EQ(in.error.error, EPROTO);
		CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), -1);
		close(fd);
	}
	fd = raw_hello();		/* too fast */
	for (i = 0, type = 0; i < 20000 && type >= 0 && type != BL_ERROR; i++) {
		bl_msg_init(&ask, sizeof(ask), BL_STATUS, 1);
		if (send(fd, &ask, sizeof(ask), MSG_NOSIGNAL) < 0 && errno == EPIPE)
			break;
		while ((type = raw_get(fd, 0, NULL)) > 0 && type != BL_ERROR)
			;
	}
	CHECK_LT(i, 20000);
	close(fd);
	fd = raw_hello();		/* asks and does not read */
	for (i = 0; i < 20000; i++) {
		bl_msg_init(&list.msg, sizeof(list), BL_LIST, 1);
		if (send(fd, &list, sizeof(list), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	}
	CHECK_LT(i, 20000);
	CHECK(errno == EAGAIN || errno == EPIPE);
	raw_connect();			/* and one that says nothing */
	rest(a);
}

static void play_victim(struct actor *a)
{
	char *mem = map_pages(MIB);
	uint64_t region;
	int fd, session;

	fd = raw_open(&session);
	CHECK_EQ(pin_kind(session, mem, MIB, BELAY_PINNED, &region), 0);
	rest(a);
	CHECK_SYS(munmap(mem, MIB));
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.region, region);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_UNMAPPED);
	CHECK_EQ(in.revoke.lost_len, MIB);
}

TEST_TIMEOUT(hostile, "garbage, floods, silence and not reading: dropped alone, and others are served meanwhile", 90)
{
	struct bl_status status;
	struct actor bad, good;
	pid_t pid;

	set_limit("user/21002", 2 * MIB);
	actor_start(&good, UID_B, play_victim);
	step(&good);
	pid = daemon_pid();
	actor_start(&bad, UID_A, play_hostile);
	step(&bad);
	step(&bad);
	step(&good);
	CHECK_EQ(daemon_pid(), pid);
	/* The silent one after 5 s, the one that does not read after 10. */
	CHECK_SOON((get_status(&status), status.clients == 2), 30);
	actor_end(&bad);
	actor_end(&good);
}

static unsigned long rss_kib(pid_t pid)
{
	unsigned long kib = 0;
	char line[256];
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	f = fopen(line, "r");
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmRSS: %lu", &kib);
	fclose(f);
	return kib;
}

#define IDLE 1000
#define AT_ONCE 8

static void play_idle(void *arg)
{
	int *ready = arg, session;
	char c = 1;

	become(UID_A);
	raw_open(&session);
	CHECK_EQ(write(*ready, &c, 1), 1);
	pause();
}

TEST_TIMEOUT(idle, "1,000 idle clients, each a process with a grant, in under 16 MiB", 240)
{
	unsigned long before, kib;
	struct bl_status status;
	int ready[2], i;
	pid_t pid;
	char c;

	run("systemctl restart belayd.service");
	get_status(&status);
	pid = daemon_pid();
	before = rss_kib(pid);
	CHECK_SYS(pipe(ready));
	/* Few at a time: on a slow machine each must still say hello in 5 s. */
	for (i = 0; i < IDLE + AT_ONCE; i++) {
		if (i < IDLE)
			tap_spawn(play_idle, &ready[1]);
		if (i >= AT_ONCE)
			CHECK_EQ(read(ready[0], &c, 1), 1);
	}
	get_status(&status);
	CHECK_EQ(status.clients, IDLE + 1);
	CHECK_EQ(status.grants, IDLE);
	CHECK_EQ(daemon_pid(), pid);
	kib = rss_kib(pid);
	tap_diag("belayd's RSS: %lu KiB with %d idle clients, %lu KiB with none",
		 kib, IDLE, before);
	CHECK_LT(kib, 16384);
}

TAP_MAIN()
