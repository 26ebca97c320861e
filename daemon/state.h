/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * state.h - the daemon's one state
 *
 * There is one struct bl_state; everything that acts (act/) and answers (ask/) gets it by
 * pointer. All of it is the loop's: there is one thread.
 */
#ifndef BL_STATE_H
#define BL_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/protocol.h"
#include "daemon/core/bucket.h"
#include "daemon/core/ledger.h"
#include "daemon/core/map.h"
#include "daemon/core/policy.h"
#include "daemon/core/revoke.h"
#include "daemon/sys/device.h"
#include "daemon/sys/loop.h"
#include "daemon/wire/conn.h"
#include "daemon/wire/server.h"

struct bl_state {
	struct bl_loop loop;
	struct bl_device *dev;
	struct event ev_device;
	struct event ev_device_retry;	/* events that there was no memory for */

	const char *config_path;
	struct bl_policy *policy;
	gid_t admin_gid;	/* (gid_t)-1: there is no such group */

	struct bl_ledger ledger;
	struct bl_revocation revoke;
	struct bl_alarm deadline;	/* the next one of a request */
	uint64_t last_request;	/* highest id of a recall that was given */
	struct event ev_sweep;

	struct bl_server server;
	struct bl_map sessions;	/* (session, 0): its connection */

	uint64_t started_at;
	bool ending;		/* nothing new is begun */
	struct bl_status status;	/* the last new one, as far as it is the module's */
	struct bl_bucket status_bucket;
};

/* The daemon keeps this with each connection. */
struct bl_client {
	uint64_t session;	/* 0: none yet */
	uint64_t grant;
	struct bl_opening *opening;	/* a BL_OPEN that is tried again; NULL: none */
	bool is_admin;
	bool admin_known;	/* is_admin has been found out */
	bool behind;		/* not everything was told: see act/notice.c */
	bool behind_again;	/* and the walk must begin anew */
	bool pumping;		/* a task does it */
	uint64_t told_region;	/* where the walk is */
};

static inline struct bl_client *bl_client_of(struct bl_conn *c)
{
	return (struct bl_client *)c->own;
}

static inline struct bl_state *bl_state_of(const struct bl_conn *c)
{
	return c->server->arg;
}

#endif
