/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Sets of UIDs as sorted, disjoint, non-adjacent ranges; never expanded, since
 * a server may say 1:4294967295.  They lie in blocks of bounded size, so that a
 * range is found, put in or taken out in the same time wherever it is: the order
 * is a server's to choose.  Allocation failure is fatal.
 */
#ifndef UIDSET_H
#define UIDSET_H

#include "compat.h"

struct uidrange {
	uint32_t	 lo;	/* 1 or more */
	uint32_t	 hi;	/* lo or more */
};

#define UIDBLOCK_MAX	256	/* ranges of a block */
struct uidblock {
	struct uidrange	*r;
	unsigned	 n;	/* ranges used; never 0 */
	unsigned	 cap;	/* ranges allocated */
};

struct uidset {
	struct uidblock	*b;
	size_t		 nb;	/* blocks used */
	size_t		 cap;	/* blocks allocated */
	size_t		 n;	/* ranges in all */
};

#define UIDSET_INIT	{ NULL, 0, 0, 0 }

void		 uidset_init(struct uidset *);
void		 uidset_free(struct uidset *);	/* and empty: may be used again */
/*
 * The ranges one after the other: the one that holds or follows *after + 1, from
 * there on.  *after (0 at first) becomes its end.  Returns 0 if there is none.
 * The set may be changed between two calls.
 */
int		 uidset_next(const struct uidset *, uint32_t *after,
		    struct uidrange *);
#define UIDSET_FOREACH(range, set, after)				\
	for ((after) = 0; uidset_next((set), &(after), &(range)); )
/* dst is an initialised set; what it held is replaced. */
void		 uidset_copy(struct uidset *dst, const struct uidset *src);
/* Add or remove lo to hi, both included; 0 is ignored, order does not matter. */
void		 uidset_add(struct uidset *, uint32_t lo, uint32_t hi);
void		 uidset_del(struct uidset *, uint32_t lo, uint32_t hi);
int		 uidset_has(const struct uidset *, uint32_t);
uint64_t	 uidset_count(const struct uidset *);
/* How many of them are n or less. */
uint64_t	 uidset_upto(const struct uidset *, uint32_t n);
#define uidset_empty(s)	((s)->n == 0)
uint32_t	 uidset_min(const struct uidset *);	/* 0 if empty */
uint32_t	 uidset_max(const struct uidset *);	/* 0 if empty */
/*
 * dst |= src, dst &= src, dst &= ~src.  The time is that of the smaller set's
 * ranges, times a logarithm, or that of both if they are about as large.
 */
void		 uidset_or(struct uidset *dst, const struct uidset *src);
void		 uidset_and(struct uidset *dst, const struct uidset *src);
void		 uidset_sub(struct uidset *dst, const struct uidset *src);
/*
 * Add an IMAP sequence-set of numbers (RFC 3501 section 9: "1,3:5,9:7"; no
 * "*"), len octets.  Returns 0, or -1 if it is malformed or holds a 0 (the set
 * is then unchanged or holds what stood before the fault).
 */
int		 uidset_parse(struct uidset *, const char *, size_t len);
/*
 * Write the ranges behind *after (see uidset_next()) into dst (size octets with
 * the NUL) as far as they fit, and advance *after past those written.  Returns
 * the octets written; 0 when there were none left.  Call again for the rest.
 * size is 22 or more, so that a range always fits.
 */
size_t		 uidset_format(const struct uidset *, uint32_t *after, char *dst,
		    size_t size);
/* The k-th UID of the set, k from 0; 0 if there are not so many. */
uint32_t	 uidset_nth(const struct uidset *, uint64_t k);

#endif /* UIDSET_H */
