/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * delete-mailbox: mailboxes that one side has no more and the other still has.
 * They come behind all copies, so that what was only moved out of them has
 * arrived.  Before a DELETE the mailbox is looked at: what the state does not
 * know of is nowhere else, and keeps it.
 */
#include <stdio.h>

#include "engine.h"

#define SHRUNK_MIN	3	/* fewer mailboxes are never too many */
#define SAMPLE		20	/* messages that must be those of the state */

/* ---- may it be? ---- */

/* Whoever follows the advice must know what it does. */
static void
gone_advice(struct engine *e, struct mbox *mb, int side, const char *why)
{
	const char	*name = which_quote(e, mb->name);

	mb->gone = 0;
	progress_stop(e, mb, "it is gone on the %s server and was left alone on "
	    "the %s server, where it has %u messages%s: run with --delete "
	    "--target=database %s to forget that it was there, so that the "
	    "next run copies it again; run with --delete %s to delete it on "
	    "the %s server, too; if it was renamed, see --rename",
	    side_name[side], side_name[OTHER(side)],
	    mb->s[OTHER(side)].told.messages, why, name, name,
	    side_name[OTHER(side)]);
}

/*
 * At least half of what the state knows is missing there, as if the server had
 * lost it.
 */
static int
has_shrunk(struct engine *e, int side)
{
	struct mbox	*mb;
	uint32_t	 n = 0, all = 0;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->id == 0 || mb->s[side].known.water.uidvalidity == 0)
			continue;
		all++;
		n += !mbox_present(mb, side);
	}
	return n > SHRUNK_MIN && n >= all - n;
}

/* It is the mailbox that the state knows, as far as a LIST tells. */
static int
is_itself(const struct mbox *mb, int side)
{
	const struct side_told	*t = &mb->s[side].told;
	const struct water	*w = &mb->s[side].known.water;

	return t->has_status && w->uidvalidity != 0 &&
	    t->uidvalidity == w->uidvalidity;
}

static void
judge(struct engine *e, struct mbox *mb)
{
	int	 side = mb->gone - 1, other = OTHER(side);

	/* What a dead run has sent to it may still be on its way. */
	recover_hold(mb);
	if (e->want.cfg.gone_rule == GONE_NEVER ||
	    e->want.cfg.command != CMD_SYNC ||
	    !rules_allow(e, other, PROP_DELETE) ||
	    strcmp(mb->name, "INBOX") == 0 ||
	    strcasecmp(mb->s[other].told.name, "INBOX") == 0)
		gone_advice(e, mb, side, "");
	else if (!is_itself(mb, other))
		gone_advice(e, mb, side, ", and is not the one that was there");
	else if (e->want.cfg.gone_rule == GONE_EMPTY &&
	    mb->s[other].told.messages > 0)
		gone_advice(e, mb, side, "");
	else if (has_shrunk(e, side) && !e->want.cfg.allow_delete)
		gone_advice(e, mb, side, ", since at least half of all "
		    "mailboxes are gone there (see --allow-delete)");
	else if (mb->later)
		gone_advice(e, mb, side, ", and the last run was cut short under "
		    "it");
	/* It can't be recovered: there is no other side. */
	mb->later = 0;
}

void
gone_judge(struct engine *e)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list)
		if (mb->gone != 0)
			judge(e, mb);
}

/* ---- the look ---- */

static void
got_row(struct engine *e, struct req *r, const struct m_engine_row *m)
{
	(void)e;
	(void)look_row(r, m);
}

static void
got_meta(struct engine *e, struct req *r, const struct m_engine_meta *m)
{
	struct row	*row = row_find(r->mb, r->side, m->uid);

	(void)e;
	if (row != NULL && row->key != 0 && row->key != m->key)
		r->mb->s[r->side].w->check.mismatch = 1;
}

static void
look_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped)
		progress_stop(e, r->mb, "it is gone on the %s server, and the "
		    "%s server does not show what is in it: %s",
		    side_name[OTHER(r->side)], side_name[r->side], m->text);
}

static void
look(struct engine *e, struct mbox *mb)
{
	static const struct answers	 opened = {
		.done = look_opened, .spoilt = look_spoilt
	};
	static const struct answers	 meta = {
		.meta = got_meta, .done = look_done
	};
	static const struct answers	 search = { .done = look_done };
	int				 side = OTHER(mb->gone - 1);
	struct side_check		*c = &mb->s[side].w->check;
	struct uidset			 all = UIDSET_INIT;
	struct row			*row;

	RB_FOREACH(row, rows_local, &mb->rows_l)
		uidset_add(&c->sample, row->uid[side], row->uid[side]);
	uidset_add(&all, 1, UINT32_MAX);
	c->look = look_open(e, mb, side, 0, &opened);
	ask_search(e, c->look, &all, &search);
	ask_meta(e, c->look, META_KEY, &c->sample, &meta);
	uidset_free(&all);
}

/* What has no row is left over. */
static void
got_have(struct engine *e, struct req *r, const struct m_engine_uids *m)
{
	(void)e;
	uidset_sub(&r->mb->s[r->side].w->check.seen, &m->set);
}

static void
look_judge(struct engine *e, struct mbox *mb)
{
	static const struct answers	 have = { .uids = got_have };
	int				 side = OTHER(mb->gone - 1);
	struct side_check		*c = &mb->s[side].w->check;
	const struct water		*w = &mb->s[side].known.water;
	const struct sess		*s = c->look;

	if (mb->stopped)
		return;
	mb->s[side].told.messages = s->exists;
	if (s->uidvalidity != w->uidvalidity || c->mismatch ||
	    (w->mailboxid[0] != '\0' && s->mailboxid[0] != '\0' &&
	    strcmp(w->mailboxid, s->mailboxid) != 0)) {
		gone_advice(e, mb, OTHER(side), ", and is not the one that was "
		    "there");
		return;
	}
	/* A list that is too short hides something. */
	if (uidset_count(&s->all) != s->exists ||
	    (e->want.cfg.gone_rule == GONE_EMPTY && s->exists > 0)) {
		gone_advice(e, mb, OTHER(side), "");
		return;
	}
	uidset_copy(&c->seen, &s->all);
	ask_have(e, mb, side, &c->seen, &have);
}

static void
look_unknown(struct engine *e, struct mbox *mb)
{
	char			 uids[UIDS_TEXT], why[UIDS_TEXT + 100];
	int			 side = OTHER(mb->gone - 1);
	const struct uidset	*set = &mb->s[side].w->check.seen;

	if (mb->stopped || uidset_empty(set))
		return;
	snprintf(why, sizeof(why), ", %llu of which (%s) came after the last "
	    "run, or were never copied", (unsigned long long)uidset_count(set),
	    progress_uids(set, uids, sizeof(uids)));
	gone_advice(e, mb, OTHER(side), why);
}

static int
look_all(struct engine *e)
{
	static const struct answers	 rows = { .row = got_row };
	static const struct uidset	 none = UIDSET_INIT;
	struct mbox			*mb;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->gone == 0)
			continue;
		mbox_begin(mb);
		if (mb->nrows > 0)
			ask_sample(e, mb, OTHER(mb->gone - 1), SAMPLE, &none,
			    &rows);
	}
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_MBOX(mb, &e->list)
		if (mb->gone != 0)
			look(e, mb);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_MBOX(mb, &e->list)
		if (mb->gone != 0)
			look_judge(e, mb);
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_MBOX(mb, &e->list)
		if (mb->gone != 0)
			look_unknown(e, mb);
	return 0;
}

/* ---- DELETE ---- */

static void
delete_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct mside		*ms = &r->mb->s[r->side];
	struct m_store_forget	 f;

	if (r->what != NAME_DELETE)
		return;
	if (m->status != ST_OK) {
		progress_stop(e, r->mb, "it is gone on the %s server, and the "
		    "%s server does not delete it: %s; delete it there "
		    "yourself, or empty it and run with --delete "
		    "--target=database %s to forget that it was there",
		    side_name[OTHER(r->side)], side_name[r->side], m->text,
		    which_quote(e, r->mb->name));
		return;
	}
	log_info("%s: the mailbox was deleted on %s, as on %s",
	    name_show(e, r->mb->name), side_name[r->side],
	    side_name[OTHER(r->side)]);
	ledger_deleted(e, r->side, r->mb->name, ms->told.messages);
	ms->sum.deleted += ms->told.messages;
	/* The state knows it no more. */
	r->mb->finished = 1;
	f.mailbox = r->mb->id;
	ask_note(e, M_STORE_FORGET, &f);
	if ((ms->told.attrs & ATTR_SUBSCRIBED) &&
	    rules_allow(e, r->side, PROP_FLAGS))
		ask_name(e, r->mb, r->side, NAME_UNSUBSCRIBE, ms->told.name,
		    "", r->to);
}

/* What is below a mailbox first: else some don't delete one that has any. */
static int
delete_all(struct engine *e)
{
	static const struct answers	 to = { .done = delete_done };
	struct mbox			*mb;
	int				 side;

	for (side = 0; side < SIDES && !e->want.cfg.dryrun; side++) {
		FOREACH_MBOX(mb, &e->list)
			if (mb->gone == 1 + OTHER(side) && !mb->stopped)
				break;
		if (mb != NULL)
			look_away(e, side);
	}
	RB_FOREACH_REVERSE(mb, mboxes, &e->list.all) {
		if (mb->gone == 0 || mb->stopped)
			continue;
		side = OTHER(mb->gone - 1);
		if (e->want.cfg.dryrun)
			report_line(e, mb, "to delete on %s (%u messages)",
			    side_name[side], mb->s[side].told.messages);
		else
			ask_name(e, mb, side, NAME_DELETE,
			    mb->s[side].told.name, "", &to);
	}
	return loop_wait(e, -1);
}

/*
 * New messages of that side, which the other one lacks: what was moved out of a
 * mailbox that is gone may be one of them.
 */
static int
has_uncopied(struct engine *e, int side)
{
	struct uidset	 set = UIDSET_INIT;
	struct mbox	*mb;
	int		 any = 0;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || mb->gone != 0)
			continue;
		any |= !RB_EMPTY(&mb->s[side].known.refusals) ||
		    (mb->dirty && mb->stopped) || mb->later;
		if (!mb->dirty || e->want.cfg.dryrun)
			continue;
		copy_new(&mb->s[side], &set);
		any |= !uidset_empty(&set);
		uidset_free(&set);
	}
	return any;
}

int
gone_run(struct engine *e)
{
	struct mbox	*mb;
	int		 any = 0, lacks[SIDES], side;

	for (side = 0; side < SIDES; side++)
		lacks[side] = has_uncopied(e, side);
	FOREACH_MBOX(mb, &e->list) {
		if (mb->gone != 0 && lacks[mb->gone - 1] &&
		    mb->s[OTHER(mb->gone - 1)].told.messages > 0)
			gone_advice(e, mb, mb->gone - 1, ", since not all that "
			    "is new there was copied, which may be what was "
			    "moved out of it");
		any |= mb->gone != 0;
	}
	if (!any)
		return 0;
	if (look_all(e) == -1)
		return -1;
	if (guard_boxes(e) || delete_all(e) == -1)
		return ended(e) ? -1 : 0;
	if (e->want.cfg.dryrun)
		return 0;
	guard_record(e);
	return loop_commit(e);
}
