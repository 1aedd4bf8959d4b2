/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Perl regular expressions to POSIX.  A bracket expression is evaluated to the
 * set of octets that it stands for and written anew, so that \d, \D, negation
 * and quoting inside brackets need no cases of their own.
 */
#include <ctype.h>
#include <regex.h>
#include <stdio.h>

#include "imapsync.h"

#define OCTETS	256

struct pattern {
	const char	*p;		/* what is still to be read */
	struct buf	 out;
	char		*why;
	size_t		 size;
	int		 depth;		/* of parentheses */
	int		 atom;		/* a quantifier may follow */
};

static int
pat_fail(struct pattern *pt, const char *text)
{
	strlcpy(pt->why, text, pt->size);
	return -1;
}

/* "text", with the one character c for its %c. */
static int
pat_failc(struct pattern *pt, const char *fmt, int c)
{
	snprintf(pt->why, pt->size, "the construct %s%c has no counterpart "
	    "in POSIX expressions", fmt, c);
	return -1;
}

static void
pat_putc(struct pattern *pt, int c)
{
	char	 ch = c;

	buf_add(&pt->out, &ch, 1);
}

/* The octet c, outside brackets. */
static void
pat_literal(struct pattern *pt, int c)
{
	if (c == '\0')
		c = NAME_SEP;
	if (strchr(".[\\()*+?{|^$", c) != NULL)
		pat_putc(pt, '\\');
	pat_putc(pt, c);
}

static int
pat_hexval(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return tolower(c) - 'a' + 10;
}

/* \xHH, \x{H...}: behind the x.  The octet, or -1. */
static int
pat_hex(struct pattern *pt)
{
	int	 n, v = 0, braces = *pt->p == '{';

	pt->p += braces;
	for (n = 0; isxdigit((unsigned char)*pt->p) && (n < 2 || braces); n++) {
		v = v * 16 + pat_hexval((unsigned char)*pt->p++);
		if (v > 0xff)
			return pat_fail(pt, "a code above \\xFF: names are "
			    "in modified UTF-7");
	}
	if (braces && *pt->p++ != '}')
		return pat_fail(pt, "\\x{ without }");
	return v;
}

/*
 * The escape behind a backslash, if it is one octet: 1 and the octet; 0 if it
 * is something else; -1 if it is malformed.
 */
static int
pat_octet(struct pattern *pt, int *octet)
{
	static const char	 from[] = "tnrfae", to[] = "\t\n\r\f\a\033";
	const char		*s;
	int			 c = (unsigned char)*pt->p, n;

	if (c == '\0')
		return pat_fail(pt, "a backslash at the end");
	if (c == 'x') {
		pt->p++;
		return (*octet = pat_hex(pt)) == -1 ? -1 : 1;
	}
	if (c == '0') {
		*octet = 0;
		for (n = 0; n < 3 && *pt->p >= '0' && *pt->p <= '7'; n++)
			*octet = *octet * 8 + *pt->p++ - '0';
		return *octet > 0xff ? pat_fail(pt, "an octal code above "
		    "\\377") : 1;
	}
	if ((s = strchr(from, c)) != NULL)
		*octet = to[s - from];
	else if (!isalnum(c))
		*octet = c;
	else
		return 0;
	pt->p++;
	return 1;
}

/* Add the class that a letter (\d) or a name ([:digit:]) stands for. */
static int
pat_class(uint8_t *set, const char *name, size_t len, int negate)
{
	static const struct {
		const char	*name;
		int		(*is)(int);
	} classes[] = {
		{ "alnum", isalnum }, { "alpha", isalpha },
		{ "blank", isblank }, { "cntrl", iscntrl },
		{ "digit", isdigit }, { "graph", isgraph },
		{ "lower", islower }, { "print", isprint },
		{ "punct", ispunct }, { "space", isspace },
		{ "upper", isupper }, { "xdigit", isxdigit },
		{ "word", isalnum }
	};
	size_t	 i;
	int	 c, in;

	for (i = 0; i < nitems(classes); i++)
		if (strlen(classes[i].name) == len &&
		    memcmp(classes[i].name, name, len) == 0)
			break;
	if (i == nitems(classes))
		return -1;
	for (c = 1; c < OCTETS; c++) {
		in = classes[i].is(c) != 0 || (name[0] == 'w' && c == '_');
		if (in != negate)
			set[c] = 1;
	}
	return 0;
}

/* \d, \D, \w, \W, \s, \S, \h, \H: 1 if c is such a letter. */
static int
pat_letter(uint8_t *set, int c)
{
	static const struct {
		int		 letter;
		const char	*name;
	} letters[] = {
		{ 'd', "digit" }, { 'w', "word" }, { 's', "space" },
		{ 'h', "blank" }
	};
	size_t	 i;

	for (i = 0; i < nitems(letters); i++)
		if (letters[i].letter == tolower(c)) {
			pat_class(set, letters[i].name,
			    strlen(letters[i].name), isupper(c) != 0);
			return 1;
		}
	return 0;
}

static int
pat_plain(int c)
{
	return strchr("[]^-", c) == NULL;
}

/* Write the members 1 to 255, runs of three and more as ranges. */
static void
pat_members(struct pattern *pt, const uint8_t *set)
{
	size_t	 start = pt->out.len;
	int	 c, end;

	if (set[']'])
		pat_putc(pt, ']');
	for (c = 1; c < OCTETS; c = end + 1) {
		end = c;
		if (!set[c] || !pat_plain(c))
			continue;
		while (end + 1 < OCTETS && set[end + 1] && pat_plain(end + 1))
			end++;
		pat_putc(pt, c);
		if (end > c + 1)
			pat_putc(pt, '-');
		if (end > c)
			pat_putc(pt, end);
	}
	if (set['['])
		pat_putc(pt, '[');
	if (set['^'] && pt->out.len == start && set['-'])
		buf_puts(&pt->out, "-^");
	else {
		if (set['^'])
			pat_putc(pt, '^');
		if (set['-'])
			pat_putc(pt, '-');
	}
}

/* Write a set of octets as an expression. */
static int
pat_set(struct pattern *pt, const uint8_t *set)
{
	uint8_t	 not[OCTETS];
	int	 c, n = 0, last = 0;

	for (c = 1; c < OCTETS; c++) {
		not[c] = !set[c];
		if (set[c]) {
			n++;
			last = c;
		}
	}
	if (n == 0)
		return pat_fail(pt, "a bracket expression that matches "
		    "nothing");
	if (n == 1)
		pat_literal(pt, last);
	else if (n == OCTETS - 1)
		pat_putc(pt, '.');
	else if (set[OCTETS - 1]) {
		buf_puts(&pt->out, "[^");
		pat_members(pt, not);
		pat_putc(pt, ']');
	} else {
		pat_putc(pt, '[');
		pat_members(pt, set);
		pat_putc(pt, ']');
	}
	return 0;
}

/* [:name:] or [:^name:] at p: 1, 0 if it is none, -1 if the name is unknown. */
static int
pat_posix(struct pattern *pt, uint8_t *set)
{
	const char	*name = pt->p + 2, *end;
	int		 negate;

	if (pt->p[0] != '[' || pt->p[1] != ':' ||
	    (end = strstr(name, ":]")) == NULL)
		return 0;
	if ((negate = *name == '^'))
		name++;
	if (pat_class(set, name, end - name, negate) == -1)
		return pat_fail(pt, "an unknown class [:...:]");
	pt->p = end + 2;
	return 1;
}

/* One member of a bracket: its octet, -2 if it was a class, -1 on error. */
static int
pat_member(struct pattern *pt, uint8_t *set)
{
	int	 c, r;

	if ((r = pat_posix(pt, set)) != 0)
		return r == 1 ? -2 : -1;
	if (*pt->p != '\\')
		return (unsigned char)*pt->p++;
	pt->p++;
	if ((r = pat_octet(pt, &c)) != 0)
		return r == 1 ? c : -1;
	c = (unsigned char)*pt->p++;
	if (pat_letter(set, c))
		return -2;
	if (c == 'b')
		return '\b';
	return pat_failc(pt, "\\", c);
}

/* A bracket expression, behind its '['. */
static int
pat_bracket(struct pattern *pt)
{
	uint8_t	 set[OCTETS];
	int	 c, hi, lo, first = 1, negate;

	memset(set, 0, sizeof(set));
	if ((negate = *pt->p == '^'))
		pt->p++;
	for (; *pt->p != ']' || first; first = 0) {
		if (*pt->p == '\0')
			return pat_fail(pt, "[ without ]");
		if ((lo = pat_member(pt, set)) == -1)
			return -1;
		if (lo == -2)
			continue;
		hi = lo;
		if (pt->p[0] == '-' && pt->p[1] != ']' && pt->p[1] != '\0') {
			pt->p++;
			if ((hi = pat_member(pt, set)) == -1)
				return -1;
			if (hi == -2) {
				/* [a-\d]: the hyphen is one */
				set['-'] = 1;
				hi = lo;
			}
		}
		if (lo > hi)
			return pat_fail(pt, "a range in brackets that runs "
			    "backwards");
		/* No name has the octet that stands for NUL here. */
		for (c = lo; c <= hi; c++)
			if (c != NAME_SEP)
				set[c == 0 ? NAME_SEP : c] = 1;
	}
	pt->p++;
	for (c = 1; negate && c < OCTETS; c++)
		set[c] = !set[c];
	return pat_set(pt, set);
}

/* Behind a backslash, outside brackets. */
static int
pat_escape(struct pattern *pt)
{
	uint8_t	 set[OCTETS];
	int	 c, r;

	pt->atom = 1;
	if ((r = pat_octet(pt, &c)) == -1)
		return -1;
	if (r == 1) {
		pat_literal(pt, c);
		return 0;
	}
	c = (unsigned char)*pt->p++;
	if (isdigit(c))
		return pat_fail(pt, "back-references (\\1) have no "
		    "counterpart in POSIX expressions");
	memset(set, 0, sizeof(set));
	if (pat_letter(set, c))
		return pat_set(pt, set);
	pt->atom = 0;
	if (c == 'A')
		pat_putc(pt, '^');
	else if (c == 'z' || c == 'Z')
		pat_putc(pt, '$');
	else
		return pat_failc(pt, "\\", c);
	return 0;
}

/* Behind an opening parenthesis. */
static int
pat_group(struct pattern *pt)
{
	pt->depth++;
	pt->atom = 0;
	pat_putc(pt, '(');
	if (*pt->p == '*')
		return pat_fail(pt, "verbs (*...) have no counterpart in "
		    "POSIX expressions");
	if (*pt->p != '?')
		return 0;
	switch (*++pt->p) {
	case ':':
		pt->p++;
		return 0;
	case '=':
	case '!':
		return pat_fail(pt, "look-ahead (?= (?! has no counterpart in "
		    "POSIX expressions");
	case '<':
		if (pt->p[1] == '=' || pt->p[1] == '!')
			return pat_fail(pt, "look-behind (?<= (?<! has no "
			    "counterpart in POSIX expressions");
		return pat_fail(pt, "named groups (?<...>) have no "
		    "counterpart in POSIX expressions");
	case '>':
		return pat_fail(pt, "atomic groups (?> have no counterpart in "
		    "POSIX expressions");
	case 'i':
		return pat_fail(pt, "(?i) is possible at the start only");
	case '\0':
		return pat_fail(pt, "(? at the end");
	default:
		return pat_failc(pt, "(?", (unsigned char)*pt->p);
	}
}

/* The length of {n}, {n,} or {n,m}, else 0: then the brace is a brace. */
static size_t
pat_bounds(const char *s)
{
	const char	*p = s + 1;

	if (!isdigit((unsigned char)*p))
		return 0;
	while (isdigit((unsigned char)*p))
		p++;
	if (*p == ',')
		p++;
	while (isdigit((unsigned char)*p))
		p++;
	return *p == '}' ? p + 1 - s : 0;
}

/* A quantifier of len octets at p. */
static int
pat_quantifier(struct pattern *pt, size_t len)
{
	if (!pt->atom)
		return pat_fail(pt, "a quantifier with nothing in front that "
		    "it could repeat");
	buf_add(&pt->out, pt->p, len);
	pt->p += len;
	pt->atom = 0;
	if (*pt->p == '+')
		return pat_fail(pt, "possessive quantifiers (such as *+) have "
		    "no counterpart in POSIX expressions");
	/* Lazy or not is the same where only a match is asked for. */
	if (*pt->p == '?')
		pt->p++;
	return 0;
}

/* A character that means something, or one that does not. */
static int
pat_char(struct pattern *pt)
{
	size_t	 len;
	int	 c = (unsigned char)*pt->p;

	if (c == '*' || c == '+' || c == '?')
		return pat_quantifier(pt, 1);
	if (c == '{' && (len = pat_bounds(pt->p)) > 0)
		return pat_quantifier(pt, len);
	pt->p++;
	switch (c) {
	case '\\':
		return pat_escape(pt);
	case '[':
		pt->atom = 1;
		return pat_bracket(pt);
	case '(':
		return pat_group(pt);
	case ')':
		if (pt->depth-- == 0)
			return pat_fail(pt, ") without (");
		pt->atom = 1;
		pat_putc(pt, c);
		return 0;
	case '|':
	case '^':
	case '$':
		pt->atom = 0;
		pat_putc(pt, c);
		return 0;
	case '.':
		pt->atom = 1;
		pat_putc(pt, c);
		return 0;
	default:
		pt->atom = 1;
		pat_literal(pt, c);
		return 0;
	}
}

/* Does the result compile? */
static int
pat_check(struct pattern *pt, const char *ere)
{
	regex_t	 re;
	int	 error, flags = REG_EXTENDED | REG_NOSUB;

	if (strncmp(ere, "(?i)", 4) == 0) {
		flags |= REG_ICASE;
		ere += 4;
	}
	if ((error = regcomp(&re, ere, flags)) != 0) {
		regerror(error, &re, pt->why, pt->size);
		return -1;
	}
	regfree(&re);
	return 0;
}

char *
pattern_translate(const char *perl, char *why, size_t size)
{
	struct pattern	 pt;
	char		*ere = NULL;

	memset(&pt, 0, sizeof(pt));
	pt.p = perl;
	pt.why = why;
	pt.size = size;
	if (strncmp(pt.p, "(?i)", 4) == 0) {
		buf_puts(&pt.out, "(?i)");
		pt.p += 4;
	}
	while (*pt.p != '\0')
		if (pat_char(&pt) == -1)
			goto out;
	if (pt.depth > 0) {
		pat_fail(&pt, "( without )");
		goto out;
	}
	pat_putc(&pt, '\0');
	ere = xstrdup((const char *)buf_ptr(&pt.out));
	if (pat_check(&pt, ere) == -1) {
		free(ere);
		ere = NULL;
	}
out:
	buf_free(&pt.out);
	return ere;
}
