// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

/* How long something that the module does by a worker may take. */
#define BK_SOON		(10 * TAP_PATIENCE)

int bk_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

int bk_open_control(void)
{
	return CHECK_SYS(open("/dev/belay", O_RDWR | O_CLOEXEC));
}

uint64_t bk_account(int ctl, uint64_t parent, uint64_t bytes, uint64_t regions)
{
	struct belay_ctl_account a = {
		.size = sizeof(a),
		.parent = parent,
		.limit_bytes = bytes,
		.limit_regions = regions,
	};

	CHECK_OK(bk_ioctl(ctl, BELAY_CTL_ACCOUNT, &a));
	CHECK_NE(a.account, 0);
	return a.account;
}

static int remove_account(int ctl, uint64_t account)
{
	struct belay_ctl_id id = { .size = sizeof(id), .id = account };

	return bk_ioctl(ctl, BELAY_CTL_ACCOUNT_REMOVE, &id);
}

void bk_remove_account(int ctl, uint64_t account)
{
	double end = tap_now() + BK_SOON;
	int err;

	do {
		bk_drain_events(ctl);
		err = remove_account(ctl, account);
		if (err != -EBUSY)
			break;
		usleep(1000);
	} while (tap_now() < end);
	CHECK_EQ(err, 0);
}

void bk_sweep(int ctl)
{
	struct belay_account_row rows[64];
	double end = tap_now() + BK_SOON;
	unsigned int i, n;

	while ((n = bk_list(ctl, BELAY_LIST_ACCOUNTS, rows, sizeof(rows[0]), 64, 0, 0))) {
		if (tap_now() > end)
			FAIL("accounts of an earlier test cannot be removed");
		bk_drain_events(ctl);
		for (i = n; i--;)
			remove_account(ctl, rows[i].account);
		usleep(1000);
	}
}

uint64_t bk_start_time(pid_t pid)
{
	char path[64], line[1024], *p;
	unsigned long long start;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f)
		return 0;
	p = fgets(line, sizeof(line), f);
	fclose(f);
	/* It has ended since the file was opened. */
	if (!p)
		return 0;
	/* The name in brackets may contain anything: count from its end. */
	p = strrchr(line, ')');
	for (i = 2; p && i < 22; i++)
		p = strchr(p + 1, ' ');
	CHECK(p && sscanf(p, " %llu", &start) == 1);
	return start;
}

/* Effective, in the reader's namespace; its own if it has ended. */
static uint32_t euid_of(pid_t pid)
{
	unsigned int uid, euid = geteuid();
	char path[64], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f) &&
	       sscanf(line, "Uid: %u %u", &uid, &euid) != 2)
		;
	if (f)
		fclose(f);
	return euid;
}

int bk_ask_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
		 uint64_t regions, struct belay_ctl_grant *ret)
{
	int err;

	*ret = (struct belay_ctl_grant) {
		.size = sizeof(*ret),
		.account = account,
		.pid = pid,
		.uid = euid_of(pid),
		.start_time = bk_start_time(pid),
		.limit_bytes = bytes,
		.limit_regions = regions,
	};
	err = bk_ioctl(ctl, BELAY_CTL_GRANT, ret);
	return err ? err : ret->fd;
}

int bk_try_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
		 uint64_t regions, struct belay_ctl_grant *ret)
{
	struct belay_ctl_grant g;
	double end = tap_now() + BK_SOON;
	int fd;

	while ((fd = bk_ask_grant(ctl, account, pid, bytes, regions, &g)) == -EAGAIN &&
	       tap_now() < end)
		usleep(500);
	if (fd >= 0 && ret)
		*ret = g;
	return fd;
}

int bk_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
	     uint64_t regions, struct belay_ctl_grant *ret)
{
	return CHECK_OK(bk_try_grant(ctl, account, pid, bytes, regions, ret));
}

const uint64_t *bk_words(int fd)
{
	return CHECK_SYS(mmap(NULL, BELAY_WORDS_MAX * sizeof(uint64_t), PROT_READ,
			      MAP_SHARED, fd, 0));
}

int bk_set_limit(int ctl, uint64_t id, uint32_t flags, uint64_t bytes,
		 uint64_t regions)
{
	struct belay_limit_entry e = {
		.id = id,
		.flags = flags,
		.limit_bytes = bytes,
		.limit_regions = regions,
	};
	struct belay_ctl_limits l = {
		.size = sizeof(l),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};

	return bk_ioctl(ctl, BELAY_CTL_LIMITS, &l);
}

static void join(struct bk *self, uint64_t bytes, uint64_t regions)
{
	struct belay_ctl_grant g;

	self->fd = bk_grant(self->ctl, self->account, getpid(), bytes, regions, &g);
	self->grant = g.grant;
	self->session = g.session;
	self->words = bk_words(self->fd);
}

void bk_join(struct bk *self, const struct bk *b)
{
	*self = *b;
	join(self, BELAY_UNLIMITED, BELAY_UNLIMITED);
}

void bk_leave(struct bk *self)
{
	munmap((void *)self->words, BELAY_WORDS_MAX * sizeof(uint64_t));
	close(self->fd);
	self->fd = -1;
}

void bk_begin_limited(struct bk *b, uint64_t bytes, uint64_t regions)
{
	memset(b, 0, sizeof(*b));
	b->ctl = bk_open_control();
	bk_sweep(b->ctl);
	bk_expect_empty();
	b->account = bk_account(b->ctl, 0, BELAY_UNLIMITED, BELAY_UNLIMITED);
	join(b, bytes, regions);
}

void bk_begin(struct bk *b)
{
	bk_begin_limited(b, BELAY_UNLIMITED, BELAY_UNLIMITED);
}

void bk_end(struct bk *b)
{
	if (b->fd >= 0)
		bk_leave(b);
	bk_remove_account(b->ctl, b->account);
	bk_expect_empty();
	close(b->ctl);
}

void bk_expect_empty(void)
{
	static const char *const names[] = {
		"grants", "sessions", "accounts", "regions",
		"pinned_bytes", "charged_bytes", "tracked_bytes", "held_bytes",
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		double end = tap_now() + BK_SOON;

		while (bk_sysfs(names[i])) {
			if (tap_now() > end)
				FAIL("%s is %llu, not 0", names[i],
				     (unsigned long long)bk_sysfs(names[i]));
			usleep(1000);
		}
	}
}

int bk_register_entry(int fd, struct belay_register_entry *e)
{
	struct belay_register r = {
		.size = sizeof(r),
		.entries = (uintptr_t)e,
		.count = 1,
		.entry_size = sizeof(*e),
	};
	int err;

	e->status = 1;
	err = bk_ioctl(fd, BELAY_REGISTER, &r);
	if (err)
		return err;
	CHECK_EQ(r.done, 1);
	CHECK_LE(e->status, 0);
	return e->status;
}

int bk_register(int fd, void *addr, size_t len, uint32_t kind, uint32_t flags,
		struct bk_region *ret)
{
	struct belay_register_entry e = {
		.addr = (uintptr_t)addr,
		.len = len,
		.cookie = 0xc00c1e,
		.kind = kind,
		.flags = flags,
	};
	int err;

	err = bk_register_entry(fd, &e);
	if (err)
		return err;
	if (ret) {
		ret->id = e.region;
		ret->expected = e.expected;
		ret->word = e.word;
		ret->addr = addr;
		ret->len = len;
	}
	return 0;
}

struct bk_region bk_hold(const struct bk *b, void *addr, size_t len, uint32_t kind,
			 uint32_t flags)
{
	struct bk_region r;
	int tries = 0, err;

	do {
		CHECK_OK(bk_register(b->fd, addr, len, kind, flags, &r));
		err = 0;
		if (kind == BELAY_TRACKED)
			err = bk_commit(b->fd, r.id);
		if (err == -EAGAIN)
			CHECK_OK(bk_unregister(b->fd, r.id));
	} while (err == -EAGAIN && ++tries < 10);
	CHECK_EQ(err, 0);
	CHECK(r.expected && !(uint32_t)r.expected);
	/* Something else in the system may make it suspect at any time. */
	CHECK_EQ(bk_settle(b, &r), 0);
	CHECK(bk_valid(b, &r));
	return r;
}

static int region_command(int fd, unsigned long cmd, uint64_t region,
			  uint32_t *ret_state)
{
	struct belay_region_entry e = { .region = region, .status = 1 };
	struct belay_regions r = {
		.size = sizeof(r),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};
	int err;

	err = bk_ioctl(fd, cmd, &r);
	if (err)
		return err;
	CHECK_EQ(r.done, 1);
	CHECK_LE(e.status, 0);
	*ret_state = e.state;
	return e.status;
}

int bk_commit(int fd, uint64_t region)
{
	uint32_t state;

	return region_command(fd, BELAY_COMMIT, region, &state);
}

static void fill_part(struct bk_region *to, const struct belay_part *from)
{
	*to = (struct bk_region){
		.id = from->region,
		.expected = from->expected,
		.word = from->word,
		.addr = (char *)(uintptr_t)from->addr,
		.len = from->len,
	};
}

int bk_trim(int fd, const struct bk_region *r, size_t offset, size_t len,
	    struct bk_region parts[2])
{
	struct belay_trim_entry e = {
		.region = r->id,
		.addr = (uintptr_t)r->addr + offset,
		.len = len,
		.status = 1,
	};
	struct belay_trim t = {
		.size = sizeof(t),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};

	memset(parts, 0, 2 * sizeof(*parts));
	CHECK_OK(bk_ioctl(fd, BELAY_TRIM, &t));
	CHECK_EQ(t.done, 1);
	CHECK_LE(e.status, 0);
	if (!e.status) {
		fill_part(&parts[0], &e.before);
		fill_part(&parts[1], &e.after);
	}
	return e.status;
}

int bk_unregister(int fd, uint64_t region)
{
	uint32_t state;

	return region_command(fd, BELAY_UNREGISTER, region, &state);
}

int bk_check(int fd, uint64_t region)
{
	uint32_t state;
	int err;

	err = region_command(fd, BELAY_CHECK, region, &state);
	return err ? err : (int)state;
}

uint32_t bk_state(const struct bk *b, const struct bk_region *r)
{
	uint64_t word = bk_word(b, r);

	if (word >> 32 != r->expected >> 32)
		return ~0U;
	return (uint32_t)word;
}

uint32_t bk_settle(const struct bk *b, const struct bk_region *r)
{
	double end = tap_now() + BK_SOON;
	uint32_t state;

	while ((state = bk_state(b, r)) & BELAY_WORD_SUSPECT) {
		if (state == ~0U || state & BELAY_WORD_LOST)
			break;
		if (tap_now() > end)
			FAIL("the word is suspect for %d s", BK_SOON);
		/* Let the worker have its turn as well. */
		if (bk_check(b->fd, r->id) < 0)
			usleep(1000);
	}
	return state;
}

unsigned int bk_levels(int fd, struct belay_level *levels, unsigned int room)
{
	struct belay_usage u = {
		.size = sizeof(u),
		.levels = (uintptr_t)levels,
		.count = room,
		.entry_size = sizeof(levels[0]),
	};

	CHECK_OK(bk_ioctl(fd, BELAY_USAGE, &u));
	CHECK_LE(u.count, room);
	return u.count;
}

uint64_t bk_usage_bytes(int fd)
{
	struct belay_level l[BELAY_MAX_DEPTH + 1];

	CHECK_GE(bk_levels(fd, l, BELAY_MAX_DEPTH + 1), 2);
	CHECK_EQ(l[0].account, 0);
	return l[0].usage_bytes;
}

uint64_t bk_usage_regions(int fd)
{
	struct belay_level l[BELAY_MAX_DEPTH + 1];

	CHECK_GE(bk_levels(fd, l, BELAY_MAX_DEPTH + 1), 2);
	return l[0].usage_regions;
}

unsigned int bk_events(int ctl, struct belay_event *events, unsigned int room)
{
	struct belay_ctl_events e = {
		.size = sizeof(e),
		.entries = (uintptr_t)events,
		.count = room,
		.entry_size = sizeof(events[0]),
	};

	CHECK_OK(bk_ioctl(ctl, BELAY_CTL_EVENTS, &e));
	CHECK_LE(e.count, room);
	return e.count;
}

#define ROOM 512

static bool find_event(int ctl, uint64_t session, uint64_t region, uint64_t grant,
		       uint32_t bits, struct belay_event *ret)
{
	struct belay_event events[ROOM];
	unsigned int i, n = bk_events(ctl, events, ROOM);

	for (i = 0; i < n; i++) {
		if (events[i].session != session || events[i].region != region ||
		    (grant && events[i].grant != grant) || !(events[i].events & bits))
			continue;
		if (ret)
			*ret = events[i];
		return true;
	}
	return false;
}

bool bk_find_event(int ctl, uint64_t session, uint64_t region, uint32_t bits,
		   struct belay_event *ret)
{
	return find_event(ctl, session, region, 0, bits, ret);
}

bool bk_find_ended(int ctl, uint64_t grant, struct belay_event *ret)
{
	return find_event(ctl, 0, 0, grant, BELAY_EVENT_ENDED, ret);
}

static unsigned int events_done(int ctl, const struct belay_event *events,
				unsigned int n)
{
	struct belay_ctl_events e = {
		.size = sizeof(e),
		.entries = (uintptr_t)events,
		.count = n,
		.entry_size = sizeof(events[0]),
	};

	CHECK_OK(bk_ioctl(ctl, BELAY_CTL_EVENTS_DONE, &e));
	CHECK_LE(e.count, n);
	return e.count;
}

unsigned int bk_event_done(int ctl, const struct belay_event *e)
{
	return events_done(ctl, e, 1);
}

void bk_drain_events(int ctl)
{
	struct belay_event events[ROOM];
	unsigned int n;

	while ((n = bk_events(ctl, events, ROOM)))
		events_done(ctl, events, n);
}

bool bk_any_lost(int ctl, uint64_t session)
{
	struct belay_event events[ROOM];
	unsigned int i, n = bk_events(ctl, events, ROOM);

	for (i = 0; i < n; i++)
		if (events[i].session == session && events[i].events & BELAY_EVENT_LOST)
			return true;
	return false;
}

int bk_recall(int ctl, unsigned long cmd, uint64_t session, uint64_t region,
	      uint64_t request)
{
	struct belay_recall_entry e = {
		.session = session,
		.region = region,
		.status = 1,
	};
	struct belay_ctl_recall r = {
		.size = sizeof(r),
		.entries = (uintptr_t)&e,
		.count = 1,
		.entry_size = sizeof(e),
	};
	int err;

	if (cmd == BELAY_CTL_RECALL) {
		e.request = request;
		e.deadline = 12345;
		e.reason = BELAY_REASON_ADMIN;
		e.policy = 7;
	}
	err = bk_ioctl(ctl, cmd, &r);
	if (err)
		return err;
	CHECK_EQ(r.done, 1);
	CHECK_LE(e.status, 0);
	return e.status;
}

unsigned int bk_list_by(int ctl, uint32_t what, void *rows, size_t row_size,
			unsigned int room, const struct belay_select *select)
{
	struct belay_ctl_list l = {
		.size = sizeof(l),
		.what = what,
		.entry_size = row_size,
		.select = *select,
	};
	unsigned int n = 0;

	while (n < room) {
		l.rows = (uintptr_t)rows + n * row_size;
		l.count = room - n < BELAY_MAX_BATCH ? room - n : BELAY_MAX_BATCH;
		CHECK_OK(bk_ioctl(ctl, BELAY_CTL_LIST, &l));
		if (!l.count)
			break;
		n += l.count;
	}
	return n;
}

unsigned int bk_list(int ctl, uint32_t what, void *rows, size_t row_size,
		     unsigned int room, uint64_t grant, uint64_t session)
{
	struct belay_select select = {
		.by = (grant ? BELAY_SELECT_GRANT : 0) |
		      (session ? BELAY_SELECT_SESSION : 0),
		.grant = grant,
		.session = session,
	};

	return bk_list_by(ctl, what, rows, row_size, room, &select);
}

bool bk_find_region(int ctl, uint64_t session, uint64_t region,
		    struct belay_region_row *ret)
{
	struct belay_region_row rows[ROOM];
	unsigned int i, n;

	n = bk_list(ctl, BELAY_LIST_REGIONS, rows, sizeof(rows[0]), ROOM, 0, session);
	for (i = 0; i < n; i++)
		if (rows[i].region == region) {
			if (ret)
				*ret = rows[i];
			return true;
		}
	return false;
}
