// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * words.c - the validity words, and the pages that clients map them from
 *
 * A session has room for BELAY_WORDS_MAX words, in pages that are allocated
 * when the first region needs them and stay until the session is closed.
 *
 * The pages are given to the client by a fault handler, for two reasons. They
 * come as they are needed. And a fork does not copy the page table of such a
 * mapping, so that the child's own first look faults, is seen to be in another
 * address space, and is given a page of zeroes, which no valid word is.
 * A page once mapped is kept by the mapping, also when the session is gone.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "belay.h"
#include "compat/compat.h"

#define WORDS_PER_PAGE	(PAGE_SIZE / sizeof(u64))
#define PAGES_MAX	DIV_ROUND_UP(BELAY_WORDS_MAX, WORDS_PER_PAGE)

static struct page *zero_page;

int belay_words_init(void)
{
	zero_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	return zero_page ? 0 : -ENOMEM;
}

void belay_words_exit(void)
{
	put_page(zero_page);
}

static int ensure_page(struct belay_session *s, unsigned long n)
{
	struct page *page;

	lockdep_assert_held(&s->words_lock);
	if (!s->words) {
		s->words = kcalloc(PAGES_MAX, sizeof(*s->words), GFP_KERNEL_ACCOUNT);
		if (!s->words)
			return -ENOMEM;
	}
	if (s->words[n])
		return 0;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	s->words[n] = page;
	return 0;
}

/* The address of word @slot; it stays valid until the session is closed. */
int belay_word_get(struct belay_session *s, u32 slot, u64 **ret_word)
{
	unsigned long n = slot / WORDS_PER_PAGE;
	u64 *words;
	int ret;

	mutex_lock(&s->words_lock);
	ret = ensure_page(s, n);
	if (!ret) {
		words = page_address(s->words[n]);
		*ret_word = &words[slot % WORDS_PER_PAGE];
	}
	mutex_unlock(&s->words_lock);
	return ret;
}

void belay_words_free(struct belay_session *s)
{
	unsigned long n;

	for (n = 0; s->words && n < PAGES_MAX; n++)
		if (s->words[n])
			put_page(s->words[n]);
	kfree(s->words);
	s->words = NULL;
}

void belay_word_set(struct belay_region *r, u32 bits)
{
	lockdep_assert_held(&r->lock);
	WRITE_ONCE(r->bits, bits);
	/* After all that it speaks of: clients test it with an acquire load. */
	smp_store_release(r->word, belay_region_expected(r) | bits);
}

static struct page *page_for(struct belay_session *s, struct vm_fault *vmf)
{
	struct page *page = NULL;

	if (vmf->vma->vm_mm != s->grant->mm)
		return zero_page;
	if (vmf->pgoff >= PAGES_MAX)
		return NULL;
	mutex_lock(&s->words_lock);
	if (s->words)
		page = s->words[vmf->pgoff];
	mutex_unlock(&s->words_lock);
	return page;
}

static vm_fault_t words_fault(struct vm_fault *vmf)
{
	struct belay_session *s = vmf->vma->vm_file->private_data;
	struct page *page = page_for(s, vmf);

	if (!page)
		return VM_FAULT_SIGBUS;
	/* A page that children share, in as many mappings as they like. */
	if (!try_get_page(page))
		return VM_FAULT_SIGBUS;
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct words_vm_ops = {
	.fault = words_fault,
};

int belay_words_mmap(struct belay_session *s, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_pgoff + vma_pages(vma) > PAGES_MAX)
		return -EINVAL;
	if (vma->vm_flags & (VM_WRITE | VM_EXEC))
		return -EPERM;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE | VM_MAYEXEC);
	vma->vm_ops = &words_vm_ops;
	return 0;
}
