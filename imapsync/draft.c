/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * The configuration that --init is about to write: keys and values in the order
 * in which they came, and a comment to those that a reader may wonder about.
 */
#include <ctype.h>
#include <stdio.h>

#include "imapsync.h"
#include "pathnames.h"

/* What stands above a key.  "local.KEY" is for that side alone. */
static const struct {
	const char	*key;
	const char	*text;
} notes[] = {
	{ "database",
	    "# The state, below ~/.local/share/imapsync.\n" },
	{ "local.command",
	    "# It starts an IMAP server with your rights: no password, no "
	    "network.\n" },
	{ "remote.command",
	    "# It must end in an IMAP server that greets with PREAUTH, and "
	    "from cron it must\n"
	    "# not ask: see imapsync.conf(5), EXAMPLES, for a key of its own.\n"
	},
	{ "null-stderr",
	    "# What it says on its standard error is shown if it fails.\n" },
	{ "port",
	    "# The usual ones are 993 (imaps), and 143 (imap, with STARTTLS).\n"
	},
	{ "password-command",
	    "# A command that prints the password.\n" },
	{ "password",
	    "# Nobody else may be able to read this file.\n" },
	{ "SSL_fingerprint",
	    "# The digest of the server's key; nothing else is accepted.\n" }
};

/* The order in which one reads a section; all others follow. */
static const char *const	 order[] = { "type", "host", "port", "command",
	"null-stderr", "username", "password-command", "password" };

static int
has_key(const struct draft_pair *p, enum draft_section sec, const char *key)
{
	return p->section == sec && strcmp(p->key, key) == 0;
}

static struct draft_pair *
draft_find(const struct draft *d, enum draft_section sec, const char *key)
{
	struct draft_pair	*p;

	TAILQ_FOREACH(p, &d->pairs, entry)
		if (has_key(p, sec, key))
			break;
	return p;
}

void
draft_init(struct draft *d)
{
	TAILQ_INIT(&d->pairs);
}

const char *
draft_get(const struct draft *d, enum draft_section sec, const char *key)
{
	const struct draft_pair	*p = draft_find(d, sec, key);

	return p != NULL ? p->val : NULL;
}

/* What the file can't hold as it is: conf_line() would take something else. */
static const char *
value_why(const char *val)
{
	const char	*p;
	size_t		 len = strlen(val);

	if (len == 0)
		return "it may not be empty";
	if (isblank((unsigned char)val[0]) ||
	    isblank((unsigned char)val[len - 1]))
		return "blanks at its beginning or end would be lost";
	for (p = val; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p) && *p != '\t')
			return "it has a control character";
		else if (*p == ';' && isblank((unsigned char)p[1]) &&
		    (p == val || isblank((unsigned char)p[-1])))
			return "\" ; \" begins a comment";
	return NULL;
}

const char *
draft_set(struct draft *d, enum draft_section sec, const char *key,
    const char *val)
{
	struct draft_pair	*p;
	const char		*why;

	if ((why = value_why(val)) != NULL)
		return why;
	if ((p = draft_find(d, sec, key)) == NULL) {
		p = xcalloc(1, sizeof(*p));
		p->section = sec;
		p->key = xstrdup(key);
		TAILQ_INSERT_TAIL(&d->pairs, p, entry);
	}
	conf_wipe(&p->val);
	p->val = xstrdup(val);
	return NULL;
}

static void
pair_free(struct draft *d, struct draft_pair *p)
{
	TAILQ_REMOVE(&d->pairs, p, entry);
	free(p->key);
	conf_wipe(&p->val);
	free(p);
}

void
draft_unset(struct draft *d, enum draft_section sec, const char *key)
{
	struct draft_pair	*p = draft_find(d, sec, key);

	if (p != NULL)
		pair_free(d, p);
}

void
draft_free(struct draft *d)
{
	struct draft_pair	*p;

	while ((p = TAILQ_FIRST(&d->pairs)) != NULL)
		pair_free(d, p);
}

/* "local.", "remote." or nothing in front of a key. */
static const char *
arg_section(const char *arg, enum draft_section *sec)
{
	size_t	 klen;

	if (strncmp(arg, "local.", 6) == 0) {
		*sec = DRAFT_LOCAL;
		return arg + 6;
	}
	*sec = DRAFT_REMOTE;
	if (strncmp(arg, "remote.", 7) == 0)
		return arg + 7;
	for (klen = strcspn(arg, "="); klen > 0 &&
	    isblank((unsigned char)arg[klen - 1]); klen--)
		;
	if (conf_isglobal(arg, klen))
		*sec = DRAFT_GLOBAL;
	return arg;
}

const char *
draft_arg(struct draft *d, const char *arg)
{
	enum draft_section	 sec;
	const char		*val, *why;
	char			*key;
	size_t			 klen;

	arg = arg_section(arg, &sec);
	if ((val = strchr(arg, '=')) == NULL || val == arg)
		return "KEY=VALUE expected";
	for (klen = val - arg; klen > 0 &&
	    isblank((unsigned char)arg[klen - 1]); klen--)
		;
	for (val++; isblank((unsigned char)*val); val++)
		;
	key = xstrndup(arg, klen);
	if (strcmp(key, "password") == 0)
		why = "others see what is on a command line: use "
		    "password-command, or leave it out and be asked";
	else if (draft_find(d, sec, key) != NULL)
		why = "it is set twice";
	else
		why = draft_set(d, sec, key, val);
	free(key);
	return why;
}

static void
text_pair(const struct draft_pair *p, struct buf *out)
{
	const char	*side = p->section == DRAFT_LOCAL ? "local." :
			    p->section == DRAFT_REMOTE ? "remote." : "";
	char		 full[80];
	size_t		 i;

	snprintf(full, sizeof(full), "%s%s", side, p->key);
	for (i = 0; i < nitems(notes); i++)
		if (strcmp(notes[i].key, full) == 0 ||
		    strcmp(notes[i].key, p->key) == 0)
			buf_puts(out, notes[i].text);
	buf_printf(out, "%s = %s\n", p->key, p->val);
}

static void
text_section(const struct draft *d, enum draft_section sec, struct buf *out)
{
	const struct draft_pair	*p;
	size_t			 i;

	for (i = 0; i < nitems(order); i++)
		if ((p = draft_find(d, sec, order[i])) != NULL)
			text_pair(p, out);
	TAILQ_FOREACH(p, &d->pairs, entry) {
		for (i = 0; i < nitems(order); i++)
			if (strcmp(order[i], p->key) == 0)
				break;
		if (p->section == sec && i == nitems(order))
			text_pair(p, out);
	}
}

void
draft_text(const struct draft *d, const char *hint, struct buf *out)
{
	buf_puts(out, "# Written by imapsync --init.  imapsync.conf(5) has all "
	    "keys; a longer example is\n# " PATH_EXAMPLES
	    "/imapsync.conf.\n\n");
	if (draft_get(d, DRAFT_GLOBAL, "list-mailbox") == NULL)
		buf_puts(out, "# All mailboxes, in both directions.\n"
		    "#list-mailbox = *\n");
	text_section(d, DRAFT_GLOBAL, out);
	buf_puts(out, "\n# The server on this machine.\n[local]\n");
	text_section(d, DRAFT_LOCAL, out);
	buf_puts(out, "\n# The other one.\n[remote]\n");
	text_section(d, DRAFT_REMOTE, out);
	if (hint != NULL)
		buf_puts(out, hint);
}

void
draft_probe(const struct draft *d, enum side side, struct buf *out)
{
	/* What is not looked at must be well-formed, and another account. */
	text_section(d, DRAFT_GLOBAL, out);
	buf_printf(out, "[%s]\ntype = tunnel\ncommand = -\n[%s]\n",
	    side_name[OTHER(side)], side_name[side]);
	text_section(d, side == LOCAL ? DRAFT_LOCAL : DRAFT_REMOTE, out);
}
