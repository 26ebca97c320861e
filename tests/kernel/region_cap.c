// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * How many regions a grant can have. A program of its own because it makes them all,
 * which takes a quarter of an hour where each costs twenty times as much.
 */
#include <unistd.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

static unsigned int register_batch(int fd, struct belay_register_entry *e, unsigned int n)
{
	struct belay_register r = {
		.size = sizeof(r),
		.entries = (uintptr_t)e,
		.count = n,
		.entry_size = sizeof(*e),
	};

	CHECK_OK(bk_ioctl(fd, BELAY_REGISTER, &r));
	CHECK_EQ(r.done, n);
	return r.done;
}

TEST_TIMEOUT(region_cap, "a grant can have BELAY_MAX_REGIONS regions, then EMFILE, through whichever session", 120)
{
	static struct belay_register_entry e[BELAY_MAX_BATCH];
	const unsigned int pages = BELAY_MAX_REGIONS / BELAY_MAX_OVERLAP;
	unsigned int done = 0, i;
	double start = tap_now(), filled;
	struct bk_region r;
	struct bk b;
	char *p;
	int second;

	bk_begin(&b);
	/* Twice as many pages as needed: the cap on overlaps shall not come first. */
	p = bk_anon(PAGES(2 * pages), 1);
	while (done < BELAY_MAX_REGIONS) {
		for (i = 0; i < BELAY_MAX_BATCH; i++)
			e[i] = (struct belay_register_entry) {
				.addr = (uintptr_t)(p + PAGES((done + i) % (2 * pages))),
				.len = PAGES(1),
				.kind = i % 2 ? BELAY_PINNED : BELAY_TRACKED,
				.flags = W,
			};
		done += register_batch(b.fd, e, BELAY_MAX_BATCH);
		for (i = 0; i < BELAY_MAX_BATCH; i++)
			CHECK_EQ(e[i].status, 0);
	}
	filled = tap_now();
	CHECK_EQ(bk_usage_regions(b.fd), BELAY_MAX_REGIONS);
	CHECK_EQ(bk_usage_bytes(b.fd), PAGES(2 * pages));
	CHECK_EQ(bk_register(b.fd, p, PAGES(1), BELAY_PINNED, W, &r), -EMFILE);
	second = bk_grant(b.ctl, b.account, getpid(), BELAY_UNLIMITED,
			  BELAY_UNLIMITED, NULL);
	CHECK_EQ(bk_register(second, p, PAGES(1), BELAY_PINNED, W, &r), -EMFILE);
	CHECK_OK(bk_unregister(b.fd, e[77].region));
	CHECK_OK(bk_register(second, p, PAGES(1), BELAY_PINNED, W, &r));
	CHECK_EQ(bk_register(b.fd, p, PAGES(1), BELAY_PINNED, W, &r), -EMFILE);
	close(second);
	filled -= start;
	start = tap_now();
	bk_end(&b);
	tap_diag("%u regions: registered in %.1f s, gone in %.1f s", BELAY_MAX_REGIONS, filled,
		 tap_now() - start);
}

TAP_MAIN()
