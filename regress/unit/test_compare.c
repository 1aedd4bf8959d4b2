/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What LIST tells, against the state: what moved, what is offered again,
 * subscriptions, mailboxes that one side has not.
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

/* ---- what moved ---- */

static void
test_moved(void)
{
	struct mside	*ms;

	fresh();
	box_list();
	ms = &mb->s[REMOTE];
	ok(!compare_moved(ms), "what LIST tells is what the state says");
	ms->told.uidvalidity++;
	ok(compare_moved(ms), "another UIDVALIDITY");
	ms->told.uidvalidity--;
	ms->told.uidnext++;
	ok(compare_moved(ms), "another UIDNEXT");
	ms->told.uidnext--;
	ms->told.messages--;
	ok(compare_moved(ms), "other MESSAGES");
	ms->told.messages++;
	ms->told.modseq++;
	ok(compare_moved(ms), "another HIGHESTMODSEQ");
	ms->told.modseq--;
	ms->told.has_status = 0;
	ok(compare_moved(ms), "no STATUS");
	ms->told.has_status = 1;
	ms->told.modseq = ms->known.water.modseq = 0;
	ok(compare_moved(ms), "no HIGHESTMODSEQ on either: never the same");

	fresh();
	pass();
	journal(opens(mb, LOCAL, "") == 0 && opens(mb, REMOTE, "") == 0,
	    "a mailbox that has not moved is not opened");
}

/* ---- offers ---- */

/* Is a refused message offered, now that the target's APPENDLIMIT is that? */
static void
offer(int code, uint64_t size, uint64_t then_limit, int64_t next,
    uint64_t limit, int wanted, const char *what)
{
	struct refusal	*f;

	fresh();
	box_unrow(mb, 50);
	uidset_del(&at(mb, REMOTE)->uids, 5050, 5050);
	mb->s[REMOTE].known.water.messages = 99;
	f = box_refusal(mb, LOCAL, 50);
	f->code = code;
	f->size = size;
	f->limit = then_limit;
	f->next = time(NULL) + next;
	eng.srv[REMOTE].ready.appendlimit = limit;
	pass();
	journal(line("remote INBOX: RECV one 50") == wanted &&
	    opens(mb, LOCAL, "") == (wanted ? 2 : 0), "%s", what);
}

static void
test_offers(void)
{
	offer(RC_NONE, 900, 0, 0, 0, 1, "its time has come");
	offer(RC_NONE, 900, 0, 1, 0, 0, "not yet: and it costs no SELECT");
	offer(RC_TOOBIG, 900, 100, -9999, 100, 0, "too big: the same limit");
	offer(RC_TOOBIG, 900, 100, 9999, 200, 1, "another limit, at once");
	offer(RC_TOOBIG, 900, 100, 9999, 0, 1, "no limit any more");
	offer(RC_TOOBIG, 900, 0, -9999, 0, 0, "too big, without a limit");
	offer(RC_TAKEN, 900, 0, -9999, 100, 0, "taken: it may be there");
	offer(RC_NONE, 900, 100, -9999, 100, 0, "above the limit, whatever "
	    "was said");
	offer(RC_NONE, 100, 100, -9999, 100, 1, "not above it");
	fresh();
	(void)box_refusal(mb, LOCAL, 50);
	eng.want.cfg.retry = 1;
	box_list();
	(void)compare_run(&eng);
	ok(mb->dirty && uidset_has(&mb->s[LOCAL].w->offer, 50),
	    "--retry offers all");
}

/* ---- subscriptions ---- */

/* What the sides have; SUB_UNKNOWN: the state does not say. */
static void
subscribed(enum subscribed old, int l, int r)
{
	int	 have[SIDES] = { l, r }, want, side, good = 1, changed;
	char	 text[64];

	fresh();
	mb->subscribed = old;
	for (side = 0; side < SIDES; side++)
		if (have[side])
			mb->s[side].told.attrs |= ATTR_SUBSCRIBED;
	if (old == SUB_UNKNOWN)
		want = l || r;
	else
		want = l == r ? l : !old;
	pass();
	for (side = 0; side < SIDES; side++) {
		snprintf(text, sizeof(text), "%s INBOX: NAME %s",
		    side_name[side], want ? "subscribe" : "unsubscribe");
		good &= line(text) == (have[side] != want);
		snprintf(text, sizeof(text), "%s INBOX: NAME",
		    side_name[side]);
		good &= jotted(text) == (have[side] != want);
	}
	changed = (int)old != want || l != want || r != want;
	snprintf(text, sizeof(text), "store INBOX: SUBSCRIBED %d", want);
	good &= jotted(text) == changed &&
	    jotted("store INBOX: SUBSCRIBED") == changed;
	journal(good, "the state says %d, local %d, remote %d: %d", old, l, r,
	    want);
}

static void
test_subscriptions(void)
{
	int	 i;

	for (i = 0; i < 4; i++) {
		subscribed(SUB_NO, i & 1, i >> 1);
		subscribed(SUB_YES, i & 1, i >> 1);
		subscribed(SUB_UNKNOWN, i & 1, i >> 1);
	}

	fresh();
	mb->s[LOCAL].told.attrs |= ATTR_SUBSCRIBED;
	box_answers[ASK_NAME] = says_no;
	pass();
	journal(jotted("store INBOX: SUBSCRIBED") == 0 && eng.partial &&
	    said("does not subscribe to"), "refused: not recorded, and said");

	fresh();
	eng.want.cfg.direction = DIR_TO_LOCAL;
	mb->s[LOCAL].told.attrs |= ATTR_SUBSCRIBED;
	pass();
	journal(jotted("remote INBOX: NAME") == 0 &&
	    jotted("store INBOX: SUBSCRIBED") == 0,
	    "one way: what the target has is not carried over");

	fresh();
	eng.want.cfg.direction = DIR_TO_LOCAL;
	mb->s[REMOTE].told.attrs |= ATTR_SUBSCRIBED;
	pass();
	journal(line("local INBOX: NAME subscribe") &&
	    line("store INBOX: SUBSCRIBED 1"), "what the source has is");

	fresh();
	eng.want.cfg.dryrun = 1;
	mb->s[LOCAL].told.attrs |= ATTR_SUBSCRIBED;
	(void)box_plan();
	journal(jotted("remote INBOX: NAME") == 0, "a dry run changes none");
}

/* Of so many subscriptions that both sides had, one side has lost so many. */
static void
cancelled(int n, int lost, int allow, int wanted)
{
	struct mbox	*m[12];
	char		 name[16];
	int		 i, side, held = 1;

	for (side = 0; side < SIDES; side++) {
		box_start();
		eng.want.cfg.allow_delete = allow;
		for (i = 0; i < n; i++) {
			snprintf(name, sizeof(name), "m%d", i);
			m[i] = box_new(name, 1);
			m[i]->subscribed = SUB_YES;
			m[i]->s[OTHER(side)].told.attrs |= ATTR_SUBSCRIBED;
			if (i >= lost)
				m[i]->s[side].told.attrs |= ATTR_SUBSCRIBED;
		}
		pass();
		held &= (strstr(box_journal, "unsubscribe") == NULL &&
		    strstr(box_journal, "SUBSCRIBED") == NULL &&
		    eng.partial) == wanted;
	}
	journal(held, "%d of %d unsubscribed at once%s: %s", lost, n,
	    allow ? ", --allow-delete" : "", wanted ? "held" : "done");
}

static void
test_cancelled(void)
{
	cancelled(5, 5, 0, 0);
	cancelled(11, 6, 0, 1);
	cancelled(12, 6, 0, 0);
	cancelled(6, 6, 0, 1);
	cancelled(6, 6, 1, 0);

	/* A mailbox that is stopped keeps its subscription (case E10). */
	fresh();
	mb->subscribed = SUB_YES;
	mb->s[LOCAL].told.attrs |= ATTR_SUBSCRIBED;
	at(mb, REMOTE)->uidvalidity++;
	pass();
	journal(mb->stopped && jotted("local INBOX: NAME") == 0 &&
	    jotted("store INBOX: SUBSCRIBED") == 0,
	    "the subscription of a mailbox that is stopped stays");
}

/* ---- mailboxes that one side has not ---- */

static void
test_missing(void)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		fresh();
		box_without(mb, side);
		pass();
		journal(mb->stopped && untouched(mb) && eng.partial &&
		    jotted("local INBOX: NAME") == 0 &&
		    jotted("remote INBOX: NAME") == 0 &&
		    jotted("store INBOX:") == 0,
		    "%s has it no more: nothing is touched", side_name[side]);
		ok(said("--delete"), "with advice");

		fresh();
		mb->s[side].told.attrs |= ATTR_NOSELECT;
		pass();
		journal(mb->stopped && jotted("store INBOX:") == 0,
		    "%s can't select it any more", side_name[side]);
	}

	fresh();
	box_without(mb, LOCAL);
	box_without(mb, REMOTE);
	pass();
	journal(line("store INBOX: FORGET") && !eng.partial,
	    "gone on both: forgotten");
	is_num(eng.list.total_rows, 0, "its rows count no more");
	fresh();
	eng.filtered = 1;
	box_without(mb, LOCAL);
	box_without(mb, REMOTE);
	pass();
	journal(jotted("store INBOX: FORGET") == 0,
	    "not if LIST may have left it out");
}

/* What shows messages of other mailboxes is left out, unless it is wanted. */
static void
test_virtual(void)
{
	static const uint32_t	 attrs[] = { ATTR_ALL, ATTR_FLAGGED,
				    ATTR_IMPORTANT };
	static char		 name[] = "new", other[] = "news";
	static char		*wanted[] = { other, name };
	size_t			 i;
	int			 side;

	for (side = 0; side < SIDES; side++)
		for (i = 0; i < nitems(attrs); i++) {
			box_start();
			mb = box_unknown("new", 3, 3);
			ok(!list_virtual(&eng, mb), "one like others");
			mb->s[side].told.attrs |= attrs[i];
			ok(list_virtual(&eng, mb), "%s says that it is none",
			    side_name[side]);
			eng.want.patterns = wanted;
			eng.want.npatterns = 1;
			ok(list_virtual(&eng, mb), "another is named");
			eng.want.npatterns = 2;
			ok(!list_virtual(&eng, mb), "it is named");
			eng.want.npatterns = 1;
			eng.want.cfg.virtuals = 1;
			ok(!list_virtual(&eng, mb), "all are wanted");
			eng.want.cfg.virtuals = 0;
			eng.want.cfg.command = CMD_DELETE;
			ok(!list_virtual(&eng, mb), "to be deleted");
			eng.want.cfg.command = CMD_SYNC;
			fresh();
			mb->s[side].told.attrs |= attrs[i];
			ok(!list_virtual(&eng, mb), "the state has it");
		}
	fresh();
	mb->s[LOCAL].told.attrs |= ATTR_TRASH | ATTR_ARCHIVE;
	ok(!list_virtual(&eng, mb), "another use");
}

static void
test_unknown(void)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		box_start();
		mb = box_unknown("new", 3, 3);
		box_without(mb, side);
		uidset_free(&at(mb, side)->uids);
		pass();
		journal(line(side == LOCAL ? "local new: NAME create" :
		    "remote new: NAME create") && line("store new: NEWBOX"),
		    "new, and %s lacks it: created", side_name[side]);
		is_num(uidset_count(&at(mb, side)->uids), 3,
		    "and what is in it is copied");
	}

	box_start();
	mb = box_unknown("new", 3, 0);
	box_without(mb, REMOTE);
	box_answers[ASK_NAME] = says_no;
	pass();
	journal(mb->stopped && jotted("remote new: RECV") == 0,
	    "a mailbox that can't be created is stopped");

	box_start();
	eng.want.cfg.direction = DIR_TO_LOCAL;
	mb = box_unknown("new", 3, 0);
	box_without(mb, REMOTE);
	pass();
	journal(mb->skip && jotted("remote new: NAME") == 0 && !eng.partial,
	    "nor is it where nothing may be made");

	fresh();
	mb->s[REMOTE].told.twice = 1;
	vanish(mb, LOCAL, 4, 4);
	pass();
	journal(mb->skip && eng.partial && untouched(mb),
	    "two mailboxes of one name are named and skipped");
}

/* ---- --adopt ---- */

static void
test_adopt(void)
{
	static char	 name[] = "INBOX", *names[1] = { name };

	fresh();
	eng.want.adopts = names;
	eng.want.nadopts = 1;
	box_list();
	(void)compare_run(&eng);
	box_take();
	ok(mb->adopt && mb->dirty && mb->nrows == 0 &&
	    mb->s[LOCAL].known.water.uidvalidity == 0 &&
	    eng.list.total_rows == 0, "--adopt forgets the rows");
	journal(jotted("store INBOX:") == 0, "in the state they stay for now");
	if (box_plan() == -1 || exec_run(&eng) == -1)
		printf("# the run has ended\n");
	journal(then("store INBOX: ADOPT 1 drop", "store INBOX: SEEN") &&
	    then("store INBOX: PAIR", "store INBOX: ADOPT 0") &&
	    before("store INBOX: ADOPT 1 drop", "store: COMMIT") &&
	    before("store INBOX: ADOPT 0", "store: COMMIT"),
	    "until the transaction that holds the pairs");
}

int
main(void)
{
	test_moved();
	test_offers();
	test_subscriptions();
	test_cancelled();
	test_missing();
	test_virtual();
	test_unknown();
	test_adopt();
	return tap_done();
}
