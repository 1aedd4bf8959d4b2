/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Marks (design.md section 6): "these UIDs are being copied", on disk before the
 * first APPEND.  A run that finds some waits until the server that a dead run
 * left at work stands still, and then pairs what it has got.
 */
#include <stdio.h>

#include "engine.h"

#define QUIET_MS	2000	/* UIDNEXT has to stand still for so long */
#define QUIET_SLOW_MS	5000	/* ... behind a tunnel or a proxy */
#define WAIT_MAX_MS	10000	/* a busy mailbox never stands still */
#define LOOK_MS		250	/* from look to look */

/* ---- waiting ---- */

static int
is_marked(const struct mbox *mb, int target)
{
	return mb->mark[target].set && !mb->skip && !mb->stopped;
}

/* Under one of its messages a connection ended when it was asked about. */
static int
has_meta_suspects(struct mbox *mb)
{
	struct uidset	 set = UIDSET_INIT;
	int		 any, side;

	for (side = 0; side < SIDES; side++)
		pair_suspects(mb, side, &set);
	any = !uidset_empty(&set);
	uidset_free(&set);
	return any;
}

void
recover_hold(struct mbox *mb)
{
	int	 t;

	for (t = 0; t < SIDES; t++)
		if (is_marked(mb, t) && mark_recent(&mb->mark[t]))
			mb->later = 1;
	/* What may end the connection comes when the others are done. */
	if (!mb->skip && !mb->stopped &&
	    (mb->strikes.count > 0 || has_meta_suspects(mb)))
		mb->later = 1;
}

static void
got_uidnext(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	(void)e;
	r->mb->s[r->side].told.has_status = m->has_status;
	r->mb->s[r->side].told.uidnext = m->uidnext;
}

/* It has moved since it was last looked at. */
static int
mark_moved(struct mbox *mb, int t)
{
	struct mark	*k = &mb->mark[t];
	int		 moved = k->last != mb->s[t].told.uidnext;

	k->last = mb->s[t].told.uidnext;
	return moved;
}

/* Ask for UIDNEXT of what still waits; those that stand still go on. */
static int
marks_look(struct engine *e)
{
	static const struct answers	 to = { .mailbox = got_uidnext };
	struct mbox			*mb;
	struct mark			*k;
	int64_t				 now;
	int				 waiting = 0, t;

	FOREACH_SIDE(mb, t, &e->list)
		if (mb->later && is_marked(mb, t))
			ask_status(e, mb, t, &to);
	if (loop_wait(e, -1) == -1)
		return -1;
	now = end_now();
	FOREACH_MBOX(mb, &e->list) {
		int	 quiet = 1;

		if (!mb->later)
			continue;
		for (t = 0; t < SIDES; t++) {
			k = &mb->mark[t];
			if (!is_marked(mb, t))
				continue;
			if (mark_moved(mb, t) || k->since == 0)
				k->since = now;
			if (now - k->since < (e->want.cfg.slow[t] ?
			    QUIET_SLOW_MS : QUIET_MS))
				quiet = 0;
		}
		if (quiet)
			mb->later = 0;
		else
			waiting++;
	}
	return waiting;
}

static int
count_later(struct engine *e)
{
	struct mbox	*mb;
	int		 n = 0;

	FOREACH_MBOX(mb, &e->list)
		n += mb->later;
	return n;
}

static void
leave_waiting(struct engine *e)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list)
		if (mb->later) {
			log_warnx("%s: a run was cut short while it was copying, "
			    "and the %s server is still at work: it is left "
			    "for the next run", name_show(e, mb->name),
			    side_name[is_marked(mb, LOCAL) ? LOCAL : REMOTE]);
			mb->soon = 1;
			e->partial = 1;
		}
}

/* Whom is waited for; one mailbox stands for all. */
static void
wait_name(struct engine *e)
{
	static char	 text[NAME_MAX_LEN * 4 + 100];
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list)
		if (mb->later && (is_marked(mb, LOCAL) ||
		    is_marked(mb, REMOTE))) {
			snprintf(text, sizeof(text), "the %s server to end what "
			    "an interrupted run has sent to it for %s",
			    side_name[is_marked(mb, LOCAL) ? LOCAL : REMOTE],
			    name_show(e, mb->name));
			e->waiting = text;
			return;
		}
}

int
recover_wait(struct engine *e)
{
	int64_t	 until = end_now() + WAIT_MAX_MS;
	int	 all = count_later(e), n = all;

	if (all == 0)
		return 0;
	log_debug("a run was cut short while copying: waiting until the server "
	    "stands still");
	wait_name(e);
	while (n > 0 && end_now() < until) {
		if ((n = marks_look(e)) == -1 ||
		    (n > 0 && loop_wait(e, LOOK_MS) == -1))
			return -1;
	}
	e->waiting = NULL;
	leave_waiting(e);
	return all - n;
}

/* ---- pairing ---- */

static void
recovered(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;
	int		 t = mb->w->pairing.target, side;

	for (side = 0; side < SIDES; side++) {
		struct side_found	*f = &mb->s[side].w->found;

		pair_offers(e, mb, side, &f->cand);
		uidset_sub(&f->new, &f->cand);
		uidset_or(&f->new, &f->unpaired);
		uidset_free(&f->cand);
		uidset_free(&f->unpaired);
	}
	finish_paired(e, mb);
	mb->npaired += m->count;
	log_debug("%s: recovered: %u messages had been copied to %s",
	    name_show(e, mb->name), m->count, side_name[t]);
}

/* What may be paired: 1 if there is something to be asked. */
static int
candidates(struct mbox *mb, int t)
{
	struct side_found	*src = &mb->s[OTHER(t)].w->found;
	struct side_found	*dst = &mb->s[t].w->found;
	struct mark		*k = &mb->mark[t];
	struct refusal		*f;

	/*
	 * Without a row: new, or refused and offered again; but what the source
	 * can't be asked for was not sent, and what can't be asked about is
	 * asked about only if its time has come.
	 */
	uidset_copy(&src->cand, &src->new);
	RB_FOREACH(f, refusals, &mb->s[OTHER(t)].known.refusals)
		if (f->code != RC_SOURCE_CLOSED && f->code != RC_META_CLOSED)
			uidset_add(&src->cand, f->uid, f->uid);
	pair_suspects(mb, OTHER(t), &src->cand);
	uidset_and(&src->cand, &k->uids);
	uidset_copy(&dst->cand, &dst->new);
	pair_suspects(mb, t, &dst->cand);
	if (k->uidnext > 1)
		uidset_del(&dst->cand, 1, k->uidnext - 1);
	if (!uidset_empty(&src->cand) && !uidset_empty(&dst->cand))
		return 1;
	uidset_free(&src->cand);
	uidset_free(&dst->cand);
	return 0;
}

int
recover_run(struct engine *e)
{
	static const struct answers	 to = {
		.paired = pair_made, .uids = pair_left, .done = recovered
	};
	struct mbox			*mb;
	int				 t;

	for (t = 0; t < SIDES; t++) {
		FOREACH_USABLE(mb, &e->list) {
			if (!mb->mark[t].set || mb->adopt || mb->repair ||
			    !candidates(mb, t))
				continue;
			mb->w->pairing.target = t;
			pair_ask(e, mb, mb->s[t].w->found.disc->proof ==
			    PROOF_TOLD ? PAIR_RECOVER : PAIR_LEARN,
			    &mb->s[LOCAL].w->found.cand,
			    &mb->s[REMOTE].w->found.cand, &to);
		}
		if (loop_wait(e, -1) == -1)
			return -1;
	}
	return 0;
}

/* ---- marks: made, and given up ---- */

static int
wants_copy(const struct mbox *mb, int target)
{
	const struct mside	*src = &mb->s[OTHER(target)];

	return !uidset_empty(&src->w->found.new) ||
	    !uidset_empty(&src->w->offer) ||
	    !uidset_empty(&src->w->suspect);
}

uint32_t
recover_from(const struct mside *dst)
{
	const struct sess	*d = dst->w->found.disc;

	return d->uidnext != 0 ? d->uidnext : dst->known.n + 1;
}

static void
mark_send(struct engine *e, struct mbox *mb, int target)
{
	struct uidset		 set = UIDSET_INIT;
	struct sess		*d = mb->s[target].w->found.disc;
	struct m_store_mark	 m;
	size_t			 i;

	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.target = target;
	m.first = 1;
	m.uidvalidity = d->uidvalidity;
	m.uidnext = recover_from(&mb->s[target]);
	m.mailboxid = d->mailboxid;
	uidset_or(&set, &mb->s[OTHER(target)].w->found.new);
	uidset_or(&set, &mb->s[OTHER(target)].w->offer);
	uidset_or(&set, &mb->s[OTHER(target)].w->suspect);
	SET_PARTS(&set, i, &m.set) {
		ask_note(e, M_STORE_MARK, &m);
		m.first = 0;
	}
	uidset_free(&set);
	mb->mark[target].set = mb->mark[target].ours = 1;
}

static void
unmark(struct engine *e, struct mbox *mb, int target)
{
	struct m_store_unmark	 m;

	m.mailbox = mb->id;
	m.target = target;
	ask_note(e, M_STORE_UNMARK, &m);
	mb->mark[target].set = 0;
}

/*
 * An offer under which the connection may end is counted ahead, or it would be
 * made, and end the connection, in every run.
 */
static void
offers_count(struct engine *e, struct mbox *mb, int side)
{
	struct refusal	*f;

	RB_FOREACH(f, refusals, &mb->s[side].known.refusals)
		if (uidset_has(&mb->s[side].w->suspect, f->uid))
			(void)refusal_set(e, mb, side, f->uid, f->code,
			    f->size, f->limit, f->text);
}

/* No octet of an APPEND before this is on disk. */
int
recover_commit(struct engine *e)
{
	struct mbox	*mb;
	int		 t;

	FOREACH_USABLE(mb, &e->list) {
		finish_first(e, mb);
		rules_commit(e, mb);
		for (t = 0; t < SIDES; t++) {
			if (wants_copy(mb, t)) {
				offers_count(e, mb, OTHER(t));
				mark_send(e, mb, t);
			} else if (mb->mark[t].set)
				unmark(e, mb, t);
		}
	}
	return e->ask.uncommitted > 0 ? loop_commit(e) : 0;
}

/*
 * Every command of its set was answered: what was left uncopied is simply still
 * new.  A mark of an earlier run goes only with its recovery.
 */
void
recover_done(struct engine *e, struct mbox *mb)
{
	struct mark	*k;
	int		 t;

	for (t = 0; t < SIDES; t++) {
		k = &mb->mark[t];
		if (k->set && k->ours && !k->keep && k->active == 0 &&
		    uidset_empty(&mb->s[OTHER(t)].w->did.unlearnt))
			unmark(e, mb, t);
	}
}

/* ---- a connection that ends ---- */

/*
 * A message under which a connection ended comes last and alone in the next
 * run; if that ends as well it is refused for a while, so that the rest goes on.
 */
static void
strike(struct engine *e, struct mbox *mb, int side, uint32_t uid, int code,
    int twice)
{
	struct refusal	*f = refusal_find(&mb->s[side], uid);
	const char	*who = side_name[code == RC_CLOSED_CONNECTION ?
			    OTHER(side) : side];
	const char	*text = "the server closed the connection";

	/* An offer was counted when it was made; a question was not. */
	if (f == NULL || code == RC_META_CLOSED ||
	    !uidset_has(&mb->s[side].w->suspect, uid)) {
		finish_water(e, mb);
		(void)refusal_set(e, mb, side, uid, code, 0,
		    e->srv[OTHER(side)].ready.appendlimit, text);
		if (twice)
			(void)refusal_set(e, mb, side, uid, code, 0,
			    e->srv[OTHER(side)].ready.appendlimit, text);
		f = refusal_find(&mb->s[side], uid);
	}
	if (f->attempts > 1)
		log_warnx("%s: the connection to the %s server ended again "
		    "under message UID %u of the %s server: it is left out "
		    "from now on, and offered again later, at once with "
		    "--retry", name_show(e, mb->name), who, uid,
		    side_name[side]);
	else
		log_warnx("%s: the connection to the %s server ended under "
		    "message UID %u of the %s server: the next run copies "
		    "everything else first", name_show(e, mb->name), who, uid,
		    side_name[side]);
}

/*
 * The target's connection ended while messages were sent to it.  Which mailbox it
 * was counts, and only if none of them came through; which message it was the
 * next run finds out, one by one.
 */
static void
mark_failed(struct engine *e, int target)
{
	struct m_store_markfail	 m;
	struct mbox		*mb, *first = NULL;

	FOREACH_MBOX(mb, &e->list)
		if (mb->mark[target].active != 0 && (first == NULL ||
		    mb->mark[target].active < first->mark[target].active))
			first = mb;
	if (first == NULL || first->mark[target].gained)
		return;
	m.mailbox = first->id;
	m.target = target;
	ask_note(e, M_STORE_MARKFAIL, &m);
}

/* The same of a mailbox, if what it was asked is not about a copy. */
static void
strike_mbox(struct engine *e, struct mbox *mb, int side, uint32_t uid)
{
	char	 at[40] = "";

	/* It was the first command of a copy: see mark_failed(). */
	if (mb->mark[side].active != 0) {
		mark_failed(e, side);
		return;
	}
	refusal_lost(e, mb, side, uid);
	/* It was alone, so it is known to be this one. */
	if (e->careful && mb->strikes.count == 1)
		refusal_lost(e, mb, side, uid);
	if (uid != 0)
		snprintf(at, sizeof(at), " when it was asked about UID %u",
		    uid);
	log_warnx("%s: the connection to the %s server ended%s under this "
	    "mailbox%s: %s", name_show(e, mb->name), side_name[side],
	    mb->strikes.count > 1 ? " again" : "", at, mb->strikes.count == 1 ?
	    "the next run does everything else first" : uid != 0 ?
	    "nothing is deleted in it from now on; it is tried again later, at "
	    "once with --retry" : "it is left alone from now on, and tried "
	    "again later, at once with --retry");
}

void
recover_lost(struct engine *e)
{
	struct mbox	*mb;
	int		 target = OTHER(e->due.side);

	FOREACH_MBOX(mb, &e->list)
		finish_checkpoint(e, mb);
	if ((mb = e->due.mb) == NULL) {
		for (target = 0; target < SIDES; target++)
			if (e->end.lost[target])
				mark_failed(e, target);
		return;
	}
	switch (e->due.kind) {
	case DUE_SOURCE:
		strike(e, mb, e->due.side, e->due.uid, RC_SOURCE_CLOSED, 0);
		break;
	case DUE_META:
		strike(e, mb, e->due.side, e->due.uid, RC_META_CLOSED, 0);
		break;
	case DUE_MBOX:
		strike_mbox(e, mb, e->due.side, e->due.uid);
		break;
	case DUE_TARGET:
		strike(e, mb, e->due.side, e->due.uid, RC_CLOSED_CONNECTION,
		    mb->mark[target].tries > 0);
		break;
	case DUE_BATCH:
		mark_failed(e, target);
		break;
	}
}
