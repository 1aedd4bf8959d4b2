/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The line of progress on terminals of any width; the totals; what is said of a
 * run that was interrupted; patterns that match nothing.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>

#include "engine_box.h"
#include "tap.h"

/* What the tick writes to standard error. */
static const char *
drawn(void)
{
	static char	 text[1024];
	int		 out = dup(STDERR_FILENO), p[2];
	ssize_t		 n;

	if (out == -1 || pipe(p) == -1 || dup2(p[1], STDERR_FILENO) == -1)
		err(1, "standard error");
	eng.progress.last = 0;
	progress_tick(&eng);
	dup2(out, STDERR_FILENO);
	close(out);
	close(p[1]);
	n = read(p[0], text, sizeof(text) - 1);
	close(p[0]);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* So many of all messages of INBOX are on the remote server now. */
static struct mbox *
copying(uint32_t done, uint32_t all)
{
	struct mbox	*mb;

	box_start();
	mb = box_new("INBOX", 0);
	mbox_begin(mb);
	mb->dirty = 1;
	uidset_add(&mb->s[LOCAL].w->found.new, 1, all);
	mb->s[REMOTE].sum.copied = done;
	mb->s[REMOTE].sum.octets = (uint64_t)done * 1000;
	eng.exec.target = REMOTE;
	eng.exec.began = end_now() - 1000;
	eng.ask.heard = end_now();
	return mb;
}

static void
test_line(void)
{
	static const char *const	 fields[] = { "500", "500 of 2,000",
	    "to remote: 500 of 2,000 messages", ", 500 kB", ", ", "/s", ", ",
	    " left" };
	char				 width[64], *end, *line;
	const char			*p;
	int				 bad = 0, columns, kinds = 0;
	size_t				 last = 0;

	for (columns = 20; columns <= 120; columns++) {
		(void)copying(500, 2000);
		eng.want.cfg.columns = columns;
		snprintf(width, sizeof(width), "%d columns", columns);
		line = xstrdup(drawn());
		p = line + (*line == '\r');
		if ((end = strstr(p, "\033[K")) == NULL || end[3] != '\0') {
			bad++;
			free(line);
			continue;
		}
		*end = '\0';
		bad += strlen(p) >= (size_t)columns || strlen(p) < last;
		if (strlen(p) != last)
			kinds++;
		last = strlen(p);
		/* It ends as a field does. */
		bad += strcmp(p, fields[1]) != 0 && (strstr(p, fields[2]) != p ||
		    (strcmp(p, fields[2]) != 0 &&
		    strcmp(end - 2, "kB") != 0 && strcmp(end - 2, "/s") != 0 &&
		    strcmp(end - 4, "left") != 0));
		free(line);
	}
	is_num(bad, 0, "whole fields that fit, on terminals of any width");
	is_num(kinds, 5, "all of them on a wide one, in five steps");
	(void)copying(1234567, 2345678);
	eng.want.cfg.columns = 20;
	is_str(drawn(), "\r1,234,567\033[K", "less than that");
	eng.want.cfg.columns = 19;
	is_str(drawn(), "", "nothing below 20 columns");
}

static void
test_number(void)
{
	char	 n[NUMBER_TEXT];

	is_str(progress_number(0, n), "0", "no comma");
	is_str(progress_number(999, n), "999", "no comma");
	is_str(progress_number(1000, n), "1,000", "one");
	is_str(progress_number(UINT64_MAX, n), "18,446,744,073,709,551,615",
	    "the largest");
}

/* What a pass that did that says last. */
static const char *
totals(int asked)
{
	eng.end.asked = asked;
	box_said[0] = '\0';
	report_pass(&eng, end_now() - 1000);
	return box_said;
}

static void
test_totals(void)
{
	struct mbox	*a, *b;

	box_start();
	a = box_new("a", 0);
	b = box_new("b", 0);
	eng.exec.began = -1;
	a->npaired = 1200;
	b->npaired = 3;
	is_str(totals(0), "a: 1200 paired\nb: 3 paired\n2 mailboxes changed: "
	    "1,203 paired, in 1.0 s\n", "paired, and nothing else");
	b->npaired = 0;
	b->s[REMOTE].sum.copied = 2;
	b->s[REMOTE].sum.octets = 2000;
	b->s[LOCAL].sum.flags = 4;
	b->s[LOCAL].sum.deleted = 1;
	ok(strstr(totals(0), "2 mailboxes changed: 1,200 paired, 2 messages "
	    "copied (2.0 kB), flags of 4 changed, 1 deleted, in ") != NULL,
	    "all of it");
	a->npaired = 0;
	ok(strstr(totals(0), "mailboxes") == NULL, "one has no totals");
}

static void
test_interrupted(void)
{
	struct mbox	*mb = copying(900, 3000), *done;

	ok(strstr(totals(1), "interrupted: 900 of 3,000 copied; run again to "
	    "go on\n") != NULL, "how far it came");
	done = box_new("done", 0);
	done->s[LOCAL].sum.copied = 100;
	ok(strstr(totals(1), "interrupted: 1,000 of 3,100 copied;") != NULL,
	    "with the mailboxes that are done");
	ok(strstr(totals(0), "interrupted") == NULL, "only by a signal");
	mb->s[REMOTE].sum.copied = 3000;
	ok(strstr(totals(1), "interrupted") == NULL, "not if all is copied");
	mb->s[REMOTE].sum.copied = 900;
	eng.exec.began = -1;
	ok(strstr(totals(1), "interrupted") == NULL,
	    "nor if nothing was begun in this pass");
}

int
main(void)
{
	test_number();
	test_line();
	test_totals();
	test_interrupted();
	return tap_done();
}
