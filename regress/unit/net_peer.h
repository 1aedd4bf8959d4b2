/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker in the process of a test: its real objects, with socket
 * pairs in place of the server, the engine and the bridge.  The test plays all
 * three; what the worker sends them is kept as text.
 */
#ifndef NET_PEER_H
#define NET_PEER_H

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "imapsync-net/net.h"
#include "log.h"
#include "tap.h"

#define SYSTEM_FLAGS	"\\Answered \\Flagged \\Deleted \\Seen \\Draft"
#define TURNS	2000		/* of 5 ms: what does not come by then fails */
#define CAPS	"IMAP4rev1 LITERAL+ ENABLE CONDSTORE QRESYNC UIDPLUS ESEARCH " \
		"LIST-EXTENDED LIST-STATUS SPECIAL-USE IDLE NOTIFY UNSELECT " \
		"MULTIAPPEND"

struct peer {
	struct net	 net;
	struct chan	 engine;
	int		 server;
	int		 bridge;
	struct buf	 got;		/* octets that the server has read */
	struct buf	 told;		/* the engine's events, a line each */
	struct buf	 over;		/* octets that the bridge has read */
};

/* Workers are never freed: what one of them still holds is found by ASan. */
static struct peer	*peers[64];
static unsigned		 npeers;

/* ---- the engine ---- */

static const char *const	 stati[] = { "ok", "no", "bad", "unsent" };

/* The set as text; in static storage. */
static inline const char *
set_text(const struct uidset *set)
{
	static char	 text[1024];
	uint32_t	 i = 0;

	text[uidset_format(set, &i, text, sizeof(text))] = '\0';
	return text;
}

/* Each message for the engine is a line: its name, its id, what matters. */
static inline struct buf *
line(const struct msg *msg)
{
	struct peer	*p = msg->arg;

	buf_printf(&p->told, "%s %u", proto_name(msg->type) +
	    strlen("ENGINE_"), msg->id);
	return &p->told;
}

/* What is told at the start is the same in all tests. */
static inline void
on_ready(const struct msg *msg)
{
	(void)msg;
}

static inline void
on_mailbox(const struct msg *msg)
{
	const struct m_engine_mailbox	*m = msg->rec;
	struct buf			*b = line(msg);

	buf_printf(b, " %s %x %c", m->name, m->attrs,
	    m->delimiter == 0 ? '-' : m->delimiter);
	if (m->has_status)
		buf_printf(b, " %u/%u/%u/%llu", m->uidvalidity, m->uidnext,
		    m->messages, (unsigned long long)m->modseq);
	buf_puts(b, "\n");
}

static inline void
on_cert(const struct msg *msg)
{
	const struct m_engine_cert	*m = msg->rec;

	buf_printf(line(msg), " %s%s%s\n", m->pin[0] != '\0' ? m->pin : "none",
	    m->verified ? " verified" : "", m->pinned == PINNED_YES ?
	    " pinned" : m->pinned == PINNED_OTHER ? " another pin" : "");
}

static inline void
on_opened(const struct msg *msg)
{
	const struct m_engine_opened	*m = msg->rec;
	struct buf			*b = line(msg);

	buf_printf(b, " %u/%u/%u/%llu%s", m->uidvalidity, m->uidnext,
	    m->exists, (unsigned long long)m->modseq,
	    m->readonly ? " readonly" : "");
	if (m->proof != PROOF_TOLD)
		buf_printf(b, " %s", m->proof == PROOF_COUNTED ? "counted" :
		    m->proof == PROOF_LISTED ? "listed" : "ghosts");
	if (strcmp(m->permflags, SYSTEM_FLAGS) != 0 || !m->perm_any)
		buf_printf(b, " (%s)%s", m->permflags,
		    m->perm_any ? " any" : "");
	buf_puts(b, "\n");
}

static inline void
on_vanished(const struct msg *msg)
{
	const struct m_engine_vanished	*m = msg->rec;

	buf_printf(line(msg), " %s%s\n", m->earlier ? "earlier " : "",
	    set_text(&m->set));
}

static inline void
on_flags(const struct msg *msg)
{
	const struct m_engine_flags	*m = msg->rec;

	buf_printf(line(msg), " %u (%s)\n", m->uid, m->flags);
}

static inline void
on_meta(const struct msg *msg)
{
	const struct m_engine_meta	*m = msg->rec;

	buf_printf(line(msg), " %u %llu\n", m->uid,
	    (unsigned long long)m->size);
}

static inline void
on_copied(const struct msg *msg)
{
	const struct m_engine_copied	*m = msg->rec;

	buf_printf(line(msg), " %u->%u %llu %llx (%s) (%s)\n", m->uid,
	    m->newuid, (unsigned long long)m->size, (unsigned long long)m->key,
	    m->flags, m->lost);
}

static inline void
on_refused(const struct msg *msg)
{
	const struct m_engine_refused	*m = msg->rec;

	buf_printf(line(msg), " %u %s %s\n", m->uid, stati[m->status],
	    m->text);
}

static inline void
on_failed(const struct msg *msg)
{
	const struct m_engine_failed	*m = msg->rec;

	buf_printf(line(msg), " %s %s %s\n", set_text(&m->set),
	    stati[m->status], m->text);
}

static inline void
on_gone(const struct msg *msg)
{
	const struct m_engine_gone	*m = msg->rec;

	buf_printf(line(msg), " %s\n", set_text(&m->set));
}

static inline void
on_withheld(const struct msg *msg)
{
	const struct m_engine_withheld	*m = msg->rec;

	buf_printf(line(msg), " %s %s %s\n", set_text(&m->set),
	    stati[m->status], m->text);
}

static inline void
on_due(const struct msg *msg)
{
	const struct m_engine_due	*m = msg->rec;

	buf_printf(line(msg), " %u%s\n", m->uid, m->alone ? " alone" : "");
}

static inline void
on_spoilt(const struct msg *msg)
{
	const struct m_engine_spoilt	*m = msg->rec;

	buf_printf(line(msg), " %s\n", m->text);
}

static inline void
on_changed(const struct msg *msg)
{
	const struct m_engine_changed	*m = msg->rec;

	buf_printf(line(msg), " %s\n", m->mailbox);
}

static inline void
on_stats(const struct msg *msg)
{
	buf_puts(line(msg), "\n");
}

static inline void
on_offer(const struct msg *msg)
{
	const struct m_engine_offer	*m = msg->rec;

	buf_printf(line(msg), "%s%s%s%s (%s)%s\n",
	    m->preauth ? " preauth" : "", m->tls[0] != '\0' ? " tls" : "",
	    m->verified ? " verified" : "", m->caps & CAP_UIDPLUS ?
	    " uidplus" : "", m->mechs, m->key);
}

static inline void
on_uids(const struct msg *msg)
{
	const struct m_engine_uids	*m = msg->rec;

	buf_printf(line(msg), " %d %s\n", m->what, set_text(&m->set));
}

static inline void
on_done(const struct msg *msg)
{
	const struct m_engine_done	*m = msg->rec;
	struct buf			*b = line(msg);

	buf_printf(b, " %s", stati[m->status]);
	if (m->status != ST_OK)
		buf_printf(b, " %s", m->text);
	buf_puts(b, "\n");
}

static inline void
on_log(const struct msg *msg)
{
	const struct m_engine_log	*m = msg->rec;

	buf_printf(line(msg), " %s\n", m->text);
}

static inline void
on_fatal(const struct msg *msg)
{
	const struct m_engine_fatal	*m = msg->rec;

	buf_printf(line(msg), " %d %s\n", m->status, m->text);
}

static inline void
on_alive(const struct msg *msg)
{
	buf_puts(line(msg), "\n");
}

static const struct proto_handler	 events[] = {
	{ M_ENGINE_ALIVE,	1,	on_alive },
	{ M_ENGINE_READY,	1,	on_ready },
	{ M_ENGINE_CERT,	1,	on_cert },
	{ M_ENGINE_MAILBOX,	1,	on_mailbox },
	{ M_ENGINE_OPENED,	1,	on_opened },
	{ M_ENGINE_VANISHED,	1,	on_vanished },
	{ M_ENGINE_FLAGS,	1,	on_flags },
	{ M_ENGINE_META,	1,	on_meta },
	{ M_ENGINE_COPIED,	1,	on_copied },
	{ M_ENGINE_REFUSED,	1,	on_refused },
	{ M_ENGINE_FAILED,	1,	on_failed },
	{ M_ENGINE_GONE,	1,	on_gone },
	{ M_ENGINE_WITHHELD,	1,	on_withheld },
	{ M_ENGINE_DUE,		1,	on_due },
	{ M_ENGINE_SPOILT,	1,	on_spoilt },
	{ M_ENGINE_CHANGED,	1,	on_changed },
	{ M_ENGINE_STATS,	1,	on_stats },
	{ M_ENGINE_OFFER,	1,	on_offer },
	{ M_ENGINE_UIDS,	1,	on_uids },
	{ M_ENGINE_DONE,	1,	on_done },
	{ M_ENGINE_LOG,		1,	on_log },
	{ M_ENGINE_FATAL,	1,	on_fatal },
	{ M_NONE,		0,	NULL }
};

/* ---- turns ---- */

/* Octets of a socket that are there now, behind what is in b: how many. */
static inline size_t
take_octets(int fd, struct buf *b)
{
	size_t	 total = 0;
	ssize_t	 n;

	while ((n = recv(fd, buf_room(b, 65536), 65536, MSG_DONTWAIT)) > 0) {
		buf_wrote(b, n);
		total += n;
	}
	return total;
}

/* What the worker has sent to any of the three; whether there was something. */
static inline int
take_all(struct peer *p)
{
	struct pollfd	 pfd = { p->engine.ib.fd, POLLIN, 0 };
	size_t		 n;

	n = take_octets(p->server, &p->got) + take_octets(p->bridge, &p->over);
	while (poll(&pfd, 1, 0) == 1 && chan_read(&p->engine) == 1) {
		if (chan_dispatch(&p->engine, events, p) == -1)
			fatalx("%s", p->engine.error);
		n++;
	}
	return n > 0;
}

/* Let the worker do all that it can do at once. */
static inline void
turns(struct peer *p)
{
	int	 n;

	do
		n = loop_turn(&p->net, 0);
	while (n + take_all(p) > 0 || chan_pending(&p->net.chan) > 0);
}

/* The octets as a string. */
static inline const char *
text_of(struct buf *b)
{
	buf_add(b, "", 1);
	b->len--;
	return (const char *)buf_ptr(b);
}

/* Let it work until the text is in b, or for TURNS. */
static inline int
wait_text(struct peer *p, struct buf *b, const char *text)
{
	int	 i;

	for (i = 0; i < TURNS && strstr(text_of(b), text) == NULL; i++) {
		loop_turn(&p->net, 5);
		take_all(p);
	}
	return i < TURNS;
}

/* ---- what the test says as one of the three ---- */

static inline void
put_octets(struct peer *p, int fd, const void *data, size_t len)
{
	const uint8_t	*c = data;
	ssize_t		 n;
	int		 i = 0;

	while (len > 0) {
		n = send(fd, c, len, MSG_DONTWAIT);
		if (n == -1 && errno != EAGAIN)
			fatal("send");
		turns(p);
		if (n > 0) {
			c += n;
			len -= n;
			i = 0;
		} else if (i++ == TURNS)
			fatalx("the worker takes no octets any more");
		else
			loop_turn(&p->net, 5);
	}
}

/* As the server. */
static inline void
says(struct peer *p, const char *text)
{
	put_octets(p, p->server, text, strlen(text));
}

/* As the engine. */
static inline void
asks(struct peer *p, uint32_t type, uint32_t id, const void *rec)
{
	chan_send(&p->engine, type, id, rec);
	if (chan_flush(&p->engine, 1000) == -1)
		fatal("engine");
	turns(p);
}

/* ---- what came of it ---- */

/* All that one of the three was sent since the last time. */
static inline void
is_text(struct buf *b, const char *text, const char *what)
{
	const char	*got = text_of(b), *c;

	if (!ok(strcmp(got, text) == 0, "%s", what)) {
		printf("#   not the text that was expected, but: ");
		for (c = got; *c != '\0' && c - got < 2000; c++)
			if (*c == '\n')
				printf("\\n\n#   ");
			else if (*c != '\r')
				putchar(*c);
		printf("\n");
	}
	buf_clear(b);
}

static inline void
is_sent(struct peer *p, const char *text, const char *what)
{
	is_text(&p->got, text, what);
}

static inline void
is_told(struct peer *p, const char *text, const char *what)
{
	is_text(&p->told, text, what);
}

/*
 * The sink of a test: a fatal message ends it with its words.  (The worker's own
 * sends FATAL to an engine that dies with it: see ends().)
 */
static inline void
bail_out(int status, enum log_level level, const char *mailbox,
    const char *text)
{
	struct m_engine_log	 m = { level, mailbox == NULL ? "" : mailbox,
				    text };

	if (status != -1) {
		printf("Bail out!  %s\n", text);
		fflush(stdout);
		return;
	}
	chan_send(&peers[npeers - 1]->net.chan, M_ENGINE_LOG, 0, &m);
}

/*
 * The function ends the worker with that status and these words in its FATAL
 * ("": it says nothing).  It runs in a process of its own.
 */
static inline void
ends(struct peer *p, void (*fn)(struct peer *), int status, const char *words,
    const char *what)
{
	pid_t	 pid;
	int	 got, passed;

	fflush(stdout);
	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		net_log(&p->net, 0);
		fn(p);
		_exit(99);	/* it did not */
	}
	if (waitpid(pid, &got, 0) != pid)
		fatal("waitpid");
	take_all(p);
	passed = ok(WIFEXITED(got) && WEXITSTATUS(got) == status &&
	    strstr(text_of(&p->told), words) != NULL, "%s", what);
	if (!passed)
		printf("#   status %d: %s\n", WIFEXITED(got) ?
		    WEXITSTATUS(got) : -WTERMSIG(got), text_of(&p->told));
	buf_clear(&p->told);
}

/* As ends(); the engine is told that, from then on, and nothing else. */
static inline void
ends_telling(struct peer *p, void (*fn)(struct peer *), int status,
    const char *told, const char *what)
{
	pid_t	 pid;
	int	 got;

	fflush(stdout);
	buf_clear(&p->told);
	if ((pid = fork()) == -1)
		fatal("fork");
	if (pid == 0) {
		net_log(&p->net, 0);
		fn(p);
		_exit(99);	/* it did not */
	}
	if (waitpid(pid, &got, 0) != pid)
		fatal("waitpid");
	take_all(p);
	ok(WIFEXITED(got) && WEXITSTATUS(got) == status, "%s: exit %d", what,
	    status);
	if (WIFEXITED(got) && WEXITSTATUS(got) != status)
		printf("#   %d\n", WEXITSTATUS(got));
	is_text(&p->told, told, what);
}

/* ---- the worker ---- */

static inline void
pair(int sv[2])
{
	int	 i;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		fatal("socketpair");
	for (i = 0; i < 2; i++)
		if (fcntl(sv[i], F_SETFL, O_NONBLOCK) == -1)
			fatal("fcntl");
}

/* Settings as the supervisor would send them. */
static inline void
settings(struct m_net_setup *s)
{
	memset(s, 0, sizeof(*s));
	s->version = PROTO_VERSION;
	s->type = CONN_IMAP;
	s->pipeline = s->cleartext = s->has_password = 1;
	s->timeout = 300;
	s->host = "mail.example";
	s->username = "user";
	s->authzid = "";
	s->password = xstrdup("secret");
	s->auth = s->ssl_hostname = s->ssl_ciphers = s->ssl_ciphersuites =
	    s->ssl_fingerprint = s->proxy_addr = s->proxy_user = "";
	s->proxy_password = xstrdup("");
}

/* One that has just been connected; nothing has been said. */
static inline struct peer *
peer_new(void)
{
	struct peer	*p;
	int		 sv[2];

	if (npeers == nitems(peers))
		fatalx("too many workers");
	p = peers[npeers++] = xcalloc(1, sizeof(*p));
	pair(sv);
	chan_init(&p->engine, sv[0], "the worker");
	net_init(&p->net, sv[1]);
	log_init(bail_out, 0);
	settings(&p->net.setup);
	pair(sv);
	p->server = sv[0];
	p->net.st = stream_new(sv[1]);
	pair(sv);
	p->bridge = sv[0];
	p->net.bridge.fd = sv[1];
	p->net.chan.state = CH_LOGIN;
	session_start(&p->net);
	return p;
}

/* One that has logged in to a server that offers "caps". */
static inline struct peer *
peer_ready(const char *caps)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p = peer_new();
	char			 line[1024];

	asks(p, M_NET_LIST, 1, &m);
	snprintf(line, sizeof(line), "* PREAUTH [CAPABILITY %s] hello\r\n",
	    caps);
	says(p, line);
	says(p, "* ENABLED QRESYNC\r\nA1 OK x\r\nA2 OK x\r\n");
	is_sent(p, "A1 ENABLE QRESYNC\r\nA2 LIST \"\" \"\"\r\n", "logged in");
	is_told(p, "DONE 1 ok\n", "ready");
	return p;
}

/* It is over with: the descriptors are closed. */
static inline void
peer_end(struct peer *p)
{
	close(p->engine.ib.fd);
	close(p->net.chan.ib.fd);
	close(p->server);
	close(stream_fd(p->net.st));
	close(p->bridge);
	close(p->net.bridge.fd);
}

/* ---- requests ---- */

/* OPEN of a mailbox: nothing is known of it, nothing else is asked. */
static inline void
asks_open(struct peer *p, uint32_t id, const char *mailbox)
{
	struct m_net_open	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = mailbox;
	asks(p, M_NET_OPEN, id, &m);
}

/* The same, selected: UIDVALIDITY 7, UIDNEXT 100, 3 messages. */
static inline void
opened(struct peer *p, uint32_t id, const char *tag)
{
	char	 line[256];

	asks_open(p, id, "box");
	snprintf(line, sizeof(line), "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	    "* OK [UIDNEXT 100] x\r\n* OK [HIGHESTMODSEQ 50] x\r\n"
	    "%s OK [READ-WRITE] x\r\n", tag);
	says(p, line);
	snprintf(line, sizeof(line), "%s SELECT \"box\"\r\n", tag);
	is_sent(p, line, "SELECT");
	snprintf(line, sizeof(line), "OPENED %u 7/100/3/50\n"
	    "DONE %u ok\n", id, id);
	is_told(p, line, "opened");
}

/* What the RECV that follows may append. */
static inline void
asks_expect(struct peer *p, uint32_t transfer, const char *set)
{
	struct m_net_expect	 m = { transfer, UIDSET_INIT };

	uidset_parse(&m.set, set, strlen(set));
	asks(p, M_NET_EXPECT, 0, &m);
	uidset_free(&m.set);
}

#define ANY_UID	"1:4294967295"

static inline void
asks_recv(struct peer *p, uint32_t id, uint32_t handle, uint32_t transfer,
    int mode)
{
	struct m_net_recv	 m;

	memset(&m, 0, sizeof(m));
	m.handle = handle;
	m.transfer = transfer;
	m.mode = mode;
	m.perm_any = 1;
	m.permflags = SYSTEM_FLAGS;
	m.mailbox = "box";
	asks_expect(p, transfer, ANY_UID);
	asks(p, M_NET_RECV, id, &m);
}

/* ---- the lifeline ---- */

/* Must be called first: the loop polls FD_LIFELINE. */
static inline void
peer_begin(void)
{
	int	 life[2];

	if (pipe(life) == -1)
		fatal("pipe");
	/* The writing end stays open. */
	if (fcntl(life[1], F_DUPFD, 20) == -1 ||
	    dup2(life[0], FD_LIFELINE) == -1)
		fatal("lifeline");
	signal(SIGPIPE, SIG_IGN);
}

#endif /* NET_PEER_H */
