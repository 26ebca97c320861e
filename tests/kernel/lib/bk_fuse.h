/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * A file of a FUSE server that answers one kind of request only when the test says so.
 * The server (tests/lib/fuse.h) is a process of its own.
 */
#ifndef TESTS_KERNEL_LIB_BK_FUSE_H
#define TESTS_KERNEL_LIB_BK_FUSE_H

#include <linux/fuse.h>

#include "tests/kernel/lib/bk.h"

struct bk_fuse {
	int dev;
	pid_t pid;
	uint32_t slow;		/* FUSE_READ, behind the first page; or FUSE_WRITE */
	size_t size;
	char path[64];
	struct bk_steps *s;	/* 1: such a request has come; 2: it may be answered */
};

/* Mounts it, and has the descriptor of the file, of @size bytes, for reading and writing. */
int bk_fuse_open(struct bk_fuse *f, uint32_t slow, size_t size);
void bk_fuse_end(struct bk_fuse *f);

#endif
