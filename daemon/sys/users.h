/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* users.h - names and numbers of users and groups */
#ifndef BL_USERS_H
#define BL_USERS_H

#include <stddef.h>
#include <sys/types.h>

/* A number, or a name that the system knows; 0, or -ENOENT */
int bl_user_id(const char *user, uid_t *ret);

/* The name, or the number if there is none that fits */
void bl_user_name(uid_t uid, char *buf, size_t len);

/* A group's number: 0; -ENOENT: there is no such group; or why it cannot be looked up */
int bl_group_id(const char *group, gid_t *ret);

#endif
