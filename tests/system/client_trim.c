// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Regions that are lost in part, trimmed, or only watched: the library with the
 * real daemon and the real module. Runs as root, who has no limit; the deadline is
 * short, and what happens at it is configured, so that what must not happen would.
 */
#include <belay.h>
#include <linux/belay.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/system/daemon_raw.h"

#define PAGE		((size_t)4096)
#define NSEC		1000000000ULL
#define CONFIG		"/etc/belay/belayd.conf.d/client-trim.conf"
#define DEADLINE	2	/* s */

static void run(const char *command)
{
	int status = system(command);

	if (status)
		FAIL("%s: status %d", command, status);
}

/* What happens after DEADLINE to what is asked for from now on. */
static void configure(const char *escalation)
{
	FILE *f;

	run("mkdir -p /etc/belay/belayd.conf.d");
	f = fopen(CONFIG, "w");
	CHECK(f);
	fprintf(f, "[revoke]\ndeadline = %ds\nescalation = %s\n", DEADLINE, escalation);
	fclose(f);
	run("systemctl start belayd.service && systemctl reload belayd.service");
}

static char *map(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static struct belay *open_handle(void)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay *b = NULL;

	if (belay_open(&b, NULL, &why))
		FAIL("belay_open: %s", why.text);
	return b;
}

static struct belay_region *hold(struct belay *b, void *p, size_t pages, uint32_t flags)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r = NULL;

	if (belay_register(b, p, pages * PAGE, flags, p, &r, &why))
		FAIL("belay_register: %s", why.text);
	CHECK(belay_valid(r));
	return r;
}

/* Pages charged to the grant. */
static uint64_t usage(struct belay *b)
{
	struct belay_limit l[9] = { { .size = sizeof(l[0]) } };

	CHECK_GE(belay_get_limits(b, l, 9), 2);
	return l[0].usage_bytes / PAGE;
}

/* Pages that the module has pinned for this process. */
static uint64_t pinned(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	unsigned long kb = 0;

	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmPin: %lu", &kb);
	fclose(f);
	return kb / 4;
}

static uint64_t open_requests(void)
{
	struct bl_msg ask = { 0 };
	int fd = raw_hello(), type = RAW_ASK(fd, ask, BL_STATUS);

	CHECK_EQ(type, BL_STATUS);
	close(fd);
	return in.status.open_requests;
}

/* Dispatches until there is a request. */
static struct belay_request *await_request(struct belay *b,
					   struct belay_request_info *info)
{
	struct pollfd p = { belay_get_fd(b), POLLIN, 0 };
	struct belay_request *req = NULL;
	double end = tap_now() + 30;

	while (belay_get_request(b, &req)) {
		CHECK(tap_now() < end);
		CHECK_SYS(poll(&p, 1, 100));
		CHECK_OK(belay_dispatch(b));
	}
	*info = (struct belay_request_info){ .size = sizeof(*info) };
	CHECK_OK(belay_get_request_info(req, info));
	return req;
}

/* Well beyond the deadline, listening; nothing comes. */
static void outlast(struct belay *b)
{
	double end = tap_now() + DEADLINE + 3;
	struct belay_request *req;

	while (tap_now() < end) {
		CHECK_OK(belay_dispatch(b));
		CHECK_EQ(belay_get_request(b, &req), -EAGAIN);
		usleep(50000);
	}
}

static uint64_t boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

TEST_TIMEOUT(trimmed, "munmap of a part is told exactly; trimmed, the rest is valid, charged, and meets no deadline", 60)
{
	struct belay_region *r, *before, *after;
	struct belay_request_info info;
	struct belay_request *req;
	struct belay *b;
	char *p = map(16);
	size_t len;
	void *addr;

	configure("kill");
	b = open_handle();
	r = hold(b, p, 16, BELAY_PIN | BELAY_WRITE);
	CHECK_EQ(usage(b), 16);
	CHECK_EQ(pinned(), 16);
	CHECK_SYS(munmap(p + 4 * PAGE, 3 * PAGE));
	CHECK(!belay_valid(r));
	req = await_request(b, &info);
	CHECK(info.region == r && info.user == p);
	CHECK_EQ(info.reason, BELAY_REASON_UNMAPPED);
	CHECK(info.lost_addr == p + 4 * PAGE);
	CHECK_EQ(info.lost_len, 3 * PAGE);
	CHECK_EQ(info.escalation, 3);
	CHECK(info.deadline > boottime() && info.deadline < boottime() + DEADLINE * NSEC);
	CHECK_EQ(belay_lost(r, &addr, &len), BELAY_LOST);
	CHECK(addr == p + 4 * PAGE && len == 3 * PAGE);
	CHECK_EQ(pinned(), 13);
	CHECK_EQ(usage(b), 16);		/* a hole is charged until it is trimmed */
	CHECK_EQ(open_requests(), 1);

	CHECK_EQ(belay_trim(r, p, PAGE, &before, &after, NULL), -ESTALE);
	CHECK_OK(belay_trim(r, info.lost_addr, info.lost_len, &before, &after, NULL));
	CHECK(before->addr == p && before->len == 4 * PAGE);
	CHECK(after->addr == p + 7 * PAGE && after->len == 9 * PAGE);
	CHECK(belay_valid(before) && belay_valid(after));
	CHECK_EQ(belay_check(r), BELAY_LOST | BELAY_RELEASED);
	CHECK_OK(belay_ack(req));
	CHECK_OK(belay_unregister(r));
	CHECK_EQ(usage(b), 13);
	CHECK_EQ(pinned(), 13);
	CHECK_SOON(open_requests() == 0, 10);
	outlast(b);
	CHECK(belay_valid(before) && belay_valid(after));
	CHECK_EQ(usage(b), 13);

	/* A part is a region like any other. */
	CHECK_SYS(munmap(p + 15 * PAGE, PAGE));
	req = await_request(b, &info);
	CHECK(info.region == after && info.user == p);
	CHECK(info.lost_addr == p + 15 * PAGE && info.lost_len == PAGE);
	r = after;
	CHECK_OK(belay_trim(r, p + 15 * PAGE, PAGE, &after, &before, NULL));
	CHECK(after->len == 8 * PAGE && !before);
	CHECK_OK(belay_ack(req));
	CHECK_EQ(usage(b), 12);
	belay_close(b);
	CHECK_EQ(pinned(), 0);
}

/* A process that loses a part of what it holds, and does nothing about it. */
static void ignore_loss(void *arg)
{
	const uint32_t *flags = arg;
	struct belay *b = open_handle();
	char *p = map(16);

	hold(b, p, 16, *flags);
	CHECK_SYS(munmap(p, PAGE));
	for (;;)
		pause();
}

static int status_of(uint32_t flags)
{
	pid_t pid = fork();
	int status = 0;

	CHECK_GE(pid, 0);
	if (!pid)
		ignore_loss(&flags);
	if (tap_wait(pid, 40, &status))
		return status;
	kill(pid, SIGKILL);
	FAIL("nothing has happened to the process");
}

TEST_TIMEOUT(killed, "who does nothing about a loss in part is killed, where that is configured", 60)
{
	int status;

	configure("kill");
	status = status_of(BELAY_PIN);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_SOON(open_requests() == 0, 10);
}

TEST_TIMEOUT(released, "release at the deadline lets go of what is left of a region lost in part", 60)
{
	struct belay_request_info info;
	struct belay_request *req;
	struct belay_region *r;
	struct belay *b;
	char *p = map(16);

	configure("release");
	b = open_handle();
	r = hold(b, p, 16, BELAY_PIN);
	CHECK_SYS(munmap(p, PAGE));
	req = await_request(b, &info);
	CHECK_EQ(info.escalation, 2);
	CHECK_EQ(usage(b), 15);
	CHECK_SOON(usage(b) == 0, 20);
	CHECK_GE(boottime(), info.deadline);
	CHECK_EQ(pinned(), 0);
	CHECK(belay_check(r) & BELAY_RELEASED);
	CHECK_OK(belay_ack(req));
	CHECK_OK(belay_unregister(r));
	CHECK_SOON(open_requests() == 0, 10);
	belay_close(b);
}

TEST_TIMEOUT(grows, "when more is lost the program is told of all that is, with the first deadline", 60)
{
	struct belay_request *first, *second;
	struct belay_request_info one, two;
	struct belay_region *r, *before, *after;
	struct belay *b;
	char *p = map(16);

	configure("keep");
	b = open_handle();
	r = hold(b, p, 16, BELAY_PIN);
	CHECK_SYS(munmap(p + 2 * PAGE, PAGE));
	first = await_request(b, &one);
	CHECK(one.lost_addr == p + 2 * PAGE && one.lost_len == PAGE);
	CHECK_SYS(munmap(p + 5 * PAGE, PAGE));
	second = await_request(b, &two);
	CHECK(two.region == r && two.lost_addr == p + 2 * PAGE && two.lost_len == 4 * PAGE);
	CHECK_EQ(two.deadline, one.deadline);
	CHECK_EQ(open_requests(), 1);
	/* What the first one said is not all that is lost. */
	CHECK_EQ(belay_trim(r, one.lost_addr, one.lost_len, &before, &after, NULL), -ESTALE);
	CHECK_OK(belay_trim(r, two.lost_addr, two.lost_len, &before, &after, NULL));
	CHECK(belay_valid(before) && belay_valid(after));
	CHECK_OK(belay_ack(first));
	CHECK_OK(belay_ack(second));
	CHECK_EQ(usage(b), 12);
	CHECK_SOON(open_requests() == 0, 10);
	outlast(b);
	belay_close(b);
}

TEST_TIMEOUT(restart, "a loss is told by a daemon that was not there, and a trim meanwhile is nobody's news", 90)
{
	struct belay_region *r, *s, *before, *after;
	struct belay_request_info info;
	struct belay_request *req;
	struct belay *b;
	char *p = map(16), *q = map(16);

	configure("kill");
	b = open_handle();
	r = hold(b, p, 16, BELAY_PIN);
	s = hold(b, q, 16, BELAY_PIN);
	CHECK_SYS(munmap(p, PAGE));
	req = await_request(b, &info);
	CHECK(info.region == r);
	run("systemctl kill -s KILL belayd.service; sleep 0.1");
	CHECK_OK(belay_trim(r, p, PAGE, &before, &after, NULL));
	CHECK(!before);
	r = after;
	CHECK_OK(belay_ack(req));
	CHECK_SYS(munmap(q + 15 * PAGE, PAGE));
	req = await_request(b, &info);
	CHECK(info.region == s && info.lost_addr == q + 15 * PAGE && info.lost_len == PAGE);
	CHECK_OK(belay_trim(s, q + 15 * PAGE, PAGE, &before, &after, NULL));
	CHECK_OK(belay_ack(req));
	CHECK_SOON(open_requests() == 0, 10);
	outlast(b);
	CHECK(belay_valid(r) && belay_valid(before));
	CHECK_EQ(usage(b), 30);
	belay_close(b);
}

TEST_TIMEOUT(watched, "the loss of a watched region is told without a deadline, and nobody is killed for it", 90)
{
	struct belay_region *mapping, *pages;
	struct belay_request_info info;
	struct belay_request *req;
	struct belay *b;
	char *p = map(16), *q = map(16);
	int status;

	configure("kill");
	b = open_handle();
	mapping = hold(b, p, 16, BELAY_WATCH | BELAY_WRITE);
	pages = hold(b, q, 16, BELAY_WATCH | BELAY_WRITE);
	memset(q, 1, 16 * PAGE);
	/* The first time the commit may meet what the writing has replaced. */
	while ((status = belay_commit(pages, NULL)) == -EAGAIN) {
		CHECK_OK(belay_unregister(pages));
		pages = hold(b, q, 16, BELAY_WATCH | BELAY_WRITE);
	}
	CHECK_OK(status);
	CHECK_EQ(usage(b), 0);
	CHECK_EQ(pinned(), 0);

	/* Other pages: nothing to the mapping, a loss to the pages. */
	memset(p, 1, 16 * PAGE);
	CHECK_SYS(madvise(p, 16 * PAGE, MADV_DONTNEED));
	CHECK(belay_valid(mapping));
	CHECK_SYS(madvise(q + PAGE, PAGE, MADV_DONTNEED));
	CHECK(!belay_valid(pages));
	req = await_request(b, &info);
	CHECK(info.region == pages);
	CHECK(info.lost_addr == q + PAGE && info.lost_len == PAGE);
	CHECK_EQ(info.deadline, 0);
	CHECK_EQ(info.escalation, 1);
	CHECK_OK(belay_ack(req));
	CHECK_SYS(munmap(p, 2 * PAGE));
	CHECK(!belay_valid(mapping));
	req = await_request(b, &info);
	CHECK(info.region == mapping);
	CHECK(info.lost_addr == p && info.lost_len == 2 * PAGE);
	CHECK_EQ(info.deadline, 0);
	/* This one is not answered at all. */
	CHECK_EQ(open_requests(), 0);
	outlast(b);
	run("systemctl kill -s KILL belayd.service; sleep 0.1");
	CHECK_SOON(open_requests() == 0, 20);
	outlast(b);

	/* That it would have been: a pinned one in its place. */
	status = status_of(BELAY_PIN);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_OK(belay_ack(req));
	belay_close(b);
}

TEST_TIMEOUT(watched_recalled, "a recall passes over what is only watched", 60)
{
	struct bl_recall r = { .select.by = BL_BY_PROCESS, .select.pid = getpid(),
			       .escalation = BL_KILL, .timeout_usec = 1000000 };
	struct belay_region *watched, *held;
	struct belay_request_info info;
	struct belay_request *req;
	struct belay *b;
	int fd, type;

	configure("keep");
	b = open_handle();
	watched = hold(b, map(16), 16, BELAY_WATCH);
	fd = raw_hello();
	type = RAW_ASK(fd, r, BL_RECALL);
	CHECK_EQ(type, BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	outlast(b);
	CHECK(belay_valid(watched));
	held = hold(b, map(16), 16, BELAY_PIN);
	r.escalation = BL_KEEP;
	type = RAW_ASK(fd, r, BL_RECALL);
	CHECK_EQ(type, BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	req = await_request(b, &info);
	CHECK(info.region == held);
	CHECK(belay_valid(watched));
	CHECK_OK(belay_ack(req));
	close(fd);
	belay_close(b);
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

TEST(watched_when_full, "an account that is full can still watch, and trim")
{
	struct belay_region *full, *before, *after, *w, *none;
	struct belay *b;

	become(23001, 64 * PAGE);
	b = open_handle();
	full = hold(b, map(64), 64, BELAY_PIN);
	CHECK_EQ(usage(b), 64);
	CHECK_EQ(belay_register(b, map(1), PAGE, BELAY_PIN, NULL, &none, NULL), -EDQUOT);
	w = hold(b, map(4096), 4096, BELAY_WATCH);
	CHECK_EQ(usage(b), 64);
	CHECK_OK(belay_trim(full, (char *)full->addr + 8 * PAGE, PAGE, &before, &after, NULL));
	CHECK_EQ(usage(b), 63);
	CHECK(belay_valid(before) && belay_valid(after) && belay_valid(w));
	hold(b, map(1), 1, BELAY_PIN);
	CHECK_EQ(belay_register(b, map(1), PAGE, BELAY_PIN, NULL, &none, NULL), -EDQUOT);
	belay_close(b);
}

TEST(unregister_many, "three thousand regions are let go together")
{
	static struct belay_range ranges[3000];
	struct belay *b = open_handle();
	char *p = map(3000);
	size_t i;

	for (i = 0; i < 3000; i++)
		ranges[i] = (struct belay_range){ .size = sizeof(struct belay_range), .addr = p + i * PAGE, .len = PAGE,
						  .flags = i % 3 ? BELAY_PIN : BELAY_WATCH };
	CHECK_EQ(belay_register_many(b, ranges, 3000, NULL), 3000);
	CHECK_EQ(usage(b), 2000);
	CHECK_EQ(pinned(), 2000);
	CHECK_EQ(belay_unregister_many(b, ranges, 1500), 1500);
	CHECK_EQ(usage(b), 1000);
	CHECK(belay_valid(ranges[1500].region));
	CHECK_EQ(belay_unregister_many(b, ranges, 3000), 1500);
	CHECK_EQ(usage(b), 0);
	CHECK_EQ(pinned(), 0);
	for (i = 0; i < 3000; i++)
		CHECK(!ranges[i].error && !ranges[i].region);
	belay_close(b);
}

TEST(transient, "what a region is registered as shows in listings")
{
	struct bl_list ask = { .what = BL_LIST_REGIONS,
			       .select.by = BL_BY_PROCESS, .select.pid = getpid() };
	const struct bl_region_row *row = (void *)(in.bytes + sizeof(in.rows));
	struct belay *b = open_handle();
	int fd = raw_hello(), type;

	hold(b, map(1), 1, BELAY_WATCH | BELAY_TRANSIENT);
	type = RAW_ASK(fd, ask, BL_LIST);
	CHECK_EQ(type, BL_LIST);
	CHECK_EQ(in.rows.count, 1);
	CHECK_EQ(row->kind, BELAY_WATCHED);
	CHECK_EQ(row->flags, BELAY_REGION_TRANSIENT);
	close(fd);
	belay_close(b);
}

static void *trim_it(void *arg)
{
	struct belay_region *r = arg, *before, *after;

	return belay_trim(r, (char *)r->addr + PAGE, PAGE, &before, &after, NULL) ?
		NULL : r;
}

TEST(trim_race, "of threads that trim one region one succeeds, whatever is unmapped meanwhile")
{
	struct belay *b = open_handle();
	struct belay_region *r;
	pthread_t threads[4];
	int round, i, winners;
	void *won;
	char *p;

	for (round = 0; round < 100; round++) {
		p = map(4);
		r = hold(b, p, 4, BELAY_PIN);
		winners = 0;
		for (i = 0; i < 4; i++)
			CHECK_EQ(pthread_create(&threads[i], NULL, trim_it, r), 0);
		CHECK_SYS(munmap(p + PAGE, PAGE));
		for (i = 0; i < 4; i++) {
			CHECK_EQ(pthread_join(threads[i], &won), 0);
			winners += won != NULL;
		}
		CHECK_LE(winners, 1);
		CHECK(winners || belay_check(r) == BELAY_LOST);
		CHECK_EQ(usage(b), 3);
		belay_close(b);
		CHECK_SYS(munmap(p, 4 * PAGE));
		b = open_handle();
	}
	belay_close(b);
}

TEST(last, "the configuration is as it was before these tests")
{
	run("rm " CONFIG "; rmdir --ignore-fail-on-non-empty -p /etc/belay/belayd.conf.d");
	run("systemctl reload belayd.service");
}

TAP_MAIN()
