/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What the parts of the ioctl fuzzer share.
 *
 *	ioctl_fuzz.c		the test: processes, what is counted, what must be so
 *	ioctl_fuzz_run.c	a process and its threads; one call, and judging it
 *	ioctl_fuzz_table.c	the commands: their structs, and what they may say
 *	ioctl_fuzz_make.c	a call that is in order, from what there is
 *	ioctl_fuzz_break.c	breaks it
 *	ioctl_fuzz_taken.c	what came of it
 *	ioctl_fuzz_act.c	what is done to memory and files meanwhile
 *
 * A call that nothing is wrong with is *intact*: it must succeed, but for what the
 * state of things may be the reason of (another thread has closed, unmapped, removed).
 * One that is broken may say anything that the ABI documents; where it is clear what
 * is wrong with it, it must be refused, or say just that.
 *
 * Everything that a thread does is chosen by the seed of the test, of the process, its
 * life, the thread, and the number of the step; so a step chooses the same again when
 * the test is run with the same seed. What it meets is up to the others.
 */
#ifndef TESTS_STRESS_IOCTL_FUZZ_H
#define TESTS_STRESS_IOCTL_FUZZ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/kernel/lib/bk.h"

#define FUZZ_PROCESSES	4
#define FUZZ_THREADS	2	/* of each */
#define FUZZ_FIRM	4	/* accounts whose limits nobody changes */
#define FUZZ_LOOSE	32	/* accounts that come and go */
#define FUZZ_REGIONS	64	/* that a process remembers */
#define FUZZ_SLOTS	6	/* sessions of a process */
#define FUZZ_FOREIGN	3	/* and others' */
#define FUZZ_ERRNOS	134

/* ---- commands ---------------------------------------------------------------------- */

enum fuzz_cmd {
	F_INFO, F_REGISTER, F_COMMIT, F_UNREGISTER, F_CHECK, F_TRIM, F_USAGE, F_ACCOUNT, F_LIMITS,
	F_REMOVE, F_GRANT, F_RECALL, F_RELEASE, F_EVENTS, F_EVENTS_DONE, F_LIST,
	F_WAIT, F_HOLDERS, FUZZ_COMMANDS
};

enum { ON_SESSION = 1, ON_OWNER = 2, ON_READER = 4 };

/* How a field can be wrong. */
enum fuzz_type {
	T_ANY,		/* it cannot */
	T_ZERO,		/* must be 0 */
	T_ID,		/* of something that is not there */
	T_FLAGS,	/* only the lowest few bits are known */
	T_KIND,		/* a small number */
	T_PAGES,	/* not aligned, or wrapping */
	T_TIME,		/* too long */
	T_NUMBER,	/* not if it is small */
};

struct fuzz_field {
	uint16_t at, size;
	enum fuzz_type type;
};

#define FUZZ_ERRS	10

struct fuzz_command {
	const char *name;
	unsigned int nr;
	unsigned int files;		/* ON_*, that know it */
	unsigned int size;		/* of its struct */
	unsigned int entry_size;	/* of its array's entries, 0: none */
	bool reads, writes;		/* its array, always and whatever happens */
	int pointer, count, entry_len, done, status;	/* offsets; -1: none */
	/* What it may say, beside what all may. */
	int intact[FUZZ_ERRS], broken[FUZZ_ERRS];
	int intact_status[FUZZ_ERRS], broken_status[FUZZ_ERRS];
	const struct fuzz_field *fields, *entry_fields;	/* up to one of size 0 */
};

extern const struct fuzz_command fuzz_commands[FUZZ_COMMANDS];

/* ---- what all processes share ------------------------------------------------------- */

struct fuzz_region {
	uint64_t session, region, addr, len;
	bool taken;
};

/* Of one command. */
struct fuzz_count {
	uint64_t accepted, told;	/* intact; told: why not */
	uint64_t refused, passed;	/* broken */
	uint64_t raced;			/* neither can be said */
	uint64_t said[FUZZ_ERRNOS];	/* returned, 0 included */
	uint64_t status[FUZZ_ERRNOS];	/* of entries */
};

#define FUZZ_BREAKS	18
#define FUZZ_ACTS	14

struct fuzz_shared {
	int ctl, reader, zeroes;
	int files[BK_KINDS];		/* -1: that kind has none */
	int send[FUZZ_PROCESSES], receive[FUZZ_PROCESSES];
	uint32_t seed;
	bool over;
	struct belay_level firm[FUZZ_FIRM];	/* id and limits */
	uint64_t loose[FUZZ_LOOSE];		/* ids, 0: none */
	struct {
		pid_t pid;
		uint64_t start_time;
		uint32_t life;
		struct fuzz_region regions[FUZZ_REGIONS];
		/* Since when each of its threads has been doing what. */
		struct {
			double since;
			uint64_t step;
			const char *doing;
			pid_t tid;
		} threads[FUZZ_THREADS];
	} processes[FUZZ_PROCESSES];
	struct fuzz_count count[FUZZ_COMMANDS];
	uint64_t broken[FUZZ_BREAKS], acted[FUZZ_ACTS];
	uint64_t sent, received, put, words_read, firm_seen, firm_refused;
};

static inline void fuzz_add(uint64_t *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* ---- a process and its threads -------------------------------------------------------- */

/* Where memory of all kinds is mapped, and changes. */
#define ARENA_SLOTS	8
#define ARENA_LEN	(ARENA_SLOTS * BK_HUGE)

/* A session: the number of its file, which changes when @turn does. */
struct fuzz_slot {
	int fd;
	uint32_t turn;			/* odd: just now */
	uint64_t session, grant;
	char *words;			/* a page of them, or NULL */
};

struct fuzz_process {
	struct fuzz_shared *s;
	unsigned int index;
	uint32_t life;
	char *arena;			/* slot 0 never changes */
	pthread_mutex_t lock;		/* of what changes slots */
	struct fuzz_slot slots[FUZZ_SLOTS];
	struct fuzz_slot foreign[FUZZ_FOREIGN];	/* another process's, or another life's */
	double ends;
};

/*
 * Where arguments lie: the struct on the first pages, the array behind. The same pages
 * are mapped again, read-only. Around both there is nothing, as far as any number of
 * entries of any size goes.
 */
#define SCRATCH_ARG	(2 * BK_PAGE)
#define SCRATCH_LEN	(64 * BK_PAGE)
#define SCRATCH_ENTRIES	(SCRATCH_LEN - SCRATCH_ARG)
#define GUARD		((BELAY_MAX_BATCH + 2UL) * BK_PAGE)

struct fuzz_thread {
	struct fuzz_process *p;
	unsigned int index;
	uint32_t seed;			/* of this step */
	uint64_t step;
	char *scratch, *read_only;
	int file;			/* behind both: what copies, and can fail */
	size_t dirty;			/* of the array's scratch: not zero any more */
	struct belay_event events[32];	/* read last */
	unsigned int nr_events;
	uint64_t after, after_region;	/* where a listing has come to */
};

static inline struct fuzz_shared *fuzz_of(const struct fuzz_thread *t)
{
	return t->p->s;
}

/* Below n. */
static inline uint32_t fuzz_choose(struct fuzz_thread *t, uint32_t n)
{
	return bk_random(&t->seed) % n;
}

uint64_t fuzz_random64(struct fuzz_thread *t);

/* ---- one call --------------------------------------------------------------------------- */

struct fuzz_op {
	const struct fuzz_command *c;
	unsigned int nr;		/* the ioctl's number, which may be another */
	int fd;
	struct fuzz_slot *slot;		/* whose fd is, or NULL */
	uint32_t turn;			/* of the slot */
	char *arg, *entries;		/* in the scratch */
	uint32_t size, count, stride;	/* as is right */
	uint32_t entry_size;
	/* Where they are said to be. */
	uint64_t arg_at;
	bool sees_arg, sees_entries;	/* the answer can be read */
	/* What is wrong. */
	unsigned int breaks;
	const char *how;
	int expected;			/* this errno, or 0: not known */
	bool must_fail;
	bool any_file;			/* its file may not know it */
	int bad_entry;			/* that one must fail; -1 */
};

static inline void *fuzz_entry(const struct fuzz_op *op, unsigned int i)
{
	return op->entries + (size_t)i * op->stride;
}

#define FUZZ_SET(op, at, type, value)	(*(type *)((op)->arg + (at)) = (value))
#define FUZZ_GET(op, at, type)		(*(const type *)((op)->arg + (at)))

/* Intact: a command, perhaps another one, if what it needs is not there. */
void fuzz_make(struct fuzz_thread *t, struct fuzz_op *op, enum fuzz_cmd cmd);
/* It has succeeded, and can be seen: look at the answer, and remember it. */
void fuzz_taken(struct fuzz_thread *t, struct fuzz_op *op);
void fuzz_break(struct fuzz_thread *t, struct fuzz_op *op);
const char *fuzz_break_name(unsigned int n);

/* Something else that is done. */
void fuzz_act(struct fuzz_thread *t);
const char *fuzz_act_name(unsigned int n);
void fuzz_map_arena(struct fuzz_thread *t);
/* An fd becomes a session of this process, in place of another. */
void fuzz_install(struct fuzz_thread *t, int fd, uint64_t session, uint64_t grant);
void fuzz_keep_foreign(struct fuzz_thread *t, int fd);
/* A session, for this call; false: there is none in that slot. */
bool fuzz_take_slot(struct fuzz_op *op, struct fuzz_slot *slot);
/* To another process, at its life. The fd is not closed. */
void fuzz_hand_over(struct fuzz_thread *t, unsigned int to, uint32_t life, int fd,
		    uint64_t session, uint64_t grant);
/* Somewhere that is not mapped, or never can be. */
uint64_t fuzz_nowhere(struct fuzz_thread *t);
uint64_t fuzz_in_arena(struct fuzz_thread *t);

/* One life, in a process of its own. */
void fuzz_process(struct fuzz_shared *s, unsigned int index, double seconds);
/* Of one call or act, what is going wrong; ends the process. */
__attribute__((noreturn, format(printf, 3, 4)))
void fuzz_fail(struct fuzz_thread *t, const struct fuzz_op *op, const char *fmt, ...);

#endif
