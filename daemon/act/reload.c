/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/act/accounts.h"
#include "daemon/act/reload.h"
#include "daemon/state.h"
#include "daemon/sys/config.h"
#include "daemon/sys/log.h"
#include "daemon/sys/users.h"

void bl_reload_admins(struct bl_state *st)
{
	int err = bl_group_id(BL_ADMIN_GROUP, &st->admin_gid);

	if (!err)
		return;
	st->admin_gid = (gid_t)-1;
	if (err != -ENOENT)
		bl_warn("the group %s cannot be looked up: %s; only root is an administrator",
			BL_ADMIN_GROUP, strerror(-err));
}

struct answer {
	char *text;
	bool errors;
	bool full;
};

static const char in_force[] = "\nThe configuration before stays in force.";

/*
 * The log gets every message; whoever asked gets the errors, or if there are none
 * the warnings, one a line, whole ones, as many as there is room for.
 */
static void say(void *arg, int level, const char *text)
{
	static const char more[] = "\nand more, see: belayd --check-config";
	const size_t room = BL_TEXT_MAX - strlen(in_force);
	struct answer *a = arg;
	size_t n;

	bl_log(level, "%s", text);
	if (level <= LOG_ERR && !a->errors) {
		*a = (struct answer){ .text = a->text, .errors = true };
		a->text[0] = '\0';
	}
	if (a->full || (a->errors && level > LOG_ERR))
		return;
	n = strlen(a->text);
	a->full = n && n + strlen(text) + sizeof("\n") + sizeof(more) > room;
	if (a->full)
		snprintf(a->text + n, room - n, "%s", more);
	else
		snprintf(a->text + n, room - n, "%s%s", n ? "\n" : "", text);
}

int bl_reload(struct bl_state *st, char *text)
{
	struct bl_policy *policy, *old = st->policy;
	struct answer answer = { .text = text };
	int err;

	text[0] = '\0';
	policy = bl_config_load(st->config_path, say, &answer);
	if (!policy) {
		bl_error("the configuration has errors; the one before stays in force");
		strcat(text, in_force);
		return -EINVAL;
	}
	st->policy = policy;
	err = bl_accounts_apply(st);
	if (err) {
		st->policy = old;
		bl_policy_free(policy);
		snprintf(text, BL_TEXT_MAX, "the limits cannot be set: %s; the configuration before stays in force",
			 strerror(-err));
		return err;
	}
	bl_policy_free(old);
	bl_reload_admins(st);
	bl_info("configuration read again");
	return 0;
}
