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
	struct mark	*k;

	mbox_marks(mb);
	k = &mb->mark[REMOTE];
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

/* A UID that another message has. */
static void
false_uid(struct req *r, const struct sent *s)
{
	struct m_engine_copied	 m = { 101, GAP + 50, 1000, 1, "", "" };

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
	    "without APPENDUID, and not found, the mark stays");

	fresh();
	arrive(mb, LOCAL, 101, 101);
	box_answers[ASK_RECV] = false_uid;
	pass();
	journal(mb->stopped && jotted("store INBOX: UNMARK") == 0,
	    "nor does it go with an APPENDUID that can't be");

	fresh();
	(void)marked(0, 3600);
	pass();
	journal(line("store INBOX: UNMARK remote"),
	    "a mark of what is not there any more goes");
}

/* ---- waiting ---- */

static int	 ghosts;	/* messages that are still to come */

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

/* A mark of that age, and so many messages to come: how long is waited, in ms. */
static int64_t
waits(int64_t age, int slow_side, int n)
{
	int64_t	 began;

	fresh();
	(void)marked(0, age);
	if (slow_side != -1)
		eng.want.cfg.slow[slow_side] = 1;
	ghosts = n;
	box_answers[ASK_STATUS] = moving;
	began = box_clock;
	pass();
	return box_clock - began;
}

static void
test_wait(void)
{
	int64_t	 ms;

	ms = waits(5, -1, 0);
	ok(ms >= 2000 && ms < 5000, "a mark: 2 s (%lld ms)", (long long)ms);
	ok(jotted("remote INBOX: STATUS") > 1 &&
	    jotted("local INBOX: STATUS") == 0, "UIDNEXT is looked at");
	journal(then("remote INBOX: STATUS", "remote INBOX: OPEN discover") &&
	    !then("remote INBOX: OPEN", "remote INBOX: STATUS"),
	    "before the mailbox is");
	ms = waits(5, REMOTE, 0);
	ok(ms >= 5000, "5 s where the server is far away");
	ms = waits(5, LOCAL, 0);
	ok(ms >= 2000 && ms < 5000, "not where the other one is");
	is_num(waits(601, -1, 0), 0, "not for a mark older than 10 minutes");
	ok(waits(599, -1, 0) >= 2000, "but for a younger one");
	ms = waits(5, -1, 12);
	ok(ghosts == 0 && ms >= 12 * 250 + 2000 - 500,
	    "2 s behind the last one that comes (%lld ms)", (long long)ms);
}

/* Nothing else waits; a mailbox that never stands still is left (case D5b). */
static void
test_others(void)
{
	struct mbox	*b;
	int64_t		 began;

	fresh();
	b = box_new("b", 10);
	arrive(b, LOCAL, 11, 11);
	(void)marked(0, 5);
	arrive(mb, LOCAL, 101, 101);
	began = box_clock;
	pass();
	journal(before("remote b: RECV", "remote INBOX: STATUS") &&
	    then("remote INBOX: STATUS", "remote INBOX: RECV"),
	    "the others go first");

	fresh();
	b = box_new("b", 10);
	arrive(b, LOCAL, 11, 11);
	(void)marked(0, 5);
	ghosts = 1000000;
	box_answers[ASK_STATUS] = moving;
	began = box_clock;
	pass();
	ok(box_clock - began >= 10000 && box_clock - began <= 11000,
	    "a busy mailbox is waited for for 10 s");
	journal(opens(mb, REMOTE, "") == 0 &&
	    jotted("store INBOX: UNMARK") == 0 &&
	    jotted("store INBOX: MARK") == 0, "then it is left as it is");
	ok(line("remote b: RECV multi 11") && !mb->stopped && mb->soon,
	    "and looked at soon; the others are done");
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
	(void)marked(0, 3600);
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

/* What has ended a connection once comes last, message by message. */
static void
test_suspects(void)
{
	struct mbox	*b;

	fresh();
	b = box_new("b", 10);
	arrive(b, LOCAL, 11, 11);
	arrive(mb, LOCAL, 101, 103);
	arrive(mb, REMOTE, 5101, 5101);
	message(mb, REMOTE, 5101)->key = 77;
	reflag(mb, LOCAL, 4, "\\Seen");
	(void)marked(1, 3600);
	pass();
	journal(jotted("store INBOX: REFUSE") == 0 &&
	    before("remote b: RECV multi 11", "remote INBOX: RECV one 101:103")
	    && before("local INBOX: RECV multi 5101",
	    "remote INBOX: RECV one 101:103"),
	    "after the other mailboxes and the other direction");
	ok(before("remote INBOX: STORE", "remote INBOX: RECV") &&
	    before("store INBOX: BASE 4", "remote INBOX: RECV"),
	    "and after all else is recorded");
	ok(then("store INBOX: ADD 103 ", "store INBOX: UNMARK remote") &&
	    uidset_count(&at(mb, REMOTE)->uids) == 104, "it is copied at last");
}

/* One whose connection ended: alone, and counted before it is tried. */
static struct refusal *
suspect(int code)
{
	struct refusal	*f;

	fresh();
	box_unrow(mb, 50);
	uidset_del(&at(mb, REMOTE)->uids, 5050, 5050);
	mb->s[REMOTE].known.water.messages = 99;
	f = box_refusal(mb, LOCAL, 50);
	f->code = code;
	f->attempts = 1;
	f->next = time(NULL) - 1;
	return f;
}

static void
test_counted(void)
{
	static const int	 codes[] = { RC_CLOSED_CONNECTION,
				    RC_SOURCE_CLOSED };
	size_t			 i;

	for (i = 0; i < nitems(codes); i++) {
		(void)suspect(codes[i]);
		arrive(mb, LOCAL, 101, 101);
		pass();
		journal(before("store INBOX: REFUSE local 50 attempts 2 next "
		    "3600", "store: COMMIT") && before("store: COMMIT",
		    "remote INBOX: RECV one 50") &&
		    before("remote INBOX: RECV multi 101",
		    "remote INBOX: RECV one 50"),
		    "a suspect (%d) comes last, and is counted before",
		    codes[i]);
		ok(then("remote INBOX: RECV one 50",
		    "store INBOX: UNREFUSE local 50"), "it came through");
	}

	/* What the source could not be asked for was not sent. */
	for (i = 0; i < nitems(codes); i++) {
		struct mark	*k;

		suspect(codes[i])->next = time(NULL) + 3600;
		k = marked(0, 3600);
		uidset_add(&k->uids, 50, 50);
		arrive(mb, REMOTE, 5101, 5101);
		pass();
		journal(line("store INBOX: SEEN local 50") == (i == 0),
		    "recovery asks META of a suspect (%d): %s", codes[i],
		    i == 0 ? "yes" : "no");
	}
}

/*
 * A connection ended when the server was only asked which message it is: a dead
 * run may have copied it, so nothing is done with it before that is known.
 */
static void
doubtful(uint64_t key, int64_t next)
{
	struct mark	*k;

	suspect(RC_META_CLOSED)->next = time(NULL) + next;
	k = marked(0, 3600);
	uidset_add(&k->uids, 50, 50);
	arrive(mb, LOCAL, 101, 101);
	arrive(mb, REMOTE, 5101, 5102);
	message(mb, REMOTE, 5101)->key = key != 0 ? key :
	    message_get(mb, LOCAL, 50).key;
	message(mb, REMOTE, 5102)->key = message_get(mb, LOCAL, 101).key;
}

static void
test_doubt(void)
{
	struct mbox	*b;

	doubtful(0, -1);
	b = box_new("z", 10);
	arrive(b, LOCAL, 11, 11);
	pass();
	journal(before("remote z: RECV multi 11", "store INBOX: SEEN local 50"),
	    "asked about when all else is done");
	ok(before("store INBOX: SEEN local 101", "store INBOX: SEEN local 50") &&
	    line("local INBOX: META 50"), "behind the others, alone");
	ok(line("store INBOX: UNREFUSE local 50") &&
	    !line("remote INBOX: RECV one 50") &&
	    !line("local INBOX: RECV multi 5101"),
	    "it had been copied: it is not copied again");

	doubtful(77, -1);
	pass();
	journal(line("store INBOX: SEEN local 50") &&
	    line("remote INBOX: RECV one 50"), "it had not: it is copied");
	ok(line("local INBOX: RECV multi 5101"), "and so is the other one");

	doubtful(0, 3600);
	pass();
	journal(!line("store INBOX: SEEN local 50") &&
	    !line("remote INBOX: RECV one 50"),
	    "before its time it is neither asked about nor copied");
	ok(line("store INBOX: SEEN local 101") &&
	    !line("remote INBOX: RECV multi 101"), "the others are");
}

/* ---- a lost connection ---- */

static int	 through;	/* messages that come through before */
static int	 alone;		/* nothing else was under way */
static int	 lost_side;

/* UID 101 or, if that came through, 102 was due. */
static void
loses(struct req *r, const struct sent *s)
{
	struct m_engine_due	 m = { 101 + through, alone };

	(void)s;
	if (r->side != lost_side) {
		/* What it waits for does not come any more. */
		return;
	}
	if (through > 0)
		copy_one(r, 101);
	give(r, M_ENGINE_DUE, &m);
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

/* The question about UID 50 ends it. */
static void
loses_asked(struct req *r, const struct sent *s)
{
	if (r->side == LOCAL && uidset_has(&r->set, 50))
		loses(r, s);
	else if (!eng.end.lost[LOCAL])
		honest_meta(r, s);
}

static void
lost_under(enum ask_type type, uint32_t tries, int came, int was_alone)
{
	fresh();
	arrive(mb, LOCAL, 101, 102);
	if (tries > 0)
		(void)marked(tries, 3600);
	through = came;
	alone = was_alone;
	lost_side = type == ASK_RECV ? REMOTE : LOCAL;
	box_answers[type] = loses;
	(void)box_pass();
	box_salvage();
}

/* Several are under way when it ends. */
static void
loses_all(struct req *r, const struct sent *s)
{
	(void)s;
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
test_target(void)
{
	struct mbox	*b;

	fresh();
	b = box_new("z", 10);
	arrive(b, LOCAL, 11, 11);
	arrive(mb, LOCAL, 101, 101);
	box_answers[ASK_RECV] = loses_all;
	(void)box_pass();
	box_salvage();
	journal(line("store INBOX: MARKFAIL remote") &&
	    jotted("store z: MARKFAIL") == 0,
	    "it counts against the one that was first");

	lost_under(ASK_RECV, 0, 0, 0);
	journal(line("store INBOX: MARKFAIL remote") &&
	    jotted("store INBOX: REFUSE") == 0,
	    "lost under a batch, and nothing came through: it counts");
	ok(jotted("store INBOX: UNMARK") == 0, "the mark stays");
	lost_under(ASK_RECV, 0, 1, 0);
	journal(jotted("store INBOX: MARKFAIL") == 0,
	    "not if a message came through");
	ok(line("store INBOX: ADD 101 5101 ()") &&
	    then("store INBOX: WATER local 7/102/", "store: COMMIT"),
	    "which is kept, and U goes as far");

	lost_under(ASK_RECV, 0, 0, 1);
	journal(line("store INBOX: REFUSE local 101 attempts 1 next 0") &&
	    jotted("store INBOX: REFUSE") == 1 &&
	    jotted("store INBOX: MARKFAIL") == 0,
	    "under a message alone: that one is a suspect");
	ok(said("UID 101 of the local server"), "and named");
	lost_under(ASK_RECV, 1, 0, 1);
	journal(line("store INBOX: REFUSE local 101 attempts 2 next 3600"),
	    "the second time it is refused for a while");
	ok(said("--retry"), "with what to do");

	fresh();
	box_salvage();
	journal(jotted("store INBOX:") == 0,
	    "nothing was on its way: nothing counts");
}

static void
test_source(void)
{
	struct refusal	*f;

	lost_under(ASK_SEND, 0, 0, 0);
	journal(line("store INBOX: REFUSE local 101 attempts 1 next 0") &&
	    jotted("store INBOX: REFUSE") == 1 &&
	    jotted("store INBOX: MARKFAIL") == 0,
	    "the source is lost under a message: a suspect");
	f = refusal_find(&mb->s[LOCAL], 101);
	ok(f != NULL && f->code == RC_SOURCE_CLOSED, "of the source's");

	/* In a first run, under META. */
	box_start();
	mb = box_unknown("INBOX", 102, 102);
	through = alone = 0;
	lost_side = LOCAL;
	box_answers[ASK_META] = loses;
	(void)box_pass();
	box_salvage();
	journal(line("store INBOX: REFUSE local 101 attempts 1 next 0") &&
	    before("store INBOX: WATER local 7/1/", "store INBOX: REFUSE"),
	    "under META as well, with the watermark that UIDs need");

	ok(refusal_find(&mb->s[LOCAL], 101)->code == RC_META_CLOSED,
	    "whether it is on the other side is not known");
	doubtful(0, -1);
	lost_side = LOCAL;
	through = 50 - 101;
	box_answers[ASK_META] = loses_asked;
	(void)box_pass();
	box_salvage();
	journal(line("store INBOX: REFUSE local 50 attempts 2 next 3600"),
	    "a question is not counted ahead: the second time it counts");

	/* A suspect that was counted ahead is not counted again. */
	(void)suspect(RC_SOURCE_CLOSED);
	lost_side = LOCAL;
	through = 50 - 101;
	box_answers[ASK_SEND] = loses;
	(void)box_pass();
	box_salvage();
	journal(jotted("store INBOX: REFUSE local 50 ") == 1,
	    "an offer is counted once");
}

/* It ends when it is asked about a mailbox, not about a message. */
static void
loses_mbox(struct req *r, const struct sent *s)
{
	struct m_engine_due	 m = { 0, 0 };

	if (r->side != REMOTE || r->mb != mb) {
		honest_open(r, s);
		return;
	}
	give(r, M_ENGINE_DUE, &m);
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static struct mbox *
struck(uint32_t count, uint32_t uid, int64_t next)
{
	struct mbox	*b;

	fresh();
	b = box_new("z", 10);
	arrive(b, LOCAL, 11, 11);
	arrive(mb, LOCAL, 101, 101);
	mb->strikes.count = count;
	mb->strikes.side = REMOTE;
	mb->strikes.uid = uid;
	mb->strikes.next = time(NULL) + next;
	return b;
}

static void
test_mbox(void)
{
	(void)struck(0, 0, 0);
	box_answers[ASK_OPEN] = loses_mbox;
	(void)box_pass();
	box_salvage();
	journal(line("store INBOX: LOST 1 remote 0 next 0") &&
	    jotted("store INBOX: REFUSE") == 0, "a mailbox is a suspect, too");
	ok(said("INBOX") && said("the next run does everything else first"),
	    "it is named");

	(void)struck(1, 0, 0);
	box_answers[ASK_OPEN] = loses_mbox;
	(void)box_pass();
	box_salvage();
	journal(before("store z: ADD 11 ", "store INBOX: LOST 2 remote 0 next "
	    "600"), "it comes last, and counts again");
	ok(said("left alone from now on") && said("--retry"), "that is said");

	(void)struck(2, 0, 3600);
	pass();
	journal(jotted("remote INBOX:") == 0 && jotted("local INBOX:") == 0 &&
	    line("remote z: RECV multi 11") && mb->stopped && eng.partial,
	    "from then on it is left alone, and nothing else is");
	(void)struck(2, 0, -1);
	pass();
	journal(line("remote INBOX: RECV multi 101") &&
	    line("store INBOX: LOST 0 local 0 next 0"),
	    "when its time has come it is tried, and forgiven");

	(void)struck(2, 60, 3600);
	vanish(mb, LOCAL, 60, 60);
	pass();
	journal(line("remote INBOX: RECV multi 101") &&
	    jotted("remote INBOX: EXPUNGE") == 0 &&
	    jotted("store INBOX: LOST") == 0 && eng.partial,
	    "a look at a message has ended it: deletions wait, copies don't");
	ok(said("UID 60") && said("1 deletions wait"), "it is named");
}

int
main(void)
{
	test_commit();
	test_wait();
	test_others();
	test_candidates();
	test_offered();
	test_suspects();
	test_counted();
	test_doubt();
	test_mbox();
	test_target();
	test_source();
	return tap_done();
}
