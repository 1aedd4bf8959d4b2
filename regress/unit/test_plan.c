/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * The three-way merge of flags, over all states of two flags; deletions; what a
 * mailbox does not keep.
 */
#include "imapsync/engine/engine.h"
#include "tap.h"

static struct mboxlist	 list;

static struct row *
row(struct mbox *mb, uint32_t l, uint32_t r, const char *base, const char *nl,
    const char *nr)
{
	struct row	*p = row_add(mb, l, r, base);

	if (nl != NULL)
		row_now(p, LOCAL, nl);
	if (nr != NULL)
		row_now(p, REMOTE, nr);
	return p;
}

static struct mbox *
fresh(void)
{
	struct mbox	*mb;
	int		 side;

	mbox_init(&list);
	mb = mbox_new(&list, "INBOX");
	mbox_begin(mb);
	for (side = 0; side < SIDES; side++)
		mb->s[side].w->found.allow = PROP_ALL;
	return mb;
}

static int
stored(struct mbox *mb, int side, int add, const char *flag, uint32_t uid)
{
	struct store	*st = store_find(&mb->s[side].w->plan.stores, add,
			    flag);

	return st != NULL && uidset_has(&st->set, uid);
}

/* One flag: what a person would say must come out of it. */
static int
expected(int base, int l, int r)
{
	if (l == r)
		return l;
	return l != base ? l : r;
}

static void
test_merge(void)
{
	static const char	*flag[2] = { "\\Seen", "$Work" };
	struct mbox		*mb;
	char			 s[3][FLAGS_MAX];
	int			 c, i, side, good, want, has;

	for (c = 0; c < 64; c++) {
		good = 1;
		mb = fresh();
		for (i = 0; i < 3; i++) {
			s[i][0] = '\0';
			if (c & (1 << (2 * i)))
				flags_or(s[i], s[i], flag[0]);
			if (c & (2 << (2 * i)))
				flags_or(s[i], s[i], flag[1]);
		}
		row(mb, 7, 9, s[0], s[1], s[2]);
		plan_mbox(mb);
		for (i = 0; i < 2; i++) {
			want = expected(flags_has(s[0], flag[i]),
			    flags_has(s[1], flag[i]), flags_has(s[2], flag[i]));
			for (side = 0; side < SIDES; side++) {
				uint32_t	 uid = side == LOCAL ? 7 : 9;

				has = flags_has(s[1 + side], flag[i]);
				if (stored(mb, side, 1, flag[i], uid) !=
				    (want && !has))
					good = 0;
				if (stored(mb, side, 0, flag[i], uid) !=
				    (!want && has))
					good = 0;
			}
		}
		ok(good, "base \"%s\" local \"%s\" remote \"%s\"", s[0], s[1],
		    s[2]);
		mbox_reset(&list);
	}
}

static void
test_deletions(void)
{
	struct mbox	*mb;
	struct row	*p;

	mb = fresh();
	row(mb, 1, 11, "", NULL, NULL)->gone[LOCAL] = 1;
	row(mb, 2, 12, "", NULL, "\\Seen")->gone[REMOTE] = 1;
	p = row(mb, 3, 13, "\\Seen", NULL, NULL);
	p->gone[LOCAL] = p->gone[REMOTE] = 1;
	row(mb, 4, 14, "", "\\Flagged", NULL)->gone[REMOTE] = 1;
	row(mb, 5, 15, "", NULL, NULL);
	plan_mbox(mb);
	ok(uidset_count(&mb->s[REMOTE].w->plan.doomed) == 1 &&
	    uidset_has(&mb->s[REMOTE].w->plan.doomed, 11), "gone on local");
	ok(uidset_count(&mb->s[LOCAL].w->plan.doomed) == 2 &&
	    uidset_has(&mb->s[LOCAL].w->plan.doomed, 2) &&
	    uidset_has(&mb->s[LOCAL].w->plan.doomed, 4),
	    "gone on remote, also if changed on local");
	ok(TAILQ_EMPTY(&mb->s[LOCAL].w->plan.stores.list) &&
	    TAILQ_EMPTY(&mb->s[REMOTE].w->plan.stores.list),
	    "nothing is stored to what goes");
	mbox_reset(&list);
}

/* What the rules of the configuration leave out. */
static void
test_allow(void)
{
	struct mbox	*mb;
	struct row	*p;

	mb = fresh();
	mb->s[REMOTE].w->found.allow = PROP_ALL & ~PROP_DELETE;
	p = row(mb, 1, 11, "", NULL, NULL);
	p->gone[LOCAL] = 1;
	row(mb, 2, 12, "", NULL, NULL)->gone[REMOTE] = 1;
	plan_mbox(mb);
	ok(uidset_empty(&mb->s[REMOTE].w->plan.doomed) &&
	    uidset_has(&mb->s[REMOTE].w->plan.alone, 11),
	    "no deletion where none is allowed");
	ok(uidset_has(&mb->s[LOCAL].w->plan.doomed, 2), "but on the other side");
	mbox_reset(&list);

	mb = fresh();
	mb->s[REMOTE].w->found.allow = PROP_ALL & ~PROP_FLAGS;
	p = row(mb, 1, 11, "$Gone", "\\Seen", "$Gone \\Flagged");
	plan_mbox(mb);
	ok(TAILQ_EMPTY(&mb->s[REMOTE].w->plan.stores.list) && p->want[REMOTE] == NULL,
	    "no flag where none is allowed");
	ok(stored(mb, LOCAL, 1, "\\Flagged", 1), "but on the other side");
	mbox_reset(&list);
}

/* Fill s[FLAGS_MAX] with so many keywords of 50 octets. */
static void
keywords(char *s, char letter, int n)
{
	char	 one[FLAG_MAX];
	int	 i;

	s[0] = '\0';
	for (i = 0; i < n; i++) {
		snprintf(one, sizeof(one), "%c%049d", letter, i);
		if (flags_or(s, s, one) == -1)
			fatalx("too many keywords");
	}
}

static void
test_too_many(void)
{
	struct mbox	*mb;
	char		 s[SIDES][FLAGS_MAX];
	int		 n = FLAGS_MAX / 51 - 1;

	mb = fresh();
	keywords(s[LOCAL], 'a', n);
	keywords(s[REMOTE], 'b', n);
	row(mb, 1, 11, "", s[LOCAL], s[REMOTE]);
	row(mb, 2, 12, "", "\\Seen", NULL);
	plan_mbox(mb);
	ok(TAILQ_EMPTY(&mb->s[LOCAL].w->plan.stores.list) && mb->s[REMOTE].w->plan.nflags == 1,
	    "more flags than can be said: none is set");
	ok(mb->s[LOCAL].w->plan.again && mb->s[REMOTE].w->plan.again, "and they are told again");
	ok(stored(mb, REMOTE, 1, "\\Seen", 12), "other messages go on");
	mbox_reset(&list);
}

static void
test_permanentflags(void)
{
	struct sess	 s;
	struct mbox	*mb;
	struct row	*p;

	mb = fresh();
	memset(&s, 0, sizeof(s));
	s.permflags = xstrdup("\\Seen $Kept");
	mb->s[REMOTE].w->found.disc = &s;
	p = row(mb, 1, 11, "", "\\Seen $Kept $Other", NULL);
	plan_mbox(mb);
	ok(stored(mb, REMOTE, 1, "$kept", 11), "a keyword that is kept");
	ok(!stored(mb, REMOTE, 1, "$Other", 11), "one that is not");
	ok(mb->s[REMOTE].w->did.lost != NULL &&
	    flags_has(mb->s[REMOTE].w->did.lost, "$other"), "it is named");
	ok(!stored(mb, LOCAL, 0, "$Other", 1), "it stays where it is");
	is_str(p->want[REMOTE], "\\Seen $Kept", "and is no part of what is "
	    "set there");

	mbox_reset(&list);
	mb = fresh();
	s.perm_any = 1;
	mb->s[REMOTE].w->found.disc = &s;
	row(mb, 1, 11, "", "\\Flagged $Other", NULL);
	plan_mbox(mb);
	ok(stored(mb, REMOTE, 1, "$Other", 11), "\\* keeps any keyword");
	ok(!stored(mb, REMOTE, 1, "\\Flagged", 11),
	    "but no system flag that is not listed");
	mbox_reset(&list);
	free(s.permflags);
}

static void
test_grouping(void)
{
	struct mbox	*mb;
	uint32_t	 u;

	mb = fresh();
	for (u = 1; u <= 1000; u++)
		row(mb, u, u + 1000, u % 2 ? "$A" : "", u % 2 ? "$A \\Seen" :
		    "\\Seen", NULL);
	plan_mbox(mb);
	ok(uidset_count(&store_find(&mb->s[REMOTE].w->plan.stores, 1,
	    "\\Seen")->set) == 1000 &&
	    TAILQ_NEXT(TAILQ_FIRST(&mb->s[REMOTE].w->plan.stores.list), entry) == NULL,
	    "one STORE for all that gained \\Seen");
	is_num(mb->s[REMOTE].w->plan.nflags, 1000, "1000 messages");
	mbox_reset(&list);
}

static void
test_paired(void)
{
	static struct engine	 eng;
	struct m_engine_paired	 m;
	struct req		 req;
	struct mbox		*mb;

	mb = fresh();
	memset(&m, 0, sizeof(m));
	m.uid[LOCAL] = 1;
	m.uid[REMOTE] = 2;
	m.flags[LOCAL] = "\\Deleted \\Seen";
	m.flags[REMOTE] = "\\Flagged";
	memset(&req, 0, sizeof(req));
	req.mb = mb;
	pair_made(&eng, &req, &m);
	ok(RB_EMPTY(&mb->rows_l) && mb->s[LOCAL].w->found.more &&
	    mb->s[REMOTE].w->found.more, "without room it waits");
	eng.room[ROOM_ROWS] = 1;
	pair_made(&eng, &req, &m);
	plan_mbox(mb);
	ok(stored(mb, REMOTE, 1, "\\Seen", 2) &&
	    stored(mb, LOCAL, 1, "\\Flagged", 1), "a pair gets the union");
	ok(!stored(mb, REMOTE, 1, "\\Deleted", 2) &&
	    stored(mb, LOCAL, 0, "\\Deleted", 1),
	    "but \\Deleted, which only one has, goes");
	mbox_reset(&list);
}

int
main(void)
{
	test_merge();
	test_deletions();
	test_allow();
	test_too_many();
	test_permanentflags();
	test_grouping();
	test_paired();
	return tap_done();
}
