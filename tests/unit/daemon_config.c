/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* belayd.conf: values, drop-ins, and messages with their place. */
#include <sys/stat.h>
#include <syslog.h>

#include "common/protocol.h"
#include "daemon/sys/config.h"
#include "daemon/core/key.h"
#include "tests/lib/tap.h"

static char dir[64], path[128], messages[8192];
static int errors, warnings;

static void say(void *arg, int level, const char *text)
{
	const char *base = strstr(text, "/belayd.conf");

	errors += level == LOG_ERR;
	warnings += level == LOG_WARNING;
	strncat(messages, base ? base : text, sizeof(messages) - strlen(messages) - 1);
	strcat(messages, "\n");
}

static void put(const char *name, const char *text)
{
	char file[256];
	FILE *f;

	if (!dir[0]) {
		strcpy(dir, "/tmp/belayd-config.XXXXXX");
		CHECK(mkdtemp(dir));
		snprintf(path, sizeof(path), "%s/belayd.conf", dir);
	}
	snprintf(file, sizeof(file), "%s/%s", dir, name);
	f = fopen(file, "w");
	CHECK(f);
	fputs(text, f);
	fclose(f);
}

static void drop_in(const char *name, const char *text)
{
	char sub[256];

	if (!dir[0])
		put("belayd.conf", "");
	snprintf(sub, sizeof(sub), "%s.d", path);
	mkdir(sub, 0755);
	snprintf(sub, sizeof(sub), "belayd.conf.d/%s", name);
	put(sub, text);
}

static void cleanup(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	CHECK_EQ(system(cmd), 0);
}

static struct bl_policy *load(const char *text)
{
	struct bl_policy *p;

	put("belayd.conf", text);
	p = bl_config_load(path, say, NULL);
	cleanup();
	return p;
}

TEST(values, "every key is read into its place")
{
	struct bl_policy *p = load(
		"# a comment\n"
		"[system]\n"
		"max = 8GiB\n"
		"  regions = 1000   ; indented, with a comment\n"
		"[default]\n"
		"max=64M\nregions=10\nprocess_max = 32M\nprocess_regions = 5\n"
		"[user 4711]\n"
		"max = unlimited\n"
		"[revoke]\n"
		"deadline = 2min\nescalation = kill\n"
		"[daemon]\n"
		"max_clients = 100\nmax_clients_per_user = 50\n");

	CHECK_STR(messages, "");
	CHECK(p);
	CHECK_EQ(p->system.bytes, 8ULL << 30);
	CHECK_EQ(p->system.regions, 1000);
	CHECK_EQ(p->fallback.user.bytes, 64 << 20);
	CHECK_EQ(p->fallback.user.regions, 10);
	CHECK_EQ(p->fallback.process.bytes, 32 << 20);
	CHECK_EQ(p->fallback.process.regions, 5);
	CHECK_EQ(p->n_users, 1);
	CHECK_EQ(p->users[0].uid, 4711);
	CHECK_EQ(p->users[0].rule.user.bytes, BL_UNLIMITED);
	CHECK_EQ(p->deadline_nsec, 120000000000ULL);
	CHECK_EQ(p->escalation, BL_KILL);
	CHECK_EQ(p->max_clients, 100);
	CHECK_EQ(p->max_clients_per_user, 50);
	bl_policy_free(p);
}

TEST(nothing, "no file, an empty file and one of comments are the built-in policy")
{
	struct bl_policy *p = bl_config_load("/nonexistent/belayd.conf", say, NULL);

	CHECK(p);
	CHECK_EQ(p->deadline_nsec, 10000000000ULL);
	CHECK_EQ(p->escalation, BL_KEEP);
	CHECK_EQ(p->system.bytes, BL_UNLIMITED);
	bl_policy_free(p);
	p = load("\n\n# nothing\n; here\n");
	CHECK(p);
	CHECK_STR(messages, "");
	bl_policy_free(p);
}

TEST(shipped, "the file that is installed has neither errors nor warnings")
{
	struct bl_policy *p = bl_config_load("daemon/belayd.conf", say, NULL);

	CHECK_STR(messages, "");
	CHECK(p);
	bl_policy_free(p);
}

TEST(bad_values, "a value that is none is an error with file, line, key and what is allowed")
{
	CHECK(!load("[system]\nmax = 64Q\n\n[revoke]\ndeadline = 0\nescalation = explode\n"
		    "[daemon]\nmax_clients = 0\n[user 1]\nregions = 1.5\n"));
	CHECK_EQ(errors, 5);
	CHECK_STR(messages,
		  "/belayd.conf:2: error: [system] max = 64Q: not a size such as 4096, 64M, 8GiB, or unlimited\n"
		  "/belayd.conf:5: error: [revoke] deadline = 0: not a time from 10ms to 24h, such as 10s or 2min\n"
		  "/belayd.conf:6: error: [revoke] escalation = explode: not keep, release or kill\n"
		  "/belayd.conf:8: error: [daemon] max_clients = 0: not a whole number from 1 to 60000\n"
		  "/belayd.conf:10: error: [user 1] regions = 1.5: not a whole number, or unlimited\n");
}

TEST(unknown, "unknown sections, keys and users are warnings, and the rest is used")
{
	struct bl_policy *p = load("[system]\nmaximum = 1\nmax = 5M\n[lease]\ntime = 3\n"
				   "more = 4\n[user no-such-user-here]\nmax = 1\n");

	CHECK(p);
	CHECK_EQ(p->system.bytes, 5 << 20);
	CHECK_EQ(p->n_users, 0);
	CHECK_EQ(warnings, 3);
	CHECK_STR(messages,
		  "/belayd.conf:2: warning: unknown key maximum in [system] is ignored; there are max, regions\n"
		  "/belayd.conf:5: warning: unknown section [lease] is ignored; there are [system], [default], [user NAME], [revoke] and [daemon]\n"
		  "/belayd.conf:8: warning: [user no-such-user-here]: there is no such user; the section is ignored\n");
	bl_policy_free(p);
}

TEST(blanks, "blanks at the ends of a section's name are none of it")
{
	struct bl_policy *p = load("[ system ]\nmax = 5M\n[ user\troot \t]\nmax = 7M\n"
				   "[default ]\nmax = 9M\n");

	CHECK_STR(messages, "");
	CHECK(p);
	CHECK_EQ(p->system.bytes, 5 << 20);
	CHECK_EQ(p->n_users, 1);
	CHECK_EQ(p->users[0].uid, 0);
	CHECK_EQ(p->users[0].rule.user.bytes, 7 << 20);
	CHECK_EQ(p->fallback.user.bytes, 9 << 20);
	bl_policy_free(p);
}

TEST(malformed, "a line that is nothing is an error with its number; keys before a section are a warning")
{
	CHECK(!load("max = 1\n[system]\nhello\nmax = much\n  [user\n# here\n; here\nmax : 5M\n\n"));
	CHECK_EQ(errors, 3);
	CHECK_STR(messages,
		  "/belayd.conf:1: warning: keys before the first [section] are ignored\n"
		  "/belayd.conf:3: error: neither a [section], nor key = value, nor a comment\n"
		  "/belayd.conf:4: error: [system] max = much: not a size such as 4096, 64M, 8GiB, or unlimited\n"
		  "/belayd.conf:5: error: neither a [section], nor key = value, nor a comment\n");
}

TEST(long_line, "a line that is too long is an error, and the next is read as its own")
{
	char text[2000] = "[system]\nmax = ";

	memset(text + strlen(text), '1', 1000);
	strcat(text, "\nregions = x\n");
	CHECK(!load(text));
	CHECK_EQ(errors, 2);
	CHECK(strstr(messages, "/belayd.conf:2: error: the line is longer than"));
	CHECK(strstr(messages, "/belayd.conf:3: error: [system] regions = x"));
}

TEST(drop_ins, "drop-ins override key by key, in the order of their names")
{
	struct bl_policy *p;

	put("belayd.conf", "[system]\nmax = 1M\nregions = 1\n[user 5]\nmax = 1M\nregions = 9\n");
	drop_in("20-b.conf", "[system]\nmax = 3M\n");
	drop_in("10-a.conf", "[system]\nmax = 2M\n[user 5]\nmax = 2M\n");
	drop_in("30-c.confx", "[system]\nmax = 4M\n");
	drop_in(".40-d.conf", "[system]\nmax = 5M\n");
	p = bl_config_load(path, say, NULL);
	CHECK(p);
	CHECK_EQ(p->system.bytes, 3 << 20);
	CHECK_EQ(p->system.regions, 1);
	CHECK_EQ(p->n_users, 1);
	CHECK_EQ(p->users[0].rule.user.bytes, 2 << 20);
	CHECK_EQ(p->users[0].rule.user.regions, 9);
	bl_policy_free(p);
	drop_in("50-e.conf", "\n[system]\nmax = many\n");
	CHECK(!bl_config_load(path, say, NULL));
	CHECK(strstr(messages, "/belayd.conf.d/50-e.conf:3: error: [system] max = many"));
	cleanup();
}

/* ------------------------------------------------------------------------ */
/* The table, and what is written about it                                   */

static char *read_text(const char *file)
{
	static char text[65536];
	FILE *f = fopen(file, "r");
	size_t n;

	CHECK(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static const char *shown_section(const struct bl_key *k)
{
	return strcmp(k->section, BL_KEY_RULE) ? k->section : "default";
}

/*
 * The words of a manual page about a key: between its .It, in the list of its section, and the
 * next one of the same list. The key's text is cut out of @page; "" if there is none.
 */
static char *entry_of(char *page, const char *section, const char *name)
{
	static char nothing[1];
	char head[64], *p, *end, *line;
	int depth = 0;

	snprintf(head, sizeof(head), "\n.Ss Section %s\n", section);
	p = strstr(page, head);
	if (!p)
		return nothing;
	p += strlen(head);
	end = strstr(p, "\n.S");
	if (end)
		*end = '\0';
	snprintf(head, sizeof(head), ".It Li %s\n", name);
	p = strstr(p, head);
	if (!p)
		return nothing;
	for (line = strchr(p, '\n') + 1; line[-1]; line = strchrnul(line, '\n') + 1) {
		depth += !strncmp(line, ".Bl", 3) - !strncmp(line, ".El", 3);
		if (depth < 0 || (!depth && !strncmp(line, ".It", 3))) {
			*line = '\0';
			break;
		}
	}
	return p;
}

/* "Default: 8192.", or on a line of its own: "Default:\n.Li 10s ." */
static bool says_default(const char *entry, const char *value)
{
	char same[64], next[64], *p;

	snprintf(same, sizeof(same), "Default: %s", value);
	snprintf(next, sizeof(next), "Default:\n.Li %s", value);
	p = strstr(entry, same);
	if (!p)
		p = strstr(entry, next);
	return p;
}

TEST(manual, "belayd.conf(5) has each key of the table, in its section, with its default and bounds, and no others")
{
	const struct bl_key *k;
	char *page, *p, *entry, lowest[BL_KEY_TEXT], highest[BL_KEY_TEXT];
	size_t listed = 0;

	for (k = bl_keys; k < bl_keys + bl_n_keys; k++) {
		page = read_text("man/belayd.conf.5");
		entry = entry_of(page, shown_section(k), k->name);
		if (!*entry)
			FAIL("[%s] %s is not in the manual", shown_section(k), k->name);
		if (!strstr(entry, "Default:"))
			FAIL("[%s] %s: the manual says no default", shown_section(k), k->name);
		if (k->fallback && !says_default(entry, k->fallback))
			FAIL("[%s] %s: the manual does not say that the default is %s",
			     shown_section(k), k->name, k->fallback);
		if (!k->min)
			continue;
		bl_key_format(k, k->min, lowest, sizeof(lowest));
		if (k->type == BL_KEY_TIME)
			snprintf(highest, sizeof(highest), "%dh", (int)(k->max / 3600000000000ULL));
		else
			bl_key_format(k, k->max, highest, sizeof(highest));
		if (!strstr(entry, lowest) || !strstr(entry, highest))
			FAIL("[%s] %s: the manual does not say: from %s to %s",
			     shown_section(k), k->name, lowest, highest);
	}
	/* The other way round: what the page lists in its sections is in the table. */
	page = read_text("man/belayd.conf.5");
	for (k = bl_keys; k < bl_keys + bl_n_keys; k++) {
		char head[64];

		snprintf(head, sizeof(head), ".It Li %s\n", k->name);
		for (p = strstr(page, head); p; p = strstr(p + 1, head))
			memcpy(p, ".Ok", 3);
	}
	for (p = strstr(page, ".Ss Section"); p; p = strstr(p + 1, "\n.It Li ")) {
		if (!strncmp(p, "\n.It Li keep", 12) || !strncmp(p, "\n.It Li release", 15) ||
		    !strncmp(p, "\n.It Li kill", 12))
			continue;	/* values of escalation */
		if (!strncmp(p, "\n.It", 4))
			FAIL("not in the table:%.40s", p);
		listed++;
	}
	CHECK_EQ(listed, 1);	/* the place to begin at */
}

TEST(shipped_defaults, "the installed file shows each key of the table that has a default, with that value")
{
	const struct bl_key *k;
	char line[64], head[64], *p, *end;

	for (k = bl_keys; k < bl_keys + bl_n_keys; k++) {
		p = read_text("daemon/belayd.conf");
		snprintf(head, sizeof(head), "\n[%s]\n", shown_section(k));
		p = strstr(p, head);
		CHECK(p);
		end = strstr(p + 1, "\n[");
		if (end)
			*end = '\0';
		snprintf(line, sizeof(line), "\n#%s = %s", k->name, k->fallback ? k->fallback : "");
		if (!strstr(p, line))
			FAIL("[%s] has no line %s", shown_section(k), line + 1);
	}
}

static char printed[4096];

static void write_line(void *arg, int level, const char *text)
{
	const char *blank = strstr(text, "] ");

	CHECK_EQ(level, LOG_DEBUG);
	sprintf(printed + strlen(printed), "%.*s\n%s\n", (int)(blank + 1 - text), text, blank + 2);
}

TEST(printing, "what is printed of a configuration is the same configuration when it is read")
{
	struct bl_policy *p = load(
		"[system]\nmax = 4097\nregions = 1000\n"
		"[default]\nmax=1.5G\nprocess_max = 32M\nmemlock = 250%\n"
		"[user 4711]\nmax = unlimited\nprocess_regions = 5\n"
		"[revoke]\ndeadline = 1500ms\nescalation = release\n"
		"[daemon]\nmax_clients = 100\n"), *again;

	CHECK(p);
	bl_config_print(p, write_line, NULL);
	CHECK(strstr(printed, "[default]\nmax = 1.5 GiB\n"));
	CHECK(strstr(printed, "[daemon]\nmax_clients_per_user = 4096\n"));
	CHECK(strstr(printed, "[user 4711]\nmax = unlimited\n[user 4711]\nprocess_regions = 5\n"));
	dir[0] = '\0';
	again = load(printed);
	CHECK_STR(messages, "");
	CHECK(again);
	CHECK_EQ(again->system.bytes, 4097);
	CHECK_EQ(again->system.regions, 1000);
	CHECK_EQ(again->fallback.user.bytes, 3ULL << 29);
	CHECK_EQ(again->fallback.memlock_percent, 250);
	CHECK_EQ(again->users[0].rule.said, p->users[0].rule.said);
	CHECK_EQ(again->users[0].rule.process.regions, 5);
	CHECK_EQ(again->deadline_nsec, p->deadline_nsec);
	CHECK_EQ(again->escalation, BL_RELEASE);
	CHECK_EQ(again->max_clients, 100);
	bl_policy_free(again);
	bl_policy_free(p);
}

TEST(defaults, "each default of the table is a value that its key allows, and holds without a file")
{
	struct bl_policy *p = bl_policy_new();
	const struct bl_key *k;
	char text[BL_KEY_TEXT];
	uint64_t v;

	CHECK(p);
	for (k = bl_keys; k < bl_keys + bl_n_keys; k++) {
		if (!k->fallback)
			continue;
		CHECK_OK(bl_key_parse(k, k->fallback, &v));
		CHECK_STR(bl_key_format(k, v, text, sizeof(text)), k->fallback);
		CHECK_EQ(*bl_key_value(k, strcmp(k->section, BL_KEY_RULE) ? (void *)p :
				       (void *)&p->fallback), v);
	}
	CHECK_EQ(p->fallback.said, 0);
	bl_policy_free(p);
}

TAP_MAIN()
