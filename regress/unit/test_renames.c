/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Mailboxes that are renamed or deleted on one side: which one is which, what
 * is done on the other, what is left for the user to say.
 */
#include <stdio.h>

#include "engine_box.h"

#define NEEDED	(CAP_QRESYNC | CAP_UIDPLUS | CAP_LIST_EXTENDED | CAP_LIST_STATUS)

static int	 side;		/* where it was renamed, or is gone */

static void
start(int rule, int ids)
{
	int	 s;

	box_start();
	eng.want.cfg.rename_rule = rule;
	for (s = 0; s < SIDES; s++) {
		eng.srv[s].ready.caps = NEEDED | (ids ? CAP_OBJECTID : 0);
		eng.srv[s].ready.strategy = STRATEGY_QRESYNC;
	}
	(void)box_new("INBOX", 10);
}

/* One with a UIDVALIDITY of its own, and a MAILBOXID if they are offered. */
static struct mbox *
known(const char *name, uint32_t n)
{
	struct mbox	*mb = box_new(name, n);
	char		*id;
	int		 s;

	for (s = 0; s < SIDES; s++) {
		at(mb, s)->uidvalidity = VALIDITY + mb->id;
		mb->s[s].known.water.uidvalidity = VALIDITY + mb->id;
		mb->s[s].known.water.mailboxid = "";
		if (!(eng.srv[s].ready.caps & CAP_OBJECTID))
			continue;
		if (asprintf(&id, "id%u", mb->id) == -1)
			fatal("asprintf");
		at(mb, s)->mailboxid = mb->s[s].known.water.mailboxid =
		    text_keep(id);
		free(id);
	}
	return mb;
}

/* What is there as "mb" is there as "to" from now on. */
static void
place_move(struct mbox *mb, struct mbox *to, int s)
{
	struct place	*from = at(mb, s), *p = at(to, s);
	char		 name[NAME_MAX_LEN];

	place_free(p);
	*p = *from;
	memset(from, 0, sizeof(*from));
	box_of(to)->number = box_of(mb)->number;
	box_of(to)->base = "";
	box_without(mb, s);
	if (to->s[s].told.name == NULL) {
		(void)name_server(&eng, s, to->name, name);
		to->s[s].told.name = xstrdup(name);
	}
}

/* It was renamed there, to a name that nobody knew. */
static struct mbox *
renamed(struct mbox *mb, int s, const char *name)
{
	struct mbox	*to = mbox_find(&eng.list, name);

	if (to == NULL) {
		to = box_unknown(name, 0, 0);
		box_without(to, LOCAL);
		box_without(to, REMOTE);
	}
	place_move(mb, to, s);
	return to;
}

static int
run(void)
{
	box_list();
	return rename_run(&eng);
}

/* 1 if the journal has "SIDE WORDS", of the side that has to follow. */
static int
follows(const char *words)
{
	char	 text[512];

	snprintf(text, sizeof(text), "%s %s", side_name[OTHER(side)], words);
	return line(text);
}

static int
renames(void)
{
	return jotted("local a: NAME rename") + jotted("remote a: NAME rename") +
	    jotted("store a: RENAME");
}

/* ---- which one is which ---- */

static void
test_followed(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	ok(run() == 0, "%s: renamed", side_name[side]);
	journal(follows("a: NAME rename a n") && line("store a: RENAME n") &&
	    before("NAME rename", "store a: RENAME") &&
	    before("store a: RENAME", "store: COMMIT") &&
	    before("store: COMMIT", "LIST"), "by MAILBOXID it is followed, then "
	    "the state, then all is listed");
	journal(jotted("store a: SAMPLE") == 0 && !said("it is gone"),
	    "nothing else is asked");

	start(RENAME_PROVED, 0);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	(void)run();
	journal(renames() == 0 && said("which has n with the same UIDVALIDITY "
	    "and the same messages") && said(side == LOCAL ?
	    "--rename --target=remote,database 'a' 'n'" :
	    "--rename --target=local,database 'a' 'n'"),
	    "by content it is told");
	ok(a->skip && a->stopped && mbox_find(&eng.list, "n")->skip,
	    "and neither is touched");

	start(RENAME_FOLLOW, 0);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	(void)run();
	journal(follows("a: NAME rename a n") && line("store a: RENAME n"),
	    "or followed, if that is wanted");

	start(RENAME_NEVER, 1);
	(void)renamed(known("a", 30), side, "n");
	(void)run();
	journal(box_journal[0] == '\0' && box_said[0] == '\0',
	    "never: nothing is asked");

	start(RENAME_FOLLOW, 1);
	(void)known("a", 30);
	(void)run();
	journal(box_journal[0] == '\0', "nothing is missing: nothing is asked");
}

enum lie { ID, VALID, UIDNEXT_LOW, MODSEQ_LOW, KEY, FEW, HALF, ID_SAME, REFUSES,
	GONE_INBOX, TWO, LIES };

/* Nearly the same mailbox. */
static void
nearly(enum lie lie, int wanted, const char *what)
{
	struct mbox	*a, *n, *o;
	struct place	*p;

	start(RENAME_FOLLOW, lie == ID || lie == ID_SAME);
	a = known("a", 40);
	if (lie == FEW || lie == HALF)
		vanish(a, side, row_uid(side, 1), row_uid(side, lie == FEW ?
		    20 : 18));
	n = renamed(a, side, "n");
	p = at(n, side);
	switch (lie) {
	case ID:
		p->mailboxid = "other";
		break;
	case VALID:
		p->uidvalidity++;
		break;
	case UIDNEXT_LOW:
		p->uidnext--;
		break;
	case MODSEQ_LOW:
		p->modseq = MODSEQ - 1;
		break;
	case KEY:
		message(n, side, row_uid(side, 1))->key++;
		break;
	case ID_SAME:
		box_of(n)->number = 99;
		break;
	case REFUSES:
		box_answers[ASK_META] = says_no;
		break;
	case TWO:
		o = box_unknown("o", 40, 40);
		box_without(o, OTHER(side));
		box_of(o)->number = box_of(n)->number;
		at(o, side)->uidvalidity = p->uidvalidity;
		break;
	default:
		break;
	}
	(void)run();
	journal((renames() == 2) == wanted && (renames() == 0) == !wanted &&
	    !said("was renamed"), "%s: %s", side_name[side], what);
}

static void
test_nearly(void)
{
	nearly(ID, 0, "another MAILBOXID");
	nearly(ID_SAME, 1, "MAILBOXID counts, not the messages");
	nearly(VALID, 0, "another UIDVALIDITY");
	nearly(UIDNEXT_LOW, 0, "a lower UIDNEXT");
	nearly(MODSEQ_LOW, 0, "a lower HIGHESTMODSEQ");
	nearly(KEY, 0, "another message in the sample");
	nearly(FEW, 0, "half of the sample is there");
	nearly(HALF, 1, "more than half of it is");
	nearly(REFUSES, 0, "what is not shown");
	nearly(TWO, 0, "there are two like it");
}

/* Nothing is in it: the numbers have to tell. */
static void
test_bare(void)
{
	struct mbox	*a, *n;

	start(RENAME_FOLLOW, 0);
	(void)renamed(known("a", 0), side, "n");
	(void)run();
	journal(renames() == 2, "%s: empty, the numbers are equal",
	    side_name[side]);

	start(RENAME_FOLLOW, 0);
	n = renamed(known("a", 0), side, "n");
	at(n, side)->modseq++;
	(void)run();
	journal(renames() == 0, "one of them is not");

	start(RENAME_FOLLOW, 0);
	a = known("a", 0);
	at(known("b", 3), side)->uidvalidity =
	    a->s[side].known.water.uidvalidity;
	(void)renamed(a, side, "n");
	(void)run();
	journal(renames() == 0, "another mailbox has its UIDVALIDITY");

	start(RENAME_FOLLOW, 1);
	box_without(mbox_find(&eng.list, "INBOX"), side);
	n = box_unknown("n", 10, 10);
	box_without(n, OTHER(side));
	(void)run();
	journal(jotted("store INBOX: RENAME") == 0 && opens(n, side, "") == 0,
	    "INBOX is none that is renamed");
}

/* A strategy that knows no HIGHESTMODSEQ, behind one that has stored it. */
static void
test_plain(void)
{
	struct mbox	*n;
	uint32_t	 rows;

	for (rows = 0; rows <= 30; rows += 30) {
		start(RENAME_FOLLOW, 0);
		box_strategy(side, PROOF_LISTED);
		(void)renamed(known("a", rows), side, "n");
		(void)run();
		journal(renames() == 2, "%s: plain, %u messages: followed",
		    side_name[side], rows);
	}
	start(RENAME_FOLLOW, 0);
	box_strategy(side, PROOF_LISTED);
	n = renamed(known("a", 0), side, "n");
	at(n, side)->uidnext++;
	(void)run();
	journal(renames() == 0, "the other numbers count");
}

/* ---- what is done ---- */

static void
test_both(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 0);
	a = known("a", 30);
	(void)renamed(a, LOCAL, "n");
	(void)renamed(a, REMOTE, "n");
	(void)run();
	journal(renames() == 1 && line("store a: RENAME n"), "on both to the "
	    "same, or by a run that was killed: only the state");

	start(RENAME_FOLLOW, 1);
	a = known("a", 30);
	(void)renamed(a, LOCAL, "n");
	(void)renamed(a, REMOTE, "o");
	(void)run();
	journal(renames() == 0 && said("renamed to n on the local server and to "
	    "o on the remote server") && mbox_find(&eng.list, "n")->skip &&
	    mbox_find(&eng.list, "o")->skip && a->skip, "to two names: neither");
}

static void
test_in_the_way(void)
{
	struct mbox	*a, *n;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	n = renamed(a, side, "n");
	place_init(n, OTHER(side), 3);
	(void)run();
	journal(renames() == 0 && said("there is another mailbox of that name"),
	    "%s: the name is taken", side_name[side]);
	ok(a->skip && n->skip, "they are not merged");

	start(RENAME_PROVED, 1);
	(void)renamed(known("a", 30), side, "n.x");
	eng.srv[OTHER(side)].delim = '.';
	(void)run();
	journal(renames() == 0 && said("can't have this name"),
	    "the name can't be");

	start(RENAME_PROVED, 1);
	eng.want.cfg.direction = side == LOCAL ? DIR_TO_LOCAL : DIR_TO_REMOTE;
	(void)renamed(known("a", 30), side, "n");
	(void)run();
	journal(renames() == 0 && !said("renamed"), "only %s is changed",
	    side_name[side]);

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)known("a\001b", 30);
	(void)renamed(a, side, "n");
	(void)run();
	journal(renames() == 0 && said("mailboxes below it were not renamed"),
	    "what is below it has stayed");
}

static void
says_gone(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_NO, RC_NONEXISTENT, "no such mailbox");
}

static void
test_below(void)
{
	struct mbox	*a, *b;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("a\001b", 3);
	(void)renamed(a, side, "n");
	(void)renamed(b, side, "n\001b");
	(void)run();
	journal(follows("a: NAME rename a n") && line("store a: RENAME n") &&
	    line("store a\001b: RENAME n\001b") &&
	    follows("a\001b: STATUS") && !follows("a\001b: NAME rename a/b n/b"),
	    "%s: what is below it goes along", side_name[side]);

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("a\001b", 3);
	(void)renamed(a, side, "n");
	(void)renamed(b, side, "n\001b");
	box_answers[ASK_STATUS] = says_gone;
	(void)run();
	journal(follows("a\001b: NAME rename a/b n/b") &&
	    line("store a\001b: RENAME n\001b"), "or is renamed by itself");

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("a\001b", 3);
	(void)renamed(a, side, "n");
	(void)renamed(b, side, "k");
	(void)run();
	journal(follows("a\001b: NAME rename n/b k"), "it may go elsewhere");

	/* Gone on one side, and carried away on the other. */
	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("a\001b", 3);
	(void)renamed(a, side, "n");
	box_without(b, side);
	(void)run();
	journal(line("store a\001b: RENAME n\001b") &&
	    jotted("store a\001b: FORGET") == 0, "what is gone keeps its row");
}

static void
test_refused(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	(void)renamed(known("a\001b", 3), side, "n\001b");
	box_answers[ASK_NAME] = says_no;
	box_answers[ASK_STATUS] = says_gone;
	(void)run();
	journal(jotted("store a: RENAME") == 0 &&
	    jotted("store a\001b: RENAME") == 0 && said("no such thing") &&
	    jotted("local a\001b: NAME") + jotted("remote a\001b: NAME") == 0,
	    "%s: refused: the state stays as it is", side_name[side]);
}

static void
ends(struct req *r, const struct sent *s)
{
	(void)r;
	(void)s;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
test_lost(void)
{
	start(RENAME_PROVED, 1);
	(void)renamed(known("a", 30), side, "n");
	box_answers[ASK_NAME] = ends;
	ok(run() == -1, "%s: the connection is lost", side_name[side]);
	journal(jotted("store a: RENAME") == 0, "the state waits for the next "
	    "run");
}

/* Names that are taken from each other. */
static void
test_ring(void)
{
	struct mbox	*a, *b, *t;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("b", 3);
	(void)renamed(b, side, "c");
	(void)renamed(a, side, "b");
	(void)run();
	journal(before("b: NAME rename b c", "a: NAME rename a b") &&
	    line("store a: RENAME b") && line("store b: RENAME c") &&
	    before("store b: RENAME imapsync-rename-", "store a: RENAME b"),
	    "%s: a chain", side_name[side]);

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	b = known("b", 3);
	t = renamed(a, side, "t");
	(void)renamed(b, side, "a");
	(void)renamed(t, side, "b");
	box_without(t, side);
	(void)run();
	journal(before("a: NAME rename a imapsync-rename-", "b: NAME rename b a")
	    && before("b: NAME rename b a", "a: NAME rename imapsync-rename-") &&
	    line("store a: RENAME b") && line("store b: RENAME a"),
	    "an exchange");

	/* It was cut short. */
	start(RENAME_PROVED, 0);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	t = renamed(a, OTHER(side), "imapsync-rename-2");
	ok(a->id == 2, "the name tells whose it is");
	(void)run();
	journal(follows("a: NAME rename imapsync-rename-2 n"), "and goes on");
}

static void
test_marked(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	mbox_marks(a);
	a->mark[REMOTE].set = 1;
	a->mark[REMOTE].time = time(NULL);
	a->mark[REMOTE].uidnext = 1;
	(void)run();
	journal(before("remote a: STATUS", "NAME rename a n"),
	    "%s: under a mark it has to stand still first", side_name[side]);
}

static void
test_subscribed(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	a->subscribed = SUB_YES;
	a->s[OTHER(side)].told.attrs |= ATTR_SUBSCRIBED;
	(void)run();
	journal(jotted("local a: NAME subscribe") == 1 &&
	    jotted("remote a: NAME subscribe") == 1 &&
	    jotted("local a: NAME unsubscribe") == 1 &&
	    jotted("remote a: NAME unsubscribe") == 1 &&
	    before("store: COMMIT", "NAME subscribe"),
	    "%s: subscriptions go along", side_name[side]);

	start(RENAME_PROVED, 1);
	(void)renamed(known("a", 30), side, "n");
	(void)run();
	journal(jotted("local a: NAME subscribe") +
	    jotted("remote a: NAME subscribe") == 0, "if there were any");
}

static void
test_dry(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	a = known("a", 30);
	(void)renamed(a, side, "n");
	eng.want.cfg.dryrun = 1;
	eng.want.cfg.json = 1;
	(void)run();
	journal(renames() == 0 && jotted("store: COMMIT") == 0 && a->skip,
	    "%s: a dry run changes nothing", side_name[side]);
}

/* ---- delete-mailbox ---- */

static struct mbox	*gone;

/* It has n messages, and one side has it no more. */
static void
begin(int rule, uint32_t n)
{
	start(RENAME_NEVER, 1);
	box_deleted = 0;
	eng.want.cfg.gone_rule = rule;
	gone = known("a", n);
	box_without(gone, side);
}

static void
judge(void)
{
	box_list();
	(void)compare_run(&eng);
	gone_judge(&eng);
	if (gone_run(&eng) == -1)
		printf("# the run has ended\n");
}

static int
deleted(void)
{
	return follows("a: NAME delete") && line("store a: FORGET");
}

static int
kept(void)
{
	return jotted("local a: NAME") + jotted("remote a: NAME") +
	    jotted("store a: FORGET") == 0 && gone->stopped &&
	    said("it is gone on the");
}

static void
test_rules(void)
{
	begin(GONE_NEVER, 0);
	judge();
	journal(kept() && jotted("store: COMMIT") == 0, "%s: never",
	    side_name[side]);
	begin(GONE_EMPTY, 0);
	judge();
	journal(deleted() && before("SEARCH", "NAME delete") &&
	    before("store a: FORGET", "store: COMMIT"), "empty");
	journal(opens(mbox_find(&eng.list, "INBOX"), OTHER(side), "") == 1 &&
	    before("INBOX: OPEN", "NAME delete"), "it is not what is selected");
	begin(GONE_EMPTY, 3);
	judge();
	journal(kept() && opens(gone, OTHER(side), "") == 0, "not empty");
	begin(GONE_ALWAYS, 3);
	judge();
	journal(deleted() && box_deleted == 3, "always, and they count");
	begin(GONE_ALWAYS, 3);
	eng.want.cfg.propagate = PROP_NEW | PROP_FLAGS;
	judge();
	journal(kept(), "nothing is deleted at all");
	begin(GONE_ALWAYS, 3);
	eng.want.cfg.dryrun = eng.want.cfg.json = 1;
	judge();
	journal(jotted("store a: FORGET") == 0 && !gone->stopped &&
	    jotted("local a: NAME") + jotted("remote a: NAME") == 0,
	    "a dry run");
	begin(GONE_ALWAYS, 3);
	box_without(mbox_find(&eng.list, "INBOX"), side);
	judge();
	journal(jotted("store INBOX: FORGET") == 0 && deleted() &&
	    said("INBOX: it is gone"), "INBOX never is");
}

/* The list of a server that forgets the last one. */
static void
search_short(struct req *r, const struct sent *s)
{
	struct m_engine_uids	 m = { OPEN_ALL, r->side, UIDSET_INIT };

	(void)s;
	uidset_copy(&m.set, &at(r->mb, r->side)->uids);
	uidset_del(&m.set, uidset_max(&m.set), uidset_max(&m.set));
	give(r, M_ENGINE_UIDS, &m);
	uidset_free(&m.set);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_looked(void)
{
	int	 o = OTHER(side);

	begin(GONE_ALWAYS, 3);
	arrive(gone, o, row_uid(o, 4), row_uid(o, 4));
	judge();
	journal(kept() && said(", 1 of which (UID "), "%s: new mail in it",
	    side_name[side]);
	begin(GONE_ALWAYS, 3);
	box_unrow(gone, 2);
	judge();
	journal(kept(), "one that was never copied");
	begin(GONE_ALWAYS, 3);
	at(gone, o)->uidvalidity++;
	judge();
	journal(kept() && said("not the one that was there"),
	    "another UIDVALIDITY");
	begin(GONE_ALWAYS, 3);
	at(gone, o)->mailboxid = "other";
	judge();
	journal(kept() && said("not the one that was there"),
	    "another MAILBOXID");
	begin(GONE_ALWAYS, 3);
	message(gone, o, row_uid(o, 2))->key++;
	judge();
	journal(kept() && said("not the one that was there"),
	    "other messages");
	begin(GONE_ALWAYS, 3);
	box_answers[ASK_SEARCH] = search_short;
	judge();
	journal(kept(), "a list that hides something");
	begin(GONE_ALWAYS, 3);
	box_answers[ASK_META] = says_no;
	judge();
	journal(kept(), "messages that are not shown");
	begin(GONE_EMPTY, 0);
	box_list();
	(void)compare_run(&eng);
	gone_judge(&eng);
	arrive(gone, o, row_uid(o, 1), row_uid(o, 1));
	(void)gone_run(&eng);
	journal(kept(), "mail that comes behind the LIST");
	begin(GONE_EMPTY, 3);
	box_list();
	gone->s[o].told.messages = 0;
	(void)compare_run(&eng);
	gone_judge(&eng);
	(void)gone_run(&eng);
	journal(kept(), "a LIST that hides what is in it");
	begin(GONE_ALWAYS, 3);
	mbox_marks(gone);
	gone->mark[o].set = 1;
	gone->mark[o].time = time(NULL);
	judge();
	journal(kept() && said("was cut short"), "under a mark");
	begin(GONE_ALWAYS, 3);
	(void)box_refusal(mbox_find(&eng.list, "INBOX"), side, row_uid(side, 1));
	judge();
	journal(kept() && said("not all that is new there was copied"),
	    "what was moved out of it may be refused");
	begin(GONE_ALWAYS, 3);
	(void)box_refusal(mbox_find(&eng.list, "INBOX"), o, row_uid(o, 1));
	judge();
	journal(deleted(), "but not on the other side");
	begin(GONE_ALWAYS, 3);
	arrive(mbox_find(&eng.list, "INBOX"), side, row_uid(side, 11),
	    row_uid(side, 11));
	if (box_plan() == -1 || gone_run(&eng) == -1)
		printf("# the run has ended\n");
	journal(kept() && said("not all that is new there was copied"),
	    "or not be copied yet");
	begin(GONE_ALWAYS, 3);
	box_answers[ASK_NAME] = says_no;
	judge();
	journal(jotted("store a: FORGET") == 0 && gone->stopped &&
	    said("does not delete it: no such thing; delete it there") &&
	    jotted("store: DELETED") == 0, "refused: it counts for nothing");
}

static void
test_guard(void)
{
	char		 name[8];
	struct mbox	*mb;
	int		 i;

	begin(GONE_ALWAYS, 21);
	judge();
	journal(jotted("store a: FORGET") == 0 &&
	    said("mailboxes with 21 of 31 messages"), "%s: too many are held",
	    side_name[side]);
	begin(GONE_ALWAYS, 21);
	eng.want.cfg.allow_delete = 1;
	judge();
	journal(deleted(), "or let through");
	begin(GONE_ALWAYS, 20);
	eng.deleted = 1;
	judge();
	journal(jotted("store a: FORGET") == 0, "with what was deleted before");
	begin(GONE_ALWAYS, 21);
	gone->s[OTHER(side)].told.attrs |= ATTR_TRASH;
	judge();
	journal(deleted(), "what is thrown away anyway does not count");

	/* With "a": four of eight, then four of nine. */
	for (i = 0; i < 2; i++) {
		begin(GONE_EMPTY, 0);
		for (mb = NULL; eng.list.n < (i == 0 ? 8U : 9U); ) {
			snprintf(name, sizeof(name), "k%u", eng.list.n);
			mb = known(name, 0);
			if (eng.list.n <= 5)
				box_without(mb, side);
		}
		judge();
		journal(i == 0 ? kept() && said("at least half of all") :
		    deleted(), "four of %u are gone", eng.list.n);
	}
}

/* What is below it goes first. */
static void
test_order(void)
{
	struct mbox	*b;

	begin(GONE_ALWAYS, 3);
	b = known("a\001b", 2);
	box_without(b, side);
	judge();
	journal(deleted() && before("a\001b: NAME delete", " a: NAME delete") &&
	    box_deleted == 5, "%s: with what is below it", side_name[side]);
}

static void
free_map(void)
{
	size_t	 i;
	int	 s;

	for (i = 0; i < eng.map.n; i++)
		for (s = 0; s < SIDES; s++)
			free(eng.map.v[i].text[s]);
	free(eng.map.v);
	eng.map.v = NULL;
	eng.map.n = 0;
}

/* A mailbox with two names: what is below it goes along, and it itself stays. */
static void
test_mapped(void)
{
	struct mbox	*a;

	start(RENAME_PROVED, 1);
	map_add(&eng, 0, "l", "r");
	(void)known("l", 30);
	(void)renamed(known("l\001a", 30), side, "l\001n");
	(void)run();
	journal(line(side == REMOTE ? "local l\001a: NAME rename l/a l/n" :
	    "remote l\001a: NAME rename r/a r/n") &&
	    line("store l\001a: RENAME l\001n as r\001n"),
	    "%s: below one with two names", side_name[side]);
	free_map();

	start(RENAME_PROVED, 1);
	map_add(&eng, 0, "l", "r");
	a = known("l", 30);
	(void)renamed(a, side, "n");
	(void)run();
	journal(!line("store l: RENAME n") && jotted("local l: NAME") == 0 &&
	    jotted("remote l: NAME") == 0 && a->stopped && said("name the new "
	    "pair in mailbox-map"), "one that has two names is left alone");
	free_map();

	start(RENAME_PROVED, 1);
	map_add(&eng, 0, side == LOCAL ? "a\001b" : "b",
	    side == LOCAL ? "b" : "a\001b");
	a = known("a", 30);
	(void)renamed(a, side, "n");
	(void)run();
	journal(renames() == 0 && a->stopped && said("names a mailbox below it"),
	    "so is one that is above it on a side");
	free_map();

	start(RENAME_PROVED, 1);
	map_add(&eng, 0, "l", "r");
	(void)renamed(known("a", 30), side, "l");
	(void)run();
	journal(follows(side == LOCAL ? "a: NAME rename a r" :
	    "a: NAME rename a l") && line("store a: RENAME l as r"),
	    "it may become one");
	free_map();
}

int
main(void)
{
	test_both();
	for (side = 0; side < SIDES; side++) {
		test_followed();
		test_nearly();
		test_bare();
		test_plain();
		test_in_the_way();
		test_below();
		test_mapped();
		test_refused();
		test_lost();
		test_ring();
		test_marked();
		test_subscribed();
		test_dry();
		test_rules();
		test_looked();
		test_guard();
		test_order();
	}
	return tap_done();
}
