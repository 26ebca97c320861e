// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * The page cache counts hugetlb pages in huge pages (until 6.7). This function
 * went in the change that ended it: it converts to small ones.
 */
#include <linux/hugetlb.h>
#include <linux/pagemap.h>

pgoff_t probe(struct page *page);
pgoff_t probe(struct page *page)
{
	return hugetlb_basepage_index(page);
}
