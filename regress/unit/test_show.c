/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What is shown of untrusted text, in a C and in a UTF-8 locale; the columns that
 * it takes; words that are near.
 */
#include "near.h"
#include "show.h"
#include "tap.h"

static const char *
shown(const char *text)
{
	static char	 buf[256];

	return show_text(buf, text, sizeof(buf));
}

static const char *
cut(const char *text, size_t columns)
{
	static char	 buf[256];

	return show_cut(show_text(buf, text, sizeof(buf)), columns);
}

static void
test_ascii(void)
{
	is_str(shown("a\\b c"), "a\\b c", "plain");
	is_str(shown("a\tb\r\n\033[31m\177"), "a\\tb\\r\\n^[[31m^?",
	    "control characters");
	is_str(shown("\303\274"), "M-CM-<", "octets");
	is_str(cut("abcdef", 3), "abc", "cut");
	ok(!show_utf8() && !show_printable("\303\274") &&
	    show_printable("a b"), "a C locale");
}

static void
test_utf8(void)
{
	/* Each is escaped octet by octet. */
	static const char *const	 hidden[] = { "\302\205", "\302\255",
	    "\330\234", "\342\200\213", "\342\200\216", "\342\200\250",
	    "\342\200\256", "\342\201\246", "\342\201\251", "\357\273\277",
	    "\357\277\271", "\363\240\201\201",
	    "\355\240\200", "\300\257", "\374", "\303" };
	char				 small[5];
	size_t				 i;

	is_str(shown("Entw\303\274rfe \346\227\245 \360\237\230\200 x"),
	    "Entw\303\274rfe \346\227\245 \360\237\230\200 x", "as it is");
	is_str(shown("\303\274\n\033]0;x\007"), "\303\274\\n^[]0;x\\a",
	    "control characters between");
	for (i = 0; i < nitems(hidden); i++) {
		ok(strncmp(shown(hidden[i]), "M-", 2) == 0 &&
		    !show_printable(hidden[i]), "%s", shown(hidden[i]));
	}
	is_str(shown("\303\303\274\274"), "M-C\303\274M-<",
	    "what is UTF-8 among what is not");
	is_str(show_text(small, "ab\303\274\303\274", sizeof(small)),
	    "ab\303\274", "cut between two characters");
	is_str(show_text(small, "abc\303\274", sizeof(small)), "abc",
	    "and not in one");
	is_num(show_width("a\303\274"), 2, "two columns");
	is_num(show_width("\346\227\245\346\234\254"), 4, "wide ones are two");
	is_num(show_width("u\314\210"), 1, "combining ones none");
	is_str(cut("\346\227\245\346\234\254", 3), "\346\227\245",
	    "half a character is none");
	is_str(cut("u\314\210x", 1), "u\314\210", "combined ones stay");
	ok(show_printable("\303\274\001a"), "a separator may be there");
}

static size_t
near(const char *word, const char *known)
{
	return near_word(word, strlen(word), known);
}

static void
test_near(void)
{
	char	 a[3 * NEAR_MAX + 8] = "", b[3 * NEAR_MAX + 8] = "";
	int	 i;

	is_num(near("Entwurfe", "Entw\303\274rfe"), 1, "one character");
	is_num(near("ENTW\303\274RFE", "Entw\303\274rfe"), 0, "case");
	is_num(near("Snet", "Sent"), 1, "swapped");
	is_num(near("Set", "Sent"), 1, "left out");
	is_num(near("Draft", "Drafts"), 1, "put in");
	is_num(near("Trash", "Drafts"), NEAR_MAX, "another");
	is_num(near("Sent", "Sent Items"), 6, "a beginning");
	is_num(near("Sen", "Sent Items"), NEAR_MAX, "too short for one");
	is_num(near("ab", "xy"), NEAR_MAX, "short ones are soon others");
	is_num(near("\346\227\245\346\234\254\350\252\236\345", "\346\227\245"
	    "\346\234\254\350\252\236"), 1, "an octet is a character");
	for (i = 0; i < NEAR_MAX; i++) {
		strlcat(a, "\303\274", sizeof(a));
		strlcat(b, "\303\274", sizeof(b));
	}
	is_num(near(a, b), 0, "the longest");
	strlcat(b, "x", sizeof(b));
	is_num(near(a, b), NEAR_MAX, "one more");
}

int
main(void)
{
	setenv("LC_ALL", "C", 1);
	show_init();
	test_ascii();
	test_near();
	setenv("LC_ALL", "C.UTF-8", 1);
	show_init();
	if (show_utf8())
		test_utf8();
	else
		skip("there is no C.UTF-8");
	return tap_done();
}
