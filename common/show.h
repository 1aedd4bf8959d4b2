/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Text on its way to a terminal and to a log.  Where the locale is UTF-8 it may
 * be UTF-8; what could change how the rest is shown, and what is none, is
 * vis(3)ed.  The locale is asked for the width of characters and for nothing
 * else: whatever this program compares and sorts is octets.
 */
#ifndef SHOW_H
#define SHOW_H

#include "compat.h"

/* LC_CTYPE of the environment; before the sandbox.  Without it all is ASCII. */
void		 show_init(void);
/* 1 if UTF-8 is shown as it is. */
int		 show_utf8(void);
/*
 * 1 if all of a text is UTF-8 that can be shown as it is: no control characters
 * (but NAME_SEP) or those that turn the direction, nothing invisible, nothing
 * that the locale does not know.
 */
int		 show_printable(const char *);
/* 1 for a character that changes how others are shown, or can't be seen. */
int		 show_hidden(uint32_t);
/*
 * Make untrusted text fit for a terminal and a log: vis(3) with VIS_CSTYLE |
 * VIS_NL | VIS_TAB | VIS_NOSLASH for all octets that show_printable() would not
 * pass.  Always NUL-terminated, cut at "size" between two characters.  Returns
 * dst.
 */
char		*show_text(char *dst, const char *src, size_t size);
/* Columns that a text which show_text() has made takes. */
size_t		 show_width(const char *);
/* Cut it, so that it takes so many columns at most.  Returns it. */
char		*show_cut(char *, size_t columns);

#endif /* SHOW_H */
