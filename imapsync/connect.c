/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Names and sockets: all that happens on the network before a worker is locked
 * up.  All servers are connected to at once; each with several addresses in
 * turn, the next one as soon as the one before fails or is slow (RFC 8305).
 */
#include <sys/socket.h>

#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>

#include "imapsync.h"

#define ADDRESSES	16	/* tried at most */
#define STAGGER_MS	250	/* until the next address is tried as well */

#define KEEP_IDLE	60	/* see compat_keepalive() */
#define KEEP_INTERVAL	15
#define KEEP_COUNT	4
#define UNSENT_MAX	(128 * 1024)	/* octets in a socket, not yet sent */

/* One address. */
struct attempt {
	const struct addrinfo	*ai;
	int			 fd;	/* -1: not begun, or failed */
};

/* A side on its way. */
struct race {
	struct connect_end	*end;
	struct attempt		 try[ADDRESSES];
	size_t			 n;	/* addresses */
	size_t			 begun;
	int64_t			 next;	/* when the next one begins */
	int64_t			 limit;	/* when we give up */
	struct buf		 why;	/* what became of them */
};

/* ---- names ---- */

static int
connect_lookup(enum side side, const char *host, int literal, uint16_t port,
    struct addrinfo **res)
{
	struct addrinfo	 hints;
	char		 service[8];
	int		 error, saved;

	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV | (literal ? AI_NUMERICHOST : 0);
	snprintf(service, sizeof(service), "%u", (unsigned int)port);
	await_begin(0, "waiting for the address of %s (DNS)", host);
	await_block(1);
	error = getaddrinfo(host, service, &hints, res);
	saved = errno;
	await_block(0);
	await_end();
	if (error == 0)
		return 0;
	sup_lost("%s: cannot look up %s: %s", side_name[side], host,
	    error == EAI_SYSTEM ? strerror(saved) : gai_strerror(error));
	*res = NULL;
	return -1;
}

static char *
connect_numeric(const struct sockaddr *sa, socklen_t len)
{
	char	 host[NI_MAXHOST];

	if (getnameinfo(sa, len, host, sizeof(host), NULL, 0,
	    NI_NUMERICHOST) != 0)
		return xstrdup("?");
	return xstrdup(host);
}

int
connect_resolve(struct connect_end *end, const struct conf_side *cs)
{
	struct addrinfo	*res;

	memset(end, 0, sizeof(*end));
	end->side = cs;
	end->fd = -1;
	if (cs->type == CONN_TUNNEL)
		return 0;
	if (cs->proxy == PROXY_NONE)
		return connect_lookup(cs->side, cs->host, cs->literal,
		    cs->port, &end->res);
	if (connect_lookup(cs->side, cs->proxy_host, cs->proxy_literal,
	    cs->proxy_port, &end->res) == -1)
		return -1;
	if (cs->proxy == PROXY_SOCKS5H) {
		end->proxy_addr = xstrdup(cs->host);
		return 0;
	}
	if (connect_lookup(cs->side, cs->host, cs->literal, cs->port,
	    &res) == -1)
		return -1;
	end->proxy_addr = connect_numeric(res->ai_addr, res->ai_addrlen);
	freeaddrinfo(res);
	return 0;
}

/* Is it an address of this machine that never leaves it? */
static int
connect_isloopback(const struct sockaddr *sa)
{
	struct sockaddr_in	 in;
	struct sockaddr_in6	 in6;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	if (sa->sa_family != AF_INET6)
		return 0;
	memcpy(&in6, sa, sizeof(in6));
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return in6.sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

/* ---- sockets ---- */

/* Families take turns, the one that the resolver put first begins. */
static void
race_addresses(struct race *r)
{
	const struct addrinfo	*ai[2] = { r->end->res, r->end->res };
	int			 first = r->end->res->ai_family, turn = 0;

	while (r->n < ADDRESSES && (ai[0] != NULL || ai[1] != NULL)) {
		while (ai[turn] != NULL &&
		    (ai[turn]->ai_family == first) != (turn == 0))
			ai[turn] = ai[turn]->ai_next;
		if (ai[turn] != NULL) {
			r->try[r->n].fd = -1;
			r->try[r->n++].ai = ai[turn];
			ai[turn] = ai[turn]->ai_next;
		}
		turn = !turn;
	}
}

static void
race_failed(struct race *r, struct attempt *at, int error)
{
	char	*addr;

	if (at->fd != -1)
		close(at->fd);
	at->fd = -1;
	addr = connect_numeric(at->ai->ai_addr, at->ai->ai_addrlen);
	buf_printf(&r->why, "%s(%s): %s", r->why.len > 0 ? ", " : "", addr,
	    strerror(error));
	free(addr);
	r->next = sup_now();
}

static void
race_won(struct race *r, struct attempt *at)
{
	r->end->fd = at->fd;
	at->fd = -1;
	if (r->end->side->proxy == PROXY_NONE)
		r->end->loopback = connect_isloopback(at->ai->ai_addr);
}

/*
 * What every connection to a server has.  A death of ours must drop what is
 * unsent (design: "Copying"), hence the lingering.
 */
static void
connect_options(int fd, uint32_t timeout)
{
	struct linger	 linger;
	int		 on = 1;

	linger.l_onoff = 1;
	linger.l_linger = 0;
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger,
	    sizeof(linger)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
		fatal("setsockopt");
	compat_keepalive(fd, KEEP_IDLE, KEEP_INTERVAL, KEEP_COUNT, timeout);
	compat_unsent(fd, UNSENT_MAX);
}

static void
race_begin(struct race *r)
{
	struct attempt	*at = &r->try[r->begun++];

	r->next = sup_now() + STAGGER_MS;
	at->fd = socket(at->ai->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (at->fd == -1) {
		race_failed(r, at, errno);
		return;
	}
	connect_options(at->fd, r->end->side->timeout);
	if (connect(at->fd, at->ai->ai_addr, at->ai->ai_addrlen) == 0)
		race_won(r, at);
	else if (errno != EINPROGRESS && errno != EINTR)
		race_failed(r, at, errno);
}

static void
race_ready(struct race *r, struct attempt *at)
{
	int		 error = 0;
	socklen_t	 len = sizeof(error);

	if (getsockopt(at->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0)
		race_failed(r, at, error);
	else
		race_won(r, at);
}

static int
race_pending(const struct race *r)
{
	size_t	 i;
	int	 n = 0;

	for (i = 0; i < r->begun; i++)
		n += r->try[i].fd != -1;
	return n;
}

static void
race_message(const struct race *r, int expired)
{
	const struct conf_side	*cs = r->end->side;
	int			 proxy = cs->proxy != PROXY_NONE;

	result_at(FAULT_CONNECT, cs->side);
	sup_lost("%s: cannot connect to %s%s port %u%s%.*s%s",
	    side_name[cs->side], proxy ? "the proxy " : "",
	    proxy ? cs->proxy_host : cs->host,
	    (unsigned int)(proxy ? cs->proxy_port : cs->port),
	    r->why.len > 0 ? " " : "", (int)r->why.len,
	    r->why.len > 0 ? (const char *)buf_ptr(&r->why) : "",
	    expired ? ": no answer" : "");
}

/*
 * Begin what is due.  Returns -1 after a message if nothing is left to hope
 * for, else 0 and in *wait the milliseconds until something is due.
 */
static int
race_step(struct race *r, int64_t *wait)
{
	int64_t	 now;

	for (;;) {
		if (r->end->fd != -1)
			return 0;
		now = sup_now();
		if (now >= r->limit ||
		    (r->begun == r->n && race_pending(r) == 0)) {
			race_message(r, now >= r->limit);
			return -1;
		}
		if (r->begun == r->n || now < r->next)
			break;
		race_begin(r);
	}
	if (r->begun < r->n && r->next - now < *wait)
		*wait = r->next - now;
	if (r->limit - now < *wait)
		*wait = r->limit - now;
	return 0;
}

/* The sockets of a race that are under way, into pfd[]; how many. */
static nfds_t
race_pollfds(struct race *r, struct pollfd *pfd, struct attempt **at)
{
	nfds_t	 n = 0;
	size_t	 i;

	if (r->end->fd != -1)
		return 0;
	for (i = 0; i < r->begun; i++)
		if (r->try[i].fd != -1) {
			pfd[n].fd = r->try[i].fd;
			pfd[n].events = POLLOUT;
			at[n++] = &r->try[i];
		}
	return n;
}

/* Wait and look for up to two races; 0, 1 when all are won, -1. */
static int
race_turn(struct race *races, size_t n)
{
	struct pollfd	 pfd[SIDES * ADDRESSES];
	struct attempt	*at[SIDES * ADDRESSES];
	nfds_t		 count[SIDES], total = 0, p = 0;
	int64_t		 wait = 60000;
	size_t		 i;

	for (i = 0; i < n; i++)
		if (race_step(&races[i], &wait) == -1)
			return -1;
	for (i = 0; i < n; i++) {
		count[i] = race_pollfds(&races[i], pfd + total, at + total);
		total += count[i];
	}
	if (total == 0)
		return 1;
	if (sup_poll(pfd, total, (int)wait) == -1)
		return sup_stopped() ? -1 : 0;
	for (i = 0; i < n; i++)
		for (; count[i] > 0; count[i]--, p++)
			if (pfd[p].revents != 0 && races[i].end->fd == -1)
				race_ready(&races[i], at[p]);
	return 0;
}

static void
race_end(struct race *r)
{
	size_t	 i;

	for (i = 0; i < r->n; i++)
		if (r->try[i].fd != -1)
			close(r->try[i].fd);
	buf_free(&r->why);
}

/* What is waited for, in the order of the sides. */
static void
race_await(const struct race *races, size_t n)
{
	const struct conf_side	*cs;
	struct buf		 b = BUF_INIT;
	const char		*host;
	size_t			 i;
	int			 proxy;

	for (i = 0; i < n; i++) {
		if (races[i].end->fd != -1)
			continue;
		cs = races[i].end->side;
		proxy = cs->proxy != PROXY_NONE;
		host = proxy ? cs->proxy_host : cs->host;
		buf_printf(&b, "%s%s%s%s%s:%u", b.len > 0 ? " and " : "",
		    proxy ? "the proxy " : "", strchr(host, ':') ? "[" : "",
		    host, strchr(host, ':') ? "]" : "",
		    (unsigned int)(proxy ? cs->proxy_port : cs->port));
	}
	if (b.len > 0)
		await_text("waiting for %.*s to answer (connecting)",
		    (int)b.len, (const char *)buf_ptr(&b));
	buf_free(&b);
}

int
connect_all(struct connect_end *ends, size_t n)
{
	struct race	 races[SIDES];
	size_t		 i, nraces = 0;
	int		 r, tunnel = 0;

	memset(races, 0, sizeof(races));
	for (i = 0; i < n; i++) {
		if (ends[i].res == NULL) {
			tunnel = 1;
			continue;
		}
		races[nraces].end = &ends[i];
		races[nraces].limit = sup_now() +
		    (int64_t)ends[i].side->timeout * 1000;
		race_addresses(&races[nraces++]);
	}
	await_begin(tunnel ? AWAIT_ASKS : 0, "connecting");
	do
		race_await(races, nraces);
	while ((r = race_turn(races, nraces)) == 0);
	await_end();
	for (i = 0; i < nraces; i++)
		race_end(&races[i]);
	return r == 1 ? 0 : -1;
}

void
connect_free(struct connect_end *end)
{
	if (end->res != NULL)
		freeaddrinfo(end->res);
	end->res = NULL;
	free(end->proxy_addr);
	end->proxy_addr = NULL;
	if (end->fd != -1)
		close(end->fd);
	end->fd = -1;
}
