/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Marks: on disk before the first APPEND, waited for by the next run, recovered
 * from T on; which message a lost connection counts against.
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

/* A dead run has left a mark: local UIDs 101 and 102 were on their way. */
static struct mark *
marked(uint32_t tries, int64_t age)
{
	struct mark	*k = &mb->mark[REMOTE];

	k->set = 1;
	k->tries = tries;
	k->uidnext = GAP + 101;
	k->time = time(NULL) - age;
	uidset_add(&k->uids, 101, 102);
	return k;
}

/* ---- marks of this run ---- */

static void
fails(struct req *r, const struct sent *s)
{
	(void)r;
	(void)s;
	end_begin(&eng, END_FAILED, EX_SYNC_ERROR);
}

static void
no_uid(struct req *r, const struct sent *s)
{
	struct m_engine_copied	 m = { 101, 0, 1000, 1, "", "" };

	(void)s;
	give(r, M_ENGINE_COPIED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_commit(void)
{
	fresh();
	arrive(mb, LOCAL, 101, 103);
	pass();
	journal(before("store INBOX: MARK remote 7/5101 101:103\n",
	    "store: COMMIT") && before("store: COMMIT", "local INBOX: SEND") &&
	    before("store: COMMIT", "remote INBOX: RECV"),
	    "the mark is on disk before anything is sent");
	ok(before("store INBOX: ADD 103 5103", "store INBOX: UNMARK remote") &&
	    then("store INBOX: UNMARK remote", "store: COMMIT"),
	    "it goes with the rows");

	fresh();
	arrive(mb, LOCAL, 101, 103);
	reflag(mb, LOCAL, 4, "\\Seen");
	box_answers[ASK_COMMIT] = fails;
	ok(box_pass() == -1, "a commit that fails ends the run");
	journal(jotted("local INBOX: SEND") == 0 &&
	    jotted("remote INBOX: RECV") == 0 &&
	    jotted("remote INBOX: STORE") == 0, "nothing is sent then");

	fresh();
	arrive(mb, LOCAL, 101, 101);
	box_answers[ASK_RECV] = no_uid;
	pass();
	journal(jotted("store INBOX: UNMARK") == 0,
	    "without APPENDUID the mark stays");

	fresh();
	(void)marked(0, 3600);
	pass();
	journal(line("store INBOX: UNMARK remote"),
	    "a mark of what is not there any more goes");
}

/* ---- waiting ---- */

/* How long the engine waits before it looks at what is new, in ms. */
static int64_t
waits(void)
{
	int64_t	 began = box_clock;

	box_list();
	(void)compare_run(&eng);
	(void)recover_wait(&eng);
	return box_clock - began;
}

static int	 ghosts;	/* that are still to come */

static void
moving(struct req *r, const struct sent *s)
{
	if (ghosts > 0) {
		ghosts--;
		arrive(mb, REMOTE, at(mb, REMOTE)->uidnext,
		    at(mb, REMOTE)->uidnext);
	}
	honest_status(r, s);
}

static void
test_wait(void)
{
	int64_t	 ms;

	fresh();
	(void)marked(0, 5);
	ms = waits();
	ok(ms >= 2000 && ms < 5000, "a mark: 2 s (%lld ms)", (long long)ms);
	ok(jotted("remote INBOX: STATUS") > 1, "UIDNEXT is looked at");
	fresh();
	(void)marked(0, 5);
	eng.want.cfg.slow[REMOTE] = 1;
	ms = waits();
	ok(ms >= 5000, "5 s where the server is far away");
	fresh();
	(void)marked(0, 5);
	eng.want.cfg.slow[LOCAL] = 1;
	ms = waits();
	ok(ms >= 2000 && ms < 5000, "not where the other one is");
	fresh();
	(void)marked(0, 601);
	is_num(waits(), 0, "a mark older than 10 minutes is not waited for");
	fresh();
	(void)marked(0, 599);
	ok(waits() >= 2000, "a younger one is");
	fresh();
	is_num(waits(), 0, "without a mark there is no wait");

	fresh();
	(void)marked(0, 5);
	box_answers[ASK_STATUS] = moving;
	ghosts = 20;
	ms = waits();
	ok(ghosts == 0 && ms >= 20 * 250 + 2000 - 500,
	    "2 s behind the last one that comes (%lld ms)", (long long)ms);
	fresh();
	(void)marked(0, 5);
	box_answers[ASK_STATUS] = moving;
	ghosts = 1000000;
	ms = waits();
	ok(ms <= 61000, "a busy mailbox is not waited for for ever");
}

/* ---- pairing ---- */

/*
 * Of what was on its way 101 has come, behind T; 5099 is another's message that
 * was there before, and looks like it.
 */
static void
half_done(void)
{
	fresh();
	box_unrow(mb, 99);
	uidset_del(&at(mb, LOCAL)->uids, 99, 99);
	mb->s[REMOTE].known.water.uidnext = 5099;
	arrive(mb, LOCAL, 101, 103);
	arrive(mb, REMOTE, 5101, 5101);
	message(mb, REMOTE, 5099)->key = message_get(mb, LOCAL, 101).key;
	(void)marked(0, 5);
}

static void
test_candidates(void)
{
	half_done();
	strlcpy(message(mb, LOCAL, 101)->flags, "\\Seen", 8);
	pass();
	journal(line("store INBOX: SEEN remote 5101") &&
	    !line("store INBOX: SEEN remote 5099"),
	    "what came from T on may be a copy, what was there before not");
	ok(line("store INBOX: SEEN local 101") &&
	    line("store INBOX: SEEN local 102") &&
	    !line("store INBOX: SEEN local 103"),
	    "of what was on its way, not of other new messages");
	ok(jotted("remote INBOX: RECV") == 1 &&
	    strstr(box_journal, " 102:103\n") != NULL &&
	    !line("local INBOX: RECV multi 5101"),
	    "what is paired is not copied, the rest is");
	ok(line("local INBOX: RECV multi 5099"), "so is the other's message");
	ok(line("remote INBOX: STORE +\\Seen 5101"),
	    "flags of the pair are brought together");
	ok(before("store INBOX: WATER remote 7/5099/101/0\n", "store: COMMIT"),
	    "until then there is no HIGHESTMODSEQ");
}

/* A refused message that was offered again under the mark. */
static void
test_offered(void)
{
	struct mark	*k;
	int		 i;

	for (i = 0; i < 2; i++) {
		fresh();
		box_unrow(mb, 50);
		uidset_del(&at(mb, REMOTE)->uids, 5050, 5050);
		(void)box_refusal(mb, LOCAL, 50);
		arrive(mb, REMOTE, 5101, 5101);
		if (i == 0)
			message(mb, REMOTE, 5101)->key =
			    message_get(mb, LOCAL, 50).key;
		k = marked(0, 5);
		uidset_free(&k->uids);
		uidset_add(&k->uids, 50, 50);
		pass();
		journal(line("store INBOX: UNREFUSE local 50") == (i == 0) &&
		    jotted("remote INBOX: RECV") == 0, "an offer that %s",
		    i == 0 ? "came through is no refusal any more" :
		    "did not come through stays one");
	}
}

static void
test_suspects(void)
{
	fresh();
	arrive(mb, LOCAL, 101, 103);
	(void)marked(1, 5);
	pass();
	journal(jotted("store INBOX: REFUSE") == 0 &&
	    line("remote INBOX: RECV one 101:103"),
	    "a connection that was lost once: one at a time");
	fresh();
	arrive(mb, LOCAL, 101, 103);
	(void)marked(2, 5);
	pass();
	journal(jotted("store INBOX: REFUSE local 101 ") == 1 &&
	    jotted("store INBOX: REFUSE") == 1, "twice: the first is refused");
	ok(jotted("remote INBOX: RECV") == 1 &&
	    strstr(box_journal, " 102:103\n") != NULL, "the rest goes on");
	ok(said("UID 101 of the local server") && said("--retry"),
	    "it is named, and what to do");
}

/* An offer under which the connection may end is counted ahead. */
static void
test_counted(void)
{
	struct refusal	*f;

	fresh();
	box_unrow(mb, 50);
	uidset_del(&at(mb, REMOTE)->uids, 5050, 5050);
	f = box_refusal(mb, LOCAL, 50);
	f->code = RC_CLOSED_CONNECTION;
	f->next = time(NULL) - 1;
	mb->s[LOCAL].known.water.messages = 99;
	box_answers[ASK_RECV] = fails;
	(void)box_pass();
	journal(before("store INBOX: REFUSE local 50 attempts 3",
	    "store: COMMIT") && before("store: COMMIT",
	    "remote INBOX: RECV one 50"), "it is on disk before it is sent");
}

/* ---- a lost connection ---- */

static int	 through;	/* messages that come through before */

static void
loses(struct req *r, const struct sent *s)
{
	(void)s;
	if (through > 0)
		copy_one(r, 101);
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
lost(int n)
{
	fresh();
	arrive(mb, LOCAL, 101, 102);
	through = n;
	box_answers[ASK_RECV] = loses;
	(void)box_pass();
	recover_lost(&eng, REMOTE);
	(void)loop_commit(&eng);
}

static void
test_lost(void)
{
	struct mbox	*b;

	lost(0);
	journal(line("store INBOX: MARKFAIL remote"),
	    "lost under an APPEND, and nothing came through: it counts");
	ok(jotted("store INBOX: UNMARK") == 0, "the mark stays");
	lost(1);
	journal(jotted("store INBOX: MARKFAIL") == 0,
	    "not if a message came through");
	ok(line("store INBOX: ADD 101 5101 ()") &&
	    then("store INBOX: WATER local 7/102/", "store: COMMIT"),
	    "which is kept, and U goes as far");

	fresh();
	recover_lost(&eng, REMOTE);
	(void)loop_commit(&eng);
	journal(jotted("store INBOX: MARKFAIL") == 0,
	    "nothing was on its way: nothing counts");

	fresh();
	b = box_new("b", 10);
	mb->mark[REMOTE].active = 20;
	b->mark[REMOTE].active = 10;
	recover_lost(&eng, REMOTE);
	(void)loop_commit(&eng);
	journal(line("store b: MARKFAIL remote") &&
	    jotted("store INBOX: MARKFAIL") == 0,
	    "of two mailboxes it is the one that came first");
	fresh();
	b = box_new("b", 10);
	mb->mark[REMOTE].active = 20;
	b->mark[REMOTE].active = 10;
	b->mark[REMOTE].gained = 1;
	recover_lost(&eng, REMOTE);
	(void)loop_commit(&eng);
	journal(strstr(box_journal, "MARKFAIL") == NULL,
	    "if that one has gained a row, none");
}

int
main(void)
{
	test_commit();
	test_wait();
	test_candidates();
	test_offered();
	test_suspects();
	test_counted();
	test_lost();
	return tap_done();
}
