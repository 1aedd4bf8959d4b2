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

#include "bounds.h"
#include "mside.h"

struct answers;
struct engine;
struct transfer;

/* ---- a mailbox ---- */

/* What the state says of a subscription; UNSETTLED: keep what it has. */
enum subscribed { SUB_NO = 0, SUB_YES, SUB_UNKNOWN, SUB_UNSETTLED };

/* What only one with news has; its sides' is s[].w. */
struct mbox_work {
	struct side_work s[SIDES];
	struct pairing {	/* pair.c: META under way for one PAIR */
		size_t			 metas;
		enum pair_mode		 mode;
		struct take		*take;	/* import.c */
		const struct answers	*to;
		int			 target;	/* recover.c: of the mark */
		struct sess		*look[SIDES];
		struct uidset		 asked[SIDES];	/* and not told */
		struct uidset		 shown[SIDES];	/* learn.c: told */
		uint64_t		 n[SIDES];	/* that were asked */
	} pairing;
	struct transfer	*transfer;	/* move.c: that is being gathered */
};

struct mbox {
	RB_ENTRY(mbox)	 entry;
	char		*name;		/* neutral */
	const char	*remote;	/* as M_ENGINE_MBOX told, kept; "" */
	uint32_t	 id;		/* in the state; 0: not there */
	uint32_t	 nrows;
	enum subscribed	 subscribed;
	uint8_t		 isnew;		/* its row in the state is made by this run */
	uint8_t		 adopt;		/* to be paired by content */
	uint8_t		 adopt_asked;	/* --adopt named it */
	uint8_t		 repair;	/* --repair looks at all of it */
	uint8_t		 shown;		/* --check tells of it */
	uint8_t		 skip;		/* filtered out, or named and skipped */
	uint8_t		 hinted;	/* a server told of news in it */
	uint8_t		 dirty;
	uint8_t		 begun;		/* compare_begin() */
	uint8_t		 later;		/* not before the other mailboxes */
	uint8_t		 turn;		/* its own round is still to come */
	uint8_t		 last;		/* and this after all of them */
	uint8_t		 finished;	/* this run is done with it */
	uint8_t		 planned;	/* by a dry run */
	uint8_t		 stopped;	/* advice was given: touch nothing more */
	uint8_t		 touched;	/* something is to be committed */
	uint8_t		 gone;		/* 1 + the side that has it no more */
	uint8_t		 soon;		/* to be looked at again at once */
	uint8_t		 again;		/* the same, in a moment */
	struct mside	 s[SIDES];
	struct mark	*mark;		/* SIDES of them, by target */
	struct strikes	 strikes;
	struct rows_local rows_l;
	struct rows_remote rows_r;
	struct mbox_work *w;
	uint32_t	 npaired;
	uint32_t	 ntwins;	/* that both sides have, and were not */
	uint32_t	 overflow;	/* local UID with more flags than can be */
};
RB_HEAD(mboxes, mbox);

/* All mailboxes of a pass, by name; for the state also by id. */
struct mboxlist {
	struct mboxes	 all;
	struct mbox	**byid;		/* in the order of loading: ascending */
	size_t		 nbyid;
	uint32_t	 n;		/* mailboxes, and octets of their names */
	size_t		 octets;
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

/*
 * The same text once, until mbox_reset(): messages have few different lists of
 * flags, and large mailboxes many messages; most mailboxes have no MAILBOXID.
 */
const char	*text_keep(const char *);

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
/*
 * It gets its struct mbox_work, and its marks, if it has them not yet.
 * mbox_rest(): the work is over, "sum" is what is left of it.
 */
void		 mbox_begin(struct mbox *);
void		 mbox_rest(struct mbox *);
/* It gets its marks, before any is set. */
void		 mbox_marks(struct mbox *);
struct mbox	*mbox_find(struct mboxlist *, const char *name);
struct mbox	*mbox_by_id(struct mboxlist *, uint32_t id);
/* Give it the id that the state knows it by; ids only grow: 0, or -1. */
int		 mbox_set_id(struct mboxlist *, struct mbox *, uint32_t id);
/* It is dirty, not filtered out, not stopped, and its turn. */
int		 mbox_usable(const struct mbox *);
/* The side has it, and it can be selected. */
int		 mbox_present(const struct mbox *, int side);
/* It was made MARK_OLD seconds ago at most: what was sent may still arrive. */
int		 mark_recent(const struct mark *);
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
/* What the side has of it, as far as is told. */
#define row_has(row, side)						\
	((row)->now[side] != NULL ? (row)->now[side] : (row)->base)
/* That side's server knows it by another UID, which no other row has. */
void		 row_renumber(struct mbox *, struct row *, int side,
		    uint32_t uid);
/* What the side has now of it. */
void		 row_now(struct row *, int side, const char *flags);
/*
 * Remember a changed flag list; the last one told counts.  1 if it is the first
 * of that UID.  change_drop(): forget that of the highest.
 */
int		 change_add(struct mside *, uint32_t uid, const char *flags);
void		 change_drop(struct mside *);
/* The STORE of a flag, or NULL; store_add() makes it where it lacks. */
struct store	*store_find(struct stores *, int add, const char *flag);
struct store	*store_add(struct stores *, int add, const char *flag);
void		 stores_free(struct stores *);	/* and empty */
/* The refusal of a UID, or NULL; refusal_new() makes one with no reason yet. */
struct refusal	*refusal_find(struct mside *, uint32_t uid);
struct refusal	*refusal_new(struct mside *, uint32_t uid);
/* How many there are, of all mailboxes. */
uint32_t	 refusal_count(void);
void		 refusal_free(struct mside *, struct refusal *);
/* A flag that the server of that side does not keep: named once. */
void		 mbox_lost(struct mbox *, int side, const char *flags);

#endif /* MBOX_H */
