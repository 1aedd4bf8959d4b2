/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The baseline behind a pass: what both sides have, as the servers answered; no
 * change of ours may look like the user's in the next run.
 */
#include "engine_box.h"

static struct mbox	*mb;

static void
fresh(const char *base)
{
	box_start();
	mb = box_new("INBOX", 100);
	box_of(mb)->base = base;
}

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* The baseline of row 4 is that from now on; NULL: as it was. */
static void
becomes(const char *base, const char *what)
{
	char	 text[256];

	if (base == NULL) {
		journal(jotted("store INBOX: BASE") == 0, "%s", what);
		return;
	}
	snprintf(text, sizeof(text), "store INBOX: BASE 4 (%s)", base);
	journal(line(text) && jotted("store INBOX: BASE") == 1, "%s", what);
}

/* Does not keep \Flagged. */
static void
no_flagged(struct req *r, const struct sent *s)
{
	const struct store	*st = r->arg;

	if (strcmp(st->flag, "\\Flagged") == 0)
		says_no(r, s);
	else
		honest_store(r, s);
}

static void
test_confirmed(void)
{
	fresh("");
	reflag(mb, REMOTE, 5004, "\\Seen");
	pass();
	becomes("\\Seen", "a flag that both have now");
	fresh("\\Seen");
	reflag(mb, REMOTE, 5004, "");
	pass();
	becomes("", "a flag that neither has any more");
	fresh("");
	reflag(mb, LOCAL, 4, "\\Seen");
	reflag(mb, REMOTE, 5004, "\\Flagged");
	pass();
	becomes("\\Flagged \\Seen", "both sides' changes");
	fresh("");
	reflag(mb, LOCAL, 4, "\\Seen");
	reflag(mb, REMOTE, 5004, "\\Seen");
	pass();
	becomes("\\Seen", "the same change on both");
}

static void
test_refused(void)
{
	fresh("");
	reflag(mb, REMOTE, 5004, "\\Seen");
	box_answers[ASK_STORE] = says_no;
	pass();
	becomes(NULL, "a flag that was refused is not in it");
	ok(said("does not set the flag \\Seen"), "it is named");
	fresh("");
	reflag(mb, REMOTE, 5004, "\\Flagged \\Seen");
	box_answers[ASK_STORE] = no_flagged;
	pass();
	becomes("\\Seen", "one of two");
	fresh("\\Seen");
	reflag(mb, REMOTE, 5004, "");
	box_answers[ASK_STORE] = says_no;
	pass();
	becomes("", "a flag that could not be cleared is on one side only");
	fresh("");
	at(mb, LOCAL)->permflags = "\\Seen";
	reflag(mb, REMOTE, 5004, "\\Flagged \\Seen");
	pass();
	becomes("\\Seen", "one that the mailbox does not keep");
	ok(said("keywords at once: \\Flagged"), "it is named");
}

/* For now: nothing is settled, and what was told must be told again. */
static void
test_again(void)
{
	fresh("");
	reflag(mb, REMOTE, 5004, "\\Seen");
	box_answers[ASK_STORE] = says_inuse;
	pass();
	becomes(NULL, "a flag that is refused for now");
	ok(told_again(mb, REMOTE) && eng.partial, "the next run is told again");
	ok(!told_again(mb, LOCAL) || at(mb, LOCAL)->modseq == MODSEQ,
	    "by the side that told it");
	fresh("\\Seen");
	reflag(mb, REMOTE, 5004, "");
	box_answers[ASK_STORE] = says_inuse;
	pass();
	becomes(NULL, "a flag that can't be cleared for now: it would come "
	    "back as the other side's");
	ok(told_again(mb, REMOTE) && eng.partial, "the next run is told again");
}

/* Flags go one way: what the other side changes stays as it is there. */
static void
test_one_way(void)
{
	fresh("");
	eng.want.cfg.direction = DIR_TO_LOCAL;
	reflag(mb, REMOTE, 5004, "\\Seen");
	pass();
	becomes("\\Seen", "one way: the source's flag");
	ok(flags_has(message(mb, LOCAL, 4)->flags, "\\Seen"), "is set");
	fresh("\\Seen");
	eng.want.cfg.direction = DIR_TO_LOCAL;
	reflag(mb, LOCAL, 4, "");
	pass();
	becomes(NULL, "what the target's user takes away");
	ok(jotted("remote INBOX: STORE") == 0 &&
	    jotted("local INBOX: STORE") == 0, "stays away there");
	fresh("");
	eng.want.cfg.direction = DIR_TO_REMOTE;
	reflag(mb, LOCAL, 4, "\\Seen");
	reflag(mb, REMOTE, 5004, "\\Flagged");
	pass();
	becomes("\\Seen", "what the target's user adds is not in it");
	ok(jotted("local INBOX: STORE") == 0, "nor goes to the source");
}

/* What the target never had it has not taken away (case C3). */
static void
test_never_had(void)
{
	fresh("");
	eng.want.cfg.direction = DIR_TO_LOCAL;
	box_answers[ASK_STORE] = says_no;
	reflag(mb, REMOTE, 5004, "\\Seen");
	pass();
	becomes(NULL, "one way: a flag that the target refused");
	fresh("");
	eng.want.cfg.direction = DIR_TO_LOCAL;
	at(mb, LOCAL)->perm_any = 0;
	reflag(mb, REMOTE, 5004, "\\Seen $kw");
	pass();
	becomes("\\Seen", "one way: a keyword that it does not keep");
	fresh("");
	eng.want.cfg.direction = DIR_TO_LOCAL;
	box_answers[ASK_STORE] = says_inuse;
	reflag(mb, REMOTE, 5004, "\\Seen");
	pass();
	becomes(NULL, "one way: a flag that is refused for now");
	ok(told_again(mb, REMOTE), "which is told again");
}

/* ---- what is confirmed is recorded, whatever comes (case C1) ---- */

static void
ends_run(struct req *r, const struct sent *s)
{
	(void)r;
	(void)s;
	end_begin(&eng, END_ASKED, EX_SYNC_ERROR);
}

/* The mailbox can't be read any more. */
static void
spoils(struct req *r, const struct sent *s)
{
	struct m_engine_spoilt	 m = { "x" };

	give(box_req(r->sess->handle), M_ENGINE_SPOILT, &m);
	honest_recv(r, s);
}

static void
test_whatever(void)
{
	fresh("");
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, LOCAL, 4, "\\Seen");
	box_answers[ASK_RECV] = ends_run;
	if (box_pass() == 0)
		printf("# the run has not ended\n");
	box_salvage();
	becomes("\\Seen", "the run ends while bodies pass");

	fresh("");
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, LOCAL, 4, "\\Seen");
	box_answers[ASK_RECV] = spoils;
	pass();
	becomes("\\Seen", "the mailbox is stopped");
	ok(mb->stopped, "it is");

	fresh("");
	arrive(mb, LOCAL, 101, 101);
	reflag(mb, LOCAL, 4, "\\Seen");
	box_answers[ASK_STORE] = ends_run;
	(void)box_pass();
	box_salvage();
	becomes(NULL, "a change that was not answered is not");
}

/* A message that goes needs no baseline. */
static void
test_gone(void)
{
	fresh("");
	reflag(mb, LOCAL, 4, "\\Seen");
	vanish(mb, REMOTE, 5004, 5004);
	pass();
	journal(jotted("store INBOX: BASE") == 0 &&
	    line("store INBOX: DROP local 4"),
	    "changed on one side and deleted on the other: deleted");
	fresh("");
	vanish(mb, LOCAL, 4, 4);
	vanish(mb, REMOTE, 5004, 5004);
	pass();
	journal(line("store INBOX: DROP local 4") &&
	    jotted("local INBOX: EXPUNGE") == 0 &&
	    jotted("remote INBOX: EXPUNGE") == 0, "gone on both: the row goes");
}

int
main(void)
{
	test_confirmed();
	test_refused();
	test_again();
	test_one_way();
	test_never_had();
	test_whatever();
	test_gone();
	return tap_done();
}
