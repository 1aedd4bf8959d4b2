/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* WATCH by IDLE: two turns from one to the next, and nothing goes unnoticed. */
#include "net_peer.h"

#define EXAMINED "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n" \
		"* OK [UIDNEXT 9] x\r\n* OK [HIGHESTMODSEQ 5] x\r\n"

static const struct m_net_watch	 watch = { 0, "box" };
static const uint8_t		 unwatch;

static void
lists(struct peer *p, uint32_t id)
{
	struct m_net_pattern	 pattern = { "*" };
	struct m_net_list	 m = { 0, 0, 1, "" };

	asks(p, M_NET_PATTERN, id, &pattern);
	asks(p, M_NET_LIST, id, &m);
}

/* A WATCH of "box", in IDLE.  The EXAMINE is A3. */
static struct peer *
idling(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC "
			    "LIST-EXTENDED LIST-STATUS UNSELECT IDLE");

	asks(p, M_NET_WATCH, 10, &watch);
	is_sent(p, "A3 EXAMINE \"box\"\r\nA4 IDLE\r\n", "in one packet");
	is_told(p, "", "what comes of it is not known");
	says(p, EXAMINED "A3 OK x\r\n+ idling\r\n");
	is_told(p, "MAILBOX 10 box 0 - 7/9/3/5\n", "what EXAMINE told is no news");
	return p;
}

static void
test_turns(void)
{
	struct peer	*p = idling();

	buf_clear(&p->got);
	asks(p, M_NET_UNWATCH, 0, &unwatch);
	lists(p, 11);
	is_sent(p, "DONE\r\nA5 LIST \"\" (\"*\") RETURN (SUBSCRIBED STATUS "
	    "(UIDVALIDITY UIDNEXT MESSAGES HIGHESTMODSEQ))\r\n",
	    "LIST does not wait for the end of IDLE");
	says(p, "* 4 EXISTS\r\nA4 OK x\r\n* LIST () \"/\" other\r\n"
	    "A5 OK x\r\n");
	is_told(p, "CHANGED 10 box\nDONE 10 ok\nMAILBOX 11 other 0 /\n"
	    "DONE 11 ok\n", "each has its own answers");
	asks(p, M_NET_WATCH, 12, &watch);
	is_sent(p, "A6 IDLE\r\n", "it is still selected");
	says(p, "+ idling\r\n");
	is_told(p, "", "nothing has changed since");
	says(p, "* 4 EXISTS\r\n");
	is_told(p, "", "that is known");
	says(p, "* 5 EXISTS\r\n");
	is_told(p, "CHANGED 12 box\n", "and that is news");
	peer_end(p);
}

/* What is told between two WATCHes. */
static void
test_missed(void)
{
	static const char *const	 news[] = { "* 4 EXISTS", "* 1 EXPUNGE",
					    "* VANISHED 2",
					    "* 1 FETCH (UID 1 FLAGS ())" };
	struct peer			*p;
	char				 line[128];
	size_t				 i;

	for (i = 0; i < sizeof(news) / sizeof(*news); i++) {
		p = idling();
		asks(p, M_NET_UNWATCH, 0, &unwatch);
		lists(p, 11);
		says(p, "A4 OK x\r\n");
		snprintf(line, sizeof(line), "%s\r\nA5 OK x\r\n", news[i]);
		says(p, line);
		is_told(p, "DONE 10 ok\nDONE 11 ok\n", news[i]);
		asks(p, M_NET_WATCH, 12, &watch);
		says(p, "+ idling\r\n");
		is_told(p, "CHANGED 12 box\n", "the next WATCH tells of it");
		asks(p, M_NET_UNWATCH, 0, &unwatch);
		says(p, "A6 OK x\r\n");
		buf_clear(&p->told);
		asks(p, M_NET_WATCH, 13, &watch);
		is_told(p, "", "once");
		peer_end(p);
	}
}

/* What was selected meanwhile. */
static void
test_other(void)
{
	struct m_net_watch	 other = { 0, "other" };
	struct peer		*p = idling();

	asks(p, M_NET_UNWATCH, 0, &unwatch);
	says(p, "A4 OK x\r\n");
	buf_clear(&p->got);
	asks(p, M_NET_WATCH, 12, &other);
	is_sent(p, "A5 EXAMINE \"other\"\r\nA6 IDLE\r\n", "another mailbox");
	says(p, EXAMINED "A5 OK x\r\n+ idling\r\n");
	asks(p, M_NET_UNWATCH, 0, &unwatch);
	says(p, "A6 OK x\r\n");
	buf_clear(&p->told);
	buf_clear(&p->got);
	opened(p, 13, "A7");
	buf_clear(&p->got);
	asks(p, M_NET_WATCH, 14, &watch);
	is_sent(p, "A8 EXAMINE \"box\"\r\nA9 IDLE\r\n", "one that was opened");
	peer_end(p);
}

static void
test_refused(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC IDLE");

	asks(p, M_NET_WATCH, 10, &watch);
	says(p, "A3 NO it is gone\r\n+ idling\r\n");
	is_sent(p, "A3 EXAMINE \"box\"\r\nA4 IDLE\r\nDONE\r\n",
	    "an IDLE without a mailbox is ended");
	says(p, "A4 OK x\r\n");
	is_told(p, "DONE 10 no it is gone\n", "the WATCH with it");
	asks(p, M_NET_WATCH, 11, &watch);
	says(p, "A5 NO it is gone\r\nA6 BAD not now\r\n");
	is_told(p, "DONE 11 no it is gone\n", "and where IDLE is refused, too");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_turns();
	test_missed();
	test_other();
	test_refused();
	return tap_done();
}
