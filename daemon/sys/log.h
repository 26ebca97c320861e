/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * log.h - one line to standard error for each thing worth saying
 *
 * Under systemd each line begins with its level, "<4>", which the journal
 * takes off. What clients can provoke at will goes through bl_log_client(),
 * which is limited in rate, all clients together.
 *
 * Between bl_log_start() and bl_log_stop() logging never waits: see log.c. Lines are
 * logged by one thread.
 */
#ifndef BL_LOG_H
#define BL_LOG_H

#include <syslog.h>

/* Lines above this level are not written; LOG_INFO at the start. */
void bl_log_set_level(int level);

/* From now on another thread writes; 0 or -errno. */
int bl_log_start(void);
/* Waits for what is still to be written, but not long. */
void bl_log_stop(void);

__attribute__((format(printf, 2, 3)))
void bl_log(int level, const char *fmt, ...);

__attribute__((format(printf, 2, 3)))
void bl_log_client(int level, const char *fmt, ...);

#define bl_error(...)	bl_log(LOG_ERR, __VA_ARGS__)
#define bl_warn(...)	bl_log(LOG_WARNING, __VA_ARGS__)
#define bl_notice(...)	bl_log(LOG_NOTICE, __VA_ARGS__)
#define bl_info(...)	bl_log(LOG_INFO, __VA_ARGS__)
#define bl_debug(...)	bl_log(LOG_DEBUG, __VA_ARGS__)

#endif
