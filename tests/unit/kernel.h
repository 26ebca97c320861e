/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * kernel.h - as much of the kernel as the module's pure parts need, on the host
 *
 * A test includes the module's .c file as it is. Whatever <linux/...> that asks
 * for is this file (tests/unit/build.mk). Everything is as plain as can be, and
 * fails the test where the real thing would break: a lock that is taken twice,
 * or not held; a node that is changed while it is in the tree; memory that is
 * written beyond its end or not freed (the sanitizers, and @memory.live).
 *
 * The test gives PAGE_SHIFT if it is not to be 12.
 */
#ifndef TESTS_UNIT_KERNEL_H
#define TESTS_UNIT_KERNEL_H

#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/tap.h"

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define U32_MAX	UINT32_MAX
#define U64_MAX	UINT64_MAX

#ifndef PAGE_SHIFT
#define PAGE_SHIFT	12
#endif
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define PAGE_ALIGNED(n)	!((n) % PAGE_SIZE)

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof(*(a)))
#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))
#define min(a, b) \
	({ __typeof__(a) min_a = (a); __typeof__(b) min_b = (b); min_a < min_b ? min_a : min_b; })
#define max(a, b) \
	({ __typeof__(a) max_a = (a); __typeof__(b) max_b = (b); max_a > max_b ? max_a : max_b; })
#define min_t(type, a, b)	min((type)(a), (type)(b))
#define READ_ONCE(x)	(*(const volatile __typeof__(x) *)&(x))
#define smp_store_release(p, v)	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))

static inline unsigned long rounddown_pow_of_two(unsigned long n)
{
	while (n & (n - 1))
		n &= n - 1;
	return n;
}

/* ---- atomic numbers, for tests with threads ----------------------------------- */

typedef struct { long n; } atomic_t, atomic_long_t, atomic64_t;

static TAP_UNUSED long atomic_long_read(const atomic_long_t *a)
{
	return __atomic_load_n(&a->n, __ATOMIC_RELAXED);
}

static TAP_UNUSED bool atomic_long_try_cmpxchg(atomic_long_t *a, long *old, long new)
{
	return __atomic_compare_exchange_n(&a->n, old, new, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

static TAP_UNUSED long atomic_long_sub_return(unsigned long by, atomic_long_t *a)
{
	return (long)__atomic_sub_fetch((unsigned long *)&a->n, by, __ATOMIC_SEQ_CST);
}

static TAP_UNUSED void atomic_long_sub(unsigned long by, atomic_long_t *a)
{
	atomic_long_sub_return(by, a);
}

/* ---- what only has to be there: types of members that are not used --------- */

typedef struct { int unused; } spinlock_t;
typedef struct { uint32_t uid; } kuid_t;
struct kref { int n; };
struct xarray { int unused; };
struct mmu_notifier { int unused; };
struct delayed_work { int unused; };
struct mm_struct;
struct pid;
struct user_struct;
struct vm_area_struct;
struct wait_queue_head { int unused; };
struct rb_node { int unused; };
struct work_struct;
struct workqueue_struct;

static struct { struct mm_struct *mm; } *const current;

static TAP_UNUSED unsigned int warnings;

#define WARN_ON_ONCE(cond)	({ bool warn = (cond); warnings += warn; warn; })

static inline void kref_put(struct kref *ref, void (*release)(struct kref *))
{
	if (!--ref->n)
		release(ref);
}

#define DECLARE_PER_CPU(type, name)	extern __typeof__(type) name
#define this_cpu_add(counter, by)	((counter) += (by))
#define this_cpu_inc(counter)		((counter)++)

/* ---- locks ------------------------------------------------------------------ */

struct mutex { bool held; };

static TAP_UNUSED unsigned int mutexes_held;

static TAP_UNUSED void mutex_lock(struct mutex *m)
{
	CHECK(!m->held);
	m->held = true;
	mutexes_held++;
}

static TAP_UNUSED bool mutex_trylock(struct mutex *m)
{
	if (m->held)
		return false;
	mutex_lock(m);
	return true;
}

#define lockdep_assert_held(m)	CHECK((m)->held)

static TAP_UNUSED void mutex_unlock(struct mutex *m)
{
	CHECK(m->held);
	m->held = false;
	mutexes_held--;
}

/* ---- lists ------------------------------------------------------------------ */

struct list_head { struct list_head *next, *prev; };

static TAP_UNUSED void INIT_LIST_HEAD(struct list_head *l)
{
	l->next = l->prev = l;
}

static TAP_UNUSED void list_add_tail(struct list_head *l, struct list_head *head)
{
	l->next = head;
	l->prev = head->prev;
	l->prev->next = l;
	head->prev = l;
}

static TAP_UNUSED void list_del(struct list_head *l)
{
	l->next->prev = l->prev;
	l->prev->next = l->next;
	l->next = l->prev = NULL;
}

static TAP_UNUSED void list_splice_init(struct list_head *from, struct list_head *to)
{
	/* To its beginning, backwards, one by one. */
	while (from->prev != from) {
		struct list_head *l = from->prev;

		list_del(l);
		list_add_tail(l, to->next);
	}
}

#define list_first_entry(head, type, member) \
	container_of((head)->next, type, member)
#define list_next_entry(at, member) \
	list_first_entry(&(at)->member, __typeof__(*(at)), member)
#define list_for_each_entry_safe(at, after, head, member)			\
	for (at = list_first_entry(head, __typeof__(*at), member),		\
	     after = list_next_entry(at, member);				\
	     &at->member != (head);						\
	     at = after, after = list_next_entry(after, member))

/* ---- memory, of which the countdown-th allocation fails --------------------- */

static TAP_UNUSED struct {
	unsigned int countdown;	/* 0: none fails */
	unsigned int failed;
	unsigned int live;	/* allocations */
	size_t biggest;
} memory;

#define GFP_KERNEL_ACCOUNT	0

struct page {
	struct list_head lru;
	void *address;
	unsigned long private;
};

#define page_private(page)		((page)->private)
#define set_page_private(page, value)	((page)->private = (value))

static TAP_UNUSED void *kmalloc(size_t size, int gfp)
{
	if (memory.countdown && !--memory.countdown) {
		memory.failed++;
		return NULL;
	}
	memory.live++;
	memory.biggest = max(memory.biggest, size);
	return memset(malloc(size), 0xa5, size);
}

static TAP_UNUSED void kfree(void *p)
{
	CHECK(memory.live);
	memory.live--;
	free(p);
}

static TAP_UNUSED struct page *alloc_page(int gfp)
{
	void *address = kmalloc(PAGE_SIZE, gfp);
	struct page *page;

	if (!address)
		return NULL;
	page = calloc(1, sizeof(*page));
	page->address = address;
	return page;
}

static TAP_UNUSED void *page_address(struct page *page)
{
	return page->address;
}

static TAP_UNUSED void __free_page(struct page *page)
{
	kfree(page->address);
	free(page);
}

/* ---- an interval tree that is a list, by where the intervals start ---------- */

struct interval_tree_node {
	unsigned long start, last;
	struct interval_tree_node *next;
	struct rb_root_cached *in;
	unsigned long start_then, last_then;	/* when it was put in */
};

struct rb_root_cached { struct interval_tree_node *first; };

static TAP_UNUSED void tree_check(const struct interval_tree_node *n,
				  const struct rb_root_cached *root)
{
	CHECK_GE(mutexes_held, 1);
	CHECK(n->in == root);
	CHECK(n->start == n->start_then && n->last == n->last_then);
	CHECK(n->start <= n->last);
}

static TAP_UNUSED void interval_tree_insert(struct interval_tree_node *n,
					    struct rb_root_cached *root)
{
	struct interval_tree_node **at = &root->first;

	CHECK(!n->in);
	n->in = root;
	n->start_then = n->start;
	n->last_then = n->last;
	tree_check(n, root);
	while (*at && (*at)->start <= n->start)
		at = &(*at)->next;
	n->next = *at;
	*at = n;
}

static TAP_UNUSED void interval_tree_remove(struct interval_tree_node *n,
					    struct rb_root_cached *root)
{
	struct interval_tree_node **at = &root->first;

	tree_check(n, root);
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->in = NULL;
}

static TAP_UNUSED struct interval_tree_node *tree_overlap(struct interval_tree_node *n,
							  unsigned long start,
							  unsigned long last)
{
	for (; n; n = n->next) {
		tree_check(n, n->in);
		if (n->start <= last && n->last >= start)
			return n;
	}
	return NULL;
}

static TAP_UNUSED struct interval_tree_node *
interval_tree_iter_first(struct rb_root_cached *root, unsigned long start, unsigned long last)
{
	CHECK_GE(mutexes_held, 1);
	return tree_overlap(root->first, start, last);
}

static TAP_UNUSED struct interval_tree_node *
interval_tree_iter_next(struct interval_tree_node *n, unsigned long start, unsigned long last)
{
	return tree_overlap(n->next, start, last);
}

#endif
