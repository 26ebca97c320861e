// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * libbelay-admin with daemons that refuse, hang, go away midway or talk nonsense: each
 * has its errno and its sentence, and the handle says afterwards whether it is over.
 */
#include "tests/lib/tap.h"

#define FAKE_LABEL	"exporter"
#include "tests/unit/admin_fake.h"

static int timeout_msec = 20000;
static belay_admin_wait_fn on_wait;

static int open_handle(struct belay_admin **ret)
{
	struct belay_admin_options opt = {
		.size = sizeof(opt), .socket = fake.path, .label = FAKE_LABEL,
		.timeout_msec = timeout_msec, .on_wait = on_wait,
	};

	return belay_admin_open(ret, &opt);
}

static struct belay_admin *open_with(fake_fn fn)
{
	struct belay_admin *a = NULL;

	fake_start(fn);
	CHECK_OK(open_handle(&a));
	return a;
}

static void close_fake(struct belay_admin *a)
{
	belay_admin_close(a);
	tap_join(fake.pid);
	fake_remove();
}

static void check_error(const struct belay_admin *a, int got, int err, const char *text, int line)
{
	if (got == err && strstr(belay_admin_error(a), text))
		return;
	tap_diag("%s:%d: %d, not %d, or \"%s\" is not in: %s", __FILE__, line, got, err, text,
		 belay_admin_error(a));
	tap_fail();
}
#define CHECK_ERROR(a, call, err, text) check_error(a, call, err, text, __LINE__)

static int ask_status(struct belay_admin *a)
{
	struct belay_admin_status s = { .size = sizeof(s) };

	return belay_admin_get_status(a, &s);
}

/* All of a list of grants. */
static int ask_grants(struct belay_admin *a)
{
	struct belay_admin_grant g = { .size = sizeof(g) };
	struct belay_admin_list *list = NULL;
	int n = belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list);

	while (n >= 0 && (n = belay_admin_next_grant(list, &g)) > 0)
		CHECK_EQ(g.size, sizeof(g));
	belay_admin_list_free(list);
	return n;
}

static int ask_recall(struct belay_admin *a)
{
	struct belay_admin_selection s = { .size = sizeof(s), .by = BELAY_ADMIN_BY_USER };
	struct belay_admin_order order = { .size = sizeof(order), .select = &s, .timeout = 1000000000 };
	struct belay_admin_recalled done = { .size = sizeof(done) };

	return belay_admin_recall(a, &order, &done);
}

static int ask_reload(struct belay_admin *a)
{
	const char *text;
	int err = belay_admin_reload(a, &text);

	/* It is text. */
	if (!err)
		CHECK_LT(strlen(text), BELAY_ADMIN_TEXT);
	return err;
}

/* That handle is over, whatever it is asked. */
static void check_over(struct belay_admin *a)
{
	CHECK_ERROR(a, ask_status(a), -ENOTCONN, "no connection");
	CHECK_ERROR(a, ask_grants(a), -ENOTCONN, "no connection");
	CHECK_ERROR(a, ask_recall(a), -ENOTCONN, "no connection");
	CHECK_ERROR(a, belay_admin_get_fd(a), -ENOTCONN, "no connection");
}

/* ------------------------------------------------------------------------ */
/* Going away                                                                */

static void leaves_at_once(int fd)
{
}

static void leaves_when_asked(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	CHECK_SYS(recv(fd, &m, sizeof(m), 0));
}

/* Of a list, one page. */
static void leaves_midway(int fd)
{
	struct {
		struct bl_list_rows rows;
		struct bl_grant_row row;
	} page = { .rows = { .what = BL_LIST_GRANTS, .count = 1, .row_size = sizeof(page.row),
			     .after = 1 } };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	fake_send(fd, &page, sizeof(page), BL_LIST, m.msg.serial);
}

TEST(leaves, "a daemon that goes away, before or midway: ECONNRESET, and the handle is over")
{
	struct belay_admin *a = NULL;

	fake_start(leaves_at_once);
	CHECK_ERROR(a, open_handle(&a), -ECONNRESET, "");
	CHECK(strstr(belay_admin_error(a), "closed the connection at /tmp/"));
	check_over(a);
	close_fake(a);

	a = open_with(leaves_when_asked);
	CHECK_ERROR(a, ask_status(a), -ECONNRESET, "before it had answered");
	check_over(a);
	close_fake(a);

	a = open_with(leaves_midway);
	CHECK_ERROR(a, ask_grants(a), -ECONNRESET, "before it had answered");
	check_over(a);
	close_fake(a);
}

TEST(leaves_recall, "also with a recall that was started: its result is that")
{
	struct belay_admin_selection s = { .size = sizeof(s), .by = BELAY_ADMIN_BY_USER };
	struct belay_admin_order order = { .size = sizeof(order), .select = &s };
	struct belay_admin_recalled done = { .size = sizeof(done) };
	struct belay_admin *a = open_with(leaves_when_asked);
	int n = 0;

	CHECK_OK(belay_admin_recall_start(a, &order));
	CHECK_SOON((n = belay_admin_recall_result(a, &done)) != 0, 5);
	CHECK_ERROR(a, n, -ECONNRESET, "closed the connection");
	check_over(a);
	close_fake(a);
}

static void leaves_a_row(int fd)
{
	union bl_packet m;

	leaves_midway(fd);
	CHECK_SYS(recv(fd, &m, sizeof(m), 0));
}

TEST(rows_stay, "rows that have come are given before the error, which stays")
{
	struct belay_admin_grant g = { .size = sizeof(g) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a = open_with(leaves_a_row);

	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list));
	CHECK_EQ(belay_admin_next_grant(list, &g), 1);
	CHECK_EQ(belay_admin_next_grant(list, &g), -ECONNRESET);
	CHECK_EQ(belay_admin_next_grant(list, &g), -ENOTCONN);
	belay_admin_list_free(list);
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Hanging                                                                   */

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

TEST(hangs, "a daemon that hangs is waited for so long and no longer; a late answer is nobody's")
{
	struct belay_admin *a = NULL;

	timeout_msec = 1200;
	a = open_with(says_nothing_later);
	CHECK_ERROR(a, ask_status(a), -ETIMEDOUT, "nothing came for 1.2 s at /tmp/");
	check_over(a);
	close_fake(a);
	timeout_msec = 300;
	fake_start(says_nothing);
	CHECK_EQ(open_handle(&a), -ETIMEDOUT);
	check_over(a);
	close_fake(a);
}

TEST(full_backlog, "so is one that accepts nobody")
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct belay_admin *a = NULL;
	int i, fd;

	fake_listen();
	strcpy(sun.sun_path, fake.path);
	for (i = 0; i < 100; i++) {
		fd = CHECK_SYS(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0));
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
			break;
	}
	CHECK_LT(i, 100);
	timeout_msec = 300;
	CHECK_EQ(open_handle(&a), -ETIMEDOUT);
	check_over(a);
	belay_admin_close(a);
}

static unsigned int waits;
static uint64_t last_waited, last_deadline;

static int count_waits(uint64_t waited, uint64_t deadline, void *arg)
{
	CHECK_GE(waited, last_waited);
	last_waited = waited;
	last_deadline = deadline;
	return ++waits == 4;
}

TEST(enough, "on_wait is called while a call waits, knows the deadline, and can end the call")
{
	struct belay_admin *a = NULL;

	on_wait = count_waits;
	a = open_with(says_nothing_later);
	waits = 0;
	last_waited = 0;
	CHECK_ERROR(a, ask_recall(a), -ECANCELED, "did not want to wait");
	CHECK_EQ(waits, 4);
	CHECK_GE(last_waited, 300000000);
	CHECK_GT(last_deadline, 1000000000);
	check_over(a);
	CHECK_EQ(waits, 4);
	close_fake(a);
}

static void recalls_late(int fd)
{
	struct bl_recalled done = { .let_go = 1 };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_RECALL);
	usleep(900000);
	fake_send(fd, &done, sizeof(done), BL_RECALL, m.msg.serial);
}

TEST(patient, "a recall is waited for longer than for an answer")
{
	struct belay_admin *a;

	timeout_msec = 300;
	a = open_with(recalls_late);
	CHECK_OK(ask_recall(a));
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Refusals                                                                  */

static int refusal;
static bool throws_out;

static void refuses(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	CHECK_SYS(recv(fd, &m, sizeof(m), 0));
	fake_error(fd, throws_out ? 0 : m.msg.serial, refusal, refusal == EIO ? "" : "not today");
	says_nothing(fd);
}

TEST(refusals, "what belayd refuses has its errno and its words; who is thrown out is out")
{
	struct belay_admin *a;

	refusal = EACCES;
	a = open_with(refuses);
	CHECK_ERROR(a, ask_grants(a), -EACCES, "not today");
	CHECK_GE(belay_admin_get_fd(a), 3);
	close_fake(a);
	refusal = EIO;
	a = open_with(refuses);
	CHECK_ERROR(a, ask_grants(a), -EIO, "Input/output error");
	close_fake(a);
	refusal = EUSERS;
	throws_out = true;
	a = open_with(refuses);
	CHECK_ERROR(a, ask_reload(a), -EUSERS, "not today");
	check_over(a);
	close_fake(a);
}

static const int no_errnos[] = { 0, -EPERM, 4096, INT32_MIN };

TEST(no_errno, "an error that is none is nonsense, never success")
{
	struct belay_admin *a;
	size_t i;

	for (i = 0; i < sizeof(no_errnos) / sizeof(*no_errnos); i++) {
		refusal = no_errnos[i];
		a = open_with(refuses);
		CHECK_ERROR(a, ask_status(a), -EPROTO, "understands");
		check_over(a);
		close_fake(a);
	}
}

/* ------------------------------------------------------------------------ */
/* Nonsense                                                                  */

struct nonsense {
	const char *name;
	size_t len;
	void (*fill)(char *buf, size_t len, uint64_t serial);
};

static const struct nonsense *nonsense;

static void head(char *buf, size_t len, uint16_t type, uint64_t serial)
{
	bl_msg_init((struct bl_msg *)buf, len, type, serial);
}

static void no_header(char *buf, size_t len, uint64_t serial)
{
}

static void a_status(char *buf, size_t len, uint64_t serial)
{
	head(buf, len, BL_STATUS, serial);
}

static void unknown_type(char *buf, size_t len, uint64_t serial)
{
	head(buf, len, 77, serial);
}

static void unknown_of_its_own(char *buf, size_t len, uint64_t serial)
{
	head(buf, len, 77, 0);
}

static void other_serial(char *buf, size_t len, uint64_t serial)
{
	head(buf, len, BL_STATUS, serial + 1);
}

static void other_error(char *buf, size_t len, uint64_t serial)
{
	((struct bl_error *)buf)->error = EPERM;
	head(buf, len, BL_ERROR, serial + 1);
}

static void other_type(char *buf, size_t len, uint64_t serial)
{
	head(buf, len, BL_OK, serial);
}

static void other_size(char *buf, size_t len, uint64_t serial)
{
	head(buf, len - 8, BL_STATUS, serial);
}

static void not_ended(char *buf, size_t len, uint64_t serial)
{
	struct bl_status *s = (struct bl_status *)buf;

	memset(s->version, 'x', sizeof(s->version));
	head(buf, len, BL_STATUS, serial);
}

static void with_tail(char *buf, size_t len, uint64_t serial)
{
	buf[len - 1] = 1;
	head(buf, len, BL_STATUS, serial);
}

static const struct nonsense table[] = {
	{ "a byte", 1, no_header },
	{ "half a header", sizeof(struct bl_msg) - 8, no_header },
	{ "a status without its end", sizeof(struct bl_msg) + 8, a_status },
	{ "more than a message can have", BL_MSG_MAX + 8, a_status },
	{ "a type that there is not", sizeof(struct bl_status), unknown_type },
	{ "one, to nobody", sizeof(struct bl_status), unknown_of_its_own },
	{ "the answer to something else", sizeof(struct bl_status), other_serial },
	{ "a refusal of something else", sizeof(struct bl_error), other_error },
	{ "another answer", sizeof(struct bl_ok), other_type },
	{ "another size than it says", sizeof(struct bl_status), other_size },
	{ "text that does not end", sizeof(struct bl_status), not_ended },
	{ "something behind what is known", sizeof(struct bl_status) + 8, with_tail },
};

static void talks_nonsense(int fd)
{
	static char buf[2 * BL_MSG_MAX];
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_STATUS);
	nonsense->fill(buf, nonsense->len, m.msg.serial);
	CHECK_EQ(send(fd, buf, nonsense->len, MSG_NOSIGNAL), (ssize_t)nonsense->len);
	says_nothing(fd);
}

TEST(nonsense, "truncated and unknown answers are EPROTO, and the handle is over")
{
	struct belay_admin *a;
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
		nonsense = &table[i];
		tap_diag("%s", nonsense->name);
		a = open_with(talks_nonsense);
		CHECK_ERROR(a, ask_status(a), -EPROTO, "not one that libbelay-admin");
		check_over(a);
		close_fake(a);
	}
}

/* Lists that are none: what, count, row_size, after, and how many bytes of rows follow. */
static const struct bad_list {
	uint32_t what, count, row_size;
	uint64_t after;
	size_t bytes;
} bad_lists[] = {
	{ BL_LIST_GRANTS, 1000000, sizeof(struct bl_grant_row), 1, sizeof(struct bl_grant_row) },
	{ BL_LIST_GRANTS, 1, sizeof(struct bl_grant_row), 1, sizeof(struct bl_grant_row) - 8 },
	{ BL_LIST_GRANTS, 1, 8, 1, 8 },
	{ BL_LIST_GRANTS, UINT32_MAX, 8, 1, 8 },
	{ BL_LIST_GRANTS, 1, sizeof(struct bl_grant_row), 0, sizeof(struct bl_grant_row) },
	{ BL_LIST_REGIONS, 1, sizeof(struct bl_grant_row), 1, sizeof(struct bl_grant_row) },
	{ 99, 1, sizeof(struct bl_grant_row), 1, sizeof(struct bl_grant_row) },
};
static const struct bad_list *bad_list;

static void lists_badly(int fd)
{
	static struct {
		struct bl_list_rows rows;
		char bytes[BL_MSG_MAX];
	} page;
	union bl_packet m;

	page.rows.what = bad_list->what;
	page.rows.count = bad_list->count;
	page.rows.row_size = bad_list->row_size;
	page.rows.after = bad_list->after;
	fake_hello(fd);
	while (recv(fd, &m, sizeof(m), 0) > 0)
		fake_send(fd, &page, sizeof(page.rows) + bad_list->bytes, BL_LIST, m.msg.serial);
}

TEST(lists, "lists that are cut off, of something else, or without an end are EPROTO")
{
	struct belay_admin *a;
	size_t i;

	for (i = 0; i < sizeof(bad_lists) / sizeof(*bad_lists); i++) {
		bad_list = &bad_lists[i];
		a = open_with(lists_badly);
		CHECK_ERROR(a, ask_grants(a), -EPROTO, "");
		check_over(a);
		close_fake(a);
	}
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
	struct belay_admin *a = open_with(from_the_future);
	struct belay_admin_status s = { .size = sizeof(s) };

	CHECK_OK(belay_admin_get_status(a, &s));
	CHECK_STR(s.version, "9.0");
	close_fake(a);
}

static void babbles(int fd)
{
	fake_babble(fd, BL_LIST_GRANTS, sizeof(struct bl_grant_row));
}

TEST(random, "no answer makes the library crash")
{
	static int (*const calls[])(struct belay_admin *) = {
		ask_status, ask_grants, ask_recall, ask_reload,
	};
	struct belay_admin *a;
	int i, ok = 0, err;

	for (i = 0; i < 200; i++) {
		fake_seed = (unsigned int)i;
		a = open_with(babbles);
		err = calls[i % 4](a);
		CHECK_LE(err, 0);
		ok += !err;
		close_fake(a);
	}
	/* Some of them are believed, else nothing was tried. */
	CHECK_GT(ok, 5);
}

TAP_MAIN()
