/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * D6 of the design: a server that lost its storage must not empty the other one.
 * A person who empties a mailbox, or archives all of it, must never be held.
 */
#include <stdio.h>

#include "engine.h"

#define GUARD_MIN	20	/* fewer messages are never too many */
#define GUARD_EMPTIED	3	/* mailboxes emptied at once */

void
guard_round(struct engine *e)
{
	moved_reset(e);
	e->delayed = 0;
}

void
guard_reset(struct engine *e)
{
	guard_round(e);
	e->recorded = 0;
}

/*
 * A place where mail is thrown away is emptied by habit: so says the side that
 * would lose it, since the other one is the suspect.
 */
static int
is_trash(const struct mbox *mb, int loser)
{
	static const char *const names[] = { "Trash", "Junk", "Spam" };
	const char		*last;
	size_t			 i;

	if (mb->s[loser].told.attrs & (ATTR_TRASH | ATTR_JUNK))
		return 1;
	last = strrchr(mb->name, NAME_SEP);
	last = last != NULL ? last + 1 : mb->name;
	for (i = 0; i < nitems(names); i++)
		if (strcasecmp(last, names[i]) == 0)
			return 1;
	return 0;
}

/* What would be deleted. */
struct guard {
	uint64_t	 doomed;
	uint32_t	 emptied;	/* mailboxes, with more than GUARD_MIN */
	int		 side;		/* the one that told most */
};

/* What was moved does not count: seen elsewhere, or with a copy that has a row. */
enum counted { MOVED_NOT, MOVED_SEEN, MOVED_DONE };

static void
guard_count(struct engine *e, struct guard *g, enum counted moved)
{
	struct mbox	*mb;
	uint64_t	 by[SIDES] = { 0, 0 };
	uint32_t	 n, back;
	int		 side;

	memset(g, 0, sizeof(*g));
	FOREACH_SIDE(mb, side, &e->list) {
		if (is_trash(mb, OTHER(side)) || mb->skip || mb->stopped ||
		    mb->later)
			continue;
		/* Earlier rounds of this pass: the rest is in "recorded". */
		n = mb->s[OTHER(side)].sum.deleted;
		if (n > GUARD_MIN && n >= mb->nrows)
			g->emptied++;
		n = (uint32_t)(uidset_count(&mb->s[OTHER(side)].w->plan.doomed) +
		    uidset_count(&mb->s[OTHER(side)].w->plan.after));
		back = moved == MOVED_NOT ? 0 : moved == MOVED_SEEN ?
		    mb->s[side].w->check.reappeared : mb->s[side].w->check.credited;
		n -= n < back ? n : back;
		by[side] += n;
		if (n > GUARD_MIN && n >= mb->nrows)
			g->emptied++;
	}
	g->doomed = by[LOCAL] + by[REMOTE];
	g->side = by[LOCAL] > by[REMOTE] ? LOCAL : REMOTE;
}

/* With what was deleted in the last 24 hours, so that halves don't pass. */
static int
too_many(const struct engine *e, const struct guard *g)
{
	const struct m_engine_setup	*c = &e->want.cfg;
	uint64_t			 before = e->deleted + e->recorded;
	uint64_t			 n = g->doomed + before;

	if (g->doomed == 0 || c->delete_rule == DELETE_ANY)
		return 0;
	if (c->delete_rule == DELETE_NUMBER)
		return n > c->max_delete;
	return (n > GUARD_MIN && n * 100 > (e->list.total_rows + before) *
	    c->max_delete) || g->emptied >= GUARD_EMPTIED;
}

int
guard_trips(struct engine *e)
{
	struct guard	 g;

	guard_count(e, &g, MOVED_NOT);
	return too_many(e, &g);
}

static void
guard_hold(struct engine *e, const struct guard *g)
{
	struct mbox	*mb;
	char		 before[100] = "";
	uint64_t	 deleted = e->deleted + e->recorded;
	int		 side;

	if (deleted > 0)
		snprintf(before, sizeof(before), ", after %llu that were "
		    "deleted in the last 24 hours",
		    (unsigned long long)deleted);
	log_warnx("%llu of %llu messages that the state knows are gone on the "
	    "%s server%s%s: nothing was deleted in this run; if they are meant "
	    "to be gone, run again with --allow-delete",
	    (unsigned long long)g->doomed,
	    (unsigned long long)e->list.total_rows, side_name[g->side],
	    g->emptied >= GUARD_EMPTIED ? ", whole mailboxes among them" : "",
	    before);
	e->partial = 1;
	FOREACH_SIDE(mb, side, &e->list) {
		if (mb->finished || mb->w == NULL)
			continue;
		/* What was put off is not done at all. */
		uidset_or(&mb->s[OTHER(side)].w->plan.doomed,
		    &mb->s[OTHER(side)].w->plan.after);
		uidset_free(&mb->s[OTHER(side)].w->plan.after);
		if (plan_told(mb, side) > 0)
			plan_hold(mb, side);
	}
}

void
guard_run(struct engine *e)
{
	struct guard	 g;

	e->delayed = 0;
	if (e->want.cfg.allow_delete || !guard_trips(e))
		return;
	guard_count(e, &g, MOVED_SEEN);
	if (too_many(e, &g))
		guard_hold(e, &g);
	else
		e->delayed = !e->want.cfg.dryrun;
}

/* Behind the copies it is known what was moved; see guard_after(). */
void
guard_delay(struct engine *e)
{
	struct side_plan	*p;
	struct mbox		*mb;
	int			 side;

	if (!e->delayed)
		return;
	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		p = &mb->s[OTHER(side)].w->plan;
		if (uidset_empty(&p->doomed) || is_trash(mb, OTHER(side)))
			continue;
		uidset_or(&p->after, &p->doomed);
		uidset_free(&p->doomed);
	}
}

/* What was moved and has no copy with a row yet stays where it is. */
static void
take_after(struct mbox *mb, int side)
{
	struct side_plan	*p = &mb->s[side].w->plan;
	struct uidset		 go = UIDSET_INIT;
	struct row		*row;

	uidset_copy(&go, &p->after);
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (row->gone[OTHER(side)] && moved_waits(row))
			uidset_del(&go, row->uid[side], row->uid[side]);
	if (uidset_count(&go) < uidset_count(&p->after))
		log_debug("%s: %llu messages that were moved on the %s server "
		    "stay on the %s server until they are copied", mb->name,
		    (unsigned long long)(uidset_count(&p->after) -
		    uidset_count(&go)), side_name[OTHER(side)],
		    side_name[side]);
	if (!uidset_empty(&go)) {
		uidset_or(&p->doomed, &go);
		uidset_sub(&p->after, &go);
		mb->s[side].w->did.ops_sent = 0;
	}
	uidset_free(&go);
}

int
guard_after(struct engine *e)
{
	struct guard	 g;
	struct mbox	*mb;
	int		 any = 0, side;

	FOREACH_SIDE(mb, side, &e->list)
		any |= !uidset_empty(&mb->s[side].w->plan.after);
	if (!any)
		return 0;
	if (e->delayed) {
		guard_count(e, &g, MOVED_DONE);
		if (too_many(e, &g)) {
			guard_hold(e, &g);
			return 0;
		}
	}
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		if (!uidset_empty(&mb->s[side].w->plan.after))
			take_after(mb, side);
	return 1;
}

int
guard_boxes(struct engine *e)
{
	struct guard	 g = { 0, 0, LOCAL };
	struct mbox	*mb;
	uint32_t	 n;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->gone == 0 || mb->stopped)
			continue;
		g.side = mb->gone - 1;
		n = mb->s[OTHER(g.side)].told.messages;
		if (is_trash(mb, OTHER(g.side)))
			continue;
		g.doomed += n;
		g.emptied += n > GUARD_MIN;
	}
	if (e->want.cfg.allow_delete || !too_many(e, &g))
		return 0;
	log_warnx("mailboxes with %llu of %llu messages that the state knows "
	    "are gone on the %s server: none of them was deleted on the %s "
	    "server; if they are meant to be gone, run again with "
	    "--allow-delete", (unsigned long long)g.doomed,
	    (unsigned long long)e->list.total_rows, side_name[g.side],
	    side_name[OTHER(g.side)]);
	e->partial = 1;
	return 1;
}

void
guard_record(struct engine *e)
{
	struct m_store_deleted	 m;
	struct mbox		*mb;
	uint32_t		 n = 0, gone, back;
	int			 side;

	FOREACH_SIDE(mb, side, &e->list) {
		if (is_trash(mb, side))
			continue;
		gone = mb->s[side].sum.deleted + mb->s[side].w->did.nexpunged;
		back = mb->s[OTHER(side)].sum.credited +
		    mb->s[OTHER(side)].w->check.credited;
		n += gone - (gone < back ? gone : back);
	}
	m.count = 0;
	if (e->want.cfg.allow_delete) {
		/* Who has looked at it begins anew. */
		if (n == 0 || e->deleted == 0)
			return;
		e->deleted = 0;
		ask_note(e, M_STORE_DELETED, &m);
		return;
	}
	if (n <= e->recorded)
		return;
	m.count = n - e->recorded;
	e->recorded = n;
	ask_note(e, M_STORE_DELETED, &m);
}
