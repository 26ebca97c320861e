/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Tests in C, reported as TAP.
 *
 *	#include "tests/lib/tap.h"
 *
 *	TEST(empty_sum, "the sum of nothing is zero")
 *	{
 *		CHECK_EQ(sum(NULL, 0), 0);
 *	}
 *
 *	TAP_MAIN()
 *
 * Each test runs in a forked child, in a process group of its own, so that a crash
 * or a hang is that test's failure and no one else's, and nothing that it started
 * lives on. A test that returns has passed; the first failing CHECK ends it. A test
 * takes at most TAP_TIMEOUT seconds unless TEST_TIMEOUT says otherwise; SLOW=3 in the
 * environment, for a busy machine, makes it three times as many.
 *
 * Processes that a test starts with tap_spawn() use the same CHECKs; tap_join()
 * fails the test if theirs failed.
 *
 * The program takes names of tests as arguments (default: all); -l lists them.
 * It exits 0 if all passed. Everything is static: include this in one .c file per
 * program, the one with TAP_MAIN(); helpers in other files may include it too and
 * use the CHECKs.
 */
#ifndef TESTS_LIB_TAP_H
#define TESTS_LIB_TAP_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Ten times what most take; only what hangs gets there. */
#ifndef TAP_TIMEOUT
#define TAP_TIMEOUT 60
#endif

/*
 * What should happen soon is given this many times as long: a processor may be away
 * for seconds, and waiting for what will not come costs nobody but who has broken it.
 */
#define TAP_PATIENCE 4

#define TAP_UNUSED __attribute__((unused))

struct tap_test {
	const char *name;
	const char *claim;
	void (*run)(void);
	unsigned int timeout;
	struct tap_test *next;
};

/* Registered by constructors, in the order of the source. */
static TAP_UNUSED struct tap_test *tap_tests, **tap_tail = &tap_tests;

#define TEST_TIMEOUT(fn, sentence, seconds)					\
	static void test_##fn(void);						\
	static struct tap_test tap_##fn = {					\
		.name = #fn, .claim = sentence, .run = test_##fn,		\
		.timeout = seconds,						\
	};									\
	__attribute__((constructor)) static void tap_register_##fn(void)	\
	{									\
		*tap_tail = &tap_##fn;						\
		tap_tail = &tap_##fn.next;					\
	}									\
	static void test_##fn(void)

#define TEST(fn, sentence) TEST_TIMEOUT(fn, sentence, TAP_TIMEOUT)

/* One line of diagnostics. */
static TAP_UNUSED __attribute__((format(printf, 1, 2)))
void tap_diag(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stdout);
	vfprintf(stdout, fmt, ap);
	fputc('\n', stdout);
	fflush(stdout);
	va_end(ap);
}

/* _exit: no leak report, no atexit handler of the code under test. */
static TAP_UNUSED __attribute__((noreturn)) void tap_fail(void)
{
	fflush(stdout);
	_exit(1);
}

#define TAP_AT(fmt, ...)							\
	do {									\
		tap_diag("%s:%d: " fmt, __FILE__, __LINE__, ##__VA_ARGS__);	\
		tap_fail();							\
	} while (0)

#define FAIL(fmt, ...) TAP_AT(fmt, ##__VA_ARGS__)

/*
 * For what no slow machine can cause, such as a valid word with another page: .ci/run
 * does not run the program again in the hope of a better end (tests/lib/again.sh).
 */
#define FAIL_FINAL(fmt, ...)							\
	do {									\
		tap_diag("final: %s:%d: " fmt, __FILE__, __LINE__, ##__VA_ARGS__); \
		tap_fail();							\
	} while (0)

#define CHECK_FINAL(cond)							\
	do {									\
		if (!(cond))							\
			FAIL_FINAL("not true: %s", #cond);			\
	} while (0)

#define CHECK(cond)								\
	do {									\
		if (!(cond))							\
			TAP_AT("not true: %s", #cond);				\
	} while (0)

/* Integers; each side is evaluated once and both are shown. */
#define TAP_COMPARE(a, op, b)							\
	do {									\
		long long tap_a = (long long)(a), tap_b = (long long)(b);	\
										\
		if (!(tap_a op tap_b))						\
			TAP_AT("not true: %s %s %s (%lld, %lld)", #a, #op, #b,	\
			       tap_a, tap_b);					\
	} while (0)

#define CHECK_EQ(a, b) TAP_COMPARE(a, ==, b)
#define CHECK_NE(a, b) TAP_COMPARE(a, !=, b)
#define CHECK_LT(a, b) TAP_COMPARE(a, <, b)
#define CHECK_LE(a, b) TAP_COMPARE(a, <=, b)
#define CHECK_GT(a, b) TAP_COMPARE(a, >, b)
#define CHECK_GE(a, b) TAP_COMPARE(a, >=, b)

#define CHECK_STR(a, b)								\
	do {									\
		const char *tap_a = (a), *tap_b = (b);				\
										\
		if (!tap_a || !tap_b || strcmp(tap_a, tap_b))			\
			TAP_AT("not equal: %s, %s (\"%s\", \"%s\")", #a, #b,	\
			       tap_a ? tap_a : "(null)",			\
			       tap_b ? tap_b : "(null)");			\
	} while (0)

#define CHECK_MEM(a, b, len)							\
	do {									\
		if (memcmp((a), (b), (len)))					\
			TAP_AT("%s and %s differ in the first %zu bytes", #a,	\
			       #b, (size_t)(len));				\
	} while (0)

/* System call style: not -1. Has the value of the call. */
#define CHECK_SYS(call)								\
	({									\
		__typeof__(call) tap_r = (call);				\
										\
		if ((long)tap_r == -1)						\
			TAP_AT("%s: %s", #call, strerror(errno));		\
		tap_r;								\
	})

/* System call style: -1 with this errno. */
#define CHECK_ERRNO(call, err)							\
	do {									\
		long tap_r;							\
		int tap_e;							\
										\
		errno = 0;							\
		tap_r = (long)(call);						\
		tap_e = errno;							\
		if (tap_r != -1)						\
			TAP_AT("%s gave %ld, not %s", #call, tap_r, #err);	\
		if (tap_e != (err))						\
			TAP_AT("%s failed with %s, not %s", #call,		\
			       strerrorname_np(tap_e), #err);			\
	} while (0)

/* Functions that return -errno: CHECK_OK(f()), CHECK_EQ(f(), -EINVAL). */
#define CHECK_OK(call)								\
	({									\
		__typeof__(call) tap_r = (call);				\
										\
		if (tap_r < 0)							\
			TAP_AT("%s: %s", #call, strerror((int)-tap_r));		\
		tap_r;								\
	})

/*
 * For tests without children: wait until cond, which should be within that many
 * seconds on an idle machine; fail after TAP_PATIENCE times as many.
 */
#define CHECK_SOON(cond, seconds)						\
	do {									\
		double tap_end = tap_now() + (seconds) * TAP_PATIENCE;		\
										\
		while (!(cond)) {						\
			if (tap_now() > tap_end)				\
				TAP_AT("not true after %g s: %s",		\
				       (double)(seconds) * TAP_PATIENCE, #cond); \
			usleep(2000);						\
		}								\
	} while (0)

/* Seconds on the monotonic clock. */
static TAP_UNUSED double tap_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Starts fn(arg) in a child, which dies with its parent. */
static TAP_UNUSED pid_t tap_spawn(void (*fn)(void *arg), void *arg)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = CHECK_SYS(fork());
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	fn(arg);
	fflush(stdout);
	_exit(0);
}

/* Waits for a child of tap_spawn() and fails if its checks failed. */
static TAP_UNUSED void tap_join(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			FAIL("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		FAIL("child died by signal %d", WTERMSIG(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Waits for pid at most that many seconds; true when it has ended. */
static TAP_UNUSED int tap_wait(pid_t pid, unsigned int seconds, int *ret_status)
{
	double end = tap_now() + seconds;
	pid_t r;

	while ((r = waitpid(pid, ret_status, WNOHANG)) == 0 ||
	       (r < 0 && errno == EINTR)) {
		if (tap_now() > end)
			return 0;
		usleep(2000);
	}
	return 1;
}

static TAP_UNUSED unsigned int tap_limit(unsigned int seconds)
{
	const char *slow = getenv("SLOW");

	return seconds * (slow && atoi(slow) > 0 ? (unsigned int)atoi(slow) : 1);
}

/* The lines of a file, if it can be read. */
static TAP_UNUSED void tap_diag_file(const char *path)
{
	char line[256];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		tap_diag("%.*s", (int)strcspn(line, "\n"), line);
	if (f)
		fclose(f);
}

/* Where in the kernel it hangs; only root can tell. */
static TAP_UNUSED void tap_where(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	tap_diag_file(path);
}

static TAP_UNUSED int tap_run_one(const struct tap_test *t)
{
	int status = 0, ended;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		tap_diag("fork: %s", strerror(errno));
		return 0;
	}
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		t->run();
		fflush(stdout);
		exit(0); /* not _exit: a leak found at exit fails the test */
	}
	setpgid(pid, pid);
	ended = tap_wait(pid, tap_limit(t->timeout), &status);
	if (!ended) {
		tap_diag("not finished after %u s", tap_limit(t->timeout));
		tap_where(pid);
	}
	kill(-pid, SIGKILL);
	if (!ended) {
		waitpid(pid, &status, 0);
		return 0;
	}
	if (WIFSIGNALED(status))
		tap_diag("died by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) > 1)
		tap_diag("exited with status %d", WEXITSTATUS(status));
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static TAP_UNUSED int tap_wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return 1;
	return argc < 2;
}

static TAP_UNUSED int tap_main(int argc, char **argv)
{
	int n = 0, failed = 0, ok, list = argc == 2 && !strcmp(argv[1], "-l");
	const struct tap_test *t;

	for (t = tap_tests; t; t = t->next) {
		if (list) {
			printf("%s: %s\n", t->name, t->claim);
			continue;
		}
		if (!tap_wanted(t->name, argc, argv))
			continue;
		ok = tap_run_one(t);
		failed += !ok;
		printf("%sok %d - %s\n", ok ? "" : "not ", ++n, t->claim);
	}
	if (!list)
		printf("1..%d\n", n);
	return list ? 0 : failed || !n;
}

#define TAP_MAIN()								\
	int main(int argc, char **argv)						\
	{									\
		return tap_main(argc, argv);					\
	}

#endif
