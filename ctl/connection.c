// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * connection.c - libbelay-admin's errors as belayctl has them
 *
 * The library says what went wrong. Here it becomes an exit status, and where the daemon
 * is absent, hangs, restarts in the middle or is of another release, what to do is added.
 */
#include <errno.h>
#include <string.h>

#include "common/protocol.h"
#include "ctl/belayctl.h"

/*
 * Without the module belayd cannot start, and systemd, which has the socket, tries again
 * and again: most often a new kernel for which the module has not been built.
 */
static const char *what_to_do(const struct ctl *c, const char *otherwise)
{
	return ctl_module_is_loaded(c) ? otherwise :
		"The kernel module is not loaded; load it, or see why not, with: modprobe belay";
}

static int failed(struct ctl *c, int err)
{
	const char *text = belay_admin_error(c->admin);

	switch (-err) {
	case EPERM:
	case EACCES:
		return ctl_fail(c, CTL_DENIED, "%s", text);
	case ENOENT:
	case ESRCH:
		return ctl_fail(c, CTL_NOT_FOUND, "%s", text);
	case ETIMEDOUT:
		return ctl_fail(c, CTL_FAILED, "%s. %s", text,
				what_to_do(c, "Look at it with: systemctl status belayd.service; "
					      "and at its configuration with: belayd --check-config"));
	case ECONNRESET:
		return ctl_fail(c, CTL_FAILED, "%s. %s", text,
				what_to_do(c, "Is it being restarted? Try again, or look at: "
					      "journalctl -u belayd.service"));
	case EPROTO:
		return ctl_fail(c, CTL_FAILED,
				"%s. Are belayctl and belayd of the same release?", text);
	default:
		return ctl_fail(c, CTL_FAILED, "%s", text);
	}
}

/* The exit status for a result of the library: CTL_OK if @err is not negative. */
int ctl_done(struct ctl *c, int err)
{
	ctl_progress_end(c);
	return err < 0 ? failed(c, err) : CTL_OK;
}

static int cannot_connect(struct ctl *c, int err)
{
	switch (-err) {
	case ENOENT:
	case ECONNREFUSED:
		return ctl_fail(c, CTL_NOT_RUNNING, "%s. %s", belay_admin_error(c->admin),
				strcmp(c->socket, BL_SOCKET_PATH) ?
				"Is that its socket? Check --socket, or BELAY_SOCKET" :
				"Start it with: systemctl start belayd.socket");
	case ENAMETOOLONG:
		return ctl_fail(c, CTL_USAGE, "%s", belay_admin_error(c->admin));
	default:
		return failed(c, err);
	}
}

static int on_wait(uint64_t waited, uint64_t deadline, void *arg)
{
	ctl_progress_show(arg, waited, deadline);
	return 0;
}

int ctl_connect(struct ctl *c)
{
	struct belay_admin_options opt = {
		.size = sizeof(opt),
		.socket = c->socket,
		.label = "belayctl",
		.timeout_msec = c->timeout_msec,
		.on_wait = on_wait,
		.arg = c,
	};
	int err = belay_admin_open(&c->admin, &opt);

	ctl_progress_end(c);
	return err ? cannot_connect(c, err) : CTL_OK;
}

void ctl_disconnect(struct ctl *c)
{
	belay_admin_close(c->admin);
	c->admin = NULL;
}
