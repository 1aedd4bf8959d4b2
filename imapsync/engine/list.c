/*
 * This file is part of imapsync, which keeps two IMAP servers identical.
 *
 * imapsync is free software: you can redistribute it and/or modify it under
 * the terms of the GNU General Public License, version 3 or (at your option)
 * any later version, with permission to link with LibreSSL and OpenSSL.
 * It comes WITHOUT ANY WARRANTY.  See COPYING.
 */
/*
 * Step 2 of a run, first half: what the state knows, and one LIST a side.
 */
#include <regex.h>

#include "engine.h"

/* ---- the state ---- */

static void
got_server(struct engine *e, struct req *r, const struct m_engine_server *m)
{
	(void)r;
	e->srv[m->side].last = *m;
}

static void
got_mbox(struct engine *e, struct req *r, const struct m_engine_mbox *m)
{
	struct mbox	*mb;
	int		 side;

	(void)r;
	if (mbox_find(&e->list, m->name) != NULL)
		fatalx("the store sent a mailbox twice");
	mb = mbox_new(&e->list, m->name);
	if (mbox_set_id(&e->list, mb, m->mailbox) == -1)
		fatalx("the store sent mailboxes out of order");
	mb->remote = text_keep(m->remote);
	map_remember(e, m);
	mb->adopt = m->adopt;
	mb->subscribed = m->subscribed;
	mb->nrows = m->rows;
	e->list.total_rows += m->rows;
	e->list.had_rows |= m->rows > 0;
	mb->strikes.count = m->lost;
	mb->strikes.side = m->lost_side;
	mb->strikes.uid = m->lost_uid;
	mb->strikes.next = m->lost_next;
	for (side = 0; side < SIDES; side++) {
		struct water		*w = &mb->s[side].known.water;
		const struct m_water	*mw = &m->water[side];

		w->uidvalidity = mw->uidvalidity;
		w->uidnext = mw->uidnext != 0 ? mw->uidnext : 1;
		w->messages = mw->messages;
		w->modseq = mw->modseq;
		w->mailboxid = text_keep(mw->mailboxid);
		w->looked = mw->looked;
		w->unseen = mw->unseen;
		mb->s[side].known.n = w->uidnext - 1;
	}
}

static void
got_mark(struct engine *e, struct req *r, const struct m_engine_mark *m)
{
	struct mbox	*mb;
	struct mark	*k;

	(void)r;
	if ((mb = mbox_by_id(&e->list, m->mailbox)) == NULL)
		fatalx("the store sent a mark of a mailbox that it has not");
	mbox_marks(mb);
	k = &mb->mark[m->target];
	if (m->first) {
		k->set = 1;
		k->tries = m->tries;
		k->uidnext = m->uidnext;
		k->time = m->time;
	}
	uidset_or(&k->uids, &m->set);
}

static void
got_refusal(struct engine *e, struct req *r, const struct m_engine_refusal *m)
{
	struct refusal	*f;
	struct mbox	*mb;

	(void)r;
	if ((mb = mbox_by_id(&e->list, m->mailbox)) == NULL)
		fatalx("the store sent a refusal of a mailbox that it has not");
	if (refusal_find(&mb->s[m->side], m->uid) != NULL)
		fatalx("the store sent a refusal twice");
	f = refusal_new(&mb->s[m->side], m->uid);
	f->code = m->code;
	f->attempts = m->attempts;
	f->size = m->size;
	f->limit = m->limit;
	f->next = m->next;
	free(f->text);
	f->text = xstrdup(m->text);
	mb->s[m->side].known.nrefused++;
}

static void
got_stopped(struct engine *e, struct req *r, const struct m_engine_stopped *m)
{
	(void)r;
	ledger_load(e, m);
}

static void
load_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)r;
	e->synced = m->time;
	e->deleted = m->count;
	e->holder = m->exists;
}

static const struct answers	 load_answers = {
	.server = got_server, .mbox = got_mbox, .mark = got_mark,
	.refusal = got_refusal, .stopped = got_stopped, .done = load_done
};

/* ---- the servers ---- */

static void
told_status(struct side_told *t, const struct m_engine_mailbox *m)
{
	t->has_status = m->has_status;
	t->uidvalidity = m->uidvalidity;
	t->uidnext = m->uidnext;
	t->messages = m->messages;
	t->modseq = m->modseq;
	t->unseen = m->unseen;
}

static void
got_name(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	char			 neutral[NAME_MAX_LEN], theirs[NAME_MAX_LEN];
	struct server		*srv = &e->srv[r->side];
	struct side_told	*t;
	struct mbox		*mb;

	if (m->delimiter != 0 && srv->delim == '\0')
		srv->delim = m->delimiter;
	if (m->name[0] == '\0') {
		/* The answer to LIST "" "", or a name that can't be used. */
		return;
	}
	if (name_neutral(e, r->side, m->name, neutral) == -1) {
		/* What holds nothing is in nobody's way. */
		if (r->side == REMOTE && !(m->attrs & ATTR_NOSELECT) &&
		    name_below(e, r->side, m->name, theirs) == 0)
			map_shadowed(e, theirs);
		return;
	}
	if ((mb = mbox_find(&e->list, neutral)) == NULL) {
		if (e->list.n >= NAMES_MAX || e->list.octets > NAMES_OCTETS)
			fatalx("%s: more mailboxes than can be handled (%u, "
			    "with %zu octets of names)", side_name[r->side],
			    e->list.n, e->list.octets);
		mb = mbox_new(&e->list, neutral);
	}
	t = &mb->s[r->side].told;
	e->ask.stale = t->name != NULL;
	if (t->name != NULL && strcmp(t->name, m->name) != 0) {
		t->twice = 1;
		return;
	}
	free(t->name);
	t->name = xstrdup(m->name);
	t->attrs = m->attrs;
	told_status(t, m);
}

static void
list_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	if (m->status != ST_OK)
		fatalx("%s: the server can't list its mailboxes: %s",
		    side_name[r->side], m->text);
}

static const struct answers	 list_answers = {
	.mailbox = got_name, .done = list_done
};

/* LIST "reference" "" tells the delimiter where a list may be empty. */
static void
got_delim(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	struct server	*srv = &e->srv[r->side];

	if (m->delimiter != 0 && srv->delim == '\0')
		srv->delim = m->delimiter;
}

/* A name with wildcards was asked for: of what matches only that one counts. */
static void
got_exact(struct engine *e, struct req *r, const struct m_engine_mailbox *m)
{
	char		 neutral[NAME_MAX_LEN], name[NAME_MAX_LEN];
	struct mbox	*mb;

	if (name_neutral(e, r->side, m->name, neutral) == 0 &&
	    (mb = mbox_find(&e->list, neutral)) != NULL && !mb->skip &&
	    name_server(e, r->side, neutral, name) == 0 &&
	    strcmp(name, m->name) == 0)
		got_name(e, r, m);
}

/* ---- STATUS where LIST does not tell it ---- */

/* Names, in a side's spelling. */
struct namelist {
	char		**v;
	size_t		  n;
};

static void
namelist_free(struct namelist *l)
{
	while (l->n > 0)
		free(l->v[--l->n]);
	free(l->v);
	l->v = NULL;
}

/*
 * Those that LIST "" "INBOX" will tell, or the other one, and the state has from
 * that server.
 */
static void
list_known(struct engine *e, int side, int inbox, struct namelist *l)
{
	const struct server	*srv = &e->srv[side];
	const struct wanted	*w = &e->want;
	char			 name[NAME_MAX_LEN];
	struct mbox		*mb;
	size_t			 i;

	memset(l, 0, sizeof(*l));
	if (srv->is_ready ? (srv->ready.caps & CAP_LIST_STATUS) != 0 :
	    !srv->last.ask)
		return;
	FOREACH_MBOX(mb, &e->list) {
		if (mb->s[side].known.water.uidvalidity == 0 || inbox !=
		    (name_inbox_reference(e, side) &&
		    strcmp(mb->name, "INBOX") == 0))
			continue;
		for (i = 0; i < w->npatterns; i++)
			if (name_match(w->patterns[i], mb->name))
				break;
		if (i == w->npatterns ||
		    name_guess(e, side, mb->name, name) == -1)
			continue;
		if (l->n % 256 == 0)
			l->v = xreallocarray(l->v, l->n + 256, sizeof(*l->v));
		l->v[l->n++] = xstrdup(name);
	}
}

/* For the packet of the next run's LOGIN. */
static void
list_note(struct engine *e)
{
	struct m_store_server	 m;
	struct server		*srv;
	int			 side;

	for (side = 0; side < SIDES && e->want.cfg.command != CMD_CHECK;
	    side++) {
		srv = &e->srv[side];
		m.side = side;
		m.delimiter = srv->delim != '\0' ? srv->delim :
		    srv->last.delimiter;
		m.ask = !(srv->ready.caps & CAP_LIST_STATUS);
		if (m.delimiter == srv->last.delimiter &&
		    m.ask == srv->last.ask)
			continue;
		srv->last.delimiter = m.delimiter;
		srv->last.ask = m.ask;
		ask_note(e, M_STORE_SERVER, &m);
	}
}

/* ---- LIST ---- */

static void
list_send(struct engine *e, int side, const char *reference, int selectors,
    int last, char **patterns, size_t n, const struct namelist *known,
    const struct answers *to)
{
	static const struct namelist	 none;
	struct m_net_list		 m;

	memset(&m, 0, sizeof(m));
	m.selectors = selectors;
	m.last = last;
	/* About 100 octets a mailbox: from 8 KB on compression pays a turn. */
	m.compress_first = e->list.next_id > 80;
	m.reference = reference;
	if (known == NULL)
		known = &none;
	ask_list(e, side, &m, patterns, n, known->v, known->n, to);
}

/* The arguments say what to synchronise, and not what to delete or rename. */
static int
list_args(const struct engine *e)
{
	return e->want.nargs > 0 && e->want.cfg.command != CMD_DELETE &&
	    e->want.cfg.command != CMD_RENAME;
}

/* MAILBOX arguments take the place of the configuration's patterns. */
static void
args_to_patterns(struct engine *e)
{
	char		 name[NAME_MAX_LEN];
	struct wanted	*w = &e->want;
	size_t		 i;

	if (w->nargs == 0 || e->args_done || !list_args(e))
		return;
	e->args_done = 1;
	w->npatterns = w->nargs;
	w->patterns = xreallocarray(w->patterns, w->nargs, sizeof(char *));
	for (i = 0; i < w->nargs; i++) {
		name_arg(e, w->args[i], name);
		w->patterns[i] = xstrdup(name);
	}
	w->cfg.selectors = 0;
}

/* LIST may leave out what is there. */
static int
list_partly(const struct engine *e)
{
	return (list_args(e) && !e->args_done) || e->want.cfg.selectors != 0 ||
	    e->want.npatterns != 1 || strcmp(e->want.patterns[0], "*") != 0;
}

static void
list_first_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	if (e->want.cfg.command == CMD_CHECK) {
		e->srv[r->chan].list_failed |= m->status != ST_OK;
		return;
	}
	list_done(e, r, m);
}

static const struct answers	 first_answers = {
	.mailbox = got_name, .done = list_first_done
};
static const struct answers	 delim_answers = {
	.mailbox = got_delim, .done = list_first_done
};

static void
list_side(struct engine *e, int side)
{
	static char	 name[] = "INBOX";
	char		*inbox[1] = { name };
	struct wanted	*w = &e->want;
	struct namelist	 known;
	char		asks[2][NAME_MAX_LEN], **list;
	size_t		 i, k, n = 0, nasks;
	int		 extra = 0;

	if ((w->cfg.reference[side][0] != '\0' || e->filtered) &&
	    e->srv[side].delim == '\0')
		list_send(e, side, w->cfg.reference[side], 0, 0, NULL, 0,
		    NULL, &delim_answers);
	list = xcalloc(2 * (w->npatterns + e->map.n), sizeof(*list));
	for (i = 0; i < w->npatterns; i++) {
		nasks = which_asks(w->patterns[i], asks);
		for (k = 0; k < nasks; k++)
			list[n++] = name_pattern(e, side, asks[k]);
		if (name_match(w->patterns[i], "INBOX"))
			extra = name_inbox_reference(e, side);
	}
	if (side == REMOTE && e->filtered)
		n = settle_patterns(e, list, n);
	list_known(e, side, 0, &known);
	list_send(e, side, w->cfg.reference[side], w->cfg.selectors, !extra,
	    list, n, &known, &first_answers);
	namelist_free(&known);
	if (extra) {
		list_known(e, side, 1, &known);
		list_send(e, side, "", 0, 1, inbox, 1, &known, &first_answers);
		namelist_free(&known);
	}
	while (n-- > 0)
		free(list[n]);
	free(list);
}

static int
list_servers(struct engine *e)
{
	int	 early = list_args(e) && !e->args_done, side;
	size_t	 i;

	for (i = 0; i < e->want.npatterns && e->passes == 0; i++)
		if (strchr(e->want.patterns[i], NAME_SEP) != NULL)
			early = 1;
	if (early) {
		for (side = 0; side < SIDES; side++)
			list_send(e, side, e->want.cfg.reference[side], 0, 1,
			    NULL, 0, NULL, &list_answers);
		if (loop_wait(e, -1) == -1)
			return -1;
	}
	args_to_patterns(e);
	e->filtered = list_partly(e);
	map_begin(e);
	for (side = 0; side < SIDES; side++)
		list_side(e, side);
	if (loop_wait(e, -1) == -1)
		return -1;
	for (side = 0; side < SIDES; side++)
		if (!e->srv[side].is_ready)
			fatalx("the %s worker lists mailboxes of a server that "
			    "it has not logged in to", side_name[side]);
	return 0;
}

/* ---- all that there is ---- */

static void
names_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	(void)r;
	(void)m;
}

int
list_names(struct engine *e)
{
	static const struct answers	 to = {
		.mailbox = got_name, .done = names_done
	};
	static char			 all[] = "*";
	char				*list[1] = { all };
	int				 side;

	for (side = 0; side < SIDES; side++)
		list_send(e, side, e->want.cfg.reference[side], 0, 1, list, 1,
		    NULL, &to);
	return loop_wait(e, -1);
}

/* ---- filters ---- */

/*
 * A name with a blank, written without its quotes, is two patterns: "Items" then
 * matches nothing.
 */
static void
list_unmatched(struct engine *e)
{
	const struct wanted	*w = &e->want;
	const char		*near;
	size_t			 i;

	if (w->nargs > 0 || w->cfg.command == CMD_DELETE ||
	    w->cfg.command == CMD_RENAME || e->srv[LOCAL].list_failed ||
	    e->srv[REMOTE].list_failed)
		return;
	for (i = 0; i < w->npatterns; i++) {
		if (strcmp(w->patterns[i], "*") == 0 ||
		    which_found(e, w->patterns[i]))
			continue;
		near = which_near(e, w->patterns[i]);
		log_warnx("list-mailbox: no mailbox matches \"%s\"%s%s",
		    name_show(e, w->patterns[i]), near, near[0] == '\0' &&
		    w->npatterns > 1 ? " (a name with a blank in it stands in "
		    "double quotes)" : "");
	}
}

/* It matches the expression, as servers spell it or in UTF-8. */
static int
list_ignored(const regex_t *reg, const char *name)
{
	char	 text[NAME_TEXT_MAX];

	if (regexec(reg, name, 0, NULL, 0) == 0)
		return 1;
	name_text(name, text);
	return strcmp(text, name) != 0 && regexec(reg, text, 0, NULL, 0) == 0;
}

static void
list_ignore(struct engine *e)
{
	const char	*re = e->want.cfg.ignore;
	struct mbox	*mb;
	regex_t		 reg;
	int		 fl = REG_EXTENDED | REG_NOSUB;

	if (re[0] == '\0' || e->want.nargs > 0 || e->want.cfg.command == CMD_DELETE ||
	    e->want.cfg.command == CMD_RENAME)
		return;
	if (strncmp(re, "(?i)", 4) == 0) {
		fl |= REG_ICASE;
		re += 4;
	}
	if (regcomp(&reg, re, fl) != 0)
		fatalx("ignore-mailbox can't be compiled");
	FOREACH_MBOX(mb, &e->list)
		if (list_ignored(&reg, mb->name))
			mb->skip = 1;
	regfree(&reg);
}

int
list_virtual(const struct engine *e, const struct mbox *mb)
{
	size_t	 i;

	if (e->want.cfg.virtuals || mb->id != 0 ||
	    e->want.cfg.command == CMD_DELETE ||
	    e->want.cfg.command == CMD_RENAME)
		return 0;
	for (i = 0; i < e->want.npatterns; i++)
		if (strcmp(e->want.patterns[i], mb->name) == 0 ||
		    (strpbrk(e->want.patterns[i], "*%") == NULL &&
		    which_reads(e->want.patterns[i], mb->name)))
			return 0;
	return ((mb->s[LOCAL].told.attrs | mb->s[REMOTE].told.attrs) &
	    ATTR_VIRTUAL) != 0;
}

/* What is in them is in another mailbox, too, and would be there twice. */
static void
list_virtuals(struct engine *e)
{
	struct mbox	*mb;

	FOREACH_MBOX(mb, &e->list)
		if (list_virtual(e, mb))
			mb->skip = 1;
}

/*
 * What a filtered LIST leaves out is not missing: a mailbox that only one side
 * listed is asked for by name.
 */
static int
list_by_name(struct engine *e)
{
	static const struct answers	 exact = {
		.mailbox = got_exact, .done = list_done
	};
	char				 name[NAME_MAX_LEN], *list[1], *p;
	struct mbox			*mb;
	int				 side, asked = 0;

	if (!e->filtered)
		return 0;
	FOREACH_MBOX(mb, &e->list) {
		if (mb->skip)
			continue;
		if (mb->s[LOCAL].told.name == NULL &&
		    mb->s[REMOTE].told.name == NULL) {
			mb->skip = 1;
			continue;
		}
		for (side = 0; side < SIDES; side++) {
			if (mb->s[side].told.name != NULL ||
			    name_server(e, side, mb->name, name) == -1)
				continue;
			for (p = name; (p = strpbrk(p, "*%")) != NULL; p++)
				*p = '%';
			list[0] = name;
			list_send(e, side, "", 0, 1, list, 1, NULL,
			    strchr(name, '%') != NULL ? &exact :
			    &list_answers);
			asked = 1;
		}
	}
	return asked ? loop_wait(e, -1) : 0;
}

static void
missing_status(struct engine *e, struct req *r,
    const struct m_engine_mailbox *m)
{
	struct side_told	*t = &r->mb->s[r->side].told;

	(void)e;
	told_status(t, m);
}

static void
missing_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	(void)e;
	if (m->status != ST_OK && (m->code == RC_NONEXISTENT ||
	    (m->code == RC_NONE && strcasestr(m->text, "exist") != NULL)))
		r->mb->s[r->side].told.attrs |= ATTR_NOSELECT | ATTR_NONEXISTENT;
}

/* It is gone, unless the server tells of it all the same. */
static void
unlisted_done(struct engine *e, struct req *r, const struct m_engine_done *m)
{
	struct side_told	*t = &r->mb->s[r->side].told;

	(void)e;
	t->unlisted = m->status == ST_OK;
	if (t->unlisted && t->has_status)
		t->attrs = 0;
	if (!t->unlisted) {
		free(t->name);
		t->name = NULL;
		t->has_status = 0;
	}
}

/*
 * That a LIST does not hold what the state has is silence; a line of it may have
 * been one that can't be read.  STATUS gives an answer.
 */
static int
list_unlisted(struct engine *e)
{
	static const struct answers	 to = {
		.mailbox = missing_status, .done = unlisted_done
	};
	char				 name[NAME_MAX_LEN];
	struct side_told		*t;
	struct mbox			*mb;
	int				 side, asked = 0;

	if (e->want.cfg.command == CMD_DELETE ||
	    e->want.cfg.command == CMD_RENAME)
		return 0;
	FOREACH_SIDE(mb, side, &e->list) {
		t = &mb->s[side].told;
		if (mb->skip || mb->id == 0 || t->name != NULL ||
		    mb->s[side].known.water.uidvalidity == 0 ||
		    e->srv[side].list_failed ||
		    name_server(e, side, mb->name, name) == -1)
			continue;
		t->name = xstrdup(name);
		t->attrs = ATTR_NOSELECT;
		ask_status(e, mb, side, &to);
		asked = 1;
	}
	return asked ? loop_wait(e, -1) : 0;
}

/*
 * Dovecot goes on to list a mailbox that was deleted and has children as if it
 * were there, but without STATUS; asked for it, it says that it does not exist,
 * without a response code (2.3.19, measured).
 */
static int
list_missing(struct engine *e)
{
	static const struct answers	 to = {
		.mailbox = missing_status, .done = missing_done
	};
	struct mbox			*mb;
	int				 side, asked = 0;

	FOREACH_SIDE(mb, side, &e->list) {
		if (mb->skip || !mbox_present(mb, side) ||
		    mb->s[side].told.has_status || e->srv[side].list_failed)
			continue;
		ask_status(e, mb, side, &to);
		asked = 1;
	}
	return asked ? loop_wait(e, -1) : 0;
}

/* Whatever the configuration selects, names are looked for among all. */
static void
list_all(struct engine *e)
{
	size_t	 i;

	for (i = 0; i < e->want.npatterns; i++)
		free(e->want.patterns[i]);
	e->want.npatterns = 1;
	e->want.patterns = xreallocarray(e->want.patterns, 1, sizeof(char *));
	e->want.patterns[0] = xstrdup("*");
	e->want.cfg.selectors = 0;
}

/* A HIGHESTMODSEQ of which the strategy makes no use says nothing. */
static void
list_modseqs(struct engine *e)
{
	struct mbox	*mb;
	int		 side;

	FOREACH_SIDE(mb, side, &e->list)
		if (e->srv[side].ready.strategy == STRATEGY_PLAIN)
			mb->s[side].told.modseq = 0;
}

int
list_state(struct engine *e)
{
	ask_load(e, &load_answers);
	/* A WATCH is unanswered until ask_unwatch(). */
	return loop_store(e);
}

/* Nothing of before is kept, but what the state is to forget. */
static int
list_restart(struct engine *e)
{
	uint32_t	 uncommitted = e->ask.uncommitted;

	ask_reset(e);
	e->ask.uncommitted = uncommitted;
	mbox_reset(&e->list);
	memset(&e->due, 0, sizeof(e->due));
	return list_state(e);
}

/* Pairs are found among all mailboxes, once. */
static int
list_special(struct engine *e)
{
	if (!settle_wanted(e) || !list_partly(e) || settle_searched(e))
		return 0;
	if (list_names(e) == -1)
		return -1;
	list_ignore(e);
	(void)settle_special(e);
	return list_restart(e);
}

/*
 * LIST, until the names are those by which the two sides know each other's
 * mailboxes: once, but where mailbox-map has changed or a pair was found.
 */
static int
list_settled(struct engine *e)
{
	int	 i;

	for (i = 0;; i++) {
		if (list_servers(e) == -1)
			return -1;
		which_select(e);
		if (e->filtered)
			settle_select(e);
		list_ignore(e);
		/* The delimiters are known then, a pair is found, it is one. */
		if (i == 3 || !settle_run(e))
			return 0;
		if (list_restart(e) == -1)
			return -1;
	}
}

int
list_run(struct engine *e)
{
	struct wanted	*w = &e->want;

	if (w->npatterns == 0) {
		w->patterns = xcalloc(1, sizeof(char *));
		w->patterns[w->npatterns++] = xstrdup("*");
	}
	map_load(e);
	if (list_state(e) == -1)
		return -1;
	ask_unwatch(e);
	if (w->cfg.command == CMD_DELETE || w->cfg.command == CMD_RENAME)
		list_all(e);
	if (list_special(e) == -1 || list_settled(e) == -1)
		return -1;
	list_note(e);
	list_unmatched(e);
	if (list_by_name(e) == -1)
		return -1;
	list_virtuals(e);
	if (list_unlisted(e) == -1 || list_missing(e) == -1)
		return -1;
	list_modseqs(e);
	return 0;
}
