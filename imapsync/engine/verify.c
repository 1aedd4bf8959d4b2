/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Before anything is deleted: rules D3 to D6 of the design, over the plan as a
 * whole.  A side "tells" that messages vanished, the other would lose them.  In
 * doubt nothing is deleted and the old HIGHESTMODSEQ stays in the state, so that
 * the next run is told again.
 */
#include <stdio.h>

#include "engine.h"

#define GUARD_MIN	20	/* fewer messages are never too many */
#define GUARD_EMPTIED	3	/* mailboxes emptied at once */
#define LOOK_MAX	200	/* doomed messages whose key is looked at */
#define SURVIVORS	20	/* rows that stay and are looked at */

/* Keys of doomed messages, to find those that were only moved. */
struct kcount {
	RB_ENTRY(kcount) entry;
	uint64_t	 key;
	struct mbox	*mb;
	uint32_t	 n;
};
RB_HEAD(kcounts, kcount);

static int	 kcount_cmp(struct kcount *, struct kcount *);
RB_PROTOTYPE(kcounts, kcount, entry, kcount_cmp)
RB_GENERATE(kcounts, kcount, entry, kcount_cmp)

static int
kcount_cmp(struct kcount *a, struct kcount *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

/* Rows that "side" told are gone and the other side still has. */
static uint32_t
told(struct mbox *mb, int side)
{
	return (uint32_t)uidset_count(&mb->s[OTHER(side)].doomed);
}

static uint32_t
gone_rows(struct mbox *mb, int side, struct uidset *set)
{
	struct row	*row;
	uint32_t	 n = 0;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (row->gone[side]) {
			n++;
			if (set != NULL)
				uidset_add(set, row->uid[side], row->uid[side]);
		}
	return n;
}

static void
hold(struct mbox *mb)
{
	int	 side;

	/* Both are told again, or what the other said would be forgotten. */
	for (side = 0; side < SIDES; side++) {
		uidset_free(&mb->s[side].doomed);
		mb->s[side].hold = 1;
	}
}

static void
replan(struct mbox *mb)
{
	struct store	*st;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		uidset_free(&ms->doomed);
		ms->nflags = 0;
		while ((st = TAILQ_FIRST(&ms->stores)) != NULL) {
			TAILQ_REMOVE(&ms->stores, st, entry);
			uidset_free(&st->set);
			free(st->flag);
			free(st);
		}
	}
	plan_mbox(mb);
}

/* ---- D6: the guard ---- */

/* A place where mail is thrown away is emptied by habit. */
static int
is_trash(const struct mbox *mb)
{
	static const char *const names[] = { "Trash", "Junk", "Spam" };
	const char		*last;
	size_t			 i;
	int			 side;

	for (side = 0; side < SIDES; side++)
		if (mb->s[side].attrs & (ATTR_TRASH | ATTR_JUNK))
			return 1;
	last = strrchr(mb->name, NAME_SEP);
	last = last != NULL ? last + 1 : mb->name;
	for (i = 0; i < nitems(names); i++)
		if (strcasecmp(last, names[i]) == 0)
			return 1;
	return 0;
}

struct guard {
	uint64_t	 doomed;
	uint32_t	 emptied;
	int		 side;		/* the one that told most */
};

static int
guard_trips(struct engine *e, struct guard *g)
{
	struct mbox	*mb;
	uint64_t	 by[SIDES] = { 0, 0 };
	int		 side;

	memset(g, 0, sizeof(*g));
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb) || is_trash(mb))
			continue;
		for (side = 0; side < SIDES; side++) {
			uint32_t	 n = told(mb, side);

			n -= n < mb->s[side].reappeared ? n :
			    mb->s[side].reappeared;
			by[side] += n;
			if (n > GUARD_MIN && n >= mb->nrows)
				g->emptied++;
		}
	}
	g->doomed = by[LOCAL] + by[REMOTE];
	g->side = by[LOCAL] > by[REMOTE] ? LOCAL : REMOTE;
	return (g->doomed > GUARD_MIN && g->doomed > e->total_rows / 2) ||
	    g->emptied >= GUARD_EMPTIED;
}

static struct kcounts	 kcounts[SIDES];

void
verify_reset(void)
{
	struct kcount	*k;
	int		 side;

	for (side = 0; side < SIDES; side++)
		while ((k = RB_MIN(kcounts, &kcounts[side])) != NULL) {
			RB_REMOVE(kcounts, &kcounts[side], k);
			free(k);
		}
}

static void
guard_keys(struct engine *e, int side)
{
	struct kcount	*k, find;
	struct mbox	*mb;
	struct row	*row;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb))
			continue;
		RB_FOREACH(row, rows_local, &mb->rows_l) {
			if (!row->gone[side] || row->gone[OTHER(side)])
				continue;
			find.key = row->key;
			if ((k = RB_FIND(kcounts, &kcounts[side], &find)) ==
			    NULL) {
				k = xcalloc(1, sizeof(*k));
				k->key = row->key;
				k->mb = mb;
				RB_INSERT(kcounts, &kcounts[side], k);
			}
			k->n++;
		}
	}
}

static void
meta_send(struct engine *e, struct mbox *mb, struct sess *s, int brief,
    enum meta_use what, const struct uidset *set, req_fn done)
{
	struct m_net_meta	 m;
	uint32_t		 id;
	size_t			 i;

	m.handle = s->handle;
	m.brief = brief;
	SET_PARTS(set, i, &m.set) {
		id = engine_req(e, s->side, mb, NULL, done, NULL, what);
		engine_send(e, s->side, M_NET_META, id, &m);
	}
}

static void
look_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK && r->sess->opened)
		return;
	r->sess->failed = 1;
	if (!r->mb->stopped)
		mbox_stop(e, r->mb, "it can't be opened again on the %s "
		    "server, so that nothing was deleted: %s",
		    side_name[r->chan], m->text);
}

static void
look_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		mbox_stop(e, r->mb, "the %s server does not show the messages "
		    "that would be deleted, so that nothing was: %s",
		    side_name[r->chan], m->text);
}

/* The guard would trip: do not count what was only moved on that side. */
static int
guard_reappeared(struct engine *e)
{
	struct mbox	*mb;
	struct sess	*s;
	int		 side, any = 0;

	for (side = 0; side < SIDES; side++) {
		guard_keys(e, side);
		if (RB_EMPTY(&kcounts[side]))
			continue;
		RB_FOREACH(mb, mboxes, &e->mboxes) {
			if (!mbox_usable(mb) || mb->s[side].disc == NULL ||
			    uidset_empty(&mb->s[side].new))
				continue;
			s = engine_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE,
			    0, look_opened);
			meta_send(e, mb, s, 0, META_REAPPEARED,
			    &mb->s[side].new, look_done);
			any = 1;
		}
	}
	return any ? engine_wait(e, -1) : 0;
}

/* Each new message counts once, and only for another mailbox. */
static void
reappeared(struct mbox *mb, int side, const struct m_engine_meta *m)
{
	struct mside	*ms = &mb->s[side];
	struct kcount	 find, *k;

	if (!uidset_has(&ms->new, m->uid) || uidset_has(&ms->moved, m->uid))
		return;
	find.key = m->key;
	if ((k = RB_FIND(kcounts, &kcounts[side], &find)) == NULL ||
	    k->n == 0 || k->mb == mb)
		return;
	uidset_add(&ms->moved, m->uid, m->uid);
	k->n--;
	k->mb->s[side].reappeared++;
}

static void
guard_hold(struct engine *e, const struct guard *g)
{
	struct mbox	*mb;
	int		 side;

	log_warnx("%llu of %llu messages that the state knows are gone on the "
	    "%s server%s: nothing was deleted in this run; if they are meant "
	    "to be gone, run again with --allow-delete",
	    (unsigned long long)g->doomed, (unsigned long long)e->total_rows,
	    side_name[g->side], g->emptied >= GUARD_EMPTIED ?
	    ", whole mailboxes among them" : "");
	e->partial = 1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (told(mb, side) > 0)
				hold(mb);
}

/* ---- D3 and D4: count, list, select again ---- */

static void
count_check(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	uint64_t	 have, want;
	uint32_t	 gone;

	if (ms->disc == NULL || mb->nrows == 0)
		return;
	gone = gone_rows(mb, side, NULL);
	have = (uint64_t)ms->disc->exists - ms->disc->above;
	want = (uint64_t)mb->nrows + ms->nrefused + ms->nleft + ms->nfresh -
	    gone - ms->ngone_refused - ms->ngone_left;
	if (have != want) {
		log_debug("%s: %s has %llu messages up to UID %u where %llu "
		    "were expected: listing them", mb->name, side_name[side],
		    (unsigned long long)have, ms->n,
		    (unsigned long long)want);
		ms->relist = 1;
	}
	if (told(mb, side) > 0 && gone >= mb->nrows)
		ms->reselect = 1;
}

/* "Same identity and EXISTS", or what was told is not to be relied upon. */
static int
same_again(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct sess	*d = ms->disc, *l = ms->look;

	if (d->uidvalidity == l->uidvalidity && d->exists == l->exists &&
	    strcmp(d->mailboxid, l->mailboxid) == 0)
		return 1;
	log_debug("%s: changed on %s while it was looked at: its deletions "
	    "wait for the next run", mb->name, side_name[side]);
	hold(mb);
	return 0;
}

static void
complement(struct uidset *out, const struct uidset *in, uint32_t n)
{
	if (n > 0)
		uidset_add(out, 1, n);
	uidset_sub(out, in);
}

/* A complete list decides what is gone: rows not in it, and no others. */
static void
relist_rows(struct engine *e, struct mbox *mb, int side)
{
	struct mside		*ms = &mb->s[side];
	struct uidset		 rest = UIDSET_INIT;
	struct m_store_rows	 m;
	struct row		*row;
	uint32_t		 id;
	size_t			 i;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (uidset_has(&ms->look->all, row->uid[side]))
			row->gone[side] = 0;
	complement(&rest, &ms->look->all, ms->n);
	m.mailbox = mb->id;
	m.side = side;
	SET_PARTS(&rest, i, &m.set) {
		id = engine_req(e, STORE, mb, NULL, NULL, NULL, side);
		engine_send(e, STORE, M_STORE_ROWS, id, &m);
	}
	uidset_free(&rest);
}

static void
relist_judge(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct uidset	 upto = UIDSET_INIT;
	struct refusal	*f, *next;
	struct row	*row;
	uint64_t	 known = mb->nrows, have;

	RB_FOREACH(row, rows_local, &mb->rows_l) {
		if (row->uid[side] > ms->n ||
		    uidset_has(&ms->look->all, row->uid[side]))
			continue;
		row->gone[side] = 1;
		known--;
	}
	for (f = TAILQ_FIRST(&ms->refusals); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (uidset_has(&ms->look->all, f->uid)) {
			known++;
			continue;
		}
		uidset_del(&ms->offer, f->uid, f->uid);
		refusal_end(e, mb, side, f->uid);
	}
	known += ms->nfresh;
	uidset_copy(&upto, &ms->left);
	uidset_and(&upto, &ms->look->all);
	known += uidset_count(&upto);
	uidset_copy(&upto, &ms->look->all);
	have = uidset_count(&upto);
	uidset_free(&upto);
	if (have > known)
		mbox_stop(e, mb, "the %s server has %llu messages in it that "
		    "should have been seen before: it is another mailbox, or "
		    "it was restored; nothing was touched; see that it is the "
		    "right mailbox, then run with --adopt to pair its messages "
		    "anew", side_name[side], (unsigned long long)(have - known));
}

static int
recheck(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if (mbox_usable(mb) && (ms->relist || ms->reselect))
				ms->look = engine_open(e, mb, side, SESS_LOOK,
				    OPEN_EXAMINE | (ms->relist ? OPEN_ALL : 0),
				    0, look_opened);
		}
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if (!mbox_usable(mb) || ms->look == NULL ||
			    !same_again(mb, side))
				ms->relist = 0;
			else if (ms->relist)
				relist_rows(e, mb, side);
		}
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb) && mb->s[side].relist) {
				relist_judge(e, mb, side);
				replan(mb);
			}
	/* A side whose word was not relied upon keeps its messages as well. */
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mb->s[side].hold)
				uidset_free(&mb->s[OTHER(side)].doomed);
	return 0;
}

/* ---- D5: look before you delete ---- */

/* Spread LOOK_MAX evenly; the others are looked at by size. */
static void
look_split(struct mbox *mb, int o, struct uidset *full, struct uidset *brief)
{
	struct mside	*ms = &mb->s[o];
	uint64_t	 n = uidset_count(&ms->doomed), k;
	struct row	*row;
	uint32_t	 u;

	if (n <= LOOK_MAX) {
		uidset_copy(full, &ms->doomed);
		return;
	}
	for (k = 0; k < LOOK_MAX; k++) {
		u = uidset_nth(&ms->doomed, k * n / LOOK_MAX);
		uidset_add(full, u, u);
	}
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (row->size == 0 && uidset_has(&ms->doomed, row->uid[o]))
			uidset_add(full, row->uid[o], row->uid[o]);
	uidset_copy(brief, &ms->doomed);
	uidset_sub(brief, full);
}

static void
look_mbox(struct engine *e, struct mbox *mb, int side)
{
	struct uidset		 full = UIDSET_INIT, brief = UIDSET_INIT;
	struct uidset		 gone = UIDSET_INIT;
	struct m_net_search	 m;
	struct sess		*s;
	uint32_t		 id;
	size_t			 i;
	int			 o = OTHER(side);

	look_split(mb, o, &full, &brief);
	s = engine_open(e, mb, o, SESS_LOOK, OPEN_EXAMINE, 0, look_opened);
	meta_send(e, mb, s, 0, META_DOOMED, &full, look_done);
	meta_send(e, mb, s, 1, META_BRIEF, &brief, look_done);

	s = engine_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, 0, look_opened);
	mb->s[side].look = s;
	gone_rows(mb, side, &gone);
	m.handle = s->handle;
	SET_PARTS(&gone, i, &m.set) {
		id = engine_req(e, side, mb, s, look_done, NULL, 0);
		engine_send(e, side, M_NET_SEARCH, id, &m);
	}
	meta_send(e, mb, s, 0, META_SURVIVOR, &mb->s[side].sample, look_done);
	uidset_free(&full);
	uidset_free(&brief);
	uidset_free(&gone);
}

void
verify_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct row	*row;

	(void)e;
	if (r->num == META_REAPPEARED) {
		reappeared(r->mb, r->chan, m);
		return;
	}
	if ((row = row_find(r->mb, r->chan, m->uid)) == NULL)
		return;
	if (r->num == META_SURVIVOR)
		row->looked = 1;
	if (r->num == META_BRIEF ? row->size != 0 && row->size != m->size :
	    row->key != 0 && row->key != m->key) {
		log_debug("%s: message UID %u of %s is not the one that the "
		    "state knows", r->mb->name, m->uid, side_name[r->chan]);
		r->mb->mismatch = 1;
	}
}

static int
look_sample(struct engine *e)
{
	struct m_store_sample	 m;
	struct mbox		*mb;
	uint32_t		 id;
	int			 side;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			if (!mbox_usable(mb) || told(mb, side) == 0)
				continue;
			memset(&m, 0, sizeof(m));
			m.mailbox = mb->id;
			m.side = side;
			m.count = SURVIVORS;
			gone_rows(mb, side, &m.set);
			if (m.set.n > PROTO_SET_MAX)
				m.set.n = PROTO_SET_MAX;
			id = engine_req(e, STORE, mb, NULL, NULL, NULL,
			    side | ROW_SAMPLE);
			engine_send(e, STORE, M_STORE_SAMPLE, id, &m);
			uidset_free(&m.set);
		}
	if (engine_wait(e, -1) == -1)
		return -1;
	/* More ranges than one message carries: leave out what is gone. */
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct uidset	 gone = UIDSET_INIT;

			gone_rows(mb, side, &gone);
			uidset_sub(&mb->s[side].sample, &gone);
			uidset_free(&gone);
		}
	return 0;
}

/* A row that should be there and was not shown is no better than another one. */
static int
survivors_shown(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct row	*row;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (uidset_has(&ms->sample, row->uid[side]) && !row->looked &&
		    !uidset_has(&ms->look->vanished, row->uid[side]))
			return 0;
	return 1;
}

static int
look(struct engine *e)
{
	struct mbox	*mb;
	int		 side, any = 0;

	if (look_sample(e) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb) && told(mb, side) > 0) {
				look_mbox(e, mb, side);
				any = 1;
			}
	if (!any)
		return 0;
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			if (!mbox_usable(mb) || told(mb, side) == 0)
				continue;
			if (!uidset_empty(&mb->s[side].look->all) ||
			    !survivors_shown(mb, side))
				mb->mismatch = 1;
			if (mb->mismatch)
				mbox_stop(e, mb, "%u messages are said to be "
				    "gone on the %s server, but a second look "
				    "shows other messages than the state knows;"
				    " nothing was deleted; see that it is the "
				    "right mailbox, then run with --adopt to "
				    "pair its messages anew", told(mb, side),
				    side_name[side]);
		}
	return 0;
}

int
verify_run(struct engine *e)
{
	struct guard	 g;
	struct mbox	*mb;
	int		 side, trips;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb))
				count_check(mb, side);
	trips = guard_trips(e, &g);
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; trips && side < SIDES; side++)
			if (mbox_usable(mb) && told(mb, side) > 0)
				mb->s[side].reselect = 1;
	if (recheck(e) == -1)
		return -1;
	if (!e->cfg.allow_delete && guard_trips(e, &g)) {
		if (guard_reappeared(e) == -1)
			return -1;
		if (guard_trips(e, &g))
			guard_hold(e, &g);
	}
	return look(e);
}
