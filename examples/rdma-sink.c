// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Holds a buffer that rdma-source writes into by RDMA WRITE, and lets go of it
 * when it is asked to.
 *
 *	rdma-sink [-d DEVICE] [-g GID-INDEX] [-s SOCKET] [-m MIB] [-w how] ...
 *
 *	-w grant   under a grant of belay, as a tracked region (the default)
 *	-w plain   without belay: what RLIMIT_MEMLOCK allows
 *	-w pin     pinned by belay itself, without any device and any source
 *	-n         do not wait for a source
 *	-1         end when the data is there; do not wait for a request
 *	-i         ignore revoke requests: show what the deadline does
 *
 * What matters is in hold() and let_go(): the order of registering with belay
 * and with the driver, and the reverse.
 */
#include <belay.h>
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "rdma.h"

#define TRIES	5	/* of registering while the mapping changes */

static struct {
	const char *device, *path;
	int gid_index;
	size_t len;
	bool plain, pin, alone, once, ignore;
} opt = { .path = "/tmp/rdma-sink.sock", .gid_index = 1, .len = 64 << 20 };

static struct belay *belay;
static struct belay_region *region;
static struct ibv_mr *mr;
static struct rdma rdma;
static void *buf;

static void reg_mr(void)
{
	mr = ibv_reg_mr(rdma.pd, buf, opt.len,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	if (!mr)
		err(1, "ibv_reg_mr of %zu MiB", opt.len >> 20);
}

/* Belay first: it charges, and refuses with a reason. The driver second. */
static void hold(void)
{
	uint32_t how = opt.pin ? BELAY_PIN : BELAY_TRACK;
	struct belay_refusal why = { .size = sizeof(why) };
	int e, i;

	e = belay_open(&belay, NULL, &why);
	for (i = 0; !e && i < TRIES; i++) {
		e = belay_register(belay, buf, opt.len, how | BELAY_WRITE, NULL,
				   &region, &why);
		if (e || opt.pin)
			break;
		reg_mr();
		e = belay_commit(region, NULL);
		if (e != -EAGAIN)
			break;
		/* The mapping changed between the two: once more. */
		belay_unregister(region);
		ibv_dereg_mr(mr);
	}
	if (e)
		errx(1, "%s", why.error ? why.text : strerror(-e));
	printf("sink: %zu MiB registered as region %llu (%s)\n", opt.len >> 20,
	       (unsigned long long)region->id, opt.pin ? "pinned" : "tracked");
}

/*
 * The reverse: stop the device; belay; the driver. Unregistering has answered
 * the request already; belay_ack() frees it.
 */
static void let_go(struct belay_request *req)
{
	if (!opt.pin)
		rdma_stop(&rdma);
	if (belay)
		belay_unregister(region);
	if (mr)
		ibv_dereg_mr(mr);
	if (!opt.pin)
		rdma_close(&rdma);
	if (req)
		belay_ack(req);
	belay_close(belay);
}

static void receive(void)
{
	int listener = listen_at(opt.path), fd;
	struct rdma_end other;
	uint64_t sent, got;

	printf("sink: waiting for a source at %s\n", opt.path);
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	rdma_swap_ends(&rdma, fd, (uintptr_t)buf, opt.len, mr->rkey, &other);
	rdma_connect(&rdma, &other);
	send_all(fd, "!", 1);
	recv_all(fd, &sent, sizeof(sent));
	got = checksum(0, buf, opt.len);
	printf("sink: %zu MiB arrived, checksum %016llx, %s\n", opt.len >> 20,
	       (unsigned long long)got, got == sent ? "as sent" : "NOT as sent");
	if (got != sent)
		exit(1);
	close(fd);
	close(listener);
	unlink(opt.path);
}

static double seconds_to(uint64_t deadline)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (double)deadline / 1e9 - (double)now.tv_sec - (double)now.tv_nsec / 1e9;
}

/* Returns when there has been a request that is not ignored. */
static void await_request(void)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct pollfd p = { .fd = belay_get_fd(belay), .events = POLLIN };
	struct belay_request *req;

	for (;;) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			err(1, "poll");
		belay_dispatch(belay);
		while (!belay_get_request(belay, &req)) {
			belay_get_request_info(req, &info);
			printf("sink: asked to let go of region %llu: %s",
			       (unsigned long long)info.region->id, info.reason_text);
			if (info.deadline)
				printf(", within %.1f s", seconds_to(info.deadline));
			printf("%s\n", opt.ignore ? "; ignoring it" : "");
			if (opt.ignore)
				continue;
			let_go(req);
			printf("sink: let go\n");
			return;
		}
	}
}

static void usage(void)
{
	errx(2, "usage: rdma-sink [-1in] [-d device] [-g gid-index] [-m MiB] [-s socket] [-w grant|plain|pin]");
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "1d:g:im:ns:w:")) != -1)
		switch (c) {
		case '1':
			opt.once = true;
			break;
		case 'd':
			opt.device = optarg;
			break;
		case 'g':
			opt.gid_index = atoi(optarg);
			break;
		case 'i':
			opt.ignore = true;
			break;
		case 'm':
			opt.len = strtoul(optarg, NULL, 10) << 20;
			break;
		case 'n':
			opt.alone = true;
			break;
		case 's':
			opt.path = optarg;
			break;
		case 'w':
			opt.plain = !strcmp(optarg, "plain");
			opt.pin = !strcmp(optarg, "pin");
			if (!opt.plain && !opt.pin && strcmp(optarg, "grant"))
				usage();
			break;
		default:
			usage();
		}
	if (optind != argc || !opt.len)
		usage();
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	parse(argc, argv);
	buf = mmap(NULL, opt.len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		err(1, "mmap");
	if (!opt.pin)
		rdma_open(&rdma, opt.device, opt.gid_index);
	if (opt.plain)
		reg_mr();
	else
		hold();
	if (!opt.pin && !opt.alone)
		receive();
	if (opt.once || opt.plain)
		let_go(NULL);
	else
		await_request();
	return 0;
}
