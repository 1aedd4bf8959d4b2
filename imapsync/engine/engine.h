/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The engine: what to compare, copy, change.  It never parses IMAP, never sees a
 * body or a secret.  One pass goes through the files in this order: list.c
 * (which mailboxes, which are dirty), discover.c (what changed; adoption and
 * recovery), plan.c (what to do about it), verify.c (may it be deleted?),
 * execute.c (do it, commit).  Everything is planned before anything is changed.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <time.h>

#include "log.h"
#include "proto.h"

#define STORE		2	/* beside LOCAL and REMOTE: the third channel */
#define CHANNELS	3

struct engine;
struct mbox;
struct req;

typedef void	(*req_fn)(struct engine *, struct req *,
		    const struct m_engine_done *);

/*
 * One SELECT of a mailbox on a side.  It lives until the run ends, since the
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
	int		 full;		/* FLAGS go to the store's SEEN */
	int		 opened;
	int		 failed;	/* SELECT or a part of it was not OK */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 exists;	/* when opened; then as the last DONE told */
	uint32_t	 above;
	uint64_t	 modseq;	/* H0 of this SELECT */
	uint64_t	 modseq_end;	/* by RFC 7162 section 6 at the last answer */
	uint32_t	 exists_end;
	int		 readonly;
	int		 perm_any;
	char		*permflags;
	char		*mailboxid;
	struct uidset	 all;		/* OPEN_ALL, SEARCH */
	struct uidset	 fresh;		/* OPEN_FRESH */
	struct uidset	 earlier;	/* VANISHED (EARLIER) */
	struct uidset	 vanished;	/* VANISHED */
	/* for the judgement of HIGHESTMODSEQ (execute.c) */
	struct uidset	 bare;		/* FETCH with MODSEQ above H0, no FLAGS */
	int		 foreign;	/* something was told that is not ours */
};
TAILQ_HEAD(sesses, sess);

/* num of a request that asks the store for rows: the side, and what for. */
#define ROW_SIDE	1
#define ROW_DIFF	2
#define ROW_SAMPLE	4

#define ROW_INFO	8
#define ROW_REPAIR	16
/* num of a META request; 0: its events go to the store. */
enum meta_use { META_STORE = 0, META_DOOMED, META_BRIEF, META_SURVIVOR,
	META_REAPPEARED, META_RULE };

#define HALT_MS		500	/* once stopped: for answers that come together */

/* A request under way. */
struct req {
	RB_ENTRY(req)	 entry;
	uint32_t	 id;
	int		 chan;
	struct mbox	*mb;
	struct sess	*sess;
	req_fn		 done;
	void		*arg;
	int		 num;		/* what kind, or a side: its user's */
	int		 answered;	/* kept only because it is a handle */
};
RB_HEAD(reqs, req);
int		 req_cmp(struct req *, struct req *);
RB_PROTOTYPE(reqs, req, entry, req_cmp)

/* A message of the state that a server told something about. */
struct row {
	RB_ENTRY(row)	 entry[SIDES];
	uint32_t	 uid[SIDES];
	uint64_t	 size;
	uint64_t	 key;
	char		*base;		/* the baseline */
	char		*now[SIDES];	/* what the side has; NULL: the baseline */
	char		*want[SIDES];	/* what the plan makes of it; NULL: as it is */
	uint8_t		 gone[SIDES];	/* the side told that it vanished */
	uint8_t		 looked;	/* D5 saw it */
	uint8_t		 alone;		/* gone on one side, to stay on the other */
};
RB_HEAD(rows_local, row);
RB_HEAD(rows_remote, row);

/* A changed flag list, before the row is known. */
struct change {
	RB_ENTRY(change) entry;
	uint32_t	 uid;
	char		*flags;
};
RB_HEAD(changes, change);

/* One STORE: all messages of a side that gain or lose one flag. */
struct store {
	TAILQ_ENTRY(store) entry;
	int		 add;
	int		 failed;	/* the server did not do it */
	int		 again;		/* ... but may another time */
	char		*flag;
	struct uidset	 set;
};
TAILQ_HEAD(stores, store);

struct refusal {
	TAILQ_ENTRY(refusal) entry;
	uint32_t	 uid;
	int		 code;
	uint32_t	 attempts;
	uint64_t	 size;
	uint64_t	 limit;
	int64_t		 next;
	char		*text;
};
TAILQ_HEAD(refusals, refusal);

struct water {
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint64_t	 modseq;
	char		*mailboxid;
};

/* A mailbox on one side. */
struct mside {
	/* what LIST told */
	char		*name;		/* the server's spelling; NULL: not there */
	uint32_t	 attrs;
	int		 has_status;
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint64_t	 modseq;
	int		 created;	/* by this run (or would be: dry run) */
	int		 newsub;	/* 1 subscribed, -1 unsubscribed by this run */
	/* the state */
	struct water	 water;
	uint32_t	 n;
	struct refusals	 refusals;
	uint32_t	 nrefused;
	/* discovery */
	struct sess	*disc;
	struct changes	 changes;
	struct uidset	 new;		/* UIDs to be copied to the other side */
	struct uidset	 left;		/* the state: what a rule left out */
	struct uidset	 leave;		/* what a rule leaves out in this run */
	uint8_t		 allow;		/* PROP_* that may be done here */
	uint32_t	 ngone_left;	/* left out and vanished: for D3 */
	uint64_t	 nleft;		/* left out, before this run */
	uint64_t	 nfresh;	/* of them, those up to n: for D3 */
	uint32_t	 ngone_refused;	/* refused ones that vanished: for D3 */
	/* the plan */
	struct uidset	 doomed;	/* to be expunged here */
	struct stores	 stores;
	struct uidset	 offer;		/* refused ones, offered again */
	/* verification: of what vanished here */
	struct sess	*look;
	int		 relist;
	int		 reselect;
	int		 hold;		/* deletions are held back: keep modseq */
	uint32_t	 reappeared;	/* D6: gone here, new elsewhere here */
	struct uidset	 moved;		/* D6: those new ones */
	struct uidset	 sample;	/* D5: rows that stay */
	/* execution */
	struct sess	*exec;		/* the last */
	int		 ops_sent;
	struct uidset	 touched;	/* stored to, here */
	struct uidset	 expunged;	/* of "doomed": VANISHED named it */
	struct uidset	 copied;	/* of "new": has a row, refusal, or is gone */
	struct uidset	 appended;	/* here, by us */
	struct stores	 sent;		/* the same by the flags it was sent with */
	int		 others;	/* others expunged while we were at work */
	uint32_t	 nflags;	/* messages whose flags were changed here */
	uint32_t	 nexpunged;
	uint32_t	 ncopied;	/* messages appended here */
	uint64_t	 octets;
};

struct mark {
	int		 set;		/* there is one on disk */
	uint32_t	 tries;
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;	/* T */
	int64_t		 time;
	struct uidset	 uids;		/* on the source */
	uint32_t	 last;		/* UIDNEXT as last seen while waiting */
	int		 gained;	/* rows came for it in this session */
	uint32_t	 active;	/* id of its RECV that is under way; 0 */
};

struct mbox {
	RB_ENTRY(mbox)	 entry;
	char		*name;		/* neutral */
	uint32_t	 id;		/* in the state; 0: not there */
	int		 isnew;		/* its row in the state is made by this run */
	int		 adopt;
	int		 adopt_asked;	/* --adopt named it */
	int		 repair;	/* --repair looks at all of it */
	int		 subscribed;	/* the state: 0, 1, 2 not known */
	int		 skip;		/* filtered out, or named and skipped */
	int		 twice[SIDES];	/* two names of a side are this one */
	int		 dirty;
	int		 stopped;	/* advice was given: touch nothing more */
	int		 touched;	/* something is to be committed */
	uint32_t	 nrows;
	struct mside	 s[SIDES];
	struct mark	 mark[SIDES];	/* by target */
	struct rows_local rows_l;
	struct rows_remote rows_r;
	/* pairing (discover.c) */
	struct uidset	 cand[SIDES];	/* recovery: what may be paired */
	struct uidset	 left[SIDES];	/* PAIR: what stayed unpaired */
	uint32_t	 metas;		/* META requests under way */
	int		 pair_mode;
	int		 recovering;	/* the target of the mark */
	req_fn		 pair_done;
	uint32_t	 npaired;
	char		*lost;		/* flags named as not kept, this run */
	int		 mismatch;	/* D5 saw another message */
	int		 nouid;		/* an APPEND gave no APPENDUID: keep the mark */
};
RB_HEAD(mboxes, mbox);

struct engine {
	struct chan	 control;
	struct chan	 ch[CHANNELS];
	int		 open[CHANNELS];
	int		 exiting;	/* LOGOUT was sent: EOF is expected */
	int		 lost[SIDES];	/* its worker sent FATAL */
	struct m_engine_setup cfg;	/* strings are copies */
	char		**patterns;
	size_t		 npatterns;
	char		**args;
	size_t		 nargs;
	char		**adopts;
	size_t		 nadopts;
	char		**watches;	/* mailboxes for IDLE, local spelling */
	size_t		 nwatches;
	int		 args_done;	/* arguments have become patterns */
	uint32_t	 passes;	/* that this session has made */
	int		 watching;	/* WATCH is on */
	int		 changed;	/* a server told of a change, or LOOK came */
	int		 no_notify[SIDES];
	int64_t		 next_look;	/* when watching: ms */
	int		 go;
	int		 halt;		/* STOP came */
	int		 stop;		/* STOP came, or something was fatal */
	int64_t		 stop_at;	/* ms; then it ends without the answers */
	int		 fatal;		/* exit status of the first FATAL; 0 none */
	int		 partial;	/* exit 3 at least */
	uint32_t	 next_id;
	uint32_t	 next_mailbox;
	struct reqs	 reqs;
	uint32_t	 pending[CHANNELS]; /* requests that are not answered */
	struct sesses	 sesses;
	struct mboxes	 mboxes;
	uint64_t	 total_rows;
	struct m_engine_ready ready[SIDES];
	struct m_engine_stats stats[SIDES];
	int		 is_ready[SIDES];
	char		 delim[SIDES];	/* 0: NIL, or not known yet */
	int		 list_failed[SIDES];	/* --check */
	int		 filtered;	/* LIST may leave out what is there */
	/* execution */
	uint32_t	 transfer;
	int		 copying;	/* the side that messages go to; -1 */
	int64_t		 copy_began;
	int		 full[SIDES];	/* quota: nothing more goes to that side */
	int		 quota_batch[SIDES]; /* MULTIAPPENDs over quota */
	int		 quota_row[SIDES]; /* NO without a code, in a row */
	uint32_t	 uncommitted;
};

/* events.c: one handler a message; the argument is a struct source. */
#define EVENTS_ALL	1	/* states of a channel */
#define EVENTS_START	1
#define EVENTS_RUN	2
/*
 * Which channel a message came from is the handler's argument, since the id
 * alone must not decide: a worker could name the other's request.
 */
struct source {
	struct engine	*e;
	int		 chan;
};
extern const struct proto_handler events_net[];
extern const struct proto_handler events_store[];
extern const struct proto_handler events_control[];

/* engine.c */
/*
 * A new request on channel "chan"; the caller sends it with the id returned.
 * "done" is called once with its DONE, and the request is then freed.
 */
uint32_t	 engine_req(struct engine *, int chan, struct mbox *,
		    struct sess *, req_fn done, void *arg, int num);
/* A request to the store whose DONE nobody needs but the wait. */
uint32_t	 engine_store_req(struct engine *, struct mbox *, req_fn done);
void		 engine_send(struct engine *, int chan, uint32_t type,
		    uint32_t id, const void *rec);
/*
 * Open a mailbox: a session whose OPENED has been waited for or not.  "what" as
 * in proto.h; modseq 0 for a plain SELECT.
 */
struct sess	*engine_open(struct engine *, struct mbox *, int side,
		    enum sess_kind, int what, uint64_t modseq, req_fn done);
/*
 * Serve all channels until no request is unanswered, or for ms milliseconds
 * (-1: no limit).  Returns 0; -1 if the run has to end (signal, fatal).
 */
int		 engine_wait(struct engine *, int64_t ms);
/*
 * COMMIT and wait until the store has answered all that was asked: 0, or -1 if
 * the run has to end.
 */
int		 engine_commit(struct engine *);
/* The run has to end with this status; answers under way are awaited. */
void		 engine_end(struct engine *, int status);
const char	*engine_chan(int chan);	/* "local", "remote", "store" */
int		 engine_status(const struct engine *);	/* exit status so far */
int64_t		 engine_now(void);	/* milliseconds, monotonic */
/* Walk a set in parts that fit a message. */
#define SET_PARTS(set, i, part)						\
	for ((i) = 0; proto_set_part((set), &(i), (part)); )

/* names.c: the servers' spelling and the neutral name. */
/* Into out[NAME_MAX_LEN]: 0, or -1 if the name is not below the reference. */
int		 name_neutral(struct engine *, int side, const char *, char *out);
/* What a neutral name is on a side: 0, or -1 if it can't be there. */
int		 name_server(struct engine *, int side, const char *, char *out);
/* Patterns and MAILBOX arguments: NAME_SEP becomes the side's delimiter. */
char		*name_pattern(struct engine *, int side, const char *);
int		 name_match(const char *pattern, const char *neutral);
int		 name_inbox_reference(struct engine *, int side);

/* 1 if what a LIST or STATUS tells is not what the state says. */
int		 list_moved(const struct mside *);
/* list.c: step 2; which mailboxes, which are dirty. */
int		 list_run(struct engine *);
void		 list_event(struct engine *, int side,
		    const struct m_engine_mailbox *);
void		 list_mbox(struct engine *, const struct m_engine_mbox *);
struct mbox	*mbox_find(struct engine *, const char *name);
/* With no engine: forget what was found. */
struct mbox	*mbox_by_id(struct engine *, uint32_t id);
int		 mbox_cmp(struct mbox *, struct mbox *);
RB_PROTOTYPE(mboxes, mbox, entry, mbox_cmp)
/* It is dirty, not filtered out, not stopped. */
int		 mbox_usable(const struct mbox *);
/* The side has it, and it can be selected. */
int		 mbox_present(const struct mbox *, int side);
/* Something is wrong with this mailbox: say so, touch nothing more; exit 3. */
void		 mbox_stop(struct engine *, struct mbox *, const char *, ...)
		    __attribute__((__format__(printf, 3, 4)));

/* discover.c: step 3, adoption and recovery. */
int		 disc_run(struct engine *);
int		 row_cmp_local(struct row *, struct row *);
int		 row_cmp_remote(struct row *, struct row *);
int		 change_cmp(struct change *, struct change *);
RB_PROTOTYPE(rows_local, row, entry[LOCAL], row_cmp_local)
RB_PROTOTYPE(rows_remote, row, entry[REMOTE], row_cmp_remote)
RB_PROTOTYPE(changes, change, entry, change_cmp)
struct row	*row_find(struct mbox *, int side, uint32_t uid);
struct row	*row_add(struct mbox *, const struct m_engine_row *);
void		 disc_change(struct mbox *, int side, uint32_t uid,
		    const char *flags);
/* Answer to PAIR: plan the differences of a pair that was just made. */
void		 disc_paired(struct mbox *, const struct m_engine_paired *);
/* Compare an OPENED with the watermark (D1); stops the mailbox: -1. */
int		 disc_identity(struct engine *, struct sess *);

void		 disc_pair(struct engine *, struct mbox *, int mode, req_fn);

/* repair.c */
void		 repair_prepare(struct engine *);
int		 repair_run(struct engine *);
void		 repair_row(struct engine *, struct mbox *,
		    const struct m_engine_row *);
void		 repair_flags(struct engine *, struct mbox *,
		    const struct m_engine_paired *);

/* rules.c: what the configuration leaves out. */
int		 rules_allow(const struct engine *, int side, int what);
/* What a SELECT of that side is opened with: OPEN_EXAMINE or nothing. */
int		 rules_open(const struct engine *, int side);
int		 rules_run(struct engine *);
void		 rules_meta(struct engine *, struct req *,
		    const struct m_engine_meta *);
void		 rules_commit(struct engine *, struct mbox *);

/* plan.c: step 4; pure: rows in, actions out. */
void		 plan_mbox(struct mbox *);
/* A flag that a server does not keep: named once with the mailbox. */
void		 plan_lost(struct mbox *, const char *flags);
/* The STORE of a flag, or NULL. */
struct store	*plan_find(struct mside *, int add, const char *flag);

/* verify.c: D3 to D6. */
int		 verify_run(struct engine *);
void		 verify_reset(void);
void		 verify_meta(struct engine *, struct req *,
		    const struct m_engine_meta *);

/* execute.c: marks, step 5 and 6. */
int		 exec_run(struct engine *);
void		 exec_reset(void);
void		 exec_copied(struct engine *, struct req *,
		    const struct m_engine_copied *);
void		 exec_refused(struct engine *, struct req *,
		    const struct m_engine_refused *);
void		 exec_failed(struct engine *, struct req *,
		    const struct m_engine_failed *);
void		 exec_gone(struct engine *, struct req *,
		    const struct m_engine_gone *);
void		 exec_vanished(struct engine *, struct sess *,
		    const struct m_engine_vanished *);
void		 exec_flags(struct engine *, struct sess *,
		    const struct m_engine_flags *);
/* Messages are on their way to that side. */
int		 exec_receiving(struct engine *, int side);
/* A worker is lost: what the state must know of it. */
void		 exec_lost(struct engine *, int side);

/* finish.c: step 6, baselines and watermarks. */
void		 finish_mbox(struct engine *, struct mbox *);
/* While copying: both sides' U as far as all below is accounted for. */
void		 finish_checkpoint(struct engine *, struct mbox *);
/* The watermark of a side that has none, and the adopt flag, with the marks. */
void		 finish_first(struct engine *, struct mbox *);
/*
 * With the pairs of an adoption or recovery: no HIGHESTMODSEQ, until the flags
 * of the pairs agree.
 */
void		 finish_paired(struct engine *, struct mbox *);

/* commands.c: --check, --delete, --rename: after LIST. */
int		 cmd_run(struct engine *);

/* watch.c: between two passes */
/* Wait until there is a reason to look again: 0; -1 if it has to end. */
int		 watch_wait(struct engine *);
void		 watch_mailbox(struct engine *, int side,
		    const struct m_engine_mailbox *);
void		 watch_changed(struct engine *, int side, const char *mailbox);

/* reset.c: between two passes of one session */
void		 engine_reset(struct engine *);
void		 row_free(struct row *);

/* refusal.c */
struct refusal	*refusal_find(struct mside *, uint32_t uid);
/* Remember it; returns 1 if it is new or the words have changed. */
int		 refusal_set(struct engine *, struct mbox *, int side,
		    uint32_t uid, int code, uint64_t size, uint64_t limit,
		    const char *text);
/* It was taken at last, or is gone. */
void		 refusal_end(struct engine *, struct mbox *, int side,
		    uint32_t uid);

/* progress.c: what the user sees. */
void		 progress_init(struct engine *);
/* Print a message whole, with log-prefix; NULL: no component, no mailbox. */
void		 progress_log(enum log_level, const char *component,
		    const char *mailbox, const char *text);
/* The message that comes next ends the session, with this exit status. */
void		 progress_end(struct engine *, int status);
void		 progress_plan(struct engine *);
void		 progress_report(struct engine *, int64_t began);
/* Take the progress line away; draw it anew if it is time. */
void		 progress_clear(void);
void		 progress_tick(struct engine *);
/* A pass of a session that watches begins. */
void		 progress_pass(void);
/* Something was done to the mailbox in this pass. */
int		 progress_changed(const struct mbox *);

/* json.c */
void		 json_report(struct engine *, int status, int64_t ms);
void		 progress_status(struct engine *);
/*
 * A neutral name as the user knows it (local delimiter); untrusted all the same.
 * In static storage, good for two calls.
 */
const char	*progress_show(struct engine *, const char *neutral);

#endif /* ENGINE_H */
