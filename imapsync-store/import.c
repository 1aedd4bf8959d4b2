/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The database of interimap, versions 0 and 1 of its schema: mailboxes, the UIDs
 * that belong together, subscriptions.  The user's file is opened for reading
 * only and copied into memory; SQLite sees the copy, once the process has locked
 * itself.  Whatever is in it may be wrong: each value is checked, nothing of its
 * schema is ever run, and the state takes all of it or nothing.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "log.h"
#include "store.h"

#define LOCK_BYTES	0x40000000	/* where SQLite's locks are, and ... */
#define LOCK_LEN	512		/* ... how many octets they take */
#define WAL_HEADER	32		/* no more than this: nothing is in it */
#define LATEST		1		/* user_version */

struct import {
	char		*path;		/* as the user gave it, for messages */
	uint8_t		*image;		/* until SQLite has it */
	size_t		 len;
	sqlite3		*sql;
	int		 version;
};

/* ---- the file ---- */

/* Another program has it, and may be about to write to it. */
static void
check_lock(int fd, const char *path)
{
	struct flock	 fl;

	memset(&fl, 0, sizeof(fl));
	fl.l_type = F_WRLCK;
	fl.l_whence = SEEK_SET;
	fl.l_start = LOCK_BYTES;
	fl.l_len = LOCK_LEN;
	if (fcntl(fd, F_GETLK, &fl) == -1)
		fatal("%s: can't see whether it is in use", path);
	if (fl.l_type != F_UNLCK)
		fatal_ex(EX_SYNC_TEMP, "%s is in use by process %ld: end "
		    "interimap, and switch off whatever starts it, then import "
		    "its database", path, (long)fl.l_pid);
	/* It must not begin before all is read. */
	fl.l_type = F_RDLCK;
	fl.l_pid = 0;
	if (fcntl(fd, F_SETLK, &fl) == -1)
		fatal_ex(EX_SYNC_TEMP, "%s can't be locked (%s): see that "
		    "interimap is not running", path, strerror(errno));
}

/*
 * Beside it there may be what undoes or completes a change that was cut short.
 * Without it the database is torn; only a program that may write can use it.
 */
static void
check_beside(const char *path, const char *real, const char *suffix)
{
	struct stat	 st;
	uint8_t		 first = 0;
	char		*name;
	int		 fd, open_change;

	if (asprintf(&name, "%s%s", real, suffix) == -1)
		fatal(NULL);
	fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1 && errno == ENOENT) {
		free(name);
		return;
	}
	if (fd == -1 || fstat(fd, &st) == -1 || read(fd, &first, 1) == -1)
		fatal("%s", name);
	close(fd);
	/* A journal that is done with is empty, or begins with zeros. */
	open_change = strcmp(suffix, "-wal") == 0 ? st.st_size > WAL_HEADER :
	    first != 0;
	if (open_change)
		fatalx("%s was left in the middle of a change (%s is beside "
		    "it): run interimap once more, or sqlite3 '%s' .tables, "
		    "which completes or undoes it, then import it", path, name,
		    path);
	free(name);
}

static void
read_all(struct import *im, int fd)
{
	ssize_t	 n;
	size_t	 have = 0;

	while (have < im->len) {
		n = pread(fd, im->image + have, im->len - have, have);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			fatal("%s", im->path);
		if (n == 0)
			fatalx("%s became shorter while it was read: see that "
			    "no other program has it", im->path);
		have += n;
	}
}

static void
check_magic(struct import *im)
{
	uint32_t	 id;

	if (im->len < 100 || memcmp(im->image, "SQLite format 3", 16) != 0)
		fatalx("%s is not interimap's database, nor an SQLite file at "
		    "all: nothing was imported", im->path);
	id = (uint32_t)im->image[68] << 24 | im->image[69] << 16 |
	    im->image[70] << 8 | im->image[71];
	if (id == STORE_APPID)
		fatalx("%s is a state of imapsync's own: name the database of "
		    "interimap behind --import", im->path);
	/* What is in memory has no WAL, and nothing was in the one on disk. */
	im->image[18] = im->image[19] = 1;
}

void
import_read(struct db *db, const char *path)
{
	struct import	*im;
	struct stat	 st;
	char		*real;
	int		 fd;

	if ((real = realpath(path, NULL)) == NULL ||
	    (fd = open(real, O_RDONLY | O_NONBLOCK)) == -1)
		fatalx("%s can't be read (%s): name the database of interimap "
		    "behind --import", path, strerror(errno));
	if (fstat(fd, &st) == -1)
		fatal("%s", path);
	if (!S_ISREG(st.st_mode) || st.st_size == 0)
		fatalx("%s is %s: name the database of interimap behind "
		    "--import", path, st.st_size == 0 ? "empty" :
		    "not a regular file");
	if (st.st_size > IMPORT_MAX)
		fatalx("%s is larger than a database that can be imported (%d "
		    "MB): start without it, and the first run pairs all "
		    "messages by their content", path, IMPORT_MAX >> 20);
	check_lock(fd, path);
	check_beside(path, real, "-journal");
	check_beside(path, real, "-wal");
	im = xcalloc(1, sizeof(*im));
	im->path = xstrdup(path);
	im->len = st.st_size;
	/* SQLite frees it. */
	if ((im->image = sqlite3_malloc64(im->len)) == NULL)
		fatal(NULL);
	read_all(im, fd);
	close(fd);
	free(real);
	check_magic(im);
	db->import = im;
}

/* ---- reading what is in it ---- */

/* It can't be what interimap wrote. */
static __dead void	 import_bad(struct db *, const char *, ...)
			    __attribute__((__format__(printf, 2, 3)));

static __dead void
import_bad(struct db *db, const char *fmt, ...)
{
	char	*what;
	va_list	 ap;

	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) == -1)
		fatal(NULL);
	va_end(ap);
	db_abort(db);
	fatalx("%s is not a sound database of interimap (%s): nothing was "
	    "imported; start without it, and the first run pairs all messages "
	    "by their content", db->import->path, what);
}

static sqlite3_stmt *
import_prepare(struct db *db, const char *sql)
{
	sqlite3_stmt	*st;

	if (sqlite3_prepare_v2(db->import->sql, sql, -1, &st, NULL) !=
	    SQLITE_OK)
		import_bad(db, "%s", sqlite3_errmsg(db->import->sql));
	return st;
}

static int
import_step(struct db *db, sqlite3_stmt *st)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	case SQLITE_INTERRUPT:
		/* It was told to end; there is nobody left to tell. */
		_exit(EX_SYNC_ERROR);
	case SQLITE_NOMEM:
		fatal(NULL);
	default:
		import_bad(db, "%s", sqlite3_errmsg(db->import->sql));
	}
}

static int64_t
import_number(struct db *db, const char *sql)
{
	sqlite3_stmt	*st = import_prepare(db, sql);
	int64_t		 n = 0;

	if (import_step(db, st))
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* A column that must be a number from lo to hi. */
static int64_t
import_int(struct db *db, sqlite3_stmt *st, int col, int64_t lo, int64_t hi)
{
	int64_t	 n = sqlite3_column_int64(st, col);

	if (sqlite3_column_type(st, col) != SQLITE_INTEGER || n < lo || n > hi)
		import_bad(db, "a wrong value of %s",
		    sqlite3_column_name(st, col));
	return n;
}

/* A name, to dst[NAME_MAX_LEN]: a NUL in it is the delimiter. */
static void
import_name(struct db *db, sqlite3_stmt *st, int col, char *dst)
{
	const uint8_t	*p = sqlite3_column_blob(st, col);
	int		 i, n = sqlite3_column_bytes(st, col);

	if (p == NULL || n <= 0 || n >= NAME_MAX_LEN)
		import_bad(db, "a mailbox without a name, or with one that is "
		    "too long");
	for (i = 0; i < n; i++) {
		if ((p[i] < ' ' && p[i] != '\0') || p[i] == 0x7f)
			import_bad(db, "a mailbox with a control character in "
			    "its name");
		dst[i] = p[i] == '\0' ? NAME_SEP : p[i];
	}
	dst[n] = '\0';
}

static int
import_tick(void *arg)
{
	struct db	*db = arg;

	return db->tick != NULL && db->tick(db->arg);
}

/* As little as can be is believed, or done for it. */
static void
import_guard(struct db *db)
{
	sqlite3	*sql = db->import->sql;

	sqlite3_db_config(sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(sql, SQLITE_LIMIT_LENGTH, 1024 * 1024);
	sqlite3_limit(sql, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_progress_handler(sql, 50000, import_tick, db);
	(void)import_number(db, "PRAGMA trusted_schema = OFF");
	(void)import_number(db, "PRAGMA cell_size_check = ON");
	(void)import_number(db, "PRAGMA temp_store = MEMORY");
	(void)import_number(db, "PRAGMA query_only = ON");
}

/* Four tables, and real ones; with indices, or reading them took hours. */
static void
check_schema(struct db *db)
{
	sqlite3_stmt	*st;

	if (import_number(db, "SELECT count(*) FROM sqlite_master WHERE"
	    " type = 'table' AND rootpage > 0 AND name IN"
	    " ('mailboxes', 'local', 'remote', 'mapping')") != 4)
		import_bad(db, "it does not have its four tables");
	if (import_number(db, "SELECT count(*) FROM pragma_index_list("
	    "'mapping') WHERE \"unique\"") < 2)
		import_bad(db, "an index is missing");
	st = import_prepare(db, "PRAGMA integrity_check(1)");
	if (!import_step(db, st) ||
	    strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		import_bad(db, "it is damaged");
	sqlite3_finalize(st);
	if (import_number(db, "SELECT EXISTS (SELECT 1 FROM mapping WHERE"
	    " idx NOT IN (SELECT idx FROM mailboxes))") != 0)
		import_bad(db, "pairs of no mailbox");
}

/* The copy becomes a database, of which each part is checked. */
static void
import_open(struct db *db)
{
	struct import	*im = db->import;
	uint8_t		*image = im->image;

	if (im->sql != NULL)
		return;
	im->image = NULL;
	if (sqlite3_open_v2(":memory:", &im->sql, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		fatalx("%s: SQLite can't have a database in memory", im->path);
	if (sqlite3_deserialize(im->sql, "main", image, im->len, im->len,
	    SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY) !=
	    SQLITE_OK)
		import_bad(db, "%s", sqlite3_errmsg(im->sql));
	import_guard(db);
	im->version = import_number(db, "PRAGMA user_version");
	if (im->version < 0 || im->version > LATEST)
		fatalx("%s has version %d of interimap's database, and this "
		    "program knows those up to %d: nothing was imported; start "
		    "without it, and the first run pairs all messages by their "
		    "content", im->path, im->version, LATEST);
	check_schema(db);
}

/* ---- requests ---- */

/* Columns of the list: of the mailbox, then of each side. */
enum { L_IDX, L_NAME, L_SUBSCRIBED, L_PAIRS, L_SIDE };
enum { L_UIDVALIDITY, L_UIDNEXT, L_MODSEQ, L_TOP, L_NSIDE };

static void
list_side(struct db *db, sqlite3_stmt *st, int side, int64_t pairs,
    struct m_water *w)
{
	int	 c = L_SIDE + side * L_NSIDE;

	memset(w, 0, sizeof(*w));
	w->mailboxid = "";
	if (sqlite3_column_type(st, c + L_UIDVALIDITY) == SQLITE_NULL) {
		/* It was entered, and never looked into. */
		if (pairs != 0)
			import_bad(db, "pairs of a mailbox without "
			    "UIDVALIDITY");
		return;
	}
	w->uidvalidity = import_int(db, st, c + L_UIDVALIDITY, 1, UINT32_MAX);
	w->uidnext = import_int(db, st, c + L_UIDNEXT, 0, UINT32_MAX);
	/* Unsigned: the same bits. */
	w->modseq = import_int(db, st, c + L_MODSEQ, INT64_MIN, INT64_MAX);
	if (pairs != 0)
		w->messages = import_int(db, st, c + L_TOP, 1, UINT32_MAX);
}

uint32_t
import_list(struct db *db)
{
	static char		 name[NAME_MAX_LEN];
	struct m_engine_mbox	 m;
	sqlite3_stmt		*st;
	int			 s;

	if (db->import == NULL) {
		db_abort(db);
		fatalx("%s: nothing is to be imported: this is a fault of "
		    "imapsync, please report it", db->path);
	}
	import_open(db);
	st = import_prepare(db, "SELECT m.idx AS idx, m.mailbox AS mailbox,"
	    " m.subscribed AS subscribed, coalesce(p.n, 0) AS pairs,"
	    " l.UIDVALIDITY AS UIDVALIDITY, l.UIDNEXT AS UIDNEXT,"
	    " l.HIGHESTMODSEQ AS HIGHESTMODSEQ, p.l AS lUID,"
	    " r.UIDVALIDITY AS UIDVALIDITY, r.UIDNEXT AS UIDNEXT,"
	    " r.HIGHESTMODSEQ AS HIGHESTMODSEQ, p.r AS rUID"
	    " FROM mailboxes m LEFT JOIN local l ON l.idx = m.idx"
	    " LEFT JOIN remote r ON r.idx = m.idx"
	    " LEFT JOIN (SELECT idx, count(*) AS n, max(lUID) AS l,"
	    " max(rUID) AS r FROM mapping GROUP BY idx) p ON p.idx = m.idx"
	    " ORDER BY m.idx");
	while (import_step(db, st)) {
		memset(&m, 0, sizeof(m));
		m.mailbox = import_int(db, st, L_IDX, 1, UINT32_MAX);
		import_name(db, st, L_NAME, name);
		m.name = name;
		m.remote = "";
		m.subscribed = import_int(db, st, L_SUBSCRIBED, 0, 1);
		m.rows = import_int(db, st, L_PAIRS, 0, UINT32_MAX);
		for (s = 0; s < SIDES; s++)
			list_side(db, st, s, m.rows, &m.water[s]);
		db->answer(db->arg, M_ENGINE_MBOX, &m);
	}
	sqlite3_finalize(st);
	return db->import->version;
}

void
import_take(struct db *db, const struct m_store_take *m)
{
	sqlite3_stmt	*st;
	int64_t		 local, n = 0, remote, set;

	if (db->import == NULL || db->import->sql == NULL) {
		db_abort(db);
		fatalx("%s: nothing was listed that could be taken over: this "
		    "is a fault of imapsync, please report it", db->path);
	}
	db_change(db, m->mailbox);
	db->taking = 1;
	set = db_flagset(db, "");
	st = import_prepare(db, "SELECT lUID, rUID FROM mapping"
	    " WHERE idx = ?1 ORDER BY lUID");
	sqlite3_bind_int64(st, 1, m->from);
	while (import_step(db, st)) {
		local = import_int(db, st, 0, 1, UINT32_MAX);
		remote = import_int(db, st, 1, 1, UINT32_MAX);
		if (db_run(db, DB_TAKE, LOCAL, DB_INTS(m->mailbox, local,
		    remote, set)) != 1)
			import_bad(db, "a message with two partners");
		n++;
	}
	sqlite3_finalize(st);
	db_count(db, m->mailbox, n);
}

void
import_taken(struct db *db)
{
	db->taking = 0;
	if (db->import == NULL)
		return;
	sqlite3_close(db->import->sql);
	free(db->import->path);
	free(db->import);
	db->import = NULL;
}
