/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* The state file: whose it is, its lock, what outlives a death. */
#include <sys/stat.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "store_peer.h"

static void
synced(struct peer *p)
{
	struct m_store_synced	 m = { 0 };

	say(p, M_STORE_SYNCED, &m);
}

static void
refuse(struct peer *p, uint32_t uid)
{
	struct m_store_refuse	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = 1;
	m.uid = uid;
	m.text = "no";
	say(p, M_STORE_REFUSE, &m);
}

static void
unmark(struct peer *p)
{
	struct m_store_unmark	 m = { 1, LOCAL };

	say(p, M_STORE_UNMARK, &m);
}

static void
refuses_not(const char *remote, const char *what)
{
	struct peer	 p;

	ok(start(&p, path, 0, remote), "%s: %s", what, p.fatal);
	stop(&p);
}

/* Make a time of the account so many seconds old. */
static void
aged(const char *column, int seconds)
{
	char	 sql[128];

	snprintf(sql, sizeof(sql), "UPDATE account SET %s ="
	    " strftime('%%s', 'now') - %d", column, seconds);
	edit(sql);
}

static void
is_ready(const char *column, int seconds, char octet, const char *what)
{
	struct peer	 p;

	aged(column, seconds);
	start(&p, path, 0, YOU);
	ok(p.ready == octet, "patience: %s: %c", what, p.ready);
	stop(&p);
}

/* A run is killed with an open transaction that has reached the disk. */
static void
test_kill(void)
{
	struct peer	 p;
	uint32_t	 i;
	char		 journal[80];

	fresh(&p, 20000);
	drop(&p, LOCAL, 1, 10000);
	for (i = 30000; i < 230000; i++)
		add_row(&p, i, i, "");
	rows(&p, LOCAL, "1");		/* all that was sent is done */
	kill(p.pid, SIGKILL);
	ok(reap(&p) == -SIGKILL, "kill: killed");
	snprintf(journal, sizeof(journal), "%s-journal", path);
	ok(mode(journal) == 0600, "kill: a journal is there");
	refuses(path, 1, YOU, 1, "without --dry-run", "kill: a dry run");
	ok(start(&p, path, 0, YOU), "kill: opens again: %s", p.fatal);
	info(&p, 1);
	rows(&p, REMOTE, "1:4294967295");
	ok(p.info.rows == 20000 && p.nrows == 20000,
	    "kill: what was committed is there, no more");
	ok(stop(&p) == 0 && mode(journal) == 0, "kill: no journal is left");

	fresh(&p, 10);
	add_row(&p, 11, 11, "");
	info(&p, 1);
	close(p.lifeline);
	p.lifeline = -1;
	ok(reap(&p) == 1 && mode(journal) == 0, "lifeline: ends with 1");
	start(&p, path, 0, YOU);
	info(&p, 1);
	ok(p.info.rows == 10, "lifeline: rolled back");
	add_row(&p, 11, 11, "");
	info(&p, 1);
	shutdown(p.chan.ib.fd, SHUT_WR);
	ok(reap(&p) == 1 && p.status == -1, "no engine: ends with 1, quietly");
	start(&p, path, 0, YOU);
	info(&p, 1);
	ok(p.info.rows == 10, "no engine: rolled back");
	stop(&p);
}

/* The end of the supervisor is seen in the middle of work, too. */
static void
test_busy(void)
{
	struct m_store_rows	 all = { 1, LOCAL, UIDSET_INIT };
	struct m_store_pair	 m = { 1, PAIR_ADOPT };
	struct timespec		 t = { 0, 200000000 };
	struct peer		 p;
	time_t			 before;
	uint32_t		 i;

	fresh(&p, 60000);
	for (i = 0; i < 150000; i++)
		seen(&p, i % 2, 100000 + i, i / 2 * 0x9e3779b97f4a7c15ULL, 1,
		    1, 1, "");
	info(&p, 1);
	chan_send(&p.chan, M_STORE_PAIR, ++p.id, &m);
	chan_flush(&p.chan, 1000);
	nanosleep(&t, NULL);
	close(p.lifeline);
	p.lifeline = -1;
	before = time(NULL);
	ok(reap(&p) == 1 && p.status == -1 && time(NULL) - before < 3,
	    "busy: ends in the middle of a PAIR");

	start(&p, path, 0, YOU);
	uidset_add(&all.set, 1, UINT32_MAX);
	for (i = 0; i < 20; i++)	/* some 30 MB of answers */
		chan_send(&p.chan, M_STORE_ROWS, ++p.id, &all);
	chan_flush(&p.chan, 1000);
	nanosleep(&t, NULL);
	ok(p.status == -1 && peak(p.pid) < 16 * 1024,
	    "busy: %ld KiB while nobody reads its answers", peak(p.pid));
	close(p.lifeline);
	p.lifeline = -1;
	before = time(NULL);
	ok(reap(&p) == 1 && time(NULL) - before < 3,
	    "busy: ends while it waits to write");
	start(&p, path, 0, YOU);
	info(&p, 1);
	ok(p.info.rows == 60000, "busy: rolled back");
	stop(&p);
	uidset_free(&all.set);
}

static void
test_lock(void)
{
	struct peer	 p, q;
	struct timespec	 t = { 0, 400000000 };
	char		 words[80], c;
	uint64_t	 before;
	int		 ready, again;

	fresh(&p, 10);
	snprintf(words, sizeof(words), "in use by process %ld;", (long)p.pid);
	before = sum(dir);
	ok(!start(&q, path, 0, YOU) && strstr(q.fatal, words) != NULL,
	    "lock: \"%s\"", q.fatal);
	ok(reap(&q) == 75 && sum(dir) == before, "lock: exits with 75");
	add_row(&p, 11, 11, "");
	ok(commit(&p), "lock: the first goes on");

	ready = spawn(&q);
	setup(&q, path, 0, YOU);
	nanosleep(&t, NULL);
	kill(p.pid, SIGKILL);
	reap(&p);
	ok(read(ready, &c, 1) == 1, "lock: waits for one that dies");
	close(ready);
	info(&q, 1);
	ok(q.info.rows == 11, "lock: and has all that it committed");
	ready = spawn(&p);
	setup(&p, path, 0, YOU);
	nanosleep(&t, NULL);
	close(p.lifeline);
	p.lifeline = -1;
	ok(reap(&p) == 1 && p.status == -1,
	    "lock: who waits ends with the lifeline");
	close(ready);
	stop(&q);

	start(&p, path, 1, YOU);
	again = start(&q, path, 0, YOU);
	snprintf(words, sizeof(words), "in use by process %ld;", (long)p.pid);
	ok(!again && strstr(q.fatal, words) != NULL,
	    "lock: of a dry run: \"%s\"", q.fatal);
	ok(reap(&q) == 75, "lock: of a dry run: exits with 75");
	stop(&p);
}

static void
test_foreign(void)
{
	struct peer	 p;
	char		 name[80];
	uint8_t		 sqlite[512] = "SQLite format 3";

	fresh(&p, 10);
	stop(&p);
	refuses(path, 0, "other@example.org", 1,
	    "belongs to the pair " ME " and " YOU ", not to " ME
	    " and other@example.org", "other pair");
	refuses(path, 1, "other@example.org", 1, "belongs to",
	    "other pair, dry");
	edit("UPDATE identity SET name = 'me@elsewhere' WHERE side = 0");
	refuses(path, 0, YOU, 1, "belongs to the pair me@elsewhere and " YOU
	    ", not to " ME, "other local server");
	write_at(path, 60, "\0\0\0\6", 4);
	refuses(path, 0, YOU, 1, "newer imapsync", "newer");
	write_at(path, 60, "\0\0\0\4", 4);
	write_at(path, 68, "\0\0\0\1", 4);
	refuses(path, 0, YOU, 1, "another program", "foreign id");
	clean(dir);
	write_at(path, 0, sqlite, sizeof(sqlite));
	refuses(path, 0, YOU, 1, "another program", "foreign SQLite file");
	refuses(path, 1, YOU, 1, "another program", "foreign, dry");
	clean(dir);
	write_at(path, 0, "[local]\n", 8);
	refuses(path, 0, YOU, 1, "nor an SQLite file", "foreign file");
	chmod(path, 0640);
	refuses(path, 0, YOU, 1, "mode 640", "mode");
	unlink(path);
	snprintf(name, sizeof(name), "%s/else", dir);
	write_at(name, 0, "", 0);
	if (symlink(name, path) == -1)
		fatal("symlink");
	refuses(path, 0, YOU, 1, "not a regular file", "symbolic link");
	refuses(dir, 0, YOU, 1, "not a regular file", "directory");
	refuses("state", 0, YOU, 1, "absolute", "relative path");
	snprintf(name, sizeof(name), "%s/else/state", dir);
	refuses(name, 0, YOU, 1, "directory", "file for a directory");

	fresh(&p, 1000);
	stop(&p);
	memset(sqlite, 0xee, sizeof(sqlite));
	write_at(path, 4096, sqlite, sizeof(sqlite));
	write_at(path, 8192, sqlite, sizeof(sqlite));
	write_at(path, 12288, sqlite, sizeof(sqlite));
	refuses(path, 0, YOU, 1, "integrity_check", "damaged");
}

/* A file of an older version. */
static void
old_file(uint32_t rows, int version)
{
	struct peer	 p;

	fresh(&p, rows);
	stop(&p);
	edit("DROP TABLE mapped; PRAGMA user_version = 4");
	if (version < 4)
		edit("DROP TABLE looked; DROP TABLE server; DROP TABLE stopped;"
		    "PRAGMA user_version = 3");
	if (version < 3)
		edit("DROP TABLE account; DROP TABLE lost; DROP TABLE deleted;"
		    "PRAGMA user_version = 2");
	if (version < 2)
		edit("DROP TABLE leftout; PRAGMA user_version = 1");
	edit("VACUUM");
	if (edit("PRAGMA user_version") != version)
		fatalx("the version can't be set");
}

static void
test_upgrade(void)
{
	struct m_store_water	 w = { 1, LOCAL, { 1, 1, 0, 0, "", 9, 0 } };
	struct m_store_server	 server = { LOCAL, '/', 0 };
	struct m_store_rename	 rename = { 1, "n", "r" };
	struct peer	 p;
	struct stat	 st;
	uint64_t	 before;

	old_file(1000, 1);
	before = sum(dir);
	ok(start(&p, path, 1, YOU), "upgrade: dry run: ready: %s", p.fatal);
	left(&p, M_STORE_LEFT, 1, LOCAL, "2000:2001");
	ok(commit(&p) && info(&p, 1) && p.info.rows == 1000 &&
	    p.info.max_local == 2001, "upgrade: dry run: all is there");
	ok(stop(&p) == 0 && sum(dir) == before,
	    "upgrade: dry run: nothing on the disk");

	/* Its one transaction fails. */
	if (stat(path, &st) == -1)
		fatal("%s", path);
	fsize = st.st_size;
	ok(!start(&p, path, 0, YOU) && p.status == 75,
	    "upgrade: no space: \"%s\"", p.fatal);
	ok(reap(&p) == 75 && edit("PRAGMA user_version") == 1 && edit("SELECT"
	    " count(*) FROM sqlite_master WHERE name = 'leftout'") == 0,
	    "upgrade: all or nothing");
	fsize = RLIM_INFINITY;

	ok(start(&p, path, 0, YOU), "upgrade: ready: %s", p.fatal);
	rows(&p, REMOTE, "1:4294967295");
	ok(p.nrows == 1000, "upgrade: the rows are there");
	left(&p, M_STORE_LEFT, 1, LOCAL, "2000:2001");
	ok(commit(&p) && stop(&p) == 0 && edit("PRAGMA user_version") == 5,
	    "upgrade: the version");
	start(&p, path, 0, YOU);
	ok(info(&p, 1) && p.info.max_local == 2001, "upgrade: the new table");
	stop(&p);

	old_file(10, 4);
	ok(start(&p, path, 0, YOU), "upgrade: from version 4: %s", p.fatal);
	say(&p, M_STORE_RENAME, &rename);
	rows(&p, LOCAL, "1:4294967295");
	ok(p.nrows == 10 && commit(&p) && stop(&p) == 0 &&
	    edit("PRAGMA user_version") == 5 &&
	    edit("SELECT count(*) FROM mapped WHERE remote = 'r'") == 1,
	    "upgrade: from version 4: all is there");

	old_file(10, 3);
	ok(start(&p, path, 0, YOU), "upgrade: from version 3: %s", p.fatal);
	rows(&p, LOCAL, "1:4294967295");
	say(&p, M_STORE_WATER, &w);
	say(&p, M_STORE_SERVER, &server);
	ok(p.nrows == 10 && commit(&p) && stop(&p) == 0 &&
	    edit("PRAGMA user_version") == 5 &&
	    edit("SELECT time FROM looked") == 9 &&
	    edit("SELECT delimiter FROM server") == '/',
	    "upgrade: from version 3: all is there");

	old_file(10, 2);
	patience = 86400;
	ok(start(&p, path, 0, YOU) && p.ready == READY_OPEN,
	    "upgrade: from version 2: patience begins now: %s", p.fatal);
	rows(&p, LOCAL, "1:4294967295");
	ok(p.nrows == 10 && load(&p) && p.time == 0,
	    "upgrade: the rows are there, no good run is known");
	synced(&p);
	ok(commit(&p) && stop(&p) == 0 && edit("PRAGMA user_version") == 5 &&
	    edit("SELECT synced FROM account") > 0, "upgrade: the table");
	patience = 0;
}

/* Without a row a file belongs to nobody yet. */
static void
test_nobody(void)
{
	struct m_store_mark	 m;
	struct peer		 p;
	uint64_t		 before;

	clean(dir);
	start(&p, path, 0, "localhost");
	newbox(&p, 1, "INBOX");
	refuse(&p, 7);
	left(&p, M_STORE_LEFT, 1, LOCAL, "3:4");
	synced(&p);
	ok(commit(&p) && stop(&p) == 0, "nobody: made for another pair");
	before = sum(dir);
	ok(start(&p, path, 1, YOU) && load(&p) && *p.text == '\0' &&
	    stop(&p) == 0 && sum(dir) == before,
	    "nobody: dry run: taken over in memory only");
	ok(start(&p, path, 0, YOU) && load(&p) && *p.text == '\0' &&
	    p.time == 0, "nobody: taken over, and empty: %s", p.fatal);
	stop(&p);
	refuses_not(YOU, "nobody: it is ours now");
	start(&p, path, 0, YOU);
	newbox(&p, 1, "INBOX");
	memset(&m, 0, sizeof(m));
	m.mailbox = 1;
	m.first = 1;
	m.mailboxid = "";
	uidset_add(&m.set, 1, 1);
	say(&p, M_STORE_MARK, &m);
	uidset_free(&m.set);
	ok(commit(&p) && stop(&p) == 0, "nobody: a copy is under way");
	refuses(path, 0, "other@example.org", 1, "belongs to the pair",
	    "nobody: with a mark it is somebody's");
	start(&p, path, 0, YOU);
	unmark(&p);
	add_row(&p, 1, 1, "");
	commit(&p);
	stop(&p);
	refuses(path, 0, "other@example.org", 1, "belongs to the pair",
	    "nobody: and with a row");
	start(&p, path, 0, YOU);
	drop(&p, LOCAL, 1, 1);
	commit(&p);
	stop(&p);
	refuses_not("other@example.org", "nobody: without it again not");
}

/* How long both servers have not been in sync. */
static void
test_patience(void)
{
	struct peer	 p, q;
	struct timespec	 t[2];
	time_t		 now = time(NULL);
	uint64_t	 before;

	fresh(&p, 1);
	ok(load(&p) && p.time == 0, "patience: no good run so far");
	synced(&p);
	ok(commit(&p) && load(&p) && p.time >= now,
	    "patience: a good run is told");
	stop(&p);
	ok(edit("SELECT synced FROM account") >= now,
	    "patience: and written");

	/* Alone it is not worth a commit but once an hour. */
	aged("synced", 3000);
	before = sum(dir);
	start(&p, path, 0, YOU);
	synced(&p);
	ok(commit(&p) && stop(&p) == 0 && sum(dir) == before,
	    "patience: not written for itself within the hour");
	start(&p, path, 0, YOU);
	drop(&p, LOCAL, 1, 1);
	synced(&p);
	commit(&p);
	stop(&p);
	ok(edit("SELECT synced FROM account") >= now,
	    "patience: but with something else");
	aged("synced", 3700);
	start(&p, path, 0, YOU);
	synced(&p);
	commit(&p);
	stop(&p);
	ok(edit("SELECT synced FROM account") >= now,
	    "patience: and after it");
	aged("synced", -100000);
	start(&p, path, 0, YOU);
	synced(&p);
	commit(&p);
	stop(&p);
	ok(edit("SELECT synced FROM account") <= time(NULL),
	    "patience: a time that is to come is replaced");

	patience = 86400;
	is_ready("synced", 86400 + 3500, READY_OPEN, "is not over");
	is_ready("synced", 86400 + 3700, READY_LATE, "is over");
	is_ready("synced", -100000, READY_OPEN, "the clock was wrong");
	edit("UPDATE account SET synced = 0");
	is_ready("made", 86300, READY_OPEN, "a new state");
	is_ready("made", 86500, READY_LATE, "a state that was never in sync");
	patience = 0;
	is_ready("made", 864000, READY_OPEN, "none");

	/* Another run has it. */
	patience = 86400;
	start(&p, path, 0, YOU);
	ok(!start(&q, path, 0, YOU) && q.ready == READY_BUSY &&
	    reap(&q) == 75, "patience: in use: \"%s\"", q.fatal);
	t[0].tv_nsec = t[1].tv_nsec = 0;
	t[0].tv_sec = t[1].tv_sec = now - 90000;
	utimensat(AT_FDCWD, path, t, 0);
	ok(!start(&q, path, 0, YOU) && q.ready == READY_BUSY_LATE &&
	    reap(&q) == 75, "patience: in use, and nothing comes of it");
	stop(&p);
	patience = 0;
}

static void
test_dryrun(void)
{
	struct peer	 p;
	char		 name[80];
	uint64_t	 before;
	uint32_t	 i;

	clean(dir);
	before = sum(dir);
	snprintf(name, sizeof(name), "%s/a/b/state", dir);
	ok(start(&p, name, 1, YOU), "dry run: without a file: %s", p.fatal);
	newbox(&p, 1, "INBOX");
	for (i = 1; i < 5000; i++)
		seen(&p, i % 2, i, i / 2, 1, 1, 1, "");
	ok(pair(&p, PAIR_ADOPT) && p.count == 2499 && commit(&p),
	    "dry run: pairs in memory");
	rows(&p, LOCAL, "1:5000");
	ok(p.nrows == 2499, "dry run: the rows are there");
	ok(stop(&p) == 0 && sum(dir) == before, "dry run: no directory made");
	write_at(path, 0, "", 0);
	before = sum(dir);
	ok(start(&p, path, 1, YOU) && stop(&p) == 0 && sum(dir) == before,
	    "dry run: an empty file stays empty");

	fresh(&p, 1000);
	stop(&p);
	write_at(path, 18, "\2\2", 2);
	refuses(path, 1, YOU, 1, "WAL mode", "dry run: WAL");
	ok(start(&p, path, 0, YOU) && stop(&p) == 0,
	    "dry run: WAL, undone by a run: %s", p.fatal);
	before = sum(dir);
	ok(start(&p, path, 1, YOU), "dry run: ready: %s", p.fatal);
	info(&p, 1);
	ok(p.info.rows == 1000, "dry run: sees the old rows");
	newbox(&p, 2, "other");
	drop(&p, REMOTE, 1, 500);
	for (i = 2000; i < 102000; i++)
		add_row(&p, i, i, "");
	for (i = 0; i < 40000; i++)
		seen(&p, i % 2, 200000 + i, i / 2, 1, 1, 1, "$a");
	ok(commit(&p), "dry run: COMMIT is answered");
	ok(pair(&p, PAIR_ADOPT) && p.count == 20000 && commit(&p),
	    "dry run: pairs");
	info(&p, 1);
	ok(p.info.rows == 120500 && sum(dir) == before,
	    "dry run: %u rows, nothing on the disk", p.info.rows);
	ok(stop(&p) == 0 && sum(dir) == before,
	    "dry run: nothing on the disk at its end");
	start(&p, path, 1, YOU);
	kill(p.pid, SIGKILL);
	reap(&p);
	ok(sum(dir) == before, "dry run: nothing on the disk if killed");
	ok(start(&p, path, 0, YOU), "after it: %s", p.fatal);
	info(&p, 1);
	ok(p.info.rows == 1000, "after it: the old rows");
	stop(&p);
}

/* No space: a clear message, and the state as it was. */
static void
full(const char *file, const char *what)
{
	struct peer	 p;
	uint32_t	 i;

	if (!start(&p, file, 0, YOU))
		fatalx("%s", p.fatal);
	newbox(&p, 1, "INBOX");
	add_row(&p, 1, 1, "");
	commit(&p);
	for (i = 2; i < 300000 && p.status == -1; i++) {
		add_row(&p, i, i, "");
		if (i % 1000 == 0 && !rows(&p, LOCAL, "1"))
			break;
	}
	ok(p.status == 75 && strstr(p.fatal, "no space left") != NULL &&
	    strstr(p.fatal, file) != NULL, "%s: \"%s\"", what, p.fatal);
	ok(reap(&p) == 75, "%s: exits with 75", what);
	fsize = RLIM_INFINITY;
	ok(start(&p, file, 0, YOU), "%s: opens again: %s", what, p.fatal);
	info(&p, 1);
	ok(p.info.rows == 1, "%s: the state is as it was", what);
	stop(&p);
}

static void
test_full(void)
{
	char	 mnt[64], name[80], cmd[256];

	clean(dir);
	fsize = 512 * 1024;
	full(path, "file size limit");
	clean(dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	snprintf(name, sizeof(name), "%s/state", mnt);
	snprintf(cmd, sizeof(cmd), "mount -t tmpfs -o size=512k,mode=0700"
	    " tmpfs %s >/dev/null 2>&1", mnt);
	if (mkdir(mnt, 0700) == -1)
		fatal("%s", mnt);
	if (system(cmd) != 0) {
		skip("full disk: no tmpfs can be mounted");
		return;
	}
	full(name, "full disk");
	snprintf(cmd, sizeof(cmd), "umount %s", mnt);
	if (system(cmd) != 0)
		fatalx("%s", cmd);
}

/* --status: start, and what LOAD says; 0 if it did not start. */
static int
looks(struct peer *p)
{
	int	 ret;

	look = 1;
	ret = start(p, path, 0, YOU) && load(p);
	look = 0;
	return ret;
}

static void
test_look(void)
{
	struct m_store_stopped	 stopped = { "INBOX", "a reason" };
	struct peer		 p, q;
	uint64_t		 before;
	char			 journal[80];

	clean(dir);
	before = sum(dir);
	ok(looks(&p) && p.text[0] == '\0' && p.exists == 0 && stop(&p) == 0 &&
	    sum(dir) == before, "look: no state, and none is made");

	fresh(&q, 10);
	say(&q, M_STORE_STOPPED, &stopped);
	synced(&q);
	commit(&q);
	ok(looks(&p), "look: while another has it: %s", p.fatal);
	is_str(p.text, "mbox 1 INBOX adopt 1 sub 2 rows 10 0/1/0/0/ 0/1/0/0/\n"
	    "stopped INBOX: a reason\n", "look: what it has committed");
	ok(p.exists == (uint32_t)q.pid && p.time > 0 &&
	    p.told_synced == p.time, "look: and who that is");
	stop(&p);
	drop(&q, LOCAL, 1, 4);
	ok(looks(&p) && strstr(p.text, "rows 10") != NULL,
	    "look: what it has not committed is not seen");
	stop(&p);
	ok(commit(&q) && looks(&p) && strstr(p.text, "rows 6") != NULL,
	    "look: and then it is");
	ok(!rows(&p, LOCAL, "1:9") && reap(&p) == 1 &&
	    strstr(p.fatal, "not allowed") != NULL,
	    "look: there is nothing else to ask");
	stop(&q);

	before = sum(dir);
	ok(looks(&p) && p.exists == 0 && strstr(p.text, "rows 6") != NULL &&
	    stop(&p) == 0 && sum(dir) == before,
	    "look: at a file that nobody has");
	look = 1;
	ok(!start(&p, path, 0, "another") && reap(&p) == 1 &&
	    strstr(p.fatal, "belongs to the pair") != NULL,
	    "look: at that of another pair: \"%s\"", p.fatal);
	look = 0;
	old_file(10, 2);
	before = sum(dir);
	ok(looks(&p) && strstr(p.text, "rows 10") != NULL && stop(&p) == 0 &&
	    sum(dir) == before, "look: at an old one, which stays so");

	/* The header of a journal: the file may be anything between. */
	snprintf(journal, sizeof(journal), "%s-journal", path);
	write_at(journal, 0, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8);
	ok(!looks(&p) && reap(&p) == 1 &&
	    strstr(p.fatal, "in the middle of a change") != NULL,
	    "look: not at what is to be undone: \"%s\"", p.fatal);
	write_at(journal, 0, "\0\0\0\0\0\0\0\0", 8);
	ok(looks(&p) && stop(&p) == 0, "look: a journal that is over: %s",
	    p.fatal);
	unlink(journal);
}

int
main(void)
{
	begin();
	test_look();
	test_foreign();
	test_upgrade();
	test_nobody();
	test_patience();
	test_dryrun();
	test_lock();
	test_busy();
	test_kill();
	test_full();
	return end();
}
