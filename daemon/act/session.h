/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* session.h - which connection has which session */
#ifndef BL_SESSION_H
#define BL_SESSION_H

#include <stdint.h>

struct bl_conn;

/* It has that session now, instead of any other connection; 0 or -ENOMEM */
int bl_session_attach(struct bl_conn *c, uint64_t session, uint64_t grant);
/* It has none any more. */
void bl_session_detach(struct bl_conn *c);

#endif
