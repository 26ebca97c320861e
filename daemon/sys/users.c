/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

/* Only the number is wanted, but there has to be room for all its members. */
int bl_group_id(const char *group, gid_t *ret)
{
	struct group gr, *found = NULL;
	size_t room = 4096;
	char *members = NULL, *more;
	int err;

	do {
		room *= 4;
		more = realloc(members, room);
		err = more ? 0 : ENOMEM;
		if (more) {
			members = more;
			err = getgrnam_r(group, &gr, members, room, &found);
		}
	} while (err == ERANGE);
	free(members);
	if (err)
		return -err;
	if (!found)
		return -ENOENT;
	*ret = gr.gr_gid;
	return 0;
}
