// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* status.c - belayctl status: one screen that says how belay is doing */
#include <inttypes.h>
#include <unistd.h>

#include <linux/belay.h>

#include "ctl/belayctl.h"

#define BAR_WIDTH	30

/* What the kernel itself says, beside belayd. */
struct others {
	uint64_t refusals;
	bool events_known;
	struct ctl_events events;
	bool known;		/* how much is pinned by others than belay's module */
	uint64_t total_bytes;	/* all pins */
	uint64_t bytes;		/* not the module's */
	uint64_t unknown_bytes;	/* nor tracked by it */
};

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void get_others(const struct ctl *c, const struct belay_admin_status *s, struct others *o)
{
	uint64_t held;

	*o = (struct others){ 0 };
	o->events_known = !ctl_module_events(c, &o->events);
	/* belayd knows those of accounts and grants that there are still. */
	if (ctl_module_number(c, "events/refused", &o->refusals))
		o->refusals = s->refusals;
	if (ctl_pinned_by_kernel(c, &o->total_bytes))
		return;
	o->known = true;
	/* Of tracked regions the module holds what is not yet committed. */
	if (ctl_module_number(c, "held_bytes", &held))
		held = s->pinned_bytes;
	o->bytes = less(o->total_bytes, held);
	o->unknown_bytes = less(o->bytes, s->tracked_bytes);
}

static json_t *events_json(const struct others *o)
{
	const struct ctl_events *e = &o->events;

	if (!o->events_known)
		return json_null();
	return ctl_json_object(
		"seen", ctl_json_u64(e->seen),
		"filtered", ctl_json_u64(e->filtered),
		"verified_same", ctl_json_u64(e->same),
		"lost", ctl_json_u64(e->lost), NULL);
}

static int print_json(struct ctl *c, const struct belay_admin_status *s, const struct others *o)
{
	uint64_t now = ctl_now(c);
	json_t *json = ctl_json_object(
		"version", ctl_json_text(s->version),
		"pid", json_integer(s->pid),
		"started_at_ns", ctl_json_u64(s->started_at),
		"uptime_ns", ctl_json_u64(less(now, s->started_at)),
		"abi_version", json_integer(s->abi_version),
		"clients", ctl_json_u64(s->clients),
		"accounts", ctl_json_u64(s->accounts),
		"grants", ctl_json_u64(s->grants),
		"sessions", ctl_json_u64(s->sessions),
		"regions", ctl_json_u64(s->regions),
		"charged_bytes", ctl_json_u64(s->charged_bytes),
		"pinned_bytes", ctl_json_u64(s->pinned_bytes),
		"tracked_bytes", ctl_json_u64(s->tracked_bytes),
		"limit_bytes", ctl_json_limit(s->limit_bytes),
		"open_requests", ctl_json_u64(s->open_requests),
		"overdue_requests", ctl_json_u64(s->overdue_requests),
		"refusals", ctl_json_u64(o->refusals),
		"kernel_pinned_bytes", o->known ? ctl_json_u64(o->total_bytes) : json_null(),
		"others_pinned_bytes", o->known ? ctl_json_u64(o->bytes) : json_null(),
		"unknown_pinned_bytes", o->known ? ctl_json_u64(o->unknown_bytes) : json_null(),
		"events", events_json(o), NULL);

	return ctl_json_print(c, json);
}

static void print_memory(struct ctl *c, const struct belay_admin_status *s)
{
	char used[CTL_CELL], limit[CTL_CELL], percent[CTL_CELL];

	fputs("Memory    ", c->out);
	if (s->limit_bytes != BELAY_UNLIMITED && isatty(fileno(c->out))) {
		ctl_bar(c->out, s->charged_bytes, s->limit_bytes, BAR_WIDTH);
		fputc(' ', c->out);
	}
	fputs(ctl_bytes(c, s->charged_bytes, used), c->out);
	if (s->limit_bytes == BELAY_UNLIMITED)
		fputs(" held; the system has no limit\n", c->out);
	else
		fprintf(c->out, " of %s held (%s)\n", ctl_bytes(c, s->limit_bytes, limit),
			ctl_percent(s->charged_bytes, s->limit_bytes, percent));
	fprintf(c->out, "          %s pinned by belay, %s tracked (held by other drivers)\n",
		ctl_bytes(c, s->pinned_bytes, used), ctl_bytes(c, s->tracked_bytes, limit));
}

static void print_others(struct ctl *c, const struct others *o)
{
	char bytes[CTL_CELL];

	if (!o->known)
		fputs("Unknown   this kernel does not say how much is pinned by others\n", c->out);
	else
		fprintf(c->out, "Unknown   about %s pinned by others that belay does not know of\n",
			ctl_bytes(c, o->unknown_bytes, bytes));
}

static void print_text(struct ctl *c, const struct belay_admin_status *s, const struct others *o)
{
	char age[CTL_CELL];

	fprintf(c->out, "belayd %s, pid %u, running for %s; kernel module ABI %u\n\n", s->version,
		s->pid, ctl_age(c, s->started_at, age), s->abi_version);
	print_memory(c, s);
	print_others(c, o);
	fprintf(c->out, "Holders   %" PRIu64 " %s, %" PRIu64 " %s, %" PRIu64 " %s; %" PRIu64
		" %s, %" PRIu64 " %s connected\n",
		s->grants, ctl_plural(s->grants, "grant", "grants"),
		s->sessions, ctl_plural(s->sessions, "session", "sessions"),
		s->regions, ctl_plural(s->regions, "region", "regions"),
		s->accounts, ctl_plural(s->accounts, "account", "accounts"),
		s->clients, ctl_plural(s->clients, "client", "clients"));
	fprintf(c->out, "Requests  %" PRIu64 " open, %" PRIu64 " overdue\n", s->open_requests,
		s->overdue_requests);
	fprintf(c->out, "Refusals  %" PRIu64 " since the module was loaded\n", o->refusals);
	if (o->events_known)
		fprintf(c->out, "Changes   %" PRIu64 " announced by the kernel since then: %" PRIu64
			" could not change a page, %" PRIu64 " left the same pages; %" PRIu64
			" %s lost\n", o->events.seen, o->events.filtered, o->events.same,
			o->events.lost, ctl_plural(o->events.lost, "region", "regions"));
}

int ctl_status(struct ctl *c, int argc, char **argv)
{
	static const struct option options[] = {
		CTL_COMMON_OPTIONS,
		{ NULL, 0, NULL, 0 },
	};
	struct belay_admin_status answer = { .size = sizeof(answer) };
	struct others others;
	int status;

	if (!ctl_getopt(c, argc, argv, options))
		return c->status;
	if (optind < argc)
		return ctl_usage(c, "status takes no argument, there is \"%s\"", argv[optind]);
	status = ctl_connect(c);
	if (status)
		return status;
	status = ctl_done(c, belay_admin_get_status(c->admin, &answer));
	if (status)
		return status;
	get_others(c, &answer, &others);
	if (c->json)
		return print_json(c, &answer, &others);
	print_text(c, &answer, &others);
	return CTL_OK;
}
