// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What a batch needs of the kernel's memory while it runs. Where freed memory is kept for
 * a while to catch who still uses it, this cannot be measured: not for the debug kernel.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/kernel/lib/bk_batch.h"
#include "tests/lib/tap.h"

#define N	BELAY_MAX_BATCH

/*
 * Another process, on the other processor, looks at the memory that is gone while the
 * calls run. Counting allocations at tracepoints would be exact; but switching those on
 * rewrites running code, which the emulated machine does not always survive.
 */
enum { FREE, SLAB, VMALLOC, FIELDS };

static const char *const fields[FIELDS] = { "MemFree", "Slab", "VmallocUsed" };

struct watcher {
	uint32_t stop, reset, samples;
	int64_t first[FIELDS], most[FIELDS];	/* in use, by each measure */
};

static void watcher_run(void *arg)
{
	struct watcher *w = arg;
	int64_t used;
	int i;

	bk_run_on_cpu(1);
	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		bool first = __atomic_load_n(&w->reset, __ATOMIC_SEQ_CST);

		for (i = 0; i < FIELDS; i++) {
			used = bk_field("/proc/meminfo", fields[i]);
			used = i == FREE ? -used : used;
			if (first)
				w->first[i] = w->most[i] = used;
			if (used > w->most[i])
				w->most[i] = used;
		}
		if (first)
			__atomic_store_n(&w->reset, 0, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&w->samples, 1, __ATOMIC_SEQ_CST);
	}
}

#define SAMPLES	30
#define RUNS	3

/* What one copy of the smallest array takes, and what may be noise. */
#define COPY	(N * sizeof(struct belay_region_entry))
#define NOISE	(COPY / 2)

/* Has the most that was gone, by the measure that shows most. */
static int64_t most_gone(struct watcher *w, struct bk_batches *d, unsigned long cmd)
{
	int64_t most = 0;
	int i;

	__atomic_store_n(&w->reset, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&w->reset, __ATOMIC_SEQ_CST))
		usleep(100);
	w->samples = 0;
	while (__atomic_load_n(&w->samples, __ATOMIC_SEQ_CST) < SAMPLES) {
		if (cmd) {
			bk_batch_call_all(d, cmd);
			continue;
		}
		/* To show that the watcher sees one: this call copies its argument. */
		CHECK_ERRNO(syscall(SYS_init_module, d->x, COPY, ""), ENOEXEC);
	}
	for (i = 0; i < FIELDS; i++)
		if (w->most[i] - w->first[i] > most)
			most = w->most[i] - w->first[i];
	return most;
}

/* The rest of the system is not silent: the least of several runs. */
static int64_t least_of(struct watcher *w, struct bk_batches *d, unsigned long cmd,
			const char *name)
{
	int64_t gone, least = INT64_MAX;
	int i;

	for (i = 0; i < RUNS; i++) {
		bk_batch_fill(d, cmd);
		/* Nothing is to remain of it. */
		if (cmd == BELAY_REGISTER) {
			unsigned int j;

			for (j = 0; j < N; j++)
				d->x->reg[j].addr += 512;
		}
		gone = most_gone(w, d, cmd);
		least = gone < least ? gone : least;
	}
	tap_diag("%s: %lld KiB", name, (long long)least >> 10);
	return least;
}

TEST_TIMEOUT(memory, "a batch needs no memory that grows with it: while the calls run, less is gone than half a copy of the array", 120)
{
	struct watcher *w = bk_shared(sizeof(*w));
	struct bk_batches d;
	pid_t pid;

	bk_run_on_cpu(0);
	bk_batches_begin(&d);
	bk_batch_register(&d, BELAY_TRACKED);
	pid = tap_spawn(watcher_run, w);
	/* One is there for a much shorter time than any of the calls, and may be missed. */
	CHECK_SOON(most_gone(w, &d, 0) >= (int64_t)COPY, 10);
	CHECK_LT(least_of(w, &d, BELAY_CHECK, "CHECK"), NOISE);
	CHECK_LT(least_of(w, &d, BELAY_COMMIT, "COMMIT"), NOISE);
	CHECK_LT(least_of(w, &d, BELAY_CTL_RECALL, "RECALL"), NOISE);
	CHECK_LT(least_of(w, &d, BELAY_CTL_RELEASE, "RELEASE"), NOISE);
	CHECK_LT(least_of(w, &d, BELAY_REGISTER, "REGISTER"), NOISE);
	bk_batch_unregister(&d);
	CHECK_LT(least_of(w, &d, BELAY_UNREGISTER, "UNREGISTER"), NOISE);
	w->stop = 1;
	tap_join(pid);
	bk_batches_end(&d);
}

TAP_MAIN()
