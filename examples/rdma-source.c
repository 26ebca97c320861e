// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
/*
 * Writes into the memory of rdma-sink by RDMA WRITE, in pieces, and then tells
 * it the checksum of what it wrote. Its own buffer, too, lies under a grant:
 * a device only reads from it, so it is registered without BELAY_WRITE.
 *
 *	rdma-source [-d DEVICE] [-g GID-INDEX] [-s SOCKET]
 */
#include <belay.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "rdma.h"

#define PIECE	((size_t)1 << 20)

/* Another piece each time, and another each run. */
static void fill(uint64_t *p, uint64_t seed)
{
	size_t i;

	for (i = 0; i < PIECE / sizeof(*p); i++)
		p[i] = seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
}

int main(int argc, char **argv)
{
	const char *device = NULL, *path = "/tmp/rdma-sink.sock";
	uint64_t offset, sum = 0, seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	int c, fd, gid_index = 1;
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *region;
	struct rdma_end other;
	struct belay *belay;
	struct ibv_mr *mr;
	struct rdma rdma;
	uint64_t *buf;

	while ((c = getopt(argc, argv, "d:g:s:")) != -1)
		switch (c) {
		case 'd':
			device = optarg;
			break;
		case 'g':
			gid_index = atoi(optarg);
			break;
		case 's':
			path = optarg;
			break;
		default:
			return 2;
		}
	buf = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		err(1, "mmap");
	if (belay_open(&belay, NULL, &why) ||
	    belay_register(belay, buf, PIECE, BELAY_TRACK, NULL, &region, &why))
		errx(1, "%s", why.text);
	rdma_open(&rdma, device, gid_index);
	mr = ibv_reg_mr(rdma.pd, buf, PIECE, 0);
	if (!mr)
		err(1, "ibv_reg_mr");
	if (belay_commit(region, NULL))
		errx(1, "the buffer changed while it was registered");

	fd = connect_to(path);
	rdma_swap_ends(&rdma, fd, 0, 0, 0, &other);
	rdma_connect(&rdma, &other);
	/* Nothing is written before the other end is ready as well. */
	recv_all(fd, &(char){ 0 }, 1);
	for (offset = 0; offset + PIECE <= other.len; offset += PIECE) {
		fill(buf, seed += offset + 1);
		sum = checksum(sum, buf, PIECE);
		rdma_write(&rdma, mr, PIECE, &other, offset);
	}
	send_all(fd, &sum, sizeof(sum));
	printf("source: wrote %llu MiB, checksum %016llx\n",
	       (unsigned long long)(offset >> 20), (unsigned long long)sum);

	rdma_stop(&rdma);
	belay_unregister(region);
	ibv_dereg_mr(mr);
	rdma_close(&rdma);
	belay_close(belay);
	return 0;
}
