/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Names in UTF-8 and modified UTF-7: there and back, for every character; what
 * is not canonical; bounds.
 */
#include "utf7.h"
#include "tap.h"

static const char	*const chars[] = { "a", "-", "&", "/", NAME_SEP_STR,
			    "\303\274", "\342\202\254", "\360\237\230\200" };

/* Every character by itself and between two others, in one loop. */
static void
test_characters(void)
{
	uint32_t	 c, wrong[4] = { 0, 0, 0, 0 };
	char		 text[16], utf7[NAME_MAX_LEN], back[NAME_TEXT_MAX];
	const char	*p;
	size_t		 n;
	int		 good;

	for (c = 1; c <= 0x10ffff; c++) {
		good = c < 0xd800 || c > 0xdfff;
		text[0] = 'x';
		n = utf8_put(text + 1, c);
		text[n + 1] = 'y';
		text[n + 2] = '\0';
		p = text + 1;
		wrong[0] += good ? utf8_next(&p) != (int32_t)c ||
		    p != text + 1 + n : utf8_next(&p) != -1 || p != text + 1;
		if (c == 0x7f || (c < 0x20 && c != NAME_SEP))
			good = 0;
		if (utf7_encode(text, utf7) == -1) {
			wrong[1] += good;
			continue;
		}
		wrong[1] += !good;
		wrong[2] += utf7_decode(utf7, back) == -1 ||
		    strcmp(back, text) != 0;
		for (p = utf7; *p != '\0'; p++)
			wrong[3] += (unsigned char)*p >= 0x7f;
		wrong[3] += c < 0x80 && c != '&' && strcmp(utf7, text) != 0;
	}
	is_num(wrong[0], 0, "every character, as UTF-8, and none else");
	is_num(wrong[1], 0, "every one can be in a name but control ones");
	is_num(wrong[2], 0, "and comes back");
	is_num(wrong[3], 0, "in ASCII, which stays what it is");
	text[n = utf8_put(text, 0x110000)] = '\0';
	ok(!utf8_valid(text), "a character behind the last");
	ok(!utf8_valid("\300\257") && !utf8_valid("\340\200\257") &&
	    !utf8_valid("\360\200\200\257"), "longer than need be");
	ok(!utf8_valid("a\200") && !utf8_valid("\303") &&
	    !utf8_valid("\342\202") && !utf8_valid("\303("), "no UTF-8");
}

/* All words of up to six of these. */
static void
test_words(void)
{
	char	 text[64], utf7[NAME_MAX_LEN], back[NAME_TEXT_MAX];
	int	 i, k, n, wrong = 0, words = 1;

	for (n = 1; n <= 6; n++)
		words *= (int)nitems(chars);
	for (i = 0; i < words; i++) {
		for (text[0] = '\0', k = i; k > 0; k /= (int)nitems(chars))
			strlcat(text, chars[k % (int)nitems(chars)],
			    sizeof(text));
		wrong += utf7_encode(text, utf7) == -1 ||
		    utf7_decode(utf7, back) == -1 || strcmp(text, back) != 0;
	}
	is_num(wrong, 0, "words of six characters come back");
}

/* All names of up to seven octets out of these: what is read is written so. */
static void
test_names(void)
{
	static const char	 letters[] = "&-APwg2Da";
	char			 name[16], text[NAME_TEXT_MAX];
	char			 again[NAME_MAX_LEN];
	uint32_t		 i, k, names = 1, good = 0, wrong = 0;
	size_t			 n, base = sizeof(letters) - 1;

	for (n = 0; n < 7; n++)
		names *= base;
	for (i = 0; i < names; i++) {
		for (n = 0, k = i; k > 0; k /= base)
			name[n++] = letters[k % base];
		name[n] = '\0';
		if (utf7_decode(name, text) == -1)
			continue;
		good++;
		wrong += utf7_encode(text, again) == -1 ||
		    strcmp(again, name) != 0;
	}
	is_num(wrong, 0, "no two names are one");
	ok(good > names / 10 && good < names, "and some can be read");
}

static void
test_known(void)
{
	static const struct {
		const char	*utf7, *text;	/* NULL: not canonical */
	} tests[] = {
		{ "", "" }, { "INBOX", "INBOX" }, { "R&-D", "R&D" },
		{ "&-&-", "&&" },
		/* RFC 3501 section 5.1.3 */
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/"
		    "\345\217\260\345\214\227/"
		    "\346\227\245\346\234\254\350\252\236" },
		{ "&Jjo-!", "\342\230\272!" },
		{ "&Jjo!", NULL }, { "&U,BTFw-&ZeVnLIqe-", NULL },
		{ "Entw&APw-rfe", "Entw\303\274rfe" },
		{ "&2D3eAA-", "\360\237\230\200" },
		{ "&APw-" NAME_SEP_STR "&APw-", "\303\274" NAME_SEP_STR
		    "\303\274" },
		{ "R&D", NULL }, { "&", NULL }, { "a&", NULL },
		{ "&APw", NULL },		/* no end */
		{ "&AGE-", NULL },		/* an a */
		{ "&APx-", NULL },		/* bits behind the last */
		{ "&APwA-", NULL }, { "&A-", NULL }, { "&AP-", NULL },
		{ "&2D0-", NULL }, { "&3gA-", NULL },	/* half a pair */
		{ "&2D3YPQ-", NULL }, { "&3gDYPQ-", NULL },
		{ "&2D0AYQ-", NULL },
		{ "&AAA-", NULL }, { "&AAE-", NULL }, { "&AAo-", NULL },
		{ "&AH8-", NULL }, { "\177", NULL }, { "a\n", NULL },
		{ "\303\274", NULL }, { "&\303\274-", NULL },
		{ "&AP/-", NULL }, { "&AP.-", NULL }
	};
	char	 text[NAME_TEXT_MAX], back[NAME_MAX_LEN];
	size_t	 i;

	for (i = 0; i < nitems(tests); i++) {
		if (utf7_decode(tests[i].utf7, text) == -1) {
			ok(tests[i].text == NULL, "name %zu stays", i);
			continue;
		}
		is_str(text, tests[i].text != NULL ? tests[i].text :
		    "(as it is)", "a name");
		is_num(utf7_encode(text, back), 0, "can be written");
		is_str(back, tests[i].utf7, "as it was");
	}
	ok(utf7_encode("\303", back) == -1 && utf7_encode("a\tb", back) == -1 &&
	    utf7_encode("\177", back) == -1, "no UTF-8, control characters");
}

/* n times the same character; how long it is as UTF-7, or -1. */
static int
length(const char *c, size_t n)
{
	char	 text[8 * NAME_MAX_LEN] = "", utf7[NAME_MAX_LEN];
	char	 back[NAME_TEXT_MAX];

	while (n-- > 0)
		strlcat(text, c, sizeof(text));
	if (utf7_encode(text, utf7) == -1)
		return -1;
	if (utf7_decode(utf7, back) == -1 || strcmp(text, back) != 0)
		return -2;
	return (int)strlen(utf7);
}

static void
test_bounds(void)
{
	char	 name[NAME_MAX_LEN + 8], text[NAME_TEXT_MAX];

	is_num(length("a", NAME_MAX_LEN - 1), NAME_MAX_LEN - 1, "the longest");
	is_num(length("a", NAME_MAX_LEN), -1, "one more");
	is_num(length("&", NAME_MAX_LEN / 2 - 1), NAME_MAX_LEN - 2, "of &");
	is_num(length("&", NAME_MAX_LEN / 2), -1, "one more");
	is_num(length("\342\202\254", 382), 1021, "the longest in UTF-8");
	is_num(length("\342\202\254", 383), -1, "one more");
	is_num(length("\360\237\230\200", 191), 1021, "of pairs");
	is_num(length("\360\237\230\200", 192), -1, "one more");
	/* Longer than what a server can have told. */
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	is_num(utf7_decode(name, text), -1, "a name that is too long");
	memset(name, 'A', sizeof(name));
	name[0] = '&';
	name[sizeof(name) - 1] = '\0';
	is_num(utf7_decode(name, text), -1, "one without an end");
}

int
main(void)
{
	test_characters();
	test_words();
	test_names();
	test_known();
	test_bounds();
	return tap_done();
}
