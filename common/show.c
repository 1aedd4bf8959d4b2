/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

#include <langinfo.h>
#include <locale.h>
#include <vis.h>
#include <wchar.h>

#include "log.h"
#include "show.h"
#include "utf7.h"

static locale_t	 show_locale;	/* (locale_t)0: not UTF-8 */

void
show_init(void)
{
	locale_t	 loc;

	if (show_locale != (locale_t)0)
		return;
	if ((loc = newlocale(LC_CTYPE_MASK, "", (locale_t)0)) == (locale_t)0)
		return;
	if (strcmp(nl_langinfo_l(CODESET, loc), "UTF-8") == 0)
		show_locale = loc;
	else
		freelocale(loc);
}

int
show_utf8(void)
{
	return show_locale != (locale_t)0;
}

int
show_hidden(uint32_t c)
{
	static const struct {
		uint32_t	 lo;
		uint32_t	 hi;
	} hidden[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f },	/* control characters */
		{ 0xad, 0xad },			/* soft hyphen */
		{ 0x061c, 0x061c },		/* Arabic letter mark */
		{ 0x180e, 0x180e },
		{ 0x200b, 0x200b },		/* zero width space */
		{ 0x200e, 0x200f },		/* left-to-right mark, ... */
		{ 0x2028, 0x202e },		/* separators, overrides */
		{ 0x2060, 0x206f },		/* isolates, fillers */
		{ 0xfeff, 0xfeff }, { 0xfff0, 0xfffb },
		{ 0xe0000, 0xe0fff }		/* tags */
	};
	size_t	 i;

	for (i = 0; i < nitems(hidden); i++)
		if (c >= hidden[i].lo && c <= hidden[i].hi)
			return 1;
	return 0;
}

/* Columns of a character, or -1 if it is not fit to be shown. */
static int
show_columns(uint32_t c)
{
	locale_t	 old;
	int		 w;

	if (show_hidden(c))
		return -1;
	if (c < 0x7f)
		return 1;
	if (!show_utf8() || (old = uselocale(show_locale)) == (locale_t)0)
		return -1;
	w = wcwidth((wchar_t)c);
	uselocale(old);
	return w;
}

int
show_printable(const char *s)
{
	int32_t	 c;

	while (*s != '\0')
		if ((c = utf8_next(&s)) == -1 ||
		    (c != NAME_SEP && show_columns(c) == -1))
			return 0;
	return 1;
}

/* The same octets, but for what vis(3) has to make of the first. */
static size_t
show_one(char *one, const char **src)
{
	const char	*s = *src;
	int32_t		 c = utf8_next(src);

	if (c >= 0x80 && show_columns(c) != -1) {
		memcpy(one, s, *src - s);
		return *src - s;
	}
	*src = s + 1;
	vis(one, (unsigned char)s[0], VIS_CSTYLE | VIS_NL | VIS_TAB |
	    VIS_NOSLASH, (unsigned char)s[1]);
	return strlen(one);
}

char *
show_text(char *dst, const char *src, size_t size)
{
	return log_escape(dst, src, size, show_one);
}

/* Where the text takes more than so many columns, or its end. */
static const char *
show_upto(const char *s, size_t columns, size_t *width)
{
	const char	*p = s;
	int32_t		 c;
	int		 w;

	for (*width = 0; *s != '\0'; s = p) {
		if ((c = utf8_next(&p)) == -1) {
			p++;
			w = 1;
		} else if ((w = show_columns(c)) == -1)
			w = 0;
		if (*width + w > columns)
			break;
		*width += w;
	}
	return s;
}

size_t
show_width(const char *s)
{
	size_t	 width;

	(void)show_upto(s, SIZE_MAX / 2, &width);
	return width;
}

char *
show_cut(char *s, size_t columns)
{
	size_t	 width;

	s[show_upto(s, columns, &width) - s] = '\0';
	return s;
}
