/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Changes for which a run has no room: those of the lowest UIDs are made, and
 * the next run finds the others, since it lists all flags.
 */
#include "engine_box.h"

static int	 side;		/* the one that tells: each in turn */

#define T(u)	row_uid(side, (u))
#define O(u)	row_uid(OTHER(side), (u))

static struct mbox	*mb;

/* One more run, which has room for so many; the state is that of the last one. */
static int
run(uint32_t room)
{
	box_room = room;
	box_again();
	mb = mbox_find(&eng.list, "INBOX");
	return box_pass();
}

/* Which of the ten messages have the flag on the other side. */
static int
flagged(void)
{
	int	 n = 0;

	for (; n < 10; n++)
		if (!flags_has(message_get(mb, OTHER(side),
		    O((uint32_t)n + 1)).flags, "\\Seen"))
			break;
	return n;
}

static void
test_flags(void)
{
	uint32_t	 u;

	box_start();
	mb = box_new("INBOX", 10);
	for (u = 1; u <= 10; u++)
		reflag(mb, side, T(u), "\\Seen");
	/* Each is told once, and has a row. */
	box_room = 7;
	ok(box_pass() == 0 && flagged() > 0 && flagged() < 10 && eng.partial &&
	    said("more has changed on the"), "%s: some flags, and it is said",
	    side_name[side]);
	is_num((long long)box_of(mb)->water[side].modseq, 0,
	    "the next run lists them all");
	u = flagged();
	ok(run(4) == 0 && flagged() > (int)u, "which makes more of them");
	ok(run(100) == 0 && flagged() == 10 && !eng.partial &&
	    box_of(mb)->water[side].modseq != 0, "until nothing is left");
}

static void
test_vanished(void)
{
	box_start();
	(void)box_new("z", 100);
	mb = box_new("INBOX", 10);
	vanish(mb, side, T(1), T(8));
	box_room = 3;
	journal(box_pass() == 0 && uidset_count(&at(mb, OTHER(side))->uids) == 7 &&
	    !uidset_has(&at(mb, OTHER(side))->uids, O(1)) && eng.partial,
	    "%s: three of eight are deleted", side_name[side]);
	ok(run(100) == 0 && uidset_count(&at(mb, OTHER(side))->uids) == 2 &&
	    !eng.partial, "the others by the next run");
	is_num((long long)uidset_count(&box_of(mb)->rows), 2, "no row is left");
}

/* New messages need no room, and copies of ours are none. */
static void
test_new(void)
{
	box_start();
	mb = box_new("INBOX", 10);
	arrive(mb, side, T(11), T(30));
	box_room = 0;
	ok(box_pass() == 0 && uidset_count(&at(mb, OTHER(side))->uids) == 30 &&
	    !eng.partial, "%s: twenty new ones without any room",
	    side_name[side]);
	ok(run(0) == 0 && uidset_count(&at(mb, LOCAL)->uids) == 30 &&
	    uidset_count(&at(mb, REMOTE)->uids) == 30, "once");
}

int
main(void)
{
	for (side = 0; side < SIDES; side++) {
		test_flags();
		test_vanished();
		test_new();
	}
	return tap_done();
}
