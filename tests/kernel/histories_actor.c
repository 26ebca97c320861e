// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Who does a step. The other thread and the other process wait all the time for
 * something to do; the sibling, a process in the same address space, is made for one
 * step. All have the same table of descriptors.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

#define STACK	(256 << 10)
/* A step takes milliseconds; a machine that is busy with other things, seconds. */
#define PATIENCE 120

/* Shared with whoever does the step. */
struct box {
	struct act act;
	uint32_t asked, done;	/* numbers of the last act */
	bool forget;
};

static struct box *thread_box, *other_box;
static pthread_t thread;
static pid_t other;
static char *stack;

const char *actor_name(unsigned int by)
{
	switch (by) {
	case BY_SELF:
		return "self";
	case BY_THREAD:
		return "a thread";
	case BY_SIBLING:
		return "a sibling";
	default:
		return "another process";
	}
}

/* ---- accesses that may fail ------------------------------------------------------- */

static __thread sigjmp_buf jump;
static __thread volatile bool jumps;

static void on_signal(int sig)
{
	if (jumps)
		siglongjmp(jump, 1);
	/* Nothing here was meant to fail. */
	signal(sig, SIG_DFL);
	raise(sig);
}

int guarded(int (*fn)(const struct act *a), const struct act *a)
{
	int ret;

	if (sigsetjmp(jump, 1)) {
		jumps = false;
		return -EFAULT;
	}
	jumps = true;
	ret = fn(a);
	jumps = false;
	return ret;
}

int touch_one(char *at, bool write)
{
	volatile uint64_t *p = (volatile uint64_t *)at;

	if (sigsetjmp(jump, 1)) {
		jumps = false;
		return -EFAULT;
	}
	jumps = true;
	/* Not where the stamp is. */
	if (write)
		p[256] = p[256] + 1;
	else
		(void)p[0];
	jumps = false;
	return 0;
}

int touch_units(const struct place *p, unsigned int first, unsigned int n, bool write)
{
	unsigned int i;
	int ret = 0;

	for (i = first; i < first + n; i++)
		if (touch_one(unit_at(p, i), write))
			ret = -EFAULT;
	return ret;
}

/* ---- boxes ------------------------------------------------------------------------ */

static void futex_wake(uint32_t *at)
{
	syscall(SYS_futex, at, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Until *at is not @value. */
static bool futex_await(uint32_t *at, uint32_t value, unsigned int seconds)
{
	struct timespec second = { .tv_sec = 1 };
	unsigned int waited = 0;

	while (__atomic_load_n(at, __ATOMIC_ACQUIRE) == value) {
		if (syscall(SYS_futex, at, FUTEX_WAIT, value, &second, NULL, 0) &&
		    errno == ETIMEDOUT && ++waited == seconds)
			return false;
	}
	return true;
}

static int ask(struct box *box, const struct act *a)
{
	uint32_t number = box->asked;

	box->act = *a;
	__atomic_store_n(&box->asked, number + 1, __ATOMIC_RELEASE);
	futex_wake(&box->asked);
	if (!futex_await(&box->done, number, PATIENCE))
		FAIL("%s is not over after %u s", a->step ? a->step->name : "forgetting", PATIENCE);
	return box->act.result;
}

static void forget(void);

static void serve(struct box *box)
{
	uint32_t number = 0;

	for (;; number++) {
		while (!futex_await(&box->asked, number, PATIENCE))
			;
		if (!box->act.step)
			forget();
		else
			box->act.result = box->act.step->run(&box->act);
		__atomic_store_n(&box->done, number + 1, __ATOMIC_RELEASE);
		futex_wake(&box->done);
	}
}

static void *thread_run(void *arg)
{
	serve(arg);
	return NULL;
}

/* ---- the other process -------------------------------------------------------------- */

static char *other_map = MAP_FAILED;
static size_t other_len;

static void forget(void)
{
	if (other_map != MAP_FAILED)
		munmap(other_map, other_len);
	other_map = MAP_FAILED;
}

void other_forgets(void)
{
	static const struct act nothing;

	if (other_box->forget)
		ask(other_box, &nothing);
	other_box->forget = false;
}

int other_maps(const struct act *a)
{
	struct place p = a->p;

	forget();
	other_len = p.units * p.unit;
	other_map = mmap(NULL, other_len, PROT_READ, MAP_SHARED, p.fd, 0);
	if (other_map == MAP_FAILED)
		return -errno;
	other_box->forget = true;
	p.map = other_map;
	touch_units(&p, 0, p.units, false);
	return 0;
}

static int other_run(void *arg)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK_SYS(mlockall(MCL_CURRENT));
	serve(arg);
	return 0;
}

/* ---- from outside --------------------------------------------------------------------- */

static struct box *box_make(void)
{
	return CHECK_SYS(mmap(NULL, sizeof(struct box), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

void actors_start(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	CHECK_SYS(sigaction(SIGSEGV, &sa, NULL));
	CHECK_SYS(sigaction(SIGBUS, &sa, NULL));
	thread_box = box_make();
	other_box = box_make();
	stack = CHECK_SYS(mmap(NULL, STACK, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	other = CHECK_SYS(clone(other_run, stack + STACK, CLONE_FILES | SIGCHLD, other_box));
	CHECK_EQ(pthread_create(&thread, NULL, thread_run, thread_box), 0);
	/* memory.reclaim is to take the histories' memory, not the program itself. */
	CHECK_SYS(mlockall(MCL_CURRENT));
}

void actors_stop(void)
{
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
}

static int sibling_run(void *arg)
{
	struct act *a = arg;

	a->result = a->step->run(a);
	return 0;
}

/* It runs on a stack of its own while this thread waits in clone(). */
static int by_sibling(const struct act *a)
{
	struct act own = *a;
	int status;
	pid_t pid;

	own.result = -EIO;
	pid = CHECK_SYS(clone(sibling_run, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES |
			      SIGCHLD, &own));
	CHECK_SYS(waitpid(pid, &status, 0));
	if (!WIFEXITED(status))
		FAIL("%s by a sibling ended by signal %d", a->step->name, WTERMSIG(status));
	return own.result;
}

int act_by(unsigned int by, const struct act *a)
{
	switch (by) {
	case BY_SELF:
		return a->step->run(a);
	case BY_THREAD:
		return ask(thread_box, a);
	case BY_SIBLING:
		return by_sibling(a);
	default:
		return ask(other_box, a);
	}
}
