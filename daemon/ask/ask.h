/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * ask.h - what clients and administrators ask for, one file per question
 */
#ifndef BL_ASK_H
#define BL_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/wire/server.h"

struct bl_state;

/* The table of questions, for the server. */
extern const struct bl_server_ops bl_ask_ops;

/* Root, or a member of the group belay-admin by any of its groups when it connected */
bool bl_ask_is_admin(struct bl_conn *c);

void bl_ask_hello(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_open(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_open_cancel(struct bl_conn *c);
void bl_ask_resume(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_ack(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_status(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_list(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_limit(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_recall(struct bl_conn *c, const struct bl_msg *msg);
void bl_ask_reload(struct bl_conn *c, const struct bl_msg *msg);

void bl_status_init(struct bl_state *st);
/* The status as one line for a person */
void bl_status_text(struct bl_state *st, char *buf, size_t len);

#endif
