/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * A process is more than a pid: processes that share an address space, that have lost
 * their main thread, that become another user, and what their RLIMIT_MEMLOCK is
 * afterwards. The service and the module, real processes. Runs as root.
 */
#include <fcntl.h>
#include <linux/belay.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/system/daemon_raw.h"

#define UID_A	22001	/* nobody's: no names are needed */
#define UID_B	22002
#define MIB	(1UL << 20)
#define STACK	(256UL << 10)
#define CONF_D	"/etc/belay/belayd.conf.d"
#define CONF	CONF_D "/daemon-procs.conf"

static int said[2];	/* a test's children say something ... */
static int go[2];	/* ... and wait until they may go on */
static int go_child[2];	/* the same for a child of such a child */

static void run(const char *command)
{
	int status = system(command);

	if (status)
		FAIL("%s: status %d", command, status);
}

/* UID_A may have 64 MiB, whatever its RLIMIT_MEMLOCK is. */
static void begin(void)
{
	FILE *f;

	run("mkdir -p " CONF_D);
	f = fopen(CONF, "w");
	CHECK(f);
	fprintf(f, "[user %d]\nmax = 64M\n", UID_A);
	fclose(f);
	run("systemctl start belayd.service && systemctl reload belayd.service");
	CHECK_SYS(pipe(said));
	CHECK_SYS(pipe(go));
	CHECK_SYS(pipe(go_child));
}

static void end(void)
{
	unlink(CONF);
	rmdir(CONF_D);
	run("systemctl reload belayd.service");
}

static void say(int what)
{
	CHECK_EQ(write(said[1], &what, sizeof(what)), sizeof(what));
}

static int hear(void)
{
	int what;

	CHECK_EQ(read(said[0], &what, sizeof(what)), sizeof(what));
	return what;
}

static void wait_for(const int which[2])
{
	char c;

	CHECK_EQ(read(which[0], &c, 1), 1);
}

static void wait_to_go(void)
{
	wait_for(go);
}

static void let_go_on(void)
{
	CHECK_EQ(write(go[1], "", 1), 1);
}

static void let_child_go_on(void)
{
	CHECK_EQ(write(go_child[1], "", 1), 1);
}

static void become(uid_t uid)
{
	CHECK_SYS(setresgid(uid, uid, uid));
	CHECK_SYS(setresuid(uid, uid, uid));
}

static void pin(int session, size_t len)
{
	void *p = CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct belay_register_entry e = {
		.addr = (uintptr_t)p, .len = len, .kind = BELAY_PINNED,
		.flags = BELAY_REGION_WRITE,
	};
	struct belay_register arg = {
		.size = sizeof(arg), .entries = (uintptr_t)&e, .count = 1,
		.entry_size = sizeof(e),
	};

	CHECK_SYS(ioctl(session, BELAY_REGISTER, &arg));
	CHECK_EQ(e.status, 0);
}

/* ------------------------------------------------------------------------ */
/* What an administrator sees and does                                       */

static int recall(uint32_t by, uint32_t escalation, uid_t uid, pid_t pid)
{
	struct bl_recall r = {
		.msg.flags = BL_RECALL_WAIT, .select.by = by, .escalation = escalation,
		.select.uid = uid, .select.pid = pid, .timeout_usec = 300000,
	};
	int fd = raw_hello(), type;

	raw_send(fd, &r, sizeof(r), BL_RECALL);
	type = raw_get(fd, 3 * RAW_WAIT_MS, NULL);
	close(fd);
	return type;
}

/* Grants that fit; the first of them. -1: any uid, 0: any pid. */
static unsigned int list(int uid, pid_t pid, struct bl_grant_row *ret)
{
	struct bl_list l = {
		.what = BL_LIST_GRANTS, .select.pid = pid, .select.uid = (uint32_t)uid,
		.select.by = (pid ? BL_BY_PROCESS : 0) | (uid >= 0 ? BL_BY_USER : 0),
	};
	int fd = raw_hello(), type = RAW_ASK(fd, l, BL_LIST);

	CHECK_EQ(type, BL_LIST);
	if (ret && in.rows.count)
		memcpy(ret, in.bytes + sizeof(in.rows), sizeof(*ret));
	close(fd);
	return in.rows.count;
}

static bool is_gone(pid_t pid)
{
	char path[64], state = 'X';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'X';
	if (f)
		fclose(f);
	return state == 'X' || state == 'Z';
}

/* ------------------------------------------------------------------------ */
/* Who holds                                                                 */

static int just_wait(void *arg)
{
	while (pause() < 0)
		;
	return 0;
}

/* Another process in the caller's address space, with a copy of its descriptors. */
static pid_t share(void)
{
	char *stack = CHECK_SYS(mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));

	return CHECK_SYS(clone(just_wait, stack + STACK, CLONE_VM | SIGCHLD, NULL));
}

static void hold_together(void *arg)
{
	int session;

	become(UID_A);
	raw_open(&session);
	pin(session, MIB);
	say(share());
	wait_to_go();
}

TEST(sharers, "whoever shares a holder's memory is listed, found by its own pid, and killed as well")
{
	struct bl_grant_row row;
	pid_t first, sharer;
	int status;

	begin();
	first = tap_spawn(hold_together, NULL);
	sharer = hear();
	CHECK_EQ(list(-1, sharer, &row), 1);
	CHECK_EQ(row.pid, first);
	CHECK_EQ(row.holders, 2);
	CHECK_EQ(row.others[0], sharer);
	CHECK_EQ(recall(BL_BY_PROCESS, BL_KILL, 0, sharer), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_EQ(in.recalled.killed, 2);
	CHECK_EQ(in.recalled.kept + in.recalled.let_go, 0);
	CHECK(tap_wait(first, 10, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_SOON(is_gone(sharer), 2);
	CHECK_SOON(!list(UID_A, 0, NULL), 2);
	end();
}

TEST(first_gone, "where the first process has ended, the other one is named, and is the one that is killed")
{
	struct bl_grant_row row;
	pid_t first, sharer;

	begin();
	first = tap_spawn(hold_together, NULL);
	sharer = hear();
	let_go_on();
	tap_join(first);
	CHECK_EQ(list(UID_A, 0, &row), 1);
	CHECK_EQ(row.pid, sharer);
	CHECK_EQ(row.holders, 1);
	/* A daemon that is new finds it, too. */
	run("systemctl kill -s KILL belayd.service; systemctl start belayd.service");
	CHECK_EQ(list(-1, sharer, &row), 1);
	CHECK_EQ(row.usage_bytes, MIB);
	CHECK_EQ(recall(BL_BY_USER, BL_KILL, UID_A, 0), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_EQ(in.recalled.killed, 1);
	CHECK_SOON(is_gone(sharer), 2);
	CHECK_SOON(!list(UID_A, 0, NULL), 2);
	end();
}

static void *open_in_thread(void *arg)
{
	int session;

	CHECK_SOON(is_gone(getpid()), 2);	/* as the main thread is */
	raw_open(&session);
	pin(session, MIB);
	say(0);
	pause();
	return NULL;
}

static void lose_main_thread(void *arg)
{
	pthread_t thread;

	become(UID_A);
	CHECK_EQ(pthread_create(&thread, NULL, open_in_thread, NULL), 0);
	syscall(SYS_exit, 0);
}

TEST(without_main, "a process whose main thread has ended is given a grant, is listed, and is killed")
{
	struct bl_grant_row row;
	pid_t pid;
	int status;

	begin();
	pid = tap_spawn(lose_main_thread, NULL);
	hear();
	CHECK_EQ(list(-1, pid, &row), 1);
	CHECK_EQ(row.pid, pid);
	CHECK_EQ(recall(BL_BY_PROCESS, BL_KILL, 0, pid), BL_RECALL);
	CHECK_EQ(in.recalled.killed, 1);
	CHECK(tap_wait(pid, 10, &status));
	end();
}

/* ------------------------------------------------------------------------ */
/* Who it is now                                                             */

static uint64_t memlock_of(pid_t pid)
{
	struct rlimit rl;

	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	return rl.rlim_cur;
}

static void set_memlock(uint64_t soft, uint64_t hard)
{
	struct rlimit rl = { soft, hard };

	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &rl));
}

/* A grant as UID_A, then UID_B; a second connection has the old name. */
static void change_user(void *arg)
{
	struct bl_open o = { 0 };
	int session, second, type;

	set_memlock(8 * MIB, 8 * MIB);
	CHECK_SYS(setresgid(UID_A, UID_A, 0));
	CHECK_SYS(setresuid(UID_A, UID_A, 0));
	raw_open(&session);
	second = raw_hello();
	pin(session, MIB);
	say((int)(memlock_of(getpid()) / MIB));
	CHECK_SYS(seteuid(0));
	become(UID_B);
	pin(session, MIB);
	say(0);
	wait_to_go();
	type = RAW_ASK(second, o, BL_OPEN);
	say(type == BL_ERROR ? in.error.error : type);
	for (;;)
		pause();
}

TEST(another_user, "who has changed its user is found and recalled under both, and gets nothing in the old name")
{
	struct bl_grant_row row;
	pid_t pid;

	begin();
	pid = tap_spawn(change_user, NULL);
	CHECK_EQ(hear(), 64);
	hear();
	CHECK_EQ(list(UID_B, 0, &row), 1);
	CHECK_EQ(row.pid, pid);
	CHECK_EQ(row.uid, UID_A);
	CHECK_EQ(row.uid_now, UID_B);
	CHECK_EQ(list(UID_A, 0, &row), 1);
	CHECK_EQ(row.pid, pid);
	CHECK_EQ(memlock_of(pid), 8 * MIB);
	CHECK_EQ(recall(BL_BY_USER, BL_KEEP, UID_B, 0), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	CHECK_EQ(recall(BL_BY_USER, BL_KEEP, UID_A, 0), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	let_go_on();
	CHECK_EQ(hear(), EACCES);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	end();
}

/* The connection of a process that has become a set-uid program, used by its child. */
static void launch(void *arg)
{
	struct bl_open o = { 0 };
	int fd, type;

	set_memlock(8 * MIB, 8 * MIB);
	become(UID_A);
	fd = raw_hello();
	CHECK_SYS(fcntl(fd, F_SETFD, 0));
	if (!CHECK_SYS(fork())) {
		wait_to_go();
		type = RAW_ASK(fd, o, BL_OPEN);
		say(type == BL_ERROR ? in.error.error : type);
		_exit(0);
	}
	execl("/run/belay-suid-sleep", "sleep", "60", NULL);
	FAIL("exec: %s", strerror(errno));
}

static bool runs_as(pid_t pid, uid_t real, uid_t effective)
{
	char path[64], line[256];
	unsigned int r = 0, e = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Uid: %u %u", &r, &e) == 2)
			break;
	if (f)
		fclose(f);
	return r == real && e == effective;
}

TEST(set_uid, "a set-uid program gets neither the grant nor the limit of whoever has run it")
{
	pid_t pid;

	begin();
	run("cp /bin/sleep /run/belay-suid-sleep && chmod 4755 /run/belay-suid-sleep && "
	    "mount -o remount,suid /run");
	pid = tap_spawn(launch, NULL);
	CHECK_SOON(runs_as(pid, UID_A, 0), 5);
	let_go_on();
	CHECK_EQ(hear(), EACCES);
	CHECK_EQ(memlock_of(pid), 8 * MIB);
	CHECK_EQ(list(UID_A, 0, NULL), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink("/run/belay-suid-sleep");
	end();
}

/* ------------------------------------------------------------------------ */
/* RLIMIT_MEMLOCK                                                            */

static void with_own_limit(void *arg)
{
	uint64_t own = (uintptr_t)arg;
	int session, fd;

	set_memlock(own, own);
	become(UID_A);
	fd = raw_open(&session);
	say((int)(memlock_of(getpid()) / MIB));
	wait_to_go();
	close(session);
	close(fd);
	for (;;)
		pause();
}

TEST(own_limit, "a process that came with what another was raised to has its own afterwards")
{
	struct rlimit rl;
	pid_t first, other;

	begin();
	first = tap_spawn(with_own_limit, (void *)(8 * MIB));
	CHECK_EQ(hear(), 64);
	other = tap_spawn(with_own_limit, (void *)(64 * MIB));
	CHECK_EQ(hear(), 64);
	let_go_on();
	let_go_on();
	CHECK_SOON(!list(UID_A, 0, NULL), 2);
	CHECK_SYS(prlimit(other, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 64 * MIB);
	CHECK_EQ(rl.rlim_max, 64 * MIB);
	CHECK_EQ(memlock_of(first), 8 * MIB);
	kill(first, SIGKILL);
	kill(other, SIGKILL);
	end();
}

/* The grant of the parent ends, after that the child opens one, and closes it. */
static void inherit(void *arg)
{
	int session, fd;

	set_memlock(8 * MIB, 8 * MIB);
	become(UID_A);
	fd = raw_open(&session);
	if (!CHECK_SYS(fork())) {
		close(session);
		close(fd);
		say(getpid());
		wait_for(go_child);
		fd = raw_open(&session);
		say((int)(memlock_of(getpid()) / MIB));
		wait_for(go_child);
		close(session);
		close(fd);
		for (;;)
			pause();
	}
	wait_to_go();
	close(session);
	close(fd);
	for (;;)
		pause();
}

static void expect_inherited(bool restart)
{
	struct bl_grant_row row;
	pid_t parent, child;

	begin();
	parent = tap_spawn(inherit, NULL);
	child = hear();
	CHECK_EQ(memlock_of(child), 64 * MIB);
	if (restart)
		run("systemctl kill -s KILL belayd.service; systemctl start belayd.service");
	let_go_on();
	CHECK_SOON(!list(UID_A, 0, NULL), 2);
	CHECK_EQ(memlock_of(parent), 8 * MIB);
	let_child_go_on();
	CHECK_EQ(hear(), 64);
	CHECK_EQ(list(UID_A, 0, &row), 1);
	CHECK_EQ(row.pid, child);
	let_child_go_on();
	CHECK_SOON(!list(UID_A, 0, NULL), 2);
	CHECK_EQ(memlock_of(child), 8 * MIB);
	kill(child, SIGKILL);
	kill(parent, SIGKILL);
	end();
}

TEST(inherited, "a child that was forked while the limit was raised ends with what its parent came with")
{
	expect_inherited(false);
}

TEST(inherited_restart, "and also where belayd was killed in between")
{
	expect_inherited(true);
}

/* A test that fails has not tidied up, and the next program's tests count on it. */
int main(int argc, char **argv)
{
	int status = tap_main(argc, argv);

	if (!unlink(CONF))
		rmdir(CONF_D);
	return status;
}
