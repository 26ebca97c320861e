/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Clients that send descriptors which cannot be closed: belayd serves others
 * meanwhile, can be killed at any moment, and the next one has the device. As a
 * service, with the real module. Runs as root.
 */
#include <grp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/system/daemon_raw.h"
#include "tests/system/stuck_file.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS	83
#endif

#define UID_A	21001	/* nobody's: no names are needed */

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

static uint64_t clients(void)
{
	struct bl_msg ask = { 0 };
	int fd = raw_hello(), type = RAW_ASK(fd, ask, BL_STATUS);

	CHECK_EQ(type, BL_STATUS);
	close(fd);
	return in.status.clients;
}

/* It can be killed, ends, and the next one has the device and answers. */
static void kill_and_see(void)
{
	pid_t pid = daemon_pid();

	CHECK_GT(pid, 1);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SOON(kill(pid, 0) < 0, 10);
	clients();
	CHECK_NE(daemon_pid(), pid);
}

static void become(uid_t uid)
{
	CHECK_SYS(setgroups(0, NULL));
	CHECK_SYS(setresgid(uid, uid, uid));
	CHECK_SYS(setresuid(uid, uid, uid));
}

/* Processes of that name. */
static int count_processes(const char *name)
{
	char command[128];
	int n = -1;
	FILE *f;

	snprintf(command, sizeof(command), "pgrep -x %s | wc -l", name);
	f = popen(command, "r");
	CHECK_EQ(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

/* Since Linux 6.16 a socket can say that it takes no descriptors, as belayd's does. */
static bool kernel_refuses(void)
{
	int fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)), on;
	socklen_t len = sizeof(on);
	bool knows = !getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &on, &len);

	close(fd);
	return knows;
}

/* False: the kernel does not let it go. */
static bool sends_file(int fd, void *msg, size_t size, uint16_t type, int file)
{
	int err = raw_try_send(fd, msg, size, type, file);

	CHECK_EQ(err, kernel_refuses() ? -EPERM : 0);
	return !err;
}

/* The answer is that belayd takes no files. */
static void send_file(int fd, void *msg, size_t size, uint16_t type, int file)
{
	if (!sends_file(fd, msg, size, type, file)) {
		close(fd);
		return;
	}
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_ERROR);
	CHECK_EQ(in.error.error, EPROTO);
	CHECK(strstr(in.error.text, "file descriptors"));
	CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), -1);
	close(fd);
}

/* A client in a process of its own, which waits for the test between its steps. */
struct player {
	int go[2], done[2];
	pid_t pid;
	void (*play)(struct player *p);
};

static void rest(struct player *p)
{
	char c = 1;

	CHECK_EQ(write(p->done[1], &c, 1), 1);
	if (read(p->go[0], &c, 1) != 1)
		_exit(0);
}

static void player_main(void *arg)
{
	struct player *p = arg;

	close(p->go[1]);
	close(p->done[0]);
	become(UID_A);
	p->play(p);
	rest(p);
}

static void wait_for(struct player *p)
{
	char c;

	if (read(p->done[0], &c, 1) == 1)
		return;
	tap_join(p->pid);
	FAIL("the client ended early");
}

static void start(struct player *p, void (*play)(struct player *p))
{
	p->play = play;
	CHECK_SYS(pipe2(p->go, O_CLOEXEC));
	CHECK_SYS(pipe2(p->done, O_CLOEXEC));
	p->pid = tap_spawn(player_main, p);
	close(p->go[0]);
	close(p->done[1]);
	wait_for(p);
}

static void step(struct player *p)
{
	CHECK_EQ(write(p->go[1], "", 1), 1);
	wait_for(p);
}

static void end(struct player *p)
{
	close(p->go[1]);
	tap_join(p->pid);
}

/* ------------------------------------------------------------------------ */

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
	{ BL_OPEN, BL_MSG_MAX + 64 },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

/* Each kind with that file, before and after the greeting. */
static void send_all_kinds(int file)
{
	static char bytes[BL_MSG_MAX + 64] __attribute__((aligned(8)));
	unsigned int i;

	for (i = 0; i < 2 * KINDS; i++) {
		memset(bytes, 0, sizeof(bytes));
		send_file(i % 2 ? raw_hello() : raw_connect(), bytes, kinds[i / 2].size,
			  kinds[i / 2].type, file);
	}
}

static void play_fuse(struct player *p)
{
	struct pollfd told = { .events = POLLIN };
	pid_t server;
	int file = stuck_fuse(&server, &told.fd), i;

	if (tap_spawn((void (*)(void *))(void *)close, (void *)(intptr_t)file) < 0)
		FAIL("no process");
	/* That it does hang: a process of ours that closes it. */
	CHECK_EQ(poll(&told, 1, RAW_WAIT_MS), 1);
	rest(p);
	send_all_kinds(file);
	rest(p);
	for (i = 0; i < 100; i++)
		send_file(raw_hello(), &(struct bl_open){ 0 }, sizeof(struct bl_open),
			  BL_OPEN, file);
	rest(p);
	CHECK_SYS(kill(server, SIGKILL));
}

TEST_TIMEOUT(flush, "a file whose server never answers FLUSH stops nobody, with whatever message it comes", 120)
{
	struct player p;
	pid_t pid;

	run("modprobe fuse; systemctl restart belayd.service");
	clients();
	pid = daemon_pid();
	start(&p, play_fuse);
	step(&p);
	CHECK_EQ(clients(), 1);
	kill_and_see();
	pid = daemon_pid();
	step(&p);
	CHECK_EQ(clients(), 1);
	CHECK_EQ(daemon_pid(), pid);
	step(&p);
	end(&p);
}

/* ------------------------------------------------------------------------ */

static int cuse_file(void)
{
	return CHECK_SYS(open("/dev/" CUSE_NAME, O_RDONLY | O_CLOEXEC));
}

static void play_release(struct player *p)
{
	struct bl_open o = { 0 };
	int file, i;

	rest(p);
	file = cuse_file();
	send_all_kinds(file);
	for (i = 0; i < 300; i++) {
		int more = cuse_file(), fd = raw_hello();

		if (sends_file(fd, &o, sizeof(o), BL_OPEN, more)) {
			close(more);	/* the message has the last reference */
			CHECK_EQ(raw_get(fd, RAW_WAIT_MS, NULL), BL_ERROR);
		}
		close(fd);
	}
	rest(p);
	pause();
}

TEST_TIMEOUT(release, "hundreds of files whose last reference cannot be dropped hold processes of belayd, and not belayd", 200)
{
	struct player p;
	pid_t server, pid;
	int told, i;
	char c;

	run("modprobe cuse; systemctl restart belayd.service");
	server = stuck_cuse(&told);
	start(&p, play_release);
	clients();
	pid = daemon_pid();
	step(&p);
	CHECK_EQ(clients(), 1);
	CHECK_EQ(daemon_pid(), pid);
	/* That somebody does wait for each. */
	for (i = 0; i < 16 && !kernel_refuses(); i++)
		CHECK_EQ(read(told, &c, 1), 1);
	CHECK_EQ(count_processes("belayd-bury"), kernel_refuses() ? 0 : 16);
	for (i = 0; i < 3; i++)
		kill_and_see();
	CHECK_SYS(kill(p.pid, SIGKILL));
	CHECK_SYS(kill(server, SIGKILL));
	CHECK_SOON(count_processes("belayd-bury") == 0, 20);
	CHECK_EQ(count_processes("belayd-keep"), 1);
	CHECK_EQ(clients(), 1);
}

/*
 * Asks and does not read the answers, until nothing more is read from it: its queue is
 * a third full and has stayed as it is.
 */
static void fill(int fd)
{
	struct bl_list l = { .what = BL_LIST_ACCOUNTS };
	int unread, before = -1;
	double since = tap_now();

	for (;;) {
		CHECK_SYS(ioctl(fd, SIOCOUTQ, &unread));
		if (unread != before)
			since = tap_now();
		before = unread;
		if (unread < 65536) {
			bl_msg_init(&l.msg, sizeof(l), BL_LIST, 1);
			CHECK_SYS(send(fd, &l, sizeof(l), MSG_NOSIGNAL | MSG_DONTWAIT));
		} else if (tap_now() - since > 0.5) {
			return;
		} else {
			usleep(1000);
		}
	}
}

/* The last close of such a file never ends: it is left to whoever got it, if somebody did. */
static void leave(int file)
{
	if (!kernel_refuses())
		close(file);
}

/* Connections that are not read from, each with a file at the end. */
static void play_unread(struct player *p)
{
	struct bl_open o = { 0 };
	int file = cuse_file(), fd, k;

	for (k = 0; k < 3; k++) {
		fd = raw_hello();
		fill(fd);
		sends_file(fd, &o, sizeof(o), BL_OPEN, file);
	}
	leave(file);
	rest(p);
	pause();
}

TEST_TIMEOUT(killed, "a belayd that is killed with such files unread in its connections ends at once", 120)
{
	struct player p;
	pid_t server;
	int told;

	run("modprobe cuse; systemctl restart belayd.service");
	server = stuck_cuse(&told);
	start(&p, play_unread);
	kill_and_see();
	CHECK_EQ(clients(), 1);
	CHECK_SYS(kill(p.pid, SIGKILL));
	CHECK_SYS(kill(server, SIGKILL));
	CHECK_SOON(count_processes("belayd-keep") == 1, 20);
}

/* ------------------------------------------------------------------------ */

static void play_few(struct player *p)
{
	int file, i;

	rest(p);
	file = cuse_file();
	for (i = 0; i < 20; i++)
		send_file(raw_hello(), &(struct bl_open){ 0 }, sizeof(struct bl_open),
			  BL_OPEN, file);
	leave(file);
}

TEST_TIMEOUT(no_process, "belayd serves, and is started again, when no process can be had to close such files", 120)
{
	struct player p;
	pid_t server, pid;
	int told;

	run("modprobe cuse; systemctl restart belayd.service");
	server = stuck_cuse(&told);
	start(&p, play_few);
	clients();
	pid = daemon_pid();
	run("systemctl set-property --runtime belayd.service TasksMax=1");
	step(&p);
	CHECK_EQ(count_processes("belayd-bury"), 0);
	CHECK_EQ(clients(), 1);
	CHECK_EQ(daemon_pid(), pid);
	run("systemctl set-property --runtime belayd.service TasksMax=100");
	if (!kernel_refuses())
		CHECK_SOON(count_processes("belayd-bury") > 0, 20);
	CHECK_SYS(kill(server, SIGKILL));
	end(&p);
	CHECK_SOON(count_processes("belayd-bury") == 0, 20);
	kill_and_see();
	run("systemctl revert belayd.service");
}

static unsigned long forks(void)
{
	FILE *f = fopen("/proc/stat", "r");
	unsigned long n = 0;
	char line[4096];

	while (fgets(line, sizeof(line), f))
		sscanf(line, "processes %lu", &n);
	fclose(f);
	return n;
}

TEST_TIMEOUT(many_leave, "two thousand connections that end at once make belayd fork nothing", 200)
{
	enum { MANY = 2000 };
	static int fds[MANY];
	struct rlimit rl = { MANY + 100, MANY + 100 };
	unsigned long before;
	int i;

	CHECK_SYS(setrlimit(RLIMIT_NOFILE, &rl));
	run("systemctl restart belayd.service");
	for (i = 0; i < MANY; i++)
		fds[i] = raw_hello();
	before = forks();
	for (i = 0; i < MANY; i++)
		close(fds[i]);
	CHECK_SOON(clients() == 1, 30);
	CHECK_LT(forks() - before, 20);		/* whatever else runs */
	CHECK_EQ(count_processes("belayd-keep"), 1);
}

TAP_MAIN()
