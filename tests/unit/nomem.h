/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * nomem.h - calls that fail when the test says so
 *
 * arm(n) makes the n-th call from then on fail, of those that the thread makes; disarm()
 * says whether one did. WRAP() declares one more function that can fail; the program is
 * linked with -Xlinker --wrap=NAME for each, malloc, calloc and realloc among them.
 * Include in one .c file per program.
 */
#ifndef NOMEM_H
#define NOMEM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static __thread int countdown;	/* 0: nothing fails */
static __thread bool hit;

static void arm(int n)
{
	hit = false;
	countdown = n;
}

static bool disarm(void)
{
	countdown = 0;
	return hit;
}

static bool fails(void)
{
	if (!countdown || --countdown)
		return false;
	hit = true;
	return true;
}

#define WRAP(type, name, error, bad, params, args)				\
	type __real_##name params;						\
	type __wrap_##name params;						\
	type __wrap_##name params						\
	{									\
		if (!fails())							\
			return __real_##name args;				\
		errno = error;							\
		return bad;							\
	}

WRAP(void *, malloc, ENOMEM, NULL, (size_t n), (n))
WRAP(void *, calloc, ENOMEM, NULL, (size_t n, size_t m), (n, m))
WRAP(void *, realloc, ENOMEM, NULL, (void *p, size_t n), (p, n))

#endif
