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
 * set of characters that it stands for and written anew, so that \d, \D, negation
 * and quoting inside brackets need no cases of their own.  The result is matched
 * octet by octet, against names in UTF-8: a character that is not ASCII is a group
 * of octets.
 */
#include <ctype.h>
#include <regex.h>
#include <stdio.h>

#include "imapsync.h"
#include "utf7.h"

#define CODES	128		/* of ASCII */
#define OTHERS_MAX	64	/* other characters in brackets */
/* Any character that is not ASCII; none of its octets could be another's first. */
#define BEYOND	"[\302-\364][\200-\277]+"

/* The members of a bracket expression. */
struct set {
	uint8_t		 ascii[CODES];
	int		 all;		/* all others, or ... */
	uint32_t	 other[OTHERS_MAX];
	size_t		 nother;
};

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

/* The character c, outside brackets. */
static void
pat_literal(struct pattern *pt, int c)
{
	char	 text[4];

	if (c >= CODES) {
		pat_putc(pt, '(');
		buf_add(&pt->out, text, utf8_put(text, c));
		pat_putc(pt, ')');
		return;
	}
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

/* \xHH, \x{H...}: behind the x.  The character, or -1. */
static int
pat_hex(struct pattern *pt)
{
	int	 n, v = 0, braces = *pt->p == '{';

	pt->p += braces;
	for (n = 0; isxdigit((unsigned char)*pt->p) && (n < 2 || braces); n++) {
		v = v * 16 + pat_hexval((unsigned char)*pt->p++);
		if (v > 0x10ffff)
			return pat_fail(pt, "a code above \\x{10FFFF}, the "
			    "last character");
	}
	if (braces && *pt->p++ != '}')
		return pat_fail(pt, "\\x{ without }");
	if (v >= 0xd800 && v <= 0xdfff)
		return pat_fail(pt, "a code that is no character");
	return v;
}

/* The next character of the expression itself, or -1. */
static int
pat_next(struct pattern *pt)
{
	int32_t	 c = utf8_next(&pt->p);

	return c == -1 ? pat_fail(pt, "an octet that is no UTF-8") : c;
}

/*
 * The escape behind a backslash, if it is one character: 1 and which; 0 if it is
 * something else; -1 if it is malformed.
 */
static int
pat_single(struct pattern *pt, int *code)
{
	static const char	 from[] = "tnrfae", to[] = "\t\n\r\f\a\033";
	const char		*s;
	int			 c = (unsigned char)*pt->p, n;

	if (c == '\0')
		return pat_fail(pt, "a backslash at the end");
	if (c == 'x') {
		pt->p++;
		return (*code = pat_hex(pt)) == -1 ? -1 : 1;
	}
	if (c == '0') {
		*code = 0;
		for (n = 0; n < 3 && *pt->p >= '0' && *pt->p <= '7'; n++)
			*code = *code * 8 + *pt->p++ - '0';
		return *code > 0xff ? pat_fail(pt, "an octal code above "
		    "\\377") : 1;
	}
	if (c < CODES && (s = strchr(from, c)) != NULL)
		*code = to[s - from];
	else if (c >= CODES)
		return (*code = pat_next(pt)) == -1 ? -1 : 1;
	else if (!isalnum(c))
		*code = c;
	else
		return 0;
	pt->p++;
	return 1;
}

/* Add the class that a letter (\d) or a name ([:digit:]) stands for. */
static int
pat_class(struct set *set, const char *name, size_t len, int negate)
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
	for (c = 1; c < CODES; c++) {
		in = classes[i].is(c) != 0 || (name[0] == 'w' && c == '_');
		if (in != negate)
			set->ascii[c] = 1;
	}
	set->all |= negate;
	return 0;
}

/* \d, \D, \w, \W, \s, \S, \h, \H: 1 if c is such a letter. */
static int
pat_letter(struct set *set, int c)
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

/* Write the members that are ASCII, runs of three and more as ranges. */
static void
pat_members(struct pattern *pt, const uint8_t *ascii)
{
	size_t	 start = pt->out.len;
	int	 c, end;

	if (ascii[']'])
		pat_putc(pt, ']');
	for (c = 1; c < CODES; c = end + 1) {
		end = c;
		if (!ascii[c] || !pat_plain(c))
			continue;
		while (end + 1 < CODES && ascii[end + 1] && pat_plain(end + 1))
			end++;
		pat_putc(pt, c);
		if (end > c + 1)
			pat_putc(pt, '-');
		if (end > c)
			pat_putc(pt, end);
	}
	if (ascii['['])
		pat_putc(pt, '[');
	if (ascii['^'] && pt->out.len == start && ascii['-'])
		buf_puts(&pt->out, "-^");
	else {
		if (ascii['^'])
			pat_putc(pt, '^');
		if (ascii['-'])
			pat_putc(pt, '-');
	}
}

/* Write a set of ASCII as an expression; there is at least one member. */
static void
pat_ascii(struct pattern *pt, const uint8_t *ascii, int n, int last)
{
	if (n == 1) {
		pat_literal(pt, last);
		return;
	}
	pat_putc(pt, '[');
	pat_members(pt, ascii);
	pat_putc(pt, ']');
}

/*
 * Will what is now written be repeated without bounds?  Then octets will do, as
 * nothing that follows can match the rest of a character.
 */
static int
pat_repeats(const struct pattern *pt)
{
	return *pt->p == '*' || *pt->p == '+';
}

/* All octets but these. */
static void
pat_octets(struct pattern *pt, const uint8_t *ascii)
{
	uint8_t	 not[CODES];
	int	 c, n = 0;

	for (c = 1; c < CODES; c++)
		n += not[c] = !ascii[c];
	if (n == 0) {
		pat_putc(pt, '.');
		return;
	}
	buf_puts(&pt->out, "[^");
	pat_members(pt, not);
	pat_putc(pt, ']');
}

/* Write a set of characters as an expression. */
static int
pat_set(struct pattern *pt, const struct set *set)
{
	size_t	 i;
	int	 c, n = 0, last = 0, others = set->all || set->nother > 0;

	for (c = 1; c < CODES; c++)
		if (set->ascii[c]) {
			n++;
			last = c;
		}
	if (n == 0 && !others)
		return pat_fail(pt, "a bracket expression that matches "
		    "nothing");
	if (!others) {
		pat_ascii(pt, set->ascii, n, last);
		return 0;
	}
	if (set->all && pat_repeats(pt)) {
		pat_octets(pt, set->ascii);
		return 0;
	}
	pat_putc(pt, '(');
	if (n > 0)
		pat_ascii(pt, set->ascii, n, last);
	if (set->all)
		buf_puts(&pt->out, n > 0 ? "|" BEYOND : BEYOND);
	for (i = 0; i < set->nother && !set->all; i++) {
		if (n > 0 || i > 0)
			pat_putc(pt, '|');
		pat_literal(pt, set->other[i]);
	}
	pat_putc(pt, ')');
	return 0;
}

/* [:name:] or [:^name:] at p: 1, 0 if it is none, -1 if the name is unknown. */
static int
pat_posix(struct pattern *pt, struct set *set)
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

/* One member of a bracket: the character, -2 if it was a class, -1 on error. */
static int
pat_member(struct pattern *pt, struct set *set)
{
	int	 c, r;

	if ((r = pat_posix(pt, set)) != 0)
		return r == 1 ? -2 : -1;
	if (*pt->p != '\\')
		return pat_next(pt);
	pt->p++;
	if ((r = pat_single(pt, &c)) != 0)
		return r == 1 ? c : -1;
	c = (unsigned char)*pt->p++;
	if (pat_letter(set, c))
		return -2;
	if (c == 'b')
		return '\b';
	return pat_failc(pt, "\\", c);
}

/* Add all from lo to hi. */
static int
pat_range(struct pattern *pt, struct set *set, int lo, int hi)
{
	if (lo > hi)
		return pat_fail(pt, "a range in brackets that runs "
		    "backwards");
	/* No name has the octet that stands for NUL here. */
	for (; lo <= hi && lo < CODES; lo++)
		if (lo != NAME_SEP)
			set->ascii[lo == 0 ? NAME_SEP : lo] = 1;
	for (; lo <= hi; lo++) {
		if (set->nother == OTHERS_MAX)
			return pat_fail(pt, "brackets with more than 64 "
			    "characters that are not ASCII");
		set->other[set->nother++] = lo;
	}
	return 0;
}

/* A bracket expression, behind its '['. */
static int
pat_bracket(struct pattern *pt)
{
	struct set	 set;
	int		 c, hi, lo, first = 1, negate;

	memset(&set, 0, sizeof(set));
	if ((negate = *pt->p == '^'))
		pt->p++;
	for (; *pt->p != ']' || first; first = 0) {
		if (*pt->p == '\0')
			return pat_fail(pt, "[ without ]");
		if ((lo = pat_member(pt, &set)) == -1)
			return -1;
		if (lo == -2)
			continue;
		hi = lo;
		if (pt->p[0] == '-' && pt->p[1] != ']' && pt->p[1] != '\0') {
			pt->p++;
			if ((hi = pat_member(pt, &set)) == -1)
				return -1;
			if (hi == -2) {
				/* [a-\d]: the hyphen is one */
				set.ascii['-'] = 1;
				hi = lo;
			}
		}
		if (pat_range(pt, &set, lo, hi) == -1)
			return -1;
	}
	pt->p++;
	if (negate && set.nother > 0)
		return pat_fail(pt, "[^...] with a character that is not "
		    "ASCII has no counterpart in POSIX expressions");
	for (c = 1; negate && c < CODES; c++)
		set.ascii[c] = !set.ascii[c];
	if (negate)
		set.all = !set.all;
	return pat_set(pt, &set);
}

/* Behind a backslash, outside brackets. */
static int
pat_escape(struct pattern *pt)
{
	struct set	 set;
	int		 c, r;

	pt->atom = 1;
	if ((r = pat_single(pt, &c)) == -1)
		return -1;
	if (r == 1) {
		pat_literal(pt, c);
		return 0;
	}
	c = (unsigned char)*pt->p++;
	if (isdigit(c))
		return pat_fail(pt, "back-references (\\1) have no "
		    "counterpart in POSIX expressions");
	memset(&set, 0, sizeof(set));
	if (pat_letter(&set, c))
		return pat_set(pt, &set);
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
	if (c >= CODES) {
		if ((c = pat_next(pt)) == -1)
			return -1;
		pt->atom = 1;
		pat_literal(pt, c);
		return 0;
	}
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
		if (pat_repeats(pt))
			pat_putc(pt, c);
		else
			buf_puts(&pt->out, "([\001-\177]|" BEYOND ")");
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
