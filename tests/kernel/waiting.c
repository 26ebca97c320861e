// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * BELAY_CTL_WAIT: it ends when the last page selected is let go, in whatever way that
 * comes about, and not before; it is bounded, killable, and in nobody's way.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define BY(...)	(&(struct belay_select) { __VA_ARGS__ })
#define OF(b, r) BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,		\
		    .session = (b)->session, .region = (r)->id)
#define SECOND	1000000000ULL

static int wait_for(int ctl, const struct belay_select *sel, uint64_t timeout,
		    struct belay_ctl_wait *ret)
{
	struct belay_ctl_wait w = { .size = sizeof(w), .timeout = timeout, .select = *sel };
	int err;

	w.session = w.region = 77;
	err = bk_ioctl(ctl, BELAY_CTL_WAIT, &w);
	if (ret)
		*ret = w;
	return err;
}

/* Only looks: is something of it held? */
static bool holds(int ctl, const struct belay_select *sel)
{
	int err = wait_for(ctl, sel, 0, NULL);

	CHECK(!err || err == -ETIMEDOUT);
	return err;
}

/* A thread that waits, as a reader of its own. */
struct waiter {
	pthread_t thread;
	struct belay_select sel;
	uint64_t timeout;
	int err;
	double ended;
	bool done;
};

static void *waiter_run(void *arg)
{
	struct waiter *w = arg;
	int fd = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));

	w->err = wait_for(fd, &w->sel, w->timeout, NULL);
	w->ended = tap_now();
	close(fd);
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void waiter_start(struct waiter *w, const struct belay_select *sel)
{
	*w = (struct waiter) { .sel = *sel, .timeout = 100 * SECOND };
	CHECK_EQ(pthread_create(&w->thread, NULL, waiter_run, w), 0);
}

/* It is still at it: seen for long enough to have gone to sleep. */
static bool is_waiting(struct waiter *w)
{
	usleep(50000);
	return !__atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

static void waiter_ends(struct waiter *w)
{
	CHECK_SOON(__atomic_load_n(&w->done, __ATOMIC_ACQUIRE), 10);
	CHECK_EQ(pthread_join(w->thread, NULL), 0);
	CHECK_EQ(w->err, 0);
}

/* ---- it ends when the last is let go ------------------------------------------------- */

TEST(nothing, "where nothing is held it ends at once, whatever the timeout, and names nothing")
{
	struct belay_ctl_wait w;
	struct bk_region r;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(2), 1);
	CHECK_OK(wait_for(b.ctl, BY(0), BELAY_WAIT_MAX_NS, &w));
	CHECK_EQ(w.session, 0);
	CHECK_EQ(w.region, 0);
	CHECK_OK(wait_for(b.ctl, BY(0), 0, NULL));
	r = bk_hold(&b, p, PAGES(1), BELAY_PINNED, W);
	CHECK(holds(b.ctl, BY(0)));
	CHECK_OK(wait_for(b.ctl, BY(.by = BELAY_SELECT_TRANSIENT), BELAY_WAIT_MAX_NS, NULL));
	CHECK_OK(wait_for(b.ctl, BY(.by = BELAY_SELECT_SESSION, .session = b.session + 1),
			  BELAY_WAIT_MAX_NS, NULL));
	CHECK_OK(bk_unregister(b.fd, r.id));
	CHECK_OK(wait_for(b.ctl, BY(0), BELAY_WAIT_MAX_NS, NULL));
	bk_end(&b);
}

TEST(watched, "a watched region holds nothing: it is not waited for")
{
	struct bk_region r;
	struct bk b;

	bk_begin(&b);
	CHECK_OK(bk_register(b.fd, bk_anon(PAGES(2), 1), PAGES(2), BELAY_WATCHED, W, &r));
	CHECK(!holds(b.ctl, OF(&b, &r)));
	CHECK_OK(bk_commit(b.fd, r.id));
	CHECK(!holds(b.ctl, OF(&b, &r)));
	bk_end(&b);
}

TEST(unregistered, "it ends when the region is unregistered, and not when it is recalled")
{
	struct bk_region r;
	struct waiter w;
	struct bk b;

	bk_begin(&b);
	r = bk_hold(&b, bk_anon(PAGES(600), 1), PAGES(600), BELAY_PINNED, W);
	waiter_start(&w, OF(&b, &r));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 1));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_unregister(b.fd, r.id));
	waiter_ends(&w);
	CHECK_EQ(bk_sysfs("held_bytes"), 0);
	bk_end(&b);
}

TEST(ordered, "it ends when the region is released by order")
{
	struct bk_region r;
	struct waiter w;
	struct bk b;

	bk_begin(&b);
	r = bk_hold(&b, bk_anon(PAGES(4), 1), PAGES(4), BELAY_PINNED, W);
	waiter_start(&w, BY(.by = BELAY_SELECT_GRANT, .grant = b.grant));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0));
	waiter_ends(&w);
	bk_end(&b);
}

struct client {
	struct bk b;
	struct bk_steps *s;
};

static void client_run(void *arg)
{
	struct client *c = arg;
	struct bk me;

	bk_join(&me, &c->b);
	c->s->value[0] = me.session;
	c->s->value[1] = bk_hold(&me, bk_anon(PAGES(64), 1), PAGES(64), BELAY_PINNED, W).id;
	bk_hold(&me, bk_anon(PAGES(64), 1), PAGES(64), BELAY_TRACKED, W);
	bk_step(c->s, 1);
	pause();
}

static pid_t client_start(struct client *c)
{
	pid_t pid;

	bk_begin(&c->b);
	c->s = bk_steps();
	pid = tap_spawn(client_run, c);
	bk_await(c->s, 1);
	return pid;
}

TEST(killed_holder, "it ends when the holder is killed, and with it its last session and grant")
{
	struct client c;
	struct waiter w[2];
	pid_t pid = client_start(&c);

	waiter_start(&w[0], BY(.by = BELAY_SELECT_SESSION, .session = c.s->value[0]));
	waiter_start(&w[1], BY(.by = BELAY_SELECT_ACCOUNT, .account = c.b.account));
	CHECK(is_waiting(&w[0]));
	CHECK(is_waiting(&w[1]));
	kill(pid, SIGKILL);
	waiter_ends(&w[0]);
	waiter_ends(&w[1]);
	waitpid(pid, NULL, 0);
	CHECK_EQ(bk_sysfs("held_bytes"), 0);
	bk_end(&c.b);
}

static char state_of(pid_t pid)
{
	char path[64], text[512], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	CHECK(f && fgets(text, sizeof(text), f));
	fclose(f);
	p = strrchr(text, ')');
	CHECK(p);
	return p[2];
}

TEST(stopped_holder, "a holder that is stopped need not do anything: release by order, and it ends")
{
	struct client c;
	struct waiter w;
	pid_t pid = client_start(&c);

	CHECK_SYS(kill(pid, SIGSTOP));
	CHECK_SOON(state_of(pid) == 'T', 5);
	waiter_start(&w, BY(.by = BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
			    .session = c.s->value[0], .region = c.s->value[1]));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_recall(c.b.ctl, BELAY_CTL_RELEASE, c.s->value[0], c.s->value[1], 0));
	waiter_ends(&w);
	CHECK_EQ(state_of(pid), 'T');
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	bk_end(&c.b);
}

TEST(lost, "it ends when the region is lost; of a part that is lost, when that part was all that lay there")
{
	struct waiter all, part, node;
	unsigned long mask = 2;
	struct bk_region r;
	uint64_t pfn[8];
	struct bk b;
	char *p;

	bk_begin(&b);
	p = CHECK_SYS(mmap(NULL, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0));
	CHECK_SYS(syscall(SYS_mbind, p + PAGES(2), PAGES(2), MPOL_BIND, &mask, 64, 0));
	mask = 1;
	CHECK_SYS(syscall(SYS_mbind, p, PAGES(2), MPOL_BIND, &mask, 64, 0));
	CHECK_SYS(syscall(SYS_mbind, p + PAGES(4), PAGES(4), MPOL_BIND, &mask, 64, 0));
	memset(p, 1, PAGES(8));
	r = bk_hold(&b, p, PAGES(8), BELAY_PINNED, W);
	bk_pfns(p, 8, pfn);
	waiter_start(&all, OF(&b, &r));
	waiter_start(&part, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[3]),
			       .phys_len = PAGES(1)));
	waiter_start(&node, BY(.by = BELAY_SELECT_NODE, .node = 1));
	CHECK(is_waiting(&part));
	CHECK_SYS(munmap(p + PAGES(3), PAGES(1)));
	waiter_ends(&part);
	CHECK(is_waiting(&node));
	CHECK(is_waiting(&all));
	CHECK_SYS(munmap(p + PAGES(2), PAGES(1)));
	waiter_ends(&node);
	CHECK(is_waiting(&all));
	CHECK_SYS(munmap(p, PAGES(8)));
	waiter_ends(&all);
	bk_end(&b);
}

TEST(tracked, "a tracked region is waited for until it is unregistered: neither commit nor loss ends it")
{
	struct bk_region r;
	struct waiter w;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(4), 1);
	CHECK_OK(bk_register(b.fd, p, PAGES(4), BELAY_TRACKED, W, &r));
	waiter_start(&w, OF(&b, &r));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_commit(b.fd, r.id));
	CHECK(is_waiting(&w));
	CHECK_SYS(munmap(p, PAGES(4)));
	CHECK_SOON(bk_find_event(b.ctl, b.session, r.id, BELAY_EVENT_LOST, NULL), 5);
	CHECK(is_waiting(&w));
	CHECK_EQ(bk_recall(b.ctl, BELAY_CTL_RELEASE, b.session, r.id, 0), -EBUSY);
	CHECK(is_waiting(&w));
	CHECK_OK(bk_unregister(b.fd, r.id));
	waiter_ends(&w);
	bk_end(&b);
}

TEST(meanwhile, "what is registered meanwhile is waited for, too")
{
	struct bk_region first, second;
	struct waiter w;
	struct bk b;

	bk_begin(&b);
	first = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	waiter_start(&w, BY(.by = BELAY_SELECT_SESSION, .session = b.session));
	CHECK(is_waiting(&w));
	second = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	CHECK_OK(bk_unregister(b.fd, first.id));
	CHECK(is_waiting(&w));
	CHECK_OK(bk_unregister(b.fd, second.id));
	waiter_ends(&w);
	bk_end(&b);
}

TEST(many, "of 3,000 regions that go in any order, it ends after the last; 8 wait at once, each for its own")
{
	static struct bk_region r[3000];
	struct waiter all, each[8];
	unsigned int i, j;
	uint32_t seed = bk_seed();
	double last;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(3000), 1);
	for (i = 0; i < 3000; i++)
		r[i] = bk_hold(&b, p + PAGES(i), PAGES(1), BELAY_PINNED, W);
	waiter_start(&all, BY(.by = BELAY_SELECT_SESSION, .session = b.session));
	for (i = 0; i < 8; i++)
		waiter_start(&each[i], OF(&b, &r[2990 + i]));
	CHECK(is_waiting(&all));
	for (i = 2989; i > 1; i--) {
		struct bk_region swap = r[i];

		j = bk_random(&seed) % i;
		r[i] = r[j];
		r[j] = swap;
	}
	for (i = 0; i < 2990; i++)
		CHECK_OK(bk_unregister(b.fd, r[i].id));
	for (i = 0; i < 8; i++) {
		CHECK(is_waiting(&each[i]));
		CHECK_OK(bk_unregister(b.fd, r[2990 + i].id));
		waiter_ends(&each[i]);
	}
	CHECK(is_waiting(&all));
	CHECK_OK(bk_unregister(b.fd, r[2998].id));
	CHECK(is_waiting(&all));
	last = tap_now();
	CHECK_OK(bk_unregister(b.fd, r[2999].id));
	waiter_ends(&all);
	CHECK_GE(all.ended, last);
	bk_end(&b);
}

/* ---- trimming -------------------------------------------------------------------------- */

static uint64_t trim(const struct bk *b, uint64_t region, char *addr, size_t len, bool keep_after)
{
	struct belay_trim_entry e = { .region = region, .addr = (uintptr_t)addr, .len = len };
	struct belay_trim t = { .size = sizeof(t), .entries = (uintptr_t)&e, .count = 1,
				.entry_size = sizeof(e) };

	CHECK_OK(bk_ioctl(b->fd, BELAY_TRIM, &t));
	if (e.status == -EAGAIN) {
		bk_check(b->fd, region);
		return 0;
	}
	CHECK_OK(e.status);
	CHECK_NE(keep_after ? e.after.region : e.before.region, 0);
	return keep_after ? e.after.region : e.before.region;
}

TEST(trimmed, "what is trimmed away is not waited for, what is left goes on being waited for")
{
	struct waiter gone, left;
	struct bk_region r;
	uint64_t pfn[4], id;
	struct bk b;
	char *p;

	bk_begin(&b);
	p = bk_anon(PAGES(4), 1);
	r = bk_hold(&b, p, PAGES(4), BELAY_PINNED, W);
	bk_pfns(p, 4, pfn);
	waiter_start(&gone, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[0]),
			       .phys_len = PAGES(1)));
	waiter_start(&left, BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(pfn[3]),
			       .phys_len = PAGES(1)));
	CHECK(is_waiting(&gone));
	while (!(id = trim(&b, r.id, p, PAGES(2), true)))
		;
	waiter_ends(&gone);
	CHECK(is_waiting(&left));
	CHECK_OK(bk_unregister(b.fd, id));
	waiter_ends(&left);
	bk_end(&b);
}

/*
 * One page stays held all the time, by one region after the other: pages on both
 * sides of it are trimmed away. The regions take turns in two places, with many
 * others between them, so that who walks over them in between could miss both.
 */
struct trimmer {
	struct bk b;
	char *p;
	bool stop;
	unsigned int trims;
};

#define LENGTH	65
#define KEPT	32
#define OTHERS	1000

static void *trimmer_run(void *arg)
{
	struct trimmer *t = arg;
	struct bk_region r, anchor;
	uint64_t id, next;
	unsigned int i;

	r = bk_hold(&t->b, t->p, PAGES(LENGTH), BELAY_PINNED, W);
	for (;;) {
		id = r.id;
		for (i = 0; i < KEPT; id = next ? next : id, i += !!next) {
			next = trim(&t->b, id, t->p + PAGES(i), PAGES(1), true);
			if (next)
				t->trims++;
		}
		for (i = LENGTH - 1; i > KEPT; id = next ? next : id, i -= !!next) {
			next = trim(&t->b, id, t->p + PAGES(i), PAGES(1), false);
			if (next)
				t->trims++;
		}
		if (__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
			break;
		/* The page is handed on, to what is then trimmed. */
		anchor = r;
		anchor.id = id;
		r = bk_hold(&t->b, t->p, PAGES(LENGTH), BELAY_PINNED, W);
		CHECK_OK(bk_unregister(t->b.fd, anchor.id));
	}
	CHECK_OK(bk_unregister(t->b.fd, id));
	return NULL;
}

TEST_TIMEOUT(handed_over, "a page that trimming hands from region to region is held all the time, for whoever asks", 60)
{
	struct trimmer t = { .stop = false };
	struct belay_select sel;
	pthread_t thread;
	unsigned int asked, times = bk_rounds(50000), i;
	struct bk_region first;
	char *others;
	double start;

	bk_begin(&t.b);
	t.p = bk_anon(PAGES(LENGTH), 1);
	others = bk_anon(PAGES(OTHERS), 1);
	first = bk_hold(&t.b, others, PAGES(1), BELAY_PINNED, W);
	for (i = 1; i < OTHERS; i++)
		bk_hold(&t.b, others + PAGES(i), PAGES(1), BELAY_PINNED, W);
	CHECK_OK(bk_unregister(t.b.fd, first.id));
	sel = *BY(.by = BELAY_SELECT_PHYS, .phys_addr = PAGES(bk_pfn(t.p + PAGES(KEPT))),
		  .phys_len = PAGES(1));
	CHECK_EQ(pthread_create(&thread, NULL, trimmer_run, &t), 0);
	CHECK_SOON(holds(t.b.ctl, &sel), 5);
	start = tap_now();
	for (asked = 0; asked < times; asked++)
		if (!holds(t.b.ctl, &sel))
			FAIL("not held, asked for the %uth time, after %u trims", asked, t.trims);
	tap_diag("%u trims in %.2f s", t.trims, tap_now() - start);
	CHECK_GT(t.trims, bk_rounds(200));
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	CHECK(!holds(t.b.ctl, &sel));
	bk_end(&t.b);
}

/* ---- bounded and killable ---------------------------------------------------------------- */

TEST(timeout, "it ends with ETIMEDOUT when the time is over, and names a region that still holds something")
{
	struct bk_region free_one, r;
	struct belay_ctl_wait w;
	double start;
	struct bk b;

	bk_begin(&b);
	free_one = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	r = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	CHECK_OK(bk_unregister(b.fd, free_one.id));
	start = tap_now();
	CHECK_EQ(wait_for(b.ctl, BY(0), SECOND / 5, &w), -ETIMEDOUT);
	CHECK(tap_now() - start >= 0.2);
	CHECK(tap_now() - start < 5);
	CHECK_EQ(w.session, b.session);
	CHECK_EQ(w.region, r.id);
	start = tap_now();
	CHECK_EQ(wait_for(b.ctl, BY(0), 0, &w), -ETIMEDOUT);
	CHECK(tap_now() - start < 5);
	CHECK_EQ(w.region, r.id);
	CHECK_EQ(wait_for(b.ctl, BY(0), 1, &w), -ETIMEDOUT);
	bk_end(&b);
}

/* Somebody registers and unregisters without end: that does not go on for ever. */
static void *churn_run(void *arg)
{
	struct trimmer *t = arg;
	struct bk_region r[2];

	CHECK_OK(bk_register(t->b.fd, t->p, PAGES(1), BELAY_PINNED, W, &r[0]));
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE)) {
		CHECK_OK(bk_register(t->b.fd, t->p + PAGES(1), PAGES(1), BELAY_PINNED, W, &r[1]));
		CHECK_OK(bk_unregister(t->b.fd, r[0].id));
		CHECK_OK(bk_register(t->b.fd, t->p, PAGES(1), BELAY_PINNED, W, &r[0]));
		CHECK_OK(bk_unregister(t->b.fd, r[1].id));
		t->trims++;
	}
	CHECK_OK(bk_unregister(t->b.fd, r[0].id));
	return NULL;
}

TEST(bounded, "it is bounded also while regions come and go without end, and each that it waited for goes")
{
	struct trimmer t = { .stop = false };
	pthread_t thread;
	double start;
	int err;

	bk_begin(&t.b);
	t.p = bk_anon(PAGES(2), 1);
	CHECK_EQ(pthread_create(&thread, NULL, churn_run, &t), 0);
	CHECK_SOON(t.trims > 10, 5);
	start = tap_now();
	err = wait_for(t.b.ctl, BY(0), SECOND / 2, NULL);
	CHECK(!err || err == -ETIMEDOUT);
	CHECK(tap_now() - start < 5);
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	bk_end(&t.b);
}

struct child {
	struct bk b;
	struct bk_steps *s;
	struct belay_select sel;
};

static volatile unsigned int signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

static void child_run(void *arg)
{
	/* Without SA_RESTART: a call that it ended would say EINTR. */
	struct sigaction act = { .sa_handler = count_signal };
	struct child *c = arg;

	CHECK_SYS(sigaction(SIGUSR1, &act, NULL));
	bk_step(c->s, 1);
	c->s->value[0] = -wait_for(c->b.ctl, &c->sel, BELAY_WAIT_MAX_NS, NULL);
	c->s->value[1] = signals;
	bk_step(c->s, 2);
}

static pid_t child_start(struct child *c)
{
	pid_t pid;

	c->s = bk_steps();
	pid = tap_spawn(child_run, c);
	bk_await(c->s, 1);
	/* Killable, which shows as D: it sleeps in the call. */
	CHECK_SOON(state_of(pid) == 'D', 5);
	return pid;
}

TEST(signals, "other signals do not end it")
{
	struct bk_region r;
	struct child c;
	pid_t pid;
	int i;

	bk_begin(&c.b);
	r = bk_hold(&c.b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	c.sel = *OF(&c.b, &r);
	pid = child_start(&c);
	for (i = 0; i < 20; i++) {
		kill(pid, SIGUSR1);
		usleep(5000);
	}
	CHECK_EQ(c.s->now, 1);
	CHECK_EQ(state_of(pid), 'D');
	CHECK_OK(bk_unregister(c.b.fd, r.id));
	tap_join(pid);
	CHECK_EQ(c.s->value[0], 0);
	/* They did arrive. */
	CHECK_GE(c.s->value[1], 1);
	bk_end(&c.b);
}

TEST(killed, "fatal signals end it: SIGKILL, and SIGTERM without a handler")
{
	static const int fatal[] = { SIGKILL, SIGTERM };
	struct bk_region r;
	struct child c;
	int i, status;
	pid_t pid;

	bk_begin(&c.b);
	r = bk_hold(&c.b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	c.sel = *OF(&c.b, &r);
	for (i = 0; i < 2; i++) {
		pid = child_start(&c);
		kill(pid, fatal[i]);
		CHECK(tap_wait(pid, 5, &status));
		CHECK(WIFSIGNALED(status));
		CHECK_EQ(WTERMSIG(status), fatal[i]);
	}
	/* It has left nothing behind that could be woken. */
	CHECK_OK(bk_unregister(c.b.fd, r.id));
	bk_end(&c.b);
}

/* ---- in nobody's way ------------------------------------------------------------------------ */

TEST(in_nobodys_way, "while somebody waits, everything else goes on: registering, listing, recalling, limits, grants, other waits")
{
	struct bk_region held, r;
	struct waiter w[3];
	unsigned int i;
	uint64_t account;
	struct bk b, me;

	bk_begin(&b);
	held = bk_hold(&b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	waiter_start(&w[0], BY(0));
	waiter_start(&w[1], OF(&b, &held));
	waiter_start(&w[2], BY(.by = BELAY_SELECT_PID, .pid = getpid()));
	CHECK(is_waiting(&w[0]));
	for (i = 0; i < 100; i++) {
		r = bk_hold(&b, bk_anon(PAGES(3), 1), PAGES(3), BELAY_PINNED, W);
		CHECK(bk_find_region(b.ctl, b.session, r.id, NULL));
		CHECK_OK(bk_recall(b.ctl, BELAY_CTL_RECALL, b.session, r.id, 1));
		CHECK_SYS(munmap(r.addr, PAGES(1)));
		CHECK_OK(bk_unregister(b.fd, r.id));
	}
	account = bk_account(b.ctl, b.account, 1, 1);
	CHECK_OK(bk_set_limit(b.ctl, account, 0, BELAY_UNLIMITED, BELAY_UNLIMITED));
	me = b;
	me.account = account;
	bk_join(&me, &me);
	bk_leave(&me);
	bk_remove_account(b.ctl, account);
	for (i = 0; i < 3; i++)
		CHECK(is_waiting(&w[i]));
	CHECK_OK(bk_unregister(b.fd, held.id));
	for (i = 0; i < 3; i++)
		waiter_ends(&w[i]);
	bk_end(&b);
}

TEST(refused, "too long a timeout and selections that nothing can fit are EINVAL; a session cannot wait")
{
	struct bk b;

	bk_begin(&b);
	CHECK_OK(wait_for(b.ctl, BY(0), BELAY_WAIT_MAX_NS, NULL));
	CHECK_EQ(wait_for(b.ctl, BY(0), BELAY_WAIT_MAX_NS + 1, NULL), -EINVAL);
	CHECK_EQ(wait_for(b.ctl, BY(0), ~0ULL, NULL), -EINVAL);
	CHECK_EQ(wait_for(b.ctl, BY(.by = BELAY_SELECT_PID), 0, NULL), -EINVAL);
	CHECK_EQ(wait_for(b.ctl, BY(.by = BELAY_SELECT_PHYS), 0, NULL), -EINVAL);
	CHECK_EQ(wait_for(b.ctl, BY(.by = 1U << 31), 0, NULL), -EOPNOTSUPP);
	CHECK_EQ(wait_for(b.fd, BY(0), 0, NULL), -ENOTTY);
	bk_end(&b);
}

TAP_MAIN()
