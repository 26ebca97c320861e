// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * For a third of $MINUTES, processes that call every command on every kind of file,
 * rightly and wrongly, with threads that share the files and one policy owner's file for
 * all; that hand sessions to each other, map and unmap what the arguments point to, and
 * are killed (ioctl_fuzz.h says what is where).
 *
 * It passes if nothing is said that belay(4) and the header do not document, what is
 * wrong is refused and what is right accepted, nobody hangs, no account holds more than
 * its limit, and nothing is left when all have ended; and if the kernel has not
 * complained, which the test runner sees. BELAY_SEED=N chooses the same again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

#define MiB	(1ULL << 20)
#define ROWS	256
/* What takes longer hangs: the longest waits are milliseconds. */
#define HANGS	60

#define U(n)	((unsigned long long)(n))

struct fuzz {
	struct fuzz_shared *s;
	uint32_t seed;
	int keepers[FUZZ_FIRM];		/* that the firm accounts cannot be removed */
	pid_t pids[FUZZ_PROCESSES];
	bool killed[FUZZ_PROCESSES];
	unsigned int lives, kills, looks;
	uint64_t most[FUZZ_FIRM];	/* bytes that were held */
	int64_t pins;
};

/* ---- processes ------------------------------------------------------------------------------- */

static void start(struct fuzz *f, unsigned int i)
{
	/* Where everything takes long, forking takes longest: lives are longer there. */
	double seconds = (2 + bk_random(&f->seed) % 10) * (bk_is_slow() ? 3 : 1);
	pid_t parent = getpid();

	__atomic_store_n(&f->s->processes[i].pid, 0, __ATOMIC_RELEASE);
	memset(f->s->processes[i].threads, 0, sizeof(f->s->processes[i].threads));
	__atomic_add_fetch(&f->s->processes[i].life, 1, __ATOMIC_ACQ_REL);
	f->killed[i] = false;
	f->lives++;
	fflush(stdout);
	f->pids[i] = CHECK_SYS(fork());
	if (f->pids[i])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		fuzz_process(f->s, i, seconds);
	fflush(stdout);
	_exit(0);
}

/* True: it has ended, as it should. */
static bool reap(struct fuzz *f, unsigned int i)
{
	int status;

	if (!f->pids[i] || waitpid(f->pids[i], &status, WNOHANG) != f->pids[i])
		return false;
	if (status && !(f->killed[i] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		FAIL("process %u, life %u, ended with status %#x", i, f->s->processes[i].life, status);
	f->pids[i] = 0;
	return true;
}

/* Nobody is in one call for longer than calls take. */
static void look_for_hanging(struct fuzz *f)
{
	unsigned int i, j;
	double since;

	for (i = 0; i < FUZZ_PROCESSES; i++)
		for (j = 0; f->pids[i] && j < FUZZ_THREADS; j++) {
			since = f->s->processes[i].threads[j].since;
			if (!since || tap_now() - since < tap_limit(HANGS))
				continue;
			tap_where(f->s->processes[i].threads[j].tid);
			FAIL("seed %u, process %u, life %u, thread %u, step %llu: %s hangs", f->s->seed, i,
			     f->s->processes[i].life, j, U(f->s->processes[i].threads[j].step),
			     f->s->processes[i].threads[j].doing);
		}
}

/* ---- accounts --------------------------------------------------------------------------------- */

static bool is_known(struct fuzz *f, uint64_t account)
{
	unsigned int i;

	for (i = 0; i < FUZZ_LOOSE; i++)
		if (f->s->loose[i] == account)
			return true;
	return false;
}

/* The firm ones keep their limits; those that nobody has heard of go again. */
static void look_at_account(struct fuzz *f, const struct belay_account_row *row)
{
	struct belay_ctl_id id = { .size = sizeof(id), .id = row->account };
	unsigned int i;

	for (i = 0; i < FUZZ_FIRM; i++) {
		if (row->account != f->s->firm[i].account)
			continue;
		CHECK_EQ(row->limit_bytes, f->s->firm[i].limit_bytes);
		CHECK_EQ(row->limit_regions, f->s->firm[i].limit_regions);
		CHECK(row->usage_bytes <= row->limit_bytes);
		CHECK(row->usage_regions <= row->limit_regions);
		if (row->usage_bytes > f->most[i])
			f->most[i] = row->usage_bytes;
		f->looks++;
		return;
	}
	if (!is_known(f, row->account))
		bk_ioctl(f->s->ctl, BELAY_CTL_ACCOUNT_REMOVE, &id);
}

static void look_at_accounts(struct fuzz *f)
{
	static struct belay_account_row rows[ROWS];
	unsigned int i, j, n;
	uint64_t id;

	n = bk_list(f->s->reader, BELAY_LIST_ACCOUNTS, rows, sizeof(rows[0]), ROWS, 0, 0);
	CHECK_LT(n, ROWS);
	for (i = 0; i < n; i++)
		look_at_account(f, &rows[i]);
	/* Removed by one who did not hear that it succeeded. */
	for (i = 0; i < FUZZ_LOOSE; i++) {
		id = f->s->loose[i];
		for (j = 0; j < n && rows[j].account != id; j++)
			;
		if (j == n)
			__atomic_compare_exchange_n(&f->s->loose[i], &id, 0, false,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	}
}

static void make_firm(struct fuzz *f)
{
	static const struct {
		int below;
		uint64_t bytes, regions;
	} firm[FUZZ_FIRM] = {
		{ -1, 24 * MiB, 1000 }, { 0, 6 * MiB, BELAY_UNLIMITED },
		{ -1, BELAY_UNLIMITED, 40 }, { 1, 2 * MiB, 100 },
	};
	unsigned int i;

	/* Not with the first ids, which are often tried. */
	for (i = 0; i < 8; i++)
		bk_remove_account(f->s->ctl, bk_account(f->s->ctl, 0, 0, 0));
	for (i = 0; i < FUZZ_FIRM; i++) {
		f->s->firm[i] = (struct belay_level){
			.account = bk_account(f->s->ctl, firm[i].below < 0 ? 0 :
					      f->s->firm[firm[i].below].account,
					      firm[i].bytes, firm[i].regions),
			.limit_bytes = firm[i].bytes, .limit_regions = firm[i].regions,
		};
		f->keepers[i] = bk_grant(f->s->ctl, f->s->firm[i].account, getpid(),
					 BELAY_UNLIMITED, BELAY_UNLIMITED, NULL);
	}
}

/* ---- from the beginning to the end --------------------------------------------------------------- */

static void begin(struct fuzz *f)
{
	static const enum bk_kind kinds[] = { BK_MEMFD, BK_TMPFS, BK_HUGE_MEMFD, BK_PRIVATE_FILE };
	struct fuzz_shared *s;
	unsigned int i;
	int pair[2];

	s = f->s = CHECK_SYS(mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	s->seed = f->seed;
	bk_hugepages(24);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		s->files[kinds[i]] = bk_file(kinds[i], 2 * BK_HUGE);
	for (i = 0; i < FUZZ_PROCESSES; i++) {
		CHECK_SYS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
		s->send[i] = pair[0];
		s->receive[i] = pair[1];
	}
	f->pins = bk_pins();
	s->ctl = bk_open_control();
	s->reader = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	bk_sweep(s->ctl);
	bk_expect_empty();
	make_firm(f);
	for (i = 0; i < FUZZ_PROCESSES; i++)
		start(f, i);
}

static void report(struct fuzz *f, double left)
{
	uint64_t calls = 0, accepted = 0, refused = 0, acted = 0;
	unsigned int i, e;

	for (i = 0; i < FUZZ_COMMANDS; i++) {
		accepted += f->s->count[i].accepted;
		refused += f->s->count[i].refused;
		for (e = 0; e < FUZZ_ERRNOS; e++)
			calls += f->s->count[i].said[e];
	}
	for (i = 0; i < FUZZ_ACTS; i++)
		acted += f->s->acted[i];
	tap_diag("%4.0f s left; %llu calls, %llu intact and accepted, %llu broken and refused; "
		 "%llu acts, %u lives, %u killed", left, U(calls), U(accepted), U(refused), U(acted),
		 f->lives, f->kills);
}

static void go_on(struct fuzz *f, double ends)
{
	double next = 0, now;
	unsigned int i;

	while ((now = tap_now()) < ends) {
		if (now > next) {
			report(f, ends - now);
			next = now + 30;
		}
		for (i = 0; i < FUZZ_PROCESSES; i++)
			if (reap(f, i))
				start(f, i);
		i = bk_random(&f->seed) % ((bk_is_slow() ? 200 : 100) * FUZZ_PROCESSES);
		if (i < FUZZ_PROCESSES && !f->killed[i]) {
			f->killed[i] = true;
			f->kills++;
			kill(f->pids[i], SIGKILL);
		}
		look_for_hanging(f);
		look_at_accounts(f);
		usleep(20000);
	}
	report(f, 0);
}

static void end(struct fuzz *f)
{
	unsigned int i, left;

	__atomic_store_n(&f->s->over, true, __ATOMIC_RELAXED);
	do {
		for (i = 0, left = 0; i < FUZZ_PROCESSES; i++) {
			reap(f, i);
			left += f->pids[i] > 0;
		}
		look_for_hanging(f);
		usleep(2000);
	} while (left);
	/* With all that was sent and not received. */
	for (i = 0; i < FUZZ_PROCESSES; i++) {
		close(f->s->send[i]);
		close(f->s->receive[i]);
	}
	CHECK_SOON(bk_sysfs("sessions") == FUZZ_FIRM, 20);
	CHECK_SOON(!bk_sysfs("regions") && !bk_sysfs("charged_bytes"), 20);
	CHECK_EQ(bk_sysfs("grants"), FUZZ_FIRM);
	for (i = 0; i < FUZZ_FIRM; i++)
		close(f->keepers[i]);
	bk_sweep(f->s->ctl);
	bk_expect_empty();
	CHECK_SOON(bk_pins() == f->pins, 20);
	close(f->s->ctl);
	close(f->s->reader);
}

/* ---- was it so? ---------------------------------------------------------------------------------------- */

/* " NAME TIMES" of each errno. */
static void list_errnos(char *text, size_t room, const uint64_t *said)
{
	size_t len = 0;
	unsigned int e;

	text[0] = 0;
	for (e = 1; e < FUZZ_ERRNOS; e++)
		if (said[e] && len < room)
			len += snprintf(text + len, room - len, " %s %llu", strerrorname_np(e), U(said[e]));
}

static void judge_command(const struct fuzz_command *c, const struct fuzz_count *n)
{
	char said[512], status[512];

	list_errnos(said, sizeof(said), n->said);
	list_errnos(status, sizeof(status), n->status);
	tap_diag("%s: intact: %llu accepted, %llu not; broken: %llu refused, %llu not; raced: %llu",
		 c->name, U(n->accepted), U(n->told), U(n->refused), U(n->passed), U(n->raced));
	tap_diag("   calls: 0 %llu%s", U(n->said[0]), said);
	if (c->status >= 0)
		tap_diag("   entries: 0 %llu%s", U(n->status[0]), status);
	CHECK_GT(n->refused, 0);
	/* What is right is often enough done, too. */
	CHECK_GT(n->accepted, 0);
	CHECK_GE(n->accepted, n->told / 20);
}

static void judge(struct fuzz *f)
{
	const struct fuzz_shared *s = f->s;
	unsigned int i;

	for (i = 0; i < FUZZ_COMMANDS; i++)
		judge_command(&fuzz_commands[i], &s->count[i]);
	for (i = 0; i < FUZZ_BREAKS; i++) {
		tap_diag("broken: %s: %llu", fuzz_break_name(i), U(s->broken[i]));
		CHECK_GT(s->broken[i], 0);
	}
	for (i = 0; i < FUZZ_ACTS; i++) {
		tap_diag("done: %s: %llu", fuzz_act_name(i), U(s->acted[i]));
		CHECK_GT(s->acted[i], 0);
	}
	tap_diag("handed over: %llu, received: %llu; firm limits: looked at %llu and %u times, refused %llu",
		 U(s->sent), U(s->received), U(s->firm_seen), f->looks, U(s->firm_refused));
	tap_diag("put where it moves: %llu, words read: %llu", U(s->put), U(s->words_read));
	CHECK_GT(s->received, 0);
	CHECK_GT(s->put, 0);
	CHECK_GT(s->words_read, 0);
	CHECK_GT(s->firm_seen, 0);
	CHECK_GT(s->firm_refused, 0);
	CHECK_GT(f->looks, 0);
	for (i = 0; i < FUZZ_FIRM; i++) {
		tap_diag("account %llu held at most %llu KiB", U(s->firm[i].account), U(f->most[i] >> 10));
		CHECK_GT(f->most[i], 0);
	}
	CHECK_GT(f->kills, 0);
	CHECK_GT(f->lives, f->kills + FUZZ_PROCESSES);
}

TEST_TIMEOUT(ioctl_fuzz, "whatever processes say to the module, it answers as documented, holds its limits and leaves nothing", 7 * 24 * 3600)
{
	const char *text = getenv("MINUTES");
	/* The storm has to wait for things to happen; calls are made by the thousand. */
	unsigned int minutes = ((text ? atoi(text) : 2) + 2) / 3;
	struct fuzz f = { .seed = bk_seed() };

	CHECK_GT(minutes, 0);
	begin(&f);
	go_on(&f, tap_now() + 60.0 * minutes);
	end(&f);
	judge(&f);
}

TAP_MAIN()
