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
	if (e->cfg.direction == DIR_TO_LOCAL && side != LOCAL)
		return 0;
	if (e->cfg.direction == DIR_TO_REMOTE && side != REMOTE)
		return 0;
	return (e->cfg.propagate & what) != 0;
}

/*
 * How a mailbox is opened: where nothing may be changed not even \Recent may
 * be taken from its messages.
 */
int
rules_open(const struct engine *e, int side)
{
	if (e->cfg.dryrun || !rules_allow(e, side, PROP_ALL))
		return OPEN_EXAMINE;
	return 0;
}

static int
weighs(const struct engine *e)
{
	return e->cfg.max_size != 0 || e->cfg.max_age != 0;
}

static void
rules_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		mbox_stop(e, r->mb, "the %s server does not tell what is in "
		    "it: %s", side_name[r->chan], m->text);
}

static void
rules_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK && r->sess->opened)
		return;
	if (!r->mb->stopped)
		mbox_stop(e, r->mb, "it can't be opened again on the %s "
		    "server: %s", side_name[r->chan], m->text);
}

/* META of what is new: is it too large or too old? */
void
rules_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct mside	*ms = &r->mb->s[r->chan];
	int64_t		 oldest = (int64_t)time(NULL) - e->cfg.max_age;

	if ((e->cfg.max_size != 0 && m->size > e->cfg.max_size) ||
	    (e->cfg.max_age != 0 && m->date != DATE_NONE && m->date < oldest))
		uidset_add(&ms->leave, m->uid, m->uid);
}

/* Everything new of this side stays where it is: which UIDs are there? */
static void
rules_ask_uids(struct engine *e, struct mbox *mb, int side)
{
	struct mside		*ms = &mb->s[side];
	struct m_net_search	 m;
	uint32_t		 id;
	size_t			 i;

	ms->look = engine_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, 0,
	    rules_opened);
	m.handle = ms->look->handle;
	SET_PARTS(&ms->new, i, &m.set) {
		id = engine_req(e, side, mb, ms->look, rules_done, NULL, 0);
		engine_send(e, side, M_NET_SEARCH, id, &m);
	}
}

static void
rules_ask_meta(struct engine *e, struct mbox *mb, int side)
{
	struct mside		*ms = &mb->s[side];
	struct m_net_meta	 m;
	struct sess		*s;
	uint32_t		 id;
	size_t			 i;

	s = engine_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE, 0, rules_opened);
	m.handle = s->handle;
	m.brief = 0;
	SET_PARTS(&ms->new, i, &m.set) {
		id = engine_req(e, side, mb, NULL, rules_done, NULL, META_RULE);
		engine_send(e, side, M_NET_META, id, &m);
	}
}

int
rules_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side, all;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			ms->allow = e->cfg.propagate &
			    (rules_allow(e, side, PROP_ALL) ? PROP_ALL : 0);
			if (!mbox_usable(mb) || ms->disc == NULL ||
			    uidset_empty(&ms->new))
				continue;
			if (!rules_allow(e, OTHER(side), PROP_NEW))
				rules_ask_uids(e, mb, side);
			else if (weighs(e))
				rules_ask_meta(e, mb, side);
		}
	if (engine_wait(e, -1) == -1)
		return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes)
		for (side = 0; side < SIDES; side++) {
			struct mside	*ms = &mb->s[side];

			if (!mbox_usable(mb))
				continue;
			all = !rules_allow(e, OTHER(side), PROP_NEW);
			if (all && ms->look != NULL) {
				uidset_or(&ms->leave, &ms->look->all);
				uidset_and(&ms->leave, &ms->new);
				uidset_free(&ms->new);
				ms->look = NULL;
			} else
				uidset_sub(&ms->new, &ms->leave);
			if (all)
				uidset_free(&ms->offer);
		}
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
	for (side = 0; side < SIDES; side++) {
		m.side = side;
		SET_PARTS(&mb->s[side].leave, i, &m.set) {
			engine_send(e, STORE, M_STORE_LEFT, 0, &m);
			e->uncommitted++;
		}
		uidset_free(&mb->s[side].leave);
	}
}
