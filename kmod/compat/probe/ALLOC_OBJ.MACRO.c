// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* There is an allocator that takes the object instead of its size (not in 6.12). */
#include <linux/slab.h>

int *probe(void);
int *probe(void)
{
	return kzalloc_obj(int, GFP_KERNEL);
}
