/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/units.h"

#define DECIMALS_MAX	9

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* A decimal number: value = whole + fraction / scale. */
struct decimal {
	uint64_t whole;
	uint64_t fraction;
	uint64_t scale;
};

/* Reads digits, and decimals if there is a point. */
static int parse_decimal(const char **text, struct decimal *ret)
{
	struct decimal d = { .scale = 1 };
	const char *p = *text;
	int n = 0;

	if (!is_digit(*p))
		return -EINVAL;
	for (; is_digit(*p); p++)
		if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
		    __builtin_add_overflow(d.whole, *p - '0', &d.whole))
			return -ERANGE;
	if (*p == '.') {
		p++;
		if (!is_digit(*p))
			return -EINVAL;
		for (; is_digit(*p); p++) {
			if (++n > DECIMALS_MAX)
				return -ERANGE;
			d.fraction = d.fraction * 10 + (*p - '0');
			d.scale *= 10;
		}
	}
	*text = p;
	*ret = d;
	return 0;
}

/* The number times the unit, which must come out even. */
static int scale_decimal(const struct decimal *d, uint64_t unit, uint64_t *ret)
{
	unsigned __int128 part = (unsigned __int128)d->fraction * unit;
	uint64_t value;

	if (part % d->scale)
		return -ERANGE;
	if (__builtin_mul_overflow(d->whole, unit, &value) ||
	    __builtin_add_overflow(value, (uint64_t)(part / d->scale), &value))
		return -ERANGE;
	/* The highest value means "none" everywhere: not by arithmetic. */
	if (value == BL_UNLIMITED)
		return -ERANGE;
	*ret = value;
	return 0;
}

static bool is_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	return !strncasecmp(text, word, len) && !*skip_blanks(text + len);
}

static bool is_unlimited(const char *text)
{
	return is_word(text, "unlimited") || is_word(text, "infinity");
}

/* The unit after a number; NULL if it is none. */
static const char *parse_size_unit(const char *p, uint64_t *ret_unit)
{
	static const char letters[] = "KMGTPE";
	const char *at;
	char c = *p;

	*ret_unit = 1;
	if (c >= 'a' && c <= 'z')
		c -= 'a' - 'A';
	at = c ? strchr(letters, c) : NULL;
	if (at) {
		*ret_unit = 1ULL << (10 * (at - letters + 1));
		p++;
		if (*p == 'i') {
			p++;
			if (*p != 'B')
				return NULL;
		}
	}
	if (*p == 'B')
		p++;
	return p;
}

int bl_size_parse(const char *text, uint64_t *ret_bytes)
{
	struct decimal d;
	uint64_t unit;
	int err;

	text = skip_blanks(text);
	if (is_unlimited(text)) {
		*ret_bytes = BL_UNLIMITED;
		return 0;
	}
	err = parse_decimal(&text, &d);
	if (err)
		return err;
	text = parse_size_unit(skip_blanks(text), &unit);
	if (!text || *skip_blanks(text))
		return -EINVAL;
	return scale_decimal(&d, unit, ret_bytes);
}

const char *bl_size_format(char *buf, size_t len, uint64_t bytes)
{
	static const char letters[] = "KMGTPE";
	uint64_t unit, rest;
	int i;

	if (bytes == BL_UNLIMITED) {
		snprintf(buf, len, "unlimited");
		return buf;
	}
	for (i = 5; i >= 0; i--) {
		unit = 1ULL << (10 * (i + 1));
		rest = (uint64_t)(((unsigned __int128)(bytes % unit) * 100) / unit);
		if (bytes < unit ||
		    ((unsigned __int128)(bytes % unit) * 100) % unit)
			continue;
		if (!rest)
			snprintf(buf, len, "%" PRIu64 " %ciB", bytes / unit,
				 letters[i]);
		else if (rest % 10)
			snprintf(buf, len, "%" PRIu64 ".%02u %ciB",
				 bytes / unit, (unsigned int)rest, letters[i]);
		else
			snprintf(buf, len, "%" PRIu64 ".%u %ciB", bytes / unit,
				 (unsigned int)rest / 10, letters[i]);
		return buf;
	}
	snprintf(buf, len, "%" PRIu64 " B", bytes);
	return buf;
}

int bl_count_parse(const char *text, uint64_t *ret)
{
	struct decimal d;
	int err;

	text = skip_blanks(text);
	if (is_unlimited(text)) {
		*ret = BL_UNLIMITED;
		return 0;
	}
	err = parse_decimal(&text, &d);
	if (err)
		return err;
	if (d.scale != 1 || *skip_blanks(text))
		return -EINVAL;
	if (d.whole == BL_UNLIMITED)
		return -ERANGE;
	*ret = d.whole;
	return 0;
}

static const struct time_unit {
	const char *name;
	uint64_t nsec;
} time_units[] = {
	{ "h", 3600 * BL_NSEC_PER_SEC },
	{ "min", 60 * BL_NSEC_PER_SEC },
	{ "s", BL_NSEC_PER_SEC },
	{ "ms", 1000000 },
	{ "us", 1000 },
	{ "ns", 1 },
};
#define N_TIME_UNITS	(sizeof(time_units) / sizeof(*time_units))

int bl_time_parse(const char *text, uint64_t *ret_nsec)
{
	struct decimal d;
	size_t i;
	int err;

	text = skip_blanks(text);
	err = parse_decimal(&text, &d);
	if (err)
		return err;
	text = skip_blanks(text);
	if (!*text)
		return scale_decimal(&d, BL_NSEC_PER_SEC, ret_nsec);
	for (i = 0; i < N_TIME_UNITS; i++)
		if (is_word(text, time_units[i].name))
			return scale_decimal(&d, time_units[i].nsec, ret_nsec);
	return -EINVAL;
}

const char *bl_time_format(char *buf, size_t len, uint64_t nsec)
{
	size_t i;

	for (i = 0; i < N_TIME_UNITS - 1; i++)
		if (nsec >= time_units[i].nsec && !(nsec % time_units[i].nsec))
			break;
	/* A crooked span: to the millisecond is enough for a person. */
	if (i > 3 && nsec > BL_NSEC_PER_SEC / 1000) {
		snprintf(buf, len, "%.3g s", (double)nsec / BL_NSEC_PER_SEC);
		return buf;
	}
	snprintf(buf, len, "%" PRIu64 " %s", nsec / time_units[i].nsec,
		 time_units[i].name);
	return buf;
}
