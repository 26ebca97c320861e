/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* enforce.h - deadlines and what follows them */
#ifndef BL_ENFORCE_H
#define BL_ENFORCE_H

struct bl_request;
struct bl_state;

void bl_enforce_run(struct bl_state *st);
/* The next deadline may have changed. */
void bl_enforce_arm(struct bl_state *st);
/* To release a region by order; the request may be freed by it. */
void bl_enforce_release(struct bl_state *st, struct bl_request *r);

#endif
