/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * rdma_rails: the same buffer of 64 MiB in COUNT memory regions of soft-RoCE, each
 * tracked by belay, as a program with so many rails has it. For rdma_lifecycle.sh.
 */
#include <err.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <belay.h>

#define LEN	(64UL << 20)

static struct ibv_pd *open_device(void)
{
	struct ibv_device **devices = ibv_get_device_list(NULL);
	struct ibv_context *ctx = devices && devices[0] ? ibv_open_device(devices[0]) : NULL;
	struct ibv_pd *pd = ctx ? ibv_alloc_pd(ctx) : NULL;

	if (!pd)
		errx(2, "no RDMA device");
	return pd;
}

static void one_more(struct belay *b, struct ibv_pd *pd, void *buf)
{
	struct belay_refusal why = { .size = sizeof(why) };
	struct belay_region *r;

	if (belay_register(b, buf, LEN, BELAY_TRACK | BELAY_WRITE, NULL, &r, &why))
		errx(3, "belay: %s", why.text);
	if (!ibv_reg_mr(pd, buf, LEN, IBV_ACCESS_LOCAL_WRITE)) {
		if (errno != ENOMEM || belay_explain_memlock(r, &why))
			err(4, "ibv_reg_mr");
		errx(5, "%s", why.text);
	}
	if (belay_commit(r, &why))
		errx(6, "commit: %s", why.text);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 1, i;
	struct belay_refusal why = { .size = sizeof(why) };
	struct ibv_pd *pd = open_device();
	struct belay *b;
	void *buf = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buf == MAP_FAILED || belay_open(&b, NULL, &why))
		errx(1, "open: %s", why.text);
	for (i = 0; i < count; i++)
		one_more(b, pd, buf);
	printf("%d rails\n", count);
	fflush(stdout);
	if (argc > 2)
		pause();
	return 0;
}
