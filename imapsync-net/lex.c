/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Octets of a server to whole responses, and responses to tokens.
 */
#include <ctype.h>
#include <strings.h>

#include "imap.h"

/* ---- tokens ---- */

int
lex_ch(struct lex *l, char c)
{
	if (l->p < l->end && *l->p == c) {
		l->p++;
		return 1;
	}
	return 0;
}

void
lex_sp(struct lex *l)
{
	while (l->p < l->end && *l->p == ' ')
		l->p++;
}

static int
is_atom(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && c != '(' && c != ')' &&
	    c != '"';
}

int
lex_word(struct lex *l, const char *word)
{
	size_t	 n = strlen(word);

	if ((size_t)(l->end - l->p) < n || strncasecmp(l->p, word, n) != 0)
		return 0;
	if (l->p + n < l->end && is_atom(l->p[n]))
		return 0;
	l->p += n;
	return 1;
}

int
lex_num(struct lex *l, uint64_t max, uint64_t *out)
{
	const char	*start = l->p;
	uint64_t	 n = 0;
	unsigned	 d;

	for (; l->p < l->end && isdigit((unsigned char)*l->p); l->p++) {
		d = *l->p - '0';
		if (n > max / 10 || (n == max / 10 && d > max % 10))
			return -1;
		n = n * 10 + d;
	}
	*out = n;
	return l->p == start ? -1 : 0;
}

int
lex_told(struct lex *l, uint64_t max, uint64_t *out)
{
	const char	*start = l->p;

	if (lex_num(l, max, out) == 0)
		return 0;
	*out = 0;
	while (l->p < l->end && isdigit((unsigned char)*l->p))
		l->p++;
	return l->p > start || lex_word(l, "NIL") ? 0 : -1;
}

int
lex_atom(struct lex *l, struct lex *out)
{
	out->p = l->p;
	while (l->p < l->end && is_atom(*l->p))
		l->p++;
	out->end = l->p;
	return out->p == out->end ? -1 : 0;
}

int
lex_item(struct lex *l, struct lex *out)
{
	struct lexstr	 s;

	out->p = l->p;
	while (l->p < l->end && is_atom(*l->p) && *l->p != '[')
		l->p++;
	if (lex_ch(l, '[')) {
		while (!lex_ch(l, ']')) {
			if (l->p == l->end)
				return -1;
			if (*l->p == '"') {
				if (lex_string(l, &s) == -1)
					return -1;
			} else
				l->p++;
		}
		while (l->p < l->end && is_atom(*l->p))
			l->p++;
	}
	out->end = l->p;
	return out->p == out->end ? -1 : 0;
}

int
lex_is(const struct lex *s, const char *word)
{
	size_t	 n = strlen(word);

	return (size_t)(s->end - s->p) == n &&
	    strncasecmp(s->p, word, n) == 0;
}

int
lex_starts(const struct lex *s, const char *word)
{
	size_t	 n = strlen(word);

	return (size_t)(s->end - s->p) >= n &&
	    strncasecmp(s->p, word, n) == 0;
}

static int
lex_quoted(struct lex *l, struct lexstr *s)
{
	l->p++;
	s->quoted = 1;
	s->atom = 0;
	for (s->p = l->p; l->p < l->end; l->p++) {
		if (*l->p == '"') {
			s->len = l->p++ - s->p;
			return 0;
		}
		if (*l->p == '\r' || *l->p == '\n')
			return -1;
		if (*l->p == '\\' && ++l->p == l->end)
			return -1;
	}
	return -1;
}

int
lex_string(struct lex *l, struct lexstr *s)
{
	uint64_t	 n;

	if (l->p < l->end && *l->p == '"')
		return lex_quoted(l, s);
	lex_ch(l, '~');
	if (!lex_ch(l, '{') || lex_num(l, LEX_INLINE, &n) == -1)
		return -1;
	lex_ch(l, '+');
	if (!lex_ch(l, '}') || !lex_ch(l, '\r') || !lex_ch(l, '\n') ||
	    (uint64_t)(l->end - l->p) < n)
		return -1;
	s->p = l->p;
	s->len = n;
	s->quoted = s->atom = 0;
	l->p += n;
	return 0;
}

int
lex_astring(struct lex *l, struct lexstr *s)
{
	struct lex	 atom;

	if (l->p < l->end && (*l->p == '"' || *l->p == '{' ||
	    (*l->p == '~' && l->end - l->p > 1 && l->p[1] == '{')))
		return lex_string(l, s);
	if (lex_atom(l, &atom) == -1)
		return -1;
	s->p = atom.p;
	s->len = atom.end - atom.p;
	s->quoted = 0;
	s->atom = 1;
	return 0;
}

int
lex_copy(const struct lexstr *s, char *dst, size_t size)
{
	size_t	 i, n = 0;

	for (i = 0; i < s->len; i++) {
		if (s->quoted && s->p[i] == '\\')
			i++;
		if (n + 1 >= size || s->p[i] == '\0') {
			dst[0] = '\0';
			return 1;
		}
		dst[n++] = s->p[i];
	}
	dst[n] = '\0';
	return 0;
}

int
lex_skip(struct lex *l)
{
	struct lexstr	 s;
	unsigned	 depth = 0;

	do {
		lex_sp(l);
		if (lex_ch(l, '('))
			depth++;
		else if (depth > 0 && lex_ch(l, ')'))
			depth--;
		else if (lex_astring(l, &s) == -1)
			return -1;
	} while (depth > 0);
	return 0;
}

/* ---- responses ---- */

void
lex_init(struct lexer *lx)
{
	memset(lx, 0, sizeof(*lx));
	buf_init(&lx->line);
}

void
lex_free(struct lexer *lx)
{
	buf_free(&lx->line);
}

void
lex_reset(struct lexer *lx)
{
	struct buf	 line = lx->line;

	buf_clear(&line);
	memset(lx, 0, sizeof(*lx));
	lx->line = line;
}

/* Follow the quoting of text that is about to be forgotten. */
static void
scan_quotes(struct lexer *lx, const char *p, const char *end)
{
	for (; p < end; p++) {
		if (lx->esc)
			lx->esc = 0;
		else if (*p == '\\')
			lx->esc = lx->inq;
		else if (*p == '"')
			lx->inq = !lx->inq;
	}
}

/*
 * OK, NO, BAD, BYE, PREAUTH, "+" and tagged answers end in words for people,
 * which may well end in "{5}".
 */
static int
is_status(const struct buf *line)
{
	static const char *const words[] = { "OK", "NO", "BAD", "BYE",
	    "PREAUTH" };
	struct lex	 l;
	unsigned	 i;

	l.p = (const char *)buf_ptr(line);
	l.end = l.p + line->len;
	if (!lex_ch(&l, '*'))
		return 1;
	lex_sp(&l);
	for (i = 0; i < nitems(words); i++)
		if (lex_word(&l, words[i]))
			return 1;
	return 0;
}

/* Does the text end in {n}, not within quotes?  -1: n is no length. */
static int
ends_in_literal(struct lexer *lx)
{
	const char	*start, *p, *end;
	struct lexer	 q;
	struct lex	 l;

	if (lx->line.len < 3 || lx->status)
		return 0;
	start = (const char *)buf_ptr(&lx->line);
	end = start + lx->line.len;
	start += lx->part;
	if (end - start < 3 || end[-1] != '}')
		return 0;
	p = end - 2;
	if (*p == '+')
		p--;
	while (p > start && isdigit((unsigned char)*p))
		p--;
	if (*p != '{')
		return 0;
	q.inq = lx->inq;
	q.esc = lx->esc;
	scan_quotes(&q, start, p);
	/* A quote that is out of place does not make a body's octets text. */
	if (q.inq && !(p - start >= 2 && p[-1] == ' ' && p[-2] == ']'))
		return 0;
	l.p = p + 1;
	l.end = end;
	if (!isdigit((unsigned char)*l.p))
		return 0;
	if (lex_num(&l, INT64_MAX, &lx->literal) == -1)
		return -1;
	if (p > start && p[-1] == '~')
		p--;
	lx->lastlit = p - (const char *)buf_ptr(&lx->line);
	return 1;
}

/* The text of an uninteresting response may go, but for what may be "{n}". */
static void
forget(struct lexer *lx)
{
	const char	*p = (const char *)buf_ptr(&lx->line);
	size_t		 from = lx->part;

	if (lx->line.len > from + 32)
		from = lx->line.len - 32;
	if (lx->line.len > 0)
		scan_quotes(lx, p + lx->part, p + from);
	lx->passed += from;
	buf_drain(&lx->line, from);
	lx->part = 0;
	lx->text = lx->line.len;
}

static enum lx_event
lex_eol(struct lexer *lx)
{
	uint8_t	*p = buf_ptr(&lx->line);

	/* Both CR LF and a lone LF end a line. */
	lx->line.len--;
	lx->text--;
	if (lx->line.len > lx->part && p[lx->line.len - 1] == '\r') {
		lx->line.len--;
		lx->text--;
	}
	if (lx->part == 0 && !lx->dropped)
		lx->status = is_status(&lx->line);
	switch (ends_in_literal(lx)) {
	case 0:
		return LX_LINE;
	case -1:
		lx->error = "a literal of an impossible length";
		return LX_ERROR;
	}
	if (lx->dropped) {
		lx->mode = MODE_SKIP;
		return LX_MORE;
	}
	lx->nliterals++;
	lx->mode = MODE_ASK;
	return LX_LITERAL;
}

/* The rest of a line that is not kept. */
static enum lx_event
lex_rest(struct lexer *lx, const uint8_t **p, size_t *left)
{
	const uint8_t	*nl;
	size_t		 n = *left;

	if (n == 0)
		return LX_MORE;
	nl = memchr(*p, '\n', n);
	if (nl != NULL)
		n = nl - *p + 1;
	*p += n;
	*left -= n;
	lx->passed += n;
	return nl != NULL ? LX_LINE : LX_MORE;
}

static enum lx_event
lex_text(struct lexer *lx, const uint8_t **p, size_t *left)
{
	const uint8_t	*nl;
	size_t		 n, bound;

	if (lx->passed > LEX_DROPPED) {
		lx->error = "a line without an end";
		return LX_ERROR;
	}
	if (lx->stopped)
		return lex_rest(lx, p, left);
	bound = lx->toldfull ? LEX_HARD : LEX_SOFT;
	if (lx->text >= bound && lx->dropped)
		forget(lx);
	if (lx->text >= bound) {
		if (lx->toldfull)
			return LX_LONG;
		lx->toldfull = 1;
		return LX_FULL;
	}
	if (*left == 0)
		return LX_MORE;
	n = *left < bound - lx->text ? *left : bound - lx->text;
	nl = memchr(*p, '\n', n);
	if (nl != NULL)
		n = nl - *p + 1;
	buf_add(&lx->line, *p, n);
	lx->text += n;
	*p += n;
	*left -= n;
	return nl != NULL ? lex_eol(lx) : LX_MORE;
}

/* Octets of a literal. */
static enum lx_event
lex_octets(struct lexer *lx, const uint8_t **p, size_t *left)
{
	size_t		 n;
	enum lex_mode	 mode = lx->mode;

	n = *left < lx->literal ? *left : (size_t)lx->literal;
	lx->literal -= n;
	if (n == 0 && lx->literal > 0)
		return LX_MORE;
	if (n == 0) {
		lx->mode = MODE_TEXT;
		lx->part = lx->line.len;
		lx->inq = lx->esc = 0;
		return mode == MODE_GIVE ? LX_END : LX_MORE;
	}
	if (mode == MODE_KEEP)
		buf_add(&lx->line, *p, n);
	lx->data = *p;
	lx->datalen = n;
	*p += n;
	*left -= n;
	return mode == MODE_GIVE ? LX_DATA : LX_MORE;
}

enum lx_event
lex_next(struct lexer *lx, const uint8_t **p, size_t *left)
{
	enum lx_event	 ev;

	do {
		if (lx->mode == MODE_TEXT)
			ev = lex_text(lx, p, left);
		else
			ev = lex_octets(lx, p, left);
	} while (ev == LX_MORE && (*left > 0 ||
	    (lx->mode != MODE_TEXT && lx->literal == 0)));
	return ev;
}

void
lex_keep(struct lexer *lx)
{
	buf_puts(&lx->line, "\r\n");
	lx->part = lx->line.len;
	lx->mode = MODE_KEEP;
}

void
lex_give(struct lexer *lx)
{
	lex_cut(lx, lx->lastlit, lx->line.len);
	buf_puts(&lx->line, "\"\"");
	lx->text += 2;
	lx->part = lx->line.len;
	lx->mode = MODE_GIVE;
}

void
lex_drop(struct lexer *lx)
{
	lx->dropped = 1;
	if (lx->mode == MODE_ASK)
		lx->mode = MODE_SKIP;
	forget(lx);
	lx->toldfull = 0;
}

void
lex_stop(struct lexer *lx)
{
	lx->stopped = 1;
}

void
lex_cut(struct lexer *lx, size_t from, size_t to)
{
	uint8_t	*p = buf_ptr(&lx->line);

	memmove(p + from, p + to, lx->line.len - to);
	lx->line.len -= to - from;
	lx->text -= to - from;
	lx->toldfull = 0;
}
