// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * ioctl_fuzz_act.c - what is done to memory, files and the words meanwhile
 *
 * The arena is eight places of 2 MiB where memory of all kinds is mapped, moved, cut and
 * unmapped, by any thread at any time; so the test itself never touches it but by calls
 * that can fail. Sessions are held in slots; whoever changes one, or maps something where
 * the kernel likes, has the lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/lib/tap.h"
#include "tests/stress/ioctl_fuzz.h"

/* ---- memory ---------------------------------------------------------------------------------- */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif
#define RW	(PROT_READ | PROT_WRITE)
#define ANON	(MAP_PRIVATE | MAP_ANONYMOUS)

static const struct {
	int prot, flags;
	enum bk_kind file;	/* 0: none */
} kinds[] = {
	{ RW, ANON, 0 }, { RW, ANON, 0 },
	{ RW, MAP_SHARED | MAP_ANONYMOUS, 0 },
	{ PROT_READ, ANON, 0 }, { PROT_NONE, ANON, 0 },
	{ RW, MAP_SHARED, BK_MEMFD }, { PROT_READ, MAP_SHARED, BK_MEMFD },
	{ RW, MAP_PRIVATE, BK_MEMFD },
	{ RW, MAP_SHARED, BK_TMPFS },
	{ RW, MAP_SHARED, BK_HUGE_MEMFD }, { RW, MAP_PRIVATE, BK_HUGE_MEMFD },
	{ RW, MAP_PRIVATE, BK_PRIVATE_FILE }, { PROT_READ, MAP_SHARED, BK_PRIVATE_FILE },
	{ RW, MAP_SHARED, BK_PRIVATE_FILE },
};

static char *place(struct fuzz_thread *t, unsigned int n)
{
	return t->p->arena + n * BK_HUGE;
}

/* Any but the first. */
static char *some_place(struct fuzz_thread *t)
{
	return place(t, 1 + fuzz_choose(t, ARENA_SLOTS - 1));
}

uint64_t fuzz_in_arena(struct fuzz_thread *t)
{
	return (uintptr_t)t->p->arena + fuzz_choose(t, ARENA_LEN / BK_PAGE) * BK_PAGE;
}

uint64_t fuzz_nowhere(struct fuzz_thread *t)
{
	const uint64_t places[] = {
		0, 1, (uintptr_t)t->scratch - BK_PAGE, (uintptr_t)t->scratch - BELAY_MAX_BATCH * 8,
		(uintptr_t)t->read_only + SCRATCH_LEN, 1ULL << 47, 1ULL << 63,
		0xffff888000000000ULL, 0xffffffff81000000ULL, -BK_PAGE, -8ULL, -1ULL,
	};

	return places[fuzz_choose(t, sizeof(places) / sizeof(places[0]))];
}

/* With the lock: what cannot be mapped leaves a hole, and nothing else is to come there. */
static void act_map(struct fuzz_thread *t)
{
	unsigned int kind = fuzz_choose(t, sizeof(kinds) / sizeof(kinds[0]));
	char *at = some_place(t);
	int fd = kinds[kind].file ? fuzz_of(t)->files[kinds[kind].file] : -1;
	off_t offset = fd >= 0 && fuzz_choose(t, 2) ? BK_HUGE : 0;

	pthread_mutex_lock(&t->p->lock);
	if (mmap(at, BK_HUGE, kinds[kind].prot, kinds[kind].flags | MAP_FIXED, fd, offset) != at) {
		/* There may be no huge page left. */
		CHECK_EQ(errno, ENOMEM);
		CHECK_SYS(mmap(at, BK_HUGE, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0));
	}
	pthread_mutex_unlock(&t->p->lock);
	if (kind == 0)
		madvise(at, BK_HUGE, MADV_HUGEPAGE);
}

/* Holes, of all sizes; something inaccessible stays, so that nothing else comes there. */
static void act_unmap(struct fuzz_thread *t)
{
	unsigned int pages = 1 + fuzz_choose(t, fuzz_choose(t, 2) ? 8 : BK_HUGE / BK_PAGE);
	char *at = some_place(t);

	mmap(at + fuzz_choose(t, BK_HUGE / BK_PAGE - pages + 1) * BK_PAGE, pages * BK_PAGE,
	     PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0);
}

static void act_advise(struct fuzz_thread *t)
{
	static const int advices[] = {
		MADV_DONTNEED, MADV_REMOVE, MADV_FREE, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_COLD,
		MADV_PAGEOUT, MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_DONTFORK, MADV_DOFORK,
	};

	madvise((void *)fuzz_in_arena(t), (1 + fuzz_choose(t, 64)) * BK_PAGE,
		advices[fuzz_choose(t, sizeof(advices) / sizeof(advices[0]))]);
}

static void act_protect(struct fuzz_thread *t)
{
	mprotect(some_place(t) + fuzz_choose(t, 448) * BK_PAGE, (1 + fuzz_choose(t, 64)) * BK_PAGE,
		 fuzz_choose(t, 4) ? RW : PROT_READ);
}

/* With the lock, as above. */
static void act_move(struct fuzz_thread *t)
{
	char *from = some_place(t), *to = some_place(t);
	unsigned int len = fuzz_choose(t, 2) ? BK_HUGE : 8 * BK_PAGE;
	bool moved;

	if (from == to)
		return;
	pthread_mutex_lock(&t->p->lock);
	moved = mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
	/* Of huge pages more is moved than is said; and if it fails, it may have unmapped. */
	CHECK_SYS(mmap(moved ? from : to, BK_HUGE, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0));
	pthread_mutex_unlock(&t->p->lock);
}

static void act_truncate(struct fuzz_thread *t)
{
	static const enum bk_kind which[] = { BK_MEMFD, BK_TMPFS, BK_HUGE_MEMFD };
	enum bk_kind kind = which[fuzz_choose(t, 3)];
	off_t at = fuzz_choose(t, 2 * BK_HUGE / bk_kind_unit(kind)) * bk_kind_unit(kind);
	int fd = fuzz_of(t)->files[kind];

	if (fuzz_choose(t, 2)) {
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4 * bk_kind_unit(kind));
		return;
	}
	CHECK_SYS(ftruncate(fd, at));
	CHECK_SYS(ftruncate(fd, 2 * BK_HUGE));
}

void fuzz_map_arena(struct fuzz_thread *t)
{
	char *p = CHECK_SYS(mmap(NULL, 2 * GUARD + ARENA_LEN + BK_HUGE, PROT_NONE,
				 ANON | MAP_NORESERVE, -1, 0));
	unsigned int i;

	p += GUARD;
	t->p->arena = p + (-(uintptr_t)p & (BK_HUGE - 1));
	CHECK_SYS(mmap(t->p->arena, BK_HUGE, RW, ANON | MAP_FIXED, -1, 0));
	CHECK_SYS(madvise(t->p->arena, BK_HUGE, MADV_NOHUGEPAGE));
	for (i = 0; i < ARENA_SLOTS; i++)
		act_map(t);
}

/* ---- sessions ----------------------------------------------------------------------------------- */

/* With the lock. */
static void set_slot(struct fuzz_slot *slot, int fd, uint64_t session, uint64_t grant)
{
	int old = slot->fd;

	__atomic_add_fetch(&slot->turn, 1, __ATOMIC_ACQ_REL);
	if (slot->words)
		munmap(slot->words, BK_PAGE);
	slot->words = NULL;
	slot->session = session;
	slot->grant = grant;
	__atomic_store_n(&slot->fd, fd, __ATOMIC_RELEASE);
	__atomic_add_fetch(&slot->turn, 1, __ATOMIC_ACQ_REL);
	if (old >= 0)
		close(old);
}

void fuzz_install(struct fuzz_thread *t, int fd, uint64_t session, uint64_t grant)
{
	unsigned int i, at = fuzz_choose(t, FUZZ_SLOTS);
	void *words = MAP_FAILED;

	pthread_mutex_lock(&t->p->lock);
	for (i = 0; i < FUZZ_SLOTS && t->p->slots[at].fd >= 0; i++)
		at = (at + 1) % FUZZ_SLOTS;
	if (fuzz_choose(t, 2)) {
		words = mmap(NULL, BK_PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (words == MAP_FAILED)
			fuzz_fail(t, NULL, "mmap of the words: %s", strerror(errno));
	}
	set_slot(&t->p->slots[at], fd, session, grant);
	t->p->slots[at].words = words == MAP_FAILED ? NULL : words;
	pthread_mutex_unlock(&t->p->lock);
}

void fuzz_keep_foreign(struct fuzz_thread *t, int fd)
{
	pthread_mutex_lock(&t->p->lock);
	set_slot(&t->p->foreign[fuzz_choose(t, FUZZ_FOREIGN)], fd, 0, 0);
	pthread_mutex_unlock(&t->p->lock);
}

static void act_close(struct fuzz_thread *t)
{
	pthread_mutex_lock(&t->p->lock);
	set_slot(fuzz_choose(t, 2) ? &t->p->slots[fuzz_choose(t, FUZZ_SLOTS)] :
		 &t->p->foreign[fuzz_choose(t, FUZZ_FOREIGN)], -1, 0, 0);
	pthread_mutex_unlock(&t->p->lock);
}

/* ---- between processes ---------------------------------------------------------------------------- */

#define NO_LIFE	~0U

struct letter {
	uint32_t life;		/* of the process that it is for; NO_LIFE: it is another's */
	uint32_t from, from_life;
	uint64_t session, grant;
};

union fd_space {
	char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

void fuzz_hand_over(struct fuzz_thread *t, unsigned int to, uint32_t life, int fd,
		    uint64_t session, uint64_t grant)
{
	struct letter letter = { life, t->p->index, t->p->life, session, grant };
	struct iovec text = { &letter, sizeof(letter) };
	union fd_space space = {};
	struct msghdr m = {
		.msg_iov = &text, .msg_iovlen = 1,
		.msg_control = &space, .msg_controllen = sizeof(space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	/* Its letter box may be full. */
	if (sendmsg(fuzz_of(t)->send[to], &m, MSG_DONTWAIT) > 0)
		fuzz_add(&fuzz_of(t)->sent);
}

static void act_send(struct fuzz_thread *t)
{
	struct fuzz_slot *slot = &t->p->slots[fuzz_choose(t, FUZZ_SLOTS)];

	pthread_mutex_lock(&t->p->lock);
	if (slot->fd >= 0)
		fuzz_hand_over(t, fuzz_choose(t, FUZZ_PROCESSES), NO_LIFE, slot->fd, 0, 0);
	pthread_mutex_unlock(&t->p->lock);
}

static void act_receive(struct fuzz_thread *t)
{
	struct letter letter;
	struct iovec text = { &letter, sizeof(letter) };
	union fd_space space;
	struct msghdr m = {
		.msg_iov = &text, .msg_iovlen = 1,
		.msg_control = &space, .msg_controllen = sizeof(space),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(fuzz_of(t)->receive[t->p->index], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return;
	/* There may be no room for another file. */
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_len != CMSG_LEN(sizeof(fd)))
		return;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	fuzz_add(&fuzz_of(t)->received);
	if (letter.life == t->p->life)
		fuzz_install(t, fd, letter.session, letter.grant);
	else if (letter.life == NO_LIFE && letter.from == t->p->index &&
		 letter.from_life == t->p->life)
		close(fd);	/* its own, by a detour */
	else
		fuzz_keep_foreign(t, fd);
}

/* ---- the words --------------------------------------------------------------------------------------- */

/* By a call that can fail: where no region ever was there is no page. */
static const uint64_t *read_words(struct fuzz_thread *t, const void *from, unsigned int n)
{
	ssize_t len = n * sizeof(uint64_t);

	/* Behind the argument's struct. */
	if (pwrite(t->file, from, len, BK_PAGE) != len)
		return NULL;
	fuzz_add(&fuzz_of(t)->words_read);
	return (const uint64_t *)(t->scratch + BK_PAGE);
}

static void act_words(struct fuzz_thread *t)
{
	struct fuzz_slot *slot = &t->p->slots[fuzz_choose(t, FUZZ_SLOTS)];
	const uint64_t *words;
	unsigned int i;

	pthread_mutex_lock(&t->p->lock);
	words = slot->words ? read_words(t, slot->words, 16) : NULL;
	for (i = 0; words && i < 16; i++)
		if (words[i] && (!(words[i] >> 32) || (uint32_t)words[i] > 15))
			fuzz_fail(t, NULL, "a word is %#llx", (unsigned long long)words[i]);
	pthread_mutex_unlock(&t->p->lock);
}

/* Ways of mapping them that are refused, and how. */
static void act_words_wrong(struct fuzz_thread *t)
{
	static const struct {
		int prot, flags;
		unsigned long pages, offset;
		int err;
	} ways[] = {
		{ RW, MAP_SHARED, 1, 0, EPERM },
		{ PROT_READ | PROT_EXEC, MAP_SHARED, 1, 0, EPERM },
		{ PROT_READ, MAP_PRIVATE, 1, 0, EINVAL },
		{ PROT_READ, MAP_SHARED, BELAY_WORDS_MAX / 512 + 1, 0, EINVAL },
		{ PROT_READ, MAP_SHARED, 1, BELAY_WORDS_MAX / 512, EINVAL },
		{ PROT_READ, MAP_SHARED, 2, BELAY_WORDS_MAX / 512 - 1, EINVAL },
		{ PROT_READ, MAP_SHARED, 1, 0, 0 },
	};
	unsigned int n = fuzz_choose(t, sizeof(ways) / sizeof(ways[0])), which = fuzz_choose(t, 8);
	struct fuzz_slot *slot = which < FUZZ_SLOTS ? &t->p->slots[which] : &t->p->foreign[which - FUZZ_SLOTS];
	int expected = which < FUZZ_SLOTS ? ways[n].err : EXDEV, err;
	void *p;

	pthread_mutex_lock(&t->p->lock);
	if (slot->fd >= 0) {
		p = mmap(NULL, ways[n].pages * BK_PAGE, ways[n].prot, ways[n].flags, slot->fd,
			 ways[n].offset * BK_PAGE);
		err = p == MAP_FAILED ? errno : 0;
		if (err != expected)
			fuzz_fail(t, NULL, "mapping words in way %u: %s", n, strerror(err));
		if (!err) {
			CHECK_ERRNO(mprotect(p, BK_PAGE, RW), EACCES);
			CHECK_ERRNO(mremap(p, BK_PAGE, 2 * BK_PAGE, MREMAP_MAYMOVE), EFAULT);
			CHECK_SYS(munmap(p, BK_PAGE));
		}
	}
	pthread_mutex_unlock(&t->p->lock);
}

/* ---- files ------------------------------------------------------------------------------------------------ */

static void look_at_fdinfo(int fd)
{
	char path[64], text[2048];
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	/* There may be no room for another file. */
	if (info < 0)
		return;
	CHECK_GT(read(info, text, sizeof(text)), 0);
	close(info);
}

/* What such a file cannot do. */
static void act_read(struct fuzz_thread *t)
{
	struct fuzz_shared *s = fuzz_of(t);
	unsigned int which = fuzz_choose(t, FUZZ_SLOTS + 2);
	struct pollfd poll_fd = { .events = POLLIN | POLLOUT };
	char text[64];
	int fd;

	pthread_mutex_lock(&t->p->lock);
	fd = which < FUZZ_SLOTS ? t->p->slots[which].fd : which == FUZZ_SLOTS ? s->ctl : s->reader;
	if (fd >= 0) {
		CHECK_ERRNO(read(fd, text, sizeof(text)), EINVAL);
		CHECK_ERRNO(write(fd, text, sizeof(text)), fd == s->reader ? EBADF : EINVAL);
		CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
		CHECK_ERRNO(fsync(fd), EINVAL);
		CHECK_SYS(lseek(fd, 4096, SEEK_SET));
		poll_fd.fd = fd;
		CHECK_SYS(poll(&poll_fd, 1, 0));
		CHECK_EQ(poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL), 0);
		look_at_fdinfo(fd);
	}
	pthread_mutex_unlock(&t->p->lock);
}

/* The copy may be the last of the session's that is closed. */
static void act_dup(struct fuzz_thread *t)
{
	struct belay_usage u = { .size = sizeof(u) };
	struct fuzz_op op = {};
	int copy, err;

	if (!fuzz_take_slot(&op, &t->p->slots[fuzz_choose(t, FUZZ_SLOTS)]))
		return;
	copy = dup(op.fd);
	err = copy < 0 ? -errno : bk_ioctl(copy, BELAY_USAGE, &u);
	if (err && err != -EMFILE &&
	    __atomic_load_n(&op.slot->turn, __ATOMIC_ACQUIRE) == op.turn)
		fuzz_fail(t, NULL, "a copy of a session: %s", strerrorname_np(-err));
	if (copy >= 0)
		close(copy);
}

/* A child can do nothing with its parent's sessions, and sees no word of them. */
static void child(struct fuzz_thread *t)
{
	struct belay_usage u = { .size = sizeof(u) };
	struct fuzz_slot *slot;
	const uint64_t *words;
	unsigned int i, j;
	void *p;

	for (i = 0; i < FUZZ_SLOTS; i++) {
		slot = &t->p->slots[i];
		if (slot->fd < 0)
			continue;
		CHECK_EQ(bk_ioctl(slot->fd, BELAY_USAGE, &u), -EXDEV);
		p = mmap(NULL, BK_PAGE, PROT_READ, MAP_SHARED, slot->fd, 0);
		CHECK(p == MAP_FAILED && errno == EXDEV);
		if (!slot->words)
			continue;
		words = read_words(t, slot->words, 4);
		CHECK(words);
		for (j = 0; j < 4; j++)
			CHECK_EQ(words[j], 0);
	}
}

static void act_fork(struct fuzz_thread *t)
{
	int status;
	pid_t pid;

	pthread_mutex_lock(&t->p->lock);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		child(t);
		_exit(0);
	}
	pthread_mutex_unlock(&t->p->lock);
	CHECK_SYS(pid);
	CHECK_SYS(waitpid(pid, &status, 0));
	if (status)
		fuzz_fail(t, NULL, "a child ended with status %#x", status);
}

/* ------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	void (*run)(struct fuzz_thread *t);
	unsigned int weight;
} acts[FUZZ_ACTS] = {
	{ "map", act_map, 30 }, { "unmap", act_unmap, 20 }, { "advise", act_advise, 30 },
	{ "protect", act_protect, 20 }, { "move", act_move, 20 }, { "truncate", act_truncate, 10 },
	{ "words", act_words, 20 }, { "words, wrongly", act_words_wrong, 20 },
	{ "read", act_read, 20 }, { "dup", act_dup, 20 }, { "close", act_close, 20 },
	{ "send", act_send, 10 }, { "receive", act_receive, 40 }, { "fork", act_fork, 2 },
};

const char *fuzz_act_name(unsigned int n)
{
	return acts[n].name;
}

void fuzz_act(struct fuzz_thread *t)
{
	unsigned int i, at, all = 0;

	for (i = 0; i < FUZZ_ACTS; i++)
		all += acts[i].weight;
	at = fuzz_choose(t, all);
	for (i = 0; at >= acts[i].weight; i++)
		at -= acts[i].weight;
	fuzz_of(t)->processes[t->p->index].threads[t->index].doing = acts[i].name;
	fuzz_add(&fuzz_of(t)->acted[i]);
	acts[i].run(t);
}
