/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */

/*
 * Renames that are followed on the other side: RENAME, subscriptions, the
 * state.  All that was found is judged before anything is sent; what can't be
 * followed is held: neither it nor its new name is touched in this run.  The
 * state follows the servers, so that a run that dies in between leaves what the
 * next one finds done.
 */
#include <stdio.h>

#include "engine.h"
#include "rename.h"

/* 1 if name is "top" or below it. */
static int
below(const char *name, const char *top)
{
	size_t	 len = strlen(top);

	return strncmp(name, top, len) == 0 &&
	    (name[len] == '\0' || name[len] == NAME_SEP);
}

/* "name", which is "old" or below it, once that is "new"; allocated. */
static char *
carried(const char *name, const char *old, const char *new)
{
	char	*s;

	if (asprintf(&s, "%s%s", new, name + strlen(old)) == -1)
		fatal("asprintf");
	return s;
}

/* Names that are exchanged need a third one, which tells whose it is. */
static void
temp_name(const struct mbox *mb, char *name, size_t size)
{
	snprintf(name, size, "imapsync-rename-%u", mb->id);
}

static int
is_temp(const struct mbox *at, const struct mbox *mb)
{
	char	 name[64];

	temp_name(mb, name, sizeof(name));
	return strcmp(at->name, name) == 0;
}

/* ---- what is held ---- */

/* Said to nobody: what is said of that one is for both. */
static const char	 above_stopped[] = "the mailbox above it is left alone";

static void
hold(struct move *m)
{
	int	 side;

	m->kind = MOVE_HELD;
	m->mb->stopped = m->mb->skip = 1;
	for (side = 0; side < SIDES; side++)
		if (m->s[side].at != NULL)
			m->s[side].at->skip = 1;
}

/* The one above it that would take it along, if both are of that kind. */
static struct move *
above(struct moves *moves, const struct move *m, enum move_kind kind)
{
	char		 up[NAME_MAX_LEN], *p, *s;
	struct move	*t;
	int		 same;

	strlcpy(up, m->mb->name, sizeof(up));
	while ((p = strrchr(up, NAME_SEP)) != NULL) {
		*p = '\0';
		t = moves_get(moves, up);
		if (t == NULL || t->kind != kind || t->target != m->target ||
		    t->to == NULL || m->to == NULL)
			continue;
		s = carried(m->mb->name, t->mb->name, t->to->name);
		same = strcmp(s, m->to->name) == 0;
		free(s);
		if (same)
			return t;
	}
	return NULL;
}

static void
hold_likely(struct engine *e, struct moves *moves, struct move *m)
{
	char	 old[NAME_TEXT_MAX * 4 + 3];
	int	 told = OTHER(m->target);

	hold(m);
	/* The command takes the children along. */
	if (above(moves, m, MOVE_HELD) != NULL) {
		ledger_stopped(e, m->mb->name, above_stopped);
		return;
	}
	strlcpy(old, which_quote(e, m->mb->name), sizeof(old));
	progress_stop(e, m->mb, "it is gone on the %s server, which has %s "
	    "with the same UIDVALIDITY and %s: if it was renamed there, run "
	    "with --rename --target=%s,database %s %s to rename it on the %s "
	    "server, too, or set rename-mailbox = follow; if it was not, run "
	    "with --delete --target=database %s to forget it; until then "
	    "neither of the two is synchronised", side_name[told],
	    name_show(e, m->to->name), m->asked > 0 ? "the same messages" :
	    "nothing in it", side_name[m->target], old,
	    which_quote(e, m->to->name), side_name[m->target], old);
}

static void
hold_two(struct engine *e, struct move *m)
{
	hold(m);
	progress_stop(e, m->mb, "it was renamed to %s on the local server and "
	    "to %s on the remote server: rename one of them, so that both have "
	    "one name; until then none of them is synchronised",
	    name_show(e, m->s[LOCAL].at->name),
	    name_show(e, m->s[REMOTE].at->name));
}

static void
hold_why(struct engine *e, struct move *m, const char *why)
{
	hold(m);
	progress_stop(e, m->mb, "it was renamed to %s on the %s server, and is "
	    "not renamed on the %s server: %s; until then neither of the two "
	    "is synchronised", name_show(e, m->to->name),
	    side_name[OTHER(m->target)], side_name[m->target], why);
}

/* ---- what is to become of each ---- */

/* Which side is to follow, and to which name: 0, or -1 if it is another's. */
static int
judge_target(struct move *m)
{
	struct mbox	*a = m->s[LOCAL].at, *b = m->s[REMOTE].at;

	if (a == b) {
		m->to = a;
		m->kind = MOVE_STATE;
		return 0;
	}
	/* A run that exchanged names was cut short. */
	if (a == m->mb || is_temp(a, m->mb))
		m->target = LOCAL;
	else if (b == m->mb || is_temp(b, m->mb))
		m->target = REMOTE;
	else
		return -1;
	if (is_temp(m->s[OTHER(m->target)].at, m->mb))
		m->target = OTHER(m->target);
	m->to = m->s[OTHER(m->target)].at;
	m->kind = MOVE_FOLLOW;
	return 0;
}

static void
judge(struct engine *e, struct moves *moves, struct move *m)
{
	char	 name[NAME_MAX_LEN];
	int	 proved;

	if (m->s[LOCAL].at == NULL || m->s[REMOTE].at == NULL ||
	    (m->s[LOCAL].at == m->mb && m->s[REMOTE].at == m->mb))
		return;
	if (judge_target(m) == -1) {
		hold_two(e, m);
		return;
	}
	if (m->kind == MOVE_STATE)
		return;
	if (map_is(e, m->mb->name) || map_above(e, m->mb->name) ||
	    map_above(e, m->to->name)) {
		hold_why(e, m, map_is(e, m->mb->name) ? "mailbox-map (or "
		    "map-special-use) has it by its old name, so rename it "
		    "back, or name the new pair in mailbox-map" : "mailbox-map "
		    "(or map-special-use) names a mailbox below it, so rename "
		    "it back, or rename it on both and change mailbox-map");
		return;
	}
	proved = m->s[OTHER(m->target)].byid ||
	    is_temp(m->s[m->target].at, m->mb);
	if (!rules_allow(e, m->target, PROP_NEW))
		m->kind = MOVE_NONE;
	else if (name_server(e, m->target, m->to->name, name) == -1)
		hold_why(e, m, "that server can't have this name, so choose "
		    "another one");
	else if (strcasecmp(name, "INBOX") == 0)
		hold_why(e, m, "there it would be the INBOX, so choose another "
		    "name");
	else if (!proved && e->want.cfg.rename_rule != RENAME_FOLLOW)
		hold_likely(e, moves, m);
}

/* ---- what is in the way ---- */

/* That side has a mailbox of the new name, which is not renamed itself. */
static int
is_taken(const struct moves *moves, const struct move *m)
{
	const struct side_told	*t = &m->to->s[m->target].told;
	const struct move	*other = moves_get(moves, m->to->name);

	if (m->kind != MOVE_FOLLOW || m->to == m->mb || t->name == NULL ||
	    (t->attrs & ATTR_NONEXISTENT))
		return 0;
	return other == NULL || other->kind != MOVE_FOLLOW ||
	    other->target != m->target;
}

static int
is_known(const struct moves *moves, const struct move *m)
{
	const struct move	*other = moves_get(moves, m->to->name);

	if (m->to->id == 0 || m->to == m->mb)
		return 0;
	return other == NULL || (other->kind != MOVE_FOLLOW &&
	    other->kind != MOVE_STATE);
}

/*
 * What is below it goes along: 1 if something must not.  What the other side
 * has no more gets its new name in the state only, and is told of under that.
 */
static int
has_stayed(const struct moves *moves, const struct move *m)
{
	struct mbox	*mb;
	struct move	*c;
	int		 told = OTHER(m->target);

	for (mb = RB_NEXT(mboxes, NULL, m->mb); mb != NULL &&
	    below(mb->name, m->mb->name); mb = RB_NEXT(mboxes, NULL, mb)) {
		if (mb->id == 0)
			continue;
		c = moves_get(moves, mb->name);
		if (c == NULL || c->kind == MOVE_HELD ||
		    (c->kind == MOVE_NONE && mbox_present(mb, told)))
			return 1;
	}
	return 0;
}

static int
in_the_way(struct engine *e, struct moves *moves, struct move *m)
{
	if (m->kind == MOVE_FOLLOW && above(moves, m, MOVE_HELD) != NULL)
		hold(m);
	else if (m->kind == MOVE_FOLLOW && is_taken(moves, m))
		hold_why(e, m, "there is another mailbox of that name, so "
		    "choose another one, or rename that");
	else if ((m->kind == MOVE_FOLLOW || m->kind == MOVE_STATE) &&
	    is_known(moves, m))
		hold_why(e, m, "the state knows another mailbox by that name, "
		    "so choose another one");
	else if (m->kind == MOVE_FOLLOW && m->s[m->target].at == m->mb &&
	    has_stayed(moves, m))
		hold_why(e, m, "mailboxes below it were not renamed with it");
	else
		return 0;
	return 1;
}

/* Until nothing is in the way of what is left. */
static void
judge_all(struct engine *e, struct moves *moves)
{
	size_t	 i;
	int	 again = 1;

	while (again) {
		again = 0;
		for (i = 0; i < moves->n; i++)
			again |= in_the_way(e, moves, &moves->v[i]);
	}
}

/* Those below a mailbox that goes, which the other side has no more. */
static void
take_along(struct engine *e, struct moves *moves)
{
	char		 up[NAME_MAX_LEN], *p;
	struct move	*m, *t;
	struct mbox	*mb;
	size_t		 i;

	for (i = 0; i < moves->n; i++) {
		m = &moves->v[i];
		if (m->kind != MOVE_NONE)
			continue;
		strlcpy(up, m->mb->name, sizeof(up));
		while ((p = strrchr(up, NAME_SEP)) != NULL) {
			*p = '\0';
			t = moves_get(moves, up);
			if (t == NULL || t->kind != MOVE_FOLLOW ||
			    t->s[t->target].at != t->mb ||
			    m->s[t->target].at != m->mb)
				continue;
			m->name = carried(m->mb->name, t->mb->name,
			    t->to->name);
			mb = mbox_find(&e->list, m->name);
			if (mb != NULL && mb->id != 0)
				break;
			m->kind = MOVE_ALONG;
			m->under = t;
			break;
		}
	}
}

/*
 * What a dead run has sent to it may still be under way to the old name, so
 * that one has to stand still first.
 */
static int
wait_marks(struct engine *e, struct moves *moves)
{
	struct move		*m;
	struct side_told	*t;
	size_t			 i;
	int			 side;

	for (i = 0; i < moves->n; i++) {
		m = &moves->v[i];
		if (m->kind != MOVE_FOLLOW && m->kind != MOVE_STATE)
			continue;
		recover_hold(m->mb);
		for (side = 0; side < SIDES && m->mb->later; side++) {
			t = &m->mb->s[side].told;
			if (m->s[side].at == m->mb)
				continue;
			free(t->name);
			t->name = xstrdup(m->s[side].at->s[side].told.name);
		}
	}
	if (recover_wait(e) == -1)
		return -1;
	for (i = 0; i < moves->n; i++)
		if (moves->v[i].mb->later)
			hold(&moves->v[i]);
	return 0;
}

/* ---- RENAME ---- */

static struct moves	*under_way;

/* The server's words; what goes along with it has none of its own. */
static void
rename_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct move	*mv = moves_get(under_way, r->mb->name);

	if (m->status == ST_OK)
		return;
	mv->failed = 1;
	if (!r->mb->stopped)
		progress_stop(e, r->mb, "it was renamed to %s on the %s server, "
		    "and the %s server does not rename it: %s",
		    name_show(e, mv->name), side_name[OTHER(mv->target)],
		    side_name[mv->target], m->text);
}

static void
status_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	moves_get(under_way, r->mb->name)->there = m->status == ST_OK;
}

/* What was renamed has taken along what is below it. */
static void
rename_send(struct engine *e, struct move *m, const char *new)
{
	static const struct answers	 to = { .done = rename_done };
	char				 from[NAME_MAX_LEN], name[NAME_MAX_LEN];
	char				*old = xstrdup(m->now), *s;
	struct move			*c;
	size_t				 i;

	if (name_server(e, m->target, old, from) == -1 ||
	    name_server(e, m->target, new, name) == -1)
		fatalx("a name that was judged can't be");
	ask_name(e, m->mb, m->target, NAME_RENAME, from, name, &to);
	m->sent = 1;
	for (i = 0; i < under_way->n; i++) {
		c = &under_way->v[i];
		if (c->kind != MOVE_FOLLOW || c->target != m->target ||
		    !below(c->now, old))
			continue;
		s = carried(c->now, old, new);
		free(c->now);
		c->now = s;
		if (c != m)
			c->under = m;
	}
	free(old);
}

static int
is_pending(const struct move *m, int side)
{
	return m->kind == MOVE_FOLLOW && m->target == side &&
	    strcmp(m->now, m->name) != 0;
}

/* Another one that is to be renamed has that name so far. */
static int
is_occupied(const char *name, int side)
{
	size_t	 i;

	for (i = 0; i < under_way->n; i++)
		if (is_pending(&under_way->v[i], side) &&
		    strcmp(under_way->v[i].now, name) == 0)
			return 1;
	return 0;
}

/* More steps than there are mailboxes to move: they would never end. */
static void
give_up(struct engine *e, int side)
{
	struct move	*m;
	size_t		 i;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (!is_pending(m, side))
			continue;
		m->failed = 1;
		progress_stop(e, m->mb, "it was renamed to %s on the %s server, "
		    "among others that took each other's names: rename it on "
		    "the %s server as well", name_show(e, m->name),
		    side_name[OTHER(side)], side_name[side]);
	}
}

/*
 * All of a side in one packet, parents ahead of what is below them, and what
 * leaves a name ahead of what takes it; where they go round in a ring one steps
 * aside.
 */
static void
rename_side(struct engine *e, int side)
{
	char		 temp[64];
	struct move	*m, *stuck;
	size_t		 i, left = 4 * under_way->n;
	int		 any;

	for (i = 0; i < under_way->n; i++)
		if (is_pending(&under_way->v[i], side))
			break;
	if (i < under_way->n)
		look_away(e, side);
	do {
		any = 0;
		stuck = NULL;
		for (i = 0; i < under_way->n; i++) {
			m = &under_way->v[i];
			if (!is_pending(m, side))
				continue;
			if (is_occupied(m->name, side)) {
				stuck = stuck != NULL ? stuck : m;
				continue;
			}
			rename_send(e, m, m->name);
			any = 1;
			left -= left > 0;
		}
		if (!any && stuck != NULL) {
			temp_name(stuck->mb, temp, sizeof(temp));
			rename_send(e, stuck, temp);
			any = 1;
			left -= left > 0;
		}
	} while (any && left > 0);
	give_up(e, side);
}

/* Is what is below it there? */
static void
along_ask(struct engine *e)
{
	static const struct answers	 to = { .done = status_done };
	char				 name[NAME_MAX_LEN];
	struct side_told		*t;
	struct move			*m;
	size_t				 i;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (m->kind != MOVE_FOLLOW || m->sent)
			continue;
		t = &m->mb->s[m->target].told;
		if (name_server(e, m->target, m->name, name) == -1)
			continue;
		/* All is listed anew before it is used again. */
		free(t->name);
		t->name = xstrdup(name);
		ask_status(e, m->mb, m->target, &to);
	}
}

/* A server that has not taken along what is below a mailbox. */
static void
along_rename(struct engine *e)
{
	struct move	*m;
	size_t		 i;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (m->kind != MOVE_FOLLOW || m->sent || m->there)
			continue;
		if (m->under != NULL && m->under->failed) {
			m->failed = m->mb->stopped = 1;
			ledger_stopped(e, m->mb->name, above_stopped);
			continue;
		}
		free(m->now);
		m->now = xstrdup(m->s[m->target].at->name);
		rename_send(e, m, m->name);
	}
}

static int
rename_servers(struct engine *e)
{
	struct move	*m;
	size_t		 i;
	int		 side;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (m->to != NULL)
			m->name = xstrdup(m->to->name);
		if (m->kind == MOVE_FOLLOW)
			m->now = xstrdup(m->s[m->target].at->name);
	}
	for (side = 0; side < SIDES; side++)
		rename_side(e, side);
	along_ask(e);
	if (loop_wait(e, -1) == -1)
		return -1;
	along_rename(e);
	return loop_wait(e, -1);
}

/* ---- the state ---- */

/* It is done, on both servers. */
static int
is_done(const struct move *m)
{
	if (m->kind == MOVE_ALONG && m->under->failed)
		return 0;
	return !m->failed && (m->kind == MOVE_FOLLOW ||
	    m->kind == MOVE_STATE || m->kind == MOVE_ALONG);
}

/* The one that has the new name in the state so far, or NULL. */
static struct move *
before(const struct move *m)
{
	struct move	*other = moves_get(under_way, m->name);

	return other == m ? NULL : other;
}

/* A name that is not given up is not taken. */
static void
drop_blocked(void)
{
	struct move	*m;
	size_t		 i;
	int		 again;

	do {
		again = 0;
		for (i = 0; i < under_way->n; i++) {
			m = &under_way->v[i];
			if (!is_done(m) || before(m) == NULL ||
			    is_done(before(m)))
				continue;
			m->failed = m->mb->stopped = again = 1;
		}
	} while (again);
}

static void
state_rename(struct engine *e, const struct mbox *mb, const char *name)
{
	struct m_store_rename	 m;
	uint32_t		 use;

	m.mailbox = mb->id;
	m.name = name;
	map_stored(e, name, &m.remote, &use);
	ask_note(e, M_STORE_RENAME, &m);
}

/* In one transaction; what has a name that another one takes steps aside. */
static int
rename_state(struct engine *e)
{
	char		 temp[64];
	struct move	*m, *other;
	size_t		 i;

	drop_blocked();
	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (!is_done(m) || (other = before(m)) == NULL)
			continue;
		temp_name(other->mb, temp, sizeof(temp));
		state_rename(e, other->mb, temp);
	}
	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (!is_done(m))
			continue;
		if (strcmp(m->name, m->mb->name) != 0)
			state_rename(e, m->mb, m->name);
		if (m->kind == MOVE_FOLLOW || m->kind == MOVE_STATE)
			ledger_renamed(e, m->kind == MOVE_FOLLOW ? m->target :
			    -1, m->mb->name, m->name);
		if (m->kind == MOVE_FOLLOW)
			log_info("%s: renamed to %s on %s",
			    name_show(e, m->mb->name), name_show(e, m->name),
			    side_name[m->target]);
		else if (m->kind == MOVE_STATE)
			log_info("%s: renamed to %s on both servers",
			    name_show(e, m->mb->name), name_show(e, m->name));
	}
	return loop_commit(e);
}

/* ---- subscriptions ---- */

/* The old name is nobody's there. */
static int
is_left(const struct move *m, int side)
{
	const struct move	*other;
	size_t			 i;

	if (m->s[side].at != m->mb && mbox_present(m->mb, side))
		return 0;
	for (i = 0; i < under_way->n; i++) {
		other = &under_way->v[i];
		if (is_done(other) && strcmp(other->name, m->mb->name) == 0)
			return 0;
	}
	return 1;
}

/*
 * Servers go on to subscribe to the name.  Where it was renamed the new one may
 * be subscribed to already; only what was subscribed to is.
 */
static void
resubscribe(struct engine *e, const struct move *m, int side)
{
	char	 old[NAME_MAX_LEN], new[NAME_MAX_LEN];
	int	 had;

	if (m->kind == MOVE_FOLLOW && side == m->target)
		had = m->s[side].at->s[side].told.attrs & ATTR_SUBSCRIBED;
	else
		had = m->mb->subscribed == SUB_YES &&
		    !(m->to->s[side].told.attrs & ATTR_SUBSCRIBED);
	if (!had || !rules_allow(e, side, PROP_FLAGS) ||
	    name_server(e, side, m->mb->name, old) == -1 ||
	    name_server(e, side, m->name, new) == -1)
		return;
	/* As far as the server takes it: nothing depends on it. */
	ask_name(e, m->mb, side, NAME_SUBSCRIBE, new, "", NULL);
	if (is_left(m, side))
		ask_name(e, m->mb, side, NAME_UNSUBSCRIBE, old, "", NULL);
}

static void
resubscribe_all(struct engine *e)
{
	struct move	*m;
	size_t		 i;
	int		 side;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		for (side = 0; side < SIDES; side++)
			if (is_done(m) && m->kind != MOVE_ALONG)
				resubscribe(e, m, side);
	}
}

/* ---- afterwards ---- */

/* A name that is not touched in this run, also when all is listed anew. */
struct held {
	char	*name;
	int	 stopped;
};

static void
held_add(struct held *h, size_t *n, const struct mbox *mb, int stopped)
{
	if (mb == NULL)
		return;
	h[*n].name = xstrdup(mb->name);
	h[(*n)++].stopped = stopped;
}

/* What the servers and the state have now.  Nothing of before is kept. */
static int
list_anew(struct engine *e)
{
	struct held	*held = xcalloc(under_way->n, 3 * sizeof(*held));
	struct mbox	*mb;
	struct move	*m;
	size_t		 i, n = 0;
	int		 r;

	for (i = 0; i < under_way->n; i++) {
		m = &under_way->v[i];
		if (m->kind != MOVE_HELD && !m->failed)
			continue;
		held_add(held, &n, m->mb, 1);
		held_add(held, &n, m->s[LOCAL].at != m->mb ?
		    m->s[LOCAL].at : NULL, 0);
		held_add(held, &n, m->s[REMOTE].at != m->mb ?
		    m->s[REMOTE].at : NULL, 0);
	}
	moves_free(under_way);
	ask_reset(e);
	mbox_reset(&e->list);
	memset(&e->due, 0, sizeof(e->due));
	r = list_run(e);
	for (i = 0; i < n; i++) {
		if (r == 0 &&
		    (mb = mbox_find(&e->list, held[i].name)) != NULL) {
			mb->skip = 1;
			mb->stopped |= held[i].stopped;
		}
		free(held[i].name);
	}
	free(held);
	return r;
}

/* A dry run: what would be done. */
static void
follow_dry(struct engine *e, struct moves *moves)
{
	struct move	*m;
	size_t		 i;

	for (i = 0; i < moves->n; i++) {
		m = &moves->v[i];
		if (m->kind != MOVE_FOLLOW && m->kind != MOVE_STATE)
			continue;
		report_line(e, m->mb, "to rename to %s %s",
		    name_show(e, m->to->name), m->kind == MOVE_STATE ?
		    "in the database" : m->target == LOCAL ? "on local" :
		    "on remote");
		m->mb->skip = m->to->skip = 1;
	}
}

static int
follow(struct engine *e, struct moves *moves)
{
	size_t	 i;
	int	 any = 0;

	for (i = 0; i < moves->n; i++)
		any |= moves->v[i].kind == MOVE_FOLLOW ||
		    moves->v[i].kind == MOVE_STATE;
	if (!any)
		return 0;
	if (e->want.cfg.dryrun) {
		follow_dry(e, moves);
		return 0;
	}
	under_way = moves;
	take_along(e, moves);
	if (rename_servers(e) == -1 || rename_state(e) == -1)
		return -1;
	resubscribe_all(e);
	return loop_wait(e, -1) == -1 ? -1 : list_anew(e);
}

int
rename_run(struct engine *e)
{
	struct moves	 moves;
	size_t		 i;
	int		 r;

	if (e->want.cfg.rename_rule == RENAME_NEVER)
		return 0;
	r = rename_find(e, &moves);
	for (i = 0; i < moves.n && r == 0; i++)
		judge(e, &moves, &moves.v[i]);
	if (r == 0 && moves.n > 0 && !e->want.cfg.dryrun)
		r = wait_marks(e, &moves);
	if (r == 0) {
		judge_all(e, &moves);
		r = follow(e, &moves);
	}
	moves_free(&moves);
	return r;
}
