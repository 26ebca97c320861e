/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* events.h - what the module has to say */
#ifndef BL_EVENTS_H
#define BL_EVENTS_H

struct bl_state;

/* From now on they are read when they come; 0 or -errno */
int bl_events_start(struct bl_state *st);
void bl_events_read(struct bl_state *st);

#endif
