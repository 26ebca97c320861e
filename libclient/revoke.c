// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Revoke requests: from the socket to the program, and its word back.
 *
 *	arrives -> PARKED (its region may be on its way: see table.c)
 *	        -> QUEUED -> HELD -> DONE
 *	        -> DONE   (its region is gone: answered at once)
 *
 * A request is answered once: by belay_ack(), or by the unregistering or the
 * trimming of its region, whichever comes first. The answer is DUE until it could be sent, SENT
 * until the daemon confirms it, and DUE again when the connection breaks before
 * that. The daemon sends every open request again after a reconnect; what is
 * known by its number is not shown to the program twice. Unless more is lost
 * than before: then the program gets a request for that, of the same number, and
 * acknowledges each.
 */
#include <stdlib.h>
#include <string.h>

#include "common/reason.h"
#include "internal.h"

/* Frees a request that nobody needs any more. */
static void put_request(struct belay_request *req)
{
	if (req->where != BL_DONE || req->answer != BL_CONFIRMED)
		return;
	LIST_REMOVE(req, in_region);
	free(req);
}

/* A loss, or a recall? Regions can be recalled that are lost in part. */
static struct bl_acked *acked_of(struct bl_region *region, const struct bl_revoke *m)
{
	return m->reason < BELAY_REASON_ADMIN ? &region->acked_loss :
						&region->acked_recall;
}

static bool is_same_loss(const struct bl_revoke *a, const struct bl_revoke *b)
{
	return a->lost_addr == b->lost_addr && a->lost_len == b->lost_len;
}

static bool is_acked(struct bl_region *region, const struct bl_revoke *m)
{
	const struct bl_acked *a = acked_of(region, m);

	return a->request == m->request && a->lost_addr == m->lost_addr &&
	       a->lost_len == m->lost_len;
}

/* The answer is to be sent; bl_connection_flush() does it. */
static void answer(struct belay_request *req)
{
	if (req->answer != BL_UNANSWERED)
		return;
	if (req->region)
		*acked_of(req->region, &req->message) = (struct bl_acked){
			.request = req->message.request,
			.lost_addr = req->message.lost_addr,
			.lost_len = req->message.lost_len,
		};
	req->answer = BL_DUE;
	TAILQ_INSERT_TAIL(&req->belay->due, req, in_acks);
}

static void enqueue(struct belay_request *req)
{
	req->where = BL_QUEUED;
	TAILQ_INSERT_TAIL(&req->belay->queued, req, in_queue);
}

/*
 * Is there nothing new in this? What the program has not seen yet is brought
 * up to date; if more is lost than it knows, it gets another.
 */
static bool is_known(struct bl_region *region, const struct bl_revoke *m)
{
	struct belay_request *req;

	LIST_FOREACH(req, &region->requests, in_region) {
		if (req->message.request != m->request)
			continue;
		if (req->where == BL_QUEUED)
			req->message = *m;
		if (is_same_loss(&req->message, m))
			return true;
	}
	return false;
}

static bool is_parked(const struct bl_slot *slot, const struct bl_revoke *m)
{
	struct belay_request *req;

	for (req = slot->parked; req; req = req->next_parked)
		if (req->message.region == m->region &&
		    req->message.request == m->request) {
			req->message = *m;
			return true;
		}
	return false;
}

/*
 * A request has arrived: 1 if the program is to see it, 0 if not, or -ENOMEM,
 * upon which the connection is dropped and the daemon sends it again.
 */
int bl_requests_receive(struct belay *b, const struct bl_revoke *m)
{
	struct bl_region *region = bl_table_find(b, m->region, m->cookie);
	struct bl_slot *slot = bl_table_slot(b, m->cookie);
	struct belay_request *req;

	if (region ? is_known(region, m) : slot && is_parked(slot, m))
		return 0;
	req = calloc(1, sizeof(*req));
	if (!req)
		return -ENOMEM;
	req->belay = b;
	req->message = *m;
	LIST_INSERT_HEAD(&b->orphans, req, in_region);
	if (region) {
		bl_request_adopt(region, req);
	} else if (slot && slot->coming) {
		req->where = BL_PARKED;
		req->next_parked = slot->parked;
		slot->parked = req;
	} else {
		bl_request_orphan(req);
	}
	return req->where == BL_QUEUED;
}

/* Its region is known now. */
void bl_request_adopt(struct bl_region *region, struct belay_request *req)
{
	LIST_REMOVE(req, in_region);
	LIST_INSERT_HEAD(&region->requests, req, in_region);
	req->region = region;
	if (is_acked(region, &req->message)) {
		req->where = BL_DONE;
		answer(req);
	} else {
		enqueue(req);
	}
}

/* Its region is gone: what was asked is done. */
void bl_request_orphan(struct belay_request *req)
{
	req->where = BL_DONE;
	answer(req);
}

/* A region goes: what was asked of it is done. */
void bl_requests_forget(struct bl_region *region)
{
	struct belay_request *req;

	while ((req = LIST_FIRST(&region->requests))) {
		answer(req);
		LIST_REMOVE(req, in_region);
		LIST_INSERT_HEAD(&req->belay->orphans, req, in_region);
		req->region = NULL;
		if (req->where == BL_QUEUED)
			TAILQ_REMOVE(&req->belay->queued, req, in_queue);
		if (req->where != BL_HELD)
			req->where = BL_DONE;
		put_request(req);
	}
}

/* The daemon has the acknowledgement that was sent with this serial. */
void bl_requests_confirm(struct belay *b, uint64_t serial)
{
	struct belay_request *req;

	TAILQ_FOREACH(req, &b->sent, in_acks) {
		if (req->serial != serial)
			continue;
		TAILQ_REMOVE(&b->sent, req, in_acks);
		req->answer = BL_CONFIRMED;
		put_request(req);
		return;
	}
}

/* The connection is gone: what it has not confirmed is sent on the next. */
void bl_requests_unsend(struct belay *b)
{
	struct belay_request *req;

	TAILQ_FOREACH(req, &b->sent, in_acks)
		req->answer = BL_DUE;
	TAILQ_CONCAT(&b->sent, &b->due, in_acks);
	TAILQ_CONCAT(&b->due, &b->sent, in_acks);
}

static void free_all(struct bl_region_requests *requests)
{
	struct belay_request *req;

	while ((req = LIST_FIRST(requests))) {
		LIST_REMOVE(req, in_region);
		free(req);
	}
}

/* The handle goes, and every request with it. Parked ones are orphans, too. */
void bl_requests_fini(struct belay *b)
{
	struct bl_region *region;

	LIST_FOREACH(region, &b->regions, in_handle)
		free_all(&region->requests);
	free_all(&b->orphans);
}

/* The next request in the queue becomes the program's; NULL: none. */
static struct belay_request *take_request(struct belay *b)
{
	struct belay_request *req = TAILQ_FIRST(&b->queued);

	if (req) {
		TAILQ_REMOVE(&b->queued, req, in_queue);
		req->where = BL_HELD;
	}
	return req;
}

/* belay_dispatch() without its checks, for the helper thread too. */
int bl_dispatch(struct belay *b)
{
	struct belay_request *req;
	uint32_t arrived = 0;
	int err;

	pthread_mutex_lock(&b->lock);
	err = bl_connection_service(b, &arrived);
	while (b->on_revoke && (req = take_request(b))) {
		pthread_mutex_unlock(&b->lock);
		b->on_revoke(b, req, b->arg);
		pthread_mutex_lock(&b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return err ? err : (int)arrived;
}

int belay_dispatch(struct belay *b)
{
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (b->threaded)
		return -EBUSY;
	return bl_dispatch(b);
}

int belay_get_request(struct belay *b, struct belay_request **ret)
{
	struct belay_request *req;
	int err;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (b->on_revoke)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	req = take_request(b);
	err = req ? 0 : bl_descriptors_check(b);
	pthread_mutex_unlock(&b->lock);
	if (!req)
		return err ? err : -EAGAIN;
	*ret = req;
	return 0;
}

int belay_get_request_info(const struct belay_request *req,
			   struct belay_request_info *info)
{
	const struct bl_revoke *m = &req->message;
	struct bl_region *region;
	size_t size = info->size;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(req->belay))
		return -EXDEV;
	if (!bl_size_is_valid(size, sizeof(*info)))
		return -EINVAL;
	memset(info, 0, size);
	info->size = size;
	pthread_mutex_lock(&req->belay->lock);
	region = req->region;
	info->region = region ? &region->pub : NULL;
	info->user = region ? region->pub.user : NULL;
	pthread_mutex_unlock(&req->belay->lock);
	info->reason = m->reason;
	info->escalation = m->escalation;
	info->deadline = m->deadline;
	info->lost_addr = (void *)(uintptr_t)m->lost_addr;
	info->lost_len = m->lost_len;
	info->reason_text = bl_reason_text(m->reason);
	return 0;
}

int belay_ack(struct belay_request *req)
{
	struct belay *b;
	int err;
	BL_KEEP_ERRNO;

	if (!req)
		return 0;
	b = req->belay;
	if (!bl_is_mine(b))
		return -EXDEV;
	pthread_mutex_lock(&b->lock);
	answer(req);
	req->where = BL_DONE;
	put_request(req);
	err = bl_descriptors_check(b);
	if (!err)
		bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
	return err;
}
