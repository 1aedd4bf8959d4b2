/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The network worker as a whole: octets of a server and of the other worker, and
 * the engine's requests, in any order.  What must hold is in net_box.h.
 *
 * An input is lines.  The first octet of the first one says how the worker is
 * set up, and how it logs in: see begin(); the rest of that line is like all
 * others, whose first octet says whose it is (numbers are decimal, with commas
 * in between; what is missing is 0):
 *	s	the server: the rest of the line, and CR LF
 *	S	the same without CR LF
 *	t	a tagged answer to an unanswered command: a digit says to which,
 *		the rest follows the tag
 *	y	the tagged answer " OK x" to all of them, one after the other
 *	e	the engine: a letter for the request, and numbers: see engine()
 *	h	the next requests are for the mailbox before the last, if 1
 *	b	a record over the bridge: see record()
 *	B	the rest of the line over the bridge as it is
 *	z Z	the bridge, the connection ends
 *	i	so many milliseconds pass, 100 if none are given
 */
#include "net_box.h"
#include "replay.h"

#define NUMBERS		8
#define MOST_CAPS	"IMAP4rev1 LITERAL+ ENABLE CONDSTORE QRESYNC UIDPLUS " \
			"LIST-EXTENDED LIST-STATUS ESEARCH IDLE NOTIFY " \
			"UNSELECT MULTIAPPEND SPECIAL-USE"
#define FEW_CAPS	"IMAP4rev1 ENABLE CONDSTORE QRESYNC UIDPLUS " \
			"LIST-EXTENDED LIST-STATUS LITERAL- APPENDLIMIT=1000"

#define SOME_CAPS	"IMAP4rev1 UIDPLUS ENABLE CONDSTORE ESEARCH MOVE IDLE"
#define NO_CAPS		"IMAP4rev1 UIDPLUS"

static const char *const	 names[] = { "box", "INBOX", "b\351x", "",
				    "a \"b\\c", "other/box" };
static const char *const	 flags[] = { "\\Seen", "\\Deleted", "kw",
				    "\\Answered \\Flagged kw" };
static int			 back;	/* "h" */

static const char *
name(uint32_t n)
{
	return names[n % nitems(names)];
}

/* Up to NUMBERS numbers; behind them. */
static const char *
numbers(const char *p, const char *end, uint32_t *n)
{
	size_t	 i;

	memset(n, 0, NUMBERS * sizeof(*n));
	for (i = 0; i < NUMBERS && p < end; i++) {
		for (; p < end && isdigit((unsigned char)*p); p++)
			n[i] = n[i] * 10 + (*p - '0');
		if (p == end || *p != ',')
			break;
		p++;
	}
	return p;
}

/* ---- the engine ---- */

/* The handle that requests name, and what it is of. */
static uint32_t
handle(const char **mailbox)
{
	uint32_t	 i, found = 0;
	int		 skip = back;

	*mailbox = NULL;
	for (i = box_last; i > 0 && found == 0; i--)
		if (box_asked[i].type == M_NET_OPEN && skip-- == 0)
			found = i;
	if (found != 0)
		*mailbox = box_asked[found].mailbox;
	return found;
}

static void
ask_open(const uint32_t *n)
{
	struct m_net_open	 m = { n[0] & 15, n[1], n[2], n[3], n[4],
				    name(n[5]) };

	box_ask(M_NET_OPEN, &m, NULL, 0, m.mailbox);
}

static void
ask_recv(const uint32_t *n)
{
	struct m_net_recv	 m;
	struct uidset		 set = UIDSET_INIT;
	const char		*mailbox;

	memset(&m, 0, sizeof(m));
	uidset_add(&set, 1, n[4] != 0 ? n[4] : UINT32_MAX);
	m.handle = handle(&mailbox);
	m.transfer = n[0];
	m.mode = n[1] % 3;
	m.nodate = n[2] & 1;
	m.nokeywords = n[2] >> 1 & 1;
	m.perm_any = n[2] >> 2 & 1;
	m.permflags = "\\Answered \\Deleted \\Seen kw";
	m.mailbox = mailbox != NULL ? mailbox : name(n[3]);
	box_ask(M_NET_RECV, &m, &set, m.handle, m.mailbox);
	uidset_free(&set);
}

/* About the UIDs from n[0], n[1] of them; and n[5] from n[4]. */
static void
ask_set(char what, const uint32_t *n)
{
	struct uidset		 set = UIDSET_INIT;
	const char		*mailbox;
	uint32_t		 h = handle(&mailbox);

	if (n[0] != 0)
		uidset_add(&set, n[0], n[0] + n[1] < n[0] ? UINT32_MAX :
		    n[0] + n[1]);
	if (n[4] != 0)
		uidset_add(&set, n[4], n[4] + n[5] < n[4] ? UINT32_MAX :
		    n[4] + n[5]);
	if (what == 'm') {
		struct m_net_meta	 m = { h, n[2] % 3, set };

		box_ask(M_NET_META, &m, &set, h, mailbox);
	} else if (what == 'f') {
		struct m_net_search	 m = { h, set };

		box_ask(M_NET_SEARCH, &m, &set, h, mailbox);
	} else if (what == 's') {
		struct m_net_send	 m = { h, n[2], n[3] & 1, set };

		box_ask(M_NET_SEND, &m, &set, h, mailbox);
	} else if (what == 'x') {
		struct m_net_store	 m = { h, n[2] & 1, flags[n[3] %
					    nitems(flags)], set };

		box_ask(M_NET_STORE, &m, &set, h, mailbox);
	} else if (what == 'v') {
		struct m_net_move	 m = { h, n[2] & 1, n[3], "a b", set };

		box_ask(M_NET_MOVE, &m, &set, h, mailbox);
	} else {
		struct m_net_expunge	 m = { h, n[2], n[3] & 1, set };

		box_ask(M_NET_EXPUNGE, &m, &set, h, mailbox);
	}
	uidset_free(&set);
}

static void
ask_list(const uint32_t *n)
{
	static const char *const	 patterns[] = { "*", "%", "b\351",
					    "INBOX" };
	struct m_net_list		 m = { n[0] & 7, n[1] & 1, n[2] & 1,
					    n[3] & 1 ? "r/" : "" };
	struct m_net_pattern		 q;
	uint32_t			 i;

	if (!box_allowed(M_NET_LIST))
		return;
	/* They have its id. */
	for (i = 0; i < n[4] % 4; i++) {
		q.pattern = patterns[(n[5] + i) % nitems(patterns)];
		chan_send(&box_engine, M_NET_PATTERN, box_last + 1, &q);
	}
	box_ask(M_NET_LIST, &m, NULL, 0, NULL);
}

static void
ask_other(char what, const uint32_t *n)
{
	struct m_net_name	 change = { n[0] % 5, name(n[1]), n[0] % 5 ==
				    NAME_RENAME ? name(n[2]) : "" };
	struct m_net_watch	 watch = { n[0] & 1, name(n[1]) };
	struct m_net_status	 status = { name(n[0]) };
	uint8_t			 none = 0;

	if (what == 'n')
		box_ask(M_NET_NAME, &change, NULL, 0, change.mailbox);
	else if (what == 'w')
		box_ask(M_NET_WATCH, &watch, NULL, 0, NULL);
	else if (what == 'u')
		box_ask(M_NET_UNWATCH, &none, NULL, 0, NULL);
	else if (what == 't')
		box_ask(M_NET_STATUS, &status, NULL, 0, status.mailbox);
	else if (what == 'q')
		box_ask(M_NET_LOGOUT, &none, NULL, 0, NULL);
	else if (what == 'z')
		box_ask(M_NET_STATS, &none, NULL, 0, NULL);
	else if (what == 'p' && !net.session.probed && net.login <= LOGIN_WAIT)
		box_ask(M_NET_PROBE, &none, NULL, 0, NULL);
}

static void
engine(const char *p, const char *end)
{
	uint32_t	 n[NUMBERS];
	char		 what = p < end ? *p++ : '\0';

	numbers(p, end, n);
	if (what == 'o')
		ask_open(n);
	else if (what == 'r')
		ask_recv(n);
	else if (what == 'l')
		ask_list(n);
	else if (what != '\0' && strchr("mfsxdv", what) != NULL)
		ask_set(what, n);
	else
		ask_other(what, n);
	box_turns();
}

/* ---- the bridge ---- */

static void
number(struct buf *b, uint64_t n, unsigned octets)
{
	uint8_t	*p = buf_room(b, octets);
	unsigned i;

	for (i = 0; i < octets; i++)
		p[i] = n >> 8 * (octets - 1 - i);
	buf_wrote(b, octets);
}

static const char	 dates[][27] = { " 9-Apr-2018 16:08:15 +0200",
			    "09-Apr-2018 16:08:15 \r\n\"()" };

static void
head(struct buf *b, const uint32_t *n, const char *fl, size_t len,
    uint64_t body)
{
	number(b, BR_MSG, 1);
	number(b, n[1], 4);
	number(b, n[2], 4);
	number(b, body, 8);
	number(b, n[3] != 0, 1);
	if (n[3] != 0)
		buf_add(b, dates[n[3] == 2], 26);
	number(b, len, 2);
	buf_add(b, fl, len);
}

/*
 * "kind,transfer,uid,date,length:flags|body": kind 0 is a message, 1 its head
 * alone, 2 octets of a body, 3 and 4 what ends a message, 5 and 6 what ends the
 * transfer; the second of each: aborted.  length is that of the body for kind 1;
 * date 1 is one, and 2 none that is allowed.
 */
static void
record(const char *p, const char *end)
{
	static struct buf	 b;
	const char		*fl, *body;
	uint32_t		 n[NUMBERS];

	p = numbers(p, end, n);
	fl = p < end && *p == ':' ? p + 1 : p;
	if ((body = memchr(fl, '|', end - fl)) == NULL)
		body = end;
	buf_clear(&b);
	if (n[0] < 2)
		head(&b, n, fl, body - fl, n[0] == 1 ? n[4] :
		    body < end ? (uint64_t)(end - body - 1) : 0);
	if ((n[0] == 0 || n[0] == 2) && body < end)
		buf_add(&b, body + 1, end - body - 1);
	if (n[0] == 0 || n[0] == 3 || n[0] == 4) {
		number(&b, n[0] != 4, 1);
		number(&b, n[4], 8);
	}
	if (n[0] == 5 || n[0] == 6) {
		number(&b, BR_END, 1);
		number(&b, n[1], 4);
		number(&b, n[0] == 5, 1);
	}
	bridge_octets(buf_ptr(&b), b.len);
}

/* ---- an input ---- */

static void
pass_time(const char *p, const char *end)
{
	uint32_t	 n[NUMBERS];

	numbers(p, end, n);
	confine_ms += n[0] != 0 ? n[0] % 10000000 : 100;
	box_turns();
}

static void
answer_all(void)
{
	uint32_t	 ntags = 0;
	int		 i;

	/* Not what is sent because of it. */
	for (i = 0; i < 20 && !TAILQ_EMPTY(&net.cmdq.answers); i++) {
		if (i > 0 && TAILQ_FIRST(&net.cmdq.answers)->waiting)
			break;
		if (ntags == 0)
			ntags = net.cmdq.ntags;
		if (strtoul(TAILQ_FIRST(&net.cmdq.answers)->tag + 1, NULL,
		    10) > ntags)
			break;
		server_tagged(0, " OK x", 5);
	}
}

static void
one_line(const char *p, const char *end)
{
	char	 what = p < end ? *p++ : '\0';

	if (what == 's')
		server_line(p, end - p);
	else if (what == 'S')
		server_says(p, end - p);
	else if (what == 't' && p < end && isdigit((unsigned char)*p))
		server_tagged(*p - '0', p + 1, end - p - 1);
	else if (what == 'y')
		answer_all();
	else if (what == 'e')
		engine(p, end);
	else if (what == 'h')
		back = p < end && *p == '1';
	else if (what == 'b')
		record(p, end);
	else if (what == 'B')
		bridge_octets(p, end - p);
	else if (what == 'i')
		pass_time(p, end);
	else if (what == 'z' || what == 'Z') {
		shutdown(what == 'z' ? box_bridge : box_server, SHUT_WR);
		box_turns();
	}
}

static void
log_in(const char *caps)
{
	static const char	 list[] = "l0,0,1";
	static char		 greeting[512];

	snprintf(greeting, sizeof(greeting), "* PREAUTH [CAPABILITY %s] x",
	    caps);
	engine(list, list + strlen(list));
	server_line(greeting, strlen(greeting));
	if (strstr(caps, "QRESYNC") != NULL)
		server_line("* ENABLED QRESYNC", 17);
	server_tagged(0, " OK x", 5);
	server_tagged(0, " OK x", 5);
}

static void
begin(char how)
{
	struct m_net_setup	*s = &net.setup;

	if (how == '2')
		s->auth = "SCRAM-SHA-256";
	else if (how == '3')
		s->auth = "CRAM-MD5 LOGIN PLAIN";
	else if (how == '4')
		s->compress = 1;
	else if (how == '5') {
		s->proxy = PROXY_SOCKS5H;
		s->proxy_addr = "mail.example";
		s->proxy_user = "proxy";
	} else if (how == '7') {
		net_log(&net, 1);
		s->debug = 1;
	} else if (how == '8')
		s->cleartext = 0;
	else if (how == '9')
		s->starttls = 1;
	else if (how == 'p')
		s->pipeline = 0;
	else if (how == 'C')
		s->strategy = STRATEGY_CONDSTORE;
	else if (how == 'N')
		s->strategy = STRATEGY_PLAIN;
	session_start(&net);
	box_turns();
	if (how == '0' || how == '7')
		log_in(MOST_CAPS);
	else if (how == '6')
		log_in(FEW_CAPS);
	else if (how == 'c')
		log_in(SOME_CAPS);
	else if (how == 'n')
		log_in(NO_CAPS);
	else if (how == 'C' || how == 'N')
		log_in(MOST_CAPS);
}

static void
play(const char *p, const char *end)
{
	const char	*nl;

	begin(*p++);
	for (; p < end; p = nl < end ? nl + 1 : end) {
		if ((nl = memchr(p, '\n', end - p)) == NULL)
			nl = end;
		one_line(p, nl);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char	*p = (const char *)data;
	int		 ended;

	if (len == 0)
		return 0;
	back = 0;
	box_begin(data, len);
	ended = CONFINED(play(p, p + len));
	box_end(!ended);
	return 0;
}
