// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * A program of the first release: the numbers of the commands and the places of the
 * fields are written out here as they were then, and the ABI header is not included.
 * So this is not to be changed when a struct grows: it must go on working, also with
 * belay.ko built from structs that have grown (tests/harness/grown).
 *
 * Behind each struct and each array lie bytes that the kernel must not write.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/lib/tap.h"

#define PAGE		4096UL
#define UNTOUCHED	0xa5
#define ROOM		4

/* Commands: the number of the ioctl, and the size of its struct. */
struct command { unsigned long number; uint32_t size; };
static const struct command INFO = { 0xbe00, 48 };
static const struct command REGISTER = { 0xbe10, 32 }, COMMIT = { 0xbe11, 32 };
static const struct command UNREGISTER = { 0xbe12, 32 }, CHECK_WORDS = { 0xbe13, 32 };
static const struct command TRIM = { 0xbe14, 32 }, USAGE = { 0xbe15, 48 };
static const struct command ACCOUNT = { 0xbe20, 104 }, LIMITS = { 0xbe21, 32 };
static const struct command ACCOUNT_REMOVE = { 0xbe22, 16 }, GRANT = { 0xbe23, 136 };
static const struct command RECALL = { 0xbe25, 32 }, RELEASE = { 0xbe26, 32 };
static const struct command EVENTS = { 0xbe27, 24 }, EVENTS_DONE = { 0xbe28, 24 };
static const struct command LIST = { 0xbe29, 136 }, WAIT = { 0xbe2a, 120 };
static const struct command HOLDERS = { 0xbe2b, 32 };

/* The sizes of entries and rows. */
enum {
	REGISTER_ENTRY = 96, REGION_ENTRY = 32, TRIM_ENTRY = 112, LEVEL = 40, LIMIT_ENTRY = 32,
	RECALL_ENTRY = 48, EVENT = 96, HOLDER_ROW = 24,
	ACCOUNT_ROW = 128, GRANT_ROW = 176, SESSION_ROW = 32, REGION_ROW = 160,
};

/* How the structs of commands on an array of entries begin. */
enum { ENTRIES = 8, COUNT = 16, ENTRY_SIZE = 20, DONE = 24 };

static unsigned char arg[512], array[ROOM * 256];
static int ctl, session;
static uint64_t account, grant, session_id;
static const uint64_t *words;
static char *memory;

static void put32(void *at, unsigned int offset, uint32_t value)
{
	memcpy((char *)at + offset, &value, sizeof(value));
}

static void put64(void *at, unsigned int offset, uint64_t value)
{
	memcpy((char *)at + offset, &value, sizeof(value));
}

static uint32_t get32(const void *at, unsigned int offset)
{
	uint32_t value;

	memcpy(&value, (const char *)at + offset, sizeof(value));
	return value;
}

static uint64_t get64(const void *at, unsigned int offset)
{
	uint64_t value;

	memcpy(&value, (const char *)at + offset, sizeof(value));
	return value;
}

static void begin_arg(const struct command *c)
{
	memset(arg, UNTOUCHED, sizeof(arg));
	memset(arg, 0, c->size);
	put32(arg, 0, c->size);
}

/* With an array of @count entries, all zero, whose place in @arg is given. */
static void begin_array(const struct command *c, uint32_t count, uint32_t entry_size,
			unsigned int at, unsigned int count_at, unsigned int size_at)
{
	begin_arg(c);
	memset(array, UNTOUCHED, sizeof(array));
	memset(array, 0, count * entry_size);
	put64(arg, at, (uintptr_t)array);
	put32(arg, count_at, count);
	put32(arg, size_at, entry_size);
}

static void begin_entries(const struct command *c, uint32_t count, uint32_t entry_size)
{
	begin_array(c, count, entry_size, ENTRIES, COUNT, ENTRY_SIZE);
}

static bool is_untouched(const unsigned char *at, const unsigned char *end)
{
	while (at < end && *at == UNTOUCHED)
		at++;
	return at == end;
}

static int call(int fd, const struct command *c)
{
	int ret = ioctl(fd, c->number, arg) ? -errno : 0;

	CHECK(is_untouched(arg + c->size, arg + sizeof(arg)));
	return ret;
}

static int call_array(int fd, const struct command *c, uint32_t count, uint32_t entry_size)
{
	int ret = call(fd, c);

	CHECK(is_untouched(array + count * entry_size, array + sizeof(array)));
	return ret;
}

static uint64_t own_start_time(void)
{
	FILE *f = fopen("/proc/self/stat", "r");
	unsigned long long start;

	CHECK(f);
	CHECK_EQ(fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
			"%*d %*d %*d %*d %*d %*d %llu", &start), 1);
	fclose(f);
	return start;
}

static void begin(void)
{
	ctl = CHECK_SYS(open("/dev/belay", O_RDWR | O_CLOEXEC));
	begin_arg(&ACCOUNT);
	put64(arg, 24, ~0ULL);		/* limit_bytes */
	put64(arg, 32, ~0ULL);		/* limit_regions */
	CHECK_EQ(call(ctl, &ACCOUNT), 0);
	account = get64(arg, 16);
	CHECK(account);

	begin_arg(&GRANT);
	put64(arg, 8, account);
	put64(arg, 16, own_start_time());
	put32(arg, 24, getpid());
	put32(arg, 52, geteuid());
	put64(arg, 56, ~0ULL);
	put64(arg, 64, ~0ULL);
	CHECK_EQ(call(ctl, &GRANT), 0);
	session = get32(arg, 28);
	grant = get64(arg, 32);
	session_id = get64(arg, 40);
	CHECK_EQ(get32(arg, 48), 0);	/* existed */

	words = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, session, 0);
	CHECK(words != MAP_FAILED);
	memory = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(memory != MAP_FAILED);
}

static uint32_t read_events(void)
{
	begin_entries(&EVENTS, ROOM, EVENT);
	CHECK_EQ(call_array(ctl, &EVENTS, ROOM, EVENT), 0);
	return get32(arg, COUNT);
}

/* Of the event in @array. */
static uint32_t done_with_event(void)
{
	uint64_t seq = get64(array, 24);

	begin_entries(&EVENTS_DONE, 1, EVENT);
	put64(array, 24, seq);
	CHECK_EQ(call_array(ctl, &EVENTS_DONE, 1, EVENT), 0);
	return get32(arg, COUNT);
}

static void end(void)
{
	CHECK_SYS(munmap((void *)words, PAGE));
	CHECK_SYS(close(session));
	/* The grant has ended: whoever has heard of it gives its account back. */
	while (read_events())
		done_with_event();
	begin_arg(&ACCOUNT_REMOVE);
	put64(arg, 8, account);
	CHECK_EQ(call(ctl, &ACCOUNT_REMOVE), 0);
	CHECK_SYS(close(ctl));
}

struct region { uint64_t id, expected; uint32_t word; };

static struct region take_over(const unsigned char *entry)
{
	CHECK_EQ((int32_t)get32(entry, 32), 0);
	return (struct region) { get64(entry, 48), get64(entry, 40), get32(entry, 36) };
}

/* The pages @page to @page + @pages - 1, for a device that writes. */
static struct region make_region(unsigned int page, unsigned int pages, uint32_t kind)
{
	begin_entries(&REGISTER, 1, REGISTER_ENTRY);
	put64(array, 0, (uintptr_t)memory + page * PAGE);
	put64(array, 8, pages * PAGE);
	put64(array, 16, 4711);		/* cookie */
	put32(array, 24, kind);
	put32(array, 28, 1);		/* BELAY_REGION_WRITE */
	CHECK_EQ(call_array(session, &REGISTER, 1, REGISTER_ENTRY), 0);
	CHECK_EQ(get32(arg, DONE), 1);
	return take_over(array);
}

static uint64_t bits(const struct region *r)
{
	return __atomic_load_n(&words[r->word], __ATOMIC_ACQUIRE) - r->expected;
}

static int act_on(const struct command *c, uint64_t region)
{
	begin_entries(c, 1, REGION_ENTRY);
	put64(array, 0, region);
	CHECK_EQ(call_array(session, c, 1, REGION_ENTRY), 0);
	CHECK_EQ(get32(arg, DONE), 1);
	return get32(array, 8);
}

TEST(info, "BELAY_INFO answers a program of the first release, on both kinds of file")
{
	begin();
	begin_arg(&INFO);
	CHECK_EQ(call(ctl, &INFO), 0);
	CHECK_EQ(get32(arg, 12), PAGE);
	CHECK_GE(get32(arg, 8), get32(arg, 36));	/* newest and oldest version */
	CHECK_EQ(get64(arg, 16) & 0x1f, 0x1f);		/* features */
	CHECK_EQ(get32(arg, 24), 16384);		/* max_batch */
	CHECK_EQ(get64(arg, 40), 0);
	begin_arg(&INFO);
	CHECK_EQ(call(session, &INFO), 0);
	CHECK_EQ(get64(arg, 40), session_id);
	end();
}

TEST(regions, "it registers, tests words, commits, trims, checks and unregisters")
{
	struct region r, part[2];

	begin();
	r = make_region(0, 3, 1);
	CHECK_EQ(bits(&r), 0);
	begin_entries(&TRIM, 1, TRIM_ENTRY);
	put64(array, 0, r.id);
	put64(array, 8, (uintptr_t)memory + PAGE);
	put64(array, 16, PAGE);
	CHECK_EQ(call_array(session, &TRIM, 1, TRIM_ENTRY), 0);
	CHECK_EQ((int32_t)get32(array, 24), 0);
	part[0] = (struct region) { get64(array, 32), get64(array, 40), get32(array, 64) };
	part[1] = (struct region) { get64(array, 72), get64(array, 80), get32(array, 104) };
	CHECK_EQ(get64(array, 48), (uintptr_t)memory);
	CHECK_EQ(get64(array, 88), (uintptr_t)memory + 2 * PAGE);
	CHECK_EQ(bits(&r), 8);			/* released */
	CHECK_EQ(bits(&part[0]), 0);
	CHECK_EQ(bits(&part[1]), 0);

	CHECK_SYS(madvise(memory, PAGE, MADV_DONTNEED));
	CHECK_EQ(act_on(&CHECK_WORDS, part[0].id), 0);
	CHECK_EQ(get32(array, 12), 2);		/* lost */
	CHECK_EQ(get64(array, 16), (uintptr_t)memory);
	CHECK_EQ(get64(array, 24), PAGE);
	CHECK_EQ(act_on(&CHECK_WORDS, part[1].id), 0);
	CHECK_EQ(get32(array, 12), 0);
	CHECK_EQ(act_on(&UNREGISTER, part[0].id), 0);
	CHECK_EQ(act_on(&UNREGISTER, part[1].id), 0);
	CHECK_EQ(act_on(&UNREGISTER, part[1].id), -ENOENT);

	r = make_region(4, 1, 2);		/* tracked */
	CHECK_EQ(act_on(&COMMIT, r.id), 0);
	CHECK_EQ(act_on(&UNREGISTER, r.id), 0);
	end();
}

TEST(batch, "each of several entries has its own status, at its own place")
{
	struct region r;

	begin();
	begin_entries(&REGISTER, 3, REGISTER_ENTRY);
	for (unsigned int i = 0; i < 3; i++) {
		put64(array + i * REGISTER_ENTRY, 0, (uintptr_t)memory + i * PAGE);
		put64(array + i * REGISTER_ENTRY, 8, PAGE);
		put32(array + i * REGISTER_ENTRY, 24, i == 1 ? 99 : 1);
	}
	CHECK_EQ(call_array(session, &REGISTER, 3, REGISTER_ENTRY), 0);
	CHECK_EQ(get32(arg, DONE), 3);
	CHECK_EQ((int32_t)get32(array + REGISTER_ENTRY, 32), -EOPNOTSUPP);
	r = take_over(array);
	CHECK_EQ(bits(&r), 0);
	r = take_over(array + 2 * REGISTER_ENTRY);
	CHECK_EQ(bits(&r), 0);
	end();
}

TEST(limits, "it sets a limit, is refused by it and told by how much, and reads its usage")
{
	begin();
	begin_entries(&LIMITS, 1, LIMIT_ENTRY);
	put64(array, 0, account);
	put64(array, 16, 2 * PAGE);
	put64(array, 24, ~0ULL);
	CHECK_EQ(call_array(ctl, &LIMITS, 1, LIMIT_ENTRY), 0);
	make_region(0, 1, 1);
	begin_entries(&REGISTER, 1, REGISTER_ENTRY);
	put64(array, 0, (uintptr_t)memory + PAGE);
	put64(array, 8, 2 * PAGE);
	put32(array, 24, 1);
	CHECK_EQ(call_array(session, &REGISTER, 1, REGISTER_ENTRY), 0);
	CHECK_EQ((int32_t)get32(array, 32), -EDQUOT);
	CHECK_EQ(get64(array, 56), account);
	CHECK_EQ(get32(array, 64), 1);		/* bytes */
	CHECK_EQ(get64(array, 72), PAGE);
	CHECK_EQ(get64(array, 80), 2 * PAGE);
	CHECK_EQ(get64(array, 88), 2 * PAGE);

	begin_array(&USAGE, 2, LEVEL, 24, 32, 36);
	CHECK_EQ(call_array(session, &USAGE, 2, LEVEL), 0);
	CHECK_EQ(get64(arg, 8), session_id);
	CHECK_EQ(get32(arg, 32), 2);		/* the grant's and the account's */
	CHECK_EQ(get64(array + LEVEL, 0), account);
	CHECK_EQ(get64(array + LEVEL, 8), 2 * PAGE);
	CHECK_EQ(get64(array + LEVEL, 16), PAGE);
	end();
}

/* Rows of @what; @by 0: all of them. */
static uint32_t list(uint32_t what, uint32_t row_size, uint32_t by)
{
	begin_array(&LIST, ROOM, row_size, 16, 24, 12);
	put32(arg, 8, what);
	put32(arg, 48, by);
	put64(arg, 48 + 24, grant);
	CHECK_EQ(call_array(ctl, &LIST, ROOM, row_size), 0);
	return get32(arg, 24);
}

TEST(listing, "it lists accounts, grants, sessions and regions, and who uses a grant")
{
	struct region r;

	begin();
	r = make_region(1, 2, 1);
	CHECK_GE(list(1, ACCOUNT_ROW, 0), 1);
	CHECK_EQ(list(2, GRANT_ROW, 1 << 4), 1);
	CHECK_EQ(get64(array, 0), grant);
	CHECK_EQ(get64(array, 8), account);
	CHECK_EQ(get32(array, 24), (uint32_t)getpid());
	CHECK_EQ(list(3, SESSION_ROW, 1 << 4), 1);
	CHECK_EQ(get64(array, 0), session_id);
	CHECK_EQ(list(4, REGION_ROW, 1 << 4), 1);
	CHECK_EQ(get64(array, 8), r.id);
	CHECK_EQ(get64(array, 24), (uintptr_t)memory + PAGE);
	CHECK_EQ(get64(array, 32), 2 * PAGE);
	CHECK_EQ(get64(array, 40), 4711);

	begin_array(&HOLDERS, 2, HOLDER_ROW, 16, 24, 28);
	put64(arg, 8, grant);
	CHECK_EQ(call_array(ctl, &HOLDERS, 2, HOLDER_ROW), 0);
	CHECK_EQ(get32(arg, 24), 1);
	CHECK_EQ(get32(array, 0), (uint32_t)getpid());
	end();
}

static int order(const struct command *c, uint64_t region)
{
	begin_entries(c, 1, RECALL_ENTRY);
	put64(array, 0, session_id);
	put64(array, 8, region);
	put64(array, 16, 77);		/* request */
	put32(array, 32, 64);		/* reason: an administrator */
	CHECK_EQ(call_array(ctl, c, 1, RECALL_ENTRY), 0);
	return get32(array, 40);
}

static int wait_for(uint64_t region)
{
	begin_arg(&WAIT);
	put64(arg, 8, 1000000000);	/* ns */
	put32(arg, 32, 1 << 5 | 1 << 6);	/* by session and region */
	put64(arg, 32 + 32, session_id);
	put64(arg, 32 + 40, region);
	return call(ctl, &WAIT);
}

TEST(orders, "it recalls, releases, waits, and hears of what it has ordered and of losses")
{
	struct region r, lost;

	begin();
	r = make_region(0, 1, 1);
	CHECK_EQ(order(&RECALL, r.id), 0);
	CHECK_EQ(bits(&r), 4);		/* recalled */
	CHECK_EQ(wait_for(r.id), -ETIMEDOUT);
	CHECK_EQ(get64(arg, 24), r.id);
	CHECK_EQ(order(&RELEASE, r.id), 0);
	CHECK_EQ(bits(&r), 4 | 8);
	CHECK_EQ(wait_for(r.id), 0);
	CHECK_SOON(read_events() == 1, 5);
	CHECK_EQ(get64(array, 8), r.id);
	CHECK_EQ(get32(array, 32), 2);	/* gone */
	CHECK_EQ(get64(array, 88), 77);
	CHECK_EQ(done_with_event(), 1);

	lost = make_region(3, 1, 1);
	CHECK_SYS(munmap(memory + 3 * PAGE, PAGE));
	CHECK_SOON(read_events() == 1, 5);
	CHECK_EQ(get64(array, 0), session_id);
	CHECK_EQ(get64(array, 8), lost.id);
	CHECK_EQ(get32(array, 32), 1);	/* lost */
	CHECK_EQ(get64(array, 48), 4711);
	CHECK_EQ(get64(array, 72), (uintptr_t)memory + 3 * PAGE);
	CHECK_EQ(done_with_event(), 1);
	CHECK_EQ(read_events(), 0);
	end();
}

TEST(shorter, "anything shorter than the first release's is refused")
{
	static const struct command *const of_control[] = {
		&INFO, &ACCOUNT, &LIMITS, &ACCOUNT_REMOVE, &GRANT, &RECALL, &RELEASE, &EVENTS,
		&EVENTS_DONE, &LIST, &WAIT, &HOLDERS,
	};
	static const struct command *const of_session[] = {
		&INFO, &REGISTER, &COMMIT, &UNREGISTER, &CHECK_WORDS, &TRIM, &USAGE,
	};
	static const struct { const struct command *c; uint32_t entry; } arrays[] = {
		{ &LIMITS, LIMIT_ENTRY }, { &RECALL, RECALL_ENTRY }, { &EVENTS, EVENT },
		{ &EVENTS_DONE, EVENT }, { &REGISTER, REGISTER_ENTRY }, { &COMMIT, REGION_ENTRY },
		{ &TRIM, TRIM_ENTRY },
	};
	unsigned int i;

	begin();
	for (i = 0; i < sizeof(of_control) / sizeof(*of_control); i++) {
		begin_arg(of_control[i]);
		put32(arg, 0, of_control[i]->size - 1);
		CHECK_EQ(call(ctl, of_control[i]), -EINVAL);
	}
	for (i = 0; i < sizeof(of_session) / sizeof(*of_session); i++) {
		begin_arg(of_session[i]);
		put32(arg, 0, of_session[i]->size - 1);
		CHECK_EQ(call(session, of_session[i]), -EINVAL);
	}
	for (i = 0; i < sizeof(arrays) / sizeof(*arrays); i++) {
		begin_entries(arrays[i].c, 1, arrays[i].entry - 1);
		CHECK_EQ(call(arrays[i].c->number < 0xbe20 ? session : ctl, arrays[i].c), -EINVAL);
	}
	end();
}

TAP_MAIN()
