/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <string.h>

#include "daemon/core/tag.h"

#define MAGIC		0x79616c62	/* "blay" */
#define VERSION		1
#define KIND_GRANT	64		/* enum bl_account_kind is below */

/* A later version may use the rest; the rest is zero until then. */
struct layout {
	uint32_t magic;
	uint8_t version;
	uint8_t kind;
	uint16_t zero;
	uint32_t id;		/* of an account's key; of a grant: the uid */
	uint32_t zero2;
	uint64_t memlock_soft;
	uint64_t memlock_hard;
};

_Static_assert(sizeof(struct layout) <= BELAY_TAG_BYTES, "a tag has 64 bytes");

static void put(uint8_t *tag, const struct layout *l)
{
	memset(tag, 0, BELAY_TAG_BYTES);
	memcpy(tag, l, sizeof(*l));
}

void bl_tag_put_account(uint8_t tag[BELAY_TAG_BYTES], const struct bl_account_key *key)
{
	struct layout l = {
		.magic = MAGIC, .version = VERSION,
		.kind = (uint8_t)key->kind, .id = key->id,
	};

	put(tag, &l);
}

void bl_tag_put_grant(uint8_t tag[BELAY_TAG_BYTES], const struct bl_grant_tag *t)
{
	struct layout l = {
		.magic = MAGIC, .version = VERSION, .kind = KIND_GRANT,
		.id = t->uid,
		.memlock_soft = t->memlock_soft, .memlock_hard = t->memlock_hard,
	};

	put(tag, &l);
}

static int get(const uint8_t *tag, struct layout *ret)
{
	memcpy(ret, tag, sizeof(*ret));
	return ret->magic == MAGIC && ret->version == VERSION ? 0 : -EINVAL;
}

int bl_tag_get_account(const uint8_t tag[BELAY_TAG_BYTES], struct bl_account_key *ret)
{
	struct layout l;

	if (get(tag, &l) || !l.kind || l.kind >= BL_ACCOUNT_KINDS)
		return -EINVAL;
	*ret = (struct bl_account_key){ .kind = l.kind, .id = l.id };
	return 0;
}

int bl_tag_get_grant(const uint8_t tag[BELAY_TAG_BYTES], struct bl_grant_tag *ret)
{
	struct layout l;

	if (get(tag, &l) || l.kind != KIND_GRANT)
		return -EINVAL;
	*ret = (struct bl_grant_tag){
		.uid = l.id,
		.memlock_soft = l.memlock_soft,
		.memlock_hard = l.memlock_hard,
	};
	return 0;
}
