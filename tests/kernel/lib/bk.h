/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * What the tests of the module share: they speak its ABI directly, as root, with
 * neither daemon nor library in between.
 *
 * Functions that return int give 0 or a negative errno and leave judging it to the
 * caller; the others CHECK and end the test. struct bk is a control file with one
 * account, and a session of this process under it:
 *
 *	struct bk b;
 *
 *	bk_begin(&b);
 *	...
 *	bk_end(&b);	(everything must be back at zero)
 */
#ifndef TESTS_KERNEL_LIB_BK_H
#define TESTS_KERNEL_LIB_BK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/belay.h>

#define BK_PAGE		4096UL
#define BK_HUGE		(2UL << 20)

/* ---- bk.c: accounts, grants, sessions ------------------------------------- */

struct bk {
	int ctl;		/* the policy owner's file */
	uint64_t account;	/* everything that the test makes hangs below it */
	uint64_t grant;
	uint64_t session;
	int fd;			/* a session of this process */
	const uint64_t *words;	/* its validity words */
};

struct bk_region {
	uint64_t id;
	uint64_t expected;
	uint32_t word;
	char *addr;
	size_t len;
};

/* ioctl with -errno. */
int bk_ioctl(int fd, unsigned long cmd, void *arg);

int bk_open_control(void);
/* Removes what a test that failed before has left. */
void bk_sweep(int ctl);
void bk_begin(struct bk *b);
/* The same with these limits for the grant. */
void bk_begin_limited(struct bk *b, uint64_t bytes, uint64_t regions);
void bk_end(struct bk *b);
/* A session of this process, which shares ctl and account with b (its parent). */
void bk_join(struct bk *self, const struct bk *b);
/* Closes the session, not the control file. */
void bk_leave(struct bk *self);
/* Waits until nothing is registered, pinned or charged in the whole module. */
void bk_expect_empty(void);

uint64_t bk_account(int ctl, uint64_t parent, uint64_t bytes, uint64_t regions);
/* Waits for grants that are ending. */
void bk_remove_account(int ctl, uint64_t account);
uint64_t bk_start_time(pid_t pid);
/* Has the fd, or -errno. */
int bk_ask_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
		 uint64_t regions, struct belay_ctl_grant *ret);
/* The same, but EAGAIN (the address space is busy) is tried again. */
int bk_try_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
		 uint64_t regions, struct belay_ctl_grant *ret);
int bk_grant(int ctl, uint64_t account, pid_t pid, uint64_t bytes,
	     uint64_t regions, struct belay_ctl_grant *ret);
const uint64_t *bk_words(int fd);
int bk_set_limit(int ctl, uint64_t id, uint32_t flags, uint64_t bytes,
		 uint64_t regions);

/* ---- bk.c: regions --------------------------------------------------------- */

/* One entry; has the status, in *e everything that the module said. */
int bk_register_entry(int fd, struct belay_register_entry *e);
int bk_register(int fd, void *addr, size_t len, uint32_t kind, uint32_t flags,
		struct bk_region *ret);
/* Registers, commits if tracked (again while EAGAIN), and checks the word. */
struct bk_region bk_hold(const struct bk *b, void *addr, size_t len, uint32_t kind,
			 uint32_t flags);
int bk_commit(int fd, uint64_t region);
int bk_unregister(int fd, uint64_t region);
/*
 * Lets a part go. What is left before and after it; id 0: nothing.
 * The status, after which parts of a failed one are both nothing.
 */
int bk_trim(int fd, const struct bk_region *r, size_t offset, size_t len,
	    struct bk_region parts[2]);
/* The state's flag bits, or -errno. */
int bk_check(int fd, uint64_t region);

static inline uint64_t bk_word(const struct bk *b, const struct bk_region *r)
{
	return __atomic_load_n(&b->words[r->word], __ATOMIC_ACQUIRE);
}

static inline bool bk_valid(const struct bk *b, const struct bk_region *r)
{
	return bk_word(b, r) == r->expected;
}

/* Flag bits of the word; all ones when the index has a new owner. */
uint32_t bk_state(const struct bk *b, const struct bk_region *r);
/* Waits (with BELAY_CHECK) until a suspect word is settled; has its flag bits. */
uint32_t bk_settle(const struct bk *b, const struct bk_region *r);

/* Of the grant itself. */
uint64_t bk_usage_bytes(int fd);
uint64_t bk_usage_regions(int fd);
/* All levels, from the grant upwards; has how many. */
unsigned int bk_levels(int fd, struct belay_level *levels, unsigned int room);

/* ---- bk.c: events and listings ---------------------------------------------- */

/* All that is pending, at most room; has how many. */
unsigned int bk_events(int ctl, struct belay_event *events, unsigned int room);
/* True, and *ret if not NULL, when that region has one of these bits pending. */
bool bk_find_event(int ctl, uint64_t session, uint64_t region, uint32_t bits,
		   struct belay_event *ret);
bool bk_find_ended(int ctl, uint64_t grant, struct belay_event *ret);
unsigned int bk_event_done(int ctl, const struct belay_event *e);
/* Deals with everything that is pending. */
void bk_drain_events(int ctl);
/* Is any LOST pending for this session? */
bool bk_any_lost(int ctl, uint64_t session);

int bk_recall(int ctl, unsigned long cmd, uint64_t session, uint64_t region,
	      uint64_t request);
/* Rows of one kind, at most room; has how many. */
unsigned int bk_list(int ctl, uint32_t what, void *rows, size_t row_size,
		     unsigned int room, uint64_t grant, uint64_t session);
/* The same of a selection. */
unsigned int bk_list_by(int ctl, uint32_t what, void *rows, size_t row_size,
			unsigned int room, const struct belay_select *select);
bool bk_find_region(int ctl, uint64_t session, uint64_t region,
		    struct belay_region_row *ret);

/* ---- bk_memory.c: memory of every kind --------------------------------------- */

enum bk_kind {
	BK_ANON,		/* private anonymous, small pages */
	BK_THP,			/* private anonymous, transparent huge pages */
	BK_SHARED_ANON,
	BK_MEMFD,
	BK_TMPFS,
	BK_HUGE_ANON,
	BK_HUGE_MEMFD,
	BK_HUGETLBFS,
	BK_PRIVATE_FILE,	/* MAP_PRIVATE of an ext4 file */
	BK_EXT4,		/* MAP_SHARED, PROT_READ only */
	BK_KINDS
};

struct bk_memory {
	enum bk_kind kind;
	char *addr;
	size_t len;
	int fd;			/* of the file behind it, -1: none */
	uint32_t flags;		/* BELAY_REGION_WRITE where it can be written */
	size_t unit;		/* BK_PAGE or BK_HUGE */
};

const char *bk_kind_name(enum bk_kind kind);
size_t bk_kind_unit(enum bk_kind kind);
bool bk_kind_shared(enum bk_kind kind);
/* Maps len bytes, populated with a byte pattern that is not zero. */
void bk_map(struct bk_memory *m, enum bk_kind kind, size_t len);
void bk_unmap(struct bk_memory *m);
/* A new file, unlinked: of no length, or of len bytes, filled. */
int bk_empty_file(enum bk_kind kind);
int bk_file(enum bk_kind kind, size_t len);
/* Maps that file (at addr with MAP_FIXED, unless NULL). */
void *bk_map_file(enum bk_kind kind, int fd, void *addr, size_t len, off_t offset);
/* At least that many 2 MiB pages in the pool. */
void bk_hugepages(unsigned int n);
/* Private anonymous memory of small pages, populated with fill. */
char *bk_anon(size_t len, int fill);
/* Private anonymous, 2 MiB aligned and of huge pages, which is checked. */
char *bk_thp(size_t len);
/* Page frame of a mapped page, 0: not present. */
uint64_t bk_pfn(const void *addr);
void bk_pfns(const void *addr, size_t pages, uint64_t *ret_pfns);
/* A userfaultfd for that memory, which does not block; -1: this kernel has not the features. */
int bk_userfault(char *p, size_t len, uint64_t features, uint64_t mode);
bool bk_is_readable(int fd);
/* A line of /proc/self/smaps ("AnonHugePages:") of the VMA at addr, in bytes. */
uint64_t bk_smaps(const void *addr, const char *field);
/*
 * Where ext4 is mounted, on a RAM disk, which has done its work when it returns. On a
 * loop device, with its workers and the throttle of writeback, punching a hole twice hung
 * for more than 20 seconds; why was never seen.
 */
const char *bk_ext4(void);

/* ---- bk_proc.c: what the kernel says ------------------------------------------ */

/* /sys/class/misc/belay/NAME, and the same under events/. */
uint64_t bk_sysfs(const char *name);
uint64_t bk_seen(const char *name);
/* A line "name value" or "name: value kB" or KiB (then bytes) of a file. */
uint64_t bk_field(const char *path, const char *name);
/* Of this process: VmPin in bytes. */
uint64_t bk_vm_pin(void);
/* Pins that the whole system holds. */
int64_t bk_pins(void);
void bk_write(const char *path, const char *text);
uint64_t bk_read(const char *path);
/* Exists and can be read. */
bool bk_readable(const char *path);
/* Loads the module built for this kernel unless it is there. */
void bk_load(void);
/* 0, or -errno at once. */
int bk_unload(void);
/* Copies an fd of another process. */
int bk_steal_fd(pid_t pid, int fd);
unsigned int bk_nodes(void);
/* The calling thread; the scheduler may leave two busy ones on one processor. */
void bk_run_on_cpu(unsigned int cpu);
/* @n, or fewer (but 20) where FEWER says so: on the debug kernel, which is slow. */
unsigned int bk_rounds(unsigned int n);
/* Where FEWER says so. */
bool bk_is_slow(void);
/* Whether the @i-th of many is in this run's share of them: of BELAY_PART=1/3, every third. */
bool bk_in_part(unsigned int i);
/* A random number from *seed, which is never 0. */
uint32_t bk_random(uint32_t *seed);
/* A seed from the clock, or from BELAY_SEED; printed. */
uint32_t bk_seed(void);
/* The middle, and the 99th percentile, of n values, which are sorted. */
double bk_median(double *values, unsigned int n);
double bk_percentile99(double *values, unsigned int n);

/* ---- steps between processes ---------------------------------------------------- */

/* A counter in shared memory: one side says a number, the other waits for it. */
struct bk_steps {
	uint32_t now;
	uint64_t value[16];	/* to pass things along */
};

struct bk_steps *bk_steps(void);
void bk_step(struct bk_steps *s, uint32_t to);
/* Says after 20 seconds what hangs in the kernel; fails after 100. */
void bk_await(struct bk_steps *s, uint32_t at_least);

#endif
