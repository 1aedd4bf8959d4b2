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
#define FLAGS_SYSTEM	"\\Answered \\Flagged \\Deleted \\Seen \\Draft"
#define FLAG_MAX	512	/* octets of one flag, NUL included */

/*
 * Bring flags that are separated by blanks into canonical form; each must be an
 * atom or "\" and an atom (RFC 3501 section 9).  src and dst may not overlap.
 * Returns 0, or -1 if a flag is malformed or the result too long; dst is then
 * "".
 */
int		 flags_canon(char *dst, size_t size, const char *src);
/*
 * The same, into dst[FLAGS_MAX]; 1 if they don't all fit: those that come first
 * in the canonical order are in dst then.
 */
int		 flags_fit(char *dst, const char *src);
/* 1 if that is a flag: an atom, or "\" and an atom. */
int		 flags_atom(const char *, size_t len);
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
	char		**word;		/* FLAGS_NEW_MAX, sorted; or NULL */
	unsigned int	 n;
};
/*
 * Of canonical flags that the mailbox does not have, the keywords that it may be
 * given: the first FLAGS_NEW_MAX that were asked for.  Canonical in
 * dst[FLAGS_MAX], which may be src.
 */
void		 flags_new(struct flags_new *, char *dst, const char *src);
void		 flags_new_free(struct flags_new *);

#endif /* FLAGS_H */
