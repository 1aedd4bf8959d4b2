/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * What has two names (map.c), once servers tell what there is: pairs are found by
 * their use (map-special-use), and names that are in the way are said.
 *
 * Which two mailboxes are a pair is a part of what the state knows of them.  If
 * that changes nothing that the state knows holds for the new pair: it is
 * forgotten, and the messages are paired by content, as in a first run.
 */
#include <stdio.h>

#include "engine.h"

static const struct use {
	uint32_t	 attr;
	const char	*name;
} uses[] = {
	{ ATTR_SENT, "\\Sent" }, { ATTR_DRAFTS, "\\Drafts" },
	{ ATTR_JUNK, "\\Junk" }, { ATTR_TRASH, "\\Trash" },
	{ ATTR_ARCHIVE, "\\Archive" }
};

/* ---- names for LIST, and what it tells ---- */

static char *
pattern(const char *name, char delim)
{
	char	*s = xstrdup(name), *p;

	for (p = s; *p != '\0'; p++)
		if (*p == NAME_SEP)
			*p = delim != '\0' ? delim : '/';
	return s;
}

size_t
settle_patterns(struct engine *e, char **list, size_t n)
{
	char	 name[NAME_MAX_LEN], below[NAME_MAX_LEN + 2];
	char	 delim = map_delim(e, REMOTE);
	size_t	 i;

	for (i = 0; i < e->map.n; i++) {
		map_text(e, &e->map.v[i], REMOTE, name);
		snprintf(below, sizeof(below), "%s%c*", name, NAME_SEP);
		list[n++] = pattern(name, delim);
		list[n++] = pattern(below, delim);
	}
	return n;
}

void
settle_select(struct engine *e)
{
	const struct wanted	*w = &e->want;
	struct mbox		*mb;
	size_t			 i;

	FOREACH_MBOX(mb, &e->list) {
		if (map_find(e, LOCAL, mb->name) == NULL)
			continue;
		for (i = 0; i < w->npatterns; i++)
			if (which_reads(w->patterns[i], mb->name))
				break;
		if (i == w->npatterns)
			mb->skip = 1;
	}
}

void
settle_report(struct engine *e)
{
	char		 text[LOG_TEXT_MAX], theirs[NAME_MAX_LEN], n[32];
	const char	*shown;
	struct mapping	*m;
	size_t		 i;

	for (i = 0; i < e->map.n; i++) {
		m = &e->map.v[i];
		if (m->nshadows == 0)
			continue;
		map_text(e, m, REMOTE, theirs);
		shown = name_show_on(e, REMOTE, theirs);
		n[0] = '\0';
		if (m->nshadows > 1)
			snprintf(n, sizeof(n), " (and %u more)",
			    m->nshadows - 1);
		snprintf(text, sizeof(text), "the remote server has a mailbox "
		    "of this name%s, too, besides \"%s\", which is the pair of "
		    "the local one by %s: it is left alone; move what is in it "
		    "to \"%s\" on the remote server and delete it there, or "
		    "rename it", n, shown, m->use != 0 ? "map-special-use" :
		    "mailbox-map", shown);
		log_warnx("%s: %s", name_show(e, m->shadow), text);
		ledger_stopped(e, m->shadow, text);
		e->partial = 1;
	}
}

void
settle_away(struct engine *e, struct mbox *mb)
{
	struct mapping	*m = map_find(e, REMOTE, mb->name);
	char		 name[NAME_MAX_LEN];

	/* What is said of the first one is for those below it, too. */
	if (m == NULL || m->away) {
		mb->stopped = 1;
		e->partial = 1;
		ledger_stopped(e, mb->name, "the mailbox above it is left alone");
		return;
	}
	m->away = 1;
	map_text(e, m, LOCAL, name);
	progress_stop(e, mb, "skipped: the mailbox of this name on the remote "
	    "server is the pair of \"%s\" by %s; move what is in it to that one "
	    "and delete it, rename it, or name it in ignore-mailbox",
	    name_show(e, name), m->use != 0 ? "map-special-use" :
	    "mailbox-map");
}

/* ---- is it a pair still? ---- */

/* Its delimiter may be in an entry or a pattern, and was not known. */
static int
is_blind(const struct engine *e)
{
	char	 is[2] = "", was[2] = "";
	size_t	 i;
	int	 side;

	for (side = 0; side < SIDES; side++) {
		is[0] = map_delim(e, side);
		was[0] = e->map.delim[side];
		for (i = 0; i < e->map.n && is[0] != was[0]; i++)
			if (e->filtered || strpbrk(e->map.v[i].text[side], is) != NULL ||
			    strpbrk(e->map.v[i].text[side], was) != NULL)
				return 1;
	}
	return 0;
}

/* Only with the delimiters it can be seen whether one is below the other. */
static void
check_nested(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct mapping	*a, *b;
	size_t		 i, j;
	int		 side;

	for (i = 0; i < e->map.n; i++)
		for (j = 0; j < e->map.n; j++)
			for (side = 0; side < SIDES && i != j; side++) {
				a = &e->map.v[i];
				b = &e->map.v[j];
				map_text(e, b, side, name);
				if (map_fits(e, a, side, name) == 0)
					continue;
				fatalx("mailbox-map: \"%s\" of the %s server is "
				    "below \"%s\", which has an entry: what is "
				    "below a mailbox goes along with it",
				    name_show_on(e, side, name), side_name[side],
				    a->text[side]);
			}
}

static int
has_changed(struct engine *e, const struct mbox *mb)
{
	char	 name[NAME_MAX_LEN];

	return map_remote(e, mb->name, name) == -1 ||
	    strcmp(name, mb->remote[0] != '\0' ? mb->remote : mb->name) != 0;
}

/*
 * What a run that was cut short has sent to the old pair may still arrive, and
 * would then be new in the new one.
 */
static void
wait_for(struct engine *e, const struct mbox *mb)
{
	int	 side;

	for (side = 0; side < SIDES && !e->want.cfg.dryrun; side++)
		if (mark_recent(&mb->mark[side]))
			fatal_ex(EX_SYNC_TEMP, "%s: its pair has changed "
			    "(mailbox-map), and the last run was cut short "
			    "while it copied: run with what mailbox-map was, or "
			    "in %d minutes",
			    name_show(e, mb->name), MARK_OLD / 60);
}

static void
forget(struct engine *e, const struct mbox *mb)
{
	struct m_store_forget	 m;
	char			 was[NAME_TEXT_MAX], name[NAME_MAX_LEN];

	strlcpy(was, name_show_on(e, REMOTE, mb->remote[0] != '\0' ?
	    mb->remote : mb->name), sizeof(was));
	if (map_remote(e, mb->name, name) == -1)
		log_info("%s: \"%s\" of the remote server is no longer its "
		    "pair: what is known of the two is forgotten (%u messages)",
		    name_show(e, mb->name), was, mb->nrows);
	else
		log_info("%s: its pair on the remote server was \"%s\" and is "
		    "\"%s\" now: what both have is paired by content, and what "
		    "was deleted from one since the last run comes back",
		    name_show(e, mb->name), was,
		    name_show_on(e, REMOTE, name));
	m.mailbox = mb->id;
	ask_note(e, M_STORE_FORGET, &m);
}

/* ---- map-special-use ---- */

/* The one mailbox of a side that has it, or NULL. */
static struct mbox *
special_one(struct engine *e, int side, uint32_t attr)
{
	struct mbox	*mb, *one = NULL;

	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip || !mbox_present(mb, side) ||
		    !(mb->s[side].told.attrs & attr))
			continue;
		if (one != NULL)
			return NULL;
		one = mb;
	}
	return one;
}

/* A side has a mailbox of that name, or below it. */
static int
special_taken(struct engine *e, int side, const char *name)
{
	const struct side_told	*t;
	struct mbox		*mb, find;
	size_t			 len = strlen(name);

	find.name = (char *)name;
	for (mb = RB_NFIND(mboxes, &e->list.all, &find); mb != NULL &&
	    strncmp(mb->name, name, len) == 0;
	    mb = RB_NEXT(mboxes, &e->list.all, mb)) {
		t = &mb->s[side].told;
		if ((mb->name[len] == '\0' || mb->name[len] == NAME_SEP) &&
		    t->name != NULL && !(t->attrs & ATTR_NONEXISTENT))
			return 1;
	}
	return 0;
}

/* The pair that is remembered stays; that its use has gone elsewhere is said. */
static void
special_moved(struct engine *e, const struct use *u, const struct mapping *m,
    struct mbox *const one[SIDES])
{
	char	 name[NAME_MAX_LEN], pair[2 * NAME_TEXT_MAX + 16];
	int	 side;

	map_text(e, m, REMOTE, name);
	snprintf(pair, sizeof(pair), "\" and \"%s\"",
	    name_show_on(e, REMOTE, name));
	map_text(e, m, LOCAL, name);
	for (side = 0; side < SIDES; side++) {
		if (one[side] == NULL ? e->command != CMD_CHECK :
		    strcmp(one[side]->name, name) == 0)
			continue;
		log_warnx("map-special-use: on the %s server %s is %s%s now; "
		    "\"%s%s stay a pair: to change that, name the pair in "
		    "mailbox-map", side_name[side], u->name, one[side] != NULL ?
		    "" : "no mailbox, or several, ", one[side] != NULL ?
		    name_show(e, one[side]->name) : "", name_show(e, name),
		    pair);
	}
}

/* They would be, but for a name that the other server has, too: for --check. */
static void
special_blocked(struct engine *e, const struct use *u,
    struct mbox *const one[SIDES], int side)
{
	char	 name[SIDES][NAME_TEXT_MAX];
	int	 s;

	if (e->command != CMD_CHECK || (e->map.said & u->attr))
		return;
	for (s = 0; s < SIDES; s++)
		strlcpy(name[s], name_show_on(e, s, one[s]->name),
		    sizeof(name[s]));
	log_warnx("map-special-use: %s is \"%s\" on local and \"%s\" on remote, "
	    "and they are no pair, since the %s server has \"%s\", too: move "
	    "what is in it to the other one and delete it on both servers, or "
	    "name the pair in mailbox-map", u->name, name[LOCAL], name[REMOTE],
	    side_name[OTHER(side)], name[side]);
}

/* 1 if they are a pair from now on. */
static int
special_pair(struct engine *e, const struct use *u, struct mbox *const one[SIDES])
{
	const char	*local = one[LOCAL]->name, *remote = one[REMOTE]->name;
	int		 side;

	if (strcmp(local, "INBOX") == 0 || strcmp(remote, "INBOX") == 0)
		return 0;
	/* What is carried over has an entry, and the names of the others are both
	   sides'. */
	if (map_near(e, LOCAL, local) || map_near(e, LOCAL, remote) ||
	    map_near(e, REMOTE, local) || map_near(e, REMOTE, remote))
		return 0;
	for (side = 0; side < SIDES; side++) {
		if (!special_taken(e, OTHER(side), one[side]->name))
			continue;
		special_blocked(e, u, one, side);
		return 0;
	}
	map_add(e, u->attr, local, remote);
	log_info("%s: \"%s\" on the remote server is its pair, since both are %s "
	    "(map-special-use)", name_show(e, local),
	    name_show_on(e, REMOTE, remote), u->name);
	return 1;
}

int
settle_special(struct engine *e)
{
	const struct mapping	*m;
	const struct use	*u;
	struct mbox		*one[SIDES];
	size_t			 i;
	int			 found = 0, side;

	for (i = 0; i < nitems(uses); i++) {
		u = &uses[i];
		for (side = 0; side < SIDES; side++)
			one[side] = special_one(e, side, u->attr);
		if ((m = map_of_use(e, u->attr)) != NULL) {
			if (!(e->map.said & u->attr))
				special_moved(e, u, m, one);
		} else if (one[LOCAL] != NULL && one[REMOTE] != NULL &&
		    one[LOCAL] != one[REMOTE])
			found |= special_pair(e, u, one);
		e->map.said |= u->attr;
	}
	return found;
}

int
settle_wanted(const struct engine *e)
{
	return e->want.cfg.map_special &&
	    e->want.cfg.command != CMD_DELETE &&
	    e->want.cfg.command != CMD_RENAME;
}

int
settle_searched(struct engine *e)
{
	size_t	 i;

	for (i = 0; i < e->map.n; i++)
		if (e->map.v[i].use != 0)
			return 1;
	return e->passes > 0;
}

int
settle_run(struct engine *e)
{
	struct mbox	*mb;
	int		 again = 0;

	if (e->srv[LOCAL].list_failed || e->srv[REMOTE].list_failed)
		return 0;
	if (is_blind(e))
		return 1;
	check_nested(e);
	if (settle_wanted(e) && !e->filtered)
		again = settle_special(e);
	FOREACH_MBOX(mb, &e->list)
		if (mb->id != 0 && has_changed(e, mb)) {
			wait_for(e, mb);
			forget(e, mb);
			again = 1;
		}
	return again;
}
