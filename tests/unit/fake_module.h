/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * fake_module.h - the kernel module in memory, for tests of the daemon
 *
 * It answers the control file's commands as belay.h says, and does what
 * processes would do when a test says so. Every session is a memfd.
 */
#ifndef FAKE_MODULE_H
#define FAKE_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/sys/device.h"

#define FAKE_MAX 512
#define FAKE_SHARERS 4

struct fake_account {
	bool used;
	struct belay_account_row row;
};

struct fake_grant {
	bool used;
	struct belay_grant_row row;
	bool ended_pending;
	uint64_t seq;
};

struct fake_session {
	bool used;
	uint64_t id;
	uint64_t grant;
};

struct fake_region {
	bool used;
	bool gone;		/* a shell that has an event */
	struct belay_region_row row;
	uint32_t events;
	uint64_t seq;
	bool told;
};

struct fake_module {
	struct bl_device dev;	/* first; its fd is an eventfd */
	struct fake_account accounts[FAKE_MAX];
	struct fake_grant grants[FAKE_MAX];
	struct fake_session sessions[FAKE_MAX];
	struct fake_region regions[FAKE_MAX];
	uint64_t last_id;
	uint64_t last_seq;
	unsigned int calls;
	unsigned int limit_calls;
	unsigned int limit_entries;	/* of the last call */
	int fail_next;		/* errno of the next command, once */
	int fail_recall;	/* errno of the next recall */
	uid_t run_as;		/* all processes with grants now; 0: as they were named */
	bool first_gone;	/* the process that a grant was made for has ended */
	struct belay_holder_row sharers[FAKE_SHARERS];	/* processes beside it, of every grant */
	unsigned int busy_grants;	/* as many BELAY_CTL_GRANT fail with EAGAIN */
};

void fake_init(struct fake_module *f);
void fake_fini(struct fake_module *f);

/* What processes do. Region ids are returned; kinds as in belay.h. */
uint64_t fake_register(struct fake_module *f, uint64_t session, uint32_t kind,
		       uint64_t len);
void fake_unregister(struct fake_module *f, uint64_t session, uint64_t region);
void fake_lose(struct fake_module *f, uint64_t session, uint64_t region);
/* A part of it; what is lost is then the range around all that ever was. */
void fake_lose_part(struct fake_module *f, uint64_t session, uint64_t region,
		    uint64_t offset, uint64_t len);
/* The region ends; the parts in front and behind go on. 0: nothing there. */
void fake_trim(struct fake_module *f, uint64_t session, uint64_t region,
	       uint64_t offset, uint64_t len, uint64_t ret_parts[2]);
void fake_end_grant(struct fake_module *f, uint64_t grant);

struct belay_region_row *fake_region(struct fake_module *f, uint64_t session,
				     uint64_t region);
struct belay_grant_row *fake_grant_of(struct fake_module *f, uint64_t session);
struct belay_account_row *fake_account(struct fake_module *f, uint64_t account);
unsigned int fake_pending(struct fake_module *f);

#endif
