/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * packet.h - room for any message, and packets with a descriptor
 */
#ifndef BL_PACKET_H
#define BL_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "common/protocol.h"

union bl_packet {
	uint64_t align;
	char bytes[BL_MSG_MAX];
	struct bl_msg msg;
	/* Both sides */
	struct bl_hello hello;
	/* From a client */
	struct bl_open open;
	struct bl_resume resume;
	struct bl_ack ack;
	struct bl_list list;
	struct bl_limit limit;
	struct bl_recall recall;
	struct bl_reload reload;
	/* From the daemon */
	struct bl_error error;
	struct bl_ok ok;
	struct bl_grant grant;
	struct bl_revoke revoke;
	struct bl_status status;
	struct bl_list_rows rows;
	struct bl_recalled recalled;
};

/*
 * bl_packet_send - one packet, with that descriptor unless it is -1
 *
 * The descriptor stays the caller's. @flags: as of sendmsg(), MSG_NOSIGNAL is added.
 * Returns 0 or a negative errno.
 */
int bl_packet_send(int socket, const void *bytes, size_t len, int fd, int flags);

struct bl_received {
	size_t len;		/* 0: the other side has closed */
	int fd;			/* that came with it; -1: none */
	int flags;		/* MSG_TRUNC, MSG_CTRUNC: there was more than room for */
};

/*
 * bl_packet_receive - one packet, and the first descriptor that came with it
 *
 * Others that came are closed. @flags: as of recvmsg(), MSG_CMSG_CLOEXEC is added.
 * Returns 0 or a negative errno.
 */
int bl_packet_receive(int socket, void *buf, size_t room, int flags,
		      struct bl_received *ret);

#endif
