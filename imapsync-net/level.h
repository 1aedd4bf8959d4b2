/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * How hard to compress what is sent (RFC 4978): no more than the line is worth.
 * It begins with the best.  If the socket takes all that can be compressed, we
 * are what is slow, and do less; whether doing nothing at all is as good is
 * tried, since a socket that is full may be a line or a server that is busy, and
 * only the line gets faster by compression.  A trial is bounded in octets, and
 * the next comes later if it was in vain.
 *
 * It has no clock and does no I/O: times are microseconds of any clock that does
 * not go back.
 */
#ifndef LEVEL_H
#define LEVEL_H

#include <stdint.h>

#define LEVEL_NONE	0	/* stored blocks */
#define LEVEL_FAST	1	/* zlib's */
#define LEVEL_BEST	6

/*
 * It is judged after so many octets that went to the socket, so that what waits
 * in there matters little; at a rate where that takes less than so long, later.
 */
#define LEVEL_WINDOW	(256 * 1024)
#define LEVEL_LARGE	(4 * 1024 * 1024)
#define LEVEL_US	40000
/* A full socket that takes no more than this a second is a line: all is done. */
#define LEVEL_SLOW	(2 * 1000 * 1000)
/* Fewer octets a second than this are compressed at no cost that matters. */
#define LEVEL_CHEAP	(4 * 1000 * 1000)
/* What is sent as fast as this zlib would hold up. */
#define LEVEL_ZLIB	(50 * 1000 * 1000)
/* Octets of commands and mail between two trials, at least and at most. */
#define LEVEL_REST_MIN	((uint64_t)16 << 20)
#define LEVEL_REST_MAX	((uint64_t)1 << 30)

/* What passed between two moments; octets before and behind the compressor. */
struct level_window {
	uint64_t	 plain;
	uint64_t	 wire;
	uint64_t	 began;
	uint64_t	 blocked;	/* of that time the socket was full */
	uint64_t	 idle;		/* ... there was nothing to send */
};

struct level {
	int		 now;		/* LEVEL_*: what level_next() said */
	int		 filled;	/* the first window has passed */
	/* A trial of it: what to go back to, and how fast that was. */
	int		 trial;		/* 0 none, 1 settling, 2 measured */
	int		 before;
	uint64_t	 rate;		/* octets a second */
	uint64_t	 rest;		/* how many pass until the next */
	uint64_t	 vain;		/* ... had to, behind the last in vain */
	uint64_t	 rested;	/* have passed since the last */
	struct level_window	 w;
	uint64_t	 since;		/* idle or blocked since then ... */
	int		 idle;		/* ... if that is what it is */
	int		 blocked;
};

void	 level_init(struct level *, uint64_t now);
/* There is something to send: the level to do it with, LEVEL_*. */
int	 level_next(struct level *, uint64_t now);
/* So many octets were made of so many. */
void	 level_made(struct level *, uint64_t plain, uint64_t wire);
/* The socket is full; it has taken something; all is sent, for now. */
void	 level_full(struct level *, uint64_t now);
void	 level_flows(struct level *, uint64_t now);
void	 level_idle(struct level *, uint64_t now);

#endif /* LEVEL_H */
