/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * FETCH: flags, dates and bodies.
 */
#include <ctype.h>
#include <strings.h>

#include "imap.h"

/* ---- flags and dates ---- */

/* The octets up to the next blank or parenthesis, whatever they are. */
static void
flag_token(struct lex *l, struct lex *out)
{
	out->p = l->p;
	while (l->p < l->end && *l->p != ' ' && *l->p != '(' && *l->p != ')')
		l->p++;
	out->end = l->p;
}

/* What is no flag is left out; the first of that kind is told. */
static void
flag_none(const struct lex *w, char *noflag)
{
	size_t	 i, n = w->end - w->p;

	if (noflag[0] != '\0')
		return;
	for (i = 0; i < n && i < NOFLAG_SIZE - 1; i++)
		noflag[i] = w->p[i] == '\0' ? '?' : w->p[i];
	noflag[i] = '\0';
}

int
parse_flags(struct lex *l, char *dst, int *any, char *noflag)
{
	struct buf	 all = BUF_INIT;
	struct lex	 w;
	int		 ret = -1;

	dst[0] = noflag[0] = '\0';
	*any = 0;
	if (!lex_ch(l, '('))
		return -1;
	for (lex_sp(l); !lex_ch(l, ')'); lex_sp(l)) {
		flag_token(l, &w);
		if (w.p == w.end)
			goto done;
		if (lex_is(&w, "\\*"))
			*any = 1;
		else if (flags_atom(w.p, w.end - w.p)) {
			buf_add(&all, w.p, w.end - w.p);
			buf_add(&all, " ", 1);
		} else
			flag_none(&w, noflag);
	}
	buf_add(&all, "", 1);
	ret = flags_fit(dst, (char *)buf_ptr(&all)) == 0 ? FLAGS_ALL :
	    FLAGS_CUT;
done:
	buf_free(&all);
	return ret;
}

/* The usual case of parse_flags(), in one go. */
static int
parse_flags_fast(struct lex *l, char *dst, char *noflag)
{
	char		 tmp[FLAGS_MAX];
	const char	*end;
	struct lex	 save = *l;
	size_t		 n;
	int		 any;

	if (!lex_ch(l, '('))
		return -1;
	end = memchr(l->p, ')', l->end - l->p);
	if (end == NULL)
		return -1;
	n = end - l->p;
	if (n < sizeof(tmp) && memchr(l->p, '\0', n) == NULL) {
		memcpy(tmp, l->p, n);
		tmp[n] = '\0';
		if (flags_canon(dst, FLAGS_MAX, tmp) == 0) {
			noflag[0] = '\0';
			l->p = end + 1;
			return FLAGS_ALL;
		}
	}
	*l = save;
	return parse_flags(l, dst, &any, noflag);
}

static int
two(const char *p)
{
	return (p[0] - '0') * 10 + p[1] - '0';
}

/* Of a month from 0 on. */
static int
month_days(int m, int y)
{
	if (m == 1)
		return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 ? 29 : 28;
	return m == 3 || m == 5 || m == 8 || m == 10 ? 30 : 31;
}

int
parse_date(const char *s, int64_t *out)
{
	static const char	 form[] = "dd-mmm-dddd dd:dd:dd +dddd";
	static const char	 months[] = "JanFebMarAprMayJun"
				    "JulAugSepOctNovDec";
	char			 d[27];
	int64_t			 y, m, day, era, doy, t;
	int			 i, zone;

	if (strlen(s) != 26)
		return -1;
	memcpy(d, s, sizeof(d));
	if (d[0] == ' ')
		d[0] = '0';
	for (i = 0; i < 26; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char)d[i]) :
		    form[i] == 'm' ? !isalpha((unsigned char)d[i]) :
		    form[i] == '+' ? d[i] != '+' && d[i] != '-' :
		    form[i] != d[i])
			return -1;
	for (m = 0; m < 12; m++)
		if (strncasecmp(d + 3, months + m * 3, 3) == 0)
			break;
	day = two(d);
	y = two(d + 7) * 100 + two(d + 9);
	zone = two(d + 22) * 60 + two(d + 24);
	if (m == 12 || day < 1 || day > month_days(m, y) || two(d + 12) > 23 ||
	    two(d + 15) > 59 || two(d + 18) > 60 || two(d + 24) > 59)
		return -1;
	/* Days since 1970, Gregorian calendar; the year begins in March. */
	y -= m < 2;
	m = (m + 10) % 12;
	era = (y + 400) / 400 - 1;
	doy = (153 * m + 2) / 5 + day - 1;
	y -= era * 400;
	t = era * 146097 + y * 365 + y / 4 - y / 100 + doy - 719468;
	t = t * 86400 + two(d + 12) * 3600 + two(d + 15) * 60 + two(d + 18);
	*out = d[21] == '-' ? t + zone * 60 : t - zone * 60;
	return 0;
}

/* ---- items ---- */

/* Some servers leave out the blank in front of a day of one digit. */
static int
fetch_date(struct lex *l, struct fetch *f)
{
	char		 text[64];
	struct lexstr	 s;
	int64_t		 t;

	f->date[0] = '\0';
	f->has_date = FDATE_NIL;
	if (lex_word(l, "NIL"))
		return 0;
	f->has_date = FDATE_BAD;
	if (lex_astring(l, &s) == -1)
		return -1;
	if (lex_copy(&s, text, sizeof(text)) == 1)
		return 0;
	if (strlen(text) == 25)
		strlcat(f->date, " ", sizeof(f->date));
	strlcat(f->date, text, sizeof(f->date));
	if (strlen(text) < sizeof(f->date) && parse_date(f->date, &t) == 0)
		f->has_date = FDATE_TOLD;
	return 0;
}

/* A BODY[...] that was not given away: NIL or a quoted string. */
static int
fetch_body(struct parser *p, struct lex *l, const struct lex *name,
    struct lexstr *here)
{
	struct fetch	*f = &p->fetch;

	if (f->section != SECT_NONE)
		return -1;	/* two of them were never asked for */
	f->section = lex_is(name, "BODY[]") ? SECT_ALL :
	    lex_starts(name, "BODY[HEADER.FIELDS ") ? SECT_HEADER : SECT_OTHER;
	if (lex_word(l, "NIL")) {
		f->body = BODY_NIL;
		return 0;
	}
	f->body = p->given != SECT_NONE ? BODY_GIVEN : BODY_HERE;
	return lex_string(l, here);
}

/* A number that need not be told: a value of another kind is passed over. */
static int
fetch_number(struct lex *l, uint64_t max, int parens, uint64_t *out)
{
	struct lex	 save = *l;

	if ((!parens || lex_ch(l, '(')) && lex_num(l, max, out) == 0 &&
	    (!parens || lex_ch(l, ')')))
		return 1;
	*l = save;
	*out = 0;
	return lex_skip(l);
}

static int
fetch_item(struct parser *p, struct lex *l, const struct lex *name,
    struct lexstr *here)
{
	struct fetch	*f = &p->fetch;
	uint64_t	 uid;
	int		 has;

	if (lex_is(name, "UID")) {
		if ((has = fetch_number(l, UINT32_MAX, 0, &uid)) == -1)
			return -1;
		f->uid = (uint32_t)uid;
	} else if (lex_is(name, "FLAGS")) {
		if ((has = parse_flags_fast(l, f->flags, f->noflag)) == -1)
			return -1;
		f->has_flags = has;
	} else if (lex_is(name, "MODSEQ")) {
		if ((has = fetch_number(l, UINT64_MAX, 1, &f->modseq)) == -1)
			return -1;
		f->has_modseq = has;
	} else if (lex_is(name, "RFC822.SIZE")) {
		if ((has = fetch_number(l, INT64_MAX, 0, &f->size)) == -1)
			return -1;
		f->has_size = has;
	} else if (lex_is(name, "INTERNALDATE")) {
		return fetch_date(l, f);
	} else if (lex_starts(name, "BODY[")) {
		return fetch_body(p, l, name, here);
	} else
		return lex_skip(l);
	return 0;
}

/* As fetch_prefix() with "part", else all of it. */
static int
fetch_items(struct parser *p, struct lex *l, int part, struct lexstr *here)
{
	struct fetch	*f = &p->fetch;
	struct lex	 name;

	memset(f, 0, offsetof(struct fetch, date));
	f->flags[0] = f->noflag[0] = f->date[0] = '\0';
	if (!lex_ch(l, '('))
		return -1;
	for (lex_sp(l); !lex_ch(l, ')'); lex_sp(l)) {
		if (lex_item(l, &name) == -1)
			return -1;
		lex_sp(l);
		if (part && l->p == l->end) {
			if (!lex_starts(&name, "BODY["))
				return 0;
			f->section = lex_is(&name, "BODY[]") ? SECT_ALL :
			    lex_starts(&name, "BODY[HEADER.FIELDS ") ?
			    SECT_HEADER : SECT_OTHER;
			return 1;
		}
		if (fetch_item(p, l, &name, here) == -1)
			return -1;
		if (l->p == l->end && lex_starts(&name, "BODY["))
			return 0;
		if (l->p < l->end && *l->p != ' ' && *l->p != ')')
			return -1;
	}
	lex_sp(l);
	return part || l->p == l->end ? 0 : -1;
}

int
fetch_prefix(struct parser *p, struct lex *l)
{
	struct lexstr	 here;

	return fetch_items(p, l, 1, &here);
}

int
fetch_parse(struct parser *p, struct lex *l)
{
	struct lexstr	 here = { "", 0, 0, 0 };
	struct fetch	*f = &p->fetch;
	size_t		 i, n;

	if (fetch_items(p, l, 0, &here) == -1)
		return -1;
	if (f->body == BODY_HERE) {
		for (i = n = 0; i < here.len; i++, n++)
			if (here.quoted && here.p[i] == '\\')
				i++;
		p->ops->body(p->arg, f, n);
		for (i = 0; i < here.len; i++) {
			if (here.quoted && here.p[i] == '\\')
				i++;
			p->ops->data(p->arg, here.p + i, 1);
		}
		p->ops->end(p->arg);
	}
	p->resp.fetch = f;
	return 0;
}
