/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Mailbox names: UTF-8 as people write it, and modified UTF-7 as IMAP servers
 * do (RFC 3501 section 5.1.3).  NAME_SEP, which stands for a delimiter, is the
 * same in both; other control characters are in neither.  No I/O, no locale.
 */
#ifndef UTF7_H
#define UTF7_H

#include "compat.h"
#include "proto.h"

/*
 * Octets of a name of NAME_MAX_LEN in UTF-8, NUL included: eight letters of
 * BASE64 are three UTF-16 units, and each of these three octets at most.
 */
#define NAME_TEXT_MAX	(NAME_MAX_LEN * 9 / 8 + 1)

/*
 * The next character of UTF-8 (RFC 3629), and advance behind it; -1, and don't,
 * if what is there is none.  At the end of the string it is the NUL.
 */
int32_t		 utf8_next(const char **);
/* The octets of a character into out[4], without a NUL: how many. */
size_t		 utf8_put(char *out, uint32_t c);
/* 1 if the string is UTF-8 throughout. */
int		 utf8_valid(const char *);

/*
 * UTF-8 to modified UTF-7 in out[NAME_MAX_LEN]: 0, or -1 if it is no UTF-8, has
 * a control character, or is too long.  What is in "out" then is of no use.
 */
int		 utf7_encode(const char *text, char *out);
/*
 * Modified UTF-7 to UTF-8 in out[NAME_TEXT_MAX]: 0, or -1 if utf7_encode()
 * would not write that name so.  Two names never become one.
 */
int		 utf7_decode(const char *name, char *out);

#endif /* UTF7_H */
