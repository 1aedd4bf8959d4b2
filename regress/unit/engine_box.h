/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The engine in a box: its phases without processes, servers or a clock.
 *
 * The box takes the place of loop.c.  Whenever a phase waits, what it has sent
 * to the workers and to the store is written down in the journal, one line a
 * message, and each request is answered by the function that stands for its
 * type in box_answers[].  At first these are honest: two servers and a store
 * that hold what the box does.  A test puts a liar in their place, runs the
 * phases and looks at the journal.  Time passes only while the engine waits.
 */
#ifndef ENGINE_BOX_H
#define ENGINE_BOX_H

#include <sys/socket.h>

#include "box_journal.h"
#include "box_world.h"

/* Who answers a request of that type. */
typedef void	(*box_fn)(struct req *, const struct sent *);

/* How many changes a pass has room for. */
static uint32_t	 box_room = CHANGES_MAX;

static box_fn	 box_answers[ASK_COMMIT + 1];

/* ---- answers ---- */

/* A part of the answer, or all of it. */
static inline void
give(struct req *r, uint32_t type, const void *rec)
{
	struct source	 src = { &eng, r->chan };
	struct msg	 msg = { &src, type, r->id, rec, -1 };

	ask_answer(&msg);
}

/* The end of the answer, with the numbers of the mailbox as they are now. */
static inline void
done(struct req *r, int status, int code, const char *text)
{
	struct m_engine_done	 m;
	struct place		*p;

	memset(&m, 0, sizeof(m));
	m.status = status;
	m.code = code;
	m.text = text;
	if (r->sess != NULL) {
		p = at(r->mb, r->side);
		m.exists = uidset_count(&p->uids);
		m.modseq = p->modseq;
	}
	give(r, M_ENGINE_DONE, &m);
}

static inline void
honest_done(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_OK, RC_NONE, "");
}

/* Refused, and refused for now. */
static inline void
says_no(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_NO, RC_NONE, "no such thing");
}

static inline void
says_inuse(struct req *r, const struct sent *s)
{
	(void)s;
	done(r, ST_NO, RC_INUSE, "not now");
}

#include "box_server.h"

/* ---- the store ---- */

static inline void
honest_info(struct req *r, const struct sent *s)
{
	struct box		*b = box_of(r->mb);
	struct m_engine_info	 m = { uidset_count(&b->rows),
				    uidset_max(&b->rows), 0 };
	struct m_engine_uids	 left;
	int			 side;

	(void)s;
	m.max_remote = m.max_local != 0 ? GAP + m.max_local : 0;
	for (side = 0; side < SIDES; side++) {
		left.what = 0;
		left.side = side;
		left.set = b->left[side];
		if (!uidset_empty(&left.set))
			give(r, M_ENGINE_UIDS, &left);
		left.what = 1;
		left.set = b->alone[side];
		if (!uidset_empty(&left.set))
			give(r, M_ENGINE_UIDS, &left);
	}
	give(r, M_ENGINE_INFO, &m);
	done(r, ST_OK, RC_NONE, "");
}

/* The baseline: as it was, or as it was noted. */
static inline const char *
row_base(const struct box *b, uint32_t local)
{
	return uidset_has(&b->noted, local) ? b->newbase : b->base;
}

static inline void
give_row(struct req *r, uint32_t local, int gone, const char *now)
{
	struct message		 like = message_like(r->mb, LOCAL, local);
	struct box		*b = box_of(r->mb);
	struct m_engine_row	 m;

	memset(&m, 0, sizeof(m));
	m.local = local;
	m.remote = GAP + local;
	m.size = b->bare == 1 ? 0 : like.size;
	m.key = b->bare ? 0 : like.key;
	m.gone = gone;
	m.flags = row_base(b, local);
	m.now = now;
	give(r, M_ENGINE_ROW, &m);
}

/* The rows of a box, by the UIDs that they have on a side. */
static inline uint32_t
row_uid(int side, uint32_t local)
{
	return side == LOCAL ? local : GAP + local;
}

static inline void
honest_have(struct req *r, const struct sent *s)
{
	struct box		*b = box_of(r->mb);
	struct m_engine_uids	 m = { 0, r->side, UIDSET_INIT };
	uint64_t		 k, n = uidset_count(&b->rows);
	uint32_t		 u;

	for (k = 0; k < n; k++) {
		u = row_uid(r->side, uidset_nth(&b->rows, k));
		if (uidset_has(&s->set, u))
			uidset_add(&m.set, u, u);
	}
	if (!uidset_empty(&m.set))
		give(r, M_ENGINE_UIDS, &m);
	uidset_free(&m.set);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_rows(struct req *r, const struct sent *s)
{
	struct box	*b = box_of(r->mb);
	uint64_t	 k, n = uidset_count(&b->rows);
	uint32_t	 u;

	for (k = 0; k < n; k++) {
		u = uidset_nth(&b->rows, k);
		if (uidset_has(&s->set, row_uid(r->side, u)))
			give_row(r, u, 0, "");
	}
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_sample(struct req *r, const struct sent *s)
{
	struct box	*b = box_of(r->mb);
	struct uidset	 set = UIDSET_INIT;
	uint64_t	 k, n = uidset_count(&b->rows);
	uint32_t	 u;

	for (k = 0; k < n; k++) {
		u = uidset_nth(&b->rows, k);
		if (!uidset_has(&s->set, row_uid(r->side, u)))
			uidset_add(&set, u, u);
	}
	n = uidset_count(&set);
	for (k = 0; k < s->n && k < n; k++)
		give_row(r, uidset_nth(&set, s->n < n ? k * n / s->n : k), 0,
		    "");
	uidset_free(&set);
	done(r, ST_OK, RC_NONE, "");
}

static inline void
honest_diff(struct req *r, const struct sent *s)
{
	struct box	*b = box_of(r->mb);
	uint64_t	 k, n = uidset_count(&b->rows);
	struct message	 m;
	uint32_t	 u;
	int		 gone;

	for (k = 0; k < n; k++) {
		u = uidset_nth(&b->rows, k);
		m = message_get(r->mb, r->side, row_uid(r->side, u));
		if (m.uid > s->n)
			break;
		gone = !uidset_has(&b->seen[r->side], m.uid);
		if (gone || strcmp(m.flags, row_base(b, u)) != 0)
			give_row(r, u, gone, gone ? "" : m.flags);
	}
	uidset_free(&b->seen[r->side]);
	done(r, ST_OK, RC_NONE, "");
}

/* The first of those with that key, out of the set; 0 if none. */
static inline uint32_t
pair_find(struct mbox *mb, struct uidset *set, uint64_t key)
{
	uint64_t	 k, n = uidset_count(set);
	uint32_t	 u;

	for (k = 0; k < n; k++) {
		u = uidset_nth(set, k);
		if (message_get(mb, REMOTE, u).key != key)
			continue;
		uidset_del(set, u, u);
		return u;
	}
	return 0;
}

static inline void
give_paired(struct req *r, const struct message *l, const struct message *o)
{
	struct m_engine_paired	 m;

	memset(&m, 0, sizeof(m));
	m.uid[LOCAL] = l->uid;
	m.uid[REMOTE] = o->uid;
	m.base = "";
	m.flags[LOCAL] = l->flags;
	m.flags[REMOTE] = o->flags;
	if (!flags_eq(l->flags, o->flags))
		give(r, M_ENGINE_PAIRED, &m);
}

static inline void
honest_pair(struct req *r, const struct sent *s)
{
	struct box		*b = box_of(r->mb);
	struct m_engine_uids	 left = { 0, LOCAL, UIDSET_INIT };
	struct m_engine_done	 m;
	struct message		 l, o;
	uint64_t		 k, n = uidset_count(&b->seen[LOCAL]);

	(void)s;
	memset(&m, 0, sizeof(m));
	m.text = "";
	for (k = 0; k < n; k++) {
		l = message_get(r->mb, LOCAL, uidset_nth(&b->seen[LOCAL], k));
		o.uid = pair_find(r->mb, &b->seen[REMOTE], l.key);
		if (o.uid == 0) {
			uidset_add(&left.set, l.uid, l.uid);
			continue;
		}
		o = message_get(r->mb, REMOTE, o.uid);
		give_paired(r, &l, &o);
		m.count++;
	}
	if (!uidset_empty(&left.set))
		give(r, M_ENGINE_UIDS, &left);
	uidset_free(&left.set);
	left.side = REMOTE;
	left.set = b->seen[REMOTE];
	if (!uidset_empty(&left.set))
		give(r, M_ENGINE_UIDS, &left);
	uidset_free(&b->seen[LOCAL]);
	uidset_free(&b->seen[REMOTE]);
	give(r, M_ENGINE_DONE, &m);
}

static const box_fn	 box_honest[ASK_COMMIT + 1] = {
	[ASK_STATUS] = honest_status,	[ASK_OPEN] = honest_open,
	[ASK_META] = honest_meta,	[ASK_SEARCH] = honest_search,
	[ASK_SEND] = honest_send,	[ASK_RECV] = honest_recv,
	[ASK_STORE] = honest_store,	[ASK_EXPUNGE] = honest_expunge,
	[ASK_MOVE] = honest_move,
	[ASK_INFO] = honest_info,	[ASK_ROWS] = honest_rows,
	[ASK_HAVE] = honest_have,
	[ASK_SAMPLE] = honest_sample,	[ASK_DIFF] = honest_diff,
	[ASK_PAIR] = honest_pair
};

/* ---- in place of loop.c ---- */

/* The next request that is not answered: of that channel, or -1 for any. */
static inline struct req *
box_next(int chan)
{
	struct req	*r;

	RB_FOREACH(r, reqs, &eng.ask.reqs)
		if (r->state != REQ_ANSWERED && (chan == -1 || r->chan == chan))
			return r;
	return NULL;
}

static inline void
box_answer(struct req *r)
{
	uint32_t	 id = r->id;
	enum ask_type	 type = r->type;
	struct sent	*s;

	TAILQ_FOREACH(s, &box_sents, entry)
		if (s->id == id)
			break;
	if (s == NULL)
		fatalx("request %u was not sent", id);
	if (box_answers[type] != NULL)
		box_answers[type](r, s);
	else
		honest_done(r, s);
	r = box_req(id);
	if (r != NULL && r->state != REQ_ANSWERED && !ended(&eng))
		fatalx("a request of type %d was left unanswered", type);
}

int
loop_wait(struct engine *e, int64_t ms)
{
	struct req	*r;

	for (;;) {
		box_take();
		if (ended(e) || (r = box_next(-1)) == NULL)
			break;
		box_answer(r);
	}
	if (ms != -1)
		box_clock += ms;
	return ended(e) ? -1 : 0;
}

int
loop_store(struct engine *e)
{
	struct req	*r;

	for (;;) {
		box_take();
		if ((r = box_next(STORE)) == NULL)
			break;
		box_answer(r);
		if (ended(e) && box_next(STORE) == r)
			break;
	}
	return ended(e) ? -1 : 0;
}

int
loop_commit(struct engine *e)
{
	ask_commit(e);
	return loop_store(e);
}

/* ---- a test's begin ---- */

static inline void
box_free(void)
{
	struct sent	*s;
	int		 i, side;

	/* A WATCH would outlive it, were there a worker. */
	memset(eng.ask.open, 0, sizeof(eng.ask.open));
	ask_reset(&eng);
	import_reset(&eng);
	guard_reset(&eng);
	copy_reset(&eng);
	ledger_reset(&eng);
	free(eng.ledger.text);
	mbox_reset(&eng.list);
	for (i = 0; i < nboxes; i++) {
		for (side = 0; side < SIDES; side++) {
			place_free(&boxes[i]->at[side]);
			uidset_free(&boxes[i]->left[side]);
			uidset_free(&boxes[i]->alone[side]);
			uidset_free(&boxes[i]->seen[side]);
		}
		uidset_free(&boxes[i]->rows);
		uidset_free(&boxes[i]->noted);
		free(boxes[i]);
	}
	while ((s = TAILQ_FIRST(&box_sents)) != NULL) {
		TAILQ_REMOVE(&box_sents, s, entry);
		uidset_free(&s->set);
		free(s);
	}
	for (i = 0; i < CHANNELS; i++) {
		close(eng.ask.ch[i].ib.fd);
		close(box_peer[i].ib.fd);
		chan_close(&eng.ask.ch[i]);
		chan_close(&box_peer[i]);
	}
}

/* An empty box: nothing of the test before is left. */
static inline void
box_start(void)
{
	static char	 all[] = "*", *patterns[1] = { all };
	static int	 started;
	int		 i, sv[2];

	if (started)
		box_free();
	started = 1;
	memset(&eng, 0, sizeof(eng));
	box_strategy(LOCAL, box_proofs[LOCAL]);
	box_strategy(REMOTE, box_proofs[REMOTE]);
	nboxes = 0;
	memcpy(box_answers, box_honest, sizeof(box_answers));
	box_journal[0] = box_said[0] = '\0';
	log_init(box_sink, 0);
	ask_init(&eng);
	mbox_init(&eng.list);
	copy_reset(&eng);
	ledger_init(&eng);
	progress_init(&eng);
	for (i = 0; i < CHANNELS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
			fatal("socketpair");
		chan_init(&eng.ask.ch[i], sv[0], "the box");
		chan_init(&box_peer[i], sv[1], "the engine");
		eng.ask.open[i] = 1;
	}
	eng.want.patterns = patterns;
	eng.want.npatterns = 1;
	eng.want.cfg.prefix = eng.want.cfg.ignore = "";
	eng.want.cfg.propagate = PROP_ALL;
	eng.want.cfg.max_delete = 50;
	eng.want.cfg.flags_interval[LOCAL] = FLAGS_AUTO;
	eng.want.cfg.flags_interval[REMOTE] = FLAGS_AUTO;
	for (i = 0; i < SIDES; i++) {
		eng.want.cfg.reference[i] = "";
		eng.want.cfg.host[i] = side_name[i];
		eng.srv[i].is_ready = 1;
		eng.srv[i].ready.caps = CAP_MOVE | CAP_UIDPLUS;
		eng.srv[i].delim = '/';
	}
}

/* A server that has the first n messages. */
static inline void
place_init(struct mbox *mb, int side, uint32_t n)
{
	struct place	*p = at(mb, side);
	char		 name[NAME_MAX_LEN];

	p->uidvalidity = VALIDITY;
	p->uidnext = row_uid(side, n) + 1;
	p->modseq = MODSEQ;
	p->perm_any = 1;
	p->permflags = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
	p->mailboxid = "";
	if (n > 0)
		uidset_add(&p->uids, row_uid(side, 1), row_uid(side, n));
	if (name_server(&eng, side, mb->name, name) == -1)
		fatalx("%s can't have that name", side_name[side]);
	mb->s[side].told.name = xstrdup(name);
}

/* A mailbox that the state does not know. */
static inline struct mbox *
box_unknown(const char *name, uint32_t local, uint32_t remote)
{
	struct mbox	*mb = mbox_new(&eng.list, name);
	struct box	*b = xcalloc(1, sizeof(*b));

	if (nboxes == MAXBOX)
		fatalx("no room in the box");
	boxes[nboxes++] = b;
	b->number = nboxes;
	b->mb = mb;
	b->base = "";
	place_init(mb, LOCAL, local);
	place_init(mb, REMOTE, remote);
	return mb;
}

/* A side does not have it. */
static inline void
box_without(struct mbox *mb, int side)
{
	free(mb->s[side].told.name);
	mb->s[side].told.name = NULL;
}

/*
 * A mailbox in sync: local UIDs 1 to n, the same on the other side, each with a
 * row without flags.
 */
static inline struct mbox *
box_new(const char *name, uint32_t n)
{
	struct mbox	*mb = box_unknown(name, n, n);
	int		 side;

	if (mbox_set_id(&eng.list, mb, eng.list.next_id) == -1)
		fatalx("no room in the state");
	mb->nrows = n;
	mb->subscribed = SUB_NO;
	eng.list.total_rows += n;
	eng.list.had_rows |= n > 0;
	if (n > 0)
		uidset_add(&box_of(mb)->rows, 1, n);
	for (side = 0; side < SIDES; side++) {
		struct water	*w = &mb->s[side].known.water;
		struct m_water	*noted = &box_of(mb)->water[side];

		w->uidvalidity = noted->uidvalidity = VALIDITY;
		w->uidnext = noted->uidnext = at(mb, side)->uidnext;
		w->messages = noted->messages = n;
		w->modseq = noted->modseq = box_proof[side] == PROOF_LISTED ?
		    0 : MODSEQ;
		mb->s[side].known.n = w->uidnext - 1;
	}
	return mb;
}

/* A message of the state without a row. */
static inline void
box_unrow(struct mbox *mb, uint32_t local)
{
	uidset_del(&box_of(mb)->rows, local, local);
	mb->nrows--;
	eng.list.total_rows--;
}

/* A message that the other server has refused; its time is not yet come. */
static inline struct refusal *
box_refusal(struct mbox *mb, int side, uint32_t uid)
{
	struct refusal	*f = refusal_new(&mb->s[side], uid);

	f->code = RC_NONE;
	f->attempts = 2;
	f->next = time(NULL) + 3600;
	f->size = 1000;
	mb->s[side].known.nrefused++;
	return f;
}

/* ---- the phases ---- */

/* What LIST would tell now. */
static inline void
box_list(void)
{
	struct side_told	*t;
	struct place		*p;
	int			 i, side;

	for (i = 0; i < nboxes; i++)
		for (side = 0; side < SIDES; side++) {
			t = &boxes[i]->mb->s[side].told;
			p = &boxes[i]->at[side];
			if (t->name == NULL)
				continue;
			t->has_status = 1;
			t->uidvalidity = p->uidvalidity;
			t->uidnext = p->uidnext;
			t->messages = uidset_count(&p->uids);
			t->modseq = box_modseq(boxes[i]->mb, side,
			    NO_STATUS);
			t->unseen = p->unseen;
		}
}

/* Another run begins: all that is left of the last one is the state. */
static inline void
box_again(void)
{
	struct box	*b;
	struct mbox	*mb;
	char		*name;
	int		 i, s;

	eng.partial = 0;
	box_said[0] = box_journal[0] = '\0';
	ask_reset(&eng);
	guard_reset(&eng);
	copy_reset(&eng);
	ledger_reset(&eng);
	for (i = 0; i < nboxes; i++)
		boxes[i]->name = xstrdup(boxes[i]->mb->name);
	mbox_reset(&eng.list);
	for (i = 0; i < nboxes; i++) {
		b = boxes[i];
		mb = b->mb = mbox_new(&eng.list, b->name);
		if (mbox_set_id(&eng.list, mb, eng.list.next_id) == -1)
			fatalx("no room in the state");
		mb->subscribed = SUB_NO;
		mb->nrows = uidset_count(&b->rows);
		eng.list.total_rows += mb->nrows;
		eng.list.had_rows |= mb->nrows > 0;
		for (s = 0; s < SIDES; s++) {
			mb->s[s].known.water.uidvalidity =
			    b->water[s].uidvalidity;
			mb->s[s].known.water.uidnext = b->water[s].uidnext;
			mb->s[s].known.water.messages = b->water[s].messages;
			mb->s[s].known.water.modseq = b->water[s].modseq;
			mb->s[s].known.water.looked = b->water[s].looked;
			mb->s[s].known.water.unseen = b->water[s].unseen;
			mb->s[s].known.n = b->water[s].uidnext - 1;
			if (name_server(&eng, s, b->name, name = xcalloc(1,
			    NAME_MAX_LEN)) == -1)
				fatalx("a name that can't be");
			mb->s[s].told.name = name;
		}
		free(b->name);
	}
}

/* From the first look to the plan, for all mailboxes whose turn it is. */
static inline int
box_look(void)
{
	struct mbox	*mb;

	eng.room[ROOM_ROWS] = eng.room[ROOM_CHANGES] = box_room;
	eng.ranges = 0;
	FOREACH_USABLE(mb, &eng.list)
		compare_begin(&eng, mb);
	if (disc_run(&eng) == -1 || pair_run(&eng) == -1 ||
	    repair_run(&eng) == -1 || recover_run(&eng) == -1 ||
	    rules_run(&eng) == -1 || anew_run(&eng) == -1)
		return -1;
	FOREACH_USABLE(mb, &eng.list)
		plan_mbox(mb);
	return 0;
}

/* From LIST to the plan, as engine.c does, of what has not to wait. */
static inline int
box_plan(void)
{
	struct mbox	*mb;

	box_list();
	watch_hint(&eng);
	if (compare_run(&eng) == -1)
		return -1;
	gone_judge(&eng);
	FOREACH_MBOX(mb, &eng.list)
		recover_hold(mb);
	return box_look();
}

/* All of a pass. */
static inline int
box_pass(void)
{
	int	 n;

	if (box_plan() == -1 || verify_run(&eng) == -1 ||
	    exec_run(&eng) == -1 || (n = recover_wait(&eng)) == -1)
		return -1;
	if (n > 0 && (box_look() == -1 || verify_run(&eng) == -1 ||
	    exec_run(&eng) == -1))
		return -1;
	return exec_last(&eng);
}

/* What is kept of a pass that has ended early. */
static inline void
box_salvage(void)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, &eng.list)
		if (!mb->skip && !mb->finished)
			finish_confirmed(&eng, mb);
	if (eng.end.lost[LOCAL] || eng.end.lost[REMOTE])
		recover_lost(&eng);
	(void)loop_commit(&eng);
}

/* ---- what has come of it ---- */

/* How often the mailbox was opened on that side with these words. */
static inline int
opens(const struct mbox *mb, int side, const char *words)
{
	char		 open[NAME_MAX_LEN + 32], *text, *p, *next;
	int		 n = 0;

	snprintf(open, sizeof(open), "%s %s: OPEN", side_name[side], mb->name);
	text = xstrdup(box_journal);
	for (p = text; (next = strchr(p, '\n')) != NULL; p = next + 1) {
		*next = '\0';
		n += strncmp(p, open, strlen(open)) == 0 &&
		    strstr(p, words) != NULL;
	}
	free(text);
	return n;
}

/* 1 if nothing of the mailbox was deleted, anywhere. */
static inline int
untouched(const struct mbox *mb)
{
	char	 text[3][NAME_MAX_LEN + 32];
	int	 i;

	snprintf(text[0], sizeof(text[0]), "local %s: EXPUNGE", mb->name);
	snprintf(text[1], sizeof(text[1]), "remote %s: EXPUNGE", mb->name);
	snprintf(text[2], sizeof(text[2]), "store %s: DROP", mb->name);
	for (i = 0; i < 3; i++)
		if (jotted(text[i]) > 0)
			return 0;
	return 1;
}

/* 1 if the next run is told again what that side has told. */
static inline int
told_again(const struct mbox *mb, int side)
{
	const struct m_water	*w = &box_of(mb)->water[side];

	return w->modseq == 0 ? w->looked == 0 : w->modseq <= MODSEQ;
}

/* 1 if it is not, but for a server that has to be asked for all in every run. */
static inline int
done_with(const struct mbox *mb, int side)
{
	return box_proof[side] == PROOF_LISTED || !told_again(mb, side);
}

/* Every pair of servers that there is, for box_start(): returns 0 at the end. */
static inline int
box_pairs(void)
{
	if (++box_proofs[LOCAL] <= PROOF_LISTED)
		return 1;
	box_proofs[LOCAL] = PROOF_TOLD;
	if (++box_proofs[REMOTE] <= PROOF_LISTED)
		return 1;
	box_proofs[REMOTE] = PROOF_TOLD;
	return 0;
}

#endif /* ENGINE_BOX_H */
