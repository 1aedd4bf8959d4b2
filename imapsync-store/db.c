/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The statements, transactions, and the requests that are little more than a
 * statement.  64-bit numbers without sign (keys, sizes, modification sequences)
 * are stored as the signed number of the same bits.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "log.h"
#include "store.h"

#define SWEEP_ROWS	100000	/* so many rows are looked through at no cost */
#define SHRINK_PAGES	1024	/* free pages worth giving back */

/*
 * A statement with "@" is prepared once a side, which is put in its place.
 * LEFT JOIN keeps SQLite from choosing another order of the tables, and shows
 * where what should be there is not.
 */
#define WATER_COLUMNS(side)	side "_uidvalidity, " side "_uidnext, "	\
	    side "_messages, " side "_modseq, " side "_mailboxid, coalesce("\
	    side ".time, 0), coalesce(" side ".unseen, 0)"
#define LOOKED(side, number)	" LEFT JOIN looked " side " ON "	\
	    side ".mailbox = id AND " side ".side = " number
static const char *const statement[DB_NSTMT] = {
	[DB_BEGIN] = "BEGIN IMMEDIATE",
	[DB_COMMIT] = "COMMIT",
	[DB_LOAD] = "SELECT id, adopt, subscribed, rows, coalesce(count, 0),"
	    " coalesce(lost.side, 0), coalesce(uid, 0), coalesce(next, 0),"
	    " name, coalesce(mapped.remote, ''), coalesce(use, 0), "
	    WATER_COLUMNS("local") ", " WATER_COLUMNS("remote")
	    " FROM mailbox LEFT JOIN lost ON lost.mailbox = id"
	    " LEFT JOIN mapped ON mapped.mailbox = id"
	    LOOKED("local", "0") LOOKED("remote", "1") " ORDER BY id",
	[DB_MARKS] = "SELECT mailbox, target, tries, uidvalidity, uidnext,"
	    " time FROM mark ORDER BY mailbox, target",
	[DB_MARKSET] = "SELECT lo, hi FROM markset"
	    " WHERE mailbox = ?1 AND target = ?2 ORDER BY lo",
	[DB_REFUSALS] = "SELECT mailbox, side, uid, code, attempts, size, lim,"
	    " next, text FROM refused ORDER BY mailbox, side, uid",
	[DB_NEWBOX] = "INSERT INTO mailbox (id, adopt, name)"
	    " VALUES (?1, ?2, ?3)",
	[DB_NROWS] = "SELECT rows FROM mailbox WHERE id = ?1",
	[DB_SUBSCRIBED] = "UPDATE mailbox SET subscribed = ?2 WHERE id = ?1",
	[DB_ADOPT] = "UPDATE mailbox SET adopt = ?2 WHERE id = ?1",
	[DB_WATER] = "UPDATE mailbox SET @_uidvalidity = ?2, @_uidnext = ?3,"
	    " @_messages = ?4, @_modseq = ?5, @_mailboxid = ?6 WHERE id = ?1",
	[DB_LOOKED] = "REPLACE INTO looked (mailbox, side, time, unseen)"
	    " VALUES (?1, ?2, ?3, ?4)",
	[DB_UNLOOKED] = "DELETE FROM looked WHERE mailbox = ?1 AND side = ?2",
	[DB_SERVERS] = "SELECT side, delimiter, ask FROM server ORDER BY side",
	[DB_SERVER] = "REPLACE INTO server (side, delimiter, ask)"
	    " VALUES (?1, ?2, ?3)",
	[DB_RENAME] = "UPDATE mailbox SET name = ?2 WHERE id = ?1",
	[DB_MAPPED] = "REPLACE INTO mapped (mailbox, use, remote)"
	    " VALUES (?1, ?2, ?3)",
	[DB_UNMAPPED] = "DELETE FROM mapped WHERE mailbox = ?1",
	[DB_FORGET] = "DELETE FROM mailbox WHERE id = ?1",
	[DB_COUNT] = "UPDATE mailbox SET rows = rows + ?2 WHERE id = ?1",
	[DB_RECOUNT] = "UPDATE mailbox SET rows ="
	    " (SELECT count(*) FROM message WHERE mailbox = ?1) WHERE id = ?1",
	[DB_TOP] = "SELECT max("
	    "coalesce((SELECT max(@) FROM message WHERE mailbox = ?1), 0), "
	    "coalesce((SELECT max(uid) FROM refused"
	    " WHERE mailbox = ?1 AND side = ?2), 0), "
	    "coalesce((SELECT max(hi) FROM leftout"
	    " WHERE mailbox = ?1 AND side IN (?2, ?2 + 2)), 0), "
	    "coalesce((SELECT max(hi) FROM markset"
	    " WHERE mailbox = ?1 AND target = 1 - ?2), 0))",
	[DB_ROWS] = "SELECT m.local, m.remote, m.size, m.key, f.flags"
	    " FROM message m LEFT JOIN flagset f ON f.id = m.flagset"
	    " WHERE m.mailbox = ?1 AND m.@ BETWEEN ?2 AND ?3 ORDER BY m.@",
	[DB_UIDS] = "SELECT @ FROM message"
	    " WHERE mailbox = ?1 AND @ BETWEEN ?2 AND ?3 ORDER BY @",
	[DB_NRANGE] = "SELECT count(*) FROM message"
	    " WHERE mailbox = ?1 AND @ BETWEEN ?2 AND ?3",
	[DB_ADD] = "INSERT INTO message (mailbox, local, remote, flagset, size,"
	    " key) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[DB_BASE] = "UPDATE message SET flagset = ?3"
	    " WHERE mailbox = ?1 AND local = ?2",
	[DB_BASES] = "SELECT DISTINCT flagset FROM message"
	    " WHERE mailbox = ?1 AND @ BETWEEN ?2 AND ?3",
	[DB_REBASE] = "UPDATE message SET flagset = ?5"
	    " WHERE mailbox = ?1 AND @ BETWEEN ?2 AND ?3 AND flagset = ?4",
	[DB_DROP] = "DELETE FROM message"
	    " WHERE mailbox = ?1 AND @ BETWEEN ?2 AND ?3",
	[DB_UNREFUSE] = "DELETE FROM refused"
	    " WHERE mailbox = ?1 AND side = ?2 AND uid BETWEEN ?3 AND ?4",
	[DB_MARK] = "INSERT INTO mark (mailbox, target, uidvalidity, uidnext,"
	    " time, mailboxid) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
	    " ON CONFLICT (mailbox, target) DO UPDATE SET"
	    " uidvalidity = excluded.uidvalidity, uidnext = excluded.uidnext,"
	    " time = excluded.time, mailboxid = excluded.mailboxid",
	[DB_ISMARK] = "SELECT 1 FROM mark WHERE mailbox = ?1 AND target = ?2",
	[DB_MARKADD] = "INSERT INTO markset (mailbox, target, lo, hi)"
	    " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (mailbox, target, lo)"
	    " DO UPDATE SET hi = max(hi, excluded.hi)",
	[DB_MARKFAIL] = "UPDATE mark SET tries = tries + 1"
	    " WHERE mailbox = ?1 AND target = ?2",
	[DB_LOST] = "REPLACE INTO lost (mailbox, count, side, uid, next)"
	    " VALUES (?1, ?2, ?3, ?4, ?5)",
	[DB_UNLOST] = "DELETE FROM lost WHERE mailbox = ?1",
	[DB_STOPS] = "SELECT name, text, since FROM stopped ORDER BY name",
	[DB_STOP] = "INSERT INTO stopped (name, text, since)"
	    " VALUES (?2, ?3, ?1)"
	    " ON CONFLICT (name) DO UPDATE SET text = ?3",
	[DB_UNSTOP] = "DELETE FROM stopped WHERE name = ?1",
	[DB_DELETED] = "INSERT INTO deleted (hour, n) VALUES (?1, ?2)"
	    " ON CONFLICT (hour) DO UPDATE SET n = n + ?2",
	[DB_DELETED_OLD] = "DELETE FROM deleted WHERE hour <= ?1",
	[DB_DELETED_SUM] = "SELECT coalesce(sum(n), 0) FROM deleted"
	    " WHERE hour > ?1 AND hour <= ?2",
	[DB_UNMARK] = "DELETE FROM mark WHERE mailbox = ?1 AND target = ?2",
	[DB_UNMARKSET] = "DELETE FROM markset"
	    " WHERE mailbox = ?1 AND target = ?2",
	[DB_REFUSE] = "INSERT OR REPLACE INTO refused (mailbox, side, uid,"
	    " code, attempts, size, lim, next, text)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[DB_LEFT] = "SELECT lo, hi FROM leftout"
	    " WHERE mailbox = ?1 AND side = ?2 ORDER BY lo",
	[DB_LEFT_BELOW] = "SELECT lo, hi FROM leftout WHERE mailbox = ?1"
	    " AND side = ?2 AND lo <= ?3 ORDER BY lo DESC LIMIT 1",
	[DB_LEFT_ADD] = "INSERT INTO leftout (mailbox, side, lo, hi)"
	    " VALUES (?1, ?2, ?3, ?4)",
	[DB_LEFT_DEL] = "DELETE FROM leftout"
	    " WHERE mailbox = ?1 AND side = ?2 AND lo BETWEEN ?3 AND ?4",
	[DB_FLAGSET] = "SELECT id FROM flagset WHERE flags = ?1",
	[DB_NEWFLAGSET] = "INSERT INTO flagset (flags) VALUES (?1)",
	[DB_FLAGS] = "SELECT flags FROM flagset WHERE id = ?1",
	[DB_SWEEP] = "DELETE FROM flagset WHERE id NOT IN"
	    " (SELECT flagset FROM message)",
	[DB_SEEN] = "INSERT OR REPLACE INTO seen_@ (mailbox, key, size, uid,"
	    " date, msgid, flagset) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[DB_SEEN_BRIEF] = "INSERT INTO seen_@ (mailbox, key, size, uid, date,"
	    " msgid, flagset) VALUES (?1, 0, ?2, ?3, ?4, 0, ?5)"
	    " ON CONFLICT (mailbox, uid) DO UPDATE SET size = excluded.size",
#define WALK	"SELECT key, size, date, uid, flagset FROM seen_@"	\
	    " WHERE mailbox = ?1 AND msgid >= ?2 AND rest >= ?3"	\
	    " AND (?4 = 0 OR NOT EXISTS (SELECT 1 FROM message"		\
	    " WHERE mailbox = ?1 AND @ = uid))"
#define DATED	" AND date != (-9223372036854775807 - 1)"
	[DB_SEEN_SIZE] = WALK " ORDER BY key, size, uid",
	[DB_SEEN_SIZEDATE] = WALK DATED " ORDER BY key, size, date, uid",
	[DB_SEEN_DATE] = WALK DATED " ORDER BY key, date, uid",
	[DB_SEEN_KEY] = WALK " ORDER BY key, uid",
	[DB_SEEN_LEFT] = "UPDATE seen_@ SET rest = ?3"
	    " WHERE mailbox = ?1 AND uid = ?2",
	[DB_SEEN_UIDS] = "SELECT uid FROM seen_@ WHERE mailbox = ?1"
	    " AND NOT EXISTS (SELECT 1 FROM message"
	    " WHERE mailbox = ?1 AND @ = uid) ORDER BY uid",
	[DB_SEEN_DIFF] = "SELECT m.local, m.remote, m.size, m.key, m.flagset,"
	    " s.flagset FROM message m LEFT JOIN seen_@ s"
	    " ON s.mailbox = ?1 AND s.uid = m.@"
	    " WHERE m.mailbox = ?1 AND m.@ <= ?2"
	    " AND (s.uid IS NULL OR s.flagset != m.flagset) ORDER BY m.@",
	[DB_SEEN_OTHERS] = "SELECT"
	    " EXISTS (SELECT 1 FROM seen_@ WHERE mailbox < ?1) OR"
	    " EXISTS (SELECT 1 FROM seen_@ WHERE mailbox > ?1)",
	[DB_SEEN_TWINS] = "SELECT coalesce(sum(min(l.n, r.n)), 0) FROM"
	    " (SELECT key, count(*) AS n FROM seen_local WHERE mailbox = ?1"
	    " AND msgid AND NOT EXISTS (SELECT 1 FROM message"
	    " WHERE mailbox = ?1 AND local = uid) GROUP BY key) l JOIN"
	    " (SELECT key, count(*) AS n FROM seen_remote WHERE mailbox = ?1"
	    " AND msgid AND NOT EXISTS (SELECT 1 FROM message"
	    " WHERE mailbox = ?1 AND remote = uid) GROUP BY key) r"
	    " ON l.key = r.key",
	[DB_SEEN_FORGET] = "DELETE FROM seen_@ WHERE mailbox = ?1",
	[DB_SEEN_CLEAR] = "DELETE FROM seen_@",
	[DB_REPAIR] = "SELECT m.local, m.remote, m.size, m.key, m.flagset,"
	    " f.flags, l.uid, l.size, l.key, l.flagset,"
	    " r.uid, r.size, r.key, r.flagset FROM message m"
	    " LEFT JOIN flagset f ON f.id = m.flagset"
	    " LEFT JOIN seen_local l ON l.mailbox = ?1 AND l.uid = m.local"
	    " LEFT JOIN seen_remote r ON r.mailbox = ?1 AND r.uid = m.remote"
	    " WHERE m.mailbox = ?1 ORDER BY m.local",
	[DB_TAKE] = "INSERT OR IGNORE INTO message (mailbox, local, remote,"
	    " flagset, size, key) VALUES (?1, ?2, ?3, ?4, 0, 0)",
	[DB_WHOLE] = "UPDATE message SET flagset = ?3, size = ?4, key = ?5"
	    " WHERE mailbox = ?1 AND local = ?2",
	[DB_IMPOSSIBLE] = "DELETE FROM message WHERE mailbox = ?1 AND NOT"
	    " (typeof(local) = 'integer' AND typeof(remote) = 'integer' AND"
	    " local BETWEEN 1 AND 4294967295 AND"
	    " remote BETWEEN 1 AND 4294967295)",
	[DB_RESIZE] = "UPDATE message SET size = ?3, key = ?4"
	    " WHERE mailbox = ?1 AND local = ?2",
	[DB_SYNCED] = "INSERT INTO account (id, made, synced)"
	    " VALUES (1, ?1, ?1) ON CONFLICT (id) DO UPDATE SET synced = ?1",
};

/* ---- errors ---- */

/*
 * Say what happened and what to do.  The state is as the last commit left it in
 * every case, and the text says so where the user may doubt it.
 */
__dead void
db_fail(struct db *db)
{
	char	 why[512];
	int	 rc, sys;

	rc = sqlite3_extended_errcode(db->sql);
	/* Of a COMMIT only the file knows it. */
	if ((sys = sqlite3_system_errno(db->sql)) == 0)
		sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_LAST_ERRNO,
		    &sys);
	snprintf(why, sizeof(why), "%s", sqlite3_errmsg(db->sql));
	db_abort(db);

	if ((rc & 0xff) == SQLITE_IOERR &&
	    (sys == ENOSPC || sys == EDQUOT || sys == EFBIG))
		rc = SQLITE_FULL;
	switch (rc & 0xff) {
	case SQLITE_INTERRUPT:
		/* It was told to end; there is nobody left to tell. */
		_exit(EX_SYNC_ERROR);
	case SQLITE_FULL:
		fatal_ex(EX_SYNC_TEMP, "%s: no space left on the disk, or a "
		    "quota or file size limit was reached: make room and run "
		    "again; the state is as the last commit left it", db->path);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		fatal_ex(EX_SYNC_ERROR, "%s is damaged (%s): look at it with "
		    "sqlite3 '%s' 'PRAGMA integrity_check', then restore it "
		    "from a backup, or move it away, and the next run pairs "
		    "all messages by their content", db->path, why, db->path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		fatal_ex(EX_SYNC_ERROR, "%s: %s (%s): look at the owner and "
		    "mode of the file and its directory, both must be "
		    "writable", db->path, why,
		    sys != 0 ? strerror(sys) : "not writable");
	case SQLITE_IOERR:
		fatal_ex(EX_SYNC_ERROR, "%s: %s (%s): look at the disk and the "
		    "system's log; the state is as the last commit left it",
		    db->path, why, sys != 0 ? strerror(sys) : "unknown cause");
	case SQLITE_CONSTRAINT:
		fatal_ex(EX_SYNC_ERROR, "%s: %s: nothing of this was saved; if "
		    "another program wrote to the file, imapsync --repair "
		    "mends it, else please report it", db->path, why);
	case SQLITE_NOMEM:
		fatal_ex(EX_SYNC_ERROR, "%s: out of memory", db->path);
	default:
		fatal_ex(EX_SYNC_ERROR, "%s: %s (SQLite error %d)", db->path,
		    why, rc);
	}
}

void
db_exec(struct db *db, const char *sql)
{
	db_added(db);
	if (sqlite3_exec(db->sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		db_fail(db);
}

int64_t
db_number(struct db *db, const char *sql)
{
	sqlite3_stmt	*st;
	int64_t		 n = 0;

	db_added(db);
	if (sqlite3_prepare_v2(db->sql, sql, -1, &st, NULL) != SQLITE_OK)
		db_fail(db);
	if (db_step(db, st))
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* ---- statements ---- */

sqlite3_stmt *
db_stmt(struct db *db, enum db_stmt which, int side, const int64_t *v, size_t n)
{
	sqlite3_stmt	*st = db->st[which][side];
	size_t		 i;

	if (which != DB_ADD && which != DB_FLAGSET && which != DB_NEWFLAGSET)
		db_added(db);
	if (st == NULL)		/* it does not differ by side */
		st = db->st[which][LOCAL];
	for (i = 0; i < n; i++) {
		if (sqlite3_bind_int64(st, i + 1, v[i]) != SQLITE_OK)
			db_fail(db);
	}
	return st;
}

void
db_bind_text(struct db *db, sqlite3_stmt *st, int i, const char *text)
{
	if (sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC) != SQLITE_OK)
		db_fail(db);
}

int
db_step(struct db *db, sqlite3_stmt *st)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		sqlite3_reset(st);
		return 0;
	default:
		db_fail(db);
	}
}

int
db_finish(struct db *db, sqlite3_stmt *st)
{
	while (db_step(db, st))
		;
	return sqlite3_changes(db->sql);
}

int
db_run(struct db *db, enum db_stmt which, int side, const int64_t *v, size_t n)
{
	return db_finish(db, db_stmt(db, which, side, v, n));
}

const char *
db_text(struct db *db, sqlite3_stmt *st, int col)
{
	const char	*text;

	if ((text = (const char *)sqlite3_column_text(st, col)) == NULL) {
		db_abort(db);
		fatalx("%s is damaged (a text is missing): restore it from a "
		    "backup, or move it away, and the next run pairs all "
		    "messages by their content", db->path);
	}
	return text;
}

sqlite3_stmt *
db_prepare(struct db *db, const char *sql, int side)
{
	struct buf	 b = BUF_INIT;
	sqlite3_stmt	*st;

	for (; *sql != '\0'; sql++) {
		if (*sql == '@')
			buf_puts(&b, side_name[side]);
		else
			buf_add(&b, sql, 1);
	}
	if (sqlite3_prepare_v3(db->sql, (const char *)buf_ptr(&b), b.len,
	    SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
		db_fail(db);
	buf_free(&b);
	return st;
}

void
db_prepare_all(struct db *db)
{
	int	 i, s;

	for (i = 0; i < DB_NSTMT; i++) {
		for (s = 0; s < SIDES; s++) {
			if (s == LOCAL || strchr(statement[i], '@') != NULL)
				db->st[i][s] =
				    db_prepare(db, statement[i], s);
		}
	}
}

/* ---- transactions ---- */

void
db_begin(struct db *db)
{
	if (db->intrans)
		return;
	db_run(db, DB_BEGIN, LOCAL, NULL, 0);
	db->intrans = 1;
}

void
db_commit(struct db *db)
{
	if (!db->intrans || db->dryrun)
		return;
	if (db->taking) {
		db_abort(db);
		fatalx("%s: what is imported would be kept before it was "
		    "checked: this is a fault of imapsync, please report it",
		    db->path);
	}
	db_run(db, DB_COMMIT, LOCAL, NULL, 0);
	db->intrans = 0;
}

/* Close what is open, whatever its state; SQLite rolls back. */
void
db_abort(struct db *db)
{
	sqlite3_stmt	*st;

	if (db->sql != NULL) {
		while ((st = sqlite3_next_stmt(db->sql, NULL)) != NULL)
			sqlite3_finalize(st);
		memset(db->st, 0, sizeof(db->st));
		sqlite3_close(db->sql);
		db->sql = NULL;
	}
	if (db->guard != NULL) {
		sqlite3_close(db->guard);
		db->guard = NULL;
	}
	db->intrans = 0;
	memset(&db->added, 0, sizeof(db->added));
}

/*
 * Forget flag sets that no row has, where looking through the rows is quick or
 * worth its time.
 */
static void
sweep(struct db *db)
{
	int64_t	 nrows;

	if (!db->newflagsets)
		return;
	nrows = db_number(db, "SELECT total(rows) FROM mailbox");
	if (nrows > SWEEP_ROWS &&
	    nrows / 16 > db_number(db, "SELECT count(*) FROM flagset"))
		return;
	db_begin(db);
	db_run(db, DB_SWEEP, LOCAL, NULL, 0);
}

/* Give back the room that the tables of pair.c took, if it is much. */
static void
shrink(struct db *db)
{
	int64_t	 nfree;

	nfree = db_number(db, "PRAGMA freelist_count");
	if (nfree > SHRINK_PAGES &&
	    nfree > db_number(db, "PRAGMA page_count") / 2)
		db_exec(db, "PRAGMA incremental_vacuum");
}

void
db_close(struct db *db)
{
	/* An import that was not finished has not been. */
	if (!db->dryrun && !db->taking) {
		sweep(db);
		db_commit(db);
		shrink(db);
	}
	db_abort(db);
}

void
db_change(struct db *db, uint32_t mailbox)
{
	sqlite3_stmt	*st;

	db_begin(db);
	st = db_stmt(db, DB_NROWS, LOCAL, DB_INTS(mailbox));
	if (!db_step(db, st)) {
		db_abort(db);
		fatalx("%s: there is no mailbox %u: this is a fault of "
		    "imapsync, please report it", db->path, mailbox);
	}
	sqlite3_reset(st);
}

void
db_count(struct db *db, uint32_t mailbox, int64_t n)
{
	if (n != 0)
		db_run(db, DB_COUNT, LOCAL, DB_INTS(mailbox, n));
}

int64_t
db_flagset(struct db *db, const char *flags)
{
	struct flagset	*fs;
	sqlite3_stmt	*st;

	for (fs = db->flagsets; fs < db->flagsets + nitems(db->flagsets); fs++)
		if (fs->flags != NULL && strcmp(flags, fs->flags) == 0)
			return fs->id;
	fs = &db->flagsets[db->nextset++ % nitems(db->flagsets)];
	st = db_stmt(db, DB_FLAGSET, LOCAL, NULL, 0);
	db_bind_text(db, st, 1, flags);
	if (db_step(db, st)) {
		fs->id = sqlite3_column_int64(st, 0);
		sqlite3_reset(st);
	} else {
		st = db_stmt(db, DB_NEWFLAGSET, LOCAL, NULL, 0);
		db_bind_text(db, st, 1, flags);
		db_finish(db, st);
		fs->id = sqlite3_last_insert_rowid(db->sql);
		db->newflagsets = 1;
	}
	free(fs->flags);
	fs->flags = xstrdup(flags);
	return fs->id;
}

void
db_flags(struct db *db, int64_t flagset, char *dst)
{
	sqlite3_stmt	*st;

	st = db_stmt(db, DB_FLAGS, LOCAL, DB_INTS(flagset));
	if (!db_step(db, st) ||
	    strlcpy(dst, db_text(db, st, 0), FLAGS_MAX) >= FLAGS_MAX) {
		db_abort(db);
		fatalx("%s is damaged (flag set %lld): restore it from a "
		    "backup, or move it away, and the next run pairs all "
		    "messages by their content", db->path, (long long)flagset);
	}
	sqlite3_reset(st);
}

void
db_uids(struct db *db, struct m_engine_uids *m, uint32_t lo, uint32_t hi)
{
	if (m->set.n == PROTO_SET_MAX && lo > uidset_max(&m->set) + 1)
		db_uids_end(db, m);
	uidset_add(&m->set, lo, hi);
}

void
db_uids_end(struct db *db, struct m_engine_uids *m)
{
	if (!uidset_empty(&m->set))
		db->answer(db->arg, M_ENGINE_UIDS, m);
	uidset_free(&m->set);
}

/* ---- requests ---- */

static void
load_marks(struct db *db)
{
	struct m_engine_mark	 m;
	struct uidset		 set = UIDSET_INIT;
	sqlite3_stmt		*st, *ranges;
	size_t			 i;

	st = db_stmt(db, DB_MARKS, LOCAL, NULL, 0);
	while (db_step(db, st)) {
		m.mailbox = sqlite3_column_int64(st, 0);
		m.target = sqlite3_column_int(st, 1);
		m.tries = sqlite3_column_int64(st, 2);
		m.uidvalidity = sqlite3_column_int64(st, 3);
		m.uidnext = sqlite3_column_int64(st, 4);
		m.time = sqlite3_column_int64(st, 5);
		ranges = db_stmt(db, DB_MARKSET, LOCAL,
		    DB_INTS(m.mailbox, m.target));
		while (db_step(db, ranges))
			uidset_add(&set, sqlite3_column_int64(ranges, 0),
			    sqlite3_column_int64(ranges, 1));
		m.first = 1;
		for (i = 0; proto_set_part(&set, &i, &m.set); m.first = 0)
			db->answer(db->arg, M_ENGINE_MARK, &m);
		uidset_free(&set);
	}
}

void
db_load(struct db *db)
{
	struct m_engine_mbox	 m;
	struct m_engine_refusal	 r;
	sqlite3_stmt		*st;
	int			 c, s;

	file_servers(db);
	st = db_stmt(db, DB_LOAD, LOCAL, NULL, 0);
	while (db_step(db, st)) {
		m.mailbox = sqlite3_column_int64(st, 0);
		m.adopt = sqlite3_column_int(st, 1);
		m.subscribed = sqlite3_column_int(st, 2);
		m.rows = sqlite3_column_int64(st, 3);
		m.lost = sqlite3_column_int64(st, 4);
		m.lost_side = sqlite3_column_int(st, 5);
		m.lost_uid = sqlite3_column_int64(st, 6);
		m.lost_next = sqlite3_column_int64(st, 7);
		m.name = db_text(db, st, 8);
		m.remote = db_text(db, st, 9);
		m.use = sqlite3_column_int64(st, 10);
		for (s = 0, c = 11; s < SIDES; s++) {
			m.water[s].uidvalidity = sqlite3_column_int64(st, c++);
			m.water[s].uidnext = sqlite3_column_int64(st, c++);
			m.water[s].messages = sqlite3_column_int64(st, c++);
			m.water[s].modseq = sqlite3_column_int64(st, c++);
			m.water[s].mailboxid = db_text(db, st, c++);
			m.water[s].looked = sqlite3_column_int64(st, c++);
			m.water[s].unseen = sqlite3_column_int64(st, c++);
		}
		db->answer(db->arg, M_ENGINE_MBOX, &m);
	}
	load_marks(db);
	st = db_stmt(db, DB_REFUSALS, LOCAL, NULL, 0);
	while (db_step(db, st)) {
		r.mailbox = sqlite3_column_int64(st, 0);
		r.side = sqlite3_column_int(st, 1);
		r.uid = sqlite3_column_int64(st, 2);
		r.code = sqlite3_column_int(st, 3);
		r.attempts = sqlite3_column_int64(st, 4);
		r.size = sqlite3_column_int64(st, 5);
		r.limit = sqlite3_column_int64(st, 6);
		r.next = sqlite3_column_int64(st, 7);
		r.text = db_text(db, st, 8);
		db->answer(db->arg, M_ENGINE_REFUSAL, &r);
	}
	db_stops_tell(db);
}

void
db_newbox(struct db *db, const struct m_store_newbox *m)
{
	sqlite3_stmt	*st;

	db_begin(db);
	st = db_stmt(db, DB_NEWBOX, LOCAL, DB_INTS(m->mailbox, m->adopt));
	db_bind_text(db, st, 3, m->name);
	db_finish(db, st);
	db_mapped(db, m->mailbox, m->remote, m->use);
}

void
db_subscribed(struct db *db, const struct m_store_subscribed *m)
{
	db_change(db, m->mailbox);
	db_run(db, DB_SUBSCRIBED, LOCAL, DB_INTS(m->mailbox, m->subscribed));
}

/* Drop the rows and, of that side, refusals and what was left out. */
static void
drop_range(struct db *db, uint32_t mailbox, int side, uint32_t lo, uint32_t hi)
{
	int	 n;

	n = db_run(db, DB_DROP, side, DB_INTS(mailbox, lo, hi));
	db_count(db, mailbox, -(int64_t)n);
	db_run(db, DB_UNREFUSE, LOCAL, DB_INTS(mailbox, side, lo, hi));
	db_left_del(db, mailbox, side, lo, hi);
}

static void
unmark(struct db *db, uint32_t mailbox, int target)
{
	db_run(db, DB_UNMARK, LOCAL, DB_INTS(mailbox, target));
	db_run(db, DB_UNMARKSET, LOCAL, DB_INTS(mailbox, target));
}

static void
set_water(struct db *db, uint32_t mailbox, int side, const struct m_water *w)
{
	sqlite3_stmt	*st;

	st = db_stmt(db, DB_WATER, side, DB_INTS(mailbox, w->uidvalidity,
	    w->uidnext, w->messages, (int64_t)w->modseq));
	db_bind_text(db, st, 6, w->mailboxid);
	db_finish(db, st);
	if (w->looked != 0 || w->unseen != 0)
		db_run(db, DB_LOOKED, LOCAL, DB_INTS(mailbox, side, w->looked,
		    (int64_t)w->unseen));
	else
		db_run(db, DB_UNLOOKED, LOCAL, DB_INTS(mailbox, side));
}

/* All that a mailbox has, but not the mailbox itself. */
static void
drop_all(struct db *db, uint32_t mailbox)
{
	const struct m_water	 none = { 0, 1, 0, 0, "", 0, 0 };
	int			 s;

	for (s = 0; s < SIDES; s++) {
		drop_range(db, mailbox, s, 0, UINT32_MAX);
		unmark(db, mailbox, s);
		set_water(db, mailbox, s, &none);
		db_unsee(db, mailbox, s);
	}
}

void
db_adopt(struct db *db, const struct m_store_adopt *m)
{
	db_change(db, m->mailbox);
	db_run(db, DB_ADOPT, LOCAL, DB_INTS(m->mailbox, m->adopt));
	if (m->drop)
		drop_all(db, m->mailbox);
}

void
db_forget(struct db *db, const struct m_store_forget *m)
{
	db_change(db, m->mailbox);
	drop_all(db, m->mailbox);
	db_run(db, DB_UNLOST, LOCAL, DB_INTS(m->mailbox));
	db_run(db, DB_UNMAPPED, LOCAL, DB_INTS(m->mailbox));
	db_run(db, DB_FORGET, LOCAL, DB_INTS(m->mailbox));
}

void
db_rename(struct db *db, const struct m_store_rename *m)
{
	sqlite3_stmt	*st;

	db_change(db, m->mailbox);
	st = db_stmt(db, DB_RENAME, LOCAL, DB_INTS(m->mailbox));
	db_bind_text(db, st, 2, m->name);
	db_finish(db, st);
	db_mapped(db, m->mailbox, m->remote, 0);
}

/* The number that a statement without side effects gives. */
static int64_t
query(struct db *db, enum db_stmt which, int side, const int64_t *v, size_t n)
{
	sqlite3_stmt	*st;
	int64_t		 result = 0;

	st = db_stmt(db, which, side, v, n);
	if (db_step(db, st))
		result = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return result;
}

int64_t
db_nrows(struct db *db, uint32_t mailbox, int side, uint32_t lo, uint32_t hi)
{
	return query(db, DB_NRANGE, side, DB_INTS(mailbox, lo, hi));
}

void
db_info(struct db *db, const struct m_store_info *m)
{
	struct m_engine_info	 info;
	int			 s;

	for (s = 0; s < SIDES; s++)
		db_left_tell(db, m->mailbox, s);
	info.rows = query(db, DB_NROWS, LOCAL, DB_INTS(m->mailbox));
	info.max_local = query(db, DB_TOP, LOCAL, DB_INTS(m->mailbox, LOCAL));
	info.max_remote = query(db, DB_TOP, REMOTE,
	    DB_INTS(m->mailbox, REMOTE));
	db->answer(db->arg, M_ENGINE_INFO, &info);
}

static void
rows_range(struct db *db, uint32_t mailbox, int side, uint32_t lo, uint32_t hi)
{
	struct m_engine_row	 row;
	sqlite3_stmt		*st;

	st = db_stmt(db, DB_ROWS, side, DB_INTS(mailbox, lo, hi));
	while (db_step(db, st)) {
		row.local = sqlite3_column_int64(st, 0);
		row.remote = sqlite3_column_int64(st, 1);
		row.size = sqlite3_column_int64(st, 2);
		row.key = sqlite3_column_int64(st, 3);
		row.gone = 0;
		row.flags = db_text(db, st, 4);
		row.now = "";
		db->answer(db->arg, M_ENGINE_ROW, &row);
	}
}

void
db_rows(struct db *db, const struct m_store_rows *m)
{
	struct uidrange	 r;
	uint32_t	 uid;

	UIDSET_FOREACH(r, &m->set, uid)
		rows_range(db, m->mailbox, m->side, r.lo, r.hi);
}

void
db_have(struct db *db, const struct m_store_rows *m)
{
	struct m_engine_uids	 have = { 0, m->side, UIDSET_INIT };
	struct uidrange		 r;
	sqlite3_stmt		*st;
	uint32_t		 at, uid;

	UIDSET_FOREACH(r, &m->set, at) {
		st = db_stmt(db, DB_UIDS, m->side, DB_INTS(m->mailbox, r.lo,
		    r.hi));
		while (db_step(db, st)) {
			uid = sqlite3_column_int64(st, 0);
			db_uids(db, &have, uid, uid);
		}
	}
	db_uids_end(db, &have);
}

/*
 * Answer the rows at ranks k * (n - 1) / (count - 1) of the n that are not in
 * the set: one pass over an index, from the first to the last of them.
 */
void
db_sample(struct db *db, const struct m_store_sample *m)
{
	struct uidset	 rest = UIDSET_INIT;
	sqlite3_stmt	*st;
	struct uidrange	 r;
	uint64_t	 count, n, rank = 0, k = 0;
	uint32_t	 at, uid;

	n = query(db, DB_NROWS, LOCAL, DB_INTS(m->mailbox));
	UIDSET_FOREACH(r, &m->set, at)
		n -= db_nrows(db, m->mailbox, m->side, r.lo, r.hi);
	count = m->count < n ? m->count : n;
	uidset_add(&rest, 1, UINT32_MAX);
	uidset_sub(&rest, &m->set);
	for (at = 0; k < count && uidset_next(&rest, &at, &r); ) {
		st = db_stmt(db, DB_UIDS, m->side, DB_INTS(m->mailbox,
		    r.lo, r.hi));
		while (k < count && db_step(db, st)) {
			if (rank++ != (count == 1 ? n - 1 :
			    k * (n - 1) / (count - 1)))
				continue;
			k++;
			uid = sqlite3_column_int64(st, 0);
			rows_range(db, m->mailbox, m->side, uid, uid);
		}
		sqlite3_reset(st);
	}
	uidset_free(&rest);
}

void
db_base(struct db *db, const struct m_store_base *m)
{
	db_change(db, m->mailbox);
	if (db_run(db, DB_BASE, LOCAL, DB_INTS(m->mailbox, m->local,
	    db_flagset(db, m->flags))) == 0)
		log_debug("state: no row for UID %u of mailbox %u, its flags "
		    "are not kept", m->local, m->mailbox);
}

void
db_drop(struct db *db, const struct m_store_drop *m)
{
	struct uidrange	 r;
	uint32_t	 uid;

	db_change(db, m->mailbox);
	UIDSET_FOREACH(r, &m->set, uid)
		drop_range(db, m->mailbox, m->side, r.lo, r.hi);
}

/* Every later part and every MARKFAIL needs the mark. */
static void
need_mark(struct db *db, uint32_t mailbox, int target)
{
	if (query(db, DB_ISMARK, LOCAL, DB_INTS(mailbox, target)))
		return;
	db_abort(db);
	fatalx("%s: mailbox %u has no mark towards the %s server: this is a "
	    "fault of imapsync, please report it", db->path, mailbox,
	    side_name[target]);
}

void
db_mark(struct db *db, const struct m_store_mark *m)
{
	struct uidrange	 r;
	sqlite3_stmt	*st;
	uint32_t	 uid;

	db_change(db, m->mailbox);
	if (m->first) {
		db_run(db, DB_UNMARKSET, LOCAL, DB_INTS(m->mailbox, m->target));
		st = db_stmt(db, DB_MARK, LOCAL, DB_INTS(m->mailbox, m->target,
		    m->uidvalidity, m->uidnext, time(NULL)));
		db_bind_text(db, st, 6, m->mailboxid);
		db_finish(db, st);
	} else
		need_mark(db, m->mailbox, m->target);
	UIDSET_FOREACH(r, &m->set, uid)
		db_run(db, DB_MARKADD, LOCAL, DB_INTS(m->mailbox, m->target,
		    r.lo, r.hi));
}

void
db_markfail(struct db *db, const struct m_store_markfail *m)
{
	db_change(db, m->mailbox);
	need_mark(db, m->mailbox, m->target);
	db_run(db, DB_MARKFAIL, LOCAL, DB_INTS(m->mailbox, m->target));
}

void
db_lost(struct db *db, const struct m_store_lost *m)
{
	db_change(db, m->mailbox);
	if (m->count == 0)
		db_run(db, DB_UNLOST, LOCAL, DB_INTS(m->mailbox));
	else
		db_run(db, DB_LOST, LOCAL, DB_INTS(m->mailbox, m->count,
		    m->side, m->uid, m->next));
}

void
db_deleted(struct db *db, const struct m_store_deleted *m)
{
	int64_t	 hour = time(NULL) / 3600;

	db_begin(db);
	db_run(db, DB_DELETED_OLD, LOCAL, DB_INTS(m->count == 0 ? INT64_MAX :
	    hour - 24));
	if (m->count > 0)
		db_run(db, DB_DELETED, LOCAL, DB_INTS(hour, m->count));
}

uint32_t
db_deleted_sum(struct db *db)
{
	int64_t	 hour = time(NULL) / 3600, n;

	n = query(db, DB_DELETED_SUM, LOCAL, DB_INTS(hour - 24, hour));
	return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

void
db_unmark(struct db *db, const struct m_store_unmark *m)
{
	db_change(db, m->mailbox);
	unmark(db, m->mailbox, m->target);
}

void
db_refuse(struct db *db, const struct m_store_refuse *m)
{
	sqlite3_stmt	*st;

	db_change(db, m->mailbox);
	st = db_stmt(db, DB_REFUSE, LOCAL, DB_INTS(m->mailbox, m->side, m->uid,
	    m->code, m->attempts, (int64_t)m->size, (int64_t)m->limit,
	    m->next));
	db_bind_text(db, st, 9, m->text);
	db_finish(db, st);
}

void
db_unrefuse(struct db *db, const struct m_store_unrefuse *m)
{
	db_change(db, m->mailbox);
	db_run(db, DB_UNREFUSE, LOCAL, DB_INTS(m->mailbox, m->side, m->uid,
	    m->uid));
}

void
db_water(struct db *db, const struct m_store_water *m)
{
	db_change(db, m->mailbox);
	set_water(db, m->mailbox, m->side, &m->water);
}
