/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Behind the copies: an OK to APPEND says neither which UID a message has got,
 * where APPENDUID lacks, nor that its flags were kept.  So what that side has
 * since the mark is asked for; the messages are paired as in a recovery, and what
 * it dropped is no part of the baseline, and set once more.
 */
#include "engine.h"

/* ---- UIDs ---- */

static int
is_unlearnt(const struct mbox *mb, int t)
{
	return !uidset_empty(&mb->s[OTHER(t)].w->did.unlearnt);
}

/* Everything from T on that is not known to be something else. */
static void
since_mark(const struct mbox *mb, int t, struct uidset *set)
{
	const struct mside	*dst = &mb->s[t];

	uidset_add(set, recover_from(dst), UINT32_MAX);
	uidset_sub(set, &dst->w->did.appended);
	uidset_sub(set, &dst->w->found.new);
}

/* The flags of a pair that were not kept are planned at once. */
static void
learn_paired(struct engine *e, struct req *r, const struct m_engine_paired *m)
{
	struct row	*row;

	pair_made(e, r, m);
	if ((row = row_find(r->mb, LOCAL, m->uid[LOCAL])) != NULL)
		plan_flags(r->mb, row);
}

/* Each of them has its row now. */
static void
learn_copied(struct engine *e, struct mbox *mb, int side,
    const struct uidset *made)
{
	struct uidrange	 r;
	uint32_t	 after, u;

	uidset_or(&mb->s[side].w->did.copied, made);
	uidset_sub(&mb->s[side].w->did.unlearnt, made);
	UIDSET_FOREACH(r, made, after)
		for (u = r.lo; ; u++) {
			refusal_end(e, mb, side, u);
			moved_copied(e, mb, side, u);
			if (u == r.hi)
				break;
		}
}

/*
 * Taken, and not found: if nothing is there that it could be it is lost, and still
 * new.  If there is, it may be that, altered: sent again it would be there twice
 * with each run.
 */
static void
learn_lost(struct engine *e, struct mbox *mb, int t, int others)
{
	int		 side = OTHER(t);
	struct uidset	*lost = &mb->s[side].w->did.unlearnt;
	uint64_t	 n = uidset_count(lost);
	char		 uids[UIDS_TEXT];
	uint32_t	 u;

	if (n == 0)
		return;
	mb->soon = 1;
	e->partial = 1;
	if (!others) {
		log_warnx("%s: the %s server has taken %llu message%s of the %s "
		    "server (%s), and does not have them: the next run sends "
		    "them again", name_show(e, mb->name), side_name[t],
		    (unsigned long long)n, n == 1 ? "" : "s", side_name[side],
		    progress_uids(lost, uids, sizeof(uids)));
		return;
	}
	log_warnx("%s: the %s server has taken %llu message%s of the %s server "
	    "(%s), and has none like them: if it has altered them they would "
	    "be there twice, so they are sent again only with --retry",
	    name_show(e, mb->name), side_name[t], (unsigned long long)n,
	    n == 1 ? "" : "s", side_name[side],
	    progress_uids(lost, uids, sizeof(uids)));
	while ((u = uidset_min(lost)) != 0 &&
	    refusal_room(e, mb, side, u)) {
		(void)refusal_set(e, mb, side, u, RC_TAKEN, 0, 0,
		    "it was taken, and is not found there");
		uidset_add(&mb->s[side].w->did.copied, u, u);
		uidset_del(lost, u, u);
	}
}

static void
learnt(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;
	struct pairing	*p = &mb->w->pairing;
	int		 t = p->target, others, side;
	struct uidset	*made;

	others = !uidset_empty(&mb->s[t].w->found.unpaired);
	for (side = 0; side < SIDES; side++) {
		made = &p->shown[side];
		uidset_sub(made, &mb->s[side].w->found.unpaired);
		if (side == t)
			uidset_or(&mb->s[t].w->did.appended, made);
		else
			learn_copied(e, mb, side, made);
		uidset_free(&mb->s[side].w->found.unpaired);
		uidset_free(made);
	}
	mb->s[t].w->did.ncopied += m->count;
	if (m->count > 0)
		mb->mark[t].gained = 1;
	learn_lost(e, mb, t, others);
}

static void
learn_ask(struct engine *e, struct mbox *mb, int t)
{
	static const struct answers	 to = {
		.paired = learn_paired, .uids = pair_left, .done = learnt
	};
	struct uidset			 set[SIDES] = { UIDSET_INIT,
					    UIDSET_INIT };
	int				 side;

	uidset_copy(&set[OTHER(t)], &mb->s[OTHER(t)].w->did.unlearnt);
	since_mark(mb, t, &set[t]);
	mb->w->pairing.target = t;
	pair_ask(e, mb, PAIR_LEARN, &set[LOCAL], &set[REMOTE], &to);
	for (side = 0; side < SIDES; side++)
		uidset_free(&set[side]);
}

/* ---- flags ---- */

/* What it was sent with. */
static const char *
sent_flags(struct mside *ms, uint32_t uid)
{
	struct store	*st;

	TAILQ_FOREACH(st, &ms->w->did.sent.list, entry)
		if (uidset_has(&st->set, uid))
			return st->flag;
	return NULL;
}

static void
got_kept(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct mside	*ms = &s->mb->s[s->side];
	char		 lost[FLAGS_MAX], one[FLAG_MAX];
	const char	*sent, *p;

	(void)e;
	if (!m->has_flags || (sent = sent_flags(ms, m->uid)) == NULL)
		return;
	flags_sub(lost, sent, m->flags);
	for (p = lost; flags_next(&p, one); )
		uidset_add(&store_add(&ms->w->did.dropped, 0, one)->set,
		    m->uid, m->uid);
}

static void
kept_ask(struct engine *e, struct mbox *mb, int t)
{
	static const struct answers	 open = {
		.flags = got_kept, .done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 none = { .done = NULL };
	struct mside			*ms = &mb->s[t];

	if (ms->w->found.disc->proof == PROOF_TOLD ||
	    TAILQ_EMPTY(&ms->w->did.sent.list))
		return;
	ask_meta(e, look_open(e, mb, t, 0, &open), META_FLAGS,
	    &ms->w->did.appended, &none);
}

static void
rebase(struct engine *e, struct mbox *mb, int t, int add, const char *flag,
    const struct uidset *set)
{
	struct m_store_rebase	 m;
	size_t			 i;

	m.mailbox = mb->id;
	m.side = t;
	m.add = add;
	m.flags = flag;
	SET_PARTS(set, i, &m.set)
		ask_note(e, M_STORE_REBASE, &m);
}

/* The baseline first: no run may take it for a change that was made there. */
static int
kept_plan(struct engine *e, struct mbox *mb, int t)
{
	struct side_work	*w = mb->s[t].w;
	struct store		*st;

	TAILQ_FOREACH(st, &w->did.dropped.list, entry) {
		rebase(e, mb, t, 0, st->flag, &st->set);
		if (w->found.allow & PROP_FLAGS)
			uidset_or(&store_add(&w->plan.stores, 1, st->flag)->set,
			    &st->set);
	}
	if (!session_has_stores(mb, t))
		return 0;
	session_stores(e, mb, t);
	return 1;
}

static void
kept_done(struct engine *e, struct mbox *mb, int t)
{
	struct uidset	 set = UIDSET_INIT;
	struct store	*st, *did;

	TAILQ_FOREACH(st, &mb->s[t].w->did.dropped.list, entry) {
		did = store_find(&mb->s[t].w->plan.stores, 1, st->flag);
		if (did == NULL)
			continue;
		uidset_copy(&set, &st->set);
		uidset_and(&set, &did->done);
		rebase(e, mb, t, 1, st->flag, &set);
		uidset_free(&set);
	}
	stores_free(&mb->s[t].w->did.dropped);
}

/* ---- the phase ---- */

int
learn_run(struct engine *e)
{
	struct mbox	*mb;
	int		 any = 0, t;

	FOREACH_USABLE_SIDE(mb, t, &e->list)
		kept_ask(e, mb, t);
	for (t = 0; t < SIDES; t++) {
		FOREACH_USABLE(mb, &e->list)
			if (is_unlearnt(mb, t))
				learn_ask(e, mb, t);
		if (loop_wait(e, -1) == -1)
			return -1;
	}
	FOREACH_USABLE_SIDE(mb, t, &e->list)
		any |= kept_plan(e, mb, t);
	if (!any)
		return 0;
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, t, &e->list)
		kept_done(e, mb, t);
	return 0;
}
