/* SPDX-License-Identifier: MIT */
/* SPDX-FileCopyrightText: the belay authors */
#include <errno.h>
#include <string.h>

#include "daemon/act/session.h"
#include "daemon/state.h"

void bl_session_detach(struct bl_conn *c)
{
	struct bl_client *k = bl_client_of(c);
	struct bl_state *st = bl_state_of(c);
	struct bl_grant_record *g = bl_ledger_grant(&st->ledger, k->grant);

	if (!k->session)
		return;
	bl_map_remove(&st->sessions, k->session, 0);
	if (g)
		g->connected--;
	k->session = 0;
}

int bl_session_attach(struct bl_conn *c, uint64_t session, uint64_t grant)
{
	struct bl_client *k = bl_client_of(c);
	struct bl_state *st = bl_state_of(c);
	struct bl_conn *other = bl_map_get(&st->sessions, session, 0);
	struct bl_grant_record *g;

	if (other && other != c)
		bl_conn_drop(other, "its session %llu has another connection now",
			     (unsigned long long)session);
	if (bl_map_put(&st->sessions, session, 0, c))
		return -ENOMEM;
	k->session = session;
	k->grant = grant;
	g = bl_ledger_grant(&st->ledger, grant);
	if (g) {
		g->connected++;
		memcpy(g->label, c->label, sizeof(g->label));
	}
	return 0;
}
