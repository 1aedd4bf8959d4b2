/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the store makes of interimap's database: a sound one is told and taken
 * over, all of it or nothing; a wrong one is refused with words, whatever is in
 * it, and never written to.
 */
#include "store_peer.h"

#define MAILBOXES							\
	"CREATE TABLE mailboxes (idx INTEGER PRIMARY KEY, mailbox BLOB UNIQUE,"\
	" subscribed BOOLEAN);"
#define SIDE(side)							\
	"CREATE TABLE " side " (idx INTEGER PRIMARY KEY, UIDVALIDITY INT,"\
	" UIDNEXT INT, HIGHESTMODSEQ BIGINT);"
#define MAPPING								\
	"CREATE TABLE mapping (idx INTEGER, lUID INT, rUID INT,"	\
	" PRIMARY KEY (idx, lUID), UNIQUE (idx, rUID));"
#define SCHEMA	MAILBOXES SIDE("local") SIDE("remote") MAPPING		\
	"PRAGMA user_version = 1;"
#define SOUND								\
	"INSERT INTO mailboxes VALUES (3, x'494e424f58', 1),"		\
	" (9, x'61002062', 0), (10, x'63', 1);"				\
	"INSERT INTO local VALUES (3, 7, 5, 100), (9, 4294967295, 0, 0);"\
	"INSERT INTO remote VALUES (3, 8, 60, -2), (9, 1, 0, 0);"	\
	"INSERT INTO mapping VALUES (3, 1, 50), (3, 4, 40), (3, 9, 4294967295);"

static char	 theirs[96];

/* A new database of that SQL, and a store that shall import it. */
static int
with(struct peer *p, int dryrun, const char *sql)
{
	sqlite3	*db;
	char	 name[128];

	clean(dir);
	snprintf(theirs, sizeof(theirs), "%s/theirs", dir);
	snprintf(name, sizeof(name), "%s/s/state", dir);
	if (sqlite3_open(theirs, &db) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fatalx("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
	import = theirs;
	return start(p, name, dryrun, YOU);
}

/* A new store of the same state, without an import. */
static int
again(struct peer *p)
{
	char	 name[128];

	snprintf(name, sizeof(name), "%s/s/state", dir);
	import = "";
	return start(p, name, 0, YOU);
}

static int
list_all(struct peer *p)
{
	struct m_store_import	 m = { 0 };

	return ask(p, M_STORE_IMPORT, &m);
}

static void
take(struct peer *p, uint32_t from)
{
	struct m_store_take	 m = { 1, from };

	newbox(p, 1, "INBOX");
	say(p, M_STORE_TAKE, &m);
}

static void
taken(struct peer *p)
{
	struct m_store_taken	 m = { 0 };

	say(p, M_STORE_TAKEN, &m);
}

/* ---- sound ones ---- */

static void
test_sound(void)
{
	struct peer	 p;

	ok(with(&p, 0, SCHEMA SOUND), "sound: ready: %s", p.fatal);
	ok(list_all(&p) && p.count == 1, "sound: version 1: %s", p.fatal);
	is_str(p.text, "mbox 3 INBOX adopt 0 sub 1 rows 3 7/5/9/64/ "
	    "8/60/4294967295/fffffffffffffffe/\n"
	    "mbox 9 a\001 b adopt 0 sub 0 rows 0 4294967295/0/0/0/ 1/0/0/0/\n"
	    "mbox 10 c adopt 0 sub 1 rows 0 0/0/0/0/ 0/0/0/0/\n",
	    "sound: what is told");
	take(&p, 3);
	ok(rows(&p, LOCAL, "1:4294967295"), "sound: taken");
	is_str(list(&p), "1-50 4-40 9-4294967295", "sound: the pairs");
	ok(p.rows[0].size == 0 && p.rows[0].key == 0 &&
	    p.rows[0].flags[0] == '\0', "sound: without size, key, baseline");
	taken(&p);
	ok(commit(&p), "sound: committed: %s", p.fatal);
	ok(stop(&p) == 0 && again(&p), "sound: reopened");
	info(&p, 1);
	ok(p.info.rows == 3 && p.info.max_local == 9, "sound: counted");
	stop(&p);
	import = theirs;
	ok(!start(&p, (snprintf(path, sizeof(path), "%s/s/state", dir), path),
	    0, YOU) && strstr(p.fatal, "knows messages") != NULL,
	    "sound: not a second time: \"%s\"", p.fatal);
	reap(&p);
	ok(with(&p, 0, MAILBOXES SIDE("local") SIDE("remote") MAPPING SOUND) &&
	    list_all(&p) && p.count == 0, "version 0: %s", p.fatal);
	stop(&p);
}

/* Nothing stays of what was not finished, however it ends. */
static void
test_unfinished(void)
{
	struct peer	 p;
	int		 how;

	for (how = 0; how < 3; how++) {
		with(&p, 0, SCHEMA SOUND);
		list_all(&p);
		take(&p, 3);
		if (how == 0) {
			ok(stop(&p) == 0, "unfinished: CLOSE");
		} else if (how == 1) {
			ok(!commit(&p) &&
			    strstr(p.fatal, "before it was checked") != NULL,
			    "unfinished: COMMIT: \"%s\"", p.fatal);
			reap(&p);
		} else {
			rows(&p, LOCAL, "1");
			kill(p.pid, SIGKILL);
			reap(&p);
			ok(1, "unfinished: killed");
		}
		ok(again(&p) && load(&p) && p.text[0] == '\0',
		    "unfinished: nothing is left: %s", p.text);
		stop(&p);
	}
	ok(with(&p, 1, SCHEMA SOUND) && list_all(&p), "dry run: lists");
	take(&p, 3);
	taken(&p);
	ok(commit(&p) && rows(&p, REMOTE, "40:60") && p.nrows == 2,
	    "dry run: takes over");
	stop(&p);
	ok(access((snprintf(path, sizeof(path), "%s/s", dir), path), F_OK) ==
	    -1, "dry run: leaves nothing");
}

/* ---- wrong ones ---- */

/*
 * It is refused with these words, at once or when it is taken over; nothing is
 * imported, and the file is as it was.
 */
static void
wrong(const char *what, const char *sql, const char *words)
{
	struct peer	 p;
	struct stat	 was, is;

	if (with(&p, 0, sql) && list_all(&p)) {
		take(&p, 3);
		taken(&p);
		commit(&p);
	}
	ok(p.status == 1 && strstr(p.fatal, words) != NULL, "%s: \"%s\"", what,
	    p.fatal);
	ok((p.status == -1 ? stop(&p) : reap(&p)) == 1, "%s: exits with 1",
	    what);
	(void)stat(theirs, &was);
	ok(again(&p) && load(&p) && p.text[0] == '\0', "%s: nothing imported",
	    what);
	stop(&p);
	ok(stat(theirs, &is) == 0 && is.st_mtime == was.st_mtime &&
	    is.st_size == was.st_size, "%s: left alone", what);
}

#define WITH(sql)	SCHEMA SOUND sql

static void
test_values(void)
{
	static const char	*bad = "is not a sound database";
	static const struct {
		const char	*what;
		const char	*sql;
	} cases[] = {
	    { "UID 0", WITH("UPDATE mapping SET lUID = 0 WHERE lUID = 1;") },
	    { "a UID below 0", WITH("UPDATE mapping SET rUID = -1"
		" WHERE lUID = 1;") },
	    { "a UID that is too high", WITH("UPDATE mapping SET"
		" rUID = 4294967296 WHERE lUID = 1;") },
	    { "a UID that is text", WITH("UPDATE mapping SET lUID = 'one'"
		" WHERE lUID = 1;") },
	    { "a UID that is NULL", WITH("UPDATE mapping SET rUID = NULL"
		" WHERE lUID = 1;") },
	    { "a name that is empty", WITH("UPDATE mailboxes SET mailbox = x''"
		" WHERE idx = 9;") },
	    { "a name that is NULL", WITH("UPDATE mailboxes SET mailbox = NULL"
		" WHERE idx = 9;") },
	    { "a name with a line's end", WITH("UPDATE mailboxes SET"
		" mailbox = x'610d0a62' WHERE idx = 9;") },
	    { "a name with our own separator", WITH("UPDATE mailboxes SET"
		" mailbox = x'610162' WHERE idx = 9;") },
	    { "a name that is too long", WITH("UPDATE mailboxes SET"
		" mailbox = zeroblob(1024) WHERE idx = 9;") },
	    { "a name that is much too long", WITH("UPDATE mailboxes SET"
		" mailbox = zeroblob(9000000) WHERE idx = 9;") },
	    { "subscribed twice", WITH("UPDATE mailboxes SET subscribed = 2;") },
	    { "UIDVALIDITY 0", WITH("UPDATE local SET UIDVALIDITY = 0;") },
	    { "no UIDVALIDITY, but pairs", WITH("DELETE FROM remote;") },
	    { "UIDNEXT too high", WITH("UPDATE remote SET"
		" UIDNEXT = 4294967296;") },
	    { "HIGHESTMODSEQ is no number", WITH("UPDATE local SET"
		" HIGHESTMODSEQ = 1.5;") },
	    { "a mailbox of number 0", WITH("UPDATE mailboxes SET idx = 0"
		" WHERE idx = 10;") },
	    { "pairs of no mailbox", WITH("INSERT INTO mapping"
		" VALUES (77, 1, 1);") },
	    { "a table is missing", WITH("DROP TABLE remote;") },
	    { "a column is missing", "CREATE TABLE mailboxes (idx INTEGER"
		" PRIMARY KEY, mailbox BLOB);" SIDE("local") SIDE("remote")
		MAPPING },
	    { "a view for a table", WITH("ALTER TABLE local RENAME TO l;"
		" CREATE VIEW local AS SELECT * FROM l;") },
	    { "no index", MAILBOXES SIDE("local") SIDE("remote") "CREATE TABLE"
		" mapping (idx, lUID, rUID);" },
	    { "nothing is in it", "CREATE TABLE x (y);" },
	};
	size_t	 i;

	for (i = 0; i < nitems(cases); i++)
		wrong(cases[i].what, cases[i].sql, bad);
	/* An index that does not keep them apart. */
	wrong("two partners", MAILBOXES SIDE("local") SIDE("remote") "CREATE"
	    " TABLE mapping (idx, lUID, rUID, a, b, UNIQUE (a), UNIQUE (b));"
	    "PRAGMA user_version = 1;"
	    "INSERT INTO mailboxes VALUES (3, x'494e424f58', 1);"
	    "INSERT INTO local VALUES (3, 7, 5, 100);"
	    "INSERT INTO remote VALUES (3, 8, 60, 1);"
	    "INSERT INTO mapping VALUES (3, 1, 50, 1, 1), (3, 1, 51, 2, 2);",
	    "two partners");
	wrong("another version", WITH("PRAGMA user_version = 2;"),
	    "has version 2 of interimap's database");
	wrong("a state of ours", WITH("PRAGMA application_id = 1229804377;"),
	    "a state of imapsync's own");
}

/* Write octets into their file. */
static void
scribble(off_t at, const char *octets, size_t n)
{
	int	 fd;

	if ((fd = open(theirs, O_WRONLY)) == -1 ||
	    pwrite(fd, octets, n, at) != (ssize_t)n)
		fatal("%s", theirs);
	close(fd);
}

/* The file of with() with something done to it: a store, started anew. */
static int
anew(struct peer *p)
{
	stop(p);
	import = theirs;
	return start(p, (snprintf(path, sizeof(path), "%s/s/state", dir), path),
	    0, YOU);
}

static void
beside(const char *suffix, const char *octets, size_t n)
{
	char	 name[128];
	int	 fd;

	snprintf(name, sizeof(name), "%s%s", theirs, suffix);
	if ((fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600)) == -1 ||
	    write(fd, octets, n) != (ssize_t)n)
		fatal("%s", name);
	close(fd);
}

static void
test_file(void)
{
	static char	 zeros[600];
	struct flock	 fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
			    .l_start = 0x40000002, .l_len = 510 };
	struct peer	 p;
	int		 fd;

	with(&p, 0, SCHEMA SOUND);
	scribble(0, "SQLite format 4", 15);
	ok(!anew(&p) && strstr(p.fatal, "nor an SQLite file") != NULL,
	    "file: not SQLite: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	scribble(4096, "\377\377\377\377\377\377\377\377", 8);
	ok(anew(&p) && !list_all(&p) && strstr(p.fatal, "not a sound") != NULL,
	    "file: a page is damaged: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	if (truncate(theirs, 5000) == -1)
		fatal("%s", theirs);
	ok(anew(&p) && !list_all(&p) && strstr(p.fatal, "not a sound") != NULL,
	    "file: it was cut: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	if (truncate(theirs, 0) == -1)
		fatal("%s", theirs);
	ok(!anew(&p) && strstr(p.fatal, "is empty") != NULL,
	    "file: it is empty: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	if (truncate(theirs, 300 << 20) == -1)
		fatal("%s", theirs);
	ok(!anew(&p) && strstr(p.fatal, "is larger") != NULL,
	    "file: it is too large: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	unlink(theirs);
	ok(!anew(&p) && strstr(p.fatal, "can't be read") != NULL,
	    "file: it is not there: \"%s\"", p.fatal);
	reap(&p);

	with(&p, 0, SCHEMA SOUND);
	beside("-journal", zeros, sizeof(zeros));
	beside("-wal", zeros, 32);
	ok(anew(&p) && list_all(&p), "beside: done with: %s", p.fatal);
	beside("-journal", "\331\325\5\371", 4);
	ok(!anew(&p) && strstr(p.fatal, "in the middle of a change") != NULL,
	    "beside: a journal: \"%s\"", p.fatal);
	reap(&p);
	with(&p, 0, SCHEMA SOUND);
	beside("-wal", zeros, 600);
	ok(!anew(&p) && strstr(p.fatal, "in the middle of a change") != NULL,
	    "beside: a WAL: \"%s\"", p.fatal);
	reap(&p);

	with(&p, 0, SCHEMA SOUND "PRAGMA journal_mode = WAL;");
	ok(list_all(&p), "WAL mode, and all is in the file: %s", p.fatal);
	stop(&p);
	with(&p, 0, SCHEMA SOUND);
	if ((fd = open(theirs, O_RDWR)) == -1 ||
	    fcntl(fd, F_SETLK, &fl) == -1)
		fatal("%s", theirs);
	ok(!anew(&p) && p.status == 75 && strstr(p.fatal, "is in use") != NULL,
	    "lock: another program reads it: \"%s\"", p.fatal);
	reap(&p);
	close(fd);
}

/* ---- which pairs hold ---- */

static void
size_of(struct peer *p, int side, uint32_t uid, uint64_t size)
{
	struct m_store_seen	 m = { 1, side, uid, size, 0, 0, 0, "", 1 };

	say(p, M_STORE_SEEN, &m);
}

/* Flags, then the size, as the engine tells them: 0 for what is not there. */
static void
both(struct peer *p, uint32_t l, const char *lflags, uint64_t lsize,
    uint32_t r, const char *rflags, uint64_t rsize)
{
	if (lsize != 0) {
		seen(p, LOCAL, l, 0, 0, INT64_MIN, 0, lflags);
		size_of(p, LOCAL, l, lsize);
	}
	if (rsize != 0) {
		seen(p, REMOTE, r, 0, 0, INT64_MIN, 0, rflags);
		size_of(p, REMOTE, r, rsize);
	}
}

static void
test_pairs(void)
{
	struct peer	 p;
	uint32_t	 n;

	with(&p, 0, SCHEMA "INSERT INTO mailboxes VALUES (3, x'494e424f58', 1);"
	    "INSERT INTO local VALUES (3, 7, 5, 1);"
	    "INSERT INTO remote VALUES (3, 7, 5, 1);"
	    "INSERT INTO mapping VALUES (3, 1, 11), (3, 2, 12), (3, 3, 13),"
	    " (3, 4, 14), (3, 5, 15), (3, 6, 16), (3, 7, 17);");
	list_all(&p);
	take(&p, 3);
	both(&p, 1, "\\Seen", 100, 11, "\\Seen", 100);
	both(&p, 2, "\\Flagged \\Seen", 100, 12, "\\Deleted \\Seen", 100);
	both(&p, 3, "", 100, 13, "", 101);
	both(&p, 4, "", 100, 14, "", 101);
	both(&p, 5, "", 100, 15, "", 0);
	both(&p, 6, "", 0, 16, "", 0);
	both(&p, 7, "", 100, 17, "", 101);
	both(&p, 8, "", 100, 18, "", 100);
	ok(pair(&p, PAIR_DOUBT) && p.count == 0, "doubt: none differs yet");
	is_str(set_text(&p.uids[LOCAL]), "1:4,7", "doubt: all of so few");
	is_str(set_text(&p.uids[REMOTE]), "11:14,17", "doubt: on both sides");
	for (n = 1; n <= 3; n++) {
		seen(&p, LOCAL, n, 900 + n, 100, n, 1, n == 2 ?
		    "\\Flagged \\Seen" : n == 1 ? "\\Seen" : "");
		seen(&p, REMOTE, 10 + n, 900 + n, n == 3 ? 101 : 100, n, 1,
		    n == 2 ? "\\Deleted \\Seen" : n == 1 ? "\\Seen" : "");
	}
	seen(&p, LOCAL, 4, 904, 100, 4, 1, "");
	seen(&p, REMOTE, 14, 999, 101, 4, 1, "");
	ok(pair(&p, PAIR_DOUBT) && p.count == 1, "doubt: one has two keys");
	is_str(set_text(&p.uids[LOCAL]), "7", "doubt: what is still unseen");
	ok(pair(&p, PAIR_IMPORT) && p.count == 3, "import: three hold");
	ok(p.nrows == 5 && p.rows[0].kind == PAIR &&
	    p.rows[1].gone == 4 && p.rows[1].uid[LOCAL] == 4 &&
	    p.rows[2].gone == 2 && p.rows[2].uid[LOCAL] == 5 &&
	    p.rows[3].gone == 3 && p.rows[4].gone == 4 &&
	    p.rows[4].uid[LOCAL] == 7, "import: the others are told: %s",
	    list(&p));
	is_str(set_text(&p.uids[LOCAL]), "4:5,7:8", "import: without a row");
	is_str(set_text(&p.uids[REMOTE]), "14,17:18", "import: likewise");
	rows(&p, LOCAL, "1:100");
	is_str(list(&p), "1-11 2-12 3-13", "import: what stays");
	ok(p.rows[0].size == 100 && p.rows[0].key == 901 &&
	    p.rows[2].size == 0 && p.rows[2].key == 903,
	    "import: size and key");
	is_str(p.rows[0].flags, "\\Seen", "import: the flags of both");
	is_str(p.rows[1].flags, "\\Deleted \\Seen", "import: \\Deleted goes, "
	    "unless both have it");
	info(&p, 1);
	ok(p.info.rows == 3, "import: counted");
	stop(&p);
}

/* A sample of many; equal sizes and no key are enough for the others. */
static void
test_sample(void)
{
	struct peer	 p;
	uint32_t	 n;

	with(&p, 0, SCHEMA "INSERT INTO mailboxes VALUES (3, x'494e424f58', 1);"
	    "INSERT INTO local VALUES (3, 7, 5, 1);"
	    "INSERT INTO remote VALUES (3, 7, 5, 1);"
	    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
	    " WHERE n < 1000) INSERT INTO mapping SELECT 3, n, 2001 - n FROM c");
	list_all(&p);
	take(&p, 3);
	for (n = 1; n <= 1000; n++)
		both(&p, n, "\\Seen", n, 2001 - n, "\\Seen",
		    n == 500 ? 7 : n);
	ok(pair(&p, PAIR_DOUBT), "sample: asked");
	ok(uidset_has(&p.uids[LOCAL], 1) && uidset_has(&p.uids[LOCAL], 1000) &&
	    uidset_has(&p.uids[REMOTE], 1001) &&
	    uidset_has(&p.uids[LOCAL], 500) &&
	    uidset_has(&p.uids[REMOTE], 1501), "sample: from end to end, and "
	    "what differs");
	ok(uidset_count(&p.uids[LOCAL]) >= PAIR_SAMPLE &&
	    uidset_count(&p.uids[LOCAL]) <= PAIR_SAMPLE + 1 &&
	    uidset_count(&p.uids[REMOTE]) == uidset_count(&p.uids[LOCAL]),
	    "sample: %llu of 1000",
	    (unsigned long long)uidset_count(&p.uids[LOCAL]));
	ok(pair(&p, PAIR_IMPORT) && p.count == 999 && p.nrows == 1 &&
	    p.rows[0].uid[LOCAL] == 500, "sample: what differs and has not "
	    "shown its key goes");
	rows(&p, LOCAL, "3");
	ok(p.nrows == 1 && p.rows[0].size == 3 && p.rows[0].key == 0,
	    "sample: another has its size");
	is_str(p.rows[0].flags, "\\Seen", "sample: and its flags");
	stop(&p);
}

int
main(void)
{
	begin();
	test_sound();
	test_unfinished();
	test_values();
	test_file();
	test_pairs();
	test_sample();
	return end();
}
