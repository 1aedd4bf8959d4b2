/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Framed messages over a socketpair with descriptor passing, after OpenBSD's
 * imsg_init(3): same semantics, same limits, but our own code, so that one
 * behaviour is tested everywhere.  Include it with quotes: OpenBSD has an
 * <imsg.h>, whose symbols these do not share.
 */
#ifndef IMAPSYNC_IMSG_H
#define IMAPSYNC_IMSG_H

#include "buf.h"

#define IMSG_MAXSIZE	16384	/* octets of a frame, header included */
#define IMSG_MAXDATA	(IMSG_MAXSIZE - sizeof(struct imsg_hdr))

struct imsg_hdr {
	uint32_t	 type;
	uint16_t	 len;	/* header included */
	uint16_t	 flags;	/* IMSGF_HASFD: a descriptor comes with it */
	uint32_t	 peerid;	/* ours: the request that this is about */
	uint32_t	 pid;
};
#define IMSGF_HASFD	1

struct imsg {
	struct imsg_hdr	 hdr;
	uint8_t		*data;	/* hdr.len - sizeof(hdr) octets */
	int		 fd;	/* -1, or the receiver's to close */
};

struct imsg_fd {
	TAILQ_ENTRY(imsg_fd)	 entry;
	int			 fd;
	size_t			 off;	/* writer: octets queued in front */
};
TAILQ_HEAD(imsg_fds, imsg_fd);

struct imsgbuf {
	int		 fd;
	pid_t		 pid;
	struct buf	 in;
	struct buf	 out;
	struct imsg_fds	 infds;
	struct imsg_fds	 outfds;
	int		 nofds;	/* see imsgbuf_nofds() */
};

/* fd must be a connected AF_UNIX stream socket; it is made non-blocking. */
void		 imsgbuf_init(struct imsgbuf *, int fd);
/* Close fd and all descriptors not yet handed on; wipe what is queued. */
void		 imsgbuf_clear(struct imsgbuf *);
/*
 * Read what there is.  Returns 1 (also when there was nothing), 0 at EOF, -1
 * on error.  Descriptors arrive close-on-exec.
 */
int		 imsgbuf_read(struct imsgbuf *);
/* Write what the socket takes.  Returns 0, or -1 with errno (EPIPE ...). */
int		 imsgbuf_write(struct imsgbuf *);
/* Write all, waiting for at most ms milliseconds (-1: for ever): 0 or -1. */
int		 imsgbuf_flush(struct imsgbuf *, int ms);
size_t		 imsgbuf_pending(const struct imsgbuf *);
/*
 * No further descriptor will come: read with read(2) from now on, so that a
 * sandbox need not allow recvmsg(2).  (What is sent without a descriptor is
 * written with write(2) anyway; SIGPIPE must be ignored for that.)
 */
void		 imsgbuf_nofds(struct imsgbuf *);
/* Wipe what has been taken from the read buffer; data taken is void then. */
void		 imsgbuf_wipe(struct imsgbuf *);
/*
 * Take the next whole message.  Returns 1, 0 if none is whole, -1 (errno
 * EBADMSG) if the length or a flag is impossible or a descriptor announced is
 * missing or one came that none announced.  data points into the buffer: valid
 * until the next imsgbuf_read(), imsg_get() or imsgbuf_wipe().
 */
int		 imsg_get(struct imsgbuf *, struct imsg *);
/*
 * Queue a message; fd is -1 or becomes the queue's (closed once sent).
 * Returns 0, or -1 (ERANGE) if len is above IMSG_MAXDATA.
 */
int		 imsg_compose(struct imsgbuf *, uint32_t type, uint32_t peerid,
		    int fd, const void *data, size_t len);

#endif /* IMAPSYNC_IMSG_H */
