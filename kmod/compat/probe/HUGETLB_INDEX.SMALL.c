// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * The page cache counts hugetlb pages in small pages, like all others (6.7).
 * This helper came in the same change, to convert from huge ones.
 */
#include <linux/hugetlb.h>

void *probe(struct hstate *h, struct address_space *mapping);
void *probe(struct hstate *h, struct address_space *mapping)
{
	return filemap_lock_hugetlb_folio(h, mapping, 0);
}
