/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A mailbox of the state that is not where it was: is another one of that side
 * the same?  MAILBOXID (RFC 8474) says so if it was known; it is taken from a
 * SELECT, since Cyrus 3.6 sends octets of freed memory for it in a STATUS
 * (measured).  Without it the UIDVALIDITY must be equal, UIDNEXT and
 * HIGHESTMODSEQ not below those of the state, and of a sample of rows most
 * messages be there, each with its key; of a mailbox without a row all numbers
 * must be those of the state, and its UIDVALIDITY nobody else's.
 */
#include "engine.h"
#include "rename.h"

#define SAMPLE		20	/* rows that are looked at */
#define RIVALS		16	/* with one UIDVALIDITY: more are not told apart
				   without a MAILBOXID */

/* A mailbox that is looked for, by the UIDVALIDITY that it had. */
struct ref {
	uint32_t	 uidvalidity;
	size_t		 move;
};

/* What a mailbox that is looked at showed of the sample of one of them. */
struct tally {
	uint32_t	 shown;
	int		 differs;
};

/* A mailbox that may be one of them. */
struct look {
	struct mbox	*mb;
	int		 side;
	struct sess	*sess;
	size_t		 lo;		/* those of refs[side] with its */
	size_t		 hi;		/* UIDVALIDITY */
	struct tally	*tally;		/* for each of them, or NULL */
	uint32_t	 fits;		/* so many it could be */
};

static struct search {
	struct moves	*moves;
	struct ref	*refs[SIDES];
	size_t		 nrefs[SIDES];
	struct look	*looks;		/* in the order of their handles */
	size_t		 nlooks;
} search;

void
moves_free(struct moves *moves)
{
	size_t	 i;

	for (i = 0; i < moves->n; i++) {
		free(moves->v[i].name);
		free(moves->v[i].now);
	}
	free(moves->v);
	memset(moves, 0, sizeof(*moves));
}

struct move *
moves_get(const struct moves *moves, const char *name)
{
	size_t	 lo = 0, hi = moves->n, mid;
	int	 c;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if ((c = strcmp(name, moves->v[mid].mb->name)) == 0)
			return &moves->v[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static void
search_free(void)
{
	size_t	 i;

	for (i = 0; i < search.nlooks; i++)
		free(search.looks[i].tally);
	free(search.looks);
	free(search.refs[LOCAL]);
	free(search.refs[REMOTE]);
	memset(&search, 0, sizeof(search));
}

/* ---- which are looked for ---- */

/* INBOX is never renamed: what is moved out of it are its messages. */
static int
is_lost(const struct engine *e, const struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;
	const struct water	*w = &mb->s[side].known.water;

	if (mb->id == 0 || mb->skip || w->uidvalidity == 0 || t->twice ||
	    strcmp(mb->name, "INBOX") == 0 || refusal_rests(e, mb))
		return 0;
	if (!mbox_present(mb, side))
		return !t->unlisted;
	return t->has_status && t->uidvalidity != 0 &&
	    t->uidvalidity != w->uidvalidity;
}

/* It can be told by its MAILBOXID. */
static int
has_id(const struct engine *e, const struct mbox *mb, int side)
{
	return mb->s[side].known.water.mailboxid[0] != '\0' &&
	    (e->srv[side].ready.caps & CAP_OBJECTID);
}

static int
ref_cmp(const void *a, const void *b)
{
	const struct ref	*x = a, *y = b;

	if (x->uidvalidity != y->uidvalidity)
		return x->uidvalidity < y->uidvalidity ? -1 : 1;
	return x->move < y->move ? -1 : x->move > y->move;
}

static void
ref_add(int side, uint32_t uidvalidity, size_t move)
{
	struct ref	*r;

	/* Room for all that there may be, at once. */
	if (search.refs[side] == NULL)
		search.refs[side] = xcalloc(MOVES_MAX, sizeof(*r));
	r = &search.refs[side][search.nrefs[side]++];
	r->uidvalidity = uidvalidity;
	r->move = move;
}

/* Those with that UIDVALIDITY: 1 if there are any. */
static int
ref_range(int side, uint32_t uidvalidity, size_t *lo, size_t *hi)
{
	const struct ref	*refs = search.refs[side];
	size_t			 a = 0, b = search.nrefs[side], mid;

	while (a < b) {
		mid = a + (b - a) / 2;
		if (refs[mid].uidvalidity < uidvalidity)
			a = mid + 1;
		else
			b = mid;
	}
	for (*lo = *hi = a; *hi < search.nrefs[side] &&
	    refs[*hi].uidvalidity == uidvalidity; (*hi)++)
		;
	return *hi > *lo;
}

static void
refs_sort(void)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if (search.nrefs[side] > 1)
			qsort(search.refs[side], search.nrefs[side],
			    sizeof(struct ref), ref_cmp);
}

/* The UIDVALIDITYs that are looked for: how many mailboxes, or -1: too many. */
static int
lost_count(struct engine *e)
{
	struct mbox	*mb;
	size_t		 n[SIDES] = { 0, 0 };
	int		 side;

	FOREACH_SIDE(mb, side, &e->list) {
		if (!is_lost(e, mb, side))
			continue;
		if (++n[side] > MOVES_MAX / 2)
			return -1;
		ref_add(side, mb->s[side].known.water.uidvalidity, 0);
	}
	refs_sort();
	return (int)(n[LOCAL] + n[REMOTE]);
}

/*
 * It has changed and has the UIDVALIDITY of one that is lost: it may be that
 * one, and itself be elsewhere.
 */
static int
is_maybe(const struct engine *e, const struct mbox *mb, int side)
{
	size_t	 lo, hi;

	return mb->id != 0 && !mb->skip && mbox_present(mb, side) &&
	    strcmp(mb->name, "INBOX") != 0 && has_id(e, mb, side) &&
	    !mb->s[side].told.twice && compare_moved(&mb->s[side]) &&
	    ref_range(side, mb->s[side].told.uidvalidity, &lo, &hi);
}

static int
moves_add(struct engine *e)
{
	struct moves	*moves = search.moves;
	struct mbox	*mb;
	struct move	*m;
	enum whereabouts is[SIDES];
	int		 side;

	moves->v = xcalloc(MOVES_MAX, sizeof(*m));
	FOREACH_MBOX(mb, &e->list) {
		for (side = 0; side < SIDES; side++)
			is[side] = is_lost(e, mb, side) ? LOST :
			    is_maybe(e, mb, side) ? MAYBE : HOME;
		if (is[LOCAL] == HOME && is[REMOTE] == HOME)
			continue;
		if (moves->n == MOVES_MAX)
			return -1;
		m = &moves->v[moves->n++];
		m->mb = mb;
		for (side = 0; side < SIDES; side++) {
			m->s[side].is = is[side];
			if (is[side] == HOME && mbox_present(mb, side) &&
			    mb->s[side].known.water.uidvalidity != 0)
				m->s[side].at = mb;
		}
	}
	return 0;
}

/* ---- which may be one of them ---- */

static int
can_be(const struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;

	if (mb->skip || !mbox_present(mb, side) || t->twice ||
	    !t->has_status || t->uidvalidity == 0 ||
	    strcmp(mb->name, "INBOX") == 0)
		return 0;
	return mb->id == 0 || compare_moved(&mb->s[side]);
}

static int
looks_add(struct engine *e)
{
	struct mbox	*mb;
	struct look	*l;
	size_t		 lo, hi, k;
	int		 side;

	search.looks = xcalloc(MOVES_MAX, sizeof(*l));
	FOREACH_SIDE(mb, side, &e->list) {
		if (!mbox_present(mb, side) || !ref_range(side,
		    mb->s[side].told.uidvalidity, &lo, &hi))
			continue;
		for (k = lo; k < hi; k++)
			search.moves->v[search.refs[side][k].move].
			    s[side].same++;
		if (!can_be(mb, side))
			continue;
		if (search.nlooks == MOVES_MAX)
			return -1;
		l = &search.looks[search.nlooks++];
		l->mb = mb;
		l->side = side;
		l->lo = lo;
		l->hi = hi;
		if (hi - lo <= RIVALS)
			l->tally = xcalloc(hi - lo, sizeof(*l->tally));
	}
	return 0;
}

static struct move *
look_move(const struct look *l, size_t k)
{
	return &search.moves->v[search.refs[l->side][k].move];
}

/* ---- the sample ---- */

static void
got_row(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	(void)e;
	(void)look_row(r, m);
}

/* Some rows have no key: what size and date say is not enough. */
static void
samples_count(void)
{
	struct move	*m;
	struct row	*row;
	size_t		 i;

	for (i = 0; i < search.moves->n; i++) {
		m = &search.moves->v[i];
		RB_FOREACH(row, rows_local, &m->mb->rows_l)
			m->asked += row->key != 0;
	}
}

static void
samples_ask(struct engine *e)
{
	static const struct answers	 to = { .row = got_row };
	static const struct uidset	 none = UIDSET_INIT;
	const struct look		*l;
	struct move			*m;
	size_t				 i, k;

	for (i = 0; i < search.nlooks; i++) {
		l = &search.looks[i];
		for (k = l->lo; l->tally != NULL && k < l->hi; k++) {
			m = look_move(l, k);
			if (has_id(e, m->mb, l->side) || m->mb->nrows == 0 ||
			    m->s[l->side].sampled)
				continue;
			m->s[l->side].sampled = 1;
			ask_sample(e, m->mb, l->side, SAMPLE, &none, &to);
		}
	}
}

static struct look *
look_of(const struct sess *s)
{
	size_t	 lo = 0, hi = search.nlooks, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (search.looks[mid].sess->handle < s->handle)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &search.looks[lo];
}

static void
got_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct look	*l = look_of(r->sess);
	struct row	*row;
	size_t		 k;

	(void)e;
	for (k = l->lo; k < l->hi; k++) {
		row = row_find(look_move(l, k)->mb, l->side, m->uid);
		if (row == NULL || row->key == 0)
			continue;
		l->tally[k - l->lo].shown++;
		l->tally[k - l->lo].differs |= row->key != m->key;
	}
}

/* What can't be looked at is not it, and its own turn says why. */
static void
look_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	if (m->status != ST_OK)
		r->sess->failed = 1;
}

static void
look_unread(struct engine *e, struct req *r, const struct m_engine_spoilt *m)
{
	(void)e;
	(void)m;
	r->sess->failed = 1;
}

static void
look_uids(struct engine *e, const struct look *l, struct uidset *set)
{
	struct mbox	*mb;
	struct row	*row;
	size_t		 k;

	for (k = l->lo; l->tally != NULL && k < l->hi; k++) {
		mb = look_move(l, k)->mb;
		if (has_id(e, mb, l->side))
			continue;
		RB_FOREACH(row, rows_local, &mb->rows_l)
			if (row->key != 0)
				uidset_add(set, row->uid[l->side],
				    row->uid[l->side]);
	}
}

static int
looks_ask(struct engine *e)
{
	static const struct answers	 opened = {
		.done = look_done, .spoilt = look_unread
	};
	static const struct answers	 meta = {
		.meta = got_meta, .done = look_done
	};
	struct uidset			 set = UIDSET_INIT;
	struct look			*l;
	size_t				 i;

	for (i = 0; i < search.nlooks; i++) {
		l = &search.looks[i];
		l->sess = ask_open(e, l->mb, l->side, SESS_LOOK, OPEN_EXAMINE,
		    0, 0, &opened);
		look_uids(e, l, &set);
		ask_meta(e, l->sess, META_WHOLE, &set, &meta);
		uidset_free(&set);
	}
	return loop_wait(e, -1);
}

/* A connection that ended under a look counts for what was looked for. */
static void
looks_lost(struct engine *e)
{
	size_t	 i;

	for (i = 0; i < search.nlooks; i++)
		if (e->due.mb == search.looks[i].mb && e->due.mb->id == 0) {
			e->due.mb = look_move(&search.looks[i],
			    search.looks[i].lo)->mb;
			e->due.uid = 0;
			e->due.kind = DUE_MBOX;
		}
}

/* ---- who is who ---- */

static int
fits(const struct engine *e, const struct look *l, size_t k)
{
	const struct move	*m = look_move(l, k);
	const struct water	*w = &m->mb->s[l->side].known.water;
	const struct sess	*s = l->sess;

	if (!s->opened || s->failed || s->uidvalidity != w->uidvalidity ||
	    (s->uidnext != 0 && s->uidnext < w->uidnext) ||
	    (s->modseq < w->modseq && has_modseq(e, l->side)))
		return 0;
	if (has_id(e, m->mb, l->side))
		return strcmp(s->mailboxid, w->mailboxid) == 0;
	if (l->tally == NULL || l->mb == m->mb)
		return 0;
	if (m->asked == 0)
		return s->uidnext == w->uidnext && s->exists == w->messages &&
		    (s->modseq == w->modseq || !has_modseq(e, l->side)) &&
		    m->s[l->side].same == 1;
	return !l->tally[k - l->lo].differs &&
	    l->tally[k - l->lo].shown > m->asked / 2;
}

static void
looks_judge(struct engine *e)
{
	struct look		*l;
	struct move_side	*ms;
	size_t			 i, k;
	int			 again;

	for (i = 0; i < search.nlooks; i++) {
		l = &search.looks[i];
		for (k = l->lo; k < l->hi; k++)
			l->fits += fits(e, l, k);
		/* One that could be two of them is neither. */
		again = l->fits > 1;
		for (k = l->lo; k < l->hi; k++) {
			if (!fits(e, l, k))
				continue;
			ms = &look_move(l, k)->s[l->side];
			ms->found += 1 + again;
			ms->at = l->mb;
			ms->byid = has_id(e, look_move(l, k)->mb, l->side);
		}
	}
}

/* What could be in two places is in none; what was only doubted is at home. */
static void
moves_settle(void)
{
	struct move		*m;
	struct move_side	*ms;
	size_t			 i;
	int			 side;

	for (i = 0; i < search.moves->n; i++) {
		m = &search.moves->v[i];
		for (side = 0; side < SIDES; side++) {
			ms = &m->s[side];
			if (ms->is != HOME && ms->found != 1)
				ms->at = NULL;
			if (ms->is == MAYBE && (ms->at == NULL ||
			    ms->at == m->mb)) {
				ms->is = HOME;
				ms->at = m->mb;
			}
		}
		mbox_rest(m->mb);
	}
}

static int
find(struct engine *e)
{
	struct move	*m;
	size_t		 i;
	int		 side;

	if (lost_count(e) <= 0 || moves_add(e) == -1)
		return 0;
	/* Now that it is known which they are. */
	search.nrefs[LOCAL] = search.nrefs[REMOTE] = 0;
	for (i = 0; i < search.moves->n; i++)
		for (side = 0; side < SIDES; side++) {
			m = &search.moves->v[i];
			if (m->s[side].is != HOME)
				ref_add(side, m->mb->s[side].known.
				    water.uidvalidity, i);
		}
	refs_sort();
	if (looks_add(e) == -1 || search.nlooks == 0)
		return 0;
	samples_ask(e);
	if (loop_wait(e, -1) == -1)
		return -1;
	samples_count();
	if (looks_ask(e) == -1) {
		looks_lost(e);
		return -1;
	}
	looks_judge(e);
	moves_settle();
	return 1;
}

int
rename_find(struct engine *e, struct moves *moves)
{
	int	 n;

	memset(moves, 0, sizeof(*moves));
	search.moves = moves;
	n = find(e);
	search_free();
	if (n == 0)
		moves_free(moves);
	return n == -1 ? -1 : 0;
}
