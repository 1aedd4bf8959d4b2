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
#include "engine.h"

#define MARK_OLD	600	/* seconds: no server executes for so long */
#define QUIET_MS	2000	/* UIDNEXT has to stand still for so long */
#define QUIET_SLOW_MS	5000	/* ... behind a tunnel or a proxy */
#define WAIT_MAX_MS	60000	/* a busy mailbox never stands still */

/* ---- waiting ---- */

static int
is_marked(const struct mbox *mb, int target)
{
	return mb->mark[target].set && !mb->skip && !mb->stopped;
}

/* There are recent marks; *slow: on a server that is far away. */
static int
marks_recent(struct engine *e, int *slow)
{
	struct mbox	*mb;
	int64_t		 now = time(NULL);
	int		 n = 0, t;

	*slow = 0;
	FOREACH_SIDE(mb, t, &e->list) {
		if (!is_marked(mb, t) || now - mb->mark[t].time > MARK_OLD)
			continue;
		n++;
		*slow |= e->want.cfg.slow[t];
	}
	return n;
}

static void
got_uidnext(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	(void)e;
	r->mb->s[r->side].told.has_status = m->has_status;
	r->mb->s[r->side].told.uidnext = m->uidnext;
}

/* One STATUS for each marked mailbox; returns how many have moved, or -1. */
static int
marks_look(struct engine *e)
{
	static const struct answers	 to = { .mailbox = got_uidnext };
	struct mbox			*mb;
	struct mark			*k;
	int				 moved = 0, t;

	FOREACH_SIDE(mb, t, &e->list)
		if (is_marked(mb, t))
			ask_status(e, mb, t, &to);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_SIDE(mb, t, &e->list) {
		k = &mb->mark[t];
		if (!is_marked(mb, t))
			continue;
		moved |= k->last != mb->s[t].told.uidnext;
		k->last = mb->s[t].told.uidnext;
	}
	return moved;
}

int
recover_wait(struct engine *e)
{
	int64_t	 quiet, since, first;
	int	 moved, slow;

	if (marks_recent(e, &slow) == 0)
		return 0;
	quiet = slow ? QUIET_SLOW_MS : QUIET_MS;
	log_debug("a run was cut short while copying: waiting until the "
	    "server has stood still for %d s", (int)(quiet / 1000));
	first = since = end_now();
	for (;;) {
		if ((moved = marks_look(e)) == -1)
			return -1;
		if (moved)
			since = end_now();
		/* Others' mail may come without an end. */
		if (end_now() - since >= quiet ||
		    end_now() - first >= WAIT_MAX_MS)
			return 0;
		if (loop_wait(e, 250) == -1)
			return -1;
	}
}

/* ---- pairing ---- */

/*
 * A message under whose APPEND the connection ended twice, also when it was sent
 * alone: refused, so that the rest can go on.
 */
static void
recover_refuse(struct engine *e, struct mbox *mb, int target, uint32_t uid)
{
	refusal_set(e, mb, OTHER(target), uid, RC_CLOSED_CONNECTION, 0,
	    e->srv[target].ready.appendlimit, "the server closed the connection");
	log_warnx("%s: message UID %u of the %s server is refused by the %s "
	    "server, which closed the connection each time it was sent; it is "
	    "offered again later, at once with --retry",
	    name_show(e, mb->name), uid, side_name[OTHER(target)],
	    side_name[target]);
	uidset_del(&mb->s[OTHER(target)].found.new, uid, uid);
}

/* Refused messages that were on their way again: they stay refused, or not. */
static void
recover_offers(struct engine *e, struct mbox *mb, int src)
{
	struct refusal	*f, *next;

	for (f = TAILQ_FIRST(&mb->s[src].known.refusals); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (!uidset_has(&mb->s[src].found.cand, f->uid))
			continue;
		if (uidset_has(&mb->s[src].found.unpaired, f->uid)) {
			uidset_del(&mb->s[src].found.unpaired, f->uid, f->uid);
			continue;
		}
		uidset_del(&mb->s[src].told.offer, f->uid, f->uid);
		refusal_end(e, mb, src, f->uid);
	}
}

static void
recovered(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct uidset	 first = UIDSET_INIT;
	struct mbox	*mb = r->mb;
	int		 t = mb->pairing.target, side;

	recover_offers(e, mb, OTHER(t));
	for (side = 0; side < SIDES; side++) {
		struct side_found	*f = &mb->s[side].found;

		uidset_sub(&f->new, &f->cand);
		uidset_or(&f->new, &f->unpaired);
		uidset_free(&f->cand);
		uidset_free(&f->unpaired);
	}
	uidset_copy(&first, &mb->mark[t].uids);
	uidset_and(&first, &mb->s[OTHER(t)].found.new);
	if (mb->mark[t].tries >= 2 && !uidset_empty(&first))
		recover_refuse(e, mb, t, uidset_min(&first));
	uidset_free(&first);
	finish_paired(e, mb);
	mb->npaired += m->count;
	log_debug("%s: recovered: %u messages had been copied to %s",
	    name_show(e, mb->name), m->count, side_name[t]);
}

/* What may be paired: 1 if there is something to be asked. */
static int
candidates(struct mbox *mb, int t)
{
	struct side_found	*src = &mb->s[OTHER(t)].found;
	struct side_found	*dst = &mb->s[t].found;
	struct mark		*k = &mb->mark[t];
	struct refusal		*f;

	/* Without a row: new, or refused and offered again. */
	uidset_copy(&src->cand, &src->new);
	TAILQ_FOREACH(f, &mb->s[OTHER(t)].known.refusals, entry)
		uidset_add(&src->cand, f->uid, f->uid);
	uidset_and(&src->cand, &k->uids);
	uidset_copy(&dst->cand, &dst->new);
	if (k->uidnext > 1)
		uidset_del(&dst->cand, 1, k->uidnext - 1);
	if (!uidset_empty(&src->cand) &&
	    (!uidset_empty(&dst->cand) || k->tries >= 2))
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
			mb->pairing.target = t;
			pair_ask(e, mb, PAIR_RECOVER,
			    &mb->s[LOCAL].found.cand,
			    &mb->s[REMOTE].found.cand, &to);
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

	return !uidset_empty(&src->found.new) ||
	    !uidset_empty(&src->told.offer);
}

static void
mark_send(struct engine *e, struct mbox *mb, int target)
{
	struct uidset		 set = UIDSET_INIT;
	struct sess		*d = mb->s[target].found.disc;
	struct m_store_mark	 m;
	size_t			 i;

	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.target = target;
	m.first = 1;
	m.uidvalidity = d->uidvalidity;
	m.uidnext = d->uidnext != 0 ? d->uidnext : mb->s[target].known.n + 1;
	m.mailboxid = d->mailboxid;
	uidset_or(&set, &mb->s[OTHER(target)].found.new);
	uidset_or(&set, &mb->s[OTHER(target)].told.offer);
	SET_PARTS(&set, i, &m.set) {
		ask_note(e, M_STORE_MARK, &m);
		m.first = 0;
	}
	uidset_free(&set);
	mb->mark[target].set = 1;
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

	TAILQ_FOREACH(f, &mb->s[side].known.refusals, entry)
		if (f->code == RC_CLOSED_CONNECTION &&
		    uidset_has(&mb->s[side].told.offer, f->uid))
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

void
recover_done(struct engine *e, struct mbox *mb)
{
	int	 t;

	for (t = 0; t < SIDES; t++)
		if (mb->mark[t].set && !mb->nouid)
			unmark(e, mb, t);
}

/*
 * The target's connection ended under an APPEND: which mailbox it was counts,
 * and only if no message of it came through.
 */
void
recover_lost(struct engine *e, int side)
{
	struct m_store_markfail	 m;
	struct mbox		*mb, *first = NULL;

	FOREACH_MBOX(mb, &e->list) {
		finish_checkpoint(e, mb);
		if (mb->mark[side].active != 0 && (first == NULL ||
		    mb->mark[side].active < first->mark[side].active))
			first = mb;
	}
	if (first == NULL || first->mark[side].gained)
		return;
	m.mailbox = first->id;
	m.target = side;
	ask_note(e, M_STORE_MARKFAIL, &m);
}
