// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * The rules of the ABI, for every command: too short, exact, longer with a zero
 * tail, longer with something in it, unknown flags, reserved fields, bad pointers,
 * arrays with smaller and larger entries, none and too many; the wrong kind of file.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define ROOM	4096

static struct bk b;
static char *memory;
static struct bk_region held;		/* what the commands work upon */
static struct bk_region gone;		/* what there is an event about */
static uint64_t spare;			/* an account */

/* Two pages of entries, and a third that nobody may touch. */
static char *array;

enum on { CONTROL = 1, SESSION = 2, ANY = 3 };

/* One command: how to make a good argument, and where its parts are. */
struct command {
	const char *name;
	unsigned long cmd;
	enum on on;
	size_t size;
	size_t least;		/* the first release's */
	void (*good)(void *arg);
	void (*undo)(void *arg);
	int reserved[2];	/* offsets of 32 bit fields that must be 0; 0: none */
	/* of the array: offsets of pointer, count, entry_size, all 32 bit but the first */
	int entries, count, entry_size;
	size_t entry_bytes;
	size_t entry_least;
	bool input;		/* the kernel reads the entries */
	int entry_reserved;
};

#define HEAD(type) struct type *a = arg; memset(a, 0, sizeof(*a)); a->size = sizeof(*a)

static void good_info(void *arg) { HEAD(belay_info); }

static void good_register(void *arg)
{
	struct belay_register_entry *e = (void *)array;
	HEAD(belay_register);

	memset(e, 0, sizeof(*e));
	e->addr = (uintptr_t)memory;
	e->len = PAGES(1);
	e->kind = BELAY_PINNED;
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(*e);
}

static void undo_register(void *arg)
{
	struct belay_register_entry *e = (void *)array;

	CHECK_EQ(e->status, 0);
	CHECK_OK(bk_unregister(b.fd, e->region));
}

static void region_array(void *arg, uint64_t region)
{
	struct belay_region_entry *e = (void *)array;
	HEAD(belay_regions);

	memset(e, 0, sizeof(*e));
	e->region = region;
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(*e);
}

static void good_commit(void *arg)
{
	struct bk_region r;

	CHECK_OK(bk_register(b.fd, memory, PAGES(1), BELAY_TRACKED, W, &r));
	region_array(arg, r.id);
}

static void undo_commit(void *arg)
{
	struct belay_region_entry *e = (void *)array;

	CHECK_OK(bk_unregister(b.fd, e->region));
}

static void good_unregister(void *arg)
{
	struct bk_region r;

	CHECK_OK(bk_register(b.fd, memory, PAGES(1), BELAY_PINNED, W, &r));
	region_array(arg, r.id);
}

static void good_trim(void *arg)
{
	struct belay_trim_entry *e = (void *)array;
	struct bk_region r;
	HEAD(belay_trim);

	CHECK_OK(bk_register(b.fd, memory, PAGES(2), BELAY_PINNED, W, &r));
	memset(e, 0, sizeof(*e));
	e->region = r.id;
	e->addr = (uintptr_t)memory + PAGES(1);
	e->len = PAGES(1);
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(*e);
}

static void undo_trim(void *arg)
{
	struct belay_trim_entry *e = (void *)array;

	CHECK_EQ(e->status, 0);
	CHECK_OK(bk_unregister(b.fd, e->before.region));
}

static void good_check(void *arg) { region_array(arg, held.id); }

static void good_usage(void *arg)
{
	HEAD(belay_usage);
	a->levels = (uintptr_t)array;
	a->count = 8;
	a->entry_size = sizeof(struct belay_level);
}

static void good_account(void *arg)
{
	HEAD(belay_ctl_account);
	a->parent = b.account;
	a->limit_bytes = a->limit_regions = BELAY_UNLIMITED;
}

static void undo_account(void *arg)
{
	bk_remove_account(b.ctl, ((struct belay_ctl_account *)arg)->account);
}

static void good_limits(void *arg)
{
	struct belay_limit_entry *e = (void *)array;
	HEAD(belay_ctl_limits);

	memset(e, 0, sizeof(*e));
	e->id = spare;
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(*e);
}

static void good_remove(void *arg)
{
	HEAD(belay_ctl_id);
	a->id = bk_account(b.ctl, b.account, 0, 0);
}

static void good_grant(void *arg)
{
	HEAD(belay_ctl_grant);
	a->account = b.account;
	a->pid = getpid();
	a->start_time = bk_start_time(getpid());
}

static void undo_grant(void *arg)
{
	close(((struct belay_ctl_grant *)arg)->fd);
}

static void good_recall(void *arg)
{
	struct belay_recall_entry *e = (void *)array;
	HEAD(belay_ctl_recall);

	memset(e, 0, sizeof(*e));
	e->session = b.session;
	e->region = held.id + 1000000;
	e->reason = BELAY_REASON_ADMIN;
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(*e);
}

static void good_events(void *arg)
{
	HEAD(belay_ctl_events);
	memset(array, 0, sizeof(struct belay_event));
	a->entries = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(struct belay_event);
}

static void good_list(void *arg)
{
	HEAD(belay_ctl_list);
	a->what = BELAY_LIST_ACCOUNTS;
	a->rows = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(struct belay_account_row);
}

/* Of a session that there is not. */
static void good_wait(void *arg)
{
	HEAD(belay_ctl_wait);
	a->select.by = BELAY_SELECT_SESSION;
	a->select.session = 1ULL << 40;
}

static void good_holders(void *arg)
{
	HEAD(belay_ctl_holders);
	a->grant = b.grant;
	a->rows = (uintptr_t)array;
	a->count = 1;
	a->entry_size = sizeof(struct belay_holder_row);
}

#define ARRAY(type, pointer, entry, ENTRY, reads, entry_reserved_field)			\
	.entries = offsetof(struct type, pointer),					\
	.count = offsetof(struct type, count),						\
	.entry_size = offsetof(struct type, entry_size),				\
	.entry_bytes = sizeof(struct entry), .entry_least = ENTRY##_SIZE_VER0,		\
	.input = reads,									\
	.entry_reserved = entry_reserved_field
#define REGIONS ARRAY(belay_regions, entries, belay_region_entry, BELAY_REGION_ENTRY, true, 0)
#define RECALL ARRAY(belay_ctl_recall, entries, belay_recall_entry, BELAY_RECALL_ENTRY, true,		\
		     offsetof(struct belay_recall_entry, reserved))

#define ROW(command, where, type, TYPE, make, ...)					\
	{ .name = #command, .cmd = BELAY_##command, .on = where,			\
	  .size = sizeof(struct type), .least = TYPE##_SIZE_VER0, .good = make, ##__VA_ARGS__ }
#define RESERVED(type) .reserved = { offsetof(struct type, reserved) }

static const struct command commands[] = {
	ROW(INFO, ANY, belay_info, BELAY_INFO, good_info),
	ROW(REGISTER, SESSION, belay_register, BELAY_REGISTER, good_register, .undo = undo_register,
	    RESERVED(belay_register), ARRAY(belay_register, entries, belay_register_entry, BELAY_REGISTER_ENTRY, true,
	    offsetof(struct belay_register_entry, reserved))),
	ROW(COMMIT, SESSION, belay_regions, BELAY_REGIONS, good_commit, .undo = undo_commit,
	    RESERVED(belay_regions), REGIONS),
	ROW(UNREGISTER, SESSION, belay_regions, BELAY_REGIONS, good_unregister, RESERVED(belay_regions),
	    REGIONS),
	ROW(CHECK, SESSION, belay_regions, BELAY_REGIONS, good_check, RESERVED(belay_regions), REGIONS),
	ROW(TRIM, SESSION, belay_trim, BELAY_TRIM, good_trim, .undo = undo_trim, RESERVED(belay_trim),
	    ARRAY(belay_trim, entries, belay_trim_entry, BELAY_TRIM_ENTRY, true,
		  offsetof(struct belay_trim_entry, reserved))),
	ROW(USAGE, SESSION, belay_usage, BELAY_USAGE, good_usage,
	    ARRAY(belay_usage, levels, belay_level, BELAY_LEVEL, false, 0)),
	ROW(CTL_ACCOUNT, CONTROL, belay_ctl_account, BELAY_CTL_ACCOUNT, good_account, .undo = undo_account),
	ROW(CTL_LIMITS, CONTROL, belay_ctl_limits, BELAY_CTL_LIMITS, good_limits, RESERVED(belay_ctl_limits),
	    ARRAY(belay_ctl_limits, entries, belay_limit_entry, BELAY_LIMIT_ENTRY, true, 0)),
	ROW(CTL_ACCOUNT_REMOVE, CONTROL, belay_ctl_id, BELAY_CTL_ID, good_remove),
	ROW(CTL_GRANT, CONTROL, belay_ctl_grant, BELAY_CTL_GRANT, good_grant, .undo = undo_grant),
	ROW(CTL_RECALL, CONTROL, belay_ctl_recall, BELAY_CTL_RECALL, good_recall, RESERVED(belay_ctl_recall),
	    RECALL),
	ROW(CTL_RELEASE, CONTROL, belay_ctl_recall, BELAY_CTL_RECALL, good_recall, RESERVED(belay_ctl_recall),
	    RECALL),
	ROW(CTL_EVENTS, CONTROL, belay_ctl_events, BELAY_CTL_EVENTS, good_events,
	    ARRAY(belay_ctl_events, entries, belay_event, BELAY_EVENT, false, 0)),
	ROW(CTL_EVENTS_DONE, CONTROL, belay_ctl_events, BELAY_CTL_EVENTS, good_events,
	    ARRAY(belay_ctl_events, entries, belay_event, BELAY_EVENT, true, 0)),
	ROW(CTL_LIST, CONTROL, belay_ctl_list, BELAY_CTL_LIST, good_list, RESERVED(belay_ctl_list),
	    ARRAY(belay_ctl_list, rows, belay_account_row, BELAY_ACCOUNT_ROW, false, 0)),
	ROW(CTL_WAIT, CONTROL, belay_ctl_wait, BELAY_CTL_WAIT, good_wait),
	ROW(CTL_HOLDERS, CONTROL, belay_ctl_holders, BELAY_CTL_HOLDERS, good_holders,
	    ARRAY(belay_ctl_holders, rows, belay_holder_row, BELAY_HOLDER_ROW, false, 0)),
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *now;

/* For messages of CHECKs that fail far from the table. */
static void expect(int got, int want, int line)
{
	if (got != want)
		FAIL("%s, line %d: %s, not %s", now->name, line,
		     got < 0 ? strerrorname_np(-got) : "success",
		     want < 0 ? strerrorname_np(-want) : "success");
}

#define EXPECT(got, want) expect(got, want, __LINE__)

static int file_of(const struct command *c)
{
	return c->on & CONTROL ? b.ctl : b.fd;
}

static int call(const void *arg)
{
	return bk_ioctl(file_of(now), now->cmd, (void *)arg);
}

static uint32_t *field(void *arg, int offset)
{
	return (uint32_t *)((char *)arg + offset);
}

static void set(void *arg, int offset, uint64_t value)
{
	memcpy((char *)arg + offset, &value, sizeof(value));
}

/* How many regions, accounts, sessions there are: what fails leaves as many. */
static uint64_t things(void)
{
	return bk_sysfs("regions") * 1000000 + bk_sysfs("accounts") * 1000 +
	       bk_sysfs("sessions");
}

static void begin(void)
{
	bk_begin(&b);
	memory = bk_anon(PAGES(4), 1);
	spare = bk_account(b.ctl, b.account, 0, 0);
	held = bk_hold(&b, memory + PAGES(2), PAGES(1), BELAY_PINNED, W);
	/* An event, so that there is one to read. */
	gone = bk_hold(&b, memory + PAGES(3), PAGES(1), BELAY_PINNED, W);
	CHECK_SYS(munmap(memory + PAGES(3), PAGES(1)));
	CHECK_SOON(bk_find_event(b.ctl, b.session, gone.id, BELAY_EVENT_LOST, NULL), 5);
	array = CHECK_SYS(mmap(NULL, PAGES(3), PROT_READ | PROT_WRITE, MAP_PRIVATE |
			       MAP_ANONYMOUS, -1, 0));
	CHECK_SYS(mprotect(array + PAGES(2), PAGES(1), PROT_NONE));
}

static void end(void)
{
	CHECK_OK(bk_unregister(b.fd, held.id));
	CHECK_OK(bk_unregister(b.fd, gone.id));
	bk_remove_account(b.ctl, spare);
	bk_end(&b);
}

/* The argument stays as it was: what went in may have come out changed. */
static void refuse(void *arg, int err, int line)
{
	uint64_t before = things();
	char copy[256];

	CHECK_LE(now->size, sizeof(copy));
	memcpy(copy, arg, now->size);
	expect(call(arg), err, line);
	memcpy(arg, copy, now->size);
	CHECK_EQ(things(), before);
}

#define FOR_EACH_COMMAND for (now = commands; now < commands + COMMANDS; now++)

static void accept(void *arg, int line)
{
	expect(call(arg), 0, line);
	if (now->undo)
		now->undo(arg);
}

/*
 * What good() has made for a call that is refused (an account to remove, a region to
 * commit) is used up by a good call at the end.
 */
static void with_sizes(void)
{
	union { uint64_t align; char bytes[ROOM * 2]; } arg;
	uint32_t *size = (uint32_t *)arg.bytes;

	memset(&arg, 0, sizeof(arg));
	now->good(arg.bytes);
	*size = 0;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*size = 4;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*size = now->least - 1;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*size = now->least - 8;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*size = now->size + 8;
	arg.bytes[now->size + 7] = 1;
	refuse(arg.bytes, -E2BIG, __LINE__);
	*size = now->size + 1;
	arg.bytes[now->size] = 0x80;
	refuse(arg.bytes, -E2BIG, __LINE__);
	memset(arg.bytes + now->size, 0, sizeof(arg) - now->size);
	*size = now->size;
	accept(arg.bytes, __LINE__);

	now->good(arg.bytes);
	*size = now->size + 8;
	accept(arg.bytes, __LINE__);
	now->good(arg.bytes);
	*size = ROOM;
	accept(arg.bytes, __LINE__);
	/* What the kernel does not know it does not write. */
	CHECK_EQ(arg.bytes[now->size], 0);
}

TEST(sizes, "every command: too short is EINVAL, a longer argument counts if its tail is zero and is E2BIG if not")
{
	begin();
	FOR_EACH_COMMAND
		with_sizes();
	end();
}

TEST(flags, "every command: unknown flags and reserved fields that are not zero are EOPNOTSUPP")
{
	union { uint64_t align; char bytes[ROOM]; } arg;
	unsigned int i;

	begin();
	FOR_EACH_COMMAND {
		now->good(arg.bytes);
		/* At 4 there are the flags, in all of them. */
		*field(arg.bytes, 4) = 1;
		refuse(arg.bytes, -EOPNOTSUPP, __LINE__);
		*field(arg.bytes, 4) = 0x80000000;
		refuse(arg.bytes, -EOPNOTSUPP, __LINE__);
		*field(arg.bytes, 4) = 0;
		for (i = 0; i < 2 && now->reserved[i]; i++) {
			*field(arg.bytes, now->reserved[i]) = 1;
			refuse(arg.bytes, -EOPNOTSUPP, __LINE__);
			*field(arg.bytes, now->reserved[i]) = 0;
		}
		accept(arg.bytes, __LINE__);
	}
	end();
}

TEST(pointers, "every command: a bad argument pointer is EFAULT, also when only its tail is not there")
{
	char *two = CHECK_SYS(mmap(NULL, PAGES(2), PROT_READ | PROT_WRITE, MAP_PRIVATE |
				   MAP_ANONYMOUS, -1, 0));
	union { uint64_t align; char bytes[ROOM]; } arg;
	char *edge;

	begin();
	CHECK_SYS(mprotect(two + PAGES(1), PAGES(1), PROT_NONE));
	FOR_EACH_COMMAND {
		EXPECT(call(NULL), -EFAULT);
		EXPECT(call((void *)0xffff888000000000), -EFAULT);
		EXPECT(call((void *)0x7ffffffff000), -EFAULT);
		now->good(arg.bytes);
		edge = two + PAGES(1) - now->size;
		memcpy(edge, arg.bytes, now->size);
		*(uint32_t *)edge = now->size + 16;
		refuse(edge, -EFAULT, __LINE__);
		*(uint32_t *)edge = now->size;
		accept(edge, __LINE__);
	}
	end();
}

TEST(read_only, "every command that answers: an argument that cannot be written is EFAULT, and nothing leaks")
{
	char *page = bk_anon(PAGES(1), 0);
	uint64_t before;

	begin();
	before = things();
	FOR_EACH_COMMAND {
		CHECK_SYS(mprotect(page, PAGES(1), PROT_READ | PROT_WRITE));
		if (now->cmd == BELAY_CTL_ACCOUNT_REMOVE)
			continue;
		now->good(page);
		CHECK_SYS(mprotect(page, PAGES(1), PROT_READ));
		EXPECT(call(page), -EFAULT);
		/* A batch has been worked off by then: unregister what that made. */
		if (now->cmd == BELAY_REGISTER || now->cmd == BELAY_COMMIT ||
		    now->cmd == BELAY_TRIM)
			now->undo(page);
	}
	CHECK_SOON(things() == before, 5);
	end();
}

/* ---- arrays --------------------------------------------------------------------- */

static void with_array(void)
{
	union { uint64_t align; char bytes[ROOM]; } arg;

	memset(array, 0, PAGES(2));
	now->good(arg.bytes);
	if (now->cmd != BELAY_USAGE) { /* which says how many there are */
		*field(arg.bytes, now->count) = 0;
		refuse(arg.bytes, -EINVAL, __LINE__);
		*field(arg.bytes, now->count) = BELAY_MAX_BATCH + 1;
		refuse(arg.bytes, -E2BIG, __LINE__);
		*field(arg.bytes, now->count) = ~0U;
		refuse(arg.bytes, -E2BIG, __LINE__);
		*field(arg.bytes, now->count) = 1;
	}

	*field(arg.bytes, now->entry_size) = 0;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*field(arg.bytes, now->entry_size) = now->entry_least - 8;
	refuse(arg.bytes, -EINVAL, __LINE__);
	*field(arg.bytes, now->entry_size) = now->entry_bytes;

	set(arg.bytes, now->entries, 0);
	refuse(arg.bytes, -EFAULT, __LINE__);
	set(arg.bytes, now->entries, 0xffff888000000000);
	refuse(arg.bytes, -EFAULT, __LINE__);
	set(arg.bytes, now->entries, (uintptr_t)array + PAGES(2));
	refuse(arg.bytes, -EFAULT, __LINE__);
	set(arg.bytes, now->entries, (uintptr_t)array);
	accept(arg.bytes, __LINE__);
}

TEST(arrays, "every command with an array: none is EINVAL, too many E2BIG, entries too small EINVAL, a bad pointer EFAULT")
{
	begin();
	FOR_EACH_COMMAND
		if (now->entries)
			with_array();
	end();
}

/* Of the first entry; NULL where the whole call fails instead. */
static int32_t *status_in_array(void)
{
	switch (now->cmd) {
	case BELAY_REGISTER:
		return &((struct belay_register_entry *)array)->status;
	case BELAY_TRIM:
		return &((struct belay_trim_entry *)array)->status;
	case BELAY_CTL_RECALL:
	case BELAY_CTL_RELEASE:
		return &((struct belay_recall_entry *)array)->status;
	case BELAY_CTL_LIMITS:
	case BELAY_CTL_EVENTS_DONE:
		return NULL;
	default:
		return &((struct belay_region_entry *)array)->status;
	}
}

/* Larger entries: a zero tail is fine, anything else is E2BIG for that entry. */
static void with_larger_entries(void)
{
	union { uint64_t align; char bytes[ROOM]; } arg;
	char copy[256];
	int32_t *status;

	memset(array, 0, PAGES(2));
	now->good(arg.bytes);
	*field(arg.bytes, now->entry_size) = now->entry_bytes + 8;
	if (!now->input) {
		memset(array + now->entry_bytes, 0xff, 8);
		accept(arg.bytes, __LINE__);
		CHECK_EQ(*(uint64_t *)(array + now->entry_bytes), 0);
		return;
	}
	array[now->entry_bytes + 3] = 1;
	status = status_in_array();
	if (status) {
		uint64_t before = bk_sysfs("regions");
		int err;

		memcpy(copy, array, now->entry_bytes);
		err = call(arg.bytes);
		if (err != -E2BIG && (err || *status != -E2BIG))
			FAIL("%s: a tail that is not zero gave %d, %d", now->name, err, *status);
		CHECK_EQ(bk_sysfs("regions"), before);
		/* It says so in the status, and touches nothing else. */
		memcpy(copy + ((char *)status - array), status, sizeof(*status));
		if (memcmp(copy, array, now->entry_bytes))
			FAIL("%s: the entry was overwritten", now->name);
	} else {
		refuse(arg.bytes, -E2BIG, __LINE__);
	}
	memset(array + now->entry_bytes, 0, 8);
	accept(arg.bytes, __LINE__);
}

TEST(larger_entries, "every command with an array: larger entries count if their tail is zero; on output it is zeroed")
{
	begin();
	FOR_EACH_COMMAND
		if (now->entries)
			with_larger_entries();
	end();
}

TEST(entry_reserved, "entries with reserved fields that are not zero are EOPNOTSUPP, each by itself")
{
	union { uint64_t align; char bytes[ROOM]; } arg;
	uint64_t before;

	begin();
	FOR_EACH_COMMAND {
		if (!now->entries || !now->entry_reserved)
			continue;
		now->good(arg.bytes);
		*field(array, now->entry_reserved) = 1;
		before = bk_sysfs("regions");
		EXPECT(call(arg.bytes), 0);
		EXPECT(*status_in_array(), -EOPNOTSUPP);
		CHECK_EQ(bk_sysfs("regions"), before);
	}
	end();
}

/* ---- files ------------------------------------------------------------------------- */

TEST(wrong_file, "unknown commands, and commands for the other kind of file, are ENOTTY")
{
	union { uint64_t align; char bytes[ROOM]; } arg;
	unsigned int nr;

	begin();
	FOR_EACH_COMMAND {
		if (now->on == ANY) {
			now->good(arg.bytes);
			EXPECT(bk_ioctl(b.fd, now->cmd, arg.bytes), 0);
			continue;
		}
		now->good(arg.bytes);
		EXPECT(bk_ioctl(now->on == CONTROL ? b.fd : b.ctl, now->cmd, arg.bytes),
		       -ENOTTY);
		accept(arg.bytes, __LINE__);
	}
	for (nr = 0; nr < 256; nr++) {
		if (nr == 0 || (nr >= 0x10 && nr <= 0x15) ||
		    (nr >= 0x20 && nr <= 0x2b && nr != 0x24))
			continue;
		CHECK_EQ(bk_ioctl(b.ctl, _IO(BELAY_IOC_TYPE, nr), arg.bytes), -ENOTTY);
		CHECK_EQ(bk_ioctl(b.fd, _IO(BELAY_IOC_TYPE, nr), arg.bytes), -ENOTTY);
	}
	CHECK_EQ(bk_ioctl(b.ctl, _IO(0xbf, 0), arg.bytes), -ENOTTY);
	CHECK_EQ(bk_ioctl(b.fd, TCGETS, arg.bytes), -ENOTTY);
	end();
}

TEST(words, "the words can be mapped for reading and shared only, from offset 0, and never made writable")
{
	char *p;

	begin();
	CHECK_EQ(mmap(NULL, PAGES(1), PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0), MAP_FAILED);
	CHECK_EQ(mmap(NULL, PAGES(1), PROT_READ | PROT_EXEC, MAP_SHARED, b.fd, 0), MAP_FAILED);
	CHECK_EQ(mmap(NULL, PAGES(1), PROT_READ, MAP_PRIVATE, b.fd, 0), MAP_FAILED);
	CHECK_EQ(mmap(NULL, BELAY_WORDS_MAX * 8 + PAGES(1), PROT_READ, MAP_SHARED, b.fd, 0),
		 MAP_FAILED);
	CHECK_EQ(mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, b.fd, BELAY_WORDS_MAX * 8),
		 MAP_FAILED);
	CHECK_EQ(mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, b.ctl, 0), MAP_FAILED);
	p = CHECK_SYS(mmap(NULL, PAGES(1), PROT_READ, MAP_SHARED, b.fd, 0));
	CHECK_ERRNO(mprotect(p, PAGES(1), PROT_READ | PROT_WRITE), EACCES);
	CHECK_MEM(p, (const void *)b.words, PAGES(1));
	/* A mapping keeps the session open. */
	munmap(p, PAGES(1));
	end();
}

TEST(info, "BELAY_INFO says what the header says")
{
	struct belay_info i = { .size = sizeof(i) };

	begin();
	CHECK_OK(bk_ioctl(b.ctl, BELAY_INFO, &i));
	CHECK_EQ(i.abi_version, BELAY_ABI_VERSION);
	CHECK_EQ(i.abi_oldest, BELAY_ABI_OLDEST);
	CHECK_EQ(i.page_size, sysconf(_SC_PAGESIZE));
	CHECK_EQ(i.max_batch, BELAY_MAX_BATCH);
	CHECK_EQ(i.max_overlap, BELAY_MAX_OVERLAP);
	CHECK_EQ(i.max_regions, BELAY_MAX_REGIONS);
	CHECK_EQ(i.features, BELAY_FEATURE_PINNED | BELAY_FEATURE_TRACKED |
		 BELAY_FEATURE_WATCHED | BELAY_FEATURE_TRIM | BELAY_FEATURE_SELECT);
	CHECK_EQ(i.session, 0);
	CHECK_OK(bk_ioctl(b.fd, BELAY_INFO, &i));
	CHECK_EQ(i.session, b.session);
	end();
}

/* ---- a full batch -------------------------------------------------------------------- */

/* What entry i of the batch gets. */
static int planned(struct belay_register_entry *e, unsigned int i, char *good)
{
	memset(e, 0, sizeof(*e));
	e->addr = (uintptr_t)good + PAGES(i % 256);
	e->len = PAGES(1);
	e->kind = i % 2 ? BELAY_PINNED : BELAY_TRACKED;
	e->flags = W;
	e->cookie = i;
	switch (i % 8) {
	case 3:
		e->addr++;
		return -EINVAL;
	case 4:
		e->flags = 0x10;
		return -EOPNOTSUPP;
	case 5:
		e->addr = PAGES(1);
		return -EFAULT;
	case 6:
		e->kind = 9;
		return -EOPNOTSUPP;
	}
	return 0;
}

TEST_TIMEOUT(batch, "16,384 regions in one call, good and bad: each has its own status, and the good ones can be unregistered in one call", 60)
{
	struct belay_register_entry *e = calloc(BELAY_MAX_BATCH, sizeof(*e)), plan;
	struct belay_region_entry *u = calloc(BELAY_MAX_BATCH, sizeof(*u));
	struct belay_register r = { .size = sizeof(r), .entries = (uintptr_t)e,
				    .count = BELAY_MAX_BATCH, .entry_size = sizeof(*e) };
	struct belay_regions un = { .size = sizeof(un), .entries = (uintptr_t)u,
				    .count = BELAY_MAX_BATCH, .entry_size = sizeof(*u) };
	char *good = bk_anon(PAGES(256), 1);
	unsigned int i, n = 0;
	uint64_t before;

	begin();
	before = bk_usage_regions(b.fd);
	for (i = 0; i < BELAY_MAX_BATCH; i++)
		planned(&e[i], i, good);
	CHECK_OK(bk_ioctl(b.fd, BELAY_REGISTER, &r));
	CHECK_EQ(r.done, BELAY_MAX_BATCH);
	for (i = 0; i < BELAY_MAX_BATCH; i++) {
		CHECK_EQ(e[i].status, planned(&plan, i, good));
		CHECK_EQ(e[i].cookie, i);
		u[i].region = e[i].status ? 0xdead0000 + i : e[i].region;
		n += !e[i].status;
	}
	CHECK_EQ(n, BELAY_MAX_BATCH / 2);
	CHECK_EQ(bk_usage_regions(b.fd), n + before);
	CHECK_OK(bk_ioctl(b.fd, BELAY_UNREGISTER, &un));
	CHECK_EQ(un.done, BELAY_MAX_BATCH);
	for (i = 0; i < BELAY_MAX_BATCH; i++)
		CHECK_EQ(u[i].status, e[i].status ? -ENOENT : 0);
	CHECK_EQ(bk_usage_regions(b.fd), before);
	end();
}

TEST(version, "the module says its version, which is the one of these programs")
{
	char said[32] = "";
	FILE *f = fopen("/sys/module/belay/version", "r");

	CHECK(f && fscanf(f, "%31s", said) == 1);
	fclose(f);
	CHECK_STR(said, BELAY_VERSION);
}

TAP_MAIN()
