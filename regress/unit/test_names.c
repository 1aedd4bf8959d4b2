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

/* Names that differ: of the servers' spelling, and below a reference. */
static void
test_mapped(void)
{
	char	 out[NAME_MAX_LEN];
	size_t	 i;

	map_add(&e, 0, "Sent Items", "Sent");
	map_add(&e, 0, "Papierkorb", "x.Bin");
	map_add(&e, 0, "a/b", "B\001c");
	map_add(&e, 0, "Entw&APw-rfe", "Drafts");
	map_add(&e, 0, "up", "down");
	map_add(&e, 0, "down", "up");
	sides("", '/', "", '.');
	both(LOCAL, "Sent Items", "Sent Items", "Sent");
	both(LOCAL, "Sent Items/2024/x", "Sent Items\0012024\001x",
	    "Sent.2024.x");
	both(LOCAL, "Sent Itemsx", "Sent Itemsx", "Sent Itemsx");
	both(LOCAL, "x/Sent Items", "x\001Sent Items", "x.Sent Items");
	both(LOCAL, "sent items", "sent items", "sent items");
	both(REMOTE, "Sent", "Sent Items", "Sent Items");
	both(REMOTE, "Sent.a", "Sent Items\001a", "Sent Items/a");
	both(REMOTE, "x.Bin", "Papierkorb", "Papierkorb");
	both(REMOTE, "x.Bin.y", "Papierkorb\001y", "Papierkorb/y");
	both(REMOTE, "x", "x", "x");
	both(LOCAL, "a/b/c", "a\001b\001c", "B.c.c");
	both(REMOTE, "B.c", "a\001b", "a/b");
	both(LOCAL, "Entw&APw-rfe/1", "Entw&APw-rfe\0011", "Drafts.1");
	both(LOCAL, "up", "up", "down");
	both(REMOTE, "up.x", "down\001x", "down/x");
	/* Both have names that are the pairs of others. */
	both(LOCAL, "Sent", "Sent", "(none)");
	both(LOCAL, "x/Bin", "x\001Bin", "(none)");
	both(REMOTE, "Sent Items", "(none)", "");
	both(REMOTE, "Sent Items.2024", "(none)", "");
	both(REMOTE, "Papierkorb", "(none)", "");
	both(LOCAL, "INBOX", "INBOX", "INBOX");

	sides("perso/", '/', "INBOX.", '.');
	both(LOCAL, "perso/Sent Items", "Sent Items", "INBOX.Sent");
	both(REMOTE, "INBOX.Sent.a", "Sent Items\001a", "perso/Sent Items/a");
	both(REMOTE, "INBOX.Sent Items", "(none)", "");
	/* An entry with a delimiter is one of that server. */
	sides("", '/', "", '/');
	both(REMOTE, "x/Bin", "x\001Bin", "x/Bin");
	both(REMOTE, "x.Bin", "Papierkorb", "Papierkorb");

	ok(map_is(&e, "up") && !map_is(&e, "up\001x") && !map_is(&e, "u") &&
	    map_above(&e, "a") && map_above(&e, "B") && !map_above(&e, "up") &&
	    !map_above(&e, "b"), "which has an entry, and what is above it");
	is_str(map_there(&e, "Sent Items\001a"), "Sent\001a", "its other name");
	ok(map_there(&e, "INBOX") == NULL && map_there(&e, "Sent") == NULL &&
	    map_same(&e, "INBOX") && !map_same(&e, "Sent") &&
	    !map_same(&e, "Sent Items"), "that has none; that can't be");
	memset(out, 'x', sizeof(out));
	strlcpy(out, "down/", 6);
	out[5] = 'x';
	out[NAME_MAX_LEN - 1] = '\0';
	ok(name_neutral(&e, REMOTE, out, out) == 0, "the longest name");
	memcpy(out, "Sent/", 5);
	ok(name_neutral(&e, REMOTE, out, out) == -1, "one that gets too long");
	for (i = 0; i < e.map.n; i++) {
		free(e.map.v[i].text[LOCAL]);
		free(e.map.v[i].text[REMOTE]);
	}
	free(e.map.v);
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
	test_mapped();
	test_match();
	return tap_done();
}
