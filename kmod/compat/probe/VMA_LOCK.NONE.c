// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/* A mapping has no lock of its own (until 6.3, or configured so). */
#include <linux/mm.h>

#ifdef CONFIG_PER_VMA_LOCK
#error a mapping has a lock
#endif
int probe(void);
int probe(void)
{
	return 0;
}
