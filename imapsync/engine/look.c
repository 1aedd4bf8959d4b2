/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What several phases ask alike: a look at a mailbox, rows of the state.
 */
#include <stdio.h>

#include "engine.h"

void
look_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK && r->sess->opened)
		return;
	r->sess->failed = 1;
	if (!r->mb->stopped)
		progress_stop(e, r->mb, "it can't be opened on the %s server: "
		    "%s", side_name[r->side], m->text);
}

const char *
look_advice(struct engine *e, const struct mbox *mb)
{
	static char	 text[NAME_TEXT_MAX * 4 + 128];

	snprintf(text, sizeof(text), "see that it is the right mailbox, then "
	    "run with --adopt %s to pair its messages anew",
	    which_quote(e, mb->name));
	return text;
}

/* What is known of the mailbox may not be all. */
void
look_spoilt(struct engine *e, struct req *r, const struct m_engine_spoilt *m)
{
	if (!r->mb->stopped)
		progress_stop(e, r->mb, "the %s server said something of it "
		    "that can't be read (%s): it is left alone in this run",
		    side_name[r->side], m->text);
}

void
look_new_due(struct engine *e, struct req *r, const struct m_engine_due *m)
{
	ask_due(e, r->mb, r->side, m->uid, DUE_META);
}

void
look_new_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "the %s server does not show what is "
		    "new in it: %s", side_name[r->side], m->text);
}

struct sess *
look_open(struct engine *e, struct mbox *mb, int side, int what,
    const struct answers *to)
{
	return ask_open(e, mb, side, SESS_LOOK, OPEN_EXAMINE | what,
	    mb->s[side].known.n, 0, to);
}

void
look_away(struct engine *e, int side)
{
	struct sess	*s;
	struct mbox	*mb, *any;

	TAILQ_FOREACH(s, &e->ask.sesses, entry)
		if (s->side == side)
			break;
	mb = mbox_find(&e->list, "INBOX");
	if (mb == NULL || !mbox_present(mb, side))
		mb = NULL;
	FOREACH_MBOX(any, &e->list)
		if (mb == NULL && any->gone == 0 && mbox_present(any, side))
			mb = any;
	if (s != NULL && mb != NULL)
		(void)look_open(e, mb, side, 0, NULL);
}

int
look_room(struct engine *e, struct mbox *mb, int side, enum room what)
{
	if (e->room[what] > 0) {
		e->room[what]--;
		return 1;
	}
	mb->s[side].w->found.more = 1;
	return 0;
}

struct row *
look_row(struct req *r, const struct m_engine_row *m)
{
	struct row	*row;

	if ((row = row_add(r->mb, m->local, m->remote, m->flags)) == NULL)
		fatalx("the store gave a message two partners");
	row->size = m->size;
	row->key = m->key;
	return row;
}

static void
got_row(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	if (look_room(e, r->mb, r->side, ROOM_ROWS))
		(void)look_row(r, m);
}

const struct answers	 look_rows = { .row = got_row };
