/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"
#include "daemon/sys/users.h"

int bl_user_id(const char *user, uid_t *ret)
{
	struct passwd pw, *found = NULL;
	char names[4096];
	uint64_t n;

	if (!bl_count_parse(user, &n) && n < (uid_t)-1) {
		*ret = (uid_t)n;
		return 0;
	}
	if (getpwnam_r(user, &pw, names, sizeof(names), &found) || !found)
		return -ENOENT;
	*ret = pw.pw_uid;
	return 0;
}

void bl_user_name(uid_t uid, char *buf, size_t len)
{
	struct passwd pw, *found = NULL;
	char names[4096];

	if (!getpwuid_r(uid, &pw, names, sizeof(names), &found) && found &&
	    strlen(pw.pw_name) < len)
		snprintf(buf, len, "%s", pw.pw_name);
	else
		snprintf(buf, len, "%u", uid);
}
