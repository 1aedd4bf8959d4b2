/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/* What the store keeps, and how it pairs: see store_peer.h. */
#include <sys/stat.h>

#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "store_peer.h"

static const char *const loaded =
    "server local . ask\nserver remote /\n"
    "mbox 1 INBOX adopt 1 sub 1 rows 2 "
    "7/43/12/fedcba9876543210/M1 0/1/0/0/\n"
    "mbox 9 a\001b adopt 1 sub 2 rows 0 0/1/0/0//1234567890/0 "
    "2/3/4/0//5/6\n"
    "mark 1 remote first 1 tries 2 77/500 1024 1:10231\n"
    "mark 1 remote first 0 tries 2 77/500 476 10241:14991\n"
    "mark 9 local first 1 tries 0 1/1 1 5:9\n"
    "refusal 1 local 8 code 8 attempts 3 900 800 1234567890123 too\tbig\n"
    "stopped a\001b: a reason\n"
    "stopped b\001c: another reason\n";

/* Every kind of record goes in, and comes out again of a reopened file. */
static void
test_new(void)
{
	struct m_store_subscribed sub = { 1, 1 };
	struct m_store_water	 w = { 1, LOCAL, { 7, 43, 12,
				    0xfedcba9876543210ULL, "M1", 0, 0 } };
	struct m_store_server	 server = { REMOTE, '.', 1 };
	struct m_store_mark	 mark = { 1, REMOTE, 1, 77, 500, "M2",
				    UIDSET_INIT };
	struct m_store_markfail	 fail = { 1, REMOTE };
	struct m_store_refuse	 ref = { 1, LOCAL, 8, 2, 1, 1, 1, 1, "x" };
	struct m_store_stopped	 stopped = { "a\001b", "a reason" };
	struct uidset		 set = UIDSET_INIT;
	struct peer		 p;
	char			 deep[96], name[128];
	size_t			 i;

	clean(dir);
	snprintf(deep, sizeof(deep), "%s/a/b", dir);
	snprintf(name, sizeof(name), "%s/state", deep);
	ok(start(&p, name, 0, YOU), "new: ready: %s", p.fatal);
	ok(mode(deep) == 0700 && mode(name) == 0600,
	    "new: modes %o, %o", mode(deep), mode(name));
	ok(load(&p) && p.text[0] == '\0', "new: nothing is in it");
	newbox(&p, 1, "INBOX");
	newbox(&p, 9, "a\001b");
	say(&p, M_STORE_SUBSCRIBED, &sub);
	w.water.looked = 77;
	say(&p, M_STORE_WATER, &w);	/* to be replaced */
	w.water.looked = 0;
	say(&p, M_STORE_WATER, &w);
	w = (struct m_store_water){ 9, LOCAL,
	    { 0, 1, 0, 0, "", 1234567890, 0 } };
	say(&p, M_STORE_WATER, &w);
	w = (struct m_store_water){ 9, REMOTE, { 2, 3, 4, 0, "", 5, 6 } };
	say(&p, M_STORE_WATER, &w);
	say(&p, M_STORE_SERVER, &server);	/* to be replaced */
	server.delimiter = '/';
	server.ask = 0;
	say(&p, M_STORE_SERVER, &server);
	server = (struct m_store_server){ LOCAL, '.', 1 };
	say(&p, M_STORE_SERVER, &server);
	add_row(&p, 4, 3, "\\Seen");
	add_row(&p, 3, 4, "");
	uidset_add(&mark.set, 5, 6);
	say(&p, M_STORE_MARK, &mark);	/* to be replaced */
	say(&p, M_STORE_MARKFAIL, &fail);
	say(&p, M_STORE_MARKFAIL, &fail);
	uidset_free(&mark.set);
	for (i = 0; i < 1500; i++)
		uidset_add(&set, i * 10 + 1, i * 10 + 1);
	for (i = 0; proto_set_part(&set, &i, &mark.set); mark.first = 0)
		say(&p, M_STORE_MARK, &mark);
	uidset_free(&set);
	uidset_init(&mark.set);
	uidset_add(&mark.set, 5, 9);
	mark = (struct m_store_mark){ 9, LOCAL, 1, 1, 1, "", mark.set };
	say(&p, M_STORE_MARK, &mark);
	uidset_free(&mark.set);
	say(&p, M_STORE_REFUSE, &ref);
	ref = (struct m_store_refuse){ 1, LOCAL, 8, 8, 3, 900, 800,
	    1234567890123, "too\tbig" };
	say(&p, M_STORE_REFUSE, &ref);
	say(&p, M_STORE_STOPPED, &stopped);
	stopped.name = "b\001c";
	stopped.text = "another reason";
	say(&p, M_STORE_STOPPED, &stopped);
	say(&p, M_STORE_STOPPED, &stopped);
	ok(commit(&p), "new: committed");
	ok(load(&p), "new: load");
	is_str(p.text, loaded, "new: what is told");
	ok(stop(&p) == 0, "new: ends with 0");
	snprintf(name, sizeof(name), "%s/state-journal", deep);
	ok(mode(name) == 0, "new: no journal is left");
	snprintf(name, sizeof(name), "%s/state", deep);
	ok(start(&p, name, 0, YOU) && load(&p), "reopened");
	is_str(p.text, loaded, "reopened: what is told");
	info(&p, 1);
	ok(p.info.rows == 2 && p.info.max_local == 14991 &&
	    p.info.max_remote == 4, "info: a mark holds the source's UIDs");
	info(&p, 9);
	ok(p.info.rows == 0 && p.info.max_remote == 9 &&
	    p.info.max_local == 0, "info: of the other side");
	ok(stop(&p) == 0, "reopened: ends with 0");
}

static void
test_remove(void)
{
	struct m_store_unmark	 un = { 1, REMOTE };
	struct m_store_unrefuse	 unref = { 1, REMOTE, 50 };
	struct m_store_refuse	 ref = { 1, REMOTE, 50, 0, 1, 1, 0, 0, "x" };
	struct m_store_mark	 mark = { 1, REMOTE, 1, 1, 1, "",
				    UIDSET_INIT };
	struct m_store_water	 w = { 1, REMOTE, { 1, 2, 3, 4, "x", 5,
				    6 } };
	struct m_store_adopt	 adopt = { 1, 0, 0 };
	struct m_store_forget	 forget = { 1 };
	struct m_store_base	 base = { 1, 2, "\\Flagged" };
	struct m_store_rebase	 rebase = { 1, REMOTE, 1, "Work",
				    UIDSET_INIT };
	struct m_store_stopped	 stopped = { "nowhere", "a reason" };
	struct m_store_unstopped unstopped = { "nowhere" };
	struct peer		 p;

	fresh(&p, 10);
	uidset_add(&mark.set, 60, 61);
	say(&p, M_STORE_MARK, &mark);
	say(&p, M_STORE_REFUSE, &ref);
	ref.uid = 51;
	say(&p, M_STORE_REFUSE, &ref);
	say(&p, M_STORE_BASE, &base);
	base.local = 99;
	say(&p, M_STORE_BASE, &base);	/* no such row: not an error */
	info(&p, 1);
	ok(p.info.max_local == 61 && p.info.max_remote == 51,
	    "info: %u, %u", p.info.max_local, p.info.max_remote);
	say(&p, M_STORE_UNMARK, &un);
	say(&p, M_STORE_UNREFUSE, &unref);
	say(&p, M_STORE_STOPPED, &stopped);
	say(&p, M_STORE_UNSTOPPED, &unstopped);
	say(&p, M_STORE_UNSTOPPED, &unstopped);	/* not an error */
	drop(&p, REMOTE, 9, 51);
	say(&p, M_STORE_ADOPT, &adopt);
	load(&p);
	is_str(p.text, "mbox 1 INBOX adopt 0 sub 2 rows 8 0/1/0/0/ 0/1/0/0/\n",
	    "drop takes rows and refusals of that side");
	rows(&p, LOCAL, "1:2");
	ok(p.nrows == 2 && strcmp(p.rows[0].flags, "\\Seen") == 0 &&
	    strcmp(p.rows[1].flags, "\\Flagged") == 0, "base: is set");
	uidset_add(&rebase.set, 1, 2);
	uidset_add(&rebase.set, 4, 4);
	say(&p, M_STORE_REBASE, &rebase);
	rebase.add = 0;
	rebase.flags = "\\Seen";
	uidset_del(&rebase.set, 4, 4);
	say(&p, M_STORE_REBASE, &rebase);
	uidset_free(&rebase.set);
	rows(&p, REMOTE, "1:4");
	ok(p.nrows == 4 && strcmp(p.rows[0].flags, "Work") == 0 &&
	    strcmp(p.rows[1].flags, "\\Flagged Work") == 0 &&
	    strcmp(p.rows[2].flags, "") == 0 &&
	    strcmp(p.rows[3].flags, "\\Seen Work") == 0,
	    "rebase: each of a set gets or loses it");

	say(&p, M_STORE_MARK, &mark);
	say(&p, M_STORE_REFUSE, &ref);
	say(&p, M_STORE_WATER, &w);
	adopt.adopt = adopt.drop = 1;
	say(&p, M_STORE_ADOPT, &adopt);
	load(&p);
	is_str(p.text, "mbox 1 INBOX adopt 1 sub 2 rows 0 0/1/0/0/ 0/1/0/0/\n",
	    "adopt drops all but the mailbox");
	ok(rows(&p, LOCAL, "1:100") && p.nrows == 0, "adopt: no rows");
	add_row(&p, 1, 1, "");
	say(&p, M_STORE_FORGET, &forget);
	ok(load(&p) && p.text[0] == '\0', "forget: all is gone");
	ok(commit(&p) && stop(&p) == 0, "forget: ends with 0");
	uidset_free(&mark.set);
}

static void
test_rows(void)
{
	struct m_store_sample	 m = { 1, REMOTE, 5, UIDSET_INIT };
	struct peer		 p;
	uint32_t		 i;

	clean(dir);
	start(&p, path, 0, YOU);
	newbox(&p, 1, "INBOX");
	for (i = 1; i <= 100; i++)	/* remote UIDs go the other way */
		add_row(&p, i, 2001 - 20 * i, i == 3 ? "\\Seen $x" : "");
	rows(&p, LOCAL, "2:4,99:4294967295");
	is_str(list(&p), "2-1961 3-1941 4-1921 99-21 100-1", "rows: local");
	ok(strcmp(p.rows[1].flags, "\\Seen $x") == 0 &&
	    p.rows[1].size == 1003 && p.rows[1].now[0] == '\0' &&
	    p.rows[1].key == 0xf000000000000003ULL, "rows: all of it");
	rows(&p, REMOTE, "1:40,1941,1950");
	is_str(list(&p), "100-1 99-21 3-1941", "rows: remote, in its order");
	ok(rows(&p, REMOTE, "5000:6000") && p.nrows == 0, "rows: none");

	ask(&p, M_STORE_SAMPLE, &m);
	is_str(list(&p), "100-1 76-481 51-981 26-1481 1-1981",
	    "sample: evenly from the first to the last");
	uidset_add(&m.set, 1, 900);	/* 45 rows */
	uidset_add(&m.set, 1021, 1960);	/* 47 rows */
	m.count = 4;
	ask(&p, M_STORE_SAMPLE, &m);
	is_str(list(&p), "55-901 53-941 51-981 1-1981",
	    "sample: not in the set");
	m.count = 100;
	ask(&p, M_STORE_SAMPLE, &m);
	is_str(list(&p),
	    "55-901 54-921 53-941 52-961 51-981 50-1001 2-1961 1-1981",
	    "sample: not more than there are");
	m.count = 1;
	ok(ask(&p, M_STORE_SAMPLE, &m) && p.nrows == 1, "sample: one");
	m.count = 0;
	ok(ask(&p, M_STORE_SAMPLE, &m) && p.nrows == 0, "sample: none");
	uidset_add(&m.set, 1, UINT32_MAX);
	m.count = 9;
	ok(ask(&p, M_STORE_SAMPLE, &m) && p.nrows == 0, "sample: all in it");
	uidset_free(&m.set);
	ok(stop(&p) == 0, "sample: ends with 0");
}

/* Random rows come and go, also over a restart; the count stays right. */
static void
test_random(void)
{
	static uint8_t	 local[400], remote[400];
	static uint32_t	 partner[400];
	struct peer	 p;
	uint32_t	 a, b, i, n = 0, step, bad = 0;

	fresh(&p, 0);
	srandom(1);
	for (step = 1; step <= 4000; step++) {
		a = 1 + random() % 399;
		b = 1 + random() % 399;
		if (random() % 3 != 0) {
			if (!local[a] && !remote[b]) {
				add_row(&p, a, b, "");
				local[a] = remote[b] = 1;
				partner[a] = b;
				n++;
			}
		} else {
			b = a + random() % 5;
			drop(&p, LOCAL, a, b);
			for (i = a; i <= b && i < 400; i++) {
				if (local[i]) {
					local[i] = remote[partner[i]] = 0;
					n--;
				}
			}
		}
		if (step % 100 == 0) {
			info(&p, 1);
			bad += p.info.rows != n;
			rows(&p, REMOTE, "1:4294967295");
			bad += p.nrows != n;
		}
		if (step % 1000 == 0)
			bad += stop(&p) != 0 || !start(&p, path, 0, YOU);
	}
	ok(bad == 0 && n > 50, "random: %u rows, always counted right", n);
	ok(stop(&p) == 0, "random: ends with 0");
}

/* INFO of a mailbox must tell these UIDs as left out. */
static void
is_left(struct peer *p, uint32_t mailbox, const char *local,
    const char *remote, const char *what)
{
	info(p, mailbox);
	is_str(set_text(&p->uids[LOCAL]), local, what);
	is_str(set_text(&p->uids[REMOTE]), remote, what);
}

static void
test_left(void)
{
	struct m_store_forget	 forget = { 2 };
	struct m_store_adopt	 adopt = { 1, 0, 0 };
	struct peer		 p;

	fresh(&p, 3);
	newbox(&p, 2, "other");
	left(&p, M_STORE_LEFT, 1, LOCAL, "5,7,9:20");
	is_left(&p, 1, "5,7,9:20", "", "left: as told");
	ok(p.uids_first == 1 && p.info.rows == 3 && p.info.max_local == 20 &&
	    p.info.max_remote == 3, "left: before INFO, which counts it");
	left(&p, M_STORE_LEFT, 1, LOCAL, "6,8,15:30");
	left(&p, M_STORE_LEFT, 1, REMOTE, "40");
	left(&p, M_STORE_LEFT, 2, REMOTE, "1:4294967295");
	is_left(&p, 1, "5:30", "40", "left: merged");
	ok(p.info.max_remote == 40, "left: on the other side, too");
	left(&p, M_STORE_UNLEFT, 1, LOCAL, "1:5,10,20:21,30:4294967295");
	left(&p, M_STORE_UNLEFT, 2, REMOTE, "1,7,4294967295");
	is_left(&p, 1, "6:9,11:19,22:29", "40", "unleft");
	is_left(&p, 2, "", "2:6,8:4294967294", "unleft: ends of all UIDs");
	add_row(&p, 12, 40, "");
	is_left(&p, 1, "6:9,11,13:19,22:29", "", "left: ADD takes out");
	drop(&p, REMOTE, 6, 9);
	drop(&p, LOCAL, 8, 16);
	is_left(&p, 1, "6:7,17:19,22:29", "", "left: DROP takes out");
	ok(p.info.rows == 3, "left: and drops the row");
	seen(&p, LOCAL, 18, 7, 7, 7, 1, "");
	seen(&p, REMOTE, 41, 7, 7, 7, 1, "");
	left(&p, M_STORE_LEFT, 1, REMOTE, "41:42");
	ok(pair(&p, PAIR_ADOPT) && p.count == 1, "left: pair");
	is_left(&p, 1, "6:7,17,19,22:29", "42", "left: PAIR takes out");
	say(&p, M_STORE_ADOPT, &adopt);
	ok(commit(&p) && stop(&p) == 0, "left: ends with 0");

	start(&p, path, 0, YOU);
	is_left(&p, 1, "6:7,17,19,22:29", "42", "left: after a restart");
	add_row(&p, 17, 43, "");
	is_left(&p, 1, "6:7,19,22:29", "42", "left: ADD after a restart");
	adopt.drop = 1;
	say(&p, M_STORE_ADOPT, &adopt);
	is_left(&p, 1, "", "", "left: ADOPT drops it");
	ok(p.info.max_local == 0, "left: and does not count it");
	say(&p, M_STORE_FORGET, &forget);
	is_left(&p, 2, "", "", "left: FORGET");
	left(&p, M_STORE_LEFT, 2, LOCAL, "1");
	ok(!commit(&p) && strstr(p.fatal, "no mailbox 2") != NULL,
	    "left: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "left: exits with 1");
}

/* Ranges come and go, as in a uidset; a set too large for a message. */
static void
test_left_random(void)
{
	struct m_store_left	 m = { 1, LOCAL, 0, UIDSET_INIT };
	struct uidset		 want[SIDES] = { UIDSET_INIT, UIDSET_INIT };
	struct peer		 p;
	uint32_t		 i, lo, hi, bad = 0;
	int			 s;

	fresh(&p, 0);
	srandom(2);
	for (i = 1; i <= 4000; i++) {
		m.side = s = random() % 2;
		lo = 1 + random() % 300;
		hi = lo + (random() % 3 == 0 ? random() % 40 : 0);
		uidset_add(&m.set, lo, hi);
		if (random() % 2 == 0) {
			uidset_or(&want[s], &m.set);
			say(&p, M_STORE_LEFT, &m);
		} else {
			uidset_sub(&want[s], &m.set);
			say(&p, random() % 2 ? M_STORE_UNLEFT : M_STORE_DROP,
			    &m);
		}
		uidset_free(&m.set);
		if (i % 20 != 0)
			continue;
		if (i % 1000 == 0)
			bad += stop(&p) != 0 || !start(&p, path, 0, YOU);
		info(&p, 1);
		for (s = 0; s < SIDES; s++) {
			bad += p.uids[s].n != want[s].n ||
			    uidset_count(&p.uids[s]) != uidset_count(&want[s]);
			uidset_sub(&p.uids[s], &want[s]);
			bad += !uidset_empty(&p.uids[s]);
		}
	}
	ok(bad == 0 && want[LOCAL].n > 10 && want[REMOTE].n > 10,
	    "left, random: always as it should be");
	for (i = 1; i <= 3000; i++) {
		uidset_add(&m.set, 1000 + i * 2, 1000 + i * 2);
		if (i % 1000 == 0) {
			m.side = LOCAL;
			say(&p, M_STORE_LEFT, &m);
			uidset_free(&m.set);
		}
	}
	info(&p, 1);
	ok(uidset_count(&p.uids[LOCAL]) ==
	    uidset_count(&want[LOCAL]) + 3000 && p.uids_first == 4 &&
	    p.nuids == 4, "left: told in %d parts", p.nuids);
	ok(stop(&p) == 0 && edit("SELECT count(*) FROM leftout a JOIN leftout b"
	    " ON a.mailbox = b.mailbox AND a.side = b.side"
	    " AND b.lo BETWEEN a.lo + 1 AND a.hi + 1") == 0,
	    "left: no range in the file touches another");
	for (s = 0; s < SIDES; s++)
		uidset_free(&want[s]);
}

static void
test_rename(void)
{
	struct m_store_water	 w = { 1, LOCAL, { 7, 43, 12, 9, "M1",
				    0, 0 } };
	struct m_store_rename	 m = { 1, "new\001name", "" };
	struct peer		 p;

	fresh(&p, 3);
	newbox(&p, 2, "INBOX\001child");
	say(&p, M_STORE_WATER, &w);
	say(&p, M_STORE_RENAME, &m);
	ok(commit(&p) && load(&p), "rename");
	is_str(p.text, "mbox 1 new\001name adopt 1 sub 2 rows 3"
	    " 7/43/12/9/M1 0/1/0/0/\n"
	    "mbox 2 INBOX\001child adopt 1 sub 2 rows 0 0/1/0/0/ 0/1/0/0/\n",
	    "rename: the name, and nothing else");
	rows(&p, LOCAL, "1:9");
	is_str(list(&p), "1-1 2-2 3-3", "rename: the rows stay");
	m.name = "INBOX\001child";
	say(&p, M_STORE_RENAME, &m);
	ok(!commit(&p) && strstr(p.fatal, "mailbox.name") != NULL &&
	    strstr(p.fatal, "please report") != NULL,
	    "rename: to a name that is there: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "rename: exits with 1");
	start(&p, path, 0, YOU);
	m.mailbox = 3;
	say(&p, M_STORE_RENAME, &m);
	ok(!commit(&p) && strstr(p.fatal, "no mailbox 3") != NULL,
	    "rename: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "rename: no mailbox: exits with 1");
}

/* Mailboxes that are called something else on the remote side. */
static void
test_mapped(void)
{
	struct m_store_newbox	 box = { 2, 1, "Sent Items", "Sent",
				    ATTR_SENT };
	struct m_store_rename	 to = { 2, "a", "b\001c" };
	struct m_store_forget	 f = { 2 };
	struct peer		 p;

	fresh(&p, 0);
	say(&p, M_STORE_NEWBOX, &box);
	ok(commit(&p) && stop(&p) == 0 && start(&p, path, 0, YOU) && load(&p) &&
	    strstr(p.text, "mbox 2 Sent Items adopt 1 sub 2 rows 0 0/1/0/0/"
	    " 0/1/0/0/ as Sent by 400\n") != NULL, "mapped: kept: %s", p.text);
	say(&p, M_STORE_RENAME, &to);
	ok(load(&p) && strstr(p.text, "mbox 2 a adopt 1 sub 2 rows 0 0/1/0/0/"
	    " 0/1/0/0/ as b\001c by 0\n") != NULL, "mapped: renamed: %s", p.text);
	to.remote = "";
	say(&p, M_STORE_RENAME, &to);
	ok(load(&p) && strstr(p.text, " as ") == NULL,
	    "mapped: has one name again: %s", p.text);
	to.remote = "b";
	say(&p, M_STORE_RENAME, &to);
	say(&p, M_STORE_FORGET, &f);
	ok(commit(&p) && stop(&p) == 0 &&
	    edit("SELECT count(*) FROM mapped") == 0, "mapped: goes with it");
}

/* Rows that are added are counted behind the last of those in a row. */
static void
test_added(void)
{
	static const char *const flags[] = { "", "\\Seen", "a", "\\Seen a" };
	struct m_store_forget	 f = { 2 };
	struct peer		 p;
	uint32_t		 uid;

	fresh(&p, 5);
	newbox(&p, 2, "other");
	for (uid = 6; uid <= 45; uid++) {
		add_to(&p, 1 + uid % 3 / 2, uid, uid, flags[uid % 4]);
		if (uid == 20)
			drop(&p, LOCAL, 20, 20);
	}
	info(&p, 1);
	ok(p.info.rows == 5 + 27, "added: counted in one: %u", p.info.rows);
	info(&p, 2);
	ok(p.info.rows == 13, "added: and in the other: %u", p.info.rows);
	add_to(&p, 2, 46, 46, "");
	say(&p, M_STORE_FORGET, &f);
	newbox(&p, 2, "anew");
	add_to(&p, 2, 1, 1, "");
	ok(commit(&p) && stop(&p) == 0 && edit("SELECT sum(rows) = 33 AND"
	    " sum(rows) = (SELECT count(*) FROM message) FROM mailbox") == 1,
	    "added: counted in the file, too");
	ok(edit("SELECT count(*) FROM message JOIN flagset ON flagset = id"
	    " WHERE mailbox = 1 AND local > 5 AND flags <> CASE local % 4 WHEN 0"
	    " THEN '' WHEN 1 THEN '\\Seen' WHEN 2 THEN 'a' ELSE '\\Seen a'"
	    " END") == 0, "added: each with its flags");
}

/* A row belongs to a mailbox, and comes with the rest of its transaction. */
static void
test_added_nowhere(void)
{
	static const uint32_t	 nowhere[] = { 0, 2 };
	struct peer		 p;
	size_t			 i;

	for (i = 0; i < nitems(nowhere); i++) {
		fresh(&p, 5);
		add_to(&p, nowhere[i], 1, 1, "");
		ok(!commit(&p) && strstr(p.fatal, "there is no mailbox") != NULL
		    && reap(&p) == 1, "added nowhere: \"%s\"", p.fatal);
		ok(edit("SELECT count(*) FROM message") == 5,
		    "added nowhere: nothing is");
	}
}

/* More flag sets by turns than are kept in memory. */
static void
test_flagsets(void)
{
	struct peer	 p;
	char		 flag[16];
	uint32_t	 uid;

	fresh(&p, 0);
	for (uid = 1; uid <= 300; uid++) {
		snprintf(flag, sizeof(flag), "f%u", uid % 30);
		add_row(&p, uid, uid, flag);
	}
	ok(commit(&p) && stop(&p) == 0 && edit("SELECT count(*) FROM message"
	    " JOIN flagset ON flagset = id WHERE flags = 'f' || (local % 30)")
	    == 300, "flag sets: each row has its own");
}

/* What must end the session, and leaves the last commit. */
static void
test_fatal(void)
{
	struct m_store_load	 m = { 0 };
	struct m_store_setup	 s;
	struct peer		 p;
	int			 side, ready;

	for (side = 0; side < SIDES; side++) {
		fresh(&p, 5);
		add_row(&p, 6, 6, "");
		add_row(&p, side == LOCAL ? 5 : 7, side == LOCAL ? 7 : 5, "");
		ok(!commit(&p) && strstr(p.fatal,
		    "UID 5") != NULL && strstr(p.fatal, "two partners") != NULL,
		    "two partners: \"%s\"", p.fatal);
		ok(reap(&p) == 1, "two partners: exits with 1");
		start(&p, path, 0, YOU);
		info(&p, 1);
		ok(p.info.rows == 5, "two partners: rolled back");
		stop(&p);
	}
	fresh(&p, 0);
	drop(&p, LOCAL, 1, 1);
	newbox(&p, 1, "again");
	ok(!commit(&p) && p.status == 1, "id twice: \"%s\"", p.fatal);
	reap(&p);
	start(&p, path, 0, YOU);
	info(&p, 77);
	ok(p.done && p.info.rows == 0, "unknown mailbox: no rows");
	seen(&p, LOCAL, 1, 1, 1, 1, 1, "");
	ok(commit(&p), "seen: mailbox 1 is known");
	stop(&p);
	clean(dir);
	start(&p, path, 0, YOU);
	add_row(&p, 1, 1, "");
	ok(!commit(&p) && strstr(p.fatal, "no mailbox 1") != NULL,
	    "unknown mailbox: \"%s\"", p.fatal);
	reap(&p);

	ready = spawn(&p);
	chan_send(&p.chan, M_STORE_LOAD, 1, &m);
	pump(&p);
	ok(strstr(p.fatal, "not allowed") != NULL, "early: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "early: exits with 1");
	close(ready);
	ready = spawn(&p);
	memset(&s, 0, sizeof(s));
	s.version = PROTO_VERSION + 1;
	s.path = path;
	s.identity[LOCAL] = s.identity[REMOTE] = "x";
	s.import = "";
	chan_send(&p.chan, M_STORE_SETUP, 1, &s);
	pump(&p);
	ok(strstr(p.fatal, "version") != NULL, "version: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "version: exits with 1");
	close(ready);
}

static uint32_t	 twins;		/* of the last PAIR */

/* One case of pairing: run it and compare pairs and what is left. */
static void
paired(struct peer *p, int how, const char *want, const char *left_local,
    const char *left_remote, const char *what)
{
	struct m_store_adopt	 m = { 1, 1, 1 };
	uint32_t		 count;

	pair(p, how);
	count = p->count;
	twins = p->exists;
	is_str(set_text(&p->uids[LOCAL]), left_local, what);
	is_str(set_text(&p->uids[REMOTE]), left_remote, what);
	rows(p, LOCAL, "1:4294967295");
	is_str(list(p), want, what);
	info(p, 1);
	ok(p->info.rows == count && p->done, "%s: count %u", what, count);
	say(p, M_STORE_ADOPT, &m);
}

static void
test_pair(void)
{
	struct peer	 p;
	int		 i;

	fresh(&p, 0);
	for (i = 1; i <= 5; i++)
		seen(&p, LOCAL, i * 10, 7, 100, i, 1, "");
	for (i = 1; i <= 3; i++)
		seen(&p, REMOTE, i, 7, 100, 50 - i, 1, "");
	paired(&p, PAIR_ADOPT, "10-1 20-2 30-3", "40,50", "",
	    "adopt: unequal counts, other dates");

	seen(&p, LOCAL, 1, 7, 100, 5, 0, "");
	seen(&p, LOCAL, 2, 7, 100, 6, 0, "");
	seen(&p, LOCAL, 3, 7, 100, DATE_NONE, 0, "");
	seen(&p, REMOTE, 1, 7, 100, 6, 0, "");
	seen(&p, REMOTE, 2, 7, 100, 7, 0, "");
	seen(&p, REMOTE, 3, 7, 100, DATE_NONE, 0, "");
	paired(&p, PAIR_ADOPT, "2-1", "1,3", "2:3",
	    "adopt: no Message-ID, the date decides");

	seen(&p, LOCAL, 1, 7, 100, 5, 1, "");
	seen(&p, LOCAL, 2, 7, 101, DATE_NONE, 1, "");
	seen(&p, LOCAL, 3, 8, 100, 5, 0, "");
	seen(&p, LOCAL, 4, 9, 100, 5, 1, "");
	seen(&p, REMOTE, 1, 7, 200, 5, 1, "");
	seen(&p, REMOTE, 2, 7, 201, DATE_NONE, 1, "");
	seen(&p, REMOTE, 3, 8, 200, 5, 0, "");
	seen(&p, REMOTE, 4, 10, 100, 5, 1, "");
	paired(&p, PAIR_ADOPT, "1-1", "2:4", "2:4",
	    "adopt: another size, Message-ID and date are asked for");
	ok(twins == 1, "adopt: one of them has its key on both sides: %u",
	    twins);

	seen(&p, LOCAL, 1, 7, 100, 5, 1, "");
	seen(&p, LOCAL, 2, 7, 300, 5, 1, "");
	seen(&p, REMOTE, 1, 7, 200, 5, 1, "");
	seen(&p, REMOTE, 2, 7, 100, 6, 1, "");
	paired(&p, PAIR_ADOPT, "1-2 2-1", "", "",
	    "adopt: equal size goes first");
	ok(twins == 0, "adopt: what is paired is none: %u", twins);

	seen(&p, LOCAL, 1, 7, 300, 5, 0, "");
	seen(&p, LOCAL, 2, 7, 100, 5, 0, "");
	seen(&p, LOCAL, 3, 7, 100, 5, 1, "");
	seen(&p, LOCAL, 4, 7, 100, 6, 1, "");
	seen(&p, LOCAL, 5, 7, 100, DATE_NONE, 1, "");
	seen(&p, REMOTE, 11, 7, 200, 5, 1, "");
	seen(&p, REMOTE, 12, 7, 100, 5, 0, "");
	seen(&p, REMOTE, 13, 7, 100, DATE_NONE, 1, "");
	seen(&p, REMOTE, 14, 7, 400, 99, 1, "");
	paired(&p, PAIR_RECOVER, "1-11 2-12 3-13", "4:5", "14",
	    "recover: date first, then size alone; one of them there must be");

	seen(&p, LOCAL, 1, 7, 100, 5, 0, "");
	seen(&p, LOCAL, 2, 8, 100, 5, 0, "");
	seen(&p, LOCAL, 3, 7, 200, 6, 0, "");
	seen(&p, REMOTE, 11, 7, 300, DATE_NONE, 0, "");
	seen(&p, REMOTE, 12, 7, 200, 6, 0, "");
	seen(&p, REMOTE, 13, 9, 100, 5, 0, "");
	paired(&p, PAIR_LEARN, "1-11 3-12", "2", "13",
	    "learn: as recover, then the key alone");

	seen(&p, LOCAL, 1, 0xffffffffffffffffULL, 1, 1, 1, "");
	seen(&p, LOCAL, 2, 0, 1, 1, 1, "");
	seen(&p, LOCAL, 3, 0x7fffffffffffffffULL, 1, 1, 1, "");
	seen(&p, REMOTE, 1, 0x7fffffffffffffffULL, 1, 1, 1, "");
	seen(&p, REMOTE, 2, 0x8000000000000000ULL, 1, 1, 1, "");
	seen(&p, REMOTE, 3, 0xffffffffffffffffULL, 1, 1, 1, "");
	paired(&p, PAIR_ADOPT, "1-3 3-1", "2", "2", "keys of 64 bits");
	seen(&p, LOCAL, 5, 1, 1, 1, 1, "");
	paired(&p, PAIR_ADOPT, "", "5", "", "one side has nothing");
	paired(&p, PAIR_ADOPT, "", "", "", "nothing at all");
	ok(stop(&p) == 0, "pair: ends with 0");
}

static void
test_pair_flags(void)
{
	struct peer	 p;
	uint32_t	 i, odd = 0;

	fresh(&p, 2);
	seen(&p, LOCAL, 1, 1, 1, 1, 1, "");	/* has a row */
	seen(&p, REMOTE, 9, 1, 1, 1, 1, "");
	seen(&p, LOCAL, 10, 2, 2, 1, 1, "\\Seen $a $b");
	seen(&p, LOCAL, 10, 3, 3, 1, 1, "\\Seen $a $b");	/* again */
	seen(&p, REMOTE, 10, 3, 4, 1, 1, "\\Answered \\Seen $B");
	seen(&p, LOCAL, 11, 4, 5, 1, 1, "$c");
	seen(&p, REMOTE, 11, 4, 5, 1, 1, "$C");
	seen(&p, LOCAL, 12, 6, 6, 1, 1, "\\Seen");
	seen(&p, REMOTE, 12, 6, 7, 1, 1, "\\Deleted \\Seen");
	ok(pair(&p, PAIR_ADOPT) && p.count == 3, "flags: pairs");
	is_str(list(&p), "10-10 12-12", "flags: told where they differ");
	is_str(p.rows[0].flags, "\\Seen $a $b", "flags: of the local side");
	is_str(p.rows[0].now, "\\Answered \\Seen $B", "flags: of the remote");
	ok(uidset_empty(&p.uids[LOCAL]), "a UID with a row is not unpaired");
	is_str(set_text(&p.uids[REMOTE]), "9", "nor is it paired");
	rows(&p, LOCAL, "10:12");
	is_str(p.rows[0].flags, "\\Seen $b", "flags: both's is the baseline");
	is_str(p.rows[1].flags, "$c", "flags: without case");
	is_str(p.rows[2].flags, "\\Deleted \\Seen",
	    "flags: one side's \\Deleted is to go, not to come");
	ok(p.rows[0].size == 0 && p.rows[1].size == 5,
	    "size: 0 where it differs");
	for (i = 0; i < 5000; i++)
		seen(&p, REMOTE, 100 + 2 * i, i, 1, 1, 1, "");
	pair(&p, PAIR_ADOPT);
	ok(uidset_count(&p.uids[REMOTE]) == 5000 && p.nuids == 5 &&
	    p.count == 0, "unpaired: in parts");
	pair(&p, PAIR_ADOPT);
	ok(p.nuids == 0, "seen is forgotten");
	for (i = 0; i < 3000; i++) {
		seen(&p, LOCAL, 100 + i, 5, 1, 1, 1, "\\Seen");
		seen(&p, REMOTE, 9000 - 2 * i, 5, 1, 1, 1, "");
	}
	pair(&p, PAIR_ADOPT);
	ok(p.count == 3000 && p.nrows == 3000, "one large group");
	rows(&p, LOCAL, "100:9999");
	for (i = 0; i < p.nrows; i++)
		odd += p.rows[i].uid[REMOTE] != 3002 + 2 * i;
	ok(p.nrows == 3000 && odd == 0, "one large group: UID order");
	ok(stop(&p) == 0, "flags: ends with 0");
}

/* What was seen of one mailbox outlives the pairing of another. */
static void
test_pair_two(void)
{
	struct m_store_pair	 m = { 2, PAIR_ADOPT };
	struct m_store_seen	 other = { 2, LOCAL, 1, 1, 1, 1, 1, "", 0 };
	struct peer		 p;

	fresh(&p, 0);
	newbox(&p, 2, "other");
	seen(&p, LOCAL, 1, 1, 1, 1, 1, "");
	say(&p, M_STORE_SEEN, &other);
	seen(&p, REMOTE, 2, 1, 1, 1, 1, "");
	ok(pair(&p, PAIR_ADOPT) && p.count == 1 && p.nuids == 0,
	    "two mailboxes: each has its own");
	other.side = REMOTE;
	other.uid = 7;
	say(&p, M_STORE_SEEN, &other);
	ok(ask(&p, M_STORE_PAIR, &m) && p.count == 1 && p.nuids == 0,
	    "two mailboxes: the other is paired later");
	load(&p);
	ok(strstr(p.text, "INBOX adopt 1 sub 2 rows 1 ") != NULL &&
	    strstr(p.text, "other adopt 1 sub 2 rows 1 ") != NULL,
	    "two mailboxes: the counts");
	ok(stop(&p) == 0, "two mailboxes: ends with 0");
}

/* What was seen in a session is nothing to the next. */
static void
test_seen_again(void)
{
	struct peer	 p;

	fresh(&p, 0);
	seen(&p, LOCAL, 1, 1, 1, 1, 1, "");
	ok(commit(&p) && stop(&p) == 0, "seen: committed, not paired");
	start(&p, path, 0, YOU);
	seen(&p, REMOTE, 1, 1, 1, 1, 1, "");
	ok(pair(&p, PAIR_ADOPT) && p.count == 0 &&
	    uidset_empty(&p.uids[LOCAL]), "seen: forgotten by the next run");
	ok(stop(&p) == 0, "seen: ends with 0");
}

/* A mark keeps its tries when it is replaced, not when it was dropped. */
static void
test_tries(void)
{
	struct m_store_mark	 mark = { 1, LOCAL, 1, 5, 6, "", UIDSET_INIT };
	struct m_store_markfail	 fail = { 1, LOCAL };
	struct m_store_unmark	 un = { 1, LOCAL };
	struct peer		 p;

	fresh(&p, 0);
	uidset_add(&mark.set, 3, 4);
	say(&p, M_STORE_MARK, &mark);
	say(&p, M_STORE_MARKFAIL, &fail);
	mark.uidnext = 7;
	say(&p, M_STORE_MARK, &mark);
	load(&p);
	ok(strstr(p.text, "mark 1 local first 1 tries 1 5/7 1 3:4\n") != NULL,
	    "tries: kept by a mark that replaces it");
	say(&p, M_STORE_UNMARK, &un);
	say(&p, M_STORE_MARK, &mark);
	load(&p);
	ok(strstr(p.text, "mark 1 local first 1 tries 0 5/7 1 3:4\n") != NULL,
	    "tries: from 0 after UNMARK");
	say(&p, M_STORE_UNMARK, &un);
	say(&p, M_STORE_MARKFAIL, &fail);
	ok(!commit(&p) && strstr(p.fatal, "no mark") != NULL,
	    "tries: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "tries: exits with 1");
	uidset_free(&mark.set);
}

/* What LOAD tells of a mailbox under which sessions ended. */
static void
test_lost(void)
{
	struct m_store_lost	 lost = { 1, 2, REMOTE, 7, 1234567890123 };
	struct peer		 p;

	fresh(&p, 0);
	say(&p, M_STORE_LOST, &lost);
	load(&p);
	ok(strstr(p.text, "lost 1 remote 2 UID 7 next 1234567890123\n") != NULL,
	    "lost: so often, where, and until when");
	lost.count = 3;
	lost.uid = 0;
	say(&p, M_STORE_LOST, &lost);
	load(&p);
	ok(strstr(p.text, "lost 1 remote 3 UID 0 next 1234567890123\n") != NULL,
	    "lost: the last one counts");
	lost.count = 0;
	say(&p, M_STORE_LOST, &lost);
	load(&p);
	ok(strstr(p.text, "lost") == NULL, "lost: forgotten");
	lost.mailbox = 99;
	lost.count = 1;
	say(&p, M_STORE_LOST, &lost);
	ok(!commit(&p), "lost: \"%s\"", p.fatal);
	ok(reap(&p) == 1, "lost: exits with 1");
}

static void
test_diff(void)
{
	struct m_store_diff	 m = { 1, REMOTE, 9 };
	struct peer		 p;

	fresh(&p, 10);
	seen(&p, REMOTE, 1, 0, 0, DATE_NONE, 0, "\\Seen");
	seen(&p, REMOTE, 2, 0, 0, DATE_NONE, 0, "\\Seen");
	seen(&p, REMOTE, 3, 0, 0, DATE_NONE, 0, "$new");
	seen(&p, REMOTE, 4, 0, 0, DATE_NONE, 0, "");
	seen(&p, REMOTE, 6, 0, 0, DATE_NONE, 0, "");
	seen(&p, REMOTE, 7, 0, 0, DATE_NONE, 0, "\\Seen");
	seen(&p, REMOTE, 9, 0, 0, DATE_NONE, 0, "");
	seen(&p, REMOTE, 12, 0, 0, DATE_NONE, 0, "");
	seen(&p, LOCAL, 1, 0, 0, DATE_NONE, 0, "\\Deleted");
	ok(ask(&p, M_STORE_DIFF, &m), "diff: answered");
	is_str(list(&p), "3-3 4-4 5-5 8-8", "diff: changed and gone, up to n");
	ok(p.nrows == 4 && !p.rows[0].gone && p.rows[2].gone &&
	    p.rows[3].gone, "diff: which is gone");
	ok(p.nrows == 4 && strcmp(p.rows[0].now, "$new") == 0 &&
	    p.rows[0].flags[0] == '\0' && p.rows[1].now[0] == '\0' &&
	    strcmp(p.rows[1].flags, "\\Seen") == 0, "diff: flags");
	m.side = LOCAL;
	m.n = 1;
	ask(&p, M_STORE_DIFF, &m);
	is_str(list(&p), "1-1", "diff: the other side");
	ask(&p, M_STORE_DIFF, &m);
	ok(p.nrows == 1 && p.rows[0].gone, "diff: seen is forgotten");
	ok(stop(&p) == 0, "diff: ends with 0");
}

/* A large mailbox in little memory, through all that looks at all of it. */
static void
test_large(uint32_t n)
{
	struct m_store_sample	 sample = { 1, REMOTE, 20, UIDSET_INIT };
	struct peer		 p;
	struct stat		 st;
	uint32_t		 i;
	long			 kb;

	fresh(&p, 0);
	for (i = 0; i < n; i++) {
		seen(&p, LOCAL, i + 1, i * 0x9e3779b97f4a7c15ULL, 1 + i % 5000,
		    i, 1, i % 7 ? "\\Seen" : "");
		/* Some differ in size, some in the key. */
		seen(&p, REMOTE, n * 3 - i * 2,
		    i * 0x9e3779b97f4a7c15ULL + (i % 50 == 1),
		    i % 50 == 0 ? 9999 : 1 + i % 5000, i, 1,
		    i % 7 ? "\\Seen" : "");
	}
	ok(commit(&p), "large: seen");
	ok(pair(&p, PAIR_ADOPT) && p.count == n - n / 50 &&
	    uidset_count(&p.uids[REMOTE]) == n / 50, "large: pairs");
	ok(commit(&p), "large: committed");
	rows(&p, REMOTE, "1:4294967295");
	ok(p.nrows == n - n / 50, "large: all rows");
	ask(&p, M_STORE_SAMPLE, &sample);
	ok(p.nrows == 20, "large: sample");
	drop(&p, REMOTE, 1, n * 2);
	ok(commit(&p), "large: dropped");
	info(&p, 1);
	kb = peak(p.pid);
	if (kb == 0)
		skip("large: no /proc/pid/status");
	else if (getenv("IMAPSYNC_STORE_FAT") != NULL)
		skip("large: built for a memory checker");
	else
		ok(kb < 16 * 1024, "large: %ld KiB at most", kb);
	ok(stop(&p) == 0, "large: ends with 0");
	stat(path, &st);
	printf("# large: %u rows left, file %lld KiB\n", p.info.rows,
	    (long long)st.st_size / 1024);
	clean(dir);
}

int
main(void)
{
	const char	*large;

	if ((large = getenv("IMAPSYNC_STORE_ROWS")) == NULL)
		large = "200000";
	begin();
	test_new();
	test_remove();
	test_rows();
	test_random();
	test_left();
	test_left_random();
	test_rename();
	test_mapped();
	test_added();
	test_added_nowhere();
	test_flagsets();
	test_fatal();
	test_pair();
	test_pair_flags();
	test_pair_two();
	test_seen_again();
	test_tries();
	test_lost();
	test_diff();
	test_large(atoi(large));
	return end();
}
