/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What the state shall hold behind a pass: UIDNEXT and HIGHESTMODSEQ only as
 * far as all is accounted for (RFC 7162 section 6).
 */
#include "engine_box.h"

static struct mbox	*mb;

static void
fresh(void)
{
	box_start();
	mb = box_new("INBOX", 100);
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* A pass in which this type is answered by that function, from the plan on. */
static void
pass_with(enum ask_type type, box_fn fn)
{
	if (box_plan() == -1 || verify_run(&eng) == -1)
		printf("# the run has ended\n");
	box_answers[type] = fn;
	if (exec_run(&eng) == -1)
		printf("# the run has ended\n");
}

static uint32_t
uidnext(int side)
{
	return box_of(mb)->water[side].uidnext;
}

static uint64_t
modseq(int side)
{
	return box_of(mb)->water[side].modseq;
}

/* ---- UIDNEXT ---- */

static void
test_honest(void)
{
	int	 side;

	fresh();
	arrive(mb, LOCAL, 101, 102);
	pass();
	journal(line("store INBOX: WATER local 7/103/102/501") &&
	    line("store INBOX: WATER remote 7/5103/102/502"),
	    "two messages copied: both watermarks");
	box_list();
	for (side = 0; side < SIDES; side++)
		ok(!compare_moved(&mb->s[side]), "%s: the next run is clean",
		    side_name[side]);

	fresh();
	arrive(mb, LOCAL, 101, 103);
	arrive(mb, REMOTE, 5101, 5102);
	vanish(mb, LOCAL, 4, 4);
	reflag(mb, REMOTE, 5005, "\\Seen");
	pass();
	box_list();
	for (side = 0; side < SIDES; side++)
		ok(!compare_moved(&mb->s[side]), "%s: so it is behind changes "
		    "of all kinds", side_name[side]);
}

/* Others' mail comes between ours, others expunge: EXISTS fits all the same. */
static void
others_between(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;

	(void)s;
	copy_one(r, 101);
	arrive(mb, REMOTE, 5102, 5102);
	vanish(mb, REMOTE, 5050, 5050);
	uidset_add(&set, 5050, 5050);
	tell_vanished(r, 0, &set);
	uidset_free(&set);
	copy_one(r, 102);
	done(r, ST_OK, RC_NONE, "");
}

/* As that, without an expunge: EXISTS does not fit. */
static void
others_mail(struct req *r, const struct sent *s)
{
	(void)s;
	copy_one(r, 101);
	arrive(mb, REMOTE, 5102, 5102);
	copy_one(r, 102);
	done(r, ST_OK, RC_NONE, "");
}

/* Others' mail comes behind the SELECT of the discovery: EXISTS has it. */
static void
mail_in_open(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	honest_select(r, s);
	if (r->side == REMOTE && r->sess->kind == SESS_DISCOVER) {
		arrive(mb, REMOTE, 5101, 5101);
		m.exists++;
	}
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_others(void)
{
	fresh();
	arrive(mb, LOCAL, 101, 102);
	pass_with(ASK_RECV, others_mail);
	is_num(uidnext(REMOTE), 5102, "others' mail between ours is new");
	is_num(uidnext(LOCAL), 103, "the source is accounted for");

	fresh();
	arrive(mb, LOCAL, 101, 102);
	pass_with(ASK_RECV, others_between);
	is_num(uidnext(REMOTE), 5102, "also if others expunge as many");
	is_num(modseq(REMOTE), MODSEQ, "what they expunged is told again");
	ok(jotted("store INBOX: DROP") == 0,
	    "no row is dropped for what we did not expunge");

	fresh();
	arrive(mb, LOCAL, 101, 102);
	box_answers[ASK_OPEN] = mail_in_open;
	pass();
	ok(line("store INBOX: ADD 101 5102 ()"), "others' mail came first");
	is_num(uidnext(REMOTE), 5101, "mail in front of our first is new");
}

/* What is not answered for stays new. */
static void
one_lacks(struct req *r, const struct sent *s)
{
	(void)s;
	copy_one(r, 101);
	copy_one(r, 103);
	done(r, ST_NO, RC_NONE, "one is missing");
}

static void
gone_middle(struct req *r, const struct sent *s)
{
	struct m_engine_gone	 m = { UIDSET_INIT };

	(void)s;
	uidset_add(&m.set, 102, 102);
	give(r, M_ENGINE_GONE, &m);
	uidset_free(&m.set);
	done(r, ST_OK, RC_NONE, "");
}

/* RECV of what the source has given. */
static void
without_middle(struct req *r, const struct sent *s)
{
	(void)s;
	copy_one(r, 101);
	copy_one(r, 103);
	done(r, ST_OK, RC_NONE, "");
}

static void
refuses_middle(struct req *r, const struct sent *s)
{
	struct m_engine_refused	 m = { 102, ST_NO, RC_TOOBIG, 0, 0, 900,
				    "too big" };

	(void)s;
	copy_one(r, 101);
	give(r, M_ENGINE_REFUSED, &m);
	copy_one(r, 103);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_left(void)
{
	fresh();
	arrive(mb, LOCAL, 101, 103);
	pass_with(ASK_RECV, one_lacks);
	is_num(uidnext(LOCAL), 102, "what nobody answered for is new");
	ok(eng.partial, "and the run is not complete");

	fresh();
	arrive(mb, LOCAL, 101, 103);
	box_answers[ASK_SEND] = gone_middle;
	pass_with(ASK_RECV, without_middle);
	is_num(uidnext(LOCAL), 104, "one that is gone is accounted for");

	fresh();
	arrive(mb, LOCAL, 101, 103);
	pass_with(ASK_RECV, refuses_middle);
	is_num(uidnext(LOCAL), 104, "so is one that was refused");
	journal(jotted("store INBOX: REFUSE local 102 ") == 1 &&
	    said("too big"), "which is remembered, and named");
}

/* ---- HIGHESTMODSEQ ---- */

/* What the server tells behind a message that arrived. */
static struct {
	uint64_t	 more;		/* MODSEQ above H0 */
	const char	*flags;		/* NULL: none are told */
	uint32_t	 uid;
} told;

static void
tells_flags(struct req *r, const struct sent *s)
{
	(void)s;
	copy_one(r, 101);
	tell_flags(r, told.uid, MODSEQ + 1 + told.more, told.flags);
	done(r, ST_OK, RC_NONE, "");
}

/* One message to remote, where H0 is MODSEQ + 1, and this is told. */
static void
modseq_with(uint32_t uid, uint64_t more, const char *flags, int ours,
    const char *what)
{
	fresh();
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, LOCAL, 7, "\\Seen");
	reflag(mb, REMOTE, 5020, "\\Flagged");
	told.uid = uid;
	told.more = more;
	told.flags = flags;
	pass_with(ASK_RECV, tells_flags);
	is_num(modseq(REMOTE), ours ? at(mb, REMOTE)->modseq : MODSEQ + 1,
	    what);
}

static void
test_modseq(void)
{
	modseq_with(5050, 0, "\\Draft", 1, "FETCH with MODSEQ H0 is no news");
	modseq_with(5050, 1, "\\Draft", 0, "another's flags behind H0 are");
	modseq_with(5050, 1, NULL, 0, "a FETCH without FLAGS of another UID");
	modseq_with(5007, 1, NULL, 1, "one of a UID that we stored to");
	modseq_with(5007, 1, "\\Seen", 1, "the flags that were planned");
	modseq_with(5007, 1, "\\Seen $New", 0, "other flags of that UID");
	modseq_with(5101, 1, "", 1, "the flags that were appended");
	modseq_with(5101, 1, "\\Seen", 0, "other flags of what was appended");
	modseq_with(5050, -(uint64_t)MODSEQ - 1, "\\Draft", 0,
	    "a FETCH without MODSEQ");
}

/* Two STOREs to one message: what is told of it, one after the other. */
static const char	*words[3];

static void
tells_words(struct req *r, const struct sent *s)
{
	int	 i;

	(void)s;
	copy_one(r, 101);
	for (i = 0; i < 3 && words[i] != NULL; i++)
		tell_flags(r, 5007, MODSEQ + 2 + i, words[i]);
	done(r, ST_OK, RC_NONE, "");
}

static void
between(const char *one, const char *two, const char *three, int ours,
    const char *what)
{
	fresh();
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, LOCAL, 7, "\\Seen a");
	words[0] = one;
	words[1] = two;
	words[2] = three;
	pass_with(ASK_RECV, tells_words);
	is_num(modseq(REMOTE), ours ? at(mb, REMOTE)->modseq : MODSEQ, what);
}

static void
test_between(void)
{
	between("\\Seen", "\\Seen a", NULL, 1, "each of two STOREs is told");
	between("a", "\\Seen a", NULL, 1, "in another order");
	between("\\Seen", NULL, NULL, 0, "only the first");
	between("\\Seen", "\\Seen a", "a", 0, "one is undone by another");
	between("\\Seen", "\\Seen a", "", 0, "so are both");
	between("\\Seen b", "\\Seen a", NULL, 0, "another's in between");
	between("\\Seen", "\\Seen a b", NULL, 0, "another's behind them");
}

/* The first of two sessions of a side tells of another's change. */
static void
foreign_send(struct req *r, const struct sent *s)
{
	if (r->side == REMOTE)
		tell_flags(r, 5050, MODSEQ + 5, "\\Draft");
	honest_send(r, s);
}

static void
test_sessions(void)
{
	fresh();
	arrive(mb, LOCAL, 101, 101);
	arrive(mb, REMOTE, 5101, 5101);
	pass_with(ASK_SEND, foreign_send);
	is_num(opens(mb, REMOTE, "exec"), 2, "bodies both ways: two sessions");
	is_num(modseq(REMOTE), MODSEQ + 1, "what either tells counts");

	fresh();
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, REMOTE, 5050, "\\Draft");
	at(mb, REMOTE)->modseq = MODSEQ + 40;
	if (box_plan() == -1 || verify_run(&eng) == -1)
		printf("# the run has ended\n");
	at(mb, REMOTE)->modseq = MODSEQ + 10;
	(void)exec_run(&eng);
	is_num(modseq(REMOTE), MODSEQ + 40, "it never goes back");
}

/* ---- what must be told again ---- */

/* OK to all, and the last of two stays. */
static void
expunges_half(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;
	uint32_t	 u = uidset_min(&s->set);

	if (u != uidset_max(&s->set)) {
		vanish(mb, r->side, u, u);
		uidset_add(&set, u, u);
		tell_vanished(r, 0, &set);
		uidset_free(&set);
	}
	done(r, ST_OK, RC_NONE, "");
}

static void
test_told_again(void)
{
	fresh();
	vanish(mb, LOCAL, 4, 5);
	pass_with(ASK_EXPUNGE, honest_done);
	journal(jotted("store INBOX: DROP") == 0 && told_again(mb, LOCAL),
	    "OK without VANISHED: nothing is gone");
	ok(eng.partial && said("did not expunge 2 messages"), "it is said");

	fresh();
	vanish(mb, LOCAL, 4, 5);
	pass_with(ASK_EXPUNGE, expunges_half);
	journal(line("store INBOX: DROP remote 5004") &&
	    jotted("store INBOX: DROP") == 1, "only what VANISHED names");
	ok(line("remote INBOX: EXPUNGE 5005") &&
	    jotted("remote INBOX: EXPUNGE") == 2, "what is left is asked for twice");
	ok(told_again(mb, LOCAL), "and told again");

	fresh();
	vanish(mb, LOCAL, 4, 5);
	pass_with(ASK_EXPUNGE, says_no);
	journal(untouched(mb) == 0 && jotted("store INBOX: DROP") == 0 &&
	    told_again(mb, LOCAL) && eng.partial, "EXPUNGE is refused");

	fresh();
	vanish(mb, LOCAL, 4, 4);
	arrive(mb, LOCAL, 101, 101);
	(void)box_plan();
	plan_hold(mb, LOCAL);
	(void)exec_run(&eng);
	journal(untouched(mb) && told_again(mb, LOCAL),
	    "what is held is told again");
	is_num(uidnext(LOCAL), 102, "but what was copied is done with");
}

/* The mailbox is another one when it is opened to be changed. */
static void
replaced(struct req *r, const struct sent *s)
{
	struct m_engine_opened	 m = opened_like(r);

	if (r->side == REMOTE)
		m.uidvalidity++;
	honest_select(r, s);
	give(r, M_ENGINE_OPENED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_replaced(void)
{
	fresh();
	reflag(mb, LOCAL, 4, "\\Seen");
	pass_with(ASK_OPEN, replaced);
	journal(mb->stopped && told_again(mb, LOCAL),
	    "replaced between discovery and execution: stopped");
	fresh();
	reflag(mb, LOCAL, 4, "\\Seen");
	pass_with(ASK_OPEN, says_no);
	journal(mb->stopped && told_again(mb, LOCAL), "not to be opened: "
	    "stopped");
}

int
main(void)
{
	test_honest();
	test_others();
	test_left();
	test_modseq();
	test_between();
	test_sessions();
	test_told_again();
	test_replaced();
	return tap_done();
}
