/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * A side without HIGHESTMODSEQ: when its flags are listed (flags-interval), and
 * that nothing is taken for looked at that was left undone.
 */
#include "engine_box.h"

#define HOUR	(3600 * 1000)	/* ms */

static struct mbox	*mb;
static struct box	*b;
static int		 plain;		/* the side */
static enum proof	 kind = PROOF_LISTED;	/* of it */

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* Another run, so much later (ms). */
static void
later(int64_t ms)
{
	box_again();
	mb = b->mb;
	box_clock += ms;
	pass();
}

/* So many messages; a run has listed their flags. */
static void
fresh(const char *name, uint32_t n)
{
	box_start();
	box_strategy(plain, kind);
	mb = box_new(name, n);
	b = box_of(mb);
	at(mb, plain)->unseen = 4;
	pass();
}

static int
listed(void)
{
	return opens(mb, plain, " full") > 0;
}

static int
untold(void)
{
	return opens(mb, LOCAL, "") == 0 && opens(mb, REMOTE, "") == 0;
}

/* Without a change, so much later, with that setting: is it listed? */
static void
turn(const char *name, uint32_t n, uint32_t interval, int64_t ms, int wanted,
    const char *what)
{
	fresh(name, n);
	journal(listed() && jotted("store: COMMIT") > 0 &&
	    b->water[plain].looked == time(NULL) &&
	    b->water[plain].unseen == 4, "the first time");
	eng.want.cfg.flags_interval[plain] = interval;
	later(ms);
	journal(wanted ? listed() : untold(), "%s", what);
}

static void
test_turns(void)
{
	turn("few", FLAGS_SMALL - 1, FLAGS_AUTO, 1000, 1, "few: in each run");
	journal(jotted("store few: WATER") == 0,
	    "and nothing is written for that");
	turn("many", FLAGS_SMALL, FLAGS_AUTO, HOUR - 1000, 0,
	    "many: not before the hour");
	turn("many", FLAGS_SMALL, FLAGS_AUTO, HOUR, 1, "when it is over");
	journal(b->water[plain].looked == time(NULL), "which is remembered");
	later(HOUR - 1000);
	journal(untold(), "for the next");
	turn("INBOX", FLAGS_SMALL, FLAGS_AUTO, 1000, 1, "INBOX: in each run");
	turn("many", FLAGS_SMALL, 0, 1000, 1, "always");
	turn("few", 10, 600, 599 * 1000, 0, "ten minutes are not over");
	turn("few", 10, 600, 600 * 1000, 1, "ten minutes");
	turn("many", FLAGS_SMALL, FLAGS_AUTO, -1000, 1,
	    "a clock that was set back");
	fresh("none", 0);
	later(HOUR);
	journal(untold(), "an empty mailbox has none");
}

/* What hints at a change, before it is time. */
static void
test_hints(void)
{
	static char	 name[] = "many", *names[1] = { name };

	fresh("many", FLAGS_SMALL);
	at(mb, plain)->unseen = 5;
	later(1000);
	journal(listed() && b->water[plain].unseen == 5, "UNSEEN has changed");
	at(mb, plain)->unseen = 0;
	later(1000);
	journal(untold(), "UNSEEN is not told: that is no change");

	fresh("many", FLAGS_SMALL);
	eng.want.args = names;
	eng.want.nargs = 1;
	later(1000);
	journal(listed(), "it is named on the command line");

	fresh("many", FLAGS_SMALL);
	reflag(mb, OTHER(plain), row_uid(OTHER(plain), 7), "\\Flagged");
	later(1000);
	journal(listed(), "the other side has news");

	fresh("many", FLAGS_SMALL);
	arrive(mb, plain, row_uid(plain, 3000), row_uid(plain, 3000));
	later(1000);
	journal(listed(), "a message has come");
}

/* IDLE tells of a change that no number shows. */
static void
watched(struct req *r, const struct sent *s)
{
	struct m_engine_changed	 m = { "many" };

	(void)s;
	if (r->side == plain)
		give(r, M_ENGINE_CHANGED, &m);
	done(r, ST_OK, RC_NONE, "");
}

static void
test_watched(void)
{
	fresh("many", FLAGS_SMALL);
	box_list();
	eng.want.cfg.interval = 60;
	box_answers[ASK_WATCH] = watched;
	is_num(watch_wait(&eng), 0, "there is news");
	later(1000);
	journal(listed(), "of its flags: they are listed");
	eng.want.cfg.interval = 60;
	box_answers[ASK_WATCH] = NULL;
	is_num(watch_wait(&eng), 0, "there is none");
	later(1000);
	journal(untold(), "once");
	/* A look that was worth it ends what is remembered of the news. */
	reflag(mb, plain, row_uid(plain, 7), "\\Flagged");
	later(HOUR);
	is_num(watch_wait(&eng), 0, "they have been dealt with");
	is_num(eng.watch.nnoises, 0, "and are forgotten");
}

/* What changes and what is left undone. */
static void
test_changes(void)
{
	int	 o = OTHER(plain);
	char	 text[64];

	fresh("few", 10);
	reflag(mb, plain, row_uid(plain, 7), "\\Flagged");
	later(1000);
	snprintf(text, sizeof(text), "%s few: STORE +\\Flagged %u",
	    side_name[o], row_uid(o, 7));
	journal(line(text) && line("store few: BASE 7 (\\Flagged)"),
	    "a flag goes to the other side");

	fresh("many", FLAGS_SMALL);
	reflag(mb, plain, row_uid(plain, 7), "\\Flagged");
	box_answers[ASK_STORE] = says_inuse;
	later(HOUR);
	journal(told_again(mb, plain), "not now: it is not done");
	box_answers[ASK_STORE] = box_honest[ASK_STORE];
	later(1000);
	journal(line("store many: BASE 7 (\\Flagged)") &&
	    !told_again(mb, plain), "the next run does it");

	/* Deletions that are held back. */
	fresh("many", FLAGS_SMALL);
	vanish(mb, plain, row_uid(plain, 1), row_uid(plain, 1500));
	later(1000);
	journal(untouched(mb) && told_again(mb, plain) && eng.partial,
	    "too many are gone at once");
	later(1000);
	journal(listed() && untouched(mb) && eng.partial,
	    "which is said again");
}

/* HIGHESTMODSEQ comes and goes: between two runs, or in one. */
static void
test_strategies(void)
{
	fresh("many", FLAGS_SMALL);
	box_strategy(plain, PROOF_COUNTED);
	later(1000);
	journal(listed() && b->water[plain].modseq == MODSEQ &&
	    b->water[plain].looked == 0 && b->water[plain].unseen == 0,
	    "there is one now: once more all flags");
	later(1000);
	journal(untold(), "and then none");
	box_strategy(plain, PROOF_LISTED);
	later(1000);
	journal(listed() && b->water[plain].modseq == 0 &&
	    b->water[plain].looked == time(NULL), "it is lost again");
}

/* A mailbox of a server with CONDSTORE that loses its HIGHESTMODSEQ. */
static void
lose(int how)
{
	int	 o = OTHER(plain);
	char	 text[64];

	fresh("few", 10);
	later(1000);
	journal(untold(), "in sync");
	at(mb, plain)->nomodseq = how;
	reflag(mb, plain, row_uid(plain, 7), "\\Flagged");
	vanish(mb, plain, row_uid(plain, 3), row_uid(plain, 3));
	later(1000);
	journal(!mb->stopped && listed(), "%d: all is listed", how);
	snprintf(text, sizeof(text), "%s few: STORE +\\Flagged %u",
	    side_name[o], row_uid(o, 7));
	journal(line(text), "%d: the flag", how);
	snprintf(text, sizeof(text), "%s few: EXPUNGE %u", side_name[o],
	    row_uid(o, 3));
	journal(line(text), "%d: the deletion", how);
	journal(b->water[plain].modseq == 0 && b->water[plain].looked ==
	    time(NULL), "%d: none is stored", how);
	/* With nothing new: a short mailbox is listed in each run. */
	later(1000);
	journal(!mb->stopped && listed() && !eng.partial &&
	    opens(mb, o, " full") == 0, "%d: and again", how);
	at(mb, plain)->nomodseq = 0;
	reflag(mb, plain, row_uid(plain, 8), "\\Seen");
	later(1000);
	snprintf(text, sizeof(text), "%s few: STORE +\\Seen %u", side_name[o],
	    row_uid(o, 8));
	journal(line(text) && b->water[plain].modseq >= MODSEQ &&
	    b->water[plain].looked == 0, "%d: it has come again", how);
}

static void
test_lost(void)
{
	struct mbox	*other;

	kind = PROOF_COUNTED;
	lose(NO_SELECT | NO_STATUS);
	lose(NO_SELECT);

	/* In the same run: what the SELECT has told does not count. */
	fresh("few", 10);
	at(mb, plain)->nomodseq = NO_SELECT;
	reflag(mb, plain, row_uid(plain, 7), "\\Flagged");
	later(1000);
	journal(opens(mb, plain, "7/500/") == 1 && opens(mb, plain,
	    " 0/0/") > 0 && !mb->stopped, "opened twice");

	/* Another mailbox is as before. */
	fresh("few", 10);
	other = box_new("other", 10);
	at(mb, plain)->nomodseq = NO_SELECT | NO_STATUS;
	later(1000);
	other = mbox_find(&eng.list, "other");
	journal(listed() && opens(other, plain, "") == 0,
	    "that mailbox only");

	/* Lower is as it was: a restored backup. */
	fresh("few", 10);
	at(mb, plain)->modseq = MODSEQ - 1;
	later(1000);
	journal(mb->stopped && untouched(mb), "a lower one stops it");

	/* With QRESYNC it is the same. */
	kind = PROOF_TOLD;
	fresh("few", 10);
	at(mb, plain)->nomodseq = NO_SELECT | NO_STATUS;
	later(1000);
	journal(!mb->stopped && listed(), "nor with QRESYNC");
	kind = PROOF_LISTED;
}

int
main(void)
{
	for (plain = LOCAL; plain < SIDES; plain++) {
		test_turns();
		test_hints();
		test_watched();
		test_changes();
		test_strategies();
		test_lost();
	}
	return tap_done();
}
