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
struct row;
struct sess;

/* ---- look.c, refusal.c, rules.c: for several phases ---- */

/* A look at a mailbox, without an effect on it; "what" besides. */
struct sess	*look_open(struct engine *, struct mbox *, int side, int what,
		    const struct answers *);
/*
 * Ahead of a DELETE or RENAME: what is selected may be that mailbox, and Dovecot
 * 2.3 ends the session when that is deleted (measured).  INBOX is selected, or if
 * there is none another one that is not to go.
 */
void		 look_away(struct engine *, int side);
/* For "done" of an OPEN: it stops the mailbox where it is not OK. */
void		 look_opened(struct engine *, struct req *,
		    const struct m_engine_done *);
/* What to do with a mailbox that is not what it was; in static storage. */
const char	*look_advice(struct engine *, const struct mbox *);
/* For "spoilt" of every OPEN: it stops the mailbox. */
void		 look_spoilt(struct engine *, struct req *,
		    const struct m_engine_spoilt *);
/*
 * For "due" and "done" of a META of what is new: a connection that ends under it
 * counts against that message; without it the mailbox stops, since nobody knows
 * what is new then.
 */
void		 look_new_due(struct engine *, struct req *,
		    const struct m_engine_due *);
void		 look_new_done(struct engine *, struct req *,
		    const struct m_engine_done *);
/*
 * Room for one more message that changed, by what that side told; without it the
 * side's found.more is set, and the message waits for the next run.
 */
enum room { ROOM_ROWS, ROOM_CHANGES };
int		 look_room(struct engine *, struct mbox *, int side, enum room);
/* Rows of the state to the mailbox's, as far as there is room: for ask_rows(). */
extern const struct answers look_rows;
struct row	*look_row(struct req *, const struct m_engine_row *);

/* Name what has had no line: refused by the other side of that one. */
void		 refusal_more(struct engine *, struct mbox *, int side);
/* May it be remembered?  If not that is said, once, and the run is partial. */
int		 refusal_room(struct engine *, struct mbox *, int side,
		    uint32_t uid);
/* Remember it; returns 1 if it is new or the words have changed. */
int		 refusal_set(struct engine *, struct mbox *, int side,
		    uint32_t uid, int code, uint64_t size, uint64_t limit,
		    const char *text);
/*
 * The source has a message and does not give it, with these words ("": none):
 * named, and a refusal of the source's.
 */
void		 refusal_withheld(struct engine *, struct mbox *, int side,
		    uint32_t uid, const char *text);
/* Name those that had no line of their own, many a line. */
void		 refusal_unnamed(struct engine *, struct mbox *, int side);
/* It was taken at last, or is gone. */
void		 refusal_end(struct engine *, struct mbox *, int side,
		    uint32_t uid);
/*
 * When one that was refused so often, last at "now" (seconds since 1970), is
 * offered again: by the next run, then after 1 h, 2 h, ... one day.
 */
int64_t		 refusal_next(uint32_t attempts, int64_t now);
/* A connection ended under it. */
int		 refusal_suspect(const struct refusal *);
/* A connection ended under the mailbox itself (DUE_MBOX); it did not. */
void		 refusal_lost(struct engine *, struct mbox *, int side,
		    uint32_t uid);
void		 refusal_found(struct engine *, struct mbox *);
/* That was so twice: what it was asked is not asked again for a while. */
int		 refusal_rests(const struct engine *, const struct mbox *);

/* What the configuration leaves out: may PROP_* be done on that side? */
int		 rules_allow(const struct engine *, int side, int what);
/*
 * flags-interval of a mailbox without HIGHESTMODSEQ: seconds from one list of all
 * its flags to the next.  rules_always(): they are listed by every run.
 */
uint32_t	 rules_interval(const struct engine *, const struct mbox *,
		    int side);
int		 rules_always(const struct engine *, const struct mbox *,
		    int side);
/* What a SELECT of that side is opened with: OPEN_EXAMINE or nothing. */
int		 rules_open(const struct engine *, int side);
/* What a rule leaves out is remembered with the next COMMIT. */
void		 rules_commit(struct engine *, struct mbox *);

/* ---- settle.c, for list.c: mailboxes that have two names ---- */

/*
 * Patterns for the remote side, so that it lists all that has two names: two for
 * each entry, allocated, from list[n] on; returns how many there are then.
 * settle_select(): skip those that are not meant.
 */
size_t		 settle_patterns(struct engine *, char **list, size_t n);
void		 settle_select(struct engine *);
/*
 * All is listed: find pairs by their use, if that is wanted, and forget what the
 * state knows of mailboxes that have another pair now.  1 if all is to be listed
 * anew.
 */
int		 settle_run(struct engine *);
/* Pairs are found by their use; some were, or this is not the first pass. */
int		 settle_wanted(const struct engine *);
int		 settle_searched(struct engine *);
/* Find them: 1 if there is a new one. */
int		 settle_special(struct engine *);
/* Name what is in the way on the remote side; stop such a local mailbox. */
void		 settle_report(struct engine *);
void		 settle_away(struct engine *, struct mbox *);

/* ---- list.c, import.c, compare.c: step 2; which mailboxes, which are dirty ---- */

int		 list_run(struct engine *);
/* What the state knows, and nothing else. */
int		 list_state(struct engine *);
/*
 * List all mailboxes that there are, beside those that are known, to name one in
 * an error: 0, or -1 if the run has to end.
 */
int		 list_names(struct engine *);
/*
 * A mailbox that shows messages of others (RFC 6154 \All, \Flagged; RFC 8457
 * \Important) and is left out for that: unless the state has it, a pattern or
 * argument is its name, or virtual-mailboxes wants all.
 */
int		 list_virtual(const struct engine *, const struct mbox *);
/*
 * --import, between the two: the state, which has no message yet, takes over
 * what interimap remembers, as far as it holds.  All of it is committed, or nothing.
 */
int		 import_run(struct engine *);
/* Forget what was not finished, once nothing can answer any more. */
void		 import_reset(struct engine *);
int		 compare_run(struct engine *);
/* Its round begins: CREATE, where it lacks, goes ahead of what is asked of it. */
void		 compare_begin(struct engine *, struct mbox *);
/*
 * Subscriptions of mailboxes that are not stopped follow, once all have been
 * judged: sent, and not waited for.
 */
void		 subscribe_run(struct engine *);
/* What is to become of this one's: told.subscribe, told.unsubscribe. */
void		 subscribe_plan(struct engine *, struct mbox *);
/*
 * 1 if what a LIST or STATUS tells is not what the state says.  Without
 * HIGHESTMODSEQ it says nothing of flags: these are listed as well.
 */
int		 compare_moved(const struct mside *);

/* ---- rename.c, follow.c, gone.c: mailboxes that a side has no more ---- */

/*
 * Between list_run() and compare_run(): those that were renamed on one side
 * (rename-mailbox) are renamed on the other.  Costs nothing where each mailbox of
 * the state is at its place; else a turn to look, and where something is renamed
 * three more, the last of which lists all anew.  What is left for the user to
 * decide is skipped, and said.  Returns 0, or -1 if the run has to end.
 */
int		 rename_run(struct engine *);
/*
 * Behind compare_run(): of those that are gone on a side ("gone"), which may be
 * deleted on the other one (delete-mailbox)?  They are left to gone_run(); of
 * each of the others is said what the user can do.
 */
void		 gone_judge(struct engine *);
/*
 * Behind all copies: delete those mailboxes where they still are, if a look shows
 * nothing in them but what is known (or nothing, with "empty") and the guard lets
 * it through.  Two turns, if there are any.  Returns 0, or -1 if the run has to
 * end.
 */
int		 gone_run(struct engine *);

/* ---- recover.c: marks, before, between and behind ---- */

/* A mailbox under a recent mark waits: the others go first. */
void		 recover_hold(struct mbox *);
/*
 * Wait until a server that executes what a dead run sent stands still, 10 s at
 * most; those mailboxes whose server does not are left for the next run.
 * Returns how many may go on now, or -1 if the run has to end.
 */
int		 recover_wait(struct engine *);
/* Pair what it has got from there. */
int		 recover_run(struct engine *);
/* T of a mark: what has a lower UID there was there before it. */
uint32_t	 recover_from(const struct mside *dst);
/* All marks of the plan on disk: no octet of an APPEND before. */
int		 recover_commit(struct engine *);
/* Every command of the mailbox has been answered. */
void		 recover_done(struct engine *, struct mbox *);
/* A server is lost: what the state must know of it. */
void		 recover_lost(struct engine *);

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
/*
 * Messages under whose META a connection ended: whether the other side has them
 * is not known before it is answered, so they are asked about again, alone, and
 * not copied before.
 */
void		 pair_suspects(struct mbox *, int side, struct uidset *);
/* Of the refused ones that were asked about: those that are paired end. */
void		 pair_offers(struct engine *, struct mbox *, int side,
		    const struct uidset *asked);
/* For "paired" and "uids": the differences of a pair that was just made. */
void		 pair_made(struct engine *, struct req *,
		    const struct m_engine_paired *);
void		 pair_left(struct engine *, struct req *,
		    const struct m_engine_uids *);
/* The mailboxes that are to be adopted. */
int		 pair_run(struct engine *);

int		 repair_run(struct engine *);

int		 rules_run(struct engine *);

/* ---- anew.c ---- */

/*
 * Ahead of the plan: what plain servers know by another UID than before is put to
 * its row.  Costs a turn where something is new and something is gone.  Returns 0,
 * or -1 if the run has to end.
 */
int		 anew_run(struct engine *);

/* ---- plan.c: step 4; pure: rows in, actions out ---- */

void		 plan_mbox(struct mbox *);
/*
 * Messages that "side" told are gone and the other side still has: to be
 * deleted there or, by a rule, to stay there alone.
 */
uint32_t	 plan_told(const struct mbox *, int side);
/*
 * What "side" told of messages that vanished has no consequences in this run,
 * and is to be told again.
 */
void		 plan_hold(struct mbox *, int side);

/* The flags of both sides merged: 0, or -1 if they are more than can be said. */
int		 plan_merge(const char *base, const char *const have[SIDES],
		    char want[FLAGS_MAX]);
/* A side has "have" of a message, and is to have "want": what it will have. */
const char	*plan_side(struct mbox *, int side, uint32_t uid,
		    const char *have, const char *want);
/* A pair that was made behind plan_mbox(). */
void		 plan_flags(struct mbox *, struct row *);

/* ---- moved.c, move.c: what was moved on one side ---- */

/*
 * Behind plan_mbox(): ask what is new where messages of other mailboxes are gone,
 * and put it to them.  Returns 0, or -1 if the run has to end.
 */
int		 moved_find(struct engine *);
/* Forget it: ahead of the rows. */
void		 moved_reset(struct engine *);
/* META of the row's message is wanted, which is gone on the other side only. */
int		 moved_wanted(const struct row *);
void		 moved_shown(struct row *, const struct m_engine_meta *);
/* A new message of that side has got its row. */
void		 moved_copied(struct engine *, struct mbox *, int side,
		    uint32_t uid);
/* It was moved, and its copy has no row yet: it is not to be deleted. */
int		 moved_waits(const struct row *);
/* At the end of verify_run(): what a server moves or copies itself. */
void		 move_plan(struct engine *);
/* Do it, and wait for the answers: 0, or -1 if the run has to end. */
int		 move_run(struct engine *);

/* ---- verify.c, guard.c: D3 to D6 ---- */

int		 verify_run(struct engine *);
/* D6: more would be deleted than may be. */
int		 guard_trips(struct engine *);
/*
 * Behind moved_find(): if it does, also without what was only moved on that side,
 * hold all of it.
 */
void		 guard_run(struct engine *);
/*
 * It matters to it what was moved: what is to be deleted comes behind the copies.
 */
void		 guard_delay(struct engine *);
/*
 * Behind the copies: 1 if deletions that were put off are in the plan now, 0 if
 * there are none, or they are held.
 */
int		 guard_after(struct engine *);
/*
 * The same for whole mailboxes, those with "gone" that are not stopped: 1 if they
 * are too many, which has been said.
 */
int		 guard_boxes(struct engine *);
/* What was deleted counts for a day. */
void		 guard_record(struct engine *);
/* A round ends: what was only moved is looked for anew.  The pass does. */
void		 guard_round(struct engine *);
void		 guard_reset(struct engine *);

/* ---- execute.c, copy.c, session.c, finish.c: steps 5 and 6 ---- */

int		 exec_run(struct engine *);
/*
 * What has ended a connection before, message by message, when all else is
 * done.
 */
int		 exec_last(struct engine *);

/* A copy of the set as "like" says; its answers are awaited by loop_wait(). */
void		 copy_start(struct engine *, const struct copy *like,
		    const struct uidset *);
/* The same, behind those that are under way (e->exec.again). */
void		 copy_again(struct engine *, const struct copy *like,
		    const struct uidset *);
void		 copy_free(struct copy *);
/* What is new and has to be sent as a body, into the set (an initialised one). */
void		 copy_new(const struct mside *, struct uidset *);
/* The UID that a copy has got can be true. */
int		 copy_fits(struct mbox *, int target, uint32_t uid,
		    uint32_t newuid);
/*
 * It is there: its row, with that baseline, to be committed.  "flags" are those
 * that it was given.
 */
void		 copy_made(struct engine *, struct mbox *, int target,
		    const struct m_engine_copied *, const char *base);
/*
 * What a source did not give: a list says whether it is gone, or withheld.
 * Returns 0, or -1 if the run has to end.
 */
int		 copy_missing(struct engine *);
void		 copy_reset(struct engine *);
/* Open a mailbox to change it; the first time with its STOREs and expunges. */
struct sess	*session_open(struct engine *, struct mbox *, int side);
/* 1 if there are some, not yet sent. */
int		 session_has_ops(const struct mbox *, int side);
/* The same of the STOREs alone. */
int		 session_has_stores(const struct mbox *, int side);
void		 session_stores(struct engine *, struct mbox *, int side);

/*
 * Behind the copies: which UIDs messages got where APPENDUID did not tell, and
 * which of their flags were kept where QRESYNC does not tell.  One turn, another
 * one if both sides got some, and one more if flags were dropped.  Returns 0, or
 * -1 if the run has to end.
 */
int		 learn_run(struct engine *);

/*
 * What the side has now of a row, into out[FLAGS_MAX]: what was planned, and the
 * server has confirmed.
 */
void		 finish_achieved(struct mbox *, struct row *, int side, char *out);
void		 finish_mbox(struct engine *, struct mbox *);
/* While copying: both sides' U as far as all below is accounted for. */
void		 finish_checkpoint(struct engine *, struct mbox *);
/*
 * --adopt: rows, marks and refusals go, in the transaction that holds the pairs:
 * not before the wait that the marks stand for.
 */
void		 finish_drop(struct engine *, struct mbox *);
/* The watermark of a side that has none, and the adopt flag, with the marks. */
void		 finish_first(struct engine *, struct mbox *);
/* The watermark alone, for what is said of UIDs ahead of that. */
void		 finish_water(struct engine *, struct mbox *);
/* A mailbox that is not finished: the changes that a server has confirmed. */
void		 finish_confirmed(struct engine *, struct mbox *);
/*
 * With the pairs of an adoption or recovery: no HIGHESTMODSEQ, until the flags
 * of the pairs agree.
 */
void		 finish_paired(struct engine *, struct mbox *);

/* ---- report.c, json.c: at the end of a pass ---- */

/* A dry run: what would be done, of all mailboxes, and one line of one. */
void		 report_plan(struct engine *);
void		 report_line(struct engine *, const struct mbox *,
		    const char *, ...)
		    __attribute__((__format__(printf, 3, 4)));
/* What was done; the pass began at that time (ms). */
void		 report_pass(struct engine *, int64_t began);
/*
 * What was done to a mailbox or, in a dry run, is to be, into
 * line[LOG_TEXT_MAX]: "" if nothing.
 */
void		 report_describe(struct engine *, const struct mbox *,
		    char *line);
/* A line on standard output, through vis(3); none with --json. */
void		 report_json(int on);
void		 report_out(const char *, ...)
		    __attribute__((__format__(printf, 1, 2)));
/* The object of --json; the session's fault is in it from now on. */
void		 json_report(struct engine *, int64_t ms);
/*
 * The session ends, perhaps in the middle of something: the object of a fault
 * that was in none so far.
 */
void		 json_last(struct engine *);
/* The mailbox: a member in UTF-8, and "utf7" beside it, as servers spell it. */
void		 json_name(struct engine *, struct buf *, const char *key,
		    const char *neutral);
/* "remote_name" and "remote_utf7": null where it has that name there as well. */
void		 json_there(struct engine *, struct buf *, const char *neutral);
/* What was done on a side of a mailbox, or would be. */
void		 json_figures(struct buf *, const struct figures *);
/* What all objects begin with. */
void		 json_begin(struct engine *, struct buf *, int64_t ms);
/* ,"refused":[...] with what the state knows besides if "all". */
void		 json_refused(struct engine *, struct buf *, int all);

/* ---- commands.c, check.c, status.c, probe.c, watch.c ---- */

/* What a server may offer, with name NULL at the end. */
struct extension {
	uint32_t	 cap;		/* CAP_* */
	const char	*name;
	const char	*use;		/* what it costs to have none */
};
extern const struct extension	 cmd_extensions[];
/* Print what that server offers: 1 if it can't be worked with. */
int		 cmd_check_side(struct engine *, int side);

/*
 * --check: what the two servers are; 1 if a run can be planned, 0 if not, or -1 if
 * it has to end.  Behind the plan of a dry run: what it would do.  The session has
 * ended early: what is known.  With "peek": the certificate.
 */
int		 check_servers(struct engine *);
void		 check_report(struct engine *);
void		 check_failed(struct engine *);
int		 check_peek(struct engine *);
/* A warning for the report: 1, or 0 if it is to be said as ever. */
int		 check_warned(struct engine *, const char *);

/* --status: what the state says.  0, or -1 if it can't be had. */
int		 status_run(struct engine *);

/* --delete, --rename: after LIST. */
int		 cmd_run(struct engine *);
/* Behind list_run(): of which mailboxes news has come ("hinted"). */
void		 watch_hint(struct engine *);
/*
 * --init: what a server shows without a login; of the sides that are targets
 * there is a worker, and no other process.
 */
int		 probe_run(struct engine *);
/*
 * Wait until there is a reason to look again: 0; -1 if it has to end.  The WATCHes
 * then still go on: ask_unwatch() ends them, without waiting for it, so that LIST
 * goes in the same packet.
 */
int		 watch_wait(struct engine *);

#endif /* PHASES_H */
