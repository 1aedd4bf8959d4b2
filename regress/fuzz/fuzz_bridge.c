/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The receiver of what comes over the bridge: a worker with three RECVs, anything
 * as the records of the other one, and a server that answers, sometimes with NO.
 *
 * The first octet says what the server offers and how the RECVs are, the second
 * what the server answers and in which pieces the octets come; the rest comes
 * over the bridge, which ends then.
 *
 * What must hold, besides net_box.h: what is appended are bodies of well-formed
 * records, each whole, once and in their order, with no flag that the record does
 * not have, and its date; what is told as copied was such a message, with its key;
 * and when the bridge is at its end every RECV is over.
 */
#include "net_box.h"
#include "replay.h"

#define RECVS		3
#define RECORDS_MAX	4096

struct record {
	uint32_t	 uid;
	uint64_t	 key;
	size_t		 len;
	const uint8_t	*body;
	char		 date[27];	/* "" without */
	char		 flags[FLAGS_MAX];
	int		 appended;
};

static struct record	 records[RECORDS_MAX + 1];
static size_t		 nrecords;
static size_t		 nappended;	/* all up to that one were, or never are */
static uint32_t		 state;		/* of the server's answers */

/* ---- what was sent: read once more ---- */

static uint64_t
number(const uint8_t *p, unsigned octets)
{
	uint64_t	 n = 0;

	while (octets-- > 0)
		n = n << 8 | *p++;
	return n;
}

/* Octets of a message's record, or 0 if it is not whole. */
static size_t
read_message(const uint8_t *p, size_t n, struct record *r)
{
	size_t	 used, nflags;

	if (n < 18 || n < (used = p[17] ? 46 : 20))
		return 0;
	nflags = number(p + used - 2, 2);
	r->uid = number(p + 5, 4);
	r->len = number(p + 9, 8);
	if (nflags >= FLAGS_MAX || n - used < nflags)
		return 0;
	memset(r->date, 0, sizeof(r->date));
	if (p[17])
		memcpy(r->date, p + 18, 26);
	memcpy(r->flags, p + used, nflags);
	r->flags[nflags] = '\0';
	used += nflags;
	r->body = p + used;
	/* An APPEND is never completed without its trailer. */
	if (n - used < r->len || n - used - r->len < 9)
		return 0;
	used += r->len;
	r->key = number(p + used + 1, 8);
	return used + 9;
}

static void
read_records(const uint8_t *p, size_t n)
{
	size_t	 used;

	for (nrecords = 0; n >= 6 && nrecords < RECORDS_MAX; p += used,
	    n -= used) {
		if (p[0] == BR_END) {
			used = 6;
			continue;
		}
		if (p[0] != BR_MSG || (used = read_message(p, n,
		    &records[nrecords])) == 0)
			break;
		nrecords++;
	}
	nappended = 0;
}

/* ---- what has come of it ---- */

/* The flags and the date in front of the literal are the record's. */
static int
is_head(const char *head, const struct record *r)
{
	const char	*p, *end;
	char		 date[32], one[FLAG_MAX], text[FLAGS_MAX];

	if ((p = strchr(head, '(')) != NULL && strchr(head, '(') <
	    strrchr(head, '{')) {
		if ((end = strchr(p, ')')) == NULL ||
		    end - p > (ptrdiff_t)sizeof(text))
			return 0;
		strlcpy(text, p + 1, end - p);
		for (p = text; flags_next(&p, one); )
			if (!flags_has(r->flags, one))
				return 0;
		head = end;
	}
	snprintf(date, sizeof(date), "\"%s\"", r->date);
	/* The mailbox is a quoted string as well. */
	for (p = head; (p = strchr(p, '"')) != NULL; p += strlen("\"\"")) {
		if (strncmp(p, "\"box\"", 5) == 0) {
			p += 3;
			continue;
		}
		return strncmp(p, date, strlen(date)) == 0 &&
		    strchr(p + strlen(date), '"') == NULL;
	}
	return 1;
}

static void
appended(const char *head, const uint8_t *p, size_t n)
{
	struct record	*r;

	for (; nappended < nrecords; nappended++) {
		r = &records[nappended];
		if (r->len != n || (n > 0 && memcmp(r->body, p, n) != 0) ||
		    !is_head(head, r))
			continue;
		r->appended = 1;
		nappended++;
		return;
	}
	/* The last one may be whole but for its trailer. */
	must(wire.at != AT_LITERAL && nrecords < RECORDS_MAX &&
	    records[nrecords].body != NULL && records[nrecords].len == n &&
	    is_head(head, &records[nrecords]),
	    "what is appended is a record's body");
}

static void
told(uint32_t type, const void *rec)
{
	const struct m_engine_copied	*m = rec;
	size_t				 i;

	if (type != M_ENGINE_COPIED)
		return;
	for (i = 0; i < nrecords; i++)
		if (records[i].appended && records[i].uid == m->uid &&
		    records[i].len == m->size && records[i].key == m->key)
			return;
	must(0, "what was copied came over the bridge");
}

/* ---- the server ---- */

static uint32_t
next(uint32_t n)
{
	state = state * 1103515245 + 12345;
	return (state >> 16) % n;
}

static const char	*no[] = { " NO [TOOBIG] x", " NO x", " BAD x",
			    " NO [OVERQUOTA] x", " OK x" };

static void
serve(void)
{
	char	 text[80];
	int	 i;

	for (i = 0; i < 500 && !TAILQ_EMPTY(&net.cmdq.answers); i++) {
		if (wire.at == AT_PLUS && next(4) != 0) {
			server_line("+ x", 3);
			continue;
		}
		if (wire.at == AT_PLUS) {
			server_tagged(0, no[0], strlen(no[0]));
			continue;
		}
		if (TAILQ_FIRST(&net.cmdq.answers)->intx)
			break;
		snprintf(text, sizeof(text), " OK [APPENDUID 1 %u] x",
		    100 + i);
		if (next(4) == 0)
			strlcpy(text, no[next(nitems(no))], sizeof(text));
		server_tagged(0, text, strlen(text));
	}
}

static void
say(const char *text)
{
	server_line(text, strlen(text));
}

static void
begin(uint8_t how)
{
	static const struct m_net_list	 list = { 0, 0, 1, "" };
	struct m_net_open		 open;
	struct m_net_recv		 m;
	struct uidset			 set = UIDSET_INIT;
	int				 i;

	session_start(&net);
	box_ask(M_NET_LIST, &list, NULL, 0, NULL);
	box_turns();
	say(how & 1 ? "* PREAUTH [CAPABILITY IMAP4rev1 ENABLE QRESYNC UIDPLUS "
	    "LITERAL+ MULTIAPPEND LIST-EXTENDED LIST-STATUS] x" : how & 64 ?
	    "* PREAUTH [CAPABILITY IMAP4rev1 ENABLE QRESYNC UIDPLUS LITERAL- "
	    "APPENDLIMIT=100 LIST-EXTENDED LIST-STATUS] x" :
	    "* PREAUTH [CAPABILITY IMAP4rev1] x");
	for (i = 0; i < 5; i++)
		server_tagged(0, " OK x", 5);
	memset(&open, 0, sizeof(open));
	open.mailbox = "box";
	box_ask(M_NET_OPEN, &open, NULL, 0, "box");
	memset(&m, 0, sizeof(m));
	m.handle = box_last;
	m.mode = (how >> 1) % 3;
	m.nodate = how >> 3 & 1;
	m.nokeywords = how >> 4 & 1;
	m.perm_any = how >> 5 & 1;
	m.permflags = "\\Answered \\Seen kw";
	m.mailbox = "box";
	for (i = 1; i <= RECVS; i++) {
		m.transfer = i;
		uidset_add(&set, 1, i == 1 ? 9 : UINT32_MAX);
		box_ask(M_NET_RECV, &m, &set, m.handle, "box");
	}
	uidset_free(&set);
	box_turns();
	say("* OK [UIDVALIDITY 1] x");
	server_tagged(0, how & 128 ? " NO x" : " OK x", 5);
}

static void
play(uint8_t how, const uint8_t *p, size_t n)
{
	size_t	 k;
	int	 i;

	begin(how);
	for (; n > 0; p += k, n -= k) {
		k = 1 + next(state & 1 ? 64 : 4096);
		if (k > n)
			k = n;
		bridge_octets(p, k);
		if (next(3) != 0)
			serve();
		else
			confine_ms += next(100);
	}
	shutdown(box_bridge, SHUT_WR);
	for (i = 0; i < 3 * RECVS; i++) {
		box_turns();
		serve();
	}
	confine_ms += 20000;
	box_turns();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int	 ended, i;

	if (len < 2)
		return 0;
	box_told = told;
	box_appended = appended;
	state = data[1];
	memset(records, 0, (nrecords + 1) * sizeof(records[0]));
	read_records(data + 2, len - 2);
	box_begin(data, len);
	ended = CONFINED(play(data[0], data + 2, len - 2));
	if (!ended)
		for (i = 0; i < RECVS; i++)
			must(box_asked[box_last - i].done, "a RECV is over");
	box_end(!ended);
	return 0;
}
