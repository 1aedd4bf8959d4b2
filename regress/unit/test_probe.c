/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * PROBE: what a worker tells of its server without a login, and that it sends
 * nothing but what it must for that.
 */
#include "net_peer.h"

static const struct m_net_probe	 probe;

static void
test_greeting(void)
{
	struct peer	*p = peer_new();

	asks(p, M_NET_PROBE, 7, &probe);
	says(p, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN AUTH=X UIDPLUS] hi\r\n");
	is_sent(p, "", "what the greeting says is not asked for");
	is_told(p, "OFFER 7 uidplus (PLAIN X)\nDONE 7 ok\n", "it is told");
	peer_end(p);

	p = peer_new();
	says(p, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n");
	asks(p, M_NET_PROBE, 7, &probe);
	is_told(p, "OFFER 7 (PLAIN)\nDONE 7 ok\n",
	    "also if the server was first");
	is_sent(p, "", "and nothing else is sent");
	peer_end(p);
}

static void
test_asked(void)
{
	struct peer	*p = peer_new();

	asks(p, M_NET_PROBE, 7, &probe);
	says(p, "* OK hi\r\n");
	is_sent(p, "A1 CAPABILITY\r\n", "what was not told is asked for");
	is_told(p, "", "and waited for");
	says(p, "* CAPABILITY IMAP4rev1\r\nA1 OK x\r\n");
	is_told(p, "OFFER 7 ()\nDONE 7 ok\n", "then it is told");
	is_sent(p, "", "nobody logs in");
	peer_end(p);
}

/* Who is let in at once is asked as well: LIST does not come to do it. */
static void
test_preauth(void)
{
	struct peer	*p = peer_new();

	says(p, "* PREAUTH hi\r\n");
	is_sent(p, "", "without a question there is none");
	asks(p, M_NET_PROBE, 7, &probe);
	is_sent(p, "A1 CAPABILITY\r\n", "PREAUTH without capabilities");
	says(p, "* CAPABILITY IMAP4rev1 UIDPLUS\r\nA1 OK x\r\n");
	is_told(p, "OFFER 7 preauth uidplus ()\nDONE 7 ok\n", "is told");
	peer_end(p);

	p = peer_new();
	asks(p, M_NET_PROBE, 7, &probe);
	says(p, "* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n");
	is_told(p, "OFFER 7 preauth ()\nDONE 7 ok\n", "PREAUTH with them");
	is_sent(p, "", "nothing is sent");
	peer_end(p);
}

/* The login is LIST's business, behind a PROBE as without one. */
static void
test_then(void)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p = peer_new();

	asks(p, M_NET_PROBE, 7, &probe);
	says(p, "* PREAUTH [CAPABILITY " CAPS "] hi\r\n");
	is_told(p, "OFFER 7 preauth uidplus ()\nDONE 7 ok\n", "first the one");
	asks(p, M_NET_LIST, 8, &m);
	is_sent(p, "A1 ENABLE QRESYNC\r\nA2 LIST \"\" \"\"\r\n",
	    "then the other");
	peer_end(p);
}

static void
twice(struct peer *p)
{
	asks(p, M_NET_PROBE, 7, &probe);
	asks(p, M_NET_PROBE, 8, &probe);
}

static void
behind(struct peer *p)
{
	struct m_net_list	 m = { 0, 0, 1, "" };

	asks(p, M_NET_LIST, 1, &m);
	says(p, "* OK [CAPABILITY IMAP4rev1 UIDPLUS] hi\r\n");
	asks(p, M_NET_PROBE, 8, &probe);
}

int
main(void)
{
	peer_begin();
	test_greeting();
	test_asked();
	test_preauth();
	test_then();
	ends(peer_new(), twice, EX_SYNC_ERROR, "a PROBE that comes twice",
	    "not twice");
	ends(peer_new(), behind, EX_SYNC_ERROR, "a PROBE that comes twice, or "
	    "behind the login", "not behind the login");
	return tap_done();
}
