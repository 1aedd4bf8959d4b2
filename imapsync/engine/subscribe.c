/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Subscriptions: a three-way merge, done once the mailboxes have been judged.
 * One side's list of them can be lost like its mail, so many unsubscriptions at
 * once are held back.
 */
#include "engine.h"

#define SUBS_MIN	5	/* fewer unsubscriptions are never too many */

/* The side that differs from the state has changed. */
void
subscribe_plan(struct engine *e, struct mbox *mb)
{
	struct side_told	*t;
	enum subscribed		 old = mb->subscribed;
	int			 have[SIDES], want, side;

	/* Only a LIST tells of subscriptions. */
	if (mb->s[LOCAL].told.unlisted || mb->s[REMOTE].told.unlisted)
		return;
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
		t = &mb->s[side].told;
		if (have[side] == want)
			continue;
		if (!rules_allow(e, side, PROP_FLAGS))
			mb->subscribed = SUB_UNSETTLED;
		else if (want)
			t->subscribe = ANS_PLANNED;
		else
			t->unsubscribe = ANS_PLANNED;
	}
}

static void
note(struct engine *e, struct mbox *mb)
{
	struct m_store_subscribed	 m;

	if (mb->subscribed != SUB_NO && mb->subscribed != SUB_YES)
		return;
	m.mailbox = mb->id;
	m.subscribed = mb->subscribed;
	ask_note(e, M_STORE_SUBSCRIBED, &m);
}

/* At most one side has to follow: its answer settles it. */
static void
name_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct side_told	*t = &r->mb->s[r->side].told;
	uint8_t		*ans;

	ans = r->what == NAME_SUBSCRIBE ? &t->subscribe : &t->unsubscribe;
	if (m->status == ST_OK) {
		*ans = ANS_OK;
		note(e, r->mb);
		/*
		 * Another change of it is not told while this goes on, nor
		 * while a look at once would: in a moment it is.
		 */
		r->mb->again = 1;
		return;
	}
	*ans = ANS_NONE;
	r->mb->subscribed = SUB_UNSETTLED;
	log_warnx("%s: the %s server does not %s it: %s",
	    name_show(e, r->mb->name), side_name[r->side],
	    r->what == NAME_SUBSCRIBE ? "subscribe to" : "unsubscribe from",
	    m->text);
	e->partial = 1;
}

static void
subscribe_send(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = { .done = name_done };
	struct side_told		*t = &mb->s[side].told;

	if (t->subscribe == ANS_PLANNED)
		ask_name(e, mb, side, NAME_SUBSCRIBE, t->name, "", &to);
	if (t->unsubscribe == ANS_PLANNED)
		ask_name(e, mb, side, NAME_UNSUBSCRIBE, t->name, "", &to);
}

/* More than five, and more than half of what is subscribed to there. */
static int
too_many(struct engine *e, int side)
{
	struct mbox	*mb;
	uint32_t	 n = 0, all = 0;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip)
			continue;
		n += mb->s[side].told.unsubscribe == ANS_PLANNED;
		all += (mb->s[side].told.attrs & ATTR_SUBSCRIBED) != 0;
	}
	if (n <= SUBS_MIN || n <= all / 2)
		return 0;
	log_warnx("%u of %u subscriptions are gone on the %s server: those of "
	    "the %s server were left as they are; if they are meant to be "
	    "gone, run again with --allow-delete, which cancels them there",
	    n, all, side_name[OTHER(side)], side_name[side]);
	return 1;
}

static void
hold(struct engine *e, int side)
{
	struct mbox	*mb;

	e->partial = 1;
	FOREACH_MBOX(mb, &e->list)
		if (mb->s[side].told.unsubscribe == ANS_PLANNED) {
			mb->s[side].told.unsubscribe = ANS_NONE;
			mb->subscribed = SUB_UNSETTLED;
		}
}

void
subscribe_run(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	for (side = 0; side < SIDES; side++)
		if (!e->want.cfg.allow_delete && too_many(e, side))
			hold(e, side);
	if (e->want.cfg.dryrun)
		return;
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || mb->stopped || mb->later || mb->finished ||
		    !mb->touched)
			continue;
		for (side = 0; side < SIDES; side++)
			subscribe_send(e, mb, side);
		if (mb->s[LOCAL].told.subscribe == ANS_NONE &&
		    mb->s[REMOTE].told.subscribe == ANS_NONE &&
		    mb->s[LOCAL].told.unsubscribe == ANS_NONE &&
		    mb->s[REMOTE].told.unsubscribe == ANS_NONE)
			note(e, mb);
	}
}
