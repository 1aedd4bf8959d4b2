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

/* A message as it comes over the bridge, less its body and trailer. */
static void
head(struct peer *p, uint32_t transfer, uint32_t uid, uint64_t len,
    const char *date, const char *flags, size_t flagslen)
{
	uint8_t	 b[BR_HEAD_MAX], *c = b;
	int	 i;

	*c++ = BR_MSG;
	for (i = 3; i >= 0; i--)
		*c++ = transfer >> (8 * i);
	for (i = 3; i >= 0; i--)
		*c++ = uid >> (8 * i);
	for (i = 7; i >= 0; i--)
		*c++ = len >> (8 * i);
	*c++ = date != NULL;
	if (date != NULL) {
		memcpy(c, date, 26);
		c += 26;
	}
	*c++ = flagslen >> 8;
	*c++ = flagslen;
	memcpy(c, flags, flagslen);
	put_octets(p, p->bridge, b, c + flagslen - b);
}

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
	head(p, transfer, uid, strlen(body), NULL, "", 0);
	put_octets(p, p->bridge, body, strlen(body));
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
	head(p, 5, 2, 5 * 1024 * 1024, NULL, "", 0);
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

/*
 * An APPEND is answered while its literal is on its way, and then again.  (So
 * much of it that it is sent at once.)
 */
static void
test_answered_twice(void)
{
	struct peer	*p = peer_ready(CAPS);
	const char	*rest = "\r\nA5 UID FETCH * (UID MODSEQ)\r\n";

	opened(p, 10, "A3");
	asks_recv(p, 11, 10, 5, RECV_SINGLE);
	head(p, 5, 1, 100000, NULL, "", 0);
	octets(p, 70000);
	ok(p->got.len > 65536, "most of a message");
	says(p, "A4 NO no\r\n");
	is_told(p, "REFUSED 11 1 no 0 no\n", "refused");
	ends(p, say_again, EX_SYNC_TEMP, "a command that was not given",
	    "a second answer is to no command");
	octets(p, 30000);
	trailer(p, 1);
	end(p, 5, 1);
	buf_drain(&p->got, strlen("A4 APPEND \"box\" {100000+}\r\n"));
	is_num(p->got.len, 100000 + strlen(rest), "its literal is completed");
	buf_drain(&p->got, 100000);
	is_sent(p, rest, "the next command");
	says(p, "A5 OK x\r\n");
	is_told(p, "DONE 11 ok\n", "done");
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
	return tap_done();
}
