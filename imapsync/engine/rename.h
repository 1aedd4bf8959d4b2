/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Mailboxes that are renamed: what rename.c finds out and follow.c acts upon.
 */
#ifndef RENAME_H
#define RENAME_H

#include <stddef.h>

#include "mside.h"

struct engine;
struct mbox;

/*
 * HOME: a side has the mailbox under its name; LOST: it has not, or has another
 * one there; MAYBE: MAILBOXID has to say.
 */
enum whereabouts { HOME = 0, LOST, MAYBE };

/* What is to become of it; HELD: neither it nor where it is is touched. */
enum move_kind { MOVE_NONE = 0, MOVE_FOLLOW, MOVE_STATE, MOVE_ALONG,
	MOVE_HELD };

/* A mailbox of the state that a side has not, or not for certain. */
struct move {
	struct mbox	*mb;
	/* rename.c */
	struct move_side {
		enum whereabouts is;
		struct mbox	*at;	/* where it is; NULL: not found */
		int		 byid;	/* MAILBOXID says so */
		uint32_t	 found;	/* mailboxes that could be it */
		uint32_t	 same;	/* that have its UIDVALIDITY */
		int		 sampled;
	}		 s[SIDES];
	uint32_t	 asked;		/* rows of its samples that have a key */
	/* follow.c */
	enum move_kind	 kind;
	int		 target;	/* FOLLOW: the side that is to rename it */
	struct mbox	*to;		/* FOLLOW, STATE: of its new name */
	char		*name;		/* the new name, neutral */
	char		*now;		/* FOLLOW: its name on the target so far */
	struct move	*under;		/* it went along with that one */
	int		 sent;		/* a RENAME of its own */
	int		 there;		/* the target has it under its new name */
	int		 failed;
};

/* In the order of their names. */
struct moves {
	struct move	*v;
	size_t		 n;
};

/* More than this at once are no renames, but a server that lost its mail. */
#define MOVES_MAX	2000

/*
 * Which mailboxes of the state are not where they should be, and where they
 * are: 0, or -1 if the run has to end.  Costs nothing where all are at home,
 * else one turn.  "moves" is freed by moves_free() in both cases.
 */
int		 rename_find(struct engine *, struct moves *);
void		 moves_free(struct moves *);
/* The move of the mailbox of that name, or NULL. */
struct move	*moves_get(const struct moves *, const char *name);

#endif /* RENAME_H */
