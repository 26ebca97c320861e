// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * select.c - which grants and regions are meant: the options that every command takes
 * that selects, to list, to recall, to wait
 */
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/belayctl.h"

#define NODES	"/sys/devices/system/node"

/* A kernel without NUMA lists none, and has node 0. */
static bool is_node(uint64_t node)
{
	char path[80];

	snprintf(path, sizeof(path), NODES "/node%" PRIu64, node);
	return !access(path, F_OK) || (!node && access(NODES, F_OK));
}

static int take_node(struct ctl *c, struct belay_admin_selection *s)
{
	uint64_t node;
	int status = ctl_parse_number(c, "the number of a NUMA node", optarg, &node);

	if (status)
		return status;
	if (!is_node(node))
		return ctl_fail(c, CTL_NOT_FOUND, "there is no NUMA node %s", optarg);
	s->node = (uint32_t)node;
	return CTL_OK;
}

static int take_file(struct ctl *c, struct belay_admin_selection *s)
{
	struct stat st;

	if (stat(optarg, &st))
		return ctl_fail(c, CTL_NOT_FOUND, "%s: %m", optarg);
	if (!S_ISREG(st.st_mode))
		return ctl_usage(c, "%s is no file that could be mapped", optarg);
	s->device = st.st_dev;
	s->inode = st.st_ino;
	return CTL_OK;
}

static int take_age(struct ctl *c, struct belay_admin_selection *s)
{
	uint64_t usec, now = ctl_now(c);
	int status = ctl_parse_age(c, optarg, &usec);

	if (!status)
		s->made_before = usec < now / 1000 ? now - usec * 1000 : 0;
	return status;
}

/* Each option's value, and what it selects by. */
static int take(struct ctl *c, int opt, struct belay_admin_selection *s, uint32_t *ret_by)
{
	switch (opt) {
	case CTL_OPT_REGION:
		*ret_by = BELAY_ADMIN_BY_REGION;
		return ctl_parse_u64(c, "the number of a region", optarg, &s->region);
	case CTL_OPT_GRANT:
		*ret_by = BELAY_ADMIN_BY_GRANT;
		return ctl_parse_u64(c, "the number of a grant", optarg, &s->grant);
	case CTL_OPT_PID:
		*ret_by = BELAY_ADMIN_BY_PROCESS;
		return ctl_parse_pid(c, optarg, &s->pid);
	case CTL_OPT_USER:
		*ret_by = BELAY_ADMIN_BY_USER;
		return ctl_parse_user(c, optarg, &s->uid);
	case CTL_OPT_ACCOUNT:
		*ret_by = BELAY_ADMIN_BY_ACCOUNT;
		return ctl_parse_account(c, optarg, &s->account);
	case CTL_OPT_NODE:
		*ret_by = BELAY_ADMIN_BY_NODE;
		return take_node(c, s);
	case CTL_OPT_BLOCK:
		*ret_by = BELAY_ADMIN_BY_BLOCK;
		return ctl_parse_number(c, "the number of a memory block", optarg, &s->block);
	case CTL_OPT_FILE:
		*ret_by = BELAY_ADMIN_BY_FILE;
		return take_file(c, s);
	case CTL_OPT_OLDER:
		*ret_by = BELAY_ADMIN_BY_AGE;
		return take_age(c, s);
	case CTL_OPT_LASTING:
		*ret_by = BELAY_ADMIN_BY_LASTING;
		return CTL_OK;
	default:
		*ret_by = BELAY_ADMIN_BY_TRANSIENT;
		return CTL_OK;
	}
}

static const char *option_name(int opt)
{
	static const struct option options[] = { CTL_SELECT_OPTIONS, { NULL, 0, NULL, 0 } };
	const struct option *o;

	for (o = options; o->name && o->val != opt; o++)
		;
	return o->name;
}

/* An option of CTL_SELECT_OPTIONS. What two of them say must both fit. */
int ctl_select_option(struct ctl *c, int opt, struct belay_admin_selection *s)
{
	uint32_t by = 0;
	int status = take(c, opt, s, &by);

	if (status)
		return status;
	if (s->by & by)
		return ctl_usage(c, "--%s is given twice, and nothing fits both",
				 option_name(opt));
	s->by |= by;
	if (s->by & BELAY_ADMIN_BY_LASTING && s->by & BELAY_ADMIN_BY_TRANSIENT)
		return ctl_usage(c, "--lasting and --transient exclude each other");
	return CTL_OK;
}
