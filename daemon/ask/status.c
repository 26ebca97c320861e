/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* BL_STATUS: how much is held, and how belayd is doing. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/message.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"

#define ROWS		64
#define BURST		20	/* new answers, for all who ask */
#define PER_SEC		20

void bl_status_init(struct bl_state *st)
{
	bl_bucket_init(&st->status_bucket, BURST, PER_SEC, st->started_at);
}

static int add_accounts(struct bl_state *st, struct bl_status *s)
{
	struct bl_walk walk = { .what = BELAY_LIST_ACCOUNTS };
	struct belay_account_row rows[ROWS];
	uint32_t n, i;
	int err;

	do {
		err = bl_device_list(st->dev, &walk, rows, ROWS, &n);
		for (i = 0; !err && i < n; i++) {
			s->accounts++;
			s->refusals += rows[i].refusals;
			if (!st->ledger.root || rows[i].account != st->ledger.root->id)
				continue;
			s->charged_bytes = rows[i].usage_bytes;
			s->regions = rows[i].usage_regions;
			s->limit_bytes = rows[i].limit_bytes;
		}
	} while (!err && n);
	return err;
}

static int add_grants(struct bl_state *st, struct bl_status *s)
{
	struct bl_walk walk = { .what = BELAY_LIST_GRANTS };
	struct belay_grant_row rows[ROWS];
	uint32_t n, i;
	int err;

	do {
		err = bl_device_list(st->dev, &walk, rows, ROWS, &n);
		for (i = 0; !err && i < n; i++) {
			if (rows[i].flags & BELAY_GRANT_ENDED)
				continue;
			s->grants++;
			s->sessions += rows[i].sessions;
			s->refusals += rows[i].refusals;
			s->pinned_bytes += rows[i].pinned_bytes;
			s->tracked_bytes += rows[i].tracked_bytes;
		}
	} while (!err && n);
	return err;
}

/*
 * Everybody may ask, as often as the buckets of connections allow, and it takes a
 * walk over all grants. So only some answers a second are new, whoever gets them.
 */
static int current_status(struct bl_state *st, struct bl_status *s)
{
	struct bl_status now = { 0 };
	int err;

	if (bl_bucket_take(&st->status_bucket, BURST, PER_SEC,
			   bl_loop_now(&st->loop))) {
		err = add_accounts(st, &now);
		if (!err)
			err = add_grants(st, &now);
		if (err)
			return err;
		st->status = now;
	}
	*s = st->status;
	return 0;
}

static int fill_status(struct bl_state *st, struct bl_status *s)
{
	int err = current_status(st, s);

	snprintf(s->version, sizeof(s->version), "%s", BELAY_VERSION);
	s->abi_version = st->dev->info.abi_version;
	s->pid = (uint32_t)getpid();
	s->started_at = st->started_at;
	s->clients = st->server.n_conns;
	s->open_requests = st->revoke.open;
	s->overdue_requests = st->revoke.overdue;
	return err;
}

void bl_ask_status(struct bl_conn *c, const struct bl_msg *msg)
{
	struct bl_status s = { 0 };
	int err;

	err = fill_status(bl_state_of(c), &s);
	bl_msg_init(&s.msg, sizeof(s), BL_STATUS, msg->serial);
	if (err)
		bl_conn_error(c, msg->serial, -err,
			      "the kernel module cannot be asked: %s", strerror(-err));
	else
		bl_conn_send(c, &s.msg, -1);
}

void bl_status_text(struct bl_state *st, char *buf, size_t len)
{
	char held[BL_SIZE_TEXT], limit[BL_SIZE_TEXT];
	struct bl_status s = { 0 };

	if (fill_status(st, &s)) {
		snprintf(buf, len, "The kernel module does not answer");
		return;
	}
	snprintf(buf, len, "%llu clients, %llu grants, %s of %s held in %llu regions, %llu revoke requests open, %llu of them overdue",
		 (unsigned long long)s.clients, (unsigned long long)s.grants,
		 bl_size_format(held, sizeof(held), s.charged_bytes),
		 bl_size_format(limit, sizeof(limit), s.limit_bytes),
		 (unsigned long long)s.regions,
		 (unsigned long long)s.open_requests,
		 (unsigned long long)s.overdue_requests);
}
