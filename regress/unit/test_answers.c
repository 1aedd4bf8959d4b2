/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What the two servers answer to copies: what was not given, not taken, or given
 * a UID that can't be.
 */
#include "engine_box.h"

static struct mbox	*mb;

static void
fresh(void)
{
	box_start();
	mb = box_new("INBOX", 100);
	arrive(mb, LOCAL, 101, 103);
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* ---- UIDs that can't be (case F7) ---- */

static struct {
	uint32_t	 uid;
	uint32_t	 newuid;
} says[4];

static void
says_copied(struct req *r, const struct sent *s)
{
	struct m_engine_copied	 m;
	size_t			 i;

	if (r->mb != mb) {
		honest_recv(r, s);
		return;
	}
	for (i = 0; i < nitems(says) && says[i].uid != 0; i++) {
		memset(&m, 0, sizeof(m));
		m.uid = says[i].uid;
		m.newuid = says[i].newuid;
		m.size = 1;
		m.flags = m.lost = "";
		give(r, M_ENGINE_COPIED, &m);
	}
	done(r, ST_OK, RC_NONE, "");
}

/* The last answer of these is a lie; 0 ends them. */
static void
lie(uint32_t uid, uint32_t newuid, uint32_t uid2, uint32_t newuid2,
    const char *what)
{
	struct mbox	*b;
	char		 text[64];

	fresh();
	b = box_new("b", 10);
	arrive(b, LOCAL, 11, 11);
	memset(says, 0, sizeof(says));
	says[0].uid = uid;
	says[0].newuid = newuid;
	says[1].uid = uid2;
	says[1].newuid = newuid2;
	box_answers[ASK_RECV] = says_copied;
	pass();
	snprintf(text, sizeof(text), "store INBOX: ADD %u %u ",
	    uid2 != 0 ? uid2 : uid, uid2 != 0 ? newuid2 : newuid);
	journal(mb->stopped && jotted(text) == (uid2 == uid &&
	    newuid2 == newuid) && jotted("store INBOX: UNMARK") == 0,
	    "%s: the mailbox stops, its mark stays", what);
	ok(line("store b: ADD 11 5011 ()") && line("store b: UNMARK remote") &&
	    !b->stopped, "the others are committed");
}

static void
test_uids(void)
{
	lie(101, 5050, 0, 0, "the UID of another message");
	lie(101, 5100, 0, 0, "a UID below UIDNEXT");
	lie(101, UINT32_MAX, 0, 0, "the highest UID");
	lie(101, 5101, 102, 5101, "one UID for two messages");
	lie(101, 5101, 101, 5102, "two UIDs for one message");

	fresh();
	memset(says, 0, sizeof(says));
	says[0].uid = 101;
	says[0].newuid = 5105;
	says[1].uid = 103;
	says[1].newuid = 5102;
	box_answers[ASK_RECV] = says_copied;
	pass();
	journal(line("store INBOX: ADD 101 5105 ()") &&
	    line("store INBOX: ADD 103 5102 ()") && !mb->stopped,
	    "any order and any gap will do");
}

/* ---- what the source does not give (cases A1, A3) ---- */

static uint32_t	 withheld_to;	/* UIDs from 102 on */

static void
withholds(struct req *r, const struct sent *s)
{
	struct m_engine_withheld	 m = { ST_NO, "a hole", UIDSET_INIT };

	(void)s;
	uidset_add(&m.set, 102, withheld_to);
	give(r, M_ENGINE_WITHHELD, &m);
	uidset_free(&m.set);
	done(r, ST_NO, RC_EXPUNGEISSUED, "a hole");
}

/* UID 102 has gone before it is looked for. */
static void
goes(struct req *r, const struct sent *s)
{
	vanish(mb, LOCAL, 102, 102);
	honest_search(r, s);
}

/* What was sent. */
static void
takes_first(struct req *r, const struct sent *s)
{
	(void)s;
	copy_one(r, 101);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_withheld(void)
{
	const char	*p;
	int		 n = 0;

	fresh();
	withheld_to = 103;
	box_answers[ASK_SEND] = withholds;
	box_answers[ASK_RECV] = takes_first;
	pass();
	journal(line("store INBOX: REFUSE local 102 attempts 1 next 0") &&
	    line("store INBOX: REFUSE local 103 attempts 1 next 0"),
	    "what was not given is asked for again by the next run");
	ok(refusal_find(&mb->s[LOCAL], 102) != NULL &&
	    refusal_find(&mb->s[LOCAL], 102)->code == RC_WITHHELD &&
	    said("UID 102") && said("a hole"),
	    "named, with the server's words");
	ok(line("store INBOX: ADD 101 5101 ()") && !mb->stopped,
	    "what was given is copied");

	/* A list that is taken behind it lacks one. */
	fresh();
	withheld_to = 103;
	box_answers[ASK_SEND] = withholds;
	box_answers[ASK_RECV] = takes_first;
	box_answers[ASK_SEARCH] = goes;
	pass();
	journal(jotted("store INBOX: REFUSE") == 1 &&
	    line("store INBOX: REFUSE local 103 attempts 1 next 0"),
	    "one that is gone is not");
	is_num(box_of(mb)->water[LOCAL].uidnext, 104, "nor is it new");

	fresh();
	withheld_to = 103;
	box_answers[ASK_SEND] = withholds;
	box_answers[ASK_RECV] = takes_first;
	box_answers[ASK_SEARCH] = says_no;
	pass();
	journal(jotted("store INBOX: REFUSE") == 2,
	    "without a list none is gone");

	fresh();
	arrive(mb, LOCAL, 104, 130);
	withheld_to = 130;
	box_answers[ASK_SEND] = withholds;
	box_answers[ASK_RECV] = takes_first;
	pass();
	for (p = box_said; (p = strstr(p, "does not give it")) != NULL; p++)
		n++;
	ok(said("does not give UIDs 112:130 either"), "and the rest together");
	ok(n == 10 && jotted("store INBOX: REFUSE local") == 29,
	    "of many ten are named");
}

/* ---- what the target does not take ---- */

static struct {
	int	 failed;	/* as a MULTIAPPEND */
	int	 status;
	int	 code;
	int	 had_date;
	int	 had_keywords;
	int	 times;		/* so often; then all is taken */
} no;

static void
refuses(struct req *r, const struct sent *s)
{
	struct m_engine_refused	 m = { 0, no.status, no.code, no.had_date,
				    no.had_keywords, 900, "words" };
	struct m_engine_failed	 f = { no.status, no.code, "words",
				    UIDSET_INIT };
	uint64_t		 k, n = uidset_count(&r->set);

	if (no.times-- <= 0) {
		honest_recv(r, s);
		return;
	}
	if (no.failed) {
		f.set = r->set;
		give(r, M_ENGINE_FAILED, &f);
	} else
		for (k = 0; k < n; k++) {
			m.uid = uidset_nth(&r->set, k);
			give(r, M_ENGINE_REFUSED, &m);
		}
	done(r, ST_OK, RC_NONE, "");
}

static void
answer_no(int failed, int status, int code, int date, int keywords, int times)
{
	fresh();
	reflag(mb, LOCAL, 4, "\\Seen");
	no.failed = failed;
	no.status = status;
	no.code = code;
	no.had_date = date;
	no.had_keywords = keywords;
	no.times = times;
	box_answers[ASK_RECV] = refuses;
	pass();
}

static void
test_another_way(void)
{
	answer_no(1, ST_NO, RC_NONE, 0, 0, 1);
	journal(then("remote INBOX: RECV multi 101:103",
	    "remote INBOX: RECV single 101:103") &&
	    jotted("store INBOX: REFUSE") == 0 && !mb->stopped,
	    "refused together: one by one");
	answer_no(0, ST_BAD, RC_NONE, 1, 0, 1);
	journal(line("remote INBOX: RECV multi nodate 101:103") &&
	    jotted("store INBOX: REFUSE") == 0, "BAD: without the date");
	answer_no(0, ST_NO, RC_NONE, 1, 1, 1);
	journal(line("remote INBOX: RECV multi nokeywords 101:103") &&
	    jotted("store INBOX: REFUSE") == 0, "NO: without keywords");
	answer_no(0, ST_BAD, RC_NONE, 1, 1, 9);
	journal(line("remote INBOX: RECV multi nodate nokeywords 101:103") &&
	    jotted("remote INBOX: RECV") == 3 &&
	    jotted("store INBOX: REFUSE local") == 3,
	    "without both, and then it is refused");
	answer_no(0, ST_NO, RC_TOOBIG, 1, 1, 9);
	journal(jotted("remote INBOX: RECV") == 1 &&
	    jotted("store INBOX: REFUSE local") == 3,
	    "too big: no other way");
	is_num(box_of(mb)->water[LOCAL].uidnext, 104,
	    "what was refused is accounted for");
}

/* Not the message's fault. */
static void
test_closed(void)
{
	answer_no(1, ST_NO, RC_NOPERM, 0, 0, 9);
	journal(jotted("store INBOX: REFUSE") == 0 && !mb->stopped &&
	    eng.partial && said("takes no message"),
	    "no permission: no message is refused");
	ok(line("store INBOX: UNMARK remote"), "a tagged NO leaves no mark");
	ok(line("store INBOX: BASE 4 (\\Seen)"), "flags go on");
	is_num(box_of(mb)->water[LOCAL].uidnext, 101, "the mail stays new");

	/* One message in six, and then none (case B5). */
	answer_no(0, ST_NO, RC_SERVERBUG, 0, 0, 1);
	journal(jotted("store INBOX: REFUSE local") == 3 && !mb->stopped &&
	    !said("takes no message"), "a fault of three messages: refused");
	fresh();
	arrive(mb, LOCAL, 104, 120);
	memset(&no, 0, sizeof(no));
	no.status = ST_NO;
	no.code = RC_SERVERBUG;
	no.times = 1;
	box_answers[ASK_RECV] = refuses;
	pass();
	journal(jotted("store INBOX: REFUSE local") == 5 &&
	    said("takes no message") && !mb->stopped,
	    "of many in a row: the mailbox's");
	is_num(box_of(mb)->water[LOCAL].uidnext, 106, "the rest stays new");
}

static void
test_quota(void)
{
	answer_no(0, ST_NO, RC_OVERQUOTA, 0, 0, 1);
	journal(jotted("store INBOX: REFUSE local 101 ") == 1 &&
	    jotted("store INBOX: REFUSE") == 1 && eng.partial &&
	    said("no room left"), "over quota: one refusal stands for all");
	is_num(box_of(mb)->water[LOCAL].uidnext, 102, "the rest stays new");
	answer_no(1, ST_NO, RC_OVERQUOTA, 0, 0, 1);
	journal(line("remote INBOX: RECV single 101:103") &&
	    jotted("store INBOX: REFUSE") == 0,
	    "a batch over quota is tried one by one");
}

int
main(void)
{
	test_uids();
	test_withheld();
	test_another_way();
	test_closed();
	test_quota();
	return tap_done();
}
