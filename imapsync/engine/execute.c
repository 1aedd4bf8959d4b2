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
#include <stdio.h>
#include <time.h>

#include "engine.h"

#define COMMIT_ROWS	1000	/* rows to a transaction while copying */

/* Messages to be sent again in another way. */
struct retry {
	TAILQ_ENTRY(retry) entry;
	struct mbox	*mb;
	int		 target;
	int		 mode;
	int		 nodate;
	int		 nokeywords;
	struct uidset	 set;
};
TAILQ_HEAD(retries, retry);

/* A RECV under way, as struct req's arg. */
struct copy {
	struct mbox	*mb;
	int		 target;
	int		 mode;
	int		 nodate;
	int		 nokeywords;
	struct uidset	 set;	/* source UIDs that were asked for */
};

static struct retries	 retries = TAILQ_HEAD_INITIALIZER(retries);

static void
retry_add(struct mbox *mb, int target, int mode, int nodate, int nokeywords,
    const struct uidset *set)
{
	struct retry	*rt;

	TAILQ_FOREACH(rt, &retries, entry)
		if (rt->mb == mb && rt->target == target && rt->mode == mode &&
		    rt->nodate == nodate && rt->nokeywords == nokeywords) {
			uidset_or(&rt->set, set);
			return;
		}
	rt = xcalloc(1, sizeof(*rt));
	rt->mb = mb;
	rt->target = target;
	rt->mode = mode;
	rt->nodate = nodate;
	rt->nokeywords = nokeywords;
	uidset_or(&rt->set, set);
	TAILQ_INSERT_TAIL(&retries, rt, entry);
}

void
exec_reset(void)
{
	struct retry	*rt;

	while ((rt = TAILQ_FIRST(&retries)) != NULL) {
		TAILQ_REMOVE(&retries, rt, entry);
		uidset_free(&rt->set);
		free(rt);
	}
}

/* ---- marks ---- */

static int
wants_copy(const struct mbox *mb, int target)
{
	const struct mside	*src = &mb->s[OTHER(target)];

	return !uidset_empty(&src->new) || !uidset_empty(&src->offer);
}

static void
mark_send(struct engine *e, struct mbox *mb, int target)
{
	struct uidset		 set = UIDSET_INIT;
	struct sess		*d = mb->s[target].disc;
	struct m_store_mark	 m;
	size_t			 i;

	memset(&m, 0, sizeof(m));
	m.mailbox = mb->id;
	m.target = target;
	m.first = 1;
	m.uidvalidity = d->uidvalidity;
	m.uidnext = d->uidnext != 0 ? d->uidnext : mb->s[target].n + 1;
	m.mailboxid = d->mailboxid;
	uidset_or(&set, &mb->s[OTHER(target)].new);
	uidset_or(&set, &mb->s[OTHER(target)].offer);
	SET_PARTS(&set, i, &m.set) {
		engine_send(e, STORE, M_STORE_MARK, 0, &m);
		m.first = 0;
	}
	uidset_free(&set);
	mb->mark[target].set = 1;
}

static void
unmark(struct engine *e, struct mbox *mb, int target)
{
	struct m_store_unmark	 m;

	m.mailbox = mb->id;
	m.target = target;
	engine_send(e, STORE, M_STORE_UNMARK, 0, &m);
	mb->mark[target].set = 0;
}

/*
 * An offer under which the connection may end is counted ahead, or it would be
 * made, and end the connection, in every run.
 */
static void
offers_count(struct engine *e, struct mbox *mb, int side)
{
	struct refusal	*f;

	TAILQ_FOREACH(f, &mb->s[side].refusals, entry)
		if (f->code == RC_CLOSED_CONNECTION &&
		    uidset_has(&mb->s[side].offer, f->uid))
			(void)refusal_set(e, mb, side, f->uid, f->code,
			    f->size, f->limit, f->text);
}

/* No octet of an APPEND before this is on disk. */
static int
marks_commit(struct engine *e)
{
	struct mbox	*mb;
	int		 any = 0, t;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (!mbox_usable(mb))
			continue;
		finish_first(e, mb);
		rules_commit(e, mb);
		for (t = 0; t < SIDES; t++) {
			if (wants_copy(mb, t)) {
				offers_count(e, mb, OTHER(t));
				mark_send(e, mb, t);
			} else if (mb->mark[t].set)
				unmark(e, mb, t);
			else
				continue;
			any = 1;
		}
	}
	return any || e->uncommitted ? engine_commit(e) : 0;
}

/* ---- sessions ---- */

static void
exec_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct sess	*s = r->sess, *d = r->mb->s[s->side].disc;

	if (m->status == ST_OK && s->opened &&
	    s->uidvalidity == d->uidvalidity &&
	    strcmp(s->mailboxid, d->mailboxid) == 0)
		return;
	s->failed = 1;
	if (r->mb->stopped)
		return;
	if (m->status != ST_OK)
		mbox_stop(e, r->mb, "it can't be opened again on the %s server:"
		    " %s", side_name[r->chan], m->text);
	else
		mbox_stop(e, r->mb, "it was replaced on the %s server while "
		    "this run was going on; run again", side_name[r->chan]);
}

/* The answers that say: not now. */
static int
not_now(int code)
{
	return code == RC_INUSE || code == RC_UNAVAILABLE ||
	    code == RC_SERVERBUG || code == RC_EXPUNGEISSUED;
}

static void
store_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct store	*st = r->arg;

	if (m->status == ST_OK)
		return;
	if (!st->failed && !r->mb->stopped && m->status != ST_UNSENT)
		log_warnx("%s: the %s server does not %s the flag %s: %s",
		    progress_show(e, r->mb->name), side_name[r->chan],
		    st->add ? "set" : "clear", st->flag, m->text);
	st->failed = 1;
	if (not_now(m->code)) {
		/* What the other side told must be told again. */
		st->again = 1;
		r->mb->s[OTHER(r->chan)].hold = 1;
		e->partial = 1;
	}
}

static void
expunge_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || r->mb->stopped)
		return;
	log_warnx("%s: the %s server does not expunge: %s",
	    progress_show(e, r->mb->name), side_name[r->chan], m->text);
	e->partial = 1;
}

/* Flags and expunges go with the first session of the mailbox on a side. */
static void
exec_ops(struct engine *e, struct mbox *mb, int side, struct sess *s)
{
	struct mside		*ms = &mb->s[side];
	struct m_net_expunge	 x;
	struct m_net_store	 m;
	struct store		*st;
	uint32_t		 id;
	size_t			 i;

	if (ms->ops_sent)
		return;
	ms->ops_sent = 1;
	m.handle = x.handle = s->handle;
	TAILQ_FOREACH(st, &ms->stores, entry) {
		m.add = st->add;
		m.flags = st->flag;
		SET_PARTS(&st->set, i, &m.set) {
			id = engine_req(e, side, mb, s, store_done, st, 0);
			engine_send(e, side, M_NET_STORE, id, &m);
		}
		uidset_or(&ms->touched, &st->set);
	}
	SET_PARTS(&ms->doomed, i, &x.set) {
		id = engine_req(e, side, mb, s, expunge_done, NULL, 0);
		engine_send(e, side, M_NET_EXPUNGE, id, &x);
	}
}

static int
has_ops(const struct mbox *mb, int side)
{
	return !mb->s[side].ops_sent && (!TAILQ_EMPTY(&mb->s[side].stores) ||
	    !uidset_empty(&mb->s[side].doomed));
}

static struct sess *
exec_open(struct engine *e, struct mbox *mb, int side)
{
	struct mside	*ms = &mb->s[side];

	ms->exec = engine_open(e, mb, side, SESS_EXEC, rules_open(e, side),
	    ms->disc->modseq, exec_opened);
	exec_ops(e, mb, side, ms->exec);
	return ms->exec;
}

/* ---- copying ---- */

static void
send_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || r->mb->stopped || e->stop)
		return;
	log_warnx("%s: the %s server does not give all messages: %s",
	    progress_show(e, r->mb->name), side_name[r->chan], m->text);
	e->partial = 1;
}

static void
recv_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct copy	*c = r->arg;

	c->mb->mark[c->target].active = 0;
	if (m->status != ST_OK && !c->mb->stopped && !e->stop) {
		log_debug("%s: copying to %s did not end well: %s",
		    c->mb->name, side_name[c->target], m->text);
		e->partial = 1;
	}
	uidset_free(&c->set);
	free(c);
}

static void
exec_copy(struct engine *e, struct mbox *mb, int target, int mode, int nodate,
    int nokeywords, const struct uidset *set)
{
	int			 src = OTHER(target);
	struct m_net_send	 ms;
	struct m_net_recv	 mr;
	struct copy		*c;
	struct sess		*s;
	uint32_t		 id;
	size_t			 i;

	e->transfer++;
	s = exec_open(e, mb, src);
	ms.handle = s->handle;
	ms.transfer = e->transfer;
	SET_PARTS(set, i, &ms.set) {
		ms.last = i >= set->n;
		id = engine_req(e, src, mb, s, send_done, NULL, 0);
		engine_send(e, src, M_NET_SEND, id, &ms);
	}
	s = exec_open(e, mb, target);
	c = xcalloc(1, sizeof(*c));
	c->mb = mb;
	c->target = target;
	c->mode = mode;
	c->nodate = nodate;
	c->nokeywords = nokeywords;
	uidset_copy(&c->set, set);
	mr.handle = s->handle;
	mr.transfer = e->transfer;
	mr.mode = mode;
	mr.nodate = nodate;
	mr.nokeywords = nokeywords;
	mr.perm_any = mb->s[target].disc->perm_any;
	mr.permflags = mb->s[target].disc->permflags;
	mr.mailbox = mb->s[target].name;
	id = engine_req(e, target, mb, s, recv_done, c, 0);
	engine_send(e, target, M_NET_RECV, id, &mr);
	mb->mark[target].active = id;
}

static struct copy *
copy_get(struct req *r, uint32_t uid)
{
	struct copy	*c = r->arg;

	if (r->done != recv_done || r->answered)
		fatalx("the %s network worker speaks of a copy that was not "
		    "asked for", side_name[r->chan]);
	if (uid != 0 && !uidset_has(&c->set, uid))
		fatalx("the %s network worker copied a message that was not "
		    "asked for (UID %u)", side_name[r->chan], uid);
	return c;
}

/* What is ours may be told again by a later SELECT: with these flags. */
static void
sent_add(struct mside *ms, uint32_t uid, const char *flags)
{
	struct store	*st;

	TAILQ_FOREACH(st, &ms->sent, entry)
		if (flags_eq(st->flag, flags))
			break;
	if (st == NULL) {
		st = xcalloc(1, sizeof(*st));
		st->flag = xstrdup(flags);
		TAILQ_INSERT_TAIL(&ms->sent, st, entry);
	}
	uidset_add(&st->set, uid, uid);
}

void
exec_copied(struct engine *e, struct req *r, const struct m_engine_copied *m)
{
	struct m_store_commit	 commit = { 0 };
	struct copy		*c = copy_get(r, m->uid);
	struct mbox		*mb = c->mb;
	struct mside		*src = &mb->s[OTHER(c->target)];
	struct mside		*dst = &mb->s[c->target];
	struct m_store_add	 a;

	e->quota_row[c->target] = 0;
	if (m->lost[0] != '\0')
		plan_lost(mb, m->lost);
	dst->ncopied++;
	dst->octets += m->size;
	if (m->newuid == 0) {
		/* It is there: the next run finds it by the mark. */
		mb->nouid = 1;
		return;
	}
	a.mailbox = mb->id;
	a.local = c->target == LOCAL ? m->newuid : m->uid;
	a.remote = c->target == LOCAL ? m->uid : m->newuid;
	a.size = m->size;
	a.key = m->key;
	a.flags = m->flags;
	engine_send(e, STORE, M_STORE_ADD, 0, &a);
	refusal_end(e, mb, OTHER(c->target), m->uid);
	uidset_add(&src->copied, m->uid, m->uid);
	uidset_add(&dst->appended, m->newuid, m->newuid);
	sent_add(dst, m->newuid, m->flags);
	mb->mark[c->target].gained = 1;
	/* Asked to stop: this was the one under way; the mark holds the rest. */
	if (e->halt && e->stop_at > engine_now() + HALT_MS)
		e->stop_at = engine_now() + HALT_MS;
	if (++e->uncommitted >= COMMIT_ROWS) {
		finish_checkpoint(e, mb);
		engine_send(e, STORE, M_STORE_COMMIT, engine_store_req(e, NULL,
		    NULL), &commit);
		e->uncommitted = 0;
	}
}

/* Not this message's fault: the mailbox takes none at all. */
static int
mailbox_fault(struct engine *e, struct copy *c, int code, const char *text)
{
	switch (code) {
	case RC_TRYCREATE:
	case RC_NONEXISTENT:
	case RC_NOPERM:
	case RC_UNAVAILABLE:
	case RC_INUSE:
	case RC_CORRUPTION:
	case RC_CONTACTADMIN:
	case RC_SERVERBUG:
		break;
	default:
		return 0;
	}
	if (!c->mb->stopped)
		mbox_stop(e, c->mb, "the %s server takes no message: %s",
		    side_name[c->target], text);
	return 1;
}

void
exec_failed(struct engine *e, struct req *r, const struct m_engine_failed *m)
{
	struct copy	*c = copy_get(r, 0);
	struct uidset	 set = UIDSET_INIT;

	if (mailbox_fault(e, c, m->code, m->text))
		return;
	/* One batch is tried message by message, the others wait for room. */
	if (m->code == RC_OVERQUOTA && e->quota_batch[c->target]++ > 0)
		return;
	uidset_copy(&set, &m->set);
	uidset_and(&set, &c->set);
	log_debug("%s: %llu messages were refused together (%s): sending them "
	    "one by one", c->mb->name, (unsigned long long)uidset_count(&set),
	    m->text);
	retry_add(c->mb, c->target, RECV_SINGLE, c->nodate, c->nokeywords,
	    &set);
	uidset_free(&set);
}

void
exec_gone(struct engine *e, struct req *r, const struct m_engine_gone *m)
{
	struct mside	*ms;
	struct refusal	*f, *next;

	if (r->done != send_done)
		fatalx("the %s network worker speaks of a copy that was not "
		    "asked for", side_name[r->chan]);
	ms = &r->mb->s[r->chan];
	uidset_or(&ms->copied, &m->set);
	for (f = TAILQ_FIRST(&ms->refusals); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (uidset_has(&m->set, f->uid))
			refusal_end(e, r->mb, r->chan, f->uid);
	}
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
	int	 side = OTHER(c->target);

	uidset_add(&c->mb->s[side].copied, m->uid, m->uid);
	if (refusal_set(e, c->mb, side, m->uid, m->code, m->size,
	    e->ready[c->target].appendlimit, m->text))
		log_warnx("%s: the %s server refuses message UID %u of the %s "
		    "server (%llu octets): %s", progress_show(e, c->mb->name),
		    side_name[c->target], m->uid, side_name[side],
		    (unsigned long long)m->size, m->text);
}

/* One refusal a mailbox stands for all that wait for room. */
static int
quota_stands(struct mside *src)
{
	struct refusal	*f;

	TAILQ_FOREACH(f, &src->refusals, entry)
		if (f->code == RC_OVERQUOTA ||
		    strcasestr(f->text, "quota") != NULL)
			return 1;
	return 0;
}

static void
quota_full(struct engine *e, struct copy *c, const struct m_engine_refused *m)
{
	struct mside	*src = &c->mb->s[OTHER(c->target)];

	if (e->full[c->target])
		return;		/* others that were under way */
	e->full[c->target] = 1;
	if (refusal_find(src, m->uid) != NULL || !quota_stands(src))
		refuse(e, c, m);
	log_warnx("the %s server has no room left: nothing more is copied to it "
	    "in this run", side_name[c->target]);
	e->partial = 1;
}

void
exec_refused(struct engine *e, struct req *r, const struct m_engine_refused *m)
{
	struct copy	*c = copy_get(r, m->uid);
	struct uidset	 one = UIDSET_INIT;

	if (mailbox_fault(e, c, m->code, m->text))
		return;
	if (says_quota(m)) {
		/* Cyrus says it without a code, so once may be one message. */
		if (m->code == RC_OVERQUOTA || ++e->quota_row[c->target] > 1)
			quota_full(e, c, m);
		else
			refuse(e, c, m);
		return;
	}
	e->quota_row[c->target] = 0;
	uidset_add(&one, m->uid, m->uid);
	if (m->status == ST_UNSENT || m->code == RC_TOOBIG ||
	    m->code == RC_LIMIT)
		refuse(e, c, m);
	else if (m->status == ST_BAD && m->had_date && !c->nodate)
		retry_add(c->mb, c->target, c->mode, 1, c->nokeywords, &one);
	else if (m->had_keywords && !c->nokeywords)
		retry_add(c->mb, c->target, c->mode, c->nodate, 1, &one);
	else
		refuse(e, c, m);
	uidset_free(&one);
}

/* ---- what a server tells while we change things ---- */

void
exec_vanished(struct engine *e, struct sess *s,
    const struct m_engine_vanished *m)
{
	struct mside		*ms = &s->mb->s[s->side];
	struct uidset		 ours = UIDSET_INIT, rest = UIDSET_INIT;
	struct m_store_drop	 d;
	size_t			 i;

	uidset_copy(&ours, &m->set);
	uidset_and(&ours, &ms->doomed);
	uidset_copy(&rest, &m->set);
	uidset_sub(&rest, &ms->doomed);
	if (!uidset_empty(&rest))
		s->foreign = ms->others = 1;
	uidset_sub(&ours, &ms->expunged);
	d.mailbox = s->mb->id;
	d.side = s->side;
	SET_PARTS(&ours, i, &d.set)
		engine_send(e, STORE, M_STORE_DROP, 0, &d);
	ms->nexpunged += uidset_count(&ours);
	uidset_or(&ms->expunged, &ours);
	uidset_free(&ours);
	uidset_free(&rest);
}

void
exec_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct mside	*ms = &s->mb->s[s->side];
	struct store	*st;
	struct row	*row;

	(void)e;
	if (m->modseq != 0 && m->modseq <= ms->disc->modseq)
		return;
	if (uidset_has(&ms->doomed, m->uid))
		return;
	if (!m->has_flags) {
		uidset_add(&s->bare, m->uid, m->uid);
		return;
	}
	TAILQ_FOREACH(st, &ms->sent, entry)
		if (uidset_has(&st->set, m->uid) &&
		    flags_eq(st->flag, m->flags))
			return;
	row = row_find(s->mb, s->side, m->uid);
	if (row == NULL || row->want[s->side] == NULL ||
	    !flags_eq(row->want[s->side], m->flags))
		s->foreign = 1;
}

/*
 * The target's connection ended under an APPEND: which mailbox it was counts,
 * and only if no message of it came through.
 */
void
exec_lost(struct engine *e, int side)
{
	struct m_store_markfail	 m;
	struct mbox		*mb, *first = NULL;

	RB_FOREACH(mb, mboxes, &e->mboxes) {
		finish_checkpoint(e, mb);
		if (mb->mark[side].active != 0 && (first == NULL ||
		    mb->mark[side].active < first->mark[side].active))
			first = mb;
	}
	if (first == NULL || first->mark[side].gained)
		return;
	m.mailbox = first->id;
	m.target = side;
	engine_send(e, STORE, M_STORE_MARKFAIL, 0, &m);
}

int
exec_receiving(struct engine *e, int side)
{
	struct mbox	*mb;

	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (mb->mark[side].active != 0)
			return 1;
	return 0;
}

/* ---- passes ---- */

static void
pass_mbox(struct engine *e, struct mbox *mb, int target)
{
	struct mside	*src = &mb->s[OTHER(target)];
	int		 mode = RECV_MULTI, side;

	if (mb->mark[target].tries > 0)
		mode = RECV_ONE;
	if (!uidset_empty(&src->offer))
		retry_add(mb, target, RECV_ONE, 0, 0, &src->offer);
	if (!uidset_empty(&src->new) && !e->full[target]) {
		exec_copy(e, mb, target, mode, 0, 0, &src->new);
		return;
	}
	/* What has nothing to copy now may have it in the next pass. */
	if (target == LOCAL && !uidset_empty(&mb->s[LOCAL].new))
		return;
	for (side = 0; side < SIDES; side++)
		if (has_ops(mb, side))
			exec_open(e, mb, side);
}

static int
pass(struct engine *e, int target)
{
	struct retries	 now;
	struct retry	*rt;
	struct mbox	*mb;

	e->copying = target;
	e->copy_began = engine_now();
	RB_FOREACH(mb, mboxes, &e->mboxes)
		if (mbox_usable(mb))
			pass_mbox(e, mb, target);
	if (engine_wait(e, -1) == -1)
		return -1;
	while (!TAILQ_EMPTY(&retries)) {
		TAILQ_INIT(&now);
		TAILQ_CONCAT(&now, &retries, entry);
		while ((rt = TAILQ_FIRST(&now)) != NULL) {
			TAILQ_REMOVE(&now, rt, entry);
			if (mbox_usable(rt->mb) && !e->full[target])
				exec_copy(e, rt->mb, target, rt->mode,
				    rt->nodate, rt->nokeywords, &rt->set);
			uidset_free(&rt->set);
			free(rt);
		}
		if (engine_wait(e, -1) == -1)
			return -1;
	}
	return 0;
}

int
exec_run(struct engine *e)
{
	struct mbox	*mb;
	int		 t;

	if (marks_commit(e) == -1)
		return -1;
	for (t = 0; t < SIDES; t++)
		if (pass(e, t) == -1)
			return -1;
	RB_FOREACH(mb, mboxes, &e->mboxes) {
		if (mb->skip || mb->stopped)
			continue;
		if (mb->dirty || mb->touched)
			finish_mbox(e, mb);
		for (t = 0; t < SIDES; t++)
			if (mb->mark[t].set && !mb->nouid)
				unmark(e, mb, t);
	}
	return engine_commit(e);
}
