/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* belayd.conf: values, drop-ins, and messages with their place. */
#include <sys/stat.h>
#include <syslog.h>

#include "common/protocol.h"
#include "daemon/config.h"
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
	CHECK_EQ(p->deadline_nsec, BL_DEADLINE_NSEC);
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

TAP_MAIN()
