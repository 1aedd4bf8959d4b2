/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Mailboxes that are called one thing on one server and another thing on the
 * other (mailbox-map, map-special-use).  The neutral name is the local one:
 * names.c carries the names of the remote server over by what stands here, and
 * so all that has a name follows.  What is below a mailbox is carried along.
 *
 * Here are the entries and what they make of a name; settle.c makes entries of
 * what servers tell, and looks at what the state has.
 */
#include "engine.h"

/* ---- entries ---- */

char
map_delim(const struct engine *e, int side)
{
	return e->srv[side].delim != '\0' ? e->srv[side].delim :
	    (char)e->srv[side].last.delimiter;
}

size_t
map_fits(const struct engine *e, const struct mapping *m, int side,
    const char *name)
{
	const char	*text = m->text[side];
	char		 c, delim = map_delim(e, side);
	size_t		 i;

	for (i = 0; text[i] != '\0'; i++) {
		c = delim != '\0' && text[i] == delim ? NAME_SEP : text[i];
		if (name[i] != c)
			return 0;
	}
	return name[i] == '\0' || name[i] == NAME_SEP ? i : 0;
}

void
map_text(const struct engine *e, const struct mapping *m, int side, char *out)
{
	char	*p, delim = map_delim(e, side);

	strlcpy(out, m->text[side], NAME_MAX_LEN);
	for (p = out; *p != '\0'; p++)
		if (delim != '\0' && *p == delim)
			*p = NAME_SEP;
}

struct mapping *
map_find(struct engine *e, int side, const char *name)
{
	size_t	 i;

	for (i = 0; i < e->map.n; i++)
		if (map_fits(e, &e->map.v[i], side, name) > 0)
			return &e->map.v[i];
	return NULL;
}

/* A name of one side as the other has it, whether it comes back or not. */
static int
map_carry(struct engine *e, int from, const char *name, char *out)
{
	struct mapping	*m = map_find(e, from, name);

	if (m == NULL)
		return strlcpy(out, name, NAME_MAX_LEN) >= NAME_MAX_LEN ? -1 :
		    0;
	map_text(e, m, OTHER(from), out);
	return strlcat(out, name + map_fits(e, m, from, name), NAME_MAX_LEN) >=
	    NAME_MAX_LEN ? -1 : 0;
}

/* A name that another one is carried to is not there for itself. */
static int
map_convert(struct engine *e, int from, const char *name, char *out)
{
	char	 back[NAME_MAX_LEN];

	if (map_carry(e, from, name, out) == -1 ||
	    map_carry(e, OTHER(from), out, back) == -1)
		return -1;
	return strcmp(back, name) == 0 ? 0 : -1;
}

int
map_remote(struct engine *e, const char *neutral, char *out)
{
	return map_convert(e, LOCAL, neutral, out);
}

int
map_neutral(struct engine *e, const char *remote, char *out)
{
	return map_convert(e, REMOTE, remote, out);
}

int
map_same(struct engine *e, const char *neutral)
{
	char	 name[NAME_MAX_LEN];

	return map_remote(e, neutral, name) == 0 && strcmp(name, neutral) == 0;
}

void
map_stored(struct engine *e, const char *neutral, const char **remote,
    uint32_t *use)
{
	static char	 name[NAME_MAX_LEN];
	struct mapping	*m = map_find(e, LOCAL, neutral);

	if (map_remote(e, neutral, name) == -1 || strcmp(name, neutral) == 0)
		name[0] = '\0';
	*remote = name;
	*use = m != NULL && map_fits(e, m, LOCAL, neutral) == strlen(neutral) ?
	    m->use : 0;
}

const char *
map_there(struct engine *e, const char *neutral)
{
	static char	 name[NAME_MAX_LEN];

	if (map_remote(e, neutral, name) == -1 || strcmp(name, neutral) == 0)
		return NULL;
	return name;
}

int
map_above(struct engine *e, const char *neutral)
{
	char	 name[SIDES][NAME_MAX_LEN], other[NAME_MAX_LEN];
	size_t	 i, len;
	int	 side;

	strlcpy(name[LOCAL], neutral, NAME_MAX_LEN);
	if (map_carry(e, LOCAL, neutral, name[REMOTE]) == -1)
		return 0;
	for (i = 0; i < e->map.n; i++)
		for (side = 0; side < SIDES; side++) {
			map_text(e, &e->map.v[i], side, other);
			len = strlen(name[side]);
			if (strncmp(other, name[side], len) == 0 &&
			    other[len] == NAME_SEP)
				return 1;
		}
	return 0;
}

int
map_is(struct engine *e, const char *neutral)
{
	struct mapping	*m = map_find(e, LOCAL, neutral);

	return m != NULL && map_fits(e, m, LOCAL, neutral) == strlen(neutral);
}

void
map_add(struct engine *e, uint32_t use, const char *local, const char *remote)
{
	struct mapping	*m;

	e->map.v = xreallocarray(e->map.v, e->map.n + 1, sizeof(*m));
	m = &e->map.v[e->map.n++];
	memset(m, 0, sizeof(*m));
	m->use = use;
	m->text[LOCAL] = xstrdup(local);
	m->text[REMOTE] = xstrdup(remote);
}

int
map_near(struct engine *e, int side, const char *name)
{
	char	 other[NAME_MAX_LEN];
	size_t	 i, len = strlen(name);

	if (map_find(e, side, name) != NULL)
		return 1;
	for (i = 0; i < e->map.n; i++) {
		map_text(e, &e->map.v[i], side, other);
		if (strncmp(other, name, len) == 0 && other[len] == NAME_SEP)
			return 1;
	}
	return 0;
}

struct mapping *
map_of_use(struct engine *e, uint32_t use)
{
	size_t	 i;

	for (i = 0; i < e->map.n; i++)
		if (e->map.v[i].use == use)
			return &e->map.v[i];
	return NULL;
}

/* ---- before a LIST ---- */

void
map_load(struct engine *e)
{
	struct wanted	*w = &e->want;
	size_t		 i;

	if (w->nmaps[LOCAL] != w->nmaps[REMOTE])
		fatalx("a pair of mailbox-map has one name");
	for (i = 0; i < w->nmaps[LOCAL] && !e->map.loaded; i++)
		map_add(e, 0, w->maps[LOCAL][i], w->maps[REMOTE][i]);
	e->map.loaded = 1;
}

void
map_begin(struct engine *e)
{
	size_t	 i;
	int	 side;

	for (side = 0; side < SIDES; side++)
		e->map.delim[side] = map_delim(e, side);
	for (i = 0; i < e->map.n; i++) {
		free(e->map.v[i].shadow);
		e->map.v[i].shadow = NULL;
		e->map.v[i].nshadows = 0;
		e->map.v[i].away = 0;
	}
}

void
map_remember(struct engine *e, const struct m_engine_mbox *m)
{
	if (m->use == 0 || !e->want.cfg.map_special || m->remote[0] == '\0' ||
	    map_of_use(e, m->use) != NULL || map_near(e, LOCAL, m->name) ||
	    map_near(e, REMOTE, m->remote))
		return;
	map_add(e, m->use, m->name, m->remote);
}

void
map_shadowed(struct engine *e, const char *remote)
{
	struct mapping	*m = map_find(e, LOCAL, remote);

	if (m == NULL || m->nshadows++ > 0)
		return;
	m->shadow = xstrdup(remote);
}
