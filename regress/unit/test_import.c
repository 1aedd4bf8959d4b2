/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * --import in the engine: what of interimap's database is taken over, what is
 * looked at before, and that nothing of it is kept unless all was checked.
 */
#include "engine_box.h"

#define PAIRS	10

/* A mailbox of their database. */
static struct their {
	const char	*name;
	uint32_t	 pairs;
	struct m_water	 water[SIDES];
}			 theirs[3];
static int		 ntheirs;
static uint32_t		 version;

/* What the store finds in the pairs of each mailbox. */
static uint32_t		 differ, kept, wrong;
static uint32_t		 unpaired[SIDES];
static int		 reflagged;

static void
their_box(struct req *r, const struct sent *s)
{
	struct m_engine_mbox	 m;
	struct m_engine_done	 d;
	int			 i;

	(void)s;
	for (i = 0; i < ntheirs; i++) {
		memset(&m, 0, sizeof(m));
		m.mailbox = 70 + i;
		m.subscribed = 1;
		m.rows = theirs[i].pairs;
		m.name = theirs[i].name;
		m.remote = "";
		memcpy(m.water, theirs[i].water, sizeof(m.water));
		give(r, M_ENGINE_MBOX, &m);
	}
	memset(&d, 0, sizeof(d));
	d.text = "";
	d.count = version;
	give(r, M_ENGINE_DONE, &d);
}

static void
their_pair(struct req *r, const struct sent *s)
{
	struct m_engine_uids	 u = { 0, LOCAL, UIDSET_INIT };
	struct m_engine_row	 row;
	struct m_engine_done	 d;
	struct message		 l, o;
	uint32_t		 n;
	int			 side;

	(void)s;
	memset(&d, 0, sizeof(d));
	d.text = "";
	d.count = r->what == PAIR_DOUBT ? differ : kept;
	for (side = 0; side < SIDES; side++) {
		n = r->what == PAIR_DOUBT ? row_uid(side, 2) : unpaired[side];
		u.side = side;
		if (n != 0)
			uidset_add(&u.set, n, n);
		if (n != 0 && r->to->uids != NULL)
			give(r, M_ENGINE_UIDS, &u);
		uidset_free(&u.set);
	}
	memset(&row, 0, sizeof(row));
	row.flags = row.now = "";
	for (n = 1; r->what == PAIR_IMPORT && n <= wrong; n++) {
		row.local = n;
		row.remote = GAP + n;
		row.gone = 4;
		give(r, M_ENGINE_ROW, &row);
	}
	if (r->what == PAIR_IMPORT && reflagged) {
		l = message_like(r->mb, LOCAL, 1);
		o = message_like(r->mb, REMOTE, GAP + 1);
		strlcpy(l.flags, "\\Seen", sizeof(l.flags));
		give_paired(r, &l, &o);
	}
	give(r, M_ENGINE_DONE, &d);
}

static struct mbox *
their(const char *name, const char *neutral)
{
	struct their	*t = &theirs[ntheirs++];
	struct mbox	*mb = box_unknown(neutral, PAIRS, PAIRS);
	int		 side;

	t->name = name;
	t->pairs = PAIRS;
	for (side = 0; side < SIDES; side++) {
		memset(&t->water[side], 0, sizeof(t->water[side]));
		t->water[side].uidvalidity = VALIDITY;
		t->water[side].uidnext = row_uid(side, PAIRS) + 1;
		t->water[side].messages = row_uid(side, PAIRS);
		t->water[side].modseq = MODSEQ;
		t->water[side].mailboxid = "";
	}
	return mb;
}

static struct mbox *
fresh(void)
{
	box_start();
	ntheirs = 0;
	version = 1;
	differ = wrong = unpaired[LOCAL] = unpaired[REMOTE] = 0;
	reflagged = 0;
	kept = PAIRS;
	box_answers[ASK_IMPORT] = their_box;
	box_answers[ASK_PAIR] = their_pair;
	return their("INBOX", "INBOX");
}

static int
import(void)
{
	box_list();
	return import_run(&eng);
}

static void
import_child(void *arg)
{
	(void)arg;
	import();
}

static int
noted(const char *words)
{
	return strstr(box_journal, words) != NULL;
}

/* ---- what fits ---- */

static void
test_good(void)
{
	struct mbox	*mb = fresh();
	const char	*commit, *taken;

	ok(import() == 0 && !eng.import.open, "good: done");
	journal(noted("store INBOX: NEWBOX") && noted("store INBOX: TAKE 70") &&
	    noted("SUBSCRIBED 1"), "taken over");
	journal(noted("WATER local 7/11/10/500") &&
	    noted("WATER remote 7/5011/10/500"), "the watermarks of the look");
	journal(noted("local INBOX: META brief 1:10") &&
	    noted("local INBOX: META 2\n") &&
	    noted("remote INBOX: META brief 1:5010") &&
	    noted("remote INBOX: META 5002\n"), "sizes of all, some keys");
	journal(!noted("META 1:"), "and no more keys");
	taken = strstr(box_journal, "TAKEN");
	commit = strstr(box_journal, "COMMIT");
	journal(taken != NULL && commit != NULL && taken < commit,
	    "nothing is committed before it is checked");
	ok(said("1 mailbox with 10 messages was taken over"), "it is said");
	ok(mb->nrows == PAIRS && eng.list.total_rows == PAIRS &&
	    eng.list.had_rows && !mb->adopt, "known from now on");
	box_list();
	ok(compare_run(&eng) == 0 && !mb->dirty, "and nothing is to be done");
}

static void
test_flags(void)
{
	struct mbox	*mb = fresh();

	reflagged = 1;
	import();
	journal(noted("WATER local 7/11/10/0") &&
	    noted("WATER remote 7/5011/10/0"), "flags differ: told again");
	box_list();
	ok(compare_run(&eng) == 0 && mb->dirty, "by the run that follows");
}

static void
test_left(void)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		struct mbox	*mb = fresh();

		unpaired[side] = row_uid(side, 4);
		import();
		journal(noted(side == LOCAL ? "WATER local 7/4/10/500" :
		    "WATER remote 7/5004/10/500") && !mb->adopt,
		    "%s has one without a row: it is new", side_name[side]);
	}
	fresh();
	unpaired[LOCAL] = 4;
	unpaired[REMOTE] = GAP + 6;
	arrive(mbox_find(&eng.list, "INBOX"), LOCAL, 11, 12);
	import();
	journal(noted("store INBOX: ADOPT 1\n") &&
	    noted("WATER local 7/4/12/501"),
	    "both have: they are paired by content");
}

/* ---- what does not ---- */

static void
test_unfit(void)
{
	static const char *const	 why[] = { "UIDVALIDITY", "UIDNEXT",
					    "HIGHESTMODSEQ" };
	struct mbox			*mb;
	struct m_water			*w;
	int				 i, side;

	for (i = 0; i < 6; i++) {
		side = i % 2;
		fresh();
		mb = their("a", "a");
		w = &theirs[1].water[side];
		if (i < 2)
			w->uidvalidity++;
		else if (i < 4)
			w->uidnext++;
		else
			w->modseq++;
		import();
		journal(!noted("store a: ") && mb->id == 0 &&
		    noted("store INBOX: TAKE") && said(why[i / 2]) &&
		    said("not taken over"), "%s on %s: not taken over",
		    why[i / 2], side_name[side]);

		fresh();
		their("a", "a");
		w = &theirs[0].water[side];
		if (i < 2)
			w->uidvalidity++;
		else if (i < 4)
			w->uidnext++;
		else
			w->modseq++;
		ok(box_dies(import_child, NULL, "is that of other servers"),
		    "%s of INBOX: refused", why[i / 2]);
	}
	/* Nothing is told that could be compared. */
	for (side = 0; side < SIDES; side++) {
		fresh();
		box_strategy(side, PROOF_LISTED);
		their("a", "a");
		import();
		journal(noted("store a: TAKE") && !said("not taken over"),
		    "plain on %s: taken over", side_name[side]);
	}
	fresh();
	ntheirs = 0;
	their("a", "a");
	theirs[0].water[LOCAL].uidvalidity++;
	ok(box_dies(import_child, NULL, "not one mailbox is what it was"),
	    "none fits: refused");
	fresh();
	theirs[0].name = "elsewhere";
	ok(box_dies(import_child, NULL, "nothing to be taken over"),
	    "none is there: refused");
	fresh();
	their("b", "b");
	box_without(mbox_find(&eng.list, "b"), REMOTE);
	import();
	journal(!noted("store b: ") && said("copied again"),
	    "gone on one side: said, and not taken over");
	fresh();
	their("c", "c");
	mbox_find(&eng.list, "c")->skip = 1;
	import();
	journal(!noted("store c: "), "what is ignored is not taken over");
}

static void
test_wrong(void)
{
	fresh();
	differ = 1;
	wrong = 2;
	kept = PAIRS - 2;
	import();
	journal(noted("local INBOX: META 1:10") &&
	    noted("remote INBOX: META 1:5010"),
	    "one of the sample differs: all keys are looked at");
	ok(said("2 pairs of it did not hold"), "it is said");
	fresh();
	differ = 1;
	wrong = 6;
	kept = PAIRS - 6;
	ok(box_dies(import_child, NULL, "not that of these servers"),
	    "most differ: refused");
}

/* A mailbox that can't be checked is adopted, by a later run if it stops. */
static void
refuses(struct req *r, const struct sent *s)
{
	if (strcmp(r->mb->name, "a") == 0)
		says_no(r, s);
	else
		honest_open(r, s);
}

static void
other_validity(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	honest_select(r, s);
	if (strcmp(r->mb->name, "a") == 0 && r->side == REMOTE)
		m.uidvalidity++;
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
mute(struct req *r, const struct sent *s)
{
	if (strcmp(r->mb->name, "a") == 0)
		says_no(r, s);
	else
		honest_meta(r, s);
}

static void
test_stopped(void)
{
	static const struct {
		enum ask_type	 type;
		box_fn		 fn;
		const char	*what;
	} cases[] = {
		{ ASK_OPEN, refuses, "it can't be opened" },
		{ ASK_OPEN, other_validity, "it is another one by now" },
		{ ASK_META, mute, "it does not tell what is in it" }
	};
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < nitems(cases); i++) {
		fresh();
		mb = their("a", "a");
		box_answers[cases[i].type] = cases[i].fn;
		import();
		journal(noted("store a: ADOPT 1 drop") &&
		    !noted("store a: WATER") && noted("store INBOX: WATER") &&
		    mb->stopped && mb->adopt && mb->nrows == 0 && eng.partial,
		    "%s: nothing of it is kept", cases[i].what);
	}
}

/* ---- the end in the middle ---- */

static void
ends(struct req *r, const struct sent *s)
{
	(void)r;
	(void)s;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
test_ended(void)
{
	static const enum ask_type	 at[] = { ASK_OPEN, ASK_META, ASK_PAIR,
					    ASK_IMPORT };
	size_t				 i;

	for (i = 0; i < nitems(at); i++) {
		fresh();
		box_answers[at[i]] = ends;
		ok(import() == -1 && eng.import.open, "ended: it is open");
		journal(!noted("TAKEN") && !noted("COMMIT"),
		    "and nothing is committed");
	}
}

/* ---- names ---- */

/* interimap knows one name of a mailbox: what has two is another one. */
static void
test_mapped(void)
{
	struct mbox	*mb;
	int		 s;

	fresh();
	mb = their("Sent", "Sent");
	map_add(&eng, 0, "Sent", "r");
	import();
	journal(mb->id == 0 && noted("store INBOX: TAKE 70") && said("Sent: not "
	    "taken over, since interimap knows it by one name"),
	    "names: two are not taken over");
	for (s = 0; s < SIDES; s++)
		free(eng.map.v[0].text[s]);
	free(eng.map.v);
	eng.map.v = NULL;
	eng.map.n = 0;
}

static void
test_names(void)
{
	fresh();
	their("x\001y", "x\001y");
	import();
	journal(noted("TAKE 71"), "a NUL is the delimiter");
	fresh();
	their("x/y", "x\001y");
	version = 0;
	import();
	journal(noted("TAKE 71"), "version 0: the delimiter is itself");
	fresh();
	eng.srv[REMOTE].delim = '.';
	version = 0;
	ok(box_dies(import_child, NULL, "one hierarchy delimiter"),
	    "version 0, and two delimiters: refused");
}

int
main(void)
{
	test_good();
	test_flags();
	test_left();
	test_unfit();
	test_wrong();
	test_stopped();
	test_ended();
	test_mapped();
	test_names();
	return tap_done();
}
