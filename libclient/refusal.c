// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * What a program can print when it was refused: which limit, or which range,
 * why, and what would make it succeed.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"
#include "internal.h"
#include "kernel.h"

static void reset(struct belay_refusal *why, int error)
{
	size_t size = why->size;

	memset(why, 0, size);
	why->size = size;
	why->error = error;
}

/* 0, or -EINVAL: there is no room for it. */
int bl_refusal_check(const struct belay_refusal *why)
{
	return !why || bl_size_is_valid(why->size, sizeof(*why)) ? 0 : -EINVAL;
}

/* What was said elsewhere. */
int bl_refuse_as(struct belay_refusal *why, const struct belay_refusal *said)
{
	size_t size;

	if (!why)
		return said->error;
	size = why->size;
	reset(why, said->error);
	*why = *said;
	why->size = size;
	return said->error;
}

int bl_refuse(struct belay_refusal *why, int error, const char *fmt, ...)
{
	va_list ap;

	if (!why)
		return error;
	reset(why, error);
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return error;
}

/* For a handle that is being made. */
int bl_refuse_descriptors(struct belay_refusal *why, int error)
{
	return bl_refuse(why, error, "%s: a handle needs four descriptors; close some, or raise %s",
			 strerror(-error), error == -EMFILE ? "RLIMIT_NOFILE (ulimit -n)" :
							      "fs.file-max (sysctl)");
}

/* What is wrong with the handle, whatever was asked of it. */
static const char *handle_meaning(int error)
{
	switch (-error) {
	case EXDEV:
		return "the handle belongs to another process (after fork, open one of your own)";
	case EBADF:
		return "the program has closed or replaced a descriptor of this handle (daemon(3) and close_range(2) do that): give the handle to belay_close(), which lets go of what it holds, and open another";
	default:
		return NULL;
	}
}

int bl_refuse_handle(struct belay_refusal *why, int error)
{
	return bl_refuse(why, error, "%s", handle_meaning(error));
}

#define HOW	(BELAY_PIN | BELAY_TRACK | BELAY_WATCH)

/* What each errno of BELAY_REGISTER means to somebody who has a range. */
static const char *meaning(int error, uint32_t flags)
{
	switch (-error) {
	case EINVAL:
		if (flags & ~(HOW | BELAY_WRITE | BELAY_TRANSIENT))
			return "unknown flags";
		if (!(flags & HOW) || flags & HOW & ((flags & HOW) - 1))
			return "the flags must say one of BELAY_PIN, BELAY_TRACK and BELAY_WATCH";
		return "address and length must be multiples of the page size, the length not 0, and all of it below the end of the address space";
	case EFAULT:
		return flags & BELAY_WRITE ?
			"not all of it is mapped and writable" :
			"not all of it is mapped and readable";
	case EMEDIUMTYPE:
		return "this kind of memory cannot be held for DMA (shared writable file, DAX, secret or device memory); use anonymous memory, a memfd or hugetlb";
	case ECANCELED:
		return "ended by order while it was being registered; register it again if it is still needed";
	case EMFILE:
		return "this process has as many regions as the kernel module allows; register fewer, larger ones";
	case EMLINK:
		return "one of its pages is in too many regions of this process already; use one of those";
	case ESHUTDOWN:
		return "the grant's address space has ended";
	case EAGAIN:
		return "the mapping changed all the time; try again when it is quiet";
	case EINTR:
		return "interrupted by a signal";
	case ENOMEM:
		return "the kernel is out of memory";
	case EPROTO:
		return "the kernel module gave an answer that makes no sense";
	default:
		return handle_meaning(error);
	}
}

int bl_refuse_range(struct belay_refusal *why, int error, const void *addr,
		    size_t len, uint32_t flags)
{
	const char *text = meaning(error, flags);

	return bl_refuse(why, error, "%#" PRIxPTR "-%#" PRIxPTR ": %s",
			 (uintptr_t)addr, (uintptr_t)addr + len,
			 text ? text : strerror(-error));
}

/* What those of BELAY_COMMIT mean that mean something else there. */
static const char *commit_meaning(int error)
{
	switch (-error) {
	case EINVAL:
		return "a pinned region has nothing to commit, and another is committed once";
	case EAGAIN:
		return "the mapping changed since it was registered: let the driver let go, unregister, and start again";
	case ESTALE:
		return "it is lost: the address maps other memory now, or none";
	case ENOENT:
		return "nothing is left of the region: it was released, or trimmed before";
	default:
		return NULL;
	}
}

int bl_refuse_commit(struct belay_refusal *why, int error, const struct belay_region *r)
{
	const char *text = commit_meaning(error);

	if (!text)
		return bl_refuse_range(why, error, r->addr, r->len, r->flags);
	return bl_refuse(why, error, "%#" PRIxPTR "-%#" PRIxPTR ": %s",
			 (uintptr_t)r->addr, (uintptr_t)r->addr + r->len, text);
}

/* What those of BELAY_TRIM mean that mean something else there. */
static const char *trim_meaning(int error)
{
	switch (-error) {
	case EINVAL:
		return "the part must be made of whole pages inside the region, and not be all of it, and a tracked region must have been committed";
	case EDQUOT:
		return "what is left are two regions, and a limit allows no more; unregister another, or let go up to one end of the region";
	case ESTALE:
		return "more of the region is lost than this; trim all that is lost, or unregister the region";
	case EBUSY:
		return "the region is recalled: it is wanted back as a whole, so unregister it";
	case ENOENT:
		return "nothing is left of the region: it was released, or trimmed before";
	case EAGAIN:
		return "the kernel cannot tell just now what is lost; try again in a moment";
	case ENOMEM:
		return "out of memory";
	case EOPNOTSUPP:
		return "the kernel module that is loaded cannot do this: install a newer one";
	default:
		return meaning(error, BELAY_PIN);
	}
}

int bl_refuse_trim(struct belay_refusal *why, int error, const void *addr,
		   size_t len)
{
	const char *text = trim_meaning(error);

	if (why)
		bl_refuse(why, error, "%#" PRIxPTR "-%#" PRIxPTR ": %s",
			  (uintptr_t)addr, (uintptr_t)addr + len,
			  text ? text : strerror(-error));
	if (why && error == -EDQUOT)
		why->resource = BELAY_RESOURCE_REGIONS;
	return error;
}

void bl_account_name(const struct belay *b, uint64_t account, char *ret,
		     size_t room)
{
	uint32_t i;

	for (i = 0; i < b->level_count; i++)
		if (b->levels[i].account == account) {
			snprintf(ret, room, "%s", b->levels[i].name);
			return;
		}
	if (account)
		snprintf(ret, room, "account/%" PRIu64, account);
	else
		snprintf(ret, room, "grant");
}

#define AMOUNT_TEXT	32	/* a size, or a number of regions */

static const char *amount(char buf[AMOUNT_TEXT], uint32_t resource, uint64_t n)
{
	if (resource == BELAY_RESOURCE_BYTES)
		return bl_size_format(buf, AMOUNT_TEXT, n);
	snprintf(buf, AMOUNT_TEXT, "%" PRIu64 " region%s", n, n == 1 ? "" : "s");
	return buf;
}

/*
 * The key of belayd.conf behind a limit, and the section where it can be set: that
 * of the account ("user/alice" has [user alice]), for a grant of the one above.
 */
static void knob(char *buf, size_t room, const struct belay *b,
		 const struct belay_refusal *why, uint64_t account)
{
	const char *name = account || b->level_count < 2 ? why->account : b->levels[1].name;
	bool bytes = why->resource == BELAY_RESOURCE_BYTES;
	const char *key = bytes ? "max" : "regions", *slash = strchr(name, '/');

	if (!account)
		key = bytes ? "process_max, or without one max," : "process_regions";
	if (slash)
		snprintf(buf, room, "%s in [%.*s %s]", key, (int)(slash - name), name, slash + 1);
	else
		snprintf(buf, room, "%s in [%s]", key, name);
}

/* What to type for a limit that is just large enough. */
static void command(char *buf, size_t room, const struct belay_refusal *why,
		    const char *account)
{
	uint64_t least = why->usage + why->needed;

	if (why->resource != BELAY_RESOURCE_BYTES)
		snprintf(buf, room, "belayctl limit set %s --regions %" PRIu64, account, least);
	else if (least % (1 << 20))
		snprintf(buf, room, "belayctl limit set %s %" PRIu64 "K", account,
			 (least + 1023) >> 10);
	else
		snprintf(buf, room, "belayctl limit set %s %" PRIu64 "M", account, least >> 20);
}

/* What would make it succeed. */
static void advise(const struct belay *b, struct belay_refusal *why, const char *who,
		   uint64_t account)
{
	char excess[AMOUNT_TEXT], key[128], line[128], grant[32];
	size_t n = strlen(why->text), room = sizeof(why->text) - n;

	snprintf(grant, sizeof(grant), "grant/%" PRIu64, b->grant);
	knob(key, sizeof(key), b, why, account);
	command(line, sizeof(line), why, account ? why->account : grant);
	snprintf(why->text + n, room,
		 "ask the administrator to raise the limit of %s (%s of /etc/belay/belayd.conf; until belayd ends: %s)",
		 who, key, line);
	if (why->needed > why->limit)
		return;
	/* Usage may be more than the limit, if that was lowered. */
	n = strlen(why->text);
	snprintf(why->text + n, sizeof(why->text) - n, ", or unregister %s%s",
		 amount(excess, why->resource, why->usage - (why->limit - why->needed)),
		 account ? " (in any process charged to it)" : "");
}

/* Raising that one limit would not be enough: which others have too little room, too. */
static void warn_of_others(const struct belay *b, struct belay_refusal *why, uint64_t account)
{
	char usage[AMOUNT_TEXT], limit[AMOUNT_TEXT], name[sizeof(why->account)];
	bool bytes = why->resource == BELAY_RESOURCE_BYTES;
	struct belay_level levels[BL_LEVELS_MAX] = { 0 };
	uint32_t count = BL_LEVELS_MAX, i;
	uint64_t used, most;
	size_t n;

	if (bl_kernel_usage(b->session_fd.fd, levels, &count))
		return;
	for (i = 0; i < count && i < BL_LEVELS_MAX; i++) {
		used = bytes ? levels[i].usage_bytes : levels[i].usage_regions;
		most = bytes ? levels[i].limit_bytes : levels[i].limit_regions;
		if (levels[i].account == account || most == BELAY_UNLIMITED ||
		    (used <= most && most - used >= why->needed))
			continue;
		bl_account_name(b, levels[i].account, name, sizeof(name));
		n = strlen(why->text);
		snprintf(why->text + n, sizeof(why->text) - n,
			 "; %s has too little room, too (%s of %s in use)",
			 levels[i].account ? name : "this process",
			 amount(usage, why->resource, used), amount(limit, why->resource, most));
	}
}

int bl_refuse_limit(const struct belay *b, struct belay_refusal *why,
		    const struct belay_register_entry *e)
{
	char usage[AMOUNT_TEXT], limit[AMOUNT_TEXT], needed[AMOUNT_TEXT];
	uint32_t res = e->refused_resource;
	const char *who;

	if (!why)
		return -EDQUOT;
	reset(why, -EDQUOT);
	why->resource = res;
	why->usage = e->refused_usage;
	why->limit = e->refused_limit;
	why->needed = e->refused_needed;
	bl_account_name(b, e->refused_account, why->account, sizeof(why->account));
	who = e->refused_account ? why->account : "this process";
	snprintf(why->text, sizeof(why->text), "%s: %s of %s in use, %s more needed; ",
		 who, amount(usage, res, why->usage), amount(limit, res, why->limit),
		 amount(needed, res, why->needed));
	advise(b, why, who, e->refused_account);
	warn_of_others(b, why, e->refused_account);
	return -EDQUOT;
}

int bl_refuse_by_daemon(struct belay_refusal *why, const struct bl_error *m)
{
	if (!why)
		return -m->error;
	reset(why, -m->error);
	why->resource = m->refusal.resource;
	why->usage = m->refusal.usage;
	why->limit = m->refusal.limit;
	why->needed = m->refusal.needed;
	snprintf(why->account, sizeof(why->account), "%s", m->refusal.account);
	snprintf(why->text, sizeof(why->text), "%s",
		 m->text[0] ? m->text : strerror(m->error));
	return -m->error;
}
