// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* command.c - the table of subcommands, options that all of them take, help */
#include <grp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/protocol.h"
#include "ctl/belayctl.h"

#define SELECT_OPTIONS							\
	"What fits all of these:\n"					\
	"  --user USER       what this user (name or uid) holds\n"	\
	"  --pid PID         what this process holds\n"			\
	"  --grant GRANT     this grant, and its regions\n"		\
	"  --account ACCOUNT what is charged to this account, or one below it\n" \
	"  --region REGION   one region, by its number in belayctl list regions\n" \
	"  --node NODE       regions with pages on this NUMA node\n"	\
	"  --block BLOCK     regions with pages in this memory block\n"	\
	"  --file PATH       regions that map this file\n"		\
	"  --older TIME      regions registered longer ago (10s, 5min, 2h)\n" \
	"  --lasting         regions that their owner did not declare transient\n" \
	"  --transient       regions that it did\n"

/* The first row is what belayctl does without arguments. */
static const struct ctl_command commands[] = {
	{ "status", ctl_status, "how belay is doing, and how much memory is held",
	  "\n" },
	{ "list", ctl_list, "who holds what",
	  " [accounts|grants|regions] [OPTION]...\n\n"
	  "Lists grants unless told otherwise, or regions where only these can be meant.\n\n"
	  SELECT_OPTIONS "\n" },
	{ "limit", ctl_limit, "show limits, or set one until belayd ends",
	  " [show [ACCOUNT]]\n"
	  "   or: belayctl limit set ACCOUNT [SIZE|unlimited] [--regions N|unlimited]\n\n"
	  "ACCOUNT is system or user/NAME, for set also grant/ID; SIZE is bytes, or 64K,\n"
	  "1.5GiB, ...\n\n"
	  "  --regions N       at most so many regions\n" },
	{ "recall", ctl_recall, "ask holders to let go",
	  " SELECTION... [OPTION]...\n\n"
	  SELECT_OPTIONS "\n"
	  "  --deadline TIME   let go within TIME (10s, 500ms, 2min); default: as configured\n"
	  "  --escalate WHAT   at the deadline keep, release or kill; default: as configured\n"
	  "  --wait            return when all is let go or the deadline has passed (default)\n"
	  "  --no-wait         return when the holders have been asked\n" },
	{ "reload", ctl_reload, "make belayd read its configuration again",
	  "\n" },
	{ NULL, NULL, NULL, NULL },
};

static const struct option global_options[] = {
	CTL_COMMON_OPTIONS,
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* As belayd finds it out of whoever connects. */
static bool is_admin(void)
{
	const struct group *admins = getgrnam(BL_ADMIN_GROUP);

	return !geteuid() || (admins && group_member(admins->gr_gid));
}

void ctl_init(struct ctl *c, FILE *out, FILE *err)
{
	memset(c, 0, sizeof(*c));
	c->out = out;
	c->err = err;
	c->headings = true;
	c->own_only = !is_admin();
	c->progress_msec = CTL_PROGRESS_MSEC;
	c->waiting_for = "waiting for belayd";
	c->socket = getenv("BELAY_SOCKET");
	if (!c->socket || !*c->socket)
		c->socket = BL_SOCKET_PATH;
}

static void print_common_options(FILE *f)
{
	fputs("  --json            JSON: amounts in bytes, times in nanoseconds\n"
	      "  --bytes           exact numbers of bytes in tables\n"
	      "  --no-headings     tables without their first line\n"
	      "  --socket PATH     belayd's socket; default: $BELAY_SOCKET, else\n"
	      "                    " BL_SOCKET_PATH "\n"
	      "  -h, --help        this text\n", f);
}

static void print_help(struct ctl *c)
{
	const struct ctl_command *cmd = c->command;

	if (cmd) {
		fprintf(c->out, "Usage: belayctl %s%s", cmd->name, cmd->usage);
		if (!strcmp(cmd->usage, "\n"))
			fputc('\n', c->out);
		print_common_options(c->out);
		return;
	}
	fputs("Usage: belayctl [OPTION]... [COMMAND [ARGUMENT]...]\n\n"
	      "See who may hold memory for DMA, who does, and ask for it back.\n\n", c->out);
	for (cmd = commands; cmd->name; cmd++)
		fprintf(c->out, "  %-16s  %s%s\n", cmd->name, cmd->help,
			cmd == commands ? " (default)" : "");
	fputc('\n', c->out);
	print_common_options(c->out);
	fputs("  -V, --version     belayctl's version\n\n"
	      "belayctl COMMAND --help says more. See also belayctl(8), belay(7).\n", c->out);
}

/* Prints why, and how to learn more. Returns CTL_USAGE. */
int ctl_usage(struct ctl *c, const char *fmt, ...)
{
	va_list ap;

	fputs("belayctl: ", c->err);
	va_start(ap, fmt);
	vfprintf(c->err, fmt, ap);
	va_end(ap);
	fprintf(c->err, "\nTry: belayctl %s%s--help\n", c->command ? c->command->name : "",
		c->command ? " " : "");
	return CTL_USAGE;
}

int ctl_fail(struct ctl *c, int status, const char *fmt, ...)
{
	va_list ap;

	fputs("belayctl: ", c->err);
	va_start(ap, fmt);
	vfprintf(c->err, fmt, ap);
	va_end(ap);
	fputc('\n', c->err);
	return status;
}

static bool is_long(const struct option *options, int val)
{
	for (; options->name; options++)
		if (options->val == val)
			return true;
	return false;
}

/* "--deadline, --delay": all that begin so; returns how many. */
static int begin_so(const struct option *options, const char *word, char *buf, size_t len)
{
	size_t n = 0, given = strcspn(word, "=");
	int count = 0;

	buf[0] = '\0';
	for (; options->name && given > 2; options++) {
		if (strncmp(options->name, word + 2, given - 2))
			continue;
		if (n < len)
			n += (size_t)snprintf(buf + n, len - n, "%s--%s", count ? ", " : "",
					      options->name);
		count++;
	}
	return count;
}

/* getopt_long() says ':' and '?' without saying which of the words it was. */
static int bad_option(struct ctl *c, int opt, char **argv, const struct option *options)
{
	const char *word = argv[optind - 1];
	char names[256];

	if (opt == ':')
		return ctl_usage(c, "%s needs a value", word);
	/* One that is known, but as a long option, was given a value. */
	if (optopt && is_long(options, optopt))
		return ctl_usage(c, "%s takes no value", word);
	if (optopt == 'V')
		return ctl_usage(c, "there is no option -V after a command; "
				 "for the version: belayctl -V");
	if (optopt)
		return ctl_usage(c, "there is no option -%c", optopt);
	if (begin_so(options, word, names, sizeof(names)) > 1)
		return ctl_usage(c, "%s is ambiguous: %s", word, names);
	return ctl_usage(c, "there is no option %s", word);
}

/*
 * Returns the command's own option, -1 after the last one, or 0 when the
 * command is to end with c->status: an error was printed, or the help.
 */
int ctl_getopt(struct ctl *c, int argc, char **argv, const struct option *options)
{
	int opt;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, c->command ? ":h" : "+:hV", options,
				  NULL)) != -1) {
		switch (opt) {
		case CTL_OPT_SOCKET:
			c->socket = optarg;
			break;
		case CTL_OPT_JSON:
			c->json = true;
			break;
		case CTL_OPT_BYTES:
			c->bytes = true;
			break;
		case CTL_OPT_NO_HEADINGS:
			c->headings = false;
			break;
		case 'h':
			print_help(c);
			c->status = CTL_OK;
			return 0;
		case ':':
		case '?':
			c->status = bad_option(c, opt, argv, options);
			return 0;
		default:
			return opt;
		}
	}
	return -1;
}

static int find_command(struct ctl *c, const char *name)
{
	const struct ctl_command *cmd;

	for (cmd = commands; cmd->name; cmd++) {
		if (!strcmp(cmd->name, name)) {
			c->command = cmd;
			return CTL_OK;
		}
	}
	return ctl_usage(c, "there is no command \"%s\"", name);
}

static int run(struct ctl *c, int argc, char **argv)
{
	static char *no_args[] = { (char *)"status", NULL };
	int opt, status;

	optind = 0;
	while ((opt = ctl_getopt(c, argc, argv, global_options)) > 0) {
		if (opt == 'V') {
			fputs("belayctl " BELAY_VERSION "\n", c->out);
			return CTL_OK;
		}
	}
	if (!opt)
		return c->status;
	argc -= optind;
	argv += optind;
	if (argc < 1) {
		argc = 1;
		argv = no_args;
	}
	status = find_command(c, argv[0]);
	if (status)
		return status;
	optind = 0;
	return c->command->run(c, argc, argv);
}

int ctl_main(struct ctl *c, int argc, char **argv)
{
	int status = run(c, argc, argv);

	ctl_disconnect(c);
	if ((fflush(c->out) || ferror(c->out)) && status == CTL_OK)
		status = ctl_fail(c, CTL_FAILED, "cannot write the output: %m");
	return status;
}
