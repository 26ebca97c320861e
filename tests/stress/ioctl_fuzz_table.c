// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * ioctl_fuzz_table.c - the commands as belay(4) and the header have them
 *
 * Beside what is listed here every command may say EINVAL, E2BIG, EOPNOTSUPP and
 * EFAULT to a broken argument, and ENOMEM.
 */
#include <errno.h>
#include <stddef.h>

#include "tests/stress/ioctl_fuzz.h"

#define F(s, field, how)	{ offsetof(struct s, field), sizeof(((struct s *)0)->field), how }
#define END			{ 0, 0, T_ANY }

static const struct fuzz_field info[] = {
	F(belay_info, flags, T_ZERO), F(belay_info, abi_oldest, T_ANY),
	F(belay_info, abi_version, T_ANY), F(belay_info, features, T_ANY),
	F(belay_info, session, T_ANY), END,
};

/* All whose struct has this shape. */
static const struct fuzz_field batch[] = {
	F(belay_register, flags, T_ZERO), F(belay_register, reserved, T_ZERO),
	F(belay_register, done, T_ANY), END,
};

static const struct fuzz_field register_entry[] = {
	F(belay_register_entry, addr, T_PAGES), F(belay_register_entry, len, T_PAGES),
	F(belay_register_entry, kind, T_KIND), F(belay_register_entry, flags, T_FLAGS),
	F(belay_register_entry, reserved, T_ZERO), F(belay_register_entry, cookie, T_ANY),
	F(belay_register_entry, word, T_ANY), F(belay_register_entry, region, T_ANY), END,
};

static const struct fuzz_field region_entry[] = {
	F(belay_region_entry, region, T_ID), F(belay_region_entry, state, T_ANY),
	F(belay_region_entry, lost_addr, T_ANY), END,
};

static const struct fuzz_field trim_entry[] = {
	F(belay_trim_entry, region, T_ID), F(belay_trim_entry, addr, T_PAGES),
	F(belay_trim_entry, len, T_PAGES), F(belay_trim_entry, reserved, T_ZERO),
	F(belay_trim_entry, before.region, T_ANY), F(belay_trim_entry, after.word, T_ANY), END,
};

static const struct fuzz_field usage[] = {
	F(belay_usage, flags, T_ZERO), F(belay_usage, session, T_ANY), END,
};

static const struct fuzz_field account[] = {
	F(belay_ctl_account, flags, T_ZERO), F(belay_ctl_account, parent, T_ID),
	F(belay_ctl_account, limit_bytes, T_ANY), F(belay_ctl_account, limit_regions, T_ANY), END,
};

static const struct fuzz_field limit_entry[] = {
	F(belay_limit_entry, id, T_ID), F(belay_limit_entry, flags, T_FLAGS),
	F(belay_limit_entry, reserved, T_ZERO), F(belay_limit_entry, limit_bytes, T_ANY),
	F(belay_limit_entry, limit_regions, T_ANY), END,
};

static const struct fuzz_field id[] = {
	F(belay_ctl_id, flags, T_ZERO), F(belay_ctl_id, id, T_ID), END,
};

static const struct fuzz_field grant[] = {
	F(belay_ctl_grant, flags, T_ZERO), F(belay_ctl_grant, uid, T_ID),
	F(belay_ctl_grant, account, T_ID), F(belay_ctl_grant, pid, T_ID),
	F(belay_ctl_grant, start_time, T_ID), F(belay_ctl_grant, limit_bytes, T_ANY),
	F(belay_ctl_grant, limit_regions, T_ANY), F(belay_ctl_grant, fd, T_ANY), END,
};

static const struct fuzz_field recall_entry[] = {
	F(belay_recall_entry, session, T_ID), F(belay_recall_entry, region, T_ID),
	F(belay_recall_entry, reserved, T_ZERO), F(belay_recall_entry, request, T_ANY),
	F(belay_recall_entry, deadline, T_ANY), F(belay_recall_entry, reason, T_KIND),
	F(belay_recall_entry, policy, T_ANY), END,
};

static const struct fuzz_field events[] = { F(belay_ctl_events, flags, T_ZERO), END };

static const struct fuzz_field event[] = {
	F(belay_event, seq, T_ANY), F(belay_event, session, T_ANY), F(belay_event, region, T_ANY),
	F(belay_event, events, T_ANY), END,
};

#define SELECT(s)									\
	F(s, select.by, T_NUMBER), F(s, select.pid, T_ANY), F(s, select.node, T_ANY),	\
	F(s, select.uid, T_ANY), F(s, select.account, T_ANY), F(s, select.grant, T_ANY),\
	F(s, select.session, T_ANY), F(s, select.region, T_ANY),			\
	F(s, select.phys_addr, T_ANY), F(s, select.phys_len, T_ANY),			\
	F(s, select.device, T_ANY), F(s, select.inode, T_ANY), F(s, select.made_before, T_ANY)

static const struct fuzz_field list[] = {
	F(belay_ctl_list, flags, T_ZERO), F(belay_ctl_list, reserved, T_ZERO),
	F(belay_ctl_list, what, T_KIND), F(belay_ctl_list, after, T_ANY),
	F(belay_ctl_list, after_region, T_ANY), SELECT(belay_ctl_list), END,
};

static const struct fuzz_field waiting[] = {
	F(belay_ctl_wait, flags, T_ZERO), F(belay_ctl_wait, timeout, T_TIME),
	F(belay_ctl_wait, session, T_ANY), SELECT(belay_ctl_wait), END,
};

static const struct fuzz_field holders[] = {
	F(belay_ctl_holders, flags, T_ZERO), F(belay_ctl_holders, grant, T_ID), END,
};

#define COMMAND(text, cmd, s, on)						\
	.name = text, .nr = cmd, .size = sizeof(struct s), .files = on
#define NO_ARRAY	.pointer = -1, .count = -1, .entry_len = -1, .done = -1, .status = -1
#define ARRAY(s, p, e)								\
	.pointer = offsetof(struct s, p), .count = offsetof(struct s, count),	\
	.entry_len = offsetof(struct s, entry_size), .entry_size = sizeof(struct e)
#define NO_STATUS	.done = -1, .status = -1
/* With a status for each entry. */
#define BATCH(s, e)								\
	ARRAY(s, entries, e), .done = offsetof(struct s, done),			\
	.status = offsetof(struct e, status), .reads = true, .writes = true,	\
	.fields = batch
#define SESSION		.broken = { EXDEV, ESHUTDOWN }

const struct fuzz_command fuzz_commands[FUZZ_COMMANDS] = {
	[F_INFO] = {
		COMMAND("INFO", BELAY_INFO, belay_info, ON_SESSION | ON_OWNER | ON_READER),
		NO_ARRAY, .fields = info,
	},
	[F_REGISTER] = {
		COMMAND("REGISTER", BELAY_REGISTER, belay_register, ON_SESSION),
		BATCH(belay_register, belay_register_entry), SESSION,
		.entry_fields = register_entry,
		.intact_status = { EFAULT, EMEDIUMTYPE, EDQUOT, EMLINK, EAGAIN },
		.broken_status = { EINVAL, E2BIG, EOPNOTSUPP },
	},
	[F_COMMIT] = {
		COMMAND("COMMIT", BELAY_COMMIT, belay_regions, ON_SESSION),
		BATCH(belay_regions, belay_region_entry), SESSION, .entry_fields = region_entry,
		.intact_status = { ENOENT, EAGAIN, EINVAL, EFAULT, EMEDIUMTYPE },
		.broken_status = { E2BIG },
	},
	[F_UNREGISTER] = {
		COMMAND("UNREGISTER", BELAY_UNREGISTER, belay_regions, ON_SESSION),
		BATCH(belay_regions, belay_region_entry), SESSION, .entry_fields = region_entry,
		.intact_status = { ENOENT }, .broken_status = { E2BIG },
	},
	[F_CHECK] = {
		COMMAND("CHECK", BELAY_CHECK, belay_regions, ON_SESSION),
		BATCH(belay_regions, belay_region_entry), SESSION, .entry_fields = region_entry,
		.intact_status = { ENOENT, EAGAIN }, .broken_status = { E2BIG },
	},
	[F_TRIM] = {
		COMMAND("TRIM", BELAY_TRIM, belay_trim, ON_SESSION),
		BATCH(belay_trim, belay_trim_entry), SESSION, .entry_fields = trim_entry,
		/* EINVAL: it is prepared, or is another region now. */
		.intact_status = { ENOENT, ESTALE, EAGAIN, EBUSY, EINVAL, EDQUOT },
		.broken_status = { E2BIG, EOPNOTSUPP },
	},
	[F_USAGE] = {
		COMMAND("USAGE", BELAY_USAGE, belay_usage, ON_SESSION),
		ARRAY(belay_usage, levels, belay_level), NO_STATUS, SESSION,
		.writes = true, .fields = usage,
	},
	[F_ACCOUNT] = {
		COMMAND("ACCOUNT", BELAY_CTL_ACCOUNT, belay_ctl_account, ON_OWNER),
		/* The one above has gone, or has become too deep. */
		NO_ARRAY, .fields = account, .intact = { ENOENT, EINVAL },
	},
	[F_LIMITS] = {
		COMMAND("LIMITS", BELAY_CTL_LIMITS, belay_ctl_limits, ON_OWNER),
		ARRAY(belay_ctl_limits, entries, belay_limit_entry), NO_STATUS,
		.reads = true, .fields = batch, .entry_fields = limit_entry, .intact = { ENOENT },
	},
	[F_REMOVE] = {
		COMMAND("ACCOUNT_REMOVE", BELAY_CTL_ACCOUNT_REMOVE, belay_ctl_id, ON_OWNER),
		NO_ARRAY, .fields = id, .intact = { ENOENT, EBUSY },
	},
	[F_GRANT] = {
		COMMAND("GRANT", BELAY_CTL_GRANT, belay_ctl_grant, ON_OWNER),
		NO_ARRAY, .fields = grant, .intact = { ENOENT, ESRCH, EAGAIN, EMFILE },
		.broken = { EACCES },
	},
	[F_RECALL] = {
		COMMAND("RECALL", BELAY_CTL_RECALL, belay_ctl_recall, ON_OWNER),
		BATCH(belay_ctl_recall, belay_recall_entry), .entry_fields = recall_entry,
		.intact_status = { ENOENT }, .broken_status = { EINVAL, E2BIG, EOPNOTSUPP },
	},
	[F_RELEASE] = {
		COMMAND("RELEASE", BELAY_CTL_RELEASE, belay_ctl_recall, ON_OWNER),
		BATCH(belay_ctl_recall, belay_recall_entry), .entry_fields = recall_entry,
		.intact_status = { ENOENT, EBUSY }, .broken_status = { E2BIG, EOPNOTSUPP },
	},
	[F_EVENTS] = {
		COMMAND("EVENTS", BELAY_CTL_EVENTS, belay_ctl_events, ON_OWNER),
		ARRAY(belay_ctl_events, entries, belay_event), NO_STATUS,
		.fields = events,
	},
	[F_EVENTS_DONE] = {
		COMMAND("EVENTS_DONE", BELAY_CTL_EVENTS_DONE, belay_ctl_events, ON_OWNER),
		ARRAY(belay_ctl_events, entries, belay_event), NO_STATUS,
		.reads = true, .fields = events, .entry_fields = event,
	},
	[F_LIST] = {
		COMMAND("LIST", BELAY_CTL_LIST, belay_ctl_list, ON_OWNER | ON_READER),
		ARRAY(belay_ctl_list, rows, belay_region_row), NO_STATUS,
		.fields = list,
	},
	[F_WAIT] = {
		COMMAND("WAIT", BELAY_CTL_WAIT, belay_ctl_wait, ON_OWNER | ON_READER),
		NO_ARRAY, .fields = waiting, .intact = { ETIMEDOUT },
	},
	[F_HOLDERS] = {
		COMMAND("HOLDERS", BELAY_CTL_HOLDERS, belay_ctl_holders, ON_OWNER | ON_READER),
		ARRAY(belay_ctl_holders, rows, belay_holder_row), NO_STATUS,
		.fields = holders, .intact = { ENOENT },
	},
};
