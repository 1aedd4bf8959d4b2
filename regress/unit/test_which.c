/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Which mailbox a name or a pattern of the user's means, and how it is shown.
 */
#include "engine_box.h"
#include "show.h"
#include "tap.h"

#define UML	"\303\274"		/* u with two dots */
#define SZ	"\303\237"		/* sharp s */

/* Mailboxes that both servers list. */
static void
boxes_are(const char *const *names)
{
	box_start();
	for (; *names != NULL; names++)
		(void)box_unknown(*names, 0, 0);
}

static const char *
means(const char *arg)
{
	static char	 name[NAME_MAX_LEN];

	which_mbox(&eng, arg, name);
	return name;
}

static void
test_names(void)
{
	static const char *const	 none[] = { NULL };
	static const char *const	 some[] = { "INBOX", "Entw&APw-rfe",
	    "R&-D", "R&--D", "Q&-A", "raw\374", "a&b", "a\001&APw-", "T&--U",
	    NULL };

	boxes_are(some);
	is_str(means("Entw" UML "rfe"), "Entw&APw-rfe", "UTF-8");
	is_str(means("Entw&APw-rfe"), "Entw&APw-rfe", "modified UTF-7");
	is_str(means("inbox"), "INBOX", "INBOX in any case");
	is_str(means("a/" UML), "a\001&APw-", "a delimiter");
	is_str(means("R&-D"), "R&-D", "both readings exist: as it is spelt");
	is_str(means("R&D"), "R&-D", "plain text");
	is_str(means("R&--D"), "R&--D", "what would be R&-D");
	is_str(means("T&-U"), "T&--U", "the other reading exists");
	is_str(means("Q&A"), "Q&-A", "plain text");
	is_str(means("a&b"), "a&b", "a server may have spelt it so");
	is_str(means("raw\374"), "raw\374", "or so");

	boxes_are(none);
	is_str(means("R&-D"), "R&-D", "nobody has it: it may be UTF-7");
	is_str(means("R&D"), "R&-D", "and this can't");
	is_str(means("Entw" UML "rfe"), "Entw&APw-rfe", "UTF-8");
	is_str(means("Entw&APw-rfe"), "Entw&APw-rfe", "UTF-7");
	is_str(means(UML "&APw-"), "&APw-&-APw-", "never both");
	is_str(means("raw\374"), "raw\374", "neither");
}

static void
test_shown(void)
{
	static const char *const	 some[] = { "Entw&APw-rfe", "R&-D",
	    "R&D", "X&-Y", "it's", "&IC4-x", NULL };

	boxes_are(some);
	if (!show_utf8()) {
		is_str(name_show(&eng, "Entw&APw-rfe"), "Entw&APw-rfe",
		    "ASCII");
		return;
	}
	is_str(name_show(&eng, "a\001Entw&APw-rfe"), "a/Entw" UML "rfe",
	    "UTF-8");
	is_str(name_show(&eng, "R&D"), "R&D", "no UTF-7: as it is");
	is_str(name_show(&eng, "&APw"), "&APw", "nor this");
	is_str(name_show(&eng, "&IC4-x"), "&IC4-x",
	    "what would turn the direction stays in UTF-7");
	is_str(name_show(&eng, "&AIU-"), "&AIU-", "and control characters");
	is_str(which_quote(&eng, "Entw&APw-rfe"), "'Entw" UML "rfe'",
	    "for a shell");
	is_str(which_quote(&eng, "X&-Y"), "'X&Y'", "as it is shown");
	is_str(which_quote(&eng, "R&-D"), "'R&-D'",
	    "but where that would be another one");
	is_str(which_quote(&eng, "it's"), "'it'\\''s'", "a quote");
	is_str(name_plain(&eng, LOCAL, "a\001&APw-", 0), "a/&APw-", "as spelt");
	is_str(name_plain(&eng, LOCAL, "a\001&APw-", 1), "a/" UML, "in UTF-8");
	is_str(name_plain(&eng, LOCAL, "&APw", 1), "&APw", "as it is");
}

/* What is asked for, and of the mailboxes that there are what is left. */
static void
pattern(const char *text, const char *asked, const char *left)
{
	static const char *const	 some[] = { "INBOX", "Entw&APw-rfe",
	    "Entw&APwA3w-", "&APw-", "&APw-\001x", "R&-D", "S&--T", "V&-W",
	    "V&--W", NULL };
	char				 asks[2][NAME_MAX_LEN], is[256] = "";
	char				 one[NAME_MAX_LEN];
	char				*patterns[1];
	struct mbox			*mb;
	size_t				 i, n;
	int				 brought;

	strlcpy(one, text, sizeof(one));
	boxes_are(some);
	patterns[0] = one;
	eng.want.patterns = patterns;
	n = which_asks(text, asks);
	for (i = 0; i < n; i++) {
		strlcat(is, i > 0 ? " " : "", sizeof(is));
		strlcat(is, asks[i], sizeof(is));
	}
	is_str(is, asked, "asked for");
	/* As servers would list it. */
	FOREACH_MBOX(mb, &eng.list) {
		brought = 0;
		for (i = 0; i < n; i++)
			brought |= name_match(asks[i], mb->name);
		if (!brought) {
			box_without(mb, LOCAL);
			box_without(mb, REMOTE);
		}
	}
	which_select(&eng);
	is[0] = '\0';
	FOREACH_MBOX(mb, &eng.list)
		if (mb->s[LOCAL].told.name != NULL && !mb->skip) {
			strlcat(is, is[0] != '\0' ? " " : "", sizeof(is));
			strlcat(is, mb->name, sizeof(is));
		}
	is_str(is, left, "left");
	is_num(which_found(&eng, text) != 0, left[0] != '\0', "found");
}

static void
test_patterns(void)
{
	pattern("Entw*", "Entw*", "Entw&APw-rfe Entw&APwA3w-");
	pattern("Entw" UML "rfe", "Entw&APw-rfe", "Entw&APw-rfe");
	pattern("Entw&APw-rfe", "Entw&APw-rfe Entw&-APw-rfe", "Entw&APw-rfe");
	/* The spelling depends on what follows. */
	pattern("Entw" UML "*", "Entw*", "Entw&APw-rfe Entw&APwA3w-");
	pattern("Entw" UML "r*", "Entw&APw-r*", "Entw&APw-rfe");
	pattern("*" SZ, "*", "Entw&APwA3w-");
	pattern("*" SZ "%", "*", "Entw&APwA3w-");
	pattern(UML "%", "%", "&APw-");
	pattern(UML "*", "*", "&APw- &APw-\001x");
	pattern(UML NAME_SEP_STR "%", "&APw-\001%", "&APw-\001x");
	pattern("R&D", "R&D R&-D", "R&-D");
	pattern("R&*", "R&* R&-*", "R&-D");
	pattern("S&-T", "S&-T S&--T", "S&--T");
	pattern("V&-W", "V&-W V&--W", "V&-W");
	pattern("V&-*", "V&-* V&--*", "V&--W V&-W");
	pattern("\374", "", "");
	pattern("none", "none", "");
	pattern(SZ, "&AN8-", "");
}

/* One reading of each pattern is enough to be meant. */
static void
test_two_patterns(void)
{
	static const char *const	 some[] = { "Entw&APw-rfe", "Entw",
	    "inbox", "INBOX", NULL };
	static char			 a[] = "Entw*", b[] = "E" UML "*",
					 c[] = "inbox";
	char				*patterns[] = { a, b, c };
	struct mbox			*mb;
	int				 skipped = 0;

	boxes_are(some);
	eng.want.patterns = patterns;
	eng.want.npatterns = nitems(patterns);
	which_select(&eng);
	FOREACH_MBOX(mb, &eng.list)
		skipped += mb->skip;
	is_num(skipped, 0, "what another pattern means stays");
	ok(which_reads("InBox", "INBOX") && !which_reads("InBox", "inbox"),
	    "INBOX alone has no case");
}

static void
test_near(void)
{
	static const char *const	 some[] = { "INBOX", "Entw&APw-rfe",
	    "lists\001openbsd", NULL };

	boxes_are(some);
	is_str(which_near(&eng, "Entwurfe"), show_utf8() ?
	    "; did you mean \"Entw" UML "rfe\"?" :
	    "; did you mean \"Entw&APw-rfe\"?", "one letter");
	is_str(which_near(&eng, "lists\001opnebsd"),
	    "; did you mean \"lists/openbsd\"?", "with a delimiter");
	is_str(which_near(&eng, "Trash"), "", "nothing is near");
	box_without(mbox_find(&eng.list, "INBOX"), LOCAL);
	box_without(mbox_find(&eng.list, "INBOX"), REMOTE);
	is_str(which_near(&eng, "INBOY"), "", "what nobody has");
}

int
main(void)
{
	setenv("LC_ALL", "C", 1);
	test_shown();
	setenv("LC_ALL", "C.UTF-8", 1);
	show_init();
	test_names();
	test_shown();
	test_patterns();
	test_two_patterns();
	test_near();
	return tap_done();
}
