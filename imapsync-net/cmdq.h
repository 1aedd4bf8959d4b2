/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Commands under way: what goes to the server, in which order, how far, and
 * which answer belongs to which command.
 */
#ifndef CMDQ_H
#define CMDQ_H

#include "imap.h"

struct append;
struct cmd;
struct missing;
struct handle;
struct net;
struct req;
TAILQ_HEAD(cmds, cmd);

enum cmd_kind { K_SESSION, K_SELECT, K_LIST, K_STATUS, K_FETCH, K_META, K_SEND,
	K_SEARCH, K_STORE, K_EXPUNGE, K_MOVE, K_APPEND, K_LAST, K_NAME };

/* A response that is a command's: its tagged answer, or a "+". */
typedef void	(*cmd_fn)(struct net *, struct cmd *, const struct resp *);

#define LINE_MAX_LEN	8000	/* octets of a command (RFC 7162 section 4) */
#define CMD_BARRIERS	4
/* What a FETCH is for; a list is of kind K_SEARCH. */
enum cmd_for { FOR_FLAGS = 0, FOR_LIST, FOR_CONFIRM, FOR_CANARY, FOR_MARKED,
	FOR_DELETED, FOR_CHANGES };
/* A command, from its making to its tagged answer. */
struct cmd {
	TAILQ_ENTRY(cmd)	 entry;		/* cmdq.answers */
	TAILQ_ENTRY(cmd)	 txentry;	/* cmdq.tx */
	char			 tag[TAG_SIZE];
	enum cmd_kind		 kind;
	const char		*name;		/* the session's: of the command */
	struct req		*req;		/* held; NULL: the session's */
	struct handle		*handle;	/* the request's; held */
	cmd_fn			 fn;
	cmd_fn			 cont;		/* "+" while it is cmdq.hold */
	void			(*free)(struct cmd *);	/* what is its owner's */
	struct cmd		**slot;		/* see cmd_keep() */
	size_t			 line;		/* octets that it may have */
	struct buf		 text;		/* not yet in net.out */
	struct buf		 log;		/* for --debug */
	size_t			 barrier[CMD_BARRIERS];	/* offsets in text */
	unsigned		 nbarriers;
	uint64_t		 start;		/* cmdq.put when it began + 1 */
	int			 intx;
	int			 open;		/* more text comes */
	int			 waiting;	/* for "+" */
	int			 hold;		/* nothing goes behind it */
	int			 secret;
	int			 answered;
	/* The owner's. */
	int			 what;		/* SEARCH: OPEN_NEW, OPEN_ALL */
	enum cmd_for		 what_for;
	struct uidset		 found;		/* a list: what was shown */
	uint32_t		 lo, hi;	/* the same: what is asked for */
	int			 got;		/* an untagged answer came */
	int			 runs;		/* SELECT: see handle.c */
	struct uidset		 set;		/* META, SEND, MOVE: to come;
						   FOR_MARKED: those that are */
	uint32_t		 under;		/* the one that is being read */
	uint32_t		 done;		/* the last one that has come */
	uint32_t		 pos;		/* the last one that was told */
	uint32_t		 vanished;	/* the same, of VANISHED */
	struct missing		*missing;	/* SEARCH of copysend.c */
	struct append		*append;
	uint32_t		 first;		/* APPEND: its first message; STATUS
						   of a LIST: in req.known */
	unsigned		 nmsgs;
};

struct cmdq {
	struct cmds		 answers;	/* unanswered, oldest first */
	struct cmds		 tx;		/* not wholly in net.out */
	struct cmd		*hold;		/* nothing goes behind it */
	uint64_t		 put;		/* octets ever put into net.out */
	unsigned		 ntags;
	int			 shut;		/* cmdq_abandon(): no more of it */
};

/*
 * A new command, "TAG " in its text.  It is queued at once; its text goes out
 * with cmd_end() or cmdq_flush().  fn gets the tagged answer, then the command
 * is freed; unless it is an APPEND whose octets are still on their way, which
 * whoever sends them frees when the literal is complete.
 */
struct cmd	*cmd_new(struct net *, enum cmd_kind, struct req *, cmd_fn);
/* It is about that mailbox, whatever its request is about. */
void		 cmd_of(struct net *, struct cmd *, struct handle *);
/* The request is released: its DONE may follow. */
void		 cmd_free(struct net *, struct cmd *);
/* *slot is the one pointer to it that another file keeps: NULL once freed. */
void		 cmd_keep(struct cmd **slot, struct cmd *);

/* Text; with "secret" set the log shows "***" for it.  printf: 2 KB at most. */
void		 cmd_puts(struct cmd *, const char *);
void		 cmd_printf(struct cmd *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));
/* As quoted string, or as literal where it must be one. */
void		 cmd_string(struct net *, struct cmd *, const char *);
/*
 * "{n}" CRLF and a barrier, or "{n+}" CRLF where the server takes it and "sync"
 * does not forbid it (RFC 7888); returns 1 if it is a barrier.
 */
int		 cmd_literal(struct net *, struct cmd *, uint64_t n, int sync);
/*
 * Ranges of the set from *pos on that fit a line (with "other" octets in it)
 * into the command's text, and into its set if "keep"; *pos moves on.
 */
void		 cmd_set(struct cmd *, const struct uidset *, uint32_t *pos,
		    size_t other, int keep);
/* CRLF: the command is complete. */
void		 cmd_end(struct net *, struct cmd *);
/*
 * An open command may get octets of a literal: all of its text is in net.out
 * and no "+" is waited for.
 */
int		 cmd_clear(struct net *, struct cmd *);
/* Octets of a literal straight into net.out; and n from the front of a buffer. */
void		 cmd_octets(struct net *, const void *, size_t);
void		 cmd_move(struct net *, struct buf *, size_t n);

/* Move what may be sent into net.out. */
void		 cmdq_flush(struct net *);
/* A tagged answer; one that belongs to no command ends the session. */
void		 cmdq_tagged(struct net *, const struct resp *);
void		 cmdq_cont(struct net *, const struct resp *);
/* Something waits for a "+". */
int		 cmdq_expects(const struct net *);
/* An unanswered command, or NULL; cmdq_oldest(): of that kind. */
struct cmd	*cmdq_find(struct net *, const char *tag);
struct cmd	*cmdq_oldest(struct net *, enum cmd_kind);
/* An answer is due: a command was sent as a whole, or waits for "+". */
int		 cmdq_due(struct net *);
/*
 * Take back what of the open command is not yet written; what stands in front of
 * it still goes.  Nothing else does from then on (cmdq.shut): it is never
 * completed.
 */
void		 cmdq_abandon(struct net *, struct cmd *);

#endif /* CMDQ_H */
