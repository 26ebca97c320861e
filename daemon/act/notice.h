/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* notice.h - telling clients what is revoked */
#ifndef BL_NOTICE_H
#define BL_NOTICE_H

struct bl_conn;
struct bl_state;
struct belay_region_row;

/* Tell the session's client, now or when it can be reached. */
void bl_notice_region(struct bl_state *st, const struct belay_region_row *row);
/* Tell it everything that is open, from the beginning. */
void bl_notice_all(struct bl_conn *c);
/* There is room in its queue again. */
void bl_notice_pump(struct bl_conn *c);

#endif
