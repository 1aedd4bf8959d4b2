/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The end of a server: what was due of it, what is said, when it counts so. */
#include "net_peer.h"

#define ITEMS	" (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])\r\n"
#define FIELDS	"BODY[HEADER.FIELDS (MESSAGE-ID DATE FROM TO SUBJECT)]"
#define FOREVER	4000000000U	/* a timeout; net.alive may be set to 1 */

static void
asks_set(struct peer *p, uint32_t type, uint32_t id, uint32_t handle,
    const char *set)
{
	struct m_net_send	 send = { handle, 5, 1, UIDSET_INIT };
	struct m_net_meta	 meta = { handle, 0, UIDSET_INIT };
	struct m_net_search	 search = { handle, UIDSET_INIT };
	struct m_net_store	 store = { handle, 1, "\\Seen", UIDSET_INIT };

	uidset_parse(&send.set, set, strlen(set));
	meta.set = search.set = store.set = send.set;
	if (type == M_NET_SEND)
		asks(p, type, id, &send);
	else if (type == M_NET_META)
		asks(p, type, id, &meta);
	else if (type == M_NET_STORE)
		asks(p, type, id, &store);
	else
		asks(p, type, id, &search);
	uidset_free(&send.set);
	buf_clear(&p->got);
}

static void
gives(struct peer *p, uint32_t uid)
{
	char	 line[256];

	snprintf(line, sizeof(line), "* %u FETCH (UID %u FLAGS () INTERNALDATE "
	    "NIL RFC822.SIZE 3 BODY[] {3}\r\nabc)\r\n", uid, uid);
	says(p, line);
}

/* ---- ends ---- */

static const char	*last_words;

/* In this process only: whoever has made it has the other end as it was. */
static void
ends_here(int fd)
{
	int	 sv[2];

	pair(sv);
	if (dup2(sv[1], fd) == -1)
		fatal("dup2");
	close(sv[0]);
	close(sv[1]);
}

static void
closes(struct peer *p)
{
	says(p, last_words);
	ends_here(stream_fd(p->net.st));
	turns(p);
}

static void
says_it(struct peer *p)
{
	says(p, last_words);
}

/* It is closed behind these words: that is told, and nothing else. */
static void
closed(struct peer *p, const char *words, const char *told, const char *what)
{
	last_words = words;
	ends_telling(p, closes, EX_SYNC_TEMP, told, what);
}

/* They are enough. */
static void
confused(struct peer *p, const char *words, const char *told,
    const char *what)
{
	last_words = words;
	ends_telling(p, says_it, EX_SYNC_TEMP, told, what);
}

#define LOST	"FATAL 0 75 lost the server mail.example: "
#define CLOSED	LOST "the connection was closed"

/* ---- what was due ---- */

static void
test_send(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1:4,9");
	closed(p, "", "DUE 11 1\n" CLOSED ", while it was asked for message "
	    "UID 1 of box\n", "none has come");
	gives(p, 1);
	closed(p, "", "DUE 11 2\n" CLOSED ", while it was asked for message "
	    "UID 2 of box\n", "the next");
	closed(p, "* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL BODY[] {3}\r\na",
	    "DUE 11 2\n" CLOSED ", while it was asked for message UID 2 of "
	    "box\n", "one that is being read");
	closed(p, "* 4 FETCH (UID 4 FLAGS () INTERNALDATE NIL BODY[] {3}\r\na",
	    "DUE 11 4\n" CLOSED ", while it was asked for message UID 4 of "
	    "box\n", "whichever it is");
	gives(p, 3);
	closed(p, "", "DUE 11 4\n" CLOSED ", while it was asked for message "
	    "UID 4 of box\n", "not one that was passed over");
	closed(p, "* 4 FETCH (UID 4 FLAGS () INTERNALDATE NIL RFC822.SIZE 3 "
	    "BODY[] NIL)\r\n", "DUE 11 9\n" CLOSED ", while it was asked for "
	    "message UID 9 of box\n", "nor one that is NIL");
	gives(p, 4);
	gives(p, 9);
	closed(p, "", "DUE 11 2\n" CLOSED ", while it was asked for message "
	    "UID 2 of box\n", "but if nothing else is");
	gives(p, 2);
	closed(p, "", CLOSED ", while it was asked for messages of box\n",
	    "all have come");
	peer_end(p);
}

/* What is whole goes to the other side; how it ends is not waited for. */
static void
test_whole(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1:2");
	closed(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n", "DUE 11 2\n" CLOSED ", while it was asked for message "
	    "UID 2 of box\n", "closed behind a message");
	is_num(p->over.len, 9, "which is whole");
	buf_clear(&p->over);
	closed(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n* 2", "DUE 11 1\n" CLOSED ", while it was asked for "
	    "message UID 1 of box\n", "within what follows it");
	is_num(p->over.len, 0, "which may belong to it");
	closed(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] {3}\r\n"
	    "abc)\r\n* 2 FETCH (UID 2 FL", "DUE 11 2\n" CLOSED ", while it was "
	    "asked for message UID 2 of box\n", "within the next response");
	is_num(p->over.len, 9, "which does not");
	peer_end(p);
}

static void
test_meta(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_META, 11, 10, "5:7");
	asks_set(p, M_NET_SEND, 12, 10, "8");
	closed(p, "", "DUE 11 5\n" CLOSED ", while it was asked about message "
	    "UID 5 of box\n", "the oldest one's");
	says(p, "* 5 FETCH (UID 5 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " {5}\r\na\r\n\r\n)\r\n");
	closed(p, "", "DUE 11 6\n" CLOSED ", while it was asked about message "
	    "UID 6 of box\n", "the next");
	closed(p, "* 7 FETCH (UID 7 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " {5}\r\na", "DUE 11 7\n" CLOSED ", while it was asked "
	    "about message UID 7 of box\n", "a header that is being read");
	says(p, "A4 OK x\r\n");
	closed(p, "", "DUE 12 8\n" CLOSED ", while it was asked for message "
	    "UID 8 of box\n", "then the next command's");
	peer_end(p);
}

/* What has not been sent can't be what it ended under. */
static void
test_unsent(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC");
	struct cmd	*c;

	opened(p, 10, "A3");
	c = cmd_new(&p->net, K_SESSION, NULL, NULL);
	cmd_literal(&p->net, c, 3, 1);
	cmd_end(&p->net, c);
	cmdq_flush(&p->net);
	c = cmd_new(&p->net, K_SEND, NULL, NULL);
	uidset_add(&c->set, 1, 1);
	cmd_end(&p->net, c);
	closed(p, "", CLOSED "\n", "nothing is due");
	peer_end(p);
}

static void
puts_message(struct peer *p, uint8_t uid)
{
	uint8_t	 b[] = { BR_MSG, 0, 0, 0, 5, 0, 0, 0, uid, 0, 0, 0, 0, 0, 0, 0,
		    3, 0, 0, 0, 'a', 'b', 'c', 1, 0, 0, 0, 0, 0, 0, 0, 9 };

	put_octets(p, p->bridge, b, sizeof(b));
}

static void
test_recv(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	puts_message(p, 4);
	closed(p, "", "DUE 11 4 alone\n" CLOSED ", while messages were "
	    "appended to box\n", "the only one");
	puts_message(p, 7);
	closed(p, "", "DUE 11 4\n" CLOSED ", while messages were appended to "
	    "box\n", "the first of two");
	peer_end(p);

	p = peer_ready(CAPS);
	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	puts_message(p, 4);
	puts_message(p, 7);
	closed(p, "", "DUE 11 4\n" CLOSED ", while messages were appended to "
	    "box\n", "the first of two commands");
	says(p, "A4 OK x\r\n");
	closed(p, "", "DUE 11 7 alone\n" CLOSED ", while messages were "
	    "appended to box\n", "the other is left");
	peer_end(p);

	p = peer_ready(CAPS);
	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_ONE);
	puts_message(p, 4);
	puts_message(p, 7);
	closed(p, "", "DUE 11 4 alone\n" CLOSED ", while messages were "
	    "appended to box\n", "one at a time");
	peer_end(p);
}

static void
breaks_bridge(struct peer *p)
{
	uint8_t	 b[] = { BR_MSG, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
		    3, 0, 0, 0, 'a' };

	put_octets(p, p->bridge, b, sizeof(b));
	ends_here(p->net.bridge.fd);
	turns(p);
	turns(p);
}

/* It is the other side's end that ends it. */
static void
test_bridge(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	ends_telling(p, breaks_bridge, EX_SYNC_TEMP, "FATAL 0 75 the other "
	    "side ended inside a message; it was not appended at "
	    "mail.example\n", "the bridge breaks: nothing was due");
	peer_end(p);
}

/* ---- what is going on ---- */

static void
test_doing(void)
{
	struct peer	*p = peer_ready(CAPS);

	closed(p, "", CLOSED "\n", "nothing is");
	opened(p, 10, "A3");
	asks_set(p, M_NET_STORE, 11, 10, "1");
	closed(p, "", "DUE 11 0\n" CLOSED ", while it changed flags of box\n",
	    "STORE: no message is due, but the mailbox");
	says(p, "A4 OK x\r\n");
	asks_set(p, M_NET_SEARCH, 12, 10, "1");
	closed(p, "", "DUE 12 0\n" CLOSED ", while it searched box\n",
	    "SEARCH");
	says(p, "* ESEARCH (TAG \"A5\") UID\r\nA5 OK x\r\n");
	asks_open(p, 20, "other");
	closed(p, "", "DUE 20 0\n" CLOSED ", while it opened other\n",
	    "SELECT");
	peer_end(p);
}

static void
test_login(void)
{
	struct m_net_list	 m = { 0, 0, 1, "" };
	struct peer		*p = peer_new();

	asks(p, M_NET_LIST, 1, &m);
	closed(p, "", LOST "the connection was closed before a greeting\n",
	    "before a greeting");
	closed(p, "* BYE too busy\r\n", "FATAL 0 75 mail.example refuses the "
	    "connection: * BYE too busy\n", "BYE in place of it");
	says(p, "* OK [CAPABILITY IMAP4rev1 ENABLE] hello\r\n");
	closed(p, "", CLOSED ", at the login\n", "at the login");
	closed(p, "* BYE too many errors\r\n", "FATAL 0 75 mail.example ended "
	    "the session, at the login: too many errors\n", "BYE");
	/* The answers to what was sent behind LOGIN say nothing. */
	closed(p, "* BYE closed\r\n* LIST () \"/\" x\r\nA2 OK x\r\nA3 OK x\r\n",
	    "FATAL 0 75 mail.example ended the session, at the login: "
	    "closed\n", "BYE in place of the answer to LOGIN");
	says(p, "A1 OK [CAPABILITY IMAP4rev1] x\r\nA2 OK x\r\n");
	closed(p, "", CLOSED ", while it listed its mailboxes\n", "LIST");
	peer_end(p);
}

/* ---- what can't be followed ---- */

static void
test_framing(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1:2");
#define BEGIN	"* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL BODY[] "
#define LENGTH	"FATAL 0 75 mail.example sent a body that is longer or "	\
		"shorter than announced, while it was asked for message UID 1 of box"
	confused(p, BEGIN "{2}\r\nabc)\r\n", "DUE 11 1\n" LENGTH ": "
	    BEGIN "\"\"c)\n", "longer than announced");
	is_num(p->over.len, 0, "its end is not sent");
	confused(p, BEGIN "{9}\r\nabc)\r\n* 2 FETCH (UID 2 FLAGS () "
	    "INTERNALDATE NIL BODY[] {1}\r\nx)\r\n", "DUE 11 1\n" LENGTH ": "
	    BEGIN "\"\" FETCH (UID 2 FLAGS () INTERNALDATE NIL BODY[] {1}\n",
	    "shorter than announced");
	/* Only what follows tells it from one without its parenthesis. */
	confused(p, BEGIN "{3}\r\nabc\r\ndef)\r\n", "DUE 11 1\nFATAL 0 75 "
	    "mail.example sent a line that is no response, while it was asked "
	    "for message UID 1 of box: def)\n", "longer by whole lines");
	is_num(p->over.len, 0, "its end is not sent");
	says(p, BEGIN "{3}\r\nabc\r\n* 5 EXISTS\r\n");
	is_num(p->over.len, 20 + 3 + 9, "without its parenthesis it is whole");
	buf_clear(&p->told);
	confused(p, "A9 OK what\r\n", "DUE 11 2\nFATAL 0 75 mail.example "
	    "answers a command that was not given, while it was asked for "
	    "message UID 2 of box: what\n", "an answer to nothing");
	confused(p, "* 2 FETCH (UID {99999999999999999999}\r\n", "DUE 11 2\n"
	    "FATAL 0 75 mail.example sent a literal of an impossible length, "
	    "while it was asked for message UID 2 of box: "
	    "* 2 FETCH (UID {99999999999999999999}\n", "a literal of an impossible length");
	says(p, "\r\n+ what\r\n");
	is_told(p, "", "an empty line, a \"+\" for nothing: passed over");
	closed(p, "* BYE x\r\nwhat\r\n", "DUE 11 2\nFATAL 0 75 mail.example "
	    "ended the session, while it was asked for message UID 2 of box: "
	    "x\n", "behind BYE it is no matter");
	peer_end(p);
}

static void
test_append_ok(void)
{
	struct peer	*p = peer_ready("IMAP4rev1 ENABLE QRESYNC");

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_ONE);
	puts_message(p, 4);
	confused(p, "A4 OK done\r\n", "DUE 11 4 alone\nFATAL 0 75 mail.example "
	    "answers OK to a command that it has not read, while messages "
	    "were appended to box\n", "OK in place of \"+\"");
	peer_end(p);
}

/* ---- BYE ---- */

static void
waits_bye(struct peer *p)
{
	says(p, "* BYE closed for repairs\r\n* BYE again\r\n");
	if (p->net.byetime == 0)
		_exit(98);
	says(p, "* OK still here\r\n* 1 EXISTS\r\n");
	p->net.byetime -= 1999;
	if (loop_turn(&p->net, 0) < 0)
		_exit(97);
	p->net.byetime -= 1;
	turns(p);
}

/* What those say who are too busy, and those who lock somebody out. */
static void
test_limit(void)
{
	static const struct {
		int		 rc;
		const char	*words;
		int		 want;
	} tests[] = {
		{ RC_UNAVAILABLE, "x", 1 }, { RC_LIMIT, "x", 1 },
		{ RC_INUSE, "x", 1 }, { RC_OTHER, "x", 0 },
		{ RC_NONE, "Maximum number of connections from user+IP "
		    "exceeded (mail_max_userip_connections=10)", 1 },
		{ RC_NONE, "Too many simultaneous connections. (Failure)", 1 },
		{ RC_NONE, "Account exceeded command or bandwidth limits.",
		    1 },
		{ RC_NONE, "TOO MANY OPEN SESSIONS", 1 },
		{ RC_NONE, "Connection limit reached", 1 },
		{ RC_NONE, "Too many failed connections from your IP", 0 },
		{ RC_NONE, "Too many login attempts in this session", 0 },
		{ RC_NONE, "maximum number of invalid sessions", 0 },
		{ RC_NONE, "Too many logins", 0 },
		{ RC_NONE, "connection closed", 0 },
		{ RC_NONE, "Authentication failed.", 0 },
		{ RC_NONE, "", 0 }
	};
	size_t	 i;

	for (i = 0; i < nitems(tests); i++)
		is_num(lost_limit(tests[i].rc, tests[i].words), tests[i].want,
		    tests[i].words);
}

/* At whatever the session is. */
static void
test_bye(void)
{
	struct m_net_watch	 watch = { 0, "box" };
	struct peer		*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	ends_telling(p, waits_bye, EX_SYNC_TEMP, "FATAL 0 75 mail.example "
	    "ended the session: closed for repairs\n", "nothing is asked");
	asks_set(p, M_NET_SEND, 11, 10, "1");
	ends_telling(p, waits_bye, EX_SYNC_TEMP, "DUE 11 1\nFATAL 0 75 "
	    "mail.example ended the session, while it was asked for message "
	    "UID 1 of box: closed for repairs\n", "2 seconds, not \"timeout\"");
	says(p, "* VANISHED 1\r\nA4 OK x\r\n");
	asks(p, M_NET_WATCH, 12, &watch);
	says(p, "* OK [UIDVALIDITY 7] x\r\nA5 OK x\r\n");
	buf_clear(&p->told);
	p->net.loop.told = 1;
	turns(p);
	is_str(text_of(&p->told), "ALIVE 0\n",
	    "IDLE is not answered: alive, if nothing else");
	says(p, "+ idling\r\n");
	buf_clear(&p->told);
	buf_clear(&p->got);
	p->net.loop.told = 1;
	turns(p);
	is_str(text_of(&p->told), "", "while idling there is nothing to say");
	confused(p, "* BYE closed\r\n", "FATAL 0 75 mail.example ended the "
	    "session, while it was to tell of changes: closed\n",
	    "while idling: at once");
	peer_end(p);
}

static void
logs_out(struct peer *p)
{
	asks(p, M_NET_LOGOUT, 99, NULL);
	says(p, "* BYE see you\r\nwhat\r\n");
}

static void
test_logout(void)
{
	struct peer	*p = peer_ready(CAPS);

	ends_telling(p, logs_out, 0, "", "LOGOUT: an orderly end");
	peer_end(p);
}

/* ---- time ---- */

/* Does that renew the time? */
static void
renews(struct peer *p, const char *text, int does, const char *what)
{
	p->net.alive = 1;
	says(p, text);
	ok((p->net.alive != 1) == does, "%s: %s", what, does ? "an answer" :
	    "none");
}

static struct peer *
patient(const char *caps)
{
	struct peer	*p = peer_ready(caps);

	p->net.setup.timeout = FOREVER;
	return p;
}

static void
test_time(void)
{
	struct peer	*p = patient(CAPS);
	char		 part[700];

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1:3");
	renews(p, "* OK still here\r\n", 0, "OK");
	renews(p, "* NO busy\r\n* CAPABILITY IMAP4rev1\r\n", 0, "NO");
	renews(p, "* 5 EXISTS\r\n", 0, "EXISTS");
	renews(p, "* VANISHED 9\r\n", 0, "VANISHED");
	renews(p, "* 1 FETCH (UID 1 FLAGS ())\r\n", 0, "FETCH unasked");
	renews(p, "* LIST () \"/\" x\r\n* ESEARCH (TAG \"A4\") UID\r\n", 0,
	    "LIST");
	renews(p, "* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL BODY[] {900}"
	    "\r\n", 1, "a body begins");
	renews(p, "x\r\n", 0, "an octet");
	memset(part, 'y', sizeof(part));
	part[508] = '\0';
	renews(p, part, 0, "some more of them");
	renews(p, "z", 1, "512");
	part[508] = 'y';
	part[388] = '\0';
	renews(p, part, 0, "some more");
	renews(p, ")\r\n", 0, "its last line");
	renews(p, "* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL BODY[] {1}\r\n"
	    "x)\r\n", 0, "the same once more");
	renews(p, "* 3 FETCH (UID 3 BODY[] NIL)\r\n", 1, "NIL");
	renews(p, "A4 OK x\r\n", 1, "the tagged one");
	renews(p, "* ESEARCH (TAG \"A5\") UID ALL 1,3\r\n", 1, "ESEARCH");
	renews(p, "* ESEARCH (TAG \"A5\") UID ALL 1,3\r\n", 0, "once more");
	renews(p, "+ what\r\n", 0, "\"+\"");
	says(p, "A5 OK x\r\n");
	peer_end(p);
}

/* What can't be taken from it stops its time, and does not begin it anew. */
static void
test_time_full(void)
{
	static const char	 zeros[4 * QUEUE_HIGH];
	struct peer		*p = patient(CAPS);
	uint64_t		 began = net_now() - 100000, now;

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1:3");
	p->net.alive = began;
	buf_add(&p->net.bridge.out, zeros, sizeof(zeros));
	p->net.loop.looked = net_now() - 3000;
	loop_turn(&p->net, 0);
	ok(p->net.bridge.out.len >= QUEUE_HIGH, "the bridge is full");
	ok(p->net.alive >= began + 3000 && p->net.alive < began + 60000,
	    "that time is not the server's");
	now = net_now();
	while (p->net.bridge.out.len > 0 && net_now() - now < 10000) {
		loop_turn(&p->net, 0);
		take_all(p);
	}
	ok(p->net.alive >= began + 3000 && p->net.alive < began + 60000,
	    "it has answered nothing when there is room again");
	says(p, "A4 OK x\r\n");
	says(p, "* ESEARCH (TAG \"A5\") UID\r\nA5 OK x\r\n");
	p->net.alive = began;
	turns(p);
	ok(p->net.alive > began + 60000, "nothing is due: no time passes");
	peer_end(p);
}

static void
test_time_select(void)
{
	struct peer	*p = patient(CAPS);
	struct m_net_list m = { 0, 0, 1, "" };
	struct m_net_pattern pattern = { "*" };

	opened(p, 10, "A3");
	asks_open(p, 20, "next");
	renews(p, "* 1 FETCH (UID 1 FLAGS ())\r\n", 0, "of the one before");
	renews(p, "* OK [CLOSED] x\r\n* 1 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n",
	    0, "what is said of SELECT");
	renews(p, "* 1 FETCH (UID 1 FLAGS ())\r\n", 1, "FETCH in SELECT");
	renews(p, "* 1 FETCH (UID 1 FLAGS ())\r\n", 0, "once more");
	renews(p, "* 2 FETCH (UID 2 FLAGS ())\r\n", 1, "the next");
	renews(p, "* VANISHED (EARLIER) 5\r\n", 1, "VANISHED");
	renews(p, "* VANISHED (EARLIER) 5\r\n* VANISHED\r\n", 0, "once more");
	says(p, "A4 OK x\r\n");
	asks_set(p, M_NET_META, 21, 20, "1:2");
	renews(p, "* 1 FETCH (UID 1 FLAGS ())\r\n", 0, "not for META");
	renews(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL RFC822.SIZE 10 "
	    FIELDS " NIL)\r\n", 1, "for META");
	says(p, "A5 OK x\r\n");
	asks(p, M_NET_PATTERN, 22, &pattern);
	asks(p, M_NET_LIST, 22, &m);
	renews(p, "* STATUS x (MESSAGES 1)\r\n", 1, "STATUS in LIST");
	renews(p, "* LIST () \"/\" x\r\n", 1, "LIST");
	renews(p, "* LIST ((x\r\n", 0, "one that can't be read");
	peer_end(p);
}

/* "+" that was asked for. */
static void
test_time_plus(void)
{
	struct peer	*p = patient("IMAP4rev1 ENABLE QRESYNC");

	asks_open(p, 10, "a\351b");
	renews(p, "+ go on\r\n", 1, "\"+\" for a literal");
	peer_end(p);
}

static void
is_silent(struct peer *p)
{
	p->net.alive = net_now() - 300 * 1000;
	turns(p);
}

static void
test_silent(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_set(p, M_NET_SEND, 11, 10, "1");
	ends_telling(p, is_silent, EX_SYNC_TEMP, "DUE 11 1\n" LOST "no answer "
	    "for 300 seconds, while it was asked for message UID 1 of box\n",
	    "silence");
	says(p, "* VANISHED 1\r\nA4 OK x\r\n");
	is_silent(p);
	ok(p->net.alive > 1, "but not if nothing was asked");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_send();
	test_whole();
	test_meta();
	test_unsent();
	test_recv();
	test_bridge();
	test_doing();
	test_login();
	test_framing();
	test_append_ok();
	test_bye();
	test_limit();
	test_logout();
	test_time();
	test_time_full();
	test_time_select();
	test_time_plus();
	test_silent();
	return tap_done();
}
