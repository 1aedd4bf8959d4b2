/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What was moved on one side is moved on the other by its own server (RFC 6851),
 * and what was copied besides by COPY; no body is sent again.  Only what is
 * certain: the one message that is gone, what is left of it on the other side, and
 * the new one are the same in key, size and date.  In doubt it is copied, and
 * deleted behind that.
 *
 * The marks of copies (recover.c) cover this as well: what was moved or copied and
 * not recorded is new in the target mailbox, and paired by its content.
 */
#include "moved.h"

/* One request: what goes from a mailbox to another. */
struct transfer {
	TAILQ_ENTRY(transfer) entry;
	struct mbox	*to;
	struct uidset	 set[2];	/* by "copy" */
};
TAILQ_HEAD(transfers, transfer);

/* One more went from there to another mailbox of that side: for the report. */
static void
outgoing(struct mbox *from, int side, struct mbox *to)
{
	struct side_sum	*sum = &from->s[side].sum;
	int		 i;

	if (sum->out == NULL)
		sum->out = xcalloc(OUTGOING_MAX, sizeof(*sum->out));
	for (i = 0; i < OUTGOING_MAX - 1; i++)
		if (sum->out[i].to == to || sum->out[i].n == 0)
			break;
	sum->out[i].to = i < OUTGOING_MAX - 1 ? to : NULL;
	sum->out[i].n++;
	sum->moved++;
	to->s[side].sum.arrived++;
}

/* ---- the plan ---- */

/* The mailbox keeps all of these flags; EXAMINE does not tell. */
static int
keeps(const struct sess *d, const char *flags)
{
	char	 lost[FLAGS_MAX];

	if (d->examine || d->permflags == NULL || d->perm_any)
		return 1;
	flags_sub(lost, flags, d->permflags);
	return lost[0] == '\0';
}

/* A dry run does not open what it would have to create. */
static int
takes(const struct engine *e, struct mbox *mb, int side)
{
	const struct sess	*d = mb->s[side].w->found.disc;

	if (e->want.cfg.dryrun)
		return 1;
	return d != NULL && d->opened && !d->readonly && d->uidvalidity != 0 &&
	    mb->mark[side].tries == 0 && mb->s[side].told.name != NULL;
}

static int
is_doomed(const struct gone *g, int side)
{
	const struct side_plan	*p = &g->mb->s[side].w->plan;

	return uidset_has(&p->doomed, g->row->uid[side]) ||
	    uidset_has(&p->after, g->row->uid[side]);
}

/* It is certain what it is, and it can be had from the other side itself. */
static int
is_sure(const struct engine *e, const struct arrival *x, int side)
{
	const struct gone	*g = x->of;
	int			 o = OTHER(side);

	return g->key->n == 1 && g->twin == NULL && g->shown &&
	    g->size == x->size && g->date == x->date && x->date != DATE_NONE &&
	    mbox_usable(g->mb) && mbox_usable(x->mb) && is_doomed(g, o) &&
	    (e->want.cfg.dryrun || !g->mb->s[o].w->found.disc->readonly) &&
	    (x->mb->s[o].w->found.allow & PROP_NEW) &&
	    uidset_has(&x->mb->s[side].w->found.new, x->uid) &&
	    takes(e, x->mb, o);
}

/*
 * The flags of the new one are those that the moved one has now: merged with what
 * the other side has, and changed there ahead of the move.
 */
static int
plan_moved(struct engine *e, struct arrival *x, int side)
{
	struct gone		*g = x->of;
	struct row		*row = g->row;
	struct side_plan	*p = &g->mb->s[OTHER(side)].w->plan;
	char			 want[FLAGS_MAX];
	const char		*have[SIDES];
	int			 o = OTHER(side);
	uint32_t		 u = row->uid[o];

	have[side] = x->flags;
	have[o] = row_has(row, o);
	if (plan_merge(row->base, have, want) == -1 ||
	    (x->mb->s[o].w->found.disc != NULL &&
	    !keeps(x->mb->s[o].w->found.disc, want)))
		return 0;
	row_now(row, side, x->flags);
	row->want[o] = plan_side(g->mb, o, u, have[o], want);
	x->want = plan_side(x->mb, side, x->uid, have[side], want);
	/* MOVE is done when VANISHED says so. */
	x->how = e->srv[o].ready.caps & CAP_MOVE &&
	    e->srv[o].ready.strategy == STRATEGY_QRESYNC ? HOW_MOVE : HOW_COPY;
	if (x->how == HOW_MOVE) {
		uidset_del(&p->after, u, u);
		uidset_add(&p->doomed, u, u);
		uidset_add(&p->moving, u, u);
	}
	return 1;
}

/* A copy gets the flags that the moved one has then, so they must be its own. */
static int
plan_copied(struct arrival *x, int side)
{
	struct row		*row = x->of->row;
	struct sess		*d = x->mb->s[OTHER(side)].w->found.disc;
	const struct arrival	*a;
	const char		*has = row->want[OTHER(side)];

	if (has == NULL)
		has = row_has(row, OTHER(side));
	if (!flags_eq(x->flags, has) || (d != NULL && !keeps(d, x->flags)))
		return 0;
	/* What is told of it names mailbox and UID, so that it is one of each. */
	for (a = x->of->to; a != NULL; a = a->next)
		if (a != x && a->how != HOW_BODY && a->mb == x->mb)
			return 0;
	x->want = x->flags;
	x->how = HOW_COPY;
	return 1;
}

/*
 * Moved on both sides, to one place: it is there already.  If it is not certain
 * that these two are the same each side keeps its own.
 */
static void
plan_both(struct engine *e, struct gone *g)
{
	struct arrival		*x = g->to, *y = g->twin->to;
	struct mbox		*mb = x->mb;
	struct m_store_add	 a;
	struct row		*row;

	if (y == NULL || y->mb != mb || !mbox_usable(mb) ||
	    g->key->n != 1 || g->twin->key->n != 1 ||
	    g->key->narrivals != 1 || g->twin->key->narrivals != 1 ||
	    x->size != y->size ||
	    x->date != y->date || x->date == DATE_NONE ||
	    !uidset_has(&mb->s[LOCAL].w->found.new, x->uid) ||
	    !uidset_has(&mb->s[REMOTE].w->found.new, y->uid) ||
	    (row = row_add(mb, x->uid, y->uid, g->row->base)) == NULL)
		return;
	row->size = x->size;
	row->key = g->row->key;
	row_now(row, LOCAL, x->flags);
	row_now(row, REMOTE, y->flags);
	plan_flags(mb, row);
	uidset_del(&mb->s[LOCAL].w->found.new, x->uid, x->uid);
	uidset_del(&mb->s[REMOTE].w->found.new, y->uid, y->uid);
	mb->npaired++;
	a.mailbox = mb->id;
	a.local = x->uid;
	a.remote = y->uid;
	a.size = row->size;
	a.key = row->key;
	a.flags = row->base;
	ask_note(e, M_STORE_ADD, &a);
}

/* What is deleted for a message that has arrived elsewhere comes behind that. */
static void
plan_after(const struct arrival *x, int side)
{
	struct side_plan	*p = &x->of->mb->s[OTHER(side)].w->plan;
	uint32_t		 u = x->of->row->uid[OTHER(side)];

	if (x->extra || x->of->twin != NULL || x->how == HOW_MOVE ||
	    !uidset_has(&p->doomed, u))
		return;
	uidset_del(&p->doomed, u, u);
	uidset_add(&p->after, u, u);
}

void
move_plan(struct engine *e)
{
	struct arrival	*x;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		FOREACH_MOVED(x, e, side) {
			if (x->of->twin != NULL) {
				if (side == LOCAL)
					plan_both(e, x->of);
			} else if (!x->extra && is_sure(e, x, side) &&
			    plan_moved(e, x, side) && e->want.cfg.dryrun)
				outgoing(x->of->mb, OTHER(side), x->mb);
		}
		FOREACH_MOVED(x, e, side) {
			if (x->extra && is_sure(e, x, side))
				(void)plan_copied(x, side);
			plan_after(x, side);
		}
	}
}

/* ---- doing it ---- */

static struct arrival *
arrival_of(const struct row *row, const struct mbox *to)
{
	struct arrival	*x;

	if (row == NULL || row->moved == NULL)
		return NULL;
	for (x = row->moved->to; x != NULL; x = x->next)
		if (x->mb == to && x->how != HOW_BODY && !x->done && !x->lost)
			return x;
	return NULL;
}

/* What the moved one has there now: what was sent ahead of it, if that went well. */
static const char *
has_now(struct mbox *mb, struct row *row, int side)
{
	char	 flags[FLAGS_MAX];

	finish_achieved(mb, row, side, flags);
	return text_keep(flags);
}

/* Its row, which from now on is one of the mailbox that it came to. */
static void
moved_row(struct engine *e, struct arrival *x, int side, uint32_t newuid)
{
	struct row		*old = x->of->row, *row;
	struct m_engine_copied	 m;
	int			 o = OTHER(side);
	const char		*base = x->extra ? x->flags : old->base;

	memset(&m, 0, sizeof(m));
	m.uid = x->uid;
	m.newuid = newuid;
	m.size = old->size != 0 ? old->size : x->size;
	m.key = old->key;
	m.flags = has_now(x->of->mb, old, o);
	copy_made(e, x->mb, o, &m, base);
	row = row_add(x->mb, o == LOCAL ? newuid : x->uid,
	    o == LOCAL ? x->uid : newuid, base);
	if (row == NULL)
		fatalx("a message was moved to where another one is");
	row->size = m.size;
	row->key = m.key;
	row_now(row, side, x->flags);
	row_now(row, o, m.flags);
	row->want[side] = x->want;
	x->mb->s[o].w->did.reopen = 1;
	/* What was not done ahead of it must be told again. */
	if (old->want[o] != NULL && !flags_eq(old->want[o], m.flags))
		x->mb->s[side].w->plan.again = 1;
	if (x->extra)
		x->mb->s[o].w->did.ncopied++;
	else
		outgoing(x->of->mb, o, x->mb);
}

static void
move_lost(struct arrival *x, int side)
{
	x->lost = 1;
	x->mb->mark[OTHER(side)].keep = 1;
	uidset_add(&x->mb->s[side].w->plan.wait, x->uid, x->uid);
	x->mb->soon = 1;
}

static void
got_moved(struct engine *e, struct req *r, const struct m_engine_copied *m)
{
	struct mbox	*to = r->arg;
	struct arrival	*x;
	int		 side = OTHER(r->side);

	if ((x = arrival_of(row_find(r->mb, r->side, m->uid), to)) == NULL)
		return;
	if (m->newuid != 0 && !to->stopped &&
	    copy_fits(to, r->side, x->uid, m->newuid)) {
		moved_row(e, x, side, m->newuid);
		return;
	}
	/* It is there, wherever that is: the next run finds it by the mark. */
	move_lost(x, side);
	if (m->newuid != 0 && !to->stopped)
		progress_stop(e, to, "the %s server says that it gave UID %u to "
		    "what was moved there from %s, which can't be: what it got "
		    "is looked for by content in the next run",
		    side_name[r->side], m->newuid, name_show(e, r->mb->name));
}

static void
move_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped && !ended(e))
		log_debug("%s: the %s server does not move messages itself: %s",
		    r->mb->name, side_name[r->side], m->text);
}

static void
gather(struct transfers *all, struct arrival *x, uint32_t uid)
{
	struct transfer	*t = x->mb->w->transfer;

	if (t == NULL) {
		t = x->mb->w->transfer = xcalloc(1, sizeof(*t));
		t->to = x->mb;
		TAILQ_INSERT_HEAD(all, t, entry);
	}
	uidset_add(&t->set[x->how == HOW_COPY], uid, uid);
}

/* Copies first: what is moved is no more where it was. */
static void
move_ask(struct engine *e, struct mbox *mb, int side, struct transfers *all)
{
	static const struct answers	 to = {
		.copied = got_moved, .done = move_done
	};
	struct sess			*s = session_open(e, mb, side);
	struct transfer			*t;
	int				 copy;

	for (copy = 1; copy >= 0; copy--)
		TAILQ_FOREACH(t, all, entry)
			ask_move(e, s, copy, &t->set[copy], t->to, &to);
	while ((t = TAILQ_FIRST(all)) != NULL) {
		TAILQ_REMOVE(all, t, entry);
		t->to->w->transfer = NULL;
		uidset_free(&t->set[0]);
		uidset_free(&t->set[1]);
		free(t);
	}
}

static int
move_send(struct engine *e, struct mbox *mb, int side)
{
	struct transfers	 all;
	struct arrival		*x;
	struct row		*row;

	TAILQ_INIT(&all);
	RB_FOREACH(row, rows_local, &mb->rows_l) {
		if (row->moved == NULL || !row->gone[OTHER(side)])
			continue;
		for (x = row->moved->to; x != NULL; x = x->next)
			if (x->how != HOW_BODY && mbox_usable(x->mb))
				gather(&all, x, row->uid[side]);
	}
	if (TAILQ_EMPTY(&all))
		return 0;
	move_ask(e, mb, side, &all);
	return 1;
}

/* What has not moved is sent, and deleted behind that. */
static void
settle(struct arrival *x, int side)
{
	struct side_plan	*p = &x->of->mb->s[OTHER(side)].w->plan;
	uint32_t		 u = x->of->row->uid[OTHER(side)];

	if (x->how == HOW_BODY || x->done || x->lost)
		return;
	if (x->how == HOW_MOVE && uidset_has(
	    &x->of->mb->s[OTHER(side)].w->did.expunged, u)) {
		move_lost(x, side);
		return;
	}
	x->how = HOW_BODY;
	uidset_del(&p->moving, u, u);
	plan_after(x, side);
}

int
move_run(struct engine *e)
{
	struct arrival	*x;
	struct mbox	*mb;
	int		 side, any = 0;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		any |= move_send(e, mb, side);
	if (!any)
		return 0;
	if (loop_wait(e, -1) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		FOREACH_MOVED(x, e, side)
			settle(x, side);
	return 0;
}
