/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker between a server, an engine and another worker that say
 * anything in any order, in the process of a fuzz target: its real objects, with
 * socket pairs in place of the three.  To be included once.
 *
 * What must hold, whatever is said to it:
 *  - what the server gets are well-formed commands: one line each, seven bits,
 *    tags that grow, a command that was asked for; octets that are not text are
 *    inside a literal that was announced, and behind a "+" where one is due;
 *  - a body is inside the literal of an APPEND, and is a piece of what came over
 *    the bridge, in the order in which it came;
 *  - UID STORE and UID EXPUNGE name UIDs that the engine has named, of the
 *    mailbox that was selected last;
 *  - the engine gets well-formed messages, only such as its own table (ask.c)
 *    takes: about UIDs that were asked for, each once; one DONE a request;
 *    nothing behind FATAL; no password;
 *  - nothing is sent that was never offered, and where the server may refuse
 *    long lines they are none;
 *  - that messages vanished is told only if the server has switched QRESYNC on,
 *    or of UIDs that were to be expunged;
 *  - what hangs on a command goes with it, and memory is bounded.
 */
#ifndef NET_BOX_H
#define NET_BOX_H

#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <zlib.h>

#include "imapsync-net/net.h"
#include "standstill.h"

#define SECRET		"hunter2"
#define ASKS_MAX	500	/* requests of one input */
#define BUF_OCTETS	65536
#define TURNS_MAX	400

/* A request, as the engine has it. */
struct asked {
	uint32_t	 type;		/* M_NET_* */
	int		 what;		/* OPEN_* */
	int		 told;		/* what comes once has come */
	int		 done;
	uint32_t	 handle;
	const char	*mailbox;
	struct uidset	 set;		/* UIDs that may be named */
	uint64_t	 room;		/* how often one may still be */
};

/* What the server has got. */
enum wire_at { AT_LINE, AT_PLUS, AT_LITERAL };
struct wire {
	enum wire_at	 at;
	struct buf	 line;		/* of the command, literals left out */
	size_t		 from;		/* where its last line begins */
	size_t		 head;		/* where the one in front began */
	uint64_t	 left;		/* of the literal */
	struct buf	 literal;
	unsigned	 nliterals;	/* of the command */
	uint32_t	 tag;		/* of the last command */
	int		 sasl;		/* it is AUTHENTICATE */
	uint32_t	 idle;		/* IDLE's tag, until DONE or its answer */
	char		 name[64];	/* the mailbox of the command */
	char		 selected[64];
	uint32_t	 asked;		/* bit for each type asked for */
};

static struct net	 net;
static struct chan	 box_engine;
static int		 box_server, box_bridge;
static int		 box_over;	/* FATAL was sent */
static int		 box_guessed;	/* the input has the password in it */
static struct asked	 box_asked[ASKS_MAX + 1];
static uint32_t		 box_last;	/* id of the last request */
static struct wire	 wire;
static struct buf	 box_bodies;	/* all that came over the bridge */
static size_t		 box_bodypos;	/* behind the last body appended */
static char		 box_saying[TAG_SIZE + 2];  /* the server's line: begin */
static size_t		 box_said;	/* octets of that line so far */
static char		 box_decided;	/* first of it behind a literal that
					   waits: '+', or 't' for its tag */
/* A target's own checks: of an answer; of a message, and what is in front. */
static void		 (*box_told)(uint32_t type, const void *rec);
static void		 (*box_appended)(const char *head, const uint8_t *,
			    size_t);
static uint32_t		 box_offered;	/* CAP_*, at any time so far */
static z_stream		 box_deflate, box_inflate;
static int		 box_zlib;

#include "net_told.h"

/* ---- what the server gets ---- */

struct verb {
	const char	*text;
	uint32_t	 types[3];	/* M_NONE: the session's own */
};
static const struct verb	 verbs[] = {
	{ "CAPABILITY",		{ M_NONE } },
	{ "LOGIN ",		{ M_NONE } },
	{ "AUTHENTICATE ",	{ M_NONE } },
	{ "STARTTLS",		{ M_NONE } },
	{ "ENABLE ",		{ M_NONE } },
	{ "COMPRESS DEFLATE",	{ M_NONE } },
	{ "LIST ",		{ M_NET_LIST } },
	{ "LSUB ",		{ M_NET_LIST } },
	{ "STATUS ",		{ M_NET_STATUS, M_NET_LIST, M_NET_WATCH } },
	{ "SELECT ",		{ M_NET_OPEN } },
	{ "EXAMINE ",		{ M_NET_OPEN, M_NET_WATCH, M_NET_SEND } },
	{ "UNSELECT",		{ M_NET_WATCH, M_NET_LIST } },
	{ "CLOSE",		{ M_NET_WATCH, M_NET_LIST } },
	{ "UID FETCH ",		{ M_NET_META, M_NET_SEND, M_NET_OPEN } },
	{ "UID FETCH * (UID MODSEQ)", { M_NET_RECV } },
	/* Lists, and what was expunged, where there is no QRESYNC. */
	{ "UID FETCH ",		{ M_NET_SEARCH, M_NET_EXPUNGE } },
	{ "UID SEARCH ",	{ M_NET_SEARCH, M_NET_OPEN, M_NET_SEND } },
	{ "UID STORE ",		{ M_NET_STORE, M_NET_EXPUNGE } },
	{ "UID EXPUNGE ",	{ M_NET_EXPUNGE } },
	{ "UID MOVE ",		{ M_NET_MOVE } },
	{ "UID COPY ",		{ M_NET_MOVE } },
	{ "APPEND ",		{ M_NET_RECV } },
	{ "CREATE ",		{ M_NET_NAME } },
	{ "DELETE ",		{ M_NET_NAME } },
	{ "RENAME ",		{ M_NET_NAME } },
	{ "SUBSCRIBE ",		{ M_NET_NAME } },
	{ "UNSUBSCRIBE ",	{ M_NET_NAME } },
	{ "NOTIFY ",		{ M_NET_WATCH } },
	{ "IDLE",		{ M_NET_WATCH } },
	{ "NOOP",		{ M_NET_WATCH } },
	{ "LOGOUT",		{ M_NET_LOGOUT } }
};

static int
is_verb(const char *line, const char *verb)
{
	return strncmp(line, verb, strlen(verb)) == 0;
}

/* The command was asked for. */
static void
wire_verb(const char *line)
{
	const struct verb	*v;
	size_t			 i, k;

	for (i = 0; i < nitems(verbs); i++) {
		v = &verbs[i];
		if (!is_verb(line, v->text))
			continue;
		for (k = 0; k < nitems(v->types); k++)
			if ((k == 0 && v->types[k] == M_NONE) ||
			    (wire.asked & 1U << v->types[k] &&
			    v->types[k] != M_NONE))
				return;
	}
	fprintf(stderr, "%s\n", line);
	must(0, "a command that was asked for");
}

/*
 * What the engine asks for by itself is not looked at here (MOVE, EXPUNGE).  No
 * name of a mailbox has such words in it.
 */
static void
wire_offered(const char *p)
{
	static const struct {
		const char	*words;
		uint32_t	 cap;
	} needs[] = {
		{ "ENABLE ",		CAP_ENABLE },
		{ "UNSELECT",		CAP_UNSELECT },
		{ "IDLE",		CAP_IDLE },
		{ "NOTIFY ",		CAP_NOTIFY },
		{ "UID SEARCH RETURN ",	CAP_ESEARCH },
		{ " (CONDSTORE)",	CAP_CONDSTORE },
		{ " (CHANGEDSINCE ",	CAP_CONDSTORE },
		{ " (QRESYNC (",	CAP_QRESYNC }
	};
	const char	*at;
	size_t		 i;

	for (i = 0; i < nitems(needs); i++) {
		at = needs[i].words[0] == ' ' ? strstr(p, needs[i].words) :
		    is_verb(p, needs[i].words) ? p : NULL;
		if (at == NULL || (box_offered & needs[i].cap))
			continue;
		fprintf(stderr, "%s\n", p);
		must(0, "what was offered");
	}
	if (is_verb(p, "UID ") && net.strategy != NULL &&
	    net.strategy->kind == STRATEGY_PLAIN)
		must(strlen(p) <= net.strategy->line, "no long line");
}

/* The quoted mailbox that stands first behind the verb, or the literal. */
static void
wire_name(const char *p)
{
	size_t	 n = 0;

	if (*p != '"')
		return;		/* a literal: it was noted as it came */
	for (p++; *p != '"' && *p != '\0' && n < sizeof(wire.name) - 1; p++) {
		if (*p == '\\')
			p++;
		wire.name[n++] = *p;
	}
	wire.name[n] = '\0';
}

/* All of the set was named for that mailbox by a request of these types. */
static void
wire_set(const char *p, uint32_t type, uint32_t other)
{
	struct uidset	 set = UIDSET_INIT;
	uint32_t	 i;

	must(uidset_parse(&set, p, strspn(p, "0123456789:,")) == 0 &&
	    !uidset_empty(&set), "a set of UIDs");
	for (i = 1; i <= box_last; i++)
		if (box_asked[i].type == type || box_asked[i].type == other)
			if (box_asked[i].mailbox != NULL &&
			    strcmp(box_asked[i].mailbox, wire.selected) == 0)
				uidset_sub(&set, &box_asked[i].set);
	must(uidset_empty(&set), "UIDs that were named for that mailbox");
	uidset_free(&set);
}

/* A command is whole. */
static void
wire_command(char *line)
{
	char		*p, *end;
	uint32_t	 tag;

	if (wire.sasl && strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
	    "mnopqrstuvwxyz0123456789+/=*") == strlen(line))
		return;
	if (wire.idle != 0 && strcmp(line, "DONE") == 0) {
		wire.idle = 0;
		return;
	}
	if (line[0] != 'A')
		fprintf(stderr, "%s\n", line);
	must(line[0] == 'A', "a tag");
	tag = strtoul(line + 1, &end, 10);
	must(*end == ' ' && tag == wire.tag + 1, "the next tag");
	wire.tag = tag;
	p = end + 1;
	wire_verb(p);
	wire_offered(p);
	must(wire.idle == 0, "nothing within IDLE");
	wire.sasl = is_verb(p, "AUTHENTICATE ");
	wire.idle = strcmp(p, "IDLE") == 0 ? tag : 0;
	must(net.setup.cleartext || !is_verb(p, "LOGIN "),
	    "no password in the clear");
	if (is_verb(p, "SELECT ") || is_verb(p, "EXAMINE ")) {
		wire_name(strchr(p, ' ') + 1);
		strlcpy(wire.selected, wire.name, sizeof(wire.selected));
	}
	if (is_verb(p, "UID STORE "))
		wire_set(p + 10, M_NET_STORE, M_NET_EXPUNGE);
	if (is_verb(p, "UID EXPUNGE "))
		wire_set(p + 12, M_NET_EXPUNGE, M_NET_EXPUNGE);
	if (is_verb(p, "UID MOVE ") || is_verb(p, "UID COPY "))
		wire_set(p + 9, M_NET_MOVE, M_NET_MOVE);
}

/* Octets n of the command's line at its end, or -1. */
static int64_t
wire_literal(const char *line, size_t len, int *plus)
{
	const char	*p = line + len;
	int64_t		 n;
	char		*end;

	*plus = 0;
	if (len < 3 || *--p != '}')
		return -1;
	if (p[-1] == '+') {
		*plus = 1;
		p--;
	}
	while (p > line && isdigit((unsigned char)p[-1]))
		p--;
	if (p == line || p[-1] != '{')
		return -1;
	n = strtoll(p, &end, 10);
	return n;
}

/* The literal came whole: the name of a mailbox, or a message. */
static void
wire_octets(void)
{
	const char	*line = (char *)buf_ptr(&wire.line);
	const uint8_t	*p;

	wire.nliterals++;
	if (strstr(line, " APPEND ") == NULL ||
	    (wire.nliterals == 1 && strstr(line, " APPEND {") != NULL)) {
		if (wire.nliterals == 1)
			snprintf(wire.name, sizeof(wire.name), "%.*s",
			    (int)wire.literal.len,
			    (char *)buf_ptr(&wire.literal));
		return;
	}
	if (box_appended != NULL)
		box_appended(line + wire.head, buf_ptr(&wire.literal),
		    wire.literal.len);
	if (wire.literal.len == 0)
		return;
	p = memmem(buf_ptr(&box_bodies) + box_bodypos,
	    box_bodies.len - box_bodypos, buf_ptr(&wire.literal),
	    wire.literal.len);
	must(p != NULL, "a body that came over the bridge");
	box_bodypos = p - buf_ptr(&box_bodies) + wire.literal.len;
}

/* A line came whole, without its CR LF. */
static void
wire_line(void)
{
	int64_t	 n;
	char	*line;
	size_t	 len = wire.line.len;
	int	 plus;

	buf_add(&wire.line, "", 1);
	line = (char *)buf_ptr(&wire.line);
	n = wire_literal(line + wire.from, len - wire.from, &plus);
	if (n >= 0) {
		wire.line.len--;
		wire.head = wire.from;
		wire.from = wire.line.len;
		wire.left = n;
		wire.at = plus ? AT_LITERAL : AT_PLUS;
		box_decided = '\0';
		buf_clear(&wire.literal);
		buf_room(&wire.literal, 1);	/* also of none */
		if (wire.at == AT_LITERAL && n == 0) {
			wire.at = AT_LINE;
			wire_octets();
		}
		return;
	}
	wire_command(line);
	buf_clear(&wire.line);
	wire.from = wire.nliterals = 0;
}

/* The server has refused a literal that it was asked about, or takes it. */
static void
wire_plus(void)
{
	must(box_decided != '\0', "nothing before it has said \"+\"");
	wire.at = AT_LINE;
	if (box_decided == '+' && wire.left > 0) {
		wire.at = AT_LITERAL;
		return;
	}
	if (box_decided == '+') {
		wire_octets();
		return;
	}
	wire.tag++;
	buf_clear(&wire.line);
	wire.from = wire.nliterals = 0;
}

/* Octets of a line: printable ones, up to CR LF. */
static size_t
wire_text(const uint8_t *p, size_t n)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		if (p[i] == '\n')
			break;
		must((p[i] >= ' ' && p[i] < 0x7f) || p[i] == '\r',
		    "a command is printable");
	}
	buf_add(&wire.line, p, i);
	must(wire.line.len < 65536, "a command is no longer than that");
	if (i == n)
		return n;
	must(wire.line.len > 0 && buf_ptr(&wire.line)[wire.line.len - 1] ==
	    '\r', "a line ends in CR LF");
	wire.line.len--;
	must(memchr(buf_ptr(&wire.line), '\r', wire.line.len) == NULL,
	    "no CR in a command");
	wire_line();
	return i + 1;
}

static void
wire_take(const uint8_t *p, size_t n)
{
	size_t	 k;

	while (n > 0) {
		if (wire.at == AT_PLUS)
			wire_plus();
		if (wire.at == AT_LINE)
			k = wire_text(p, n);
		else {
			k = n < wire.left ? n : wire.left;
			buf_add(&wire.literal, p, k);
			wire.left -= k;
			if (wire.left == 0) {
				wire.at = AT_LINE;
				wire_octets();
			}
		}
		p += k;
		n -= k;
	}
}

/* ---- octets ---- */

static void
wire_inflate(uint8_t *p, size_t n)
{
	static uint8_t	 text[BUF_OCTETS];

	box_inflate.next_in = p;
	box_inflate.avail_in = n;
	do {
		box_inflate.next_out = text;
		box_inflate.avail_out = sizeof(text);
		must(inflate(&box_inflate, Z_SYNC_FLUSH) != Z_DATA_ERROR,
		    "what is compressed can be inflated");
		wire_take(text, sizeof(text) - box_inflate.avail_out);
	} while (box_inflate.avail_out == 0);
}

static void
box_begin_zlib(void)
{
	if (box_zlib)
		return;
	memset(&box_deflate, 0, sizeof(box_deflate));
	memset(&box_inflate, 0, sizeof(box_inflate));
	must(inflateInit2(&box_inflate, -15) == Z_OK &&
	    deflateInit2(&box_deflate, 1, Z_DEFLATED, -15, 1,
	    Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
	box_zlib = 1;
}

/* All that the worker has sent; how many octets. */
static size_t
box_take(void)
{
	static uint8_t	 octets[BUF_OCTETS];
	struct pollfd	 pfd = { box_engine.ib.fd, POLLIN, 0 };
	size_t		 total = 0;
	ssize_t		 n;

	box_offered |= net.caps.bits;
	while ((n = recv(box_server, octets, sizeof(octets),
	    MSG_DONTWAIT)) > 0) {
		if (net.compress == COMPRESS_ON) {
			box_begin_zlib();
			wire_inflate(octets, n);
		} else
			wire_take(octets, n);
		total += n;
	}
	while ((n = recv(box_bridge, octets, sizeof(octets),
	    MSG_DONTWAIT)) > 0)
		total += n;
	while (poll(&pfd, 1, 0) == 1 && pfd.revents & POLLIN &&
	    chan_read(&box_engine) == 1) {
		must(chan_dispatch(&box_engine, box_events, NULL) == 0,
		    box_engine.error);
		total++;
	}
	return total;
}

/* Let the worker do all that it can do; what it holds back goes out, too. */
static void
box_turns(void)
{
	int	 i, n;

	for (i = 0; i < TURNS_MAX; i++) {
		n = loop_turn(&net, 0);
		if (n + box_take() > 0 || chan_pending(&net.chan) > 0)
			continue;
		if (net.out.len == 0 || net.phase == P_TLS)
			break;
		confine_ms += 50;
	}
	must(net.in.len < (1 << 20) &&
	    net.session.parser.lx.line.cap < (4 << 20) &&
	    net.bridge.in.len < (1 << 20), "memory");
}

/* ---- what is said to the worker ---- */

static void
put(int fd, const void *data, size_t n)
{
	const uint8_t	*p = data;
	ssize_t		 k;
	int		 i;

	for (i = 0; n > 0 && i < 8; i++) {
		if ((k = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
			p += k;
			n -= k;
			i = 0;
		}
		box_turns();
	}
}

static int
said_tag(uint32_t tag)
{
	char	 text[TAG_SIZE + 2];

	snprintf(text, sizeof(text), "A%u ", tag);
	return strncmp(box_saying, text, strlen(text)) == 0;
}

/* How the line under way begins; at its end, what that means. */
static void
note_said(const uint8_t *p, size_t n)
{
	size_t	 i;

	for (i = 0; i < n; i++) {
		if (box_said < sizeof(box_saying) - 1) {
			box_saying[box_said++] = p[i];
			box_saying[box_said] = '\0';
		}
		if (p[i] != '\n')
			continue;
		if (box_decided != '\0')
			;
		else if (box_saying[0] == '+')
			box_decided = '+';
		else if (said_tag(wire.tag + 1))
			box_decided = 't';
		if (wire.idle != 0 && said_tag(wire.idle))
			wire.idle = 0;
		box_said = 0;
		box_saying[0] = '\0';
	}
}

/* One line at most, so that what follows it is known. */
static void
server_octets(const void *p, size_t n)
{
	static uint8_t	 octets[BUF_OCTETS];

	if (n == 0)
		return;
	note_said(p, n);
	if (net.compress != COMPRESS_ON) {
		put(box_server, p, n);
		return;
	}
	box_begin_zlib();
	box_deflate.next_in = (Bytef *)(uintptr_t)p;
	box_deflate.avail_in = n;
	do {
		box_deflate.next_out = octets;
		box_deflate.avail_out = sizeof(octets);
		deflate(&box_deflate, Z_SYNC_FLUSH);
		put(box_server, octets, sizeof(octets) -
		    box_deflate.avail_out);
	} while (box_deflate.avail_out == 0);
}

/* Lines, each by itself. */
static void
server_says(const char *p, size_t n)
{
	const char	*nl;
	size_t		 k;

	for (; n > 0; p += k, n -= k) {
		nl = memchr(p, '\n', n);
		k = nl != NULL ? (size_t)(nl - p) + 1 : n;
		server_octets(p, k);
	}
}

static void
server_line(const char *p, size_t n)
{
	struct buf	 line = BUF_INIT;
	static struct buf keep;

	buf_free(&keep);	/* of one that never came back */
	buf_add(&line, p, n);
	buf_puts(&line, "\r\n");
	keep = line;
	server_says((char *)buf_ptr(&keep), keep.len);
}

/* The tag of the n-th unanswered command, and that. */
static void
server_tagged(unsigned n, const char *p, size_t len)
{
	static char	 text[4096];
	struct cmd	*c;

	TAILQ_FOREACH(c, &net.cmdq.answers, entry)
		if (n-- == 0)
			break;
	if (c == NULL)
		return;
	snprintf(text, sizeof(text), "%s%.*s", c->tag, (int)len, p);
	server_line(text, strlen(text));
}

static void
bridge_octets(const void *p, size_t n)
{
	if (n == 0)
		return;
	buf_add(&box_bodies, p, n);
	put(box_bridge, p, n);
}

/* 1 if the worker takes that now: anything else is not what is tested here. */
static int
box_allowed(uint32_t type)
{
	const struct proto_handler	*h;

	if (box_last == ASKS_MAX)
		return 0;
	for (h = loop_handlers; h->type != M_NONE; h++)
		if (h->type == type && h->states & net.chan.state)
			return 1;
	return 0;
}

/* What the RECV that follows may append. */
static void
box_expect(uint32_t transfer, const struct uidset *set)
{
	struct m_net_expect	 m;
	size_t			 i;

	m.transfer = transfer;
	for (i = 0; proto_set_part(set, &i, &m.set); )
		chan_send(&box_engine, M_NET_EXPECT, 0, &m);
}

/*
 * A request; the set is of the UIDs that its answers may name.  Returns what is
 * kept of it, or NULL if it can't be made now.
 */
static struct asked *
box_ask(uint32_t type, const void *rec, const struct uidset *set,
    uint32_t handle, const char *mailbox)
{
	struct asked	*a;

	if (!box_allowed(type))
		return NULL;
	a = &box_asked[++box_last];
	memset(a, 0, sizeof(*a));
	a->type = type;
	a->handle = handle;
	a->mailbox = mailbox;
	if (set != NULL) {
		uidset_copy(&a->set, set);
		a->room = uidset_count(set);
	}
	if (type == M_NET_RECV)
		box_expect(((const struct m_net_recv *)rec)->transfer, set);
	wire.asked |= 1U << type;
	if (type == M_NET_OPEN)
		a->what = ((const struct m_net_open *)rec)->what;
	chan_send(&box_engine, type, box_last, rec);
	must(chan_flush(&box_engine, 1000) == 0, "a request is taken");
	return a;
}

/* ---- begin and end ---- */

static void
box_pair(int *mine, int *its)
{
	int	 sv[2], i;

	must(socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0, "socketpair");
	for (i = 0; i < 2; i++)
		must(fcntl(sv[i], F_SETFL, O_NONBLOCK) == 0, "fcntl");
	*mine = sv[0];
	*its = sv[1];
}

/* Once: the loop polls FD_LIFELINE. */
static void
box_init(void)
{
	static int	 done;
	int		 life[2];
	uint32_t	 i;

	if (done)
		return;
	done = 1;
	signal(SIGPIPE, SIG_IGN);
	must(pipe(life) == 0 && fcntl(life[1], F_DUPFD, 20) != -1, "pipe");
	if (life[0] != FD_LIFELINE)
		must(dup2(life[0], FD_LIFELINE) != -1, "dup2");
	for (i = M_ENGINE_READY; i <= M_ENGINE_FATAL; i++) {
		box_events[i - M_ENGINE_READY].type = i;
		box_events[i - M_ENGINE_READY].states = 1;
		box_events[i - M_ENGINE_READY].fn = on_event;
	}
}

/* A worker that has just been connected; the settings are as usual. */
static void
box_begin(const void *input, size_t len)
{
	struct m_net_setup	*s = &net.setup;
	int			 fd;

	box_init();
	confine_ms = 1000000;
	confine_polls = 0;
	box_pair(&fd, &box_server);
	chan_init(&box_engine, fd, "the worker");
	net_init(&net, box_server);
	s->version = PROTO_VERSION;
	s->type = CONN_IMAP;
	s->pipeline = s->cleartext = s->has_password = 1;
	s->timeout = 300;
	s->host = "mail.example";
	s->username = "user";
	s->authzid = "";
	s->password = xstrdup(SECRET);
	s->auth = s->ssl_hostname = s->ssl_ciphers = s->ssl_ciphersuites =
	    s->ssl_fingerprint = s->proxy_addr = s->proxy_user = "";
	s->proxy_password = xstrdup("");
	box_pair(&box_server, &fd);
	net.st = stream_new(fd);
	box_pair(&box_bridge, &net.bridge.fd);
	net.chan.state = CH_LOGIN;
	box_over = 0;
	box_offered = 0;
	box_guessed = memmem(input, len, SECRET, strlen(SECRET)) != NULL;
	box_last = 0;
	memset(&wire, 0, sizeof(wire));
	buf_clear(&box_bodies);
	box_bodypos = box_said = 0;
	box_decided = box_saying[0] = '\0';
}

/* Answer what is unanswered as if all of it was, or forget it. */
static void
box_forget(int whole)
{
	struct drop	*d;
	struct req	*r;
	struct cmd	*c;

	while ((c = TAILQ_FIRST(&net.cmdq.answers)) != NULL ||
	    (c = TAILQ_FIRST(&net.cmdq.tx)) != NULL)
		cmd_free(&net, c);
	if (net.queue.half != NULL)
		req_queue(&net, net.queue.half);
	while ((r = TAILQ_FIRST(&net.queue.reqs)) != NULL) {
		must(!whole || r->refs <= 2, "references without a command");
		r->emitted = r->refs = 1;
		req_release(&net, &r);
	}
	while ((d = TAILQ_FIRST(&net.recv.drops)) != NULL) {
		TAILQ_REMOVE(&net.recv.drops, d, entry);
		free(d);
	}
	uidset_free(&net.recv.expect);
	handle_mute(&net);
	handle_unselected(&net);
	handle_sent(&net, NULL);
	if (!whole)
		return;
	must(TAILQ_EMPTY(&net.handles.all), "no handle is left");
	must(net.cmdq.hold == NULL && net.body.cmd == NULL &&
	    net.recv.cmd == NULL, "no command is left");
}

/* The worker is over with; "whole": it has not ended by itself. */
static void
box_end(int whole)
{
	uint32_t	 i;

	if (!whole)
		(void)box_take();	/* its last words */
	box_forget(whole);
	parse_free(&net.session.parser);
	sasl_free(net.session.sasl);
	socks_free(net.session.socks);
	stream_free(net.st);
	chan_close(&net.chan);
	chan_close(&box_engine);
	close(box_server);
	close(box_bridge);
	close(net.bridge.fd);
	buf_free(&net.in);
	buf_free(&net.out);
	buf_free(&net.bridge.in);
	buf_free(&net.bridge.out);
	free(net.bye);
	free(net.watch.mailbox);
	free((char *)(uintptr_t)net.setup.password);
	free((char *)(uintptr_t)net.setup.proxy_password);
	for (i = 0; i <= box_last; i++)
		uidset_free(&box_asked[i].set);
	buf_free(&wire.line);
	buf_free(&wire.literal);
	if (box_zlib) {
		inflateEnd(&box_inflate);
		deflateEnd(&box_deflate);
		box_zlib = 0;
	}
}

#endif /* NET_BOX_H */
