/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * fuse.h - a server of the FUSE protocol that has one file, without a library
 *
 * The server answers what a file needs to be opened and looked at. A test that wants a
 * request answered late, or never, deals with that request itself.
 */
#ifndef TESTS_LIB_FUSE_H
#define TESTS_LIB_FUSE_H

#include <errno.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_REPLY_MAX	4096

static inline void fuse_reply(int dev, uint64_t unique, int error, const void *data, size_t len)
{
	struct {
		struct fuse_out_header head;
		char data[FUSE_REPLY_MAX];
	} out = { .head = { .len = (uint32_t)(sizeof(out.head) + len), .error = error,
			    .unique = unique } };

	memcpy(out.data, data, len);
	if (write(dev, &out, out.head.len) < 0 && errno != ENOENT)
		_exit(1);
}

static inline void fuse_serve_one(int dev, size_t size, const struct fuse_in_header *ask)
{
	struct fuse_init_out init = { .major = 7, .minor = 31, .max_readahead = 4096,
				      .max_write = 4096, .max_background = 16 };
	struct fuse_attr_out attr = { .attr = { .ino = 1, .mode = S_IFREG | 0666, .nlink = 1,
						.size = size }, .attr_valid = 1000 };
	struct fuse_open_out open = { .fh = 1 };

	switch (ask->opcode) {
	case FUSE_INIT:
		fuse_reply(dev, ask->unique, 0, &init, sizeof(init));
		break;
	case FUSE_GETATTR:
		fuse_reply(dev, ask->unique, 0, &attr, sizeof(attr));
		break;
	case FUSE_OPEN:
		fuse_reply(dev, ask->unique, 0, &open, sizeof(open));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		fuse_reply(dev, ask->unique,
			   ask->opcode == FUSE_RELEASE || ask->opcode == FUSE_FLUSH ? 0 : -ENOSYS,
			   "", 0);
	}
}

/*
 * Serves the file, of @size bytes, until it is unmounted, then ends the process.
 * @own(@arg, request): true if it has dealt with the request.
 */
static inline void fuse_serve(int dev, size_t size,
			      bool (*own)(void *arg, const struct fuse_in_header *ask), void *arg)
{
	static char buf[1 << 17] __attribute__((aligned(8)));
	const struct fuse_in_header *ask = (const void *)buf;

	for (;;) {
		ssize_t n = read(dev, buf, sizeof(buf));

		if (n < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			_exit(0);
		if (n > 0 && !own(arg, ask))
			fuse_serve_one(dev, size, ask);
	}
}

#endif
