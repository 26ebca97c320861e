/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * ctl_fake.h - belayctl against a daemon that does as the test says (admin_fake.h)
 *
 * Include after tap.h, in one .c file per program.
 */
#ifndef CTL_FAKE_H
#define CTL_FAKE_H

#define FAKE_LABEL	"belayctl"
#include "ctl/belayctl.h"
#include "tests/unit/admin_fake.h"

#define NOW_NS		100000000000ULL	/* what time it is, in tests */
#define FAKE_ARGS	16

/* What one run of belayctl left behind. */
struct run {
	int status;
	char *out;
	char *err;
};

static TAP_UNUSED const char *fake_vmstat = "/nonexistent";
static TAP_UNUSED const char *fake_sysfs = "/nonexistent";
static TAP_UNUSED bool fake_own_only;

/* Runs belayctl with that command line; frees what the last run left. */
static TAP_UNUSED struct run *run_with(struct ctl *c, const char *line)
{
	static struct run r;
	char *args = strdup(line), *argv[FAKE_ARGS + 1] = { (char *)"belayctl" }, *p;
	size_t out_len, err_len;
	int argc = 1;

	free(r.out);
	free(r.err);
	for (p = strtok(args, " "); p && argc < FAKE_ARGS; p = strtok(NULL, " "))
		argv[argc++] = p;
	c->out = open_memstream(&r.out, &out_len);
	c->err = open_memstream(&r.err, &err_len);
	r.status = ctl_main(c, argc, argv);
	fclose(c->out);
	fclose(c->err);
	free(args);
	return &r;
}

static TAP_UNUSED struct run *run(const char *line)
{
	struct ctl c;

	ctl_init(&c, stdout, stderr);
	if (fake.path[0])
		c.socket = fake.path;
	c.fixed_now = NOW_NS;
	c.vmstat = fake_vmstat;
	c.sysfs = fake_sysfs;
	c.own_only = fake_own_only;
	c.timeout_msec = 300;
	return run_with(&c, line);
}

/* Runs it against a daemon that does fn, which must have been content, too. */
static TAP_UNUSED struct run *run_against(fake_fn fn, const char *line)
{
	struct run *r;

	fake_start(fn);
	r = run(line);
	tap_join(fake.pid);
	fake_remove();
	return r;
}

/* A terminal to print on; what was printed is read from the master. */
static TAP_UNUSED FILE *open_terminal(int *ret_master)
{
	int master = CHECK_SYS(posix_openpt(O_RDWR | O_NOCTTY));

	CHECK_SYS(grantpt(master));
	CHECK_SYS(unlockpt(master));
	*ret_master = master;
	return fdopen(CHECK_SYS(open(ptsname(master), O_RDWR | O_NOCTTY)), "w");
}

/* All that was printed on a terminal that has been closed. Closes the master. */
static TAP_UNUSED size_t read_terminal(int master, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size - 1 && (r = read(master, buf + n, size - 1 - n)) > 0)
		n += (size_t)r;
	buf[n] = '\0';
	close(master);
	return n;
}

/* The output as it is when it is not as it should be: one look is enough. */
#define CHECK_OUTPUT(r, want)							\
	do {									\
		if (strcmp((r)->out, (want)))					\
			FAIL("the output is:\n%s\ninstead of:\n%s\n%s",		\
			     (r)->out, (want), (r)->err);			\
	} while (0)

static TAP_UNUSED void check_run(const struct run *r, int status, const char *err,
				 const char *file, int line)
{
	if (r->status != status || !strstr(r->err, err)) {
		tap_diag("%s:%d: status %d, not %d, or not \"%s\" in: %s", file, line, r->status,
			 status, err, r->err);
		tap_fail();
	}
}
#define CHECK_RUN(r, status, err) check_run(r, status, err, __FILE__, __LINE__)

#endif
