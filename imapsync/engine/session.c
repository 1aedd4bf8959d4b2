/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * A mailbox while it is changed: STOREs and expunges, and what its server tells
 * meanwhile.
 */
#include "engine.h"

static void
session_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct sess	*s = r->sess, *d = r->mb->s[r->side].w->found.disc;

	if (m->status == ST_OK && s->opened &&
	    s->uidvalidity == d->uidvalidity &&
	    strcmp(s->mailboxid, d->mailboxid) == 0)
		return;
	s->failed = 1;
	if (r->mb->stopped)
		return;
	if (m->status != ST_OK)
		progress_stop(e, r->mb, "it can't be opened again on the %s server:"
		    " %s", side_name[r->side], m->text);
	else
		progress_stop(e, r->mb, "it was replaced on the %s server while "
		    "this run was going on; run again", side_name[r->side]);
}

/* The answers that say: not now. */
static int
not_now(int code)
{
	return code == RC_INUSE || code == RC_UNAVAILABLE ||
	    code == RC_SERVERBUG || code == RC_EXPUNGEISSUED;
}

/* What is answered is known, whatever becomes of the rest. */
static void
store_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct store	*st = r->arg;

	if (m->status == ST_OK) {
		uidset_or(&st->done, &r->set);
		uidset_or(&r->mb->s[r->side].w->did.flagged, &r->set);
		return;
	}
	if (m->status == ST_UNSENT)
		return;
	if (!st->failed && !r->mb->stopped)
		log_warnx("%s: the %s server does not %s the flag %s: %s",
		    name_show(e, r->mb->name), side_name[r->side],
		    st->add ? "set" : "clear", st->flag, m->text);
	st->failed = 1;
	if (!not_now(m->code)) {
		uidset_or(&st->refused, &r->set);
		return;
	}
	/* What the other side told must be told again. */
	r->mb->s[OTHER(r->side)].w->plan.again = 1;
	e->partial = 1;
}

/* What is to go, and is not known to be gone. */
static void
expunge_set(const struct side_work *w, struct uidset *set)
{
	uidset_copy(set, &w->plan.doomed);
	uidset_sub(set, &w->plan.moving);
	uidset_sub(set, &w->did.expunged);
}

/* Is there one that should be gone, and is not? */
static int
expunge_left(const struct mbox *mb, int side)
{
	const struct side_work	*w = mb->s[side].w;
	struct uidset		 left = UIDSET_INIT;
	int			 any;

	expunge_set(w, &left);
	any = !uidset_empty(&left);
	uidset_free(&left);
	return any;
}

static void
expunge_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct side_did	*d = &r->mb->s[r->side].w->did;

	if (r->mb->stopped)
		return;
	/*
	 * It lists UIDPLUS, and does not do it: now that is known.  Or it says OK,
	 * and has not expunged what was marked in the same packet.
	 */
	if (!d->asked_twice && (m->status == ST_OK ?
	    expunge_left(r->mb, r->side) : m->code == RC_CANNOT)) {
		d->asked_twice = 1;
		d->ops_sent = 0;
		return;
	}
	if (m->status == ST_OK)
		return;
	log_warnx("%s: the %s server does not expunge: %s",
	    name_show(e, r->mb->name), side_name[r->side], m->text);
	e->partial = 1;
}

/*
 * A message that stays on that side: what expunging shows is believed if it shows
 * this one as well.
 */
static uint32_t
session_survivor(struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct refusal	*f;
	struct row	*row;
	uint32_t	 u = 0;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		if (!row->gone[LOCAL] && !row->gone[REMOTE] &&
		    row->uid[side] > u)
			u = row->uid[side];
	if (u != 0)
		return u;
	if ((u = uidset_max(&ms->w->found.new)) != 0 ||
	    (u = uidset_max(&ms->w->did.appended)) != 0)
		return u;
	f = RB_MAX(refusals, &ms->known.refusals);
	return f != NULL ? f->uid : uidset_max(&ms->w->left);
}

/* Those that are not sent yet. */
static void
stores_send(struct engine *e, struct sess *s)
{
	static const struct answers	 to = { .done = store_done };
	struct side_work		*w = s->mb->s[s->side].w;
	struct uidset			 rest = UIDSET_INIT;
	struct store			*st;

	TAILQ_FOREACH(st, &w->plan.stores.list, entry) {
		uidset_copy(&rest, &st->set);
		uidset_sub(&rest, &st->sent);
		ask_store(e, s, st, &rest, &to);
		uidset_or(&st->sent, &rest);
		uidset_or(&w->did.touched, &rest);
	}
	uidset_free(&rest);
}

/* Flags and expunges go with the first session of the mailbox on a side. */
static void
session_ops(struct engine *e, struct mbox *mb, int side, struct sess *s)
{
	static const struct answers	 expunged = { .done = expunge_done };
	struct mside			*ms = &mb->s[side];
	struct uidset			 left = UIDSET_INIT;

	stores_send(e, s);
	if (ms->w->did.ops_sent)
		return;
	ms->w->did.ops_sent = 1;
	expunge_set(ms->w, &left);
	ask_expunge(e, s, &left, session_survivor(mb, side), &expunged);
	uidset_free(&left);
}

int
session_has_stores(const struct mbox *mb, int side)
{
	const struct store	*st;

	TAILQ_FOREACH(st, &mb->s[side].w->plan.stores.list, entry)
		if (uidset_count(&st->sent) != uidset_count(&st->set))
			return 1;
	return 0;
}

int
session_has_ops(const struct mbox *mb, int side)
{
	const struct mside	*ms = &mb->s[side];

	return ms->w->did.reopen || session_has_stores(mb, side) ||
	    (!ms->w->did.ops_sent && !uidset_empty(&ms->w->plan.doomed));
}

static void
session_vanished(struct engine *e, struct sess *s,
    const struct m_engine_vanished *m)
{
	struct mside		*ms = &s->mb->s[s->side];
	struct uidset		 ours = UIDSET_INIT, rest = UIDSET_INIT;
	struct m_store_drop	 d;
	size_t			 i;

	uidset_copy(&ours, &m->set);
	uidset_and(&ours, &ms->w->plan.doomed);
	uidset_copy(&rest, &m->set);
	uidset_sub(&rest, &ms->w->plan.doomed);
	if (!uidset_empty(&rest))
		s->foreign = ms->w->did.others = 1;
	uidset_sub(&ours, &ms->w->did.expunged);
	d.mailbox = s->mb->id;
	d.side = s->side;
	SET_PARTS(&ours, i, &d.set)
		ask_note(e, M_STORE_DROP, &d);
	ms->w->did.nexpunged += uidset_count(&ours);
	uidset_or(&ms->w->did.expunged, &ours);
	uidset_free(&ours);
	uidset_free(&rest);
}

/*
 * Are these what a part of our STOREs makes of what it had?  Cyrus tells that of
 * each of them, Dovecot what all have made.
 */
static int
is_between(const struct row *row, int side, const char *flags)
{
	const char	*had = row->now[side] != NULL ? row->now[side] :
			    row->base;
	char		 rest[FLAGS_MAX];

	flags_and(rest, had, row->want[side]);
	flags_sub(rest, rest, flags);
	if (rest[0] != '\0')
		return 0;
	flags_sub(rest, flags, had);
	flags_sub(rest, rest, row->want[side]);
	return rest[0] == '\0';
}

static void
session_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct mside	*ms = &s->mb->s[s->side];
	struct store	*st;
	struct row	*row;

	(void)e;
	if (m->modseq != 0 && m->modseq <= ms->w->found.disc->modseq)
		return;
	if (uidset_has(&ms->w->plan.doomed, m->uid))
		return;
	if (!m->has_flags) {
		if (s->bare.n < UNASKED_MAX)
			uidset_add(&s->bare, m->uid, m->uid);
		else
			s->foreign = 1;
		return;
	}
	st = store_find(&ms->w->did.sent, 1, m->flags);
	if (st != NULL && uidset_has(&st->set, m->uid))
		return;
	row = row_find(s->mb, s->side, m->uid);
	if (row != NULL && row->want[s->side] == NULL)
		row = NULL;
	if (row != NULL && flags_eq(row->want[s->side], m->flags))
		uidset_del(&s->between, m->uid, m->uid);
	/* Or somebody has undone a part of it: the last word of each decides. */
	else if (row != NULL && is_between(row, s->side, m->flags) &&
	    s->between.n < UNASKED_MAX)
		uidset_add(&s->between, m->uid, m->uid);
	else
		s->foreign = 1;
}

/*
 * n of an executing session: changes to what came since, ours included, are to
 * be told as well.
 */
static uint32_t
session_n(const struct mside *ms)
{
	uint32_t	 n = ms->known.n;

	if (n == 0)
		return 0;
	if (ms->w->found.disc->uidnext != 0 && ms->w->found.disc->uidnext - 1 > n)
		n = ms->w->found.disc->uidnext - 1;
	if (!uidset_empty(&ms->w->did.appended) &&
	    uidset_max(&ms->w->did.appended) > n)
		n = uidset_max(&ms->w->did.appended);
	return n;
}

/*
 * Discovery's session will do where nothing of what it knew has changed: D7 wants a
 * SELECT of its own, and what was told and is left undone must be told again, or
 * the HIGHESTMODSEQ at the end would stand for it.
 */
static int
exec_keeps(const struct mside *ms)
{
	const struct sess	*d = ms->w->found.disc;

	return uidset_empty(&ms->w->plan.doomed) && d->reached == 0 &&
	    uidset_empty(&d->earlier) && uidset_empty(&d->vanished);
}

static struct sess *
exec_open(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = {
		.done = session_opened, .vanished = session_vanished,
		.flags = session_flags, .spoilt = look_spoilt
	};
	struct mside			*ms = &mb->s[side];
	int				 what = rules_open(e, side);

	if (exec_keeps(ms))
		what |= OPEN_KEEP;
	/* Where what vanished is not told, what is told proves nothing. */
	ms->w->did.exec = ask_open(e, mb, side, SESS_EXEC, what,
	    session_n(ms), ms->w->found.disc->proof == PROOF_TOLD ?
	    ms->w->found.disc->modseq : 0, &to);
	ms->w->did.reopen = 0;
	return ms->w->did.exec;
}

struct sess *
session_open(struct engine *e, struct mbox *mb, int side)
{
	struct sess	*s = exec_open(e, mb, side);

	session_ops(e, mb, side, s);
	return s;
}

void
session_stores(struct engine *e, struct mbox *mb, int side)
{
	stores_send(e, exec_open(e, mb, side));
}
