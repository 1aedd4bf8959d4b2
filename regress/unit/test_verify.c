/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Before anything is deleted (design rules D2 to D5): counts, lists, a second
 * SELECT, the look.  Each test deletes a message on one side and looks whether
 * the other side's goes; a lie of either server must keep it.
 */
#include "engine_box.h"

static struct mbox	*mb;
static int		 side;	/* the one that tells: each in turn */

/* UIDs of the side that tells and of the other, by those of the local side. */
#define T(u)	row_uid(side, (u))
#define O(u)	row_uid(OTHER(side), (u))

static void
fresh(uint32_t n)
{
	box_start();
	mb = box_new("INBOX", n);
}

/* 1 if the other side's messages lo to hi were expunged, and no others. */
static int
carried(uint32_t lo, uint32_t hi)
{
	char	 text[128];

	if (lo == hi)
		snprintf(text, sizeof(text), "%s INBOX: EXPUNGE %u",
		    side_name[OTHER(side)], O(lo));
	else
		snprintf(text, sizeof(text), "%s INBOX: EXPUNGE %u:%u",
		    side_name[OTHER(side)], O(lo), O(hi));
	return line(text);
}

/* It names what vanished. */
static int
tells(void)
{
	return box_proof[side] == PROOF_TOLD;
}

/* Nothing is deleted and nothing forgotten, also by a run that goes on. */
static int
kept(void)
{
	return untouched(mb) && told_again(mb, side);
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

static void
test_honest(void)
{
	int	 i;

	fresh(100);
	vanish(mb, side, T(4), T(4));
	pass();
	journal(carried(4, 4), "%s: a deletion is carried over",
	    side_name[side]);
	ok(done_with(mb, side) && !eng.partial, "and done with");

	fresh(100);
	vanish(mb, side, T(4), T(4));
	vanish(mb, OTHER(side), O(90), O(91));
	pass();
	journal(carried(4, 4), "deletions on both sides: this one's");
	side = OTHER(side);
	journal(carried(90, 91), "and that one's");
	side = OTHER(side);
	/* Where it is not told what vanished, the list is another one. */
	if (box_proof[LOCAL] == PROOF_TOLD && box_proof[REMOTE] == PROOF_TOLD)
		journal(jotted("local INBOX: OPEN look") == 1 &&
		    jotted("remote INBOX: OPEN look") == 1, "one look a side");

	fresh(100);
	box_of(mb)->bare = 1;
	vanish(mb, side, T(4), T(4));
	pass();
	journal(carried(4, 4), "a row without key and size is not compared");

	fresh(100);
	box_of(mb)->bare = 2;
	vanish(mb, side, T(4), T(4));
	message(mb, OTHER(side), O(4))->key++;
	pass();
	journal(carried(4, 4), "a row without a key, of the same size");
	for (i = 0; i < 2; i++) {
		fresh(100);
		box_of(mb)->bare = 2;
		vanish(mb, side, T(4), T(4));
		if (i == 0)
			message(mb, OTHER(side), O(4))->size++;
		else
			message(mb, side, T(1))->size++;
		pass();
		journal(mb->stopped && untouched(mb), "a row without a key, and "
		    "another size of %s", i == 0 ? "the doomed" :
		    "one that stays");
	}
}

/* ---- D3: the count ---- */

#define REFUSED		0x01
#define LEFT		0x02
#define FRESH		0x04
#define GONE_REFUSED	0x08
#define GONE_LEFT	0x10

/* A message of this side alone. */
static void
single(uint32_t u)
{
	struct place	*p = at(mb, OTHER(side));

	box_unrow(mb, u);
	uidset_del(&p->uids, O(u), O(u));
	mb->s[OTHER(side)].known.water.messages--;
}

/*
 * 100 messages, of which some have no row for one of these reasons; number 4 is
 * gone.
 */
static void
summands(int what)
{
	fresh(100);
	if (what & REFUSED) {
		single(50);
		(void)box_refusal(mb, side, T(50));
	}
	if (what & LEFT) {
		single(60);
		uidset_add(&box_of(mb)->left[side], T(60), T(60));
	}
	if (what & FRESH) {
		single(95);
		mb->s[side].known.water.uidnext = T(90);
	}
	if (what & GONE_REFUSED) {
		single(51);
		(void)box_refusal(mb, side, T(51));
		vanish(mb, side, T(51), T(51));
	}
	if (what & GONE_LEFT) {
		single(61);
		uidset_add(&box_of(mb)->left[side], T(61), T(61));
		vanish(mb, side, T(61), T(61));
	}
	vanish(mb, side, T(4), T(4));
}

static void
test_counts(void)
{
	static const struct {
		int		 what;
		const char	*name;
	} tests[] = {
		{ 0,			"rows and what is gone" },
		{ REFUSED,		"refused ones" },
		{ LEFT,			"what a rule left out" },
		{ FRESH,		"new ones from U to n" },
		{ GONE_REFUSED,		"refused ones that are gone" },
		{ GONE_LEFT,		"what was left out and is gone" },
		{ 0x1f,			"all of them" }
	};
	size_t	 i;

	for (i = 0; i < nitems(tests); i++) {
		summands(tests[i].what);
		pass();
		journal(carried(4, 4) && (opens(mb, side, "all") == 0 ||
		    !tells()), "%s: the count has %s", side_name[side], tests[i].name);

		/* Number 9 is gone as well, and nobody told. */
		summands(tests[i].what);
		uidset_del(&at(mb, side)->uids, T(9), T(9));
		pass();
		journal(opens(mb, side, "all") > 0,
		    "one less than told: listed");
		ok(!uidset_has(&at(mb, OTHER(side))->uids, O(4)) &&
		    !uidset_has(&at(mb, OTHER(side))->uids, O(9)) &&
		    uidset_has(&at(mb, OTHER(side))->uids, O(8)),
		    "and what the list lacks is carried over");
	}
}

/* A message that must have been there: this is another mailbox. */
static void
test_stranger(void)
{
	fresh(100);
	box_unrow(mb, 7);
	uidset_del(&at(mb, OTHER(side))->uids, O(7), O(7));
	/* Where nothing is told it would be the one for the other. */
	vanish(mb, side, T(4), T(5));
	pass();
	journal(mb->stopped && kept(), "%s: a message below U without a row: "
	    "nothing is deleted", side_name[side]);
	ok(said("--adopt") && eng.partial, "with advice");
}

/* A list that is wrong about a message: silence is no fact. */
static void
omits(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	struct uidset		*uids = &at(mb, r->side)->uids;

	/* It is there and counted, but its FETCH does not come. */
	if (s->what & OPEN_FULL)
		uidset_del(uids, row_uid(r->side, 9), row_uid(r->side, 9));
	honest_select(r, s);
	uidset_add(uids, row_uid(r->side, 9), row_uid(r->side, 9));
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_complete_list(void)
{
	fresh(100);
	mb->s[side].known.water.modseq = 0;
	vanish(mb, side, T(4), T(4));
	reflag(mb, side, T(5), "\\Seen");
	pass();
	journal(opens(mb, side, "full") == 1 && carried(4, 4),
	    "%s: without HIGHESTMODSEQ all is listed", side_name[side]);
	ok(flags_has(message(mb, OTHER(side), O(5))->flags, "\\Seen"),
	    "flags that changed are found by it");

	fresh(100);
	single(50);
	single(51);
	(void)box_refusal(mb, side, T(50));
	(void)box_refusal(mb, side, T(51));
	mb->s[side].known.water.modseq = 0;
	vanish(mb, side, T(4), T(4));
	vanish(mb, side, T(51), T(51));
	pass();
	journal(carried(4, 4) && refusal_find(&mb->s[side], T(50)) != NULL &&
	    refusal_find(&mb->s[side], T(51)) == NULL,
	    "refused messages that are gone are found by it");

	fresh(100);
	mb->s[side].known.water.modseq = 0;
	vanish(mb, side, T(4), T(4));
	box_answers[ASK_OPEN] = omits;
	pass();
	journal(uidset_has(&at(mb, OTHER(side))->uids, O(9)) &&
	    uidset_has(&box_of(mb)->rows, 9),
	    "a list that has left one out deletes nothing");
}

/* ---- D4: a second SELECT ---- */

/*
 * What the first look of the side that tells says, or the second as well where it
 * is asked once more; the others are honest.
 */
static struct {
	int	 looks;
	int	 exists;	/* more */
	int	 uidvalidity;
	int	 mailboxid;
} first;

static void
lying_look(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	if (r->side == side && r->sess->kind == SESS_LOOK &&
	    first.looks++ < (tells() ? 1 : 2)) {
		m.exists += first.exists;
		m.uidvalidity += first.uidvalidity;
		if (first.mailboxid)
			m.mailboxid = "another";
	}
	honest_select(r, s);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* n messages, of which "gone" are told to be gone. */
static void
reselect(uint32_t n, uint32_t gone, const char *what)
{
	int	 i;

	for (i = 0; i < 4; i++) {
		fresh(n);
		eng.want.cfg.allow_delete = 1;
		memset(&first, 0, sizeof(first));
		vanish(mb, side, T(1), T(gone));
		box_answers[ASK_OPEN] = lying_look;
		if (i == 1)
			first.exists = gone;
		else if (i == 2)
			first.uidvalidity = 1;
		else if (i == 3)
			first.mailboxid = 1;
		pass();
		if (i == 0) {
			journal(carried(1, gone), "%s: carried over", what);
			ok(first.looks > 1, "after a second SELECT");
			continue;
		}
		journal(kept() && !mb->stopped, "%s", i == 1 ?
		    "not if it has other EXISTS" : i == 2 ?
		    "nor another UIDVALIDITY" : "nor another MAILBOXID");
	}
}

static void
test_reselect(void)
{
	reselect(15, 15, "all of a mailbox");
	reselect(60, 45, "more than the guard allows");

	/* The list of D3 must be of the mailbox that was counted. */
	fresh(100);
	vanish(mb, side, T(4), T(4));
	uidset_del(&at(mb, side)->uids, T(9), T(9));
	memset(&first, 0, sizeof(first));
	first.exists = 1;
	box_answers[ASK_OPEN] = lying_look;
	pass();
	journal(kept() && !mb->stopped, "%s: a list of another EXISTS than was "
	    "counted", side_name[side]);

	fresh(15);
	vanish(mb, side, T(1), T(15));
	(void)box_plan();
	box_answers[ASK_OPEN] = says_no;
	ok(verify_run(&eng) == 0 && exec_run(&eng) == 0, "NO: the run goes on");
	journal(kept() && mb->stopped, "but the mailbox is gone, not its "
	    "messages");
}

/* ---- D5: the look ---- */

static void
test_counterpart(void)
{
	fresh(100);
	vanish(mb, side, T(4), T(4));
	message(mb, OTHER(side), O(4))->key++;
	pass();
	journal(mb->stopped && kept(), "%s: the other side's is another "
	    "message", side_name[side]);
	ok(said("--adopt"), "with advice");

	/* 250: of 200 the key is looked at, of the others the size. */
	fresh(500);
	vanish(mb, side, T(1), T(250));
	pass();
	journal(carried(1, 250), "250 that are what they should be");
	fresh(500);
	vanish(mb, side, T(1), T(250));
	message(mb, OTHER(side), O(5))->size++;
	pass();
	journal(mb->stopped && kept(), "one of 250 has another size");
	fresh(500);
	vanish(mb, side, T(1), T(250));
	message(mb, OTHER(side), O(1))->key++;
	pass();
	journal(mb->stopped && kept(), "one of 250 has another key");
}

/* The side that tells shows what it has told to be gone. */
static void
still_there(struct req *r, const struct sent *s)
{
	struct m_engine_uids	 m = { OPEN_ALL, r->side, s->set };

	give(r, M_ENGINE_UIDS, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* META without the first one that was asked for. */
static void
not_shown(struct req *r, const struct sent *s)
{
	uint32_t	 u = uidset_min(&s->set);
	struct uidset	*uids = &at(mb, r->side)->uids;

	if (r->side == side)
		uidset_del(uids, u, u);
	honest_meta(r, s);
	uidset_add(uids, u, u);
}

/* Nothing of what the side that tells has. */
static void
none_shown(struct req *r, const struct sent *s)
{
	if (r->side == side)
		done(r, ST_OK, RC_NONE, "");
	else
		honest_meta(r, s);
}

/* As that, but it has gone only now, and that is told. */
static void
just_gone(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;
	uint32_t	 u = uidset_min(&s->set);

	if (r->side == side) {
		vanish(mb, side, u, u);
		uidset_add(&set, u, u);
		tell_vanished(r, 0, &set);
		uidset_free(&set);
	}
	honest_meta(r, s);
}

static void
lied_to(enum ask_type type, box_fn fn, const char *what)
{
	fresh(100);
	vanish(mb, side, T(4), T(4));
	(void)box_plan();
	box_answers[type] = fn;
	if (verify_run(&eng) == -1)
		printf("# the run has ended\n");
	memcpy(box_answers, box_honest, sizeof(box_answers));
	(void)exec_run(&eng);
	journal(kept(), "%s: %s", side_name[side], what);
}

static void
test_telling(void)
{
	/* The others are not asked by SEARCH: see test_listed.c. */
	if (tells()) {
		lied_to(ASK_SEARCH, still_there,
		    "what is told to be gone is there");
		lied_to(ASK_SEARCH, says_no,
		    "it does not say whether it is there");
	}
	lied_to(ASK_META, says_no, "nothing is shown");
	lied_to(ASK_OPEN, says_no, "it can't be looked at");
	lied_to(ASK_META, not_shown, "a row that should be there is not shown");
	ok(!mb->stopped && !eng.partial && mb->soon,
	    "which is no mismatch: the next look is soon");
	lied_to(ASK_META, none_shown, "none is shown, and a list has them");
	ok(!mb->stopped && !eng.partial, "nor is that a mismatch");

	fresh(100);
	vanish(mb, side, T(4), T(4));
	message(mb, side, T(1))->key++;
	pass();
	journal(mb->stopped && kept(), "a row that stays is another message");

	fresh(100);
	vanish(mb, side, T(4), T(4));
	box_answers[ASK_META] = just_gone;
	pass();
	journal(carried(4, 4) && !mb->stopped,
	    "a row that goes just now, and is told, is no other message");

	fresh(100);
	vanish(mb, side, T(4), T(4));
	(void)box_plan();
	vanish(mb, side, T(1), T(1));
	if (verify_run(&eng) == -1 || exec_run(&eng) == -1)
		printf("# the run has ended\n");
	journal((tells() ? carried(4, 4) : kept() && mb->soon) &&
	    !mb->stopped && !eng.partial,
	    "nor is one that went before the look");
	ok(box_of(mb)->water[side].modseq < at(mb, side)->modseq,
	    "the next run is told of it");
}

/* Rows 51 to 100 only; UIDs 1 to 50 are not used. */
static void
upper_half(void)
{
	uint32_t	 u;
	int		 i;

	fresh(100);
	for (u = 1; u <= 50; u++)
		box_unrow(mb, u);
	for (i = 0; i < SIDES; i++) {
		uidset_del(&at(mb, i)->uids, row_uid(i, 1), row_uid(i, 50));
		mb->s[i].known.water.messages = 50;
	}
}

/*
 * A mailbox was replaced under the same UIDVALIDITY: none of the old messages
 * is there, and it tells that one vanished.  On the other side another one was
 * deleted.  What one side shows says nothing about the other (case A6).
 */
static void
test_replaced(void)
{
	struct place	*p;
	uint32_t	 u;

	upper_half();
	p = at(mb, side);
	vanish(mb, side, T(53), T(53));
	uidset_free(&p->uids);
	uidset_add(&p->uids, T(1), T(49));
	vanish(mb, OTHER(side), O(54), O(54));
	pass();
	journal(untouched(mb) && told_again(mb, side), "%s: another mailbox "
	    "under the same UIDVALIDITY", side_name[side]);
	ok(mb->stopped && said("--adopt"), "is stopped, with advice");

	/* The same with the UIDs of the old ones. */
	fresh(100);
	vanish(mb, side, T(3), T(3));
	for (u = 1; u <= 100; u++)
		message(mb, side, T(u))->key += 1000;
	vanish(mb, OTHER(side), O(4), O(4));
	pass();
	journal(untouched(mb) && mb->stopped,
	    "other messages under the same UIDs");
}

/* ---- a row is dropped under the same rules ---- */

/* Messages 2 and 3 vanished, it says; they are there, and counted. */
static void
lying_select(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;

	if (r->side == side && r->sess->kind == SESS_DISCOVER) {
		uidset_add(&set, T(2), T(3));
		tell_vanished(r, 1, &set);
		uidset_free(&set);
	}
	honest_open(r, s);
}

/* All of 15 vanished, it says, once. */
static void
empty_once(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	struct uidset		 set = UIDSET_INIT;

	if (r->side == side && r->sess->kind == SESS_DISCOVER) {
		uidset_add(&set, T(1), T(15));
		tell_vanished(r, 1, &set);
		uidset_free(&set);
		m.exists = 0;
	}
	honest_select(r, s);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* With and without deletions being carried over (case A7). */
static void
test_dropped(int propagate)
{
	fresh(100);
	eng.want.cfg.propagate = propagate;
	at(mb, side)->modseq++;
	box_answers[ASK_OPEN] = lying_select;
	pass();
	journal(untouched(mb) && !mb->stopped && jotted("store INBOX: LEFT")
	    == 0, "%s: a false VANISHED, propagate %d: no row is dropped",
	    side_name[side], propagate);

	fresh(15);
	eng.want.cfg.propagate = propagate;
	at(mb, side)->modseq++;
	box_answers[ASK_OPEN] = empty_once;
	pass();
	journal(kept() && !mb->stopped && jotted("store INBOX: LEFT") == 0,
	    "all vanished, once");

	fresh(100);
	eng.want.cfg.propagate = propagate;
	vanish(mb, side, T(4), T(4));
	message(mb, side, T(1))->key++;
	pass();
	journal(kept() && mb->stopped && jotted("store INBOX: LEFT") == 0,
	    "another message among those that stay");

	fresh(100);
	eng.want.cfg.propagate = propagate;
	vanish(mb, side, T(4), T(4));
	pass();
	journal(jotted("store INBOX: DROP") == 1 && done_with(mb, side),
	    "a true one drops it");
}

static void
test_pair(void)
{
	for (side = LOCAL; side < SIDES; side++) {
		test_honest();
		test_counts();
		test_stranger();
		test_complete_list();
		test_reselect();
		test_counterpart();
		test_telling();
		test_replaced();
		test_dropped(PROP_ALL);
		test_dropped(PROP_NEW | PROP_FLAGS);
	}
}

/* Whatever kind of server each of the two is. */
int
main(void)
{
	do {
		test_pair();
	} while (box_pairs());
	return tap_done();
}
