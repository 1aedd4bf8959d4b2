/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include "b64.h"

static const char b64_chars[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
b64_encode(struct buf *out, const void *data, size_t len)
{
	const uint8_t	*p = data;
	char		 q[4];
	uint32_t	 v;

	for (; len > 0; p += 3) {
		v = (uint32_t)p[0] << 16;
		if (len > 1)
			v |= (uint32_t)p[1] << 8;
		if (len > 2)
			v |= p[2];
		q[0] = b64_chars[v >> 18];
		q[1] = b64_chars[v >> 12 & 63];
		q[2] = len > 1 ? b64_chars[v >> 6 & 63] : '=';
		q[3] = len > 2 ? b64_chars[v & 63] : '=';
		buf_add(out, q, sizeof(q));
		len -= len > 3 ? 3 : len;
	}
}

int
b64_decode(struct buf *out, const char *s, size_t len)
{
	const char	*c;
	uint8_t		 o[3];
	uint32_t	 v;
	int		 i, n;

	if (len % 4 != 0)
		return -1;
	for (; len > 0; s += 4, len -= 4) {
		n = 3;
		if (len == 4 && s[3] == '=')
			n = s[2] == '=' ? 1 : 2;
		for (v = 0, i = 0; i < 4; i++) {
			if (i > n) {
				v <<= 6;
				continue;
			}
			if (s[i] == '\0' ||
			    (c = strchr(b64_chars, s[i])) == NULL)
				return -1;
			v = v << 6 | (c - b64_chars);
		}
		o[0] = v >> 16;
		o[1] = v >> 8;
		o[2] = v;
		/* The bits left over must be 0: one text, one value. */
		if ((n == 1 && (o[1] | o[2]) != 0) || (n == 2 && o[2] != 0))
			return -1;
		buf_add(out, o, n);
	}
	return 0;
}
