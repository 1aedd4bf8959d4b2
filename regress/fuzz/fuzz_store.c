/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The store's requests, in any order, on a real file, in TMPDIR or, if that is
 * not set, in memory where there is a directory of that kind.
 *
 * An input is requests of REQUEST octets: see request().  They are also done to
 * a model: which rows, refusals and UIDs left out a mailbox has, and what of that
 * is committed.
 *
 * What must hold: a request fails if and only if the model says so; what the
 * store tells is what the model has, also after it was closed, or died, and was
 * opened again; each answer can be sent; the counts are right; and at the end
 * the file is sound, and empty once each mailbox is forgotten.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <stdarg.h>

#include "imapsync-store/store.h"
#include "log.h"
#include "confine.h"
#include "replay.h"

#define REQUEST		6
#define BOXES		3
#define NUIDS		256	/* of a side; the last ones are the highest */
#define HIGH		8	/* so many of them */
#define OPENS		3	/* of an input: it takes long */

struct row {
	int		 remote;	/* index of its UID, -1: no row */
	char		 flags[32];
};
struct mailbox {
	int		 is;
	char		 name[16];
	uint32_t	 nrows;
	struct row	 rows[NUIDS];	/* by local UID */
	uint8_t		 refused[SIDES][NUIDS];
	uint8_t		 left[SIDES][2][NUIDS];	/* 1: alone */
	uint8_t		 mark[SIDES];
	/* Forgotten with the file's end. */
	uint8_t		 seen[SIDES][NUIDS];	/* key + 1 */
};

static struct db	 db;
static struct mailbox	 boxes[BOXES], committed[BOXES];
static char		 dir[64], path[80];
static int		 open_now, nopens;
static char		 last_words[256];	/* of a fatal error */

/* What the last request was answered. */
static struct told {
	struct mailbox	 box[BOXES];	/* LOAD, INFO and ROWS */
	uint32_t	 nrows[BOXES];	/* as LOAD tells */
	uint32_t	 rows;
	struct m_engine_info info;
	uint32_t	 mailbox;	/* of what is told; from 0 on */
	int		 dup;		/* a UID came twice */
} told;

/* ---- UIDs ---- */

static uint32_t
uid_of(int i)
{
	return i < NUIDS - HIGH ? (uint32_t)i + 1 :
	    UINT32_MAX - (uint32_t)(NUIDS - 1 - i);
}

static int
index_of(uint32_t uid)
{
	if (uid > 0 && uid <= NUIDS - HIGH)
		return uid - 1;
	must(uid > UINT32_MAX - HIGH, "a UID that was given");
	return NUIDS - 1 - (UINT32_MAX - uid);
}

static const char *const	 some_flags[] = { "", "\\Seen", "\\Deleted \\Seen",
				    "kw" };

/* ---- answers ---- */

static void
on_row(const struct m_engine_row *m)
{
	struct mailbox	*b = &told.box[told.mailbox];
	struct row	*r = &b->rows[index_of(m->local)];
	int		 i;

	told.rows++;
	if (r->remote != -1)
		told.dup = 1;
	for (i = 0; i < NUIDS; i++)
		if (b->rows[i].remote == index_of(m->remote))
			told.dup = 1;
	r->remote = index_of(m->remote);
	strlcpy(r->flags, m->flags, sizeof(r->flags));
}

static void
on_uids(const struct m_engine_uids *m)
{
	uint8_t	*left = told.box[told.mailbox].left[m->side][m->what & 1];
	int	 i;

	for (i = 0; i < NUIDS; i++)
		left[i] |= uidset_has(&m->set, uid_of(i));
}

static void
answer(void *arg, uint32_t type, const void *rec)
{
	const struct m_engine_mbox	*mbox = rec;
	const struct m_engine_refusal	*ref = rec;
	const struct m_engine_mark	*mark = rec;
	struct mailbox			*b;
	struct buf			 out = BUF_INIT;

	(void)arg;
	must(proto_encode(&out, type, rec) == 0, "an answer can be sent");
	buf_free(&out);
	if (type == M_ENGINE_MBOX) {
		must(mbox->mailbox > 0 && mbox->mailbox <= BOXES, "a mailbox");
		b = &told.box[mbox->mailbox - 1];
		b->is = 1;
		b->nrows = mbox->rows;
		strlcpy(b->name, mbox->name, sizeof(b->name));
	} else if (type == M_ENGINE_REFUSAL)
		told.box[ref->mailbox - 1].refused[ref->side]
		    [index_of(ref->uid)] = 1;
	else if (type == M_ENGINE_MARK)
		told.box[mark->mailbox - 1].mark[mark->target] = 1;
	else if (type == M_ENGINE_INFO)
		told.info = *(const struct m_engine_info *)rec;
	else if (type == M_ENGINE_ROW)
		on_row(rec);
	else if (type == M_ENGINE_UIDS)
		on_uids(rec);
}

static void
sink(int status, enum log_level level, const char *mailbox, const char *text)
{
	(void)level;
	(void)mailbox;
	if (status == -1)
		return;
	strlcpy(last_words, text, sizeof(last_words));
	db_abort(&db);
}

/* ---- the model and what is told ---- */

static void
forget_told(void)
{
	int	 i, k;

	memset(&told, 0, sizeof(told));
	for (i = 0; i < BOXES; i++)
		for (k = 0; k < NUIDS; k++)
			told.box[i].rows[k].remote = -1;
}

static int
top(const struct mailbox *b, int side)
{
	int	 i, most = -1;

	for (i = 0; i < NUIDS; i++) {
		if (b->refused[side][i] || b->left[side][0][i] ||
		    b->left[side][1][i])
			most = i;
		if (b->rows[i].remote == -1)
			continue;
		if (side == LOCAL)
			most = i;
		else if (b->rows[i].remote > most)
			most = b->rows[i].remote;
	}
	return most;
}

static void
same_box(int i)
{
	const struct mailbox	*is = &told.box[i], *b = &boxes[i];
	int			 k;

	must(is->is == b->is, "the mailboxes that there are");
	if (!b->is)
		return;
	must(strcmp(is->name, b->name) == 0, "a mailbox's name");
	must(is->nrows == b->nrows && told.info.rows == b->nrows &&
	    told.rows == b->nrows, "the number of rows");
	for (k = 0; k < NUIDS; k++)
		must(is->rows[k].remote == b->rows[k].remote &&
		    (is->rows[k].remote == -1 ||
		    strcmp(is->rows[k].flags, b->rows[k].flags) == 0),
		    "the rows");
	must(memcmp(is->refused, b->refused, sizeof(b->refused)) == 0,
	    "the refusals");
	must(memcmp(is->left, b->left, sizeof(b->left)) == 0,
	    "what was left out");
	must(memcmp(is->mark, b->mark, sizeof(b->mark)) == 0, "the marks");
	/* A mark may name any UID. */
	must((top(b, LOCAL) == -1 || told.info.max_local >=
	    uid_of(top(b, LOCAL))) && (top(b, REMOTE) == -1 ||
	    told.info.max_remote >= uid_of(top(b, REMOTE))),
	    "the highest UIDs");
	if (!b->mark[LOCAL] && !b->mark[REMOTE])
		must(told.info.max_local == (top(b, LOCAL) == -1 ? 0 :
		    uid_of(top(b, LOCAL))), "the highest local UID");
}

/* Ask for all rows of the mailbox. */
static void
tell_rows(int i, int side)
{
	struct m_store_rows	 m = { i + 1, side, UIDSET_INIT };

	told.mailbox = i;
	uidset_add(&m.set, 1, UINT32_MAX);
	db_rows(&db, &m);
	uidset_free(&m.set);
	must(!told.dup, "a UID has one row");
}

static void
compare(void)
{
	struct m_store_info	 info;
	int			 i;

	for (i = 0; i < BOXES; i++) {
		forget_told();
		db_load(&db);
		if (boxes[i].is) {
			info.mailbox = i + 1;
			told.mailbox = i;
			db_info(&db, &info);
			tell_rows(i, LOCAL);
		}
		same_box(i);
	}
}

/* Take over the rows as they are now. */
static void
take_rows(int i)
{
	forget_told();
	tell_rows(i, REMOTE);
	memcpy(boxes[i].rows, told.box[i].rows, sizeof(boxes[i].rows));
	boxes[i].nrows = told.rows;
}

/* ---- opening and closing ---- */

static void
open_file(void)
{
	struct m_store_setup	 m;

	memset(&m, 0, sizeof(m));
	m.version = PROTO_VERSION;
	m.path = path;
	m.identity[LOCAL] = "me@localhost";
	m.identity[REMOTE] = "you@example.org";
	m.import = "";
	memset(&db, 0, sizeof(db));
	db.answer = answer;
	db_open(&db, &m);
	open_now = 1;
	nopens++;
}

/* It is closed, or it has died: what was not committed is gone. */
static void
close_file(int orderly)
{
	int	 i;

	if (!open_now)
		return;
	open_now = 0;
	if (orderly)
		db_close(&db);
	else
		db_abort(&db);
	free(db.path);
	free(db.file);
	free(db.dir);
	for (i = 0; i < (int)nitems(db.flagsets); i++)
		free(db.flagsets[i].flags);
	memset(&db, 0, sizeof(db));
	if (orderly)
		memcpy(committed, boxes, sizeof(boxes));
	else
		memcpy(boxes, committed, sizeof(boxes));
	for (i = 0; i < BOXES; i++)
		memset(boxes[i].seen, 0, sizeof(boxes[i].seen));
}

/* The file is sound; and with its mailboxes all goes that is theirs. */
static void
check_sound(void)
{
	static const char *const	 tables[] = { "mailbox", "message",
					    "mark", "markset", "refused",
					    "leftout", "lost", "looked",
					    "seen_local", "seen_remote" };
	struct m_store_forget		 m;
	sqlite3_stmt			*st = NULL;
	char				 sql[64];
	size_t				 i;

	must(sqlite3_prepare_v2(db.sql, "PRAGMA integrity_check", -1, &st,
	    NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW &&
	    strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0,
	    "the file is sound");
	sqlite3_finalize(st);
	for (m.mailbox = 1; m.mailbox <= BOXES; m.mailbox++)
		if (boxes[m.mailbox - 1].is)
			db_forget(&db, &m);
	for (i = 0; i < nitems(tables); i++) {
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s",
		    tables[i]);
		must(db_number(&db, sql) == 0, sql);
	}
	db_commit(&db);
}

/* ---- requests ---- */

/* What a request is about. */
struct args {
	int		 box;		/* from 0 on */
	int		 side;
	int		 i;		/* index of a UID */
	int		 j;		/* of the last one of a range */
	uint8_t		 e;
	struct mailbox	*b;
};

static void
drop_row(struct mailbox *b, int i)
{
	if (b->rows[i].remote == -1)
		return;
	b->rows[i].remote = -1;
	b->nrows--;
}

/* Rows of UIDs i to j of a side. */
static void
drop_rows(struct mailbox *b, int side, int i, int j)
{
	int	 k;

	for (k = 0; k < NUIDS; k++)
		if (b->rows[k].remote != -1 && (side == LOCAL ? k >= i &&
		    k <= j : b->rows[k].remote >= i && b->rows[k].remote <= j))
			drop_row(b, k);
	memset(&b->refused[side][i], 0, j - i + 1);
	memset(&b->left[side][0][i], 0, j - i + 1);
	memset(&b->left[side][1][i], 0, j - i + 1);
}

static void
empty_box(struct mailbox *b)
{
	int	 s;

	for (s = 0; s < SIDES; s++)
		drop_rows(b, s, 0, NUIDS - 1);
	memset(b->mark, 0, sizeof(b->mark));
	memset(b->seen, 0, sizeof(b->seen));
}

static int
name_taken(const char *name, int but)
{
	int	 i;

	for (i = 0; i < BOXES; i++)
		if (i != but && boxes[i].is && strcmp(boxes[i].name, name) == 0)
			return 1;
	return 0;
}

static void
name_of(char name[16], const struct args *a)
{
	snprintf(name, 16, "m%d", a->e % 4);
}

/* Each of these makes the request; 0 if it must fail. */
static int
do_newbox(const struct args *a)
{
	struct m_store_newbox	 m = { a->box + 1, a->side, NULL, "", 0 };
	char			 name[16];
	int			 k, fits;

	name_of(name, a);
	m.name = name;
	fits = !a->b->is && !name_taken(name, -1);
	db_newbox(&db, &m);
	memset(a->b, 0, sizeof(*a->b));
	a->b->is = 1;
	strlcpy(a->b->name, name, sizeof(a->b->name));
	for (k = 0; k < NUIDS; k++)
		a->b->rows[k].remote = -1;
	return fits;
}

static int
do_rename(const struct args *a)
{
	struct m_store_rename	 m = { a->box + 1, NULL, "" };
	char			 name[16];
	int			 fits;

	name_of(name, a);
	m.name = name;
	fits = a->b->is && !name_taken(name, a->box);
	db_rename(&db, &m);
	strlcpy(a->b->name, name, sizeof(a->b->name));
	return fits;
}

static int
do_add(const struct args *a)
{
	struct m_store_add	 m;
	int			 k, fits = a->b->is;

	memset(&m, 0, sizeof(m));
	m.mailbox = a->box + 1;
	m.local = uid_of(a->i);
	m.remote = uid_of(a->j);
	m.size = a->e;
	m.key = a->e;
	m.flags = some_flags[a->e % nitems(some_flags)];
	fits = fits && a->b->rows[a->i].remote == -1;
	for (k = 0; k < NUIDS && fits; k++)
		fits = a->b->rows[k].remote != a->j;
	db_add(&db, &m);
	a->b->rows[a->i].remote = a->j;
	strlcpy(a->b->rows[a->i].flags, m.flags,
	    sizeof(a->b->rows[a->i].flags));
	a->b->nrows++;
	for (k = 0; k < 2; k++) {
		a->b->left[LOCAL][k][a->i] = 0;
		a->b->left[REMOTE][k][a->j] = 0;
	}
	return fits;
}

static int
do_base(const struct args *a)
{
	struct m_store_base	 m = { a->box + 1, uid_of(a->i),
				    some_flags[a->e % nitems(some_flags)] };

	db_base(&db, &m);
	strlcpy(a->b->rows[a->i].flags, m.flags,
	    sizeof(a->b->rows[a->i].flags));
	return a->b->is;
}

static int
do_drop(const struct args *a)
{
	struct m_store_drop	 m = { a->box + 1, a->side, UIDSET_INIT };
	static struct uidset	 set;

	uidset_free(&set);
	uidset_add(&set, uid_of(a->i), uid_of(a->j));
	m.set = set;
	db_drop(&db, &m);
	drop_rows(a->b, a->side, a->i, a->j);
	return a->b->is;
}

static int
do_adopt(const struct args *a)
{
	struct m_store_adopt	 m = { a->box + 1, a->side, a->e & 1 };

	db_adopt(&db, &m);
	if (m.drop && a->b->is)
		empty_box(a->b);
	return a->b->is;
}

static int
do_forget(const struct args *a)
{
	struct m_store_forget	 m = { a->box + 1 };
	int			 fits = a->b->is;

	db_forget(&db, &m);
	empty_box(a->b);
	a->b->is = 0;
	return fits;
}

static int
do_mark(const struct args *a)
{
	struct m_store_mark	 m;
	static struct uidset	 set;
	int			 fits = a->b->is;

	uidset_free(&set);
	uidset_add(&set, uid_of(a->i), uid_of(a->j));
	memset(&m, 0, sizeof(m));
	m.mailbox = a->box + 1;
	m.target = a->side;
	m.first = a->e & 1;
	m.mailboxid = "";
	m.set = set;
	fits = fits && (m.first || a->b->mark[a->side]);
	db_mark(&db, &m);
	a->b->mark[a->side] = 1;
	return fits;
}

static int
do_markfail(const struct args *a)
{
	struct m_store_markfail	 m = { a->box + 1, a->side };

	db_markfail(&db, &m);
	return a->b->is && a->b->mark[a->side];
}

static int
do_unmark(const struct args *a)
{
	struct m_store_unmark	 m = { a->box + 1, a->side };

	db_unmark(&db, &m);
	a->b->mark[a->side] = 0;
	return a->b->is;
}

static int
do_refuse(const struct args *a)
{
	struct m_store_refuse	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = a->box + 1;
	m.side = a->side;
	m.uid = uid_of(a->i);
	m.code = a->e % (RC_MAX + 1);
	m.size = m.limit = UINT64_MAX - a->e;
	m.next = INT64_MAX - a->e;
	m.attempts = UINT32_MAX;
	m.text = a->e & 1 ? "words\x80" : "";
	db_refuse(&db, &m);
	a->b->refused[a->side][a->i] = 1;
	return a->b->is;
}

static int
do_unrefuse(const struct args *a)
{
	struct m_store_unrefuse	 m = { a->box + 1, a->side, uid_of(a->i) };

	db_unrefuse(&db, &m);
	a->b->refused[a->side][a->i] = 0;
	return a->b->is;
}

static int
do_left(const struct args *a)
{
	struct m_store_left	 m = { a->box + 1, a->side, a->e & 1,
				    UIDSET_INIT };
	static struct uidset	 set;

	uidset_free(&set);
	uidset_add(&set, uid_of(a->i), uid_of(a->j));
	m.set = set;
	db_left(&db, &m);
	memset(&a->b->left[a->side][m.alone][a->i], 1, a->j - a->i + 1);
	return a->b->is;
}

static int
do_unleft(const struct args *a)
{
	struct m_store_unleft	 m = { a->box + 1, a->side, UIDSET_INIT };
	static struct uidset	 set;

	uidset_free(&set);
	uidset_add(&set, uid_of(a->i), uid_of(a->j));
	m.set = set;
	db_unleft(&db, &m);
	memset(&a->b->left[a->side][0][a->i], 0, a->j - a->i + 1);
	memset(&a->b->left[a->side][1][a->i], 0, a->j - a->i + 1);
	return a->b->is;
}

static int
do_other(const struct args *a)
{
	struct m_store_subscribed	 sub = { a->box + 1, a->e % 3 };
	struct m_store_lost		 lost = { a->box + 1, a->e, a->side,
					    uid_of(a->i), a->j };
	struct m_store_deleted		 deleted = { a->e };
	struct m_store_water		 water;

	if (a->i % 4 == 0) {
		db_synced(&db);
		db_deleted(&db, &deleted);
		return 1;
	}
	if (a->i % 4 == 1)
		db_subscribed(&db, &sub);
	else if (a->i % 4 == 2)
		db_lost(&db, &lost);
	else {
		memset(&water, 0, sizeof(water));
		water.mailbox = a->box + 1;
		water.side = a->side;
		water.water.uidnext = uid_of(a->j);
		water.water.modseq = UINT64_MAX - a->e;
		water.water.mailboxid = "id";
		db_water(&db, &water);
	}
	return a->b->is;
}

static int
do_seen(const struct args *a)
{
	struct m_store_seen	 m;

	memset(&m, 0, sizeof(m));
	m.mailbox = a->box + 1;
	m.side = a->side;
	m.uid = uid_of(a->i);
	m.key = a->e % 16;
	m.size = a->j % 3;
	m.date = a->e % 5 == 0 ? DATE_NONE : a->j % 4;
	m.msgid = a->e >> 4 & 1;
	m.flags = some_flags[a->e >> 5 & 3];
	db_seen(&db, &m);
	a->b->seen[a->side][a->i] = m.key + 1;
	return a->b->is;
}

/* What was a row still is one; what became one was seen, with one key. */
static void
check_pairs(const struct mailbox *was, const struct mailbox *is, int mode)
{
	int	 k, r;

	for (k = 0; k < NUIDS; k++) {
		r = is->rows[k].remote;
		if (was->rows[k].remote != -1 && mode != PAIR_REPAIR)
			must(r == was->rows[k].remote, "a row stays");
		else if (r != -1 && was->rows[k].remote != r)
			must(was->seen[LOCAL][k] != 0 &&
			    was->seen[LOCAL][k] == was->seen[REMOTE][r],
			    "a pair is of what was seen");
	}
}

static int
do_pair(const struct args *a)
{
	static struct mailbox	 was;
	struct m_store_pair	 m = { a->box + 1, a->e % 3 };
	uint32_t		 n;
	int			 k, w;

	was = *a->b;
	forget_told();
	told.mailbox = a->box;
	n = db_pair(&db, &m);
	take_rows(a->box);
	check_pairs(&was, a->b, m.mode);
	if (m.mode != PAIR_REPAIR)
		must(a->b->nrows == was.nrows + n, "pairs are counted");
	for (k = 0; k < NUIDS; k++)
		for (w = 0; w < 2 && a->b->rows[k].remote != -1 &&
		    was.rows[k].remote != a->b->rows[k].remote; w++) {
			a->b->left[LOCAL][w][k] = 0;
			a->b->left[REMOTE][w][a->b->rows[k].remote] = 0;
		}
	/* A row that goes takes with it what is said of its local UID. */
	memset(a->b->seen, 0, sizeof(a->b->seen));
	return a->b->is;
}

static int
do_diff(const struct args *a)
{
	struct m_store_diff	 m = { a->box + 1, a->side, uid_of(a->i) };

	forget_told();
	told.mailbox = a->box;
	db_diff(&db, &m);
	memset(a->b->seen[a->side], 0, sizeof(a->b->seen[a->side]));
	return a->b->is;
}

static int
do_ask(const struct args *a)
{
	struct m_store_sample	 m = { a->box + 1, a->side, a->e, UIDSET_INIT };
	static struct uidset	 set;
	uint32_t		 n;

	uidset_free(&set);
	uidset_add(&set, uid_of(a->i), uid_of(a->j));
	forget_told();
	told.mailbox = a->box;
	if (!a->b->is)
		return 1;
	m.set = set;
	db_sample(&db, &m);
	n = told.rows;
	must(n <= a->e && n <= a->b->nrows, "no more than were asked for");
	return 1;
}

static int
do_commit(const struct args *a)
{
	(void)a;
	db_commit(&db);
	memcpy(committed, boxes, sizeof(boxes));
	return 1;
}

static int
do_reopen(const struct args *a)
{
	close_file(a->e & 1);
	open_file();
	compare();
	return 1;
}

static int	 (*const requests[])(const struct args *) = { do_newbox, do_add,
		    do_add, do_base, do_drop, do_adopt, do_forget, do_rename,
		    do_mark, do_markfail, do_unmark, do_refuse, do_unrefuse,
		    do_left, do_unleft, do_other, do_seen, do_seen, do_seen,
		    do_pair, do_diff, do_ask, do_commit, do_reopen };

static int	 fits;		/* what the model says of the last request */

static void
one(const struct args *a)
{
	fits = requests[a->box >> 8](&(struct args){ a->box & 0xff, a->side,
	    a->i, a->j, a->e, a->b });
	must(fits, "what is impossible fails");
}

/*
 * Which request, which mailbox and (128) how its UIDs are meant, the side, a UID,
 * the last one of a range or that of the other side, and what else there is.
 */
static void
request(const uint8_t *p)
{
	static struct mailbox	 before[BOXES];
	static struct args	 a;
	int			 failed, which = p[0] % nitems(requests);

	a.box = which << 8 | p[1] % BOXES;
	a.b = &boxes[p[1] % BOXES];
	a.side = p[2] & 1;
	a.i = p[3];
	a.j = p[4];
	a.e = p[5];
	/* All but ADD and SEEN mean a range. */
	if (requests[which] != do_add && requests[which] != do_seen &&
	    requests[which] != do_other && a.j < a.i)
		a.j = a.i + a.j < NUIDS ? a.i + a.j : NUIDS - 1;
	memcpy(before, boxes, sizeof(boxes));
	failed = CONFINED(one(&a));
	if (!failed)
		return;
	/* It has closed the file; what was not committed is gone. */
	memcpy(boxes, before, sizeof(boxes));
	must(requests[which] != do_commit && requests[which] != do_reopen &&
	    requests[which] != do_ask, "only what changes something fails");
	close_file(0);
	log_init(sink, 0);
	failed = CONFINED(open_file());
	must(!failed, last_words);
}

/* ---- memory for SQLite, which makes many small pieces ---- */

/*
 * By powers of two, out of a large piece that is never given back.  With
 * AddressSanitizer what is free is poisoned, as it would be by its own.
 */
#define ARENA		(64 * 1024 * 1024)
#define SIZES		27

void	 __asan_poison_memory_region(const volatile void *, size_t)
	    __attribute__((weak));
void	 __asan_unpoison_memory_region(const volatile void *, size_t)
	    __attribute__((weak));

struct piece {
	struct piece	*next;		/* if it is free */
	size_t		 size;
};
static struct piece	*free_pieces[SIZES];
static char		*arena;
static size_t		 arena_used;

static int
arena_round(int n)
{
	int	 size = 16;

	while (size < n)
		size *= 2;
	return size;
}

static struct piece *
piece_of(void *p)
{
	return (struct piece *)p - 1;
}

static void *
arena_malloc(int n)
{
	int		 size = arena_round(n), k = __builtin_ctz(size);
	struct piece	*p = free_pieces[k];

	if (p != NULL)
		free_pieces[k] = p->next;
	else {
		if (arena == NULL)
			arena = xmalloc(ARENA);
		if (ARENA - arena_used < sizeof(*p) + size)
			return NULL;
		p = (struct piece *)(void *)(arena + arena_used);
		arena_used += sizeof(*p) + size;
		p->size = size;
	}
	if (__asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(p + 1, p->size);
	return p + 1;
}

static void
arena_free(void *mem)
{
	struct piece	*p = piece_of(mem);
	int		 k = __builtin_ctz((unsigned)p->size);

	p->next = free_pieces[k];
	free_pieces[k] = p;
	if (__asan_poison_memory_region != NULL)
		__asan_poison_memory_region(mem, p->size);
}

static int
arena_size(void *mem)
{
	return piece_of(mem)->size;
}

static void *
arena_realloc(void *mem, int n)
{
	void	*p;

	if (n <= arena_size(mem))
		return mem;
	if ((p = arena_malloc(n)) == NULL)
		return NULL;
	memcpy(p, mem, arena_size(mem));
	arena_free(mem);
	return p;
}

static int
arena_init(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void
arena_shutdown(void *arg)
{
	(void)arg;
}

static sqlite3_mem_methods	 arena_methods = { arena_malloc, arena_free,
				    arena_realloc, arena_size, arena_round,
				    arena_init, arena_shutdown, NULL };

/* ---- an input ---- */

static void
remove_dir(void)
{
	close_file(0);		/* its journal goes with it */
	unlink(path);
	rmdir(dir);
}

static void
make_dir(void)
{
	const char	*tmp = getenv("TMPDIR");

	if (dir[0] != '\0')
		return;
	if (tmp == NULL)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%.40s/fuzz_store.XXXXXX", tmp);
	must(mkdtemp(dir) != NULL, "a directory");
	snprintf(path, sizeof(path), "%s/db", dir);
	umask(077);
	atexit(remove_dir);
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_config(SQLITE_CONFIG_MALLOC, &arena_methods);
}

static void
begin(void)
{
	int	 failed;

	make_dir();
	log_init(sink, 0);
	memset(boxes, 0, sizeof(boxes));
	memset(committed, 0, sizeof(committed));
	nopens = 0;
	failed = open_now ? 0 : CONFINED(open_file());
	must(!failed, last_words);
}

static void
end(void)
{
	int	 failed;

	failed = CONFINED(compare());
	must(!failed, last_words);
	failed = CONFINED(check_sound());
	must(!failed, last_words);
}

/* The file is kept from one input to the next, without a mailbox. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	begin();
	for (; len >= REQUEST && nopens < OPENS; data += REQUEST,
	    len -= REQUEST)
		request(data);
	end();
	return 0;
}
