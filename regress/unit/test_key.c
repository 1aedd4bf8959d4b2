/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The key of a message: what must not change it, and what must. */
#include "imapsync-net/imap.h"
#include "tap.h"

static int	 msgid;

static uint64_t
key_of(const char *text, size_t len, size_t most)
{
	struct key	 k;
	size_t		 n;

	key_init(&k);
	for (; len > 0; len -= n, text += n) {
		n = len < most ? len : most;
		key_feed(&k, text, n);
	}
	return key_final(&k, &msgid);
}

static uint64_t
key(const char *text)
{
	return key_of(text, strlen(text), 1000);
}

#define HEAD	"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n" \
		"To: c@d\r\nSubject: hello world\r\n\r\n"

static void
test_same(void)
{
	static const char *const	 same[] = {
		HEAD "body\r\nSubject: other\r\n",
		"Received: by x\r\n\ty\r\nMessage-ID: <1@x>\r\nDate: today\r\n"
		"From: a@b\r\nX-Subject: no\r\nTo: c@d\r\n"
		"Subject: hello world\r\n\r\n",
		"MESSAGE-id:<1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject: hello world\r\n\r\n",
		"Message-ID: <1@x>\nDate: today\nFrom: a@b\n"
		"To: c@d\nSubject: hello world\n\n",
		"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject: hello\r\n\t world \r\n\r\n",
		"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject : hello world",
		"\tcontinues: nothing\r\n" HEAD,
		"no colon here\r\n" HEAD,
	};
	uint64_t			 want = key(HEAD);
	unsigned			 i;
	size_t				 most;

	for (i = 0; i < nitems(same); i++)
		ok(key(same[i]) == want, "the same, %u", i);
	for (most = 1; most < 60; most += 7)
		ok(key_of(HEAD, strlen(HEAD), most) == want,
		    "in pieces of %zu", most);
}

static void
test_other(void)
{
	static const char *const	 other[] = {
		"",
		"\r\n" HEAD,
		"Message-ID: <2@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject: hello world\r\n\r\n",
		"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject: helloworld\r\n\r\n",
		"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\nTo: e@f\r\nSubject: hello world\r\n\r\n",
		"Message-ID: <1@x>\r\nDate: today\r\nFrom: a@b\r\n"
		"To: c@d\r\n\r\nSubject: hello world\r\n",
		/* A value that looks like the next field. */
		"Message-ID: <1@x> Date:today\r\nFrom: a@b\r\n"
		"To: c@d\r\nSubject: hello world\r\n\r\n",
	};
	uint64_t			 want = key(HEAD);
	unsigned			 i;

	for (i = 0; i < nitems(other); i++)
		ok(key(other[i]) != want, "not the same, %u", i);
}

static void
test_octets(void)
{
	static const char	 nul[] = "Subject: a\0b\r\n\r\n";
	static const char	 high[] = "Subject: a\200b\r\n\r\n";

	ok(key_of(nul, sizeof(nul) - 1, 100) == key("Subject: aXb\r\n\r\n"),
	    "NUL is X");
	ok(key_of(high, sizeof(high) - 1, 100) == key("Subject: aXb\r\n\r\n"),
	    "so are octets above 127");
	key(HEAD);
	ok(msgid, "it has a Message-ID");
	key("Subject: x\r\n\r\nMessage-ID: <1>\r\n");
	ok(!msgid, "one in the body is none");
	/* SHA-256 of "subject:x\n" begins with these. */
	ok(key("Subject: x\r\n\r\n") == 0xaf88de71357db31fULL, "a known value");
}

int
main(void)
{
	test_same();
	test_other();
	test_octets();
	return tap_done();
}
