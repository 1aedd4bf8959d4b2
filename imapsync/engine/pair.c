/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What both sides already have is paired by content: META of both goes to the
 * store, which pairs it.  Here adoption (no rows yet, a lost state, --adopt);
 * recover.c and repair.c do the same for their own reasons.
 */
#include "engine.h"

#define SILENT_MAX	5	/* of so few messages a server may be silent */

/* ---- one account on both sides? ---- */

/* A sum over messages that is the same if they are (splitmix64). */
static uint64_t
mix(uint64_t h, uint64_t n)
{
	h += n + 0x9e3779b97f4a7c15ULL;
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
	return h ^ h >> 31;
}

static void
same_add(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct same	*s = &e->same[r->side];

	s->n++;
	s->sum += mix(mix(mix(r->mb->id, m->uid), m->key), (uint64_t)m->date);
}

/*
 * Is a message recent in both sessions?  In one account only the first session
 * that selects a mailbox finds it so (RFC 3501 section 2.3.2).
 */
static int
is_recent_twice(const struct mbox *mb)
{
	const struct sess	*l = mb->s[LOCAL].w->found.disc;
	const struct sess	*r = mb->s[REMOTE].w->found.disc;

	/* EXAMINE leaves it as it is. */
	return l != NULL && r != NULL && !l->readonly && !r->readonly &&
	    (uint64_t)l->recent + r->recent > l->exists;
}

/*
 * Every run would double an account that stands on both sides.  Two servers that
 * were filled in one second agree in all numbers, so all messages must agree as
 * well, at the same UIDs; and nothing may show that there are two of them.
 */
static void
same_check(struct engine *e)
{
	struct mbox	*mb;
	uint64_t	 n = 0;

	if (e->list.had_rows || e->want.cfg.two_accounts)
		return;
	FOREACH_MBOX(mb, &e->list) {
		const struct side_told	*l = &mb->s[LOCAL].told;
		const struct side_told	*r = &mb->s[REMOTE].told;

		if (mb->skip)
			continue;
		if (!l->has_status || !r->has_status ||
		    l->uidvalidity != r->uidvalidity ||
		    l->uidnext != r->uidnext ||
		    l->messages != r->messages ||
		    (l->modseq != r->modseq && has_modseq(e, LOCAL) &&
		    has_modseq(e, REMOTE)) || is_recent_twice(mb))
			return;
		n += l->messages;
	}
	if (n == 0 || e->same[LOCAL].n != n || e->same[REMOTE].n != n ||
	    e->same[LOCAL].sum != e->same[REMOTE].sum)
		return;
	fatalx("both sides show the same account: all %llu messages agree in "
	    "UID, content and date, so that a run would double each of them; "
	    "nothing was done.  If the one server is a copy of the other's "
	    "files, run once with --two-accounts", (unsigned long long)n);
}

/* ---- META of both sides, to the store ---- */

/* Messages that the server lists and tells nothing of. */
static void
silent(struct engine *e, struct mbox *mb, int side)
{
	struct pairing	*p = &mb->w->pairing;
	struct uidset	*rest = &p->asked[side];
	uint64_t	 n;
	uint32_t	 u;

	/* Asked for without an end: what is not told is not there. */
	if (uidset_has(rest, UINT32_MAX)) {
		uidset_free(rest);
		return;
	}
	if (p->look[side] != NULL) {
		uidset_sub(rest, &p->look[side]->vanished);
		uidset_sub(rest, &p->look[side]->earlier);
	}
	if ((n = uidset_count(rest)) == 0 || mb->stopped)
		return;
	if (p->mode != PAIR_ADOPT || (n > SILENT_MAX && n > p->n[side] / 10)) {
		progress_stop(e, mb, "the %s server tells nothing of %llu "
		    "messages that it lists (the first is UID %u): without "
		    "that it can't be told what the other side has of them; "
		    "the next run tries again", side_name[side],
		    (unsigned long long)n, uidset_min(rest));
		return;
	}
	uidset_sub(&mb->s[side].w->found.new, rest);
	while ((u = uidset_min(rest)) != 0) {
		refusal_withheld(e, mb, side, u, "it tells nothing of it");
		uidset_del(rest, u, u);
	}
	refusal_unnamed(e, mb, side);
}

static void
pair_send(struct engine *e, struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		silent(e, mb, side);
	if (!mb->stopped)
		ask_pair(e, mb, mb->w->pairing.mode, mb->w->pairing.to);
}

static void
got_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct pairing		*p = &r->mb->w->pairing;
	struct m_store_seen	 seen;

	if (p->mode == PAIR_LEARN) {
		/* Not without an end, whatever the server says. */
		if (uidset_has(&p->asked[r->side], UINT32_MAX) &&
		    uidset_count(&p->shown[r->side]) >= UNASKED_MAX +
		    p->n[OTHER(r->side)])
			return;
		uidset_add(&p->shown[r->side], m->uid, m->uid);
	}
	memset(&seen, 0, sizeof(seen));
	seen.mailbox = r->mb->id;
	seen.side = r->side;
	seen.uid = m->uid;
	seen.size = m->size;
	seen.key = m->key;
	seen.date = m->date;
	seen.msgid = m->msgid;
	seen.flags = m->flags;
	ask_seen(e, &seen);
	uidset_del(&p->asked[r->side], m->uid, m->uid);
	same_add(e, r, m);
}

/* What has a row is no candidate for copying. */
static void
got_meta_due(struct engine *e, struct req *r, const struct m_engine_due *m)
{
	ask_due(e, r->mb, r->side, m->uid, r->mb->repair ||
	    uidset_has(&r->mb->w->pairing.asked[r->side], UINT32_MAX) ?
	    DUE_MBOX : DUE_META);
}

static void
meta_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;

	if (m->status != ST_OK && !mb->stopped)
		progress_stop(e, mb, "the %s server does not tell what is in "
		    "it: %s", side_name[r->side], m->text);
	if (--mb->w->pairing.metas == 0)
		pair_send(e, mb);
}

/*
 * It is opened such that it tells what went since the discovery: silence about
 * that is none.
 */
static size_t
meta_ask(struct engine *e, struct mbox *mb, int side, const struct uidset *set)
{
	static const struct answers	 open = {
		.done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 meta = {
		.meta = got_meta, .due = got_meta_due, .done = meta_done
	};
	struct pairing			*p = &mb->w->pairing;
	struct uidset			 rest = UIDSET_INIT, last = UIDSET_INIT;
	size_t				 n;

	p->look[side] = NULL;
	uidset_copy(&p->asked[side], set);
	p->n[side] = uidset_count(set);
	if (p->n[side] == 0)
		return 0;
	p->look[side] = ask_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, 0,
	    mb->s[side].w->found.disc->modseq, &open);
	/* Those that may end the connection are asked about by themselves. */
	uidset_copy(&last, set);
	uidset_and(&last, &mb->s[side].w->suspect);
	uidset_copy(&rest, set);
	uidset_sub(&rest, &last);
	n = ask_meta(e, p->look[side], META_WHOLE, &rest, &meta);
	n += ask_meta(e, p->look[side], META_WHOLE, &last, &meta);
	uidset_free(&rest);
	uidset_free(&last);
	return n;
}

void
pair_ask(struct engine *e, struct mbox *mb, enum pair_mode mode,
    const struct uidset *local, const struct uidset *remote,
    const struct answers *to)
{
	struct pairing	*p = &mb->w->pairing;

	p->mode = mode;
	uidset_free(&p->shown[LOCAL]);
	uidset_free(&p->shown[REMOTE]);
	p->to = to;
	p->metas = meta_ask(e, mb, LOCAL, local);
	p->metas += meta_ask(e, mb, REMOTE, remote);
	if (p->metas == 0)
		pair_send(e, mb);
}

void
pair_left(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_or(&r->mb->s[m->side].w->found.unpaired, &m->set);
}

/*
 * Differences are planned from the META at hand: what only one side has is
 * added to the other, but \Deleted, which goes unless both have it: as if it
 * had been there and one side had taken it away.
 */
void
pair_made(struct engine *e, struct req *r, const struct m_engine_paired *m)
{
	char		 base[FLAGS_MAX];
	struct row	*row;
	int		 side;

	/* Told again by a complete list, since HIGHESTMODSEQ stays none. */
	if (!look_room(e, r->mb, LOCAL, ROOM_ROWS)) {
		r->mb->s[REMOTE].w->found.more = 1;
		return;
	}
	flags_and(base, m->flags[LOCAL], m->flags[REMOTE]);
	if (m->isrow)
		strlcpy(base, m->base, sizeof(base));
	for (side = 0; side < SIDES && !m->isrow; side++)
		if (flags_has(m->flags[side], "\\Deleted"))
			(void)flags_or(base, base, "\\Deleted");
	row = row_add(r->mb, m->uid[LOCAL], m->uid[REMOTE], base);
	if (row == NULL)
		fatalx("the store gave a message two partners");
	for (side = 0; side < SIDES; side++)
		row_now(row, side, m->flags[side]);
}

void
pair_offers(struct engine *e, struct mbox *mb, int side,
    const struct uidset *asked)
{
	struct side_found	*found = &mb->s[side].w->found;
	struct refusal		*f, *next;

	for (f = RB_MIN(refusals, &mb->s[side].known.refusals); f != NULL;
	    f = next) {
		next = RB_NEXT(refusals, &mb->s[side].known.refusals, f);
		if (!uidset_has(asked, f->uid))
			continue;
		if (uidset_has(&found->unpaired, f->uid)) {
			uidset_del(&found->unpaired, f->uid, f->uid);
			continue;
		}
		uidset_del(&mb->s[side].w->offer, f->uid, f->uid);
		uidset_del(&mb->s[side].w->suspect, f->uid, f->uid);
		refusal_end(e, mb, side, f->uid);
	}
}

void
pair_suspects(struct mbox *mb, int side, struct uidset *set)
{
	struct refusal	*f;

	RB_FOREACH(f, refusals, &mb->s[side].known.refusals)
		if (f->code == RC_META_CLOSED &&
		    uidset_has(&mb->s[side].w->suspect, f->uid))
			uidset_add(set, f->uid, f->uid);
}

/* ---- adoption ---- */

static void
adopt_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct uidset		 suspects = UIDSET_INIT;
	struct m_store_adopt	 a;
	struct mbox		*mb = r->mb;
	int			 side;

	for (side = 0; side < SIDES; side++) {
		pair_suspects(mb, side, &suspects);
		pair_offers(e, mb, side, &suspects);
		uidset_free(&suspects);
		uidset_free(&mb->s[side].w->found.new);
		uidset_or(&mb->s[side].w->found.new, &mb->s[side].w->found.unpaired);
		uidset_free(&mb->s[side].w->found.unpaired);
	}
	memset(&a, 0, sizeof(a));
	a.mailbox = mb->id;
	ask_note(e, M_STORE_ADOPT, &a);
	finish_paired(e, mb);
	mb->adopt = 0;
	mb->npaired += m->count;
	mb->ntwins += m->exists;
}

int
pair_run(struct engine *e)
{
	static const struct answers	 to = {
		.paired = pair_made, .uids = pair_left, .done = adopt_done
	};
	struct mbox			*mb;
	struct uidset			 set[SIDES] = { UIDSET_INIT,
					    UIDSET_INIT };
	int				 asked = 0, side;

	FOREACH_USABLE(mb, &e->list) {
		/* A state without a row can't tell whose mail this is. */
		if (!mb->adopt && e->list.had_rows)
			continue;
		for (side = 0; side < SIDES; side++) {
			uidset_copy(&set[side], &mb->s[side].w->found.new);
			pair_suspects(mb, side, &set[side]);
		}
		/* Nothing to pair: finish.c clears the flag. */
		if (uidset_empty(&set[LOCAL]) || uidset_empty(&set[REMOTE]))
			continue;
		finish_drop(e, mb);
		pair_ask(e, mb, PAIR_ADOPT, &set[LOCAL], &set[REMOTE], &to);
		asked = 1;
	}
	for (side = 0; side < SIDES; side++)
		uidset_free(&set[side]);
	if (loop_wait(e, -1) == -1)
		return -1;
	if (!asked)
		return 0;
	same_check(e);
	return loop_commit(e);
}
