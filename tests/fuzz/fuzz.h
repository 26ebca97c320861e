/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * fuzz.h - a small mutating fuzzer, without a compiler that knows how
 *
 * A program runs for BELAY_FUZZ_SECONDS (default 4), from a seed that it
 * prints; BELAY_FUZZ_SEED repeats a run, as far as time plays no part in it.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "tests/lib/tap.h"

static uint64_t fuzz_state;

static TAP_UNUSED void fuzz_seed(void)
{
	const char *text = getenv("BELAY_FUZZ_SEED");

	if (text)
		fuzz_state = strtoull(text, NULL, 0);
	else if (getrandom(&fuzz_state, sizeof(fuzz_state), 0) < 0)
		fuzz_state = 1;
	fuzz_state |= 1;
	tap_diag("BELAY_FUZZ_SEED=0x%llx", (unsigned long long)fuzz_state);
}

static TAP_UNUSED uint64_t fuzz_next(void)
{
	fuzz_state ^= fuzz_state << 13;
	fuzz_state ^= fuzz_state >> 7;
	fuzz_state ^= fuzz_state << 17;
	return fuzz_state;
}

/* 0 to n - 1 */
static TAP_UNUSED uint32_t fuzz_below(uint32_t n)
{
	return (uint32_t)((fuzz_next() >> 16) % n);
}

/* A number that something may stumble over. */
static TAP_UNUSED uint64_t fuzz_number(void)
{
	switch (fuzz_below(6)) {
	case 0:
		return fuzz_below(8);
	case 1:
		return fuzz_below(600);
	case 2:
		return 0 - (uint64_t)fuzz_below(3);
	case 3:
		return 1ULL << fuzz_below(64);
	case 4:
		return (1ULL << fuzz_below(64)) - 1;
	default:
		return fuzz_next();
	}
}

static TAP_UNUSED double fuzz_end(void)
{
	const char *text = getenv("BELAY_FUZZ_SECONDS");

	return tap_now() + (text ? strtod(text, NULL) : 4);
}

/* Changes a few bytes; the length may change as well, up to max. */
static TAP_UNUSED size_t fuzz_mutate(char *buf, size_t len, size_t max)
{
	uint32_t times = 1 + fuzz_below(4), at;
	size_t n;

	while (times--) {
		at = len ? fuzz_below((uint32_t)len) : 0;
		switch (fuzz_below(6)) {
		case 0:		/* a bit */
			if (len)
				buf[at] ^= (char)(1 << fuzz_below(8));
			break;
		case 1:		/* a byte */
			if (len)
				buf[at] = (char)fuzz_next();
			break;
		case 2:		/* shorter */
			len = at;
			break;
		case 3:		/* longer */
			n = fuzz_below(40);
			if (len + n > max)
				n = max - len;
			memset(buf + len, fuzz_below(4) ? 0 : (int)fuzz_next(), n);
			len += n;
			break;
		case 4:		/* a part again */
			n = fuzz_below(32);
			if (at + n <= len && len + n <= max) {
				memmove(buf + at + n, buf + at, len - at);
				len += n;
			}
			break;
		default:	/* a part less */
			n = fuzz_below(32);
			if (at + n <= len) {
				memmove(buf + at, buf + at + n, len - at - n);
				len -= n;
			}
		}
	}
	return len;
}

#endif
