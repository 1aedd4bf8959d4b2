/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Bodies over the bridge: copysend.c puts them in, copyrecv.c takes them out.
 *
 * A bridge record, octets in network order:
 *	1	type: 1 message, 2 end
 *	4	transfer
 * a message goes on with
 *	4	UID on the source, not 0
 *	8	length of the body
 *	1	1: a date follows, 0: none
 *	26	the date (RFC 3501 date-time without quotes), if there is one
 *	2	length of the flags, then these, canonical
 *	n	the body
 *	1	1: complete, 0: aborted
 *	8	key
 * an end with
 *	1	1: complete, 0: aborted
 */
#ifndef COPY_H
#define COPY_H

#include "cmdq.h"

#define BR_MSG		1
#define BR_END		2
#define BR_HEAD_MAX	(1 + 4 + 4 + 8 + 1 + 26 + 2 + FLAGS_MAX)

/* ---- bridge.c ---- */

/*
 * How many octets are read at once: more while all come that were asked for, but
 * never so many that "held" others, which wait to be passed on, and these are
 * more than "most".  What is under way bounds how slow a line may be (the
 * engine's loop.c).
 */
#define READ_MIN	(64 * 1024)
#define READ_MAX	(256 * 1024)
struct reads {
	size_t			 asked;		/* for the last */
	size_t			 came;		/* of these */
};
/* How many to ask for, READ_MIN to READ_MAX; came is for the caller to set. */
size_t		 reads_ask(struct reads *, size_t held, size_t most);

struct bridge {
	int			 fd;		/* -1: none */
	struct buf		 in;
	struct buf		 out;
	int			 eof;
	int			 broken;	/* nobody reads it any more */
	struct reads		 reads;
	uint64_t		 read;		/* ms: when octets came last, */
	uint64_t		 written;	/* and when some were taken */
};

/* May more be read now?  Not if there is none, nor while so much is here. */
int		 bridge_wants(const struct net *);
/* Read what is there into bridge.in; sets bridge.eof. */
void		 bridge_read(struct net *);
/* Write what has room of bridge.out; sets bridge.broken. */
void		 bridge_write(struct net *);
/*
 * n octets behind those in bridge.out; what is large is written at once as far
 * as it has room, so that it need not be copied.
 */
void		 bridge_give(struct net *, const void *, size_t n);

/* ---- copysend.c ---- */

/* A SEARCH for UIDs that a FETCH was answered without (cmd.set). */
struct missing {
	struct uidset		 found;		/* they are there */
	struct handle		*at;		/* where it looks; held */
	struct net		*net;
	enum resp_status	 status;	/* the FETCH's */
	enum resp_code		 code;
	char			*text;
};

struct copysend {
	struct key		 key;		/* of the body under way */
	uint32_t		 transfer;	/* the one that has failed */
	int			 failed;
};

void		 send_on_send(const struct msg *);
/*
 * A BODY[] that answers the command begins; its octets; it is whole.  The first
 * returns 0, or -1 if it can't be sent.
 */
int		 send_body(struct net *, struct cmd *, const struct fetch *,
		    uint32_t uid, uint64_t len);
void		 send_data(struct net *, const void *, size_t);
void		 send_end(struct net *);

/* ---- copyrecv.c ---- */

/* A transfer whose RECV was refused: what comes for it is dropped. */
struct drop {
	TAILQ_ENTRY(drop)	 entry;
	uint32_t		 transfer;
};
TAILQ_HEAD(drops, drop);

enum recv_stage { RS_HEAD = 0, RS_START, RS_BODY, RS_DROP, RS_TRAILER };

struct copyrecv {
	struct uidset		 expect;	/* for the RECV that follows, */
	uint32_t		 expects;	/* and its transfer */
	struct req		*req;		/* the RECV under way; held */
	enum recv_stage		 stage;
	struct drops		 drops;
	/* The record being read. */
	uint32_t		 uid;
	uint64_t		 len;
	uint64_t		 left;		/* octets of the body to come */
	int			 has_date;
	char			 date[27];
	char			 flags[FLAGS_MAX];
	int			 taken;		/* it is the last of cmd's */
	/* The APPEND being sent; kept by cmd_keep(). */
	struct cmd		*cmd;
	int			 early;		/* it has its answer already */
	int			 one;		/* the next waits for it */
	int			 full;		/* over quota: the rest is dropped */
	unsigned		 unanswered;	/* messages */
	uint64_t		 idle;		/* ms: when to end it; 0 */
	/* Octets acknowledged since t0, and what follows from it. */
	uint64_t		 acked;
	uint64_t		 t0;		/* ms */
	uint64_t		 limit;		/* octets of an APPEND */
	int			 rated;		/* ... is what was measured */
	unsigned		 filled;	/* APPENDs that had no more room */
	/* The bridge broke within a body: until when answers are awaited. */
	uint64_t		 dying;		/* ms; 0 */
};

void		 recv_on_expect(const struct msg *);
void		 recv_on_recv(const struct msg *);
/* Octets came over the bridge, or time has passed. */
void		 recv_input(struct net *);
/* Milliseconds until recv_input() must be called in any case, or -1. */
int		 recv_timeout(struct net *);
/* A RECV is next, and all that it waits for is the bridge. */
int		 recv_expects(const struct net *);
/* More of a body is about to follow what is in net.out. */
int		 recv_inbody(const struct net *);

#endif /* COPY_H */
