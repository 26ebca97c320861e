/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* RLIMIT_MEMLOCK of processes with grants: raised, put back, inherited, another's. */
#include "tests/unit/daemon_client.h"

TEST(memlock, "RLIMIT_MEMLOCK is raised to what the grant allows, and put back at its end")
{
	struct rlimit rl, mine = { 65536, 1 << 20 };
	uint64_t session;
	pid_t pid;
	int i;

	start();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.said |= BL_SAYS_BYTES;
	m->policy->fallback.user.bytes = 512 << 10;
	pid = tap_spawn(sleeper, NULL);
	for (i = 0; i < 1000 && m->ledger.n_grants < 1; i++, usleep(1000))
		pump();
	session = fake.sessions[0].id;
	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 512 << 10);
	CHECK_EQ(rl.rlim_max, 1 << 20);
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 65536);
	CHECK_EQ(rl.rlim_max, 1 << 20);
	CHECK_EQ(m->ledger.n_grants, 0);
	kill(pid, SIGKILL);
	stop();
}

static uint64_t soft_limit(void)
{
	struct rlimit rl;

	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	return rl.rlim_cur;
}

/* A daemon that allows 512 KiB to processes that come with 64 KiB. */
static void start_with_limits(void)
{
	start();
	m->policy->fallback.said |= BL_SAYS_BYTES;
	m->policy->fallback.user.bytes = 512 << 10;
}

TEST(memlock_again, "the late end of a first grant takes nothing from a second one, also after a restart")
{
	struct rlimit mine = { 65536, 1 << 20 };
	uint64_t first, second;
	int fd, round;

	for (round = 0; round < 2; round++) {
		CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
		start_with_limits();
		fd = client(1000, &first, NULL);
		CHECK_EQ(soft_limit(), 512 << 10);
		close(fd);
		first = fake_grant_of(&fake, first)->grant;
		/* It ends, and nobody reads of it yet. */
		if (round) {
			stop();
			fake_end_grant(&fake, first);
			start_with_limits();
			CHECK_OK(bl_accounts_apply(m));
		} else {
			fake_end_grant(&fake, first);
		}
		event_del(&m->ev_device);
		fd = client(1000, &second, NULL);
		second = fake_grant_of(&fake, second)->grant;
		CHECK_NE(first, second);
		CHECK_EQ(bl_ledger_grant(&m->ledger, second)->process->memlock_soft, 65536);
		event_add(&m->ev_device, NULL);
		pump();
		CHECK_EQ(fake_pending(&fake), 0);
		CHECK_EQ(soft_limit(), 512 << 10);
		CHECK(!bl_ledger_grant(&m->ledger, first));
		fake_end_grant(&fake, second);
		pump();
		CHECK_EQ(soft_limit(), 65536);
		CHECK_EQ(m->ledger.n_grants, 0);
		stop();
		close(fd);
	}
}

TEST(memlock_halfway, "what a daemon that was killed while lowering limits has left is lowered by the next")
{
	struct rlimit mine = { 65536, 1 << 20 }, rl;
	uint64_t session;
	int fd;

	start_with_limits();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	fd = client(1000, &session, NULL);
	CHECK_EQ(soft_limit(), 512 << 10);
	stop();
	fake_grant_of(&fake, session)->limit_bytes = 128 << 10;
	fake_account(&fake, fake_grant_of(&fake, session)->account)->limit_bytes = 128 << 10;
	start();
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_EQ(rl.rlim_cur, 65536);
	CHECK_EQ(rl.rlim_max, 1 << 20);
	stop();
	close(fd);
}

TEST(memlock_lowered, "a lowered limit reaches a process that has changed its own a little")
{
	struct rlimit mine = { 65536, 1 << 20 }, rl;
	int fd;

	start_with_limits();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	fd = client(1000, NULL, NULL);
	CHECK_EQ(soft_limit(), 512 << 10);
	mine.rlim_cur = (512 << 10) - 4096;
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.user.bytes = 128 << 10;
	CHECK_OK(bl_accounts_apply(m));
	CHECK_SYS(getrlimit(RLIMIT_MEMLOCK, &rl));
	CHECK_EQ(rl.rlim_cur, 128 << 10);
	CHECK_EQ(rl.rlim_max, 1 << 20);		/* as it came */
	/* Raised again: it is its own doing that it has less. */
	mine.rlim_cur = 4096;
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.user.bytes = 256 << 10;
	CHECK_OK(bl_accounts_apply(m));
	CHECK_EQ(soft_limit(), 4096);
	stop();
	close(fd);
}

TEST(memlock_inherited, "a child that has inherited a raised limit is known by what its parent came with")
{
	struct rlimit mine = { 65536, 1 << 20 };
	struct bl_grant_record *g;
	pid_t pid;
	int i;

	start_with_limits();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	client(getuid(), NULL, NULL);
	CHECK_EQ(soft_limit(), 512 << 10);
	pid = tap_spawn(sleeper, NULL);
	for (i = 0; i < 1000 && m->ledger.n_grants < 2; i++, usleep(1000))
		pump();
	CHECK_EQ(m->ledger.n_grants, 2);
	g = TAILQ_LAST(&m->ledger.grants, bl_grants);
	CHECK_EQ(g->pid, pid);
	CHECK_EQ(g->process->memlock_soft, 65536);
	CHECK_EQ(g->account->memlock_bytes, 65536);
	kill(pid, SIGKILL);
	stop();
}

static void wait_for_grants(unsigned int n)
{
	int i;

	for (i = 0; i < 1000 && m->ledger.n_grants < n; i++, usleep(1000))
		pump();
	CHECK_EQ(m->ledger.n_grants, n);
}

static uint64_t soft_limit_of(pid_t pid)
{
	struct rlimit rl;

	CHECK_SYS(prlimit(pid, RLIMIT_MEMLOCK, NULL, &rl));
	return rl.rlim_cur;
}

TEST(memlock_after, "a child that outlives its parent's grant is known by what its parent came with")
{
	struct rlimit mine = { 65536, 1 << 20 };
	struct bl_grant_record *g;
	int ready[2], round;
	uint64_t session;
	pid_t pid;
	char c;

	for (round = 0; round < 2; round++) {
		start_with_limits();
		CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
		CHECK_SYS(pipe(ready));
		client(getuid(), &session, NULL);
		fflush(stdout);
		pid = CHECK_SYS(fork());
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			CHECK_EQ(read(ready[0], &c, 1), 1);
			sleeper(NULL);
		}
		if (round) {		/* a daemon that is new, too */
			stop();
			start_with_limits();
		}
		CHECK_EQ(soft_limit_of(pid), 512 << 10);
		fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
		pump();
		CHECK_EQ(soft_limit(), 65536);
		CHECK_EQ(m->ledger.n_grants, 0);
		CHECK_EQ(write(ready[1], "", 1), 1);
		wait_for_grants(1);
		g = TAILQ_FIRST(&m->ledger.grants);
		CHECK_EQ(g->pid, pid);
		CHECK_EQ(g->process->memlock_soft, 65536);
		fake_end_grant(&fake, g->id);
		pump();
		CHECK_EQ(soft_limit_of(pid), 65536);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		stop();
	}
}

static void sleeper_with_less(void *arg)
{
	const struct rlimit mine = { 65536, 1 << 20 };

	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	sleeper(NULL);
}

TEST(memlock_own, "another process of the user with the same limit keeps it, hard limit included")
{
	struct rlimit own = { 512 << 10, 2 << 20 }, rl;
	pid_t first, other;

	start_with_limits();
	first = tap_spawn(sleeper_with_less, NULL);
	wait_for_grants(1);
	CHECK_EQ(soft_limit_of(first), 512 << 10);
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &own));
	other = tap_spawn(sleeper, NULL);
	wait_for_grants(2);
	fake_end_grant(&fake, TAILQ_LAST(&m->ledger.grants, bl_grants)->id);
	pump();
	CHECK_SYS(prlimit(other, RLIMIT_MEMLOCK, NULL, &rl));
	CHECK_EQ(rl.rlim_cur, 512 << 10);
	CHECK_EQ(rl.rlim_max, 2 << 20);
	kill(first, SIGKILL);
	kill(other, SIGKILL);
	stop();
}

TEST(memlock_factor, "memlock in belayd.conf says how far RLIMIT_MEMLOCK may exceed the grant")
{
	struct rlimit mine = { 65536, 2 << 20 };
	int fd;

	start_with_limits();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.memlock_percent = 400;
	fd = client(1000, NULL, NULL);
	CHECK_EQ(soft_limit(), 2 << 20);
	m->policy->fallback.memlock_percent = 150;
	CHECK_OK(bl_accounts_apply(m));
	CHECK_EQ(soft_limit(), 768 << 10);
	close(fd);
	stop();
}

TEST(memlock_factor_unlimited, "memlock multiplies no limit that nobody has set")
{
	struct rlimit mine = { 65536, 1 << 20 };
	int fd;

	start();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	m->policy->fallback.memlock_percent = 400;
	fd = client(1000, NULL, NULL);
	CHECK_EQ(soft_limit(), 65536);
	close(fd);
	stop();
}

TEST(user_changed, "who runs as another user has its limit put back, is not raised, and gets nothing new")
{
	struct rlimit mine = { 65536, 1 << 20 };
	struct bl_open o = { 0 };
	uint64_t session;
	int fd, second;

	start_with_limits();
	CHECK_SYS(setrlimit(RLIMIT_MEMLOCK, &mine));
	fd = client(1000, &session, NULL);
	second = hello();
	CHECK_EQ(soft_limit(), 512 << 10);
	fake.run_as = 77;
	bl_holders_sweep(m);
	CHECK_EQ(soft_limit(), 65536);
	m->policy->fallback.user.bytes = 256 << 10;
	CHECK_OK(bl_accounts_apply(m));
	CHECK_EQ(soft_limit(), 65536);
	stop();
	start_with_limits();
	CHECK_EQ(soft_limit(), 65536);
	close(second);
	second = hello();
	newest()->peer.uids[2]++;	/* not who connected */
	CHECK_EQ(ASK(second, o, BL_OPEN), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK(strstr(in.error.text, "does not run as uid"));
	CHECK_EQ(m->ledger.n_grants, 1);
	close(fd);
	stop();
}

TAP_MAIN()
