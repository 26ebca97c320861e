// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include <sys/mman.h>
#include <sys/uio.h>

#include "tests/kernel/lib/bk_driver.h"
#include "tests/lib/tap.h"

#define DEVICE	"rxe_kt"

const char *bk_driver_name(enum bk_driver_kind kind)
{
	return kind == BK_VERBS ? "verbs" : "io_uring";
}

static struct ibv_context *open_verbs(void)
{
	struct ibv_device **list;
	struct ibv_context *context;
	int i, n;

	if (access("/sys/class/infiniband/" DEVICE, F_OK) &&
	    system("modprobe rdma_rxe && modprobe dummy && "
		   "ip link add kt0 type dummy && ip addr add 10.9.9.1/24 dev kt0 && "
		   "ip link set kt0 up && rdma link add " DEVICE " type rxe netdev kt0"))
		FAIL("no soft-RoCE");
	CHECK_SOON(!access("/sys/class/infiniband/" DEVICE, F_OK), 5);
	list = ibv_get_device_list(&n);
	CHECK(list && n);
	for (i = 0; i < n && strcmp(ibv_get_device_name(list[i]), DEVICE); i++)
		;
	CHECK_LT(i, n);
	context = ibv_open_device(list[i]);
	CHECK(context);
	ibv_free_device_list(list);
	return context;
}

void bk_driver_open(struct bk_driver *d, enum bk_driver_kind kind)
{
	memset(d, 0, sizeof(*d));
	d->kind = kind;
	if (kind == BK_IO_URING) {
		CHECK_OK(io_uring_queue_init(4, &d->ring, 0));
		return;
	}
	d->context = open_verbs();
	d->pd = ibv_alloc_pd(d->context);
	CHECK(d->pd);
}

void bk_driver_close(struct bk_driver *d)
{
	if (d->kind == BK_IO_URING) {
		io_uring_queue_exit(&d->ring);
		return;
	}
	CHECK_EQ(ibv_dealloc_pd(d->pd), 0);
	CHECK_EQ(ibv_close_device(d->context), 0);
}

static int pin(struct bk_driver *d, void *addr, size_t len)
{
	const struct iovec iov = { addr, len };

	if (d->kind == BK_IO_URING)
		return io_uring_register_buffers(&d->ring, &iov, 1);
	d->mr = ibv_reg_mr(d->pd, addr, len, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
	return d->mr ? 0 : -errno;
}

int bk_driver_pin(struct bk_driver *d, void *addr, size_t len)
{
	int64_t before = bk_pins();
	int ret = pin(d, addr, len);

	if (ret)
		return ret;
	d->addr = addr;
	d->len = len;
	d->pins = bk_pins() - before;
	CHECK_GE(d->pins, 1);
	return 0;
}

void bk_driver_unpin(struct bk_driver *d)
{
	int64_t before = bk_pins();

	if (d->kind == BK_IO_URING)
		CHECK_OK(io_uring_unregister_buffers(&d->ring));
	else
		CHECK_EQ(ibv_dereg_mr(d->mr), 0);
	CHECK_SOON(bk_pins() <= before - d->pins, 5);
}

/* Reading a file into the registered buffer goes by its pages, not by the mapping. */
void bk_driver_fill(struct bk_driver *d, int byte)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	size_t done = 0;
	char *source;
	int fd;

	CHECK_EQ(d->kind, BK_IO_URING);
	fd = CHECK_SYS(memfd_create("source", MFD_CLOEXEC));
	CHECK_SYS(ftruncate(fd, d->len));
	source = CHECK_SYS(mmap(NULL, d->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	memset(source, byte, d->len);
	while (done < d->len) {
		sqe = io_uring_get_sqe(&d->ring);
		CHECK(sqe);
		io_uring_prep_read_fixed(sqe, fd, d->addr + done, d->len - done, done, 0);
		CHECK_EQ(io_uring_submit(&d->ring), 1);
		CHECK_OK(io_uring_wait_cqe(&d->ring, &cqe));
		CHECK_GT(cqe->res, 0);
		done += cqe->res;
		io_uring_cqe_seen(&d->ring, cqe);
	}
	munmap(source, d->len);
	close(fd);
}
