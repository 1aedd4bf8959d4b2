/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include "utf7.h"

/* ---- UTF-8 ---- */

int32_t
utf8_next(const char **p)
{
	const unsigned char	*s = (const unsigned char *)*p;
	int32_t			 c = s[0], min;
	int			 i, n;

	if (c < 0x80) {
		*p += 1;
		return c;
	}
	n = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	if (c < 0xc2 || c > 0xf4)
		return -1;
	c &= 0x3f >> n;
	for (i = 1; i <= n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3f);
	}
	min = n == 1 ? 0x80 : n == 2 ? 0x800 : 0x10000;
	if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	*p += n + 1;
	return c;
}

size_t
utf8_put(char *out, uint32_t c)
{
	size_t	 i, n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1) {
		out[0] = c;
		return n;
	}
	for (i = n - 1; i > 0; i--, c >>= 6)
		out[i] = 0x80 | (c & 0x3f);
	out[0] = (0xf00 >> n) | c;
	return n;
}

int
utf8_valid(const char *s)
{
	while (*s != '\0')
		if (utf8_next(&s) == -1)
			return 0;
	return 1;
}

/* ---- to modified UTF-7 ---- */

static const char	 utf7_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789+,";

/* Modified BASE64 of UTF-16: code units go in, letters come out. */
struct shift {
	char		*out;
	size_t		 len;
	uint32_t	 bits;
	int		 nbits;
	int		 on;
};

static void
utf7_put(struct shift *s, char c)
{
	if (s->len < NAME_MAX_LEN)
		s->out[s->len] = c;
	s->len++;
}

static void
utf7_unit(struct shift *s, uint32_t unit)
{
	if (!s->on)
		utf7_put(s, '&');
	s->on = 1;
	s->bits = s->bits << 16 | unit;
	for (s->nbits += 16; s->nbits >= 6; s->nbits -= 6)
		utf7_put(s, utf7_letters[s->bits >> (s->nbits - 6) & 0x3f]);
}

static void
utf7_off(struct shift *s)
{
	if (!s->on)
		return;
	if (s->nbits > 0)
		utf7_put(s, utf7_letters[s->bits << (6 - s->nbits) & 0x3f]);
	utf7_put(s, '-');
	s->on = s->nbits = 0;
	s->bits = 0;
}

int
utf7_encode(const char *text, char *out)
{
	struct shift	 s = { .out = out };
	int32_t		 c;

	while (*text != '\0') {
		c = utf8_next(&text);
		if (c == -1 || c == 0x7f || (c < 0x20 && c != NAME_SEP))
			return -1;
		if (c < 0x7f) {
			utf7_off(&s);
			utf7_put(&s, c);
			if (c == '&')
				utf7_put(&s, '-');
		} else if (c >= 0x10000) {
			utf7_unit(&s, 0xd800 + ((c - 0x10000) >> 10));
			utf7_unit(&s, 0xdc00 + ((c - 0x10000) & 0x3ff));
		} else
			utf7_unit(&s, c);
	}
	utf7_off(&s);
	if (s.len >= NAME_MAX_LEN)
		return -1;
	out[s.len] = '\0';
	return 0;
}

/* ---- from modified UTF-7 ---- */

/*
 * What stands between & and -, in front of which *p is; *p is then behind it.
 * The number of octets in out, or -1.  What is not as it ought to be in other
 * ways utf7_decode() finds when it encodes the result.
 */
static int
utf7_shifted(const char **p, char *out, size_t size)
{
	const char	*l;
	uint32_t	 bits = 0, high = 0, unit;
	size_t		 n = 0;
	int		 nbits = 0;

	for (; **p != '-'; (*p)++) {
		if (**p == '\0' || (l = strchr(utf7_letters, **p)) == NULL)
			return -1;
		bits = bits << 6 | (uint32_t)(l - utf7_letters);
		if ((nbits += 6) < 16)
			continue;
		nbits -= 16;
		unit = bits >> nbits & 0xffff;
		if (n + 4 > size || (unit & 0xfc00) ==
		    (high != 0 ? 0xd800U : 0xdc00U))
			return -1;
		if ((unit & 0xfc00) == 0xd800) {
			high = unit;
			continue;
		}
		if (high != 0 && (unit & 0xfc00) != 0xdc00)
			return -1;
		if (high != 0)
			unit = 0x10000 + ((high & 0x3ff) << 10) +
			    (unit & 0x3ff);
		high = 0;
		if (unit == 0)
			return -1;
		n += utf8_put(out + n, unit);
	}
	(*p)++;
	return high != 0 ? -1 : (int)n;
}

int
utf7_decode(const char *name, char *out)
{
	const char	*p = name;
	char		 again[NAME_MAX_LEN];
	size_t		 len = 0;
	int		 n;

	while (*p != '\0') {
		/* Room for four octets and the NUL. */
		if ((unsigned char)*p >= 0x7f || len + 5 > NAME_TEXT_MAX)
			return -1;
		if (p[0] != '&' || p[1] == '-') {
			out[len++] = *p;
			p += *p == '&' ? 2 : 1;
			continue;
		}
		p++;
		if ((n = utf7_shifted(&p, out + len,
		    NAME_TEXT_MAX - 1 - len)) == -1)
			return -1;
		len += n;
	}
	out[len] = '\0';
	return utf7_encode(out, again) == -1 || strcmp(again, name) != 0 ?
	    -1 : 0;
}
