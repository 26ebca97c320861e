/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * kernel.h - the system calls on a session's file descriptor
 *
 * The only way from the library to the module, so that unit tests can put a
 * module of their own in its place. Everything returns 0 or a negative errno;
 * for the calls on arrays that is the fate of the call, and each entry has a
 * status of its own. *ret_done: entries whose status is valid.
 */
#ifndef BL_KERNEL_H
#define BL_KERNEL_H

#include <linux/belay.h>
#include <stddef.h>
#include <stdint.h>

int bl_kernel_info(int fd, struct belay_info *ret);
int bl_kernel_map_words(int fd, const uint64_t **ret, size_t *ret_len);
void bl_kernel_unmap_words(const uint64_t *words, size_t len);
int bl_kernel_register(int fd, struct belay_register_entry *entries,
		       uint32_t count, uint32_t *ret_done);
int bl_kernel_commit(int fd, struct belay_region_entry *entry);
/* 1 to BELAY_MAX_BATCH of this session's; each is let go of, whatever it was. */
int bl_kernel_unregister(int fd, struct belay_region_entry *entries, uint32_t count);
int bl_kernel_check(int fd, struct belay_region_entry *entry);
int bl_kernel_trim(int fd, struct belay_trim_entry *entry);
/* *count in: room; out: levels there are. */
int bl_kernel_usage(int fd, struct belay_level *levels, uint32_t *count);
/* Of all tracked regions of the grant, each for itself. */
int bl_kernel_tracked(int fd, uint64_t *ret_bytes);

#endif
