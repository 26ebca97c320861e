/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Histories: what two or three steps do to memory that is registered, and whether
 * belay's word about it is true.
 *
 *   histories_world.c   the memory of one history: made, mapped, registered, unmade
 *   histories_space.c   steps that are done to a mapping
 *   histories_file.c    steps that are done to a file
 *   histories_actor.c   who does a step: this thread, another one, another process
 *   histories_truth.c   what is mapped by the kernel's own account, and the comparison
 *   histories.c         the choice of histories, the count, the tests
 *
 * A history is sequential: each step is over before the next begins, and words are
 * compared between them. One process goes through thousands of them; nothing but the
 * file systems and the two actors outlives a history.
 */
#ifndef TESTS_KERNEL_HISTORIES_H
#define TESTS_KERNEL_HISTORIES_H

#include "tests/kernel/lib/bk.h"

/* ---- the world of memories ------------------------------------------------- */

/* What a kind of memory is; steps name what they need. */
#define IS_SHARED	(1U << 0)
#define IS_PRIVATE	(1U << 1)
#define IS_WRITABLE	(1U << 2)	/* its mapping */
#define IS_FILE		(1U << 3)	/* has a descriptor to do things to */
#define IS_DISK		(1U << 4)	/* a file system with storage below it */
#define IS_HUGETLB	(1U << 5)
#define IS_SMALL	(1U << 6)	/* not hugetlb */
#define IS_SHMEM	(1U << 7)
#define IS_REFLINK	(1U << 8)	/* extents can be shared */
#define IS_EXTENTS	(1U << 9)	/* zero, collapse and insert range */
#define IS_WIDE		(1U << 10)	/* 2 MiB of small pages */
#define IS_ANON		(1U << 11)	/* private, of no file */
#define IS_DIRECT	(1U << 12)	/* O_DIRECT */

enum memory {
	M_ANON, M_THP, M_SHARED_ANON, M_MEMFD, M_TMPFS, M_TMPFS_HUGE, M_SHM,
	M_HUGE_ANON, M_HUGE_SHARED, M_HUGE_MEMFD,
	M_EXT4, M_XFS, M_OVERLAY, M_OVERLAY_TMPFS,
	M_EXT4_PRIVATE, M_XFS_PRIVATE, M_UNWRITTEN_PRIVATE,
	MEMORIES
};

/* Who holds the pages. */
enum holding {
	HELD,		/* a pinned region, which also holds them for a tracked and a watched one */
	ALONE_TRACKED,	/* nobody, and one region */
	ALONE_WATCHED,
	HOLDINGS
};

#define MAX_UNITS	8	/* of the region */
#define MAX_REGIONS	3
#define MAX_STEPS	3

/*
 * What an actor needs to know of the memory. In memory that all actors share, as the
 * other process has a copy of everything else. A unit is the smallest page that the
 * memory is made of; the file begins where the mapping does.
 */
struct place {
	int fd;			/* -1: none. All actors have the same descriptors */
	pid_t pid;		/* whose address space it is */
	char *map;		/* all of the mapping */
	char *scratch;		/* as much address space, to move things to */
	size_t unit;
	unsigned int units;	/* of the mapping, and of the file at first */
	unsigned int first, n;	/* of the region */
	int prot;
	int flags;		/* of its mmap() */
	unsigned int is;	/* IS_ bits */
	const char *dir;	/* where the file is, NULL: nowhere */
};

/* One step, as it is handed to its actor. */
struct act {
	struct place p;
	const struct step *step;
	unsigned int first, n;	/* units that it is about */
	int result;		/* 0 or a negative errno */
};

struct world {
	enum memory memory;
	enum holding holding;
	bool dirty;		/* its file has not been written back */
	struct bk *b;
	struct place p;
	unsigned int regions;
	struct bk_region region[MAX_REGIONS];
	uint32_t kind[MAX_REGIONS];
	bool write;		/* the access that was registered */
	uint64_t frame[MAX_UNITS];
	bool faulted[MAX_UNITS];	/* the last touch was a signal */
	int keeper[2];		/* a pipe with a reference to each page; -1: none */
	bool excused;		/* a page was truly away, or may count as away: loss is right */
	bool hidden;		/* a step has taken the access away */
	unsigned int found;	/* bits of enum fault */
	char fault[160];	/* the worst of them, in words */
};

const char *memory_name(enum memory m);
unsigned int memory_is(enum memory m);
/* Mounts what is needed, makes swap and the pool of huge pages. */
void world_prepare(void);
/* Without swap again, which other tests make their own of. */
void world_end(void);
/* Memory that no history has seen, mapped and registered. */
void world_make(struct world *w, struct bk *b, enum memory m, enum holding h,
		uint32_t *random, uint64_t stamp);
void world_unmake(struct world *w);

static inline char *unit_at(const struct place *p, unsigned int i)
{
	return p->map + i * p->unit;
}

static inline char *act_start(const struct act *a)
{
	return unit_at(&a->p, a->first);
}

static inline size_t act_len(const struct act *a)
{
	return a->n * a->p.unit;
}

static inline off_t act_offset(const struct act *a)
{
	return (off_t)(a->first * a->p.unit);
}

static inline off_t file_size(const struct place *p)
{
	return (off_t)(p->units * p->unit);
}

/* ---- steps -------------------------------------------------------------------- */

enum class { TAKES, REPLACES, BRINGS, CLASSES };

/* Who may do it. */
#define BY_SELF		(1U << 0)
#define BY_THREAD	(1U << 1)
#define BY_SIBLING	(1U << 2)	/* another process in the same address space */
#define BY_OTHER	(1U << 3)	/* another process that has the file open */
#define BY_MM		(BY_SELF | BY_THREAD | BY_SIBLING)
#define BY_FD		(BY_SELF | BY_THREAD | BY_OTHER)
#define ACTORS		4

/* What a step does besides: loss is right after it, or neither is wrong. */
#define UNMAPS		(1U << 0)	/* the mapping was away, if only for a moment */
#define CUTS		(1U << 1)	/* the file ended before the region for a moment */
#define NEWER		(1U << 2)	/* not on 6.1 */
#define DROPS		(1U << 3)	/* MADV_DONTNEED */
#define HIDES		(1U << 4)	/* what is mapped cannot be accessed any more */
#define POISONS		(1U << 5)	/* the access was a signal, if only for a moment */
#define SWAPS		(1U << 6)	/* pages are written to swap */
#define SPOILS		(1U << 7)	/* pages become unusable */

struct step {
	const char *name;
	enum class class;
	unsigned int by;
	unsigned int needs;	/* IS_ bits that all must be there */
	unsigned int without;	/* IS_ bits of which none may be */
	unsigned int flags;
	int (*run)(const struct act *a);
};

extern const struct step space_steps[], file_steps[];
extern const unsigned int space_step_count, file_step_count;

/* Reads, or writes, all units from @first on: 0, or -EFAULT where a signal came. */
int touch_units(const struct place *p, unsigned int first, unsigned int n, bool write);
/* 0, or -EFAULT: a signal came. */
int touch_one(char *at, bool write);
/* Runs fn(a); -EFAULT where it ended by SIGBUS or SIGSEGV. */
int guarded(int (*fn)(const struct act *a), const struct act *a);

/* ---- actors ---------------------------------------------------------------------- */

void actors_start(void);
void actors_stop(void);
const char *actor_name(unsigned int by);
/* Has it done, and waits. */
int act_by(unsigned int by, const struct act *a);
/* In the other process: what it has mapped of the memory goes. */
void other_forgets(void);
/* Called there. Keeps the file mapped, and all its pages, until then. */
int other_maps(const struct act *a);

/* ---- the truth ------------------------------------------------------------------- */

/* From harmless to worst. */
enum fault {
	STAYS_SUSPECT,		/* all pages are the same, and the word is never settled */
	LOST_FOR_NOTHING,	/* all pages are the same, and the word says lost */
	VALID_UNMAPPED,		/* valid, and the address maps nothing */
	VALID_READS_OTHERWISE,	/* valid, and read() of the file gives other bytes */
	VALID_SIGNAL,		/* valid, and an access is a signal */
	VALID_OTHER,		/* valid, and the address maps another page */
	FAULTS
};

/* Words, and at the same moments what was true of the region as a whole. */
struct tally {
	unsigned long compared, same, unmapped, replaced, signals;
	unsigned long valid, suspect, lost;	/* words */
};

const char *fault_name(enum fault f);
void truth_open(void);
void truth_close(void);
/*
 * Remembers the frames of a region that was just registered. Of memory that is held
 * they are referenced, too, by nothing of belay's: so no number comes a second time.
 */
void truth_begin(struct world *w);
void truth_end(struct world *w);
/* Each word beside what is mapped at this moment, which is said in words. */
void compare(struct world *w, struct tally *t, const char *moment);
/* BELAY_CHECK until no word is suspect, or for long enough. */
void settle(struct world *w);
/* The last comparison: settled, touched, settled; lost for nothing? */
void judge(struct world *w, struct tally *t, unsigned int order);
bool is_6_1(void);

#endif
