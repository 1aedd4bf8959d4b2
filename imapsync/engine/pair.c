/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What both sides already have is paired by content: META of both goes to the
 * store, which pairs it.  Here adoption (no rows yet, a lost state, --adopt);
 * recover.c and repair.c do the same for their own reasons.
 */
#include "engine.h"

static void
pair_send(struct engine *e, struct mbox *mb)
{
	ask_pair(e, mb, mb->pairing.mode, mb->pairing.to);
}

static void
got_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct m_store_seen	 seen;

	memset(&seen, 0, sizeof(seen));
	seen.mailbox = r->mb->id;
	seen.side = r->side;
	seen.uid = m->uid;
	seen.size = m->size;
	seen.key = m->key;
	seen.date = m->date;
	seen.msgid = m->msgid;
	seen.flags = m->flags;
	ask_seen(e, &seen);
}

static void
meta_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mbox	*mb = r->mb;

	if (m->status != ST_OK && !mb->stopped)
		progress_stop(e, mb, "the %s server does not tell what is in "
		    "it: %s", side_name[r->side], m->text);
	if (--mb->pairing.metas == 0 && !mb->stopped)
		pair_send(e, mb);
}

static size_t
meta_ask(struct engine *e, struct mbox *mb, int side, const struct uidset *set)
{
	static const struct answers	 open = { .done = look_opened };
	static const struct answers	 meta = {
		.meta = got_meta, .done = meta_done
	};

	if (uidset_empty(set))
		return 0;
	return ask_meta(e, look_open(e, mb, side, 0, &open), 0, set, &meta);
}

void
pair_ask(struct engine *e, struct mbox *mb, enum pair_mode mode,
    const struct uidset *local, const struct uidset *remote,
    const struct answers *to)
{
	struct pairing	*p = &mb->pairing;

	p->mode = mode;
	p->to = to;
	p->metas = meta_ask(e, mb, LOCAL, local);
	p->metas += meta_ask(e, mb, REMOTE, remote);
	if (p->metas == 0)
		pair_send(e, mb);
}

void
pair_left(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_or(&r->mb->s[m->side].found.unpaired, &m->set);
}

/*
 * Differences are planned from the META at hand: what only one side has is
 * added to the other, but \Deleted, which goes unless both have it: as if it
 * had been there and one side had taken it away.
 */
void
pair_made(struct engine *e, struct req *r, const struct m_engine_paired *m)
{
	char		 base[FLAGS_MAX];
	struct row	*row;
	int		 side;

	(void)e;
	flags_and(base, m->flags[LOCAL], m->flags[REMOTE]);
	if (m->isrow)
		strlcpy(base, m->base, sizeof(base));
	for (side = 0; side < SIDES && !m->isrow; side++)
		if (flags_has(m->flags[side], "\\Deleted"))
			(void)flags_or(base, base, "\\Deleted");
	row = row_add(r->mb, m->uid[LOCAL], m->uid[REMOTE], base);
	if (row == NULL)
		fatalx("the store gave a message two partners");
	for (side = 0; side < SIDES; side++)
		row_now(row, side, m->flags[side]);
}

/* ---- adoption ---- */

static void
adopt_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct m_store_adopt	 a;
	struct mbox		*mb = r->mb;
	int			 side;

	for (side = 0; side < SIDES; side++) {
		uidset_free(&mb->s[side].found.new);
		uidset_or(&mb->s[side].found.new, &mb->s[side].found.unpaired);
		uidset_free(&mb->s[side].found.unpaired);
	}
	memset(&a, 0, sizeof(a));
	a.mailbox = mb->id;
	ask_note(e, M_STORE_ADOPT, &a);
	finish_paired(e, mb);
	mb->adopt = 0;
	mb->npaired += m->count;
}

int
pair_run(struct engine *e)
{
	static const struct answers	 to = {
		.paired = pair_made, .uids = pair_left, .done = adopt_done
	};
	struct mbox			*mb;
	struct uidset			*l, *r;
	int				 asked = 0;

	FOREACH_USABLE(mb, &e->list) {
		l = &mb->s[LOCAL].found.new;
		r = &mb->s[REMOTE].found.new;
		/* Nothing to pair: finish.c clears the flag. */
		if (!mb->adopt || uidset_empty(l) || uidset_empty(r))
			continue;
		pair_ask(e, mb, PAIR_ADOPT, l, r, &to);
		asked = 1;
	}
	if (loop_wait(e, -1) == -1)
		return -1;
	return asked ? loop_commit(e) : 0;
}
