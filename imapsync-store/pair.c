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
#include "log.h"
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
	/* Some servers don't keep the date that they are given. */
	{ DB_SEEN_SIZE, 1, 0, 0 },
	/* Or the size: PAIR_LEARN only. */
	{ DB_SEEN_KEY, 0, 0, 0 },
};

void
db_seen(struct db *db, const struct m_store_seen *m)
{
	int64_t	 set;

	db_change(db, m->mailbox);
	set = db_flagset(db, m->flags);
	if (m->brief)
		db_run(db, DB_SEEN_BRIEF, m->side, DB_INTS(m->mailbox,
		    (int64_t)m->size, m->uid, DATE_NONE, set));
	else
		db_run(db, DB_SEEN, m->side, DB_INTS(m->mailbox,
		    (int64_t)m->key, (int64_t)m->size, m->uid, m->date,
		    m->msgid != 0, set));
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

/* The baseline of a pair that has none; tell of it if the flags differ. */
static int64_t
pair_base(struct db *db, const int64_t *uid, const int64_t *flagset)
{
	static char		 flags[SIDES][FLAGS_MAX], both[FLAGS_MAX];
	struct m_engine_paired	 p = { .base = "" };
	int			 s;

	if (flagset[LOCAL] == flagset[REMOTE])
		return flagset[LOCAL];
	for (s = 0; s < SIDES; s++) {
		db_flags(db, flagset[s], flags[s]);
		p.uid[s] = uid[s];
		p.flags[s] = flags[s];
	}
	if (flags_eq(flags[LOCAL], flags[REMOTE]))
		return flagset[LOCAL];
	flags_and(both, flags[LOCAL], flags[REMOTE]);
	/* \Deleted goes unless both have it, also later. */
	if (flags_has(flags[LOCAL], "\\Deleted") ||
	    flags_has(flags[REMOTE], "\\Deleted"))
		(void)flags_or(both, both, "\\Deleted");
	db->answer(db->arg, M_ENGINE_PAIRED, &p);
	return db_flagset(db, both);
}

/* Make a row of a pair. */
static void
make_pair(struct db *db, uint32_t mailbox, const struct walk *w)
{
	int64_t	 base;
	int	 s;

	base = pair_base(db,
	    (int64_t[SIDES]){ w[LOCAL].uid, w[REMOTE].uid },
	    (int64_t[SIDES]){ w[LOCAL].flagset, w[REMOTE].flagset });
	for (s = 0; s < SIDES; s++)
		db_left_del(db, mailbox, s, w[s].uid, w[s].uid);
	db_run(db, DB_ADD, LOCAL, DB_INTS(mailbox, w[LOCAL].uid, w[REMOTE].uid,
	    base, w[LOCAL].size == w[REMOTE].size ? w[LOCAL].size : 0,
	    w[LOCAL].key));
}

/*
 * Returns the pairs made.  "rows": there were rows before, so that it must be
 * looked which of the messages have one.
 */
static uint32_t
pair_round(struct db *db, uint32_t mailbox, const struct round *r, int first,
    int rows)
{
	struct walk	 w[SIDES];
	uint32_t	 n = 0;
	int		 c, s;

	for (s = 0; s < SIDES; s++) {
		w[s].st = db_stmt(db, r->st, s,
		    DB_INTS(mailbox, r->msgid, !first, rows));
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
		db_uids(db, &uids, uid, uid);
	}
	db_uids_end(db, &uids);
}

/* ---- repair ---- */

/* Columns of DB_REPAIR: of the row, then of what each side has. */
enum { R_LOCAL, R_REMOTE, R_SIZE, R_KEY, R_FLAGSET, R_FLAGS, R_SIDE };
enum { R_SIDE_UID, R_SIDE_SIZE, R_SIDE_KEY, R_SIDE_FLAGSET, R_NSIDE };

static int64_t
side_column(sqlite3_stmt *st, int side, int col)
{
	return sqlite3_column_int64(st, R_SIDE + side * R_NSIDE + col);
}

/*
 * Take the baseline of a row to dst[FLAGS_MAX]; 0 if there is none, or it is
 * none of ours, dst is then "".
 */
static int
row_base(sqlite3_stmt *st, char *dst)
{
	const char	*text;

	text = (const char *)sqlite3_column_text(st, R_FLAGS);
	if (text != NULL && strlcpy(dst, text, FLAGS_MAX) < FLAGS_MAX &&
	    flags_valid(dst))
		return 1;
	dst[0] = '\0';
	return 0;
}

/* What is wrong with a row, as M_ENGINE_ROW tells it; 0 nothing. */
static int
row_fault(sqlite3_stmt *st)
{
	int64_t	 key[SIDES];
	int	 fault = 0, s;

	for (s = 0; s < SIDES; s++) {
		if (side_column(st, s, R_SIDE_UID) == 0)	/* NULL */
			fault |= 1 << s;
		key[s] = side_column(st, s, R_SIDE_KEY);
	}
	if (fault == 0 && key[LOCAL] != 0 && key[REMOTE] != 0 &&
	    key[LOCAL] != key[REMOTE])
		fault = 4;
	return fault;
}

/* Tell of a sound row whose flags are not the baseline, and mend its rest. */
static void
repair_sound(struct db *db, uint32_t mailbox, sqlite3_stmt *st,
    const char *base)
{
	static char		 flags[SIDES][FLAGS_MAX];
	struct m_engine_paired	 p = { .isrow = 1, .base = base };
	int64_t			 key, size;
	int			 differs = 0, s;

	for (s = 0; s < SIDES; s++) {
		db_flags(db, side_column(st, s, R_SIDE_FLAGSET), flags[s]);
		differs |= !flags_eq(flags[s], base);
		p.flags[s] = flags[s];
		p.uid[s] = sqlite3_column_int64(st, s == LOCAL ? R_LOCAL :
		    R_REMOTE);
	}
	if (differs)
		db->answer(db->arg, M_ENGINE_PAIRED, &p);

	size = side_column(st, LOCAL, R_SIDE_SIZE);
	if (size != side_column(st, REMOTE, R_SIDE_SIZE))
		size = 0;
	if ((key = side_column(st, LOCAL, R_SIDE_KEY)) == 0 &&
	    (key = side_column(st, REMOTE, R_SIDE_KEY)) == 0)
		key = sqlite3_column_int64(st, R_KEY);
	if (size != sqlite3_column_int64(st, R_SIZE) ||
	    key != sqlite3_column_int64(st, R_KEY))
		db_run(db, DB_RESIZE, LOCAL, DB_INTS(mailbox, p.uid[LOCAL],
		    size, key));
}

/*
 * Hold every row against what was seen.  A program that is not ours may have
 * written to the file: of a UID with two rows one stays, if it is sound; a row
 * without a baseline goes.  Their messages are paired by content, like all
 * others without a row.  SQLite allows to change and to delete the row at which
 * a SELECT stands.
 */
static void
repair(struct db *db, uint32_t mailbox)
{
	static char		 base[FLAGS_MAX];
	struct m_engine_row	 row;
	sqlite3_stmt		*st;
	int			 n, unique;

	if ((n = db_run(db, DB_IMPOSSIBLE, LOCAL, DB_INTS(mailbox))) != 0)
		log_warnx("%s: rows with UIDs that can't be were dropped: %d",
		    db->path, n);
	unique = db_unique(db);
	st = db_stmt(db, DB_REPAIR, LOCAL, DB_INTS(mailbox));
	while (db_step(db, st)) {
		row.local = sqlite3_column_int64(st, R_LOCAL);
		row.remote = sqlite3_column_int64(st, R_REMOTE);
		row.size = sqlite3_column_int64(st, R_SIZE);
		row.key = sqlite3_column_int64(st, R_KEY);
		row.gone = row_fault(st);
		row.flags = base;
		row.now = "";
		if (!row_base(st, base) && row.gone == 0)
			row.gone = 4;
		if (row.gone == 0 && !unique &&
		    db_nrows(db, mailbox, REMOTE, row.remote, row.remote) > 1)
			row.gone = 4;
		if (row.gone == 0) {
			repair_sound(db, mailbox, st, base);
			continue;
		}
		db->answer(db->arg, M_ENGINE_ROW, &row);
		db_run(db, DB_DROP, LOCAL, DB_INTS(mailbox, row.local,
		    row.local));
	}
	if (!unique)
		db_reindex(db);
}

/* ---- what was taken over from another program ---- */

/* What both sides have of a row. */
struct seen {
	int64_t	 uid[SIDES];
	int64_t	 size[SIDES];
	int64_t	 key[SIDES];
	int64_t	 flagset[SIDES];
	int	 fault;		/* as row_fault() has it */
	int	 keys;		/* both are known */
	int	 same;		/* so are both sizes, and they are equal */
};

/* A row of DB_REPAIR, of the table as it was taken over. */
static void
seen_get(sqlite3_stmt *st, struct seen *w)
{
	int	 s;

	for (s = 0; s < SIDES; s++) {
		w->uid[s] = sqlite3_column_int64(st, s == LOCAL ? R_LOCAL :
		    R_REMOTE);
		w->size[s] = side_column(st, s, R_SIDE_SIZE);
		w->key[s] = side_column(st, s, R_SIDE_KEY);
		w->flagset[s] = side_column(st, s, R_SIDE_FLAGSET);
	}
	w->fault = row_fault(st);
	w->keys = w->key[LOCAL] != 0 && w->key[REMOTE] != 0;
	w->same = w->size[LOCAL] == w->size[REMOTE] && w->size[LOCAL] != 0;
}

/* The rows with both messages; 0 in "keys" if no message has shown its key. */
static int64_t
doubt_count(struct db *db, uint32_t mailbox, int *keys, uint32_t *differ)
{
	sqlite3_stmt	*st;
	struct seen	 w;
	int64_t		 n = 0;

	*keys = 0;
	*differ = 0;
	st = db_stmt(db, DB_REPAIR, LOCAL, DB_INTS(mailbox));
	while (db_step(db, st)) {
		seen_get(st, &w);
		*keys |= w.key[LOCAL] != 0 || w.key[REMOTE] != 0;
		*differ += w.fault == 4;
		n += w.fault == 0;
	}
	return n;
}

static void
answer_set(struct db *db, int side, struct uidset *set)
{
	struct m_engine_uids	 m = { 0, side, UIDSET_INIT };
	size_t			 i;

	for (i = 0; proto_set_part(set, &i, &m.set); )
		db->answer(db->arg, M_ENGINE_UIDS, &m);
	uidset_free(set);
}

/* PAIR_DOUBT: rows at ranks as in db_sample(), and those that look wrong. */
static uint32_t
doubt(struct db *db, uint32_t mailbox)
{
	struct uidset	 set[SIDES] = { UIDSET_INIT, UIDSET_INIT };
	sqlite3_stmt	*st;
	struct seen	 w;
	int64_t		 count, k = 0, n, rank = 0;
	uint32_t	 differ;
	int		 keys, s, wanted;

	n = doubt_count(db, mailbox, &keys, &differ);
	count = keys ? 0 : n < PAIR_SAMPLE ? n : PAIR_SAMPLE;
	st = db_stmt(db, DB_REPAIR, LOCAL, DB_INTS(mailbox));
	while (db_step(db, st)) {
		seen_get(st, &w);
		if (w.fault != 0)
			continue;
		wanted = !w.keys && !w.same;
		if (k < count && rank++ == (count == 1 ? 0 :
		    k * (n - 1) / (count - 1))) {
			wanted = 1;
			k++;
		}
		for (s = 0; s < SIDES && wanted; s++)
			uidset_add(&set[s], w.uid[s], w.uid[s]);
	}
	for (s = 0; s < SIDES; s++)
		answer_set(db, s, &set[s]);
	return differ;
}

/* PAIR_IMPORT; returns the rows that stay. */
static uint32_t
whole(struct db *db, uint32_t mailbox)
{
	struct m_engine_row	 row = { .flags = "", .now = "" };
	sqlite3_stmt		*st;
	struct seen		 w;
	uint32_t		 n = 0;

	st = db_stmt(db, DB_REPAIR, LOCAL, DB_INTS(mailbox));
	while (db_step(db, st)) {
		seen_get(st, &w);
		if (w.fault == 0 && !w.keys && !w.same)
			w.fault = 4;
		if (w.fault == 0) {
			db_run(db, DB_WHOLE, LOCAL, DB_INTS(mailbox,
			    w.uid[LOCAL], pair_base(db, w.uid, w.flagset),
			    w.same ? w.size[LOCAL] : 0,
			    w.keys ? w.key[LOCAL] : 0));
			n++;
			continue;
		}
		row.local = w.uid[LOCAL];
		row.remote = w.uid[REMOTE];
		row.gone = w.fault;
		db->answer(db->arg, M_ENGINE_ROW, &row);
		db_run(db, DB_DROP, LOCAL, DB_INTS(mailbox, w.uid[LOCAL],
		    w.uid[LOCAL]));
	}
	db_run(db, DB_RECOUNT, LOCAL, DB_INTS(mailbox));
	return n;
}

/* What both sides have by its key, and is no pair all the same. */
static uint32_t
twins(struct db *db, uint32_t mailbox)
{
	sqlite3_stmt	*st;
	int64_t		 n = 0;

	st = db_stmt(db, DB_SEEN_TWINS, LOCAL, DB_INTS(mailbox));
	while (db_step(db, st))
		n = sqlite3_column_int64(st, 0);
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

uint32_t
db_pair(struct db *db, const struct m_store_pair *m)
{
	const struct round	*r = adopt;
	size_t			 i, n = nitems(adopt);
	uint32_t		 pairs = 0;
	int			 rows, s;

	if (m->mode == PAIR_DOUBT)
		return doubt(db, m->mailbox);
	if (m->mode == PAIR_RECOVER || m->mode == PAIR_LEARN) {
		r = recover;
		n = nitems(recover) - (m->mode == PAIR_RECOVER);
	}
	db_change(db, m->mailbox);
	if (m->mode == PAIR_REPAIR)
		repair(db, m->mailbox);
	rows = db_nrows(db, m->mailbox, LOCAL, 1, UINT32_MAX) != 0;
	if (m->mode == PAIR_IMPORT) {
		pairs = whole(db, m->mailbox);
		n = 0;
	}
	for (i = 0; i < n; i++) {
		pairs += pair_round(db, m->mailbox, &r[i], i == 0, rows);
		if (i == 0 && !pair_left(db, m->mailbox))
			break;
	}
	if (m->mode == PAIR_REPAIR)
		db_run(db, DB_RECOUNT, LOCAL, DB_INTS(m->mailbox));
	else if (m->mode != PAIR_IMPORT)
		db_count(db, m->mailbox, pairs);
	db->twins = 0;
	if (m->mode == PAIR_ADOPT)
		db->twins = twins(db, m->mailbox);
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

/* ---- what is kept of flags ---- */

/* The baseline of the rows that have this one. */
static void
rebase(struct db *db, const struct m_store_rebase *m, const struct uidrange *r,
    int64_t old)
{
	static char	 flags[FLAGS_MAX];

	db_flags(db, old, flags);
	if (!m->add)
		flags_sub(flags, flags, m->flags);
	else if (flags_or(flags, flags, m->flags) == -1)
		return;
	db_run(db, DB_REBASE, m->side, DB_INTS(m->mailbox, r->lo, r->hi, old,
	    db_flagset(db, flags)));
}

/* There are few different ones; none is changed while they are being read. */
void
db_rebase(struct db *db, const struct m_store_rebase *m)
{
	struct uidrange	 r;
	sqlite3_stmt	*st;
	int64_t		*old;
	size_t		 i, n;
	uint32_t	 uid;

	db_change(db, m->mailbox);
	UIDSET_FOREACH(r, &m->set, uid) {
		old = NULL;
		n = 0;
		st = db_stmt(db, DB_BASES, m->side,
		    DB_INTS(m->mailbox, r.lo, r.hi));
		while (db_step(db, st)) {
			old = xreallocarray(old, n + 1, sizeof(*old));
			old[n++] = sqlite3_column_int64(st, 0);
		}
		for (i = 0; i < n; i++)
			rebase(db, m, &r, old[i]);
		free(old);
	}
}
