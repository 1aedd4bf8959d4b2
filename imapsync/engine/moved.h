/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What was moved on a side: messages of the state that are gone from one mailbox,
 * and new ones of the same key in another.  moved.c finds them, move.c decides
 * what becomes of them and does it.
 */
#ifndef MOVED_H
#define MOVED_H

#include "engine.h"

/* How the other side gets a new message: as a body, or from what it has. */
enum how { HOW_BODY = 0, HOW_MOVE, HOW_COPY };

/* A new message that has the key of one that is gone. */
struct arrival {
	RB_ENTRY(arrival) entry;	/* by mailbox and UID */
	struct arrival	*next;		/* of the same gone one */
	struct gone	*of;
	struct mbox	*mb;
	uint32_t	 uid;
	uint64_t	 size;
	int64_t		 date;
	const char	*flags;		/* kept by text_keep() */
	const char	*want;		/* what the plan makes of them, or NULL */
	int		 extra;		/* one more than are gone: a copy */
	enum how	 how;
	int		 done;		/* its copy has a row */
	int		 lost;		/* it has one, nobody knows where */
};

/* A row that is gone. */
struct gone {
	TAILQ_ENTRY(gone) entry;	/* of its key */
	struct movedkey	*key;
	struct mbox	*mb;
	struct row	*row;
	struct gone	*twin;		/* gone on both sides: the other's */
	struct arrival	*to;		/* the first of them is no extra one */
	/* What is left of it on the other side, once that has shown it. */
	int		 shown;
	uint64_t	 size;
	int64_t		 date;
};

struct movedkey {
	RB_ENTRY(movedkey) entry;
	uint64_t	 key;
	TAILQ_HEAD(, gone) gones;
	struct gone	*free;		/* the first that has no arrival */
	uint32_t	 n;		/* of them */
	uint32_t	 narrivals;
};

#define FOREACH_MOVED(x, e, side)	RB_FOREACH(x, arrivals, &(e)->moved[side].all)
int		 arrival_cmp(struct arrival *, struct arrival *);
RB_PROTOTYPE(arrivals, arrival, entry, arrival_cmp)

#endif /* MOVED_H */
