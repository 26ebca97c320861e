/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* BL_RELOAD: the configuration is to be read again. */
#include "daemon/act/reload.h"
#include "daemon/ask/ask.h"
#include "daemon/state.h"

void bl_ask_reload(struct bl_conn *c, const struct bl_msg *msg)
{
	uint64_t serial = msg->serial;
	char text[BL_TEXT_MAX];
	int err = bl_reload(bl_state_of(c), text);

	if (err)
		bl_conn_error(c, serial, -err, "%s", text);
	else
		bl_conn_ok(c, serial, "%s", text);
}
