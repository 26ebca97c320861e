/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
/*
 * server.h - sockets that clients connect to, and their connections
 *
 * Packets only: what messages mean is the owner's, who is told by callbacks.
 */
#ifndef BL_SERVER_H
#define BL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event_struct.h>

#include "common/packet.h"
#include "common/protocol.h"
#include "daemon/core/map.h"
#include "daemon/sys/keeper.h"
#include "daemon/wire/conn.h"

#define BL_LISTENERS_MAX	4

struct bl_loop;

struct bl_server_limits {
	uint64_t max_clients;
	uint64_t max_clients_per_user;
	gid_t admin_gid;	/* its members may come when it is full; (gid_t)-1: nobody's */
};

struct bl_server_ops {
	size_t own_size;	/* of what the owner keeps with each connection, zero at first */
	void (*limits)(void *arg, struct bl_server_limits *ret);
	/* A well-formed message. The first is BL_HELLO, and no other is. */
	void (*message)(struct bl_conn *c, const struct bl_msg *msg);
	/* There is room again for what nobody waits for. */
	void (*room)(struct bl_conn *c);
	/* It is over: nothing can be sent, what is kept with it is forgotten. */
	void (*dropped)(struct bl_conn *c);
};

struct bl_listener {
	struct event ev;
	int fd;
};

struct bl_server {
	struct bl_loop *loop;
	const struct bl_server_ops *ops;
	void *arg;		/* the owner */

	struct bl_listener listeners[BL_LISTENERS_MAX];
	int n_listeners;
	struct event ev_accept;	/* accepting again after a pause */

	struct bl_conns conns;
	struct bl_conns dead;	/* to be freed at the end of this turn */
	struct event ev_dead;
	unsigned int n_conns;
	uint64_t last_conn;
	struct bl_map conn_ids;	/* (id, 0): connection */
	struct bl_map uids;	/* (uid, 0): number of its connections, lingering ones too */

	struct bl_keeper keeper;	/* has every connection as well */
	struct event ev_keeper;
	unsigned int n_lingering;	/* connections that have ended, and are not gone */

	union bl_packet packet;	/* that is being handled */
};

void bl_server_init(struct bl_server *s, struct bl_loop *loop,
		    const struct bl_server_ops *ops, void *arg);
/* Before the first socket, and before there is a second thread; 0 or -errno */
int bl_server_start(struct bl_server *s);
/* Ends all connections and listeners. */
void bl_server_fini(struct bl_server *s);

/* A listening socket at that path, or -errno */
int bl_server_bind(const char *path);
int bl_server_listen(struct bl_server *s, int fd);	/* takes fd */
/* A connected socket becomes a connection, or is told why not; takes fd. */
struct bl_conn *bl_server_admit(struct bl_server *s, int fd);

#endif
