/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * A message's flags as one string in canonical form: the system flags in the
 * order of flags.c, then the keywords in order, without regard to case, a blank
 * between two, none twice, never \Recent.  "" is no flag.  Keywords compare
 * without case (RFC 3501 section 2.3.2) and keep the spelling first seen.
 */
#ifndef FLAGS_H
#define FLAGS_H

#include "compat.h"

#define FLAGS_MAX	4096	/* octets of a canonical string, NUL included */
#define FLAG_MAX	512	/* octets of one flag, NUL included */

/*
 * Bring flags that are separated by blanks into canonical form; each must be an
 * atom or "\" and an atom (RFC 3501 section 9).  src and dst may not overlap.
 * Returns 0, or -1 if a flag is malformed or the result too long; dst is then
 * "".
 */
int		 flags_canon(char *dst, size_t size, const char *src);
/* 1 if the string is canonical as flags_canon() would make it. */
int		 flags_valid(const char *);
int		 flags_eq(const char *, const char *);
int		 flags_has(const char *set, const char *flag);
/*
 * a | b, a & b, a & ~b for canonical strings, canonical in dst[FLAGS_MAX],
 * which may be a or b.  flags_or() returns -1 if the result is too long, dst
 * is then a copy of a.
 */
int		 flags_or(char *dst, const char *a, const char *b);
void		 flags_and(char *dst, const char *a, const char *b);
void		 flags_sub(char *dst, const char *a, const char *b);
/*
 * Copy the next flag of *p into one[FLAG_MAX] and advance *p.  Returns 0 when
 * there are no more, else 1.
 */
int		 flags_next(const char **p, char *one);

/*
 * Keywords that a mailbox has not had before: a server must not be made to grow
 * without bounds by the other one's.
 */
#define FLAGS_NEW_MAX	100	/* a mailbox, in one run */
struct flags_new {
	char		*list;
	unsigned int	 n;
};
/*
 * 1 if the keyword is among "known", which the mailbox has, or is one of the
 * first FLAGS_NEW_MAX others; else 0.
 */
int		 flags_new(struct flags_new *, const char *known,
		    const char *keyword);
void		 flags_new_free(struct flags_new *);

#endif /* FLAGS_H */
