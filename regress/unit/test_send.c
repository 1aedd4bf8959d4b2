/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Bodies from the server to the bridge, and those that do not come. */
#include "net_peer.h"

#define ITEMS	" (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])\r\n"
#define DATE	"\" 1-Jan-2020 00:00:00 +0000\""

/* ---- the engine and the server ---- */

static void
asks_send(struct peer *p, uint32_t id, uint32_t handle, uint32_t transfer,
    int last, const char *set)
{
	struct m_net_send	 m = { handle, transfer, last, UIDSET_INIT };

	uidset_parse(&m.set, set, strlen(set));
	asks(p, M_NET_SEND, id, &m);
	uidset_free(&m.set);
}

/* A message of three octets. */
static void
gives(struct peer *p, uint32_t uid)
{
	char	 line[256];

	snprintf(line, sizeof(line), "* %u FETCH (UID %u FLAGS (\\Seen) "
	    "INTERNALDATE " DATE " RFC822.SIZE 3 BODY[] {3}\r\nm%02u)\r\n",
	    uid, uid, uid);
	says(p, line);
}

/* ---- what went over the bridge, as lines ---- */

static uint64_t
number(const uint8_t **c, unsigned octets)
{
	uint64_t	 n = 0;

	while (octets-- > 0)
		n = n << 8 | *(*c)++;
	return n;
}

/*
 * "5: 1 3 date (flags) body." for each message of transfer 5, without the dot if
 * it has no trailer yet; "5: end 1".
 */
static void
is_over(struct peer *p, const char *text, const char *what)
{
	static struct buf	 lines;
	const uint8_t		*c = buf_ptr(&p->over), *end = c + p->over.len;
	uint64_t		 len, n;

	buf_clear(&lines);
	while (c < end) {
		if (*c++ == BR_END) {
			buf_printf(&lines, "%u: end", (unsigned)number(&c, 4));
			buf_printf(&lines, " %u\n", *c++);
			continue;
		}
		buf_printf(&lines, "%u:", (unsigned)number(&c, 4));
		buf_printf(&lines, " %u", (unsigned)number(&c, 4));
		len = number(&c, 8);
		buf_printf(&lines, " %u", (unsigned)len);
		if (*c++) {
			buf_printf(&lines, " %.*s", 26, (const char *)c);
			c += 26;
		}
		n = number(&c, 2);
		buf_printf(&lines, " (%.*s) %.*s", (int)n, (const char *)c,
		    (int)(len > (uint64_t)(end - c) - n ? end - c - n : len),
		    (const char *)c + n);
		c += n + len;
		if (c + 9 <= end)
			buf_puts(&lines, *c == 1 ? "." : "!");
		buf_puts(&lines, "\n");
		c += 9;
	}
	buf_clear(&p->over);
	is_text(&lines, text, what);
}

/* ---- how much at once ---- */

/* Of what came of the last read, K of octets, and what waits: the next. */
static size_t
next(struct reads *r, size_t came, size_t held, size_t most)
{
	r->came = came * 1024;
	return reads_ask(r, held * 1024, most * 1024) / 1024;
}

static void
test_reads(void)
{
	struct reads	 r = { 0, 0 };

	is_num(next(&r, 0, 0, 512), 64, "the first read");
	is_num(next(&r, 64, 0, 512), 128, "all came: more");
	is_num(next(&r, 100, 0, 512), 128, "not all: as much");
	is_num(next(&r, 128, 0, 512), 256, "all again");
	is_num(next(&r, 256, 0, 512), 256, "and no more than that");
	is_num(next(&r, 256, 320, 512), 192, "what is held and this: at most");
	is_num(next(&r, 192, 500, 512), 64, "but some");
	is_num(next(&r, 64, 600, 512), 64, "in any case");
	is_num(next(&r, 64, 0, 512), 128, "there is room again");
	is_num(next(&r, 3, 0, 512), 64, "little came: a little");
	is_num(next(&r, 0, 0, 512), 64, "nothing came");
}

/* ---- messages ---- */

static void
test_whole(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 0, "1:2");
	asks_send(p, 12, 10, 5, 1, "7");
	is_sent(p, "A4 UID FETCH 1:2" ITEMS "A5 UID FETCH 7" ITEMS,
	    "two parts of one transfer");
	gives(p, 1);
	is_over(p, "5: 1 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m01\n",
	    "its end is not known to be that");
	says(p, "* 2 FETCH (BODY[] {1}\r\nx");
	ok(p->over.len == 9, "until another response begins");
	says(p, ")\r\n");
	buf_clear(&p->over);
	says(p, "* 2 FETCH (UID 2 INTERNALDATE NIL FLAGS (b A) RFC822.SIZE 9 "
	    "BODY[] \"a\\\"b\")\r\nA4 OK x\r\n");
	is_over(p, "5: 2 3 (A b) a\"b.\n", "without a date, quoted");
	is_told(p, "LOG 0 mail.example sent what can't be read, and is passed "
	    "over: * 2 FETCH (BODY[] \"\")\nDONE 11 ok\n", "the first part");
	gives(p, 7);
	says(p, "A5 OK x\r\n");
	is_over(p, "5: 7 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m07.\n"
	    "5: end 1\n", "the last part has an end");
	is_told(p, "DONE 12 ok\n", "the last part");
	peer_end(p);
}

/*
 * What is large is written from where it was read, as far as the other side takes
 * it; the rest, and what is small, waits in its turn.
 */
static void
test_large(void)
{
	static char	 body[5 * 200000 + 1];
	struct peer	*p = peer_ready(CAPS);
	size_t		 i, head, n, len = sizeof(body) - 1;
	int		 kept = 0, same = 1;

	for (i = 0; i < len; i++)
		body[i] = 'a' + i % 23;
	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1");
	is_sent(p, "A4 UID FETCH 1" ITEMS, "a large one");
	buf_printf(&p->net.in, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL"
	    " RFC822.SIZE %zu BODY[] {%zu}\r\n", len, len);
	for (i = 0; i < len; i += n) {
		n = i % 3 == 0 ? 200000 : 100;
		if (n > len - i)
			n = len - i;
		buf_add(&p->net.in, body + i, n);
		session_input(&p->net);
		kept |= p->net.bridge.out.len > 0;
		if (i > 600000)
			turns(p);
	}
	says(p, ")\r\nA4 OK x\r\n");
	while (p->net.bridge.out.len > 0)
		turns(p);
	turns(p);
	head = 1 + 4 + 4 + 8 + 1 + 2;
	ok(kept && p->over.len == head + len + 9 + 6, "all of it is there");
	for (i = 0; i < len && same; i++)
		same = buf_ptr(&p->over)[head + i] == (uint8_t)body[i];
	ok(same, "in its order");
	buf_clear(&p->over);
	peer_end(p);
}

/* A day of one digit; a date that can't be, told once of each message. */
static void
test_dates(void)
{
	struct peer	*p = peer_ready(CAPS);
	int		 i;

	opened(p, 10, "A3");
	for (i = 0; i < 2; i++) {
		asks_send(p, 11 + i, 10, 5 + i, 0, "1:2");
		buf_clear(&p->got);
		says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"9-Apr-2018 "
		    "16:08:15 +0000\" RFC822.SIZE 1 BODY[] {1}\r\nx)\r\n"
		    "* 2 FETCH (UID 2 FLAGS () INTERNALDATE \"31-Feb-2018 "
		    "16:08:15 +0000\" RFC822.SIZE 1 BODY[] {1}\r\nx)\r\n");
		says(p, i == 0 ? "A4 OK x\r\n" : "A5 OK x\r\n");
		if (i == 1)
			break;
		is_over(p, "5: 1 1  9-Apr-2018 16:08:15 +0000 () x.\n"
		    "5: 2 1 () x.\n", "as the RFC wants it, or none");
		is_told(p, "LOG 0 mail.example tells a date of message UID 2 "
		    "that can't be (31-Feb-2018 16:08:15 +0000): it counts "
		    "as none\nDONE 11 ok\n", "and named");
	}
	is_told(p, "DONE 12 ok\n", "once");
	peer_end(p);
}

/* ---- what does not come ---- */

/* One of the ways in which UID 2 of 1:3 does not come. */
static void
withheld(const char *fetch, const char *log, const char *what)
{
	struct peer	*p = peer_ready(CAPS);
	char		 line[512];

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1:3");
	buf_clear(&p->got);
	gives(p, 1);
	says(p, fetch);
	gives(p, 3);
	says(p, "A4 OK x\r\n");
	is_over(p, "5: 1 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m01.\n"
	    "5: 3 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m03.\n5: end 1\n",
	    what);
	is_sent(p, "A5 UID SEARCH RETURN (ALL) UID 2\r\n", "it is looked for");
	is_told(p, log, "nothing is said of it yet");
	says(p, "* ESEARCH (TAG \"A5\") UID ALL 2\r\nA5 OK x\r\n");
	snprintf(line, sizeof(line), "WITHHELD 11 2 ok \nDONE 11 ok\n");
	is_told(p, line, "it is there");
	peer_end(p);
}

/* ---- UIDs behind the bodies ---- */

#define BEHIND(n, body, uid)	"* " n " FETCH (FLAGS () INTERNALDATE NIL "	\
				"RFC822.SIZE 3 BODY[] {3}\r\n" body		\
				" UID " uid ")\r\n"

static struct peer *
plain_send(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	p->net.strategy = &strategy_plain;
	asks_send(p, 11, 10, 5, 1, "1:2,7");
	return p;
}

static void
another_body(struct peer *p)
{
	says(p, BEHIND("1", "abc", "2"));
}

static void
test_single(void)
{
	struct peer	*p = plain_send();

	is_sent(p, "A4 UID FETCH 1" ITEMS "A5 UID FETCH 2" ITEMS
	    "A6 UID FETCH 7" ITEMS, "one by one, in one packet");
	says(p, BEHIND("1", "abc", "1") "A4 OK x\r\n"
	    BEHIND("2", "def", "2") "A5 OK x\r\n"
	    BEHIND("3", "ghi", "7") "A6 OK x\r\n");
	is_over(p, "5: 1 3 () abc.\n5: 2 3 () def.\n5: 7 3 () ghi.\n"
	    "5: end 1\n", "each is the one that was asked for");
	is_told(p, "DONE 11 ok\n", "done");
	peer_end(p);
	p = plain_send();
	ends(p, another_body, 75, "gave the body of a message of UID 2 when it "
	    "was asked for that of UID 1", "or it is not sent to its end");
	peer_end(p);
}

static void
test_withheld(void)
{
	withheld("", "", "no FETCH");
	withheld("* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL RFC822.SIZE 3 "
	    "BODY[] NIL)\r\n", "", "NIL");
	withheld("* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL RFC822.SIZE 3 "
	    "BODY[] {0}\r\n)\r\n", "", "an empty one, which is not");
	withheld("* 2 FETCH (UID 2 FLAGS () INTERNALDATE NIL BODY[] {0}\r\n"
	    ")\r\n", "", "one that may be");
	withheld("* 2 FETCH (FLAGS () INTERNALDATE NIL BODY[] {3}\r\nabc)\r\n",
	    "LOG 0 mail.example sent what can't be read, and is passed over: "
	    "* 2 FETCH (FLAGS () INTERNALDATE NIL BODY[] \"\")\n",
	    "without its UID");
	withheld("* 2 FETCH (FLAGS () BODY[] {3}\r\nabc UID 2)\r\n", "",
	    "its UID behind the body");
	withheld("* 2 FETCH (UID 2 INTERNALDATE NIL BODY[] {3}\r\nabc "
	    "FLAGS ())\r\n", "LOG 0 mail.example sent what can't be read, and "
	    "is passed over: BODY[] stands in front of FLAGS or INTERNALDATE\n",
	    "its flags behind the body");
	withheld("* 2 FETCH (UID 2 FLAGS ()) BODY[] {3}\r\nabc)\r\n",
	    "LOG 0 mail.example sent what can't be read, and is passed over: "
	    "* 2 FETCH (UID 2 FLAGS ()) BODY[] {3}??abc)\n", "closed early");
	withheld("* 2 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (60))\r\n",
	    "FLAGS 10 2 (\\Seen)\n", "only a change of it");
}

/* One that is empty indeed, whatever stands where. */
static void
test_empty(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1:2");
	says(p, "* 1 FETCH (UID 1 FLAGS () INTERNALDATE NIL RFC822.SIZE 0 "
	    "BODY[] {0}\r\n)\r\n* 2 FETCH (BODY[] \"\" RFC822.SIZE 0 UID 2 "
	    "INTERNALDATE NIL FLAGS (a))\r\nA4 OK x\r\n");
	is_over(p, "5: 1 0 () .\n5: 2 0 (a) .\n5: end 1\n",
	    "empty, and so is its size");
	is_told(p, "DONE 11 ok\n", "sent");
	peer_end(p);
}

static void
test_gone(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	says(p, "* VANISHED (EARLIER) 1\r\n* VANISHED 2\r\n");
	asks_send(p, 11, 10, 5, 1, "1:3");
	buf_clear(&p->got);
	buf_clear(&p->told);
	says(p, "* VANISHED 3:4\r\nA4 OK x\r\n");
	is_sent(p, "", "VANISHED has named all of them");
	is_told(p, "VANISHED 10 3:4\nGONE 11 1:3\nDONE 11 ok\n", "gone");
	asks_send(p, 12, 10, 6, 1, "5:8");
	buf_clear(&p->got);
	says(p, "* VANISHED 5\r\nA5 NO [EXPUNGEISSUED] some are gone\r\n");
	is_told(p, "VANISHED 10 5\nGONE 12 5\n", "one was named");
	is_sent(p, "A6 UID SEARCH RETURN (ALL) UID 6:8\r\n", "three were not");
	says(p, "* ESEARCH (TAG \"A6\") UID ALL 7\r\n* VANISHED 7\r\n"
	    "A6 OK x\r\n");
	is_told(p, "VANISHED 10 7\nGONE 12 6:8\nDONE 12 ok\n",
	    "not on the list, or named behind it");
	peer_end(p);
}

/* ---- what Courier makes up ---- */

#define MADEUP	"From: System Administrator <root@localhost>\r\n" \
		"Subject: message unavailable\r\n\r\n" \
		"This message is no longer available on the server.\r\n"

static void
gives_text(struct peer *p, uint32_t uid, const char *text)
{
	char	 line[512];

	snprintf(line, sizeof(line), "* %u FETCH (UID %u FLAGS () "
	    "INTERNALDATE " DATE " RFC822.SIZE %zu BODY[] {%zu}\r\n%s)\r\n",
	    uid, uid, strlen(text), strlen(text), text);
	says(p, line);
}

/* A session that nobody tells of what vanished goes on to list it. */
static void
test_madeup(void)
{
	struct peer	*p = peer_ready(CAPS);
	char		 other[] = MADEUP, over[512];

	other[sizeof(other) - 4] = '!';
	opened(p, 10, "A3");
	p->net.strategy = &strategy_plain;
	asks_send(p, 11, 10, 5, 1, "1:3");
	buf_clear(&p->got);
	gives_text(p, 1, MADEUP);
	says(p, "A4 OK x\r\n");
	gives_text(p, 2, other);
	says(p, "A5 OK x\r\n");
	gives_text(p, 3, MADEUP);
	says(p, "A6 OK x\r\n");
	snprintf(over, sizeof(over), "5: 2 129  1-Jan-2020 00:00:00 +0000 () "
	    "%s.\n5: end 1\n", other);
	is_over(p, over, "another text of that size is a message");
	is_sent(p, "A7 EXAMINE \"box\"\r\nA8 UID FETCH 1 (UID)\r\n"
	    "A9 SELECT \"box\"\r\nA10 EXAMINE \"box\"\r\n"
	    "A11 UID FETCH 3 (UID)\r\nA12 SELECT \"box\"\r\n",
	    "is it there, to a new session?");
#define OPENS	"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	says(p, OPENS "A7 OK x\r\nA8 OK x\r\n" OPENS "A9 OK x\r\n"
	    OPENS "A10 OK x\r\n* 2 FETCH (UID 3)\r\nA11 OK x\r\n"
	    OPENS "A12 OK x\r\n");
#undef OPENS
	is_told(p, "GONE 11 1\nWITHHELD 11 3 ok \nDONE 11 ok\n",
	    "the one is gone, the other not given");
	peer_end(p);

	/* Courier has no QRESYNC. */
	p = peer_ready(CAPS);
	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1");
	gives_text(p, 1, MADEUP);
	says(p, "A4 OK x\r\n");
	is_over(p, "5: 1 129  1-Jan-2020 00:00:00 +0000 () " MADEUP ".\n"
	    "5: end 1\n", "with QRESYNC it is a message");
	peer_end(p);
}

/* NO and BAD; the list says nothing. */
static void
test_refused(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1:3");
	gives(p, 1);
	says(p, "A4 NO [SERVERBUG] internal error\r\n");
	says(p, "* ESEARCH (TAG \"A5\") UID ALL 2\r\nA5 OK x\r\n");
	is_told(p, "GONE 11 3\nWITHHELD 11 2 no internal error\n"
	    "DONE 11 no internal error\n", "NO");
	is_over(p, "5: 1 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m01.\n"
	    "5: end 1\n", "what was sent is whole");
	asks_send(p, 12, 10, 6, 1, "5:6");
	says(p, "A6 NO [EXPUNGEISSUED] some are gone\r\n");
	says(p, "* ESEARCH (TAG \"A7\") UID ALL 6\r\nA7 OK x\r\n");
	is_told(p, "GONE 12 5\nWITHHELD 12 6 no some are gone\n"
	    "DONE 12 no some are gone\n", "not all of them are");
	asks_send(p, 13, 10, 7, 1, "8");
	says(p, "A8 BAD what\r\nA9 NO what\r\n");
	is_told(p, "WITHHELD 13 8 bad what\nDONE 13 bad what\n",
	    "SEARCH is refused");
	asks_send(p, 14, 10, 8, 1, "9");
	says(p, "A10 OK x\r\nA11 OK x\r\n");
	is_told(p, "WITHHELD 14 9 ok \nDONE 14 ok\n", "it has no answer");
	asks_send(p, 15, 10, 9, 1, "9");
	says(p, "A12 OK x\r\n* ESEARCH (TAG \"A13\") UID ALL what\r\n"
	    "A13 OK x\r\n");
	is_told(p, "LOG 0 mail.example sent what can't be read, and is passed "
	    "over: * ESEARCH (TAG \"A13\") UID ALL what\n"
	    "WITHHELD 15 9 ok \nDONE 15 ok\n", "or none that can be read");
	peer_end(p);
}

/* The mailbox could not be selected: nothing is known of its messages. */
static void
test_homeless(void)
{
	struct peer	*p = peer_ready(CAPS);

	asks_open(p, 10, "box");
	asks_send(p, 11, 10, 5, 1, "1:3");
	says(p, "A3 NO no such mailbox\r\nA4 BAD nothing is selected\r\n");
	is_told(p, "DONE 10 no no such mailbox\nDONE 11 bad nothing is "
	    "selected\n", "nothing is gone");
	is_over(p, "5: end 0\n", "nor was all sent");
	peer_end(p);
}

/* ---- another mailbox has been selected behind it ---- */

static void
test_behind(const char *caps, const char *found)
{
	struct peer	*p = peer_ready(caps);
	char		 line[128];

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1:2");
	asks_open(p, 20, "next");
	asks_send(p, 21, 20, 6, 1, "1:2");
	buf_clear(&p->got);
	gives(p, 1);
	says(p, "A4 OK x\r\n");
	is_over(p, "5: 1 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m01.\n"
	    "5: end 1\n", "the end stands in front of the next");
	snprintf(line, sizeof(line), "A7 EXAMINE \"box\"\r\n"
	    "A8 UID SEARCH %sUID 2\r\nA9 SELECT \"next\"\r\n",
	    found[2] == 'E' ? "RETURN (ALL) " : "");
	is_sent(p, line, "looked at once more");
	says(p, "* OK [CLOSED] x\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n"
	    "A5 OK x\r\n");
	gives(p, 1);
	gives(p, 2);
	says(p, "A6 OK x\r\n");
	is_over(p, "6: 1 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m01.\n"
	    "6: 2 3  1-Jan-2020 00:00:00 +0000 (\\Seen) m02.\n"
	    "6: end 1\n", "which goes on");
	is_told(p, "OPENED 20 8/0/2/0\nDONE 20 ok\n", "and is told");
	says(p, "* OK [CLOSED] x\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	    "* 1 FETCH (UID 1 FLAGS ())\r\n* VANISHED 1\r\nA7 OK x\r\n");
	is_told(p, "", "nothing is told of the look");
	says(p, found);
	says(p, "A8 OK x\r\n");
	is_told(p, "WITHHELD 11 2 ok \n", "it is there");
	says(p, "* OK [CLOSED] x\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n"
	    "A9 OK x\r\n* VANISHED 9\r\n");
	is_told(p, "DONE 11 ok\nDONE 21 ok\nVANISHED 20 9\n",
	    "the other is selected again");
	asks_send(p, 22, 20, 7, 1, "9");
	says(p, "A10 OK x\r\n");
	is_told(p, "GONE 22 9\nDONE 22 ok\n", "and goes on");
	peer_end(p);
}

/* What is looked at is another mailbox of that name. */
static void
test_replaced(void)
{
	struct peer	*p = peer_ready(CAPS);

	opened(p, 10, "A3");
	asks_send(p, 11, 10, 5, 1, "1:2");
	asks_open(p, 20, "next");
	says(p, "A4 OK x\r\n* OK [CLOSED] x\r\n* 2 EXISTS\r\nA5 OK x\r\n"
	    "* OK [CLOSED] x\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n"
	    "A6 OK x\r\n* ESEARCH (TAG \"A7\") UID\r\nA7 OK x\r\nA8 OK x\r\n");
	is_told(p, "OPENED 20 0/0/2/0\nDONE 20 ok\nWITHHELD 11 1:2 ok \n"
	    "DONE 11 ok\n", "its list says nothing");
	asks_send(p, 21, 20, 6, 1, "1");
	asks_open(p, 30, "third");
	says(p, "A9 OK x\r\n* OK [CLOSED] x\r\n* 1 EXISTS\r\nA10 OK x\r\n"
	    "A11 NO it is gone\r\nA12 BAD what\r\nA13 OK x\r\n");
	is_told(p, "OPENED 30 0/0/1/0\nDONE 30 ok\nWITHHELD 21 1 ok \n"
	    "DONE 21 ok\n", "nor if it can't be opened");
	peer_end(p);
}

/* So many single UIDs that they need two commands, and two SEARCHes. */
static void
test_many(void)
{
	struct peer		*p = peer_ready(CAPS);
	struct m_net_send	 m = { 10, 5, 1, UIDSET_INIT };
	uint32_t		 i;

	opened(p, 10, "A3");
	for (i = 0; i < 1000; i++)
		uidset_add(&m.set, 1000000000 + 2 * i, 1000000000 + 2 * i);
	asks(p, M_NET_SEND, 11, &m);
	uidset_free(&m.set);
	buf_clear(&p->got);
	says(p, "A4 NO one\r\n");
	is_over(p, "", "the other is to come");
	says(p, "A5 OK x\r\n");
	is_over(p, "5: end 1\n", "then it ends");
	says(p, "* ESEARCH (TAG \"A6\") UID ALL 1000000000\r\nA6 OK x\r\n"
	    "* ESEARCH (TAG \"A7\") UID ALL 1000001998\r\nA7 OK x\r\n");
	ok(strstr(text_of(&p->told), "WITHHELD 11 1000000000 no one\n") !=
	    NULL && strstr(text_of(&p->told),
	    "WITHHELD 11 1000001998 ok \nDONE 11 no one\n") != NULL,
	    "each with the answer to its FETCH");
	peer_end(p);
}

int
main(void)
{
	peer_begin();
	test_reads();
	test_whole();
	test_large();
	test_dates();
	test_single();
	test_withheld();
	test_empty();
	test_gone();
	test_madeup();
	test_refused();
	test_homeless();
	test_behind(CAPS, "* ESEARCH (TAG \"A8\") UID ALL 2\r\n");
	test_behind("IMAP4rev1 ENABLE QRESYNC", "* SEARCH 2\r\n");
	test_replaced();
	test_many();
	return tap_done();
}
