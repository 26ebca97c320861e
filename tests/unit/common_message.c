/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Every message of the protocol, from both sides: too short, exact, longer
 * with a tail of zeroes, longer with something in the tail, unknown flags,
 * reserved fields, text without end. tests/unit/common_grown builds this with structs
 * that have grown as well.
 */
#include <stddef.h>
#include <stdint.h>

#include <linux/belay.h>

#include "common/message.h"
#include "tests/lib/tap.h"

static const struct message {
	const char *name;
	enum bl_sender sender;
	uint16_t type;
	uint16_t flags;
	size_t size;
	size_t least;		/* its size in the first release, for ever */
	size_t text;		/* offset and length of one text; 0: none */
	size_t text_len;
	size_t reserved;	/* offset of a reserved field; 0: none */
} messages[] = {
	{ "hello", BL_FROM_CLIENT, BL_HELLO, 0, sizeof(struct bl_hello), 88,
	  offsetof(struct bl_hello, label), BL_NAME_MAX, 0 },
	{ "open", BL_FROM_CLIENT, BL_OPEN, 0, sizeof(struct bl_open), 88,
	  offsetof(struct bl_open, class_name), BL_NAME_MAX, 0 },
	{ "resume", BL_FROM_CLIENT, BL_RESUME, 0, sizeof(struct bl_resume), 24, 0, 0, 0 },
	{ "ack", BL_FROM_CLIENT, BL_ACK, 0, sizeof(struct bl_ack), 24, 0, 0, 0 },
	{ "status", BL_FROM_CLIENT, BL_STATUS, 0, sizeof(struct bl_msg), 16, 0, 0, 0 },
	{ "list", BL_FROM_CLIENT, BL_LIST, 0, sizeof(struct bl_list), 168,
	  offsetof(struct bl_list, select.account), BL_NAME_MAX,
	  offsetof(struct bl_list, reserved) },
	{ "limit", BL_FROM_CLIENT, BL_LIMIT, 0, sizeof(struct bl_limit), 104,
	  offsetof(struct bl_limit, account), BL_NAME_MAX,
	  offsetof(struct bl_limit, reserved) },
	{ "recall", BL_FROM_CLIENT, BL_RECALL, BL_RECALL_WAIT,
	  sizeof(struct bl_recall), 160, offsetof(struct bl_recall, select.account), BL_NAME_MAX,
	  offsetof(struct bl_recall, reserved) },
	{ "reload", BL_FROM_CLIENT, BL_RELOAD, 0, sizeof(struct bl_reload), 16, 0, 0, 0 },
	{ "daemon hello", BL_FROM_DAEMON, BL_HELLO, 0, sizeof(struct bl_hello), 88,
	  offsetof(struct bl_hello, label), BL_NAME_MAX, 0 },
	{ "error", BL_FROM_DAEMON, BL_ERROR, 0, sizeof(struct bl_error), 632,
	  offsetof(struct bl_error, text), BL_TEXT_MAX,
	  offsetof(struct bl_error, refusal.reserved) },
	{ "ok", BL_FROM_DAEMON, BL_OK, 0, sizeof(struct bl_ok), 528,
	  offsetof(struct bl_ok, text), BL_TEXT_MAX, 0 },
	{ "grant", BL_FROM_DAEMON, BL_GRANT, 0, sizeof(struct bl_grant), 688,
	  offsetof(struct bl_grant, levels[8].name), BL_NAME_MAX,
	  offsetof(struct bl_grant, reserved) },
	{ "revoke", BL_FROM_DAEMON, BL_REVOKE, 0, sizeof(struct bl_revoke), 96, 0, 0, 0 },
	{ "daemon status", BL_FROM_DAEMON, BL_STATUS, 0, sizeof(struct bl_status), 192,
	  offsetof(struct bl_status, version), BL_NAME_MAX, 0 },
	{ "rows", BL_FROM_DAEMON, BL_LIST, 0, sizeof(struct bl_list_rows), 48, 0, 0,
	  offsetof(struct bl_list_rows, reserved) },
	{ "recalled", BL_FROM_DAEMON, BL_RECALL, 0, sizeof(struct bl_recalled), 584,
	  offsetof(struct bl_recalled, text), BL_TEXT_MAX, 0 },
};
#define N_MESSAGES (sizeof(messages) / sizeof(*messages))

static union {
	uint64_t align;
	char bytes[BL_MSG_MAX + 64];
	struct bl_msg msg;
	struct bl_list_rows rows;
	struct bl_grant grant;
} packet;
static char why[BL_TEXT_MAX];

static void fill(const struct message *m, size_t len)
{
	memset(&packet, 0, sizeof(packet));
	bl_msg_init(&packet.msg, len, m->type, 7);
}

static int check_len(const struct message *m, size_t len)
{
	fill(m, len);
	return bl_msg_check(&packet, len, m->sender, why);
}

TEST(lengths, "a message is taken as long as in any release or with a tail of zeroes, never shorter")
{
	const struct message *m;
	size_t len;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		for (len = 0; len < m->least; len++)
			if (check_len(m, len) != -EPROTO)
				FAIL("%s of %zu bytes was taken", m->name, len);
		for (; len <= m->size; len += 8)
			if (check_len(m, len))
				FAIL("%s: %s", m->name, why);
		if (m->type == BL_LIST && m->sender == BL_FROM_DAEMON)
			continue;
		if (check_len(m, m->size + 8) || check_len(m, m->size + 13) ||
		    check_len(m, BL_MSG_MAX))
			FAIL("%s with a tail: %s", m->name, why);
		if (check_len(m, BL_MSG_MAX + 1) != -EPROTO)
			FAIL("%s: too long was taken", m->name);
	}
}

TEST(tails, "a tail with anything in it is refused")
{
	const struct message *m;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		fill(m, m->size + 16);
		packet.bytes[m->size + 15] = 1;
		CHECK_EQ(bl_msg_check(&packet, m->size + 16, m->sender, why), -EPROTO);
		fill(m, m->size + 16);
		packet.bytes[m->size] = 1;
		CHECK_EQ(bl_msg_check(&packet, m->size + 16, m->sender, NULL), -EPROTO);
	}
}

TEST(flags, "unknown flags are refused, known ones taken")
{
	const struct message *m;
	int bit;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		for (bit = 0; bit < 16; bit++) {
			fill(m, m->size);
			packet.msg.flags = (uint16_t)(1 << bit);
			if (bl_msg_check(&packet, m->size, m->sender, why) !=
			    (m->flags & 1 << bit ? 0 : -EPROTO))
				FAIL("%s with flag %d", m->name, bit);
		}
	}
}

TEST(reserved, "reserved fields must be zero")
{
	const struct message *m;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		if (!m->reserved)
			continue;
		fill(m, m->size);
		packet.bytes[m->reserved + 3] = 1;
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why), -EPROTO);
	}
}

TEST(text, "text must be terminated, and nothing may hide behind its end")
{
	const struct message *m;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		if (!m->text_len)
			continue;
		fill(m, m->size);
		memset(packet.bytes + m->text, 'x', m->text_len - 1);
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why), 0);
		packet.bytes[m->text + m->text_len - 1] = 'x';
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why), -EPROTO);
		packet.bytes[m->text + m->text_len - 1] = 0;
		packet.bytes[m->text + 3] = 0;
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why), -EPROTO);
	}
}

TEST(header, "a size that is not the packet's, no serial, an unknown type, the wrong side")
{
	const struct message *m;

	for (m = messages; m < messages + N_MESSAGES; m++) {
		fill(m, m->size);
		packet.msg.size++;
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why), -EPROTO);
		fill(m, m->size);
		packet.msg.serial = 0;
		CHECK_EQ(bl_msg_check(&packet, m->size, m->sender, why),
			 m->type == BL_ERROR || m->type == BL_REVOKE ? 0 : -EPROTO);
	}
	fill(&messages[0], 4096);
	packet.msg.type = 0;
	CHECK_EQ(bl_msg_check(&packet, 4096, BL_FROM_CLIENT, why), -EPROTO);
	packet.msg.type = BL_GRANT;
	CHECK_EQ(bl_msg_check(&packet, 4096, BL_FROM_CLIENT, why), -EPROTO);
	CHECK_STR(why, "unknown message type 34");
	packet.msg.type = BL_OPEN;
	CHECK_EQ(bl_msg_check(&packet, 4096, BL_FROM_DAEMON, why), -EPROTO);
}

static int check_rows(uint32_t what, uint32_t count, uint32_t row_size, size_t len)
{
	memset(&packet, 0, sizeof(packet));
	bl_msg_init(&packet.msg, len, BL_LIST, 7);
	packet.rows.what = what;
	packet.rows.count = count;
	packet.rows.row_size = row_size;
	return bl_msg_check(&packet, len, BL_FROM_DAEMON, why);
}

TEST(rows, "the rows of a list fill the packet and are not shorter than in the first release")
{
	static const uint32_t least[] = {
		[BL_LIST_ACCOUNTS] = 128, [BL_LIST_GRANTS] = 456, [BL_LIST_REGIONS] = 280,
	};
	size_t head = sizeof(struct bl_list_rows);
	uint32_t row, what;

	for (what = BL_LIST_ACCOUNTS; what <= BL_LIST_REGIONS; what++) {
		row = (uint32_t)bl_row_size(what);
		CHECK_NE(row, 0);
		CHECK_EQ(check_rows(what, 0, row, head), 0);
		CHECK_EQ(check_rows(what, 3, row, head + 3 * row), 0);
		CHECK_EQ(check_rows(what, 2, row + 8, head + 2 * (row + 8)), 0);
		CHECK_EQ(check_rows(what, 2, least[what], head + 2 * least[what]), 0);
		CHECK_EQ(check_rows(what, 2, least[what] - 8, head + 2 * (least[what] - 8)), -EPROTO);
		CHECK_EQ(check_rows(what, 3, row, head + 2 * row), -EPROTO);
		CHECK_EQ(check_rows(what, 0, row, head + 8), -EPROTO);
		CHECK_EQ(check_rows(what, UINT32_MAX, row, head + row), -EPROTO);
	}
	CHECK_EQ(check_rows(9, 1, 8, head + 8), -EPROTO);
}

TEST(levels, "a grant cannot have more levels than the message has room for")
{
	fill(&messages[12], sizeof(struct bl_grant));
	packet.grant.count = BL_LEVELS_MAX;
	CHECK_EQ(bl_msg_check(&packet, sizeof(struct bl_grant), BL_FROM_DAEMON, why), 0);
	packet.grant.count++;
	CHECK_EQ(bl_msg_check(&packet, sizeof(struct bl_grant), BL_FROM_DAEMON, why),
		 -EPROTO);
}

TAP_MAIN()
