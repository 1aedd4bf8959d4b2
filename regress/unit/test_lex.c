/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* Tokens, and responses out of octets in pieces of any size. */
#include "imapsync-net/imap.h"
#include "tap.h"

static struct lex
span(const char *s)
{
	struct lex	 l = { s, s + strlen(s) };

	return l;
}

static void
test_words(void)
{
	struct lex	 l = span("FETCH (uid"), w;
	uint64_t	 n;

	ok(!lex_word(&l, "FET"), "a word is not the beginning of one");
	ok(lex_word(&l, "fetch"), "words have no case");
	lex_sp(&l);
	ok(!lex_ch(&l, ')') && lex_ch(&l, '('), "lex_ch()");
	ok(lex_atom(&l, &w) == 0 && lex_is(&w, "UID") && !lex_is(&w, "UI"),
	    "lex_atom(), lex_is()");
	ok(lex_atom(&l, &w) == -1, "no atom at the end");
	l = span("4294967295 x");
	ok(lex_num(&l, UINT32_MAX, &n) == 0 && n == UINT32_MAX,
	    "the highest number");
	l = span("4294967296");
	ok(lex_num(&l, UINT32_MAX, &n) == -1, "one above it");
	l = span("18446744073709551615");
	ok(lex_num(&l, UINT64_MAX, &n) == 0 && n == UINT64_MAX, "64 bits");
	l = span("18446744073709551616");
	ok(lex_num(&l, UINT64_MAX, &n) == -1, "65 bits");
	l = span("x");
	ok(lex_num(&l, UINT64_MAX, &n) == -1, "no number");
	l = span("BODY[HEADER.FIELDS (\"]\" A)]<0> x");
	ok(lex_item(&l, &w) == 0 && *l.p == ' ' &&
	    lex_starts(&w, "body[header.fields "), "the name of an item");
	l = span("BODY[");
	ok(lex_item(&l, &w) == -1, "a section without end");
}

static void
test_strings(void)
{
	struct lexstr	 s;
	struct lex	 l;
	char		 dst[8];

	l = span("\"a\\\"b\\\\\" c");
	ok(lex_string(&l, &s) == 0 && lex_copy(&s, dst, sizeof(dst)) == 0 &&
	    strcmp(dst, "a\"b\\") == 0 && *l.p == ' ', "a quoted string");
	l = span("\"12345678\"");
	ok(lex_string(&l, &s) == 0 && lex_copy(&s, dst, sizeof(dst)) == 1 &&
	    dst[0] == '\0', "a string that is too long");
	l = span("\"abc");
	ok(lex_string(&l, &s) == -1, "no closing quote");
	l = span("\"abc\\");
	ok(lex_string(&l, &s) == -1, "a backslash at the end");
	l = span("{3}\r\na\\\" x");
	ok(lex_string(&l, &s) == 0 && lex_copy(&s, dst, sizeof(dst)) == 0 &&
	    strcmp(dst, "a\\\"") == 0 && *l.p == ' ', "a literal");
	l = span("{3}\r\nab");
	ok(lex_string(&l, &s) == -1, "a literal that is cut off");
	l = span("{99999999999}\r\nab");
	ok(lex_string(&l, &s) == -1, "a literal that is none");
	l.p = "{3}\r\na\0b";
	l.end = l.p + 8;
	ok(lex_string(&l, &s) == 0 && s.len == 3 &&
	    lex_copy(&s, dst, sizeof(dst)) == 1, "a literal with a NUL");
	l = span("~{1}\r\nx");
	ok(lex_astring(&l, &s) == 0 && s.len == 1, "a literal8");
	l = span("atom)");
	ok(lex_astring(&l, &s) == 0 && s.len == 4 && s.atom, "an atom");
}

static void
test_skip(void)
{
	static char	 deep[20001];
	struct lex	 l;

	l = span("(a \"b)\" (NIL {2}\r\n)) c) ()) x");
	ok(lex_skip(&l) == 0 && strcmp(l.p, " x") == 0, "a nested list");
	l = span(") x");
	ok(lex_skip(&l) == -1, "a parenthesis too many");
	l = span("(a (b)");
	ok(lex_skip(&l) == -1, "one too few");
	memset(deep, '(', 10000);
	memset(deep + 10000, ')', 10000);
	l = span(deep);
	ok(lex_skip(&l) == 0 && l.p == l.end, "a very deep list");
}

/* Feed the text in pieces of "most" octets; count what comes. */
static int	 lines, ends;
static uint64_t	 octets;
static char	 last[200];

static enum lx_event
feed(struct lexer *lx, const char *text, size_t len, size_t most, int give)
{
	const uint8_t	*p = (const uint8_t *)text;
	enum lx_event	 ev = LX_MORE;
	size_t		 n, i;

	lines = ends = 0;
	octets = 0;
	for (; len > 0; len -= i) {
		i = n = len < most ? len : most;
		while ((ev = lex_next(lx, &p, &n)) != LX_MORE) {
			if (ev == LX_LITERAL && give)
				lex_give(lx);
			else if (ev == LX_LITERAL)
				lex_keep(lx);
			else if (ev == LX_LINE) {
				snprintf(last, sizeof(last), "%.*s",
				    (int)lx->line.len,
				    (char *)buf_ptr(&lx->line));
				lines++;
				lex_reset(lx);
			} else if (ev == LX_DATA)
				octets += lx->datalen;
			else if (ev == LX_END)
				ends++;
			else if (ev == LX_FULL)
				;
			else
				return ev;
		}
	}
	return ev;
}

static void
test_responses(void)
{
	static const char	 text[] = "* 1 FETCH (X {5}\r\na\r\nb) Y "
				    "{0}\r\n)\r\n* OK hello {5}\r\n"
				    "A1 OK \"{3}\n";
	struct lexer		 lx;
	size_t			 most;

	lex_init(&lx);
	for (most = 1; most < sizeof(text); most += 3) {
		feed(&lx, text, sizeof(text) - 1, most, 0);
		ok(lines == 3 && strcmp(last, "A1 OK \"{3}") == 0,
		    "three responses in pieces of %zu", most);
		feed(&lx, text, sizeof(text) - 1, most, 1);
		ok(lines == 3 && ends == 2 && octets == 5,
		    "with literals given away");
	}
	feed(&lx, "* X \"{3}\r\n", 10, 100, 0);
	ok(lines == 1, "{3} in quotes is no literal");
	feed(&lx, "* 1 FETCH (X {2}\r\nab)\r\n", 23, 100, 1);
	is_str(last, "* 1 FETCH (X \"\")", "what is given away leaves \"\"");
	lex_free(&lx);
}

static void
test_bounds(void)
{
	static char	 big[LEX_HARD + 100];
	struct lexer	 lx;
	const uint8_t	*p = (uint8_t *)big;
	size_t		 n = sizeof(big);
	unsigned	 i;

	memset(big, 'x', sizeof(big));
	big[0] = '*';
	lex_init(&lx);
	ok(lex_next(&lx, &p, &n) == LX_FULL &&
	    (const char *)p - big == LEX_SOFT, "a long line is told");
	ok(lex_next(&lx, &p, &n) == LX_LONG &&
	    (const char *)p - big == LEX_HARD, "a longer one as well");
	lex_stop(&lx);
	ok(lex_next(&lx, &p, &n) == LX_MORE && n == 0 &&
	    lx.line.len == LEX_HARD, "the rest of it may be left out");
	p = (const uint8_t *)"{5}\r\nA1 OK\r\n";
	n = 14;
	ok(lex_next(&lx, &p, &n) == LX_LINE && lx.line.len == LEX_HARD &&
	    n == 9, "up to where it ends");
	lex_reset(&lx);
	p = (uint8_t *)big;
	n = sizeof(big);
	lex_next(&lx, &p, &n);
	lex_drop(&lx);
	ok(lex_next(&lx, &p, &n) == LX_MORE && n == 0 &&
	    lx.line.len < LEX_SOFT + 100, "unless it is dropped");
	lex_reset(&lx);
	ok(feed(&lx, "* 1 FETCH (", 11, 100, 0) == LX_MORE, "many literals");
	for (i = 0; i < LEX_LITERALS; i++)
		if (feed(&lx, "{0}\r\n", 5, 100, 0) != LX_MORE)
			break;
	is_num(i, LEX_LITERALS, "as many as may be kept");
	p = (const uint8_t *)"{0}\r\n";
	n = 5;
	ok(lex_next(&lx, &p, &n) == LX_LITERAL &&
	    lx.nliterals == LEX_LITERALS + 1, "one more is told");
	lex_free(&lx);
}

/* A line that never ends, whatever becomes of it. */
static void
test_endless(void)
{
	static char	 big[1024 * 1024];
	struct lexer	 lx;
	const uint8_t	*p;
	size_t		 n;
	int		 how, i;

	memset(big, 'x', sizeof(big));
	for (how = 0; how < 2; how++) {
		lex_init(&lx);
		for (i = 0; i <= LEX_DROPPED / (int)sizeof(big) + 1; i++) {
			p = (const uint8_t *)big;
			n = sizeof(big);
			while (n > 0 && lx.error == NULL)
				if (lex_next(&lx, &p, &n) == LX_LONG) {
					if (how == 0)
						lex_drop(&lx);
					else
						lex_stop(&lx);
				}
			if (i == LEX_DROPPED / (int)sizeof(big) - 1)
				ok(lx.error == NULL, "64 MB are passed over");
		}
		ok(lx.error != NULL, "but not more");
		lex_free(&lx);
	}
}

static void
test_length(void)
{
	struct lexer	 lx;

	lex_init(&lx);
	ok(feed(&lx, "* 1 FETCH (X {9223372036854775808}\r\n", 38, 100, 0) ==
	    LX_ERROR, "a literal without a possible length");
	lex_reset(&lx);
	ok(feed(&lx, "* 1 FETCH (X {}\r\n", 17, 100, 0) == LX_MORE &&
	    lines == 1, "none at all is no literal");
	lex_free(&lx);
}

static void
test_drop(void)
{
	static char	 big[LEX_SOFT];
	struct lexer	 lx;
	const uint8_t	*p;
	size_t		 n;
	static const char rest[] = "\" {4}\r\n\r\nA1 x\r\nA2 OK\r\n";

	/* Quotes are followed through what is forgotten. */
	memset(big, 'x', sizeof(big));
	memcpy(big, "* X \"", 5);
	lex_init(&lx);
	p = (uint8_t *)big;
	n = sizeof(big);
	lex_next(&lx, &p, &n);
	while (lex_next(&lx, &p, &n) != LX_FULL)
		;
	lex_drop(&lx);
	p = (const uint8_t *)rest;
	n = sizeof(rest) - 1;
	ok(lex_next(&lx, &p, &n) == LX_LINE && lx.dropped &&
	    strcmp((const char *)p, "A2 OK\r\n") == 0,
	    "a dropped response ends where it ends");
	lex_free(&lx);
}

int
main(void)
{
	test_words();
	test_strings();
	test_skip();
	test_responses();
	test_bounds();
	test_endless();
	test_length();
	test_drop();
	return tap_done();
}
