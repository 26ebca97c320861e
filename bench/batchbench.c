// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * batchbench: what a region costs in a batch of the largest size, and what in a call of
 * its own. Prints rows like pinbench.
 */
#include <sys/mman.h>

#include "tests/kernel/lib/bk_batch.h"
#include "tests/lib/tap.h"

#define N	BELAY_MAX_BATCH
#define ROUNDS	5

static const struct step {
	unsigned long cmd;
	const char *name;
} steps[] = {
	{ BELAY_REGISTER, "register" },
	{ BELAY_COMMIT, "commit" },
	{ BELAY_CHECK, "check" },
	{ BELAY_CTL_RECALL, "recall" },
	{ BELAY_UNREGISTER, "unregister" },
};

#define STEPS	(sizeof(steps) / sizeof(steps[0]))

/* The entries, each in a call of its own. */
static void one_by_one(struct bk_batches *d, unsigned long cmd)
{
	struct belay_regions arg = d->x->arg;
	int fd = cmd == BELAY_CTL_RECALL ? d->b.ctl : d->b.fd;
	unsigned int i;

	for (i = 0; i < N; i++) {
		arg.size = sizeof(arg);
		arg.count = 1;
		arg.entries = d->x->arg.entries + i * arg.entry_size;
		CHECK_OK(bk_ioctl(fd, cmd, &arg));
	}
}

static double time_step(struct bk_batches *d, unsigned long cmd, bool single)
{
	double start;
	unsigned int i;

	if (cmd == BELAY_REGISTER)
		bk_batch_fill_register(d, BELAY_TRACKED);
	else
		bk_batch_fill(d, cmd);
	/* Sets the argument for both, and does nothing. */
	bk_batch_call(d, cmd, 0);
	start = tap_now();
	if (single)
		one_by_one(d, cmd);
	else
		bk_batch_call_all(d, cmd);
	start = tap_now() - start;
	for (i = 0; i < N; i++) {
		bk_batch_expect(d, cmd, i, 0);
		if (cmd == BELAY_REGISTER)
			d->ids[i] = d->x->reg[i].region;
	}
	return start;
}

int main(void)
{
	double batch[STEPS][ROUNDS], single[STEPS][ROUNDS], a, b;
	struct bk_batches d;
	unsigned int i, j;

	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_run_on_cpu(0);
	bk_batches_begin(&d);
	for (j = 0; j < ROUNDS; j++) {
		for (i = 0; i < STEPS; i++)
			batch[i][j] = time_step(&d, steps[i].cmd, false);
		bk_drain_events(d.b.ctl);
		for (i = 0; i < STEPS; i++)
			single[i][j] = time_step(&d, steps[i].cmd, true);
		bk_drain_events(d.b.ctl);
	}
	for (i = 0; i < STEPS; i++) {
		a = bk_median(batch[i], ROUNDS) / N;
		b = bk_median(single[i], ROUNDS) / N;
		printf("%s, one page, in a batch of %d|%.0f|ns|one a call|%.3f||median of %d; in a call of its own %.0f ns; tracked regions\n",
		       steps[i].name, N, a * 1e9, a / b, ROUNDS, b * 1e9);
	}
	bk_batches_end(&d);
	return 0;
}
