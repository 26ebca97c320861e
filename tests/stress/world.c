// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* world.c - what the acts meet over, and the rules that hold afterwards; see acts.h */
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/lib/tap.h"
#include "tests/stress/acts.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* Where nothing else is ever mapped: a hole there stays one. */
#define PLACE		((char *)0x200000000UL)
#define MOVED		((char *)0x240000000UL)
#define ROOM		PAGES(12)

static const struct {
	uint32_t kind;
	bool prepared;
	bool file;
} kinds[] = {
	{ BELAY_PINNED, false, false },
	{ BELAY_PINNED, false, true },
	{ BELAY_TRACKED, true, false },
	{ BELAY_TRACKED, false, true },
	{ BELAY_PINNED, false, false },
	{ BELAY_WATCHED, true, false },
	{ BELAY_TRACKED, false, false },
	{ BELAY_WATCHED, false, true },
};
#define NR_KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct bk session_of(const struct world *w)
{
	return (struct bk){ .ctl = w->b.ctl, .fd = w->fd, .words = w->words };
}

/* ---- before ---------------------------------------------------------------------- */

static void unmap_words(struct world *w)
{
	if (w->words)
		munmap((void *)w->words, BELAY_WORDS_MAX * sizeof(uint64_t));
	w->words = NULL;
}

static void open_session(struct world *w)
{
	struct belay_ctl_grant g;

	unmap_words(w);
	bk_grant(w->b.ctl, w->below, getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED, &g);
	CHECK_SYS(dup2(g.fd, w->fd));
	close(g.fd);
	w->grant = g.grant;
	w->session = g.session;
	if (!(w->flags & CLOSES))
		w->words = bk_words(w->fd);
}

void world_begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->pins = bk_pins();
	bk_begin(&w->b);
	w->below = bk_account(w->b.ctl, w->b.account, BELAY_UNLIMITED, BELAY_UNLIMITED);
	w->fd = CHECK_SYS(dup(w->b.fd));
	w->keeper = -1;
	w->reader = CHECK_SYS(open("/dev/belay", O_RDONLY | O_CLOEXEC));
	w->zeroes = CHECK_SYS(open("/dev/zero", O_RDONLY | O_CLOEXEC));
	w->file = -1;
	w->moved = MOVED;
}

void world_end(struct world *w)
{
	unmap_words(w);
	close(w->fd);
	close(w->reader);
	close(w->zeroes);
	bk_remove_account(w->b.ctl, w->below);
	bk_end(&w->b);
	CHECK_SOON(bk_pins() == w->pins, 5);
}

void world_of(struct world *w, unsigned int n, const struct act *const *list)
{
	unsigned int i;

	w->n = n;
	w->flags = 0;
	for (i = 0; i < n; i++) {
		w->acts[i] = list[i];
		w->flags |= list[i]->flags;
		w->tally[i] = 0;
	}
	w->round = 0;
	open_session(w);
}

static void map_memory(struct world *w, bool shared)
{
	int flags = MAP_FIXED_NOREPLACE | (shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);

	if (shared) {
		w->file = CHECK_SYS(memfd_create("belay", MFD_CLOEXEC));
		CHECK_SYS(ftruncate(w->file, ROOM));
	}
	w->p = CHECK_SYS(mmap(PLACE, ROOM, PROT_READ | PROT_WRITE, flags, w->file, 0));
	memset(w->p, 1, ROOM);
}

static void before(struct world *w)
{
	/* An order is about pinned ones. */
	unsigned int kind = w->flags & ORDERS && w->round % 3 ? w->round % 2 :
			    w->round / (w->flags & ORDERS ? 3 : 1) % NR_KINDS;

	memset(w->parts, 0, sizeof(w->parts));
	memset(w->extra, 0, sizeof(w->extra));
	if (w->flags & CLOSES)
		open_session(w);
	if (w->flags & CLOSES && w->round / NR_KINDS % 2)
		w->keeper = bk_grant(w->b.ctl, w->below, getpid(), 0, 0, NULL);
	if (w->flags & LIMITS)
		CHECK_OK(bk_set_limit(w->b.ctl, w->grant, BELAY_LIMIT_GRANT, BELAY_UNLIMITED,
				      BELAY_UNLIMITED));
	map_memory(w, kinds[kind].file);
	w->kind = kinds[kind].kind;
	w->prepared = kinds[kind].prepared;
	do
		CHECK_OK(bk_register(w->fd, w->p, PAGES(8), w->kind, W, &w->r));
	while (w->kind != BELAY_PINNED && !w->prepared && bk_commit(w->fd, w->r.id) &&
	       !bk_unregister(w->fd, w->r.id));
	w->is_sure = w->flags & SURELY || (w->kind == BELAY_PINNED && w->flags & LOSES);
	w->waits_for_all = w->n == 2 && w->round / 3 % 2;
}

/* ---- after: what they were told ----------------------------------------------------- */

/* The flags of all acts but one, and of those only that succeeded. */
static uint32_t others(const struct world *w, unsigned int but, bool succeeded)
{
	uint32_t flags = 0;
	unsigned int i;

	for (i = 0; i < w->n; i++)
		if (i != but && (!succeeded || !w->results[i]))
			flags |= w->acts[i]->flags;
	return flags;
}

static void expect_result(struct world *w, unsigned int who)
{
	const struct act *a = w->acts[who];
	int err = w->results[who];
	unsigned int i;

	if (!err) {
		w->tally[who]++;
		return;
	}
	for (i = 0; i < sizeof(a->may) / sizeof(a->may[0]); i++)
		if (err == a->may[i].err &&
		    (a->may[i].because == ALWAYS || others(w, who, false) & a->may[i].because))
			break;
	if (i == sizeof(a->may) / sizeof(a->may[0]))
		FAIL("round %u, kind %u: %s was told %s", w->round, w->kind, a->name,
		     strerrorname_np(-err));
	/* There is no region any more: then somebody has let it go. */
	if (err == -ENOENT && !(a->flags & (LIMITS | REMOVES)) && strcmp(a->name, "grant") &&
	    !(others(w, who, true) & ENDS))
		FAIL("round %u: %s came too late, and nobody was before it", w->round, a->name);
}

static void expect_one_winner(struct world *w)
{
	unsigned int i, taken = 0, trimmed = 0, recalled = 0;

	for (i = 0; i < w->n; i++) {
		if (w->results[i])
			continue;
		taken += !!(w->acts[i]->flags & TAKES);
		trimmed += w->parts[i][0].id != 0;
		recalled += !!(w->acts[i]->flags & RECALLS);
	}
	CHECK_LE(taken, 1);
	/* A recalled region cannot be trimmed; and parts are other regions. */
	if (trimmed && recalled)
		FAIL("round %u: a region was both recalled and trimmed", w->round);
}

/* A wait that has ended, and what it waited for is held by parts, or as before. */
static void expect_waited(struct world *w, unsigned int who)
{
	uint32_t happened = others(w, who, true);
	bool held = w->kind != BELAY_WATCHED && !(happened & ENDS) &&
		!(w->kind == BELAY_PINNED && happened & LOSES);

	if (w->waits_for_all && w->kind != BELAY_WATCHED && w->flags & TAKES &&
	    w->parts[!who][0].id)
		held = true;
	if (w->results[who] && w->is_sure)
		FAIL("round %u: a wait did not hear that nothing is held", w->round);
	if (!w->results[who] && held)
		FAIL("round %u, kind %u: a wait has ended, and it is held", w->round, w->kind);
}

/* ---- after: the words --------------------------------------------------------------- */

/*
 * Pages may have been replaced, by what would not do so if they were pinned; or have
 * left the page table, where only a pin keeps them what they are.
 */
static bool may_have_moved(const struct world *w)
{
	return w->kind != BELAY_PINNED &&
		(w->flags & STIRS || (w->flags & FORKS && w->file < 0));
}

static void expect_valid(struct world *w, const struct bk_region *r, uint32_t but)
{
	struct bk b = session_of(w);
	uint32_t state = bk_settle(&b, r);

	if (state != but)
		FAIL("round %u, kind %u: the word says %#x, not %#x", w->round, w->kind, state, but);
}

static void expect_lost(struct world *w, const struct bk_region *r)
{
	struct bk b = session_of(w);
	uint32_t state;

	CHECK_FINAL(!bk_valid(&b, r));
	state = bk_settle(&b, r);
	if (!(state & BELAY_WORD_LOST))
		FAIL("round %u, kind %u: lost, and the word says %#x", w->round, w->kind, state);
}

static void expect_part(struct world *w, const struct bk_region *part)
{
	char *replaced = w->p + PAGES(5);

	if (w->flags & LOSES)
		expect_lost(w, part);
	else if (w->flags & REPLACES && replaced >= part->addr && replaced < part->addr + part->len) {
		if (w->kind != BELAY_WATCHED)
			expect_lost(w, part);
	} else if (!may_have_moved(w))
		expect_valid(w, part, 0);
}

static void expect_words(struct world *w)
{
	uint32_t happened = others(w, MEET_MAX, true);
	struct bk b = session_of(w);
	unsigned int i, j;

	if (happened & ENDS)
		CHECK_FINAL(!bk_valid(&b, &w->r));
	else if (w->flags & LOSES || (w->flags & REPLACES && w->kind != BELAY_WATCHED))
		expect_lost(w, &w->r);
	else if (!(w->flags & REPLACES) && !may_have_moved(w))
		expect_valid(w, &w->r, happened & RECALLS ? BELAY_WORD_RECALLED : 0);
	for (i = 0; i < w->n; i++)
		for (j = 0; j < 2; j++)
			if (w->parts[i][j].id)
				expect_part(w, &w->parts[i][j]);
}

/* ---- after: nothing is left ---------------------------------------------------------- */

static void let_go_of(struct world *w, uint64_t region)
{
	int err = region ? bk_unregister(w->fd, region) : 0;

	CHECK(!err || err == -ENOENT);
}

/* Below the account that everything hangs below. */
static bool is_uncharged(const struct world *w)
{
	struct belay_level l[2];

	CHECK_EQ(bk_levels(w->b.fd, l, 2), 2);
	return !l[1].usage_bytes && !l[1].usage_regions;
}

/* Who recalls hears of the end, once and for all; who came too late does not. */
static void expect_heard(struct world *w)
{
	uint64_t id = w->r.id;

	if (!(w->flags & RECALLS) || w->flags & (HEARS | OWNS))
		return;
	if (others(w, MEET_MAX, true) & RECALLS)
		CHECK_SOON(bk_find_event(w->b.ctl, w->session, id, BELAY_EVENT_GONE, NULL), 5);
	else
		CHECK(!bk_find_event(w->b.ctl, w->session, id, BELAY_EVENT_GONE, NULL));
}

static void clean_up(struct world *w)
{
	unsigned int i;

	let_go_of(w, w->r.id);
	for (i = 0; i < w->n; i++) {
		let_go_of(w, w->parts[i][0].id);
		let_go_of(w, w->parts[i][1].id);
		let_go_of(w, w->extra[i].id);
		if (w->acts[i]->flags & REMOVES && !w->results[i])
			w->below = bk_account(w->b.ctl, w->b.account, BELAY_UNLIMITED,
					      BELAY_UNLIMITED);
	}
	if (w->keeper >= 0)
		close(w->keeper);
	w->keeper = -1;
	CHECK_SOON(is_uncharged(w), 5);
	expect_heard(w);
	bk_drain_events(w->b.ctl);
	CHECK_SYS(munmap(w->p, ROOM));
	CHECK_SYS(munmap(w->moved, PAGES(8)));
	if (w->file >= 0)
		close(w->file);
	w->file = -1;
}

void world_expect_nothing(struct world *w)
{
	CHECK_SOON(bk_sysfs("regions") == 0, 5);
	CHECK_SOON(bk_sysfs("held_bytes") == 0, 5);
	CHECK_EQ(bk_sysfs("pinned_bytes"), 0);
	CHECK_EQ(bk_sysfs("tracked_bytes"), 0);
	CHECK_EQ(bk_sysfs("charged_bytes"), 0);
	CHECK_EQ(bk_vm_pin(), 0);
}

static int run_act(void *arg, unsigned int who)
{
	struct world *w = arg;

	return w->acts[who]->run(w, who);
}

void world_meet(struct world *w, struct meet *m)
{
	struct meet_act now[MEET_MAX];
	unsigned int i;

	before(w);
	for (i = 0; i < w->n; i++)
		now[i] = (struct meet_act){
			.run = run_act,
			.arg = w,
			.blocks = w->is_sure && w->acts[i]->flags & WAITS,
		};
	meet(m, now);
	for (i = 0; i < w->n; i++)
		w->results[i] = m->at[i].result;
	for (i = 0; i < w->n; i++) {
		expect_result(w, i);
		if (w->acts[i]->flags & WAITS)
			expect_waited(w, i);
	}
	expect_one_winner(w);
	if (w->words)
		expect_words(w);
	clean_up(w);
	w->round++;
}
