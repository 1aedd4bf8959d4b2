/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What both sides have already is paired by content and not copied; what the
 * configuration leaves out stays where it is, and is remembered.
 */
#include "engine_box.h"

static struct mbox	*mb;

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* ---- adoption ---- */

static void
unknown(uint32_t local, uint32_t remote)
{
	box_start();
	mb = box_unknown("INBOX", local, remote);
}

static void
test_adopt(void)
{
	unknown(3, 3);
	reflag(mb, LOCAL, 2, "\\Seen");
	pass();
	journal(line("local INBOX: META 1:3") &&
	    line("remote INBOX: META 5001:5003") &&
	    line("store INBOX: PAIR 0"), "META of both sides is paired");
	ok(before("store INBOX: SEEN remote 5003", "store INBOX: PAIR"),
	    "once all of it is there");
	ok(jotted("local INBOX: RECV") == 0 && jotted("remote INBOX: RECV") == 0
	    && mb->npaired == 3, "what is paired is not copied");
	ok(line("remote INBOX: STORE +\\Seen 5002"), "flags are brought "
	    "together");
	ok(before("store INBOX: ADOPT 0", "store: COMMIT"),
	    "the mailbox is adopted in the transaction of its pairs");
	ok(before("store INBOX: WATER local 7/4/3/0\n", "store: COMMIT") &&
	    then("store: COMMIT", "store INBOX: WATER local 7/4/3/501\n"),
	    "HIGHESTMODSEQ comes when the flags agree");

	unknown(3, 5);
	pass();
	journal(strstr(box_journal, "local INBOX: RECV multi 5004:5005\n") !=
	    NULL && jotted("remote INBOX: RECV") == 0,
	    "what is left of a side is copied");
	is_num(uidset_count(&at(mb, LOCAL)->uids), 5, "to the other");

	unknown(3, 3);
	message(mb, LOCAL, 3)->key = 99;
	pass();
	journal(line("local INBOX: RECV multi 5003") &&
	    line("remote INBOX: RECV multi 3"), "so it is on both sides");

	unknown(3, 0);
	pass();
	journal(jotted("local INBOX: META") == 0 &&
	    jotted("store INBOX: PAIR") == 0, "an empty side: no META, no "
	    "pairing");
	ok(line("store INBOX: ADOPT 0") &&
	    uidset_count(&at(mb, REMOTE)->uids) == 3, "but adopted and copied");
}

/* ---- silence ---- */

static int	 deaf;		/* the side that tells nothing */
static uint32_t	 lacks;		/* or nothing of its first so many */

static void
deaf_meta(struct req *r, const struct sent *s)
{
	if (r->side == deaf)
		says_no(r, s);
	else
		honest_meta(r, s);
}

static void
silent_meta(struct req *r, const struct sent *s)
{
	struct uidset	*uids = &at(mb, r->side)->uids, was = UIDSET_INIT;

	uidset_copy(&was, uids);
	if (r->side == deaf)
		uidset_del(uids, row_uid(deaf, 1), row_uid(deaf, lacks));
	honest_meta(r, s);
	uidset_copy(uids, &was);
	uidset_free(&was);
}

/* As that, but they have gone, and that is told. */
static void
gone_meta(struct req *r, const struct sent *s)
{
	struct uidset	 set = UIDSET_INIT;

	if (r->side == deaf) {
		uidset_add(&set, row_uid(deaf, 1), row_uid(deaf, lacks));
		vanish(mb, deaf, row_uid(deaf, 1), row_uid(deaf, lacks));
		tell_vanished(r, 0, &set);
	}
	honest_meta(r, s);
	uidset_free(&set);
}

/* A message that META leaves out is neither there nor gone. */
static void
test_silence(void)
{
	char	 text[64];

	for (deaf = LOCAL; deaf < SIDES; deaf++) {
		unknown(20, 20);
		lacks = 1;
		box_answers[ASK_META] = silent_meta;
		pass();
		snprintf(text, sizeof(text), "store INBOX: REFUSE %s %u ",
		    side_name[deaf], row_uid(deaf, 1));
		journal(!mb->stopped && jotted(text) == 1 &&
		    mb->npaired == 19, "%s is silent about one of 20: that "
		    "one waits", side_name[deaf]);
		snprintf(text, sizeof(text), "%s INBOX: SEND",
		    side_name[deaf]);
		journal(jotted(text) == 0, "and is not copied");

		unknown(20, 20);
		lacks = 6;
		box_answers[ASK_META] = silent_meta;
		pass();
		journal(mb->stopped && jotted("store INBOX: PAIR") == 0 &&
		    jotted("local INBOX: RECV") == 0 &&
		    jotted("remote INBOX: RECV") == 0,
		    "about six of 20: nothing is paired, nothing copied");

		unknown(20, 20);
		lacks = 6;
		box_answers[ASK_META] = gone_meta;
		pass();
		journal(!mb->stopped && mb->npaired == 14 &&
		    jotted("store INBOX: REFUSE") == 0,
		    "what has gone meanwhile is no silence");
	}
}

static void
test_meta(void)
{
	for (deaf = LOCAL; deaf < SIDES; deaf++) {
		unknown(3, 3);
		box_answers[ASK_META] = deaf_meta;
		pass();
		journal(mb->stopped && jotted("store INBOX: PAIR") == 0 &&
		    jotted("local INBOX: RECV") == 0 &&
		    jotted("remote INBOX: RECV") == 0 &&
		    jotted("store INBOX: ADOPT") == 0,
		    "%s does not tell what it has: nothing is paired, nothing "
		    "copied", side_name[deaf]);
	}
}

static int	 paired;

static void
pair_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	(void)r;
	(void)m;
	paired++;
}

/* ---- one account twice ---- */

/* Both sides show the same three messages, at the same UIDs. */
static void
same(void)
{
	struct place	*p;
	uint32_t	 u;

	unknown(3, 3);
	p = at(mb, REMOTE);
	uidset_copy(&p->uids, &at(mb, LOCAL)->uids);
	p->uidnext = 4;
	for (u = 1; u <= 3; u++)
		*message(mb, REMOTE, u) = message_get(mb, LOCAL, u);
}

static void
pass_child(void *arg)
{
	(void)arg;
	pass();
}

static void
test_same(void)
{
	static const char	 words[] = "both sides show the same account";

	same();
	ok(box_dies(pass_child, NULL, words), "one account on both sides");
	same();
	eng.want.cfg.two_accounts = 1;
	ok(box_pass() == 0 && mb->npaired == 3, "--two-accounts");
	same();
	message(mb, REMOTE, 2)->key++;
	ok(box_pass() == 0, "one message of three is another");
	same();
	message(mb, REMOTE, 2)->date++;
	ok(box_pass() == 0, "or is of another date");
	same();
	at(mb, REMOTE)->uidnext = 5;
	ok(box_pass() == 0, "another UIDNEXT");
	same();
	at(mb, REMOTE)->uidvalidity++;
	ok(box_pass() == 0, "another UIDVALIDITY");
	same();
	at(mb, REMOTE)->modseq++;
	ok(box_pass() == 0, "another HIGHESTMODSEQ");
	same();
	box_strategy(LOCAL, PROOF_LISTED);
	ok(box_dies(pass_child, NULL, words), "one side can't tell it");
	same();
	at(mb, LOCAL)->recent = 2;
	at(mb, REMOTE)->recent = 2;
	ok(box_pass() == 0, "a message is recent in two sessions");
	same();
	at(mb, LOCAL)->recent = 2;
	at(mb, REMOTE)->recent = 1;
	ok(box_dies(pass_child, NULL, words), "three of three in one of them");
}

/* ---- parts ---- */

/* A set that does not fit a message: META in parts, one PAIR behind them. */
static void
test_parts(void)
{
	static const struct answers	 to = { .done = pair_done };
	struct uidset			 set[SIDES] = { UIDSET_INIT,
					    UIDSET_INIT };
	uint32_t			 u;

	box_start();
	mb = box_new("INBOX", 3000);
	mbox_begin(mb);
	mb->dirty = 1;
	(void)disc_run(&eng);
	for (u = 1; u <= 3000; u += 2)
		uidset_add(&set[LOCAL], u, u);
	uidset_add(&set[REMOTE], 5001, 5100);
	pair_ask(&eng, mb, PAIR_RECOVER, &set[LOCAL], &set[REMOTE], &to);
	(void)loop_wait(&eng, -1);
	ok(jotted("local INBOX: META") == 2 &&
	    jotted("remote INBOX: META") == 1 &&
	    jotted("store INBOX: PAIR 1") == 1 && paired == 1,
	    "1,500 ranges: META in parts, one PAIR");
	ok(!then("store INBOX: PAIR", "store INBOX: SEEN") &&
	    jotted("store INBOX: SEEN local") == 1500 &&
	    jotted("store INBOX: SEEN remote") == 100, "behind all of them");
	uidset_free(&set[LOCAL]);
	uidset_free(&set[REMOTE]);
	pair_ask(&eng, mb, PAIR_RECOVER, &set[LOCAL], &set[REMOTE], &to);
	(void)loop_wait(&eng, -1);
	is_num(paired, 2, "nothing to tell: PAIR all the same");
}

/* ---- what the configuration allows ---- */

static void
test_allow(void)
{
	static const enum direction	 dirs[] = { DIR_BOTH, DIR_TO_LOCAL,
					    DIR_TO_REMOTE };
	size_t				 d;
	int				 side, may, good = 1;

	box_start();
	eng.want.cfg.propagate = PROP_NEW | PROP_FLAGS;
	for (d = 0; d < nitems(dirs); d++)
		for (side = 0; side < SIDES; side++) {
			eng.want.cfg.direction = dirs[d];
			may = dirs[d] == DIR_BOTH ||
			    (dirs[d] == DIR_TO_LOCAL) == (side == LOCAL);
			good &= rules_allow(&eng, side, PROP_NEW) == may &&
			    rules_allow(&eng, side, PROP_FLAGS) == may &&
			    !rules_allow(&eng, side, PROP_DELETE);
			good &= rules_open(&eng, side) ==
			    (may ? 0 : OPEN_EXAMINE);
		}
	ok(good, "direction and propagate: what may be done where");
	eng.want.cfg.direction = DIR_BOTH;
	eng.want.cfg.dryrun = 1;
	ok(rules_open(&eng, LOCAL) == OPEN_EXAMINE &&
	    rules_open(&eng, REMOTE) == OPEN_EXAMINE, "a dry run examines");
}

/* Local messages 102 and 103 have gone when they are looked for. */
static void
gone_before(struct req *r, const struct sent *s)
{
	if (r->side == LOCAL)
		vanish(mb, LOCAL, 102, 103);
	honest_search(r, s);
}

/* New messages, changed flags and deletions on both sides. */
static void
busy(void)
{
	box_start();
	mb = box_new("INBOX", 100);
	arrive(mb, LOCAL, 101, 102);
	arrive(mb, REMOTE, 5101, 5101);
	vanish(mb, LOCAL, 4, 4);
	vanish(mb, REMOTE, 5009, 5009);
	reflag(mb, LOCAL, 20, "\\Seen");
	reflag(mb, REMOTE, 5030, "\\Flagged");
}

static void
test_direction(void)
{
	struct refusal	*f;

	busy();
	eng.want.cfg.direction = DIR_TO_LOCAL;
	pass();
	journal(jotted("remote INBOX: RECV") == 0 &&
	    jotted("remote INBOX: STORE") == 0 &&
	    jotted("remote INBOX: EXPUNGE") == 0,
	    "to-local: remote stays as it is");
	ok(opens(mb, REMOTE, "") == opens(mb, REMOTE, "examine"),
	    "not even \\Recent is taken there");
	ok(line("local INBOX: RECV multi 5101") &&
	    line("local INBOX: STORE +\\Flagged 30") &&
	    line("local INBOX: EXPUNGE 9"), "local follows");
	ok(line("store INBOX: LEFT local 101:102"),
	    "what is new on local is left, and known");
	ok(line("store INBOX: DROP local 4") &&
	    line("store INBOX: LEFT remote 5004 alone"),
	    "what local lost has no row any more, and is not new on remote");

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.direction = DIR_TO_LOCAL;
	arrive(mb, LOCAL, 101, 105);
	box_answers[ASK_SEARCH] = gone_before;
	pass();
	journal(line("local INBOX: SEARCH 101:105") &&
	    line("store INBOX: LEFT local 101,104:105"),
	    "only what is there is left");

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.direction = DIR_TO_LOCAL;
	box_unrow(mb, 50);
	uidset_del(&at(mb, REMOTE)->uids, 5050, 5050);
	f = box_refusal(mb, LOCAL, 50);
	f->next = time(NULL);
	pass();
	journal(jotted("remote INBOX: RECV") == 0, "nor is a refusal offered");
}

static void
test_propagate(void)
{
	busy();
	eng.want.cfg.propagate = PROP_NEW | PROP_FLAGS;
	pass();
	journal(jotted("local INBOX: EXPUNGE") == 0 &&
	    jotted("remote INBOX: EXPUNGE") == 0 &&
	    line("store INBOX: DROP local 4") &&
	    line("store INBOX: DROP remote 5009") &&
	    line("store INBOX: LEFT remote 5004 alone") &&
	    line("store INBOX: LEFT local 9 alone"),
	    "without deletions: the rest of a row is left where it is");
	ok(line("remote INBOX: RECV multi 101:102"), "copies go on");
	busy();
	eng.want.cfg.propagate = PROP_FLAGS;
	pass();
	journal(jotted("local INBOX: RECV") == 0 &&
	    jotted("remote INBOX: RECV") == 0 &&
	    line("remote INBOX: STORE +\\Seen 5020"), "flags alone");
	busy();
	eng.want.cfg.propagate = PROP_NEW | PROP_DELETE;
	pass();
	journal(jotted("local INBOX: STORE") == 0 &&
	    jotted("remote INBOX: STORE") == 0 &&
	    line("remote INBOX: EXPUNGE 5004"), "all but flags");
}

/* "Never copied" and "copied, then deleted" are two things (case E12). */
static void
test_retry(void)
{
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.propagate = PROP_NEW | PROP_FLAGS;
	eng.want.cfg.retry = 1;
	for (u = 60; u <= 61; u++) {
		box_unrow(mb, u);
		uidset_del(&at(mb, REMOTE)->uids, GAP + u, GAP + u);
		uidset_add(&box_of(mb)->left[LOCAL], u, u);
	}
	uidset_add(&box_of(mb)->alone[LOCAL], 61, 61);
	mb->s[REMOTE].known.water.messages = 98;
	pass();
	journal(line("remote INBOX: RECV multi 60") &&
	    jotted("remote INBOX: RECV") == 1, "--retry brings what was left "
	    "out, and not what was deleted");
}

/* ---- max-size and max-age ---- */

#define DAY	86400

static void
test_weighed(void)
{
	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.max_size = 2000;
	arrive(mb, LOCAL, 101, 103);
	message(mb, LOCAL, 101)->size = 2000;
	message(mb, LOCAL, 102)->size = 2001;
	pass();
	journal(line("local INBOX: META 101:103") &&
	    line("store INBOX: LEFT local 102"), "max-size: what is larger is "
	    "left");
	ok(!uidset_has(&at(mb, REMOTE)->uids, 5103) &&
	    uidset_count(&at(mb, REMOTE)->uids) == 102, "the rest is copied");
	ok(before("store INBOX: LEFT local 102", "store: COMMIT") &&
	    before("store: COMMIT", "remote INBOX: RECV"),
	    "it is known before anything is copied");
	is_num(box_of(mb)->water[LOCAL].uidnext, 104, "and accounted for");

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.max_age = 10 * DAY;
	arrive(mb, LOCAL, 101, 103);
	message(mb, LOCAL, 101)->date = time(NULL) - 10 * DAY;
	message(mb, LOCAL, 102)->date = time(NULL) - 10 * DAY - 1;
	message(mb, LOCAL, 103)->date = DATE_NONE;
	pass();
	journal(line("store INBOX: LEFT local 102") &&
	    uidset_count(&at(mb, REMOTE)->uids) == 102,
	    "max-age: what is older is left, not what has no date");

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.max_size = 2000;
	arrive(mb, LOCAL, 101, 103);
	box_answers[ASK_META] = says_no;
	pass();
	journal(mb->stopped && jotted("remote INBOX: RECV") == 0,
	    "what can't be weighed is not copied");
	box_start();
	mb = box_new("INBOX", 100);
	arrive(mb, LOCAL, 101, 103);
	pass();
	journal(jotted("local INBOX: META") == 0, "without a limit nothing is "
	    "weighed");
}

int
main(void)
{
	test_adopt();
	test_meta();
	test_silence();
	test_same();
	test_parts();
	test_allow();
	test_direction();
	test_propagate();
	test_retry();
	test_weighed();
	return tap_done();
}
