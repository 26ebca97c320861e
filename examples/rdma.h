/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * rdma.h - the least of libibverbs that rdma-sink and rdma-source need: one
 * reliable connection, whose two ends meet over an AF_UNIX socket
 */
#ifndef RDMA_H
#define RDMA_H

#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

struct rdma {
	struct ibv_context *device;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	int gid_index;
	union ibv_gid gid;
	enum ibv_mtu mtu;
};

/* What each end tells the other. addr, rkey and len: where to write. */
struct rdma_end {
	union ibv_gid gid;
	uint32_t qp;
	uint32_t rkey;
	uint64_t addr;
	uint64_t len;
};

/* These print a sentence and exit if something fails. */
void rdma_open(struct rdma *r, const char *device, int gid_index);
void rdma_swap_ends(struct rdma *r, int fd, uint64_t addr, uint64_t len,
		    uint32_t rkey, struct rdma_end *ret_other);
void rdma_connect(struct rdma *r, const struct rdma_end *other);
void rdma_write(struct rdma *r, const struct ibv_mr *from, size_t len,
		const struct rdma_end *to, uint64_t offset);

/* No transfer begins or ends after this. */
void rdma_stop(struct rdma *r);
void rdma_close(struct rdma *r);

void send_all(int fd, const void *p, size_t len);
void recv_all(int fd, void *p, size_t len);
int listen_at(const char *path);
int connect_to(const char *path);

/* A checksum of data that arrives in pieces; begin with 0. */
uint64_t checksum(uint64_t sum, const void *p, size_t len);

#endif
