/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What a pass knows of mailboxes and messages, from birth to free.  Of each
 * mailbox there is one struct mbox with a struct mside for each server; what
 * stands in it is grouped by the phase that writes it, in the order in which
 * they run.  Later phases read what earlier ones wrote, not the reverse.
 */
#ifndef MBOX_H
#define MBOX_H

#include <sys/tree.h>

#include "log.h"
#include "proto.h"

struct answers;
struct engine;
struct sess;

/* ---- messages ---- */

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
	int		 failed;	/* one that was not OK has been named */
	char		*flag;
	struct uidset	 set;
	struct uidset	 done;		/* of it: the server said OK */
	struct uidset	 refused;	/* of it: it said NO, and will again */
};
TAILQ_HEAD(stores, store);

/* A message that the other server did not take. */
struct refusal {
	RB_ENTRY(refusal) entry;
	uint32_t	 uid;
	int		 code;		/* enum resp_code */
	uint32_t	 attempts;
	uint64_t	 size;
	uint64_t	 limit;		/* the target's APPENDLIMIT then; 0 */
	int64_t		 next;		/* not to be offered before */
	char		*text;		/* the server's words */
};
RB_HEAD(refusals, refusal);

/* "These UIDs are being copied" (design.md section 6): by target. */
struct mark {
	int		 set;		/* there is one on disk */
	uint32_t	 tries;		/* sessions that ended under it */
	uint32_t	 uidnext;	/* T */
	int64_t		 time;		/* when it was made */
	struct uidset	 uids;		/* on the source */
	uint32_t	 last;		/* UIDNEXT as last seen while waiting */
	int64_t		 since;		/* ms: when it was seen first */
	int		 gained;	/* rows came for it in this session */
	int		 ours;		/* made by this run */
	int		 keep;		/* something has no row: it stays */
	uint32_t	 active;	/* id of its RECV that is under way; 0 */
};

/* Sessions in a row that ended under a mailbox, not under a copy. */
struct strikes {
	uint32_t	 count;
	int		 side;		/* whose server, the last time */
	uint32_t	 uid;		/* that it was asked about, or 0 */
	int64_t		 next;		/* not to be tried before */
};

/* ---- a mailbox on one side ---- */

/* A plan is no result: what is counted and printed is what was answered. */
enum answered { ANS_NONE = 0, ANS_PLANNED, ANS_OK };

/* list.c: what LIST and STATUS told; compare.c: what is done with names. */
struct side_told {
	char		*name;		/* the server's spelling; NULL: not there */
	uint32_t	 attrs;		/* ATTR_* */
	int		 has_status;
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint64_t	 modseq;
	int		 twice;		/* two names of the side are this one */
	int		 unlisted;	/* not in the LIST, and not gone either */
	enum answered	 create;	/* to be created by this run */
	enum answered	 subscribe;	/* to be subscribed to */
	enum answered	 unsubscribe;
	struct uidset	 offer;		/* refused ones, to be offered again */
	struct uidset	 suspect;	/* the same: a connection ended under them */
};

/* A watermark (design.md section 1). */
struct water {
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint64_t	 modseq;
	char		*mailboxid;
};
/* The state: loaded by list.c and discover.c, moved on by finish.c. */
struct side_known {
	struct water	 water;
	uint32_t	 n;		/* highest UID known in whatever way */
	struct refusals	 refusals;
	uint32_t	 nrefused;	/* when it was loaded: for D3 */
	struct uidset	 left;		/* what a rule left out */
	struct uidset	 alone;		/* of it: it had a row before */
};

/* discover.c, then pair.c, recover.c, rules.c: what is there to be done. */
struct side_found {
	struct sess	*disc;
	struct changes	 changes;
	struct uidset	 new;		/* UIDs to be copied to the other side */
	struct uidset	 cand;		/* recovery: what may be paired */
	struct uidset	 unpaired;	/* what PAIR left */
	struct uidset	 cut;		/* not all of their flags are told */
	struct uidset	 leave;		/* what a rule leaves out in this run */
	uint8_t		 allow;		/* PROP_* that may be done here */
	/* For the count of D3. */
	uint64_t	 nleft;		/* left out before this run */
	uint64_t	 nfresh;	/* of "new", those up to n */
	uint32_t	 ngone_left;	/* left out, and vanished */
	uint32_t	 ngone_refused;	/* refused, and vanished */
};

/* plan.c: what is to be done on this side. */
struct side_plan {
	struct uidset	 doomed;	/* to be expunged */
	struct uidset	 alone;		/* gone on the other side, stays here */
	struct stores	 stores;
	struct flags_new made;		/* keywords that the mailbox has not */
	uint32_t	 nflags;	/* messages whose flags are changed */
	int		 hold;		/* what this side told of messages that
					   vanished has no consequences */
	struct uidset	 after;		/* doomed, once what was moved is copied */
	int		 again;		/* what this side told is to be told
					   again: its HIGHESTMODSEQ stays */
};

/* verify.c: is it true what this side told of messages that vanished? */
struct side_check {
	struct sess	*look;
	int		 relist;	/* D3: its count did not fit */
	int		 reselect;	/* D4: to be selected once more */
	struct uidset	 sample;	/* D5: rows that stay */
	struct uidset	 shown;		/* D5: those that this side showed */
	struct uidset	 seen;		/* D5: of what would go here, the same */
	int		 mismatch;	/* D5: another message than the state's was
					   shown here */
	uint32_t	 reappeared;	/* D6: gone here, new elsewhere here, */
	uint32_t	 credited;	/* and copied from there by now */
	struct uidset	 moved;		/* D6: those new ones */
};

/* execute.c: what was done here, as the server answered. */
struct side_did {
	struct sess	*exec;		/* the last one */
	int		 ops_sent;
	int		 stores_sent;
	struct uidset	 touched;	/* stored to */
	struct uidset	 flagged;	/* of it: as the server answered */
	struct uidset	 expunged;	/* of "doomed": VANISHED named it */
	struct uidset	 copied;	/* of "new": has a row, refusal, or is gone */
	struct uidset	 appended;	/* here, by us */
	struct stores	 sent;		/* the same by the flags it was sent with */
	int		 others;	/* others expunged while we were at work */
	struct uidset	 missing;	/* it did not give them */
	char		*why;		/* its words for that, or NULL */
	struct sess	*look;		/* for a list of them */
	int		 unlisted;	/* there is none */
	int		 closed;	/* it takes no message in this run */
	uint32_t	 in_a_row;	/* refusals "not now" */
	uint32_t	 nwithheld;	/* messages that it did not give */
	struct uidset	 unnamed;	/* those of them that have no line */
	char		*lost;		/* flags that it does not keep */
	uint32_t	 nexpunged;
	uint32_t	 ncopied;	/* messages appended here */
	uint64_t	 octets;
};

struct mside {
	struct side_told  told;
	struct side_known known;
	struct side_found found;
	struct side_plan  plan;
	struct side_check check;
	struct side_did	  did;
};

/* ---- a mailbox ---- */

/* What the state says of a subscription; UNSETTLED: keep what it has. */
enum subscribed { SUB_NO = 0, SUB_YES, SUB_UNKNOWN, SUB_UNSETTLED };

struct mbox {
	RB_ENTRY(mbox)	 entry;
	char		*name;		/* neutral */
	uint32_t	 id;		/* in the state; 0: not there */
	uint32_t	 nrows;
	enum subscribed	 subscribed;
	int		 isnew;		/* its row in the state is made by this run */
	int		 adopt;		/* to be paired by content */
	int		 adopt_asked;	/* --adopt named it */
	int		 repair;	/* --repair looks at all of it */
	int		 skip;		/* filtered out, or named and skipped */
	int		 dirty;
	int		 later;		/* not before the other mailboxes */
	int		 turn;		/* its own round is still to come */
	int		 finished;	/* this run is done with it */
	int		 planned;	/* by a dry run */
	int		 stopped;	/* advice was given: touch nothing more */
	int		 touched;	/* something is to be committed */
	int		 soon;		/* to be looked at again before long */
	struct mside	 s[SIDES];
	struct mark	 mark[SIDES];	/* by target */
	struct strikes	 strikes;
	struct rows_local rows_l;
	struct rows_remote rows_r;
	struct pairing {	/* pair.c: META under way for one PAIR */
		size_t			 metas;
		enum pair_mode		 mode;
		const struct answers	*to;
		int			 target;	/* recover.c: of the mark */
		struct sess		*look[SIDES];
		struct uidset		 asked[SIDES];	/* and not told */
		uint64_t		 n[SIDES];	/* that were asked */
	} pairing;
	uint32_t	 npaired;
	uint32_t	 overflow;	/* local UID with more flags than can be */
};
RB_HEAD(mboxes, mbox);

/* All mailboxes of a pass, by name; for the state also by id. */
struct mboxlist {
	struct mboxes	 all;
	struct mbox	**byid;		/* in the order of loading: ascending */
	size_t		 nbyid;
	uint64_t	 total_rows;
	int		 had_rows;	/* this is not the first run */
	uint32_t	 next_id;	/* above all ids of the state */
};

int		 mbox_cmp(struct mbox *, struct mbox *);
int		 row_cmp_local(struct row *, struct row *);
int		 row_cmp_remote(struct row *, struct row *);
int		 change_cmp(struct change *, struct change *);
int		 refusal_cmp(struct refusal *, struct refusal *);
RB_PROTOTYPE(mboxes, mbox, entry, mbox_cmp)
RB_PROTOTYPE(rows_local, row, entry[LOCAL], row_cmp_local)
RB_PROTOTYPE(rows_remote, row, entry[REMOTE], row_cmp_remote)
RB_PROTOTYPE(changes, change, entry, change_cmp)
RB_PROTOTYPE(refusals, refusal, entry, refusal_cmp)

#define FOREACH_MBOX(mb, list)	RB_FOREACH(mb, mboxes, &(list)->all)
/* Every mailbox and side, and those that are still worked at. */
#define FOREACH_SIDE(mb, side, list)					\
	FOREACH_MBOX(mb, list)						\
		for ((side) = LOCAL; (side) < SIDES; (side)++)
#define FOREACH_USABLE(mb, list)					\
	FOREACH_MBOX(mb, list)						\
		if (!mbox_usable(mb))					\
			continue;					\
		else
#define FOREACH_USABLE_SIDE(mb, side, list)				\
	FOREACH_SIDE(mb, side, list)					\
		if (!mbox_usable(mb))					\
			break;						\
		else

void		 mbox_init(struct mboxlist *);
/* Free all mailboxes and what is theirs; sessions are ask.c's. */
void		 mbox_reset(struct mboxlist *);
/* A new mailbox of that neutral name, which no other has. */
struct mbox	*mbox_new(struct mboxlist *, const char *name);
void		 mbox_free(struct mbox *);
/* By neutral name or, of those that were loaded, by id: NULL if none. */
struct mbox	*mbox_find(struct mboxlist *, const char *name);
struct mbox	*mbox_by_id(struct mboxlist *, uint32_t id);
/* Give it the id that the state knows it by; ids only grow: 0, or -1. */
int		 mbox_set_id(struct mboxlist *, struct mbox *, uint32_t id);
/* It is dirty, not filtered out, not stopped, and its turn. */
int		 mbox_usable(const struct mbox *);
/* The side has it, and it can be selected. */
int		 mbox_present(const struct mbox *, int side);
/* Messages are on their way to that side. */
int		 mbox_receiving(struct mboxlist *, int side);
/* Go on as if the state knew none of its messages; its marks stay. */
void		 mbox_forget_rows(struct mboxlist *, struct mbox *);
/* Forget what the plan was (not that something is held). */
void		 mbox_unplan(struct mbox *);

/*
 * The row of a UID on that side, or NULL.  row_add() returns NULL if one of the
 * UIDs has another partner; where the row is there it is returned.
 */
struct row	*row_find(struct mbox *, int side, uint32_t uid);
struct row	*row_add(struct mbox *, uint32_t local, uint32_t remote,
		    const char *base);
/* What the side has now of it. */
void		 row_now(struct row *, int side, const char *flags);
/* Remember a changed flag list; the last one told counts. */
void		 change_add(struct mside *, uint32_t uid, const char *flags);
/* The STORE of a flag, or NULL; store_add() makes it where it lacks. */
struct store	*store_find(struct stores *, int add, const char *flag);
struct store	*store_add(struct stores *, int add, const char *flag);
/* The refusal of a UID, or NULL; refusal_new() makes one with no reason yet. */
struct refusal	*refusal_find(struct mside *, uint32_t uid);
struct refusal	*refusal_new(struct mside *, uint32_t uid);
void		 refusal_free(struct mside *, struct refusal *);
/* A flag that the server of that side does not keep: named once. */
void		 mbox_lost(struct mbox *, int side, const char *flags);

#endif /* MBOX_H */
