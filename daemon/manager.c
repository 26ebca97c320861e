/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/sys/config.h"
#include "daemon/sys/log.h"
#include "daemon/manager.h"

#define SWEEP_SEC	60	/* a user that comes back soon finds its account */

static const struct timeval at_once;

static uint64_t boottime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

uint64_t bl_manager_now(struct bl_manager *m)
{
	return m->clock();
}

/* ------------------------------------------------------------------------ */
/* The loop's callbacks                                                      */

static void on_dead(int fd, short what, void *arg)
{
	struct bl_manager *m = arg;
	struct bl_conn *c;

	while ((c = TAILQ_FIRST(&m->dead))) {
		TAILQ_REMOVE(&m->dead, c, link);
		free(c);
	}
}

/* Each task takes one step; new ones that come meanwhile wait their turn. */
static void on_tasks(int fd, short what, void *arg)
{
	struct bl_tasks turn = TAILQ_HEAD_INITIALIZER(turn);
	struct bl_manager *m = arg;
	struct bl_task *task;

	TAILQ_CONCAT(&turn, &m->tasks, link);
	while ((task = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, task, link);
		if (task->step(m, task))
			task->fini(m, task);
		else
			TAILQ_INSERT_TAIL(&m->tasks, task, link);
	}
	if (!TAILQ_EMPTY(&m->tasks))
		evtimer_add(&m->ev_tasks, &at_once);
}

void bl_manager_fail(struct bl_manager *m, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (m->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bl_error("ending, to be started again: %s", text);
	m->failed = true;
	event_del(&m->ev_keeper);
	event_base_loopbreak(m->base);
}

void bl_manager_add_task(struct bl_manager *m, struct bl_task *task)
{
	TAILQ_INSERT_TAIL(&m->tasks, task, link);
	evtimer_add(&m->ev_tasks, &at_once);
}

/* Descriptors that a connection had in it have been closed at last. */
static void on_keeper(int fd, short what, void *arg)
{
	struct bl_manager *m = arg;
	uid_t uid;
	int got;

	while ((got = bl_keeper_gone(&m->keeper, &uid)) > 0) {
		m->n_lingering--;
		bl_conn_uncount(m, uid);
	}
	if (got < 0)
		bl_manager_fail(m, "the process that keeps connections has ended");
}

static void on_device(int fd, short what, void *arg)
{
	bl_events_read(arg);
}

static void on_device_retry(int fd, short what, void *arg)
{
	struct bl_manager *m = arg;

	event_add(&m->ev_device, NULL);
}

static void on_timer(int fd, short what, void *arg)
{
	uint64_t expired;

	if (read(fd, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		bl_error("timer: %s", strerror(errno));
	bl_enforce_run(arg);
}

static void on_sweep(int fd, short what, void *arg)
{
	bl_holders_sweep(arg);
	bl_memlock_sweep(arg);
	bl_accounts_sweep(arg);
}

static void on_accept_again(int fd, short what, void *arg)
{
	struct bl_manager *m = arg;
	int i;

	for (i = 0; i < m->n_listeners; i++)
		event_add(&m->listeners[i].ev, NULL);
}

/* ------------------------------------------------------------------------ */
/* Beginning and end                                                         */

/* Only the number is wanted, but there has to be room for all its members. */
static void find_admin_group(struct bl_manager *m)
{
	struct group gr, *found = NULL;
	size_t room = 4096;
	char *members = NULL, *more;
	int err;

	do {
		room *= 4;
		more = realloc(members, room);
		err = more ? 0 : ENOMEM;
		if (more) {
			members = more;
			err = getgrnam_r(BL_ADMIN_GROUP, &gr, members, room, &found);
		}
	} while (err == ERANGE);
	if (err && err != ENOENT)
		bl_warn("the group %s cannot be looked up: %s; only root is an administrator",
			BL_ADMIN_GROUP, strerror(err));
	m->admin_gid = !err && found ? gr.gr_gid : (gid_t)-1;
	free(members);
}

static void assign_events(struct bl_manager *m)
{
	evtimer_assign(&m->ev_dead, m->base, on_dead, m);
	evtimer_assign(&m->ev_tasks, m->base, on_tasks, m);
	evtimer_assign(&m->ev_accept, m->base, on_accept_again, m);
	evtimer_assign(&m->ev_device_retry, m->base, on_device_retry, m);
	event_assign(&m->ev_device, m->base, m->dev->fd, EV_READ | EV_PERSIST,
		     on_device, m);
	event_assign(&m->ev_timer, m->base, m->timer_fd, EV_READ | EV_PERSIST,
		     on_timer, m);
	event_assign(&m->ev_sweep, m->base, -1, EV_PERSIST, on_sweep, m);
}

struct bl_manager *bl_manager_new(struct bl_device *dev, struct bl_policy *policy,
				  const char *config_path)
{
	struct bl_manager *m = calloc(1, sizeof(*m));

	if (!m) {
		bl_policy_free(policy);
		return NULL;
	}
	m->dev = dev;
	m->policy = policy;
	m->config_path = config_path;
	m->clock = boottime;
	m->started_at = boottime();
	bl_bucket_init(&m->status_bucket, BL_STATUS_BURST, BL_STATUS_PER_SEC, m->started_at);
	TAILQ_INIT(&m->conns);
	TAILQ_INIT(&m->dead);
	TAILQ_INIT(&m->tasks);
	bl_ledger_init(&m->ledger);
	find_admin_group(m);
	m->keeper.socket = -1;
	m->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	m->base = event_base_new();
	if (m->timer_fd < 0 || !m->base)
		return bl_manager_free(m);
	assign_events(m);
	return m;
}

struct bl_manager *bl_manager_free(struct bl_manager *m)
{
	struct bl_task *task;
	struct bl_conn *c;

	if (!m)
		return NULL;
	if (m->base)
		bl_server_stop(m);
	while ((c = TAILQ_FIRST(&m->conns)))
		bl_conn_drop(c, NULL);
	bl_keeper_stop(&m->keeper);
	on_dead(-1, 0, m);
	while ((task = TAILQ_FIRST(&m->tasks))) {
		TAILQ_REMOVE(&m->tasks, task, link);
		task->fini(m, task);
	}
	bl_revoke_fini(&m->revoke);
	bl_ledger_fini(&m->ledger);
	bl_map_fini(&m->conn_ids);
	bl_map_fini(&m->sessions);
	bl_map_fini(&m->uids);
	if (m->base)
		event_base_free(m->base);
	if (m->timer_fd >= 0)
		close(m->timer_fd);
	bl_policy_free(m->policy);
	free(m);
	return NULL;
}

int bl_manager_start(struct bl_manager *m)
{
	const struct timeval sweep = { .tv_sec = SWEEP_SEC };
	int err = bl_keeper_start(&m->keeper);

	if (err) {
		bl_error("no process to keep connections: %s", strerror(-err));
		return err;
	}
	event_assign(&m->ev_keeper, m->base, m->keeper.socket, EV_READ | EV_PERSIST,
		     on_keeper, m);
	err = bl_adopt(m);
	if (err) {
		bl_error("what the kernel module has cannot be adopted: %s", strerror(-err));
		return err;
	}
	if (event_add(&m->ev_keeper, NULL) || event_add(&m->ev_device, NULL) || event_add(&m->ev_timer, NULL) ||
	    event_add(&m->ev_sweep, &sweep))
		return -ENOMEM;
	bl_enforce_arm(m);
	return 0;
}

/* ------------------------------------------------------------------------ */
/* Reloading                                                                 */

struct answer {
	char *text;
	bool errors;
	bool full;
};

static const char in_force[] = "\nThe configuration before stays in force.";

/*
 * The log gets every message; whoever asked gets the errors, or if there are none
 * the warnings, one a line, whole ones, as many as there is room for.
 */
static void say(void *arg, int level, const char *text)
{
	static const char more[] = "\nand more, see: belayd --check-config";
	const size_t room = BL_TEXT_MAX - strlen(in_force);
	struct answer *a = arg;
	size_t n;

	bl_log(level, "%s", text);
	if (level <= LOG_ERR && !a->errors) {
		*a = (struct answer){ .text = a->text, .errors = true };
		a->text[0] = '\0';
	}
	if (a->full || (a->errors && level > LOG_ERR))
		return;
	n = strlen(a->text);
	a->full = n && n + strlen(text) + sizeof("\n") + sizeof(more) > room;
	if (a->full)
		snprintf(a->text + n, room - n, "%s", more);
	else
		snprintf(a->text + n, room - n, "%s%s", n ? "\n" : "", text);
}

int bl_manager_reload(struct bl_manager *m, char *text)
{
	struct bl_policy *policy, *old = m->policy;
	struct answer answer = { .text = text };
	int err;

	text[0] = '\0';
	policy = bl_config_load(m->config_path, say, &answer);
	if (!policy) {
		bl_error("the configuration has errors; the one before stays in force");
		strcat(text, in_force);
		return -EINVAL;
	}
	m->policy = policy;
	err = bl_accounts_apply(m);
	if (err) {
		m->policy = old;
		bl_policy_free(policy);
		snprintf(text, BL_TEXT_MAX, "the limits cannot be set: %s; the configuration before stays in force",
			 strerror(-err));
		return err;
	}
	bl_policy_free(old);
	find_admin_group(m);
	bl_info("configuration read again");
	return 0;
}
