/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* adopt.h - what an earlier daemon left in the module */
#ifndef BL_ADOPT_H
#define BL_ADOPT_H

#include <stdint.h>

struct bl_state;
struct belay_region_row;

/* The id of the request for a loss: the region's, and this bit. */
#define BL_LOSS_ID(region)	((region) | 1ULL << 63)

int bl_adopt(struct bl_state *st);
/* The request that a row in the state of lost or recalled stands for. */
int bl_adopt_region(struct bl_state *st, const struct belay_region_row *row);

#endif
