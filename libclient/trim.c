// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Trimming: a region ends, and one or two new ones go on.
 *
 * The objects of both parts are made before the system call, and their slot is
 * the whole's, so that a request for a part that overtakes the call finds its
 * way. The whole stays as a handle of which nothing is left: a thread that still
 * tests it reads its word, or asks for it, and learns that.
 */
#include <stdlib.h>

#include "internal.h"
#include "kernel.h"

/* The whole, and what is left in front of and behind the part that goes. */
struct trim {
	struct bl_region *whole;
	struct bl_region *part[2];
};

static int make_parts(struct belay *b, struct trim *t)
{
	const struct belay_range like = {
		.size = sizeof(like),
		.flags = t->whole->pub.flags,
		.user = t->whole->pub.user,
	};
	int i, err = 0;

	for (i = 0; i < 2; i++) {
		t->part[i] = bl_region_new(b, &like);
		if (!t->part[i])
			err = -ENOMEM;
	}
	return err;
}

static void free_parts(struct trim *t)
{
	free(t->part[0]);
	free(t->part[1]);
}

/* They are on their way. The whole is live, or was already trimmed: -ENOENT. */
static int expect_parts(struct belay *b, struct trim *t)
{
	int i, err;

	pthread_mutex_lock(&b->lock);
	err = t->whole->life == BL_LIVE ? bl_table_reserve(b, 2, 0) : -ENOENT;
	for (i = 0; !err && i < 2; i++)
		bl_table_expect(b, t->part[i], t->whole);
	pthread_mutex_unlock(&b->lock);
	return err;
}

/* What is left on one side, if anything; true: there are requests for it. */
static bool take_part(struct belay *b, struct bl_region **part,
		      const struct belay_part *p)
{
	struct belay_region *r = &(*part)->pub;

	if (p->region && !bl_region_accept(b, r, p->word, p->expected, p->region)) {
		r->addr = (void *)(uintptr_t)p->addr;
		r->len = p->len;
		return bl_table_arrived(b, *part);
	}
	bl_table_remove(b, *part);
	free(*part);
	*part = NULL;
	return false;
}

/* The kernel has decided: the parts have arrived, or never will. */
static void finish(struct belay *b, struct trim *t, const struct belay_trim_entry *e)
{
	static const struct belay_part none;
	bool wake = false;

	pthread_mutex_lock(&b->lock);
	wake |= take_part(b, &t->part[0], e ? &e->before : &none);
	wake |= take_part(b, &t->part[1], e ? &e->after : &none);
	if (e)
		bl_table_leave(b, t->whole);
	if (wake)
		bl_connection_wake(b);
	bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
}

static int trim(struct belay_region *r, void *addr, size_t len, struct trim *t)
{
	struct belay_trim_entry e = {
		.region = r->id, .addr = (uintptr_t)addr, .len = len,
	};
	struct belay *b = r->belay;
	int err;

	err = bl_session_use(b);
	if (!err)
		err = make_parts(b, t);
	if (!err)
		err = expect_parts(b, t);
	if (err) {
		free_parts(t);
		return err;
	}
	err = bl_kernel_trim(b->session_fd.fd, &e);
	finish(b, t, err ? NULL : &e);
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int belay_trim(struct belay_region *r, void *addr, size_t len,
	       struct belay_region **before, struct belay_region **after,
	       struct belay_refusal *why)
{
	struct trim t = { .whole = bl_region(r) };
	int err;
	BL_KEEP_ERRNO;

	err = bl_refusal_check(why);
	if (err)
		return err;
	if (!bl_is_mine(r->belay))
		return bl_refuse_trim(why, -EXDEV, addr, len);
	err = trim(r, addr, len, &t);
	if (err)
		return bl_refuse_trim(why, err, addr, len);
	*before = t.part[0] ? &t.part[0]->pub : NULL;
	*after = t.part[1] ? &t.part[1]->pub : NULL;
	return 0;
}
