/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * belayd - decides who may hold memory for DMA
 *
 * This file: command line, start and end. The rest: docs/architecture.md is the map.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon/act/reload.h"
#include "daemon/ask/ask.h"
#include "daemon/manager.h"
#include "daemon/sys/config.h"
#include "daemon/sys/log.h"

#define CONFIG_PATH	"/etc/belay/belayd.conf"
#define EXIT_CONFIG	78	/* EX_CONFIG of sysexits.h: trying again is no use */
#define CONFIG_WAIT_SEC	5	/* then systemd may start us again, for who waits at its socket */
#define DEVICE_TRIES	50	/* 5 s, for an earlier daemon to end, or for udev */
#define BIND_TRIES	10	/* 1 s */
#define STATUS_SEC	10

struct options {
	const char *config;
	const char *socket;
	const char *device;
	bool check;
};

struct daemon {
	struct bl_state *st;
	struct event ev_term, ev_int, ev_hup, ev_watchdog, ev_status;
	char status[256];
};

static const char usage[] =
"belayd [OPTION]...\n"
"Decides who may hold memory for DMA; see belayd(8).\n"
"\n"
"  -c, --config FILE        read FILE and FILE.d/*.conf (" CONFIG_PATH ")\n"
"      --check-config[=FILE]  say what is wrong with the configuration, and end\n"
"  -s, --socket PATH        listen there if systemd hands over no socket\n"
"                           (" BL_SOCKET_PATH ")\n"
"      --device PATH        the kernel module's (" BL_DEVICE_PATH ")\n"
"  -d, --debug              say more\n"
"  -h, --help               show this\n"
"  -V, --version            show the version\n"
"\n"
"Exit status: 0 stopped on request; 1 failed; 2 wrong command line; 78 the\n"
"configuration has errors.\n";

static const char try[] = "Try: belayd --help\n";

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", optional_argument, NULL, 'C' },
		{ "socket", required_argument, NULL, 's' },
		{ "device", required_argument, NULL, 'D' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "c:s:dhV", longs, NULL)) >= 0) {
		switch (opt) {
		case 'C':
			o->check = true;
			if (!optarg && optind < argc && argv[optind][0] != '-')
				optarg = argv[optind++];
			if (optarg)
				o->config = optarg;
			break;
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'D':
			o->device = optarg;
			break;
		case 'd':
			bl_log_set_level(LOG_DEBUG);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			puts("belayd " BELAY_VERSION);
			exit(0);
		default:
			fputs(try, stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "belayd: unexpected argument \"%s\"\n%s", argv[optind], try);
		exit(2);
	}
}

struct findings {
	unsigned int errors, warnings;
};

static void say(void *arg, int level, const char *text)
{
	struct findings *f = arg;

	if (level == LOG_WARNING)
		f->warnings++;
	else if (level <= LOG_ERR)
		f->errors++;
	bl_log(level, "%s", text);
}

static int check_config(const struct options *o)
{
	struct findings f = { 0 };
	struct bl_policy *p;

	/* The default file may be missing; one that was named on the command line may not. */
	if (access(o->config, F_OK) && errno == ENOENT) {
		if (strcmp(o->config, CONFIG_PATH)) {
			bl_error("%s: there is no such file", o->config);
			return EXIT_CONFIG;
		}
		bl_info("%s is not there: only the drop-ins in %s.d are read", o->config,
			o->config);
	}
	p = bl_config_load(o->config, say, &f);
	printf("%s and drop-ins: %u error%s, %u warning%s\n", o->config,
	       f.errors, f.errors == 1 ? "" : "s", f.warnings, f.warnings == 1 ? "" : "s");
	if (!p)
		return EXIT_CONFIG;
	bl_config_print(p, say, &f);
	bl_policy_free(p);
	return 0;
}

/* ------------------------------------------------------------------------ */
/* Running                                                                   */

static void on_stop(int sig, short what, void *arg)
{
	struct daemon *d = arg;

	event_base_loopbreak(d->st->loop.base);
}

static void on_hup(int sig, short what, void *arg)
{
	struct daemon *d = arg;
	char text[BL_TEXT_MAX];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", ts.tv_sec * 1000000LL +
		   ts.tv_nsec / 1000);
	bl_reload(d->st, text);
	sd_notify(0, "READY=1");
}

static void on_watchdog(int fd, short what, void *arg)
{
	sd_notify(0, "WATCHDOG=1");
}

static void on_status(int fd, short what, void *arg)
{
	struct daemon *d = arg;
	char status[sizeof(d->status)];

	bl_status_text(d->st, status, sizeof(status));
	if (!strcmp(status, d->status))
		return;
	strcpy(d->status, status);
	sd_notifyf(0, "STATUS=%s", status);
}

static void add_timer(struct event *ev, struct event_base *base, uint64_t usec,
		      event_callback_fn fn, void *arg)
{
	struct timeval tv = {
		.tv_sec = (time_t)(usec / 1000000),
		.tv_usec = (suseconds_t)(usec % 1000000),
	};

	event_assign(ev, base, -1, EV_PERSIST, fn, arg);
	event_add(ev, &tv);
}

static void run(struct bl_state *st)
{
	struct daemon d = { .st = st };
	uint64_t usec = 0;

	evsignal_assign(&d.ev_term, st->loop.base, SIGTERM, on_stop, &d);
	evsignal_assign(&d.ev_int, st->loop.base, SIGINT, on_stop, &d);
	evsignal_assign(&d.ev_hup, st->loop.base, SIGHUP, on_hup, &d);
	event_add(&d.ev_term, NULL);
	event_add(&d.ev_int, NULL);
	event_add(&d.ev_hup, NULL);
	if (sd_watchdog_enabled(0, &usec) > 0)
		add_timer(&d.ev_watchdog, st->loop.base, usec / 2, on_watchdog, &d);
	add_timer(&d.ev_status, st->loop.base, STATUS_SEC * 1000000ULL, on_status, &d);
	sd_notify(0, "READY=1");
	on_status(-1, 0, &d);
	event_base_dispatch(st->loop.base);
	sd_notify(0, "STOPPING=1\nSTATUS=Stopping; grants live on in the kernel module");
	event_del(&d.ev_term);
	event_del(&d.ev_int);
	event_del(&d.ev_hup);
	event_del(&d.ev_status);
	if (usec)
		event_del(&d.ev_watchdog);
}

/* ------------------------------------------------------------------------ */
/* Starting                                                                  */

static int wait_for_device(struct bl_device *dev, const char *path)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	int err, i;

	for (i = 0; i < DEVICE_TRIES; i++) {
		err = bl_device_open(dev, path);
		if (err != -EBUSY && err != -ENOENT && err != -EACCES)
			return err;
		if (!i)
			bl_info("waiting for %s: %s", path, strerror(-err));
		nanosleep(&pause, NULL);
	}
	return err;
}

static int open_device(struct bl_device *dev, const char *path)
{
	int err = wait_for_device(dev, path);

	switch (err) {
	case 0:
		break;
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		bl_error("%s is not there: load the kernel module (modprobe belay)", path);
		break;
	case -EBUSY:
		bl_error("%s belongs to another daemon", path);
		break;
	case -EPROTO:
		bl_error("the kernel module speaks ABI versions %u to %u, belayd %s %u to %u: install both from one release",
			 dev->info.abi_oldest, dev->info.abi_version, BELAY_VERSION,
			 BELAY_ABI_OLDEST, BELAY_ABI_VERSION);
		break;
	case -EPERM:
		bl_error("%s: belayd needs CAP_IPC_LOCK", path);
		break;
	case -ENOTTY:
		bl_error("%s is not belay's device, which is %s", path, BL_DEVICE_PATH);
		break;
	default:
		bl_error("%s: %s", path, strerror(-err));
	}
	return err;
}

/* A daemon that has just been killed leaves the socket to its keeper for a moment. */
static int bind_socket(const char *path)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	int fd, i;

	for (i = 0; i < BIND_TRIES; i++) {
		fd = bl_server_bind(path);
		if (fd != -EADDRINUSE)
			break;
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* From systemd, or its own; *ret_own: to be removed at the end. */
static int listen_all(struct bl_state *st, const char *path, bool *ret_own)
{
	int n = sd_listen_fds(1), fd, i, err;

	*ret_own = false;
	if (n < 0) {
		bl_error("sockets from systemd: %s", strerror(-n));
		return n;
	}
	for (i = 0; i < n; i++) {
		fd = SD_LISTEN_FDS_START + i;
		if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
			bl_error("socket %d from systemd is no listening AF_UNIX SOCK_SEQPACKET socket",
				 i);
			return -EINVAL;
		}
		err = bl_server_listen(&st->server, fd);
		if (err)
			return err;
	}
	if (n)
		return 0;
	fd = bind_socket(path);
	if (fd < 0) {
		bl_error("cannot listen at %s: %s", path, strerror(-fd));
		return fd;
	}
	*ret_own = true;
	return bl_server_listen(&st->server, fd);
}

/* After the last fork(): a forked process would not have the log's thread. */
static int start_log(void)
{
	int err = bl_log_start();

	if (err)
		bl_error("no thread to write the log: %s", strerror(-err));
	return err;
}

static int serve(struct bl_device *dev, struct bl_policy *policy,
		 const struct options *o)
{
	struct bl_state *st = bl_manager_new(dev, policy, o->config);
	bool own = false;
	int err;

	if (!st) {
		bl_error("cannot start: %s", strerror(errno));
		return 1;
	}
	err = bl_manager_start(st);
	if (!err)
		err = start_log();
	if (!err)
		err = listen_all(st, o->socket, &own);
	if (!err) {
		/*
		 * A page that has to be read in first may need the very memory
		 * that a recall is to free.
		 */
		if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
			bl_info("memory not locked: %s", strerror(errno));
		bl_info("belayd %s started", BELAY_VERSION);
		run(st);
	}
	if (st->loop.failed)
		err = -EIO;
	bl_manager_free(st);
	if (own)
		unlink(o->socket);
	return err ? 1 : 0;
}

/*
 * systemd starts us again for a connection that waits at its socket, whatever our exit
 * status is: so take our time. The connection is served when the error is gone.
 */
static int bad_config(const struct options *o)
{
	bl_error("not started: the configuration has errors; see: belayd --check-config=%s",
		 o->config);
	if (sd_listen_fds(0) > 0) {
		sd_notify(0, "STATUS=Not started: the configuration has errors, see belayd --check-config");
		sleep(CONFIG_WAIT_SEC);
	}
	return EXIT_CONFIG;
}

int main(int argc, char **argv)
{
	struct options o = {
		.config = CONFIG_PATH,
		.socket = BL_SOCKET_PATH,
		.device = BL_DEVICE_PATH,
	};
	struct bl_device dev = { .fd = -1 };
	struct bl_policy *policy;
	struct findings findings = { 0 };
	int status;

	parse_options(argc, argv, &o);
	if (o.check)
		return check_config(&o);
	signal(SIGPIPE, SIG_IGN);
	policy = bl_config_load(o.config, say, &findings);
	if (!policy)
		return bad_config(&o);
	bl_config_print(policy, say, &findings);
	if (open_device(&dev, o.device)) {
		bl_policy_free(policy);
		return 1;
	}
	status = serve(&dev, policy, &o);
	bl_device_close(&dev);
	if (!status)
		bl_info("belayd stopped");
	bl_log_stop();
	return status;
}
