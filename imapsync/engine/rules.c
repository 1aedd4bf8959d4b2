/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What the configuration keeps from being synchronised: direction, propagate,
 * max-size, max-age.  What a rule leaves out is remembered in the state: it is
 * known, but has no row, and is no failure.
 */
#include <time.h>

#include "engine.h"

/* May PROP_* be done on that side? */
int
rules_allow(const struct engine *e, int side, int what)
{
	if (e->want.cfg.direction == DIR_TO_LOCAL && side != LOCAL)
		return 0;
	if (e->want.cfg.direction == DIR_TO_REMOTE && side != REMOTE)
		return 0;
	return (e->want.cfg.propagate & what) != 0;
}

/*
 * How a mailbox is opened: where nothing may be changed not even \Recent may
 * be taken from its messages.
 */
uint32_t
rules_interval(const struct engine *e, const struct mbox *mb, int side)
{
	uint32_t	 n = e->want.cfg.flags_interval[side];

	if (n != FLAGS_AUTO)
		return n;
	return mb->s[side].told.messages < FLAGS_SMALL ? 0 : FLAGS_HOUR;
}

int
rules_always(const struct engine *e, const struct mbox *mb, int side)
{
	return strcmp(mb->name, "INBOX") == 0 ||
	    rules_interval(e, mb, side) == 0;
}

int
rules_open(const struct engine *e, int side)
{
	if (e->want.cfg.dryrun || !rules_allow(e, side, PROP_ALL))
		return OPEN_EXAMINE;
	return 0;
}

static int
weighs(const struct engine *e)
{
	return e->want.cfg.max_size != 0 || e->want.cfg.max_age != 0;
}

static void
rules_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "the %s server does not tell what is in "
		    "it: %s", side_name[r->side], m->text);
}

/* META of what is new: is it too large or too old? */
static void
rules_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct mside	*ms = &r->mb->s[r->side];
	int64_t		 oldest = (int64_t)time(NULL) - e->want.cfg.max_age;

	if ((e->want.cfg.max_size != 0 && m->size > e->want.cfg.max_size) ||
	    (e->want.cfg.max_age != 0 && m->date != DATE_NONE && m->date < oldest))
		uidset_add(&ms->w->found.leave, m->uid, m->uid);
}

static void
rules_due(struct engine *e, struct req *r, const struct m_engine_due *m)
{
	ask_due(e, r->mb, r->side, m->uid, DUE_SOURCE);
}

static const struct answers	 opened = {
	.done = look_opened, .spoilt = look_spoilt
};

/* Everything new of this side stays where it is: which UIDs are there? */
static void
rules_ask_uids(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = { .done = rules_done };
	struct mside			*ms = &mb->s[side];

	ms->w->check.look = look_open(e, mb, side, OPEN_KEEP, &opened);
	ask_search(e, ms->w->check.look, &ms->w->found.new, &to);
}

static void
rules_ask_meta(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = {
		.meta = rules_meta, .due = rules_due, .done = rules_done
	};

	ask_meta(e, look_open(e, mb, side, OPEN_KEEP, &opened), META_WHOLE,
	    &mb->s[side].w->found.new, &to);
}

static void
rules_ask(struct engine *e, struct mbox *mb, int side)
{
	struct side_found	*f = &mb->s[side].w->found;

	if (f->disc == NULL || uidset_empty(&f->new))
		return;
	if (!rules_allow(e, OTHER(side), PROP_NEW))
		rules_ask_uids(e, mb, side);
	else if (weighs(e))
		rules_ask_meta(e, mb, side);
}

static void
rules_judge(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];

	if (rules_allow(e, OTHER(side), PROP_NEW)) {
		uidset_sub(&ms->w->found.new, &ms->w->found.leave);
		return;
	}
	if (ms->w->check.look != NULL) {
		uidset_or(&ms->w->found.leave, &ms->w->check.look->all);
		uidset_and(&ms->w->found.leave, &ms->w->found.new);
		uidset_free(&ms->w->found.new);
		ms->w->check.look = NULL;
	}
	uidset_free(&ms->w->offer);
}

int
rules_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		mb->s[side].w->found.allow = rules_allow(e, side, PROP_ALL) ?
		    e->want.cfg.propagate : 0;
		/* It would change other messages than it is told to. */
		if (e->srv[side].ghosts)
			mb->s[side].w->found.allow &= PROP_NEW;
	}
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		rules_ask(e, mb, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		rules_judge(e, mb, side);
	return 0;
}

/* In the transaction of the marks, or at the end. */
void
rules_commit(struct engine *e, struct mbox *mb)
{
	struct m_store_left	 m;
	size_t			 i;
	int			 side;

	m.mailbox = mb->id;
	m.alone = 0;
	for (side = 0; side < SIDES; side++) {
		m.side = side;
		SET_PARTS(&mb->s[side].w->found.leave, i, &m.set)
			ask_note(e, M_STORE_LEFT, &m);
		uidset_free(&mb->s[side].w->found.leave);
	}
}
