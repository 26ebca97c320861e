// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * A read-only long-term pin of a private mapping may get the shared zero page
 * or the file's page, which the owner's first write replaces. The change that
 * mended it (6.2) gave this function the mapping as first argument, and it has
 * since become private to mm.
 */
#include <linux/mm.h>

bool probe(struct page *page);
bool probe(struct page *page)
{
	return gup_must_unshare(FOLL_PIN, page);
}
