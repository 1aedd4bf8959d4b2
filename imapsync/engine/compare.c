/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 2 of a run, second half: what the servers listed, compared with the
 * state.  A mailbox neither side of which moved is done, and has cost nothing.
 */
#include "engine.h"

/* Names that can't be synchronised are named and skipped. */
static void
compare_names(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	int		 side;

	settle_report(e);
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip)
			continue;
		if (mbox_present(mb, LOCAL) &&
		    map_remote(e, mb->name, name) == -1) {
			settle_away(e, mb);
			mb->skip = 1;
		}
		for (side = 0; side < SIDES && !mb->skip; side++) {
			if (mb->s[side].told.twice) {
				progress_stop(e, mb, "skipped: the %s server "
				    "has two mailboxes of this name below "
				    "\"%s\"; rename one of them", side_name[side],
				    e->want.cfg.reference[side]);
				mb->skip = 1;
			} else if (mbox_present(mb, side) &&
			    !mbox_present(mb, OTHER(side)) && name_server(e,
			    OTHER(side), mb->name, name) == -1) {
				progress_stop(e, mb, "skipped: the %s server "
				    "can't have this name, since '%c' is its "
				    "hierarchy delimiter; rename the mailbox on "
				    "the %s server or add it to ignore-mailbox",
				    side_name[OTHER(side)],
				    e->srv[OTHER(side)].delim != '\0' ?
				    e->srv[OTHER(side)].delim : ' ',
				    side_name[side]);
				mb->skip = 1;
			}
		}
	}
}

/* ---- --adopt ---- */

static void
compare_adopt(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->want.nadopts; i++) {
		which_mbox(e, e->want.adopts[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL || mb->skip ||
		    !mbox_present(mb, LOCAL) || !mbox_present(mb, REMOTE))
			fatalx("--adopt: there is no mailbox \"%s\" that both "
			    "servers have%s", name_show(e, name),
			    mb == NULL ? which_near(e, name) : "");
		mb->adopt = mb->adopt_asked = mb->dirty = 1;
		mbox_begin(mb);
		if (mb->id != 0)
			mbox_forget_rows(&e->list, mb);
	}
}

/* ---- what is to be done ---- */

static void
create_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK) {
		r->mb->s[r->side].told.create = ANS_OK;
		return;
	}
	r->mb->s[r->side].told.create = ANS_NONE;
	if (m->code != RC_ALREADYEXISTS)
		progress_stop(e, r->mb, "the %s server does not create it: %s",
		    side_name[r->side], m->text);
}

static void
compare_create(struct engine *e, struct mbox *mb, int side)
{
	char			 name[NAME_MAX_LEN];
	struct side_told	*t = &mb->s[side].told;

	if (t->name == NULL) {
		if (name_server(e, side, mb->name, name) == -1)
			return;		/* compare_names() has said so */
		t->name = xstrdup(name);
	}
	t->create = ANS_PLANNED;
	t->attrs &= ~ATTR_NOSELECT;
}

void
compare_begin(struct engine *e, struct mbox *mb)
{
	static const struct answers	 to = { .done = create_done };
	struct side_told		*t;
	int				 side;

	if (mb->begun)
		return;
	mb->begun = 1;
	mbox_begin(mb);
	for (side = 0; side < SIDES; side++) {
		t = &mb->s[side].told;
		if (t->create == ANS_PLANNED && !e->want.cfg.dryrun)
			ask_name(e, mb, side, NAME_CREATE, t->name, "", &to);
	}
}

static void
compare_enter(struct engine *e, struct mbox *mb)
{
	struct m_store_newbox	 m;

	if (mbox_set_id(&e->list, mb, e->list.next_id) == -1)
		fatalx("the state has no room for another mailbox");
	mb->isnew = mb->adopt = mb->dirty = 1;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.adopt = 1;
	m.name = mb->name;
	map_stored(e, mb->name, &m.remote, &m.use);
	ask_note(e, M_STORE_NEWBOX, &m);
}

static void
compare_forget(struct engine *e, struct mbox *mb)
{
	struct m_store_forget	 m;

	mb->skip = 1;
	if (e->filtered)
		return;
	log_info("%s: gone on both servers; forgotten (%u messages)",
	    name_show(e, mb->name), mb->nrows);
	m.mailbox = mb->id;
	ask_note(e, M_STORE_FORGET, &m);
	e->list.total_rows -= mb->nrows;
}

int
compare_moved(const struct mside *ms)
{
	const struct water	*w = &ms->known.water;

	return !ms->told.has_status || (w->modseq == 0 && w->looked == 0) ||
	    ms->told.uidvalidity != w->uidvalidity ||
	    ms->told.uidnext != w->uidnext ||
	    ms->told.messages != w->messages || ms->told.modseq != w->modseq;
}

/*
 * A mailbox without HIGHESTMODSEQ on that side: all its flags are to be listed,
 * since it is their turn, or something hints at a change.
 */
static int
compare_flags(const struct engine *e, const struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;
	const struct water	*w = &mb->s[side].known.water;
	int64_t			 now = time(NULL);

	if (t->modseq != 0 || w->modseq != 0 || t->messages == 0)
		return 0;
	return rules_always(e, mb, side) || e->want.nargs > 0 ||
	    (t->unseen != 0 && t->unseen != w->unseen) ||
	    mb->hinted || now < w->looked ||
	    now - w->looked >= rules_interval(e, mb, side);
}

/* Refusals whose time has come again are offered; the others cost nothing. */
static int
compare_offers(struct engine *e, struct mbox *mb, int side)
{
	uint64_t		 limit = e->srv[OTHER(side)].ready.appendlimit;
	struct refusal		*f;
	int64_t			 now = time(NULL);
	int			 due;

	RB_FOREACH(f, refusals, &mb->s[side].known.refusals) {
		due = now >= f->next;
		/* It may be there: sent once more it would be there twice. */
		if (f->code == RC_TAKEN)
			due = 0;
		else if (f->code == RC_TOOBIG || (f->limit != 0 &&
		    f->size > f->limit))
			due = limit != f->limit;
		if (!due && !e->want.cfg.retry)
			continue;
		mbox_begin(mb);
		uidset_add(refusal_suspect(f) ? &mb->s[side].w->suspect :
		    &mb->s[side].w->offer, f->uid, f->uid);
	}
	return !uidset_empty(&mb->s[side].w->offer) ||
	    !uidset_empty(&mb->s[side].w->suspect);
}

static void
compare_mbox(struct engine *e, struct mbox *mb)
{
	int	 side;

	if (!mbox_present(mb, LOCAL) && !mbox_present(mb, REMOTE)) {
		if (mb->id != 0 && !mb->s[LOCAL].told.unlisted &&
		    !mb->s[REMOTE].told.unlisted)
			compare_forget(e, mb);
		mb->skip = 1;
		return;
	}
	for (side = 0; side < SIDES; side++) {
		if (mbox_present(mb, side))
			continue;
		if (mb->s[side].told.unlisted) {
			progress_stop(e, mb, "the %s server does not list it, "
			    "and does not say either that it is gone: the "
			    "next run asks again", side_name[side]);
			return;
		}
		/* A run that was cut short entered it and did not create it. */
		if (mb->id != 0 && mb->s[side].known.water.uidvalidity != 0) {
			mb->gone = 1 + side;
			return;
		}
		if (!rules_allow(e, side, PROP_NEW)) {
			mb->skip = 1;
			return;
		}
		compare_create(e, mb, side);
	}
	if (mb->id == 0)
		compare_enter(e, mb);
	if (refusal_rests(e, mb) && mb->strikes.uid == 0) {
		progress_stop(e, mb, "left alone, since the connection to the "
		    "%s server ended under it %u times: it is tried again "
		    "later, at once with --retry", side_name[mb->strikes.side],
		    mb->strikes.count);
		return;
	}
	for (side = 0; side < SIDES; side++) {
		int	 due = compare_offers(e, mb, side);

		if (due || compare_moved(&mb->s[side]) ||
		    compare_flags(e, mb, side) || mb->mark[side].set)
			mb->dirty = 1;
	}
	/* What rules have left out is known only once it is opened. */
	if (mb->adopt || e->want.cfg.command == CMD_REPAIR ||
	    e->want.cfg.retry)
		mb->dirty = 1;
	/* Nothing is to be asked about it. */
	if (!mb->dirty && mb->strikes.count == 1)
		refusal_found(e, mb);
	subscribe_plan(e, mb);
}

static int
compare_check_args(struct engine *e)
{
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->want.nargs && e->passes == 0; i++) {
		FOREACH_MBOX(mb, &e->list)
			if ((mbox_present(mb, LOCAL) ||
			    mbox_present(mb, REMOTE)) &&
			    which_reads(e->want.patterns[i], mb->name))
				break;
		if (mb != NULL)
			continue;
		/* Only what matches was listed. */
		if (list_names(e) == -1)
			return -1;
		fatalx("neither server has a mailbox \"%s\"%s",
		    name_show(e, e->want.patterns[i]),
		    which_near(e, e->want.patterns[i]));
	}
	return 0;
}

int
compare_run(struct engine *e)
{
	struct mbox	*mb;

	compare_names(e);
	if (compare_check_args(e) == -1)
		return -1;
	compare_adopt(e);
	FOREACH_MBOX(mb, &e->list)
		if (!mb->skip)
			compare_mbox(e, mb);
	/* What was sent is awaited with the SELECTs that follow. */
	return 0;
}
