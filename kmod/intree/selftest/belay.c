// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * The promises of /dev/belay: memory is charged, limits hold, a word turns when memory is
 * lost or wanted back, and nothing is held afterwards. Needs root, and that nobody else
 * is the policy owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/belay.h>

#include "kselftest_harness.h"

#define PAGES		16
#define SMALL_LIMIT	8
#define WORDS_BYTES	(BELAY_WORDS_MAX * sizeof(uint64_t))
/* Milliseconds that the module's worker may take, on a slow machine. */
#define SOON		30000

static int command(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

/* Field 22 of /proc/self/stat. */
static unsigned long long start_time(void)
{
	char line[1024] = "", *p;
	unsigned long long start = 0;
	int i, fd = open("/proc/self/stat", O_RDONLY);

	if (fd < 0)
		return 0;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	/* The name in brackets may contain anything. */
	p = strrchr(line, ')');
	for (i = 2; p && i < 22; i++)
		p = strchr(p + 1, ' ');
	if (p)
		sscanf(p, " %llu", &start);
	return start;
}

/* VmPin of this process, in KiB. */
static long pinned_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

FIXTURE(belay)
{
	int ctl;
	int session;
	uint64_t account;
	uint64_t grant;
	uint64_t session_id;
	const uint64_t *words;
	size_t page;
	size_t len;
	void *memory;
};

FIXTURE_SETUP(belay)
{
	struct belay_ctl_account a = {
		.size = sizeof(a),
		.limit_bytes = BELAY_UNLIMITED,
		.limit_regions = BELAY_UNLIMITED,
	};
	struct belay_ctl_grant g = {
		.size = sizeof(g),
		.pid = getpid(),
		.uid = geteuid(),
		.start_time = start_time(),
		.limit_bytes = BELAY_UNLIMITED,
		.limit_regions = BELAY_UNLIMITED,
	};
	int i, ret = -EAGAIN;

	self->ctl = open("/dev/belay", O_RDWR | O_CLOEXEC);
	if (self->ctl < 0)
		SKIP(return, "no /dev/belay to own: %s", strerror(errno));
	ASSERT_EQ(0, command(self->ctl, BELAY_CTL_ACCOUNT, &a));
	self->account = a.account;
	g.account = a.account;
	/* The address space may be busy for a moment. */
	for (i = 0; i < SOON && ret == -EAGAIN; i++) {
		ret = command(self->ctl, BELAY_CTL_GRANT, &g);
		usleep(ret ? 1000 : 0);
	}
	ASSERT_EQ(0, ret);
	self->session = g.fd;
	self->grant = g.grant;
	self->session_id = g.session;
	self->words = mmap(NULL, WORDS_BYTES, PROT_READ, MAP_SHARED, g.fd, 0);
	ASSERT_NE(MAP_FAILED, (void *)self->words);
	self->page = getpagesize();
	self->len = PAGES * self->page;
	self->memory = mmap(NULL, self->len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
}

/* Reads what is pending, and says that it has been dealt with. */
static int dealt_with(int ctl, struct belay_event *ret_first)
{
	struct belay_event events[8] = {};
	struct belay_ctl_events e = {
		.size = sizeof(e),
		.entries = (uintptr_t)events,
		.count = 8,
		.entry_size = sizeof(events[0]),
	};
	int n;

	if (command(ctl, BELAY_CTL_EVENTS, &e))
		return -1;
	n = e.count;
	if (n && ret_first)
		*ret_first = events[0];
	if (n && command(ctl, BELAY_CTL_EVENTS_DONE, &e))
		return -1;
	return n;
}

FIXTURE_TEARDOWN(belay)
{
	struct belay_ctl_id id = { .size = sizeof(id), .id = self->account };
	int i, ret = -EBUSY;

	munmap((void *)self->words, WORDS_BYTES);
	close(self->session);
	/* The grant ends, and that is heard; only then has the account no grant. */
	for (i = 0; i < SOON && ret == -EBUSY; i++) {
		ASSERT_LE(0, dealt_with(self->ctl, NULL));
		ret = command(self->ctl, BELAY_CTL_ACCOUNT_REMOVE, &id);
		usleep(ret ? 1000 : 0);
	}
	EXPECT_EQ(0, ret);
	close(self->ctl);
}

static int try_register(int session, void *addr, size_t len,
			struct belay_register_entry *e)
{
	struct belay_register r = {
		.size = sizeof(r),
		.entries = (uintptr_t)e,
		.count = 1,
		.entry_size = sizeof(*e),
	};
	int ret;

	*e = (struct belay_register_entry) {
		.addr = (uintptr_t)addr,
		.len = len,
		.kind = BELAY_PINNED,
		.flags = BELAY_REGION_WRITE,
		.cookie = 42,
		.status = 1,
	};
	ret = command(session, BELAY_REGISTER, &r);
	return ret ? ret : e->status;
}

static int on_region(int session, unsigned long cmd, uint64_t region)
{
	struct belay_region_entry e = { .region = region, .status = 1 };
	struct belay_regions r = {
		.size = sizeof(r),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};
	int ret = command(session, cmd, &r);

	return ret ? ret : e.status;
}

static int by_order(int ctl, unsigned long cmd, uint64_t session, uint64_t region)
{
	struct belay_recall_entry e = {
		.session = session,
		.region = region,
		.request = 7,
		.reason = BELAY_REASON_ADMIN,
		.status = 1,
	};
	struct belay_ctl_recall r = {
		.size = sizeof(r),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};
	int ret = command(ctl, cmd, &r);

	return ret ? ret : e.status;
}

/* The bytes that the grant is charged. */
static uint64_t usage(int session)
{
	struct belay_level level = {};
	struct belay_usage u = {
		.size = sizeof(u),
		.levels = (uintptr_t)&level,
		.count = 1,
		.entry_size = sizeof(level),
	};

	return command(session, BELAY_USAGE, &u) ? UINT64_MAX : level.usage_bytes;
}

static uint64_t word(const uint64_t *words, const struct belay_register_entry *e)
{
	return __atomic_load_n(&words[e->word], __ATOMIC_ACQUIRE);
}

static bool soon_turns(const uint64_t *words, const struct belay_register_entry *e,
		       uint64_t bit)
{
	int i;

	for (i = 0; i < SOON && !(word(words, e) & bit); i++)
		usleep(1000);
	return word(words, e) & bit;
}

static bool soon_charged(int session, uint64_t bytes)
{
	int i;

	for (i = 0; i < SOON && usage(session) != bytes; i++)
		usleep(1000);
	return usage(session) == bytes;
}

static int set_limit(int ctl, uint64_t id, uint32_t flags, uint64_t bytes)
{
	struct belay_limit_entry e = {
		.id = id,
		.flags = flags,
		.limit_bytes = bytes,
		.limit_regions = BELAY_UNLIMITED,
	};
	struct belay_ctl_limits l = {
		.size = sizeof(l),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};

	return command(ctl, BELAY_CTL_LIMITS, &l);
}

TEST_F(belay, registered_memory_is_pinned_and_charged)
{
	struct belay_register_entry e;

	ASSERT_EQ(0, pinned_kib());
	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	EXPECT_EQ(e.expected, word(self->words, &e));
	EXPECT_EQ(self->len, usage(self->session));
	EXPECT_EQ(self->len / 1024, pinned_kib());

	ASSERT_EQ(0, on_region(self->session, BELAY_UNREGISTER, e.region));
	EXPECT_TRUE(word(self->words, &e) & BELAY_WORD_RELEASED);
	EXPECT_EQ(0, usage(self->session));
	EXPECT_EQ(0, pinned_kib());
	EXPECT_EQ(-ENOENT, on_region(self->session, BELAY_UNREGISTER, e.region));
}

TEST_F(belay, shared_pages_are_charged_once)
{
	struct belay_register_entry one, other;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &one));
	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &other));
	EXPECT_EQ(self->len, usage(self->session));
	ASSERT_EQ(0, on_region(self->session, BELAY_UNREGISTER, one.region));
	EXPECT_EQ(self->len, usage(self->session));
	ASSERT_EQ(0, on_region(self->session, BELAY_UNREGISTER, other.region));
	EXPECT_EQ(0, usage(self->session));
}

static void check_refusal(struct __test_metadata *_metadata, FIXTURE_DATA(belay) *self,
			  uint64_t account)
{
	uint64_t limit = SMALL_LIMIT * self->page;
	struct belay_register_entry e;

	ASSERT_EQ(-EDQUOT, try_register(self->session, self->memory, limit + self->page, &e));
	EXPECT_EQ(account, e.refused_account);
	EXPECT_EQ(BELAY_RESOURCE_BYTES, e.refused_resource);
	EXPECT_EQ(0, e.refused_usage);
	EXPECT_EQ(limit, e.refused_limit);
	EXPECT_EQ(limit + self->page, e.refused_needed);
	EXPECT_EQ(0, usage(self->session));
	EXPECT_EQ(0, pinned_kib());

	ASSERT_EQ(0, try_register(self->session, self->memory, limit, &e));
	EXPECT_EQ(limit, usage(self->session));
	ASSERT_EQ(0, on_region(self->session, BELAY_UNREGISTER, e.region));
}

TEST_F(belay, the_limit_of_a_grant_refuses)
{
	ASSERT_EQ(0, set_limit(self->ctl, self->grant, BELAY_LIMIT_GRANT,
			       SMALL_LIMIT * self->page));
	check_refusal(_metadata, self, 0);
}

TEST_F(belay, the_limit_of_an_account_refuses_and_is_named)
{
	ASSERT_EQ(0, set_limit(self->ctl, self->account, 0, SMALL_LIMIT * self->page));
	check_refusal(_metadata, self, self->account);
}

static void check_loss(struct __test_metadata *_metadata, FIXTURE_DATA(belay) *self,
		       const struct belay_register_entry *e, unsigned int reason)
{
	struct belay_event event = {};
	int i;

	EXPECT_TRUE(soon_turns(self->words, e, BELAY_WORD_LOST));
	EXPECT_TRUE(soon_charged(self->session, 0));
	EXPECT_EQ(0, pinned_kib());
	for (i = 0; i < SOON && !dealt_with(self->ctl, &event); i++)
		usleep(1000);
	EXPECT_EQ(BELAY_EVENT_LOST, event.events & BELAY_EVENT_LOST);
	EXPECT_EQ(e->region, event.region);
	EXPECT_EQ(reason, event.reason);
	EXPECT_EQ(e->cookie, event.cookie);
	EXPECT_EQ(0, on_region(self->session, BELAY_UNREGISTER, e->region));
}

TEST_F(belay, unmapped_memory_is_lost)
{
	struct belay_register_entry e;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	ASSERT_EQ(0, munmap(self->memory, self->len));
	/* The word has turned before the page table is changed. */
	EXPECT_NE(e.expected, word(self->words, &e));
	check_loss(_metadata, self, &e, BELAY_REASON_UNMAPPED);
}

TEST_F(belay, replaced_memory_is_lost)
{
	struct belay_register_entry e;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	ASSERT_EQ(0, madvise(self->memory, self->len, MADV_DONTNEED));
	EXPECT_NE(e.expected, word(self->words, &e));
	check_loss(_metadata, self, &e, BELAY_REASON_REPLACED);
}

TEST_F(belay, a_change_of_protection_loses_nothing)
{
	struct belay_register_entry e;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	ASSERT_EQ(0, mprotect(self->memory, self->len, PROT_READ));
	ASSERT_EQ(0, mprotect(self->memory, self->len, PROT_READ | PROT_WRITE));
	memset(self->memory, 1, self->len);
	EXPECT_EQ(0, on_region(self->session, BELAY_CHECK, e.region));
	EXPECT_EQ(e.expected, word(self->words, &e));
	EXPECT_EQ(self->len, usage(self->session));
	EXPECT_EQ(0, on_region(self->session, BELAY_UNREGISTER, e.region));
}

TEST_F(belay, a_recall_keeps_and_an_order_releases)
{
	struct belay_register_entry e;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	ASSERT_EQ(0, by_order(self->ctl, BELAY_CTL_RECALL, self->session_id, e.region));
	EXPECT_EQ(e.expected | BELAY_WORD_RECALLED, word(self->words, &e));
	EXPECT_EQ(self->len / 1024, pinned_kib());

	ASSERT_EQ(0, by_order(self->ctl, BELAY_CTL_RELEASE, self->session_id, e.region));
	EXPECT_TRUE(word(self->words, &e) & BELAY_WORD_RELEASED);
	EXPECT_TRUE(soon_charged(self->session, 0));
	EXPECT_EQ(0, pinned_kib());
	EXPECT_EQ(-ENOENT, by_order(self->ctl, BELAY_CTL_RELEASE, self->session_id, e.region));
}

TEST_F(belay, a_child_cannot_use_the_grant)
{
	struct belay_register_entry e, another;
	int status;
	pid_t pid;

	ASSERT_EQ(0, try_register(self->session, self->memory, self->len, &e));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (try_register(self->session, self->memory, self->len, &another) != -EXDEV)
			_exit(1);
		/* A word read there is never a valid one. */
		_exit(word(self->words, &e) ? 2 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, on_region(self->session, BELAY_UNREGISTER, e.region));
}

TEST_F(belay, there_is_one_policy_owner)
{
	int fd;

	EXPECT_EQ(-1, open("/dev/belay", O_RDWR));
	EXPECT_EQ(EBUSY, errno);
	fd = open("/dev/belay", O_RDONLY);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST_F(belay, words_are_read_only)
{
	EXPECT_EQ(MAP_FAILED, mmap(NULL, self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
				   self->session, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mprotect((void *)self->words, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(belay, arguments_may_grow)
{
	struct {
		struct belay_info info;
		uint64_t unknown;
	} a = { .info.size = sizeof(a) };

	EXPECT_EQ(0, command(self->session, BELAY_INFO, &a));
	EXPECT_EQ(self->session_id, a.info.session);
	EXPECT_EQ(self->page, a.info.page_size);
	a.unknown = 1;
	EXPECT_EQ(-E2BIG, command(self->session, BELAY_INFO, &a));
	a.info.size = 8;
	EXPECT_EQ(-EINVAL, command(self->session, BELAY_INFO, &a));
	a.info = (struct belay_info) { .size = sizeof(a.info), .flags = 1 };
	EXPECT_EQ(-EOPNOTSUPP, command(self->session, BELAY_INFO, &a));
	EXPECT_EQ(-ENOTTY, command(self->session, BELAY_CTL_EVENTS, &a));
}

TEST_HARNESS_MAIN
