// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Nobody is held up: what munmap() and truncation take when the holder of the
 * memory, or the policy owner, has been stopped, beside what they take without
 * belay; in one run, turn about. The machine is emulated and shared: a run that is
 * over the bar is repeated, at most twice, and every run's figures are shown.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define ROUNDS	120
#define LEN	(1UL << 20)
#define RUNS	3

#define BAR_MEDIAN	1.2
#define BAR_P99		2.0

struct times {
	double with[ROUNDS], without[ROUNDS];
};

/* True when the run is within the bar. */
static bool judge(const char *what, struct times *t)
{
	double median = bk_median(t->with, ROUNDS) / bk_median(t->without, ROUNDS);
	double p99 = bk_percentile99(t->with, ROUNDS) / bk_percentile99(t->without, ROUNDS);

	tap_diag("%s: median %.0f us, without belay %.0f us (%.2f); p99 %.0f us, %.0f us (%.2f)",
		 what, 1e6 * bk_median(t->with, ROUNDS), 1e6 * bk_median(t->without, ROUNDS),
		 median, 1e6 * bk_percentile99(t->with, ROUNDS),
		 1e6 * bk_percentile99(t->without, ROUNDS), p99);
	return median <= BAR_MEDIAN && p99 <= BAR_P99;
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

static void stop(pid_t pid)
{
	CHECK_SYS(kill(pid, SIGSTOP));
	CHECK_SOON(state_of(pid) == 'T', 5);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- the client is stopped; somebody else works on the file ------------------------- */

struct client {
	struct bk b;
	struct bk_steps *s;
	int with[ROUNDS], without[ROUNDS];
};

/* Maps both kinds of file, registers one kind. */
static void client_run(void *arg)
{
	struct client *c = arg;
	struct bk me;
	unsigned int i;
	char *p;

	bk_join(&me, &c->b);
	for (i = 0; i < ROUNDS; i++) {
		p = bk_map_file(BK_MEMFD, c->with[i], NULL, LEN, 0);
		memset(p, 1, LEN);
		bk_hold(&me, p, LEN, BELAY_PINNED, W);
		p = bk_map_file(BK_MEMFD, c->without[i], NULL, LEN, 0);
		memset(p, 1, LEN);
	}
	bk_step(c->s, 1);
	pause();
}

static double time_file(int fd, bool punch)
{
	double start = tap_now();

	if (punch)
		CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, LEN));
	else
		CHECK_SYS(ftruncate(fd, 0));
	return tap_now() - start;
}

static bool stopped_client(bool punch)
{
	static struct client c;
	static struct times t;
	uint64_t seen = bk_seen("seen_clear");
	unsigned int i;
	pid_t pid;
	bool ok;

	bk_begin(&c.b);
	c.s = bk_steps();
	for (i = 0; i < ROUNDS; i++) {
		c.with[i] = bk_file(BK_MEMFD, LEN);
		c.without[i] = bk_file(BK_MEMFD, LEN);
	}
	pid = tap_spawn(client_run, &c);
	bk_await(c.s, 1);
	stop(pid);
	for (i = 0; i < ROUNDS; i++) {
		if (i % 2)
			t.without[i] = time_file(c.without[i], punch);
		t.with[i] = time_file(c.with[i], punch);
		if (!(i % 2))
			t.without[i] = time_file(c.without[i], punch);
	}
	CHECK_EQ(state_of(pid), 'T');
	CHECK_GE(bk_seen("seen_clear") - seen, ROUNDS);
	ok = judge(punch ? "punch hole, holder stopped" : "truncate, holder stopped", &t);
	end(pid);
	for (i = 0; i < ROUNDS; i++) {
		close(c.with[i]);
		close(c.without[i]);
	}
	bk_end(&c.b);
	return ok;
}

TEST_TIMEOUT(truncate_client_stopped, "truncation takes no longer because the holder of the file's pages is stopped", 90)
{
	int run;

	for (run = 0; run < RUNS; run++)
		if (stopped_client(false))
			return;
	FAIL("over the bar %d times", RUNS);
}

TEST_TIMEOUT(punch_client_stopped, "punching a hole takes no longer because the holder of the pages is stopped", 90)
{
	int run;

	for (run = 0; run < RUNS; run++)
		if (stopped_client(true))
			return;
	FAIL("over the bar %d times", RUNS);
}

/* ---- the policy owner is stopped ------------------------------------------------------ */

struct owner {
	struct bk_steps *s;
	pid_t client;
};

static void owner_run(void *arg)
{
	struct owner *o = arg;
	struct belay_ctl_grant g;
	uint64_t account;
	int ctl;

	ctl = bk_open_control();
	bk_sweep(ctl);
	account = bk_account(ctl, 0, BELAY_UNLIMITED, BELAY_UNLIMITED);
	bk_grant(ctl, account, o->client, BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	o->s->value[0] = g.fd;
	bk_step(o->s, 1);
	bk_await(o->s, 2);
	bk_remove_account(ctl, account);
}

static double time_munmap(char *p)
{
	double start = tap_now();

	CHECK_SYS(munmap(p, LEN));
	return tap_now() - start;
}

static bool stopped_owner(enum bk_kind kind)
{
	struct owner o = { bk_steps(), getpid() };
	uint64_t seen = bk_seen("seen_unmap");
	struct bk_memory with, without;
	struct bk b = { .ctl = -1 };
	struct bk_region r;
	struct times t;
	unsigned int i;
	pid_t pid;
	bool ok;

	pid = tap_spawn(owner_run, &o);
	bk_await(o.s, 1);
	b.fd = bk_steal_fd(pid, o.s->value[0]);
	b.words = bk_words(b.fd);
	stop(pid);
	for (i = 0; i < ROUNDS; i++) {
		bk_map(&with, kind, LEN);
		bk_map(&without, kind, LEN);
		r = bk_hold(&b, with.addr, LEN, BELAY_PINNED, W);
		if (i % 2)
			t.without[i] = time_munmap(without.addr);
		t.with[i] = time_munmap(with.addr);
		if (!(i % 2))
			t.without[i] = time_munmap(without.addr);
		CHECK(!bk_valid(&b, &r));
		if (kind == BK_MEMFD) {
			close(with.fd);
			close(without.fd);
		}
	}
	CHECK_EQ(state_of(pid), 'T');
	CHECK_GE(bk_seen("seen_unmap") - seen, ROUNDS);
	ok = judge(kind == BK_ANON ? "munmap, policy owner stopped" :
		   "munmap of a memfd, policy owner stopped", &t);
	/* 120 losses that nobody has read, and nothing held. */
	CHECK_SOON(!bk_vm_pin(), 5);
	CHECK_SYS(kill(pid, SIGCONT));
	bk_leave(&b);
	/* The copy that it made the grant with is its own. */
	bk_step(o.s, 2);
	end(pid);
	bk_begin(&b);
	bk_end(&b);
	return ok;
}

TEST_TIMEOUT(munmap_owner_stopped, "munmap takes no longer because the policy owner is stopped", 90)
{
	int run;

	for (run = 0; run < RUNS; run++)
		if (stopped_owner(BK_ANON))
			break;
	if (run == RUNS)
		FAIL("over the bar %d times", RUNS);
	for (run = 0; run < RUNS; run++)
		if (stopped_owner(BK_MEMFD))
			return;
	FAIL("over the bar %d times", RUNS);
}

TAP_MAIN()
