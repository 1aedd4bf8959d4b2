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
 * have in common (design: without the reference, the delimiter as NAME_SEP), which
 * is the local one where map.c knows two.
 */
#include "engine.h"
#include "show.h"

/* The reference is INBOX and the delimiter, so that LIST leaves INBOX out. */
int
name_inbox_reference(struct engine *e, int side)
{
	const char	*ref = e->want.cfg.reference[side];

	return strncasecmp(ref, "INBOX", 5) == 0 && ref[5] != '\0' &&
	    ref[6] == '\0' && strchr("./\\", ref[5]) != NULL;
}

int
name_below(struct engine *e, int side, const char *name, char *out)
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

int
name_neutral(struct engine *e, int side, const char *name, char *out)
{
	char	 theirs[NAME_MAX_LEN];

	if (side == LOCAL)
		return name_below(e, side, name, out);
	return name_below(e, side, name, theirs) == -1 ? -1 :
	    map_neutral(e, theirs, out);
}

static int
name_spell(struct engine *e, int side, char delim, const char *neutral,
    char *out)
{
	char	 theirs[NAME_MAX_LEN];
	size_t	 i;

	if (side == REMOTE) {
		if (map_remote(e, neutral, theirs) == -1)
			return -1;
		neutral = theirs;
	}
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

void
name_text(const char *neutral, char *out)
{
	if (utf7_decode(neutral, out) == -1)
		strlcpy(out, neutral, NAME_TEXT_MAX);
}

/* A server's delimiter where a neutral name has one. */
static char *
name_delimit(struct engine *e, int side, char *name)
{
	char	*p, delim = e->srv[side].delim;

	for (p = name; *p != '\0'; p++)
		if (*p == NAME_SEP)
			*p = delim != '\0' ? delim : '/';
	return name;
}

const char *
name_show_on(struct engine *e, int side, const char *neutral)
{
	static char	 buf[2][NAME_TEXT_MAX];
	static int	 i;

	i = !i;
	name_text(neutral, buf[i]);
	if (!show_utf8() || !show_printable(buf[i]))
		strlcpy(buf[i], neutral, sizeof(buf[i]));
	return name_delimit(e, side, buf[i]);
}

const char *
name_show(struct engine *e, const char *neutral)
{
	return name_show_on(e, LOCAL, neutral);
}

const char *
name_plain(struct engine *e, int side, const char *neutral, int decoded)
{
	static char	 buf[NAME_TEXT_MAX];

	if (decoded)
		name_text(neutral, buf);
	else
		strlcpy(buf, neutral, sizeof(buf));
	return name_delimit(e, side, buf);
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

/*
 * RFC 3501 section 6.3.8, on neutral names and patterns.  on[j] says whether the
 * first j octets of the pattern match what was read of the name: a server that
 * chooses names can't make it take longer.
 */
int
name_match(const char *pat, const char *name)
{
	char	 on[NAME_TEXT_MAX];
	size_t	 j, len = strlen(pat);
	int	 before, now;

	if (len >= sizeof(on))
		return 0;
	for (on[0] = 1, j = 0; j < len; j++)
		on[j + 1] = on[j] && (pat[j] == '*' || pat[j] == '%');
	for (; *name != '\0'; name++) {
		before = on[0];
		for (on[0] = 0, j = 0; j < len; j++) {
			now = on[j + 1];
			if (pat[j] == '*' || (pat[j] == '%' &&
			    *name != NAME_SEP))
				on[j + 1] = now || on[j];
			else if (pat[j] == '%')
				on[j + 1] = on[j];
			else
				on[j + 1] = before && pat[j] == *name;
			before = now;
		}
	}
	return on[len];
}
