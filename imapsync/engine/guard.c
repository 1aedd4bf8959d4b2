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
#include "engine.h"

#define GUARD_MIN	20	/* fewer messages are never too many */
#define GUARD_EMPTIED	3	/* mailboxes emptied at once */

/* Keys of doomed messages, to find those that were only moved. */
struct kcount {
	RB_ENTRY(kcount) entry;
	uint64_t	 key;
	struct mbox	*mb;
	uint32_t	 n;
};

static int	 kcount_cmp(struct kcount *, struct kcount *);
RB_PROTOTYPE(kcounts, kcount, entry, kcount_cmp)
RB_GENERATE(kcounts, kcount, entry, kcount_cmp)

static int
kcount_cmp(struct kcount *a, struct kcount *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

void
guard_reset(struct engine *e)
{
	struct kcount	*k;
	int		 side;

	for (side = 0; side < SIDES; side++)
		while ((k = RB_MIN(kcounts, &e->kcounts[side])) != NULL) {
			RB_REMOVE(kcounts, &e->kcounts[side], k);
			free(k);
		}
}

/* A place where mail is thrown away is emptied by habit. */
static int
is_trash(const struct mbox *mb)
{
	static const char *const names[] = { "Trash", "Junk", "Spam" };
	const char		*last;
	size_t			 i;
	int			 side;

	for (side = 0; side < SIDES; side++)
		if (mb->s[side].told.attrs & (ATTR_TRASH | ATTR_JUNK))
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

static void
guard_count(struct engine *e, struct guard *g)
{
	struct mbox	*mb;
	uint64_t	 by[SIDES] = { 0, 0 };
	uint32_t	 n, back;
	int		 side;

	memset(g, 0, sizeof(*g));
	FOREACH_SIDE(mb, side, &e->list) {
		if (is_trash(mb) || mb->skip || mb->stopped || mb->later)
			continue;
		/* An earlier round of this pass counts as well. */
		n = (uint32_t)uidset_count(&mb->s[OTHER(side)].plan.doomed);
		back = mb->s[side].check.reappeared;
		n -= n < back ? n : back;
		by[side] += n;
		if (n > GUARD_MIN && n >= mb->nrows)
			g->emptied++;
	}
	g->doomed = by[LOCAL] + by[REMOTE];
	g->side = by[LOCAL] > by[REMOTE] ? LOCAL : REMOTE;
}

static int
too_many(const struct engine *e, const struct guard *g)
{
	return (g->doomed > GUARD_MIN &&
	    g->doomed > e->list.total_rows / 2) || g->emptied >= GUARD_EMPTIED;
}

int
guard_trips(struct engine *e)
{
	struct guard	 g;

	guard_count(e, &g);
	return too_many(e, &g);
}

/* ---- what was only moved ---- */

static void
guard_keys(struct engine *e, int side)
{
	struct kcount	*k, find;
	struct mbox	*mb;
	struct row	*row;

	FOREACH_USABLE(mb, &e->list)
		RB_FOREACH(row, rows_local, &mb->rows_l) {
			if (!row->gone[side] || row->gone[OTHER(side)])
				continue;
			find.key = row->key;
			k = RB_FIND(kcounts, &e->kcounts[side], &find);
			if (k == NULL) {
				k = xcalloc(1, sizeof(*k));
				k->key = row->key;
				k->mb = mb;
				RB_INSERT(kcounts, &e->kcounts[side], k);
			}
			k->n++;
		}
}

/* Each new message counts once, and only for another mailbox. */
static void
got_new(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct side_check	*c = &r->mb->s[r->side].check;
	struct kcount		 find, *k;

	if (uidset_has(&c->moved, m->uid))
		return;
	find.key = m->key;
	k = RB_FIND(kcounts, &e->kcounts[r->side], &find);
	if (k == NULL || k->n == 0 || k->mb == r->mb)
		return;
	uidset_add(&c->moved, m->uid, m->uid);
	k->n--;
	k->mb->s[r->side].check.reappeared++;
}

static void
new_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "the %s server does not show what is "
		    "new in it: %s", side_name[r->side], m->text);
}

static int
guard_reappeared(struct engine *e)
{
	static const struct answers	 open = {
		.done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 to = {
		.meta = got_new, .done = new_done
	};
	struct mbox			*mb;
	struct side_found		*f;
	int				 side;

	for (side = 0; side < SIDES; side++)
		guard_keys(e, side);
	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		f = &mb->s[side].found;
		if (RB_EMPTY(&e->kcounts[side]) || f->disc == NULL ||
		    uidset_empty(&f->new))
			continue;
		ask_meta(e, look_open(e, mb, side, 0, &open), 0, &f->new, &to);
	}
	return loop_wait(e, -1);
}

static void
guard_hold(struct engine *e, const struct guard *g)
{
	struct mbox	*mb;
	int		 side;

	log_warnx("%llu of %llu messages that the state knows are gone on the "
	    "%s server%s: nothing was deleted in this run; if they are meant "
	    "to be gone, run again with --allow-delete",
	    (unsigned long long)g->doomed,
	    (unsigned long long)e->list.total_rows, side_name[g->side],
	    g->emptied >= GUARD_EMPTIED ? ", whole mailboxes among them" : "");
	e->partial = 1;
	FOREACH_SIDE(mb, side, &e->list)
		if (plan_told(mb, side) > 0)
			plan_hold(mb, side);
}

int
guard_run(struct engine *e)
{
	struct guard	 g;

	if (e->want.cfg.allow_delete || !guard_trips(e))
		return 0;
	if (guard_reappeared(e) == -1)
		return -1;
	guard_count(e, &g);
	if (too_many(e, &g))
		guard_hold(e, &g);
	return 0;
}
