/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Bodies from the bridge to the server. */
#include "net_peer.h"

/* The head of a message. */
struct rec {
	uint32_t	 transfer;
	uint32_t	 uid;
	uint64_t	 len;
	const char	*date;		/* NULL: none */
	const char	*flags;
	size_t		 flagslen;
};

static void
head_octets(struct peer *p, const struct rec *r, int has_date)
{
	uint8_t	 b[2 * BR_HEAD_MAX], *c = b;
	int	 i;

	*c++ = BR_MSG;
	for (i = 3; i >= 0; i--)
		*c++ = r->transfer >> (8 * i);
	for (i = 3; i >= 0; i--)
		*c++ = r->uid >> (8 * i);
	for (i = 7; i >= 0; i--)
		*c++ = r->len >> (8 * i);
	*c++ = has_date;
	if (has_date) {
		memcpy(c, r->date, 26);
		c += 26;
	}
	*c++ = r->flagslen >> 8;
	*c++ = r->flagslen;
	memcpy(c, r->flags, r->flagslen);
	put_octets(p, p->bridge, b, c + r->flagslen - b);
}

/* The head of a message without date and flags. */
static void
head(struct peer *p, uint32_t transfer, uint32_t uid, uint64_t len)
{
	struct rec	 r = { transfer, uid, len, NULL, "", 0 };

	head_octets(p, &r, 0);
}

/* Complete, and the key is 0xab; else aborted. */
static void
trailer(struct peer *p, int complete)
{
	uint8_t	 b[9] = { complete, 0, 0, 0, 0, 0, 0, 0, 0xab };

	put_octets(p, p->bridge, b, sizeof(b));
}

static void
end(struct peer *p, uint32_t transfer, int complete)
{
	uint8_t	 b[6] = { BR_END, 0, 0, 0, transfer, complete };

	put_octets(p, p->bridge, b, sizeof(b));
}

static void
message(struct peer *p, uint32_t transfer, uint32_t uid, const char *body)
{
	head(p, transfer, uid, strlen(body));
	put_octets(p, p->bridge, body, strlen(body));
	trailer(p, 1);
}

/* The same with a date and flags. */
static void
flagged(struct peer *p, uint32_t uid, const char *date, const char *flags)
{
	struct rec	 r = { 5, uid, 3, date, flags, strlen(flags) };

	head_octets(p, &r, date != NULL);
	put_octets(p, p->bridge, "abc", 3);
	trailer(p, 1);
}

/* So many octets of a body. */
static void
octets(struct peer *p, size_t len)
{
	char	 data[65536];
	size_t	 n;

	memset(data, 'x', sizeof(data));
	for (; len > 0; len -= n) {
		n = len < sizeof(data) ? len : sizeof(data);
		put_octets(p, p->bridge, data, n);
	}
}

/* ---- the end of a request whose messages are under way (case F1) ---- */

/*
 * The mailbox can't be selected: one message is sent, another one waits since it
 * is large.
 */
static void
test_no_mailbox(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	message(p, 5, 1, "abcdef");
	head(p, 5, 2, 5 * 1024 * 1024);
	ok(wait_text(p, &p->got, "abcdef\r\n"), "the first is sent");
	is_sent(p, "A3 SELECT \"box\"\r\nA4 APPEND \"box\" {6+}\r\nabcdef\r\n",
	    "the second waits for its answer");
	says(p, "A3 NO no such mailbox\r\n");
	is_told(p, "DONE 10 no no such mailbox\n", "the OPEN is refused");
	says(p, "A4 OK [APPENDUID 7 100] done\r\n");
	is_told(p, "COPIED 11 1->0 6 ab () ()\n", "the first is there");
	octets(p, 5 * 1024 * 1024);
	trailer(p, 1);
	message(p, 5, 3, "ghi");
	is_told(p, "", "nothing is done before all has come");
	end(p, 5, 1);
	is_sent(p, "", "no other message is sent");
	is_told(p, "DONE 11 no the mailbox could not be selected\n", "done");
	opened(p, 20, "A5");
	asks_recv(p, 21, 20, 6, RECV_SINGLE);
	message(p, 6, 1, "jkl");
	end(p, 6, 1);
	is_sent(p, "A6 APPEND \"box\" {3+}\r\njkl\r\n"
	    "A7 UID FETCH * (UID MODSEQ)\r\n", "the next one is as any");
	peer_end(p);
}

/* The same, and nothing had been sent. */
static void
test_no_mailbox_unsent(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	says(p, "A3 NO no such mailbox\r\n");
	message(p, 5, 1, "abcdef");
	end(p, 5, 1);
	is_sent(p, "A3 SELECT \"box\"\r\n", "no message is sent");
	is_told(p, "DONE 10 no no such mailbox\n"
	    "DONE 11 unsent the mailbox could not be selected\n", "and so told");
	peer_end(p);
}

/* The RECV comes behind the NO: its messages are dropped as they come. */
static void
test_no_mailbox_before(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	says(p, "A3 NO no such mailbox\r\n");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	is_told(p, "DONE 10 no no such mailbox\n"
	    "DONE 11 unsent the mailbox could not be selected\n",
	    "done at once");
	message(p, 5, 1, "abcdef");
	end(p, 5, 1);
	is_sent(p, "A3 SELECT \"box\"\r\n", "no message is sent");
	opened(p, 20, "A4");
	asks_recv(p, 21, 20, 6, RECV_SINGLE);
	message(p, 6, 1, "jkl");
	end(p, 6, 1);
	is_sent(p, "A5 APPEND \"box\" {3+}\r\njkl\r\n"
	    "A6 UID FETCH * (UID MODSEQ)\r\n", "the next one is as any");
	peer_end(p);
}

static void
say_again(struct peer *p)
{
	says(p, "A4 NO no\r\n");
}

static void
nothing(struct net *net, struct cmd *c, const struct resp *resp)
{
	(void)net;
	(void)c;
	(void)resp;
}

/*
 * An APPEND is answered while its literal is on its way, and then again.  (So
 * much of it that it is sent at once.)
 */
static void
test_answered_twice(void)
{
	struct peer	*p = peer_ready(CAPS);
	const char	*rest = "\r\nA5 NOOP\r\nA6 UID FETCH * (UID MODSEQ)"
			    "\r\n";
	struct cmd	*c;

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	head(p, 5, 1, 100000);
	octets(p, 70000);
	ok(p->got.len > 65536, "most of a message");
	says(p, "A4 NO no\r\n");
	is_told(p, "REFUSED 11 1 no no\n", "refused");
	ends(p, say_again, EX_SYNC_TEMP, "a command that was not given",
	    "a second answer is to no command");
	c = cmd_new(&p->net, K_SESSION, NULL, nothing);
	cmd_puts(c, "NOOP");
	cmd_end(&p->net, c);
	octets(p, 30000);
	trailer(p, 1);
	end(p, 5, 1);
	buf_drain(&p->got, strlen("A4 APPEND \"box\" {100000+}\r\n"));
	is_num(p->got.len, 100000 + strlen(rest), "its literal is completed");
	buf_drain(&p->got, 100000);
	is_sent(p, rest, "the next commands");
	says(p, "A5 OK x\r\nA6 OK x\r\n");
	is_told(p, "DONE 11 ok\n", "done");
	peer_end(p);
}

/* ---- what comes over the bridge is the word of a stranger ---- */

#define DATE	" 9-Apr-2018 16:08:15 +0200"

static const struct rec	*bad;
static int		 bad_date;

static void
send_bad(struct peer *p)
{
	head_octets(p, bad, bad_date);
}

/* Such a head ends the worker, and nothing of it goes to the server. */
static void
refuses(struct peer *p, const struct rec *r, const char *words,
    const char *what)
{
	bad = r;
	bad_date = r->date != NULL;
	ends(p, send_bad, EX_SYNC_ERROR, words, what);
	is_sent(p, "", "nothing was sent");
}

static void
send_other_date(struct peer *p)
{
	struct rec	 r = { 5, 1, 3, DATE, "", 0 };

	head_octets(p, &r, 2);
}

static void
send_unknown(struct peer *p)
{
	put_octets(p, p->bridge, "\3\0\0\0\5\1", 6);
}

static void
send_bad_end(struct peer *p)
{
	end(p, 5, 2);
}

static void
send_bad_trailer(struct peer *p)
{
	head(p, 5, 1, 3);
	put_octets(p, p->bridge, "abc", 3);
	trailer(p, 2);
}

static void
test_heads(void)
{
	static char	 many[FLAGS_MAX + 1];
	const char	*crlf = "\\Seen \r\nA9 DELETE x";
	struct rec	 flags = { 5, 1, 3, NULL, crlf, strlen(crlf) };
	struct rec	 canon = { 5, 1, 3, NULL, "b a", 3 };
	struct rec	 nul = { 5, 1, 3, NULL, "\\Seen\0x", 7 };
	struct rec	 long_flags = { 5, 1, 3, NULL, many, FLAGS_MAX };
	struct rec	 no_date = { 5, 1, 3, "99-Apr-2018 16:08:15 +0200",
			    "", 0 };
	struct rec	 quote = { 5, 1, 3, " 9-Apr-2018 16:08:15\" {5}", "",
			    0 };
	struct rec	 nul_date = { 5, 1, 3, " 9-Apr-2018 16:08:15\0+0200",
			    "", 0 };
	struct rec	 zero = { 5, 0, 3, NULL, "", 0 };
	struct rec	 large = { 5, 1, 1ULL << 63, NULL, "", 0 };
	struct rec	 other = { 6, 1, 3, NULL, "", 0 };
	struct peer	*p = peer_ready(CAPS);

	memset(many, 'a', sizeof(many));
	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	refuses(p, &flags, "malformed flags", "a line's end in flags");
	refuses(p, &canon, "malformed flags", "flags that are not canonical");
	refuses(p, &nul, "malformed flags", "NUL in flags");
	refuses(p, &long_flags, "too many flags", "4,096 octets of flags");
	refuses(p, &no_date, "malformed date", "a 99th of April");
	refuses(p, &quote, "malformed date", "a quote in the date");
	refuses(p, &nul_date, "malformed date", "NUL in the date");
	refuses(p, &zero, "impossible UID", "UID 0");
	refuses(p, &large, "impossible UID or length", "2^63 octets");
	refuses(p, &other, "a transfer that was not asked for",
	    "another transfer");
	ends(p, send_other_date, EX_SYNC_ERROR, "malformed record",
	    "neither a date nor none");
	ends(p, send_unknown, EX_SYNC_ERROR, "unknown record",
	    "another type");
	ends(p, send_bad_end, EX_SYNC_ERROR, "malformed record",
	    "an end that is neither complete nor aborted");
	is_sent(p, "", "nothing was sent");
	ends(p, send_bad_trailer, EX_SYNC_ERROR, "malformed record",
	    "a trailer of the kind");
	peer_end(p);
}

static void
send_uid(struct peer *p)
{
	head(p, 5, bad->uid, 3);
}

static void
send_other_transfer(struct peer *p)
{
	asks_expect(p, 7, "1");
	asks_expect(p, 8, "1");
}

static void
send_other_recv(struct peer *p)
{
	struct m_net_recv	 m = { 10, 8, RECV_ONE, 0, 0, 0, "", "box" };

	asks_expect(p, 7, "1");
	asks(p, M_NET_RECV, 12, &m);
}

/* RECV names its messages: no other is taken, and none of them twice. */
static void
test_expected(void)
{
	struct rec		 other = { 5, 4, 3, NULL, "", 0 };
	struct rec		 twice = { 5, 2, 3, NULL, "", 0 };
	struct m_net_recv	 m = { 10, 5, RECV_SINGLE, 0, 0, 0, "", "box" };
	struct peer		*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_expect(p, 5, "1:2");
	asks_expect(p, 5, "5");
	asks(p, M_NET_RECV, 11, &m);
	bad = &other;
	ends(p, send_uid, EX_SYNC_ERROR, "not asked for", "another UID");
	message(p, 5, 2, "abc");
	bad = &twice;
	ends(p, send_uid, EX_SYNC_ERROR, "one twice", "the same once more");
	message(p, 5, 5, "def");
	end(p, 5, 1);
	is_sent(p, "A4 APPEND \"box\" {3+}\r\nabc\r\nA5 APPEND \"box\" "
	    "{3+}\r\ndef\r\nA6 UID FETCH * (UID MODSEQ)\r\n",
	    "what was asked for is appended");
	asks(p, M_NET_RECV, 12, &m);
	bad = &twice;
	ends(p, send_uid, EX_SYNC_ERROR, "not asked for",
	    "a RECV that names none");
	ends(p, send_other_transfer, EX_SYNC_ERROR, "two transfers",
	    "an EXPECT of two");
	ends(p, send_other_recv, EX_SYNC_ERROR, "another transfer",
	    "an EXPECT of another");
	peer_end(p);
}

/* A head in pieces of one octet; records wait for their RECV. */
static void
test_pieces(void)
{
	static const char	 octets_of[] = "\1\0\0\0\5\0\0\0\11\0\0\0\0\0\0"
				    "\0\3\1" DATE "\0\5\\Seen" "abc"
				    "\1\0\0\0\0\0\0\0\253\2\0\0\0\5\1";
	struct peer		*p = peer_ready(CAPS);
	size_t			 i;

	opened(p, 10, "A3");
	for (i = 0; i < sizeof(octets_of) - 1; i++)
		put_octets(p, p->bridge, octets_of + i, 1);
	is_sent(p, "", "not before it is asked for");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	is_sent(p, "A4 APPEND \"box\" (\\Seen) \"" DATE "\" {3+}\r\nabc\r\n"
	    "A5 UID FETCH * (UID MODSEQ)\r\n", "appended");
	says(p, "A4 OK [APPENDUID 7 100] x\r\nA5 OK x\r\n");
	is_told(p, "COPIED 11 9->100 3 ab (\\Seen) ()\nDONE 11 ok\n", "told");
	peer_end(p);
}

/* ---- what the server says of it ---- */

/* Two messages in one MULTIAPPEND that is answered so. */
static void
appenduid(const char *code, const char *first, const char *second,
    const char *what)
{
	struct peer	*p = peer_ready(CAPS);
	char		 text[256];

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	message(p, 5, 1, "abc");
	message(p, 5, 2, "defg");
	end(p, 5, 1);
	is_sent(p, "A4 APPEND \"box\" {3+}\r\nabc {4+}\r\ndefg\r\n"
	    "A5 UID FETCH * (UID MODSEQ)\r\n", "two at once");
	snprintf(text, sizeof(text), "A4 OK [APPENDUID %s] x\r\nA5 OK x\r\n",
	    code);
	says(p, text);
	snprintf(text, sizeof(text), "COPIED 11 1->%s 3 ab () ()\n"
	    "COPIED 11 2->%s 4 ab () ()\nDONE 11 ok\n", first, second);
	is_told(p, text, what);
	peer_end(p);
}

static void
test_appenduid(void)
{
	appenduid("7 100:101", "100", "101", "a range");
	appenduid("7 100,105", "100", "105", "two UIDs");
	appenduid("8 100:101", "0", "0", "of another UIDVALIDITY: not known");
	appenduid("7 100", "0", "0", "too few: not known");
	appenduid("7 100:102", "0", "0", "too many: not known");
	appenduid("7 105,100", "0", "0", "descending: not known");
	appenduid("7 100:101,50", "0", "0", "one behind that: not known");
	appenduid("7 100,x", "0", "0", "malformed: not known");
}

/* A MULTIAPPEND that is refused, and a single one. */
static void
test_refused(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	message(p, 5, 1, "abc");
	message(p, 5, 2, "defg");
	end(p, 5, 1);
	says(p, "A4 NO [LIMIT] no\r\nA5 OK x\r\n");
	is_told(p, "FAILED 11 1:2 no no\nDONE 11 ok\n", "as a whole");
	buf_clear(&p->got);
	asks_recv(p, 12, 10, 5, RECV_SINGLE);
	message(p, 5, 1, "abc");
	message(p, 5, 2, "defg");
	end(p, 5, 1);
	is_sent(p, "A6 APPEND \"box\" {3+}\r\nabc\r\n"
	    "A7 APPEND \"box\" {4+}\r\ndefg\r\n"
	    "A8 UID FETCH * (UID MODSEQ)\r\n", "one by one");
	says(p, "A6 BAD bad\r\nA7 OK x\r\nA8 OK x\r\n");
	is_told(p, "REFUSED 12 1 bad bad\nCOPIED 12 2->0 4 ab () ()\n"
	    "DONE 12 ok\n", "that one alone");
	peer_end(p);
}

/* ---- what is sent ---- */

static void
test_flags(void)
{
	struct peer		*p = peer_ready(CAPS);
	struct m_net_recv	 m;

	opened(p, 10, "A3");
	memset(&m, 0, sizeof(m));
	m.handle = 10;
	m.transfer = 5;
	m.mode = RECV_SINGLE;
	m.permflags = "\\Seen Work";
	m.mailbox = "b\"x";
	asks_expect(p, 5, ANY_UID);
	asks(p, M_NET_RECV, 11, &m);
	flagged(p, 1, DATE, "\\Flagged \\Seen Other Work");
	end(p, 5, 1);
	is_sent(p, "A4 APPEND \"b\\\"x\" (\\Seen Work) \"" DATE "\" {3+}\r\n"
	    "abc\r\nA5 UID FETCH * (UID MODSEQ)\r\n", "what it keeps");
	says(p, "A4 OK x\r\nA5 OK x\r\n");
	is_told(p, "COPIED 11 1->0 3 ab (\\Seen Work) (\\Flagged Other)\n"
	    "DONE 11 ok\n", "and what not");
	m.perm_any = m.nodate = 1;
	asks_expect(p, 5, ANY_UID);
	asks(p, M_NET_RECV, 12, &m);
	flagged(p, 1, DATE, "\\Flagged \\Seen Other Work");
	end(p, 5, 1);
	is_sent(p, "A6 APPEND \"b\\\"x\" (\\Seen Other Work) {3+}\r\nabc\r\n"
	    "A7 UID FETCH * (UID MODSEQ)\r\n", "any keyword, no date");
	m.nokeywords = 1;
	asks_expect(p, 5, ANY_UID);
	asks(p, M_NET_RECV, 13, &m);
	flagged(p, 1, NULL, "\\Seen Other Work");
	end(p, 5, 1);
	is_sent(p, "A8 APPEND \"b\\\"x\" (\\Seen) {3+}\r\nabc\r\n"
	    "A9 UID FETCH * (UID MODSEQ)\r\n", "no keyword");
	peer_end(p);
}

/* One message after the other, each announced. */
static void
test_one(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_ONE);
	message(p, 5, 1, "abc");
	message(p, 5, 2, "def");
	end(p, 5, 1);
	is_sent(p, "A4 APPEND \"box\" {3}\r\n", "the first waits for \"+\"");
	says(p, "+ go on\r\n");
	is_sent(p, "abc\r\n", "and has it");
	says(p, "A4 OK x\r\n");
	is_sent(p, "A5 APPEND \"box\" {3}\r\n", "then the second");
	says(p, "A5 NO [TOOBIG] too big\r\n");
	is_sent(p, "A6 UID FETCH * (UID MODSEQ)\r\n", "is refused unsent");
	says(p, "A6 OK x\r\n");
	is_told(p, "COPIED 11 1->0 3 ab () ()\nREFUSED 11 2 no too big\n"
	    "DONE 11 ok\n", "told");
	peer_end(p);
}

static void
test_appendlimit(void)
{
	struct peer	*p = peer_ready(CAPS " APPENDLIMIT=5");

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	message(p, 5, 1, "abcdef");
	end(p, 5, 1);
	is_sent(p, "", "larger than APPENDLIMIT: not sent");
	is_told(p, "REFUSED 11 1 unsent larger than the server's APPENDLIMIT "
	    "of 5 octets\nDONE 11 ok\n", "told");
	peer_end(p);
}

/* No room: the rest of that RECV is dropped, the next is tried. */
static void
test_overquota(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	head(p, 5, 1, 70000);
	octets(p, 70000);
	trailer(p, 1);
	says(p, "A4 NO [OVERQUOTA] full\r\n");
	is_told(p, "REFUSED 11 1 no full\n", "over quota");
	message(p, 5, 2, "def");
	message(p, 5, 3, "ghi");
	end(p, 5, 1);
	buf_drain(&p->got, strlen("A4 APPEND \"box\" {70000+}\r\n") + 70000);
	is_sent(p, "\r\nA5 UID FETCH * (UID MODSEQ)\r\n",
	    "the rest is not sent");
	says(p, "A5 OK x\r\n");
	is_told(p, "DONE 11 no over quota\n", "told");
	asks_recv(p, 12, 10, 6, RECV_MULTI);
	message(p, 6, 2, "def");
	end(p, 6, 1);
	is_sent(p, "A6 APPEND \"box\" {3+}\r\ndef\r\n"
	    "A7 UID FETCH * (UID MODSEQ)\r\n", "another RECV is tried");
	peer_end(p);
}

/* ---- ends ---- */

/* The source can't give all, or is gone between two messages. */
static void
test_incomplete(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	message(p, 5, 1, "abc");
	end(p, 5, 0);
	says(p, "A4 OK x\r\nA5 OK x\r\n");
	is_told(p, "COPIED 11 1->0 3 ab () ()\nDONE 11 no the other side could "
	    "not send all messages\n", "aborted behind a message");
	buf_clear(&p->got);
	asks_recv(p, 12, 10, 6, RECV_MULTI);
	message(p, 6, 2, "def");
	shutdown(p->bridge, SHUT_WR);
	ok(wait_text(p, &p->got, "MODSEQ)\r\n"), "the bridge ends there");
	is_sent(p, "A6 APPEND \"box\" {3+}\r\ndef\r\n"
	    "A7 UID FETCH * (UID MODSEQ)\r\n", "the command is completed");
	says(p, "A6 OK x\r\nA7 OK x\r\n");
	is_told(p, "COPIED 12 2->0 3 ab () ()\nDONE 12 no the other side "
	    "ended\n", "told");
	peer_end(p);
}

static void
no_answer(struct peer *p)
{
	turns(p);
}

static void
last_answer(struct peer *p)
{
	says(p, "A4 OK [APPENDUID 7 100] x\r\n");
}

/* It ends inside a message: that APPEND is never completed. */
static void
test_broken(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	message(p, 5, 1, "abc");
	head(p, 5, 2, 100000);
	octets(p, 70000);
	ok(p->got.len > 65536, "most of a message");
	trailer(p, 1);		/* 9 more octets of the body */
	shutdown(p->bridge, SHUT_WR);
	turns(p);
	asks_open(p, 20, "other");
	buf_drain(&p->got, strlen("A4 APPEND \"box\" {3+}\r\nabc\r\n"
	    "A5 APPEND \"box\" {100000+}\r\n"));
	ok(p->got.len <= 70009 && strspn(text_of(&p->got), "xxxxxx\1\253") +
	    8 >= p->got.len, "no more than there was, nothing behind it");
	buf_clear(&p->got);
	is_told(p, "", "what is complete is waited for");
	ends(p, last_answer, EX_SYNC_TEMP, "COPIED 11 1->100", "its answer");
	is_sent(p, "", "nothing was sent");
	peer_end(p);

	p = peer_ready(CAPS);
	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	head(p, 5, 1, 100000);
	octets(p, 70000);
	shutdown(p->bridge, SHUT_WR);
	ends(p, no_answer, EX_SYNC_TEMP, "ended inside a message",
	    "nothing is waited for if no other is under way");
	peer_end(p);
}

static void
abort_trailer(struct peer *p)
{
	trailer(p, 0);
}

/* All of its octets came, and that they are not all there is to it. */
static void
test_aborted(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	head(p, 5, 1, 3);
	put_octets(p, p->bridge, "abc", 3);
	ends(p, abort_trailer, EX_SYNC_TEMP, "ended inside a message",
	    "a message that is aborted");
	ok(strstr(text_of(&p->got), "abc\r\n") == NULL, "is not completed");
	peer_end(p);
}

/* ---- with plain ---- */

/* What is appended to the selected mailbox may be lost. */
static void
test_aside(void)
{
	struct peer	*p = peer_ready(CAPS);
	int		 n;

	for (n = 0; n < 2; n++) {
		p->net.strategy = &strategy_plain;
		p->net.caps.bits |= CAP_UNSELECT;
		if (n == 1)
			p->net.caps.bits &= ~CAP_UNSELECT;
		asks_open(p, 10 * n + 10, "box");
		asks_recv(p, 10 * n + 11, 10 * n + 10, 5 + n, RECV_SINGLE);
		message(p, 5 + n, 1, "abc");
		message(p, 5 + n, 2, "def");
		end(p, 5 + n, 1);
		if (n == 0) {
			is_sent(p, "A3 SELECT \"box\"\r\n"
			    "A4 UID FETCH 4294967294 (UID)\r\n"
			    "A5 UNSELECT\r\nA6 APPEND \"box\" {3+}\r\nabc\r\n"
			    "A7 APPEND \"box\" {3+}\r\ndef\r\n",
			    "nothing is selected");
			says(p, "* 0 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
			    "A3 OK x\r\nA4 OK x\r\nA5 OK x\r\n"
			    "A6 OK [APPENDUID 7 1] x\r\nA7 OK x\r\n");
			buf_clear(&p->told);
		} else
			is_sent(p, "A8 SELECT \"box\"\r\n"
			    "A9 UID FETCH 4294967294 (UID)\r\n"
			    "A10 APPEND \"box\" {3+}\r\nabc\r\n"
			    "A11 APPEND \"box\" {3+}\r\ndef\r\n",
			    "without UNSELECT it stays");
	}
	peer_end(p);
}

/* How often the text is there; all is taken away. */
static unsigned
times(struct buf *b, const char *text)
{
	const char	*c = text_of(b);
	unsigned	 n = 0;

	for (; (c = strstr(c, text)) != NULL; c++)
		n++;
	buf_clear(b);
	return n;
}

/* ---- how much goes out before anything is answered ---- */

/* A message that fills an APPEND, and goes out at once. */
static void
full(struct peer *p, uint32_t uid)
{
	head(p, 5, uid, 70000);
	octets(p, 70000);
	trailer(p, 1);
}

static void
answer(struct peer *p, unsigned i)
{
	char	 line[64];

	snprintf(line, sizeof(line), "A%u OK [APPENDUID 7 %u] x\r\n", 3 + i,
	    100 + i);
	says(p, line);
}

static void
test_unrated(void)
{
	struct peer	*p = peer_ready(CAPS);
	unsigned	 i, n = 0;

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	for (i = 1; i <= 17; i++)
		full(p, i);
	is_num(times(&p->got, "APPEND"), 16, "so many at once, then it waits");
	for (i = 1; i <= 16; i++)
		answer(p, i);
	is_num(times(&p->got, "APPEND"), 1, "answers let the next go");
	end(p, 5, 1);
	answer(p, 17);
	says(p, "A21 OK x\r\n");
	ok(strstr(text_of(&p->told), "DONE 11 ok") != NULL, "all are there");
	peer_end(p);

	p = peer_ready(CAPS);
	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_MULTI);
	for (i = 1; i <= 16; i++) {
		full(p, i);
		answer(p, i);
	}
	for (; i <= 20; i++)
		full(p, i);
	is_num(times(&p->got, "APPEND"), 20, "what is answered is no more");
	peer_end(p);

	/* One that ends with its mailbox is small because that is. */
	p = peer_ready(CAPS);
	for (i = 0; i < 20; i++) {
		asks_open(p, 10 + 2 * i, "box");
		asks_recv(p, 11 + 2 * i, 10 + 2 * i, 5 + i, RECV_MULTI);
		message(p, 5 + i, 1, "abc");
		end(p, 5 + i, 1);
		n += times(&p->got, "APPEND");
	}
	is_num(n, 20, "those of 20 small mailboxes all go");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_no_mailbox();
	test_no_mailbox_unsent();
	test_no_mailbox_before();
	test_answered_twice();
	test_heads();
	test_expected();
	test_pieces();
	test_appenduid();
	test_refused();
	test_flags();
	test_one();
	test_appendlimit();
	test_overquota();
	test_incomplete();
	test_broken();
	test_aborted();
	test_aside();
	test_unrated();
	return tap_done();
}
