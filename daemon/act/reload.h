/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* reload.h - reading the configuration again */
#ifndef BL_RELOAD_H
#define BL_RELOAD_H

struct bl_state;

/*
 * Reads the configuration again. 0; or -EINVAL, and the old one stays. @text,
 * of BL_TEXT_MAX bytes: what was wrong, or what was warned about, or "".
 */
int bl_reload(struct bl_state *st, char *text);
/* Looks up who the administrators are. */
void bl_reload_admins(struct bl_state *st);

#endif
