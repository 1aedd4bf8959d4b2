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
 * what vanished, what changed its flags, what is new.  Then, where the state has
 * no rows (adoption) or a run was cut short (recovery), what both sides already
 * have is paired by content.
 */
#include <stdio.h>
#include <time.h>

#include "engine.h"

#define MARK_OLD	600	/* seconds: no server executes for so long */
#define QUIET_MS	2000	/* UIDNEXT has to stand still for so long */
#define WAIT_MAX_MS	60000	/* a busy mailbox never stands still */
#define QUIET_SLOW_MS	5000	/* ... behind a tunnel or a proxy */

RB_GENERATE(rows_local, row, entry[LOCAL], row_cmp_local)
RB_GENERATE(rows_remote, row, entry[REMOTE], row_cmp_remote)
RB_GENERATE(changes, change, entry, change_cmp)

int
row_cmp_local(struct row *a, struct row *b)
{
	return a->uid[LOCAL] < b->uid[LOCAL] ? -1 :
	    a->uid[LOCAL] > b->uid[LOCAL];
}

int
row_cmp_remote(struct row *a, struct row *b)
{
	return a->uid[REMOTE] < b->uid[REMOTE] ? -1 :
	    a->uid[REMOTE] > b->uid[REMOTE];
}

int
change_cmp(struct change *a, struct change *b)
{
	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

struct row *
row_find(struct mbox *mb, int side, uint32_t uid)
{
	struct row	 find;

	find.uid[side] = uid;
	return side == LOCAL ? RB_FIND(rows_local, &mb->rows_l, &find) :
	    RB_FIND(rows_remote, &mb->rows_r, &find);
}

static struct row *
row_insert(struct mbox *mb, uint32_t local, uint32_t remote, const char *base)
{
	struct row	*row;

	row = xcalloc(1, sizeof(*row));
	row->uid[LOCAL] = local;
	row->uid[REMOTE] = remote;
	row->base = xstrdup(base);
	if (RB_INSERT(rows_local, &mb->rows_l, row) != NULL ||
	    RB_INSERT(rows_remote, &mb->rows_r, row) != NULL)
		fatalx("the store gave a message two partners");
	return row;
}

struct row *
row_add(struct mbox *mb, const struct m_engine_row *m)
{
	struct row	*row;

	if ((row = row_find(mb, LOCAL, m->local)) != NULL) {
		if (row->uid[REMOTE] != m->remote)
			fatalx("the store gave a message two partners");
		return row;
	}
	row = row_insert(mb, m->local, m->remote, m->flags);
	row->size = m->size;
	row->key = m->key;
	return row;
}

void
disc_change(struct mbox *mb, int side, uint32_t uid, const char *flags)
{
	struct change	 find, *c;

	find.uid = uid;
	if ((c = RB_FIND(changes, &mb->s[side].changes, &find)) == NULL) {
		c = xcalloc(1, sizeof(*c));
		c->uid = uid;
		RB_INSERT(changes, &mb->s[side].changes, c);
	}
	free(c->flags);
	c->flags = xstrdup(flags);
}

/* ---- waiting for a server that still executes what a dead run sent ---- */

static int
marks_recent(struct engine *e, int *slow)
{
	struct mbox	*mb;
	int64_t		 now = time(NULL);
	int		 n = 0, t;

	*slow = 0;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (t = 0; t < SIDES; t++) {
			struct mark	*k = &mb->mark[t];

			if (!k->set || mb->skip || mb->stopped ||
			    now - k->time > MARK_OLD)
				continue;
			n++;
			*slow |= e->cfg.slow[t];
		}
	return n;
}

/* One STATUS for each marked mailbox; returns how many have moved, or -1. */
static int
marks_look(struct engine *e)
{
	struct m_net_status	 m;
	struct mbox		*mb;
	uint32_t		 id;
	int			 moved = 0, t;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (t = 0; t < SIDES; t++) {
			if (!mb->mark[t].set || mb->skip || mb->stopped)
				continue;
			m.mailbox = mb->s[t].name;
			id = engine_req(e, t, mb, NULL, NULL, NULL, 0);
			engine_send(e, t, M_NET_STATUS, id, &m);
		}
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (t = 0; t < SIDES; t++) {
			if (!mb->mark[t].set || mb->skip || mb->stopped)
				continue;
			if (mb->mark[t].last != mb->s[t].uidnext)
				moved = 1;
			mb->mark[t].last = mb->s[t].uidnext;
		}
	return moved;
}

static int
marks_wait(struct engine *e)
{
	int64_t	 quiet, since, first;
	int	 moved, slow;

	if (marks_recent(e, &slow) == 0)
		return 0;
	quiet = slow ? QUIET_SLOW_MS : QUIET_MS;
	log_debug("a run was cut short while copying: waiting until the "
	    "server has stood still for %d s", (int)(quiet / 1000));
	first = since = engine_now();
	for (;;) {
		if ((moved = marks_look(e)) == -1)
			return -1;
		if (moved)
			since = engine_now();
		/* Others' mail may come without an end. */
		if (engine_now() - since >= quiet ||
		    engine_now() - first >= WAIT_MAX_MS)
			return 0;
		if (engine_wait(e, 250) == -1)
			return -1;
	}
}

/* ---- opening ---- */

static int
disc_info(struct engine *e)
{
	struct m_store_info	 m;
	struct mbox		*mb;
	uint32_t		 id;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb) || mb->isnew || mb->adopt_asked)
			continue;
		m.mailbox = mb->id;
		id = engine_req(e, STORE, mb, NULL, NULL, NULL, ROW_INFO);
		engine_send(e, STORE, M_STORE_INFO, id, &m);
	}
	return engine_wait(e, -1);
}

static void
disc_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK && r->sess->opened)
		return;
	r->sess->failed = 1;
	if (!r->mb->stopped)
		mbox_stop(e, r->mb, "it can't be opened on the %s server: %s",
		    side_name[r->chan], m->text);
}

static void
disc_open(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	uint64_t	 modseq = ms->water.modseq;
	int		 what = rules_open(e, side);

	if (e->cfg.dryrun && ms->created)
		return;
	if (ms->water.uidvalidity == 0)
		modseq = 0;
	if (ms->n > 0)
		what |= OPEN_ABOVE;
	if (ms->water.uidnext <= ms->n)
		what |= OPEN_FRESH;
	if (modseq == 0 && mb->nrows > 0 && ms->n > 0) {
		what |= OPEN_FULL;
		if (ms->nrefused > 0 || !uidset_empty(&ms->left))
			what |= OPEN_ALL;
	}
	ms->disc = engine_open(e, mb, side, SESS_DISCOVER, what, modseq,
	    disc_opened);
}

/* D1: is it the mailbox that the state knows? */
int
disc_identity(struct engine *e, struct sess *s)
{
	const struct water	*w = &s->mb->s[s->side].water;
	const char		*sn = side_name[s->side];
	static const char	 advice[] = "nothing was touched; see that it is "
				    "the right mailbox, then run with --adopt "
				    "to pair its messages anew";

	if (s->uidvalidity == 0) {
		mbox_stop(e, s->mb, "the %s server gives no UIDVALIDITY: it "
		    "can't be synchronised", sn);
		return -1;
	}
	if (w->uidvalidity == 0)
		return 0;
	if (s->uidvalidity != w->uidvalidity)
		mbox_stop(e, s->mb, "UIDVALIDITY on the %s server was %u and "
		    "is %u now, so that the UIDs mean other messages; %s", sn,
		    w->uidvalidity, s->uidvalidity, advice);
	else if (w->mailboxid[0] != '\0' && s->mailboxid[0] != '\0' &&
	    strcmp(w->mailboxid, s->mailboxid) != 0)
		mbox_stop(e, s->mb, "MAILBOXID on the %s server has changed: "
		    "it is another mailbox of the same name; %s", sn, advice);
	else if (s->mb->repair)
		return 0;
	else if (s->uidnext != 0 && s->uidnext < w->uidnext)
		mbox_stop(e, s->mb, "UIDNEXT on the %s server was %u and is "
		    "%u now, as after a backup was restored; %s", sn,
		    w->uidnext, s->uidnext, advice);
	else if (s->modseq < w->modseq)
		mbox_stop(e, s->mb, "HIGHESTMODSEQ on the %s server was %llu "
		    "and is %llu now, as after a backup was restored; %s", sn,
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
	struct sess	*s = ms->disc;
	struct refusal	*f;

	if (s == NULL)
		return;
	uidset_copy(&ms->new, &s->fresh);
	if (s->above > 0)
		uidset_add(&ms->new, ms->n + 1,
		    s->uidnext > ms->n + 1 ? s->uidnext - 1 : UINT32_MAX);
	TAILQ_FOREACH(f, &ms->refusals, entry)
		uidset_del(&ms->new, f->uid, f->uid);
	ms->nleft = uidset_count(&ms->left);
	uidset_sub(&ms->new, &ms->left);
}

static void
rows_ask(struct engine *e, struct mbox *mb, int side, const struct uidset *set)
{
	struct m_store_rows	 m;
	uint32_t		 id;
	size_t			 i;

	m.mailbox = mb->id;
	m.side = side;
	SET_PARTS(set, i, &m.set) {
		id = engine_req(e, STORE, mb, NULL, NULL, NULL, side);
		engine_send(e, STORE, M_STORE_ROWS, id, &m);
	}
}

static void
disc_rows(struct engine *e, struct mbox *mb, int side)
{
	struct mside		*ms = &mb->s[side];
	struct uidset		 set = UIDSET_INIT;
	struct m_store_diff	 d;
	struct change		*c;
	uint32_t		 id;

	if (ms->disc == NULL || mb->nrows == 0)
		return;
	if (ms->disc->full) {
		d.mailbox = mb->id;
		d.side = side;
		d.n = ms->n;
		id = engine_req(e, STORE, mb, NULL, NULL, NULL,
		    side | ROW_DIFF);
		engine_send(e, STORE, M_STORE_DIFF, id, &d);
	}
	RB_FOREACH(c, changes, &ms->changes)
		uidset_add(&set, c->uid, c->uid);
	uidset_or(&set, &ms->disc->earlier);
	uidset_or(&set, &ms->disc->fresh);
	rows_ask(e, mb, side, &set);
	uidset_free(&set);
}

/* A refused message that is gone needs no refusal any more. */
static void
disc_refusals(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct refusal	*f, *next;

	for (f = TAILQ_FIRST(&ms->refusals); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (ms->disc->full ? uidset_has(&ms->disc->all, f->uid) :
		    !uidset_has(&ms->disc->earlier, f->uid))
			continue;
		uidset_del(&ms->offer, f->uid, f->uid);
		refusal_end(e, mb, side, f->uid);
		ms->ngone_refused++;
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

	uidset_copy(&gone, &ms->left);
	if (ms->disc->full)
		uidset_sub(&gone, &ms->disc->all);
	else
		uidset_and(&gone, &ms->disc->earlier);
	ms->ngone_left = uidset_count(&gone);
	m.mailbox = mb->id;
	m.side = side;
	SET_PARTS(&gone, i, &m.set) {
		engine_send(e, STORE, M_STORE_UNLEFT, 0, &m);
		mb->touched = 1;
	}
	uidset_sub(&ms->left, &gone);
	uidset_free(&gone);
	/* --retry weighs again what was left out. */
	if (e->cfg.retry)
		uidset_or(&ms->new, &ms->left);
}

/* What the server told, put to the rows that the store gave. */
static void
disc_merge(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	struct change	*c;
	struct row	*row;

	if (ms->disc == NULL)
		return;
	RB_FOREACH(c, changes, &ms->changes) {
		if ((row = row_find(mb, side, c->uid)) == NULL)
			continue;
		free(row->now[side]);
		row->now[side] = xstrdup(c->flags);
	}
	RB_FOREACH(row, rows_local, &mb->rows_l) {
		if (uidset_has(&ms->disc->earlier, row->uid[side]))
			row->gone[side] = 1;
		uidset_del(&ms->new, row->uid[side], row->uid[side]);
	}
	ms->nfresh = ms->n == 0 ? 0 : uidset_count(&ms->new) -
	    (ms->disc->above > 0 ? uidset_max(&ms->new) - ms->n : 0);
	disc_refusals(e, mb, side);
	disc_left(e, mb, side);
}

/* ---- pairing by content ---- */

static void
pair_send(struct engine *e, struct mbox *mb)
{
	struct m_store_pair	 p;
	uint32_t		 id;

	p.mailbox = mb->id;
	p.mode = mb->pair_mode;
	id = engine_req(e, STORE, mb, NULL, mb->pair_done, NULL,
	    mb->pair_mode == PAIR_REPAIR ? ROW_REPAIR : 0);
	engine_send(e, STORE, M_STORE_PAIR, id, &p);
}

static void
meta_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;

	if (m->status != ST_OK && !mb->stopped)
		mbox_stop(e, mb, "the %s server does not tell what is in it: "
		    "%s", side_name[r->chan], m->text);
	if (--mb->metas == 0 && !mb->stopped)
		pair_send(e, mb);
}

static void
meta_ask(struct engine *e, struct mbox *mb, int side, const struct uidset *set)
{
	struct m_net_meta	 m;
	struct sess		*s;
	uint32_t		 id;
	size_t			 i;

	if (uidset_empty(set))
		return;
	s = engine_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, 0, disc_opened);
	m.handle = s->handle;
	m.brief = 0;
	SET_PARTS(set, i, &m.set) {
		id = engine_req(e, side, mb, NULL, meta_done, NULL, 0);
		engine_send(e, side, M_NET_META, id, &m);
		mb->metas++;
	}
}

/*
 * Differences are planned from the META at hand: what only one side has is
 * added to the other, but \Deleted, which goes unless both have it: as if it
 * had been there and one side had taken it away.
 */
void
disc_paired(struct mbox *mb, const struct m_engine_paired *m)
{
	char		 base[FLAGS_MAX];
	struct row	*row;
	int		 side;

	flags_and(base, m->flags[LOCAL], m->flags[REMOTE]);
	if (m->isrow)
		strlcpy(base, m->base, sizeof(base));
	for (side = 0; side < SIDES && !m->isrow; side++)
		if (flags_has(m->flags[side], "\\Deleted"))
			(void)flags_or(base, base, "\\Deleted");
	row = row_insert(mb, m->uid[LOCAL], m->uid[REMOTE], base);
	for (side = 0; side < SIDES; side++)
		row->now[side] = xstrdup(m->flags[side]);
}

static void
adopt_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct m_store_adopt	 a;
	struct mbox		*mb = r->mb;
	int			 side;

	for (side = 0; side < SIDES; side++) {
		uidset_free(&mb->s[side].new);
		uidset_or(&mb->s[side].new, &mb->left[side]);
		uidset_free(&mb->left[side]);
	}
	memset(&a, 0, sizeof(a));
	a.mailbox = mb->id;
	engine_send(e, STORE, M_STORE_ADOPT, 0, &a);
	finish_paired(e, mb);
	mb->adopt = 0;
	mb->npaired += m->count;
}

/* META of all that is new on both sides, to the store; then PAIR. */
void
disc_pair(struct engine *e, struct mbox *mb, int mode, req_fn done)
{
	int	 side;

	mb->pair_mode = mode;
	mb->pair_done = done;
	for (side = 0; side < SIDES; side++)
		meta_ask(e, mb, side, &mb->s[side].new);
	if (mb->metas == 0)
		pair_send(e, mb);
}

static int
disc_adopt(struct engine *e)
{
	struct mbox	*mb;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb) || !mb->adopt)
			continue;
		if (uidset_empty(&mb->s[LOCAL].new) ||
		    uidset_empty(&mb->s[REMOTE].new))
			continue;	/* execute.c clears the flag */
		disc_pair(e, mb, PAIR_ADOPT, adopt_done);
	}
	if (engine_wait(e, -1) == -1)
		return -1;
	return e->uncommitted ? engine_commit(e) : 0;
}

/*
 * A message under whose APPEND the connection ended twice, also when it was sent
 * alone: refused, so that the rest can go on.
 */
static void
recover_refuse(struct engine *e, struct mbox *mb, int target, uint32_t uid)
{
	refusal_set(e, mb, OTHER(target), uid, RC_CLOSED_CONNECTION, 0,
	    e->ready[target].appendlimit, "the server closed the connection");
	log_warnx("%s: message UID %u of the %s server is refused by the %s "
	    "server, which closed the connection each time it was sent; it is "
	    "offered again later, at once with --retry",
	    progress_show(e, mb->name), uid, side_name[OTHER(target)],
	    side_name[target]);
	uidset_del(&mb->s[OTHER(target)].new, uid, uid);
}

/* Refused messages that were on their way again: they stay refused, or not. */
static void
recover_offers(struct engine *e, struct mbox *mb, int src)
{
	struct refusal	*f, *next;

	for (f = TAILQ_FIRST(&mb->s[src].refusals); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (!uidset_has(&mb->cand[src], f->uid))
			continue;
		if (uidset_has(&mb->left[src], f->uid)) {
			uidset_del(&mb->left[src], f->uid, f->uid);
			continue;
		}
		uidset_del(&mb->s[src].offer, f->uid, f->uid);
		refusal_end(e, mb, src, f->uid);
	}
}

static void
recover_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct uidset	 first = UIDSET_INIT;
	struct mbox	*mb = r->mb;
	int		 t = mb->recovering, side;

	recover_offers(e, mb, OTHER(t));
	for (side = 0; side < SIDES; side++) {
		uidset_sub(&mb->s[side].new, &mb->cand[side]);
		uidset_or(&mb->s[side].new, &mb->left[side]);
		uidset_free(&mb->cand[side]);
		uidset_free(&mb->left[side]);
	}
	uidset_copy(&first, &mb->mark[t].uids);
	uidset_and(&first, &mb->s[OTHER(t)].new);
	if (mb->mark[t].tries >= 2 && !uidset_empty(&first))
		recover_refuse(e, mb, t, uidset_min(&first));
	uidset_free(&first);
	finish_paired(e, mb);
	mb->npaired += m->count;
	log_debug("%s: recovered: %u messages had been copied to %s",
	    progress_show(e, mb->name), m->count, side_name[t]);
}

static void
recover_mbox(struct engine *e, struct mbox *mb, int t)
{
	struct uidset	 lack = UIDSET_INIT;
	struct mark	*k = &mb->mark[t];
	struct refusal	*f;
	int		 side;

	/* Without a row: new, or refused and offered again. */
	uidset_copy(&lack, &mb->s[OTHER(t)].new);
	TAILQ_FOREACH(f, &mb->s[OTHER(t)].refusals, entry)
		uidset_add(&lack, f->uid, f->uid);
	uidset_copy(&mb->cand[OTHER(t)], &k->uids);
	uidset_and(&mb->cand[OTHER(t)], &lack);
	uidset_free(&lack);
	uidset_copy(&mb->cand[t], &mb->s[t].new);
	if (k->uidnext > 1)
		uidset_del(&mb->cand[t], 1, k->uidnext - 1);
	if (uidset_empty(&mb->cand[OTHER(t)]) ||
	    (uidset_empty(&mb->cand[t]) && k->tries < 2)) {
		for (side = 0; side < SIDES; side++)
			uidset_free(&mb->cand[side]);
		return;
	}
	mb->recovering = t;
	mb->pair_mode = PAIR_RECOVER;
	mb->pair_done = recover_done;
	for (side = 0; side < SIDES; side++)
		meta_ask(e, mb, side, &mb->cand[side]);
}

static int
disc_recover(struct engine *e)
{
	struct mbox	*mb;
	int		 t;

	for (t = 0; t < SIDES; t++) {
		RB_FOREACH(mb, mboxes, &e->mboxes)
			if (mbox_usable(mb) && mb->mark[t].set &&
			    !mb->adopt && !mb->repair)
				recover_mbox(e, mb, t);
		if (engine_wait(e, -1) == -1)
			return -1;
	}
	return 0;
}

int
disc_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	if (disc_info(e) == -1 || marks_wait(e) == -1)
		return -1;
	repair_prepare(e);
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb))
				disc_open(e, mb, side);
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb) && mb->s[side].disc != NULL &&
			    disc_identity(e, mb->s[side].disc) == 0) {
				disc_new(mb, side);
				disc_rows(e, mb, side);
			}
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++)
			if (mbox_usable(mb))
				disc_merge(e, mb, side);
	if (disc_adopt(e) == -1 || repair_run(e) == -1 ||
	    disc_recover(e) == -1 || rules_run(e) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (mbox_usable(mb))
			plan_mbox(mb);
	return 0;
}
