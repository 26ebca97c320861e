/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * key.h - the keys of the configuration: one table
 *
 * Section, name, type, bounds, where the value goes, what holds without it. Reading,
 * checking and printing a configuration, the defaults of a policy and the tests that
 * hold the manual and the shipped file beside it all go by this table. All keys are
 * read again at a reload. Pure: no file.
 */
#ifndef BL_KEY_H
#define BL_KEY_H

#include <stddef.h>
#include <stdint.h>

enum bl_key_type {
	BL_KEY_SIZE,		/* bytes, or unlimited */
	BL_KEY_COUNT,		/* or unlimited, if there is no other maximum */
	BL_KEY_PERCENT,
	BL_KEY_TIME,		/* ns */
	BL_KEY_ESCALATION,	/* enum bl_escalation, not the default */
};

/* The section of keys that [default] and each [user NAME] may have. */
#define BL_KEY_RULE	"rule"
#define BL_KEY_TEXT	32	/* room for bl_key_format(), with its NUL */

struct bl_key {
	const char *section;
	const char *name;
	enum bl_key_type type;
	const char *fallback;	/* what holds without it; NULL: see the manual */
	size_t offset;		/* of an uint64_t in struct bl_rule or, of other sections, bl_policy */
	uint32_t said;		/* of rules: its bit in bl_rule.said */
	uint64_t min, max;
	const char *allowed;	/* for a message: "not ..." */
};

extern const struct bl_key bl_keys[];
extern const size_t bl_n_keys;

/* NULL: there is no such key */
const struct bl_key *bl_key_find(const char *section, const char *name);

/* Reads a value: 0, or -EINVAL, -ERANGE: the key does not allow that text. */
int bl_key_parse(const struct bl_key *k, const char *text, uint64_t *ret);
/* A value as it can be read again; returns @buf */
const char *bl_key_format(const struct bl_key *k, uint64_t value, char *buf, size_t len);

/* Its place in a rule or policy */
uint64_t *bl_key_value(const struct bl_key *k, void *holder);

/* "max, regions": the keys of a section; returns @buf */
const char *bl_key_names(const char *section, char *buf, size_t len);

#endif
