/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Before anything is deleted: rules D3 to D5 of the design, over the plan as a
 * whole (D6 is in guard.c).  A side "tells" that messages vanished, the other
 * would lose them.  In doubt nothing is deleted and the old HIGHESTMODSEQ stays
 * in the state, so that the next run is told again.
 */
#include "engine.h"

#define LOOK_MAX	200	/* doomed messages whose key is looked at */
#define SURVIVORS	20	/* rows that stay and are looked at */
#define SURVIVORS_MORE	50	/* ... where the server does not name the gone */

/* Rows that "side" told are gone; their UIDs there are added to the set. */
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

/* The same, with those whose rows had no room. */
static void
gone_uids(struct mbox *mb, int side, struct uidset *set)
{
	struct mside	*ms = &mb->s[side];
	struct uidset	 all = UIDSET_INIT;

	gone_rows(mb, side, set);
	if (!ms->w->found.more)
		return;
	uidset_or(set, &ms->w->found.disc->earlier);
	if (!ms->w->check.relist || ms->known.n == 0)
		return;
	uidset_add(&all, 1, ms->known.n);
	uidset_sub(&all, &ms->w->check.look->all);
	uidset_or(set, &all);
	uidset_free(&all);
}

static void
verify_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK && r->sess->opened)
		return;
	r->sess->failed = 1;
	if (!r->mb->stopped)
		progress_stop(e, r->mb, "it can't be opened again on the %s "
		    "server, so that nothing was deleted: %s",
		    side_name[r->side], m->text);
}

static const struct answers	 opened = {
	.done = verify_opened, .spoilt = look_spoilt
};

/* Its server names what vanished; it does not, and does not count either. */
static int
is_told(const struct mbox *mb, int side)
{
	return mb->s[side].w->found.disc->proof == PROOF_TOLD;
}

static int
is_listed(const struct mbox *mb, int side)
{
	return mb->s[side].w->found.disc->proof == PROOF_LISTED;
}

/* ---- D3 and D4: count, list, select again ---- */

static void
count_check(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	uint64_t	 have, want;
	uint32_t	 gone;

	if (ms->w->found.disc == NULL)
		return;
	gone = gone_rows(mb, side, NULL);
	have = (uint64_t)ms->w->found.disc->exists - ms->w->found.disc->above;
	want = (uint64_t)mb->nrows + ms->known.nrefused + ms->w->found.nleft +
	    ms->w->found.nfresh - gone - ms->w->found.ngone_refused -
	    ms->w->found.ngone_left;
	if (have > want && !is_told(mb, side))
		ms->w->found.unlisted = 1;
	if (mb->nrows == 0)
		return;
	if (have != want) {
		log_debug("%s: %s has %llu messages up to UID %u where %llu "
		    "were expected: listing them", mb->name, side_name[side],
		    (unsigned long long)have, ms->known.n,
		    (unsigned long long)want);
		ms->w->check.relist = 1;
	}
	if (plan_told(mb, side) > 0 && gone >= mb->nrows)
		ms->w->check.reselect = 1;
}

/* "Same identity and EXISTS", or what was told is not to be relied upon. */
static int
same_again(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct sess	*d = ms->w->found.disc, *l = ms->w->check.look;

	if (d->uidvalidity == l->uidvalidity && d->exists == l->exists &&
	    strcmp(d->mailboxid, l->mailboxid) == 0)
		return 1;
	log_debug("%s: changed on %s while it was looked at: its deletions "
	    "wait for the next run", mb->name, side_name[side]);
	plan_hold(mb, side);
	mb->soon = 1;
	return 0;
}

/* Rows that a complete list does not show. */
static void
relist_rows(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct uidset	 rest = UIDSET_INIT;
	struct row	*row;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (uidset_has(&ms->w->check.look->all, row->uid[side]))
			row->gone[side] = 0;
	if (ms->known.n > 0)
		uidset_add(&rest, 1, ms->known.n);
	uidset_sub(&rest, &ms->w->check.look->all);
	ask_rows(e, mb, side, &rest, &look_rows);
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
		if (row->uid[side] > ms->known.n ||
		    uidset_has(&ms->w->check.look->all, row->uid[side]))
			continue;
		row->gone[side] = 1;
		known--;
	}
	for (f = RB_MIN(refusals, &ms->known.refusals); f != NULL; f = next) {
		next = RB_NEXT(refusals, &ms->known.refusals, f);
		if (uidset_has(&ms->w->check.look->all, f->uid)) {
			known++;
			continue;
		}
		uidset_del(&ms->w->offer, f->uid, f->uid);
		refusal_end(e, mb, side, f->uid);
	}
	known += ms->w->found.nfresh;
	uidset_copy(&upto, &ms->w->left);
	uidset_and(&upto, &ms->w->check.look->all);
	known += uidset_count(&upto);
	uidset_copy(&upto, &ms->w->check.look->all);
	have = uidset_count(&upto);
	uidset_free(&upto);
	if (have > known)
		progress_stop(e, mb, "the %s server has %llu messages in it "
		    "that should have been seen before: it is another mailbox, "
		    "or it was restored; nothing was touched; %s",
		    side_name[side], (unsigned long long)(have - known),
		    look_advice(e, mb));
}

static void
recheck_open(struct engine *e, struct mbox *mb, int side)
{
	struct side_check	*c = &mb->s[side].w->check;

	if (c->relist || c->reselect)
		c->look = look_open(e, mb, side, c->relist ?
		    OPEN_ALL | OPEN_NEW : 0, &opened);
}

/*
 * A list that is shorter than EXISTS says is not complete.  One that is longer
 * shows more than was known; VANISHED of what never was makes EXISTS too small,
 * but where there is no VANISHED nothing does.
 */
static int
whole_list(struct engine *e, struct mbox *mb, int side)
{
	const struct sess	*l = mb->s[side].w->check.look;
	uint64_t		 n = uidset_count(&l->all) + l->above;

	if (n == l->exists || (n > l->exists && is_told(mb, side)))
		return 1;
	log_warnx("%s: the %s server says that there are %u messages in it, and "
	    "lists %llu: nothing was deleted for those that it does not list",
	    name_show(e, mb->name), side_name[side], l->exists,
	    (unsigned long long)n);
	e->partial = 1;
	plan_hold(mb, side);
	return 0;
}

/* A whole list: has it new ones that the discovery's had not? */
static void
relist_unlisted(struct mbox *mb, int side)
{
	struct side_found	*f = &mb->s[side].w->found;
	struct uidset		 more = UIDSET_INIT;

	uidset_copy(&more, &mb->s[side].w->check.look->fresh);
	uidset_sub(&more, &f->disc->fresh);
	if (uidset_empty(&more))
		f->unlisted = 0;
	uidset_free(&more);
}

static void
recheck_opened(struct engine *e, struct mbox *mb, int side)
{
	struct side_check	*c = &mb->s[side].w->check;

	if (c->look == NULL || !same_again(mb, side) ||
	    (c->relist && !whole_list(e, mb, side)))
		c->relist = 0;
	else if (c->relist) {
		relist_unlisted(mb, side);
		relist_rows(e, mb, side);
	}
}

/*
 * There is more than the discovery has seen: what was not listed is not known,
 * and is looked for from the same UID on again.
 */
static void
unlisted(struct engine *e, struct mbox *mb, int side)
{
	const struct sess	*d = mb->s[side].w->found.disc;

	if (!mb->s[side].w->found.unlisted || mb->stopped)
		return;
	e->partial = 1;
	/* Of that list a word has been said. */
	if (!mb->s[side].w->plan.hold)
		log_warnx("%s: the %s server says that there are %u messages in "
		    "it, and has not listed all: what is missing is looked for "
		    "by the next run", name_show(e, mb->name), side_name[side],
		    d->exists);
}

/* It lists less than it has; a worker then asks in another way. */
static int
is_short(const struct mbox *mb, int side)
{
	const struct sess	*l = mb->s[side].w->check.look;

	return mb->s[side].w->check.relist && l != NULL &&
	    !is_told(mb, side) && uidset_count(&l->all) + l->above < l->exists;
}

static int
recheck(struct engine *e)
{
	struct mbox	*mb;
	int		 side, again = 0;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		recheck_open(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		if (is_short(mb, side)) {
			recheck_open(e, mb, side);
			again = 1;
		}
	if (again && loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		recheck_opened(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		if (mb->s[side].w->check.relist) {
			relist_judge(e, mb, side);
			mbox_unplan(mb);
			plan_mbox(mb);
		}
	/* What was held before the plan was made anew still is. */
	FOREACH_SIDE(mb, side, &e->list)
		if (mb->s[side].w->plan.hold)
			plan_hold(mb, side);
	return 0;
}

/* ---- D5: look before you delete ---- */

/*
 * What would go on side "o", or lose its row: spread LOOK_MAX evenly; the others
 * are looked at by size.  Of what was moved the date is wanted, too.
 */
static void
d5_split(struct mbox *mb, int o, struct uidset *moved, struct uidset *full,
    struct uidset *brief)
{
	struct uidset	 all = UIDSET_INIT;
	struct row	*row;
	uint64_t	 n, k;
	uint32_t	 u;

	uidset_copy(&all, &mb->s[o].w->plan.doomed);
	uidset_or(&all, &mb->s[o].w->plan.alone);
	n = uidset_count(&all);
	for (k = 0; k < n && k < LOOK_MAX; k++) {
		u = uidset_nth(&all, n <= LOOK_MAX ? k : k * n / LOOK_MAX);
		uidset_add(full, u, u);
	}
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if ((row->size == 0 || moved_wanted(row)) &&
		    uidset_has(&all, row->uid[o]))
			uidset_add(moved_wanted(row) ? moved : full,
			    row->uid[o], row->uid[o]);
	uidset_sub(full, moved);
	uidset_copy(brief, &all);
	uidset_sub(brief, full);
	uidset_sub(brief, moved);
	uidset_free(&all);
}

static void
d5_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "the %s server does not show the "
		    "messages that would be deleted, so that nothing was: %s",
		    side_name[r->side], m->text);
}

/* What a side shows counts for that side only. */
static void
d5_differs(struct req *r, uint32_t uid)
{
	log_debug("%s: message UID %u of %s is not the one that the state "
	    "knows", r->mb->name, uid, side_name[r->side]);
	r->mb->s[r->side].w->check.mismatch = 1;
}

static void
got_size(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct row	*row = row_find(r->mb, r->side, m->uid);

	(void)e;
	uidset_add(&r->mb->s[r->side].w->check.seen, m->uid, m->uid);
	if (row != NULL && row->size != 0 && row->size != m->size)
		d5_differs(r, m->uid);
}

/* A row that was imported may have no key: then its size speaks for it. */
static void
got_doomed(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct row	*row = row_find(r->mb, r->side, m->uid);

	if (row != NULL && row->key == 0) {
		got_size(e, r, m);
		return;
	}
	uidset_add(&r->mb->s[r->side].w->check.seen, m->uid, m->uid);
	if (row != NULL && row->key != m->key)
		d5_differs(r, m->uid);
	else if (row != NULL && !row->gone[r->side])
		moved_shown(row, m);
}

static void
got_survivor(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	uidset_add(&r->mb->s[r->side].w->check.shown, m->uid, m->uid);
	got_doomed(e, r, m);
}

/* What is gone is asked for, and shown. */
static void
got_ghost(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	(void)e;
	d5_differs(r, m->uid);
}

/* It told that rows are gone, and is not doubted already. */
static int
d5_wanted(struct mbox *mb, int side)
{
	return !mb->s[side].w->plan.hold && gone_rows(mb, side, NULL) > 0;
}

/*
 * Who is said to be gone must not be there.  A server that names what vanished is
 * opened such that it tells what went since the discovery: survivors that are
 * missing are so explained.  SEARCH of the others may say nothing of what is
 * there: they are asked for the messages themselves, and those of which nothing
 * is known but a list for a second one.
 */
static struct sess *
d5_gone(struct engine *e, struct mbox *mb, int side, const struct uidset *gone)
{
	static const struct answers	 search = { .done = d5_done };
	static const struct answers	 ghost = {
		.meta = got_ghost, .done = d5_done
	};
	struct mside			*ms = &mb->s[side];
	struct sess			*s;

	if (is_told(mb, side)) {
		s = ask_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, ms->known.n,
		    ms->w->found.disc->modseq, &opened);
		ask_search(e, s, gone, &search);
		return s;
	}
	s = look_open(e, mb, side, is_listed(mb, side) ? OPEN_ALL | OPEN_NEW :
	    0, &opened);
	ask_meta(e, s, META_SIZE, gone, &ghost);
	return s;
}

/* What would go on a side, since the other one told so. */
static void
d5_doomed(struct engine *e, struct mbox *mb, int side, struct sess *s)
{
	static const struct answers	 doomed = {
		.meta = got_doomed, .done = d5_done
	};
	static const struct answers	 size = {
		.meta = got_size, .done = d5_done
	};
	struct uidset			 full = UIDSET_INIT, brief = UIDSET_INIT;
	struct uidset			 moved = UIDSET_INIT;

	d5_split(mb, side, &moved, &full, &brief);
	if (s == NULL && (!uidset_empty(&moved) || !uidset_empty(&full)))
		s = look_open(e, mb, side, OPEN_KEEP, &opened);
	if (s != NULL) {
		ask_meta(e, s, META_WHOLE, &moved, &doomed);
		ask_meta(e, s, META_KEY, &full, &doomed);
		ask_meta(e, s, META_SIZE, &brief, &size);
	}
	uidset_free(&moved);
	uidset_free(&full);
	uidset_free(&brief);
}

/* One session for all that a side is asked: who went, who stays, who would go. */
static void
d5_ask(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 survivor = {
		.meta = got_survivor, .done = d5_done
	};
	struct side_check		*c = &mb->s[side].w->check;
	struct uidset			 gone = UIDSET_INIT;
	struct sess			*s = NULL;

	if (d5_wanted(mb, side)) {
		gone_uids(mb, side, &gone);
		c->look = s = d5_gone(e, mb, side, &gone);
		uidset_free(&gone);
		ask_meta(e, s, META_KEY, &c->sample, &survivor);
	}
	if (d5_wanted(mb, OTHER(side)))
		d5_doomed(e, mb, side, s);
}

static void
got_sample(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	struct row	*row = look_row(r, m);

	(void)e;
	uidset_add(&r->mb->s[r->side].w->check.sample, row->uid[r->side],
	    row->uid[r->side]);
}

/* Those next to the gone, and the last one that is known. */
static void
d5_neighbours(const struct mbox *mb, int side, const struct uidset *gone,
    struct uidset *set)
{
	uint32_t	 after = 0, n = mb->s[side].known.n;
	struct uidrange	 r;
	int		 i;

	for (i = 0; i < SURVIVORS_MORE && uidset_next(gone, &after, &r); i++) {
		if (r.lo > 1)
			uidset_add(set, r.lo - 1, r.lo - 1);
		if (r.hi < n)
			uidset_add(set, r.hi + 1, r.hi + 1);
		after = r.hi;
	}
	if (n > 0)
		uidset_add(set, n, n);
	uidset_sub(set, gone);
}

static void
d5_sample(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = { .row = got_sample };
	struct uidset			 gone = UIDSET_INIT, near = UIDSET_INIT;

	if (!d5_wanted(mb, side))
		return;
	gone_uids(mb, side, &gone);
	ask_sample(e, mb, side, is_told(mb, side) ? SURVIVORS : SURVIVORS_MORE,
	    &gone, &to);
	if (!is_told(mb, side)) {
		d5_neighbours(mb, side, &gone, &near);
		ask_rows(e, mb, side, &near, &to);
	}
	uidset_free(&gone);
	uidset_free(&near);
}

/* More ranges than one message carries: leave out what is gone. */
static void
d5_sampled(struct mbox *mb, int side)
{
	struct uidset	 gone = UIDSET_INIT;

	gone_uids(mb, side, &gone);
	uidset_sub(&mb->s[side].w->check.sample, &gone);
	uidset_free(&gone);
}

/* Survivors that were not shown, and that nothing was told of. */
static uint64_t
survivors_missing(const struct mbox *mb, int side)
{
	const struct side_check	*c = &mb->s[side].w->check;
	struct uidset		 rest = UIDSET_INIT;
	uint64_t		 n;

	uidset_copy(&rest, &c->sample);
	uidset_sub(&rest, &c->shown);
	uidset_sub(&rest, &c->look->vanished);
	uidset_sub(&rest, &c->look->earlier);
	n = uidset_count(&rest);
	uidset_free(&rest);
	return n;
}

/* What was not shown where it would go is not deleted unseen. */
static void
keep_unseen(struct mbox *mb, int side)
{
	struct side_plan	*p = &mb->s[OTHER(side)].w->plan;
	struct uidset		 rest = UIDSET_INIT;

	uidset_copy(&rest, &p->doomed);
	uidset_or(&rest, &p->alone);
	uidset_sub(&rest, &mb->s[OTHER(side)].w->check.seen);
	if (!uidset_empty(&rest)) {
		uidset_sub(&p->doomed, &rest);
		uidset_sub(&p->alone, &rest);
		mb->s[side].w->plan.again = 1;
		mb->soon = 1;
	}
	uidset_free(&rest);
}

/*
 * What was found by comparing lists: the second one must show none of it, and as
 * many as EXISTS says.
 */
static int
d5_second_list(struct engine *e, struct mbox *mb, int side)
{
	const struct sess	*l = mb->s[side].w->check.look;
	struct uidset		 gone = UIDSET_INIT;
	int			 back;

	if (!is_listed(mb, side))
		return 1;
	gone_uids(mb, side, &gone);
	uidset_and(&gone, &l->all);
	back = !uidset_empty(&gone);
	uidset_free(&gone);
	if (!back && uidset_count(&l->all) + l->above == l->exists)
		return 1;
	log_warnx("%s: the %s server lists other messages than a moment ago, or "
	    "not as many as it says that there are: nothing was deleted for "
	    "those that it does not list", name_show(e, mb->name),
	    side_name[side]);
	e->partial = 1;
	plan_hold(mb, side);
	mb->soon = 1;
	return 0;
}

/*
 * Another message than the state's is a mismatch, an absence is none: somebody
 * is at work, and the next run will be told.  But if nothing of what should be
 * there is, a list has to say whose messages these are.
 */
static void
d5_judge(struct engine *e, struct mbox *mb, int side)
{
	struct side_check	*c = &mb->s[side].w->check;

	if (!d5_wanted(mb, side))
		return;
	if (!d5_second_list(e, mb, side))
		return;
	if (is_told(mb, side) && !uidset_empty(&c->look->all))
		c->mismatch = 1;
	if (c->mismatch || mb->s[OTHER(side)].w->check.mismatch) {
		progress_stop(e, mb, "%u messages are said to be gone on the "
		    "%s server, but a second look shows other messages on the "
		    "%s server than the state knows; nothing was deleted; %s",
		    gone_rows(mb, side, NULL), side_name[side],
		    side_name[c->mismatch ? side : OTHER(side)],
		    look_advice(e, mb));
		return;
	}
	keep_unseen(mb, side);
	if (survivors_missing(mb, side) == 0)
		return;
	if (uidset_empty(&c->shown)) {
		c->relist = 1;
		return;
	}
	log_debug("%s: more messages went from %s meanwhile: its deletions "
	    "wait for the next run", mb->name, side_name[side]);
	plan_hold(mb, side);
	mb->soon = 1;
}

/* None of the survivors was shown: whose messages are there? */
static int
d5_list(struct engine *e)
{
	struct mbox	*mb;
	int		 side, any = 0;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		if (mb->s[side].w->check.relist) {
			mb->s[side].w->plan.hold = 1;
			any = 1;
		}
	return any ? recheck(e) : 0;
}

static int
d5_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		d5_sample(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		d5_sampled(mb, side);
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		d5_ask(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		mb->s[side].w->check.relist = mb->s[side].w->check.reselect = 0;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		d5_judge(e, mb, side);
	return d5_list(e);
}

/* A look at its messages has ended the connection, again and again. */
static void
rest(struct engine *e, struct mbox *mb)
{
	uint32_t	 n = plan_told(mb, LOCAL) + plan_told(mb, REMOTE);
	int		 side;

	if (n == 0 || !refusal_rests(e, mb))
		return;
	for (side = 0; side < SIDES; side++)
		plan_hold(mb, side);
	e->partial = 1;
	log_warnx("%s: %u deletions wait, since the connection to the %s server "
	    "ended %u times when it was asked about UID %u: it is asked again "
	    "later, at once with --retry", name_show(e, mb->name), n,
	    side_name[mb->strikes.side], mb->strikes.count, mb->strikes.uid);
}

/*
 * Asked for what can't be it has shown something else: it would change that, too,
 * and what it says to be gone may be there.
 */
static void
ghosts(struct engine *e, int side)
{
	struct mbox	*mb;

	if (!e->srv[side].ghosts)
		return;
	if (!e->srv[side].ghosts_said)
		log_warnx("the %s server shows its last message when it is "
		    "asked for one that is not there, and would change that "
		    "one: no flags are changed and nothing is deleted on it, "
		    "and nothing is deleted for it on the %s server; only new "
		    "messages are copied.  Another server program has to serve "
		    "these mailboxes", side_name[side], side_name[OTHER(side)]);
	e->srv[side].ghosts_said = 1;
	e->partial = 1;
	FOREACH_USABLE(mb, &e->list) {
		plan_hold(mb, LOCAL);
		plan_hold(mb, REMOTE);
	}
}

int
verify_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	for (side = 0; side < SIDES; side++)
		ghosts(e, side);
	FOREACH_USABLE(mb, &e->list)
		rest(e, mb);
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		count_check(mb, side);
	if (guard_trips(e)) {
		FOREACH_USABLE_SIDE(mb, side, &e->list)
			mb->s[side].w->check.reselect |= plan_told(mb, side) > 0;
	}
	if (recheck(e) == -1 || moved_find(e) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		unlisted(e, mb, side);
	guard_run(e);
	if (d5_run(e) == -1)
		return -1;
	guard_delay(e);
	move_plan(e);
	return 0;
}
