/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * --check of a certificate that can't be verified: such a session ends where others
 * log in, whatever the server offers and the engine asks.
 */
#include "net_peer.h"

#define OFFERS	"IMAP4rev1 AUTH=PLAIN AUTH=SCRAM-SHA-256 SASL-IR ENABLE QRESYNC"

static struct peer *
peek(void)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p = peer_new();

	p->net.setup.check = CHECK_PEEK;
	asks(p, M_NET_LIST, 1, &m);
	return p;
}

static void
test_greetings(void)
{
	static const char *const	 greetings[] = {
		"* OK [CAPABILITY " OFFERS "] hello\r\n",
		"* OK [CAPABILITY " OFFERS " LOGINDISABLED] hello\r\n",
		"* PREAUTH [CAPABILITY " OFFERS "] hello\r\n",
		"* PREAUTH hello\r\n"
	};
	struct peer	*p;
	size_t		 i;

	for (i = 0; i < nitems(greetings); i++) {
		p = peek();
		says(p, greetings[i]);
		is_told(p, "CERT 0 none\n", "the end is told, once");
		is_sent(p, "", "and nothing is sent");
		says(p, "* CAPABILITY " OFFERS " STARTTLS\r\n* OK go on\r\n");
		is_sent(p, "", "nor when it says more");
		peer_end(p);
	}
	p = peek();
	says(p, "* OK hello\r\n");
	is_sent(p, "A1 CAPABILITY\r\n", "what it offers may be asked");
	says(p, "* CAPABILITY " OFFERS "\r\nA1 OK x\r\n");
	is_sent(p, "", "and no more");
	is_told(p, "CERT 0 none\n", "the end is told");
	peer_end(p);
}

/* With the default nothing of it is told. */
static void
test_not(void)
{
	struct peer	*p = peer_new();
	struct m_net_list m = { 0, 0, 1, "" };

	asks(p, M_NET_LIST, 1, &m);
	says(p, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n");
	ok(strstr(text_of(&p->got), "secret") != NULL ||
	    strstr(text_of(&p->got), "AUTHENTICATE") != NULL,
	    "others log in");
	is_told(p, "", "and tell nothing");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_greetings();
	test_not();
	return tap_done();
}
