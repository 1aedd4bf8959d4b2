/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 3 of a run: every dirty mailbox is opened on both sides at once and tells
 * what vanished, what changed its flags, what is new.
 */
#include "engine.h"

#define LEFT_ALONE	1	/* "what" of the store's UIDS */

/* ---- what the state knows of a mailbox ---- */

static void
got_left(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_or(&r->mb->s[m->side].w->left, &m->set);
	if (m->what == LEFT_ALONE)
		uidset_or(&r->mb->s[m->side].w->alone, &m->set);
}

static void
got_info(struct engine *e, struct req *r, const struct m_engine_info *m)
{
	uint32_t	 max[SIDES] = { m->max_local, m->max_remote };
	int		 side;

	(void)e;
	r->state = REQ_TOLD;
	r->mb->nrows = m->rows;
	for (side = 0; side < SIDES; side++) {
		struct side_known	*k = &r->mb->s[side].known;

		k->n = k->water.uidnext - 1;
		if (max[side] > k->n)
			k->n = max[side];
	}
}

static void
disc_info(struct engine *e, struct mbox *mb)
{
	static const struct answers	 to = {
		.uids = got_left, .info = got_info
	};

	if (!mb->isnew && !mb->adopt_asked)
		ask_info(e, mb, &to);
}

/* A complete list of flags, compared with the rows. */
static void
got_diff(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	struct row	*row;

	if (!look_room(e, r->mb, r->side, ROOM_ROWS))
		return;
	row = look_row(r, m);
	if (m->gone)
		row->gone[r->side] = 1;
	else if (!uidset_has(&r->mb->s[r->side].w->found.cut, row->uid[r->side]))
		row_now(row, r->side, m->now);
}

/* ---- opening ---- */

/* --repair: everything is looked at, as if nothing was known but the rows. */
static void
disc_repair(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	if (e->want.cfg.command != CMD_REPAIR)
		return;
	FOREACH_USABLE(mb, &e->list) {
		if (mb->isnew || mb->adopt)
			continue;
		mb->repair = 1;
		mb->nrows = 0;
		for (side = 0; side < SIDES; side++) {
			mb->s[side].known.n = 0;
			mb->s[side].known.water.uidnext = 1;
		}
	}
}

/* What the SELECT tells of flags, up to its own answer. */
static void
disc_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct m_store_seen	 seen;

	if (m->has_flags == FLAGS_NONE || m->uid > s->n || s->opened)
		return;
	/* What is not among those that are told is not gone. */
	if (m->has_flags == FLAGS_CUT &&
	    s->mb->s[s->side].w->found.cut.n < UNASKED_MAX)
		uidset_add(&s->mb->s[s->side].w->found.cut, m->uid, m->uid);
	else if (m->has_flags == FLAGS_CUT) {
		if (!s->mb->stopped)
			progress_stop(e, s->mb, "too many of its messages have "
			    "more flags than can be handled on the %s server: "
			    "it is left alone in this run", side_name[s->side]);
		return;
	} else if (!s->full)
		uidset_del(&s->mb->s[s->side].w->found.cut, m->uid, m->uid);
	if (!s->full) {
		if (change_add(&s->mb->s[s->side], m->uid, m->flags) &&
		    !look_room(e, s->mb, s->side, ROOM_CHANGES))
			change_drop(&s->mb->s[s->side]);
		return;
	}
	memset(&seen, 0, sizeof(seen));
	seen.mailbox = s->mb->id;
	seen.side = s->side;
	seen.uid = m->uid;
	seen.date = DATE_NONE;
	seen.flags = m->flags;
	ask_seen(e, &seen);
}

/*
 * No HIGHESTMODSEQ is told of it, by that server or that strategy: what another one
 * has stored means nothing now, and all is listed.
 */
static int
disc_lost(const struct engine *e, const struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;

	return !has_modseq(e, side) ||
	    (e->srv[side].ready.strategy == STRATEGY_CONDSTORE &&
	    t->has_status && t->modseq == 0);
}

static void
disc_open(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = {
		.done = look_opened, .flags = disc_flags,
		.spoilt = look_spoilt
	};
	struct side_known		*k = &mb->s[side].known;
	uint64_t			 modseq = k->water.modseq;
	int				 what = rules_open(e, side);

	if (e->want.cfg.dryrun && mb->s[side].told.create != ANS_NONE)
		return;
	if (k->water.uidvalidity == 0 || disc_lost(e, mb, side))
		modseq = 0;
	what |= OPEN_NEW;
	if (modseq == 0 && mb->nrows > 0 && k->n > 0) {
		what |= OPEN_FULL;
		if (k->nrefused > 0 || !uidset_empty(&mb->s[side].w->left))
			what |= OPEN_ALL;
	}
	mb->s[side].w->found.disc = ask_open(e, mb, side, SESS_DISCOVER, what,
	    k->n, modseq, &to);
}

/* ---- what was told ---- */

/*
 * UIDNEXT.  Some SELECTs do not tell it, and what was listed says nothing of a
 * backup that was restored; of that mailbox a STATUS in front of it does.
 */
static uint32_t
disc_uidnext(const struct sess *s)
{
	const struct side_told	*t = &s->mb->s[s->side].told;

	return s->guessed && t->has_status && t->uidnext != 0 &&
	    t->uidvalidity == s->uidvalidity ? t->uidnext : s->uidnext;
}

/* D1: is it the mailbox that the state knows? */
static int
disc_identity(struct engine *e, struct sess *s)
{
	const struct water	*w = &s->mb->s[s->side].known.water;
	const char		*sn = side_name[s->side];
	const char		*advice = look_advice(e, s->mb);

	if (s->uidvalidity == 0) {
		progress_stop(e, s->mb, "the %s server gives no UIDVALIDITY: "
		    "it can't be synchronised", sn);
		return -1;
	}
	if (s->notsticky) {
		progress_stop(e, s->mb, "the %s server does not keep the UIDs "
		    "of its messages (UIDNOTSTICKY): it can't be synchronised",
		    sn);
		return -1;
	}
	if (w->uidvalidity == 0)
		return 0;
	if (s->uidvalidity != w->uidvalidity)
		progress_stop(e, s->mb, "UIDVALIDITY on the %s server was %u and "
		    "is %u now, so that the UIDs mean other messages; "
		    "nothing was touched; %s", sn,
		    w->uidvalidity, s->uidvalidity, advice);
	else if (w->mailboxid[0] != '\0' && s->mailboxid[0] != '\0' &&
	    strcmp(w->mailboxid, s->mailboxid) != 0)
		progress_stop(e, s->mb, "MAILBOXID on the %s server has changed: "
		    "it is another mailbox of the same name; nothing was "
		    "touched; %s", sn, advice);
	else if (s->mb->repair)
		return 0;
	else if (disc_uidnext(s) != 0 && disc_uidnext(s) < w->uidnext)
		progress_stop(e, s->mb, "UIDNEXT on the %s server was %u and is "
		    "%u now, as after a backup was restored; nothing was "
		    "touched; %s", sn,
		    w->uidnext, disc_uidnext(s), advice);
	else if (s->modseq < w->modseq && (s->modseq != 0 ||
	    !disc_lost(e, s->mb, s->side)))
		progress_stop(e, s->mb, "HIGHESTMODSEQ on the %s server was %llu "
		    "and is %llu now, as after a backup was restored; nothing was "
		    "touched; %s", sn,
		    (unsigned long long)w->modseq,
		    (unsigned long long)s->modseq, advice);
	else
		return 0;
	return -1;
}

/* What is new on a side: UIDs from U on without a row or a refusal. */
static void
disc_new(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct sess	*s = ms->w->found.disc;
	struct refusal	*f;

	if (s == NULL)
		return;
	uidset_copy(&ms->w->found.new, &s->fresh);
	RB_FOREACH(f, refusals, &ms->known.refusals)
		uidset_del(&ms->w->found.new, f->uid, f->uid);
	ms->w->found.nleft = uidset_count(&ms->w->left);
	uidset_sub(&ms->w->found.new, &ms->w->left);
}

/* What has a row is not new: copies of ours above U. */
static void
got_have(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_sub(&r->mb->s[r->side].w->found.new, &m->set);
}

static void
disc_ask_rows(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 diff = { .row = got_diff };
	static const struct answers	 have = { .uids = got_have };
	struct side_found		*f = &mb->s[side].w->found;
	struct uidset			 set = UIDSET_INIT;
	struct change			*c;

	if (mb->nrows == 0)
		return;
	if (f->disc->full)
		ask_diff(e, mb, side, mb->s[side].known.n, &diff);
	RB_FOREACH(c, changes, &f->changes)
		uidset_add(&set, c->uid, c->uid);
	uidset_or(&set, &f->disc->earlier);
	if (mb->s[side].known.n < UINT32_MAX)
		uidset_del(&set, mb->s[side].known.n + 1, UINT32_MAX);
	ask_rows(e, mb, side, &set, &look_rows);
	ask_have(e, mb, side, &f->disc->fresh, &have);
	uidset_free(&set);
}

static void
disc_told(struct engine *e, struct mbox *mb, int side)
{
	struct sess	*s = mb->s[side].w->found.disc;

	if (s == NULL || disc_identity(e, s) == -1)
		return;
	disc_new(mb, side);
	disc_ask_rows(e, mb, side);
}

/* A refused message that is gone needs no refusal any more. */
static void
disc_refusals(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct refusal	*f, *next;

	for (f = RB_MIN(refusals, &ms->known.refusals); f != NULL; f = next) {
		next = RB_NEXT(refusals, &ms->known.refusals, f);
		if (ms->w->found.disc->full ? uidset_has(&ms->w->found.disc->all, f->uid) :
		    !uidset_has(&ms->w->found.disc->earlier, f->uid))
			continue;
		uidset_del(&ms->w->offer, f->uid, f->uid);
		refusal_end(e, mb, side, f->uid);
		ms->w->found.ngone_refused++;
		mb->touched = 1;
	}
}

/* What a rule left out and is gone needs not be remembered any more. */
static void
disc_left(struct engine *e, struct mbox *mb, int side)
{
	struct mside		*ms = &mb->s[side];
	struct uidset		 gone = UIDSET_INIT;
	struct m_store_unleft	 m;
	size_t			 i;

	uidset_copy(&gone, &ms->w->left);
	if (ms->w->found.disc->full)
		uidset_sub(&gone, &ms->w->found.disc->all);
	else
		uidset_and(&gone, &ms->w->found.disc->earlier);
	ms->w->found.ngone_left = uidset_count(&gone);
	m.mailbox = mb->id;
	m.side = side;
	SET_PARTS(&gone, i, &m.set) {
		ask_note(e, M_STORE_UNLEFT, &m);
		mb->touched = 1;
	}
	uidset_sub(&ms->w->left, &gone);
	uidset_free(&gone);
	/* --retry weighs again what was left out, and not what was deleted. */
	if (!e->want.cfg.retry)
		return;
	uidset_copy(&gone, &ms->w->left);
	uidset_sub(&gone, &ms->w->alone);
	uidset_or(&ms->w->found.new, &gone);
	uidset_free(&gone);
}

/* What the server told, put to the rows that the store gave. */
static void
disc_merge(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct change	*c;
	struct row	*row;

	if (ms->w->found.disc == NULL)
		return;
	RB_FOREACH(c, changes, &ms->w->found.changes) {
		if ((row = row_find(mb, side, c->uid)) == NULL ||
		    uidset_has(&ms->w->found.cut, c->uid))
			continue;
		row_now(row, side, c->flags);
	}
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (uidset_has(&ms->w->found.disc->earlier, row->uid[side]))
			row->gone[side] = 1;
	ms->w->found.nfresh = uidset_upto(&ms->w->found.new, ms->known.n);
	disc_refusals(e, mb, side);
	disc_left(e, mb, side);
}

/*
 * A mailbox that had modseqs and has none now (NOMODSEQ): nothing was told since
 * the state's.  It is opened again as one that never had any.
 */
static int
disc_again(struct engine *e)
{
	struct side_known	*k;
	struct sess		*s;
	struct mbox		*mb;
	int			 side, any = 0;

	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		k = &mb->s[side].known;
		s = mb->s[side].w->found.disc;
		if (s == NULL || !s->opened || s->failed || s->modseq != 0 ||
		    k->water.modseq == 0 || disc_lost(e, mb, side))
			continue;
		k->water.modseq = 0;
		disc_open(e, mb, side);
		any = 1;
	}
	return any ? loop_wait(e, -1) : 0;
}

int
disc_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_USABLE(mb, &e->list)
		disc_info(e, mb);
	if (loop_wait(e, -1) == -1)
		return -1;
	disc_repair(e);
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		disc_open(e, mb, side);
	if (loop_wait(e, -1) == -1 || disc_again(e) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		disc_told(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		disc_merge(e, mb, side);
	return 0;
}
