// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* limit.c - belayctl limit show|set */
#include <inttypes.h>
#include <libsmartcols.h>
#include <string.h>

#include <linux/belay.h>

#include "common/units.h"
#include "ctl/belayctl.h"

struct show {
	const char *only;	/* NULL: all accounts */
	struct ctl_table *table;
	json_t *array;
	uint64_t shown;
};

static const struct ctl_column columns[] = {
	{ "ACCOUNT", 0 },
	{ "USED", SCOLS_FL_RIGHT },
	{ "LIMIT", SCOLS_FL_RIGHT },
	{ "USE%", SCOLS_FL_RIGHT },
	{ "REGIONS", SCOLS_FL_RIGHT },
	{ "REGION-LIMIT", SCOLS_FL_RIGHT },
	{ NULL, 0 },
};

static void add_line(struct ctl *c, struct show *s, const struct belay_admin_account *l)
{
	char buf[CTL_CELL];
	json_t *json;

	s->shown++;
	if (c->json) {
		json = ctl_json_object(
			"name", ctl_json_text(l->name),
			"usage_bytes", ctl_json_u64(l->usage_bytes),
			"limit_bytes", ctl_json_limit(l->limit_bytes),
			"usage_regions", ctl_json_u64(l->usage_regions),
			"limit_regions", ctl_json_limit(l->limit_regions), NULL);
		json_array_append_new(s->array, json);
		return;
	}
	ctl_table_row(s->table);
	ctl_table_cell(s->table, "%s", l->name);
	ctl_table_cell(s->table, "%s", ctl_bytes(c, l->usage_bytes, buf));
	ctl_table_cell(s->table, "%s", ctl_bytes(c, l->limit_bytes, buf));
	ctl_table_cell(s->table, "%s", ctl_percent(l->usage_bytes, l->limit_bytes, buf));
	ctl_table_cell(s->table, "%" PRIu64, l->usage_regions);
	ctl_table_cell(s->table, "%s", ctl_count(l->limit_regions, buf));
}

static int show_accounts(struct ctl *c, struct show *s)
{
	struct belay_admin_account a = { .size = sizeof(a) };
	struct belay_admin_list *list = NULL;
	int n = belay_admin_list_new(c->admin, BELAY_ADMIN_ACCOUNTS, NULL, &list);

	while (n >= 0 && (n = belay_admin_next_account(list, &a)) > 0)
		if (!s->only || !strcmp(s->only, a.name))
			add_line(c, s, &a);
	belay_admin_list_free(list);
	return ctl_done(c, n);
}

static int no_account(struct ctl *c, const char *account)
{
	if (!strncmp(account, "grant/", 6))
		return ctl_fail(c, CTL_NOT_FOUND,
				"\"%s\" is a grant, not an account; its limit is in: "
				"belayctl list --grant %s", account, account + 6);
	if (strncmp(account, "user/", 5))
		return ctl_fail(c, CTL_NOT_FOUND,
				"there is no account \"%s\"; there are system and user/NAME. "
				"See: belayctl list accounts", account);
	return ctl_fail(c, CTL_NOT_FOUND,
			"there is no account \"%s\" now: an account of a user is made when "
			"the user first asks for a grant. See: belayctl list accounts", account);
}

static int show_limits(struct ctl *c, const char *account)
{
	struct show s = { .only = account };
	int status;

	if (c->json)
		s.array = json_array();
	else
		s.table = ctl_table_new(c, columns);
	status = show_accounts(c, &s);
	if (!status && account && !s.shown)
		status = no_account(c, account);
	if (status) {
		json_decref(s.array);
		ctl_table_free(s.table);
		return status;
	}
	if (c->json)
		return ctl_json_print(c, ctl_json_object("limits", s.array, NULL));
	return ctl_table_print(c, s.table);
}

/* "user/alice: at most 1 GiB, 100 regions" */
static void print_set(struct ctl *c, const struct belay_admin_limit *l)
{
	char buf[BL_SIZE_TEXT], count[CTL_CELL];

	fprintf(c->out, "%s: ", l->account);
	if (l->set & BELAY_ADMIN_LIMIT_BYTES)
		fprintf(c->out, "%s%s", l->limit_bytes == BELAY_UNLIMITED ? "" : "at most ",
			bl_size_format(buf, sizeof(buf), l->limit_bytes));
	if (l->set & BELAY_ADMIN_LIMIT_REGIONS)
		fprintf(c->out, "%s%s%s %s", l->set & BELAY_ADMIN_LIMIT_BYTES ? ", " : "",
			l->limit_regions == BELAY_UNLIMITED ? "" : "at most ",
			ctl_count(l->limit_regions, count),
			ctl_plural(l->limit_regions, "region", "regions"));
	fputs(", until belayd ends; to keep it, write it into belayd.conf\n", c->out);
}

static int json_set(struct ctl *c, const struct belay_admin_limit *l)
{
	json_t *json = ctl_json_object("account", ctl_json_text(l->account), NULL);

	if (l->set & BELAY_ADMIN_LIMIT_BYTES)
		json_object_set_new(json, "limit_bytes", ctl_json_limit(l->limit_bytes));
	if (l->set & BELAY_ADMIN_LIMIT_REGIONS)
		json_object_set_new(json, "limit_regions", ctl_json_limit(l->limit_regions));
	return ctl_json_print(c, json);
}

static int set_limit(struct ctl *c, const struct belay_admin_limit *l)
{
	int status = ctl_done(c, belay_admin_set_limit(c->admin, l));

	if (status)
		return status;
	if (c->json)
		return json_set(c, l);
	print_set(c, l);
	return CTL_OK;
}

/* `set ACCOUNT [SIZE]`, with --regions given or not. */
static int parse_set(struct ctl *c, int n, char **args, const char *regions,
		     struct belay_admin_limit *l)
{
	int status;

	if (n < 1)
		return ctl_usage(c, "limit set needs an account, and a limit");
	if (n > 2)
		return ctl_usage(c, "limit set takes an account and a limit, \"%s\" is too much",
				 args[2]);
	status = ctl_parse_account(c, args[0], &l->account);
	if (status)
		return status;
	if (n == 2) {
		l->set |= BELAY_ADMIN_LIMIT_BYTES;
		status = ctl_parse_limit(c, args[1], &l->limit_bytes);
		if (status)
			return status;
	}
	if (regions) {
		l->set |= BELAY_ADMIN_LIMIT_REGIONS;
		if (bl_count_parse(regions, &l->limit_regions))
			return ctl_usage(c, "\"%s\" is no number of regions: give a whole number, "
					 "or unlimited", regions);
	}
	if (!l->set)
		return ctl_usage(c, "limit set %s needs a limit: a size, unlimited, or --regions N",
				 args[0]);
	return CTL_OK;
}

static int limit_show(struct ctl *c, int n, char **args)
{
	const char *name = NULL;
	int status = CTL_OK;

	if (n > 1)
		return ctl_usage(c, "limit show takes one account, \"%s\" is too much", args[1]);
	if (n)
		status = ctl_parse_account(c, args[0], &name);
	if (!status)
		status = ctl_connect(c);
	return status ? status : show_limits(c, name);
}

int ctl_limit(struct ctl *c, int argc, char **argv)
{
	enum { OPT_REGIONS = CTL_OPT_OWN };
	static const struct option options[] = {
		CTL_COMMON_OPTIONS,
		{ "regions", required_argument, NULL, OPT_REGIONS },
		{ NULL, 0, NULL, 0 },
	};
	const char *verb, *regions = NULL;
	struct belay_admin_limit limit = { .size = sizeof(limit) };
	int opt, status;

	while ((opt = ctl_getopt(c, argc, argv, options)) > 0)
		regions = optarg;
	if (!opt)
		return c->status;
	argc -= optind;
	argv += optind;
	verb = argc ? argv[0] : "show";
	if (!strcmp(verb, "show") && !regions)
		return limit_show(c, argc ? argc - 1 : 0, argv + 1);
	if (!strcmp(verb, "show"))
		return ctl_usage(c, "--regions is for limit set");
	if (strcmp(verb, "set"))
		return ctl_usage(c, "limit what? show or set, not \"%s\"", verb);
	status = parse_set(c, argc - 1, argv + 1, regions, &limit);
	if (!status)
		status = ctl_connect(c);
	return status ? status : set_limit(c, &limit);
}
