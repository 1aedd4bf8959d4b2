/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The guard (design rule D6): a server that lost its storage must not empty the
 * other one; a person who empties a mailbox, or archives all of it, is never
 * held.
 */
#include "engine_box.h"

static int	 side;		/* the one that tells: each in turn */

#define T(u)	row_uid(side, (u))
#define O(u)	row_uid(OTHER(side), (u))

static void
pass(void)
{
	if (box_pass() == -1)
		printf("# the run has ended\n");
}

/* 1 if the first n messages of the mailbox have gone on the other side. */
static int
carried(struct mbox *mb, uint32_t n)
{
	uint32_t	 u;

	for (u = 1; u <= n; u++)
		if (uidset_has(&at(mb, OTHER(side))->uids, O(u)))
			return 0;
	return 1;
}

/* Held: nothing deleted, all told again, said so, exit 3. */
static int
held(struct mbox *mb)
{
	return untouched(mb) && told_again(mb, side) && !mb->stopped &&
	    eng.partial && said("--allow-delete");
}

/* Where UIDs don't last the new ones are the old ones: nothing went. */
static int
renumbered(struct mbox *mb)
{
	return box_proof[side] == PROOF_LISTED && !mb->stopped &&
	    !eng.partial && jotted("store: DELETED") == 0 &&
	    jotted("local INBOX: EXPUNGE") == 0 &&
	    jotted("remote INBOX: EXPUNGE") == 0;
}

/* ---- more than 20, and more than half ---- */

static void
numbers(uint32_t gone, uint32_t rows, int wanted)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", rows);
	vanish(mb, side, T(1), T(gone));
	pass();
	journal(wanted ? held(mb) : carried(mb, gone) && !eng.partial,
	    "%s: %u of %u are%s held", side_name[side], gone, rows,
	    wanted ? "" : " not");
}

static void
test_numbers(void)
{
	numbers(20, 20, 0);
	numbers(20, 39, 0);
	numbers(21, 21, 1);
	numbers(21, 41, 1);
	numbers(21, 42, 0);
	numbers(22, 42, 1);
	numbers(500, 999, 1);
	numbers(500, 1000, 0);
}

/* Half of all that the state knows, not of a mailbox; both sides count. */
static void
test_all(void)
{
	struct mbox	*a, *b;

	box_start();
	a = box_new("a", 30);
	b = box_new("b", 60);
	vanish(a, side, T(1), T(30));
	pass();
	journal(carried(a, 30), "%s: all 30 of 90", side_name[side]);

	box_start();
	a = box_new("a", 30);
	b = box_new("b", 60);
	vanish(a, side, T(1), T(25));
	vanish(b, side, T(1), T(25));
	pass();
	journal(held(a) && held(b), "50 of 90, in two mailboxes");

	box_start();
	a = box_new("a", 30);
	vanish(a, side, T(1), T(11));
	vanish(a, OTHER(side), O(20), O(30));
	pass();
	journal(held(a) && told_again(a, OTHER(side)),
	    "11 on each side of 30");
	ok(said("22 of 30 messages"), "the message says how many");
}

/* ---- mailboxes that are emptied ---- */

static void
emptied(int n, uint32_t each, int wanted)
{
	struct mbox	*mb[4];
	char		 name[16];
	int		 i, good = 1;

	box_start();
	(void)box_new("z", 1000);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		mb[i] = box_new(name, each);
		vanish(mb[i], side, T(1), T(each));
	}
	pass();
	for (i = 0; i < n; i++)
		good &= wanted ? held(mb[i]) : carried(mb[i], each);
	journal(good, "%s: %d mailboxes of %u emptied at once are%s held",
	    side_name[side], n, each, wanted ? "" : " not");
}

static void
test_emptied(void)
{
	emptied(2, 21, 0);
	emptied(3, 20, 0);
	emptied(3, 21, 1);
	emptied(4, 50, 1);
}

/* Much of three mailboxes, but not all. */
static void
test_not_emptied(void)
{
	struct mbox	*mb[3];
	char		 name[16];
	int		 i, good = 1;

	box_start();
	(void)box_new("z", 1000);
	for (i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		mb[i] = box_new(name, 42);
		vanish(mb[i], side, T(1), T(41));
	}
	pass();
	for (i = 0; i < 3; i++)
		good &= carried(mb[i], 41);
	journal(good, "%s: 41 of 42 of three mailboxes are not held",
	    side_name[side]);
}

/* ---- where mail is thrown away ---- */

static void
trash(const char *name, uint32_t attr, int wanted)
{
	struct mbox	*mb;

	box_start();
	mb = box_new(name, 50);
	mb->s[OTHER(side)].told.attrs |= attr;
	vanish(mb, side, T(1), T(50));
	pass();
	journal(wanted ? held(mb) : carried(mb, 50),
	    "%s: %s (0x%x), emptied, is%s held", side_name[side], name, attr,
	    wanted ? "" : " not");
}

/* Only the side that would lose them can say so. */
static void
test_suspect(void)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 50);
	mb->s[side].told.attrs |= ATTR_TRASH;
	vanish(mb, side, T(1), T(50));
	pass();
	journal(held(mb), "%s: that the suspect calls it its trash does not "
	    "count", side_name[side]);
}

static void
test_trash(void)
{
	trash("Papierkorb", 0, 1);
	trash("Papierkorb", ATTR_SENT, 1);
	trash("Papierkorb", ATTR_TRASH, 0);
	trash("Papierkorb", ATTR_JUNK, 0);
	trash("Trash", 0, 0);
	trash("a" NAME_SEP_STR "junk", 0, 0);
	trash("Spam", 0, 0);
	trash("Trash" NAME_SEP_STR "kept", 0, 1);
	trash("Trashy", 0, 1);
}

/* ---- what was only moved ---- */

/*
 * Messages lo to hi of a mailbox appear under the highest UIDs of another, with
 * dates that are so many seconds later: then they are copied, and not moved.
 */
static void
appear_late(struct mbox *from, struct mbox *to, uint32_t lo, uint32_t hi,
    int seconds)
{
	struct message	 like;
	struct place	*p = at(to, side);
	uint32_t	 u, uid;

	for (u = lo; u <= hi; u++) {
		uid = p->uidnext;
		arrive(to, side, uid, uid);
		like = message_get(from, side, T(u));
		like.uid = uid;
		like.date += seconds;
		*message(to, side, uid) = like;
	}
}

static void
appear(struct mbox *from, struct mbox *to, uint32_t lo, uint32_t hi)
{
	appear_late(from, to, lo, hi, 0);
}

static void
moved(uint32_t n, uint32_t back, int wanted, const char *what)
{
	struct mbox	*inbox, *archive;

	box_start();
	inbox = box_new("INBOX", 40);
	archive = box_new("Archive", 0);
	vanish(inbox, side, T(1), T(n));
	appear(inbox, archive, 1, back);
	pass();
	journal(wanted ? held(inbox) : carried(inbox, n), "%s: %s",
	    side_name[side], what);
	ok(uidset_count(&at(archive, OTHER(side))->uids) == back,
	    "what appeared is copied");
}

static void
test_moved(void)
{
	struct mbox	*mb, *b;

	moved(40, 40, 0, "all of INBOX was archived");
	moved(40, 20, 0, "all but 20 of it");
	moved(40, 19, 1, "all but 21 of it");

	/* Within one mailbox it is what a restored server looks like. */
	box_start();
	mb = box_new("INBOX", 40);
	vanish(mb, side, T(1), T(40));
	appear(mb, mb, 1, 40);
	pass();
	journal(renumbered(mb) || held(mb),
	    "%s: moved within the same mailbox counts", side_name[side]);

	/* It must be on the side that tells. */
	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 0);
	vanish(mb, side, T(1), T(40));
	side = OTHER(side);
	appear(mb, b, 1, 40);
	side = OTHER(side);
	pass();
	journal(held(mb), "what the other side has anew counts");
}

/* The source gives no body. */
static void
gives_none(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_NO, RC_NONE, "no");
}

/* It shows the headers of what vanished, and that is all there is. */
static void
test_unproved(void)
{
	struct mbox	*inbox, *archive;

	box_start();
	inbox = box_new("INBOX", 40);
	archive = box_new("Archive", 0);
	vanish(inbox, side, T(1), T(40));
	appear_late(inbox, archive, 1, 40, 1);
	box_answers[ASK_SEND] = gives_none;
	box_answers[ASK_RECV] = gives_none;
	pass();
	journal(held(inbox), "%s: what only seems to be moved counts",
	    side_name[side]);
	ok(jotted("store: DELETED") == 0, "and nothing is recorded as deleted");

	box_start();
	inbox = box_new("INBOX", 40);
	archive = box_new("Archive", 0);
	vanish(inbox, side, T(1), T(40));
	appear_late(inbox, archive, 1, 40, 1);
	pass();
	journal(carried(inbox, 40) && before(side == LOCAL ?
	    "local Archive: SEND" : "remote Archive: SEND",
	    side == LOCAL ? "remote INBOX: EXPUNGE" : "local INBOX: EXPUNGE"),
	    "%s: what was moved is deleted behind the copies", side_name[side]);
	ok(jotted("store: DELETED") == 0, "and was not deleted");
}

/* A dry run copies nothing, so what is seen has to do. */
static void
test_dry(void)
{
	struct mbox	*mb, *b;
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 40);
	eng.want.cfg.dryrun = 1;
	vanish(mb, side, T(1), T(40));
	appear(mb, mb, 1, 40);
	pass();
	ok(box_proof[side] == PROOF_LISTED || said("--allow-delete"),
	    "%s: a dry run: the same mailbox",
	    side_name[side]);
	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 0);
	eng.want.cfg.dryrun = 1;
	vanish(mb, side, T(1), T(40));
	for (u = 1; u <= 30; u++)
		appear(mb, b, 1, 1);
	pass();
	ok(said("--allow-delete"), "30 copies of one");
	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 0);
	eng.want.cfg.dryrun = 1;
	vanish(mb, side, T(1), T(40));
	appear(mb, b, 1, 40);
	pass();
	ok(!said("--allow-delete"), "moved");
}

/* How much is recorded as deleted is what was not moved. */
static void
test_recorded(void)
{
	struct mbox	*mb, *b;
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 40);
	vanish(mb, side, T(1), T(10));
	appear(mb, mb, 1, 10);
	pass();
	journal(renumbered(mb) || line("store: DELETED 10"),
	    "%s: in the same mailbox",
	    side_name[side]);
	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 0);
	vanish(mb, side, T(1), T(10));
	for (u = 1; u <= 3; u++)
		appear(mb, b, 1, 1);
	pass();
	journal(line("store: DELETED 9"), "three copies of one that was moved");
}

/* The connection ends before it is known whether they were copied. */
static void
ends(struct req *r, const struct sent *s)
{
	(void)s;
	eng.end.lost[r->side] = 1;
	end_begin(&eng, END_FAILED, EX_SYNC_TEMP);
}

static void
test_put_off(void)
{
	struct mbox	*inbox, *archive;

	box_start();
	inbox = box_new("INBOX", 40);
	archive = box_new("Archive", 0);
	vanish(inbox, side, T(1), T(40));
	appear_late(inbox, archive, 1, 40, 1);
	box_answers[ASK_SEND] = box_answers[ASK_RECV] = ends;
	(void)box_pass();
	box_salvage();
	journal(untouched(inbox) && told_again(inbox, side),
	    "%s: lost while deletions were put off: they are told again",
	    side_name[side]);
}

/* What was deleted within a day counts with what would be. */
static void
since(uint32_t earlier, uint32_t gone, int wanted)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 100);
	eng.deleted = earlier;
	vanish(mb, side, T(1), T(gone));
	pass();
	journal(wanted ? held(mb) : carried(mb, gone), "%s: %u of 100, after "
	    "%u, are%s held", side_name[side], gone, earlier,
	    wanted ? "" : " not");
	if (!wanted)
		ok(line(gone == 1 ? "store: DELETED 1" : "store: DELETED 25"),
		    "they are recorded");
}

static void
test_day(void)
{
	struct mbox	*mb;

	since(0, 25, 0);
	since(50, 25, 0);
	since(51, 25, 1);
	since(98, 1, 0);
	since(99, 1, 1);

	box_start();
	mb = box_new("INBOX", 100);
	eng.deleted = 90;
	eng.want.cfg.allow_delete = 1;
	vanish(mb, side, T(1), T(60));
	pass();
	journal(carried(mb, 60) && line("store: DELETED 0"),
	    "--allow-delete lets it through, and begins anew");
}

static void
rule(enum delete_rule r, uint32_t max, uint32_t gone, int wanted)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 100);
	eng.want.cfg.delete_rule = r;
	eng.want.cfg.max_delete = max;
	vanish(mb, side, T(1), T(gone));
	pass();
	journal(wanted ? held(mb) : carried(mb, gone), "max-delete %d %u: %u of "
	    "100 are%s held", r, max, gone, wanted ? "" : " not");
}

static void
test_rules(void)
{
	rule(DELETE_PERCENT, 80, 80, 0);
	rule(DELETE_PERCENT, 80, 81, 1);
	rule(DELETE_PERCENT, 10, 20, 0);
	rule(DELETE_PERCENT, 10, 21, 1);
	rule(DELETE_NUMBER, 5, 5, 0);
	rule(DELETE_NUMBER, 5, 6, 1);
	rule(DELETE_NUMBER, 99, 99, 0);
	rule(DELETE_ANY, 0, 100, 0);
}

/* Two of one key stand for two, not for three. */
static void
test_once(void)
{
	struct mbox	*mb, *b;
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 0);
	vanish(mb, side, T(1), T(40));
	appear(mb, b, 1, 1);
	for (u = 2; u <= 30; u++)
		appear(mb, b, 1, 1);
	pass();
	journal(held(mb), "%s: 30 copies of one message are one that was moved",
	    side_name[side]);
}

/* ---- what is held, and what not ---- */

static void
test_allowed(void)
{
	struct mbox	*mb;

	box_start();
	eng.want.cfg.allow_delete = 1;
	mb = box_new("INBOX", 40);
	vanish(mb, side, T(1), T(40));
	pass();
	journal(carried(mb, 40) && !eng.partial, "%s: --allow-delete",
	    side_name[side]);
}

static void
test_rest(void)
{
	struct mbox	*mb, *b;

	box_start();
	mb = box_new("INBOX", 40);
	b = box_new("b", 5);
	vanish(mb, side, T(1), T(30));
	vanish(b, OTHER(side), O(3), O(3));
	reflag(mb, side, T(35), "\\Seen");
	arrive(mb, side, T(41), T(41));
	pass();
	journal(held(mb) && untouched(b) && told_again(b, OTHER(side)),
	    "%s: deletions are held everywhere",
	    side_name[side]);
	ok(flags_has(message(mb, OTHER(side), O(35))->flags, "\\Seen"),
	    "flags are not");
	ok(uidset_has(&at(mb, OTHER(side))->uids, O(41)), "new mail is not");
}

static void
test_pair(void)
{
	for (side = LOCAL; side < SIDES; side++) {
		test_numbers();
		test_all();
		test_emptied();
		test_not_emptied();
		test_trash();
		test_moved();
		test_suspect();
		test_unproved();
		test_day();
		test_dry();
		test_recorded();
		test_put_off();
		test_rules();
		test_once();
		test_allowed();
		test_rest();
	}
}

/* It counts what goes, however that is told. */
int
main(void)
{
	do {
		test_pair();
	} while (box_pairs());
	return tap_done();
}
