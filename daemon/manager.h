/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * manager.h - puts the parts of the daemon together, starts and frees them
 *
 * For main.c and tests only.
 */
#ifndef BL_MANAGER_H
#define BL_MANAGER_H

#include "daemon/state.h"

/* Takes @policy. NULL: out of memory or file descriptors, errno is set. */
struct bl_state *bl_manager_new(struct bl_device *dev, struct bl_policy *policy,
				const char *config_path);
/* Closes connections and listeners; grants and accounts live on. NULL is nothing. */
struct bl_state *bl_manager_free(struct bl_state *st);
/* Adopts what the module has, applies limits, begins to look at events; says why not. */
int bl_manager_start(struct bl_state *st);

#endif
