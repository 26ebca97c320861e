// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Nothing stale: a word that is valid is about the memory that is there.
 *
 * unmap_race has two threads. The mapper unmaps and maps the same address again and
 * again and writes a stamp that was never used before into each new page. The
 * holder registers whatever is there and compares: while the word stays valid, the
 * page may go from zero to one stamp, and never to a second one. And the mapper
 * knows by itself that a registration made before its munmap() cannot be valid
 * after it. The two run on two processors; but where the machine's processors have
 * to share the host's, each munmap() waits long for the other one to flush its
 * TLB, so after a while they go on on one processor, taking turns.
 *
 * The other tests have another process take pages out of a file, while a thread
 * here settles the word as fast as it can. The operation is over the whole file and
 * the region at its end, so that the time between the kernel's only announcement
 * and the loss of the page is long.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define ROUNDS	100000

/* ---- munmap and mmap from two threads ----------------------------------------- */

struct race {
	struct bk b;
	char *addr;
	size_t len;
	uint32_t kind;
	unsigned int rounds;
	double parallel_seconds;	/* at most so long on two processors */
	bool one_cpu;
	uint64_t published;	/* word index << 32 | generation; 0: nothing */
	unsigned int mapped;	/* the round that is mapped now, 0: none */
	bool stop;
	/* what the holder saw */
	unsigned int registered, refused, seen_valid, seen_stamp;
	/* what the mapper saw */
	unsigned int was_registered;
};

static __thread sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, 1);
}

/* 1 and the value, or 0 where nothing is mapped. */
static int read_stamp(const char *p, uint64_t *ret)
{
	if (sigsetjmp(fault, 0))
		return 0;
	*ret = __atomic_load_n((const uint64_t *)p, __ATOMIC_ACQUIRE);
	return 1;
}

/*
 * In a loop that waits for the other thread. Only in a real-time class does
 * sched_yield() mean that it is the other's turn.
 */
static void relax(const struct race *r)
{
	static __thread bool is_fair;
	struct sched_param param = { .sched_priority = 1 };

	if (!__atomic_load_n(&r->one_cpu, __ATOMIC_RELAXED))
		return;
	if (!is_fair)
		CHECK_SYS(sched_setscheduler(0, SCHED_RR, &param));
	is_fair = true;
	sched_yield();
}

/* From one registration to the loss of it. */
static void hold_until_lost(struct race *r, const struct bk_region *region)
{
	uint64_t stamp = 0, now = 0;
	int mapped;

	for (;;) {
		if (!bk_valid(&r->b, region)) {
			if (bk_state(&r->b, region) & BELAY_WORD_LOST)
				return;
			bk_check(r->b.fd, region->id);
			if (!bk_valid(&r->b, region))
				return;
		}
		mapped = read_stamp(r->addr, &now);
		if (!bk_valid(&r->b, region))
			continue;
		if (!mapped)
			FAIL_FINAL("valid, and nothing is mapped");
		if (stamp && now != stamp)
			FAIL_FINAL("valid, and the page changed from stamp %llu to %llu",
				   (unsigned long long)stamp, (unsigned long long)now);
		r->seen_valid++;
		r->seen_stamp += !stamp && now;
		stamp = now;
		relax(r);
		if (__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
			return;
	}
}

static void *holder_run(void *arg)
{
	struct race *r = arg;
	struct bk_region region;
	unsigned int blind = 0;
	int err;

	bk_run_on_cpu(1);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		/* Mostly when something is there: it only costs time if not. */
		if (!__atomic_load_n(&r->mapped, __ATOMIC_ACQUIRE) && ++blind % 1024) {
			relax(r);
			continue;
		}
		err = bk_register(r->b.fd, r->addr, r->len, r->kind, W, &region);
		if (!err && r->kind == BELAY_TRACKED) {
			err = bk_commit(r->b.fd, region.id);
			if (err)
				CHECK_OK(bk_unregister(r->b.fd, region.id));
		}
		if (err) {
			CHECK(err == -EFAULT || err == -EAGAIN || err == -ESTALE);
			r->refused++;
			continue;
		}
		r->registered++;
		__atomic_store_n(&r->published,
				 (uint64_t)region.word << 32 | region.expected >> 32,
				 __ATOMIC_RELEASE);
		hold_until_lost(r, &region);
		__atomic_store_n(&r->published, 0, __ATOMIC_RELEASE);
		/* Letting go while munmap is at it means sleeping: not always. */
		while (r->registered % 8 && !__atomic_load_n(&r->mapped, __ATOMIC_ACQUIRE) &&
		       !__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
			relax(r);
		CHECK_OK(bk_unregister(r->b.fd, region.id));
	}
	return NULL;
}

static void *mapper_run(void *arg)
{
	struct race *r = arg;
	double end, patience, parallel_until = tap_now() + r->parallel_seconds;
	uint64_t before = 0, last;
	unsigned int i;

	bk_run_on_cpu(0);
	for (i = 0; i < r->rounds; i++) {
		if (!r->one_cpu && tap_now() > parallel_until && i >= r->rounds / 100) {
			tap_diag("%u rounds on two processors", i);
			bk_run_on_cpu(1);
			__atomic_store_n(&r->one_cpu, true, __ATOMIC_RELAXED);
		}
		/*
		 * In three rounds of four it may register (anew) first, for which
		 * it has a while, and more if it hardly ever has, because its
		 * processor is often away; in the fourth the two are at it at the
		 * same time.
		 */
		patience = __atomic_load_n(&r->registered, __ATOMIC_RELAXED) < i / 5 ? 0.1 : 2e-3;
		end = tap_now() + (i % 4 ? patience : (i % 16) * 4e-6);
		last = before;
		do {
			relax(r);
			before = __atomic_load_n(&r->published, __ATOMIC_ACQUIRE);
		} while ((!before || before == last) && tap_now() < end);
		__atomic_store_n(&r->mapped, 0, __ATOMIC_RELEASE);
		CHECK_SYS(munmap(r->addr, r->len));
		if (before) {
			r->was_registered++;
			if (__atomic_load_n(&r->b.words[before >> 32], __ATOMIC_ACQUIRE) ==
			    before << 32)
				FAIL_FINAL("valid after munmap() has returned");
		}
		CHECK(mmap(r->addr, r->len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == r->addr);
		/* No other page has ever had this stamp. */
		__atomic_store_n((uint64_t *)r->addr, (uint64_t)i + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&r->mapped, i + 1, __ATOMIC_RELEASE);
		relax(r);
	}
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	return NULL;
}

static void unmap_race(uint32_t kind, unsigned int rounds, double parallel_seconds)
{
	uint64_t unmaps = bk_seen("seen_unmap");
	struct race r = { .kind = kind, .rounds = rounds, .len = BK_PAGE,
			  .parallel_seconds = parallel_seconds };
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	pthread_t holder, mapper;

	sigaction(SIGSEGV, &sa, NULL);
	bk_begin(&r.b);
	r.addr = bk_anon(r.len, 0);
	CHECK_EQ(pthread_create(&holder, NULL, holder_run, &r), 0);
	CHECK_EQ(pthread_create(&mapper, NULL, mapper_run, &r), 0);
	pthread_join(mapper, NULL);
	pthread_join(holder, NULL);
	tap_diag("%u rounds: %u registered, %u found nothing; %u looks at a valid word, %u first saw the stamp; %u unmapped while registered",
		 rounds, r.registered, r.refused, r.seen_valid, r.seen_stamp,
		 r.was_registered);
	CHECK_GE(r.registered, rounds / 10);
	CHECK_GE(r.seen_stamp, rounds / 20);
	CHECK_GE(r.was_registered, rounds / 10);
	CHECK_GE(bk_seen("seen_unmap") - unmaps, r.registered / 2);
	bk_end(&r.b);
}

TEST_TIMEOUT(unmap_race, "munmap and mmap at the same address from two threads: never valid for a page that changed", 300)
{
	unmap_race(BELAY_PINNED, bk_rounds(ROUNDS), 20);
}

TEST_TIMEOUT(unmap_race_tracked, "the same with tracked regions", 150)
{
	unmap_race(BELAY_TRACKED, bk_rounds(ROUNDS / 5), 10);
}

/* ---- pages taken out of a file by another process -------------------------------- */

enum operation { PUNCH, REMOVE, TRUNCATE };

static const char *const operation_names[] = { "punch hole", "MADV_REMOVE", "truncate" };

struct file_race {
	struct bk b;
	enum bk_kind kind;
	enum operation operation;
	int fd;
	size_t len, tail;	/* of the file; of the region, at its end */
	char *whole;		/* the file, mapped for writing, for MADV_REMOVE */
	struct bk_steps *steps;
	struct bk_region region;
	unsigned int checks;
	bool stop;
};

/* What one round takes away again. */
static void refill(const struct file_race *f)
{
	char block[BK_PAGE];
	size_t i;

	CHECK_SYS(ftruncate(f->fd, f->len));
	memset(block, 0x11, sizeof(block));
	if (f->whole) {
		for (i = 0; i < f->len; i += BK_PAGE)
			f->whole[i] = 0x11;
		return;
	}
	for (i = 0; i < f->len; i += BK_PAGE)
		CHECK_EQ(pwrite(f->fd, block, sizeof(block), i), sizeof(block));
}

static void operate(const struct file_race *f)
{
	switch (f->operation) {
	case PUNCH:
		CHECK_SYS(fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				    f->len));
		break;
	case REMOVE:
		CHECK_SYS(madvise(f->whole, f->len, MADV_REMOVE));
		break;
	case TRUNCATE:
		CHECK_SYS(ftruncate(f->fd, 0));
	}
}

/* The other process: refills at odd steps, operates at even ones. */
static void operator_run(void *arg)
{
	struct file_race *f = arg;
	uint32_t step = 1;

	bk_run_on_cpu(0);
	if (f->operation == REMOVE || bk_kind_unit(f->kind) == BK_HUGE)
		f->whole = CHECK_SYS(mmap(NULL, f->len, PROT_READ | PROT_WRITE, MAP_SHARED,
					  f->fd, 0));
	for (;; step += 4) {
		bk_await(f->steps, step);
		refill(f);
		bk_step(f->steps, step + 1);
		bk_await(f->steps, step + 2);
		operate(f);
		bk_step(f->steps, step + 3);
	}
}

/* Settles the region as quickly as can be, until its loss is certain. */
static void *hammer_run(void *arg)
{
	struct file_race *f = arg;

	bk_run_on_cpu(1);
	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		if (bk_check(f->b.fd, f->region.id) < 0)
			break;
		f->checks++;
	}
	return NULL;
}

static void file_round(struct file_race *f, unsigned int round, char *p)
{
	uint32_t step = round * 4 + 1, state;
	pthread_t hammer;
	double end;

	bk_step(f->steps, step);
	bk_await(f->steps, step + 1);
	(void)*(volatile char *)p;
	f->region = bk_hold(&f->b, p, f->tail, BELAY_PINNED, f->kind == BK_EXT4 ? 0 : W);
	f->stop = false;
	CHECK_EQ(pthread_create(&hammer, NULL, hammer_run, f), 0);
	bk_step(f->steps, step + 2);
	bk_await(f->steps, step + 3);

	/* The operation has returned: from now on it must never be valid. */
	end = tap_now() + 40;
	do {
		state = bk_state(&f->b, &f->region);
		if (!state)
			FAIL_FINAL("%s, %s, round %u: valid after it returned",
				   bk_kind_name(f->kind), operation_names[f->operation], round);
		if (tap_now() > end)
			FAIL("%s, %s, round %u: never settled", bk_kind_name(f->kind),
			     operation_names[f->operation], round);
	} while (!(state & BELAY_WORD_LOST) && bk_check(f->b.fd, f->region.id) >= 0);
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	pthread_join(hammer, NULL);
	CHECK(bk_state(&f->b, &f->region) & BELAY_WORD_LOST);
	CHECK_OK(bk_unregister(f->b.fd, f->region.id));
}

static void file_race(enum bk_kind kind, enum operation operation)
{
	bool huge = bk_kind_unit(kind) == BK_HUGE;
	uint64_t seen = bk_seen("seen_clear") + bk_seen("seen_unmap");
	uint64_t suspect = bk_seen("suspect"), lost = bk_seen("lost");
	struct file_race f = { .kind = kind, .operation = operation, .steps = bk_steps() };
	unsigned int round, rounds = bk_rounds(200);
	pid_t pid;
	char *p;

	bk_begin(&f.b);
	if (huge)
		bk_hugepages(16);
	f.len = huge ? 3 * BK_HUGE : 1 << 20;
	f.tail = huge ? BK_HUGE : 64 << 10;
	f.fd = bk_file(kind, f.len);
	p = bk_map_file(kind, f.fd, NULL, f.tail, f.len - f.tail);
	pid = tap_spawn(operator_run, &f);
	for (round = 0; round < rounds; round++)
		file_round(&f, round, p);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	tap_diag("%s, %s: %u checks, %llu callbacks, %llu suspects", bk_kind_name(kind),
		 operation_names[operation], f.checks,
		 (unsigned long long)(bk_seen("seen_clear") + bk_seen("seen_unmap") - seen),
		 (unsigned long long)(bk_seen("suspect") - suspect));
	/* It really was announced, and lost, every time. */
	CHECK_GE(bk_seen("seen_clear") + bk_seen("seen_unmap") - seen, rounds);
	CHECK_GE(bk_seen("lost") - lost, rounds);
	CHECK_GE(f.checks, rounds);
	munmap(p, f.tail);
	close(f.fd);
	bk_end(&f.b);
}

#define FILE_TESTS(name, kind, words)							\
	TEST_TIMEOUT(name##_punch, "a hole punched into " words " by another process: never settled as valid", 300)	\
	{ file_race(kind, PUNCH); }							\
	TEST_TIMEOUT(name##_remove, "MADV_REMOVE of " words " by another process: never settled as valid", 300)	\
	{ file_race(kind, REMOVE); }							\
	TEST_TIMEOUT(name##_truncate, "truncation of " words " by another process: never settled as valid", 300)	\
	{ file_race(kind, TRUNCATE); }

FILE_TESTS(memfd, BK_MEMFD, "a memfd")
FILE_TESTS(tmpfs, BK_TMPFS, "a tmpfs file")
FILE_TESTS(huge_memfd, BK_HUGE_MEMFD, "a hugetlb memfd")
FILE_TESTS(hugetlbfs, BK_HUGETLBFS, "a hugetlbfs file")
FILE_TESTS(ext4, BK_EXT4, "an ext4 file under a read-only region")

TAP_MAIN()
