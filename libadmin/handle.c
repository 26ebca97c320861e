// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/* handle.c - opening and closing, and the sentence about what failed */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libadmin/internal.h"

/* Without an answer for so long, the daemon hangs or is not started by its socket. */
#define TIMEOUT_MSEC	10000

/* Takes down the sentence. Returns @err. */
int bl_admin_fail(struct belay_admin *a, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(a->error, sizeof(a->error), fmt, ap);
	va_end(ap);
	return err;
}

bool bl_admin_is_inherited(const struct belay_admin *a)
{
	return a->owner != getpid();
}

/* May a request be sent? */
int bl_admin_begin(struct belay_admin *a)
{
	if (bl_admin_is_inherited(a))
		return bl_admin_fail(a, -EXDEV, "the connection to belayd is the parent process's");
	if (a->fd < 0)
		return bl_admin_fail(a, -ENOTCONN, "there is no connection to belayd any more");
	if (a->recall)
		return bl_admin_fail(a, -EBUSY, "the result of a recall has not been fetched yet");
	return 0;
}

static const char *socket_path(const char *given)
{
	const char *path = given ? given : secure_getenv("BELAY_SOCKET");

	return path && *path ? path : BL_SOCKET_PATH;
}

static int apply_options(struct belay_admin *a, const struct belay_admin_options *opt)
{
	const char *label = opt->label ? opt->label : program_invocation_short_name;
	const char *path = socket_path(opt->socket);

	if (opt->reserved || opt->timeout_msec < -1)
		return bl_admin_fail(a, -EINVAL, "options: reserved is not 0, or a bad timeout_msec");
	if (strlen(path) >= sizeof(a->socket))
		return bl_admin_fail(a, -ENAMETOOLONG,
				     "the socket's path is too long (at most %zu bytes): %.80s...",
				     sizeof(a->socket) - 1, path);
	strcpy(a->socket, path);
	memcpy(a->label, label, strnlen(label, sizeof(a->label) - 1));
	a->timeout_msec = opt->timeout_msec ? opt->timeout_msec : TIMEOUT_MSEC;
	a->on_wait = opt->on_wait;
	a->arg = opt->arg;
	return 0;
}

int belay_admin_open(struct belay_admin **ret, const struct belay_admin_options *opt)
{
	struct belay_admin_options o = { .size = sizeof(o) };
	struct belay_admin *a = calloc(1, sizeof(*a));
	int err = 0;

	*ret = a;
	if (!a)
		return -ENOMEM;
	a->fd = -1;
	a->owner = getpid();
	if (opt)
		err = bl_admin_take(a, "options", opt, &o, sizeof(o), OPTIONS_SIZE_VER0);
	if (!err)
		err = apply_options(a, &o);
	return err ? err : bl_admin_connect(a);
}

void belay_admin_close(struct belay_admin *a)
{
	if (!a)
		return;
	bl_admin_disconnect(a);
	free(a);
}

const char *belay_admin_error(const struct belay_admin *a)
{
	return a ? a->error : "out of memory";
}

const char *belay_admin_version(void)
{
	return BELAY_VERSION;
}
