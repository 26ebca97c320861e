/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/* SPDX-FileCopyrightText: the belay authors */
/* barepin: pins one range for each open file, and does nothing else. */
#ifndef BENCH_BAREPIN_H
#define BENCH_BAREPIN_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct barepin_range {
	__u64 addr;
	__u64 len;
};

/* Room for the runs of a range of this length; made once, and not measured. */
#define BAREPIN_ROOM	_IOW(0xBF, 0, struct barepin_range)
#define BAREPIN_PIN	_IOW(0xBF, 1, struct barepin_range)
#define BAREPIN_UNPIN	_IO(0xBF, 2)

#endif
