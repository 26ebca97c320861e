// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* acts.c - the acts; see acts.h, and world.c for the rules */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "tests/lib/tap.h"
#include "tests/stress/acts.h"

#define W	BELAY_REGION_WRITE
#define PAGES(n)	((n) * BK_PAGE)

/* ---- the region's own process -------------------------------------------------- */

static int do_unregister(struct world *w, unsigned int who)
{
	return bk_unregister(w->fd, w->r.id);
}

static int do_trim(struct world *w, unsigned int who)
{
	return bk_trim(w->fd, &w->r, PAGES(2), PAGES(2), w->parts[who]);
}

static int do_check(struct world *w, unsigned int who)
{
	int state = bk_check(w->fd, w->r.id);

	if (state < 0)
		return state;
	CHECK_EQ(state & ~(BELAY_WORD_SUSPECT | BELAY_WORD_LOST | BELAY_WORD_RECALLED |
			   BELAY_WORD_RELEASED), 0);
	return 0;
}

static int do_commit(struct world *w, unsigned int who)
{
	return bk_commit(w->fd, w->r.id);
}

/* Over a half of it, and as much behind it. */
static int do_register(struct world *w, unsigned int who)
{
	return bk_register(w->fd, w->p + PAGES(4), PAGES(8), who % 2 ? BELAY_TRACKED : BELAY_PINNED,
			   W, &w->extra[who]);
}

/*
 * The number stays in use, for a session of another grant, so that what another
 * thread does with it is never done to something else: it finds no such region.
 */
static int do_close(struct world *w, unsigned int who)
{
	CHECK_SYS(dup2(w->b.fd, w->fd));
	return 0;
}

/* Promised when the call returns. */
static void expect_turned(struct world *w)
{
	if (w->words && bk_valid(&(struct bk){ .words = w->words }, &w->r))
		FAIL_FINAL("round %u: the memory has gone, and the word is valid", w->round);
}

static int do_munmap(struct world *w, unsigned int who)
{
	CHECK_SYS(munmap(w->p, PAGES(8)));
	expect_turned(w);
	return 0;
}

static int do_mremap(struct world *w, unsigned int who)
{
	void *to = mremap(w->p, PAGES(8), PAGES(8), MREMAP_MAYMOVE | MREMAP_FIXED, w->moved);

	if (to != MAP_FAILED)
		expect_turned(w);
	else	/* another has unmapped or moved it */
		CHECK(errno == EFAULT || errno == EINVAL);
	return 0;
}

static int do_replace(struct world *w, unsigned int who)
{
	int how = w->file < 0 ? MADV_DONTNEED : MADV_REMOVE;
	bool done = !madvise(w->p + PAGES(5), PAGES(1), how);

	/* What is only watched as a mapping has lost nothing. */
	if (done && w->kind != BELAY_WATCHED)
		expect_turned(w);
	return 0;
}

/* Entries of the page table go, and come again; or a migration is tried. */
static int do_stir(struct world *w, unsigned int who)
{
	void *page = w->p + PAGES(5);
	int node = w->round % 2, status;

	if (w->file >= 0)
		madvise(w->p, PAGES(8), MADV_DONTNEED);
	else
		syscall(SYS_move_pages, 0, 1, &page, &node, &status, 0);
	return 0;
}

/* The child is there while every page is written to, by a call that may fail. */
static int do_fork(struct world *w, unsigned int who)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	CHECK_SYS(pid);
	if (read(w->zeroes, w->p, PAGES(8)) < 0)
		CHECK_EQ(errno, EFAULT);
	kill(pid, SIGKILL);
	CHECK_SYS(waitpid(pid, NULL, 0));
	return 0;
}

/* ---- the policy owner ---------------------------------------------------------- */

static int do_recall(struct world *w, unsigned int who)
{
	return bk_recall(w->b.ctl, BELAY_CTL_RECALL, w->session, w->r.id, 1 + w->round);
}

static int do_release(struct world *w, unsigned int who)
{
	int err = bk_recall(w->b.ctl, BELAY_CTL_RELEASE, w->session, w->r.id, 0);

	if (w->kind == BELAY_PINNED)
		CHECK_NE(err, -EBUSY);
	else
		CHECK_NE(err, 0);
	return err;
}

static int do_events(struct world *w, unsigned int who)
{
	struct belay_event e[32];
	struct belay_ctl_events arg = {
		.size = sizeof(arg), .entries = (uintptr_t)e, .count = 32,
		.entry_size = sizeof(e[0]),
	};
	int err = bk_ioctl(w->b.ctl, BELAY_CTL_EVENTS, &arg);
	unsigned int i;

	if (err)
		return err;
	for (i = 0; i < arg.count; i++) {
		CHECK_NE(e[i].events, 0);
		CHECK_NE(e[i].grant, 0);
		CHECK_EQ(!e[i].session, e[i].events == BELAY_EVENT_ENDED);
	}
	return arg.count ? bk_ioctl(w->b.ctl, BELAY_CTL_EVENTS_DONE, &arg) : 0;
}

/* The session closes, and the owner hears at once that the grant has ended. */
static int do_end(struct world *w, unsigned int who)
{
	do_close(w, who);
	return do_events(w, who);
}

static int do_limits(struct world *w, unsigned int who)
{
	int err = bk_set_limit(w->b.ctl, w->grant, BELAY_LIMIT_GRANT, BK_PAGE, 1);

	return err ? err : bk_set_limit(w->b.ctl, w->grant, BELAY_LIMIT_GRANT, BELAY_UNLIMITED,
					BELAY_UNLIMITED);
}

/* One more session of the same grant; or, if that has just ended, another grant. */
static int do_grant(struct world *w, unsigned int who)
{
	int fd = bk_try_grant(w->b.ctl, w->below, getpid(), BELAY_UNLIMITED, BELAY_UNLIMITED,
			      NULL);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int do_remove(struct world *w, unsigned int who)
{
	struct belay_ctl_id id = { .size = sizeof(id), .id = w->below };

	return bk_ioctl(w->b.ctl, BELAY_CTL_ACCOUNT_REMOVE, &id);
}

/*
 * The policy owner has gone: what is done by its number meanwhile is a reader's, who
 * may not. Then the next one comes.
 */
static int do_owner(struct world *w, unsigned int who)
{
	int fd;

	do {
		CHECK_SYS(dup2(w->reader, w->b.ctl));
		fd = open("/dev/belay", O_RDWR | O_CLOEXEC);
		/* Still in another thread's hands. */
		if (fd < 0)
			CHECK_EQ(errno, EBUSY);
	} while (fd < 0);
	CHECK_SYS(dup2(fd, w->b.ctl));
	close(fd);
	return 0;
}

static int do_unload(struct world *w, unsigned int who)
{
	CHECK_EQ(syscall(SYS_delete_module, "belay", O_NONBLOCK), -1);
	CHECK(errno == EWOULDBLOCK || errno == EBUSY);
	return 0;
}

/* ---- a reader -------------------------------------------------------------------- */

static int do_list(struct world *w, unsigned int who)
{
	struct belay_region_row rows[16];
	unsigned int i, j, n;

	n = bk_list(w->reader, BELAY_LIST_REGIONS, rows, sizeof(rows[0]), 16, w->grant, 0);
	CHECK_LT(n, 16);
	for (i = 0; i < n; i++) {
		CHECK_EQ(rows[i].grant, w->grant);
		CHECK_LE(rows[i].held_bytes, rows[i].len);
		CHECK_LE(rows[i].lost_len, rows[i].len);
		for (j = 0; j < i; j++)
			CHECK_NE(rows[i].region, rows[j].region);
	}
	return 0;
}

#define SHORTLY	200000ULL
#define SECOND	1000000000ULL

/* Until the region, or all of the grant, holds nothing. */
static int do_wait(struct world *w, unsigned int who)
{
	struct belay_ctl_wait arg = {
		.size = sizeof(arg),
		.timeout = w->is_sure ? 100 * SECOND : SHORTLY,
		.select = {
			.by = w->waits_for_all ? BELAY_SELECT_GRANT :
				BELAY_SELECT_SESSION | BELAY_SELECT_REGION,
			.grant = w->grant,
			.session = w->session,
			.region = w->r.id,
		},
	};

	return bk_ioctl(w->reader, BELAY_CTL_WAIT, &arg);
}

/* ----------------------------------------------------------------------------------- */

const struct act acts[] = {
	{ "unregister", do_unregister, ENDS | SURELY,
	  { { -ENOENT, ENDS } } },
	{ "release", do_release, ENDS | TAKES | ORDERS,
	  { { -ENOENT, ENDS }, { -EPERM, OWNS }, { -EBUSY, ALWAYS } } },
	{ "trim", do_trim, ENDS | TAKES,
	  { { -ENOENT, ENDS }, { -EBUSY, RECALLS }, { -ESTALE, LOSES | REPLACES | FORKS | STIRS },
	    { -EAGAIN, ALWAYS }, { -EINVAL, ALWAYS }, { -EDQUOT, LIMITS } } },
	{ "recall", do_recall, RECALLS,
	  { { -ENOENT, ENDS }, { -EPERM, OWNS } } },
	{ "close", do_close, ENDS | SURELY | CLOSES, { { 0, 0 } } },
	{ "check", do_check, 0,
	  { { -ENOENT, ENDS }, { -EAGAIN, ALWAYS } } },
	{ "commit", do_commit, 0,	/* EINVAL: there is, or was, nothing to commit */
	  { { -ENOENT, ENDS }, { -EINVAL, ALWAYS }, { -EAGAIN, ALWAYS }, { -EFAULT, LOSES } } },
	{ "register", do_register, 0,
	  { { -EAGAIN, ALWAYS }, { -EFAULT, LOSES }, { -EDQUOT, LIMITS } } },
	{ "munmap", do_munmap, LOSES, { { 0, 0 } } },
	{ "mremap", do_mremap, LOSES, { { 0, 0 } } },
	{ "replace", do_replace, REPLACES, { { 0, 0 } } },
	{ "stir", do_stir, STIRS, { { 0, 0 } } },
	{ "fork", do_fork, FORKS, { { 0, 0 } } },
	{ "wait", do_wait, WAITS,
	  { { -ETIMEDOUT, ALWAYS } } },
	{ "list", do_list, 0, { { 0, 0 } } },
	{ "events", do_events, HEARS,
	  { { -EPERM, OWNS } } },
	{ "end", do_end, ENDS | SURELY | CLOSES | HEARS,
	  { { -EPERM, OWNS } } },
	{ "limits", do_limits, LIMITS,
	  { { -EPERM, OWNS }, { -ENOENT, CLOSES } } },
	{ "grant", do_grant, 0,
	  { { -EPERM, OWNS }, { -ENOENT, REMOVES } } },
	{ "remove", do_remove, REMOVES,
	  { { -EBUSY, ALWAYS }, { -EPERM, OWNS }, { -ENOENT, REMOVES } } },
	{ "owner", do_owner, OWNS, { { 0, 0 } } },
	{ "unload", do_unload, 0, { { 0, 0 } } },
};
const unsigned int nr_acts = sizeof(acts) / sizeof(acts[0]);

const struct act *act_named(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_acts; i++)
		if (!strcmp(acts[i].name, name))
			return &acts[i];
	FAIL("no act is called %s", name);
}
