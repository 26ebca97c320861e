// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Batches of the largest size: others on the same processor get their turns, and who
 * is killed in the middle of one is gone soon and leaves nothing.
 */
#include <sched.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk_batch.h"
#include "tests/lib/tap.h"

#define PAGES(n)	((n) * BK_PAGE)
#define N	BELAY_MAX_BATCH

/* ---- others on the same processor --------------------------------------------------- */

struct neighbour {
	uint32_t stop, reset;
	uint64_t turns;		/* times that it ran again after a gap */
	double longest;
};

/* More than a look at the clock takes, less than any turn. */
#define GAP	500e-6

static void neighbour_run(void *arg)
{
	struct neighbour *n = arg;
	double before, now;

	bk_run_on_cpu(0);
	for (before = tap_now(); !__atomic_load_n(&n->stop, __ATOMIC_RELAXED); before = now) {
		now = tap_now();
		if (__atomic_exchange_n(&n->reset, 0, __ATOMIC_SEQ_CST)) {
			n->longest = 0;
			n->turns = 0;
			continue;
		}
		if (now - before > GAP)
			n->turns++;
		if (now - before > n->longest)
			n->longest = now - before;
	}
}

struct gap {
	double took, longest;
	uint64_t turns;
};

static struct gap measure(struct neighbour *n, struct bk_batches *d, unsigned long cmd)
{
	struct gap g;
	double start;

	__atomic_store_n(&n->reset, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&n->reset, __ATOMIC_SEQ_CST))
		sched_yield();
	start = tap_now();
	if (cmd)
		bk_batch_call_all(d, cmd);
	else
		/* The same without a kernel: what a fair scheduler makes of two. */
		while (tap_now() < start + 0.3)
			;
	g.took = tap_now() - start;
	/* It has the processor once more, and knows how long that took. */
	usleep(30000);
	g.longest = n->longest;
	g.turns = n->turns;
	return g;
}

static void learn_ids(struct bk_batches *d)
{
	unsigned int i;

	for (i = 0; i < N; i++) {
		bk_batch_expect(d, BELAY_REGISTER, i, 0);
		d->ids[i] = d->x->reg[i].region;
	}
}

static void expect_turns(struct neighbour *n, struct bk_batches *d, unsigned long cmd,
			 const char *name, unsigned int times)
{
	struct gap g, best = { .longest = 1e9 };

	/* The machine itself may be stopped for a while: not three times. */
	while (times--) {
		if (cmd)
			bk_batch_fill(d, cmd);
		g = measure(n, d, cmd);
		if (g.longest < best.longest)
			best = g;
		if (cmd == BELAY_REGISTER && times) {
			learn_ids(d);
			bk_batch_unregister(d);
		}
	}
	tap_diag("%s: %.1f ms, the neighbour had %llu turns, the longest gap was %.2f ms", name,
		 best.took * 1e3, (unsigned long long)best.turns, best.longest * 1e3);
	CHECK_GE(best.turns, 1);
	CHECK_LT(best.longest * 1e3, tap_limit(100));
}

TEST_TIMEOUT(neighbour, "while a batch of 16,384 runs, an ordinary task on the same processor gets its turns: no gap of 100 ms", 120)
{
	struct neighbour *n = bk_shared(sizeof(*n));
	struct bk_batches d;
	pid_t pid;

	bk_batches_begin(&d);
	bk_run_on_cpu(0);
	pid = tap_spawn(neighbour_run, n);
	expect_turns(n, &d, 0, "a loop in user space", 3);
	expect_turns(n, &d, BELAY_REGISTER, "REGISTER", 3);
	learn_ids(&d);
	expect_turns(n, &d, BELAY_CHECK, "CHECK", 3);
	expect_turns(n, &d, BELAY_CTL_RECALL, "RECALL", 3);
	expect_turns(n, &d, BELAY_UNREGISTER, "UNREGISTER", 1);
	bk_batch_register(&d, BELAY_TRACKED);
	expect_turns(n, &d, BELAY_COMMIT, "COMMIT", 1);
	bk_batch_unregister(&d);
	bk_batch_register(&d, BELAY_PINNED);
	expect_turns(n, &d, BELAY_CTL_RELEASE, "RELEASE", 1);
	n->stop = 1;
	tap_join(pid);
	bk_batches_end(&d);
}

/* ---- killed in the middle ------------------------------------------------------------ */

struct victim {
	struct bk parent;
	struct bk_batch *x;
	uint64_t *ids;
	unsigned long cmd;
	uint32_t prepare;	/* kind to register first, 0: none */
	uint32_t going;
};

static void victim_run(void *arg)
{
	struct victim *v = arg;
	struct bk_batches d = { .x = v->x, .ids = v->ids };

	bk_join(&d.b, &v->parent);
	d.p = bk_anon(PAGES(N), 1);
	if (v->prepare)
		bk_batch_register(&d, v->prepare);
	for (;;) {
		bk_batch_fill(&d, v->cmd);
		__atomic_add_fetch(&v->going, 1, __ATOMIC_SEQ_CST);
		CHECK_OK(bk_batch_call(&d, v->cmd, N));
		/* What can be done only once is begun anew. */
		if (v->cmd == BELAY_REGISTER) {
			learn_ids(&d);
			bk_batch_unregister(&d);
		} else if (v->cmd == BELAY_UNREGISTER) {
			bk_batch_register(&d, v->prepare);
		} else if (v->cmd == BELAY_COMMIT) {
			bk_batch_unregister(&d);
			bk_batch_register(&d, v->prepare);
		}
	}
}

/* Has the position that the call had come to, 0 if it was not in it. */
static unsigned int kill_one(struct victim *v, uint32_t *seed, double *ret_gone, double *ret_empty)
{
	unsigned int i, done;
	double start;
	int status;
	pid_t pid;

	v->going = 0;
	pid = tap_spawn(victim_run, v);
	while (!__atomic_load_n(&v->going, __ATOMIC_SEQ_CST)) {
		CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
		usleep(100);
	}
	usleep(bk_random(seed) % 40000);
	start = tap_now();
	kill(pid, SIGKILL);
	CHECK(tap_wait(pid, 10, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	*ret_gone = tap_now() - start;
	while (bk_sysfs("regions") || bk_sysfs("pinned_bytes") || bk_sysfs("charged_bytes"))
		CHECK_LT(tap_now() - start, 10);
	*ret_empty = tap_now() - start;
	bk_drain_events(v->parent.ctl);
	/* In the middle: what is done has its status, and nothing after it has one. */
	done = v->x->arg.done;
	if (v->x->cmd != v->cmd || !done || done >= N)
		return 0;
	for (i = 0; i < N; i++) {
		struct bk_batches d = { .x = v->x };
		int s = bk_batch_status(&d, v->cmd, i);

		/* The last one was being done when the signal came. */
		if (i + 1 == done && s == -EINTR)
			continue;
		if (i < done ? s != 0 : s != BK_UNTOUCHED)
			FAIL("killed after %u entries, but entry %u has %d", done, i, s);
	}
	return done;
}

static void killed(unsigned long cmd, const char *name, uint32_t prepare)
{
	double gone, empty, worst_gone = 0, worst_empty = 0;
	unsigned int tries, done = 0, in_it = 0;
	uint32_t seed = bk_seed();
	struct victim *v = bk_shared(sizeof(*v));

	memset(v, 0, sizeof(*v));
	v->x = bk_shared(sizeof(*v->x));
	v->ids = bk_shared(N * sizeof(*v->ids));
	v->cmd = cmd;
	v->prepare = prepare;
	bk_begin(&v->parent);
	for (tries = 0; tries < 40 && in_it < 3; tries++) {
		unsigned int at = kill_one(v, &seed, &gone, &empty);

		if (at) {
			in_it++;
			done = at;
		}
		worst_gone = gone > worst_gone ? gone : worst_gone;
		worst_empty = empty > worst_empty ? empty : worst_empty;
	}
	tap_diag("%s: killed %u times, %u times in the middle (the last one after %u of %u); gone after at most %.0f ms, nothing held after %.0f ms",
		 name, tries, in_it, done, N, worst_gone * 1e3, worst_empty * 1e3);
	CHECK_GE(in_it, 3);
	CHECK_LT(worst_empty, tap_limit(5));
	bk_end(&v->parent);
}

TEST_TIMEOUT(killed_register, "killed in the middle of REGISTER: gone soon, nothing stays", 120)
{
	killed(BELAY_REGISTER, "REGISTER", 0);
}

TEST_TIMEOUT(killed_unregister, "killed in the middle of UNREGISTER: gone soon, nothing stays", 120)
{
	killed(BELAY_UNREGISTER, "UNREGISTER", BELAY_PINNED);
}

TEST_TIMEOUT(killed_check, "killed in the middle of CHECK: gone soon, nothing stays", 120)
{
	killed(BELAY_CHECK, "CHECK", BELAY_PINNED);
}

TEST_TIMEOUT(killed_commit, "killed in the middle of COMMIT: gone soon, nothing stays", 120)
{
	killed(BELAY_COMMIT, "COMMIT", BELAY_TRACKED);
}

/* ---- the policy owner killed ---------------------------------------------------------- */

struct owner {
	struct bk_batches d;
	uint32_t going;
};

static void owner_run(void *arg)
{
	struct owner *o = arg;

	o->d.b.ctl = bk_open_control();
	bk_batch_fill(&o->d, BELAY_CTL_RECALL);
	__atomic_store_n(&o->going, 1, __ATOMIC_SEQ_CST);
	bk_batch_call(&o->d, BELAY_CTL_RECALL, N);
	pause();
}

/* Has the number of entries that it came to. */
static unsigned int kill_owner(struct owner *o, uint32_t *seed)
{
	uint32_t word;
	unsigned int i;
	int status;
	pid_t pid;

	o->going = 0;
	close(o->d.b.ctl);
	pid = tap_spawn(owner_run, o);
	while (!__atomic_load_n(&o->going, __ATOMIC_SEQ_CST))
		usleep(100);
	usleep(bk_random(seed) % 15000);
	kill(pid, SIGKILL);
	CHECK(tap_wait(pid, 10, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* The next owner finds it free. */
	o->d.b.ctl = bk_open_control();
	for (i = 0; i < N; i++) {
		word = (uint32_t)o->d.b.words[o->d.ids[i] % BELAY_WORDS_MAX];
		if (word != (i < o->d.x->arg.done ? BELAY_WORD_RECALLED : 0))
			FAIL("killed after %u entries, but the word of entry %u is %#x",
			     o->d.x->arg.done, i, word);
	}
	return o->d.x->arg.done;
}

TEST_TIMEOUT(killed_owner, "the policy owner is killed in the middle of RECALL: what it came to is recalled, the rest is not, the next owner goes on", 120)
{
	struct owner *o = bk_shared(sizeof(*o));
	unsigned int tries, done, in_it = 0;
	uint32_t seed = bk_seed();

	bk_batches_begin(&o->d);
	for (tries = 0; tries < 40 && in_it < 3; tries++) {
		bk_batch_register(&o->d, BELAY_PINNED);
		done = kill_owner(o, &seed);
		in_it += done && done < N;
		/* All of it, now. */
		bk_batch_fill(&o->d, BELAY_CTL_RECALL);
		bk_batch_call_all(&o->d, BELAY_CTL_RECALL);
		bk_batch_unregister(&o->d);
		bk_drain_events(o->d.b.ctl);
	}
	tap_diag("killed %u times, %u times in the middle", tries, in_it);
	CHECK_GE(in_it, 3);
	bk_batches_end(&o->d);
}

TAP_MAIN()
