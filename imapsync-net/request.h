/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Requests of the engine: queued as they come, turned into commands in that
 * order, each ended by one DONE.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "cmdq.h"

struct boxes;

/* What a kind of request does; all but emit may be NULL. */
struct req_ops {
	/* Queue commands; 1: these were all, 0: call again. */
	int	(*emit)(struct net *, struct req *);
	/*
	 * Its mailbox is not selected: 1 if it ends here, "unsent" (which it
	 * does without this), 0 if it goes on by itself.
	 */
	int	(*unsent)(struct net *, struct req *);
	/* All is answered: send what comes before DONE. */
	void	(*finish)(struct net *, struct req *);
	/* Free what only this kind has. */
	void	(*free)(struct req *);
};

/* A LIST that goes behind LOGIN can't know what the server will offer. */
enum list_tried { TRY_NOT = 0, TRY_HOPE, TRY_OFFERED, TRY_LATER };

/* One without UID EXPUNGE, in turns. */
enum expunge_stage { EXPUNGE_BEGIN = 0, EXPUNGE_ASKED, EXPUNGE_MARKED,
	EXPUNGE_OVER };

/* A request, from its arrival to its DONE. */
struct req {
	TAILQ_ENTRY(req)	 entry;
	const struct req_ops	*ops;
	uint32_t		 type;
	uint32_t		 id;
	struct handle		*handle;	/* held */
	size_t			 cost;		/* octets of memory, about */
	unsigned		 refs;		/* see req_hold() */
	int			 unsent;	/* it was over when it came */
	int			 emitted;
	enum resp_status	 status;	/* of DONE */
	enum resp_code		 code;
	char			*text;
	struct uidset		 set;
	uint32_t		 pos;		/* the last UID emitted; 0 */
	char			*mailbox;
	char			*flags;		/* STORE; RECV: permanent ones */
	uint32_t		 transfer;	/* SEND, RECV */
	int			 refused;	/* LIST, OPEN: by the server */
	/* LIST */
	struct m_net_list	 list;
	char			**patterns;
	size_t			 npatterns;
	struct buf		 known;		/* names, a NUL behind each */
	size_t			 asked;		/* octets of them: STATUS is sent */
	struct boxes		*boxes;
	enum list_tried		 tried;
	unsigned		 listing;	/* unanswered commands of it */
	unsigned		 answers;	/* LISTs and STATUSes */
	unsigned		 names;		/* different ones among them */
	size_t			 octets;	/* of the names among them */
	int			 early;		/* answered before READY; held */
	/* META, SEND, STORE, MOVE, NAME, WATCH */
	int			 copy;
	uint32_t		 uidvalidity;
	enum meta_what		 what;
	int			 last;
	int			 add;
	enum name_op		 op;
	char			*newname;
	int			 notify;
	/* EXPUNGE: see expunge.c */
	uint32_t		 survivor;
	enum expunge_stage	 stage;
	struct uidset		 seen;		/* all that is there */
	struct uidset		 others;	/* marked, and not to go */
	int			 whole;		/* "seen" is */
	/* SEND */
	unsigned		 fetching;	/* unanswered FETCHes */
	int			 ended;		/* END, if due, was sent */
	/* RECV */
	struct m_net_recv	 recv;
	int			 appended;
	int			 aside;		/* nothing is selected */
	int			 over;		/* no more records come */
};
TAILQ_HEAD(reqs, req);

struct queue {
	struct reqs		 reqs;
	struct req		*next;		/* not wholly emitted */
	struct req		*half;		/* a LIST that is still to come */
	size_t			 cost;		/* of all, octets */
	int			 held;		/* a WATCH is under way */
	/* What LIST and the login have to do with each other. */
	int			 lastlist;	/* the engine's last one is here */
	int			 compressfirst;
	int			 early;		/* they may go before READY */
};

/* The request that the message is; req_bound(): about messages of a handle. */
struct req	*req_new(const struct msg *, const struct req_ops *);
struct req	*req_bound(const struct msg *, uint32_t handle,
		    const struct req_ops *, const struct uidset *);
/*
 * Into the queue.  req_enter() is for what req_bound() made: it is over at once,
 * in its place, if its mailbox is not the one opened last.
 */
void		 req_queue(struct net *, struct req *);
void		 req_enter(struct net *, struct req *);
/* Nothing is in front of a new command: it would go out at once. */
int		 req_room(const struct net *);
/* Emit what may be emitted now. */
void		 req_pump(struct net *);
/*
 * Whoever keeps a pointer to a request takes it by req_hold() and gives it up by
 * req_release(), which clears it.  A command has one from its making to its end.
 * While there is one the request is neither done nor freed; when the last one is
 * given up, and all is emitted, it is: finish(), DONE.
 */
struct req	*req_hold(struct req *);
void		 req_release(struct net *, struct req **);
/* What its DONE will tell: the worst counts, the first of equals. */
void		 req_worse(struct req *, enum resp_status, enum resp_code,
		    const char *);
/* A cmd_fn: the tagged answer is what DONE tells, if it is the worst. */
void		 req_answer(struct net *, struct cmd *, const struct resp *);
enum resp_status req_status(const struct resp *);
/*
 * VANISHED ("arg": earlier), UIDS ("arg": which), GONE: as many messages as the
 * set needs.  WITHHELD as well, with the status and words of the FETCH.
 */
void		 req_sendset(struct net *, uint32_t type, uint32_t id,
		    const struct uidset *, uint8_t arg);
void		 req_withheld(struct net *, uint32_t id, const struct uidset *,
		    enum resp_status, const char *);

#endif /* REQUEST_H */
