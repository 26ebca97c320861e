// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* Tables and JSON, whole, as belayctl prints them. */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/belay.h>

#include "tests/lib/tap.h"
#include "tests/unit/ctl_fake.h"

#define MIB	(1ULL << 20)
#define GIB	(1ULL << 30)
#define SEC	1000000000ULL

static void status_answer(struct bl_status *s)
{
	*s = (struct bl_status){
		.version = "0.1.0", .pid = 412, .abi_version = 0,
		.started_at = NOW_NS - 65 * SEC,
		.clients = 3, .accounts = 2, .grants = 1, .sessions = 2, .regions = 12,
		.charged_bytes = 1280 * MIB, .pinned_bytes = GIB, .tracked_bytes = 256 * MIB,
		.limit_bytes = 4 * GIB, .open_requests = 1, .refusals = 5,
	};
}

static void status_daemon(int fd)
{
	struct bl_status s;
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_STATUS);
	status_answer(&s);
	fake_send(fd, &s, sizeof(s), BL_STATUS, m.msg.serial);
}

static void unlimited_daemon(int fd)
{
	struct bl_status s;
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_STATUS);
	status_answer(&s);
	s.limit_bytes = BELAY_UNLIMITED;
	fake_send(fd, &s, sizeof(s), BL_STATUS, m.msg.serial);
}

/* 400 MiB more are pinned than belay pins: 256 MiB are the tracked ones. */
static void write_vmstat(void)
{
	static char path[64];
	unsigned long pages = (unsigned long)((GIB + 400 * MIB) / (uint64_t)getpagesize());
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/belayctl-vmstat.%d", getpid());
	f = fopen(path, "w");
	fprintf(f, "nr_free_pages 12345\nnr_foll_pin_acquired %lu\nnr_foll_pin_released 1000\n"
		"nr_dirty 3\n", pages + 1000);
	fclose(f);
	fake_vmstat = path;
}

/* The module holds 16 MiB more than are pinned regions: prepared ones. */
static void write_sysfs(void)
{
	static const char *const zeroes[] = { "soft_dirty", "release", "migrate", "exclusive",
					      "other" };
	static char dir[64];
	char command[512];
	size_t i;

	snprintf(dir, sizeof(dir), "/tmp/belayctl-sysfs.%d", getpid());
	snprintf(command, sizeof(command), "mkdir -p %s/events && cd %s && echo %llu > held_bytes && "
		 "cd events && echo 10 > seen_unmap && echo 20 > seen_clear && "
		 "echo 12 > seen_protection && echo 12 > filtered && echo 18 > verified_same && "
		 "echo 1 > lost && echo 9 > refused", dir, dir, (unsigned long long)(GIB + 16 * MIB));
	CHECK_EQ(system(command), 0);
	for (i = 0; i < sizeof(zeroes) / sizeof(*zeroes); i++) {
		snprintf(command, sizeof(command), "echo 0 > %s/events/seen_%s", dir, zeroes[i]);
		CHECK_EQ(system(command), 0);
	}
	fake_sysfs = dir;
}

static void remove_sysfs(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", fake_sysfs);
	CHECK_EQ(system(command), 0);
}

TEST(status_module, "status: what the module holds and has seen comes from the module itself")
{
	struct run *r;

	write_vmstat();
	write_sysfs();
	r = run_against(status_daemon, "");
	CHECK(strstr(r->out, "Unknown   about 128 MiB pinned by others"));
	CHECK(strstr(r->out, "Changes   42 announced by the kernel since then: 12 could not change "
			     "a page, 18 left the same pages; 1 region lost\n"));
	/* belayd knows of 5: the others were refused to processes that are gone. */
	CHECK(strstr(r->out, "Refusals  9 since the module was loaded\n"));
	r = run_against(status_daemon, "status --json");
	CHECK(strstr(r->out, "  \"refusals\": 9,\n"));
	CHECK(strstr(r->out, "  \"events\": {\n    \"seen\": 42,\n    \"filtered\": 12,\n"
			     "    \"verified_same\": 18,\n    \"lost\": 1\n  }\n"));
	remove_sysfs();
	unlink(fake_vmstat);
}

TEST(status, "status: one screen")
{
	struct run *r;

	write_vmstat();
	r = run_against(status_daemon, "");
	unlink(fake_vmstat);
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r,
		"belayd 0.1.0, pid 412, running for 1m05s; kernel module ABI 0\n"
		"\n"
		"Memory    1.25 GiB of 4 GiB held (31%)\n"
		"          1 GiB pinned by belay, 256 MiB tracked (held by other drivers)\n"
		"Unknown   about 144 MiB pinned by others that belay does not know of\n"
		"Holders   1 grant, 2 sessions, 12 regions; 2 accounts, 3 clients connected\n"
		"Requests  1 open, 0 overdue\n"
		"Refusals  5 since the module was loaded\n");
}

TEST(status_bytes, "status --bytes: exact; without a system limit and a /proc/vmstat that tells")
{
	struct run *r = run_against(unlimited_daemon, "status --bytes");

	CHECK_OUTPUT(r,
		"belayd 0.1.0, pid 412, running for 1m05s; kernel module ABI 0\n"
		"\n"
		"Memory    1342177280 held; the system has no limit\n"
		"          1073741824 pinned by belay, 268435456 tracked (held by other drivers)\n"
		"Unknown   this kernel does not say how much is pinned by others\n"
		"Holders   1 grant, 2 sessions, 12 regions; 2 accounts, 3 clients connected\n"
		"Requests  1 open, 0 overdue\n"
		"Refusals  5 since the module was loaded\n");
}

TEST(status_json, "status --json")
{
	struct run *r;

	write_vmstat();
	r = run_against(status_daemon, "status --json");
	unlink(fake_vmstat);
	CHECK_OUTPUT(r,
		"{\n"
		"  \"version\": \"0.1.0\",\n"
		"  \"pid\": 412,\n"
		"  \"started_at_ns\": 35000000000,\n"
		"  \"uptime_ns\": 65000000000,\n"
		"  \"abi_version\": 0,\n"
		"  \"clients\": 3,\n"
		"  \"accounts\": 2,\n"
		"  \"grants\": 1,\n"
		"  \"sessions\": 2,\n"
		"  \"regions\": 12,\n"
		"  \"charged_bytes\": 1342177280,\n"
		"  \"pinned_bytes\": 1073741824,\n"
		"  \"tracked_bytes\": 268435456,\n"
		"  \"limit_bytes\": 4294967296,\n"
		"  \"open_requests\": 1,\n"
		"  \"overdue_requests\": 0,\n"
		"  \"refusals\": 5,\n"
		"  \"kernel_pinned_bytes\": 1493172224,\n"
		"  \"others_pinned_bytes\": 419430400,\n"
		"  \"unknown_pinned_bytes\": 150994944,\n"
		"  \"events\": null\n"
		"}\n");
}

TEST(status_json_null, "status --json: what there is not is null")
{
	struct run *r = run_against(unlimited_daemon, "status --json");

	CHECK(strstr(r->out, "\"limit_bytes\": null"));
	CHECK(strstr(r->out, "\"unknown_pinned_bytes\": null"));
}

TEST(bar, "status shows a bar on a terminal")
{
	char *argv[] = { (char *)"belayctl", NULL }, buf[4096];
	struct ctl c;
	int master;
	FILE *tty = open_terminal(&master);

	fake_start(status_daemon);
	ctl_init(&c, tty, tty);
	c.socket = fake.path;
	CHECK_EQ(ctl_main(&c, 1, argv), CTL_OK);
	tap_join(fake.pid);
	fclose(tty);
	read_terminal(master, buf, sizeof(buf));
	CHECK(strstr(buf, "[#########.....................] 1.25 GiB of 4 GiB held"));
}

/* Lists in two answers, each with a row. */
struct page {
	struct bl_list_rows rows;
	union {
		struct bl_account_row account;
		struct bl_grant_row grant;
		struct bl_region_row region;
	} row;
};

static void send_page(int fd, struct page *p, uint32_t what, uint64_t after, uint64_t serial)
{
	p->rows.what = what;
	p->rows.count = 1;
	p->rows.row_size = (uint32_t)bl_row_size(what);
	p->rows.after = after;
	p->rows.reserved = 0;
	fake_send(fd, p, sizeof(p->rows) + p->rows.row_size, BL_LIST, serial);
}

static void send_end(int fd, uint32_t what, uint64_t serial)
{
	struct bl_list_rows end = { .what = what };

	fake_send(fd, &end, sizeof(end), BL_LIST, serial);
}

static void list_daemon(int fd, const struct page *pages, int n, uint32_t what)
{
	union bl_packet m;
	struct page p;
	int i;

	for (i = 0; i < n; i++) {
		fake_recv(fd, &m, BL_LIST);
		CHECK_EQ(m.list.what, what);
		CHECK_EQ(m.list.after, (uint64_t)i);
		p = pages[i];
		send_page(fd, &p, what, (uint64_t)i + 1, m.msg.serial);
	}
	fake_recv(fd, &m, BL_LIST);
	send_end(fd, what, m.msg.serial);
}

static void accounts_daemon(int fd)
{
	const struct page pages[] = {
		{ .row.account = { .account = 1, .limit_bytes = 4 * GIB, .usage_bytes = 1280 * MIB,
				   .limit_regions = BELAY_UNLIMITED, .usage_regions = 12,
				   .refusals = 2, .name = "system" } },
		{ .row.account = { .account = 2, .parent = 1, .limit_bytes = 1280 * MIB,
				   .usage_bytes = 1280 * MIB, .limit_regions = 1000,
				   .usage_regions = 12, .refusals = 3, .grants = 1,
				   .name = "user/alice" } },
	};

	fake_hello(fd);
	list_daemon(fd, pages, 2, BL_LIST_ACCOUNTS);
}

static void grants_daemon(int fd)
{
	const struct page pages[] = {
		{ .row.grant = { .grant = 3, .account = 2, .pid = 1234, .uid = 1000,
				 .made_at = NOW_NS - 5 * SEC, .limit_bytes = 1280 * MIB,
				 .usage_bytes = 1280 * MIB, .pinned_bytes = GIB,
				 .tracked_bytes = 256 * MIB, .usage_regions = 12, .sessions = 2,
				 .memlock_bytes = 4 * GIB, .holders = 1, .uid_now = 1000,
				 .connected = 1, .user_locked_bytes = 8192, .account_name = "user/alice", .user = "alice",
				 .command = "rdma-server", .label = "storage" } },
		{ .row.grant = { .grant = 10, .account = 2, .pid = 77, .uid = 1001,
				 .made_at = NOW_NS - 90 * SEC, .limit_bytes = BELAY_UNLIMITED,
				 .sessions = 1, .account_name = "user/1001",
				 .holders = 4, .others = { 79, 80 }, .uid_now = 0, .user_now = "root",
				 .memlock_bytes = 8 * MIB,
				 .command = "a b\033[31m\n", .label = "\xff\xfe" } },
	};

	fake_hello(fd);
	list_daemon(fd, pages, 2, BL_LIST_GRANTS);
}

static void regions_daemon(int fd)
{
	const struct page pages[] = {
		{ .row.region = { .session = 3, .region = 262145, .grant = 3, .addr = 0x7f0000000000,
				  .len = 64 * MIB, .pid = 1234, .uid = 1000, .kind = BELAY_PINNED,
				  .flags = BELAY_REGION_WRITE, .node = 0, .nodes = 0xb,
				  .held_bytes = 64 * MIB, .selected_bytes = 64 * MIB,
				  .made_at = NOW_NS - 5 * SEC, .command = "rdma-server",
				  .user = "alice" } },
		{ .row.region = { .session = 3, .region = 17825809, .grant = 3, .addr = 0x7f0010000000,
				  .len = 4096, .pid = 1234, .uid = 1000, .kind = BELAY_TRACKED,
				  .state = BELAY_WORD_RECALLED, .node = -1,
				  .flags = BELAY_REGION_TRANSIENT, .held_bytes = 4096,
				  .selected_bytes = 4096, .user = "alice",
				  .made_at = NOW_NS - 4 * SEC, .request = 9,
				  .deadline = NOW_NS + 7 * SEC, .reason = BELAY_REASON_ADMIN,
				  .escalation = BL_KILL, .device = makedev(8, 1), .inode = 99,
				  .command = "rdma-server" } },
		{ .row.region = { .session = 4, .region = 18350080, .grant = 3, .addr = 0x7f0020000000,
				  .len = 16384, .pid = 1234, .uid = 1000, .kind = BELAY_PINNED,
				  .state = BELAY_WORD_LOST, .node = 1, .nodes = 2,
				  .lost_addr = 0x7f0020001000, .lost_len = 4096,
				  .held_bytes = 12288, .selected_bytes = 8192,
				  .made_at = NOW_NS - 3 * SEC, .request = 10,
				  .deadline = NOW_NS - 3 * SEC, .reason = BELAY_REASON_UNMAPPED,
				  .escalation = BL_KEEP, .command = "rdma-server" } },
	};

	fake_hello(fd);
	list_daemon(fd, pages, 3, BL_LIST_REGIONS);
}

static void empty_daemon(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	send_end(fd, m.list.what, m.msg.serial);
}

TEST(accounts, "list accounts, as a table and as JSON")
{
	struct run *r = run_against(accounts_daemon, "list accounts");

	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r,
		"ACCOUNT        USED    LIMIT USE% REGIONS REGION-LIMIT GRANTS REFUSALS\n"
		"system     1.25 GiB    4 GiB  31%      12    unlimited      0        2\n"
		"user/alice 1.25 GiB 1.25 GiB 100%      12         1000      1        3\n");
	r = run_against(accounts_daemon, "list accounts --json");
	CHECK_OUTPUT(r,
		"{\n"
		"  \"accounts\": [\n"
		"    {\n"
		"      \"account\": 1,\n"
		"      \"name\": \"system\",\n"
		"      \"parent\": null,\n"
		"      \"usage_bytes\": 1342177280,\n"
		"      \"limit_bytes\": 4294967296,\n"
		"      \"usage_regions\": 12,\n"
		"      \"limit_regions\": null,\n"
		"      \"grants\": 0,\n"
		"      \"refusals\": 2\n"
		"    },\n"
		"    {\n"
		"      \"account\": 2,\n"
		"      \"name\": \"user/alice\",\n"
		"      \"parent\": 1,\n"
		"      \"usage_bytes\": 1342177280,\n"
		"      \"limit_bytes\": 1342177280,\n"
		"      \"usage_regions\": 12,\n"
		"      \"limit_regions\": 1000,\n"
		"      \"grants\": 1,\n"
		"      \"refusals\": 3\n"
		"    }\n"
		"  ]\n"
		"}\n");
}

TEST(grants, "list shows grants; what a process calls itself cannot upset the terminal")
{
	struct run *r = run_against(grants_daemon, "list");

	CHECK_OUTPUT(r,
		"GRANT USER             PID COMMAND         LABEL        USED     LIMIT PINNED TRACKED MEMLOCK REGIONS ACCOUNT    CONNECTED   AGE\n"
		"    3 alice           1234 rdma-server     storage  1.25 GiB  1.25 GiB  1 GiB 256 MiB   4 GiB      12 user/alice       1/2    5s\n"
		"   10 1001,root 77,79,80+1 a b\\x1b[31m\\x0a \\xff\\xfe      0 B unlimited    0 B     0 B   8 MiB       0 user/1001        0/1 1m30s\n");
}

TEST(grants_json, "list --json keeps grants apart from what they hold")
{
	struct run *r = run_against(grants_daemon, "--json list grants");

	CHECK_OUTPUT(r,
		"{\n"
		"  \"grants\": [\n"
		"    {\n"
		"      \"grant\": 3,\n"
		"      \"account\": 2,\n"
		"      \"account_name\": \"user/alice\",\n"
		"      \"pid\": 1234,\n"
		"      \"uid\": 1000,\n"
		"      \"user\": \"alice\",\n"
		"      \"command\": \"rdma-server\",\n"
		"      \"label\": \"storage\",\n"
		"      \"made_at_ns\": 95000000000,\n"
		"      \"usage_bytes\": 1342177280,\n"
		"      \"limit_bytes\": 1342177280,\n"
		"      \"pinned_bytes\": 1073741824,\n"
		"      \"tracked_bytes\": 268435456,\n"
		"      \"usage_regions\": 12,\n"
		"      \"sessions\": 2,\n"
		"      \"connected\": 1,\n"
		"      \"user_locked_bytes\": 8192,\n"
		"      \"memlock_bytes\": 4294967296,\n"
		"      \"pids\": [\n"
		"        1234\n"
		"      ],\n"
		"      \"processes\": 1,\n"
		"      \"uid_now\": 1000\n"
		"    },\n"
		"    {\n"
		"      \"grant\": 10,\n"
		"      \"account\": 2,\n"
		"      \"account_name\": \"user/1001\",\n"
		"      \"pid\": 77,\n"
		"      \"uid\": 1001,\n"
		"      \"user\": \"\",\n"
		"      \"command\": \"a b\\u001B[31m\\n\",\n"
		"      \"label\": \"??\",\n"
		"      \"made_at_ns\": 10000000000,\n"
		"      \"usage_bytes\": 0,\n"
		"      \"limit_bytes\": null,\n"
		"      \"pinned_bytes\": 0,\n"
		"      \"tracked_bytes\": 0,\n"
		"      \"usage_regions\": 0,\n"
		"      \"sessions\": 1,\n"
		"      \"connected\": 0,\n"
		"      \"user_locked_bytes\": 0,\n"
		"      \"memlock_bytes\": 8388608,\n"
		"      \"pids\": [\n"
		"        77,\n"
		"        79,\n"
		"        80\n"
		"      ],\n"
		"      \"processes\": 4,\n"
		"      \"uid_now\": 0\n"
		"    }\n"
		"  ]\n"
		"}\n");
}

TEST(regions, "list regions: names to recall by, state, and the open request")
{
	struct run *r = run_against(regions_daemon, "list regions");

	CHECK_OUTPUT(r,
		"  REGION GRANT USER   PID COMMAND     KIND              ACCESS   SIZE   HELD        ADDRESS NODES FILE   STATE        AGE REQUEST\n"
		"  262145     3 alice 1234 rdma-server pinned            write  64 MiB 64 MiB 0x7f0000000000 0-1,3 -      valid         5s -\n"
		"17825809     3 alice 1234 rdma-server tracked,transient read    4 KiB  4 KiB 0x7f0010000000     - 8:1/99 recalled      4s admin, kill in 7s\n"
		"18350080     3 1000  1234 rdma-server pinned            read   16 KiB  8 KiB 0x7f0020000000     1 -      lost (4 KiB)  3s unmapped, overdue for 3s\n");
}

TEST(regions_json, "list regions --json")
{
	struct run *r = run_against(regions_daemon, "list regions --json");

	CHECK(strstr(r->out,
		"    {\n"
		"      \"region\": 17825809,\n"
		"      \"session\": 3,\n"
		"      \"grant\": 3,\n"
		"      \"pid\": 1234,\n"
		"      \"uid\": 1000,\n"
		"      \"user\": \"alice\",\n"
		"      \"command\": \"rdma-server\",\n"
		"      \"kind\": \"tracked\",\n"
		"      \"write\": false,\n"
		"      \"transient\": true,\n"
		"      \"address\": 139638245163008,\n"
		"      \"length_bytes\": 4096,\n"
		"      \"held_bytes\": 4096,\n"
		"      \"selected_bytes\": 4096,\n"
		"      \"state\": \"recalled\",\n"
		"      \"lost_address\": null,\n"
		"      \"lost_bytes\": 0,\n"
		"      \"node\": null,\n"
		"      \"nodes\": [],\n"
		"      \"device\": 2049,\n"
		"      \"inode\": 99,\n"
		"      \"made_at_ns\": 96000000000,\n"
		"      \"request\": {\n"
		"        \"request\": 9,\n"
		"        \"reason\": \"admin\",\n"
		"        \"escalation\": \"kill\",\n"
		"        \"deadline_ns\": 107000000000\n"
		"      }\n"
		"    },\n"));
	CHECK(strstr(r->out, "\"request\": null"));
}

/* Without headings, libsmartcols makes columns narrower since 2.41. */
static void make_blanks_single(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (*text != ' ' || text[1] != ' ')
			*to++ = *text;
	*to = 0;
}

TEST(headings, "--no-headings and --bytes are for scripts")
{
	struct run *r = run_against(accounts_daemon, "list accounts --no-headings --bytes");

	make_blanks_single(r->out);
	CHECK_OUTPUT(r,
		"system 1342177280 4294967296 31% 12 unlimited 0 2\n"
		"user/alice 1342177280 1342177280 100% 12 1000 1 3\n");
}

TEST(empty, "an empty list says so to people, and is empty to programs")
{
	struct run *r = run_against(empty_daemon, "list");

	CHECK_EQ(r->status, CTL_OK);
	CHECK_STR(r->out, "");
	CHECK_STR(r->err, "No process has a grant.\n");
	fake_own_only = true;
	CHECK_STR(run_against(empty_daemon, "list")->err, "No process of yours has a grant.\n");
	fake_own_only = false;
	r = run_against(empty_daemon, "list --no-headings");
	CHECK_STR(r->out, "");
	CHECK_STR(r->err, "");
	r = run_against(empty_daemon, "list regions --json");
	CHECK_OUTPUT(r, "{\n  \"regions\": []\n}\n");
	CHECK_STR(r->err, "");
}

TEST(full, "output that cannot be written is a failure")
{
	char *argv[] = { (char *)"belayctl", (char *)"--help", NULL };
	FILE *full = fopen("/dev/full", "w"), *null = fopen("/dev/null", "w");
	struct ctl c;

	ctl_init(&c, full, null);
	CHECK_EQ(ctl_main(&c, 2, argv), CTL_FAILED);
	argv[1] = NULL;
	fake_start(status_daemon);
	ctl_init(&c, full, null);
	c.socket = fake.path;
	CHECK_EQ(ctl_main(&c, 1, argv), CTL_FAILED);
	tap_join(fake.pid);
	fclose(full);
	fclose(null);
}

static bool has_grant;

static void filter_daemon(int fd)
{
	struct page page = { .row.grant = { .grant = 5 } };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	CHECK_EQ(m.list.what, BL_LIST_REGIONS);
	CHECK_EQ(m.list.select.by, BL_BY_USER | BL_BY_PROCESS | BL_BY_GRANT);
	CHECK_EQ(m.list.select.uid, 0);
	CHECK_EQ(m.list.select.pid, getppid());
	CHECK_EQ(m.list.select.grant, 5);
	send_end(fd, BL_LIST_REGIONS, m.msg.serial);
	/* Nothing: is there such a grant? One row is enough to know. */
	fake_recv(fd, &m, BL_LIST);
	CHECK_EQ(m.list.what, BL_LIST_GRANTS);
	CHECK_EQ(m.list.select.by, BL_BY_GRANT);
	CHECK_EQ(m.list.select.grant, 5);
	if (has_grant)
		send_page(fd, &page, BL_LIST_GRANTS, 1, m.msg.serial);
	else
		send_end(fd, BL_LIST_GRANTS, m.msg.serial);
}

TEST(filters, "--user, --pid and --grant go to the daemon; uid 0 is a user")
{
	char line[80];

	snprintf(line, sizeof(line), "list regions --user root --pid %d --grant 5", getpid());
	has_grant = true;
	CHECK_RUN(run_against(filter_daemon, line),
		  CTL_OK, "Nothing matches this selection.\n");
	has_grant = false;
	CHECK_RUN(run_against(filter_daemon, line), CTL_NOT_FOUND, "there is no grant 5");
}

TEST(no_such, "a process or a grant that there is not has the status of one, an idle one has not")
{
	char line[80];
	struct run *r;
	pid_t pid = CHECK_SYS(fork());

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	snprintf(line, sizeof(line), "list --pid %d", pid);
	CHECK_RUN(run_against(empty_daemon, line), CTL_NOT_FOUND, "there is no process");
	r = run_against(empty_daemon, "list --pid 1");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_STR(r->err, "Nothing matches this selection.\n");
}

static struct bl_selection wanted;

static void select_daemon(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIST);
	CHECK_EQ(m.list.what, BL_LIST_REGIONS);
	CHECK_MEM(&m.list.select, &wanted, sizeof(wanted));
	send_end(fd, BL_LIST_REGIONS, m.msg.serial);
	/* Nothing: of a region that is named, that is all to be known. */
}

static void select_recall_daemon(int fd)
{
	struct bl_recalled nothing = { .regions = 1 };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_RECALL);
	CHECK_MEM(&m.recall.select, &wanted, sizeof(wanted));
	fake_send(fd, &nothing, sizeof(nothing), BL_RECALL, m.msg.serial);
}

/* The same words select for a list and for a recall. */
static void selects(const char *words, const struct bl_selection *s)
{
	char line[160];

	wanted = *s;
	snprintf(line, sizeof(line), "list regions %s", words);
	CHECK_RUN(run_against(select_daemon, line), CTL_OK, "Nothing matches this selection.");
	snprintf(line, sizeof(line), "recall %s", words);
	CHECK_EQ(run_against(select_recall_daemon, line)->status, CTL_OK);
}

TEST(one_selection, "what list selects by, recall selects by, with the same options")
{
	struct stat st;

	CHECK_EQ(stat("/proc/self/exe", &st), 0);
	selects("--node 0", &(struct bl_selection){ .by = BL_BY_NODE });
	selects("--block 32", &(struct bl_selection){ .by = BL_BY_BLOCK, .block = 32 });
	selects("--file /proc/self/exe",
		&(struct bl_selection){ .by = BL_BY_FILE, .device = st.st_dev, .inode = st.st_ino });
	selects("--older 2s", &(struct bl_selection){ .by = BL_BY_AGE,
						      .made_before = NOW_NS - 2 * SEC });
	selects("--user root", &(struct bl_selection){ .by = BL_BY_USER });
	selects("--pid 1", &(struct bl_selection){ .by = BL_BY_PROCESS, .pid = 1 });
	selects("--account user/alice", &(struct bl_selection){ .by = BL_BY_ACCOUNT,
								.account = "user/alice" });
	selects("--lasting", &(struct bl_selection){ .by = BL_BY_LASTING });
	selects("--transient", &(struct bl_selection){ .by = BL_BY_TRANSIENT });
	selects("--user root --node 0 --transient",
		&(struct bl_selection){ .by = BL_BY_USER | BL_BY_NODE | BL_BY_TRANSIENT });
	wanted = (struct bl_selection){ .by = BL_BY_REGION, .region = 5 };
	CHECK_EQ(run_against(select_recall_daemon, "recall --region 5")->status, CTL_OK);
	CHECK_RUN(run_against(select_daemon, "list --region 5"), CTL_NOT_FOUND,
		  "there is no region 5");
	CHECK_RUN(run("recall --lasting --transient"), CTL_USAGE, "exclude each other");
	CHECK_RUN(run("recall --node 0 --node 0"), CTL_USAGE, "--node is given twice");
	CHECK_RUN(run("recall --file /nonexistent"), CTL_NOT_FOUND, "/nonexistent");
}

TEST(selections, "a place, a file, an age or a duration chooses regions, and lists those unless told otherwise")
{
	struct stat st;

	wanted = (struct bl_selection){ .by = BL_BY_NODE | BL_BY_TRANSIENT };
	CHECK_RUN(run_against(select_daemon, "list --node 0 --transient"), CTL_OK,
		  "Nothing matches this selection.");
	wanted = (struct bl_selection){ .by = BL_BY_BLOCK | BL_BY_LASTING, .block = 32 };
	CHECK_RUN(run_against(select_daemon, "list regions --block 32 --lasting"), CTL_OK,
		  "Nothing matches this selection.");
	CHECK_EQ(stat("/proc/self/exe", &st), 0);
	wanted = (struct bl_selection){ .by = BL_BY_FILE | BL_BY_AGE,
					.device = st.st_dev, .inode = st.st_ino,
					.made_before = NOW_NS - 2 * SEC };
	CHECK_RUN(run_against(select_daemon, "list --file /proc/self/exe --older 2s"), CTL_OK,
		  "Nothing matches this selection.");
	CHECK_RUN(run("list grants --node 0"), CTL_USAGE, "choose among regions, not grants");
	CHECK_RUN(run("list --lasting --transient"), CTL_USAGE, "exclude each other");
	CHECK_RUN(run("list --node x"), CTL_USAGE, "not the number of a NUMA node");
	CHECK_RUN(run("list --block -1"), CTL_USAGE, "not the number of a memory block");
	CHECK_RUN(run("list --file /nonexistent"), CTL_NOT_FOUND, "/nonexistent");
	CHECK_RUN(run("list --file /"), CTL_USAGE, "no file that could be mapped");
	CHECK_RUN(run("list --older soon"), CTL_USAGE, "no time");
}

static void limit_show_daemon(int fd)
{
	accounts_daemon(fd);
}

TEST(limit_show, "limit show: all accounts or one; one that there is not is not found")
{
	struct run *r = run_against(limit_show_daemon, "limit show user/alice");

	CHECK_OUTPUT(r,
		"ACCOUNT        USED    LIMIT USE% REGIONS REGION-LIMIT\n"
		"user/alice 1.25 GiB 1.25 GiB 100%      12         1000\n");
	r = run_against(limit_show_daemon, "limit");
	CHECK(strstr(r->out, "system "));
	r = run_against(limit_show_daemon, "limit show user/bob");
	CHECK_RUN(r, CTL_NOT_FOUND, "no account \"user/bob\"");
	CHECK_STR(r->out, "");
	CHECK_RUN(run_against(limit_show_daemon, "limit show alice"), CTL_NOT_FOUND,
		  "there are system and user/NAME");
	CHECK_RUN(run_against(limit_show_daemon, "limit show grant/7"), CTL_NOT_FOUND,
		  "belayctl list --grant 7");
	r = run_against(limit_show_daemon, "limit show system --json");
	CHECK_OUTPUT(r,
		"{\n"
		"  \"limits\": [\n"
		"    {\n"
		"      \"name\": \"system\",\n"
		"      \"usage_bytes\": 1342177280,\n"
		"      \"limit_bytes\": 4294967296,\n"
		"      \"usage_regions\": 12,\n"
		"      \"limit_regions\": null\n"
		"    }\n"
		"  ]\n"
		"}\n");
}

static struct bl_limit want_limit;

static void limit_set_daemon(int fd)
{
	struct bl_ok ok = { .text = "" };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_LIMIT);
	CHECK_STR(m.limit.account, want_limit.account);
	CHECK_EQ(m.limit.set, want_limit.set);
	CHECK_EQ(m.limit.limit_bytes, want_limit.limit_bytes);
	CHECK_EQ(m.limit.limit_regions, want_limit.limit_regions);
	fake_send(fd, &ok, sizeof(ok), BL_OK, m.msg.serial);
}

TEST(limit_set, "limit set: bytes, regions or both, and for how long")
{
	struct run *r;

	want_limit = (struct bl_limit){ .account = "user/alice", .set = BL_LIMIT_SET_BYTES,
					.limit_bytes = 3 * GIB / 2 };
	r = run_against(limit_set_daemon, "limit set user/alice 1.5GiB");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r, "user/alice: at most 1.5 GiB, until belayd ends; "
		     "to keep it, write it into belayd.conf\n");
	want_limit = (struct bl_limit){ .account = "grant/3", .limit_bytes = BELAY_UNLIMITED,
					.set = BL_LIMIT_SET_BYTES | BL_LIMIT_SET_REGIONS,
					.limit_regions = 7 };
	r = run_against(limit_set_daemon, "limit set grant/3 unlimited --regions 7");
	CHECK_OUTPUT(r, "grant/3: unlimited, at most 7 regions, until belayd ends; "
		     "to keep it, write it into belayd.conf\n");
	want_limit = (struct bl_limit){ .account = "system", .set = BL_LIMIT_SET_REGIONS,
					.limit_regions = 1 };
	r = run_against(limit_set_daemon, "limit set system --regions 1");
	CHECK_OUTPUT(r, "system: at most 1 region, until belayd ends; "
		     "to keep it, write it into belayd.conf\n");
	want_limit = (struct bl_limit){ .account = "system", .set = BL_LIMIT_SET_REGIONS,
					.limit_regions = BELAY_UNLIMITED };
	r = run_against(limit_set_daemon, "limit set system --regions unlimited --json");
	CHECK_OUTPUT(r, "{\n  \"account\": \"system\",\n  \"limit_regions\": null\n}\n");
}

static struct bl_recall want_recall;
static struct bl_recalled recalled;

static void recall_daemon(int fd)
{
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_RECALL);
	CHECK_EQ(m.msg.flags, want_recall.msg.flags);
	want_recall.msg = m.msg;
	CHECK_MEM(&m.recall, &want_recall, sizeof(want_recall));
	fake_send(fd, &recalled, sizeof(recalled), BL_RECALL, m.msg.serial);
}

TEST(recall_wait, "recall waits, and tells what became of the regions")
{
	struct run *r;

	want_recall = (struct bl_recall){ .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_REGION,
					  .select.region = 17825809, .escalation = BL_KILL,
					  .timeout_usec = 10000000 };
	recalled = (struct bl_recalled){ .regions = 1, .bytes = 64 * MIB, .let_go = 1 };
	r = run_against(recall_daemon, "recall --region 17825809 --deadline 10s --escalate kill");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r,
		"1 region (64 MiB) recalled\n"
		"  1 let go by its holder in time\n");
	want_recall = (struct bl_recall){ .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_USER,
					  .select.uid = 0 };
	recalled = (struct bl_recalled){ .regions = 4, .bytes = 64 * MIB, .let_go = 2,
					 .released = 1, .killed = 1 };
	r = run_against(recall_daemon, "recall --user root");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r,
		"4 regions (64 MiB) recalled\n"
		"  2 let go by their holders in time\n"
		"  1 released by order at the deadline\n"
		"  1 process killed at the deadline\n");
}

TEST(recall_kept, "recall: what is still held has a status of its own")
{
	struct run *r;

	want_recall = (struct bl_recall){ .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_GRANT,
					  .select.grant = 3 };
	recalled = (struct bl_recalled){ .regions = 2, .bytes = 2 * MIB, .let_go = 1, .kept = 1 };
	r = run_against(recall_daemon, "recall --grant 3");
	CHECK_EQ(r->status, CTL_STILL_HELD);
	CHECK_OUTPUT(r,
		"2 regions (2 MiB) recalled\n"
		"  1 let go by its holder in time\n"
		"  1 still held and overdue: belayctl list regions\n");
	want_recall = (struct bl_recall){ .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_PROCESS,
					  .select.pid = 77, .escalation = BL_RELEASE };
	recalled = (struct bl_recalled){ .regions = 1, .bytes = 4096, .refused = 1 };
	r = run_against(recall_daemon, "recall --pid 77 --escalate release --json");
	CHECK_EQ(r->status, CTL_STILL_HELD);
	CHECK_OUTPUT(r,
		"{\n"
		"  \"waited\": true,\n"
		"  \"regions\": 1,\n"
		"  \"bytes\": 4096,\n"
		"  \"refused\": 1,\n"
		"  \"let_go\": 0,\n"
		"  \"released\": 0,\n"
		"  \"killed\": 0,\n"
		"  \"kept\": 0,\n"
		"  \"text\": \"\"\n"
		"}\n");
}

TEST(recall_refused, "recall: what cannot be released by order says so, and what can be done")
{
	struct run *r;

	want_recall = (struct bl_recall){ .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_PROCESS,
					  .select.pid = 77, .escalation = BL_RELEASE };
	recalled = (struct bl_recalled){ .refused = 1, .text = "the same in other words" };
	r = run_against(recall_daemon, "recall --pid 77 --escalate release");
	CHECK_EQ(r->status, CTL_STILL_HELD);
	CHECK_OUTPUT(r,
		"1 tracked region was not recalled: another driver holds the memory, so it "
		"cannot be released by order. Ask with keep or kill.\n");
}

TEST(recall_no_wait, "recall --no-wait asks and returns; nothing to recall is no failure")
{
	struct run *r;

	want_recall = (struct bl_recall){ .select.by = BL_BY_PROCESS, .select.pid = 77 };
	recalled = (struct bl_recalled){ .regions = 3, .bytes = 12288 };
	r = run_against(recall_daemon, "recall --pid 77 --no-wait");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r, "3 regions (12 KiB) recalled\n");
	recalled = (struct bl_recalled){ .text = "process 77 holds no memory" };
	r = run_against(recall_daemon, "recall --pid 77 --no-wait");
	CHECK_EQ(r->status, CTL_OK);
	CHECK_OUTPUT(r, "Nothing to recall: process 77 holds no memory.\n");
}

static void reload_daemon(int fd)
{
	struct bl_ok ok = { .text = "belayd.conf:3: unknown key" };
	union bl_packet m;

	fake_hello(fd);
	fake_recv(fd, &m, BL_RELOAD);
	fake_send(fd, &ok, sizeof(ok), BL_OK, m.msg.serial);
}

TEST(reload, "reload says that it was done, and what the daemon says")
{
	CHECK_OUTPUT(run_against(reload_daemon, "reload"),
		     "The configuration has been read again.\nbelayd.conf:3: unknown key\n");
}

TEST(state, "a region's state is said in words, also that it is being registered")
{
	char buf[CTL_CELL];

	CHECK_STR(ctl_state(0, buf), "valid");
	CHECK_STR(ctl_state(BELAY_STATE_BUILDING, buf), "registering");
	CHECK_STR(ctl_state(BELAY_STATE_BUILDING | BELAY_WORD_RECALLED, buf), "registering,recalled");
}

TAP_MAIN()
