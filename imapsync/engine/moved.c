/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What was moved on a side (design.md section 6): META of what is new there is
 * asked for if a message of another mailbox is gone, and put to the keys of those
 * that are.
 */
#include "moved.h"

#define TWINS_MAX	16	/* gone ones of one key that are looked through */
#define EXTRAS_MAX	16	/* copies of one; further ones are sent */

static int	 movedkey_cmp(struct movedkey *, struct movedkey *);
RB_PROTOTYPE(movedkeys, movedkey, entry, movedkey_cmp)
RB_GENERATE(movedkeys, movedkey, entry, movedkey_cmp)
RB_GENERATE(arrivals, arrival, entry, arrival_cmp)

static int
movedkey_cmp(struct movedkey *a, struct movedkey *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

int
arrival_cmp(struct arrival *a, struct arrival *b)
{
	if (a->mb != b->mb)
		return mbox_cmp(a->mb, b->mb);
	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

static void
key_free(struct movedkey *k)
{
	struct gone	*g;

	while ((g = TAILQ_FIRST(&k->gones)) != NULL) {
		TAILQ_REMOVE(&k->gones, g, entry);
		g->row->moved = NULL;
		free(g);
	}
	free(k);
}

void
moved_reset(struct engine *e)
{
	struct arrival	*x;
	struct movedkey	*k;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		while ((x = RB_MIN(arrivals, &e->moved[side].all)) != NULL) {
			RB_REMOVE(arrivals, &e->moved[side].all, x);
			free(x);
		}
		while ((k = RB_MIN(movedkeys, &e->moved[side].keys)) != NULL) {
			RB_REMOVE(movedkeys, &e->moved[side].keys, k);
			key_free(k);
		}
		memset(&e->moved[side], 0, sizeof(e->moved[side]));
	}
}

/* ---- what is gone ---- */

static struct movedkey *
key_of(struct engine *e, int side, uint64_t key)
{
	struct movedkey	 find, *k;

	find.key = key;
	k = RB_FIND(movedkeys, &e->moved[side].keys, &find);
	if (k != NULL)
		return k;
	k = xcalloc(1, sizeof(*k));
	k->key = key;
	TAILQ_INIT(&k->gones);
	RB_INSERT(movedkeys, &e->moved[side].keys, k);
	return k;
}

static struct gone *
gone_add(struct engine *e, int side, struct mbox *mb, struct row *row)
{
	struct moved	*m = &e->moved[side];
	struct movedkey	*k = key_of(e, side, row->key);
	struct gone	*g;

	g = xcalloc(1, sizeof(*g));
	g->key = k;
	g->mb = mb;
	g->row = row;
	TAILQ_INSERT_TAIL(&k->gones, g, entry);
	if (k->n++ == 0)
		k->free = g;
	if (m->from != NULL && m->from != mb)
		m->many = 1;
	m->from = mb;
	return g;
}

/* Where it would be deleted for; what is gone on both sides has no row soon. */
static void
gone_row(struct engine *e, struct mbox *mb, struct row *row)
{
	struct gone	*g[SIDES];
	int		 side;

	/* What a server of ghosts says to be gone may be there. */
	if (row->key == 0 || e->srv[LOCAL].ghosts || e->srv[REMOTE].ghosts)
		return;
	if (row->gone[LOCAL] && row->gone[REMOTE]) {
		for (side = 0; side < SIDES; side++)
			g[side] = gone_add(e, side, mb, row);
		g[LOCAL]->twin = g[REMOTE];
		g[REMOTE]->twin = g[LOCAL];
		return;
	}
	for (side = 0; side < SIDES; side++)
		if (row->gone[side] && mb->s[OTHER(side)].w->found.allow &
		    PROP_DELETE)
			row->moved = gone_add(e, side, mb, row);
}

/* ---- what is new ---- */

/*
 * The gone one that it may have been: not of the same mailbox.  "extra": none is
 * left, but one has arrived already.
 */
static struct gone *
gone_for(struct movedkey *k, const struct mbox *mb, int *extra)
{
	struct gone	*g;
	int		 n = 0;

	*extra = 0;
	while (k->free != NULL && k->free->to != NULL)
		k->free = TAILQ_NEXT(k->free, entry);
	for (g = k->free; g != NULL && n++ < TWINS_MAX;
	    g = TAILQ_NEXT(g, entry))
		if (g->mb != mb && g->to == NULL)
			return g;
	*extra = 1;
	g = TAILQ_FIRST(&k->gones);
	return k->n == 1 && g->mb != mb && g->twin == NULL &&
	    k->narrivals <= EXTRAS_MAX ? g : NULL;
}

/* Both have had it: no rule leaves it out where it came to. */
static void
keep_in_sync(struct side_found *f, uint32_t uid)
{
	if (!uidset_has(&f->leave, uid))
		return;
	uidset_del(&f->leave, uid, uid);
	uidset_add(&f->new, uid, uid);
}

static void
got_new(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct arrivals	*all = &e->moved[r->side].all;
	struct arrival	 which, *x;
	struct movedkey	 find, *k;
	struct gone	*g;
	int		 extra;

	find.key = m->key;
	k = RB_FIND(movedkeys, &e->moved[r->side].keys, &find);
	which.mb = r->mb;
	which.uid = m->uid;
	if (k == NULL || RB_FIND(arrivals, all, &which) != NULL)
		return;
	k->narrivals++;
	if ((g = gone_for(k, r->mb, &extra)) == NULL)
		return;
	x = xcalloc(1, sizeof(*x));
	x->of = g;
	x->mb = r->mb;
	x->uid = m->uid;
	x->size = m->size;
	x->date = m->date;
	x->flags = text_keep(m->flags);
	x->extra = extra;
	RB_INSERT(arrivals, all, x);
	if (!extra) {
		g->to = x;
		if (g->twin == NULL) {
			g->mb->s[r->side].w->check.reappeared++;
			keep_in_sync(&r->mb->s[r->side].w->found, m->uid);
		}
		return;
	}
	x->next = g->to->next;
	g->to->next = x;
}

/*
 * Those that the other side refused may be what was moved just as well, also where
 * nothing else is new: they are not offered in each run.
 */
static void
add_refused(struct mbox *mb, int side, struct uidset *set)
{
	struct refusal	*f;

	RB_FOREACH(f, refusals, &mb->s[side].known.refusals)
		if (f->code != RC_SOURCE_CLOSED && f->code != RC_META_CLOSED)
			uidset_add(set, f->uid, f->uid);
}

/* What is new, and not left out since nothing new goes to the other side. */
static void
add_new(const struct engine *e, const struct mbox *mb, int side,
    struct uidset *set)
{
	const struct side_found	*f = &mb->s[side].w->found;

	if (f->disc == NULL)
		return;
	uidset_or(set, &f->new);
	if (rules_allow(e, OTHER(side), PROP_NEW))
		uidset_or(set, &f->leave);
}

static void
moved_ask(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 open = {
		.done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 to = {
		.meta = got_new, .due = look_new_due,
		.done = look_new_done
	};
	const struct moved		*m = &e->moved[side];
	struct uidset			 set = UIDSET_INIT;

	if (m->from == NULL || (m->from == mb && !m->many) || mb->repair ||
	    mb->skip || mb->stopped || mb->later ||
	    !mbox_present(mb, side))
		return;
	add_refused(mb, side, &set);
	if (mbox_usable(mb))
		add_new(e, mb, side, &set);
	if (!uidset_empty(&set)) {
		mbox_begin(mb);
		ask_meta(e, look_open(e, mb, side, OPEN_KEEP, &open), META_WHOLE,
		    &set, &to);
	}
	uidset_free(&set);
}

int
moved_find(struct engine *e)
{
	struct mbox	*mb;
	struct row	*row;
	int		 side;

	moved_reset(e);
	FOREACH_USABLE(mb, &e->list)
		if (!mb->repair)
			RB_FOREACH(row, rows_local, &mb->rows_l)
				gone_row(e, mb, row);
	FOREACH_SIDE(mb, side, &e->list)
		moved_ask(e, mb, side);
	return loop_wait(e, -1);
}

/* ---- what becomes of it ---- */

int
moved_wanted(const struct row *row)
{
	return row->moved != NULL && row->moved->to != NULL;
}

void
moved_shown(struct row *row, const struct m_engine_meta *m)
{
	struct gone	*g = row->moved;

	/* As a survivor it may be shown once more, without its date. */
	if (g == NULL || (g->shown && m->date == DATE_NONE))
		return;
	g->shown = 1;
	g->size = m->size;
	g->date = m->date;
}

static struct arrival *
arrival_find(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	struct arrival	 find;

	find.mb = mb;
	find.uid = uid;
	return RB_FIND(arrivals, &e->moved[side].all, &find);
}

void
moved_copied(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	struct arrival	*x = arrival_find(e, mb, side, uid);

	if (x == NULL || x->done)
		return;
	x->done = 1;
	if (!x->extra && x->of->twin == NULL)
		x->of->mb->s[side].w->check.credited++;
}

int
moved_waits(const struct row *row)
{
	return moved_wanted(row) && !row->moved->to->done;
}
