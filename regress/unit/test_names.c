/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Neutral names and the servers' spelling, with and without references.
 */
#include "imapsync/engine/engine.h"
#include "tap.h"

static struct engine	 e;

static void
sides(const char *lref, char ldelim, const char *rref, char rdelim)
{
	e.want.cfg.reference[LOCAL] = lref;
	e.want.cfg.reference[REMOTE] = rref;
	e.srv[LOCAL].delim = ldelim;
	e.srv[REMOTE].delim = rdelim;
}

/* A name of one side becomes that neutral name and that name on the other. */
static void
both(int side, const char *name, const char *neutral, const char *other)
{
	char	 out[NAME_MAX_LEN], back[NAME_MAX_LEN];

	if (name_neutral(&e, side, name, out) == -1)
		strlcpy(out, "(none)", sizeof(out));
	is_str(out, neutral, name);
	if (strcmp(out, "(none)") == 0)
		return;
	if (name_server(&e, OTHER(side), out, back) == -1)
		strlcpy(back, "(none)", sizeof(back));
	is_str(back, other, name);
}

static void
test_names(void)
{
	sides("", '/', "", '.');
	both(LOCAL, "INBOX", "INBOX", "INBOX");
	both(LOCAL, "inBox", "INBOX", "INBOX");
	both(LOCAL, "a/b c", "a\001b c", "a.b c");
	both(REMOTE, "a.b.c", "a\001b\001c", "a/b/c");
	both(LOCAL, "lists.openbsd.org", "lists.openbsd.org", "(none)");
	both(REMOTE, "a/b", "a/b", "(none)");

	sides("perso/", '/', "", '/');
	both(LOCAL, "perso/INBOX", "INBOX", "INBOX");
	both(LOCAL, "INBOX", "(none)", "");
	both(LOCAL, "perso/", "(none)", "");
	both(LOCAL, "persoa/x", "(none)", "");
	both(REMOTE, "INBOX", "INBOX", "perso/INBOX");
	both(REMOTE, "x/y", "x\001y", "perso/x/y");

	sides("", '/', "INBOX.", '.');
	both(REMOTE, "INBOX", "INBOX", "INBOX");
	both(REMOTE, "INBOX.x.y", "x\001y", "x/y");
	both(REMOTE, "inbox.x", "x", "x");
	both(LOCAL, "x/y", "x\001y", "INBOX.x.y");
	both(LOCAL, "INBOX", "INBOX", "INBOX");
	both(REMOTE, "INBOX.INBOX", "INBOX", "INBOX");

	sides("", '\0', "", '/');
	both(REMOTE, "a/b", "a\001b", "(none)");
	both(LOCAL, "flat", "flat", "flat");
}

static void
test_match(void)
{
	ok(name_match("*", "a\001b"), "* matches a delimiter");
	ok(!name_match("%", "a\001b"), "%% does not");
	ok(name_match("a\001%", "a\001b"), "%% below");
	ok(name_match("a*c", "a\001bc"), "* inside");
	ok(!name_match("a*c", "a\001bd"), "no match");
	ok(name_match("", ""), "empty");
}

int
main(void)
{
	test_names();
	test_match();
	return tap_done();
}
