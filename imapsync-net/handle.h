/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Handles: the mailbox that is selected, the ones that will be, and the numbers
 * that the server tells of them.
 */
#ifndef HANDLE_H
#define HANDLE_H

#include "cmdq.h"

/* What became of the (last) SELECT. */
enum hstate { H_WAIT = 0, H_OK, H_NO };

/* A mailbox as an OPEN names it. */
struct handle {
	TAILQ_ENTRY(handle)	 entry;
	uint32_t		 id;		/* 0: muted */
	unsigned		 refs;
	enum hstate		 state;
	struct m_net_open	 open;
	char			*mailbox;
	uint32_t		 uidvalidity;
	uint32_t		 uidnext;
	uint32_t		 exists;
	uint32_t		 listed;	/* the highest UID that a list has */
	uint32_t		 recent;	/* when it was selected */
	uint64_t		 modseq;	/* by RFC 7162 section 6 */
	uint64_t		 selmodseq;	/* as the SELECT told it */
	uint64_t		 codemodseq;	/* since the last answer */
	uint64_t		 maxmodseq;
	int			 has_code;
	int			 told_modseq;	/* HIGHESTMODSEQ came */
	int			 nomodseq;
	int			 unsure;	/* see mailbox.c */
	int			 readonly;
	int			 notsticky;
	int			 spoilt;	/* SPOILT was sent */
	int			 touched;	/* told of behind its SELECT */
	int			 watched;	/* by a WATCH, to IDLE in it */
	int			 missed;	/* it changed between two of them */
	int			 has_perm;
	int			 perm_any;
	struct flags_new	 made;		/* keywords, by us */
	char			*perm;
	char			*mailboxid;
	struct uidset		 vanished;	/* in this session; not all */
};
TAILQ_HEAD(handles, handle);

struct mailboxes {
	struct handles		 all;
	struct handle		*last;		/* of the last OPEN; held */
	struct handle		*current;	/* untagged data is its; held */
	struct handle		*sent;		/* of the last SELECT; held */
	uint32_t		 newexists;	/* EXISTS seen meanwhile */
	uint32_t		 newrecent;	/* and RECENT */
};

/*
 * The mailbox of an OPEN, which later requests name by id.  Nobody holds it yet
 * but "last"; an earlier one stays as long as it is held.
 */
struct handle	*handle_new(struct net *, uint32_t id,
		    const struct m_net_open *);
/*
 * The same mailbox once more, to look at it: nobody can name it, nothing is told
 * of it.  Nobody holds it yet.
 */
struct handle	*handle_twin(struct net *, const struct handle *);
/* The one of the last OPEN, if that is its id, else NULL. */
struct handle	*handle_find(struct net *, uint32_t id);
/*
 * OPEN_KEEP: the mailbox that is selected goes on under this handle, without a
 * command, if the server was asked nothing but SEARCH of it and has told nothing
 * else; returns 0 if it must be selected.
 */
int		 handle_keep(struct net *, struct handle *);
void		 handle_hold(struct handle *);
void		 handle_release(struct net *, struct handle *);
/* A tagged answer has come, and is not yet acted upon. */
void		 handle_tagged(struct net *, struct cmd *, const struct resp *);
void		 handle_untagged(struct net *, const struct resp *);
/*
 * The one whose SELECT is being answered, if nothing has told yet whether what
 * comes is still about the mailbox before it; or NULL.
 */
struct handle	*handle_coming(struct net *);
/* A SELECT of it is queued; NULL: UNSELECT. */
void		 handle_sent(struct net *, struct handle *);
/*
 * No request names the mailbox that is selected any more: what the server says
 * of it is counted, but not told.
 */
void		 handle_mute(struct net *);
/* UNSELECT was answered. */
void		 handle_unselected(struct net *);

#endif /* HANDLE_H */
