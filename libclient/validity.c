// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "internal.h"
#include "kernel.h"

/* The public bits are the word's, but for the one that is never an answer. */
_Static_assert(BELAY_LOST == BELAY_WORD_LOST &&
	       BELAY_RECALLED == BELAY_WORD_RECALLED &&
	       BELAY_RELEASED == BELAY_WORD_RELEASED, "the same bits");
#define ANSWERS	(BELAY_LOST | BELAY_RECALLED | BELAY_RELEASED)

/* The kernel's own word on it, and the part that is lost. */
static int settle(const struct belay_region *r, struct belay_region_entry *e)
{
	int err;

	*e = (struct belay_region_entry){ .region = r->id };
	err = bl_session_check(r->belay);
	if (!err)
		err = bl_kernel_check(r->belay->session_fd.fd, e);
	if (err == -ENOENT)
		return BELAY_RELEASED;
	if (err)
		return err;
	if (e->state & ANSWERS)
		return (int)(e->state & ANSWERS);
	return e->state & BELAY_WORD_SUSPECT ? -EAGAIN : 0;
}

/* Of this region nothing is left; the word may have another user by now. */
static bool is_over(const struct belay_region *r, uint64_t word)
{
	return (word ^ r->expected) >> 32 || word & BELAY_WORD_RELEASED;
}

int belay_check(const struct belay_region *r)
{
	uint64_t word = __atomic_load_n(r->word, __ATOMIC_ACQUIRE);
	struct belay_region_entry e;
	BL_KEEP_ERRNO;

	if (word == r->expected)
		return 0;
	if (!bl_is_mine(r->belay))
		return -EXDEV;
	if ((word ^ r->expected) >> 32)
		return BELAY_RELEASED;
	if (word & BELAY_WORD_SUSPECT && !(word & (BELAY_LOST | BELAY_RELEASED)))
		return settle(r, &e);
	return (int)(word & ANSWERS);
}

int belay_lost(const struct belay_region *r, void **addr, size_t *len)
{
	uint64_t word = __atomic_load_n(r->word, __ATOMIC_ACQUIRE);
	struct belay_region_entry e = { 0 };
	int state;
	BL_KEEP_ERRNO;

	*addr = NULL;
	*len = 0;
	if (word == r->expected)
		return 0;
	if (!bl_is_mine(r->belay))
		return -EXDEV;
	if (is_over(r, word))
		return BELAY_RELEASED;
	state = settle(r, &e);
	if (state > 0 && state & BELAY_LOST) {
		*addr = (void *)(uintptr_t)e.lost_addr;
		*len = e.lost_len;
	}
	return state;
}
