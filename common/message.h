/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * message.h - is this packet a message of the protocol?
 *
 * One table says for each message and direction how long it is, which flags
 * it may have, and where its text and its reserved fields are. Both sides
 * check with it whatever they receive, before they look at it.
 */
#ifndef BL_MESSAGE_H
#define BL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "common/protocol.h"

enum bl_sender {
	BL_FROM_CLIENT = 0,	/* an administrator is one as well */
	BL_FROM_DAEMON = 1,
};

/*
 * bl_msg_check - is this a well-formed message from that side?
 *
 * @buf: the packet, aligned for uint64_t, with room for BL_MSG_MAX bytes, of which
 *	those behind the packet are zero
 * @len: its length; 0 is no message (the other side has closed)
 * @why: room for a sentence of BL_TEXT_MAX bytes, or NULL
 *
 * Returns 0, or -EPROTO with the sentence. After 0: msg.size is @len, the
 * struct of that type is there in full (what an older sender's lacks is zero), text is terminated, flags and
 * reserved fields are known, what lies behind the struct is zero, and the
 * rows of a BL_LIST lie inside. Other values (which account, what to list)
 * are the handler's to judge.
 */
int bl_msg_check(const void *buf, size_t len, enum bl_sender sender, char *why);

/* bl_msg_name - "BL_OPEN", for logs; never NULL */
const char *bl_msg_name(uint16_t type);

/* bl_msg_init - fill in the header; the rest of the struct must be zero already */
void bl_msg_init(struct bl_msg *msg, size_t size, uint16_t type, uint64_t serial);

/* bl_row_size - of a BL_LIST's rows, by enum bl_list_what; 0 if unknown */
size_t bl_row_size(uint32_t what);

#endif
