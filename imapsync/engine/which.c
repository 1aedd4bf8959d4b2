/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Which mailbox a user means.  Servers spell names in modified UTF-7, people in
 * UTF-8; a name of the command line or the configuration may be either, and a
 * few can be read as both ("R&-D").  What exists decides, and what a server
 * spells so comes first.
 */
#include <stdio.h>

#include "engine.h"
#include "near.h"

/* ---- two readings ---- */

/* Is it not the same in both? */
static int
which_odd(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '&' || (unsigned char)*text >= 0x80)
			return 1;
	return 0;
}

static int
which_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return 0;
	return 1;
}

void
which_mbox(struct engine *e, const char *arg, char *out)
{
	char	 text[NAME_MAX_LEN], utf7[NAME_MAX_LEN], utf8[NAME_TEXT_MAX];

	name_arg(e, arg, text);
	strlcpy(out, text, NAME_MAX_LEN);
	if (!which_odd(text) || mbox_find(&e->list, text) != NULL ||
	    utf7_encode(text, utf7) == -1)
		return;
	/* A name that nobody has, of the new one of a rename for example. */
	if (mbox_find(&e->list, utf7) != NULL ||
	    utf7_decode(text, utf8) == -1)
		strlcpy(out, utf7, NAME_MAX_LEN);
}

const char *
which_quote(struct engine *e, const char *neutral)
{
	static char	 buf[NAME_TEXT_MAX * 4 + 3];
	char		 back[NAME_MAX_LEN];
	const char	*p = name_show(e, neutral);
	size_t		 n = 0;

	/* Typed again it must be the same one. */
	if (strlen(p) < NAME_MAX_LEN)
		which_mbox(e, p, back);
	if (strlen(p) >= NAME_MAX_LEN || strcmp(back, neutral) != 0)
		p = name_plain(e, LOCAL, neutral, 0);
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

/* ---- patterns ---- */

/* INBOX is the one name without case. */
static int
which_same(const char *pattern, const char *name)
{
	return name_match(pattern, name) || (strcmp(name, "INBOX") == 0 &&
	    strcasecmp(pattern, name) == 0);
}

int
which_reads(const char *pattern, const char *neutral)
{
	char	 utf8[NAME_TEXT_MAX];
	int	 reads = 0;

	if (which_same(pattern, neutral))
		reads |= READ_SPELT;
	if (which_odd(pattern) && utf7_decode(neutral, utf8) == 0 &&
	    which_same(pattern, utf8))
		reads |= READ_TEXT;
	return reads;
}

/*
 * What is left of a pattern in UTF-8 if the server is to match it: next to a
 * wildcard the spelling of a character depends on what the wildcard stands for.
 */
static void
which_broaden(const char *pattern, char *out)
{
	const char	*p;
	int		 all, odd, wild;

	while (*pattern != '\0') {
		all = odd = wild = 0;
		for (p = pattern; *p != '\0'; p++)
			if ((unsigned char)*p >= 0x80)
				odd = 1;
			else if (*p == '*' || *p == '%') {
				wild = 1;
				all |= *p == '*';
			} else
				break;
		if (odd && wild) {
			*out++ = all ? '*' : '%';
			pattern = p;
		} else {
			do {
				*out++ = *pattern++;
			} while (pattern < p);
		}
	}
	*out = '\0';
}

size_t
which_asks(const char *pattern, char asks[2][NAME_MAX_LEN])
{
	char	 broad[NAME_MAX_LEN];
	size_t	 n = 0;

	if (which_ascii(pattern))
		strlcpy(asks[n++], pattern, NAME_MAX_LEN);
	if (!which_odd(pattern))
		return n;
	which_broaden(pattern, broad);
	if (utf7_encode(broad, asks[n]) == 0)
		n++;
	return n;
}

/* A server has listed it. */
static int
which_listed(const struct mbox *mb)
{
	return mb->s[LOCAL].told.name != NULL ||
	    mb->s[REMOTE].told.name != NULL;
}

int
which_found(struct engine *e, const char *pattern)
{
	struct mbox	*mb;
	int		 reads = 0;

	FOREACH_MBOX(mb, &e->list)
		if (which_listed(mb))
			reads |= which_reads(pattern, mb->name);
	return reads;
}

/* The pattern was put to the servers in words that match the name. */
static int
which_brought(const char *pattern, const char *name)
{
	char	 asks[2][NAME_MAX_LEN];
	size_t	 i, n = which_asks(pattern, asks);

	for (i = 0; i < n; i++)
		if (which_same(asks[i], name))
			return 1;
	return 0;
}

void
which_select(struct engine *e)
{
	const struct wanted	*w = &e->want;
	struct mbox		*mb;
	uint8_t			*counts;
	size_t			 i;
	int			 brought, meant;

	for (i = 0; i < w->npatterns && !which_odd(w->patterns[i]); i++)
		;
	if (i == w->npatterns)
		return;
	counts = xcalloc(w->npatterns, sizeof(*counts));
	for (i = 0; i < w->npatterns; i++)
		counts[i] = which_found(e, w->patterns[i]) & READ_SPELT ?
		    READ_SPELT : READ_TEXT;
	FOREACH_MBOX(mb, &e->list) {
		brought = meant = 0;
		for (i = 0; i < w->npatterns && !meant; i++) {
			meant = which_reads(w->patterns[i], mb->name) &
			    counts[i];
			brought |= which_odd(w->patterns[i]) &&
			    which_brought(w->patterns[i], mb->name);
		}
		if (brought && !meant)
			mb->skip = 1;
	}
	free(counts);
}

/* ---- what is near ---- */

const char *
which_near(struct engine *e, const char *name)
{
	static char	 text[NAME_TEXT_MAX + 32];
	char		 utf8[NAME_TEXT_MAX], other[NAME_TEXT_MAX];
	struct mbox	*best = NULL, *mb;
	size_t		 d, least = NEAR_MAX, len;

	name_text(name, utf8);
	len = strlen(utf8);
	FOREACH_MBOX(mb, &e->list) {
		if (mb->id == 0 && !which_listed(mb))
			continue;
		name_text(mb->name, other);
		if ((d = near_word(utf8, len, other)) >= least)
			continue;
		least = d;
		best = mb;
	}
	text[0] = '\0';
	if (best != NULL)
		snprintf(text, sizeof(text), "; did you mean \"%s\"?",
		    name_show(e, best->name));
	return text;
}
