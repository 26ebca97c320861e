// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * A read-only long-term pin of a private mapping is reliable (since 6.2). No
 * name came with that change that modules see; the flags became an enumeration
 * in the release after it.
 */
#include <linux/mm.h>

#ifdef FOLL_LONGTERM
#error the flags are macros
#endif
unsigned int probe(void);
unsigned int probe(void)
{
	return FOLL_LONGTERM;
}
