// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * recall.c - belayctl recall: ask holders to let go, and say what became of it
 *
 * Waiting is the default, since only then there is something to say. It has no
 * time-out of belayctl's own: the daemon answers when the deadline has passed
 * and what was to happen then has happened.
 */
#include <inttypes.h>

#include "ctl/belayctl.h"

enum {
	OPT_DEADLINE = CTL_OPT_OWN,
	OPT_ESCALATE,
	OPT_WAIT,
	OPT_NO_WAIT,
};

static const struct option options[] = {
	CTL_COMMON_OPTIONS,
	CTL_SELECT_OPTIONS,
	{ "deadline", required_argument, NULL, OPT_DEADLINE },
	{ "escalate", required_argument, NULL, OPT_ESCALATE },
	{ "wait", no_argument, NULL, OPT_WAIT },
	{ "no-wait", no_argument, NULL, OPT_NO_WAIT },
	{ NULL, 0, NULL, 0 },
};

/* Which of the two was given; 0: neither. */
static int take_wait(struct ctl *c, int opt, int *wait)
{
	if (*wait && *wait != opt)
		return ctl_usage(c, "--wait and --no-wait exclude each other");
	*wait = opt;
	return CTL_OK;
}

static int take_option(struct ctl *c, int opt, struct belay_admin_order *r,
		       struct belay_admin_selection *select, int *wait)
{
	switch (opt) {
	case OPT_DEADLINE:
		return ctl_parse_deadline(c, optarg, &r->timeout);
	case OPT_ESCALATE:
		return ctl_parse_escalation(c, optarg, &r->escalation);
	case OPT_WAIT:
	case OPT_NO_WAIT:
		return take_wait(c, opt, wait);
	default:
		return ctl_select_option(c, opt, select);
	}
}

static int print_json(struct ctl *c, const struct belay_admin_recalled *r, bool wait)
{
	json_t *json = ctl_json_object(
		"waited", json_boolean(wait),
		"regions", ctl_json_u64(r->regions),
		"bytes", ctl_json_u64(r->bytes),
		"refused", ctl_json_u64(r->refused), NULL);

	if (wait) {
		json_object_set_new(json, "let_go", ctl_json_u64(r->let_go));
		json_object_set_new(json, "released", ctl_json_u64(r->released));
		json_object_set_new(json, "killed", ctl_json_u64(r->killed));
		json_object_set_new(json, "kept", ctl_json_u64(r->kept));
	}
	json_object_set_new(json, "text", ctl_json_text(r->text));
	return ctl_json_print(c, json);
}

/* What became of them, one line each, only what there is. */
static void print_fates(struct ctl *c, const struct belay_admin_recalled *r)
{
	if (r->let_go)
		fprintf(c->out, "  %" PRIu64 " let go by %s in time\n", r->let_go,
			ctl_plural(r->let_go, "its holder", "their holders"));
	if (r->released)
		fprintf(c->out, "  %" PRIu64 " released by order at the deadline\n", r->released);
	if (r->killed)
		fprintf(c->out, "  %" PRIu64 " %s killed at the deadline\n", r->killed,
			ctl_plural(r->killed, "process", "processes"));
	if (r->kept)
		fprintf(c->out, "  %" PRIu64 " still held and overdue: belayctl list regions\n",
			r->kept);
}

static void print_text(struct ctl *c, const struct belay_admin_recalled *r, bool wait)
{
	char bytes[CTL_CELL];

	if (r->regions)
		fprintf(c->out, "%" PRIu64 " %s (%s) recalled\n", r->regions,
			ctl_plural(r->regions, "region", "regions"),
			ctl_bytes(c, r->bytes, bytes));
	else if (!r->refused)
		fprintf(c->out, "Nothing to recall: %s.\n",
			r->text[0] ? r->text : "no memory is held there");
	if (wait)
		print_fates(c, r);
	if (r->refused)
		fprintf(c->out, "%" PRIu64 " tracked %s not recalled: another driver holds the "
			"memory, so it cannot be released by order. Ask with keep or kill.\n",
			r->refused, ctl_plural(r->refused, "region was", "regions were"));
	else if (r->text[0] && r->regions)
		fprintf(c->out, "%s\n", r->text);
}

static int recall(struct ctl *c, struct belay_admin_order *r, bool wait)
{
	struct belay_admin_recalled answer = { .size = sizeof(answer) };
	int status;

	if (wait)
		c->waiting_for = "waiting until all is let go";
	else
		r->flags = BELAY_ADMIN_NO_WAIT;
	status = ctl_done(c, belay_admin_recall(c->admin, r, &answer));
	if (status)
		return status;
	if (c->json)
		status = print_json(c, &answer, wait);
	else
		print_text(c, &answer, wait);
	if (!status && (answer.kept || answer.refused))
		return CTL_STILL_HELD;
	return status;
}

int ctl_recall(struct ctl *c, int argc, char **argv)
{
	struct belay_admin_selection select = { .size = sizeof(select) };
	struct belay_admin_order r = { .size = sizeof(r), .select = &select };
	int opt, status, wait = 0;

	while ((opt = ctl_getopt(c, argc, argv, options)) > 0) {
		status = take_option(c, opt, &r, &select, &wait);
		if (status)
			return status;
	}
	if (!opt)
		return c->status;
	if (optind < argc)
		return ctl_usage(c, "recall takes options only, \"%s\" is too much", argv[optind]);
	if (!select.by)
		return ctl_usage(c, "recall what? give --region, --grant, --user, --pid, --node or another selection");
	status = ctl_connect(c);
	return status ? status : recall(c, &r, wait != OPT_NO_WAIT);
}
