// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Is the word true, whatever has happened? Histories of two and three steps over
 * memory of each kind: who does what, to how much of it, and what is mapped then. A
 * word that is valid beside another page, no page, or an access that is a signal is a
 * fault; so is a region that is lost, or never settled, while all its pages are the
 * same and can be reached.
 *
 * Each test goes through the kinds of memory of its family. Every second history is
 * the next pair of steps (from a place that the seed decides; all pairs if the rounds
 * are enough), the others are three steps by chance. In half of them words are settled
 * after each step. BELAY_SEED=SEED:NUMBER, as a failure prints it, repeats just that one.
 */
#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

#define MAX_TABLE	96
/* From this number on a history is one of known[]. */
#define KNOWN		(1UL << 24)
/* Histories of each kind of memory; two for each step are the least (expect_all_ran()). */
#define TURNS		240
/* Of each known one. */
#define KNOWN_ROUNDS	20
/* Printed of one kind of fault in one kind of memory. */
#define SAY		2

struct history {
	uint32_t seed;
	unsigned long number;
	enum memory memory;
	enum holding holding;
	bool settles;			/* after each step */
	unsigned int n;
	const struct step *step[MAX_STEPS];
	unsigned int by[MAX_STEPS];
	unsigned int span[MAX_STEPS];	/* SPAN_ */
	int result[MAX_STEPS];
};

/* How much of the region a step is about. */
enum { SPAN_REGION, SPAN_PAGE, SPAN_SHIFTED, SPANS };

static const char *const span_names[SPANS] = { "", " (a page)", " (from before it)" };
static const char *const holding_names[HOLDINGS] = { "held", "tracked alone", "watched alone" };
static const char *const class_names[CLASSES] = {
	"takes entries away", "replaces pages", "brings entries back"
};

/* What has been done in this test, and what came out. */
struct record {
	struct tally tally;
	unsigned long histories, faulty;
	unsigned long stale;			/* of the faulty, valid for what is not there */
	unsigned long faults[MEMORIES][FAULTS];
	unsigned long worked[MEMORIES][CLASSES];
	unsigned long runs[MAX_TABLE], done[MAX_TABLE];
};

/* Each was wrong once. */
static const struct {
	enum memory memory;
	const char *step[2];
} known[] = {
	{ M_EXT4, { "MADV_DONTNEED", "O_DIRECT write" } },
	{ M_EXT4, { "MADV_PAGEOUT", "O_DIRECT write beside it" } },
	{ M_XFS, { "MADV_DONTNEED of all", "punch hole beside it" } },
	{ M_XFS, { "nothing", "truncate inside a page" } },
	{ M_XFS, { "MADV_DONTNEED of all", "O_DIRECT write beside it" } },
	{ M_TMPFS_HUGE, { "truncate", "access to the first page" } },
	{ M_TMPFS_HUGE, { "MADV_DONTNEED", "truncate" } },
	{ M_MEMFD, { "MADV_DONTNEED", "UFFDIO_POISON" } },
	{ M_HUGE_MEMFD, { "MADV_DONTNEED", "UFFDIO_POISON" } },
	/* A matter of chance. */
	{ M_HUGE_MEMFD, { "MADV_DONTNEED", "punch hole beside a fault" } },
};

#define KNOWN_COUNT	(sizeof(known) / sizeof(known[0]))

static const struct step *table[MAX_TABLE];
static unsigned int table_len;
static struct record all;

static void table_make(void)
{
	unsigned int i;

	table_len = 0;
	for (i = 0; i < space_step_count; i++)
		table[table_len++] = &space_steps[i];
	for (i = 0; i < file_step_count; i++)
		table[table_len++] = &file_steps[i];
	CHECK_LE(table_len, MAX_TABLE);
}

static bool applies(const struct step *s, enum memory m)
{
	unsigned int is = memory_is(m);

	/*
	 * 6.12: a truncation that begins inside a folio of shmem which is swapped out whole
	 * never ends (shmem_undo_range()).
	 */
	if (s->flags & SWAPS && (is & (IS_WIDE | IS_SHMEM)) == (IS_WIDE | IS_SHMEM))
		return false;
	/* 6.1 gives a poisoned page of a large folio out again, to the next file. */
	if (s->flags & SPOILS && m == M_XFS && is_6_1())
		return false;
	return (s->needs & is) == s->needs && !(s->without & is) &&
	       !(s->flags & NEWER && is_6_1());
}

static unsigned int step_index(const struct step *s)
{
	unsigned int i;

	for (i = 0; table[i] != s; i++)
		;
	return i;
}

/* ---- choosing ------------------------------------------------------------------------ */

static unsigned int applicable(enum memory m, const struct step **ret)
{
	unsigned int i, n = 0;

	for (i = 0; i < table_len; i++)
		if (applies(table[i], m))
			ret[n++] = table[i];
	return n;
}

static unsigned int one_bit(unsigned int bits, uint32_t *random)
{
	unsigned int n = bk_random(random) % __builtin_popcount(bits);

	while (n--)
		bits &= bits - 1;
	return bits & -bits;
}

static uint32_t mix(uint32_t seed, unsigned long number)
{
	uint64_t x = ((uint64_t)seed << 32 | number) * 0x9e3779b97f4a7c15ULL;

	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	return (uint32_t)(x >> 32) | 1;
}

static const struct step *by_name(const char *name, enum memory m)
{
	unsigned int i;

	for (i = 0; i < table_len; i++)
		if (!strcmp(table[i]->name, name) && applies(table[i], m))
			return table[i];
	return NULL;
}

/* False where this kernel has no such step. */
static bool choose_known(struct history *h, unsigned long i)
{
	unsigned int k;

	h->memory = known[i].memory;
	h->settles = true;
	h->n = 2;
	for (k = 0; k < h->n; k++) {
		h->step[k] = by_name(known[i].step[k], h->memory);
		if (!h->step[k])
			return false;
	}
	return true;
}

/*
 * Pair @turn of n * n: in n turns each step is the first once, and in n * n turns
 * each pair has been.
 */
static void choose_pair(struct history *h, unsigned long turn, const struct step **steps,
			unsigned int n)
{
	unsigned long first = (h->seed + turn) % n;

	h->n = 2;
	h->step[0] = steps[first];
	h->step[1] = steps[(first + h->seed / n + turn / n) % n];
}

/* Most take entries away first and replace pages last. */
static void choose_three(struct history *h, const struct step **steps, unsigned int n,
			 uint32_t *random)
{
	unsigned int i;

	h->n = 3;
	for (i = 0; i < h->n; i++) {
		enum class wanted = i == 0 ? TAKES : i == 1 ? BRINGS : REPLACES;
		bool any = bk_random(random) % 2;

		do
			h->step[i] = steps[bk_random(random) % n];
		while (!any && h->step[i]->class != wanted);
	}
}

/* What history @number is; false: nothing, on this kernel. */
static bool choose(struct history *h, uint32_t seed, unsigned long number, uint32_t *random)
{
	const struct step *steps[MAX_TABLE];
	unsigned long turn = number / MEMORIES;
	unsigned int i, n;

	memset(h, 0, sizeof(*h));
	h->seed = seed;
	h->number = number;
	h->memory = number % MEMORIES;
	n = applicable(h->memory, steps);
	*random = mix(seed, number);
	/* Half of them, and some, are held, which is the stricter comparison. */
	h->holding = bk_random(random) % 2 ? HELD : bk_random(random) % HOLDINGS;
	h->settles = bk_random(random) % 2;
	if (number >= KNOWN) {
		h->holding = HELD;
		if (!choose_known(h, (number - KNOWN) % KNOWN_COUNT))
			return false;
	} else if (turn % 2) {
		choose_three(h, steps, n, random);
	} else {
		choose_pair(h, turn / 2, steps, n);
	}
	for (i = 0; i < h->n; i++) {
		h->by[i] = one_bit(h->step[i]->by, random);
		h->span[i] = bk_random(random) % SPANS;
	}
	return true;
}

/* ---- one history ----------------------------------------------------------------------- */

static void set_span(struct act *a, unsigned int span, uint32_t *random)
{
	const struct place *p = &a->p;

	a->first = p->first;
	a->n = p->n;
	if (span == SPAN_PAGE) {
		a->first += bk_random(random) % p->n;
		a->n = 1;
	} else if (span == SPAN_SHIFTED && p->units <= 64) {
		/* Of the rest that is around it, as much as the steps' buffers hold. */
		a->first = p->first - 1;
		a->n = p->n > 1 ? p->n : p->units;
	}
}

static void step_run(struct history *h, unsigned int i, struct world *w, uint32_t *random)
{
	const struct step *s = h->step[i];
	unsigned int at = step_index(s);
	struct act a = { .p = w->p, .step = s };

	set_span(&a, h->span[i], random);
	if (s->flags & (UNMAPS | CUTS | POISONS) ||
	    (s->flags & DROPS && is_6_1() && w->p.is & IS_HUGETLB))
		w->excused = true;
	w->hidden |= !!(s->flags & HIDES);
	all.runs[at]++;
	if (s->run)
		h->result[i] = act_by(h->by[i], &a);
	else
		settle(w);
	if (!h->result[i]) {
		all.done[at]++;
		all.worked[h->memory][s->class]++;
	}
}

static void say(const struct history *h, const struct world *w)
{
	char line[1024];
	int at = 0;
	unsigned int i;

	at += snprintf(line, sizeof(line), "%s%s %s%s%s:", memory_name(h->memory),
		       w->p.is & IS_DISK ? w->dirty ? " (dirty)" : " (clean)" : "",
		       holding_names[h->holding], w->write ? "" : ", read-only region",
		       h->settles ? ", settled each time" : "");
	for (i = 0; i < h->n; i++) {
		at += snprintf(line + at, sizeof(line) - at, "%s %s%s by %s", i ? ";" : "",
			       h->step[i]->name, span_names[h->span[i]], actor_name(h->by[i]));
		if (h->result[i])
			at += snprintf(line + at, sizeof(line) - at, " (%s)",
				       strerror(-h->result[i]));
	}
	tap_diag("BELAY_SEED=%u:%lu  %s; %s", h->seed, h->number, line, w->fault);
}

static void account(const struct history *h, const struct world *w)
{
	unsigned int f, worst;

	if (!w->found)
		return;
	all.faulty++;
	worst = 31 - __builtin_clz(w->found);
	all.stale += worst >= VALID_UNMAPPED;
	if (all.faults[h->memory][worst] < SAY)
		say(h, w);
	for (f = 0; f < FAULTS; f++)
		all.faults[h->memory][f] += w->found >> f & 1;
}

static void live(struct bk *b, uint32_t seed, unsigned long number)
{
	struct history h;
	struct world w;
	uint32_t random;
	unsigned int i;

	if (!choose(&h, seed, number, &random))
		return;
	world_make(&w, b, h.memory, h.holding, &random, (uint64_t)number + 1);
	for (i = 0; i < h.n; i++) {
		step_run(&h, i, &w, &random);
		compare(&w, &all.tally, "at once");
		if (!h.settles)
			continue;
		settle(&w);
		compare(&w, &all.tally, "settled between");
	}
	judge(&w, &all.tally, bk_random(&random));
	account(&h, &w);
	all.histories++;
	world_unmake(&w);
}

/* ---- many ------------------------------------------------------------------------------- */

static void summary(const enum memory *memories, unsigned int n, double seconds)
{
	const struct tally *t = &all.tally;
	unsigned int i, f;

	if (!all.histories) {
		tap_diag("none of this test's histories has that number");
		return;
	}
	tap_diag("%lu histories, %.1f ms each; %lu words compared: %lu valid, %lu suspect, %lu lost",
		 all.histories, seconds * 1e3 / all.histories, t->compared, t->valid, t->suspect,
		 t->lost);
	tap_diag("the truth beside them: %lu times the same pages, %lu not mapped, %lu replaced, %lu signals",
		 t->same, t->unmapped, t->replaced, t->signals);
	for (i = 0; i < n; i++)
		for (f = 0; f < FAULTS; f++)
			if (all.faults[memories[i]][f])
				tap_diag("%s: %s: %lu histories", memory_name(memories[i]),
					 fault_name(f), all.faults[memories[i]][f]);
}

/* Steps of each class have worked with each memory, and each step with some. */
static void expect_all_ran(const enum memory *memories, unsigned int n, unsigned int turns)
{
	const struct tally *t = &all.tally;
	unsigned int i, c, k;

	for (i = 0; i < n; i++)
		for (c = 0; c < CLASSES; c++)
			if (!all.worked[memories[i]][c])
				FAIL("%s: no step that %s has worked", memory_name(memories[i]),
				     class_names[c]);
	/* In two turns for each step, each is a first step once. */
	for (i = 0; i < table_len && turns >= 2 * table_len; i++) {
		for (k = 0; k < n && !applies(table[i], memories[k]); k++)
			;
		if (k < n && !all.done[i])
			FAIL("%s was tried %lu times and has never worked", table[i]->name,
			     all.runs[i]);
	}
	CHECK(t->same && t->unmapped && t->replaced);
	CHECK(t->valid && t->lost);
}

/* The number behind the colon of BELAY_SEED, or any. */
static bool is_wanted(unsigned long number)
{
	const char *text = getenv("BELAY_SEED");

	text = text ? strchr(text, ':') : NULL;
	return !text || strtoul(text + 1, NULL, 0) == number;
}

/* One for all tests of the program, so that the one that it printed last repeats all. */
static __attribute__((constructor)) void choose_seed(void)
{
	struct timespec ts;
	char text[16];

	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(text, sizeof(text), "%u", (uint32_t)(ts.tv_nsec ^ ts.tv_sec << 10) | 1);
	setenv("BELAY_SEED", text, 0);
}

static void begin(struct bk *b)
{
	table_make();
	memset(&all, 0, sizeof(all));
	actors_start();
	world_prepare();
	truth_open();
	bk_begin(b);
}

static void end(struct bk *b, const enum memory *memories, unsigned int n, double start)
{
	truth_close();
	bk_end(b);
	actors_stop();
	world_end();
	summary(memories, n, tap_now() - start);
}

static void expect_true(void)
{
	if (all.stale)
		FAIL_FINAL("%lu histories of %lu in which a word was valid and should not",
			   all.stale, all.histories);
	if (all.faulty)
		FAIL_FINAL("%lu histories of %lu in which the word was not true", all.faulty,
			   all.histories);
}

static void family(const enum memory *memories, unsigned int n)
{
	unsigned int i, turn, turns = bk_rounds(TURNS);
	uint32_t seed = bk_seed();
	unsigned long number;
	double start;
	struct bk b;

	begin(&b);
	start = tap_now();
	for (turn = 0; turn < turns; turn++)
		for (i = 0; i < n; i++) {
			number = (unsigned long)turn * MEMORIES + memories[i];
			if (is_wanted(number))
				live(&b, seed, number);
		}
	end(&b, memories, n, start);
	if (all.histories == turns * n)
		expect_all_ran(memories, n, turns);
	expect_true();
}

#define FAMILY(name, claim, ...)						\
	TEST_TIMEOUT(name, claim, 240)						\
	{									\
		static const enum memory memories[] = { __VA_ARGS__ };		\
										\
		family(memories, sizeof(memories) / sizeof(memories[0]));	\
	}

FAMILY(anonymous, "histories of anonymous memory, small and huge pages: the word is true",
       M_ANON, M_THP, M_SHARED_ANON)
FAMILY(shmem, "histories of memfd, tmpfs and /dev/shm files, also over overlayfs: the word is true",
       M_MEMFD, M_TMPFS, M_TMPFS_HUGE, M_SHM, M_OVERLAY_TMPFS)
FAMILY(hugetlb, "histories of hugetlb memory: the word is true",
       M_HUGE_ANON, M_HUGE_SHARED, M_HUGE_MEMFD)
FAMILY(disk_files, "histories of files on ext4, XFS and overlayfs, read-only: the word is true",
       M_EXT4, M_XFS, M_OVERLAY)
FAMILY(private_files, "histories of private mappings of files on ext4 and XFS: the word is true",
       M_EXT4_PRIVATE, M_XFS_PRIVATE, M_UNWRITTEN_PRIVATE)

/* Those that take chance to go wrong have several. */
TEST_TIMEOUT(known, "histories that were wrong once, 20 times each: the word is true", 240)
{
	static const enum memory memories[] = { M_EXT4, M_XFS, M_TMPFS_HUGE, M_MEMFD, M_HUGE_MEMFD };
	unsigned int i, rounds = bk_rounds(KNOWN_ROUNDS * KNOWN_COUNT);
	uint32_t seed = bk_seed();
	double start;
	struct bk b;

	begin(&b);
	start = tap_now();
	for (i = 0; i < rounds; i++)
		if (is_wanted(KNOWN + i))
			live(&b, seed, KNOWN + i);
	end(&b, memories, sizeof(memories) / sizeof(memories[0]), start);
	/* On 6.1 some of them cannot be. */
	if (all.histories > 1)
		CHECK_GE(all.histories, rounds / 2);
	expect_true();
}

TAP_MAIN()
