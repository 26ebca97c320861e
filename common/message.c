/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/message.h"

#define TEXTS_MAX	2
#define LEVELS		0xffff	/* in field.len: an array of struct bl_level */

struct field {
	uint16_t offset;
	uint16_t len;
};

/* What there is to know of one message from one side. */
struct rule {
	const char *name;
	uint16_t type;
	uint16_t flags;		/* known */
	uint32_t size;		/* of the struct */
	uint32_t min_size;	/* of the struct in the first release */
	bool answer;		/* serial may be 0 */
	bool rows;
	struct field reserved;	/* len 0: none */
	struct field reserved2;
	struct field texts[TEXTS_MAX];
};

#define FIELD(type, member) { offsetof(struct type, member), \
			      sizeof(((struct type *)0)->member) }
#define RULE(t, s, S, ...) { .name = #t, .type = t, .size = sizeof(struct s), \
			     .min_size = S##_SIZE_VER0, __VA_ARGS__ }

static const struct rule from_client[] = {
	RULE(BL_HELLO, bl_hello, BL_HELLO, .texts = { FIELD(bl_hello, label) }),
	RULE(BL_OPEN, bl_open, BL_OPEN, .texts = { FIELD(bl_open, class_name) }),
	RULE(BL_RESUME, bl_resume, BL_RESUME),
	RULE(BL_ACK, bl_ack, BL_ACK),
	RULE(BL_STATUS, bl_msg, BL_MSG),
	RULE(BL_LIST, bl_list, BL_LIST, .reserved = FIELD(bl_list, reserved),
	     .texts = { FIELD(bl_list, select.account) }),
	RULE(BL_LIMIT, bl_limit, BL_LIMIT, .reserved = FIELD(bl_limit, reserved),
	     .texts = { FIELD(bl_limit, account) }),
	RULE(BL_RECALL, bl_recall, BL_RECALL, .flags = BL_RECALL_WAIT,
	     .reserved = FIELD(bl_recall, reserved),
	     .texts = { FIELD(bl_recall, select.account) }),
	RULE(BL_RELOAD, bl_reload, BL_RELOAD),
};

static const struct rule from_daemon[] = {
	RULE(BL_HELLO, bl_hello, BL_HELLO, .texts = { FIELD(bl_hello, label) }),
	RULE(BL_ERROR, bl_error, BL_ERROR, .answer = true,
	     .reserved = FIELD(bl_error, reserved),
	     .reserved2 = FIELD(bl_error, refusal.reserved),
	     .texts = { FIELD(bl_error, refusal.account), FIELD(bl_error, text) }),
	RULE(BL_OK, bl_ok, BL_OK, .texts = { FIELD(bl_ok, text) }),
	RULE(BL_GRANT, bl_grant, BL_GRANT, .reserved = FIELD(bl_grant, reserved),
	     .texts = { { offsetof(struct bl_grant, levels), LEVELS } }),
	RULE(BL_REVOKE, bl_revoke, BL_REVOKE, .answer = true),
	RULE(BL_STATUS, bl_status, BL_STATUS, .texts = { FIELD(bl_status, version) }),
	RULE(BL_LIST, bl_list_rows, BL_LIST_ROWS, .rows = true,
	     .reserved = FIELD(bl_list_rows, reserved)),
	RULE(BL_RECALL, bl_recalled, BL_RECALLED, .texts = { FIELD(bl_recalled, text) }),
};

static const struct {
	const struct rule *rules;
	size_t count;
} sides[] = {
	[BL_FROM_CLIENT] = { from_client, sizeof(from_client) / sizeof(struct rule) },
	[BL_FROM_DAEMON] = { from_daemon, sizeof(from_daemon) / sizeof(struct rule) },
};

static const struct rule *find(enum bl_sender sender, uint16_t type)
{
	size_t i;

	for (i = 0; i < sides[sender].count; i++)
		if (sides[sender].rules[i].type == type)
			return &sides[sender].rules[i];
	return NULL;
}

__attribute__((format(printf, 2, 3)))
static int bad(char *why, const char *fmt, ...)
{
	va_list ap;

	if (why) {
		va_start(ap, fmt);
		vsnprintf(why, BL_TEXT_MAX, fmt, ap);
		va_end(ap);
	}
	return -EPROTO;
}

static bool all_zero(const char *p, size_t len)
{
	return !len || (!p[0] && !memcmp(p, p + 1, len - 1));
}

/* Terminated, and nothing hidden behind the end. */
static bool text_ok(const char *text, size_t len)
{
	size_t n = strnlen(text, len);

	return n < len && all_zero(text + n, len - n);
}

static bool levels_ok(const struct bl_grant *g)
{
	uint32_t i;

	if (g->count > BL_LEVELS_MAX)
		return false;
	for (i = 0; i < BL_LEVELS_MAX; i++)
		if (!text_ok(g->levels[i].name, sizeof(g->levels[i].name)))
			return false;
	return true;
}

static int check_fields(const struct rule *r, const char *buf, char *why)
{
	int i;

	if (!all_zero(buf + r->reserved.offset, r->reserved.len) ||
	    !all_zero(buf + r->reserved2.offset, r->reserved2.len))
		return bad(why, "%s: a reserved field is not zero", r->name);
	for (i = 0; i < TEXTS_MAX; i++) {
		const struct field *f = &r->texts[i];

		if (f->len == LEVELS ? levels_ok((const struct bl_grant *)buf) :
		    !f->len || text_ok(buf + f->offset, f->len))
			continue;
		return bad(why, "%s: text that is not terminated, or is followed by something",
			   r->name);
	}
	return 0;
}

static uint32_t row_min_size(uint32_t what)
{
	switch (what) {
	case BL_LIST_ACCOUNTS:
		return BL_ACCOUNT_ROW_SIZE_VER0;
	case BL_LIST_GRANTS:
		return BL_GRANT_ROW_SIZE_VER0;
	case BL_LIST_REGIONS:
		return BL_REGION_ROW_SIZE_VER0;
	default:
		return 0;
	}
}

/* Rows may be longer or shorter than this side's, and fill the packet. */
static int check_rows(const struct bl_list_rows *m, size_t len, char *why)
{
	uint64_t room = len - sizeof(*m);

	if (m->count && (m->row_size < row_min_size(m->what) || m->row_size % 8 ||
			 !bl_row_size(m->what)))
		return bad(why, "BL_LIST: rows of %u bytes", m->row_size);
	if ((uint64_t)m->count * m->row_size != room)
		return bad(why, "BL_LIST: %u rows do not fill the %llu bytes of the packet",
			   m->count, (unsigned long long)room);
	return 0;
}

int bl_msg_check(const void *buf, size_t len, enum bl_sender sender, char *why)
{
	const struct bl_msg *msg = buf;
	const struct rule *r;
	int err;

	if (len < sizeof(*msg))
		return bad(why, "a packet of %zu bytes is no message", len);
	if (len > BL_MSG_MAX)
		return bad(why, "a packet of more than %d bytes", BL_MSG_MAX);
	if (msg->size != len)
		return bad(why, "the message says that it has %u bytes, the packet has %zu",
			   msg->size, len);
	r = find(sender, msg->type);
	if (!r)
		return bad(why, "unknown message type %u", msg->type);
	if (len < r->min_size)
		return bad(why, "%s of %zu bytes: at least %u are needed",
			   r->name, len, r->min_size);
	if (msg->flags & ~r->flags)
		return bad(why, "%s: unknown flags 0x%x", r->name,
			   msg->flags & ~r->flags);
	if (!msg->serial && !r->answer)
		return bad(why, "%s without a serial", r->name);
	err = check_fields(r, buf, why);
	if (err)
		return err;
	if (r->rows)
		return check_rows(buf, len, why);
	if (len > r->size && !all_zero((const char *)buf + r->size, len - r->size))
		return bad(why, "%s: unknown content after its %u bytes",
			   r->name, r->size);
	return 0;
}

const char *bl_msg_name(uint16_t type)
{
	const struct rule *r = find(BL_FROM_CLIENT, type);

	if (!r)
		r = find(BL_FROM_DAEMON, type);
	return r ? r->name : "?";
}

void bl_msg_init(struct bl_msg *msg, size_t size, uint16_t type, uint64_t serial)
{
	msg->size = (uint32_t)size;
	msg->type = type;
	msg->flags = 0;
	msg->serial = serial;
}

size_t bl_row_size(uint32_t what)
{
	switch (what) {
	case BL_LIST_ACCOUNTS:
		return sizeof(struct bl_account_row);
	case BL_LIST_GRANTS:
		return sizeof(struct bl_grant_row);
	case BL_LIST_REGIONS:
		return sizeof(struct bl_region_row);
	default:
		return 0;
	}
}
