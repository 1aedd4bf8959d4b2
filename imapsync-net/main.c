/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker: it speaks to one mail server, and to nothing else.  What
 * it is and may do: design.md in the source, imapsync-net(8).
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "net.h"
#include "sandbox.h"

#define READ_MAX	(64 * 1024)	/* octets of one read */
#define REQUESTS_MAX	(4 * 1024 * 1024) /* octets of requests in memory */
#define FLUSH_MS	1000
#define NUDGE_MIN_MS	300	/* see nudge_due() */
#define NUDGE_MAX_MS	5000
#define CORK_MS		200	/* see corked() */
#define CORK_OCTETS	(64 * 1024)
#define BROKEN_MS	2000	/* for last words after a write has failed */
#define LOGOUT_MS	3000	/* for LOGOUT to get out */

static struct net	 worker;

uint64_t
net_now(void)
{
	struct timespec	 ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Whoever prints it makes it fit for a terminal; here it becomes one line. */
char *
net_words(char *dst, size_t size, const char *src)
{
	size_t	 i;

	strlcpy(dst, src, size);
	for (i = 0; dst[i] != '\0'; i++)
		if ((unsigned char)dst[i] < ' ' || dst[i] == 0x7f)
			dst[i] = '?';
	return dst;
}

/* ---- messages ---- */

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	struct m_engine_fatal	 fatal_msg;
	struct m_engine_log	 msg;

	if (status != -1) {
		fatal_msg.status = status;
		fatal_msg.text = text;
		chan_send(&worker.chan, M_ENGINE_FATAL, 0, &fatal_msg);
		chan_flush(&worker.chan, FLUSH_MS);
		return;
	}
	msg.level = level;
	msg.mailbox = mailbox != NULL ? mailbox : "";
	msg.text = text;
	chan_send(&worker.chan, M_ENGINE_LOG, 0, &msg);
}

void
net_lost(struct net *net, const char *why)
{
	if (net->phase == P_LOGOUT)
		net_end(net);
	if (net->bye != NULL)
		fatal_ex(EX_SYNC_TEMP, "%s ended the session: %s",
		    net->setup.host, net->bye);
	fatal_ex(EX_SYNC_TEMP, "lost the %s %s: %s", net->phase == P_SOCKS ?
	    "proxy of" : "server", net->setup.host, why);
}

void
net_end(struct net *net)
{
	if (net->st != NULL)
		stream_close(net->st);
	chan_flush(&net->chan, FLUSH_MS);
	_exit(0);
}

/* ---- the supervisor's messages ---- */

void
main_setup(const struct msg *msg)
{
	const struct m_net_setup	*m = msg->rec;
	struct net			*net = msg->arg;
	struct m_net_setup		*own = &net->setup;
	const char			**s[] = { &own->host, &own->auth,
					    &own->username, &own->password,
					    &own->ssl_hostname,
					    &own->ssl_ciphers,
					    &own->ssl_ciphersuites,
					    &own->ssl_fingerprint,
					    &own->proxy_addr, &own->proxy_user,
					    &own->proxy_password };
	unsigned			 i;

	if (m->version != PROTO_VERSION)
		fatalx("imapsync-net and imapsync are of different versions: "
		    "install both anew");
	*own = *m;
	for (i = 0; i < nitems(s); i++)
		*s[i] = xstrdup(*s[i]);
	log_init(sink, net->setup.debug > 0);
	net->chan.state = CH_CONNECT;
}

void
main_fd(const struct msg *msg)
{
	const struct m_net_fd	*m = msg->rec;
	struct net		*net = msg->arg;

	if (net->fds[m->what] != -1)
		fatalx("a descriptor came twice");
	net->fds[m->what] = msg->fd;
}

static void
bridge_open(struct net *net)
{
	int	 fd = net->fds[NETFD_BRIDGE], flags;

	net->bridge = fd;
	if (fd == -1) {
		net->beof = net->bbroken = 1;
		return;
	}
	if ((flags = fcntl(fd, F_GETFL)) == -1 ||
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1)
		fatal("bridge");
}

void
main_connect(const struct msg *msg)
{
	struct net	*net = msg->arg;
	int		 i;

	bridge_open(net);
	net->st = stream_new(msg->fd);
	if (net->setup.type == CONN_IMAPS || (net->setup.type == CONN_IMAP &&
	    net->setup.starttls)) {
		if (stream_tls_prepare(net->st, &net->setup,
		    net->fds[NETFD_CA], net->fds[NETFD_CERT],
		    net->fds[NETFD_KEY]) == -1)
			fatalx("%s: %s", net->setup.host,
			    stream_error(net->st));
	} else {
		for (i = NETFD_CA; i <= NETFD_KEY; i++)
			if (net->fds[i] != -1)
				close(net->fds[i]);
	}
	tzset();
	sandbox_net();
	chan_nofds(&net->chan);
	setproctitle("%s %s", side_name[net->setup.side], net->setup.host);
	log_debug("%s: %s", side_name[net->setup.side], sandbox_describe());
	net->chan.state = CH_LOGIN;
	session_start(net);
}

/* ---- the loop ---- */

/* Nobody reads as fast as the server sends. */
static int
throttled(const struct net *net)
{
	return chan_pending((struct chan *)&net->chan) >= QUEUE_HIGH ||
	    net->bout.len >= QUEUE_HIGH;
}

static int
answer_due(struct net *net)
{
	if (watch_idle(net))
		return 0;
	return net->phase == P_SOCKS || net->phase == P_TLS ||
	    net->phase == P_GREETING || net->hold != NULL || cmdq_due(net) ||
	    net->out.len > 0 || stream_unsent(net->st) > 0;
}

static void
server_read(struct net *net)
{
	ssize_t	 n;

	n = stream_read(net->st, &net->in, READ_MAX);
	if (n == STREAM_EOF)
		net_lost(net, "the connection was closed");
	if (n == STREAM_ERROR)
		net_lost(net, stream_error(net->st));
	if (n > 0) {
		net->heard = 1;
		net->alive = net_now();
		net->nudge_ms = NUDGE_MIN_MS;
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
	    net->next == NULL || net->next->type != M_NET_RECV ||
	    net->next->stage != 0 || net->recv.stage == RS_START ||
	    net->hold != NULL || net->beof ||
	    stream_unsent(net->st) > 0 ||
	    (net->recv.cmd != NULL && net->recv.cmd->waiting)) {
		net->corked = 0;
		return 0;
	}
	if (net->corked == 0)
		net->corked = net_now();
	return net_now() - net->corked < CORK_MS;
}

static void
server_write(struct net *net)
{
	struct recvstate	*rs = &net->recv;
	size_t			 before = net->out.len + stream_unsent(net->st);
	int			 flush;

	if (before == 0 || net->broken || net->phase == P_TLS || corked(net))
		return;
	/* More of a body is about to follow: no end of a compressed block. */
	flush = rs->cmd == NULL || rs->cmd->waiting || rs->stage != RS_BODY;
	if (stream_write(net->st, &net->out, flush) == STREAM_ERROR) {
		/* What the server has said before may still be read. */
		net->broken = 1;
		net->alive = net_now();
		if (net->bye == NULL)
			log_debug("%s: %s", net->setup.host,
			    stream_error(net->st));
		return;
	}
	if (net->out.len + stream_unsent(net->st) < before) {
		watch_turn(net);
		net->alive = net_now();
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

static void
bridge_read(struct net *net)
{
	ssize_t	 n;

	if (net->beof || net->bin.len >= READ_MAX)
		return;
	n = read(net->bridge, buf_room(&net->bin, READ_MAX), READ_MAX);
	if (n > 0) {
		buf_wrote(&net->bin, n);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		net->beof = 1;
}

static void
bridge_write(struct net *net)
{
	ssize_t	 n = 0;

	while (!net->bbroken && net->bout.len > 0) {
		n = write(net->bridge, buf_ptr(&net->bout), net->bout.len);
		if (n <= 0)
			break;
		buf_drain(&net->bout, n);
	}
	/* The other worker is gone; why is its own, or the engine's, to say. */
	if (n == -1 && errno != EAGAIN && errno != EINTR)
		net->bbroken = 1;
	if (net->bbroken)
		buf_clear(&net->bout);
}

static void
channel_read(struct net *net)
{
	int	 n = chan_read(&net->chan);

	if (n == -1 || chan_dispatch(&net->chan, request_handlers, net) == -1)
		fatalx("a bad message from imapsync: %s", net->chan.error);
	/* Without LOGOUT: the session is over, nothing more may be sent. */
	if (n == 0 && net->chan.state != CH_LOGOUT)
		_exit(EX_SYNC_ERROR);
}

/*
 * Cyrus (3.6.1, measured) waits for the socket although it holds commands that
 * it has read and not yet inflated, when its buffer ends just behind one.  Any
 * octet wakes it: while an answer is due and nothing comes, it gets some.
 */
static int
nudge_due(struct net *net, int *left)
{
	uint64_t	 last = net->alive > net->nudged ? net->alive : net->nudged;
	uint64_t	 now = net_now();

	if (net->compress != 4 || net->broken || throttled(net) ||
	    !cmdq_due(net) || net->out.len > 0 || stream_unsent(net->st) > 0)
		return 0;
	if (net->nudge_ms == 0)
		net->nudge_ms = NUDGE_MIN_MS;
	*left = now - last >= net->nudge_ms ? 0 :
	    (int)(last + net->nudge_ms - now);
	return 1;
}

static void
nudge(struct net *net)
{
	int	 left;

	if (!nudge_due(net, &left) || left > 0 || !stream_nudge(net->st))
		return;
	/* No sign of life: that the server is silent is still noticed. */
	(void)stream_write(net->st, &net->out, 1);
	net->nudged = net_now();
	if (net->nudge_ms < NUDGE_MAX_MS)
		net->nudge_ms *= 2;
}

/* How long the server may stay silent now: 0 if nothing is due. */
static uint64_t
patience(struct net *net)
{
	if (net->broken)
		return BROKEN_MS;
	if (net->phase == P_LOGOUT)
		return LOGOUT_MS;
	if (throttled(net) || !answer_due(net))
		return 0;
	return (uint64_t)net->setup.timeout * 1000;
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
		left = CORK_MS - (int)(net_now() - net->corked);
		if (ms == -1 || left < ms)
			ms = left < 0 ? 0 : left;
	}
	if (nudge_due(net, &left) && (ms == -1 || left < ms))
		ms = left;
	if (patience(net) == 0) {
		net->alive = now;
		return ms;
	}
	end = net->alive + patience(net);
	left = end <= now ? 0 : end - now > INT32_MAX ? INT32_MAX :
	    (int)(end - now);
	return ms == -1 || left < ms ? left : ms;
}

static void
check_time(struct net *net)
{
	uint64_t	 most;
	char		 why[64];

	if (net->st == NULL || (most = patience(net)) == 0 ||
	    net_now() - net->alive < most)
		return;
	if (net->broken)
		net_lost(net, stream_error(net->st));
	snprintf(why, sizeof(why), "no %s for %u seconds",
	    net->phase == P_TLS ? "TLS handshake" :
	    net->phase == P_GREETING ? "greeting" : "answer",
	    net->setup.timeout);
	net_lost(net, why);
}

enum { PFD_CHAN, PFD_LIFE, PFD_SERVER, PFD_BRIDGE, PFD_MAX };

static void
fill_pfds(struct net *net, struct pollfd *pfd, int reading)
{
	int	 writing;

	memset(pfd, 0, sizeof(*pfd) * PFD_MAX);
	pfd[PFD_CHAN].fd = FD_CHANNEL;
	if (net->chan.state != CH_LOGOUT && net->cost < REQUESTS_MAX)
		pfd[PFD_CHAN].events |= POLLIN;
	if (chan_pending(&net->chan) > 0)
		pfd[PFD_CHAN].events |= POLLOUT;
	pfd[PFD_LIFE].fd = FD_LIFELINE;
	pfd[PFD_LIFE].events = POLLIN;
	pfd[PFD_SERVER].fd = pfd[PFD_BRIDGE].fd = -1;
	if (net->st != NULL) {
		writing = !net->broken && !corked(net) && (net->out.len > 0 ||
		    stream_unsent(net->st) > 0);
		pfd[PFD_SERVER].events = stream_events(net->st, reading,
		    writing);
		if (pfd[PFD_SERVER].events != 0)
			pfd[PFD_SERVER].fd = stream_fd(net->st);
	}
	if (net->bridge == -1)
		return;
	if (!net->beof && net->bin.len < READ_MAX)
		pfd[PFD_BRIDGE].events |= POLLIN;
	if (!net->bbroken && net->bout.len > 0)
		pfd[PFD_BRIDGE].events |= POLLOUT;
	if (pfd[PFD_BRIDGE].events != 0)
		pfd[PFD_BRIDGE].fd = net->bridge;
}

/* All that can go on, goes on; nothing here waits. */
static void
work(struct net *net)
{
	int	 full;

	if (net->st == NULL)
		return;
	/* What waited for room in the queue waits for nothing else. */
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
	if (net->phase == P_LOGOUT && TAILQ_EMPTY(&net->tx) &&
	    net->out.len == 0 && stream_unsent(net->st) == 0)
		net_end(net);
}

static void
loop(struct net *net)
{
	struct pollfd	 pfd[PFD_MAX];
	int		 reading, ms;

	for (;;) {
		work(net);
		if (chan_write(&net->chan) == -1)
			_exit(EX_SYNC_ERROR);
		reading = net->st != NULL && !throttled(net);
		ms = net->st == NULL ? -1 : loop_timeout(net, reading);
		fill_pfds(net, pfd, reading);
		if (poll(pfd, PFD_MAX, ms) == -1) {
			if (errno == EINTR)
				continue;
			fatal("poll");
		}
		if (pfd[PFD_LIFE].revents != 0)
			_exit(EX_SYNC_ERROR);
		if (pfd[PFD_CHAN].revents & (POLLERR | POLLNVAL) ||
		    (pfd[PFD_CHAN].revents & (POLLIN | POLLHUP)) == POLLHUP)
			_exit(EX_SYNC_ERROR);
		if (pfd[PFD_CHAN].revents & POLLIN)
			channel_read(net);
		if (pfd[PFD_BRIDGE].revents & (POLLIN | POLLHUP | POLLERR))
			bridge_read(net);
		if (pfd[PFD_SERVER].revents != 0 ||
		    (reading && stream_readable(net->st)))
			server_io(net);
		check_time(net);
	}
}

static void
ignore_signals(void)
{
	static const int	 sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE,
				    SIGUSR1 };
	unsigned		 i;

	for (i = 0; i < nitems(sigs); i++)
		if (signal(sigs[i], SIG_IGN) == SIG_ERR)
			fatal("signal");
}

int
main(int argc, char *argv[], char *envp[])
{
	struct net	*net = &worker;
	int		 i;

	compat_setproctitle_init(argc, argv, envp);
	(void)argc;
	(void)envp;
	sandbox_early();
	if (fcntl(FD_CHANNEL, F_GETFD) == -1 ||
	    fcntl(FD_LIFELINE, F_GETFD) == -1) {
		fprintf(stderr, "imapsync-net: started by imapsync(1) only\n");
		return EX_SYNC_USAGE;
	}
	ignore_signals();
	chan_init(&net->chan, FD_CHANNEL, "imapsync");
	net->chan.state = CH_SETUP;
	log_init(sink, 0);
	for (i = 0; i < (int)nitems(net->fds); i++)
		net->fds[i] = -1;
	net->bridge = -1;
	TAILQ_INIT(&net->answers);
	TAILQ_INIT(&net->tx);
	TAILQ_INIT(&net->reqs);
	TAILQ_INIT(&net->handles);
	TAILQ_INIT(&net->recv.drops);
	loop(net);
	return 0;
}
