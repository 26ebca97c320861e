// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A process is more than a pid: whoever shares the address space holds, a process
 * without its main thread is one, and a grant is for the user that was named.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define STACK	(256UL << 10)
#define ROOM	8

static struct belay_holder_row rows[ROOM];

/* How many there are; at most @room of them in rows[]. Or -errno. */
static int holders(int ctl, uint64_t grant, uint32_t room)
{
	struct belay_ctl_holders arg = {
		.size = sizeof(arg),
		.grant = grant,
		.rows = (uintptr_t)rows,
		.count = room,
		.entry_size = sizeof(rows[0]),
	};
	int err;

	memset(rows, 0, sizeof(rows));
	err = bk_ioctl(ctl, BELAY_CTL_HOLDERS, &arg);
	return err ? err : (int)arg.count;
}

static bool lists(int n, pid_t pid)
{
	int i;

	for (i = 0; i < n; i++)
		if (rows[i].pid == pid)
			return rows[i].start_time == bk_start_time(pid);
	return false;
}

static int wait_for_end(void *arg)
{
	pause();
	return 0;
}

static void wait_in_child(void *arg)
{
	pause();
}

static void *outlive(void *arg)
{
	pause();
	return NULL;
}

/* Another process in the address space of the caller. */
static pid_t share(int (*run)(void *arg), void *arg)
{
	char *stack = CHECK_SYS(mmap(NULL, STACK, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0));

	return CHECK_SYS(clone(run, stack + STACK, CLONE_VM | SIGCHLD, arg));
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(alone, "a process with threads is the one holder of its grant")
{
	pthread_t thread;
	struct bk b;

	bk_begin(&b);
	CHECK_EQ(pthread_create(&thread, NULL, outlive, NULL), 0);
	CHECK_EQ(holders(b.ctl, b.grant, ROOM), 1);
	CHECK(lists(1, getpid()));
	CHECK_EQ(rows[0].uid, 0);
	CHECK_EQ(holders(b.ctl, b.grant + 1000, ROOM), -ENOENT);
	CHECK_EQ(holders(b.ctl, b.grant, 0), -EINVAL);
	bk_end(&b);
}

TEST(sharers, "processes that share the address space are holders, a forked child is none")
{
	pid_t child, first, second;
	struct bk b;

	bk_begin(&b);
	child = tap_spawn(wait_in_child, NULL);
	first = share(wait_for_end, NULL);
	second = share(wait_for_end, NULL);
	CHECK_EQ(holders(b.ctl, b.grant, ROOM), 3);
	CHECK_EQ(rows[0].pid, getpid());
	CHECK(lists(3, first) && lists(3, second) && !lists(3, child));
	/* What there is no room for is counted. */
	CHECK_EQ(holders(b.ctl, b.grant, 1), 3);
	CHECK_EQ(rows[0].pid, getpid());
	CHECK_EQ(rows[1].pid, 0);
	end(first);
	CHECK_EQ(holders(b.ctl, b.grant, ROOM), 2);
	end(second);
	end(child);
	CHECK_EQ(holders(b.ctl, b.grant, ROOM), 1);
	bk_end(&b);
}

static int go[2];

/* Begins a process that shares its address space, is granted one, and ends. */
static void leave_behind(void *arg)
{
	pid_t pid = share(wait_for_end, NULL);
	char c;

	CHECK_EQ(write(*(int *)arg, &pid, sizeof(pid)), sizeof(pid));
	CHECK_EQ(read(go[0], &c, 1), 1);
}

TEST(first_gone, "where the first process has ended, the one that shares its memory is the holder")
{
	struct belay_ctl_grant g;
	pid_t first, sharer;
	int fd, pids[2];
	struct bk b;

	bk_begin(&b);
	CHECK_SYS(pipe(go));
	CHECK_SYS(pipe(pids));
	first = tap_spawn(leave_behind, &pids[1]);
	CHECK_EQ(read(pids[0], &sharer, sizeof(sharer)), sizeof(sharer));
	fd = bk_grant(b.ctl, b.account, first, BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	CHECK_EQ(holders(b.ctl, g.grant, ROOM), 2);
	CHECK_EQ(write(go[1], "", 1), 1);
	tap_join(first);
	CHECK_EQ(holders(b.ctl, g.grant, ROOM), 1);
	CHECK(lists(1, sharer));
	CHECK_SYS(kill(sharer, SIGKILL));
	CHECK_SOON(!holders(b.ctl, g.grant, ROOM), 2);
	close(fd);
	bk_end(&b);
}

/* The main thread ends, and another goes on. */
static void end_main_thread(void *arg)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, outlive, NULL), 0);
	CHECK_EQ(write(*(int *)arg, "", 1), 1);
	syscall(SYS_exit, 0);
}

static bool is_zombie(pid_t pid)
{
	char path[64], state = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (f)
		fclose(f);
	return state == 'Z';
}

TEST(without_main, "a process whose main thread has ended is granted one, and is the holder")
{
	struct belay_ctl_grant g;
	int fd, ready[2];
	struct bk b;
	pid_t pid;
	char c;

	bk_begin(&b);
	CHECK_SYS(pipe(ready));
	pid = tap_spawn(end_main_thread, &ready[1]);
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_SOON(is_zombie(pid), 2);
	fd = bk_grant(b.ctl, b.account, pid, BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	CHECK_EQ(holders(b.ctl, g.grant, ROOM), 1);
	CHECK(lists(1, pid));
	end(pid);
	close(fd);
	bk_end(&b);
}

static void *become_other(void *arg)
{
	CHECK_SYS(syscall(SYS_setresuid, -1, 1000, -1));
	CHECK_EQ(write(*(int *)arg, "", 1), 1);
	pause();
	return NULL;
}

static void half_other(void *arg)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, become_other, arg), 0);
	pause();
}

TEST(named_user, "a process is granted nothing in the name of another user, and no thread of it either")
{
	struct belay_ctl_grant g = { .size = sizeof(g), .pid = getpid() };
	int ready[2];
	struct bk b;
	char c;

	bk_begin(&b);
	g.account = b.account;
	g.start_time = bk_start_time(getpid());
	g.uid = 1000;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -EACCES);
	CHECK_SYS(pipe(ready));
	g.pid = tap_spawn(half_other, &ready[1]);
	CHECK_EQ(read(ready[0], &c, 1), 1);
	g.start_time = bk_start_time(g.pid);
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -EACCES);
	g.uid = 0;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -EACCES);
	end(g.pid);
	bk_end(&b);
}

TEST(now_another, "a holder is listed with the users that it has now")
{
	struct bk b;

	bk_begin(&b);
	CHECK_SYS(seteuid(1000));
	CHECK_EQ(holders(b.ctl, b.grant, ROOM), 1);
	CHECK_EQ(rows[0].uid, 0);
	CHECK_EQ(rows[0].euid, 1000);
	CHECK_SYS(seteuid(0));
	bk_end(&b);
}

TAP_MAIN()
