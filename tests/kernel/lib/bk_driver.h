/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * Other drivers that really pin user memory: soft-RoCE, through libibverbs, and io_uring's
 * registered buffers.
 *
 *	struct bk_driver d;
 *
 *	bk_driver_open(&d, BK_IO_URING);
 *	CHECK_OK(bk_driver_pin(&d, p, len));
 *	bk_driver_fill(&d, 0x5a);	(only io_uring)
 *	bk_driver_unpin(&d);
 *	bk_driver_close(&d);
 */
#ifndef TESTS_KERNEL_LIB_BK_DRIVER_H
#define TESTS_KERNEL_LIB_BK_DRIVER_H

#include <infiniband/verbs.h>
#include <liburing.h>

#include "tests/kernel/lib/bk.h"

enum bk_driver_kind { BK_VERBS, BK_IO_URING, BK_DRIVERS };

struct bk_driver {
	enum bk_driver_kind kind;
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	struct io_uring ring;
	char *addr;		/* what it has pinned */
	size_t len;
	int64_t pins;		/* how many it took: io_uring may hold a huge page by one */
};

const char *bk_driver_name(enum bk_driver_kind kind);
void bk_driver_open(struct bk_driver *d, enum bk_driver_kind kind);
void bk_driver_close(struct bk_driver *d);
/* For reading and writing; one range at a time. 0 or a negative errno. */
int bk_driver_pin(struct bk_driver *d, void *addr, size_t len);
/* When this returns, the pins are gone. */
void bk_driver_unpin(struct bk_driver *d);
/* The driver writes into every page that it has pinned, by what it has pinned. */
void bk_driver_fill(struct bk_driver *d, int byte);

#endif
