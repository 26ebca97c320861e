// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Races with an end: of a process, by exit, exec and SIGKILL, against what the policy
 * owner and the process's other threads do; and of the module, against whatever has it
 * open last. (Everything that ends less is in races.c.)
 *
 * A process costs a quarter of a second on the debug kernel: so few rounds there, but as
 * many as it takes until both orders were seen. BELAY_PART=1/3: every third opponent.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"
#include "tests/stress/meet.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define SECOND	1000000000ULL
/* Until both orders were seen. */
#define PATIENCE 20

/* ---- a process ends ------------------------------------------------------------------ */

enum ending { EXIT, EXEC, KILLED, ENDINGS };

static const char *const endings[] = { "exit", "exec", "SIGKILL" };

/* What a process left to others, in shared memory: where the numbers are in value[]. */
enum { SESSION, GRANT, FD, PINNED, TRACKED };

struct round {
	struct bk b;		/* its control file and account */
	struct bk_steps *s;
	enum ending ending;
	bool busy;		/* a second thread of it is at work */
	pid_t pid;
	int copy;		/* of its session's fd, or -1 */
	int reader;
	int result;		/* the opponent's */
};

/* All that it may do to its own; its end may come at any point. */
static void *work_run(void *arg)
{
	struct bk_region r, parts[2];
	struct bk *me = arg;
	char *p;

	for (;;) {
		p = bk_anon(PAGES(8), 1);
		if (bk_register(me->fd, p, PAGES(8), BELAY_PINNED, W, &r))
			continue;
		if (!bk_trim(me->fd, &r, PAGES(2), PAGES(2), parts))
			bk_unregister(me->fd, parts[0].id);
		if (!bk_register(me->fd, p, PAGES(8), BELAY_TRACKED, W, &r))
			bk_commit(me->fd, r.id);
		munmap(p, PAGES(8));
	}
	return NULL;
}

static void client_run(void *arg)
{
	struct round *x = arg;
	pthread_t thread;
	struct bk me;

	bk_join(&me, &x->b);
	x->s->value[SESSION] = me.session;
	x->s->value[GRANT] = me.grant;
	x->s->value[FD] = me.fd;
	x->s->value[PINNED] = bk_hold(&me, bk_anon(PAGES(64), 1), PAGES(64), BELAY_PINNED, W).id;
	x->s->value[TRACKED] = bk_hold(&me, bk_anon(PAGES(8), 1), PAGES(8), BELAY_TRACKED, W).id;
	/* What it has mapped it keeps open: the copy is to be the last. */
	munmap((void *)me.words, BELAY_WORDS_MAX * sizeof(uint64_t));
	if (x->busy)
		CHECK_EQ(pthread_create(&thread, NULL, work_run, &me), 0);
	bk_step(x->s, 1);
	while (__atomic_load_n(&x->s->now, __ATOMIC_ACQUIRE) < 2)
		sched_yield();
	if (x->ending == EXEC)
		execl("/bin/true", "true", NULL);
	_exit(0);
}

static int end_run(void *arg, unsigned int who)
{
	struct round *x = arg;
	int status;

	if (x->ending == KILLED)
		CHECK_SYS(kill(x->pid, SIGKILL));
	else
		bk_step(x->s, 2);
	CHECK_SYS(waitpid(x->pid, &status, 0));
	CHECK_EQ(WIFSIGNALED(status), x->ending == KILLED);
	return 0;
}

static int late(int err)
{
	CHECK(!err || err == -ENOENT);
	return err;
}

static int recall_run(void *arg, unsigned int who)
{
	struct round *x = arg;

	return late(bk_recall(x->b.ctl, BELAY_CTL_RECALL, x->s->value[SESSION],
			      x->s->value[TRACKED], 1));
}

static int release_run(void *arg, unsigned int who)
{
	struct round *x = arg;

	return late(bk_recall(x->b.ctl, BELAY_CTL_RELEASE, x->s->value[SESSION],
			      x->s->value[PINNED], 0));
}

static int list_run(void *arg, unsigned int who)
{
	struct round *x = arg;
	struct belay_region_row rows[8];

	CHECK_LT(bk_list(x->reader, BELAY_LIST_REGIONS, rows, sizeof(rows[0]), 8,
			 x->s->value[GRANT], 0), 8);
	return 0;
}

static int wait_run(void *arg, unsigned int who)
{
	struct round *x = arg;
	struct belay_ctl_wait w = {
		.size = sizeof(w),
		.timeout = 300 * SECOND,
		.select = { .by = BELAY_SELECT_SESSION, .session = x->s->value[SESSION] },
	};

	CHECK_OK(bk_ioctl(x->reader, BELAY_CTL_WAIT, &w));
	return 0;
}

static int events_run(void *arg, unsigned int who)
{
	struct round *x = arg;

	bk_drain_events(x->b.ctl);
	return 0;
}

/* The last one, by a stranger. */
static int close_run(void *arg, unsigned int who)
{
	struct round *x = arg;

	CHECK_SYS(close(x->copy));
	x->copy = -1;
	return 0;
}

static int grant_run(void *arg, unsigned int who)
{
	struct round *x = arg;
	int fd = bk_try_grant(x->b.ctl, x->b.account, x->pid, 0, 0, NULL);

	if (fd >= 0)
		close(fd);
	else
		CHECK_EQ(fd, -ESRCH);
	return fd < 0 ? fd : 0;
}

static int limits_run(void *arg, unsigned int who)
{
	struct round *x = arg;

	return late(bk_set_limit(x->b.ctl, x->s->value[GRANT], BELAY_LIMIT_GRANT, 0, 0));
}

static const struct {
	const char *name;
	int (*run)(void *arg, unsigned int who);
	bool copies, busy, blocks;
} opponents[] = {
	{ "recall", recall_run, false, false, false },
	{ "release", release_run, false, false, false },
	{ "list", list_run, false, false, false },
	{ "wait", wait_run, false, false, true },
	{ "events", events_run, false, false, false },
	{ "close of the last copy", close_run, true, false, false },
	{ "grant", grant_run, false, false, false },
	{ "limits", limits_run, false, false, false },
	{ "release, and its own threads", release_run, false, true, false },
};
#define OPPONENTS (sizeof(opponents) / sizeof(opponents[0]))

static bool is_over(struct round *x)
{
	struct belay_level l[2];

	bk_drain_events(x->b.ctl);
	bk_levels(x->b.fd, l, 2);
	return !bk_sysfs("regions") && bk_sysfs("grants") == 1 && bk_sysfs("sessions") == 1 &&
		!bk_sysfs("pinned_bytes") && !bk_sysfs("tracked_bytes") &&
		!bk_sysfs("held_bytes") && !l[1].usage_bytes && !l[1].usage_regions;
}

/* What was promised of events is kept, whoever was first. */
static void expect_heard(struct round *x, unsigned int with)
{
	uint64_t grant = x->s->value[GRANT], session = x->s->value[SESSION];

	if (opponents[with].run == events_run)
		return;
	CHECK_SOON(bk_find_ended(x->b.ctl, grant, NULL), 10);
	if (opponents[with].run == recall_run && !x->result)
		CHECK_SOON(bk_find_event(x->b.ctl, session, x->s->value[TRACKED],
					 BELAY_EVENT_GONE, NULL), 10);
}

static void one_round(struct round *x, struct meet *m, unsigned int with)
{
	x->busy = opponents[with].busy;
	bk_step(x->s, 0);
	x->pid = tap_spawn(client_run, x);
	bk_await(x->s, 1);
	x->copy = -1;
	if (opponents[with].copies)
		x->copy = bk_steal_fd(x->pid, x->s->value[FD]);
	meet(m, (struct meet_act[]){
		{ .run = end_run, .arg = x },
		{ .run = opponents[with].run, .arg = x, .blocks = opponents[with].blocks },
	});
	x->result = m->at[1].result;
	expect_heard(x, with);
	CHECK_SOON(is_over(x), 10);
}

static void process_ends(enum ending ending)
{
	struct round x = { .ending = ending, .s = bk_steps() };
	unsigned int i, rounds = bk_rounds(540) / OPPONENTS, won;
	struct meet m;
	int64_t pins;

	bk_begin(&x.b);
	pins = bk_pins();
	x.reader = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	meet_begin(&m, 2, bk_seed());
	for (i = 0; i < OPPONENTS; i++) {
		if (!bk_in_part(ending + i))
			continue;
		won = 0;
		meet_anew(&m);
		while (m.rounds < rounds || (!meet_happened(&m) && m.rounds < PATIENCE * rounds)) {
			one_round(&x, &m, i);
			won += !x.result;
		}
		tap_diag("%s and %s: %u rounds, the end was later in %u, overlapping %u; success %u",
			 endings[ending], opponents[i].name, m.rounds, m.before[1][0],
			 m.overlapped, won);
		fflush(stdout);
		CHECK(meet_happened(&m));
	}
	meet_end(&m);
	close(x.reader);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_end(&x.b);
}

TEST_TIMEOUT(exits, "exit against what the policy owner and other threads do: both orders, it is heard of, and nothing is left", 240)
{
	process_ends(EXIT);
}

TEST_TIMEOUT(execs, "exec against what the policy owner and other threads do: both orders, it is heard of, and nothing is left", 240)
{
	process_ends(EXEC);
}

TEST_TIMEOUT(killed, "SIGKILL against what the policy owner and other threads do: both orders, it is heard of, and nothing is left", 240)
{
	process_ends(KILLED);
}

/* ---- the module ends ---------------------------------------------------------------------- */

/* What is closed last, and what is still under way then. */
enum last { HOLDING, RELEASED, LOST, RECALLED, WORDS, OWNER, LASTS };

static const char *const lasts[] = {
	"a session with a region", "a session, just after an order", "a session, just after a loss",
	"a recalled region's session", "a mapping of words", "the policy owner's file",
};

struct unload {
	struct bk b;
	enum last last;
	unsigned int refused;
};

static int last_close_run(void *arg, unsigned int who)
{
	struct unload *u = arg;

	if (u->last == WORDS)
		munmap((void *)u->b.words, BELAY_WORDS_MAX * sizeof(uint64_t));
	else
		close(u->last == OWNER ? u->b.ctl : u->b.fd);
	return 0;
}

/* At it until nothing is in use any more; never anything but a refusal. */
static int unload_run(void *arg, unsigned int who)
{
	double end = tap_now() + 10 * TAP_PATIENCE;
	struct unload *u = arg;
	int err;

	while ((err = bk_unload())) {
		CHECK(err == -EWOULDBLOCK || err == -EBUSY);
		CHECK(tap_now() < end);
		u->refused++;
	}
	return 0;
}

static void prepare(struct unload *u)
{
	struct bk_region r;
	char *p;

	bk_load();
	bk_begin(&u->b);
	p = bk_anon(PAGES(64), 1);
	r = bk_hold(&u->b, p, PAGES(64), BELAY_PINNED, W);
	if (u->last != WORDS)
		munmap((void *)u->b.words, BELAY_WORDS_MAX * sizeof(uint64_t));
	if (u->last == RECALLED)
		CHECK_OK(bk_recall(u->b.ctl, BELAY_CTL_RECALL, u->b.session, r.id, 1));
	if (u->last == RELEASED)
		CHECK_OK(bk_recall(u->b.ctl, BELAY_CTL_RELEASE, u->b.session, r.id, 0));
	if (u->last != OWNER)
		close(u->b.ctl);
	if (u->last == WORDS || u->last == OWNER)
		close(u->b.fd);
	if (u->last == LOST)
		munmap(p, PAGES(64));
}

TEST_TIMEOUT(unloads, "unloading against the last close, with all sorts of things under way: refused until then, done then, and nothing stays", 240)
{
	unsigned int i, rounds = bk_rounds(240), refused[LASTS] = {};
	struct unload u = {};
	struct meet m;
	int64_t pins;

	pins = bk_pins();
	meet_begin(&m, 2, bk_seed());
	for (i = 0; i < rounds || (!meet_happened(&m) && i < PATIENCE * rounds); i++) {
		u.last = i % LASTS;
		u.refused = 0;
		prepare(&u);
		meet(&m, (struct meet_act[]){
			{ .run = last_close_run, .arg = &u },
			{ .run = unload_run, .arg = &u, .blocks = true },
		});
		refused[u.last] += u.refused;
	}
	for (i = 0; i < LASTS; i++)
		tap_diag("%s: refused %u times before it was done", lasts[i], refused[i]);
	/* It was tried before the last close, and after it. */
	CHECK(meet_happened(&m));
	meet_end(&m);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_load();
}

TAP_MAIN()
