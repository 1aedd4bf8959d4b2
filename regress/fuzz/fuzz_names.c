/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Names of mailboxes: a line a name, first as a server spells it, then as
 * somebody means it; and text on its way to a terminal.
 *
 * What must hold: what is read is written so again, what was written can be read;
 * what is shown has no control characters, and is cut where it was said; a
 * pattern is asked for in words that match all that it means.
 */
#include <ctype.h>
#include <stdio.h>

#include "imapsync/engine/engine.h"
#include "near.h"
#include "replay.h"
#include "show.h"

static void
must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "fuzz_names: %s\n", what);
		abort();
	}
}

/* A name, NUL-terminated in memory of its own size. */
static void
names(const char *name)
{
	char	 text[NAME_TEXT_MAX], utf7[NAME_MAX_LEN];

	if (utf7_decode(name, text) == 0)
		must(utf8_valid(text) && utf7_encode(text, utf7) == 0 &&
		    strcmp(utf7, name) == 0, "read, and written otherwise");
	if (utf7_encode(name, utf7) == 0)
		must(strlen(utf7) < NAME_MAX_LEN &&
		    utf7_decode(utf7, text) == 0 && strcmp(text, name) == 0,
		    "written, and read otherwise");
}

static void
shows(const char *text)
{
	char		 shown[4 * NAME_TEXT_MAX + 1];
	const char	*p;

	show_text(shown, text, sizeof(shown));
	must(show_utf8() ? utf8_valid(shown) : 1, "shown as no UTF-8");
	for (p = shown; *p != '\0'; p++)
		must((unsigned char)*p >= 0x80 ? show_utf8() :
		    isprint((unsigned char)*p), "shown as it is");
	must(show_width(show_cut(shown, 7)) <= 7, "cut too late");
	must(show_printable(text) == 0 || strchr(text, NAME_SEP) != NULL ||
	    strcmp(show_text(shown, text, sizeof(shown)), text) == 0,
	    "what can be shown is not");
	show_text(shown, text, 7);
	must(strlen(shown) < 7, "no room");
}

/* What a pattern means is a part of what is asked for. */
static void
patterns(const char *pattern, const char *name)
{
	char		 asks[2][NAME_MAX_LEN];
	const char	*p;
	size_t		 i, n;

	if (strlen(pattern) >= NAME_MAX_LEN || strlen(name) >= NAME_MAX_LEN ||
	    strcmp(name, "INBOX") == 0)
		return;
	/* A name in octets that no server should spell is not asked for so. */
	for (p = name; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			return;
	n = which_asks(pattern, asks);
	for (i = 0; i < n && !name_match(asks[i], name); i++)
		;
	/* Octets of no UTF-8, and what is too long for a server, is not asked. */
	if (n == 2 || (n == 1 && strcmp(asks[0], pattern) != 0))
		must(i < n || which_reads(pattern, name) == 0 ||
		    !utf8_valid(pattern), "meant, and not asked for");
	(void)near_word(pattern, strlen(pattern), name);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char	*line, *text, *next, *last;

	setenv("LC_ALL", "C.UTF-8", 1);
	show_init();
	text = malloc(len + 1);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	last = text + len;
	for (next = text; (line = strsep(&next, "\n")) != NULL;) {
		char	*one = strdup(line), *two;

		two = strdup(next != NULL ? next : last);
		two[strcspn(two, "\n")] = '\0';
		names(one);
		if (strlen(one) < NAME_TEXT_MAX)
			shows(one);
		patterns(one, two);
		free(one);
		free(two);
	}
	free(text);
	return 0;
}
