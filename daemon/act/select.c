/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/units.h"
#include "daemon/act/accounts.h"
#include "daemon/act/holders.h"
#include "daemon/act/select.h"
#include "daemon/state.h"
#include "daemon/sys/process.h"
#include "daemon/sys/users.h"

#define MEMORY_BLOCKS	"/sys/devices/system/memory/"

/* The part of a selection that the module chooses by, in its own bits. */
static const struct {
	uint32_t by, module;
} bits[] = {
	{ BL_BY_ACCOUNT, BELAY_SELECT_ACCOUNT },
	{ BL_BY_GRANT, BELAY_SELECT_GRANT },
	{ BL_BY_REGION, BELAY_SELECT_REGION },
	{ BL_BY_NODE, BELAY_SELECT_NODE },
	{ BL_BY_BLOCK, BELAY_SELECT_PHYS },
	{ BL_BY_FILE, BELAY_SELECT_FILE },
	{ BL_BY_AGE, BELAY_SELECT_MADE_BEFORE },
	{ BL_BY_LASTING, BELAY_SELECT_LASTING },
	{ BL_BY_TRANSIENT, BELAY_SELECT_TRANSIENT },
};

__attribute__((format(printf, 3, 4)))
static int refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, BL_TEXT_MAX, fmt, ap);
	va_end(ap);
	return err;
}

/* Where a memory block lies: 0, or -errno. */
static int block_range(uint64_t block, uint64_t *ret_addr, uint64_t *ret_len)
{
	char path[sizeof(MEMORY_BLOCKS) + 32];
	FILE *f = fopen(MEMORY_BLOCKS "block_size_bytes", "re");
	int n;

	if (!f)
		return -errno;
	n = fscanf(f, "%" SCNx64, ret_len);
	fclose(f);
	snprintf(path, sizeof(path), MEMORY_BLOCKS "memory%" PRIu64, block);
	if (access(path, F_OK))
		return -errno;
	if (n != 1 || __builtin_mul_overflow(block, *ret_len, ret_addr))
		return -ERANGE;
	return 0;
}

/* Which bits make sense together, for what is chosen among. */
static int check(const struct bl_selection *by, uint32_t what, char *why)
{
	uint32_t known = BL_BY_PROCESS | BL_BY_USER;
	size_t i;

	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		known |= bits[i].by;
	if (by->by & ~known || (by->by & BL_BY_NODE && by->node > INT32_MAX) ||
	    (by->by & BL_BY_LASTING && by->by & BL_BY_TRANSIENT))
		return refuse(why, -EINVAL, "unknown or impossible selection 0x%x", by->by);
	if (what == BL_LIST_GRANTS && by->by & ~BL_BY_OF_GRANT)
		return refuse(why, -EINVAL, "only regions have a number, a place, a file, an age and a duration");
	if (what == BL_LIST_ACCOUNTS && by->by & ~BL_BY_OF_ACCOUNT)
		return refuse(why, -EINVAL, "accounts are selected by user and account only");
	return 0;
}

/* Some names have to be looked up first: a memory block, an account. */
static int look_up(struct bl_state *st, struct bl_choice *c, char *why)
{
	const struct bl_account *a;
	uint64_t addr = 0, len = 0;
	int err;

	if (c->by.by & BL_BY_ACCOUNT) {
		a = bl_accounts_named(st, c->by.account);
		if (!a)
			return refuse(why, -ENOENT, "there is no account \"%s\"; see: belayctl list accounts",
				      c->by.account);
		c->account = a->id;
		c->module.account = a->id;
	}
	if (c->by.by & BL_BY_BLOCK) {
		err = block_range(c->by.block, &addr, &len);
		if (err)
			return refuse(why, -ENOENT, "there is no memory block %" PRIu64 ": see " MEMORY_BLOCKS " (%s)",
				      c->by.block, strerror(-err));
		c->module.phys_addr = addr;
		c->module.phys_len = len;
	}
	return 0;
}

int bl_choice_init(struct bl_state *st, struct bl_choice *c,
		   const struct bl_selection *by, uint32_t what, char *why)
{
	size_t i;
	int err = check(by, what, why);

	if (err)
		return err;
	c->by = *by;
	c->account = 0;
	c->holders_of = 0;
	c->module = (struct belay_select){
		.grant = by->grant,
		.region = by->region,
		.node = (int32_t)by->node,
		.device = by->device,
		.inode = by->inode,
		.made_before = by->made_before,
	};
	for (i = 0; i < sizeof(bits) / sizeof(*bits); i++)
		if (by->by & bits[i].by)
			c->module.by |= bits[i].module;
	return look_up(st, c, why);
}

void bl_choice_turn(struct bl_choice *c)
{
	c->holders_of = 0;
}

const struct bl_holders *bl_choice_holders(struct bl_state *st, struct bl_choice *c,
					   struct bl_grant_record *g)
{
	/* Regions of a grant mostly follow each other. */
	if (c->holders_of != g->id)
		bl_holders_look(st, g, &c->holders);
	c->holders_of = g->id;
	return &c->holders;
}

bool bl_choice_asks_grants(const struct bl_choice *c)
{
	return c->by.by & (BL_BY_PROCESS | BL_BY_USER);
}

bool bl_choice_has_grant(struct bl_state *st, struct bl_choice *c,
			 struct bl_grant_record *g)
{
	if (!bl_choice_asks_grants(c))
		return true;
	if (!g)
		return false;
	/* The process that opened it may have gone, and its pid be another's now. */
	if (c->by.by & BL_BY_PROCESS &&
	    (g->pid != c->by.pid || bl_process_check(g->pid, g->start_time)) &&
	    !bl_holders_have_pid(bl_choice_holders(st, c, g), c->by.pid))
		return false;
	return !(c->by.by & BL_BY_USER) || g->uid == c->by.uid ||
	       bl_holders_have_user(bl_choice_holders(st, c, g), c->by.uid);
}

bool bl_choice_has_account(const struct bl_choice *c, const struct bl_account *a)
{
	const struct bl_account *user = bl_account_user(a), *top = a;

	if (!a)
		return !(c->by.by & BL_BY_OF_ACCOUNT);
	while (c->account && top && top->id != c->account)
		top = top->parent;
	return top && (!(c->by.by & BL_BY_USER) || !user || user->key.id == c->by.uid);
}

/* ------------------------------------------------------------------------ */
/* In words                                                                  */

struct words {
	char *buf;
	size_t len, n;
};

__attribute__((format(printf, 2, 3)))
static void add(struct words *w, const char *fmt, ...)
{
	va_list ap;

	if (w->n && w->n < w->len)
		w->n += (size_t)snprintf(w->buf + w->n, w->len - w->n, ", ");
	if (w->n >= w->len)
		return;
	va_start(ap, fmt);
	w->n += (size_t)vsnprintf(w->buf + w->n, w->len - w->n, fmt, ap);
	va_end(ap);
}

const char *bl_selection_text(const struct bl_selection *by, uint64_t now, char *buf,
			      size_t len)
{
	struct words w = { .buf = buf, .len = len };
	char text[BL_NAME_MAX];

	buf[0] = '\0';
	if (by->by & BL_BY_REGION)
		add(&w, "region %" PRIu64, by->region);
	if (by->by & BL_BY_GRANT)
		add(&w, "grant %" PRIu64, by->grant);
	if (by->by & BL_BY_PROCESS)
		add(&w, "process %d", by->pid);
	if (by->by & BL_BY_USER) {
		bl_user_name(by->uid, text, sizeof(text));
		add(&w, "user %s", text);
	}
	if (by->by & BL_BY_ACCOUNT)
		add(&w, "account %s", by->account);
	if (by->by & BL_BY_NODE)
		add(&w, "node %u", by->node);
	if (by->by & BL_BY_BLOCK)
		add(&w, "memory block %" PRIu64, by->block);
	if (by->by & BL_BY_FILE)
		add(&w, "file %u:%u/%" PRIu64, major(by->device), minor(by->device), by->inode);
	if (by->by & BL_BY_AGE)
		add(&w, "older than %s", bl_time_format(text, sizeof(text),
			now > by->made_before ? now - by->made_before : 0));
	if (by->by & BL_BY_LASTING)
		add(&w, "lasting");
	if (by->by & BL_BY_TRANSIENT)
		add(&w, "transient");
	return buf;
}
