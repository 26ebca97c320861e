/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* The life of a revoke request: every transition of core/revoke.c. */
#include "common/protocol.h"
#include "daemon/core/revoke.h"
#include "tests/lib/tap.h"

#include <linux/belay.h>

#define SEC 1000000000ULL

static struct bl_revocation rv;
static uint64_t now = 1000 * SEC;
static uint64_t next_id = 1;
static struct bl_job seen;
static int done_calls;

static void on_done(struct bl_job *job, void *arg)
{
	seen = *job;
	done_calls++;
}

static struct bl_request *ask_of(uint64_t grant, uint64_t region, uint32_t kind,
				 uint32_t escalation, struct bl_job *job)
{
	struct bl_ask ask = {
		.session = 1, .region = region, .grant = grant, .id = ++next_id,
		.bytes = 4096, .deadline = now + 10 * SEC,
		.reason = BELAY_REASON_ADMIN, .kind = kind, .escalation = escalation,
	};
	struct bl_request *r;

	CHECK_OK(bl_revoke_ask(&rv, &ask, job, &r));
	return r;
}

static struct bl_request *ask(uint64_t region, uint32_t kind, uint32_t escalation,
			      struct bl_job *job)
{
	return ask_of(1, region, kind, escalation, job);
}

/* The next action must be this one, on this request; with that result. */
static bool expect(struct bl_request *r, enum bl_action action, int result)
{
	enum bl_action got = BL_DO_NOTHING;

	CHECK(bl_revoke_due(&rv, now, &got) == r);
	CHECK_EQ(got, action);
	return bl_revoke_result(&rv, r, action, result, now);
}

static void expect_nothing(void)
{
	enum bl_action got;

	CHECK(!bl_revoke_due(&rv, now, &got));
}

TEST(ack_pinned, "an acked pinned region is released at once and counts as let go")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KEEP, job);

	bl_job_start(job, on_done, NULL);
	CHECK_EQ(rv.open, 1);
	CHECK(bl_revoke_find(&rv, 1, 7) == r);
	CHECK(bl_revoke_find_id(&rv, 1, r->id) == r);
	CHECK_EQ(bl_revoke_ack(&rv, r), BL_DO_RELEASE);
	CHECK(bl_revoke_result(&rv, r, BL_DO_RELEASE, 0, now));
	CHECK_EQ(done_calls, 1);
	CHECK_EQ(seen.let_go, 1);
	CHECK_EQ(seen.released, 0);
	CHECK_EQ(rv.open, 0);
	CHECK_EQ(bl_revoke_wake(&rv), 0);
	CHECK(!bl_revoke_find(&rv, 1, 7));
	bl_revoke_fini(&rv);
}

TEST(ack_tracked, "an acked tracked region is waited for until it is unregistered")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, job);

	bl_job_start(job, on_done, NULL);
	CHECK_EQ(bl_revoke_ack(&rv, r), BL_DO_NOTHING);
	CHECK_EQ(r->state, BL_ACKED);
	CHECK_EQ(done_calls, 0);
	bl_revoke_gone(&rv, r);
	CHECK_EQ(seen.let_go, 1);
	bl_revoke_fini(&rv);
}

TEST(acked_and_late, "an ack alone does not save a tracked region from its deadline")
{
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, NULL);

	bl_revoke_ack(&rv, r);
	now += 10 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(!expect(r, BL_DO_KILL, 1));
	CHECK_EQ(r->state, BL_KILLING);
	bl_revoke_fini(&rv);
}

TEST(not_before, "nothing happens before the deadline, and a look comes first at it")
{
	struct bl_request *r = ask(7, BELAY_PINNED, BL_RELEASE, NULL);

	now += 10 * SEC - 1;
	expect_nothing();
	CHECK_EQ(bl_revoke_wake(&rv), now + 1);
	now++;
	CHECK(expect(r, BL_DO_LOOK, -ENOENT));
	CHECK_EQ(rv.open, 0);
	bl_revoke_fini(&rv);
}

TEST(keep, "keep: overdue, decided, and still there until it is gone")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KEEP, job);

	bl_job_start(job, on_done, NULL);
	now += 10 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	expect_nothing();
	CHECK_EQ(r->state, BL_OVERDUE);
	CHECK_EQ(rv.overdue, 1);
	CHECK_EQ(seen.kept, 1);
	CHECK_EQ(bl_revoke_wake(&rv), 0);
	now += 1000 * SEC;
	expect_nothing();
	CHECK_EQ(bl_revoke_ack(&rv, r), BL_DO_RELEASE);	/* late is not never */
	CHECK(bl_revoke_result(&rv, r, BL_DO_RELEASE, 0, now));
	CHECK_EQ(rv.overdue, 0);
	CHECK_EQ(done_calls, 1);
	bl_revoke_fini(&rv);
}

TEST(release, "release: by order at the deadline")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_RELEASE, job);

	bl_job_start(job, on_done, NULL);
	now += 11 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(expect(r, BL_DO_RELEASE, 0));
	CHECK_EQ(seen.released, 1);
	bl_revoke_fini(&rv);
}

TEST(release_race, "release: what was gone just before counts as let go")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_RELEASE, job);

	bl_job_start(job, on_done, NULL);
	now += 11 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(expect(r, BL_DO_RELEASE, -ENOENT));
	CHECK_EQ(seen.let_go, 1);
	CHECK_EQ(seen.released, 0);
	bl_revoke_fini(&rv);
}

TEST(release_busy, "release: what another driver holds is kept, and that is said")
{
	struct bl_request *r = ask(7, BELAY_PINNED, BL_RELEASE, NULL);

	now += 11 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(!expect(r, BL_DO_RELEASE, -EBUSY));
	CHECK_EQ(r->state, BL_OVERDUE);
	bl_revoke_fini(&rv);
}

TEST(kill, "kill: one signal for a process, and its regions count as killed when they are free")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *a = ask(7, BELAY_TRACKED, BL_KILL, job);
	struct bl_request *b = ask(8, BELAY_TRACKED, BL_KILL, job);
	struct bl_request *other = ask_of(2, 9, BELAY_TRACKED, BL_KILL, job);
	enum bl_action action;
	struct bl_request *r;
	int kills = 0;

	(void)a, (void)b, (void)other;
	bl_job_start(job, on_done, NULL);
	now += 11 * SEC;
	while ((r = bl_revoke_due(&rv, now, &action))) {
		kills += action == BL_DO_KILL;
		bl_revoke_result(&rv, r, action, action == BL_DO_KILL, now);
	}
	CHECK_EQ(kills, 2);
	CHECK_EQ(done_calls, 0);
	bl_revoke_grant_ended(&rv, 1);
	CHECK_EQ(done_calls, 0);
	bl_revoke_grant_ended(&rv, 2);
	CHECK_EQ(done_calls, 1);
	CHECK_EQ(seen.killed, 2);
	CHECK_EQ(seen.let_go + seen.kept + seen.released, 0);
	CHECK_EQ(rv.open, 0);
	bl_revoke_fini(&rv);
}

TEST(kill_in_vain, "kill: what stays held for 10 s after it is called overdue")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, job);
	int looks = 0;

	bl_job_start(job, on_done, NULL);
	now += 10 * SEC;
	expect(r, BL_DO_LOOK, 0);
	expect(r, BL_DO_KILL, 1);
	while (r->state == BL_KILLING) {
		CHECK_EQ(done_calls, 0);
		now = bl_revoke_wake(&rv);
		expect(r, BL_DO_LOOK, 0);
		looks++;
	}
	CHECK_EQ(r->state, BL_OVERDUE);
	CHECK_EQ(looks, 40);
	CHECK_EQ(seen.kept, 1);
	CHECK_EQ(seen.killed, 1);
	bl_revoke_fini(&rv);
}

TEST(kill_refused, "kill: a process that is gone is waited for, one that may not be killed is overdue")
{
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, NULL);
	struct bl_request *s;

	now += 10 * SEC;
	expect(r, BL_DO_LOOK, 0);
	expect(r, BL_DO_KILL, 0);
	CHECK_EQ(r->state, BL_KILLING);
	s = ask_of(2, 8, BELAY_TRACKED, BL_KILL, NULL);
	bl_revoke_gone(&rv, r);
	now += 10 * SEC;
	expect(s, BL_DO_LOOK, 0);
	expect(s, BL_DO_KILL, -EPERM);
	CHECK_EQ(s->state, BL_OVERDUE);
	bl_revoke_fini(&rv);
}

TEST(kill_later, "kill: what fails for want of files or memory is tried again")
{
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KILL, NULL);

	now += 10 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(!expect(r, BL_DO_KILL, -EMFILE));
	expect_nothing();
	CHECK_EQ(r->state, BL_DUE);
	now += SEC;
	CHECK(!expect(r, BL_DO_KILL, -ENOMEM));
	now += SEC;
	CHECK(!expect(r, BL_DO_KILL, 1));
	CHECK_EQ(r->state, BL_KILLING);
	bl_revoke_fini(&rv);
}

TEST(kill_nobody, "kill: where all processes had ended, none counts as killed")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KILL, job);

	bl_job_start(job, on_done, NULL);
	now += 10 * SEC;
	expect(r, BL_DO_LOOK, 0);
	expect(r, BL_DO_KILL, 0);
	bl_revoke_gone(&rv, r);
	CHECK_EQ(done_calls, 1);
	CHECK_EQ(seen.killed, 0);
	CHECK_EQ(seen.let_go, 1);
	bl_revoke_fini(&rv);
}

TEST(kill_all, "kill: every process of a grant counts, once, also one that is found later")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *a = ask(7, BELAY_TRACKED, BL_KILL, job);
	enum bl_action action;
	struct bl_request *r;

	ask(8, BELAY_TRACKED, BL_KILL, job);
	bl_job_start(job, on_done, NULL);
	now += 10 * SEC;
	while ((r = bl_revoke_due(&rv, now, &action)))
		bl_revoke_result(&rv, r, action, action == BL_DO_KILL ? 2 : 0, now);
	CHECK_EQ(a->state, BL_KILLING);
	bl_revoke_gone(&rv, a);
	CHECK_EQ(done_calls, 0);
	bl_revoke_killed(&rv, 1, 1);
	bl_revoke_grant_ended(&rv, 1);
	CHECK_EQ(done_calls, 1);
	CHECK_EQ(seen.killed, 3);
	CHECK_EQ(seen.let_go + seen.kept + seen.released, 0);
	bl_revoke_fini(&rv);
}

TEST(kill_no_help, "kill: a pinned region is released where nobody can be killed, or no kill helps")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KILL, job);
	struct bl_request *s;

	now += SEC;
	s = ask_of(2, 8, BELAY_PINNED, BL_KILL, job);
	bl_job_start(job, on_done, NULL);
	now += 9 * SEC;
	expect(r, BL_DO_LOOK, 0);
	expect(r, BL_DO_KILL, -EPERM);
	CHECK(expect(r, BL_DO_RELEASE, 0));
	now += SEC;
	expect(s, BL_DO_LOOK, 0);
	expect(s, BL_DO_KILL, 1);
	while (s->state == BL_KILLING) {
		now = bl_revoke_wake(&rv);
		expect(s, BL_DO_LOOK, 0);
	}
	CHECK_EQ(done_calls, 0);
	CHECK(expect(s, BL_DO_RELEASE, 0));
	CHECK_EQ(done_calls, 1);
	CHECK_EQ(seen.released, 2);
	CHECK_EQ(seen.killed, 1);
	CHECK_EQ(rv.open, 0);
	bl_revoke_fini(&rv);
}

TEST(look_fails, "a look that fails for want of memory is repeated, and nobody is punished")
{
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, NULL);

	now += 10 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, -ENOMEM));
	expect_nothing();
	now += SEC;
	CHECK(expect(r, BL_DO_LOOK, -ENOENT));
	bl_revoke_fini(&rv);
}

TEST(again, "a second recall replaces the first, and both waiters get their answer")
{
	struct bl_job *first = bl_job_new(), *second = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KEEP, first);
	uint64_t old = r->id;

	bl_job_start(first, on_done, NULL);
	now += 10 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	expect_nothing();
	CHECK_EQ(done_calls, 1);
	CHECK(ask(7, BELAY_PINNED, BL_RELEASE, second) == r);
	bl_job_start(second, on_done, NULL);
	CHECK_EQ(rv.open, 1);
	CHECK_EQ(rv.overdue, 0);
	CHECK_EQ(r->state, BL_ASKED);
	CHECK(!bl_revoke_find_id(&rv, 1, old));
	CHECK(bl_revoke_find_id(&rv, 1, r->id) == r);
	bl_revoke_gone(&rv, r);
	CHECK_EQ(done_calls, 2);
	CHECK_EQ(seen.let_go, 1);
	bl_revoke_fini(&rv);
}

TEST(lost_after_recall, "a recalled region that is lost has a new id, the old deadline, and needs a new ack")
{
	struct bl_request *r = ask(7, BELAY_TRACKED, BL_KILL, NULL), *s;
	struct bl_ask loss = {
		.session = 1, .region = 7, .grant = 1, .id = 1ULL << 63 | 7,
		.deadline = now + 500 * SEC, .reason = BELAY_REASON_UNMAPPED,
		.kind = BELAY_TRACKED, .escalation = BL_KEEP, .lost = true,
	};

	bl_revoke_ack(&rv, r);
	CHECK_OK(bl_revoke_lost(&rv, &loss, &s));
	CHECK(r == s);
	CHECK_EQ(r->id, loss.id);
	CHECK_EQ(r->state, BL_ASKED);
	CHECK_EQ(r->escalation, BL_KILL);
	CHECK_EQ(r->deadline, now + 10 * SEC);
	CHECK_EQ(r->reason, BELAY_REASON_UNMAPPED);
	bl_revoke_ack(&rv, r);
	CHECK_OK(bl_revoke_lost(&rv, &loss, &s));	/* the same event again */
	CHECK_EQ(r->state, BL_ACKED);
	bl_revoke_fini(&rv);
}

TEST(lost_more, "more of a region that is lost is the same request, with its deadline, and needs a new ack")
{
	struct bl_ask loss = {
		.session = 1, .region = 7, .grant = 1, .id = 1ULL << 63 | 7,
		.deadline = now + 10 * SEC, .reason = BELAY_REASON_UNMAPPED,
		.kind = BELAY_TRACKED, .escalation = BL_KEEP, .lost = true,
		.bytes = 65536, .lost_len = 4096,
	};
	struct bl_request *r, *s;

	CHECK_OK(bl_revoke_lost(&rv, &loss, &r));
	bl_revoke_ack(&rv, r);
	CHECK_OK(bl_revoke_lost(&rv, &loss, &s));	/* the same again */
	CHECK_EQ(r->state, BL_ACKED);
	now += 5 * SEC;
	loss.deadline = now + 10 * SEC;
	loss.lost_len = 8192;
	loss.bytes = 65536 - 8192;
	CHECK_OK(bl_revoke_lost(&rv, &loss, &s));
	CHECK(r == s);
	CHECK_EQ(r->state, BL_ASKED);
	CHECK_EQ(r->deadline, now + 5 * SEC);
	CHECK_EQ(r->bytes, 65536 - 8192);
	CHECK_EQ(rv.open, 1);
	now += 5 * SEC;
	CHECK(!expect(r, BL_DO_LOOK, 0));
	loss.lost_len = 65536;
	CHECK_OK(bl_revoke_lost(&rv, &loss, &s));	/* too late for a new time */
	CHECK_EQ(r->state, BL_DUE);
	bl_revoke_fini(&rv);
}

TEST(restart, "a deadline that passed while there was no daemon is due at once")
{
	struct bl_ask old = {
		.session = 1, .region = 7, .grant = 1, .id = 5,
		.deadline = now - 100 * SEC, .reason = BELAY_REASON_ADMIN,
		.kind = BELAY_PINNED, .escalation = BL_RELEASE,
	};
	struct bl_request *r;

	CHECK_OK(bl_revoke_ask(&rv, &old, NULL, &r));
	CHECK(!expect(r, BL_DO_LOOK, 0));
	CHECK(expect(r, BL_DO_RELEASE, 0));
	bl_revoke_fini(&rv);
}

TEST(no_deadline, "without a deadline nothing is ever due")
{
	struct bl_ask forever = { .session = 1, .region = 7, .grant = 1, .id = 5,
				  .kind = BELAY_PINNED, .escalation = BL_KILL };

	CHECK_OK(bl_revoke_ask(&rv, &forever, NULL, NULL));
	CHECK_EQ(bl_revoke_wake(&rv), 0);
	now = UINT64_MAX;
	expect_nothing();
	bl_revoke_fini(&rv);
}

TEST(abandoned, "a job that nobody waits for any more ends quietly")
{
	struct bl_job *job = bl_job_new();
	struct bl_request *r = ask(7, BELAY_PINNED, BL_KEEP, job);

	bl_job_start(job, on_done, NULL);
	bl_job_abandon(job);
	bl_revoke_gone(&rv, r);
	CHECK_EQ(done_calls, 0);
	job = bl_job_new();
	bl_job_start(job, on_done, NULL);	/* nothing was selected */
	CHECK_EQ(done_calls, 1);
	job = bl_job_new();
	ask(8, BELAY_PINNED, BL_KEEP, job);
	bl_job_start(job, on_done, NULL);
	bl_revoke_fini(&rv);
	CHECK_EQ(done_calls, 2);	/* lest what it waited with is leaked */
	CHECK(seen.dropped);
	CHECK_EQ(seen.kept, 0);		/* nobody knows */
}

TEST(order, "ten thousand requests come due in the order of their deadlines, each once")
{
	uint64_t x = 88172645463325252ULL, last = 0;
	enum bl_action action;
	struct bl_request *r;
	int i, n = 0;

	for (i = 0; i < 10000; i++) {
		struct bl_ask a = { .session = 1, .region = (uint64_t)i + 1,
				    .grant = (uint64_t)i % 10 + 1,
				    .kind = BELAY_PINNED, .escalation = BL_RELEASE };

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		a.id = (uint64_t)i + 1;
		a.deadline = now + x % (100 * SEC);
		CHECK_OK(bl_revoke_ask(&rv, &a, NULL, &r));
		if (i % 7 == 3)
			bl_revoke_gone(&rv, r);
	}
	while ((now = bl_revoke_wake(&rv))) {
		CHECK_GE(now, last);
		last = now;
		r = bl_revoke_due(&rv, now, &action);
		CHECK_EQ(action, BL_DO_LOOK);
		CHECK(bl_revoke_result(&rv, r, action, -ENOENT, now));
		n++;
	}
	CHECK_EQ(n, 10000 - 1429);
	CHECK_EQ(rv.open, 0);
	bl_revoke_fini(&rv);
}

TAP_MAIN()
