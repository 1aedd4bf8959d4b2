/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Requests under way, and what may answer them.
 */
#include "engine.h"

RB_GENERATE(reqs, req, entry, req_cmp)

int
req_cmp(struct req *a, struct req *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

/* ---- life of a request ---- */

void
ask_init(struct engine *e)
{
	RB_INIT(&e->ask.reqs);
	TAILQ_INIT(&e->ask.sesses);
}

static void
req_free(struct engine *e, struct req *r)
{
	RB_REMOVE(reqs, &e->ask.reqs, r);
	uidset_free(&r->set);
	free(r);
}

static void
sess_free(struct sess *s)
{
	uidset_free(&s->all);
	uidset_free(&s->fresh);
	uidset_free(&s->earlier);
	uidset_free(&s->vanished);
	uidset_free(&s->bare);
	uidset_free(&s->between);
	free(s->permflags);
	free(s->mailboxid);
	free(s);
}

void
ask_reset(struct engine *e)
{
	struct req	*r, *next;
	struct sess	*s;

	for (r = RB_MIN(reqs, &e->ask.reqs); r != NULL; r = next) {
		next = RB_NEXT(reqs, &e->ask.reqs, r);
		if (r->type != ASK_WATCH || r->state == REQ_ANSWERED ||
		    !ask_isopen(e, r->chan))
			req_free(e, r);
	}
	while ((s = TAILQ_FIRST(&e->ask.sesses)) != NULL) {
		TAILQ_REMOVE(&e->ask.sesses, s, entry);
		sess_free(s);
	}
	e->ask.uncommitted = 0;
	e->ask.reset_id = e->ask.last_id;
}

void
ask_trim(struct engine *e)
{
	struct sess	*s, *nexts;
	struct req	*r, *nextr;

	for (r = RB_MIN(reqs, &e->ask.reqs); r != NULL; r = nextr) {
		nextr = RB_NEXT(reqs, &e->ask.reqs, r);
		if (r->state == REQ_ANSWERED && r->mb != NULL &&
		    r->mb->finished)
			req_free(e, r);
	}
	for (s = TAILQ_FIRST(&e->ask.sesses); s != NULL; s = nexts) {
		nexts = TAILQ_NEXT(s, entry);
		if (!s->mb->finished)
			continue;
		TAILQ_REMOVE(&e->ask.sesses, s, entry);
		sess_free(s);
	}
	/* Their servers may go on to tell of them. */
	e->ask.reset_id = e->ask.last_id;
}

int
ask_isopen(const struct engine *e, int chan)
{
	return e->ask.open[chan];
}

void
ask_closed(struct engine *e, int chan)
{
	e->ask.open[chan] = 0;
	e->ask.pending[chan] = 0;
	close(e->ask.ch[chan].ib.fd);
	e->ask.ch[chan].ib.fd = -1;
}

void
ask_time(struct engine *e, int side)
{
	e->ask.told[side] = e->ask.moved[side] = end_now();
	e->ask.spared[side] = 0;
}

static struct req *
req_new(struct engine *e, int chan, enum ask_type type, struct mbox *mb,
    struct sess *s, const struct answers *to)
{
	static const struct answers	 nobody;
	struct req			*r;

	/* Who was asked nothing is not waited for. */
	if (e->ask.pending[LOCAL] + e->ask.pending[REMOTE] +
	    e->ask.pending[STORE] == 0)
		e->ask.heard = end_now();
	r = xcalloc(1, sizeof(*r));
	r->id = ++e->ask.last_id;
	r->chan = r->side = chan;
	r->type = type;
	r->state = REQ_ASKED;
	r->to = to != NULL ? to : &nobody;
	r->mb = mb;
	r->sess = s;
	RB_INSERT(reqs, &e->ask.reqs, r);
	if (e->ask.pending[chan]++ == 0 && chan != STORE)
		ask_time(e, chan);
	if (type == ASK_SEND || type == ASK_RECV)
		e->ask.bodies[chan]++;
	return r;
}

/* What its answers may name: these UIDs, each once. */
static void
req_limit(struct req *r, const struct uidset *set)
{
	uidset_copy(&r->set, set);
	r->room = uidset_count(set);
}

void
ask_tell(struct engine *e, int chan, uint32_t type, const void *rec)
{
	if (ask_isopen(e, chan))
		chan_send(&e->ask.ch[chan], type, 0, rec);
}

void
ask_note(struct engine *e, uint32_t type, const void *rec)
{
	ask_tell(e, STORE, type, rec);
	e->ask.uncommitted++;
}

void
ask_seen(struct engine *e, const struct m_store_seen *m)
{
	ask_tell(e, STORE, M_STORE_SEEN, m);
}

static void
req_send(struct engine *e, struct req *r, uint32_t type, const void *rec)
{
	if (ask_isopen(e, r->chan))
		chan_send(&e->ask.ch[r->chan], type, r->id, rec);
}

/* ---- answers ---- */

static const char *
who(int chan)
{
	return chan == STORE ? "store" : side_name[chan];
}

static int
fits_uid(struct req *r, uint32_t uid)
{
	if (!uidset_has(&r->set, uid) || r->room == 0)
		return 0;
	r->room--;
	return 1;
}

static int
fits_set(struct req *r, const struct uidset *set)
{
	struct uidset	 rest = UIDSET_INIT;
	int		 ok;

	uidset_copy(&rest, set);
	uidset_sub(&rest, &r->set);
	ok = uidset_empty(&rest);
	uidset_free(&rest);
	return ok;
}

/*
 * One function an answer: whether it fits the request it names (0 or 1) and, if
 * it does, hands it to the asker.
 */
#define ANSWER(name)							\
static int								\
a_##name(struct engine *e, struct req *r, const void *rec)		\
{									\
	if (r->to->name != NULL)					\
		r->to->name(e, r, rec);					\
	return 1;							\
}
#define ANSWER_UID(name)						\
static int								\
a_##name(struct engine *e, struct req *r, const void *rec)		\
{									\
	const struct m_engine_##name	*m = rec;			\
									\
	if (!fits_uid(r, m->uid))					\
		return 0;						\
	if (r->to->name != NULL)					\
		r->to->name(e, r, m);					\
	return 1;							\
}
#define ANSWER_SET(name)						\
static int								\
a_##name(struct engine *e, struct req *r, const void *rec)		\
{									\
	const struct m_engine_##name	*m = rec;			\
									\
	if (!fits_set(r, &m->set))					\
		return 0;						\
	if (r->to->name != NULL)					\
		r->to->name(e, r, m);					\
	return 1;							\
}

ANSWER(mailbox)
ANSWER(changed)
ANSWER(stats)
ANSWER(server)
ANSWER(offer)
ANSWER(mbox)
ANSWER(mark)
ANSWER(refusal)
ANSWER(stopped)
ANSWER(info)
ANSWER(row)
ANSWER(paired)
ANSWER_UID(meta)
ANSWER_UID(copied)
ANSWER_UID(refused)
ANSWER_SET(failed)
ANSWER_SET(gone)
ANSWER_SET(withheld)

void
ask_due(struct engine *e, struct mbox *mb, int side, uint32_t uid,
    enum due kind)
{
	if (e->due.mb != NULL)
		return;
	e->due.mb = mb;
	e->due.side = side;
	e->due.uid = uid;
	e->due.kind = kind;
}

static int
a_due(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_due	*m = rec;

	if (m->uid != 0 && !uidset_has(&r->set, m->uid))
		return 0;
	if (m->uid != 0 && r->to->due != NULL)
		r->to->due(e, r, m);
	else
		ask_due(e, r->mb, r->side, m->uid, DUE_MBOX);
	return 1;
}

static int
a_status(struct engine *e, struct req *r, const void *rec)
{
	r->state = REQ_TOLD;
	return a_mailbox(e, r, rec);
}

static int
a_opened(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_opened	*m = rec;
	struct sess			*s = r->sess;

	r->state = REQ_TOLD;
	s->opened = 1;
	s->proof = m->proof;
	e->srv[s->side].ghosts |= m->proof == PROOF_NONE;
	s->uidvalidity = m->uidvalidity;
	s->uidnext = m->uidnext;
	s->guessed = m->guessed;
	s->exists = s->exists_end = m->exists;
	s->recent = m->recent;
	s->above = (uint32_t)(uidset_count(&s->fresh) -
	    uidset_upto(&s->fresh, s->n));
	s->modseq = s->modseq_end = m->modseq;
	s->readonly = m->readonly;
	s->notsticky = m->notsticky;
	s->perm_any = m->perm_any;
	s->permflags = xstrdup(m->permflags);
	s->mailboxid = xstrdup(m->mailboxid);
	return 1;
}

/* Nothing that is told of this session counts: who opened it is told why. */
static void
spoil(struct engine *e, struct sess *s, const struct m_engine_spoilt *m)
{
	struct req	 find, *r;

	find.id = s->handle;
	r = RB_FIND(reqs, &e->ask.reqs, &find);
	if (!s->spoilt && r != NULL && r->to->spoilt != NULL)
		r->to->spoilt(e, r, m);
	s->spoilt = 1;
}

/* What is told in more pieces than can be kept. */
static int
has_room(struct engine *e, struct sess *s, const struct uidset *set)
{
	static const struct m_engine_spoilt	 m = {
		"UIDs in more pieces than can be handled at once"
	};

	if (s->spoilt)
		return 0;
	e->ranges += set->n;
	if (e->ranges <= RANGES_MAX)
		return 1;
	e->ranges -= set->n;
	spoil(e, s, &m);
	return 0;
}

static int
a_vanished(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_vanished	*m = rec;
	struct sess			*s = r->sess;

	if (!has_room(e, r->sess, &m->set))
		return 1;
	if (r->to->vanished != NULL)
		r->to->vanished(e, s, m);
	else
		uidset_or(m->earlier ? &s->earlier : &s->vanished, &m->set);
	return 1;
}

/* Servers tell them in order; what is told again is no progress. */
static int
a_flags(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_flags	*m = rec;

	e->ask.stale = m->uid <= r->sess->reached;
	if (m->uid > r->sess->reached)
		r->sess->reached = m->uid;
	if (r->to->flags != NULL)
		r->to->flags(e, r->sess, rec);
	return 1;
}

static int
a_spoilt(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_spoilt	*m = rec;

	if (m->text[0] == '\0') {
		r->sess->unsure = 1;
		return 1;
	}
	spoil(e, r->sess, m);
	return 1;
}

/* The lists that an OPEN asked for. */
static int
a_list(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_uids	*m = rec;

	if (!(r->what & m->what))
		return 0;
	if (!has_room(e, r->sess, &m->set))
		return 1;
	uidset_or(m->what == OPEN_NEW ? &r->sess->fresh : &r->sess->all,
	    &m->set);
	return 1;
}

static int
a_search(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_uids	*m = rec;

	if (!fits_set(r, &m->set))
		return 0;
	if (!has_room(e, r->sess, &m->set))
		return 1;
	uidset_or(&r->sess->all, &m->set);
	return 1;
}

static int
a_uids(struct engine *e, struct req *r, const void *rec)
{
	if (r->to->uids != NULL)
		r->to->uids(e, r, rec);
	return 1;
}

/* Once: how the session stands now; a handle lives on. */
static int
a_done(struct engine *e, struct req *r, const void *rec)
{
	const struct m_engine_done	*m = rec;

	r->state = REQ_ANSWERED;
	e->ask.pending[r->chan]--;
	if (r->type == ASK_SEND || r->type == ASK_RECV)
		e->ask.bodies[r->chan]--;
	if (r->sess != NULL && r->chan != STORE && m->status != ST_UNSENT) {
		r->sess->exists_end = m->exists;
		r->sess->modseq_end = m->modseq;
	}
	if (r->to->done != NULL)
		r->to->done(e, r, m);
	if (r->type != ASK_OPEN)
		req_free(e, r);
	return 1;
}

#define ASKED		REQ_ASKED
#define TOLD		REQ_TOLD
#define UNANSWERED	(REQ_ASKED | REQ_TOLD)
#define ALWAYS		(REQ_ASKED | REQ_TOLD | REQ_ANSWERED)

/* The one door: which answer a request may have, in which states of it. */
static const struct {
	enum ask_type	 type;
	uint32_t	 msg;
	unsigned int	 states;
	int		(*fn)(struct engine *, struct req *, const void *);
} fits[] = {
	{ ASK_LIST,	M_ENGINE_MAILBOX,	ASKED,		a_mailbox },
	{ ASK_STATUS,	M_ENGINE_MAILBOX,	ASKED,		a_status },
	{ ASK_OPEN,	M_ENGINE_UIDS,		ASKED,		a_list },
	{ ASK_OPEN,	M_ENGINE_OPENED,	ASKED,		a_opened },
	{ ASK_OPEN,	M_ENGINE_VANISHED,	ALWAYS,		a_vanished },
	{ ASK_OPEN,	M_ENGINE_FLAGS,		ALWAYS,		a_flags },
	{ ASK_OPEN,	M_ENGINE_SPOILT,	ALWAYS,		a_spoilt },
	{ ASK_OPEN,	M_ENGINE_DUE,		ALWAYS,		a_due },
	{ ASK_META,	M_ENGINE_META,		ASKED,		a_meta },
	{ ASK_META,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_SEARCH,	M_ENGINE_UIDS,		ASKED,		a_search },
	{ ASK_SEARCH,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_SEND,	M_ENGINE_GONE,		ASKED,		a_gone },
	{ ASK_SEND,	M_ENGINE_WITHHELD,	ASKED,		a_withheld },
	{ ASK_SEND,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_RECV,	M_ENGINE_COPIED,	ASKED,		a_copied },
	{ ASK_RECV,	M_ENGINE_REFUSED,	ASKED,		a_refused },
	{ ASK_RECV,	M_ENGINE_FAILED,	ASKED,		a_failed },
	{ ASK_RECV,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_STORE,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_EXPUNGE,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_MOVE,	M_ENGINE_COPIED,	ASKED,		a_copied },
	{ ASK_MOVE,	M_ENGINE_DUE,		ASKED,		a_due },
	{ ASK_WATCH,	M_ENGINE_MAILBOX,	ASKED,		a_mailbox },
	{ ASK_WATCH,	M_ENGINE_CHANGED,	ASKED,		a_changed },
	{ ASK_STATS,	M_ENGINE_STATS,		ASKED,		a_stats },
	{ ASK_LOAD,	M_ENGINE_SERVER,	ASKED,		a_server },
	{ ASK_PROBE,	M_ENGINE_OFFER,		ASKED,		a_offer },
	{ ASK_LOAD,	M_ENGINE_MBOX,		ASKED,		a_mbox },
	{ ASK_LOAD,	M_ENGINE_MARK,		ASKED,		a_mark },
	{ ASK_LOAD,	M_ENGINE_REFUSAL,	ASKED,		a_refusal },
	{ ASK_LOAD,	M_ENGINE_STOPPED,	ASKED,		a_stopped },
	{ ASK_IMPORT,	M_ENGINE_MBOX,		ASKED,		a_mbox },
	{ ASK_INFO,	M_ENGINE_UIDS,		ASKED,		a_uids },
	{ ASK_INFO,	M_ENGINE_INFO,		ASKED,		a_info },
	{ ASK_ROWS,	M_ENGINE_ROW,		ASKED,		a_row },
	{ ASK_HAVE,	M_ENGINE_UIDS,		ASKED,		a_uids },
	{ ASK_SAMPLE,	M_ENGINE_ROW,		ASKED,		a_row },
	{ ASK_DIFF,	M_ENGINE_ROW,		ASKED,		a_row },
	{ ASK_PAIR,	M_ENGINE_ROW,		ASKED,		a_row },
	{ ASK_PAIR,	M_ENGINE_PAIRED,	ASKED,		a_paired },
	{ ASK_PAIR,	M_ENGINE_UIDS,		ASKED,		a_uids },
};

static int
answer_fits(struct engine *e, struct req *r, const struct msg *msg)
{
	size_t	 i;

	/* Every request ends in one DONE. */
	if (msg->type == M_ENGINE_DONE)
		return (r->state & UNANSWERED) && a_done(e, r, msg->rec);
	for (i = 0; i < nitems(fits); i++)
		if (fits[i].type == r->type && fits[i].msg == msg->type)
			return (r->state & fits[i].states) &&
			    fits[i].fn(e, r, msg->rec);
	return 0;
}

void
ask_answer(const struct msg *msg)
{
	struct source	*src = msg->arg;
	struct req	 find, *r;
	int		 answers;

	src->e->ask.heard = end_now();
	find.id = msg->id;
	r = RB_FIND(reqs, &src->e->ask.reqs, &find);
	/* A server may go on to tell of what an earlier pass has opened. */
	if (r == NULL && msg->id <= src->e->ask.reset_id &&
	    (msg->type == M_ENGINE_VANISHED || msg->type == M_ENGINE_FLAGS ||
	    msg->type == M_ENGINE_SPOILT))
		return;
	if (r == NULL || r->chan != src->chan)
		fatalx("the %s worker answered a request that was not made "
		    "(%s)", who(src->chan), proto_name(msg->type));
	/* It may be no request any more once it has its answer. */
	answers = r->state & UNANSWERED;
	src->e->ask.stale = 0;
	if (!answer_fits(src->e, r, msg))
		fatalx("the %s worker sent what does not answer its request "
		    "(%s)", who(src->chan), proto_name(msg->type));
	if (answers && !src->e->ask.stale && src->chan != STORE) {
		src->e->ask.moved[src->chan] = end_now();
		src->e->ask.spared[src->chan] = 0;
		src->e->ask.idle[LOCAL] = src->e->ask.idle[REMOTE] = 0;
		src->e->ask.full[LOCAL] = src->e->ask.full[REMOTE] = 0;
	}
}

/* ---- to a network worker ---- */

void
ask_list(struct engine *e, int side, const struct m_net_list *m,
    char **patterns, size_t n, char **known, size_t nknown,
    const struct answers *to)
{
	struct req		*r = req_new(e, side, ASK_LIST, NULL, NULL, to);
	struct m_net_pattern	 p;
	struct m_net_known	 k;
	size_t			 i;

	for (i = 0; i < n; i++) {
		p.pattern = patterns[i];
		req_send(e, r, M_NET_PATTERN, &p);
	}
	for (i = 0; i < nknown; i++) {
		k.mailbox = known[i];
		req_send(e, r, M_NET_KNOWN, &k);
	}
	req_send(e, r, M_NET_LIST, m);
}

void
ask_status(struct engine *e, struct mbox *mb, int side,
    const struct answers *to)
{
	struct req		*r = req_new(e, side, ASK_STATUS, mb, NULL, to);
	struct m_net_status	 m;

	m.mailbox = mb->s[side].told.name;
	req_send(e, r, M_NET_STATUS, &m);
}

struct sess *
ask_open(struct engine *e, struct mbox *mb, int side, enum sess_kind kind,
    int what, uint32_t n, uint64_t modseq, const struct answers *to)
{
	struct mside		*ms = &mb->s[side];
	struct m_net_open	 m;
	struct sess		*s;
	struct req		*r;

	s = xcalloc(1, sizeof(*s));
	s->mb = mb;
	s->side = side;
	s->kind = kind;
	s->full = (what & OPEN_FULL) != 0;
	s->examine = (what & OPEN_EXAMINE) != 0;
	s->n = ms->known.n;
	TAILQ_INSERT_TAIL(&e->ask.sesses, s, entry);
	r = req_new(e, side, ASK_OPEN, mb, s, to);
	r->what = what;
	s->handle = r->id;

	memset(&m, 0, sizeof(m));
	m.what = what;
	m.n = n;
	m.uidnext = ms->known.water.uidnext;
	/* What was paired has moved U on; a list has no gap behind n. */
	if (m.uidnext - 1 > ms->known.n)
		m.uidnext = ms->known.n + 1;
	m.mailbox = ms->told.name;
	m.modseq = modseq;
	if (modseq != 0)
		m.uidvalidity = ms->known.water.uidvalidity != 0 ?
		    ms->known.water.uidvalidity : ms->w->found.disc->uidvalidity;
	req_send(e, r, M_NET_OPEN, &m);
	return s;
}

size_t
ask_meta(struct engine *e, struct sess *s, enum meta_what what,
    const struct uidset *set, const struct answers *to)
{
	struct m_net_meta	 m;
	struct req		*r;
	size_t			 i, n = 0;

	m.handle = s->handle;
	m.what = what;
	SET_PARTS(set, i, &m.set) {
		r = req_new(e, s->side, ASK_META, s->mb, s, to);
		req_limit(r, &m.set);
		req_send(e, r, M_NET_META, &m);
		n++;
	}
	return n;
}

size_t
ask_search(struct engine *e, struct sess *s, const struct uidset *set,
    const struct answers *to)
{
	struct m_net_search	 m;
	struct req		*r;
	size_t			 i, n = 0;

	m.handle = s->handle;
	SET_PARTS(set, i, &m.set) {
		r = req_new(e, s->side, ASK_SEARCH, s->mb, s, to);
		req_limit(r, &m.set);
		req_send(e, r, M_NET_SEARCH, &m);
		n++;
	}
	return n;
}

void
ask_send(struct engine *e, struct sess *s, uint32_t transfer,
    const struct uidset *set, const struct answers *to)
{
	struct m_net_send	 m;
	struct req		*r;
	size_t			 i;

	m.handle = s->handle;
	m.transfer = transfer;
	SET_PARTS(set, i, &m.set) {
		m.last = i >= set->nb;
		r = req_new(e, s->side, ASK_SEND, s->mb, s, to);
		req_limit(r, &m.set);
		req_send(e, r, M_NET_SEND, &m);
	}
}

uint32_t
ask_recv(struct engine *e, struct sess *s, struct m_net_recv *m,
    const struct uidset *set, const struct answers *to, void *arg)
{
	struct req		*r = req_new(e, s->side, ASK_RECV, s->mb, s, to);
	struct m_net_expect	 part;
	size_t			 i;

	r->arg = arg;
	req_limit(r, set);
	part.transfer = m->transfer;
	SET_PARTS(set, i, &part.set)
		req_send(e, r, M_NET_EXPECT, &part);
	m->handle = s->handle;
	req_send(e, r, M_NET_RECV, m);
	return r->id;
}

void
ask_store(struct engine *e, struct sess *s, struct store *st,
    const struct uidset *set, const struct answers *to)
{
	struct m_net_store	 m;
	struct req		*r;
	size_t			 i;

	m.handle = s->handle;
	m.add = st->add;
	m.flags = st->flag;
	SET_PARTS(set, i, &m.set) {
		r = req_new(e, s->side, ASK_STORE, s->mb, s, to);
		r->arg = st;
		req_limit(r, &m.set);
		req_send(e, r, M_NET_STORE, &m);
	}
}

void
ask_expunge(struct engine *e, struct sess *s, const struct uidset *set,
    uint32_t survivor, const struct answers *to)
{
	struct m_net_expunge	 m;
	struct req		*r;
	size_t			 i;

	m.handle = s->handle;
	m.survivor = survivor;
	SET_PARTS(set, i, &m.set) {
		m.last = i >= set->nb;
		r = req_new(e, s->side, ASK_EXPUNGE, s->mb, s, to);
		req_send(e, r, M_NET_EXPUNGE, &m);
	}
}

void
ask_move(struct engine *e, struct sess *s, int copy, const struct uidset *set,
    struct mbox *to, const struct answers *answers)
{
	struct m_net_move	 m;
	struct req		*r;
	size_t			 i;

	m.handle = s->handle;
	m.copy = copy;
	m.uidvalidity = to->s[s->side].w->found.disc->uidvalidity;
	m.mailbox = to->s[s->side].told.name;
	SET_PARTS(set, i, &m.set) {
		r = req_new(e, s->side, ASK_MOVE, s->mb, s, answers);
		r->arg = to;
		req_limit(r, &m.set);
		req_send(e, r, M_NET_MOVE, &m);
	}
}

void
ask_name(struct engine *e, struct mbox *mb, int side, enum name_op op,
    const char *mailbox, const char *newname, const struct answers *to)
{
	struct req		*r = req_new(e, side, ASK_NAME, mb, NULL, to);
	struct m_net_name	 m;

	r->what = op;
	m.op = op;
	m.mailbox = mailbox;
	m.newname = newname;
	req_send(e, r, M_NET_NAME, &m);
}

void
ask_watch(struct engine *e, int side, int notify, const char *mailbox,
    const struct answers *to)
{
	struct m_net_watch	 m;
	struct req		*r;

	r = req_new(e, side, ASK_WATCH, NULL, NULL, to);
	r->what = notify;
	m.notify = notify;
	m.mailbox = mailbox;
	req_send(e, r, M_NET_WATCH, &m);
}

void
ask_unwatch(struct engine *e)
{
	struct req	*r;

	RB_FOREACH(r, reqs, &e->ask.reqs)
		if (r->type == ASK_WATCH && r->state != REQ_ANSWERED)
			ask_tell(e, r->chan, M_NET_UNWATCH, NULL);
}

void
ask_stats(struct engine *e, int side, const struct answers *to)
{
	req_send(e, req_new(e, side, ASK_STATS, NULL, NULL, to), M_NET_STATS,
	    NULL);
}

void
ask_probe(struct engine *e, int side, const struct answers *to)
{
	req_send(e, req_new(e, side, ASK_PROBE, NULL, NULL, to), M_NET_PROBE,
	    NULL);
}

/* ---- to the store ---- */

void
ask_load(struct engine *e, const struct answers *to)
{
	req_send(e, req_new(e, STORE, ASK_LOAD, NULL, NULL, to), M_STORE_LOAD,
	    NULL);
}

void
ask_import(struct engine *e, const struct answers *to)
{
	req_send(e, req_new(e, STORE, ASK_IMPORT, NULL, NULL, to),
	    M_STORE_IMPORT, NULL);
}

void
ask_info(struct engine *e, struct mbox *mb, const struct answers *to)
{
	struct req		*r = req_new(e, STORE, ASK_INFO, mb, NULL, to);
	struct m_store_info	 m;

	m.mailbox = mb->id;
	req_send(e, r, M_STORE_INFO, &m);
}

/* Something about the UIDs of a set, in as many requests as it takes. */
static void
ask_uids(struct engine *e, enum ask_type type, uint32_t msg, struct mbox *mb,
    int side, const struct uidset *set, const struct answers *to)
{
	struct m_store_rows	 m;
	struct req		*r;
	size_t			 i;

	m.mailbox = mb->id;
	m.side = side;
	SET_PARTS(set, i, &m.set) {
		r = req_new(e, STORE, type, mb, NULL, to);
		r->side = side;
		req_send(e, r, msg, &m);
	}
}

void
ask_rows(struct engine *e, struct mbox *mb, int side, const struct uidset *set,
    const struct answers *to)
{
	ask_uids(e, ASK_ROWS, M_STORE_ROWS, mb, side, set, to);
}

void
ask_have(struct engine *e, struct mbox *mb, int side, const struct uidset *set,
    const struct answers *to)
{
	ask_uids(e, ASK_HAVE, M_STORE_HAVE, mb, side, set, to);
}

void
ask_sample(struct engine *e, struct mbox *mb, int side, uint32_t count,
    const struct uidset *without, const struct answers *to)
{
	struct m_store_sample	 m;
	struct req		*r;
	size_t			 i = 0;

	r = req_new(e, STORE, ASK_SAMPLE, mb, NULL, to);
	r->side = side;
	m.mailbox = mb->id;
	m.side = side;
	m.count = count;
	(void)proto_set_part(without, &i, &m.set);
	req_send(e, r, M_STORE_SAMPLE, &m);
}

void
ask_diff(struct engine *e, struct mbox *mb, int side, uint32_t n,
    const struct answers *to)
{
	struct req		*r = req_new(e, STORE, ASK_DIFF, mb, NULL, to);
	struct m_store_diff	 m;

	r->side = side;
	m.mailbox = mb->id;
	m.side = side;
	m.n = n;
	req_send(e, r, M_STORE_DIFF, &m);
}

void
ask_pair(struct engine *e, struct mbox *mb, enum pair_mode mode,
    const struct answers *to)
{
	struct req		*r = req_new(e, STORE, ASK_PAIR, mb, NULL, to);
	struct m_store_pair	 m;

	r->what = mode;
	m.mailbox = mb->id;
	m.mode = mode;
	req_send(e, r, M_STORE_PAIR, &m);
}

void
ask_commit(struct engine *e)
{
	req_send(e, req_new(e, STORE, ASK_COMMIT, NULL, NULL, NULL),
	    M_STORE_COMMIT, NULL);
	e->ask.uncommitted = 0;
}
