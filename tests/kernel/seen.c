// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The module seen from outside: fdinfo, the counters of what the kernel announced and
 * what became of it, and the trace events. tracing.sh has the scripts that read them.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* ---- fdinfo ------------------------------------------------------------------ */

static const char *fdinfo(int fd)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return path;
}

static bool file_says(const char *path, const char *line)
{
	static char text[1 << 20];
	size_t n = 0;
	ssize_t got;
	int fd;

	fd = CHECK_SYS(open(path, O_RDONLY | O_CLOEXEC));
	while ((got = CHECK_SYS(read(fd, text + n, sizeof(text) - 1 - n))) > 0)
		n += got;
	close(fd);
	text[n] = 0;
	return strstr(text, line);
}

static const char *const kinds[] = { "pinned", "tracked", "watched" };

static uint64_t info(int fd, const char *what, const char *of)
{
	char key[64];

	snprintf(key, sizeof(key), "belay-%s-%s", what, of);
	return bk_field(fdinfo(fd), key);
}

TEST(fdinfo_empty, "fdinfo of a session says whose it is; of one without a region, that nothing is held")
{
	static const char *const states[] = { "prepared", "suspect", "lost", "recalled" };
	unsigned int i;
	struct bk b;

	bk_begin_limited(&b, PAGES(64), 7);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-session"), b.session);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-grant"), b.grant);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-account"), b.account);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-pid"), getpid());
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-ended"), 0);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-charged"), 0);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-limit"), PAGES(64));
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-charged-regions"), 0);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-limit-regions"), 7);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-refusals"), 0);
	for (i = 0; i < 3; i++) {
		CHECK_EQ(info(b.fd, "regions", kinds[i]), 0);
		CHECK_EQ(info(b.fd, "size", kinds[i]), 0);
	}
	for (i = 0; i < 4; i++)
		CHECK_EQ(info(b.fd, "regions", states[i]), 0);
	CHECK_EQ(bk_set_limit(b.ctl, b.grant, BELAY_LIMIT_GRANT, BELAY_UNLIMITED, BELAY_UNLIMITED), 0);
	CHECK(file_says(fdinfo(b.fd), "belay-limit:\tunlimited\n"));
	CHECK(file_says(fdinfo(b.fd), "belay-limit-regions:\tunlimited\n"));
	bk_end(&b);
}

TEST(fdinfo_regions, "fdinfo counts a session's regions by kind and state, how large they are, and what is held")
{
	struct bk_region r, other;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(100), 1);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	bk_hold(&b, p + PAGES(8), PAGES(3), BELAY_PINNED, 0);
	bk_hold(&b, p + PAGES(16), PAGES(4), BELAY_TRACKED, W);
	CHECK_OK(bk_register(b.fd, p + PAGES(24), PAGES(5), BELAY_TRACKED, W, &other));
	CHECK_OK(bk_register(b.fd, p + PAGES(32), PAGES(50), BELAY_WATCHED, W, &other));
	CHECK_OK(bk_commit(b.fd, other.id));
	CHECK_EQ(info(b.fd, "regions", "pinned"), 2);
	CHECK_EQ(info(b.fd, "regions", "tracked"), 2);
	CHECK_EQ(info(b.fd, "regions", "watched"), 1);
	CHECK_EQ(info(b.fd, "regions", "prepared"), 1);
	CHECK_EQ(info(b.fd, "size", "pinned"), PAGES(11));
	CHECK_EQ(info(b.fd, "size", "tracked"), PAGES(9));
	CHECK_EQ(info(b.fd, "size", "watched"), PAGES(50));
	CHECK_EQ(info(b.fd, "held", "pinned"), PAGES(11));
	CHECK_EQ(info(b.fd, "held", "tracked"), PAGES(9));
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-charged"), PAGES(20));
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-charged-regions"), 5);

	/* Two of eight pages are lost: six are held. */
	CHECK_SYS(munmap(p, PAGES(2)));
	CHECK_EQ(bk_settle(&b, &r), BELAY_WORD_LOST);
	CHECK_SOON(info(b.fd, "held", "pinned") == PAGES(9), 5);
	CHECK_EQ(info(b.fd, "size", "pinned"), PAGES(11));
	CHECK_EQ(info(b.fd, "size", "lost"), PAGES(2));
	CHECK_EQ(info(b.fd, "regions", "lost"), 1);
	CHECK_EQ(info(b.fd, "regions", "suspect"), 0);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 5), 0);
	CHECK_EQ(info(b.fd, "regions", "recalled"), 1);
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_EQ(info(b.fd, "regions", "recalled"), 0);
	CHECK_EQ(info(b.fd, "regions", "pinned"), 1);
	CHECK_EQ(info(b.fd, "held", "pinned"), PAGES(3));
	CHECK_EQ(info(b.fd, "size", "lost"), 0);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TEST(fdinfo_refused, "fdinfo counts the refusals by the grant's own limit")
{
	struct bk b;
	char *p;

	bk_begin_limited(&b, PAGES(4), 100);
	p = bk_anon(PAGES(8), 1);
	CHECK_EQ(bk_register(b.fd, p, PAGES(5), BELAY_PINNED, W, NULL), -EDQUOT);
	CHECK_EQ(bk_register(b.fd, p, PAGES(8), BELAY_PINNED, W, NULL), -EDQUOT);
	CHECK_EQ(bk_field(fdinfo(b.fd), "belay-refusals"), 2);
	bk_end(&b);
}

TEST(fdinfo_control, "fdinfo of the control file says who has it, and how many events wait")
{
	struct bk_region r;
	struct bk b;
	char *p;
	int fd;

	bk_begin(&b);
	fd = CHECK_SYS(open("/dev/belay", O_RDONLY));
	CHECK(file_says(fdinfo(b.ctl), "belay-control:\towner\n"));
	CHECK(file_says(fdinfo(fd), "belay-control:\treader\n"));
	CHECK_EQ(bk_field(fdinfo(b.ctl), "belay-events-pending"), 0);
	p = bk_anon(PAGES(4), 1);
	r = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	munmap(p, PAGES(4));
	CHECK_SOON(bk_field(fdinfo(b.ctl), "belay-events-pending") == 1, 5);
	CHECK_EQ(bk_field(fdinfo(fd), "belay-events-pending"), 1);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_drain_events(b.ctl);
	CHECK_EQ(bk_field(fdinfo(b.ctl), "belay-events-pending"), 0);
	close(fd);
	bk_end(&b);
}

/* ---- counters ----------------------------------------------------------------- */

static const char *const seen[] = { "seen_unmap", "seen_clear", "seen_protection",
	"seen_soft_dirty", "seen_release", "seen_migrate", "seen_exclusive", "seen_other" };
static const char *const fates[] = { "filtered", "ignored", "made_suspect", "made_lost" };

#define N_SEEN	(sizeof(seen) / sizeof(seen[0]))
#define N_FATES	(sizeof(fates) / sizeof(fates[0]))

enum { UNMAP, CLEAR, PROTECTION, SOFT_DIRTY, RELEASE };
enum { FILTERED, IGNORED, SUSPECT, LOST };

struct counts {
	uint64_t seen[N_SEEN];
	uint64_t fate[N_FATES];
};

static struct counts counts_now(void)
{
	struct counts c;
	unsigned int i;

	for (i = 0; i < N_SEEN; i++)
		c.seen[i] = bk_seen(seen[i]);
	for (i = 0; i < N_FATES; i++)
		c.fate[i] = bk_seen(fates[i]);
	return c;
}

static struct counts counts_since(const struct counts *before)
{
	struct counts c = counts_now();
	unsigned int i;

	for (i = 0; i < N_SEEN; i++)
		c.seen[i] -= before->seen[i];
	for (i = 0; i < N_FATES; i++)
		c.fate[i] -= before->fate[i];
	return c;
}

/* Exactly these, by kind and by fate. */
static void expect_counts(const struct counts *before, const struct counts *want)
{
	struct counts got = counts_since(before);
	unsigned int i;

	for (i = 0; i < N_SEEN; i++)
		if (got.seen[i] != want->seen[i])
			FAIL("%s: %llu, not %llu", seen[i], (unsigned long long)got.seen[i],
			     (unsigned long long)want->seen[i]);
	for (i = 0; i < N_FATES; i++)
		if (got.fate[i] != want->fate[i])
			FAIL("%s: %llu, not %llu", fates[i], (unsigned long long)got.fate[i],
			     (unsigned long long)want->fate[i]);
}

TEST(fate_of_each, "every announcement is counted by its kind and by what became of it: one of four, no more and no less")
{
	struct counts before;
	struct bk_region r;
	struct bk b;
	char *p;

	/* It announces a change of protection when it likes. */
	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_begin(&b);
	p = bk_anon(PAGES(8), 1);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);

	before = counts_now();
	expect_counts(&before, &(struct counts) {});
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ));
	expect_counts(&before, &(struct counts) { .seen[PROTECTION] = 1, .fate[FILTERED] = 1 });
	CHECK_SYS(mprotect(p, PAGES(8), PROT_READ | PROT_WRITE));
	bk_write("/proc/self/clear_refs", "4");
	expect_counts(&before, &(struct counts) { .seen[PROTECTION] = 2, .seen[SOFT_DIRTY] = 1,
						  .fate[FILTERED] = 3 });

	before = counts_now();
	CHECK_SYS(madvise(p + PAGES(1), PAGES(1), MADV_DONTNEED));
	expect_counts(&before, &(struct counts) { .seen[CLEAR] = 1, .fate[SUSPECT] = 1 });
	CHECK_EQ(bk_settle(&b, &r), BELAY_WORD_LOST);
	/* What is known to be lost. */
	CHECK_SYS(madvise(p + PAGES(1), PAGES(1), MADV_DONTNEED));
	expect_counts(&before, &(struct counts) { .seen[CLEAR] = 2, .fate[SUSPECT] = 1,
						  .fate[IGNORED] = 1 });

	before = counts_now();
	CHECK_SYS(munmap(p, PAGES(8)));
	expect_counts(&before, &(struct counts) { .seen[UNMAP] = 1, .fate[LOST] = 1 });
	bk_write("/proc/sys/kernel/numa_balancing", "1");
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_drain_events(b.ctl);
	bk_end(&b);
}

static void child_run(void *arg)
{
}

static void busy_run(void *arg)
{
	struct bk b;
	char *p;
	int i;

	bk_join(&b, arg);
	for (i = 0; i < 50; i++) {
		p = bk_anon(PAGES(16), 1);
		bk_hold(&b, p, PAGES(16), i % 2 ? BELAY_PINNED : BELAY_TRACKED, W);
		CHECK_SYS(mprotect(p, PAGES(16), PROT_READ));
		CHECK_SYS(madvise(p, PAGES(3), MADV_DONTNEED));
		CHECK_SYS(munmap(p, PAGES(10)));
		if (i % 10 == 0)
			tap_join(tap_spawn(child_run, NULL));
	}
	/* The rest is lost with the address space. */
}

TEST_TIMEOUT(fates_add_up, "what was announced in a storm of several processes adds up to what became of it", 60)
{
	uint64_t same, lost, sum_seen = 0, sum_fates = 0;
	struct counts before, c;
	pid_t pid[3];
	unsigned int i;
	struct bk b;

	bk_begin(&b);
	before = counts_now();
	same = bk_seen("verified_same");
	lost = bk_seen("lost");
	for (i = 0; i < 3; i++)
		pid[i] = tap_spawn(busy_run, &b);
	for (i = 0; i < 3; i++)
		tap_join(pid[i]);
	c = counts_since(&before);
	for (i = 0; i < N_SEEN; i++)
		sum_seen += c.seen[i];
	for (i = 0; i < N_FATES; i++) {
		CHECK_GT(c.fate[i], 0);
		sum_fates += c.fate[i];
	}
	CHECK_EQ(sum_seen, sum_fates);
	CHECK_GE(c.seen[PROTECTION], 150);
	CHECK_EQ(c.fate[FILTERED], c.seen[PROTECTION] + c.seen[SOFT_DIRTY]);
	CHECK_LE(c.fate[LOST], c.seen[UNMAP] + c.seen[RELEASE]);
	CHECK_LE(c.fate[SUSPECT], c.seen[CLEAR]);
	/* Each of 150 regions once. */
	CHECK_EQ(bk_seen("lost") - lost, 150);
	CHECK_GE(bk_seen("verified_same"), same);
	bk_drain_events(b.ctl);
	bk_end(&b);
}

TEST(verified, "a suspicion that proves wrong is counted as verified_same, a right one as verified_lost")
{
	uint64_t same = bk_seen("verified_same"), lost = bk_seen("verified_lost");
	struct bk_region r;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(8), 1);
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	/* Announced as cleared; but what is pinned stays mapped. */
	CHECK_SYS(madvise(p, PAGES(8), MADV_FREE));
	CHECK_EQ(bk_settle(&b, &r), 0);
	CHECK_EQ(bk_seen("verified_same") - same, 1);
	CHECK_EQ(bk_seen("verified_lost") - lost, 0);
	CHECK_SYS(madvise(p, PAGES(1), MADV_DONTNEED));
	CHECK_EQ(bk_settle(&b, &r), BELAY_WORD_LOST);
	CHECK_EQ(bk_seen("verified_same") - same, 1);
	CHECK_EQ(bk_seen("verified_lost") - lost, 1);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_drain_events(b.ctl);
	bk_end(&b);
}

/* ---- trace events --------------------------------------------------------------- */

#define INSTANCE "/sys/kernel/tracing/instances/belay-test"

static char trace_text[1 << 20];

/* An instance of its own: what others trace is not disturbed. */
static void trace_begin(void)
{
	/* Or the scheduler is traced, to know the names of all processes. */
	bk_write("/sys/kernel/tracing/options/record-cmd", "0");
	rmdir(INSTANCE);
	CHECK_SYS(mkdir(INSTANCE, 0700));
	bk_write(INSTANCE "/events/belay/enable", "1");
}

static void trace_end(void)
{
	bk_write(INSTANCE "/events/belay/enable", "0");
	CHECK_SYS(rmdir(INSTANCE));
}

static void trace_read(void)
{
	size_t n = 0;
	ssize_t got;
	int fd;

	fd = CHECK_SYS(open(INSTANCE "/trace", O_RDONLY | O_CLOEXEC));
	while ((got = CHECK_SYS(read(fd, trace_text + n, sizeof(trace_text) - 1 - n))) > 0)
		n += got;
	trace_text[n] = 0;
	close(fd);
}

/* How many lines there are of that event, with all of these words (NULL ends them). */
static unsigned int traced(const char *event, ...)
{
	static char copy[sizeof(trace_text)];
	char name[64], *line, *save = NULL;
	const char *word;
	unsigned int n = 0;
	va_list words;
	bool all;

	snprintf(name, sizeof(name), " %s: ", event);
	strcpy(copy, trace_text);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		all = *line != '#' && strstr(line, name);
		va_start(words, event);
		while ((word = va_arg(words, const char *)))
			all = all && strstr(line, word);
		va_end(words);
		n += all;
	}
	return n;
}

/* All events of the module. */
static unsigned int traced_lines(void)
{
	const char *at = trace_text;
	unsigned int n = 0;

	while ((at = strstr(at, ": belay_"))) {
		at++;
		n++;
	}
	return n;
}

static const char *says(const char *fmt, ...)
{
	static char text[32][128];
	static unsigned int next;
	char *s = text[next++ % 32];
	va_list args;

	va_start(args, fmt);
	vsnprintf(s, sizeof(text[0]), fmt, args);
	va_end(args);
	return s;
}

TEST(trace_silent, "while nothing is done nothing is traced, but for what the kernel announces by itself")
{
	struct bk b;

	bk_begin(&b);
	bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_PINNED, W);
	trace_begin();
	usleep(200000);
	trace_read();
	/* But for what the kernel does to any memory by itself (NUMA balancing). */
	if (traced_lines() != traced("belay_invalidate", NULL) + traced("belay_verify", NULL))
		FAIL("traced: %.2000s", strstr(trace_text, ": belay_"));
	/* It listens. */
	CHECK_EQ(bk_check(b.fd, 12345), -ENOENT);
	CHECK_EQ(bk_register(b.fd, (void *)PAGES(1), PAGES(1), BELAY_PINNED, 0, NULL), -EFAULT);
	trace_read();
	CHECK_EQ(traced("belay_refuse", "err=-14 ", "resource=none", NULL), 1);
	trace_end();
	bk_end(&b);
}

TEST(trace_numbers, "trace events have the numbers of what was done: registered, refused, committed, lost, recalled, trimmed, gone")
{
	struct belay_trim_entry cut = { .len = PAGES(1) };
	struct belay_trim trim = { .size = sizeof(trim), .entries = (uintptr_t)&cut,
				   .count = 1, .entry_size = sizeof(cut) };
	struct bk_region r, t, c;
	const char *mine, *whose;
	struct bk b;
	char *p;

	trace_begin();
	bk_begin_limited(&b, PAGES(64), 1000);
	p = bk_anon(PAGES(100), 1);
	mine = says("session=%u ", (unsigned int)b.session);
	whose = says("grant=%u pid=%d ", (unsigned int)b.grant, getpid());
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	t = bk_hold(&b, p + PAGES(8), PAGES(4), BELAY_TRACKED, W);
	c = bk_hold(&b, p + PAGES(16), PAGES(5), BELAY_PINNED, 0);
	CHECK_EQ(bk_register(b.fd, p + PAGES(32), PAGES(60), BELAY_PINNED, W, NULL), -EDQUOT);
	CHECK_SYS(madvise(p + PAGES(1), PAGES(1), MADV_DONTNEED));
	CHECK_EQ(bk_settle(&b, &r), BELAY_WORD_LOST);
	CHECK_SYS(madvise(p + PAGES(8), PAGES(4), MADV_FREE));
	CHECK_SYS(munmap(p + PAGES(9), PAGES(2)));
	cut.region = c.id;
	cut.addr = (uintptr_t)p + PAGES(18);
	CHECK_OK(bk_ioctl(b.fd, BELAY_TRIM, &trim));
	CHECK_OK(cut.status);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 4711), 0);
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0), 0);
	CHECK_OK(bk_unregister(b.fd, t.id));
	bk_end(&b);
	trace_read();

	CHECK_EQ(traced("belay_account_made", says("account=%u ", (unsigned int)b.account), NULL), 1);
	CHECK_EQ(traced("belay_grant_made", says("grant=%u account=%u pid=%d uid=0",
		 (unsigned int)b.grant, (unsigned int)b.account, getpid()), NULL), 1);
	CHECK_EQ(traced("belay_session_opened", mine, whose, NULL), 1);
	CHECK_EQ(traced("belay_register", mine, whose, NULL), 3);
	CHECK_EQ(traced("belay_register", mine, whose, "len=32768 kind=pinned flags=write word= ",
			says("region=%llu ", (unsigned long long)r.id),
			"pinned=32768 tracked=0 usage=32768", NULL), 1);
	CHECK_EQ(traced("belay_register", mine, "len=16384 kind=tracked flags=write",
			"pinned=32768 tracked=16384 usage=49152", NULL), 1);
	CHECK_EQ(traced("belay_commit", mine, "kind=tracked err=0",
			says("region=%llu ", (unsigned long long)t.id), NULL), 1);
	CHECK_EQ(traced("belay_refuse", mine, whose, "len=245760 kind=pinned err=-122 account=0 resource=bytes usage=69632 limit=262144 needed=245760", NULL), 1);
	CHECK_EQ(traced("belay_invalidate", mine, "event=clear", "len=4096 fate=suspect",
			says("region=%llu ", (unsigned long long)r.id), NULL), 1);
	CHECK_EQ(traced("belay_verify", mine, "len=4096 found=lost", NULL), 1);
	CHECK_EQ(traced("belay_lost", mine, "len=4096 reason=replaced", NULL), 1);
	CHECK_EQ(traced("belay_drop_lost", mine, "len=4096 pinned=", NULL), 1);
	CHECK_EQ(traced("belay_invalidate", mine, "event=unmap", "len=8192 fate=lost", NULL), 1);
	CHECK_EQ(traced("belay_lost", mine, "kind=tracked", "len=8192 reason=unmapped", NULL), 1);
	CHECK_EQ(traced("belay_trim", mine, "len=4096",
			says("before=%llu after=%llu", (unsigned long long)cut.before.region,
			     (unsigned long long)cut.after.region), NULL), 1);
	CHECK_EQ(traced("belay_recall", mine, "request=4711 reason=admin deadline=12345 policy=7", NULL), 1);
	CHECK_EQ(traced("belay_release", mine, "request=4711", NULL), 1);
	/* Three, and two parts of one of them. */
	CHECK_EQ(traced("belay_unregister", mine, whose, NULL), 5);
	CHECK_EQ(traced("belay_unregister", mine, "word=lost|recalled|released",
			says("region=%llu ", (unsigned long long)r.id), NULL), 1);
	CHECK_EQ(traced("belay_session_closed", mine, whose, NULL), 1);
	CHECK_EQ(traced("belay_grant_ended", says("grant=%u ", (unsigned int)b.grant), NULL), 1);
	CHECK_EQ(traced("belay_account_removed", NULL), 1);
	trace_end();
}

static void exit_run(void *arg)
{
	struct bk b;

	bk_join(&b, arg);
	bk_hold(&b, bk_anon(PAGES(2), 1), PAGES(2), BELAY_PINNED, W);
	_exit(0);
}

TEST(trace_exit, "the end of a process shows as losses, the death of its grant, and what the worker lets go, under its pid")
{
	const char *whose;
	struct bk b;
	pid_t pid;

	trace_begin();
	bk_begin(&b);
	pid = tap_spawn(exit_run, &b);
	tap_join(pid);
	bk_end(&b);
	trace_read();
	whose = says("pid=%d ", pid);
	CHECK_EQ(traced("belay_register", whose, "len=8192", NULL), 1);
	CHECK_EQ(traced("belay_lost", whose, "len=8192 reason=exited", NULL), 1);
	CHECK_EQ(traced("belay_unregister", whose, "len=8192", "pinned=0 tracked=0 usage=0", NULL), 1);
	/* Its own descriptor may be closed first, or its address space end. */
	CHECK_EQ(traced("belay_grant_ended", whose, NULL), 1);
	CHECK_GE(traced("belay_grant_dead", whose, NULL), 1);
	trace_end();
}

TEST(trace_no_addresses, "no trace event tells where in memory a page is, or an address of the kernel's")
{
	char word[32], *p, *line;
	struct bk_region r;
	unsigned int i;
	uint64_t pfn;
	struct bk b;

	trace_begin();
	bk_begin(&b);
	p = bk_anon(PAGES(4), 1);
	r = bk_hold(&b, p, PAGES(4), BELAY_TRACKED, W);
	pfn = bk_pfn(p);
	CHECK_SYS(madvise(p, PAGES(1), MADV_DONTNEED));
	CHECK_EQ(bk_settle(&b, &r), BELAY_WORD_LOST);
	CHECK_OK(bk_unregister(b.fd, r.id));
	bk_drain_events(b.ctl);
	bk_end(&b);
	trace_read();
	CHECK_EQ(traced("belay_unregister", "len=16384", NULL), 1);
	for (line = strstr(trace_text, ": belay_"); line; line = strstr(line + 1, ": belay_"))
		CHECK(!memmem(line, strcspn(line, "\n"), "=ffff8", 6) &&
		      !memmem(line, strcspn(line, "\n"), "=0x", 3));
	for (i = 0; i < 4; i++) {
		snprintf(word, sizeof(word), i & 1 ? "=%llx " : "=%llu ",
			 (unsigned long long)(i & 2 ? PAGES(pfn) : pfn));
		CHECK(!strstr(trace_text, word));
	}
	/* The search finds what is there. */
	snprintf(word, sizeof(word), "=%llx ", (unsigned long long)(uintptr_t)p);
	CHECK(strstr(trace_text, word));
	trace_end();
}

TAP_MAIN()
