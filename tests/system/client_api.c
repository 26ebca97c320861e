// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The library with the real daemon and the real module.
 *
 * Tests that need an account of their own run as a user that has no name; its
 * limit is then its RLIMIT_MEMLOCK, and its account is called "user/UID".
 */
#include <belay.h>
#include <fcntl.h>
#include <linux/belay.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/lib/tap.h"

#define KIB	((size_t)1024)
#define MIB	(1024 * KIB)
#define PAGE	((size_t)4096)

static void *map(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* Goes on as a user without a name, with so much RLIMIT_MEMLOCK. */
static void become(uid_t uid, size_t memlock)
{
	struct rlimit limit = { memlock, memlock };

	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &limit));
	CHECK_SYS(setresgid(uid, uid, uid));
	CHECK_SYS(setresuid(uid, uid, uid));
	CHECK_SYS(prctl(PR_SET_DUMPABLE, 1));
}

static struct belay *open_handle(void)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b = NULL;
	int err = belay_open(&b, NULL, &why);

	if (err)
		FAIL("belay_open: %s", why.text);
	return b;
}

static struct belay_region *pin(struct belay *b, void *p, size_t len)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r = NULL;

	if (belay_register(b, p, len, BELAY_PIN | BELAY_WRITE, p, &r, &why))
		FAIL("belay_register: %s", why.text);
	CHECK(belay_valid(r));
	return r;
}

static uint64_t usage(struct belay *b)
{
	struct belay_limit l[9] = { { .size = sizeof(l[0]) } };

	CHECK_GE(belay_get_limits(b, l, 9), 2);
	return l[0].usage_bytes;
}

/* Runs a command as root and returns its exit status. */
__attribute__((format(printf, 1, 2))) static int run(const char *fmt, ...)
{
	char command[256];
	va_list ap;
	int status;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Dispatches until there is a request, or fails. */
static struct belay_request *await_request(struct belay *b)
{
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };
	struct belay_request *req = NULL;
	double end = tap_now() + 10;

	while (belay_get_request(b, &req)) {
		CHECK(tap_now() < end);
		CHECK_SYS(poll(&p, 1, 100));
		CHECK_OK(belay_dispatch(b));
	}
	return req;
}

/* Nothing comes for a while. */
static void expect_silence(struct belay *b)
{
	struct belay_request *req;
	int i;

	for (i = 0; i < 10; i++) {
		CHECK_OK(belay_dispatch(b));
		CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
		usleep(20000);
	}
}

TEST(charged, "a registered region is charged to the grant, and not any more when it is unregistered")
{
	struct belay *b = open_handle();
	struct belay_limit l[9] = { { .size = sizeof(l[0]) } };
	struct belay_region *r;
	void *p = map(MIB);
	int n;

	CHECK_EQ(usage(b), 0);
	r = pin(b, p, MIB);
	CHECK_EQ(usage(b), MIB);
	n = CHECK_OK(belay_get_limits(b, l, 9));
	CHECK_STR(l[0].account, "grant");
	CHECK(!strncmp(l[1].account, "user/", 5));
	CHECK_STR(l[n - 1].account, "system");
	CHECK_GE(l[n - 1].usage_bytes, MIB);
	CHECK_OK(belay_unregister(r));
	CHECK_EQ(usage(b), 0);
	belay_close(b);
}

TEST(refused, "a user's limit refuses at exactly the page, with account, usage, limit and need")
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r, *other;
	struct belay *b;
	char *p;

	CHECK_EQ(run("belayctl limit set user/3001 1M >/dev/null"), 0);
	become(3001, 64 * KIB);
	b = open_handle();
	p = map(2 * MIB);
	r = pin(b, p, MIB);
	CHECK_EQ(belay_register(b, p + MIB, PAGE, BELAY_PIN, NULL, &other, &why), -EDQUOT);
	tap_diag("%s", why.text);
	CHECK_STR(why.account, "user/3001");
	CHECK_EQ(why.resource, BELAY_RESOURCE_BYTES);
	CHECK_EQ(why.usage, MIB);
	CHECK_EQ(why.limit, MIB);
	CHECK_EQ(why.needed, PAGE);
	CHECK(strstr(why.text, "user/3001: 1 MiB of 1 MiB in use, 4 KiB more needed"));
	/* What is charged already costs nothing more. */
	CHECK_OK(belay_register(b, p, PAGE, BELAY_TRACK, NULL, &other, NULL));
	CHECK_OK(belay_unregister(other));
	CHECK_OK(belay_unregister(r));
	other = pin(b, p + MIB, PAGE);
	CHECK_OK(belay_unregister(other));
	belay_close(b);
}

TEST(default_limit, "who has no limit configured may hold what mlock would have given")
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;
	struct belay *b;
	char *p;

	become(3003, 2 * MIB);
	b = open_handle();
	p = map(3 * MIB);
	r = pin(b, p, 2 * MIB);
	CHECK_EQ(belay_register(b, p + 2 * MIB, PAGE, BELAY_PIN, NULL, &r, &why), -EDQUOT);
	CHECK_EQ(why.limit, 2 * MIB);
	tap_diag("%s", why.text);
	belay_close(b);
}

TEST(wanted_too_much, "open refuses at once what can never be had")
{
	struct belay_options opt = { .size = sizeof(opt), .want_bytes = 64 * MIB };
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b;

	become(3002, MIB);
	CHECK_EQ(belay_open(&b, &opt, &why), -EDQUOT);
	tap_diag("%s", why.text);
	CHECK(why.account[0]);
	CHECK_EQ(why.limit, MIB);
	opt.want_bytes = MIB;
	CHECK_OK(belay_open(&b, &opt, &why));
	belay_close(b);
}

TEST(refused_ranges, "a range that cannot be registered is refused with a sentence that names it")
{
	struct belay *b = open_handle();
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;
	char *p = map(4 * PAGE), text[32];
	const struct {
		char *addr;
		size_t len;
		int error;
	} cases[] = {
		{ p + 1, PAGE, -EINVAL },
		{ p, 0, -EINVAL },
		{ p, PAGE + 1, -EINVAL },
		{ (char *)~(uintptr_t)(PAGE - 1), PAGE, -EINVAL },
		{ p, 4 * PAGE, -EFAULT },	/* the hole below */
		{ p + 2 * PAGE, PAGE, -EFAULT },
		{ p + 3 * PAGE, PAGE, -EFAULT },	/* read-only */
	};
	size_t i;

	CHECK_SYS(munmap(p + 2 * PAGE, PAGE));
	CHECK_SYS(mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		why = (struct belay_refusal){ .size = sizeof(why) };
		CHECK_EQ(belay_register(b, cases[i].addr, cases[i].len,
					BELAY_PIN | BELAY_WRITE, NULL, &r, &why),
			 cases[i].error);
		CHECK_EQ(why.error, cases[i].error);
		snprintf(text, sizeof(text), "%p-", (void *)cases[i].addr);
		CHECK(strstr(why.text, text));
	}
	CHECK_OK(belay_register(b, p + 3 * PAGE, PAGE, BELAY_PIN, NULL, &r, NULL));
	CHECK_EQ(usage(b), PAGE);
	belay_close(b);
}

TEST(many, "ten thousand regions in one call, each with its own fate")
{
	size_t n = 10000, i;
	struct belay_range *ranges = calloc(n, sizeof(*ranges));
	struct belay *b = open_handle();
	char *p = map(n * PAGE);

	for (i = 0; i < n; i++)
		ranges[i] = (struct belay_range){
			.size = sizeof(struct belay_range),
			.addr = p + i * PAGE, .len = PAGE, .flags = BELAY_PIN,
			.user = &ranges[i],
		};
	ranges[17].len = 17;
	CHECK_EQ(belay_register_many(b, ranges, n, NULL), (long)n - 1);
	CHECK_EQ(ranges[17].error, -EINVAL);
	for (i = 0; i < n; i++)
		CHECK(i == 17 || belay_valid(ranges[i].region));
	CHECK_EQ(usage(b), (n - 1) * PAGE);
	for (i = 0; i < n; i++)
		CHECK_OK(belay_unregister(ranges[i].region));
	CHECK_EQ(usage(b), 0);
	belay_close(b);
	free(ranges);
}

TEST(lost_by_poll, "munmap turns the word at once, and the request comes through the poll descriptor")
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay *b = open_handle();
	char *p = map(4 * PAGE);
	struct belay_region *r = pin(b, p, 4 * PAGE), *other = pin(b, map(PAGE), PAGE);
	struct belay_request *req;

	expect_silence(b);
	CHECK_SYS(munmap(p + PAGE, PAGE));
	CHECK(!belay_valid(r));
	CHECK(belay_check(r) & BELAY_LOST);
	CHECK(belay_valid(other));
	req = await_request(b);
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(info.region == r && info.user == p);
	CHECK_EQ(info.reason, BELAY_REASON_UNMAPPED);
	CHECK(info.lost_addr == p + PAGE);
	CHECK_EQ(info.lost_len, PAGE);
	CHECK_OK(belay_unregister(r));
	CHECK_OK(belay_ack(req));
	expect_silence(b);
	CHECK(belay_valid(other));
	CHECK_OK(belay_unregister(other));
	belay_close(b);
}

TEST(idle, "a client that says nothing for a while stays connected")
{
	struct belay *b = open_handle();
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };

	/* Readable means: the connection has ended, there is nothing else. */
	CHECK_EQ(poll(&p, 1, 8000), 0);
	belay_close(b);
}

struct letting_go {
	unsigned int calls;
	uint32_t reason;
	bool keep;		/* acknowledge, but do not unregister */
};

static void let_go(struct belay *b, struct belay_request *req, void *arg)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct letting_go *l = arg;

	CHECK_OK(belay_get_request_info(req, &info));
	l->reason = info.reason;
	if (!l->keep)
		CHECK_OK(belay_unregister(info.region));
	CHECK_OK(belay_ack(req));
	__atomic_add_fetch(&l->calls, 1, __ATOMIC_RELEASE);
}

static struct belay *open_threaded(struct letting_go *l)
{
	struct belay_options opt = {
		.size = sizeof(opt), .flags = BELAY_OPEN_THREAD,
		.on_revoke = let_go, .arg = l,
	};
	struct belay *b;

	CHECK_OK(belay_open(&b, &opt, NULL));
	return b;
}

TEST(recall_by_thread, "a recall comes to the helper thread, and belayctl sees that it was obeyed")
{
	struct letting_go l = { 0 };
	struct belay *b = open_threaded(&l);

	pin(b, map(MIB), MIB);
	pin(b, map(MIB), MIB);
	CHECK_EQ(run("belayctl recall --pid %d --deadline 10s --escalate keep >/dev/null",
		     getpid()), 0);
	CHECK_EQ(l.calls, 2);
	CHECK_EQ(l.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(usage(b), 0);
	belay_close(b);
}

TEST(ack_is_enough, "of a pinned region the kernel lets go when the request is acknowledged")
{
	struct letting_go l = { .keep = true };
	struct belay *b = open_threaded(&l);
	struct belay_region *r = pin(b, map(MIB), MIB);

	CHECK_EQ(run("belayctl recall --pid %d --deadline 10s --escalate keep >/dev/null",
		     getpid()), 0);
	CHECK(!belay_valid(r));
	CHECK(belay_check(r) & BELAY_RELEASED);
	CHECK_EQ(usage(b), 0);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
}

TEST(recalled_word, "a recall turns the word before anybody answers")
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay *b = open_handle();
	struct belay_region *r = pin(b, map(MIB), MIB);
	struct belay_request *req;

	CHECK_EQ(run("belayctl recall --pid %d --deadline 60s --escalate keep --no-wait >/dev/null",
		     getpid()), 0);
	CHECK(!belay_valid(r));
	CHECK_EQ(belay_check(r), BELAY_RECALLED);
	CHECK_EQ(usage(b), MIB);
	req = await_request(b);
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK_EQ(info.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(info.escalation, 1);
	CHECK_NE(info.deadline, 0);
	CHECK(!info.lost_addr);
	CHECK_OK(belay_unregister(r));
	CHECK_OK(belay_ack(req));
	belay_close(b);
}

TEST(fork_child, "a forked child can do nothing with its parent's handle, and harms nothing")
{
	struct belay *b = open_handle();
	struct belay_region *r = pin(b, map(MIB), MIB), *other;
	struct belay_request *req;
	struct belay_limit l[9] = { { .size = sizeof(l[0]) } };
	pid_t pid = CHECK_SYS(fork());
	int status;

	if (!pid) {
		CHECK(!belay_valid(r));
		CHECK_EQ(belay_check(r), -EXDEV);
		CHECK_EQ(belay_register(b, r->addr, PAGE, BELAY_PIN, NULL, &other, NULL),
			 -EXDEV);
		CHECK_EQ(belay_unregister(r), -EXDEV);
		CHECK_EQ(belay_commit(r, NULL), -EXDEV);
		CHECK_EQ(belay_dispatch(b), -EXDEV);
		CHECK_EQ(belay_get_request(b, &req), -EXDEV);
		CHECK_EQ(belay_get_limits(b, l, 9), -EXDEV);
		belay_close(b);
		/* A handle of its own is another grant. */
		b = open_handle();
		CHECK_EQ(usage(b), 0);
		r = pin(b, map(PAGE), PAGE);
		CHECK_OK(belay_unregister(r));
		belay_close(b);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
	CHECK(belay_valid(r));
	CHECK_EQ(usage(b), MIB);
	expect_silence(b);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
}

TEST(close_beside_child, "close lets go of everything although a forked child has the descriptors")
{
	struct belay *b = open_handle(), *other = open_handle();
	pid_t pid;

	pin(b, map(MIB), MIB);
	pin(b, map(PAGE), PAGE);
	pid = CHECK_SYS(fork());
	if (!pid)
		for (;;)
			pause();
	CHECK_EQ(usage(other), MIB + PAGE);
	belay_close(b);
	CHECK_EQ(usage(other), 0);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_SYS(waitpid(pid, NULL, 0));
	belay_close(other);
}

TEST(two_handles, "two handles share the grant's charge, and nothing else")
{
	struct belay *one = open_handle(), *two = open_handle();
	char *p = map(MIB);
	struct belay_region *r1 = pin(one, p, MIB), *r2 = pin(two, p, MIB);
	struct belay_region *mine = pin(two, map(PAGE), PAGE);
	struct belay_request *req;

	CHECK_EQ(usage(one), MIB + PAGE);
	CHECK_OK(belay_unregister(r1));
	CHECK(belay_valid(r2));
	CHECK_EQ(usage(one), MIB + PAGE);
	/* A request goes to the handle that registered the region. */
	CHECK_SYS(munmap(mine->addr, PAGE));
	req = await_request(two);
	expect_silence(one);
	CHECK_OK(belay_unregister(mine));
	CHECK_OK(belay_ack(req));
	belay_close(one);
	CHECK(belay_valid(r2));
	CHECK_EQ(usage(two), MIB);
	CHECK_OK(belay_unregister(r2));
	CHECK_EQ(usage(two), 0);
	belay_close(two);
}

static void kill_daemon(void)
{
	int old = run("exit $(($(systemctl show --value -p NRestarts belayd) %% 200))");

	CHECK_EQ(run("systemctl kill -s KILL belayd"), 0);
	CHECK_SOON(run("exit $(($(systemctl show --value -p NRestarts belayd) %% 200))") != old, 10);
	CHECK_SOON(run("systemctl -q is-active belayd") == 0, 10);
}

struct load {
	struct belay *b;
	bool *stop;
	unsigned int rounds;
};

static void *load(void *arg)
{
	struct load *l = arg;
	void *p = map(PAGE * 4);
	struct belay_region *r;
	int err;

	while (!__atomic_load_n(l->stop, __ATOMIC_RELAXED)) {
		err = belay_register(l->b, p, PAGE * 4, BELAY_PIN | BELAY_WRITE, NULL, &r, NULL);
		CHECK_EQ(err, 0);
		CHECK(belay_valid(r));
		CHECK_OK(belay_unregister(r));
		l->rounds++;
		/* Eight threads that never rest would keep systemd from restarting. */
		usleep(500);
	}
	return NULL;
}

static void *opens(void *arg)
{
	struct load *l = arg;
	struct belay *b;

	while (!__atomic_load_n(l->stop, __ATOMIC_RELAXED)) {
		CHECK_OK(belay_open(&b, NULL, NULL));
		belay_close(b);
		__atomic_add_fetch(&l->rounds, 1, __ATOMIC_RELAXED);
		usleep(10000);
	}
	return NULL;
}

TEST_TIMEOUT(daemon_killed, "kill -9 of belayd under load is invisible to eight threads that register and one that opens", 120)
{
	struct letting_go go = { 0 };
	struct belay *b = open_threaded(&go);
	struct belay_region *r = pin(b, map(MIB), MIB);
	unsigned int served;
	bool stop = false;
	struct load l[9];
	pthread_t t[9];
	int i;

	for (i = 0; i < 9; i++) {
		l[i] = (struct load){ .b = b, .stop = &stop };
		CHECK_EQ(pthread_create(&t[i], NULL, i ? load : opens, &l[i]), 0);
	}
	for (i = 0; i < 3; i++) {
		served = __atomic_load_n(&l[0].rounds, __ATOMIC_RELAXED);
		kill_daemon();
		CHECK(belay_valid(r));
		/* Not again before somebody was served: open waits 10 s in all. */
		CHECK_SOON(__atomic_load_n(&l[0].rounds, __ATOMIC_RELAXED) > served + 1, 20);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 9; i++) {
		pthread_join(t[i], NULL);
		CHECK_GT(l[i].rounds, 0);
	}
	CHECK_EQ(usage(b), MIB);
	/* The daemon that runs now knows the session and can reach it. */
	CHECK_EQ(run("belayctl recall --pid %d --deadline 10s --escalate keep >/dev/null",
		     getpid()), 0);
	CHECK_EQ(go.calls, 1);
	belay_close(b);
}

TEST_TIMEOUT(request_survives, "an open request survives the daemon's death, and is shown once", 60)
{
	struct belay *b = open_handle();
	struct belay_region *r = pin(b, map(MIB), MIB);
	struct belay_request *req, *again;
	int i;

	CHECK_EQ(run("belayctl recall --pid %d --deadline 120s --escalate keep --no-wait >/dev/null",
		     getpid()), 0);
	req = await_request(b);
	kill_daemon();
	for (i = 0; i < 100; i++) {
		CHECK_OK(belay_dispatch(b));
		CHECK_EQ(belay_get_request(b, &again), -EAGAIN);
		usleep(20000);
	}
	CHECK_EQ(run("belayctl status --json | grep -Eq '\"open_requests\": *1\\b'"), 0);
	/* The answer is given while there is no daemon. */
	CHECK_EQ(run("systemctl kill -s STOP belayd"), 0);
	CHECK_OK(belay_ack(req));
	kill_daemon();
	for (i = 0; i < 500 && usage(b); i++) {
		CHECK_OK(belay_dispatch(b));
		usleep(20000);
	}
	CHECK_EQ(usage(b), 0);
	CHECK(belay_check(r) & BELAY_RELEASED);
	CHECK_OK(belay_unregister(r));
	belay_close(b);
}

TEST_TIMEOUT(lost_meanwhile, "what is lost while there is no daemon is told by the next one", 60)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct belay *b = open_handle();
	char *p = map(PAGE);
	struct belay_region *r = pin(b, p, PAGE);
	struct belay_request *req;

	CHECK_EQ(run("systemctl kill -s STOP belayd"), 0);
	CHECK_SYS(munmap(p, PAGE));
	CHECK(!belay_valid(r));
	kill_daemon();
	req = await_request(b);
	CHECK_OK(belay_get_request_info(req, &info));
	CHECK(info.region == r);
	CHECK_EQ(info.reason, BELAY_REASON_UNMAPPED);
	CHECK_OK(belay_unregister(r));
	CHECK_OK(belay_ack(req));
	belay_close(b);
}

TAP_MAIN()
