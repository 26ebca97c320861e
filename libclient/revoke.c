// SPDX-License-Identifier: MIT
/*
 * Revoke requests: from the socket to the program, and its word back.
 *
 *	arrives -> PARKED (its region is still being registered)
 *	        -> QUEUED -> HELD -> DONE
 *	        -> DONE   (its region is gone: answered at once)
 *
 * A request is answered once: by belay_ack(), or by the unregistering of its
 * region, whichever comes first. The answer is DUE until it could be sent, SENT
 * until the daemon confirms it, and DUE again when the connection breaks before
 * that. The daemon sends every open request again after a reconnect; what is
 * known by its number is not shown to the program twice.
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

/* The answer is to be sent; bl_connection_flush() does it. */
static void answer(struct belay_request *req)
{
	if (req->answer != BL_UNANSWERED)
		return;
	if (req->region)
		req->region->acked = req->message.request;
	req->answer = BL_DUE;
	TAILQ_INSERT_TAIL(&req->belay->due, req, in_acks);
}

static void enqueue(struct belay_request *req)
{
	req->where = BL_QUEUED;
	TAILQ_INSERT_TAIL(&req->belay->queued, req, in_queue);
}

static bool is_known(const struct bl_region *region, uint64_t id)
{
	const struct belay_request *req;

	LIST_FOREACH(req, &region->requests, in_region)
		if (req->message.request == id)
			return true;
	return false;
}

/*
 * A request has arrived: 1 if the program is to see it, 0 if not, or -ENOMEM,
 * upon which the connection is dropped and the daemon sends it again.
 */
int bl_requests_receive(struct belay *b, const struct bl_revoke *m)
{
	struct bl_region *region = bl_region_find(b, m->cookie);
	struct belay_request *req;

	if (region && is_known(region, m->request))
		return 0;
	if (region && region->live && region->pub.id != m->region)
		region = NULL;
	req = calloc(1, sizeof(*req));
	if (!req)
		return -ENOMEM;
	req->belay = b;
	req->message = *m;
	req->where = BL_DONE;
	req->region = region;
	LIST_INSERT_HEAD(region ? &region->requests : &b->orphans, req, in_region);
	if (!region || region->acked == m->request)
		answer(req);
	else if (region->live)
		enqueue(req);
	else
		req->where = BL_PARKED;
	return req->where == BL_QUEUED;
}

/* A region can be used by the program now; true: there are requests for it. */
bool bl_requests_publish(struct bl_region *region)
{
	struct belay_request *req;
	bool any = false;

	region->live = true;
	LIST_FOREACH(req, &region->requests, in_region) {
		enqueue(req);
		any = true;
	}
	return any;
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

/* The handle goes, and every request with it. */
void bl_requests_fini(struct belay *b)
{
	uint32_t i;

	for (i = 0; i < b->slot_count; i++)
		if (b->slots[i].region)
			free_all(&b->slots[i].region->requests);
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

	pthread_mutex_lock(&b->lock);
	bl_connection_service(b, &arrived);
	while (b->on_revoke && (req = take_request(b))) {
		pthread_mutex_unlock(&b->lock);
		b->on_revoke(b, req, b->arg);
		pthread_mutex_lock(&b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return (int)arrived;
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
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	if (b->on_revoke)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	req = take_request(b);
	pthread_mutex_unlock(&b->lock);
	if (!req)
		return -EAGAIN;
	*ret = req;
	return 0;
}

int belay_request_info(const struct belay_request *req,
		       struct belay_request_info *info)
{
	const struct bl_revoke *m = &req->message;
	struct bl_region *region;
	size_t size = info->size;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(req->belay))
		return -EXDEV;
	if (size < sizeof(*info))
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
	struct belay *b = req->belay;
	BL_KEEP_ERRNO;

	if (!bl_is_mine(b))
		return -EXDEV;
	pthread_mutex_lock(&b->lock);
	answer(req);
	req->where = BL_DONE;
	put_request(req);
	bl_connection_flush(b);
	pthread_mutex_unlock(&b->lock);
	return 0;
}
