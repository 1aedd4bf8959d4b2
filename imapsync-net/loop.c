/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The loop: one poll(2) over the engine, the lifeline, the server and the
 * bridge, the limits of time, and what moves octets.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "net.h"

#define REQUESTS_MAX	(4 * 1024 * 1024) /* octets of requests in memory */
#define NUDGE_MIN_MS	300	/* see nudge_due() */
#define NUDGE_MAX_MS	5000
#define CORK_MS		200	/* see corked() */
#define CORK_OCTETS	(64 * 1024)
#define BROKEN_MS	2000	/* for last words after a write has failed */
#define LOGOUT_MS	3000	/* for LOGOUT to get out */
#define BYE_MS		2000	/* to close the connection after BYE */
#define BRIDGE_MS	1000	/* for whole messages to reach the other side */

/* Nobody reads as fast as the server sends. */
static int
throttled(const struct net *net)
{
	return chan_pending((struct chan *)&net->chan) >= QUEUE_HIGH ||
	    net->bridge.out.len >= QUEUE_HIGH;
}

static int
answer_due(struct net *net)
{
	if (watch_idle(net))
		return 0;
	return net->phase == P_SOCKS || net->phase == P_TLS ||
	    net->phase == P_GREETING || net->cmdq.hold != NULL ||
	    cmdq_due(net) || net->out.len > 0 || stream_unsent(net->st) > 0;
}

/*
 * Nothing more comes from the server.  What has come whole is not lost with it:
 * the other side can still append it.
 */
static __dead void
lost(struct net *net, const char *why)
{
	struct pollfd	 pfd = { net->bridge.fd, POLLOUT, 0 };
	uint64_t	 end = net_now() + BRIDGE_MS;

	if (parse_between(&net->session.parser))
		mailbox_whole(net);
	for (;;) {
		bridge_write(net);
		if (net->bridge.out.len == 0 || net_now() >= end ||
		    poll(&pfd, 1, (int)(end - net_now())) <= 0)
			break;
	}
	lost_server(net, why);
}

static void
server_read(struct net *net)
{
	ssize_t	 n;

	n = stream_read(net->st, &net->in, reads_ask(&net->loop.reads,
	    net->bridge.out.len, QUEUE_HIGH + READ_MIN));
	if (n == STREAM_EOF)
		lost(net, net->phase == P_GREETING ? "the connection was "
		    "closed before a greeting" : "the connection was closed");
	if (n == STREAM_ERROR)
		lost(net, stream_error(net->st));
	if (n > 0) {
		stats_heard(net);
		net->loop.heard = net_now();
		net->loop.reads.came = n;
		net->loop.nudge_ms = NUDGE_MIN_MS;
		session_input(net);
	}
}

/*
 * While more messages are due from the other worker, what is to be sent waits
 * for them, up to CORK_OCTETS and CORK_MS: the commands for many mailboxes then
 * go in few packets, which the server answers in few turns.
 */
static int
corked(struct net *net)
{
	if (net->out.len == 0 || net->out.len >= CORK_OCTETS ||
	    stream_unsent(net->st) > 0 || !recv_expects(net)) {
		net->loop.corked = 0;
		return 0;
	}
	if (net->loop.corked == 0)
		net->loop.corked = net_now();
	return net_now() - net->loop.corked < CORK_MS;
}

static void
server_write(struct net *net)
{
	struct loop	*lo = &net->loop;
	size_t		 before = net->out.len + stream_unsent(net->st);

	if (before == 0 || lo->broken || net->phase == P_TLS || corked(net))
		return;
	/* Within a body a compressed block does not end. */
	if (stream_write(net->st, &net->out, !recv_inbody(net)) ==
	    STREAM_ERROR) {
		/* What the server has said before may still be read. */
		lo->broken = 1;
		net->alive = net_now();
		if (net->bye == NULL)
			log_debug("%s: %s", net->setup.host,
			    stream_error(net->st));
		return;
	}
	if (net->out.len + stream_unsent(net->st) < before) {
		stats_turn(net);
		net_heard(net);
		lo->heard = net->alive;
	}
	if (net->wipe && net->out.len == 0) {
		buf_wipe(&net->out);
		net->wipe = 0;
	}
}

static void
server_io(struct net *net)
{
	if (net->st == NULL)
		return;
	if (net->phase == P_TLS) {
		session_tls(net);
		if (net->phase == P_TLS)
			return;
	}
	if (!throttled(net))
		server_read(net);
}

/* What the worker takes, and when. */
const struct proto_handler loop_handlers[] = {
	{ M_NET_SETUP,	 CH_SETUP,		setup_on_setup },
	{ M_NET_FD,	 CH_CONNECT,		setup_on_fd },
	{ M_NET_CONNECT, CH_CONNECT,		setup_on_connect },
	{ M_NET_PROBE,	 CH_LOGIN,		session_on_probe },
	{ M_NET_PATTERN, CH_LOGIN | CH_ASK,	list_on_pattern },
	{ M_NET_KNOWN,	 CH_LOGIN | CH_ASK,	list_on_known },
	{ M_NET_LIST,	 CH_LOGIN | CH_ASK,	list_on_list },
	{ M_NET_LOGOUT,	 CH_LOGIN | CH_ASK | CH_WATCH, session_on_logout },
	{ M_NET_STATUS,	 CH_ASK,		list_on_status },
	{ M_NET_OPEN,	 CH_ASK,		ops_on_open },
	{ M_NET_META,	 CH_ASK,		ops_on_meta },
	{ M_NET_SEARCH,	 CH_ASK,		ops_on_search },
	{ M_NET_SEND,	 CH_ASK,		send_on_send },
	{ M_NET_EXPECT,	 CH_ASK,		recv_on_expect },
	{ M_NET_RECV,	 CH_ASK,		recv_on_recv },
	{ M_NET_STORE,	 CH_ASK,		ops_on_store },
	{ M_NET_EXPUNGE, CH_ASK,		expunge_on_expunge },
	{ M_NET_MOVE, CH_ASK,			ops_on_move },
	{ M_NET_NAME,	 CH_ASK,		ops_on_name },
	{ M_NET_WATCH,	 CH_READY,		watch_on_watch },
	{ M_NET_UNWATCH, CH_ASK | CH_WATCH,	watch_on_unwatch },
	{ M_NET_STATS,	 CH_LOGIN | CH_ASK | CH_WATCH, stats_on_stats },
	{ M_NONE,	 0,			NULL }
};

static void
channel_read(struct net *net)
{
	int	 n = chan_read(&net->chan);

	/* From the first of them on an answer is owed. */
	if (TAILQ_EMPTY(&net->queue.reqs))
		net->loop.told = net_now();
	if (n == -1 || chan_dispatch(&net->chan, loop_handlers, net) == -1)
		fatalx("a bad message from imapsync: %s", net->chan.error);
	/*
	 * Without LOGOUT: the session is over, nothing more may be sent.  It is no
	 * fault of this server's: the words of its tunnel explain nothing.
	 */
	if (n == 0 && net->chan.state != CH_LOGOUT)
		_exit(EX_SYNC_CUT);
}

/*
 * Cyrus (3.6.1, measured) waits for the socket although it holds commands that
 * it has read and not yet inflated, when its buffer ends just behind one.  Any
 * octet wakes it: while an answer is due and nothing comes, it gets some.
 */
static int
nudge_due(struct net *net, int *left)
{
	struct loop	*lo = &net->loop;
	uint64_t	 last, now = net_now();

	if (net->compress != COMPRESS_ON || lo->broken || throttled(net) ||
	    !cmdq_due(net) || net->out.len > 0 || stream_unsent(net->st) > 0)
		return 0;
	if (lo->nudge_ms == 0)
		lo->nudge_ms = NUDGE_MIN_MS;
	last = lo->heard > lo->nudged ? lo->heard : lo->nudged;
	*left = now - last >= lo->nudge_ms ? 0 :
	    (int)(last + lo->nudge_ms - now);
	return 1;
}

static void
nudge(struct net *net)
{
	int	 left;

	if (!nudge_due(net, &left) || left > 0 || !stream_nudge(net->st))
		return;
	/* That the server is silent is still noticed. */
	(void)stream_write(net->st, &net->out, 1);
	net->loop.nudged = net_now();
	if (net->loop.nudge_ms < NUDGE_MAX_MS)
		net->loop.nudge_ms *= 2;
}

/*
 * The engine is owed an answer: when it must have heard from us, at the latest;
 * UINT64_MAX if nothing is owed, or all that was is under way to it.
 */
static uint64_t
alive_end(const struct net *net)
{
	if (net->st == NULL || TAILQ_EMPTY(&net->queue.reqs) ||
	    watch_quiet(net) || chan_pending((struct chan *)&net->chan) > 0)
		return UINT64_MAX;
	return net->loop.told + alive_ms((uint64_t)net->setup.timeout);
}

static void
say_alive(struct net *net)
{
	struct m_engine_alive	 m;
	uint64_t		 ms, now = net_now();

	if (chan_pending(&net->chan) > 0)
		net->loop.told = now;
	if (alive_end(net) > now)
		return;
	ms = alive_ms((uint64_t)net->setup.timeout);
	m.bridge = ALIVE_SERVER;
	if (recv_expects(net) && net->out.len == 0 &&
	    bridge_wants(net) && now - net->bridge.read >= ms)
		m.bridge = ALIVE_EMPTY;
	else if (net->bridge.out.len > 0 && now - net->bridge.written >= ms)
		m.bridge = ALIVE_FULL;
	chan_send(&net->chan, M_ENGINE_ALIVE, 0, &m);
	net->loop.told = now;
}

/* How long the server may stay silent now: 0 if nothing is due. */
static uint64_t
patience(struct net *net)
{
	if (net->loop.broken)
		return BROKEN_MS;
	if (net->phase == P_LOGOUT)
		return LOGOUT_MS;
	if (throttled(net) || !answer_due(net))
		return 0;
	return (uint64_t)net->setup.timeout * 1000;
}

/*
 * While nothing is due from the server no time of its passes.  While it is not
 * read, since who takes what it says has no room, it stands still: a server that
 * has more to say than is of use must not begin anew again and again.
 */
static void
not_waiting(struct net *net, uint64_t now)
{
	uint64_t	 since = net->loop.looked;

	if (patience(net) == 0) {
		net->alive += now - since;
		if (net->alive > now || !answer_due(net))
			net->alive = now;
	}
	net->loop.looked = now;
}

/* Until when the server is waited for; UINT64_MAX: nothing is due. */
static uint64_t
wait_end(struct net *net)
{
	uint64_t	 end = UINT64_MAX, most = patience(net);

	if (most != 0)
		end = net->alive + most;
	/* Whatever it goes on to say. */
	if (net->bye != NULL && net->byetime + BYE_MS < end)
		end = net->byetime + BYE_MS;
	return end;
}

/* Milliseconds to wait at most. */
static int
loop_timeout(struct net *net, int reading)
{
	uint64_t	 now = net_now(), end;
	int		 ms, left;

	if (reading && stream_readable(net->st))
		return 0;
	ms = recv_timeout(net);
	left = watch_timeout(net);
	if (left != -1 && (ms == -1 || left < ms))
		ms = left;
	if (corked(net)) {
		left = CORK_MS - (int)(net_now() - net->loop.corked);
		if (ms == -1 || left < ms)
			ms = left < 0 ? 0 : left;
	}
	if (nudge_due(net, &left) && (ms == -1 || left < ms))
		ms = left;
	not_waiting(net, now);
	end = wait_end(net);
	if (alive_end(net) < end)
		end = alive_end(net);
	if (end == UINT64_MAX)
		return ms;
	left = end <= now ? 0 : end - now > INT32_MAX ? INT32_MAX :
	    (int)(end - now);
	return ms == -1 || left < ms ? left : ms;
}

static void
check_time(struct net *net)
{
	char	 why[64];

	if (net->st == NULL || net_now() < wait_end(net))
		return;
	if (net->loop.broken)
		lost(net, stream_error(net->st));
	snprintf(why, sizeof(why), "no %s for %u seconds",
	    net->phase == P_TLS ? "TLS handshake" :
	    net->phase == P_GREETING ? "greeting" : "answer",
	    net->setup.timeout);
	lost(net, why);
}

enum { PFD_CHAN, PFD_LIFE, PFD_SERVER, PFD_BRIDGE, PFD_MAX };

static void
fill_pfds(struct net *net, struct pollfd *pfd, int reading)
{
	int	 writing;

	memset(pfd, 0, sizeof(*pfd) * PFD_MAX);
	pfd[PFD_CHAN].fd = net->chan.ib.fd;
	if (net->chan.state != CH_LOGOUT && net->queue.cost < REQUESTS_MAX)
		pfd[PFD_CHAN].events |= POLLIN;
	if (chan_pending(&net->chan) > 0)
		pfd[PFD_CHAN].events |= POLLOUT;
	pfd[PFD_LIFE].fd = FD_LIFELINE;
	pfd[PFD_LIFE].events = POLLIN;
	pfd[PFD_SERVER].fd = pfd[PFD_BRIDGE].fd = -1;
	if (net->st != NULL) {
		writing = !net->loop.broken && !corked(net) &&
		    (net->out.len > 0 || stream_unsent(net->st) > 0);
		pfd[PFD_SERVER].events = stream_events(net->st, reading,
		    writing);
		if (pfd[PFD_SERVER].events != 0)
			pfd[PFD_SERVER].fd = stream_fd(net->st);
	}
	if (net->bridge.fd == -1)
		return;
	if (bridge_wants(net))
		pfd[PFD_BRIDGE].events |= POLLIN;
	if (!net->bridge.broken && net->bridge.out.len > 0)
		pfd[PFD_BRIDGE].events |= POLLOUT;
	if (pfd[PFD_BRIDGE].events != 0)
		pfd[PFD_BRIDGE].fd = net->bridge.fd;
}

/* All that can go on, goes on; nothing here waits. */
static void
work(struct net *net)
{
	int	 full;

	if (net->st == NULL)
		return;
	/* What waited for room in the queue waits for nothing else. */
	session_tick(net);
	do {
		recv_input(net);
		watch_tick(net);
		req_pump(net);
		cmdq_flush(net);
		full = net->out.len >= QUEUE_HIGH;
		server_write(net);
	} while (full && net->out.len < QUEUE_HIGH);
	nudge(net);
	bridge_write(net);
	if (net->phase == P_LOGOUT && TAILQ_EMPTY(&net->cmdq.tx) &&
	    net->out.len == 0 && stream_unsent(net->st) == 0)
		net_end(net);
}

/* What poll(2) has found. */
static void
take(struct net *net, const struct pollfd *pfd, int reading)
{
	if (pfd[PFD_LIFE].revents != 0)
		_exit(EX_SYNC_CUT);
	if (pfd[PFD_CHAN].revents & (POLLERR | POLLNVAL) ||
	    (pfd[PFD_CHAN].revents & (POLLIN | POLLHUP)) == POLLHUP)
		_exit(EX_SYNC_CUT);
	if (pfd[PFD_CHAN].revents & POLLIN)
		channel_read(net);
	if (pfd[PFD_BRIDGE].revents & (POLLIN | POLLHUP | POLLERR))
		bridge_read(net);
	if (pfd[PFD_SERVER].revents != 0 ||
	    (reading && stream_readable(net->st)))
		server_io(net);
	check_time(net);
}

int
loop_turn(struct net *net, int most)
{
	struct pollfd	 pfd[PFD_MAX];
	int		 n, reading, ms;

	work(net);
	say_alive(net);
	if (chan_write(&net->chan) == -1)
		_exit(EX_SYNC_CUT);
	reading = net->st != NULL && !throttled(net);
	ms = net->st == NULL ? -1 : loop_timeout(net, reading);
	if (most != -1 && (ms == -1 || most < ms))
		ms = most;
	fill_pfds(net, pfd, reading);
	if ((n = poll(pfd, PFD_MAX, ms)) == -1) {
		if (errno != EINTR)
			fatal("poll");
		return 0;
	}
	take(net, pfd, reading);
	return n;
}

void
loop_run(struct net *net)
{
	for (;;)
		loop_turn(net, -1);
}
