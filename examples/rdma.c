// SPDX-License-Identifier: MIT
// SPDX-FileCopyrightText: the belay authors
#include "rdma.h"

#include <err.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORT	1
#define PSN	1

static struct ibv_context *open_device(const char *name)
{
	struct ibv_context *context = NULL;
	struct ibv_device **list;
	int i, n = 0;

	list = ibv_get_device_list(&n);
	for (i = 0; i < n && !context; i++)
		if (!name || !strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	if (!context)
		errx(1, "no RDMA device%s%s (rdma link add rxe0 type rxe netdev ...)",
		     name ? " called " : "", name ? name : "");
	return context;
}

void rdma_open(struct rdma *r, const char *device, int gid_index)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 16, .max_recv_wr = 1,
			 .max_send_sge = 1, .max_recv_sge = 1 },
	};
	struct ibv_port_attr port;

	memset(r, 0, sizeof(*r));
	r->gid_index = gid_index;
	r->device = open_device(device);
	if (ibv_query_port(r->device, PORT, &port))
		err(1, "ibv_query_port");
	r->mtu = port.active_mtu;
	if (ibv_query_gid(r->device, PORT, gid_index, &r->gid))
		err(1, "ibv_query_gid %d", gid_index);
	r->pd = ibv_alloc_pd(r->device);
	r->cq = r->pd ? ibv_create_cq(r->device, 32, NULL, NULL, 0) : NULL;
	if (!r->cq)
		err(1, "ibv_alloc_pd or ibv_create_cq");
	init.send_cq = init.recv_cq = r->cq;
	r->qp = ibv_create_qp(r->pd, &init);
	if (!r->qp)
		err(1, "ibv_create_qp");
}

void rdma_swap_ends(struct rdma *r, int fd, uint64_t addr, uint64_t len,
		    uint32_t rkey, struct rdma_end *ret_other)
{
	struct rdma_end mine = {
		.gid = r->gid, .qp = r->qp->qp_num,
		.addr = addr, .len = len, .rkey = rkey,
	};

	send_all(fd, &mine, sizeof(mine));
	recv_all(fd, ret_other, sizeof(*ret_other));
}

static void modify(struct rdma *r, struct ibv_qp_attr *attr, int mask)
{
	int e = ibv_modify_qp(r->qp, attr, mask | IBV_QP_STATE);

	if (e)
		errx(1, "ibv_modify_qp to state %d: %s", attr->qp_state, strerror(e));
}

void rdma_connect(struct rdma *r, const struct rdma_end *other)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT, .port_num = PORT,
		.qp_access_flags = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
	};
	struct ibv_qp_attr receive = {
		.qp_state = IBV_QPS_RTR, .path_mtu = r->mtu,
		.dest_qp_num = other->qp, .rq_psn = PSN, .max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1, .port_num = PORT,
			.grh = { .dgid = other->gid, .hop_limit = 1,
				 .sgid_index = (uint8_t)r->gid_index },
		},
	};
	struct ibv_qp_attr send = {
		.qp_state = IBV_QPS_RTS, .sq_psn = PSN, .timeout = 18,
		.retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1,
	};

	modify(r, &init, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	modify(r, &receive, IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
	       IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	modify(r, &send, IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
	       IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

/* Writes len bytes from the start of an MR, and waits until they are there. */
void rdma_write(struct rdma *r, const struct ibv_mr *from, size_t len,
		const struct rdma_end *to, uint64_t offset)
{
	struct ibv_sge piece = {
		.addr = (uintptr_t)from->addr, .length = (uint32_t)len,
		.lkey = from->lkey,
	};
	struct ibv_send_wr work = {
		.sg_list = &piece, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = { .remote_addr = to->addr + offset, .rkey = to->rkey },
	};
	struct timespec nap = { .tv_nsec = 100000 };
	struct ibv_send_wr *bad;
	struct ibv_wc done;
	int n;

	if (ibv_post_send(r->qp, &work, &bad))
		err(1, "ibv_post_send");
	while (!(n = ibv_poll_cq(r->cq, 1, &done)))
		nanosleep(&nap, NULL);
	if (n < 0 || done.status != IBV_WC_SUCCESS)
		errx(1, "RDMA WRITE at %llu: %s", (unsigned long long)offset,
		     n < 0 ? "ibv_poll_cq failed" : ibv_wc_status_str(done.status));
}

void rdma_stop(struct rdma *r)
{
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };

	modify(r, &error, 0);
}

void rdma_close(struct rdma *r)
{
	ibv_destroy_qp(r->qp);
	ibv_destroy_cq(r->cq);
	ibv_dealloc_pd(r->pd);
	ibv_close_device(r->device);
}

void send_all(int fd, const void *p, size_t len)
{
	if (send(fd, p, len, MSG_NOSIGNAL) != (ssize_t)len)
		err(1, "the other end is gone");
}

void recv_all(int fd, void *p, size_t len)
{
	ssize_t n = recv(fd, p, len, MSG_WAITALL);

	if (n != (ssize_t)len)
		errx(1, "the other end is gone");
}

static int unix_socket(const char *path, struct sockaddr_un *ret)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(ret->sun_path))
		err(1, "%s", path);
	ret->sun_family = AF_UNIX;
	strcpy(ret->sun_path, path);
	return fd;
}

int listen_at(const char *path)
{
	struct sockaddr_un addr = { 0 };
	int fd = unix_socket(path, &addr);

	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
		err(1, "%s", path);
	return fd;
}

int connect_to(const char *path)
{
	struct sockaddr_un addr = { 0 };
	int fd = unix_socket(path, &addr);

	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s", path);
	return fd;
}

/* Depends on every word and on its place. */
uint64_t checksum(uint64_t sum, const void *p, size_t len)
{
	const uint64_t *word = p, *end = word + len / sizeof(*word);

	while (word < end) {
		sum = (sum ^ *word++) * UINT64_C(0x9e3779b97f4a7c15) + 1;
		sum ^= sum >> 29;
	}
	return sum;
}
