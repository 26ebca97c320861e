// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* format.c - amounts and times as people read them */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/belay.h>

#include "common/clock.h"
#include "ctl/belayctl.h"


uint64_t ctl_now(const struct ctl *c)
{
	return c->fixed_now ? c->fixed_now : bl_boottime();
}

/*
 * Three digits at least, rounded down so that what is below a limit never
 * reads as the limit: "1.17 GiB". bl_size_format() is exact, but as wide as
 * the number is crooked, which is not for tables.
 */
const char *ctl_bytes(const struct ctl *c, uint64_t bytes, char buf[CTL_CELL])
{
	static const char units[] = "KMGTPE";
	unsigned int hundredths;
	uint64_t whole;
	int i;

	if (bytes == BELAY_UNLIMITED) {
		snprintf(buf, CTL_CELL, "unlimited");
		return buf;
	}
	if (c->bytes || bytes < 1024) {
		snprintf(buf, CTL_CELL, "%" PRIu64 "%s", bytes, c->bytes ? "" : " B");
		return buf;
	}
	for (i = 0; i < 5 && bytes >> (10 * (i + 2)); i++)
		;
	whole = bytes >> (10 * (i + 1));
	hundredths = (unsigned int)(((bytes >> (10 * i)) & 1023) * 100 / 1024);
	if (whole >= 100 || !hundredths)
		snprintf(buf, CTL_CELL, "%" PRIu64 " %ciB", whole, units[i]);
	else if (whole >= 10 || !(hundredths % 10))
		snprintf(buf, CTL_CELL, "%" PRIu64 ".%u %ciB", whole, hundredths / 10, units[i]);
	else
		snprintf(buf, CTL_CELL, "%" PRIu64 ".%02u %ciB", whole, hundredths, units[i]);
	return buf;
}

const char *ctl_count(uint64_t count, char buf[CTL_CELL])
{
	if (count == BELAY_UNLIMITED)
		snprintf(buf, CTL_CELL, "unlimited");
	else
		snprintf(buf, CTL_CELL, "%" PRIu64, count);
	return buf;
}

/* The two largest units: "3d4h", "2m05s", "9s", "0.4s". */
const char *ctl_duration(uint64_t nsec, char buf[CTL_CELL])
{
	uint64_t s = nsec / BL_NSEC_PER_SEC;

	if (nsec && s < 1)
		snprintf(buf, CTL_CELL, "0.%us", (unsigned int)(nsec / (BL_NSEC_PER_SEC / 10)));
	else if (s < 60)
		snprintf(buf, CTL_CELL, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(buf, CTL_CELL, "%" PRIu64 "m%02us", s / 60, (unsigned int)(s % 60));
	else if (s < 86400)
		snprintf(buf, CTL_CELL, "%" PRIu64 "h%02um", s / 3600,
			 (unsigned int)(s % 3600 / 60));
	else
		snprintf(buf, CTL_CELL, "%" PRIu64 "d%uh", s / 86400,
			 (unsigned int)(s % 86400 / 3600));
	return buf;
}

const char *ctl_age(const struct ctl *c, uint64_t since, char buf[CTL_CELL])
{
	uint64_t now = ctl_now(c);

	return ctl_duration(now > since ? now - since : 0, buf);
}

/* Of a limit; "-" if there is none. Rounded down, may be over 100. */
const char *ctl_percent(uint64_t usage, uint64_t limit, char buf[CTL_CELL])
{
	if (limit == BELAY_UNLIMITED || (!limit && !usage))
		snprintf(buf, CTL_CELL, "-");
	else if (!limit)
		snprintf(buf, CTL_CELL, ">100%%");
	else
		snprintf(buf, CTL_CELL, "%.0f%%", (double)(uint64_t)((double)usage * 100 / (double)limit));
	return buf;
}

void ctl_bar(FILE *out, uint64_t usage, uint64_t limit, int width)
{
	double part = limit ? (double)usage / (double)limit : usage ? 1 : 0;
	int i, full = part >= 1 ? width : (int)(part * width);

	/* Something is never drawn as nothing. */
	if (usage && !full)
		full = 1;
	fputc('[', out);
	for (i = 0; i < width; i++)
		fputc(i < full ? '#' : '.', out);
	fputc(']', out);
}

/* The bits of a validity word: "valid", "suspect", "lost,recalled". */
const char *ctl_state(uint32_t state, char buf[CTL_CELL])
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {
		{ BELAY_STATE_BUILDING, "registering" },
		{ BELAY_WORD_SUSPECT, "suspect" },
		{ BELAY_WORD_LOST, "lost" },
		{ BELAY_WORD_RECALLED, "recalled" },
		{ BELAY_WORD_RELEASED, "released" },
	};
	size_t i, n = 0;

	if (!state) {
		snprintf(buf, CTL_CELL, "valid");
		return buf;
	}
	buf[0] = '\0';
	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++) {
		if (state & bits[i].bit)
			n += (size_t)snprintf(buf + n, CTL_CELL - n, "%s%s", n ? "," : "",
					      bits[i].name);
		state &= ~bits[i].bit;
	}
	if (state)
		snprintf(buf + n, CTL_CELL - n, "%s0x%x", n ? "," : "", state);
	return buf;
}

/* A set of NUMA nodes: "0-1,3", "-" if it is empty. */
const char *ctl_nodes(uint64_t nodes, char buf[CTL_CELL])
{
	size_t n = 0;
	int i, end;

	snprintf(buf, CTL_CELL, "-");
	for (i = 0; i < 64 && n < CTL_CELL; i = end + 1) {
		for (end = i; end < 64 && nodes >> end & 1; end++)
			;
		if (end == i)
			continue;
		n += (size_t)snprintf(buf + n, CTL_CELL - n, "%s%d", n ? "," : "", i);
		if (end - i > 1 && n < CTL_CELL)
			n += (size_t)snprintf(buf + n, CTL_CELL - n, "-%d", end - 1);
	}
	return buf;
}

const char *ctl_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}
