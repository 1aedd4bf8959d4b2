/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The messages that a rule of the configuration leaves out.  They may be nearly
 * all of a mailbox, so they are ranges in a table, and no set of them is ever
 * in memory.  The ranges are disjoint and not next to each other.  UIDs are
 * numbers of 64 bits here, so that there is one below the lowest and one above
 * the highest.  Those that had a row before stand under the side's number and
 * ALONE.
 */
#include "store.h"

#define ALONE		2

/* The last range that begins at uid or below; 0 if there is none. */
static int
left_below(struct db *db, uint32_t mailbox, int side, int64_t uid, int64_t *lo,
    int64_t *hi)
{
	sqlite3_stmt	*st;

	st = db_stmt(db, DB_LEFT_BELOW, LOCAL, DB_INTS(mailbox, side, uid));
	if (!db_step(db, st))
		return 0;
	*lo = sqlite3_column_int64(st, 0);
	*hi = sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return 1;
}

/* Put one range in the place of those that begin within it. */
static void
left_put(struct db *db, uint32_t mailbox, int side, int64_t lo, int64_t hi)
{
	db_run(db, DB_LEFT_DEL, LOCAL, DB_INTS(mailbox, side, lo, hi));
	db_run(db, DB_LEFT_ADD, LOCAL, DB_INTS(mailbox, side, lo, hi));
}

static void
left_add(struct db *db, uint32_t mailbox, int side, int64_t lo, int64_t hi)
{
	int64_t	 first, last;

	if (left_below(db, mailbox, side, hi + 1, &first, &last) && last > hi)
		hi = last;
	if (left_below(db, mailbox, side, lo - 1, &first, &last) &&
	    last >= lo - 1)
		lo = first;
	left_put(db, mailbox, side, lo, hi);
}

static void
left_del(struct db *db, uint32_t mailbox, int side, int64_t lo, int64_t hi)
{
	int64_t	 first, last, end;

	if (!left_below(db, mailbox, side, hi, &first, &end) || end < lo)
		return;
	/* What begins below keeps its head, what ends above its tail. */
	if (left_below(db, mailbox, side, lo - 1, &first, &last) && last >= lo)
		left_put(db, mailbox, side, first, lo - 1);
	db_run(db, DB_LEFT_DEL, LOCAL, DB_INTS(mailbox, side, lo, hi));
	if (end > hi)
		left_put(db, mailbox, side, hi + 1, end);
}

void
db_left_del(struct db *db, uint32_t mailbox, int side, uint32_t lo,
    uint32_t hi)
{
	if (!db->left)
		return;
	left_del(db, mailbox, side, lo, hi);
	left_del(db, mailbox, side + ALONE, lo, hi);
}

void
db_left(struct db *db, const struct m_store_left *m)
{
	struct uidrange	 r;
	uint32_t	 uid;

	db_change(db, m->mailbox);
	db->left = 1;
	UIDSET_FOREACH(r, &m->set, uid)
		left_add(db, m->mailbox, m->side + (m->alone ? ALONE : 0), r.lo,
		    r.hi);
}

void
db_unleft(struct db *db, const struct m_store_unleft *m)
{
	struct uidrange	 r;
	uint32_t	 uid;

	db_change(db, m->mailbox);
	UIDSET_FOREACH(r, &m->set, uid)
		db_left_del(db, m->mailbox, m->side, r.lo, r.hi);
}

static void
left_tell(struct db *db, uint32_t mailbox, int side, int alone)
{
	struct m_engine_uids	 uids = { alone, side, UIDSET_INIT };
	sqlite3_stmt		*st;

	st = db_stmt(db, DB_LEFT, LOCAL,
	    DB_INTS(mailbox, side + (alone ? ALONE : 0)));
	while (db_step(db, st))
		db_uids(db, &uids, sqlite3_column_int64(st, 0),
		    sqlite3_column_int64(st, 1));
	db_uids_end(db, &uids);
}

void
db_left_tell(struct db *db, uint32_t mailbox, int side)
{
	left_tell(db, mailbox, side, 0);
	left_tell(db, mailbox, side, 1);
}
