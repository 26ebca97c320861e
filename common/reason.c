/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/belay.h>

#include "common/protocol.h"
#include "common/reason.h"

static const struct reason {
	uint32_t reason;
	const char *name;
	const char *text;
} reasons[] = {
	{ BELAY_REASON_NONE, "none", "no reason" },
	{ BELAY_REASON_UNMAPPED, "unmapped", "unmapped" },
	{ BELAY_REASON_REPLACED, "replaced", "its memory was replaced" },
	{ BELAY_REASON_EXITED, "exited", "its address space ended" },
	{ BELAY_REASON_ADMIN, "admin", "recalled by an administrator" },
	{ BELAY_REASON_LIMIT, "limit", "recalled because a limit was lowered" },
	{ BELAY_REASON_DRAIN, "drain", "recalled because its place must become free" },
	{ BELAY_REASON_PRESSURE, "pressure", "recalled because memory is short" },
	{ BELAY_REASON_LEASE, "lease", "recalled because its lease ran out" },
	{ BELAY_REASON_GUARANTEE, "guarantee",
	  "recalled because somebody with a guarantee needs room" },
};

static const struct reason *find(uint32_t reason)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].reason == reason)
			return &reasons[i];
	return NULL;
}

const char *bl_reason_name(uint32_t reason)
{
	const struct reason *r = find(reason);

	return r ? r->name : "?";
}

const char *bl_reason_text(uint32_t reason)
{
	const struct reason *r = find(reason);

	return r ? r->text : "?";
}

static const char *const escalations[] = {
	[BL_ESCALATE_DEFAULT] = "default",
	[BL_KEEP] = "keep",
	[BL_RELEASE] = "release",
	[BL_KILL] = "kill",
};

const char *bl_escalation_name(uint32_t escalation)
{
	return escalation <= BL_KILL ? escalations[escalation] : "?";
}

int bl_escalation_parse(const char *text, uint32_t *ret)
{
	uint32_t i;

	for (i = BL_KEEP; i <= BL_KILL; i++) {
		if (!strcmp(text, escalations[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *bl_kind_name(uint32_t kind)
{
	switch (kind) {
	case BELAY_PINNED:
		return "pinned";
	case BELAY_TRACKED:
		return "tracked";
	case BELAY_WATCHED:
		return "watched";
	default:
		return "?";
	}
}
