/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the servers have, against the state and against each other.  Messages
 * come one by one into a table a side, which is kept in the order of key and
 * size; pairing is then a walk along both tables at once, so that memory does
 * not grow with the mailbox.
 */
#include "store.h"

/* One of the two tables on such a walk. */
struct walk {
	sqlite3_stmt	*st;
	int		 more;
	/* the message that it stands at */
	int64_t		 key;
	int64_t		 size;
	int64_t		 date;
	int64_t		 uid;
	int64_t		 flagset;
};

/* A round of pairing: the walk, and what makes a group in it. */
struct round {
	enum db_stmt	 st;
	int		 size;	/* equal size is asked for */
	int		 date;	/* equal INTERNALDATE is asked for */
	int		 msgid;	/* both must have a Message-ID */
};

/*
 * The rules of design.md section 6.  All rounds ask for equal keys; the k-th
 * message of a group goes with the k-th on the other side, in UID order.  The
 * first round looks at all messages, the others at those that it left.
 */
static const struct round adopt[] = {
	{ DB_SEEN_SIZE, 1, 0, 1 },
	{ DB_SEEN_SIZEDATE, 1, 1, 0 },
	{ DB_SEEN_DATE, 0, 1, 1 },
};
static const struct round recover[] = {
	{ DB_SEEN_SIZEDATE, 1, 1, 0 },
	{ DB_SEEN_DATE, 0, 1, 0 },
};

void
db_seen(struct db *db, const struct m_store_seen *m)
{
	int64_t	 set;

	db_change(db, m->mailbox);
	set = db_flagset(db, m->flags);
	db_run(db, DB_SEEN, m->side, DB_INTS(m->mailbox, (int64_t)m->key,
	    (int64_t)m->size, m->uid, m->date, m->msgid != 0, set));
}

void
db_unsee(struct db *db, uint32_t mailbox, int side)
{
	sqlite3_stmt	*st;
	int		 others;

	st = db_stmt(db, DB_SEEN_OTHERS, side, DB_INTS(mailbox));
	others = db_step(db, st) && sqlite3_column_int(st, 0) != 0;
	sqlite3_reset(st);

	/* Emptying a table as a whole is much cheaper. */
	if (others)
		db_run(db, DB_SEEN_FORGET, side, DB_INTS(mailbox));
	else
		db_run(db, DB_SEEN_CLEAR, side, NULL, 0);
}

static void
walk_next(struct db *db, struct walk *w)
{
	if (!(w->more = db_step(db, w->st)))
		return;
	w->key = sqlite3_column_int64(w->st, 0);
	w->size = sqlite3_column_int64(w->st, 1);
	w->date = sqlite3_column_int64(w->st, 2);
	w->uid = sqlite3_column_int64(w->st, 3);
	w->flagset = sqlite3_column_int64(w->st, 4);
}

#define CMP(a, b)	(((a) > (b)) - ((a) < (b)))

/* Compare the groups, in the order in which SQLite sorts. */
static int
walk_cmp(const struct round *r, const struct walk *a, const struct walk *b)
{
	int	 c;

	c = CMP(a->key, b->key);
	if (c == 0 && r->size)
		c = CMP(a->size, b->size);
	if (c == 0 && r->date)
		c = CMP(a->date, b->date);
	return c;
}

/* Make a row of a pair; tell of it if the flags differ. */
static void
make_pair(struct db *db, uint32_t mailbox, const struct walk *w)
{
	static char		 flags[SIDES][FLAGS_MAX], both[FLAGS_MAX];
	struct m_engine_paired	 p;
	int64_t			 base = w[LOCAL].flagset;
	int			 s;

	if (w[LOCAL].flagset != w[REMOTE].flagset) {
		for (s = 0; s < SIDES; s++)
			db_flags(db, w[s].flagset, flags[s]);
		if (!flags_eq(flags[LOCAL], flags[REMOTE])) {
			flags_and(both, flags[LOCAL], flags[REMOTE]);
			/* \Deleted goes unless both have it, also later. */
			if (flags_has(flags[LOCAL], "\\Deleted") ||
			    flags_has(flags[REMOTE], "\\Deleted"))
				(void)flags_or(both, both, "\\Deleted");
			base = db_flagset(db, both);
			for (s = 0; s < SIDES; s++) {
				p.uid[s] = w[s].uid;
				p.flags[s] = flags[s];
			}
			db->answer(db->arg, M_ENGINE_PAIRED, &p);
		}
	}
	db_run(db, DB_ADD, LOCAL, DB_INTS(mailbox, w[LOCAL].uid, w[REMOTE].uid,
	    base, w[LOCAL].size == w[REMOTE].size ? w[LOCAL].size : 0,
	    w[LOCAL].key));
}

/* Returns the pairs made. */
static uint32_t
pair_round(struct db *db, uint32_t mailbox, const struct round *r, int first)
{
	struct walk	 w[SIDES];
	uint32_t	 n = 0;
	int		 c, s;

	for (s = 0; s < SIDES; s++) {
		w[s].st = db_stmt(db, r->st, s,
		    DB_INTS(mailbox, r->msgid, !first));
		walk_next(db, &w[s]);
	}
	while (w[LOCAL].more && w[REMOTE].more) {
		c = walk_cmp(r, &w[LOCAL], &w[REMOTE]);
		if (c == 0) {
			make_pair(db, mailbox, w);
			for (s = 0; s < SIDES && !first; s++)
				db_run(db, DB_SEEN_LEFT, s,
				    DB_INTS(mailbox, w[s].uid, 0));
			n++;
		}
		if (c <= 0)
			walk_next(db, &w[LOCAL]);
		if (c >= 0)
			walk_next(db, &w[REMOTE]);
	}
	for (s = 0; s < SIDES; s++)
		sqlite3_reset(w[s].st);
	return n;
}

/*
 * After the first round: note which messages it left, mostly few.  Returns 0 if
 * there are none on one side, so that there is nothing more to pair.
 */
static int
pair_left(struct db *db, uint32_t mailbox)
{
	sqlite3_stmt	*st;
	int		 left, s;

	for (s = 0; s < SIDES; s++) {
		left = 0;
		st = db_stmt(db, DB_SEEN_UIDS, s, DB_INTS(mailbox));
		while (db_step(db, st)) {
			db_run(db, DB_SEEN_LEFT, s, DB_INTS(mailbox,
			    sqlite3_column_int64(st, 0), 1));
			left = 1;
		}
		if (!left)
			return 0;
	}
	return 1;
}

/* Tell what stays unpaired on a side, in parts that fit a message. */
static void
answer_unpaired(struct db *db, uint32_t mailbox, int side)
{
	struct m_engine_uids	 uids = { 0, side, UIDSET_INIT };
	sqlite3_stmt		*st;
	uint32_t		 uid;

	st = db_stmt(db, DB_SEEN_UIDS, side, DB_INTS(mailbox));
	while (db_step(db, st)) {
		uid = sqlite3_column_int64(st, 0);
		if (uids.set.n == PROTO_SET_MAX &&
		    uid != uidset_max(&uids.set) + 1) {
			db->answer(db->arg, M_ENGINE_UIDS, &uids);
			uidset_free(&uids.set);
		}
		uidset_add(&uids.set, uid, uid);
	}
	if (!uidset_empty(&uids.set))
		db->answer(db->arg, M_ENGINE_UIDS, &uids);
	uidset_free(&uids.set);
}

uint32_t
db_pair(struct db *db, const struct m_store_pair *m)
{
	const struct round	*r = adopt;
	size_t			 i, n = nitems(adopt);
	uint32_t		 pairs = 0;
	int			 s;

	if (m->mode == PAIR_RECOVER) {
		r = recover;
		n = nitems(recover);
	}
	db_change(db, m->mailbox);
	for (s = 0; s < SIDES; s++)
		db_run(db, DB_SEEN_ROWS, s, DB_INTS(m->mailbox));
	for (i = 0; i < n; i++) {
		pairs += pair_round(db, m->mailbox, &r[i], i == 0);
		if (i == 0 && !pair_left(db, m->mailbox))
			break;
	}
	db_count(db, m->mailbox, pairs);
	for (s = 0; s < SIDES; s++) {
		answer_unpaired(db, m->mailbox, s);
		db_unsee(db, m->mailbox, s);
	}
	return pairs;
}

void
db_diff(struct db *db, const struct m_store_diff *m)
{
	static char		 base[FLAGS_MAX], now[FLAGS_MAX];
	struct m_engine_row	 row;
	sqlite3_stmt		*st;

	db_change(db, m->mailbox);
	st = db_stmt(db, DB_SEEN_DIFF, m->side, DB_INTS(m->mailbox, m->n));
	while (db_step(db, st)) {
		row.local = sqlite3_column_int64(st, 0);
		row.remote = sqlite3_column_int64(st, 1);
		row.size = sqlite3_column_int64(st, 2);
		row.key = sqlite3_column_int64(st, 3);
		row.gone = sqlite3_column_type(st, 5) == SQLITE_NULL;
		row.flags = base;
		row.now = now;
		now[0] = '\0';
		db_flags(db, sqlite3_column_int64(st, 4), base);
		if (!row.gone)
			db_flags(db, sqlite3_column_int64(st, 5), now);
		if (row.gone || !flags_eq(base, now))
			db->answer(db->arg, M_ENGINE_ROW, &row);
	}
	db_unsee(db, m->mailbox, m->side);
}
