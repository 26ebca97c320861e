// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* ioctl_fuzz_run.c - a process, its threads, one call, and judging it; see ioctl_fuzz.h */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

/* ---- judging ------------------------------------------------------------------------------ */

void fuzz_fail(struct fuzz_thread *t, const struct fuzz_op *op, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	FAIL("seed %u, process %u, life %u, thread %u, step %llu: %s%s%s: %s", fuzz_of(t)->seed,
	     t->p->index, t->p->life, t->index, (unsigned long long)t->step,
	     op ? op->c->name : "act", op && op->breaks ? ", broken: " : "",
	     op && op->breaks ? op->how : "", text);
}

static bool is_in(const int *errs, int err)
{
	unsigned int i;

	for (i = 0; i < FUZZ_ERRS && errs[i]; i++)
		if (errs[i] == err)
			return true;
	return false;
}

static bool may_say(const struct fuzz_op *op, int err, bool raced)
{
	static const int all[FUZZ_ERRS] = { EINVAL, E2BIG, EOPNOTSUPP, EFAULT, ENOMEM };
	static const int files[FUZZ_ERRS] = { ENOTTY, EPERM, EXDEV, EBADF };

	if (!err || is_in(op->c->intact, err))
		return true;
	if ((op->any_file || raced) && is_in(files, err))
		return true;
	return (op->breaks || raced) && (is_in(op->c->broken, err) || is_in(all, err));
}

static int status_of(const struct fuzz_op *op, unsigned int i)
{
	int32_t status;

	memcpy(&status, (char *)fuzz_entry(op, i) + op->c->status, sizeof(status));
	return status;
}

/* How many entries were accepted. */
static unsigned int judge_entries(struct fuzz_thread *t, const struct fuzz_op *op, bool raced)
{
	struct fuzz_count *count = &fuzz_of(t)->count[op->c - fuzz_commands];
	uint32_t done = FUZZ_GET(op, op->c->done, uint32_t), i, good = 0;
	int status;

	if (done != op->count)
		fuzz_fail(t, op, "%u of %u entries done", done, op->count);
	for (i = 0; i < done; i++) {
		status = status_of(op, i);
		if (status > 0 || status <= -FUZZ_ERRNOS)
			fuzz_fail(t, op, "entry %u has status %d", i, status);
		if (status && !is_in(op->c->intact_status, -status) &&
		    !((op->breaks || raced) && is_in(op->c->broken_status, -status)))
			fuzz_fail(t, op, "entry %u: %s is not documented", i,
				  strerrorname_np(-status));
		if (!status && op->bad_entry == (int)i)
			fuzz_fail(t, op, "entry %u is accepted", i);
		fuzz_add(&count->status[-status]);
		good += !status;
	}
	return good;
}

static void judge(struct fuzz_thread *t, struct fuzz_op *op, int err)
{
	struct fuzz_count *count = &fuzz_of(t)->count[op->c - fuzz_commands];
	bool has_status = op->c->status >= 0 && op->sees_entries && op->sees_arg, good = !err;
	bool raced = op->slot && __atomic_load_n(&op->slot->turn, __ATOMIC_ACQUIRE) != op->turn;

	if (err < 0 || err >= FUZZ_ERRNOS)
		fuzz_fail(t, op, "it says %d", err);
	if (!raced && op->expected && err != op->expected)
		fuzz_fail(t, op, "it says %s, not %s", err ? strerrorname_np(err) : "nothing",
			  strerrorname_np(op->expected));
	if (!raced && op->must_fail && !err)
		fuzz_fail(t, op, "it is accepted");
	if (!may_say(op, err, raced))
		fuzz_fail(t, op, "%s is not documented%s", strerrorname_np(err),
			  op->breaks ? "" : " of one that is in order");
	fuzz_add(&count->said[err]);
	if (!err && has_status)
		good = judge_entries(t, op, raced);
	if (raced)
		fuzz_add(&count->raced);
	else if (!op->breaks)
		fuzz_add(good ? &count->accepted : &count->told);
	else if (err || op->bad_entry >= 0 || !good)
		fuzz_add(&count->refused);
	else
		fuzz_add(&count->passed);
	if (!err && op->sees_arg)
		fuzz_taken(t, op);
}

/* ---- a thread -------------------------------------------------------------------------------- */

/* Those that others need come more often. */
static const uint8_t often[] = {
	F_INFO, F_REGISTER, F_REGISTER, F_REGISTER, F_REGISTER, F_REGISTER, F_COMMIT, F_COMMIT,
	F_UNREGISTER, F_UNREGISTER, F_CHECK, F_CHECK, F_TRIM, F_TRIM, F_USAGE, F_ACCOUNT, F_LIMITS,
	F_REMOVE, F_GRANT, F_RECALL, F_RELEASE, F_EVENTS, F_EVENTS_DONE, F_LIST, F_WAIT,
	F_HOLDERS,
};

static void call(struct fuzz_thread *t)
{
	struct fuzz_op op;

	fuzz_make(t, &op, often[fuzz_choose(t, sizeof(often))]);
	if (fuzz_choose(t, 2))
		fuzz_break(t, &op);
	fuzz_of(t)->processes[t->p->index].threads[t->index].doing = op.c->name;
	judge(t, &op, ioctl(op.fd, op.nr, op.arg_at) < 0 ? errno : 0);
}

/* What the step's choices begin with. */
static uint32_t seed_of(const struct fuzz_thread *t)
{
	const uint64_t parts[] = { t->p->s->seed, t->p->index, t->p->life, t->index, t->step };
	uint64_t x = 0;
	unsigned int i;

	/* The multiplier is that of Knuth's MMIX; what counts is that all bits mix. */
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		x = (x ^ parts[i]) * 6364136223846793005ULL + 1442695040888963407ULL;
		x ^= x >> 29;
	}
	return (uint32_t)(x >> 32) | 1;
}

static void *thread_run(void *arg)
{
	struct fuzz_thread *t = arg;
	struct fuzz_shared *s = fuzz_of(t);
	double now;

	s->processes[t->p->index].threads[t->index].tid = gettid();
	while ((now = tap_now()) < t->p->ends && !__atomic_load_n(&s->over, __ATOMIC_RELAXED)) {
		t->step++;
		t->seed = seed_of(t);
		s->processes[t->p->index].threads[t->index].since = now;
		s->processes[t->p->index].threads[t->index].step = t->step;
		if (fuzz_choose(t, 6))
			call(t);
		else
			fuzz_act(t);
	}
	s->processes[t->p->index].threads[t->index].since = 0;
	return NULL;
}

static void map_scratch(struct fuzz_thread *t)
{
	int fd = CHECK_SYS(memfd_create("scratch", MFD_CLOEXEC));
	char *p = CHECK_SYS(mmap(NULL, 3 * GUARD + 2 * SCRATCH_LEN, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	CHECK_SYS(ftruncate(fd, SCRATCH_LEN));
	t->scratch = CHECK_SYS(mmap(p + GUARD, SCRATCH_LEN, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_FIXED, fd, 0));
	t->read_only = CHECK_SYS(mmap(p + 2 * GUARD + SCRATCH_LEN, SCRATCH_LEN, PROT_READ,
				      MAP_SHARED | MAP_FIXED, fd, 0));
	t->dirty = SCRATCH_ENTRIES;
	t->file = fd;
}

/* ---- a process --------------------------------------------------------------------------------- */

static void first_grants(struct fuzz_thread *t)
{
	struct belay_ctl_grant g;
	unsigned int i;
	int fd;

	for (i = 0; i < 2; i++) {
		fd = bk_try_grant(fuzz_of(t)->ctl, fuzz_of(t)->firm[(t->p->index + i) % FUZZ_FIRM].account,
				  getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
		if (fd < 0)
			fuzz_fail(t, NULL, "no grant: %s", strerrorname_np(-fd));
		fuzz_install(t, fd, g.session, g.grant);
	}
}

void fuzz_process(struct fuzz_shared *s, unsigned int index, double seconds)
{
	static struct fuzz_thread threads[FUZZ_THREADS];
	static struct fuzz_process p;
	struct rlimit files = { 1024, 1024 };
	pthread_t ids[FUZZ_THREADS];
	unsigned int i;

	p.s = s;
	p.index = index;
	p.life = s->processes[index].life;
	p.ends = tap_now() + seconds;
	pthread_mutex_init(&p.lock, NULL);
	for (i = 0; i < FUZZ_SLOTS; i++)
		p.slots[i].fd = -1;
	for (i = 0; i < FUZZ_FOREIGN; i++)
		p.foreign[i].fd = -1;
	memset(s->processes[index].regions, 0, sizeof(s->processes[index].regions));
	s->processes[index].start_time = bk_start_time(getpid());
	s->processes[index].pid = getpid();
	for (i = 0; i < FUZZ_THREADS; i++) {
		threads[i] = (struct fuzz_thread){ .p = &p, .index = i };
		threads[i].seed = seed_of(&threads[i]);
		map_scratch(&threads[i]);
	}
	fuzz_map_arena(&threads[0]);
	first_grants(&threads[0]);
	/* In some lives there is soon no room for another file. */
	if (fuzz_choose(&threads[0], 3) == 0) {
		files.rlim_cur = files.rlim_max = 30 + fuzz_choose(&threads[0], 8);
		CHECK_SYS(setrlimit(RLIMIT_NOFILE, &files));
	}
	for (i = 1; i < FUZZ_THREADS; i++)
		CHECK_EQ(pthread_create(&ids[i], NULL, thread_run, &threads[i]), 0);
	thread_run(&threads[0]);
	for (i = 1; i < FUZZ_THREADS; i++)
		CHECK_EQ(pthread_join(ids[i], NULL), 0);
}
