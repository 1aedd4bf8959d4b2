/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 6 of a run: what the state shall hold of a mailbox.  A watermark moves
 * only when all below it is accounted for; HIGHESTMODSEQ only if all that the
 * server told in our sessions is ours (RFC 7162 section 6, design.md section 4).
 */
#include "engine.h"

/* The first UID from u on that is not in the set. */
static uint32_t
first_gap(const struct uidset *set, uint32_t u)
{
	struct uidrange	 r;
	uint32_t	 after = u == 0 ? 0 : u - 1;

	if (!uidset_next(set, &after, &r) || r.lo > u)
		return u;
	return r.hi == UINT32_MAX ? UINT32_MAX : r.hi + 1;
}

/*
 * Others' mail came, or went, since the SELECT of the discovery.  EXISTS alone
 * does not tell: what came before our first UID may be in it already, and what
 * others expunged makes room in it.
 */
static int
others_mail(const struct mside *ms)
{
	uint64_t	 want = (uint64_t)ms->w->found.disc->exists +
			    uidset_count(&ms->w->did.appended) -
			    uidset_count(&ms->w->did.expunged);

	return ms->w->did.others || uidset_empty(&ms->w->did.appended) ||
	    uidset_min(&ms->w->did.appended) != ms->w->found.disc->uidnext ||
	    ms->w->did.exec->exists_end != want;
}

/*
 * U: the lowest UID that is not accounted for.  "orderly": every command was
 * answered, so that a gap between our own UIDs need not be looked at again if
 * nobody else's mail came.
 */
static uint32_t
lowest(const struct mside *ms, int orderly)
{
	struct uidset	 left = UIDSET_INIT;
	uint32_t	 u = ms->w->found.disc->uidnext;

	if (u == 0)
		u = ms->known.n + 1;
	if (orderly && !others_mail(ms))
		u = uidset_max(&ms->w->did.appended) + 1;
	else
		u = first_gap(&ms->w->did.appended, u);
	uidset_copy(&left, &ms->w->found.new);
	uidset_sub(&left, &ms->w->did.copied);
	if (!uidset_empty(&left) && uidset_min(&left) < u)
		u = uidset_min(&left);
	uidset_free(&left);
	/* Exchange leaves the newest out of a list now and then. */
	if (ms->w->found.unlisted && ms->known.water.uidnext < u)
		u = ms->known.water.uidnext;
	return u;
}

/* That flags were listed: it is written only where it will be asked for. */
static int
same_look(const struct engine *e, const struct mbox *mb, int side,
    int64_t looked, uint64_t unseen)
{
	const struct water	*w = &mb->s[side].known.water;

	if (w->unseen != unseen)
		return 0;
	return w->looked == looked || (w->looked != 0 && looked != 0 &&
	    rules_always(e, mb, side));
}

static void
water_send(struct engine *e, struct mbox *mb, int side, uint32_t uidnext,
    uint32_t messages, uint64_t modseq, int64_t looked)
{
	struct water		*w = &mb->s[side].known.water;
	struct sess		*d = mb->s[side].w->found.disc;
	struct m_store_water	 m;
	uint64_t		 unseen;

	unseen = looked != 0 ? mb->s[side].told.unseen : 0;
	if (w->uidvalidity == d->uidvalidity && w->uidnext == uidnext &&
	    w->messages == messages && w->modseq == modseq &&
	    strcmp(w->mailboxid, d->mailboxid) == 0 &&
	    same_look(e, mb, side, looked, unseen))
		return;
	w->uidvalidity = d->uidvalidity;
	w->uidnext = uidnext;
	w->messages = messages;
	w->modseq = modseq;
	w->mailboxid = text_keep(d->mailboxid);
	w->looked = looked;
	w->unseen = unseen;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.side = side;
	m.water.uidvalidity = w->uidvalidity;
	m.water.uidnext = uidnext;
	m.water.messages = messages;
	m.water.modseq = modseq;
	m.water.mailboxid = w->mailboxid;
	m.water.looked = looked;
	m.water.unseen = unseen;
	ask_note(e, M_STORE_WATER, &m);
}

void
finish_drop(struct engine *e, struct mbox *mb)
{
	struct m_store_adopt	 m;
	int			 t;

	if (!mb->adopt_asked || mb->isnew)
		return;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.adopt = 1;
	m.drop = 1;
	ask_note(e, M_STORE_ADOPT, &m);
	mb->adopt_asked = 0;
	for (t = 0; t < SIDES; t++)
		mb->mark[t].set = 0;
}

void
finish_first(struct engine *e, struct mbox *mb)
{
	struct m_store_adopt	 a;
	int			 side;

	if (mb->adopt) {
		finish_drop(e, mb);
		memset(&a, 0, sizeof(a));
		a.mailbox = mb->id;
		ask_note(e, M_STORE_ADOPT, &a);
		mb->adopt = 0;
	}
	for (side = 0; side < SIDES; side++)
		if (mb->s[side].known.water.uidvalidity == 0)
			water_send(e, mb, side, lowest(&mb->s[side], 0),
			    mb->s[side].w->found.disc->exists,
			    mb->s[side].w->found.disc->modseq, 0);
}

void
finish_water(struct engine *e, struct mbox *mb)
{
	struct sess	*d;
	int		 side;

	for (side = 0; side < SIDES; side++) {
		d = mb->s[side].w->found.disc;
		if (mb->s[side].known.water.uidvalidity == 0 && d != NULL &&
		    d->opened)
			water_send(e, mb, side, lowest(&mb->s[side], 0),
			    d->exists, 0, 0);
	}
}

void
finish_paired(struct engine *e, struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		water_send(e, mb, side, lowest(&mb->s[side], 0),
		    mb->s[side].w->found.disc->exists, 0, 0);
	mb->touched = 1;
}

void
finish_checkpoint(struct engine *e, struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		if (ms->w->found.disc == NULL || !ms->w->found.disc->opened ||
		    ms->known.water.uidvalidity == 0 || mb->stopped)
			continue;
		if (uidset_empty(&ms->w->did.copied) && uidset_empty(&ms->w->did.appended))
			continue;
		water_send(e, mb, side, lowest(ms, 0), ms->known.water.messages,
		    ms->known.water.modseq, ms->known.water.looked);
	}
}

/* ---- the end ---- */

void
finish_achieved(struct mbox *mb, struct row *row, int side, char *out)
{
	struct mside	*ms = &mb->s[side];
	const char	*have = row_has(row, side);
	char		 diff[FLAGS_MAX], one[FLAG_MAX];
	struct store	*st;
	const char	*p;

	strlcpy(out, have, FLAGS_MAX);
	if (row->want[side] == NULL)
		return;
	flags_sub(diff, row->want[side], have);
	for (p = diff; flags_next(&p, one); ) {
		st = store_find(&ms->w->plan.stores, 1, one);
		if (st != NULL && uidset_has(&st->done, row->uid[side]))
			(void)flags_or(out, out, one);
	}
	flags_sub(diff, have, row->want[side]);
	for (p = diff; flags_next(&p, one); ) {
		st = store_find(&ms->w->plan.stores, 0, one);
		if (st != NULL && uidset_has(&st->done, row->uid[side]))
			flags_sub(out, out, one);
	}
}

/*
 * Gone on one side, and by a rule not to be deleted on the other: no row any
 * more, and what is left of it is no new message.
 */
static void
finish_alone(struct engine *e, struct mbox *mb)
{
	struct uidset		 gone[SIDES] = { UIDSET_INIT, UIDSET_INIT };
	struct m_store_drop	 d;
	struct m_store_left	 l;
	struct row		*row;
	size_t			 i;
	int			 side;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		for (side = 0; side < SIDES; side++)
			if (row->gone[side] && uidset_has(
			    &mb->s[OTHER(side)].w->plan.alone,
			    row->uid[OTHER(side)]))
				uidset_add(&gone[side], row->uid[side],
				    row->uid[side]);
	d.mailbox = mb->id;
	for (side = 0; side < SIDES; side++) {
		d.side = side;
		SET_PARTS(&gone[side], i, &d.set)
			ask_note(e, M_STORE_DROP, &d);
		uidset_free(&gone[side]);
	}
	l.mailbox = mb->id;
	l.alone = 1;
	for (side = 0; side < SIDES; side++) {
		l.side = side;
		SET_PARTS(&mb->s[side].w->plan.alone, i, &l.set)
			ask_note(e, M_STORE_LEFT, &l);
	}
	rules_commit(e, mb);
}

/*
 * The baseline: what both sides have.  Where flags go one way the source decides,
 * so that what the target's user takes away stays as it is there; but what the
 * target never had it has not "removed".
 */
static void
both_have(const struct mbox *mb, const struct row *row,
    char has[SIDES][FLAGS_MAX], char *base)
{
	int	 l = mb->s[LOCAL].w->found.allow & PROP_FLAGS;
	int	 r = mb->s[REMOTE].w->found.allow & PROP_FLAGS;
	int	 target = l ? LOCAL : REMOTE;
	char	 was[FLAGS_MAX];

	if (!l != !r) {
		if (flags_or(was, has[target], row->base) == -1)
			strlcpy(was, has[target], sizeof(was));
		flags_and(base, has[OTHER(target)], was);
	} else
		flags_and(base, has[LOCAL], has[REMOTE]);
}

/* Is the change of this flag answered, or refused for good? */
static int
is_settled(struct mside *ms, int add, const char *flag, uint32_t uid)
{
	struct store	*st = store_find(&ms->w->plan.stores, add, flag);

	return st == NULL || !uidset_has(&st->set, uid) ||
	    uidset_has(&st->done, uid) || uidset_has(&st->refused, uid);
}

/* A flag whose change is not answered, or refused for now, stays as it was. */
static void
keep_pending(struct mbox *mb, const struct row *row, char *base)
{
	char		 diff[FLAGS_MAX], one[FLAG_MAX], open[FLAGS_MAX];
	const char	*have, *p;
	int		 add, side;

	for (side = 0; side < SIDES; side++) {
		if (row->want[side] == NULL)
			continue;
		have = row_has(row, side);
		open[0] = '\0';
		for (add = 0; add < 2; add++) {
			if (add)
				flags_sub(diff, row->want[side], have);
			else
				flags_sub(diff, have, row->want[side]);
			for (p = diff; flags_next(&p, one); )
				if (!is_settled(&mb->s[side], add, one,
				    row->uid[side]))
					(void)flags_or(open, open, one);
		}
		flags_sub(base, base, open);
		flags_and(open, open, row->base);
		(void)flags_or(base, base, open);
	}
}

static void
finish_base(struct engine *e, struct mbox *mb, struct row *row)
{
	char			 has[SIDES][FLAGS_MAX], base[FLAGS_MAX];
	struct m_store_base	 b;
	int			 side;

	if (row->gone[LOCAL] || row->gone[REMOTE] ||
	    (row->now[LOCAL] == NULL && row->now[REMOTE] == NULL))
		return;
	for (side = 0; side < SIDES; side++)
		finish_achieved(mb, row, side, has[side]);
	both_have(mb, row, has, base);
	keep_pending(mb, row, base);
	if (flags_eq(base, row->base))
		return;
	b.mailbox = mb->id;
	b.local = row->uid[LOCAL];
	b.flags = base;
	ask_note(e, M_STORE_BASE, &b);
}

static void
finish_rows(struct engine *e, struct mbox *mb)
{
	struct uidset		 both = UIDSET_INIT;
	struct m_store_drop	 d;
	struct row		*row;
	size_t			 i;

	finish_alone(e, mb);
	RB_FOREACH(row, rows_local, &mb->rows_l) {
		if (row->gone[LOCAL] && row->gone[REMOTE] &&
		    !mb->s[LOCAL].w->plan.hold && !mb->s[REMOTE].w->plan.hold)
			uidset_add(&both, row->uid[LOCAL], row->uid[LOCAL]);
		finish_base(e, mb, row);
	}
	d.mailbox = mb->id;
	d.side = LOCAL;
	SET_PARTS(&both, i, &d.set)
		ask_note(e, M_STORE_DROP, &d);
	uidset_free(&both);
}

/* A server has changed its flags as it was asked to. */
static int
was_changed(struct mbox *mb, const struct row *row)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if (uidset_has(&mb->s[side].w->did.flagged, row->uid[side]))
			return 1;
	return 0;
}

void
finish_confirmed(struct engine *e, struct mbox *mb)
{
	struct row	*row;

	if (uidset_empty(&mb->s[LOCAL].w->did.flagged) &&
	    uidset_empty(&mb->s[REMOTE].w->did.flagged))
		return;
	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (was_changed(mb, row))
			finish_base(e, mb, row);
}

/* All that the sessions of this side told is ours. */
static int
all_ours(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct uidset	 rest = UIDSET_INIT;
	struct sess	*s;
	int		 ok = 1;

	TAILQ_FOREACH(s, &e->ask.sesses, entry) {
		if (s->mb != mb || s->side != side || s->kind != SESS_EXEC)
			continue;
		uidset_copy(&rest, &s->bare);
		uidset_sub(&rest, &ms->w->did.touched);
		uidset_sub(&rest, &ms->w->did.appended);
		uidset_sub(&rest, &ms->w->did.copied);
		if (s->foreign || s->failed || !uidset_empty(&rest) ||
		    !uidset_empty(&s->between))
			ok = 0;
		uidset_free(&rest);
	}
	return ok;
}

/*
 * What this side told and the other did not take must be told again: deletions
 * that were held back or not confirmed, flags that are too many to be carried
 * over.
 */
static int
is_undone(const struct mbox *mb, int side)
{
	const struct mside	*os = &mb->s[OTHER(side)];

	return mb->s[side].w->plan.again ||
	    !uidset_empty(&mb->s[side].w->found.cut) ||
	    !uidset_empty(&os->w->plan.after) ||
	    uidset_count(&os->w->plan.doomed) !=
	    uidset_count(&os->w->did.expunged);
}

/* Without HIGHESTMODSEQ: when all flags were listed, if that was all. */
static int64_t
final_looked(const struct mbox *mb, int side)
{
	const struct mside	*ms = &mb->s[side];
	const struct sess	*d = ms->w->found.disc;

	if (d->modseq != 0 || (!d->full && mb->nrows > 0 && d->n > 0) ||
	    ms->w->found.more || ms->w->found.unlisted ||
	    is_undone(mb, side) || d->unsure ||
	    (ms->w->did.exec != NULL && ms->w->did.exec->unsure))
		return 0;
	return time(NULL);
}

static uint64_t
final_modseq(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	int		 undone = is_undone(mb, side);

	if (ms->w->found.more)
		return 0;
	/* A HIGHESTMODSEQ that says nothing of what vanished: a list does. */
	if (undone && ms->w->found.disc->proof != PROOF_TOLD)
		return 0;
	if (ms->w->found.disc->unsure ||
	    (ms->w->did.exec != NULL && ms->w->did.exec->unsure))
		return ms->known.water.modseq;
	if (undone)
		return ms->known.water.modseq;
	/* Changes of others between ours may be told late: with H0 they are. */
	if (ms->w->found.disc->proof != PROOF_TOLD)
		return ms->w->found.disc->modseq;
	if (ms->w->did.exec == NULL || !all_ours(e, mb, side) ||
	    ms->w->did.exec->modseq_end < ms->w->found.disc->modseq)
		return ms->w->found.disc->modseq;
	return ms->w->did.exec->modseq_end;
}

/*
 * How many messages that HIGHESTMODSEQ and UIDNEXT stand for.  Where a server
 * does not name what vanished, EXISTS as it stands now may lack some that nobody
 * has told of: then the number must differ from it, so that the next run counts.
 */
static uint32_t
final_messages(const struct mside *ms)
{
	const struct sess	*d = ms->w->found.disc;

	if (ms->w->did.exec == NULL)
		return d->exists;
	if (d->proof == PROOF_TOLD)
		return ms->w->did.exec->exists_end;
	return (uint32_t)(d->exists + uidset_count(&ms->w->did.appended) -
	    uidset_count(&ms->w->did.expunged));
}

/* Only VANISHED says that a message is gone; an OK does not (Dovecot, M). */
static void
finish_unexpunged(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct uidset	 left = UIDSET_INIT;
	char		 uids[UIDS_TEXT];

	uidset_copy(&left, &ms->w->plan.doomed);
	uidset_sub(&left, &ms->w->did.expunged);
	if (!uidset_empty(&left)) {
		log_warnx("%s: the %s server did not expunge %llu message%s "
		    "that should be gone (%s); the next run tries again",
		    name_show(e, mb->name), side_name[side],
		    (unsigned long long)uidset_count(&left),
		    uidset_count(&left) == 1 ? "" : "s",
		    progress_uids(&left, uids, sizeof(uids)));
		e->partial = 1;
	}
	uidset_free(&left);
}

/* More flags on one message than a server can be told. */
static void
finish_overflow(struct engine *e, struct mbox *mb)
{
	if (mb->overflow == 0)
		return;
	log_warnx("%s: the two sides together have more flags on a message than "
	    "one can have (UID %u on the local server, and perhaps others): "
	    "its flags were left as they are; take some away on one side",
	    name_show(e, mb->name), mb->overflow);
	e->partial = 1;
}

/* The next run lists all its flags, and sees what is left to be done. */
static void
finish_more(struct engine *e, struct mbox *mb, int side)
{
	if (!mb->s[side].w->found.more)
		return;
	log_warnx("%s: more has changed on the %s server than one run takes "
	    "(%u messages): the rest follows in the next run",
	    name_show(e, mb->name), side_name[side], CHANGES_MAX);
	mb->soon = 1;
	e->partial = 1;
}

void
finish_mbox(struct engine *e, struct mbox *mb)
{
	int	 side;

	finish_rows(e, mb);
	for (side = 0; side < SIDES; side++) {
		struct mside	*ms = &mb->s[side];

		water_send(e, mb, side, lowest(ms, 1), final_messages(ms),
		    final_modseq(e, mb, side), final_looked(mb, side));
		finish_unexpunged(e, mb, side);
		finish_more(e, mb, side);
	}
	finish_overflow(e, mb);
	for (side = 0; side < SIDES; side++)
		if (mb->s[side].w->did.lost != NULL)
			log_warnx("%s: these flags are not set on the %s "
			    "server, which does not keep them, or would get "
			    "more than %d new keywords at once: %s",
			    name_show(e, mb->name), side_name[side],
			    FLAGS_NEW_MAX, mb->s[side].w->did.lost);
}
