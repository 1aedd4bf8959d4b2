/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Mailbox names: each server's own spelling, and the neutral name that the two
 * have in common (design: without the reference, the delimiter as NAME_SEP).
 */
#include "engine.h"

/* The reference is INBOX and the delimiter, so that LIST leaves INBOX out. */
int
name_inbox_reference(struct engine *e, int side)
{
	const char	*ref = e->want.cfg.reference[side];

	return strncasecmp(ref, "INBOX", 5) == 0 && ref[5] != '\0' &&
	    ref[6] == '\0' && strchr("./\\", ref[5]) != NULL;
}

int
name_neutral(struct engine *e, int side, const char *name, char *out)
{
	const char	*ref = e->want.cfg.reference[side];
	size_t		 i, len = strlen(ref);

	if (name_inbox_reference(e, side) && strcasecmp(name, "INBOX") == 0) {
		strlcpy(out, "INBOX", NAME_MAX_LEN);
		return 0;
	}
	/* INBOX is the one name without case, also in front of its children. */
	if (strncmp(name, ref, len) != 0 && !(name_inbox_reference(e, side) &&
	    strncasecmp(name, ref, len) == 0))
		return -1;
	name += len;
	if (name[0] == '\0')
		return -1;
	if (strlcpy(out, name, NAME_MAX_LEN) >= NAME_MAX_LEN)
		return -1;
	if (len == 0 && strcasecmp(out, "INBOX") == 0)
		strlcpy(out, "INBOX", NAME_MAX_LEN);
	for (i = 0; out[i] != '\0'; i++)
		if (e->srv[side].delim != '\0' && out[i] == e->srv[side].delim)
			out[i] = NAME_SEP;
	return 0;
}

static int
name_spell(struct engine *e, int side, char delim, const char *neutral,
    char *out)
{
	size_t	 i;

	if (name_inbox_reference(e, side) && strcmp(neutral, "INBOX") == 0) {
		strlcpy(out, "INBOX", NAME_MAX_LEN);
		return 0;
	}
	for (i = 0; neutral[i] != '\0'; i++) {
		if (neutral[i] == NAME_SEP && delim == '\0')
			return -1;
		if (neutral[i] == delim)
			return -1;
	}
	if (strlcpy(out, e->want.cfg.reference[side], NAME_MAX_LEN) >= NAME_MAX_LEN)
		return -1;
	i = strlen(out);
	if (strlcat(out, neutral, NAME_MAX_LEN) >= NAME_MAX_LEN)
		return -1;
	for (; out[i] != '\0'; i++)
		if (out[i] == NAME_SEP)
			out[i] = delim;
	return 0;
}

int
name_server(struct engine *e, int side, const char *neutral, char *out)
{
	return name_spell(e, side, e->srv[side].delim, neutral, out);
}

int
name_guess(struct engine *e, int side, const char *neutral, char *out)
{
	const struct server	*srv = &e->srv[side];

	return name_spell(e, side, srv->delim != '\0' ? srv->delim :
	    (char)srv->last.delimiter, neutral, out);
}

void
name_arg(struct engine *e, const char *arg, char *out)
{
	char	*p;

	strlcpy(out, strcasecmp(arg, "INBOX") == 0 ? "INBOX" : arg,
	    NAME_MAX_LEN);
	for (p = out; *p != '\0'; p++)
		if (*p == e->srv[LOCAL].delim)
			*p = NAME_SEP;
}

const char *
name_show(struct engine *e, const char *neutral)
{
	static char	 buf[2][NAME_MAX_LEN];
	static int	 i;
	char		*p;

	i = !i;
	strlcpy(buf[i], neutral, sizeof(buf[i]));
	for (p = buf[i]; *p != '\0'; p++)
		if (*p == NAME_SEP)
			*p = e->srv[LOCAL].delim != '\0' ?
			    e->srv[LOCAL].delim : '/';
	return buf[i];
}

const char *
name_quote(struct engine *e, const char *neutral)
{
	static char	 buf[NAME_MAX_LEN * 4 + 3];
	const char	*p = name_show(e, neutral);
	size_t		 n = 0;

	buf[n++] = '\'';
	for (; *p != '\0'; p++) {
		if (*p == '\'')
			n += strlcpy(buf + n, "'\\'", sizeof(buf) - n);
		buf[n++] = *p;
	}
	buf[n++] = '\'';
	buf[n] = '\0';
	return buf;
}

char *
name_pattern(struct engine *e, int side, const char *pattern)
{
	char	*s = xstrdup(pattern), *p;

	for (p = s; *p != '\0'; p++)
		if (*p == NAME_SEP)
			*p = e->srv[side].delim != '\0' ? e->srv[side].delim : '/';
	return s;
}

/* ---- modified UTF-7 ---- */

/* The next code point of UTF-8 (RFC 3629), and advance: -1 if there is none. */
static int32_t
utf8_next(const unsigned char **p)
{
	const unsigned char	*s = *p;
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
name_utf7(const char *name, char *out)
{
	const unsigned char	*p = (const unsigned char *)name;
	struct shift		 s = { .out = out };
	int32_t			 c;

	while (*p != '\0') {
		if ((c = utf8_next(&p)) == -1)
			return -1;
		if (c >= 0x20 && c < 0x7f) {
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

/* RFC 3501 section 6.3.8, on neutral names and patterns. */
int
name_match(const char *pat, const char *name)
{
	for (; *pat != '\0'; pat++) {
		if (*pat != '*' && *pat != '%') {
			if (*pat != *name)
				return 0;
			name++;
			continue;
		}
		for (;; name++) {
			if (name_match(pat + 1, name))
				return 1;
			if (*name == '\0' || (*pat == '%' && *name == NAME_SEP))
				return 0;
		}
	}
	return *name == '\0';
}
