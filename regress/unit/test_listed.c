/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Servers that do not name what vanished (strategies condstore and plain): what
 * is gone is found by counting and by lists, and nothing goes for a list that is
 * not complete, not told twice, or contradicted by what the messages are.
 */
#include "engine_box.h"

static struct mbox	*mb;
static int		 side;		/* the one that tells */
static enum proof	 proof;		/* of that side */

#define T(u)	row_uid(side, (u))
#define O(u)	row_uid(OTHER(side), (u))

static const char *const names[] = { "told", "counted", "listed" };

/* The other server is any; the one that tells as it stands in "proof". */
static void
fresh(uint32_t n, enum proof other)
{
	int	 s;

	box_start();
	mb = box_new("INBOX", n);
	box_strategy(side, proof);
	box_strategy(OTHER(side), other);
	for (s = 0; s < SIDES; s++)
		if (box_proof[s] == PROOF_LISTED)
			mb->s[s].known.water.modseq = 0;
}

/* Another run: the mailbox is made anew. */
static void
again(void)
{
	box_again();
	mb = boxes[0]->mb;
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* As a list of UIDs of the local side: these, and no others, have gone. */
static int
carried(const char *uids)
{
	char	 text[128];

	snprintf(text, sizeof(text), "%s INBOX: EXPUNGE %s",
	    side_name[OTHER(side)], uids);
	return line(text);
}

/* Nothing is deleted, and the next run looks again. */
static int
kept(void)
{
	return untouched(mb) && box_of(mb)->water[side].modseq == 0;
}

static const char *
other_uids(uint32_t lo, uint32_t hi)
{
	static char	 text[64];

	if (lo == hi)
		snprintf(text, sizeof(text), "%u", O(lo));
	else
		snprintf(text, sizeof(text), "%u:%u", O(lo), O(hi));
	return text;
}

/* ---- as it should be ---- */

static void
test_honest(void)
{
	enum proof	 other;

	for (other = PROOF_TOLD; other <= PROOF_LISTED; other++) {
		fresh(100, other);
		vanish(mb, side, T(4), T(4));
		pass();
		journal(carried(other_uids(4, 4)) && !eng.partial,
		    "%s, %s to %s: carried over", side_name[side],
		    names[proof], names[other]);
		ok(box_survivor != 0 && box_survivor != O(4),
		    "with a survivor");
		again();
		pass();
		journal(untouched(mb) && !eng.partial &&
		    opens(mb, OTHER(side), "") <= 1, "and done with");

		fresh(100, other);
		message(mb, side, T(7))->modseq = ++at(mb, side)->modseq;
		strlcpy(message(mb, side, T(7))->flags, "\\Seen", 128);
		pass();
		journal(jotted(side == LOCAL ? "remote INBOX: STORE +\\Seen" :
		    "local INBOX: STORE +\\Seen") == 1 && untouched(mb),
		    "a flag");

		fresh(10, other);
		vanish(mb, side, T(1), T(10));
		eng.want.cfg.allow_delete = 1;
		pass();
		journal(carried(other_uids(1, 10)) && box_survivor == 0,
		    "all of it: nothing survives");
		fresh(10, other);
		vanish(mb, side, T(1), T(10));
		arrive(mb, OTHER(side), O(11), O(11));
		eng.want.cfg.allow_delete = 1;
		pass();
		journal(carried(other_uids(1, 10)) && box_survivor == O(11),
		    "all that was known: what is new does");
	}
}

/* Only what its count contradicts is listed. */
static void
test_counted(void)
{
	if (proof != PROOF_COUNTED)
		return;
	fresh(100, PROOF_TOLD);
	at(mb, side)->modseq++;
	pass();
	journal(opens(mb, side, "") == 1 && opens(mb, side, "all") == 0,
	    "nothing is gone: no list");
	fresh(100, PROOF_TOLD);
	vanish(mb, side, T(4), T(4));
	arrive(mb, side, T(101), T(101));
	pass();
	journal(carried(other_uids(4, 4)), "one gone and one new");
	/* An expunge need not raise HIGHESTMODSEQ. */
	fresh(100, PROOF_TOLD);
	vanish(mb, side, T(4), T(4));
	at(mb, side)->modseq = MODSEQ;
	pass();
	journal(carried(other_uids(4, 4)), "the number alone tells it");
}

/* ---- lists that lie ---- */

static struct {
	int		 looks;		/* lists so far */
	int		 from, to;	/* those that lie */
	uint32_t	 missing;	/* a UID that they leave out */
	int		 exists;	/* and EXISTS says so, too */
} lie;

/* Lists, and the flags, without one message. */
static void
lying_list(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	struct place		*p = at(r->mb, r->side);
	int			 lies = 0;

	if (r->side == side && s->what & (OPEN_ALL | OPEN_FULL)) {
		lie.looks++;
		lies = lie.looks >= lie.from && lie.looks <= lie.to;
	}
	if (lies)
		uidset_del(&p->uids, lie.missing, lie.missing);
	honest_select(r, s);
	if (lies)
		uidset_add(&p->uids, lie.missing, lie.missing);
	if (lies && lie.exists)
		m.exists--;
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
lists(int from, int to, int exists)
{
	fresh(100, PROOF_TOLD);
	memset(&lie, 0, sizeof(lie));
	lie.from = from;
	lie.to = to;
	lie.missing = T(50);
	lie.exists = exists;
	box_answers[ASK_OPEN] = lying_list;
	vanish(mb, side, T(4), T(4));
	pass();
}

static void
test_lists(void)
{
	lists(1, 9, 0);
	journal(kept() && eng.partial, "%s, %s: a list that is too short",
	    side_name[side], names[proof]);
	lie.from = 99;
	again();
	pass();
	journal(carried(other_uids(4, 4)), "the next run has a whole one");
	/* Once, with an EXISTS that fits. */
	lists(1, 1, 1);
	journal(proof == PROOF_LISTED ? kept() && eng.partial : kept(),
	    "one that leaves out a message, with EXISTS");
	ok(uidset_has(&at(mb, OTHER(side))->uids, O(50)), "which stays");
	/* In the look. */
	if (proof == PROOF_LISTED) {
		lists(2, 9, 0);
		journal(kept() && eng.partial, "the second is too short");
	}
}

/* One that is too short is asked for once more. */
static void
test_once_more(void)
{
	lists(1, proof == PROOF_LISTED ? 2 : 1, 0);
	journal(carried(other_uids(4, 4)) && !eng.partial,
	    "%s, %s: a list that is too short, once", side_name[side],
	    names[proof]);
}

static int	 forgets;

/* The newest is left out of the list of what is new. */
static void
forgetful(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	struct place		*p = at(r->mb, r->side);
	uint32_t		 u = uidset_max(&p->uids);
	int			 lies = r->side == side && forgets;

	if (lies)
		uidset_del(&p->uids, u, u);
	honest_select(r, s);
	if (lies)
		uidset_add(&p->uids, u, u);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* There are more than were listed: the next run looks for them. */
static void
test_unlisted(void)
{
	const char	*recv = side == LOCAL ? "remote INBOX: RECV" :
			    "local INBOX: RECV";
	uint32_t	 n;

	for (n = 0; n <= 100; n += 100)
		for (forgets = 0; forgets < 2; forgets++) {
			fresh(n, PROOF_TOLD);
			box_answers[ASK_OPEN] = forgetful;
			arrive(mb, side, T(n + 1), T(n + 2));
			pass();
			journal(jotted(recv) == 1 && !mb->stopped &&
			    eng.partial == forgets &&
			    (box_of(mb)->water[side].uidnext <= T(n + 2)) ==
			    forgets, "%s, %s: with %u, %d of two is not listed",
			    side_name[side], names[proof], n, forgets);
		}
}

/* ---- what the messages are ---- */

static int	 metas;

/* What is gone is shown; or no survivor is; or another message is. */
static void
ghost_meta(struct req *r, const struct sent *s)
{
	struct message	 m = message_like(r->mb, side, T(4));

	if (r->side == side && uidset_has(&s->set, T(4)) && metas++ == 0)
		give_meta(r, &m);
	honest_meta(r, s);
}

static void
missing_meta(struct req *r, const struct sent *s)
{
	struct place	*p = at(r->mb, r->side);

	if (r->side != side) {
		honest_meta(r, s);
		return;
	}
	uidset_del(&p->uids, T(5), T(5));
	honest_meta(r, s);
	uidset_add(&p->uids, T(5), T(5));
}

static void
other_meta(struct req *r, const struct sent *s)
{
	if (r->side == side)
		message(mb, side, T(5))->key = 99;
	honest_meta(r, s);
}

static void
looked_at(box_fn fn, int stops, const char *what)
{
	/* So many that not all of them are in the sample. */
	fresh(400, PROOF_TOLD);
	metas = 0;
	box_answers[ASK_META] = fn;
	vanish(mb, side, T(4), T(4));
	pass();
	journal(untouched(mb) && mb->stopped == stops, "%s, %s: %s",
	    side_name[side], names[proof], what);
}

static void
test_looks(void)
{
	looked_at(ghost_meta, 1, "what is gone is shown");
	looked_at(missing_meta, 0, "its neighbour is not");
	looked_at(other_meta, 1, "its neighbour is another message");
	looked_at(says_no, 1, "nothing is shown");
}

/* ---- a server that shows what was not asked for ---- */

static void
ghost_open(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	honest_select(r, s);
	if (r->side == side)
		m.proof = PROOF_NONE;
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_ghosts(void)
{
	fresh(100, PROOF_TOLD);
	box_answers[ASK_OPEN] = ghost_open;
	vanish(mb, side, T(4), T(4));
	vanish(mb, OTHER(side), O(5), O(5));
	strlcpy(message(mb, OTHER(side), O(7))->flags, "\\Seen", 128);
	message(mb, OTHER(side), O(7))->modseq = at(mb, OTHER(side))->modseq;
	arrive(mb, OTHER(side), O(101), O(101));
	pass();
	journal(untouched(mb) && jotted(side == LOCAL ? "local INBOX: STORE" :
	    "remote INBOX: STORE") == 0, "%s, %s: it is not changed",
	    side_name[side], names[proof]);
	journal(jotted(side == LOCAL ? "local INBOX: RECV" :
	    "remote INBOX: RECV") == 1, "but copied to");
	ok(eng.partial && said("Another server program"), "and that is said");
}

/* ---- what was moved ---- */

/* MOVE is done when VANISHED says so: without it, COPY, and then expunge. */
static void
test_moved(void)
{
	struct mbox	*to;
	struct message	*m, like;
	char		 text[64];
	int		 ghosts;

	for (ghosts = 0; ghosts < 2; ghosts++) {
		fresh(100, proof);
		to = box_new("to", 10);
		eng.srv[LOCAL].ready.caps = eng.srv[REMOTE].ready.caps =
		    CAP_MOVE;
		like = message_get(mb, side, T(4));
		vanish(mb, side, T(4), T(4));
		arrive(to, side, T(11), T(11));
		m = message(to, side, T(11));
		*m = like;
		m->uid = T(11);
		m->modseq = at(to, side)->modseq;
		if (ghosts)
			box_answers[ASK_OPEN] = ghost_open;
		pass();
		snprintf(text, sizeof(text), "%s INBOX: MOVE",
		    side_name[OTHER(side)]);
		if (ghosts)
			journal(untouched(mb) && jotted(text) == 0,
			    "nothing is moved for a server of ghosts");
		else
			journal(carried(other_uids(4, 4)) &&
			    jotted(text) == 0, "%s, %s: not by MOVE",
			    side_name[side], names[proof]);
	}
}

/* What is expunged behind copies: one of these survives. */
static void
test_moved_all(void)
{
	struct mbox	*to;
	struct message	 like;

	fresh(1, proof);
	to = box_new("to", 10);
	like = message_get(mb, side, T(1));
	vanish(mb, side, T(1), T(1));
	arrive(mb, side, T(2), T(2));
	arrive(to, side, T(11), T(11));
	like.uid = T(11);
	like.modseq = at(to, side)->modseq;
	*message(to, side, T(11)) = like;
	pass();
	journal(carried(other_uids(1, 1)) && box_survivor == O(2),
	    "%s, %s: all is moved, and another one copied", side_name[side],
	    names[proof]);
}

/* ---- others are at work ---- */

/* Somebody expunges while flags are changed: nobody tells. */
static void
busy_store(struct req *r, const struct sent *s)
{
	uidset_del(&at(r->mb, r->side)->uids, row_uid(r->side, 9),
	    row_uid(r->side, 9));
	honest_store(r, s);
}

static void
test_meanwhile(void)
{
	fresh(100, PROOF_TOLD);
	strlcpy(message(mb, OTHER(side), O(7))->flags, "\\Seen", 128);
	message(mb, OTHER(side), O(7))->modseq = ++at(mb, OTHER(side))->modseq;
	at(mb, side)->modseq++;
	box_answers[ASK_STORE] = busy_store;
	pass();
	journal(box_of(mb)->water[side].messages == 100,
	    "%s, %s: the number is that of what is known", side_name[side],
	    names[proof]);
	/* Also where HIGHESTMODSEQ has not moved. */
	at(mb, side)->modseq = box_of(mb)->water[side].modseq;
	box_answers[ASK_STORE] = honest_store;
	again();
	pass();
	journal(carried(other_uids(9, 9)), "the next run sees it");
}

/* What a run that was cut short had copied is paired ahead of the lists. */
static void
test_recovered(void)
{
	struct mark	*k;
	int		 s;

	for (s = 0; s < SIDES; s++) {
		fresh(100, proof);
		arrive(mb, LOCAL, 101, 102);
		arrive(mb, REMOTE, GAP + 101, GAP + 102);
		mbox_marks(mb);
		k = &mb->mark[s];
		k->set = 1;
		k->uidnext = row_uid(s, 101);
		uidset_add(&k->uids, row_uid(OTHER(s), 101),
		    row_uid(OTHER(s), 102));
		vanish(mb, side, T(4), T(4));
		pass();
		journal(mb->npaired == 2 && carried(other_uids(4, 4)) &&
		    !eng.partial, "%s, %s: deleted, and copied to %s before",
		    side_name[side], names[proof], side_name[s]);
	}
}

/* ---- what was restored ---- */

/* SELECT does not tell UIDNEXT: what was listed says nothing, STATUS does. */
static int	 guesses;
static uint32_t	 validity;	/* of the STATUS */

static void
guessing_open(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	honest_select(r, s);
	if (r->side == side) {
		m.uidnext = T(101);
		m.guessed = guesses;
		mb->s[side].told.uidvalidity = validity;
	}
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
restored(int guess, uint32_t uidnext, uint32_t uidvalidity)
{
	fresh(100, PROOF_TOLD);
	guesses = guess;
	validity = uidvalidity;
	box_answers[ASK_OPEN] = guessing_open;
	vanish(mb, side, T(99), T(100));
	at(mb, side)->uidnext = uidnext;
	pass();
}

static void
test_restored(void)
{
	restored(1, T(99), VALIDITY);
	journal(untouched(mb) && mb->stopped && said("UIDNEXT"),
	    "%s, %s: restored, as STATUS says", side_name[side], names[proof]);
	restored(0, T(99), VALIDITY);
	journal(carried(other_uids(99, 100)), "it is not asked if SELECT is");
	restored(1, T(101), VALIDITY);
	journal(carried(other_uids(99, 100)), "the newest are gone");
	restored(1, 0, VALIDITY);
	journal(carried(other_uids(99, 100)), "it does not say either");
	restored(1, T(99), VALIDITY + 1);
	journal(carried(other_uids(99, 100)), "it is of another mailbox");
}

/* ---- from one to another ---- */

static void
test_changes(void)
{
	enum proof	 was = proof;

	fresh(100, PROOF_TOLD);
	vanish(mb, side, T(4), T(4));
	pass();
	for (proof = PROOF_TOLD; proof <= PROOF_LISTED; proof++) {
		again();
		box_strategy(side, proof);
		vanish(mb, side, T(10 + proof), T(10 + proof));
		pass();
		journal(carried(other_uids(10 + proof, 10 + proof)) &&
		    !eng.partial && !mb->stopped, "%s, %s, then %s",
		    side_name[side], names[was], names[proof]);
	}
	proof = was;
}

/* ---- the same messages by other UIDs ---- */

/* Local 41 to 50 of "INBOX" are remote 5101 to 5110 now; so says that server. */
static void
renumbered(enum proof kind)
{
	struct message	*to;
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 50);
	box_strategy(REMOTE, kind);
	vanish(mb, REMOTE, GAP + 41, GAP + 50);
	for (u = 41; u <= 50; u++) {
		arrive(mb, REMOTE, GAP + 60 + u, GAP + 60 + u);
		to = message(mb, REMOTE, GAP + 60 + u);
		*to = message_like(mb, LOCAL, u);
		to->uid = GAP + 60 + u;
	}
}

static void
test_renumbered(void)
{
	renumbered(PROOF_LISTED);
	strlcpy(message(mb, REMOTE, GAP + 101)->flags, "\\Seen",
	    sizeof(message(mb, REMOTE, GAP + 101)->flags));
	if (box_pass() == -1)
		printf("# the run has ended\n");
	journal(line("store INBOX: DROP remote 5041") &&
	    line("store INBOX: ADD 41 5101 ()") &&
	    line("store INBOX: ADD 50 5110 ()") &&
	    jotted("remote INBOX: SEND") == 0 &&
	    jotted("local INBOX: EXPUNGE") == 0 && !mb->stopped,
	    "another UID: neither new nor deleted");
	ok(line("local INBOX: STORE +\\Seen 41"), "its flags are its own");
	ok(!eng.partial && opens(mb, REMOTE, " all") == 0,
	    "and all is well: the count fits");

	renumbered(PROOF_NONE);
	if (box_pass() == -1)
		printf("# the run has ended\n");
	journal(line("store INBOX: ADD 41 5101 ()") &&
	    jotted("remote INBOX: SEND") == 0, "with ghosts, too");

	renumbered(PROOF_LISTED);
	message(mb, REMOTE, GAP + 101)->size++;
	if (box_pass() == -1)
		printf("# the run has ended\n");
	journal(line("remote INBOX: SEND 5101") &&
	    line("local INBOX: EXPUNGE 41") &&
	    jotted("store INBOX: ADD 41 5101") == 0,
	    "another size is another message");

	renumbered(PROOF_LISTED);
	arrive(mb, REMOTE, GAP + 120, GAP + 120);
	*message(mb, REMOTE, GAP + 120) = *message(mb, REMOTE, GAP + 101);
	message(mb, REMOTE, GAP + 120)->uid = GAP + 120;
	if (box_pass() == -1)
		printf("# the run has ended\n");
	journal(line("remote INBOX: SEND 5120") &&
	    jotted("store INBOX: ADD 41 ") == 1,
	    "one row for one: the second is a copy");
}

/* A mailbox loses its modseqs: all of it is listed, in the same run. */
static void
no_modseq(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);
	struct sent		 none = *s;

	if (r->side == side)
		none.modseq = m.modseq = 0;
	honest_select(r, &none);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_no_modseq(void)
{
	enum proof	 was = proof;

	for (proof = PROOF_TOLD; proof <= PROOF_COUNTED; proof++) {
		fresh(100, PROOF_TOLD);
		box_answers[ASK_OPEN] = no_modseq;
		vanish(mb, side, T(4), T(4));
		reflag(mb, side, T(7), "\\Seen");
		pass();
		journal(carried(other_uids(4, 4)) && !mb->stopped &&
		    flags_has(message(mb, OTHER(side), O(7))->flags, "\\Seen"),
		    "%s, %s: no modseqs any more", side_name[side],
		    names[proof]);
	}
	proof = was;
}

int
main(void)
{
	for (side = 0; side < SIDES; side++)
		for (proof = PROOF_COUNTED; proof <= PROOF_LISTED; proof++) {
			test_honest();
			test_counted();
			test_lists();
			test_once_more();
			test_unlisted();
			test_looks();
			test_ghosts();
			test_moved();
			test_moved_all();
			test_meanwhile();
			test_recovered();
			test_restored();
			test_changes();
			test_no_modseq();
		}
	test_renumbered();
	box_free();
	return tap_done();
}
