/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Handles, SELECT, and what the server says of the mailbox that is selected. */
#include "net_peer.h"

/* OPEN with what the state knows of the mailbox. */
static void
asks_known(struct peer *p, uint32_t id, const char *mailbox, int what,
    uint32_t uidnext, uint32_t n)
{
	struct m_net_open	 m = { what, 7, uidnext, n, 50, mailbox };

	asks(p, M_NET_OPEN, id, &m);
}

static void
asks_set(struct peer *p, uint32_t type, uint32_t id, uint32_t handle,
    uint32_t lo, uint32_t hi)
{
	struct m_net_meta	 meta = { handle, 0, UIDSET_INIT };
	struct m_net_expunge	 expunge = { handle, 0, 1, UIDSET_INIT };

	uidset_add(&meta.set, lo, hi);
	expunge.set = meta.set;
	if (type == M_NET_META)
		asks(p, type, id, &meta);
	else
		asks(p, type, id, &expunge);
	uidset_free(&meta.set);
}

/* ---- the life of a handle ---- */

static unsigned
handles(struct peer *p)
{
	struct handle	*h;
	unsigned	 n = 0;

	TAILQ_FOREACH(h, &p->net.handles.all, entry)
		n++;
	return n;
}

static void
test_lives(void)
{
	struct m_net_open	 open;
	struct peer		*p = peer_ready(CAPS);
	struct net		*net = &p->net;
	struct handle		*a, *b;

	memset(&open, 0, sizeof(open));
	open.mailbox = "a";
	a = handle_new(net, 10, &open);
	ok(handle_find(net, 10) == a && handle_find(net, 11) == NULL,
	    "the last one can be named");
	handle_hold(a);
	open.mailbox = "b";
	b = handle_new(net, 11, &open);
	ok(handle_find(net, 10) == NULL && handle_find(net, 11) == b,
	    "and no other");
	is_num(handles(p), 2, "but what is held stays");
	is_str(a->mailbox, "a", "as it is");
	handle_release(net, a);
	is_num(handles(p), 1, "until it is released");
	handle_mute(net);
	ok(handle_find(net, 11) == NULL, "muted: no request names it");
	is_num(handles(p), 0, "nobody holds it");
	peer_end(p);
}

/* By the loop: those of requests, of commands, of the mailbox selected. */
static void
test_released(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_META, 11, 10, 1, 2);
	asks_open(p, 20, "other");
	is_num(handles(p), 2, "one is selected, one will be");
	says(p, "A4 OK x\r\n* OK [CLOSED] x\r\n* 1 EXISTS\r\nA5 OK x\r\n");
	is_num(handles(p), 1, "the first is not needed any more");
	asks_open(p, 30, "third");
	says(p, "A6 NO no\r\n");
	is_num(handles(p), 1, "the last one can still be named");
	ok(p->net.handles.current == NULL, "nothing is selected");
	peer_end(p);
}

/* ---- SELECT ---- */

static void
test_select(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_known(p, 10, "box", OPEN_EXAMINE | OPEN_NEW | OPEN_ALL |
	    OPEN_FULL, 4, 9);
	is_sent(p, "A3 EXAMINE \"box\" (QRESYNC (7 50 1:9))\r\n"
	    "A4 UID FETCH 1:9 (UID FLAGS)\r\n"
	    "A5 UID SEARCH RETURN (ALL) UID 4:4294967295\r\n"
	    "A6 UID SEARCH RETURN (ALL) UID 1:9\r\n", "all in one packet");
	says(p, "* 12 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	    "* OK [UIDNEXT 20] x\r\n* OK [HIGHESTMODSEQ 60] x\r\n"
	    "* VANISHED (EARLIER) 2:3\r\nA3 OK [READ-ONLY] x\r\n");
	is_told(p, "VANISHED 10 earlier 2:3\n", "what vanished");
	says(p, "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\nA4 OK x\r\n"
	    "* ESEARCH (TAG \"A5\") UID ALL 4,12\r\nA5 OK x\r\n"
	    "* ESEARCH (TAG \"A6\") UID ALL 1,4:9\r\n");
	is_told(p, "FLAGS 10 1 (\\Seen)\nUIDS 10 4 4,12\nUIDS 10 8 1,4:9\n",
	    "what else was asked");
	says(p, "A6 OK x\r\n");
	is_told(p, "OPENED 10 7/20/12/60 readonly\nDONE 10 ok\n",
	    "then the numbers");
	asks_known(p, 20, "none", 0, 1, 0);
	is_sent(p, "A7 SELECT \"none\" (QRESYNC (7 50))\r\n",
	    "no set if nothing is known");
	peer_end(p);
}

/* What comes in front of UIDVALIDITY, as with Dovecot. */
static void
test_permanent(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	says(p, "* FLAGS (\\Seen)\r\n* OK [PERMANENTFLAGS (\\Seen Work)] x\r\n"
	    "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA3 OK x\r\n");
	is_told(p, "OPENED 10 7/0/3/0 (\\Seen Work)\nDONE 10 ok\n",
	    "permanent flags come first");
	peer_end(p);
}

/*
 * What is said in front of [CLOSED], or before the SELECT shows, is about the
 * mailbox before it.
 */
static void
test_switch(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_open(p, 20, "other");
	asks_open(p, 30, "third");
	says(p, "* 4 EXISTS\r\n* VANISHED 1\r\n"
	    "* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n");
	is_told(p, "VANISHED 10 1\nFLAGS 10 2 (\\Seen)\n",
	    "news of the first");
	says(p, "* OK [CLOSED] x\r\n* 8 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n"
	    "* 1 FETCH (UID 5 FLAGS ())\r\nA4 OK x\r\n");
	is_told(p, "FLAGS 20 5 ()\nOPENED 20 8/0/8/0\nDONE 20 ok\n",
	    "the second");
	/* A server that does not say so. */
	says(p, "* 9 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n"
	    "* OK [UIDNEXT 4] x\r\nA5 OK x\r\n");
	is_told(p, "OPENED 30 9/4/9/0\nDONE 30 ok\n",
	    "the third, its EXISTS in front of UIDVALIDITY");
	peer_end(p);
}

/* HIGHESTMODSEQ by RFC 7162 section 6; EXISTS as it changes. */
static void
test_numbers(void)
{
	struct peer	*p = peer_ready(CAPS);
	struct handle	*h;

	opened(p, 10, "A3");
	h = p->net.handles.current;
	ok(h->modseq == 50 && h->exists == 3, "as selected");
	says(p, "* 1 FETCH (UID 1 MODSEQ (70))\r\n* 5 EXISTS\r\n"
	    "* VANISHED 2:3\r\n* VANISHED (EARLIER) 9\r\n");
	ok(h->modseq == 50 && h->exists == 3, "not before a tagged answer");
	asks_set(p, M_NET_META, 11, 10, 1, 1);
	says(p, "A4 OK x\r\n");
	is_num(h->modseq, 70, "the highest of FETCH");
	asks_set(p, M_NET_META, 12, 10, 1, 1);
	says(p, "* 1 FETCH (UID 1 MODSEQ (90))\r\n"
	    "A5 OK [HIGHESTMODSEQ 80] x\r\n");
	is_num(h->modseq, 80, "a code comes first");
	asks_set(p, M_NET_META, 13, 10, 1, 1);
	says(p, "* 1 FETCH (UID 1 MODSEQ (60))\r\nA6 OK x\r\n");
	is_num(h->modseq, 80, "it does not fall");
	says(p, "* VANISHED 1:100\r\n");
	is_num(h->exists, 0, "no less than none");
	asks_set(p, M_NET_META, 14, 10, 1, 1);
	says(p, "A7 OK [NOMODSEQ] x\r\n");
	is_num(h->modseq, 0, "none any more");
	peer_end(p);
}

static void
test_expunge(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_EXPUNGE, 11, 10, 2, 3);
	is_sent(p, "A4 UID STORE 2:3 +FLAGS.SILENT (\\Deleted)\r\n"
	    "A5 SELECT \"box\"\r\nA6 UID EXPUNGE 2:3\r\n",
	    "with another SELECT in between");
	says(p, "A4 OK x\r\n* OK [CLOSED] x\r\n* 3 EXISTS\r\nA5 OK x\r\n"
	    "* VANISHED 2:3\r\nA6 OK [HIGHESTMODSEQ 55] x\r\n");
	is_told(p, "VANISHED 10 2:3\nDONE 11 ok\n", "told");
	peer_end(p);
}

#define MOVED	"A4 SELECT \"box\"\r\nA5 UID MOVE 2:3,7 \"to\"\r\n"

/* Of UIDs 2, 3 and 7, to a mailbox whose UIDVALIDITY is 9; answered so. */
static void
move(int copy, const char *answer, const char *told, const char *what)
{
	struct peer		*p = peer_ready(CAPS);
	struct m_net_move	 m = { 10, copy, 9, "to", UIDSET_INIT };

	uidset_add(&m.set, 2, 3);
	uidset_add(&m.set, 7, 7);
	opened(p, 10, "A3");
	asks(p, M_NET_MOVE, 11, &m);
	is_sent(p, copy ? "A4 SELECT \"box\"\r\nA5 UID COPY 2:3,7 \"to\"\r\n" :
	    MOVED, what);
	says(p, "* OK [CLOSED] x\r\n* 3 EXISTS\r\nA4 OK x\r\n");
	says(p, answer);
	is_told(p, told, what);
	uidset_free(&m.set);
	peer_end(p);
}

#define COPIED(from, to)	"COPIED 11 " #from "->" #to " 0 0 () ()\n"

static void
test_move(void)
{
	move(0, "* OK [COPYUID 9 2:3,7 100:102] x\r\n* VANISHED 2:3,7\r\n"
	    "A5 OK [HIGHESTMODSEQ 55] x\r\n", COPIED(2, 100) COPIED(3, 101)
	    COPIED(7, 102) "VANISHED 10 2:3,7\nDONE 11 ok\n",
	    "COPYUID ahead of the answer");
	move(1, "A5 OK [COPYUID 9 2:3,7 100,102:103] x\r\n", COPIED(2, 100)
	    COPIED(3, 102) COPIED(7, 103) "DONE 11 ok\n", "in the answer");
	move(0, "* OK [COPYUID 9 2 100] x\r\n* OK [COPYUID 9 7 101] x\r\n"
	    "* VANISHED 2,7\r\nA5 OK x\r\n", COPIED(2, 100) COPIED(7, 101)
	    "VANISHED 10 2,7\nDONE 11 ok\n", "in parts; what is not in it "
	    "was not there");
	move(0, "* OK [COPYUID 9 2 100] x\r\nA5 NO x\r\n", COPIED(2, 100)
	    "DONE 11 no x\n", "NO behind a part");
	move(0, "A5 NO x\r\n", "DONE 11 no x\n", "NO");
#define UNKNOWN	COPIED(2, 0) COPIED(3, 0) COPIED(7, 0) "DONE 11 ok\n"
	move(0, "A5 OK x\r\n", UNKNOWN, "no COPYUID");
	move(0, "A5 OK [COPYUID 8 2:3,7 100:102] x\r\n", UNKNOWN,
	    "of another UIDVALIDITY");
	move(0, "A5 OK [COPYUID 9 7,2:3 100:102] x\r\n", UNKNOWN,
	    "in another order");
	move(0, "A5 OK [COPYUID 9 2:3,7 102,100:101] x\r\n", UNKNOWN,
	    "the copies in another order");
	move(0, "A5 OK [COPYUID 9 2:3,7 100:101] x\r\n", UNKNOWN,
	    "fewer copies");
	move(0, "A5 OK [COPYUID 9 2:8 100:106] x\r\n", UNKNOWN,
	    "of what was not asked for");
	move(0, "A5 OK [COPYUID 9] x\r\n", UNKNOWN, "that says nothing");
	move(0, "* OK [COPYUID 9 2:3,7 100:102] x\r\n* OK [COPYUID 9 2:3,7 "
	    "100:102] x\r\nA5 OK x\r\n", COPIED(2, 100) COPIED(3, 101)
	    COPIED(7, 102) "DONE 11 ok\n", "told again");
}

/* Right behind its SELECT, which nothing has used, it needs none of its own. */
static void
test_move_selects(void)
{
	struct m_net_move	 m = { 10, 0, 9, "to", UIDSET_INIT };
	struct m_net_store	 st = { 10, 1, "\\Seen", UIDSET_INIT };
	struct peer		*p;
	int			 i;

	uidset_add(&m.set, 7, 7);
	uidset_add(&st.set, 7, 7);
	for (i = 0; i < 2; i++) {
		p = peer_ready(CAPS);
		asks_open(p, 10, "box");
		if (i == 1)
			asks(p, M_NET_STORE, 11, &st);
		asks(p, M_NET_MOVE, 12, &m);
		is_sent(p, i == 0 ?
		    "A3 SELECT \"box\"\r\nA4 UID MOVE 7 \"to\"\r\n" :
		    "A3 SELECT \"box\"\r\nA4 UID STORE 7 +FLAGS.SILENT "
		    "(\\Seen)\r\nA5 SELECT \"box\"\r\nA6 UID MOVE 7 \"to\"\r\n",
		    i == 0 ? "behind a SELECT" : "behind a STORE");
		peer_end(p);
	}
	uidset_free(&m.set);
	uidset_free(&st.set);
}

/*
 * OPEN_KEEP: what was selected last goes on if nothing but a SEARCH came behind
 * its SELECT; "said" is what the server has said since.
 */
static void
keep(const char *box, int first, int second, uint64_t modseq, const char *said,
    const char *sent, const char *what)
{
	struct m_net_open	 m;
	struct peer		*p = peer_ready(CAPS);

	memset(&m, 0, sizeof(m));
	m.mailbox = "box";
	m.what = first | OPEN_NEW;
	asks(p, M_NET_OPEN, 10, &m);
	says(p, "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	    "* OK [UIDNEXT 100] x\r\n* OK [HIGHESTMODSEQ 50] x\r\n"
	    "A3 OK [READ-WRITE] x\r\n* ESEARCH (TAG \"A4\") UID\r\nA4 OK x\r\n");
	says(p, said);
	buf_clear(&p->told);
	buf_clear(&p->got);
	memset(&m, 0, sizeof(m));
	m.mailbox = box;
	m.what = second | OPEN_KEEP;
	m.modseq = modseq;
	m.uidvalidity = modseq == 0 ? 0 : 7;
	asks(p, M_NET_OPEN, 20, &m);
	is_sent(p, sent, what);
	if (sent[0] == '\0') {
		is_told(p, "OPENED 20 7/100/3/50\nDONE 20 ok\n", what);
		says(p, "* 4 EXISTS\r\n* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n");
		is_told(p, "FLAGS 20 1 (\\Seen)\n", "told under it");
	}
	peer_end(p);
}

#define AGAIN	"A5 SELECT \"box\"\r\n"

static void
test_keep(void)
{
	keep("box", 0, 0, 0, "", "", "kept");
	keep("box", 0, 0, 50, "", "", "kept from the same HIGHESTMODSEQ on");
	keep("box", 0, OPEN_EXAMINE, 0, "", "", "kept to look at it");
	keep("box", OPEN_EXAMINE, 0, 0, "", AGAIN, "it was read-only");
	keep("box", 0, 0, 40, "",
	    "A5 SELECT \"box\" (QRESYNC (7 40))\r\n", "since another one");
	keep("other", 0, 0, 0, "", "A5 SELECT \"other\"\r\n",
	    "another mailbox");
	keep("box", 0, 0, 0, "* 4 EXISTS\r\n", AGAIN, "a new message");
	keep("box", 0, 0, 0, "* VANISHED 9\r\n", AGAIN, "one less");
	keep("box", 0, 0, 0, "* 1 FETCH (UID 1 FLAGS ())\r\n", AGAIN,
	    "a change");
	keep("box", 0, 0, 0, "* 1 FETCH (FLAGS ())\r\n", AGAIN,
	    "what can't be read");
	keep("box", 0, 0, 0, "* OK [HIGHESTMODSEQ 60] x\r\n", AGAIN,
	    "another HIGHESTMODSEQ");
}

/* ---- messages ---- */

#define FIELDS	"BODY[HEADER.FIELDS (MESSAGE-ID DATE FROM TO SUBJECT)]"

static void
test_meta(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_META, 11, 10, 1, 3);
	buf_clear(&p->got);
	says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " {5}\r\na\r\n\r\n)\r\n");
	is_told(p, "META 11 1 10\n", "an answer");
	says(p, "* 9 FETCH (UID 9 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " {5}\r\na\r\n\r\n)\r\n");
	is_told(p, "FLAGS 10 9 ()\n", "one that was not asked for is news");
	says(p, "* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " NIL)\r\n");
	is_told(p, "", "one without its header is none");
	says(p, "* 3 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (60))\r\nA4 OK x\r\n");
	is_told(p, "FLAGS 10 3 (\\Seen)\nDONE 11 ok\n", "a change meanwhile");
	says(p, "* 2 FETCH (FLAGS (\\Seen))\r\n");
	is_told(p, "LOG 0 mail.example sent what can't be read, and is passed "
	    "over: * 2 FETCH (FLAGS (\\Seen))\nSPOILT 10 \n",
	    "whose that is can't be told: no HIGHESTMODSEQ is believed");
	peer_end(p);
}

/* Without the date, for which Dovecot would look at every file. */
static void
test_meta_key(void)
{
	struct m_net_meta	 m = { 10, META_KEY, UIDSET_INIT };
	struct peer		*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	uidset_add(&m.set, 1, 1);
	asks(p, M_NET_META, 11, &m);
	is_sent(p, "A4 UID FETCH 1 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS "
	    "(MESSAGE-ID DATE FROM TO SUBJECT)])\r\n", "META of the key");
	says(p, "* 1 FETCH (UID 1 RFC822.SIZE 10 " FIELDS " NIL)\r\n");
	is_told(p, "", "its header belongs to it");
	says(p, "* 1 FETCH (UID 1 RFC822.SIZE 10 " FIELDS
	    " {5}\r\na\r\n\r\n)\r\nA4 OK x\r\n");
	is_told(p, "META 11 1 10\nDONE 11 ok\n", "its answer");
	uidset_free(&m.set);
	peer_end(p);
}

/* What Courier shows of a message that another client has expunged. */
static void
test_meta_madeup(void)
{
	struct peer	*p = peer_ready(CAPS);
	int		 i;

	for (i = 0; i < 2; i++) {
		opened(p, 10 * i + 10, i == 0 ? "A3" : "A5");
		p->net.strategy = i == 0 ? &strategy_qresync : &strategy_plain;
		asks_set(p, M_NET_META, 10 * i + 11, 10 * i + 10, 1, 1);
		buf_clear(&p->told);
		says(p, "* 1 FETCH (UID 1 INTERNALDATE NIL RFC822.SIZE 129 "
		    FIELDS " {77}\r\n"
		    "From: System Administrator <root@localhost>\r\n"
		    "Subject: message unavailable\r\n\r\n)\r\n");
		is_told(p, i == 0 ? "META 11 1 129\n" : "", i == 0 ?
		    "with QRESYNC it is a message" : "without, it is none");
		says(p, i == 0 ? "A4 OK x\r\n" : "A6 OK x\r\n");
		buf_clear(&p->got);
		buf_clear(&p->told);
	}
	peer_end(p);
}

/* The next mailbox has a message of that UID as well. */
static void
test_meta_of_two(void)
{
	struct peer	*p = peer_ready(CAPS);
	const char	*one = "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL "
			    "RFC822.SIZE 10 " FIELDS " {5}\r\na\r\n\r\n)\r\n";

	opened(p, 10, "A3");
	asks_set(p, M_NET_META, 11, 10, 1, 1);
	asks_open(p, 20, "other");
	asks_set(p, M_NET_META, 21, 20, 1, 1);
	says(p, one);
	is_told(p, "META 11 1 10\n", "of the first");
	says(p, one);
	is_told(p, "FLAGS 10 1 ()\n", "once more, still of the first");
	says(p, "A4 OK x\r\n* OK [CLOSED] x\r\n* 1 EXISTS\r\nA5 OK x\r\n");
	says(p, one);
	is_told(p, "DONE 11 ok\nOPENED 20 0/0/1/0\nDONE 20 ok\n"
	    "META 21 1 10\n", "of the second");
	peer_end(p);
}

/* A FETCH of BODY[] that no SEND has asked for goes nowhere. */
static void
test_body(void)
{
	struct m_net_send	 m = { 10, 5, 1, UIDSET_INIT };
	struct peer		*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	uidset_add(&m.set, 1, 2);
	asks(p, M_NET_SEND, 11, &m);
	is_sent(p, "A4 UID FETCH 1:2 (UID FLAGS INTERNALDATE RFC822.SIZE "
	    "BODY.PEEK[])\r\n", "SEND");
	says(p, "* 9 FETCH (UID 9 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n");
	is_num(p->over.len, 0, "one that was not asked for is dropped");
	says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n");
	is_num(p->over.len, 20 + 3, "one that was is not");
	says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n");
	is_num(p->over.len, 20 + 3 + 9, "but only once");
	says(p, "* VANISHED 2\r\nA4 OK x\r\n");
	is_told(p, "VANISHED 10 2\nGONE 11 2\nDONE 11 ok\n",
	    "what did not come");
	ok(p->net.body.cmd == NULL, "no body is under way");
	uidset_free(&m.set);
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_lives();
	test_released();
	test_select();
	test_permanent();
	test_switch();
	test_numbers();
	test_expunge();
	test_move();
	test_move_selects();
	test_keep();
	test_meta();
	test_meta_key();
	test_meta_madeup();
	test_meta_of_two();
	test_body();
	return tap_done();
}
