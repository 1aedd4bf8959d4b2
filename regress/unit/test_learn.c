/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Which UIDs copies got, and which of their flags were kept, where the server does
 * not say so.
 */
#include "engine_box.h"

static struct mbox	*mb;

/* What the server does with what it takes. */
static struct {
	int		 told;		/* APPENDUID */
	const char	*drops;		/* of the flags */
	uint32_t	 loses;		/* the message with that UID */
	uint32_t	 alters;	/* the same: its header is another then */
	int		 others;	/* another client's come in between */
} does;

/* It takes what is sent, in its way. */
static void
takes(struct req *r, const struct sent *s)
{
	struct m_engine_copied	 m;
	struct message		 from, *to;
	struct place		*p = at(r->mb, r->side);
	uint64_t		 k, n = uidset_count(&r->set);
	char			 flags[FLAGS_MAX];

	(void)s;
	for (k = 0; k < n; k++) {
		from = message_get(r->mb, OTHER(r->side),
		    uidset_nth(&r->set, k));
		memset(&m, 0, sizeof(m));
		m.uid = from.uid;
		m.newuid = does.told ? p->uidnext : 0;
		m.size = from.size;
		m.key = from.key;
		m.flags = from.flags;
		m.lost = "";
		if (from.uid != does.loses) {
			to = message(r->mb, r->side, p->uidnext);
			*to = from;
			to->uid = p->uidnext;
			if (from.uid == does.alters)
				to->key = 99;
			flags_sub(flags, from.flags, does.drops);
			strlcpy(to->flags, flags, sizeof(to->flags));
			arrive(r->mb, r->side, p->uidnext, p->uidnext);
			to->modseq = p->modseq;
		}
		give(r, M_ENGINE_COPIED, &m);
		if (does.others-- > 0) {
			*message(r->mb, r->side, p->uidnext) =
			    (struct message){ p->uidnext, 77, 5, 5, 0, "" };
			arrive(r->mb, r->side, p->uidnext, p->uidnext);
		}
	}
	done(r, ST_OK, RC_NONE, "");
}

/* Local UIDs 101 to 103 are new, one with flags; a remote server of that kind. */
static void
fresh(enum proof proof)
{
	box_start();
	memset(&does, 0, sizeof(does));
	does.drops = "";
	mb = box_new("INBOX", 100);
	box_strategy(REMOTE, proof);
	box_answers[ASK_RECV] = takes;
	arrive(mb, LOCAL, 101, 103);
	reflag(mb, LOCAL, 102, "\\Seen Work");
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* ---- UIDs ---- */

static void
test_uids(void)
{
	fresh(PROOF_LISTED);
	pass();
	journal(line("local INBOX: META 101:103") &&
	    line("remote INBOX: META 5101:4294967295") &&
	    then("remote INBOX: META 5101:4294967295", "store INBOX: PAIR") &&
	    then("store INBOX: PAIR", "store INBOX: UNMARK remote"),
	    "without APPENDUID what is there since the mark is paired");
	ok(mb->s[REMOTE].w->did.ncopied == 3 && !eng.partial, "three copied");
	ok(jotted("remote INBOX: STORE") == 0, "no flag lacks");
	journal(line("store INBOX: WATER remote 7/5104/103/0 looked"),
	    "and all is accounted for");

	fresh(PROOF_TOLD);
	pass();
	journal(line("remote INBOX: META 5101:4294967295") &&
	    jotted("store INBOX: UNMARK") == 1, "with QRESYNC, too");

	fresh(PROOF_LISTED);
	does.others = 1;
	pass();
	journal(line("store INBOX: UNMARK remote") &&
	    line("store INBOX: WATER remote 7/5102/103/0 looked") &&
	    mb->s[REMOTE].w->did.ncopied == 3,
	    "what another client appended is left to the next run");
}

static void
test_lost(void)
{
	fresh(PROOF_LISTED);
	does.loses = 102;
	pass();
	journal(jotted("store INBOX: UNMARK") == 0 && eng.partial &&
	    said("has taken 1 message of the local server (UID 102), and does "
	    "not have them: the next run sends them again") &&
	    mb->s[REMOTE].w->did.ncopied == 2 && mb->soon,
	    "taken and not there: it is still new");
	journal(line("store INBOX: WATER local 7/102/103/502"),
	    "and not accounted for");

	fresh(PROOF_LISTED);
	does.alters = 102;
	pass();
	journal(line("store INBOX: UNMARK remote") && eng.partial &&
	    jotted("store INBOX: REFUSE") == 1 &&
	    said("(UID 102), and has none like them") &&
	    said("only with --retry"),
	    "what may be there altered is not sent again");

	fresh(PROOF_LISTED);
	box_answers[ASK_META] = says_no;
	pass();
	journal(mb->stopped && jotted("store INBOX: UNMARK") == 0,
	    "without a look the mark stays");
}

/* ---- flags ---- */

static void
test_flags(void)
{
	fresh(PROOF_LISTED);
	does.drops = "Work";
	pass();
	journal(line("remote INBOX: STORE +Work 5102") &&
	    then("store INBOX: PAIR", "remote INBOX: STORE +Work 5102"),
	    "without APPENDUID: what was dropped is set");
	ok(jotted("store INBOX: BASE") == 1, "and is the baseline then");

	fresh(PROOF_LISTED);
	does.told = 1;
	does.drops = "\\Seen Work";
	pass();
	journal(line("remote INBOX: META flags 5101:5103") &&
	    jotted("remote INBOX: META 51") == 0,
	    "with APPENDUID the flags alone are looked at");
	journal(line("remote INBOX: STORE +\\Seen 5102") &&
	    line("remote INBOX: STORE +Work 5102") &&
	    before("store INBOX: REBASE remote -\\Seen 5102",
	    "store INBOX: REBASE remote +\\Seen 5102") &&
	    before("store INBOX: REBASE remote -Work 5102",
	    "store INBOX: REBASE remote +Work 5102"),
	    "the baseline has what was kept, then what was set");

	fresh(PROOF_COUNTED);
	does.told = 1;
	does.drops = "Work";
	box_answers[ASK_STORE] = says_no;
	pass();
	journal(line("store INBOX: REBASE remote -Work 5102") &&
	    jotted("store INBOX: REBASE remote +") == 0,
	    "what is refused is no baseline");

	fresh(PROOF_NONE);
	does.drops = "\\Seen";
	does.told = 1;
	pass();
	journal(line("store INBOX: REBASE remote -\\Seen 5102") &&
	    jotted("remote INBOX: STORE") == 0,
	    "a server of ghosts gets no STORE");

	fresh(PROOF_LISTED);
	does.told = 1;
	pass();
	journal(jotted("store INBOX: REBASE") == 0 &&
	    jotted("remote INBOX: STORE") == 0, "all kept: nothing to do");

	fresh(PROOF_TOLD);
	does.told = 1;
	pass();
	journal(jotted("remote INBOX: META") == 0,
	    "with QRESYNC and APPENDUID nothing is asked");
}

/* ---- UID EXPUNGE ---- */

static int	 refusals;

static void
refuses(struct req *r, const struct sent *s)
{
	if (refusals-- > 0)
		done(r, ST_NO, RC_CANNOT, "not here");
	else
		honest_expunge(r, s);
}

static void
test_expunge(void)
{
	int	 n;

	for (n = 1; n <= 2; n++) {
		fresh(PROOF_LISTED);
		vanish(mb, LOCAL, 101, 103);
		vanish(mb, LOCAL, 50, 50);
		box_answers[ASK_EXPUNGE] = refuses;
		refusals = n;
		pass();
		journal(jotted("remote INBOX: EXPUNGE 5050") == 2 &&
		    said("does not expunge") == (n == 2) &&
		    jotted("store INBOX: DROP remote 5050") == (n == 1),
		    "refused %d times: asked once more", n);
	}
}

int
main(void)
{
	test_uids();
	test_lost();
	test_flags();
	test_expunge();
	return tap_done();
}
