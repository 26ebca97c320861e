// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* parse.c - what people type; each says what was wrong and what would be right */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "common/protocol.h"
#include "common/reason.h"
#include "common/units.h"
#include "ctl/belayctl.h"

/* Digits only: no sign, no blanks, nothing behind. */
static bool digits(const char *text, const char **ret_end, uint64_t *ret)
{
	uint64_t value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return false;
	*ret_end = p;
	*ret = value;
	return p > text;
}

/* 0, too. */
int ctl_parse_number(struct ctl *c, const char *what, const char *text, uint64_t *ret)
{
	const char *end;

	if (!digits(text, &end, ret) || *end)
		return ctl_usage(c, "\"%s\" is not %s", text, what);
	return CTL_OK;
}

int ctl_parse_u64(struct ctl *c, const char *what, const char *text, uint64_t *ret)
{
	const char *end;

	if (!digits(text, &end, ret) || *end || !*ret)
		return ctl_usage(c, "\"%s\" is not %s", text, what);
	return CTL_OK;
}

int ctl_parse_pid(struct ctl *c, const char *text, int32_t *ret)
{
	const char *end;
	uint64_t pid;

	if (!digits(text, &end, &pid) || *end || !pid || pid > INT32_MAX)
		return ctl_usage(c, "\"%s\" is not the number of a process", text);
	*ret = (int32_t)pid;
	return CTL_OK;
}

/* A name if there is such a user, else a number. */
int ctl_parse_user(struct ctl *c, const char *text, uint32_t *ret)
{
	struct passwd *pw;
	const char *end;
	uint64_t uid;

	pw = getpwnam(text);
	if (pw) {
		*ret = pw->pw_uid;
		return CTL_OK;
	}
	if (!digits(text, &end, &uid) || *end)
		return ctl_fail(c, CTL_NOT_FOUND,
				"there is no user \"%s\". A user is a name or a number; "
				"see: belayctl list accounts", text);
	if (uid >= UINT32_MAX)
		return ctl_usage(c, "%s is more than a user's number can be", text);
	*ret = (uint32_t)uid;
	return CTL_OK;
}

int ctl_parse_limit(struct ctl *c, const char *text, uint64_t *ret)
{
	int err = bl_size_parse(text, ret);

	if (err == -ERANGE)
		return ctl_usage(c, "\"%s\" is no whole number of bytes, or too large", text);
	if (err)
		return ctl_usage(c, "\"%s\" is no size: give bytes, or 64K, 1.5GiB, ..., or unlimited",
				 text);
	return CTL_OK;
}

int ctl_parse_deadline(struct ctl *c, const char *text, uint64_t *ret_nsec)
{
	uint64_t nsec;
	int err = bl_time_parse(text, &nsec);

	if (err == -ERANGE)
		return ctl_usage(c, "\"%s\" is too long", text);
	if (err)
		return ctl_usage(c, "\"%s\" is no time: give 10s, 500ms, 2min, ...", text);
	/* belayd counts microseconds, and takes 0 for "as configured". */
	if (nsec < 1000)
		return ctl_usage(c, "a deadline must be longer than nothing: give 10s, 500ms, ...");
	if (nsec / 1000 > BL_RECALL_MAX_USEC)
		return ctl_usage(c, "\"%s\" is too long: a deadline is at most 720h (30 days)",
				 text);
	*ret_nsec = nsec;
	return CTL_OK;
}

int ctl_parse_age(struct ctl *c, const char *text, uint64_t *ret_usec)
{
	uint64_t nsec;
	int err = bl_time_parse(text, &nsec);

	if (err == -ERANGE)
		return ctl_usage(c, "\"%s\" is too long", text);
	if (err)
		return ctl_usage(c, "\"%s\" is no time: give 10s, 5min, 2h, ...", text);
	*ret_usec = nsec / 1000;
	return CTL_OK;
}

int ctl_parse_escalation(struct ctl *c, const char *text, uint32_t *ret)
{
	if (bl_escalation_parse(text, ret))
		return ctl_usage(c, "\"%s\" is not what can happen at the deadline: "
				 "keep, release or kill", text);
	return CTL_OK;
}

int ctl_parse_account(struct ctl *c, const char *text, const char **ret)
{
	if (!*text || strlen(text) >= BELAY_ADMIN_NAME)
		return ctl_usage(c, "\"%s\" is no account: give system, user/NAME or grant/ID",
				 text);
	*ret = text;
	return CTL_OK;
}
