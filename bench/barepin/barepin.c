// SPDX-License-Identifier: GPL-2.0-only
// SPDX-FileCopyrightText: the belay authors
/*
 * barepin.c - the least that pinning can cost
 *
 * pin_user_pages_fast() for writing and for long, 512 pages at a time; what is
 * physically contiguous is remembered as one run, and unpinned as one. No charge,
 * no notifier, no checks: for comparison only, root only.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "barepin.h"

#define BATCH	(PAGE_SIZE / sizeof(struct page *))

struct run {
	struct page *page;
	unsigned long pages;
};

struct barepin {
	struct page **scratch;
	struct run *runs;
	unsigned long room, nr;
};

static void unpin(struct barepin *b)
{
	unsigned long i;

	for (i = 0; i < b->nr; i++)
		unpin_user_page_range_dirty_lock(b->runs[i].page, b->runs[i].pages, true);
	b->nr = 0;
}

static void remember(struct barepin *b, int nr)
{
	struct run *last = b->nr ? &b->runs[b->nr - 1] : NULL;
	int i;

	for (i = 0; i < nr; i++) {
		if (last && page_to_pfn(last->page) + last->pages ==
			    page_to_pfn(b->scratch[i])) {
			last->pages++;
			continue;
		}
		last = &b->runs[b->nr++];
		last->page = b->scratch[i];
		last->pages = 1;
	}
}

static int pin(struct barepin *b, unsigned long addr, unsigned long pages)
{
	int nr;

	if (b->nr || pages > b->room)
		return -EINVAL;
	while (pages) {
		nr = pin_user_pages_fast(addr, min(pages, BATCH),
					 FOLL_WRITE | FOLL_LONGTERM, b->scratch);
		if (nr <= 0) {
			unpin(b);
			return nr ?: -EFAULT;
		}
		remember(b, nr);
		addr += (unsigned long)nr << PAGE_SHIFT;
		pages -= nr;
		cond_resched();
	}
	return 0;
}

static int make_room(struct barepin *b, unsigned long pages)
{
	if (b->nr)
		return -EBUSY;
	kvfree(b->runs);
	b->room = 0;
	b->runs = kvcalloc(pages, sizeof(*b->runs), GFP_KERNEL);
	if (!b->runs)
		return -ENOMEM;
	b->room = pages;
	return 0;
}

static long barepin_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct barepin *b = file->private_data;
	struct barepin_range r = {};

	if (cmd != BAREPIN_UNPIN && copy_from_user(&r, (void __user *)arg, sizeof(r)))
		return -EFAULT;
	switch (cmd) {
	case BAREPIN_ROOM:
		return make_room(b, r.len >> PAGE_SHIFT);
	case BAREPIN_PIN:
		return pin(b, r.addr, r.len >> PAGE_SHIFT);
	case BAREPIN_UNPIN:
		unpin(b);
		return 0;
	}
	return -ENOTTY;
}

static int barepin_open(struct inode *inode, struct file *file)
{
	struct barepin *b;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return -ENOMEM;
	b->scratch = (struct page **)__get_free_page(GFP_KERNEL);
	if (!b->scratch) {
		kfree(b);
		return -ENOMEM;
	}
	file->private_data = b;
	return 0;
}

static int barepin_release(struct inode *inode, struct file *file)
{
	struct barepin *b = file->private_data;

	unpin(b);
	kvfree(b->runs);
	free_page((unsigned long)b->scratch);
	kfree(b);
	return 0;
}

static const struct file_operations barepin_fops = {
	.owner = THIS_MODULE,
	.open = barepin_open,
	.release = barepin_release,
	.unlocked_ioctl = barepin_ioctl,
};

static struct miscdevice barepin_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "barepin",
	.fops = &barepin_fops,
	.mode = 0600,
};
module_misc_device(barepin_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A bare pin loop, to compare belay with");
