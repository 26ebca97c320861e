// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <sys/mman.h>

#include "tests/kernel/lib/bk_batch.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define N	BELAY_MAX_BATCH

_Static_assert(sizeof(struct belay_register) == sizeof(struct belay_regions) &&
	       sizeof(struct belay_ctl_recall) == sizeof(struct belay_regions), "one shape");

void *bk_shared(size_t len)
{
	return CHECK_SYS(mmap(NULL, len, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
}

void bk_batches_begin(struct bk_batches *d)
{
	bk_begin(&d->b);
	d->x = bk_shared(sizeof(*d->x));
	d->ids = bk_shared(N * sizeof(*d->ids));
	d->p = bk_anon(PAGES(N), 1);
}

void bk_batches_end(struct bk_batches *d)
{
	bk_end(&d->b);
	munmap(d->p, PAGES(N));
	munmap(d->x, sizeof(*d->x));
	munmap(d->ids, N * sizeof(*d->ids));
}

static size_t entry_size(unsigned long cmd)
{
	if (cmd == BELAY_REGISTER)
		return sizeof(struct belay_register_entry);
	if (cmd == BELAY_CTL_RECALL || cmd == BELAY_CTL_RELEASE)
		return sizeof(struct belay_recall_entry);
	return sizeof(struct belay_region_entry);
}

/* The entries are filled in; n of them are handed over in one call. */
int bk_batch_call(struct bk_batches *d, unsigned long cmd, unsigned int n)
{
	bool control = cmd == BELAY_CTL_RECALL || cmd == BELAY_CTL_RELEASE;

	d->x->cmd = cmd;
	d->x->arg = (struct belay_regions) {
		.size = sizeof(d->x->arg),
		.entries = (uintptr_t)d->x->list,
		.count = n,
		.entry_size = entry_size(cmd),
	};
	return bk_ioctl(control ? d->b.ctl : d->b.fd, cmd, &d->x->arg);
}

void bk_batch_call_all(struct bk_batches *d, unsigned long cmd)
{
	CHECK_OK(bk_batch_call(d, cmd, N));
	CHECK_EQ(d->x->arg.done, N);
}

/* Page i is region i. */
void bk_batch_fill_register(struct bk_batches *d, uint32_t kind)
{
	unsigned int i;

	for (i = 0; i < N; i++)
		d->x->reg[i] = (struct belay_register_entry) {
			.addr = (uintptr_t)d->p + PAGES(i),
			.len = PAGES(1),
			.kind = kind,
			.flags = W,
			.status = BK_UNTOUCHED,
		};
}

static void fill_list(struct bk_batches *d)
{
	unsigned int i;

	for (i = 0; i < N; i++)
		d->x->list[i] = (struct belay_region_entry) {
			.region = d->ids[i],
			.status = BK_UNTOUCHED,
		};
}

static void fill_recall(struct bk_batches *d)
{
	unsigned int i;

	for (i = 0; i < N; i++)
		d->x->recall[i] = (struct belay_recall_entry) {
			.session = d->b.session,
			.region = d->ids[i],
			.request = i + 1,
			.reason = BELAY_REASON_DRAIN,
			.status = BK_UNTOUCHED,
		};
}

void bk_batch_fill(struct bk_batches *d, unsigned long cmd)
{
	if (cmd == BELAY_REGISTER)
		bk_batch_fill_register(d, BELAY_PINNED);
	else if (cmd == BELAY_CTL_RECALL || cmd == BELAY_CTL_RELEASE)
		fill_recall(d);
	else
		fill_list(d);
}

int bk_batch_status(const struct bk_batches *d, unsigned long cmd, unsigned int i)
{
	if (cmd == BELAY_REGISTER)
		return d->x->reg[i].status;
	if (cmd == BELAY_CTL_RECALL || cmd == BELAY_CTL_RELEASE)
		return d->x->recall[i].status;
	return d->x->list[i].status;
}

void bk_batch_expect(const struct bk_batches *d, unsigned long cmd, unsigned int i, int expected)
{
	if (bk_batch_status(d, cmd, i) != expected)
		FAIL("entry %u has %d, not %d", i, bk_batch_status(d, cmd, i), expected);
}

void bk_batch_register(struct bk_batches *d, uint32_t kind)
{
	unsigned int i;

	bk_batch_fill_register(d, kind);
	bk_batch_call_all(d, BELAY_REGISTER);
	for (i = 0; i < N; i++) {
		bk_batch_expect(d, BELAY_REGISTER, i, 0);
		d->ids[i] = d->x->reg[i].region;
	}
	CHECK_EQ(bk_usage_regions(d->b.fd), N);
}

void bk_batch_unregister(struct bk_batches *d)
{
	unsigned int i;

	fill_list(d);
	bk_batch_call_all(d, BELAY_UNREGISTER);
	for (i = 0; i < N; i++)
		bk_batch_expect(d, BELAY_UNREGISTER, i, 0);
	CHECK_EQ(bk_usage_regions(d->b.fd), 0);
	CHECK_EQ(bk_usage_bytes(d->b.fd), 0);
}
