/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A channel: the messages of proto.h over a socketpair, and a table of what its
 * receiver takes.  In proto.c.
 */
#ifndef CHAN_H
#define CHAN_H

#include "imsg.h"

struct chan {
	struct imsgbuf	 ib;
	struct buf	 batch;		/* records not yet framed */
	uint32_t	 batch_type;
	uint32_t	 batch_id;
	uint32_t	 state;		/* bits (struct proto_handler); 1 at first */
	const char	*peer;		/* its name in messages */
	char		 error[160];	/* why chan_dispatch() failed */
};

/* A message as its handler gets it; nothing of it outlives the call. */
struct msg {
	void		*arg;		/* chan_dispatch()'s */
	uint32_t	 type;
	uint32_t	 id;		/* the request's */
	const void	*rec;		/* the struct of that type */
	int		 fd;		/* -1, or the handler's to keep */
};

/* What a process takes, and when: "states" is a mask against chan.state. */
struct proto_handler {
	uint32_t	 type;
	uint32_t	 states;
	void		(*fn)(const struct msg *);
};

void		 chan_init(struct chan *, int fd, const char *peer);
/*
 * Queue a record; "many" types are packed.  Fatal if it can't be encoded.  rec
 * may be NULL for a type whose struct has nothing but "unused".
 */
void		 chan_send(struct chan *, uint32_t type, uint32_t id,
		    const void *rec);
/* As chan_send(), with a descriptor, which becomes the queue's. */
void		 chan_send_fd(struct chan *, uint32_t type, uint32_t id,
		    const void *rec, int fd);
/* No further descriptor will come: imsgbuf_nofds(). */
void		 chan_nofds(struct chan *);
/* Octets not yet written. */
size_t		 chan_pending(struct chan *);
/* As imsgbuf_write(), imsgbuf_flush(), imsgbuf_read(), batch included. */
int		 chan_write(struct chan *);
int		 chan_flush(struct chan *, int ms);
int		 chan_read(struct chan *);
/*
 * Hand every whole message to its handler.  The table ends with type M_NONE.
 * Returns 0, or -1 with "error" set if a message is malformed or not allowed
 * now; nothing more must be read from that peer, and chan_read() fails.
 */
int		 chan_dispatch(struct chan *, const struct proto_handler *,
		    void *arg);
void		 chan_close(struct chan *);

#endif /* CHAN_H */
