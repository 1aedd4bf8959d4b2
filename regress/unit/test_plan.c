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

static struct row *
row(struct mbox *mb, uint32_t l, uint32_t r, const char *base, const char *nl,
    const char *nr)
{
	struct m_engine_row	 m;
	struct row		*p;

	memset(&m, 0, sizeof(m));
	m.local = l;
	m.remote = r;
	m.flags = base;
	p = row_add(mb, &m);
	p->now[LOCAL] = nl != NULL ? xstrdup(nl) : NULL;
	p->now[REMOTE] = nr != NULL ? xstrdup(nr) : NULL;
	return p;
}

static void
fresh(struct mbox *mb)
{
	int	 side;

	memset(mb, 0, sizeof(*mb));
	RB_INIT(&mb->rows_l);
	RB_INIT(&mb->rows_r);
	for (side = 0; side < SIDES; side++) {
		TAILQ_INIT(&mb->s[side].stores);
		mb->s[side].allow = PROP_ALL;
	}
}

static void
done(struct mbox *mb)
{
	struct store	*st;
	struct row	*p;
	int		 side;

	while ((p = RB_MIN(rows_local, &mb->rows_l)) != NULL) {
		RB_REMOVE(rows_local, &mb->rows_l, p);
		RB_REMOVE(rows_remote, &mb->rows_r, p);
		for (side = 0; side < SIDES; side++) {
			free(p->now[side]);
			free(p->want[side]);
		}
		free(p->base);
		free(p);
	}
	for (side = 0; side < SIDES; side++) {
		uidset_free(&mb->s[side].doomed);
		while ((st = TAILQ_FIRST(&mb->s[side].stores)) != NULL) {
			TAILQ_REMOVE(&mb->s[side].stores, st, entry);
			uidset_free(&st->set);
			free(st->flag);
			free(st);
		}
	}
	free(mb->lost);
}

static int
stored(struct mbox *mb, int side, int add, const char *flag, uint32_t uid)
{
	struct store	*st = plan_find(&mb->s[side], add, flag);

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
	struct mbox		 mb;
	char			 s[3][FLAGS_MAX];
	int			 c, i, side, good, want, has;

	for (c = 0; c < 64; c++) {
		good = 1;
		fresh(&mb);
		for (i = 0; i < 3; i++) {
			s[i][0] = '\0';
			if (c & (1 << (2 * i)))
				flags_or(s[i], s[i], flag[0]);
			if (c & (2 << (2 * i)))
				flags_or(s[i], s[i], flag[1]);
		}
		row(&mb, 7, 9, s[0], s[1], s[2]);
		plan_mbox(&mb);
		for (i = 0; i < 2; i++) {
			want = expected(flags_has(s[0], flag[i]),
			    flags_has(s[1], flag[i]), flags_has(s[2], flag[i]));
			for (side = 0; side < SIDES; side++) {
				uint32_t	 uid = side == LOCAL ? 7 : 9;

				has = flags_has(s[1 + side], flag[i]);
				if (stored(&mb, side, 1, flag[i], uid) !=
				    (want && !has))
					good = 0;
				if (stored(&mb, side, 0, flag[i], uid) !=
				    (!want && has))
					good = 0;
			}
		}
		ok(good, "base \"%s\" local \"%s\" remote \"%s\"", s[0], s[1],
		    s[2]);
		done(&mb);
	}
}

static void
test_deletions(void)
{
	struct mbox	 mb;
	struct row	*p;

	fresh(&mb);
	row(&mb, 1, 11, "", NULL, NULL)->gone[LOCAL] = 1;
	row(&mb, 2, 12, "", NULL, "\\Seen")->gone[REMOTE] = 1;
	p = row(&mb, 3, 13, "\\Seen", NULL, NULL);
	p->gone[LOCAL] = p->gone[REMOTE] = 1;
	row(&mb, 4, 14, "", "\\Flagged", NULL)->gone[REMOTE] = 1;
	row(&mb, 5, 15, "", NULL, NULL);
	plan_mbox(&mb);
	ok(uidset_count(&mb.s[REMOTE].doomed) == 1 &&
	    uidset_has(&mb.s[REMOTE].doomed, 11), "gone on local");
	ok(uidset_count(&mb.s[LOCAL].doomed) == 2 &&
	    uidset_has(&mb.s[LOCAL].doomed, 2) &&
	    uidset_has(&mb.s[LOCAL].doomed, 4),
	    "gone on remote, also if changed on local");
	ok(TAILQ_EMPTY(&mb.s[LOCAL].stores) && TAILQ_EMPTY(&mb.s[REMOTE].stores),
	    "nothing is stored to what goes");
	done(&mb);
}

/* What the rules of the configuration leave out. */
static void
test_allow(void)
{
	struct mbox	 mb;
	struct row	*p;

	fresh(&mb);
	mb.s[REMOTE].allow = PROP_ALL & ~PROP_DELETE;
	p = row(&mb, 1, 11, "", NULL, NULL);
	p->gone[LOCAL] = 1;
	row(&mb, 2, 12, "", NULL, NULL)->gone[REMOTE] = 1;
	plan_mbox(&mb);
	ok(uidset_empty(&mb.s[REMOTE].doomed) && p->alone,
	    "no deletion where none is allowed");
	ok(uidset_has(&mb.s[LOCAL].doomed, 2), "but on the other side");
	done(&mb);

	fresh(&mb);
	mb.s[REMOTE].allow = PROP_ALL & ~PROP_FLAGS;
	p = row(&mb, 1, 11, "$Gone", "\\Seen", "$Gone \\Flagged");
	plan_mbox(&mb);
	ok(TAILQ_EMPTY(&mb.s[REMOTE].stores) && p->want[REMOTE] == NULL,
	    "no flag where none is allowed");
	ok(stored(&mb, LOCAL, 1, "\\Flagged", 1), "but on the other side");
	done(&mb);
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
	struct mbox	 mb;
	char		 s[SIDES][FLAGS_MAX];
	int		 n = FLAGS_MAX / 51 - 1;

	fresh(&mb);
	keywords(s[LOCAL], 'a', n);
	keywords(s[REMOTE], 'b', n);
	row(&mb, 1, 11, "", s[LOCAL], s[REMOTE]);
	row(&mb, 2, 12, "", "\\Seen", NULL);
	plan_mbox(&mb);
	ok(TAILQ_EMPTY(&mb.s[LOCAL].stores) && mb.s[REMOTE].nflags == 1,
	    "more flags than can be said: none is set");
	ok(mb.s[LOCAL].hold && mb.s[REMOTE].hold, "and they are told again");
	ok(stored(&mb, REMOTE, 1, "\\Seen", 12), "other messages go on");
	done(&mb);
}

static void
test_permanentflags(void)
{
	struct sess	 s;
	struct mbox	 mb;
	struct row	*p;

	fresh(&mb);
	memset(&s, 0, sizeof(s));
	s.permflags = xstrdup("\\Seen $Kept");
	mb.s[REMOTE].disc = &s;
	p = row(&mb, 1, 11, "", "\\Seen $Kept $Other", NULL);
	plan_mbox(&mb);
	ok(stored(&mb, REMOTE, 1, "$kept", 11), "a keyword that is kept");
	ok(!stored(&mb, REMOTE, 1, "$Other", 11), "one that is not");
	ok(mb.lost != NULL && flags_has(mb.lost, "$other"), "it is named");
	ok(!stored(&mb, LOCAL, 0, "$Other", 1), "it stays where it is");
	is_str(p->want[REMOTE], "\\Seen $Kept", "and is no part of what is "
	    "set there");

	done(&mb);
	fresh(&mb);
	s.perm_any = 1;
	mb.s[REMOTE].disc = &s;
	row(&mb, 1, 11, "", "$Other \\Flagged", NULL);
	plan_mbox(&mb);
	ok(stored(&mb, REMOTE, 1, "$Other", 11), "\\* keeps any keyword");
	ok(!stored(&mb, REMOTE, 1, "\\Flagged", 11),
	    "but no system flag that is not listed");
	done(&mb);
	free(s.permflags);
}

static void
test_grouping(void)
{
	struct mbox	 mb;
	uint32_t	 u;

	fresh(&mb);
	for (u = 1; u <= 1000; u++)
		row(&mb, u, u + 1000, u % 2 ? "$A" : "", u % 2 ? "$A \\Seen" :
		    "\\Seen", NULL);
	plan_mbox(&mb);
	ok(uidset_count(&plan_find(&mb.s[REMOTE], 1, "\\Seen")->set) == 1000 &&
	    TAILQ_NEXT(TAILQ_FIRST(&mb.s[REMOTE].stores), entry) == NULL,
	    "one STORE for all that gained \\Seen");
	is_num(mb.s[REMOTE].nflags, 1000, "1000 messages");
	done(&mb);
}

static void
test_paired(void)
{
	struct m_engine_paired	 m;
	struct mbox		 mb;

	fresh(&mb);
	memset(&m, 0, sizeof(m));
	m.uid[LOCAL] = 1;
	m.uid[REMOTE] = 2;
	m.flags[LOCAL] = "\\Deleted \\Seen";
	m.flags[REMOTE] = "\\Flagged";
	disc_paired(&mb, &m);
	plan_mbox(&mb);
	ok(stored(&mb, REMOTE, 1, "\\Seen", 2) &&
	    stored(&mb, LOCAL, 1, "\\Flagged", 1), "a pair gets the union");
	ok(!stored(&mb, REMOTE, 1, "\\Deleted", 2) &&
	    stored(&mb, LOCAL, 0, "\\Deleted", 1),
	    "but \\Deleted, which only one has, goes");
	done(&mb);
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
