/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* PAIR_REPAIR: the rows against what both servers have. */
#include <stdio.h>

#include "store_peer.h"

#define KEY(uid)	(0xf000000000000000ULL + (uid))
#define SIZE(uid)	(1000 + (uid))

/* The message of UID n on a side, as fresh() made the rows. */
static void
one(struct peer *p, int side, uint32_t uid, uint32_t n, const char *flags)
{
	seen(p, side, uid, KEY(n), SIZE(n), n, 1, flags);
}

/* Both sides have what fresh() made rows of. */
static void
both(struct peer *p, uint32_t from, uint32_t to)
{
	uint32_t	 n;
	int		 s;

	for (n = from; n <= to; n++)
		for (s = 0; s < SIDES; s++)
			one(p, s, n, n, n % 3 ? "\\Seen" : "");
}

/* What the last PAIR told, a line each. */
static const char *
told(struct peer *p)
{
	static char	 text[4096];
	struct row	*r;
	size_t		 i, used = 0;

	text[0] = '\0';
	for (i = 0; i < p->nrows && used < sizeof(text) - 256; i++) {
		r = &p->rows[i];
		used += snprintf(text + used, sizeof(text) - used,
		    "%u-%u ", r->uid[LOCAL], r->uid[REMOTE]);
		if (r->kind == ROW)
			used += snprintf(text + used, sizeof(text) - used,
			    "gone %d [%s]%s\n", r->gone, r->flags, r->now);
		else
			used += snprintf(text + used, sizeof(text) - used,
			    "%s [%s] [%s] [%s]\n",
			    r->kind == PAIR ? "new" : "row", r->base, r->flags,
			    r->now);
	}
	return text;
}

static void
repair(struct peer *p, const char *want, uint32_t count, const char *rest_local,
    const char *rest_remote, const char *what)
{
	pair(p, PAIR_REPAIR);
	ok(p->done && p->count == count, "%s: %u pairs: %s", what, p->count,
	    p->fatal);
	is_str(told(p), want, what);
	is_str(set_text(&p->uids[LOCAL]), rest_local, what);
	is_str(set_text(&p->uids[REMOTE]), rest_remote, what);
}

/* What is not as the rows say. */
static void
differences(struct peer *p)
{
	both(p, 1, 2);
	/* 3 is missing on the local side, 4 on the remote, 5 on both. */
	one(p, REMOTE, 3, 3, "");
	one(p, LOCAL, 4, 4, "\\Seen");
	/* 6-6 are two messages, 7-7 perhaps: a key is not known. */
	one(p, LOCAL, 6, 6, "");
	one(p, REMOTE, 6, 66, "");
	one(p, LOCAL, 7, 77, "\\Seen");
	seen(p, REMOTE, 7, 0, SIZE(77), 1, 1, "\\Seen");
	/* Flags: on one side, on both, only their case. */
	one(p, LOCAL, 8, 8, "\\Flagged \\Seen");
	one(p, REMOTE, 8, 8, "\\Seen");
	one(p, LOCAL, 9, 9, "$x");
	one(p, REMOTE, 9, 9, "$x");
	one(p, LOCAL, 10, 10, "$A");
	one(p, REMOTE, 10, 10, "$a");
	/* No row: a pair, a pair that differs, one alone. */
	one(p, LOCAL, 21, 21, "");
	one(p, REMOTE, 31, 21, "");
	one(p, LOCAL, 22, 22, "\\Seen");
	one(p, REMOTE, 32, 22, "\\Answered");
	one(p, LOCAL, 23, 23, "");
}

static void
test_repair(void)
{
	struct m_store_base	 base = { 1, 10, "$a" };
	struct peer		 p;

	fresh(&p, 10);
	say(&p, M_STORE_BASE, &base);
	left(&p, M_STORE_LEFT, 1, LOCAL, "21:23");
	left(&p, M_STORE_LEFT, 1, REMOTE, "31,40");
	differences(&p);
	repair(&p, "3-3 gone 1 []\n" "4-4 gone 2 [\\Seen]\n"
	    "5-5 gone 3 [\\Seen]\n" "6-6 gone 4 []\n"
	    "8-8 row [\\Seen] [\\Flagged \\Seen] [\\Seen]\n"
	    "9-9 row [] [$x] [$x]\n"
	    "22-32 new [] [\\Seen] [\\Answered]\n", 2,
	    "4,6,23", "3,6", "repair");
	info(&p, 1);
	ok(p.info.rows == 8, "repair: %u rows", p.info.rows);
	is_str(set_text(&p.uids[LOCAL]), "23", "repair: left out, local");
	is_str(set_text(&p.uids[REMOTE]), "40", "repair: left out, remote");
	rows(&p, LOCAL, "1:99");
	is_str(list(&p), "1-1 2-2 7-7 8-8 9-9 10-10 21-31 22-32",
	    "repair: the rows");
	if (p.nrows == 8) {
		ok(p.rows[2].key == KEY(77) && p.rows[2].size == SIZE(77),
		    "repair: size and key of what was seen");
		ok(strcmp(p.rows[3].flags, "\\Seen") == 0 &&
		    p.rows[4].flags[0] == '\0' && strcmp(p.rows[5].flags,
		    "$a") == 0, "repair: the baselines stay");
		ok(p.rows[7].flags[0] == '\0', "repair: that of a new pair");
	}
	ok(commit(&p) && stop(&p) == 0, "repair: ends with 0");

	/* Once more, after a restart: nothing is left to mend. */
	start(&p, path, 0, YOU);
	both(&p, 1, 2);
	one(&p, LOCAL, 7, 77, "\\Seen");
	seen(&p, REMOTE, 7, KEY(77), SIZE(77) + 1, 1, 1, "\\Seen");
	both(&p, 8, 9);
	one(&p, LOCAL, 10, 10, "$a");
	one(&p, REMOTE, 10, 10, "$a");
	one(&p, LOCAL, 21, 21, "");
	one(&p, REMOTE, 31, 21, "");
	one(&p, LOCAL, 22, 22, "");
	one(&p, REMOTE, 32, 22, "");
	repair(&p, "", 0, "", "", "again");
	rows(&p, LOCAL, "7");
	ok(p.nrows == 1 && p.rows[0].size == 0 && p.rows[0].key == KEY(77),
	    "again: the sizes differ now");
	repair(&p, "1-1 gone 3 [\\Seen]\n" "2-2 gone 3 [\\Seen]\n"
	    "7-7 gone 3 [\\Seen]\n" "8-8 gone 3 [\\Seen]\n" "9-9 gone 3 []\n"
	    "10-10 gone 3 [$a]\n" "21-31 gone 3 []\n" "22-32 gone 3 []\n",
	    0, "", "", "nothing seen");
	info(&p, 1);
	ok(p.info.rows == 0, "nothing seen: no rows");
	ok(stop(&p) == 0, "again: ends with 0");
}

/* Rows that are lost, crossed or of nothing; the count of rows is wrong. */
static void
test_wrong(void)
{
	struct peer	 p;

	fresh(&p, 8);
	newbox(&p, 2, "other");
	stop(&p);
	edit("DELETE FROM message WHERE local IN (1, 2);"
	    " UPDATE message SET remote = 99 WHERE local = 3;"
	    " UPDATE message SET remote = 3 WHERE local = 4;"
	    " INSERT INTO message VALUES (1, 500, 600, 1, 1, 1);"
	    " INSERT INTO message VALUES (2, 1, 1, 1, 1, 1);"
	    " UPDATE message SET key = 5, size = 5 WHERE local = 8;"
	    " UPDATE mailbox SET rows = 1");
	start(&p, path, 0, YOU);
	both(&p, 1, 8);
	repair(&p, "3-99 gone 2 []\n" "4-3 gone 4 [\\Seen]\n"
	    "500-600 gone 3 [\\Seen]\n", 4, "", "", "wrong");
	rows(&p, LOCAL, "1:999");
	is_str(list(&p), "1-1 2-2 3-3 4-4 5-5 6-6 7-7 8-8", "wrong: mended");
	ok(p.nrows == 8 && p.rows[7].key == KEY(8) &&
	    p.rows[7].size == SIZE(8), "wrong: key and size");
	info(&p, 1);
	ok(p.info.rows == 8, "wrong: counted anew");
	drop(&p, LOCAL, 1, 8);
	ok(commit(&p) && stop(&p) == 0, "wrong: ends with 0");
	ok(edit("SELECT count(*) FROM message WHERE mailbox = 2") == 1,
	    "wrong: another mailbox is left alone");
}

/* Without its index the file may hold a remote UID twice. */
static void
doubled(struct peer *p)
{
	both(p, 1, 5);
	seen(p, LOCAL, 6, KEY(5), SIZE(5), 5, 1, "\\Seen");
	repair(p, "1-1 gone 4 [\\Seen]\n" "2-1 gone 4 [\\Seen]\n"
	    "5-5 gone 4 [\\Seen]\n", 2, "5", "", "doubled");
	rows(p, LOCAL, "1:99");
	is_str(list(p), "1-1 2-2 3-3 4-4 6-5", "doubled: mended");
	info(p, 1);
	ok(p->info.rows == 5, "doubled: counted");
}

#define UNIQUE	"SELECT count(*) FROM sqlite_master"			\
    " WHERE name = 'message_remote' AND sql LIKE 'CREATE UNIQUE INDEX%'"

static void
test_doubled(void)
{
	struct peer	 p;
	uint64_t	 before;

	fresh(&p, 5);
	stop(&p);
	edit("DROP INDEX message_remote");
	ok(start(&p, path, 0, YOU) && stop(&p) == 0 && edit(UNIQUE) == 1,
	    "index: made again when the file is opened");

	/* 2-1 is wrong, 6-5 is as good as 5-5 */
	edit("DROP INDEX message_remote;"
	    " UPDATE message SET remote = 1 WHERE local = 2;"
	    " INSERT INTO message SELECT mailbox, 6, 5, flagset, size, key"
	    " FROM message WHERE local = 5");
	before = sum(dir);
	ok(start(&p, path, 1, YOU), "doubled, dry run: %s", p.fatal);
	doubled(&p);
	ok(commit(&p) && stop(&p) == 0 && sum(dir) == before,
	    "doubled, dry run: nothing on the disk");
	ok(start(&p, path, 0, YOU), "doubled: %s", p.fatal);
	ok(stop(&p) == 0 && edit(UNIQUE) == 0, "doubled: can be opened");
	start(&p, path, 0, YOU);
	doubled(&p);
	ok(commit(&p) && stop(&p) == 0 && edit(UNIQUE) == 1,
	    "doubled: the index is unique again");
}

/* Until then the index refuses nothing, and the others still have one partner. */
static void
test_doubled_add(void)
{
	struct peer	 p;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		fresh(&p, 5);
		stop(&p);
		edit("DROP INDEX message_remote;"
		    " INSERT INTO message SELECT mailbox, 6, 5, flagset, size,"
		    " key FROM message WHERE local = 5");
		ok(start(&p, path, 0, YOU), "doubled: opened: %s", p.fatal);
		add_row(&p, side == LOCAL ? 4 : 7, side == LOCAL ? 7 : 4, "");
		ok(!commit(&p) && strstr(p.fatal, "UID 4") != NULL &&
		    strstr(p.fatal, "two partners") != NULL,
		    "doubled: none is added: \"%s\"", p.fatal);
		reap(&p);
	}
}

/* Another mailbox has two rows of one UID: the index waits for its repair. */
static void
test_doubled_other(void)
{
	struct m_store_pair	 m = { 2, PAIR_REPAIR };
	struct peer		 p;

	fresh(&p, 2);
	newbox(&p, 2, "other");
	stop(&p);
	edit("DROP INDEX message_remote;"
	    " INSERT INTO message VALUES (2, 1, 9, 1, 1, 1), (2, 2, 9, 1, 1,"
	    " 1)");
	start(&p, path, 0, YOU);
	both(&p, 1, 2);
	repair(&p, "", 0, "", "", "doubled elsewhere");
	rows(&p, REMOTE, "1:9");
	is_str(list(&p), "1-1 2-2", "doubled elsewhere: all is well here");
	ask(&p, M_STORE_PAIR, &m);
	is_str(told(&p), "1-9 gone 3 [\\Seen]\n2-9 gone 3 [\\Seen]\n",
	    "doubled elsewhere: repaired");
	ok(commit(&p) && stop(&p) == 0 && edit(UNIQUE) == 1,
	    "doubled elsewhere: the index is unique");
}

/* Baselines and UIDs that the program does not write. */
static void
test_damaged(void)
{
	struct peer	 p;

	fresh(&p, 5);
	stop(&p);
	edit("UPDATE message SET flagset = 77 WHERE local = 1;"
	    " INSERT INTO flagset VALUES (78, '\\Seen \\Answered  x');"
	    " UPDATE message SET flagset = 78 WHERE local = 2;"
	    " UPDATE message SET flagset = 77, remote = 50 WHERE local = 3;"
	    " UPDATE message SET remote = 4294967296 WHERE local = 4;"
	    " UPDATE message SET remote = 'x' WHERE local = 5;"
	    " INSERT INTO message VALUES (1, 4294967297, 70, 1, 1, 1)");
	start(&p, path, 0, YOU);
	both(&p, 1, 5);
	repair(&p, "1-1 gone 4 []\n" "2-2 gone 4 []\n" "3-50 gone 2 []\n", 5,
	    "", "", "damaged");
	rows(&p, LOCAL, "1:4294967295");
	is_str(list(&p), "1-1 2-2 3-3 4-4 5-5", "damaged: mended");
	ok(p.nrows == 5 && strcmp(p.rows[1].flags, "\\Seen") == 0 &&
	    p.rows[2].flags[0] == '\0', "damaged: baselines");
	info(&p, 1);
	ok(p.info.rows == 5, "damaged: counted");
	ok(stop(&p) == 0, "damaged: ends with 0");
}

/* All of a large mailbox, in little memory. */
static void
test_large(uint32_t n)
{
	struct peer	 p;
	uint32_t	 i, wrong = 0, mod;
	long		 kb;

	fresh(&p, 0);
	for (i = 1; i <= n; i++)	/* every 50th has no row */
		if (i % 50 != 0)
			add_row(&p, i, i, "");
	commit(&p);
	for (i = 1; i <= n; i++) {
		mod = i % 50;
		seen(&p, LOCAL, i, i * 0x9e3779b97f4a7c15ULL, i, i, 1,
		    mod == 1 ? "\\Seen" : "");
		if (mod != 2)
			seen(&p, REMOTE, i, i * 0x9e3779b97f4a7c15ULL +
			    (mod == 3), i, i, 1, "");
	}
	pair(&p, PAIR_REPAIR);
	ok(p.count == n / 50 && p.nrows == 3 * n / 50,
	    "large: %u pairs, %zu told", p.count, p.nrows);
	for (i = 0; i < p.nrows; i++) {
		mod = p.rows[i].uid[LOCAL] % 50;
		wrong += mod == 1 ? p.rows[i].kind != OLD_PAIR : mod == 2 ?
		    p.rows[i].gone != 2 : p.rows[i].gone != 4;
	}
	ok(wrong == 0 && uidset_count(&p.uids[LOCAL]) == 2 * n / 50 &&
	    uidset_count(&p.uids[REMOTE]) == n / 50, "large: what is told");
	info(&p, 1);
	ok(p.info.rows == n - 2 * n / 50, "large: %u rows", p.info.rows);
	rows(&p, REMOTE, "7,50");
	ok(p.nrows == 2 && p.rows[0].key == 7 * 0x9e3779b97f4a7c15ULL &&
	    p.rows[0].size == 7, "large: key and size");
	commit(&p);
	kb = peak(p.pid);
	if (kb == 0)
		skip("large: no /proc/pid/status");
	else if (getenv("IMAPSYNC_STORE_FAT") != NULL)
		skip("large: built for a memory checker");
	else
		ok(kb < 16 * 1024, "large: %ld KiB at most", kb);
	ok(stop(&p) == 0, "large: ends with 0");
}

int
main(void)
{
	const char	*large;

	if ((large = getenv("IMAPSYNC_STORE_ROWS")) == NULL)
		large = "100000";
	begin();
	test_repair();
	test_wrong();
	test_doubled();
	test_doubled_add();
	test_doubled_other();
	test_damaged();
	test_large(atoi(large));
	return end();
}
