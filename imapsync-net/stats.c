/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * STATS: turns (the client speaks after the server has spoken) and octets.
 */
#include "net.h"

void
stats_heard(struct net *net)
{
	net->stats.heard = 1;
}

void
stats_turn(struct net *net)
{
	if (net->stats.heard)
		net->stats.turns++;
	net->stats.heard = 0;
}

/*
 * What the client sends to end the handshake is one; in TLS 1.2 the server's
 * own end of it makes what follows another.
 */
void
stats_handshake(struct net *net)
{
	net->stats.turns++;
	net->stats.heard = strcmp(stream_tls_version(net->st), "TLSv1.3") != 0;
}

void
stats_on_stats(const struct msg *msg)
{
	struct m_engine_stats	 m;
	struct m_engine_done	 done;
	struct net		*net = msg->arg;

	memset(&m, 0, sizeof(m));
	m.turns = net->stats.turns;
	stream_stats(net->st, &m.sent, &m.received);
	chan_send(&net->chan, M_ENGINE_STATS, msg->id, &m);
	memset(&done, 0, sizeof(done));
	done.text = "";
	chan_send(&net->chan, M_ENGINE_DONE, msg->id, &done);
}
