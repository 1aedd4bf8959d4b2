/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Bodies from one side to the other: which way they are sent, and what the two
 * servers answer.
 */
#include "engine.h"

#define COMMIT_ROWS	1000	/* notes to a transaction while copying */
#define REFUSED_LINES	20	/* that name messages, a mailbox */
#define FAULTS		5	/* "not now" for so many messages in a row */

/* A copy in another way is made behind those that are under way. */
void
copy_again(struct engine *e, const struct copy *like, const struct uidset *set)
{
	struct copy	*c;

	TAILQ_FOREACH(c, &e->exec.again, entry)
		if (c->mb == like->mb && c->target == like->target &&
		    c->mode == like->mode && c->nodate == like->nodate &&
		    c->nokeywords == like->nokeywords) {
			uidset_or(&c->set, set);
			return;
		}
	c = xcalloc(1, sizeof(*c));
	c->mb = like->mb;
	c->target = like->target;
	c->mode = like->mode;
	c->nodate = like->nodate;
	c->nokeywords = like->nokeywords;
	uidset_or(&c->set, set);
	TAILQ_INSERT_TAIL(&e->exec.again, c, entry);
}

void
copy_free(struct copy *c)
{
	uidset_free(&c->set);
	free(c);
}

static void
copies_free(struct copies *copies)
{
	struct copy	*c;

	if (copies->tqh_last == NULL)
		return;
	while ((c = TAILQ_FIRST(copies)) != NULL) {
		TAILQ_REMOVE(copies, c, entry);
		copy_free(c);
	}
}

void
copy_reset(struct engine *e)
{
	copies_free(&e->exec.again);
	copies_free(&e->exec.underway);
	memset(&e->exec, 0, sizeof(e->exec));
	TAILQ_INIT(&e->exec.again);
	TAILQ_INIT(&e->exec.underway);
	e->exec.target = -1;
}

/* What it did not give is named (missing_judge()). */
static void
send_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status != ST_OK && !r->mb->stopped && !ended(e))
		log_debug("%s: the %s server does not give all messages: %s",
		    r->mb->name, side_name[r->side], m->text);
}

static void
recv_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct copy	*c = r->arg;

	c->mb->mark[c->target].active = 0;
	if (m->status != ST_OK && !c->mb->stopped && !ended(e)) {
		log_debug("%s: copying to %s did not end well: %s",
		    c->mb->name, side_name[c->target], m->text);
		e->partial = 1;
	}
	TAILQ_REMOVE(&e->exec.underway, c, entry);
	copy_free(c);
}

/* What is ours may be told again by a later SELECT: with these flags. */
static void
sent_add(struct mside *ms, uint32_t uid, const char *flags)
{
	uidset_add(&store_add(&ms->w->did.sent, 1, flags)->set, uid, uid);
}

/*
 * APPENDUID is believed only if it can be true: a UID that this mailbox has given
 * to nothing else, of a message that was under way.
 */
int
copy_fits(struct mbox *mb, int target, uint32_t uid, uint32_t newuid)
{
	const struct mside	*dst = &mb->s[target];
	const struct sess	*d = dst->w->found.disc;

	return newuid >= d->uidnext && newuid > dst->known.n &&
	    newuid != UINT32_MAX &&
	    !uidset_has(&dst->w->did.appended, newuid) &&
	    !uidset_has(&dst->w->found.new, newuid) &&
	    !uidset_has(&mb->s[OTHER(target)].w->did.copied, uid) &&
	    row_find(mb, target, newuid) == NULL &&
	    row_find(mb, OTHER(target), uid) == NULL;
}

void
copy_made(struct engine *e, struct mbox *mb, int target,
    const struct m_engine_copied *m, const char *base)
{
	struct mside		*src = &mb->s[OTHER(target)];
	struct mside		*dst = &mb->s[target];
	struct m_store_add	 a;

	a.mailbox = mb->id;
	a.local = target == LOCAL ? m->newuid : m->uid;
	a.remote = target == LOCAL ? m->uid : m->newuid;
	a.size = m->size;
	a.key = m->key;
	a.flags = base;
	ask_note(e, M_STORE_ADD, &a);
	refusal_end(e, mb, OTHER(target), m->uid);
	uidset_add(&src->w->did.copied, m->uid, m->uid);
	uidset_add(&dst->w->did.appended, m->newuid, m->newuid);
	sent_add(dst, m->newuid, m->flags);
	mb->mark[target].gained = 1;
	dst->w->did.in_a_row = 0;
	moved_copied(e, mb, OTHER(target), m->uid);
	/* Asked to stop: this was the one under way; the mark holds the rest. */
	if (e->end.phase == END_ASKED)
		end_hurry(e, HALT_MS);
	if (e->ask.uncommitted >= COMMIT_ROWS) {
		finish_checkpoint(e, mb);
		ask_commit(e);
	}
}

void
copy_new(const struct mside *src, struct uidset *set)
{
	uidset_copy(set, &src->w->found.new);
	uidset_sub(set, &src->w->did.copied);
	uidset_sub(set, &src->w->did.unlearnt);
	uidset_sub(set, &src->w->plan.wait);
}

static void
got_copied(struct engine *e, struct req *r, const struct m_engine_copied *m)
{
	struct copy	*c = r->arg;
	struct mbox	*mb = c->mb;

	e->exec.quota_row[c->target] = 0;
	if (m->lost[0] != '\0')
		mbox_lost(mb, r->side, m->lost);
	/* It is there, wherever that is: learn_run() finds it, or the next run. */
	if (mb->stopped || m->newuid == 0) {
		uidset_add(&mb->s[OTHER(c->target)].w->did.unlearnt, m->uid,
		    m->uid);
		mb->s[c->target].w->did.octets += m->size;
		return;
	}
	if (!copy_fits(mb, c->target, m->uid, m->newuid)) {
		mb->mark[c->target].keep = 1;
		progress_stop(e, mb, "the %s server says that it gave UID %u "
		    "to a copy, which can't be: what it got is looked for by "
		    "content in the next run", side_name[c->target], m->newuid);
		return;
	}
	mb->s[c->target].w->did.ncopied++;
	mb->s[c->target].w->did.octets += m->size;
	copy_made(e, mb, c->target, m, m->flags);
}

/* The mailbox takes none at all: this direction waits for the next run. */
static void
copy_close(struct engine *e, struct copy *c, const struct uidset *set,
    const char *text)
{
	struct side_did	*d = &c->mb->s[c->target].w->did;
	char		 uids[UIDS_TEXT];

	if (!d->closed)
		log_warnx("%s: the %s server takes no message: %s; what is new "
		    "on the %s server (%s) is offered again by the next run",
		    name_show(e, c->mb->name), side_name[c->target], text,
		    side_name[OTHER(c->target)],
		    progress_uids(set, uids, sizeof(uids)));
	d->closed = 1;
	e->partial = 1;
}

/*
 * Not this message's fault.  Where a server says that it can't just now, it may
 * still be one message: only if it says so of several in a row it is none's.
 */
static int
mailbox_fault(struct engine *e, struct copy *c, int code, const char *text,
    const struct uidset *set, int one)
{
	switch (code) {
	case RC_TRYCREATE:
	case RC_NONEXISTENT:
	case RC_NOPERM:
		copy_close(e, c, set, text);
		return 1;
	case RC_UNAVAILABLE:
	case RC_INUSE:
	case RC_CORRUPTION:
	case RC_CONTACTADMIN:
	case RC_SERVERBUG:
		if (one && ++c->mb->s[c->target].w->did.in_a_row > FAULTS)
			copy_close(e, c, set, text);
		break;
	}
	return c->mb->s[c->target].w->did.closed;
}

static void
got_failed(struct engine *e, struct req *r, const struct m_engine_failed *m)
{
	struct copy	*c = r->arg, single = *c;

	/* Or it would be sent again for ever. */
	if (c->mode != RECV_MULTI)
		fatalx("the %s worker says that messages were refused together "
		    "which were sent one by one", side_name[c->target]);
	if (mailbox_fault(e, c, m->code, m->text, &m->set, 0))
		return;
	/* One batch is tried message by message, the others wait for room. */
	if (m->code == RC_OVERQUOTA && e->exec.quota_batch[c->target]++ > 0)
		return;
	log_debug("%s: %llu messages were refused together (%s): sending them "
	    "one by one", c->mb->name,
	    (unsigned long long)uidset_count(&m->set), m->text);
	single.mode = RECV_SINGLE;
	copy_again(e, &single, &m->set);
}

/* ---- what the source does not give ---- */

/* Not given; whether it is there is asked behind the copies. */
static void
got_withheld(struct engine *e, struct req *r,
    const struct m_engine_withheld *m)
{
	struct side_did	*d = &r->mb->s[r->side].w->did;

	(void)e;
	uidset_or(&d->missing, &m->set);
	if (m->text[0] == '\0')
		return;
	free(d->why);
	d->why = xstrdup(m->text);
}

static void
missing_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	/* No list: they may all be there. */
	if (m->status != ST_OK)
		r->mb->s[r->side].w->did.unlisted = 1;
}

/* A list that is taken now: only what it lacks is gone. */
static void
missing_ask(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 open = { .done = missing_done };
	static const struct answers	 search = { .done = missing_done };
	struct side_did			*d = &mb->s[side].w->did;

	/* What came all the same is not missing. */
	uidset_sub(&d->missing, &d->copied);
	if (uidset_empty(&d->missing))
		return;
	d->look = look_open(e, mb, side, 0, &open);
	ask_search(e, d->look, &d->missing, &search);
}

static void
gone(struct engine *e, struct mbox *mb, int side, const struct uidset *set)
{
	struct mside	*ms = &mb->s[side];
	struct refusal	*f, *next;

	uidset_or(&ms->w->did.copied, set);
	for (f = RB_MIN(refusals, &ms->known.refusals); f != NULL; f = next) {
		next = RB_NEXT(refusals, &ms->known.refusals, f);
		if (uidset_has(set, f->uid))
			refusal_end(e, mb, side, f->uid);
	}
}

static void
missing_judge(struct engine *e, struct mbox *mb, int side)
{
	struct side_did	*d = &mb->s[side].w->did;
	struct uidset	 absent = UIDSET_INIT;
	uint32_t	 u;

	if (d->look == NULL)
		return;
	if (!d->unlisted) {
		uidset_copy(&absent, &d->missing);
		uidset_sub(&absent, &d->look->all);
		gone(e, mb, side, &absent);
		uidset_sub(&d->missing, &absent);
		uidset_free(&absent);
	}
	while ((u = uidset_min(&d->missing)) != 0) {
		refusal_withheld(e, mb, side, u, d->why != NULL ? d->why : "");
		uidset_del(&d->missing, u, u);
	}
	refusal_unnamed(e, mb, side);
	d->look = NULL;
	d->unlisted = 0;
}

int
copy_missing(struct engine *e)
{
	struct mbox	*mb;
	int		 side, any = 0;

	FOREACH_USABLE_SIDE(mb, side, &e->list) {
		any |= !uidset_empty(&mb->s[side].w->did.missing);
		missing_ask(e, mb, side);
	}
	if (!any)
		return 0;
	if (loop_wait(e, -1) == -1)
		return -1;
	FOREACH_USABLE_SIDE(mb, side, &e->list)
		missing_judge(e, mb, side);
	return 0;
}

static void
got_gone(struct engine *e, struct req *r, const struct m_engine_gone *m)
{
	gone(e, r->mb, r->side, &m->set);
}

/* The connection ends under it: recover.c counts that. */
static void
got_send_due(struct engine *e, struct req *r, const struct m_engine_due *m)
{
	ask_due(e, r->mb, r->side, m->uid, DUE_SOURCE);
}

static void
got_recv_due(struct engine *e, struct req *r, const struct m_engine_due *m)
{
	ask_due(e, r->mb, OTHER(r->side), m->uid,
	    m->alone ? DUE_TARGET : DUE_BATCH);
}

/* ---- refusals ---- */

static int
says_quota(const struct m_engine_refused *m)
{
	return m->code == RC_OVERQUOTA || (m->code == RC_NONE &&
	    m->status == ST_NO && strcasestr(m->text, "quota") != NULL);
}

static void
refuse(struct engine *e, struct copy *c, const struct m_engine_refused *m)
{
	int		 side = OTHER(c->target);
	struct side_did	*d = &c->mb->s[side].w->did;

	if (!refusal_room(e, c->mb, side, m->uid))
		return;
	uidset_add(&d->copied, m->uid, m->uid);
	if (!refusal_set(e, c->mb, side, m->uid, m->code, m->size,
	    e->srv[c->target].ready.appendlimit, m->text))
		return;
	if (d->nrefused++ >= REFUSED_LINES)
		uidset_add(&d->more, m->uid, m->uid);
	else
		log_warnx("%s: the %s server refuses message UID %u of the %s "
		    "server (%llu octets): %.250s", name_show(e, c->mb->name),
		    side_name[c->target], m->uid, side_name[side],
		    (unsigned long long)m->size, m->text);
}

/* One refusal a mailbox stands for all that wait for room. */
static int
quota_stands(struct mside *src)
{
	struct refusal	*f;

	RB_FOREACH(f, refusals, &src->known.refusals)
		if (f->code == RC_OVERQUOTA ||
		    strcasestr(f->text, "quota") != NULL)
			return 1;
	return 0;
}

static void
quota_full(struct engine *e, struct copy *c, const struct m_engine_refused *m)
{
	struct mside	*src = &c->mb->s[OTHER(c->target)];

	if (e->exec.full[c->target])
		return;		/* others that were under way */
	e->exec.full[c->target] = 1;
	if (refusal_find(src, m->uid) != NULL || !quota_stands(src))
		refuse(e, c, m);
	log_warnx("the %s server has no room left: nothing more is copied to it "
	    "in this run", side_name[c->target]);
	e->partial = 1;
}

static void
got_refused(struct engine *e, struct req *r, const struct m_engine_refused *m)
{
	struct copy	*c = r->arg, other = *c;
	struct uidset	 one = UIDSET_INIT;
	int		 fault;

	uidset_add(&one, m->uid, m->uid);
	fault = mailbox_fault(e, c, m->code, m->text, &one, 1);
	uidset_free(&one);
	if (fault)
		return;
	if (says_quota(m)) {
		/* Cyrus says it without a code, so once may be one message. */
		if (m->code == RC_OVERQUOTA || ++e->exec.quota_row[c->target] > 1)
			quota_full(e, c, m);
		else
			refuse(e, c, m);
		return;
	}
	e->exec.quota_row[c->target] = 0;
	if (m->status == ST_UNSENT || m->code == RC_TOOBIG ||
	    m->code == RC_LIMIT) {
		refuse(e, c, m);
		return;
	}
	if (m->status == ST_BAD && m->had_date && !c->nodate)
		other.nodate = 1;
	else if (m->had_keywords && !c->nokeywords)
		other.nokeywords = 1;
	else {
		refuse(e, c, m);
		return;
	}
	uidset_add(&one, m->uid, m->uid);
	copy_again(e, &other, &one);
	uidset_free(&one);
}

void
copy_start(struct engine *e, const struct copy *like, const struct uidset *set)
{
	static const struct answers	 from = {
		.gone = got_gone, .withheld = got_withheld,
		.due = got_send_due, .done = send_done
	};
	static const struct answers	 to = {
		.copied = got_copied, .refused = got_refused,
		.failed = got_failed, .due = got_recv_due,
		.done = recv_done
	};
	struct mbox			*mb = like->mb;
	struct sess			*disc = mb->s[like->target].w->found.disc;
	struct m_net_recv		 m;
	struct copy			*c;

	e->exec.transfer++;
	ask_send(e, session_open(e, mb, OTHER(like->target)), e->exec.transfer,
	    set, &from);
	c = xcalloc(1, sizeof(*c));
	*c = *like;
	uidset_init(&c->set);
	TAILQ_INSERT_TAIL(&e->exec.underway, c, entry);
	m.transfer = e->exec.transfer;
	m.mode = c->mode;
	m.nodate = c->nodate;
	m.nokeywords = c->nokeywords;
	m.perm_any = disc->perm_any;
	m.permflags = disc->permflags;
	m.mailbox = mb->s[c->target].told.name;
	mb->mark[c->target].active = ask_recv(e, session_open(e, mb, c->target),
	    &m, set, &to, c);
}
