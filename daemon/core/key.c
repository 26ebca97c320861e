/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/protocol.h"
#include "common/reason.h"
#include "common/units.h"
#include "daemon/core/key.h"
#include "daemon/core/policy.h"

#define MSEC		1000000ULL
#define DEADLINE_MIN	(10 * MSEC)		/* time for a message and its answer */
#define DEADLINE_MAX	(24 * 3600 * 1000 * MSEC)
#define CLIENTS_MAX	60000			/* below LimitNOFILE= of the unit */

/*
 * RLIMIT_MEMLOCK of a process with a grant, in percent of what the grant allows. 100:
 * what drivers pin is then bounded as if they counted as belay does. 10000: a hundred
 * rails over the same memory, which no machine has.
 */
#define MEMLOCK_MIN	100
#define MEMLOCK_MAX	10000

#define A_SIZE		"a size such as 4096, 64M, 8GiB, or unlimited"
#define A_COUNT		"a whole number, or unlimited"
#define CLIENTS		"a whole number from 1 to 60000"
#define ANY		0, UINT64_MAX

#define POLICY(member)	offsetof(struct bl_policy, member), 0
#define RULE(member, bit)	offsetof(struct bl_rule, member), bit

const struct bl_key bl_keys[] = {
	{ "system", "max", BL_KEY_SIZE, "unlimited", POLICY(system.bytes), ANY, A_SIZE },
	{ "system", "regions", BL_KEY_COUNT, "unlimited", POLICY(system.regions), ANY, A_COUNT },
	{ BL_KEY_RULE, "max", BL_KEY_SIZE, NULL, RULE(user.bytes, BL_SAYS_BYTES), ANY, A_SIZE },
	{ BL_KEY_RULE, "regions", BL_KEY_COUNT, "unlimited",
	  RULE(user.regions, BL_SAYS_REGIONS), ANY, A_COUNT },
	{ BL_KEY_RULE, "process_max", BL_KEY_SIZE, NULL,
	  RULE(process.bytes, BL_SAYS_PROCESS_BYTES), ANY, A_SIZE },
	{ BL_KEY_RULE, "process_regions", BL_KEY_COUNT, "unlimited",
	  RULE(process.regions, BL_SAYS_PROCESS_REGIONS), ANY, A_COUNT },
	{ BL_KEY_RULE, "memlock", BL_KEY_PERCENT, "100%",
	  RULE(memlock_percent, BL_SAYS_MEMLOCK), MEMLOCK_MIN, MEMLOCK_MAX,
	  "a percentage from 100% to 10000%" },
	/* 10 s: to stop a transfer, and tell peers */
	{ "revoke", "deadline", BL_KEY_TIME, "10s", POLICY(deadline_nsec), DEADLINE_MIN,
	  DEADLINE_MAX, "a time from 10ms to 24h, such as 10s or 2min" },
	{ "revoke", "escalation", BL_KEY_ESCALATION, "keep", POLICY(escalation), ANY,
	  "keep, release or kill" },
	/* Well under LimitNOFILE= of the unit */
	{ "daemon", "max_clients", BL_KEY_COUNT, "8192", POLICY(max_clients), 1,
	  CLIENTS_MAX, CLIENTS },
	{ "daemon", "max_clients_per_user", BL_KEY_COUNT, "4096",
	  POLICY(max_clients_per_user), 1, CLIENTS_MAX, CLIENTS },
};
const size_t bl_n_keys = sizeof(bl_keys) / sizeof(*bl_keys);

const struct bl_key *bl_key_find(const char *section, const char *name)
{
	size_t i;

	for (i = 0; i < bl_n_keys; i++)
		if (!strcmp(bl_keys[i].section, section) && !strcmp(bl_keys[i].name, name))
			return &bl_keys[i];
	return NULL;
}

/* "250%" */
static int parse_percent(const char *text, uint64_t *ret)
{
	char number[16];

	snprintf(number, sizeof(number), "%.*s", (int)strcspn(text, "%"), text);
	return strcmp(text + strlen(number), "%") ? -EINVAL : bl_count_parse(number, ret);
}

static int parse_escalation(const char *text, uint64_t *ret)
{
	uint32_t escalation;
	int err = bl_escalation_parse(text, &escalation);

	if (!err)
		*ret = escalation;
	return err;
}

int bl_key_parse(const struct bl_key *k, const char *text, uint64_t *ret)
{
	static int (*const parsers[])(const char *text, uint64_t *ret) = {
		[BL_KEY_SIZE] = bl_size_parse,
		[BL_KEY_COUNT] = bl_count_parse,
		[BL_KEY_PERCENT] = parse_percent,
		[BL_KEY_TIME] = bl_time_parse,
		[BL_KEY_ESCALATION] = parse_escalation,
	};
	uint64_t value;
	int err = parsers[k->type](text, &value);

	if (err)
		return err;
	if (value < k->min || value > k->max)
		return -ERANGE;
	*ret = value;
	return 0;
}

/* Exact, in the largest unit that is */
static void format_time(uint64_t nsec, char *buf, size_t len)
{
	static const struct {
		uint64_t nsec;
		const char *name;
	} units[] = { { 1000 * MSEC, "s" }, { MSEC, "ms" }, { 1000, "us" }, { 1, "ns" } };
	size_t i = 0;

	while (nsec % units[i].nsec)
		i++;
	snprintf(buf, len, "%" PRIu64 "%s", nsec / units[i].nsec, units[i].name);
}

const char *bl_key_format(const struct bl_key *k, uint64_t value, char *buf, size_t len)
{
	switch (k->type) {
	case BL_KEY_SIZE:
		return bl_size_format(buf, len, value);
	case BL_KEY_PERCENT:
		snprintf(buf, len, "%" PRIu64 "%%", value);
		break;
	case BL_KEY_TIME:
		format_time(value, buf, len);
		break;
	case BL_KEY_ESCALATION:
		snprintf(buf, len, "%s", bl_escalation_name((uint32_t)value));
		break;
	default:
		if (value == BL_UNLIMITED)
			snprintf(buf, len, "unlimited");
		else
			snprintf(buf, len, "%" PRIu64, value);
	}
	return buf;
}

uint64_t *bl_key_value(const struct bl_key *k, void *holder)
{
	return (uint64_t *)(void *)((char *)holder + k->offset);
}

const char *bl_key_names(const char *section, char *buf, size_t len)
{
	size_t i, n = 0;

	buf[0] = '\0';
	for (i = 0; i < bl_n_keys && n < len; i++)
		if (!strcmp(bl_keys[i].section, section))
			n += (size_t)snprintf(buf + n, len - n, "%s%s",
					      n ? ", " : "", bl_keys[i].name);
	return buf;
}
