/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* What administrators ask for: recalls, lists, limits, reloading. */
#include "common/proc.h"
#include "daemon/act/recall.h"
#include "daemon/sys/users.h"
#include "tests/unit/daemon_client.h"

TEST(recall_acked, "a recall reaches the client, its ack releases the pinned region, the waiter is told")
{
	uint64_t session, region;
	struct bl_ack ack = { 0 };
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_KEEP, true), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(in.revoke.lost_len, 0);
	CHECK_EQ(in.revoke.deadline, fake_now + m->policy->deadline_nsec);
	CHECK(fake_region(&fake, session, region)->state & BELAY_WORD_RECALLED);
	CHECK_EQ(fake_region(&fake, session, region)->request, in.revoke.request);
	ack.request = in.revoke.request;
	CHECK_EQ(ASK(fd, ack, BL_ACK), BL_OK);
	CHECK(!fake_region(&fake, session, region));
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_EQ(in.recalled.bytes, 65536);
	CHECK_EQ(in.recalled.let_go, 1);
	CHECK_EQ(in.recalled.released + in.recalled.kept + in.recalled.killed, 0);
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(recall_lost, "a recalled pinned region that is lost holds nothing: the waiter is told at once")
{
	uint64_t session, region, request;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_KILL, true), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	request = in.revoke.request;
	fake_lose(&fake, session, region);
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.let_go, 1);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_NE(in.revoke.request, request);
	CHECK_EQ(in.revoke.lost_len, 65536);
	CHECK_EQ(in.revoke.deadline, 0);
	CHECK_EQ(m->revoke.open, 0);
	stop();
}

TEST(recall_partly_lost, "a recalled region that is lost in part stays asked for, and its deadline is enforced")
{
	uint64_t session, region, request;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_RELEASE, true), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	request = in.revoke.request;
	fake_lose_part(&fake, session, region, 0, 4096);
	pump();
	CHECK_EQ(get(admin, NULL), 0);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_NE(in.revoke.request, request);
	CHECK_EQ(in.revoke.lost_len, 4096);
	CHECK_EQ(in.revoke.deadline, fake_now + m->policy->deadline_nsec);
	pass(11 * SEC);
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.released, 1);
	CHECK(!fake_region(&fake, session, region));
	stop();
}

TEST(recall_what_is_left, "what is left of a region lost in part can be recalled, and counts as that much")
{
	uint64_t session, region;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake_lose_part(&fake, session, region, 0, 4096);
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(recall_region(admin, region, BL_RELEASE, false), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK_EQ(in.recalled.bytes, 65536 - 4096);
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_ADMIN);
	CHECK_EQ(in.revoke.lost_len, 4096);
	pass(11 * SEC);
	CHECK(!fake_region(&fake, session, region));
	stop();
}

TEST(recall_watched, "a recall passes over what is only watched, and kills nobody for it")
{
	uint64_t session, watched;
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = 1000, .escalation = BL_KILL };
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	watched = fake_register(&fake, session, BELAY_WATCHED, 65536);
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	CHECK_EQ(recall_region(admin, watched, BL_KILL, true), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	CHECK_EQ(fake_region(&fake, session, watched)->state, 0);
	CHECK_EQ(get(fd, NULL), 0);
	pass(100 * SEC);
	stop();
}

TEST(recall_fails, "a recall that the module does not take is undone, and that is said")
{
	uint64_t session, region;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	fake.fail_recall = ENOMEM;
	CHECK_EQ(recall_region(admin, region, BL_KEEP, true), BL_ERROR);
	CHECK_EQ(in.error.error, ENOMEM);
	CHECK_EQ(m->revoke.open, 0);
	CHECK_EQ(get(fd, NULL), 0);
	stop();
}

TEST(recall_release, "a recall that is ignored is released by order at the deadline")
{
	uint64_t session, region;
	int admin;

	start();
	client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_RELEASE, true), 0);
	pass(9 * SEC);
	CHECK(fake_region(&fake, session, region));
	pass(2 * SEC);
	CHECK(!fake_region(&fake, session, region));
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.released, 1);
	CHECK_EQ(fake_pending(&fake), 0);
	stop();
}

TEST(recall_refused, "release is refused for tracked regions, and it is said why")
{
	uint64_t session, region;
	int fd, admin;

	start();
	fd = client(1000, &session, NULL);
	admin = hello();
	region = fake_register(&fake, session, BELAY_TRACKED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_RELEASE, false), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	CHECK_EQ(in.recalled.refused, 1);
	CHECK(strstr(in.recalled.text, "another driver holds their memory"));
	CHECK_EQ(get(fd, NULL), 0);
	CHECK(!(fake_region(&fake, session, region)->state & BELAY_WORD_RECALLED));
	stop();
}

TEST(recall_nothing, "a recall of what holds nothing says why there is nothing, also one that waits")
{
	uint64_t session, region, grant;
	struct bl_recall r = { .select.by = BL_BY_GRANT };
	char text[100];
	int admin, wait;

	start();
	client(1000, &session, NULL);
	grant = in.grant.grant;
	admin = hello();
	region = fake_register(&fake, session, BELAY_WATCHED, 65536);
	for (wait = 0; wait < 2; wait++) {
		CHECK_EQ(recall_region(admin, region, BL_KEEP, wait), BL_RECALL);
		CHECK_EQ(in.recalled.regions, 0);
		snprintf(text, sizeof(text), "region %llu is only watched, and holds no memory",
			 (unsigned long long)region);
		CHECK_STR(in.recalled.text, text);
	}
	r.select.grant = grant;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	snprintf(text, sizeof(text), "grant %llu holds no memory", (unsigned long long)grant);
	CHECK_STR(in.recalled.text, text);
	r = (struct bl_recall){ .select.by = BL_BY_PROCESS, .select.pid = getpid() };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	snprintf(text, sizeof(text), "process %d holds no memory", getpid());
	CHECK_STR(in.recalled.text, text);
	fake_region(&fake, session, region)->kind = BELAY_PINNED;
	fake_region(&fake, session, region)->lost_len = 65536;
	CHECK_EQ(recall_region(admin, region, BL_KEEP, false), BL_RECALL);
	CHECK(strstr(in.recalled.text, "holds no memory any more"));
	stop();
}

TEST(recall_many, "a user's regions are recalled together: by user, grant and process")
{
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = 1000 };
	uint64_t session, grant;
	int fd, admin, i, n;

	start();
	fd = client(1000, &session, NULL);
	grant = in.grant.grant;
	admin = hello();
	for (i = 0; i < 300; i++)
		fake_register(&fake, session, BELAY_PINNED, 4096);
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 300);
	CHECK_EQ(in.recalled.bytes, 300 * 4096);
	for (n = 0; get(fd, NULL) == BL_REVOKE; n++)
		pump();
	CHECK_EQ(n, 300);
	r.select.by = BL_BY_GRANT;
	r.select.grant = grant;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 300);
	CHECK_EQ(m->revoke.open, 300);
	r.select.by = BL_BY_PROCESS;
	r.select.pid = getpid();
	r.timeout_usec = 1000000;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	pass(2 * SEC);
	for (i = 0; i < 10; i++)
		pass(0);
	CHECK_EQ(m->revoke.overdue, 300);
	r.select.pid = 1;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	CHECK_STR(in.error.text, "process 1 has no grant, and so holds no memory; see: belayctl list");
	/* More than a process's number can be. */
	r.select.pid = INT32_MAX;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	CHECK_STR(in.error.text, "there is no process 2147483647");
	r.select.by = BL_BY_REGION;
	r.select.region = 17825809;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_STR(in.error.text, "there is no region 17825809; see: belayctl list regions");
	r.select.by = BL_BY_GRANT;
	r.select.grant = 9999;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	CHECK_STR(in.error.text, "there is no grant 9999; see: belayctl list");
	r.select.by = BL_BY_USER;
	r.select.uid = 4711;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	CHECK_STR(in.recalled.text, "user 4711 holds no memory");
	r.select.by = 1U << 20;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	r.select.by = 0;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	stop();
}

TEST(recall_kill_all, "all processes that share the memory are killed, also where the first one has ended")
{
	uint64_t session, region, start_time;
	pid_t first, sharer;
	int admin, status, i;

	for (i = 0; i < 2; i++) {
		start();
		client(1000, &session, NULL);
		first = tap_spawn(sleeper, NULL);
		sharer = tap_spawn(sleeper, NULL);
		fake.first_gone = true;	/* it is this test */
		CHECK_OK(bl_proc_start_time(sharer, &start_time));
		fake.sharers[0] = (struct belay_holder_row){ .pid = sharer, .start_time = start_time };
		CHECK_OK(bl_proc_start_time(first, &start_time));
		fake.sharers[1] = (struct belay_holder_row){
			.pid = first, .start_time = start_time + (i ? 1 : 0),
		};
		admin = hello();
		region = fake_register(&fake, session, BELAY_TRACKED, 65536);
		CHECK_EQ(recall_region(admin, region, BL_KILL, true), 0);
		pass(11 * SEC);
		CHECK(tap_wait(sharer, 5, &status));
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* One that only has the pid is none of them. */
		CHECK_EQ(tap_wait(first, i ? 0 : 5, &status), !i);
		fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
		pump();
		CHECK_EQ(get(admin, NULL), BL_RECALL);
		CHECK_EQ(in.recalled.killed, i ? 1 : 2);
		CHECK_EQ(in.recalled.let_go + in.recalled.kept, 0);
		kill(first, SIGKILL);
		stop();
		fake_fini(&fake);
		memset(&fake, 0, sizeof(fake));
	}
}

TEST(holders_listed, "a grant is found under every process and user that uses it, and recalled by each")
{
	struct bl_list l = { .what = BL_LIST_GRANTS };
	struct bl_recall r = { .select.by = BL_BY_USER, .select.uid = 77 };
	const struct bl_grant_row *row = (const void *)(in.bytes + sizeof(in.rows));
	uint64_t session;
	int admin;

	start();
	client(1000, &session, NULL);
	fake_register(&fake, session, BELAY_PINNED, 4096);
	fake.run_as = 77;
	fake.sharers[0] = (struct belay_holder_row){ .pid = 4711, .uid = 78, .euid = 78 };
	admin = hello();
	l.select.by = BL_BY_USER;
	for (l.select.uid = 76; l.select.uid < 79; l.select.uid++) {
		CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
		CHECK_EQ(in.rows.count, l.select.uid > 76);
	}
	CHECK_EQ(row->pid, getpid());
	CHECK_EQ(row->holders, 2);
	CHECK_EQ(row->others[0], 4711);
	CHECK_EQ(row->uid, 1000);
	CHECK_EQ(row->uid_now, 77);
	CHECK_STR(row->user_now, "77");
	l.select.by = BL_BY_PROCESS;
	l.select.pid = 4711;
	l.what = BL_LIST_REGIONS;
	CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 1);
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	r.select.by = BL_BY_PROCESS;
	r.select.pid = 4711;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	stop();
}

TEST(recall_kill, "a process that ignores its deadline is killed, itself and nobody else")
{
	uint64_t session, region;
	pid_t pid, bystander;
	int admin, status, i;

	start();
	pid = tap_spawn(sleeper, NULL);
	bystander = tap_spawn(sleeper, NULL);
	for (i = 0; i < 1000 && m->ledger.n_grants < 2; i++, usleep(1000))
		pump();
	session = bl_ledger_process(&m->ledger, pid, 0) ? 0 : fake.sessions[0].id;
	if (fake_grant_of(&fake, session)->pid != pid)
		session = fake.sessions[1].id;
	CHECK_EQ(fake_grant_of(&fake, session)->pid, pid);
	admin = hello();
	region = fake_register(&fake, session, BELAY_TRACKED, 65536);
	CHECK_EQ(recall_region(admin, region, BL_KILL, true), 0);
	pass(9 * SEC);
	CHECK(!tap_wait(pid, 0, &status));
	pass(2 * SEC);
	CHECK(tap_wait(pid, 5, &status));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(get(admin, NULL), 0);
	fake_end_grant(&fake, fake_grant_of(&fake, session)->grant);
	pump();
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.killed, 1);
	CHECK(!tap_wait(bystander, 0, &status));
	kill(bystander, SIGKILL);
	stop();
}

TEST(admin_only, "who is no administrator changes nothing, and sees its own rows and the system's")
{
	struct bl_recall r = { .select.by = BL_BY_USER };
	struct bl_limit l = { .account = "system", .set = 1 };
	struct bl_list ls = { .what = BL_LIST_GRANTS };
	struct bl_reload rl = { 0 };
	struct bl_msg s = { 0 };
	int fd;

	start();
	m->admin_gid = (gid_t)-1;
	client(1000, NULL, NULL);
	client(1001, NULL, NULL);
	fd = hello();
	newest()->peer.uid = 1000;
	CHECK_EQ(ASK(fd, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK(strstr(in.error.text, "belay-admin"));
	CHECK_EQ(ASK(fd, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK_EQ(ASK(fd, rl, BL_RELOAD), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	CHECK_EQ(ASK(fd, s, BL_STATUS), BL_STATUS);
	CHECK_EQ(in.status.grants, 2);
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 1);
	ls.what = BL_LIST_ACCOUNTS;
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 2);
	ls.select.by = BL_BY_USER;
	ls.select.uid = 1001;
	CHECK_EQ(ASK(fd, ls, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	stop();
}

static uint32_t count_selected(int fd, struct bl_list l, uint64_t *ret_region)
{
	uint32_t n = 0;

	l.what = BL_LIST_REGIONS;
	*ret_region = 0;
	while (ASK(fd, l, BL_LIST) == BL_LIST && in.rows.count) {
		n += in.rows.count;
		*ret_region = ((const struct bl_region_row *)(&in.rows + 1))->region;
		l.after = in.rows.after;
		l.after_region = in.rows.after_region;
	}
	return n;
}

TEST(selections, "regions are listed by node, file, age and duration; what is unknown or not one's own is refused")
{
	struct belay_region_row *row;
	uint64_t session, ids[4], got;
	struct bl_list l = { 0 };
	int admin, fd, i;

	start();
	client(1000, &session, NULL);
	for (i = 0; i < 4; i++) {
		ids[i] = fake_register(&fake, session, BELAY_PINNED, 4096);
		row = fake_region(&fake, session, ids[i]);
		row->made_at = 1000 * (uint64_t)(i + 1);
		row->nodes = 1;
	}
	fake_region(&fake, session, ids[0])->nodes = 3;
	row = fake_region(&fake, session, ids[1]);
	row->device = 5;
	row->inode = 6;
	fake_region(&fake, session, ids[2])->flags = BELAY_REGION_TRANSIENT;
	admin = hello();
	CHECK_EQ(count_selected(admin, l, &got), 4);
	l = (struct bl_list){ .select.by = BL_BY_NODE, .select.node = 1 };
	CHECK_EQ(count_selected(admin, l, &got), 1);
	CHECK_EQ(got, ids[0]);
	l = (struct bl_list){ .select.by = BL_BY_FILE, .select.device = 5, .select.inode = 6 };
	CHECK_EQ(count_selected(admin, l, &got), 1);
	CHECK_EQ(got, ids[1]);
	l = (struct bl_list){ .select.by = BL_BY_TRANSIENT };
	CHECK_EQ(count_selected(admin, l, &got), 1);
	CHECK_EQ(got, ids[2]);
	l = (struct bl_list){ .select.by = BL_BY_LASTING | BL_BY_AGE,
			      .select.made_before = 3500 };
	CHECK_EQ(count_selected(admin, l, &got), 2);
	l = (struct bl_list){ .what = BL_LIST_REGIONS, .select.by = BL_BY_BLOCK,
			      .select.block = 1ULL << 50 };
	CHECK_EQ(ASK(admin, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	l = (struct bl_list){ .what = BL_LIST_REGIONS, .select.by = 1U << 20 };
	CHECK_EQ(ASK(admin, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	l = (struct bl_list){ .what = BL_LIST_GRANTS, .select.by = BL_BY_NODE };
	CHECK_EQ(ASK(admin, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);

	m->admin_gid = (gid_t)-1;
	fd = hello();
	newest()->peer.uid = 1000;
	l = (struct bl_list){ .select.by = BL_BY_NODE, .select.node = 0 };
	CHECK_EQ(count_selected(fd, l, &got), 4);
	l = (struct bl_list){ .what = BL_LIST_REGIONS, .select.by = BL_BY_BLOCK };
	CHECK_EQ(ASK(fd, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	stop();
}

/* Two users' regions; the first two differ in all that can be selected by. */
static struct belay_region_row *different(uint64_t session, bool first)
{
	struct belay_region_row *row;

	row = fake_region(&fake, session, fake_register(&fake, session, BELAY_PINNED, 4096));
	row->made_at = first ? 1000 : 2000;
	row->nodes = first ? 1 : 2;
	row->device = 5;
	row->inode = first ? 6 : 7;
	row->flags = first ? BELAY_REGION_TRANSIENT : 0;
	return row;
}

TEST(recall_selections, "regions are recalled by each kind of selection, and no others; several must all fit")
{
	static const char *const names[] = { "", "user/1000" };
	struct belay_region_row *one, *other;
	struct bl_recall r = { 0 };
	uint64_t session, session2;
	struct bl_selection kinds[] = {
		{ .by = BL_BY_USER, .uid = 1000 },
		{ .by = BL_BY_ACCOUNT },
		{ .by = BL_BY_GRANT },
		{ .by = BL_BY_REGION },
		{ .by = BL_BY_NODE, .node = 0 },
		{ .by = BL_BY_FILE, .device = 5, .inode = 6 },
		{ .by = BL_BY_AGE, .made_before = 1500 },
		{ .by = BL_BY_TRANSIENT },
		{ .by = BL_BY_USER | BL_BY_NODE | BL_BY_AGE | BL_BY_ACCOUNT, .uid = 1000,
		  .made_before = 1500 },
	};
	char user[BL_NAME_MAX], text[BL_TEXT_MAX];
	int admin;
	size_t i;

	start();
	client(1000, &session, NULL);
	client(1001, &session2, NULL);
	one = different(session, true);
	other = different(session2, false);
	admin = hello();
	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		one->state = other->state = 0;
		kinds[i].grant = one->grant;
		kinds[i].region = one->region;
		strcpy(kinds[i].account, names[!!(kinds[i].by & BL_BY_ACCOUNT)]);
		r = (struct bl_recall){ .select = kinds[i] };
		CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
		CHECK_EQ(in.recalled.regions, 1);
		CHECK(one->state & BELAY_WORD_RECALLED);
		CHECK(!(other->state & BELAY_WORD_RECALLED));
	}
	/* The other way round: what is not transient. */
	r = (struct bl_recall){ .select.by = BL_BY_LASTING };
	one->state = 0;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 1);
	CHECK(other->state & BELAY_WORD_RECALLED && !one->state);
	/* Both are of this process, and below the account of all. */
	r = (struct bl_recall){ .select.by = BL_BY_PROCESS, .select.pid = getpid() };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	r = (struct bl_recall){ .select.by = BL_BY_ACCOUNT, .select.account = "system" };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	/* Each fits something, but both nothing. */
	r = (struct bl_recall){ .select.by = BL_BY_NODE | BL_BY_USER, .select.node = 1,
				.select.uid = 1000 };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	bl_user_name(1000, user, sizeof(user));
	snprintf(text, sizeof(text), "nothing that fits (user %s, node 1) holds memory", user);
	CHECK_STR(in.recalled.text, text);
	r = (struct bl_recall){ .select.by = BL_BY_PROCESS | BL_BY_USER, .select.pid = getpid(),
				.select.uid = 4711 };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 0);
	r.select.pid = INT32_MAX;
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	CHECK_STR(in.error.text, "there is no process 2147483647");
	r = (struct bl_recall){ .select.by = BL_BY_ACCOUNT, .select.account = "user/x" };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	r = (struct bl_recall){ .select.by = BL_BY_BLOCK, .select.block = 1ULL << 50 };
	CHECK_EQ(ASK(admin, r, BL_RECALL), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	stop();
}

TEST(recall_waits, "who waits for a selection is told when the last region that fits is decided")
{
	struct bl_recall r = { .msg.flags = BL_RECALL_WAIT, .select.by = BL_BY_NODE,
			       .escalation = BL_RELEASE };
	uint64_t session, session2;
	int admin;

	start();
	client(1000, &session, NULL);
	client(1001, &session2, NULL);
	different(session, true);
	different(session, true);
	different(session2, false);
	admin = hello();
	CHECK_EQ(ASK(admin, r, BL_RECALL), 0);
	pass(11 * SEC);
	CHECK_EQ(get(admin, NULL), BL_RECALL);
	CHECK_EQ(in.recalled.regions, 2);
	CHECK_EQ(in.recalled.released, 2);
	stop();
}

static struct bl_recall_outcome outcome;
static int outcomes;

/* The order that is given when another is over, and the answer. */
static const struct bl_recall_order *again;
static char again_why[BL_TEXT_MAX];
static int again_err;

static void on_outcome(struct bl_state *st, const struct bl_recall_outcome *o, void *arg)
{
	CHECK(arg == &outcomes);
	outcome = *o;
	outcomes++;
	if (again)
		again_err = bl_recall(st, again, again_why);
}

TEST(recall_order, "whoever has a reason can give the order; it is told once what came of it, also when belayd ends")
{
	struct bl_recall_order order = {
		.what = { .by = BL_BY_NODE, .node = 0 },
		.reason = BELAY_REASON_DRAIN, .escalation = BL_RELEASE, .wait = true,
		.done = on_outcome, .arg = &outcomes,
	};
	struct belay_region_row *row;
	uint64_t session, region;
	char why[BL_TEXT_MAX];
	int fd;

	start();
	fd = client(1000, &session, NULL);
	row = different(session, true);
	region = row->region;
	order.deadline = fake_now + 3 * SEC;
	CHECK_OK(bl_recall(m, &order, why));
	pump();
	CHECK_EQ(get(fd, NULL), BL_REVOKE);
	CHECK_EQ(in.revoke.reason, BELAY_REASON_DRAIN);
	CHECK_EQ(in.revoke.deadline, order.deadline);
	CHECK_EQ(in.revoke.escalation, BL_RELEASE);
	CHECK_EQ(row->recall_reason, BELAY_REASON_DRAIN);
	CHECK_EQ(outcomes, 0);
	pass(4 * SEC);
	CHECK(!fake_region(&fake, session, region));
	CHECK_EQ(outcomes, 1);
	CHECK(outcome.decided && !outcome.err);
	CHECK_EQ(outcome.regions, 1);
	CHECK_EQ(outcome.released, 1);

	/* A caller that does not wait is told when all have been asked. */
	different(session, true);
	order.wait = false;
	order.deadline = fake_now + 3 * SEC;
	CHECK_OK(bl_recall(m, &order, why));
	pump();
	CHECK_EQ(outcomes, 2);
	CHECK(!outcome.decided && !outcome.err);
	CHECK_EQ(outcome.regions, 1);

	/* An order that makes no sense is refused at once, and done() is not called later. */
	order.what.by = 0;
	CHECK_EQ(bl_recall(m, &order, why), -EINVAL);
	order.what.by = BL_BY_GRANT;
	order.what.grant = 9999;
	CHECK_EQ(bl_recall(m, &order, why), -ENOENT);
	CHECK(strstr(why, "there is no grant 9999"));

	/* One that waits, and one that has not begun. */
	order.what = (struct bl_selection){ .by = BL_BY_NODE };
	order.wait = true;
	CHECK_OK(bl_recall(m, &order, why));
	pump();
	CHECK_EQ(outcomes, 2);
	CHECK_OK(bl_recall(m, &order, why));
	/* Their outcome is not known, and nothing new is begun. */
	again = &order;
	stop();
	CHECK_EQ(outcomes, 4);
	CHECK_EQ(outcome.err, -ESHUTDOWN);
	CHECK(!outcome.decided);
	CHECK_EQ(again_err, -ESHUTDOWN);
}

TEST(account_lists, "accounts, grants and regions are listed by account")
{
	struct bl_list l = { .what = BL_LIST_GRANTS, .select.by = BL_BY_ACCOUNT,
			     .select.account = "user/1000" };
	const struct bl_account_row *row = (const void *)(in.bytes + sizeof(in.rows));
	uint64_t session;
	int admin, fd, i;

	start();
	client(1000, &session, NULL);
	client(1001, NULL, NULL);
	fake_register(&fake, session, BELAY_PINNED, 4096);
	admin = hello();
	for (l.what = BL_LIST_ACCOUNTS; l.what <= BL_LIST_REGIONS; l.what++) {
		CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
		CHECK_EQ(in.rows.count, 1);
	}
	strcpy(l.select.account, "system");
	memset(l.select.account + 7, 0, BL_NAME_MAX - 7);
	l.what = BL_LIST_ACCOUNTS;
	CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 3);
	CHECK_STR(row->name, "system");
	/* A user who is no administrator does not learn which accounts there are. */
	m->admin_gid = (gid_t)-1;
	fd = hello();
	newest()->peer.uid = 1000;
	CHECK_EQ(ASK(fd, l, BL_LIST), BL_LIST);
	CHECK_EQ(in.rows.count, 2);
	strcpy(l.select.account, "user/1001");
	CHECK_EQ(ASK(fd, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	strcpy(l.select.account, "user/1002");
	CHECK_EQ(ASK(fd, l, BL_LIST), BL_ERROR);
	CHECK_EQ(in.error.error, EACCES);
	/* A user without an account is told that, for any account that it names. */
	fd = hello();
	newest()->peer.uid = 1003;
	for (i = 0; i < 2; i++) {
		strcpy(l.select.account, i ? "user/1000" : "user/1003");
		CHECK_EQ(ASK(fd, l, BL_LIST), BL_ERROR);
		CHECK_EQ(in.error.error, ENOENT);
		CHECK(strstr(in.error.text, "no account of user 1003"));
	}
	stop();
}

TEST(paging, "a list comes in pages, each row once, and ends with an empty one")
{
	struct bl_list l = { .what = BL_LIST_REGIONS };
	uint64_t session, other, last = 0;
	const struct bl_region_row *rows;
	int admin, i, n = 0, pages = 0;

	start();
	client(1000, &session, NULL);
	client(1001, &other, NULL);
	admin = hello();
	for (i = 0; i < 400; i++)
		fake_register(&fake, i % 4 ? session : other, BELAY_PINNED, 4096);
	for (;;) {
		CHECK_EQ(ASK(admin, l, BL_LIST), BL_LIST);
		pages++;
		if (!in.rows.count)
			break;
		rows = (const struct bl_region_row *)(&in.rows + 1);
		for (i = 0; i < (int)in.rows.count; i++) {
			CHECK(rows[i].session != session || rows[i].region > last);
			if (rows[i].session == session)
				last = rows[i].region;
			CHECK_EQ(rows[i].pid, getpid());
			CHECK(rows[i].command[0]);
			n++;
		}
		l.after = in.rows.after;
		l.after_region = in.rows.after_region;
	}
	CHECK_EQ(n, 400);
	CHECK_GE(pages, 5);
	l.after = l.after_region = 0;
	l.select.by = BL_BY_USER;
	l.select.uid = 1001;
	for (n = 0; ASK(admin, l, BL_LIST) == BL_LIST && in.rows.count;) {
		n += (int)in.rows.count;
		l.after = in.rows.after;
		l.after_region = in.rows.after_region;
	}
	CHECK_EQ(n, 100);
	stop();
}

TEST(status_flood, "a flood of questions for the status is not a flood of questions to the module")
{
	struct bl_msg ask = { 0 };
	unsigned int before, one, i;
	uint64_t session;
	int fd;

	start();
	client(1000, &session, NULL);
	fd = hello();
	before = fake.calls;
	CHECK_EQ(ASK(fd, ask, BL_STATUS), BL_STATUS);
	one = fake.calls - before;
	CHECK_GT(one, 0);
	/* Who asks now and then gets what is so. */
	fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(ASK(fd, ask, BL_STATUS), BL_STATUS);
	CHECK_EQ(in.status.pinned_bytes, 65536);
	before = fake.calls;
	for (i = 0; i < 200; i++) {
		CHECK_EQ(ASK(fd, ask, BL_STATUS), BL_STATUS);
		CHECK_EQ(in.status.grants, 1);
		CHECK_EQ(in.status.clients, 2);
		CHECK_EQ(in.status.pinned_bytes, 65536);
	}
	CHECK_LE(fake.calls - before, 20 * one);
	before = fake.calls;
	fake_now += SEC / 10;
	fake_register(&fake, session, BELAY_PINNED, 65536);
	CHECK_EQ(ASK(fd, ask, BL_STATUS), BL_STATUS);
	CHECK_EQ(fake.calls, before + one);
	CHECK_EQ(in.status.pinned_bytes, 2 * 65536);
	stop();
}

TEST(limits, "a limit is set at run time, also before the user comes, and survives a reload")
{
	struct bl_limit l = { .account = "user/1000", .set = BL_LIMIT_SET_BYTES,
			      .limit_bytes = 1 << 20 };
	char text[BL_TEXT_MAX];
	struct bl_account *a;
	int admin;

	start();
	admin = hello();
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	a = user_account(1000);
	CHECK(a);
	CHECK_EQ(fake_account(&fake, a->id)->limit_bytes, 1 << 20);
	bl_accounts_sweep(m);
	CHECK(user_account(1000));
	CHECK_OK(bl_reload(m, text));
	CHECK_EQ(fake_account(&fake, a->id)->limit_bytes, 1 << 20);
	client(1000, NULL, NULL);
	CHECK_EQ(TAILQ_FIRST(&m->ledger.grants)->limits.bytes, BL_UNLIMITED);
	memset(l.account, 0, sizeof(l.account));
	snprintf(l.account, sizeof(l.account), "grant/%llu",
		 (unsigned long long)TAILQ_FIRST(&m->ledger.grants)->id);
	l.limit_bytes = 4096;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	CHECK_EQ(TAILQ_FIRST(&m->ledger.grants)->limits.bytes, 4096);
	strcpy(l.account, "user/no-such-user");
	memset(l.account + strlen(l.account), 0, 8);
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, ENOENT);
	memset(l.account, 0, sizeof(l.account));
	strcpy(l.account, "system");
	l.set = 0;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	l.set = BL_LIMIT_SET_REGIONS;
	l.limit_regions = 17;
	CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_OK);
	CHECK_EQ(fake_account(&fake, m->ledger.root->id)->limit_regions, 17);
	stop();
}

TEST(limit_nothing, "a limit of what there is not is refused with what was meant, or where to look")
{
	static const struct {
		const char *name, *text;
	} wrong[] = {
		{ "user/nobodyhere", "there is no user nobodyhere; a user is a name or a number" },
		{ "grant/99", "there is no grant 99; see: belayctl list" },
		{ "grant/x", "\"x\" is not the number of a grant; see: belayctl list" },
		{ "root", "there is no account \"root\"; did you mean user/root?" },
		{ "nobodyhere", "there are system, user/NAME, user/UID and grant/ID" },
	};
	struct bl_limit l;
	int admin;
	size_t i;

	start();
	admin = hello();
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		l = (struct bl_limit){ .set = BL_LIMIT_SET_BYTES, .limit_bytes = 1 << 20 };
		strcpy(l.account, wrong[i].name);
		CHECK_EQ(ASK(admin, l, BL_LIMIT), BL_ERROR);
		CHECK_EQ(in.error.error, ENOENT);
		CHECK(strstr(in.error.text, wrong[i].text));
	}
	stop();
}

TEST(reload, "a reload changes all limits in one call; one with errors changes nothing and says so")
{
	struct bl_reload rl = { 0 };
	char file[80];
	unsigned int calls, i;
	int admin;
	FILE *f;

	start();
	snprintf(file, sizeof(file), "/tmp/belayd-loop.%d.conf", getpid());
	m->config_path = file;
	client(1000, NULL, NULL);
	client(1001, NULL, NULL);
	admin = hello();
	f = fopen(file, "w");
	fputs("[system]\nmax = 1G\n[default]\nmax = 64M\nprocess_max = 32M\n", f);
	fclose(f);
	calls = fake.limit_calls;
	CHECK_EQ(ASK(admin, rl, BL_RELOAD), BL_OK);
	CHECK_EQ(fake.limit_calls, calls + 1);
	CHECK_EQ(fake.limit_entries, 5);
	CHECK_EQ(fake_account(&fake, m->ledger.root->id)->limit_bytes, 1 << 30);
	CHECK_EQ(fake_account(&fake, user_account(1001)->id)->limit_bytes, 64 << 20);
	f = fopen(file, "w");
	fputs("[system]\nmax = 2Q\n", f);
	fclose(f);
	CHECK_EQ(ASK(admin, rl, BL_RELOAD), BL_ERROR);
	CHECK_EQ(in.error.error, EINVAL);
	CHECK(strstr(in.error.text, ":2: error: [system] max = 2Q"));
	CHECK(strstr(in.error.text, "\nThe configuration before stays in force."));
	/* Warnings take no room from errors, and what does not fit is not cut in half. */
	f = fopen(file, "w");
	fputs("[system]\n", f);
	for (i = 0; i < 20; i++)
		fprintf(f, "unknown_%u = 1\n", i);
	fputs("[revoke]\ndeadline = soon\n[default]\n", f);
	for (i = 0; i < 20; i++)
		fprintf(f, "max = %uQ\n", i);
	fclose(f);
	CHECK_EQ(ASK(admin, rl, BL_RELOAD), BL_ERROR);
	CHECK(strstr(in.error.text, ":23: error: [revoke] deadline = soon"));
	CHECK(strstr(in.error.text, ":25: error: [default] max = 0Q"));
	CHECK(!strstr(in.error.text, "unknown_"));
	CHECK(strstr(in.error.text, "\nand more, see: belayd --check-config\n"
				    "The configuration before stays in force."));
	CHECK_EQ(fake.limit_calls, calls + 1);
	CHECK_EQ(m->policy->system.bytes, 1 << 30);
	unlink(file);
	stop();
}

TAP_MAIN()
