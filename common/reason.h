/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * reason.h - the words for the numbers of the ABI and of the protocol
 *
 * The functions that name something never return NULL: "?" if it is unknown.
 */
#ifndef BL_REASON_H
#define BL_REASON_H

#include <stdint.h>

/* enum belay_reason: a word, "unmapped", "admin", for tables and files */
const char *bl_reason_name(uint32_t reason);

/* enum belay_reason: for a person, "recalled by an administrator" */
const char *bl_reason_text(uint32_t reason);

/* enum bl_escalation: "default", "keep", "release", "kill" */
const char *bl_escalation_name(uint32_t escalation);

/* The reverse, of "keep", "release" and "kill"; 0 or -EINVAL */
int bl_escalation_parse(const char *text, uint32_t *ret);

/* enum belay_kind: "pinned", "tracked", "watched" */
const char *bl_kind_name(uint32_t kind);

#endif
