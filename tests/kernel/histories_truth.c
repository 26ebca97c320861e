// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What is true of a region, by the kernel's own account, and belay's words beside it.
 *
 * /proc/self/pagemap tells what each address maps. The word is read before it and
 * after it: it turns before the page table changes, so a word that is valid both
 * times beside an entry that is gone is a fault, unless the entry came back and the
 * word with it in between; what is a fault is still one when it is looked at again.
 *
 * A frame number says which page it is only while the page cannot be freed. So of
 * memory that is held each page is referenced by a pipe (vmsplice), and the numbers
 * decide. Of memory that nobody holds, a page with the same number may be another
 * one, which is counted as the same; and it may be lost for good reason (it was
 * reclaimed and read again), so a loss is never held against belay there.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "tests/kernel/histories.h"
#include "tests/lib/tap.h"

#define PRESENT		(1ULL << 63)
#define FRAME		((1ULL << 55) - 1)
/* Times that a fault must be seen. */
#define LOOKS		3
/* Until a word that is suspect stays so: in seconds, and in calls of BELAY_CHECK. */
#define SETTLE_SECONDS	2
#define SETTLE_CHECKS	200

static int pagemap = -1;

bool is_6_1(void)
{
	static struct utsname u;

	if (!u.release[0])
		uname(&u);
	return !strncmp(u.release, "6.1.", 4);
}

const char *fault_name(enum fault f)
{
	static const char *const names[FAULTS] = {
		[STAYS_SUSPECT] = "stays suspect, and nothing changed",
		[LOST_FOR_NOTHING] = "lost, and nothing changed",
		[VALID_UNMAPPED] = "valid, and nothing is mapped",
		[VALID_READS_OTHERWISE] = "valid, and the file reads otherwise",
		[VALID_SIGNAL] = "valid, and an access is a signal",
		[VALID_OTHER] = "valid, and another page is mapped",
	};

	return names[f];
}

static __attribute__((format(printf, 3, 4)))
void record(struct world *w, enum fault f, const char *fmt, ...)
{
	bool worse = w->found >> f == 0;
	va_list ap;

	w->found |= 1U << f;
	if (!worse)
		return;
	va_start(ap, fmt);
	vsnprintf(w->fault, sizeof(w->fault), fmt, ap);
	va_end(ap);
}

static const char *kind_name(uint32_t kind)
{
	return kind == BELAY_PINNED ? "pinned" : kind == BELAY_TRACKED ? "tracked" : "watched";
}

/* ---- frames -------------------------------------------------------------------------- */

void truth_open(void)
{
	pagemap = CHECK_SYS(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
}

void truth_close(void)
{
	close(pagemap);
}

/* The frame of each unit, 0: nothing is mapped. */
static void frames(const struct place *p, uint64_t *ret)
{
	uintptr_t page = (uintptr_t)unit_at(p, p->first) / BK_PAGE;
	ssize_t bytes = p->n * sizeof(*ret);
	unsigned int i;

	/* A region of huge pages is one. */
	CHECK_EQ(pread(pagemap, ret, bytes, page * sizeof(*ret)), bytes);
	for (i = 0; i < p->n; i++)
		ret[i] = ret[i] & PRESENT ? ret[i] & FRAME : 0;
}

/* Each page of a huge one shares its reference: the first small page will do. */
static void keep(struct world *w)
{
	const struct place *p = &w->p;
	struct iovec pages = { unit_at(p, p->first), p->n * BK_PAGE };

	CHECK_SYS(pipe2(w->keeper, O_CLOEXEC));
	CHECK_EQ(vmsplice(w->keeper[1], &pages, 1, 0), pages.iov_len);
}

static bool all_mapped(const struct world *w)
{
	unsigned int i;

	for (i = 0; i < w->p.n && w->frame[i]; i++)
		;
	return i == w->p.n;
}

void truth_begin(struct world *w)
{
	unsigned int looks = 0;

	w->keeper[0] = w->keeper[1] = -1;
	if (w->holding == HELD)
		keep(w);
	/* While a migration is tried an entry is away for a moment. */
	do {
		if (looks)
			usleep(1000);
		frames(&w->p, w->frame);
	} while (!all_mapped(w) && ++looks < 100);
	if (!all_mapped(w))
		FAIL("%s: a page that has just been registered is not mapped",
		     memory_name(w->memory));
}

void truth_end(struct world *w)
{
	if (w->keeper[0] < 0)
		return;
	close(w->keeper[0]);
	close(w->keeper[1]);
}

/* ---- words --------------------------------------------------------------------------- */

static bool any_suspect(const struct world *w)
{
	unsigned int i;
	uint32_t state;

	for (i = 0; i < w->regions; i++) {
		state = bk_state(w->b, &w->region[i]);
		if (state & BELAY_WORD_SUSPECT && !(state & BELAY_WORD_LOST))
			return true;
	}
	return false;
}

void settle(struct world *w)
{
	double end = tap_now() + SETTLE_SECONDS;
	unsigned int i, checks = 0;

	for (;;) {
		for (i = 0; i < w->regions; i++)
			if (bk_state(w->b, &w->region[i]))
				bk_check(w->b->fd, w->region[i].id);
		if (!any_suspect(w) || (++checks >= SETTLE_CHECKS && tap_now() > end))
			return;
		/* The worker has its turn, too. */
		usleep(checks < 10 ? 100 : 2000);
	}
}

/* ---- comparing -------------------------------------------------------------------------- */

static void count(const struct world *w, struct tally *t, const uint64_t *now)
{
	bool unmapped = false, replaced = false, signals = false;
	unsigned int i;
	uint32_t state;

	for (i = 0; i < w->p.n; i++) {
		unmapped |= !now[i];
		replaced |= now[i] && now[i] != w->frame[i];
		signals |= w->faulted[i];
	}
	t->compared += w->regions;
	t->replaced += replaced;
	t->signals += !replaced && signals;
	t->unmapped += !replaced && !signals && unmapped;
	t->same += !replaced && !signals && !unmapped;
	for (i = 0; i < w->regions; i++) {
		state = bk_state(w->b, &w->region[i]);
		t->valid += !state;
		t->lost += !!(state & BELAY_WORD_LOST);
		t->suspect += state == BELAY_WORD_SUSPECT;
	}
}

/* Which of the words that are valid are not true, as bits; which page says so. */
static unsigned int untrue(const struct world *w, uint64_t *now, unsigned int *ret_page,
			   enum fault *ret_fault)
{
	unsigned int i, page = w->p.n, valid = 0;

	for (i = 0; i < w->regions; i++)
		valid |= bk_valid(w->b, &w->region[i]) << i;
	frames(&w->p, now);
	for (i = 0; i < w->regions; i++)
		valid &= ~(!bk_valid(w->b, &w->region[i]) << i);
	*ret_fault = STAYS_SUSPECT;
	for (i = 0; i < w->p.n; i++) {
		enum fault f = STAYS_SUSPECT;

		if (now[i] && now[i] != w->frame[i])
			f = VALID_OTHER;
		else if (w->faulted[i])
			f = VALID_SIGNAL;
		else if (!now[i])
			f = VALID_UNMAPPED;
		if (f > *ret_fault) {
			*ret_fault = f;
			page = i;
		}
	}
	*ret_page = page;
	return page == w->p.n ? 0 : valid;
}

static void say_untrue(struct world *w, unsigned int bad, enum fault f, unsigned int page,
		       uint64_t now, const char *moment)
{
	char whose[40] = "";
	unsigned int i;

	for (i = 0; i < w->regions; i++)
		if (bad >> i & 1) {
			strcat(whose, whose[0] ? ", " : "");
			strcat(whose, kind_name(w->kind[i]));
		}
	if (f == VALID_SIGNAL)
		record(w, f, "%s: %s valid, page %u: the access is a signal", moment, whose, page);
	else if (now)
		record(w, f, "%s: %s valid, page %u: frame %llx -> %llx", moment, whose, page,
		       (unsigned long long)w->frame[page], (unsigned long long)now);
	else
		record(w, f, "%s: %s valid, page %u: frame %llx -> nothing", moment, whose, page,
		       (unsigned long long)w->frame[page]);
}

void compare(struct world *w, struct tally *t, const char *moment)
{
	unsigned int i, looks = 0, page, bad;
	uint64_t now[MAX_UNITS];
	enum fault f;

	do {
		if (looks)
			usleep(200);
		bad = untrue(w, now, &page, &f);
	} while (bad && ++looks < LOOKS);
	if (bad)
		say_untrue(w, bad, f, page, now[page], moment);
	for (i = 0; i < w->p.n; i++)
		if (now[i] && now[i] != w->frame[i])
			w->excused = true;
	count(w, t, now);
}

/* The word says that this is the file's page: then read() gives what is mapped. */
static void compare_read(struct world *w)
{
	const struct place *p = &w->p;
	unsigned int i, k, valid = 0;
	uint64_t mapped, read;

	if (p->fd < 0 || !(p->is & IS_SHARED))
		return;
	for (k = 0; k < w->regions; k++)
		valid += bk_valid(w->b, &w->region[k]);
	for (i = 0; valid && i < p->n; i++) {
		if (w->faulted[i])
			return;
		mapped = *(volatile uint64_t *)unit_at(p, p->first + i);
		if (pread(p->fd, &read, sizeof(read), (p->first + i) * p->unit) != sizeof(read))
			continue;
		if (mapped == read)
			continue;
		for (k = 0; k < w->regions; k++)
			if (bk_valid(w->b, &w->region[k]))
				record(w, VALID_READS_OTHERWISE,
				       "in the end: %s valid, page %u: maps %llx, the file has %llx",
				       kind_name(w->kind[k]), i, (unsigned long long)mapped,
				       (unsigned long long)read);
	}
}

/* Before, in and behind the region, in an order of several. */
static void touch_in_order(struct world *w, unsigned int order)
{
	const struct place *p = &w->p;
	unsigned int i, k;

	if (order & 1)
		touch_one(unit_at(p, p->units - 1), false);
	if (order & 2)
		touch_one(unit_at(p, p->first - 1), false);
	for (i = 0; i < p->n; i++) {
		k = order & 4 ? p->n - 1 - i : i;
		w->faulted[k] = touch_one(unit_at(p, p->first + k), order & 8 && p->prot & PROT_WRITE);
	}
}

/*
 * Losses that are documented, or that a region's use does not rule out:
 *  - of memory that nobody holds;
 *  - 6.1 says of huge pages that they are unmapped where only their entries go.
 * Shared memory under mremap(MREMAP_DONTUNMAP) counts as unmapped in the table of steps.
 */
static bool may_be_lost(const struct world *w)
{
	return w->excused || w->holding != HELD;
}

static void compare_same(struct world *w, const char *moment)
{
	unsigned int i;
	uint32_t state;

	if (may_be_lost(w))
		return;
	for (i = 0; i < w->regions; i++) {
		state = bk_state(w->b, &w->region[i]);
		if (state & BELAY_WORD_LOST)
			record(w, LOST_FOR_NOTHING, "%s: %s lost, and all pages are the same",
			       moment, kind_name(w->kind[i]));
		else if (state & BELAY_WORD_SUSPECT)
			record(w, STAYS_SUSPECT, "%s: %s suspect, and all pages are the same",
			       moment, kind_name(w->kind[i]));
	}
}

void judge(struct world *w, struct tally *t, unsigned int order)
{
	const struct place *p = &w->p;
	unsigned int i, suspect = 0;
	uint64_t now[MAX_UNITS];
	bool same = true;

	settle(w);
	compare(w, t, "settled");
	for (i = 0; i < w->regions; i++)
		suspect |= (bk_state(w->b, &w->region[i]) == BELAY_WORD_SUSPECT) << i;
	if (w->hidden)
		mprotect(p->map, p->units * p->unit, p->prot);
	touch_in_order(w, order);
	compare(w, t, "touched");
	settle(w);
	compare(w, t, "in the end");
	compare_read(w);
	frames(p, now);
	for (i = 0; i < p->n; i++)
		same &= now[i] == w->frame[i] && !w->faulted[i];
	if (!same)
		return;
	compare_same(w, "in the end");
	/* A client's own call is to bring back what can be had. */
	for (i = 0; i < w->regions && !w->hidden && !may_be_lost(w); i++)
		if (suspect >> i & 1)
			record(w, STAYS_SUSPECT, "settled: %s suspect, and all pages are the same",
			       kind_name(w->kind[i]));
}
