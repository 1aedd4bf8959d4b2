/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What was moved on one side is moved on the other by its server: only what is
 * certain, and nothing is deleted before what was moved has its row.
 */
#include <stdarg.h>

#include "engine_box.h"

static int	 side;		/* on which somebody moves: each in turn */

#define T(u)	row_uid(side, (u))
#define O(u)	row_uid(OTHER(side), (u))

static struct mbox	*a, *b, *c;

/* "%s" is the name of the side that follows; T() and O() are as they are. */
static int	 does(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));

static int
does(const char *fmt, ...)
{
	char	 text[256], whole[300];
	va_list	 ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s %s", side_name[OTHER(side)], text);
	return line(whole);
}

/* The store got the row of what came to "b" first. */
static int
has_row(const char *flags)
{
	char	 text[64];

	snprintf(text, sizeof(text), "store b: ADD 11 %d (%s)", GAP + 11,
	    flags);
	return line(text);
}

static void
fresh(void)
{
	box_start();
	a = box_new("a", 40);
	b = box_new("b", 10);
	c = box_new("c", 10);
}

/* A message like that one comes to another mailbox. */
static struct message *
comes_to(int which, struct mbox *from, struct mbox *to, uint32_t u)
{
	struct message	*m, like = message_get(from, which, row_uid(which, u));
	uint32_t	 uid = at(to, which)->uidnext;

	arrive(to, which, uid, uid);
	m = message(to, which, uid);
	*m = like;
	m->uid = uid;
	m->modseq = at(to, which)->modseq;
	return m;
}

static struct message *
comes(struct mbox *from, struct mbox *to, uint32_t u)
{
	return comes_to(side, from, to, u);
}

static struct message *
moves(struct mbox *from, struct mbox *to, uint32_t u)
{
	vanish(from, side, T(u), T(u));
	return comes(from, to, u);
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

static int
sent_bodies(void)
{
	return jotted("local b: SEND") + jotted("remote b: SEND") > 0;
}

static void
test_moved(void)
{
	fresh();
	moves(a, b, 7);
	pass();
	journal(does("a: MOVE %u b", O(7)) && has_row("") && !sent_bodies() &&
	    jotted("store a: DROP") == 1 && !eng.partial,
	    "%s: it is moved, and has its row", side_name[side]);
	ok(jotted("local a: EXPUNGE") + jotted("remote a: EXPUNGE") == 0,
	    "and is not deleted besides");
	ok(before("store b: MARK", " a: MOVE"), "under a mark");
	ok(jotted("store b: UNMARK") == 1, "which goes");
	ok(box_of(b)->water[OTHER(side)].uidnext == O(12) &&
	    box_of(b)->water[side].uidnext == T(12) &&
	    box_of(b)->water[OTHER(side)].modseq > MODSEQ &&
	    box_of(a)->water[side].modseq > MODSEQ, "nothing is left to do");

	/* What is gone besides is deleted as ever. */
	fresh();
	moves(a, b, 7);
	vanish(a, side, T(9), T(9));
	pass();
	journal(does("a: MOVE %u b", O(7)) && does("a: EXPUNGE %u", O(9)),
	    "beside a deletion");
}

/* No META where nothing is gone, or nothing is new elsewhere. */
static void
test_quiet(void)
{
	fresh();
	arrive(b, side, T(11), T(11));
	pass();
	ok(strstr(box_journal, "META") == NULL, "%s: no META of new mail",
	    side_name[side]);
	fresh();
	vanish(a, side, T(7), T(7));
	arrive(a, side, T(41), T(41));
	pass();
	ok(jotted(side == LOCAL ? "local a: META 41" : "remote a: META 5041")
	    == 0, "nor of what is new in the same mailbox");
	fresh();
	vanish(a, side, T(7), T(7));
	arrive(b, OTHER(side), O(11), O(11));
	pass();
	ok(strstr(box_journal, " b: META") == NULL,
	    "nor of what is new on the other side");
}

static void
test_copy(void)
{
	fresh();
	eng.srv[OTHER(side)].ready.caps &= ~CAP_MOVE;
	moves(a, b, 7);
	pass();
	journal(does("a: COPY %u b", O(7)) && has_row("") && !sent_bodies() &&
	    then("store b: ADD", "store: COMMIT") && then("store: COMMIT",
	    " a: EXPUNGE") && jotted("store a: DROP") == 1,
	    "%s: no MOVE: COPY, commit, EXPUNGE", side_name[side]);

	/* One more copy than there are messages gone. */
	fresh();
	moves(a, b, 7);
	(void)comes(a, c, 7);
	pass();
	journal(before(" a: COPY", " a: MOVE") && !sent_bodies() &&
	    jotted("store b: ADD") == 1 && jotted("store c: ADD") == 1,
	    "moved, and copied besides");
}

/* Copies without end: few of them are looked at. */
static void
test_many(void)
{
	struct mbox	*box[30];
	char		 name[16];
	int		 i;

	fresh();
	for (i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "n%02d", i);
		box[i] = box_new(name, 0);
	}
	moves(a, b, 7);
	for (i = 0; i < 30; i++)
		(void)comes(a, box[i], 7);
	pass();
	ok(jotted(side == LOCAL ? "remote a: COPY" : "local a: COPY") == 15 &&
	    jotted(side == LOCAL ? "remote a: MOVE" : "local a: MOVE") == 1 &&
	    jotted("store n00: ADD") == 1 && jotted("store n29: ADD") == 1,
	    "%s: 30 copies: 15 by the server, the others are sent",
	    side_name[side]);
}

/* Ways in which it is not certain: it is copied, and deleted behind that. */
static void
in_doubt(const char *what)
{
	pass();
	journal(strstr(box_journal, "MOVE") == NULL && sent_bodies() &&
	    jotted("store b: ADD") > 0 && then("store b: ADD", " a: EXPUNGE"),
	    "%s: %s: copied, and deleted behind that", side_name[side], what);
}

static void
test_doubt(void)
{
	fresh();
	moves(a, b, 7)->date++;
	in_doubt("another date");
	fresh();
	moves(a, b, 7)->size++;
	in_doubt("another size");
	fresh();
	moves(a, b, 7)->date = DATE_NONE;
	message(a, OTHER(side), O(7))->date = DATE_NONE;
	in_doubt("no date");
	fresh();
	moves(a, b, 7);
	vanish(c, side, T(8), T(8));
	box_of(c)->key = message_get(a, LOCAL, 7).key;
	in_doubt("two are gone that it may be");
	fresh();
	vanish(a, side, T(7), T(7));
	(void)comes(a, a, 7);
	vanish(b, side, T(3), T(3));
	pass();
	journal(strstr(box_journal, "MOVE") == NULL && jotted("store a: ADD") == 1
	    && jotted("store a: DROP") == 1 && jotted("store b: DROP") == 1,
	    "where it was it is a new one");
	fresh();
	vanish(a, side, T(7), T(7));
	vanish(c, side, T(8), T(8));
	box_of(c)->key = message_get(a, LOCAL, 7).key;
	(void)comes(a, a, 7);
	(void)comes(a, a, 7);
	pass();
	journal(a->s[side].w->check.reappeared == 0 &&
	    c->s[side].w->check.reappeared == 1,
	    "one that is gone is not moved twice");
	fresh();
	at(b, OTHER(side))->perm_any = 0;
	strlcpy(moves(a, b, 7)->flags, "$Later",
	    sizeof(message(b, side, T(11))->flags));
	in_doubt("flags that are not kept there");
	fresh();
	moves(a, b, 7);
	at(a, OTHER(side))->uidvalidity = 0;
	pass();
	journal(strstr(box_journal, "MOVE") == NULL && sent_bodies() &&
	    jotted("store a: DROP") == 0, "the mailbox it left is stopped");
}

static void
says_trycreate(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_NO, RC_TRYCREATE, "no such mailbox");
}

/* It is there, and nobody says where. */
static void
tells_no_uid(struct req *r, const struct sent *s)
{
	box_move(r, s, 0);
}

static void
moved_untold(struct req *r, const struct sent *s)
{
	vanish(r->mb, r->side, uidset_min(&s->set), uidset_max(&s->set));
	tell_vanished(r, 0, &s->set);
	done(r, ST_NO, RC_NONE, "something happened");
}

static void
tells_a_lie(struct req *r, const struct sent *s)
{
	struct m_engine_copied	 m;

	memset(&m, 0, sizeof(m));
	m.uid = uidset_min(&s->set);
	m.newuid = O(3);
	m.flags = m.lost = "";
	give(r, M_ENGINE_COPIED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static int
waits(void)
{
	return !sent_bodies() && jotted("store b: ADD") == 0 &&
	    jotted("store b: UNMARK") == 0 &&
	    box_of(b)->water[side].uidnext <= T(11);
}

static void
test_answers(void)
{
	fresh();
	moves(a, b, 7);
	box_answers[ASK_MOVE] = says_trycreate;
	pass();
	journal(sent_bodies() && then("store b: ADD", " a: EXPUNGE"),
	    "%s: NO: it is sent, and deleted behind that", side_name[side]);

	fresh();
	moves(a, b, 7);
	box_answers[ASK_MOVE] = tells_no_uid;
	pass();
	journal(waits(), "%s: moved without COPYUID: the mark stays, and "
	    "nothing is sent", side_name[side]);

	fresh();
	moves(a, b, 7);
	box_answers[ASK_MOVE] = moved_untold;
	pass();
	journal(waits(), "it went, and the answer is NO: the same");

	fresh();
	moves(a, b, 7);
	box_answers[ASK_MOVE] = tells_a_lie;
	pass();
	journal(waits() && b->stopped, "a UID that can't be: it is stopped");

	fresh();
	moves(a, b, 7);
	eng.srv[OTHER(side)].ready.caps &= ~CAP_MOVE;
	box_answers[ASK_MOVE] = tells_no_uid;
	pass();
	journal(waits() && untouched(a) && told_again(a, side),
	    "copied without COPYUID: nothing is deleted before it is found");
}

/* The connection ends under it. */
static void
ends(struct req *r, const struct sent *s)
{
	(void)s;
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
test_lost(void)
{
	fresh();
	moves(a, b, 7);
	box_answers[ASK_MOVE] = ends;
	(void)box_pass();
	box_salvage();
	journal(waits() && untouched(a) && told_again(a, side) &&
	    told_again(b, OTHER(side)), "%s: lost: it is told again, under the "
	    "mark", side_name[side]);
}

/* Changed here on the way, and there meanwhile. */
static void
test_flags(void)
{
	fresh();
	box_of(a)->base = "\\Seen $A";
	strlcpy(moves(a, b, 7)->flags, "\\Flagged $A", FLAGS_MAX);
	reflag(a, OTHER(side), O(7), "\\Seen $A $B");
	pass();
	journal(does("a: STORE +\\Flagged %u", O(7)) &&
	    does("a: STORE -\\Seen %u", O(7)) &&
	    before(" a: STORE", " a: MOVE") && has_row("\\Seen $A"),
	    "%s: flags are merged ahead of the move", side_name[side]);
	ok(jotted(side == LOCAL ? "local b: STORE +$B 11" :
	    "remote b: STORE +$B 5011") == 1, "and on the side where it is");
	ok(line("store b: BASE 11 (\\Flagged $A $B)"), "both have them then");

	fresh();
	box_of(a)->base = "\\Seen";
	strlcpy(moves(a, b, 7)->flags, "\\Seen \\Flagged", FLAGS_MAX);
	box_answers[ASK_STORE] = says_inuse;
	pass();
	journal(has_row("\\Seen") && jotted("store b: BASE") == 0 &&
	    told_again(b, side), "what was not done is told again");
}

static void
refuses(struct req *r, const struct sent *s)
{
	struct m_engine_refused	 m = { uidset_min(&r->set), ST_NO, RC_TOOBIG,
				    0, 0, 900, "too big" };

	(void)s;
	give(r, M_ENGINE_REFUSED, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* The first of what is left where it was is not shown. */
static void
omits_first(struct req *r, const struct sent *s)
{
	struct sent	 rest = *s;

	uidset_init(&rest.set);
	uidset_copy(&rest.set, &s->set);
	if (r->mb == a && r->side == side)
		uidset_del(&rest.set, 1, uidset_min(&s->set));
	honest_meta(r, &rest);
	uidset_free(&rest.set);
}

/* What has no copy stays where it is, as long as that lasts. */
static void
test_held(void)
{
	struct refusal	*f;

	fresh();
	moves(a, b, 7)->date++;
	vanish(a, side, T(9), T(9));
	box_answers[ASK_RECV] = refuses;
	pass();
	journal(does("a: EXPUNGE %u", O(9)) && uidset_has(&at(a,
	    OTHER(side))->uids, O(7)) && told_again(a, side),
	    "%s: refused where it came to: not deleted where it was",
	    side_name[side]);

	fresh();
	moves(a, b, 7);
	f = refusal_new(&b->s[side], T(11));
	f->next = INT64_MAX;
	free(f->text);
	f->text = xstrdup("too big");
	pass();
	journal(untouched(a) && told_again(a, side) &&
	    strstr(box_journal, "MOVE") == NULL,
	    "refused by an earlier run: the same");

	/* It is not offered in this run, and nothing else is new there. */
	fresh();
	moves(a, b, 7)->date++;
	box_refusal(b, side, T(11))->next = INT64_MAX;
	b->s[side].known.water.uidnext = T(12);
	b->s[side].known.water.messages = 11;
	b->s[side].known.water.modseq = at(b, side)->modseq;
	pass();
	journal(!b->dirty && untouched(a) && told_again(a, side) &&
	    !sent_bodies(), "refused, and not offered: the same");

	/* Somebody is at work where it was. */
	fresh();
	moves(a, b, 7);
	box_answers[ASK_META] = omits_first;
	pass();
	journal(untouched(a) && told_again(a, side) &&
	    strstr(box_journal, "MOVE") == NULL && sent_bodies(),
	    "a survivor is missing: the deletion waits, and so does a move");

	fresh();
	vanish(a, side, T(1), T(35));
	(void)comes(a, b, 7);
	pass();
	journal(untouched(a) && said("--allow-delete") &&
	    strstr(box_journal, "MOVE") == NULL && sent_bodies(),
	    "held by the guard: what was moved is copied");
}

/* What has become too large, or too old, since it was copied. */
static void
test_left_out(void)
{
	fresh();
	eng.want.cfg.max_size = 900;
	moves(a, b, 7);
	pass();
	journal(does("a: MOVE %u b", O(7)) && has_row("") && !sent_bodies() &&
	    strstr(box_journal, "LEFT") == NULL,
	    "%s: too large to be copied: moved", side_name[side]);

	fresh();
	eng.want.cfg.max_size = 900;
	moves(a, b, 7)->date++;
	in_doubt("too large to be copied, and not certain");
	fresh();
	eng.want.cfg.max_size = 900;
	moves(a, b, 7);
	(void)comes(a, c, 7);
	arrive(b, side, T(12), T(12));
	pass();
	journal(does("a: MOVE %u b", O(7)) && !sent_bodies() &&
	    jotted("store b: LEFT") == 1 && jotted("store c: LEFT") == 1,
	    "%s: one more copy, and what is new, are left out",
	    side_name[side]);
}

static struct message *
moves_on_both(void)
{
	fresh();
	moves(a, b, 7);
	vanish(a, OTHER(side), O(7), O(7));
	return comes_to(OTHER(side), a, b, 7);
}

static void
test_both(void)
{
	(void)moves_on_both();
	pass();
	journal(has_row("") && !sent_bodies() && b->npaired == 1 &&
	    jotted("store a: DROP") == 1, "%s: moved on both sides, to one "
	    "place: paired", side_name[side]);

	moves_on_both()->date++;
	pass();
	journal(jotted("local b: SEND") == 1 && jotted("remote b: SEND") == 1,
	    "of another date: each gets the other's");
}

static void
test_dry(void)
{
	struct figures	 f;

	fresh();
	eng.want.cfg.dryrun = 1;
	moves(a, b, 7);
	vanish(a, side, T(9), T(9));
	if (box_plan() == -1 || verify_run(&eng) == -1)
		printf("# the run has ended\n");
	progress_planned(a);
	progress_planned(b);
	a->planned = b->planned = 1;
	progress_figures(&eng, a, OTHER(side), &f);
	ok(f.moved == 1 && f.deleted == 1, "%s: a dry run: 1 to move, 1 to "
	    "delete", side_name[side]);
	progress_figures(&eng, b, OTHER(side), &f);
	journal(f.copied == 0, "and none to copy");
}

int
main(void)
{
	for (side = 0; side < SIDES; side++) {
		test_moved();
		test_quiet();
		test_copy();
		test_many();
		test_doubt();
		test_answers();
		test_lost();
		test_flags();
		test_held();
		test_left_out();
		test_both();
		test_dry();
	}
	box_free();
	return tap_done();
}
