/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Words that are near to others: what somebody may have meant.
 */
#ifndef NEAR_H
#define NEAR_H

#include "compat.h"

#define NEAR_MAX	64	/* characters of a word that can be near one */

/*
 * Is a word of len octets near a known one, or its beginning?  One character in
 * four may be wrong, three at most; the case of ASCII does not matter.  Both are
 * UTF-8; an octet that is not is a character.  Returns the distance, or NEAR_MAX
 * if they are not near.  What it costs has a bound.
 */
size_t		 near_word(const char *word, size_t len, const char *known);

#endif /* NEAR_H */
