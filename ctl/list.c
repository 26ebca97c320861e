// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* list.c - belayctl list: who holds what */
#include <inttypes.h>
#include <libsmartcols.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <linux/belay.h>

#include "common/reason.h"
#include "ctl/belayctl.h"

union row {
	struct belay_admin_account account;
	struct belay_admin_grant grant;
	struct belay_admin_region region;
};

/* What can be listed: its columns, and a row as a line and as JSON. */
struct kind {
	const char *name;
	uint32_t what;		/* BELAY_ADMIN_ACCOUNTS, ... */
	const char *nothing;	/* for a person, when the list is empty */
	const char *nothing_own;	/* for a user who sees only his own */
	const struct ctl_column *columns;
	int (*next)(struct belay_admin_list *list, union row *ret);
	void (*line)(struct ctl *c, struct ctl_table *t, const union row *row);
	json_t *(*json)(struct ctl *c, const union row *row);
};

struct printer {
	const struct kind *kind;
	struct ctl_table *table;
	json_t *array;
	uint64_t rows;
};

static const struct ctl_column account_columns[] = {
	{ "ACCOUNT", 0 },
	{ "USED", SCOLS_FL_RIGHT },
	{ "LIMIT", SCOLS_FL_RIGHT },
	{ "USE%", SCOLS_FL_RIGHT },
	{ "REGIONS", SCOLS_FL_RIGHT },
	{ "REGION-LIMIT", SCOLS_FL_RIGHT },
	{ "GRANTS", SCOLS_FL_RIGHT },
	{ "REFUSALS", SCOLS_FL_RIGHT },
	{ NULL, 0 },
};

static int next_account(struct belay_admin_list *list, union row *ret)
{
	ret->account.size = sizeof(ret->account);
	return belay_admin_next_account(list, &ret->account);
}

static void account_line(struct ctl *c, struct ctl_table *t, const union row *row)
{
	const struct belay_admin_account *a = &row->account;
	char buf[CTL_CELL];

	ctl_table_cell(t, "%s", a->name);
	ctl_table_cell(t, "%s", ctl_bytes(c, a->usage_bytes, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, a->limit_bytes, buf));
	ctl_table_cell(t, "%s", ctl_percent(a->usage_bytes, a->limit_bytes, buf));
	ctl_table_cell(t, "%" PRIu64, a->usage_regions);
	ctl_table_cell(t, "%s", ctl_count(a->limit_regions, buf));
	ctl_table_cell(t, "%u", a->grants);
	ctl_table_cell(t, "%" PRIu64, a->refusals);
}

static json_t *account_json(struct ctl *c, const union row *row)
{
	const struct belay_admin_account *a = &row->account;

	return ctl_json_object(
		"account", ctl_json_u64(a->account),
		"name", ctl_json_text(a->name),
		"parent", a->parent ? ctl_json_u64(a->parent) : json_null(),
		"usage_bytes", ctl_json_u64(a->usage_bytes),
		"limit_bytes", ctl_json_limit(a->limit_bytes),
		"usage_regions", ctl_json_u64(a->usage_regions),
		"limit_regions", ctl_json_limit(a->limit_regions),
		"grants", json_integer(a->grants),
		"refusals", ctl_json_u64(a->refusals), NULL);
}

static const struct ctl_column grant_columns[] = {
	{ "GRANT", SCOLS_FL_RIGHT },
	{ "USER", 0 },
	{ "PID", SCOLS_FL_RIGHT },
	{ "COMMAND", 0 },
	{ "LABEL", 0 },
	{ "USED", SCOLS_FL_RIGHT },
	{ "LIMIT", SCOLS_FL_RIGHT },
	{ "PINNED", SCOLS_FL_RIGHT },
	{ "TRACKED", SCOLS_FL_RIGHT },
	{ "MEMLOCK", SCOLS_FL_RIGHT },
	{ "REGIONS", SCOLS_FL_RIGHT },
	{ "ACCOUNT", 0 },
	{ "CONNECTED", SCOLS_FL_RIGHT },
	{ "AGE", SCOLS_FL_RIGHT },
	{ NULL, 0 },
};

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* A process that has ended has no number any more. */
static void pid_cell(struct ctl_table *t, int32_t pid)
{
	if (pid)
		ctl_table_cell(t, "%d", pid);
	else
		ctl_table_cell(t, "-");
}

static void user_cell(struct ctl_table *t, const char *user, uint32_t uid)
{
	if (*user)
		ctl_table_cell(t, "%s", user);
	else
		ctl_table_cell(t, "%u", uid);
}

/* All processes that use it: "1234,1235+3", three of them not named. */
static void pids_cell(struct ctl_table *t, const struct belay_admin_grant *g)
{
	char text[12 * (BELAY_ADMIN_PIDS + 1)] = "-";
	uint32_t named = 0;
	int n = 0;

	for (; named < BELAY_ADMIN_PIDS && g->pids[named]; named++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%d", named ? "," : "",
			      g->pids[named]);
	if (named && g->processes > named)
		snprintf(text + n, sizeof(text) - (size_t)n, "+%u", g->processes - named);
	ctl_table_cell(t, "%s", text);
}

/* In whose name it was made, and whose its process is now if that is another. */
static void users_cell(struct ctl_table *t, const struct belay_admin_grant *g)
{
	if (g->uid_now == g->uid)
		user_cell(t, g->user, g->uid);
	else if (*g->user)
		ctl_table_cell(t, "%s,%s", g->user, g->user_now);
	else
		ctl_table_cell(t, "%u,%s", g->uid, g->user_now);
}

static int next_grant(struct belay_admin_list *list, union row *ret)
{
	ret->grant.size = sizeof(ret->grant);
	return belay_admin_next_grant(list, &ret->grant);
}

static void grant_line(struct ctl *c, struct ctl_table *t, const union row *row)
{
	const struct belay_admin_grant *g = &row->grant;
	char buf[CTL_CELL];

	ctl_table_cell(t, "%" PRIu64, g->grant);
	users_cell(t, g);
	pids_cell(t, g);
	ctl_table_cell(t, "%s", or_dash(g->command));
	ctl_table_cell(t, "%s", or_dash(g->label));
	ctl_table_cell(t, "%s", ctl_bytes(c, g->usage_bytes, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, g->limit_bytes, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, g->pinned_bytes, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, g->tracked_bytes, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, g->memlock_bytes, buf));
	ctl_table_cell(t, "%" PRIu64, g->usage_regions);
	ctl_table_cell(t, "%s", g->account_name);
	ctl_table_cell(t, "%u/%u", g->connected, g->sessions);
	ctl_table_cell(t, "%s", ctl_age(c, g->made_at, buf));
}

static json_t *pids_json(const struct belay_admin_grant *g)
{
	json_t *array = json_array();
	int i;

	for (i = 0; i < BELAY_ADMIN_PIDS && g->pids[i]; i++)
		json_array_append_new(array, json_integer(g->pids[i]));
	return array;
}

static json_t *grant_json(struct ctl *c, const union row *row)
{
	const struct belay_admin_grant *g = &row->grant;

	return ctl_json_object(
		"grant", ctl_json_u64(g->grant),
		"account", ctl_json_u64(g->account),
		"account_name", ctl_json_text(g->account_name),
		"pid", json_integer(g->pids[0]),
		"uid", json_integer(g->uid),
		"user", ctl_json_text(g->user),
		"command", ctl_json_text(g->command),
		"label", ctl_json_text(g->label),
		"made_at_ns", ctl_json_u64(g->made_at),
		"usage_bytes", ctl_json_u64(g->usage_bytes),
		"limit_bytes", ctl_json_limit(g->limit_bytes),
		"pinned_bytes", ctl_json_u64(g->pinned_bytes),
		"tracked_bytes", ctl_json_u64(g->tracked_bytes),
		"usage_regions", ctl_json_u64(g->usage_regions),
		"sessions", json_integer(g->sessions),
		"connected", json_integer(g->connected),
		"user_locked_bytes", ctl_json_u64(g->user_locked_bytes),
		"memlock_bytes", ctl_json_limit(g->memlock_bytes),
		"pids", pids_json(g),
		"processes", json_integer(g->processes),
		"uid_now", json_integer(g->uid_now), NULL);
}

static const struct ctl_column region_columns[] = {
	{ "REGION", SCOLS_FL_RIGHT },
	{ "GRANT", SCOLS_FL_RIGHT },
	{ "USER", 0 },
	{ "PID", SCOLS_FL_RIGHT },
	{ "COMMAND", 0 },
	{ "KIND", 0 },
	{ "ACCESS", 0 },
	{ "SIZE", SCOLS_FL_RIGHT },
	{ "HELD", SCOLS_FL_RIGHT },
	{ "ADDRESS", SCOLS_FL_RIGHT },
	{ "NODES", SCOLS_FL_RIGHT },
	{ "FILE", 0 },
	{ "STATE", 0 },
	{ "AGE", SCOLS_FL_RIGHT },
	{ "REQUEST", 0 },
	{ NULL, 0 },
};

/* "admin, kill in 7s", "admin, overdue 3s, kept", "-" */
static void request_cell(struct ctl *c, struct ctl_table *t, const struct belay_admin_region *r)
{
	uint64_t now = ctl_now(c);
	char buf[CTL_CELL];

	if (!r->request)
		ctl_table_cell(t, "-");
	else if (!r->deadline)
		ctl_table_cell(t, "%s", bl_reason_name(r->reason));
	else if (r->deadline > now)
		ctl_table_cell(t, "%s, %s in %s", bl_reason_name(r->reason),
			       bl_escalation_name(r->escalation),
			       ctl_duration(r->deadline - now, buf));
	else
		ctl_table_cell(t, "%s, overdue for %s", bl_reason_name(r->reason),
			       ctl_duration(now - r->deadline, buf));
}

/* Of a region that is lost in part, how much of it is. */
static void state_cell(struct ctl *c, struct ctl_table *t, const struct belay_admin_region *r)
{
	char state[CTL_CELL], lost[CTL_CELL];

	if (r->lost_len && r->lost_len < r->len)
		ctl_table_cell(t, "%s (%s)", ctl_state(r->state, state),
			       ctl_bytes(c, r->lost_len, lost));
	else
		ctl_table_cell(t, "%s", ctl_state(r->state, state));
}

static int next_region(struct belay_admin_list *list, union row *ret)
{
	ret->region.size = sizeof(ret->region);
	return belay_admin_next_region(list, &ret->region);
}

static void region_line(struct ctl *c, struct ctl_table *t, const union row *row)
{
	const struct belay_admin_region *r = &row->region;
	char buf[CTL_CELL];

	ctl_table_cell(t, "%" PRIu64, r->region);
	ctl_table_cell(t, "%" PRIu64, r->grant);
	user_cell(t, r->user, r->uid);
	pid_cell(t, r->pid);
	ctl_table_cell(t, "%s", or_dash(r->command));
	ctl_table_cell(t, "%s%s", bl_kind_name(r->kind),
		       r->flags & BELAY_REGION_TRANSIENT ? ",transient" : "");
	ctl_table_cell(t, "%s", r->flags & BELAY_REGION_WRITE ? "write" : "read");
	ctl_table_cell(t, "%s", ctl_bytes(c, r->len, buf));
	ctl_table_cell(t, "%s", ctl_bytes(c, r->selected_bytes, buf));
	ctl_table_cell(t, "0x%" PRIx64, r->addr);
	ctl_table_cell(t, "%s", ctl_nodes(r->nodes, buf));
	if (r->device || r->inode)
		ctl_table_cell(t, "%u:%u/%" PRIu64, major(r->device), minor(r->device), r->inode);
	else
		ctl_table_cell(t, "-");
	state_cell(c, t, r);
	ctl_table_cell(t, "%s", ctl_age(c, r->made_at, buf));
	request_cell(c, t, r);
}

static json_t *request_json(const struct belay_admin_region *r)
{
	if (!r->request)
		return json_null();
	return ctl_json_object(
		"request", ctl_json_u64(r->request),
		"reason", json_string(bl_reason_name(r->reason)),
		"escalation", json_string(bl_escalation_name(r->escalation)),
		"deadline_ns", r->deadline ? ctl_json_u64(r->deadline) : json_null(), NULL);
}

static json_t *nodes_json(uint64_t nodes)
{
	json_t *array = json_array();
	int i;

	for (i = 0; i < 64; i++)
		if (nodes >> i & 1)
			json_array_append_new(array, json_integer(i));
	return array;
}

static json_t *region_json(struct ctl *c, const union row *row)
{
	const struct belay_admin_region *r = &row->region;
	char state[CTL_CELL];

	return ctl_json_object(
		"region", ctl_json_u64(r->region),
		"session", ctl_json_u64(r->session),
		"grant", ctl_json_u64(r->grant),
		"pid", json_integer(r->pid),
		"uid", json_integer(r->uid),
		"user", ctl_json_text(r->user),
		"command", ctl_json_text(r->command),
		"kind", json_string(bl_kind_name(r->kind)),
		"write", json_boolean(r->flags & BELAY_REGION_WRITE),
		"transient", json_boolean(r->flags & BELAY_REGION_TRANSIENT),
		"address", ctl_json_u64(r->addr),
		"length_bytes", ctl_json_u64(r->len),
		"held_bytes", ctl_json_u64(r->held_bytes),
		"selected_bytes", ctl_json_u64(r->selected_bytes),
		"state", json_string(ctl_state(r->state, state)),
		"lost_address", r->lost_len ? ctl_json_u64(r->lost_addr) : json_null(),
		"lost_bytes", ctl_json_u64(r->lost_len),
		"node", r->node < 0 ? json_null() : json_integer(r->node),
		"nodes", nodes_json(r->nodes),
		"device", r->device || r->inode ? ctl_json_u64(r->device) : json_null(),
		"inode", r->device || r->inode ? ctl_json_u64(r->inode) : json_null(),
		"made_at_ns", ctl_json_u64(r->made_at),
		"request", request_json(r), NULL);
}

static const struct kind kinds[] = {
	{ "grants", BELAY_ADMIN_GRANTS, "No process has a grant.", "No process of yours has a grant.",
	  grant_columns, next_grant, grant_line, grant_json },
	{ "accounts", BELAY_ADMIN_ACCOUNTS, "There is no account.", "You have no account.",
	  account_columns, next_account, account_line, account_json },
	{ "regions", BELAY_ADMIN_REGIONS, "No memory is registered.", "You hold no memory.",
	  region_columns, next_region, region_line, region_json },
};

static const struct kind *find_kind(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static void add_row(struct ctl *c, struct printer *p, const union row *row)
{
	p->rows++;
	if (c->json) {
		json_array_append_new(p->array, p->kind->json(c, row));
		return;
	}
	ctl_table_row(p->table);
	p->kind->line(c, p->table, row);
}

static int add_rows(struct ctl *c, struct printer *p, const struct belay_admin_selection *select)
{
	struct belay_admin_list *list = NULL;
	union row row;
	int n = belay_admin_list_new(c->admin, p->kind->what, select, &list);

	while (n >= 0 && (n = p->kind->next(list, &row)) > 0)
		add_row(c, p, &row);
	belay_admin_list_free(list);
	return ctl_done(c, n);
}

static const char *why_empty(const struct ctl *c, const struct kind *kind,
			     const struct belay_admin_selection *select)
{
	if (select->by)
		return "Nothing matches this selection.";
	return c->own_only ? kind->nothing_own : kind->nothing;
}

static int print_list(struct ctl *c, const struct kind *kind,
		      const struct belay_admin_selection *select)
{
	struct printer p = { .kind = kind };
	int status;

	if (c->json)
		p.array = json_array();
	else
		p.table = ctl_table_new(c, kind->columns);
	status = add_rows(c, &p, select);
	if (!status && !p.rows)
		status = ctl_exists(c, select);
	if (status) {
		json_decref(p.array);
		ctl_table_free(p.table);
		return status;
	}
	if (c->json)
		return ctl_json_print(c, ctl_json_object(kind->name, p.array, NULL));
	if (!p.rows && c->headings)
		fprintf(c->err, "%s\n", why_empty(c, kind, select));
	return ctl_table_print(c, p.table);
}

int ctl_list(struct ctl *c, int argc, char **argv)
{
	static const struct option options[] = {
		CTL_COMMON_OPTIONS, CTL_SELECT_OPTIONS, { NULL, 0, NULL, 0 },
	};
	const struct kind *kind;
	struct belay_admin_selection select = { .size = sizeof(select) };
	uint32_t *by = &select.by;
	int opt, status;

	while ((opt = ctl_getopt(c, argc, argv, options)) > 0) {
		status = ctl_select_option(c, opt, &select);
		if (status)
			return status;
	}
	if (!opt)
		return c->status;
	if (argc - optind > 1)
		return ctl_usage(c, "one list at a time: \"%s\" is too much", argv[optind + 1]);
	/* Only regions lie somewhere: whoever asks for a place means those. */
	kind = find_kind(optind < argc ? argv[optind] :
			 *by & ~BELAY_ADMIN_BY_OF_GRANT ? "regions" : "grants");
	if (!kind)
		return ctl_usage(c, "there is no list of \"%s\": accounts, grants or regions",
				 argv[optind]);
	if (kind->what == BELAY_ADMIN_ACCOUNTS && *by & BELAY_ADMIN_BY_OF_GRANT & ~BELAY_ADMIN_BY_OF_ACCOUNT)
		return ctl_usage(c, "--pid and --grant choose among grants and regions, not accounts");
	if (kind->what != BELAY_ADMIN_REGIONS && *by & ~BELAY_ADMIN_BY_OF_GRANT)
		return ctl_usage(c, "--region, --node, --block, --file, --older, --lasting and "
				 "--transient choose among regions, not %s", kind->name);
	status = ctl_connect(c);
	return status ? status : print_list(c, kind, &select);
}
