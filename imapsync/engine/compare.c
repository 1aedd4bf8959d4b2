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

	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip)
			continue;
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
adopt_mbox(struct engine *e, struct mbox *mb)
{
	struct m_store_adopt	 m;

	mb->adopt = mb->adopt_asked = 1;
	if (mb->id == 0)
		return;
	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.adopt = 1;
	m.drop = 1;
	ask_note(e, M_STORE_ADOPT, &m);
	mbox_forget_rows(&e->list, mb);
}

static void
compare_adopt(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->want.nadopts; i++) {
		name_arg(e, e->want.adopts[i], name);
		if ((mb = mbox_find(&e->list, name)) == NULL || mb->skip ||
		    !mbox_present(mb, LOCAL) || !mbox_present(mb, REMOTE))
			fatalx("--adopt: there is no mailbox \"%s\" that both "
			    "servers have", name_show(e, name));
		adopt_mbox(e, mb);
	}
}

/* ---- what is to be done ---- */

static void
name_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;

	if (m->status == ST_OK)
		return;
	if (r->what == NAME_CREATE) {
		if (m->code == RC_ALREADYEXISTS)
			return;
		progress_stop(e, mb, "the %s server does not create it: %s",
		    side_name[r->side], m->text);
		return;
	}
	log_warnx("%s: the %s server does not %s it: %s",
	    name_show(e, mb->name), side_name[r->side],
	    r->what == NAME_SUBSCRIBE ? "subscribe to" : "unsubscribe from",
	    m->text);
	e->partial = 1;
	mb->subscribed = SUB_UNSETTLED;
}

static void
name_send(struct engine *e, struct mbox *mb, int side, enum name_op op)
{
	static const struct answers	 to = { .done = name_done };

	ask_name(e, mb, side, op, mb->s[side].told.name, "", &to);
}

/* Three-way merge: the side that differs from the state has changed. */
static void
compare_subscribe(struct engine *e, struct mbox *mb)
{
	int		 have[SIDES], want, side;
	enum subscribed	 old = mb->subscribed;

	for (side = 0; side < SIDES; side++)
		have[side] = mb->s[side].told.name != NULL &&
		    (mb->s[side].told.attrs & ATTR_SUBSCRIBED) != 0;
	if (old != SUB_NO && old != SUB_YES)
		want = have[LOCAL] || have[REMOTE];
	else
		want = have[LOCAL] == (int)old ? have[REMOTE] : have[LOCAL];
	if (want == (int)old && have[LOCAL] == want && have[REMOTE] == want)
		return;
	mb->subscribed = want ? SUB_YES : SUB_NO;
	mb->touched = 1;
	for (side = 0; side < SIDES; side++) {
		if (have[side] == want)
			continue;
		if (!rules_allow(e, side, PROP_FLAGS)) {
			mb->subscribed = SUB_UNSETTLED;
			continue;
		}
		mb->s[side].told.newsub = want ? 1 : -1;
		if (!e->want.cfg.dryrun)
			name_send(e, mb, side,
			    want ? NAME_SUBSCRIBE : NAME_UNSUBSCRIBE);
	}
}

static void
compare_create(struct engine *e, struct mbox *mb, int side)
{
	char		 name[NAME_MAX_LEN];
	struct mside	*ms = &mb->s[side];

	if (ms->told.name == NULL) {
		if (name_server(e, side, mb->name, name) == -1)
			return;		/* compare_names() has said so */
		ms->told.name = xstrdup(name);
	}
	ms->told.created = 1;
	ms->told.attrs &= ~ATTR_NOSELECT;
	if (!e->want.cfg.dryrun)
		name_send(e, mb, side, NAME_CREATE);
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

	return !ms->told.has_status || w->modseq == 0 ||
	    ms->told.uidvalidity != w->uidvalidity ||
	    ms->told.uidnext != w->uidnext ||
	    ms->told.messages != w->messages || ms->told.modseq != w->modseq;
}

/* Refusals whose time has come again are offered; the others cost nothing. */
static int
compare_offers(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];
	uint64_t	 limit = e->srv[OTHER(side)].ready.appendlimit;
	struct refusal	*f;
	int64_t		 now = time(NULL);
	int		 due;

	TAILQ_FOREACH(f, &ms->known.refusals, entry) {
		due = now >= f->next;
		if (f->code == RC_TOOBIG || (f->limit != 0 &&
		    f->size > f->limit))
			due = limit != f->limit;
		if (due || e->want.cfg.retry)
			uidset_add(&ms->told.offer, f->uid, f->uid);
	}
	return !uidset_empty(&ms->told.offer);
}

static void
compare_mbox(struct engine *e, struct mbox *mb)
{
	int	 side;

	if (!mbox_present(mb, LOCAL) && !mbox_present(mb, REMOTE)) {
		if (mb->id != 0)
			compare_forget(e, mb);
		mb->skip = 1;
		return;
	}
	for (side = 0; side < SIDES; side++) {
		if (mbox_present(mb, side))
			continue;
		/* A run that was cut short entered it and did not create it. */
		if (mb->id != 0 && mb->s[side].known.water.uidvalidity != 0) {
			progress_stop(e, mb, "it is gone on the %s server and "
			    "was left alone on the %s server; use --delete or "
			    "--rename, or create it again", side_name[side],
			    side_name[OTHER(side)]);
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
	for (side = 0; side < SIDES; side++) {
		int	 due = compare_offers(e, mb, side);

		if (due || compare_moved(&mb->s[side]) || mb->mark[side].set)
			mb->dirty = 1;
	}
	/* What rules have left out is known only once it is opened. */
	if (mb->adopt || e->want.cfg.command == CMD_REPAIR ||
	    e->want.cfg.retry)
		mb->dirty = 1;
	compare_subscribe(e, mb);
}

static void
compare_check_args(struct engine *e)
{
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < e->want.nargs && e->passes == 0; i++) {
		FOREACH_MBOX(mb, &e->list)
			if ((mbox_present(mb, LOCAL) ||
			    mbox_present(mb, REMOTE)) &&
			    name_match(e->want.patterns[i], mb->name))
				break;
		if (mb == NULL)
			fatalx("neither server has a mailbox \"%s\"",
			    name_show(e, e->want.patterns[i]));
	}
}

int
compare_run(struct engine *e)
{
	struct mbox	*mb;

	compare_names(e);
	compare_check_args(e);
	compare_adopt(e);
	FOREACH_MBOX(mb, &e->list)
		if (!mb->skip)
			compare_mbox(e, mb);
	/* What was sent is awaited with the SELECTs that follow. */
	return 0;
}
