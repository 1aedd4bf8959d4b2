/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Which strategy the worker takes, and what it asks a server without QRESYNC:
 * lists, the canary, what is expunged.
 */
#include "net_peer.h"

#define FEW	"IMAP4rev1 UIDPLUS LITERAL+"
#define SOME	FEW " CONDSTORE ENABLE ESEARCH"
#define ALL_OF	SOME " QRESYNC"

/* One that greets with these capabilities; nothing of it was read yet. */
static struct peer *
greets(const char *caps, enum strategy_kind kind)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p = peer_new();
	char			 line[512];

	p->net.setup.strategy = kind;
	asks(p, M_NET_LIST, 1, &m);
	snprintf(line, sizeof(line), "* PREAUTH [CAPABILITY %s] hello\r\n",
	    caps);
	says(p, line);
	return p;
}

/* Logged in: commands begin with A3 (condstore), A2 (plain). */
static struct peer *
logged_in(enum strategy_kind kind)
{
	struct peer	*p;

	if (kind == STRATEGY_CONDSTORE) {
		p = greets(SOME, STRATEGY_AUTO);
		says(p, "* ENABLED CONDSTORE\r\nA1 OK x\r\nA2 OK x\r\n");
	} else {
		p = greets(FEW, STRATEGY_AUTO);
		says(p, "A1 OK x\r\n");
	}
	buf_clear(&p->got);
	is_told(p, "DONE 1 ok\n", "ready");
	is_num(p->net.strategy->kind, kind, "as it should be");
	return p;
}

/* ---- which ---- */

static void
test_choice(void)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p;

	p = greets(ALL_OF, STRATEGY_AUTO);
	is_sent(p, "A1 ENABLE QRESYNC\r\nA2 LIST \"\" \"\"\r\n", "all offered");
	says(p, "* ENABLED QRESYNC\r\nA1 OK x\r\n");
	is_num(p->net.strategy->kind, STRATEGY_QRESYNC, "and switched on");
	is_sent(p, "", "nothing else");
	peer_end(p);

	p = greets(ALL_OF, STRATEGY_AUTO);
	buf_clear(&p->got);
	says(p, "* ENABLED\r\nA1 OK x\r\n");
	is_num(p->net.strategy->kind, STRATEGY_CONDSTORE, "not switched on");
	is_sent(p, "A3 ENABLE CONDSTORE\r\n", "this is");
	says(p, "A3 BAD x\r\nA2 OK x\r\n");
	is_told(p, "DONE 1 ok\n", "or not");
	peer_end(p);

	p = greets(FEW " CONDSTORE", STRATEGY_AUTO);
	is_num(p->net.strategy->kind, STRATEGY_CONDSTORE, "without ENABLE");
	is_sent(p, "A1 LIST \"\" \"\"\r\n", "it is not sent");
	peer_end(p);

	p = greets(FEW, STRATEGY_AUTO);
	is_num(p->net.strategy->kind, STRATEGY_PLAIN, "nothing offered");
	peer_end(p);

	/* It was neither offered nor asked for. */
	p = peer_new();
	p->net.setup.strategy = STRATEGY_AUTO;
	asks(p, M_NET_LIST, 1, &m);
	says(p, "* PREAUTH hello\r\n");
	says(p, "* ENABLED QRESYNC\r\n* CAPABILITY " FEW "\r\nA1 OK x\r\n");
	is_num(p->net.strategy->kind, STRATEGY_PLAIN, "ENABLED alone");
	peer_end(p);

	p = greets(ALL_OF, STRATEGY_CONDSTORE);
	is_num(p->net.strategy->kind, STRATEGY_CONDSTORE, "less by the "
	    "configuration");
	is_sent(p, "A1 LIST \"\" \"\"\r\nA2 ENABLE CONDSTORE\r\n",
	    "QRESYNC is not asked for");
	peer_end(p);

	p = greets(ALL_OF, STRATEGY_PLAIN);
	is_num(p->net.strategy->kind, STRATEGY_PLAIN, "least");
	is_sent(p, "A1 LIST \"\" \"\"\r\n", "nothing is asked for");
	ok(!(p->net.caps.bits & (CAP_QRESYNC | CAP_CONDSTORE)) &&
	    (p->net.caps.bits & CAP_ESEARCH), "as if it was not offered");
	peer_end(p);
}

static void
too_much(struct peer *p)
{
	struct m_net_list	 m = { 0, 0, 1, "" };

	p->net.setup.strategy = STRATEGY_QRESYNC;
	asks(p, M_NET_LIST, 1, &m);
	says(p, "* PREAUTH [CAPABILITY " SOME "] hello\r\n");
}

static void
also_too_much(struct peer *p)
{
	struct m_net_list	 m = { 0, 0, 1, "" };

	p->net.setup.strategy = STRATEGY_QRESYNC;
	asks(p, M_NET_LIST, 1, &m);
	says(p, "* PREAUTH [CAPABILITY " ALL_OF "] hello\r\n");
	says(p, "* ENABLED\r\nA1 OK x\r\n");
}

static void
test_forced(void)
{
	struct peer	*p = peer_new();

	ends(p, too_much, 69, "does not offer QRESYNC, without which "
	    "\"strategy = qresync\"", "more than is offered");
	ends(p, also_too_much, 69, "does not switch on QRESYNC",
	    "more than is switched on");
	peer_end(p);
}

/* ---- OPEN ---- */

#define SELECTED	"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"

static void
asks_known(struct peer *p, uint32_t id, int what, uint64_t modseq)
{
	struct m_net_open	 m = { what, 7, 8, 9, modseq, "box" };

	asks(p, M_NET_OPEN, id, &m);
}

static void
test_condstore(void)
{
	struct peer	*p = logged_in(STRATEGY_CONDSTORE);

	asks_known(p, 10, OPEN_NEW, 50);
	is_sent(p, "A3 SELECT \"box\" (CONDSTORE)\r\n"
	    "A4 UID FETCH 1:9 (UID FLAGS) (CHANGEDSINCE 50)\r\n"
	    "A5 UID FETCH 8:4294967295 (UID)\r\n"
	    "A6 UID FETCH 4294967294 (UID)\r\n", "all in one packet");
	says(p, SELECTED "* OK [UIDNEXT 11] x\r\n"
	    "* OK [HIGHESTMODSEQ 60] x\r\nA3 OK x\r\n"
	    "* 2 FETCH (UID 4 FLAGS (\\Seen) MODSEQ (55))\r\nA4 OK x\r\n"
	    "* 3 FETCH (UID 10)\r\nA5 OK x\r\nA6 OK x\r\n");
	is_told(p, "FLAGS 10 4 (\\Seen)\nUIDS 10 4 10\n"
	    "OPENED 10 7/11/3/60 counted\nDONE 10 ok\n", "told");
	/* Nothing is known: nothing can have changed.  The canary is alive. */
	asks_known(p, 20, 0, 0);
	is_sent(p, "A7 SELECT \"box\" (CONDSTORE)\r\n", "the first time");
	says(p, SELECTED "A7 OK x\r\n");
	is_told(p, "OPENED 20 7/0/3/0 listed\nDONE 20 ok\n", "no modseqs: as "
	    "with plain");
	/* A change without a UID is nobody's, and must be told again. */
	says(p, "* 1 FETCH (FLAGS (\\Seen))\r\n");
	is_told(p, "SPOILT 20 \n", "without a word");
	asks_known(p, 30, OPEN_EXAMINE, 50);
	says(p, SELECTED "A8 OK x\r\nA9 NO no\r\n");
	is_told(p, "OPENED 30 7/0/3/0 readonly listed\nDONE 30 ok\n",
	    "what has changed can't be told");
	asks_known(p, 40, 0, 50);
	says(p, SELECTED "* OK [HIGHESTMODSEQ 60] x\r\nA10 OK x\r\n"
	    "A11 NO no\r\n");
	is_told(p, "OPENED 40 7/0/3/60 counted\nDONE 40 no no\n",
	    "it could, and is not");
	peer_end(p);
}

static void
test_plain(void)
{
	struct peer	*p = logged_in(STRATEGY_PLAIN);

	asks_known(p, 10, OPEN_NEW | OPEN_FULL | OPEN_ALL, 50);
	is_sent(p, "A2 SELECT \"box\"\r\nA3 UID FETCH 1:9 (UID FLAGS)\r\n"
	    "A4 UID FETCH 8:4294967295 (UID)\r\nA5 UID FETCH 1:9 (UID)\r\n"
	    "A6 UID FETCH 4294967294 (UID)\r\n", "lists, no search");
	/* What is told and was not offered is not believed. */
	says(p, SELECTED "* OK [HIGHESTMODSEQ 60] x\r\nA2 OK x\r\n"
	    "* 1 FETCH (UID 2 FLAGS (\\Seen))\r\nA3 OK x\r\n"
	    "* 3 FETCH (UID 12)\r\nA4 OK x\r\n"
	    "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 5)\r\n* 3 FETCH (UID 12)\r\n"
	    "A5 OK x\r\nA6 OK x\r\n");
	is_told(p, "FLAGS 10 2 (\\Seen)\nUIDS 10 4 12\nUIDS 10 8 2,5\n"
	    "OPENED 10 7/13/3/0 listed\nDONE 10 ok\n",
	    "the last message is told whatever is asked; UIDNEXT behind it");
	asks_known(p, 20, OPEN_NEW, 0);
	is_sent(p, "A7 SELECT \"box\"\r\nA8 UID FETCH 8:4294967295 (UID)\r\n",
	    "once more");
	says(p, SELECTED "A7 OK x\r\n* 3 FETCH (UID 4)\r\nA8 OK x\r\n");
	is_told(p, "OPENED 20 7/8/3/0 listed\nDONE 20 ok\n",
	    "nothing new: UIDNEXT is not below what it was");
	peer_end(p);
}

/* VANISHED of a server that has not switched QRESYNC on is not believed. */
static void
test_vanished(enum strategy_kind kind)
{
	struct peer	*p = logged_in(kind);
	char		 line[64];
	uint32_t	 tag;

	asks_known(p, 10, 0, 0);
	tag = kind == STRATEGY_CONDSTORE ? 3 : 2;
	snprintf(line, sizeof(line), "A%u OK x\r\nA%u OK x\r\n", tag, tag + 1);
	says(p, "* VANISHED (EARLIER) 4\r\n" SELECTED
	    "* VANISHED (EARLIER) 5\r\n");
	says(p, line);
	says(p, "* VANISHED 2\r\n");
	is_told(p, "OPENED 10 7/0/3/0 listed\nDONE 10 ok\n",
	    "nothing is gone");
	ok(uidset_empty(&p->net.handles.current->vanished) &&
	    p->net.handles.current->exists == 2, "but one less is there");
	peer_end(p);
}

/* A list of all is a SEARCH, until one has found nothing. */
static void
test_esearch(void)
{
	struct peer	*p = logged_in(STRATEGY_CONDSTORE);

	asks_known(p, 10, OPEN_ALL, 0);
	is_sent(p, "A3 SELECT \"box\" (CONDSTORE)\r\n"
	    "A4 UID SEARCH RETURN (ALL) UID 1:9\r\n"
	    "A5 UID FETCH 4294967294 (UID)\r\n", "a short list");
	says(p, SELECTED "A3 OK x\r\n* ESEARCH (TAG \"A4\") UID ALL 2:4\r\n"
	    "A4 OK x\r\nA5 OK x\r\n");
	is_told(p, "UIDS 10 8 2:4\nOPENED 10 7/0/3/0 listed\nDONE 10 ok\n",
	    "told");
	asks_known(p, 20, OPEN_ALL, 0);
	is_sent(p, "A6 SELECT \"box\" (CONDSTORE)\r\n"
	    "A7 UID SEARCH RETURN (ALL) UID 1:9\r\n", "again");
	says(p, "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA6 OK x\r\n"
	    "* ESEARCH (TAG \"A7\") UID\r\nA7 OK x\r\n");
	buf_clear(&p->told);
	asks_known(p, 30, OPEN_ALL, 0);
	is_sent(p, "A8 SELECT \"box\" (CONDSTORE)\r\n"
	    "A9 UID SEARCH RETURN (ALL) UID 1:9\r\n",
	    "of an empty mailbox nothing can be found");
	says(p, SELECTED "A8 OK x\r\n* ESEARCH (TAG \"A9\") UID\r\n"
	    "A9 OK x\r\n");
	is_told(p, "OPENED 30 7/0/3/0 listed\nDONE 30 ok\n",
	    "nothing, of three");
	asks_known(p, 40, OPEN_ALL, 0);
	is_sent(p, "A10 SELECT \"box\" (CONDSTORE)\r\n"
	    "A11 UID FETCH 1:9 (UID)\r\n", "then it is fetched");
	peer_end(p);
}

/* Without ESEARCH some say nothing where SEARCH finds nothing. */
static void
test_no_esearch(void)
{
	struct peer	*p = greets(FEW " CONDSTORE", STRATEGY_AUTO);

	says(p, "A1 OK x\r\n");
	buf_clear(&p->got);
	buf_clear(&p->told);
	asks_known(p, 10, OPEN_NEW, 50);
	is_sent(p, "A2 SELECT \"box\" (CONDSTORE)\r\n"
	    "A3 UID FETCH 1:9 (UID FLAGS) (CHANGEDSINCE 50)\r\n"
	    "A4 UID FETCH 8:4294967295 (UID)\r\n"
	    "A5 UID FETCH 4294967294 (UID)\r\n", "a list");
	peer_end(p);
}

/* A set of so many single UIDs. */
static void
test_lines(void)
{
	struct m_net_meta	 m = { 10, 1, UIDSET_INIT };
	struct peer		*p = logged_in(STRATEGY_PLAIN);
	const char		*c, *next;
	size_t			 longest = 0;
	uint32_t		 u;
	int			 n = 0;

	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\nA3 OK x\r\n");
	buf_clear(&p->got);
	for (u = 1000001; u < 1002000; u += 2)
		uidset_add(&m.set, u, u);
	asks(p, M_NET_META, 11, &m);
	uidset_free(&m.set);
	for (c = text_of(&p->got); (next = strstr(c, "\r\n")) != NULL;
	    c = next + 2, n++)
		if ((size_t)(next - c) > longest)
			longest = next - c;
	ok(n > 1 && longest <= 1000 && longest > 500, "lines of %zu octets",
	    longest);
	peer_end(p);
}

/* ---- SEARCH, by a FETCH ---- */

static void
test_search(void)
{
	struct m_net_search	 m = { 10, UIDSET_INIT };
	struct peer		*p = logged_in(STRATEGY_PLAIN);

	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\nA3 OK x\r\n");
	buf_clear(&p->got);
	buf_clear(&p->told);
	uidset_add(&m.set, 3, 5);
	asks(p, M_NET_SEARCH, 11, &m);
	uidset_free(&m.set);
	is_sent(p, "A4 UID FETCH 3:5 (UID)\r\n", "asked");
	says(p, "* SEARCH\r\n* 1 FETCH (UID 4)\r\n* 2 FETCH (UID 9)\r\n"
	    "A4 OK x\r\n");
	is_told(p, "UIDS 11 0 4\nDONE 11 ok\n", "what is shown of it");
	peer_end(p);
}

/* ---- the canary ---- */

static void
test_canary(void)
{
	struct peer	*p = logged_in(STRATEGY_PLAIN);

	asks_known(p, 10, 0, 0);
	says(p, "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA2 OK x\r\n"
	    "A3 OK x\r\n");
	is_num(p->net.canary, CANARY_UNKNOWN, "an empty mailbox says nothing");
	asks_known(p, 20, 0, 0);
	buf_clear(&p->told);
	says(p, SELECTED "A4 OK x\r\n* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n"
	    "A5 OK x\r\n");
	is_num(p->net.canary, CANARY_SOUND, "flags are news, not an answer");
	is_told(p, "FLAGS 20 1 (\\Seen)\nOPENED 20 7/0/3/0 listed\n"
	    "DONE 20 ok\n", "sound");
	peer_end(p);

	p = logged_in(STRATEGY_PLAIN);
	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\n* 3 FETCH (UID 3)\r\nA3 OK x\r\n");
	is_told(p, "OPENED 10 7/0/3/0 ghosts\nDONE 10 ok\n", "a ghost");
	asks_known(p, 20, 0, 0);
	says(p, SELECTED "A4 OK x\r\n");
	is_told(p, "OPENED 20 7/0/3/0 ghosts\nDONE 20 ok\n",
	    "of any mailbox");
	peer_end(p);
}

/* ---- EXPUNGE ---- */

static struct peer *
expunges(uint32_t survivor)
{
	struct m_net_expunge	 m = { 10, survivor, 1, UIDSET_INIT };
	struct peer		*p = logged_in(STRATEGY_PLAIN);
	char			 line[512], text[32] = "";

	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\nA3 OK x\r\n");
	buf_clear(&p->got);
	buf_clear(&p->told);
	uidset_add(&m.set, 4, 5);
	asks(p, M_NET_EXPUNGE, 11, &m);
	uidset_free(&m.set);
	if (survivor != 0)
		snprintf(text, sizeof(text), ",%u", survivor);
	snprintf(line, sizeof(line),
	    "A4 UID STORE 4:5 +FLAGS.SILENT (\\Deleted)\r\n"
	    "A5 SELECT \"box\"\r\nA6 UID EXPUNGE 4:5\r\nA7 SELECT \"box\"\r\n"
	    "A8 UID FETCH 4:5%s (UID)\r\n", text);
	is_sent(p, line, "expunged, and looked at");
	/* What was said ahead of the SELECT says nothing of what is behind. */
	says(p, "* 1 FETCH (UID 4 FLAGS (\\Deleted))\r\n"
	    "* 1 FETCH (UID 7 FLAGS ())\r\nA4 OK x\r\n" SELECTED "A5 OK x\r\n"
	    "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\nA6 OK x\r\n");
	buf_clear(&p->told);
	return p;
}

static void
test_expunge(void)
{
	struct peer	*p = expunges(7);

	says(p, "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "* 1 FETCH (UID 7)\r\nA8 OK x\r\n");
	is_told(p, "VANISHED 10 4:5\nDONE 11 ok\n", "both are gone");
	peer_end(p);

	p = expunges(7);
	says(p, "* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "* 1 FETCH (UID 5)\r\n* 2 FETCH (UID 7)\r\nA8 OK x\r\n");
	is_told(p, "VANISHED 10 4\nDONE 11 ok\n", "one is not");
	peer_end(p);

	p = expunges(7);
	says(p, "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "A8 OK x\r\n");
	is_told(p, "DONE 11 ok\n", "no survivor is shown");
	peer_end(p);

	p = expunges(7);
	says(p, "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "* 1 FETCH (UID 7)\r\nA8 NO no\r\n");
	is_told(p, "DONE 11 no no\n", "not all is shown");
	peer_end(p);

	p = expunges(7);
	says(p, "A7 NO no\r\n* 1 FETCH (UID 7)\r\nA8 OK x\r\n");
	is_told(p, "DONE 11 no no\n", "it can't be selected");
	peer_end(p);

	p = expunges(0);
	says(p, "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "A8 OK x\r\n");
	is_told(p, "VANISHED 10 4:5\nDONE 11 ok\n", "nothing is left");
	peer_end(p);

	p = expunges(0);
	says(p, "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "A8 OK x\r\n");
	is_told(p, "DONE 11 ok\n", "something is");
	peer_end(p);
}

/* ---- EXPUNGE without UID EXPUNGE ---- */

#define ASKED	"A4 SELECT \"box\"\r\nA5 UID FETCH 1:* (UID FLAGS)\r\n"	\
		"A6 UID STORE 4:5 +FLAGS.SILENT (\\Deleted)\r\n"	\
		"A7 UID SEARCH DELETED\r\n"
#define LISTED	"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA4 OK x\r\n"	\
		"* 1 FETCH (UID 4 FLAGS (\\Deleted))\r\n"		\
		"* 2 FETCH (UID 5 FLAGS ())\r\n"			\
		"* 3 FETCH (UID 7 FLAGS (\\Seen))\r\nA5 OK x\r\n"

/* Of what is there 4 and 5 are to go; the server says so much. */
static struct peer *
expunges_marked(enum strategy_kind kind, const char *says_so)
{
	struct m_net_expunge	 m = { 10, 7, 0, UIDSET_INIT };
	struct peer		*p = logged_in(kind);

	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\nA3 OK x\r\n");
	p->net.caps.bits &= ~CAP_UIDPLUS;
	buf_clear(&p->got);
	buf_clear(&p->told);
	/* What is in one part of the set is no stranger to the other. */
	uidset_add(&m.set, 4, 4);
	asks(p, M_NET_EXPUNGE, 11, &m);
	uidset_free(&m.set);
	uidset_add(&m.set, 5, 5);
	m.last = 1;
	asks(p, M_NET_EXPUNGE, 12, &m);
	uidset_free(&m.set);
	asks_known(p, 20, 0, 0);
	is_sent(p, ASKED, "what is marked there, and by whom");
	is_told(p, "DONE 11 ok\n", "a part");
	says(p, says_so);
	return p;
}

/* It is not sent on, and whoever is next is. */
static void
stays(const char *says_so, const char *why, const char *what)
{
	struct peer	*p = expunges_marked(STRATEGY_PLAIN, says_so);
	char		 told[512];

	snprintf(told, sizeof(told), "DONE 12 %s\n", why);
	is_told(p, told, what);
	is_sent(p, "A8 SELECT \"box\"\r\n", "no EXPUNGE");
	peer_end(p);
}

static void
test_marked(void)
{
	struct peer	*p = expunges_marked(STRATEGY_PLAIN,
			    LISTED "A6 OK x\r\n* SEARCH 5 4\r\nA7 OK x\r\n");

	is_sent(p, "A8 EXPUNGE\r\nA9 SELECT \"box\"\r\n"
	    "A10 UID FETCH 4:5,7 (UID)\r\nA11 SELECT \"box\"\r\n", "exactly those");
	says(p, "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\nA8 OK x\r\n"
	    "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA9 OK x\r\n"
	    "* 1 FETCH (UID 7)\r\nA10 OK x\r\n");
	is_told(p, "VANISHED 10 4:5\nDONE 12 ok\n", "gone");
	peer_end(p);

	p = expunges_marked(STRATEGY_PLAIN, "* 2 EXISTS\r\n"
	    "* OK [UIDVALIDITY 7] x\r\nA4 OK x\r\n"
	    "* 1 FETCH (UID 4 FLAGS ())\r\n* 2 FETCH (UID 7 FLAGS ())\r\n"
	    "A5 OK x\r\nA6 OK x\r\n* SEARCH 4\r\nA7 OK x\r\n");
	is_sent(p, "A8 EXPUNGE\r\nA9 SELECT \"box\"\r\n"
	    "A10 UID FETCH 4:5,7 (UID)\r\nA11 SELECT \"box\"\r\n", "one is gone already");
	peer_end(p);

	stays("* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA4 OK x\r\n"
	    "* 1 FETCH (UID 4 FLAGS ())\r\n* 2 FETCH (UID 5 FLAGS ())\r\n"
	    "* 3 FETCH (UID 7 FLAGS (\\Deleted))\r\nA5 OK x\r\n"
	    "A6 OK x\r\n* SEARCH 4 5 7\r\nA7 OK x\r\n",
	    "no other messages there are marked \\Deleted (UID 7), and a "
	    "server without UIDPLUS expunges these as well: expunge them "
	    "there, or take their mark away, and run again", "a bystander");
	stays(LISTED "A6 OK x\r\n* SEARCH 4 5 7\r\nA7 OK x\r\n",
	    "no it does not find exactly those messages marked \\Deleted that "
	    "are to go", "one that was marked meanwhile");
	stays(LISTED "A6 OK x\r\n* SEARCH 4\r\nA7 OK x\r\n",
	    "no it does not find exactly those messages marked \\Deleted that "
	    "are to go", "a SEARCH that does not find all");
	stays(LISTED "A6 OK x\r\nA7 OK x\r\n",
	    "no it does not find exactly those messages marked \\Deleted that "
	    "are to go", "a SEARCH without an answer");
	stays("* 4 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA4 OK x\r\n"
	    "* 1 FETCH (UID 4 FLAGS ())\r\n* 2 FETCH (UID 5 FLAGS ())\r\n"
	    "* 3 FETCH (UID 7 FLAGS ())\r\nA5 OK x\r\n"
	    "A6 OK x\r\n* SEARCH 4 5\r\nA7 OK x\r\n",
	    "no it does not list all that is there, and may expunge only what "
	    "is known", "a list that is too short");
	stays(LISTED "A6 NO read-only\r\n* SEARCH 4 5\r\nA7 OK x\r\n",
	    "no read-only", "STORE is refused");
	stays("A4 NO gone\r\nA5 BAD x\r\nA6 BAD x\r\nA7 BAD x\r\n",
	    "unsent the mailbox could not be selected", "it can't be selected");
}

/* UIDPLUS is listed, and UID EXPUNGE refused: from then on as without. */
static void
test_refused(void)
{
	struct m_net_expunge	 m = { 10, 7, 1, UIDSET_INIT };
	struct peer		*p = expunges(7);

	peer_end(p);
	p = logged_in(STRATEGY_PLAIN);
	asks_known(p, 10, 0, 0);
	says(p, SELECTED "A2 OK x\r\nA3 OK x\r\n");
	uidset_add(&m.set, 4, 5);
	asks(p, M_NET_EXPUNGE, 11, &m);
	buf_clear(&p->told);
	says(p, "A4 OK x\r\n" SELECTED "A5 OK x\r\nA6 NO not here\r\n"
	    "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA7 OK x\r\n"
	    "* 1 FETCH (UID 4)\r\n* 2 FETCH (UID 5)\r\n* 3 FETCH (UID 7)\r\n"
	    "A8 OK x\r\n");
	is_told(p, "DONE 11 no not here\n", "refused");
	buf_clear(&p->got);
	asks(p, M_NET_EXPUNGE, 12, &m);
	is_sent(p, "A9 SELECT \"box\"\r\nA10 UID FETCH 1:* (UID FLAGS)\r\n"
	    "A11 UID STORE 4:5 +FLAGS.SILENT (\\Deleted)\r\n"
	    "A12 UID SEARCH DELETED\r\n", "as without");
	uidset_free(&m.set);
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_choice();
	test_forced();
	test_condstore();
	test_plain();
	test_vanished(STRATEGY_CONDSTORE);
	test_vanished(STRATEGY_PLAIN);
	test_esearch();
	test_no_esearch();
	test_lines();
	test_search();
	test_canary();
	test_expunge();
	test_marked();
	test_refused();
	return tap_done();
}
