/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belayctl.h - what the files of the admin command share
 *
 * One file per subcommand and one row in the table of command.c. Functions
 * that can fail return an exit status (enum ctl_exit) and have printed the
 * reason when it is not CTL_OK.
 */
#ifndef BELAYCTL_H
#define BELAYCTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include <jansson.h>

#include <belay-admin.h>

/* Documented in belayctl(8); never renumber. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOT_RUNNING = 3,	/* nothing answers at the socket */
	CTL_DENIED = 4,		/* not root, not in belay-admin */
	CTL_NOT_FOUND = 5,	/* no such account, grant, region, process, user */
	CTL_STILL_HELD = 6,	/* recall: something was not let go */
};

#define CTL_PROGRESS_MSEC	2000	/* waits longer than this show that they wait */

struct ctl;

struct ctl_command {
	const char *name;
	int (*run)(struct ctl *c, int argc, char **argv);
	const char *help;	/* one line */
	const char *usage;	/* arguments, then options one per line */
};

struct ctl {
	FILE *out;
	FILE *err;
	const char *socket;
	bool json;
	bool bytes;		/* exact numbers instead of human sizes */
	bool headings;
	bool own_only;		/* no administrator: lists have what is one's own */
	int status;		/* why ctl_getopt() ended the command */
	const struct ctl_command *command;

	/* connection.c */
	struct belay_admin *admin;	/* NULL: not connected */
	int timeout_msec;	/* for one answer; 0: the library's */

	/* progress.c */
	int progress_msec;	/* CTL_PROGRESS_MSEC */
	const char *waiting_for;
	unsigned int progress_turns;
	bool progress_shown;

	/* For tests: 0 and NULL mean the real ones. */
	uint64_t fixed_now;	/* ns of CLOCK_BOOTTIME */
	const char *vmstat;	/* path of /proc/vmstat */
	const char *sysfs;	/* path of /sys/class/misc/belay */
};

/* command.c */
int ctl_main(struct ctl *c, int argc, char **argv);
void ctl_init(struct ctl *c, FILE *out, FILE *err);
int ctl_usage(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int ctl_fail(struct ctl *c, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int ctl_getopt(struct ctl *c, int argc, char **argv, const struct option *options);

/*
 * Every command takes these, too; getopt_long() wants them in each table. The
 * commands' own options are numbered from CTL_OPT_OWN.
 */
enum {
	CTL_OPT_SOCKET = 256,
	CTL_OPT_JSON,
	CTL_OPT_BYTES,
	CTL_OPT_NO_HEADINGS,
	CTL_OPT_REGION,
	CTL_OPT_GRANT,
	CTL_OPT_USER,
	CTL_OPT_PID,
	CTL_OPT_ACCOUNT,
	CTL_OPT_NODE,
	CTL_OPT_BLOCK,
	CTL_OPT_FILE,
	CTL_OPT_OLDER,
	CTL_OPT_LASTING,
	CTL_OPT_TRANSIENT,
	CTL_OPT_OWN,
};
#define CTL_COMMON_OPTIONS						\
	{ "socket", required_argument, NULL, CTL_OPT_SOCKET },		\
	{ "json", no_argument, NULL, CTL_OPT_JSON },			\
	{ "bytes", no_argument, NULL, CTL_OPT_BYTES },			\
	{ "no-headings", no_argument, NULL, CTL_OPT_NO_HEADINGS },	\
	{ "help", no_argument, NULL, 'h' }

/* Those of the commands that select, which give them to ctl_select_option(). */
#define CTL_SELECT_OPTIONS						\
	{ "region", required_argument, NULL, CTL_OPT_REGION },		\
	{ "grant", required_argument, NULL, CTL_OPT_GRANT },		\
	{ "user", required_argument, NULL, CTL_OPT_USER },		\
	{ "pid", required_argument, NULL, CTL_OPT_PID },		\
	{ "account", required_argument, NULL, CTL_OPT_ACCOUNT },	\
	{ "node", required_argument, NULL, CTL_OPT_NODE },		\
	{ "block", required_argument, NULL, CTL_OPT_BLOCK },		\
	{ "file", required_argument, NULL, CTL_OPT_FILE },		\
	{ "older", required_argument, NULL, CTL_OPT_OLDER },		\
	{ "lasting", no_argument, NULL, CTL_OPT_LASTING },		\
	{ "transient", no_argument, NULL, CTL_OPT_TRANSIENT }

/* select.c */
int ctl_select_option(struct ctl *c, int opt, struct belay_admin_selection *s);

/* connection.c */
int ctl_connect(struct ctl *c);
void ctl_disconnect(struct ctl *c);
int ctl_done(struct ctl *c, int err);

/* progress.c: a line on stderr while something takes long */
void ctl_progress_show(struct ctl *c, uint64_t waited, uint64_t deadline);
void ctl_progress_end(struct ctl *c);

/* format.c: amounts and times for people */
#define CTL_CELL	64
uint64_t ctl_now(const struct ctl *c);
const char *ctl_bytes(const struct ctl *c, uint64_t bytes, char buf[CTL_CELL]);
const char *ctl_count(uint64_t count, char buf[CTL_CELL]);
const char *ctl_duration(uint64_t nsec, char buf[CTL_CELL]);
const char *ctl_age(const struct ctl *c, uint64_t since, char buf[CTL_CELL]);
const char *ctl_percent(uint64_t usage, uint64_t limit, char buf[CTL_CELL]);
void ctl_bar(FILE *out, uint64_t usage, uint64_t limit, int width);
const char *ctl_nodes(uint64_t nodes, char buf[CTL_CELL]);
const char *ctl_state(uint32_t state, char buf[CTL_CELL]);
const char *ctl_plural(uint64_t n, const char *one, const char *many);

/* parse.c: what people type */
int ctl_parse_number(struct ctl *c, const char *what, const char *text, uint64_t *ret);
int ctl_parse_age(struct ctl *c, const char *text, uint64_t *ret_usec);
int ctl_parse_u64(struct ctl *c, const char *what, const char *text, uint64_t *ret);
int ctl_parse_pid(struct ctl *c, const char *text, int32_t *ret);
int ctl_parse_user(struct ctl *c, const char *text, uint32_t *ret);
int ctl_parse_limit(struct ctl *c, const char *text, uint64_t *ret);
int ctl_parse_deadline(struct ctl *c, const char *text, uint64_t *ret_nsec);
int ctl_parse_escalation(struct ctl *c, const char *text, uint32_t *ret);
int ctl_parse_account(struct ctl *c, const char *text, const char **ret);

/* table.c */
struct ctl_column {
	const char *name;
	int flags;		/* SCOLS_FL_* */
};
struct ctl_table;
struct ctl_table *ctl_table_new(const struct ctl *c, const struct ctl_column *columns);
void ctl_table_row(struct ctl_table *t);
void ctl_table_cell(struct ctl_table *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void ctl_table_free(struct ctl_table *t);
int ctl_table_print(struct ctl *c, struct ctl_table *t);

/* json.c */
json_t *ctl_json_u64(uint64_t value);
json_t *ctl_json_limit(uint64_t limit);
json_t *ctl_json_text(const char *text);
json_t *ctl_json_object(const char *key, ...) __attribute__((sentinel));
int ctl_json_print(struct ctl *c, json_t *json);

/* exists.c */
int ctl_exists(struct ctl *c, const struct belay_admin_selection *asked);

/* vmstat.c */
int ctl_pinned_by_kernel(const struct ctl *c, uint64_t *ret_bytes);
bool ctl_module_is_loaded(const struct ctl *c);
int ctl_module_number(const struct ctl *c, const char *name, uint64_t *ret);

/* Announcements about regions: all; that change no page; verified; regions lost. */
struct ctl_events {
	uint64_t seen, filtered, same, lost;
};
int ctl_module_events(const struct ctl *c, struct ctl_events *ret);

/* one per subcommand */
int ctl_status(struct ctl *c, int argc, char **argv);
int ctl_list(struct ctl *c, int argc, char **argv);
int ctl_limit(struct ctl *c, int argc, char **argv);
int ctl_recall(struct ctl *c, int argc, char **argv);
int ctl_reload(struct ctl *c, int argc, char **argv);

#endif
