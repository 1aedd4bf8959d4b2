/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * mailbox-map, map-special-use: which mailboxes a LIST makes a pair, what the state
 * is told to forget when that changes, and what is in the way.
 */
#include "engine_box.h"

#define MAX	8

/* The state. */
static struct {
	const char	*name;
	const char	*remote;
	uint32_t	 use;
	int64_t		 mark;		/* when it was made; 0: none */
}			 state[MAX];
static int		 nstate;
static int		 known;		/* the state has the delimiters */

/* The servers: local's delimiter is '/', remote's '.'. */
static struct {
	const char	*name;
	uint32_t	 attrs;
}			 there[SIDES][MAX];
static int		 nthere[SIDES];
static const char	 delims[SIDES] = { '/', '.' };

static char		*maps[SIDES][MAX];

static void
load(struct req *r, const struct sent *s)
{
	struct m_engine_server	 server = { LOCAL, 0, 0 };
	struct m_engine_mbox	 m;
	struct m_engine_mark	 k;
	int			 i, side;

	(void)s;
	for (side = 0; side < SIDES && known; side++) {
		server.side = side;
		server.delimiter = delims[side];
		give(r, M_ENGINE_SERVER, &server);
	}
	memset(&k, 0, sizeof(k));
	k.first = k.uidnext = 1;
	for (i = 0; i < nstate; i++) {
		if (uidset_has(&box_forgotten, i + 1))
			continue;
		memset(&m, 0, sizeof(m));
		m.mailbox = i + 1;
		m.name = state[i].name;
		m.remote = state[i].remote;
		m.use = state[i].use;
		m.rows = 3;
		for (side = 0; side < SIDES; side++) {
			m.water[side].uidvalidity = VALIDITY;
			m.water[side].uidnext = 10;
			m.water[side].mailboxid = "";
		}
		give(r, M_ENGINE_MBOX, &m);
		k.mailbox = i + 1;
		k.time = state[i].mark;
		if (k.time != 0)
			give(r, M_ENGINE_MARK, &k);
	}
	done(r, ST_OK, RC_NONE, "");
}

static void
list(struct req *r, const struct sent *s)
{
	struct m_engine_mailbox	 m;
	int			 i;

	(void)s;
	eng.srv[r->chan].is_ready = 1;
	memset(&m, 0, sizeof(m));
	m.delimiter = delims[r->chan];
	m.has_status = 1;
	m.uidvalidity = VALIDITY;
	m.uidnext = 10;
	m.messages = 3;
	for (i = 0; i < nthere[r->chan]; i++) {
		m.name = there[r->chan][i].name;
		m.attrs = there[r->chan][i].attrs;
		give(r, M_ENGINE_MAILBOX, &m);
	}
	done(r, ST_OK, RC_NONE, "");
}

static void
knows(const char *name, const char *remote, uint32_t use)
{
	state[nstate].name = name;
	state[nstate].remote = remote;
	state[nstate].mark = 0;
	state[nstate++].use = use;
}

static void
has(int side, const char *name, uint32_t attrs)
{
	there[side][nthere[side]].name = name;
	there[side][nthere[side]++].attrs = attrs;
}

static void
pair(const char *local, const char *remote)
{
	struct wanted	*w = &eng.want;

	maps[LOCAL][w->nmaps[LOCAL]++] = (char *)local;
	maps[REMOTE][w->nmaps[REMOTE]++] = (char *)remote;
}

static void
map_free(void)
{
	size_t	 i;
	int	 side;

	for (i = 0; i < eng.map.n; i++) {
		for (side = 0; side < SIDES; side++)
			free(eng.map.v[i].text[side]);
		free(eng.map.v[i].shadow);
	}
	free(eng.map.v);
	if (eng.want.patterns != NULL)
		free(eng.want.patterns[0]);
	free(eng.want.patterns);
}

/* Nothing of the test before is left. */
static void
fresh(void)
{
	int	 side;

	map_free();
	box_start();
	/* A command frees them. */
	eng.want.patterns = xcalloc(1, sizeof(char *));
	eng.want.patterns[0] = xstrdup("*");
	uidset_free(&box_forgotten);
	box_answers[ASK_LOAD] = load;
	box_answers[ASK_LIST] = list;
	box_answers[ASK_STATUS] = says_no;
	nstate = nthere[LOCAL] = nthere[REMOTE] = 0;
	known = 1;
	for (side = 0; side < SIDES; side++) {
		eng.srv[side].delim = '\0';
		eng.srv[side].is_ready = 0;
		eng.srv[side].ready.caps |= CAP_LIST_STATUS;
		eng.want.maps[side] = maps[side];
	}
}

/* list-mailbox. */
static void
only(const char *pattern)
{
	free(eng.want.patterns[0]);
	eng.want.patterns[0] = xstrdup(pattern);
}

/* What a mailbox of the list is called on that side, or "". */
static const char *
told(const char *name, int side)
{
	struct mbox	*mb = mbox_find(&eng.list, name);

	return mb == NULL || mb->s[side].told.name == NULL ? "" :
	    mb->s[side].told.name;
}

/* So many LISTs a side, and so many mailboxes forgotten. */
static void
lists(int n, int forgotten, const char *what)
{
	journal(jotted("local : LIST") == n && jotted("remote : LIST") == n,
	    "%s: %d LISTs", what, n);
	journal(jotted("store (none): FORGET") == forgotten,
	    "%s: %d forgotten", what, forgotten);
}

static void
test_kept(void)
{
	fresh();
	pair("Sent Items", "Sent");
	pair("a/b", "x.y.z");
	knows("INBOX", "", 0);
	knows("Sent Items", "Sent", 0);
	knows("Sent Items\001old", "Sent\001old", 0);
	knows("a\001b", "x\001y\001z", 0);
	has(LOCAL, "Sent Items", 0);
	has(LOCAL, "Sent Items/old", 0);
	has(LOCAL, "a/b", 0);
	has(REMOTE, "Sent", 0);
	has(REMOTE, "Sent.old", 0);
	has(REMOTE, "x.y.z", 0);
	(void)list_run(&eng);
	lists(1, 0, "as it was");
	is_str(told("Sent Items", REMOTE), "Sent", "a pair");
	is_str(told("Sent Items\001old", REMOTE), "Sent.old", "below it");
	is_str(told("a\001b", REMOTE), "x.y.z", "with delimiters");
	ok(mbox_find(&eng.list, "Sent") == NULL, "the other name is nobody's");
	is_num(mbox_find(&eng.list, "a\001b")->id, 4, "the state's");

	/* The delimiter stands in an entry, and is told by the LIST only. */
	known = 0;
	eng.srv[LOCAL].delim = eng.srv[REMOTE].delim = '\0';
	eng.srv[LOCAL].last.delimiter = eng.srv[REMOTE].last.delimiter = 0;
	box_journal[0] = '\0';
	ask_reset(&eng);
	mbox_reset(&eng.list);
	(void)list_run(&eng);
	lists(2, 0, "delimiters that were not known");
	is_str(told("a\001b", REMOTE), "x.y.z", "count in the end");
}

static void
test_added(void)
{
	struct mbox	*mb;

	fresh();
	pair("Sent Items", "Sent");
	knows("Sent Items", "", 0);
	knows("Sent", "", 0);
	knows("Sent\001old", "", 0);
	knows("other", "", 0);
	has(LOCAL, "Sent Items", 0);
	has(LOCAL, "Sent", 0);
	has(LOCAL, "Sent/old", 0);
	has(LOCAL, "other", 0);
	has(REMOTE, "Sent Items", 0);
	has(REMOTE, "Sent Items.dir", ATTR_NOSELECT);
	has(REMOTE, "Sent Items.x", 0);
	has(REMOTE, "Sent", 0);
	has(REMOTE, "Sent.old", 0);
	has(REMOTE, "other", 0);
	(void)list_run(&eng);
	lists(2, 3, "added");
	ok(said("Sent Items: its pair on the remote server was \"Sent Items\" "
	    "and is \"Sent\" now") && said("Sent: \"Sent\" of the remote server "
	    "is no longer its pair"), "added: said");
	mb = mbox_find(&eng.list, "Sent Items");
	ok(mb->id == 0 && mb->s[LOCAL].known.water.uidvalidity == 0,
	    "added: what was known is no more");
	is_str(told("Sent Items", REMOTE), "Sent", "added: a pair");
	is_str(told("Sent", REMOTE), "", "added: what only local has");
	is_num(mbox_find(&eng.list, "other")->id, 4, "added: not another one");

	(void)compare_run(&eng);
	gone_judge(&eng);
	(void)loop_wait(&eng, -1);
	journal(line("store Sent Items: NEWBOX as Sent by 0"), "entered");
	journal(line("store Sent Items\001old: NEWBOX as Sent\001old by 0"),
	    "and what is below");
	ok(mb->adopt && mb->dirty && !mb->skip, "to be paired by content");
	mb = mbox_find(&eng.list, "Sent");
	ok(mb->stopped && mb->skip && mb->gone == 0 &&
	    said("Sent: skipped: the mailbox of this name on the remote server "
	    "is the pair of \"Sent Items\" by mailbox-map"), "in the way");
	mb = mbox_find(&eng.list, "Sent\001old");
	ok(mb->stopped && mb->skip && !said("Sent/old: skipped"),
	    "for those below it that was said");
	ok(said("Sent Items: the remote server has a mailbox of this name (and 1 "
	    "more), too, besides \"Sent\"") && eng.partial,
	    "in the way on the remote server");
	ok(!said("gone") && jotted("remote Sent: NAME") == 0,
	    "nothing is gone");
}

static void
test_removed(void)
{
	fresh();
	knows("Sent Items", "Sent", 0);
	has(LOCAL, "Sent Items", 0);
	has(REMOTE, "Sent", 0);
	(void)list_run(&eng);
	lists(2, 1, "removed");
	ok(said("its pair on the remote server was \"Sent\" and is \"Sent "
	    "Items\" now"), "removed: said");
	(void)compare_run(&eng);
	gone_judge(&eng);
	(void)loop_wait(&eng, -1);
	journal(line("store Sent: NEWBOX") && line("store Sent Items: NEWBOX"),
	    "removed: two mailboxes");
	ok(!said("gone"), "removed: nothing is gone");

	fresh();
	pair("Sent Items", "Posted");
	knows("Sent Items", "Sent", 0);
	has(LOCAL, "Sent Items", 0);
	has(REMOTE, "Posted", 0);
	(void)list_run(&eng);
	lists(2, 1, "changed");
	is_str(told("Sent Items", REMOTE), "Posted", "changed");
}

static void
run(void *arg)
{
	(void)arg;
	(void)list_run(&eng);
}

static void
test_marks(void)
{
	int	 dry;

	for (dry = 0; dry < 2; dry++) {
		fresh();
		knows("a", "b", 0);
		state[0].mark = time(NULL) - 300;
		has(LOCAL, "a", 0);
		eng.want.cfg.dryrun = dry;
		ok(dry || box_dies_with(run, NULL, EX_SYNC_TEMP,
		    "was cut short while it copied"),
		    "what was sent may still arrive");
		state[0].mark -= dry ? 0 : 301;
		(void)list_run(&eng);
		lists(2, 1, dry ? "a dry run" : "not after ten minutes");
	}
}

static void
test_nested(void)
{
	fresh();
	pair("a", "x");
	pair("b", "x.y");
	has(LOCAL, "a", 0);
	has(REMOTE, "x", 0);
	ok(box_dies(run, NULL, "mailbox-map: \"x.y\" of the remote server is "
	    "below \"x\", which has an entry"), "one below another");
	fresh();
	pair("a/b", "x");
	pair("a", "y");
	has(LOCAL, "a", 0);
	has(REMOTE, "x", 0);
	ok(box_dies(run, NULL, "mailbox-map: \"a/b\" of the local server is "
	    "below \"a\""), "on the local server");
	fresh();
	pair("a/b", "x");
	pair("ab", "y");
	has(LOCAL, "a", 0);
	has(REMOTE, "x.y", 0);
	(void)list_run(&eng);
	lists(1, 0, "not one beside it");
}

/* What LIST is asked for, and what is meant of what comes. */
static void
test_filter(void)
{
	fresh();
	pair("Sent Items", "Sent");
	pair("b", "c");
	has(LOCAL, "Sent Items", 0);
	has(REMOTE, "Sent", 0);
	has(REMOTE, "Sent.x", 0);
	has(REMOTE, "c", 0);
	known = 0;
	only("Sent It*");
	eng.passes = 1;
	(void)list_run(&eng);
	journal(line("remote: PATTERN Sent") && line("remote: PATTERN Sent.*") &&
	    line("remote: PATTERN Sent It*") && line("remote: PATTERN c"),
	    "filter: the remote server is asked for its names");
	journal(!line("local: PATTERN Sent") && !line("local: PATTERN b"),
	    "filter: the local one is not");
	ok(!mbox_find(&eng.list, "Sent Items")->skip &&
	    !mbox_find(&eng.list, "Sent Items\001x")->skip,
	    "filter: what matches by its local name");
	ok(mbox_find(&eng.list, "b")->skip, "filter: what does not");
}

/* ---- map-special-use ---- */

static void
special(uint32_t local, uint32_t remote)
{
	fresh();
	eng.want.cfg.map_special = 1;
	has(LOCAL, "Bin", local);
	has(REMOTE, "Trash", remote);
}

static void
test_found(void)
{
	static const uint32_t	 uses[] = { ATTR_SENT, ATTR_DRAFTS, ATTR_JUNK,
				    ATTR_TRASH, ATTR_ARCHIVE };
	char			 text[64];
	size_t			 i;

	for (i = 0; i < nitems(uses); i++) {
		special(uses[i], uses[i] | ATTR_SUBSCRIBED);
		has(REMOTE, "Trash.x", 0);
		(void)list_run(&eng);
		lists(2, 0, "found");
		is_str(told("Bin", REMOTE), "Trash", "found: a pair");
		is_str(told("Bin\001x", REMOTE), "Trash.x", "found: below it");
		(void)compare_run(&eng);
		(void)loop_wait(&eng, -1);
		snprintf(text, sizeof(text), "store Bin: NEWBOX as Trash by %x",
		    uses[i]);
		journal(line(text), "found: remembered");
		journal(line("store Bin\001x: NEWBOX as Trash\001x by 0"),
		    "found: but not what is below");
	}
}

/* It is no pair. */
static void
unpaired(const char *what)
{
	(void)list_run(&eng);
	lists(1, 0, what);
	is_str(told("Bin", REMOTE), "", what);
}

static void
test_unpaired(void)
{
	special(ATTR_TRASH, ATTR_TRASH);
	eng.want.cfg.map_special = 0;
	unpaired("not wanted");
	special(ATTR_TRASH, ATTR_JUNK);
	unpaired("two uses");
	special(ATTR_ALL, ATTR_ALL);
	unpaired("a use that makes no pair");
	special(ATTR_TRASH, ATTR_TRASH | ATTR_NOSELECT);
	unpaired("one that holds nothing");
	special(ATTR_TRASH, ATTR_TRASH);
	has(LOCAL, "Bin2", ATTR_TRASH);
	unpaired("several");
	special(ATTR_TRASH, ATTR_TRASH);
	there[REMOTE][0].name = "INBOX";
	unpaired("INBOX");
	special(ATTR_TRASH, ATTR_TRASH);
	has(REMOTE, "Bin.old", 0);
	unpaired("the other name is taken, below it");
	special(ATTR_TRASH, ATTR_TRASH);
	has(LOCAL, "Trash", 0);
	unpaired("or by itself");
	special(ATTR_TRASH, ATTR_TRASH);
	pair("x", "Trash");
	unpaired("mailbox-map has it");
	special(ATTR_TRASH, ATTR_TRASH);
	pair("Bin/x", "y");
	unpaired("or one below it");
	special(ATTR_TRASH, ATTR_TRASH);
	eng.want.cfg.ignore = "^Trash$";
	unpaired("it is ignored");
	special(ATTR_TRASH, ATTR_TRASH);
	eng.want.cfg.command = CMD_RENAME;
	(void)list_run(&eng);
	lists(1, 0, "not by a command");

	special(ATTR_TRASH, ATTR_TRASH);
	has(LOCAL, "Trash", 0);
	eng.want.cfg.command = eng.command = CMD_CHECK;
	(void)list_run(&eng);
	ok(said("map-special-use: \\Trash is \"Bin\" on local and \"Trash\" on "
	    "remote, and they are no pair, since the local server has "
	    "\"Trash\", too"), "--check says why");
}

static void
test_remembered(void)
{
	special(0, 0);
	knows("Bin", "Trash", ATTR_TRASH);
	(void)list_run(&eng);
	lists(1, 0, "the use is gone");
	is_str(told("Bin", REMOTE), "Trash", "the use is gone: a pair");
	ok(box_said[0] == '\0', "the use is gone: not a word");

	special(ATTR_TRASH, 0);
	has(REMOTE, "Papers", ATTR_TRASH);
	knows("Bin", "Trash", ATTR_TRASH);
	(void)list_run(&eng);
	lists(1, 0, "it went elsewhere");
	is_str(told("Bin", REMOTE), "Trash", "it went elsewhere: a pair");
	ok(said("on the remote server \\Trash is Papers now; \"Bin\" and "
	    "\"Trash\" stay a pair"), "it went elsewhere: said");

	special(ATTR_TRASH, ATTR_TRASH);
	eng.want.cfg.map_special = 0;
	knows("Bin", "Trash", ATTR_TRASH);
	(void)list_run(&eng);
	lists(2, 1, "switched off");
	is_str(told("Bin", REMOTE), "", "switched off: no pair");

	special(ATTR_TRASH, ATTR_TRASH);
	has(REMOTE, "Waste", 0);
	pair("Bin", "Waste");
	knows("Bin", "Trash", ATTR_TRASH);
	(void)list_run(&eng);
	lists(2, 1, "mailbox-map comes first");
	is_str(told("Bin", REMOTE), "Waste", "mailbox-map comes first");
}

/* A LIST of a part does not tell which is the only one. */
static void
test_searched(void)
{
	special(ATTR_TRASH, ATTR_TRASH);
	only("Bin");
	(void)list_run(&eng);
	journal(line("local: PATTERN *") && line("remote: PATTERN *"),
	    "of a part: looked for among all");
	is_str(told("Bin", REMOTE), "Trash", "of a part: found");

	special(ATTR_TRASH, ATTR_TRASH);
	only("Bin");
	knows("Bin", "Trash", ATTR_TRASH);
	(void)list_run(&eng);
	journal(jotted("local: PATTERN *") == 0, "of a part: once");
	is_str(told("Bin", REMOTE), "Trash", "of a part: remembered");
}

/* ---- --rename ---- */

static void
command(void *arg)
{
	(void)arg;
	(void)cmd_run(&eng);
}

static void
test_rename(void)
{
	static char	*args[2];
	char		 a[] = "a", n[] = "n", sent[] = "Sent Items";

	fresh();
	pair("Sent Items", "Sent");
	pair("b", "a.b");
	knows("Sent Items", "Sent", 0);
	knows("a", "", 0);
	has(LOCAL, "Sent Items", ATTR_SUBSCRIBED);
	has(LOCAL, "a", 0);
	has(REMOTE, "Sent", ATTR_SUBSCRIBED);
	has(REMOTE, "a", 0);
	eng.want.args = args;
	eng.want.nargs = 2;
	eng.want.cfg.command = CMD_RENAME;
	eng.want.cfg.target = TARGET_ALL;
	(void)list_run(&eng);
	args[0] = a;
	args[1] = n;
	ok(box_dies(command, NULL, "a mailbox below \"a\" has a name of its own "
	    "on each server"), "what would not go along");
	args[0] = sent;
	args[1] = a;
	ok(box_dies(command, NULL, "a mailbox below \"a\" has a name of its own "
	    "on each server"), "nor there");
	args[1] = n;
	(void)cmd_run(&eng);
	journal(line("local Sent Items: NAME rename Sent Items n") &&
	    line("remote Sent Items: NAME rename Sent n") &&
	    line("store Sent Items: RENAME n"), "renamed on both");
}

int
main(void)
{
	test_kept();
	test_added();
	test_removed();
	test_marks();
	test_nested();
	test_filter();
	test_found();
	test_unpaired();
	test_remembered();
	test_searched();
	test_rename();
	map_free();
	return tap_done();
}
