// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* There is no such allocator: its name is free. */
#include <linux/slab.h>

#ifdef kzalloc_obj
#error it is there
#endif
int *kzalloc_obj(int size);
int *kzalloc_obj(int size)
{
	return kzalloc(sizeof(int), GFP_KERNEL);
}
