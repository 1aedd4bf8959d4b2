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
 * body or a secret.  Arrows run one way: engine.c (one pass after the other)
 * calls the phases below, the phases call ask.c (requests, ask.h) and loop.c
 * (wait for what was asked), and what a worker answers goes to the functions
 * that the phase named when it asked.  Mailboxes and messages are mbox.h's.
 *
 * A pass goes through the phases in this order: list.c (which mailboxes, which
 * are dirty), import.c (another program's state), recover.c (wait for a server
 * that a dead run left at work), discover.c (what changed), pair.c, repair.c and
 * recover.c (what both sides have already), rules.c (what is left out), plan.c
 * (what to do), verify.c and guard.c (may it be deleted?), execute.c (do it),
 * finish.c (what the state shall hold).  Everything is planned before anything is changed.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <time.h>

#include "ask.h"
#include "json.h"
#include "utf7.h"

/* ---- what each file keeps ---- */

/*
 * How the session ends; it only ever goes on.  From ASKED on nothing new is
 * asked of a server, what is under way is awaited until "at".
 */
enum end_phase {
	END_NONE = 0,
	END_ASKED,	/* STOP came */
	END_FAILED,	/* something was fatal */
	END_LOGOUT	/* the workers were told: their EOF is expected */
};
struct end {
	enum end_phase	 phase;
	int64_t		 at;		/* ms */
	int		 asked;		/* STOP came, before or behind a fault */
	int		 status;	/* exit status of what ended it; 0 none */
	int		 lost[SIDES];	/* its worker sent FATAL */
	int		 limit;		/* a server is too busy: it ended so */
	char		*words[SIDES];	/* of a server that is lost: not yet said */
};

/* The supervisor's words (events.c). */
struct wanted {
	struct m_engine_setup cfg;	/* strings are copies */
	char		**patterns;
	size_t		 npatterns;
	char		**args;
	size_t		 nargs;
	char		**adopts;
	size_t		 nadopts;
	char		**watches;	/* mailboxes for IDLE, local spelling */
	size_t		 nwatches;
	char		**maps[SIDES];	/* mailbox-map, as ITEM_MAP_* has it */
	size_t		 nmaps[SIDES];
	int		 go;
};

/* A server (events.c, list.c). */
struct server {
	int		 is_ready;
	struct m_engine_ready ready;	/* once is_ready; strings are copies */
	int		 has_cert;	/* --check */
	struct m_engine_cert cert;	/* likewise */
	struct sess	*inbox;		/* --check: it was opened, or NULL */
	char		*noinbox;	/* or why it was not */
	char		 delim;		/* 0: NIL, or not known yet */
	struct m_engine_server last;	/* as the state knows it */
	int		 list_failed;	/* --check: its LIST was not OK */
	int		 refused;	/* --rename: it did not do it */
	int		 ghosts;	/* PROOF_NONE was told */
	int		 ghosts_said;
	struct m_engine_stats stats;
	unsigned int	 lines;		/* that its worker has printed */
};

/*
 * The side tells HIGHESTMODSEQ in this session, so that there is something to be
 * compared with what another strategy has stored, or another server tells.
 */
#define has_modseq(e, side)						\
	((e)->srv[side].ready.strategy != STRATEGY_PLAIN)

/* copy.c: a copy to be made in another way. */
struct copy {
	TAILQ_ENTRY(copy) entry;
	struct mbox	*mb;
	int		 target;
	int		 mode;		/* enum recv_mode */
	int		 nodate;
	int		 nokeywords;
	struct uidset	 set;		/* on the source */
};
TAILQ_HEAD(copies, copy);
struct exec {
	uint32_t	 transfer;	/* the last one */
	int		 target;	/* the side that messages go to; -1 */
	int64_t		 began;		/* ms: that direction */
	int		 full[SIDES];	/* quota: nothing more goes to that side */
	int		 quota_batch[SIDES]; /* MULTIAPPENDs over quota */
	int		 quota_row[SIDES]; /* NO without a code, in a row */
	struct copies	 again;
	struct copies	 underway;	/* RECV is not answered */
};

/* pair.c: all messages of a side that META told of. */
struct same {
	uint64_t	 n;
	uint64_t	 sum;
};

/* moved.c: what is gone and what is new, by the side that told. */
struct movedkey;
RB_HEAD(movedkeys, movedkey);
struct arrival;
RB_HEAD(arrivals, arrival);
struct moved {
	struct movedkeys keys;		/* of what is gone */
	struct arrivals	 all;		/* that have such a key */
	struct mbox	*from;		/* one from which something is gone */
	int		 many;		/* and it is not the only one */
};
/* import.c: from interimap's database. */
struct take;
TAILQ_HEAD(takes, take);
struct importing {
	struct takes	 takes;		/* mailboxes that are still to be checked */
	int		 open;		/* what was taken over is not checked yet */
	uint32_t	 version;	/* of the database */
	uint32_t	 found;		/* mailboxes in it, */
	uint32_t	 strange;	/* that are other ones now, */
	int		 inbox;		/* INBOX among them, */
	uint32_t	 mailboxes;	/* that were taken over */
	uint64_t	 kept;		/* pairs that were, */
	uint64_t	 wrong;		/* that are different messages, */
	uint64_t	 gone;		/* one of which is not there any more */
};


/* watch.c */
struct noise;
RB_HEAD(noises, noise);
struct watching {
	int		 on;		/* WATCH is under way */
	int		 ending;	/* a look is under way: the LIST tells all */
	int		 told;		/* what is watched was said */
	int		 changed;	/* there is a reason to look at once */
	int		 clock;		/* see sandbox_clock(); 0, -1: none */
	int		 jumped;	/* it could be read from */
	int64_t		 wake;		/* ms: news that waits is looked at */
	struct noises	 noises;	/* names that news came of */
	uint32_t	 nnoises;
	int64_t		 strange;	/* ms: pause of unknown names */
	int64_t		 strange_until;
	int		 no_notify[SIDES];
	int64_t		 next_look;	/* ms */
};

/* map.c: mailboxes that have two names. */
struct mapping {
	char		*text[SIDES];	/* with the server's delimiter, or NAME_SEP */
	uint32_t	 use;		/* map-special-use: ATTR_*; 0: configured */
	char		*shadow;	/* the remote side has this besides, */
	unsigned int	 nshadows;	/* and so many in all */
	int		 away;		/* the local side has its remote name */
};
struct map {
	struct mapping	*v;
	size_t		 n;
	int		 loaded;	/* those of mailbox-map are in it */
	char		 delim[SIDES];	/* as it was when LIST was sent */
	uint32_t	 said;		/* ATTR_* of which all was said */
};

/* check.c: what there is to warn of. */
struct checking {
	char		**warnings;
	size_t		 n;
	int		 bad;		/* they can't be synchronised */
};

/* progress.c: what a pass said, so that a watch says it once. */
struct said {
	RB_ENTRY(said)	 entry;
	char		*text;
};
RB_HEAD(saids, said);
int		 said_cmp(struct said *, struct said *);
enum drawn { DRAWN_NONE = 0, DRAWN_COPY, DRAWN_WAIT };
struct progress {
	enum drawn	 drawn;		/* the line that stands there */
	int64_t		 last;		/* ms: when it was drawn */
	unsigned int	 lines;		/* warnings of this pass */
	struct saids	 now;
	struct saids	 before;
};

/* ledger.c: a mailbox that was left alone, and one that was renamed or deleted. */
struct stop {
	RB_ENTRY(stop)	 entry;
	char		*name;		/* neutral */
	char		*text;		/* why */
	int64_t		 since;		/* the first run of those; 0: this one */
	int		 found;		/* by this pass, and not by the last */
	int		 changed;	/* the state does not say so */
};
RB_HEAD(stops, stop);
int		 stop_cmp(struct stop *, struct stop *);
RB_PROTOTYPE(stops, stop, entry, stop_cmp)
struct act {
	TAILQ_ENTRY(act) entry;
	int		 side;		/* -1: both, without us */
	char		*name;		/* neutral */
	char		*to;		/* NULL: it was deleted */
	uint32_t	 messages;	/* in what was deleted */
};
TAILQ_HEAD(acts, act);
struct ledger {
	struct stops	 stops;
	struct acts	 acts;		/* of this pass */
	enum fault	 fault;		/* of the session, the first one */
	int		 side;		/* of it; -1 */
	char		*text;		/* of it; or NULL */
	int		 told;		/* it was in an object of --json */
	int64_t		 began;		/* the pass, since 1970 */
};

struct engine {
	struct chan	 control;	/* from the supervisor */
	struct end	 end;
	struct asks	 ask;
	struct wanted	 want;
	struct server	 srv[SIDES];
	struct mboxlist	 list;
	struct exec	 exec;
	struct due_last	 due;
	int		 careful;	/* one mailbox at a time */
	uint32_t	 room[2];	/* for rows, changes, in this round */
	uint32_t	 ranges;	/* that were told in it */
	int		 crowded;	/* REFUSALS_MAX was said */
	struct same	 same[SIDES];
	struct moved	 moved[SIDES];
	uint32_t	 deleted;	/* guard.c: in the last 24 hours */
	uint32_t	 recorded;	/* of this pass, in it already */
	int		 delayed;	/* guard.c: deletions come behind copies */
	struct importing import;
	struct watching	 watch;
	struct progress	 progress;
	struct ledger	 ledger;
	struct map	 map;
	struct checking	 check;
	uint32_t	 holder;	/* --status: who has the state; 0 nobody */
	int		 command;	/* enum run_command: what was asked for */
	int64_t		 synced;	/* the last good run; 0: none */
	int		 logfd;		/* -1: none */
	int64_t		 changed;	/* when a pass has done something; 0 */
	uint32_t	 passes;	/* that this session has made */
	int		 args_done;	/* arguments have become patterns */
	int		 filtered;	/* LIST may leave out what is there */
	const char	*waiting;	/* for whom, if it takes long; or NULL */
	int		 partial;	/* exit 3 at least */
};

/* ---- end.c ---- */

/* The run has to end, with this status; answers under way are awaited. */
void		 end_begin(struct engine *, enum end_phase, int status);
/* It has to end: nothing new is asked of a server. */
int		 ended(const struct engine *);
/* Nothing is awaited any longer than that many ms. */
void		 end_hurry(struct engine *, int64_t ms);
/*
 * A server is lost, in these words.  They are said at the end only: a signal may
 * have ended its tunnel, and be on its way to us.
 */
void		 end_lost(struct engine *, int side, const char *words);
/*
 * --check ends here without a word, so that another session looks at a
 * certificate: its status, or 0.
 */
int		 end_peek(const struct engine *);
/* Exit status so far. */
int		 end_status(const struct engine *);
/* What this process ends with: that, or one of those for the supervisor alone. */
int		 end_exit(const struct engine *);
/* Another session is to try again: nothing of this one is for the user. */
int		 end_again(const struct engine *);
int64_t		 end_now(void);	/* milliseconds, monotonic */

#define HALT_MS		500	/* once asked to stop: for answers together */
#define GRACE_MS	10000	/* for answers under way once it has to end */

/* ---- loop.c: waiting for the channels ---- */

/*
 * Serve all channels until no request is unanswered, or for ms milliseconds
 * (-1: no limit).  Returns 0; -1 if the run has to end (signal, fatal).
 */
int		 loop_wait(struct engine *, int64_t ms);
/*
 * Wait until the store has answered all that was asked, whatever the servers owe:
 * 0, or -1 if the run has to end.
 */
int		 loop_store(struct engine *);
/* COMMIT, and the same. */
int		 loop_commit(struct engine *);
/* Say what end_lost() was told, unless we are asked to stop within a moment. */
void		 loop_lost(struct engine *);
/* The channels' start, before and behind GO; the workers' end. */
void		 loop_setup(struct engine *);
void		 loop_start(struct engine *);
void		 loop_finish(struct engine *);

/* ---- events.c: what comes unasked ---- */

/* All that a channel may bring: this, and the answers of ask.h. */
extern const struct proto_handler events_net[];
extern const struct proto_handler events_store[];
extern const struct proto_handler events_control[];
#define EVENTS_START	1	/* states of the control socket */
#define EVENTS_RUN	2

/* ---- names.c: the servers' spelling and the neutral name ---- */

/*
 * Into out[NAME_MAX_LEN]: 0, or -1 if the name is not below the reference, or has
 * no neutral name (map_neutral()).  name_below(): without what map.c does.
 */
int		 name_below(struct engine *, int side, const char *, char *out);
int		 name_neutral(struct engine *, int side, const char *, char *out);
/* What a neutral name is on a side: 0, or -1 if it can't be there. */
int		 name_server(struct engine *, int side, const char *, char *out);
/* The same before LIST has told the delimiter: with the one of the last run. */
int		 name_guess(struct engine *, int side, const char *, char *out);
/*
 * A mailbox of the command line or configuration, with the local server's
 * delimiter, to one with NAME_SEP in out[NAME_MAX_LEN]; all else stays.  For the
 * mailbox that is meant: which_mbox().
 */
void		 name_arg(struct engine *, const char *, char *out);
/* Patterns: NAME_SEP becomes the side's delimiter.  Allocated. */
char		*name_pattern(struct engine *, int side, const char *);
int		 name_match(const char *pattern, const char *neutral);
int		 name_inbox_reference(struct engine *, int side);
/*
 * A neutral name in UTF-8, in out[NAME_TEXT_MAX]; as it is if it is not proper
 * modified UTF-7.
 */
void		 name_text(const char *neutral, char *out);
/*
 * A neutral name as the user knows it: with the local delimiter, in UTF-8 where
 * the locale has it and all of the name can be shown; untrusted all the same.
 * In static storage, good for two calls.
 */
const char	*name_show(struct engine *, const char *neutral);
/* The same with another side's delimiter, of a name that is that side's. */
const char	*name_show_on(struct engine *, int side, const char *);
/*
 * With the side's delimiter, and in UTF-8 (decoded) or as servers spell it
 * whatever the locale is: in static storage, good for one call.
 */
const char	*name_plain(struct engine *, int side, const char *neutral,
		    int decoded);

/* ---- map.c: mailboxes that have two names ---- */

/*
 * What a mailbox is called on the remote side, as a neutral name, into
 * out[NAME_MAX_LEN], and back.  0, or -1 if the other side can't have it: the name
 * there is that of another pair.
 */
int		 map_remote(struct engine *, const char *neutral, char *out);
int		 map_neutral(struct engine *, const char *remote, char *out);
/* The remote name where it is another one, in static storage; else NULL. */
const char	*map_there(struct engine *, const char *neutral);
/* Both sides can have it, by one name. */
int		 map_same(struct engine *, const char *neutral);
/* For the state: as M_ENGINE_MBOX has it, in static storage. */
void		 map_stored(struct engine *, const char *neutral,
		    const char **remote, uint32_t *use);
/* It has an entry; one that has is below it, on one of the sides. */
int		 map_is(struct engine *, const char *neutral);
int		 map_above(struct engine *, const char *neutral);
/* What is configured, and a mailbox of the state that was found to be a pair. */
void		 map_load(struct engine *);
void		 map_remember(struct engine *, const struct m_engine_mbox *);
/* LIST is to be sent. */
void		 map_begin(struct engine *);
/* The remote side has listed a name of which map_neutral() knows nothing. */
void		 map_shadowed(struct engine *, const char *remote);
/* A server's delimiter or, before it has told it, that of the last run. */
char		 map_delim(const struct engine *, int side);
/* One more entry; the first that has that use, or NULL. */
void		 map_add(struct engine *, uint32_t use, const char *local,
		    const char *remote);
struct mapping	*map_of_use(struct engine *, uint32_t use);
/* The entry of a side's name, or of one above it: NULL if there is none. */
struct mapping	*map_find(struct engine *, int side, const char *);
/* There is one, or one of a name below it. */
int		 map_near(struct engine *, int side, const char *);
/* How many octets of such a name are the entry's, else 0. */
size_t		 map_fits(const struct engine *, const struct mapping *,
		    int side, const char *);
/* The entry's neutral name on that side, into out[NAME_MAX_LEN]. */
void		 map_text(const struct engine *, const struct mapping *,
		    int side, char *out);

/* ---- which.c: which mailbox a user means ---- */

/*
 * A mailbox of the command line or configuration, in modified UTF-7 or UTF-8, to
 * its neutral name in out[NAME_MAX_LEN]: if it can be read as both, the one that
 * exists, and of two that do the one that servers spell so.
 */
void		 which_mbox(struct engine *, const char *, char *out);
/*
 * A neutral name as one word for a shell, by which which_mbox() finds it: in
 * static storage, good for one call.
 */
const char	*which_quote(struct engine *, const char *neutral);
/*
 * How a pattern (with NAME_SEP) matches a neutral name: as servers spell it, or
 * in UTF-8; 0 if it does not.
 */
#define READ_SPELT	1
#define READ_TEXT	2
int		 which_reads(const char *pattern, const char *neutral);
/* How it matches any that a server has listed. */
int		 which_found(struct engine *, const char *pattern);
/*
 * What to ask servers for, so that all is listed that which_reads() may match,
 * and perhaps more: into asks[], how many of them (0: it can match nothing).
 */
size_t		 which_asks(const char *pattern, char asks[2][NAME_MAX_LEN]);
/* Skip what was listed only because it was asked for more than is meant. */
void		 which_select(struct engine *);
/*
 * "; did you mean ...?" with the mailbox whose name is nearest to a neutral one
 * that nobody has, or "": in static storage, untrusted.
 */
const char	*which_near(struct engine *, const char *neutral);

/* ---- ledger.c: what a run leaves to be told ---- */

void		 ledger_init(struct engine *);
/* A pass begins. */
void		 ledger_reset(struct engine *);
/* Why the session fails, for --json: the first one counts.  side: -1 neither. */
void		 ledger_fault(struct engine *, enum fault, int side,
		    const char *text);
/* A mailbox was renamed on that side (-1: on both, which we follow). */
void		 ledger_renamed(struct engine *, int side, const char *from,
		    const char *to);
void		 ledger_deleted(struct engine *, int side, const char *name,
		    uint32_t messages);
/* It is left alone, for that reason. */
void		 ledger_stopped(struct engine *, const char *name,
		    const char *text);
/* What the state knows of that. */
void		 ledger_load(struct engine *, const struct m_engine_stopped *);
/* That mailbox was left alone, in this pass (found) or the last: or NULL. */
struct stop	*ledger_stop(struct engine *, const char *name);
/* Why this pass leaves that mailbox alone; NULL: it does not. */
const char	*ledger_reason(struct engine *, const struct mbox *);
/* The pass is over: note what is new.  1 if there is something to commit. */
int		 ledger_record(struct engine *);

/* ---- progress.c: what the user sees ---- */

void		 progress_init(struct engine *);
/* Print a message whole, with log-prefix; NULL: no component, no mailbox. */
void		 progress_log(struct engine *, enum log_level,
		    const char *component, const char *mailbox,
		    const char *text);
/* Something is wrong with this mailbox: say so, touch nothing more; exit 3. */
void		 progress_stop(struct engine *, struct mbox *, const char *, ...)
		    __attribute__((__format__(printf, 3, 4)));
/* When the last good run was: "never" or its time, in static storage. */
const char	*progress_synced(const struct engine *);
/* The message that comes next ends the session, with this exit status. */
void		 progress_end(struct engine *, int status);
/* Take the progress line away; draw it anew if it is time. */
void		 progress_clear(struct engine *);
void		 progress_tick(struct engine *);
/* STOP came: so does the "^C" of a terminal. */
void		 progress_stopped(struct engine *);
/*
 * Add what has been copied to that side and what is to be, in the mailboxes that
 * are worked at, or with "all" in this pass.
 */
struct copied {
	uint64_t	 done;
	uint64_t	 all;
	uint64_t	 octets;
};
void		 progress_copied(struct engine *, int side, int all,
		    struct copied *);
/* A pass of a session that watches begins. */
void		 progress_pass(struct engine *);
/* The pass ends: how many warnings were not shown. */
void		 progress_rest(struct engine *);
/*
 * What was done on one side of a mailbox, as the server answered; in a dry run
 * what would be.
 */
struct figures {
	uint64_t	 copied;	/* messages to this side */
	uint64_t	 octets;	/* of them; 0 in a dry run */
	uint64_t	 flags;		/* messages whose flags were changed */
	uint64_t	 deleted;
	uint64_t	 moved;		/* to other mailboxes */
	int		 created;
	int		 subscribed;
	int		 unsubscribed;
};
/* A dry run has planned it: this is what it would do. */
void		 progress_planned(struct mbox *);
void		 progress_figures(const struct engine *, const struct mbox *,
		    int side, struct figures *);
/* Something was done to the mailbox in this pass. */
int		 progress_changed(const struct engine *, const struct mbox *);
/* SIGUSR1: where the run is. */
void		 progress_status(struct engine *);
/*
 * Messages that would be copied from that side; "new" may hold UIDs that do not
 * exist.
 */
uint64_t	 progress_to_copy(const struct mside *);
/* "1,200" into buf[NUMBER_TEXT], which is returned. */
#define NUMBER_TEXT	32
const char	*progress_number(uint64_t, char *buf);
/* "1.2 MB" into buf[16], which is returned. */
const char	*progress_size(uint64_t, char *buf);
/* "UID 7", "UIDs 3,5:9", or the first of them and how many more: into buf. */
#define LOG_LINES	500	/* of a worker, in a pass */
#define UIDS_TEXT	160
const char	*progress_uids(const struct uidset *, char *buf, size_t size);

#include "phases.h"

#endif /* ENGINE_H */
