/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The phases of a pass, in their order; engine.h says what they may call.
 */
#ifndef PHASES_H
#define PHASES_H

struct engine;
struct mbox;
struct mside;
struct sess;

/* ---- look.c, refusal.c, rules.c: for several phases ---- */

/* A look at a mailbox, without an effect on it; "what" besides. */
struct sess	*look_open(struct engine *, struct mbox *, int side, int what,
		    const struct answers *);
/* For "done" of an OPEN: it stops the mailbox where it is not OK. */
void		 look_opened(struct engine *, struct req *,
		    const struct m_engine_done *);
/* Rows of the state to the mailbox's: for ask_rows() and ask_sample(). */
extern const struct answers look_rows;
struct row	*look_row(struct req *, const struct m_engine_row *);

/* Remember it; returns 1 if it is new or the words have changed. */
int		 refusal_set(struct engine *, struct mbox *, int side,
		    uint32_t uid, int code, uint64_t size, uint64_t limit,
		    const char *text);
/* It was taken at last, or is gone. */
void		 refusal_end(struct engine *, struct mbox *, int side,
		    uint32_t uid);
/*
 * When one that was refused so often, last at "now" (seconds since 1970), is
 * offered again: by the next run, then after 1 h, 2 h, ... one day.
 */
int64_t		 refusal_next(uint32_t attempts, int64_t now);

/* What the configuration leaves out: may PROP_* be done on that side? */
int		 rules_allow(const struct engine *, int side, int what);
/* What a SELECT of that side is opened with: OPEN_EXAMINE or nothing. */
int		 rules_open(const struct engine *, int side);
/* What a rule leaves out is remembered with the next COMMIT. */
void		 rules_commit(struct engine *, struct mbox *);

/* ---- list.c, compare.c: step 2; which mailboxes, which are dirty ---- */

int		 list_run(struct engine *);
int		 compare_run(struct engine *);
/* 1 if what a LIST or STATUS tells is not what the state says. */
int		 compare_moved(const struct mside *);

/* ---- recover.c: marks, before, between and behind ---- */

/* Wait until a server that executes what a dead run sent stands still. */
int		 recover_wait(struct engine *);
/* Pair what it has got from there. */
int		 recover_run(struct engine *);
/* All marks of the plan on disk: no octet of an APPEND before. */
int		 recover_commit(struct engine *);
/* Every command of the mailbox has been answered. */
void		 recover_done(struct engine *, struct mbox *);
/* A worker is lost: what the state must know of it. */
void		 recover_lost(struct engine *, int side);

/* ---- discover.c: step 3 ---- */

int		 disc_run(struct engine *);

/* ---- pair.c, repair.c: what both sides already have ---- */

/*
 * META of these UIDs of both sides to the store, then PAIR; what stays unpaired
 * is in found.unpaired when "to->done" is called.
 */
void		 pair_ask(struct engine *, struct mbox *, enum pair_mode,
		    const struct uidset *, const struct uidset *,
		    const struct answers *to);
/* For "paired" and "uids": the differences of a pair that was just made. */
void		 pair_made(struct engine *, struct req *,
		    const struct m_engine_paired *);
void		 pair_left(struct engine *, struct req *,
		    const struct m_engine_uids *);
/* The mailboxes that are to be adopted. */
int		 pair_run(struct engine *);

int		 repair_run(struct engine *);

int		 rules_run(struct engine *);

/* ---- plan.c: step 4; pure: rows in, actions out ---- */

void		 plan_mbox(struct mbox *);
/* Messages that "side" told are gone and the other side still has. */
uint32_t	 plan_told(const struct mbox *, int side);
/* Nothing of this mailbox is deleted, and both sides tell it again. */
void		 plan_hold(struct mbox *);

/* ---- verify.c, guard.c: D3 to D6 ---- */

int		 verify_run(struct engine *);
/* D6: more would be deleted than may be. */
int		 guard_trips(struct engine *);
/*
 * If it does, also without what was only moved on that side: hold all of it.
 * Returns 0, or -1 if the run has to end.
 */
int		 guard_run(struct engine *);
void		 guard_reset(struct engine *);

/* ---- execute.c, finish.c: steps 5 and 6 ---- */

int		 exec_run(struct engine *);
void		 exec_reset(struct engine *);

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

/* ---- report.c, json.c: at the end of a pass ---- */

/* A dry run: what would be done. */
void		 report_plan(struct engine *);
/* What was done; the pass began at that time (ms). */
void		 report_pass(struct engine *, int64_t began);
void		 json_report(struct engine *, int status, int64_t ms);

/* ---- commands.c, watch.c ---- */

/* --check, --delete, --rename: after LIST. */
int		 cmd_run(struct engine *);
/* Wait until there is a reason to look again: 0; -1 if it has to end. */
int		 watch_wait(struct engine *);

#endif /* PHASES_H */
