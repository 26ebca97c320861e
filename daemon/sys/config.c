/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * core/key.c has the keys and the values that each may have. Unknown sections and keys
 * are warnings, so that a file for a later version can be used; a value that cannot be
 * read is an error, since a limit that is silently another one is worse than none.
 *
 * libinih hands over sections, names and values, but no line numbers; lines
 * are counted where it reads them.
 */
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "daemon/sys/config.h"
#include "daemon/core/key.h"
#include "daemon/sys/users.h"

#define SECTION_MAX	64			/* more than libinih takes */
#define NOTHING		"neither a [section], nor key = value, nor a comment"

struct reader {
	struct bl_policy *policy;
	void (*say)(void *arg, int level, const char *text);
	void *arg;
	const char *file;
	FILE *stream;
	int line;
	int errors;
	char section[SECTION_MAX];	/* last one seen, to resolve and to warn once */
	struct bl_rule *rule;	/* that [default] or [user] sets; NULL: ignored */
	bool known;
};

__attribute__((format(printf, 3, 4)))
static void tell(struct reader *r, int level, const char *fmt, ...)
{
	const char *kind = level == LOG_ERR ? "error" : "warning";
	char text[512];
	va_list ap;
	int n = 0;

	if (r->line)
		n = snprintf(text, sizeof(text), "%s:%d: %s: ", r->file, r->line, kind);
	else
		n = snprintf(text, sizeof(text), "%s: %s: ", r->file, kind);
	if (n < (int)sizeof(text)) {
		va_start(ap, fmt);
		vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
		va_end(ap);
	}
	if (level == LOG_ERR)
		r->errors++;
	r->say(r->arg, level, text);
}

/* ------------------------------------------------------------------------ */
/* Sections                                                                  */

/* A name, or a number; NULL after a message. */
static struct bl_rule *user_rule(struct reader *r, const char *user)
{
	struct bl_rule *rule;
	uid_t uid;

	while (*user == ' ' || *user == '\t')
		user++;
	if (!*user) {
		tell(r, LOG_ERR, "[user]: of which user? Write [user NAME] or [user UID]");
		return NULL;
	}
	if (bl_user_id(user, &uid)) {
		tell(r, LOG_WARNING, "[user %s]: there is no such user; the section is ignored",
		     user);
		return NULL;
	}
	rule = bl_policy_user(r->policy, uid);
	if (!rule)
		tell(r, LOG_ERR, "[user %s]: out of memory", user);
	return rule;
}

static bool section_exists(const char *section)
{
	size_t i;

	for (i = 0; i < bl_n_keys; i++)
		if (!strcmp(bl_keys[i].section, section))
			return true;
	return false;
}

/* What stands between the brackets, without blanks at its ends. */
static const char *section_name(const char *section, char *buf, size_t len)
{
	size_t n;

	section += strspn(section, " \t");
	n = strlen(section);
	while (n && (section[n - 1] == ' ' || section[n - 1] == '\t'))
		n--;
	snprintf(buf, len, "%.*s", (int)n, section);
	return buf;
}

/* Returns the section's name in the table of keys; NULL: to be ignored. */
static const char *enter_section(struct reader *r, const char *section)
{
	bool is_user = !strcmp(section, "user") || !strncmp(section, "user ", 5) ||
		       !strncmp(section, "user\t", 5);

	if (strcmp(section, r->section)) {
		snprintf(r->section, sizeof(r->section), "%s", section);
		r->rule = NULL;
		r->known = true;
		if (is_user)
			r->rule = user_rule(r, section + 4);
		else if (!strcmp(section, "default"))
			r->rule = &r->policy->fallback;
		else
			r->known = strcmp(section, BL_KEY_RULE) && section_exists(section);
		if (!*section)
			tell(r, LOG_WARNING, "keys before the first [section] are ignored");
		else if (!r->known)
			tell(r, LOG_WARNING, "unknown section [%s] is ignored; there are [system], [default], [user NAME], [revoke] and [daemon]",
			     section);
	}
	if (is_user || !strcmp(section, "default"))
		return r->rule ? BL_KEY_RULE : NULL;
	return r->known ? section : NULL;
}

static int on_value(void *arg, const char *brackets, const char *name,
		    const char *value)
{
	char names[256], section[SECTION_MAX];
	struct reader *r = arg;
	const struct bl_key *k;
	const char *table;
	uint64_t v;

	section_name(brackets, section, sizeof(section));
	table = enter_section(r, section);
	if (!table)
		return 1;
	k = bl_key_find(table, name);
	if (!k)
		tell(r, LOG_WARNING, "unknown key %s in [%s] is ignored; there are %s", name,
		     section, bl_key_names(table, names, sizeof(names)));
	else if (bl_key_parse(k, value, &v))
		tell(r, LOG_ERR, "[%s] %s = %s: not %s", section, name, value, k->allowed);
	else if (r->rule)
		bl_rule_set(r->rule, k, v);
	else
		*bl_key_value(k, r->policy) = v;
	return 1;
}

/* ------------------------------------------------------------------------ */
/* Files                                                                     */

/*
 * libinih says of one line only that it is nothing, and when it is through: so that
 * messages come in the order of the lines, what is surely nothing is found here.
 */
static bool is_nothing(const char *line)
{
	if (!strncmp(line, "\xef\xbb\xbf", 3))	/* a byte order mark, which it skips */
		line += 3;
	line += strspn(line, " \t\r\n\v\f");
	if (!*line || *line == '#' || *line == ';')
		return false;
	return !strpbrk(line, *line == '[' ? "]" : "=:");
}

/* One line for libinih. Leading blanks go: there are no continued lines. */
static char *read_line(char *buf, int len, void *arg)
{
	struct reader *r = arg;
	size_t n, blanks;
	int c;

	if (!fgets(buf, len, r->stream))
		return NULL;
	r->line++;
	n = strlen(buf);
	if (n && buf[n - 1] != '\n' && !feof(r->stream)) {
		tell(r, LOG_ERR, "the line is longer than %d characters, or holds a NUL",
		     len - 2);
		while ((c = getc(r->stream)) != EOF && c != '\n')
			;
		buf[0] = '\0';
		return buf;
	}
	blanks = strspn(buf, " \t");
	memmove(buf, buf + blanks, n - blanks + 1);
	if (is_nothing(buf)) {
		tell(r, LOG_ERR, NOTHING);
		buf[0] = '\0';
	}
	return buf;
}

static void read_file(struct reader *r, const char *file)
{
	int bad;

	r->file = file;
	r->line = 0;
	strcpy(r->section, "\n");	/* which no section is called */
	r->known = false;
	r->stream = fopen(file, "re");
	if (!r->stream) {
		if (errno != ENOENT)
			tell(r, LOG_ERR, "cannot be read: %s", strerror(errno));
		return;
	}
	bad = ini_parse_stream(read_line, r, on_value, r);
	if (bad > 0) {
		r->line = bad;
		tell(r, LOG_ERR, NOTHING);
	} else if (bad < 0) {
		tell(r, LOG_ERR, "out of memory");
	} else if (ferror(r->stream)) {
		r->line = 0;
		tell(r, LOG_ERR, "cannot be read");
	}
	fclose(r->stream);
}

static int is_drop_in(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 &&
	       !strcmp(d->d_name + len - 5, ".conf");
}

static void read_drop_ins(struct reader *r, const char *path)
{
	struct dirent **names;
	char dir[4000], file[4300];
	int n, i;

	snprintf(dir, sizeof(dir), "%s.d", path);
	n = scandir(dir, &names, is_drop_in, alphasort);
	if (n < 0) {
		r->file = dir;
		r->line = 0;
		if (errno != ENOENT)
			tell(r, LOG_ERR, "cannot be read: %s", strerror(errno));
		return;
	}
	for (i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", dir, names[i]->d_name);
		read_file(r, file);
		free(names[i]);
	}
	free(names);
}

struct bl_policy *bl_config_load(const char *path,
				 void (*say)(void *arg, int level, const char *text),
				 void *arg)
{
	struct reader r = { .say = say, .arg = arg, .file = path };

	r.policy = bl_policy_new();
	if (!r.policy) {
		tell(&r, LOG_ERR, "out of memory");
		return NULL;
	}
	read_file(&r, path);
	read_drop_ins(&r, path);
	if (r.errors)
		r.policy = bl_policy_free(r.policy);
	return r.policy;
}

/* ------------------------------------------------------------------------ */
/* Printing                                                                  */

struct printer {
	void (*say)(void *arg, int level, const char *text);
	void *arg;
};

static void print(const struct printer *p, const char *section, const struct bl_key *k,
		  uint64_t value)
{
	char text[BL_KEY_TEXT], line[160];

	snprintf(line, sizeof(line), "[%s] %s = %s", section, k->name,
		 bl_key_format(k, value, text, sizeof(text)));
	p->say(p->arg, LOG_DEBUG, line);
}

static void print_rule(const struct printer *p, const char *section, struct bl_rule *r,
		       bool defaults)
{
	const struct bl_key *k;

	for (k = bl_keys; k < bl_keys + bl_n_keys; k++)
		if (!strcmp(k->section, BL_KEY_RULE) &&
		    (r->said & k->said || (defaults && k->fallback)))
			print(p, section, k, *bl_key_value(k, r));
}

void bl_config_print(struct bl_policy *policy,
		     void (*say)(void *arg, int level, const char *text), void *arg)
{
	const struct printer p = { say, arg };
	const struct bl_key *k;
	char section[SECTION_MAX];
	unsigned int i;

	for (k = bl_keys; k < bl_keys + bl_n_keys; k++)
		if (strcmp(k->section, BL_KEY_RULE))
			print(&p, k->section, k, *bl_key_value(k, policy));
	print_rule(&p, "default", &policy->fallback, true);
	for (i = 0; i < policy->n_users; i++) {
		snprintf(section, sizeof(section), "user %u", policy->users[i].uid);
		print_rule(&p, section, &policy->users[i].rule, false);
	}
}
