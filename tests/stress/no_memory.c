// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The n-th allocation fails, for every n: of each step of a sequence that goes through
 * the whole life of regions of all kinds. For each step and each n a process of its own
 * does the steps before it, has one allocation (or one copy to or from the caller) of
 * that step fail, and then
 *
 *   if the step said ENOMEM	does it again: now it succeeds, since nothing has changed,
 *				and so does all that follows;
 *   if it said EFAULT		stops there: what was done is not known to the caller;
 *   if it succeeded		goes on: the kernel had another way, or it was none of
 *				the step's own allocations.
 *
 * Whatever happens, when the process has ended nothing is held or charged, and the
 * kernel has not complained. A step has no more allocations to fail when the n-th was
 * not reached.
 *
 * It needs the kernel's fault injection (fail-nth), which the debug kernel has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
/* More than are pinned without a page of scratch; and half of it is another mapping. */
#define LEN	PAGES(24)
#define HALF	(LEN / 2)
/* More allocations than a step can have: it does not end otherwise. */
#define MOST	400

/* What the process has, as far as it has come. */
struct life {
	int fail;		/* /proc/thread-self/fail-nth */
	int ctl, fd;
	uint64_t start_time;	/* of this process */
	uint64_t account, session;
	void *words;
	char *pinned, *tracked, *watched;
	struct bk_region p, t, w;
	uint64_t second_part;	/* of the trimmed one */
	struct belay_event event;
};

/* ---- the steps: 0 or -errno ------------------------------------------------------- */

static int open_control(struct life *l)
{
	l->ctl = open("/dev/belay", O_RDWR | O_CLOEXEC);
	return l->ctl < 0 ? -errno : 0;
}

static int make_account(struct life *l)
{
	struct belay_ctl_account a = {
		.size = sizeof(a),
		.limit_bytes = BELAY_UNLIMITED,
		.limit_regions = BELAY_UNLIMITED,
	};
	int err = bk_ioctl(l->ctl, BELAY_CTL_ACCOUNT, &a);

	l->account = a.account;
	return err;
}

static int set_limits(struct life *l)
{
	return bk_set_limit(l->ctl, l->account, 0, 1 << 30, 1000);
}

static int make_grant(struct life *l)
{
	struct belay_ctl_grant g = {
		.size = sizeof(g),
		.account = l->account,
		.pid = getpid(),
		.start_time = l->start_time,
		.limit_bytes = BELAY_UNLIMITED,
		.limit_regions = BELAY_UNLIMITED,
	};
	int err;

	err = bk_ioctl(l->ctl, BELAY_CTL_GRANT, &g);
	if (err)
		return err;
	l->fd = g.fd;
	l->session = g.session;
	return 0;
}

static int map_words(struct life *l)
{
	l->words = mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, l->fd, 0);
	return l->words == MAP_FAILED ? -errno : 0;
}

static int register_pinned(struct life *l)
{
	return bk_register(l->fd, l->pinned, LEN, BELAY_PINNED, W, &l->p);
}

static int register_tracked(struct life *l)
{
	return bk_register(l->fd, l->tracked, LEN, BELAY_TRACKED, W, &l->t);
}

static int commit_tracked(struct life *l)
{
	return bk_commit(l->fd, l->t.id);
}

static int register_watched(struct life *l)
{
	return bk_register(l->fd, l->watched, LEN, BELAY_WATCHED, W, &l->w);
}

static int commit_watched(struct life *l)
{
	return bk_commit(l->fd, l->w.id);
}

static int lose_a_part(struct life *l)
{
	return munmap(l->pinned + PAGES(4), PAGES(2)) ? -errno : 0;
}

static int check(struct life *l)
{
	int state = bk_check(l->fd, l->p.id);

	return state < 0 ? state : 0;
}

static int trim(struct life *l)
{
	struct belay_trim_entry e = {
		.region = l->p.id,
		.addr = (uintptr_t)l->p.addr + PAGES(4),
		.len = PAGES(2),
	};
	struct belay_trim t = {
		.size = sizeof(t),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};
	int err = bk_ioctl(l->fd, BELAY_TRIM, &t);

	l->second_part = e.after.region;
	return err ? err : e.status;
}

static int recall(struct life *l)
{
	return bk_recall(l->ctl, BELAY_CTL_RECALL, l->session, l->t.id, 7);
}

static int list(struct life *l)
{
	static struct belay_region_row rows[8];
	struct belay_ctl_list a = {
		.size = sizeof(a),
		.what = BELAY_LIST_REGIONS,
		.rows = (uintptr_t)rows,
		.count = 8,
		.entry_size = sizeof(rows[0]),
	};
	int err = bk_ioctl(l->ctl, BELAY_CTL_LIST, &a);
	unsigned int i, live = 0;

	/* The trimmed one is listed as released while the worker looks at it. */
	for (i = 0; !err && i < a.count; i++)
		live += !(rows[i].state & BELAY_WORD_RELEASED);
	if (!err)
		CHECK_EQ(live, 4);
	return err;
}

static int wait_for_it(struct life *l)
{
	struct belay_ctl_wait a = { .size = sizeof(a) };
	int err = bk_ioctl(l->ctl, BELAY_CTL_WAIT, &a);

	CHECK_NE(err, 0);
	return err == -ETIMEDOUT ? 0 : err;
}

static int events(struct life *l, unsigned long cmd)
{
	struct belay_ctl_events a = {
		.size = sizeof(a),
		.entries = (uintptr_t)&l->event,
		.count = 1,
		.entry_size = sizeof(l->event),
	};

	return bk_ioctl(l->ctl, cmd, &a);
}

static int read_event(struct life *l)
{
	return events(l, BELAY_CTL_EVENTS);
}

static int event_done(struct life *l)
{
	return events(l, BELAY_CTL_EVENTS_DONE);
}

static int release(struct life *l)
{
	return bk_recall(l->ctl, BELAY_CTL_RELEASE, l->session, l->second_part, 0);
}

static int lose_all(struct life *l)
{
	return munmap(l->watched, LEN) ? -errno : 0;
}

static int unregister_tracked(struct life *l)
{
	return bk_unregister(l->fd, l->t.id);
}

static int usage(struct life *l)
{
	struct belay_usage u = { .size = sizeof(u) };

	return bk_ioctl(l->fd, BELAY_USAGE, &u);
}

static int close_session(struct life *l)
{
	int fd = l->fd;

	l->fd = -1;
	return close(fd) ? -errno : 0;
}

static const struct step {
	const char *name;
	int (*run)(struct life *l);
	bool allocates;		/* so that it must have failed at least once */
} steps[] = {
	{ "open", open_control, true },
	{ "account", make_account, true },
	{ "limits", set_limits, true },
	{ "grant", make_grant, true },
	{ "mmap of words", map_words, true },
	{ "register pinned", register_pinned, true },
	{ "register tracked", register_tracked, true },
	{ "commit tracked", commit_tracked, false },
	{ "register watched", register_watched, true },
	{ "commit watched", commit_watched, true },
	{ "munmap of a part", lose_a_part, true },
	{ "check", check, false },
	{ "trim", trim, true },
	{ "recall", recall, false },
	{ "list", list, false },
	{ "wait", wait_for_it, false },
	{ "events", read_event, false },
	{ "events done", event_done, false },
	{ "release", release, false },
	{ "munmap of all", lose_all, false },
	{ "usage", usage, false },
	{ "unregister", unregister_tracked, false },
	{ "close", close_session, false },
};
#define STEPS	(sizeof(steps) / sizeof(steps[0]))

/* ---- one process -------------------------------------------------------------------- */

static void fail_nth(const struct life *l, unsigned int n)
{
	char text[16];

	/* If it is this very copy that fails, nothing is to fail any more. */
	if (pwrite(l->fail, text, snprintf(text, sizeof(text), "%u", n), 0) < 0)
		CHECK(!n && errno == EFAULT);
}

/* Has the failure happened? Asking is a copy, too. */
static bool has_failed(const struct life *l)
{
	char text[16] = "";

	if (pread(l->fail, text, sizeof(text) - 1, 0) < 0) {
		CHECK_EQ(errno, EFAULT);
		return false;
	}
	return !atoi(text);
}

/*
 * Of the first half no page lies beside the next: @other takes those. The second half
 * is faulted in when it is registered; it is a mapping of its own, so that the first
 * half is pinned when that fails.
 */
static void scatter(char *p, char *other)
{
	size_t i;

	CHECK_SYS(madvise(p + HALF, HALF, MADV_NOHUGEPAGE));
	for (i = 0; i < HALF; i += BK_PAGE)
		p[i] = other[i] = 1;
}

static void prepare(struct life *l)
{
	l->fail = CHECK_SYS(open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC));
	l->ctl = l->fd = -1;
	l->pinned = CHECK_SYS(mmap(NULL, 4 * LEN, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	l->tracked = l->pinned + LEN;
	l->watched = l->tracked + LEN;
	scatter(l->pinned, l->watched + LEN);
	scatter(l->tracked, l->watched + LEN + HALF);
	l->start_time = bk_start_time(getpid());
}

/* Whatever there is. The mapping, too, keeps the session open. */
static void end(struct life *l)
{
	if (l->words)
		munmap(l->words, PAGES(1));
	if (l->fd >= 0)
		close(l->fd);
	if (l->ctl < 0)
		l->ctl = bk_open_control();
	bk_sweep(l->ctl);
	close(l->ctl);
}

struct outcome {
	bool reached, refused;	/* the n-th was there; the step said so */
	int err;
};

/* In a child: the steps up to @at, that one with its @n-th allocation failing, the rest. */
static void live(unsigned int at, unsigned int n, struct outcome *o)
{
	struct life l = { 0 };
	unsigned int i;
	int err;

	prepare(&l);
	for (i = 0; i < at; i++)
		CHECK_OK(steps[i].run(&l));
	fail_nth(&l, n);
	o->err = steps[at].run(&l);
	o->reached = has_failed(&l);
	fail_nth(&l, 0);
	o->refused = o->err;
	if (o->err && o->err != -ENOMEM && o->err != -EFAULT)
		FAIL("%s says %s when its allocation %u fails", steps[at].name,
		     strerror(-o->err), n);
	if (o->err && !o->reached)
		FAIL("%s says %s although nothing failed", steps[at].name, strerror(-o->err));
	if (o->err == -ENOMEM)
		CHECK_OK(steps[at].run(&l));
	for (i = at + 1; i < STEPS && o->err != -EFAULT; i++)
		if ((err = steps[i].run(&l)))
			FAIL("%s fails (%s) after allocation %u of %s did", steps[i].name,
			     strerror(-err), n, steps[at].name);
	end(&l);
}

static void expect_nothing(const char *step, unsigned int n, int64_t pins)
{
	static const char *const what[] = { "grants", "sessions", "regions", "pinned_bytes",
					    "tracked_bytes", "charged_bytes", "accounts" };
	unsigned int i;

	for (i = 0; i < 7; i++)
		if (bk_sysfs(what[i]))
			FAIL("%s, allocation %u: %llu %s are left", step, n,
			     (unsigned long long)bk_sysfs(what[i]), what[i]);
	for (i = 0; bk_pins() != pins; i++) {
		if (i == 200)
			FAIL("%s, allocation %u: %lld pages are left pinned", step, n,
			     (long long)(bk_pins() - pins));
		usleep(100000);
	}
}

static void let_allocations_fail(void)
{
	static const char *const kinds[] = { "failslab", "fail_page_alloc", "fail_usercopy" };
	char path[80];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s/verbose", kinds[i]);
		bk_write(path, "0");
	}
	/* Also those that may sleep, single pages, and those that are for user space. */
	bk_write("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	bk_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	bk_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	bk_write("/sys/kernel/debug/fail_page_alloc/min-order", "0");
}

/* Others in the system may hold a page for a moment. */
static int64_t settled_pins(void)
{
	int64_t pins = bk_pins(), before;
	int same = 0;

	while (same < 5) {
		usleep(50000);
		before = pins;
		pins = bk_pins();
		same = pins == before ? same + 1 : 0;
	}
	return pins;
}

/* One step, each of its allocations. */
static void sweep(unsigned int at, int64_t pins, struct outcome *o,
		  unsigned int *ret_injected, unsigned int *ret_no_memory, unsigned int *ret_fault)
{
	unsigned int n;
	pid_t pid;

	for (n = 1;; n++) {
		CHECK_LT(n, MOST);
		memset(o, 0, sizeof(*o));
		pid = CHECK_SYS(fork());
		if (!pid) {
			live(at, n, o);
			_exit(0);
		}
		tap_join(pid);
		expect_nothing(steps[at].name, n, pins);
		*ret_no_memory += o->err == -ENOMEM;
		*ret_fault += o->err == -EFAULT;
		if (!o->reached)
			break;
	}
	*ret_injected = n - 1;
}

TEST_TIMEOUT(sweep, "each allocation and each copy of each step fails once: the step says so and has changed nothing, and nothing is left", 7200)
{
	struct outcome *o = mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t pins = settled_pins();
	unsigned int at, total = 0;

	let_allocations_fail();
	for (at = 0; at < STEPS; at++) {
		unsigned int injected = 0, no_memory = 0, fault = 0;

		sweep(at, pins, o, &injected, &no_memory, &fault);
		tap_diag("%s: %u failed in turn, %u said ENOMEM, %u EFAULT", steps[at].name,
			 injected, no_memory, fault);
		fflush(stdout);
		if (steps[at].allocates && !no_memory)
			FAIL("%s never was out of memory", steps[at].name);
		total += injected;
	}
	tap_diag("%u failures", total);
	CHECK_GT(total, 100);
}

TAP_MAIN()
