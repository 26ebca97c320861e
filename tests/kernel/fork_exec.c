// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A grant is for one address space: forked children, exec'd images and whoever was
 * handed the fd are told EXDEV, and cannot disturb the one that it is for.
 *
 * Run as "fork_exec --probe FD REGION EXPECT" this program is the exec'd image.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* Everything that a session can do, from the wrong address space. */
static void expect_exdev(int fd, uint64_t region)
{
	struct belay_level l[8];
	struct belay_usage u = {
		.size = sizeof(u),
		.levels = (uintptr_t)l,
		.count = 8,
		.entry_size = sizeof(l[0]),
	};
	struct belay_info info = { .size = sizeof(info) };
	char *p = bk_anon(PAGES(2), 1);

	CHECK_EQ(bk_register(fd, p, PAGES(2), BELAY_PINNED, W, NULL), -EXDEV);
	CHECK_EQ(bk_register(fd, p, PAGES(2), BELAY_TRACKED, W, NULL), -EXDEV);
	CHECK_EQ(bk_check(fd, region), -EXDEV);
	CHECK_EQ(bk_commit(fd, region), -EXDEV);
	CHECK_EQ(bk_unregister(fd, region), -EXDEV);
	CHECK_EQ(bk_ioctl(fd, BELAY_USAGE, &u), -EXDEV);
	/* What the descriptor is, is no secret to whoever has it. */
	CHECK_OK(bk_ioctl(fd, BELAY_INFO, &info));
	CHECK_NE(info.session, 0);
	CHECK_ERRNO(mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, fd, 0), EXDEV);
	CHECK_EQ(bk_vm_pin(), 0);
	munmap(p, PAGES(2));
}

struct parent {
	struct bk b;
	struct bk_region pinned, tracked;
	char *p;
};

static void parent_make(struct parent *x)
{
	bk_begin(&x->b);
	x->p = bk_anon(PAGES(8), 1);
	x->pinned = bk_hold(&x->b, x->p, PAGES(4), BELAY_PINNED, W);
	x->tracked = bk_hold(&x->b, x->p + PAGES(4), PAGES(4), BELAY_TRACKED, W);
}

/* Nothing has happened to it, and it can go on. */
static void parent_check(struct parent *x)
{
	struct bk_region r;

	CHECK_EQ(bk_settle(&x->b, &x->pinned), 0);
	CHECK(bk_valid(&x->b, &x->pinned));
	CHECK(!bk_any_lost(x->b.ctl, x->b.session));
	CHECK_EQ(bk_usage_bytes(x->b.fd), PAGES(8));
	CHECK_EQ(bk_usage_regions(x->b.fd), 2);
	CHECK_EQ(bk_vm_pin(), PAGES(4));
	CHECK_EQ(bk_sysfs("pinned_bytes"), PAGES(4));
	r = bk_hold(&x->b, x->p, PAGES(4), BELAY_PINNED, W);
	CHECK_OK(bk_unregister(x->b.fd, r.id));
}

static void forked_run(void *arg)
{
	struct parent *x = arg;

	CHECK_EQ(x->b.words[x->pinned.word], 0);
	CHECK_EQ(x->b.words[x->tracked.word], 0);
	CHECK_EQ(x->b.words[0], 0);
	CHECK_EQ(x->b.words[BELAY_WORDS_MAX - 1], 0);
	expect_exdev(x->b.fd, x->pinned.id);
	expect_exdev(x->b.fd, x->tracked.id);
	munmap(x->p, PAGES(8));
	close(x->b.fd);
}

TEST(forked, "a forked child can neither register nor check nor unregister nor map the words, and reads them as 0")
{
	struct parent x;

	parent_make(&x);
	CHECK(bk_valid(&x.b, &x.pinned));
	tap_join(tap_spawn(forked_run, &x));
	parent_check(&x);
	/* The parent has not looked at its words since: they are still its own. */
	CHECK(bk_word(&x.b, &x.pinned) == x.pinned.expected);
	bk_end(&x.b);
}

static void grandchild_run(void *arg)
{
	tap_join(tap_spawn(forked_run, arg));
}

TEST(grandchild, "nor can a child's child; and a child's exit or death releases nothing of the parent's")
{
	struct parent x;
	pid_t pid;

	parent_make(&x);
	tap_join(tap_spawn(grandchild_run, &x));
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	parent_check(&x);
	bk_end(&x.b);
}

/* Its own grant through the same control file is another matter. */
static void own_grant_run(void *arg)
{
	struct parent *x = arg;
	struct bk me;
	struct bk_region r;

	bk_join(&me, &x->b);
	CHECK_NE(me.grant, x->b.grant);
	r = bk_hold(&me, x->p, PAGES(8), BELAY_PINNED, W);
	CHECK_EQ(bk_usage_bytes(me.fd), PAGES(8));
	/* Ids are a session's own: the parent's does not exist here. */
	CHECK_EQ(bk_unregister(me.fd, x->pinned.id + 1000), -ENOENT);
	CHECK_OK(bk_unregister(me.fd, r.id));
	bk_leave(&me);
}

TEST(own_grant, "a child with a grant of its own registers its own memory and leaves the parent's alone")
{
	struct parent x;

	parent_make(&x);
	tap_join(tap_spawn(own_grant_run, &x));
	CHECK_SOON(bk_sysfs("grants") == 1 || bk_find_ended(x.b.ctl, 0, NULL), 5);
	bk_drain_events(x.b.ctl);
	parent_check(&x);
	bk_end(&x.b);
}

/* ---- exec ------------------------------------------------------------------------- */

static void exec_probe(int fd, uint64_t region)
{
	char fd_text[16], region_text[32];

	snprintf(fd_text, sizeof(fd_text), "%d", fd);
	snprintf(region_text, sizeof(region_text), "%llu", (unsigned long long)region);
	CHECK_SYS(fcntl(fd, F_SETFD, 0));
	execl("/proc/self/exe", "fork_exec", "--probe", fd_text, region_text, NULL);
	FAIL("execl: %s", strerror(errno));
}

static int probe(char **argv)
{
	expect_exdev(atoi(argv[2]), strtoull(argv[3], NULL, 10));
	fflush(stdout);
	return 0;
}

static void exec_used_run(void *arg)
{
	struct parent *x = arg;
	struct bk_region r;
	struct bk me;

	bk_join(&me, &x->b);
	r = bk_hold(&me, x->p, PAGES(8), BELAY_PINNED, W);
	exec_probe(me.fd, r.id);
}

static void exec_unused_run(void *arg)
{
	struct parent *x = arg;

	exec_probe(bk_grant(x->b.ctl, x->b.account, getpid(), BELAY_UNLIMITED,
			    BELAY_UNLIMITED, NULL), 1);
}

static void exec_inherited_run(void *arg)
{
	struct parent *x = arg;

	exec_probe(x->b.fd, x->pinned.id);
}

static void after_exec(void (*run)(void *))
{
	struct parent x;

	parent_make(&x);
	tap_join(tap_spawn(run, &x));
	CHECK_SOON(bk_sysfs("sessions") == 1, 5);
	bk_drain_events(x.b.ctl);
	CHECK_SOON(bk_sysfs("regions") == 2, 5);
	parent_check(&x);
	bk_end(&x.b);
}

TEST(exec_used, "an exec'd image cannot use the grant that the process had used before")
{
	after_exec(exec_used_run);
}

TEST(exec_unused, "nor one that was never used before exec: it was bound when it was made")
{
	after_exec(exec_unused_run);
}

TEST(exec_inherited, "nor its parent's, which it inherited")
{
	after_exec(exec_inherited_run);
}

/* ---- handed over -------------------------------------------------------------------- */

static void send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec v = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK_EQ(sendmsg(sock, &m, 0), 1);
}

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec v = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	CHECK_EQ(recvmsg(sock, &m, 0), 1);
	CHECK(CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void handed_run(void *arg)
{
	int fd = receive_fd(*(int *)arg);

	expect_exdev(fd, 1);
	close(fd);
}

TEST(handed, "a process that was handed the fd over a socket can do nothing with it")
{
	struct parent x;
	int pair[2];
	pid_t pid;

	CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	/* Started before, so that it shares nothing with the holder. */
	pid = tap_spawn(handed_run, &pair[1]);
	parent_make(&x);
	send_fd(pair[0], x.b.fd);
	tap_join(pid);
	parent_check(&x);
	bk_end(&x.b);
}

TEST(start_time, "a grant is refused when pid and start time do not belong together")
{
	struct belay_ctl_grant g = { .size = sizeof(g), .pid = getpid() };
	struct bk b;

	bk_begin(&b);
	g.account = b.account;
	g.start_time = bk_start_time(getpid()) + 1;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -ESRCH);
	g.start_time = bk_start_time(1);
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -ESRCH);
	g.pid = 4194303;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -ESRCH);
	/* A kernel thread has no address space: kthreadd. */
	g.pid = 2;
	g.start_time = bk_start_time(2);
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -ESRCH);
	g.pid = getpid();
	g.start_time = bk_start_time(getpid());
	g.account += 1000;
	CHECK_EQ(bk_ioctl(b.ctl, BELAY_CTL_GRANT, &g), -ENOENT);
	CHECK_EQ(bk_sysfs("grants"), 1);
	bk_end(&b);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "--probe"))
		return probe(argv);
	return tap_main(argc, argv);
}
