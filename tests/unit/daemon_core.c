/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* The map, policies, tags and the ledger. */
#include "common/protocol.h"
#include "daemon/core/bucket.h"
#include "daemon/core/decide.h"
#include "daemon/core/heap.h"
#include "daemon/core/ledger.h"
#include "daemon/core/map.h"
#include "daemon/core/policy.h"
#include "daemon/core/tag.h"
#include "tests/lib/tap.h"

#define KEYS 1000

TEST(map, "a map agrees with an array under 200,000 random changes")
{
	static char *oracle[KEYS];
	struct bl_map map = { 0 };
	uint64_t x = 88172645463325252ULL;
	size_t used = 0;
	int i, k;

	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		k = (int)(x % KEYS);
		if (x >> 63) {
			used += !oracle[k];
			oracle[k] = (char *)oracle + i + 1;
			CHECK_OK(bl_map_put(&map, (uint64_t)k / 10, (uint64_t)k % 10, oracle[k]));
		} else {
			used -= !!oracle[k];
			CHECK(bl_map_remove(&map, (uint64_t)k / 10, (uint64_t)k % 10) == oracle[k]);
			oracle[k] = NULL;
		}
		k = (int)(x >> 20) % KEYS;
		if (k < 0)
			k = -k;
		CHECK(bl_map_get(&map, (uint64_t)k / 10, (uint64_t)k % 10) == oracle[k]);
		CHECK_EQ(map.used, used);
	}
	bl_map_fini(&map);
	CHECK(!bl_map_get(&map, 1, 1));
	CHECK(!bl_map_remove(&map, 1, 1));
}

TEST(map_replace, "replacing needs no memory, however full the map is")
{
	struct bl_map map = { 0 };
	uint64_t i, n;

	for (n = 1; n < 500; n++) {
		CHECK_OK(bl_map_put(&map, n, 0, &map));
		for (i = 1; i <= n; i++) {
			size_t size = map.size, used = map.used;

			CHECK_OK(bl_map_put(&map, i, 0, &n));
			CHECK(bl_map_get(&map, i, 0) == &n);
			CHECK(map.size == size && map.used == used);
		}
	}
	bl_map_fini(&map);
}

TEST(heap, "a heap gives what is first, as an array does, under 200,000 random changes")
{
	static struct bl_heap_node nodes[200];
	struct bl_heap h = { 0 };
	uint64_t x = 88172645463325252ULL, least;
	int i, k;

	CHECK_OK(bl_heap_reserve(&h, 1));
	CHECK(!bl_heap_first(&h));
	for (i = 2; i <= 200; i++)
		CHECK_OK(bl_heap_reserve(&h, (uint64_t)i));
	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		bl_heap_set(&h, &nodes[x % 200], x >> 62 ? x >> 40 : 0);
		least = UINT64_MAX;
		for (k = 0; k < 200; k++)
			if (nodes[k].wake && nodes[k].wake < least)
				least = nodes[k].wake;
		if (least == UINT64_MAX)
			CHECK(!bl_heap_first(&h));
		else
			CHECK_EQ(bl_heap_first(&h)->wake, least);
	}
	bl_heap_fini(&h);
}

TEST(bucket, "a bucket gives its burst at once, and then its rate")
{
	struct bl_bucket b;
	uint64_t now = 5000000000ULL;
	int i, n = 0;

	bl_bucket_init(&b, 10, 100, now);
	for (i = 0; i < 20; i++)
		n += bl_bucket_take(&b, 10, 100, now);
	CHECK_EQ(n, 10);
	for (i = 0; i < 1000; i++)
		n += bl_bucket_take(&b, 10, 100, now += 1000000);
	CHECK_EQ(n, 110);
	now += 3600000000000ULL;
	for (n = 0, i = 0; i < 20; i++)
		n += bl_bucket_take(&b, 10, 100, now);
	CHECK_EQ(n, 10);
}

static struct bl_limits user_limits(const struct bl_policy *p, uid_t uid, uint64_t memlock)
{
	const struct bl_account_key key = { .kind = BL_ACCOUNT_USER, .id = uid };

	return bl_policy_account_limits(p, &key, memlock);
}

TEST(like_mlock, "a user that nobody has configured gets its RLIMIT_MEMLOCK, root no limit")
{
	struct bl_policy *p = bl_policy_new();
	struct bl_limits l;

	l = user_limits(p, 1000, 8 << 20);
	CHECK_EQ(l.bytes, 8 << 20);
	CHECK_EQ(l.regions, BL_UNLIMITED);
	l = bl_policy_process_limits(p, 1000, 8 << 20);
	CHECK_EQ(l.bytes, 8 << 20);
	CHECK_EQ(user_limits(p, 0, 8 << 20).bytes, BL_UNLIMITED);
	CHECK_EQ(bl_policy_process_limits(p, 0, 8 << 20).bytes, BL_UNLIMITED);
	bl_policy_free(p);
}

TEST(merging, "a user's entry overrides [default] key by key")
{
	struct bl_policy *p = bl_policy_new();
	struct bl_rule *r;

	p->fallback.said |= BL_SAYS_BYTES;
	p->fallback.user.bytes = 100;
	p->fallback.said |= BL_SAYS_PROCESS_REGIONS;
	p->fallback.process.regions = 7;
	r = bl_policy_user(p, 1000);
	CHECK(r == bl_policy_user(p, 1000));
	r->said |= BL_SAYS_REGIONS;
	r->user.regions = 5;
	CHECK_EQ(user_limits(p, 1000, 1).bytes, 100);
	CHECK_EQ(user_limits(p, 1000, 1).regions, 5);
	CHECK_EQ(user_limits(p, 1001, 1).regions, BL_UNLIMITED);
	CHECK_EQ(bl_policy_process_limits(p, 1000, 1).bytes, BL_UNLIMITED);
	CHECK_EQ(bl_policy_process_limits(p, 1000, 1).regions, 7);
	CHECK_EQ(user_limits(p, 0, 1).bytes, 100);
	bl_policy_free(p);
}

TEST(escalation, "release is refused for tracked regions when asked for, and is keep when configured")
{
	struct bl_policy *p = bl_policy_new();

	CHECK_EQ(bl_policy_escalation(p, BL_RELEASE, BELAY_TRACKED), 0);
	CHECK_EQ(bl_policy_escalation(p, BL_RELEASE, BELAY_PINNED), BL_RELEASE);
	CHECK_EQ(bl_policy_escalation(p, BL_KILL, BELAY_TRACKED), BL_KILL);
	CHECK_EQ(bl_policy_escalation(p, BL_ESCALATE_DEFAULT, BELAY_PINNED), BL_KEEP);
	p->escalation = BL_RELEASE;
	CHECK_EQ(bl_policy_escalation(p, BL_ESCALATE_DEFAULT, BELAY_PINNED), BL_RELEASE);
	CHECK_EQ(bl_policy_escalation(p, BL_ESCALATE_DEFAULT, BELAY_TRACKED), BL_KEEP);
	p->escalation = BL_KILL;
	CHECK_EQ(bl_policy_escalation(p, BL_ESCALATE_DEFAULT, BELAY_TRACKED), BL_KILL);
	CHECK_EQ(bl_policy_escalation(p, BL_ESCALATE_DEFAULT, BELAY_WATCHED), BL_KEEP);
	CHECK_EQ(bl_policy_escalation(p, BL_KILL, BELAY_WATCHED), BL_KEEP);
	bl_policy_free(p);
}

TEST(tags, "a tag gives back what was put into it, and a stranger's is recognised")
{
	struct bl_account_key a = { .kind = BL_ACCOUNT_USER, .id = 4711 };
	struct bl_grant_tag g = { .uid = 12, .memlock_soft = 65536,
				  .memlock_hard = BL_UNLIMITED };
	uint8_t tag[BELAY_TAG_BYTES];

	bl_tag_put_account(tag, &a);
	CHECK_EQ(bl_tag_get_grant(tag, &g), -EINVAL);
	a = (struct bl_account_key){ 0 };
	CHECK_OK(bl_tag_get_account(tag, &a));
	CHECK_EQ(a.kind, BL_ACCOUNT_USER);
	CHECK_EQ(a.id, 4711);
	bl_tag_put_grant(tag, &g);
	CHECK_EQ(bl_tag_get_account(tag, &a), -EINVAL);
	g = (struct bl_grant_tag){ 0 };
	CHECK_OK(bl_tag_get_grant(tag, &g));
	CHECK_EQ(g.uid, 12);
	CHECK_EQ(g.memlock_soft, 65536);
	CHECK_EQ(g.memlock_hard, BL_UNLIMITED);
	tag[4]++;
	CHECK_EQ(bl_tag_get_grant(tag, &g), -EINVAL);
	memset(tag, 0, sizeof(tag));
	CHECK_EQ(bl_tag_get_grant(tag, &g), -EINVAL);
}

TEST(ledger, "the ledger finds by id, by key, by path, by name and by process, and forgets")
{
	const struct bl_account_key sys = { .kind = BL_ACCOUNT_SYSTEM };
	const struct bl_account_key user = { .kind = BL_ACCOUNT_USER, .id = 7 };
	const struct bl_account_path path = { 2, { sys, user } };
	struct bl_limits l = { 1000, 10 };
	struct bl_grant_tag tag = { .uid = 7, .memlock_soft = 64 };
	struct bl_grant_record *g;
	struct bl_account *a, *root;
	struct bl_ledger lg;

	bl_ledger_init(&lg);
	CHECK(!bl_ledger_at(&lg, &path));
	root = bl_ledger_add_account(&lg, 1, NULL, &sys, "system", &l);
	CHECK(!bl_ledger_at(&lg, &path));
	a = bl_ledger_add_account(&lg, 2, root, &user, "user/joe", &l);
	CHECK_STR(bl_account_short_name(a), "joe");
	CHECK_STR(bl_account_short_name(root), "system");
	strcpy(a->name, "user/DOM/joe");	/* as winbind has them */
	CHECK_STR(bl_account_short_name(a), "DOM/joe");
	strcpy(a->name, "user/joe");
	CHECK(bl_account_user(a) == a && !bl_account_user(root));
	CHECK(bl_ledger_account(&lg, 2) == a);
	CHECK(bl_ledger_child(&lg, root, &user) == a);
	CHECK(bl_ledger_child(&lg, NULL, &sys) == root);
	CHECK(!bl_ledger_child(&lg, a, &user));
	CHECK(bl_ledger_at(&lg, &path) == a);
	CHECK(bl_ledger_account_named(&lg, "user/joe") == a);
	CHECK(bl_ledger_account_named(&lg, "system") == root);
	CHECK(lg.root == root);
	CHECK_EQ(root->children, 1);
	g = bl_ledger_add_grant(&lg, 3, a, 100, 555, &tag, &l);
	CHECK(bl_ledger_grant(&lg, 3) == g);
	CHECK(bl_ledger_process(&lg, 100, 555) == g->process);
	CHECK(!bl_ledger_process(&lg, 100, 556));
	CHECK_EQ(a->grants, 1);
	CHECK_EQ(a->memlock_bytes, 64);
	bl_ledger_remove_grant(&lg, g);
	CHECK(!bl_ledger_process(&lg, 100, 555));
	CHECK_EQ(a->grants, 0);
	bl_ledger_remove_account(&lg, a);
	CHECK(!bl_ledger_at(&lg, &path));
	CHECK_EQ(root->children, 0);
	bl_ledger_fini(&lg);
}

/* As deep as the module allows: the levels of the policy are two, those of the tree are not. */
TEST(deep, "a tree of any depth: the least limit of all levels holds, and a user is found in it")
{
	struct bl_account_key key = { .kind = BL_ACCOUNT_SYSTEM };
	struct bl_account *levels[BL_PATH_MAX];
	const struct bl_account *level;
	struct bl_limits l;
	struct bl_ledger lg;
	unsigned int i;

	bl_ledger_init(&lg);
	for (i = 0; i < BL_PATH_MAX; i++) {
		l = (struct bl_limits){ 1000 - i, 10 };
		key.id = i;
		if (i == 3)
			key.kind = BL_ACCOUNT_USER;
		levels[i] = bl_ledger_add_account(&lg, i + 1, i ? levels[i - 1] : NULL, &key, "x", &l);
		CHECK(levels[i]);
		CHECK(bl_ledger_child(&lg, i ? levels[i - 1] : NULL, &key) == levels[i]);
		if (i < 3)
			CHECK(!bl_account_user(levels[i]));
		else
			CHECK(bl_account_user(levels[i]) == levels[i]);
	}
	l.bytes = 5000;
	CHECK_EQ(bl_decide_bytes(levels[7], &l, &level), 993);
	CHECK(level == levels[7]);
	levels[2]->limits.bytes = 17;
	CHECK_EQ(bl_decide_bytes(levels[7], &l, &level), 17);
	CHECK(level == levels[2]);
	CHECK_EQ(bl_decide_bytes(levels[1], &l, &level), 999);
	CHECK(level == levels[1]);
	l.bytes = 3;
	CHECK_EQ(bl_decide_bytes(levels[7], &l, &level), 3);
	CHECK(!level);
	bl_ledger_fini(&lg);
}

static unsigned int asked;

static uint64_t usage_of(void *arg, const struct bl_account *a)
{
	asked++;
	return a->id * 100;
}

/* The verdict's words about a wish, with a tree of system (id 1) and a user (id 2). */
static struct bl_verdict verdict_of(uint64_t system, uint64_t user, uint64_t process,
				    uint64_t want, char *text)
{
	const struct bl_account_key keys[] = {
		{ .kind = BL_ACCOUNT_SYSTEM }, { .kind = BL_ACCOUNT_USER, .id = 7 },
	};
	struct bl_wish wish = { .uid = 7, .memlock_bytes = process, .want_bytes = want,
				.usage = usage_of };
	struct bl_limits l = { system, 10 };
	struct bl_policy *p = bl_policy_new();
	struct bl_verdict v;
	struct bl_account *root;
	struct bl_refusal r;
	struct bl_ledger lg;

	asked = 0;
	bl_ledger_init(&lg);
	root = bl_ledger_add_account(&lg, 1, NULL, &keys[0], "system", &l);
	l.bytes = user;
	wish.account = bl_ledger_add_account(&lg, 2, root, &keys[1], "user/joe", &l);
	bl_decide_open(p, &wish, &v);
	bl_verdict_text(&v, text, BL_TEXT_MAX);
	r = bl_verdict_refusal(&v);
	CHECK_STR(r.account, v.level ? v.level->name : "grant");
	CHECK_EQ(r.usage, v.used);
	CHECK_EQ(r.limit, v.limit);
	CHECK_EQ(r.needed, want);
	CHECK_EQ(r.resource, BELAY_RESOURCE_BYTES);
	bl_ledger_fini(&lg);
	bl_policy_free(p);
	return v;
}

TEST(verdict, "a verdict names the level that refuses, its limit and usage, and what would cure it")
{
	char text[BL_TEXT_MAX];
	struct bl_verdict v;

	v = verdict_of(1000, 500, 300, 0, text);
	CHECK(!v.refused && v.cure == BL_CURE_NOTHING);
	CHECK_EQ(v.grant.bytes, 300);
	CHECK_EQ(asked, 0);	/* nobody is asked for what does not matter */
	v = verdict_of(1000, 500, 300, 300, text);
	CHECK(!v.refused);
	v = verdict_of(1000, 500, 300, 301, text);
	CHECK(v.refused && !v.level && v.cure == BL_CURE_PROCESS_MAX);
	CHECK_EQ(v.limit, 300);
	CHECK_EQ(asked, 0);
	CHECK_STR(text, "this process may hold 300 B, and 301 B were asked for; ask for less, or ask the administrator to raise process_max (where that is not set, max; where neither is set, the process's RLIMIT_MEMLOCK) in /etc/belay/belayd.conf");
	v = verdict_of(1000, 200, 300, 301, text);
	CHECK(v.refused && v.level && v.cure == BL_CURE_ACCOUNT_MAX);
	CHECK_EQ(v.limit, 200);
	CHECK_EQ(v.used, 200);
	CHECK_STR(text, "user/joe may hold 200 B (200 B in use), and 301 B were asked for; ask for less, or ask the administrator to raise the limit of user/joe (max in [user joe] of /etc/belay/belayd.conf; until belayd ends: belayctl limit set user/joe SIZE)");
	v = verdict_of(100, 200, 300, 150, text);
	CHECK(v.refused && v.cure == BL_CURE_ACCOUNT_MAX);
	CHECK_EQ(v.limit, 100);
	CHECK_EQ(v.used, 100);
	CHECK(strstr(text, "system may hold 100 B (100 B in use), and 150 B were asked for;"));
	CHECK(strstr(text, "(max in [system] of /etc/belay"));
}

TEST(path, "the policy's path leads from the system to the user")
{
	struct bl_policy *p = bl_policy_new();
	const struct bl_identity who = { .uid = 4711 };
	struct bl_account_path path;

	bl_policy_path(p, &who, &path);
	CHECK_EQ(path.count, 2);
	CHECK_EQ(path.keys[0].kind, BL_ACCOUNT_SYSTEM);
	CHECK_EQ(path.keys[0].id, 0);
	CHECK_EQ(path.keys[1].kind, BL_ACCOUNT_USER);
	CHECK_EQ(path.keys[1].id, 4711);
	bl_policy_free(p);
}

TEST(overrides, "what an administrator set wins over the policy, and reaches the user's processes")
{
	const struct bl_account_key user = { .kind = BL_ACCOUNT_USER, .id = 7 };
	struct bl_grant_tag tag = { .uid = 7, .memlock_soft = 64 };
	struct bl_policy *p = bl_policy_new();
	struct bl_limits l = { 64, BL_UNLIMITED };
	struct bl_grant_record *g;
	struct bl_account *a;
	struct bl_ledger lg;

	bl_ledger_init(&lg);
	a = bl_ledger_add_account(&lg, 2, NULL, &user, "user/joe", &l);
	g = bl_ledger_add_grant(&lg, 3, a, 100, 555, &tag, &l);
	CHECK_EQ(bl_ledger_account_limits(p, a).bytes, 64);
	CHECK_EQ(bl_ledger_grant_limits(p, g).bytes, 64);
	a->set.bytes = 4096;
	a->set_mask = BL_LIMIT_SET_BYTES;
	CHECK_EQ(bl_ledger_account_limits(p, a).bytes, 4096);
	CHECK_EQ(bl_ledger_account_limits(p, a).regions, BL_UNLIMITED);
	CHECK_EQ(bl_ledger_grant_limits(p, g).bytes, BL_UNLIMITED);
	g->set.bytes = 512;
	g->set_mask = BL_LIMIT_SET_BYTES;
	CHECK_EQ(bl_ledger_grant_limits(p, g).bytes, 512);
	bl_ledger_fini(&lg);
	bl_policy_free(p);
}

TAP_MAIN()
