/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Some servers of RFC 3501 alone give a message another UID: what has vanished
 * and what is new in one mailbox is the same then.  To copy the one and to delete
 * for the other would be twice as bad where deletions are held back.
 */
#include "engine.h"

static int
row_order(const void *a, const void *b)
{
	const struct row	*x = *(struct row *const *)a;
	const struct row	*y = *(struct row *const *)b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->uid[LOCAL] < y->uid[LOCAL] ? -1 : 1;
}

static int
is_gone(const struct row *row, int side)
{
	return row->gone[side] && !row->gone[OTHER(side)] && row->key != 0;
}

/* Those of that side, by key. */
static void
anew_rows(struct mbox *mb, int side, struct anew *a)
{
	struct row	*row;
	size_t		 n = 0;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		n += is_gone(row, side);
	if (n == 0)
		return;
	a->rows = xcalloc(n, sizeof(*a->rows));
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (is_gone(row, side))
			a->rows[a->n++] = row;
	qsort(a->rows, a->n, sizeof(*a->rows), row_order);
}

/* The first of them that it may be, and that has not got another UID yet. */
static struct row *
anew_find(const struct anew *a, int side, const struct m_engine_meta *m)
{
	size_t	 lo = 0, hi = a->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (a->rows[mid]->key < m->key)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < a->n && a->rows[lo]->key == m->key; lo++)
		if (a->rows[lo]->gone[side] && (a->rows[lo]->size == 0 ||
		    a->rows[lo]->size == m->size))
			return a->rows[lo];
	return NULL;
}

static void
got_new(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct side_found	*f = &r->mb->s[r->side].w->found;
	struct m_store_drop	 d;
	struct m_store_add	 a;
	struct row		*row;

	row = anew_find(&f->anew, r->side, m);
	if (row == NULL || row_find(r->mb, r->side, m->uid) != NULL)
		return;
	d.mailbox = a.mailbox = r->mb->id;
	d.side = r->side;
	uidset_init(&d.set);
	uidset_add(&d.set, row->uid[r->side], row->uid[r->side]);
	ask_note(e, M_STORE_DROP, &d);
	uidset_free(&d.set);
	row_renumber(r->mb, row, r->side, m->uid);
	a.local = row->uid[LOCAL];
	a.remote = row->uid[REMOTE];
	a.size = row->size;
	a.key = row->key;
	a.flags = row->base;
	ask_note(e, M_STORE_ADD, &a);
	row->gone[r->side] = 0;
	row_now(row, r->side, m->flags);
	uidset_del(&f->new, m->uid, m->uid);
	/* For the count: it has gone from where it was known. */
	f->ngone_left++;
	f->anew.found++;
	r->mb->touched = 1;
}

static int
anew_ask(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 open = {
		.done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 to = {
		.meta = got_new, .due = look_new_due,
		.done = look_new_done
	};
	struct side_found		*f = &mb->s[side].w->found;

	if (f->disc == NULL || f->disc->proof < PROOF_LISTED || mb->repair ||
	    uidset_empty(&f->new))
		return 0;
	anew_rows(mb, side, &f->anew);
	if (f->anew.n == 0)
		return 0;
	ask_meta(e, look_open(e, mb, side, OPEN_KEEP, &open), META_WHOLE, &f->new,
	    &to);
	return 1;
}

int
anew_run(struct engine *e)
{
	struct anew	*a;
	struct mbox	*mb;
	int		 any = 0, side;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		any |= anew_ask(e, mb, side);
	if (!any)
		return 0;
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		a = &mb->s[side].w->found.anew;
		if (a->found > 0)
			log_debug("%s: %u messages have another UID on the %s "
			    "server than before", mb->name, a->found,
			    side_name[side]);
	}
	return 0;
}
