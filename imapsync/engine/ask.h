/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Requests to the workers and to the store.  Each has a type; whoever asks says
 * which functions get the answers.  A table (ask.c) says which answer a type of
 * request may have, in which state: anything else ends that worker by name,
 * since a worker may have been taken over by its server.  What is answered is
 * therefore always asked for, of the UIDs that were asked for, and so often at
 * most as there are.
 *
 * ask_*() queues a request and returns at once; loop_wait() waits until all are
 * answered.  A set that does not fit a message becomes several requests: their
 * number is what ask_*() returns, and "done" is called for each.
 */
#ifndef ASK_H
#define ASK_H

#include "mbox.h"

#define STORE		2	/* beside LOCAL and REMOTE: the third channel */
#define CHANNELS	3

struct engine;
struct req;

enum ask_type {
	/* to a network worker */
	ASK_LIST, ASK_STATUS, ASK_OPEN, ASK_META, ASK_SEARCH, ASK_SEND,
	ASK_RECV, ASK_STORE, ASK_EXPUNGE, ASK_MOVE, ASK_NAME, ASK_WATCH, ASK_STATS,
	ASK_PROBE,
	/* to the store */
	ASK_LOAD, ASK_IMPORT, ASK_INFO, ASK_ROWS, ASK_HAVE, ASK_SAMPLE, ASK_DIFF, ASK_PAIR,
	ASK_COMMIT
};

/* Who gets the answers; what is NULL is taken and forgotten. */
struct answers {
	void	(*done)(struct engine *, struct req *,
		    const struct m_engine_done *);
	void	(*mailbox)(struct engine *, struct req *,
		    const struct m_engine_mailbox *);
	void	(*spoilt)(struct engine *, struct req *,
		    const struct m_engine_spoilt *);
	/* Of an OPEN.  NULL: VANISHED is kept in the session. */
	void	(*vanished)(struct engine *, struct sess *,
		    const struct m_engine_vanished *);
	void	(*flags)(struct engine *, struct sess *,
		    const struct m_engine_flags *);
	void	(*meta)(struct engine *, struct req *,
		    const struct m_engine_meta *);
	void	(*copied)(struct engine *, struct req *,
		    const struct m_engine_copied *);
	void	(*refused)(struct engine *, struct req *,
		    const struct m_engine_refused *);
	void	(*failed)(struct engine *, struct req *,
		    const struct m_engine_failed *);
	void	(*gone)(struct engine *, struct req *,
		    const struct m_engine_gone *);
	void	(*withheld)(struct engine *, struct req *,
		    const struct m_engine_withheld *);
	void	(*due)(struct engine *, struct req *,
		    const struct m_engine_due *);
	void	(*changed)(struct engine *, struct req *,
		    const struct m_engine_changed *);
	void	(*stats)(struct engine *, struct req *,
		    const struct m_engine_stats *);
	void	(*offer)(struct engine *, struct req *,
		    const struct m_engine_offer *);
	void	(*uids)(struct engine *, struct req *,
		    const struct m_engine_uids *);
	void	(*server)(struct engine *, struct req *,
		    const struct m_engine_server *);
	void	(*mbox)(struct engine *, struct req *,
		    const struct m_engine_mbox *);
	void	(*mark)(struct engine *, struct req *,
		    const struct m_engine_mark *);
	void	(*refusal)(struct engine *, struct req *,
		    const struct m_engine_refusal *);
	void	(*stopped)(struct engine *, struct req *,
		    const struct m_engine_stopped *);
	void	(*info)(struct engine *, struct req *,
		    const struct m_engine_info *);
	void	(*row)(struct engine *, struct req *,
		    const struct m_engine_row *);
	void	(*paired)(struct engine *, struct req *,
		    const struct m_engine_paired *);
};

/*
 * A connection ended, and this message of "side" was the first that was due: the
 * source had to give it (SOURCE), or to tell which message it is before it can be
 * known whether the target has it (META), or it was in an APPEND, alone (TARGET)
 * or with others (BATCH).  MBOX: the server of "side" was asked about the mailbox,
 * or (uid not 0) about a message that has a row.
 */
enum due { DUE_SOURCE, DUE_META, DUE_TARGET, DUE_BATCH, DUE_MBOX };
struct due_last {
	struct mbox	*mb;		/* NULL: none */
	int		 side;
	uint32_t	 uid;
	enum due	 kind;
};

/* What has come of a request; bits, since the table has masks. */
enum req_state {
	REQ_ASKED =	0x01,	/* nothing but parts of the answer */
	REQ_TOLD =	0x02,	/* what comes once (OPENED, STATUS ...) came */
	REQ_ANSWERED =	0x04	/* DONE: kept only because it is a handle */
};

struct req {
	RB_ENTRY(req)	 entry;
	uint32_t	 id;
	int		 chan;
	int		 side;		/* that it is about */
	enum ask_type	 type;
	enum req_state	 state;
	const struct answers *to;
	struct mbox	*mb;		/* or NULL */
	struct sess	*sess;		/* what it was sent to, or NULL */
	void		*arg;		/* the asker's */
	int		 what;		/* OPEN_*, NAME_*, PAIR_*, notify */
	struct uidset	 set;		/* UIDs that may be named in answers */
	uint64_t	 room;		/* how often one may still be named */
};
RB_HEAD(reqs, req);
int		 req_cmp(struct req *, struct req *);
RB_PROTOTYPE(reqs, req, entry, req_cmp)

/*
 * One SELECT of a mailbox on a side.  It lives until the pass ends, since the
 * server may tell of the mailbox until the next one is selected.
 */
enum sess_kind { SESS_DISCOVER, SESS_LOOK, SESS_EXEC };
struct sess {
	TAILQ_ENTRY(sess) entry;
	struct mbox	*mb;
	int		 side;
	enum sess_kind	 kind;
	uint32_t	 handle;
	uint32_t	 n;
	uint32_t	 reached;	/* the highest UID that FLAGS named */
	int		 full;		/* OPEN_FULL: the FLAGS are all */
	int		 examine;	/* OPEN_EXAMINE */
	int		 opened;
	int		 failed;	/* SELECT or a part of it was not OK */
	enum proof	 proof;		/* what it says of deletions */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	int		 guessed;	/* the SELECT did not tell it */
	uint32_t	 exists;	/* when opened */
	uint32_t	 recent;	/* the same: not seen by a session before */
	uint32_t	 above;		/* of "fresh", those above n */
	uint64_t	 modseq;	/* H0 of this SELECT */
	uint64_t	 modseq_end;	/* by RFC 7162 section 6, and */
	uint32_t	 exists_end;	/* EXISTS, as the last DONE told */
	int		 readonly;
	int		 perm_any;
	char		*permflags;
	char		*mailboxid;
	struct uidset	 all;		/* OPEN_ALL, SEARCH */
	struct uidset	 fresh;		/* OPEN_NEW: UIDs from U on */
	struct uidset	 earlier;	/* VANISHED (EARLIER) */
	struct uidset	 vanished;	/* VANISHED */
	/* For the judgement of HIGHESTMODSEQ (execute.c, finish.c). */
	struct uidset	 bare;		/* FETCH, MODSEQ above H0, no FLAGS */
	struct uidset	 between;	/* told last with a part of our flags */
	int		 foreign;	/* what was told is not all ours */
	int		 notsticky;	/* UIDNOTSTICKY */
	int		 spoilt;	/* something could not be read */
	int		 unsure;	/* a change that is nobody's was told */
};
TAILQ_HEAD(sesses, sess);

struct asks {
	struct chan	 ch[CHANNELS];
	int		 open[CHANNELS];
	struct reqs	 reqs;
	struct sesses	 sesses;
	int64_t		 heard;		/* ms: the last answer, or question */
	/* Workers that owe an answer: see loop.c. */
	int64_t		 told[SIDES];	/* ms: the last frame */
	int64_t		 moved[SIDES];	/* ms: the last one that answers */
	int64_t		 looked;	/* ms: when poll(2) returned */
	int64_t		 spared[SIDES];	/* ms: added to "moved" since that */
	unsigned	 idle[SIDES];	/* ALIVEs since, waiting for the bridge */
	unsigned	 full[SIDES];	/* the same, with no room in it */
	int		 stale;		/* what came was known: no progress */
	unsigned	 bodies[SIDES];	/* SENDs and RECVs that it owes */
	uint32_t	 last_id;
	uint32_t	 reset_id;	/* the last one of the pass before */
	uint32_t	 pending[CHANNELS]; /* requests that are not answered */
	uint32_t	 uncommitted;	/* notes to the store since COMMIT */
};

void		 ask_init(struct engine *);
/* What that worker owes it owes from now on: its time begins anew. */
void		 ask_time(struct engine *, int side);
/* That worker has not ended, as far as is known. */
int		 ask_isopen(const struct engine *, int chan);
/* Forget all requests and sessions of a pass, but for a WATCH that goes on. */
void		 ask_reset(struct engine *);
/* Forget those of the mailboxes that are finished. */
void		 ask_trim(struct engine *);
/* That worker is gone: nothing of it is awaited any more. */
void		 ask_closed(struct engine *, int chan);
/*
 * A message that names a request.  Which channel it came from is msg.arg's, a
 * struct source: the id alone must not decide.
 */
void		 ask_answer(const struct msg *);
/* Only the first one of a pass counts. */
void		 ask_due(struct engine *, struct mbox *, int side, uint32_t uid,
		    enum due);
struct source {
	struct engine	*e;
	int		 chan;
};

/* ---- a network worker: see the messages of the same name in proto.h ---- */

/* "known": M_NET_KNOWN of so many names. */
void		 ask_list(struct engine *, int side, const struct m_net_list *,
		    char **patterns, size_t n, char **known, size_t nknown,
		    const struct answers *);
void		 ask_status(struct engine *, struct mbox *, int side,
		    const struct answers *);
/* "n": up to which UID changes are told; modseq 0 for a plain SELECT. */
struct sess	*ask_open(struct engine *, struct mbox *, int side,
		    enum sess_kind, int what, uint32_t n, uint64_t modseq,
		    const struct answers *);
/* What META_FLAGS asks for goes to "flags" of the session. */
size_t		 ask_meta(struct engine *, struct sess *, enum meta_what,
		    const struct uidset *, const struct answers *);
/* The UIDs that are there go to the session's "all". */
size_t		 ask_search(struct engine *, struct sess *,
		    const struct uidset *, const struct answers *);
void		 ask_send(struct engine *, struct sess *, uint32_t transfer,
		    const struct uidset *, const struct answers *);
/* "set": the source's UIDs.  m.handle is filled in.  Returns its id. */
uint32_t	 ask_recv(struct engine *, struct sess *, struct m_net_recv *,
		    const struct uidset *, const struct answers *, void *arg);
/* "set": of the STORE. */
void		 ask_store(struct engine *, struct sess *, struct store *,
		    const struct uidset *, const struct answers *);
/* "survivor": a message of that side that stays, or 0. */
void		 ask_expunge(struct engine *, struct sess *,
		    const struct uidset *, uint32_t survivor,
		    const struct answers *);
/* To another mailbox of that side, which has been opened; "arg" of the answers. */
void		 ask_move(struct engine *, struct sess *, int copy,
		    const struct uidset *, struct mbox *to,
		    const struct answers *);
void		 ask_name(struct engine *, struct mbox *, int side,
		    enum name_op, const char *mailbox, const char *newname,
		    const struct answers *);
void		 ask_watch(struct engine *, int side, int notify,
		    const char *mailbox, const struct answers *);
/*
 * End those that are unanswered; what is asked behind that goes in one packet with
 * it, and the WATCH is answered ahead of it.
 */
void		 ask_unwatch(struct engine *);
void		 ask_stats(struct engine *, int side, const struct answers *);
void		 ask_probe(struct engine *, int side, const struct answers *);

/* ---- the store ---- */

void		 ask_load(struct engine *, const struct answers *);
/* What interimap's database holds goes to "mbox". */
void		 ask_import(struct engine *, const struct answers *);
void		 ask_info(struct engine *, struct mbox *,
		    const struct answers *);
void		 ask_rows(struct engine *, struct mbox *, int side,
		    const struct uidset *, const struct answers *);
/* Those of the set that have a row go to "uids". */
void		 ask_have(struct engine *, struct mbox *, int side,
		    const struct uidset *, const struct answers *);
/* Rows spread evenly over those that are not in the set. */
void		 ask_sample(struct engine *, struct mbox *, int side,
		    uint32_t count, const struct uidset *,
		    const struct answers *);
void		 ask_diff(struct engine *, struct mbox *, int side, uint32_t n,
		    const struct answers *);
void		 ask_pair(struct engine *, struct mbox *, enum pair_mode,
		    const struct answers *);
void		 ask_commit(struct engine *);
/*
 * A change of the state: it joins the transaction that the next COMMIT ends,
 * and has no answer.
 */
void		 ask_note(struct engine *, uint32_t type, const void *rec);
/* What a side has, for DIFF and PAIR: it changes nothing. */
void		 ask_seen(struct engine *, const struct m_store_seen *);
/* To a worker, without an answer: UNWATCH, LOGOUT, CLOSE. */
void		 ask_tell(struct engine *, int chan, uint32_t type,
		    const void *rec);

/* Walk a set in parts that fit a message. */
#define SET_PARTS(set, i, part)						\
	for ((i) = 0; proto_set_part((set), &(i), (part)); )

#endif /* ASK_H */
