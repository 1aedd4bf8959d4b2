/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * What is known of messages, and of a mailbox on one side.  What a side has is
 * grouped by the phase that writes it: mbox.h has the mailbox and the functions.
 */
#ifndef MSIDE_H
#define MSIDE_H

#include <sys/tree.h>

#include "log.h"
#include "proto.h"

struct gone;
struct mbox;
struct sess;

/* ---- messages ---- */

/* A message of the state that a server told something about. */
struct row {
	RB_ENTRY(row)	 entry[SIDES];
	uint32_t	 uid[SIDES];
	uint64_t	 size;
	uint64_t	 key;
	/* Kept by text_keep(). */
	const char	*base;		/* the baseline */
	const char	*now[SIDES];	/* what the side has; NULL: the baseline */
	const char	*want[SIDES];	/* what the plan makes of it; NULL: as it is */
	struct gone	*moved;		/* moved.c: gone on one side, or NULL */
	uint8_t		 gone[SIDES];	/* the side told that it vanished */
};
RB_HEAD(rows_local, row);
RB_HEAD(rows_remote, row);

/* A changed flag list, before the row is known. */
struct change {
	RB_ENTRY(change) entry;
	uint32_t	 uid;
	const char	*flags;		/* kept */
};
RB_HEAD(changes, change);

/* One STORE: all messages of a side that gain or lose one flag. */
struct store {
	TAILQ_ENTRY(store) entry;
	RB_ENTRY(store)	 node;
	int		 add;
	int		 failed;	/* one that was not OK has been named */
	char		*flag;
	struct uidset	 set;
	struct uidset	 sent;		/* of it: asked for */
	struct uidset	 done;		/* of it: the server said OK */
	struct uidset	 refused;	/* of it: it said NO, and will again */
};
/* In the order in which they were made, and by flag. */
struct stores {
	TAILQ_HEAD(, store) list;
	RB_HEAD(store_index, store) index;
};

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
#define MARK_OLD	600	/* seconds: no server executes for so long */

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
	uint64_t	 modseq;
	uint64_t	 unseen;	/* + 1; 0: not told */
	uint32_t	 attrs;		/* ATTR_* */
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint8_t		 has_status;
	uint8_t		 twice;		/* two names of the side are this one */
	uint8_t		 unlisted;	/* not in the LIST, and not gone either */
	/* enum answered: */
	uint8_t		 create;	/* to be created by this run */
	uint8_t		 subscribe;	/* to be subscribed to */
	uint8_t		 unsubscribe;
};

/* A watermark (design.md section 1). */
struct water {
	uint32_t	 uidvalidity;
	uint32_t	 uidnext;
	uint32_t	 messages;
	uint64_t	 modseq;
	const char	*mailboxid;	/* kept by text_keep() */
	int64_t		 looked;	/* as in struct m_water */
	uint64_t	 unseen;
};
/* The state: loaded by list.c and discover.c, moved on by finish.c. */
struct side_known {
	struct water	 water;
	uint32_t	 n;		/* highest UID known in whatever way */
	struct refusals	 refusals;
	uint32_t	 nrefused;	/* when it was loaded: for D3 */
};

/* anew.c: rows that are gone, in the order of their keys. */
struct anew {
	struct row	**rows;
	size_t		  n;
	uint32_t	  found;	/* that have another UID now */
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
	int		 more;		/* changes that had no room in this run */
	uint8_t		 allow;		/* PROP_* that may be done here */
	/* For the count of D3. */
	uint64_t	 nleft;		/* left out before this run */
	uint64_t	 nfresh;	/* of "new", those up to n */
	int		 unlisted;	/* there is more than was listed */
	struct anew	 anew;
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
	struct uidset	 moving;	/* of "doomed": goes by a MOVE */
	struct uidset	 wait;		/* of found.new: the other side has it, and
					   the next run finds out where */
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
};

/* execute.c: what was done here, as the server answered. */
struct side_did {
	struct sess	*exec;		/* the last one */
	int		 ops_sent;
	struct uidset	 touched;	/* stored to */
	struct uidset	 flagged;	/* of it: as the server answered */
	struct uidset	 expunged;	/* of "doomed": VANISHED named it */
	struct uidset	 copied;	/* of "new": has a row, refusal, or is gone */
	struct uidset	 appended;	/* here, by us */
	struct stores	 sent;		/* the same by the flags it was sent with */
	struct uidset	 unlearnt;	/* of "new": the other side took it, and
					   has not told as which UID */
	struct stores	 dropped;	/* of "appended": a flag was not kept */
	int		 asked_twice;	/* to expunge: it did not at first */
	int		 others;	/* others expunged while we were at work */
	struct uidset	 missing;	/* it did not give them */
	char		*why;		/* its words for that, or NULL */
	struct sess	*look;		/* for a list of them */
	int		 unlisted;	/* there is none */
	int		 closed;	/* it takes no message in this run */
	uint32_t	 in_a_row;	/* refusals "not now" */
	uint32_t	 nwithheld;	/* messages that it did not give */
	struct uidset	 unnamed;	/* those of them that have no line */
	uint32_t	 nrefused;	/* of it that the other did not take */
	struct uidset	 more;		/* those of them that have no line */
	char		*lost;		/* flags that it does not keep */
	uint32_t	 nexpunged;
	uint32_t	 ncopied;	/* messages appended here */
	int		 reopen;	/* what was moved here is not yet told of */
	uint64_t	 octets;
};

/*
 * All that only a mailbox with news has; see mbox_begin().  It is most of it, and
 * there may be 100,000 mailboxes without.
 */
struct side_work {
	struct uidset	  offer;	/* refused ones, to be offered again */
	struct uidset	  suspect;	/* the same: a connection ended under them */
	struct uidset	  left;		/* the state: what a rule left out */
	struct uidset	  alone;	/* of it: it had a row before */
	struct side_found found;
	struct side_plan  plan;
	struct side_check check;
	struct side_did	  did;
};

/* What was moved to another mailbox; or, in a dry run, is to be. */
struct outgoing {
	struct mbox	*to;		/* NULL: several others */
	uint32_t	 n;
};
#define OUTGOING_MAX	8

/* What is reported, once the work is over. */
struct side_sum {
	uint32_t	 copied;
	uint32_t	 flags;
	uint32_t	 deleted;
	uint32_t	 credited;	/* see side_check */
	uint64_t	 octets;
	uint32_t	 moved;		/* away from here */
	struct outgoing	*out;		/* OUTGOING_MAX of them, or NULL */
	uint32_t	 arrived;	/* here, by MOVE or COPY */
};

struct mside {
	struct side_told  told;
	struct side_known known;
	struct side_sum	  sum;
	struct side_work *w;
};

#endif /* MSIDE_H */
