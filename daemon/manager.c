/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/act/accounts.h"
#include "daemon/act/adopt.h"
#include "daemon/act/enforce.h"
#include "daemon/act/events.h"
#include "daemon/act/holders.h"
#include "daemon/act/memlock.h"
#include "daemon/act/reload.h"
#include "daemon/ask/ask.h"
#include "daemon/manager.h"
#include "daemon/sys/log.h"

#define SWEEP_SEC	60	/* a user that comes back soon finds its account */

static void on_sweep(int fd, short what, void *arg)
{
	bl_holders_sweep(arg);
	bl_memlock_sweep(arg);
	bl_accounts_sweep(arg);
}

static void on_deadline(void *arg)
{
	bl_enforce_run(arg);
}

struct bl_state *bl_manager_new(struct bl_device *dev, struct bl_policy *policy,
				const char *config_path)
{
	struct bl_state *st = calloc(1, sizeof(*st));
	int err;

	if (!st) {
		bl_policy_free(policy);
		return NULL;
	}
	st->dev = dev;
	st->policy = policy;
	st->config_path = config_path;
	st->deadline.fd = -1;
	bl_ledger_init(&st->ledger);
	err = bl_loop_init(&st->loop);
	if (!err)
		err = bl_alarm_init(&st->deadline, &st->loop, on_deadline, st);
	if (err) {
		errno = -err;
		return bl_manager_free(st);
	}
	bl_server_init(&st->server, &st->loop, &bl_ask_ops, st);
	event_assign(&st->ev_sweep, st->loop.base, -1, EV_PERSIST, on_sweep, st);
	st->started_at = bl_loop_now(&st->loop);
	bl_status_init(st);
	bl_reload_admins(st);
	return st;
}

struct bl_state *bl_manager_free(struct bl_state *st)
{
	int saved = errno;

	if (!st)
		return NULL;
	st->ending = true;
	bl_server_fini(&st->server);
	bl_loop_drop_tasks(&st->loop);
	bl_revoke_fini(&st->revoke);
	bl_ledger_fini(&st->ledger);
	bl_map_fini(&st->sessions);
	bl_alarm_fini(&st->deadline);
	bl_loop_fini(&st->loop);
	bl_policy_free(st->policy);
	free(st);
	errno = saved;
	return NULL;
}

int bl_manager_start(struct bl_state *st)
{
	const struct timeval sweep = { .tv_sec = SWEEP_SEC };
	int err = bl_server_start(&st->server);

	if (err) {
		bl_error("no process to keep connections: %s", strerror(-err));
		return err;
	}
	err = bl_adopt(st);
	if (err) {
		bl_error("what the kernel module has cannot be adopted: %s", strerror(-err));
		return err;
	}
	err = bl_events_start(st);
	if (!err && event_add(&st->ev_sweep, &sweep))
		err = -ENOMEM;
	if (!err)
		bl_enforce_arm(st);
	return err;
}
