/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Which answer fits which request: what proto.h says is taken and reaches who
 * asked; whatever else a worker sends ends the run, and that worker is named.
 */
#include "engine_box.h"

#define UNFIT	"worker sent what does not answer its request"
#define UNMADE	"worker answered a request that was not made"

static struct mbox	*mb;
static struct sess	 disc;	/* of MOVE: what it moves to was opened */
static struct sess	*sess;
static uint32_t		 delivered;	/* the type that a handler got last */

/* ---- requests ---- */

#define GOT(name, type)							\
static void								\
got_##name(struct engine *e, struct req *r,				\
    const struct m_engine_##name *m)					\
{									\
	(void)e;							\
	(void)r;							\
	(void)m;							\
	delivered = type;						\
}
GOT(done, M_ENGINE_DONE)
GOT(mailbox, M_ENGINE_MAILBOX)
GOT(meta, M_ENGINE_META)
GOT(copied, M_ENGINE_COPIED)
GOT(refused, M_ENGINE_REFUSED)
GOT(failed, M_ENGINE_FAILED)
GOT(gone, M_ENGINE_GONE)
GOT(withheld, M_ENGINE_WITHHELD)
GOT(due, M_ENGINE_DUE)
GOT(spoilt, M_ENGINE_SPOILT)
GOT(changed, M_ENGINE_CHANGED)
GOT(stats, M_ENGINE_STATS)
GOT(offer, M_ENGINE_OFFER)
GOT(uids, M_ENGINE_UIDS)
GOT(server, M_ENGINE_SERVER)
GOT(mbox, M_ENGINE_MBOX)
GOT(mark, M_ENGINE_MARK)
GOT(refusal, M_ENGINE_REFUSAL)
GOT(stopped, M_ENGINE_STOPPED)
GOT(info, M_ENGINE_INFO)
GOT(row, M_ENGINE_ROW)
GOT(paired, M_ENGINE_PAIRED)

static void
got_vanished(struct engine *e, struct sess *s,
    const struct m_engine_vanished *m)
{
	(void)e;
	(void)m;
	if (s == sess)
		delivered = M_ENGINE_VANISHED;
}

static void
got_flags(struct engine *e, struct sess *s, const struct m_engine_flags *m)
{
	(void)e;
	(void)m;
	if (s == sess)
		delivered = M_ENGINE_FLAGS;
}

static const struct answers	 all = {
	.done = got_done, .mailbox = got_mailbox, .vanished = got_vanished,
	.flags = got_flags, .meta = got_meta, .copied = got_copied,
	.refused = got_refused, .failed = got_failed, .gone = got_gone,
	.withheld = got_withheld, .due = got_due, .spoilt = got_spoilt,
	.changed = got_changed, .stats = got_stats, .offer = got_offer,
	.uids = got_uids, .server = got_server,
	.mbox = got_mbox, .mark = got_mark, .refusal = got_refusal,
	.stopped = got_stopped,
	.info = got_info, .row = got_row, .paired = got_paired
};

static void
ask_net(enum ask_type type, const struct uidset *set)
{
	static char		 flag[] = "\\Seen";
	static struct store	 st;
	struct m_net_list	 list = { 0, 0, 1, "" };
	struct m_net_recv	 recv;

	memset(&recv, 0, sizeof(recv));
	recv.permflags = "";
	recv.mailbox = "INBOX";
	switch (type) {
	case ASK_LIST:
		ask_list(&eng, REMOTE, &list, NULL, 0, NULL, 0, &all);
		break;
	case ASK_STATUS:
		ask_status(&eng, mb, REMOTE, &all);
		break;
	case ASK_META:
		ask_meta(&eng, sess, META_WHOLE, set, &all);
		break;
	case ASK_SEARCH:
		ask_search(&eng, sess, set, &all);
		break;
	case ASK_SEND:
		ask_send(&eng, sess, 1, set, &all);
		break;
	case ASK_RECV:
		ask_recv(&eng, sess, &recv, set, &all, NULL);
		break;
	case ASK_STORE:
		st.flag = flag;
		st.set = *set;
		ask_store(&eng, sess, &st, set, &all);
		break;
	case ASK_EXPUNGE:
		ask_expunge(&eng, sess, set, 0, &all);
		break;
	case ASK_MOVE:
		ask_move(&eng, sess, 0, set, mb, &all);
		break;
	case ASK_NAME:
		ask_name(&eng, mb, REMOTE, NAME_CREATE, "a", "", &all);
		break;
	case ASK_WATCH:
		ask_watch(&eng, REMOTE, 0, "INBOX", &all);
		break;
	case ASK_PROBE:
		ask_probe(&eng, REMOTE, &all);
		break;
	default:
		ask_stats(&eng, REMOTE, &all);
		break;
	}
}

static void
ask_state(enum ask_type type, const struct uidset *set)
{
	switch (type) {
	case ASK_LOAD:
		ask_load(&eng, &all);
		break;
	case ASK_IMPORT:
		ask_import(&eng, &all);
		break;
	case ASK_INFO:
		ask_info(&eng, mb, &all);
		break;
	case ASK_ROWS:
		ask_rows(&eng, mb, REMOTE, set, &all);
		break;
	case ASK_HAVE:
		ask_have(&eng, mb, REMOTE, set, &all);
		break;
	case ASK_SAMPLE:
		ask_sample(&eng, mb, REMOTE, 5, set, &all);
		break;
	case ASK_DIFF:
		ask_diff(&eng, mb, REMOTE, 100, &all);
		break;
	case ASK_PAIR:
		ask_pair(&eng, mb, PAIR_ADOPT, &all);
		break;
	default:
		ask_commit(&eng);
		break;
	}
}

/* A box in which nothing but a session is asked for; returns its request. */
static struct req *
fresh(int what)
{
	box_start();
	mb = box_new("INBOX", 100);
	mbox_begin(mb);
	mb->s[LOCAL].w->found.disc = mb->s[REMOTE].w->found.disc = &disc;
	sess = ask_open(&eng, mb, REMOTE, SESS_LOOK, what, GAP + 100, 0, &all);
	delivered = M_NONE;
	return box_req(sess->handle);
}

/* A request of that type about UIDs 1 to n. */
static struct req *
make(enum ask_type type, uint32_t n)
{
	struct uidset	 set = UIDSET_INIT;
	struct req	*r = fresh(OPEN_NEW | OPEN_ALL);

	if (type == ASK_OPEN)
		return r;
	uidset_add(&set, 1, n);
	if (type < ASK_LOAD)
		ask_net(type, &set);
	else
		ask_state(type, &set);
	uidset_free(&set);
	return RB_MAX(reqs, &eng.ask.reqs);
}

/* ---- answers ---- */

/* About UIDs lo to hi, or lo alone. */
static union proto_rec *
record(uint32_t type, uint32_t lo, uint32_t hi)
{
	static union {
		union proto_rec		 rec;
		struct m_engine_vanished vanished;
		struct m_engine_flags	 flags;
		struct m_engine_refused	 refused;
		struct m_engine_failed	 failed;
		struct m_engine_gone	 gone;
		struct m_engine_withheld withheld;
		struct m_engine_due	 due;
		struct m_engine_spoilt	 spoilt;
		struct m_engine_uids	 uids;
		struct m_engine_done	 done;
	}			 u;
	static struct uidset	 made;	/* of the last call */
	struct uidset		*set = NULL;

	uidset_free(&made);
	memset(&u, 0, sizeof(u));
	switch (type) {
	case M_ENGINE_OPENED:
		u.rec.engine_opened.permflags = "";
		u.rec.engine_opened.mailboxid = "";
		break;
	case M_ENGINE_SPOILT:
		u.spoilt.text = "x";
		break;
	case M_ENGINE_META:
	case M_ENGINE_COPIED:
	case M_ENGINE_REFUSED:
	case M_ENGINE_FLAGS:
	case M_ENGINE_DUE:
		/* The first field of each of them. */
		u.rec.engine_meta.uid = lo;
		break;
	case M_ENGINE_VANISHED:
		set = &u.vanished.set;
		break;
	case M_ENGINE_FAILED:
		set = &u.failed.set;
		break;
	case M_ENGINE_GONE:
		set = &u.gone.set;
		break;
	case M_ENGINE_WITHHELD:
		set = &u.withheld.set;
		break;
	case M_ENGINE_UIDS:
		u.uids.what = OPEN_ALL;
		set = &u.uids.set;
		break;
	}
	if (set != NULL) {
		uidset_add(&made, lo, hi);
		*set = made;
	}
	return &u.rec;
}

/* An answer that is sent in a child. */
struct answer {
	int		 chan;
	uint32_t	 id;
	uint32_t	 type;
	const void	*rec;
};

static void
answer_send(void *arg)
{
	struct answer	*a = arg;
	struct source	 src = { &eng, a->chan };
	struct msg	 msg = { &src, a->type, a->id, a->rec, -1 };

	ask_answer(&msg);
}

/* It must not be taken, with these words; from which worker it comes. */
static void
refused_from(int chan, uint32_t id, uint32_t type, const void *rec,
    const char *words, const char *what)
{
	struct answer	 a = { chan, id, type, rec };

	ok(box_dies(answer_send, &a, words), "%s", what);
}

static void
unfit(struct req *r, uint32_t type, uint32_t lo, uint32_t hi,
    const char *what)
{
	refused_from(r->chan, r->id, type, record(type, lo, hi), r->chan ==
	    STORE ? "the store " UNFIT : "the remote " UNFIT, what);
}

/* ---- the table ---- */

#define BIT(type)	(1ULL << ((type) - M_ENGINE_MAILBOX))

/* What proto.h says of each request, beside its one DONE. */
static uint64_t
documented(enum ask_type type)
{
	switch (type) {
	case ASK_LIST:
	case ASK_STATUS:
		return BIT(M_ENGINE_MAILBOX);
	case ASK_OPEN:
		return BIT(M_ENGINE_OPENED) | BIT(M_ENGINE_VANISHED) |
		    BIT(M_ENGINE_FLAGS) | BIT(M_ENGINE_UIDS) |
		    BIT(M_ENGINE_SPOILT) | BIT(M_ENGINE_DUE);
	case ASK_META:
		return BIT(M_ENGINE_META) | BIT(M_ENGINE_DUE);
	case ASK_SEARCH:
		return BIT(M_ENGINE_UIDS) | BIT(M_ENGINE_DUE);
	case ASK_STORE:
	case ASK_EXPUNGE:
		return BIT(M_ENGINE_DUE);
	case ASK_SEND:
		return BIT(M_ENGINE_GONE) | BIT(M_ENGINE_WITHHELD) |
		    BIT(M_ENGINE_DUE);
	case ASK_MOVE:
		return BIT(M_ENGINE_COPIED) | BIT(M_ENGINE_DUE);
	case ASK_RECV:
		return BIT(M_ENGINE_COPIED) | BIT(M_ENGINE_REFUSED) |
		    BIT(M_ENGINE_FAILED) | BIT(M_ENGINE_DUE);
	case ASK_WATCH:
		return BIT(M_ENGINE_MAILBOX) | BIT(M_ENGINE_CHANGED);
	case ASK_STATS:
		return BIT(M_ENGINE_STATS);
	case ASK_PROBE:
		return BIT(M_ENGINE_OFFER);
	case ASK_LOAD:
		return BIT(M_ENGINE_SERVER) | BIT(M_ENGINE_MBOX) |
		    BIT(M_ENGINE_MARK) | BIT(M_ENGINE_REFUSAL) |
		    BIT(M_ENGINE_STOPPED);
	case ASK_IMPORT:
		return BIT(M_ENGINE_MBOX);
	case ASK_INFO:
		return BIT(M_ENGINE_UIDS) | BIT(M_ENGINE_INFO);
	case ASK_HAVE:
		return BIT(M_ENGINE_UIDS);
	case ASK_ROWS:
	case ASK_SAMPLE:
	case ASK_DIFF:
		return BIT(M_ENGINE_ROW);
	case ASK_PAIR:
		return BIT(M_ENGINE_PAIRED) | BIT(M_ENGINE_UIDS) |
		    BIT(M_ENGINE_ROW);
	default:	/* NAME, COMMIT */
		return 0;
	}
}

/* Answers that have no handler: the session keeps them. */
static int
in_session(enum ask_type type, uint32_t msg)
{
	if (type == ASK_OPEN && msg == M_ENGINE_OPENED)
		return sess->opened;
	if (type == ASK_OPEN && msg == M_ENGINE_UIDS)
		return uidset_has(&sess->all, 2);
	if (type == ASK_SEARCH && msg == M_ENGINE_UIDS)
		return uidset_has(&sess->all, 2);
	return 0;
}

/* One that does not fit leaves the request as it is: it dies in a child. */
static int
table_entry(enum ask_type type, struct req *r, uint32_t msg)
{
	struct answer	 a = { r->chan, r->id, msg, record(msg, 2, 2) };
	int		 mbox = msg == M_ENGINE_DUE && (type == ASK_OPEN ||
			    type == ASK_SEARCH || type == ASK_STORE ||
			    type == ASK_EXPUNGE || type == ASK_MOVE);

	if (mbox)
		a.rec = record(msg, 0, 0);
	if (!(documented(type) & BIT(msg)))
		return box_dies(answer_send, &a, UNFIT);
	answer_send(&a);
	if (mbox)
		return eng.due.kind == DUE_MBOX && eng.due.mb == mb &&
		    delivered == M_NONE;
	return delivered == msg || in_session(type, msg);
}

/* All that the channel of a request may bring (events.c). */
static void
test_table(void)
{
	const struct proto_handler	*h;
	struct req			*r;
	uint64_t			 seen;
	int				 t, good;

	for (t = ASK_LIST; t <= ASK_COMMIT; t++) {
		good = 1;
		seen = 0;
		r = make(t, 3);
		h = r->chan == STORE ? events_store : events_net;
		for (; h->type != M_NONE; h++) {
			if (h->fn != ask_answer || h->type == M_ENGINE_DONE)
				continue;
			seen |= BIT(h->type);
			if (!table_entry(t, r, h->type)) {
				printf("# %s\n", proto_name(h->type));
				good = 0;
			}
			if (documented(t) & BIT(h->type))
				r = make(t, 3);
		}
		give(r, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0));
		/* A COMMIT is nobody's. */
		good &= delivered == M_ENGINE_DONE || t == ASK_COMMIT;
		good &= (documented(t) & ~seen) == 0;
		ok(good, "request %d: what fits is delivered, nothing else", t);
	}
}

/* ---- how often, and of which UIDs ---- */

static void
test_uids(void)
{
	struct req	*r;

	r = make(ASK_META, 3);
	unfit(r, M_ENGINE_META, 4, 4, "META of a UID that was not asked for");
	give(r, M_ENGINE_META, record(M_ENGINE_META, 1, 1));
	give(r, M_ENGINE_META, record(M_ENGINE_META, 2, 2));
	give(r, M_ENGINE_META, record(M_ENGINE_META, 3, 3));
	unfit(r, M_ENGINE_META, 2, 2, "more METAs than UIDs");

	r = make(ASK_RECV, 2);
	unfit(r, M_ENGINE_COPIED, 3, 3, "COPIED of a UID that was not sent");
	unfit(r, M_ENGINE_REFUSED, 3, 3, "REFUSED of one");
	unfit(r, M_ENGINE_FAILED, 2, 3, "FAILED of one");
	give(r, M_ENGINE_COPIED, record(M_ENGINE_COPIED, 1, 1));
	give(r, M_ENGINE_REFUSED, record(M_ENGINE_REFUSED, 2, 2));
	unfit(r, M_ENGINE_COPIED, 2, 2, "more COPIED and REFUSED than UIDs");

	r = make(ASK_SEND, 3);
	unfit(r, M_ENGINE_GONE, 3, 4, "GONE outside of the set");
	unfit(r, M_ENGINE_WITHHELD, 3, 4, "WITHHELD outside of the set");
	unfit(r, M_ENGINE_DUE, 4, 4, "DUE of a UID that was not asked for");
	r = make(ASK_SEARCH, 3);
	unfit(r, M_ENGINE_UIDS, 1, 4, "UIDS that were not searched for");
	ok(uidset_empty(&sess->all), "which are not kept either");
	give(r, M_ENGINE_UIDS, record(M_ENGINE_UIDS, 1, 2));
	give(r, M_ENGINE_UIDS, record(M_ENGINE_UIDS, 3, 3));
	is_num(uidset_count(&sess->all), 3, "UIDS may come in parts");
}

/* The lists of an OPEN: none that was not asked for, each where it belongs. */
static void
test_lists(void)
{
	struct m_engine_uids	 fresh_uids = { OPEN_NEW, 0, UIDSET_INIT };
	struct req		*r = fresh(OPEN_ALL);

	uidset_add(&fresh_uids.set, 7, 7);
	refused_from(REMOTE, r->id, M_ENGINE_UIDS, &fresh_uids,
	    "the remote " UNFIT, "UIDS \"fresh\" that were not asked for");
	r = fresh(OPEN_NEW);
	unfit(r, M_ENGINE_UIDS, 1, 2, "UIDS \"all\" that were not asked for");
	give(r, M_ENGINE_UIDS, &fresh_uids);
	ok(uidset_has(&sess->fresh, 7) && uidset_empty(&sess->all),
	    "\"fresh\" is kept as such");
	r = fresh(0);
	unfit(r, M_ENGINE_UIDS, 1, 2, "UIDS without having asked for any");
	r = fresh(OPEN_ALL);
	give(r, M_ENGINE_OPENED, record(M_ENGINE_OPENED, 0, 0));
	unfit(r, M_ENGINE_UIDS, 1, 2, "UIDS behind OPENED");
	uidset_free(&fresh_uids.set);
}

static void
test_once(void)
{
	struct req	*r = make(ASK_OPEN, 0);
	uint32_t	 id;

	give(r, M_ENGINE_OPENED, record(M_ENGINE_OPENED, 0, 0));
	unfit(r, M_ENGINE_OPENED, 0, 0, "OPENED twice");
	give(r, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0));
	unfit(r, M_ENGINE_DONE, 0, 0, "DONE twice, of a handle");
	unfit(r, M_ENGINE_OPENED, 0, 0, "OPENED behind its DONE");
	delivered = M_NONE;
	give(r, M_ENGINE_VANISHED, record(M_ENGINE_VANISHED, 2, 2));
	is_num(delivered, M_ENGINE_VANISHED,
	    "VANISHED may come as long as the handle lives");
	give(r, M_ENGINE_FLAGS, record(M_ENGINE_FLAGS, 2, 2));
	is_num(delivered, M_ENGINE_FLAGS, "so may FLAGS");
	give(r, M_ENGINE_SPOILT, record(M_ENGINE_SPOILT, 0, 0));
	is_num(delivered, M_ENGINE_SPOILT, "so may SPOILT");
	delivered = M_NONE;
	give(r, M_ENGINE_SPOILT, record(M_ENGINE_SPOILT, 0, 0));
	is_num(delivered, M_NONE, "which is said once");

	r = make(ASK_STATUS, 0);
	give(r, M_ENGINE_MAILBOX, record(M_ENGINE_MAILBOX, 0, 0));
	unfit(r, M_ENGINE_MAILBOX, 0, 0, "two MAILBOXes for one STATUS");
	r = make(ASK_LIST, 0);
	id = r->id;
	give(r, M_ENGINE_MAILBOX, record(M_ENGINE_MAILBOX, 0, 0));
	give(r, M_ENGINE_MAILBOX, record(M_ENGINE_MAILBOX, 0, 0));
	give(r, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0));
	refused_from(REMOTE, id, M_ENGINE_MAILBOX, record(M_ENGINE_MAILBOX, 0,
	    0), "the remote " UNMADE, "MAILBOX behind the DONE of its LIST");
	refused_from(REMOTE, id, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0),
	    "the remote " UNMADE, "DONE twice");
}

/* Who answers: the id alone must not decide. */
static void
test_channels(void)
{
	struct req	*r = make(ASK_META, 3);
	uint32_t	 id;

	refused_from(LOCAL, r->id, M_ENGINE_META, record(M_ENGINE_META, 2, 2),
	    "the local " UNMADE, "the other worker answers for this one");
	refused_from(STORE, r->id, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0),
	    "the store " UNMADE, "the store answers for a worker");
	refused_from(REMOTE, r->id + 1, M_ENGINE_META,
	    record(M_ENGINE_META, 2, 2), "the remote " UNMADE,
	    "an id that comes next");
	refused_from(REMOTE, 0, M_ENGINE_META, record(M_ENGINE_META, 2, 2),
	    "the remote " UNMADE, "no id");
	r = make(ASK_ROWS, 3);
	refused_from(REMOTE, r->id, M_ENGINE_ROW, record(M_ENGINE_ROW, 0, 0),
	    "the remote " UNMADE, "a worker answers for the store");
	id = r->id;
	ask_reset(&eng);
	refused_from(STORE, id, M_ENGINE_ROW, record(M_ENGINE_ROW, 0, 0),
	    "the store " UNMADE, "a request of the pass before");
}

/* A handle that a pass has left behind: its server may go on to tell. */
static void
test_left_behind(void)
{
	struct answer	 a;
	struct req	*r = make(ASK_META, 3);
	uint32_t	 open = sess->handle, last = r->id;

	ask_reset(&eng);
	a.chan = REMOTE;
	a.id = open;
	a.type = M_ENGINE_VANISHED;
	a.rec = record(M_ENGINE_VANISHED, 2, 2);
	delivered = M_NONE;
	answer_send(&a);
	a.type = M_ENGINE_FLAGS;
	a.rec = record(M_ENGINE_FLAGS, 2, 2);
	answer_send(&a);
	a.type = M_ENGINE_SPOILT;
	a.rec = record(M_ENGINE_SPOILT, 2, 2);
	answer_send(&a);
	is_num(delivered, M_NONE, "VANISHED, FLAGS of the pass before: dropped");
	refused_from(REMOTE, last, M_ENGINE_META, record(M_ENGINE_META, 2, 2),
	    "the remote " UNMADE, "META of it is not");
	refused_from(REMOTE, last + 1, M_ENGINE_VANISHED,
	    record(M_ENGINE_VANISHED, 2, 2), "the remote " UNMADE,
	    "nor VANISHED of a handle that comes next");
}

/* ---- what the session keeps ---- */

static void
test_session(void)
{
	union proto_rec		*rec = record(M_ENGINE_OPENED, 0, 0);
	struct m_engine_opened	*o = &rec->engine_opened;
	struct m_engine_done	 d;
	struct req		*r;

	r = make(ASK_OPEN, 0);
	/* Two of its new UIDs are above n, which is GAP + 100. */
	record(M_ENGINE_UIDS, GAP + 100, GAP + 102);
	((struct m_engine_uids *)rec)->what = OPEN_NEW;
	give(r, M_ENGINE_UIDS, rec);
	rec = record(M_ENGINE_OPENED, 0, 0);
	o->uidvalidity = 8;
	o->uidnext = 99;
	o->exists = 50;
	o->modseq = 700;
	o->mailboxid = "M";
	give(r, M_ENGINE_OPENED, rec);
	ok(sess->opened && sess->uidvalidity == 8 && sess->uidnext == 99 &&
	    sess->exists == 50 && sess->above == 2 && sess->modseq == 700 &&
	    strcmp(sess->mailboxid, "M") == 0, "what OPENED says is kept");
	memset(&d, 0, sizeof(d));
	d.text = "";
	d.exists = 51;
	d.modseq = 710;
	give(r, M_ENGINE_DONE, &d);
	ok(sess->exists == 50 && sess->modseq == 700 && sess->exists_end == 51
	    && sess->modseq_end == 710, "where it stands when all is answered");
	ask_expunge(&eng, sess, &(struct uidset)UIDSET_INIT, 0, &all);
	ask_stats(&eng, REMOTE, &all);
	ok(RB_MAX(reqs, &eng.ask.reqs)->type == ASK_STATS,
	    "an empty set asks for nothing");
	ask_recv(&eng, sess, &(struct m_net_recv){ .permflags = "",
	    .mailbox = "INBOX" }, &(struct uidset)UIDSET_INIT, &all, NULL);
	d.status = ST_UNSENT;
	d.exists = 0;
	d.modseq = 0;
	give(RB_MAX(reqs, &eng.ask.reqs), M_ENGINE_DONE, &d);
	ok(sess->exists_end == 51 && sess->modseq_end == 710,
	    "a request that was not sent tells nothing of it");
}

static void
test_pending(void)
{
	struct uidset	 set = UIDSET_INIT;
	struct req	*r = fresh(0);
	uint32_t	 u;

	give(r, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0));
	is_num(eng.ask.pending[REMOTE], 0, "nothing is awaited");
	for (u = 1; u <= 5000; u += 2)
		uidset_add(&set, u, u);
	is_num(ask_meta(&eng, sess, 0, &set, &all), 3,
	    "2,500 ranges are three requests");
	is_num(eng.ask.pending[REMOTE], 3, "each is awaited");
	r = RB_MAX(reqs, &eng.ask.reqs);
	ok(uidset_max(&r->set) == 4999 && uidset_min(&r->set) > 4000,
	    "each has its part");
	unfit(r, M_ENGINE_META, 1, 1, "META of a UID of another part");
	give(r, M_ENGINE_DONE, record(M_ENGINE_DONE, 0, 0));
	is_num(eng.ask.pending[REMOTE], 2, "one is answered");
	uidset_free(&set);
	ask_closed(&eng, REMOTE);
	is_num(eng.ask.pending[REMOTE], 0, "a dead worker owes nothing");
	ask_stats(&eng, REMOTE, &all);
	ok(!ask_isopen(&eng, REMOTE) && ask_isopen(&eng, LOCAL),
	    "and is sent nothing");
}

int
main(void)
{
	struct req	*r;

	test_table();
	test_uids();
	test_lists();
	test_once();
	test_channels();
	test_left_behind();
	test_session();
	test_pending();
	/* A WATCH outlives a pass, unless its worker has ended. */
	eng.ask.open[LOCAL] = eng.ask.open[REMOTE] = 1;
	r = make(ASK_WATCH, 3);
	ask_reset(&eng);
	ok(RB_MIN(reqs, &eng.ask.reqs) == r, "a WATCH is left by a pass");
	eng.ask.open[LOCAL] = eng.ask.open[REMOTE] = 0;
	ask_reset(&eng);
	ok(RB_EMPTY(&eng.ask.reqs), "and not without its worker");
	return tap_done();
}
