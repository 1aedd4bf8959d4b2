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

/* A copy in another way is made behind those that are under way. */
static void
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

static void
copy_free(struct copy *c)
{
	uidset_free(&c->set);
	free(c);
}

void
exec_reset(struct engine *e)
{
	struct copy	*c;

	if (e->exec.again.tqh_last != NULL)
		while ((c = TAILQ_FIRST(&e->exec.again)) != NULL) {
			TAILQ_REMOVE(&e->exec.again, c, entry);
			copy_free(c);
		}
	memset(&e->exec, 0, sizeof(e->exec));
	TAILQ_INIT(&e->exec.again);
	e->exec.target = -1;
}

/* ---- sessions ---- */

static void
exec_opened(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct sess	*s = r->sess, *d = r->mb->s[r->side].found.disc;

	if (m->status == ST_OK && s->opened &&
	    s->uidvalidity == d->uidvalidity &&
	    strcmp(s->mailboxid, d->mailboxid) == 0)
		return;
	s->failed = 1;
	if (r->mb->stopped)
		return;
	if (m->status != ST_OK)
		progress_stop(e, r->mb, "it can't be opened again on the %s server:"
		    " %s", side_name[r->side], m->text);
	else
		progress_stop(e, r->mb, "it was replaced on the %s server while "
		    "this run was going on; run again", side_name[r->side]);
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
		    name_show(e, r->mb->name), side_name[r->side],
		    st->add ? "set" : "clear", st->flag, m->text);
	st->failed = 1;
	if (not_now(m->code)) {
		/* What the other side told must be told again. */
		st->again = 1;
		r->mb->s[OTHER(r->side)].plan.hold = 1;
		e->partial = 1;
	}
}

static void
expunge_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || r->mb->stopped)
		return;
	log_warnx("%s: the %s server does not expunge: %s",
	    name_show(e, r->mb->name), side_name[r->side], m->text);
	e->partial = 1;
}

/* Flags and expunges go with the first session of the mailbox on a side. */
static void
exec_ops(struct engine *e, struct mbox *mb, int side, struct sess *s)
{
	static const struct answers	 stored = { .done = store_done };
	static const struct answers	 expunged = { .done = expunge_done };
	struct mside			*ms = &mb->s[side];
	struct store			*st;

	if (ms->did.ops_sent)
		return;
	ms->did.ops_sent = 1;
	TAILQ_FOREACH(st, &ms->plan.stores, entry) {
		ask_store(e, s, st, &stored);
		uidset_or(&ms->did.touched, &st->set);
	}
	ask_expunge(e, s, &ms->plan.doomed, &expunged);
}

static int
has_ops(const struct mbox *mb, int side)
{
	const struct mside	*ms = &mb->s[side];

	return !ms->did.ops_sent && (!TAILQ_EMPTY(&ms->plan.stores) ||
	    !uidset_empty(&ms->plan.doomed));
}

/* ---- what a server tells while we change things ---- */

static void
exec_vanished(struct engine *e, struct sess *s,
    const struct m_engine_vanished *m)
{
	struct mside		*ms = &s->mb->s[s->side];
	struct uidset		 ours = UIDSET_INIT, rest = UIDSET_INIT;
	struct m_store_drop	 d;
	size_t			 i;

	uidset_copy(&ours, &m->set);
	uidset_and(&ours, &ms->plan.doomed);
	uidset_copy(&rest, &m->set);
	uidset_sub(&rest, &ms->plan.doomed);
	if (!uidset_empty(&rest))
		s->foreign = ms->did.others = 1;
	uidset_sub(&ours, &ms->did.expunged);
	d.mailbox = s->mb->id;
	d.side = s->side;
	SET_PARTS(&ours, i, &d.set)
		ask_note(e, M_STORE_DROP, &d);
	ms->did.nexpunged += uidset_count(&ours);
	uidset_or(&ms->did.expunged, &ours);
	uidset_free(&ours);
	uidset_free(&rest);
}

static void
exec_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	struct mside	*ms = &s->mb->s[s->side];
	struct store	*st;
	struct row	*row;

	(void)e;
	if (m->modseq != 0 && m->modseq <= ms->found.disc->modseq)
		return;
	if (uidset_has(&ms->plan.doomed, m->uid))
		return;
	if (!m->has_flags) {
		uidset_add(&s->bare, m->uid, m->uid);
		return;
	}
	TAILQ_FOREACH(st, &ms->did.sent, entry)
		if (uidset_has(&st->set, m->uid) &&
		    flags_eq(st->flag, m->flags))
			return;
	row = row_find(s->mb, s->side, m->uid);
	if (row == NULL || row->want[s->side] == NULL ||
	    !flags_eq(row->want[s->side], m->flags))
		s->foreign = 1;
}

/*
 * n of an executing session: changes to what came since, ours included, are to
 * be told as well.
 */
static uint32_t
exec_n(const struct mside *ms)
{
	uint32_t	 n = ms->known.n;

	if (n == 0)
		return 0;
	if (ms->found.disc->uidnext != 0 && ms->found.disc->uidnext - 1 > n)
		n = ms->found.disc->uidnext - 1;
	if (!uidset_empty(&ms->did.appended) &&
	    uidset_max(&ms->did.appended) > n)
		n = uidset_max(&ms->did.appended);
	return n;
}

static struct sess *
exec_open(struct engine *e, struct mbox *mb, int side)
{
	static const struct answers	 to = {
		.done = exec_opened, .vanished = exec_vanished,
		.flags = exec_flags
	};
	struct mside			*ms = &mb->s[side];

	ms->did.exec = ask_open(e, mb, side, SESS_EXEC, rules_open(e, side),
	    exec_n(ms), ms->found.disc->modseq, &to);
	exec_ops(e, mb, side, ms->did.exec);
	return ms->did.exec;
}

/* ---- copying ---- */

static void
send_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (m->status == ST_OK || r->mb->stopped || ended(e))
		return;
	log_warnx("%s: the %s server does not give all messages: %s",
	    name_show(e, r->mb->name), side_name[r->side], m->text);
	e->partial = 1;
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
	copy_free(c);
}

/* What is ours may be told again by a later SELECT: with these flags. */
static void
sent_add(struct mside *ms, uint32_t uid, const char *flags)
{
	struct store	*st;

	TAILQ_FOREACH(st, &ms->did.sent, entry)
		if (flags_eq(st->flag, flags))
			break;
	if (st == NULL)
		st = store_add(&ms->did.sent, 1, flags);
	uidset_add(&st->set, uid, uid);
}

static void
exec_copied(struct engine *e, struct req *r, const struct m_engine_copied *m)
{
	struct copy		*c = r->arg;
	struct mbox		*mb = c->mb;
	struct mside		*src = &mb->s[OTHER(c->target)];
	struct mside		*dst = &mb->s[c->target];
	struct m_store_add	 a;

	e->exec.quota_row[c->target] = 0;
	if (m->lost[0] != '\0')
		mbox_lost(mb, m->lost);
	dst->did.ncopied++;
	dst->did.octets += m->size;
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
	ask_note(e, M_STORE_ADD, &a);
	refusal_end(e, mb, OTHER(c->target), m->uid);
	uidset_add(&src->did.copied, m->uid, m->uid);
	uidset_add(&dst->did.appended, m->newuid, m->newuid);
	sent_add(dst, m->newuid, m->flags);
	mb->mark[c->target].gained = 1;
	/* Asked to stop: this was the one under way; the mark holds the rest. */
	if (e->end.phase == END_ASKED)
		end_hurry(e, HALT_MS);
	if (e->ask.uncommitted >= COMMIT_ROWS) {
		finish_checkpoint(e, mb);
		ask_commit(e);
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
		progress_stop(e, c->mb, "the %s server takes no message: %s",
		    side_name[c->target], text);
	return 1;
}

static void
exec_failed(struct engine *e, struct req *r, const struct m_engine_failed *m)
{
	struct copy	*c = r->arg, single = *c;

	if (mailbox_fault(e, c, m->code, m->text))
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

static void
exec_gone(struct engine *e, struct req *r, const struct m_engine_gone *m)
{
	struct mside	*ms = &r->mb->s[r->side];
	struct refusal	*f, *next;

	uidset_or(&ms->did.copied, &m->set);
	for (f = TAILQ_FIRST(&ms->known.refusals); f != NULL; f = next) {
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

	uidset_add(&c->mb->s[side].did.copied, m->uid, m->uid);
	if (refusal_set(e, c->mb, side, m->uid, m->code, m->size,
	    e->srv[c->target].ready.appendlimit, m->text))
		log_warnx("%s: the %s server refuses message UID %u of the %s "
		    "server (%llu octets): %s", name_show(e, c->mb->name),
		    side_name[c->target], m->uid, side_name[side],
		    (unsigned long long)m->size, m->text);
}

/* One refusal a mailbox stands for all that wait for room. */
static int
quota_stands(struct mside *src)
{
	struct refusal	*f;

	TAILQ_FOREACH(f, &src->known.refusals, entry)
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
exec_refused(struct engine *e, struct req *r, const struct m_engine_refused *m)
{
	struct copy	*c = r->arg, other = *c;
	struct uidset	 one = UIDSET_INIT;

	if (mailbox_fault(e, c, m->code, m->text))
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

static void
exec_copy(struct engine *e, const struct copy *like, const struct uidset *set)
{
	static const struct answers	 from = {
		.gone = exec_gone, .done = send_done
	};
	static const struct answers	 to = {
		.copied = exec_copied, .refused = exec_refused,
		.failed = exec_failed, .done = recv_done
	};
	struct mbox			*mb = like->mb;
	struct sess			*disc = mb->s[like->target].found.disc;
	struct m_net_recv		 m;
	struct copy			*c;

	e->exec.transfer++;
	ask_send(e, exec_open(e, mb, OTHER(like->target)), e->exec.transfer,
	    set, &from);
	c = xcalloc(1, sizeof(*c));
	*c = *like;
	uidset_init(&c->set);
	m.transfer = e->exec.transfer;
	m.mode = c->mode;
	m.nodate = c->nodate;
	m.nokeywords = c->nokeywords;
	m.perm_any = disc->perm_any;
	m.permflags = disc->permflags;
	m.mailbox = mb->s[c->target].told.name;
	mb->mark[c->target].active = ask_recv(e, exec_open(e, mb, c->target),
	    &m, set, &to, c);
}

/* ---- passes ---- */

static void
pass_mbox(struct engine *e, struct mbox *mb, int target)
{
	struct mside	*src = &mb->s[OTHER(target)];
	struct copy	 c = { .mb = mb, .target = target, .mode = RECV_ONE };
	int		 side;

	if (!uidset_empty(&src->told.offer))
		copy_again(e, &c, &src->told.offer);
	if (mb->mark[target].tries == 0)
		c.mode = RECV_MULTI;
	if (!uidset_empty(&src->found.new) && !e->exec.full[target]) {
		exec_copy(e, &c, &src->found.new);
		return;
	}
	/* What has nothing to copy now may have it in the next pass. */
	if (target == LOCAL && !uidset_empty(&mb->s[LOCAL].found.new))
		return;
	for (side = 0; side < SIDES; side++)
		if (has_ops(mb, side))
			exec_open(e, mb, side);
}

static int
pass_again(struct engine *e, int target)
{
	struct copies	 now;
	struct copy	*c;

	TAILQ_INIT(&now);
	TAILQ_CONCAT(&now, &e->exec.again, entry);
	while ((c = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, c, entry);
		if (mbox_usable(c->mb) && !e->exec.full[target])
			exec_copy(e, c, &c->set);
		copy_free(c);
	}
	return loop_wait(e, -1);
}

static int
pass(struct engine *e, int target)
{
	struct mbox	*mb;

	e->exec.target = target;
	e->exec.began = end_now();
	FOREACH_USABLE(mb, &e->list)
		pass_mbox(e, mb, target);
	if (loop_wait(e, -1) == -1)
		return -1;
	while (!TAILQ_EMPTY(&e->exec.again))
		if (pass_again(e, target) == -1)
			return -1;
	return 0;
}

int
exec_run(struct engine *e)
{
	struct mbox	*mb;
	int		 t;

	if (recover_commit(e) == -1)
		return -1;
	for (t = 0; t < SIDES; t++)
		if (pass(e, t) == -1)
			return -1;
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || mb->stopped)
			continue;
		if (mb->dirty || mb->touched)
			finish_mbox(e, mb);
		recover_done(e, mb);
	}
	return loop_commit(e);
}
