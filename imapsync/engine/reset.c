/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a pass leaves behind is freed before the next one begins, so that a
 * session that watches stays as small as it was at its start.
 */
#include "engine.h"

static void
water_free(struct water *w)
{
	free(w->mailboxid);
}

static void
side_free(struct mside *ms)
{
	struct refusal	*f;
	struct change	*c;
	struct store	*st;

	while ((f = TAILQ_FIRST(&ms->refusals)) != NULL) {
		TAILQ_REMOVE(&ms->refusals, f, entry);
		free(f->text);
		free(f);
	}
	while ((c = RB_MIN(changes, &ms->changes)) != NULL) {
		RB_REMOVE(changes, &ms->changes, c);
		free(c->flags);
		free(c);
	}
	while ((st = TAILQ_FIRST(&ms->stores)) != NULL) {
		TAILQ_REMOVE(&ms->stores, st, entry);
		uidset_free(&st->set);
		free(st->flag);
		free(st);
	}
	while ((st = TAILQ_FIRST(&ms->sent)) != NULL) {
		TAILQ_REMOVE(&ms->sent, st, entry);
		uidset_free(&st->set);
		free(st->flag);
		free(st);
	}
	uidset_free(&ms->moved);
	uidset_free(&ms->new);
	uidset_free(&ms->doomed);
	uidset_free(&ms->offer);
	uidset_free(&ms->sample);
	uidset_free(&ms->touched);
	uidset_free(&ms->expunged);
	uidset_free(&ms->copied);
	uidset_free(&ms->appended);
	uidset_free(&ms->left);
	uidset_free(&ms->leave);
	water_free(&ms->water);
	free(ms->name);
}

void
row_free(struct row *row)
{
	int	 side;

	for (side = 0; side < SIDES; side++) {
		free(row->now[side]);
		free(row->want[side]);
	}
	free(row->base);
	free(row);
}

static void
mbox_free(struct mbox *mb)
{
	struct row	*row;
	int		 side;

	while ((row = RB_MIN(rows_local, &mb->rows_l)) != NULL) {
		RB_REMOVE(rows_local, &mb->rows_l, row);
		RB_REMOVE(rows_remote, &mb->rows_r, row);
		row_free(row);
	}
	for (side = 0; side < SIDES; side++) {
		side_free(&mb->s[side]);
		uidset_free(&mb->mark[side].uids);
		uidset_free(&mb->cand[side]);
		uidset_free(&mb->left[side]);
	}
	free(mb->lost);
	free(mb->name);
	free(mb);
}

static void
sess_free(struct sess *s)
{
	uidset_free(&s->all);
	uidset_free(&s->fresh);
	uidset_free(&s->earlier);
	uidset_free(&s->vanished);
	uidset_free(&s->bare);
	free(s->permflags);
	free(s->mailboxid);
	free(s);
}

void
engine_reset(struct engine *e)
{
	struct mbox	*mb;
	struct sess	*s;
	struct req	*r;

	while ((r = RB_MIN(reqs, &e->reqs)) != NULL) {
		RB_REMOVE(reqs, &e->reqs, r);
		free(r);
	}
	while ((s = TAILQ_FIRST(&e->sesses)) != NULL) {
		TAILQ_REMOVE(&e->sesses, s, entry);
		sess_free(s);
	}
	while ((mb = RB_MIN(mboxes, &e->mboxes)) != NULL) {
		RB_REMOVE(mboxes, &e->mboxes, mb);
		mbox_free(mb);
	}
	mbox_by_id(NULL, 0);
	verify_reset();
	exec_reset();
	e->total_rows = 0;
	e->next_mailbox = 1;
	e->partial = 0;
	e->uncommitted = 0;
	memset(e->full, 0, sizeof(e->full));
	memset(e->quota_row, 0, sizeof(e->quota_row));
	memset(e->quota_batch, 0, sizeof(e->quota_batch));
	/* --adopt and --retry were for the first pass. */
	e->nadopts = 0;
	e->cfg.retry = 0;
	e->cfg.allow_delete = 0;
}
