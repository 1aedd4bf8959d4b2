/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 5 of a run: marks first, then everything pipelined over all mailboxes:
 * STOREs, expunges and copies of one direction, then the copies of the other,
 * since bodies never go to a server that is itself sending bodies.
 */
#include "engine.h"

static void
pass_mbox(struct engine *e, struct mbox *mb, int target)
{
	struct mside	*src = &mb->s[OTHER(target)];
	struct copy	 c = { .mb = mb, .target = target, .mode = RECV_ONE };
	struct uidset	 set = UIDSET_INIT;
	int		 side, later;

	if (!uidset_empty(&src->w->offer))
		copy_again(e, &c, &src->w->offer);
	c.mode = RECV_MULTI;
	copy_new(src, &set);
	/* What has ended a connection comes last: exec_last(). */
	if (!uidset_empty(&set) && !e->exec.full[target] &&
	    mb->mark[target].tries == 0) {
		copy_start(e, &c, &set);
		uidset_free(&set);
		return;
	}
	/* What has nothing to copy now may have it in the next pass. */
	copy_new(&mb->s[LOCAL], &set);
	later = target == LOCAL && !uidset_empty(&set);
	uidset_free(&set);
	if (later)
		return;
	for (side = 0; side < SIDES; side++)
		if (session_has_ops(mb, side))
			session_open(e, mb, side);
}

static int
pass_again(struct engine *e, int target)
{
	struct copies	 now;
	struct copy	*c;

	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &e->exec.again, entry);
	while ((c = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, c, entry);
		if (mbox_usable(c->mb) && !e->exec.full[target] &&
		    !c->mb->s[target].w->did.closed)
			copy_start(e, c, &c->set);
		copy_free(c);
	}
	return loop_wait(e, -1);
}

static int
pass(struct engine *e, int target, void (*fn)(struct engine *, struct mbox *,
    int))
{
	struct mbox	*mb;

	e->exec.target = target;
	e->exec.began = end_now();
	FOREACH_USABLE(mb, &e->list)
		fn(e, mb, target);
	if (loop_wait(e, -1) == -1)
		return -1;
	while (!TAILQ_EMPTY(&e->exec.again))
		if (pass_again(e, target) == -1)
			return -1;
	return 0;
}

/* There is something that may end the connection. */
static int
has_suspects(const struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES; side++)
		if (!uidset_empty(&mb->s[side].w->suspect) ||
		    (mb->mark[OTHER(side)].tries > 0 &&
		    !uidset_empty(&mb->s[side].w->found.new)))
			return 1;
	return 0;
}

/* What is known now is recorded, whatever comes. */
static int
exec_finish(struct engine *e, int last)
{
	struct mbox	*mb;
	int		 pending = 0, side;

	FOREACH_MBOX(mb, &e->list) {
		pending |= mb->turn;
		if (mb->skip || mb->finished || mb->later)
			continue;
		for (side = 0; side < SIDES; side++)
			refusal_more(e, mb, side);
		if (mb->stopped)
			finish_confirmed(e, mb);
		else if (mb->dirty)
			finish_mbox(e, mb);
		if (last || !has_suspects(mb)) {
			recover_done(e, mb);
			if (mb->dirty && !mb->stopped && !refusal_rests(e, mb))
				refusal_found(e, mb);
			mb->finished = 1;
		}
	}
	guard_record(e);
	/* Both servers were reached, and all was done but for what was named. */
	if (!pending) {
		ask_tell(e, STORE, M_STORE_SYNCED, NULL);
		e->synced = time(NULL);
		e->want.cfg.late = 0;
	}
	return loop_commit(e);
}

/* What is not done yet. */
static int
ops_again(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_USABLE_SIDE(mb, side, &e->list)
		if (session_has_ops(mb, side))
			session_open(e, mb, side);
	return loop_wait(e, -1);
}

/* Deletions that had to wait until what was moved is copied. */
static int
put_off(struct engine *e)
{
	/* COPY, commit, EXPUNGE: what was copied has its row on disk. */
	if (guard_after(e) && ((e->ask.uncommitted > 0 &&
	    loop_commit(e) == -1) || ops_again(e) == -1))
		return -1;
	/* UID EXPUNGE was refused, or did nothing: once more. */
	return ops_again(e);
}

int
exec_run(struct engine *e)
{
	int	 t;

	if (recover_commit(e) == -1)
		return -1;
	subscribe_run(e);
	if (move_run(e) == -1)
		return -1;
	for (t = 0; t < SIDES; t++)
		if (pass(e, t, pass_mbox) == -1)
			return -1;
	if (learn_run(e) == -1 || copy_missing(e) == -1 || put_off(e) == -1)
		return -1;
	return exec_finish(e, 0);
}

/* Message by message: where a connection ends it is known which one it was. */
static void
last_mbox(struct engine *e, struct mbox *mb, int target)
{
	struct mside	*src = &mb->s[OTHER(target)];
	struct copy	 c = { .mb = mb, .target = target, .mode = RECV_ONE };
	struct uidset	 one = UIDSET_INIT, rest = UIDSET_INIT;
	uint32_t	 u;

	if (e->exec.full[target] || mb->s[target].w->did.closed)
		return;
	if (mb->mark[target].tries > 0) {
		copy_new(src, &rest);
		if (!uidset_empty(&rest))
			copy_start(e, &c, &rest);
	}
	uidset_copy(&rest, &src->w->suspect);
	while ((u = uidset_min(&rest)) != 0) {
		uidset_add(&one, u, u);
		copy_start(e, &c, &one);
		uidset_del(&one, u, u);
		uidset_del(&rest, u, u);
	}
	uidset_free(&one);
	uidset_free(&rest);
}

int
exec_last(struct engine *e)
{
	struct mbox	*mb;
	int		 any = 0, t;

	FOREACH_USABLE(mb, &e->list)
		any |= has_suspects(mb);
	if (!any)
		return 0;
	for (t = 0; t < SIDES; t++)
		if (pass(e, t, last_mbox) == -1)
			return -1;
	if (learn_run(e) == -1 || copy_missing(e) == -1)
		return -1;
	return exec_finish(e, 1);
}
