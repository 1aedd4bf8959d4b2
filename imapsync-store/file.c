/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The state file: finding, making, locking and checking it, and its schema.
 * What is not ours is refused and left as it is.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "log.h"
#include "store.h"

#define HEADER_SIZE	100	/* of an SQLite file */
#define SCHEMA_SIZE	(64 * 1024)	/* the schema is within */
#define LOCK_BYTES	0x40000000	/* where SQLite's locks are, and ... */
#define LOCK_LEN	512		/* ... how many octets they take */

#define STR(x)		#x
#define XSTR(x)		STR(x)

/* Since version 2: what rules leave out, ranges of UIDs (see left.c). */
#define LEFT_TABLE							\
	"CREATE TABLE leftout ("					\
	" mailbox INTEGER NOT NULL,"					\
	" side INTEGER NOT NULL,"	/* where the messages are */	\
	" lo INTEGER NOT NULL CHECK (lo > 0),"				\
	" hi INTEGER NOT NULL CHECK (hi BETWEEN lo AND 4294967295),"	\
	" PRIMARY KEY (mailbox, side, lo)) WITHOUT ROWID;"

/*
 * Since version 3, one row: when the state was made, and when both servers were
 * last in sync.  Seconds since 1970; 0: never.
 */
#define ACCOUNT_ROW							\
	"INSERT INTO account (id, made, synced)"			\
	" VALUES (1, strftime('%s', 'now'), 0);"
#define ACCOUNT_TABLE							\
	"CREATE TABLE account ("					\
	" id INTEGER PRIMARY KEY CHECK (id = 1),"			\
	" made INTEGER NOT NULL,"					\
	" synced INTEGER NOT NULL);"					\
	ACCOUNT_ROW

/* Since version 3: sessions in a row that ended under a mailbox (M_STORE_LOST). */
#define LOST_TABLE							\
	"CREATE TABLE lost ("						\
	" mailbox INTEGER PRIMARY KEY,"					\
	" count INTEGER NOT NULL CHECK (count > 0),"			\
	" side INTEGER NOT NULL,"					\
	" uid INTEGER NOT NULL,"					\
	" next INTEGER NOT NULL);"

/* Since version 3: messages that were deleted, by the hour (M_STORE_DELETED). */
#define DELETED_TABLE							\
	"CREATE TABLE deleted ("					\
	" hour INTEGER PRIMARY KEY,"	/* since 1970 */		\
	" n INTEGER NOT NULL);"

/*
 * Since version 4: when the flags of a mailbox without HIGHESTMODSEQ were listed
 * (struct m_water), and what a server was like (M_STORE_SERVER).
 */
#define LOOKED_TABLE							\
	"CREATE TABLE looked ("						\
	" mailbox INTEGER NOT NULL,"					\
	" side INTEGER NOT NULL,"					\
	" time INTEGER NOT NULL,"					\
	" unseen INTEGER NOT NULL,"					\
	" PRIMARY KEY (mailbox, side)) WITHOUT ROWID;"
#define SERVER_TABLE							\
	"CREATE TABLE server ("						\
	" side INTEGER PRIMARY KEY,"					\
	" delimiter INTEGER NOT NULL,"	/* octet; 0: none */		\
	" ask INTEGER NOT NULL);"
/* Since version 4: mailboxes that a run has left alone (M_STORE_STOPPED). */
#define STOPPED_TABLE							\
	"CREATE TABLE stopped ("					\
	" name TEXT PRIMARY KEY,"	/* neutral */			\
	" text TEXT NOT NULL,"						\
	" since INTEGER NOT NULL) WITHOUT ROWID;"

/*
 * Since version 5: mailboxes that are called something else on the remote side,
 * as M_ENGINE_MBOX has it.
 */
#define MAPPED_TABLE							\
	"CREATE TABLE mapped ("						\
	" mailbox INTEGER PRIMARY KEY,"					\
	" remote TEXT NOT NULL,"					\
	" use INTEGER NOT NULL);"

static const char schema[] =
	"CREATE TABLE identity ("
	" side INTEGER PRIMARY KEY,"	/* 0 local, 1 remote, as everywhere */
	" name TEXT NOT NULL);"

	"CREATE TABLE mailbox ("
	" id INTEGER PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"	/* neutral, \001 for the delimiter */
	" adopt INTEGER NOT NULL,"
	" subscribed INTEGER NOT NULL DEFAULT 2,"	/* not known */
	" rows INTEGER NOT NULL DEFAULT 0 CHECK (rows >= 0),"
	" local_uidvalidity INTEGER NOT NULL DEFAULT 0,"
	" local_uidnext INTEGER NOT NULL DEFAULT 1,"
	" local_messages INTEGER NOT NULL DEFAULT 0,"
	" local_modseq INTEGER NOT NULL DEFAULT 0,"
	" local_mailboxid TEXT NOT NULL DEFAULT '',"
	" remote_uidvalidity INTEGER NOT NULL DEFAULT 0,"
	" remote_uidnext INTEGER NOT NULL DEFAULT 1,"
	" remote_messages INTEGER NOT NULL DEFAULT 0,"
	" remote_modseq INTEGER NOT NULL DEFAULT 0,"
	" remote_mailboxid TEXT NOT NULL DEFAULT '');"

	"CREATE TABLE flagset ("
	" id INTEGER PRIMARY KEY,"
	" flags TEXT NOT NULL UNIQUE);"

	"CREATE TABLE message ("
	" mailbox INTEGER NOT NULL,"
	" local INTEGER NOT NULL CHECK (local > 0),"	/* UIDs */
	" remote INTEGER NOT NULL CHECK (remote > 0),"
	" flagset INTEGER NOT NULL,"	/* the baseline */
	" size INTEGER NOT NULL,"
	" key INTEGER NOT NULL,"
	" PRIMARY KEY (mailbox, local)) WITHOUT ROWID;"
	"CREATE UNIQUE INDEX message_remote ON message (mailbox, remote);"

	"CREATE TABLE mark ("
	" mailbox INTEGER NOT NULL,"
	" target INTEGER NOT NULL,"	/* side */
	" tries INTEGER NOT NULL DEFAULT 0,"
	" uidvalidity INTEGER NOT NULL,"
	" uidnext INTEGER NOT NULL,"
	" time INTEGER NOT NULL,"
	" mailboxid TEXT NOT NULL,"
	" PRIMARY KEY (mailbox, target)) WITHOUT ROWID;"
	"CREATE TABLE markset ("	/* ranges of UIDs of the source */
	" mailbox INTEGER NOT NULL,"
	" target INTEGER NOT NULL,"
	" lo INTEGER NOT NULL CHECK (lo > 0),"
	" hi INTEGER NOT NULL CHECK (hi >= lo),"
	" PRIMARY KEY (mailbox, target, lo)) WITHOUT ROWID;"

	"CREATE TABLE refused ("
	" mailbox INTEGER NOT NULL,"
	" side INTEGER NOT NULL,"	/* where the message is */
	" uid INTEGER NOT NULL CHECK (uid > 0),"
	" code INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL,"
	" size INTEGER NOT NULL,"
	" lim INTEGER NOT NULL,"
	" next INTEGER NOT NULL,"
	" text TEXT NOT NULL,"
	" PRIMARY KEY (mailbox, side, uid)) WITHOUT ROWID;"

	LEFT_TABLE
	ACCOUNT_TABLE
	LOST_TABLE
	DELETED_TABLE
	LOOKED_TABLE
	SERVER_TABLE
	STOPPED_TABLE
	MAPPED_TABLE

#define SEEN_TABLE(side)						\
	"CREATE TABLE seen_" side " ("					\
	" mailbox INTEGER NOT NULL,"					\
	" key INTEGER NOT NULL,"					\
	" size INTEGER NOT NULL,"					\
	" uid INTEGER NOT NULL CHECK (uid > 0),"			\
	" date INTEGER NOT NULL,"	/* DATE_NONE: not known */	\
	" msgid INTEGER NOT NULL,"					\
	" flagset INTEGER NOT NULL,"					\
	" rest INTEGER NOT NULL DEFAULT 0,"	/* see pair.c */	\
	" PRIMARY KEY (mailbox, key, size, uid)) WITHOUT ROWID;"	\
	"CREATE UNIQUE INDEX seen_" side "_uid"				\
	" ON seen_" side " (mailbox, uid);"
	SEEN_TABLE("local")
	SEEN_TABLE("remote")

	"PRAGMA application_id = " XSTR(STORE_APPID) ";"
	"PRAGMA user_version = " XSTR(STORE_VERSION) ";";

/* Make a directory and those above it that are missing. */
static void
make_dir(struct db *db, char *dir)
{
	char	*slash;
	int	 fd;

	if (mkdir(dir, 0700) == -1) {
		if (errno == EEXIST)
			return;
		slash = strrchr(dir, '/');
		if (errno != ENOENT || slash == NULL || slash == dir)
			fatal("%s: can't make the directory %s", db->path, dir);
		*slash = '\0';
		make_dir(db, dir);
		*slash = '/';
		if (mkdir(dir, 0700) == -1 && errno != EEXIST)
			fatal("%s: can't make the directory %s", db->path, dir);
	}
	/* The directory must not be lost while the file in it is kept. */
	slash = strrchr(dir, '/');
	*slash = '\0';
	fd = open(slash == dir ? "/" : dir, O_RDONLY | O_DIRECTORY);
	if (fd != -1) {
		fsync(fd);
		close(fd);
	}
	*slash = '/';
}

/* Set dir and file: the directory's real path, and the file in it. */
static void
resolve(struct db *db)
{
	char	*dir, *slash;

	if (db->path[0] != '/')
		fatalx("%s: the path of the state file must be absolute",
		    db->path);
	dir = xstrdup(db->path);
	slash = strrchr(dir, '/');
	if (slash[1] == '\0')
		fatalx("%s is a directory: name a file with database=",
		    db->path);
	*slash = '\0';
	if (!db->dryrun && slash != dir)
		make_dir(db, dir);
	if ((db->dir = realpath(slash == dir ? "/" : dir, NULL)) == NULL &&
	    (errno != ENOENT || !db->dryrun))
		fatal("%s: the directory", db->path);
	if (db->dir != NULL &&
	    asprintf(&db->file, "%s/%s", strcmp(db->dir, "/") == 0 ? "" :
	    db->dir, slash + 1) == -1)
		fatal(NULL);
	free(dir);
}

int
file_is_interimap(const uint8_t *p, size_t n)
{
	return memmem(p, n, "mapping", 7) != NULL &&
	    memmem(p, n, "lUID", 4) != NULL && memmem(p, n, "rUID", 4) != NULL;
}

/* A database of another program: whose? */
static __dead void
foreign(struct db *db, const uint8_t *p, size_t n)
{
	if (file_is_interimap(p, n))
		fatalx("%s is interimap's, which goes on to be its own: give "
		    "imapsync another file, by another database= or none; "
		    "then imapsync --import '%s' takes over what it holds",
		    db->path, db->path);
	fatalx("%s is an SQLite file of another program: it is left alone; "
	    "name another file with database=", db->path);
}

/*
 * Look at the first octets of the file without SQLite, which would roll back
 * another program's transaction if it found one.
 */
static void
check_header(struct db *db)
{
	static uint8_t	 h[SCHEMA_SIZE];
	uint32_t	 appid, version;
	ssize_t		 n;
	int		 fd;

	if ((fd = open(db->file, O_RDONLY | O_NOFOLLOW)) == -1)
		fatal("%s", db->path);
	if ((n = read(fd, h, sizeof(h))) == -1)
		fatal("%s", db->path);
	close(fd);
	if (n == 0)
		return;
	if (n < HEADER_SIZE || memcmp(h, "SQLite format 3", 16) != 0)
		fatalx("%s is not a state file of imapsync, nor an SQLite file "
		    "at all: it is left alone; name another file with "
		    "database=", db->path);
	version = (uint32_t)h[60] << 24 | h[61] << 16 | h[62] << 8 | h[63];
	appid = (uint32_t)h[68] << 24 | h[69] << 16 | h[70] << 8 | h[71];
	/*
	 * One page into which nothing was ever put (the schema never changed):
	 * PRAGMA auto_vacuum writes it, and that run went no further.
	 */
	if (appid == 0 && version == 0 && memcmp(h + 28, "\0\0\0\1", 4) == 0 &&
	    memcmp(h + 40, "\0\0\0", 4) == 0)
		return;
	if (appid != STORE_APPID)
		foreign(db, h, n);
	if (version > STORE_VERSION)
		fatalx("%s was written by a newer imapsync (version %u of the "
		    "state, this program knows %d): it is left alone; install "
		    "that imapsync again, or name another file with database=",
		    db->path, version, STORE_VERSION);
	if (db->dryrun && h[18] != 1)	/* WAL: reading it would write */
		fatalx("%s is in WAL mode, which a dry run may not change: run "
		    "once without --dry-run", db->path);
}

/* Check the file as the file system shows it; returns 0 if there is none. */
static int
check_file(struct db *db)
{
	struct stat	 st;

	if (db->file == NULL)
		return 0;
	if (lstat(db->file, &st) == -1) {
		if (errno == ENOENT)
			return 0;
		fatal("%s", db->path);
	}
	if (!S_ISREG(st.st_mode))
		fatalx("%s is not a regular file: name the state file itself "
		    "with database=", db->path);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		fatalx("%s may be read or written by others (mode %03o): see "
		    "that it was not changed, then run chmod 600 '%s'",
		    db->path, (unsigned int)st.st_mode & 0777, db->path);
	check_header(db);
	return st.st_size > 0;
}

/*
 * Is a time longer ago than the patience?  One that is still to come is that of
 * a wrong clock, then or now: it says nothing.
 */
static int
is_late(const struct m_store_setup *m, int64_t since)
{
	int64_t	 now = time(NULL);

	return m->patience != 0 && now > since && now - since > m->patience;
}

uint32_t
file_holder(const struct db *db)
{
	struct flock	 fl;
	uint32_t	 pid = 0;
	int		 fd;

	memset(&fl, 0, sizeof(fl));
	fl.l_type = F_WRLCK;
	fl.l_whence = SEEK_SET;
	fl.l_start = LOCK_BYTES;
	fl.l_len = LOCK_LEN;
	if ((fd = open(db->file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return 0;
	/* Of another host, or behind a wall, it has no number. */
	if (fcntl(fd, F_GETLK, &fl) != -1 && fl.l_type != F_UNLCK)
		pid = fl.l_pid > 0 ? (uint32_t)fl.l_pid : UINT32_MAX;
	close(fd);
	return pid;
}

/*
 * After all attempts failed: say which process has the file.  One that commits
 * nothing for so long hangs.
 */
static __dead void
in_use(struct db *db, const struct m_store_setup *m)
{
	struct stat	 st;
	uint32_t	 pid = file_holder(db);

	db->ready = stat(db->file, &st) == -1 || is_late(m, st.st_mtime) ?
	    READY_BUSY_LATE : READY_BUSY;
	if (pid != 0 && pid != UINT32_MAX)
		fatal_ex(EX_SYNC_TEMP, "%s is in use by process %u; wait for "
		    "it to end", db->path, pid);
	fatal_ex(EX_SYNC_TEMP, "%s is in use by another process; wait for it "
	    "to end", db->path);
}

static void
sqlite_open(struct db *db, sqlite3 **sql, const char *file, int flags)
{
	if (sqlite3_open_v2(file, sql, flags | SQLITE_OPEN_NOMUTEX |
	    SQLITE_OPEN_PRIVATECACHE, NULL) == SQLITE_OK)
		return;
	if (*sql == NULL)
		fatal(NULL);
	db->sql = *sql;
	db_fail(db);
}

/* Run it; 0 if another process has the file, db->sql is then closed. */
static int
exec_unlocked(struct db *db, const char *sql)
{
	int	 rc;

	rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL) & 0xff;
	if (rc == SQLITE_OK)
		return 1;
	if (rc != SQLITE_BUSY && rc != SQLITE_LOCKED)
		db_fail(db);
	sqlite3_close(db->sql);
	db->sql = NULL;
	return 0;
}

/* Every write to the disk is that of an open transaction of ours. */
static int
lock_run(struct db *db, int empty)
{
	sqlite_open(db, &db->sql, db->file,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	return exec_unlocked(db, "PRAGMA locking_mode = EXCLUSIVE;"
	    "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL") &&
	    (!empty || exec_unlocked(db, "PRAGMA auto_vacuum = INCREMENTAL")) &&
	    exec_unlocked(db, "BEGIN EXCLUSIVE");
}

/*
 * A dry run has the file open twice.  "guard" can't write; its shared lock
 * keeps other runs out and shows that no transaction is to be rolled back.  The
 * other one keeps its journal and all that it changes in memory, and is never
 * told to commit.
 */
static int
lock_dryrun(struct db *db)
{
	int	 rc;

	sqlite_open(db, &db->guard, db->file, SQLITE_OPEN_READONLY);
	rc = sqlite3_exec(db->guard, "BEGIN; SELECT * FROM sqlite_master",
	    NULL, NULL, NULL);
	if (sqlite3_extended_errcode(db->guard) == SQLITE_READONLY_ROLLBACK) {
		db_abort(db);
		fatalx("%s was left in the middle of a change by a run that "
		    "was killed, which a dry run may not undo: run once "
		    "without --dry-run", db->path);
	}
	if (rc == SQLITE_OK) {
		sqlite_open(db, &db->sql, db->file, SQLITE_OPEN_READWRITE);
		if (exec_unlocked(db, "PRAGMA journal_mode = MEMORY;"
		    "PRAGMA cache_spill = OFF; BEGIN IMMEDIATE"))
			return 1;
	} else if ((rc & 0xff) != SQLITE_BUSY) {
		db->sql = db->guard;
		db->guard = NULL;
		db_fail(db);
	}
	sqlite3_close(db->guard);
	db->guard = NULL;
	return 0;
}

/* Get the file and its lock, or end. */
static void
lock(struct db *db, const struct m_store_setup *m, int empty)
{
	struct timespec	 pause = { 0, 50 * 1000 * 1000 };
	int		 ms;

	for (ms = 0; ; ms += 50) {
		if (db->dryrun ? lock_dryrun(db) : lock_run(db, empty))
			return;
		if (ms >= STORE_WAIT_MS)
			in_use(db, m);
		nanosleep(&pause, NULL);
		if (db->tick != NULL && db->tick(db->arg))
			_exit(EX_SYNC_ERROR);
	}
}

/* Write down whose the file is; the transaction is open. */
static void
identify(struct db *db, const struct m_store_setup *m)
{
	sqlite3_stmt	*st;
	int		 s;

	for (s = 0; s < SIDES; s++) {
		st = db_prepare(db, "INSERT INTO identity VALUES (?1, ?2)", s);
		sqlite3_bind_int(st, 1, s);
		db_bind_text(db, st, 2, m->identity[s]);
		db_step(db, st);
		sqlite3_finalize(st);
	}
}

/*
 * Bring a file of an older version up to date; the transaction is open, so that
 * it is all or nothing, and in a dry run only in memory.
 */
static void
upgrade(struct db *db)
{
	int	 was = db_number(db, "PRAGMA user_version");

	if (was < 1 || was >= STORE_VERSION)
		return;
	if (was < 2)
		db_exec(db, LEFT_TABLE);
	if (was < 3)
		db_exec(db, ACCOUNT_TABLE LOST_TABLE DELETED_TABLE);
	if (was < 4)
		db_exec(db, LOOKED_TABLE SERVER_TABLE STOPPED_TABLE);
	if (was < 5)
		db_exec(db, MAPPED_TABLE);
	db_exec(db, "PRAGMA user_version = " XSTR(STORE_VERSION));
	log_debug("state: brought from version %d to %d", was, STORE_VERSION);
}

int
db_unique(struct db *db)
{
	return db_number(db, "SELECT count(*) FROM sqlite_master"
	    " WHERE type = 'index' AND name = 'message_remote'"
	    " AND sql = 'CREATE UNIQUE INDEX message_remote"
	    " ON message (mailbox, remote)'") != 0;
}

void
db_reindex(struct db *db)
{
	int	 rc;

	db_exec(db, "DROP INDEX IF EXISTS message_remote");
	rc = sqlite3_exec(db->sql, "CREATE UNIQUE INDEX message_remote"
	    " ON message (mailbox, remote)", NULL, NULL, NULL);
	if ((rc & 0xff) == SQLITE_CONSTRAINT)
		db_exec(db, "CREATE INDEX message_remote"
		    " ON message (mailbox, remote)");
	else if (rc != SQLITE_OK)
		db_fail(db);
}

/* Without that index all that looks for a remote UID would take hours. */
static void
check_index(struct db *db)
{
	if ((db->unique = db_unique(db)))
		return;
	if (db_number(db, "SELECT count(*) FROM sqlite_master"
	    " WHERE type = 'index' AND name = 'message_remote'") == 0) {
		log_warnx("%s has lost an index, which was made again: another "
		    "program wrote to it; run imapsync --repair", db->path);
		db_reindex(db);
	}
	if (!(db->unique = db_unique(db)))
		log_warnx("%s has messages twice, since another program wrote "
		    "to it: run imapsync --repair", db->path);
}

/*
 * A file without a row belongs to nobody yet: the configuration of whoever made
 * it may have been wrong.  But a mark tells of messages that may be on their
 * way, and only the pair that it belongs to can find them.
 */
static int
adopt_file(struct db *db, const struct m_store_setup *m)
{
	if (db_number(db, "SELECT EXISTS (SELECT 1 FROM message) OR"
	    " EXISTS (SELECT 1 FROM mark)") != 0)
		return 0;
	db_exec(db, "DELETE FROM identity; DELETE FROM account; DELETE FROM"
	    " mailbox; DELETE FROM refused; DELETE FROM leftout; DELETE FROM"
	    " seen_local; DELETE FROM seen_remote; DELETE FROM markset;"
	    " DELETE FROM lost; DELETE FROM deleted; DELETE FROM looked;"
	    " DELETE FROM server; DELETE FROM stopped;"
	    " DELETE FROM mapped;"
	    ACCOUNT_ROW);
	identify(db, m);
	log_debug("state: it held no message, and belongs to %s and %s now",
	    m->identity[LOCAL], m->identity[REMOTE]);
	return 1;
}

/* The file must be that of this pair of servers. */
static void
check_identity(struct db *db, const struct m_store_setup *m)
{
	char		*is[SIDES] = { NULL, NULL };
	sqlite3_stmt	*st;
	int		 s;

	for (s = 0; s < SIDES; s++) {
		st = db_prepare(db,
		    "SELECT name FROM identity WHERE side = ?1", s);
		sqlite3_bind_int(st, 1, s);
		is[s] = xstrdup(db_step(db, st) ? db_text(db, st, 0) : "");
		sqlite3_finalize(st);
	}
	if ((strcmp(is[LOCAL], m->identity[LOCAL]) != 0 ||
	    strcmp(is[REMOTE], m->identity[REMOTE]) != 0) &&
	    (m->look || !adopt_file(db, m))) {
		db_abort(db);
		fatalx("%s belongs to the pair %s and %s, not to %s and %s: "
		    "use another database= in the configuration", db->path,
		    is[LOCAL], is[REMOTE], m->identity[LOCAL],
		    m->identity[REMOTE]);
	}
	for (s = 0; s < SIDES; s++)
		free(is[s]);
}

/* What is imported is all that there is: it does not mend what is there. */
static void
check_import(struct db *db, const struct m_store_setup *m)
{
	if (m->import[0] == '\0' || adopt_file(db, m))
		return;
	db_abort(db);
	fatalx("%s knows messages of these servers already, so that nothing is "
	    "imported: run without --import to go on with them, or move that "
	    "file away and run with --import again", db->path);
}

/*
 * When was the last good run, and is that too long ago?  What is noted may be
 * STORE_SYNCED_S older than the truth; nobody is to be blamed too early.
 */
static int
account(struct db *db, const struct m_store_setup *m)
{
	db->synced = db_number(db, "SELECT synced FROM account");
	if (db->synced <= 0)
		return is_late(m, db_number(db, "SELECT made FROM account"));
	return is_late(m, db->synced + STORE_SYNCED_S);
}

void
file_servers(struct db *db)
{
	struct m_engine_server	 m;
	sqlite3_stmt		*st;

	st = db_stmt(db, DB_SERVERS, LOCAL, NULL, 0);
	while (db_step(db, st)) {
		m.side = sqlite3_column_int(st, 0);
		m.delimiter = sqlite3_column_int(st, 1);
		m.ask = sqlite3_column_int(st, 2);
		db->answer(db->arg, M_ENGINE_SERVER, &m);
	}
}

/* SQLite calls this after so many steps of its machine. */
static int
progress(void *arg)
{
	struct db	*db = arg;

	return db->tick != NULL && db->tick(db->arg);
}

void
db_open(struct db *db, const struct m_store_setup *m)
{
	uint32_t	 seed;
	int		 empty, s;

	/* Later there is no file to seed it from. */
	sqlite3_randomness(sizeof(seed), &seed);
	db->path = xstrdup(m->path);
	db->dryrun = m->dryrun || m->look;
	resolve(db);
	empty = !check_file(db);
	if (db->dryrun && (empty || m->look)) {
		free(db->dir);
		db->dir = NULL;
		sqlite_open(db, &db->sql, ":memory:", SQLITE_OPEN_READWRITE |
		    SQLITE_OPEN_CREATE | (m->look ? SQLITE_OPEN_URI : 0));
		db_exec(db, "BEGIN IMMEDIATE");
	} else
		lock(db, m, empty);
	db->intrans = 1;
	db_exec(db, "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4000;"
	    "PRAGMA secure_delete = OFF; PRAGMA cell_size_check = ON;"
	    "PRAGMA trusted_schema = OFF");
	sqlite3_progress_handler(db->sql, 50000, progress, db);
	if (db_number(db, "PRAGMA application_id") == 0 &&
	    db_number(db, "SELECT count(*) FROM sqlite_master") == 0) {
		db_exec(db, schema);
		identify(db, m);
		if (m->look && !empty)
			look_read(db);
	} else if (db_number(db, "PRAGMA application_id") == STORE_APPID)
		upgrade(db);
	if (db_number(db, "PRAGMA application_id") != STORE_APPID ||
	    db_number(db, "PRAGMA user_version") != STORE_VERSION) {
		db_abort(db);
		fatalx("%s was replaced while it was opened", db->path);
	}
	check_identity(db, m);
	check_import(db, m);
	check_index(db);
	db_prepare_all(db);
	db->left = db_number(db, "SELECT EXISTS (SELECT 1 FROM leftout)") != 0;
	for (s = 0; s < SIDES; s++) {
		if (db_step(db, db_stmt(db, DB_SEEN_OTHERS, s, DB_INTS(0))) &&
		    sqlite3_column_int(db->st[DB_SEEN_OTHERS][s], 0) != 0)
			db_run(db, DB_SEEN_CLEAR, s, NULL, 0);
		sqlite3_reset(db->st[DB_SEEN_OTHERS][s]);
	}
	db_commit(db);
	db->ready = account(db, m) ? READY_LATE : READY_OPEN;
}
