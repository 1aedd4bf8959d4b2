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
 * a server may say 1:4294967295.  Allocation failure is fatal.
 */
#ifndef UIDSET_H
#define UIDSET_H

#include "compat.h"

struct uidrange {
	uint32_t	 lo;	/* 1 or more */
	uint32_t	 hi;	/* lo or more */
};

struct uidset {
	struct uidrange	*r;
	size_t		 n;	/* ranges used */
	size_t		 cap;	/* ranges allocated */
};

#define UIDSET_INIT	{ NULL, 0, 0 }

void		 uidset_init(struct uidset *);
void		 uidset_free(struct uidset *);	/* and empty: may be used again */
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
/* dst |= src, dst &= src, dst &= ~src, in time linear in the ranges. */
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
 * Write the ranges from *i on into dst (size octets with the NUL) as far as
 * they fit, and advance *i past those written.  Returns the octets written; 0
 * when *i was at the end.  Call again for the rest.  size is 22 or more, so
 * that a range always fits.
 */
size_t		 uidset_format(const struct uidset *, size_t *i, char *dst,
		    size_t size);
/* The k-th UID of the set, k from 0; 0 if there are not so many. */
uint32_t	 uidset_nth(const struct uidset *, uint64_t k);

#endif /* UIDSET_H */
