// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * ioctl_fuzz_break.c - what can be wrong with a call; see ioctl_fuzz.h
 *
 * Each says whether it can be done to that command, and if it is clear what the module
 * must say, which: of several things that are wrong it may name any, so that only counts
 * if there is one.
 */
#include <errno.h>
#include <unistd.h>

#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

static bool must(struct fuzz_op *op, int expected)
{
	op->must_fail = true;
	op->expected = expected;
	return true;
}

uint64_t fuzz_random64(struct fuzz_thread *t)
{
	uint64_t high = bk_random(&t->seed);

	return high << 32 | bk_random(&t->seed);
}

/* At the edges of what numbers and addresses can be. */
static uint64_t boundary(struct fuzz_thread *t)
{
	static const uint64_t values[] = {
		0, 1, 7, BK_PAGE - 1, BK_PAGE, BK_PAGE + 1, INT32_MAX, 1ULL << 31, UINT32_MAX,
		1ULL << 32, 1ULL << 47, (1ULL << 47) - BK_PAGE, INT64_MAX, 1ULL << 63,
		-(2 * BK_PAGE), -BK_PAGE, -1ULL,
	};
	uint32_t n = sizeof(values) / sizeof(values[0]), which = fuzz_choose(t, n + 2);

	return which < n ? values[which] : fuzz_random64(t);
}

static void set(char *at, unsigned int size, uint64_t value)
{
	memcpy(at, &value, size < sizeof(value) ? size : sizeof(value));
}

static uint64_t get(const char *at, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, at, size < sizeof(value) ? size : sizeof(value));
	return value;
}

/* ---- the struct's size --------------------------------------------------------------- */

static bool too_short(struct fuzz_thread *t, struct fuzz_op *op)
{
	FUZZ_SET(op, 0, uint32_t, fuzz_choose(t, op->c->size));
	return must(op, EINVAL);
}

static bool unknown_part(struct fuzz_thread *t, struct fuzz_op *op)
{
	uint32_t more = 1 + fuzz_choose(t, BK_PAGE - op->c->size);

	FUZZ_SET(op, 0, uint32_t, op->c->size + more);
	op->arg[op->c->size + fuzz_choose(t, more)] = 1 + fuzz_choose(t, 255);
	return must(op, E2BIG);
}

static bool too_long(struct fuzz_thread *t, struct fuzz_op *op)
{
	FUZZ_SET(op, 0, uint32_t, fuzz_choose(t, 2) ? BK_PAGE + 1 : ~fuzz_choose(t, 1 << 30));
	return must(op, E2BIG);
}

/* ---- where the struct is ---------------------------------------------------------------- */

static bool arg_nowhere(struct fuzz_thread *t, struct fuzz_op *op)
{
	op->arg_at = fuzz_nowhere(t);
	op->sees_arg = false;
	return must(op, EFAULT);
}

/* The answer cannot be written: what was done is undone. */
static bool arg_read_only(struct fuzz_thread *t, struct fuzz_op *op)
{
	op->arg_at = (uintptr_t)t->read_only;
	op->sees_arg = op->sees_entries = false;
	return must(op, 0);
}

/* A part of it is not mapped. */
static bool arg_cut(struct fuzz_thread *t, struct fuzz_op *op)
{
	uint32_t part = fuzz_choose(t, op->c->size);
	char *at = t->scratch + SCRATCH_LEN - part;

	if (op->c->entry_size)
		return false;
	memcpy(at, op->arg, part);
	t->dirty = SCRATCH_ENTRIES;
	op->arg_at = (uintptr_t)at;
	op->sees_arg = false;
	return must(op, EFAULT);
}

/* From the scratch, by a call that can fail. */
static void put_in_arena(struct fuzz_thread *t, const char *from, size_t len, uint64_t *ret_at)
{
	*ret_at = fuzz_in_arena(t) + fuzz_choose(t, 2) * (BK_PAGE - len / 2);
	if (pread(t->file, (void *)(uintptr_t)*ret_at, len, from - t->scratch) > 0)
		fuzz_add(&fuzz_of(t)->put);
}

/* Where it may be unmapped, moved, or written to, at this moment. */
static bool arg_moving(struct fuzz_thread *t, struct fuzz_op *op)
{
	/* It would wait for as long as it says there. */
	if (op->c->nr == BELAY_CTL_WAIT || op->c->nr == BELAY_CTL_LIMITS)
		return false;
	put_in_arena(t, op->arg, op->c->size, &op->arg_at);
	op->sees_arg = op->sees_entries = false;
	return true;
}

/* ---- the array ---------------------------------------------------------------------------- */

static bool point_at(struct fuzz_op *op, uint64_t at)
{
	FUZZ_SET(op, op->c->pointer, uint64_t, at);
	op->sees_entries = false;
	return true;
}

static bool array_nowhere(struct fuzz_thread *t, struct fuzz_op *op)
{
	if (!op->c->entry_size)
		return false;
	point_at(op, fuzz_nowhere(t));
	return op->c->reads ? must(op, EFAULT) : true;
}

static bool array_read_only(struct fuzz_thread *t, struct fuzz_op *op)
{
	if (!op->c->entry_size)
		return false;
	point_at(op, (uintptr_t)t->read_only + SCRATCH_ARG);
	return op->c->writes ? must(op, EFAULT) : true;
}

/* The last entry is not all there. */
static bool array_cut(struct fuzz_thread *t, struct fuzz_op *op)
{
	size_t len;

	if (!op->c->entry_size)
		return false;
	/* Fields stay aligned, for spare_firm(). */
	len = (op->count - 1) * op->stride + fuzz_choose(t, op->entry_size / 8) * 8;
	memmove(t->scratch + SCRATCH_LEN - len, op->entries, len);
	t->dirty = SCRATCH_ENTRIES;
	point_at(op, (uintptr_t)t->scratch + SCRATCH_LEN - len);
	return op->c->reads ? must(op, EFAULT) : true;
}

static bool array_moving(struct fuzz_thread *t, struct fuzz_op *op)
{
	uint64_t at;

	/* What it would set, and for whom, cannot be said. */
	if (!op->c->entry_size || op->c->nr == BELAY_CTL_LIMITS)
		return false;
	put_in_arena(t, op->entries, (size_t)op->count * op->stride, &at);
	return point_at(op, at);
}

static bool count_wrong(struct fuzz_thread *t, struct fuzz_op *op)
{
	static const uint32_t values[] = { 0, BELAY_MAX_BATCH, BELAY_MAX_BATCH + 1, 1U << 31, ~0U };
	uint32_t value = values[fuzz_choose(t, 5)];

	if (!op->c->entry_size)
		return false;
	t->dirty = SCRATCH_ENTRIES;
	FUZZ_SET(op, op->c->count, uint32_t, value);
	op->sees_entries = false;
	if (op->c->nr == BELAY_USAGE || value == BELAY_MAX_BATCH)
		return true;
	return must(op, value ? E2BIG : EINVAL);
}

static bool entry_size_wrong(struct fuzz_thread *t, struct fuzz_op *op)
{
	bool larger = fuzz_choose(t, 2);

	if (!op->c->entry_size)
		return false;
	FUZZ_SET(op, op->c->entry_len, uint32_t, larger ? BK_PAGE + 1 + fuzz_choose(t, 1 << 20) :
		 fuzz_choose(t, op->entry_size));
	op->sees_entries = false;
	return must(op, larger ? E2BIG : EINVAL);
}

/* Something is set in an entry that this release does not know. */
static bool entry_unknown_part(struct fuzz_thread *t, struct fuzz_op *op)
{
	uint32_t i = fuzz_choose(t, op->count);
	char *e = fuzz_entry(op, i);

	if (!op->c->reads || op->stride <= op->entry_size)
		return false;
	e[op->entry_size + fuzz_choose(t, op->stride - op->entry_size)] = 1 + fuzz_choose(t, 255);
	if (op->c->status < 0)
		return must(op, E2BIG);
	op->bad_entry = i;
	return true;
}

/* ---- fields ----------------------------------------------------------------------------------- */

static uint64_t gone(struct fuzz_thread *t, uint64_t value)
{
	switch (fuzz_choose(t, 4)) {
	case 0:
		return value + 1;
	case 1:
		return value + (1ULL << 32);
	case 2:
		return value - 1;
	default:
		return boundary(t);
	}
}

/* True: nothing can be right about it. */
static bool spoil(struct fuzz_thread *t, char *at, const struct fuzz_field *f)
{
	uint64_t value = get(at, f->size), other = boundary(t);

	switch (f->type) {
	case T_ZERO:
		set(at, f->size, other);
		return get(at, f->size);
	case T_FLAGS:
		set(at, f->size, value | 4U << fuzz_choose(t, 30));
		return true;
	case T_KIND:
		set(at, f->size, fuzz_choose(t, 2) ? 0 : 5 + fuzz_choose(t, 50));
		return true;
	case T_PAGES:
		if (fuzz_choose(t, 2)) {
			set(at, f->size, value + 1 + fuzz_choose(t, BK_PAGE - 1));
			return true;
		}
		set(at, f->size, other);
		/* Beyond all that can be mapped, at both ends. */
		return other % BK_PAGE || other >= 1ULL << 47;
	case T_ID:
		set(at, f->size, gone(t, value));
		return false;
	case T_TIME:
		set(at, f->size, BELAY_WAIT_MAX_NS + 1 + other / 2);
		return true;
	case T_NUMBER:
		set(at, f->size, 1U << 12 | other);
		return true;
	default:
		set(at, f->size, other);
		return false;
	}
}

static const struct fuzz_field *choose_field(struct fuzz_thread *t, const struct fuzz_field *all)
{
	unsigned int n = 0;

	while (all && all[n].size)
		n++;
	return n ? &all[fuzz_choose(t, n)] : NULL;
}

static bool field_wrong(struct fuzz_thread *t, struct fuzz_op *op)
{
	const struct fuzz_field *f = choose_field(t, op->c->fields);

	if (!f)
		return false;
	return spoil(t, op->arg + f->at, f) ? must(op, 0) : true;
}

static bool entry_field_wrong(struct fuzz_thread *t, struct fuzz_op *op)
{
	const struct fuzz_field *f = choose_field(t, op->c->entry_fields);
	uint32_t i = fuzz_choose(t, op->count);
	bool bad;

	if (!f)
		return false;
	bad = spoil(t, (char *)fuzz_entry(op, i) + f->at, f);
	/* Only its ids are looked at. */
	if (op->c->nr == BELAY_CTL_RELEASE && f->type == T_KIND)
		bad = false;
	if (bad && op->c->status < 0)
		return must(op, 0);
	if (bad)
		op->bad_entry = i;
	return true;
}

/* ---- the file, and the number ----------------------------------------------------------------- */

/* A file that does not know the command, or not for this process. */
static bool wrong_file(struct fuzz_thread *t, struct fuzz_op *op)
{
	struct fuzz_slot *foreign = &t->p->foreign[fuzz_choose(t, FUZZ_FOREIGN)];
	struct fuzz_shared *s = fuzz_of(t);
	unsigned int files = op->c->files;

	switch (fuzz_choose(t, 5)) {
	case 0:
		op->fd = -1;
		must(op, EBADF);
		break;
	case 1:
		op->fd = s->files[BK_MEMFD];
		must(op, ENOTTY);
		break;
	case 2:
		if (files & ON_READER)
			return false;
		op->fd = s->reader;
		must(op, files & ON_OWNER ? EPERM : ENOTTY);
		break;
	case 3:
		if (op->c->nr == BELAY_INFO || !fuzz_take_slot(op, foreign))
			return false;
		op->sees_entries = false;
		op->any_file = true;
		return must(op, files & ON_SESSION ? EXDEV : ENOTTY);
	default:
		if (files & ON_OWNER)
			return false;
		op->fd = s->ctl;
		must(op, ENOTTY);
	}
	op->slot = NULL;
	op->any_file = true;
	return true;
}

static const struct fuzz_command *command_of(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < FUZZ_COMMANDS; i++)
		if (fuzz_commands[i].nr == nr)
			return &fuzz_commands[i];
	return NULL;
}

static bool wrong_number(struct fuzz_thread *t, struct fuzz_op *op)
{
	unsigned int nr = fuzz_choose(t, 2) ? _IO(BELAY_IOC_TYPE, fuzz_choose(t, 256)) :
		fuzz_choose(t, 2) ? op->c->nr | 1U << (16 + fuzz_choose(t, 16)) :
		_IOC(fuzz_choose(t, 4), BELAY_IOC_TYPE, fuzz_choose(t, 256), fuzz_choose(t, 1 << 14));
	const struct fuzz_command *other = command_of(nr);

	/* What these would do with the argument of another is not to be done. */
	if (nr == BELAY_CTL_WAIT || nr == BELAY_CTL_LIMITS)
		return false;
	op->nr = nr;
	op->sees_entries = op->sees_arg = false;
	op->any_file = true;
	if (!other)
		return must(op, ENOTTY);
	op->c = other;
	/* It has its own idea of how many entries there are to be written. */
	t->dirty = SCRATCH_ENTRIES;
	return true;
}

/* ------------------------------------------------------------------------------------------------ */

/* More often what is found only when the rest has been looked at. */
static const struct {
	const char *name;
	bool (*run)(struct fuzz_thread *t, struct fuzz_op *op);
	unsigned int weight;
} breaks[FUZZ_BREAKS] = {
	{ "too short", too_short, 2 },
	{ "something unknown is set", unknown_part, 2 },
	{ "too long", too_long, 1 },
	{ "argument nowhere", arg_nowhere, 2 },
	{ "argument read-only", arg_read_only, 4 },
	{ "argument cut", arg_cut, 2 },
	{ "argument moving", arg_moving, 6 },
	{ "array nowhere", array_nowhere, 2 },
	{ "array read-only", array_read_only, 4 },
	{ "array cut", array_cut, 4 },
	{ "array moving", array_moving, 6 },
	{ "count", count_wrong, 3 },
	{ "entry size", entry_size_wrong, 2 },
	{ "something unknown is set in an entry", entry_unknown_part, 6 },
	{ "field", field_wrong, 12 },
	{ "field of an entry", entry_field_wrong, 16 },
	{ "file", wrong_file, 3 },
	{ "number", wrong_number, 3 },
};

const char *fuzz_break_name(unsigned int n)
{
	return breaks[n].name;
}

/* Whatever is in an entry is for none of the accounts whose limits are to stay. */
static void spare_firm(struct fuzz_thread *t, struct fuzz_op *op)
{
	uint64_t *at = (uint64_t *)op->entries, *end = at + SCRATCH_ENTRIES / 8;
	unsigned int i;

	for (; at < end; at++)
		for (i = 0; i < FUZZ_FIRM; i++)
			if (*at == fuzz_of(t)->firm[i].account)
				*at = ~0ULL;
}

static void break_once(struct fuzz_thread *t, struct fuzz_op *op)
{
	unsigned int which, at, all = 0;

	for (which = 0; which < FUZZ_BREAKS; which++)
		all += breaks[which].weight;
	do {
		at = fuzz_choose(t, all);
		for (which = 0; at >= breaks[which].weight; which++)
			at -= breaks[which].weight;
	} while (!breaks[which].run(t, op));
	op->breaks++;
	op->how = breaks[which].name;
	fuzz_add(&fuzz_of(t)->broken[which]);
}

void fuzz_break(struct fuzz_thread *t, struct fuzz_op *op)
{
	break_once(t, op);
	if (!op->any_file && op->nr == op->c->nr && !fuzz_choose(t, 3)) {
		break_once(t, op);
		/* One may have mended the other. */
		op->must_fail = false;
		op->expected = 0;
		op->bad_entry = -1;
	}
	if (op->c->nr == BELAY_CTL_LIMITS)
		spare_firm(t, op);
}
