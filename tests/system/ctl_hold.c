// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * ctl_hold [-t] [-i] [-s] [-l LABEL] [-n REGIONS] [-N NODE] [-f FILE] KIB: holds
 * that much memory in each of so many regions until it is asked to let go of all
 * of them.
 *
 *	-t	tracked regions (nobody's driver holds them)
 *	-i	ignores requests
 *	-s	declares them transient
 *	-N	memory of that NUMA node
 *	-f	of that file, shared, for reading only
 */
#include <belay.h>
#include <err.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct belay *belay;
static bool ignore;
static unsigned long held;

static void serve(void)
{
	struct belay_request_info info = { .size = sizeof(info) };
	struct pollfd p = { .fd = belay_get_fd(belay), .events = POLLIN };
	struct belay_request *req;

	poll(&p, 1, -1);
	belay_dispatch(belay);
	while (!belay_get_request(belay, &req)) {
		belay_get_request_info(req, &info);
		printf("asked: %s\n", info.reason_text);
		if (ignore)
			continue;
		belay_unregister(info.region);
		belay_ack(req);
		held--;
	}
}

static void use_node(unsigned long node)
{
	unsigned long mask = 1UL << node;

	if (syscall(SYS_set_mempolicy, MPOL_BIND, &mask, 64))
		err(1, "set_mempolicy");
}

static char *map(const char *file, size_t len)
{
	int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
	char *p;

	if (file && fd < 0)
		err(1, "%s", file);
	p = mmap(NULL, len, file ? PROT_READ : PROT_READ | PROT_WRITE,
		 file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	return p;
}

int main(int argc, char **argv)
{
	struct belay_options options = { .size = sizeof(options) };
	uint32_t flags = BELAY_PIN | BELAY_WRITE;
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *region;
	unsigned long n = 1, i;
	const char *file = NULL;
	size_t len;
	char *buf;
	int opt;

	while ((opt = getopt(argc, argv, "tisl:n:N:f:")) != -1) {
		switch (opt) {
		case 't':
			flags = BELAY_TRACK | BELAY_WRITE;
			break;
		case 'i':
			ignore = true;
			break;
		case 's':
			flags |= BELAY_TRANSIENT;
			break;
		case 'N':
			use_node(strtoul(optarg, NULL, 0));
			break;
		case 'f':
			file = optarg;
			flags &= ~BELAY_WRITE;
			break;
		case 'l':
			options.label = optarg;
			break;
		case 'n':
			n = strtoul(optarg, NULL, 0);
			break;
		default:
			return 2;
		}
	}
	if (optind >= argc)
		errx(2, "how much?");
	setlinebuf(stdout);
	len = strtoul(argv[optind], NULL, 0) << 10;
	buf = map(file, n * len);
	if (belay_open(&belay, &options, &why))
		errx(1, "%s", why.text);
	for (i = 0; i < n; i++, held++)
		if (belay_register(belay, buf + i * len, len, flags, NULL, &region, &why) ||
		    (flags & BELAY_TRACK && belay_commit(region, NULL)))
			errx(1, "%s", why.text);
	puts("holding");
	while (held)
		serve();
	belay_close(belay);
	return 0;
}
