// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Memory that a device takes to itself (device-private): the pages leave the system's
 * memory, no processor reaches them, and nobody can pin them. Registering such memory
 * brings it back first. What is pinned stays where it is; what is only watched, or
 * tracked although no driver holds it, can be taken, and then it is another page: lost.
 *
 * The device is the kernel's own test device (bk_mirror.h), which only the debug kernel has.
 */
#include <sys/mman.h>

#include "tests/kernel/lib/bk_driver.h"
#include "tests/kernel/lib/bk_mirror.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
/* The device works in steps of 64. */
#define N	160
#define LEN	PAGES(N)

struct bed {
	struct bk b;
	struct bk_mirror device;
	int64_t pins;
};

static void bed_make(struct bed *d)
{
	/* What it looks at has no right to write for a moment, and goes without to the device. */
	bk_write("/proc/sys/kernel/numa_balancing", "0");
	bk_begin(&d->b);
	bk_mirror_open(&d->device);
	d->pins = bk_pins();
}

static void bed_end(struct bed *d)
{
	CHECK_SOON(bk_pins() == d->pins, 5);
	bk_mirror_close(&d->device);
	bk_end(&d->b);
}

/* Each page has bytes of its own. */
static void fill(char *p, size_t pages, int salt)
{
	size_t i;

	for (i = 0; i < pages; i++)
		memset(p + PAGES(i), (int)((i + salt) % 251) + 1, BK_PAGE);
}

static void expect_filled(const char *p, size_t pages, int salt)
{
	char page[BK_PAGE];
	size_t i;

	for (i = 0; i < pages; i++) {
		memset(page, (int)((i + salt) % 251) + 1, BK_PAGE);
		CHECK_MEM(p + PAGES(i), page, BK_PAGE);
	}
}

/* On the device, and with data that only the device has written. */
static void fill_on_device(struct bed *d, char *p, size_t pages, int salt)
{
	char *data = malloc(PAGES(pages));

	CHECK(data);
	fill(p, pages, salt + 1);
	bk_mirror_take(&d->device, p, pages);
	fill(data, pages, salt);
	bk_mirror_write(&d->device, p, pages, data);
	free(data);
}

static void expect_all_mapped(struct bed *d, const char *p, size_t pages)
{
	CHECK_EQ(bk_mirror_has(&d->device, p, pages), 0);
	CHECK_EQ(bk_mirror_mapped(&d->device, p, pages), pages);
}

static void expect_lost(struct bk *b, const struct bk_region *r, size_t first, size_t pages)
{
	struct belay_event e;

	CHECK_FINAL(!bk_valid(b, r));
	CHECK_EQ(bk_settle(b, r), BELAY_WORD_LOST);
	CHECK_SOON(bk_find_event(b->ctl, b->session, r->id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.reason, BELAY_REASON_REPLACED);
	CHECK_EQ(e.lost_addr, (uintptr_t)r->addr + PAGES(first));
	CHECK_EQ(e.lost_len, PAGES(pages));
}

/* ---- coming back -------------------------------------------------------------------- */

static void comes_back(struct bed *d, enum bk_kind kind, size_t on_device, uint32_t flags)
{
	uint64_t migrates = bk_seen("seen_migrate"), pfns[N];
	struct bk_memory m;
	struct bk_region r;
	size_t i;

	bk_map(&m, kind, LEN);
	fill(m.addr, N, 7);
	fill_on_device(d, m.addr, on_device, 7);
	/* A region hears of it only from when it is there. */
	CHECK_EQ(bk_seen("seen_migrate"), migrates);
	CHECK_OK(bk_register(d->b.fd, m.addr, LEN, BELAY_PINNED, flags, &r));
	tap_diag("%s, %zu of %d pages on the device: %llu events while registering",
		 bk_kind_name(kind), on_device, N,
		 (unsigned long long)(bk_seen("seen_migrate") - migrates));
	CHECK_GE(bk_seen("seen_migrate") - migrates, on_device);
	expect_all_mapped(d, m.addr, N);
	CHECK_EQ(bk_settle(&d->b, &r), 0);
	CHECK(bk_valid(&d->b, &r));
	CHECK_EQ(bk_usage_bytes(d->b.fd), LEN);
	CHECK_EQ(bk_sysfs("held_bytes"), LEN);
	CHECK_EQ(bk_pins() - d->pins, N);
	bk_pfns(m.addr, N, pfns);
	for (i = 0; i < N; i++)
		CHECK_NE(pfns[i], 0);
	expect_filled(m.addr, N, 7);
	/* Reading has changed nothing of where they are. */
	CHECK_EQ(bk_pfn(m.addr), pfns[0]);
	CHECK_OK(bk_unregister(d->b.fd, r.id));
	CHECK_EQ(bk_usage_bytes(d->b.fd), 0);
	bk_unmap(&m);
}

TEST_TIMEOUT(pinned, "what a device has taken comes back when it is registered, with the device's data, valid and charged once", 120)
{
	struct bed d;

	bed_make(&d);
	comes_back(&d, BK_ANON, N, W);
	comes_back(&d, BK_ANON, N, 0);
	comes_back(&d, BK_ANON, N / 2, W);
	comes_back(&d, BK_THP, N, W);
	bed_end(&d);
}

static void tracked_comes_back(struct bed *d, struct bk_driver *driver)
{
	uint64_t prepared[N], now[N];
	struct bk_region r;
	char *p = bk_anon(LEN, 1);

	/* Of itself, without belay, the driver brings them back. */
	fill_on_device(d, p, N, 3);
	CHECK_OK(bk_driver_pin(driver, p, LEN));
	expect_all_mapped(d, p, N);
	bk_driver_unpin(driver);

	fill_on_device(d, p, N, 5);
	CHECK_OK(bk_register(d->b.fd, p, LEN, BELAY_TRACKED, W, &r));
	expect_all_mapped(d, p, N);
	bk_pfns(p, N, prepared);
	CHECK_OK(bk_driver_pin(driver, p, LEN));
	CHECK_OK(bk_commit(d->b.fd, r.id));
	CHECK_EQ(bk_settle(&d->b, &r), 0);
	CHECK(bk_valid(&d->b, &r));
	CHECK_EQ(bk_usage_bytes(d->b.fd), LEN);
	expect_filled(p, N, 5);

	/* What the driver holds, the device cannot take. */
	CHECK_EQ(bk_mirror_try_take(&d->device, p, N), 0);
	bk_pfns(p, N, now);
	CHECK_MEM(now, prepared, sizeof(now));
	CHECK_EQ(bk_settle(&d->b, &r), 0);
	CHECK(bk_valid(&d->b, &r));
	if (driver->kind == BK_IO_URING) {
		bk_driver_fill(driver, 0x3c);
		CHECK_EQ(p[LEN - 1], 0x3c);
	}
	CHECK_OK(bk_unregister(d->b.fd, r.id));
	bk_driver_unpin(driver);
	CHECK_EQ(bk_mirror_try_take(&d->device, p, N), N);
	munmap(p, LEN);
}

TEST_TIMEOUT(tracked, "preparing brings it back before the driver pins: it pins the same pages, commit succeeds at the first attempt, and the device cannot take them", 120)
{
	enum bk_driver_kind kind;
	struct bk_driver driver;
	struct bed d;

	bed_make(&d);
	for (kind = 0; kind < BK_DRIVERS; kind++) {
		bk_driver_open(&driver, kind);
		tracked_comes_back(&d, &driver);
		bk_driver_close(&driver);
	}
	bed_end(&d);
}

/* ---- being taken --------------------------------------------------------------------- */

TEST_TIMEOUT(stays, "what is pinned is not taken and stays valid, what lies beside it is taken; once unregistered, it can be, too", 120)
{
	uint64_t before[N], now[N], same, migrates;
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	fill(p, N, 9);
	r = bk_hold(&d.b, p + PAGES(40), PAGES(80), BELAY_PINNED, W);
	bk_pfns(p, N, before);
	same = bk_seen("verified_same");
	migrates = bk_seen("seen_migrate");
	CHECK_EQ(bk_mirror_try_take(&d.device, p, N), N - 80);
	CHECK_EQ(bk_mirror_has(&d.device, p, 40), 40);
	CHECK_EQ(bk_mirror_has(&d.device, p + PAGES(120), N - 120), N - 120);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	/* It was announced as if they moved, and looked into. */
	CHECK_GT(bk_seen("seen_migrate"), migrates);
	CHECK_SOON(bk_seen("verified_same") > same, 5);
	bk_pfns(p, N, now);
	CHECK_MEM(now + 40, before + 40, 80 * sizeof(now[0]));
	CHECK_EQ(now[39], 0);
	CHECK_EQ(now[120], 0);
	CHECK(!bk_any_lost(d.b.ctl, d.b.session));
	expect_filled(p, N, 9);

	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bk_mirror_take(&d.device, p, N);
	expect_filled(p, N, 9);
	bed_end(&d);
}

TEST_TIMEOUT(unheld, "a tracked region that no driver holds loses the pages that a device takes, just those; its charge stays until it is unregistered", 120)
{
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	fill(p, N, 4);
	r = bk_hold(&d.b, p, LEN, BELAY_TRACKED, W);
	CHECK_EQ(bk_pins() - d.pins, 0);
	bk_mirror_take(&d.device, p + PAGES(30), 20);
	expect_lost(&d.b, &r, 30, 20);
	CHECK_EQ(bk_usage_bytes(d.b.fd), LEN);
	/* That they come back makes nothing good: they are other pages. */
	expect_filled(p, N, 4);
	expect_all_mapped(&d, p, N);
	CHECK_EQ(bk_check(d.b.fd, r.id), BELAY_WORD_LOST);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	CHECK_EQ(bk_usage_bytes(d.b.fd), 0);
	bk_drain_events(d.b.ctl);
	bed_end(&d);
}

TEST_TIMEOUT(watched_mapping, "a watched region that is not committed goes on while its pages go to the device and back", 120)
{
	uint64_t migrates;
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);
	int i;

	bed_make(&d);
	fill(p, N, 2);
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_WATCHED, W, &r));
	migrates = bk_seen("seen_migrate");
	for (i = 0; i < 3; i++) {
		bk_mirror_take(&d.device, p, N);
		CHECK(bk_valid(&d.b, &r));
		expect_filled(p, N, 2);
		CHECK(bk_valid(&d.b, &r));
	}
	CHECK_GE(bk_seen("seen_migrate") - migrates, 3);
	usleep(20000);
	CHECK(bk_valid(&d.b, &r));
	CHECK(!bk_any_lost(d.b.ctl, d.b.session));
	/* Registering it anew while all is on the device moves nothing. */
	bk_mirror_take(&d.device, p, N);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_WATCHED, W, &r));
	CHECK_EQ(bk_mirror_has(&d.device, p, N), N);
	CHECK_SYS(munmap(p, PAGES(1)));
	CHECK_EQ(bk_settle(&d.b, &r), BELAY_WORD_LOST);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bk_drain_events(d.b.ctl);
	bed_end(&d);
}

TEST_TIMEOUT(watched_pages, "that a driver's pin brings them back is EAGAIN for a watched region, and the second attempt succeeds; then what the device takes is lost, just that", 120)
{
	struct bk_driver driver;
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	bk_driver_open(&driver, BK_IO_URING);
	fill_on_device(&d, p, N, 6);
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_WATCHED, W, &r));
	CHECK_EQ(bk_mirror_has(&d.device, p, N), N);
	CHECK_OK(bk_driver_pin(&driver, p, LEN));
	expect_all_mapped(&d, p, N);
	CHECK_EQ(bk_commit(d.b.fd, r.id), -EAGAIN);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	CHECK_OK(bk_register(d.b.fd, p, LEN, BELAY_WATCHED, W, &r));
	CHECK_OK(bk_commit(d.b.fd, r.id));
	CHECK(bk_valid(&d.b, &r));
	CHECK_EQ(bk_usage_bytes(d.b.fd), 0);

	/* As long as the driver holds them, nothing is taken. */
	CHECK_EQ(bk_mirror_try_take(&d.device, p, N), 0);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	bk_driver_unpin(&driver);
	bk_driver_close(&driver);
	CHECK_SOON(bk_pins() == d.pins, 5);

	bk_mirror_take(&d.device, p + PAGES(100), 3);
	expect_lost(&d.b, &r, 100, 3);
	expect_filled(p, N, 6);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bk_drain_events(d.b.ctl);
	bed_end(&d);
}

/* ---- being borrowed -------------------------------------------------------------------- */

TEST_TIMEOUT(borrowed, "a page that a device borrows is still the same one: the region stays valid meanwhile and afterwards", 120)
{
	uint64_t before[N], now[N], exclusive, suspect;
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	fill(p, N, 8);
	r = bk_hold(&d.b, p, LEN, BELAY_PINNED, W);
	bk_pfns(p, N, before);
	exclusive = bk_seen("seen_exclusive");
	suspect = bk_seen("made_suspect");
	bk_mirror_borrow(&d.device, p, N);
	CHECK_GE(bk_seen("seen_exclusive") - exclusive, N);
	CHECK_EQ(bk_seen("made_suspect"), suspect);
	CHECK_EQ(bk_pfn(p), 0);
	CHECK(bk_valid(&d.b, &r));
	expect_filled(p, N, 8);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	bk_pfns(p, N, now);
	CHECK_MEM(now, before, sizeof(now));
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bed_end(&d);
}

TEST_TIMEOUT(borrowed_suspect, "nor is it lost when the region becomes suspect meanwhile; one that is thrown away meanwhile is, and is not faulted in", 120)
{
	uint64_t before[N], now[N], suspect, same;
	struct bk_region r;
	struct bed d;
	char *p = bk_anon(LEN, 1);

	bed_make(&d);
	fill(p, N, 3);
	r = bk_hold(&d.b, p, LEN, BELAY_PINNED, W);
	bk_pfns(p, N, before);
	bk_mirror_borrow(&d.device, p + PAGES(10), 5);
	suspect = bk_seen("made_suspect");
	same = bk_seen("verified_same");
	CHECK_EQ(bk_mirror_try_take(&d.device, p, N), 0);
	CHECK_GT(bk_seen("made_suspect"), suspect);
	CHECK_EQ(bk_settle(&d.b, &r), 0);
	CHECK(bk_valid(&d.b, &r));
	CHECK_SOON(bk_seen("verified_same") > same, 5);
	expect_filled(p, N, 3);
	bk_pfns(p, N, now);
	CHECK_MEM(now, before, sizeof(now));

	bk_mirror_borrow(&d.device, p + PAGES(50), 5);
	CHECK_EQ(bk_pfn(p + PAGES(50)), 0);
	CHECK_SYS(madvise(p + PAGES(51), PAGES(2), MADV_DONTNEED));
	expect_lost(&d.b, &r, 51, 2);
	CHECK_EQ(bk_pfn(p + PAGES(51)), 0);
	CHECK_EQ(bk_pfn(p + PAGES(52)), 0);
	CHECK_EQ(bk_pins() - d.pins, N - 2);
	expect_filled(p, 51, 3);
	CHECK_OK(bk_unregister(d.b.fd, r.id));
	bk_drain_events(d.b.ctl);
	bed_end(&d);
}

/* ---- the end ---------------------------------------------------------------------------- */

struct end {
	const struct bk *b;
	struct bk_steps *s;
};

/* A region of each kind, and a half of the memory of each on the device. */
static void live(void *arg)
{
	static const uint32_t kinds[] = { BELAY_PINNED, BELAY_TRACKED, BELAY_WATCHED };
	const struct end *e = arg;
	struct bk_mirror device;
	struct bk_region r;
	struct bk b;
	char *p;
	int i;

	bk_join(&b, e->b);
	bk_mirror_open(&device);
	for (i = 0; i < 3; i++) {
		p = bk_anon(LEN, 1);
		CHECK_OK(bk_register(b.fd, p, LEN, kinds[i], W, &r));
		if (kinds[i] != BELAY_PINNED)
			CHECK_OK(bk_commit(b.fd, r.id));
		CHECK_EQ(bk_mirror_try_take(&device, p, N / 2),
			 kinds[i] == BELAY_PINNED ? 0 : N / 2);
	}
	p = bk_anon(LEN, 1);
	CHECK_OK(bk_register(b.fd, p, LEN, BELAY_WATCHED, W, &r));
	bk_mirror_take(&device, p, N);
	bk_step(e->s, 1);
	pause();
}

TEST_TIMEOUT(exit, "a process that is killed with regions of every kind and memory on the device leaves nothing, and the device can give its memory up", 120)
{
	struct end e = { .s = bk_steps() };
	int64_t pins = bk_pins();
	struct bk_mirror device;
	struct bk b;
	pid_t pid;
	int status;

	bk_begin(&b);
	e.b = &b;
	pid = tap_spawn(live, &e);
	bk_await(e.s, 1);
	CHECK_EQ(bk_sysfs("regions"), 4);
	CHECK_EQ(bk_pins() - pins, N);
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK(tap_wait(pid, tap_limit(20), &status));
	CHECK(WIFSIGNALED(status));
	bk_drain_events(b.ctl);
	CHECK_SOON(bk_sysfs("regions") == 0, 5);
	CHECK_SOON(bk_pins() == pins, 5);
	bk_mirror_open(&device);
	bk_mirror_give_up(&device);
	bk_mirror_close(&device);
	bk_end(&b);
}

TAP_MAIN()
