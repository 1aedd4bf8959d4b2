/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * WATCH: wait for what the server tells by itself, after NOTIFY (RFC 5465) of
 * all mailboxes or in IDLE (RFC 2177) of one.
 */
#ifndef WATCH_H
#define WATCH_H

#include "cmdq.h"

enum watch_stage {
	W_OFF = 0,	/* none, or not yet its turn */
	W_BEGIN,	/* nothing has been sent */
	W_UNSELECT,	/* UNSELECT, EXAMINE, NOTIFY are unanswered */
	W_FREE,		/* nothing is selected, as far as that can be had */
	W_EXAMINE,
	W_EXAMINED,
	/* From here on what the server tells is news. */
	W_NOTIFY,
	W_NOTIFIED,	/* it tells by itself */
	W_RESTORE,	/* NOTIFY is taken back: unanswered */
	W_ASKED,	/* IDLE waits for "+" */
	W_IDLE,		/* and has it */
	W_LEAVE,	/* DONE was sent */
	W_KEEP,		/* there is nothing to wait for */
	W_END,		/* the WATCH ends */
	W_OVER		/* but for answers that are due */
};

struct watch {
	struct req		*req;		/* until it ends, or NULL; held */
	uint32_t		 id;		/* its id, also behind that */
	enum watch_stage	 stage;
	int			 ending;	/* UNWATCH came, or LOGOUT */
	int			 leaving;	/* examined to be closed */
	int			 overflow;	/* NOTIFY is off */
	int			 reduced;	/* message events only */
	int			 warned;	/* IDLE is refused */
	int			 failed;	/* EXAMINE ahead of IDLE is */
	uint64_t		 began;		/* ms: IDLE's "+" */
	uint64_t		 next;		/* ms: NOOP, or IDLE anew */
	uint64_t		 logout;	/* ms: end in any case; 0 */
	char			*mailbox;	/* of the last CHANGED */
	uint64_t		 told;		/* ms: when that was */
	int			 late;		/* it has changed again */
};

void		 watch_on_watch(const struct msg *);
void		 watch_on_unwatch(const struct msg *);
/* LOGOUT came: if a WATCH is on, it ends first. */
void		 watch_logout(struct net *);
/* 1: that was for the WATCH alone. */
int		 watch_untagged(struct net *, const struct resp *);
/* Something that can't be read: news, whatever it was. */
void		 watch_bad(struct net *, const struct resp *);
/* What is to be done now. */
void		 watch_tick(struct net *);
/* Milliseconds until watch_tick() must be called in any case, or -1. */
int		 watch_timeout(struct net *);
/* The server may be silent for as long as it likes. */
int		 watch_idle(const struct net *);
/*
 * Nothing is owed to the engine but news: it does not want to be told that we are
 * alive, and both may sleep.
 */
int		 watch_quiet(const struct net *);

#endif /* WATCH_H */
