/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The grammar of what a mail server says. */
#include "imapsync-net/imap.h"
#include "tap.h"

static struct parser	 parser;
static struct resp	 resp;		/* the last one; its set is our copy */
static struct fetch	 fetch;
static struct buf	 body;
static int		 resps, bodies, ends, stop_at_tagged;
static uint64_t		 parts, total;

static void
on_resp(void *arg, const struct resp *r)
{
	(void)arg;
	uidset_free(&resp.set);
	resp = *r;
	uidset_init(&resp.set);
	uidset_copy(&resp.set, &r->set);
	resp.mb.name = resp.name;
	if (r->fetch != NULL)
		fetch = *r->fetch;
	resps++;
	if (r->more)
		parts++;
	total += uidset_count(&r->set);
	if (r->type == R_TAGGED && stop_at_tagged)
		parse_stop(&parser);
}

static void
on_body(void *arg, const struct fetch *f, uint64_t len)
{
	(void)arg;
	(void)len;
	fetch = *f;
	bodies++;
}

static void
on_data(void *arg, const void *p, size_t n)
{
	(void)arg;
	buf_add(&body, p, n);
}

static void
on_end(void *arg)
{
	(void)arg;
	ends++;
}

static const struct parse_ops ops = { on_resp, on_body, on_data, on_end,
    NULL };

static void
again(void)
{
	parse_free(&parser);
	parse_init(&parser, &ops, NULL);
	resps = bodies = ends = 0;
	parts = total = 0;
	buf_clear(&body);
}

/* One response: 0, or -1 if the parser refuses it. */
static int
one(const char *text)
{
	size_t	 n = strlen(text);

	again();
	return parse_feed(&parser, text, n) == (ssize_t)n ? 0 : -1;
}

/* One that is told as bad, of that type. */
static int
bad(const char *text, enum resp_type type)
{
	return one(text) == 0 && resps == 1 && resp.bad && resp.type == type;
}

/* One that is no response. */
static int
none(const char *text)
{
	return one(text) == 0 && resps == 1 && resp.type == R_NONE &&
	    strncmp(resp.text, text, strlen(resp.text)) == 0;
}

static void
test_status(void)
{
	ok(one("* OK [UIDVALIDITY 7] x\r\n") == 0 && resp.type == R_STATUS &&
	    resp.word == WORD_OK && resp.code == C_UIDVALIDITY &&
	    resp.num == 7 && strcmp(resp.text, "x") == 0, "OK with a code");
	ok(one("A12 NO [OVERQUOTA] full {3}\r\n") == 0 && resps == 1 &&
	    resp.type == R_TAGGED && strcmp(resp.tag, "A12") == 0 &&
	    resp.word == WORD_NO && resp.rc == RC_OVERQUOTA, "a tagged NO");
	ok(one("A1 OK\r\n") == 0 && resp.word == WORD_OK &&
	    resp.text[0] == '\0', "no text");
	ok(one("A1 OK [HIGHESTMODSEQ 18446744073709551615]\r\n") == 0 &&
	    resp.num == UINT64_MAX, "64 bits");
	ok(one("* OK [HIGHESTMODSEQ 18446744073709551616]\r\n") == 0 &&
	    resp.code == C_HIGHESTMODSEQ && resp.num == 0 && !resp.bad,
	    "65 bits: none");
	ok(one("* OK [HIGHESTMODSEQ NIL]\r\n") == 0 && resp.num == 0 &&
	    !resp.bad, "NIL: none");
	ok(bad("* OK [UIDVALIDITY 4294967296] x\r\n", R_STATUS) &&
	    resp.code == C_UIDVALIDITY && strcmp(resp.text, "x") == 0,
	    "UIDVALIDITY has 32 bits");
	ok(bad("* OK [UIDVALIDITY 0] x\r\n", R_STATUS), "and is not 0");
	ok(one("* OK [UIDNEXT 4294967296] x\r\n") == 0 && resp.num == 0 &&
	    !resp.bad, "UIDNEXT that can't be: none");
	ok(bad("A1 OK [UIDNEXT x] y\r\n", R_TAGGED) &&
	    resp.word == WORD_OK && strcmp(resp.tag, "A1") == 0,
	    "an answer is one, whatever its code is");
	ok(bad("* OK [PERMANENTFLAGS \\Seen] x\r\n", R_STATUS),
	    "flags that are no list");
	ok(one("* OK [PERMANENTFLAGS (\\Seen foo[1] \\*)] x\r\n") == 0 &&
	    resp.any && flags_has(resp.flags, "\\Seen"), "PERMANENTFLAGS");
	ok(one("* OK [MAILBOXID (F1)] x\r\n") == 0 &&
	    strcmp(resp.mailboxid, "F1") == 0, "MAILBOXID");
	ok(one("* OK [unclosed\r\n") == 0 && resp.code == C_NONE,
	    "a bracket that does not close is text");
	ok(one("* BYE x\r\n") == 0 && resp.word == WORD_BYE, "BYE");
	ok(none("A1 BYE x\r\n"), "a tagged BYE");
	ok(none("A1 WHAT\r\n"), "a tagged nonsense");
	ok(none(" NO LOGOUT x\r\n"), "a blank in front");
	ok(none(")\r\n"), "a parenthesis");
	ok(one("\r\n") == 0 && resps == 1 && resp.type == R_EMPTY,
	    "an empty line");
	ok(one("+ dGVzdA==\r\n") == 0 && resp.type == R_CONT &&
	    strcmp(resp.text, "dGVzdA==") == 0, "a continuation");
	ok(one("* OK [CAPABILITY qresync AUTH=plain AUTH=X APPENDLIMIT=5 "
	    "LITERAL+] x\r\n") == 0 && resp.code == C_CAPABILITY &&
	    resp.caps.bits == (CAP_QRESYNC | CAP_CONDSTORE |
	    CAP_LITERALPLUS) && resp.caps.appendlimit == 5 &&
	    strcmp(resp.caps.mechs, "PLAIN X") == 0, "capabilities");
	ok(one("* ENABLED CONDSTORE QRESYNC\r\n") == 0 &&
	    resp.type == R_ENABLED && resp.qresync, "ENABLED");
	ok(one("* ENABLED\r\n") == 0 && !resp.qresync, "ENABLED nothing");
}

static void
appenduid(const char *set, int ordered, uint64_t n)
{
	char	 line[100];

	snprintf(line, sizeof(line), "A1 OK [APPENDUID 9 %s] x\r\n", set);
	ok(one(line) == 0 && resp.code == C_APPENDUID && resp.num == 9 &&
	    resp.ordered == ordered &&
	    (!ordered || uidset_count(&resp.set) == n), "APPENDUID %s", set);
}

static void
copyuid(const char *sets, int ordered)
{
	char	 line[100];

	snprintf(line, sizeof(line), "* OK [COPYUID 9 %s] x\r\n", sets);
	ok(one(line) == 0 && resp.code == C_COPYUID && resp.num == 9 &&
	    resp.ordered == ordered && (!ordered ||
	    uidset_count(&resp.set) == uidset_count(&resp.from)),
	    "COPYUID %s", sets);
}

static void
test_copyuid(void)
{
	copyuid("1:3,9 7:10", 1);
	copyuid("1 4294967295", 1);
	copyuid("3:1 7:9", 1);
	copyuid("1:3,9 7:9", 0);
	copyuid("3,1 7:8", 0);
	copyuid("1,3 8,7", 0);
	copyuid("1:3", 0);
	copyuid("1:3 ", 0);
	copyuid("0 1", 0);
	copyuid("1:* 7:9", 0);
	copyuid("1:4294967296 7:9", 0);
}

static void
test_lists(void)
{
	ok(one("* LIST (\\Noselect \\Trash \\X) \"/\" \"a b\"\r\n") == 0 &&
	    resp.type == R_LIST && resp.mb.delimiter == '/' &&
	    resp.mb.attrs == (ATTR_NOSELECT | ATTR_TRASH) &&
	    strcmp(resp.name, "a b") == 0, "LIST");
	ok(one("* LIST () NIL {3}\r\na\"b (\"X\" (1))\r\n") == 0 &&
	    resp.mb.delimiter == 0 && strcmp(resp.name, "a\"b") == 0,
	    "a literal, NIL, extended data");
	ok(one("* LIST () \"\\\\\" x\r\n") == 0 && resp.mb.delimiter == '\\',
	    "a backslash as delimiter");
	ok(one("* LIST () \"/\" {3}\r\na\nb\r\n") == 0 &&
	    resp.name[0] == '\0', "a name with a control octet");
	ok(bad("* LIST \"/\" x\r\n", R_LIST), "LIST without attributes");
	ok(bad("* LIST ((\\Foo \"/\" x\r\n", R_LIST) &&
	    strcmp(resp.text, "* LIST ((\\Foo \"/\" x") == 0,
	    "with too many parentheses");
	ok(bad("* LIST () \"/\" a b\r\n", R_LIST), "a name with a blank");
	ok(one("* STATUS x (UIDNEXT 5 X (1 2) MESSAGES 3 HIGHESTMODSEQ 9 "
	    "UIDVALIDITY 4)\r\n") == 0 && resp.type == R_MBSTATUS &&
	    resp.mb.has_status && resp.mb.uidnext == 5 &&
	    resp.mb.messages == 3 && resp.mb.modseq == 9 &&
	    resp.mb.uidvalidity == 4, "STATUS");
	ok(bad("* STATUS x (UIDNEXT)\r\n", R_MBSTATUS),
	    "STATUS without a number");
	ok(bad("* STATUS \"ab\"cd\" (UIDNEXT 1)\r\n", R_MBSTATUS),
	    "a quote in a name");
	ok(one("* STATUS x (HIGHESTMODSEQ NIL UIDVALIDITY 12345678901 "
	    "UIDNEXT NIL MESSAGES 3)\r\n") == 0 && !resp.bad &&
	    resp.mb.modseq == 0 && resp.mb.uidvalidity == 0 &&
	    resp.mb.uidnext == 0 && resp.mb.messages == 3,
	    "what can't be is not told");
	ok(bad("* STATUS x (MESSAGES 4294967296)\r\n", R_MBSTATUS),
	    "but for MESSAGES, where 0 is a number");
	appenduid("5", 1, 1);
	appenduid("5,7:9", 1, 4);
	appenduid("12:10", 1, 3);
	appenduid("9,5", 0, 0);
	appenduid("5,5", 0, 0);
	appenduid("*", 0, 0);
}

static void
test_sets(void)
{
	static char	 text[100000];
	size_t		 n;
	unsigned	 i;

	ok(one("* VANISHED (EARLIER) 1:3,7\r\n") == 0 &&
	    resp.type == R_VANISHED && resp.earlier &&
	    uidset_count(&resp.set) == 4, "VANISHED (EARLIER)");
	ok(one("* VANISHED 1:4294967295\r\n") == 0 && !resp.earlier &&
	    resp.set.n == 1, "VANISHED of everything");
	ok(bad("* VANISHED 0\r\n", R_VANISHED) &&
	    bad("* VANISHED x\r\n", R_VANISHED) &&
	    bad("* VANISHED (LATER) 1\r\n", R_VANISHED),
	    "VANISHED that can't be");
	ok(one("* VANISHED (EARLIER) \r\n") == 0 && !resp.bad &&
	    resp.type == R_VANISHED && uidset_empty(&resp.set),
	    "VANISHED of nothing");
	ok(one("* ESEARCH (TAG \"A3\") UID COUNT 5 ALL 1:5\r\n") == 0 &&
	    resp.type == R_ESEARCH && strcmp(resp.tag, "A3") == 0 &&
	    uidset_count(&resp.set) == 5, "ESEARCH");
	ok(bad("* ESEARCH (TAG \"A3\") UID ALL x\r\n", R_ESEARCH) &&
	    strcmp(resp.tag, "A3") == 0, "what can't be, and whose it is");
	ok(one("* SEARCH 9 3 4\r\n") == 0 && resp.type == R_SEARCH &&
	    resp.set.n == 2 && uidset_count(&resp.set) == 3, "SEARCH");
	ok(one("* SEARCH\r\n") == 0 && uidset_empty(&resp.set) &&
	    one("* SEARCH 2 (MODSEQ 9)\r\n") == 0 && !resp.bad &&
	    uidset_count(&resp.set) == 1, "of nothing; with a MODSEQ");
	ok(bad("* SEARCH 1 0\r\n", R_SEARCH) && bad("* SEARCH 1,2\r\n",
	    R_SEARCH), "what can't be");
	ok(one("* ESEARCH (TAG \"A3\") UID\r\n") == 0 &&
	    resp.type == R_ESEARCH && uidset_empty(&resp.set),
	    "ESEARCH of nothing");
	ok(one("* ESEARCH (TAG \"A3\") ALL 1\r\n") == 0 &&
	    resp.type == R_OTHER, "message numbers are not UIDs");
	n = snprintf(text, sizeof(text), "* ESEARCH (TAG \"A3\") UID ALL ");
	for (i = 0; i < 10000; i++)
		n += snprintf(text + n, sizeof(text) - n, "%u,",
		    10000 + i * 2);
	snprintf(text + n, sizeof(text) - n, "99999\r\n");
	ok(one(text) == 0 && total == 10001 && parts > 0 &&
	    strcmp(resp.tag, "A3") == 0 && !resp.more,
	    "a set that is longer than a line may be");
	memcpy(text, "* SEARCH ", 9);
	for (i = 0; text[i] != '\0'; i++)
		if (i > 9 && (text[i] < '0' || text[i] > '9'))
			text[i] = ' ';
	n = strlen(text);
	memcpy(text + n - 2, "\r\n", 2);
	ok(one(text) == 0 && total == 10002 && parts > 0 &&
	    resp.type == R_SEARCH && !resp.more && !resp.bad,
	    "the other form of it as well");
	text[50000] = 'x';
	ok(one(text) == 0 && resp.bad && resp.type == R_SEARCH,
	    "unless it can't be read");
	memcpy(text, "* SEARCHING", 11);
	ok(one(text) == 0 && resps == 0, "a long response that is unknown");
	memset(text, 'x', sizeof(text));
	memcpy(text, "* 1 FETCH (", 11);
	memcpy(text + LEX_HARD + 100, ")\r\n", 4);
	ok(bad(text, R_FETCH), "one that is not");
	memcpy(text, "* 1 FETCH (UID 9 X", 18);
	ok(bad(text, R_FETCH) && fetch.uid == 9, "and whose it is");
	memcpy(text, "* OK [PERMANENTFLAGS (", 22);
	ok(one(text) == 0 && resp.type == R_STATUS && !resp.bad &&
	    resp.code == C_NONE, "a code that is too long is none");
	memcpy(text, "A1 OK [PERMANENTFLAGS (", 23);
	ok(one(text) == 0 && resps == 1 && resp.type == R_TAGGED &&
	    strcmp(resp.tag, "A1") == 0 && resp.word == WORD_OK,
	    "and no answer is lost for it");
	memcpy(text, "* VANISHED 1,2 ", 15);
	ok(bad(text, R_VANISHED), "a set with something in it");
}

static void
test_fetch(void)
{
	ok(one("* 3 FETCH (UID 9 FLAGS (\\Seen \\Recent b A) MODSEQ (5) "
	    "RFC822.SIZE 7 X-Y (\"z\" {1}\r\n)))\r\n") == 0 &&
	    resp.type == R_FETCH && fetch.uid == 9 && fetch.modseq == 5 &&
	    fetch.size == 7 && strcmp(fetch.flags, "\\Seen A b") == 0,
	    "items, known and unknown");
	ok(one("* 3 FETCH (FLAGS (a]b ok \\Seen))\r\n") == 0 &&
	    flags_has(fetch.flags, "ok") && flags_valid(fetch.flags),
	    "a flag that is none is left out");
	ok(one("* 3 FETCH (FLAGS (\200\200\205\004Junk \\Seen \001))\r\n") ==
	    0 && !resp.bad && strcmp(fetch.flags, "\\Seen") == 0 &&
	    strcmp(fetch.noflag, "\200\200\205\004Junk") == 0,
	    "and named");
	ok(one("* 3 FETCH (FLAGS (\\Seen))\r\n") == 0 &&
	    fetch.noflag[0] == '\0', "if there is one");
	ok(bad("* 3 FETCH (FLAGS ((a) b))\r\n", R_FETCH), "no list");
	ok(one("* 3 FETCH (UID 0 FLAGS ())\r\n") == 0 && !resp.bad &&
	    fetch.uid == 0 && fetch.has_flags, "UID 0 is none");
	ok(one("* 3 FETCH (UID 4294967296)\r\n") == 0 && fetch.uid == 0 &&
	    one("* 3 FETCH (UID NIL)\r\n") == 0 && fetch.uid == 0,
	    "nor is one that can't be");
	ok(one("* 3 FETCH (MODSEQ (18446744073709551616) RFC822.SIZE -1 "
	    "UID 4)\r\n") == 0 && !resp.bad && !fetch.has_modseq &&
	    !fetch.has_size && fetch.uid == 4, "nor a MODSEQ, nor a size");
	ok(bad("* 3 FETCH (UID 1\r\n", R_FETCH) && fetch.uid == 1, "no end");
	ok(bad("* 3 FETCH (UID 1) FLAGS (a)\r\n", R_FETCH),
	    "it ends too soon");
	ok(one("* 99999999999 FETCH (UID 1)\r\n") == 0 && !resp.bad &&
	    fetch.uid == 1, "its number is of no use");
	ok(one("* 3 FETCH (UID 9 INTERNALDATE \" 1-Jan-2020 00:00:00 +0100\" "
	    "BODY[] {5}\r\na)\r\nb)\r\n") == 0 && bodies == 1 && ends == 1 &&
	    body.len == 5 && memcmp(buf_ptr(&body), "a)\r\nb", 5) == 0 &&
	    fetch.has_date == FDATE_TOLD && fetch.section == SECT_ALL &&
	    fetch.body == BODY_GIVEN, "a body");
	ok(one("* 3 FETCH (UID 9 BODY[] {0}\r\n FLAGS (a))\r\n") == 0 &&
	    bodies == 1 && ends == 1 && body.len == 0 && fetch.has_flags,
	    "an empty one, and what stands behind it");
	ok(one("* 3 FETCH (UID 9 BODY[] \"a\\\"\")\r\n") == 0 &&
	    bodies == 1 && ends == 1 && body.len == 2 &&
	    memcmp(buf_ptr(&body), "a\"", 2) == 0, "as a quoted string");
	ok(one("* 3 FETCH (UID 9 BODY[] NIL)\r\n") == 0 && bodies == 0 &&
	    fetch.body == BODY_NIL, "NIL is no body");
	ok(one("* 3 FETCH (BODY[] {1}\r\nx BODY[] {1}\r\ny)\r\n") == -1,
	    "two of them");
	ok(one("* 3 FETCH (UID 9 BODY[] {1}\r\nx\r\n") == 0 && !resp.bad &&
	    ends == 1 && fetch.uid == 9, "without its parenthesis");
	ok(one("* 3 FETCH (UID 9 BODY[] {1}\r\nxy)\r\n") == -1,
	    "longer than announced");
	ok(one("* 3 FETCH (UID 9 BODY[] {4}\r\nx)\r\n* 4 FETCH (UID 10)\r\n")
	    == -1, "shorter than announced");
	ok(one("* 3 FETCH (UID 9 BODY[] {12}\r\nx)\r\n* 4 FETC (UID 10)\r\n")
	    == -1, "so that it goes on with a blank");
	ok(one("* 3 FETCH (BODY[HEADER.FIELDS (DATE)] {1}\r\nxy)\r\n") ==
	    -1, "a header as well");
	ok(one("* 3 FETCH (UID 9) BODY[] {1}\r\nx)\r\n") == 0 && resp.bad &&
	    bodies == 0, "behind the end of its FETCH");
	ok(one("* 3 FETCH (BODY[HEADER.FIELDS (DATE \"TO\")] {2}\r\nab "
	    "UID 1)\r\n") == 0 && fetch.section == SECT_HEADER &&
	    body.len == 2, "a header");
	ok(one("* 3 FETCH (INTERNALDATE \"yesterday\")\r\n") == 0 &&
	    fetch.has_date == FDATE_BAD &&
	    strcmp(fetch.date, "yesterday") == 0, "a date that is none");
	ok(one("* 3 FETCH (INTERNALDATE \"9-Apr-2018 16:08:15 +0000\")\r\n")
	    == 0 && fetch.has_date == FDATE_TOLD &&
	    strcmp(fetch.date, " 9-Apr-2018 16:08:15 +0000") == 0,
	    "a day of one digit");
	ok(one("* 3 FETCH (INTERNALDATE NIL)\r\n") == 0 &&
	    fetch.has_date == FDATE_NIL, "no date");
	ok(one("* 3 FETCH (INTERNALDATE \"01-Jan-2020 00:00:00 +0000 +0000\")"
	    "\r\n") == 0 && fetch.has_date == FDATE_BAD, "a longer one");
	ok(bad("* LIST () \"/\" {16385}\r\n", R_LIST),
	    "a literal where none may be so long");
	ok(bad("* 99999999999 EXISTS\r\n", R_EXISTS), "EXISTS, too many");
	ok(one("* 2 EXISTS\r\n") == 0 && resp.type == R_EXISTS &&
	    resp.num == 2, "EXISTS");
}

static void
test_stop(void)
{
	static const char	 text[] = "A1 OK x\r\n* 1 EXISTS\r\n";
	ssize_t			 n;

	stop_at_tagged = 1;
	again();
	n = parse_feed(&parser, text, sizeof(text) - 1);
	ok(n == 9 && resps == 1, "it stops behind a response");
	n = parse_feed(&parser, text + n, sizeof(text) - 1 - n);
	ok(n == 12 && resps == 2, "and goes on");
	stop_at_tagged = 0;
}

static void
test_date(void)
{
	static const struct {
		const char	*text;
		int64_t		 t;
	} good[] = {
		{ " 1-Jan-1970 00:00:00 +0000", 0 },
		{ "01-Jan-1970 01:00:00 +0100", 0 },
		{ "29-Feb-2000 23:59:60 -0130", 951874200 },
		{ "31-Dec-1969 23:59:59 +0000", -1 },
		{ " 1-mar-1900 00:00:00 +0000", -2203891200LL },
		{ "17-Jul-1996 02:44:25 -0700", 837596665 },
	};
	static const char *const wrong[] = { "", " 1-Jan-1970 00:00:00 +000",
	    " 1-Jan-1970 00:00:00 +00000", "1-Jan-1970 00:00:00 +0000 ",
	    "00-Jan-1970 00:00:00 +0000", "32-Jan-1970 00:00:00 +0000",
	    "31-Apr-1970 00:00:00 +0000", "29-Feb-1900 00:00:00 +0000",
	    " 1-Jab-1970 00:00:00 +0000", " 1-Jan-1970 24:00:00 +0000",
	    " 1-Jan-1970 00:00:00 x0000", " 1-Jan-1970 00:00:00\r\n0000",
	    " 1 Jan 1970 00:00:00 +0000", "1 -Jan-1970 00:00:00 +0000" };
	int64_t		 t;
	unsigned	 i;

	for (i = 0; i < nitems(good); i++) {
		t = 99;
		ok(parse_date(good[i].text, &t) == 0 && t == good[i].t, "%s",
		    good[i].text);
	}
	for (i = 0; i < nitems(wrong); i++)
		ok(parse_date(wrong[i], &t) == -1, "bad date %u", i);
}

int
main(void)
{
	test_status();
	test_copyuid();
	test_lists();
	test_sets();
	test_fetch();
	test_stop();
	test_date();
	return tap_done();
}
