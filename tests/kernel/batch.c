// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Batches of the largest size: each entry has its own right status.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/kernel/lib/bk_batch.h"
#include "tests/lib/tap.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

#define PAGES(n)	((n) * BK_PAGE)
#define N	BELAY_MAX_BATCH

/* ---- each entry its own status --------------------------------------------------- */

#define TOO_MUCH	PAGES(2 * N)

static char *secret_page(void)
{
	int fd = CHECK_SYS(syscall(SYS_memfd_secret, O_CLOEXEC));
	char *p;

	CHECK_SYS(ftruncate(fd, PAGES(1)));
	p = CHECK_SYS(mmap(NULL, PAGES(1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	*p = 1;
	close(fd);
	return p;
}

/* Nine kinds of entries in turn; *shared_so_far counts those of the one page. */
static int spoil(struct belay_register_entry *e, unsigned int i, char *hole, char *secret,
		 char *much, char *one, unsigned int *shared_so_far)
{
	switch (i % 9) {
	case 3:
		e->addr += 512;
		return -EINVAL;
	case 4:
		e->kind = 77;
		return -EOPNOTSUPP;
	case 5:
		e->addr = (uintptr_t)hole;
		return -EFAULT;
	case 6:
		e->addr = (uintptr_t)one;
		return (*shared_so_far)++ < BELAY_MAX_OVERLAP ? 0 : -EMLINK;
	case 7:
		e->addr = (uintptr_t)much;
		e->len = TOO_MUCH;
		return -EDQUOT;
	case 8:
		e->addr = (uintptr_t)secret;
		return -EMEDIUMTYPE;
	default:
		return 0;
	}
}

TEST_TIMEOUT(mixed_register, "16,384 regions in one call, of nine kinds in turn: each entry has its own right status, what is good is registered", 60)
{
	char *hole, *secret, *much, *one = bk_anon(PAGES(1), 1);
	unsigned int i, n = 0, on_one = 0;
	static int expected[N];
	struct bk_batches d;

	bk_batches_begin(&d);
	CHECK_OK(bk_set_limit(d.b.ctl, d.b.account, 0, PAGES(N), BELAY_UNLIMITED));
	hole = CHECK_SYS(mmap(NULL, PAGES(1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	much = CHECK_SYS(mmap(NULL, TOO_MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			      MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	secret = secret_page();
	bk_batch_fill_register(&d, BELAY_PINNED);
	for (i = 0; i < N; i++)
		expected[i] = spoil(&d.x->reg[i], i, hole, secret, much, one, &on_one);
	CHECK_GT(on_one, BELAY_MAX_OVERLAP);
	bk_batch_call_all(&d, BELAY_REGISTER);
	for (i = 0; i < N; i++) {
		bk_batch_expect(&d, BELAY_REGISTER, i, expected[i]);
		if (!expected[i]) {
			CHECK_EQ(d.b.words[d.x->reg[i].word], d.x->reg[i].expected);
			d.ids[n++] = d.x->reg[i].region;
		}
		if (expected[i] == -EDQUOT) {
			CHECK_EQ(d.x->reg[i].refused_account, d.b.account);
			CHECK_EQ(d.x->reg[i].refused_needed, TOO_MUCH);
		}
	}
	CHECK_EQ(bk_usage_regions(d.b.fd), n);
	CHECK_EQ(bk_usage_bytes(d.b.fd), PAGES(n - BELAY_MAX_OVERLAP + 1));
	CHECK_EQ(bk_sysfs("pinned_bytes"), PAGES(n));
	bk_batches_end(&d);
}

TEST_TIMEOUT(mixed_lists, "CHECK and UNREGISTER of 16,384: lost, unknown and repeated ones among the good", 60)
{
	unsigned int i;
	struct bk_batches d;

	bk_batches_begin(&d);
	bk_batch_register(&d, BELAY_PINNED);
	for (i = 0; i < N; i += 4)
		CHECK_SYS(madvise(d.p + PAGES(i), PAGES(1), MADV_DONTNEED));
	bk_batch_fill(&d, BELAY_CHECK);
	for (i = 1; i < N; i += 4)
		d.x->list[i].region ^= 1ULL << 40;
	bk_batch_call_all(&d, BELAY_CHECK);
	for (i = 0; i < N; i++) {
		bk_batch_expect(&d, BELAY_CHECK, i, i % 4 == 1 ? -ENOENT : 0);
		if (i % 4 != 1)
			CHECK_EQ(d.x->list[i].state, i % 4 ? 0 : BELAY_WORD_LOST);
	}
	bk_batch_fill(&d, BELAY_CHECK);
	for (i = 0; i < N; i++) {
		if (i % 4 == 1)
			d.x->list[i].region ^= 1ULL << 40;
		if (i % 4 == 2)
			d.x->list[i].region = d.ids[i - 2];
	}
	bk_batch_call_all(&d, BELAY_UNREGISTER);
	for (i = 0; i < N; i++)
		bk_batch_expect(&d, BELAY_UNREGISTER, i, i % 4 == 1 || i % 4 == 2 ? -ENOENT : 0);
	CHECK_EQ(bk_usage_regions(d.b.fd), N / 2);
	CHECK_EQ(bk_usage_bytes(d.b.fd), PAGES(N / 2));
	bk_batches_end(&d);
}

TEST_TIMEOUT(mixed_commit, "COMMIT of 16,384: changed, committed twice and unknown ones among the good", 60)
{
	unsigned int i;
	struct bk_batches d;

	bk_batches_begin(&d);
	bk_batch_register(&d, BELAY_TRACKED);
	CHECK_EQ(bk_pins() >= N, 1);
	for (i = 0; i < N; i += 4)
		CHECK_SYS(madvise(d.p + PAGES(i), PAGES(1), MADV_DONTNEED));
	bk_batch_fill(&d, BELAY_CHECK);
	for (i = 0; i < N; i++) {
		if (i % 4 == 2)
			d.x->list[i].region = d.ids[i - 1];
		if (i % 4 == 3)
			d.x->list[i].region ^= 1ULL << 40;
	}
	bk_batch_call_all(&d, BELAY_COMMIT);
	for (i = 0; i < N; i++) {
		static const int expected[] = { -EAGAIN, 0, -EINVAL, -ENOENT };

		bk_batch_expect(&d, BELAY_COMMIT, i, expected[i % 4]);
	}
	CHECK_EQ(bk_sysfs("tracked_bytes"), PAGES(N));
	bk_batch_unregister(&d);
	bk_batches_end(&d);
}

TEST_TIMEOUT(mixed_recall, "RECALL and RELEASE of 16,384: malformed, unknown and repeated ones among the good", 60)
{
	unsigned int i;
	struct bk_batches d;

	bk_batches_begin(&d);
	bk_batch_register(&d, BELAY_PINNED);
	bk_batch_fill(&d, BELAY_CTL_RECALL);
	for (i = 0; i < N; i++) {
		struct belay_recall_entry *e = &d.x->recall[i];

		if (i % 8 == 1)
			e->reason = BELAY_REASON_UNMAPPED;
		if (i % 8 == 2)
			e->request = 0;
		if (i % 8 == 3)
			e->session += 1000;
		if (i % 8 == 4)
			e->region ^= 1ULL << 40;
		if (i % 8 == 5)
			e->reserved = 1;
	}
	bk_batch_call_all(&d, BELAY_CTL_RECALL);
	for (i = 0; i < N; i++) {
		static const int expected[] = { 0, -EINVAL, -EINVAL, -ENOENT, -ENOENT,
						-EOPNOTSUPP, 0, 0 };
		uint32_t word = (uint32_t)d.b.words[d.ids[i] % BELAY_WORDS_MAX];

		bk_batch_expect(&d, BELAY_CTL_RECALL, i, expected[i % 8]);
		CHECK_EQ(word, expected[i % 8] ? 0 : BELAY_WORD_RECALLED);
	}
	bk_batch_fill(&d, BELAY_CTL_RECALL);
	for (i = 1; i < N; i += 2)
		d.x->recall[i].region = d.ids[i - 1];
	bk_batch_call_all(&d, BELAY_CTL_RELEASE);
	for (i = 0; i < N; i++)
		bk_batch_expect(&d, BELAY_CTL_RELEASE, i, i % 2 ? -ENOENT : 0);
	CHECK_SOON(bk_usage_bytes(d.b.fd) == PAGES(N / 2), 5);
	CHECK_SOON(bk_sysfs("pinned_bytes") == PAGES(N / 2), 5);
	bk_batches_end(&d);
}

TEST_TIMEOUT(mixed_release, "RELEASE of 16,384: what another driver may hold is EBUSY, between pinned ones that go", 60)
{
	unsigned int i;
	struct bk_batches d;

	bk_batches_begin(&d);
	bk_batch_fill_register(&d, BELAY_PINNED);
	for (i = 0; i < N; i += 2)
		d.x->reg[i].kind = BELAY_TRACKED;
	bk_batch_call_all(&d, BELAY_REGISTER);
	for (i = 0; i < N; i++)
		d.ids[i] = d.x->reg[i].region;
	bk_batch_fill(&d, BELAY_CTL_RECALL);
	bk_batch_call_all(&d, BELAY_CTL_RELEASE);
	for (i = 0; i < N; i++)
		bk_batch_expect(&d, BELAY_CTL_RELEASE, i, i % 2 ? 0 : -EBUSY);
	CHECK_SOON(bk_sysfs("pinned_bytes") == 0, 5);
	CHECK_EQ(bk_sysfs("tracked_bytes"), PAGES(N / 2));
	bk_batches_end(&d);
}

TAP_MAIN()
