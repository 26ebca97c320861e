// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Lost is lost: the word says so when the call returns, the event names the right
 * range and reason, the pins of that part are dropped, with their charge unless it
 * is a hole in the middle, and what another driver holds stays charged.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "tests/kernel/lib/bk.h"
#include "tests/lib/tap.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)
#define FOR_BOTH(how)	for (uint32_t how = BELAY_PINNED; how <= BELAY_TRACKED; how++)

/* A region, and one beside it that must stay valid. */
struct bed {
	struct bk b;
	struct bk_memory m;
	struct bk_region r, beside;
	uint32_t how;
	uint64_t seen_lost;
};

static void bed_make(struct bed *d, enum bk_kind kind, size_t len, uint32_t how)
{
	size_t more = bk_kind_unit(kind) == BK_HUGE || kind == BK_THP ? BK_HUGE : BK_PAGE;

	bk_begin(&d->b);
	bk_map(&d->m, kind, len + more);
	d->how = how;
	d->r = bk_hold(&d->b, d->m.addr, len, how, d->m.flags);
	d->beside = bk_hold(&d->b, d->m.addr + len, more, how, d->m.flags);
	d->seen_lost = bk_seen("lost");
}

static void bed_end(struct bed *d)
{
	CHECK_OK(bk_unregister(d->b.fd, d->r.id));
	CHECK_EQ(bk_usage_bytes(d->b.fd), d->beside.len);
	CHECK_OK(bk_unregister(d->b.fd, d->beside.id));
	CHECK_EQ(bk_usage_bytes(d->b.fd), 0);
	bk_unmap(&d->m);
	bk_end(&d->b);
}

/* Lost now (certain), or when settled; the part, the reason, and the bill. */
static void expect_lost(struct bed *d, size_t offset, size_t len, uint32_t reason)
{
	struct belay_region_row row;
	struct belay_event e;
	uint32_t state;

	/* Whatever it was: at no instant after the call. */
	CHECK_FINAL(!bk_valid(&d->b, &d->r));
	/* What a shared mapping shows may still be mapped, and is looked at first. */
	if (reason == BELAY_REASON_UNMAPPED && !bk_kind_shared(d->m.kind))
		CHECK(bk_state(&d->b, &d->r) & BELAY_WORD_LOST);
	state = bk_settle(&d->b, &d->r);
	CHECK(state != ~0U && state & BELAY_WORD_LOST);
	/* What is left of it, and all if nothing is, is settled as well. */
	CHECK_SOON(!(bk_state(&d->b, &d->r) & BELAY_WORD_SUSPECT), 5);

	CHECK_SOON(bk_find_event(d->b.ctl, d->b.session, d->r.id, BELAY_EVENT_LOST, &e), 5);
	CHECK_EQ(e.reason, reason);
	CHECK_EQ(e.grant, d->b.grant);
	CHECK_EQ(e.cookie, 0xc00c1e);
	CHECK_EQ(e.addr, (uintptr_t)d->r.addr);
	CHECK_EQ(e.len, d->r.len);
	CHECK_EQ(e.lost_addr - e.addr, offset);
	CHECK_EQ(e.lost_len, len);
	CHECK_EQ(e.request, 0);
	CHECK_EQ(bk_seen("lost"), d->seen_lost + 1);

	CHECK(bk_find_region(d->b.ctl, d->b.session, d->r.id, &row));
	CHECK(row.state & BELAY_WORD_LOST);
	CHECK_EQ(row.lost_addr, e.lost_addr);
	CHECK_EQ(row.lost_len, e.lost_len);
	CHECK_EQ(row.lost_reason, reason);

	if (d->how == BELAY_PINNED) {
		size_t held = d->r.len - len;
		bool is_hole = offset && offset + len < d->r.len;

		CHECK_SOON(bk_sysfs("pinned_bytes") == held + d->beside.len, 5);
		CHECK_SOON(bk_vm_pin() == held + d->beside.len, 5);
		CHECK_SOON(bk_usage_bytes(d->b.fd) ==
			   (is_hole ? d->r.len : held) + d->beside.len, 5);
	} else {
		usleep(20000);
		CHECK_EQ(bk_usage_bytes(d->b.fd), d->r.len + d->beside.len);
	}
	/* It is the region's last word, and nobody else's. */
	CHECK(bk_check(d->b.fd, d->r.id) & BELAY_WORD_LOST);
	CHECK_EQ(bk_settle(&d->b, &d->beside), 0);
	CHECK(!bk_find_event(d->b.ctl, d->b.session, d->beside.id, BELAY_EVENT_LOST, NULL));
}

TEST(munmap_whole, "munmap of all of a region: lost, all of it, unmapped")
{
	static const enum bk_kind kinds[] = { BK_ANON, BK_MEMFD, BK_SHARED_ANON,
					      BK_PRIVATE_FILE, BK_EXT4 };
	struct bed d;
	unsigned int i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		FOR_BOTH(how) {
			bed_make(&d, kinds[i], PAGES(8), how);
			CHECK_SYS(munmap(d.r.addr, PAGES(8)));
			expect_lost(&d, 0, PAGES(8), BELAY_REASON_UNMAPPED);
			bed_end(&d);
		}
}

TEST(munmap_part, "munmap of some pages in the middle: lost, and just those pages are named")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_ANON, PAGES(8), how);
		CHECK_SYS(munmap(d.r.addr + PAGES(3), PAGES(2)));
		expect_lost(&d, PAGES(3), PAGES(2), BELAY_REASON_UNMAPPED);
		bed_end(&d);
		bed_make(&d, BK_MEMFD, PAGES(8), how);
		CHECK_SYS(munmap(d.r.addr + PAGES(7), PAGES(1)));
		expect_lost(&d, PAGES(7), PAGES(1), BELAY_REASON_UNMAPPED);
		bed_end(&d);
	}
}

TEST(munmap_thp, "munmap of some pages in the middle of a huge page: just those pages are named")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_THP, BK_HUGE, how);
		CHECK_SYS(munmap(d.r.addr + PAGES(256), PAGES(16)));
		expect_lost(&d, PAGES(256), PAGES(16), BELAY_REASON_UNMAPPED);
		bed_end(&d);
	}
}

TEST(munmap_hugetlb, "munmap of one of two hugetlb pages: just that one is named")
{
	static const enum bk_kind kinds[] = { BK_HUGE_ANON, BK_HUGE_MEMFD, BK_HUGETLBFS };
	struct bed d;
	unsigned int i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		FOR_BOTH(how) {
			bed_make(&d, kinds[i], 2 * BK_HUGE, how);
			CHECK_SYS(munmap(d.r.addr + BK_HUGE, BK_HUGE));
			expect_lost(&d, BK_HUGE, BK_HUGE, BELAY_REASON_UNMAPPED);
			bed_end(&d);
		}
}

TEST(mremap_move, "mremap to another address: lost, although the memory lives on elsewhere")
{
	struct bed d;
	char *to;

	FOR_BOTH(how) {
		bed_make(&d, BK_ANON, PAGES(8), how);
		to = CHECK_SYS(mmap(NULL, PAGES(8), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
				    -1, 0));
		CHECK_SYS(mremap(d.r.addr, PAGES(8), PAGES(8), MREMAP_MAYMOVE |
				 MREMAP_FIXED, to));
		CHECK_EQ(to[0], 0x33);
		expect_lost(&d, 0, PAGES(8), BELAY_REASON_UNMAPPED);
		munmap(to, PAGES(8));
		bed_end(&d);
	}
}

TEST(mremap_shrink, "mremap that shrinks the mapping: the cut-off pages are lost")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_ANON, PAGES(8), how);
		/* The region beside is cut off by itself first. */
		CHECK_OK(bk_unregister(d.b.fd, d.beside.id));
		CHECK_SYS(mremap(d.m.addr, PAGES(9), PAGES(5), 0));
		d.beside = bk_hold(&d.b, bk_anon(PAGES(1), 1), PAGES(1), how, W);
		expect_lost(&d, PAGES(5), PAGES(3), BELAY_REASON_UNMAPPED);
		bed_end(&d);
	}
}

TEST(mmap_over, "mmap with MAP_FIXED over a region: lost, unmapped")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_ANON, PAGES(8), how);
		CHECK_SYS(mmap(d.r.addr, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE |
			       MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
		expect_lost(&d, 0, PAGES(4), BELAY_REASON_UNMAPPED);
		bed_end(&d);
	}
}

TEST(dontneed, "MADV_DONTNEED of private anonymous memory: lost, replaced")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_ANON, PAGES(8), how);
		CHECK_SYS(madvise(d.r.addr, PAGES(8), MADV_DONTNEED));
		expect_lost(&d, 0, PAGES(8), BELAY_REASON_REPLACED);
		CHECK_EQ(d.r.addr[0], 0);
		bed_end(&d);
		bed_make(&d, BK_ANON, PAGES(8), how);
		CHECK_SYS(madvise(d.r.addr + PAGES(2), PAGES(3), MADV_DONTNEED));
		/*
		 * Touched before anyone looked: another page, not none. (A tracked
		 * page that no driver holds might come back: not then.)
		 */
		if (how == BELAY_PINNED)
			d.r.addr[PAGES(2)] = d.r.addr[PAGES(3)] = d.r.addr[PAGES(4)] = 1;
		expect_lost(&d, PAGES(2), PAGES(3), BELAY_REASON_REPLACED);
		bed_end(&d);
	}
}

TEST(dontneed_thp, "MADV_DONTNEED of a part of a huge page: that part is lost")
{
	struct bed d;

	FOR_BOTH(how) {
		bed_make(&d, BK_THP, BK_HUGE, how);
		CHECK_SYS(madvise(d.r.addr + PAGES(100), PAGES(7), MADV_DONTNEED));
		expect_lost(&d, PAGES(100), PAGES(7), BELAY_REASON_REPLACED);
		bed_end(&d);
	}
}

/* ---- by another process ------------------------------------------------------------ */

struct file_operation {
	int fd;
	bool punch;
	off_t offset, len;
};

static void operate(void *arg)
{
	const struct file_operation *o = arg;

	if (o->punch)
		CHECK_SYS(fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    o->offset, o->len));
	else
		CHECK_SYS(ftruncate(o->fd, o->offset));
}

static void by_another(enum bk_kind kind, uint32_t how, bool punch)
{
	size_t unit = bk_kind_unit(kind), n = unit == BK_HUGE ? 3 : 8;
	struct file_operation o;
	uint64_t before;
	struct bed d;

	bed_make(&d, kind, n * unit, how);
	before = bk_pfn(d.m.addr + (n - 2) * unit);
	if (!punch) {
		/* The file's end takes the region beside with it: out of the way. */
		CHECK_OK(bk_unregister(d.b.fd, d.beside.id));
		d.beside = bk_hold(&d.b, bk_anon(PAGES(1), 1), PAGES(1), how, W);
	}
	o = (struct file_operation){ d.m.fd, punch, (n - 2) * unit, unit };
	tap_join(tap_spawn(operate, &o));
	/*
	 * Of a large folio that is dirty and pinned a hole leaves the same pages, zeroed. Not
	 * of shmem; and there a touch could have the frame of the page that went, if that is
	 * a tracked region's, whose driver is to hold it.
	 */
	if (punch && kind == BK_EXT4)
		(void)*(volatile char *)(d.m.addr + (n - 2) * unit);
	if (punch && kind == BK_EXT4 && bk_pfn(d.m.addr + (n - 2) * unit) == before)
		CHECK_EQ(bk_settle(&d.b, &d.r), 0);
	else
		expect_lost(&d, (n - 2) * unit, punch ? unit : 2 * unit,
			    BELAY_REASON_REPLACED);
	bed_end(&d);
}

TEST(punch, "a hole punched by another process into a memfd, a tmpfs or a hugetlb file: those pages are lost, replaced")
{
	FOR_BOTH(how) {
		by_another(BK_MEMFD, how, true);
		by_another(BK_TMPFS, how, true);
		by_another(BK_HUGE_MEMFD, how, true);
		by_another(BK_EXT4, how, true);
	}
}

TEST(truncate, "a memfd, a tmpfs or a hugetlb file truncated by another process: what was cut off is lost, replaced")
{
	FOR_BOTH(how) {
		by_another(BK_MEMFD, how, false);
		by_another(BK_TMPFS, how, false);
		by_another(BK_HUGE_MEMFD, how, false);
		by_another(BK_EXT4, how, false);
	}
}

TEST(truncate_private, "a private file mapping whose written page is truncated away: lost")
{
	struct file_operation o;
	struct bed d;

	bed_make(&d, BK_PRIVATE_FILE, PAGES(8), BELAY_PINNED);
	CHECK_OK(bk_unregister(d.b.fd, d.beside.id));
	d.beside = bk_hold(&d.b, bk_anon(PAGES(1), 1), PAGES(1), BELAY_PINNED, W);
	o = (struct file_operation){ d.m.fd, false, PAGES(4), 0 };
	tap_join(tap_spawn(operate, &o));
	expect_lost(&d, PAGES(4), PAGES(4), BELAY_REASON_REPLACED);
	bed_end(&d);
}

/* ---- the end of the address space ---------------------------------------------------- */

struct ending {
	struct bk b;
	struct bk_steps *s;
	uint32_t how;
	bool exec;
	bool lost;	/* before */
};

static void ending_run(void *arg)
{
	struct ending *x = arg;
	struct bk_region r;
	struct bk me;
	char *p;

	bk_join(&me, &x->b);
	p = bk_anon(PAGES(8), 1);
	r = bk_hold(&me, p, PAGES(8), x->how, W);
	x->s->value[0] = me.fd;
	x->s->value[1] = me.session;
	x->s->value[2] = me.grant;
	x->s->value[3] = r.id;
	if (x->lost)
		CHECK_SYS(munmap(p, PAGES(8)));
	bk_step(x->s, 1);
	bk_await(x->s, 2);
	if (!x->exec)
		_exit(0);
	execl("/bin/sleep", "sleep", "60", NULL);
	FAIL("execl: %s", strerror(errno));
}

static void ending(uint32_t how, bool exec, bool lost)
{
	struct ending x = { .how = how, .exec = exec, .lost = lost, .s = bk_steps() };
	uint64_t session, grant, region, released = bk_seen("seen_release");
	struct belay_account_row account;
	struct belay_event e;
	int64_t pins;
	pid_t pid;
	int fd;

	bk_begin(&x.b);
	pins = bk_pins();
	pid = tap_spawn(ending_run, &x);
	bk_await(x.s, 1);
	/* So that the session outlives the process. */
	fd = bk_steal_fd(pid, x.s->value[0]);
	session = x.s->value[1];
	grant = x.s->value[2];
	region = x.s->value[3];
	if (lost)
		CHECK_SOON(bk_any_lost(x.b.ctl, session), 5);
	CHECK_EQ(bk_pins() - pins, how == BELAY_PINNED && !lost ? 8 : 0);
	CHECK_EQ(bk_any_lost(x.b.ctl, session), lost);
	CHECK_EQ(bk_sysfs("charged_bytes"), how == BELAY_TRACKED || !lost ? PAGES(8) : 0);
	bk_step(x.s, 2);

	CHECK_SOON(bk_find_event(x.b.ctl, session, region, BELAY_EVENT_LOST, &e), 5);
	if (!lost)
		CHECK_EQ(e.reason, BELAY_REASON_EXITED);
	CHECK_EQ(e.lost_len, PAGES(8));
	CHECK_SOON(bk_find_ended(x.b.ctl, grant, NULL), 5);
	/* Of what nothing is left is not watched any more. */
	if (!lost || how == BELAY_TRACKED)
		CHECK_GT(bk_seen("seen_release"), released);
	CHECK_SOON(bk_pins() == pins, 5);
	CHECK_SOON(bk_sysfs("pinned_bytes") == 0, 5);
	CHECK_SOON(bk_sysfs("charged_bytes") == 0, 5);
	if (exec)
		CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	close(fd);
	CHECK_SOON(!bk_sysfs("regions") && !bk_sysfs("charged_bytes"), 5);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_EQ(bk_list(x.b.ctl, BELAY_LIST_ACCOUNTS, &account, sizeof(account), 1, 0, 0), 1);
	CHECK_EQ(account.usage_bytes, 0);
	CHECK_EQ(account.usage_regions, 0);
	bk_end(&x.b);
}

TEST(exit, "a process that exits loses its regions, and pins go although somebody else holds the session")
{
	FOR_BOTH(how)
		ending(how, false, false);
}

TEST(exit_lost, "with a process that exits goes the charge of what it had lost, too, although somebody else holds the session")
{
	FOR_BOTH(how) {
		ending(how, false, true);
		ending(how, true, true);
	}
}

TEST(exec, "a process that execs loses its regions in the same way")
{
	FOR_BOTH(how)
		ending(how, true, false);
}

TAP_MAIN()
