/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * config.h - reads belayd.conf and its drop-ins
 */
#ifndef BL_CONFIG_H
#define BL_CONFIG_H

#include "daemon/core/policy.h"

/*
 * bl_config_load - what the files say
 *
 * @path: the file; the drop-ins are PATH.d/?*.conf, in the order of their
 *	names, each of which overrides what came before, key by key. A file or
 *	folder that does not exist is empty.
 * @say: is told every error (LOG_ERR) and warning (LOG_WARNING), with file
 *	and line
 *
 * Returns the policy, or NULL if there was an error: all are found in one go.
 */
struct bl_policy *bl_config_load(const char *path,
				 void (*say)(void *arg, int level, const char *text),
				 void *arg);

/* bl_config_print - every key that has a value, "[system] max = 1 GiB", at LOG_DEBUG */
void bl_config_print(struct bl_policy *policy,
		     void (*say)(void *arg, int level, const char *text), void *arg);

#endif
