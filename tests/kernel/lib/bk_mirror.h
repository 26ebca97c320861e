/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * The kernel's own test device with memory that no processor can reach (device-private):
 * lib/test_hmm.c of the kernel. It mirrors the address space of who opens it, for good:
 * a child needs its own.
 *
 *	struct bk_mirror d;
 *
 *	bk_mirror_open(&d);
 *	bk_mirror_take(&d, p, pages);	(the pages move to the device)
 *	CHECK_EQ(bk_mirror_has(&d, p, pages), pages);
 *	p[0] = 1;			(and one comes back)
 *	bk_mirror_close(&d);		(all that are there come back)
 */
#ifndef TESTS_KERNEL_LIB_BK_MIRROR_H
#define TESTS_KERNEL_LIB_BK_MIRROR_H

#include "tests/kernel/lib/bk.h"

struct bk_mirror {
	int fd;
};

void bk_mirror_open(struct bk_mirror *d);
void bk_mirror_close(struct bk_mirror *d);
/* Its memory goes, when nobody refers to a page of it any more. */
void bk_mirror_give_up(const struct bk_mirror *d);

/* Asks for all of them, several times; has how many of them are there now. */
size_t bk_mirror_try_take(const struct bk_mirror *d, const void *addr, size_t pages);
/* All of them, or the test fails. */
void bk_mirror_take(const struct bk_mirror *d, const void *addr, size_t pages);
/* How many are on the device. */
size_t bk_mirror_has(const struct bk_mirror *d, const void *addr, size_t pages);
/* How many are in the page table, in memory of the system. */
size_t bk_mirror_mapped(const struct bk_mirror *d, const void *addr, size_t pages);
/* The device writes bytes from data into its own memory; none comes back for that. */
void bk_mirror_write(const struct bk_mirror *d, const void *addr, size_t pages, void *data);
/* The device borrows the pages: they stay, and no processor has access until it asks. */
void bk_mirror_borrow(const struct bk_mirror *d, const void *addr, size_t pages);
bool bk_mirror_borrows(const struct bk_mirror *d, const void *addr, size_t pages);

#endif
