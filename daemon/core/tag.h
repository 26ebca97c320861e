/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * tag.h - what the daemon writes on accounts and grants
 *
 * The module keeps 64 opaque bytes with each account and each grant for its
 * policy owner. They hold what a daemon must know that has just been started
 * and finds them: whose an account is, and what a process's RLIMIT_MEMLOCK was
 * before belay raised it. Native byte order; they never leave the machine.
 */
#ifndef BL_TAG_H
#define BL_TAG_H

#include <stdint.h>
#include <sys/types.h>

#include <linux/belay.h>

#include "daemon/core/policy.h"

struct bl_grant_tag {
	uid_t uid;
	uint64_t memlock_soft;	/* RLIMIT_MEMLOCK as it was; BL_UNLIMITED: none */
	uint64_t memlock_hard;
};

void bl_tag_put_account(uint8_t tag[BELAY_TAG_BYTES], const struct bl_account_key *key);
void bl_tag_put_grant(uint8_t tag[BELAY_TAG_BYTES], const struct bl_grant_tag *t);

/* 0, or -EINVAL: nobody of this daemon's kind has written that */
int bl_tag_get_account(const uint8_t tag[BELAY_TAG_BYTES], struct bl_account_key *ret);
int bl_tag_get_grant(const uint8_t tag[BELAY_TAG_BYTES], struct bl_grant_tag *ret);

#endif
