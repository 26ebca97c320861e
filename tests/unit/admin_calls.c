// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* libbelay-admin with a daemon that is well: each call, each struct, each mistake. */
#include <poll.h>

#include <linux/belay.h>

#include "tests/lib/tap.h"

#define FAKE_LABEL	"exporter"
#include "tests/unit/admin_fake.h"
#include "libadmin/internal.h"

#define MIB	(1ULL << 20)
#define SEC	1000000000ULL

static struct belay_admin *open_fake(void)
{
	struct belay_admin_options opt = {
		.size = sizeof(opt), .socket = fake.path, .label = FAKE_LABEL, .timeout_msec = 5000,
	};
	struct belay_admin *a = NULL;

	CHECK_OK(belay_admin_open(&a, &opt));
	CHECK_STR(belay_admin_error(a), "");
	return a;
}

/* A handle on a daemon that greets and then does fn. */
static struct belay_admin *open_with(fake_fn fn)
{
	fake_start(fn);
	return open_fake();
}

static void close_fake(struct belay_admin *a)
{
	belay_admin_close(a);
	tap_join(fake.pid);
}

#define CHECK_FAILS(call, err, text)						\
	do {									\
		CHECK_EQ(call, err);						\
		if (!strstr(belay_admin_error(a), text))			\
			FAIL("\"%s\" is not in: %s", text, belay_admin_error(a)); \
	} while (0)

static void status_daemon(int fd)
{
	struct bl_status s = {
		.version = "0.1.0", .abi_version = 3, .pid = 412, .started_at = 5,
		.clients = 6, .accounts = 7, .grants = 8, .sessions = 9, .regions = 10,
		.charged_bytes = 11, .pinned_bytes = 12, .tracked_bytes = 13,
		.limit_bytes = UINT64_MAX, .open_requests = 15, .overdue_requests = 16,
		.refusals = 17,
	};
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_STATUS);
	fake_send(fd, &s, sizeof(s), BL_STATUS, m.msg.serial);
}

TEST(status, "the status, field by field")
{
	struct belay_admin *a = open_with(status_daemon);
	struct belay_admin_status s = { .size = sizeof(s) };

	CHECK_OK(belay_admin_get_status(a, &s));
	CHECK_EQ(s.size, sizeof(s));
	CHECK_STR(s.version, "0.1.0");
	CHECK_EQ(s.abi_version, 3);
	CHECK_EQ(s.pid, 412);
	CHECK_EQ(s.started_at, 5);
	CHECK_EQ(s.clients, 6);
	CHECK_EQ(s.accounts, 7);
	CHECK_EQ(s.grants, 8);
	CHECK_EQ(s.sessions, 9);
	CHECK_EQ(s.regions, 10);
	CHECK_EQ(s.charged_bytes, 11);
	CHECK_EQ(s.pinned_bytes, 12);
	CHECK_EQ(s.tracked_bytes, 13);
	CHECK_EQ(s.limit_bytes, UINT64_MAX);
	CHECK_EQ(s.open_requests, 15);
	CHECK_EQ(s.overdue_requests, 16);
	CHECK_EQ(s.refusals, 17);
	close_fake(a);
}

TEST(later_program, "a program built later finds zeroes in what this library does not know")
{
	struct belay_admin *a = open_with(status_daemon);
	struct {
		struct belay_admin_status s;
		uint64_t later[4];
		uint64_t behind;
	} later;

	memset(&later, 0xff, sizeof(later));
	later.s.size = sizeof(later.s) + sizeof(later.later);
	CHECK_OK(belay_admin_get_status(a, &later.s));
	CHECK_EQ(later.s.size, sizeof(later.s) + sizeof(later.later));
	CHECK_EQ(later.s.refusals, 17);
	CHECK_EQ(later.later[0], 0);
	CHECK_EQ(later.later[3], 0);
	CHECK_EQ(later.behind, UINT64_MAX);
	close_fake(a);
}

/* Greets, and is asked nothing until the other side closes. */
static void quiet_daemon(int fd)
{
	char buf[64];

	fake_hello(fd);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 0);
}

TEST(sizes, "a struct without its size, or one that asks for what is not known, is refused")
{
	struct belay_admin *a = open_with(quiet_daemon), *none;
	struct belay_admin_status s = { .size = sizeof(s) - 1 };
	struct {
		struct belay_admin_selection s;
		uint64_t later;
	} select = { .s.size = sizeof(select) };
	struct belay_admin_order order = { .size = sizeof(order), .select = &select.s };
	struct belay_admin_recalled recalled = { .size = sizeof(recalled) };
	struct belay_admin_limit limit = { 0 };
	struct belay_admin_list *list = NULL;
	struct belay_admin_options opt = { .socket = fake.path };

	CHECK_FAILS(belay_admin_get_status(a, &s), -EINVAL, "size");
	s.size = 100000;
	CHECK_FAILS(belay_admin_get_status(a, &s), -EINVAL, "size");
	CHECK_FAILS(belay_admin_get_status(a, NULL), -EINVAL, "size");
	CHECK_FAILS(belay_admin_set_limit(a, &limit), -EINVAL, "limit: the size");
	select.later = 1;
	CHECK_FAILS(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, &select.s, &list), -EINVAL, "older");
	CHECK_FAILS(belay_admin_recall(a, &order, &recalled), -EINVAL, "older");
	CHECK_FAILS(belay_admin_recall_start(a, &order), -EINVAL, "older");
	recalled.size = 0;
	CHECK_FAILS(belay_admin_recall(a, &order, &recalled), -EINVAL, "size");
	order.select = NULL;
	CHECK_FAILS(belay_admin_recall_start(a, &order), -EINVAL, "selection");
	CHECK(!list);
	close_fake(a);
	a = none = NULL;
	CHECK_EQ(belay_admin_open(&none, &opt), -EINVAL);
	a = none;
	CHECK_FAILS(belay_admin_reload(a, NULL), -ENOTCONN, "no connection");
	belay_admin_close(a);
}

TEST(arguments, "what makes no sense is refused before belayd hears of it")
{
	struct belay_admin *a = open_with(quiet_daemon);
	struct belay_admin_selection select = { .size = sizeof(select), .by = 1U << 31 };
	struct belay_admin_order order = { .size = sizeof(order), .select = &select };
	struct belay_admin_recalled recalled = { .size = sizeof(recalled) };
	struct belay_admin_limit limit = { .size = sizeof(limit), .account = "system" };
	struct belay_admin_list *list = NULL;
	char name[BELAY_ADMIN_NAME + 1];

	memset(name, 'x', sizeof(name));
	name[BELAY_ADMIN_NAME] = '\0';
	CHECK_FAILS(belay_admin_list_new(a, 0, NULL, &list), -EINVAL, "no list number 0");
	CHECK_FAILS(belay_admin_list_new(a, 4, NULL, &list), -EINVAL, "no list number 4");
	CHECK_FAILS(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, &select, &list), -EINVAL, "unknown bits");
	select.by = BELAY_ADMIN_BY_ACCOUNT;
	CHECK_FAILS(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, &select, &list), -EINVAL, "no account");
	select.account = name;
	CHECK_FAILS(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, &select, &list), -EINVAL, "too long");
	CHECK_FAILS(belay_admin_set_limit(a, &limit), -EINVAL, "nothing to set");
	limit.set = 1U << 5;
	CHECK_FAILS(belay_admin_set_limit(a, &limit), -EINVAL, "unknown");
	limit.account = name;
	CHECK_FAILS(belay_admin_set_limit(a, &limit), -EINVAL, "too long");
	select = (struct belay_admin_selection){ .size = sizeof(select), .by = BELAY_ADMIN_BY_USER };
	order.timeout = 31ULL * 24 * 3600 * SEC;
	CHECK_FAILS(belay_admin_recall(a, &order, &recalled), -EINVAL, "30 days");
	order.timeout = 0;
	order.flags = 1U << 9;
	CHECK_FAILS(belay_admin_recall(a, &order, &recalled), -EINVAL, "flags");
	order.flags = 0;
	order.escalation = 4;
	CHECK_FAILS(belay_admin_recall(a, &order, &recalled), -EINVAL, "escalation");
	CHECK_FAILS(belay_admin_recall_result(a, &recalled), -EINVAL, "no recall was started");
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Lists                                                                     */

struct page {
	struct bl_list_rows rows;
	union {
		struct bl_account_row account;
		struct bl_grant_row grant;
		struct bl_region_row region;
	} row;
	char later[64];		/* of a daemon that has more to say of each */
};

/* One row on a page, of which @more bytes are not this library's (or are lacking). */
static void send_page(int fd, struct page *p, uint32_t what, uint64_t after, int more)
{
	union bl_packet m;

	fake_recv(fd, &m, BL_LIST);
	CHECK_EQ(m.list.what, what);
	CHECK_EQ(m.list.after, after);
	p->rows.what = what;
	p->rows.count = 1;
	p->rows.row_size = (uint32_t)(bl_row_size(what) + (size_t)more);
	p->rows.after = after + 1;
	fake_send(fd, p, sizeof(p->rows) + p->rows.row_size, BL_LIST, m.msg.serial);
}

static void send_end(int fd, uint32_t what)
{
	struct bl_list_rows end = { .what = what };
	union bl_packet m;

	fake_recv(fd, &m, BL_LIST);
	fake_send(fd, &end, sizeof(end), BL_LIST, m.msg.serial);
}

static int longer_rows;

static void accounts_daemon(int fd)
{
	struct page p = { .row.account = { .account = 1, .parent = 2, .limit_bytes = 3,
					   .usage_bytes = 4, .limit_regions = 5,
					   .usage_regions = 6, .refusals = 7, .grants = 8,
					   .name = "system" } };

	fake_hello(fd);
	memset(p.later, 'x', sizeof(p.later));
	send_page(fd, &p, BL_LIST_ACCOUNTS, 0, longer_rows);
	/* A name that fills its array. */
	memset(p.row.account.name, 'n', sizeof(p.row.account.name));
	send_page(fd, &p, BL_LIST_ACCOUNTS, 1, longer_rows);
	send_end(fd, BL_LIST_ACCOUNTS);
}

static void list_accounts(void)
{
	struct belay_admin_account account = { .size = sizeof(account) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a = open_with(accounts_daemon);
	struct belay_admin_grant grant = { .size = sizeof(grant) };
	int i;

	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_ACCOUNTS, NULL, &list));
	CHECK_FAILS(belay_admin_next_grant(list, &grant), -EINVAL, "other rows");
	CHECK_EQ(belay_admin_next_account(list, &account), 1);
	CHECK_EQ(account.size, sizeof(account));
	CHECK_EQ(account.account, 1);
	CHECK_EQ(account.parent, 2);
	CHECK_EQ(account.limit_bytes, 3);
	CHECK_EQ(account.usage_bytes, 4);
	CHECK_EQ(account.limit_regions, 5);
	CHECK_EQ(account.usage_regions, 6);
	CHECK_EQ(account.refusals, 7);
	CHECK_EQ(account.grants, 8);
	CHECK_STR(account.name, "system");
	CHECK_EQ(belay_admin_next_account(list, &account), 1);
	CHECK_EQ(strlen(account.name), BELAY_ADMIN_NAME - 1);
	for (i = 0; i < 3; i++)
		CHECK_EQ(belay_admin_next_account(list, &account), 0);
	belay_admin_list_free(list);
	close_fake(a);
}

TEST(accounts, "accounts, field by field, page after page; the end stays the end")
{
	list_accounts();
}

TEST(longer, "rows of a newer daemon are longer: what is known comes first")
{
	longer_rows = 64;
	list_accounts();
}

static void grants_daemon(int fd)
{
	struct page p = { .row.grant = {
		.grant = 1, .account = 2, .pid = 3, .uid = 4, .made_at = 5, .limit_bytes = 6,
		.usage_bytes = 7, .pinned_bytes = 8, .tracked_bytes = 9, .usage_regions = 10,
		.sessions = 11, .connected = 12, .account_name = "user/alice", .user = "alice",
		.command = "server", .label = "storage", .user_locked_bytes = 13,
		.memlock_bytes = 14, .uid_now = 15, .holders = 16,
		.others = { 17, 18, 19, 20, 21, 22, 23 }, .user_now = "root",
	} };

	fake_hello(fd);
	send_page(fd, &p, BL_LIST_GRANTS, 0, 0);
	p.row.grant.pid = 0;
	send_page(fd, &p, BL_LIST_GRANTS, 1, 0);
}

TEST(grants, "grants, field by field, with all their processes; a list need not be read to its end")
{
	static const int32_t nobody[BELAY_ADMIN_PIDS];
	struct belay_admin_grant g = { .size = sizeof(g) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a = open_with(grants_daemon);
	int i;

	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list));
	CHECK_EQ(belay_admin_next_grant(list, &g), 1);
	CHECK_EQ(g.grant, 1);
	CHECK_EQ(g.account, 2);
	CHECK_EQ(g.uid, 4);
	CHECK_EQ(g.made_at, 5);
	CHECK_EQ(g.limit_bytes, 6);
	CHECK_EQ(g.usage_bytes, 7);
	CHECK_EQ(g.pinned_bytes, 8);
	CHECK_EQ(g.tracked_bytes, 9);
	CHECK_EQ(g.usage_regions, 10);
	CHECK_EQ(g.sessions, 11);
	CHECK_EQ(g.connected, 12);
	CHECK_EQ(g.user_locked_bytes, 13);
	CHECK_EQ(g.memlock_bytes, 14);
	CHECK_EQ(g.uid_now, 15);
	CHECK_EQ(g.processes, 16);
	CHECK_EQ(g.pids[0], 3);
	for (i = 1; i < BELAY_ADMIN_PIDS; i++)
		CHECK_EQ(g.pids[i], 16 + i);
	CHECK_STR(g.account_name, "user/alice");
	CHECK_STR(g.user, "alice");
	CHECK_STR(g.user_now, "root");
	CHECK_STR(g.command, "server");
	CHECK_STR(g.label, "storage");
	CHECK_EQ(belay_admin_next_grant(list, &g), 1);
	CHECK_MEM(g.pids, nobody, sizeof(nobody));
	belay_admin_list_free(list);
	close_fake(a);
}

static void regions_daemon(int fd)
{
	struct page p = { .row.region = {
		.session = 1, .region = 2, .grant = 3, .addr = 4, .len = 5, .pid = 6, .uid = 7,
		.kind = 8, .flags = 9, .state = 10, .node = -1, .made_at = 12, .request = 13,
		.deadline = 14, .reason = 15, .escalation = 16, .device = 17, .inode = 18,
		.command = "server", .user = "alice", .lost_addr = 19, .lost_len = 20,
		.nodes = 21, .held_bytes = 22, .selected_bytes = 23,
	} };
	struct bl_status s = { .version = "1" };
	union bl_packet m;

	fake_hello(fd);
	send_page(fd, &p, BL_LIST_REGIONS, 0, 0);
	fake_recv(fd, &m, BL_STATUS);
	fake_send(fd, &s, sizeof(s), BL_STATUS, m.msg.serial);
	send_end(fd, BL_LIST_REGIONS);
}

TEST(regions, "regions, field by field; another call may go between two of them")
{
	struct belay_admin_region r = { .size = sizeof(r) };
	struct belay_admin_status s = { .size = sizeof(s) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a = open_with(regions_daemon);

	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_REGIONS, NULL, &list));
	CHECK_OK(belay_admin_get_status(a, &s));
	CHECK_EQ(belay_admin_next_region(list, &r), 1);
	CHECK_EQ(r.session, 1);
	CHECK_EQ(r.region, 2);
	CHECK_EQ(r.grant, 3);
	CHECK_EQ(r.addr, 4);
	CHECK_EQ(r.len, 5);
	CHECK_EQ(r.pid, 6);
	CHECK_EQ(r.uid, 7);
	CHECK_EQ(r.kind, 8);
	CHECK_EQ(r.flags, 9);
	CHECK_EQ(r.state, 10);
	CHECK_EQ(r.node, -1);
	CHECK_EQ(r.made_at, 12);
	CHECK_EQ(r.request, 13);
	CHECK_EQ(r.deadline, 14);
	CHECK_EQ(r.reason, 15);
	CHECK_EQ(r.escalation, 16);
	CHECK_EQ(r.device, 17);
	CHECK_EQ(r.inode, 18);
	CHECK_EQ(r.lost_addr, 19);
	CHECK_EQ(r.lost_len, 20);
	CHECK_EQ(r.nodes, 21);
	CHECK_EQ(r.held_bytes, 22);
	CHECK_EQ(r.selected_bytes, 23);
	CHECK_STR(r.command, "server");
	CHECK_STR(r.user, "alice");
	CHECK_EQ(belay_admin_next_region(list, &r), 0);
	belay_admin_list_free(list);
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Requests that change something                                            */

static struct bl_selection wanted;

static void select_daemon(int fd)
{
	struct bl_recalled done = { .regions = 1, .bytes = 2, .refused = 3, .let_go = 4,
				    .released = 5, .killed = 6, .kept = 7, .text = "so it is" };
	struct bl_list_rows end = { .what = BL_LIST_REGIONS };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	CHECK_MEM(&m.list.select, &wanted, sizeof(wanted));
	fake_send(fd, &end, sizeof(end), BL_LIST, m.msg.serial);
	fake_recv(fd, &m, BL_RECALL);
	CHECK_MEM(&m.recall.select, &wanted, sizeof(wanted));
	CHECK_EQ(m.recall.escalation, BL_KILL);
	/* To the microsecond, never 0. */
	CHECK_EQ(m.recall.timeout_usec, 2);
	CHECK_EQ(m.msg.flags, BL_RECALL_WAIT);
	fake_send(fd, &done, sizeof(done), BL_RECALL, m.msg.serial);
	fake_recv(fd, &m, BL_RECALL);
	CHECK_EQ(m.msg.flags, 0);
	CHECK_EQ(m.recall.timeout_usec, 0);
	fake_send(fd, &done, sizeof(done), BL_RECALL, m.msg.serial);
}

TEST(selection, "lists and recalls select by everything there is; what became of a recall")
{
	struct belay_admin_selection select = {
		.size = sizeof(select), .by = (1U << 10) - 1, .pid = 1, .uid = 2, .node = 3,
		.region = 4, .grant = 5, .block = 6, .device = 7, .inode = 8, .made_before = 9,
		.account = "user/alice",
	};
	struct belay_admin_order order = {
		.size = sizeof(order), .select = &select, .timeout = 1001,
		.escalation = BELAY_ADMIN_KILL,
	};
	struct belay_admin_recalled done = { .size = sizeof(done) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a;

	wanted = (struct bl_selection){
		.by = (1U << 10) - 1, .pid = 1, .uid = 2, .node = 3, .region = 4, .grant = 5,
		.block = 6, .device = 7, .inode = 8, .made_before = 9, .account = "user/alice",
	};
	a = open_with(select_daemon);
	CHECK_OK(belay_admin_list_new(a, BELAY_ADMIN_REGIONS, &select, &list));
	belay_admin_list_free(list);
	CHECK_OK(belay_admin_recall(a, &order, &done));
	CHECK_EQ(done.regions, 1);
	CHECK_EQ(done.bytes, 2);
	CHECK_EQ(done.refused, 3);
	CHECK_EQ(done.let_go, 4);
	CHECK_EQ(done.released, 5);
	CHECK_EQ(done.killed, 6);
	CHECK_EQ(done.kept, 7);
	CHECK_STR(done.text, "so it is");
	order.flags = BELAY_ADMIN_NO_WAIT;
	order.timeout = 0;
	CHECK_OK(belay_admin_recall(a, &order, &done));
	close_fake(a);
}

static void limit_daemon(int fd)
{
	struct bl_ok ok = { .text = "as you like" };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIMIT);
	CHECK_STR(m.limit.account, "user/alice");
	CHECK_EQ(m.limit.set, BL_LIMIT_SET_BYTES | BL_LIMIT_SET_REGIONS);
	CHECK_EQ(m.limit.limit_bytes, 64 * MIB);
	CHECK_EQ(m.limit.limit_regions, UINT64_MAX);
	fake_send(fd, &ok, sizeof(ok), BL_OK, m.msg.serial);
	fake_recv(fd, &m, BL_RELOAD);
	fake_send(fd, &ok, sizeof(ok), BL_OK, m.msg.serial);
	fake_recv(fd, &m, BL_RELOAD);
	fake_error(fd, m.msg.serial, EINVAL, "belayd.conf:3: lots");
	fake_recv(fd, &m, BL_RELOAD);
	fake_send(fd, &ok, sizeof(ok), BL_OK, m.msg.serial);
}

TEST(changes, "limits and reloading; after a refusal, in belayd's words, the handle goes on")
{
	struct belay_admin_limit limit = {
		.size = sizeof(limit), .account = "user/alice",
		.set = BELAY_ADMIN_LIMIT_BYTES | BELAY_ADMIN_LIMIT_REGIONS,
		.limit_bytes = 64 * MIB, .limit_regions = UINT64_MAX,
	};
	struct belay_admin *a = open_with(limit_daemon);
	const char *text = NULL;

	CHECK_OK(belay_admin_set_limit(a, &limit));
	CHECK_OK(belay_admin_reload(a, &text));
	CHECK_STR(text, "as you like");
	CHECK_FAILS(belay_admin_reload(a, NULL), -EINVAL, "belayd.conf:3: lots");
	CHECK_OK(belay_admin_reload(a, NULL));
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Recalls that are started                                                  */

static void slow_daemon(int fd)
{
	struct bl_recalled done = { .regions = 3, .let_go = 3 };
	struct bl_status s = { .version = "1" };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_RECALL);
	CHECK_EQ(m.msg.flags, BL_RECALL_WAIT);
	usleep(300000);
	fake_send(fd, &done, sizeof(done), BL_RECALL, m.msg.serial);
	fake_recv(fd, &m, BL_STATUS);
	fake_send(fd, &s, sizeof(s), BL_STATUS, m.msg.serial);
	fake_recv(fd, &m, BL_RECALL);
	fake_error(fd, m.msg.serial, ENOENT, "there is no grant 5");
}

TEST(started, "a recall is started, polled for and its result fetched; meanwhile the handle is busy")
{
	struct belay_admin_selection select = {
		.size = sizeof(select), .by = BELAY_ADMIN_BY_GRANT, .grant = 5,
	};
	struct belay_admin_order order = { .size = sizeof(order), .select = &select };
	struct belay_admin_recalled done = { .size = sizeof(done) };
	struct belay_admin_status s = { .size = sizeof(s) };
	struct belay_admin_list *list = NULL;
	struct belay_admin *a = open_with(slow_daemon);
	struct pollfd p = { .fd = belay_admin_get_fd(a), .events = POLLIN };

	CHECK_GE(p.fd, 3);
	CHECK_OK(belay_admin_recall_start(a, &order));
	CHECK_EQ(belay_admin_recall_result(a, &done), 0);
	CHECK_FAILS(belay_admin_get_status(a, &s), -EBUSY, "recall");
	CHECK_FAILS(belay_admin_recall_start(a, &order), -EBUSY, "recall");
	CHECK_FAILS(belay_admin_recall(a, &order, &done), -EBUSY, "recall");
	CHECK_FAILS(belay_admin_list_new(a, BELAY_ADMIN_GRANTS, NULL, &list), -EBUSY, "recall");
	CHECK_FAILS(belay_admin_reload(a, NULL), -EBUSY, "recall");
	CHECK_EQ(belay_admin_get_fd(a), p.fd);
	CHECK_EQ(poll(&p, 1, 20000), 1);
	done.size = 1;
	CHECK_FAILS(belay_admin_recall_result(a, &done), -EINVAL, "size");
	done.size = sizeof(done);
	CHECK_EQ(belay_admin_recall_result(a, &done), 1);
	CHECK_EQ(done.let_go, 3);
	CHECK_FAILS(belay_admin_recall_result(a, &done), -EINVAL, "no recall");
	CHECK_OK(belay_admin_get_status(a, &s));
	CHECK_OK(belay_admin_recall_start(a, &order));
	CHECK_EQ(poll(&p, 1, 20000), 1);
	CHECK_FAILS(belay_admin_recall_result(a, &done), -ENOENT, "there is no grant 5");
	CHECK_FAILS(belay_admin_recall_result(a, &done), -EINVAL, "no recall");
	close_fake(a);
}

/* ------------------------------------------------------------------------ */
/* Processes and descriptors                                                 */

static struct belay_admin *inherited;
static struct belay_admin_list *inherited_list;

static void use_inherited(void *arg)
{
	struct belay_admin *a = inherited;
	struct belay_admin_status s = { .size = sizeof(s) };
	struct belay_admin_account account = { .size = sizeof(account) };

	CHECK_FAILS(belay_admin_get_status(a, &s), -EXDEV, "parent");
	CHECK_FAILS(belay_admin_get_fd(a), -EXDEV, "parent");
	CHECK_FAILS(belay_admin_recall_result(a, NULL), -EXDEV, "parent");
	CHECK_FAILS(belay_admin_next_account(inherited_list, &account), -EXDEV, "parent");
	belay_admin_list_free(inherited_list);
	belay_admin_close(a);
}

TEST(child, "a forked child may not use the handle; its copy goes, the parent's stays")
{
	struct belay_admin_account account = { .size = sizeof(account) };

	inherited = open_with(accounts_daemon);
	CHECK_OK(belay_admin_list_new(inherited, BELAY_ADMIN_ACCOUNTS, NULL, &inherited_list));
	tap_join(tap_spawn(use_inherited, NULL));
	CHECK_EQ(belay_admin_next_account(inherited_list, &account), 1);
	CHECK_EQ(belay_admin_next_account(inherited_list, &account), 1);
	CHECK_EQ(belay_admin_next_account(inherited_list, &account), 0);
	belay_admin_list_free(inherited_list);
	close_fake(inherited);
}

TEST(descriptors, "the descriptor is not one of the first three, not inherited, and goes with the handle")
{
	struct belay_admin *a;
	int fd;

	fake_start(quiet_daemon);
	close(0);
	a = open_fake();
	fd = belay_admin_get_fd(a);
	CHECK_GE(fd, 3);
	CHECK_EQ(fcntl(0, F_GETFD), -1);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close_fake(a);
	CHECK_EQ(fcntl(fd, F_GETFD), -1);
}

TEST(environment, "BELAY_SOCKET says where belayd is, unless the program does")
{
	struct belay_admin_options opt = { .size = sizeof(opt), .label = FAKE_LABEL };
	struct belay_admin *a;

	fake_start(quiet_daemon);
	setenv("BELAY_SOCKET", fake.path, 1);
	CHECK_OK(belay_admin_open(&a, &opt));
	close_fake(a);
	opt.socket = "/tmp/belay-no-such-socket";
	CHECK_FAILS(belay_admin_open(&a, &opt), -ENOENT,
		    "belayd is not running: nothing answers at /tmp/belay-no-such-socket");
	belay_admin_close(a);
}

TEST(nothing, "closing and freeing nothing does nothing; the version is the release's")
{
	belay_admin_close(NULL);
	belay_admin_list_free(NULL);
	CHECK_STR(belay_admin_error(NULL), "out of memory");
	CHECK_STR(belay_admin_version(), BELAY_VERSION);
}

/* A struct of the first release, before a library whose own has a field more. */
struct first {
	size_t size;
	uint64_t value;
};
struct grown {
	size_t size;
	uint64_t value;
	uint64_t more;
};

TEST(grown, "a program of the first release goes on working after a struct has grown")
{
	struct {
		struct first given;
		uint64_t behind;
	} p = { .given = { .size = sizeof(struct first), .value = 1 }, .behind = 77 };
	struct grown mine = { .more = 5 };
	struct belay_admin *a = calloc(1, sizeof(*a));

	CHECK_OK(bl_admin_take(a, "it", &p.given, &mine, sizeof(mine), sizeof(p.given)));
	CHECK_EQ(mine.value, 1);
	CHECK_EQ(mine.more, 0);
	mine.value = 2;
	mine.more = 3;
	CHECK_OK(bl_admin_check_size(a, &p.given, sizeof(p.given)));
	bl_admin_give(&p.given, &mine, sizeof(mine));
	CHECK_EQ(p.given.value, 2);
	CHECK_EQ(p.given.size, sizeof(p.given));
	CHECK_EQ(p.behind, 77);
	/* Shorter than any release has it. */
	p.given.size--;
	CHECK_EQ(bl_admin_take(a, "it", &p.given, &mine, sizeof(mine), sizeof(struct first)), -EINVAL);
	CHECK_EQ(bl_admin_check_size(a, &p.given, sizeof(struct first)), -EINVAL);
	free(a);
}

TAP_MAIN()
