// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* Daemons that refuse, hang, hang up, restart or talk nonsense. */
#include "tests/lib/tap.h"
#include "tests/unit/ctl_fake.h"

static void hangs_up(int fd)
{
}

static void hangs_up_later(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_STATUS);
}

TEST(closed, "a daemon that hangs up is said to have hung up")
{
	CHECK_RUN(run_against(hangs_up, "status"), CTL_FAILED, "closed the connection");
	fake_sysfs = "/";
	CHECK_RUN(run_against(hangs_up_later, "status"), CTL_FAILED, "journalctl -u belayd");
}

static void says_nothing(int fd)
{
	char buf[64];

	while (recv(fd, buf, sizeof(buf), 0) > 0)
		;
}

static void says_nothing_later(int fd)
{
	fake_hello(fd);
	says_nothing(fd);
}

TEST(hangs, "a daemon that hangs is waited for so long and no longer")
{
	fake_sysfs = "/";
	CHECK_RUN(run_against(says_nothing, "status"), CTL_FAILED,
		  "and at its configuration with: belayd --check-config");
	fake_sysfs = "/nonexistent";
	CHECK_RUN(run_against(says_nothing, "status"), CTL_FAILED, "does not answer");
	CHECK_RUN(run_against(says_nothing_later, "list"), CTL_FAILED, "does not answer");
	CHECK_RUN(run_against(says_nothing_later, "recall --pid 7 --no-wait"), CTL_FAILED,
		  "does not answer");
}

TEST(no_module, "where it cannot start, for there is no module, the module is named")
{
	fake_sysfs = "/";
	CHECK_RUN(run_against(says_nothing, "status"), CTL_FAILED, "systemctl status belayd");
	fake_sysfs = "/nonexistent";
	CHECK_RUN(run_against(says_nothing, "status"), CTL_FAILED, "modprobe belay");
	CHECK_RUN(run_against(hangs_up, "status"), CTL_FAILED, "modprobe belay");
}

TEST(full_backlog, "a daemon that accepts nobody counts as one that hangs")
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int i, fd;

	fake_listen();
	strcpy(sun.sun_path, fake.path);
	for (i = 0; i < 100; i++) {
		fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0));
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
			break;
	}
	CHECK_LT(i, 100);
	CHECK_RUN(run("status"), CTL_FAILED, "does not answer");
}

TEST(dead_socket, "a socket that nobody listens on any more: not running")
{
	fake_listen();
	close(fake.listener);
	CHECK_RUN(run("status"), CTL_NOT_RUNNING, "is not running");
}

/* One BL_ERROR after the greeting, as the environment says. */
static int error_to_send;
static const char *text_to_send;

static void refuses(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	CHECK_SYS(recv(fd, &m, sizeof(m), 0));
	fake_error(fd, m.msg.serial, error_to_send, text_to_send);
}

static struct run *refused(int error, const char *text, const char *line)
{
	error_to_send = error;
	text_to_send = text;
	return run_against(refuses, line);
}

TEST(refusals, "what the daemon refuses is told in its words, with a status by its errno")
{
	CHECK_RUN(refused(EPERM, "for administrators only", "status"), CTL_DENIED,
		  "belayctl: for administrators only\n");
	CHECK_RUN(refused(EACCES, "no", "list"), CTL_DENIED, "no");
	CHECK_RUN(refused(ENOENT, "no account \"user/bob\"", "limit set user/bob 1G"),
		  CTL_NOT_FOUND, "user/bob");
	CHECK_RUN(refused(ESRCH, "no process 7", "recall --pid 7"), CTL_NOT_FOUND, "no process 7");
	CHECK_RUN(refused(EINVAL, "bad configuration: belayd.conf:3", "reload"), CTL_FAILED,
		  "belayd.conf:3");
	CHECK_RUN(refused(EIO, "", "status"), CTL_FAILED, "Input/output error");
}

static void refuses_version(int fd)
{
	union bl_packet m;

	fake_recv(fd, &m, BL_HELLO);
	fake_error(fd, 0, EPROTONOSUPPORT, "this belayd speaks versions 7 to 9");
}

TEST(version, "a daemon of another time says so")
{
	CHECK_RUN(run_against(refuses_version, "status"), CTL_FAILED, "versions 7 to 9");
}

static void (*nonsense_fill)(char *buf, size_t *len, uint64_t serial);

static void talks_nonsense(int fd)
{
	static char buf[2 * BL_MSG_MAX];
	union bl_packet m;
	size_t len = 0;

	fake_hello(fd);
	CHECK_SYS(recv(fd, &m, sizeof(m), 0));
	nonsense_fill(buf, &len, m.msg.serial);
	CHECK_EQ(send(fd, buf, len, MSG_NOSIGNAL), (ssize_t)len);
}

#define NONSENSE(fn, line)							\
	do {									\
		nonsense_fill = fn;						\
		CHECK_RUN(run_against(talks_nonsense, line), CTL_FAILED,	\
			  "same release");					\
	} while (0)

static void one_byte(char *buf, size_t *len, uint64_t serial)
{
	*len = 1;
}

static void too_long(char *buf, size_t *len, uint64_t serial)
{
	*len = BL_MSG_MAX + 8;
	bl_msg_init((struct bl_msg *)buf, *len, BL_STATUS, serial);
}

static void short_status(char *buf, size_t *len, uint64_t serial)
{
	*len = sizeof(struct bl_status) - 8;
	bl_msg_init((struct bl_msg *)buf, *len, BL_STATUS, serial);
}

static void other_serial(char *buf, size_t *len, uint64_t serial)
{
	*len = sizeof(struct bl_status);
	bl_msg_init((struct bl_msg *)buf, *len, BL_STATUS, serial + 1);
}

static void other_type(char *buf, size_t *len, uint64_t serial)
{
	*len = sizeof(struct bl_ok);
	bl_msg_init((struct bl_msg *)buf, *len, BL_OK, serial);
}

static void unterminated(char *buf, size_t *len, uint64_t serial)
{
	struct bl_status *s = (struct bl_status *)buf;

	*len = sizeof(*s);
	memset(s->version, 'x', sizeof(s->version));
	bl_msg_init(&s->msg, *len, BL_STATUS, serial);
}

static void too_many_rows(char *buf, size_t *len, uint64_t serial)
{
	struct bl_list_rows *rows = (struct bl_list_rows *)buf;

	*len = sizeof(*rows) + sizeof(struct bl_grant_row);
	rows->what = BL_LIST_GRANTS;
	rows->row_size = sizeof(struct bl_grant_row);
	rows->count = 1000000;
	rows->after = 1;
	bl_msg_init(&rows->msg, *len, BL_LIST, serial);
}

static void other_rows(char *buf, size_t *len, uint64_t serial)
{
	struct bl_list_rows *rows = (struct bl_list_rows *)buf;

	*len = sizeof(*rows) + sizeof(struct bl_account_row);
	rows->what = BL_LIST_ACCOUNTS;
	rows->row_size = sizeof(struct bl_account_row);
	rows->count = 1;
	rows->after = 1;
	bl_msg_init(&rows->msg, *len, BL_LIST, serial);
}

TEST(nonsense, "an answer that is none is recognised, not believed")
{
	NONSENSE(one_byte, "status");
	NONSENSE(too_long, "status");
	NONSENSE(short_status, "status");
	NONSENSE(other_serial, "status");
	NONSENSE(other_type, "status");
	NONSENSE(unterminated, "status");
	NONSENSE(too_many_rows, "list");
	NONSENSE(other_rows, "list grants");
}

static void babbles(int fd)
{
	fake_babble(fd, BL_LIST_REGIONS, sizeof(struct bl_region_row));
}

TEST(random, "no answer makes belayctl crash")
{
	static const char *const lines[] = {
		"status", "status --json", "list regions", "list regions --json",
		"recall --pid 7", "limit set system 1G", "reload",
	};
	int i, ok = 0;

	for (i = 0; i < 280; i++) {
		fake_seed = (unsigned int)i;
		ok += run_against(babbles, lines[i % 7])->status == CTL_OK;
	}
	/* Some of them are believed, else nothing was tried. */
	CHECK_GT(ok, 5);
}

/* The same rows again and again. */
static void never_ends(int fd)
{
	struct {
		struct bl_list_rows rows;
		struct bl_grant_row row;
	} m = { .rows = { .what = BL_LIST_GRANTS, .count = 1, .row_size = sizeof(m.row),
			  .after = 1 } };
	union bl_packet request;

	fake_hello(fd);
	while (recv(fd, &request, sizeof(request), 0) > 0)
		fake_send(fd, &m, sizeof(m), BL_LIST, request.msg.serial);
}

TEST(endless, "a list that never ends is ended")
{
	CHECK_RUN(run_against(never_ends, "list"), CTL_FAILED, "does not come to an end");
}

/* A revoke request and an answer with a longer struct, as a later daemon sends. */
static void from_the_future(int fd)
{
	struct {
		struct bl_status status;
		uint64_t tail[4];
	} m = { .status = { .version = "9.0" } };
	struct bl_revoke revoke = { .request = 1 };
	union bl_packet request;

	fake_hello(fd);
	fake_recv(fd, &request, BL_STATUS);
	fake_send(fd, &revoke, sizeof(revoke), BL_REVOKE, 0);
	fake_send(fd, &m, sizeof(m), BL_STATUS, request.msg.serial);
}

TEST(future, "a longer answer with a zero tail is fine, messages to nobody are skipped")
{
	struct run *r = run_against(from_the_future, "status");

	CHECK_EQ(r->status, CTL_OK);
	CHECK(strstr(r->out, "belayd 9.0,"));
}

static void answers_late(int fd)
{
	struct bl_recalled m = { .regions = 1, .bytes = 4096, .let_go = 1 };
	union bl_packet request;

	fake_hello(fd);
	fake_recv(fd, &request, BL_RECALL);
	usleep(900000);
	fake_send(fd, &m, sizeof(m), BL_RECALL, request.msg.serial);
}

TEST(waits, "a waiting recall has no time-out of belayctl's own")
{
	/* The helper's time-out is 300 ms. */
	CHECK_RUN(run_against(answers_late, "recall --grant 3"), CTL_OK, "");
}

TEST(progress, "a long wait on a terminal shows the time that remains, and cleans up")
{
	struct ctl c;
	char *argv[] = { (char *)"belayctl", (char *)"recall", (char *)"--grant", (char *)"3",
			 (char *)"--deadline", (char *)"20s", NULL };
	char buf[4096];
	int master;
	FILE *tty = open_terminal(&master), *out = fopen("/dev/null", "w");
	size_t n;

	fake_start(answers_late);
	ctl_init(&c, out, tty);
	c.socket = fake.path;
	c.progress_msec = 200;
	CHECK_EQ(ctl_main(&c, 6, argv), CTL_OK);
	tap_join(fake.pid);
	fclose(tty);
	fclose(out);
	n = read_terminal(master, buf, sizeof(buf));
	CHECK(strstr(buf, "waiting until all is let go, 0 s (deadline in 20 s)"));
	CHECK_STR(buf + n - 4, "\r\033[K");
}

TAP_MAIN()
