// SPDX-License-Identifier: MIT
#include "internal.h"
#include "kernel.h"

/* The public bits are the word's, but for the one that is never an answer. */
_Static_assert(BELAY_LOST == BELAY_WORD_LOST &&
	       BELAY_RECALLED == BELAY_WORD_RECALLED &&
	       BELAY_RELEASED == BELAY_WORD_RELEASED, "the same bits");
#define ANSWERS	(BELAY_LOST | BELAY_RECALLED | BELAY_RELEASED)

static int settle(const struct belay_region *r)
{
	struct belay_region_entry e = { .region = r->id };
	int err = bl_kernel_check(r->belay->session_fd, &e);

	if (err == -ENOENT)
		return BELAY_RELEASED;
	if (err)
		return err;
	if (e.state & ANSWERS)
		return (int)(e.state & ANSWERS);
	return e.state & BELAY_WORD_SUSPECT ? -EAGAIN : 0;
}

int belay_check(const struct belay_region *r)
{
	uint64_t word = __atomic_load_n(r->word, __ATOMIC_ACQUIRE);
	BL_KEEP_ERRNO;

	if (word == r->expected)
		return 0;
	if (!bl_is_mine(r->belay))
		return -EXDEV;
	/* The word has another user: of this region nothing is left. */
	if ((word ^ r->expected) >> 32)
		return BELAY_RELEASED;
	if (word & BELAY_WORD_SUSPECT && !(word & (BELAY_LOST | BELAY_RELEASED)))
		return settle(r);
	return (int)(word & ANSWERS);
}
