/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* LIST and STATUS: joined to one event, asked again where they were refused. */
#include "net_peer.h"

#define RETURNS	"RETURN (SUBSCRIBED SPECIAL-USE STATUS (UIDVALIDITY UIDNEXT " \
		"MESSAGES HIGHESTMODSEQ))"

/* LIST of these patterns, with NULL behind the last. */
static void
asks_list(struct peer *p, uint32_t id, int selectors,
    const char *const *patterns)
{
	struct m_net_pattern	 pattern;
	struct m_net_list	 m = { selectors, 0, 1, "ref/" };

	for (; *patterns != NULL; patterns++) {
		pattern.pattern = *patterns;
		asks(p, M_NET_PATTERN, id, &pattern);
	}
	asks(p, M_NET_LIST, id, &m);
}

static void
asks_status(struct peer *p, uint32_t id, const char *mailbox)
{
	struct m_net_status	 m = { mailbox };

	asks(p, M_NET_STATUS, id, &m);
}

/* What the LIST that follows may tell; with NULL behind the last. */
static void
asks_known(struct peer *p, uint32_t id, const char *const *names)
{
	struct m_net_known	 m;

	for (; *names != NULL; names++) {
		m.mailbox = *names;
		asks(p, M_NET_KNOWN, id, &m);
	}
}

/* ---- answers ---- */

static void
test_joined(void)
{
	static const char *const	 two[] = { "*", "a b", NULL };
	struct peer			*p = peer_ready(CAPS);

	asks_list(p, 5, SEL_SUBSCRIBED | SEL_RECURSIVEMATCH, two);
	is_sent(p, "A3 LIST (SUBSCRIBED RECURSIVEMATCH) \"ref/\" (\"*\" "
	    "\"a b\") " RETURNS "\r\n", "two patterns in one command");
	says(p, "* LIST (\\Trash) \"/\" bin\r\n");
	is_told(p, "", "a name waits for its numbers");
	says(p, "* STATUS bin (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3 "
	    "HIGHESTMODSEQ 12)\r\n");
	is_told(p, "MAILBOX 5 bin 800 / 7/9/3/12\n", "and is told with them");
	says(p, "* STATUS inbox (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3)\r\n"
	    "* LIST () \"/\" INBOX\r\n");
	is_told(p, "MAILBOX 5 INBOX 0 / 7/9/3/0\n",
	    "the other way round, in any case");
	says(p, "* LIST (\\NoSelect) \"/\" dir\r\n");
	is_told(p, "MAILBOX 5 dir 1 /\n", "no numbers are due");
	says(p, "* LIST () NIL late\r\n* STATUS stranger (MESSAGES 1)\r\n"
	    "* LIST () \"/\" \"a\001b\"\r\n");
	is_told(p, "MAILBOX 5  0 /\n", "a name that can't be");
	says(p, "A3 OK x\r\n");
	is_told(p, "MAILBOX 5 late 0 -\nLOG 0 mail.example: 1 mailboxes have "
	    "names that can't be handled\nDONE 5 ok\n",
	    "what never came; what nobody listed");
	peer_end(p);
}

/* A server that knows no more than RFC 3501: what is subscribed to is a list. */
static void
test_plain(void)
{
	static const char *const	 two[] = { "*", "a\351b", NULL };
	static const char *const	 one[] = { "*", NULL };
	struct peer			*p;

	p = peer_ready("IMAP4rev1 ENABLE QRESYNC");
	asks_list(p, 5, 0, two);
	is_sent(p, "A3 LIST \"ref/\" \"*\"\r\nA4 LSUB \"ref/\" \"*\"\r\n"
	    "A5 LIST \"ref/\" {3}\r\n", "one pattern a command");
	says(p, "* LIST () \"/\" box\r\nA3 OK x\r\n* LSUB () \"/\" box\r\n"
	    "* LSUB (\\Noselect) \"/\" up\r\n* LSUB () \"/\" gone\r\n"
	    "A4 OK x\r\n+ go on\r\n");
	is_told(p, "", "nothing is told yet");
	is_sent(p, "a\351b\r\nA6 LSUB \"ref/\" {3}\r\n", "the literal");
	says(p, "* LIST () \"/\" up\r\nA5 OK x\r\n+ go on\r\nA6 OK x\r\n");
	is_told(p, "MAILBOX 5 box 8 /\nMAILBOX 5 up 0 /\nDONE 5 ok\n",
	    "subscribed; a parent of what is; gone");
	buf_clear(&p->got);
	asks_list(p, 6, SEL_SUBSCRIBED, one);
	says(p, "* LSUB () \"/\" one\r\n* LIST () \"/\" other\r\n"
	    "* LIST () \"/\" one\r\n* LIST () \"/\" one\r\n"
	    "A8 OK x\r\nA7 OK x\r\n");
	is_told(p, "MAILBOX 6 one 8 /\nDONE 6 ok\n",
	    "only those that are subscribed to");
	buf_clear(&p->got);
	asks_list(p, 7, 0, one);
	says(p, "* LIST () \"/\" one\r\nA9 OK x\r\nA10 NO no\r\n");
	is_told(p, "MAILBOX 7 one 0 /\nDONE 7 no no\n", "the worst answer");
	peer_end(p);
}

/* What it does not offer before the login is not asked for in its packet. */
static void
test_not_hoped(void)
{
	struct peer			*p = peer_new();
	static const char *const	 one[] = { "*", NULL };

	asks_list(p, 5, 0, one);
	says(p, "* OK [CAPABILITY IMAP4rev1 UIDPLUS] hello\r\n");
	is_sent(p, "A1 LOGIN \"user\" \"secret\"\r\n", "LOGIN alone");
	says(p, "A1 OK [CAPABILITY IMAP4rev1 UIDPLUS] x\r\n");
	is_sent(p, "A2 LIST \"ref/\" \"*\"\r\nA3 LSUB \"ref/\" \"*\"\r\n",
	    "then what is offered");
	peer_end(p);

	/* With UIDPLUS in it that is all it has. */
	p = peer_new();
	asks_list(p, 5, 0, one);
	says(p, "* OK [CAPABILITY IMAP4rev1 ENABLE UIDPLUS QRESYNC "
	    "LIST-EXTENDED LIST-STATUS] hello\r\n");
	is_sent(p, "A1 LOGIN \"user\" \"secret\"\r\n",
	    "SPECIAL-USE is missing");
	peer_end(p);
	p = peer_new();
	p->net.setup.compress = 1;
	asks_list(p, 5, 0, one);
	says(p, "* OK [CAPABILITY IMAP4rev1 ENABLE UIDPLUS QRESYNC "
	    "LIST-EXTENDED LIST-STATUS SPECIAL-USE] hello\r\n");
	is_sent(p, "A1 LOGIN \"user\" \"secret\"\r\n"
	    "A2 ENABLE QRESYNC\r\nA3 LIST \"ref/\" (\"*\") " RETURNS "\r\n",
	    "all is there but COMPRESS");
	peer_end(p);
}

/* Where LIST tells no STATUS that of the known ones is in the same packet. */
static void
test_known(void)
{
	static const char *const	 one[] = { "*", NULL };
	static const char *const	 known[] = { "box", "gone", "a\351b",
					    "inbox", NULL };
	static const char *const	 few[] = { "box", "late", NULL };
	struct peer			*p;

	p = peer_ready("IMAP4rev1 ENABLE QRESYNC CONDSTORE");
	asks_known(p, 5, known);
	asks_list(p, 5, 0, one);
	is_sent(p, "A3 LIST \"ref/\" \"*\"\r\nA4 LSUB \"ref/\" \"*\"\r\n"
	    "A5 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)"
	    "\r\nA6 STATUS \"gone\" (UIDVALIDITY UIDNEXT MESSAGES "
	    "HIGHESTMODSEQ)\r\nA7 STATUS {3}\r\n", "all at once");
	says(p, "* LIST () \"/\" box\r\n* LIST () \"/\" new\r\n"
	    "* LIST () \"/\" INBOX\r\n* LIST () \"/\" \"a\351b\"\r\n"
	    "A3 OK x\r\n* LSUB () \"/\" box\r\nA4 OK x\r\n"
	    "* STATUS box (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3 HIGHESTMODSEQ "
	    "4)\r\nA5 OK x\r\nA6 NO gone\r\n+ go on\r\n");
	buf_clear(&p->got);
	is_told(p, "", "not before all is answered");
	says(p, "* STATUS \"a\351b\" (UIDVALIDITY 7 UIDNEXT 1 MESSAGES 0)\r\n"
	    "A7 BAD HIGHESTMODSEQ\r\n* STATUS INBOX (UIDVALIDITY 8 UIDNEXT 2 "
	    "MESSAGES 1)\r\n* STATUS stranger (MESSAGES 1)\r\nA8 OK x\r\n");
	is_told(p, "MAILBOX 5 INBOX 0 / 8/2/1/0\nMAILBOX 5 a\351b 0 /\n"
	    "MAILBOX 5 box 8 / 7/9/3/4\nMAILBOX 5 new 0 /\nDONE 5 ok\n",
	    "what is refused is not there, in front of BAD is nothing told");
	peer_end(p);

	/* LIST-EXTENDED alone; the answers in another order. */
	p = peer_ready("IMAP4rev1 ENABLE QRESYNC CONDSTORE LIST-EXTENDED");
	asks_known(p, 5, few);
	asks_list(p, 5, 0, one);
	is_sent(p, "A3 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)\r\n"
	    "A4 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)"
	    "\r\nA5 STATUS \"late\" (UIDVALIDITY UIDNEXT MESSAGES "
	    "HIGHESTMODSEQ)\r\n", "no LSUB");
	says(p, "* STATUS late (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3)\r\n"
	    "A5 OK x\r\nA4 NO x\r\n* LIST (\\Subscribed) \"/\" late\r\n"
	    "* LIST (\\NoSelect) \"/\" up\r\nA3 OK x\r\n");
	is_told(p, "MAILBOX 5 late 8 / 7/9/3/0\nMAILBOX 5 up 1 /\nDONE 5 ok\n",
	    "told");
	peer_end(p);

	p = peer_ready(CAPS);
	asks_known(p, 5, few);
	asks_list(p, 5, 0, one);
	is_sent(p, "A3 LIST \"ref/\" (\"*\") " RETURNS "\r\n",
	    "LIST-STATUS: nothing else");
	peer_end(p);
}

/* STATUS is not for what is selected. */
static void
test_selected(void)
{
	static const char *const	 one[] = { "*", NULL };
	static const char *const	 known[] = { "box", NULL };
	struct m_net_open		 open;
	struct m_net_watch		 watch = { 0, "" };
	struct m_net_unwatch		 unwatch = { 0 };
	struct peer			*p;

	p = peer_ready("IMAP4rev1 ENABLE QRESYNC LIST-EXTENDED UNSELECT");
	opened(p, 10, "A3");
	asks_known(p, 20, known);
	asks_list(p, 20, 0, one);
	is_sent(p, "A4 UNSELECT\r\nA5 LIST \"ref/\" (\"*\") RETURN "
	    "(SUBSCRIBED)\r\nA6 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES "
	    "HIGHESTMODSEQ)\r\n", "UNSELECT, in the same packet");
	says(p, "A4 OK x\r\n");
	ok(p->net.handles.current == NULL, "nothing is selected");
	says(p, "A5 OK x\r\nA6 OK x\r\n");
	asks_known(p, 30, known);
	asks_list(p, 30, 0, one);
	is_sent(p, "A7 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)\r\n"
	    "A8 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)"
	    "\r\n", "and so no UNSELECT");
	peer_end(p);

	/* CLOSE would expunge what is not read-only. */
	p = peer_ready("IMAP4rev1 ENABLE QRESYNC LIST-EXTENDED");
	opened(p, 10, "A3");
	asks_known(p, 20, known);
	asks_list(p, 20, 0, one);
	is_sent(p, "A4 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)\r\n"
	    "A5 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)"
	    "\r\n", "no CLOSE");
	says(p, "A4 OK x\r\nA5 OK x\r\n");
	memset(&open, 0, sizeof(open));
	open.what = OPEN_EXAMINE;
	open.mailbox = "box";
	asks(p, M_NET_OPEN, 30, &open);
	says(p, "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA6 OK x\r\n");
	buf_clear(&p->got);
	asks_known(p, 40, known);
	asks_list(p, 40, 0, one);
	is_sent(p, "A7 CLOSE\r\nA8 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)"
	    "\r\nA9 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES "
	    "HIGHESTMODSEQ)\r\n", "what was examined is closed");
	says(p, "A7 OK x\r\nA8 OK x\r\nA9 OK x\r\n");

	/* A WATCH that can only wait does it ahead of that. */
	buf_clear(&p->told);
	opened(p, 50, "A10");
	buf_clear(&p->told);
	asks(p, M_NET_WATCH, 60, &watch);
	is_sent(p, "A11 EXAMINE \"box\"\r\n", "first it is examined");
	says(p, "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nA11 OK x\r\n");
	is_sent(p, "A12 CLOSE\r\n", "then closed");
	says(p, "A12 OK x\r\n");
	is_sent(p, "", "then nothing");
	asks(p, M_NET_UNWATCH, 0, &unwatch);
	is_told(p, "DONE 60 ok\n", "until it ends");
	opened(p, 70, "A13");
	buf_clear(&p->told);
	asks(p, M_NET_WATCH, 80, &watch);
	buf_clear(&p->got);
	says(p, "A14 NO not now\r\n");
	is_sent(p, "", "it can't be examined: it is not closed");
	asks(p, M_NET_UNWATCH, 0, &unwatch);
	is_told(p, "DONE 80 ok\n", "and that is no fault");
	peer_end(p);
}

/* So many are under way at most. */
static void
test_many_known(void)
{
	static const char *const	 one[] = { "*", NULL };
	struct m_net_known		 m;
	struct peer			*p;
	char				 name[32], line[64];
	unsigned			 i;

	p = peer_ready("IMAP4rev1 ENABLE QRESYNC LIST-EXTENDED");
	m.mailbox = name;
	for (i = 0; i < 2002; i++) {
		snprintf(name, sizeof(name), "box%u", i);
		asks(p, M_NET_KNOWN, 5, &m);
	}
	asks_list(p, 5, 0, one);
	ok(memmem(buf_ptr(&p->got), p->got.len, "A2002 STATUS \"box1998\"",
	    22) != NULL && memmem(buf_ptr(&p->got), p->got.len, "A2003",
	    5) == NULL, "1,999 of 2,002, behind LIST");
	buf_clear(&p->got);
	says(p, "* LIST () \"/\" box1\r\nA3 OK x\r\n");
	is_sent(p, "", "LIST is answered");
	says(p, "A4 NO x\r\n");
	ok(memmem(buf_ptr(&p->got), p->got.len, "A2003 STATUS \"box1999\"",
	    22) != NULL && memmem(buf_ptr(&p->got), p->got.len, "A2005",
	    5) == NULL, "the next");
	for (i = 5; i <= 2005; i++) {
		snprintf(line, sizeof(line), "A%u NO x\r\n", i);
		says(p, line);
	}
	is_told(p, "MAILBOX 5 box1 0 /\nDONE 5 ok\n", "all of them");
	peer_end(p);
}

static void
test_status(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_status(p, 5, "one");
	asks_status(p, 6, "two");
	is_sent(p, "A3 STATUS \"one\" (UIDVALIDITY UIDNEXT MESSAGES "
	    "HIGHESTMODSEQ)\r\nA4 STATUS \"two\" (UIDVALIDITY UIDNEXT "
	    "MESSAGES HIGHESTMODSEQ)\r\n", "two at once");
	says(p, "* STATUS two (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3)\r\n");
	is_told(p, "MAILBOX 6 two 0 - 7/9/3/0\n", "by name");
	says(p, "A4 OK x\r\nA3 OK x\r\n");
	is_told(p, "DONE 6 ok\nDONE 5 bad an OK to STATUS without its "
	    "answer\n", "one has no answer");
	peer_end(p);
}

/* ---- asked again ---- */

/*
 * In the packet of LOGIN: what the server offers is hoped for.  "caps" come with
 * LOGIN's OK.
 */
static struct peer *
login(const char *caps, const char *const *patterns, const char *first)
{
	struct peer	*p = peer_new();
	char		 line[512];

	asks_list(p, 5, 0, patterns);
	says(p, "* OK [CAPABILITY IMAP4rev1 ENABLE] hello\r\n");
	snprintf(line, sizeof(line), "A1 LOGIN \"user\" \"secret\"\r\n"
	    "A2 ENABLE QRESYNC\r\n%s", first);
	is_sent(p, line, "one packet");
	if (caps == NULL) {
		says(p, "A1 OK x\r\n");
		return p;
	}
	snprintf(line, sizeof(line), "A1 OK [CAPABILITY %s] x\r\n"
	    "A2 BAD x\r\n", caps);
	says(p, line);
	return p;
}

static const char *const	 all[] = { "*", NULL };
#define FIRST	"A3 LIST \"ref/\" (\"*\") " RETURNS "\r\n"

static void
test_hoped(void)
{
	struct peer	*p = login(CAPS, all, FIRST);

	is_sent(p, "A4 ENABLE CONDSTORE\r\n",
	    "all that was hoped for is offered");
	says(p, "* LIST () \"/\" box\r\n"
	    "* STATUS box (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3)\r\nA3 OK x\r\n");
	is_told(p, "MAILBOX 5 box 0 / 7/9/3/0\nDONE 5 ok\n", "told");
	peer_end(p);

	p = login(CAPS, all, FIRST);
	says(p, "A3 BAD no\r\n");
	is_sent(p, "A4 ENABLE CONDSTORE\r\n",
	    "there is nothing less to ask for");
	is_told(p, "DONE 5 bad no\n", "refused");
	peer_end(p);
}

/* Refused with what was hoped for: the known ones are in the next packet. */
static void
test_less_known(void)
{
	static const char *const	 known[] = { "box", NULL };
	struct peer			*p = peer_new();

	asks_known(p, 5, known);
	asks_list(p, 5, 0, all);
	says(p, "* OK [CAPABILITY IMAP4rev1 ENABLE] hello\r\n");
	is_sent(p, "A1 LOGIN \"user\" \"secret\"\r\nA2 ENABLE QRESYNC\r\n"
	    FIRST, "one packet, without STATUS");
	says(p, "A1 OK [CAPABILITY IMAP4rev1 CONDSTORE] x\r\nA2 BAD x\r\n"
	    "A3 BAD x\r\n");
	is_sent(p, "A4 LIST \"ref/\" \"*\"\r\nA5 LSUB \"ref/\" \"*\"\r\n"
	    "A6 STATUS \"box\" (UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ)"
	    "\r\n", "the next one has it");
	says(p, "* LIST () \"/\" box\r\nA4 OK x\r\nA5 OK x\r\n"
	    "* STATUS box (UIDVALIDITY 7 UIDNEXT 9 MESSAGES 3)\r\nA6 OK x\r\n");
	is_told(p, "MAILBOX 5 box 0 / 7/9/3/0\nDONE 5 ok\n", "told");
	peer_end(p);
}

static void
test_less(void)
{
	struct peer	*p = login("IMAP4rev1 LIST-EXTENDED ENABLE", all,
			    FIRST);

	says(p, "A3 BAD unknown\r\n");
	is_sent(p, "A4 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)\r\n",
	    "refused: what is offered");
	is_told(p, "", "nothing is done yet");
	says(p, "* LIST () \"/\" box\r\nA4 OK x\r\n");
	is_told(p, "MAILBOX 5 box 0 /\nDONE 5 ok\n", "told");
	peer_end(p);
}

/* Two commands: when both are answered, and once. */
static void
test_less_of_two(void)
{
	static const char *const	 two[] = { "a\351b", "*", NULL };
	struct peer			*p;

	p = login("IMAP4rev1 LIST-EXTENDED ENABLE LITERAL+", two,
	    "A3 LIST \"ref/\" ({3}\r\n");
	says(p, "A3 BAD unknown\r\n");
	is_sent(p, "A4 LIST \"ref/\" (\"*\") " RETURNS "\r\n",
	    "the other is waited for");
	says(p, "A4 BAD unknown\r\n");
	is_sent(p, "A5 LIST \"ref/\" ({3+}\r\na\351b \"*\") RETURN "
	    "(SUBSCRIBED)\r\n", "then all is asked again");
	is_told(p, "", "nothing is done yet");
	says(p, "A5 OK x\r\n");
	is_told(p, "DONE 5 ok\n", "done");
	peer_end(p);
}

/* It is refused before the capabilities behind the login are known. */
static void
test_later(void)
{
	struct peer	*p = login(NULL, all, FIRST);

	is_sent(p, "A4 CAPABILITY\r\n", "they are asked for");
	says(p, "A2 BAD x\r\nA3 BAD unknown\r\n");
	is_sent(p, "", "nothing can be asked yet");
	is_told(p, "", "nothing is done yet");
	says(p, "* CAPABILITY IMAP4rev1 LIST-EXTENDED\r\nA4 OK x\r\n");
	is_sent(p, "A5 LIST \"ref/\" (\"*\") RETURN (SUBSCRIBED)\r\n",
	    "then what is offered");
	says(p, "* LIST () \"/\" box\r\nA5 OK x\r\n");
	is_told(p, "MAILBOX 5 box 0 /\nDONE 5 ok\n", "told, once");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_joined();
	test_plain();
	test_known();
	test_selected();
	test_many_known();
	test_status();
	test_hoped();
	test_less();
	test_less_known();
	test_less_of_two();
	test_later();
	test_not_hoped();
	return tap_done();
}
