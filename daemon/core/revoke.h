/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * revoke.h - the open revoke requests, and what becomes of them
 *
 * See revoke.c for the states. The caller owns time and acts; this tells it
 * what to do (bl_revoke_due(), bl_revoke_ack()) and is told how that went
 * (bl_revoke_result()).
 */
#ifndef BL_REVOKE_H
#define BL_REVOKE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/heap.h"
#include "daemon/core/job.h"
#include "daemon/core/map.h"

enum bl_request_state {
	BL_ASKED,	/* the client is told, or will be when it connects */
	BL_ACKED,	/* it has stopped using it; its driver still holds it */
	BL_DUE,		/* the deadline has passed and it is still held */
	BL_KILLING,	/* its processes were killed, or had ended; its memory is not free yet */
	BL_OVERDUE,	/* still held, and nothing more will be done */
};

/* What the caller is to do to a request's region. */
enum bl_action {
	BL_DO_NOTHING,
	BL_DO_LOOK,	/* ask the module: 0 it is held, -ENOENT it is not */
	BL_DO_RELEASE,	/* by order: 0, -ENOENT, or why not */
	BL_DO_KILL,	/* the grant's processes: how many were killed, or why none could be */
};

struct bl_request {
	struct bl_heap_node timer;	/* first; when it is looked at again */
	uint64_t session;
	uint64_t region;
	uint64_t grant;
	uint64_t id;		/* as the client knows it */
	uint64_t bytes;		/* held when it was asked for, or lost */
	uint64_t lost_len;	/* of the range around all that is lost */
	uint64_t deadline;	/* 0: none */
	uint64_t give_up;	/* BL_KILLING: until when to wait */
	uint32_t reason;
	uint8_t kind;		/* enum belay_kind */
	uint8_t escalation;	/* enum bl_escalation, not the default */
	uint8_t state;		/* enum bl_request_state */
	bool lost;
	struct bl_wait *waits;
	struct bl_request *next, *prev;	/* of the same grant */
};

struct bl_revocation {
	struct bl_map regions;	/* (session, region) */
	struct bl_map ids;	/* (session, id) */
	struct bl_map grants;	/* (grant, 0): the first of its requests */
	struct bl_map killed;	/* (grant, 0): how many of its processes were killed, and 1 */
	struct bl_heap timers;
	uint64_t open;		/* requests that there are */
	uint64_t overdue;	/* of these, BL_OVERDUE */
};

/* A request to be: as the fields of struct bl_request. */
struct bl_ask {
	uint64_t session;
	uint64_t region;
	uint64_t grant;
	uint64_t id;
	uint64_t bytes;
	uint64_t lost_len;
	uint64_t deadline;
	uint32_t reason;
	uint32_t kind;
	uint32_t escalation;
	bool lost;
};

/* Whoever still waits is told that nothing came of it. */
void bl_revoke_fini(struct bl_revocation *rv);

struct bl_request *bl_revoke_find(const struct bl_revocation *rv, uint64_t session,
				  uint64_t region);
struct bl_request *bl_revoke_find_id(const struct bl_revocation *rv, uint64_t session,
				     uint64_t id);

/* The first request of a grant; the others by ->next. */
struct bl_request *bl_revoke_first(const struct bl_revocation *rv, uint64_t grant);

/*
 * bl_revoke_ask - a recall, by somebody or from before a restart
 *
 * One that there is for the region already is replaced: id, deadline,
 * escalation and reason; who waited for it goes on waiting. @job may be NULL.
 * Returns 0 or -ENOMEM (then nothing has changed).
 */
int bl_revoke_ask(struct bl_revocation *rv, const struct bl_ask *ask,
		  struct bl_job *job, struct bl_request **ret);

/*
 * bl_revoke_lost - a part of a region was lost, or more of it
 *
 * ask->bytes is what is still held. A request that is open for it, a recall or
 * an earlier loss, becomes this, and keeps its deadline and escalation.
 * Returns 0 or -ENOMEM.
 */
int bl_revoke_lost(struct bl_revocation *rv, const struct bl_ask *ask,
		   struct bl_request **ret);

/* The client has stopped using the region. BL_DO_RELEASE or nothing. */
enum bl_action bl_revoke_ack(struct bl_revocation *rv, struct bl_request *r);

/* Nothing is held any more: the request is over, and freed. */
void bl_revoke_gone(struct bl_revocation *rv, struct bl_request *r);

/* It could not even be asked for: over, and freed; who waits is told KEPT. */
void bl_revoke_cancel(struct bl_revocation *rv, struct bl_request *r);

/* All requests of a grant that has ended are over. */
void bl_revoke_grant_ended(struct bl_revocation *rv, uint64_t grant);

/*
 * bl_revoke_due - what is to be done now
 *
 * Returns a request and sets *ret_action, or NULL. The same one is returned
 * again until its bl_revoke_result().
 */
struct bl_request *bl_revoke_due(struct bl_revocation *rv, uint64_t now,
				 enum bl_action *ret_action);

/* More processes of a grant were killed, beside those of BL_DO_KILL. */
void bl_revoke_killed(struct bl_revocation *rv, uint64_t grant, unsigned int n);

/*
 * bl_revoke_result - how it went: 0 or a negative errno, or see enum bl_action
 *
 * Returns true if the request is over, and freed.
 */
bool bl_revoke_result(struct bl_revocation *rv, struct bl_request *r,
		      enum bl_action action, int result, uint64_t now);

/* When bl_revoke_due() will have something; 0: never */
uint64_t bl_revoke_wake(const struct bl_revocation *rv);

#endif
