/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <ctype.h>

#include "near.h"
#include "utf7.h"

static uint32_t
near_lower(uint32_t c)
{
	return c < 0x80 ? (uint32_t)tolower((int)c) : c;
}

/* The characters of len octets, lower case: how many, or NEAR_MAX + 1. */
static size_t
near_chars(const char *s, size_t len, uint32_t *chars)
{
	const char	*end = s + len;
	int32_t		 c;
	size_t		 n;

	for (n = 0; s < end; n++) {
		if (n == NEAR_MAX)
			return NEAR_MAX + 1;
		if ((c = utf8_next(&s)) == -1)
			c = (unsigned char)*s++;
		chars[n] = near_lower(c);
	}
	return n;
}

/*
 * How many characters must be put in, left out, changed or swapped with their
 * neighbour to make one word of the other.
 */
static size_t
near_distance(const uint32_t *a, size_t alen, const uint32_t *b, size_t blen)
{
	size_t	 row[3][NEAR_MAX + 1], *up2 = row[0], *up = row[1];
	size_t	*now = row[2], *old, i, j, least;

	for (j = 0; j <= blen; j++)
		up[j] = j;
	for (i = 1; i <= alen; i++) {
		now[0] = i;
		for (j = 1; j <= blen; j++) {
			least = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < least)
				least = up[j] + 1;
			if (now[j - 1] + 1 < least)
				least = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] && up2[j - 2] + 1 < least)
				least = up2[j - 2] + 1;
			now[j] = least;
		}
		old = up2;
		up2 = up;
		up = now;
		now = old;
	}
	return up[blen];
}

size_t
near_word(const char *word, size_t len, const char *known)
{
	uint32_t	 a[NEAR_MAX], b[NEAR_MAX];
	size_t		 alen, blen, d, most;

	alen = near_chars(word, len, a);
	blen = near_chars(known, strlen(known), b);
	if (alen > NEAR_MAX || blen > NEAR_MAX)
		return NEAR_MAX;
	most = blen / 4 < 1 ? 1 : blen / 4 > 3 ? 3 : blen / 4;
	if (alen <= blen + most && blen <= alen + most &&
	    (d = near_distance(a, alen, b, blen)) <= most)
		return d;
	if (alen >= 4 && alen < blen && memcmp(a, b, alen * sizeof(*a)) == 0)
		return blen - alen;
	return NEAR_MAX;
}
